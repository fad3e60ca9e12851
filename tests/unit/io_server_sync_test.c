#include "io_server_fixture.h"

#include "server/limits.h"

#include <sqlite3.h>
#include <unistd.h>

#define ATTR(name, type, indexed)                                                                  \
    "'" name "':{'valueType':'" type "','required':false,'config':{'indexed':" indexed             \
    ",'unique':false}}"

static const char schema[] =
    "{'entities':{"
    "'todos':{'attrs':{" ATTR("title", "string", "true") "," ATTR("n", "number", "true") "," ATTR(
        "due", "date",
        "true") "," ATTR("body", "json",
                         "false") "," ATTR("done", "boolean",
                                           "true") "," ATTR("any", "json",
                                                            "true") "}},"
                                                                    "'tags':{'attrs':{" ATTR(
                                                                        "label", "string",
                                                                        "false") "}}},"
                                                                                 "'links':{"
                                                                                 "'owner':{'"
                                                                                 "forward':{'on':'"
                                                                                 "todos','has':'"
                                                                                 "one','label':'"
                                                                                 "owner'},"
                                                                                 "'reverse':{'on':'"
                                                                                 "tags','has':'"
                                                                                 "many','label':'"
                                                                                 "owned'}},"
                                                                                 "'tagged':{'"
                                                                                 "forward':{'on':'"
                                                                                 "todos','has':'"
                                                                                 "many','label':'"
                                                                                 "tags'},"
                                                                                 "'reverse':{'on':'"
                                                                                 "tags','has':'"
                                                                                 "many','label':'"
                                                                                 "todos'}}}}";

static struct world world;
static struct connection *admin; /* writes */
static struct connection *c;     /* syncs */

static int set_up(void **state) {
    (void)state;
    world_open(&world, ":memory:", schema);
    admin = enter(&world, true);
    c = enter(&world, true);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    disconnect(c);
    disconnect(admin);
    world_close(&world);
    return 0;
}

/* Turns until there is nothing to do. */
static void settle(void) {
    for (int i = 0; i < 10000 && inst_server_is_pending(world.server); i++)
        inst_server_turn(world.server);
    assert_false(inst_server_is_pending(world.server));
}

static double add_todo(unsigned n, const char *title) {
    char steps[400];
    snprintf(steps, sizeof steps,
             "[['add-triple','#%u','@todos.id','#%u'],['add-triple','#%u','@todos.title',%s]]", n,
             n, n, title);
    world.now += 5;
    return transact(&world, admin, steps);
}

static double change(const char *steps) { return transact(&world, admin, steps); }

/* ---- what a client keeps ---- */

struct copy {
    char id[INST_UUID_TEXT + 1];
    char token[INST_UUID_TEXT + 1];
    double tx; /* 0: still loading */
    double snapshot_tx;
    struct inst_buf rows; /* as they came, one a line */
    size_t row_count;
    char **lines; /* "[e,a," -> the triple */
    size_t count, cap;
    size_t batches, updates;
};

static void copy_free(struct copy *copy) {
    for (size_t i = 0; i < copy->count; i++)
        free(copy->lines[i]);
    free(copy->lines);
    inst_buf_free(&copy->rows);
    *copy = (struct copy){0};
}

static char *text_of(const struct inst_value *v) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, v);
    return inst_buf_take(&buf, &(size_t){0});
}

/* e and a have fixed lengths: `["e","a",` is 80 bytes. */
static bool is_same_cell(const char *a, const char *b) { return memcmp(a, b, 80) == 0; }

static void put(struct copy *copy, const struct inst_value *triple) {
    char *text = text_of(triple);
    for (size_t i = 0; i < copy->count; i++) {
        if (is_same_cell(copy->lines[i], text)) {
            free(copy->lines[i]);
            copy->lines[i] = text;
            return;
        }
    }
    if (copy->count == copy->cap) {
        copy->cap = copy->cap ? copy->cap * 2 : 64;
        copy->lines = realloc(copy->lines, copy->cap * sizeof(char *));
    }
    copy->lines[copy->count++] = text;
}

