/*
 * instaql_fixture.h - a small store from a few lines, and queries from JSON text.
 *
 *     attrs     "people.name string index"      blob: type (any string number boolean date) and
 *               "people.tags any many"          flags (index unique many)
 *               "posts.author ref people.posts" link: reverse label, flags (many unique)
 *     triples   [[1, "people.name", "Ann", 100], ...]   entities and link values are numbers
 *
 * Entity n has the id text of fixture_id(n), so ids are in the order of numbers. `ranged` is the
 * same data behind a store that answers ranges and orders, as SQLite's does, and counts reads.
 */
#ifndef INST_TESTS_INSTAQL_FIXTURE_H
#define INST_TESTS_INSTAQL_FIXTURE_H

#include "base/date.h"
#include "base/json.h"
#include "instaql/eval.h"
#include "triples/mem_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct ranged_store {
    struct inst_store store;
    struct inst_store *inner;
    unsigned reads; /* triples given */
    unsigned scans;
};

struct fixture {
    struct inst_arena arena; /* freed with the fixture */
    struct inst_attrs *attrs;
    struct inst_mem_store *mem;
    struct inst_store *store;
    struct ranged_store ranged;
    struct inst_err err;
};

static inline void fixture_id(uint32_t n, char out[37]) {
    snprintf(out, 37, "%08x-0000-4000-8000-000000000000", n);
}

static inline void fixture_attr_id(uint32_t n, char out[37]) {
    snprintf(out, 37, "00000000-0000-4000-9000-%012x", n);
}

/*
 * The store that answers ranges.
 */

struct ranged_cursor {
    struct inst_triple *items;
    size_t count, at;
};

static inline int ranged_rank(const struct inst_value *v) {
    switch (v->tag) {
    case INST_NULL:
        return 0;
    case INST_NUMBER:
    case INST_DATE:
        return 1;
    case INST_STRING:
        return 2;
    case INST_FALSE:
        return 3;
    case INST_TRUE:
        return 4;
    default:
        return 5;
    }
}

static inline int ranged_compare(const struct inst_value *a, const struct inst_value *b) {
    if (ranged_rank(a) != ranged_rank(b)) {
        return ranged_rank(a) < ranged_rank(b) ? -1 : 1;
    }
    if (ranged_rank(a) == 1) {
        return (a->u.num > b->u.num) - (a->u.num < b->u.num);
    }
    if (a->tag == INST_STRING) {
        size_t least = a->len < b->len ? a->len : b->len;
        int order = least ? memcmp(a->u.str, b->u.str, least) : 0;
        return order ? order : (a->len > b->len) - (a->len < b->len);
    }
    return 0;
}

static inline bool ranged_is_id(const struct inst_attr *attr) {
    return inst_is_string(&attr->forward.label, "id");
}

/* What an attr is ordered by. */
static inline struct inst_value ranged_key(const struct inst_attr *attr,
                                           const struct inst_triple *t) {
    struct inst_value ms;
    if (ranged_is_id(attr)) {
        return inst_number((double)t->t);
    }
    if (attr->checked_type == INST_CHECKED_DATE && t->v.tag != INST_NULL &&
        inst_date_coerce(&t->v, &ms, NULL) == INST_OK) {
        return ms;
    }
    return t->v;
}

struct ranged_order {
    const struct inst_attr *attr;
    bool is_desc;
};

static inline int ranged_sort(const void *a, const void *b, void *ctx) {
    const struct ranged_order *order = ctx;
    const struct inst_triple *x = a, *y = b;
    struct inst_value kx = ranged_key(order->attr, x), ky = ranged_key(order->attr, y);
    int result = ranged_compare(&kx, &ky);
    result = result ? result : (x->e > y->e) - (x->e < y->e);
    return order->is_desc ? -result : result;
}

