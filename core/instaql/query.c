#include "instaql/query.h"

#include "instaql/limits.h"
#include "instaql/server_validation.h"

#include <stdio.h>
#include <stdlib.h>

bool inst_instaql_took_too_long(struct inst_err *err, const char *what) {
    char hint[160];
    snprintf(hint, sizeof hint, "{\"message\":\"%s\"}", what);
    inst_err_set(err, "timeout", 500, "The query took too long to complete.");
    inst_err_hint(err, hint);
    return false;
}

static enum inst_status limit_error(struct inst_err *err, const char *what, unsigned limit) {
    return inst_err_set(err, "limit-exceeded", 400, "The query has too many %s: the limit is %u.",
                        what, limit);
}

/* A value nested deeper than this is not copied: everything that walks values recurses. */
enum { MAX_VALUE_DEPTH = 600 };

static bool is_too_deep(const struct inst_value *v, unsigned depth) {
    if (depth > MAX_VALUE_DEPTH) {
        return true;
    }
    for (uint32_t i = 0; v->tag == INST_ARRAY && i < v->len; i++) {
        if (is_too_deep(&v->u.items[i], depth + 1)) {
            return true;
        }
    }
    for (uint32_t i = 0; v->tag == INST_OBJECT && i < v->len; i++) {
        if (is_too_deep(&v->u.members[i].value, depth + 1)) {
            return true;
        }
    }
    return false;
}

/*
 * Values to forms, as leniently as JavaScript takes them.
 */

bool inst_first_entry(const struct inst_value *v, struct inst_value *key,
                      struct inst_value *value) {
    if (v->len == 0) {
        return false;
    }
    *key = inst_cstring("0");
    switch (v->tag) {
    case INST_OBJECT:
        *key = inst_string(v->u.members[0].key, v->u.members[0].key_len);
        *value = v->u.members[0].value;
        return true;
    case INST_ARRAY:
        *value = v->u.items[0];
        return true;
    case INST_STRING:
        *value = inst_string(v->u.str, 1);
        return true;
    default:
        return false;
    }
}

const struct inst_value *inst_form_option(const struct inst_form *form, const char *name) {
    const struct inst_value *v = inst_getz(&form->options, name);
    return v && !inst_is_nullish(v) ? v : NULL;
}

struct reader {
    struct inst_query *query;
    uint32_t forms;
    struct inst_err *err;
};

static bool is_skipped(const char *key, size_t len, uint32_t level) {
    return level == 0 ? len == 12 && memcmp(key, "$$ruleParams", 12) == 0
                      : len == 1 && key[0] == '$';
}

static enum inst_status read_forms(struct reader *r, const struct inst_value *v, uint32_t level,
                                   struct inst_form **out, uint32_t *count);

static enum inst_status read_form(struct reader *r, const struct inst_value *v,
                                  struct inst_form *form) {
    const struct inst_value *options = inst_getz(v, "$");
    form->options = options ? *options : inst_undefined();
    form->number = r->forms++;
    if (r->forms > INST_INSTAQL_MAX_FORMS) {
        return limit_error(r->err, "nested namespaces", INST_INSTAQL_MAX_FORMS);
    }
    form->is_null = inst_is_nullish(v);
    return read_forms(r, v, form->level + 1, &form->children, &form->child_count);
}

/* The members of an object; of an array or a text its indexes, which are the names of nothing. */
static enum inst_status read_forms(struct reader *r, const struct inst_value *v, uint32_t level,
                                   struct inst_form **out, uint32_t *count) {
    bool is_list = v->tag == INST_ARRAY || v->tag == INST_STRING;
    uint32_t n = v->tag == INST_OBJECT || is_list ? v->len : 0;
    if (n == 0) {
        return INST_OK;
    }
    if (level >= INST_INSTAQL_MAX_DEPTH) {
        return limit_error(r->err, "levels", INST_INSTAQL_MAX_DEPTH);
    }
    if (n > INST_INSTAQL_MAX_FORMS) {
        return limit_error(r->err, "nested namespaces", INST_INSTAQL_MAX_FORMS);
    }
    struct inst_form *forms = inst_arena_zalloc(r->query->arena, n * sizeof(*forms));
    if (!forms) {
        return inst_err_nomem(r->err);
    }
    *out = forms;
    for (uint32_t i = 0; i < n; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", i);
        const struct inst_value *child;
        struct inst_value nothing = inst_object(NULL, 0); /* a character has no members */
        struct inst_form *form = &forms[*count];
        if (is_list) {
            const char *key = inst_arena_dup(r->query->arena, text, strlen(text));
            if (!key) {
                return inst_err_nomem(r->err);
            }
            form->key = inst_cstring(key);
            child = v->tag == INST_ARRAY ? &v->u.items[i] : &nothing;
        } else {
            const struct inst_member *m = &v->u.members[i];
            if (is_skipped(m->key, m->key_len, level)) {
                continue;
            }
            form->key = inst_string(m->key, m->key_len);
            child = &m->value;
        }
        form->level = level;
        (*count)++;
        enum inst_status status = read_form(r, child, form);
        if (status != INST_OK) {
            return status;
        }
    }
    return INST_OK;
}

