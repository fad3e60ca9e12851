#include "io_server_fixture.h"

static const char schema[] =
    "{'entities':{'users':{'attrs':{"
    "'name':{'valueType':'string','required':false,'config':{'indexed':false,'unique':false}},"
    "'email':{'valueType':'string','required':false,'config':{'indexed':false,'unique':true}},"
    "'tag':{'valueType':'json','required':false,'config':{'indexed':false,'unique':false}}}},"
    "'todos':{'attrs':{}}},"
    "'links':{'owner':{'forward':{'on':'todos','label':'owner','has':'many'},"
    "'reverse':{'on':'users','label':'todos','has':'many'}}}}";

static struct world world;
static struct connection *admin, *user;

static int set_up(void **state) {
    (void)state;
    world_open(&world, ":memory:", schema);
    admin = enter(&world, true);
    user = enter(&world, false);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    disconnect(admin);
    disconnect(user);
    world_close(&world);
    return 0;
}

#define ok(steps) transact(&world, user, steps)
#define admin_ok(steps) transact(&world, admin, steps)
#define no(steps, type, message) refused(&world, user, steps, type, message)
#define admin_no(steps, type, message) refused(&world, admin, steps, type, message)
#define is(n, text) expect_state(&world, n, text)

/* add-attr of a blob: number n makes its ids. */
static const char *blob(unsigned n, const char *etype, const char *label, const char *more) {
    static char texts[4][600];
    static unsigned next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0],
             "['add-attr',{'id':'cccccccc-0000-4000-8000-%012x','forward-identity':"
             "['cccccccc-0000-4000-8001-%012x','%s','%s'],'value-type':'blob',"
             "'cardinality':'one','unique?':false,'index?':false%s}]",
             n, n, etype, label, more);
    return text;
}

static const char *steps_of(const char *a, const char *b) {
    static char text[1500];
    snprintf(text, sizeof text, "[%s%s%s]", a, b != NULL ? "," : "", b != NULL ? b : "");
    return text;
}

static const struct inst_value *attr_json(const char *name) {
    const char *id = attr_id(&world, name, strlen(name));
    for (uint32_t i = 0; id != NULL && i < world.attrs.len; i++)
        if (inst_is_string(inst_getz(&world.attrs.u.items[i], "id"), id))
            return &world.attrs.u.items[i];
    return NULL;
}

static void makes_attrs_and_uses_them_at_once(void **state) {
    (void)state;
    char steps[1500];
    snprintf(steps, sizeof steps,
             "[%s,['add-triple','#1','cccccccc-0000-4000-8000-000000000001',3]]",
             blob(1, "new", "thing", ",'isUnsynced':true,'whatever':7"));
    ok(steps);
    learn_attrs(&world);
    const struct inst_value *attr = attr_json("new.thing");
    assert_non_null(attr);
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, attr);
    assert_string_equal(
        buf.data,
        "{\"id\":\"cccccccc-0000-4000-8000-000000000001\",\"value-type\":\"blob\","
        "\"cardinality\":\"one\",\"forward-identity\":[\"cccccccc-0000-4000-8001-000000000001\","
        "\"new\",\"thing\"],\"unique?\":false,\"index?\":false,\"required?\":false,"
        "\"catalog\":\"user\",\"inferred-types\":[\"number\"]}");
    inst_buf_free(&buf);
    is(1, "new.thing=3");
}

static void attrs_are_sorted_by_id_and_hold_the_system(void **state) {
    (void)state;
    assert_non_null(attr_json("$users.email"));
    assert_non_null(attr_json("$files.path"));
    for (uint32_t i = 1; i < world.attrs.len; i++)
        assert_true(memcmp(inst_getz(&world.attrs.u.items[i - 1], "id")->u.str,
                           inst_getz(&world.attrs.u.items[i], "id")->u.str, 36) < 0);
}

