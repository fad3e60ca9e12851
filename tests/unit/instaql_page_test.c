/* Paging on the server against a model that sorts everything, and what an ordered page reads. */
#include "instaql_fixture.h"

static const char *const attrs[] = {
    "t.id any unique index", "t.n number index",      "t.s string index",
    "t.b boolean index",     "t.d date index",        "t.plain any",
    "t.many ref u.of many",  "u.id any unique index", NULL,
};

enum { ROWS = 60 };

struct model_row {
    uint32_t number;
    int rank;   /* null first */
    double num; /* number, ms, boolean */
    const char *text;
    double t;
};

struct model {
    struct model_row rows[ROWS]; /* sorted ascending */
    size_t count;
};

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static const char *const texts[] = {"apple", "Banana", "banana", "Cherry", "\xC3\xA9t\xC3\xA9", ""};

/* Few different values, some null, so that pages end within equal ones. */
static char *make_triples(void) {
    struct inst_buf buf;
    uint32_t seed = 7;
    inst_buf_init(&buf);
    inst_buf_add_char(&buf, '[');
    for (uint32_t i = 0; i < ROWS; i++) {
        uint32_t e = 1 + (i * 37) % ROWS; /* handles are not in the order of ids */
        uint32_t t = 100 + next_random(&seed) % 12;
        inst_buf_addf(&buf, "%s[%u,\"t.id\",%u,%u]", i ? "," : "", e, e, t);
        uint32_t pick = next_random(&seed) % 7;
        pick == 0 ? inst_buf_addf(&buf, ",[%u,\"t.n\",null,%u]", e, t)
                  : inst_buf_addf(&buf, ",[%u,\"t.n\",%d,%u]", e, (int)pick - 3, t);
        pick = next_random(&seed) % 7;
        pick == 6 ? inst_buf_addf(&buf, ",[%u,\"t.s\",null,%u]", e, t)
                  : inst_buf_addf(&buf, ",[%u,\"t.s\",\"%s\",%u]", e, texts[pick], t);
        inst_buf_addf(&buf, ",[%u,\"t.b\",%s,%u]", e, next_random(&seed) % 2 ? "true" : "false", t);
        pick = next_random(&seed) % 5;
        pick == 0   ? inst_buf_addf(&buf, ",[%u,\"t.d\",null,%u]", e, t)
        : pick == 1 ? inst_buf_addf(&buf, ",[%u,\"t.d\",86400000,%u]", e, t)
                    : inst_buf_addf(&buf, ",[%u,\"t.d\",\"1970-01-0%u\",%u]", e, pick, t);
        inst_buf_addf(&buf, ",[%u,\"t.plain\",%u,%u]", e, e % 3, t);
        inst_buf_addf(&buf, ",[%u,\"t.many\",%u,%u],[%u,\"t.many\",%u,%u]", e, 200 + e % 4, t, e,
                      200 + (e + 1) % 4, t);
    }
    inst_buf_add_char(&buf, ']');
    return inst_buf_take(&buf, NULL);
}

static int setup(void **state) {
    struct fixture *f = malloc(sizeof(*f));
    char *triples = make_triples();
    fixture_begin(f, attrs, triples);
    free(triples);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture_end(*state);
    free(*state);
    return 0;
}

/* ---- the model ---- */

static struct inst_collator *collator;

