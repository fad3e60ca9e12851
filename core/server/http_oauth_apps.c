/*
 * Routes: the third parties that may ask to be let in (platform.h), managed by operators. The
 * original keeps each under one of the owner's apps; what it is granted goes for all apps.
 */
#include "server/platform.h"

#include "base/digest.h"
#include "base/json.h"
#include "server/app_json.h"
#include "server/operators.h"
#include "server/refusal.h"

#include <stdio.h>

#define KEY "oauth-app/"
#define KEY_TEXT (sizeof KEY + INST_UUID_TEXT)
#define MAX_NAME 255
#define MAX_URLS 20
#define MAX_APPS 100

static enum inst_status open_app(struct inst_server *server,
                                 const struct inst_http_request *request, struct inst_app **app,
                                 struct inst_err *err) {
    enum inst_status st = inst_http_operator(server, request, err);
    return st == INST_OK ? inst_http_path_app(server, request, app, err) : st;
}

static void key_of(const struct inst_value *record, char out[KEY_TEXT]) {
    const struct inst_value *id = inst_getz(record, "id");
    snprintf(out, KEY_TEXT, KEY "%.*s", (int)id->len, id->u.str);
}

static enum inst_status write_record(struct inst_server *server, const struct inst_value *record,
                                     struct inst_err *err) {
    char key[KEY_TEXT];
    struct inst_buf text;
    key_of(record, key);
    inst_buf_init(&text);
    inst_json_write(&text, record);
    enum inst_status st = text.failed ? inst_err_nomem(err)
                                      : server->host.apps->manage->set_record(
                                            server->host.apps_ctx, key, text.data, text.len, err);
    inst_buf_free(&text);
    return st;
}

/* ---- finding ---- */

struct list {
    struct inst_server *server;
    const char *app_id;
    const char *id;        /* of one; NULL: all */
    const char *client_id; /* part of one; NULL: any */
    struct inst_array_builder found;
    size_t count;
};

static bool has_client(const struct inst_value *record, const char *client_id) {
    const struct inst_value *clients = inst_getz(record, "clients");
    for (uint32_t i = 0; clients != NULL && i < clients->len; i++)
        if (inst_is_string(inst_getz(&clients->u.items[i], "client_id"), client_id))
            return true;
    return false;
}

static bool take(void *ctx, const char *key, const char *bytes, size_t len) {
    struct list *list = ctx;
    struct inst_value record;
    (void)key;
    if (inst_json_parse(&list->server->scratch, bytes, len, &record, NULL) != INST_OK)
        return true;
    const struct inst_value *app = inst_get_string(&record, "app_id");
    const struct inst_value *id = inst_get_string(&record, "id");
    if (app == NULL || id == NULL || !inst_is_string(app, list->app_id) ||
        (list->id != NULL && !inst_is_string(id, list->id)) ||
        (list->client_id != NULL && !has_client(&record, list->client_id)))
        return true;
    inst_array_add(&list->found, record);
    list->count++;
    return true;
}

static enum inst_status find(struct inst_app *app, const char *id, const char *client_id,
                             struct inst_value *out, struct inst_err *err) {
    struct inst_server *server = app->server;
    struct list list = {.server = server, .app_id = app->info.id, .id = id, .client_id = client_id};
    inst_array_begin(&list.found, &server->scratch);
    enum inst_status st =
        server->host.apps->manage->each_record(server->host.apps_ctx, KEY, take, &list, err);
    return st == INST_OK && !inst_array_end(&list.found, out) ? inst_err_nomem(err) : st;
}

/* The one of the path. */
static enum inst_status find_one(struct inst_app *app, const struct inst_http_request *request,
                                 const char *param, struct inst_value *out, struct inst_err *err) {
    bool is_client = strcmp(param, "client_id") == 0;
    const char *id = inst_http_path_param(request, param);
    struct inst_value all;
    enum inst_status st = find(app, is_client ? NULL : id, is_client ? id : NULL, &all, err);
    if (st == INST_OK && all.len == 0)
        st = inst_refuse_not_found(err, is_client ? "oauth-app-client" : "oauth-app", "[{}]");
    if (st == INST_OK)
        *out = all.u.items[0];
    return st;
}

/* ---- as JSON: without what opens anything ---- */

static void write_client(struct inst_buf *out, const struct inst_value *client) {
    static const char *const names[] = {"client_id", "client_name", "authorized_redirect_urls"};
    struct inst_value none = inst_null();
    for (size_t i = 0; i < 3; i++) {
        const struct inst_value *v = inst_getz(client, names[i]);
        inst_buf_addf(out, "%c\"%s\":", i == 0 ? '{' : ',', names[i]);
        inst_json_write(out, v != NULL ? v : &none);
    }
    inst_buf_add_char(out, '}');
}

