#include "base/json.h"
#include "server/admin_steps.h"
#include "server/evaluation.h"
#include "server/http_routes.h"
#include "server/refusal.h"

/* ---- parameters ---- */

static bool is_false(const struct inst_value *v) {
    return v == NULL || inst_is_nullish(v) || v->tag == INST_FALSE;
}

/* A member that must be an object, or (steps) at least no plain value. */
static enum inst_status read_part(const struct inst_value *body, const char *name, bool may_be_list,
                                  const struct inst_value **out, struct inst_err *err) {
    const char *const path[] = {"body", name};
    *out = inst_getz(body, name);
    if (is_false(*out))
        return inst_refuse_missing(err, path, 2);
    if ((*out)->tag == INST_OBJECT || (may_be_list && (*out)->tag == INST_ARRAY))
        return INST_OK;
    return inst_refuse_malformed(err, path, 2, *out);
}

/* ---- POST /admin/query (http.md 6.1) ---- */

static enum inst_status answer_query(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    const struct inst_value *query;
    struct inst_viewer viewer;
    struct inst_app *app;
    struct inst_outcome outcome;
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = read_part(&body, "query", false, &query, err)) != INST_OK ||
        (st = inst_http_viewer(server, request, &app, &viewer, err)) != INST_OK)
        return st;
    inst_outcome_init(&outcome);
    bool infers = !is_false(inst_getz(&body, "inference?"));
    st = inst_evaluate_once(app, query, &viewer, true, infers, &outcome, err);
    if (st == INST_OK)
        inst_buf_add(&response->body, outcome.result.data, outcome.result.len);
    inst_outcome_free(&outcome);
    return st;
}

/* ---- POST /admin/transact (http.md 6.2) ---- */

static enum inst_status answer_transact(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body, tx_steps;
    const struct inst_value *steps;
    struct inst_viewer viewer;
    struct inst_app *app;
    struct inst_tx_source source = {.viewer = &viewer};
    int64_t tx_id;
    bool is_repeated;
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = read_part(&body, "steps", true, &steps, err)) != INST_OK ||
        (st = inst_http_viewer(server, request, &app, &viewer, err)) != INST_OK)
        return st;
    struct inst_admin_steps context = {
        .env = server->env,
        .attrs = app->catalog->attrs,
        .throw_on_missing = !is_false(inst_getz(&body, "throw-on-missing-attrs?")),
    };
    st = inst_admin_steps_to_tx(&server->scratch, &context, steps, &tx_steps, err);
    if (st != INST_OK)
        return st;
    st = inst_app_transact(app, &tx_steps, &source, &tx_id, &is_repeated, err);
    inst_app_commit(app);
    if (st != INST_OK)
        return st;
    if (app->last_tx < tx_id)
        return inst_err_set(err, "sql-exception", 500,
                            "The transaction could not be kept; send it again.");
    inst_buf_add_str(&response->body, "{\"tx-id\":");
    inst_buf_add_int(&response->body, tx_id);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

/* ---- GET /admin/schema (http.md 6.5, transactions.md 13.2) ---- */

static bool is_one_of(const struct inst_value *text, const char *const *words) {
    for (; *words != NULL; words++)
        if (inst_is_string(text, *words))
            return true;
    return false;
}

static bool is_hidden(const struct inst_attr *attr) {
    static const char *const shown[] = {"$users", "$files", "$streams", NULL};
    static const char *const files[] = {"content-type", "content-disposition", "size",
                                        "location-id",  "key-version",         NULL};
    static const char *const streams[] = {"machineId", "hashedReconnectToken", NULL};
    const struct inst_value *etype = &attr->forward.etype, *label = &attr->forward.label;
    return (attr->is_system && !is_one_of(etype, shown)) ||
           (inst_is_string(etype, "$files") && is_one_of(label, files)) ||
           (inst_is_string(etype, "$streams") && is_one_of(label, streams));
}

static bool is_file_url(const struct inst_attr *attr) {
    return attr->is_system && inst_is_string(&attr->forward.etype, "$files") &&
           inst_is_string(&attr->forward.label, "url");
}

