#include "instaql/match.h"

/*
 * Sets of entities.
 */

enum { KEPT_SET = 4096 };

static uint32_t spread(uint32_t e) { return e * 2654435761u; }

bool inst_entity_set_has(const struct inst_entity_set *set, uint32_t e) {
    if (set->count == 0) {
        return false;
    }
    for (uint32_t at = spread(e) & set->mask; set->slots[at]; at = (at + 1) & set->mask) {
        if (set->slots[at] == e) {
            return true;
        }
    }
    return false;
}

static void set_place(struct inst_entity_set *set, uint32_t e) {
    uint32_t at = spread(e) & set->mask;
    while (set->slots[at]) {
        at = (at + 1) & set->mask;
    }
    set->slots[at] = e;
}

bool inst_entity_set_add(struct inst_entity_set *set, struct inst_arena *arena, uint32_t e,
                         bool *failed) {
    if (inst_entity_set_has(set, e)) {
        return false;
    }
    if (!set->slots || set->count * 2 > set->mask) {
        uint32_t size = set->slots ? (set->mask + 1) * 2 : 32;
        uint32_t *slots = inst_arena_zalloc(arena, size * sizeof(*slots));
        if (!slots) {
            *failed = true;
            return true;
        }
        struct inst_entity_set grown = {.slots = slots, .mask = size - 1};
        for (uint32_t i = 0; set->slots && i <= set->mask; i++) {
            if (set->slots[i]) {
                set_place(&grown, set->slots[i]);
            }
        }
        grown.count = set->count;
        *set = grown;
    }
    set_place(set, e);
    set->count++;
    return true;
}

void inst_entity_set_clear(struct inst_entity_set *set) {
    if (set->count && set->mask < KEPT_SET) {
        memset(set->slots, 0, (set->mask + 1) * sizeof(*set->slots));
        set->count = 0;
    } else if (set->count) {
        *set = (struct inst_entity_set){0}; /* emptying it could cost more than what follows */
    }
}

/*
 * Bindings.
 */

uint32_t inst_binding_entity(struct inst_run *run, const struct inst_binding *b) {
    if (b->kind == INST_BOUND_ENTITY) {
        return b->e;
    }
    return b->kind == INST_BOUND_VALUE && b->v.tag == INST_STRING
               ? run->store->ops->entity(run->store, b->v.u.str, b->v.len)
               : 0;
}

static struct inst_value binding_value(struct inst_run *run, const struct inst_binding *b) {
    return b->kind == INST_BOUND_ENTITY ? run->store->ops->entity_id(run->store, b->e) : b->v;
}

/* JavaScript looks into a bound object for an operator; null has nothing to look into. */
static int check_bound(struct inst_run *run, const struct inst_binding *b) {
    if (b->kind == INST_BOUND_VALUE && b->v.tag == INST_NULL) {
        inst_err_set(run->err, "TypeError", 400,
                     "Cannot read properties of null (reading 'hasOwnProperty')");
        return -1;
    }
    return 1;
}

static bool same_bound(struct inst_run *run, const struct inst_binding *b, uint32_t entity,
                       const struct inst_value *v) {
    if (b->kind == INST_BOUND_ENTITY && entity) {
        return b->e == entity;
    }
    struct inst_value own = binding_value(run, b);
    struct inst_value other = entity ? run->store->ops->entity_id(run->store, entity) : *v;
    return own.tag <= INST_STRING && inst_value_same(&own, &other);
}

static void bind(struct inst_frame *f, struct inst_binding *slot, uint32_t number, uint32_t entity,
                 const struct inst_value *v) {
    slot->kind = entity ? INST_BOUND_ENTITY : INST_BOUND_VALUE;
    slot->e = entity;
    if (!entity) {
        slot->v = *v;
    }
    f->undo[f->undo_count++] = number;
}

/* 1: bound to, or already the same as, the part of the triple; 0: another; -1: failed. */
static int unify(struct inst_matcher *m, struct inst_frame *f, uint32_t number, uint32_t entity,
                 const struct inst_value *v) {
    struct inst_binding *slot = &m->slots[number];
    if (slot->kind == INST_UNBOUND) {
        if (number == m->spec->root) {
            if (m->seen && entity && inst_entity_set_has(m->seen, entity)) {
                return 0;
            }
            m->root_depth = m->depth;
        }
        bind(f, slot, number, entity, v);
        return 1;
    }
    int checked = check_bound(m->run, slot);
    return checked == 1 ? same_bound(m->run, slot, entity, v) : checked;
}

