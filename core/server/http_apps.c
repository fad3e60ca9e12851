#include "server/operators.h"

#include "base/json.h"
#include "schema/api_schema.h"
#include "server/app_json.h"
#include "server/refusal.h"

/* Routes: an operator's apps, as the CLI and the platform SDK manage them (http.md 8.2). */

static void write_app(struct inst_buf *buf, const struct inst_app_info *info, const char *token) {
    inst_buf_add_str(buf, "{\"app\":");
    inst_app_json_begin(buf, info, token);
    inst_buf_add_str(buf, "}}");
}

/* Somebody who has shown a token that opens the app of the path; what is kept of it. */
static enum inst_status path_info(struct inst_server *server,
                                  const struct inst_http_request *request,
                                  struct inst_app_info *out, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_http_path_app(server, request, &app, err);
    if (st == INST_OK)
        *out = app->info;
    return st;
}

/* ---- listing ---- */

struct listing {
    struct inst_server *server;
    struct inst_buf *out;
    bool is_dash, has_schema, has_perms;
    size_t count;
    struct inst_err *err;
    enum inst_status status;
};

static enum inst_status write_parts(struct listing *l, const struct inst_app_info *info) {
    struct inst_arena *scratch = &l->server->scratch;
    struct inst_arena_mark mark = inst_arena_mark(scratch);
    struct inst_value schema;
    struct inst_app *app;
    enum inst_status st = inst_app_get(l->server, info->id, &app, l->err);
    if (st == INST_OK && l->has_schema) {
        st = inst_api_schema(scratch, app->catalog->attrs, INST_REF_KEY_LIST, &schema, l->err);
        if (st != INST_OK)
            return st;
        inst_buf_add_str(l->out, ",\"schema\":");
        inst_json_write(l->out, &schema);
        inst_arena_rewind(scratch, mark);
    }
    if (st == INST_OK && l->has_perms) {
        inst_buf_add_str(l->out, ",\"perms\":");
        if (inst_app_has_rules(app))
            inst_json_write(l->out, inst_rules_code(app->rules));
        else
            inst_buf_add_str(l->out, "null");
    }
    inst_app_close_idle(l->server); /* a long list does not leave them all open */
    return st;
}

static bool list_app(void *ctx, const struct inst_app_info *info) {
    struct listing *l = ctx;
    if (l->count++ > 0)
        inst_buf_add_char(l->out, ',');
    inst_app_json_begin(l->out, info, NULL);
    if (l->is_dash)
        inst_buf_add_str(l->out, ",\"admin_token\":null,\"rules\":null,\"pro\":false,"
                                 "\"user_app_role\":\"owner\",\"members\":[],\"invites\":[]");
    if (l->has_schema || l->has_perms)
        l->status = write_parts(l, info);
    inst_buf_add_char(l->out, '}');
    return l->status == INST_OK;
}

static enum inst_status list_apps(struct listing *l) {
    struct inst_server *server = l->server;
    inst_buf_add_str(l->out, "{\"apps\":[");
    enum inst_status st =
        server->host.apps->manage->each(server->host.apps_ctx, list_app, l, l->err);
    inst_buf_add_char(l->out, ']');
    return st == INST_OK ? l->status : st;
}

