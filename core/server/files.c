#include "server/files.h"

#include "base/digest.h"
#include "server/refusal.h"
#include "server/rows.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- who may ---- */

/* What the rule says of a file that may not be there: of `data` it knows the path. */
static enum inst_status ask_rule(const struct inst_files_viewer *viewer,
                                 enum inst_rule_action action, const char *path, bool *allows,
                                 struct inst_err *err) {
    struct inst_app *app = viewer->app;
    struct inst_permissions permissions;
    struct inst_member member = {"path", 4, inst_cstring(path)};
    struct inst_value data = inst_object(&member, 1);
    struct inst_rule_input input = {.etype = inst_cstring("$files"), .data = &data};
    const struct inst_rule *rule;
    struct inst_cel_value value;
    inst_permissions_init(&permissions, app, app->rules, &viewer->who, &app->db->store,
                          &app->server->scratch);
    enum inst_status st =
        inst_permissions_rule(&permissions, &input.etype, action, NULL, &rule, err);
    *allows = false;
    if (st == INST_OK && rule != NULL) {
        st = inst_permissions_evaluate(&permissions, rule, &input, &value, err);
        *allows = st == INST_OK && inst_cel_allows(&value);
    }
    inst_permissions_release(&permissions);
    return st;
}

enum inst_status inst_files_check(const struct inst_files_viewer *viewer,
                                  enum inst_rule_action action, const char *path,
                                  struct inst_err *err) {
    bool allows = viewer->app != NULL && viewer->who.is_admin;
    enum inst_status st = INST_OK;
    if (viewer->app != NULL && !allows)
        st = ask_rule(viewer, action, path, &allows, err);
    if (st != INST_OK || allows)
        return st;
    return inst_refuse_expected(err, "has-storage-permission?", "$files",
                                inst_rule_action_name(action));
}

/* ---- reading rows ---- */

static enum inst_status read_row(struct inst_app *app, uint32_t e, struct inst_file_row *out,
                                 struct inst_err *err) {
    struct {
        const char *label;
        struct inst_value *value;
    } fields[] = {
        {"path", &out->path},
        {"size", &out->size},
        {"content-type", &out->content_type},
        {"content-disposition", &out->content_disposition},
        {"location-id", &out->location},
    };
    enum inst_status st = INST_OK;
    *out = (struct inst_file_row){0};
    if (!inst_row_id(app, e, out->id))
        return INST_OK;
    out->e = e;
    for (size_t i = 0; st == INST_OK && i < sizeof fields / sizeof *fields; i++)
        st = inst_row_value(app, e, "$files", fields[i].label, fields[i].value, err);
    return st;
}

enum inst_status inst_files_find(struct inst_app *app, const char *label, const char *value,
                                 struct inst_file_row *out, struct inst_err *err) {
    struct inst_value wanted = inst_cstring(value);
    uint32_t e;
    *out = (struct inst_file_row){0};
    enum inst_status st = inst_row_find(app, "$files", label, &wanted, &e, err);
    return st == INST_OK && e != 0 ? read_row(app, e, out, err) : st;
}

enum inst_status inst_files_each(struct inst_app *app,
                                 bool (*fn)(void *ctx, const struct inst_file_row *row), void *ctx,
                                 struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    struct inst_arena *arena = &app->server->scratch;
    struct inst_scan scan = {.attr = inst_attrs_forward(store->attrs, "$files", 6, "path", 4),
                             .order = INST_ORDER_ASC};
    struct inst_cursor cursor;
    struct inst_triple triple;
    if (scan.attr == NULL)
        return INST_OK;
    if (!store->ops->can_range(store, scan.attr))
        scan.order = INST_ORDER_STORE;
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    int more = 0;
    bool goes_on = true;
    while (goes_on && (more = store->ops->next(&cursor, &triple, err)) == 1) {
        struct inst_arena_mark mark = inst_arena_mark(arena);
        struct inst_file_row row;
        st = read_row(app, triple.e, &row, err);
        goes_on = st == INST_OK && fn(ctx, &row);
        inst_arena_rewind(arena, mark);
    }
    store->ops->close(&cursor);
    return more < 0 ? INST_FAILED : st;
}

