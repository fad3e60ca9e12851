#include "base/json.h"
#include "server/http_routes.h"
#include "server/jobs.h"
#include "server/refusal.h"

/* Routes: background jobs (transactions.md 14.5, http.md 8.4). */

static enum inst_status answer_add(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_value body;
    struct inst_job_wish wish = {.id = ""};
    char attr_id[INST_UUID_TEXT + 1];
    const char *type, *checked;
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_uuid(&body, "attr-id", attr_id, err)) != INST_OK ||
        (st = inst_http_body_text(&body, "job-type", &server->scratch, &type, err)) != INST_OK)
        return st;
    wish.attr_id = inst_cstring(attr_id);
    wish.type = inst_cstring(type);
    if (strcmp(type, "check-data-type") == 0) {
        st = inst_http_body_text(&body, "checked-data-type", &server->scratch, &checked, err);
        if (st != INST_OK)
            return st;
        wish.checked_data_type = inst_cstring(checked);
    }
    if ((st = inst_jobs_add(app, &wish, 1, NULL, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"job\":");
    inst_jobs_write(app, wish.id, &response->body);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

/* The uuid that stands in the path for name. */
static enum inst_status path_uuid(const struct inst_http_request *request, const char *name,
                                  char out[INST_UUID_TEXT + 1], struct inst_err *err) {
    const char *const path[] = {"params", name};
    const char *text = inst_http_path_param(request, name);
    struct inst_uuid uuid;
    if (!inst_uuid_parse(text, strlen(text), &uuid)) {
        struct inst_value input = inst_cstring(text);
        return inst_refuse_malformed(err, path, 2, &input);
    }
    inst_uuid_print(&uuid, out);
    return INST_OK;
}

static enum inst_status answer_group(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    char group[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = path_uuid(request, "group_id", group, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"jobs\":");
    inst_jobs_write_group(app, group, &response->body);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

static enum inst_status answer_job(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_path_app(server, request, &app, err)) != INST_OK ||
        (st = path_uuid(request, "job_id", id, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"job\":");
    if (!inst_jobs_write(app, id, &response->body))
        inst_buf_add_str(&response->body, "null");
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

const struct inst_http_route inst_http_jobs_routes[] = {
    {"POST", "/dash/apps/:app_id/indexing-jobs", answer_add},
    {"GET", "/dash/apps/:app_id/indexing-jobs/group/:group_id", answer_group},
    {"GET", "/dash/apps/:app_id/indexing-jobs/:job_id", answer_job},
    {NULL, NULL, NULL},
};
