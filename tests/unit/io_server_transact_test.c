#include "io_server_fixture.h"

#include "server/limits.h"

static const char schema[] =
    "{'entities':{"
    "'users':{'attrs':{"
    "'email':{'valueType':'string','required':false,'config':{'indexed':true,'unique':true}},"
    "'name':{'valueType':'string','required':false,'config':{'indexed':true,'unique':false}},"
    "'age':{'valueType':'number','required':false,'config':{'indexed':false,'unique':false}},"
    "'born':{'valueType':'date','required':false,'config':{'indexed':false,'unique':false}},"
    "'admin':{'valueType':'boolean','required':false,'config':{'indexed':false,'unique':false}},"
    "'bio':{'valueType':'json','required':false,'config':{'indexed':false,'unique':false}},"
    "'code':{'valueType':'json','required':false,'config':{'indexed':false,'unique':true}}}},"
    "'todos':{'attrs':{"
    "'title':{'valueType':'json','required':false,'config':{'indexed':false,'unique':false}}}},"
    "'strict':{'attrs':{"
    "'label':{'valueType':'string','required':true,'config':{'indexed':false,'unique':false}},"
    "'more':{'valueType':'string','required':false,'config':{'indexed':false,'unique':false}}}},"
    "'nodes':{'attrs':{}},'profiles':{'attrs':{}}},"
    "'links':{"
    "'owner':{'forward':{'on':'todos','label':'owner','has':'one','onDelete':'cascade'},"
    "'reverse':{'on':'users','label':'todos','has':'many'}},"
    "'friends':{'forward':{'on':'users','label':'friends','has':'many'},"
    "'reverse':{'on':'users','label':'friendOf','has':'many'}},"
    "'next':{'forward':{'on':'nodes','label':'next','has':'one','onDelete':'cascade'},"
    "'reverse':{'on':'nodes','label':'previous','has':'many'}},"
    "'profile':{'forward':{'on':'users','label':'profile','has':'one'},"
    "'reverse':{'on':'profiles','label':'user','has':'one','onDelete':'cascade'}}}}";

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

#define USER_NULLS "users.email=null users.id=#1 users.name=null"

static void make_user(unsigned n) {
    char steps[200];
    snprintf(steps, sizeof steps, "[['add-triple','#%u','@users.id','#%u']]", n, n);
    ok(steps);
}

/* ---- add-triple ---- */

static void writes_and_overwrites(void **state) {
    (void)state;
    assert_true(ok("[['add-triple','#1','@todos.id','#1'],"
                   "['add-triple','#1','@todos.title','a']]") > 0);
    is(1, "todos.id=#1 todos.title='a'");
    ok("[['add-triple','#1','@todos.title',{'x':[1,null]}]]");
    is(1, "todos.id=#1 todos.title={'x':[1,null]}");
    ok("[['add-triple','#1','@todos.title','b'],['add-triple','#1','@todos.title','c']]");
    is(1, "todos.id=#1 todos.title='c'");
}

static void keeps_created_at(void **state) {
    (void)state;
    ok("[['add-triple','#1','@todos.title','a']]");
    struct inst_app *app;
    struct inst_err err = {0};
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
    int64_t start = world.now - 10;
    world.now += 5000;
    ok("[['add-triple','#1','@todos.title','b']]");
    static struct dump dump;
    dump = (struct dump){.app = app, .with_times = true, .start = start};
    uint32_t e = app->db->store.ops->entity(&app->db->store, uuid_text(1), 36);
    app->db->db_ops->each_of(app->db, e, dump_triple, &dump, &err);
    assert_string_equal(dump.lines[0], "todos.title='b'@0");
}

/* The users as a query in the order of their making has them, as `#9 #8`. */
static void expect_order(const char *wanted) {
    say(&world, user, "{'op':'add-query','q':{'users':{'$':{'order':{'serverCreatedAt':'asc'}}}}}");
    turn(&world);
    struct inst_value *message = take(user);
    while (!inst_is_string(inst_getz(message, "op"), "add-query-ok"))
        message = take(user);
    const struct inst_value *node = inst_getz(message, "result")->u.items;
    const struct inst_value *rows =
        inst_getz(inst_getz(inst_getz(node, "data"), "datalog-result"), "join-rows");
    char got[100] = "";
    for (uint32_t i = 0; i < rows->u.items[0].len; i++) {
        const struct inst_value *triple = rows->u.items[0].u.items[i].u.items;
        unsigned n;
        if (!inst_is_string(&triple[1], attr_id(&world, "users.id", strlen("users.id"))))
            continue;
        assert_int_equal(sscanf(triple[0].u.str, "aaaaaaaa-0000-4000-8000-%12x", &n), 1);
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s#%u", *got ? " " : "", n);
    }
    assert_string_equal(got, wanted);
    say(&world, user,
        "{'op':'remove-query','q':{'users':{'$':{'order':{'serverCreatedAt':'asc'}}}}}");
    turn(&world);
    forget_messages(user);
}

