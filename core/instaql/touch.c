#include "instaql/touch.h"

#include "instaql/match.h"
#include "instaql/plan.h"
#include "instaql/query.h"

struct touching {
    const struct inst_touch *touch;
    struct inst_run run;
    const struct inst_form *form;
};

/* A step's list, and where the lists around it hold it. */
struct place {
    const struct inst_steps *list;
    uint32_t at;     /* of the step, or of the `or` that holds it */
    uint32_t branch; /* of that `or` */
    const struct place *outer;
};

static int nomem(struct touching *t) {
    inst_err_nomem(t->run.err);
    return -1;
}

/*
 * The other steps.
 */

/* The list with the step in question left out, or with only the branch that it was left out of. */
static bool copy_without(struct touching *t, const struct place *place,
                         const struct inst_steps *branch, struct inst_steps *out) {
    const struct inst_steps *list = place->list;
    *out = *list;
    out->items = inst_arena_alloc(t->run.scratch, list->count * sizeof(*out->items));
    struct inst_steps *only = branch ? inst_arena_alloc(t->run.scratch, sizeof(*only)) : NULL;
    if (!out->items || (branch && !only)) {
        return false;
    }
    memcpy(out->items, list->items, list->count * sizeof(*out->items));
    if (branch) {
        *only = *branch;
        out->items[place->at].branches = only;
        out->items[place->at].branch_count = 1;
        return true;
    }
    out->count--;
    memmove(out->items + place->at, out->items + place->at + 1,
            (out->count - place->at) * sizeof(*out->items));
    return true;
}

/* The form's steps without the one at place (NULL: all of them). false: out of memory. */
static bool other_steps(struct touching *t, const struct place *place, struct inst_spec *out) {
    *out = t->form->spec;
    const struct inst_steps *branch = NULL;
    for (; place; place = place->outer) {
        struct inst_steps *copy = inst_arena_alloc(t->run.scratch, sizeof(*copy));
        if (!copy || !copy_without(t, place, branch, copy)) {
            return false;
        }
        branch = copy;
    }
    if (branch) {
        out->steps = *branch;
    }
    return true;
}

static void bind(struct inst_matcher *m, const struct inst_term *term, uint32_t e) {
    if (term && term->kind == INST_TERM_SLOT && e) {
        m->slots[term->slot] = (struct inst_binding){.kind = INST_BOUND_ENTITY, .e = e};
    }
}

/* Have the other steps an answer when those terms are these entities? 1, 0, -1. */
static int have_answer(struct touching *t, const struct place *place, const struct inst_term *one,
                       uint32_t e, const struct inst_term *other, uint32_t ref) {
    struct inst_spec *spec = inst_arena_alloc(t->run.scratch, sizeof(*spec));
    struct inst_matcher m;
    if (!spec || !other_steps(t, place, spec)) {
        return nomem(t);
    }
    if (spec->steps.count == 0) {
        return 1;
    }
    if (inst_matcher_init(&m, &t->run, spec) != INST_OK) {
        return -1;
    }
    inst_matcher_start(&m, 0, 0);
    bind(&m, one, e);
    bind(&m, other, ref);
    m.is_existential = true;
    if (inst_plan_make(&m) != INST_OK) {
        return -1;
    }
    int got = inst_matcher_next(&m);
    inst_matcher_stop(&m);
    return got;
}

/*
 * The step.
 */

static uint32_t entity_of(struct touching *t, const struct inst_value *id) {
    struct inst_store *store = t->run.store;
    return id->tag == INST_STRING ? store->ops->entity(store, id->u.str, id->len) : 0;
}

static bool fits_entity(struct touching *t, const struct inst_term *term) {
    switch (term->kind) {
    case INST_TERM_NEVER:
        return false;
    case INST_TERM_VALUE:
        return entity_of(t, &term->value) == t->touch->e;
    default:
        return true;
    }
}

/* 1, 0, -1. */
static int fits_value(struct touching *t, const struct inst_term *term,
                      const struct inst_touch_side *side) {
    struct inst_triple triple = {.e = t->touch->e, .ref = side->ref, .v = side->v};
    if (side->ref) {
        triple.v = (struct inst_value){.tag = INST_ENTITY, .u.entity = side->ref};
    }
    switch (term->kind) {
    case INST_TERM_NEVER:
        return 0;
    case INST_TERM_VALUE:
        if (side->ref || t->touch->attr->is_ref) {
            return entity_of(t, &term->value) == side->ref;
        }
        return side->v.tag == INST_UNDEFINED || term->value.tag == INST_DATE ||
               inst_value_same(&side->v, &term->value);
    case INST_TERM_OPERATOR:
        return triple.v.tag == INST_UNDEFINED
                   ? 1
                   : inst_operator_test(term->op, &t->run.operators, &triple, t->run.err);
    default:
        return 1;
    }
}

/* Did the step's triple come or go? 1, 0, -1. */
static int touches_triple(struct touching *t, const struct place *place,
                          const struct inst_step *step) {
    const struct inst_touch_side *sides[] = {&t->touch->before, &t->touch->after};
    if (!fits_entity(t, &step->e)) {
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        int got = sides[i]->is_there ? fits_value(t, &step->v, sides[i]) : 0;
        if (got == 1) {
            got = have_answer(t, place, &step->e, t->touch->e, &step->v, sides[i]->ref);
        }
        if (got != 0) {
            return got;
        }
    }
    return 0;
}

