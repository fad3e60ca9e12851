#include "server/platform.h"

#include "base/digest.h"
#include "base/json.h"
#include "server/refusal.h"

#include <stdio.h>

#define TOKEN_KEY "oauth-token/"
#define TOKEN_KEY_TEXT (sizeof TOKEN_KEY - 1 + 2 * INST_SHA256)

static const struct {
    enum inst_scope scope;
    const char *name;
} scopes[] = {
    {INST_SCOPE_APPS_READ, "apps-read"},       {INST_SCOPE_APPS_WRITE, "apps-write"},
    {INST_SCOPE_DATA_READ, "data-read"},       {INST_SCOPE_DATA_WRITE, "data-write"},
    {INST_SCOPE_STORAGE_READ, "storage-read"}, {INST_SCOPE_STORAGE_WRITE, "storage-write"},
};
#define SCOPES (sizeof scopes / sizeof *scopes)

unsigned inst_scopes_read(const char *text) {
    unsigned found = 0;
    while (*(text += strspn(text, " ")) != '\0') {
        size_t len = strcspn(text, " "), i = 0;
        while (i < SCOPES &&
               (strlen(scopes[i].name) != len || memcmp(scopes[i].name, text, len) != 0))
            i++;
        if (i == SCOPES)
            return 0;
        found |= scopes[i].scope;
        text += len;
    }
    return found;
}

void inst_scopes_write(struct inst_buf *out, unsigned given) {
    bool is_first = true;
    for (size_t i = 0; i < SCOPES; i++)
        if (given & scopes[i].scope) {
            inst_buf_addf(out, "%s%s", is_first ? "" : " ", scopes[i].name);
            is_first = false;
        }
}

/* ---- records ---- */

static const struct inst_app_manage_ops *manage_of(const struct inst_server *server) {
    return server->host.apps->manage;
}

/* *out is UNDEFINED when there is none. */
static enum inst_status read_record(struct inst_server *server, const char *key,
                                    struct inst_value *out, struct inst_err *err) {
    struct inst_buf text;
    bool found = false;
    *out = inst_undefined();
    inst_buf_init(&text);
    enum inst_status st =
        manage_of(server)->get_record(server->host.apps_ctx, key, &text, &found, err);
    if (st == INST_OK && text.failed)
        st = inst_err_nomem(err);
    if (st == INST_OK && found)
        st = inst_json_parse(&server->scratch, text.data, text.len, out, err);
    inst_buf_free(&text);
    return st;
}

/* ---- clients ---- */

struct sought {
    struct inst_server *server;
    const char *client_id;
    struct inst_value *app;
    const struct inst_value *client;
    struct inst_err *err;
    enum inst_status status;
};

static bool look_for_client(void *ctx, const char *key, const char *bytes, size_t len) {
    struct sought *sought = ctx;
    (void)key;
    sought->status =
        inst_json_parse(&sought->server->scratch, bytes, len, sought->app, sought->err);
    const struct inst_value *clients =
        sought->status == INST_OK ? inst_getz(sought->app, "clients") : NULL;
    for (uint32_t i = 0; clients != NULL && i < clients->len; i++) {
        const struct inst_value *id = inst_get_string(&clients->u.items[i], "client_id");
        if (id != NULL && inst_is_string(id, sought->client_id))
            sought->client = &clients->u.items[i];
    }
    return sought->status == INST_OK && sought->client == NULL;
}

enum inst_status inst_platform_client(struct inst_server *server, const char *client_id,
                                      struct inst_value *app, const struct inst_value **out,
                                      struct inst_err *err) {
    struct sought sought = {.server = server, .client_id = client_id, .app = app, .err = err};
    enum inst_status st = manage_of(server)->each_record(server->host.apps_ctx, "oauth-app/",
                                                         look_for_client, &sought, err);
    *out = sought.client;
    return st == INST_OK ? sought.status : st;
}

bool inst_platform_client_allows(const struct inst_value *client, const char *redirect_uri) {
    const struct inst_value *urls = inst_getz(client, "authorized_redirect_urls");
    for (uint32_t i = 0; urls != NULL && urls->tag == INST_ARRAY && i < urls->len; i++)
        if (inst_is_string(&urls->u.items[i], redirect_uri))
            return true;
    return false;
}

static void hash_of(const char *text, char out[2 * INST_SHA256 + 1]) {
    uint8_t digest[INST_SHA256];
    inst_sha256(text, strlen(text), digest);
    inst_hex(digest, sizeof digest, out);
}

enum inst_status inst_platform_check_secret(const struct inst_value *client, const char *secret,
                                            struct inst_err *err) {
    char hash[2 * INST_SHA256 + 1];
    const struct inst_value *kept = inst_get_string(client, "secret");
    hash_of(secret, hash);
    return kept != NULL && kept->len == 2 * INST_SHA256 &&
                   inst_secret_equal(kept->u.str, hash, kept->len)
               ? INST_OK
               : inst_refuse_not_found(err, "oauth-app-client-secret", "[{}]");
}

/* ---- tokens ---- */