static void write_app(struct inst_buf *out, const struct inst_value *record) {
    const struct inst_value *clients = inst_getz(record, "clients");
    inst_buf_add_str(out, "{\"id\":");
    inst_json_write(out, inst_getz(record, "id"));
    inst_buf_add_str(out, ",\"app_id\":");
    inst_json_write(out, inst_getz(record, "app_id"));
    inst_buf_add_str(out, ",\"app_name\":");
    inst_json_write(out, inst_getz(record, "app_name"));
    inst_buf_add_str(out, ",\"is_public\":true,\"clients\":[");
    for (uint32_t i = 0; clients != NULL && i < clients->len; i++) {
        inst_buf_add_str(out, i > 0 ? "," : "");
        write_client(out, &clients->u.items[i]);
    }
    inst_buf_add_str(out, "]}");
}

static enum inst_status answer_list(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_value all;
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = find(app, NULL, NULL, &all, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"apps\":[");
    for (uint32_t i = 0; i < all.len; i++) {
        inst_buf_add_str(&response->body, i > 0 ? "," : "");
        write_app(&response->body, &all.u.items[i]);
    }
    inst_buf_add_str(&response->body, "]}");
    return INST_OK;
}

/* ---- making and removing ---- */

static enum inst_status read_name(struct inst_server *server, const struct inst_value *body,
                                  const char *name, const char **out, struct inst_err *err) {
    const char *const path[] = {"body", name};
    enum inst_status st = inst_http_body_text(body, name, &server->scratch, out, err);
    return st == INST_OK && strlen(*out) > MAX_NAME
               ? inst_refuse_malformed(err, path, 2, inst_getz(body, name))
               : st;
}

static bool make_record(struct inst_server *server, const struct inst_value *old,
                        const char *app_id, const char *id, const char *name,
                        const struct inst_value *clients, struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, &server->scratch);
    inst_object_addz(&b, "id", old != NULL ? *inst_getz(old, "id") : inst_cstring(id));
    inst_object_addz(&b, "app_id", old != NULL ? *inst_getz(old, "app_id") : inst_cstring(app_id));
    inst_object_addz(&b, "app_name",
                     old != NULL ? *inst_getz(old, "app_name") : inst_cstring(name));
    inst_object_addz(&b, "clients", *clients);
    return inst_object_end(&b, out);
}

static enum inst_status answer_add(struct inst_server *server,
                                   const struct inst_http_request *request,
                                   struct inst_http_response *response, struct inst_err *err) {
    struct inst_app *app;
    struct inst_value body, record, all, none = inst_array(NULL, 0);
    const char *name;
    char id[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = read_name(server, &body, "app_name", &name, err)) != INST_OK ||
        (st = find(app, NULL, NULL, &all, err)) != INST_OK)
        return st;
    if (all.len >= MAX_APPS)
        return inst_refuse_validation(err, "oauth-app", NULL, NULL, "There are too many of them.");
    inst_uuid_make_text(server->env, id);
    if (!make_record(server, NULL, app->info.id, id, name, &none, &record))
        return inst_err_nomem(err);
    if ((st = write_record(server, &record, err)) != INST_OK)
        return st;
    inst_buf_add_str(&response->body, "{\"app\":");
    write_app(&response->body, &record);
    inst_buf_add_char(&response->body, '}');
    return INST_OK;
}

static enum inst_status answer_delete(struct inst_server *server,
                                      const struct inst_http_request *request,
                                      struct inst_http_response *response, struct inst_err *err) {
    char key[KEY_TEXT];
    struct inst_app *app;
    struct inst_value record;
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = find_one(app, request, "id", &record, err)) != INST_OK)
        return st;
    key_of(&record, key);
    st = server->host.apps->manage->set_record(server->host.apps_ctx, key, NULL, 0, err);
    inst_buf_add_str(&response->body, "{\"app\":");
    write_app(&response->body, &record);
    inst_buf_add_char(&response->body, '}');
    return st;
}

