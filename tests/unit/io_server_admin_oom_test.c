/*
 * Out of memory at every place of an admin request's way: an error goes out (or the host is told
 * that there is no answer), a transaction is kept whole or not at all, a tried one never, and the
 * same request is answered when there is memory.
 */
#include "io_server_http_fixture.h"

#include "oom.h"

#define SCHEMA                                                                                     \
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','config':{'unique':true,"        \
    "'indexed':true}}}}},'links':{'owner':{'forward':{'on':'todos','label':'owner','has':'one'},"  \
    "'reverse':{'on':'$users','label':'todos','has':'many'}}}}"

static struct world world;
static char folder[32];

static int open_world(void **state) {
    (void)state;
    world_open_dir(&world, folder, SCHEMA);
    world.admin = enter(&world, true);
    transact(&world, world.admin,
             "[['add-triple','#1','@$users.id','#1'],['add-triple','#1','@$users.email','a@b.c'],"
             "['add-triple','#11','@todos.id','#11'],['add-triple','#11','@todos.title','one'],"
             "['add-triple','#11','@todos.owner','#1']]");
    world.admin->is_deaf = true;
    return 0;
}

static int close_world(void **state) {
    (void)state;
    disconnect(world.admin);
    world_close_dir(&world, folder);
    return 0;
}

/* The n-th allocation and all behind it fail. true: none was needed any more. */
static bool try(const char *path, const char *fields, const char *body, struct connection *to,
                long n) {
    struct inst_http_field list[8];
    struct inst_http_response response;
    char *head = filled_in(&world, fields), *sent = expanded(&world, body);
    size_t count = 0;
    for (char *at = strtok(head, "|"); at != NULL; at = strtok(NULL, "|")) {
        char *colon = strstr(at, ": ");
        *colon = '\0';
        list[count++] = (struct inst_http_field){at, colon + 2};
    }
    struct inst_http_request request = {.method = "POST",
                                        .path = path,
                                        .query = "",
                                        .body = sent,
                                        .body_len = strlen(sent),
                                        .fields = list,
                                        .field_count = count,
                                        .connection = to};
    oom_after(n);
    inst_server_http(world.server, &request, &response);
    bool is_untouched = oom_left > 0;
    oom_off();
    bool is_failed = response.body.failed || response.headers.failed;
    if (response.stream != NULL)
        inst_session_close(response.stream);
    if (is_untouched && (is_failed || response.status != 200))
        fail_msg("%s: %d %s", path, response.status, response.body.data);
    /* what was lost is said, in JSON */
    if (!is_failed && response.content_type == NULL) {
        struct inst_arena arena;
        struct inst_value value;
        inst_arena_init(&arena);
        const char *text = response.body.data != NULL ? response.body.data : "{}";
        if (inst_json_parse(&arena, text, strlen(text), &value, NULL) != INST_OK)
            fail_msg("%s after %ld: %s", path, n, text);
        assert_true(response.status == 200 || inst_getz(&value, "message") != NULL);
        inst_arena_free(&arena);
    }
    inst_http_response_clear(&response);
    inst_server_turn(world.server);
    free(head);
    free(sent);
    return is_untouched;
}

#define MAX_ALLOCATIONS 3000