static int compare_model(const void *a, const void *b) {
    const struct model_row *x = a, *y = b;
    if (x->rank != y->rank) {
        return x->rank - y->rank;
    }
    int order = 0;
    if (x->text && y->text) {
        order = inst_collator_compare(collator, x->text, strlen(x->text), y->text, strlen(y->text));
    } else {
        order = (x->num > y->num) - (x->num < y->num);
    }
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

/* Rows of an order, matching `plain == only` (or all, -1). */
static void make_model(struct fixture *f, const char *label, int only, struct model *m) {
    const struct inst_attr *id = fixture_attr(f, "t.id"), *plain = fixture_attr(f, "t.plain");
    m->count = 0;
    for (uint32_t n = 1; n <= ROWS; n++) {
        char text[37], name[16];
        fixture_id(n, text);
        uint32_t e = f->store->ops->entity(f->store, text, 36);
        struct inst_triple t;
        assert_true(inst_mem_store_first(f->mem, e, plain, &t));
        if (only >= 0 && t.v.u.num != only) {
            continue;
        }
        struct model_row *row = &m->rows[m->count++];
        *row = (struct model_row){.number = n, .rank = 1};
        assert_true(inst_mem_store_first(f->mem, e, id, &t));
        row->t = (double)t.t;
        row->num = row->t;
        if (strcmp(label, "serverCreatedAt") == 0) {
            continue;
        }
        snprintf(name, sizeof(name), "t.%s", label);
        assert_true(inst_mem_store_first(f->mem, e, fixture_attr(f, name), &t));
        struct inst_value ms;
        row->rank = t.v.tag != INST_NULL;
        row->num = t.v.tag == INST_TRUE;
        if (t.v.tag == INST_STRING && label[0] == 's') {
            row->text = inst_arena_dup(&f->arena, t.v.u.str, t.v.len);
        } else if (label[0] == 'd' && row->rank) {
            assert_int_equal(inst_date_coerce(&t.v, &ms, NULL), INST_OK);
            row->num = ms.u.num;
        } else if (t.v.tag == INST_NUMBER) {
            row->num = t.v.u.num;
        }
    }
    qsort(m->rows, m->count, sizeof(m->rows[0]), compare_model);
}

struct page_case {
    const char *label;
    bool is_desc;
    int only;
    int limit;    /* 0: none */
    bool is_last; /* limit is `last` */
    int offset;
    int after, before; /* places in the requested order, -1: none */
    bool after_inclusive, before_inclusive;
};

struct expected {
    uint32_t numbers[ROWS];
    size_t count;
    bool has_next, has_previous;
};

/* instaql.md 4.3, on a list. */
static void expect_page(const struct model *m, const struct page_case *c, struct expected *out) {
    struct model_row rows[ROWS];
    size_t count = m->count;
    int from = 0, to = (int)count;
    for (size_t i = 0; i < count; i++) {
        rows[i] = c->is_desc ? m->rows[count - 1 - i] : m->rows[i];
    }
    if (c->after >= 0) {
        from = c->after + !c->after_inclusive;
    }
    if (c->before >= 0) {
        to = c->before + c->before_inclusive;
    }
    if (c->is_last) {
        to -= c->offset;
        from = c->limit && to - c->limit > from ? to - c->limit : from;
    } else {
        from += c->offset;
        to = c->limit && from + c->limit < to ? from + c->limit : to;
    }
    out->count = 0;
    for (int i = from; i < to; i++) {
        out->numbers[out->count++] = rows[i].number;
    }
    bool is_empty = out->count == 0;
    out->has_next = !is_empty && (c->limit || c->before >= 0) && to < (int)count;
    if (c->limit && c->before < 0 && !c->is_last) {
        out->has_next = !is_empty && to < (int)count;
    }
    out->has_previous = !is_empty && (c->after >= 0 || c->offset || c->is_last) && from > 0;
    if (is_empty && (c->offset || c->after >= 0)) {
        out->has_previous = true;
    }
}

static void add_cursor(struct fixture *f, struct inst_buf *buf, const struct model *m,
                       const struct page_case *c, const char *name, int place) {
    size_t at = c->is_desc ? m->count - 1 - (size_t)place : (size_t)place;
    const struct model_row *row = &m->rows[at];
    bool is_time = strcmp(c->label, "serverCreatedAt") == 0;
    char id[37], attr[16];
    struct inst_triple t;
    fixture_id(row->number, id);
    snprintf(attr, sizeof(attr), "t.%s", is_time ? "id" : c->label);
    const struct inst_attr *a = fixture_attr(f, attr);
    assert_true(inst_mem_store_first(f->mem, f->store->ops->entity(f->store, id, 36), a, &t));
    inst_buf_addf(buf, ",\"%s\":[\"%s\",\"%.*s\",", name, id, (int)a->id.len, a->id.u.str);
    inst_json_write(buf, &t.v);
    inst_buf_addf(buf, ",%lld]", (long long)t.t);
}

static const char *make_query(struct fixture *f, const struct model *m, const struct page_case *c) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_addf(&buf, "{\"t\":{\"$\":{\"fields\":[],\"order\":{\"%s\":\"%s\"}", c->label,
                  c->is_desc ? "desc" : "asc");
    if (c->only >= 0) {
        inst_buf_addf(&buf, ",\"where\":{\"plain\":%d}", c->only);
    }
    if (c->limit) {
        inst_buf_addf(&buf, ",\"%s\":%d", c->is_last ? "last" : "limit", c->limit);
    }
    if (c->offset) {
        inst_buf_addf(&buf, ",\"offset\":%d", c->offset);
    }
    if (c->after >= 0) {
        add_cursor(f, &buf, m, c, "after", c->after);
        inst_buf_addf(&buf, ",\"afterInclusive\":%s", c->after_inclusive ? "true" : "false");
    }
    if (c->before >= 0) {
        add_cursor(f, &buf, m, c, "before", c->before);
        inst_buf_addf(&buf, ",\"beforeInclusive\":%s", c->before_inclusive ? "true" : "false");
    }
    inst_buf_add_str(&buf, "}}}");
    const char *text = inst_arena_dup(&f->arena, buf.data, buf.len);
    inst_buf_free(&buf);
    return text;
}

