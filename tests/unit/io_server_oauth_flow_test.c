/*
 * A sign-in by redirects from its start to the user, with providers that play along and ones that
 * do not.
 */
#include "io_server_outside.h"

#include "base/jws.h"
#include "server/limits.h"
#include "server/oauth_rows.h"

#include <openssl/pem.h>

#define ISSUER "https://id.example"
#define DISCOVERY ISSUER "/.well-known/openid-configuration"
#define TOKEN ISSUER "/token"
#define USERINFO ISSUER "/me"
#define START "/runtime/oauth/start"
#define CALLBACK "/runtime/oauth/callback"
#define GITHUB_TOKEN "https://github.com/login/oauth/access_token"
#define APP_URL "https://app.example/in"

static struct world world;
static char dir[32];
static struct provider_key key;

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

static const char *base(const char *rest) {
    return text_of("/dash/apps/%s/%s", world.app.id, rest);
}

static void add_client(const char *name, const char *provider, const char *more) {
    const struct inst_value *made = done(&world, "POST", base("oauth_service_providers"), ADMIN,
                                         text_of("{'provider_name':'%s'}", provider));
    const char *id = text_of("%.36s", inst_get_string(inst_getz(made, "provider"), "id")->u.str);
    done(
        &world, "POST", base("oauth_clients"), ADMIN,
        text_of("{'provider_id':'%s','client_name':'%s','client_id':'c 1','client_secret':'s&1'%s}",
                id, name, more));
}

static void serve_discovery(const char *issuer, const char *more) {
    serve(DISCOVERY, 200, NULL,
          text_of("{\"issuer\":\"%s\",\"authorization_endpoint\":\"" ISSUER
                  "/auth?tenant=1\",\"token_endpoint\":\"" TOKEN "\"%s}",
                  issuer, more));
}

static int set_up(void **state) {
    (void)state;
    struct inst_err err = {0};
    world_open_dir(&world, dir, "{'entities':{},'links':{}}");
    outside_open(&world);
    key = new_key(true);
    assert_int_equal(inst_server_set_origin(world.server, "https://instant.example", false, &err),
                     INST_OK);
    serve_discovery(ISSUER, ",\"userinfo_endpoint\":\"" USERINFO "\"");
    add_client("web", "oidc", ",'discovery_endpoint':'" DISCOVERY "'");
    done(&world, "POST", base("authorized_redirect_origins"), ADMIN,
         "{'service':'generic','params':['app.example']}");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    EVP_PKEY_free(key.key);
    world_close_dir(&world, dir);
    outside_close();
    return 0;
}

/* ---- the pieces of one sign-in ---- */

static const char *header_of(const struct answer *answer, const char *name) {
    const char *at = strstr(answer->head, name);
    assert_non_null(at);
    at += strlen(name);
    return text_of("%.*s", (int)strcspn(at, "\r\n"), at);
}

/* The decoded parameter of an address; NULL: none. */
static const char *param_of(const char *url, const char *name) {
    char key_text[64], raw[4096];
    snprintf(key_text, sizeof key_text, "%s=", name);
    const char *at = strpbrk(url, "?&");
    while (at != NULL && strncmp(at + 1, key_text, strlen(key_text)) != 0)
        at = strpbrk(at + 1, "?&");
    if (at == NULL)
        return NULL;
    at += 1 + strlen(key_text);
    snprintf(raw, sizeof raw, "%.*s", (int)strcspn(at, "&#"), at);
    char *to = raw;
    for (char *c = raw; *c; c++) {
        unsigned byte;
        if (*c == '%' && sscanf(c + 1, "%2x", &byte) == 1) {
            *to++ = (char)byte;
            c += 2;
        } else {
            *to++ = *c;
        }
    }
    *to = '\0';
    return text_of("%s", raw);
}

struct flow {
    const char *url, *state, *cookie; /* cookie: as it is sent back */
};

static struct flow begin(const char *client, const char *redirect, const char *more) {
    struct flow flow;
    struct answer *answer = call(&world, "GET",
                                 text_of(START "?app_id=%s&client_name=%s&redirect_uri=%s%s",
                                         world.app.id, client, redirect, more),
                                 "", NULL);
    if (answer->status != 302)
        fail_msg("%d %s", answer->status, answer->text);
    flow.url = header_of(answer, "Location: ");
    flow.state = param_of(flow.url, "state");
    const char *cookie = header_of(answer, "Set-Cookie: ");
    assert_non_null(strstr(cookie, "; Path=/runtime/oauth; Max-Age=3600; HttpOnly"));
    flow.cookie = text_of("%.*s", (int)strcspn(cookie, ";"), cookie);
    return flow;
}

