#include "io_server_fixture.h"

#include <unistd.h>

static const char schema[] =
    "{'entities':{'todos':{'attrs':{"
    "'title':{'valueType':'string','required':false,'config':{'indexed':true,'unique':false}}}}},"
    "'links':{}}";

static struct world world;
static struct connection *c;

static int set_up(void **state) {
    (void)state;
    world_open(&world, ":memory:", schema);
    c = connect_session(&world);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    disconnect(c);
    world_close(&world);
    return 0;
}

static void init(void) {
    say(&world, c, "{'op':'init','app-id':'%s'}", world.app.id);
    expect(c, "init-ok");
}

static void expect_json(const struct inst_value *v, const char *text) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, v);
    char *wanted = quoted(text);
    assert_string_equal(buf.data, wanted);
    free(wanted);
    inst_buf_free(&buf);
}

/* ---- init ---- */

static void init_ok(void **state) {
    (void)state;
    say(&world, c, "{'op':'init','client-event-id':'e','app-id':'%s','versions':{'x':'y'}}",
        world.app.id);
    struct inst_value *m = expect(c, "init-ok");
    expect_text(inst_getz(m, "client-event-id"), "e");
    expect_text(inst_getz(m, "session-id"), c->session->id);
    expect_text(inst_getz(inst_getz(m, "app-status"), "status"), "active");
    const struct inst_value *auth = inst_getz(m, "auth");
    expect_text(inst_getz(inst_getz(auth, "app"), "id"), world.app.id);
    expect_text(inst_getz(inst_getz(auth, "app"), "title"), "Test");
    assert_int_equal(
        inst_getz(inst_getz(auth, "app"), "id") != NULL && inst_getz(auth, "app")->len == 2, 1);
    assert_int_equal(inst_getz(auth, "user")->tag, INST_NULL);
    assert_int_equal(inst_getz(auth, "admin?")->tag, INST_NULL);
    assert_int_equal(inst_getz(m, "attrs")->tag, INST_ARRAY);
    assert_int_equal(inst_getz(m, "trace-id")->tag, INST_STRING);
}

static void init_refusals(void **state) {
    (void)state;
    struct inst_value *e;
    say(&world, c, "{'op':'init'}");
    e = expect_error(c, "param-missing", "Missing parameter: [\"app-id\"]");
    expect_json(inst_getz(e, "hint"), "{'in':['app-id']}");
    say(&world, c, "{'op':'init','app-id':'x'}");
    e = expect_error(c, "param-malformed", "Malformed parameter: [\"app-id\"]");
    expect_json(inst_getz(e, "hint"), "{'in':['app-id'],'original-input':'x'}");
    say(&world, c, "{'op':'init','app-id':{'a':1}}");
    expect_error(c, "param-malformed", "Malformed parameter: [\"app-id\"]");
    say(&world, c,
        "{'op':'init','client-event-id':'q','app-id':'%s','refresh-token':'secret-1',"
        "'__admin-token':null}",
        world.app.id);
    e = expect_error(c, "record-not-found", "Record not found: app-user");
    expect_text(inst_getz(inst_getz(e, "hint"), "record-type"), "app-user");
    expect_text(inst_getz(e, "client-event-id"), "q");
    expect_text(inst_getz(inst_getz(e, "original-event"), "op"), "init");
    assert_null(strstr(c->taken->text, "secret-1"));
    /* the socket stays open and may try again */
    init();
    say(&world, c, "{'op':'init','app-id':'%s'}", world.app.id);
    expect_error(c, "validation-failed",
                 "Validation failed for init: `init` has already run for this session.");
    assert_false(c->is_closed);
}

