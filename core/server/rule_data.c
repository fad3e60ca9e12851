#include "server/rule_data.h"

#include "base/text.h"
#include "server/limits.h"

#include <string.h>

void inst_rule_data_init(struct inst_rule_data *data, struct inst_store *store,
                         struct inst_arena *arena, uint64_t seed) {
    *data = (struct inst_rule_data){.store = store, .arena = arena, .seed = seed};
    inst_table_init(&data->records);
    inst_table_init(&data->hops);
    inst_table_init(&data->tails);
}

void inst_rule_data_release(struct inst_rule_data *data) {
    inst_table_free(&data->records);
    inst_table_free(&data->hops);
    inst_table_free(&data->tails);
}

void inst_rule_data_forget(struct inst_rule_data *data) {
    inst_table_clear(&data->records);
    inst_table_clear(&data->hops);
    inst_table_clear(&data->tails);
}

/* ---- records ---- */

/* A copy that outlives what else is read: a link as the id of its target. */
static bool keep_value(struct inst_rule_data *data, const struct inst_attr *attr,
                       const struct inst_triple *triple, struct inst_value *out) {
    struct inst_value v = triple->v;
    if (attr->is_ref || v.tag == INST_ENTITY) {
        uint32_t target = triple->ref ? triple->ref : (uint32_t)v.u.entity;
        v = data->store->ops->entity_id(data->store, target);
    }
    return inst_value_dup(data->arena, &v, out);
}

