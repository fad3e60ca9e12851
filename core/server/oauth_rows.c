#include "server/oauth_rows.h"

#include "base/digest.h"
#include "server/refusal.h"
#include "server/rows.h"

/* Rows of anybody that are too old, cleared away at every new one. */
#define SWEPT 20

static const char redirects[] = "$oauthRedirects";
static const char codes[] = "$oauthCodes";

static enum inst_status sweep(struct inst_app *app, const char *etype, int64_t good_ms,
                              struct inst_row_steps *steps, struct inst_err *err) {
    const struct inst_env *env = app->server->env;
    uint32_t oldest[SWEPT];
    size_t found;
    enum inst_status st = inst_row_oldest(app, etype, oldest, SWEPT, &found, err);
    for (size_t i = 0; st == INST_OK && i < found; i++) {
        int64_t created;
        char *id = inst_arena_alloc(&app->server->scratch, INST_UUID_TEXT + 1);
        st = id != NULL ? inst_row_time(app, oldest[i], etype, &created, err) : inst_err_nomem(err);
        if (st != INST_OK || created + good_ms >= env->now_ms(env->ctx))
            return st;
        if (inst_row_id(app, oldest[i], id))
            inst_row_delete(steps, id, etype);
    }
    return st;
}

static void set_text(struct inst_row_steps *steps, const char *id, const char *etype,
                     const char *label, const struct inst_value *v) {
    if (v != NULL && v->tag == INST_STRING)
        inst_row_set(steps, id, etype, label, *v);
}

/* ---- redirects ---- */

enum inst_status inst_oauth_redirect_add(struct inst_app *app, const struct inst_uuid *state,
                                         const struct inst_uuid *cookie,
                                         const struct inst_oauth_redirect *redirect,
                                         struct inst_err *err) {
    char id[INST_UUID_TEXT + 1], state_hash[INST_SHA256_HEX + 1], cookie_hash[INST_SHA256_HEX + 1];
    struct inst_row_steps steps;
    inst_row_begin(&steps, app);
    enum inst_status st = sweep(app, redirects, INST_OAUTH_REDIRECT_MS, &steps, err);
    if (st != INST_OK)
        return st;
    inst_uuid_make_text(app->server->env, id);
    inst_sha256_hex(state->bytes, sizeof state->bytes, state_hash);
    inst_sha256_hex(cookie->bytes, sizeof cookie->bytes, cookie_hash);
    inst_row_set(&steps, id, redirects, "id", inst_cstring(id));
    inst_row_set(&steps, id, redirects, "stateHash", inst_cstring(state_hash));
    inst_row_set(&steps, id, redirects, "cookieHash", inst_cstring(cookie_hash));
    inst_row_set(&steps, id, redirects, "$oauthClient", inst_cstring(redirect->client));
    set_text(&steps, id, redirects, "redirectUrl", &redirect->redirect_url);
    set_text(&steps, id, redirects, "redirectTo", &redirect->redirect_to);
    set_text(&steps, id, redirects, "codeChallenge", &redirect->challenge);
    set_text(&steps, id, redirects, "codeChallengeMethod", &redirect->method);
    return inst_row_write(&steps, err);
}

static enum inst_status refuse(struct inst_err *err, const char *message) {
    return inst_err_set(err, "oauth-error", 400, "%s", message);
}

/* What is known of it, before the row goes. */
struct row {
    uint32_t client;
    int64_t created;
    struct inst_value cookie_hash;
};

static enum inst_status read_row(struct inst_app *app, uint32_t e, struct row *row,
                                 struct inst_oauth_redirect *out, struct inst_err *err) {
    const struct {
        const char *label;
        struct inst_value *to;
    } members[] = {{"cookieHash", &row->cookie_hash},
                   {"redirectUrl", &out->redirect_url},
                   {"redirectTo", &out->redirect_to},
                   {"codeChallenge", &out->challenge},
                   {"codeChallengeMethod", &out->method}};
    enum inst_status st = inst_row_time(app, e, redirects, &row->created, err);
    for (size_t i = 0; st == INST_OK && i < sizeof members / sizeof *members; i++)
        st = inst_row_value(app, e, redirects, members[i].label, members[i].to, err);
    if (st == INST_OK)
        st = inst_row_link(app, e, redirects, "$oauthClient", &row->client, err);
    return st;
}