static int compare_numbers(const void *a, const void *b) {
    return (*(const uint32_t *)a > *(const uint32_t *)b) -
           (*(const uint32_t *)a < *(const uint32_t *)b);
}

static unsigned cursor_number(struct fixture *f, const struct inst_collected_triple *t) {
    struct inst_value id = f->store->ops->entity_id(f->store, t->triple.e);
    return fixture_number(&id);
}

static void check(struct fixture *f, struct inst_store *store, const char *text,
                  const struct expected *expected) {
    struct inst_value q = fixture_json(f, text);
    struct inst_collect_options opts = {.collator = collator};
    struct inst_collected out;
    uint32_t want[ROWS], got[ROWS * 4];
    size_t count = 0;
    if (inst_instaql_collect(store, &q, &opts, &f->arena, &out, &f->err) != INST_OK) {
        fail_msg("%s: %s", text, f->err.message);
    }
    for (size_t i = 0; i < out.triple_count; i++) {
        if (ranged_is_id(out.triples[i].attr)) {
            got[count++] = cursor_number(f, &out.triples[i]);
        }
    }
    memcpy(want, expected->numbers, sizeof(want));
    qsort(want, expected->count, sizeof(*want), compare_numbers);
    qsort(got, count, sizeof(*got), compare_numbers);
    if (count != expected->count || memcmp(want, got, count * sizeof(*want)) != 0) {
        fail_msg("%s: %zu rows expected, %zu came (or others)", text, expected->count, count);
    }
    const struct inst_collected_page *page = &out.pages[0];
    assert_int_equal(out.page_count, 1);
    assert_int_equal(page->is_empty, count == 0);
    if (page->has_next != expected->has_next || page->has_previous != expected->has_previous) {
        fail_msg("%s: next %d (expected %d), previous %d (expected %d)", text, page->has_next,
                 expected->has_next, page->has_previous, expected->has_previous);
    }
    if (count) {
        assert_int_equal(cursor_number(f, &page->start), expected->numbers[0]);
        assert_int_equal(cursor_number(f, &page->end), expected->numbers[expected->count - 1]);
    }
}

static struct page_case random_case(uint32_t *seed, size_t count) {
    static const char *const labels[] = {"serverCreatedAt", "n", "s", "b", "d"};
    struct page_case c = {.label = labels[next_random(seed) % 5], .after = -1, .before = -1};
    c.is_desc = next_random(seed) % 2;
    c.limit = next_random(seed) % 4 ? 1 + (int)(next_random(seed) % 12) : 0;
    c.is_last = c.limit && next_random(seed) % 3 == 0;
    c.offset = next_random(seed) % 4 == 0 ? (int)(next_random(seed) % 9) : 0;
    if (next_random(seed) % 2) {
        c.after = (int)(next_random(seed) % count);
    }
    if (next_random(seed) % 3 == 0) {
        c.before = (int)(next_random(seed) % count);
    }
    c.after_inclusive = next_random(seed) % 2;
    c.before_inclusive = next_random(seed) % 2;
    return c;
}

static void pages_as_a_sorted_list_would(void **state) {
    struct fixture *f = *state;
    uint32_t seed = 99;
    for (int i = 0; i < 1500; i++) {
        struct model m;
        struct expected expected;
        int only = next_random(&seed) % 2 ? (int)(next_random(&seed) % 3) : -1;
        struct page_case c = random_case(&seed, only < 0 ? ROWS : ROWS / 3);
        c.only = only;
        make_model(f, c.label, only, &m);
        expect_page(&m, &c, &expected);
        const char *query = make_query(f, &m, &c);
        check(f, f->store, query, &expected);
        check(f, &f->ranged.store, query, &expected);
    }
}

static void orders_by_creation_without_an_order(void **state) {
    struct fixture *f = *state;
    struct model m;
    struct expected expected;
    struct page_case c = {
        .label = "serverCreatedAt", .only = -1, .limit = 4, .after = -1, .before = -1};
    make_model(f, c.label, -1, &m);
    expect_page(&m, &c, &expected);
    check(f, &f->ranged.store, "{\"t\":{\"$\":{\"limit\":4,\"fields\":[]}}}", &expected);
    check(f, &f->ranged.store, "{\"t\":{\"$\":{\"first\":4,\"fields\":[]}}}", &expected);
}

static void has_no_page_of_nothing(void **state) {
    struct fixture *f = *state;
    struct expected none = {0};
    check(f, &f->ranged.store,
          "{\"t\":{\"$\":{\"limit\":4,\"where\":{\"plain\":77},\"fields\":[]}}}", &none);
    struct expected past = {.has_previous = true};
    check(f, f->store, "{\"t\":{\"$\":{\"limit\":4,\"offset\":1000,\"fields\":[]}}}", &past);
}

