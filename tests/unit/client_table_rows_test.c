/* The rows of a sync table against a list that is sorted anew after every transaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "client/table_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char catalog[] =
    "[{\"id\":\"aaaaaaaa-0000-4000-8000-000000000001\",\"value-type\":\"blob\",\"cardinality\":"
    "\"one\","
    "\"forward-identity\":[\"i\",\"todos\",\"id\"],\"unique?\":true,\"index?\":false},"
    "{\"id\":\"aaaaaaaa-0000-4000-8000-000000000002\",\"value-type\":\"blob\",\"cardinality\":"
    "\"one\","
    "\"forward-identity\":[\"i\",\"todos\",\"title\"],\"unique?\":false,\"index?\":true,"
    "\"checked-data-type\":\"string\"},"
    "{\"id\":\"aaaaaaaa-0000-4000-8000-000000000003\",\"value-type\":\"blob\",\"cardinality\":"
    "\"one\","
    "\"forward-identity\":[\"i\",\"todos\",\"n\"],\"unique?\":false,\"index?\":true,"
    "\"checked-data-type\":\"number\"},"
    "{\"id\":\"aaaaaaaa-0000-4000-8000-000000000004\",\"value-type\":\"blob\",\"cardinality\":"
    "\"one\","
    "\"forward-identity\":[\"i\",\"todos\",\"due\"],\"unique?\":false,\"index?\":true,"
    "\"checked-data-type\":\"date\"}]";

#define ID "\"aaaaaaaa-0000-4000-8000-000000000001\""
#define TITLE "\"aaaaaaaa-0000-4000-8000-000000000002\""
#define N "\"aaaaaaaa-0000-4000-8000-000000000003\""
#define DUE "\"aaaaaaaa-0000-4000-8000-000000000004\""

enum { ENTITIES = 120 };

struct entity {
    bool is_there;
    int created;
    char title[16], n[16], due[32]; /* JSON; "" absent */
};

struct model {
    struct entity entities[ENTITIES];
    struct inst_arena arena;
    struct inst_attrs *attrs;
    struct inst_collator *collator;
    struct inst_table_rows rows;
    uint64_t random;
};

static unsigned below(struct model *m, unsigned n) {
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(m->random >> 33) % n;
}

static struct inst_value parsed(struct model *m, const char *text) {
    struct inst_value v;
    struct inst_err err = {0};
    if (inst_json_parse(&m->arena, text, strlen(text), &v, &err) != INST_OK)
        fail_msg("%s: %s", text, err.message);
    return v;
}

static int set_up(void **state) {
    static const struct inst_value etype = {.tag = INST_STRING, .len = 5, .u.str = "todos"};
    struct model *m = calloc(1, sizeof *m);
    inst_arena_init(&m->arena);
    m->random = 7;
    struct inst_value list = parsed(m, catalog);
    assert_int_equal(inst_attrs_new(&list, &m->attrs, NULL), INST_OK);
    assert_int_equal(inst_collator_new(&m->collator, NULL), INST_OK);
    inst_table_rows_init(&m->rows, &etype, 99);
    m->rows.order.collator = m->collator;
    *state = m;
    return 0;
}

static int tear_down(void **state) {
    struct model *m = *state;
    inst_table_rows_free(&m->rows);
    inst_attrs_unref(m->attrs);
    inst_collator_free(m->collator);
    inst_arena_free(&m->arena);
    free(m);
    return 0;
}

static void id_of(unsigned e, char out[37]) {
    snprintf(out, 37, "eeeeeeee-0000-4000-8000-%012x", e);
}

static void change_text(struct inst_buf *buf, const char *action, const char *id, const char *attr,
                        const char *value, int t) {
    inst_buf_addf(buf, "%s{\"action\":\"%s\",\"triple\":[\"%s\",%s,%s,%d]}",
                  buf->len > 1 ? "," : "", action, id, attr, value, t);
}

/* A field gets a value (or "": goes). */
static void change_field(struct inst_buf *buf, struct entity *e, const char *id, const char *attr,
                         char *field, size_t cap, const char *value) {
    if (field[0])
        change_text(buf, "removed", id, attr, field, e->created);
    if (value[0])
        change_text(buf, "added", id, attr, value, e->created);
    snprintf(field, cap, "%.*s", (int)cap - 1, value);
}

