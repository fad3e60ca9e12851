/*
 * The client's compiler of conditions: instaql.md 2.1, 2.2 and 3.3, quirks included.
 */
#include "instaql/pattern.h"

#include "base/text.h"
#include "instaql/compare.h"
#include "instaql/compile.h"
#include "instaql/limits.h"

#include <stdio.h>

static bool has(const struct inst_value *v, const char *key) { return inst_getz(v, key) != NULL; }

/*
 * Operators.
 */

static const struct inst_operator *keep(struct inst_compiler *c, const struct inst_operator *op) {
    struct inst_operator *copy = inst_arena_alloc(c->in->arena, sizeof(*copy));
    if (!copy) {
        inst_compile_nomem(c);
        return NULL;
    }
    *copy = *op;
    return copy;
}

static bool set_operator(struct inst_compiler *c, struct inst_term *term,
                         const struct inst_operator *op) {
    *term = (struct inst_term){.kind = INST_TERM_OPERATOR, .op = keep(c, op)};
    return term->op != NULL;
}

/* `for (const x of text)`: its characters as strings (Q15). */
static bool split_text(struct inst_compiler *c, const struct inst_value *text,
                       const struct inst_value **items, uint32_t *count) {
    struct inst_value *list = inst_arena_alloc(c->in->arena, text->len * sizeof(*list));
    if (!list) {
        return inst_compile_nomem(c);
    }
    *count = 0;
    for (size_t pos = 0; pos < text->len;) {
        size_t from = pos;
        inst_text_next(text->u.str, text->len, &pos);
        list[(*count)++] = inst_string(text->u.str + from, pos - from);
    }
    *items = list;
    return true;
}

/* `v.in || v.$in || [v]`: the last matches nothing, an object is no key of a map of values. */
static bool compile_in(struct inst_compiler *c, const struct inst_value *v,
                       struct inst_term *term) {
    struct inst_operator op = {.kind = INST_OP_IN};
    const struct inst_value *list = inst_getz(v, "in");
    if (!list || !inst_value_truthy(list)) {
        list = inst_getz(v, "$in");
    }
    if (!list || !inst_value_truthy(list)) {
        term->kind = INST_TERM_NEVER;
        return true;
    }
    const struct inst_value *items = list->u.items;
    uint32_t count = list->len;
    if (list->tag == INST_STRING) {
        if (!split_text(c, list, &items, &count)) {
            return false;
        }
    } else if (list->tag != INST_ARRAY) {
        op.kind = INST_OP_THROWS;
        op.message = "values is not iterable";
        return set_operator(c, term, &op);
    }
    if (!inst_operator_set_items(&op, c->in->arena, items, count)) {
        return inst_compile_nomem(c);
    }
    return set_operator(c, term, &op);
}

static bool compile_like(struct inst_compiler *c, const struct inst_value *pattern,
                         bool ignore_case, struct inst_term *term) {
    if (pattern->tag != INST_STRING) {
        term->kind = INST_TERM_NEVER;
        return true;
    }
    if (inst_text_utf16_len(pattern->u.str, pattern->len) > INST_INSTAQL_MAX_LIKE) {
        return inst_compile_limit(c, "characters in a like pattern", INST_INSTAQL_MAX_LIKE);
    }
    struct inst_operator op = {.kind = INST_OP_LIKE};
    op.like = inst_like_new(c->in->arena, pattern->u.str, pattern->len,
                            (struct inst_like_rules){.ignore_case = ignore_case});
    return op.like ? set_operator(c, term, &op) : inst_compile_nomem(c);
}

/* `new Date(x)` as a number. */
static struct inst_value date_operand(const struct inst_value *v) {
    struct inst_buf scratch;
    inst_buf_init(&scratch);
    double ms = inst_js_date(v, &scratch);
    inst_buf_free(&scratch);
    return inst_number(ms);
}

/* The first of the comparators that is there, in the client's order of preference. */
static bool compile_comparator(struct inst_compiler *c, const struct inst_attr *attr,
                               const struct inst_value *v, struct inst_term *term) {
    static const struct {
        const char *key;
        enum inst_operator_kind kind;
    } keys[] = {
        {"$gt", INST_OP_GT}, {"$gte", INST_OP_GTE}, {"$lt", INST_OP_LT}, {"$lte", INST_OP_LTE}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct inst_value *operand = inst_getz(v, keys[i].key);
        if (operand) {
            struct inst_operator op = {.kind = keys[i].kind, .operand = *operand};
            if (attr->checked_type == INST_CHECKED_DATE) {
                op.is_date = true;
                op.operand = date_operand(operand);
            }
            return set_operator(c, term, &op);
        }
    }
    const struct inst_value *pattern = inst_getz(v, "$like");
    bool ignore_case = !pattern;
    pattern = pattern ? pattern : inst_getz(v, "$ilike");
    if (pattern) {
        return compile_like(c, pattern, ignore_case, term);
    }
    const struct inst_value *other = inst_getz(v, "$not");
    if (other) {
        struct inst_operator op = {.kind = INST_OP_NOT, .operand = *other};
        return set_operator(c, term, &op);
    }
    term->kind = INST_TERM_NEVER;
    return true;
}

