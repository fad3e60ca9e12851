#include "server/http_storage.h"

#include "base/text.h"
#include "server/limits.h"
#include "server/refusal.h"

#include <stdlib.h>

/* ---- what the head says ---- */

/* Header bytes as UTF-8. Browsers send Latin-1; what is UTF-8 already comes from others, and is
 * never a sensible Latin-1 text (http.md 5.1). */
static const char *header_text(const char *bytes, struct inst_arena *arena) {
    size_t len = strlen(bytes), n = 0;
    if (inst_text_is_utf8(bytes, len))
        return inst_arena_dup(arena, bytes, len);
    char *text = inst_arena_alloc(arena, 2 * len + 1);
    for (size_t i = 0; text != NULL && i < len; i++)
        n += inst_text_put(text + n, (unsigned char)bytes[i]);
    if (text != NULL)
        text[n] = '\0';
    return text;
}

/* Files of streams have such paths; who could put one there would write into a stream. */
static enum inst_status check_new_path(const char *path, struct inst_err *err) {
    struct inst_value value = inst_cstring(path);
    if (strncmp(path, "$stream/", 8) != 0)
        return INST_OK;
    return inst_refuse_validation(err, "path", &value, NULL,
                                  "The path for stream files can't be edited.");
}

/* An app id that may come as a header of two names (http.md 5.1). */
static enum inst_status header_app(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_files_viewer *viewer, struct inst_err *err) {
    static const char *const in[] = {"app-id"};
    const char *text = inst_http_header(request, "app-id");
    if (text == NULL)
        text = inst_http_header(request, "app_id");
    struct inst_value value = text != NULL ? inst_cstring(text) : inst_undefined();
    struct inst_uuid uuid;
    char id[INST_UUID_TEXT + 1];
    if (text == NULL)
        return inst_refuse_missing(err, in, 1);
    if (!inst_uuid_parse(text, strlen(text), &uuid))
        return inst_refuse_malformed(err, in, 1, &value);
    inst_uuid_print(&uuid, id);
    return inst_storage_user(server, request, id, viewer, err);
}

/* ---- uploads ---- */

/* An optional header as UTF-8, trimmed; *out NULL: it is not there. */
static enum inst_status optional_header(const struct inst_http_request *head, const char *name,
                                        struct inst_arena *arena, const char **out,
                                        struct inst_err *err) {
    const char *const in[] = {name};
    const char *bytes = inst_http_header(head, name), *text = NULL;
    *out = NULL;
    if (bytes == NULL)
        return INST_OK;
    if ((text = header_text(bytes, arena)) == NULL ||
        (*out = inst_storage_trim(text, arena)) == NULL)
        return inst_err_nomem(err);
    if (strlen(*out) > INST_FILES_MAX_HEADER)
        return inst_refuse_malformed(err, in, 1, NULL);
    return INST_OK;
}

/* Blank and what JavaScript makes of nothing count as none. */
static enum inst_status content_type_of(const struct inst_http_request *head,
                                        struct inst_arena *arena, const char **out,
                                        struct inst_err *err) {
    enum inst_status st = optional_header(head, "content-type", arena, out, err);
    if (st == INST_OK && (*out == NULL || **out == '\0' || strcmp(*out, "null") == 0 ||
                          strcmp(*out, "undefined") == 0))
        *out = "application/octet-stream";
    return st;
}

static enum inst_status disposition_of(const struct inst_http_request *head,
                                       struct inst_arena *arena, const char **out,
                                       struct inst_err *err) {
    static const char *const in[] = {"content-disposition"};
    enum inst_status st = optional_header(head, in[0], arena, out, err);
    return st == INST_OK && *out != NULL && **out == '\0' ? inst_refuse_malformed(err, in, 1, NULL)
                                                          : st;
}

static enum inst_status make_upload(struct inst_server *server, const char *app_id,
                                    const struct inst_viewer *who, const char *path,
                                    const char *type, const char *disposition,
                                    struct inst_upload **out, struct inst_err *err) {
    size_t path_size = strlen(path) + 1, type_size = strlen(type) + 1;
    size_t disposition_size = disposition != NULL ? strlen(disposition) + 1 : 0;
    struct inst_upload *upload = malloc(sizeof *upload + path_size + type_size + disposition_size);
    if (upload == NULL)
        return inst_err_nomem(err);
    *upload = (struct inst_upload){.who = *who, .path = (char *)(upload + 1)};
    upload->who.from = (struct inst_caller){0}; /* the rules have been asked */
    memcpy(upload->app, app_id, sizeof upload->app);
    inst_uuid_make_text(server->env, upload->location);
    upload->content_type = upload->path + path_size;
    memcpy(upload->path, path, path_size);
    memcpy(upload->content_type, type, type_size);
    if (disposition != NULL) {
        upload->content_disposition = upload->content_type + type_size;
        memcpy(upload->content_disposition, disposition, disposition_size);
    }
    *out = upload;
    return INST_OK;
}