static void say_user(unsigned n) {
    say(&world, user, "{'op':'transact','tx-steps':[['add-triple','#%u','@users.id','#%u']]}", n,
        n);
}

/* A client that sends a queue of writes wants them in that order, however fast they are taken. */
static void created_in_order_within_a_millisecond(void **state) {
    (void)state;
    say_user(9);
    say_user(3);
    say_user(8);
    turn(&world);
    forget_messages(user);
    expect_order("#9 #3 #8");
}

/* The clock is followed again when it was set back. */
static void created_when_the_clock_says(void **state) {
    (void)state;
    make_user(9);
    world.now -= 86400000;
    make_user(3);
    expect_order("#3 #9");
}

static void lower_cases_uuids(void **state) {
    (void)state;
    ok("[['add-triple','AAAAAAAA-0000-4000-8000-000000000001','@todos.title',"
       "{'k':'AAAAAAAA-0000-4000-8000-000000000002'}]]");
    is(1, "todos.title={'k':'aaaaaaaa-0000-4000-8000-000000000002'}");
}

static void fills_indexed_blobs_with_null(void **state) {
    (void)state;
    make_user(1);
    is(1, USER_NULLS);
    ok("[['add-triple','#1','@users.id','#1'],['add-triple','#1','@users.name','n']]");
    is(1, "users.email=null users.id=#1 users.name='n'");
}

static void links_of_many_are_a_set(void **state) {
    (void)state;
    ok("[['add-triple','#1','@users.friends','#2'],['add-triple','#1','@users.friends','#3'],"
       "['add-triple','#1','@users.friends','#2']]");
    is(1, "users.friends=#2 users.friends=#3");
    ok("[['retract-triple','#1','@users.friends','#2'],"
       "['retract-triple','#1','@users.friends','#9'],"
       "['retract-triple','#8','@users.friends','#2'],"
       "['retract-triple','#1','@users.age',3]]");
    is(1, "users.friends=#3");
}

static void links_of_one_are_replaced(void **state) {
    (void)state;
    ok("[['add-triple','#1','@todos.owner','#2']]");
    ok("[['add-triple','#1','@todos.owner','#3']]");
    is(1, "todos.owner=#3");
}

/* ---- groups ---- */

static void groups_run_in_order_of_first_appearance(void **state) {
    (void)state;
    ok("[['add-triple','#1','@todos.id','#1'],['delete-entity','#1','todos'],"
       "['add-triple','#1','@todos.title','x']]");
    is(1, "");
    ok("[['add-triple','#1','@todos.id','#1']]");
    ok("[['delete-entity','#1','todos'],['add-triple','#1','@todos.id','#1'],"
       "['add-triple','#1','@todos.title','y']]");
    is(1, "todos.id=#1 todos.title='y'");
    ok("[['deep-merge-triple','#1','@todos.title',{'a':1}],"
       "['add-triple','#1','@todos.title','z'],['deep-merge-triple','#1','@todos.title',{'b':1}]]");
    is(1, "todos.id=#1 todos.title='z'");
    ok("[['add-triple','#1','@todos.title',{'c':1}],"
       "['deep-merge-triple','#1','@todos.title',{'b':1}],"
       "['rule-params','#1','todos',{'p':1}]]");
    is(1, "todos.id=#1 todos.title={'c':1,'b':1}");
}

static void failure_undoes_everything(void **state) {
    (void)state;
    make_user(1);
    no("[['add-triple','#1','@users.name','changed'],['add-triple','#2','@todos.title','t'],"
       "['add-triple','#1','@users.age','no number']]",
       "validation-failed",
       "Invalid value type for users.age. Value must be a number but the provided value type is "
       "string.");
    is(1, USER_NULLS);
    is(2, "");
}

/* ---- deep merge ---- */

static void merges_deeply(void **state) {
    (void)state;
    ok("[['deep-merge-triple','#1','@users.bio',{'a':{'n':null},'b':1}]]");
    is(1, "users.bio={'a':{'n':null},'b':1}");
    ok("[['deep-merge-triple','#1','@users.bio',{'a':{'x':1,'n':null},'b':null}],"
       "['deep-merge-triple','#1','@users.bio',{'c':[1],'a':{'y':{'z':null}}}]]");
    is(1, "users.bio={'a':{'x':1,'y':{'z':null}},'c':[1]}");
    ok("[['deep-merge-triple','#1','@users.bio',5]]");
    is(1, "users.bio=5");
    ok("[['deep-merge-triple','#1','@users.bio',{'q':null}]]");
    is(1, "users.bio={'q':null}");
    no("[['deep-merge-triple','#1','@users.friends','#2']]", "sql-raise",
       "Raised Exception: merge operation is not supported for links");
}