static bool compile_scalar(struct inst_compiler *c, const struct inst_value *v,
                           struct inst_term *term) {
    if (v->tag == INST_STRING && v->len && v->u.str[0] == '?') {
        bool is_new;
        *term = inst_term_slot(inst_compile_slot(c, v->u.str, v->len, &is_new));
        c->spec->is_free = true;
        return inst_compile_is_ok(c);
    }
    if (v->tag == INST_UNDEFINED) {
        term->kind = INST_TERM_NEVER;
        return true;
    }
    *term = inst_term_value(v);
    return true;
}

/* What the value of a forward attr must be. */
static bool compile_value(struct inst_compiler *c, const struct inst_attr *attr,
                          const struct inst_value *v, struct inst_term *term) {
    switch (v->tag) {
    case INST_NULL:
        return inst_compile_throw(c, "TypeError",
                                  "Cannot read properties of null (reading 'hasOwnProperty')");
    case INST_ARRAY:
    case INST_DATE:
        term->kind = INST_TERM_NEVER;
        return true;
    case INST_OBJECT:
        if (has(v, "$in") || has(v, "in")) {
            const struct inst_value *other = inst_getz(v, "$not");
            if (other) {
                struct inst_operator op = {.kind = INST_OP_NOT, .operand = *other};
                return set_operator(c, term, &op);
            }
            return compile_in(c, v, term);
        }
        return compile_comparator(c, attr, v, term);
    default:
        return compile_scalar(c, v, term);
    }
}

/*
 * Paths.
 */

struct path {
    const char *text;
    size_t len;
};

static bool compile_is_null(struct inst_compiler *c, struct inst_step_list *list,
                            const struct inst_suffix *suffix, const struct inst_attr *attr,
                            bool is_reverse, const struct inst_value *etype, uint32_t level,
                            const struct inst_value *flag) {
    const struct inst_attr *id =
        inst_attrs_forward(c->in->attrs, etype->u.str, etype->len, "id", 2);
    if (!id) {
        return inst_compile_not_found(c);
    }
    struct inst_operator op = {.kind = INST_OP_IS_NULL,
                               .null_attr = attr,
                               .is_reverse = is_reverse,
                               .wants_null = inst_value_truthy(flag)};
    uint32_t slot = inst_compile_var(c, etype->u.str, etype->len, level, suffix);
    struct inst_step *step = inst_compile_add(list);
    if (!step || !inst_compile_is_ok(c)) {
        return false;
    }
    step->attr = id;
    step->e = inst_term_slot(slot);
    return set_operator(c, &step->v, &op);
}

/* The value pattern at the end of a path. */
static bool compile_last(struct inst_compiler *c, struct inst_step_list *list,
                         const struct inst_suffix *suffix, const struct inst_value *etype,
                         uint32_t level, const char *label, size_t len,
                         const struct inst_value *v) {
    bool is_forward;
    const struct inst_attr *attr = inst_link_of(c->in->attrs, etype, label, len, &is_forward);
    if (!attr) {
        return inst_compile_not_found(c);
    }
    const struct inst_value *flag = inst_getz(v, "$isNull");
    if (flag) {
        return compile_is_null(c, list, suffix, attr, !is_forward, etype, level, flag);
    }
    struct inst_term value = {.kind = INST_TERM_NEVER};
    if (is_forward) {
        if (!compile_value(c, attr, v, &value)) {
            return false;
        }
    } else if (v->tag == INST_STRING && !compile_scalar(c, v, &value)) {
        return false; /* a reverse link's value stands in the entity's place: only ids fit */
    }
    uint32_t slot = inst_compile_var(c, etype->u.str, etype->len, level, suffix);
    struct inst_step *step = inst_compile_add(list);
    if (!step || !inst_compile_is_ok(c)) {
        return false;
    }
    step->attr = attr;
    step->e = is_forward ? inst_term_slot(slot) : value;
    step->v = is_forward ? value : inst_term_slot(slot);
    return true;
}

