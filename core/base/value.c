#include "base/value.h"

#include <math.h>
#include <stdlib.h>

enum {
    /* Up to here looking at every member beats anything cleverer. */
    LINEAR_MAX = 16,
    BUILDER_FIRST = 8,
};

static bool same_bytes(const char *a, size_t a_len, const char *b, size_t b_len) {
    return a_len == b_len && (a == b || a_len == 0 || memcmp(a, b, a_len) == 0);
}

const struct inst_value *inst_get(const struct inst_value *obj, const char *key, size_t key_len) {
    if (!obj || obj->tag != INST_OBJECT) {
        return NULL;
    }
    for (uint32_t i = 0; i < obj->len; i++) {
        const struct inst_member *m = &obj->u.members[i];
        if (same_bytes(m->key, m->key_len, key, key_len)) {
            return &m->value;
        }
    }
    return NULL;
}

const struct inst_value *inst_getz(const struct inst_value *obj, const char *key) {
    return inst_get(obj, key, strlen(key));
}

const struct inst_value *inst_get_string(const struct inst_value *obj, const char *key) {
    const struct inst_value *v = inst_getz(obj, key);
    return v && v->tag == INST_STRING ? v : NULL;
}

bool inst_get_true(const struct inst_value *obj, const char *key) {
    const struct inst_value *v = inst_getz(obj, key);
    return v && v->tag == INST_TRUE;
}

/*
 * Comparing.
 */