static struct answer *come_back(const struct flow *flow, const char *code) {
    return call(&world, "GET", text_of(CALLBACK "?state=%s&code=%s", flow->state, code),
                text_of("cookie: a=b; __session=other; %s; c=d", flow->cookie), NULL);
}

/* Where the browser is sent. */
static const char *sent_to(const struct answer *answer) {
    if (answer->status != 302)
        fail_msg("%d %s", answer->status, answer->text);
    return header_of(answer, "Location: ");
}

static void refuse(struct answer *answer, const char *message) {
    if (answer->status != 400 ||
        !inst_is_string(inst_getz(&answer->value, "type"), "oauth-error") ||
        !inst_is_string(inst_getz(&answer->value, "error"), message))
        fail_msg("wanted: %s\n   got: %d %s", message, answer->status, answer->text);
}

static void expect_failure(const struct answer *answer, const char *message) {
    const char *url = sent_to(answer), *said = param_of(url, "error");
    if (said == NULL || strcmp(said, message) != 0)
        fail_msg("wanted: %s\n   got: %s", message, url);
    assert_null(param_of(url, "code"));
    assert_non_null(param_of(url, "_instant_oauth_redirect"));
}

static const char *claims(const char *more) {
    return text_of("{'iss':'" ISSUER "','aud':'c 1','sub':'s1','email':'Ann@B.de',"
                   "'email_verified':true,'exp':%lld%s}",
                   (long long)(world.now / 1000) + 60, more);
}

static void serve_token(const char *more) {
    serve(TOKEN, 200, NULL,
          text_of("{\"access_token\":\"at1\",\"id_token\":\"%s\"}",
                  token_of(&key, "1", claims(more))));
}

static const struct inst_value *exchange(const char *code, const char *more) {
    return done(&world, "POST", "/runtime/oauth/token", "",
                text_of("{'app_id':'%s','code':'%s'%s}", world.app.id, code, more));
}

/* ---- flows that work ---- */

static void whole_flow(void **state) {
    (void)state;
    struct flow flow =
        begin("web", "https%3A%2F%2Fapp.example%2Fin%3Fx%3D1%23top", "&state=s%201&hd=b.de");
    assert_ptr_equal(strstr(flow.url, ISSUER "/auth?tenant=1&scope=email%20openid&"), flow.url);
    assert_string_equal(param_of(flow.url, "response_type"), "code");
    assert_string_equal(param_of(flow.url, "response_mode"), "form_post");
    assert_string_equal(param_of(flow.url, "redirect_uri"),
                        "https://instant.example/runtime/oauth/callback");
    assert_string_equal(param_of(flow.url, "client_id"), "c 1");
    assert_string_equal(param_of(flow.url, "hd"), "b.de");
    assert_int_equal(strlen(flow.state), 72);
    assert_memory_equal(flow.state, world.app.id, 36);

    serve_token(",'picture':'https://x.y/a.png'");
    struct answer *answer =
        call(&world, "POST", CALLBACK,
             text_of("content-type: application/x-www-form-urlencoded|cookie: %s", flow.cookie),
             text_of("state=%s&code=p%%261", flow.state));
    const char *url = sent_to(answer);
    assert_string_equal(outside.last_body,
                        "client_id=c%201&client_secret=s%261&code=p%261&grant_type="
                        "authorization_code&redirect_uri=https%3A%2F%2Finstant.example%2Fruntime"
                        "%2Foauth%2Fcallback");
    assert_ptr_equal(strstr(url, APP_URL "?x=1&state=s%201&code="), url);
    assert_non_null(strstr(url, "&_instant_oauth_redirect=true#top"));
    const char *code = param_of(url, "code");
    const struct inst_value *signed_in = exchange(code, "");
    assert_true(inst_get_true(signed_in, "created"));
    expect_text(inst_getz(inst_getz(signed_in, "user"), "email"), "ann@b.de");
    expect_text(inst_getz(inst_getz(signed_in, "user"), "imageURL"), "https://x.y/a.png");
    denied(&world, "POST", "/runtime/oauth/token", "",
           text_of("{'app_id':'%s','code':'%s'}", world.app.id, code), "record-not-found",
           "Record not found: app-oauth-code");
    refuse(come_back(&flow, "again"), "Could not find OAuth request.");
}

