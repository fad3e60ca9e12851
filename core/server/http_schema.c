#include "base/date.h"
#include "base/json.h"
#include "schema/api_schema.h"
#include "schema/schema_plan.h"
#include "server/http_routes.h"
#include "server/jobs.h"
#include "server/limits.h"
#include "server/refusal.h"

#include <stdio.h>

/*
 * Routes: an app's schema shown, planned and pushed (http.md 8.3, 8.4; transactions.md 14).
 *
 *     steps ─┬─ add-attr, update-attr, delete-attr, restore-attr ─> one transaction of an admin
 *            └─ the others ─> jobs of one group, which run when the answer is out
 */

static enum inst_status schema_of(struct inst_app *app, struct inst_value *out,
                                  struct inst_err *err) {
    return inst_api_schema(&app->server->scratch, app->catalog->attrs, INST_REF_KEY_LIST, out, err);
}

static enum inst_status write_attrs(struct inst_app *app, struct inst_buf *out,
                                    struct inst_err *err) {
    const char *json;
    size_t len;
    enum inst_status st = inst_catalog_json(app->catalog, &json, &len, err);
    if (st == INST_OK)
        inst_buf_add(out, json, len);
    return st;
}

/* ---- showing ---- */

static enum inst_status answer_pull(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_buf *out = &response->body;
    struct inst_value schema;
    struct inst_app *app;
    enum inst_status st = inst_http_path_app(server, request, &app, err);
    if (st != INST_OK || (st = schema_of(app, &schema, err)) != INST_OK)
        return st;
    inst_buf_add_str(out, "{\"schema\":");
    inst_json_write(out, &schema);
    inst_buf_add_str(out, ",\"attrs\":");
    st = write_attrs(app, out, err);
    inst_buf_add_str(out, ",\"app-title\":");
    inst_json_write_string(out, app->info.title, strlen(app->info.title));
    inst_buf_add_char(out, '}');
    return st;
}

