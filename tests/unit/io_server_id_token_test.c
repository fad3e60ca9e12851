/*
 * Signing in with a provider's id_token: whose tokens are believed, and what happens while its
 * servers are asked.
 */
#include "io_server_outside.h"

#include "base/digest.h"
#include "server/later.h"

#define ROUTE "/runtime/oauth/id_token"
#define ISSUER "https://id.example"
#define DISCOVERY ISSUER "/.well-known/openid-configuration"
#define KEYS ISSUER "/keys"
#define NO_KEY "Error validating JWT. Could not find signing key."

static struct world world;
static char dir[32];
static struct provider_key rsa, other_rsa, ec;

static const char *text_of(const char *fmt, ...) {
    static char texts[64][8192];
    static unsigned at;
    char *text = texts[at++ % 64];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof texts[0], fmt, args);
    va_end(args);
    return text;
}

static int make_keys(void **state) {
    (void)state;
    rsa = new_key(false);
    other_rsa = new_key(false);
    ec = new_key(true);
    return 0;
}

static int free_keys(void **state) {
    (void)state;
    EVP_PKEY_free(rsa.key);
    EVP_PKEY_free(other_rsa.key);
    EVP_PKEY_free(ec.key);
    return 0;
}

static void serve_discovery(const char *algorithms) {
    serve(DISCOVERY, 200, NULL,
          text_of("{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"" KEYS "\"%s}", algorithms));
}

/* A set of these keys: as "1" "2" ...; NULL ends. */
static void serve_keys(const char *control, const struct provider_key *const *keys) {
    struct inst_buf set;
    inst_buf_init(&set);
    inst_buf_add_str(&set, "{\"keys\":[");
    for (int i = 0; keys[i] != NULL; i++) {
        if (i > 0)
            inst_buf_add_char(&set, ',');
        add_jwk(&set, keys[i], text_of("%d", i + 1));
    }
    inst_buf_add_str(&set, "]}");
    serve(KEYS, 200, control, set.data);
    inst_buf_free(&set);
}

/* A client `web` of a provider, with this client id (NULL: none) and meta. */
static void make_client(const char *name, const char *provider, const char *client_id,
                        const char *more) {
    const char *base = text_of("/dash/apps/%s/", world.app.id);
    const struct inst_value *made = done(&world, "POST", text_of("%soauth_service_providers", base),
                                         ADMIN, text_of("{'provider_name':'%s'}", provider));
    const char *id = text_of("%.36s", inst_get_string(inst_getz(made, "provider"), "id")->u.str);
    done(&world, "POST", text_of("%soauth_clients", base), ADMIN,
         text_of("{'provider_id':'%s','client_name':'%s'%s%s}", id, name,
                 client_id ? text_of(",'client_id':'%s'", client_id) : "", more));
}

static int set_up(void **state) {
    (void)state;
    world_open_dir(&world, dir,
                   "{'entities':{'$users':{'attrs':{'nick':{'valueType':'string',"
                   "'required':false,'config':{}}}}},'links':{}}");
    outside_open(&world);
    serve_discovery(",\"id_token_signing_alg_values_supported\":[\"RS256\",\"ES256\"]");
    serve_keys(NULL, (const struct provider_key *[]){&rsa, &ec, NULL});
    make_client("web", "oidc", "client-1", ",'discovery_endpoint':'" DISCOVERY "'");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_close_dir(&world, dir);
    outside_close();
    return 0;
}

/* Good claims; more come behind, and win. */
static const char *claims(const char *more) {
    long long now = (long long)(world.now / 1000);
    return text_of("{'iss':'" ISSUER "','aud':'client-1','sub':'s1','email':'Ann@B.de',"
                   "'email_verified':true,'iat':%lld,'exp':%lld%s}",
                   now, now + 300, more);
}

static const char *body_of(const char *client, const char *token, const char *more) {
    return text_of("{'app_id':'%s','client_name':'%s','id_token':'%s'%s}", world.app.id, client,
                   token, more);
}

static const struct inst_value *enter_with(const char *token, const char *more) {
    return done(&world, "POST", ROUTE, "", body_of("web", token, more));
}

static void refuse_body(const char *body, const char *type, const char *message) {
    struct answer *answer = call(&world, "POST", ROUTE, "", body);
    bool is_oauth = strcmp(type, "oauth-error") == 0;
    const struct inst_value *said = inst_getz(&answer->value, is_oauth ? "error" : "message");
    if (answer->status != 400 || !inst_is_string(inst_getz(&answer->value, "type"), type) ||
        said == NULL || !inst_is_string(said, message))
        fail_msg("%s\nwanted: %s: %s\n   got: %d %s", body, type, message, answer->status,
                 answer->text);
}