static void inferred_types_are_ored(void **state) {
    (void)state;
    ok("[['add-triple','#1','@users.tag','s'],['add-triple','#2','@users.tag',null]]");
    ok("[['add-triple','#1','@users.tag',5],['add-triple','#2','@users.tag',[]],"
       "['add-triple','#3','@todos.owner','#1']]");
    learn_attrs(&world);
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, inst_getz(attr_json("users.tag"), "inferred-types"));
    inst_json_write(&buf, inst_getz(attr_json("todos.owner"), "inferred-types"));
    assert_string_equal(buf.data, "[\"number\",\"string\",\"json\"][\"string\"]");
    inst_buf_free(&buf);
    expect_nothing(admin); /* not worth a refresh */
}

static void everybody_learns_of_new_attrs_once(void **state) {
    (void)state;
    ok(steps_of(blob(1, "a", "x", ""), blob(2, "a", "y", "")));
    struct inst_value *message = expect(admin, "refresh-ok");
    assert_int_equal(inst_getz(message, "computations")->len, 0);
    assert_true(inst_getz(message, "attrs")->tag == INST_ARRAY);
    expect_nothing(admin);
    expect(user, "refresh-ok");
    ok(steps_of(blob(1, "a", "x", ""), blob(2, "a", "y", ""))); /* identical: nothing */
    expect_nothing(admin);
}

static void name_conflicts(void **state) {
    (void)state;
    ok(steps_of(blob(1, "a", "x", ""), NULL));
    struct inst_value *error =
        no(steps_of(blob(2, "a", "x", ""), NULL), "record-not-unique", "`x` already exists on `a`");
    expect_text(inst_getz(inst_getz(error, "hint"), "record-type"), "ident");
    no(steps_of(blob(2, "users", "todos", ""), NULL), "record-not-unique",
       "`todos` already exists on `users`");
    no(steps_of(blob(1, "a", "x", ",'required?':true"), NULL), "sql-raise",
       "Raised Exception: The attribute with id cccccccc-0000-4000-8000-000000000001 conflicts "
       "with an existing attribute with id cccccccc-0000-4000-8000-000000000001.");
    no(steps_of(blob(1, "a", "other", ""), NULL), "sql-raise",
       "Raised Exception: Another attribute for a.other exists with different properties.");
    no("[['add-attr',{'id':'cccccccc-0000-4000-8000-000000000009','forward-identity':"
       "['cccccccc-0000-4000-8001-000000000001','a','x'],'value-type':'blob','cardinality':'one',"
       "'unique?':false,'index?':false}]]",
       "sql-raise",
       "Raised Exception: Another attribute for a.x exists with different properties.");
    no(steps_of(blob(3, "b", "y", ""), blob(4, "b", "y", "")), "record-not-unique",
       "`y` already exists on `b`");
    learn_attrs(&world);
    assert_null(attr_json("b.y"));
}

static void system_names_are_closed(void **state) {
    (void)state;
    no(steps_of(blob(1, "$users", "email", ""), NULL), "validation-failed",
       "Validation failed for attributes: $users.email is a system column and it already exists.");
    no(steps_of(blob(1, "$mine", "x", ""), NULL), "validation-failed",
       "Validation failed for attributes: $ is reserved for system tables. You can't create $mine");
    no(steps_of(blob(1, "$users", "x", ",'required?':true"), NULL), "validation-failed",
       "You can't create a required system attribute. Make sure it's optional. Check out the docs "
       "to learn more: https://www.instantdb.com/docs/modeling-data#required-constraints");
    ok(steps_of(blob(1, "$users", "nick", ""), NULL));
}

