#include "server/http_storage.h"

#include "base/json.h"
#include "base/text.h"
#include "server/limits.h"
#include "server/refusal.h"
#include "server/rows.h"
#include "server/users.h"

/* ---- paths ---- */

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

const char *inst_storage_trim(const char *text, struct inst_arena *arena) {
    size_t len = strlen(text);
    while (is_space(*text)) {
        text++;
        len--;
    }
    while (len > 0 && is_space(text[len - 1]))
        len--;
    return inst_arena_dup(arena, text, len);
}

enum inst_status inst_storage_path(const char *text, const char *const *in, size_t in_len,
                                   struct inst_arena *arena, const char **out,
                                   struct inst_err *err) {
    struct inst_value value = text != NULL ? inst_cstring(text) : inst_undefined();
    if (text == NULL)
        return inst_refuse_missing(err, in, in_len);
    if ((*out = inst_storage_trim(text, arena)) == NULL)
        return inst_err_nomem(err);
    bool has_control = strchr(*out, 0x7f) != NULL;
    for (const char *c = *out; *c != '\0'; c++)
        has_control = has_control || (unsigned char)*c < 0x20;
    if (**out == '\0' || has_control)
        return inst_refuse_malformed(err, in, in_len, &value);
    if (strlen(*out) > INST_FILES_MAX_PATH)
        return inst_refuse_validation(err, "path", NULL, NULL, "A path takes at most %u bytes.",
                                      INST_FILES_MAX_PATH);
    return INST_OK;
}

enum inst_status inst_storage_body(struct inst_server *server,
                                   const struct inst_http_request *request, bool has_app,
                                   char app_id[INST_UUID_TEXT + 1], const char **path,
                                   struct inst_err *err) {
    static const char *const in[] = {"body", "filename"};
    struct inst_value body;
    const char *text;
    enum inst_status st = inst_http_body(server, request, &body, err);
    if (st == INST_OK && has_app)
        st = inst_http_body_uuid(&body, "app_id", app_id, err);
    if (st == INST_OK)
        st = inst_http_body_text(&body, "filename", &server->scratch, &text, err);
    return st == INST_OK ? inst_storage_path(text, in, 2, &server->scratch, path, err) : st;
}

/* ---- who asks ---- */

enum inst_status inst_storage_user(struct inst_server *server,
                                   const struct inst_http_request *request, const char *app_id,
                                   struct inst_files_viewer *viewer, struct inst_err *err) {
    const char *token = inst_http_bearer(server, request);
    struct inst_uuid uuid;
    uint32_t user = 0;
    *viewer = (struct inst_files_viewer){.who.from = inst_http_caller(request)};
    struct inst_err why = {0};
    enum inst_status st = inst_app_get(server, app_id, &viewer->app, &why);
    bool is_unknown =
        st != INST_OK && why.type != NULL && strcmp(why.type, "record-not-found") == 0;
    if (is_unknown)
        inst_err_clear(&why);
    else
        inst_err_move(err, &why);
    if (st != INST_OK)
        return is_unknown ? INST_OK : st;
    inst_app_commit(viewer->app);
    if (token != NULL && inst_uuid_parse(token, strlen(token), &uuid))
        st = inst_user_by_token(viewer->app, &uuid, &user, err);
    if (st == INST_OK)
        inst_row_id(viewer->app, user, viewer->who.user);
    return st;
}

/* A query parameter of the original's params: `path`, or as the clients call it. */
static enum inst_status user_params(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_files_viewer *viewer, const char **path,
                                    struct inst_err *err) {
    static const char *const app_in[] = {"app-id"};
    static const char *const path_in[] = {"path"};
    struct inst_arena *arena = &server->scratch;
    const char *app_text, *text;
    char app_id[INST_UUID_TEXT + 1];
    struct inst_uuid uuid;
    enum inst_status st = inst_http_param(request, "app_id", arena, &app_text, err);
    if (st != INST_OK || (st = inst_http_param(request, "filename", arena, &text, err)) != INST_OK)
        return st;
    struct inst_value input = app_text != NULL ? inst_cstring(app_text) : inst_undefined();
    if (app_text == NULL)
        return inst_refuse_missing(err, app_in, 1);
    if (!inst_uuid_parse(app_text, strlen(app_text), &uuid))
        return inst_refuse_malformed(err, app_in, 1, &input);
    inst_uuid_print(&uuid, app_id);
    st = inst_storage_user(server, request, app_id, viewer, err);
    return st == INST_OK ? inst_storage_path(text, path_in, 1, arena, path, err) : st;
}

