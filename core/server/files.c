#include "server/files.h"

#include "base/digest.h"
#include "schema/system_catalog.h"
#include "server/limits.h"
#include "server/refusal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- who may ---- */

enum inst_status inst_files_check(const struct inst_files_viewer *viewer,
                                  enum inst_files_action action, const char *path,
                                  struct inst_err *err) {
    static const char *const names[] = {"view", "create", "delete"};
    (void)path;
    if (viewer->app != NULL && viewer->who.is_admin)
        return INST_OK;
    return inst_refuse_expected(err, "has-storage-permission?", "$files", names[action]);
}

/* ---- reading rows ---- */

static const struct inst_attr *attr_of(const struct inst_app *app, const char *label) {
    return inst_attrs_forward(app->catalog->attrs, "$files", 6, label, strlen(label));
}

/* The value of (e, label) on the arena; UNDEFINED when there is none. */
static enum inst_status read_value(struct inst_app *app, uint32_t e, const char *label,
                                   struct inst_arena *arena, struct inst_value *out,
                                   struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    struct inst_scan scan = {.attr = attr_of(app, label), .e = e};
    struct inst_cursor cursor;
    struct inst_triple triple;
    *out = inst_undefined();
    if (scan.attr == NULL)
        return INST_OK;
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    int more = store->ops->next(&cursor, &triple, err);
    if (more == 1 && !inst_value_dup(arena, &triple.v, out))
        st = inst_err_nomem(err);
    store->ops->close(&cursor);
    return more < 0 ? INST_FAILED : st;
}

static enum inst_status read_row(struct inst_app *app, uint32_t e, struct inst_arena *arena,
                                 struct inst_file_row *out, struct inst_err *err) {
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
    out->e = e;
    for (size_t i = 0; st == INST_OK && i < sizeof fields / sizeof *fields; i++)
        st = read_value(app, e, fields[i].label, arena, fields[i].value, err);
    struct inst_value id = app->db->store.ops->entity_id(&app->db->store, e);
    if (st == INST_OK && !inst_value_dup(arena, &id, &out->id))
        st = inst_err_nomem(err);
    return st;
}

/* The entity that has this value of a unique attr; 0: none. */
static enum inst_status find_entity(struct inst_app *app, const char *label, const char *value,
                                    uint32_t *e, struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    struct inst_scan scan = {.attr = attr_of(app, label), .has_v = true, .v = inst_cstring(value)};
    struct inst_cursor cursor;
    struct inst_triple triple;
    *e = 0;
    if (scan.attr == NULL)
        return INST_OK;
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    int more = store->ops->next(&cursor, &triple, err);
    if (more == 1)
        *e = triple.e;
    store->ops->close(&cursor);
    return more < 0 ? INST_FAILED : INST_OK;
}

static enum inst_status find_row(struct inst_app *app, const char *label, const char *value,
                                 struct inst_arena *arena, struct inst_file_row *out,
                                 struct inst_err *err) {
    uint32_t e;
    *out = (struct inst_file_row){0};
    enum inst_status st = find_entity(app, label, value, &e, err);
    return st == INST_OK && e != 0 ? read_row(app, e, arena, out, err) : st;
}

enum inst_status inst_files_by_path(struct inst_app *app, const char *path,
                                    struct inst_arena *arena, struct inst_file_row *out,
                                    struct inst_err *err) {
    return find_row(app, "path", path, arena, out, err);
}

enum inst_status inst_files_by_location(struct inst_app *app, const char *location,
                                        struct inst_arena *arena, struct inst_file_row *out,
                                        struct inst_err *err) {
    return find_row(app, "location-id", location, arena, out, err);
}

enum inst_status inst_files_each(struct inst_app *app, struct inst_arena *arena,
                                 bool (*fn)(void *ctx, const struct inst_file_row *row), void *ctx,
                                 struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    struct inst_scan scan = {.attr = attr_of(app, "path"), .order = INST_ORDER_ASC};
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
        struct inst_file_row row = {0};
        st = read_row(app, triple.e, arena, &row, err);
        goes_on = st == INST_OK && fn(ctx, &row);
        inst_arena_rewind(arena, mark);
    }
    store->ops->close(&cursor);
    return more < 0 ? INST_FAILED : st;
}

int inst_server_names_file(struct inst_server *server, const char *app_id, const char *location) {
    struct inst_app *app;
    uint32_t e;
    if (inst_app_get(server, app_id, &app, NULL) != INST_OK ||
        find_entity(app, "location-id", location, &e, NULL) != INST_OK)
        return -1;
    return e != 0;
}

/* ---- writing rows ---- */

struct steps {
    struct inst_arena *arena;
    struct inst_array_builder list;
};

static const char *who_of(bool is_admin) { return is_admin ? "{\"admin\":true}" : "null"; }

