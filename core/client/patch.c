#include "client/patch.h"

#include <stdio.h>

struct edit {
    struct inst_arena *arena;
    const struct inst_value *path;
    uint32_t len;
    char op;
    const struct inst_value *value;
};

static bool edit_at(const struct edit *e, uint32_t depth, const struct inst_value *at,
                    struct inst_value *out);

/* A path element as a key, also of an object that an index leads into. */
struct key {
    const char *text;
    size_t len;
    char digits[16];
};

static void read_key(const struct inst_value *element, struct key *key) {
    if (element->tag == INST_STRING) {
        key->text = element->u.str;
        key->len = element->len;
        return;
    }
    int n = snprintf(key->digits, sizeof(key->digits), "%.0f", element->u.num);
    key->text = key->digits;
    key->len = (size_t)n;
}

/* false: it is no index. */
static bool read_index(const struct inst_value *element, uint32_t *index) {
    if (element->tag == INST_STRING) {
        return inst_key_is_index(element->u.str, element->len, index);
    }
    *index = (uint32_t)element->u.num;
    return true;
}

/* memcpy that takes nothing from nowhere. */
static void copy(void *to, const void *from, size_t size) {
    if (size) {
        memcpy(to, from, size);
    }
}

/* ---- objects ---- */

static bool set_member(const struct edit *e, const struct inst_value *object, uint32_t place,
                       const struct key *key, struct inst_value value, struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, e->arena);
    inst_object_reserve(&b, (size_t)object->len + 1);
    for (uint32_t i = 0; i < object->len; i++) {
        const struct inst_member *member = &object->u.members[i];
        inst_object_add(&b, member->key, member->key_len, i == place ? value : member->value);
    }
    if (place == object->len) {
        const char *text = inst_arena_dup(e->arena, key->text, key->len);
        if (!text) {
            return false;
        }
        inst_object_add(&b, text, key->len, value);
    }
    return inst_object_end(&b, out);
}

static bool remove_member(const struct edit *e, const struct inst_value *object, uint32_t place,
                          struct inst_value *out) {
    size_t count = object->len - 1u;
    struct inst_member *members = inst_arena_alloc(e->arena, count * sizeof(*members));
    if (!members) {
        return false;
    }
    copy(members, object->u.members, place * sizeof(*members));
    copy(members + place, object->u.members + place + 1, (count - place) * sizeof(*members));
    *out = inst_object(members, count);
    return true;
}

static bool edit_object(const struct edit *e, uint32_t depth, const struct inst_value *object,
                        struct inst_value *out) {
    struct key key;
    struct inst_value part;
    bool is_last = depth + 1 == e->len;
    uint32_t place = 0;
    read_key(&e->path[depth], &key);
    while (place < object->len && (object->u.members[place].key_len != key.len ||
                                   memcmp(object->u.members[place].key, key.text, key.len) != 0)) {
        place++;
    }
    bool is_there = place < object->len;
    if (e->op == '-' && (!is_there || is_last)) {
        *out = *object;
        return !is_there || remove_member(e, object, place, out);
    }
    struct inst_value nothing = inst_undefined();
    const struct inst_value *former = is_there ? &object->u.members[place].value : &nothing;
    if (is_last) {
        part = *e->value;
    } else if (!edit_at(e, depth + 1, former, &part)) {
        return false;
    }
    return set_member(e, object, place, &key, part, out);
}

/* ---- lists ---- */

/* `removed` elements at place become `part`, or nothing when that is NULL. */
static bool splice(const struct edit *e, const struct inst_value *list, uint32_t place,
                   uint32_t removed, const struct inst_value *part, struct inst_value *out) {
    size_t count = (size_t)list->len - removed + (part != NULL);
    struct inst_value *items = inst_arena_alloc(e->arena, count * sizeof(*items));
    if (!items || count > UINT32_MAX) {
        return false;
    }
    struct inst_value *at = items;
    copy(at, list->u.items, place * sizeof(*items));
    at += place;
    if (part) {
        *at++ = *part;
    }
    if (place + removed < list->len) {
        copy(at, list->u.items + place + removed,
             (size_t)(list->len - place - removed) * sizeof(*items));
    }
    *out = inst_array(items, count);
    return true;
}

static bool edit_list(const struct edit *e, uint32_t depth, const struct inst_value *list,
                      struct inst_value *out) {
    bool is_last = depth + 1 == e->len;
    uint32_t place;
    *out = *list;
    if (!read_index(&e->path[depth], &place)) {
        return true; /* a list has no named members in JSON */
    }
    bool is_there = place < list->len;
    if (e->op == '-' && (!is_there || is_last)) {
        return !is_there || splice(e, list, place, 1, NULL, out);
    }
    if (!is_there) {
        place = list->len;
    }
    struct inst_value nothing = inst_undefined(), part;
    if (is_last) {
        part = *e->value;
        return splice(e, list, place, e->op == 'r' && is_there, &part, out);
    }
    return edit_at(e, depth + 1, is_there ? &list->u.items[place] : &nothing, &part) &&
           splice(e, list, place, is_there, &part, out);
}

/* ---- any value ---- */

static bool edit_at(const struct edit *e, uint32_t depth, const struct inst_value *at,
                    struct inst_value *out) {
    struct inst_value made;
    if (at->tag != INST_OBJECT && at->tag != INST_ARRAY) {
        if (e->op == '-') {
            *out = *at;
            return true;
        }
        made = e->path[depth].tag == INST_NUMBER ? inst_array(NULL, 0) : inst_object(NULL, 0);
        at = &made;
    }
    return at->tag == INST_OBJECT ? edit_object(e, depth, at, out) : edit_list(e, depth, at, out);
}

bool inst_patch_apply(struct inst_arena *arena, struct inst_value *root,
                      const struct inst_value *path, uint32_t len, char op,
                      const struct inst_value *value) {
    struct inst_value own = inst_null(), out;
    struct edit e = {arena, path, len, op, &own};
    if (op != '-' && value && !inst_value_dup(arena, value, &own)) {
        return false;
    }
    if (!edit_at(&e, 0, root, &out)) {
        return false;
    }
    *root = out;
    return true;
}