static enum inst_status admin_path(struct inst_server *server,
                                   const struct inst_http_request *request, const char **out,
                                   struct inst_err *err) {
    static const char *const in[] = {"params", "filename"};
    const char *text;
    enum inst_status st = inst_http_param(request, "filename", &server->scratch, &text, err);
    return st == INST_OK ? inst_storage_path(text, in, 2, &server->scratch, out, err) : st;
}

/* ---- deleting ---- */

static enum inst_status delete_path(const struct inst_files_viewer *viewer, const char *path,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_value id = inst_null();
    size_t count = 0;
    enum inst_status st = inst_files_check(viewer, INST_RULE_DELETE, path, err);
    if (st == INST_OK)
        st = inst_files_delete(viewer, &path, 1, &id, &count, err);
    if (st != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"data\":{\"id\":");
    inst_json_write(&response->body, &id);
    inst_buf_add_str(&response->body, "}}");
    return INST_OK;
}

static enum inst_status delete_file(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_files_viewer viewer;
    const char *path;
    enum inst_status st = user_params(server, request, &viewer, &path, err);
    return st == INST_OK ? delete_path(&viewer, path, response, err) : st;
}

static enum inst_status delete_admin_file(struct inst_server *server,
                                          const struct inst_http_request *request,
                                          struct inst_http_response *response,
                                          struct inst_err *err) {
    struct inst_files_viewer viewer;
    const char *path;
    enum inst_status st = inst_http_viewer(server, request, &viewer.app, &viewer.who, err);
    if (st == INST_OK)
        st = admin_path(server, request, &path, err);
    return st == INST_OK ? delete_path(&viewer, path, response, err) : st;
}

static enum inst_status read_filenames(struct inst_server *server,
                                       const struct inst_http_request *request, const char ***out,
                                       size_t *count, struct inst_err *err) {
    static const char *const in[] = {"body", "filenames"};
    struct inst_value body;
    enum inst_status st = inst_http_body(server, request, &body, err);
    if (st != INST_OK)
        return st;
    const struct inst_value *names = inst_getz(&body, "filenames");
    if (names == NULL || inst_is_nullish(names))
        return inst_refuse_missing(err, in, 2);
    if (names->tag != INST_ARRAY)
        return inst_refuse_malformed(err, in, 2, names);
    if (names->len > INST_FILES_MAX_BULK)
        return inst_refuse_validation(err, "filenames", NULL, NULL,
                                      "One request deletes at most %u files.", INST_FILES_MAX_BULK);
    const char **paths = inst_arena_alloc(&server->scratch, (names->len + 1) * sizeof *paths);
    if (paths == NULL)
        return inst_err_nomem(err);
    for (uint32_t i = 0; i < names->len; i++) {
        const struct inst_value *name = &names->u.items[i];
        if (name->tag != INST_STRING || memchr(name->u.str, 0, name->len) != NULL)
            return inst_refuse_malformed(err, in, 2, names);
        if ((paths[i] = inst_arena_dup(&server->scratch, name->u.str, name->len)) == NULL)
            return inst_err_nomem(err);
    }
    *out = paths;
    *count = names->len;
    return INST_OK;
}

static enum inst_status delete_many(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    const struct inst_files_viewer *viewer,
                                    struct inst_http_response *response, struct inst_err *err) {
    const char **paths = NULL;
    size_t count = 0, id_count = 0;
    enum inst_status st = read_filenames(server, request, &paths, &count, err);
    for (size_t i = 0; st == INST_OK && i < count; i++)
        st = inst_files_check(viewer, INST_RULE_DELETE, paths[i], err);
    if (st != INST_OK)
        return st;
    struct inst_value *ids = inst_arena_alloc(&server->scratch, (count + 1) * sizeof *ids);
    if (ids == NULL)
        return inst_err_nomem(err);
    if (count > 0)
        st = inst_files_delete(viewer, paths, count, ids, &id_count, err);
    if (st != INST_OK)
        return st;
    struct inst_value list = inst_array(ids, id_count);
    inst_buf_add_str(&response->body, "{\"data\":{\"ids\":");
    inst_json_write(&response->body, &list);
    inst_buf_add_str(&response->body, "}}");
    return INST_OK;
}

