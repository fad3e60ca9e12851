/*
 * The memory store against a plain model of it, through random changes, marks and rollbacks; and
 * its particular promises one by one.
 */
#include "triples_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- a small world ---- */

enum { MAX_ENTITIES = 24 };

struct world {
    struct inst_mem_store *store;
    struct inst_store *base;
    struct model model;
    struct inst_arena arena;
    uint64_t random;
    int64_t now;
    size_t entities;
    uint32_t attr_count;
};

static uint32_t pick(struct world *w, uint32_t below) {
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % below;
}

static struct inst_value parse(struct inst_arena *arena, const char *json) {
    struct inst_value v;
    struct inst_err err = {0};
    if (inst_json_parse(arena, json, strlen(json), &v, &err) != INST_OK) {
        fail_msg("%s: %s", err.message, json);
    }
    return v;
}

/* Attr i: its kind is chosen by i, or made another one. */
static struct inst_value attr_json(struct world *w, uint32_t i, uint32_t kind) {
    static const char *const kinds[] = {
        "\"value-type\":\"blob\",\"cardinality\":\"one\",\"forward-identity\":[\"f\",\"p\",\"id\"]",
        "\"value-type\":\"ref\",\"cardinality\":\"one\",\"on-delete\":\"cascade\","
        "\"forward-identity\":[\"f\",\"p\",\"boss%u\"],\"reverse-identity\":[\"r\",\"q\",\"of%u\"]",
        "\"value-type\":\"ref\",\"cardinality\":\"many\",\"on-delete-reverse\":\"cascade\","
        "\"forward-identity\":[\"f\",\"q\",\"kin%u\"],\"reverse-identity\":[\"r\",\"p\",\"ik%u\"]",
        "\"value-type\":\"blob\",\"cardinality\":\"many\","
        "\"forward-identity\":[\"f\",\"q\",\"tags%u\"]",
        "\"value-type\":\"blob\",\"cardinality\":\"one\","
        "\"forward-identity\":[\"f\",\"p\",\"name%u\"]",
        "\"value-type\":\"ref\",\"cardinality\":\"many\","
        "\"forward-identity\":[\"f\",\"p\",\"all%u\"],\"reverse-identity\":[\"r\",\"q\",\"lla%u\"]",
    };
    char body[256], text[320];
    snprintf(body, sizeof(body), kinds[kind % 6], i, i);
    snprintf(text, sizeof(text), "{\"id\":\"A%u\",%s}", i, body);
    return parse(&w->arena, text);
}

static struct inst_attrs *catalog(struct world *w, uint32_t count) {
    struct inst_value list[64];
    struct inst_attrs *attrs;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = attr_json(w, i, i);
    }
    struct inst_value v = inst_array(list, count);
    assert_int_equal(inst_attrs_new(&v, &attrs, NULL), INST_OK);
    return attrs;
}

static void world_open(struct world *w, uint64_t seed, uint32_t attr_count, size_t entities) {
    *w = (struct world){.random = seed, .now = 1000, .entities = entities};
    w->attr_count = attr_count;
    inst_arena_init(&w->arena);
    struct inst_attrs *attrs = catalog(w, attr_count);
    struct inst_mem_options options = {0};
    assert_int_equal(inst_mem_store_new(attrs, options, &w->store, NULL), INST_OK);
    w->base = inst_mem_store_as_store(w->store);
    model_new(&w->model, attrs);
    inst_attrs_unref(attrs);
}

static void world_close(struct world *w) {
    inst_mem_store_free(w->store);
    model_free(&w->model);
    inst_arena_free(&w->arena);
}

static const char *entity_name(struct world *w, size_t i) {
    char text[16];
    int n = snprintf(text, sizeof(text), "e%zu", i);
    return inst_arena_dup(&w->arena, text, (size_t)n);
}

static struct inst_value value_at(struct world *w, uint32_t i) {
    switch (i % 16) {
    case 0:
        return inst_null();
    case 1:
        return inst_bool(true);
    case 2:
        return inst_number(0);
    case 3:
        return inst_number(1.5);
    case 4:
        return inst_string("", 0);
    case 5:
        return inst_cstring("one");
    case 6:
        return inst_bool(false);
    case 7:
        return inst_number(2);
    default:
        return inst_cstring(entity_name(w, i % w->entities));
    }
}

