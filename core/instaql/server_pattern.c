/*
 * The server's compiler of conditions (instaql.md 2.1 server column, 2.2, 4.2) and of paging (4.3).
 */
#include "base/date.h"
#include "base/json.h"
#include "base/text.h"
#include "base/uuid.h"
#include "instaql/compile.h"
#include "instaql/limits.h"
#include "instaql/query.h"
#include "instaql/server_validation.h"

#include <math.h>
#include <stdio.h>

struct compiler {
    struct inst_compiler c;
    const struct inst_query *query;
    struct inst_value path[INST_INSTAQL_MAX_DEPTH + 8]; /* of the form, room for what follows */
    uint32_t path_len;
};

/*
 * Refusals: sentences about an attr and a value.
 */

static const char *type_name(const struct inst_value *v) {
    switch (v->tag) {
    case INST_STRING:
        return "string";
    case INST_NUMBER:
        return "number";
    case INST_TRUE:
    case INST_FALSE:
        return "boolean";
    case INST_ARRAY:
        return "array";
    case INST_OBJECT:
        return "object";
    default:
        return "null";
    }
}

static const char *checked_name(enum inst_checked_type type) {
    static const char *const names[] = {"any", "string", "number", "boolean", "date"};
    return names[type];
}

static bool refuse(struct compiler *s, const char *key, const char *expected,
                   const struct inst_value *more, uint32_t more_count, struct inst_buf *text) {
    memcpy(s->path + s->path_len, more, more_count * sizeof(*more));
    s->c.status = text->failed ? inst_err_nomem(s->c.err)
                               : inst_refuse(s->query, key, expected, s->path,
                                             s->path_len + more_count, text->data, s->c.err);
    inst_buf_free(text);
    return false;
}

/* More of the path to a condition: "$", "where", label, and an operator. */
struct place {
    struct inst_value items[4];
    uint32_t count;
};

static struct place condition_place(const char *label, size_t len, const struct inst_value *op) {
    struct place place = {.items = {inst_cstring("$"), inst_cstring("where"),
                                    inst_string(label, len), inst_undefined()},
                          .count = 3};
    if (op) {
        place.items[place.count++] = *op;
    }
    return place;
}

/* "The `et.x` attribute ...": the name, in backquotes. */
static void add_name(struct inst_buf *text, const struct inst_attr *attr) {
    inst_buf_addf(text, "`%.*s.%.*s`", (int)attr->forward.etype.len, attr->forward.etype.u.str,
                  (int)attr->forward.label.len, attr->forward.label.u.str);
}

static bool refuse_attr(struct compiler *s, const struct inst_attr *attr, const char *expected,
                        const struct place *place, const char *rest) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_add_str(&text, "The ");
    add_name(&text, attr);
    inst_buf_add_str(&text, rest);
    return refuse(s, "expected?", expected, place->items, place->count, &text);
}

static bool refuse_type(struct compiler *s, const struct inst_attr *attr, const char *expected,
                        const struct place *place, const char *before_value,
                        const struct inst_value *v) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_add_str(&text, "The data type of ");
    add_name(&text, attr);
    inst_buf_addf(&text, " is `%s`, but the query got %s `", checked_name(attr->checked_type),
                  before_value);
    inst_json_write(&text, v);
    inst_buf_addf(&text, "` of type `%s`.", type_name(v));
    return refuse(s, "expected?", expected, place->items, place->count, &text);
}

/*
 * Values by the attr's type.
 */

static bool is_special_date(const struct inst_value *v) {
    return inst_is_string(v, "tomorrow") || inst_is_string(v, "now") ||
           inst_is_string(v, "yesterday") || inst_is_string(v, "today");
}

static bool read_date(struct compiler *s, const struct inst_attr *attr, const struct place *place,
                      const struct inst_value *v, struct inst_value *out) {
    bool is_text = v->tag == INST_STRING;
    if (!is_text && v->tag != INST_NUMBER) {
        return refuse_type(s, attr, "date?", place, "the value", v);
    }
    if (is_special_date(v) || inst_date_coerce(v, out, NULL) != INST_OK || isnan(out->u.num)) {
        return refuse_type(s, attr, is_text ? "date-string?" : "timestamp?", place, "value", v);
    }
    return true;
}