static void with_a_proof(void **state) {
    (void)state;
    struct flow flow = begin("web", APP_URL,
                             "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&"
                             "code_challenge_method=S256");
    serve_token("");
    const char *code = param_of(sent_to(come_back(&flow, "p")), "code");
    denied(&world, "POST", "/runtime/oauth/token", "",
           text_of("{'app_id':'%s','code':'%s'}", world.app.id, code), "validation-failed",
           "Validation failed for app-oauth-code: The code_challenge was provided, but no "
           "code_verifier was provided.");
    flow = begin("web", APP_URL,
                 "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&"
                 "code_challenge_method=S256");
    code = param_of(sent_to(come_back(&flow, "p")), "code");
    exchange(code, ",'code_verifier':'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'");
}

/* The path form of OIDC libraries, and client_id for the client's name. */
static void as_libraries_ask(void **state) {
    (void)state;
    struct answer *answer =
        call(&world, "GET",
             text_of("/runtime/%s/oauth/start?client_id=web&redirect_uri=" APP_URL, world.app.id),
             "", NULL);
    assert_non_null(sent_to(answer));
}

static void by_userinfo(void **state) {
    (void)state;
    struct flow flow = begin("web", APP_URL, "");
    serve(TOKEN, 200, NULL, "{\"access_token\":\"at1\"}");
    serve(USERINFO, 200, NULL,
          "{\"sub\":\"s1\",\"email\":\"ann@b.de\",\"email_verified\":\"true\"}");
    const char *code = param_of(sent_to(come_back(&flow, "p")), "code");
    assert_string_equal(outside.last_authorization, "Bearer at1");
    expect_text(inst_getz(inst_getz(exchange(code, ""), "user"), "email"), "ann@b.de");
}

static void by_github(void **state) {
    (void)state;
    add_client("gh", "github", "");
    struct flow flow = begin("gh", APP_URL, "&hd=x");
    const char *front = "https://github.com/login/oauth/authorize?scope=read%3Auser%20user%3Aemail";
    assert_ptr_equal(strstr(flow.url, front), flow.url);
    assert_null(param_of(flow.url, "response_mode"));
    assert_null(param_of(flow.url, "hd"));
    serve(GITHUB_TOKEN, 200, NULL, "{\"access_token\":\"gh1\"}");
    serve("https://api.github.com/user", 200, NULL,
          "{\"id\":12345678901,\"avatar_url\":\"https://x.y/g.png\"}");
    serve("https://api.github.com/user/emails", 200, NULL,
          "[{\"email\":\"no@b.de\",\"verified\":false,\"primary\":true},7,"
          "{\"email\":\"ann@b.de\",\"verified\":true,\"primary\":true}]");
    const char *code = param_of(sent_to(come_back(&flow, "p")), "code");
    const struct inst_value *user = inst_getz(exchange(code, ""), "user");
    expect_text(inst_getz(user, "email"), "ann@b.de");
    /* Without an address that counts it is the account all the same. */
    serve("https://api.github.com/user/emails", 404, NULL, "{}");
    flow = begin("gh", APP_URL, "");
    code = param_of(sent_to(come_back(&flow, "p")), "code");
    assert_false(inst_get_true(exchange(code, ""), "created"));

    serve("https://api.github.com/user", 401, NULL, "{\"message\":\"Bad credentials\"}");
    flow = begin("gh", APP_URL, "");
    expect_failure(come_back(&flow, "p"), "Bad credentials");
    serve(GITHUB_TOKEN, 200, NULL,
          "{\"error\":\"bad_verification_code\",\"error_description\":\"no\"}");
    flow = begin("gh", APP_URL, "");
    expect_failure(come_back(&flow, "p"), "No access token received from GitHub.");
}