static void refuse(const char *token, const char *type, const char *message) {
    refuse_body(body_of("web", token, ""), type, message);
}

static void refuse_claims(const char *more, const char *more_body, const char *message) {
    refuse_body(body_of("web", token_of(&rsa, "1", claims(more)), more_body), "validation-failed",
                text_of("Validation failed for id_token: %s", message));
}

static const char *id_of(const struct inst_value *answer) {
    return text_of("%.36s", inst_get_string(inst_getz(answer, "user"), "id")->u.str);
}

static size_t user_count(void) {
    return inst_getz(done(&world, "POST", "/admin/query", ADMIN, "{'query':{'$users':{}}}"),
                     "$users")
        ->len;
}

/* ---- who is let in ---- */

static void signing_in(void **state) {
    (void)state;
    const struct inst_value *answer =
        enter_with(token_of(&rsa, "1", claims(",'picture':'https://x.y/a.png'")), "");
    const struct inst_value *user = inst_getz(answer, "user");
    assert_true(inst_get_true(answer, "created"));
    expect_text(inst_getz(user, "email"), "ann@b.de");
    expect_text(inst_getz(user, "imageURL"), "https://x.y/a.png");
    const char *id = id_of(answer);
    const char *token = text_of("%.36s", inst_get_string(user, "refresh_token")->u.str);
    done(&world, "POST", "/runtime/auth/verify_refresh_token", "",
         text_of("{'app-id':'%s','refresh-token':'%s'}", world.app.id, token));
    /* The other key, the same account; the documents are kept. */
    answer = enter_with(token_of(&ec, "2", claims("")), "");
    assert_false(inst_get_true(answer, "created"));
    assert_string_equal(id_of(answer), id);
    assert_int_equal(asked(DISCOVERY), 1);
    assert_int_equal(asked(KEYS), 1);
    assert_int_equal(user_count(), 1);
    /* A token that is already this user's is not replaced; another user's is. */
    answer = enter_with(token_of(&ec, "2", claims("")), text_of(",'refresh_token':'%s'", token));
    expect_text(inst_getz(inst_getz(answer, "user"), "refresh_token"), token);
    answer = enter_with(token_of(&ec, "2", claims(",'sub':'s2','email':'b@b.de'")),
                        text_of(",'refresh_token':'%s'", token));
    assert_false(inst_is_string(inst_getz(inst_getz(answer, "user"), "refresh_token"), token));
    assert_int_equal(user_count(), 2);
}

/* Keys without a name, and a token that names none. */
static void a_key_without_a_name(void **state) {
    (void)state;
    struct inst_buf set;
    inst_buf_init(&set);
    inst_buf_add_str(&set, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},7,");
    add_jwk(&set, &ec, NULL);
    inst_buf_add_char(&set, ',');
    add_jwk(&set, &rsa, NULL);
    inst_buf_add_str(&set, "]}");
    serve(KEYS, 200, NULL, set.data);
    inst_buf_free(&set);
    enter_with(token_of(&rsa, NULL, claims("")), "");
    refuse(token_of(&other_rsa, NULL, claims("")), "oauth-error",
           "Error validating JWT. Signature is invalid.");
}

static void a_guest(void **state) {
    (void)state;
    const struct inst_value *guest = done(&world, "POST", "/runtime/auth/sign_in_guest", "",
                                          text_of("{'app-id':'%s'}", world.app.id));
    const char *id = id_of(guest);
    const char *token =
        text_of("%.36s", inst_get_string(inst_getz(guest, "user"), "refresh_token")->u.str);
    const struct inst_value *answer =
        enter_with(token_of(&rsa, "1", claims("")), text_of(",'refresh_token':'%s'", token));
    assert_true(inst_get_true(answer, "created"));
    assert_string_equal(id_of(answer), id);
    expect_text(inst_getz(inst_getz(answer, "user"), "type"), "user");
}

static void verified_addresses_only(void **state) {
    (void)state;
    const struct inst_value *answer =
        enter_with(token_of(&rsa, "1", claims(",'email_verified':false")), "");
    assert_true(inst_is_nullish(inst_getz(inst_getz(answer, "user"), "email")));
    answer = enter_with(token_of(&rsa, "1", claims(",'sub':'s2','email_verified':'true'")), "");
    expect_text(inst_getz(inst_getz(answer, "user"), "email"), "ann@b.de");
    make_client("lax", "firebase", NULL,
                ",'discovery_endpoint':'" DISCOVERY "','meta':{'allowUnverifiedEmail':true}");
    answer = done(&world, "POST", ROUTE, "",
                  body_of("lax",
                          token_of(&rsa, "1",
                                   claims(",'sub':'s3','email_verified':null,"
                                          "'email':'c@b.de','aud':'other'")),
                          ""));
    expect_text(inst_getz(inst_getz(answer, "user"), "email"), "c@b.de");
}

