/*
 * Live queries, case by case: what leaves, what comes, who is told, who is not.
 */
#include "io_server_fixture.h"

#include "server/limits.h"

#include <malloc.h>

static const char schema[] =
    "{'entities':{"
    "'users':{'attrs':{"
    "'name':{'valueType':'string','required':false,'config':{'indexed':true,'unique':false}},"
    "'team':{'valueType':'string','required':false,'config':{'indexed':false,'unique':false}}}},"
    "'todos':{'attrs':{"
    "'title':{'valueType':'string','required':false,'config':{'indexed':true,'unique':false}},"
    "'rank':{'valueType':'number','required':false,'config':{'indexed':true,'unique':false}},"
    "'due':{'valueType':'date','required':false,'config':{'indexed':true,'unique':false}},"
    "'done':{'valueType':'boolean','required':false,'config':{'indexed':false,'unique':false}}}}},"
    "'links':{'owner':{'forward':{'on':'todos','label':'owner','has':'one'},"
    "'reverse':{'on':'users','label':'todos','has':'many'}}}}";

static struct world world;
static struct connection *c, *other, *admin;

static int set_up(void **state) {
    (void)state;
    world_open(&world, ":memory:", schema);
    c = enter(&world, false);
    other = enter(&world, false);
    admin = enter(&world, true);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    disconnect(c);
    disconnect(other);
    disconnect(admin);
    world_close(&world);
    return 0;
}

#define write(steps) transact(&world, other, steps)

/* ---- reading results ---- */

/* Which test entities have an id triple in this result, as "1 2 30", ascending. */
static const char *members(const struct inst_value *result) {
    static char text[20000];
    bool seen[2000] = {false};
    const struct inst_value *data = inst_getz(&result->u.items[0], "data");
    const struct inst_value *row =
        &inst_getz(inst_getz(data, "datalog-result"), "join-rows")->u.items[0];
    for (uint32_t i = 0; i < row->len; i++) {
        const struct inst_value *t = row->u.items[i].u.items;
        unsigned n;
        char id[INST_UUID_TEXT + 1] = "";
        memcpy(id, t[0].u.str, INST_UUID_TEXT);
        if (inst_value_equal(&t[0], &t[2]) && sscanf(id, "aaaaaaaa-0000-4000-8000-%12x", &n) == 1 &&
            n < 2000)
            seen[n] = true;
    }
    size_t len = 0;
    text[0] = 0;
    for (unsigned n = 0; n < 2000; n++)
        if (seen[n])
            len += (size_t)sprintf(text + len, "%s%u", len ? " " : "", n);
    return text;
}

static void asks(struct connection *who, const char *q, const char *wanted) {
    say(&world, who, "{'op':'add-query','q':%s}", q);
    struct inst_value *m = expect(who, "add-query-ok");
    assert_string_equal(members(inst_getz(m, "result")), wanted);
}

/* The next message is one refresh of one computation with these members. */
static void told(struct connection *who, const char *wanted) {
    struct inst_value *m = expect(who, "refresh-ok");
    assert_int_equal(inst_getz(m, "computations")->len, 1);
    const struct inst_value *computation = &inst_getz(m, "computations")->u.items[0];
    assert_string_equal(members(inst_getz(computation, "instaql-result")), wanted);
    assert_null(inst_getz(m, "attrs"));
    struct inst_app *app;
    struct inst_err err = {0};
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
    assert_true(inst_getz(m, "processed-tx-id")->u.num == (double)app->last_tx);
}

static uint64_t runs(void) {
    struct inst_server_stats stats;
    inst_server_stats(world.server, &stats);
    return stats.computations_run;
}

static void make_todo(unsigned n, const char *more) {
    char steps[1000];
    snprintf(steps, sizeof steps, "[['add-triple','#%u','@todos.id','#%u']%s]", n, n, more);
    write(steps);
}

/* ---- conditions on ids ---- */