static void drop(struct copy *copy, const struct inst_value *triple) {
    char *text = text_of(triple);
    for (size_t i = 0; i < copy->count; i++) {
        if (strcmp(copy->lines[i], text) == 0) {
            free(copy->lines[i]);
            copy->lines[i] = copy->lines[--copy->count];
            free(text);
            return;
        }
    }
    fail_msg("removed but not there: %s", text);
}

static void take_batch(struct copy *copy, const struct inst_value *m) {
    const struct inst_value *rows = inst_getz(m, "join-rows");
    expect_text(inst_getz(m, "subscription-id"), copy->id);
    assert_true(rows->len > 0 && rows->len <= 100);
    copy->batches++;
    for (uint32_t i = 0; i < rows->len; i++) {
        inst_json_write(&copy->rows, &rows->u.items[i]);
        inst_buf_add_char(&copy->rows, '\n');
        copy->row_count++;
        for (uint32_t k = 0; k < rows->u.items[i].len; k++)
            put(copy, &rows->u.items[i].u.items[k]);
    }
}

static void take_updates(struct copy *copy, const struct inst_value *m) {
    const struct inst_value *txes = inst_getz(m, "txes");
    expect_text(inst_getz(m, "subscription-id"), copy->id);
    assert_true(txes->len > 0 && txes->len <= 100);
    copy->updates++;
    for (uint32_t i = 0; i < txes->len; i++) {
        const struct inst_value *tx = &txes->u.items[i], *changes = inst_getz(tx, "changes");
        double id = inst_getz(tx, "tx-id")->u.num;
        assert_true(id > copy->tx);
        copy->tx = id;
        assert_true(changes->len > 0);
        for (uint32_t k = 0; k < changes->len; k++) {
            const struct inst_value *one = &changes->u.items[k];
            const struct inst_value *triple = inst_getz(one, "triple");
            if (inst_is_string(inst_getz(one, "action"), "added"))
                put(copy, triple);
            else
                drop(copy, triple);
        }
    }
}

/* Takes every message that is there; only those of a sync are expected. */
static void follow(struct connection *from, struct copy *copy) {
    for (;;) {
        const struct inst_value *m = take(from);
        const struct inst_value *op = inst_getz(m, "op");
        if (m->tag == INST_UNDEFINED)
            return;
        if (inst_is_string(op, "start-sync-ok")) {
            memcpy(copy->id, inst_getz(m, "subscription-id")->u.str, INST_UUID_TEXT);
            memcpy(copy->token, inst_getz(m, "token")->u.str, INST_UUID_TEXT);
        } else if (inst_is_string(op, "sync-load-batch")) {
            assert_true(copy->tx == 0);
            take_batch(copy, m);
        } else if (inst_is_string(op, "sync-init-finish")) {
            copy->tx = copy->snapshot_tx = inst_getz(m, "tx-id")->u.num;
        } else if (inst_is_string(op, "sync-update-triples")) {
            assert_true(copy->tx > 0);
            take_updates(copy, m);
        } else if (!inst_is_string(op, "refresh-ok")) {
            fail_msg("not expected: %s", from->taken->text);
        }
    }
}

static void start(struct connection *on, const char *q) {
    say(&world, on, "{'op':'start-sync','client-event-id':'s','q':%s}", q);
}

