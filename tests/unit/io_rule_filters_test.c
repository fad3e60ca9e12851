/*
 * View rules as conditions of queries against the same rules asked row by row (permissions.md 10),
 * over rules, data and queries that are made up.
 */
#include "io_server_fixture.h"

#include "server/evaluation.h"

static const char SCHEMA[] =
    "{'entities':{"
    "'todos':{'attrs':{'title':{'valueType':'string'},'x':{'valueType':'json'},"
    "'n':{'valueType':'number','config':{'indexed':true,'unique':false}},"
    "'s':{'valueType':'string','config':{'indexed':true,'unique':false}},"
    "'b':{'valueType':'boolean'},'uid':{'valueType':'string'}}},"
    "'teams':{'attrs':{'name':{'valueType':'string'},'x':{'valueType':'json'}}}},"
    "'links':{"
    "'a':{'forward':{'on':'todos','has':'one','label':'team'},"
    "'reverse':{'on':'teams','has':'many','label':'todos'}},"
    "'m':{'forward':{'on':'teams','has':'many','label':'members'},"
    "'reverse':{'on':'$users','has':'many','label':'teams'}}}}";

enum { USERS = 4, TEAMS = 6, TODOS = 130, FIRST_TEAM = 10, FIRST_TODO = 100 };

static struct world world;
static struct connection *admin;
static uint64_t dice;

static unsigned roll(unsigned sides) { return (unsigned)(next_random(&dice) >> 33) % sides; }

static const char *one_of(const char *const *list, unsigned count) { return list[roll(count)]; }
#define ONE_OF(list) one_of(list, sizeof(list) / sizeof *(list))

/* ---- data ---- */

static const char *random_value(void) {
    static const char *const values[] = {"null", "true", "false", "0",    "1",     "2",      "1.5",
                                         "'a'",  "'b'",  "''",    "'ab'", "[1,2]", "{'k':1}"};
    return ONE_OF(values);
}

static void put(struct inst_buf *steps, unsigned e, const char *attr, const char *value) {
    inst_buf_addf(steps, "%s['add-triple','#%u','@%s',%s]", steps->len > 1 ? "," : "", e, attr,
                  value);
}

static void put_link(struct inst_buf *steps, unsigned e, const char *attr, unsigned target) {
    char value[16];
    snprintf(value, sizeof value, "'#%u'", target);
    put(steps, e, attr, value);
}

static void write_todo(struct inst_buf *steps, unsigned e) {
    char text[32];
    put_link(steps, e, "todos.id", e);
    snprintf(text, sizeof text, "'t%u'", roll(5));
    put(steps, e, "todos.title", text);
    if (roll(4) > 0)
        put(steps, e, "todos.x", random_value());
    if (roll(4) > 0) {
        snprintf(text, sizeof text, "%u%s", roll(6), roll(3) == 0 ? ".5" : "");
        put(steps, e, "todos.n", text);
    }
    if (roll(4) > 0)
        put(steps, e, "todos.s", roll(2) ? "'a'" : roll(2) ? "'abc'" : "'b%_'");
    if (roll(3) > 0)
        put(steps, e, "todos.b", roll(2) ? "true" : roll(5) ? "false" : "null");
    if (roll(5) > 0)
        put_link(steps, e, "todos.uid", 1 + roll(USERS));
    if (roll(5) > 0)
        put_link(steps, e, "todos.team", FIRST_TEAM + roll(TEAMS));
}

static void apply(struct inst_buf *steps) {
    inst_buf_add_char(steps, ']');
    transact(&world, admin, steps->data);
    inst_buf_clear(steps);
    inst_buf_add_char(steps, '[');
}

static void fill(void) {
    struct inst_buf steps;
    inst_buf_init(&steps);
    inst_buf_add_char(&steps, '[');
    for (unsigned n = 1; n <= USERS; n++)
        put_link(&steps, n, "$users.id", n);
    for (unsigned n = 0; n < TEAMS; n++) {
        put_link(&steps, FIRST_TEAM + n, "teams.id", FIRST_TEAM + n);
        put(&steps, FIRST_TEAM + n, "teams.name", roll(2) ? "'red'" : "'blue'");
        put(&steps, FIRST_TEAM + n, "teams.x", random_value());
        for (unsigned k = 0; k < 2; k++)
            put_link(&steps, FIRST_TEAM + n, "teams.members", 1 + roll(USERS));
    }
    apply(&steps);
    for (unsigned n = 0; n < TODOS; n++)
        write_todo(&steps, FIRST_TODO + n);
    apply(&steps);
    inst_buf_free(&steps);
}

