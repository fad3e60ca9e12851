#include "server/oauth.h"

#include "base/base64.h"
#include "base/digest.h"
#include "server/refusal.h"
#include "server/rows.h"

/* ---- proof of who asked (RFC 7636) ---- */

static bool is_given(const struct inst_value *v) { return v != NULL && v->tag == INST_STRING; }

/* The verifier is a secret: errors do not echo it. */
static enum inst_status refuse_verifier(struct inst_err *err, const char *message) {
    return inst_refuse_validation(err, "app-oauth-code", NULL, NULL, "%s", message);
}

enum inst_status inst_oauth_check_pkce(const struct inst_value *challenge,
                                       const struct inst_value *method,
                                       const struct inst_value *verifier, struct inst_err *err) {
    static const char differ[] = "The code_challenge and code_verifier do not match.";
    uint8_t wanted[INST_BASE64_BYTES(INST_OAUTH_MAX_CHALLENGE)], got[INST_SHA256];
    size_t len;
    if (!is_given(challenge))
        return is_given(verifier)
                   ? refuse_verifier(err, "The code_verifier was provided, but no code_challenge "
                                          "was provided.")
                   : INST_OK;
    if (!is_given(verifier))
        return refuse_verifier(err, "The code_challenge was provided, but no code_verifier was "
                                    "provided.");
    if (is_given(method) && inst_is_string(method, "plain"))
        return verifier->len == challenge->len &&
                       inst_secret_equal(verifier->u.str, challenge->u.str, challenge->len)
                   ? INST_OK
                   : refuse_verifier(err, differ);
    if (!is_given(method) || !inst_is_string(method, "S256"))
        return refuse_verifier(err, "Unknown code challenge method.");
    inst_sha256(verifier->u.str, verifier->len, got);
    if (challenge->len > INST_OAUTH_MAX_CHALLENGE ||
        !inst_base64url_read(challenge->u.str, challenge->len, wanted, &len) || len != INST_SHA256)
        return refuse_verifier(err, differ);
    return inst_secret_equal(wanted, got, sizeof got) ? INST_OK : refuse_verifier(err, differ);
}

/* ---- codes ---- */

/* What is known of a code, before its row goes. */
struct code {
    struct inst_value challenge, method, info;
    int64_t created;
    uint32_t client;
};

static enum inst_status read_code(struct inst_app *app, uint32_t e, struct code *out,
                                  struct inst_err *err) {
    static const char etype[] = "$oauthCodes";
    enum inst_status st;
    if ((st = inst_row_value(app, e, etype, "codeChallenge", &out->challenge, err)) != INST_OK ||
        (st = inst_row_value(app, e, etype, "codeChallengeMethod", &out->method, err)) != INST_OK ||
        (st = inst_row_value(app, e, etype, "userInfo", &out->info, err)) != INST_OK ||
        (st = inst_row_time(app, e, etype, &out->created, err)) != INST_OK)
        return st;
    return inst_row_link(app, e, etype, "$oauthClient", &out->client, err);
}

static enum inst_status delete_code(struct inst_app *app, uint32_t e, struct inst_err *err) {
    struct inst_row_steps steps;
    char id[INST_UUID_TEXT + 1];
    inst_row_begin(&steps, app);
    if (inst_row_id(app, e, id))
        inst_row_delete(&steps, id, "$oauthCodes");
    return inst_row_write(&steps, err);
}

static enum inst_status refuse_age(struct inst_err *err) {
    inst_err_set(err, "record-expired", 400, "Record expired: app-oauth-code");
    inst_err_hint(err, "{\"args\":[{}]}");
    return INST_FAILED;
}

static struct inst_value text_of(const struct inst_value *info, const char *name) {
    const struct inst_value *v = inst_get_string(info, name);
    return v != NULL && v->len > 0 ? *v : inst_undefined();
}

static enum inst_status identify(struct inst_app *app, const struct code *code,
                                 struct inst_oauth_identity *out, struct inst_err *err) {
    *out = (struct inst_oauth_identity){.email = text_of(&code->info, "email"),
                                        .sub = text_of(&code->info, "sub"),
                                        .image_url = text_of(&code->info, "imageURL")};
    enum inst_status st =
        inst_row_link(app, code->client, "$oauthClients", "$oauthProvider", &out->provider, err);
    if (st == INST_OK && (out->provider == 0 || out->sub.tag == INST_UNDEFINED))
        st = inst_err_set(err, "oauth-error", 400, "Missing OAuth client");
    return st;
}