/* The store has entities where others have texts of ids. */
static void by_id(void **state) {
    (void)state;
    for (unsigned n = 1; n <= 3; n++)
        make_todo(n, "");
    asks(c, "{'todos':{'$':{'where':{'id':'#2'}}}}", "2");
    asks(c, "{'todos':{'$':{'where':{'id':{'$in':['#2','#3']}}}}}", "2 3");
    asks(c, "{'todos':{'$':{'where':{'id':{'$not':'#2'}}}}}", "1 3");
    asks(c, "{'todos':{'$':{'where':{'or':[{'id':{'$ne':'#1'}},{'id':'#2'}]}}}}", "2 3");
}

/* How many triples of this attr the answer to a query has. */
static unsigned triples_of(const char *q, const char *attr) {
    say(&world, c, "{'op':'add-query','q':%s}", q);
    const struct inst_value *result = inst_getz(expect(c, "add-query-ok"), "result");
    const struct inst_value *data = inst_getz(&result->u.items[0], "data");
    const struct inst_value *row =
        &inst_getz(inst_getz(data, "datalog-result"), "join-rows")->u.items[0];
    unsigned count = 0;
    for (uint32_t i = 0; i < row->len; i++)
        count += inst_is_string(&row->u.items[i].u.items[1], attr_id(&world, attr, strlen(attr)));
    return count;
}

/* The official client tries the condition again on what it has. */
static void what_is_not_null_is_shown(void **state) {
    (void)state;
    write("[['add-triple','#1','@users.id','#1'],['add-triple','#1','@users.team','red'],"
          "['add-triple','#5','@todos.id','#5'],['add-triple','#5','@todos.owner','#1'],"
          "['add-triple','#6','@todos.id','#6'],['add-triple','#6','@todos.owner','#1']]");
    assert_int_equal(
        triples_of("{'users':{'$':{'where':{'todos':{'$isNull':false}}}}}", "todos.owner"), 1);
    assert_int_equal(triples_of("{'users':{'$':{'where':{'team':{'$isNull':false}},'fields':['id']"
                                "}}}",
                                "users.team"),
                     1);
    assert_int_equal(
        triples_of("{'todos':{'$':{'where':{'owner.team':{'$isNull':false}}}}}", "users.team"), 1);
    assert_int_equal(
        triples_of("{'users':{'$':{'where':{'team':{'$isNull':true}}}}}", "users.team"), 0);
}

/* ---- rows come and leave ---- */

static void by_value(void **state) {
    (void)state;
    asks(c, "{'todos':{'$':{'where':{'title':'a'}}}}", "");
    make_todo(1, ",['add-triple','#1','@todos.title','a']");
    told(c, "1");
    make_todo(2, ",['add-triple','#2','@todos.title','b']");
    expect_nothing(c);
    write("[['add-triple','#2','@todos.title','a']]");
    told(c, "1 2");
    write("[['add-triple','#1','@todos.title',null]]");
    told(c, "2");
    write("[['delete-entity','#2','todos']]");
    told(c, "");
    write("[['add-triple','#1','@todos.title','c'],['add-triple','#9','@users.team','a']]");
    expect_nothing(c);
}

static void by_null(void **state) {
    (void)state;
    make_todo(1, "");
    make_todo(2, ",['add-triple','#2','@todos.title','x']");
    asks(c, "{'todos':{'$':{'where':{'title':{'$isNull':true}}}}}", "1");
    write("[['add-triple','#1','@todos.title','y']]");
    told(c, "");
    write("[['add-triple','#2','@todos.title',null]]");
    told(c, "2");
}