enum { VALUES = 48 };

/* ---- dumps of both ---- */

static bool dump_triple(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple) {
    void **both = ctx;
    struct inst_store *base = both[0];
    struct inst_buf *buf = both[1];
    struct inst_value id = base->ops->entity_id(base, triple->e);
    inst_buf_addf(buf, "%.*s %.*s ", (int)id.len, id.u.str, (int)attr->id.len, attr->id.u.str);
    inst_json_write(buf, &triple->v);
    inst_buf_addf(buf, " %lld\n", (long long)triple->t);
    return true;
}

static void dump_scan(struct world *w, const struct inst_scan *scan, struct inst_buf *buf) {
    struct inst_cursor cursor;
    struct inst_triple triple;
    void *both[] = {w->base, buf};
    uint64_t seq = 0;
    size_t count = 0;
    assert_int_equal(w->base->ops->scan(w->base, scan, &cursor, NULL), INST_OK);
    while (w->base->ops->next(&cursor, &triple, NULL) == 1) {
        assert_true(triple.seq > seq);
        seq = triple.seq;
        count++;
        dump_triple(both, scan->attr, &triple);
    }
    w->base->ops->close(&cursor);
    size_t estimate = w->base->ops->estimate(w->base, scan, SIZE_MAX);
    assert_int_equal(estimate, count);
    assert_int_equal(w->base->ops->estimate(w->base, scan, 1), count ? 1 : 0);
}

static void model_dump_scan(struct world *w, const char *a, const char *v, struct inst_buf *buf) {
    const struct node *of = node_get(w->model.aev, a);
    for (size_t i = 0; of && i < of->len; i++) {
        for (size_t j = 0; j < of->kids[i]->len; j++) {
            const struct node *triple = of->kids[i]->kids[j];
            if (!v || strcmp(triple->key, v) == 0) {
                inst_buf_addf(buf, "%s %s %s %lld\n", of->kids[i]->key, a, triple->key,
                              (long long)triple->t);
            }
        }
    }
}

static void same_text(struct inst_buf *expected, struct inst_buf *actual) {
    const char *a = expected->data ? expected->data : "";
    const char *b = actual->data ? actual->data : "";
    assert_string_equal(a, b);
    inst_buf_free(expected);
    inst_buf_free(actual);
}

/* All triples, in the order of eav and of every attr. */
static void check_orders(struct world *w) {
    struct inst_buf expected, actual;
    inst_buf_init(&expected);
    inst_buf_init(&actual);
    void *both[] = {w->base, &actual};
    inst_mem_store_each(w->store, dump_triple, both);
    size_t count = 0;
    for (size_t i = 0; i < w->model.eav->len; i++) {
        const struct node *e = w->model.eav->kids[i];
        for (size_t j = 0; j < e->len; j++) {
            for (size_t k = 0; k < e->kids[j]->len; k++, count++) {
                const struct node *triple = e->kids[j]->kids[k];
                inst_buf_addf(&expected, "%s %s %s %lld\n", e->key, e->kids[j]->key, triple->key,
                              (long long)triple->t);
            }
        }
    }
    assert_int_equal(inst_mem_store_count(w->store), count);
    for (size_t i = 0; i < inst_attrs_count(w->base->attrs); i++) {
        const struct inst_attr *attr = inst_attrs_at(w->base->attrs, i);
        struct inst_scan scan = {.attr = attr};
        dump_scan(w, &scan, &actual);
        model_dump_scan(w, text_of(&attr->id), NULL, &expected);
    }
    same_text(&expected, &actual);
}

