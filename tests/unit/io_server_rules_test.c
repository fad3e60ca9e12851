/* Permission rules of an app, as its sessions meet them (permissions.md 7). */
#include "io_server_fixture.h"

static const char SCHEMA[] =
    "{'entities':{"
    "'todos':{'attrs':{'title':{'valueType':'string'},'owner':{'valueType':'string'},"
    "'secret':{'valueType':'string'},'done':{'valueType':'boolean'},'doc':{'valueType':'json'}}},"
    "'lists':{'attrs':{'name':{'valueType':'string'}}},"
    "'comments':{'attrs':{'text':{'valueType':'string'}}}},"
    "'links':{"
    "'todoList':{'forward':{'on':'todos','has':'one','label':'list'},"
    "'reverse':{'on':'lists','has':'many','label':'todos'}},"
    "'listMembers':{'forward':{'on':'lists','has':'many','label':'members'},"
    "'reverse':{'on':'$users','has':'many','label':'lists'}},"
    "'commentTodo':{'forward':{'on':'comments','has':'one','label':'todo','onDelete':'cascade'},"
    "'reverse':{'on':'todos','has':'many','label':'comments'}}}}";

static struct world world;
static struct connection *admin, *ann, *bob, *nobody;

/* Users are entities 1 and 2. */
static struct connection *enter_as(unsigned user) {
    struct connection *c = enter(&world, false);
    if (user != 0)
        memcpy(c->session->viewer.user, uuid_text(user), INST_UUID_TEXT + 1);
    return c;
}

static int setup(void **state) {
    (void)state;
    world_open(&world, ":memory:", SCHEMA);
    admin = enter(&world, true);
    transact(&world, admin,
             "[['add-triple','#1','@$users.id','#1'],['add-triple','#1','@$users.email','a@x'],"
             "['add-triple','#2','@$users.id','#2'],['add-triple','#2','@$users.email','b@x'],"
             "['add-triple','#10','@lists.id','#10'],['add-triple','#10','@lists.name','first'],"
             "['add-triple','#10','@lists.members','#1'],"
             "['add-triple','#20','@todos.id','#20'],['add-triple','#20','@todos.title','of ann'],"
             "['add-triple','#20','@todos.owner','#1'],['add-triple','#20','@todos.secret','s1'],"
             "['add-triple','#20','@todos.list','#10'],"
             "['add-triple','#21','@todos.id','#21'],['add-triple','#21','@todos.title','of bob'],"
             "['add-triple','#21','@todos.owner','#2'],['add-triple','#21','@todos.secret','s2'],"
             "['add-triple','#30','@comments.id','#30'],['add-triple','#30','@comments.text','c'],"
             "['add-triple','#30','@comments.todo','#21']]");
    ann = enter_as(1);
    bob = enter_as(2);
    nobody = enter_as(0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    struct connection *all[] = {admin, ann, bob, nobody};
    for (size_t i = 0; i < 4; i++)
        disconnect(all[i]);
    world_close(&world);
    return 0;
}

static struct inst_app *app(void) {
    struct inst_app *out;
    assert_int_equal(inst_app_get(world.server, world.app.id, &out, NULL), INST_OK);
    return out;
}

static enum inst_status set_rules(const char *rules, struct inst_err *err) {
    struct inst_arena arena;
    struct inst_value code;
    char *text = quoted(rules);
    for (char *c = text; *c; c++)
        *c = *c == '`' ? '\'' : *c; /* quotes inside of a rule */
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, text, strlen(text), &code, NULL), INST_OK);
    enum inst_status st = inst_app_set_rules(app(), &code, err);
    inst_arena_free(&arena);
    free(text);
    return st;
}

static void rules(const char *text) {
    struct inst_err err = {0};
    if (set_rules(text, &err) != INST_OK)
        fail_msg("%s", err.message);
}

/* The answer's text. */
static const char *ask(struct connection *c, const char *q) {
    forget_messages(c);
    say(&world, c, "{'op':'remove-query','q':%s}", q);
    say(&world, c, "{'op':'add-query','client-event-id':'q','q':%s}", q);
    turn(&world);
    expect(c, "remove-query-ok");
    take(c);
    return c->taken->text;
}

