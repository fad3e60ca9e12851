#include "base/base64.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/jws.h"
#include "base/signature.h"
#include "server/refusal.h"
#include "server/webhooks.h"

#include <stdio.h>

struct signer {
    uint8_t seed[INST_ED25519_KEY];
    uint8_t key[INST_ED25519_KEY]; /* public */
    char kid[16];
};

/* Clients keep keys by kid for as long as they run, and know these two as the original's. */
static bool is_taken(uint32_t kid) { return kid == 1034696293u || kid == 503090235u; }

static void name_key(struct signer *signer) {
    uint8_t digest[INST_SHA256];
    inst_sha256(signer->key, sizeof signer->key, digest);
    uint32_t kid = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 |
                   (uint32_t)digest[2] << 8 | digest[3];
    snprintf(signer->kid, sizeof signer->kid, "%u", is_taken(kid) ? kid + 1 : kid);
}

static enum inst_status get_signer(struct inst_server *server, struct signer *out,
                                   struct inst_err *err) {
    static const char purpose[] = "webhook signatures";
    const struct inst_server_host *host = &server->host;
    uint8_t key[INST_SERVER_FILES_KEY];
    if (host->files == NULL)
        return inst_err_set(err, "validation-failed", 400,
                            "This backend has no key to sign webhooks with.");
    enum inst_status st = host->files->key(host->files_ctx, key, err);
    if (st == INST_OK &&
        (!inst_hmac_sha256(key, sizeof key, purpose, sizeof purpose - 1, out->seed) ||
         !inst_ed25519_public(out->seed, out->key)))
        st = inst_err_nomem(err);
    inst_wipe(key, sizeof key);
    if (st == INST_OK)
        name_key(out);
    return st;
}

enum inst_status inst_webhook_keys_write(struct inst_server *server, struct inst_buf *out,
                                         struct inst_err *err) {
    struct signer signer;
    enum inst_status st = get_signer(server, &signer, err);
    if (st != INST_OK)
        return st;
    inst_buf_addf(out,
                  "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\",\"use\":"
                  "\"sig\",\"kid\":\"%s\",\"x\":\"",
                  signer.kid);
    inst_base64url_add(out, signer.key, sizeof signer.key);
    inst_buf_add_str(out, "\"}]}");
    inst_wipe(&signer, sizeof signer);
    return INST_OK;
}

enum inst_status inst_webhook_sign(struct inst_server *server, int64_t now_ms, const char *body,
                                   size_t len, struct inst_buf *out, struct inst_err *err) {
    struct signer signer;
    struct inst_buf signed_text;
    uint8_t signature[INST_ED25519_SIGNATURE];
    char hex[2 * INST_ED25519_SIGNATURE + 1];
    enum inst_status st = get_signer(server, &signer, err);
    if (st != INST_OK)
        return st;
    inst_buf_init(&signed_text);
    inst_buf_add_int(&signed_text, now_ms / 1000);
    inst_buf_add_char(&signed_text, '.');
    inst_buf_add(&signed_text, body, len);
    if (signed_text.failed ||
        !inst_ed25519_sign(signer.seed, signed_text.data, signed_text.len, signature))
        st = inst_err_nomem(err);
    if (st == INST_OK) {
        inst_hex(signature, sizeof signature, hex);
        inst_buf_add_str(out, "t=");
        inst_buf_add_int(out, now_ms / 1000);
        inst_buf_addf(out, ",kid=%s,v1=%s", signer.kid, hex);
    }
    inst_buf_free(&signed_text);
    inst_wipe(&signer, sizeof signer);
    return st;
}

/* ---- tokens ---- */

static const char *issuer(const struct inst_server *server) {
    return server->origin != NULL ? server->origin : "";
}

static void write_claims(const struct inst_app *app, const struct inst_webhook *webhook,
                         struct inst_webhook_isn isn, int64_t now_ms, struct inst_buf *out) {
    char text[INST_WEBHOOK_ISN_TEXT];
    const char *iss = issuer(app->server);
    inst_webhook_isn_print(isn, text);
    inst_buf_add_str(out, "{\"iss\":");
    inst_json_write_string(out, iss, strlen(iss));
    inst_buf_addf(out, ",\"sub\":\"%s\",\"app-id\":\"%s\",\"webhook-id\":\"%s\",\"isn\":\"%s\"",
                  app->info.id, app->info.id, webhook->id, text);
    inst_buf_add_str(out, ",\"exp\":");
    inst_buf_add_int(out, now_ms / 1000 + INST_WEBHOOK_TOKEN_S);
    inst_buf_add_char(out, '}');
}

