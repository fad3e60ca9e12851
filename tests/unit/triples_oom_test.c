/*
 * Every allocation of the triples floor fails once: the call says so, frees what it took, and what
 * it was given is as it was, or goes back to it by a rollback.
 */
#include "base/json.h"
#include "oom.h"
#include "triples/mem_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char attrs_json[] =
    "[{\"id\":\"id\",\"value-type\":\"blob\",\"cardinality\":\"one\","
    "\"forward-identity\":[\"1\",\"p\",\"id\"]},"
    "{\"id\":\"name\",\"value-type\":\"blob\",\"cardinality\":\"one\","
    "\"forward-identity\":[\"2\",\"p\",\"name\"]},"
    "{\"id\":\"7\",\"value-type\":\"blob\",\"cardinality\":\"many\","
    "\"forward-identity\":[\"3\",\"p\",\"7\"]},"
    "{\"id\":\"kin\",\"value-type\":\"ref\",\"cardinality\":\"many\","
    "\"on-delete\":\"cascade\",\"on-delete-reverse\":\"cascade\","
    "\"forward-identity\":[\"4\",\"p\",\"kin\"],\"reverse-identity\":[\"5\",\"p\",\"nik\"]}]";

struct fixture {
    struct inst_arena arena;
    struct inst_value attrs_json;
    struct inst_value triples;
    struct inst_attrs *attrs;
    struct inst_mem_store *store;
    struct inst_store *base;
};

static struct inst_value parse(struct inst_arena *arena, const char *json) {
    struct inst_value v;
    assert_int_equal(inst_json_parse(arena, json, strlen(json), &v, NULL), INST_OK);
    return v;
}

static void open_fixture(struct fixture *f) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_arena_init(&f->arena);
    f->attrs_json = parse(&f->arena, attrs_json);
    for (int i = 0; i < 40; i++) {
        inst_buf_addf(&buf,
                      "%c[\"e%d\",\"id\",\"e%d\",%d],[\"e%d\",\"name\",\"n%d\"],"
                      "[\"e%d\",\"kin\",\"e%d\"],[\"e0\",\"7\",%d],[\"e%d\",\"name\",{\"a\":[%d]}]",
                      i ? ',' : '[', i, i, i, i, i % 3, i, (i + 1) % 40, i, i, i);
    }
    inst_buf_add_char(&buf, ']');
    f->triples = parse(&f->arena, buf.data);
    inst_buf_free(&buf);
    assert_int_equal(inst_attrs_new(&f->attrs_json, &f->attrs, NULL), INST_OK);
    struct inst_mem_options options = {0};
    assert_int_equal(inst_mem_store_new(f->attrs, options, &f->store, NULL), INST_OK);
    assert_int_equal(inst_mem_store_load(f->store, &f->triples, NULL), INST_OK);
    f->base = inst_mem_store_as_store(f->store);
}

static void close_fixture(struct fixture *f) {
    inst_mem_store_free(f->store);
    inst_attrs_unref(f->attrs);
    inst_arena_free(&f->arena);
}

/* ---- dumps ---- */

struct dump {
    struct inst_store *base;
    struct inst_buf text;
};

static bool dump_triple(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple) {
    struct dump *dump = ctx;
    struct inst_value e = dump->base->ops->entity_id(dump->base, triple->e);
    inst_buf_addf(&dump->text, "%.*s %.*s ", (int)e.len, e.u.str, (int)attr->id.len,
                  attr->id.u.str);
    inst_json_write(&dump->text, &triple->v);
    inst_buf_addf(&dump->text, " %lld\n", (long long)triple->t);
    return true;
}

/* All triples in eav order, then every attr's; to be freed. */
static char *dump(struct fixture *f) {
    struct dump dump = {.base = f->base};
    inst_buf_init(&dump.text);
    inst_mem_store_each(f->store, dump_triple, &dump);
    for (size_t i = 0; i < inst_attrs_count(f->base->attrs); i++) {
        struct inst_scan scan = {.attr = inst_attrs_at(f->base->attrs, i)};
        struct inst_cursor cursor;
        struct inst_triple triple;
        assert_int_equal(f->base->ops->scan(f->base, &scan, &cursor, NULL), INST_OK);
        while (f->base->ops->next(&cursor, &triple, NULL) == 1) {
            dump_triple(&dump, scan.attr, &triple);
        }
        f->base->ops->close(&cursor);
    }
    return inst_buf_take(&dump.text, &(size_t){0});
}

