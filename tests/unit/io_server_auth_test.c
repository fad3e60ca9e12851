/*
 * Users, their codes and tokens: the sign-in routes, sessions with a refresh token, what is kept of
 * secrets and what is never shown.
 */
#include "io_server_http_fixture.h"

#include "base/digest.h"
#include "server/users.h"

#define SEND "/runtime/auth/send_magic_code"
#define VERIFY "/runtime/auth/verify_magic_code"
#define TOKEN "/runtime/auth/verify_refresh_token"
#define GUEST "/runtime/auth/sign_in_guest"
#define SIGN_OUT "/runtime/signout"
#define HOUR (60 * 60 * 1000)
#define NO_CODE "record-not-found", "Record not found: app-user-magic-code"
#define NO_USER "record-not-found", "Record not found: app-user"

static const char schema[] =
    "{'entities':{'$users':{'attrs':{"
    "'nick':{'valueType':'string','required':false,'config':{'indexed':true,'unique':true}},"
    "'age':{'valueType':'number','required':false,'config':{'indexed':false,'unique':false}}}}},"
    "'links':{}}";

static struct world world;
static char dir[32];
static char said[8192]; /* everything that was logged */

static void on_log(void *ctx, enum inst_log_level level, const char *line) {
    (void)ctx;
    (void)level;
    size_t len = strlen(said);
    snprintf(said + len, sizeof said - len, "%s\n", line);
}

static int set_up(void **state) {
    (void)state;
    said[0] = '\0';
    world_open_dir(&world, dir, schema);
    world.env.log = on_log;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_close_dir(&world, dir);
    return 0;
}

/* ---- small words ---- */

static const char *text_of(const char *fmt, ...) {
    static char texts[16][2048];
    static unsigned at;
    char *text = texts[at++ % 16];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof texts[0], fmt, args);
    va_end(args);
    return text;
}

/* more: further members, with a comma in front. */
static const char *body(const char *more) {
    return text_of("{'app-id':'%s'%s}", world.app.id, more);
}

static const struct inst_value *post(const char *route, const char *text) {
    return done(&world, "POST", route, "", text);
}

static const struct inst_value *refuse(const char *route, const char *text, const char *type,
                                       const char *message) {
    return denied(&world, "POST", route, "", text, type, message);
}

/* The code that is logged when one is asked for. */
static const char *ask_for_code(const char *email) {
    static char codes[4][INST_MAGIC_CODE_DIGITS + 1];
    static unsigned at;
    char *code = codes[at++ % 4];
    said[0] = '\0';
    expect_body(&world, post(SEND, body(text_of(",'email':'%s'", email))), "{'sent':true}");
    const char *is = strstr(said, "\" is ");
    assert_non_null(is);
    memcpy(code, is + 5, INST_MAGIC_CODE_DIGITS);
    assert_int_equal(strspn(code, "012345678"), INST_MAGIC_CODE_DIGITS);
    said[0] = '\0';
    return code;
}

static const char *try_of(const char *email, const char *code) {
    return body(text_of(",'email':'%s','code':'%s'", email, code));
}

struct person {
    char id[INST_UUID_TEXT + 1];
    char token[INST_UUID_TEXT + 1];
    bool is_created;
};

static struct person person_of(const struct inst_value *answer) {
    struct person person = {{0}, {0}, inst_get_true(answer, "created")};
    const struct inst_value *user = inst_getz(answer, "user");
    const struct inst_value *id = inst_get_string(user, "id");
    const struct inst_value *token = inst_get_string(user, "refresh_token");
    assert_true(id != NULL && id->len == INST_UUID_TEXT);
    assert_true(token != NULL && token->len == INST_UUID_TEXT);
    memcpy(person.id, id->u.str, INST_UUID_TEXT);
    memcpy(person.token, token->u.str, INST_UUID_TEXT);
    return person;
}

static struct person sign_in(const char *email) {
    return person_of(post(VERIFY, try_of(email, ask_for_code(email))));
}

static struct person guest(void) { return person_of(post(GUEST, body(""))); }

static const char *token_body(const char *token) {
    return body(text_of(",'refresh-token':'%s'", token));
}

/* How an admin sees rows. */
static const struct inst_value *rows(const char *query) {
    return done(&world, "POST", "/admin/query", ADMIN, text_of("{'query':%s}", query));
}

/* ---- magic codes ---- */

static void signing_up(void **state) {
    (void)state;
    const struct inst_value *answer =
        post(VERIFY, try_of("Ann@Example.com ", ask_for_code(" ANN@example.COM")));
    struct person ann = person_of(answer);
    assert_true(ann.is_created);
    expect_body(&world, inst_getz(answer, "user"),
                text_of("{'app_id':'%s','id':'%s','email':'ann@example.com','type':'user',"
                        "'nick':null,'created_at':'2023-11-14T22:13:20Z','isGuest':false,"
                        "'refresh_token':'%s'}",
                        world.app.id, ann.id, ann.token));
    world.now += HOUR;
    struct person again = sign_in("ann@example.com");
    assert_false(again.is_created);
    assert_string_equal(again.id, ann.id);
    assert_string_not_equal(again.token, ann.token); /* one a sign-in; both are good */
    post(TOKEN, token_body(ann.token));
    answer = post(TOKEN, token_body(again.token));
    expect_text(inst_getz(inst_getz(answer, "user"), "id"), ann.id);
    expect_text(inst_getz(inst_getz(answer, "user"), "refresh_token"), again.token);
}