/* They are for the rules; no message about the query shows them. */
static bool drop_rule_params(struct inst_query *query) {
    struct inst_object_builder b;
    if (query->value.tag != INST_OBJECT) {
        return true;
    }
    inst_object_begin(&b, query->arena);
    for (uint32_t i = 0; i < query->value.len; i++) {
        const struct inst_member *m = &query->value.u.members[i];
        if (!is_skipped(m->key, m->key_len, 0)) {
            inst_object_add(&b, m->key, m->key_len, m->value);
        }
    }
    return inst_object_end(&b, &query->value);
}

enum inst_status inst_query_new_in(const struct inst_value *value, enum inst_query_mode mode,
                                   struct inst_arena *arena, struct inst_query **out,
                                   struct inst_err *err) {
    if (is_too_deep(value, 0)) {
        return limit_error(err, "levels", MAX_VALUE_DEPTH);
    }
    enum inst_status status = INST_OK;
    struct inst_query *query = calloc(1, sizeof(*query));
    if (!query) {
        return inst_err_nomem(err);
    }
    query->mode = mode;
    inst_arena_init(&query->own);
    inst_arena_init(&query->compiled);
    inst_arena_init(&query->scratch);
    query->arena = arena ? arena : &query->own;
    struct reader reader = {.query = query, .err = err};
    if (!inst_value_dup(query->arena, value, &query->value) ||
        (mode == INST_QUERY_SERVER && !drop_rule_params(query))) {
        status = inst_err_nomem(err);
    } else {
        query->is_null = inst_is_nullish(value);
        status = read_forms(&reader, &query->value, 0, &query->forms, &query->form_count);
        query->all_count = reader.forms;
    }
    if (status != INST_OK) {
        inst_query_free(query);
        return status;
    }
    *out = query;
    return INST_OK;
}

enum inst_status inst_query_new(const struct inst_value *value, enum inst_query_mode mode,
                                struct inst_query **out, struct inst_err *err) {
    return inst_query_new_in(value, mode, NULL, out, err);
}

void inst_query_free(struct inst_query *query) {
    if (query) {
        inst_attrs_unref(query->attrs);
        inst_arena_free(&query->scratch);
        inst_arena_free(&query->compiled);
        inst_arena_free(&query->own);
        free(query);
    }
}

enum inst_status inst_run_finish(enum inst_status status, struct inst_err *own,
                                 struct inst_err *err) {
    if (status == INST_OK) {
        return INST_OK;
    }
    bool is_nomem = own->type && strcmp(own->type, "out-of-memory") == 0;
    inst_err_move(err, own);
    return is_nomem ? INST_NOMEM : INST_FAILED;
}

/*
 * Forms against a catalog.
 */

struct preparer {
    struct inst_query *query;
    struct inst_attrs *attrs;
    uint32_t patterns;
    struct inst_value path[INST_INSTAQL_MAX_DEPTH]; /* keys of the forms above, for messages */
    struct inst_err *err;
};

static bool is_label(const struct inst_attr *attr, const struct inst_value *label) {
    const struct inst_value *own = &attr->forward.label;
    return own->len == label->len && memcmp(own->u.str, label->u.str, own->len) == 0;
}

static bool has_field(const struct inst_form *form, const struct inst_value *label) {
    for (uint32_t i = 0; i < form->field_count; i++) {
        if (is_label(form->fields[i], label)) {
            return true;
        }
    }
    return false;
}

static bool is_index(const struct inst_value *label) {
    uint32_t index;
    return inst_key_is_index(label->u.str, label->len, &index);
}

/* `fields`: named blob attrs in the given order, `id` at the end unless named. */
static enum inst_status pick_fields(struct preparer *p, struct inst_form *form,
                                    const struct inst_value *names) {
    const struct inst_value *etype = &form->etype;
    form->fields = inst_arena_alloc(&p->query->compiled,
                                    ((size_t)names->len + 1) * sizeof(const struct inst_attr *));
    if (!form->fields) {
        return inst_err_nomem(p->err);
    }
    struct inst_value id_label = inst_cstring("id");
    for (uint32_t i = 0; i < names->len && names->len <= INST_INSTAQL_MAX_SLOTS; i++) {
        const struct inst_value *name = &names->u.items[i];
        const struct inst_attr *attr =
            name->tag == INST_STRING
                ? inst_attrs_forward(p->attrs, etype->u.str, etype->len, name->u.str, name->len)
                : NULL;
        if (attr && !attr->is_ref && !has_field(form, name)) {
            form->fields[form->field_count++] = attr;
        }
    }
    const struct inst_attr *id = inst_attrs_forward(p->attrs, etype->u.str, etype->len, "id", 2);
    if (id && !has_field(form, &id_label)) {
        form->fields[form->field_count++] = id;
    }
    return INST_OK;
}