/* What one value of one attr leads to. */
static void check_value(struct world *w, const struct inst_attr *attr, struct inst_value v) {
    struct inst_buf expected, actual;
    inst_buf_init(&expected);
    inst_buf_init(&actual);
    char *key = key_of(&v);
    struct inst_scan scan = {.attr = attr, .has_v = true, .v = v};
    dump_scan(w, &scan, &actual);
    model_dump_scan(w, text_of(&attr->id), key, &expected);
    uint32_t first = inst_mem_store_lookup(w->store, attr->id.u.str, attr->id.len, &v);
    struct inst_value id = w->base->ops->entity_id(w->base, first);
    size_t len = expected.data ? (size_t)(strchr(expected.data, ' ') - expected.data) : 0;
    if (id.len != len) {
        fail_msg("%s, looked up: %.*s, expected: %s actual: %s", key, (int)id.len, id.u.str,
                 expected.data, actual.data);
    }
    if (len) {
        assert_memory_equal(id.u.str, expected.data, len);
    }
    if (v.tag == INST_STRING) {
        uint32_t e = w->base->ops->entity(w->base, v.u.str, v.len);
        if (e) {
            model_dump_scan(w, text_of(&attr->id), key, &expected);
            scan = (struct inst_scan){.attr = attr, .ref = e};
            dump_scan(w, &scan, &actual);
        }
    }
    free(key);
    same_text(&expected, &actual);
}

/* One cell: its values, what is there of it both ways. */
static void check_cell(struct world *w, const char *name, const struct inst_attr *attr) {
    const char *a = text_of(&attr->id);
    uint32_t e = w->base->ops->entity(w->base, name, strlen(name));
    const struct node *cell = node_get(node_get(w->model.aev, a), name);
    struct inst_value id = inst_cstring(name);
    char *key = key_of(&id);
    bool is_linked = node_get(node_get(w->model.vae, key), a) != NULL;
    free(key);
    if (!e) {
        assert_null(cell);
        assert_false(is_linked);
        return;
    }
    enum inst_presence presence;
    enum inst_presence expected = !cell                    ? INST_MISSING
                                  : node_get(cell, "null") ? INST_IS_NULL
                                                           : INST_PRESENT;
    w->base->ops->presence(w->base, e, attr, false, &presence, NULL);
    assert_int_equal(presence, expected);
    w->base->ops->presence(w->base, e, attr, true, &presence, NULL);
    assert_int_equal(presence, is_linked ? INST_PRESENT : INST_MISSING);
    struct inst_buf one, other;
    inst_buf_init(&one);
    inst_buf_init(&other);
    struct inst_scan scan = {.attr = attr, .e = e};
    dump_scan(w, &scan, &other);
    for (size_t i = 0; cell && i < cell->len; i++) {
        inst_buf_addf(&one, "%s %s %s %lld\n", name, a, cell->kids[i]->key,
                      (long long)cell->kids[i]->t);
        struct inst_value v = parse(&w->arena, cell->kids[i]->key);
        struct inst_scan exact = {.attr = attr, .e = e, .has_v = true, .v = v};
        assert_int_equal(w->base->ops->estimate(w->base, &exact, 9), 1);
    }
    same_text(&one, &other);
}

static void check_row(struct world *w, const char *name) {
    const struct inst_attr *attrs[64];
    struct inst_value out[64];
    size_t n = inst_attrs_count(w->base->attrs);
    for (size_t i = 0; i < n; i++) {
        attrs[i] = inst_attrs_at(w->base->attrs, n - 1 - i);
    }
    uint32_t e = w->base->ops->entity(w->base, name, strlen(name));
    assert_int_equal(w->base->ops->row(w->base, e, attrs, n, out, NULL), INST_OK);
    for (size_t i = 0; i < n; i++) {
        const struct node *cell = node_get(node_get(w->model.eav, name), text_of(&attrs[i]->id));
        if (cell && cell->len) {
            char *key = key_of(&out[i]);
            assert_string_equal(key, cell->kids[cell->len - 1]->key);
            free(key);
        } else {
            assert_int_equal(out[i].tag, INST_UNDEFINED);
        }
    }
}