/* A value of the attr's checked type; dates become instants. */
static bool read_typed(struct compiler *s, const struct inst_attr *attr, const struct place *place,
                       const struct inst_value *v, struct inst_value *out) {
    bool is_bool = v->tag == INST_TRUE || v->tag == INST_FALSE;
    *out = *v;
    switch (attr->checked_type) {
    case INST_CHECKED_STRING:
        return v->tag == INST_STRING || refuse_type(s, attr, "string?", place, "the value", v);
    case INST_CHECKED_NUMBER:
        return v->tag == INST_NUMBER || refuse_type(s, attr, "number?", place, "the value", v);
    case INST_CHECKED_BOOLEAN:
        return is_bool || refuse_type(s, attr, "boolean?", place, "the value", v);
    case INST_CHECKED_DATE:
        return read_date(s, attr, place, v, out);
    default:
        return true;
    }
}

static bool has_index(const struct inst_attr *attr) {
    return attr->is_indexed && !attr->is_indexing;
}

/* Equality with a value: by type when the attr is typed and indexed, else as stored. */
static bool read_value(struct compiler *s, const struct inst_attr *attr, const struct place *place,
                       const struct inst_value *v, struct inst_value *out) {
    *out = *v;
    if (attr->checked_type == INST_CHECKED_NONE || attr->is_checking_type || v->tag == INST_NULL) {
        return true;
    }
    if (!read_typed(s, attr, place, v, out)) {
        return false;
    }
    if (!attr->is_indexed) {
        *out = *v;
    }
    return true;
}

/*
 * Conditions.
 */

static bool set_operator(struct compiler *s, struct inst_term *term,
                         const struct inst_operator *op) {
    struct inst_operator *copy = inst_arena_alloc(s->c.in->arena, sizeof(*copy));
    if (!copy) {
        return inst_compile_nomem(&s->c);
    }
    *copy = *op;
    copy->is_server = true;
    *term = (struct inst_term){.kind = INST_TERM_OPERATOR, .op = copy};
    return true;
}

static bool is_uuid(const struct inst_value *v) {
    struct inst_uuid id;
    return v->tag == INST_STRING && inst_uuid_parse(v->u.str, v->len, &id);
}

/* The condition of a link is about ids. v: a scalar, an object of one operator, or a `$in` list. */
static bool refuse_uuid(struct compiler *s, const struct place *place, const struct inst_value *v,
                        const struct inst_value *list) {
    struct inst_buf text;
    const struct inst_value *label = &place->items[2];
    inst_buf_init(&text);
    inst_buf_addf(&text,
                  list ? "Expected %.*s to match on a uuid, found "
                       : "Expected %.*s to be a uuid, got ",
                  (int)label->len, label->u.str);
    inst_json_write(&text, v);
    if (list) {
        inst_buf_add_str(&text, " in ");
        inst_json_write(&text, list);
    }
    return refuse(s, "expected", "uuid?", place->items, place->count, &text);
}

/* Ids are compared as the store has them: in lower case. */
static bool read_uuid(struct compiler *s, const struct inst_value *v, struct inst_value *out) {
    struct inst_uuid id;
    char *text = inst_arena_alloc(s->c.in->arena, INST_UUID_TEXT + 1);
    if (!text) {
        return inst_compile_nomem(&s->c);
    }
    inst_uuid_parse(v->u.str, v->len, &id);
    inst_uuid_print(&id, text);
    *out = inst_string(text, INST_UUID_TEXT);
    return true;
}

