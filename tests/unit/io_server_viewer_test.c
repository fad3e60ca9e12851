/*
 * Who sees what of the system's namespaces, and which viewers share a computation (permissions.md
 * 2.1, 7.1).
 */
#include "io_server_fixture.h"

#define SCHEMA                                                                                     \
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','config':{}}}}},"                \
    "'links':{'owner':{'forward':{'on':'todos','label':'owner','has':'one'},"                      \
    "'reverse':{'on':'$users','label':'todos','has':'many'}}}}"

/* Users 1, 2 and a guest 3 of user 1; todos 11 of user 1, 12 of user 2. */
static int open_world(void **state) {
    struct world *w = malloc(sizeof *w);
    world_open(w, ":memory:", SCHEMA);
    w->admin = enter(w, true);
    transact(w, w->admin,
             "[['add-triple','#1','@$users.id','#1'],['add-triple','#1','@$users.email','a@b.c'],"
             "['add-triple','#2','@$users.id','#2'],['add-triple','#2','@$users.email','b@b.c'],"
             "['add-triple','#3','@$users.id','#3'],"
             "['add-triple','#3','@$users.linkedPrimaryUser','#1'],"
             "['add-triple','#11','@todos.id','#11'],['add-triple','#11','@todos.title','one'],"
             "['add-triple','#11','@todos.owner','#1'],"
             "['add-triple','#12','@todos.id','#12'],['add-triple','#12','@todos.title','two'],"
             "['add-triple','#12','@todos.owner','#2']]");
    forget_messages(w->admin);
    *state = w;
    return 0;
}

static int close_world(void **state) {
    struct world *w = *state;
    disconnect(w->admin);
    world_close(w);
    free(w);
    return 0;
}

/* A session of user n (0: nobody). */
static struct connection *enter_as(struct world *w, unsigned n) {
    struct connection *c = enter(w, false);
    if (n > 0)
        memcpy(c->session->viewer.user, uuid_text(n), INST_UUID_TEXT + 1);
    return c;
}

static void expect_json(const struct inst_value *v, const char *wanted) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, v);
    char *text = quoted(wanted);
    if (strcmp(buf.data, text) != 0)
        fail_msg("wanted: %s\n   got: %s", text, buf.data);
    free(text);
    inst_buf_free(&buf);
}

static void ask(struct world *w, struct connection *c, const char *q, const char *wanted) {
    say(w, c, "{'op':'add-query','client-event-id':'q','return-type':'tree','q':%s}", q);
    turn(w);
    char *text = expanded(w, wanted);
    expect_json(inst_getz(expect(c, "add-query-ok"), "result"), text);
    free(text);
}

static void test_rows(void **state) {
    struct world *w = *state;
    static const char q[] = "{'$users':{'$':{'fields':['email']}}}";
    struct connection *nobody = enter_as(w, 0), *one = enter_as(w, 1), *two = enter_as(w, 2);
    struct connection *gone = enter_as(w, 99);
    ask(w, nobody, q, "{'$users':[]}");
    ask(w, gone, q, "{'$users':[]}");
    ask(w, one, q, "{'$users':[{'email':'a@b.c','id':'#1'},{'id':'#3'}]}");
    ask(w, two, q, "{'$users':[{'email':'b@b.c','id':'#2'}]}");
    /* the other system namespaces are nobody's */
    ask(w, one, "{'$files':{}}", "{'$files':[]}");
    ask(w, one, "{'$userRefreshTokens':{}}", "{'$userRefreshTokens':[]}");
    /* through links as well, and live */
    static const char nested[] = "{'todos':{'$':{'fields':['title']},'owner':{'$':{'fields':["
                                 "'email']}}}}";
    ask(w, two, nested,
        "{'todos':[{'title':'one','id':'#11','owner':[]},"
        "{'title':'two','id':'#12','owner':[{'email':'b@b.c','id':'#2'}]}]}");
    transact(w, w->admin, "[['add-triple','#2','@$users.email','c@b.c']]");
    expect_json(inst_getz(&inst_getz(expect(two, "refresh-ok"), "computations")->u.items[0],
                          "instaql-result"),
                "{'$users':[{'email':'c@b.c','id':'aaaaaaaa-0000-4000-8000-000000000002'}]}");
    expect(two, "refresh-ok");
    expect_nothing(nobody);
    /* a new guest of the user appears */
    transact(w, w->admin,
             "[['add-triple','#4','@$users.id','#4'],"
             "['add-triple','#4','@$users.linkedPrimaryUser','#2']]");
    const struct inst_value *computation =
        &inst_getz(expect(two, "refresh-ok"), "computations")->u.items[0];
    assert_int_equal(inst_getz(inst_getz(computation, "instaql-result"), "$users")->len, 2);
    disconnect(nobody);
    disconnect(gone);
    disconnect(one);
    disconnect(two);
}