static enum inst_status begin_upload(struct inst_server *server,
                                     const struct inst_http_request *head,
                                     const struct inst_files_viewer *viewer,
                                     struct inst_upload **out, struct inst_err *err) {
    static const char *const in[] = {"path"};
    struct inst_arena *arena = &server->scratch;
    const char *raw = inst_http_header(head, "path"), *path, *type, *disposition;
    if (raw != NULL && (raw = header_text(raw, arena)) == NULL)
        return inst_err_nomem(err);
    enum inst_status st = inst_storage_path(raw, in, 1, arena, &path, err);
    if (st != INST_OK || (st = content_type_of(head, arena, &type, err)) != INST_OK ||
        (st = disposition_of(head, arena, &disposition, err)) != INST_OK ||
        (st = inst_files_check(viewer, INST_RULE_CREATE, path, err)) != INST_OK ||
        (st = check_new_path(path, err)) != INST_OK)
        return st;
    return make_upload(server, viewer->app->info.id, &viewer->who, path, type, disposition, out,
                       err);
}

static enum inst_status begin_user_upload(struct inst_server *server,
                                          const struct inst_http_request *head,
                                          struct inst_upload **out, struct inst_err *err) {
    struct inst_files_viewer viewer;
    enum inst_status st = header_app(server, head, &viewer, err);
    return st == INST_OK ? begin_upload(server, head, &viewer, out, err) : st;
}

static enum inst_status begin_admin_upload(struct inst_server *server,
                                           const struct inst_http_request *head,
                                           struct inst_upload **out, struct inst_err *err) {
    struct inst_files_viewer viewer;
    enum inst_status st = inst_http_viewer(server, head, &viewer.app, &viewer.who, err);
    return st == INST_OK ? begin_upload(server, head, &viewer, out, err) : st;
}

static enum inst_status begin_dash_upload(struct inst_server *server,
                                          const struct inst_http_request *head,
                                          struct inst_upload **out, struct inst_err *err) {
    struct inst_files_viewer viewer = {.who.is_admin = true};
    enum inst_status st = inst_http_path_app(server, head, &viewer.app, err);
    return st == INST_OK ? begin_upload(server, head, &viewer, out, err) : st;
}

void inst_upload_free(struct inst_upload *upload) { free(upload); }

enum inst_status inst_http_upload_done(struct inst_server *server, const struct inst_upload *upload,
                                       uint64_t size, struct inst_http_response *response,
                                       struct inst_err *err) {
    struct inst_app *app;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st = inst_app_get(server, upload->app, &app, err);
    if (st == INST_OK)
        st = inst_files_put(app, upload, size, id, err);
    if (st != INST_OK)
        return st;
    inst_buf_addf(&response->body, "{\"data\":{\"id\":\"%s\",\"location-id\":\"%s\",\"size\":", id,
                  upload->location);
    inst_buf_add_int(&response->body, (int64_t)size);
    inst_buf_add_str(&response->body, "}}");
    return INST_OK;
}

/* ---- addresses for one upload (http.md 5.4) ---- */

/* Kept in memory only: a restart ends them, as five minutes would have. */
struct inst_pending_upload {
    struct inst_pending_upload *next; /* younger */
    char id[INST_UUID_TEXT + 1];
    char app[INST_UUID_TEXT + 1];
    struct inst_viewer who;
    int64_t until_ms;
    char path[];
};

static void drop_oldest(struct inst_server *server) {
    struct inst_pending_upload *oldest = server->uploads;
    server->uploads = oldest->next;
    server->upload_count--;
    free(oldest);
}

void inst_uploads_free(struct inst_server *server) {
    while (server->uploads != NULL)
        drop_oldest(server);
}