static void through_a_link(void **state) {
    (void)state;
    make_todo(1, ",['add-triple','#1','@todos.owner','#11'],"
                 "['add-triple','#11','@users.id','#11'],['add-triple','#11','@users.team','red'],"
                 "['add-triple','#12','@users.id','#12'],"
                 "['add-triple','#12','@users.team','blue']");
    asks(c, "{'todos':{'$':{'where':{'owner.team':'red'}}}}", "1");
    write("[['add-triple','#11','@users.team','green']]"); /* the linked entity changes */
    told(c, "");
    write("[['add-triple','#12','@users.team','red']]"); /* nobody's owner */
    forget_messages(c);
    write("[['add-triple','#1','@todos.owner','#12']]"); /* the link changes */
    told(c, "1");
    write("[['retract-triple','#1','@todos.owner','#12']]");
    told(c, "");
    write("[['add-triple','#1','@todos.owner','#12']]");
    told(c, "1");
    write("[['delete-entity','#12','users']]");
    told(c, "");
}

static void nested_entities(void **state) {
    (void)state;
    write("[['add-triple','#11','@users.id','#11'],['add-triple','#11','@users.name','n']]");
    make_todo(1, ",['add-triple','#1','@todos.owner','#11']");
    asks(c, "{'users':{'todos':{}}}", "1 11");
    make_todo(2, "");
    expect_nothing(c);
    write("[['add-triple','#2','@todos.owner','#11']]");
    told(c, "1 2 11");
    write("[['add-triple','#2','@todos.title','deep']]");
    told(c, "1 2 11");
    write("[['delete-entity','#1','todos']]");
    told(c, "2 11");
}

static void order_and_limit(void **state) {
    (void)state;
    for (unsigned i = 1; i <= 9; i++) {
        char more[100];
        snprintf(more, sizeof more, ",['add-triple','#%u','@todos.rank',%u]", i, i * 10);
        make_todo(i, more);
    }
    asks(c, "{'todos':{'$':{'order':{'rank':'asc'},'limit':3}}}", "1 2 3");
    uint64_t before = runs();
    write("[['add-triple','#7','@todos.rank',75]]"); /* far behind the window */
    expect_nothing(c);
    assert_int_equal(runs(), before);
    write("[['add-triple','#9','@todos.rank',5]]"); /* moves in front */
    told(c, "1 2 9");
    write("[['add-triple','#1','@todos.rank',85]]"); /* leaves, the next comes up */
    told(c, "2 3 9");
    write("[['delete-entity','#2','todos']]");
    told(c, "3 4 9");
    write("[['add-triple','#8','@todos.rank',null]]"); /* null is lowest */
    told(c, "3 8 9");
    make_todo(20, ",['add-triple','#20','@todos.rank',1000]");
    expect_nothing(c);
}

static void newest_first(void **state) {
    (void)state;
    for (unsigned i = 1; i <= 5; i++)
        make_todo(i, "");
    asks(c, "{'todos':{'$':{'order':{'serverCreatedAt':'desc'},'limit':2}}}", "4 5");
    write("[['delete-entity','#1','todos']]");
    expect_nothing(c);
    make_todo(6, "");
    told(c, "5 6");
    write("[['delete-entity','#5','todos']]");
    told(c, "4 6");
}

static void date_windows(void **state) {
    (void)state;
    make_todo(1, ",['add-triple','#1','@todos.due','2020-01-01']");
    asks(c, "{'todos':{'$':{'where':{'due':{'$gt':'2021-01-01'}}}}}", "");
    uint64_t before = runs();
    write("[['add-triple','#1','@todos.due','2020-06-01']]");
    assert_int_equal(runs(), before);
    write("[['add-triple','#1','@todos.due',1700000000000]]");
    told(c, "1");
    write("[['add-triple','#1','@todos.due','Sat, 04 May 2019 00:00:00 GMT']]");
    told(c, "");
}