static bool compile_path(struct inst_compiler *c, struct inst_step_list *list,
                         const struct inst_suffix *suffix, struct path path,
                         const struct inst_value *v) {
    struct inst_value etype = *c->in->etype;
    uint32_t level = c->in->level;
    size_t pos = 0;
    const char *label = NULL;
    size_t len = 0;
    while (inst_path_next(path.text, path.len, &pos, &label, &len)) {
        if (pos > path.len) {
            return compile_last(c, list, suffix, &etype, level, label, len, v);
        }
        if (!inst_compile_link(c, list, suffix, &etype, &level, label, len)) {
            return false;
        }
    }
    return false;
}

/* One branch for each step of the path at which it may end in nothing. */
static bool add_null_branches(struct inst_compiler *c, const struct inst_suffix *suffix,
                              struct path path, struct inst_steps *branches, uint32_t *count) {
    struct inst_member member = {"$isNull", 7, inst_bool(true)};
    struct inst_value is_null = inst_object(&member, 1);
    for (size_t end = 0; end <= path.len; end++) {
        if (end < path.len && path.text[end] != '.') {
            continue;
        }
        struct inst_step_list list = inst_compile_list(c);
        if (!compile_path(c, &list, suffix, (struct path){path.text, end}, &is_null)) {
            return false;
        }
        branches[(*count)++] = inst_compile_end(&list);
    }
    return true;
}

/* `$not` (cond given) also holds where the path ends in nothing, as `$isNull: true` does. */
static bool compile_or_null(struct inst_compiler *c, struct inst_step_list *list,
                            const struct inst_suffix *suffix, struct path path,
                            const struct inst_value *cond) {
    size_t labels = 1;
    for (size_t i = 0; i < path.len; i++) {
        labels += path.text[i] == '.';
    }
    if (labels > INST_INSTAQL_MAX_DEPTH) {
        return inst_compile_limit(c, "links in a path", INST_INSTAQL_MAX_DEPTH);
    }
    struct inst_steps *branches = inst_arena_alloc(c->in->arena, (labels + 1) * sizeof(*branches));
    uint32_t count = 0;
    if (!branches) {
        return inst_compile_nomem(c);
    }
    if (cond) {
        struct inst_step_list branch = inst_compile_list(c);
        if (!compile_path(c, &branch, suffix, path, cond)) {
            return false;
        }
        branches[count++] = inst_compile_end(&branch);
    }
    if (!add_null_branches(c, suffix, path, branches, &count)) {
        return false;
    }
    struct inst_step *step = inst_compile_add(list);
    if (!step) {
        return false;
    }
    step->branches = branches;
    step->branch_count = count;
    return true;
}

/* `{...v, $not: v.$ne}` without `$ne`. */
static bool rename_ne(struct inst_compiler *c, const struct inst_value *v, struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, c->in->arena);
    for (uint32_t i = 0; i < v->len; i++) {
        const struct inst_member *m = &v->u.members[i];
        if (!(m->key_len == 3 && memcmp(m->key, "$ne", 3) == 0)) {
            inst_object_add(&b, m->key, m->key_len, m->value);
        }
    }
    inst_object_addz(&b, "$not", *inst_getz(v, "$ne"));
    return inst_object_end(&b, out) ? true : inst_compile_nomem(c);
}

/*
 * Lists of conditions.
 */

static bool compile_where(struct inst_compiler *c, struct inst_step_list *list,
                          const struct inst_suffix *suffix, const struct inst_value *where);

static bool compile_branches(struct inst_compiler *c, struct inst_step_list *list,
                             const struct inst_suffix *suffix, bool is_or,
                             const struct inst_value *elements) {
    struct inst_steps *branches = NULL;
    if (c->depth >= INST_INSTAQL_MAX_WHERE_DEPTH) {
        return inst_compile_limit(c, "nested and/or lists", INST_INSTAQL_MAX_WHERE_DEPTH);
    }
    if (is_or) {
        branches = inst_arena_alloc(c->in->arena, elements->len * sizeof(*branches));
        if (!branches) {
            return inst_compile_nomem(c);
        }
    }
    c->depth++;
    for (uint32_t i = 0; i < elements->len; i++) {
        struct inst_suffix own = {suffix, i};
        struct inst_step_list branch = inst_compile_list(c);
        if (!compile_where(c, is_or ? &branch : list, &own, &elements->u.items[i])) {
            return false;
        }
        if (is_or) {
            branches[i] = inst_compile_end(&branch);
        }
    }
    c->depth--;
    if (is_or) {
        struct inst_step *step = inst_compile_add(list);
        if (!step) {
            return false;
        }
        step->branches = branches;
        step->branch_count = elements->len;
    }
    return true;
}

