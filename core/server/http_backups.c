/* Routes: backups of one app (http.md 12.1). */
#include "server/backups.h"

#include "base/json.h"
#include "server/app_json.h"
#include "server/files.h"
#include "server/http_routes.h"
#include "server/operators.h"
#include "server/refusal.h"

#define URL_S (60 * 60)
/* What a list of files may become. */
#define MAX_LIST (256u << 20)

static const struct inst_backups_ops *ops_of(const struct inst_server *server) {
    return server->host.backups;
}

static enum inst_status open_app(struct inst_server *server,
                                 const struct inst_http_request *request, struct inst_app **app,
                                 struct inst_err *err) {
    enum inst_status st = inst_http_path_app(server, request, app, err);
    if (st == INST_OK && ops_of(server) == NULL)
        st = inst_refuse_validation(err, "app-backup", NULL, NULL,
                                    "There are no backups of one data file: copy the file.");
    return st;
}

/* A uuid of the path, in its canonical spelling. */
static enum inst_status path_id(const struct inst_http_request *request, const char *name,
                                char out[INST_UUID_TEXT + 1], struct inst_err *err) {
    const char *const path[] = {"params", name};
    const char *text = inst_http_path_param(request, name);
    struct inst_value input = inst_cstring(text);
    struct inst_uuid uuid;
    if (!inst_uuid_parse(text, strlen(text), &uuid))
        return inst_refuse_malformed(err, path, 2, &input);
    inst_uuid_print(&uuid, out);
    return INST_OK;
}

static void comma(struct inst_buf *out) {
    if (out->len > 0 && out->data[out->len - 1] != '[')
        inst_buf_add_char(out, ',');
}

static void write_description(struct inst_buf *out, const char *text) {
    inst_buf_add_str(out, ",\"description\":");
    if (text[0] != '\0')
        inst_json_write_string(out, text, strlen(text));
    else
        inst_buf_add_str(out, "null");
}

/* ---- backups ---- */

static bool write_info(void *ctx, const struct inst_backup_info *info) {
    struct inst_buf *out = ctx;
    comma(out);
    inst_buf_addf(out, "{\"id\":\"%s\",\"isn\":\"%lld\"", info->id, (long long)info->isn);
    inst_write_time(out, "backup_at", info->at_ms);
    inst_write_time(out, "expires_at", info->expires_ms);
    inst_buf_addf(out, ",\"files_size\":%llu,\"db_size\":%llu,\"uncompressed_size\":%llu",
                  (unsigned long long)info->files_size, (unsigned long long)info->db_size,
                  (unsigned long long)info->uncompressed_size);
    write_description(out, info->description);
    inst_buf_add_char(out, '}');
    return !out->failed;
}

static enum inst_status answer_list(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = open_app(server, request, &app, err);
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"backups\":[");
    st = ops_of(server)->each(server->host.backups_ctx, app->info.id, write_info, &response->body,
                              err);
    inst_buf_add_str(&response->body, "]}");
    return st;
}

static enum inst_status answer_remove(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    char id[INST_UUID_TEXT + 1];
    bool found;
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = path_id(request, "backup_id", id, err)) != INST_OK ||
        (st = ops_of(server)->remove(server->host.backups_ctx, app->info.id, id, &found, err)) !=
            INST_OK)
        return st;
    if (!found)
        return inst_refuse_not_found(err, "app-backup", "[{}]");
    inst_buf_addf(&response->body, "{\"id\":\"%s\"}", id);
    return INST_OK;
}

/* ---- jobs ---- */

static void write_job(struct inst_buf *out, const struct inst_backup_job *job) {
    static const char *const states[] = {"processing", "completed", "errored", "cancelled"};
    bool is_done = job->state != INST_BACKUP_PROCESSING;
    inst_buf_addf(out, "{\"id\":\"%s\",\"app_id\":\"%s\",\"job_status\":\"%s\"", job->id, job->app,
                  states[job->state]);
    inst_buf_addf(out, ",\"app_backup_id\":%s%s%s", job->state == INST_BACKUP_COMPLETED ? "\"" : "",
                  job->state == INST_BACKUP_COMPLETED ? job->id : "null",
                  job->state == INST_BACKUP_COMPLETED ? "\"" : "");
    inst_buf_addf(out, ",\"work_estimate\":%llu,\"work_completed\":%llu",
                  (unsigned long long)job->work_estimate, (unsigned long long)job->work_completed);
    write_description(out, job->description);
    inst_write_time(out, "created_at", job->created_ms);
    inst_write_time(out, "updated_at", job->updated_ms);
    if (is_done)
        inst_write_time(out, "done_at", job->done_ms);
    else
        inst_buf_add_str(out, ",\"done_at\":null");
    inst_buf_add_char(out, '}');
}