/* Both ends of a window are one range: what lies outside of either wakes nobody. */
static void windows_from_two_sides(void **state) {
    (void)state;
    static const int ranks[] = {5, 10, 15, 20, 25};
    for (unsigned i = 0; i < 5; i++) {
        char more[100];
        snprintf(more, sizeof more, ",['add-triple','#%u','@todos.rank',%d]", i + 1, ranks[i]);
        make_todo(i + 1, more);
    }
    asks(c, "{'todos':{'$':{'where':{'and':[{'rank':{'$gte':10}},{'rank':{'$lt':20}}]}}}}", "2 3");
    asks(c, "{'todos':{'$':{'where':{'and':[{'rank':{'$lt':10}},{'rank':{'$gt':20}}]}}}}", "");
    asks(c,
         "{'todos':{'$':{'where':{'or':[{'and':[{'rank':{'$lte':5}},{'rank':{'$gt':4}}]},"
         "{'and':[{'rank':{'$gt':20}},{'rank':{'$lte':25}}]}]}}}}",
         "1 5");
    uint64_t before = runs();
    write("[['add-triple','#1','@todos.rank',-1],['add-triple','#5','@todos.rank',100]]");
    told(c, "");
    assert_int_equal(runs() - before, 1); /* the third */
    write("[['add-triple','#5','@todos.rank',12],['add-triple','#2','@todos.rank',9]]");
    told(c, "3 5");
    expect_nothing(c);
}

/* ---- what was unknown becomes known ---- */

static void unknown_entity(void **state) {
    (void)state;
    asks(c, "{'todos':{'$':{'where':{'id':'#77'}}}}", "");
    asks(c, "{'todos':{'$':{'where':{'owner':'#78'}}}}", "");
    make_todo(77, "");
    told(c, "77");
    write("[['add-triple','#77','@todos.owner','#78']]");
    told(c, "77"); /* in the first query: its owner changed */
    told(c, "77"); /* in the second: it came */
    expect_nothing(c);
}

#define NEW_ATTR(n, etype, label, more)                                                            \
    "['add-attr',{'id':'cccccccc-0000-4000-8000-00000000000" n                                     \
    "','forward-identity':['cccccccc-0000-4000-8001-00000000000" n "','" etype "','" label         \
    "']," more ",'unique?':false,'index?':false}]"
#define BLOB "'value-type':'blob','cardinality':'one'"

static void unknown_names(void **state) {
    (void)state;
    make_todo(1, "");
    asks(c, "{'things':{}}", "");
    asks(c, "{'todos':{'$':{'where':{'mood':'good'}}}}", "");
    asks(c, "{'todos':{'parts':{}}}", "1");
    write("[" NEW_ATTR("1", "things", "id", BLOB) ",['add-triple','#5',"
                                                  "'cccccccc-0000-4000-8000-000000000001','#5']]");
    expect(c, "refresh-ok"); /* attrs */
    told(c, "5");
    write(
        "[" NEW_ATTR("2", "todos", "mood", BLOB) ",['add-triple','#1',"
                                                 "'cccccccc-0000-4000-8000-000000000002','good']]");
    expect(c, "refresh-ok");
    told(c, "1");
    told(c, "1"); /* {todos: {parts}} shows the new attr too */
    write("[" NEW_ATTR(
        "3", "todos", "parts",
        "'value-type':'ref','cardinality':'many','reverse-identity':["
        "'cccccccc-0000-4000-8001-000000000009','things','whole']") ","
                                                                    "['add-triple','#1','cccccccc-"
                                                                    "0000-4000-8000-000000000003','"
                                                                    "#5']]");
    expect(c, "refresh-ok");
    told(c, "1 5");
    expect_nothing(c);
}

static void attrs_come_before_results(void **state) {
    (void)state;
    make_todo(1, "");
    asks(c, "{'todos':{}}", "1");
    write("[" NEW_ATTR("1", "todos", "extra", BLOB) ",['add-triple','#1',"
                                                    "'cccccccc-0000-4000-8000-000000000001',1]]");
    struct inst_value *m = expect(c, "refresh-ok");
    assert_int_equal(inst_getz(m, "attrs")->tag, INST_ARRAY);
    assert_int_equal(inst_getz(m, "computations")->len, 0);
    told(c, "1");
}

/* ---- who is told ---- */

