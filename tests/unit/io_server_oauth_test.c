/*
 * What a provider's sign-in ends with: a code is exchanged for the user whose account it is.
 */
#include "io_server_http_fixture.h"

#include "base/digest.h"
#include "server/oauth.h"

#define EXCHANGE "/runtime/oauth/token"
#define NO_CODE "record-not-found", "Record not found: app-oauth-code"
/* RFC 7636, appendix B. */
#define VERIFIER "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

static const char schema[] =
    "{'entities':{'$users':{'attrs':{"
    "'nick':{'valueType':'string','required':false,'config':{'indexed':true,'unique':true}}}}},"
    "'links':{}}";

static struct world world;
static char dir[32];
static struct connection *admin;
static unsigned codes; /* made so far */

static const char *text_of(const char *fmt, ...) {
    static char texts[128][4096];
    static unsigned at;
    char *text = texts[at++ % 128];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof texts[0], fmt, args);
    va_end(args);
    return text;
}

/* Two providers, with a client each: #257 and #513. */
static int set_up(void **state) {
    (void)state;
    codes = 0;
    world_open_dir(&world, dir, schema);
    admin = enter(&world, true);
    transact(&world, admin,
             "[['add-triple','#256','@$oauthProviders.id','#256'],"
             "['add-triple','#256','@$oauthProviders.name','google'],"
             "['add-triple','#257','@$oauthClients.id','#257'],"
             "['add-triple','#257','@$oauthClients.name','web'],"
             "['add-triple','#257','@$oauthClients.$oauthProvider','#256'],"
             "['add-triple','#512','@$oauthProviders.id','#512'],"
             "['add-triple','#512','@$oauthProviders.name','github'],"
             "['add-triple','#513','@$oauthClients.id','#513'],"
             "['add-triple','#513','@$oauthClients.name','hub'],"
             "['add-triple','#513','@$oauthClients.$oauthProvider','#512']]");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    disconnect(admin);
    world_close_dir(&world, dir);
    return 0;
}

/* A code as a callback would leave it; gives its uuid. */
static const char *code_of(unsigned client, const char *info, const char *challenge,
                           const char *method) {
    char hash[INST_SHA256_HEX + 1];
    struct inst_uuid uuid;
    const char *code = text_of("%s", uuid_text(0x10000 + ++codes));
    const char *row = text_of("%s", uuid_text(0x20000 + codes));
    inst_uuid_parse(code, INST_UUID_TEXT, &uuid);
    inst_sha256_hex(uuid.bytes, sizeof uuid.bytes, hash);
    transact(&world, admin,
             text_of("[['add-triple','%s','@$oauthCodes.id','%s'],"
                     "['add-triple','%s','@$oauthCodes.codeHash','%s'],"
                     "['add-triple','%s','@$oauthCodes.userInfo',%s],"
                     "['add-triple','%s','@$oauthCodes.$oauthClient','%s'],"
                     "['add-triple','%s','@$oauthCodes.codeChallenge',%s],"
                     "['add-triple','%s','@$oauthCodes.codeChallengeMethod',%s]]",
                     row, row, row, hash, row, info, row, uuid_text(client), row,
                     challenge ? text_of("'%s'", challenge) : "null", row,
                     method ? text_of("'%s'", method) : "null"));
    return code;
}

static const char *identity(const char *email, const char *sub) {
    return email ? text_of("{'email':'%s','sub':'%s'}", email, sub) : text_of("{'sub':'%s'}", sub);
}

static const char *body(const char *code, const char *more) {
    return text_of("{'app_id':'%s','code':'%s'%s}", world.app.id, code, more);
}

static const struct inst_value *exchange(const char *code, const char *more) {
    return done(&world, "POST", EXCHANGE, "", body(code, more));
}

static void refuse(const char *code, const char *more, const char *type, const char *message) {
    denied(&world, "POST", EXCHANGE, "", body(code, more), type, message);
}

static const char *id_of(const struct inst_value *answer) {
    return text_of("%.36s", inst_get_string(inst_getz(answer, "user"), "id")->u.str);
}