static void system_columns(void **state) {
    (void)state;
    no("[['add-triple','#1','@$files.size',3]]", "validation-failed",
       "Validation failed for tx-step: $files.size is a system column. You aren't allowed to "
       "change "
       "this directly.");
    admin_no("[['add-triple','#1','@$files.size',3]]", "validation-failed",
             "Validation failed for tx-step: $files.size is a system column. You aren't allowed to "
             "change this directly.");
    no("[['add-triple','#1','@$users.email','a@b']]", "validation-failed",
       "Validation failed for tx-step: $users.email is a system column. You aren't allowed to "
       "change this directly.");
    no("[['retract-triple','#1','@$users.email','a@b']]", "validation-failed",
       "Validation failed for tx-step: $users.email is a system column. You aren't allowed to "
       "change this directly.");
    no("[['add-triple','#1','@$users.id','#1']]", "validation-failed",
       "Validation failed for tx-step: $users is a system entity. You aren't allowed to create "
       "this "
       "directly.");
    no("[['delete-entity','#1','$streams']]", "validation-failed",
       ""
       "Validation failed for tx-step: $streams is a system entity. You aren't allowed to delete "
       "this directly.");
    no("[['add-triple','#1','@$files.path','$stream/x']]", "validation-failed",
       "Validation failed for tx-step: The path for stream files can't be edited.");
    admin_ok("[['add-triple','#1','@$users.id','#1'],['add-triple','#1','@$users.email','a@b']]");
    is(1, "$users.email='a@b' $users.id=#1");
    /* What may be created is asked once all is written (permissions.md 7.2). */
    no("[['add-triple','#1','@$files.path','x']]", "validation-failed",
       "Missing required attribute `$files/id`: #1. Missing required attribute "
       "`$files/location-id`: #1. Missing required attribute `$files/size`: #1");
    static const char *const denied[] = {
        "[['add-triple','#1','@$users.id','#1']]",
        "[['delete-entity','#1','$files']]",
    };
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
        no(denied[i], "permission-denied", "Permission denied: not perms-pass?");
    say(&world, user, "{'op':'add-query','q':{'$users':{}}}");
    struct inst_value *seen = expect(user, "add-query-ok");
    assert_null(strstr(user->taken->text, "a@b"));
    (void)seen;
    /* nor through a link */
    admin_ok("[['add-attr',{'id':'cccccccc-0000-4000-8000-000000000001','forward-identity':"
             "['cccccccc-0000-4000-8001-000000000001','todos','creator'],'reverse-identity':"
             "['cccccccc-0000-4000-8001-000000000002','$users','created'],'value-type':'ref',"
             "'cardinality':'one','unique?':false,'index?':false}],"
             "['add-triple','#2','@todos.id','#2'],"
             "['add-triple','#2','cccccccc-0000-4000-8000-000000000001','#1']]");
    forget_messages(user);
    say(&world, user, "{'op':'add-query','q':{'todos':{'creator':{}}}}");
    expect(user, "add-query-ok");
    assert_null(strstr(user->taken->text, "a@b"));
    say(&world, user, "{'op':'add-query','q':{'todos':{'$':{'where':{'creator.email':'a@b'}}}}}");
    expect(user, "add-query-ok");
    assert_null(strstr(user->taken->text, uuid_text(2)));
    forget_messages(admin);
    say(&world, admin, "{'op':'add-query','q':{'$users':{}}}");
    expect(admin, "add-query-ok");
    assert_non_null(strstr(admin->taken->text, "a@b"));
    admin_ok("[['delete-entity','#1','$users']]");
    is(1, "");
}

static void only_admins_change_attrs(void **state) {
    (void)state;
    static const char *const steps[] = {"[['update-attr',{'id':'@users.name'}]]",
                                        "[['delete-attr','@users.name']]",
                                        "[['restore-attr','@users.name']]"};
    for (size_t i = 0; i < 3; i++) {
        struct inst_value *error =
            no(steps[i], "permission-denied", "Permission denied: not perms-pass?");
        struct inst_buf buf;
        inst_buf_init(&buf);
        inst_json_write(&buf, inst_getz(error, "hint"));
        assert_string_equal(buf.data,
                            "{\"input\":[\"attrs\",\"attr\"],\"expected\":\"perms-pass?\"}");
        inst_buf_free(&buf);
    }
}

static void new_indexed_blob_fills_nulls(void **state) {
    (void)state;
    ok("[['add-triple','#1','@users.id','#1'],['add-triple','#2','@todos.id','#2']]");
    ok(steps_of(blob(1, "users", "rank", ",'index?':true"), NULL));
    is(1, "users.id=#1 users.rank=null");
    is(2, "todos.id=#2");
}

static void new_required_attr_wants_an_empty_etype(void **state) {
    (void)state;
    ok("[['add-triple','#1','@users.id','#1']]");
    no(steps_of(blob(1, "users", "must", ",'required?':true"), NULL), "validation-failed",
       "Validation failed for attributes: Can't create attribute `must` as required because "
       "`users` already have entities");
}