static void test_answers(void **state) {
    (void)state;
    static const struct {
        const char *path, *fields, *body;
    } cases[] = {
        {"/admin/query", ADMIN, "{'query':{'todos':{'owner':{}}},'inference?':true}"},
        {"/admin/query", ADMIN "|as-email: A@b.c", "{'query':{'$users':{'todos':{}}}}"},
        {"/admin/query_perms_check", ADMIN "|as-guest: true", "{'query':{'todos':{'owner':{}}}}"},
        {"/admin/query_perms_check", ADMIN "|as-email: a@b.c",
         "{'query':{'todos':{'$':{'limit':2,'where':{'title':'one'}}},'$users':{'$':{'limit':1}}},"
         "'rules-override':{'todos':{'allow':{'view':'auth.id in data.ref(\\\"owner.id\\\") && "
         "size(data.title) > 2'}}}}"},
        {"/admin/transact_perms_check", ADMIN "|as-guest: true",
         "{'steps':[['update','todos',['title','one'],{'title':'new','more':{'a':1}}],"
         "['merge','todos','#11',{'more':{'b':2}}],['link','todos','#11',{'owner':{'email':'a@b.c'}"
         "}],"
         "['delete','todos','#12']]}"},
        {"/admin/transact", ADMIN, "{'steps':[['update','todos','#11',{'title':'one'}]]}"},
        {"/runtime/framework/query", "app-id: {app}|authorization: Bearer undefined",
         "{'query':{'todos':{'$':{'limit':1},'owner':{}}}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is_done = false;
        for (long n = 0; !is_done; n++) {
            is_done = try(cases[i].path, cases[i].fields, cases[i].body, NULL, n);
            assert_true(n < MAX_ALLOCATIONS);
        }
        expect_state(&world, 11, "todos.id=#11 todos.owner=#1 todos.title='one'");
    }
}

static void test_transactions_are_whole(void **state) {
    (void)state;
    bool is_done = false;
    for (long n = 0; !is_done; n++) {
        char body[512], wanted[128];
        unsigned id = 100 + (unsigned)n;
        snprintf(body, sizeof body,
                 "{'steps':[['create','todos','#%u',{'title':'t%u'}],"
                 "['update','made%u',['slug','x'],{}],['link','todos','#%u',{'owner':'#1'}]]}",
                 id, id, id, id);
        is_done = try("/admin/transact", ADMIN, body, NULL, n);
        snprintf(wanted, sizeof wanted, "todos.id=#%u todos.owner=#1 todos.title='t%u'", id, id);
        struct answer *answer =
            call(&world, "POST", "/admin/query", ADMIN, "{'query':{'todos':{}}}");
        assert_int_equal(answer->status, 200);
        const struct inst_value *todos = inst_getz(&answer->value, "todos");
        bool is_there = false;
        for (uint32_t k = 0; k < todos->len; k++)
            is_there =
                is_there || inst_is_string(inst_getz(&todos->u.items[k], "id"), uuid_text(id));
        expect_state(&world, id, is_there ? wanted : "");
        assert_true(is_there || !is_done);
        assert_true(n < MAX_ALLOCATIONS);
    }
}

static void test_streams(void **state) {
    (void)state;
    struct connection c = {.is_deaf = true};
    c.end = &c.first;
    struct inst_server_stats before, after;
    inst_server_stats(world.server, &before);
    static const struct {
        const char *path, *body;
    } cases[] = {{"/admin/subscribe-query", "{'query':{'todos':{'owner':{}}}}"},
                 {"/admin/sse", "{}"}};
    for (size_t i = 0; i < 2; i++) {
        bool is_done = false;
        for (long n = 0; !is_done; n++) {
            is_done = try(cases[i].path, ADMIN, cases[i].body, &c, n);
            assert_true(n < MAX_ALLOCATIONS);
        }
    }
    inst_server_stats(world.server, &after);
    assert_int_equal(after.sessions, before.sessions);
    assert_int_equal(after.computations, before.computations);
}

/* Planning and pushing a schema: the attrs are there whole or not at all. */
static void test_schema(void **state) {
    (void)state;
    static const char schema[] =
        "{'schema':{'entities':{'todos':{'attrs':{'n':{'valueType':'number','required':false}}},"
        "'more':{'attrs':{}}},'links':{'m':{'forward':{'on':'more','label':'todo','has':'one'},"
        "'reverse':{'on':'todos','label':'more','has':'many'}}}},'check_types':true,"
        "'supports_background_updates':true}";
    static const struct {
        const char *route, *body;
    } cases[] = {
        {"schema/push/plan", schema},
        {"schema/push/apply", schema},
        {"schema/steps/apply", "{'steps':[['index',{'attr-id':'@todos.title'}],"
                               "['delete-attr','aaaaaaaa-0000-4000-8000-000000000001']]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[128];
        bool is_done = false;
        snprintf(path, sizeof path, "/dash/apps/%s/%s", world.app.id, cases[i].route);
        for (long n = 0; !is_done; n++) {
            is_done = try(path, ADMIN, cases[i].body, NULL, n);
            assert_true(n < MAX_ALLOCATIONS);
        }
        while (inst_server_is_pending(world.server))
            inst_server_turn(world.server);
    }
    learn_attrs(&world);
    assert_non_null(attr_id(&world, "more.todo", 9));
    assert_non_null(attr_id(&world, "todos.n", 7));
}

/* Making apps: there is one for every answer that says so. */
static void test_apps(void **state) {
    (void)state;
    char token[INST_OPERATOR_TOKEN + 1], fields[128];
    size_t made = 0;
    bool is_done = false;
    assert_int_equal(inst_server_add_operator(world.server, "test", token, NULL), INST_OK);
    snprintf(fields, sizeof fields, "authorization: Bearer %s", token);
    for (long n = 0; !is_done; n++) {
        is_done = try("/superadmin/apps", fields,
                      "{'title':'App','schema':{'entities':{'todos':{'attrs':{}}}},"
                      "'perms':{'todos':{'allow':{'view':'true'}}}}",
                      NULL, n);
        assert_true(n < MAX_ALLOCATIONS);
        made += is_done;
    }
    for (is_done = false; !is_done;)
        is_done = try("/dash/cli/auth/register", fields, "", NULL, (long)made++);
    struct answer *answer = call(&world, "GET", "/dash", fields, NULL);
    assert_int_equal(answer->status, 200);
    assert_true(inst_getz(&answer->value, "apps")->len >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_schema, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_apps, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_answers, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_transactions_are_whole, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_streams, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