static void undo(struct inst_matcher *m, struct inst_frame *f) {
    while (f->undo_count) {
        m->slots[f->undo[--f->undo_count]].kind = INST_UNBOUND;
    }
}

/*
 * Steps to scans.
 */

/* Fixes the scan's value to a known one; false: nothing can match. */
static bool fix_value(struct inst_run *run, struct inst_scan *scan, const struct inst_value *v) {
    if (scan->attr->is_ref) {
        scan->ref =
            v->tag == INST_STRING ? run->store->ops->entity(run->store, v->u.str, v->len) : 0;
        return scan->ref != 0;
    }
    scan->has_v = v->tag >= INST_NULL && v->tag <= INST_STRING;
    scan->v = *v;
    return scan->has_v;
}

static bool fix_entity(struct inst_matcher *m, const struct inst_term *term,
                       struct inst_scan *scan) {
    if (term->kind == INST_TERM_VALUE) {
        const struct inst_value *v = &term->value;
        scan->e =
            v->tag == INST_STRING ? m->run->store->ops->entity(m->run->store, v->u.str, v->len) : 0;
        return scan->e != 0;
    }
    if (term->kind == INST_TERM_SLOT && m->slots[term->slot].kind != INST_UNBOUND) {
        scan->e = inst_binding_entity(m->run, &m->slots[term->slot]);
        return scan->e != 0;
    }
    return term->kind != INST_TERM_NEVER;
}

/* The operator of an ordered store as its range; false: it has to be tested triple by triple. */
static bool fix_range(const struct inst_step *step, struct inst_scan *scan) {
    const struct inst_operator *other = step->other_end;
    struct inst_bound low, high;
    if (inst_operator_range(step->v.op, &scan->low, &scan->high) != INST_RANGE_EXACT) {
        return false;
    }
    if (other && inst_operator_range(other, &low, &high) == INST_RANGE_EXACT) {
        bool is_low = other->kind == INST_OP_GT || other->kind == INST_OP_GTE;
        *(is_low ? &scan->low : &scan->high) = is_low ? low : high;
    }
    return true;
}

bool inst_step_scan(struct inst_matcher *m, const struct inst_step *step, struct inst_scan *scan,
                    bool *is_exact) {
    const struct inst_term *v = &step->v;
    *scan = (struct inst_scan){.attr = step->attr};
    *is_exact = true;
    if (!fix_entity(m, &step->e, scan)) {
        return false;
    }
    switch (v->kind) {
    case INST_TERM_NEVER:
        return false;
    case INST_TERM_VALUE:
        return fix_value(m->run, scan, &v->value);
    case INST_TERM_OPERATOR:
        *is_exact = !scan->e && m->run->is_server &&
                    m->run->store->ops->can_range(m->run->store, step->attr) &&
                    fix_range(step, scan);
        return true;
    case INST_TERM_SLOT: {
        const struct inst_binding *b = &m->slots[v->slot];
        if (b->kind == INST_UNBOUND) {
            return true;
        }
        if (b->kind == INST_BOUND_ENTITY && step->attr->is_ref) {
            scan->ref = b->e;
            return true;
        }
        if (scan->e) {
            return true; /* few values, compared when they come */
        }
        struct inst_value bound = binding_value(m->run, b);
        return fix_value(m->run, scan, &bound);
    }
    default:
        return true;
    }
}

/*
 * Frames.
 */

void inst_frame_close(struct inst_matcher *m, struct inst_frame *f) {
    if (f->is_open) {
        m->run->store->ops->close(&f->cursor);
        f->is_open = false;
    }
}

static const struct inst_operator *step_operator(const struct inst_step *step) {
    return step->e.kind == INST_TERM_OPERATOR   ? step->e.op
           : step->v.kind == INST_TERM_OPERATOR ? step->v.op
                                                : NULL;
}

/* Opens the scan of the next item of a short `$in`. 1, 0: no more items, -1. */
static int open_item(struct inst_matcher *m, struct inst_frame *f) {
    const struct inst_step *step = f->step;
    const struct inst_operator *op = step_operator(step);
    struct inst_run *run = m->run;
    while (f->at < op->item_count) {
        struct inst_step one = *step;
        struct inst_term item = {.kind = INST_TERM_VALUE, .value = op->items[f->at++]};
        struct inst_scan scan;
        bool is_exact;
        *(step->e.kind == INST_TERM_OPERATOR ? &one.e : &one.v) = item;
        if (inst_step_scan(m, &one, &scan, &is_exact)) {
            if (run->store->ops->scan(run->store, &scan, &f->cursor, run->err) != INST_OK) {
                return -1;
            }
            f->is_open = true;
            return 1;
        }
    }
    return 0;
}

