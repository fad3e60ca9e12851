#include "server/operators.h"

#include "base/digest.h"
#include "server/platform.h"
#include "server/refusal.h"

#include <stdio.h>

enum inst_status inst_operator_add(struct inst_server *server, const char *name,
                                   struct inst_operator_token *who,
                                   char token[INST_OPERATOR_TOKEN + 1], struct inst_err *err) {
    const struct inst_env *env = server->env;
    uint8_t secret[32];
    *who = (struct inst_operator_token){.created_ms = env->now_ms(env->ctx)};
    inst_uuid_make_text(env, who->id);
    snprintf(who->name, sizeof who->name, "%s", name);
    env->random(env->ctx, secret, sizeof secret);
    memcpy(token, INST_OPERATOR_PREFIX, sizeof INST_OPERATOR_PREFIX);
    inst_hex(secret, sizeof secret, token + sizeof INST_OPERATOR_PREFIX - 1);
    inst_wipe(secret, sizeof secret);
    return server->host.apps->manage->add_operator(server->host.apps_ctx, who, token, err);
}

enum inst_status inst_server_add_operator(struct inst_server *server, const char *name,
                                          char token[INST_OPERATOR_TOKEN + 1],
                                          struct inst_err *err) {
    struct inst_operator_token who;
    return inst_operator_add(server, name, &who, token, err);
}

static bool note_one(void *ctx, const struct inst_operator_token *who) {
    (void)who;
    *(bool *)ctx = true;
    return false;
}

enum inst_status inst_server_has_operator(struct inst_server *server, bool *out,
                                          struct inst_err *err) {
    *out = false;
    return server->host.apps->manage->each_operator(server->host.apps_ctx, note_one, out, err);
}

bool inst_operator_is_token(const char *text) {
    return strncmp(text, INST_OPERATOR_PREFIX, sizeof INST_OPERATOR_PREFIX - 1) == 0;
}

static enum inst_status refuse(struct inst_err *err) {
    inst_err_set(err, "record-not-found", 401, "Record not found: instant-user");
    inst_err_hint(err, "{\"args\":[{\"auth?\":true}],\"message\":\"This needs an operator's token, "
                       "and this is none, or it was removed. `instant-lua serve` shows one at its "
                       "first start.\",\"record-type\":\"instant-user\"}");
    return INST_FAILED;
}

enum inst_status inst_operator_check(struct inst_server *server, const char *token,
                                     struct inst_err *err) {
    const struct inst_server_host *host = &server->host;
    if (token == NULL || !inst_operator_is_token(token) ||
        !host->apps->manage->is_operator(host->apps_ctx, token, strlen(token)))
        return refuse(err);
    return INST_OK;
}

enum inst_status inst_http_operator(struct inst_server *server,
                                    const struct inst_http_request *request, struct inst_err *err) {
    static const char *const path[] = {"headers", "authorization"};
    if (inst_http_header(request, "authorization") == NULL)
        return inst_refuse_missing(err, path, 2);
    const char *token = inst_http_bearer(server, request);
    return token != NULL && inst_platform_is_token(token)
               ? inst_platform_check(server, request, token, err)
               : inst_operator_check(server, token, err);
}