static enum inst_status read_one(struct inst_rule_data *data, uint32_t e,
                                 const struct inst_attr *attr, struct inst_object_builder *b,
                                 struct inst_err *err) {
    struct inst_scan scan = {.attr = attr, .e = e};
    struct inst_cursor cursor;
    struct inst_triple triple;
    struct inst_value v;
    enum inst_status st = data->store->ops->scan(data->store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    int got = data->store->ops->next(&cursor, &triple, err);
    if (got == 1 && !keep_value(data, attr, &triple, &v)) {
        got = -1;
        inst_err_nomem(err);
    }
    data->store->ops->close(&cursor);
    if (got == 1)
        inst_object_add(b, attr->forward.label.u.str, attr->forward.label.len, v);
    return got < 0 ? INST_FAILED : INST_OK;
}

/* All of them at once, where the store can. */
static enum inst_status read_bulk(struct inst_rule_data *data, uint32_t e,
                                  const struct inst_attr *const *attrs, size_t count,
                                  struct inst_object_builder *b, struct inst_err *err) {
    struct inst_triple *triples = inst_arena_alloc(data->arena, (count + 1) * sizeof *triples);
    if (triples == NULL)
        return inst_err_nomem(err);
    enum inst_status st = data->store->ops->fields(data->store, e, attrs, count, triples, err);
    if (st != INST_OK)
        return st;
    /* Values first: asking for ids may end what the store gave. */
    for (size_t i = 0; i < count; i++)
        if (triples[i].e != 0 && triples[i].v.tag != INST_ENTITY && !attrs[i]->is_ref &&
            !inst_value_dup(data->arena, &triples[i].v, &triples[i].v))
            return inst_err_nomem(err);
    for (size_t i = 0; i < count; i++) {
        struct inst_value v = triples[i].v;
        if (triples[i].e == 0)
            continue;
        if ((attrs[i]->is_ref || v.tag == INST_ENTITY) &&
            !keep_value(data, attrs[i], &triples[i], &v))
            return inst_err_nomem(err);
        inst_object_add(b, attrs[i]->forward.label.u.str, attrs[i]->forward.label.len, v);
    }
    return INST_OK;
}

static enum inst_status read_record(struct inst_rule_data *data, const struct inst_value *etype,
                                    uint32_t e, struct inst_value *out, struct inst_err *err) {
    const struct inst_attr *const *all;
    size_t all_count = inst_attrs_of(data->store->attrs, etype->u.str, etype->len, &all);
    const struct inst_attr **attrs = inst_arena_alloc(data->arena, (all_count + 1) * sizeof *attrs);
    struct inst_object_builder b;
    size_t count = 0;
    enum inst_status st = INST_OK;
    if (attrs == NULL)
        return inst_err_nomem(err);
    for (size_t i = 0; i < all_count; i++)
        if (!all[i]->is_many)
            attrs[count++] = all[i];
    inst_object_begin(&b, data->arena);
    if (e != 0 && data->store->ops->fields != NULL)
        st = read_bulk(data, e, attrs, count, &b, err);
    else
        for (size_t i = 0; e != 0 && st == INST_OK && i < count; i++)
            st = read_one(data, e, attrs[i], &b, err);
    if (st != INST_OK)
        return st;
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

enum inst_status inst_rule_data_record(struct inst_rule_data *data, const struct inst_value *etype,
                                       uint32_t e, const struct inst_value **out,
                                       struct inst_err *err) {
    struct inst_table_key key = {e, inst_text_hash(etype->u.str, etype->len, data->seed)};
    if ((*out = inst_table_get(&data->records, key)) != NULL)
        return INST_OK;
    struct inst_value *made = inst_arena_zalloc(data->arena, sizeof *made);
    if (made == NULL)
        return inst_err_nomem(err);
    enum inst_status st = read_record(data, etype, e, made, err);
    if (st != INST_OK)
        return st;
    *out = made;
    return inst_table_put(&data->records, key, made) ? INST_OK : inst_err_nomem(err);
}

/* ---- refs ---- */

struct entities {
    uint32_t *items;
    size_t count, cap;
};

static bool add_entity(struct inst_rule_data *data, struct entities *list, uint32_t e) {
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 8 : list->cap * 2;
        uint32_t *items = inst_arena_alloc(data->arena, cap * sizeof *items);
        if (items == NULL)
            return false;
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = e;
    return true;
}

static enum inst_status spend(struct inst_rule_data *data, struct inst_err *err) {
    if (++data->values <= INST_SERVER_MAX_REF_VALUES)
        return INST_OK;
    return inst_err_set(err, "limit-exceeded", 400,
                        "The permission rules read too much: the limit is %u values of refs.",
                        INST_SERVER_MAX_REF_VALUES);
}

/* Where the link leads from e: read once a run, for many rows tend to lead to the same places. */
static enum inst_status hop(struct inst_rule_data *data, uint32_t e, const struct inst_attr *attr,
                            bool is_reverse, const struct entities **out, struct inst_err *err) {
    struct inst_table_key key = {e, (uint64_t)attr->position << 1 | is_reverse};
    if ((*out = inst_table_get(&data->hops, key)) != NULL)
        return INST_OK;
    struct entities *list = inst_arena_zalloc(data->arena, sizeof *list);
    struct inst_scan scan = {.attr = attr, .e = is_reverse ? 0 : e, .ref = is_reverse ? e : 0};
    struct inst_cursor cursor;
    struct inst_triple triple;
    if (list == NULL)
        return inst_err_nomem(err);
    enum inst_status st = data->store->ops->scan(data->store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    int got = 0;
    while (st == INST_OK && (got = data->store->ops->next(&cursor, &triple, err)) == 1) {
        uint32_t target = is_reverse                    ? triple.e
                          : triple.ref                  ? triple.ref
                          : triple.v.tag == INST_ENTITY ? (uint32_t)triple.v.u.entity
                                                        : 0;
        st = spend(data, err);
        if (st == INST_OK && target != 0 && !add_entity(data, list, target))
            st = inst_err_nomem(err);
    }
    data->store->ops->close(&cursor);
    if (st != INST_OK || got < 0)
        return INST_FAILED;
    *out = list;
    return inst_table_put(&data->hops, key, list) ? INST_OK : inst_err_nomem(err);
}

static enum inst_status follow(struct inst_rule_data *data, const struct entities *from,
                               const struct inst_attr *attr, bool is_reverse, struct entities *out,
                               struct inst_err *err) {
    struct inst_table seen;
    enum inst_status st = INST_OK;
    inst_table_init(&seen);
    *out = (struct entities){0};
    for (size_t i = 0; st == INST_OK && i < from->count; i++) {
        const struct entities *list;
        st = hop(data, from->items[i], attr, is_reverse, &list, err);
        for (size_t k = 0; st == INST_OK && k < list->count; k++) {
            struct inst_table_key key = {list->items[k], 0};
            if (inst_table_get(&seen, key) != NULL)
                continue;
            if (!inst_table_put(&seen, key, data) || !add_entity(data, out, list->items[k]))
                st = inst_err_nomem(err);
        }
    }
    inst_table_free(&seen);
    return st;
}

/* The values of a blob at each of them. */
static enum inst_status read_blobs(struct inst_rule_data *data, const struct entities *from,
                                   const struct inst_attr *attr, struct inst_array_builder *out,
                                   struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (size_t i = 0; st == INST_OK && i < from->count; i++) {
        struct inst_scan scan = {.attr = attr, .e = from->items[i]};
        struct inst_cursor cursor;
        struct inst_triple triple;
        struct inst_value v;
        int got = 0;
        if ((st = data->store->ops->scan(data->store, &scan, &cursor, err)) != INST_OK)
            return st;
        while (st == INST_OK && (got = data->store->ops->next(&cursor, &triple, err)) == 1) {
            if ((st = spend(data, err)) == INST_OK && !keep_value(data, attr, &triple, &v))
                st = inst_err_nomem(err);
            if (st == INST_OK && !inst_is_nullish(&v))
                inst_array_add(out, v);
        }
        data->store->ops->close(&cursor);
        if (got < 0)
            st = INST_FAILED;
    }
    return st;
}

static enum inst_status add_ids(struct inst_rule_data *data, const struct entities *from,
                                struct inst_array_builder *out, struct inst_err *err) {
    for (size_t i = 0; i < from->count; i++) {
        struct inst_value id = data->store->ops->entity_id(data->store, from->items[i]);
        if (!inst_value_dup(data->arena, &id, &id))
            return inst_err_nomem(err);
        inst_array_add(out, id);
    }
    return INST_OK;
}

/* One label of the path. An unknown one leads nowhere. */
static enum inst_status step(struct inst_rule_data *data, struct inst_value *etype,
                             struct entities *at, const char *label, size_t len, bool is_last,
                             struct inst_array_builder *out, struct inst_err *err) {
    const struct inst_attrs *attrs = data->store->attrs;
    const struct inst_attr *attr = inst_attrs_forward(attrs, etype->u.str, etype->len, label, len);
    bool is_reverse = attr == NULL;
    struct entities next;
    if (is_reverse)
        attr = inst_attrs_reverse(attrs, etype->u.str, etype->len, label, len);
    if (attr == NULL || (!attr->is_ref && !is_last)) {
        at->count = 0;
        return INST_OK;
    }
    if (!attr->is_ref)
        return read_blobs(data, at, attr, out, err);
    enum inst_status st = follow(data, at, attr, is_reverse, &next, err);
    if (st != INST_OK)
        return st;
    *at = next;
    *etype = is_reverse ? attr->forward.etype : attr->reverse.etype;
    return is_last ? add_ids(data, at, out, err) : INST_OK;
}

static enum inst_status read_path(struct inst_rule_data *data, const struct inst_value *etype,
                                  uint32_t e, const char *path, size_t len, struct inst_value *out,
                                  struct inst_err *err);

/* What the rest of a path gives from there, read once a run: many rows tend to have one parent. */
static enum inst_status read_tail(struct inst_rule_data *data, const struct inst_value *etype,
                                  uint32_t e, const char *path, size_t len, struct inst_value *out,
                                  struct inst_err *err) {
    uint64_t hash = inst_text_hash(etype->u.str, etype->len, data->seed);
    struct inst_table_key key = {e, hash ^ inst_text_hash(path, len, ~data->seed)};
    const struct inst_value *known = inst_table_get(&data->tails, key);
    if (known != NULL) {
        *out = *known;
        return INST_OK;
    }
    struct inst_value *made = inst_arena_zalloc(data->arena, sizeof *made);
    if (made == NULL)
        return inst_err_nomem(err);
    enum inst_status st = read_path(data, etype, e, path, len, made, err);
    if (st != INST_OK)
        return st;
    *out = *made;
    return inst_table_put(&data->tails, key, made) ? INST_OK : inst_err_nomem(err);
}

/* Recursion is as deep as a path has labels, each a link to one entity. */
static enum inst_status read_path(struct inst_rule_data *data, const struct inst_value *etype,
                                  uint32_t e, const char *path, size_t len, struct inst_value *out,
                                  struct inst_err *err) {
    struct inst_value where = *etype;
    struct inst_array_builder values;
    struct entities at = {0};
    enum inst_status st = INST_OK;
    inst_array_begin(&values, data->arena);
    if (e != 0 && !add_entity(data, &at, e))
        return inst_err_nomem(err);
    for (size_t start = 0; st == INST_OK && start <= len && at.count > 0;) {
        const char *dot = memchr(path + start, '.', len - start);
        size_t end = dot != NULL ? (size_t)(dot - path) : len;
        if (where.tag != INST_STRING)
            break;
        if (at.count == 1 && start > 0)
            return read_tail(data, &where, at.items[0], path + start, len - start, out, err);
        st = step(data, &where, &at, path + start, end - start, dot == NULL, &values, err);
        start = end + 1;
    }
    if (st != INST_OK)
        return st;
    return inst_array_end(&values, out) ? INST_OK : inst_err_nomem(err);
}

static enum inst_status refuse_depth(struct inst_err *err) {
    return inst_err_set(err, "limit-exceeded", 400,
                        "A ref of a permission rule is too deep: the limit is %u labels.",
                        INST_SERVER_MAX_REF_LABELS);
}

enum inst_status inst_rule_data_ref(struct inst_rule_data *data, const struct inst_value *etype,
                                    uint32_t e, const char *path, size_t len,
                                    struct inst_value *out, struct inst_err *err) {
    size_t labels = 1;
    for (size_t i = 0; i < len; i++)
        labels += path[i] == '.';
    if (labels > INST_SERVER_MAX_REF_LABELS)
        return refuse_depth(err);
    return read_path(data, etype, e, path, len, out, err);
}