static int setup(void **state) {
    (void)state;
    dice = 20240229;
    world_open(&world, ":memory:", SCHEMA);
    admin = enter(&world, true);
    fill();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    disconnect(admin);
    world_close(&world);
    return 0;
}

/* ---- rules ---- */

/* Never fail, and are conditions. */
static const char *const plain[] = {
    "auth.id == data.uid",
    "data.uid != auth.id",
    "auth.id in data.ref('team.members.id')",
    "'red' in data.ref('team.name')",
    "data.x == 1",
    "data.x == 1.5",
    "data.x == 'a'",
    "data.x != null",
    "null == data.x",
    "data.x in [1, 'a', true]",
    "data['s'] == 'a'",
    "data.s in ['abc', 'nothing']",
    "data.b == true",
    "data.b != true",
    "data.n == 2",
    "data.team == null",
    "data.team != null",
    "data.team in auth.ref('$user.teams.id')",
    "auth.id != null",
    "data.id == ruleParams.id",
    "data.x == ruleParams.nothing",
    "has(data.x)",
    "cel.bind(d, data, d.uid == auth.id)",
    "true",
    "false",
};

/* May fail on some rows, or are no conditions, or only in part. */
static const char *const others[] = {
    "data.b",
    "!data.b",
    "data.n > 2",
    "data.n <= 2.5",
    "data.s.startsWith('a')",
    "data.s.contains('_')",
    "size(data.s) > 1",
    "data.x == data.s",
    "data.x == [1, 2]",
    "data.x.k == 1",
    "data.ref('team.id') == []",
    "data.ref('team.members.id') != []",
    "size(data.ref('team.id')) != 0",
    "data.ref('team.members.id').exists(m, m == auth.id)",
    "(data.uid == auth.id ? data.b == true : data.x == 1)",
    "ruleParams.nothing",
    "type(data.x) == string",
    "data.unknown == 1",
};

static void write_rule(struct inst_buf *out, unsigned depth, bool is_plain) {
    unsigned kind = depth == 0 ? 0 : roll(6);
    if (kind == 4 || kind == 5) {
        inst_buf_add_str(out, kind == 4 ? "!(" : "cel.bind(v, ");
        write_rule(out, depth - 1, is_plain);
        inst_buf_add_str(out, kind == 4 ? ")" : ", v || v)");
    } else if (kind > 0) {
        inst_buf_add_char(out, '(');
        write_rule(out, depth - 1, is_plain);
        inst_buf_add_str(out, kind == 1 ? " || " : " && ");
        write_rule(out, depth - 1, is_plain);
        inst_buf_add_char(out, ')');
    } else {
        inst_buf_add_str(out, is_plain || roll(3) > 0 ? ONE_OF(plain) : ONE_OF(others));
    }
}

/* What a rule of only these parts says of no row is not known before it is translated: `!` of what
 * cannot be said the other way round. */
static void write_sayable(struct inst_buf *out, unsigned depth) {
    static const char *const joins[] = {" || ", " && "};
    inst_buf_add_str(out, ONE_OF(plain));
    for (; depth > 0; depth--) {
        inst_buf_add_str(out, ONE_OF(joins));
        inst_buf_add_str(out, ONE_OF(plain));
    }
}

static struct inst_rules *make_rules(const char *todos, const char *teams, const char *field) {
    struct inst_buf text;
    struct inst_value code;
    struct inst_rules *rules;
    struct inst_err err = {0};
    inst_buf_init(&text);
    inst_buf_add_str(&text, "{\"todos\":{\"allow\":{\"view\":");
    inst_json_write_string(&text, todos, strlen(todos));
    inst_buf_add_str(&text, "},\"fields\":{");
    if (field)
        inst_buf_addf(&text, "\"title\":\"%s\"", field);
    inst_buf_add_str(&text, "}},\"teams\":{\"allow\":{\"view\":");
    inst_json_write_string(&text, teams, strlen(teams));
    inst_buf_add_str(&text, "}}}");
    struct inst_arena arena;
    inst_arena_init(&arena);
    assert_int_equal(inst_json_parse(&arena, text.data, text.len, &code, NULL), INST_OK);
    assert_int_equal(inst_rules_new(&code, &rules, &err), INST_OK);
    inst_arena_free(&arena);
    inst_buf_free(&text);
    return rules;
}

/* ---- running ---- */

struct result {
    enum inst_status status;
    char *text; /* the tree, or the error's message */
};

static struct inst_app *app(void) {
    struct inst_app *out;
    assert_int_equal(inst_app_get(world.server, world.app.id, &out, NULL), INST_OK);
    return out;
}

