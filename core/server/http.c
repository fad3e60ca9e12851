#include "server/http.h"

#include "base/json.h"
#include "server/http_routes.h"

/* Every area's routes. The first that fits answers. */
static const struct inst_http_route *const tables[] = {
    inst_http_dash_routes,       inst_http_admin_routes,       inst_http_debug_routes,
    inst_http_perms_routes,      inst_http_status_routes,      inst_http_admin_rooms_routes,
    inst_http_admin_sse_routes,  inst_http_sse_routes,         inst_http_storage_routes,
    inst_http_upload_routes,     inst_http_auth_routes,        inst_http_admin_users_routes,
    inst_http_oauth_routes,      inst_http_id_token_routes,    inst_http_dash_auth_routes,
    inst_http_dash_mail_routes,  inst_http_oauth_start_routes, inst_http_oauth_callback_routes,
    inst_http_jobs_routes,       inst_http_functions_routes,   inst_http_apps_routes,
    inst_http_schema_routes,     inst_http_cli_login_routes,   inst_http_framework_routes,
    inst_http_data_routes,       inst_http_hosted_routes,      inst_http_changes_routes,
    inst_http_backups_routes,    inst_http_webhooks_routes,    inst_http_platform_routes,
    inst_http_oauth_apps_routes,
};

/* ---- which route ---- */

static size_t segment_len(const char *at) { return strcspn(at, "/"); }

struct segment {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

/* Does path fit the pattern? found gets its `:name` segments, and what a `*name` at its end takes:
 * nothing, or a slash and all that follows. */
static bool fits(const char *pattern, const char *path,
                 struct segment found[INST_HTTP_MAX_PATH_PARAMS], size_t *count) {
    *count = 0;
    while (*pattern == '/' && *path == '/') {
        size_t wanted = strcspn(++pattern, "/*"), len = segment_len(++path);
        if (*pattern == ':') {
            if (len == 0 || *count == INST_HTTP_MAX_PATH_PARAMS)
                return false;
            found[(*count)++] = (struct segment){pattern + 1, wanted - 1, path, len};
        } else if (wanted != len || memcmp(pattern, path, len) != 0) {
            return false;
        }
        pattern += wanted;
        path += len;
    }
    if (*pattern == '*' && *count < INST_HTTP_MAX_PATH_PARAMS) {
        found[(*count)++] = (struct segment){pattern + 1, strlen(pattern + 1), path, strlen(path)};
        return true;
    }
    return *pattern == '\0' && *path == '\0';
}

static const struct inst_http_route *find_route(const struct inst_http_request *request,
                                                struct segment found[INST_HTTP_MAX_PATH_PARAMS],
                                                size_t *count) {
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct inst_http_route *route = tables[i]; route->method != NULL; route++)
            if (strcmp(route->method, request->method) == 0 &&
                fits(route->path, request->path, found, count))
                return route;
    return NULL;
}

static enum inst_status set_path_params(struct inst_http_request *request,
                                        const struct segment *found, size_t count,
                                        struct inst_arena *arena, struct inst_err *err) {
    request->path_param_count = count;
    for (size_t i = 0; i < count; i++) {
        struct inst_http_field *param = &request->path_params[i];
        param->name = inst_arena_dup(arena, found[i].name, found[i].name_len);
        param->value = inst_arena_dup(arena, found[i].value, found[i].value_len);
        if (param->name == NULL || param->value == NULL)
            return inst_err_nomem(err);
    }
    return INST_OK;
}

/* ---- errors ---- */

/* The same type has another status over HTTP than over a socket (session.md 2.4). */
static int http_status(const struct inst_err *err) {
    static const struct {
        const char *type;
        int status;
    } statuses[] = {
        {"rate-limited", 429},
        {"timeout", 429},
        {"parameter-limit-exceeded", 400},
    };
    for (size_t i = 0; err->type != NULL && i < sizeof statuses / sizeof *statuses; i++)
        if (strcmp(err->type, statuses[i].type) == 0)
            return statuses[i].status;
    return err->status != 0 ? err->status : 500;
}

static void log_error(struct inst_server *server, const char *trace, const char *message) {
    struct inst_buf line;
    inst_buf_init(&line);
    inst_buf_addf(&line, "%s (trace %s)", message, trace);
    server->env->log(server->env->ctx, INST_LOG_ERROR, line.failed ? message : line.data);
    inst_buf_free(&line);
}