/* ---- the walk ---- */

typedef enum inst_status step_fn(struct fixture *f, struct inst_err *err);

/* Runs step with n = 0, 1, 2, ... allocations until it succeeds, at least `least` times without
 * success. is_whole: a failed step alone must leave the store as it was; else a rollback does. */
static void until_success(struct fixture *f, step_fn *step, bool is_whole, int least) {
    char *before = dump(f);
    uint64_t mark = is_whole ? 0 : inst_mem_store_mark(f->store);
    int failures = 0;
    for (long n = 0;; n++) {
        struct inst_err err = {0};
        assert_true(n < 20000);
        oom_after(n);
        enum inst_status status = step(f, &err);
        oom_off();
        if (status == INST_OK) {
            break;
        }
        assert_int_equal(status, INST_NOMEM);
        assert_string_equal(err.type, "out-of-memory");
        inst_err_clear(&err);
        failures++;
        if (mark) {
            assert_int_equal(inst_mem_store_rollback(f->store, mark, NULL), INST_OK);
        }
        char *after = dump(f);
        assert_string_equal(before, after);
        free(after);
    }
    assert_true(failures >= least);
    if (mark) {
        assert_int_equal(inst_mem_store_rollback(f->store, mark, NULL), INST_OK);
        char *after = dump(f);
        assert_string_equal(before, after);
        free(after);
    }
    free(before);
}

static uint32_t handle(struct fixture *f, const char *e) {
    return f->base->ops->entity(f->base, e, strlen(e));
}

static const struct inst_attr *attr_of(struct fixture *f, const char *id) {
    return inst_attrs_by_id(f->base->attrs, id, strlen(id));
}

/* ---- steps ---- */

static enum inst_status make_catalog(struct fixture *f, struct inst_err *err) {
    struct inst_attrs *attrs = NULL;
    enum inst_status status = inst_attrs_new(&f->attrs_json, &attrs, err);
    inst_attrs_unref(attrs);
    return status;
}

static enum inst_status change_catalog(struct fixture *f, struct inst_err *err) {
    struct inst_attrs *merged = NULL, *dropped = NULL;
    struct inst_member member[] = {{"id", 2, inst_cstring("kin")}, {"index?", 6, inst_bool(true)}};
    struct inst_value partial = inst_object(member, 2);
    enum inst_status status = inst_attrs_merge(f->attrs, &partial, &merged, err);
    if (status == INST_OK) {
        status = inst_attrs_drop(merged, "name", 4, &dropped, err);
    }
    inst_attrs_unref(merged);
    inst_attrs_unref(dropped);
    return status;
}

static enum inst_status make_store(struct fixture *f, struct inst_err *err) {
    struct inst_mem_store *store = NULL;
    struct inst_mem_options options = {0};
    enum inst_status status = inst_mem_store_new(f->attrs, options, &store, err);
    if (status == INST_OK) {
        status = inst_mem_store_load(store, &f->triples, err);
    }
    if (status == INST_OK) {
        assert_int_equal(inst_mem_store_count(store), inst_mem_store_count(f->store));
    }
    inst_mem_store_free(store);
    return status;
}

static enum inst_status put_new(struct fixture *f, struct inst_err *err) {
    struct inst_value v = inst_cstring("somebody quite new");
    uint32_t e = inst_mem_store_intern(f->store, "fresh", 5);
    if (!e) {
        return inst_err_nomem(err);
    }
    return inst_mem_store_put(f->store, e, attr_of(f, "kin"), &v, 1, err);
}

static enum inst_status put_many(struct fixture *f, struct inst_err *err) {
    static const char *const attrs[] = {"7", "kin", "name"};
    enum inst_status status = INST_OK;
    char text[16];
    for (int i = 0; status == INST_OK && i < 2000; i++) {
        snprintf(text, sizeof(text), "t%d", i);
        struct inst_value v = inst_string(text, strlen(text));
        status = inst_mem_store_put(f->store, handle(f, i % 2 ? "e1" : "e2"),
                                    attr_of(f, attrs[i % 3]), &v, i, err);
    }
    return status;
}

