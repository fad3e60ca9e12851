/*
 * Apps as a whole: cleared, expired, made by everybody or not; what belongs to the hosted service.
 */
#include "io_server_http_fixture.h"

#define BEARER "authorization: {bearer}"

static const char schema[] =
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','required':false,"
    "'config':{'indexed':true,'unique':true}}}},"
    "'$users':{'attrs':{'nick':{'valueType':'string','required':false,'config':{}}}}},"
    "'links':{}}";

static struct world world;
static char dir[32], operator_field[128];

static int set_up(void **state) {
    (void)state;
    struct inst_err err = {0};
    char token[INST_OPERATOR_TOKEN + 1];
    world_open_dir(&world, dir, schema);
    assert_int_equal(inst_server_add_operator(world.server, "test", token, &err), INST_OK);
    snprintf(operator_field, sizeof operator_field, "authorization: Bearer %s", token);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_close_dir(&world, dir);
    return 0;
}

static size_t count_of(const char *query, const char *etype) {
    char body[128];
    snprintf(body, sizeof body, "{'query':{'%s':{}}}", query);
    return inst_getz(done(&world, "POST", "/admin/query", ADMIN, body), etype)->len;
}

static void cleared(void **state) {
    (void)state;
    done(&world, "POST", "/admin/transact", ADMIN,
         "{'steps':[['update','todos','#1',{'title':'a'}]]}");
    done(&world, "POST", "/admin/refresh_tokens", ADMIN, "{'email':'a@example.com'}");
    done(&world, "POST", "/dash/apps/{app}/rules", BEARER,
         "{'code':{'todos':{'allow':{'view':'false'}}}}");
    assert_int_equal(count_of("todos", "todos"), 1);
    const struct inst_value *got =
        done(&world, "GET", "/dash/apps/{app}/rule-versions", BEARER, NULL);
    assert_int_equal(inst_getz(got, "versions")->len, 1);
    got = done(&world, "GET", "/dash/apps/{app}/soft_deleted_attrs", BEARER, NULL);
    expect_body(&world, got, "{'attrs':[],'grace-period-days':2}");

    expect_body(&world, done(&world, "POST", "/dash/apps/{app}/clear", BEARER, "{}"),
                "{'ok':true}");
    assert_int_equal(count_of("$users", "$users"), 1);
    got = done(&world, "GET", "/dash/apps/{app}/schema/pull", BEARER, NULL);
    assert_null(inst_getz(inst_getz(inst_getz(got, "schema"), "blobs"), "todos"));
    expect_body(&world, done(&world, "GET", "/dash/apps/{app}/perms/pull", BEARER, NULL),
                "{'perms':null}");
    expect_body(&world, done(&world, "GET", "/dash/apps/{app}/rule-versions", BEARER, NULL),
                "{'versions':[]}");
    /* todos.id, todos.title, $users.nick: there, under names of their own */
    got = done(&world, "GET", "/admin/soft_deleted_attrs", ADMIN, NULL);
    const struct inst_value *attrs = inst_getz(got, "attrs");
    assert_int_equal(attrs->len, 3);
    for (uint32_t i = 0; i < attrs->len; i++)
        assert_int_equal(inst_getz(&attrs->u.items[i], "deletion-marked-at")->tag, INST_STRING);
    /* Again: nothing is left to do. The names are free. */
    done(&world, "POST", "/dash/apps/{app}/clear", BEARER, NULL);
    done(&world, "POST", "/admin/transact", ADMIN, "{'steps':[['update','todos','#2',{'n':1}]]}");
    assert_int_equal(count_of("todos", "todos"), 1);
}

static void cleared_while_read_only(void **state) {
    (void)state;
    done(&world, "POST", "/dash/apps/{app}/status", BEARER, "{'status':'read-only'}");
    denied(&world, "POST", "/dash/apps/{app}/clear", BEARER, NULL, "app-read-only",
           "This app is in read-only mode.");
    done(&world, "POST", "/dash/apps/{app}/status", BEARER, "{'status':'active'}");
    assert_int_equal(
        inst_getz(done(&world, "GET", "/admin/soft_deleted_attrs", ADMIN, NULL), "attrs")->len, 0);
}