/* ---- lookups ---- */

static void lookups_find_and_make(void **state) {
    (void)state;
    ok("[['add-triple',['@users.email','a@x'],'@users.id',['@users.email','a@x']],"
       "['add-triple',['@users.email','a@x'],'@users.name','A']]");
    ok("[['add-triple','#1','@todos.owner',['@users.email','a@x']]]");
    ok("[['add-triple',['@users.email','a@x'],'@users.email','b@x'],"
       "['add-triple',['@users.email','a@x'],'@users.name','B']]");
    ok("[['add-triple','#2','@users.email','c@x'],['add-triple','#2','@users.id','#2']]");
    is(1, "todos.owner=?");
    ok("[['add-triple',['@users.email','c@x'],'@users.name','C']]");
    is(2, "users.email='c@x' users.id=#2 users.name='C'");
    ok("[['retract-triple',['@users.email','c@x'],'@users.name','C'],"
       "['retract-triple',['@users.email','none'],'@users.name','C']]");
    is(2, "users.email='c@x' users.id=#2");
    ok("[['add-triple',['@users.id','#3'],'@users.name','three']]");
    is(3, "users.email=null users.id=#3 users.name='three'");
    ok("[['delete-entity',['@users.email','c@x'],'users'],"
       "['delete-entity',['@users.email','none'],'users']]");
    is(2, "");
    ok("[['add-triple','#5','@todos.title',['@users.email','c@x']]]");
}

static void lookup_refusals(void **state) {
    (void)state;
    no("[['add-triple','#1','@todos.owner',['@users.email','nobody']]]", "validation-failed",
       "Validation failed for lookup: The entity for the lookup does not exist.");
    no("[['add-triple',['@users.email','new@x'],'@users.email','other@x']]", "validation-failed",
       "Validation failed for lookup: Updates with lookups can only update the lookup attribute if "
       "an entity with the unique attribute value already exists.");
    no("[['add-triple',['@users.name','x'],'@users.age',1]]", "sql-raise",
       "Raised Exception: We could not find an attribute with id = '@users.name'");
    no("[['add-triple',['@users.id','x'],'@users.age',1]]", "validation-failed",
       "Validation failed for tx-steps: Invalid lookup '[#uuid \"@users.id\" \"x\"]'. The lookup "
       "attribute is 'users.id', but the lookup value is not a valid UUID.");
    no("[['add-triple',['@users.email','x'],'@todos.title',1]]", "validation-failed",
       "Validation failed for tx-step: Invalid transaction. The namespace in the lookup attribute "
       "is different from the namespace of the attribute that is being set");
    no("[['add-triple',['bbbbbbbb-0000-4000-8000-000000000001','x'],'@todos.title',1]]",
       "validation-failed",
       "Validation failed for lookup: Invalid lookup. Could not determine namespace from lookup "
       "attribute.");
    is(1, "");
}

/* ---- modes ---- */

static void modes(void **state) {
    (void)state;
    make_user(1);
    no("[['add-triple','#1','@users.id','#1',{'mode':'create'}],"
       "['add-triple','#1','@users.name','x',{'mode':'create'}]]",
       "validation-failed", "Validation failed for tx-step: Creating entities that exist: #1, #1");
    no("[['add-triple','#2','@users.name','x',{'mode':'update'}]]", "validation-failed",
       "Validation failed for tx-step: Updating entities that don't exist: #2");
    no("[['add-triple',['@users.email','q'],'@users.name','x',{'mode':'update'}]]",
       "validation-failed",
       "Validation failed for tx-step: Updating entities that don't exist: [#uuid "
       "\"@users.email\" \"q\"]");
    no("[['deep-merge-triple','#1','@todos.title',{},{'mode':'update'}]]", "validation-failed",
       "Validation failed for tx-step: Updating entities that don't exist: #1");
    ok("[['add-triple','#1','@todos.id','#1',{'mode':'create'}]]");
    ok("[['add-triple','#1','@users.name','x',{'mode':'update'}],"
       "['add-triple','#1','@users.age',1,null],['add-triple','#3','@users.age',1,{'mode':'upsert'}"
       "]]");
    is(1, "todos.id=#1 users.age=1 users.email=null users.id=#1 users.name='x'");
}

/* ---- values ---- */