/* The whole table as it is now. */
static void snapshot(const char *q, struct copy *out) {
    struct connection *d = enter(&world, true);
    start(d, q);
    settle();
    follow(d, out);
    assert_true(out->tx > 0);
    disconnect(d);
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void expect_same(struct copy *got, struct copy *wanted) {
    qsort(got->lines, got->count, sizeof(char *), compare_texts);
    qsort(wanted->lines, wanted->count, sizeof(char *), compare_texts);
    for (size_t i = 0; i < got->count && i < wanted->count; i++)
        assert_string_equal(got->lines[i], wanted->lines[i]);
    assert_int_equal(got->count, wanted->count);
}

static void expect_rows(const struct copy *got, const struct copy *wanted) {
    assert_string_equal(got->rows.data ? got->rows.data : "",
                        wanted->rows.data ? wanted->rows.data : "");
}

/* ---- what is refused ---- */

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *q, *message;
    } cases[] = {
        {"null", "Validation failed for start-sync: Query can not be null."},
        {"{}", "Validation failed for query: Query is empty."},
        {"{'todos':{},'tags':{}}",
         "Validation failed for query: Query can only fetch a single namespace"},
        {"{'nothing':{}}", "Validation failed for query: No matching table."},
        {"{'todos':{'tags':{}}}", "Validation failed for query: Links are not yet supported."},
        {"{'todos':{'$':{'where':{'title':'a'}}}}",
         "Validation failed for query: Only order is currently supported."},
        {"{'todos':{'$':{'limit':3}}}",
         "Validation failed for query: Only order is currently supported."},
        {"{'todos':{'$':{'order':{'any':'asc'}}}}",
         "Validation failed for query: The `todos.any` attribute is not typed. Only typed and "
         "indexed attributes can be used to order by."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start(c, cases[i].q);
        settle();
        struct inst_value *e = expect_error(c, "validation-failed", cases[i].message);
        expect_text(inst_getz(e, "client-event-id"), "s");
        expect_text(inst_getz(inst_getz(e, "original-event"), "op"), "start-sync");
        expect_nothing(c);
    }
    say(&world, c, "{'op':'start-sync'}");
    expect_error(c, "validation-failed",
                 "Validation failed for start-sync: Query can not be null.");
    static const char *const odd[] = {"7",
                                      "'x'",
                                      "[]",
                                      "{'todos':7}",
                                      "{'todos':{'$':7}}",
                                      "{'todos':{'$':{'order':7}}}",
                                      "{'todos':{'$':{'order':{'title':'up'}}}}",
                                      "{'todos':{'$':{'order':{'unknown':'asc'}}}}",
                                      "{'todos':{'$':{'order':{'body':'asc'}}}}"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        start(c, odd[i]);
        settle();
        struct inst_value *e = expect(c, "error");
        expect_text(inst_getz(e, "type"), "validation-failed");
        expect_nothing(c);
    }
}

static void admins_only(void **state) {
    (void)state;
    struct connection *d = enter(&world, false);
    start(d, "{'todos':{}}");
    expect_error(d, "validation-failed",
                 "Validation failed for start-sync: start-sync is currently supported for admins "
                 "only.");
    say(&world, d, "{'op':'remove-sync','subscription-id':'#1'}");
    expect_nothing(d);
    disconnect(d);
}

static void a_session_takes_so_many(void **state) {
    (void)state;
    for (unsigned i = 0; i < INST_SERVER_MAX_SYNCS; i++)
        start(c, "{'todos':{}}");
    settle();
    forget_messages(c);
    start(c, "{'todos':{}}");
    expect_error(c, "validation-failed",
                 "Validation failed for start-sync: A session takes at most 100 sync tables.");
}

/* ---- loading ---- */

static void an_empty_table(void **state) {
    (void)state;
    double tx = change("[['add-triple','#1','@tags.id','#1']]");
    start(c, "{'todos':{}}");
    struct inst_value *m = expect(c, "start-sync-ok");
    expect_text(inst_getz(m, "client-event-id"), "s");
    assert_true(inst_getz(m, "q")->tag == INST_OBJECT);
    settle();
    m = expect(c, "sync-init-finish");
    assert_true(inst_getz(m, "tx-id")->u.num == tx);
    expect_nothing(c);
    add_todo(2, "'a'");
    settle();
    expect(c, "sync-update-triples");
    expect_nothing(c);
}