/* The list of `$in`, each item read as its attr reads values. */
static bool read_list(struct compiler *s, const struct inst_attr *attr, const struct place *place,
                      const struct inst_value *list, struct inst_term *term) {
    struct inst_operator op = {.kind = INST_OP_IN, .is_server = true};
    struct inst_value *items = inst_arena_alloc(s->c.in->arena, list->len * sizeof(*items));
    if (!items) {
        return inst_compile_nomem(&s->c);
    }
    for (uint32_t i = 0; i < list->len; i++) {
        const struct inst_value *v = &list->u.items[i];
        if (attr->is_ref && !is_uuid(v)) {
            return refuse_uuid(s, place, v, list);
        }
        if (!(attr->is_ref ? read_uuid(s, v, &items[i])
                           : read_value(s, attr, place, v, &items[i]))) {
            return false;
        }
        op.is_date = op.is_date || items[i].tag == INST_DATE;
        if (v->tag == INST_NULL && !has_index(attr)) {
            struct inst_buf text;
            struct inst_value more[] = {inst_cstring("$"), inst_cstring("where"),
                                        inst_cstring("$in"), *list};
            inst_buf_init(&text);
            inst_buf_addf(&text,
                          "Only indexed attrs can check for `nil` in `$in`. %.*s.%.*s is not "
                          "indexed.",
                          (int)attr->forward.etype.len, attr->forward.etype.u.str,
                          (int)attr->forward.label.len, attr->forward.label.u.str);
            return refuse(s, "expected?", "indexed?", more, 4, &text);
        }
    }
    if (!inst_operator_set_items(&op, s->c.in->arena, items, list->len)) {
        return inst_compile_nomem(&s->c);
    }
    return set_operator(s, term, &op);
}

static bool is_name(const struct inst_member *m, const char *name) {
    return m->key_len == strlen(name) && memcmp(m->key, name, m->key_len) == 0;
}

/* What an attr must have before it can be compared. */
static bool check_comparable(struct compiler *s, const struct inst_attr *attr,
                             const struct place *place) {
    if (attr->is_checking_type) {
        return refuse_attr(s, attr, "checked-data-type?", place,
                           " attribute is still in the process of checking its data type. It must "
                           "finish before using comparison operators.");
    }
    if (attr->is_indexing) {
        return refuse_attr(s, attr, "indexed?", place,
                           " attribute is still in the process of indexing. It must finish before "
                           "using comparison operators.");
    }
    if (!attr->is_indexed) {
        return refuse_attr(s, attr, "indexed?", place,
                           " attribute must be indexed to use comparison operators.");
    }
    if (attr->checked_type == INST_CHECKED_NONE) {
        return refuse_attr(s, attr, "checked-data-type?", place,
                           " attribute must have an enforced type to use comparison operators.");
    }
    return true;
}

/* All matches lie between the pattern's literal start and the next text after all that begin so. */
static bool set_prefix(struct compiler *s, struct inst_operator *op) {
    const char *prefix;
    size_t len = inst_like_prefix(op->like, &prefix);
    if (len == 0 || (unsigned char)prefix[len - 1] == 0xFF) {
        return true;
    }
    char *end = inst_arena_dup(s->c.in->arena, prefix, len);
    if (!end) {
        return false;
    }
    end[len - 1]++;
    op->prefix = inst_string(prefix, len);
    op->prefix_end = inst_string(end, len);
    return true;
}

static bool compile_like(struct compiler *s, const struct inst_attr *attr,
                         const struct place *place, const struct inst_member *m,
                         struct inst_term *term) {
    const struct inst_value *v = &m->value;
    struct inst_operator op = {.kind = INST_OP_LIKE};
    if (v->tag != INST_STRING) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_buf_add_str(&text, "The $like value for ");
        add_name(&text, attr);
        inst_buf_add_str(&text, " must be a string, but the query got the value `");
        inst_json_write(&text, v);
        inst_buf_addf(&text, "` of type `%s`.", type_name(v));
        return refuse(s, "expected?", "string?", place->items, place->count, &text);
    }
    struct inst_value ignored;
    if (!read_typed(s, attr, place, v, &ignored)) {
        return false;
    }
    if (inst_text_utf16_len(v->u.str, v->len) > INST_INSTAQL_MAX_LIKE) {
        return inst_compile_limit(&s->c, "characters in a like pattern", INST_INSTAQL_MAX_LIKE);
    }
    op.like = inst_like_new(s->c.in->arena, v->u.str, v->len,
                            (struct inst_like_rules){.ignore_case = is_name(m, "$ilike"),
                                                     .has_escape = true,
                                                     .by_code_point = true});
    return op.like && set_prefix(s, &op) ? set_operator(s, term, &op) : inst_compile_nomem(&s->c);
}