struct locations {
    bool (*fn)(void *ctx, const char *location);
    void *ctx;
};

static bool give_location(void *ctx, const struct inst_file_row *row) {
    const struct locations *locations = ctx;
    char location[INST_UUID_TEXT + 1];
    if (row->location.tag != INST_STRING || row->location.len != INST_UUID_TEXT)
        return true;
    memcpy(location, row->location.u.str, INST_UUID_TEXT);
    location[INST_UUID_TEXT] = 0;
    return locations->fn(locations->ctx, location);
}

enum inst_status inst_files_locations(struct inst_app *app,
                                      bool (*fn)(void *ctx, const char *location), void *ctx,
                                      struct inst_err *err) {
    struct locations locations = {fn, ctx};
    enum inst_status st = inst_files_each(app, give_location, &locations, err);
    inst_arena_reset(&app->server->scratch);
    return st;
}

int inst_server_names_file(struct inst_server *server, const char *app_id, const char *location) {
    struct inst_value wanted = inst_cstring(location);
    struct inst_app *app;
    uint32_t e;
    if (inst_app_get(server, app_id, &app, NULL) != INST_OK ||
        inst_row_find(app, "$files", "location-id", &wanted, &e, NULL) != INST_OK)
        return -1;
    return e != 0;
}

/* ---- writing rows ---- */

static enum inst_status write_rows(struct inst_row_steps *steps, const struct inst_viewer *viewer,
                                   struct inst_err *err) {
    char who[INST_VIEWER_WHO_MAX];
    struct inst_value list;
    if (!inst_array_end(&steps->list, &list) || steps->failed)
        return inst_err_nomem(err);
    inst_viewer_who(viewer, who);
    return inst_app_transact_now(steps->app, &list, who, err);
}

enum inst_status inst_files_put(struct inst_app *app, const struct inst_upload *upload,
                                uint64_t size, char id[INST_UUID_TEXT + 1], struct inst_err *err) {
    const struct {
        const char *label;
        struct inst_value value;
    } fields[] = {
        {"path", inst_cstring(upload->path)},
        {"size", inst_number((double)size)},
        {"content-type", inst_cstring(upload->content_type)},
        {"content-disposition", upload->content_disposition != NULL
                                    ? inst_cstring(upload->content_disposition)
                                    : inst_null()},
        {"location-id", inst_cstring(upload->location)},
        {"key-version", inst_number(1)},
    };
    struct inst_row_steps steps;
    struct inst_file_row row;
    enum inst_status st = inst_files_find(app, "path", upload->path, &row, err);
    if (st != INST_OK)
        return st;
    if (row.e != 0)
        memcpy(id, row.id, sizeof row.id);
    else
        inst_uuid_make_text(app->server->env, id);
    inst_row_begin(&steps, app);
    inst_row_set(&steps, id, "$files", "id", inst_cstring(id));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        inst_row_set(&steps, id, "$files", fields[i].label, fields[i].value);
    return write_rows(&steps, &upload->who, err);
}

static bool is_among(const struct inst_value *ids, size_t count, const struct inst_value *id) {
    for (size_t i = 0; i < count; i++)
        if (inst_value_same(&ids[i], id))
            return true;
    return false;
}

enum inst_status inst_files_delete(const struct inst_files_viewer *viewer, const char *const *paths,
                                   size_t count, struct inst_value *ids, size_t *id_count,
                                   struct inst_err *err) {
    struct inst_app *app = viewer->app;
    struct inst_row_steps steps;
    inst_row_begin(&steps, app);
    *id_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct inst_file_row row;
        enum inst_status st = inst_files_find(app, "path", paths[i], &row, err);
        if (st != INST_OK)
            return st;
        char *id = inst_arena_dup(&app->server->scratch, row.id, strlen(row.id));
        if (id == NULL)
            return inst_err_nomem(err);
        struct inst_value value = inst_cstring(id);
        if (row.e == 0 || is_among(ids, *id_count, &value))
            continue;
        ids[(*id_count)++] = value;
        inst_row_delete(&steps, id, "$files");
    }
    return *id_count > 0 ? write_rows(&steps, &viewer->who, err) : INST_OK;
}