static inline bool ranged_fits(const struct inst_scan *scan, const struct inst_triple *t) {
    struct inst_value key = ranged_key(scan->attr, t);
    if (scan->low.is_set) {
        int order = ranged_compare(&key, &scan->low.v);
        if (order < 0 || (order == 0 && !scan->low.is_inclusive)) {
            return false;
        }
    }
    if (scan->high.is_set) {
        int order = ranged_compare(&key, &scan->high.v);
        if (order > 0 || (order == 0 && !scan->high.is_inclusive)) {
            return false;
        }
    }
    if (scan->after_e) {
        int order = ranged_compare(&key, &scan->after_v);
        order = order ? order : (t->e > scan->after_e) - (t->e < scan->after_e);
        return scan->order == INST_ORDER_DESC ? order < 0 : order > 0;
    }
    return true;
}

static inline enum inst_status ranged_scan(struct inst_store *store, const struct inst_scan *asked,
                                           struct inst_cursor *cursor, struct inst_err *err) {
    struct ranged_store *self = (struct ranged_store *)store;
    struct inst_scan scan = {.attr = asked->attr,
                             .e = asked->e,
                             .ref = asked->ref,
                             .has_v = asked->has_v,
                             .v = asked->v};
    struct ranged_cursor *own = calloc(1, sizeof(*own));
    struct inst_cursor inner;
    struct inst_triple triple;
    assert_int_equal(self->inner->ops->scan(self->inner, &scan, &inner, err), INST_OK);
    while (self->inner->ops->next(&inner, &triple, err) == 1) {
        if (ranged_fits(asked, &triple)) {
            own->items = realloc(own->items, (own->count + 1) * sizeof(triple));
            /* As SQLite has them: what names an entity is its handle. */
            if (triple.ref) {
                triple.v = (struct inst_value){.tag = INST_ENTITY, .u.entity = triple.ref};
            }
            own->items[own->count++] = triple;
        }
    }
    inner.store->ops->close(&inner);
    struct ranged_order order = {asked->attr, asked->order == INST_ORDER_DESC};
    if (asked->order != INST_ORDER_STORE && own->count) {
        qsort_r(own->items, own->count, sizeof(triple), ranged_sort, &order);
    }
    self->scans++;
    cursor->store = store;
    cursor->slot[0].ptr = own;
    return INST_OK;
}

static inline int ranged_next(struct inst_cursor *cursor, struct inst_triple *out,
                              struct inst_err *err) {
    struct ranged_cursor *own = cursor->slot[0].ptr;
    (void)err;
    if (own->at == own->count) {
        return 0;
    }
    ((struct ranged_store *)cursor->store)->reads++;
    *out = own->items[own->at++];
    return 1;
}

static inline void ranged_close(struct inst_cursor *cursor) {
    struct ranged_cursor *own = cursor->slot[0].ptr;
    free(own->items);
    free(own);
}

static inline size_t ranged_estimate(struct inst_store *store, const struct inst_scan *scan,
                                     size_t limit) {
    struct inst_cursor cursor;
    assert_int_equal(ranged_scan(store, scan, &cursor, NULL), INST_OK);
    size_t count = ((struct ranged_cursor *)cursor.slot[0].ptr)->count;
    ranged_close(&cursor);
    ((struct ranged_store *)store)->scans--;
    return count < limit ? count : limit;
}

static inline enum inst_status ranged_presence(struct inst_store *store, uint32_t e,
                                               const struct inst_attr *attr, bool reverse,
                                               enum inst_presence *out, struct inst_err *err) {
    struct inst_store *inner = ((struct ranged_store *)store)->inner;
    return inner->ops->presence(inner, e, attr, reverse, out, err);
}

static inline uint32_t ranged_entity(struct inst_store *store, const char *id, size_t len) {
    struct inst_store *inner = ((struct ranged_store *)store)->inner;
    return inner->ops->entity(inner, id, len);
}

static inline struct inst_value ranged_entity_id(struct inst_store *store, uint32_t e) {
    struct inst_store *inner = ((struct ranged_store *)store)->inner;
    return inner->ops->entity_id(inner, e);
}

static inline bool ranged_can_range(struct inst_store *store, const struct inst_attr *attr) {
    (void)store;
    return attr->is_indexed || attr->is_unique || ranged_is_id(attr);
}