static void sees(struct connection *c, const char *q, const char *part, bool does) {
    const char *text = ask(c, q);
    assert_non_null(strstr(text, "add-query-ok"));
    if ((strstr(text, part) != NULL) != does)
        fail_msg("%s %s in %s", does ? "no" : "there is", part, text);
}

static const char TODOS[] = "{'todos':{}}";

static void denied(struct connection *c, const char *steps, const char *etype) {
    struct inst_value *error =
        refused(&world, c, steps, "permission-denied", "Permission denied: not perms-pass?");
    const struct inst_value *input = inst_getz(inst_getz(error, "hint"), "input");
    expect_text(&input->u.items[0], etype);
}

/* ---- queries ---- */

static void view_by_owner(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'view':'auth.id != null && auth.id == data.owner'}}}");
    sees(ann, TODOS, "of ann", true);
    sees(ann, TODOS, "of bob", false);
    sees(bob, TODOS, "of bob", true);
    sees(bob, TODOS, "of ann", false);
    sees(nobody, TODOS, "of ", false);
    sees(admin, TODOS, "of bob", true);
    /* nor through a link, nor by a condition on a hidden one */
    sees(bob, "{'lists':{'todos':{}}}", "of ann", false);
    sees(bob, "{'lists':{'$':{'where':{'todos.title':'of ann'}}}}", "first", false);
    sees(ann, "{'lists':{'$':{'where':{'todos.title':'of ann'}}}}", "first", true);
}

static void fields_and_defaults(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'view':'true'},'fields':{'secret':'auth.id == data.owner'}},"
          "'$default':{'allow':{'$default':'false'}}}");
    sees(ann, TODOS, "s1", true);
    sees(ann, TODOS, "s2", false);
    sees(ann, TODOS, "of bob", true);
    sees(ann, "{'lists':{}}", "first", false);
    sees(ann, "{'todos':{'$':{'where':{'secret':'s2'}}}}", "of bob", false);
}

static void refs_and_params(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'view':'auth.id in data.ref(`list.members.id`)'}},"
          "'lists':{'allow':{'view':'data.name == ruleParams.name'}},"
          "'comments':{'allow':{'view':'`first` in auth.ref(`$user.lists.name`)'}}}");
    sees(ann, TODOS, "of ann", true);
    sees(ann, TODOS, "of bob", false);
    sees(bob, TODOS, "of ann", false);
    sees(bob, "{'lists':{}}", "first", false);
    sees(bob, "{'lists':{},'$$ruleParams':{'name':'first'}}", "first", true);
    sees(ann, "{'comments':{}}", "[\"aaaaaaaa", true);
    sees(bob, "{'comments':{}}", "[\"aaaaaaaa", false);
}

/* What a rule read is watched: a membership that changes lets rows come and go. */
static void refs_are_live(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'view':'auth.id in data.ref(`list.members.id`)'}}}");
    sees(bob, TODOS, "of ann", false);
    forget_messages(bob);
    transact(&world, admin, "[['add-triple','#10','@lists.members','#2']]");
    expect(bob, "refresh-ok");
    assert_non_null(strstr(bob->taken->text, "of ann"));
    transact(&world, admin, "[['retract-triple','#10','@lists.members','#2']]");
    expect(bob, "refresh-ok");
    assert_null(strstr(bob->taken->text, "of ann"));
    /* the user's own row is read too */
    rules("{'todos':{'allow':{'view':'auth.email == `new@x`'}}}");
    sees(bob, TODOS, "of ann", false);
    forget_messages(bob);
    transact(&world, admin, "[['add-triple','#2','@$users.email','new@x']]");
    expect(bob, "refresh-ok");
    assert_non_null(strstr(bob->taken->text, "of ann"));
}

