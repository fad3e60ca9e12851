#include "instaml/deep_merge.h"

#include "base/text.h"
#include "triples/id_table.h"

/* Below this many comparisons a table of the keys costs more than it saves. */
#define MANY_COMPARISONS 4096u

/* Members by key; a table when there are many to be looked up. */
struct members {
    const struct inst_value *object;
    struct inst_id_table by_key; /* index + 1 */
    uint64_t seed;
};

/* A Date is an object without members to JavaScript. */
static bool is_object(const struct inst_value *v) {
    return v->tag == INST_OBJECT || v->tag == INST_DATE;
}

static uint32_t length(const struct inst_value *v) { return v->tag == INST_OBJECT ? v->len : 0; }

static uint32_t key_hash(const struct members *members, const struct inst_member *m) {
    return (uint32_t)inst_text_hash(m->key, m->key_len, members->seed);
}

static bool members_open(struct members *members, const struct inst_value *object,
                         uint32_t lookups) {
    uint32_t count = length(object);
    *members = (struct members){.object = object, .seed = (uint64_t)(uintptr_t)members};
    if ((uint64_t)count * lookups < MANY_COMPARISONS) {
        return true;
    }
    if (!inst_id_table_reserve(&members->by_key, count)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        inst_id_table_add(&members->by_key, key_hash(members, &object->u.members[i]), i + 1);
    }
    return true;
}

static const struct inst_value *members_get(const struct members *members,
                                            const struct inst_member *key) {
    if (!members->by_key.slots) {
        return inst_get(members->object, key->key, key->key_len);
    }
    uint32_t hash = key_hash(members, key), at = hash, n;
    while ((n = inst_id_table_next(&members->by_key, hash, &at)) != 0) {
        const struct inst_member *m = &members->object->u.members[n - 1];
        if (m->key_len == key->key_len &&
            (m->key_len == 0 || memcmp(m->key, key->key, m->key_len) == 0)) {
            return &m->value;
        }
    }
    return NULL;
}

static bool merge_objects(struct inst_arena *arena, const struct members *target,
                          const struct members *patch, struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    for (uint32_t i = 0; i < length(target->object); i++) {
        const struct inst_member *m = &target->object->u.members[i];
        const struct inst_value *with = members_get(patch, m);
        struct inst_value merged = m->value;
        if (with && with->tag == INST_NULL) {
            continue;
        }
        if (with && with->tag != INST_UNDEFINED &&
            !inst_deep_merge(arena, &m->value, with, &merged)) {
            return false;
        }
        inst_object_add(&b, m->key, m->key_len, merged);
    }
    for (uint32_t i = 0; i < length(patch->object); i++) {
        const struct inst_member *m = &patch->object->u.members[i];
        if (!inst_is_nullish(&m->value) && !members_get(target, m)) {
            inst_object_add(&b, m->key, m->key_len, m->value);
        }
    }
    return inst_object_end(&b, out);
}

bool inst_deep_merge(struct inst_arena *arena, const struct inst_value *target,
                     const struct inst_value *patch, struct inst_value *out) {
    if (!is_object(target) || !is_object(patch)) {
        *out = *patch;
        return true;
    }
    struct members of_target, of_patch;
    bool is_done = members_open(&of_target, target, length(patch));
    is_done = members_open(&of_patch, patch, length(target)) && is_done;
    is_done = is_done && merge_objects(arena, &of_target, &of_patch, out);
    inst_id_table_free(&of_target.by_key);
    inst_id_table_free(&of_patch.by_key);
    return is_done;
}