static void change_entity(struct model *m, unsigned n, struct inst_buf *buf) {
    struct entity *e = &m->entities[n];
    char id[37], quoted[40], value[32];
    id_of(n, id);
    snprintf(quoted, sizeof quoted, "\"%s\"", id);
    if (e->is_there && below(m, 5) == 0) {
        change_text(buf, "removed", id, ID, quoted, e->created);
        change_field(buf, e, id, TITLE, e->title, sizeof e->title, "");
        change_field(buf, e, id, N, e->n, sizeof e->n, "");
        change_field(buf, e, id, DUE, e->due, sizeof e->due, "");
        e->is_there = false;
        return;
    }
    if (!e->is_there) {
        e->is_there = true;
        e->created = (int)below(m, 50);
        change_text(buf, "added", id, ID, quoted, e->created);
    }
    /* texts that compare equal and are not: the order of ties is that of coming */
    static const char *const titles[] = {
        "\"a\"", "\"A\"", "\"b\"", "\"\\u00e9\"", "\"e\\u0301\"", "\"\"", "null", "\"z\"", ""};
    change_field(buf, e, id, TITLE, e->title, sizeof e->title, titles[below(m, 9)]);
    snprintf(value, sizeof value, below(m, 5) ? "%u.5" : "null", below(m, 30));
    change_field(buf, e, id, N, e->n, sizeof e->n, value);
    snprintf(value, sizeof value, below(m, 2) ? "\"2026-01-%02u\"" : "17%02u000000000",
             below(m, 28) + 1);
    change_field(buf, e, id, DUE, e->due, sizeof e->due, value);
}

static void expect_object(struct model *m, const struct inst_table_row *row) {
    unsigned n;
    char wanted[300];
    struct inst_value object;
    struct inst_buf got;
    assert_int_equal(sscanf(row->id, "eeeeeeee-0000-4000-8000-%12x", &n), 1);
    const struct entity *e = &m->entities[n];
    assert_true(e->is_there);
    assert_int_equal(row->created_at, e->created);
    assert_int_equal(
        inst_table_row_object(&m->rows, row, m->attrs, false, &m->arena, &object, NULL), INST_OK);
    inst_buf_init(&got);
    inst_json_write(&got, &object);
    struct inst_value title = parsed(m, e->title[0] ? e->title : "null");
    struct inst_buf text;
    inst_buf_init(&text);
    inst_json_write(&text, &title);
    int len = snprintf(wanted, sizeof wanted, "{\"id\":\"%s\"", row->id);
    if (e->title[0])
        len += snprintf(wanted + len, sizeof wanted - (size_t)len, ",\"title\":%s", text.data);
    snprintf(wanted + len, sizeof wanted - (size_t)len, ",\"n\":%s,\"due\":%s}", e->n, e->due);
    assert_string_equal(got.data, wanted);
    inst_buf_free(&got);
    inst_buf_free(&text);
}

static void check(struct model *m) {
    size_t there = 0;
    for (unsigned i = 0; i < ENTITIES; i++) {
        char id[37];
        id_of(i, id);
        there += m->entities[i].is_there;
        assert_int_equal(inst_table_rows_find(&m->rows, id, 36) != NULL, m->entities[i].is_there);
    }
    assert_int_equal(m->rows.count, there);
    for (size_t i = 0; i < there; i++) {
        expect_object(m, m->rows.items[i]);
        if (i > 0) {
            struct inst_row *a = &m->rows.items[i - 1]->sort, *b = &m->rows.items[i]->sort;
            int c = inst_row_compare(&m->rows.order, a, b);
            assert_true(m->rows.order.is_desc ? c >= 0 : c <= 0);
        }
    }
}

static void transaction(struct model *m, unsigned count) {
    struct inst_buf text;
    struct inst_value changes[ENTITIES];
    unsigned entities[ENTITIES];
    bool is_used[ENTITIES] = {false};
    struct inst_table_row *rows[ENTITIES], *now;
    for (unsigned i = 0; i < count; i++) {
        do
            entities[i] = below(m, ENTITIES);
        while (is_used[entities[i]]);
        is_used[entities[i]] = true;
        char id[37];
        id_of(entities[i], id);
        rows[i] = inst_table_rows_find(&m->rows, id, 36);
        if (rows[i] != NULL)
            assert_true(inst_table_rows_touch(&m->rows, rows[i]));
        inst_buf_init(&text);
        inst_buf_add_char(&text, '[');
        change_entity(m, entities[i], &text);
        inst_buf_add_char(&text, ']');
        changes[i] = parsed(m, text.data);
        inst_buf_free(&text);
    }
    for (unsigned i = 0; i < count; i++) {
        const struct inst_value *list[16];
        for (uint32_t k = 0; k < changes[i].len; k++)
            list[k] = &changes[i].u.items[k];
        assert_int_equal(inst_table_rows_apply(&m->rows, rows[i], list, changes[i].len, &now, NULL),
                         INST_OK);
        assert_int_equal(now != NULL, m->entities[entities[i]].is_there);
    }
    assert_true(inst_table_rows_finish(&m->rows));
}