static void codes_are_used_once(void **state) {
    (void)state;
    const char *code = ask_for_code("a@b.de");
    post(VERIFY, try_of("a@b.de", code));
    refuse(VERIFY, try_of("a@b.de", code), NO_CODE);
    const char *first = ask_for_code("a@b.de"), *second = ask_for_code("a@b.de");
    post(VERIFY, try_of("a@b.de", second));
    post(VERIFY, try_of("a@b.de", first));
    refuse(VERIFY, try_of("a@b.de", first), NO_CODE);
}

static void wrong_codes(void **state) {
    (void)state;
    const char *code = ask_for_code("a@b.de");
    refuse(VERIFY, try_of("other@b.de", code), NO_CODE);
    refuse(VERIFY, try_of("a@b.de", "999999"), NO_CODE); /* no code has a nine */
    refuse(VERIFY, try_of("a@b.de", ""), NO_CODE);
    refuse(VERIFY, try_of("a@b.de", text_of("%s0", code)), NO_CODE);
    expect_body(&world, rows("{'$users':{}}"), "{'$users':[]}"); /* nobody was made for them */
    post(VERIFY, try_of("a@b.de", text_of("  %s ", code)));
}

static void old_codes(void **state) {
    (void)state;
    const char *code = ask_for_code("a@b.de"), *other = ask_for_code("a@b.de");
    world.now += INST_MAGIC_CODE_MS + 2; /* they were made a millisecond apart */
    refuse(VERIFY, try_of("a@b.de", code), "record-expired", "Record expired: app-user-magic-code");
    refuse(VERIFY, try_of("a@b.de", code), NO_CODE); /* used up all the same */
    ask_for_code("c@d.de");                          /* clears away what is too old */
    refuse(VERIFY, try_of("a@b.de", other), NO_CODE);
    code = ask_for_code("a@b.de");
    world.now += INST_MAGIC_CODE_MS;
    post(VERIFY, try_of("a@b.de", code));
}

/* Who asks for codes all day still has few to guess at. */
static void few_codes_are_good_at_a_time(void **state) {
    (void)state;
    char first[INST_MAGIC_CODE_DIGITS + 1], second[INST_MAGIC_CODE_DIGITS + 1];
    strcpy(first, ask_for_code("a@b.de"));
    for (unsigned i = 1; i <= INST_MAGIC_CODES_KEPT; i++) {
        world.now += 1000;
        const char *code = ask_for_code("a@b.de");
        if (i == 1)
            strcpy(second, code);
    }
    refuse(VERIFY, try_of("a@b.de", first), NO_CODE);
    post(VERIFY, try_of("a@b.de", second));
}

static void too_many_codes(void **state) {
    (void)state;
    static const char message[] =
        "Too many verification codes requested for this email. Please try again later.";
    for (int i = 0; i < INST_MAGIC_CODES_PER_HOUR; i++)
        ask_for_code("a@b.de");
    struct answer *answer = call(&world, "POST", SEND, "", body(",'email':'A@b.de'"));
    assert_int_equal(answer->status, 429);
    expect_text(inst_getz(&answer->value, "type"), "rate-limited");
    expect_text(inst_getz(&answer->value, "message"), message);
    const char *code = ask_for_code("other@b.de");
    for (int i = 0; i < INST_MAGIC_CODES_PER_HOUR; i++)
        refuse(VERIFY, try_of("other@b.de", "999999"), NO_CODE);
    answer = call(&world, "POST", VERIFY, "", try_of("other@b.de", code));
    assert_int_equal(answer->status, 429); /* the right one, too late */
    expect_text(inst_getz(&answer->value, "type"), "rate-limited");
    world.now += HOUR;
    ask_for_code("a@b.de");
    post(VERIFY, try_of("other@b.de", code));
}