/* In a folder of apps: unknown ids and wrong tokens. */
static void apps_and_tokens(void **state) {
    (void)state;
    char dir[] = "/tmp/inst-server-XXXXXX", command[64];
    assert_non_null(mkdtemp(dir));
    struct world w = {.now = 1, .random = 7};
    struct inst_err err = {0};
    w.env = (struct inst_env){&w, world_now, world_random, NULL};
    assert_int_equal(inst_apps_open_dir(dir, NULL, &w.env, &w.apps, &err), INST_OK);
    world_start(&w);
    assert_int_equal(inst_server_create_app(w.server, "A", NULL, 0, &w.app, w.token, &err),
                     INST_OK);
    struct connection *d = connect_session(&w);
    say(&w, d, "{'op':'init','app-id':'aaaaaaaa-0000-4000-8000-000000000001'}");
    struct inst_value *e = expect_error(d, "record-not-found", "Record not found: app");
    expect_text(inst_getz(inst_getz(e, "hint"), "record-type"), "app");
    say(&w, d, "{'op':'init','app-id':'%s','__admin-token':'%s'}", w.app.id, w.app.id);
    e = expect_error(d, "record-not-found", "Record not found: app-admin-token");
    expect_text(inst_getz(inst_getz(e, "hint"), "record-type"), "app-admin-token");
    assert_null(strstr(d->taken->text, "\"__admin-token\":\"a"));
    say(&w, d, "{'op':'init','app-id':'%s','__admin-token':7}", w.app.id);
    expect_error(d, "record-not-found", "Record not found: app-admin-token");
    say(&w, d, "{'op':'init','app-id':'%s','__admin-token':'%s'}", w.app.id, w.token);
    assert_int_equal(inst_getz(inst_getz(expect(d, "init-ok"), "auth"), "admin?")->tag, INST_TRUE);
    disconnect(d);
    inst_server_free(w.server);
    inst_apps_close(w.apps);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

static void ops_before_init(void **state) {
    (void)state;
    static const char *const ops[] = {"add-query", "remove-query", "transact"};
    for (size_t i = 0; i < 3; i++) {
        say(&world, c, "{'op':'%s','q':{'todos':{}},'tx-steps':[]}", ops[i]);
        expect_error(c, "validation-failed",
                     "Validation failed for init: `init` has not run for this session.");
    }
}

/* ---- bad input ---- */

static void bad_messages(void **state) {
    (void)state;
    static const char *const not_objects[] = {
        "",
        "   ",
        "x",
        "{",
        "[]",
        "[{\"op\":\"init\"}]",
        "1",
        "\"init\"",
        "null",
        "{\"op\":\"init\",}",
        "{\"op\":NaN}",
        "{\"n\":1e999}",
        "{\"op\":\"\xff\xfe\"}",
        "{\"op\":\"\xed\xa0\x80\"}",
        "{\"op\":\"a\nb\"}",
        "{\"op\":\"init\"} trailing",
        "\xef\xbb\xbf{\"op\":\"init\"}",
    };
    for (size_t i = 0; i < sizeof not_objects / sizeof *not_objects; i++) {
        receive(c, not_objects[i]);
        struct inst_value *e = expect_error(c, "param-malformed", "Invalid op");
        assert_null(inst_getz(e, "client-event-id"));
    }
    static const char *const ops[] = {"{'client-event-id':'x'}",
                                      "{'op':null,'client-event-id':'x'}",
                                      "{'op':7,'client-event-id':'x'}",
                                      "{'op':['init'],'client-event-id':'x'}",
                                      "{'op':'dance','client-event-id':'x'}",
                                      "{'op':'refresh','client-event-id':'x'}",
                                      "{'op':'refresh-presence','client-event-id':'x'}",
                                      "{'op':'server-broadcast','client-event-id':'x'}",
                                      "{'op':'refresh-sync-table','client-event-id':'x'}",
                                      "{'op':'sse-init','client-event-id':'x'}",
                                      "{'op':'error','client-event-id':'x'}",
                                      "{'op':'start-everything','client-event-id':'x'}"};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
            say(&world, c, ops[i]);
            struct inst_value *e = expect_error(c, "param-malformed", "Invalid op");
            expect_text(inst_getz(e, "client-event-id"), "x");
            assert_non_null(inst_getz(inst_getz(e, "hint"), "op"));
        }
        if (round == 0)
            init();
    }
    assert_false(c->is_closed);
}

static void huge_messages(void **state) {
    (void)state;
    init();
    size_t len = 1 << 20;
    char *text = malloc(len + 200);
    size_t n = (size_t)sprintf(text, "{\"op\":\"");
    memset(text + n, 'x', len);
    strcpy(text + n + len, "\"}");
    receive(c, text);
    expect_error(c, "param-malformed", "Invalid op");
    assert_true(strlen(c->taken->text) < 2000); /* no echo of a megabyte */
    n = (size_t)sprintf(text, "{\"op\":\"add-query\",\"client-event-id\":\"k\",\"q\":{\"");
    memset(text + n, 'y', len);
    strcpy(text + n + len, "\":{}}}");
    receive(c, text);
    turn(&world);
    forget_messages(c);
    /* 10,000 levels */
    n = (size_t)sprintf(text, "{\"op\":\"add-query\",\"q\":");
    for (int i = 0; i < 10000; i++)
        n += (size_t)sprintf(text + n, "{\"a\":");
    n += (size_t)sprintf(text + n, "1");
    memset(text + n, '}', 10001);
    text[n + 10001] = 0;
    receive(c, text);
    expect_error(c, "param-malformed", "Invalid op");
    free(text);
    text = calloc(1, ((size_t)32 << 20) + 10);
    memset(text, ' ', ((size_t)32 << 20) + 5);
    text[0] = '{';
    inst_session_receive(c->session, text, ((size_t)32 << 20) + 5);
    expect_error(c, "param-malformed", "Invalid op");
    free(text);
}