static enum inst_status delete_row(struct inst_app *app, uint32_t e, struct inst_err *err) {
    struct inst_row_steps steps;
    char id[INST_UUID_TEXT + 1];
    inst_row_begin(&steps, app);
    if (inst_row_id(app, e, id))
        inst_row_delete(&steps, id, redirects);
    return inst_row_write(&steps, err);
}

enum inst_status inst_oauth_redirect_consume(struct inst_app *app, const struct inst_uuid *state,
                                             const struct inst_uuid *cookie,
                                             struct inst_oauth_redirect *out,
                                             char client[INST_UUID_TEXT + 1],
                                             struct inst_err *err) {
    const struct inst_env *env = app->server->env;
    char hash[INST_SHA256_HEX + 1];
    struct row row;
    uint32_t e;
    *out = (struct inst_oauth_redirect){.client = client};
    inst_sha256_hex(state->bytes, sizeof state->bytes, hash);
    struct inst_value v = inst_cstring(hash);
    enum inst_status st = inst_row_find(app, redirects, "stateHash", &v, &e, err);
    if (st == INST_OK && e == 0)
        return refuse(err, "Could not find OAuth request.");
    if (st == INST_OK)
        st = read_row(app, e, &row, out, err);
    if (st == INST_OK)
        st = delete_row(app, e, err);
    if (st != INST_OK)
        return st;
    if (row.created + INST_OAUTH_REDIRECT_MS < env->now_ms(env->ctx))
        return refuse(err, "The request is expired.");
    inst_sha256_hex(cookie->bytes, sizeof cookie->bytes, hash);
    if (row.cookie_hash.tag != INST_STRING || row.cookie_hash.len != INST_SHA256_HEX ||
        !inst_secret_equal(row.cookie_hash.u.str, hash, INST_SHA256_HEX))
        return refuse(err, "Mismatch in OAuth request cookie.");
    if (!inst_row_id(app, row.client, client) || out->redirect_url.tag != INST_STRING)
        return refuse(err, "Missing OAuth client.");
    return INST_OK;
}

/* ---- codes ---- */

enum inst_status inst_oauth_code_add(struct inst_app *app, const char *client,
                                     const struct inst_oauth_identity *identity,
                                     const struct inst_value *challenge,
                                     const struct inst_value *method, struct inst_uuid *code,
                                     struct inst_err *err) {
    char id[INST_UUID_TEXT + 1], hash[INST_SHA256_HEX + 1];
    struct inst_row_steps steps;
    struct inst_object_builder b;
    struct inst_value info;
    inst_row_begin(&steps, app);
    enum inst_status st = sweep(app, codes, INST_OAUTH_CODE_MS, &steps, err);
    if (st != INST_OK)
        return st;
    inst_object_begin(&b, &app->server->scratch);
    inst_object_addz(&b, "email", identity->email);
    inst_object_addz(&b, "sub", identity->sub);
    if (identity->image_url.tag == INST_STRING)
        inst_object_addz(&b, "imageURL", identity->image_url);
    if (!inst_object_end(&b, &info))
        return inst_err_nomem(err);
    inst_uuid_make(app->server->env, code);
    inst_uuid_make_text(app->server->env, id);
    inst_sha256_hex(code->bytes, sizeof code->bytes, hash);
    inst_row_set(&steps, id, codes, "id", inst_cstring(id));
    inst_row_set(&steps, id, codes, "codeHash", inst_cstring(hash));
    inst_row_set(&steps, id, codes, "userInfo", info);
    inst_row_set(&steps, id, codes, "$oauthClient", inst_cstring(client));
    set_text(&steps, id, codes, "codeChallenge", challenge);
    set_text(&steps, id, codes, "codeChallengeMethod", method);
    return inst_row_write(&steps, err);
}
