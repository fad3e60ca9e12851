#include "instaql/compile.h"

#include "instaql/limits.h"

#include <stdio.h>

bool inst_compile_is_ok(const struct inst_compiler *c) {
    return c->state == INST_SPEC_OK && c->status == INST_OK;
}

bool inst_compile_nomem(struct inst_compiler *c) {
    if (c->status == INST_OK) {
        c->status = inst_err_nomem(c->err);
    }
    return false;
}

bool inst_compile_not_found(struct inst_compiler *c) {
    c->state = INST_SPEC_NOT_FOUND;
    return false;
}

bool inst_compile_throw(struct inst_compiler *c, const char *type, const char *message) {
    c->state = INST_SPEC_THROWS;
    c->thrown = (struct inst_spec_error){type, message};
    return message ? false : inst_compile_nomem(c);
}

bool inst_compile_limit(struct inst_compiler *c, const char *what, unsigned limit) {
    c->status = inst_err_set(c->err, "limit-exceeded", 400,
                             "The query has too many %s: the limit is %u.", what, limit);
    return false;
}

/*
 * Variables.
 */

uint32_t inst_compile_slot(struct inst_compiler *c, const char *name, size_t len, bool *is_new) {
    struct inst_spec *spec = c->spec;
    for (uint32_t i = spec->slot_count; i-- > 1;) {
        if (c->names[i].len == len && memcmp(c->names[i].name, name, len) == 0) {
            *is_new = false;
            return i;
        }
    }
    *is_new = true;
    if (spec->slot_count == c->name_cap) {
        uint32_t cap = c->name_cap * 2;
        struct inst_slot_name *names = inst_arena_alloc(c->in->arena, cap * sizeof(*names));
        if (!names) {
            inst_compile_nomem(c);
            return 0;
        }
        memcpy(names, c->names, spec->slot_count * sizeof(*names));
        c->names = names;
        c->name_cap = cap;
    }
    if (spec->slot_count >= INST_INSTAQL_MAX_SLOTS) {
        inst_compile_limit(c, "variables", INST_INSTAQL_MAX_SLOTS);
        return 0;
    }
    const char *copy = inst_arena_dup(c->in->arena, name, len);
    if (!copy) {
        inst_compile_nomem(c);
        return 0;
    }
    c->names[spec->slot_count] = (struct inst_slot_name){copy, len};
    return spec->slot_count++;
}

static void add_suffix(struct inst_buf *buf, const struct inst_suffix *suffix) {
    if (suffix) {
        add_suffix(buf, suffix->outer);
        inst_buf_add_char(buf, '-');
        inst_buf_add_int(buf, suffix->index);
    }
}

uint32_t inst_compile_var(struct inst_compiler *c, const char *etype, size_t len, uint32_t level,
                          const struct inst_suffix *suffix) {
    const struct inst_value *own = c->in->etype;
    bool is_own = level == c->in->level && len == own->len && memcmp(etype, own->u.str, len) == 0;
    if (is_own && c->spec->root) {
        return c->spec->root;
    }
    bool is_new;
    inst_buf_clear(&c->name);
    inst_buf_add_char(&c->name, '?');
    inst_buf_add(&c->name, etype, len);
    inst_buf_add_char(&c->name, '-');
    inst_buf_add_int(&c->name, level);
    add_suffix(&c->name, is_own ? NULL : suffix);
    if (c->name.failed) {
        inst_compile_nomem(c);
        return 0;
    }
    return inst_compile_slot(c, c->name.data, c->name.len, &is_new);
}

struct inst_term inst_term_slot(uint32_t slot) {
    return (struct inst_term){.kind = INST_TERM_SLOT, .slot = slot};
}

struct inst_term inst_term_value(const struct inst_value *v) {
    return (struct inst_term){.kind = INST_TERM_VALUE, .value = *v};
}

/*
 * Lists of steps.
 */

struct inst_step_list inst_compile_list(struct inst_compiler *c) {
    return (struct inst_step_list){.c = c};
}

struct inst_step *inst_compile_add(struct inst_step_list *list) {
    struct inst_compiler *c = list->c;
    if (++*c->in->pattern_count > INST_INSTAQL_MAX_PATTERNS) {
        inst_compile_limit(c, "conditions", INST_INSTAQL_MAX_PATTERNS);
        return NULL;
    }
    if (list->count == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 4;
        struct inst_step *items = inst_arena_alloc(c->in->arena, cap * sizeof(*items));
        if (!items) {
            inst_compile_nomem(c);
            return NULL;
        }
        if (list->count) {
            memcpy(items, list->items, list->count * sizeof(*items));
        }
        list->items = items;
        list->cap = cap;
    }
    struct inst_step *step = &list->items[list->count++];
    *step = (struct inst_step){.time_slot = -1};
    return step;
}

struct inst_steps inst_compile_end(struct inst_step_list *list) {
    return (struct inst_steps){list->items, list->count, list->c->spec->list_count++};
}

const struct inst_attr *inst_link_of(const struct inst_attrs *attrs, const struct inst_value *etype,
                                     const char *label, size_t len, bool *is_forward) {
    const struct inst_attr *attr = inst_attrs_forward(attrs, etype->u.str, etype->len, label, len);
    *is_forward = attr != NULL;
    return attr ? attr : inst_attrs_reverse(attrs, etype->u.str, etype->len, label, len);
}

