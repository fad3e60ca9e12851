#include "server/http_routes.h"
#include "server/refusal.h"
#include "server/rows.h"
#include "server/users.h"

static enum inst_status set_user(struct inst_app *app, uint32_t user, struct inst_viewer *viewer,
                                 struct inst_err *err) {
    return inst_row_id(app, user, viewer->user) ? INST_OK : inst_user_refuse(err);
}

static enum inst_status as_token(struct inst_server *server,
                                 const struct inst_http_request *request, const char *token,
                                 struct inst_app **app, struct inst_viewer *viewer,
                                 struct inst_err *err) {
    static const char *const path[] = {"asUser", "token"};
    char app_id[INST_UUID_TEXT + 1];
    struct inst_uuid uuid;
    uint32_t user;
    enum inst_status st = inst_http_app_id(server, request, app_id, err);
    if (st != INST_OK)
        return st;
    size_t skip = strspn(token, " \t"), len = strlen(token);
    while (len > skip && strchr(" \t", token[len - 1]) != NULL)
        len--;
    if (!inst_uuid_parse(token + skip, len - skip, &uuid))
        return inst_refuse_malformed(err, path, 2, NULL); /* a secret is not echoed */
    if ((st = inst_http_app(server, request, app, err)) != INST_OK ||
        (st = inst_user_by_token(*app, &uuid, &user, err)) != INST_OK)
        return st;
    return set_user(*app, user, viewer, err);
}

static enum inst_status as_email(struct inst_server *server,
                                 const struct inst_http_request *request, const char *email,
                                 struct inst_app **app, struct inst_viewer *viewer,
                                 struct inst_err *err) {
    char address[INST_USERS_MAX_EMAIL + 1];
    uint32_t user = 0;
    enum inst_status st = inst_http_admin_app(server, request, app, err);
    if (st == INST_OK && inst_email_read(email, strlen(email), address))
        st = inst_user_by_email(*app, address, &user, err);
    if (st != INST_OK)
        return st;
    return set_user(*app, user, viewer, err);
}

enum inst_status inst_http_viewer(struct inst_server *server,
                                  const struct inst_http_request *request, struct inst_app **app,
                                  struct inst_viewer *viewer, struct inst_err *err) {
    const char *token = inst_http_header(request, "as-token");
    const char *email = inst_http_header(request, "as-email");
    *viewer = (struct inst_viewer){.from = inst_http_caller(request)};
    if (token != NULL)
        return as_token(server, request, token, app, viewer, err);
    if (email != NULL)
        return as_email(server, request, email, app, viewer, err);
    if (inst_http_header(request, "as-guest") != NULL)
        return inst_http_app(server, request, app, err);
    viewer->is_admin = true;
    return inst_http_admin_app(server, request, app, err);
}

enum inst_status inst_http_bearer_user(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_app *app, struct inst_viewer *viewer,
                                       struct inst_err *err) {
    const char *token = inst_http_bearer(server, request);
    struct inst_uuid uuid;
    uint32_t user = 0;
    enum inst_status st = INST_OK;
    *viewer = (struct inst_viewer){.from = inst_http_caller(request)};
    if (token != NULL && inst_uuid_parse(token, strlen(token), &uuid))
        st = inst_user_by_token(app, &uuid, &user, err);
    inst_row_id(app, user, viewer->user);
    return st;
}
