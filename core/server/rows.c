#include "server/rows.h"

#include "base/json.h"

#include <string.h>

/* ---- reading ---- */

static const struct inst_attr *attr_of(struct inst_app *app, const char *etype, const char *label) {
    return inst_attrs_forward(app->db->store.attrs, etype, strlen(etype), label, strlen(label));
}

/* Up to max entities of a scan. */
static enum inst_status collect(struct inst_app *app, const struct inst_scan *scan, uint32_t *out,
                                size_t max, size_t *count, struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    struct inst_cursor cursor;
    struct inst_triple triple;
    int got = 0;
    *count = 0;
    if (scan->attr == NULL)
        return INST_OK;
    enum inst_status st = store->ops->scan(store, scan, &cursor, err);
    if (st != INST_OK)
        return st;
    while (*count < max && (got = store->ops->next(&cursor, &triple, err)) == 1)
        out[(*count)++] = triple.e;
    store->ops->close(&cursor);
    return got < 0 ? INST_FAILED : INST_OK;
}

enum inst_status inst_row_find_all(struct inst_app *app, const char *etype, const char *label,
                                   const struct inst_value *v, uint32_t *out, size_t max,
                                   size_t *count, struct inst_err *err) {
    struct inst_scan scan = {.attr = attr_of(app, etype, label), .has_v = true, .v = *v};
    return collect(app, &scan, out, max, count, err);
}

enum inst_status inst_row_find(struct inst_app *app, const char *etype, const char *label,
                               const struct inst_value *v, uint32_t *e, struct inst_err *err) {
    size_t count;
    *e = 0;
    return inst_row_find_all(app, etype, label, v, e, 1, &count, err);
}

enum inst_status inst_row_find_links(struct inst_app *app, const char *etype, const char *label,
                                     uint32_t to, uint32_t *out, size_t max, size_t *count,
                                     struct inst_err *err) {
    struct inst_scan scan = {.attr = attr_of(app, etype, label), .ref = to};
    return collect(app, &scan, out, max, count, err);
}

enum inst_status inst_row_oldest(struct inst_app *app, const char *etype, uint32_t *out, size_t max,
                                 size_t *count, struct inst_err *err) {
    struct inst_scan scan = {.attr = attr_of(app, etype, "id"), .order = INST_ORDER_ASC};
    return collect(app, &scan, out, max, count, err);
}

/* The first triple of (e, attr); false when there is none. Its value is copied. */
static enum inst_status first(struct inst_app *app, uint32_t e, const struct inst_attr *attr,
                              struct inst_triple *out, bool *found, struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    struct inst_scan scan = {.attr = attr, .e = e};
    struct inst_cursor cursor;
    *found = false;
    if (attr == NULL || e == 0)
        return INST_OK;
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    int got = store->ops->next(&cursor, out, err);
    *found = got == 1;
    if (got < 0)
        st = INST_FAILED;
    else if (*found && !inst_attr_names_entity(attr) &&
             !inst_value_dup(&app->server->scratch, &out->v, &out->v))
        st = inst_err_nomem(err);
    store->ops->close(&cursor);
    return st;
}

enum inst_status inst_row_link(struct inst_app *app, uint32_t e, const char *etype,
                               const char *label, uint32_t *to, struct inst_err *err) {
    struct inst_triple triple;
    bool found;
    enum inst_status st = first(app, e, attr_of(app, etype, label), &triple, &found, err);
    *to = st == INST_OK && found ? triple.ref : 0;
    return st;
}

enum inst_status inst_row_value(struct inst_app *app, uint32_t e, const char *etype,
                                const char *label, struct inst_value *out, struct inst_err *err) {
    struct inst_triple triple;
    bool found;
    enum inst_status st = first(app, e, attr_of(app, etype, label), &triple, &found, err);
    *out = st == INST_OK && found ? triple.v : inst_undefined();
    return st;
}

enum inst_status inst_row_time(struct inst_app *app, uint32_t e, const char *etype, int64_t *out,
                               struct inst_err *err) {
    struct inst_triple triple;
    bool found;
    enum inst_status st = first(app, e, attr_of(app, etype, "id"), &triple, &found, err);
    *out = st == INST_OK && found ? triple.t : INST_NO_TIME;
    return st;
}