static bool count_info(void *ctx, const struct inst_backup_info *info) {
    (void)info;
    ++*(size_t *)ctx;
    return true;
}

/* Whoever has an app's token does not fill the disk with it. */
static enum inst_status check_room(struct inst_app *app, struct inst_err *err) {
    struct inst_server *server = app->server;
    size_t count = 0;
    if (app->info.expires_ms != 0)
        return inst_refuse_validation(err, "app-backup-job", NULL, NULL,
                                      "Ephemeral apps can't be backed up.");
    enum inst_status st =
        ops_of(server)->each(server->host.backups_ctx, app->info.id, count_info, &count, err);
    if (st == INST_OK && count >= INST_BACKUPS_MAX)
        st = inst_refuse_validation(err, "app-backup-job", NULL, NULL,
                                    "There are %d backups of this app. Delete one first.",
                                    INST_BACKUPS_MAX);
    return st;
}

static enum inst_status answer_begin(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"body", "description"};
    struct inst_backup_job job = {.state = INST_BACKUP_PROCESSING};
    struct inst_app *app;
    struct inst_value body;
    const char *description = "";
    bool is_busy = false;
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK)
        return st;
    const struct inst_value *given = inst_getz(&body, "description");
    if (given != NULL && !inst_is_nullish(given) &&
        (st = inst_http_body_text(&body, "description", &server->scratch, &description, err)) !=
            INST_OK)
        return st;
    if (strlen(description) > INST_BACKUPS_MAX_DESCRIPTION)
        return inst_refuse_malformed(err, path, 2, given);
    if ((st = check_room(app, err)) != INST_OK)
        return st;
    inst_uuid_make_text(server->env, job.id);
    strcpy(job.app, app->info.id);
    strcpy(job.description, description);
    job.created_ms = job.updated_ms = server->env->now_ms(server->env->ctx);
    st = ops_of(server)->begin(server->host.backups_ctx, &job, app->info.title, &is_busy, err);
    if (st == INST_OK && is_busy)
        st = inst_refuse_validation(err, "app-backup-job", NULL, NULL,
                                    "A backup is already in progress for this app.");
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"job\":");
    write_job(&response->body, &job);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

static bool write_active(void *ctx, const struct inst_backup_job *job) {
    struct inst_buf *out = ctx;
    if (job->state != INST_BACKUP_PROCESSING)
        return true;
    comma(out);
    write_job(out, job);
    return !out->failed;
}

static enum inst_status answer_jobs(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = open_app(server, request, &app, err);
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"jobs\":[");
    ops_of(server)->each_job(server->host.backups_ctx, app->info.id, write_active, &response->body);
    inst_buf_add_str(&response->body, "]}");
    return INST_OK;
}

struct sought_job {
    const char *id;
    struct inst_buf *out;
    bool found;
};

static bool write_sought(void *ctx, const struct inst_backup_job *job) {
    struct sought_job *sought = ctx;
    sought->found = strcmp(job->id, sought->id) == 0;
    if (sought->found)
        write_job(sought->out, job);
    return !sought->found;
}

static enum inst_status answer_job(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    char id[INST_UUID_TEXT + 1];
    struct sought_job sought = {.id = id, .out = &response->body};
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = path_id(request, "job_id", id, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"job\":");
    ops_of(server)->each_job(server->host.backups_ctx, app->info.id, write_sought, &sought);
    if (!sought.found)
        inst_buf_add_str(&response->body, "null"); /* as the original has it */
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

static enum inst_status answer_cancel(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = path_id(request, "job_id", id, err)) != INST_OK)
        return st;
    if (!ops_of(server)->cancel(server->host.backups_ctx, app->info.id, id))
        return inst_refuse_not_found(err, "app-backup-job", "[{}]");
    inst_buf_addf(&response->body, "{\"id\":\"%s\"}", id);
    return INST_OK;
}

/* ---- objects ---- */

struct sought_object {
    const char *name, *location; /* either may be NULL: not asked for */
    struct inst_backup_object found;
};

static bool take_sought(void *ctx, const struct inst_backup_object *object) {
    struct sought_object *sought = ctx;
    if ((sought->name != NULL && strcmp(object->name, sought->name) != 0) ||
        (sought->location != NULL && strcmp(object->location, sought->location) != 0))
        return true;
    sought->found = *object;
    return false;
}