bool inst_link_check(const struct inst_attr *attr, struct inst_arena *arena,
                     struct inst_spec_error *thrown) {
    if (attr->is_ref && attr->reverse.label.tag == INST_STRING) {
        return true;
    }
    if (attr->is_ref) {
        *thrown = (struct inst_spec_error){"TypeError", "undefined is not iterable"};
        return false;
    }
    char text[256];
    snprintf(text, sizeof(text), "Attr %.*s is not a ref", (int)attr->id.len, attr->id.u.str);
    *thrown = (struct inst_spec_error){"Error", inst_arena_dup(arena, text, strlen(text))};
    return false;
}

bool inst_compile_link(struct inst_compiler *c, struct inst_step_list *list,
                       const struct inst_suffix *suffix, struct inst_value *etype, uint32_t *level,
                       const char *label, size_t len) {
    bool is_forward;
    const struct inst_attr *attr = inst_link_of(c->in->attrs, etype, label, len, &is_forward);
    if (!attr) {
        return inst_compile_not_found(c);
    }
    struct inst_spec_error thrown;
    if (!inst_link_check(attr, c->in->arena, &thrown)) {
        return inst_compile_throw(c, thrown.type, thrown.message);
    }
    const struct inst_value *target = is_forward ? &attr->reverse.etype : &attr->forward.etype;
    const struct inst_value *source = is_forward ? &attr->forward.etype : &attr->reverse.etype;
    uint32_t from = inst_compile_var(c, source->u.str, source->len, *level, suffix);
    uint32_t to = inst_compile_var(c, target->u.str, target->len, *level + 1, suffix);
    struct inst_step *step = inst_compile_add(list);
    if (!step || !inst_compile_is_ok(c)) {
        return false;
    }
    step->attr = attr;
    step->e = inst_term_slot(is_forward ? from : to);
    step->v = inst_term_slot(is_forward ? to : from);
    *etype = *target;
    *level += 1;
    return true;
}

bool inst_compile_join(struct inst_compiler *c, struct inst_step_list *list) {
    const struct inst_attr *attr = c->in->link;
    struct inst_step *step = inst_compile_add(list);
    if (!step) {
        return false;
    }
    struct inst_term parent = inst_term_slot(INST_SLOT_PARENT);
    struct inst_term child = inst_term_slot(c->spec->root);
    step->attr = attr;
    step->e = c->in->is_forward ? parent : child;
    step->v = c->in->is_forward ? child : parent;
    return true;
}

/*
 * The whole.
 */

enum { FIRST_NAMES = 8 };

bool inst_compile_begin(struct inst_compiler *c, const struct inst_compile *in,
                        struct inst_spec *spec, struct inst_err *err) {
    *spec = (struct inst_spec){.time = -1, .slot_count = 1};
    *c = (struct inst_compiler){.in = in, .spec = spec, .err = err};
    inst_buf_init(&c->name);
    c->name_cap = FIRST_NAMES;
    c->names = inst_arena_alloc(in->arena, FIRST_NAMES * sizeof(*c->names));
    if (!c->names) {
        return inst_compile_nomem(c);
    }
    spec->root = inst_compile_var(c, in->etype->u.str, in->etype->len, in->level, NULL);
    return inst_compile_is_ok(c);
}

/* Recursion is as deep as the where's lists are nested, which is limited. */
static uint32_t longest_chain(const struct inst_steps *steps, bool *has_operators) {
    uint32_t chain = 0;
    for (uint32_t i = 0; i < steps->count; i++) {
        const struct inst_step *step = &steps->items[i];
        uint32_t most = 0;
        for (uint32_t k = 0; k < step->branch_count; k++) {
            uint32_t own = longest_chain(&step->branches[k], has_operators);
            most = own > most ? own : most;
        }
        *has_operators = *has_operators || step->v.kind == INST_TERM_OPERATOR;
        chain += 1 + most;
    }
    return chain;
}

enum inst_status inst_compile_finish(struct inst_compiler *c, struct inst_step_list *list,
                                     enum inst_spec_state *state, struct inst_spec_error *thrown) {
    struct inst_spec *spec = c->spec;
    spec->steps = inst_compile_end(list);
    if (inst_compile_is_ok(c)) {
        spec->chain = longest_chain(&spec->steps, &spec->has_operators);
        if (spec->chain > INST_INSTAQL_MAX_CHAIN) {
            inst_compile_limit(c, "conditions on one path", INST_INSTAQL_MAX_CHAIN);
        }
    }
    inst_buf_free(&c->name);
    *state = c->state;
    *thrown = c->thrown;
    return c->status;
}

bool inst_path_next(const char *path, size_t len, size_t *pos, const char **label,
                    size_t *label_len) {
    if (*pos > len) {
        return false;
    }
    size_t end = *pos;
    while (end < len && path[end] != '.') {
        end++;
    }
    *label = path + *pos;
    *label_len = end - *pos;
    *pos = end + 1;
    return true;
}