static void run(struct model *m, const char *field, bool is_desc) {
    const struct inst_attr *attr =
        field ? inst_attrs_forward(m->attrs, "todos", 5, field, strlen(field)) : NULL;
    assert_int_equal(inst_table_rows_order(&m->rows, attr, is_desc, NULL), INST_OK);
    for (int i = 0; i < 120; i++) {
        transaction(m, below(m, 3) ? 1 + below(m, 6) : 20 + below(m, 60));
        check(m);
        inst_arena_reset(&m->arena);
    }
}

static void by_time(void **state) { run(*state, NULL, false); }
static void by_time_desc(void **state) { run(*state, NULL, true); }
static void by_text(void **state) { run(*state, "title", false); }
static void by_text_desc(void **state) { run(*state, "title", true); }
static void by_number(void **state) { run(*state, "n", false); }
static void by_date(void **state) { run(*state, "due", true); }

/* What is written is read back the same. */
static void keeping(void **state) {
    struct model *m = *state;
    static const struct inst_value etype = {.tag = INST_STRING, .len = 5, .u.str = "todos"};
    struct inst_buf text;
    run(m, "title", false);
    inst_buf_init(&text);
    inst_buf_add_char(&text, '{');
    inst_table_rows_write(&m->rows, &text);
    inst_buf_add_char(&text, '}');
    struct inst_value kept = parsed(m, text.data);
    struct inst_table_rows before = m->rows;
    const struct inst_attr *attr = inst_attrs_forward(m->attrs, "todos", 5, "title", 5);
    inst_table_rows_init(&m->rows, &etype, 5);
    m->rows.order.collator = m->collator;
    assert_int_equal(inst_table_rows_order(&m->rows, attr, false, NULL), INST_OK);
    assert_true(inst_table_rows_read(&m->rows, &kept));
    check(m);
    for (size_t i = 0; i < m->rows.count; i++)
        assert_string_equal(m->rows.items[i]->id, before.items[i]->id);
    transaction(m, 30);
    check(m);
    inst_table_rows_free(&before);
    inst_buf_free(&text);
}

static void what_cannot_be_read(void **state) {
    struct model *m = *state;
    static const char *const odd[] = {
        "7",
        "{}",
        "{\"attrs\":7,\"rows\":[]}",
        "{\"attrs\":[],\"rows\":7}",
        "{\"attrs\":[7],\"rows\":[]}",
        "{\"attrs\":[\"a\",\"a\"],\"rows\":[]}",
        "{\"attrs\":[\"a\"],\"rows\":[7]}",
        "{\"attrs\":[\"a\"],\"rows\":[[\"e\",1]]}",
        "{\"attrs\":[\"a\"],\"rows\":[[7,1,[]]]}",
        "{\"attrs\":[\"a\"],\"rows\":[[\"e\",1,[0]]]}",
        "{\"attrs\":[\"a\"],\"rows\":[[\"e\",1,[1,2]]]}",
        "{\"attrs\":[\"a\"],\"rows\":[[\"e\",1,[-1,2]]]}",
        "{\"attrs\":[\"a\"],\"rows\":[[\"e\",1,[0.5,2]]]}",
        "{\"attrs\":[\"a\"],\"rows\":[[\"e\",1,[0,2]],[\"e\",1,[]]]}",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct inst_value v = parsed(m, odd[i]);
        static const struct inst_value etype = {.tag = INST_STRING, .len = 5, .u.str = "todos"};
        struct inst_table_rows rows;
        inst_table_rows_init(&rows, &etype, 3);
        assert_false(inst_table_rows_read(&rows, &v));
        assert_int_equal(rows.count, 0);
        inst_table_rows_free(&rows);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(by_time),   TEST(by_time_desc), TEST(by_text), TEST(by_text_desc),
        TEST(by_number), TEST(by_date),      TEST(keeping), TEST(what_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