static void check_all(struct world *w) {
    struct inst_arena_mark mark = inst_arena_mark(&w->arena);
    check_orders(w);
    for (size_t i = 0; i < inst_attrs_count(w->base->attrs); i++) {
        const struct inst_attr *attr = inst_attrs_at(w->base->attrs, i);
        const struct node *of = node_get(w->model.aev, text_of(&attr->id));
        assert_int_equal(inst_mem_store_has_attr(w->store, attr->id.u.str, attr->id.len),
                         of != NULL);
        for (uint32_t v = 0; v < 8 + w->entities; v++) {
            check_value(w, attr, v < 8 ? value_at(w, v) : inst_cstring(entity_name(w, v - 8)));
        }
        for (size_t e = 0; e < w->entities; e++) {
            check_cell(w, entity_name(w, e), attr);
        }
    }
    for (size_t e = 0; e < w->entities; e++) {
        check_row(w, entity_name(w, e));
    }
    inst_arena_rewind(&w->arena, mark);
}

/* ---- random changes ---- */

static void change_attrs(struct world *w) {
    struct inst_attrs *attrs = NULL;
    uint32_t i = pick(w, (uint32_t)inst_attrs_count(w->base->attrs) + 1);
    struct inst_value json = attr_json(w, i, pick(w, 6));
    uint32_t what = pick(w, 8);
    if (what == 0) {
        char id[8];
        int n = snprintf(id, sizeof(id), "A%u", i);
        assert_int_equal(inst_attrs_drop(w->base->attrs, id, (size_t)n, &attrs, NULL), INST_OK);
    } else {
        assert_int_equal(inst_attrs_put(w->base->attrs, &json, &attrs, NULL), INST_OK);
    }
    bool rebuild = what < 4;
    assert_int_equal(inst_mem_store_set_attrs(w->store, attrs, rebuild, NULL), INST_OK);
    model_set_attrs(&w->model, attrs, rebuild);
    inst_attrs_unref(attrs);
}

static void delete_one(struct world *w, uint32_t e, const char *name) {
    static const char *const etypes[] = {NULL, "p", "q", "other"};
    const char *etype = etypes[pick(w, 4)];
    struct inst_value v = etype ? inst_cstring(etype) : inst_undefined();
    assert_int_equal(inst_mem_store_delete_entity(w->store, e, &v, NULL), INST_OK);
    model_delete(&w->model, name, etype, NULL);
}

static void change(struct world *w) {
    struct inst_arena_mark mark = inst_arena_mark(&w->arena);
    size_t count = inst_attrs_count(w->base->attrs);
    const struct inst_attr *attr =
        inst_attrs_at(w->base->attrs, pick(w, count ? (uint32_t)count : 1));
    const char *name = entity_name(w, pick(w, (uint32_t)w->entities));
    uint32_t e = inst_mem_store_intern(w->store, name, strlen(name));
    struct inst_value v = value_at(w, pick(w, VALUES));
    char *key = key_of(&v);
    uint32_t what = pick(w, 100);
    w->now++;
    if (what == 0) {
        change_attrs(w);
    } else if (what < 6 && (w->attr_count <= 32 || pick(w, 20) == 0)) {
        delete_one(w, e, name);
    } else if (!attr) {
        free(key);
        return;
    } else if (what < 25) {
        assert_int_equal(inst_mem_store_retract(w->store, e, attr, &v, NULL), INST_OK);
        model_retract(&w->model, name, attr, key);
    } else if (what < 32 && !attr->is_ref) {
        assert_int_equal(inst_mem_store_replace(w->store, e, attr, &v, w->now, NULL), INST_OK);
        model_replace(&w->model, name, attr, key, w->now);
    } else {
        int64_t t = pick(w, 9) ? w->now : INST_NO_TIME;
        assert_int_equal(inst_mem_store_put(w->store, e, attr, &v, t, NULL), INST_OK);
        model_put(&w->model, name, attr, key, t);
    }
    free(key);
    inst_arena_rewind(&w->arena, mark);
}

