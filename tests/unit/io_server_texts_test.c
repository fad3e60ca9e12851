/*
 * The original's answers to what seldom happens, word for word (transactions.md 10, session.md
 * 2.4): each row or test names what brings it about.
 */
#include "io_server_http_fixture.h"

#include "instaql/limits.h"
#include "instaql/operator.h"
#include "schema/system_catalog.h"
#include "server/http_routes.h"
#include "server/limits.h"
#include "server/refusal.h"
#include "server/reply.h"

static const char schema[] =
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','required':false,"
    "'config':{'indexed':false,'unique':false}}}},'lists':{'attrs':{'name':{'valueType':'string',"
    "'required':false,'config':{'indexed':true,'unique':true}},'color':{'valueType':'string',"
    "'required':false,'config':{'indexed':false,'unique':false}}}}},"
    "'links':{'list':{'forward':{'on':'todos','label':'list','has':'one'},"
    "'reverse':{'on':'lists','label':'todos','has':'many'}}}}";

static struct world world;
static struct connection *user;
static char dir[32];

static int set_up(void **state) {
    (void)state;
    world_open_dir(&world, dir, schema);
    user = enter(&world, false);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    disconnect(user);
    world_close_dir(&world, dir);
    return 0;
}

/* ---- errors as envelopes ---- */

static void make_untyped(struct inst_err *err) { *err = (struct inst_err){0}; }

static void make_slow(struct inst_err *err) { inst_instaql_took_too_long(err, "Why."); }

static void make_large(struct inst_err *err) { inst_refuse_too_many_steps(err, 250001); }

static const struct {
    void (*make)(struct inst_err *err);
    int socket_status, http_status;
    const char *socket_type, *http_type, *socket_message, *http_message, *hint;
} envelopes[] = {
    {make_untyped, 500, 500, NULL, "unknown",
     "Yikes, something broke on our end! Sorry about that.",
     "Something went wrong. Sorry about this!", NULL},
    {make_slow, 500, 429, "timeout", "timeout", "The query took too long to complete.",
     "The query took too long to complete.", "Why."},
    {make_large, 500, 400, "parameter-limit-exceeded", "parameter-limit-exceeded",
     "There are too many parameters in the transaction or query.",
     "There are too many parameters in the transaction or query.",
     "Consider batching: a transaction takes at most 250000 steps, this one has 250001."},
};

static void expect_envelope(const struct inst_buf *text, const char *type, const char *message,
                            const char *hint) {
    struct inst_arena arena;
    struct inst_value value;
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, text->data, text->len, &value, NULL), INST_OK);
    if (type != NULL)
        expect_text(inst_getz(&value, "type"), type);
    else
        assert_int_equal(inst_getz(&value, "type")->tag, INST_NULL);
    expect_text(inst_getz(&value, "message"), message);
    if (hint != NULL)
        expect_text(inst_getz(inst_getz(&value, "hint"), "message"), hint);
    inst_arena_free(&arena);
}

static void errors_read_as_they_should(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof envelopes / sizeof *envelopes; i++) {
        struct inst_err err;
        struct inst_buf text;
        struct inst_http_response response = {0};
        char status[40];
        envelopes[i].make(&err);
        inst_buf_init(&text);
        inst_reply_error(&text, &world.server->tracer, &err, NULL, "s");
        snprintf(status, sizeof status, "\"status\":%d,", envelopes[i].socket_status);
        assert_non_null(strstr(text.data, status));
        expect_envelope(&text, envelopes[i].socket_type, envelopes[i].socket_message,
                        envelopes[i].hint);
        inst_http_answer_error(world.server, &response, &err);
        assert_int_equal(response.status, envelopes[i].http_status);
        expect_envelope(&response.body, envelopes[i].http_type, envelopes[i].http_message,
                        envelopes[i].hint);
        inst_buf_free(&text);
        inst_http_response_clear(&response);
        inst_err_clear(&err);
    }
}

