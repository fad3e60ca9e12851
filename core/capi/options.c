/* options.c - what init is told: names, types and texts as in lua/instant/init.lua. */
#include "capi/capi.h"

#include <stddef.h>
#include <string.h>

#define DEFAULT_API "https://api.instantdb.com"
#define DEFAULT_WEBSOCKET "wss://api.instantdb.com/runtime/session"

struct option {
    const char *name;
    enum instant_type type; /* INSTANT_ABSENT: anything, without effect here */
};

static const struct option known[] = {
    {"appId", INSTANT_STRING},           {"apiURI", INSTANT_STRING},
    {"websocketURI", INSTANT_STRING},    {"adminToken", INSTANT_STRING},
    {"refreshToken", INSTANT_STRING},    {"schema", INSTANT_OBJECT},
    {"useDateObjects", INSTANT_BOOL},    {"disableValidation", INSTANT_BOOL},
    {"verbose", INSTANT_BOOL},           {"caFile", INSTANT_STRING},
    {"reconnect", INSTANT_STRING},       {"connectTimeout", INSTANT_NUMBER},
    {"shareConnection", INSTANT_BOOL},   {"storage", INSTANT_STRING},
    {"firstPartyPath", INSTANT_ABSENT},  {"devtool", INSTANT_ABSENT},
    {"queryCacheLimit", INSTANT_ABSENT}, {"__extraDedupeKey", INSTANT_ABSENT},
    {"vault", INSTANT_ABSENT},
};

static enum inst_status check_one(const struct inst_member *member, struct inst_err *err) {
    static const char *const types[] = {[INSTANT_BOOL] = "boolean",
                                        [INSTANT_NUMBER] = "number",
                                        [INSTANT_STRING] = "string",
                                        [INSTANT_OBJECT] = "object"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strlen(known[i].name) != member->key_len ||
            memcmp(known[i].name, member->key, member->key_len) != 0)
            continue;
        enum instant_type type = instant_value_type(inst_capi_out(&member->value));
        if (known[i].type == INSTANT_ABSENT || type == known[i].type || type == INSTANT_NULL)
            return INST_OK;
        return inst_err_set(err, "validation-failed", 400, "init: `%s` must be a %s, got %s",
                            known[i].name, types[known[i].type],
                            inst_capi_type_name(&member->value));
    }
    return inst_err_set(err, "validation-failed", 400, "init: unknown option `%.*s`",
                        (int)(member->key_len < 64 ? member->key_len : 64), member->key);
}

static enum inst_status check_names(const struct inst_value *config, struct inst_err *err) {
    if (config->tag != INST_OBJECT)
        return inst_err_set(err, "validation-failed", 400, "init: expected an object, got %s",
                            inst_capi_type_name(config));
    enum inst_status status = INST_OK;
    for (uint32_t i = 0; i < config->len && status == INST_OK; i++)
        status = check_one(&config->u.members[i], err);
    return status;
}

/* NULL when it is absent; *failed when there is no memory. */
static const char *text(struct inst_arena *arena, const struct inst_value *config, const char *name,
                        bool *failed) {
    const struct inst_value *value = inst_get_string(config, name);
    const char *copy = value ? inst_arena_dup(arena, value->u.str, value->len) : NULL;
    *failed = *failed || (value && !copy);
    return copy;
}

static bool starts_with(const char *whole, const char *head) {
    return strncmp(whole, head, strlen(head)) == 0;
}

static enum inst_status derive_websocket(struct inst_arena *arena, const char *api,
                                         struct inst_capi_options *out, struct inst_err *err) {
    if (!starts_with(api, "http://") && !starts_with(api, "https://"))
        return inst_err_set(
            err, "validation-failed", 400,
            "init: `apiURI` must be http://..., https://... or local:PATH, got `%s`", api);
    struct inst_buf uri;
    inst_buf_init(&uri);
    inst_buf_addf(&uri, "ws%s/runtime/session", api + strlen("http"));
    out->client.websocket_uri = uri.failed ? NULL : inst_arena_dup(arena, uri.data, uri.len);
    inst_buf_free(&uri);
    return out->client.websocket_uri ? INST_OK : inst_err_nomem(err);
}

static enum inst_status read_addresses(struct inst_arena *arena, const struct inst_value *config,
                                       struct inst_capi_options *out, struct inst_err *err) {
    bool failed = false;
    char *api = (char *)text(arena, config, "apiURI", &failed);
    const char *websocket = text(arena, config, "websocketURI", &failed);
    if (failed)
        return inst_err_nomem(err);
    for (size_t len = api ? strlen(api) : 0; len > 0 && api[len - 1] == '/'; len--)
        api[len - 1] = '\0';
    if (api && starts_with(api, "local:") && api[strlen("local:")]) {
        out->local_path = api + strlen("local:");
        return INST_OK;
    }
    out->http_uri = api ? api : DEFAULT_API;
    /* A WebSocket address of one's own alone does not say where server-sent events come from. */
    if (api ? starts_with(api, "http://") || starts_with(api, "https://") : !websocket)
        out->client.api_uri = api ? api : DEFAULT_API;
    out->client.websocket_uri = websocket;
    if (websocket)
        return INST_OK;
    if (!api || strcmp(api, DEFAULT_API) == 0) {
        out->client.websocket_uri = DEFAULT_WEBSOCKET;
        return INST_OK;
    }
    return derive_websocket(arena, api, out, err);
}

/* ---- the vault ---- */