/* Loads triples, some of them twice and some without a time. */
static void load_some(struct world *w, size_t count) {
    struct inst_value *triples = inst_arena_alloc(&w->arena, count * sizeof(*triples));
    for (size_t i = 0; i < count; i++) {
        struct inst_value *triple = inst_arena_alloc(&w->arena, 4 * sizeof(*triple));
        const struct inst_attr *attr = inst_attrs_at(w->base->attrs, pick(w, w->attr_count));
        const char *name = entity_name(w, i % 5 ? (i / 7) % w->entities : pick(w, 3));
        triple[0] = inst_cstring(name);
        triple[1] = attr->id;
        triple[2] = value_at(w, pick(w, VALUES));
        triple[3] = inst_number((double)++w->now);
        triples[i] = inst_array(triple, pick(w, 5) ? 4 : 3);
        char *key = key_of(&triple[2]);
        model_load(&w->model, name, attr, key, triples[i].len == 4 ? w->now : INST_NO_TIME);
        free(key);
    }
    struct inst_value list = inst_array(triples, count);
    assert_int_equal(inst_mem_store_load(w->store, &list, NULL), INST_OK);
}

enum { MAX_MARKS = 8 };

struct saved {
    uint64_t mark;
    struct model model;
};

static void run_random(uint64_t seed, uint32_t attr_count, size_t entities, int steps, int every) {
    struct world w;
    struct saved saved[MAX_MARKS];
    size_t marks = 0;
    world_open(&w, seed, attr_count, entities);
    load_some(&w, (size_t)steps / 10);
    check_all(&w);
    for (int i = 0; i < steps; i++) {
        uint32_t what = i > steps / 4 ? pick(&w, 40) : 9;
        if (what == 0 && marks < MAX_MARKS) {
            saved[marks++] = (struct saved){inst_mem_store_mark(w.store), model_copy(&w.model)};
            assert_true(saved[marks - 1].mark != 0);
        } else if (what == 1 && marks) {
            size_t to = pick(&w, (uint32_t)marks);
            assert_int_equal(inst_mem_store_rollback(w.store, saved[to].mark, NULL), INST_OK);
            model_free(&w.model);
            w.model = model_copy(&saved[to].model);
            while (marks > to + 1) {
                model_free(&saved[--marks].model);
            }
            check_all(&w);
        } else if (what == 2 && marks) {
            inst_mem_store_release(w.store, saved[--marks].mark);
            model_free(&saved[marks].model);
        } else {
            change(&w);
        }
        if (i % every == 0) {
            check_all(&w);
        }
    }
    check_all(&w);
    while (marks) {
        model_free(&saved[--marks].model);
    }
    world_close(&w);
}

static void behaves_like_the_model(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        run_random(seed, 6, 10, 600, 7);
    }
}

static void wide_entities_and_cells_behave_like_the_model(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        run_random(seed, 48, 3, 1500, 50);
        run_random(seed + 100, 4, MAX_ENTITIES, 2000, 50);
    }
}

/* ---- one promise each ---- */

static const char todo_attrs[] =
    "[{\"id\":\"id\",\"value-type\":\"blob\",\"cardinality\":\"one\","
    "\"forward-identity\":[\"1\",\"todos\",\"id\"]},"
    "{\"id\":\"title\",\"value-type\":\"blob\",\"cardinality\":\"one\","
    "\"forward-identity\":[\"2\",\"todos\",\"title\"]},"
    "{\"id\":\"due\",\"value-type\":\"blob\",\"cardinality\":\"one\","
    "\"checked-data-type\":\"date\",\"forward-identity\":[\"3\",\"todos\",\"due\"]},"
    "{\"id\":\"next\",\"value-type\":\"ref\",\"cardinality\":\"one\","
    "\"on-delete-reverse\":\"cascade\",\"forward-identity\":[\"4\",\"todos\",\"next\"],"
    "\"reverse-identity\":[\"5\",\"todos\",\"before\"]}]";

struct fixture {
    struct inst_arena arena;
    struct inst_mem_store *store;
    struct inst_store *base;
};

static void open_store(struct fixture *f, bool use_date_objects) {
    struct inst_attrs *attrs;
    struct inst_mem_options options = {.use_date_objects = use_date_objects};
    inst_arena_init(&f->arena);
    struct inst_value list = parse(&f->arena, todo_attrs);
    assert_int_equal(inst_attrs_new(&list, &attrs, NULL), INST_OK);
    assert_int_equal(inst_mem_store_new(attrs, options, &f->store, NULL), INST_OK);
    inst_attrs_unref(attrs);
    f->base = inst_mem_store_as_store(f->store);
}