static enum inst_status post_admin_delete(struct inst_server *server,
                                          const struct inst_http_request *request,
                                          struct inst_http_response *response,
                                          struct inst_err *err) {
    struct inst_files_viewer viewer;
    enum inst_status st = inst_http_viewer(server, request, &viewer.app, &viewer.who, err);
    return st == INST_OK ? delete_many(server, request, &viewer, response, err) : st;
}

static enum inst_status post_dash_delete(struct inst_server *server,
                                         const struct inst_http_request *request,
                                         struct inst_http_response *response,
                                         struct inst_err *err) {
    struct inst_files_viewer viewer = {.who.is_admin = true};
    enum inst_status st = inst_http_path_app(server, request, &viewer.app, err);
    return st == INST_OK ? delete_many(server, request, &viewer, response, err) : st;
}

/* ---- listing and addresses ---- */

/* As the original's object store names a content (http.md 5.3). */
static void write_key(struct inst_buf *buf, const char *app_id, const struct inst_value *location) {
    uint32_t hash = 0;
    for (uint32_t i = 0; i < location->len; i++)
        hash = 31 * hash + (unsigned char)location->u.str[i];
    int64_t number = (int32_t)hash;
    inst_buf_addf(buf, "\"%s/%d/%.*s\"", app_id, (int)((number < 0 ? -number : number) % 10),
                  (int)location->len, location->u.str);
}

struct listing {
    struct inst_buf *body;
    const char *app_id;
    bool is_over;
};

static bool list_row(void *ctx, const struct inst_file_row *row) {
    struct listing *listing = ctx;
    struct inst_buf *body = listing->body;
    if (row->location.tag != INST_STRING)
        return true;
    inst_buf_add_str(body, body->data[body->len - 1] == '[' ? "{\"key\":" : ",{\"key\":");
    write_key(body, listing->app_id, &row->location);
    inst_buf_add_str(body, ",\"name\":");
    inst_json_write(body, &row->path);
    inst_buf_add_str(body, ",\"size\":");
    inst_json_write(body, &row->size);
    inst_buf_add_str(body, ",\"etag\":null,\"last_modified\":null}");
    listing->is_over = body->len > INST_SERVER_MAX_MESSAGE;
    return !body->failed && !listing->is_over;
}

static enum inst_status get_admin_files(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_http_admin_app(server, request, &app, err);
    if (st != INST_OK)
        return st;
    struct listing listing = {.body = &response->body, .app_id = app->info.id};
    inst_buf_add_str(&response->body, "{\"data\":[");
    if (response->body.failed)
        return inst_err_nomem(err);
    st = inst_files_each(app, list_row, &listing, err);
    inst_buf_add_str(&response->body, "]}");
    if (st == INST_OK && listing.is_over)
        st = inst_err_set(err, "limit-exceeded", 400,
                          "There are too many files for one list; query `$files` with a limit.");
    return st;
}

