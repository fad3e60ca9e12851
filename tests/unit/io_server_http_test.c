/*
 * What an HTTP route of the engine is given and what goes out for it.
 */
#include "io_server_fixture.h"

#include "server/http_routes.h"

#include <unistd.h>

static struct world world;
static char dir[] = "/tmp/inst-server-http-XXXXXX";

static int set_up(void **state) {
    (void)state;
    struct inst_err err = {0};
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    assert_non_null(mkdtemp(dir));
    world = (struct world){.now = 1700000000000, .random = 7};
    world.env = (struct inst_env){&world, world_now, world_random, NULL};
    assert_int_equal(inst_apps_open_dir(dir, NULL, &world.env, &world.apps, &err), INST_OK);
    world_start(&world);
    int64_t expires = world.now + 1000;
    assert_int_equal(
        inst_server_create_app(world.server, "A", NULL, expires, &world.app, world.token, &err),
        INST_OK);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[64];
    inst_server_free(world.server);
    inst_apps_close(world.apps);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* ---- reading ---- */

static void fields(void **state) {
    (void)state;
    const struct inst_http_field list[] = {{"app-id", "a"}, {"path", "\xfc"}, {"app-id", "b"}};
    struct inst_http_request request = {.fields = list, .field_count = 3};
    assert_string_equal(inst_http_header(&request, "app-id"), "a");
    assert_string_equal(inst_http_header(&request, "path"), "\xfc");
    assert_null(inst_http_header(&request, "app"));
}

static void query_parameters(void **state) {
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    const char *text;
    struct inst_err err = {0};
    struct inst_http_request request = {
        .query = "a=1&email=x%40y.de&a=2&empty=&bare&sp=a+b%2Bc%20d&u=%C3%BC&=z&&nul=%00&cut=%4"
                 "&odd=%zz&latin=%FC&last=%2"};
    static const struct {
        const char *name, *value; /* NULL: none; "!": refused */
    } cases[] = {
        {"a", "1"},      {"email", "x@y.de"}, {"empty", ""},  {"bare", ""},  {"sp", "a b+c d"},
        {"u", "\u00fc"}, {"emai", NULL},      {"b", NULL},    {"", "z"},     {"nul", "!"},
        {"cut", "!"},    {"odd", "!"},        {"latin", "!"}, {"last", "!"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum inst_status st = inst_http_param(&request, cases[i].name, &arena, &text, &err);
        if (cases[i].value != NULL && strcmp(cases[i].value, "!") == 0) {
            assert_int_equal(st, INST_FAILED);
            assert_string_equal(err.type, "param-malformed");
            char wanted[64];
            snprintf(wanted, sizeof wanted, "Malformed parameter: [\"query-params\" \"%s\"]",
                     cases[i].name);
            assert_string_equal(err.message, wanted);
            inst_err_clear(&err);
            continue;
        }
        assert_int_equal(st, INST_OK);
        if (cases[i].value == NULL)
            assert_null(text);
        else
            assert_string_equal(text, cases[i].value);
    }
    request.query = "";
    assert_int_equal(inst_http_param(&request, "a", &arena, &text, &err), INST_OK);
    assert_null(text);
    inst_arena_free(&arena);
}

static void body_members(void **state) {
    (void)state;
    struct inst_arena arena;
    struct inst_value body;
    struct inst_err err = {0};
    const char *text;
    char id[INST_UUID_TEXT + 1];
    inst_arena_init(&arena);
    char *json = quoted("{'n':7.5,'t':' a\\tb ','blank':' ','no':null,'list':[],'nul':'a\\u0000',"
                        "'id':' AAAAAAAA-0000-4000-8000-000000000001 ','bad':'x'}");
    assert_int_equal(inst_json_parse(&arena, json, strlen(json), &body, &err), INST_OK);
    free(json);
    assert_int_equal(inst_http_body_text(&body, "n", &arena, &text, &err), INST_OK);
    assert_string_equal(text, "7.5");
    assert_int_equal(inst_http_body_text(&body, "t", &arena, &text, &err), INST_OK);
    assert_string_equal(text, "a\tb");
    assert_int_equal(inst_http_body_uuid(&body, "id", id, &err), INST_OK);
    assert_string_equal(id, "aaaaaaaa-0000-4000-8000-000000000001");
    static const char *const missing[] = {"no", "nowhere"}, *const malformed[] = {"blank", "list",
                                                                                  "nul"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(inst_http_body_text(&body, missing[i], &arena, &text, &err), INST_FAILED);
        assert_string_equal(err.type, "param-missing");
        assert_int_equal(inst_http_body_uuid(&body, missing[i], id, &err), INST_FAILED);
        assert_string_equal(err.type, "param-missing");
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(inst_http_body_text(&body, malformed[i], &arena, &text, &err),
                         INST_FAILED);
        assert_string_equal(err.type, "param-malformed");
    }
    assert_int_equal(inst_http_body_uuid(&body, "bad", id, &err), INST_FAILED);
    assert_string_equal(err.message, "Malformed parameter: [\"body\" \"bad\"]");
    inst_err_clear(&err);
    inst_arena_free(&arena);
}

/* ---- who asks ---- */

static void expect_refused(const struct inst_http_request *request, const char *type,
                           const char *message) {
    struct inst_app *app;
    struct inst_err err = {0};
    assert_int_equal(inst_http_admin_app(world.server, request, &app, &err), INST_FAILED);
    assert_string_equal(err.type, type);
    assert_string_equal(err.message, message);
    assert_int_equal(err.status, 400);
    assert_null(strstr(err.hint, "secret"));
    inst_err_clear(&err);
}

static void admin(void **state) {
    (void)state;
    char bearer[64], query[64];
    struct inst_app *app = NULL;
    struct inst_err err = {0};
    snprintf(bearer, sizeof bearer, "Bearer %s", world.token);
    snprintf(query, sizeof query, "app_id=%s", world.app.id);
    const char *stranger = "aaaaaaaa-0000-4000-8000-000000000001";
    struct inst_http_field list[] = {{"app-id", world.app.id}, {"authorization", bearer}};
    struct inst_http_request request = {.query = "", .fields = list, .field_count = 2};
    assert_int_equal(inst_http_admin_app(world.server, &request, &app, &err), INST_OK);
    assert_string_equal(app->info.id, world.app.id);
    /* app_id as a query parameter, and a bare token */
    list[0].name = "x";
    list[1].value = world.token;
    request.query = query;
    assert_int_equal(inst_http_admin_app(world.server, &request, &app, &err), INST_OK);
    request.query = "";
    expect_refused(&request, "param-missing", "Missing parameter: [\"headers\" \"app-id\"]");
    request.query = "app_id=7";
    expect_refused(&request, "param-malformed",
                   "Malformed parameter: [\"query-params\" \"app_id\"]");
    list[0].name = "app-id";
    list[0].value = "7";
    expect_refused(&request, "param-malformed", "Malformed parameter: [\"headers\" \"app-id\"]");
    list[0].value = world.app.id;
    static const char *const not_tokens[] = {"Bearer secret", "secret", "", "Bearer ",
                                             "Bearer undefined"};
    for (size_t i = 0; i < 5; i++) {
        list[1].value = not_tokens[i];
        expect_refused(&request, "param-malformed",
                       "Malformed parameter: [\"headers\" \"authorization\"]");
    }
    list[1].value = stranger;
    expect_refused(&request, "record-not-found", "Record not found: app-admin-token");
    /* an app that is not there, with a token of another */
    list[0].value = stranger;
    list[1].value = bearer;
    expect_refused(&request, "record-not-found", "Record not found: app-admin-token");
    request.field_count = 1;
    expect_refused(&request, "param-missing", "Missing parameter: [\"headers\" \"authorization\"]");
    assert_int_equal(inst_http_app(world.server, &request, &app, &err), INST_FAILED);
    assert_string_equal(err.message, "Record not found: app");
    inst_err_clear(&err);
    inst_arena_reset(&world.server->scratch);
}

static void a_route_sees_what_is_committed(void **state) {
    (void)state;
    struct connection *c = connect_session(&world);
    struct inst_app *app = NULL;
    struct inst_err err = {0};
    struct inst_http_field list[] = {{"app-id", world.app.id}};
    struct inst_http_request request = {.query = "", .fields = list, .field_count = 1};
    say(&world, c, "{'op':'init','app-id':'%s','__admin-token':'%s'}", world.app.id, world.token);
    expect(c, "init-ok");
    say(&world, c,
        "{'op':'transact','tx-steps':[['add-attr',{'id':'#1','forward-identity':['#2','t','x'],"
        "'value-type':'blob','cardinality':'one','unique?':false,'index?':false}]]}");
    assert_int_equal(take(c)->tag, INST_UNDEFINED);
    assert_int_equal(inst_http_app(world.server, &request, &app, &err), INST_OK);
    assert_false(app->is_group_open);
    expect(c, "transact-ok");
    disconnect(c);
}

static void bearers(void **state) {
    (void)state;
    struct inst_http_field list[] = {{"authorization", NULL}};
    struct inst_http_request request = {.fields = list, .field_count = 1};
    static const char *const cases[][2] = {
        {"Bearer a", "a"},         {"bearer  a ", "a"},   {"a", "a"}, {"Bearer undefined", NULL},
        {"undefined", NULL},       {"Bearer null", NULL}, {"", NULL}, {"Bearer ", NULL},
        {"Bearerabc", "Bearerabc"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        list[0].value = cases[i][0];
        const char *token = inst_http_bearer(world.server, &request);
        if (cases[i][1] == NULL)
            assert_null(token);
        else
            assert_string_equal(token, cases[i][1]);
    }
    request.field_count = 0;
    assert_null(inst_http_bearer(world.server, &request));
    inst_arena_reset(&world.server->scratch);
}

/* ---- routes with segments ---- */

static int get(const char *path, const char *wanted, const char *unwanted) {
    struct inst_http_request request = {
        .method = "GET", .path = path, .query = "", .body = "", .body_len = 0};
    struct inst_http_response response;
    inst_server_http(world.server, &request, &response);
    assert_false(response.body.failed || response.headers.failed);
    assert_non_null(strstr(response.body.data, wanted));
    if (unwanted != NULL)
        assert_null(strstr(response.body.data, unwanted));
    int status = response.status;
    inst_http_response_clear(&response);
    return status;
}

static void path_parameters(void **state) {
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "/dash/apps/ephemeral/%s", world.app.id);
    assert_int_equal(get(path, "\"title\":\"A\"", "admin-token"), 200);
    for (char *c = path; *c; c++)
        if (*c >= 'a' && *c <= 'f' && c > path + 20)
            *c -= 32;
    assert_int_equal(get(path, world.app.id, NULL), 200);
    assert_int_equal(get("/dash/apps/ephemeral/x", "[\\\"params\\\" \\\"id\\\"]", NULL), 400);
    const char *stranger = "/dash/apps/ephemeral/aaaaaaaa-0000-4000-8000-000000000001";
    assert_int_equal(get(stranger, "Record not found: app", NULL), 400);
    static const char *const nowhere[] = {"/dash/apps/ephemeral/", "/dash/apps/ephemeral/a/b",
                                          "/dash/app/ephemeral", "dash/apps/ephemeral/a", ""};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(get(nowhere[i], "couldn't match", NULL), 404);
    /* an app that is there for good is not shown to everybody */
    struct inst_err err = {0};
    struct inst_app_info info;
    char token[INST_UUID_TEXT + 1];
    assert_int_equal(inst_server_create_app(world.server, "B", NULL, 0, &info, token, &err),
                     INST_OK);
    snprintf(path, sizeof path, "/dash/apps/ephemeral/%s", info.id);
    assert_int_equal(get(path, "Record not found: app", "\"B\""), 400);
}

static void header_lines(void **state) {
    (void)state;
    struct inst_http_response response = {0};
    inst_http_add_header(&response, "Location", "/x?y");
    assert_string_equal(response.headers.data, "Location: /x?y\r\n");
    static const char *const bad[][2] = {{"A", "b\r\nC: d"}, {"A", "\n"},  {"A: b", "c"},
                                         {"", "c"},          {"A\n", "c"}, {"A", "\x7f"}};
    for (size_t i = 0; i < 6; i++) {
        inst_buf_clear(&response.headers);
        inst_http_add_header(&response, bad[i][0], bad[i][1]);
        assert_true(response.headers.failed);
    }
    inst_http_response_clear(&response);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        cmocka_unit_test(fields),
        cmocka_unit_test(query_parameters),
        cmocka_unit_test(body_members),
        T(admin),
        T(a_route_sees_what_is_committed),
        T(bearers),
        T(path_parameters),
        cmocka_unit_test(header_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
