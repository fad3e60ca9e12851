#include "instaql/hash.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_key(const void *a, const void *b) {
    const struct inst_member *x = *(const struct inst_member *const *)a;
    const struct inst_member *y = *(const struct inst_member *const *)b;
    return inst_text_cmp_utf16(x->key, x->key_len, y->key, y->key_len);
}

/* The members that are not undefined, by UTF-16 code unit of their keys; NULL when out of memory.
 */
static const struct inst_member **sorted_members(struct inst_arena *arena,
                                                 const struct inst_value *v, uint32_t *count) {
    const struct inst_member **list = inst_arena_alloc(arena, v->len * sizeof *list);
    *count = 0;
    if (!list) {
        return NULL;
    }
    for (uint32_t i = 0; i < v->len; i++) {
        if (v->u.members[i].value.tag != INST_UNDEFINED) {
            list[(*count)++] = &v->u.members[i];
        }
    }
    if (*count > 1) {
        qsort(list, *count, sizeof *list, by_key);
    }
    return list;
}

/* ---- the canonical text and its hash ---- */

static void write_canonical(struct inst_arena *arena, struct inst_buf *buf,
                            const struct inst_value *v) {
    const struct inst_member **members;
    uint32_t count;
    switch (v->tag) {
    case INST_ARRAY:
        for (uint32_t i = 0; i < v->len; i++) {
            inst_buf_add_char(buf, i == 0 ? '[' : ',');
            write_canonical(arena, buf, &v->u.items[i]);
        }
        inst_buf_add_str(buf, v->len == 0 ? "[]" : "]");
        break;
    case INST_OBJECT:
        members = sorted_members(arena, v, &count);
        if (!members) {
            buf->failed = true;
            return;
        }
        inst_buf_add_char(buf, '{');
        for (uint32_t i = 0; i < count; i++) {
            if (i > 0) {
                inst_buf_add_char(buf, ',');
            }
            inst_json_write_string(buf, members[i]->key, members[i]->key_len);
            inst_buf_add_char(buf, ':');
            write_canonical(arena, buf, &members[i]->value);
        }
        inst_buf_add_char(buf, '}');
        break;
    case INST_UNDEFINED:
        inst_buf_add_str(buf, "undefined");
        break;
    default:
        inst_json_write(buf, v);
        break;
    }
}

struct mix {
    uint32_t a, b;
};

static void mix_unit(void *ctx, uint16_t unit) {
    struct mix *m = ctx;
    m->a = (m->a ^ unit) * 2654435761u;
    m->b = (m->b ^ unit) * 1597334677u;
}

static void hash_text(const char *text, size_t len, char out[INST_QUERY_HASH_TEXT + 1]) {
    uint32_t units = (uint32_t)inst_text_utf16_len(text, len);
    struct mix m = {0xdeadbeefu ^ units, 0x41c6ce57u ^ units};
    inst_text_each_unit(text, len, mix_unit, &m);
    m.a = ((m.a ^ m.a >> 16) * 2246822507u) ^ ((m.b ^ m.b >> 13) * 3266489909u);
    m.b = ((m.b ^ m.b >> 16) * 2246822507u) ^ ((m.a ^ m.a >> 13) * 3266489909u);
    snprintf(out, INST_QUERY_HASH_TEXT + 1, "%08x%08x", (unsigned)m.b, (unsigned)m.a);
}

bool inst_query_hash(const struct inst_value *v, char out[INST_QUERY_HASH_TEXT + 1]) {
    struct inst_arena arena;
    struct inst_buf buf;
    bool ok;
    inst_arena_init(&arena);
    inst_buf_init(&buf);
    write_canonical(&arena, &buf, v);
    ok = !buf.failed;
    out[0] = '\0';
    if (ok) {
        hash_text(buf.data, buf.len, out);
    }
    inst_buf_free(&buf);
    inst_arena_free(&arena);
    return ok;
}

/* ---- the legacy hash ---- */