static void close_store(struct fixture *f) {
    inst_mem_store_free(f->store);
    inst_arena_free(&f->arena);
}

static const struct inst_attr *attr_of(struct fixture *f, const char *id) {
    return inst_attrs_by_id(f->base->attrs, id, strlen(id));
}

static enum inst_status load_json(struct fixture *f, const char *json, struct inst_err *err) {
    struct inst_value triples = parse(&f->arena, json);
    return inst_mem_store_load(f->store, &triples, err);
}

static void put_text(struct fixture *f, const char *e, const char *attr, const char *v) {
    struct inst_value value = inst_cstring(v);
    uint32_t handle = inst_mem_store_intern(f->store, e, strlen(e));
    assert_int_equal(inst_mem_store_put(f->store, handle, attr_of(f, attr), &value, 7, NULL),
                     INST_OK);
}

static struct inst_value first_value(struct fixture *f, const char *e, const char *attr) {
    struct inst_triple triple = {0};
    uint32_t handle = f->base->ops->entity(f->base, e, strlen(e));
    inst_mem_store_first(f->store, handle, attr_of(f, attr), &triple);
    return triple.v;
}

static void skips_unknown_attrs_and_refuses_what_is_no_triple(void **state) {
    (void)state;
    struct fixture f;
    struct inst_err err = {0};
    open_store(&f, false);
    assert_int_equal(load_json(&f, "[[\"e\",\"nobody\",1],[\"e\",\"id\",\"e\",5]]", &err), INST_OK);
    assert_int_equal(inst_mem_store_count(f.store), 1);
    assert_false(inst_mem_store_has_attr(f.store, "nobody", 6));
    static const char *const bad[] = {"[[]]",           "[1]",           "[[\"e\",\"id\"]]",
                                      "[[1,\"id\",2]]", "[[\"e\",1,2]]", "[{\"0\":\"e\"}]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(load_json(&f, bad[i], &err), INST_FAILED);
        assert_string_equal(err.type, "validation-failed");
        inst_err_clear(&err);
    }
    assert_int_equal(inst_mem_store_count(f.store), 1);
    close_store(&f);
}

static void times_that_are_no_numbers_are_unknown(void **state) {
    (void)state;
    struct fixture f;
    struct inst_triple triple;
    open_store(&f, false);
    load_json(&f,
              "[[\"a\",\"title\",1,\"x\"],[\"b\",\"title\",1,1e300],[\"c\",\"title\",1],"
              "[\"d\",\"title\",1,1700000000000]]",
              NULL);
    static const char *const names[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++) {
        uint32_t e = f.base->ops->entity(f.base, names[i], 1);
        assert_true(inst_mem_store_first(f.store, e, attr_of(&f, "title"), &triple));
        assert_true(triple.t == (i == 3 ? 1700000000000 : INST_NO_TIME));
    }
    close_store(&f);
}

static void dates_are_coerced_on_load_and_on_write_only_when_asked(void **state) {
    (void)state;
    struct fixture f;
    struct inst_err err = {0};
    open_store(&f, true);
    assert_int_equal(load_json(&f, "[[\"e\",\"due\",\"2025-01-02\"],[\"n\",\"due\",null]]", &err),
                     INST_OK);
    assert_int_equal(first_value(&f, "e", "due").tag, INST_DATE);
    assert_int_equal(first_value(&f, "n", "due").tag, INST_NULL);
    put_text(&f, "e", "due", "2025-01-03");
    assert_true(first_value(&f, "e", "due").u.num == 1735862400000.0);
    struct inst_value bad = inst_cstring("soon");
    uint32_t e = f.base->ops->entity(f.base, "e", 1);
    assert_int_equal(inst_mem_store_put(f.store, e, attr_of(&f, "due"), &bad, 1, &err),
                     INST_FAILED);
    assert_string_equal(err.message, "Unable to parse `soon` as a date.");
    inst_err_clear(&err);
    assert_true(first_value(&f, "e", "due").u.num == 1735862400000.0);
    close_store(&f);
    open_store(&f, false);
    put_text(&f, "e", "due", "2025-01-03");
    assert_int_equal(first_value(&f, "e", "due").tag, INST_STRING);
    close_store(&f);
}