static void parameters(void **state) {
    (void)state;
    static const struct {
        const char *route, *body, *type, *message;
    } cases[] = {
        {SEND, "{}", "param-missing", "Missing parameter: [\"body\" \"email\"]"},
        {SEND, "{'email':null}", "param-missing", "Missing parameter: [\"body\" \"email\"]"},
        {SEND, "{'email':1}", "param-malformed", "Malformed parameter: [\"body\" \"email\"]"},
        {SEND, "{'email':'a@b'}", "param-malformed", "Malformed parameter: [\"body\" \"email\"]"},
        {SEND, "{'email':'a@b.c'}", "param-missing", "Missing parameter: [\"body\" \"app-id\"]"},
        {SEND, "{'email':'a@b.c','app-id':'x'}", "param-malformed",
         "Malformed parameter: [\"body\" \"app-id\"]"},
        {SEND, "{'email':'a@b.c','app-id':'#1'}", "record-not-found", "Record not found: app"},
        {SEND, "[]", "param-malformed", "Malformed parameter: [\"body\"]"},
        {VERIFY, "{'email':'a@b.c'}", "param-missing", "Missing parameter: [\"body\" \"code\"]"},
        {VERIFY, "{'email':'a@b.c','code':123456}", "param-malformed",
         "Malformed parameter: [\"body\" \"code\"]"},
        {VERIFY, "{'email':'a@b.c','code':'1'}", "param-missing",
         "Missing parameter: [\"body\" \"app-id\"]"},
        {TOKEN, "{}", "param-missing", "Missing parameter: [\"body\" \"refresh-token\"]"},
        {TOKEN, "{'refresh-token':'#1'}", "param-missing",
         "Missing parameter: [\"body\" \"app-id\"]"},
        {GUEST, "{}", "param-missing", "Missing parameter: [\"body\" \"app-id\"]"},
        {SIGN_OUT, "{}", "param-missing", "Missing parameter: [\"body\" \"app_id\"]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(cases[i].route, cases[i].body, cases[i].type, cases[i].message);
    refuse(VERIFY, body(",'email':'a@b.c','code':'1','extra-fields':[]"), "param-malformed",
           "Malformed parameter: [\"body\" \"extra-fields\"]");
    refuse(VERIFY, body(",'email':'a@b.c','code':'1','refresh-token':'x'"), "param-malformed",
           "Malformed parameter: [\"body\" \"refresh-token\"]");
    refuse(VERIFY, body(",'email':'a@b.c','code':'1','refresh-token':'#1'"), NO_USER);
    /* Either spelling, everywhere. */
    post(SEND, text_of("{'app_id':'%s','email':'a@b.de'}", world.app.id));
    post(SIGN_OUT, body(",'refresh-token':'#1'"));
}

static void addresses(void **state) {
    (void)state;
    static const struct {
        const char *text, *read; /* NULL: no address */
    } cases[] = {
        {"a@b.c", "a@b.c"},
        {" \tA.B@C.De\n", "a.b@c.de"},
        {"!#$%&'*+/=?^_`{|}~-@x.y", "!#$%&'*+/=?^_`{|}~-@x.y"},
        {"a@b-c.d-e.f", "a@b-c.d-e.f"},
        {"a@1.2", "a@1.2"},
        {"", NULL},
        {"@", NULL},
        {"a@", NULL},
        {"@b.c", NULL},
        {"a@b", NULL},
        {"a.@b.c", NULL},
        {".a@b.c", NULL},
        {"a..b@c.d", NULL},
        {"a@b..c", NULL},
        {"a@.b.c", NULL},
        {"a@b.c.", NULL},
        {"a@-b.c", NULL},
        {"a@b-.c", NULL},
        {"a@b.c-", NULL},
        {"a b@c.d", NULL},
        {"a@b@c.d", NULL},
        {"a@b.c\nBcc: x@y.z", NULL},
        {"\xc3\xbc@b.c", NULL},
        {"a@\xc3\xbc.c", NULL},
    };
    char out[INST_USERS_MAX_EMAIL + 1], longest[INST_USERS_MAX_EMAIL + 2];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is_read = inst_email_read(cases[i].text, strlen(cases[i].text), out);
        if (is_read != (cases[i].read != NULL) || (is_read && strcmp(out, cases[i].read) != 0))
            fail_msg("%s", cases[i].text);
    }
    assert_false(inst_email_read("a@b.c\0d", 7, out));
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "a@b.", 4);
    assert_true(inst_email_read(longest, INST_USERS_MAX_EMAIL, out));
    assert_false(inst_email_read(longest, INST_USERS_MAX_EMAIL + 1, out));
}

/* ---- guests ---- */

static void guests(void **state) {
    (void)state;
    const struct inst_value *answer = post(GUEST, body(""));
    struct person one = person_of(answer);
    expect_body(&world, answer,
                text_of("{'user':{'app_id':'%s','id':'%s','email':null,'nick':null,'type':'guest',"
                        "'created_at':'2023-11-14T22:13:20Z','isGuest':true,'refresh_token':'%s'}}",
                        world.app.id, one.id, one.token));
    struct person two = guest(); /* no address, and still two of them */
    assert_string_not_equal(one.id, two.id);
}

static const char *upgrade(const char *email, const char *token) {
    const char *code = ask_for_code(email);
    return body(text_of(",'email':'%s','code':'%s','refresh-token':'%s'", email, code, token));
}

static void a_guest_becomes_a_user(void **state) {
    (void)state;
    struct person someone = guest();
    const struct inst_value *answer = post(VERIFY, upgrade("new@b.de", someone.token));
    struct person user = person_of(answer);
    assert_true(user.is_created);
    assert_string_equal(user.id, someone.id);
    expect_text(inst_getz(inst_getz(answer, "user"), "type"), "user");
    expect_text(inst_getz(inst_getz(answer, "user"), "email"), "new@b.de");
    assert_false(inst_get_true(inst_getz(answer, "user"), "isGuest"));
    post(TOKEN, token_body(someone.token)); /* the guest's token is the user's now */
}

static void a_guest_is_linked_to_a_user(void **state) {
    (void)state;
    struct person ann = sign_in("ann@b.de"), someone = guest();
    struct person user = person_of(post(VERIFY, upgrade("ann@b.de", someone.token)));
    assert_false(user.is_created);
    assert_string_equal(user.id, ann.id);
    const struct inst_value *answer = post(TOKEN, token_body(someone.token));
    expect_text(inst_getz(inst_getz(answer, "user"), "linkedPrimaryUser"), ann.id);
    expect_text(inst_getz(inst_getz(answer, "user"), "type"), "guest");
}