static struct result run(const char *q, struct inst_rules *rules, unsigned user, bool asks_each) {
    struct inst_arena arena;
    struct inst_value value;
    struct inst_query *query;
    struct inst_outcome outcome;
    struct inst_err err = {0};
    struct inst_viewer viewer = {0};
    struct result result;
    if (user > 0)
        memcpy(viewer.user, uuid_text(user), INST_UUID_TEXT + 1);
    inst_arena_init(&arena);
    char *text = expanded(&world, q);
    assert_int_equal(inst_json_parse(&arena, text, strlen(text), &value, NULL), INST_OK);
    assert_int_equal(inst_query_new(&value, INST_QUERY_SERVER, &query, NULL), INST_OK);
    struct inst_evaluation how = {.viewer = &viewer,
                                  .is_tree = true,
                                  .is_guarded = true,
                                  .rules = rules,
                                  .rule_params = inst_getz(&value, "$$ruleParams"),
                                  .asks_each = asks_each};
    inst_outcome_init(&outcome);
    result.status = inst_evaluate(app(), query, &app()->db->store, &how, &arena, &outcome, &err);
    result.text = strdup(result.status == INST_OK ? outcome.result.data : err.message);
    assert_non_null(result.text);
    inst_err_clear(&err);
    inst_outcome_free(&outcome);
    inst_query_free(query);
    app()->db->db_ops->trim(app()->db);
    inst_arena_free(&arena);
    free(text);
    return result;
}

static void expect_same(const char *q, struct inst_rules *rules, unsigned user) {
    struct result with = run(q, rules, user, false), without = run(q, rules, user, true);
    /* A rule that fails fails the query; but what nobody is going to see may not be asked about. */
    bool spares_some = without.status != INST_OK && strstr(q, "team") != NULL;
    if (!(spares_some && with.status == INST_OK) &&
        (with.status != without.status || strcmp(with.text, without.text) != 0)) {
        struct inst_buf code;
        inst_buf_init(&code);
        inst_json_write(&code, inst_rules_code(rules));
        fail_msg("user %u, %s\nby %s\nas conditions: %.1500s\none by one:    %.1500s", user, q,
                 code.data, with.text, without.text);
    }
    free(with.text);
    free(without.text);
}

static const char *const queries[] = {
    "{'todos':{},'$$ruleParams':{'id':'#101'}}",
    "{'todos':{'team':{'members':{}}}}",
    "{'todos':{'$':{'where':{'title':'t1'}}}}",
    "{'todos':{'$':{'where':{'team.name':'red'}}}}",
    "{'todos':{'$':{'where':{'or':[{'x':1},{'team.x':1},{'n':{'$gt':3}}]}}}}",
    "{'todos':{'$':{'where':{'b':{'$not':true}}},'team':{}}}",
    "{'teams':{'todos':{'$':{'where':{'s':'a'}}}}}",
    "{'teams':{'$':{'where':{'todos.title':'t2'}}}}",
    "{'todos':{'$':{'order':{'n':'desc'}}}}",
    "{'todos':{'$':{'order':{'s':'asc'}}}}",
};

/* Without a limit nothing shows which way it went. */
static void results_are_the_same(void **state) {
    (void)state;
    for (int round = 0; round < 250; round++) {
        struct inst_buf todos, teams;
        inst_buf_init(&todos);
        inst_buf_init(&teams);
        write_rule(&todos, roll(4), roll(2));
        inst_buf_add_str(&teams, roll(2)   ? "auth.id in data.ref('members.id')"
                                 : roll(2) ? "data.x == 1 || data.name == 'red'"
                                           : "true");
        struct inst_rules *rules =
            make_rules(todos.data, teams.data, roll(4) == 0 ? "data.uid == auth.id" : NULL);
        for (int i = 0; i < 3; i++)
            expect_same(ONE_OF(queries), rules, roll(USERS + 1));
        inst_rules_free(rules);
        inst_buf_free(&todos);
        inst_buf_free(&teams);
    }
}

/* ---- limits ---- */

/* The ids of a tree's todos, in order. */
static size_t list_ids(const char *tree, struct inst_arena *arena, struct inst_value *ids) {
    struct inst_value value;
    assert_int_equal(inst_json_parse(arena, tree, strlen(tree), &value, NULL), INST_OK);
    const struct inst_value *todos = inst_getz(&value, "todos");
    for (uint32_t i = 0; i < todos->len; i++)
        ids[i] = *inst_getz(&todos->u.items[i], "id");
    return todos->len;
}

