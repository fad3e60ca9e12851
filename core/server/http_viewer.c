#include "base/digest.h"
#include "server/http_routes.h"
#include "server/refusal.h"

#include <ctype.h>

/* The entity with this value of a unique attr; *e 0: none. */
static enum inst_status find_by(struct inst_app *app, const char *etype, const char *label,
                                const char *value, uint32_t *e, struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    const struct inst_attr *attr =
        inst_attrs_forward(store->attrs, etype, strlen(etype), label, strlen(label));
    struct inst_cursor cursor;
    struct inst_triple triple;
    *e = 0;
    if (attr == NULL)
        return INST_OK;
    struct inst_scan scan = {.attr = attr, .has_v = true, .v = inst_cstring(value)};
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    int got = store->ops->next(&cursor, &triple, err);
    *e = got == 1 ? triple.e : 0;
    store->ops->close(&cursor);
    return got < 0 ? INST_FAILED : INST_OK;
}

/* Where a link of cardinality one leads; *to 0: nowhere. */
static enum inst_status follow(struct inst_app *app, uint32_t e, const char *etype,
                               const char *label, uint32_t *to, struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    const struct inst_attr *attr =
        inst_attrs_forward(store->attrs, etype, strlen(etype), label, strlen(label));
    struct inst_cursor cursor;
    struct inst_triple triple;
    struct inst_scan scan = {.attr = attr, .e = e};
    *to = 0;
    if (attr == NULL || e == 0)
        return INST_OK;
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    int got = store->ops->next(&cursor, &triple, err);
    *to = got == 1 ? triple.ref : 0;
    store->ops->close(&cursor);
    return got < 0 ? INST_FAILED : INST_OK;
}

static enum inst_status set_user(struct inst_app *app, uint32_t e, struct inst_viewer *viewer,
                                 struct inst_err *err) {
    struct inst_value id = inst_undefined();
    if (e != 0)
        id = app->db->store.ops->entity_id(&app->db->store, e);
    if (id.tag != INST_STRING || id.len != INST_UUID_TEXT)
        return inst_refuse_not_found(err, "app-user", "[{}]");
    memcpy(viewer->user, id.u.str, INST_UUID_TEXT);
    viewer->user[INST_UUID_TEXT] = '\0';
    return INST_OK;
}

static enum inst_status user_of_token(struct inst_app *app, const struct inst_uuid *token,
                                      struct inst_viewer *viewer, struct inst_err *err) {
    char hash[INST_SHA256_HEX + 1];
    uint32_t e, user;
    inst_sha256_hex(token->bytes, sizeof token->bytes, hash);
    enum inst_status st = find_by(app, "$userRefreshTokens", "hashedToken", hash, &e, err);
    if (st == INST_OK)
        st = follow(app, e, "$userRefreshTokens", "$user", &user, err);
    return st == INST_OK ? set_user(app, user, viewer, err) : st;
}

static enum inst_status as_token(struct inst_server *server,
                                 const struct inst_http_request *request, const char *token,
                                 struct inst_app **app, struct inst_viewer *viewer,
                                 struct inst_err *err) {
    static const char *const path[] = {"asUser", "token"};
    char app_id[INST_UUID_TEXT + 1];
    struct inst_uuid uuid;
    enum inst_status st = inst_http_app_id(server, request, app_id, err);
    if (st != INST_OK)
        return st;
    size_t skip = strspn(token, " \t"), len = strlen(token);
    while (len > skip && strchr(" \t", token[len - 1]) != NULL)
        len--;
    if (!inst_uuid_parse(token + skip, len - skip, &uuid))
        return inst_refuse_malformed(err, path, 2, NULL); /* a secret is not echoed */
    st = inst_http_app(server, request, app, err);
    return st == INST_OK ? user_of_token(*app, &uuid, viewer, err) : st;
}

static enum inst_status as_email(struct inst_server *server,
                                 const struct inst_http_request *request, const char *email,
                                 struct inst_app **app, struct inst_viewer *viewer,
                                 struct inst_err *err) {
    uint32_t user;
    enum inst_status st = inst_http_admin_app(server, request, app, err);
    if (st != INST_OK)
        return st;
    char *lower = inst_arena_dup(&server->scratch, email, strlen(email));
    if (lower == NULL)
        return inst_err_nomem(err);
    for (char *c = lower; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    if ((st = find_by(*app, "$users", "email", lower, &user, err)) != INST_OK)
        return st;
    return set_user(*app, user, viewer, err);
}

enum inst_status inst_http_viewer(struct inst_server *server,
                                  const struct inst_http_request *request, struct inst_app **app,
                                  struct inst_viewer *viewer, struct inst_err *err) {
    const char *token = inst_http_header(request, "as-token");
    const char *email = inst_http_header(request, "as-email");
    *viewer = (struct inst_viewer){0};
    if (token != NULL)
        return as_token(server, request, token, app, viewer, err);
    if (email != NULL)
        return as_email(server, request, email, app, viewer, err);
    if (inst_http_header(request, "as-guest") != NULL)
        return inst_http_app(server, request, app, err);
    viewer->is_admin = true;
    return inst_http_admin_app(server, request, app, err);
}