static size_t computations(struct world *w) {
    struct inst_server_stats stats;
    inst_server_stats(w->server, &stats);
    return stats.computations;
}

static void join(struct world *w, struct connection *c, const char *q) {
    say(w, c, "{'op':'add-query','client-event-id':'q','q':%s}", q);
    turn(w);
    expect(c, "add-query-ok");
}

static void test_sharing(void **state) {
    struct world *w = *state;
    struct connection *one = enter_as(w, 1), *two = enter_as(w, 2), *nobody = enter_as(w, 0);
    static const struct {
        const char *q;
        size_t count; /* computations of three viewers */
    } cases[] = {
        {"{'todos':{}}", 1},
        {"{'todos':{'$':{'where':{'owner':'#1'}}}}", 1},
        {"{'todos':{'$':{'where':{'or':[{'title':'x'},{'owner.email':'x'}]}}}}", 3},
        {"{'todos':{'$':{'where':{'owner.id':'#1'}}}}", 3},
        {"{'todos':{'owner':{}}}", 3},
        {"{'$users':{}}", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t before = computations(w);
        join(w, one, cases[i].q);
        join(w, two, cases[i].q);
        join(w, nobody, cases[i].q);
        if (computations(w) - before != cases[i].count)
            fail_msg("%s: %zu computations", cases[i].q, computations(w) - before);
    }
    disconnect(one);
    disconnect(two);
    disconnect(nobody);
    assert_int_equal(computations(w), 0);
}

/* An attr that leads into $users is made while everybody shares one computation. */
static void test_parting(void **state) {
    struct world *w = *state;
    struct connection *c[] = {enter_as(w, 0), enter_as(w, 1), enter_as(w, 2)};
    for (size_t i = 0; i < 3; i++)
        ask(w, c[i], "{'todos':{'$':{'fields':['title']},'watcher':{'$':{'fields':['email']}}}}",
            "{'todos':[{'title':'one','id':'#11','watcher':[]},"
            "{'title':'two','id':'#12','watcher':[]}]}");
    assert_int_equal(computations(w), 1);
    transact(w, w->admin,
             "[['add-attr',{'id':'#77','forward-identity':['#78','todos','watcher'],"
             "'reverse-identity':['#79','$users','watches'],'value-type':'ref','cardinality':"
             "'many','unique?':false,'index?':false}],['add-triple','#11','#77','#1']]");
    assert_int_equal(computations(w), 3);
    for (size_t i = 0; i < 3; i++) {
        const struct inst_value *message = expect(c[i], "refresh-ok"); /* attrs */
        if (i > 0)
            message = expect(c[i], "refresh-ok");
        while (inst_getz(message, "computations")->len == 0 && c[i]->first != NULL)
            message = expect(c[i], "refresh-ok");
        const struct inst_value *list = inst_getz(message, "computations");
        size_t seen = 0;
        if (list->len > 0) {
            const struct inst_value *todos =
                inst_getz(inst_getz(&list->u.items[0], "instaql-result"), "todos");
            for (uint32_t k = 0; k < todos->len; k++)
                seen += inst_getz(&todos->u.items[k], "watcher")->len;
        }
        assert_int_equal(seen, i == 1 ? 1 : 0);
        expect_nothing(c[i]);
    }
    for (size_t i = 0; i < 3; i++)
        disconnect(c[i]);
    assert_int_equal(computations(w), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_sharing, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_parting, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