enum inst_status inst_oauth_consume(struct inst_app *app, const struct inst_uuid *code,
                                    const struct inst_value *verifier,
                                    struct inst_oauth_identity *out, struct inst_err *err) {
    const struct inst_env *env = app->server->env;
    char hash[INST_SHA256_HEX + 1];
    struct code found;
    uint32_t e;
    inst_sha256_hex(code->bytes, sizeof code->bytes, hash);
    struct inst_value v = inst_cstring(hash);
    enum inst_status st = inst_row_find(app, "$oauthCodes", "codeHash", &v, &e, err);
    if (st == INST_OK && e == 0)
        st = inst_refuse_not_found(err, "app-oauth-code", "[{}]");
    if (st == INST_OK)
        st = read_code(app, e, &found, err);
    if (st == INST_OK)
        st = delete_code(app, e, err);
    if (st != INST_OK)
        return st;
    if (found.created + INST_OAUTH_CODE_MS < env->now_ms(env->ctx))
        return refuse_age(err);
    st = inst_oauth_check_pkce(&found.challenge, &found.method, verifier, err);
    return st == INST_OK ? identify(app, &found, out, err) : st;
}

/* ---- whose account it is ---- */

/* The key of an account: `sub+provider id`, on server->scratch. */
static enum inst_status link_key(struct inst_app *app, const struct inst_oauth_identity *identity,
                                 const char *provider, struct inst_value *out,
                                 struct inst_err *err) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_add(&text, identity->sub.u.str, identity->sub.len);
    inst_buf_addf(&text, "+%s", provider);
    struct inst_value whole = inst_string(text.data, text.len);
    bool is_kept = !text.failed && inst_value_dup(&app->server->scratch, &whole, out);
    inst_buf_free(&text);
    return is_kept ? INST_OK : inst_err_nomem(err);
}

/* What is known of the identity: its account's row, the account's user, the address's user. */
struct match {
    char provider[INST_UUID_TEXT + 1];
    char email[INST_USERS_MAX_EMAIL + 1]; /* "": none that could be used */
    struct inst_value key;
    uint32_t link, by_link, by_email;
};

static enum inst_status find(struct inst_app *app, const struct inst_oauth_identity *identity,
                             struct match *out, struct inst_err *err) {
    enum inst_status st = INST_OK;
    *out = (struct match){0};
    if (!inst_row_id(app, identity->provider, out->provider))
        return inst_err_set(err, "oauth-error", 400, "Missing OAuth client");
    if (identity->email.tag == INST_UNDEFINED ||
        !inst_email_read(identity->email.u.str, identity->email.len, out->email))
        out->email[0] = '\0';
    if (out->email[0] != '\0')
        st = inst_user_by_email(app, out->email, &out->by_email, err);
    if (st == INST_OK)
        st = link_key(app, identity, out->provider, &out->key, err);
    if (st == INST_OK)
        st =
            inst_row_find(app, "$oauthUserLinks", "sub+$oauthProvider", &out->key, &out->link, err);
    if (st == INST_OK)
        st = inst_row_link(app, out->link, "$oauthUserLinks", "$user", &out->by_link, err);
    return st;
}

static void set_link(struct inst_row_steps *steps, const char *id, const struct match *match,
                     const struct inst_oauth_identity *identity, const char *user) {
    static const char etype[] = "$oauthUserLinks";
    inst_row_set(steps, id, etype, "id", inst_cstring(id));
    inst_row_set(steps, id, etype, "sub", identity->sub);
    inst_row_set(steps, id, etype, "$oauthProvider", inst_cstring(match->provider));
    inst_row_set(steps, id, etype, "sub+$oauthProvider", match->key);
    inst_row_set(steps, id, etype, "$user", inst_cstring(user));
}

static bool differs(const struct inst_value *now, const struct inst_value *then) {
    return then->tag == INST_STRING && !inst_value_equal(now, then);
}