/* Apple's secret is a token of a moment, signed with the key that is kept. */
static void by_apple(void **state) {
    (void)state;
    char *pem, body[4200];
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(bio, key.key, NULL, NULL, 0, NULL, NULL);
    long len = BIO_get_mem_data(bio, &pem);
    struct inst_buf text, set;
    struct inst_value jwk;
    struct inst_jws jws;
    inst_buf_init(&text);
    inst_buf_add_char(&text, '"');
    for (long i = 0; i < len; i++)
        inst_buf_add_str(&text, pem[i] == '\n' ? "\\n" : (char[]){pem[i], 0});
    inst_buf_add_char(&text, '"');
    serve_discovery("https://account.apple.com", "");
    add_client("apple", "apple",
               text_of(",'discovery_endpoint':'" DISCOVERY
                       "','meta':{'teamId':'T1','keyId':'K1'},'client_secret':%s",
                       text.data));
    world.now += 2 * 3600 * 1000;
    struct flow flow = begin("apple", APP_URL, "");
    serve(TOKEN, 200, NULL,
          text_of("{\"id_token\":\"%s\"}",
                  token_of(&key, "1", claims(",'iss':'https://appleid.apple.com'"))));
    assert_non_null(param_of(sent_to(come_back(&flow, "p")), "code"));
    snprintf(body, sizeof body, "?%s", outside.last_body);
    const char *secret = param_of(body, "client_secret");
    inst_buf_init(&set);
    add_jwk(&set, &key, "K1");
    struct inst_arena arena;
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, set.data, set.len, &jwk, NULL), INST_OK);
    assert_int_equal(inst_jws_read(&arena, secret, strlen(secret), &jws), INST_OK);
    assert_true(inst_jws_verify(&jws, INST_JWS_ES256, &jwk));
    expect_text(inst_getz(&jws.header, "kid"), "K1");
    expect_text(inst_getz(&jws.payload, "iss"), "T1");
    expect_text(inst_getz(&jws.payload, "sub"), "c 1");
    expect_text(inst_getz(&jws.payload, "aud"), "https://appleid.apple.com");
    assert_true(inst_getz(&jws.payload, "exp")->u.num ==
                inst_getz(&jws.payload, "iat")->u.num + 120);
    inst_arena_free(&arena);
    inst_buf_free(&set);
    inst_buf_free(&text);
    BIO_free(bio);
}

static void to_a_program(void **state) {
    (void)state;
    done(&world, "POST", base("authorized_redirect_origins"), ADMIN,
         "{'service':'custom-scheme','params':['myapp']}");
    struct flow flow = begin("web", "myapp%3A%2F%2Fin%3Fa%3D%22%3E%3Cb%3E", "");
    serve_token("");
    struct answer *answer = come_back(&flow, "p");
    assert_int_equal(answer->status, 200);
    assert_non_null(strstr(answer->text, "content=\"0; url=myapp://in?a=&#34;&#62;&#60;b&#62;&#38;"
                                         "code="));
    assert_null(strstr(answer->text, "<b>"));
    flow = begin("web", "myapp%3A%2F%2Fin", "");
    serve(TOKEN, 500, NULL, "{}");
    const char *url = sent_to(come_back(&flow, "p"));
    assert_ptr_equal(strstr(url, "myapp://in?error="), url);
}

/* ---- flows that do not ---- */