static void only_guests_are_upgraded(void **state) {
    (void)state;
    struct person ann = sign_in("ann@b.de");
    struct person bob = person_of(post(VERIFY, upgrade("bob@b.de", ann.token)));
    assert_true(bob.is_created);
    assert_string_not_equal(bob.id, ann.id);
    const char *code = ask_for_code("new@b.de");
    refuse(VERIFY,
           text_of("{'app-id':'%s','email':'new@b.de','code':'%s','refresh-token':'#1'}",
                   world.app.id, code),
           NO_USER);
    post(VERIFY, try_of("new@b.de", code));
}

/* ---- extra fields ---- */

static void extra_fields(void **state) {
    (void)state;
    char code[INST_MAGIC_CODE_DIGITS + 1];
    strcpy(code, ask_for_code("a@b.de"));
    static const struct {
        const char *fields, *type, *message;
    } cases[] = {
        {"{'height':1}", "validation-failed",
         "Validation failed for extra-fields: Unknown field: height. It must be defined in your "
         "$users schema."},
        {"{'email':'x@y.z'}", "validation-failed",
         "Validation failed for extra-fields: Cannot set system field: email"},
        {"{'id':'#1'}", "validation-failed",
         "Validation failed for extra-fields: Cannot set system field: id"},
        {"{'type':'admin'}", "validation-failed",
         "Validation failed for extra-fields: Cannot set system field: type"},
        {"{'nick':'a'}", "permission-denied", "Permission denied: not perms-pass?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        refuse(
            VERIFY,
            body(text_of(",'email':'a@b.de','code':'%s','extra-fields':%s", code, cases[i].fields)),
            cases[i].type, cases[i].message);
        refuse(GUEST, body(text_of(",'extra-fields':%s", cases[i].fields)), cases[i].type,
               cases[i].message);
    }
    expect_body(&world, rows("{'$users':{}}"), "{'$users':[]}");
    post(VERIFY, body(text_of(",'email':'a@b.de','code':'%s','extra-fields':{}", code)));
    /* Of a user who is there they are not looked at. */
    strcpy(code, ask_for_code("a@b.de"));
    post(VERIFY, body(text_of(",'email':'a@b.de','code':'%s','extra-fields':{'height':1}", code)));
}

static void set_rules(const char *code) {
    done(&world, "POST", text_of("/dash/apps/%s/rules", world.app.id), ADMIN,
         text_of("{'code':%s}", code));
}

#define NOT_ALLOWED "permission-denied", "Permission denied: not perms-pass?"

/* Exactly `$users.allow.create` is asked, with the new user as data, as new data and as auth. */
static void the_rule_for_signing_up(void **state) {
    (void)state;
    char code[INST_MAGIC_CODE_DIGITS + 1];
    strcpy(code, ask_for_code("ann@b.de"));
    const char *with_nick = ",'email':'ann@b.de','code':'%s','extra-fields':{'nick':'%s'}";
    set_rules("{'$default':{'allow':{'$default':'true'}}}"); /* does not count */
    refuse(VERIFY, body(text_of(with_nick, code, "ann")), NOT_ALLOWED);
    set_rules("{'$users':{'allow':{'$default':'true'}}}"); /* nor does this */
    refuse(VERIFY, body(text_of(with_nick, code, "ann")), NOT_ALLOWED);
    set_rules("{'$users':{'allow':{'create':'data.nick == newData.nick && data.nick != "
              "\\u0027admin\\u0027 "
              "&& auth.id == data.id && auth.email.endsWith(\\u0027@b.de\\u0027)'}}}");
    refuse(VERIFY, body(text_of(with_nick, code, "admin")), NOT_ALLOWED);
    struct person ann = person_of(post(VERIFY, body(text_of(with_nick, code, "ann"))));
    assert_true(ann.is_created);
    expect_text(inst_getz(inst_getz(post(TOKEN, token_body(ann.token)), "user"), "nick"), "ann");
    post(VERIFY, try_of("ann@b.de", ask_for_code("ann@b.de"))); /* who is there is not asked */
    set_rules("{'$users':{'allow':{'create':'false'}}}");
    refuse(VERIFY, try_of("bob@b.de", ask_for_code("bob@b.de")), NOT_ALLOWED);
    refuse(GUEST, body(""), NOT_ALLOWED);
    post(VERIFY, try_of("ann@b.de", ask_for_code("ann@b.de")));
    set_rules("{'$users':{'allow':{'create':'auth.email == null'}}}");
    post(GUEST, body(""));
    set_rules("{'$users':{'allow':{'create':'data.nick.size() > 1'}}}");
    struct answer *answer = call(&world, "POST", GUEST, "", body(""));
    assert_int_equal(answer->status, 400);
    expect_text(inst_getz(&answer->value, "type"), "permission-evaluation-failed");
}