/* Rules that change are as good as data that changes. */
static void changed_rules_refresh(void **state) {
    (void)state;
    sees(ann, TODOS, "of bob", true);
    sees(bob, TODOS, "of ann", true);
    forget_messages(ann);
    forget_messages(bob);
    rules("{'todos':{'allow':{'view':'auth.id == data.owner'}}}");
    expect(ann, "refresh-ok");
    assert_null(strstr(ann->taken->text, "of bob"));
    assert_non_null(strstr(ann->taken->text, "of ann"));
    expect(bob, "refresh-ok");
    assert_null(strstr(bob->taken->text, "of ann"));
    transact(&world, admin, "[['add-triple','#21','@todos.title','of bob, changed']]");
    expect(bob, "refresh-ok");
    expect_nothing(ann);
    rules("{}");
    expect(ann, "refresh-ok");
    assert_non_null(strstr(ann->taken->text, "of bob, changed"));
}

/* Viewers are told apart only where a rule does. */
static void viewers_share(void **state) {
    (void)state;
    struct inst_server_stats stats;
    rules("{'todos':{'allow':{'view':'data.done == null'}},"
          "'lists':{'allow':{'view':'auth.id != null'}}}");
    ask(ann, TODOS);
    inst_server_stats(world.server, &stats);
    size_t before = stats.computations;
    ask(bob, TODOS);
    ask(nobody, TODOS);
    inst_server_stats(world.server, &stats);
    assert_int_equal(stats.computations, before);
    ask(ann, "{'lists':{}}");
    ask(bob, "{'lists':{}}");
    inst_server_stats(world.server, &stats);
    assert_int_equal(stats.computations, before + 2);
}

static void came_from(struct connection *c, const char *ip, const char *origin) {
    struct inst_err err = {0};
    assert_int_equal(inst_session_set_caller(c->session, ip, origin, &err), INST_OK);
}

/* Guests of two addresses are told apart, but only where a rule asks for the address. */
static void callers_are_told_apart(void **state) {
    (void)state;
    struct inst_server_stats stats;
    came_from(ann, "192.0.2.1", "");
    came_from(bob, "192.0.2.2", "https://app.example");
    came_from(nobody, "192.0.2.2", "https://app.example");
    rules("{'todos':{'allow':{'view':'request.ip == `192.0.2.2`',"
          "'create':'request.origin == `https://app.example`'}},"
          "'lists':{'allow':{'view':'request.time > timestamp(0)'}},"
          "'comments':{'allow':{'view':'has(request.origin)'}}}");
    sees(ann, TODOS, "of ann", false);
    sees(bob, TODOS, "of ann", true);
    sees(nobody, TODOS, "of ann", true);
    sees(admin, TODOS, "of ann", true);
    sees(ann, "{'comments':{}}", "[\"aaaaaaaa", false);
    sees(bob, "{'comments':{}}", "[\"aaaaaaaa", true);
    transact(&world, bob, "[['add-triple','#40','@todos.id','#40']]");
    denied(ann, "[['add-triple','#41','@todos.id','#41']]", "todos");
    ask(ann, "{'lists':{}}");
    inst_server_stats(world.server, &stats);
    size_t before = stats.computations;
    ask(bob, "{'lists':{}}");
    ask(nobody, "{'lists':{}}");
    inst_server_stats(world.server, &stats);
    assert_int_equal(stats.computations, before);
    /* rules that no longer ask for it bring them together */
    forget_messages(ann);
    rules("{}");
    expect(ann, "refresh-ok");
    sees(ann, TODOS, "of ann", true);
    char *endless = malloc(3000);
    assert_non_null(endless);
    memset(endless, 'a', 2999);
    endless[2999] = '\0';
    came_from(ann, "", endless);
    assert_null(ann->session->viewer.from.origin);
    free(endless);
}

/* One failing rule fails its own query, and says so; others go on. */
static void failing_rule(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'view':'data.doc.x == 1'}}}");
    say(&world, ann, "{'op':'add-query','client-event-id':'q','q':{'todos':{}}}");
    say(&world, ann, "{'op':'add-query','client-event-id':'q','q':{'lists':{}}}");
    turn(&world);
    struct inst_value *error = expect_error(
        ann, "permission-evaluation-failed",
        "Could not evaluate permission rule for `todos.view`. You may have a typo. Debug this in "
        "the sandbox and then update your permission rules.");
    expect_text(inst_getz(inst_getz(inst_getz(error, "hint"), "error"), "type"),
                "ATTRIBUTE_NOT_FOUND");
    expect(ann, "add-query-ok");
}