/* ---- addresses ---- */

static_assert(INST_FILES_SIGNATURE == 2 * INST_SHA256, "it is written in hex");

enum inst_status inst_files_sign(struct inst_server *server, const char *app_id,
                                 const char *location, int64_t expires_s,
                                 char out[INST_FILES_SIGNATURE + 1], struct inst_err *err) {
    uint8_t key[INST_SERVER_FILES_KEY], digest[INST_SHA256];
    char text[2 * INST_UUID_TEXT + 64];
    enum inst_status st = server->host.files->key(server->host.files_ctx, key, err);
    if (st != INST_OK)
        return st;
    int n = snprintf(text, sizeof text, "GET\n%s\n%s\n%" PRId64, app_id, location, expires_s);
    bool is_made = inst_hmac_sha256(key, sizeof key, text, (size_t)n, digest);
    inst_wipe(key, sizeof key);
    if (!is_made)
        return inst_err_nomem(err);
    inst_hex(digest, sizeof digest, out);
    return INST_OK;
}

static bool canonical(const char *text, size_t len, char out[INST_UUID_TEXT + 1]) {
    struct inst_uuid uuid;
    if (!inst_uuid_parse(text, len, &uuid))
        return false;
    inst_uuid_print(&uuid, out);
    return true;
}

enum inst_status inst_files_url(struct inst_server *server, const char *app_id,
                                const struct inst_value *location, struct inst_arena *arena,
                                struct inst_value *out, struct inst_err *err) {
    char id[INST_UUID_TEXT + 1], signature[INST_FILES_SIGNATURE + 1], path[512];
    *out = inst_undefined();
    if (server->host.files == NULL || location->tag != INST_STRING ||
        !canonical(location->u.str, location->len, id))
        return INST_OK;
    int64_t now = server->env->now_ms(server->env->ctx);
    int64_t expires = (now / INST_FILES_DAY_MS * INST_FILES_DAY_MS + INST_FILES_URL_MS) / 1000;
    enum inst_status st = inst_files_sign(server, app_id, id, expires, signature, err);
    if (st != INST_OK)
        return st;
    int n = snprintf(path, sizeof path, "/storage/files/%s/%s?expires=%" PRId64 "&signature=%s",
                     app_id, id, expires, signature);
    const char *origin = server->origin != NULL ? server->origin : "";
    size_t origin_len = strlen(origin);
    char *url = inst_arena_alloc(arena, origin_len + (size_t)n + 1);
    if (url == NULL)
        return inst_err_nomem(err);
    memcpy(url, origin, origin_len);
    memcpy(url + origin_len, path, (size_t)n + 1);
    *out = inst_string(url, origin_len + (size_t)n);
    return INST_OK;
}

static enum inst_status refuse_url(struct inst_err *err) {
    return inst_err_set(err, "permission-denied", 403, "The download URL is expired or invalid.");
}

/* Digits only, as inst_files_url writes them; -1: something else. */
static int64_t read_expires(const char *text) {
    size_t len = strspn(text, "0123456789");
    return len > 0 && len <= 15 && text[len] == '\0' ? strtoll(text, NULL, 10) : -1;
}

enum inst_status inst_files_check_url(struct inst_server *server, const char *app_id,
                                      const char *location, const char *expires,
                                      const char *signature, struct inst_err *err) {
    char wanted[INST_FILES_SIGNATURE + 1];
    int64_t until = expires != NULL ? read_expires(expires) : -1;
    if (server->host.files == NULL || until < 0 || signature == NULL ||
        strlen(signature) != INST_FILES_SIGNATURE)
        return refuse_url(err);
    enum inst_status st = inst_files_sign(server, app_id, location, until, wanted, err);
    if (st != INST_OK)
        return st;
    bool is_ours = inst_secret_equal(wanted, signature, INST_FILES_SIGNATURE);
    return is_ours && server->env->now_ms(server->env->ctx) < until * 1000 ? INST_OK
                                                                           : refuse_url(err);
}