static void unchanged_is_not_sent(void **state) {
    (void)state;
    make_todo(1, ",['add-triple','#1','@todos.title','a']");
    asks(c, "{'todos':{}}", "1");
    uint64_t before = runs();
    write("[['add-triple','#1','@todos.id','#1'],['add-triple','#1','@todos.title','a']]");
    assert_int_equal(runs(), before); /* nothing was written */
    say(&world, other,
        "{'op':'transact','client-event-id':1,'tx-steps':"
        "[['add-triple','#1','@todos.title','b']]}");
    say(&world, other,
        "{'op':'transact','client-event-id':2,'tx-steps':"
        "[['add-triple','#1','@todos.title','a']]}");
    turn(&world);
    assert_int_equal(runs(), before + 1); /* once for both, and the result is as it was */
    expect_nothing(c);
}

static void same_bytes_for_all(void **state) {
    (void)state;
    asks(c, "{'todos':{}}", "");
    asks(other, "{'todos':{}}", "");
    uint64_t before = runs();
    say(&world, admin, "{'op':'transact','tx-steps':[['add-triple','#1','@todos.id','#1']]}");
    turn(&world);
    assert_int_equal(runs(), before + 1);
    expect(c, "refresh-ok");
    char *text = strdup(c->taken->text);
    expect(other, "refresh-ok");
    assert_string_equal(other->taken->text, text);
    free(text);
}

static void current_results_need_no_run(void **state) {
    (void)state;
    make_todo(1, "");
    asks(c, "{'todos':{}}", "1");
    uint64_t before = runs();
    write("[['add-triple','#11','@users.id','#11']]");
    say(&world, other, "{'op':'add-query','q':{'todos':{}}}");
    struct inst_value *m = expect(other, "add-query-ok");
    assert_string_equal(members(inst_getz(m, "result")), "1");
    assert_true(inst_getz(m, "processed-tx-id")->u.num == 4); /* making, schema, todo, user */
    assert_int_equal(runs(), before);
}

static void writer_is_answered_before_others_are_told(void **state) {
    (void)state;
    asks(other, "{'todos':{}}", "");
    say(&world, other, "{'op':'transact','tx-steps':[['add-triple','#1','@todos.id','#1']]}");
    turn(&world);
    expect(other, "transact-ok");
    told(other, "1");
}

/* ---- failures stay where they are ---- */

static void a_failing_query_stops_nobody(void **state) {
    (void)state;
    make_todo(1, ",['add-triple','#1','@todos.rank',1]");
    const char *fragile = "{'todos':{'$':{'order':{'rank':'asc'},'limit':5}}}";
    asks(c, fragile, "1");
    asks(c, "{'todos':{}}", "1");
    asks(other, "{'todos':{'$':{'where':{'rank':1}}}}", "1");
    char steps[200];
    snprintf(steps, sizeof steps, "[['update-attr',{'id':'@todos.rank','index?':false}]]");
    transact(&world, admin, steps); /* the writer's answer is its own */
    expect(c, "refresh-ok");        /* attrs */
    struct inst_value *e =
        expect_error(c, "validation-failed",
                     "Validation failed for query: The `todos.rank` attribute is not indexed. Only "
                     "indexed and typed attributes can be used to order by.");
    const struct inst_value *event = inst_getz(e, "original-event");
    expect_text(inst_getz(event, "op"), "add-query");
    assert_int_equal(inst_getz(event, "q")->tag, INST_OBJECT);
    assert_int_equal(inst_getz(e, "client-event-id")->tag, INST_NULL);
    expect_nothing(c); /* told once */
    forget_messages(other);
    make_todo(2, ",['add-triple','#2','@todos.rank',1]");
    told(c, "1 2");
    told(other, "1 2");
    expect_nothing(c);
    transact(&world, admin, "[['update-attr',{'id':'@todos.rank','index?':true}]]");
    expect(c, "refresh-ok");
    told(c, "1 2"); /* it works again and says so */
}

/* A store that fails its scans of one attr: a fault of the machine, not of the query. */
static const struct inst_store_ops *real_store_ops;
static struct inst_store_ops broken_store_ops;
static uint32_t broken_row;