static void costly_rule(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'view':'[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, "
          "[1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all("
          "e, [1,2,3,4,5,6,7,8,9,10].all(f, a + b > 0))))))'}}}");
    const char *text = ask(ann, TODOS);
    assert_non_null(strstr(text, "permission-evaluation-failed"));
    assert_non_null(strstr(text, "more than 1000000 steps"));
}

/* Whatever a rule does, it ends soon and says why; others go on. */
static void hostile_rules(void **state) {
    (void)state;
    static const struct {
        const char *view, *why;
    } cases[] = {
        /* every list holds the one before it twice: 2^60 parts in a hundred bytes of memory */
        {"cel.bind(a, [1], cel.bind(b, [a, a], cel.bind(c, [b, b], cel.bind(d, [c, c], "
         "cel.bind(e, [d, d], cel.bind(f, [e, e], cel.bind(g, [f, f], cel.bind(h, [g, g], "
         "cel.bind(i, [h, h], cel.bind(j, [i, i], cel.bind(k, [j, j], cel.bind(l, [k, k], "
         "cel.bind(m, [l, l], cel.bind(n, [m, m], cel.bind(o, [n, n], cel.bind(p, [o, o], "
         "cel.bind(q, [p, p], cel.bind(r, [q, q], cel.bind(s, [r, r], cel.bind(t, [s, s], "
         "cel.bind(u, [t, t], [u, data.title] == [u, data.id])))))))))))))))))))))",
         "more than 1000000 steps"},
        {"ruleParams.many.all(x, ruleParams.many.all(y, x + y >= 0))", "more than 1000000 steps"},
        {"ruleParams.many.all(x, ruleParams.many in [ruleParams.many, data.title])",
         "more than 1000000 steps"},
        {"ruleParams.many.map(x, data.ref(`list.members.id`)).size() > 0", "more than 10000 refs"},
        {"data.ref(`list.todos.list.todos.list.todos.list.todos.list.todos.list.todos.list.todos."
         "list.todos.list.todos.list.todos.list.todos.list.todos.list.todos.list.todos.list.todos."
         "list.todos.list.id`) == []",
         "the limit is 32 labels"},
    };
    struct inst_buf q, rule;
    inst_buf_init(&q);
    inst_buf_init(&rule);
    inst_buf_add_str(&q, "{'todos':{},'$$ruleParams':{'many':[");
    for (int i = 0; i < 20000; i++)
        inst_buf_addf(&q, "%s%d", i ? "," : "", i);
    inst_buf_add_str(&q, "]}}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        inst_buf_clear(&rule);
        inst_buf_addf(&rule, "{'todos':{'allow':{'view':'%s'}}}", cases[i].view);
        rules(rule.data);
        const char *text = ask(ann, q.data);
        if (strstr(text, "permission-evaluation-failed") == NULL ||
            strstr(text, cases[i].why) == NULL)
            fail_msg("%s: %.1000s", cases[i].view, text);
        sees(ann, "{'lists':{}}", "first", true);
    }
    inst_buf_free(&q);
    inst_buf_free(&rule);
}

/* What is not too much for one row is for all of them together. */
static void rules_share_a_limit(void **state) {
    (void)state;
    struct inst_buf steps;
    inst_buf_init(&steps);
    inst_buf_add_char(&steps, '[');
    for (int i = 0; i < 200; i++)
        inst_buf_addf(&steps, "%s['add-triple','#%d','@todos.id','#%d']", i ? "," : "", 1000 + i,
                      1000 + i);
    inst_buf_add_char(&steps, ']');
    transact(&world, admin, steps.data);
    inst_buf_free(&steps);
    rules("{'todos':{'allow':{'view':'[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, "
          "[1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8].all(e, "
          "a + b > 0)))))'}}}");
    const char *text = ask(ann, TODOS);
    assert_non_null(strstr(text, "permission-evaluation-failed"));
    assert_non_null(strstr(text, "of one query or transaction take too many steps"));
    sees(ann, "{'todos':{'$':{'where':{'title':'of ann'}}}}", "of ann", true);
}

/* ---- transactions ---- */