static bool is_key(const char *key, size_t len, const char *text) {
    return strlen(text) == len && memcmp(key, text, len) == 0;
}

static bool compile_entry(struct inst_compiler *c, struct inst_step_list *list,
                          const struct inst_suffix *suffix, const char *key, size_t len,
                          const struct inst_value *v) {
    bool is_or = is_key(key, len, "or");
    if (v->tag == INST_ARRAY && (is_or || is_key(key, len, "and"))) {
        return compile_branches(c, list, suffix, is_or, v);
    }
    if (is_key(key, len, "$entityIdStartsWith")) {
        return true;
    }
    struct path path = {key, len};
    struct inst_value renamed;
    if (has(v, "$ne")) {
        if (!rename_ne(c, v, &renamed)) {
            return false;
        }
        v = &renamed;
    }
    if (has(v, "$not")) {
        return compile_or_null(c, list, suffix, path, v);
    }
    if (inst_get_true(v, "$isNull") && memchr(key, '.', len)) {
        return compile_or_null(c, list, suffix, path, NULL);
    }
    return compile_path(c, list, suffix, path, v);
}

/* Object.entries: of an object, an array or a text; nothing of other scalars. */
static bool compile_where(struct inst_compiler *c, struct inst_step_list *list,
                          const struct inst_suffix *suffix, const struct inst_value *where) {
    if (inst_is_nullish(where)) {
        return inst_compile_throw(c, "TypeError", "Cannot convert undefined or null to object");
    }
    if (where->tag == INST_OBJECT) {
        for (uint32_t i = 0; i < where->len; i++) {
            const struct inst_member *m = &where->u.members[i];
            if (!compile_entry(c, list, suffix, m->key, m->key_len, &m->value)) {
                return false;
            }
        }
        return true;
    }
    if (where->tag != INST_ARRAY && where->tag != INST_STRING) {
        return true;
    }
    /* The keys are indexes: usually the first is the name of no attr, which ends it (Q16). */
    size_t pos = 0;
    for (uint32_t i = 0; where->tag == INST_ARRAY ? i < where->len : pos < where->len; i++) {
        char key[16];
        struct inst_value v;
        if (where->tag == INST_ARRAY) {
            v = where->u.items[i];
        } else {
            size_t from = pos;
            inst_text_next(where->u.str, where->len, &pos);
            v = inst_string(where->u.str + from, pos - from);
        }
        int len = snprintf(key, sizeof(key), "%u", i);
        if (!compile_entry(c, list, suffix, key, (size_t)len, &v)) {
            return false;
        }
    }
    return true;
}

/* The last pattern of every form: only what has an id triple is an entity. */
static bool compile_id(struct inst_compiler *c, struct inst_step_list *list) {
    const struct inst_value *etype = c->in->etype;
    const struct inst_attr *id = inst_attrs_id_attr(c->in->attrs, etype->u.str, etype->len);
    if (!id) {
        return inst_compile_not_found(c);
    }
    bool is_new;
    inst_buf_clear(&c->name);
    inst_buf_add_str(&c->name, "?time-");
    inst_buf_add_int(&c->name, c->in->level);
    if (c->name.failed) {
        return inst_compile_nomem(c);
    }
    uint32_t time = inst_compile_slot(c, c->name.data, c->name.len, &is_new);
    struct inst_step *step = inst_compile_add(list);
    if (!step || !inst_compile_is_ok(c)) {
        return false;
    }
    step->attr = id;
    step->e = inst_term_slot(c->spec->root);
    step->v = inst_term_slot(c->spec->root);
    step->time_slot = (int32_t)time;
    c->spec->time = (int32_t)time;
    c->spec->is_free = c->spec->is_free || !is_new;
    return true;
}

enum inst_status inst_pattern_compile(const struct inst_compile *in, struct inst_spec *spec,
                                      enum inst_spec_state *state, struct inst_spec_error *thrown,
                                      struct inst_err *err) {
    struct inst_compiler c;
    struct inst_step_list list = inst_compile_list(&c);
    bool has_where = in->where && inst_value_truthy(in->where);
    if (inst_compile_begin(&c, in, spec, err) && (!in->link || inst_compile_join(&c, &list)) &&
        (!has_where || compile_where(&c, &list, NULL, in->where))) {
        compile_id(&c, &list);
    }
    spec->is_distinct = !has_where;
    return inst_compile_finish(&c, &list, state, thrown);
}