static bool same_number(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

/* True when tags alone decide, or scalars do; *equal is the answer then. */
static bool compare_scalars(const struct inst_value *a, const struct inst_value *b, bool *equal) {
    if (a->tag != b->tag) {
        *equal = false;
        return true;
    }
    switch (a->tag) {
    case INST_NUMBER:
        *equal = same_number(a->u.num, b->u.num);
        return true;
    case INST_STRING:
        *equal = same_bytes(a->u.str, a->len, b->u.str, b->len);
        return true;
    case INST_ENTITY:
        *equal = a->u.entity == b->u.entity;
        return true;
    case INST_ARRAY:
    case INST_OBJECT:
    case INST_DATE:
        return false;
    default:
        *equal = true;
        return true;
    }
}

bool inst_value_same(const struct inst_value *a, const struct inst_value *b) {
    bool equal;
    if (compare_scalars(a, b, &equal)) {
        return equal;
    }
    switch (a->tag) {
    case INST_ARRAY:
        return a->len == b->len && a->u.items == b->u.items;
    case INST_OBJECT:
        return a->len == b->len && a->u.members == b->u.members;
    default:
        return false;
    }
}

/* By key, and by place among equal keys; shorter keys first, because lengths compare cheaply. */
static int compare_members(const void *left, const void *right) {
    const struct inst_member *a = *(const struct inst_member *const *)left;
    const struct inst_member *b = *(const struct inst_member *const *)right;
    if (a->key_len != b->key_len) {
        return a->key_len < b->key_len ? -1 : 1;
    }
    int order = a->key_len ? memcmp(a->key, b->key, a->key_len) : 0;
    return order ? order : (a > b) - (a < b);
}

/* Pointers to the members, sorted as above, to be freed; NULL when out of memory. */
static struct inst_member **sort_members(const struct inst_member *members, uint32_t count) {
    struct inst_member **sorted = malloc((count ? count : 1) * sizeof(struct inst_member *));
    if (sorted) {
        for (uint32_t i = 0; i < count; i++) {
            sorted[i] = (struct inst_member *)&members[i];
        }
        qsort(sorted, count, sizeof(struct inst_member *), compare_members);
    }
    return sorted;
}

static bool equal_members(const struct inst_member *a, const struct inst_member *b) {
    return same_bytes(a->key, a->key_len, b->key, b->key_len) &&
           inst_value_equal(&a->value, &b->value);
}

static bool equal_by_search(const struct inst_value *a, const struct inst_value *b, uint32_t from) {
    for (uint32_t i = from; i < a->len; i++) {
        const struct inst_member *m = &a->u.members[i];
        const struct inst_value *other = inst_get(b, m->key, m->key_len);
        if (!other || !inst_value_equal(&m->value, other)) {
            return false;
        }
    }
    return true;
}

static bool equal_objects(const struct inst_value *a, const struct inst_value *b) {
    uint32_t i = 0;
    while (i < a->len && same_bytes(a->u.members[i].key, a->u.members[i].key_len,
                                    b->u.members[i].key, b->u.members[i].key_len)) {
        if (!inst_value_equal(&a->u.members[i].value, &b->u.members[i].value)) {
            return false;
        }
        i++;
    }
    if (a->len - i <= LINEAR_MAX) {
        return equal_by_search(a, b, i);
    }
    struct inst_member **left = sort_members(a->u.members + i, a->len - i);
    struct inst_member **right = sort_members(b->u.members + i, b->len - i);
    bool equal = true;
    if (left && right) {
        for (uint32_t k = 0; equal && k < a->len - i; k++) {
            equal = equal_members(left[k], right[k]);
        }
    } else {
        equal = equal_by_search(a, b, i); /* slower, but needs no memory */
    }
    free(left);
    free(right);
    return equal;
}

bool inst_value_equal(const struct inst_value *a, const struct inst_value *b) {
    bool equal;
    if (compare_scalars(a, b, &equal)) {
        return equal;
    }
    if (a->tag == INST_DATE) {
        return same_number(a->u.num, b->u.num);
    }
    if (inst_value_same(a, b)) {
        return true;
    }
    if (a->len != b->len) {
        return false;
    }
    if (a->tag == INST_OBJECT) {
        return equal_objects(a, b);
    }
    for (uint32_t i = 0; i < a->len; i++) {
        if (!inst_value_equal(&a->u.items[i], &b->u.items[i])) {
            return false;
        }
    }
    return true;
}

bool inst_value_truthy(const struct inst_value *v) {
    switch (v->tag) {
    case INST_UNDEFINED:
    case INST_NULL:
    case INST_FALSE:
        return false;
    case INST_NUMBER:
        return v->u.num != 0 && !isnan(v->u.num);
    case INST_STRING:
        return v->len > 0;
    default:
        return true;
    }
}

const char *inst_value_typeof(const struct inst_value *v) {
    switch (v->tag) {
    case INST_UNDEFINED:
        return "undefined";
    case INST_FALSE:
    case INST_TRUE:
        return "boolean";
    case INST_NUMBER:
        return "number";
    case INST_STRING:
    case INST_ENTITY: /* an entity is its id's text to JavaScript */
        return "string";
    case INST_FUNCTION:
        return "function";
    default:
        return "object";
    }
}

bool inst_value_is_deeper_than(const struct inst_value *v, unsigned levels) {
    bool is_list = v->tag == INST_ARRAY;
    if (!is_list && v->tag != INST_OBJECT) {
        return false;
    }
    if (levels == 0) {
        return true;
    }
    for (uint32_t i = 0; i < v->len; i++) {
        const struct inst_value *part = is_list ? &v->u.items[i] : &v->u.members[i].value;
        if (inst_value_is_deeper_than(part, levels - 1)) {
            return true;
        }
    }
    return false;
}

/*
 * Copying.
 */

static bool dup_items(struct inst_arena *arena, const struct inst_value *v,
                      struct inst_value *out) {
    struct inst_value *items = inst_arena_alloc(arena, v->len * sizeof(*items));
    if (!items) {
        return false;
    }
    for (uint32_t i = 0; i < v->len; i++) {
        if (!inst_value_dup(arena, &v->u.items[i], &items[i])) {
            return false;
        }
    }
    *out = inst_array(items, v->len);
    return true;
}

static bool dup_members(struct inst_arena *arena, const struct inst_value *v,
                        struct inst_value *out) {
    struct inst_member *members = inst_arena_alloc(arena, v->len * sizeof(*members));
    if (!members) {
        return false;
    }
    for (uint32_t i = 0; i < v->len; i++) {
        const struct inst_member *from = &v->u.members[i];
        members[i].key = inst_arena_dup(arena, from->key, from->key_len);
        members[i].key_len = from->key_len;
        if (!members[i].key || !inst_value_dup(arena, &from->value, &members[i].value)) {
            return false;
        }
    }
    *out = inst_object(members, v->len);
    return true;
}

bool inst_value_dup(struct inst_arena *arena, const struct inst_value *v, struct inst_value *out) {
    switch (v->tag) {
    case INST_STRING: {
        const char *str = inst_arena_dup(arena, v->u.str, v->len);
        if (!str) {
            return false;
        }
        *out = inst_string(str, v->len);
        return true;
    }
    case INST_ARRAY:
        return dup_items(arena, v, out);
    case INST_OBJECT:
        return dup_members(arena, v, out);
    case INST_ENTITY:
        *out = inst_null();
        return true;
    default:
        *out = (struct inst_value){.tag = v->tag, .u = v->u};
        return true;
    }
}

/*
 * Building.
 */

bool inst_key_is_index(const char *key, size_t len, uint32_t *index) {
    if (len == 0 || len > 10 || (key[0] == '0' && len > 1)) {
        return false;
    }
    uint64_t num = 0;
    for (size_t i = 0; i < len; i++) {
        if (key[i] < '0' || key[i] > '9') {
            return false;
        }
        num = num * 10 + (uint64_t)(key[i] - '0');
    }
    if (num >= UINT32_MAX) {
        return false;
    }
    *index = (uint32_t)num;
    return true;
}

/* A longer copy of a list on the arena; NULL when out of memory or past 32 bits. */
static void *grow(struct inst_arena *arena, const void *list, uint32_t count, size_t cap,
                  size_t size) {
    if (cap > UINT32_MAX / size) {
        return NULL;
    }
    void *longer = inst_arena_alloc(arena, cap * size);
    if (longer && list) {
        memcpy(longer, list, count * size);
    }
    return longer;
}

void inst_object_begin(struct inst_object_builder *b, struct inst_arena *arena) {
    *b = (struct inst_object_builder){.arena = arena};
}

void inst_object_reserve(struct inst_object_builder *b, size_t count) {
    if (b->failed || count <= b->cap) {
        return;
    }
    struct inst_member *members = grow(b->arena, b->members, b->count, count, sizeof(*members));
    if (!members) {
        b->failed = true;
        return;
    }
    b->members = members;
    b->cap = (uint32_t)count;
}

void inst_object_add(struct inst_object_builder *b, const char *key, size_t key_len,
                     struct inst_value value) {
    /* Longer lists are searched once, when they are complete. */
    for (uint32_t i = 0; b->count <= LINEAR_MAX && i < b->count; i++) {
        if (same_bytes(b->members[i].key, b->members[i].key_len, key, key_len)) {
            b->members[i].value = value;
            return;
        }
    }
    if (b->count == b->cap) {
        inst_object_reserve(b, b->cap ? (size_t)b->cap * 2 : BUILDER_FIRST);
    }
    if (b->failed) {
        return;
    }
    uint32_t index;
    b->has_int_key = b->has_int_key || inst_key_is_index(key, key_len, &index);
    b->members[b->count++] = (struct inst_member){.key = key, .key_len = key_len, .value = value};
}

void inst_object_addz(struct inst_object_builder *b, const char *key, struct inst_value value) {
    inst_object_add(b, key, strlen(key), value);
}

/* Of a key that was added again the last value moves to the first place. Sorting, unlike a hash,
 * has no bad case that somebody could send. */
static bool drop_repeated(struct inst_object_builder *b) {
    struct inst_member **sorted = sort_members(b->members, b->count);
    if (!sorted) {
        return false;
    }
    uint32_t dropped = 0;
    struct inst_member *first = sorted[0];
    for (uint32_t i = 1; i < b->count; i++) {
        struct inst_member *m = sorted[i];
        if (same_bytes(m->key, m->key_len, first->key, first->key_len)) {
            first->value = m->value;
            m->key = NULL;
            m->key_len = SIZE_MAX;
            dropped++;
        } else {
            first = m;
        }
    }
    free(sorted);
    if (dropped) {
        uint32_t to = 0;
        for (uint32_t i = 0; i < b->count; i++) {
            if (b->members[i].key_len != SIZE_MAX) {
                b->members[to++] = b->members[i];
            }
        }
        b->count = to;
    }
    return true;
}

static int compare_index_keys(const void *left, const void *right) {
    uint32_t a = 0;
    uint32_t b = 0;
    const struct inst_member *x = left;
    const struct inst_member *y = right;
    inst_key_is_index(x->key, x->key_len, &a);
    inst_key_is_index(y->key, y->key_len, &b);
    return (a > b) - (a < b);
}

static bool index_keys_first(struct inst_object_builder *b) {
    struct inst_member *ordered = grow(b->arena, NULL, 0, b->count, sizeof(*ordered));
    if (!ordered) {
        return false;
    }
    uint32_t indexes = 0;
    uint32_t unused;
    for (uint32_t i = 0; i < b->count; i++) {
        if (inst_key_is_index(b->members[i].key, b->members[i].key_len, &unused)) {
            ordered[indexes++] = b->members[i];
        }
    }
    qsort(ordered, indexes, sizeof(*ordered), compare_index_keys);
    uint32_t to = indexes;
    for (uint32_t i = 0; i < b->count; i++) {
        if (!inst_key_is_index(b->members[i].key, b->members[i].key_len, &unused)) {
            ordered[to++] = b->members[i];
        }
    }
    b->members = ordered;
    return true;
}

bool inst_object_end(struct inst_object_builder *b, struct inst_value *out) {
    if (!b->failed && b->count > LINEAR_MAX) {
        b->failed = !drop_repeated(b);
    }
    if (!b->failed && b->has_int_key) {
        b->failed = !index_keys_first(b);
    }
    if (!b->failed && !b->members) {
        inst_object_reserve(b, 1); /* an empty object is somewhere, too: inst_value_same */
    }
    if (b->failed) {
        return false;
    }
    *out = inst_object(b->members, b->count);
    return true;
}

void inst_array_begin(struct inst_array_builder *b, struct inst_arena *arena) {
    *b = (struct inst_array_builder){.arena = arena};
}

static void array_reserve(struct inst_array_builder *b, size_t count) {
    struct inst_value *items = grow(b->arena, b->items, b->count, count, sizeof(*items));
    if (!items) {
        b->failed = true;
        return;
    }
    b->items = items;
    b->cap = (uint32_t)count;
}

void inst_array_add(struct inst_array_builder *b, struct inst_value value) {
    if (!b->failed && b->count == b->cap) {
        array_reserve(b, b->cap ? (size_t)b->cap * 2 : BUILDER_FIRST);
    }
    if (!b->failed) {
        b->items[b->count++] = value;
    }
}

bool inst_array_end(struct inst_array_builder *b, struct inst_value *out) {
    if (!b->failed && !b->items) {
        array_reserve(b, 1);
    }
    if (b->failed) {
        return false;
    }
    *out = inst_array(b->items, b->count);
    return true;
}
