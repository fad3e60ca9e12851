/*
 * conformance/cel/conformance.jsonl: what CEL itself means; its README says how a line reads.
 *
 * A case that upstream answers otherwise (`upstream`) passes with either answer, and one that
 * upstream does not support passes whatever comes of it, but it must come to an end.
 */
#include "vectors.h"

#include "rules/cel.h"
#include "rules/cel_functions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

vec_handler_fn vec_conformance;

/* ---- types as text: "map(string, list(int))" ---- */

static const struct inst_cel_type *read_type(struct inst_cel_vars *vars, const char **at) {
    static const struct {
        const char *name;
        enum inst_cel_kind kind;
    } names[] = {
        {"null_type", INST_CEL_NULL},    {"bool", INST_CEL_BOOL},
        {"int", INST_CEL_INT},           {"uint", INST_CEL_UINT},
        {"double", INST_CEL_DOUBLE},     {"string", INST_CEL_STRING},
        {"bytes", INST_CEL_BYTES},       {"timestamp", INST_CEL_TIMESTAMP},
        {"duration", INST_CEL_DURATION},
    };
    const struct inst_cel_type *a, *b;
    if (strncmp(*at, "list(", 5) == 0) {
        *at += 5;
        a = read_type(vars, at);
        ++*at;
        return inst_cel_list_of(vars, a);
    }
    if (strncmp(*at, "map(", 4) == 0) {
        *at += 4;
        a = read_type(vars, at);
        *at += 2;
        b = read_type(vars, at);
        ++*at;
        return inst_cel_map_of(vars, a, b);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(*at, names[i].name, strlen(names[i].name)) == 0) {
            *at += strlen(names[i].name);
            return inst_cel_simple(names[i].kind);
        }
    }
    *at += strcspn(*at, ",)");
    return inst_cel_simple(INST_CEL_DYN);
}

/* ---- tagged values ---- */

static const struct inst_value *tagged(const struct inst_value *v, const char *tag) {
    return v->tag == INST_OBJECT && v->len == 1 ? inst_getz(v, tag) : NULL;
}

static struct inst_cel_value read_value(struct vec_case *c, const struct inst_value *v);

static struct inst_cel_value read_bytes(struct vec_case *c, const struct inst_value *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = inst_arena_alloc(c->arena, text->len + 1);
    uint32_t bits = 0, count = 0, len = 0;
    for (uint32_t i = 0; i < text->len && text->u.str[i] != '='; i++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, text->u.str[i]) - digits);
        if ((count += 6) >= 8)
            out[len++] = (char)(bits >> (count -= 8));
    }
    struct inst_cel_value value = inst_cel_text(out, len);
    value.tag = INST_CEL_V_BYTES;
    return value;
}

static struct inst_cel_value read_time(struct vec_case *c, const struct inst_value *text,
                                       inst_cel_fn *fn) {
    struct inst_cel_run run = {.arena = c->arena};
    struct inst_cel_value arg = inst_cel_text(text->u.str, text->len), out = {0};
    if (text->len && *text->u.str == '+') /* a year past 9999 */
        arg = inst_cel_text(text->u.str + 1, text->len - 1);
    if (!fn(&run, &arg, &out))
        vec_fail(c, "cannot read the time %.*s", (int)text->len, text->u.str);
    return out;
}