/* Signs in; gives the user's id. */
static const char *enter_as(unsigned client, const char *email, const char *sub, bool is_created) {
    const struct inst_value *answer =
        exchange(code_of(client, identity(email, sub), NULL, NULL), "");
    assert_int_equal(inst_get_true(answer, "created"), is_created);
    return id_of(answer);
}

static const struct inst_value *rows(const char *query) {
    return done(&world, "POST", "/admin/query", ADMIN, text_of("{'query':%s}", query));
}

/* The member of the only row that the query finds. */
static const struct inst_value *only(const char *etype, const char *where, const char *name) {
    const struct inst_value *found =
        inst_getz(rows(text_of("{'%s':{'$':{'where':%s}}}", etype, where)), etype);
    assert_int_equal(found->len, 1);
    return inst_getz(&found->u.items[0], name);
}

/* ---- codes ---- */

static void exchanging(void **state) {
    (void)state;
    const char *code =
        code_of(257, "{'email':'Ann@b.de','sub':'1','imageURL':'https://x.y/a.png'}", NULL, NULL);
    const struct inst_value *answer = exchange(code, "");
    assert_true(inst_get_true(answer, "created"));
    const struct inst_value *user = inst_getz(answer, "user");
    expect_text(inst_getz(user, "email"), "ann@b.de");
    expect_text(inst_getz(user, "type"), "user");
    expect_text(inst_getz(user, "imageURL"), "https://x.y/a.png");
    const struct inst_value *token = inst_get_string(answer, "refresh_token");
    assert_true(inst_value_equal(token, inst_getz(user, "refresh_token")));
    done(&world, "POST", "/runtime/auth/verify_refresh_token", "",
         text_of("{'app-id':'%s','refresh-token':'%.36s'}", world.app.id, token->u.str));
    refuse(code, "", NO_CODE); /* used up */
    expect_body(&world, rows("{'$oauthCodes':{}}"), "{'$oauthCodes':[]}");
}

static void as_forms_and_queries(void **state) {
    (void)state;
    const char *code = code_of(257, identity("a@b.de", "1"), CHALLENGE, "S256");
    done(&world, "POST", EXCHANGE, "content-type: application/x-www-form-urlencoded; charset=utf-8",
         text_of("grant_type=authorization_code&app_id=%s&code=%s&code_verifier=" VERIFIER,
                 world.app.id, code));
    code = code_of(257, identity("a@b.de", "1"), NULL, NULL);
    done(&world, "POST", text_of(EXCHANGE "?app_id=%s&code=%s", world.app.id, code), "", NULL);
    code = code_of(257, identity("a@b.de", "1"), NULL, NULL);
    done(&world, "POST", text_of("/runtime/%s/oauth/token", world.app.id), "",
         text_of("{'code':'%s'}", code));
    denied(&world, "POST", "/runtime/x/oauth/token", "", text_of("{'code':'%s'}", code),
           "param-malformed", "Malformed parameter: [\"params\" \"app_id\"]");
}

static void bad_codes(void **state) {
    (void)state;
    denied(&world, "POST", EXCHANGE, "", text_of("{'app_id':'%s'}", world.app.id), "param-missing",
           "Missing parameter: [\"body\" \"code\"]");
    denied(&world, "POST", EXCHANGE, "", "{'code':'#1'}", "param-missing",
           "Missing parameter: [\"body\" \"app_id\"]");
    refuse("x", "", "param-malformed", "Malformed parameter: [\"body\" \"code\"]");
    refuse(uuid_text(1), "", NO_CODE);
    const char *code = code_of(257, identity("a@b.de", "1"), NULL, NULL);
    world.now += INST_OAUTH_CODE_MS + 1;
    refuse(code, "", "record-expired", "Record expired: app-oauth-code");
    refuse(code, "", NO_CODE);
    /* Of a client that is gone, or without an account. */
    code = code_of(257, "{'email':'a@b.de'}", NULL, NULL);
    struct answer *answer = call(&world, "POST", EXCHANGE, "", body(code, ""));
    assert_int_equal(answer->status, 400);
    expect_body(&world, &answer->value, "{'type':'oauth-error','error':'Missing OAuth client'}");
    expect_body(&world, rows("{'$users':{}}"), "{'$users':[]}");
}