static bool has_prefix(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool inst_platform_is_token(const char *text) { return has_prefix(text, INST_PLATFORM_ACCESS); }

static void key_of(const char *token, char out[TOKEN_KEY_TEXT + 1]) {
    memcpy(out, TOKEN_KEY, sizeof TOKEN_KEY);
    hash_of(token, out + sizeof TOKEN_KEY - 1);
}

static enum inst_status add_token(struct inst_server *server, const char *prefix,
                                  const struct inst_platform_grant *grant, const char *refresh,
                                  char token[INST_PLATFORM_TOKEN + 1], struct inst_err *err) {
    const struct inst_env *env = server->env;
    uint8_t secret[32];
    char key[TOKEN_KEY_TEXT + 1], of[2 * INST_SHA256 + 1];
    struct inst_buf record;
    env->random(env->ctx, secret, sizeof secret);
    memcpy(token, prefix, strlen(prefix));
    inst_hex(secret, sizeof secret, token + strlen(prefix));
    inst_wipe(secret, sizeof secret);
    key_of(token, key);
    inst_buf_init(&record);
    inst_buf_addf(&record, "{\"client\":\"%s\",\"scopes\":\"", grant->client);
    inst_scopes_write(&record, grant->scopes);
    inst_buf_addf(&record, "\",\"created\":%lld,\"expires\":%lld", (long long)env->now_ms(env->ctx),
                  (long long)grant->expires_ms);
    if (refresh != NULL) {
        hash_of(refresh, of);
        inst_buf_addf(&record, ",\"refresh\":\"%s\"", of);
    }
    inst_buf_add_char(&record, '}');
    enum inst_status st = record.failed
                              ? inst_err_nomem(err)
                              : manage_of(server)->set_record(server->host.apps_ctx, key,
                                                              record.data, record.len, err);
    inst_buf_free(&record);
    return st;
}

/* The keys of tokens that are over, or that were made of a refresh token. */
struct doomed {
    struct inst_server *server;
    const char *refresh; /* hash; NULL: those that are over */
    struct inst_array_builder keys;
};

static double number_at(const struct inst_value *record, const char *name) {
    const struct inst_value *v = inst_getz(record, name);
    return v != NULL && v->tag == INST_NUMBER ? v->u.num : 0;
}

static bool note_doomed(void *ctx, const char *key, const char *bytes, size_t len) {
    struct doomed *doomed = ctx;
    struct inst_server *server = doomed->server;
    struct inst_value record;
    if (inst_json_parse(&server->scratch, bytes, len, &record, NULL) != INST_OK)
        return true;
    double expires = number_at(&record, "expires");
    const struct inst_value *refresh = inst_get_string(&record, "refresh");
    bool is_over = expires > 0 && expires <= (double)server->env->now_ms(server->env->ctx);
    bool is_of =
        doomed->refresh != NULL && refresh != NULL && inst_is_string(refresh, doomed->refresh);
    const char *copy = is_over || is_of ? inst_arena_dup(&server->scratch, key, strlen(key)) : NULL;
    if (copy != NULL)
        inst_array_add(&doomed->keys, inst_cstring(copy));
    return true;
}

static enum inst_status sweep(struct inst_server *server, const char *refresh,
                              struct inst_err *err) {
    struct doomed doomed = {.server = server, .refresh = refresh};
    struct inst_value keys;
    inst_array_begin(&doomed.keys, &server->scratch);
    enum inst_status st =
        manage_of(server)->each_record(server->host.apps_ctx, TOKEN_KEY, note_doomed, &doomed, err);
    if (st == INST_OK && !inst_array_end(&doomed.keys, &keys))
        st = inst_err_nomem(err);
    for (uint32_t i = 0; st == INST_OK && i < keys.len; i++)
        st = manage_of(server)->set_record(server->host.apps_ctx, keys.u.items[i].u.str, NULL, 0,
                                           err);
    return st;
}

enum inst_status inst_platform_add_access(struct inst_server *server,
                                          const struct inst_platform_grant *grant,
                                          const char *refresh, char token[INST_PLATFORM_TOKEN + 1],
                                          struct inst_err *err) {
    struct inst_platform_grant access = *grant;
    access.expires_ms = server->env->now_ms(server->env->ctx) + 1000ll * INST_PLATFORM_ACCESS_S;
    enum inst_status st = sweep(server, NULL, err);
    return st == INST_OK ? add_token(server, INST_PLATFORM_ACCESS, &access, refresh, token, err)
                         : st;
}

enum inst_status inst_platform_add_refresh(struct inst_server *server,
                                           const struct inst_platform_grant *grant,
                                           char token[INST_PLATFORM_TOKEN + 1],
                                           struct inst_err *err) {
    struct inst_platform_grant refresh = *grant;
    refresh.expires_ms = 0;
    return add_token(server, INST_PLATFORM_REFRESH, &refresh, NULL, token, err);
}

static enum inst_status refuse_token(const char *token, bool is_over, struct inst_err *err) {
    const char *type = has_prefix(token, INST_PLATFORM_REFRESH) ? "oauth-app-refresh-token"
                                                                : "oauth-app-access-token";
    if (!is_over) {
        inst_refuse_not_found(err, type, "[{}]");
        err->status = 401;
        return INST_FAILED;
    }
    char hint[96];
    snprintf(hint, sizeof hint, "{\"args\":[{}],\"record-type\":\"%s\"}", type);
    inst_err_set(err, "record-expired", 400, "Record expired: %s", type);
    inst_err_hint(err, hint);
    return INST_FAILED;
}

enum inst_status inst_platform_find(struct inst_server *server, const char *token,
                                    struct inst_platform_grant *out, struct inst_err *err) {
    char key[TOKEN_KEY_TEXT + 1];
    struct inst_value record, app;
    const struct inst_value *client, *id, *names;
    key_of(token, key);
    enum inst_status st = read_record(server, key, &record, err);
    if (st != INST_OK)
        return st;
    id = record.tag == INST_OBJECT ? inst_get_string(&record, "client") : NULL;
    names = id != NULL ? inst_get_string(&record, "scopes") : NULL;
    if (names == NULL || id->len != INST_UUID_TEXT)
        return refuse_token(token, false, err);
    memcpy(out->client, id->u.str, INST_UUID_TEXT);
    out->client[INST_UUID_TEXT] = '\0';
    const char *text = inst_arena_dup(&server->scratch, names->u.str, names->len);
    if (text == NULL)
        return inst_err_nomem(err);
    out->scopes = inst_scopes_read(text);
    out->expires_ms = (int64_t)number_at(&record, "expires");
    if (out->expires_ms != 0 && out->expires_ms <= server->env->now_ms(server->env->ctx))
        return refuse_token(token, true, err);
    st = inst_platform_client(server, out->client, &app, &client, err);
    return st == INST_OK && client == NULL ? refuse_token(token, false, err) : st;
}

enum inst_status inst_platform_revoke(struct inst_server *server, const char *token,
                                      struct inst_err *err) {
    char key[TOKEN_KEY_TEXT + 1], hash[2 * INST_SHA256 + 1];
    key_of(token, key);
    hash_of(token, hash);
    enum inst_status st = manage_of(server)->set_record(server->host.apps_ctx, key, NULL, 0, err);
    if (st == INST_OK && has_prefix(token, INST_PLATFORM_REFRESH))
        st = sweep(server, hash, err);
    return st;
}

/* ---- what a request needs ---- */

/* 0: nothing that such a token may ask. What hands out tokens, or lets others in, is for operators
 * alone. */
static unsigned needed(const struct inst_http_request *request) {
    static const struct {
        const char *prefix, *word; /* word: somewhere behind, or NULL */
        unsigned read, write;
    } rows[] = {
        {"/dash/apps/", "/tokens", 0, 0},
        {"/dash/apps/", "/oauth-app", 0, 0},
        {"/dash/apps/", "/claim", 0, 0},
        {"/dash/apps/", "/storage/", INST_SCOPE_STORAGE_READ, INST_SCOPE_STORAGE_WRITE},
        {"/dash/apps/", "/webhooks", INST_SCOPE_DATA_READ, INST_SCOPE_DATA_WRITE},
        {"/dash/apps/", "/backups", INST_SCOPE_DATA_READ, INST_SCOPE_APPS_WRITE},
        {"/dash/apps", NULL, INST_SCOPE_APPS_READ, INST_SCOPE_APPS_WRITE},
        {"/superadmin/", NULL, INST_SCOPE_APPS_READ, INST_SCOPE_APPS_WRITE},
        {"/admin/storage/", NULL, INST_SCOPE_STORAGE_READ, INST_SCOPE_STORAGE_WRITE},
        {"/admin/query", NULL, INST_SCOPE_DATA_READ, INST_SCOPE_DATA_READ},
        {"/admin/subscribe-query", NULL, INST_SCOPE_DATA_READ, INST_SCOPE_DATA_READ},
        {"/admin/", NULL, INST_SCOPE_DATA_READ, INST_SCOPE_DATA_WRITE},
        {"/webhooks/payload/", NULL, INST_SCOPE_DATA_READ, 0},
    };
    bool is_read = strcmp(request->method, "GET") == 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (has_prefix(request->path, rows[i].prefix) &&
            (rows[i].word == NULL ||
             strstr(request->path + strlen(rows[i].prefix) - 1, rows[i].word) != NULL))
            return is_read ? rows[i].read : rows[i].write;
    return 0;
}

enum inst_status inst_platform_check(struct inst_server *server,
                                     const struct inst_http_request *request, const char *token,
                                     struct inst_err *err) {
    struct inst_platform_grant grant;
    unsigned scope = needed(request);
    enum inst_status st = inst_platform_find(server, token, &grant, err);
    if (st != INST_OK || (scope != 0 && (grant.scopes & scope) == scope))
        return st;
    inst_err_set(err, "permission-denied", 400, "Permission denied: not has-scope?");
    inst_err_hint(err, "{\"expected\":\"has-scope?\",\"input\":[]}");
    return INST_FAILED;
}