static void checked_types(void **state) {
    (void)state;
    ok("[['add-triple','#1','@users.age',1.5],['add-triple','#1','@users.born','2020-01-01'],"
       "['add-triple','#1','@users.admin',false],['add-triple','#1','@users.name','']]");
    ok("[['add-triple','#1','@users.age',null],['add-triple','#1','@users.born',17],"
       "['add-triple','#1','@users.admin',null],['add-triple','#1','@users.name',null]]");
    no("[['add-triple','#1','@users.name',1]]", "validation-failed",
       "Invalid value type for users.name. Value must be a string but the provided value type is "
       "number.");
    no("[['add-triple','#1','@users.admin',[]]]", "validation-failed",
       "Invalid value type for users.admin. Value must be a boolean but the provided value type is "
       "array.");
    no("[['add-triple','#1','@users.born','not a date']]", "validation-failed",
       "Invalid value type for users.born. Value must be a date but the provided value type is "
       "string.");
    struct inst_value *error =
        no("[['add-triple','#1','@users.age',{'a':1}]]", "validation-failed",
           "Invalid value type for users.age. Value must be a number but the provided value type "
           "is object.");
    const struct inst_value *hint = inst_getz(error, "hint");
    expect_text(inst_getz(hint, "namespace"), "users");
    expect_text(inst_getz(hint, "attribute"), "age");
    expect_text(inst_getz(hint, "checked-data-type"), "number");
    expect_text(inst_getz(hint, "entity-id"), uuid_text(1));
}

static void link_values(void **state) {
    (void)state;
    no("[['add-triple','#1','@todos.owner','x']]", "validation-failed",
       "Validation failed for eid: Expected link value to be a uuid.");
    no("[['add-triple','#1','@todos.owner',null]]", "validation-failed",
       "Validation failed for eid: Expected link value to be a uuid.");
    admin_no("[['add-triple','#1','@todos.owner','x']]", "validation-failed",
             "Linked value must be a valid uuid.");
    no("[['add-triple','#1','@todos.id','#2']]", "validation-failed",
       "Validation failed for tx-step: The value of todos.id must be the id of the entity that it "
       "is set on.");
}

static void uniqueness(void **state) {
    (void)state;
    ok("[['add-triple','#1','@users.email','a'],['add-triple','#2','@users.email','b'],"
       "['add-triple','#3','@users.email',null],['add-triple','#4','@users.email',null]]");
    struct inst_value *error =
        no("[['add-triple','#2','@users.email','a']]", "record-not-unique",
           "`email` is a unique attribute on `users` and an entity already exists with "
           "`users.email` = \"a\"");
    expect_text(inst_getz(inst_getz(error, "hint"), "value"), "\"a\"");
    expect_text(inst_getz(inst_getz(error, "hint"), "record-type"), "triple");
    ok("[['add-triple','#1','@users.email','c'],['add-triple','#2','@users.email','a']]");
    ok("[['add-triple','#1','@users.code',{'k':[1]}]]");
    no("[['add-triple','#2','@users.code',{'k':[1]}]]", "record-not-unique",
       "`code` is a unique attribute on `users` and an entity already exists with `users.code` = "
       "{\"k\":[1]}");
    ok("[['add-triple','#1','@users.profile','#7']]");
    no("[['add-triple','#2','@users.profile','#7']]", "record-not-unique",
       "`profile` is a unique attribute on `users` and an entity already exists with "
       "`users.profile` = \"#7\"");
}

static void sizes_and_nul(void **state) {
    (void)state;
    char *text = malloc(3000), *steps = malloc(4000);
    memset(text, 'x', 3000);
    text[1012] = 0;
    snprintf(steps, 4000, "[['add-triple','#1','@users.name','%s']]", text);
    ok(steps);
    text[1012] = 'x';
    text[1013] = 0;
    snprintf(steps, 4000, "[['add-triple','#1','@users.name','%s']]", text);
    struct inst_value *error =
        no(steps, "validation-failed", "Value is too large for an indexed attribute.");
    assert_true(inst_get_true(inst_getz(error, "hint"), "value-too-large?"));
    snprintf(steps, 4000, "[['add-triple','#1','@users.email','%s']]", text);
    no(steps, "validation-failed", "Value is too large for a unique attribute.");
    snprintf(steps, 4000, "[['add-triple','#1','@users.bio','%s']]", text);
    ok(steps);
    free(text);
    free(steps);
    no("[['add-triple','#1','@users.bio',{'a':['\\u0000']}]]", "validation-failed",
       "A value in the transaction contains null bytes, which cannot be stored.");
    no("[['add-triple','#1','@users.bio',{'\\u0000':1}]]", "validation-failed",
       "A value in the transaction contains null bytes, which cannot be stored.");
}

/* Whatever is stored can be read again by a client, whose JSON is limited in depth too; the fixture
 * reads every message that is sent. */
static void deep_values(void **state) {
    (void)state;
    static char steps[2000];
    make_user(1);
    say(&world, admin, "{'op':'add-query','q':{'users':{}}}");
    expect(admin, "add-query-ok");
    for (unsigned depth = 380; depth < 490; depth += 10) {
        size_t n = (size_t)sprintf(steps, "[['add-triple','#1','@users.bio',");
        memset(steps + n, '[', depth);
        memset(steps + n + depth, ']', depth);
        strcpy(steps + n + 2 * depth, "]]");
        if (depth > INST_SERVER_MAX_VALUE_DEPTH) {
            no(steps, "validation-failed", "Value is nested too deep.");
            continue;
        }
        ok(steps);
        expect(admin, "refresh-ok");
    }
}