static bool compile_comparator(struct compiler *s, const struct inst_attr *attr,
                               const struct place *place, const struct inst_member *m,
                               struct inst_term *term) {
    struct place inner = *place;
    struct inst_operator op = {.is_date = attr->checked_type == INST_CHECKED_DATE};
    if (!check_comparable(s, attr, place)) {
        return false;
    }
    inner.items[inner.count++] = inst_string(m->key, m->key_len);
    if (is_name(m, "$like") || is_name(m, "$ilike")) {
        return compile_like(s, attr, &inner, m, term);
    }
    op.kind = is_name(m, "$gt")    ? INST_OP_GT
              : is_name(m, "$gte") ? INST_OP_GTE
              : is_name(m, "$lt")  ? INST_OP_LT
                                   : INST_OP_LTE;
    return read_typed(s, attr, &inner, &m->value, &op.operand) && set_operator(s, term, &op);
}

static bool compile_not(struct compiler *s, const struct inst_attr *attr, const struct place *place,
                        const struct inst_value *v, struct inst_term *term) {
    struct inst_operator op = {.kind = INST_OP_NOT};
    if (!(attr->is_ref ? read_uuid(s, v, &op.operand)
                       : read_value(s, attr, place, v, &op.operand))) {
        return false;
    }
    op.is_date = op.operand.tag == INST_DATE;
    return set_operator(s, term, &op);
}

/* What the value must be: a scalar, or an object whose first key counts (D1). */
static bool compile_value(struct compiler *s, const struct inst_attr *attr,
                          const struct place *place, const struct inst_value *v,
                          struct inst_term *term) {
    const struct inst_member *m = v->tag == INST_OBJECT ? &v->u.members[0] : NULL;
    if (m && (is_name(m, "$in") || is_name(m, "in"))) {
        return read_list(s, attr, place, &m->value, term);
    }
    bool is_not = m && (is_name(m, "$not") || is_name(m, "$ne"));
    const struct inst_value *operand = is_not ? &m->value : v;
    if (attr->is_ref && !is_uuid(operand)) {
        return refuse_uuid(s, place, v, NULL);
    }
    if (is_not) {
        return compile_not(s, attr, place, operand, term);
    }
    if (m) {
        return compile_comparator(s, attr, place, m, term);
    }
    *term = (struct inst_term){.kind = INST_TERM_VALUE};
    return attr->is_ref ? read_uuid(s, v, &term->value)
                        : read_value(s, attr, place, v, &term->value);
}

/* A date without an index over instants is looked at triple by triple. */
static bool use_filter(struct compiler *s, struct inst_term *term) {
    struct inst_operator op = {.kind = INST_OP_IN, .is_server = true, .is_date = true};
    if (term->kind != INST_TERM_VALUE || term->value.tag != INST_DATE) {
        return true;
    }
    if (!inst_operator_set_items(&op, s->c.in->arena, &term->value, 1)) {
        return inst_compile_nomem(&s->c);
    }
    return set_operator(s, term, &op);
}

static bool add_on_id(struct compiler *s, struct inst_step_list *list,
                      const struct inst_suffix *suffix, const struct inst_value *etype,
                      uint32_t level, const struct inst_operator *op) {
    struct inst_compiler *c = &s->c;
    const struct inst_attr *id =
        inst_attrs_forward(c->in->attrs, etype->u.str, etype->len, "id", 2);
    if (!id) {
        return inst_compile_not_found(c);
    }
    uint32_t slot = inst_compile_var(c, etype->u.str, etype->len, level, suffix);
    struct inst_step *step = inst_compile_add(list);
    if (!step || !inst_compile_is_ok(c)) {
        return false;
    }
    step->attr = id;
    step->e = inst_term_slot(slot);
    return op ? set_operator(s, &step->v, op) : true;
}