/* sought->found.location is "" when there is no such object. */
static enum inst_status find_object(struct inst_server *server, const char *app_id, const char *id,
                                    struct sought_object *sought, struct inst_err *err) {
    bool found;
    enum inst_status st = ops_of(server)->each_object(server->host.backups_ctx, app_id, id,
                                                      take_sought, sought, &found, err);
    return st == INST_OK && !found ? inst_refuse_not_found(err, "app-backup", "[{}]") : st;
}

static bool write_object(void *ctx, const struct inst_backup_object *object) {
    struct inst_buf *out = ctx;
    comma(out);
    inst_buf_add_str(out, "{\"name\":");
    inst_json_write_string(out, object->name, strlen(object->name));
    inst_buf_addf(out, ",\"size\":%llu}", (unsigned long long)object->size);
    return !out->failed;
}

static enum inst_status answer_objects(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    char id[INST_UUID_TEXT + 1];
    bool found;
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = path_id(request, "backup_id", id, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"files\":[");
    st = ops_of(server)->each_object(server->host.backups_ctx, app->info.id, id, write_object,
                                     &response->body, &found, err);
    inst_buf_add_str(&response->body, "]}");
    return st == INST_OK && !found ? inst_refuse_not_found(err, "app-backup", "[{}]") : st;
}

static enum inst_status answer_url(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"params", "name"};
    struct sought_object sought = {0};
    struct inst_app *app;
    char id[INST_UUID_TEXT + 1], signature[INST_FILES_SIGNATURE + 1];
    int64_t expires_s = server->env->now_ms(server->env->ctx) / 1000 + URL_S;
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = path_id(request, "backup_id", id, err)) != INST_OK ||
        (st = inst_http_param(request, "name", &server->scratch, &sought.name, err)) != INST_OK)
        return st;
    if (sought.name == NULL)
        return inst_refuse_missing(err, path, 2);
    if ((st = find_object(server, app->info.id, id, &sought, err)) != INST_OK)
        return st;
    if (sought.found.location[0] == '\0')
        return inst_refuse_not_found(err, "app-backup-file", "[{}]");
    st = inst_files_sign(server, app->info.id, sought.found.location, expires_s, signature, err);
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"url\":\"");
    inst_http_origin(server, request, &response->body);
    inst_buf_addf(&response->body, "/dash/backup-files/%s/%s/%s?expires=%lld&signature=%s\"}",
                  app->info.id, id, sought.found.location, (long long)expires_s, signature);
    return INST_OK;
}

static enum inst_status refuse_object(struct inst_err *err) {
    inst_refuse_not_found(err, "app-backup-file", NULL);
    err->status = 404;
    return INST_FAILED;
}

static enum inst_status answer_content(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response, struct inst_err *err) {
    struct inst_arena *arena = &server->scratch;
    char app_id[INST_UUID_TEXT + 1], id[INST_UUID_TEXT + 1], location[INST_UUID_TEXT + 1];
    struct sought_object sought = {.location = location};
    const char *expires, *signature;
    enum inst_status st;
    if (ops_of(server) == NULL || path_id(request, "app_id", app_id, NULL) != INST_OK ||
        path_id(request, "backup_id", id, NULL) != INST_OK ||
        path_id(request, "location", location, NULL) != INST_OK)
        return refuse_object(err);
    if ((st = inst_http_param(request, "expires", arena, &expires, err)) != INST_OK ||
        (st = inst_http_param(request, "signature", arena, &signature, err)) != INST_OK ||
        (st = inst_files_check_url(server, app_id, location, expires, signature, err)) != INST_OK)
        return st;
    if (find_object(server, app_id, id, &sought, NULL) != INST_OK ||
        sought.found.location[0] == '\0')
        return refuse_object(err);
    inst_http_add_header(response, "Content-Type", "application/x-ndjson");
    inst_http_add_header(response, "Cache-Control", "private, no-store");
    memcpy(response->file.app, app_id, sizeof app_id);
    memcpy(response->file.backup, id, sizeof id);
    memcpy(response->file.location, location, sizeof location);
    return INST_OK;
}

/* ---- contents of files ---- */

struct contents {
    struct inst_server *server;
    const char *app_id;
    struct inst_buf *out;
    struct inst_arena arena; /* of one line */
};

/* `{"entity":{"id","path","location-id",...},"createdAt"}` becomes `{"locationId","path","url"}`.
 */
