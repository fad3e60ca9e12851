#include "server/app_json.h"

#include "base/date.h"
#include "base/json.h"
#include "server/http_routes.h"
#include "server/limits.h"
#include "server/operators.h"
#include "server/refusal.h"

void inst_write_time(struct inst_buf *buf, const char *name, int64_t ms) {
    char text[INST_DATE_TEXT_MAX];
    size_t len = inst_date_iso((double)ms, text);
    inst_buf_addf(buf, ",\"%s\":\"%.*sZ\"", name, len > 5 ? (int)len - 5 : (int)len, text);
}

void inst_app_json_begin(struct inst_buf *buf, const struct inst_app_info *info,
                         const char *token) {
    inst_buf_addf(buf, "{\"id\":\"%s\",\"title\":", info->id);
    inst_json_write_string(buf, info->title, strlen(info->title));
    /* One that expires is nobody's yet. */
    inst_buf_add_str(buf, info->expires_ms != 0 ? ",\"creator_id\":null"
                                                : ",\"creator_id\":\"" INST_OPERATOR_ID "\"");
    inst_buf_add_str(buf, ",\"org_id\":null");
    inst_write_time(buf, "created_at", info->created_ms);
    if (token != NULL)
        inst_buf_addf(buf, ",\"admin-token\":\"%s\"", token);
}

enum inst_status inst_app_read_title(struct inst_server *server, const struct inst_value *body,
                                     const char **out, struct inst_err *err) {
    static const char *const path[] = {"body", "title"};
    enum inst_status st = inst_http_body_text(body, "title", &server->scratch, out, err);
    if (st == INST_OK && strlen(*out) > INST_SERVER_MAX_TITLE)
        return inst_refuse_malformed(err, path, 2, inst_getz(body, "title"));
    return st;
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

enum inst_status inst_app_make_asked(struct inst_server *server, const struct inst_value *body,
                                     struct inst_app_info *info, const char *token,
                                     struct inst_err *err) {
    const struct inst_value *rules = find_rules(body), *schema = inst_getz(body, "schema");
    const char *title;
    struct inst_app *app;
    enum inst_status st = inst_app_read_title(server, body, &title, err);
    if (st == INST_OK && rules != NULL)
        st = inst_check_rules(rules, &server->scratch, err);
    if (st != INST_OK)
        return st;
    strcpy(info->title, title); /* no longer than INST_SERVER_MAX_TITLE */
    st = inst_server_make_app(server, info, token, is_empty(schema) ? NULL : schema, err);
    if (st == INST_OK && rules != NULL &&
        (st = inst_app_get(server, info->id, &app, err)) == INST_OK)
        st = inst_app_set_rules(app, rules, err);
    return st;
}