static void bad_starts(void **state) {
    (void)state;
    const struct {
        const char *query, *type, *message;
    } cases[] = {
        {"client_name=web&redirect_uri=https://evil.example", "validation-failed",
         "Validation failed for redirect-uri: Invalid redirect_uri. If you're the developer, make "
         "sure to add your website to the list of approved domains."},
        {"client_name=web&redirect_uri=https://app.example@evil.example", "validation-failed",
         "Validation failed for redirect-uri: Invalid redirect_uri. If you're the developer, make "
         "sure to add your website to the list of approved domains."},
        {"client_name=web&redirect_uri=https://app.example%0d%0aX:y", "validation-failed",
         "Validation failed for redirect-uri: Invalid redirect_uri. If you're the developer, make "
         "sure to add your website to the list of approved domains."},
        {"client_name=web", "param-missing", "Missing parameter: [\"params\" \"redirect_uri\"]"},
        {"redirect_uri=" APP_URL, "param-missing",
         "Missing parameter: [\"params\" \"client_name\"]"},
        {"client_name=other&redirect_uri=" APP_URL, "record-not-found",
         "Record not found: app-oauth-client"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        denied(&world, "GET", text_of(START "?app_id=%s&%s", world.app.id, cases[i].query), "",
               NULL, cases[i].type, cases[i].message);
    serve(DISCOVERY, 200, NULL, "{\"issuer\":\"x\",\"authorization_endpoint\":\"javascript:x\"}");
    world.now += 2 * 3600 * 1000;
    refuse(call(&world, "GET",
                text_of(START "?app_id=%s&client_name=web&redirect_uri=" APP_URL, world.app.id), "",
                NULL),
           "Unable to fetch OAuth configuration.");
}

static void bad_callbacks(void **state) {
    (void)state;
    struct flow flow = begin("web", APP_URL, ""), other = begin("web", APP_URL, "");
    refuse(call(&world, "GET", CALLBACK "?error=access_denied", "", NULL), "access_denied");
    refuse(call(&world, "GET", CALLBACK, "", NULL), "Missing state param in OAuth redirect.");
    refuse(call(&world, "GET", CALLBACK "?state=x", "", NULL),
           "Invalid state param in OAuth redirect.");
    refuse(call(&world, "GET", text_of(CALLBACK "?state=%s&code=p", flow.state), "", NULL),
           "Missing cookie.");
    refuse(call(&world, "GET", text_of(CALLBACK "?state=%s&code=p", flow.state),
                "cookie: __session=instantdb_x", NULL),
           "Missing cookie.");
    /* Another browser's cookie: the request is used up. */
    struct flow mixed = {.state = flow.state, .cookie = other.cookie};
    refuse(come_back(&mixed, "p"), "Mismatch in OAuth request cookie.");
    refuse(come_back(&flow, "p"), "Could not find OAuth request.");
    refuse(call(&world, "GET", text_of(CALLBACK "?state=%s", other.state),
                text_of("cookie: %s", other.cookie), NULL),
           "Missing code param in OAuth redirect.");
    /* A state of nobody, one of another app, one that is too old. */
    flow = begin("web", APP_URL, "");
    mixed =
        (struct flow){.state = text_of("%.36s%s", flow.state, uuid_text(7)), .cookie = flow.cookie};
    refuse(come_back(&mixed, "p"), "Could not find OAuth request.");
    mixed.state = text_of("%s%s", uuid_text(7), flow.state + 36);
    refuse(come_back(&mixed, "p"), "Could not find OAuth request.");
    world.now += INST_OAUTH_REDIRECT_MS + INST_TX_AHEAD_MS + 1;
    refuse(come_back(&flow, "p"), "The request is expired.");
    refuse(come_back(&flow, "p"), "Could not find OAuth request.");
    assert_int_equal(asked(TOKEN), 0);
}

static void bad_providers(void **state) {
    (void)state;
    static const char invalid[] = "Invalid token exchanging code for token.";
    const struct {
        int status;
        const char *body, *message;
    } cases[] = {
        {400, "{\"error_description\":\"code is & stale\"}", "code is & stale"},
        {400, "<html>", "Error exchanging code for token."},
        {0, NULL, "Error exchanging code for token."},
        {200, "[]", "Error exchanging code for token."},
        {200, "{}", invalid},
        {200, "{\"id_token\":7,\"access_token\":\"a\\nb\"}", invalid},
        {200, "{\"id_token\":\"x.y.z\"}", invalid},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct flow flow = begin("web", APP_URL, "");
        serve(TOKEN, cases[i].status, NULL, cases[i].body);
        expect_failure(come_back(&flow, "p"), cases[i].message);
    }
    static const char *const wrong[] = {",'iss':'https://evil.example'", ",'aud':'other'",
                                        ",'exp':1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct flow flow = begin("web", APP_URL, "");
        serve_token(wrong[i]);
        expect_failure(come_back(&flow, "p"), invalid);
    }
    static const char *const nobody[] = {",'email_verified':false", ",'email':null"};
    for (size_t i = 0; i < 2; i++) {
        struct flow flow = begin("web", APP_URL, "");
        serve_token(nobody[i]);
        expect_failure(come_back(&flow, "p"), "Missing user info");
    }
    struct flow flow = begin("web", APP_URL, "");
    serve(TOKEN, 200, NULL, "{\"access_token\":\"at1\"}");
    serve(USERINFO, 403, NULL, "{}");
    expect_failure(come_back(&flow, "p"), invalid);
    serve(DISCOVERY, 0, NULL, NULL);
    flow = begin("web", APP_URL, "");
    world.now += 5 * 60 * 1000;
    outside.is_closed = true;
    expect_failure(come_back(&flow, "p"), "Error exchanging code for token.");
}

/* Rows of sign-ins that nobody finished do not stay. */
static void abandoned(void **state) {
    (void)state;
    for (int i = 0; i < 30; i++)
        begin("web", APP_URL, "");
    world.now += INST_OAUTH_REDIRECT_MS + INST_TX_AHEAD_MS + 1;
    begin("web", APP_URL, "");
    begin("web", APP_URL, "");
    const struct inst_value *left =
        inst_getz(done(&world, "POST", "/admin/query", ADMIN, "{'query':{'$oauthRedirects':{}}}"),
                  "$oauthRedirects");
    assert_int_equal(left->len, 2);
}

static void test_page(void **state) {
    (void)state;
    struct answer *answer = call(&world, "GET", CALLBACK "?test-redirect=true", "", NULL);
    assert_int_equal(answer->status, 200);
    assert_non_null(strstr(answer->text, "Your OAuth redirect looks good!"));
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(whole_flow),    CASE(with_a_proof),  CASE(as_libraries_ask), CASE(by_userinfo),
        CASE(by_github),     CASE(by_apple),      CASE(to_a_program),     CASE(bad_starts),
        CASE(bad_callbacks), CASE(bad_providers), CASE(abandoned),        CASE(test_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