static enum inst_status bad(struct inst_err *err, const char *text) {
    return inst_err_set(err, "validation-failed", 400, "init: %s", text);
}

static enum inst_status check_vault_members(const struct inst_value *vault, struct inst_err *err) {
    static const char *const names[] = {"file", "passphrase", "keyFile"};
    for (uint32_t i = 0; i < vault->len; i++) {
        const struct inst_member *member = &vault->u.members[i];
        size_t k = 0;
        while (k < 3 && (strlen(names[k]) != member->key_len ||
                         memcmp(names[k], member->key, member->key_len) != 0))
            k++;
        if (k == 3)
            return inst_err_set(err, "validation-failed", 400, "init: unknown option `vault.%.*s`",
                                (int)(member->key_len < 64 ? member->key_len : 64), member->key);
        if (member->value.tag != INST_STRING)
            return inst_err_set(err, "validation-failed", 400,
                                "init: `vault.%s` must be a string, got %s", names[k],
                                inst_capi_type_name(&member->value));
    }
    return INST_OK;
}

/* {"file", "passphrase" or "keyFile"} */
static enum inst_status read_vault_file(struct inst_arena *arena, const struct inst_value *vault,
                                        struct inst_vault_config *out, struct inst_err *err) {
    bool failed = false;
    const struct inst_value *passphrase = inst_get_string(vault, "passphrase");
    enum inst_status status = check_vault_members(vault, err);
    if (status != INST_OK)
        return status;
    *out = (struct inst_vault_config){.kind = INST_VAULT_FILE,
                                      .file = text(arena, vault, "file", &failed),
                                      .passphrase = text(arena, vault, "passphrase", &failed),
                                      .passphrase_len = passphrase ? passphrase->len : 0,
                                      .key_file = text(arena, vault, "keyFile", &failed)};
    if (failed)
        return inst_err_nomem(err);
    if (!out->file)
        return bad(err, "`vault.file` is missing");
    if ((out->passphrase != NULL) == (out->key_file != NULL))
        return bad(err, "`vault` needs `passphrase` or `keyFile`, one of them");
    return INST_OK;
}

/* Texts as in lua/instant/auth.lua. */
static enum inst_status read_vault(struct inst_arena *arena, const struct inst_value *config,
                                   struct inst_capi_options *out, struct inst_err *err) {
    const struct inst_value *vault = inst_getz(config, "vault");
    if (!vault || inst_is_nullish(vault))
        return INST_OK;
    if (inst_get_string(config, "refreshToken"))
        return bad(err, "`refreshToken` and `vault` both say who is signed in; give one of them");
    out->has_vault = true;
    if (vault->tag == INST_OBJECT)
        return read_vault_file(arena, vault, &out->vault, err);
    if (vault->tag != INST_STRING)
        return inst_err_set(err, "validation-failed", 400,
                            "init: `vault` must be a string or an object, got %s",
                            inst_capi_type_name(vault));
    out->vault.kind = inst_is_string(vault, "keychain") ? INST_VAULT_KEYCHAIN : INST_VAULT_MEMORY;
    if (out->vault.kind == INST_VAULT_MEMORY && !inst_is_string(vault, "memory"))
        return inst_err_set(err, "validation-failed", 400,
                            "init: `vault` must be \"keychain\", \"memory\" or an object, got "
                            "\"%.*s\"",
                            (int)(vault->len < 64 ? vault->len : 64), vault->u.str);
    return INST_OK;
}

enum inst_status inst_capi_options_read(struct inst_arena *arena, const struct inst_value *config,
                                        struct inst_capi_options *out, struct inst_err *err) {
    *out = (struct inst_capi_options){0};
    enum inst_status status = check_names(config, err);
    if (status == INST_OK)
        status = read_addresses(arena, config, out, err);
    if (status != INST_OK)
        return status;
    const struct inst_value *schema = inst_getz(config, "schema");
    const struct inst_value *reconnect = inst_get_string(config, "reconnect");
    struct inst_client_config *client = &out->client;
    struct inst_reactor_config *reactor = &client->reactor;
    bool failed = false;
    reactor->app_id = text(arena, config, "appId", &failed);
    reactor->admin_token = text(arena, config, "adminToken", &failed);
    reactor->refresh_token = text(arena, config, "refreshToken", &failed);
    reactor->schema = schema && schema->tag == INST_OBJECT ? schema : NULL;
    reactor->use_date_objects = inst_get_true(config, "useDateObjects");
    reactor->disable_validation = inst_get_true(config, "disableValidation");
    reactor->verbose = inst_get_true(config, "verbose");
    reactor->reconnect = reconnect && inst_is_string(reconnect, "linear")
                             ? INST_RECONNECT_LINEAR
                             : INST_RECONNECT_EXPONENTIAL;
    const struct inst_value *share = inst_getz(config, "shareConnection");
    client->has_own_connection = share && share->tag == INST_FALSE;
    client->ca_file = text(arena, config, "caFile", &failed);
    client->storage = text(arena, config, "storage", &failed);
    double open_ms = instant_value_number(inst_capi_out(inst_getz(config, "connectTimeout")), 0);
    client->open_ms = open_ms >= 1 && open_ms < 1e9 ? (int64_t)open_ms : 0;
    if (failed)
        return inst_err_nomem(err);
    status = read_vault(arena, config, out, err);
    if (status != INST_OK)
        return status;
    if (!out->local_path && !reactor->app_id)
        return inst_err_set(err, "validation-failed", 400, "init: `appId` is missing");
    return INST_OK;
}