static void add_step(struct steps *steps, const char *op, struct inst_value e, struct inst_value a,
                     struct inst_value v) {
    struct inst_value *parts = inst_arena_alloc(steps->arena, 4 * sizeof *parts);
    if (parts == NULL) {
        steps->list.failed = true;
        return;
    }
    parts[0] = inst_cstring(op);
    parts[1] = e;
    parts[2] = a;
    parts[3] = v;
    inst_array_add(&steps->list, inst_array(parts, v.tag == INST_UNDEFINED ? 3 : 4));
}

static void set(struct steps *steps, const char *id, const char *label, struct inst_value v) {
    char *attr = inst_arena_alloc(steps->arena, INST_UUID_TEXT + 1);
    if (attr == NULL || !inst_system_id(INST_SYSTEM_ATTR_ID, "$files", label, attr)) {
        steps->list.failed = true;
        return;
    }
    add_step(steps, "add-triple", inst_cstring(id), inst_cstring(attr), v);
}

static enum inst_status run(struct inst_app *app, struct steps *steps, bool is_admin,
                            struct inst_err *err) {
    struct inst_value list;
    if (!inst_array_end(&steps->list, &list))
        return inst_err_nomem(err);
    return inst_app_transact_now(app, &list, who_of(is_admin), err);
}

enum inst_status inst_files_put(struct inst_app *app, const struct inst_upload *upload,
                                uint64_t size, char id[INST_UUID_TEXT + 1], struct inst_err *err) {
    struct inst_arena *arena = &app->server->scratch;
    struct steps steps = {.arena = arena};
    struct inst_file_row row;
    enum inst_status st = inst_files_by_path(app, upload->path, arena, &row, err);
    if (st != INST_OK)
        return st;
    if (row.e != 0)
        snprintf(id, INST_UUID_TEXT + 1, "%.*s", (int)row.id.len, row.id.u.str);
    else
        inst_uuid_make_text(app->server->env, id);
    const char *disposition = upload->content_disposition;
    inst_array_begin(&steps.list, arena);
    set(&steps, id, "id", inst_cstring(id));
    set(&steps, id, "path", inst_cstring(upload->path));
    set(&steps, id, "size", inst_number((double)size));
    set(&steps, id, "content-type", inst_cstring(upload->content_type));
    set(&steps, id, "content-disposition",
        disposition != NULL ? inst_cstring(disposition) : inst_null());
    set(&steps, id, "location-id", inst_cstring(upload->location));
    set(&steps, id, "key-version", inst_number(1));
    return run(app, &steps, upload->is_admin, err);
}

static bool is_among(const struct inst_value *ids, size_t count, const struct inst_value *id) {
    for (size_t i = 0; i < count; i++)
        if (inst_value_same(&ids[i], id))
            return true;
    return false;
}

enum inst_status inst_files_delete(struct inst_app *app, const char *const *paths, size_t count,
                                   struct inst_value *ids, size_t *id_count, struct inst_err *err) {
    struct inst_arena *arena = &app->server->scratch;
    struct steps steps = {.arena = arena};
    inst_array_begin(&steps.list, arena);
    *id_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct inst_file_row row;
        enum inst_status st = inst_files_by_path(app, paths[i], arena, &row, err);
        if (st != INST_OK)
            return st;
        if (row.e == 0 || is_among(ids, *id_count, &row.id))
            continue;
        ids[(*id_count)++] = row.id;
        add_step(&steps, "delete-entity", row.id, inst_cstring("$files"), inst_undefined());
    }
    return *id_count > 0 ? run(app, &steps, true, err) : INST_OK;
}

/* ---- addresses ---- */

#define SIGNATURE_HEX (2 * INST_SHA256)

static enum inst_status sign(struct inst_server *server, const char *app_id, const char *location,
                             int64_t expires_s, char out[SIGNATURE_HEX + 1], struct inst_err *err) {
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
    char id[INST_UUID_TEXT + 1], signature[SIGNATURE_HEX + 1], path[512];
    *out = inst_undefined();
    if (server->host.files == NULL || location->tag != INST_STRING ||
        !canonical(location->u.str, location->len, id))
        return INST_OK;
    int64_t now = server->env->now_ms(server->env->ctx);
    int64_t expires = (now / INST_FILES_DAY_MS * INST_FILES_DAY_MS + INST_FILES_URL_MS) / 1000;
    enum inst_status st = sign(server, app_id, id, expires, signature, err);
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
    char wanted[SIGNATURE_HEX + 1];
    int64_t until = expires != NULL ? read_expires(expires) : -1;
    if (server->host.files == NULL || until < 0 || signature == NULL ||
        strlen(signature) != SIGNATURE_HEX)
        return refuse_url(err);
    enum inst_status st = sign(server, app_id, location, until, wanted, err);
    if (st != INST_OK)
        return st;
    bool is_ours = inst_secret_equal(wanted, signature, SIGNATURE_HEX);
    return is_ours && server->env->now_ms(server->env->ctx) < until * 1000 ? INST_OK
                                                                           : refuse_url(err);
}