/* ---- required ---- */

static void required_attrs(void **state) {
    (void)state;
    no("[['add-triple','#1','@strict.id','#1']]", "validation-failed",
       "Missing required attribute `strict/label`: #1");
    no("[['add-triple','#1','@strict.label','x']]", "validation-failed",
       "Missing required attribute `strict/id`: #1");
    no("[['add-triple','#1','@strict.id','#1'],['add-triple','#2','@strict.id','#2'],"
       "['add-triple','#2','@strict.label',null]]",
       "validation-failed", "Missing required attributes `strict/label`: #1, #2");
    ok("[['add-triple','#1','@strict.id','#1'],['add-triple','#1','@strict.label','x']]");
    struct inst_value *error =
        no("[['retract-triple','#1','@strict.label','x']]", "validation-failed",
           "Missing required attribute `strict/label`: #1");
    const struct inst_value *records = inst_getz(inst_getz(error, "hint"), "records");
    assert_int_equal(records->len, 1);
    expect_text(inst_getz(&records->u.items[0], "label"), "label");
    ok("[['add-triple','#1','@strict.more','y']]");
    ok("[['delete-entity','#1','strict']]");
    is(1, "");
}

/* ---- deletes ---- */

static void delete_is_per_etype(void **state) {
    (void)state;
    ok("[['add-triple','#1','@todos.id','#1'],['add-triple','#1','@users.id','#1'],"
       "['add-triple','#2','@users.friends','#1'],['add-triple','#3','@todos.owner','#1']]");
    ok("[['delete-entity','#1','todos']]");
    is(1, USER_NULLS);
    is(2, "users.friends=#1");
    ok("[['delete-entity','#1',null]]");
    is(1, "");
    is(2, "");
    is(3, "");
    ok("[['delete-entity','#77','users'],['delete-entity','#78']]");
}

static void delete_cascades_over_links_and_cycles(void **state) {
    (void)state;
    ok("[['add-triple','#1','@users.id','#1'],['add-triple','#2','@todos.id','#2'],"
       "['add-triple','#2','@todos.owner','#1'],['add-triple','#2','@todos.title','t'],"
       "['add-triple','#3','@todos.id','#3'],"
       "['add-triple','#1','@users.profile','#4'],['add-triple','#4','@profiles.id','#4']]");
    ok("[['delete-entity','#1','users']]");
    is(1, "");
    is(2, "");
    is(3, "todos.id=#3");
    is(4, ""); /* on-delete-reverse: the profile goes with its user */
    /* a ring of nodes, 50 long, and one that hangs on it */
    char *steps = malloc(20000);
    size_t len = (size_t)sprintf(steps, "[");
    for (int i = 0; i < 50; i++)
        len += (size_t)sprintf(steps + len,
                               "['add-triple','#%d','@nodes.id','#%d'],"
                               "['add-triple','#%d','@nodes.next','#%d'],",
                               100 + i, 100 + i, 100 + i, 100 + (i + 1) % 50);
    sprintf(steps + len, "['add-triple','#200','@nodes.id','#200']]");
    ok(steps);
    free(steps);
    ok("[['delete-entity','#120','nodes']]");
    for (unsigned i = 100; i < 150; i++)
        is(i, "");
    is(200, "nodes.id=#200");
}

static void delete_can_miss_a_required_link(void **state) {
    (void)state;
    admin_ok("[['add-attr',{'id':'cccccccc-0000-4000-8000-000000000001',"
             "'forward-identity':['cccccccc-0000-4000-8000-000000000002','pages','book'],"
             "'reverse-identity':['cccccccc-0000-4000-8000-000000000003','books','pages'],"
             "'value-type':'ref','cardinality':'one','unique?':false,'index?':false,"
             "'required?':true}],"
             "['add-attr',{'id':'cccccccc-0000-4000-8000-000000000004',"
             "'forward-identity':['cccccccc-0000-4000-8000-000000000005','pages','id'],"
             "'value-type':'blob','cardinality':'one','unique?':true,'index?':false}],"
             "['add-attr',{'id':'cccccccc-0000-4000-8000-000000000006',"
             "'forward-identity':['cccccccc-0000-4000-8000-000000000007','books','id'],"
             "'value-type':'blob','cardinality':'one','unique?':true,'index?':false}]]");
    forget_messages(admin);
    forget_messages(user);
    learn_attrs(&world);
    ok("[['add-triple','#1','@pages.id','#1'],['add-triple','#2','@books.id','#2'],"
       "['add-triple','#1','@pages.book','#2']]");
    no("[['delete-entity','#2','books']]", "validation-failed",
       "Missing required attribute `pages/book`: #1");
    ok("[['delete-entity','#2','books'],['delete-entity','#1','pages']]");
}

