#include "rules/cel_value.h"

#include "base/number.h"
#include "base/text.h"
#include "rules/cel_functions.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_SHOWN = 1000,     /* bytes of a message, about */
    MAX_KEY_PARTS = 1000, /* of a key that is a list or a map */
};

/* ---- JSON as CEL sees it ---- */

static struct inst_cel_value of_number(double num) {
    if (num == floor(num) && num >= -9223372036854775808.0 && num < 9223372036854775808.0)
        return inst_cel_int((int64_t)num);
    return inst_cel_double(num);
}

struct inst_cel_value inst_cel_of_json(const struct inst_value *json, bool missing_is_null) {
    if (!json)
        return inst_cel_null();
    switch (json->tag) {
    case INST_TRUE:
    case INST_FALSE:
        return inst_cel_bool(json->tag == INST_TRUE);
    case INST_NUMBER:
    case INST_DATE:
        return of_number(json->u.num);
    case INST_STRING:
        return inst_cel_text(json->u.str, json->len);
    case INST_ARRAY:
        return (struct inst_cel_value){.tag = INST_CEL_V_JSON_LIST, .u.json = json};
    case INST_OBJECT:
        return (struct inst_cel_value){
            .tag = INST_CEL_V_JSON_MAP, .missing_is_null = missing_is_null, .u.json = json};
    default:
        return inst_cel_null();
    }
}

bool inst_cel_is_list(const struct inst_cel_value *v) {
    return v->tag == INST_CEL_V_LIST || v->tag == INST_CEL_V_JSON_LIST;
}

bool inst_cel_is_map(const struct inst_cel_value *v) {
    return v->tag == INST_CEL_V_MAP || v->tag == INST_CEL_V_JSON_MAP ||
           v->tag == INST_CEL_V_OBJECT || v->tag == INST_CEL_V_RATE_LIMITS;
}

uint32_t inst_cel_count(const struct inst_cel_value *v) {
    switch (v->tag) {
    case INST_CEL_V_LIST:
    case INST_CEL_V_MAP:
        return v->len;
    case INST_CEL_V_JSON_LIST:
    case INST_CEL_V_JSON_MAP:
    case INST_CEL_V_OBJECT:
        return v->u.json ? v->u.json->len : 0;
    default:
        return 0;
    }
}

struct inst_cel_value inst_cel_element(const struct inst_cel_value *list, uint32_t i) {
    /* Objects inside a list are ordinary maps (permissions.md 3.1). */
    return list->tag == INST_CEL_V_LIST ? list->u.items[i]
                                        : inst_cel_of_json(&list->u.json->u.items[i], false);
}

struct inst_cel_value inst_cel_key(const struct inst_cel_value *map, uint32_t i) {
    if (map->tag == INST_CEL_V_MAP)
        return map->u.entries[i].key;
    const struct inst_member *member = &map->u.json->u.members[i];
    return inst_cel_text(member->key, member->key_len);
}

static bool json_lookup(const struct inst_cel_value *map, const struct inst_cel_value *key,
                        struct inst_cel_value *out) {
    bool missing_is_null = map->tag == INST_CEL_V_OBJECT || map->missing_is_null;
    const struct inst_value *found = key->tag == INST_CEL_V_STRING && map->u.json
                                         ? inst_get(map->u.json, key->u.str, key->len)
                                         : NULL;
    *out = inst_cel_of_json(found, missing_is_null);
    return found || missing_is_null;
}

bool inst_cel_lookup(const struct inst_cel_value *map, const struct inst_cel_value *key,
                     struct inst_cel_value *out) {
    if (map->tag == INST_CEL_V_RATE_LIMITS) {
        *out = *key;
        out->tag = INST_CEL_V_BUCKET;
        return key->tag == INST_CEL_V_STRING;
    }
    if (map->tag != INST_CEL_V_MAP)
        return json_lookup(map, key, out);
    for (uint32_t i = 0; i < map->len; i++) {
        size_t left = MAX_KEY_PARTS;
        if (inst_cel_equal(&map->u.entries[i].key, key, &left)) {
            *out = map->u.entries[i].value;
            return true;
        }
    }
    return false;
}

/* ---- comparing ---- */