static void updates_attrs(void **state) {
    (void)state;
    ok("[['add-triple','#1','@users.id','#1'],['add-triple','#1','@users.name','n'],"
       "['add-triple','#2','@users.id','#2'],['add-triple','#2','@users.name','n']]");
    admin_ok("[['update-attr',{'id':'@users.name','forward-identity':"
             "['cccccccc-0000-4000-8001-000000000007','users','title'],'index?':true}]]");
    expect(user, "refresh-ok");
    is(1, "users.id=#1 users.title='n'");
    learn_attrs(&world);
    assert_null(attr_json("users.name"));
    admin_no("[['update-attr',{'id':'@users.title','unique?':true}]]", "record-not-unique",
             "`title` is a unique attribute on `users` and an entity already exists with "
             "`users.title` = \"n\"");
    admin_no("[['update-attr',{'id':'@users.title','forward-identity':"
             "['cccccccc-0000-4000-8001-000000000007','users','email']}]]",
             "record-not-unique", "`email` already exists on `users`");
    admin_no("[['update-attr',{'id':'@users.tag','required?':true}]]", "validation-failed",
             "Validation failed for attributes: Can't update attribute `tag` to required because "
             "`users` already have entities without it");
    admin_ok("[['update-attr',{'id':'@users.title','required?':true}]]");
    no("[['retract-triple','#1','@users.title','n']]", "validation-failed",
       "Missing required attribute `users/title`: #1");
    admin_ok("[['update-attr',{'id':'@users.title','required?':false}],"
             "['update-attr',{'id':'@users.tag','index?':true}]]");
    is(1, "users.id=#1 users.tag=null users.title='n'");
    admin_ok("[['update-attr',{'id':'ffffffff-0000-4000-8001-000000000007','index?':true}]]");
}

static void cascades_are_always_overwritten(void **state) {
    (void)state;
    admin_ok("[['update-attr',{'id':'@todos.owner','on-delete':'cascade'}]]");
    learn_attrs(&world);
    expect_text(inst_getz(attr_json("todos.owner"), "on-delete"), "cascade");
    admin_ok("[['update-attr',{'id':'@todos.owner','index?':false}]]");
    learn_attrs(&world);
    assert_null(inst_getz(attr_json("todos.owner"), "on-delete"));
}

static void cardinality_one_wants_one(void **state) {
    (void)state;
    ok("[['add-triple','#1','@todos.owner','#2'],['add-triple','#1','@todos.owner','#3']]");
    admin_no("[['update-attr',{'id':'@todos.owner','cardinality':'one'}]]", "record-not-unique",
             "Record not unique: triple");
    ok("[['retract-triple','#1','@todos.owner','#2']]");
    admin_ok("[['update-attr',{'id':'@todos.owner','cardinality':'one'}]]");
    ok("[['add-triple','#1','@todos.owner','#4']]");
    is(1, "todos.owner=#4");
}

static void only_links_have_many_values(void **state) {
    (void)state;
    no("[['add-attr',{'id':'cccccccc-0000-4000-8000-000000000009','forward-identity':"
       "['cccccccc-0000-4000-8001-000000000009','a','x'],'value-type':'blob',"
       "'cardinality':'many','unique?':false,'index?':false}]]",
       "validation-failed",
       "Validation failed for attributes: Only links can have cardinality `many`.");
    admin_no("[['update-attr',{'id':'@users.tag','cardinality':'many'}]]", "validation-failed",
             "Validation failed for attributes: Only links can have cardinality `many`.");
    ok("[['add-triple','#1','@users.tag','x'],['add-triple','#1','@users.tag','y']]");
    is(1, "users.tag='y'");
}

