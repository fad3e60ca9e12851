/*
 * An app that is read-only or disabled: who is told, what is refused, what still works, what is
 * kept.
 */
#include "io_server_http_fixture.h"

#include "server/limits.h"

#define READ_ONLY "app-read-only", "This app is in read-only mode."
#define DISABLED "app-disabled", "This app is currently disabled."
#define STATUS "/dash/apps/{app}/status"
#define BEARER "authorization: {bearer}"

static const char schema[] =
    "{'entities':{'todos':{'attrs':{"
    "'title':{'valueType':'string','required':false,'config':{'indexed':true,'unique':true}}}}},"
    "'links':{}}";

static struct world world;
static char dir[32];

static int set_up(void **state) {
    (void)state;
    world_open_dir(&world, dir, schema);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_close_dir(&world, dir);
    return 0;
}

static void becomes(const char *status) {
    struct inst_err err = {0};
    const char *now;
    if (inst_server_set_app_status(world.server, world.app.id, status, &err) != INST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(inst_server_app_status(world.server, world.app.id, &now, &err), INST_OK);
    assert_string_equal(now, status);
}

static void is_told(struct connection *c, const char *status) {
    struct inst_value *m = expect(c, "app-status-changed");
    expect_text(inst_getz(m, "status"), status);
    assert_true(inst_getz(m, "trace-id")->tag == INST_STRING);
}

static void finds(const char *status) {
    struct connection *c = connect_session(&world);
    say(&world, c, "{'op':'init','app-id':'%s'}", world.app.id);
    turn(&world);
    struct inst_value *m = expect(c, "init-ok");
    expect_text(inst_getz(inst_getz(m, "app-status"), "status"), status);
    disconnect(c);
}

static void is_hint(const struct inst_value *error, const char *status) {
    expect_text(inst_getz(inst_getz(error, "hint"), "status"), status);
    assert_true(inst_getz(error, "status")->u.num == 400);
}

#define WRITE "[['add-triple','#1','@todos.id','#1'],['add-triple','#1','@todos.title','a']]"

static void read_only(void **state) {
    (void)state;
    struct connection *c = enter(&world, false), *admin = enter(&world, true);
    becomes("active"); /* as it was: nobody is told */
    expect_nothing(c);
    becomes("read-only");
    is_told(c, "read-only");
    is_told(admin, "read-only");
    becomes("read-only");
    expect_nothing(c);
    finds("read-only");
    is_hint(refused(&world, c, WRITE, READ_ONLY), "read-only");
    is_hint(refused(&world, admin, WRITE, READ_ONLY), "read-only");
    /* everything else goes on */
    say(&world, c, "{'op':'add-query','q':{'todos':{}}}");
    expect(c, "add-query-ok");
    say(&world, c, "{'op':'join-room','room-id':'r'}");
    turn(&world);
    expect(c, "join-room-ok");
    expect(c, "refresh-presence");
    becomes("active");
    is_told(c, "active");
    is_told(admin, "active");
    transact(&world, admin, WRITE);
    expect(c, "refresh-ok");
    disconnect(c);
    disconnect(admin);
}

static void disabled(void **state) {
    (void)state;
    struct connection *c = enter(&world, false), *other = enter(&world, false);
    say(&world, c, "{'op':'add-query','q':{'todos':{}}}");
    expect(c, "add-query-ok");
    say(&world, c, "{'op':'join-room','room-id':'r'}");
    turn(&world);
    expect(c, "join-room-ok");
    expect(c, "refresh-presence");
    becomes("disabled");
    is_told(c, "disabled");
    is_told(other, "disabled");
    finds("disabled");
    is_hint(refused(&world, c, WRITE, DISABLED), "disabled");
    say(&world, other,
        "{'op':'add-query','client-event-id':'e','q':{'todos':{}}}"); /* c's result is kept */
    struct inst_value *m = expect_error(other, DISABLED);
    is_hint(m, "disabled");
    expect_text(inst_getz(inst_getz(m, "original-event"), "op"), "add-query");
    say(&world, other, "{'op':'add-query','q':{'todos':{'$':{'limit':1}}}}");
    expect_error(other, DISABLED);
    say(&world, other, "{'op':'join-room','room-id':'r'}");
    is_hint(expect_error(other, DISABLED), "disabled");
    say(&world, other, "{'op':'remove-query','q':{'todos':{}}}");
    expect(other, "remove-query-ok");
    say(&world, c, "{'op':'set-presence','room-id':'r','data':{'a':1}}");
    expect(c, "set-presence-ok");
    say(&world, c, "{'op':'leave-room','room-id':'r'}");
    expect(c, "leave-room-ok");
    becomes("read-only");
    is_told(c, "read-only");
    is_told(other, "read-only");
    say(&world, other, "{'op':'add-query','q':{'todos':{}}}");
    expect(other, "add-query-ok");
    becomes("active");
    is_told(c, "active");
    transact(&world, c, WRITE);
    is_told(other, "active");
    expect(other, "refresh-ok");
    disconnect(c);
    disconnect(other);
}

/* What arrived before stays: it is answered, and not refused afterwards. */
static void writes_before_it_count(void **state) {
    (void)state;
    struct connection *c = enter(&world, false);
    say(&world, c, "{'op':'transact','client-event-id':'t','tx-steps':" WRITE "}");
    becomes("read-only");
    expect(c, "transact-ok");
    is_told(c, "read-only");
    expect_state(&world, 1, "todos.id=#1 todos.title='a'");
    disconnect(c);
}

static void it_is_kept(void **state) {
    (void)state;
    static const char *const statuses[] = {"read-only", "disabled", "active"};
    for (size_t i = 0; i < 3; i++) {
        becomes(statuses[i]);
        inst_server_free(world.server);
        world_start(&world);
        finds(statuses[i]);
    }
    /* of a program that knows more */
    struct inst_app *app;
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, NULL), INST_OK);
    assert_int_equal(inst_app_set_note(app, "status", "asleep", 6, NULL), INST_OK);
    inst_server_free(world.server);
    world_start(&world);
    finds("disabled");
}