static enum inst_status answer_schema(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_value schema;
    struct inst_app *app;
    enum inst_status st = inst_http_path_app(server, request, &app, err);
    if (st != INST_OK || (st = schema_of(app, &schema, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"schema\":");
    inst_json_write(&response->body, &schema);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

/* ---- applying ---- */

static bool is_attr_op(const struct inst_value *op) {
    static const char *const ops[] = {"add-attr", "update-attr", "delete-attr", "restore-attr"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (inst_is_string(op, ops[i]))
            return true;
    return false;
}

struct push {
    struct inst_app *app;
    struct inst_value steps;    /* ARRAY, checked */
    struct inst_value tx_steps; /* ARRAY: those of attrs */
    struct inst_job_wish *wishes;
    size_t wish_count;
    int64_t tx_id; /* 0: nothing to transact */
    char group[INST_UUID_TEXT + 1];
};

static enum inst_status refuse_step(const struct inst_value *step, uint32_t i, const char *message,
                                    struct inst_err *err) {
    char in[64];
    snprintf(in, sizeof in, "\"in\":[\"steps\",%u]", (unsigned)i);
    return inst_refuse_validation(err, "steps", step, in, "%s", message);
}

/* Everything that can be wrong with a step's shape, before any of them is carried out. */
static enum inst_status read_step(struct push *push, struct inst_array_builder *tx_steps,
                                  uint32_t i, struct inst_err *err) {
    const struct inst_value *step = &push->steps.u.items[i];
    if (step->tag != INST_ARRAY || step->len != 2)
        return refuse_step(step, i, "A step must be a pair of an action and its parameters.", err);
    const struct inst_value *op = &step->u.items[0], *params = &step->u.items[1];
    if (is_attr_op(op)) {
        inst_array_add(tx_steps, *step);
        return INST_OK;
    }
    if (!inst_jobs_is_type(op))
        return refuse_step(step, i, "Unsupported action.", err);
    const struct inst_value *attr_id = inst_get_string(params, "attr-id");
    const struct inst_value *type = inst_getz(params, "checked-data-type");
    struct inst_uuid uuid;
    if (attr_id == NULL || !inst_uuid_parse(attr_id->u.str, attr_id->len, &uuid))
        return refuse_step(step, i, "`attr-id` must be a uuid.", err);
    push->wishes[push->wish_count++] = (struct inst_job_wish){
        .type = *op,
        .attr_id = *attr_id,
        .checked_data_type = type != NULL ? *type : inst_undefined(),
    };
    return INST_OK;
}

static enum inst_status read_steps(struct push *push, struct inst_err *err) {
    struct inst_arena *scratch = &push->app->server->scratch;
    struct inst_array_builder tx_steps;
    enum inst_status st = INST_OK;
    push->wishes = inst_arena_zalloc(scratch, (push->steps.len + 1) * sizeof *push->wishes);
    if (push->wishes == NULL)
        return inst_err_nomem(err);
    inst_array_begin(&tx_steps, scratch);
    for (uint32_t i = 0; st == INST_OK && i < push->steps.len; i++)
        st = read_step(push, &tx_steps, i, err);
    if (st == INST_OK && !inst_array_end(&tx_steps, &push->tx_steps))
        st = inst_err_nomem(err);
    return st;
}

static enum inst_status transact(struct push *push, struct inst_err *err) {
    struct inst_app *app = push->app;
    const struct inst_viewer admin = {.is_admin = true};
    const struct inst_tx_source source = {.viewer = &admin};
    bool is_repeated;
    if (push->tx_steps.len == 0)
        return INST_OK;
    enum inst_status st =
        inst_app_transact(app, &push->tx_steps, &source, &push->tx_id, &is_repeated, err);
    inst_app_commit(app);
    if (st == INST_OK && app->last_tx < push->tx_id)
        st =
            inst_err_set(err, "sql-exception", 500, "The schema could not be kept; push it again.");
    return st;
}

static enum inst_status apply(struct push *push, struct inst_err *err) {
    enum inst_status st;
    if ((st = read_steps(push, err)) != INST_OK || (st = transact(push, err)) != INST_OK)
        return st;
    return push->wish_count == 0
               ? INST_OK
               : inst_jobs_add(push->app, push->wishes, push->wish_count, push->group, err);
}

/* Job steps get the `job-id` of theirs. */
static void write_step(struct inst_buf *out, const struct inst_value *step, const char *job) {
    const struct inst_value *params = &step->u.items[1];
    inst_buf_add_char(out, '[');
    inst_json_write(out, &step->u.items[0]);
    inst_buf_add_char(out, ',');
    if (job == NULL) {
        inst_json_write(out, params);
    } else {
        inst_buf_addf(out, "{\"job-id\":\"%s\"", job);
        for (uint32_t i = 0; i < params->len; i++) {
            const struct inst_member *m = &params->u.members[i];
            inst_buf_add_char(out, ',');
            inst_json_write_string(out, m->key, m->key_len);
            inst_buf_add_char(out, ':');
            inst_json_write(out, &m->value);
        }
        inst_buf_add_char(out, '}');
    }
    inst_buf_add_char(out, ']');
}

/* The members `transaction`, `steps` and `indexing-jobs`. */
static void write_result(struct inst_buf *out, const struct push *push) {
    struct inst_server *server = push->app->server;
    char now[INST_DATE_TEXT_MAX];
    size_t job = 0;
    inst_date_iso((double)server->env->now_ms(server->env->ctx), now);
    inst_buf_add_str(out, "\"transaction\":{");
    if (push->tx_id != 0) {
        inst_buf_add_str(out, "\"id\":");
        inst_buf_add_int(out, push->tx_id);
        inst_buf_addf(out, ",\"app_id\":\"%s\",\"created_at\":\"%s\"", push->app->info.id, now);
    }
    inst_buf_add_str(out, "},\"steps\":[");
    for (uint32_t i = 0; i < push->steps.len; i++) {
        const struct inst_value *step = &push->steps.u.items[i];
        inst_buf_add_str(out, i > 0 ? "," : "");
        write_step(out, step, is_attr_op(&step->u.items[0]) ? NULL : push->wishes[job++].id);
    }
    inst_buf_add_str(out, "],\"indexing-jobs\":");
    if (push->wish_count == 0) {
        inst_buf_add_str(out, "null");
        return;
    }
    inst_buf_addf(out, "{\"group-id\":\"%s\",\"jobs\":", push->group);
    inst_jobs_write_group(push->app, push->group, out);
    inst_buf_add_char(out, '}');
}

static enum inst_status answer_steps(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"body", "steps"};
    struct push push = {.tx_id = 0};
    struct inst_value body;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &push.app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK)
        return st;
    const struct inst_value *steps = inst_getz(&body, "steps");
    if (steps == NULL || inst_is_nullish(steps))
        return inst_refuse_missing(err, path, 2);
    if (steps->tag != INST_ARRAY)
        return inst_refuse_malformed(err, path, 2, steps);
    if (steps->len > INST_SERVER_MAX_STEPS)
        return inst_refuse_too_many_steps(err, steps->len);
    push.steps = *steps;
    if ((st = apply(&push, err)) != INST_OK)
        return st;
    inst_buf_add_char(&response->body, '{');
    write_result(&response->body, &push);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

/* ---- planning ---- */

static bool is_on(const struct inst_value *body, const char *name) {
    const struct inst_value *v = inst_getz(body, name);
    return v != NULL && inst_value_truthy(v);
}

/* Plans, and writes the members of a plan but for the steps. */
static enum inst_status plan(struct push *push, const struct inst_value *body, struct inst_buf *out,
                             struct inst_err *err) {
    static const char *const path[] = {"body", "schema"};
    struct inst_app *app = push->app;
    struct inst_arena *scratch = &app->server->scratch;
    const struct inst_value *json = inst_getz(body, "schema");
    struct inst_schema_plan wanted = {
        .attrs = app->catalog->attrs,
        .env = app->server->env,
        .checks_types = is_on(body, "check_types"),
        .is_background = is_on(body, "supports_background_updates"),
    };
    struct inst_value after, now, steps;
    enum inst_status st;
    if (json == NULL || inst_is_nullish(json))
        return inst_refuse_missing(err, path, 2);
    if (json->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, json);
    if ((st = inst_schema_read(scratch, json, &wanted.schema, err)) != INST_OK ||
        (st = inst_schema_plan(scratch, &wanted, &steps, err)) != INST_OK ||
        (st = inst_schema_as_api(scratch, wanted.schema, &after, err)) != INST_OK ||
        (st = schema_of(app, &now, err)) != INST_OK)
        return st;
    /* They name attrs of the catalog, which is another after the first of them. */
    if (!inst_value_dup(scratch, &steps, &push->steps))
        return inst_err_nomem(err);
    inst_buf_add_str(out, "{\"new-schema\":");
    inst_json_write(out, &after);
    inst_buf_add_str(out, ",\"current-schema\":");
    inst_json_write(out, &now);
    inst_buf_add_str(out, ",\"current-attrs\":");
    return write_attrs(app, out, err);
}

static enum inst_status answer_plan(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct push push = {.tx_id = 0};
    struct inst_value body;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &push.app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = plan(&push, &body, &response->body, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, ",\"steps\":");
    inst_json_write(&response->body, &push.steps);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

static enum inst_status answer_apply(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct push push = {.tx_id = 0};
    struct inst_value body;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &push.app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = plan(&push, &body, &response->body, err)) != INST_OK ||
        (st = apply(&push, err)) != INST_OK)
        return st;
    inst_buf_add_char(&response->body, ',');
    write_result(&response->body, &push);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

const struct inst_http_route inst_http_schema_routes[] = {
    {"GET", "/dash/apps/:app_id/schema/pull", answer_pull},
    {"POST", "/dash/apps/:app_id/schema/steps/apply", answer_steps},
    {"POST", "/dash/apps/:app_id/schema/push/plan", answer_plan},
    {"POST", "/dash/apps/:app_id/schema/push/apply", answer_apply},
    {"GET", "/superadmin/apps/:app_id/schema", answer_schema},
    {"POST", "/superadmin/apps/:app_id/schema/push/plan", answer_plan},
    {"POST", "/superadmin/apps/:app_id/schema/push/apply", answer_apply},
    {NULL, NULL, NULL},
};