static void what_a_row_has(void **state) {
    (void)state;
    change("[['add-triple','#1','@tags.id','#1'],['add-triple','#2','@todos.id','#2'],"
           "['add-triple','#2','@todos.title','a'],['add-triple','#2','@todos.owner','#1'],"
           "['add-triple','#2','@todos.tags','#1'],['add-triple','#2','@todos.body',{'x':[1]}]]");
    start(c, "{'todos':{'$':{'order':{'serverCreatedAt':'desc'}}}}");
    settle();
    expect(c, "start-sync-ok");
    struct inst_value *m = expect(c, "sync-load-batch");
    const struct inst_value *rows = inst_getz(m, "join-rows");
    assert_int_equal(rows->len, 1);
    const char *text = c->taken->text;
    char *body = expanded(&world, "'@todos.body',{'x':[1]},"),
         *owner = expanded(&world, "'@todos.owner','#1',");
    char *tags = expanded(&world, "'@todos.tags'"),
         *id = expanded(&world, "['#2','@todos.id','#2',");
    char *none = expanded(&world, "'@todos.due',null,");
    assert_non_null(strstr(text, body));
    assert_non_null(strstr(text, owner));
    assert_non_null(strstr(text, id));
    assert_non_null(strstr(text, none)); /* indexed: a null is there */
    assert_null(strstr(text, tags));     /* many */
    free(body), free(owner), free(tags), free(id), free(none);
}

/* A query waits for what its own session wrote in the same turn. */
static void sees_what_was_sent_before(void **state) {
    (void)state;
    struct copy copy = {0};
    say(&world, c,
        "{'op':'transact','client-event-id':'t','tx-steps':[['add-triple','#1','@todos.id','#1']]"
        "}");
    start(c, "{'todos':{}}");
    settle();
    expect(c, "transact-ok");
    follow(c, &copy);
    assert_int_equal(copy.row_count, 1);
    copy_free(&copy);
}

static void in_batches_of_100(void **state) {
    (void)state;
    struct copy copy = {0};
    for (unsigned i = 0; i < 250; i++)
        add_todo(i + 1, i % 3 ? "'b'" : "null");
    start(c, "{'todos':{'$':{'order':{'title':'asc'}}}}");
    settle();
    follow(c, &copy);
    assert_int_equal(copy.row_count, 250);
    assert_int_equal(copy.batches, 3);
    copy_free(&copy);
}

/* While a connection takes nothing, nothing is read for it. */
static void waits_for_the_connection(void **state) {
    (void)state;
    struct copy copy = {0};
    for (unsigned i = 0; i < 250; i++)
        add_todo(i + 1, "'b'");
    c->backlog = INST_SERVER_SEND_AHEAD + 1;
    start(c, "{'todos':{}}");
    settle();
    expect(c, "start-sync-ok");
    expect_nothing(c);
    add_todo(999, "'late'");
    settle();
    expect_nothing(c);
    c->backlog = 0;
    inst_session_drained(c->session);
    assert_true(inst_server_is_pending(world.server));
    settle();
    memcpy(copy.id, inst_getz(&c->first->value, "subscription-id")->u.str, INST_UUID_TEXT);
    follow(c, &copy);
    assert_int_equal(copy.row_count, 250);
    assert_int_equal(copy.updates, 1);
    copy_free(&copy);
}

/* ---- a snapshot is of one moment, whatever is written while it is read ---- */

static unsigned random_below(unsigned n) {
    return (unsigned)(next_random(&world.random) >> 20) % n;
}

static void random_value(char *out, size_t cap, unsigned attr) {
    switch (attr) {
    case 0:
        snprintf(out, cap, random_below(6) ? "'t%u'" : "null", random_below(20));
        break;
    case 1:
        snprintf(out, cap, random_below(6) ? "%u.5" : "null", random_below(40));
        break;
    case 2:
        snprintf(out, cap, random_below(2) ? "'2026-01-%02u'" : "17%02u000000000",
                 1 + random_below(28));
        break;
    case 3:
        snprintf(out, cap, "{'k':%u}", random_below(9));
        break;
    default:
        snprintf(out, cap, "%s", random_below(2) ? "true" : "false");
        break;
    }
}

