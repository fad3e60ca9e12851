/*
 * Deleted attrs: back within their days of grace, gone for good behind them, some rows a turn.
 */
#include "io_server_http_fixture.h"

#include "server/limits.h"
#include "server/purge.h"

static const char schema[] =
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','required':false,"
    "'config':{'indexed':true,'unique':false}},'note':{'valueType':'string','required':false,"
    "'config':{'indexed':false,'unique':false}}}},'lists':{'attrs':{}}},"
    "'links':{'list':{'forward':{'on':'todos','label':'list','has':'one'},"
    "'reverse':{'on':'lists','label':'todos','has':'many'}}}}";

#define GRACE_MS (2ll * 24 * 60 * 60 * 1000)
#define TODOS 2500

static struct world world;
static struct connection *admin;
static char dir[32];
/* of the attrs that are deleted */
static const char *const names[] = {"todos.title", "todos.note", "todos.list"};
static char ids[3][INST_UUID_TEXT + 1];
static uint32_t rows[3];
static int64_t over_ms; /* when the grace of all three is over */

static struct inst_app *app_of(void) {
    struct inst_err err = {0};
    struct inst_app *app;
    if (inst_app_get(world.server, world.app.id, &app, &err) != INST_OK)
        fail_msg("%s", err.message);
    return app;
}

/* The attr's row in the file, hidden or not; 0: it is gone. */
static uint32_t row_of(const char *id) {
    struct inst_app *app = app_of();
    struct inst_err err = {0};
    char *json;
    size_t len;
    bool is_hidden;
    uint32_t row = 0;
    assert_int_equal(
        app->db->db_ops->find_attr(app->db, id, strlen(id), &json, &len, &is_hidden, &row, &err),
        INST_OK);
    row = json != NULL ? row : 0;
    free(json);
    return row;
}

static bool count_triple(void *ctx, uint32_t attr_row, const struct inst_triple *triple) {
    (void)triple;
    for (size_t i = 0; i < 3; i++)
        *(size_t *)ctx += attr_row == rows[i];
    return true;
}

/* Triples of the deleted attrs, of every entity in the file. */
static size_t left(void) {
    struct inst_app *app = app_of();
    struct inst_err err = {0};
    size_t count = 0;
    for (uint32_t e = 1; e <= TODOS + 1; e++)
        assert_int_equal(app->db->db_ops->each_of(app->db, e, count_triple, &count, &err), INST_OK);
    return count;
}

static void fill(void) {
    struct inst_buf steps;
    inst_buf_init(&steps);
    inst_buf_add_str(&steps, "[['add-triple','#1','@lists.id','#1']");
    for (unsigned i = 0; i < TODOS; i++) {
        const char *id = uuid_text(i + 2);
        inst_buf_addf(&steps, ",['add-triple','%s','@todos.id','%s']", id, id);
        inst_buf_addf(&steps, ",['add-triple','%s','@todos.title','t%u']", id, i % 10);
        inst_buf_addf(&steps, ",['add-triple','%s','@todos.list','#1']", id);
    }
    inst_buf_add_str(&steps, "]");
    assert_false(steps.failed);
    transact(&world, admin, steps.data);
    inst_buf_free(&steps);
}

static int set_up(void **state) {
    (void)state;
    world_open_dir(&world, dir, schema);
    admin = enter(&world, true);
    fill();
    for (size_t i = 0; i < 3; i++) {
        snprintf(ids[i], sizeof ids[i], "%s", attr_id(&world, names[i], strlen(names[i])));
        rows[i] = row_of(ids[i]);
        assert_int_not_equal(rows[i], 0);
    }
    over_ms = world.now + GRACE_MS;
    transact(&world, admin,
             "[['delete-attr','@todos.title'],['delete-attr','@todos.note'],"
             "['delete-attr','@todos.list']]");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    if (admin != NULL)
        disconnect(admin);
    world_close_dir(&world, dir);
    return 0;
}

static size_t shown(void) {
    return inst_getz(done(&world, "GET", "/admin/soft_deleted_attrs", ADMIN, NULL), "attrs")->len;
}