static inline enum inst_status ranged_fields(struct inst_store *store, uint32_t e,
                                             const struct inst_attr *const *attrs, size_t n,
                                             struct inst_triple *out, struct inst_err *err) {
    memset(out, 0, n * sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        struct inst_scan scan = {.attr = attrs[i], .e = e};
        struct inst_cursor cursor;
        assert_int_equal(ranged_scan(store, &scan, &cursor, err), INST_OK);
        while (ranged_next(&cursor, &out[i], err) == 1) {
        }
        ranged_close(&cursor);
    }
    return INST_OK;
}

static const struct inst_store_ops ranged_ops = {
    .scan = ranged_scan,
    .next = ranged_next,
    .close = ranged_close,
    .estimate = ranged_estimate,
    .presence = ranged_presence,
    .entity = ranged_entity,
    .entity_id = ranged_entity_id,
    .can_range = ranged_can_range,
    .fields = ranged_fields,
};

/*
 * The fixture.
 */

static inline struct inst_value fixture_json(struct fixture *f, const char *text) {
    struct inst_value out;
    struct inst_err err = {0};
    if (inst_json_parse(&f->arena, text, strlen(text), &out, &err) != INST_OK) {
        fail_msg("%s: %s", err.message, text);
    }
    return out;
}

static inline void fixture_add_attr(struct inst_buf *buf, const char *spec, uint32_t n) {
    char id[37], etype[64], label[64], type[32], reverse_etype[64] = "", reverse_label[64] = "";
    fixture_attr_id(n, id);
    assert_int_equal(sscanf(spec, "%63[^.].%63s %31s", etype, label, type), 3);
    bool is_ref = strcmp(type, "ref") == 0;
    bool is_many = strstr(spec, " many") != NULL;
    if (is_ref) {
        const char *reverse = strstr(spec, " ref ") + 5;
        assert_int_equal(sscanf(reverse, "%63[^.].%63s", reverse_etype, reverse_label), 2);
    }
    inst_buf_addf(buf,
                  "%s{\"id\":\"%s\",\"value-type\":\"%s\",\"cardinality\":\"%s\","
                  "\"forward-identity\":[\"f%u\",\"%s\",\"%s\"],\"unique?\":%s,\"index?\":%s",
                  n > 1 ? "," : "", id, is_ref ? "ref" : "blob", is_many ? "many" : "one", n, etype,
                  label, strstr(spec, " unique") ? "true" : "false",
                  strstr(spec, " index") ? "true" : "false");
    if (is_ref) {
        inst_buf_addf(buf, ",\"reverse-identity\":[\"r%u\",\"%s\",\"%s\"]", n, reverse_etype,
                      reverse_label);
    } else if (strcmp(type, "any") != 0) {
        inst_buf_addf(buf, ",\"checked-data-type\":\"%s\"", type);
    }
    inst_buf_add_char(buf, '}');
}

static inline struct inst_value fixture_entity(struct fixture *f, const struct inst_value *n) {
    char *text = inst_arena_alloc(&f->arena, 37);
    fixture_id((uint32_t)n->u.num, text);
    return inst_cstring(text);
}

static inline const struct inst_attr *fixture_attr(struct fixture *f, const char *name) {
    char etype[64], label[64];
    assert_int_equal(sscanf(name, "%63[^.].%63s", etype, label), 2);
    const struct inst_attr *attr =
        inst_attrs_forward(f->attrs, etype, strlen(etype), label, strlen(label));
    assert_non_null(attr);
    return attr;
}

static inline struct inst_value fixture_triples(struct fixture *f, const char *json) {
    struct inst_value list = fixture_json(f, json);
    struct inst_array_builder b;
    struct inst_value out;
    inst_array_begin(&b, &f->arena);
    for (uint32_t i = 0; i < list.len; i++) {
        const struct inst_value *row = &list.u.items[i];
        struct inst_value *items = inst_arena_alloc(&f->arena, 4 * sizeof(*items));
        char name[128];
        snprintf(name, sizeof(name), "%.*s", (int)row->u.items[1].len, row->u.items[1].u.str);
        const struct inst_attr *attr = fixture_attr(f, name);
        bool is_entity = attr->is_ref || ranged_is_id(attr);
        items[0] = fixture_entity(f, &row->u.items[0]);
        items[1] = attr->id;
        items[2] = is_entity && row->u.items[2].tag == INST_NUMBER
                       ? fixture_entity(f, &row->u.items[2])
                       : row->u.items[2];
        items[3] = row->len > 3 ? row->u.items[3] : inst_number(i);
        inst_array_add(&b, inst_array(items, 4));
    }
    inst_array_end(&b, &out);
    return out;
}