static bool compile_last(struct compiler *s, struct inst_step_list *list,
                         const struct inst_suffix *suffix, const struct inst_value *etype,
                         uint32_t level, const char *label, size_t len,
                         const struct inst_value *v) {
    struct inst_compiler *c = &s->c;
    bool is_forward;
    const struct inst_attr *attr = inst_link_of(c->in->attrs, etype, label, len, &is_forward);
    const struct inst_member *m = v->tag == INST_OBJECT ? &v->u.members[0] : NULL;
    if (m && is_name(m, "$isNull")) {
        struct inst_operator op = {.kind = INST_OP_IS_NULL,
                                   .null_attr = attr,
                                   .is_reverse = !is_forward,
                                   .wants_null = m->value.tag == INST_TRUE};
        return attr ? add_on_id(s, list, suffix, etype, level, &op) : inst_compile_not_found(c);
    }
    if (len == 19 && memcmp(label, "$entityIdStartsWith", 19) == 0 && v->tag == INST_STRING) {
        struct inst_operator op = {.kind = INST_OP_ID_PREFIX, .operand = *v};
        return add_on_id(s, list, suffix, etype, level, &op);
    }
    if (!attr) {
        return inst_compile_not_found(c);
    }
    struct place place = condition_place(label, len, NULL);
    struct inst_term value;
    if (!compile_value(s, attr, &place, v, &value) || !use_filter(s, &value)) {
        return false;
    }
    uint32_t slot = inst_compile_var(c, etype->u.str, etype->len, level, suffix);
    struct inst_step *step = inst_compile_add(list);
    if (!step || !inst_compile_is_ok(c)) {
        return false;
    }
    step->attr = attr;
    step->e = inst_term_slot(slot);
    step->v = value;
    if (!is_forward) {
        step->e = value; /* what the link starts from */
        step->v = inst_term_slot(slot);
    }
    return true;
}

static bool compile_path(struct compiler *s, struct inst_step_list *list,
                         const struct inst_suffix *suffix, const struct inst_cond *cond) {
    struct inst_value etype = *s->c.in->etype;
    uint32_t level = s->c.in->level;
    size_t pos = 0;
    const char *label = NULL;
    size_t len = 0;
    while (inst_path_next(cond->path, cond->path_len, &pos, &label, &len)) {
        bool is_forward;
        if (pos > cond->path_len) {
            return compile_last(s, list, suffix, &etype, level, label, len, &cond->v);
        }
        const struct inst_attr *attr =
            inst_link_of(s->c.in->attrs, &etype, label, len, &is_forward);
        if (attr && (!attr->is_ref || attr->reverse.label.tag != INST_STRING)) {
            s->c.status = inst_refuse_link(attr, &etype, label, len, s->c.err);
            return false;
        }
        if (!inst_compile_link(&s->c, list, suffix, &etype, &level, label, len)) {
            return false;
        }
    }
    return false;
}

/* Longer lists stay as they are: looking for pairs is quadratic. */
enum { MAX_PAIRED = 64 };

static bool is_low_end(const struct inst_step *step) {
    return step->attr && step->v.kind == INST_TERM_OPERATOR &&
           (step->v.op->kind == INST_OP_GT || step->v.op->kind == INST_OP_GTE);
}

static bool is_high_end(const struct inst_step *step) {
    return step->attr && step->v.kind == INST_TERM_OPERATOR &&
           (step->v.op->kind == INST_OP_LT || step->v.op->kind == INST_OP_LTE);
}

/* From-to: two steps about the same value can each scan the range between both. */
static void pair_ends(struct inst_step_list *list) {
    uint32_t count = list->count <= MAX_PAIRED ? list->count : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct inst_step *low = &list->items[i];
        for (uint32_t k = 0; is_low_end(low) && !low->attr->is_many && k < count; k++) {
            struct inst_step *high = &list->items[k];
            if (is_high_end(high) && high->attr == low->attr && low->e.kind == INST_TERM_SLOT &&
                high->e.kind == INST_TERM_SLOT && high->e.slot == low->e.slot) {
                low->other_end = high->v.op;
                high->other_end = low->v.op;
            }
        }
    }
}

static bool compile_cond(struct compiler *s, struct inst_step_list *list,
                         const struct inst_suffix *suffix, const struct inst_cond *cond);