static enum inst_status broken_scan(struct inst_store *store, const struct inst_scan *scan,
                                    struct inst_cursor *cursor, struct inst_err *err) {
    if (scan->attr->row == broken_row)
        return inst_err_set(err, "data-file", 500, "read error");
    return real_store_ops->scan(store, scan, cursor, err);
}

static void a_broken_disk_is_retried(void **state) {
    (void)state;
    struct inst_app *app;
    struct inst_err err = {0};
    make_todo(1, "");
    asks(c, "{'todos':{'$':{'where':{'title':{'$isNull':true}}}}}", "1");
    asks(c, "{'users':{}}", "");
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
    real_store_ops = app->db->store.ops;
    broken_store_ops = *real_store_ops;
    broken_store_ops.scan = broken_scan;
    broken_store_ops.fields = NULL; /* they are scanned then */
    const char *id = attr_id(&world, "todos.title", 11);
    broken_row = inst_attrs_by_id(app->catalog->attrs, id, INST_UUID_TEXT)->row;
    /* Broken between the commit and the refresh: the transaction reads the attr itself. */
    say(&world, other,
        "{'op':'transact','tx-steps':[['add-triple','#2','@todos.id','#2'],"
        "['add-triple','#3','@users.id','#3']]}");
    app->db->store.ops = &broken_store_ops;
    turn(&world);
    app->db->store.ops = real_store_ops;
    expect(other, "transact-ok"); /* a reader's trouble is not the writer's */
    bool has_failed = false, is_told = false;
    for (int i = 0; i < 2; i++) {
        struct inst_value *m = take(c);
        if (inst_is_string(inst_getz(m, "op"), "error")) {
            has_failed = true; /* what the disk said is not for the other end of a socket */
            assert_true(
                inst_is_string(inst_getz(m, "message"),
                               "The backend could not read or write its data; its log says why."));
        }
        is_told = is_told || inst_is_string(inst_getz(m, "op"), "refresh-ok");
    }
    assert_true(has_failed && is_told);
    write("[['add-triple','#3','@users.team','x']]"); /* any commit: tried again */
    for (int i = 0; i < 2; i++) {
        struct inst_value *m = expect(c, "refresh-ok");
        const struct inst_value *computation = &inst_getz(m, "computations")->u.items[0];
        const char *got = members(inst_getz(computation, "instaql-result"));
        assert_true(strcmp(got, "1 2") == 0 || strcmp(got, "3") == 0);
    }
    expect_nothing(c);
}

static size_t bytes_in_use(void) {
#if defined(__SANITIZE_ADDRESS__)
    extern size_t __sanitizer_get_current_allocated_bytes(void);
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks;
#endif
}

static void slow_readers_cost_nothing_here(void **state) {
    (void)state;
    c->is_deaf = true; /* takes every message and reads none */
    say(&world, c, "{'op':'add-query','q':{'todos':{}}}");
    other->is_deaf = true;
    size_t before = 0, sent = c->count;
    for (int i = 0; i < 600; i++) {
        say(&world, other,
            "{'op':'transact','tx-steps':[['add-triple','#1','@todos.title','%d'],"
            "['add-triple','#1','@todos.id','#1']]}",
            i);
        turn(&world);
        if (i == 100)
            before = bytes_in_use();
    }
    assert_int_equal(c->count - sent, 600);
    size_t after = bytes_in_use();
    assert_true(after < before + 200000); /* the data file's log is in memory here */
}

/* ---- many ---- */