static void proofs(void **state) {
    (void)state;
    static const struct {
        const char *challenge, *method, *verifier, *message; /* message NULL: it is right */
    } cases[] = {
        {CHALLENGE, "S256", VERIFIER, NULL},
        {CHALLENGE "=", "S256", VERIFIER, NULL},
        {VERIFIER, "plain", VERIFIER, NULL},
        {CHALLENGE, "S256", VERIFIER "x", "The code_challenge and code_verifier do not match."},
        {CHALLENGE "A", "S256", VERIFIER, "The code_challenge and code_verifier do not match."},
        {"!", "S256", VERIFIER, "The code_challenge and code_verifier do not match."},
        {"", "S256", "", "The code_challenge and code_verifier do not match."},
        {VERIFIER, "plain", VERIFIER "x", "The code_challenge and code_verifier do not match."},
        {VERIFIER, "S512", VERIFIER, "Unknown code challenge method."},
        {VERIFIER, NULL, VERIFIER, "Unknown code challenge method."},
        {CHALLENGE, "S256", NULL,
         "The code_challenge was provided, but no code_verifier was provided."},
        {NULL, NULL, VERIFIER,
         "The code_verifier was provided, but no code_challenge was provided."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *code =
            code_of(257, identity("a@b.de", "1"), cases[i].challenge, cases[i].method);
        const char *more =
            cases[i].verifier ? text_of(",'code_verifier':'%s'", cases[i].verifier) : "";
        if (cases[i].message == NULL) {
            exchange(code, more);
            continue;
        }
        refuse(code, more, "validation-failed",
               text_of("Validation failed for app-oauth-code: %s", cases[i].message));
        refuse(code, more, NO_CODE); /* nobody may try another verifier */
    }
    char *long_one = calloc(1, INST_OAUTH_MAX_VERIFIER + 2);
    memset(long_one, 'v', INST_OAUTH_MAX_VERIFIER + 1);
    refuse(code_of(257, identity("a@b.de", "1"), CHALLENGE, "S256"),
           text_of(",'code_verifier':'%s'", long_one), "param-malformed",
           "Malformed parameter: [\"body\" \"code_verifier\"]");
    free(long_one);
}

static void origins(void **state) {
    (void)state;
    static const char *const good[] = {"http://localhost:3000", "https://[::1]"};
    static const char *const bad[] = {
        "https://example.com", "http://localhost:3001",         "http://localhost.evil.com", "null",
        "file://[::1]",        "http://localhost:3000@evil.com"};
    const char *route = text_of("/dash/apps/%s/authorized_redirect_origins", world.app.id);
    done(&world, "POST", route, ADMIN, "{'service':'generic','params':['localhost:3000']}");
    done(&world, "POST", route, ADMIN, "{'service':'generic','params':['[::1]']}");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        done(&world, "POST", EXCHANGE, text_of("origin: %s", good[i]),
             body(code_of(257, identity("a@b.de", "1"), NULL, NULL), ""));
    const char *code = code_of(257, identity("a@b.de", "1"), NULL, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        denied(&world, "POST", EXCHANGE, text_of("origin: %s", bad[i]), body(code, ""),
               "validation-failed", "Validation failed for origin: Unauthorized origin.");
    exchange(code, ""); /* not used up by them */
}

/* ---- whose account ---- */

static void the_same_account_is_the_same_user(void **state) {
    (void)state;
    const char *ann = enter_as(257, "ann@b.de", "1", true);
    assert_string_equal(enter_as(257, "ann@b.de", "1", false), ann);
    /* Another address of the same account: the user's from now on. */
    assert_string_equal(enter_as(257, "new@b.de", "1", false), ann);
    expect_text(only("$users", text_of("{'id':'%s'}", ann), "email"), "new@b.de");
    /* Without an address: the account alone says who it is. */
    assert_string_equal(enter_as(257, NULL, "1", false), ann);
    expect_text(only("$users", text_of("{'id':'%s'}", ann), "email"), "new@b.de");
    /* The same number at another provider is somebody else. */
    assert_string_not_equal(enter_as(513, NULL, "1", true), ann);
}

static void the_same_address_is_the_same_user(void **state) {
    (void)state;
    const char *ann = enter_as(257, "ann@b.de", "1", true);
    assert_string_equal(enter_as(513, "ANN@b.de", "77", false), ann);
    assert_string_equal(enter_as(513, NULL, "77", false), ann); /* linked */
    assert_int_equal(inst_getz(rows("{'$oauthUserLinks':{}}"), "$oauthUserLinks")->len, 2);
}

/* The account is one user's, the address another's: the address wins, the account moves. */
static void an_address_wins_over_an_account(void **state) {
    (void)state;
    const char *ann = enter_as(257, "ann@b.de", "1", true);
    const char *bob = enter_as(257, "bob@b.de", "2", true);
    assert_string_equal(enter_as(257, "bob@b.de", "1", false), bob);
    assert_string_equal(enter_as(257, NULL, "1", false), bob);
    expect_text(only("$users", text_of("{'id':'%s'}", ann), "email"), "ann@b.de");
}

static void guests(void **state) {
    (void)state;
    const struct inst_value *answer = done(&world, "POST", "/runtime/auth/sign_in_guest", "",
                                           text_of("{'app-id':'%s'}", world.app.id));
    const char *guest = id_of(answer);
    const char *token =
        text_of("%.36s", inst_get_string(inst_getz(answer, "user"), "refresh_token")->u.str);
    answer = exchange(code_of(257, identity("ann@b.de", "1"), NULL, NULL),
                      text_of(",'refresh_token':'%s'", token));
    assert_true(inst_get_true(answer, "created"));
    assert_string_equal(id_of(answer), guest);
    expect_text(inst_getz(inst_getz(answer, "user"), "type"), "user");
    answer = done(&world, "POST", "/runtime/auth/sign_in_guest", "",
                  text_of("{'app-id':'%s'}", world.app.id));
    const char *second = id_of(answer);
    token = text_of("%.36s", inst_get_string(inst_getz(answer, "user"), "refresh_token")->u.str);
    answer = exchange(code_of(257, identity("ann@b.de", "1"), NULL, NULL),
                      text_of(",'refresh_token':'%s'", token));
    assert_string_equal(id_of(answer), guest);
    expect_text(only("$users", text_of("{'id':'%s'}", second), "type"), "guest");
    answer = done(&world, "POST", "/runtime/auth/verify_refresh_token", "",
                  text_of("{'app-id':'%s','refresh-token':'%s'}", world.app.id, token));
    expect_text(inst_getz(inst_getz(answer, "user"), "linkedPrimaryUser"), guest);
    refuse(code_of(257, identity("ann@b.de", "1"), NULL, NULL), ",'refresh_token':'#1'",
           "record-not-found", "Record not found: app-user");
}

static void extra_fields(void **state) {
    (void)state;
    const char *with = ",'extra_fields':{'nick':'ann'}";
    refuse(code_of(257, identity("ann@b.de", "1"), NULL, NULL), with, "permission-denied",
           "Permission denied: not perms-pass?");
    done(&world, "POST", text_of("/dash/apps/%s/rules", world.app.id), ADMIN,
         "{'code':{'$users':{'allow':{'create':'data.nick.size() == 3'}}}}");
    const struct inst_value *answer =
        exchange(code_of(257, identity("ann@b.de", "1"), NULL, NULL), with);
    expect_text(inst_getz(inst_getz(answer, "user"), "nick"), "ann");
}

static void discovery(void **state) {
    (void)state;
    expect_body(&world,
                done(&world, "GET",
                     text_of("/runtime/%s/.well-known/openid-configuration", world.app.id),
                     "host: api.example:8888", NULL),
                text_of("{'authorization_endpoint':'http://api.example:8888/runtime/%s/oauth/start'"
                        ",'token_endpoint':'http://api.example:8888/runtime/%s/oauth/token'}",
                        world.app.id, world.app.id));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(exchanging),
        TEST(as_forms_and_queries),
        TEST(bad_codes),
        TEST(proofs),
        TEST(origins),
        TEST(the_same_account_is_the_same_user),
        TEST(the_same_address_is_the_same_user),
        TEST(an_address_wins_over_an_account),
        TEST(guests),
        TEST(extra_fields),
        TEST(discovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