static void odd_members(void **state) {
    (void)state;
    init();
    say(&world, c, "{'op':'add-query','client-event-id':'k'}");
    struct inst_value *e = expect_error(c, "validation-failed",
                                        "Validation failed for add-query: Query can not be null.");
    expect_json(inst_getz(e, "hint"),
                "{'data-type':'add-query','input':{'q':null},'errors':[{'message':"
                "'Query can not be null.'}]}");
    say(&world, c, "{'op':'add-query','q':null}");
    expect_error(c, "validation-failed", "Validation failed for add-query: Query can not be null.");
    static const char *const qs[] = {"7", "'x'", "[]", "true"};
    for (size_t i = 0; i < 4; i++) {
        say(&world, c, "{'op':'add-query','q':%s}", qs[i]);
        e = expect(c, "error");
        expect_text(inst_getz(e, "type"), "validation-failed");
        expect_text(inst_getz(inst_getz(e, "original-event"), "op"), "add-query");
    }
    say(&world, c, "{'op':'add-query','q':{'todos':{}},'return-type':'csv'}");
    expect_error(c, "param-malformed", "Malformed parameter: [\"return-type\"]");
    say(&world, c, "{'op':'remove-query','client-event-id':[1,{'a':2}],'q':{'x':{}}}");
    e = expect(c, "remove-query-ok");
    expect_json(inst_getz(e, "client-event-id"), "[1,{'a':2}]");
    expect_json(inst_getz(e, "q"), "{'x':{}}");
    say(&world, c, "{'op':'remove-query'}");
    expect(c, "remove-query-ok");
    say(&world, c,
        "{'op':'transact','tx-steps':[],'created':1e308,'order':-0,'client-event-id':5}");
    turn(&world);
    e = expect(c, "transact-ok");
    assert_true(inst_getz(e, "client-event-id")->u.num == 5);
}

/* ---- queries ---- */

static void query_lifecycle(void **state) {
    (void)state;
    init();
    struct inst_server_stats stats;
    say(&world, c,
        "{'op':'add-query','client-event-id':'1','q':{'todos':{'$':{'where':{'title':'a'"
        ",'id':'#1'}}}}}");
    struct inst_value *m = expect(c, "add-query-ok");
    expect_text(inst_getz(m, "client-event-id"), "1");
    expect_json(inst_getz(m, "result"),
                "[{'data':{'datalog-result':{'join-rows':[[]]}},'child-nodes':[]}]");
    assert_int_equal(inst_getz(m, "result-meta")->tag, INST_NULL);
    assert_int_equal(inst_getz(m, "processed-tx-id")->tag, INST_NUMBER);
    say(&world, c,
        "{'op':'add-query','client-event-id':'2','q':{'todos':{'$':{'where':{'id':'#1',"
        "'title':'a'}}}}}");
    m = expect(c, "add-query-exists");
    expect_text(inst_getz(m, "client-event-id"), "2");
    assert_non_null(inst_getz(m, "q"));
    assert_null(inst_getz(m, "result"));
    /* another session shares the computation */
    struct connection *d = enter(&world, false);
    say(&world, d, "{'op':'add-query','q':{'todos':{'$':{'where':{'id':'#1','title':'a'}}}}}");
    expect(d, "add-query-ok");
    inst_server_stats(world.server, &stats);
    assert_int_equal(stats.computations, 1);
    assert_int_equal(stats.computations_run, 1);
    assert_int_equal(stats.subscriptions, 2);
    say(&world, c, "{'op':'remove-query','q':{'todos':{'$':{'where':{'id':'#1','title':'a'}}}}}");
    expect(c, "remove-query-ok");
    inst_server_stats(world.server, &stats);
    assert_int_equal(stats.computations, 1);
    disconnect(d);
    inst_server_stats(world.server, &stats);
    assert_int_equal(stats.computations, 0);
    assert_int_equal(stats.subscriptions, 0);
}