/* Where a browser may be sent: https, or this machine. */
static bool is_redirect(const struct inst_value *url) {
    static const char *const starts[] = {"https://", "http://localhost:", "http://localhost/",
                                         "http://127.0.0.1:", "http://127.0.0.1/"};
    if (url->tag != INST_STRING || url->len > 2000)
        return false;
    for (uint32_t i = 0; i < url->len; i++)
        if ((unsigned char)url->u.str[i] <= ' ' || (unsigned char)url->u.str[i] > 0x7e ||
            strchr("#\\@", url->u.str[i]) != NULL)
            return false;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (url->len > strlen(starts[i]) && memcmp(url->u.str, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static enum inst_status read_urls(const struct inst_value *body, struct inst_value *out,
                                  struct inst_err *err) {
    static const char *const path[] = {"body", "authorized_redirect_urls"};
    const struct inst_value *urls = inst_getz(body, path[1]);
    *out = inst_array(NULL, 0);
    if (urls == NULL || inst_is_nullish(urls))
        return INST_OK;
    if (urls->tag != INST_ARRAY || urls->len > MAX_URLS)
        return inst_refuse_malformed(err, path, 2, urls);
    for (uint32_t i = 0; i < urls->len; i++)
        if (!is_redirect(&urls->u.items[i]))
            return inst_refuse_validation(err, "authorized_redirect_urls", &urls->u.items[i], NULL,
                                          "Redirect URLs are https, or http on this machine.");
    *out = *urls;
    return INST_OK;
}

static bool with_client(struct inst_server *server, const struct inst_value *clients,
                        const struct inst_value *added, const char *removed,
                        struct inst_value *out) {
    struct inst_array_builder list;
    inst_array_begin(&list, &server->scratch);
    for (uint32_t i = 0; clients != NULL && i < clients->len; i++)
        if (removed == NULL ||
            !inst_is_string(inst_getz(&clients->u.items[i], "client_id"), removed))
            inst_array_add(&list, clients->u.items[i]);
    if (added != NULL)
        inst_array_add(&list, *added);
    return inst_array_end(&list, out);
}

/* The secret is shown once, and kept as a hash. */
static enum inst_status make_client(struct inst_server *server, const char *name,
                                    const struct inst_value *urls, char secret[2 * 32 + 1],
                                    struct inst_value *out, struct inst_err *err) {
    uint8_t bytes[32], digest[INST_SHA256];
    char *id = inst_arena_alloc(&server->scratch, INST_UUID_TEXT + 1);
    char *hash = inst_arena_alloc(&server->scratch, 2 * INST_SHA256 + 1);
    struct inst_object_builder b;
    if (id == NULL || hash == NULL)
        return inst_err_nomem(err);
    inst_uuid_make_text(server->env, id);
    server->env->random(server->env->ctx, bytes, sizeof bytes);
    inst_hex(bytes, sizeof bytes, secret);
    inst_wipe(bytes, sizeof bytes);
    inst_sha256(secret, 2 * sizeof bytes, digest);
    inst_hex(digest, sizeof digest, hash);
    inst_object_begin(&b, &server->scratch);
    inst_object_addz(&b, "client_id", inst_cstring(id));
    inst_object_addz(&b, "client_name", inst_cstring(name));
    inst_object_addz(&b, "authorized_redirect_urls", *urls);
    inst_object_addz(&b, "secret", inst_cstring(hash));
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

static enum inst_status answer_client_add(struct inst_server *server,
                                          const struct inst_http_request *request,
                                          struct inst_http_response *response,
                                          struct inst_err *err) {
    struct inst_app *app;
    struct inst_value body, record, urls, client, clients, fresh;
    const char *name;
    char secret[2 * 32 + 1];
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = find_one(app, request, "id", &record, err)) != INST_OK ||
        (st = read_name(server, &body, "client_name", &name, err)) != INST_OK ||
        (st = read_urls(&body, &urls, err)) != INST_OK ||
        (st = make_client(server, name, &urls, secret, &client, err)) != INST_OK)
        return st;
    if (!with_client(server, inst_getz(&record, "clients"), &client, NULL, &clients) ||
        !make_record(server, &record, NULL, NULL, NULL, &clients, &fresh))
        return inst_err_nomem(err);
    if (clients.len > MAX_URLS)
        return inst_refuse_validation(err, "oauth-app-client", NULL, NULL,
                                      "There are too many of them.");
    st = write_record(server, &fresh, err);
    inst_buf_add_str(&response->body, "{\"client\":");
    write_client(&response->body, &client);
    inst_buf_addf(&response->body, ",\"secretValue\":\"%s\"}", secret);
    inst_wipe(secret, sizeof secret);
    return st;
}

static enum inst_status answer_client_delete(struct inst_server *server,
                                             const struct inst_http_request *request,
                                             struct inst_http_response *response,
                                             struct inst_err *err) {
    struct inst_app *app;
    struct inst_value record, clients, fresh;
    enum inst_status st;
    if ((st = open_app(server, request, &app, err)) != INST_OK ||
        (st = find_one(app, request, "client_id", &record, err)) != INST_OK)
        return st;
    const char *id = inst_http_path_param(request, "client_id");
    if (!with_client(server, inst_getz(&record, "clients"), NULL, id, &clients) ||
        !make_record(server, &record, NULL, NULL, NULL, &clients, &fresh))
        return inst_err_nomem(err);
    if ((st = write_record(server, &fresh, err)) == INST_OK) {
        inst_buf_add_str(&response->body, "{\"client\":{\"client_id\":");
        inst_json_write_string(&response->body, id, strlen(id));
        inst_buf_add_str(&response->body, "}}");
    }
    return st;
}

const struct inst_http_route inst_http_oauth_apps_routes[] = {
    {"GET", "/dash/apps/:app_id/oauth-apps", answer_list},
    {"POST", "/dash/apps/:app_id/oauth-apps", answer_add},
    {"DELETE", "/dash/apps/:app_id/oauth-apps/:id", answer_delete},
    {"POST", "/dash/apps/:app_id/oauth-apps/:id/clients", answer_client_add},
    {"DELETE", "/dash/apps/:app_id/oauth-app-clients/:client_id", answer_client_delete},
    {NULL, NULL, NULL},
};