#define FNV_START 0x811c9dc5u
#define FNV_PRIME 16777619
#define GOLDEN 2654435761.0

/* JavaScript's `x >>> 0`. */
static uint32_t to_uint32(double x) {
    double rest;
    if (!isfinite(x)) {
        return 0;
    }
    rest = fmod(trunc(x), 4294967296.0);
    return (uint32_t)(rest < 0 ? rest + 4294967296.0 : rest);
}

/* `h = ((h ^ with) * prime) >>> 0` with the product in doubles, of a signed h: it is rounded. */
static uint32_t step_signed(uint32_t h, uint32_t with) {
    return to_uint32((double)(int32_t)(h ^ with) * FNV_PRIME);
}

static void fnv_unit(void *ctx, uint16_t unit) {
    uint32_t *h = ctx;
    *h = (*h ^ unit) * FNV_PRIME;
}

static uint32_t legacy_text(const char *text, size_t len) {
    uint32_t h = FNV_START;
    inst_text_each_unit(text, len, fnv_unit, &h);
    return h;
}

static bool legacy(struct inst_arena *arena, const struct inst_value *v,
                   char out[INST_QUERY_HASH_TEXT + 1]);

static bool legacy_array(struct inst_arena *arena, const struct inst_value *v, uint32_t *out) {
    char element[INST_QUERY_HASH_TEXT + 1];
    uint32_t h = FNV_START;
    for (uint32_t i = 0; i < v->len; i++) {
        if (!legacy(arena, &v->u.items[i], element)) {
            return false;
        }
        h ^= to_uint32((i + 1.0) * GOLDEN);
        for (const char *c = element; *c; c++) {
            h = step_signed(h, (uint8_t)*c);
        }
    }
    *out = h;
    return true;
}

/* parseInt(hash, 16): `null` is NaN, which counts as 0. */
static uint32_t legacy_number(const char *hash) {
    return *hash == 'n' ? 0 : (uint32_t)strtoul(hash, NULL, 16);
}

static bool legacy_object(struct inst_arena *arena, const struct inst_value *v, uint32_t *out) {
    char value[INST_QUERY_HASH_TEXT + 1];
    uint32_t h = FNV_START, count;
    const struct inst_member **members = sorted_members(arena, v, &count);
    if (!members) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!legacy(arena, &members[i]->value, value)) {
            return false;
        }
        h = step_signed(h, legacy_text(members[i]->key, members[i]->key_len));
        h = step_signed(h, legacy_number(value));
    }
    *out = h;
    return true;
}

static bool legacy(struct inst_arena *arena, const struct inst_value *v,
                   char out[INST_QUERY_HASH_TEXT + 1]) {
    uint32_t h = FNV_START; /* of a date: an object without keys */
    bool ok = true;
    switch (v->tag) {
    case INST_NULL:
    case INST_UNDEFINED:
    case INST_FALSE:
    case INST_TRUE:
        strcpy(out, v->tag == INST_NULL        ? "null"
                    : v->tag == INST_UNDEFINED ? "undefined"
                    : v->tag == INST_TRUE      ? "1"
                                               : "0");
        return true;
    case INST_NUMBER:
        h = to_uint32(fabs(v->u.num * GOLDEN));
        break;
    case INST_STRING:
        h = legacy_text(v->u.str, v->len);
        break;
    case INST_ARRAY:
        ok = legacy_array(arena, v, &h);
        break;
    case INST_OBJECT:
        ok = legacy_object(arena, v, &h);
        break;
    default:
        break;
    }
    snprintf(out, INST_QUERY_HASH_TEXT + 1, "%x", (unsigned)h);
    return ok;
}

bool inst_query_hash_legacy(const struct inst_value *v, char out[INST_QUERY_HASH_TEXT + 1]) {
    struct inst_arena arena;
    bool ok;
    inst_arena_init(&arena);
    ok = legacy(&arena, v, out);
    if (!ok) {
        out[0] = '\0';
    }
    inst_arena_free(&arena);
    return ok;
}