static void trees(void **state) {
    (void)state;
    init();
    transact(&world, c,
             "[['add-triple','#1','@todos.id','#1'],"
             "['add-triple','#1','@todos.title','a']]");
    say(&world, c, "{'op':'add-query','q':{'todos':{}},'return-type':'tree'}");
    struct inst_value *m = expect(c, "add-query-ok");
    assert_int_equal(inst_getz(inst_getz(m, "result"), "todos")->len, 1);
    expect_json(inst_getz(m, "result-meta"), "{'page-info':{},'aggregate':{}}");
    transact(&world, c, "[['add-triple','#1','@todos.title','b']]");
    m = expect(c, "refresh-ok");
    const struct inst_value *computation = &inst_getz(m, "computations")->u.items[0];
    const struct inst_value *todo =
        &inst_getz(inst_getz(computation, "instaql-result"), "todos")->u.items[0];
    expect_text(inst_getz(todo, "title"), "b");
}

static void queries_wait_for_the_commit(void **state) {
    (void)state;
    init();
    say(&world, c,
        "{'op':'transact','client-event-id':'t','tx-steps':["
        "['add-triple','#1','@todos.id','#1']]}");
    say(&world, c, "{'op':'add-query','client-event-id':'q','q':{'todos':{}}}");
    say(&world, c, "{'op':'remove-query','client-event-id':'r','q':{'todos':{}}}");
    struct connection *d = connect_session(&world);
    say(&world, d, "{'op':'init','app-id':'%s'}", world.app.id);
    say(&world, d, "{'op':'add-query','q':{'todos':{}}}");
    expect_nothing(c);
    expect_nothing(d);
    assert_true(inst_server_is_pending(world.server));
    turn(&world);
    assert_false(inst_server_is_pending(world.server));
    expect(c, "transact-ok");
    struct inst_value *m = expect(c, "add-query-ok");
    const struct inst_value *rows = inst_getz(
        inst_getz(inst_getz(&inst_getz(m, "result")->u.items[0], "data"), "datalog-result"),
        "join-rows");
    assert_int_equal(rows->u.items[0].len, 2); /* id and the null of title */
    assert_true(inst_getz(m, "processed-tx-id")->u.num >= 1);
    expect(c, "remove-query-ok");
    expect(d, "init-ok");
    expect(d, "add-query-ok");
    disconnect(d);
}

static void too_many_queries(void **state) {
    (void)state;
    init();
    c->is_deaf = true;
    for (int i = 0; i < 5000; i++)
        say(&world, c, "{'op':'add-query','q':{'n%d':{}}}", i);
    c->is_deaf = false;
    say(&world, c, "{'op':'add-query','q':{'todos':{}}}");
    expect_error(c, "validation-failed",
                 "Validation failed for add-query: A session takes at most 5000 live queries.");
}

static void closing_with_everything_open(void **state) {
    (void)state;
    struct connection *d = enter(&world, false);
    say(&world, d, "{'op':'add-query','q':{'todos':{}}}");
    say(&world, d, "{'op':'transact','tx-steps':[['add-triple','#1','@todos.id','#1']]}");
    say(&world, d, "{'op':'add-query','q':{'others':{}}}");
    disconnect(d); /* its transaction still counts, nobody is told */
    turn(&world);
    expect_state(&world, 1, "todos.id=#1 todos.title=null");
}

static void waiting_is_bounded(void **state) {
    (void)state;
    init();
    size_t len = (size_t)17 << 20;
    char *text = malloc(len + 1);
    memset(text, ' ', len);
    text[len] = 0;
    memcpy(text, "{\"op\":\"add-query\",\"q\":{\"t\":{}}}", 31);
    say(&world, c, "{'op':'transact','tx-steps':[]}");
    for (int i = 0; i < 4; i++)
        receive(c, text);
    assert_true(c->is_closed);
    free(text);
    turn(&world);
}

/* ---- restart ---- */