static void wide_results_coarsen(void **state) {
    (void)state;
    unsigned count = INST_READ_SET_MAX_KEYS * 2;
    struct inst_buf b;
    inst_buf_init(&b);
    inst_buf_add_char(&b, '[');
    for (unsigned i = 1; i <= count; i++)
        inst_buf_addf(&b,
                      "%s['add-triple','#%u','@todos.id','#%u'],"
                      "['add-triple','#%u','@todos.owner','#1999']",
                      i > 1 ? "," : "", i, i, i);
    inst_buf_add_char(&b, ']');
    write(b.data);
    inst_buf_free(&b);
    say(&world, c, "{'op':'add-query','q':{'todos':{'owner':{}}}}");
    expect(c, "add-query-ok");
    struct inst_app *app;
    struct inst_err err = {0};
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
    static const unsigned picks[] = {1, INST_READ_SET_MAX_KEYS, INST_READ_SET_MAX_KEYS * 2};
    for (size_t i = 0; i < 3; i++) {
        char steps[200];
        snprintf(steps, sizeof steps, "[['add-triple','#%u','@todos.done',true]]", picks[i]);
        write(steps);
        expect(c, "refresh-ok");
    }
    write("[['add-triple','#1999','@users.id','#1999']]");
    expect(c, "refresh-ok");
}

static void wide_queries_depend_on_every_name(void **state) {
    (void)state;
    struct inst_buf b;
    inst_buf_init(&b);
    inst_buf_add_char(&b, '{');
    for (unsigned i = 0; i < INST_READ_SET_MAX_NAMES + 50; i++)
        inst_buf_addf(&b, "'n%u':{},", i);
    inst_buf_add_str(&b, "'last':{}}");
    asks(c, b.data, "");
    inst_buf_free(&b);
    write("[" NEW_ATTR("1", "last", "id", BLOB) ",['add-triple','#5',"
                                                "'cccccccc-0000-4000-8000-000000000001','#5']]");
    expect(c, "refresh-ok");
    told(c, "5");
}

/* A transaction asks the read-sets, it does not walk them: thousands that it does not touch do not
 * run, one that it does touch does. */
static void only_touched_queries_run(void **state) {
    (void)state;
    c->is_deaf = true;
    for (int i = 0; i < 4000; i++)
        say(&world, c, "{'op':'add-query','q':{'todos':{'$':{'where':{'title':'t%d'}}}}}", i);
    for (int i = 0; i < 500; i++)
        say(&world, c, "{'op':'add-query','q':{'todos':{'$':{'where':{'rank':{'$gt':%d}}}}}}",
            1000 + i);
    uint64_t before = runs();
    size_t sent = c->count;
    make_todo(1,
              ",['add-triple','#1','@todos.title','t17'],['add-triple','#1','@todos.rank',1003]");
    assert_int_equal(runs() - before, 1 + 3); /* $gt 1000, 1001, 1002 */
    assert_int_equal(c->count - sent, 4);
}

/* What was asked of an entity was whether it has this value, or any: another one is no news. */
static void only_other_answers_wake(void **state) {
    (void)state;
    write("[['add-triple','#1','@users.id','#1'],['add-triple','#1','@users.name','a'],"
          "['add-triple','#1','@users.team','x']]");
    asks(c, "{'users':{'$':{'where':{'name':'a','team':'y'}}}}", "");
    asks(c, "{'users':{'$':{'where':{'name':'a','team':{'$isNull':true}}}}}", "");
    uint64_t before = runs();
    write("[['add-triple','#1','@users.team','z']]");
    assert_int_equal(runs() - before, 0);
    write("[['add-triple','#1','@users.team','y']]");
    told(c, "1");
    assert_int_equal(runs() - before, 1);
    write("[['add-triple','#1','@users.team',null]]");
    expect(c, "refresh-ok");
    expect(c, "refresh-ok");
    assert_int_equal(runs() - before, 1 + 2);
}