static void random_write(unsigned entities) {
    static const char *const attrs[] = {"title", "n", "due", "body", "done"};
    struct inst_buf steps;
    inst_buf_init(&steps);
    inst_buf_add_char(&steps, '[');
    for (unsigned i = 1 + random_below(4); i > 0; i--) {
        unsigned n = 1 + random_below(entities), attr = random_below(5);
        char value[40];
        random_value(value, sizeof value, attr);
        switch (random_below(8)) {
        case 0:
            inst_buf_addf(&steps, "['delete-entity','#%u','todos']", n);
            break;
        case 1:
            inst_buf_addf(&steps,
                          "['add-triple','#%u','@todos.id','#%u'],"
                          "['add-triple','#%u','@todos.owner','#%u']",
                          n, n, n, 5000 + random_below(3));
            break;
        default:
            inst_buf_addf(&steps,
                          "['add-triple','#%u','@todos.id','#%u'],"
                          "['add-triple','#%u','@todos.%s',%s]",
                          n, n, n, attrs[attr], value);
            break;
        }
        inst_buf_add_str(&steps, i > 1 ? "," : "]");
    }
    transact(&world, admin, steps.data);
    inst_buf_free(&steps);
}

static void one_moment(const char *q) {
    struct copy copy = {0}, reference = {0}, final = {0};
    enum { ENTITIES = 400 };
    for (int i = 0; i < 300; i++)
        random_write(ENTITIES);
    snapshot(q, &reference);
    start(c, q);
    while (copy.tx == 0) {
        c->backlog = 0;
        inst_session_drained(c->session);
        inst_server_turn(world.server);
        c->backlog = SIZE_MAX;
        for (unsigned i = random_below(30); i > 0; i--)
            random_write(ENTITIES);
        follow(c, &copy);
    }
    expect_rows(&copy, &reference);
    assert_true(copy.snapshot_tx == reference.tx);
    assert_true(copy.batches >= 3);
    c->backlog = 0;
    inst_session_drained(c->session);
    settle();
    follow(c, &copy);
    snapshot(q, &final);
    expect_same(&copy, &final);
    say(&world, c, "{'op':'remove-sync','subscription-id':'%s'}", copy.id);
    copy_free(&copy);
    copy_free(&reference);
    copy_free(&final);
}

static void one_moment_by_time(void **state) {
    (void)state;
    one_moment("{'todos':{}}");
    one_moment("{'todos':{'$':{'order':{'serverCreatedAt':'desc'}}}}");
}

static void one_moment_by_text(void **state) {
    (void)state;
    one_moment("{'todos':{'$':{'order':{'title':'asc'}}}}");
    one_moment("{'todos':{'$':{'order':{'title':'desc'}}}}");
}

static void one_moment_by_number(void **state) {
    (void)state;
    one_moment("{'todos':{'$':{'order':{'n':'asc'}}}}");
    one_moment("{'todos':{'$':{'order':{'n':'desc'}}}}");
}

static void one_moment_by_date(void **state) {
    (void)state;
    one_moment("{'todos':{'$':{'order':{'due':'asc'}}}}");
    one_moment("{'todos':{'$':{'order':{'due':'desc'}}}}");
}

static void one_moment_by_boolean(void **state) {
    (void)state;
    one_moment("{'todos':{'$':{'order':{'done':'asc'}}}}");
    one_moment("{'todos':{'$':{'order':{'done':'desc'}}}}");
}