/* What the provider says now, where that is another thing. */
static enum inst_status update_user(struct inst_app *app, uint32_t user, const char *id,
                                    const struct match *match,
                                    const struct inst_oauth_identity *identity,
                                    struct inst_row_steps *steps, struct inst_err *err) {
    struct inst_value email, image;
    struct inst_value address = match->email[0] ? inst_cstring(match->email) : inst_undefined();
    enum inst_status st = inst_row_value(app, user, "$users", "email", &email, err);
    if (st == INST_OK)
        st = inst_row_value(app, user, "$users", "imageURL", &image, err);
    if (st == INST_OK && differs(&email, &address))
        inst_row_set(steps, id, "$users", "email", address);
    if (st == INST_OK && differs(&image, &identity->image_url))
        inst_row_set(steps, id, "$users", "imageURL", identity->image_url);
    return st;
}

static enum inst_status enter_known(struct inst_app *app, uint32_t user, const struct match *match,
                                    const struct inst_oauth_identity *identity,
                                    struct inst_sign_in *sign_in, struct inst_err *err) {
    struct inst_row_steps steps;
    char guest[INST_UUID_TEXT + 1], link[INST_UUID_TEXT + 1];
    inst_row_id(app, user, sign_in->user);
    inst_row_begin(&steps, app);
    if (inst_row_id(app, sign_in->guest, guest) && strcmp(guest, sign_in->user) != 0)
        inst_row_set(&steps, guest, "$users", "linkedPrimaryUser", inst_cstring(sign_in->user));
    enum inst_status st = update_user(app, user, sign_in->user, match, identity, &steps, err);
    if (st != INST_OK)
        return st;
    if (match->link == 0) {
        inst_uuid_make_text(app->server->env, link);
        set_link(&steps, link, match, identity, sign_in->user);
    } else if (match->by_link != user && inst_row_id(app, match->link, link)) {
        /* The address wins: the account is this user's from now on. */
        inst_row_set(&steps, link, "$oauthUserLinks", "$user", inst_cstring(sign_in->user));
    }
    return inst_row_write(&steps, err);
}

static enum inst_status enter_new(struct inst_app *app, const struct match *match,
                                  const struct inst_oauth_identity *identity,
                                  struct inst_sign_in *sign_in, struct inst_err *err) {
    struct inst_new_user user = {
        .type = "user", .extra_fields = sign_in->extra_fields, .from = sign_in->from};
    struct inst_row_steps steps;
    char link[INST_UUID_TEXT + 1];
    const struct inst_value *image = &identity->image_url;
    if (!inst_row_id(app, sign_in->guest, user.id))
        inst_uuid_make_text(app->server->env, user.id);
    memcpy(sign_in->user, user.id, sizeof user.id);
    user.email = match->email[0] ? match->email : NULL;
    if (image->tag == INST_STRING)
        user.image_url = inst_arena_dup(&app->server->scratch, image->u.str, image->len);
    if (image->tag == INST_STRING && user.image_url == NULL)
        return inst_err_nomem(err);
    sign_in->is_created = true;
    enum inst_status st = inst_user_check_new(app, &user, err);
    if (st == INST_OK)
        st = inst_user_create(app, &user, err);
    if (st != INST_OK)
        return st;
    inst_row_begin(&steps, app);
    if (match->link != 0 && inst_row_id(app, match->link, link))
        inst_row_set(&steps, link, "$oauthUserLinks", "$user", inst_cstring(user.id));
    else {
        inst_uuid_make_text(app->server->env, link);
        set_link(&steps, link, match, identity, user.id);
    }
    return inst_row_write(&steps, err);
}

enum inst_status inst_oauth_enter(struct inst_app *app, const struct inst_oauth_identity *identity,
                                  struct inst_sign_in *sign_in, struct inst_err *err) {
    struct match match;
    enum inst_status st = find(app, identity, &match, err);
    if (st != INST_OK)
        return st;
    sign_in->is_created = false;
    uint32_t user = match.by_email != 0 ? match.by_email : match.by_link;
    return user != 0 ? enter_known(app, user, &match, identity, sign_in, err)
                     : enter_new(app, &match, identity, sign_in, err);
}