static enum inst_status compile_fields(struct preparer *p, struct inst_form *form) {
    const struct inst_value *names = inst_form_option(form, "fields");
    form->fields = NULL;
    form->field_count = 0;
    if (names && names->tag == INST_ARRAY) {
        enum inst_status status = pick_fields(p, form, names);
        if (status != INST_OK) {
            return status;
        }
    } else {
        const struct inst_attr *const *blobs;
        form->field_count =
            (uint32_t)inst_attrs_blobs(p->attrs, form->etype.u.str, form->etype.len, &blobs);
        form->fields = (const struct inst_attr **)blobs; /* only read */
    }
    form->has_overlap = false;
    for (uint32_t i = 0; i < form->child_count; i++) {
        const struct inst_value *label = &form->children[i].key;
        form->has_overlap = form->has_overlap || is_index(label) || has_field(form, label);
    }
    if (names && names->tag == INST_ARRAY) {
        for (uint32_t i = 0; i < form->field_count; i++) {
            form->has_overlap = form->has_overlap || is_index(&form->fields[i]->forward.label);
        }
    }
    return INST_OK;
}

static void compile_order(struct preparer *p, struct inst_form *form) {
    const struct inst_value *order = inst_form_option(form, "order");
    struct inst_value key;
    struct inst_value direction;
    form->order_attr = NULL;
    form->is_desc = false;
    if (order && inst_value_truthy(order) && inst_first_entry(order, &key, &direction)) {
        form->order_attr =
            inst_attrs_forward(p->attrs, form->etype.u.str, form->etype.len, key.u.str, key.len);
        form->is_desc = inst_value_truthy(&direction) && !inst_is_string(&direction, "asc");
    }
}

static enum inst_status compile_client(struct preparer *p, struct inst_form *form) {
    enum inst_status status = compile_fields(p, form);
    if (status != INST_OK) {
        return status;
    }
    compile_order(p, form);
    struct inst_compile in = {
        .attrs = p->attrs,
        .arena = &p->query->compiled,
        .pattern_count = &p->patterns,
        .etype = &form->etype,
        .level = form->level,
        .link = form->link,
        .is_forward = form->is_forward,
        .where = inst_form_option(form, "where"),
    };
    status = inst_pattern_compile(&in, &form->spec, &form->state, &form->error, p->err);
    form->is_whole = status == INST_OK && form->state == INST_SPEC_OK && !form->link &&
                     form->spec.is_distinct && !form->spec.is_free &&
                     inst_is_string(&form->spec.steps.items[0].attr->forward.label, "id");
    return status;
}

/* The link that a child form names, and where it leads. */
static enum inst_status compile_link(struct preparer *p, const struct inst_form *parent,
                                     struct inst_form *form) {
    struct inst_query *query = p->query;
    form->etype = inst_undefined();
    form->link =
        inst_link_of(p->attrs, &parent->etype, form->key.u.str, form->key.len, &form->is_forward);
    if (!form->link) {
        form->link_state = INST_SPEC_NOT_FOUND;
        return INST_OK;
    }
    form->link_state = INST_SPEC_OK;
    if (!inst_link_check(form->link, &query->compiled, &form->link_error)) {
        form->link_state = INST_SPEC_THROWS;
        return form->link_error.message ? INST_OK : inst_err_nomem(p->err);
    }
    form->etype = form->is_forward ? form->link->reverse.etype : form->link->forward.etype;
    return INST_OK;
}

/* Recursion is limited by the depth of forms. */
static enum inst_status compile_form(struct preparer *p, const struct inst_form *parent,
                                     struct inst_form *form) {
    enum inst_status status = INST_OK;
    p->path[form->level] = form->key;
    if (parent) {
        status = compile_link(p, parent, form);
    } else {
        form->etype = form->key;
    }
    if (p->query->mode == INST_QUERY_SERVER && form->link_state == INST_SPEC_THROWS) {
        return inst_refuse_link(form->link, &parent->etype, form->key.u.str, form->key.len, p->err);
    }
    if (status != INST_OK || form->link_state != INST_SPEC_OK) {
        return status;
    }
    status = p->query->mode == INST_QUERY_CLIENT
                 ? compile_client(p, form)
                 : inst_server_compile_form(p->query, form, p->path, form->level + 1, &p->patterns,
                                            p->err);
    for (uint32_t i = 0; status == INST_OK && i < form->child_count; i++) {
        status = compile_form(p, form, &form->children[i]);
    }
    return status;
}

enum inst_status inst_query_prepare(struct inst_query *query, struct inst_attrs *attrs,
                                    struct inst_err *err) {
    if (query->attrs == attrs) {
        return INST_OK;
    }
    inst_attrs_unref(query->attrs);
    query->attrs = NULL;
    inst_arena_reset(&query->compiled);
    struct preparer p = {.query = query, .attrs = inst_attrs_ref(attrs), .err = err};
    enum inst_status status = INST_OK;
    query->attrs = attrs;
    if (query->mode == INST_QUERY_SERVER) {
        status = inst_server_validate(query, attrs, err);
    }
    for (uint32_t i = 0; status == INST_OK && i < query->form_count; i++) {
        status = compile_form(&p, NULL, &query->forms[i]);
    }
    if (status != INST_OK) {
        query->attrs = NULL;
        inst_attrs_unref(attrs);
    }
    return status;
}