static void links_and_ids_carry_their_entity(void **state) {
    (void)state;
    struct fixture f;
    struct inst_triple triple;
    open_store(&f, false);
    load_json(&f,
              "[[\"e\",\"id\",\"e\"],[\"e\",\"next\",\"later\"],[\"e\",\"title\",\"later\"],"
              "[\"e\",\"title\",5]]",
              NULL);
    uint32_t e = f.base->ops->entity(f.base, "e", 1);
    uint32_t later = f.base->ops->entity(f.base, "later", 5);
    assert_true(e && later && e != later);
    inst_mem_store_first(f.store, e, attr_of(&f, "id"), &triple);
    assert_int_equal(triple.ref, e);
    inst_mem_store_first(f.store, e, attr_of(&f, "next"), &triple);
    assert_int_equal(triple.ref, later);
    assert_true(triple.v.flags & INST_VALUE_INTERNED);
    uint32_t handle;
    memcpy(&handle, triple.v.u.str - sizeof(handle), sizeof(handle));
    assert_int_equal(handle, later);
    inst_mem_store_first(f.store, e, attr_of(&f, "title"), &triple);
    assert_int_equal(triple.ref, 0);
    assert_int_equal(f.base->ops->entity(f.base, "nobody", 6), 0);
    struct inst_scan scan = {.attr = attr_of(&f, "next"), .ref = 99};
    assert_int_equal(f.base->ops->estimate(f.base, &scan, 9), 0);
    scan.ref = later;
    assert_int_equal(f.base->ops->estimate(f.base, &scan, 9), 1);
    assert_false(f.base->ops->can_range(f.base, attr_of(&f, "title")));
    assert_int_equal(f.base->ops->entity_id(f.base, 99).tag, INST_UNDEFINED);
    assert_int_equal(f.base->ops->entity_id(f.base, 0).tag, INST_UNDEFINED);
    close_store(&f);
}

static void a_long_chain_of_cascades_needs_no_stack(void **state) {
    (void)state;
    enum { LENGTH = 200000 };
    struct fixture f;
    char from[16], to[16];
    open_store(&f, false);
    for (int i = 0; i < LENGTH; i++) {
        snprintf(from, sizeof(from), "e%d", i);
        snprintf(to, sizeof(to), "e%d", (i + 1) % LENGTH);
        put_text(&f, from, "next", to);
    }
    uint64_t mark = inst_mem_store_mark(f.store);
    struct inst_value etype = inst_cstring("todos");
    uint32_t e = f.base->ops->entity(f.base, "e5", 2);
    assert_int_equal(inst_mem_store_delete_entity(f.store, e, &etype, NULL), INST_OK);
    assert_int_equal(inst_mem_store_count(f.store), 0);
    inst_mem_store_rollback(f.store, mark, NULL);
    assert_int_equal(inst_mem_store_count(f.store), LENGTH);
    close_store(&f);
}

static void rolling_back_gives_the_memory_back(void **state) {
    (void)state;
    struct fixture f;
    char text[32];
    open_store(&f, false);
    put_text(&f, "e", "title", "before");
    uint64_t mark = inst_mem_store_mark(f.store);
    size_t before = inst_mem_store_overhead(f.store), most = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50000; i++) {
            snprintf(text, sizeof(text), "made up in round %d", i);
            put_text(&f, text, "title", text);
        }
        size_t now = inst_mem_store_overhead(f.store);
        most = now > most ? now : most;
        assert_int_equal(inst_mem_store_rollback(f.store, mark, NULL), INST_OK);
        assert_int_equal(f.base->ops->entity(f.base, text, strlen(text)), 0);
    }
    /* What stays is the table of entities, which does not shrink, and a spare chunk or two. */
    assert_true(inst_mem_store_overhead(f.store) < before + most / 4);
    struct inst_value v = first_value(&f, "e", "title");
    assert_true(inst_is_string(&v, "before"));
    close_store(&f);
}