/* Dates are compared as instants, one by one. */
static bool can_scan_items(const struct inst_matcher *m, const struct inst_operator *op) {
    return op->kind == INST_OP_IN && op->item_count <= INST_INSTAQL_IN_SCANS &&
           !m->run->is_reference && !op->is_date;
}

int inst_frame_open(struct inst_matcher *m, struct inst_frame *f, const struct inst_step *step) {
    struct inst_run *run = m->run;
    struct inst_scan scan;
    bool is_exact;
    f->step = step;
    f->is_open = false;
    f->is_in_list = false;
    f->undo_count = 0;
    f->at = 0;
    f->checks_operator = false;
    if (!step->attr) {
        return 0;
    }
    const struct inst_operator *op = step_operator(step);
    if (op && can_scan_items(m, op)) {
        f->is_in_list = true;
        m->did_reorder = m->did_reorder || op->item_count > 1;
        return open_item(m, f) < 0 ? -1 : 0;
    }
    if (!inst_step_scan(m, step, &scan, &is_exact)) {
        return 0;
    }
    f->checks_operator = op && (step->e.kind == INST_TERM_OPERATOR || !is_exact);
    if (run->store->ops->scan(run->store, &scan, &f->cursor, run->err) != INST_OK) {
        return -1;
    }
    f->is_open = true;
    return 0;
}

/* Binds what the triple has for the step. 1, 0, -1. */
static int take(struct inst_matcher *m, struct inst_frame *f) {
    const struct inst_step *step = f->step;
    const struct inst_triple *t = &f->triple;
    int fits = 1;
    if (f->checks_operator) {
        /* On the side that a link starts from, the entity is what is looked at. */
        struct inst_triple start = {.ref = t->e, .v = {.tag = INST_ENTITY, .u.entity = t->e}};
        bool is_start = step->e.kind == INST_TERM_OPERATOR;
        fits = inst_operator_test(step_operator(step), &m->run->operators, is_start ? &start : t,
                                  m->run->err);
    }
    if (fits == 1 && step->e.kind == INST_TERM_SLOT) {
        fits = unify(m, f, step->e.slot, t->e, NULL);
    }
    if (fits == 1 && step->v.kind == INST_TERM_SLOT) {
        fits = unify(m, f, step->v.slot, t->ref, &t->v);
    }
    if (fits == 1 && step->time_slot >= 0) {
        struct inst_value time =
            t->t == INST_NO_TIME ? inst_undefined() : inst_number((double)t->t);
        fits = unify(m, f, (uint32_t)step->time_slot, 0, &time);
    }
    if (fits != 1) {
        undo(m, f);
    }
    return fits;
}

static bool count_work(struct inst_run *run) {
    if (++run->work <= INST_INSTAQL_MAX_WORK) {
        return true;
    }
    return inst_instaql_took_too_long(run->err, "The query looks at too many triples.");
}