static void create_update_delete(void **state) {
    (void)state;
    rules(
        "{'todos':{'allow':{'create':'newData.owner == auth.id','update':'data.owner == auth.id "
        "&& newData.owner == data.owner','delete':'data.owner == auth.id && data.done == true'}}}");
    denied(bob, "[['add-triple','#40','@todos.id','#40'],['add-triple','#40','@todos.owner','#1']]",
           "todos");
    transact(&world, bob,
             "[['add-triple','#40','@todos.id','#40'],['add-triple','#40','@todos.owner','#2']]");
    denied(bob, "[['add-triple','#20','@todos.title','mine now']]", "todos");
    denied(bob,
           "[['add-triple','#40','@todos.title','x'],['add-triple','#40','@todos.owner','#1']]",
           "todos");
    transact(&world, bob, "[['add-triple','#40','@todos.title','x']]");
    denied(bob, "[['delete-entity','#40','todos']]", "todos");
    transact(&world, bob, "[['add-triple','#40','@todos.done',true]]");
    transact(&world, bob, "[['delete-entity','#40','todos']]");
    denied(bob, "[['delete-entity','#99','todos']]", "todos");
    expect_state(&world, 40, "");
    transact(&world, admin, "[['delete-entity','#20','todos']]");
}

/* All or nothing, over several entities. */
static void one_denial_refuses_all(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'update':'data.owner == auth.id'}}}");
    denied(ann, "[['add-triple','#20','@todos.title','a'],['add-triple','#21','@todos.title','b']]",
           "todos");
    sees(admin, TODOS, "of ann", true);
    /* an error of evaluation beats a denial */
    rules("{'todos':{'allow':{'update':'data.owner == auth.id'}},"
          "'lists':{'allow':{'update':'data.name.x.y == 1'}}}");
    refused(
        &world, ann,
        "[['add-triple','#21','@todos.title','b'],['add-triple','#10','@lists.name','c']]",
        "permission-evaluation-failed",
        "Could not evaluate permission rule for `lists.update`. You may have a typo. Debug this "
        "in the sandbox and then update your permission rules.");
}

static void modified_fields_and_merges(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'update':'request.modifiedFields.all(f, f in [`done`, `doc`]) && "
          "(newData.doc == null || newData.doc.n == 1)'}}}");
    transact(&world, bob, "[['add-triple','#20','@todos.done',true]]");
    denied(bob, "[['add-triple','#20','@todos.title','x']]", "todos");
    transact(&world, bob, "[['deep-merge-triple','#20','@todos.doc',{'n':1}]]");
    transact(&world, bob, "[['deep-merge-triple','#20','@todos.doc',{'m':2}]]");
    denied(bob, "[['deep-merge-triple','#20','@todos.doc',{'n':2}]]", "todos");
}

static void link_rules(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'link':{'list':'auth.id in linkedData.ref(`members.id`)'},"
          "'unlink':{'list':'data.owner == auth.id'},'update':'false','create':'true'}}}");
    denied(bob, "[['add-triple','#21','@todos.list','#10']]", "todos");
    transact(&world, ann, "[['add-triple','#21','@todos.list','#10']]");
    denied(ann, "[['retract-triple','#21','@todos.list','#10']]", "todos");
    transact(&world, bob, "[['retract-triple','#21','@todos.list','#10']]");
    /* of a new entity too, once it is there */
    denied(bob, "[['add-triple','#41','@todos.id','#41'],['add-triple','#41','@todos.list','#10']]",
           "todos");
    transact(&world, ann,
             "[['add-triple','#41','@todos.id','#41'],['add-triple','#41','@todos.list','#10']]");
    /* without a rule for the link: update of this side, view of the other */
    rules("{'todos':{'allow':{'update':'true'}},'lists':{'allow':{'view':'auth.id == null'}}}");
    denied(bob, "[['add-triple','#21','@todos.list','#10']]", "lists");
    transact(&world, nobody, "[['add-triple','#21','@todos.list','#10']]");
}

/* A cascade asks for everything that it takes along. */
static void cascades(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'delete':'true'}},'comments':{'allow':{'delete':'false'}}}");
    denied(bob, "[['delete-entity','#21','todos']]", "comments");
    transact(&world, bob, "[['delete-entity','#20','todos']]");
    rules("{}");
    transact(&world, bob, "[['delete-entity','#21','todos']]");
    expect_state(&world, 30, "");
}