/* attrs: NULL-terminated. */
static inline void fixture_begin(struct fixture *f, const char *const *attrs, const char *triples) {
    struct inst_buf buf;
    memset(f, 0, sizeof(*f));
    inst_arena_init(&f->arena);
    inst_buf_init(&buf);
    inst_buf_add_char(&buf, '[');
    for (uint32_t n = 0; attrs[n]; n++) {
        fixture_add_attr(&buf, attrs[n], n + 1);
    }
    inst_buf_add_char(&buf, ']');
    struct inst_value list = fixture_json(f, buf.data);
    inst_buf_free(&buf);
    assert_int_equal(inst_attrs_new(&list, &f->attrs, &f->err), INST_OK);
    struct inst_value rows = fixture_triples(f, triples);
    assert_int_equal(inst_mem_store_new(f->attrs, (struct inst_mem_options){0}, &f->mem, &f->err),
                     INST_OK);
    assert_int_equal(inst_mem_store_load(f->mem, &rows, &f->err), INST_OK);
    f->store = inst_mem_store_as_store(f->mem);
    f->ranged.store = (struct inst_store){.ops = &ranged_ops, .attrs = f->attrs};
    f->ranged.inner = f->store;
}

static inline void fixture_end(struct fixture *f) {
    inst_err_clear(&f->err);
    inst_mem_store_free(f->mem);
    inst_attrs_unref(f->attrs);
    inst_arena_free(&f->arena);
}

/* The number of an entity id text. */
static inline unsigned fixture_number(const struct inst_value *id) {
    char text[9];
    assert_true(id->tag == INST_STRING && id->len == 36);
    memcpy(text, id->u.str, 8);
    text[8] = '\0';
    return (unsigned)strtoul(text, NULL, 16);
}

static inline void fixture_add_value(struct fixture *f, struct inst_buf *buf,
                                     const struct inst_attr *attr, const struct inst_triple *t) {
    if (attr->is_ref || ranged_is_id(attr)) {
        struct inst_value id = f->store->ops->entity_id(f->store, t->ref);
        inst_buf_addf(buf, "%u", fixture_number(&id));
    } else {
        inst_json_write(buf, &t->v);
    }
}

static inline int fixture_compare_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "1 people.name "Ann"" a line, sorted: what was collected, to compare as text. */
static inline char *fixture_lines(struct fixture *f, const struct inst_collected *c) {
    char **lines = calloc(c->triple_count + 1, sizeof(*lines));
    struct inst_buf all;
    for (size_t i = 0; i < c->triple_count; i++) {
        const struct inst_attr *attr = c->triples[i].attr;
        struct inst_value id = f->store->ops->entity_id(f->store, c->triples[i].triple.e);
        struct inst_buf line;
        inst_buf_init(&line);
        inst_buf_addf(&line, "%u %.*s.%.*s ", fixture_number(&id), (int)attr->forward.etype.len,
                      attr->forward.etype.u.str, (int)attr->forward.label.len,
                      attr->forward.label.u.str);
        fixture_add_value(f, &line, attr, &c->triples[i].triple);
        lines[i] = inst_buf_take(&line, NULL);
    }
    qsort(lines, c->triple_count, sizeof(*lines), fixture_compare_text);
    inst_buf_init(&all);
    for (size_t i = 0; i < c->triple_count; i++) {
        inst_buf_addf(&all, "%s\n", lines[i]);
        free(lines[i]);
    }
    free(lines);
    char *text = inst_arena_dup(&f->arena, all.data ? all.data : "", all.len);
    inst_buf_free(&all);
    return text;
}

#endif