/* Who signs in to the CLI opens this in a browser: `?ticket=` (http_cli_login.c). */
static enum inst_status answer_dash(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct listing l = {.server = server, .out = &response->body, .is_dash = true, .err = err};
    const char *ticket;
    enum inst_status st = inst_http_param(request, "ticket", &server->scratch, &ticket, err);
    if (st == INST_OK && ticket != NULL)
        return inst_http_login_page(server, ticket, response, err);
    if (st != INST_OK || (st = inst_http_operator(server, request, err)) != INST_OK ||
        (st = list_apps(&l)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body,
                     ",\"orgs\":[],\"invites\":[],\"superuser\":true,\"profile\":null,\"user\":{"
                     "\"id\":\"" INST_OPERATOR_ID "\",\"email\":\"" INST_OPERATOR_EMAIL "\"},"
                     "\"sunset\":{\"stage\":\"none\"}}");
    return INST_OK;
}

static bool has_word(const char *list, const char *word) {
    size_t len = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return false;
}

static enum inst_status answer_list(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct listing l = {.server = server, .out = &response->body, .err = err};
    const char *include;
    enum inst_status st = inst_http_operator(server, request, err);
    if (st == INST_OK)
        st = inst_http_param(request, "include", &server->scratch, &include, err);
    if (st != INST_OK)
        return st;
    l.has_schema = has_word(include, "schema");
    l.has_perms = has_word(include, "perms");
    st = list_apps(&l);
    inst_buf_add_char(&response->body, '}');
    return st;
}

/* The CLI's `info` asks with whatever token it has, an app's admin token too. */
static enum inst_status answer_me(struct inst_server *server,
                                  const struct inst_http_request *request,
                                  struct inst_http_response *response, struct inst_err *err) {
    const struct inst_server_host *host = &server->host;
    const char *token = inst_http_bearer(server, request);
    struct inst_app_info info;
    struct inst_uuid uuid;
    char plain[INST_UUID_TEXT + 1];
    enum inst_status st = INST_FAILED;
    if (token != NULL && inst_uuid_parse(token, strlen(token), &uuid)) {
        inst_uuid_print(&uuid, plain);
        st = host->apps->manage->find_by_token(host->apps_ctx, plain, INST_UUID_TEXT, &info, NULL);
    }
    if (st != INST_OK && (st = inst_http_operator(server, request, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"user\":{\"id\":\"" INST_OPERATOR_ID
                                      "\",\"email\":\"" INST_OPERATOR_EMAIL "\"");
    inst_write_time(&response->body, "created_at", 0);
    inst_buf_add_str(&response->body, "}}");
    return INST_OK;
}

/* ---- making ---- */

/* POST /dash/apps: the client chooses id and token. */
static enum inst_status answer_create(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_app_info info = {.expires_ms = 0};
    char token[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_operator(server, request, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_uuid(&body, "id", info.id, err)) != INST_OK ||
        (st = inst_http_body_uuid(&body, "admin_token", token, err)) != INST_OK ||
        (st = inst_app_make_asked(server, &body, &info, token, err)) != INST_OK)
        return st;
    write_app(&response->body, &info, token);
    return INST_OK;
}

/* POST /superadmin/apps: the backend does. */
static enum inst_status answer_make(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_app_info info = {.expires_ms = 0};
    struct listing l = {.server = server, .out = &response->body, .err = err};
    char token[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_operator(server, request, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK)
        return st;
    inst_uuid_make_text(server->env, info.id);
    inst_uuid_make_text(server->env, token);
    if ((st = inst_app_make_asked(server, &body, &info, token, err)) != INST_OK)
        return st;
    l.has_schema = l.has_perms = true;
    inst_buf_add_str(&response->body, "{\"app\":");
    inst_app_json_begin(&response->body, &info, token);
    st = write_parts(&l, &info);
    inst_buf_add_str(&response->body, "}}");
    return st;
}

/* ---- one app ---- */

static enum inst_status answer_app(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    struct inst_app_info info;
    enum inst_status st = path_info(server, request, &info, err);
    if (st == INST_OK)
        write_app(&response->body, &info, NULL);
    return st;
}

static enum inst_status rename_app(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_app_info *info, struct inst_err *err) {
    struct inst_value body;
    struct inst_app *app;
    const char *title;
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_app_read_title(server, &body, &title, err)) != INST_OK ||
        (st = server->host.apps->manage->rename(server->host.apps_ctx, app->info.id, title, err)) !=
            INST_OK)
        return st;
    strcpy(app->info.title, title);
    *info = app->info;
    return INST_OK;
}

static enum inst_status answer_rename(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app_info info;
    (void)response;
    return rename_app(server, request, &info, err);
}

static enum inst_status answer_update(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app_info info;
    enum inst_status st = rename_app(server, request, &info, err);
    if (st == INST_OK)
        write_app(&response->body, &info, NULL);
    return st;
}

/* An operator's only: who has no more than an app's admin token does not remove the app. */
static enum inst_status remove_app(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_app_info *info, struct inst_err *err) {
    enum inst_status st = inst_http_operator(server, request, err);
    if (st == INST_OK)
        st = path_info(server, request, info, err);
    return st == INST_OK ? inst_server_remove_app(server, info->id, err) : st;
}

static enum inst_status answer_delete(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app_info info;
    enum inst_status st = remove_app(server, request, &info, err);
    if (st == INST_OK)
        inst_buf_add_str(&response->body, "{\"ok\":true}");
    return st;
}

static enum inst_status answer_remove(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app_info info;
    enum inst_status st = remove_app(server, request, &info, err);
    if (st == INST_OK)
        write_app(&response->body, &info, NULL);
    return st;
}

/* POST .../tokens: the new admin token is the only one. */
static enum inst_status answer_token(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_app_info info;
    char token[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = path_info(server, request, &info, err)) != INST_OK ||
        (st = inst_http_body_uuid(&body, "admin-token", token, err)) != INST_OK ||
        (st = server->host.apps->manage->set_token(server->host.apps_ctx, info.id, token, err)) !=
            INST_OK)
        return st;
    inst_buf_addf(&response->body, "{\"app_id\":\"%s\",\"token\":\"%s\"}", info.id, token);
    return INST_OK;
}

/* An ephemeral app becomes one that stays. Asked by an operator who has its admin token. */
static enum inst_status answer_claim(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    const struct inst_server_host *host = &server->host;
    struct inst_value body;
    struct inst_app_info info;
    struct inst_app *app;
    char token[INST_UUID_TEXT + 1];
    enum inst_status st;
    (void)response;
    if ((st = inst_http_operator(server, request, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = path_info(server, request, &info, err)) != INST_OK ||
        (st = inst_http_body_uuid(&body, "token", token, err)) != INST_OK)
        return st;
    if (!host->apps->is_admin_token(host->apps_ctx, info.id, token, INST_UUID_TEXT))
        return inst_refuse_not_found(err, "app-admin-token", "[{}]");
    if ((st = host->apps->manage->keep_for_ever(host->apps_ctx, info.id, err)) == INST_OK &&
        inst_app_get(server, info.id, &app, NULL) == INST_OK)
        app->info.expires_ms = 0;
    return st;
}

/* The CLI says that it works with an app; nobody keeps it. */
static enum inst_status answer_track(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    (void)response;
    return inst_http_operator(server, request, err);
}

/* There are no organisations here. */
static enum inst_status answer_orgs(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    enum inst_status st = inst_http_operator(server, request, err);
    if (st == INST_OK)
        inst_buf_add_str(&response->body, "{\"orgs\":[]}");
    return st;
}

static enum inst_status answer_org(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    enum inst_status st = inst_http_operator(server, request, err);
    (void)response;
    return st == INST_OK ? inst_refuse_not_found(err, "org", "[{}]") : st;
}

/* ---- operators' tokens ---- */

struct token_list {
    struct inst_buf *out;
    size_t count;
};

static void write_operator(struct inst_buf *out, const struct inst_operator_token *who,
                           const char *token) {
    inst_buf_addf(out, "{\"id\":\"%s\",\"name\":", who->id);
    inst_json_write_string(out, who->name, strlen(who->name));
    if (token != NULL)
        inst_buf_addf(out, ",\"token\":\"%s\"", token);
    inst_write_time(out, "created_at", who->created_ms);
    inst_buf_add_char(out, '}');
}

static bool list_operator(void *ctx, const struct inst_operator_token *who) {
    struct token_list *list = ctx;
    if (list->count++ > 0)
        inst_buf_add_char(list->out, ',');
    write_operator(list->out, who, NULL);
    return true;
}

static enum inst_status answer_tokens(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    const struct inst_server_host *host = &server->host;
    struct token_list list = {.out = &response->body};
    enum inst_status st = inst_http_operator(server, request, err);
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"data\":[");
    st = host->apps->manage->each_operator(host->apps_ctx, list_operator, &list, err);
    inst_buf_add_str(&response->body, "]}");
    return st;
}

static enum inst_status answer_new_token(struct inst_server *server,
                                         const struct inst_http_request *request,
                                         struct inst_http_response *response,
                                         struct inst_err *err) {
    static const char *const path[] = {"body", "name"};
    struct inst_value body;
    struct inst_operator_token who;
    const char *name;
    char token[INST_OPERATOR_TOKEN + 1];
    enum inst_status st;
    if ((st = inst_http_operator(server, request, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_text(&body, "name", &server->scratch, &name, err)) != INST_OK)
        return st;
    if (strlen(name) >= sizeof who.name)
        return inst_refuse_malformed(err, path, 2, inst_getz(&body, "name"));
    if ((st = inst_operator_add(server, name, &who, token, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"data\":");
    write_operator(&response->body, &who, token);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

static enum inst_status answer_drop_token(struct inst_server *server,
                                          const struct inst_http_request *request,
                                          struct inst_http_response *response,
                                          struct inst_err *err) {
    const struct inst_server_host *host = &server->host;
    enum inst_status st = inst_http_operator(server, request, err);
    (void)response;
    return st != INST_OK ? st
                         : host->apps->manage->remove_operator(
                               host->apps_ctx, inst_http_path_param(request, "id"), err);
}

const struct inst_http_route inst_http_apps_routes[] = {
    {"GET", "/dash", answer_dash},
    {"GET", "/dash/me", answer_me},
    {"POST", "/dash/apps", answer_create},
    {"GET", "/dash/apps/:app_id", answer_app},
    {"DELETE", "/dash/apps/:app_id", answer_delete},
    {"POST", "/dash/apps/:app_id/rename", answer_rename},
    {"POST", "/dash/apps/:app_id/tokens", answer_token},
    {"POST", "/dash/apps/:app_id/claim", answer_claim},
    {"POST", "/dash/apps/ephemeral/:app_id/claim", answer_claim},
    {"POST", "/dash/apps/:app_id/track-import", answer_track},
    {"GET", "/dash/orgs/:id", answer_org},
    {"GET", "/dash/personal_access_tokens", answer_tokens},
    {"POST", "/dash/personal_access_tokens", answer_new_token},
    {"DELETE", "/dash/personal_access_tokens/:id", answer_drop_token},
    {"GET", "/superadmin/apps", answer_list},
    {"POST", "/superadmin/apps", answer_make},
    {"GET", "/superadmin/apps/:app_id", answer_app},
    {"POST", "/superadmin/apps/:app_id", answer_update},
    {"DELETE", "/superadmin/apps/:app_id", answer_remove},
    {"GET", "/superadmin/orgs", answer_orgs},
    {"GET", "/superadmin/orgs/:id/apps", answer_org},
    {NULL, NULL, NULL},
};