/* ---- who is not ---- */

static void other_issuers_and_clients(void **state) {
    (void)state;
    refuse_claims(",'iss':'https://evil.example'", "", "The id_token wasn't issued by " ISSUER ".");
    refuse_claims(",'iss':null", "", "The id_token wasn't issued by " ISSUER ".");
    refuse_claims(",'aud':'client-2'", "",
                  "The id_token was generated for the wrong OAuth client.");
    refuse_claims(",'aud':['a','b']", "", "The id_token was generated for the wrong OAuth client.");
    refuse_claims(",'sub':null", "", "The id_token had no subject.");
    refuse_claims(",'sub':''", "", "The id_token had no subject.");
    assert_int_equal(user_count(), 0);
    enter_with(token_of(&rsa, "1", claims(",'aud':['x','client-1']")), "");
    enter_with(token_of(&rsa, "1", claims(",'aud':'x','azp':'client-1'")), "");
}

static void times(void **state) {
    (void)state;
    static const char expired[] = "Error validating JWT. Token is expired.";
    long long now = (long long)(world.now / 1000);
    refuse(token_of(&rsa, "1", claims(text_of(",'exp':%lld", now - 1))), "oauth-error", expired);
    refuse(token_of(&rsa, "1", claims(text_of(",'exp':%lld", now))), "oauth-error", expired);
    refuse(token_of(&rsa, "1", claims(",'exp':'tomorrow'")), "oauth-error", expired);
    refuse(token_of(&rsa, "1", claims(",'exp':null")), "oauth-error", expired);
    refuse(token_of(&rsa, "1", claims(text_of(",'nbf':%lld", now + 3600))), "oauth-error",
           "Error validating JWT. Token can't be used yet.");
    enter_with(token_of(&rsa, "1", claims(text_of(",'nbf':%lld", now + 30))), "");
}

static void nonces(void **state) {
    (void)state;
    char hash[INST_SHA256_HEX + 1];
    inst_sha256_hex("n1", 2, hash);
    refuse_claims(",'nonce':'n1'", "", "The nonce parameter was not provided in the request.");
    refuse_claims(",'nonce':'n1'", ",'nonce':'n2'", "The nonces do not match.");
    refuse_claims("", ",'nonce':'n1'", "The id_token is missing a nonce.");
    enter_with(token_of(&rsa, "1", claims(",'nonce':'n1'")), ",'nonce':'n1'");
    enter_with(token_of(&rsa, "1", claims(text_of(",'nonce':'%s'", hash))), ",'nonce':'n1'");
}

