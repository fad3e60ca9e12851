/* Routes: what becomes of an app's data and rules as a whole (http.md 6.5, 8.2). */
#include "base/json.h"
#include "server/http_routes.h"
#include "server/purge.h"

/* ---- clear ---- */

static enum inst_status hide_attrs(struct inst_app *app, struct inst_err *err) {
    struct inst_arena *scratch = &app->server->scratch;
    const struct inst_attrs *attrs = app->catalog->attrs;
    struct inst_array_builder steps;
    struct inst_value list;
    inst_array_begin(&steps, scratch);
    for (size_t i = 0; i < inst_attrs_count(attrs); i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs, i);
        struct inst_value *step = inst_arena_alloc(scratch, 2 * sizeof *step);
        if (step == NULL)
            return inst_err_nomem(err);
        step[0] = inst_cstring("delete-attr");
        step[1] = attr->id;
        if (!attr->is_system)
            inst_array_add(&steps, inst_array(step, 2));
    }
    if (!inst_array_end(&steps, &list))
        return inst_err_nomem(err);
    return list.len == 0 ? INST_OK : inst_app_transact_now(app, &list, "{\"admin\":true}", err);
}

/* Every namespace and attr of the app's own goes, as if they were deleted one by one, then its
 * rules; users, files and settings stay. */
static enum inst_status answer_clear(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_value none = inst_object(NULL, 0);
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_app_check_write(app, err)) != INST_OK ||
        (st = hide_attrs(app, err)) != INST_OK ||
        (st = inst_app_set_rules(app, &none, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"ok\":true}");
    return INST_OK;
}

/* ---- what was deleted ---- */

struct hidden {
    struct inst_app *app;
    struct inst_buf *out;
};

/* What can still be restored. */
static bool add_attr(void *ctx, const char *json, size_t len) {
    const struct hidden *hidden = ctx;
    const struct inst_env *env = hidden->app->server->env;
    struct inst_buf *out = hidden->out;
    struct inst_value attr;
    if (inst_json_parse(&hidden->app->server->scratch, json, len, &attr, NULL) == INST_OK &&
        inst_purge_is_over(&attr, env->now_ms(env->ctx)))
        return true;
    if (out->data[out->len - 1] != '[')
        inst_buf_add_char(out, ',');
    inst_buf_add(out, json, len);
    return !out->failed;
}

static enum inst_status write_hidden(struct inst_app *app, struct inst_buf *out,
                                     struct inst_err *err) {
    inst_buf_add_str(out, "{\"attrs\":[");
    struct hidden hidden = {app, out};
    enum inst_status st = out->failed
                              ? inst_err_nomem(err)
                              : app->db->db_ops->each_hidden_attr(app->db, add_attr, &hidden, err);
    inst_buf_addf(out, "],\"grace-period-days\":%d}", INST_PURGE_GRACE_DAYS);
    return st;
}

static enum inst_status answer_hidden(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_http_path_app(server, request, &app, err);
    return st == INST_OK ? write_hidden(app, &response->body, err) : st;
}

static enum inst_status answer_admin_hidden(struct inst_server *server,
                                            const struct inst_http_request *request,
                                            struct inst_http_response *response,
                                            struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_http_admin_app(server, request, &app, err);
    return st == INST_OK ? write_hidden(app, &response->body, err) : st;
}

/* ---- rules ---- */

/* Only the last version is kept. */
static enum inst_status answer_versions(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_rules *rules;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_app_rules(app, &rules, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"versions\":[");
    if (inst_app_has_rules(app)) {
        inst_buf_addf(&response->body, "{\"app_id\":\"%s\",\"version\":1,\"code\":", app->info.id);
        inst_json_write(&response->body, inst_rules_code(rules));
        inst_buf_add_char(&response->body, '}');
    }
    inst_buf_add_str(&response->body, "]}");
    return INST_OK;
}

const struct inst_http_route inst_http_data_routes[] = {
    {"POST", "/dash/apps/:app_id/clear", answer_clear},
    {"GET", "/dash/apps/:app_id/soft_deleted_attrs", answer_hidden},
    {"GET", "/admin/soft_deleted_attrs", answer_admin_hidden},
    {"GET", "/dash/apps/:app_id/rule-versions", answer_versions},
    {NULL, NULL, NULL},
};