bool inst_row_id(struct inst_app *app, uint32_t e, char out[INST_UUID_TEXT + 1]) {
    struct inst_value id = inst_undefined();
    if (e != 0)
        id = app->db->store.ops->entity_id(&app->db->store, e);
    if (id.tag != INST_STRING || id.len != INST_UUID_TEXT)
        return false;
    memcpy(out, id.u.str, INST_UUID_TEXT);
    out[INST_UUID_TEXT] = '\0';
    return true;
}

/* ---- notes ---- */

enum inst_status inst_row_note(struct inst_app *app, const char *key, struct inst_value *out,
                               struct inst_err *err) {
    struct inst_buf text;
    bool found = false;
    *out = inst_undefined();
    inst_buf_init(&text);
    enum inst_status st = app->db->db_ops->get_note(app->db, key, &text, &found, err);
    if (st == INST_OK && text.failed)
        st = inst_err_nomem(err);
    if (st == INST_OK && found)
        st = inst_json_parse(&app->server->scratch, text.data, text.len, out, err);
    inst_buf_free(&text);
    return st;
}

enum inst_status inst_row_set_note(struct inst_app *app, const char *key,
                                   const struct inst_value *v, struct inst_err *err) {
    struct inst_buf text;
    if (v == NULL)
        return inst_app_set_note(app, key, NULL, 0, err);
    inst_buf_init(&text);
    inst_json_write(&text, v);
    enum inst_status st =
        text.failed ? inst_err_nomem(err) : inst_app_set_note(app, key, text.data, text.len, err);
    inst_buf_free(&text);
    return st;
}

void inst_row_iso(int64_t ms, char out[INST_DATE_TEXT_MAX]) {
    size_t len = inst_date_iso((double)ms, out);
    if (len > 5) /* `.123Z` goes */
        memcpy(out + len - 5, "Z", 2);
}

/* ---- writing ---- */

void inst_row_begin(struct inst_row_steps *steps, struct inst_app *app) {
    *steps = (struct inst_row_steps){.app = app};
    inst_array_begin(&steps->list, &app->server->scratch);
}

static void add(struct inst_row_steps *steps, const struct inst_value *parts, size_t count) {
    struct inst_array_builder step;
    struct inst_value list;
    inst_array_begin(&step, &steps->app->server->scratch);
    for (size_t i = 0; i < count; i++)
        inst_array_add(&step, parts[i]);
    if (inst_array_end(&step, &list))
        inst_array_add(&steps->list, list);
    else
        steps->failed = true;
}

void inst_row_set(struct inst_row_steps *steps, const char *id, const char *etype,
                  const char *label, struct inst_value v) {
    const struct inst_attr *attr = attr_of(steps->app, etype, label);
    struct inst_value attr_id;
    /* Catalogs come and go while a transaction runs. */
    if (attr == NULL || !inst_value_dup(&steps->app->server->scratch, &attr->id, &attr_id)) {
        steps->failed = true;
        return;
    }
    const struct inst_value parts[] = {inst_cstring("add-triple"), inst_cstring(id), attr_id, v};
    add(steps, parts, 4);
}

void inst_row_delete(struct inst_row_steps *steps, const char *id, const char *etype) {
    const struct inst_value parts[] = {inst_cstring("delete-entity"), inst_cstring(id),
                                       inst_cstring(etype)};
    add(steps, parts, 3);
}

enum inst_status inst_row_write(struct inst_row_steps *steps, struct inst_err *err) {
    const struct inst_viewer admin = {.is_admin = true};
    const struct inst_tx_source source = {.viewer = &admin, .at_any_status = steps->at_any_status};
    struct inst_value list;
    int64_t tx_id;
    bool is_repeated;
    if (!inst_array_end(&steps->list, &list) || steps->failed)
        return inst_err_nomem(err);
    if (list.len == 0)
        return INST_OK;
    return inst_app_transact(steps->app, &list, &source, &tx_id, &is_repeated, err);
}

enum inst_status inst_row_commit(struct inst_app *app, struct inst_err *err) {
    int64_t made = app->made_tx;
    inst_app_commit(app);
    return app->last_tx == made
               ? INST_OK
               : inst_err_set(err, "sql-exception", 500, "It could not be kept; try again.");
}