/* The order itself goes away while the table is read: told as the failure of the start. */
static void the_order_changes(void **state) {
    (void)state;
    for (unsigned i = 0; i < 250; i++)
        add_todo(i + 1, "'b'");
    start(c, "{'todos':{'$':{'order':{'title':'asc'}}}}");
    inst_server_turn(world.server);
    expect(c, "start-sync-ok");
    expect(c, "sync-load-batch");
    change("[['update-attr',{'id':'@todos.title','index?':false}]]");
    settle();
    struct inst_value *e = take(c);
    while (inst_is_string(inst_getz(e, "op"), "refresh-ok") ||
           inst_is_string(inst_getz(e, "op"), "sync-load-batch"))
        e = take(c);
    expect_text(inst_getz(e, "message"), "The order of the table changed while it was being read.");
    expect_text(inst_getz(e, "client-event-id"), "s");
    const struct inst_value *event = inst_getz(e, "original-event");
    expect_text(inst_getz(event, "op"), "start-sync");
    assert_int_equal(inst_getz(event, "q")->tag, INST_OBJECT);
    settle();
    add_todo(900, "'c'");
    settle();
    expect_nothing(c);
}

/* ---- updates ---- */

static void updates(void **state) {
    (void)state;
    add_todo(1, "'a'");
    start(c, "{'todos':{}}");
    settle();
    forget_messages(c);
    double tx = change("[['add-triple','#1','@todos.title','b']]");
    settle();
    struct inst_value *m = expect(c, "sync-update-triples");
    const struct inst_value *txes = inst_getz(m, "txes"), *changes;
    assert_int_equal(txes->len, 1);
    assert_true(inst_getz(&txes->u.items[0], "tx-id")->u.num == tx);
    changes = inst_getz(&txes->u.items[0], "changes");
    assert_int_equal(changes->len, 2);
    expect_text(inst_getz(&changes->u.items[0], "action"), "removed");
    expect_text(&inst_getz(&changes->u.items[0], "triple")->u.items[2], "a");
    expect_text(inst_getz(&changes->u.items[1], "action"), "added");
    expect_text(&inst_getz(&changes->u.items[1], "triple")->u.items[2], "b");
    assert_int_equal(inst_getz(&changes->u.items[1], "triple")->len, 4);
    /* of no concern: another namespace, a link of many, the same value again */
    change("[['add-triple','#9','@tags.id','#9'],['add-triple','#9','@tags.label','x']]");
    change("[['add-triple','#1','@todos.tags','#9'],['add-triple','#1','@todos.title','b']]");
    settle();
    expect_nothing(c);
    change("[['delete-entity','#1','todos']]");
    settle();
    m = expect(c, "sync-update-triples");
    changes = inst_getz(&inst_getz(m, "txes")->u.items[0], "changes");
    for (uint32_t i = 0; i < changes->len; i++)
        expect_text(inst_getz(&changes->u.items[i], "action"), "removed");
    assert_true(changes->len > 1);
    expect_nothing(c);
}

static void at_most_100_transactions_a_message(void **state) {
    (void)state;
    struct copy copy = {0}, final = {0};
    start(c, "{'todos':{}}");
    settle();
    follow(c, &copy);
    c->backlog = SIZE_MAX;
    for (unsigned i = 0; i < 250; i++)
        add_todo(i + 1, "'b'");
    settle();
    expect_nothing(c);
    c->backlog = 0;
    inst_session_drained(c->session);
    settle();
    follow(c, &copy);
    assert_int_equal(copy.updates, 3);
    snapshot("{'todos':{}}", &final);
    expect_same(&copy, &final);
    copy_free(&copy);
    copy_free(&final);
}

/* ---- resync ---- */

static void resync(struct connection *on, const struct copy *copy, double tx) {
    say(&world, on,
        "{'op':'resync-table','client-event-id':'%s','subscription-id':'%s','tx-id':%.0f,"
        "'token':'%s'}",
        copy->id, copy->id, tx, copy->token);
}