/* A row that meets one condition of two runs nothing, and is not forgotten. */
static void half_a_match_runs_nothing(void **state) {
    (void)state;
    asks(c, "{'todos':{'$':{'where':{'title':'a','owner.team':'red'}}}}", "");
    asks(c, "{'todos':{'$':{'where':{'done':{'$isNull':false}}}}}", "");
    uint64_t before = runs();
    make_todo(1, ",['add-triple','#1','@todos.title','a']");
    write("[['add-triple','#11','@users.id','#11'],['add-triple','#1','@todos.owner','#11']]");
    assert_int_equal(runs() - before, 0);
    write("[['add-triple','#11','@users.team','red']]");
    told(c, "1");
    write("[['add-triple','#1','@todos.done',true]]");
    expect(c, "refresh-ok"); /* both show it */
    expect(c, "refresh-ok");
    before = runs();
    write("[['retract-triple','#1','@todos.owner','#11']]");
    expect(c, "refresh-ok");
    expect(c, "refresh-ok");
    assert_int_equal(runs() - before, 2);
    before = runs();
    write("[['add-triple','#11','@users.team','blue']]"); /* nobody's owner any more */
    assert_int_equal(runs() - before, 0);
}

/* One triple may stand for two conditions: when it is gone neither has an answer. */
static void one_triple_twice_in_a_match(void **state) {
    (void)state;
    make_todo(1, ",['add-triple','#1','@todos.title','a'],['add-triple','#1','@todos.owner','#11'],"
                 "['add-triple','#11','@users.id','#11']");
    asks(c, "{'todos':{'$':{'where':{'owner.todos.title':'a'},'fields':['title']}}}", "1");
    write("[['retract-triple','#1','@todos.owner','#11']]");
    told(c, "");
}

/* One row of eight matches: a short page is walked to, a long one is not and is gathered. */
static void pages_of_scattered_matches(void **state) {
    (void)state;
    enum { ROWS = 800, STEP = 8 };
    struct inst_buf steps;
    inst_buf_init(&steps);
    inst_buf_add_char(&steps, '[');
    for (unsigned n = 1; n <= ROWS; n++)
        inst_buf_addf(&steps,
                      "%s['add-triple','#%u','@todos.id','#%u'],"
                      "['add-triple','#%u','@todos.rank',%u],['add-triple','#%u','@todos.title',"
                      "'%s']",
                      n > 1 ? "," : "", n, n, n, n, n, n % STEP == 0 ? "hit" : "miss");
    inst_buf_add_char(&steps, ']');
    write(steps.data);
    inst_buf_free(&steps);
    for (unsigned limit = 5; limit <= 90; limit += 17) {
        for (unsigned offset = 0; offset <= 6; offset += 3) {
            char q[200], first[1000] = "", last[1000] = "";
            for (unsigned n = 0; n < limit; n++) {
                unsigned back = ROWS / STEP - offset - limit + n + 1;
                snprintf(first + strlen(first), 12, "%s%u", n ? " " : "", (offset + n + 1) * STEP);
                snprintf(last + strlen(last), 12, "%s%u", n ? " " : "", back * STEP);
            }
            snprintf(q, sizeof q,
                     "{'todos':{'$':{'where':{'title':'hit'},'order':{'rank':'asc'},'limit':%u,"
                     "'offset':%u}}}",
                     limit, offset);
            asks(c, q, first);
            snprintf(q, sizeof q,
                     "{'todos':{'$':{'where':{'title':'hit'},'order':{'rank':'asc'},'last':%u,"
                     "'offset':%u}}}",
                     limit, offset);
            asks(c, q, last);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(by_id),
        T(what_is_not_null_is_shown),
        T(by_value),
        T(by_null),
        T(through_a_link),
        T(nested_entities),
        T(order_and_limit),
        T(newest_first),
        T(date_windows),
        T(windows_from_two_sides),
        T(unknown_entity),
        T(unknown_names),
        T(attrs_come_before_results),
        T(unchanged_is_not_sent),
        T(same_bytes_for_all),
        T(current_results_need_no_run),
        T(writer_is_answered_before_others_are_told),
        T(a_failing_query_stops_nobody),
        T(a_broken_disk_is_retried),
        T(slow_readers_cost_nothing_here),
        T(wide_results_coarsen),
        T(wide_queries_depend_on_every_name),
        T(only_touched_queries_run),
        T(only_other_answers_wake),
        T(half_a_match_runs_nothing),
        T(one_triple_twice_in_a_match),
        T(pages_of_scattered_matches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