static enum inst_status give_upload_url(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        const struct inst_files_viewer *viewer, const char *path,
                                        struct inst_http_response *response, struct inst_err *err) {
    enum inst_status st = inst_files_check(viewer, INST_RULE_CREATE, path, err);
    if (st == INST_OK)
        st = check_new_path(path, err);
    if (st != INST_OK)
        return st;
    int64_t now = server->env->now_ms(server->env->ctx);
    while (server->uploads != NULL &&
           (server->uploads->until_ms <= now || server->upload_count >= INST_FILES_MAX_PENDING))
        drop_oldest(server);
    size_t size = strlen(path) + 1;
    struct inst_pending_upload *pending = malloc(sizeof *pending + size);
    if (pending == NULL)
        return inst_err_nomem(err);
    *pending =
        (struct inst_pending_upload){.who = viewer->who, .until_ms = now + INST_FILES_PENDING_MS};
    pending->who.from = (struct inst_caller){0}; /* as above */
    inst_uuid_make_text(server->env, pending->id);
    memcpy(pending->app, viewer->app->info.id, sizeof pending->app);
    memcpy(pending->path, path, size);
    struct inst_pending_upload **end = &server->uploads;
    while (*end != NULL)
        end = &(*end)->next;
    *end = pending;
    server->upload_count++;
    inst_buf_add_str(&response->body, "{\"data\":\"");
    inst_http_origin(server, request, &response->body);
    inst_buf_addf(&response->body, "/storage/%s/consume-upload-url\"}", pending->id);
    return INST_OK;
}

static enum inst_status post_upload_url(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_files_viewer viewer;
    const char *path;
    char app_id[INST_UUID_TEXT + 1];
    enum inst_status st = inst_storage_body(server, request, true, app_id, &path, err);
    if (st == INST_OK)
        st = inst_storage_user(server, request, app_id, &viewer, err);
    return st == INST_OK ? give_upload_url(server, request, &viewer, path, response, err) : st;
}

static enum inst_status post_admin_upload_url(struct inst_server *server,
                                              const struct inst_http_request *request,
                                              struct inst_http_response *response,
                                              struct inst_err *err) {
    struct inst_files_viewer viewer = {.who.is_admin = true};
    const char *path;
    enum inst_status st = inst_http_admin_app(server, request, &viewer.app, err);
    if (st == INST_OK)
        st = inst_storage_body(server, request, false, NULL, &path, err);
    return st == INST_OK ? give_upload_url(server, request, &viewer, path, response, err) : st;
}

/* Takes the pending upload of this id out of the list; NULL: there is none that is still good. */
static struct inst_pending_upload *take_pending(struct inst_server *server, const char *id) {
    int64_t now = server->env->now_ms(server->env->ctx);
    for (struct inst_pending_upload **at = &server->uploads; *at != NULL; at = &(*at)->next) {
        struct inst_pending_upload *pending = *at;
        if (strcmp(pending->id, id) != 0 || pending->until_ms <= now)
            continue;
        *at = pending->next;
        server->upload_count--;
        return pending;
    }
    return NULL;
}

static enum inst_status begin_pending_upload(struct inst_server *server,
                                             const struct inst_http_request *head,
                                             struct inst_upload **out, struct inst_err *err) {
    static const char *const in[] = {"params", "upload-id"};
    const char *text = inst_http_path_param(head, "id"), *type;
    struct inst_value value = inst_cstring(text);
    struct inst_uuid uuid;
    char id[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(text, strlen(text), &uuid))
        return inst_refuse_malformed(err, in, 2, &value);
    inst_uuid_print(&uuid, id);
    enum inst_status st = content_type_of(head, &server->scratch, &type, err);
    if (st != INST_OK)
        return st;
    struct inst_pending_upload *pending = take_pending(server, id);
    if (pending == NULL)
        return inst_refuse_validation(err, "app-upload-url", &value, NULL,
                                      "The upload URL is expired or invalid.");
    st = make_upload(server, pending->app, &pending->who, pending->path, type, NULL, out, err);
    free(pending);
    return st;
}

const struct inst_http_route inst_http_upload_routes[] = {
    {"POST", "/storage/signed-upload-url", post_upload_url},
    {"POST", "/admin/storage/signed-upload-url", post_admin_upload_url},
    {NULL, NULL, NULL},
};

const struct inst_http_upload_route inst_http_uploads[] = {
    {"PUT", "/storage/upload", begin_user_upload},
    {"PUT", "/storage/:id/consume-upload-url", begin_pending_upload},
    {"PUT", "/admin/storage/upload", begin_admin_upload},
    {"PUT", "/dash/apps/:app_id/storage/upload", begin_dash_upload},
    {NULL, NULL, NULL},
};
