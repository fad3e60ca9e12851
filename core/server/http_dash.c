#include "server/http_routes.h"

#include "base/date.h"
#include "base/json.h"
#include "server/limits.h"
#include "server/refusal.h"

/* Ephemeral apps live for 14 days (http.md 8.2). */
#define EPHEMERAL_MS (14ll * 24 * 60 * 60 * 1000)

static enum inst_status answer_health(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    (void)server;
    (void)request;
    (void)err;
    inst_buf_add_str(&response->body, "{\"wal\":\"ok\"}");
    return INST_OK;
}

static enum inst_status answer_root(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    (void)server;
    (void)request;
    (void)err;
    inst_buf_add_str(&response->body, "{\"message\":\"Welcome to Instant's Backend!\"}");
    return INST_OK;
}

/* ---- POST /dash/apps/ephemeral ---- */

static enum inst_status read_title(const struct inst_value *body, char out[256],
                                   struct inst_err *err) {
    static const char *const path[] = {"body", "title"};
    const struct inst_value *title = inst_getz(body, "title");
    if (title == NULL || inst_is_nullish(title))
        return inst_refuse_missing(err, path, 2);
    size_t start = 0, end = title->tag == INST_STRING ? title->len : 0;
    while (start < end && strchr(" \t\r\n", title->u.str[start]) != NULL)
        start++;
    while (end > start && strchr(" \t\r\n", title->u.str[end - 1]) != NULL)
        end--;
    bool has_nul = end > start && memchr(title->u.str + start, 0, end - start) != NULL;
    if (start == end || end - start > INST_SERVER_MAX_TITLE || has_nul)
        return inst_refuse_malformed(err, path, 2, title);
    memcpy(out, title->u.str + start, end - start);
    out[end - start] = 0;
    return INST_OK;
}

static bool is_empty(const struct inst_value *v) {
    return v == NULL || inst_is_nullish(v) || (v->tag == INST_OBJECT && v->len == 0);
}

/* Clients send them as {"code": ...}, bare, or as `perms` (http.md 8.2). NULL: none. */
static const struct inst_value *find_rules(const struct inst_value *body) {
    static const char *const names[] = {"rules", "perms"};
    for (size_t i = 0; i < 2; i++) {
        const struct inst_value *rules = inst_getz(body, names[i]);
        const struct inst_value *code = rules != NULL ? inst_getz(rules, "code") : NULL;
        if (code != NULL && rules->len == 1)
            rules = code;
        if (!is_empty(rules))
            return rules;
    }
    return NULL;
}

/* token NULL: it is known only to who made the app. */
static void write_app(struct inst_buf *buf, const struct inst_app_info *info, const char *token) {
    char created[INST_DATE_TEXT_MAX];
    struct inst_value title = inst_cstring(info->title);
    size_t len = inst_date_iso((double)info->created_ms, created);
    inst_buf_addf(buf, "{\"app\":{\"id\":\"%s\",\"title\":", info->id);
    inst_json_write(buf, &title);
    inst_buf_add_str(buf, ",\"creator_id\":null,\"created_at\":\"");
    /* second precision: http.md 1.1 */
    inst_buf_add(buf, created, len > 5 ? len - 5 : len);
    inst_buf_add_str(buf, "Z\"");
    if (token != NULL)
        inst_buf_addf(buf, ",\"admin-token\":\"%s\"", token);
    inst_buf_add_str(buf, "},\"expires_ms\":");
    inst_buf_add_int(buf, info->expires_ms);
    inst_buf_add_char(buf, '}');
}

static enum inst_status answer_ephemeral(struct inst_server *server,
                                         const struct inst_http_request *request,
                                         struct inst_http_response *response,
                                         struct inst_err *err) {
    struct inst_value body;
    struct inst_app_info info;
    struct inst_app *app;
    char title[256], token[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = read_title(&body, title, err)) != INST_OK)
        return st;
    const struct inst_value *rules = find_rules(&body);
    if (rules != NULL && (st = inst_check_rules(rules, &server->scratch, err)) != INST_OK)
        return st;
    const struct inst_value *schema = inst_getz(&body, "schema");
    int64_t expires = server->env->now_ms(server->env->ctx) + EPHEMERAL_MS;
    st = inst_server_create_app(server, title, is_empty(schema) ? NULL : schema, expires, &info,
                                token, err);
    if (st == INST_OK && rules != NULL &&
        (st = inst_app_get(server, info.id, &app, err)) == INST_OK)
        st = inst_app_set_rules(app, rules, err);
    if (st == INST_OK)
        write_app(&response->body, &info, token);
    return st;
}

/* ---- GET /dash/apps/ephemeral/:id ---- */

static enum inst_status answer_ephemeral_app(struct inst_server *server,
                                             const struct inst_http_request *request,
                                             struct inst_http_response *response,
                                             struct inst_err *err) {
    static const char *const path[] = {"params", "id"};
    const char *id = inst_http_path_param(request, "id");
    struct inst_app_info info;
    struct inst_uuid uuid;
    char plain[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(id, strlen(id), &uuid)) {
        struct inst_value input = inst_cstring(id);
        return inst_refuse_malformed(err, path, 2, &input);
    }
    inst_uuid_print(&uuid, plain);
    enum inst_status st = server->host.apps->find(server->host.apps_ctx, plain, &info, err);
    if (st == INST_OK && info.expires_ms == 0)
        st = inst_refuse_not_found(err, "app", "[{}]"); /* not for everybody's eyes */
    if (st == INST_OK)
        write_app(&response->body, &info, NULL);
    return st;
}

const struct inst_http_route inst_http_dash_routes[] = {
    {"GET", "/", answer_root},
    {"GET", "/health/system", answer_health},
    {"POST", "/dash/apps/ephemeral", answer_ephemeral},
    {"GET", "/dash/apps/ephemeral/:id", answer_ephemeral_app},
    {NULL, NULL, NULL},
};