static bool is_number(const struct inst_cel_value *v) {
    return v->tag == INST_CEL_V_INT || v->tag == INST_CEL_V_UINT || v->tag == INST_CEL_V_DOUBLE;
}

/* A double equals an integer when it is that integer exactly. */
static bool double_is_int(double d, int64_t i) {
    return d >= -9223372036854775808.0 && d < 9223372036854775808.0 && d == floor(d) &&
           (int64_t)d == i;
}

static bool double_is_uint(double d, uint64_t u) {
    return d >= 0 && d < 18446744073709551616.0 && d == floor(d) && (uint64_t)d == u;
}

static bool numbers_equal(const struct inst_cel_value *a, const struct inst_cel_value *b) {
    if (a->tag > b->tag) {
        const struct inst_cel_value *swap = a;
        a = b;
        b = swap;
    }
    if (a->tag == INST_CEL_V_INT) {
        if (b->tag == INST_CEL_V_INT)
            return a->u.i == b->u.i;
        return b->tag == INST_CEL_V_UINT ? a->u.i >= 0 && (uint64_t)a->u.i == b->u.u
                                         : double_is_int(b->u.d, a->u.i);
    }
    if (a->tag == INST_CEL_V_UINT)
        return b->tag == INST_CEL_V_UINT ? a->u.u == b->u.u : double_is_uint(b->u.d, a->u.u);
    return a->u.d == b->u.d;
}

static void take(size_t *left, size_t count) { *left -= count < *left ? count : *left; }

static bool lists_equal(const struct inst_cel_value *a, const struct inst_cel_value *b,
                        size_t *left) {
    uint32_t count = inst_cel_count(a);
    if (count != inst_cel_count(b))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct inst_cel_value x = inst_cel_element(a, i), y = inst_cel_element(b, i);
        if (!inst_cel_equal(&x, &y, left))
            return false;
    }
    return true;
}

static bool maps_equal(const struct inst_cel_value *a, const struct inst_cel_value *b,
                       size_t *left) {
    uint32_t count = inst_cel_count(a);
    if (count != inst_cel_count(b))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct inst_cel_value key = inst_cel_key(a, i), x, y;
        take(left, count / 8); /* keys are looked for one after the other */
        if (!inst_cel_lookup(a, &key, &x) || !inst_cel_lookup(b, &key, &y) ||
            !inst_cel_equal(&x, &y, left))
            return false;
    }
    return true;
}

bool inst_cel_equal(const struct inst_cel_value *a, const struct inst_cel_value *b, size_t *left) {
    take(left, 1);
    if (*left == 0)
        return false;
    if (is_number(a) && is_number(b))
        return numbers_equal(a, b);
    if (inst_cel_is_list(a) && inst_cel_is_list(b))
        return lists_equal(a, b, left);
    if (inst_cel_is_map(a) && inst_cel_is_map(b))
        return maps_equal(a, b, left);
    if (a->tag != b->tag)
        return false;
    switch (a->tag) {
    case INST_CEL_V_BOOL:
        return a->u.b == b->u.b;
    case INST_CEL_V_STRING:
    case INST_CEL_V_BYTES:
    case INST_CEL_V_BUCKET:
        take(left, a->len / 64);
        return a->len == b->len && (a->len == 0 || memcmp(a->u.str, b->u.str, a->len) == 0);
    case INST_CEL_V_TIMESTAMP:
    case INST_CEL_V_DURATION:
        return a->u.seconds == b->u.seconds && a->nanos == b->nanos;
    case INST_CEL_V_TYPE:
        return a->u.type == b->u.type;
    default:
        return true;
    }
}