/* A value that its attr does not take costs neither the code nor makes anybody. */
static void extra_fields_of_the_wrong_type(void **state) {
    (void)state;
    char code[INST_MAGIC_CODE_DIGITS + 1];
    strcpy(code, ask_for_code("ann@b.de"));
    set_rules("{'$users':{'allow':{'create':'true'}}}");
    struct answer *answer =
        call(&world, "POST", VERIFY, "",
             body(text_of(",'email':'ann@b.de','code':'%s','extra-fields':{'nick':1}", code)));
    assert_int_equal(answer->status, 400);
    expect_text(inst_getz(&answer->value, "type"), "validation-failed");
    expect_body(&world, rows("{'$users':{}}"), "{'$users':[]}");
    post(VERIFY, try_of("ann@b.de", code));
}

/* ---- admins ---- */

static const struct inst_value *admin(const char *method, const char *route, const char *text) {
    return done(&world, method, route, ADMIN, text);
}

static void admins_make_codes(void **state) {
    (void)state;
    for (int i = 0; i < INST_MAGIC_CODES_PER_HOUR + 5; i++) { /* not counted */
        const struct inst_value *code =
            inst_getz(admin("POST", "/admin/magic_code", "{'email':' Ann@b.de'}"), "code");
        assert_int_equal(code->len, INST_MAGIC_CODE_DIGITS);
        said[0] = '\0';
        post(VERIFY, try_of("ann@b.de", text_of("%.6s", code->u.str)));
        world.now += HOUR / 10;
    }
    assert_string_equal(said, ""); /* nor told anybody */
    const struct inst_value *code =
        inst_getz(admin("POST", "/admin/send_magic_code", "{'email':'ann@b.de'}"), "code");
    assert_non_null(strstr(said, text_of("%.6s", code->u.str)));
    const struct inst_value *answer =
        admin("POST", "/admin/verify_magic_code",
              text_of("{'email':'ann@b.de','code':'%.6s'}", code->u.str));
    assert_false(person_of(answer).is_created);
    denied(&world, "POST", "/admin/verify_magic_code", ADMIN, "{'email':'a@b.de','code':'1'}",
           NO_CODE);
    denied(&world, "POST", "/admin/magic_code", ADMIN, "{}", "param-missing",
           "Missing parameter: [\"body\" \"email\"]");
}

/* No rule is asked, but what may be set is the same. */
static void admins_set_extra_fields(void **state) {
    (void)state;
    set_rules("{'$users':{'allow':{'create':'false'}}}");
    const struct inst_value *answer = admin("POST", "/admin/refresh_tokens",
                                            "{'email':'ann@b.de','extra-fields':{'nick':'ann'}}");
    expect_text(inst_getz(inst_getz(answer, "user"), "nick"), "ann");
    answer = admin("POST", "/admin/sign_in_guest", "{'extra-fields':{'age':3}}");
    assert_true(inst_getz(inst_getz(answer, "user"), "age")->u.num == 3);
    const char *code = ask_for_code("bob@b.de");
    answer = admin("POST", "/admin/verify_magic_code",
                   text_of("{'email':'bob@b.de','code':'%s','extra-fields':{'nick':'bob'}}", code));
    expect_text(inst_getz(inst_getz(answer, "user"), "nick"), "bob");
    denied(&world, "POST", "/admin/refresh_tokens", ADMIN,
           "{'email':'new@b.de','extra-fields':{'email':'x'}}", "validation-failed",
           "Validation failed for extra-fields: Cannot set system field: email");
    denied(&world, "POST", "/admin/sign_in_guest", ADMIN, "{'extra-fields':{'height':1}}",
           "validation-failed",
           "Validation failed for extra-fields: Unknown field: height. It must be defined in your "
           "$users schema.");
}

static void admins_make_tokens(void **state) {
    (void)state;
    struct person ann = person_of(admin("POST", "/admin/refresh_tokens", "{'email':'Ann@b.de'}"));
    assert_true(ann.is_created);
    post(TOKEN, token_body(ann.token));
    struct person again =
        person_of(admin("POST", "/admin/refresh_tokens", text_of("{'id':'%s'}", ann.id)));
    assert_false(again.is_created);
    assert_string_equal(again.id, ann.id);
    const struct inst_value *answer = admin("POST", "/admin/refresh_tokens", "{'id':'#7'}");
    struct person bare = person_of(answer);
    assert_true(bare.is_created);
    assert_string_equal(bare.id, uuid_text(7));
    assert_int_equal(inst_getz(inst_getz(answer, "user"), "email")->tag, INST_NULL);
    denied(&world, "POST", "/admin/refresh_tokens", ADMIN, "{}", "validation-failed",
           "Validation failed for body: Please provide an `email` or `id`");
    denied(&world, "POST", "/admin/refresh_tokens", ADMIN, "{'id':'x'}", "param-malformed",
           "Malformed parameter: [\"body\" \"id\"]");
}

