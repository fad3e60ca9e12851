/* Without memory a job rests, with nothing half done, and goes on once there is some. */
#include "oom.h"

#include "io_server_fixture.h"

#include "io/sqlite_app_db.h"
#include "server/jobs.h"

static const char schema[] =
    "{'entities':{'todos':{'attrs':{"
    "'title':{'valueType':'json','required':false,'config':{'indexed':false,'unique':false}}}}},"
    "'links':{}}";

static struct world world;
static struct connection *admin;

static struct inst_app *app(void) {
    struct inst_app *found;
    assert_int_equal(inst_app_get(world.server, world.app.id, &found, NULL), INST_OK);
    return found;
}

static const struct inst_attr *title(void) {
    return inst_attrs_forward(app()->catalog->attrs, "todos", 5, "title", 5);
}

static void open_world(void) {
    world_open(&world, ":memory:", schema);
    admin = enter(&world, true);
    transact(&world, admin,
             "[['add-triple','#1','@todos.id','#1'],['add-triple','#1','@todos.title','a'],"
             "['add-triple','#2','@todos.id','#2'],['add-triple','#2','@todos.title',0],"
             "['add-triple','#3','@todos.id','#3']]");
}

static void close_world(void) {
    disconnect(admin);
    world_close(&world);
}

static void finish(void) {
    for (int turns = 0; inst_server_is_pending(world.server); turns++) {
        assert_true(turns < 100);
        turn(&world);
    }
}

static enum inst_status add_jobs(struct inst_err *err) {
    struct inst_job_wish wishes[] = {
        {.type = inst_cstring("index"), .attr_id = title()->id},
        {.type = inst_cstring("unique"), .attr_id = title()->id},
        {.type = inst_cstring("required"), .attr_id = title()->id}, /* fails: 3 has none */
        {.type = inst_cstring("check-data-type"),
         .attr_id = title()->id,
         .checked_data_type = inst_cstring("string")}, /* fails: 2 is a number */
    };
    char group[INST_UUID_TEXT + 1];
    return inst_jobs_add(app(), wishes, 4, group, err);
}

static void expect_done(void) {
    struct inst_err err = {0};
    assert_true(title()->is_indexed && !title()->is_indexing);
    assert_true(title()->is_unique && !title()->is_setting_unique);
    assert_false(title()->is_required);
    assert_int_equal(title()->checked_type, INST_CHECKED_NONE);
    assert_false(title()->is_checking_type);
    assert_int_equal(inst_sqlite_app_db_check(app()->db, &err), INST_OK);
    expect_state(&world, 3, "todos.id=#3 todos.title=null");
}

static void adding_without_memory(void **state) {
    (void)state;
    struct inst_err err = {0};
    open_world();
    for (long n = 0;; n++) {
        assert_true(n < 500);
        oom_after(n);
        enum inst_status status = add_jobs(&err);
        oom_off();
        if (status == INST_OK)
            break;
        inst_err_clear(&err);
        assert_false(inst_server_is_pending(world.server)); /* all or none */
    }
    finish();
    expect_done();
    close_world();
}

static void running_without_memory(void **state) {
    (void)state;
    bool is_whole = false;
    for (long n = 0; !is_whole; n += 1 + n / 25) {
        struct inst_err err = {0};
        assert_true(n < 100000);
        open_world();
        admin->is_deaf = true; /* what it is sent is not the point */
        assert_int_equal(add_jobs(&err), INST_OK);
        oom_after(n);
        for (int turns = 0; inst_server_is_pending(world.server) && turns < 20; turns++)
            inst_server_turn(world.server);
        is_whole = oom_left > 0;
        oom_off();
        assert_int_equal(inst_sqlite_app_db_check(app()->db, &err), INST_OK);
        if (!is_whole) { /* something is committed, so it may be tried again */
            struct connection *other = enter(&world, true);
            transact(&world, other, "[['add-triple','#1','@todos.title','b']]");
            disconnect(other);
        }
        finish();
        expect_done();
        close_world();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adding_without_memory),
        cmocka_unit_test(running_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