static void nothing_is_missed_while_away(void **state) {
    (void)state;
    struct copy copy = {0}, final = {0};
    for (unsigned i = 0; i < 120; i++)
        add_todo(i + 1, "'a'");
    start(c, "{'todos':{}}");
    settle();
    follow(c, &copy);
    disconnect(c);
    for (int i = 0; i < 700; i++)
        random_write(130);
    c = enter(&world, true);
    resync(c, &copy, copy.tx);
    settle();
    follow(c, &copy);
    snapshot("{'todos':{}}", &final);
    expect_same(&copy, &final);
    add_todo(4000, "'live again'");
    settle();
    follow(c, &copy);
    copy_free(&final);
    snapshot("{'todos':{}}", &final);
    expect_same(&copy, &final);
    copy_free(&copy);
    copy_free(&final);
}

static void a_restart_loses_nothing(void **state) {
    (void)state;
    char path[] = "/tmp/inst-sync-XXXXXX";
    struct copy copy = {0}, final = {0};
    close(mkstemp(path));
    disconnect(c), disconnect(admin);
    world_close(&world);
    unlink(path);
    world_open(&world, path, schema);
    admin = enter(&world, true);
    c = enter(&world, true);
    for (unsigned i = 0; i < 150; i++)
        add_todo(i + 1, "'a'");
    start(c, "{'todos':{}}");
    settle();
    follow(c, &copy);
    for (int i = 0; i < 20; i++)
        random_write(160); /* committed, perhaps never seen by the client */
    disconnect(c), disconnect(admin);
    inst_server_free(world.server);
    inst_apps_close(world.apps);
    struct inst_err err = {0};
    assert_int_equal(inst_apps_open_file(path, NULL, &world.env, &world.apps, &err), INST_OK);
    world_start(&world);
    admin = enter(&world, true);
    c = enter(&world, true);
    resync(c, &copy, copy.tx);
    settle();
    follow(c, &copy);
    snapshot("{'todos':{}}", &final);
    expect_same(&copy, &final);
    copy_free(&copy);
    copy_free(&final);
    unlink(path);
}

static void resync_refusals(void **state) {
    (void)state;
    struct copy copy = {0};
    start(c, "{'todos':{}}");
    settle();
    follow(c, &copy);
    say(&world, c, "{'op':'resync-table'}");
    expect_error(c, "param-missing", "Missing parameter: [\"tx-id\"]");
    say(&world, c, "{'op':'resync-table','tx-id':-1}");
    expect_error(c, "param-malformed", "Malformed parameter: [\"tx-id\"]");
    say(&world, c, "{'op':'resync-table','tx-id':1}");
    expect_error(c, "param-missing", "Missing parameter: [\"subscription-id\"]");
    say(&world, c, "{'op':'resync-table','tx-id':1,'subscription-id':'x'}");
    expect_error(c, "param-malformed", "Malformed parameter: [\"subscription-id\"]");
    say(&world, c, "{'op':'resync-table','tx-id':1,'subscription-id':'#1'}");
    expect_error(c, "param-missing", "Missing parameter: [\"token\"]");
    say(&world, c, "{'op':'resync-table','tx-id':1,'subscription-id':'#1','token':7}");
    expect_error(c, "param-malformed", "Malformed parameter: [\"token\"]");
    say(&world, c, "{'op':'resync-table','tx-id':1,'subscription-id':'#1','token':'#2'}");
    struct inst_value *e = expect_error(c, "record-not-found", "Record not found: subscription");
    expect_text(inst_getz(inst_getz(e, "hint"), "record-type"), "subscription");
    say(&world, c, "{'op':'resync-table','tx-id':1,'subscription-id':'%s','token':'#2'}", copy.id);
    expect_error(c, "validation-failed", "Validation failed for subscription: Invalid token.");
    /* the app was taken back to an older backup: what the client has is not in its log */
    resync(c, &copy, copy.tx + 1);
    expect_error(c, "validation-failed",
                 "Validation failed for subscription: transactions for the subscription are no "
                 "longer available");
    struct connection *d = enter(&world, false);
    resync(d, &copy, copy.tx);
    expect_error(d, "validation-failed",
                 "Validation failed for subscription: Subscription was created as an admin, but "
                 "the session is not an admin session.");
    disconnect(d);
    copy_free(&copy);
}