static void events_are_known_after_a_restart(void **state) {
    (void)state;
    char dir[] = "/tmp/inst-server-XXXXXX", path[64], command[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/app.db", dir);
    struct world w;
    world_open(&w, path, schema);
    struct connection *d = enter(&w, false);
    const char *message = "{'op':'transact','client-event-id':"
                          "'dddddddd-0000-4000-8000-000000000001','tx-steps':["
                          "['add-triple','#1','@todos.title','%s']]}";
    say(&w, d, message, "one");
    turn(&w);
    double tx = inst_getz(expect(d, "transact-ok"), "tx-id")->u.num;
    disconnect(d);
    inst_server_free(w.server);
    inst_apps_close(w.apps);
    struct inst_err err = {0};
    assert_int_equal(inst_apps_open_file(path, NULL, &w.env, &w.apps, &err), INST_OK);
    world_start(&w);
    d = enter(&w, false);
    say(&w, d, message, "two");
    turn(&w);
    assert_true(inst_getz(expect(d, "transact-ok"), "tx-id")->u.num == tx);
    expect_state(&w, 1, "todos.title='one'");
    assert_true(transact(&w, d, "[]") == tx + 1);
    disconnect(d);
    world_close(&w);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* ---- HTTP ---- */

static int http(const char *method, const char *path, const char *body,
                struct inst_http_response *response) {
    char *text = quoted(body);
    struct inst_http_request request = {
        .method = method, .path = path, .query = "", .body = text, .body_len = strlen(text)};
    inst_server_http(world.server, &request, response);
    free(text);
    return response->status;
}

static void expect_http(int status, const char *method, const char *path, const char *body,
                        const char *wanted) {
    struct inst_http_response response;
    assert_int_equal(http(method, path, body, &response), status);
    char *text = quoted(wanted);
    assert_non_null(strstr(response.body.data, text));
    free(text);
    inst_http_response_clear(&response);
}

static void http_requests(void **state) {
    (void)state;
    expect_http(200, "GET", "/health/system", "", "{'wal':'ok'}");
    expect_http(200, "GET", "/", "", "");
    struct inst_http_response response;
    assert_int_equal(http("GET", "/nowhere", "", &response), 404);
    assert_string_equal(response.body.data,
                        "{\"message\":\"Oops! We couldn't match this route.\"}");
    inst_http_response_clear(&response);
    assert_int_equal(http("POST", "/health/system", "", &response), 404);
    inst_http_response_clear(&response);
    const char *path = "/dash/apps/ephemeral";
    expect_http(400, "POST", path, "nonsense", "'type':'param-malformed'");
    expect_http(400, "POST", path, "[]", "'type':'param-malformed'");
    expect_http(400, "POST", path, "{}", "Missing parameter: [\\'body\\' \\'title\\']");
    expect_http(400, "POST", path, "{'title':'  '}", "'in':['body','title']");
    expect_http(200, "POST", path, "{'title':7}", "'title':'7'"); /* http.md 1.2 */
    expect_http(400, "POST", path, "{'title':'t','schema':7}", "'type':'param-malformed'");
    expect_http(400, "POST", path,
                "{'title':'t','rules':{'code':{'todos':{'allow':{'view':'nope'}}}}}",
                "undeclared reference to");
    expect_http(400, "POST", path, "{'title':'t','perms':{'todos':{'bind':['a']}}}",
                "'in':['todos','bind']");
}

static void http_makes_an_app(void **state) {
    (void)state;
    struct world w;
    world_open(&w, ":memory:", NULL);
    struct inst_http_response response;
    struct inst_value json;
    struct inst_arena arena;
    struct inst_err err = {0};
    char *body = quoted("{'title':' My app ','rules':{'code':{}},'schema':{'entities':{'books':"
                        "{'attrs':{'name':{'valueType':'string','required':true,'config':"
                        "{'indexed':true,'unique':true}}}}},'links':{}}}");
    struct inst_http_request request = {.method = "POST",
                                        .path = "/dash/apps/ephemeral",
                                        .query = "",
                                        .body = body,
                                        .body_len = strlen(body)};
    inst_server_http(w.server, &request, &response);
    free(body);
    assert_int_equal(response.status, 200);
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, response.body.data, response.body.len, &json, &err),
                     INST_OK);
    const struct inst_value *app = inst_getz(&json, "app");
    expect_text(inst_getz(app, "title"), "My app");
    assert_int_equal(inst_getz(app, "id")->len, 36);
    assert_int_equal(inst_getz(app, "admin-token")->len, 36);
    assert_true(inst_getz(&json, "expires_ms")->u.num > (double)w.now);
    expect_text(inst_getz(app, "created_at"), "2023-11-14T22:13:20Z");
    memcpy(w.app.id, inst_getz(app, "id")->u.str, 36);
    learn_attrs(&w);
    assert_non_null(attr_id(&w, "books.name", 10));
    assert_non_null(attr_id(&w, "books.id", 8));
    inst_arena_free(&arena);
    inst_http_response_clear(&response);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(init_ok),
        T(init_refusals),
        T(apps_and_tokens),
        T(ops_before_init),
        T(bad_messages),
        T(huge_messages),
        T(odd_members),
        T(query_lifecycle),
        T(trees),
        T(queries_wait_for_the_commit),
        T(too_many_queries),
        T(closing_with_everything_open),
        T(waiting_is_bounded),
        T(events_are_known_after_a_restart),
        T(http_requests),
        T(http_makes_an_app),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
