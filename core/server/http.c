#include "server/http.h"

#include "base/date.h"
#include "base/json.h"
#include "server/engine.h"
#include "server/limits.h"
#include "server/refusal.h"

/* Ephemeral apps live for 14 days (http.md 8.2). */
#define EPHEMERAL_MS (14ll * 24 * 60 * 60 * 1000)

static void answer_error(struct inst_http_response *response, const struct inst_err *err) {
    const char *message = err->message != NULL ? err->message : "";
    response->status = err->status != 0 ? err->status : 500;
    inst_buf_clear(&response->body);
    inst_buf_add_str(&response->body, "{\"type\":");
    inst_json_write_string(&response->body, err->type != NULL ? err->type : "unknown",
                           strlen(err->type != NULL ? err->type : "unknown"));
    inst_buf_add_str(&response->body, ",\"message\":");
    inst_json_write_string(&response->body, message, strlen(message));
    if (err->hint != NULL)
        inst_buf_addf(&response->body, ",\"hint\":%s", err->hint);
    inst_buf_add_char(&response->body, '}');
}

static void answer_health(struct inst_server *server, const struct inst_http_request *request,
                          struct inst_http_response *response) {
    (void)server;
    (void)request;
    inst_buf_add_str(&response->body, "{\"wal\":\"ok\"}");
}

static void answer_root(struct inst_server *server, const struct inst_http_request *request,
                        struct inst_http_response *response) {
    (void)server;
    (void)request;
    inst_buf_add_str(&response->body, "{\"message\":\"Welcome to Instant's Backend!\"}");
}

/* ---- POST /dash/apps/ephemeral ---- */

static enum inst_status read_body(struct inst_server *server,
                                  const struct inst_http_request *request, struct inst_value *out,
                                  struct inst_err *err) {
    static const char *const path[] = {"body"};
    if (inst_json_parse(&server->scratch, request->body, request->body_len, out, NULL) != INST_OK ||
        out->tag != INST_OBJECT) {
        struct inst_value text =
            inst_string(request->body, request->body_len < 1000 ? request->body_len : 0);
        return inst_refuse_malformed(err, path, 1, &text);
    }
    return INST_OK;
}

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

/* Rules that nobody enforces would be a promise broken: they are refused, not ignored. Clients send
 * them as {"code": ...}, bare, or as `perms` (http.md 8.2). */
static enum inst_status check_rules(const struct inst_value *body, struct inst_err *err) {
    static const char *const names[] = {"rules", "perms"};
    for (size_t i = 0; i < 2; i++) {
        const struct inst_value *rules = inst_getz(body, names[i]);
        const struct inst_value *code = rules != NULL ? inst_getz(rules, "code") : NULL;
        if (is_empty(rules) || (code != NULL && rules->len == 1 && is_empty(code)))
            continue;
        return inst_refuse_validation(err, "rule", NULL, NULL, "Rules are not enforced yet.");
    }
    return INST_OK;
}

static void write_app(struct inst_buf *buf, const struct inst_app_info *info, const char *token) {
    char created[INST_DATE_TEXT_MAX];
    struct inst_value title = inst_cstring(info->title);
    size_t len = inst_date_iso((double)info->created_ms, created);
    inst_buf_addf(buf, "{\"app\":{\"id\":\"%s\",\"title\":", info->id);
    inst_json_write(buf, &title);
    inst_buf_add_str(buf, ",\"creator_id\":null,\"created_at\":\"");
    /* second precision: http.md 1.1 */
    inst_buf_add(buf, created, len > 5 ? len - 5 : len);
    inst_buf_addf(buf, "Z\",\"admin-token\":\"%s\"},\"expires_ms\":", token);
    inst_buf_add_int(buf, info->expires_ms);
    inst_buf_add_char(buf, '}');
}

static void answer_ephemeral(struct inst_server *server, const struct inst_http_request *request,
                             struct inst_http_response *response) {
    struct inst_err err = {0};
    struct inst_value body;
    struct inst_app_info info;
    char title[256], token[INST_UUID_TEXT + 1];
    int64_t expires = server->env->now_ms(server->env->ctx) + EPHEMERAL_MS;
    if (read_body(server, request, &body, &err) == INST_OK &&
        read_title(&body, title, &err) == INST_OK && check_rules(&body, &err) == INST_OK) {
        const struct inst_value *schema = inst_getz(&body, "schema");
        if (inst_server_create_app(server, title, is_empty(schema) ? NULL : schema, expires, &info,
                                   token, &err) == INST_OK) {
            write_app(&response->body, &info, token);
            return;
        }
    }
    answer_error(response, &err);
    inst_err_clear(&err);
}

/* ---- routes ---- */

static const struct {
    const char *method;
    const char *path;
    void (*fn)(struct inst_server *server, const struct inst_http_request *request,
               struct inst_http_response *response);
} routes[] = {
    {"GET", "/", answer_root},
    {"GET", "/health/system", answer_health},
    {"POST", "/dash/apps/ephemeral", answer_ephemeral},
};

void inst_server_http(struct inst_server *server, const struct inst_http_request *request,
                      struct inst_http_response *response) {
    response->status = 200;
    inst_buf_init(&response->body);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].method, request->method) == 0 &&
            strcmp(routes[i].path, request->path) == 0) {
            routes[i].fn(server, request, response);
            inst_arena_reset(&server->scratch);
            return;
        }
    }
    response->status = 404;
    inst_buf_add_str(&response->body, "{\"message\":\"Oops! We couldn't match this route.\"}");
}