/* Did what "is null" looks for come or go? 1, 0, -1. */
static int touches_null(struct touching *t, const struct place *place,
                        const struct inst_step *step) {
    const struct inst_touch *touch = t->touch;
    if (!touch->is_only && step->v.op->wants_null) {
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        const struct inst_touch_side *side = i == 0 ? &touch->before : &touch->after;
        uint32_t e = step->v.op->is_reverse ? side->ref : touch->e;
        int got = side->is_there ? have_answer(t, place, &step->e, e, NULL, 0) : 0;
        if (got != 0) {
            return got;
        }
    }
    return 0;
}

/* `is null` of that attr, and *is_absence: being null is what fits. */
static bool is_about_null(const struct inst_step *step, const struct inst_attr *attr,
                          bool *is_absence) {
    const struct inst_operator *op = step->v.kind == INST_TERM_OPERATOR ? step->v.op : NULL;
    bool is_about = step->attr && op && op->kind == INST_OP_IS_NULL && op->null_attr == attr;
    *is_absence = *is_absence || (is_about && op->wants_null);
    return is_about;
}

/* Recursion is as deep as the where's lists are nested. */
static int touches_list(struct touching *t, const struct inst_steps *list,
                        const struct place *outer) {
    for (uint32_t i = 0; i < list->count; i++) {
        const struct inst_step *step = &list->items[i];
        struct place place = {.list = list, .at = i, .outer = outer};
        bool is_absence = false;
        int got = 0;
        for (; got == 0 && place.branch < step->branch_count; place.branch++) {
            got = touches_list(t, &step->branches[place.branch], &place);
        }
        if (got == 0 && step->attr == t->touch->attr) {
            got = touches_triple(t, &place, step);
        }
        if (got == 0 && is_about_null(step, t->touch->attr, &is_absence)) {
            got = touches_null(t, &place, step);
        }
        if (got != 0) {
            return got;
        }
    }
    return 0;
}

/*
 * Forms.
 */

/* How many steps one triple of the attr may fit. Recursion as above. */
static uint32_t count_about(const struct inst_steps *list, const struct inst_attr *attr,
                            bool *is_absence) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct inst_step *step = &list->items[i];
        for (uint32_t k = 0; k < step->branch_count; k++) {
            count += count_about(&step->branches[k], attr, is_absence);
        }
        count += step->attr == attr;
        count += is_about_null(step, attr, is_absence);
    }
    return count;
}

/* A match that is no more may have used the triple in two steps: then the store as it is now has no
 * answer for the other. */
static bool is_told(const struct touching *t) {
    bool is_absence = false;
    uint32_t count = count_about(&t->form->spec.steps, t->touch->attr, &is_absence);
    return count < 2 || (!t->touch->before.is_there && !is_absence);
}

static bool is_shown(const struct inst_form *form, const struct inst_attr *attr) {
    bool is_shown = form->paging && form->paging->attr == attr;
    for (uint32_t i = 0; !is_shown && i < form->field_count; i++) {
        is_shown = form->fields[i] == attr;
    }
    return is_shown;
}

/* Recursion is limited by the depth of forms. */
static int touches_form(struct touching *t, const struct inst_form *form) {
    if (form->link_state != INST_SPEC_OK || form->state != INST_SPEC_OK) {
        return 0;
    }
    t->form = form;
    int got = 0;
    if (is_shown(form, t->touch->attr)) {
        struct inst_term root = {.kind = INST_TERM_SLOT, .slot = form->spec.root};
        got = have_answer(t, NULL, &root, t->touch->e, NULL, 0);
    }
    if (got == 0) {
        got = is_told(t) ? touches_list(t, &form->spec.steps, NULL) : 1;
    }
    for (uint32_t i = 0; got == 0 && i < form->child_count; i++) {
        got = touches_form(t, &form->children[i]);
    }
    return got;
}

int inst_query_is_touched(struct inst_query *query, struct inst_store *store,
                          const struct inst_touch *touch, struct inst_err *err) {
    struct inst_err own = {0};
    struct touching t = {.touch = touch,
                         .run = {.store = store,
                                 .scratch = &query->scratch,
                                 .err = &own,
                                 .work = INST_INSTAQL_MAX_WORK - INST_INSTAQL_MAX_TOUCH,
                                 .is_server = true}};
    int got = inst_query_prepare(query, store->attrs, &own) == INST_OK ? 0 : -1;
    t.run.operators.store = store;
    for (uint32_t i = 0; got == 0 && i < query->form_count; i++) {
        got = touches_form(&t, &query->forms[i]);
    }
    inst_buf_free(&t.run.operators.scratch[0]);
    inst_buf_free(&t.run.operators.scratch[1]);
    inst_arena_reset(&query->scratch);
    if (got < 0) {
        inst_err_move(err, &own);
    }
    inst_err_clear(&own);
    return got;
}