static void admins_sign_out(void **state) {
    (void)state;
    struct person one = sign_in("ann@b.de"), two = sign_in("ann@b.de"), bob = sign_in("bob@b.de");
    expect_body(&world, admin("POST", "/admin/sign_out", "{'email':'Ann@b.de'}"), "{'ok':true}");
    refuse(TOKEN, token_body(one.token), NO_USER);
    refuse(TOKEN, token_body(two.token), NO_USER);
    post(TOKEN, token_body(bob.token));
    one = sign_in("ann@b.de");
    two = sign_in("ann@b.de");
    admin("POST", "/admin/sign_out", text_of("{'refresh_token':'%s'}", one.token));
    refuse(TOKEN, token_body(one.token), NO_USER);
    post(TOKEN, token_body(two.token));
    admin("POST", "/admin/sign_out", text_of("{'id':'%s','email':'bob@b.de'}", two.id));
    refuse(TOKEN, token_body(two.token), NO_USER);
    post(TOKEN, token_body(bob.token));
    admin("POST", "/admin/sign_out", "{'id':'#1'}");
    denied(&world, "POST", "/admin/sign_out", ADMIN, "{'email':'no@b.de'}", NO_USER);
    denied(&world, "POST", "/admin/sign_out", ADMIN, "{}", "validation-failed",
           "Validation failed for body: Please provide an `id`, `email`, or `refresh_token`");
}

static void admins_look_users_up(void **state) {
    (void)state;
    struct person ann = sign_in("ann@b.de");
    const char *row = text_of("{'app_id':'%s','id':'%s','email':'ann@b.de','type':'user',"
                              "'nick':null,'created_at':'2023-11-14T22:13:20Z','isGuest':false}",
                              world.app.id, ann.id);
    const char *shown = text_of("{'user':%s}", row);
    expect_body(&world, admin("GET", "/admin/users?email=ann%40b.de", NULL), shown);
    expect_body(&world, admin("GET", text_of("/admin/users?id=%s", ann.id), NULL), shown);
    expect_body(&world, admin("GET", text_of("/admin/users?refresh_token=%s", ann.token), NULL),
                shown);
    expect_body(&world, admin("GET", "/admin/users?email=no%40b.de", NULL), "{'user':null}");
    denied(&world, "GET", "/admin/users", ADMIN, NULL, "validation-failed",
           "Validation failed for params: Please provide a user id, email, or refresh_token");
    denied(&world, "GET", "/admin/users?id=x", ADMIN, NULL, "param-malformed",
           "Malformed parameter: [\"params\" \"id\"]");
    expect_body(&world, admin("DELETE", "/admin/users?email=no%40b.de", NULL), "{'deleted':null}");
    expect_body(&world, admin("DELETE", text_of("/admin/users?id=%s", ann.id), NULL),
                text_of("{'deleted':%s}", row));
    refuse(TOKEN, token_body(ann.token), NO_USER);
    expect_body(&world, rows("{'$userRefreshTokens':{}}"), "{'$userRefreshTokens':[]}");
}

static void only_admins(void **state) {
    (void)state;
    static const struct {
        const char *method, *target;
    } routes[] = {
        {"POST", "/admin/magic_code"},        {"POST", "/admin/send_magic_code"},
        {"POST", "/admin/verify_magic_code"}, {"POST", "/admin/refresh_tokens"},
        {"POST", "/admin/sign_in_guest"},     {"POST", "/admin/sign_out"},
        {"GET", "/admin/users?id=x"},         {"DELETE", "/admin/users?id=x"},
    };
    struct person ann = sign_in("ann@b.de");
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const char *text = "{'email':'ann@b.de','id':'#1','code':'1'}";
        denied(&world, routes[i].method, routes[i].target, "app-id: {app}", text, "param-missing",
               "Missing parameter: [\"headers\" \"authorization\"]");
        denied(&world, routes[i].method, routes[i].target,
               text_of("app-id: {app}|authorization: Bearer %s", ann.token), text,
               "record-not-found", "Record not found: app-admin-token");
    }
}

/* ---- tokens ---- */

static void signing_out(void **state) {
    (void)state;
    struct person ann = sign_in("ann@b.de"), again = sign_in("ann@b.de"), bob = sign_in("bob@b.de");
    for (int i = 0; i < 2; i++) { /* the second time there is nothing to do */
        expect_body(&world,
                    post(SIGN_OUT,
                         text_of("{'app_id':'%s','refresh_token':'%s'}", world.app.id, ann.token)),
                    "{}");
        refuse(TOKEN, token_body(ann.token), NO_USER);
    }
    post(TOKEN, token_body(again.token));
    post(TOKEN, token_body(bob.token));
    refuse(SIGN_OUT, text_of("{'app_id':'%s','refresh_token':'x'}", world.app.id),
           "param-malformed", "Malformed parameter: [\"body\" \"refresh_token\"]");
}

static void tokens_of_other_apps(void **state) {
    (void)state;
    struct inst_app_info other;
    char token[INST_UUID_TEXT + 1];
    struct person ann = sign_in("ann@b.de");
    assert_int_equal(inst_server_create_app(world.server, "Other", NULL, 0, &other, token, NULL),
                     INST_OK);
    const char *elsewhere = text_of("{'app-id':'%s','refresh-token':'%s'}", other.id, ann.token);
    refuse(TOKEN, elsewhere, NO_USER);
    post(SIGN_OUT, elsewhere); /* signs nobody out */
    post(TOKEN, token_body(ann.token));
    struct connection *c = connect_session(&world);
    say(&world, c, "{'op':'init','app-id':'%s','refresh-token':'%s'}", other.id, ann.token);
    turn(&world);
    expect_error(c, NO_USER);
    disconnect(c);
    refuse(VERIFY,
           text_of("{'app-id':'%s','email':'ann@b.de','code':'%s'}", other.id,
                   ask_for_code("ann@b.de")),
           NO_CODE);
}