static void write_attr(struct inst_buf *buf, const struct inst_attr *attr,
                       struct inst_arena *arena) {
    struct inst_value json = attr->json;
    if (is_file_url(attr)) { /* made up for every file, so users may count on it */
        struct inst_object_builder b;
        inst_object_begin(&b, arena);
        for (uint32_t i = 0; i < json.len; i++)
            inst_object_add(&b, json.u.members[i].key, json.u.members[i].key_len,
                            json.u.members[i].value);
        inst_object_addz(&b, "required?", inst_bool(true));
        if (!inst_object_end(&b, &json))
            buf->failed = true;
    }
    inst_json_write(buf, &json);
}

static void write_ref_key(struct inst_buf *buf, const struct inst_attr *attr) {
    const struct inst_value *parts[] = {&attr->forward.etype, &attr->forward.label,
                                        &attr->reverse.etype, &attr->reverse.label};
    struct inst_buf key;
    inst_buf_init(&key);
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            inst_buf_add_char(&key, '-');
        if (parts[i]->tag == INST_STRING)
            inst_buf_add(&key, parts[i]->u.str, parts[i]->len);
    }
    if (key.failed)
        buf->failed = true;
    else
        inst_json_write_string(buf, key.data, key.len);
    inst_buf_free(&key);
}

static void write_refs(struct inst_buf *buf, const struct inst_attrs *attrs,
                       struct inst_arena *arena) {
    size_t count = inst_attrs_count(attrs);
    bool is_first = true;
    for (size_t i = 0; i < count; i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs, i);
        if (!attr->is_ref || is_hidden(attr))
            continue;
        if (!is_first)
            inst_buf_add_char(buf, ',');
        is_first = false;
        write_ref_key(buf, attr);
        inst_buf_add_char(buf, ':');
        write_attr(buf, attr, arena);
    }
}

/* The blobs of one namespace; false when there is nothing to show. */
static bool write_namespace(struct inst_buf *buf, const struct inst_attrs *attrs,
                            const struct inst_value *etype, bool is_first,
                            struct inst_arena *arena) {
    const struct inst_attr *const *list;
    size_t count = inst_attrs_of(attrs, etype->u.str, etype->len, &list);
    bool is_begun = false;
    for (size_t i = 0; i < count; i++) {
        if (list[i]->is_ref || is_hidden(list[i]))
            continue;
        if (is_begun) {
            inst_buf_add_char(buf, ',');
        } else {
            if (!is_first)
                inst_buf_add_char(buf, ',');
            inst_json_write(buf, etype);
            inst_buf_add_str(buf, ":{");
            is_begun = true;
        }
        inst_json_write(buf, &list[i]->forward.label);
        inst_buf_add_char(buf, ':');
        write_attr(buf, list[i], arena);
    }
    if (is_begun)
        inst_buf_add_char(buf, '}');
    return is_begun;
}

static void write_blobs(struct inst_buf *buf, const struct inst_attrs *attrs,
                        struct inst_arena *arena) {
    size_t count = inst_attrs_count(attrs);
    bool is_first = true;
    for (size_t i = 0; i < count; i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs, i);
        const struct inst_attr *const *list;
        const struct inst_value *etype = &attr->forward.etype;
        if (inst_attrs_of(attrs, etype->u.str, etype->len, &list) == 0 || list[0] != attr)
            continue; /* each namespace at its first attr */
        if (write_namespace(buf, attrs, etype, is_first, arena))
            is_first = false;
    }
}

static enum inst_status answer_schema(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_http_admin_app(server, request, &app, err);
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"schema\":{\"refs\":{");
    write_refs(&response->body, app->catalog->attrs, &server->scratch);
    inst_buf_add_str(&response->body, "},\"blobs\":{");
    write_blobs(&response->body, app->catalog->attrs, &server->scratch);
    inst_buf_add_str(&response->body, "}}}");
    return INST_OK;
}

/* ---- routes ---- */

const struct inst_http_route inst_http_admin_routes[] = {
    {"POST", "/admin/query", answer_query},
    {"POST", "/admin/transact", answer_transact},
    {"GET", "/admin/schema", answer_schema},
    {NULL, NULL, NULL},
};