static void expect_page(const char *options, unsigned limit, unsigned offset,
                        struct inst_rules *rules, unsigned user, const char *rule) {
    char all_text[300], page_text[300];
    struct inst_value all[TODOS], page[TODOS];
    struct inst_arena arena;
    inst_arena_init(&arena);
    snprintf(all_text, sizeof all_text, "{'todos':{'$':{%s}},'$$ruleParams':{'id':'#101'}}",
             options);
    snprintf(page_text, sizeof page_text,
             "{'todos':{'$':{%s,'limit':%u,'offset':%u}},'$$ruleParams':{'id':'#101'}}", options,
             limit, offset);
    struct result whole = run(all_text, rules, user, true),
                  part = run(page_text, rules, user, false);
    assert_int_equal(whole.status, INST_OK);
    assert_int_equal(part.status, INST_OK);
    size_t count = list_ids(whole.text, &arena, all), got = list_ids(part.text, &arena, page);
    size_t left = count > offset ? count - offset : 0, wanted = left < limit ? left : limit;
    if (got != wanted)
        fail_msg("%zu rows, not %zu: %s as %u by %.300s", got, wanted, page_text, user, rule);
    for (size_t i = 0; i < got; i++)
        assert_true(inst_value_same(&page[i], &all[offset + i]));
    free(whole.text);
    free(part.text);
    inst_arena_free(&arena);
}

static void limits_count_visible_rows(void **state) {
    (void)state;
    static const char *const options[] = {
        "'order':{'serverCreatedAt':'asc'}", "'order':{'serverCreatedAt':'desc'}",
        "'order':{'n':'asc'}", "'where':{'title':'t1'},'order':{'n':'desc'}",
        "'where':{'team.name':'red'},'order':{'serverCreatedAt':'asc'}"};
    for (int round = 0; round < 200; round++) {
        struct inst_buf rule;
        inst_buf_init(&rule);
        write_sayable(&rule, roll(3));
        struct inst_rules *rules =
            make_rules(rule.data, roll(2) ? "auth.id in data.ref('members.id')" : "true", NULL);
        for (int i = 0; i < 3; i++)
            expect_page(ONE_OF(options), 1 + roll(20), roll(3) * roll(10), rules, roll(USERS + 1),
                        rule.data);
        inst_rules_free(rules);
        inst_buf_free(&rule);
    }
}

/* A rule that is no condition leaves pages short (permissions.md 7.1). */
static void other_rules_leave_pages_short(void **state) {
    (void)state;
    struct inst_rules *rules = make_rules("data.id == '' || size(data.id) > 99", "true", NULL);
    struct result page = run("{'todos':{'$':{'limit':5}}}", rules, 1, false);
    assert_string_equal(page.text, "{\"todos\":[]}");
    free(page.text);
    inst_rules_free(rules);
}

/* ---- live ---- */

static void set_rules(const char *todos) {
    struct inst_rules *rules = make_rules(todos, "auth.id in data.ref('members.id')", NULL);
    struct inst_err err = {0};
    if (inst_app_set_rules(app(), inst_rules_code(rules), &err) != INST_OK)
        fail_msg("%s", err.message);
    inst_rules_free(rules);
}

/* What a client has after all that it was sent. */
static void follow(struct connection *c, char **tree) {
    while (c->first != NULL) {
        const struct inst_value *message = take(c), *result = inst_getz(message, "result");
        if (inst_is_string(inst_getz(message, "op"), "refresh-ok")) {
            const struct inst_value *computations = inst_getz(message, "computations");
            result = computations->len == 1 ? inst_getz(&computations->u.items[0], "instaql-result")
                                            : NULL;
        }
        if (result == NULL)
            continue;
        struct inst_buf text;
        inst_buf_init(&text);
        inst_json_write(&text, result);
        free(*tree);
        *tree = inst_buf_take(&text, &(size_t){0});
    }
}

/* The flags of a page, as a client that is nobody gets it: has-next-page?, has-previous-page?. */
static void expect_flags(const char *options, bool next, bool previous) {
    struct connection *c = enter(&world, false);
    say(&world, c, "{'op':'add-query','q':{'todos':{'$':{%s}}}}", options);
    const struct inst_value *result = inst_getz(expect(c, "add-query-ok"), "result");
    const struct inst_value *data = inst_getz(&result->u.items[0], "data");
    const struct inst_value *page = inst_getz(inst_getz(data, "page-info"), "todos");
    if (inst_get_true(page, "has-next-page?") != next ||
        inst_get_true(page, "has-previous-page?") != previous)
        fail_msg("%s: next %d, previous %d", options, inst_get_true(page, "has-next-page?"),
                 inst_get_true(page, "has-previous-page?"));
    disconnect(c);
}