static void deleted_users(void **state) {
    (void)state;
    struct person ann = sign_in("ann@b.de");
    struct connection *admin = enter(&world, true);
    transact(&world, admin, text_of("[['delete-entity','%s','$users']]", ann.id));
    disconnect(admin);
    refuse(TOKEN, token_body(ann.token), NO_USER);
    expect_body(&world, rows("{'$users':{}}"), "{'$users':[]}");
    assert_true(sign_in("ann@b.de").is_created);
}

/* ---- sessions ---- */

static struct connection *enter_as(const struct person *person) {
    struct connection *c = connect_session(&world);
    say(&world, c, "{'op':'init','app-id':'%s','refresh-token':'%s','versions':%s}", world.app.id,
        person->token, fixture_versions);
    turn(&world);
    return c;
}

static void sessions_have_users(void **state) {
    (void)state;
    struct person ann = sign_in("ann@b.de"), bob = sign_in("bob@b.de");
    struct connection *c = enter_as(&ann);
    const struct inst_value *auth = inst_getz(expect(c, "init-ok"), "auth");
    expect_body(&world, inst_getz(auth, "user"),
                text_of("{'app_id':'%s','id':'%s','email':'ann@b.de','type':'user','nick':null,"
                        "'created_at':'2023-11-14T22:13:20Z','isGuest':false}",
                        world.app.id, ann.id));
    say(&world, c, "{'op':'add-query','q':{'$users':{}}}");
    turn(&world);
    expect(c, "add-query-ok");
    assert_non_null(strstr(c->taken->text, "ann@b.de"));
    assert_null(strstr(c->taken->text, "bob@b.de"));
    say(&world, c, "{'op':'join-room','room-id':'r'}");
    turn(&world);
    expect(c, "join-room-ok");
    struct connection *other = enter_as(&bob);
    expect(other, "init-ok");
    say(&world, other, "{'op':'join-room','room-id':'r'}");
    turn(&world);
    expect(other, "join-room-ok");
    expect(other, "refresh-presence");
    assert_non_null(strstr(other->taken->text, text_of("\"user\":{\"id\":\"%s\"}", ann.id)));
    disconnect(other);
    disconnect(c);
}

static void sessions_with_bad_tokens(void **state) {
    (void)state;
    static const char *const tokens[] = {"'#1'", "'x'", "''", "1", "{}"};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        struct connection *c = connect_session(&world);
        say(&world, c, "{'op':'init','app-id':'%s','refresh-token':%s}", world.app.id, tokens[i]);
        turn(&world);
        const struct inst_value *error = expect_error(c, NO_USER);
        expect_text(inst_getz(inst_getz(error, "hint"), "record-type"), "app-user");
        /* The session is as new: it may say who it is again. */
        say(&world, c, "{'op':'init','app-id':'%s','refresh-token':null}", world.app.id);
        turn(&world);
        const struct inst_value *auth = inst_getz(expect(c, "init-ok"), "auth");
        assert_int_equal(inst_getz(auth, "user")->tag, INST_NULL);
        disconnect(c);
    }
}

/* Who writes is in the log by id; the snapshot of init stays what it was (session.md 6.5). */
static void sessions_outlive_their_token(void **state) {
    (void)state;
    struct person ann = sign_in("ann@b.de");
    struct connection *c = enter_as(&ann);
    expect(c, "init-ok");
    post(SIGN_OUT, token_body(ann.token));
    say(&world, c, "{'op':'add-query','q':{'$users':{}}}");
    turn(&world);
    expect(c, "add-query-ok");
    assert_non_null(strstr(c->taken->text, "ann@b.de"));
    disconnect(c);
    c = enter_as(&ann);
    expect_error(c, NO_USER);
    disconnect(c);
}

static void as_users_on_admin_routes(void **state) {
    (void)state;
    struct person ann = sign_in("ann@b.de");
    sign_in("bob@b.de");
    const char *query = "{'query':{'$users':{'$':{'fields':['email']}}}}";
    const char *mine = text_of("{'$users':[{'id':'%s','email':'ann@b.de'}]}", ann.id);
    expect_body(&world,
                done(&world, "POST", "/admin/query",
                     text_of("app-id: {app}|as-token: %s", ann.token), query),
                mine);
    expect_body(&world, done(&world, "POST", "/admin/query", ADMIN "|as-email:  ANN@b.de ", query),
                mine);
    denied(&world, "POST", "/admin/query", ADMIN "|as-email: nobody@b.de", query, NO_USER);
    denied(&world, "POST", "/admin/query", ADMIN "|as-email: nobody", query, NO_USER);
}

/* ---- what is kept, and what is shown ---- */