void inst_http_answer_error(struct inst_server *server, struct inst_http_response *response,
                            const struct inst_err *err) {
    const char *type = err->type != NULL ? err->type : "unknown";
    const char *message = err->message != NULL ? err->message : "";
    if (response->stream != NULL)
        inst_session_close(response->stream);
    response->stream = NULL;
    response->status = http_status(err);
    response->content_type = NULL;
    inst_tracer_next(&server->tracer, response->trace);
    if (response->status >= 500 && server->env->log != NULL)
        log_error(server, response->trace, message);
    /* Which file and what the disk said is for the operator, whose log has it. */
    bool is_private = strcmp(type, "data-file") == 0;
    if (is_private)
        message = "The backend could not read or write its data; its log says why.";
    if (err->type == NULL)
        message = "Something went wrong. Sorry about this!";
    response->file = (struct inst_http_file){0};
    inst_buf_free(&response->headers);
    inst_buf_clear(&response->body);
    inst_buf_add_str(&response->body, "{\"type\":");
    inst_json_write_string(&response->body, type, strlen(type));
    /* The one envelope without a message (http.md 1.3). */
    bool is_oauth = strcmp(type, "oauth-error") == 0;
    inst_buf_add_str(&response->body, is_oauth ? ",\"error\":" : ",\"message\":");
    inst_json_write_string(&response->body, message, strlen(message));
    if (err->hint != NULL && !is_private)
        inst_buf_addf(&response->body, ",\"hint\":%s", err->hint);
    if (!is_oauth)
        inst_buf_addf(&response->body, ",\"trace-id\":\"%s\"", response->trace);
    inst_buf_add_char(&response->body, '}');
}

/* ---- every request ---- */

void inst_server_http(struct inst_server *server, const struct inst_http_request *request,
                      struct inst_http_response *response) {
    struct inst_http_request matched = *request;
    struct segment found[INST_HTTP_MAX_PATH_PARAMS];
    size_t count = 0;
    struct inst_err err = {0};
    *response = (struct inst_http_response){.status = 200};
    const struct inst_http_route *route = find_route(request, found, &count);
    if (route == NULL) {
        response->status = 404;
        inst_buf_add_str(&response->body, "{\"message\":\"Oops! We couldn't match this route.\"}");
    } else if (set_path_params(&matched, found, count, &server->scratch, &err) != INST_OK ||
               route->fn(server, &matched, response, &err) != INST_OK) {
        inst_http_answer_error(server, response, &err);
    }
    inst_err_clear(&err);
    inst_arena_reset(&server->scratch);
}

/* ---- uploads ---- */

static const struct inst_http_upload_route *
find_upload(const struct inst_http_request *request,
            struct segment found[INST_HTTP_MAX_PATH_PARAMS], size_t *count) {
    const struct inst_http_upload_route *route = inst_http_uploads;
    while (route->method != NULL && (strcmp(route->method, request->method) != 0 ||
                                     !fits(route->path, request->path, found, count)))
        route++;
    return route->method != NULL ? route : NULL;
}

bool inst_upload_begin(struct inst_server *server, const struct inst_http_request *head,
                       struct inst_upload **out, struct inst_http_response *response) {
    struct inst_http_request matched = *head;
    struct segment found[INST_HTTP_MAX_PATH_PARAMS];
    size_t count = 0;
    struct inst_err err = {0};
    const struct inst_http_upload_route *route = find_upload(head, found, &count);
    *out = NULL;
    *response = (struct inst_http_response){.status = 200};
    if (route == NULL)
        return false;
    if (set_path_params(&matched, found, count, &server->scratch, &err) != INST_OK ||
        route->fn(server, &matched, out, &err) != INST_OK)
        inst_http_answer_error(server, response, &err);
    inst_err_clear(&err);
    inst_arena_reset(&server->scratch);
    return true;
}

void inst_upload_done(struct inst_server *server, const struct inst_upload *upload, uint64_t size,
                      const struct inst_err *failed, struct inst_http_response *response) {
    struct inst_err err = {0};
    *response = (struct inst_http_response){.status = 200};
    if (failed != NULL)
        inst_http_answer_error(server, response, failed);
    else if (inst_http_upload_done(server, upload, size, response, &err) != INST_OK)
        inst_http_answer_error(server, response, &err);
    inst_err_clear(&err);
    inst_arena_reset(&server->scratch);
}

void inst_http_response_clear(struct inst_http_response *response) {
    inst_buf_free(&response->headers);
    inst_buf_free(&response->body);
}