static void restore_title(void) {
    char steps[100];
    snprintf(steps, sizeof steps, "[['restore-attr','%s']]", ids[0]);
    transact(&world, admin, steps);
    learn_attrs(&world);
}

static bool has_attr(const char *label) {
    struct inst_app *app = app_of();
    size_t count = inst_attrs_count(app->catalog->attrs);
    for (size_t i = 0; i < count; i++) {
        const struct inst_attr *attr = inst_attrs_at(app->catalog->attrs, i);
        if (inst_is_string(&attr->forward.etype, "todos") &&
            inst_is_string(&attr->forward.label, label))
            return true;
    }
    return false;
}

static unsigned turns(void) {
    unsigned count = 0;
    for (; inst_server_is_pending(world.server) && count < 100; count++)
        inst_server_turn(world.server);
    return count;
}

static void gone_behind_the_grace(void **state) {
    (void)state;
    turns();
    assert_int_equal(left(), 2 * TODOS);
    world.now = over_ms - 1;
    inst_server_expire(world.server);
    assert_false(inst_server_is_pending(world.server));
    assert_int_equal(shown(), 3);
    world.now = over_ms;
    int64_t tx = app_of()->last_tx;
    inst_server_expire(world.server);
    assert_true(inst_server_is_pending(world.server));
    assert_int_equal(shown(), 0);
    size_t before = left();
    inst_server_turn(world.server);
    assert_in_range(before - left(), 0, INST_JOB_TURN_ROWS);
    /* 2500 rows of two attrs, 1000 a turn, and one turn for the attr without any. */
    assert_int_equal(1 + turns(), 3 + 3 + 1);
    assert_int_equal(left(), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(row_of(ids[i]), 0);
    assert_int_equal(app_of()->last_tx, tx); /* nobody is told */
    const struct inst_value *got =
        done(&world, "POST", "/admin/query", ADMIN, "{'query':{'todos':{}}}");
    assert_int_equal(inst_getz(got, "todos")->len, TODOS);
}

static void back_within_the_grace_only(void **state) {
    (void)state;
    world.now = over_ms - 1;
    restore_title();
    assert_true(has_attr("title"));
    transact(&world, admin, "[['delete-attr','@todos.title']]"); /* its days begin again */
    inst_server_expire(world.server);
    turns();
    assert_int_equal(left(), TODOS);
    assert_int_equal(row_of(ids[2]), 0);
    assert_int_equal(shown(), 1);
    world.now += GRACE_MS;
    restore_title(); /* over, though nothing was swept yet */
    assert_false(has_attr("title"));
    assert_int_equal(left(), TODOS);
}

/* What takes no writes keeps everything; the hour in which it does again comes. */
static void nothing_goes_while_read_only(void **state) {
    (void)state;
    world.now += GRACE_MS;
    done(&world, "POST", "/dash/apps/{app}/status", "authorization: {bearer}",
         "{'status':'read-only'}");
    inst_server_expire(world.server);
    assert_int_equal(turns(), 0);
    assert_int_equal(left(), 2 * TODOS);
    done(&world, "POST", "/dash/apps/{app}/status", "authorization: {bearer}",
         "{'status':'active'}");
    turns();
    assert_int_equal(left(), 0);
}

/* An app that was closed all the while, or in the middle of it: it goes on when it is opened. */
static void an_app_that_is_opened_looks(void **state) {
    (void)state;
    struct inst_err err = {0};
    world.now += GRACE_MS;
    inst_server_expire(world.server);
    inst_server_turn(world.server);
    assert_in_range(left(), 1, 2 * TODOS - 1);
    disconnect(admin);
    admin = NULL;
    on_close_apps(&world);
    if (inst_apps_open_dir(dir, NULL, &world.env, &world.apps, &err) != INST_OK)
        fail_msg("%s", err.message);
    world_start(&world);
    app_of();
    assert_true(inst_server_is_pending(world.server));
    turns();
    assert_int_equal(left(), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(row_of(ids[i]), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(gone_behind_the_grace),
        T(back_within_the_grace_only),
        T(nothing_goes_while_read_only),
        T(an_app_that_is_opened_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