static void gives_entities_once(void **state) {
    struct fixture *f = *state;
    struct inst_value q =
        fixture_json(f, "{\"t\":{\"$\":{\"where\":{\"many.id\":{\"$isNull\":true}},\"limit\":3}}}");
    struct inst_collected out;
    assert_int_equal(inst_instaql_collect(f->store, &q, NULL, &f->arena, &out, &f->err), INST_OK);
    /* Every t has two links whose targets have no id: nothing is null of the path's first step. */
    assert_int_equal(out.triple_count, 0);
    q = fixture_json(f, "{\"t\":{\"$\":{\"where\":{\"many\":{\"$in\":["
                        "\"000000c8-0000-4000-8000-000000000000\","
                        "\"000000c9-0000-4000-8000-000000000000\"]}},\"limit\":3,\"fields\":[]}}}");
    assert_int_equal(inst_instaql_collect(f->store, &q, NULL, &f->arena, &out, &f->err), INST_OK);
    size_t ids = 0;
    for (size_t i = 0; i < out.triple_count; i++) {
        ids += ranged_is_id(out.triples[i].attr);
    }
    assert_int_equal(ids, 3);
}

/* ---- what is read ---- */

static unsigned reads_of(struct fixture *f, const char *text) {
    struct inst_value q = fixture_json(f, text);
    struct inst_collected out;
    f->ranged.reads = 0;
    assert_int_equal(inst_instaql_collect(&f->ranged.store, &q, NULL, &f->arena, &out, &f->err),
                     INST_OK);
    return f->ranged.reads;
}

static char *many_rows(uint32_t count) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    for (uint32_t e = 1; e <= count; e++) {
        inst_buf_addf(&buf, "%s[%u,\"t.id\",%u,%u],[%u,\"t.n\",%u],[%u,\"t.b\",%s]",
                      e > 1 ? "," : "[", e, e, e, e, count - e, e, e % 2 ? "true" : "false");
    }
    inst_buf_add_char(&buf, ']');
    return inst_buf_take(&buf, NULL);
}

static void reads_no_more_than_a_page(void **state) {
    struct fixture f;
    char *triples = many_rows(3000);
    (void)state;
    fixture_begin(&f, attrs, triples);
    free(triples);
    assert_in_range(reads_of(&f, "{\"t\":{\"$\":{\"limit\":10,\"fields\":[]}}}"), 20, 60);
    assert_in_range(reads_of(&f, "{\"t\":{\"$\":{\"order\":{\"n\":\"desc\"},\"limit\":10,"
                                 "\"fields\":[]}}}"),
                    20, 80);
    assert_in_range(reads_of(&f, "{\"t\":{\"$\":{\"order\":{\"n\":\"asc\"},\"last\":10,"
                                 "\"fields\":[]}}}"),
                    20, 80);
    /* Half of the rows match, more than are worth sorting. */
    assert_in_range(reads_of(&f, "{\"t\":{\"$\":{\"where\":{\"b\":true},\"order\":{\"n\":\"asc\"},"
                                 "\"limit\":10,\"fields\":[]}}}"),
                    20, 150);
    /* Few match: they are found by their index and sorted. */
    assert_in_range(reads_of(&f, "{\"t\":{\"$\":{\"where\":{\"n\":{\"$lt\":5}},\"order\":{\"n\":"
                                 "\"desc\"},\"limit\":2,\"fields\":[]}}}"),
                    5, 40);
    fixture_end(&f);
}

static void walks_many_equal_values(void **state) {
    struct fixture f;
    char *triples = many_rows(1200);
    struct expected expected = {.count = 3, .has_next = true, .has_previous = true};
    char query[400], id[37], attr[37];
    (void)state;
    fixture_begin(&f, attrs, triples);
    free(triples);
    fixture_id(501, id);
    fixture_attr_id(4, attr);
    for (uint32_t i = 0; i < 3; i++) {
        expected.numbers[i] = 503 + 2 * i; /* `true` is what odd ones have */
    }
    snprintf(
        query, sizeof(query),
        "{\"t\":{\"$\":{\"order\":{\"b\":\"asc\"},\"limit\":3,\"after\":[\"%s\",\"%s\",true,1],"
        "\"fields\":[]}}}",
        id, attr);
    check(&f, &f.ranged.store, query, &expected);
    fixture_end(&f);
}

static int open_collator(void **state) {
    (void)state;
    return inst_collator_new(&collator, NULL) != INST_OK;
}

static int close_collator(void **state) {
    (void)state;
    inst_collator_free(collator);
    return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(pages_as_a_sorted_list_would),
        TEST(orders_by_creation_without_an_order),
        TEST(has_no_page_of_nothing),
        TEST(gives_entities_once),
        cmocka_unit_test(reads_no_more_than_a_page),
        cmocka_unit_test(walks_many_equal_values),
    };
    return cmocka_run_group_tests(tests, open_collator, close_collator);
}