static void marks_nest_stay_and_are_counted(void **state) {
    (void)state;
    struct fixture f;
    struct inst_err err = {0};
    open_store(&f, false);
    assert_int_equal(inst_mem_store_rollback(f.store, 1, &err), INST_FAILED);
    inst_err_clear(&err);
    uint64_t outer = inst_mem_store_mark(f.store);
    assert_int_equal(inst_mem_store_mark(f.store), outer);
    inst_mem_store_release(f.store, outer);
    put_text(&f, "e", "title", "one");
    uint64_t inner = inst_mem_store_mark(f.store);
    assert_true(inner != outer);
    put_text(&f, "e", "title", "two");
    inst_mem_store_rollback(f.store, inner, NULL);
    put_text(&f, "e", "title", "three");
    inst_mem_store_rollback(f.store, inner, NULL);
    struct inst_value v = first_value(&f, "e", "title");
    assert_true(inst_is_string(&v, "one"));
    inst_mem_store_rollback(f.store, outer, NULL);
    assert_int_equal(inst_mem_store_count(f.store), 0);
    assert_int_equal(inst_mem_store_rollback(f.store, inner, &err), INST_FAILED);
    inst_err_clear(&err);
    put_text(&f, "e", "title", "kept");
    inst_mem_store_release(f.store, outer);
    assert_int_equal(inst_mem_store_rollback(f.store, outer, &err), INST_FAILED);
    inst_err_clear(&err);
    assert_int_equal(inst_mem_store_count(f.store), 1);
    close_store(&f);
}

static void a_link_cannot_be_replaced(void **state) {
    (void)state;
    struct fixture f;
    struct inst_err err = {0};
    open_store(&f, false);
    struct inst_value v = inst_cstring("x");
    uint32_t e = inst_mem_store_intern(f.store, "e", 1);
    assert_int_equal(inst_mem_store_replace(f.store, e, attr_of(&f, "next"), &v, 1, &err),
                     INST_FAILED);
    inst_err_clear(&err);
    close_store(&f);
}

/* Entities of eight triples with uuids for ids. */
static void a_triple_costs_at_most_120_bytes_beyond_its_value(void **state) {
    (void)state;
    enum { ENTITIES = 12500 };
    struct world w;
    char id[40], text[64];
    world_open(&w, 1, 8, 1);
    for (int i = 0; i < ENTITIES; i++) {
        snprintf(id, sizeof(id), "%08x-0000-4000-8000-%012x", pick(&w, UINT32_MAX), i);
        uint32_t e = inst_mem_store_intern(w.store, id, strlen(id));
        for (size_t a = 0; a < 8; a++) {
            snprintf(text, sizeof(text), "value %d of %zu", i, a);
            struct inst_value v = a == 0 ? inst_cstring(id) : inst_cstring(text);
            const struct inst_attr *attr = inst_attrs_at(w.base->attrs, a);
            if (attr->is_ref) {
                v = inst_cstring(id);
            }
            assert_int_equal(inst_mem_store_put(w.store, e, attr, &v, i, NULL), INST_OK);
        }
    }
    assert_int_equal(inst_mem_store_count(w.store), 8 * ENTITIES);
    assert_true(inst_mem_store_overhead(w.store) <= (size_t)120 * 8 * ENTITIES);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_like_the_model),
        cmocka_unit_test(wide_entities_and_cells_behave_like_the_model),
        cmocka_unit_test(skips_unknown_attrs_and_refuses_what_is_no_triple),
        cmocka_unit_test(times_that_are_no_numbers_are_unknown),
        cmocka_unit_test(dates_are_coerced_on_load_and_on_write_only_when_asked),
        cmocka_unit_test(links_and_ids_carry_their_entity),
        cmocka_unit_test(a_long_chain_of_cascades_needs_no_stack),
        cmocka_unit_test(rolling_back_gives_the_memory_back),
        cmocka_unit_test(marks_nest_stay_and_are_counted),
        cmocka_unit_test(a_link_cannot_be_replaced),
        cmocka_unit_test(a_triple_costs_at_most_120_bytes_beyond_its_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
