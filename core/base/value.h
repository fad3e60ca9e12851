/*
 * value.h - one JSON (or JavaScript) value, 16 bytes.
 *
 *     tag | flags | len  |  payload
 *     STRING        bytes   -> UTF-8, not NUL-terminated, may hold NUL
 *     ARRAY         count   -> values, contiguous
 *     OBJECT        count   -> members, contiguous, in JavaScript's key order
 *     NUMBER                   double
 *     DATE                     double, ms since the epoch (NaN: invalid); a JavaScript Date
 *     ENTITY                   handle of an entity; only inside a store, never in JSON
 *     FUNCTION                 a caller's function; only on its way into a validator, which refuses
 * it
 *
 * A value owns nothing: strings, arrays and objects point into the arena (or store) that made
 * them and are never changed once built. Copying the 16 bytes shares them.
 *
 * UNDEFINED is what an absent JavaScript member is; a zeroed value is UNDEFINED.
 */
#ifndef INST_BASE_VALUE_H
#define INST_BASE_VALUE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum inst_tag {
    INST_UNDEFINED = 0,
    INST_NULL,
    INST_FALSE,
    INST_TRUE,
    INST_NUMBER,
    INST_STRING,
    INST_ARRAY,
    INST_OBJECT,
    INST_DATE,
    INST_ENTITY,
    INST_FUNCTION,
};

enum {
    /* The string is interned by a store: the 4 bytes in front of it are its handle there. */
    INST_VALUE_INTERNED = 1,
};

struct inst_member;

struct inst_value {
    uint8_t tag;
    uint8_t flags;
    uint16_t reserved;
    uint32_t len;
    union {
        double num;
        const char *str;
        const struct inst_value *items;
        const struct inst_member *members;
        uint64_t entity;
    } u;
};

struct inst_member {
    const char *key; /* UTF-8, not NUL-terminated */
    size_t key_len;
    struct inst_value value;
};

static inline struct inst_value inst_undefined(void) { return (struct inst_value){0}; }
static inline struct inst_value inst_null(void) { return (struct inst_value){.tag = INST_NULL}; }
static inline struct inst_value inst_bool(bool b) {
    return (struct inst_value){.tag = b ? INST_TRUE : INST_FALSE};
}
static inline struct inst_value inst_number(double num) {
    return (struct inst_value){.tag = INST_NUMBER, .u.num = num};
}
/* Borrows the bytes. */
static inline struct inst_value inst_string(const char *str, size_t len) {
    return (struct inst_value){.tag = INST_STRING, .len = (uint32_t)len, .u.str = str};
}
static inline struct inst_value inst_cstring(const char *str) {
    return inst_string(str, strlen(str));
}
static inline struct inst_value inst_array(const struct inst_value *items, size_t count) {
    return (struct inst_value){.tag = INST_ARRAY, .len = (uint32_t)count, .u.items = items};
}
/* The members must already be in JavaScript's key order: integer-like keys ascending, then as
 * inserted, each once. The builder below sees to that. */
static inline struct inst_value inst_object(const struct inst_member *members, size_t count) {
    return (struct inst_value){.tag = INST_OBJECT, .len = (uint32_t)count, .u.members = members};
}
static inline struct inst_value inst_date(double ms) {
    return (struct inst_value){.tag = INST_DATE, .u.num = ms};
}

static inline bool inst_is_string(const struct inst_value *v, const char *text) {
    size_t n = strlen(text);
    return v->tag == INST_STRING && v->len == n && memcmp(v->u.str, text, n) == 0;
}
static inline bool inst_is_nullish(const struct inst_value *v) {
    return v->tag == INST_UNDEFINED || v->tag == INST_NULL;
}

/* Member of an object by key; NULL when absent or when obj is no object. Linear: objects are small.
 */
const struct inst_value *inst_get(const struct inst_value *obj, const char *key, size_t key_len);
const struct inst_value *inst_getz(const struct inst_value *obj, const char *key);
/* The string member `key`, or NULL when absent or no string. */
const struct inst_value *inst_get_string(const struct inst_value *obj, const char *key);
/* True when the member is present and INST_TRUE. */
bool inst_get_true(const struct inst_value *obj, const char *key);

/* JavaScript's `===`, except that NaN equals NaN and +0 equals -0 (as Map keys compare). Arrays,
 * objects: the same memory. Dates are never equal. */
bool inst_value_same(const struct inst_value *a, const struct inst_value *b);
/* Structural equality; object key order does not matter; dates by instant. */
bool inst_value_equal(const struct inst_value *a, const struct inst_value *b);
/* JavaScript truthiness. */
bool inst_value_truthy(const struct inst_value *v);
/* "undefined" "object" "boolean" "number" "string" "function", as JavaScript's typeof. */
const char *inst_value_typeof(const struct inst_value *v);
/* Do arrays and objects nest in more levels than this? A plain value has none. */
bool inst_value_is_deeper_than(const struct inst_value *v, unsigned levels);
/* A deep copy into arena without flags; ENTITY, which means nothing outside its store, becomes
 * null. false when out of memory. */
bool inst_value_dup(struct inst_arena *arena, const struct inst_value *v, struct inst_value *out);

/*
 * Building. A builder collects members (or items) on the arena and closes into one value. Adding a
 * key again replaces its value and keeps its place. Failure is sticky and shows at the end.
 */
struct inst_object_builder {
    struct inst_arena *arena;
    struct inst_member *members;
    uint32_t count;
    uint32_t cap;
    bool has_int_key;
    bool failed;
};
void inst_object_begin(struct inst_object_builder *b, struct inst_arena *arena);
/* Room for `count` members at once, so that a list of known length is never copied. */
void inst_object_reserve(struct inst_object_builder *b, size_t count);
/* Borrows key and what value points to: they must live as long as the arena. */
void inst_object_add(struct inst_object_builder *b, const char *key, size_t key_len,
                     struct inst_value value);
void inst_object_addz(struct inst_object_builder *b, const char *key, struct inst_value value);
bool inst_object_end(struct inst_object_builder *b, struct inst_value *out);

struct inst_array_builder {
    struct inst_arena *arena;
    struct inst_value *items;
    uint32_t count;
    uint32_t cap;
    bool failed;
};
void inst_array_begin(struct inst_array_builder *b, struct inst_arena *arena);
void inst_array_add(struct inst_array_builder *b, struct inst_value value);
bool inst_array_end(struct inst_array_builder *b, struct inst_value *out);

/* True when key is the canonical text of an array index (0 .. 2^32-2): JavaScript puts such keys
 * first, ascending. *index gets it. */
bool inst_key_is_index(const char *key, size_t len, uint32_t *index);

#endif
