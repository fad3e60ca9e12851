/*
 * cel_value.h - what a CEL expression computes with.
 *
 *     LIST, MAP              made by the expression; items in the arena of the evaluation
 *     JSON_LIST, JSON_MAP    a view of stored JSON: nothing is copied until it is looked at
 *     OBJECT                 data, newData, linkedData, auth ...: JSON_MAP with a name, so that
 *                            `ref` knows where to start
 *
 * Whole numbers of JSON are int, others double (permissions.md 3.1). A value owns nothing.
 */
#ifndef INST_RULES_CEL_VALUE_H
#define INST_RULES_CEL_VALUE_H

#include "base/buf.h"
#include "base/value.h"
#include "rules/cel_type.h"

enum inst_cel_tag {
    INST_CEL_V_NULL,
    INST_CEL_V_BOOL,
    INST_CEL_V_INT,
    INST_CEL_V_UINT,
    INST_CEL_V_DOUBLE,
    INST_CEL_V_STRING,
    INST_CEL_V_BYTES,
    INST_CEL_V_TIMESTAMP,
    INST_CEL_V_DURATION,
    INST_CEL_V_TYPE,
    INST_CEL_V_LIST,
    INST_CEL_V_MAP,
    INST_CEL_V_JSON_LIST,
    INST_CEL_V_JSON_MAP,
    INST_CEL_V_OBJECT,
    INST_CEL_V_REQUEST,
    INST_CEL_V_RATE_LIMITS, /* `rateLimit` */
    INST_CEL_V_BUCKET,      /* one of its members */
    INST_CEL_V_UNBOUND,     /* a variable without a value: touching it fails */
};

/* Whose OBJECT it is. */
enum inst_cel_object {
    INST_CEL_DATA,
    INST_CEL_NEW_DATA,
    INST_CEL_LINKED_DATA,
    INST_CEL_AUTH,
    INST_CEL_RULE_PARAMS,
    INST_CEL_ACTIONS,
    INST_CEL_OBJECTS,
};

struct inst_cel_entry;

struct inst_cel_value {
    uint8_t tag;
    uint8_t object;       /* OBJECT: enum inst_cel_object */
    bool missing_is_null; /* JSON_MAP: a key that is not there reads as null */
    uint32_t len;         /* STRING, BYTES, BUCKET: bytes; LIST, MAP: count */
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double d;
        const char *str; /* STRING, BYTES; BUCKET: its name */
        const struct inst_cel_value *items;
        const struct inst_cel_entry *entries;
        const struct inst_value *json; /* JSON_*; OBJECT: NULL is an object without keys */
        int64_t seconds;               /* TIMESTAMP (since the epoch), DURATION */
        enum inst_cel_kind type;
    } u;
    int32_t nanos; /* TIMESTAMP: 0..999999999; DURATION: of the sign of seconds */
};

struct inst_cel_entry {
    struct inst_cel_value key;
    struct inst_cel_value value;
};

static inline struct inst_cel_value inst_cel_null(void) {
    return (struct inst_cel_value){.tag = INST_CEL_V_NULL};
}
static inline struct inst_cel_value inst_cel_bool(bool b) {
    return (struct inst_cel_value){.tag = INST_CEL_V_BOOL, .u.b = b};
}
static inline struct inst_cel_value inst_cel_int(int64_t i) {
    return (struct inst_cel_value){.tag = INST_CEL_V_INT, .u.i = i};
}
static inline struct inst_cel_value inst_cel_uint(uint64_t u) {
    return (struct inst_cel_value){.tag = INST_CEL_V_UINT, .u.u = u};
}
static inline struct inst_cel_value inst_cel_double(double d) {
    return (struct inst_cel_value){.tag = INST_CEL_V_DOUBLE, .u.d = d};
}
static inline struct inst_cel_value inst_cel_text(const char *str, size_t len) {
    return (struct inst_cel_value){.tag = INST_CEL_V_STRING, .len = (uint32_t)len, .u.str = str};
}
static inline struct inst_cel_value inst_cel_time(enum inst_cel_tag tag, int64_t seconds,
                                                  int32_t nanos) {
    return (struct inst_cel_value){.tag = (uint8_t)tag, .u.seconds = seconds, .nanos = nanos};
}

/* A view of JSON. */
struct inst_cel_value inst_cel_of_json(const struct inst_value *json, bool missing_is_null);
bool inst_cel_is_list(const struct inst_cel_value *v);
/* Also OBJECT and `rateLimit`-less maps: whatever has keys that can be listed. */
bool inst_cel_is_map(const struct inst_cel_value *v);
/* Elements of a list, or keys of a map. */
uint32_t inst_cel_count(const struct inst_cel_value *v);
struct inst_cel_value inst_cel_element(const struct inst_cel_value *list, uint32_t i);
struct inst_cel_value inst_cel_key(const struct inst_cel_value *map, uint32_t i);
/* false: no such key. A map whose missing keys read as null gives that. */
bool inst_cel_lookup(const struct inst_cel_value *map, const struct inst_cel_value *key,
                     struct inst_cel_value *out);

/* CEL's ==: numbers by value whatever their types, lists and maps deep. *left: how many parts it
 * may look at, less those when it returns; 0: it gave up. A value that holds others several times
 * over has more parts than memory. */
bool inst_cel_equal(const struct inst_cel_value *a, const struct inst_cel_value *b, size_t *left);
/* <0, 0, >0; both of one ordered tag. false: NaN is in it. */
bool inst_cel_order(const struct inst_cel_value *a, const struct inst_cel_value *b, int *out);
/* The value's kind at run time. */
enum inst_cel_kind inst_cel_kind_of(const struct inst_cel_value *v);
/* As Java's String.valueOf shows it in messages; cut off when it is long. */
void inst_cel_show(const struct inst_cel_value *v, struct inst_buf *out);
/* Java's text of a double: "1.0", "1.0E21". */
void inst_cel_double_text(double d, struct inst_buf *out);
#define INST_CEL_MAX_JSON 1000000 /* parts of a value that becomes JSON */
/* As JSON; times and bytes as text. false: out of memory, or too many parts. */
bool inst_cel_to_json(const struct inst_cel_value *v, struct inst_arena *arena,
                      struct inst_value *out);

#endif