static enum inst_cel_kind type_kind(const struct inst_value *name) {
    static const struct {
        const char *name;
        enum inst_cel_kind kind;
    } kinds[] = {
        {"null_type", INST_CEL_NULL},
        {"bool", INST_CEL_BOOL},
        {"int", INST_CEL_INT},
        {"uint", INST_CEL_UINT},
        {"double", INST_CEL_DOUBLE},
        {"string", INST_CEL_STRING},
        {"bytes", INST_CEL_BYTES},
        {"list", INST_CEL_LIST},
        {"map", INST_CEL_MAP},
        {"google.protobuf.Timestamp", INST_CEL_TIMESTAMP},
        {"google.protobuf.Duration", INST_CEL_DURATION},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (inst_is_string(name, kinds[i].name))
            return kinds[i].kind;
    return INST_CEL_TYPE;
}

static struct inst_cel_value read_map(struct vec_case *c, const struct inst_value *list) {
    struct inst_cel_entry *entries = inst_arena_alloc(c->arena, (list->len + 1) * sizeof *entries);
    for (uint32_t i = 0; i < list->len; i++) {
        entries[i].key = read_value(c, &list->u.items[i].u.items[0]);
        entries[i].value = read_value(c, &list->u.items[i].u.items[1]);
    }
    return (struct inst_cel_value){.tag = INST_CEL_V_MAP, .len = list->len, .u.entries = entries};
}

static struct inst_cel_value read_value(struct vec_case *c, const struct inst_value *v) {
    const struct inst_value *part;
    if (v->tag == INST_ARRAY) {
        struct inst_cel_value *items = inst_arena_alloc(c->arena, (v->len + 1) * sizeof *items);
        for (uint32_t i = 0; i < v->len; i++)
            items[i] = read_value(c, &v->u.items[i]);
        return (struct inst_cel_value){.tag = INST_CEL_V_LIST, .len = v->len, .u.items = items};
    }
    if (v->tag != INST_OBJECT)
        return inst_cel_of_json(v, false);
    if ((part = tagged(v, "int")))
        return inst_cel_int(strtoll(inst_arena_dup(c->arena, part->u.str, part->len), NULL, 10));
    if ((part = tagged(v, "uint")))
        return inst_cel_uint(strtoull(inst_arena_dup(c->arena, part->u.str, part->len), NULL, 10));
    if ((part = tagged(v, "double")))
        return inst_cel_double(strtod(inst_arena_dup(c->arena, part->u.str, part->len), NULL));
    if ((part = tagged(v, "bytes")))
        return read_bytes(c, part);
    if ((part = tagged(v, "map")))
        return read_map(c, part);
    if ((part = tagged(v, "timestamp")))
        return read_time(c, part, inst_cel_to_timestamp);
    if ((part = tagged(v, "duration")))
        return read_time(c, part, inst_cel_to_duration);
    part = tagged(v, "type");
    return (struct inst_cel_value){.tag = INST_CEL_V_TYPE, .u.type = type_kind(part)};
}

/* Exactly: types count, zero's sign too, lists in order. */
static bool is_same(const struct inst_cel_value *a, const struct inst_cel_value *b) {
    if (inst_cel_kind_of(a) != inst_cel_kind_of(b) || inst_cel_count(a) != inst_cel_count(b))
        return false;
    if (a->tag == INST_CEL_V_DOUBLE)
        return (isnan(a->u.d) && isnan(b->u.d)) ||
               (a->u.d == b->u.d && !signbit(a->u.d) == !signbit(b->u.d));
    if (inst_cel_is_list(a)) {
        for (uint32_t i = 0; i < inst_cel_count(a); i++) {
            struct inst_cel_value x = inst_cel_element(a, i), y = inst_cel_element(b, i);
            if (!is_same(&x, &y))
                return false;
        }
        return true;
    }
    size_t left = SIZE_MAX;
    return inst_cel_equal(a, b, &left);
}

/* ---- a case ---- */

enum outcome { COMPILE_ERROR, RUN_ERROR, VALUE };

struct result {
    enum outcome outcome;
    struct inst_cel_value value;
    const char *text; /* of the error */
    const char *code;
    const char *type;
};

#define MAX_VARS 8

/* Declares and binds the case's variables. */
static size_t declare(struct vec_case *c, struct inst_cel_vars *vars, struct inst_cel_decl *decls,
                      struct inst_cel_value *values) {
    const struct inst_value *types = vec_get(c, "vars"), *bindings = vec_get(c, "bindings");
    size_t count = 0;
    for (; types->tag == INST_OBJECT && count < types->len && count < MAX_VARS; count++) {
        const struct inst_member *member = &types->u.members[count];
        const char *type = inst_arena_dup(c->arena, member->value.u.str, member->value.len);
        decls[count].name = inst_arena_dup(c->arena, member->key, member->key_len);
        decls[count].type = read_type(vars, &type);
        const struct inst_value *value =
            bindings->tag == INST_OBJECT ? inst_get(bindings, member->key, member->key_len) : NULL;
        values[count] =
            value ? read_value(c, value) : (struct inst_cel_value){.tag = INST_CEL_V_UNBOUND};
    }
    return count;
}

static struct result evaluate(struct vec_case *c) {
    const struct inst_value *expr = vec_get(c, "expr");
    struct inst_cel_issues issues;
    struct inst_cel_vars vars = {.arena = c->arena};
    struct inst_cel_decl decls[MAX_VARS];
    struct inst_cel_value values[MAX_VARS];
    struct inst_cel_request request = {0};
    struct result result = {.outcome = COMPILE_ERROR};
    inst_cel_issues_init(&issues, c->arena);
    size_t count = declare(c, &vars, decls, values);
    struct inst_cel_node *root = inst_cel_parse(c->arena, expr->u.str, expr->len, &issues);
    if (!root || issues.first || !inst_cel_check(root, decls, count, &vars, &issues)) {
        result.text = issues.first ? issues.first->message : "out of memory";
        return result;
    }
    struct inst_buf type;
    inst_buf_init(&type);
    inst_cel_type_text(&vars, root->type, &type);
    result.type = inst_arena_dup(c->arena, type.data, type.len);
    inst_buf_free(&type);
    result.outcome = VALUE;
    if (inst_get_true(c->line, "check_only"))
        return result;
    struct inst_cel_run run = {.arena = c->arena, .values = values, .request = &request};
    if (!inst_cel_evaluate(&run, root, &result.value)) {
        result.outcome = RUN_ERROR;
        result.text = run.error.text;
        result.code = inst_cel_code_name(run.error.code);
    }
    return result;
}

/* Is it what `expected` (or `gives`) says? */
static bool meets(struct vec_case *c, const struct result *result,
                  const struct inst_value *expected) {
    const struct inst_value *value = inst_getz(expected, "value");
    const struct inst_value *code = inst_getz(expected, "code");
    const struct inst_value *type = inst_get_string(expected, "type");
    if (type && (result->outcome != VALUE || !inst_is_string(type, result->type)))
        return false;
    if (value) {
        struct inst_cel_value wanted = read_value(c, value);
        return result->outcome == VALUE && is_same(&wanted, &result->value);
    }
    if (type)
        return true;
    if (inst_getz(expected, "compile"))
        return result->outcome == COMPILE_ERROR;
    return result->outcome != VALUE &&
           (!code || (result->code && inst_is_string(code, result->code)));
}

/* The first compile error is the same to the letter. */
static bool is_same_message(const struct result *result, const struct inst_value *gives) {
    const struct inst_value *list = inst_getz(gives, "compile");
    if (!list || !list->len)
        return true;
    const struct inst_value *first = &list->u.items[0];
    const char *text = memmem(first->u.str, first->len, ": ", 2);
    size_t skip = text ? (size_t)(text + 2 - first->u.str) : 0;
    return strlen(result->text) == first->len - skip &&
           memcmp(result->text, first->u.str + skip, first->len - skip) == 0;
}

void vec_conformance(struct vec_case *c) {
    const struct inst_value *upstream = vec_get(c, "upstream"), *gives = vec_get(c, "gives");
    const struct inst_value *expected = vec_get(c, "expected");
    struct result result = evaluate(c);
    if (inst_is_string(upstream, "unsupported"))
        return;
    bool is_met = meets(c, &result, expected);
    if (is_met && gives->tag == INST_OBJECT && upstream->tag == INST_UNDEFINED)
        is_met = meets(c, &result, gives) &&
                 (result.outcome != COMPILE_ERROR || is_same_message(&result, gives));
    else if (!is_met && gives->tag == INST_OBJECT)
        is_met = meets(c, &result, gives);
    if (is_met)
        return;
    struct inst_buf shown;
    inst_buf_init(&shown);
    if (result.outcome == VALUE)
        inst_cel_show(&result.value, &shown);
    else
        inst_buf_addf(&shown, "%s: %s", result.code ? result.code : "compile", result.text);
    const struct inst_value *expr = vec_get(c, "expr");
    vec_fail(c, "%.*s gives %s", (int)expr->len, expr->u.str, shown.data ? shown.data : "");
    inst_buf_free(&shown);
}