/* A log that was cut: the gap is told, not skipped. */
static void a_gap_is_told(void **state) {
    (void)state;
    char path[] = "/tmp/inst-sync-XXXXXX", command[256];
    struct copy copy = {0};
    close(mkstemp(path));
    disconnect(c), disconnect(admin);
    world_close(&world);
    unlink(path);
    world_open(&world, path, schema);
    admin = enter(&world, true);
    c = enter(&world, true);
    start(c, "{'todos':{}}");
    settle();
    follow(c, &copy);
    double first = add_todo(1, "'a'");
    add_todo(2, "'b'");
    add_todo(3, "'c'");
    disconnect(c), disconnect(admin);
    inst_server_free(world.server);
    inst_apps_close(world.apps);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    snprintf(command, sizeof command, "DELETE FROM log WHERE tx_id=%.0f", first + 1);
    assert_int_equal(sqlite3_exec(db, command, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    struct inst_err err = {0};
    assert_int_equal(inst_apps_open_file(path, NULL, &world.env, &world.apps, &err), INST_OK);
    world_start(&world);
    admin = enter(&world, true);
    c = enter(&world, true);
    resync(c, &copy, first);
    settle();
    expect_error(c, "validation-failed",
                 "Validation failed for subscription: transactions for the subscription are no "
                 "longer available");
    /* further back the gap shows only while reading on: as a failed resync, which starts over */
    resync(c, &copy, first - 1);
    settle();
    expect(c, "sync-update-triples");
    struct inst_value *e = expect(c, "error");
    expect_text(inst_getz(inst_getz(e, "original-event"), "op"), "resync-table");
    expect_text(inst_getz(inst_getz(e, "original-event"), "subscription-id"), copy.id);
    expect_nothing(c);
    copy_free(&copy);
    unlink(path);
}

static void removing(void **state) {
    (void)state;
    struct copy copy = {0}, kept = {0};
    start(c, "{'todos':{}}");
    settle();
    follow(c, &copy);
    start(c, "{'todos':{}}");
    settle();
    follow(c, &kept);
    say(&world, c, "{'op':'remove-sync','subscription-id':'%s','keep-subscription':true}", kept.id);
    say(&world, c, "{'op':'remove-sync','subscription-id':'%s'}", copy.id);
    say(&world, c, "{'op':'remove-sync','subscription-id':'%s'}", copy.id);
    add_todo(1, "'a'");
    settle();
    expect_nothing(c);
    resync(c, &copy, copy.tx);
    expect_error(c, "record-not-found", "Record not found: subscription");
    resync(c, &kept, kept.tx);
    settle();
    expect(c, "sync-update-triples");
    expect_nothing(c);
    say(&world, c, "{'op':'remove-sync'}");
    expect_error(c, "param-missing", "Missing parameter: [\"subscription-id\"]");
    say(&world, c, "{'op':'remove-sync','subscription-id':7}");
    expect_error(c, "param-malformed", "Malformed parameter: [\"subscription-id\"]");
    copy_free(&copy);
    copy_free(&kept);
}

/* A session that leaves in the middle of a load leaves nothing behind. */
static void leaving_while_loading(void **state) {
    (void)state;
    for (unsigned i = 0; i < 250; i++)
        add_todo(i + 1, "'b'");
    struct connection *d = enter(&world, true);
    start(d, "{'todos':{}}");
    inst_server_turn(world.server);
    random_write(250);
    disconnect(d);
    settle();
    assert_null(c->session->app->syncs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(admins_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_session_takes_so_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_row_has, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sees_what_was_sent_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(in_batches_of_100, set_up, tear_down),
        cmocka_unit_test_setup_teardown(waits_for_the_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_moment_by_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_moment_by_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_moment_by_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_moment_by_date, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_moment_by_boolean, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_order_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(updates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(at_most_100_transactions_a_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_missed_while_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_restart_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resync_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gap_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leaving_while_loading, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