static void secrets_are_kept_as_digests(void **state) {
    (void)state;
    struct person ann = sign_in("ann@b.de");
    char code[INST_MAGIC_CODE_DIGITS + 1], hash[INST_SHA256_HEX + 1];
    struct inst_uuid token;
    strcpy(code, ask_for_code("bob@b.de"));
    inst_sha256_hex(code, INST_MAGIC_CODE_DIGITS, hash);
    expect_body(
        &world, rows("{'$magicCodes':{'$':{'fields':['codeHash','email']}}}"),
        text_of("{'$magicCodes':[{'id':'%s','codeHash':'%s','email':'bob@b.de'}]}",
                text_of("%.36s",
                        inst_get_string(
                            &inst_getz(rows("{'$magicCodes':{}}"), "$magicCodes")->u.items[0], "id")
                            ->u.str),
                hash));
    inst_uuid_parse(ann.token, INST_UUID_TEXT, &token);
    inst_sha256_hex(token.bytes, sizeof token.bytes, hash);
    const struct inst_value *kept =
        inst_getz(rows("{'$userRefreshTokens':{}}"), "$userRefreshTokens");
    assert_int_equal(kept->len, 1);
    expect_text(inst_getz(&kept->u.items[0], "hashedToken"), hash);
    /* Nor are they anywhere in the files. */
    char command[256];
    snprintf(command, sizeof command, "grep -rq '%s' %s", ann.token, dir);
    assert_int_not_equal(system(command), 0);
}

static void secrets_are_not_shown(void **state) {
    (void)state;
    struct person ann = sign_in("ann@b.de");
    char code[INST_MAGIC_CODE_DIGITS + 1];
    strcpy(code, ask_for_code("ann@b.de"));
    const struct {
        const char *route, *body;
    } requests[] = {
        {VERIFY, try_of("other@b.de", code)},
        {TOKEN, text_of("{'app-id':'x','refresh-token':'%s'}", ann.token)},
        {TOKEN, body(text_of(",'refresh-token':'%s0'", ann.token))},
        {SIGN_OUT, text_of("{'app_id':1,'refresh_token':'%s'}", ann.token)},
        {GUEST, body(text_of(",'extra-fields':1,'refresh-token':'%s'", ann.token))},
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct answer *answer = call(&world, "POST", requests[i].route, "", requests[i].body);
        assert_int_equal(answer->status, 400);
        assert_null(strstr(answer->text, ann.token));
        assert_null(strstr(answer->text, code));
    }
    struct connection *c = connect_session(&world);
    say(&world, c, "{'op':'init','app-id':'#1','refresh-token':'%s'}", ann.token);
    turn(&world);
    expect(c, "error");
    assert_null(strstr(c->taken->text, ann.token));
    disconnect(c);
    assert_null(strstr(said, ann.token));
    assert_null(strstr(said, code));
}

static void users_outlive_a_restart(void **state) {
    (void)state;
    struct inst_err err = {0};
    struct person ann = sign_in("ann@b.de");
    char code[INST_MAGIC_CODE_DIGITS + 1];
    strcpy(code, ask_for_code("bob@b.de"));
    on_close_apps(&world);
    assert_int_equal(inst_apps_open_dir(dir, NULL, &world.env, &world.apps, &err), INST_OK);
    world_start(&world);
    struct connection *c = enter_as(&ann);
    expect_text(inst_getz(inst_getz(inst_getz(expect(c, "init-ok"), "auth"), "user"), "id"),
                ann.id);
    disconnect(c);
    post(TOKEN, token_body(ann.token));
    post(VERIFY, try_of("bob@b.de", code));
}

/* Nobody is told a token that is not kept. */
static enum inst_status fail_to_commit(struct inst_app_db *db, struct inst_err *err) {
    db->db_ops->rollback(db);
    return inst_err_set(err, "data-file", 500, "disk full");
}

static void a_disk_that_fails(void **state) {
    (void)state;
    struct inst_app *app;
    struct inst_err err = {0};
    const char *code = ask_for_code("ann@b.de");
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
    const struct inst_app_db_ops *ops = app->db->db_ops;
    struct inst_app_db_ops failing = *ops;
    failing.commit = fail_to_commit;
    app->db->db_ops = &failing;
    static const char *const routes[] = {SEND, VERIFY, GUEST};
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        struct answer *answer = call(&world, "POST", routes[i], "", try_of("ann@b.de", code));
        assert_int_equal(answer->status, 500);
        assert_null(strstr(answer->text, "refresh_token"));
    }
    app->db->db_ops = ops;
    expect_body(&world, rows("{'$users':{}}"), "{'$users':[]}");
    post(VERIFY, try_of("ann@b.de", code));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(signing_up),
        TEST(codes_are_used_once),
        TEST(wrong_codes),
        TEST(old_codes),
        TEST(few_codes_are_good_at_a_time),
        TEST(too_many_codes),
        TEST(parameters),
        TEST(addresses),
        TEST(guests),
        TEST(a_guest_becomes_a_user),
        TEST(a_guest_is_linked_to_a_user),
        TEST(only_guests_are_upgraded),
        TEST(extra_fields),
        TEST(the_rule_for_signing_up),
        TEST(extra_fields_of_the_wrong_type),
        TEST(admins_make_codes),
        TEST(admins_set_extra_fields),
        TEST(admins_make_tokens),
        TEST(admins_sign_out),
        TEST(admins_look_users_up),
        TEST(only_admins),
        TEST(signing_out),
        TEST(tokens_of_other_apps),
        TEST(deleted_users),
        TEST(sessions_have_users),
        TEST(sessions_with_bad_tokens),
        TEST(sessions_outlive_their_token),
        TEST(as_users_on_admin_routes),
        TEST(secrets_are_kept_as_digests),
        TEST(secrets_are_not_shown),
        TEST(users_outlive_a_restart),
        TEST(a_disk_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