static enum inst_status retract_one(struct fixture *f, struct inst_err *err) {
    struct inst_value v = inst_cstring("e6");
    return inst_mem_store_retract(f->store, handle(f, "e5"), attr_of(f, "kin"), &v, err);
}

static enum inst_status replace_one(struct fixture *f, struct inst_err *err) {
    struct inst_value v = inst_cstring("another name");
    return inst_mem_store_replace(f->store, handle(f, "e3"), attr_of(f, "name"), &v, 4, err);
}

static enum inst_status delete_all(struct fixture *f, struct inst_err *err) {
    struct inst_value etype = inst_cstring("p");
    return inst_mem_store_delete_entity(f->store, handle(f, "e3"), &etype, err);
}

static enum inst_status swap(struct fixture *f, const char *json, bool rebuild,
                             struct inst_err *err) {
    struct inst_arena arena;
    struct inst_attrs *attrs = NULL;
    struct inst_value v;
    inst_arena_init(&arena);
    enum inst_status status = inst_json_parse(&arena, json, strlen(json), &v, err);
    if (status == INST_OK) {
        status = inst_attrs_put(f->base->attrs, &v, &attrs, err);
    }
    if (status == INST_OK) {
        status = inst_mem_store_set_attrs(f->store, attrs, rebuild, err);
    }
    inst_attrs_unref(attrs);
    inst_arena_free(&arena);
    return status;
}

static enum inst_status rebuild(struct fixture *f, struct inst_err *err) {
    return swap(f,
                "{\"id\":\"7\",\"value-type\":\"blob\",\"cardinality\":\"one\","
                "\"forward-identity\":[\"3\",\"p\",\"x\"]}",
                true, err);
}

static enum inst_status make_a_link_of_a_blob(struct fixture *f, struct inst_err *err) {
    return swap(f,
                "{\"id\":\"name\",\"value-type\":\"ref\",\"cardinality\":\"one\","
                "\"forward-identity\":[\"2\",\"p\",\"x\"],"
                "\"reverse-identity\":[\"6\",\"p\",\"y\"]}",
                false, err);
}

static enum inst_status scan_by_value(struct fixture *f, struct inst_err *err) {
    struct inst_scan scan = {.attr = attr_of(f, "name"), .has_v = true, .v = inst_cstring("n1")};
    struct inst_cursor cursor;
    enum inst_status status = f->base->ops->scan(f->base, &scan, &cursor, err);
    if (status == INST_OK) {
        f->base->ops->close(&cursor);
    }
    return status;
}

/* A ring that is out of order: sorting it needs memory too. */
static void scan_unsorted(struct fixture *f) {
    struct inst_value v = inst_cstring("n1");
    inst_mem_store_retract(f->store, handle(f, "e1"), attr_of(f, "name"), &v, NULL);
    inst_mem_store_put(f->store, handle(f, "e1"), attr_of(f, "name"), &v, 1, NULL);
    until_success(f, scan_by_value, true, 1);
}

static void each_of_them(struct fixture *f, bool is_journalled) {
    until_success(f, make_catalog, true, 5);
    until_success(f, change_catalog, true, 5);
    until_success(f, make_store, true, 10);
    until_success(f, scan_by_value, true, is_journalled ? 0 : 1);
    if (!is_journalled) {
        scan_unsorted(f);
        until_success(f, retract_one, true, 0);
        return;
    }
    until_success(f, put_new, false, 1);
    until_success(f, put_many, false, 5);
    until_success(f, retract_one, false, 0);
    until_success(f, replace_one, false, 0);
    until_success(f, delete_all, false, 2);
    until_success(f, rebuild, false, 10);
    until_success(f, make_a_link_of_a_blob, false, 5);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f);
    each_of_them(&f, false);
    close_fixture(&f);
}

static void every_allocation_may_fail_and_be_rolled_back(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f);
    assert_int_equal(scan_by_value(&f, NULL), INST_OK);
    each_of_them(&f, true);
    close_fixture(&f);
}

static void a_mark_may_fail(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f);
    oom_after(0);
    assert_int_equal(inst_mem_store_mark(f.store), 0);
    oom_off();
    assert_int_equal(inst_mem_store_mark(f.store), 1);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_allocation_may_fail_and_be_rolled_back),
        cmocka_unit_test(a_mark_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