static enum inst_status answer_url(struct inst_server *server,
                                   const struct inst_files_viewer *viewer, const char *path,
                                   struct inst_http_response *response, struct inst_err *err) {
    struct inst_file_row row;
    struct inst_value url = inst_null();
    enum inst_status st = inst_files_check(viewer, INST_RULE_VIEW, path, err);
    if (st == INST_OK)
        st = inst_files_find(viewer->app, "path", path, &row, err);
    if (st == INST_OK && row.e != 0)
        st = inst_files_url(server, viewer->app->info.id, &row.location, &server->scratch, &url,
                            err);
    if (st != INST_OK)
        return st;
    if (url.tag == INST_UNDEFINED)
        url = inst_null();
    inst_buf_add_str(&response->body, "{\"data\":");
    inst_json_write(&response->body, &url);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

static enum inst_status get_url(struct inst_server *server, const struct inst_http_request *request,
                                struct inst_http_response *response, struct inst_err *err) {
    struct inst_files_viewer viewer;
    const char *path;
    enum inst_status st = user_params(server, request, &viewer, &path, err);
    return st == INST_OK ? answer_url(server, &viewer, path, response, err) : st;
}

static enum inst_status get_admin_url(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_files_viewer viewer = {.who.is_admin = true};
    const char *path;
    enum inst_status st = inst_http_admin_app(server, request, &viewer.app, err);
    if (st == INST_OK)
        st = admin_path(server, request, &path, err);
    return st == INST_OK ? answer_url(server, &viewer, path, response, err) : st;
}

/* ---- downloads ---- */

/* The other way round for an answer; a text that Latin-1 does not have goes as it is. */
static const char *header_bytes(const struct inst_value *text, struct inst_arena *arena) {
    char *out = inst_arena_alloc(arena, text->len + 1);
    size_t n = 0;
    for (size_t at = 0; out != NULL && at < text->len;) {
        uint32_t c = inst_text_next(text->u.str, text->len, &at);
        if (c > 0xff)
            return inst_arena_dup(arena, text->u.str, text->len);
        out[n++] = (char)c;
    }
    if (out != NULL)
        out[n] = '\0';
    return out;
}

static enum inst_status no_file(struct inst_err *err) {
    inst_refuse_not_found(err, "app-file", NULL);
    err->status = 404;
    return INST_FAILED;
}

/* A stored text that cannot go into a head is left out. */
static void add_text_header(struct inst_http_response *response, const char *name,
                            const struct inst_value *text, const char *otherwise,
                            struct inst_arena *arena) {
    const char *bytes = text->tag == INST_STRING ? header_bytes(text, arena) : NULL;
    for (const char *c = bytes; c != NULL && *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            bytes = NULL;
    if (bytes == NULL || *bytes == '\0')
        bytes = otherwise;
    if (bytes != NULL)
        inst_http_add_header(response, name, bytes);
}

/* A content is never a page of this server's own: it may be shown, and is denied scripts, forms and
 * the origin's rights. */
static void add_file_headers(struct inst_http_response *response, const struct inst_file_row *row,
                             const char *location, struct inst_arena *arena) {
    inst_buf_addf(&response->headers, "ETag: \"%s\"\r\n", location);
    add_text_header(response, "Content-Type", &row->content_type, "application/octet-stream",
                    arena);
    add_text_header(response, "Content-Disposition", &row->content_disposition, NULL, arena);
    inst_buf_add_str(&response->headers,
                     "Cache-Control: public, max-age=86400, immutable\r\n"
                     "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
                     "img-src 'self' data:; media-src 'self'; sandbox\r\n"
                     "Cross-Origin-Resource-Policy: cross-origin\r\n");
}

static enum inst_status get_content(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_arena *arena = &server->scratch;
    char app_id[INST_UUID_TEXT + 1], location[INST_UUID_TEXT + 1];
    const char *app_text = inst_http_path_param(request, "app_id");
    const char *location_text = inst_http_path_param(request, "location");
    const char *expires, *signature;
    struct inst_uuid app_uuid, location_uuid;
    struct inst_app *app;
    struct inst_file_row row;
    if (!inst_uuid_parse(app_text, strlen(app_text), &app_uuid) ||
        !inst_uuid_parse(location_text, strlen(location_text), &location_uuid))
        return no_file(err);
    inst_uuid_print(&app_uuid, app_id);
    inst_uuid_print(&location_uuid, location);
    enum inst_status st = inst_http_param(request, "expires", arena, &expires, err);
    if (st != INST_OK ||
        (st = inst_http_param(request, "signature", arena, &signature, err)) != INST_OK ||
        (st = inst_files_check_url(server, app_id, location, expires, signature, err)) != INST_OK ||
        (st = inst_app_get(server, app_id, &app, err)) != INST_OK)
        return st;
    inst_app_commit(app);
    if ((st = inst_files_find(app, "location-id", location, &row, err)) != INST_OK)
        return st;
    if (row.e == 0)
        return no_file(err);
    add_file_headers(response, &row, location, arena);
    memcpy(response->file.app, app_id, sizeof app_id);
    memcpy(response->file.location, location, sizeof location);
    return INST_OK;
}

const struct inst_http_route inst_http_storage_routes[] = {
    {"GET", "/storage/signed-download-url", get_url},
    {"DELETE", "/storage/files", delete_file},
    {"GET", "/storage/files/:app_id/:location", get_content},
    {"GET", "/admin/storage/signed-download-url", get_admin_url},
    {"GET", "/admin/storage/files", get_admin_files},
    {"DELETE", "/admin/storage/files", delete_admin_file},
    {"POST", "/admin/storage/files/delete", post_admin_delete},
    {"POST", "/dash/apps/:app_id/storage/files/delete", post_dash_delete},
    {NULL, NULL, NULL},
};