/* What is no signature of the provider, however it is dressed up. */
static void forged(void **state) {
    (void)state;
    static const char invalid[] = "Error validating JWT. Signature is invalid.";
    struct inst_buf token;
    uint8_t mac[32];
    unsigned len;
    refuse(token_of(&other_rsa, "1", claims("")), "oauth-error", invalid);
    refuse(token_of(&rsa, "2", claims("")), "oauth-error", invalid); /* the name of the EC key */
    const char *good = token_of(&rsa, "1", claims(""));
    const char *payload = strchr(good, '.') + 1;
    begin_token(&token, "{'alg':'RS256','kid':'1'}", claims(",'sub':'victim'"));
    refuse(text_of("%s%s", token.data, strchr(payload, '.')), "oauth-error", invalid);
    inst_buf_free(&token);

    begin_token(&token, "{'alg':'none','kid':'1'}", claims(""));
    refuse(text_of("%s.", token.data), "oauth-error", "Unsupported signing algorithm none");
    inst_buf_free(&token);
    /* The public key as the secret of a hash. */
    begin_token(&token, "{'alg':'HS256','kid':'1'}", claims(""));
    HMAC(EVP_sha256(), outside.script[1].body, (int)strlen(outside.script[1].body),
         (const uint8_t *)token.data, token.len, mac, &len);
    inst_buf_add_char(&token, '.');
    inst_base64url_add(&token, mac, sizeof mac);
    refuse(token.data, "oauth-error", "Unsupported signing algorithm HS256");
    inst_buf_free(&token);
    begin_token(&token, "{'alg':'RS256','kid':'1','crit':['b64'],'b64':false}", claims(""));
    add_signature(&token, &rsa);
    refuse(token.data, "oauth-error", "Invalid JWT.");
    inst_buf_free(&token);

    static const char *const broken[] = {
        "x", "a.b.c", "..", "e30.e30", "e30.e30.e30.e30", "W10.W10.AA", "e30.e30.!"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        refuse(broken[i], "oauth-error", "Invalid JWT.");
    refuse("e30.e30.AA", "oauth-error", "Unsupported signing algorithm ");
    assert_int_equal(user_count(), 0);
}

static void unsupported(void **state) {
    (void)state;
    serve_discovery("");
    world.now += INST_DOCUMENT_FRESH_MS + 1;
    refuse_body(body_of("web", token_of(&ec, "2", claims("")), ""), "validation-failed",
                "Validation failed for id_token: The id_token used an unsupported algorithm.");
    serve_discovery(",\"id_token_signing_alg_values_supported\":[\"ES256\"]"); /* it begins to */
    enter_with(token_of(&ec, "2", claims("")), "");
    make_client("gh", "github", "x", "");
    refuse_body(body_of("gh", token_of(&rsa, "1", claims("")), ""), "validation-failed",
                "Validation failed for id_token: GitHub OAuth does not support ID tokens.");
    refuse_body(body_of("nobody", token_of(&rsa, "1", claims("")), ""), "record-not-found",
                "Record not found: app-oauth-client");
    refuse_body(text_of("{'app_id':'%s','client_name':'web'}", world.app.id), "param-missing",
                "Missing parameter: [\"body\" \"id_token\"]");
}

static void origins(void **state) {
    (void)state;
    const char *body = body_of("web", token_of(&rsa, "1", claims("")), "");
    denied(&world, "POST", ROUTE, "origin: https://a.example", body, "validation-failed",
           "Validation failed for origin: Unauthorized origin.");
    done(&world, "POST", text_of("/dash/apps/%s/authorized_redirect_origins", world.app.id), ADMIN,
         "{'service':'generic','params':['a.example']}");
    done(&world, "POST", ROUTE, "origin: https://a.example", body);
}

/* ---- the provider's servers ---- */

static void rotated_keys(void **state) {
    (void)state;
    enter_with(token_of(&rsa, "1", claims("")), "");
    refuse(token_of(&other_rsa, "3", claims("")), "oauth-error", NO_KEY);
    assert_int_equal(asked(KEYS), 2);
    serve_keys(NULL, (const struct provider_key *[]){&rsa, &ec, &other_rsa, NULL});
    enter_with(token_of(&other_rsa, "3", claims("")), "");
    assert_int_equal(asked(KEYS), 3);
    /* Names that are made up do not make us a nuisance. */
    for (int i = 0; i < 20; i++)
        refuse(token_of(&other_rsa, "9", claims("")), "oauth-error", NO_KEY);
    assert_int_equal(asked(KEYS), 1 + INST_DOCUMENT_REFRESHES);
    world.now += INST_DOCUMENT_REFRESH_WINDOW_MS + 1;
    refuse(token_of(&other_rsa, "9", claims("")), "oauth-error", NO_KEY);
    assert_int_equal(asked(KEYS), 2 + INST_DOCUMENT_REFRESHES);
    assert_int_equal(asked(DISCOVERY), 1);
}

/* As long as the server allows; and a key that it took back does not count for ever. */
static void kept_for_a_time(void **state) {
    (void)state;
    serve_keys("public, max-age=600", (const struct provider_key *[]){&rsa, NULL});
    enter_with(token_of(&rsa, "1", claims("")), "");
    serve_keys("max-age=99999999999999999999", (const struct provider_key *[]){&other_rsa, NULL});
    world.now += 599 * 1000;
    enter_with(token_of(&rsa, "1", claims("")), "");
    world.now += 2000;
    refuse(token_of(&rsa, "1", claims("")), "oauth-error",
           "Error validating JWT. Signature is invalid.");
    world.now += INST_DOCUMENT_MAX_FRESH_MS + 1;
    enter_with(token_of(&other_rsa, "1", claims("")), "");
    assert_int_equal(asked(KEYS), 3);
}

static void out_of_reach(void **state) {
    (void)state;
    serve(KEYS, 0, NULL, NULL);
    refuse(token_of(&rsa, "1", claims("")), "oauth-error", NO_KEY);
    serve(KEYS, 500, NULL, "{}");
    refuse(token_of(&rsa, "1", claims("")), "oauth-error", NO_KEY);
    serve(KEYS, 200, NULL, "<html>");
    refuse(token_of(&rsa, "1", claims("")), "oauth-error", NO_KEY);
    serve(KEYS, 200, NULL, "[]");
    refuse(token_of(&rsa, "1", claims("")), "oauth-error", NO_KEY);
    serve(KEYS, 200, NULL, "{\"keys\":{}}");
    refuse(token_of(&rsa, "1", claims("")), "oauth-error", NO_KEY);
    serve_keys(NULL, (const struct provider_key *[]){&rsa, NULL});
    enter_with(token_of(&rsa, "1", claims("")), "");
    /* What was said last counts for a day. */
    serve(KEYS, 0, NULL, NULL);
    serve(DISCOVERY, 0, NULL, NULL);
    world.now += INST_DOCUMENT_FRESH_MS + 1;
    enter_with(token_of(&rsa, "1", claims("")), "");
    world.now += INST_DOCUMENT_STALE_MS;
    refuse(token_of(&rsa, "1", claims("")), "oauth-error", "Unable to fetch OAuth configuration.");
    outside.is_closed = true;
    refuse(token_of(&rsa, "1", claims("")), "oauth-error", "Unable to fetch OAuth configuration.");
}

/* A request whose answer is waited for. */
struct waiting {
    struct inst_http_response came;
    struct inst_later *later;
};

static void begin(struct waiting *waiting, const char *body) {
    struct inst_http_response response;
    char *sent = expanded(&world, body);
    struct inst_http_request request = {
        .method = "POST", .path = ROUTE, .query = "", .body = sent, .body_len = strlen(sent)};
    inst_server_http(world.server, &request, &response);
    free(sent);
    assert_non_null(response.later);
    *waiting = (struct waiting){.later = response.later};
    inst_http_later_wait(response.later, take_response, &waiting->came);
}

static void end(struct waiting *waiting, int status) {
    assert_int_equal(waiting->came.status, status);
    inst_http_response_clear(&waiting->came);
}

/* Many who wait for one document; one of them has gone. */
static void asked_for_once(void **state) {
    (void)state;
    struct waiting waiting[5];
    world.now += INST_DOCUMENT_FRESH_MS + 1;
    unsigned before = asked(DISCOVERY);
    for (int i = 0; i < 5; i++)
        begin(&waiting[i],
              body_of("web", token_of(&rsa, "1", claims(text_of(",'sub':'u%d','email':null", i))),
                      ""));
    assert_int_equal(outside.waiting_count, 1);
    inst_http_later_forget(waiting[2].later);
    settle(&world);
    assert_int_equal(asked(DISCOVERY), before + 1);
    assert_int_equal(asked(KEYS), 1);
    for (int i = 0; i < 5; i++)
        end(&waiting[i], i == 2 ? 0 : 200);
    assert_int_equal(user_count(), 5); /* who had gone is signed in all the same */
}

/* The world changes while an answer is on its way. */
static void changes_meanwhile(void **state) {
    (void)state;
    struct waiting waiting;
    const struct inst_value *rows =
        inst_getz(done(&world, "GET", text_of("/dash/apps/%s/auth", world.app.id), ADMIN, NULL),
                  "oauth_clients");
    const char *id = text_of("%.36s", inst_get_string(&rows->u.items[0], "id")->u.str);
    begin(&waiting, body_of("web", token_of(&rsa, "1", claims("")), ""));
    done(&world, "DELETE", text_of("/dash/apps/%s/oauth_clients/%s", world.app.id, id), ADMIN,
         NULL);
    settle(&world);
    assert_non_null(strstr(waiting.came.body.data, "Record not found: app-oauth-client"));
    end(&waiting, 400);
    assert_int_equal(user_count(), 0);
}

/* The server goes away; nobody is told, nothing is left. */
static void the_end(void **state) {
    (void)state;
    struct waiting waiting;
    begin(&waiting, body_of("web", token_of(&rsa, "1", claims("")), ""));
    inst_http_later_forget(waiting.later);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(signing_in),
        CASE(a_key_without_a_name),
        CASE(a_guest),
        CASE(verified_addresses_only),
        CASE(other_issuers_and_clients),
        CASE(times),
        CASE(nonces),
        CASE(forged),
        CASE(unsupported),
        CASE(origins),
        CASE(rotated_keys),
        CASE(kept_for_a_time),
        CASE(out_of_reach),
        CASE(asked_for_once),
        CASE(changes_meanwhile),
        CASE(the_end),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