enum inst_status inst_webhook_token(struct inst_app *app, const struct inst_webhook *webhook,
                                    struct inst_webhook_isn isn, int64_t now_ms,
                                    struct inst_buf *out, struct inst_err *err) {
    struct signer signer;
    struct inst_buf claims, text;
    char header[64];
    uint8_t signature[INST_ED25519_SIGNATURE];
    enum inst_status st = get_signer(app->server, &signer, err);
    if (st != INST_OK)
        return st;
    inst_buf_init(&claims);
    inst_buf_init(&text);
    snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
             signer.kid);
    write_claims(app, webhook, isn, now_ms, &claims);
    inst_base64url_add(&text, header, strlen(header));
    inst_buf_add_char(&text, '.');
    inst_base64url_add(&text, claims.data, claims.len);
    if (claims.failed || text.failed ||
        !inst_ed25519_sign(signer.seed, text.data, text.len, signature)) {
        st = inst_err_nomem(err);
    } else {
        inst_buf_add(out, text.data, text.len);
        inst_buf_add_char(out, '.');
        inst_base64url_add(out, signature, sizeof signature);
    }
    inst_buf_free(&claims);
    inst_buf_free(&text);
    inst_wipe(&signer, sizeof signer);
    return st;
}

static bool says(const struct inst_value *claims, const char *name, const char *wanted) {
    const struct inst_value *v = inst_get_string(claims, name);
    return v != NULL && inst_is_string(v, wanted);
}

static const char *what_is_wrong(struct inst_server *server, const struct signer *signer,
                                 const struct inst_jws *jws, const char *app_id,
                                 const char *webhook_id, const char *isn) {
    const struct inst_value *alg = inst_get_string(&jws->header, "alg");
    const struct inst_value *exp = inst_getz(&jws->payload, "exp");
    int64_t now = server->env->now_ms(server->env->ctx) / 1000;
    if (alg == NULL || !inst_is_string(alg, "EdDSA") ||
        !inst_ed25519_verify(signer->key, sizeof signer->key, jws->signature, jws->signature_len,
                             jws->text, jws->signed_len))
        return "Invalid JWT.";
    if (exp == NULL || exp->tag != INST_NUMBER || !(exp->u.num > (double)now))
        return "Expired JWT";
    if (!says(&jws->payload, "iss", issuer(server)) || !says(&jws->payload, "sub", app_id) ||
        !says(&jws->payload, "app-id", app_id) || !says(&jws->payload, "webhook-id", webhook_id) ||
        !says(&jws->payload, "isn", isn))
        return "The JWT is for something else.";
    return NULL;
}

enum inst_status inst_webhook_check_token(struct inst_server *server, const char *token,
                                          const char *app_id, const char *webhook_id,
                                          struct inst_webhook_isn isn, struct inst_err *err) {
    struct inst_value redacted = inst_cstring("<redacted token>");
    struct inst_jws jws;
    struct signer signer;
    char text[INST_WEBHOOK_ISN_TEXT];
    enum inst_status st = get_signer(server, &signer, err);
    if (st != INST_OK)
        return st;
    inst_webhook_isn_print(isn, text);
    st = inst_jws_read(&server->scratch, token, strlen(token), &jws);
    const char *wrong = st == INST_OK
                            ? what_is_wrong(server, &signer, &jws, app_id, webhook_id, text)
                            : "Invalid JWT.";
    inst_wipe(&signer, sizeof signer);
    if (st == INST_NOMEM)
        return inst_err_nomem(err);
    return wrong == NULL ? INST_OK
                         : inst_refuse_validation(err, "jwt", &redacted, NULL, "%s", wrong);
}

void inst_webhook_key(const char *webhook_id, struct inst_webhook_isn isn,
                      char out[INST_UUID_TEXT + 1]) {
    char text[INST_WEBHOOK_ISN_TEXT], whole[128];
    uint8_t digest[INST_SHA256];
    struct inst_uuid id;
    inst_webhook_isn_print(isn, text);
    int len = snprintf(whole, sizeof whole, "%s %s", webhook_id, text);
    inst_sha256(whole, (size_t)len, digest);
    memcpy(id.bytes, digest, sizeof id.bytes);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x80);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    inst_uuid_print(&id, out);
}