/* ---- apps that expire ---- */

static void make_ephemeral(char id[INST_UUID_TEXT + 1], char token[INST_UUID_TEXT + 1]) {
    const struct inst_value *app = inst_getz(
        done(&world, "POST", "/dash/apps/ephemeral", "a: b", "{'title':' Short '}"), "app");
    expect_text(inst_getz(app, "title"), "Short");
    snprintf(id, INST_UUID_TEXT + 1, "%s", inst_getz(app, "id")->u.str);
    snprintf(token, INST_UUID_TEXT + 1, "%s", inst_getz(app, "admin-token")->u.str);
}

static int status_of(const char *id) {
    char target[128];
    snprintf(target, sizeof target, "/dash/apps/%s", id);
    return call(&world, "GET", target, operator_field, NULL)->status;
}

static void expired(void **state) {
    (void)state;
    enum { DAY = 24 * 60 * 60 * 1000 };
    char one[INST_UUID_TEXT + 1], two[INST_UUID_TEXT + 1], kept[INST_UUID_TEXT + 1];
    char token[INST_UUID_TEXT + 1], target[128], body[128];
    make_ephemeral(one, token);
    make_ephemeral(two, token);
    make_ephemeral(kept, token);
    snprintf(target, sizeof target, "/dash/apps/ephemeral/%s/claim", kept);
    snprintf(body, sizeof body, "{'app_id':'%s','token':'%s'}", kept, token);
    done(&world, "POST", target, operator_field, body);
    inst_server_expire(world.server);
    assert_int_equal(status_of(one), 200);
    world.now += 14ll * DAY - 1000;
    inst_server_expire(world.server);
    assert_int_equal(status_of(two), 200);
    world.now += 2000;
    inst_server_expire(world.server);
    assert_int_equal(status_of(one), 400);
    assert_int_equal(status_of(two), 400);
    assert_int_equal(status_of(kept), 200);
    assert_int_equal(status_of(world.app.id), 200);
}

static void not_for_everybody(void **state) {
    (void)state;
    inst_server_allow_ephemeral(world.server, false);
    denied(&world, "POST", "/dash/apps/ephemeral", "a: b", "{'title':'x'}", "app-creation-disabled",
           "This backend makes no apps for everybody: ask its operator for one.");
    done(&world, "POST", "/superadmin/apps", operator_field, "{'title':'x'}");
}

/* ---- what belongs to the hosted service ---- */

static void no_teams(void **state) {
    (void)state;
    static const char *const targets[][2] = {
        {"POST", "/dash/apps/{app}/invite/send"},
        {"DELETE", "/dash/apps/{app}/members/remove"},
        {"POST", "/dash/orgs"},
        {"POST", "/superadmin/apps/{app}/transfers/send"},
    };
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        denied(&world, targets[i][0], targets[i][1], operator_field, "{}", "validation-failed",
               "Validation failed for team: There are no teams here: whoever has an operator's "
               "token manages every app.");
        /* Strangers, and who has no more than an app's token, learn nothing more. */
        assert_int_equal(call(&world, targets[i][0], targets[i][1], "a: b", "{}")->status, 400);
        assert_int_equal(call(&world, targets[i][0], targets[i][1], BEARER, "{}")->status, 401);
    }
    denied(&world, "POST", "/dash/auth/send_magic_code", "a: b", "{'email':'a@example.com'}",
           "signups-closed",
           "Nobody signs up here: use an operator's token, which `instant-lua serve` shows.");
    denied(&world, "GET", "/dash/apps/{app}/billing", operator_field, NULL, "billing-closed",
           "This backend has no plans and sends no bills.");
    expect_body(&world, done(&world, "POST", "/dash/signout", "a: b", "{}"), "{}");
    done(&world, "GET", "/dash/cli/version", "a: b", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(cleared), T(cleared_while_read_only), T(expired), T(not_for_everybody), T(no_teams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