/* A rule that is no condition still tells nobody of rows that it hides. */
static void hidden_rows_show_in_no_flag(void **state) {
    (void)state;
    char rule[200], id[INST_UUID_TEXT + 1];
    static const char *const orders[] = {"'order':{'serverCreatedAt':'asc'}",
                                         "'where':{'n':{'$not':77}}"};
    strcpy(id, uuid_text(FIRST_TODO + 5)); /* made in one transaction: in order of their ids */
    snprintf(rule, sizeof rule, "data.id <= '%s'", id);
    set_rules(rule);
    for (int i = 0; i < 2; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s,'limit':6", orders[i]);
        expect_flags(text, false, false);
        snprintf(text, sizeof text, "%s,'limit':5", orders[i]);
        expect_flags(text, true, false);
        snprintf(text, sizeof text, "%s,'limit':20,'offset':6", orders[i]); /* all hidden */
        expect_flags(text, false, true);
        snprintf(text, sizeof text, "%s,'limit':20,'offset':%d", orders[i], TODOS); /* none */
        expect_flags(text, false, true);
    }
    strcpy(id, uuid_text(FIRST_TODO + TODOS - 5));
    snprintf(rule, sizeof rule, "data.id >= '%s'", id);
    set_rules(rule);
    expect_flags("'order':{'serverCreatedAt':'asc'},'last':5", false, false);
    expect_flags("'order':{'serverCreatedAt':'asc'},'last':4", false, true);
    expect_flags("'order':{'serverCreatedAt':'desc'},'limit':3,'offset':2", false, true);
    expect_flags("'order':{'serverCreatedAt':'desc'},'limit':3,'offset':1", true, true);
}

static void change_something(void) {
    struct inst_buf steps;
    inst_buf_init(&steps);
    inst_buf_add_char(&steps, '[');
    if (roll(4) == 0)
        put_link(&steps, FIRST_TEAM + roll(TEAMS), "teams.members", 1 + roll(USERS));
    else if (roll(4) == 0)
        inst_buf_addf(&steps, "['retract-triple','#%u','@teams.members','#%u']",
                      FIRST_TEAM + roll(TEAMS), 1 + roll(USERS));
    else if (roll(6) == 0)
        inst_buf_addf(&steps, "['delete-entity','#%u','todos']", FIRST_TODO + roll(TODOS));
    else
        write_todo(&steps, FIRST_TODO + roll(TODOS));
    apply(&steps);
    inst_buf_free(&steps);
}

static void live_results_follow(void **state) {
    (void)state;
    static const char *const followed[] = {
        "{'todos':{},'$$ruleParams':{'id':'#101'}}",
        "{'todos':{'$':{'where':{'team.name':'red'}}}}",
        "{'todos':{'$':{'limit':7,'order':{'serverCreatedAt':'desc'}}}}",
        "{'todos':{'$':{'limit':5,'where':{'title':'t1'},'order':{'n':'asc'}}}}",
        "{'teams':{'todos':{}}}"};
    for (int round = 0; round < 40; round++) {
        struct inst_buf rule;
        const char *q = ONE_OF(followed);
        unsigned user = roll(USERS + 1);
        char *tree = NULL;
        inst_buf_init(&rule);
        write_sayable(&rule, roll(3));
        set_rules(rule.data);
        struct connection *c = enter(&world, false);
        if (user > 0)
            memcpy(c->session->viewer.user, uuid_text(user), INST_UUID_TEXT + 1);
        say(&world, c, "{'op':'add-query','q':%s,'return-type':'tree'}", q);
        for (int i = 0; i < 15; i++) {
            turn(&world);
            follow(c, &tree);
            struct result now = run(q, NULL, user, false);
            assert_non_null(tree);
            if (strcmp(now.text, tree) != 0)
                fail_msg("user %u, %s\nby %s\nnow: %.1500s\nhas: %.1500s", user, q, rule.data,
                         now.text, tree);
            free(now.text);
            if (i == 10) { /* other rules, at once */
                inst_buf_clear(&rule);
                write_sayable(&rule, roll(3));
                set_rules(rule.data);
            } else {
                change_something();
            }
        }
        disconnect(c);
        free(tree);
        inst_buf_free(&rule);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(results_are_the_same),        CASE(limits_count_visible_rows),
        CASE(hidden_rows_show_in_no_flag), CASE(other_rules_leave_pages_short),
        CASE(live_results_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