/* Variables of each element are its own (D2, D3). */
static bool compile_group(struct compiler *s, struct inst_step_list *list,
                          const struct inst_suffix *suffix, const struct inst_cond *group) {
    struct inst_steps *branches = NULL;
    bool is_or = group->kind == INST_COND_OR;
    if (is_or) {
        branches = inst_arena_alloc(s->c.in->arena, group->count * sizeof(*branches));
        if (!branches) {
            return inst_compile_nomem(&s->c);
        }
    }
    for (uint32_t i = 0; i < group->count; i++) {
        struct inst_suffix own = {suffix, i};
        struct inst_step_list branch = inst_compile_list(&s->c);
        if (!compile_cond(s, is_or ? &branch : list, &own, &group->items[i])) {
            return false;
        }
        if (is_or) {
            pair_ends(&branch);
            branches[i] = inst_compile_end(&branch);
        }
    }
    if (!is_or) {
        /* An element without conditions holds for every entity. */
        return group->count > 0 || add_on_id(s, list, suffix, s->c.in->etype, s->c.in->level, NULL);
    }
    struct inst_step *step = inst_compile_add(list);
    if (!step) {
        return false;
    }
    step->branches = branches;
    step->branch_count = group->count;
    return true;
}

static bool compile_cond(struct compiler *s, struct inst_step_list *list,
                         const struct inst_suffix *suffix, const struct inst_cond *cond) {
    return cond->kind == INST_COND_VALUE ? compile_path(s, list, suffix, cond)
                                         : compile_group(s, list, suffix, cond);
}

static bool compile_where(struct compiler *s, struct inst_step_list *list) {
    const struct inst_compile *in = s->c.in;
    struct inst_cond *conds = NULL;
    uint32_t count = 0;
    if (in->where && in->where->tag == INST_OBJECT &&
        inst_server_where(in->arena, in->attrs, in->etype, in->where, &conds, &count) !=
            INST_WHERE_OK) {
        return inst_compile_nomem(&s->c); /* anything else was refused before */
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!compile_cond(s, list, NULL, &conds[i])) {
            return false;
        }
    }
    pair_ends(list);
    return in->link || count > 0 || add_on_id(s, list, NULL, in->etype, in->level, NULL);
}

/*
 * Paging.
 */

static const char *order_label(const struct inst_attr *attr, char *room, size_t cap) {
    if (inst_is_string(&attr->forward.label, "id")) {
        return "serverCreatedAt";
    }
    snprintf(room, cap, "%.*s", (int)attr->forward.label.len, attr->forward.label.u.str);
    return room;
}

static void put_order_path(struct compiler *s, const char *option) {
    s->path[s->path_len] = inst_cstring("$");
    s->path[s->path_len + 1] = inst_cstring(option);
}

/* Every reason why rows cannot be ordered by an attr. */
static enum inst_status check_orderable(struct compiler *s, const struct inst_attr *attr) {
    const struct {
        bool applies;
        const char *text;
    } reasons[] = {
        {attr->is_checking_type, " attribute is still in the process of validating its type. It "
                                 "must finish before ordering by the attribute."},
        {attr->is_indexing, " attribute is still in the process of indexing. It must finish before "
                            "ordering by the attribute."},
        {!attr->is_indexed, " attribute is not indexed. Only indexed and typed attributes can be "
                            "used to order by."},
        {attr->checked_type == INST_CHECKED_NONE, " attribute is not typed. Only typed and indexed "
                                                  "attributes can be used to order by."},
        {attr->is_many, " attribute has cardinality `many`. Only attributes with cardinality `one` "
                        "can be used to order by."},
    };
    struct inst_refusal r;
    bool has_reason = false;
    inst_refusal_begin(&r, "query", &s->query->value);
    put_order_path(s, "order");
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].applies) {
            struct inst_buf text;
            inst_buf_init(&text);
            inst_buf_add_str(&text, "The ");
            add_name(&text, attr);
            inst_buf_add_str(&text, reasons[i].text);
            inst_refusal_add(&r, "expected", "supported-order?", s->path, s->path_len + 2,
                             text.data ? text.data : "");
            inst_buf_free(&text);
            has_reason = true;
        }
    }
    if (has_reason) {
        return inst_refusal_end(&r, s->c.err);
    }
    inst_buf_free(&r.message);
    inst_buf_free(&r.hint);
    return INST_OK;
}