static void only_what_there_is(void **state) {
    (void)state;
    struct inst_err err = {0};
    const char *status;
    assert_int_equal(inst_server_set_app_status(world.server, world.app.id, "asleep", &err),
                     INST_FAILED);
    assert_string_equal(err.type, "validation-failed");
    assert_string_equal(err.message, "Validation failed for app-status: Status must be one of: "
                                     "active, read-only, disabled.");
    assert_int_equal(inst_server_set_app_status(world.server, uuid_text(1), "active", &err),
                     INST_FAILED);
    assert_string_equal(err.type, "record-not-found");
    assert_int_equal(inst_server_app_status(world.server, uuid_text(1), &status, &err),
                     INST_FAILED);
    assert_null(status);
    inst_err_clear(&err);
    finds("active");
}

static void over_http(void **state) {
    (void)state;
    struct connection *c = enter(&world, false);
    expect_body(&world, done(&world, "POST", STATUS, BEARER, "{'status':'read-only'}"),
                "{'status':'read-only'}");
    is_told(c, "read-only");
    denied(&world, "POST", STATUS, BEARER, "{'status':'asleep'}", "param-malformed",
           "Malformed parameter: [\"body\" \"status\"]");
    denied(&world, "POST", STATUS, BEARER, "{}", "param-missing",
           "Missing parameter: [\"body\" \"status\"]");
    denied(&world, "POST", STATUS, "authorization: Bearer x", "{'status':'active'}",
           "param-malformed", "Malformed parameter: [\"headers\" \"authorization\"]");
    /* what others ask over HTTP */
    denied(&world, "POST", "/admin/transact", ADMIN, "{'steps':[['delete','todos','#1']]}",
           READ_ONLY);
    done(&world, "POST", "/admin/query", ADMIN, "{'query':{'todos':{}}}");
    done(&world, "POST", STATUS, BEARER, "{'status':'disabled'}");
    is_told(c, "disabled");
    denied(&world, "POST", "/admin/query", ADMIN, "{'query':{'todos':{}}}", DISABLED);
    done(&world, "POST", STATUS, BEARER, "{'status':'active'}");
    is_told(c, "active");
    disconnect(c);
}

static void signing_out_always_works(void **state) {
    (void)state;
    char text[300];
    snprintf(text, sizeof text, "{'app-id':'%s'}", world.app.id);
    const struct inst_value *user =
        inst_getz(done(&world, "POST", "/runtime/auth/sign_in_guest", "", text), "user");
    char token[INST_UUID_TEXT + 1] = "";
    memcpy(token, inst_getz(user, "refresh_token")->u.str, INST_UUID_TEXT);
    becomes("disabled");
    denied(&world, "POST", "/runtime/auth/sign_in_guest", "", text, DISABLED);
    struct connection *c = connect_session(&world);
    say(&world, c, "{'op':'init','app-id':'%s','refresh-token':'%s'}", world.app.id, token);
    turn(&world);
    expect(c, "init-ok");
    disconnect(c);
    snprintf(text, sizeof text, "{'app_id':'%s','refresh_token':'%s'}", world.app.id, token);
    done(&world, "POST", "/runtime/signout", "", text);
    c = connect_session(&world);
    say(&world, c, "{'op':'init','app-id':'%s','refresh-token':'%s'}", world.app.id, token);
    turn(&world);
    expect_error(c, "record-not-found", "Record not found: app-user");
    disconnect(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(read_only),          T(disabled),  T(writes_before_it_count),   T(it_is_kept),
        T(only_what_there_is), T(over_http), T(signing_out_always_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