static void rule_params_of_steps(void **state) {
    (void)state;
    rules("{'todos':{'allow':{'update':'ruleParams.key == `k`'}}}");
    denied(bob, "[['add-triple','#20','@todos.title','x']]", "todos");
    transact(&world, bob,
             "[['rule-params','#20','todos',{'key':'k'}],['add-triple','#20','@todos.title','x']]");
    denied(bob,
           "[['rule-params','#21','todos',{'key':'k'}],['add-triple','#20','@todos.title','x']]",
           "todos");
}

static void attrs_and_system(void **state) {
    (void)state;
    static const char attr[] =
        "[['add-attr',{'id':'cccccccc-0000-4000-8000-00000000000%d','forward-identity':"
        "['cccccccc-0000-4000-8001-00000000000%d','todos','new%d'],'value-type':'blob',"
        "'cardinality':'one','unique?':false,'index?':false}]]";
    char steps[512];
    snprintf(steps, sizeof steps, attr, 1, 1, 1);
    transact(&world, bob, steps);
    rules("{'attrs':{'allow':{'create':'false'}}}");
    snprintf(steps, sizeof steps, attr, 2, 2, 2);
    denied(bob, steps, "attrs");
    transact(&world, admin, steps);
    /* users: their own row */
    rules("{'$users':{'allow':{'view':'true','update':'auth.id == data.id'}}}");
    sees(bob, "{'$users':{}}", "a@x", true);
    rules("{}");
    sees(bob, "{'$users':{}}", "a@x", false);
    sees(bob, "{'$users':{}}", "b@x", true);
}

static void rate_limits(void **state) {
    (void)state;
    rules("{'$rateLimits':{'post':{'limits':[{'capacity':2}]}},"
          "'todos':{'allow':{'create':'rateLimit.post.limit(auth.id)'}}}");
    transact(&world, ann, "[['add-triple','#50','@todos.id','#50']]");
    transact(&world, ann, "[['add-triple','#51','@todos.id','#51']]");
    struct inst_value *error = refused(&world, ann, "[['add-triple','#52','@todos.id','#52']]",
                                       "rate-limited", "Your request exceeded the rate limit.");
    assert_true(inst_getz(inst_getz(error, "hint"), "retry-after")->u.num > 0);
    transact(&world, bob, "[['add-triple','#52','@todos.id','#52']]");
    world.now += 3600000;
    transact(&world, ann, "[['add-triple','#53','@todos.id','#53']]");
}

/* ---- saving ---- */

static void rules_are_kept(void **state) {
    (void)state;
    struct inst_err err = {0};
    rules("{'todos':{'allow':{'view':'false'}}}");
    assert_int_equal(set_rules("{'todos':{'allow':{'view':'nope'},'bind':['a']}}", &err),
                     INST_FAILED);
    assert_string_equal(err.type, "validation-failed");
    assert_string_equal(err.message,
                        "Validation failed for rule: bind should have an even number of elements, "
                        "bind should have an even number of elements");
    inst_err_clear(&err);
    sees(ann, TODOS, "of ann", false); /* what was there goes on */
    struct inst_rules *read;
    inst_rules_free(app()->rules);
    app()->rules = NULL;
    assert_int_equal(inst_app_rules(app(), &read, &err), INST_OK);
    assert_non_null(inst_getz(inst_rules_code(read), "todos"));
}

int main(void) {
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(view_by_owner),
        CASE(fields_and_defaults),
        CASE(refs_and_params),
        CASE(refs_are_live),
        CASE(changed_rules_refresh),
        CASE(viewers_share),
        CASE(callers_are_told_apart),
        CASE(failing_rule),
        CASE(costly_rule),
        CASE(hostile_rules),
        CASE(rules_share_a_limit),
        CASE(create_update_delete),
        CASE(one_denial_refuses_all),
        CASE(modified_fields_and_merges),
        CASE(link_rules),
        CASE(cascades),
        CASE(rule_params_of_steps),
        CASE(attrs_and_system),
        CASE(rate_limits),
        CASE(rules_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