static enum inst_status refuse_cursor(struct compiler *s, const char *name,
                                      const struct inst_attr *attr, const struct inst_value *id) {
    char text[512];
    char own[200];
    char other[200];
    const struct inst_attr *wrong = inst_attrs_by_id(s->c.in->attrs, id->u.str, id->len);
    int len = snprintf(text, sizeof(text),
                       "Invalid %s cursor. The query orders by `%s`, but the query that returned "
                       "the cursor orders by ",
                       name, order_label(attr, own, sizeof(own)));
    if (wrong) {
        snprintf(text + len, sizeof(text) - (size_t)len, "`%s`.",
                 order_label(wrong, other, sizeof(other)));
    } else {
        snprintf(text + len, sizeof(text) - (size_t)len, "a missing attribute.");
    }
    put_order_path(s, name);
    return inst_refuse(s->query, "expected", "valid-cursor?", s->path, s->path_len + 2, text,
                       s->c.err);
}

/* A place in the order: [entity, attr, value, created-at]. */
static enum inst_status read_cursor(struct compiler *s, const struct inst_paging *paging,
                                    const char *name, const struct inst_value *cursor,
                                    struct inst_value *id, struct inst_value *v) {
    const struct inst_value *attr_id = &cursor->u.items[1];
    if (!inst_value_same(attr_id, &paging->attr->id)) {
        return refuse_cursor(s, name, paging->attr, attr_id);
    }
    *id = cursor->u.items[0];
    *v = paging->is_by_time ? cursor->len > 3 ? cursor->u.items[3] : inst_null()
                            : cursor->u.items[2];
    bool is_date = !paging->is_by_time && paging->attr->checked_type == INST_CHECKED_DATE;
    if (is_date && v->tag != INST_NULL) {
        struct inst_value ms;
        if (inst_date_coerce(v, &ms, NULL) != INST_OK) {
            struct place place = {.items = {inst_cstring("$"), inst_cstring(name)}, .count = 2};
            refuse_type(s, paging->attr, "date-string?", &place, "value", v);
            return s->c.status;
        }
        *v = ms;
    }
    return INST_OK;
}

static const struct inst_value *option(const struct inst_form *form, const char *name) {
    const struct inst_value *v = inst_form_option(form, name);
    return v && v->tag != INST_FALSE ? v : NULL;
}

static enum inst_status find_order(struct compiler *s, struct inst_form *form,
                                   struct inst_paging *paging) {
    const struct inst_value *order = option(form, "order");
    const struct inst_member *by = order && order->len ? &order->u.members[0] : NULL;
    paging->is_by_time = !by || is_name(by, "serverCreatedAt");
    paging->is_desc = by && inst_is_string(&by->value, "desc");
    const char *label = paging->is_by_time ? "id" : by->key;
    size_t len = paging->is_by_time ? 2 : by->key_len;
    const struct inst_value *etype = &form->etype;
    paging->attr = inst_attrs_forward(s->c.in->attrs, etype->u.str, etype->len, label, len);
    if (!paging->attr) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_buf_addf(&text, "There is no `%.*s` attribute for %.*s.", (int)len, label,
                      (int)etype->len, etype->u.str);
        struct inst_value more[] = {inst_cstring("$"), inst_cstring("order")};
        refuse(s, "expected", "supported-order?", more, 2, &text);
        return s->c.status;
    }
    return paging->is_by_time ? INST_OK : check_orderable(s, paging->attr);
}