/* What the limit of work stands for in the original: a query that is given up. */
static void a_query_that_takes_too_much_work_took_too_long(void **state) {
    (void)state;
    struct inst_arena arena;
    struct inst_err err = {0};
    inst_arena_init(&arena);
    struct inst_operator op = {.kind = INST_OP_LIKE, .is_server = true};
    struct inst_operator_run run = {.like_work = INST_INSTAQL_MAX_LIKE_WORK - 1};
    struct inst_triple triple = {.v = inst_cstring("aaaaaaaaaa")};
    op.like = inst_like_new(&arena, "%b%", 3, (struct inst_like_rules){.by_code_point = true});
    assert_non_null(op.like);
    assert_int_equal(inst_operator_test(&op, &run, &triple, &err), -1);
    assert_string_equal(err.type, "timeout");
    assert_int_equal(err.status, 500);
    assert_string_equal(err.message, "The query took too long to complete.");
    assert_string_equal(err.hint,
                        "{\"message\":\"The query's like patterns take too much work.\"}");
    inst_err_clear(&err);
    inst_arena_free(&arena);
}

/* ---- lookups that name nothing in the end ---- */

#define LOST "Validation failed for lookup: Could not find the entity for this lookup"

static const struct {
    const char *rules, *steps, *message; /* NULL: it is taken */
} lookups[] = {
    /* The name that the lookup makes the list by is taken from it again. */
    {"{}",
     "[['add-triple',['@lists.name','x'],'@lists.color','red'],"
     "['retract-triple',['@lists.name','x'],'@lists.name','x']]",
     LOST},
    /* Before any rule is asked. */
    {"{'lists':{'allow':{'create':'1 / (size(data.color) - 3) == 1'}}}",
     "[['add-triple',['@lists.name','x'],'@lists.color','red'],"
     "['retract-triple',['@lists.name','x'],'@lists.name','x']]",
     LOST},
    {"{}",
     "[['add-triple',['@lists.name','x'],'@lists.color','red'],"
     "['add-triple',['@lists.name','x'],'@lists.name','x']]",
     NULL},
    /* One that is there from the start keeps its name for the rules. */
    {"{}",
     "[['add-triple',['@lists.name','old'],'@lists.color','red'],"
     "['add-triple',['@lists.name','old'],'@lists.name','new']]",
     NULL},
    /* A delete of what no lookup finds asks no rule. */
    {"{'lists':{'allow':{'delete':'false'}}}", "[['delete-entity',['@lists.name','none'],'lists']]",
     NULL},
};

static void a_lookup_has_to_name_an_entity_in_the_end(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof lookups / sizeof *lookups; i++) {
        char body[400];
        if (i == 0)
            transact(&world, user,
                     "[['add-triple','#1','@lists.id','#1'],"
                     "['add-triple','#1','@lists.name','old']]");
        snprintf(body, sizeof body, "{'code':%s}", lookups[i].rules);
        done(&world, "POST", "/dash/apps/{app}/rules", "authorization: {bearer}", body);
        if (lookups[i].message == NULL) {
            transact(&world, user, lookups[i].steps);
            continue;
        }
        struct inst_value *error =
            refused(&world, user, lookups[i].steps, "validation-failed", lookups[i].message);
        const struct inst_value *hint = inst_getz(error, "hint");
        assert_true(inst_getz(error, "status")->u.num == 400);
        expect_text(inst_getz(hint, "data-type"), "lookup");
        expect_text(&inst_getz(hint, "input")->u.items[1], "x");
    }
}

/* ---- the catalog's app ---- */

static void the_catalogs_app_takes_nothing(void **state) {
    (void)state;
    struct inst_err err = {0};
    struct inst_app_info info = {.expires_ms = 0};
    struct inst_app app = {.info = {.id = INST_SYSTEM_APP_ID}, .state = INST_APP_ACTIVE};
    char token[INST_UUID_TEXT + 1];
    snprintf(info.id, sizeof info.id, "%s", INST_SYSTEM_APP_ID);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            i == 0 ? inst_server_create_app_as(world.server, "Catalog", NULL, &info, token, &err)
                   : inst_app_check_write(&app, &err),
            INST_FAILED);
        assert_string_equal(err.type, "validation-failed");
        assert_string_equal(err.message,
                            "Validation failed for app: You can't make updates to this app.");
        inst_err_clear(&err);
    }
    assert_int_equal(
        inst_server_app_status(world.server, INST_SYSTEM_APP_ID, &(const char *){NULL}, &err),
        INST_FAILED);
    assert_string_equal(err.type, "record-not-found");
    inst_err_clear(&err);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(errors_read_as_they_should),
        T(a_query_that_takes_too_much_work_took_too_long),
        T(a_lookup_has_to_name_an_entity_in_the_end),
        T(the_catalogs_app_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