static enum inst_status write_content(struct contents *contents, const char *line, size_t len,
                                      struct inst_err *err) {
    struct inst_value row, url;
    enum inst_status st = inst_json_parse(&contents->arena, line, len, &row, err);
    if (st != INST_OK)
        return st;
    const struct inst_value *entity = inst_getz(&row, "entity");
    const struct inst_value *location = entity ? inst_get_string(entity, "location-id") : NULL;
    if (location == NULL)
        return INST_OK;
    st = inst_files_url(contents->server, contents->app_id, location, &contents->arena, &url, err);
    if (st != INST_OK || url.tag != INST_STRING)
        return st;
    const struct inst_value *path = inst_getz(entity, "path");
    struct inst_value none = inst_null();
    inst_buf_add_str(contents->out, "{\"locationId\":");
    inst_json_write(contents->out, location);
    inst_buf_add_str(contents->out, ",\"path\":");
    inst_json_write(contents->out, path != NULL ? path : &none);
    inst_buf_add_str(contents->out, ",\"url\":");
    inst_json_write(contents->out, &url);
    inst_buf_add_str(contents->out, "}\n");
    if (contents->out->len > MAX_LIST)
        return inst_err_set(err, "limit-exceeded", 400,
                            "There are too many files for one list; use `instant-lua export`.");
    return INST_OK;
}

static enum inst_status write_contents(struct contents *contents, const struct inst_buf *rows,
                                       struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (size_t at = 0; st == INST_OK && at < rows->len;) {
        const char *end = memchr(rows->data + at, '\n', rows->len - at);
        size_t len = end != NULL ? (size_t)(end - rows->data) - at : rows->len - at;
        inst_arena_reset(&contents->arena);
        st = write_content(contents, rows->data + at, len, err);
        at += len + 1;
    }
    return st;
}

static enum inst_status answer_contents(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct sought_object sought = {.name = "entities/$files.jsonl"};
    struct inst_app *app;
    struct inst_buf rows;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = path_id(request, "backup_id", id, err)) != INST_OK ||
        (st = find_object(server, app->info.id, id, &sought, err)) != INST_OK)
        return st;
    struct contents contents = {.server = server, .app_id = app->info.id, .out = &response->body};
    inst_arena_init(&contents.arena);
    inst_buf_init(&rows);
    if (sought.found.location[0] != '\0')
        st = ops_of(server)->read(server->host.backups_ctx, app->info.id, id, sought.found.location,
                                  &rows, err);
    if (st == INST_OK && rows.failed)
        st = inst_err_nomem(err);
    if (st == INST_OK)
        st = write_contents(&contents, &rows, err);
    inst_buf_add_str(&response->body, "{\"done\":true}\n");
    response->content_type = "application/x-ndjson";
    inst_buf_free(&rows);
    inst_arena_free(&contents.arena);
    return st;
}

/* ---- the other way ---- */

static enum inst_status answer_no_restore(struct inst_server *server,
                                          const struct inst_http_request *request,
                                          struct inst_http_response *response,
                                          struct inst_err *err) {
    enum inst_status st = inst_http_operator(server, request, err);
    (void)response;
    return st != INST_OK ? st
                         : inst_refuse_validation(err, "restore-job", NULL, NULL,
                                                  "An archive is taken in where the data is: "
                                                  "`instant-lua import ARCHIVE`.");
}

static enum inst_status answer_restores(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    enum inst_status st = inst_http_operator(server, request, err);
    inst_buf_add_str(&response->body, "{\"restore-jobs\":[]}");
    return st;
}

const struct inst_http_route inst_http_backups_routes[] = {
    {"GET", "/dash/apps/:app_id/backups", answer_list},
    {"POST", "/dash/apps/:app_id/backups", answer_begin},
    {"DELETE", "/dash/apps/:app_id/backups/:backup_id", answer_remove},
    {"GET", "/dash/apps/:app_id/backups/:backup_id/files", answer_objects},
    {"GET", "/dash/apps/:app_id/backups/:backup_id/file-url", answer_url},
    {"GET", "/dash/apps/:app_id/backups/:backup_id/storage-files", answer_contents},
    {"GET", "/dash/backup-files/:app_id/:backup_id/:location", answer_content},
    {"GET", "/dash/apps/:app_id/backup-jobs", answer_jobs},
    {"GET", "/dash/apps/:app_id/backup-jobs/:job_id", answer_job},
    {"DELETE", "/dash/apps/:app_id/backup-jobs/:job_id", answer_cancel},
    {"POST", "/dash/restores/zip", answer_no_restore},
    {"GET", "/dash/restore-jobs", answer_restores},
    {"GET", "/dash/restore-jobs/:id", answer_no_restore},
    {"DELETE", "/dash/restore-jobs/:id", answer_no_restore},
    {NULL, NULL, NULL},
};