static enum inst_status compile_paging(struct compiler *s, struct inst_form *form) {
    const struct inst_value *limit = option(form, "limit");
    const struct inst_value *last = option(form, "last");
    const struct inst_value *offset = option(form, "offset");
    const struct inst_value *after = option(form, "after");
    const struct inst_value *before = option(form, "before");
    const struct inst_value *order = option(form, "order");
    limit = limit ? limit : option(form, "first");
    if (!limit && !last && !offset && !after && !before && (!order || !order->len)) {
        return INST_OK;
    }
    struct inst_paging *p = inst_arena_zalloc(s->c.in->arena, sizeof(*p));
    if (!p) {
        return inst_err_nomem(s->c.err);
    }
    form->paging = p;
    p->is_last = last != NULL;
    p->limit = limit ? (uint64_t)limit->u.num : last ? (uint64_t)last->u.num : 0;
    p->offset = offset ? (uint64_t)offset->u.num : 0;
    p->has_after = after != NULL;
    p->has_before = before != NULL;
    p->after_inclusive = inst_get_true(&form->options, "afterInclusive");
    p->before_inclusive = inst_get_true(&form->options, "beforeInclusive");
    enum inst_status status = find_order(s, form, p);
    if (status == INST_OK && before) {
        status = read_cursor(s, p, "before", before, &p->before_id, &p->before);
    }
    if (status == INST_OK && after) {
        status = read_cursor(s, p, "after", after, &p->after_id, &p->after);
    }
    return status;
}

/*
 * Fields: A of instaql.md 4.1.
 */

static bool is_in(const struct inst_form *form, const struct inst_attr *attr) {
    for (uint32_t i = 0; i < form->field_count; i++) {
        if (form->fields[i] == attr) {
            return true;
        }
    }
    return false;
}

static void add_field(struct compiler *s, struct inst_form *form, const char *label, size_t len) {
    const struct inst_attr *attr =
        inst_attrs_forward(s->c.in->attrs, form->etype.u.str, form->etype.len, label, len);
    if (attr && !attr->is_many && !is_in(form, attr)) {
        form->fields[form->field_count++] = attr;
    }
}

static enum inst_status compile_fields(struct compiler *s, struct inst_form *form) {
    const struct inst_value *names = option(form, "fields");
    const struct inst_attr *const *all;
    size_t count = inst_attrs_of(s->c.in->attrs, form->etype.u.str, form->etype.len, &all);
    form->field_count = 0;
    form->fields = inst_arena_alloc(s->c.in->arena, (count + 1) * sizeof(const struct inst_attr *));
    form->is_files = inst_is_string(&form->etype, "$files");
    form->wants_url = form->is_files && !names;
    form->drops_location = false;
    if (!form->fields) {
        return inst_err_nomem(s->c.err);
    }
    for (size_t i = 0; !names && i < count; i++) {
        if (!all[i]->is_many) {
            form->fields[form->field_count++] = all[i];
        }
    }
    if (!names) {
        return INST_OK;
    }
    form->drops_location = form->is_files;
    for (uint32_t i = 0; i < names->len; i++) {
        const struct inst_value *name = &names->u.items[i];
        if (name->tag == INST_STRING) {
            add_field(s, form, name->u.str, name->len);
            form->wants_url = form->wants_url || (form->is_files && inst_is_string(name, "url"));
            form->drops_location = form->drops_location && !inst_is_string(name, "location-id");
        }
    }
    add_field(s, form, "id", 2);
    if (form->wants_url) {
        add_field(s, form, "location-id", 11);
    }
    return INST_OK;
}

enum inst_status inst_server_compile_form(struct inst_query *query, struct inst_form *form,
                                          const struct inst_value *path, uint32_t path_len,
                                          uint32_t *pattern_count, struct inst_err *err) {
    struct inst_compile in = {
        .attrs = query->attrs,
        .arena = &query->compiled,
        .pattern_count = pattern_count,
        .etype = &form->etype,
        .level = form->level,
        .link = form->link,
        .is_forward = form->is_forward,
        .where = inst_form_option(form, "where"),
    };
    struct compiler s = {.query = query, .path_len = path_len};
    memcpy(s.path, path, path_len * sizeof(*path));
    struct inst_step_list list = inst_compile_list(&s.c);
    form->paging = NULL;
    form->has_count = option(form, "aggregate") != NULL;
    if (inst_compile_begin(&s.c, &in, &form->spec, err) &&
        (!in.link || inst_compile_join(&s.c, &list))) {
        compile_where(&s, &list);
    }
    enum inst_status status = inst_compile_finish(&s.c, &list, &form->state, &form->error);
    if (status == INST_OK && form->level == 0 && form->state == INST_SPEC_OK) {
        status = compile_paging(&s, form);
    }
    return status == INST_OK ? compile_fields(&s, form) : status;
}