/* ---- shape ---- */

static void expect_hint(struct inst_value *error, const char *expected, const char *in) {
    const struct inst_value *item = &inst_getz(inst_getz(error, "hint"), "errors")->u.items[0];
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, inst_getz(item, "expected"));
    assert_string_equal(buf.data, expected);
    inst_buf_clear(&buf);
    inst_json_write(&buf, inst_getz(item, "in"));
    assert_string_equal(buf.data, in);
    inst_buf_free(&buf);
}

static void shapes(void **state) {
    (void)state;
    static const struct {
        const char *steps, *expected, *in;
    } cases[] = {
        {"{}", "\"coll?\"", "[]"},
        {"null", "\"coll?\"", "[]"},
        {"'x'", "\"coll?\"", "[]"},
        {"[1]", "\"coll?\"", "[0]"},
        {"[['add-triple','#1','@todos.title',1],null]", "\"coll?\"", "[1]"},
        {"[[]]", "[\"restore-attr\"]", "[0,0]"},
        {"[['nothing']]", "[\"restore-attr\"]", "[0,0]"},
        {"[[7]]", "[\"restore-attr\"]", "[0,0]"},
        {"[['add-triple','#1','@todos.title']]", "\"instant.db.model.triple/value\"", "[0]"},
        {"[['add-triple','#1','title','x']]", "\"uuid?\"", "[0,2]"},
        {"[['add-triple','#1','@todos.title',1,{'mode':'replace'}]]",
         "[\"create\",\"update\",\"upsert\"]", "[0,4,\"mode\"]"},
        {"[['add-triple','#1','@todos.title',1,'create']]", "\"map?\"", "[0,4]"},
        {"[['add-triple','#1','@todos.title',1,null,2]]", "\"cat\"", "[0,5]"},
        {"[['retract-triple','#1','@todos.title',1,null]]", "\"cat\"", "[0,4]"},
        {"[['add-triple',['@users.email'],'@todos.title',1]]", "\"(= (count %) 2)\"", "[0,1]"},
        {"[['add-triple',['email','x'],'@todos.title',1]]", "\"uuid?\"", "[0,1,0]"},
        {"[['delete-entity','#1',7]]", "\"string?\"", "[0,2]"},
        {"[['rule-params','#1','todos']]", "\"map?\"", "[0,3]"},
        {"[['add-attr']]", "\"map?\"", "[0]"},
        {"[['add-attr',{}]]", "\"instant.db.model.attr/value-type\"", "[0,1]"},
        {"[['add-attr',{'value-type':'blob','id':'x'}]]", "\"uuid?\"", "[0,1,\"id\"]"},
        {"[['add-attr',{'value-type':'blob','id':'#1','forward-identity':['#2','a','']}]]",
         "\"instant.db.model.attr/label\"", "[0,1,\"forward-identity\"]"},
        {"[['add-attr',{'value-type':'blob','id':'#1','forward-identity':['#2','a','b'],"
         "'cardinality':'two'}]]",
         "[\"one\",\"many\"]", "[0,1,\"cardinality\"]"},
        {"[['delete-attr','x']]", "\"uuid?\"", "[0,1]"},
        {"[['update-attr',{'cardinality':'one'}]]", "\"(contains? % :id)\"", "[0,1]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_hint(no(cases[i].steps, "validation-failed", "Validation failed for tx-steps"),
                    cases[i].expected, cases[i].in);
    no("[['add-triple','not-an-id','@todos.title',1]]", "validation-failed",
       "Validation failed for tx-steps: Invalid entity ID 'not-an-id'. Entity IDs must be UUIDs. "
       "Use id() or lookup() to generate a valid UUID.");
    no("[['delete-entity',12,'todos']]", "validation-failed",
       "Validation failed for tx-steps: Invalid entity ID '12'. Entity IDs must be UUIDs. Use id() "
       "or lookup() to generate a valid UUID.");
    no("[['add-triple','#1','bbbbbbbb-0000-4000-8000-000000000001','x']]", "sql-raise",
       "Raised Exception: We could not find an attribute with id = "
       "'bbbbbbbb-0000-4000-8000-000000000001'");
    assert_true(ok("[]") > 0);
}

/* ---- tx-ids, resends ---- */

static void tx_ids_count_up(void **state) {
    (void)state;
    double first = ok("[['add-triple','#1','@todos.title',1]]");
    no("[['add-triple','#1','@users.age','x']]", "validation-failed",
       "Invalid value type for users.age. Value must be a number but the provided value type is "
       "string.");
    assert_true(ok("[['add-triple','#1','@todos.title',1]]") == first + 1);
    assert_true(ok("[]") == first + 2);
}

#define EVENT "dddddddd-0000-4000-8000-00000000000"

static void resent_events_are_applied_once(void **state) {
    (void)state;
    const char *message = "{'op':'transact','client-event-id':'" EVENT
                          "1','tx-steps':[['add-triple','#%d','@todos.title',%d]]}";
    say(&world, user, message, 1, 1);
    say(&world, admin, message, 1, 2); /* another connection, the same turn */
    turn(&world);
    double tx = inst_getz(expect(user, "transact-ok"), "tx-id")->u.num;
    struct inst_value *again = expect(admin, "transact-ok");
    assert_true(inst_getz(again, "tx-id")->u.num == tx);
    expect_text(inst_getz(again, "client-event-id"), EVENT "1");
    is(1, "todos.title=1");
    say(&world, user, message, 1, 3); /* later */
    assert_true(inst_getz(expect(user, "transact-ok"), "tx-id")->u.num == tx);
    is(1, "todos.title=1");
    assert_false(inst_server_is_pending(world.server));
}

static void refused_events_may_come_again(void **state) {
    (void)state;
    const char *message = "{'op':'transact','client-event-id':'" EVENT
                          "2','tx-steps':[['add-triple','#1','@users.age',%s]]}";
    say(&world, user, message, "'x'");
    turn(&world);
    expect(user, "error");
    say(&world, user, message, "5");
    turn(&world);
    expect(user, "transact-ok");
    is(1, "users.age=5");
}

/* ---- group commit ---- */

static struct inst_app_db_ops slow_ops;
static const struct inst_app_db_ops *real_ops;

static enum inst_status failing_commit(struct inst_app_db *db, struct inst_err *err) {
    (void)db;
    return inst_err_set(err, "sql-exception", 500, "SQL Exception: disk-full");
}

static void one_commit_for_a_turn(void **state) {
    (void)state;
    struct inst_server_stats before, after;
    inst_server_stats(world.server, &before);
    for (int i = 0; i < 20; i++)
        say(&world, i % 2 ? user : admin,
            "{'op':'transact','client-event-id':%d,'tx-steps':[['add-triple','#%d','@todos.title',"
            "%s]]}",
            i, i + 1, i == 7 ? "'\\u0000'" : "1");
    expect_nothing(user); /* nobody is told before the bytes are durable */
    expect_nothing(admin);
    turn(&world);
    inst_server_stats(world.server, &after);
    assert_int_equal(after.commits - before.commits, 1);
    assert_int_equal(after.transactions - before.transactions, 19);
    for (int i = 0; i < 20; i++) {
        struct inst_value *answer = expect(i % 2 ? user : admin, i == 7 ? "error" : "transact-ok");
        assert_true(inst_getz(answer, "client-event-id")->u.num == i);
    }
    is(8, "");
    is(9, "todos.title=1");
}

static void failed_commit_is_an_error_for_all(void **state) {
    (void)state;
    struct inst_app *app;
    struct inst_err err = {0};
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
    double last = ok("[['add-triple','#1','@todos.title',1]]");
    real_ops = app->db->db_ops;
    slow_ops = *real_ops;
    slow_ops.commit = failing_commit;
    app->db->db_ops = &slow_ops;
    say(&world, user,
        "{'op':'transact','client-event-id':'a','tx-steps':[['add-triple','#1','@todos.title',2]]"
        "}");
    say(&world, admin,
        "{'op':'transact','client-event-id':'b','tx-steps':[['add-attr',"
        "{'id':'cccccccc-0000-4000-8000-000000000001','value-type':'blob','cardinality':'one',"
        "'forward-identity':['cccccccc-0000-4000-8000-000000000002','x','y'],'unique?':false,"
        "'index?':false}]]}");
    turn(&world);
    expect_text(inst_getz(expect_error(user, "sql-exception", "SQL Exception: disk-full"),
                          "client-event-id"),
                "a");
    expect_text(inst_getz(expect_error(admin, "sql-exception", "SQL Exception: disk-full"),
                          "client-event-id"),
                "b");
    app->db->db_ops = real_ops;
    is(1, "todos.title=1");
    learn_attrs(&world);
    assert_null(attr_id(&world, "x.y", 3));
    assert_true(ok("[['add-triple','#1','@todos.title',2]]") == last + 1);
    is(1, "todos.title=2");
}

/* ---- the log ---- */

static struct inst_buf logged;

static enum inst_status spying_log(struct inst_app_db *db, const struct inst_log_record *record,
                                   struct inst_err *err) {
    inst_buf_addf(&logged, "%d %.*s %.*s\n", record->event != NULL, (int)record->who_len,
                  record->who, (int)record->changes_len, record->changes);
    return real_ops->append_log(db, record, err);
}

static void log_records(void **state) {
    (void)state;
    struct inst_app *app;
    struct inst_err err = {0};
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
    real_ops = app->db->db_ops;
    slow_ops = *real_ops;
    slow_ops.append_log = spying_log;
    app->db->db_ops = &slow_ops;
    inst_buf_init(&logged);
    ok("[['add-triple','#1','@todos.id','#1'],['add-triple','#1','@todos.title','a']]");
    admin_ok(
        "[['add-triple','#1','@todos.title',{'b':1}],['add-triple','#1','@todos.owner','#2']]");
    ok("[['delete-entity','#1','todos']]");
    ok("[]");
    say(&world, user, "{'op':'transact','client-event-id':'" EVENT "1','tx-steps':[]}");
    turn(&world);
    app->db->db_ops = real_ops;
    char *wanted = expanded(
        &world,
        "0 null {'triples':[['+','#1','@todos.id','#1',T],['+','#1','@todos.title','a',T]],"
        "'attrs':[['~',A],['~',A]]}\n"
        "0 {'admin':true} {'triples':[['-','#1','@todos.title','a',T],"
        "['+','#1','@todos.title',{'b':1},T],['+','#1','@todos.owner','#2',T]],"
        "'attrs':[['~',A],['~',A]]}\n"
        "0 null {'triples':[['-','#1','@todos.id','#1',T],['-','#1','@todos.title',{'b':1},T],"
        "['-','#1','@todos.owner','#2',T]],'attrs':[]}\n"
        "0 null {'triples':[],'attrs':[]}\n"
        "1 null {'triples':[],'attrs':[]}\n");
    /* times and whole attrs are left out of the comparison */
    struct inst_buf got;
    inst_buf_init(&got);
    for (const char *c = logged.data; *c;) {
        if (strncmp(c, ",17000", 6) == 0) {
            inst_buf_add_str(&got, ",T");
            c += 14;
        } else if (strncmp(c, "[\"~\",{", 6) == 0) {
            inst_buf_add_str(&got, "[\"~\",A]");
            c = strstr(c, "}]") + 2;
        } else {
            inst_buf_add_char(&got, *c++);
        }
    }
    assert_string_equal(got.data, wanted);
    free(wanted);
    inst_buf_free(&got);
    inst_buf_free(&logged);
}

static void many_steps(void **state) {
    (void)state;
    size_t count = 100000, cap = count * 110 + 100, len = 0;
    char *text = malloc(cap);
    const char *attr = attr_id(&world, "todos.title", 11);
    len += (size_t)sprintf(text, "{\"op\":\"transact\",\"client-event-id\":\"t\",\"tx-steps\":[");
    for (size_t i = 0; i < count; i++)
        len += (size_t)sprintf(text + len, "%s[\"add-triple\",\"%s\",\"%s\",%zu]", i ? "," : "",
                               uuid_text((unsigned)i + 1), attr, i);
    sprintf(text + len, "]}");
    receive(user, text);
    turn(&world);
    expect(user, "transact-ok");
    is(100000, "todos.title=99999");
    free(text);
}

static void too_many_steps(void **state) {
    (void)state;
    size_t count = 250001;
    char *text = malloc(count * 3 + 200);
    size_t len = (size_t)sprintf(text, "{\"op\":\"transact\",\"tx-steps\":[0");
    for (size_t i = 1; i < count; i++)
        len += (size_t)sprintf(text + len, ",0");
    sprintf(text + len, "]}");
    receive(user, text);
    turn(&world);
    struct inst_value *error =
        expect_error(user, "parameter-limit-exceeded",
                     "There are too many parameters in the transaction or query.");
    assert_true(inst_getz(error, "status")->u.num == 500);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(writes_and_overwrites),
        T(keeps_created_at),
        T(created_in_order_within_a_millisecond),
        T(created_when_the_clock_says),
        T(lower_cases_uuids),
        T(fills_indexed_blobs_with_null),
        T(links_of_many_are_a_set),
        T(links_of_one_are_replaced),
        T(groups_run_in_order_of_first_appearance),
        T(failure_undoes_everything),
        T(merges_deeply),
        T(lookups_find_and_make),
        T(lookup_refusals),
        T(modes),
        T(checked_types),
        T(link_values),
        T(uniqueness),
        T(sizes_and_nul),
        T(deep_values),
        T(required_attrs),
        T(delete_is_per_etype),
        T(delete_cascades_over_links_and_cycles),
        T(delete_can_miss_a_required_link),
        T(shapes),
        T(tx_ids_count_up),
        T(resent_events_are_applied_once),
        T(refused_events_may_come_again),
        T(one_commit_for_a_turn),
        T(failed_commit_is_an_error_for_all),
        T(log_records),
        T(many_steps),
        T(too_many_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