static void blobs_become_links_and_back(void **state) {
    (void)state;
    ok("[['add-triple','#1','@users.tag','#2']]");
    admin_ok("[['update-attr',{'id':'@users.tag','value-type':'ref','reverse-identity':"
             "['cccccccc-0000-4000-8001-000000000008','users','tagged']}]]");
    is(1, "users.tag=#2");
    ok("[['retract-triple','#1','@users.tag','#2'],['retract-triple','#1','@users.tag','#3']]");
    is(1, "");
    ok("[['add-triple','#1','@users.tag','#5']]");
    admin_ok("[['update-attr',{'id':'@users.tag','value-type':'blob'}]]");
    is(1, "users.tag='aaaaaaaa-0000-4000-8000-000000000005'");
    ok("[['add-triple','#1','@users.tag','x']]");
    admin_no("[['update-attr',{'id':'@users.tag','value-type':'ref'}]]", "validation-failed",
             "Linked value must be a valid uuid.");
    is(1, "users.tag='x'");
}

static void deleted_attrs_hide_and_come_back(void **state) {
    (void)state;
    char steps[300];
    char name_id[INST_UUID_TEXT + 1];
    ok("[['add-triple','#1','@users.id','#1'],['add-triple','#1','@users.name','n']]");
    strcpy(name_id, attr_id(&world, "users.name", 10));
    admin_ok("[['delete-attr','@users.name']]");
    is(1, "users.id=#1");
    no("[['add-triple','#1','@users.name','m']]", "sql-raise",
       "Raised Exception: We could not find an attribute with id = '@users.name'");
    learn_attrs(&world);
    assert_null(attr_json("users.name"));
    snprintf(steps, sizeof steps, "[['restore-attr','%s']]", name_id);
    admin_ok(steps);
    is(1, "users.id=#1 users.name='n'");
    learn_attrs(&world);
    assert_non_null(attr_json("users.name"));
    assert_null(inst_getz(attr_json("users.name"), "deletion-marked-at"));
    admin_ok("[['delete-attr','@users.name']]");
    ok(steps_of(blob(1, "users", "name", ""), NULL)); /* the name is free */
    admin_no(steps, "record-not-unique", "`name` already exists on `users`");
    snprintf(steps, sizeof steps,
             "[['add-attr',{'id':'%s','forward-identity':['cccccccc-0000-4000-8001-000000000002',"
             "'users','again'],'value-type':'blob','cardinality':'one','unique?':false,"
             "'index?':false}]]",
             name_id);
    char message[200];
    snprintf(message, sizeof message,
             "Raised Exception: The attribute with id %s conflicts with an existing attribute with "
             "id %s.",
             name_id, name_id);
    no(steps, "sql-raise", message);
    admin_ok("[['delete-attr','ffffffff-0000-4000-8001-000000000007'],"
             "['delete-attr','@$users.email']]");
    learn_attrs(&world);
    assert_non_null(attr_json("$users.email"));
}

static void attr_changes_are_undone_with_the_rest(void **state) {
    (void)state;
    char steps[1000];
    snprintf(steps, sizeof steps, "[%s,['add-triple','#1','@users.name',5]]",
             blob(1, "a", "x", ",'index?':true"));
    no(steps, "validation-failed",
       "Invalid value type for users.name. Value must be a string but the provided value type is "
       "number.");
    learn_attrs(&world);
    assert_null(attr_json("a.x"));
    expect_nothing(admin);
    admin_no("[['delete-attr','@users.tag'],['add-triple','#1','@users.name',5]]",
             "validation-failed",
             "Invalid value type for users.name. Value must be a string but the provided value "
             "type is number.");
    ok("[['add-triple','#1','@users.tag',5]]");
    ok(steps_of(blob(1, "a", "x", ",'index?':true"), NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(makes_attrs_and_uses_them_at_once),
        T(attrs_are_sorted_by_id_and_hold_the_system),
        T(inferred_types_are_ored),
        T(everybody_learns_of_new_attrs_once),
        T(name_conflicts),
        T(system_names_are_closed),
        T(system_columns),
        T(only_admins_change_attrs),
        T(new_indexed_blob_fills_nulls),
        T(new_required_attr_wants_an_empty_etype),
        T(updates_attrs),
        T(cascades_are_always_overwritten),
        T(cardinality_one_wants_one),
        T(only_links_have_many_values),
        T(blobs_become_links_and_back),
        T(deleted_attrs_hide_and_come_back),
        T(attr_changes_are_undone_with_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