int inst_frame_next(struct inst_matcher *m, struct inst_frame *f) {
    struct inst_run *run = m->run;
    undo(m, f);
    for (;;) {
        if (!f->is_open) {
            int opened = f->is_in_list ? open_item(m, f) : 0;
            if (opened != 1) {
                return opened;
            }
        }
        int got = run->store->ops->next(&f->cursor, &f->triple, run->err);
        if (got == 0) {
            inst_frame_close(m, f);
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (!count_work(run)) {
            return -1;
        }
        int fits = take(m, f);
        if (fits != 0) {
            return fits;
        }
    }
}

/*
 * The machine.
 */

enum inst_status inst_matcher_init(struct inst_matcher *m, struct inst_run *run,
                                   const struct inst_spec *spec) {
    *m = (struct inst_matcher){.run = run, .spec = spec, .plan = {.is_identity = true}};
    m->slots = inst_arena_zalloc(run->scratch, spec->slot_count * sizeof(*m->slots));
    m->frames = inst_arena_alloc(run->scratch, (spec->chain + 1) * sizeof(*m->frames));
    return m->slots && m->frames ? INST_OK : inst_err_nomem(run->err);
}

static const struct inst_step *step_at(const struct inst_cont *cont) {
    return &cont->steps->items[cont->order ? cont->order[cont->at] : cont->at];
}

/* Opens the frame of the step that cont stands at, or of what follows it. 1: opened, 0: nothing
 * follows, which makes a match, -1: failed. */
static int push(struct inst_matcher *m, struct inst_cont cont) {
    if (!count_work(m->run)) {
        return -1;
    }
    while (cont.at == cont.steps->count) {
        if (!cont.outer) {
            return 0;
        }
        cont = *cont.outer;
    }
    struct inst_frame *f = &m->frames[m->depth++];
    f->after = cont;
    f->after.at++;
    return inst_frame_open(m, f, step_at(&cont)) < 0 ? -1 : 1;
}

static struct inst_cont list_start(const struct inst_matcher *m, const struct inst_steps *steps,
                                   const struct inst_cont *outer) {
    return (struct inst_cont){
        .steps = steps,
        .order = m->plan.orders ? m->plan.orders[steps->number] : NULL,
        .outer = outer,
    };
}

void inst_matcher_start(struct inst_matcher *m, uint32_t parent, uint32_t root) {
    for (uint32_t i = 0; i < m->spec->slot_count; i++) {
        m->slots[i].kind = INST_UNBOUND;
    }
    if (parent) {
        m->slots[INST_SLOT_PARENT] = (struct inst_binding){.kind = INST_BOUND_ENTITY, .e = parent};
    }
    if (root) {
        m->slots[m->spec->root] = (struct inst_binding){.kind = INST_BOUND_ENTITY, .e = root};
    }
    m->depth = 0;
    m->root_depth = 0;
    m->is_started = false;
    for (uint32_t i = 0; m->plan.visited && i < m->spec->list_count; i++) {
        struct inst_visited *list = m->plan.visited[i];
        for (; list && list->slot != INST_VISITED_END; list++) {
            inst_entity_set_clear(&list->set);
            list->root = 0;
        }
    }
}

/* Was what follows the step tried for the same entity before? 1: yes, 0: no, -1: failed. */
static int was_visited(struct inst_matcher *m, const struct inst_frame *f) {
    struct inst_visited *list = m->plan.visited[f->after.steps->number];
    struct inst_visited *visited = list ? &list[f->after.at - 1] : NULL;
    if (!visited || !visited->slot || m->slots[visited->slot].kind != INST_BOUND_ENTITY) {
        return 0;
    }
    const struct inst_binding *root = &m->slots[m->spec->root];
    uint32_t owner = root->kind == INST_BOUND_ENTITY ? root->e : 0;
    bool failed = false;
    if (owner != visited->root) {
        inst_entity_set_clear(&visited->set);
        visited->root = owner;
    }
    bool is_new =
        inst_entity_set_add(&visited->set, m->run->scratch, m->slots[visited->slot].e, &failed);
    if (failed) {
        inst_err_nomem(m->run->err);
        return -1;
    }
    return !is_new;
}

/* The next thing below frame f: a fitting triple, or the next branch. 1: go on, 0: none, -1. */
static int advance(struct inst_matcher *m, struct inst_frame *f, struct inst_cont *next) {
    if (f->step->attr) {
        int fits;
        int visited = 0;
        do {
            fits = inst_frame_next(m, f);
            if (fits == 1 && m->is_existential && m->plan.visited) {
                visited = was_visited(m, f);
            }
        } while (fits == 1 && visited == 1);
        *next = f->after;
        return visited < 0 ? -1 : fits;
    }
    if (f->at == f->step->branch_count) {
        return 0;
    }
    *next = list_start(m, &f->step->branches[f->at++], &f->after);
    return 1;
}

int inst_matcher_next(struct inst_matcher *m) {
    if (!m->is_started) {
        m->is_started = true;
        int opened = push(m, list_start(m, &m->spec->steps, NULL));
        if (opened != 1) {
            return opened;
        }
    }
    while (m->depth) {
        struct inst_frame *f = &m->frames[m->depth - 1];
        struct inst_cont next;
        int fits = advance(m, f, &next);
        if (fits < 0) {
            return -1;
        }
        if (fits == 0) {
            m->depth--;
            continue;
        }
        int opened = push(m, next);
        if (opened <= 0) {
            return opened == 0 ? 1 : -1;
        }
    }
    return 0;
}

static void pop(struct inst_matcher *m) {
    struct inst_frame *f = &m->frames[--m->depth];
    if (f->step->attr) {
        undo(m, f);
        inst_frame_close(m, f);
    }
}

void inst_matcher_leave_root(struct inst_matcher *m) {
    while (m->depth > m->root_depth) {
        pop(m);
    }
}

void inst_matcher_stop(struct inst_matcher *m) {
    while (m->depth) {
        pop(m);
    }
}
