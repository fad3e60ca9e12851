/*
 * The server's compiler of conditions (instaql.md 2.1 server column, 2.2, 4.2) and of fields.
 */
#include "base/date.h"
#include "base/json.h"
#include "base/text.h"
#include "base/uuid.h"
#include "instaql/server_compile.h"
#include "instaql/server_validation.h"

#include <math.h>

/*
 * Values by the attr's type.
 */

static bool is_special_date(const struct inst_value *v) {
    return inst_is_string(v, "tomorrow") || inst_is_string(v, "now") ||
           inst_is_string(v, "yesterday") || inst_is_string(v, "today");
}

static bool read_date(struct inst_server_compiler *s, const struct inst_attr *attr,
                      const struct inst_server_place *place, const struct inst_value *v,
                      struct inst_value *out) {
    bool is_text = v->tag == INST_STRING;
    if (!is_text && v->tag != INST_NUMBER) {
        return inst_server_refuse_type(s, attr, "date?", place, "the value", v);
    }
    if (is_special_date(v) || inst_date_coerce(v, out, NULL) != INST_OK || isnan(out->u.num)) {
        return inst_server_refuse_type(s, attr, is_text ? "date-string?" : "timestamp?", place,
                                       "value", v);
    }
    return true;
}

/* A value of the attr's checked type; dates become instants. */
static bool read_typed(struct inst_server_compiler *s, const struct inst_attr *attr,
                       const struct inst_server_place *place, const struct inst_value *v,
                       struct inst_value *out) {
    bool is_bool = v->tag == INST_TRUE || v->tag == INST_FALSE;
    *out = *v;
    switch (attr->checked_type) {
    case INST_CHECKED_STRING:
        return v->tag == INST_STRING ||
               inst_server_refuse_type(s, attr, "string?", place, "the value", v);
    case INST_CHECKED_NUMBER:
        return v->tag == INST_NUMBER ||
               inst_server_refuse_type(s, attr, "number?", place, "the value", v);
    case INST_CHECKED_BOOLEAN:
        return is_bool || inst_server_refuse_type(s, attr, "boolean?", place, "the value", v);
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
static bool read_value(struct inst_server_compiler *s, const struct inst_attr *attr,
                       const struct inst_server_place *place, const struct inst_value *v,
                       struct inst_value *out) {
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

static bool set_operator(struct inst_server_compiler *s, struct inst_term *term,
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
static bool refuse_uuid(struct inst_server_compiler *s, const struct inst_server_place *place,
                        const struct inst_value *v, const struct inst_value *list) {
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
    return inst_server_refuse(s, "expected", "uuid?", place->items, place->count, &text);
}

/* Ids are compared as the store has them: in lower case. */
static bool read_uuid(struct inst_server_compiler *s, const struct inst_value *v,
                      struct inst_value *out) {
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
static bool read_list(struct inst_server_compiler *s, const struct inst_attr *attr,
                      const struct inst_server_place *place, const struct inst_value *list,
                      struct inst_term *term) {
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
            return inst_server_refuse(s, "expected?", "indexed?", more, 4, &text);
        }
    }
    if (!inst_operator_set_items(&op, s->c.in->arena, items, list->len)) {
        return inst_compile_nomem(&s->c);
    }
    return set_operator(s, term, &op);
}

/* What an attr must have before it can be compared. */
static bool check_comparable(struct inst_server_compiler *s, const struct inst_attr *attr,
                             const struct inst_server_place *place) {
    if (attr->is_checking_type) {
        return inst_server_refuse_attr(
            s, attr, "checked-data-type?", place,
            " attribute is still in the process of checking its data type. It must "
            "finish before using comparison operators.");
    }
    if (attr->is_indexing) {
        return inst_server_refuse_attr(
            s, attr, "indexed?", place,
            " attribute is still in the process of indexing. It must finish before "
            "using comparison operators.");
    }
    if (!attr->is_indexed) {
        return inst_server_refuse_attr(s, attr, "indexed?", place,
                                       " attribute must be indexed to use comparison operators.");
    }
    if (attr->checked_type == INST_CHECKED_NONE) {
        return inst_server_refuse_attr(
            s, attr, "checked-data-type?", place,
            " attribute must have an enforced type to use comparison operators.");
    }
    return true;
}

/* All matches lie between the pattern's literal start and the next text after all that begin so. */
static bool set_prefix(struct inst_server_compiler *s, struct inst_operator *op) {
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

static bool compile_like(struct inst_server_compiler *s, const struct inst_attr *attr,
                         const struct inst_server_place *place, const struct inst_member *m,
                         struct inst_term *term) {
    const struct inst_value *v = &m->value;
    struct inst_operator op = {.kind = INST_OP_LIKE};
    if (v->tag != INST_STRING) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_buf_add_str(&text, "The $like value for ");
        inst_server_add_name(&text, attr);
        inst_buf_add_str(&text, " must be a string, but the query got the value `");
        inst_json_write(&text, v);
        inst_buf_addf(&text, "` of type `%s`.", inst_server_type_name(v));
        return inst_server_refuse(s, "expected?", "string?", place->items, place->count, &text);
    }
    struct inst_value ignored;
    if (!read_typed(s, attr, place, v, &ignored)) {
        return false;
    }
    if (inst_text_utf16_len(v->u.str, v->len) > INST_INSTAQL_MAX_LIKE) {
        return inst_compile_limit(&s->c, "characters in a like pattern", INST_INSTAQL_MAX_LIKE);
    }
    op.like =
        inst_like_new(s->c.in->arena, v->u.str, v->len,
                      (struct inst_like_rules){.ignore_case = inst_server_is_name(m, "$ilike"),
                                               .has_escape = true,
                                               .by_code_point = true});
    return op.like && set_prefix(s, &op) ? set_operator(s, term, &op) : inst_compile_nomem(&s->c);
}

static bool compile_comparator(struct inst_server_compiler *s, const struct inst_attr *attr,
                               const struct inst_server_place *place, const struct inst_member *m,
                               struct inst_term *term) {
    struct inst_server_place inner = *place;
    struct inst_operator op = {.is_date = attr->checked_type == INST_CHECKED_DATE};
    if (!check_comparable(s, attr, place)) {
        return false;
    }
    inner.items[inner.count++] = inst_string(m->key, m->key_len);
    if (inst_server_is_name(m, "$like") || inst_server_is_name(m, "$ilike")) {
        return compile_like(s, attr, &inner, m, term);
    }
    op.kind = inst_server_is_name(m, "$gt")    ? INST_OP_GT
              : inst_server_is_name(m, "$gte") ? INST_OP_GTE
              : inst_server_is_name(m, "$lt")  ? INST_OP_LT
                                               : INST_OP_LTE;
    return read_typed(s, attr, &inner, &m->value, &op.operand) && set_operator(s, term, &op);
}

static bool compile_not(struct inst_server_compiler *s, const struct inst_attr *attr,
                        const struct inst_server_place *place, const struct inst_value *v,
                        struct inst_term *term) {
    struct inst_operator op = {.kind = INST_OP_NOT};
    if (!(attr->is_ref ? read_uuid(s, v, &op.operand)
                       : read_value(s, attr, place, v, &op.operand))) {
        return false;
    }
    op.is_date = op.operand.tag == INST_DATE;
    return set_operator(s, term, &op);
}

/* What the value must be: a scalar, or an object whose first key counts (D1). */
static bool compile_value(struct inst_server_compiler *s, const struct inst_attr *attr,
                          const struct inst_server_place *place, const struct inst_value *v,
                          struct inst_term *term) {
    const struct inst_member *m = v->tag == INST_OBJECT ? &v->u.members[0] : NULL;
    if (m && (inst_server_is_name(m, "$in") || inst_server_is_name(m, "in"))) {
        return read_list(s, attr, place, &m->value, term);
    }
    bool is_not = m && (inst_server_is_name(m, "$not") || inst_server_is_name(m, "$ne"));
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
static bool use_filter(struct inst_server_compiler *s, struct inst_term *term) {
    struct inst_operator op = {.kind = INST_OP_IN, .is_server = true, .is_date = true};
    if (term->kind != INST_TERM_VALUE || term->value.tag != INST_DATE) {
        return true;
    }
    if (!inst_operator_set_items(&op, s->c.in->arena, &term->value, 1)) {
        return inst_compile_nomem(&s->c);
    }
    return set_operator(s, term, &op);
}

static bool add_on_id(struct inst_server_compiler *s, struct inst_step_list *list,
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

static bool compile_last(struct inst_server_compiler *s, struct inst_step_list *list,
                         const struct inst_suffix *suffix, const struct inst_value *etype,
                         uint32_t level, const char *label, size_t len,
                         const struct inst_value *v) {
    struct inst_compiler *c = &s->c;
    bool is_forward;
    const struct inst_attr *attr = inst_link_of(c->in->attrs, etype, label, len, &is_forward);
    const struct inst_member *m = v->tag == INST_OBJECT ? &v->u.members[0] : NULL;
    if (m && inst_server_is_name(m, "$isNull")) {
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
    struct inst_server_place place = inst_server_condition(label, len, NULL);
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

static bool compile_path(struct inst_server_compiler *s, struct inst_step_list *list,
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

static bool compile_cond(struct inst_server_compiler *s, struct inst_step_list *list,
                         const struct inst_suffix *suffix, const struct inst_cond *cond);

/* Variables of each element are its own (D2, D3). */
static bool compile_group(struct inst_server_compiler *s, struct inst_step_list *list,
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

static bool compile_cond(struct inst_server_compiler *s, struct inst_step_list *list,
                         const struct inst_suffix *suffix, const struct inst_cond *cond) {
    return cond->kind == INST_COND_VALUE ? compile_path(s, list, suffix, cond)
                                         : compile_group(s, list, suffix, cond);
}

static bool compile_where(struct inst_server_compiler *s, struct inst_step_list *list) {
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

static void add_field(struct inst_server_compiler *s, struct inst_form *form, const char *label,
                      size_t len) {
    const struct inst_attr *attr =
        inst_attrs_forward(s->c.in->attrs, form->etype.u.str, form->etype.len, label, len);
    if (attr && !attr->is_many && !is_in(form, attr)) {
        form->fields[form->field_count++] = attr;
    }
}

static enum inst_status compile_fields(struct inst_server_compiler *s, struct inst_form *form) {
    const struct inst_value *names = inst_server_option(form, "fields");
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
    struct inst_server_compiler s = {.query = query, .path_len = path_len};
    memcpy(s.path, path, path_len * sizeof(*path));
    struct inst_step_list list = inst_compile_list(&s.c);
    form->paging = NULL;
    form->has_count = inst_server_option(form, "aggregate") != NULL;
    if (inst_compile_begin(&s.c, &in, &form->spec, err) &&
        (!in.link || inst_compile_join(&s.c, &list))) {
        compile_where(&s, &list);
    }
    enum inst_status status = inst_compile_finish(&s.c, &list, &form->state, &form->error);
    if (status == INST_OK && form->level == 0 && form->state == INST_SPEC_OK) {
        status = inst_server_compile_paging(&s, form);
    }
    return status == INST_OK ? compile_fields(&s, form) : status;
}