static int bytes_order(const struct inst_cel_value *a, const struct inst_cel_value *b) {
    uint32_t n = a->len < b->len ? a->len : b->len;
    int order = n ? memcmp(a->u.str, b->u.str, n) : 0;
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

bool inst_cel_order(const struct inst_cel_value *a, const struct inst_cel_value *b, int *out) {
    switch (a->tag) {
    case INST_CEL_V_BOOL:
        *out = a->u.b - b->u.b;
        return true;
    case INST_CEL_V_INT:
        *out = (a->u.i > b->u.i) - (a->u.i < b->u.i);
        return true;
    case INST_CEL_V_UINT:
        *out = (a->u.u > b->u.u) - (a->u.u < b->u.u);
        return true;
    case INST_CEL_V_DOUBLE:
        *out = (a->u.d > b->u.d) - (a->u.d < b->u.d);
        return !isnan(a->u.d) && !isnan(b->u.d);
    case INST_CEL_V_STRING:
        *out = inst_text_cmp_utf16(a->u.str, a->len, b->u.str, b->len);
        return true;
    case INST_CEL_V_BYTES:
        *out = bytes_order(a, b);
        return true;
    default:
        *out = (a->u.seconds > b->u.seconds) - (a->u.seconds < b->u.seconds);
        if (*out == 0)
            *out = (a->nanos > b->nanos) - (a->nanos < b->nanos);
        return true;
    }
}

enum inst_cel_kind inst_cel_kind_of(const struct inst_cel_value *v) {
    static const enum inst_cel_kind kinds[] = {
        INST_CEL_NULL,    INST_CEL_BOOL,  INST_CEL_INT,       INST_CEL_UINT,     INST_CEL_DOUBLE,
        INST_CEL_STRING,  INST_CEL_BYTES, INST_CEL_TIMESTAMP, INST_CEL_DURATION, INST_CEL_TYPE,
        INST_CEL_LIST,    INST_CEL_MAP,   INST_CEL_LIST,      INST_CEL_MAP,      INST_CEL_MAP,
        INST_CEL_REQUEST, INST_CEL_MAP,   INST_CEL_BUCKET,    INST_CEL_NULL,
    };
    return kinds[v->tag];
}

/* ---- as text ---- */

void inst_cel_double_text(double d, struct inst_buf *out) {
    char js[INST_NUMBER_TEXT_MAX], digits[INST_NUMBER_TEXT_MAX];
    if (isnan(d) || isinf(d)) {
        inst_buf_add_str(out, isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
        return;
    }
    if (signbit(d))
        inst_buf_add_char(out, '-');
    d = fabs(d);
    if (d == 0) {
        inst_buf_add_str(out, "0.0");
        return;
    }
    /* The shortest digits, and where the point belongs: 0.digits * 10^point. */
    inst_number_text(d, js);
    int point = 0, count = 0, exponent = 0;
    bool seen_point = false;
    for (const char *at = js; *at; at++) {
        if (*at == 'e') {
            sscanf(at + 1, "%d", &exponent);
            break;
        }
        if (*at == '.') {
            seen_point = true;
        } else if (*at != '0' || count) {
            digits[count++] = *at;
            point += !seen_point;
        } else {
            point -= seen_point;
        }
    }
    point += exponent;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    if (d >= 1e-3 && d < 1e7) {
        if (point <= 0)
            inst_buf_add_str(out, "0.");
        for (int i = point; i < 0; i++)
            inst_buf_add_char(out, '0');
        for (int i = 0; i < count || i < point; i++) {
            if (i == point && i > 0)
                inst_buf_add_char(out, '.');
            inst_buf_add_char(out, i < count ? digits[i] : '0');
        }
        if (count <= point)
            inst_buf_add_str(out, ".0");
        return;
    }
    inst_buf_addf(out, "%c.", digits[0]);
    inst_buf_add(out, count > 1 ? digits + 1 : "0", count > 1 ? (size_t)count - 1 : 1);
    inst_buf_addf(out, "E%d", point - 1);
}

static void show_members(const struct inst_cel_value *v, struct inst_buf *out) {
    bool is_list = inst_cel_is_list(v);
    uint32_t count = inst_cel_count(v);
    inst_buf_add_char(out, is_list ? '[' : '{');
    for (uint32_t i = 0; i < count && out->len < 256; i++) {
        struct inst_cel_value item = is_list ? inst_cel_element(v, i) : inst_cel_key(v, i), value;
        inst_buf_add_str(out, i ? ", " : "");
        inst_cel_show(&item, out);
        if (!is_list && inst_cel_lookup(v, &item, &value)) {
            inst_buf_add_char(out, '=');
            inst_cel_show(&value, out);
        }
    }
    inst_buf_add_char(out, is_list ? ']' : '}');
}

void inst_cel_show(const struct inst_cel_value *v, struct inst_buf *out) {
    if (out->len > MAX_SHOWN)
        return;
    switch (v->tag) {
    case INST_CEL_V_NULL:
        inst_buf_add_str(out, "NULL_VALUE");
        break;
    case INST_CEL_V_BOOL:
        inst_buf_add_str(out, v->u.b ? "true" : "false");
        break;
    case INST_CEL_V_INT:
        inst_buf_addf(out, "%lld", (long long)v->u.i);
        break;
    case INST_CEL_V_UINT:
        inst_buf_addf(out, "%llu", (unsigned long long)v->u.u);
        break;
    case INST_CEL_V_DOUBLE:
        inst_cel_double_text(v->u.d, out);
        break;
    case INST_CEL_V_STRING:
    case INST_CEL_V_BYTES:
        inst_buf_add(out, v->u.str, v->len < 256 ? v->len : 256);
        break;
    case INST_CEL_V_TIMESTAMP:
    case INST_CEL_V_DURATION:
        inst_cel_time_text(v, out);
        break;
    default:
        if (inst_cel_is_list(v) || inst_cel_is_map(v))
            show_members(v, out);
        else
            inst_cel_type_text(NULL, inst_cel_simple(inst_cel_kind_of(v)), out);
    }
}

/* ---- as JSON ---- */

static bool text_to_json(const struct inst_cel_value *v, struct inst_arena *arena,
                         struct inst_value *out) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_cel_show(v, &buf);
    char *copy = buf.failed ? NULL : inst_arena_dup(arena, buf.data ? buf.data : "", buf.len);
    *out = inst_string(copy, buf.len);
    inst_buf_free(&buf);
    return copy != NULL;
}

static bool to_json(const struct inst_cel_value *v, struct inst_arena *arena,
                    struct inst_value *out, size_t *left);

static bool members_to_json(const struct inst_cel_value *v, struct inst_arena *arena,
                            struct inst_value *out, size_t *left) {
    struct inst_array_builder list;
    struct inst_object_builder map;
    bool is_list = inst_cel_is_list(v);
    inst_array_begin(&list, arena);
    inst_object_begin(&map, arena);
    for (uint32_t i = 0; i < inst_cel_count(v); i++) {
        struct inst_cel_value item = is_list ? inst_cel_element(v, i) : inst_cel_key(v, i), member;
        struct inst_value json, key = inst_undefined();
        if (!is_list && (!text_to_json(&item, arena, &key) || !inst_cel_lookup(v, &item, &member)))
            return false;
        if (!to_json(is_list ? &item : &member, arena, &json, left))
            return false;
        if (is_list)
            inst_array_add(&list, json);
        else
            inst_object_add(&map, key.u.str, key.len, json);
    }
    return is_list ? inst_array_end(&list, out) : inst_object_end(&map, out);
}

static bool to_json(const struct inst_cel_value *v, struct inst_arena *arena,
                    struct inst_value *out, size_t *left) {
    take(left, 1);
    if (*left == 0)
        return false;
    switch (v->tag) {
    case INST_CEL_V_NULL:
    case INST_CEL_V_UNBOUND:
        *out = inst_null();
        return true;
    case INST_CEL_V_BOOL:
        *out = inst_bool(v->u.b);
        return true;
    case INST_CEL_V_INT:
        *out = inst_number((double)v->u.i);
        return true;
    case INST_CEL_V_UINT:
        *out = inst_number((double)v->u.u);
        return true;
    case INST_CEL_V_DOUBLE:
        *out = inst_number(v->u.d);
        return true;
    case INST_CEL_V_STRING:
        *out = inst_string(v->u.str, v->len);
        return true;
    default:
        return inst_cel_is_list(v) || inst_cel_is_map(v) ? members_to_json(v, arena, out, left)
                                                         : text_to_json(v, arena, out);
    }
}

bool inst_cel_to_json(const struct inst_cel_value *v, struct inst_arena *arena,
                      struct inst_value *out) {
    size_t left = INST_CEL_MAX_JSON;
    return to_json(v, arena, out, &left);
}
