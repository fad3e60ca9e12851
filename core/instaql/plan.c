#include "instaql/plan.h"

enum {
    COST_LOOKUP = 1,  /* entity bound, one value */
    COST_FEW = 4,     /* entity bound, many values */
    COST_BACK = 8,    /* a link's target bound */
    COST_LIMIT = 512, /* estimates go no further when choosing */
    MAX_PLANNED = 64, /* longer lists stay as they are: choosing is quadratic */
};

struct planner {
    struct inst_matcher *m;
    bool *bound; /* by slot: bound for certain */
    bool *maybe; /* by slot: bound in some branch, or for certain */
    bool *all;   /* by slot: true */
    bool is_identity;
};

static bool is_known(const struct planner *p, const struct inst_term *term) {
    return term->kind == INST_TERM_VALUE || term->kind == INST_TERM_NEVER ||
           (term->kind == INST_TERM_SLOT && p->bound[term->slot]);
}

/* The `$in` of a step; NULL: it has none. */
static const struct inst_operator *in_list(const struct inst_step *step) {
    const struct inst_operator *op = step->e.kind == INST_TERM_OPERATOR   ? step->e.op
                                     : step->v.kind == INST_TERM_OPERATOR ? step->v.op
                                                                          : NULL;
    return op && op->kind == INST_OP_IN ? op : NULL;
}

static size_t scan_cost(const struct planner *p, const struct inst_step *step) {
    struct inst_store *store = p->m->run->store;
    struct inst_scan scan;
    bool is_exact;
    const struct inst_operator *op = in_list(step);
    if (op && op->item_count <= INST_INSTAQL_IN_SCANS) {
        return op->item_count * (size_t)COST_FEW;
    }
    if (!inst_step_scan(p->m, step, &scan, &is_exact)) {
        return 0;
    }
    return store->ops->estimate(store, &scan, COST_LIMIT);
}

static size_t list_cost(const struct planner *p, const struct inst_steps *steps);

static size_t step_cost(const struct planner *p, const struct inst_step *step) {
    if (!step->attr) {
        size_t cost = 0;
        if (p->bound[p->m->spec->root]) {
            return COST_FEW;
        }
        for (uint32_t i = 0; i < step->branch_count && cost < COST_LIMIT; i++) {
            cost += list_cost(p, &step->branches[i]);
        }
        return cost;
    }
    if (is_known(p, &step->e)) {
        return step->attr->is_many ? COST_FEW : COST_LOOKUP;
    }
    if (step->v.kind == INST_TERM_SLOT && is_known(p, &step->v) &&
        p->m->slots[step->v.slot].kind == INST_UNBOUND) {
        return step->attr->is_unique ? COST_LOOKUP : COST_BACK;
    }
    return scan_cost(p, step);
}

/* A list costs what its cheapest step does. */
static size_t list_cost(const struct planner *p, const struct inst_steps *steps) {
    size_t least = COST_LIMIT;
    for (uint32_t i = 0; i < steps->count && i < MAX_PLANNED; i++) {
        size_t cost = step_cost(p, &steps->items[i]);
        least = cost < least ? cost : least;
    }
    return least;
}

static void mark_bound(const struct planner *p, const struct inst_step *step) {
    if (!step->attr) {
        p->bound[p->m->spec->root] = true; /* every branch is about the form's entity */
        return;
    }
    if (step->e.kind == INST_TERM_SLOT) {
        p->bound[step->e.slot] = true;
    }
    if (step->v.kind == INST_TERM_SLOT) {
        p->bound[step->v.slot] = true;
    }
}

static enum inst_status plan_list(struct planner *p, const struct inst_steps *steps,
                                  const bool *outer_live);

/*
 * What need not be tried twice.
 */

/* Sets the slots that steps look at. Recursion is as deep as the where's lists are nested. */
static void mark_used(const struct inst_step *step, bool *used) {
    for (uint32_t i = 0; i < step->branch_count; i++) {
        for (uint32_t k = 0; k < step->branches[i].count; k++) {
            mark_used(&step->branches[i].items[k], used);
        }
    }
    if (step->attr && step->e.kind == INST_TERM_SLOT) {
        used[step->e.slot] = true;
    }
    if (step->attr && step->v.kind == INST_TERM_SLOT) {
        used[step->v.slot] = true;
    }
}

/* The one entity that what follows depends on, when the step has just bound it; 0: none such. */
static uint32_t only_live(const struct planner *p, const bool *live, const bool *before) {
    const struct inst_spec *spec = p->m->spec;
    uint32_t only = 0;
    for (uint32_t i = 1; i < spec->slot_count; i++) {
        if (!live[i] || !p->maybe[i] || i == spec->root) {
            continue;
        }
        if (only || before[i]) {
            return 0;
        }
        only = i;
    }
    return only;
}

static bool *copy_slots(const struct planner *p, const bool *from) {
    size_t size = p->m->spec->slot_count * sizeof(*from);
    bool *copy = inst_arena_alloc(p->m->run->scratch, size);
    if (copy) {
        memcpy(copy, from, size);
    }
    return copy;
}

static enum inst_status plan_branches(struct planner *p, const struct inst_step *step,
                                      const bool *live) {
    size_t size = p->m->spec->slot_count * sizeof(*p->bound);
    bool *bound = copy_slots(p, p->bound);
    bool *maybe = copy_slots(p, p->maybe);
    if (!bound || !maybe) {
        return inst_err_nomem(p->m->run->err);
    }
    for (uint32_t i = 0; i < step->branch_count; i++) {
        enum inst_status status = plan_list(p, &step->branches[i], live);
        if (status != INST_OK) {
            return status;
        }
        memcpy(p->bound, bound, size);
        memcpy(p->maybe, maybe, size);
    }
    return INST_OK;
}

/* The cheapest of the steps that are left. */
static uint32_t choose(const struct planner *p, const struct inst_steps *steps,
                       const bool *is_taken) {
    uint32_t best = steps->count;
    size_t least = SIZE_MAX;
    for (uint32_t i = 0; i < steps->count; i++) {
        if (is_taken[i]) {
            continue;
        }
        size_t cost = step_cost(p, &steps->items[i]);
        if (cost < least) {
            least = cost;
            best = i;
        }
        if (cost <= COST_LOOKUP) {
            break;
        }
    }
    return best;
}

/* Room for what a list of this length needs; *order NULL: it stays as it is. */
static enum inst_status make_room(struct planner *p, const struct inst_steps *steps,
                                  uint16_t **order, struct inst_visited **visited) {
    struct inst_arena *scratch = p->m->run->scratch;
    *order = NULL;
    *visited = NULL;
    if (steps->count < 2 || steps->count > MAX_PLANNED) {
        return INST_OK;
    }
    *order = inst_arena_alloc(scratch, steps->count * sizeof(**order));
    *visited = inst_arena_zalloc(scratch, (steps->count + 1) * sizeof(**visited));
    if (!*order || !*visited) {
        return inst_err_nomem(p->m->run->err);
    }
    (*visited)[steps->count].slot = INST_VISITED_END;
    return INST_OK;
}

/* Slots that anything behind place `at` of the order looks at. */
static bool *live_after(const struct planner *p, const struct inst_steps *steps,
                        const bool *is_taken, const bool *outer_live) {
    bool *live = copy_slots(p, outer_live);
    for (uint32_t i = 0; live && i < steps->count; i++) {
        if (!is_taken[i]) {
            mark_used(&steps->items[i], live);
        }
    }
    return live;
}

static enum inst_status plan_list(struct planner *p, const struct inst_steps *steps,
                                  const bool *outer_live) {
    struct inst_run *run = p->m->run;
    uint16_t *order;
    struct inst_visited *visited;
    bool is_taken[MAX_PLANNED] = {false};
    enum inst_status status = make_room(p, steps, &order, &visited);
    for (uint32_t i = 0; i < steps->count && status == INST_OK; i++) {
        uint32_t next = i;
        const bool *live = outer_live;
        const bool *before = p->maybe;
        if (order) {
            next = choose(p, steps, is_taken);
            is_taken[next] = true;
            order[i] = (uint16_t)next;
            p->is_identity = p->is_identity && next == i;
            live = live_after(p, steps, is_taken, outer_live);
            before = copy_slots(p, p->maybe);
            if (!live || !before) {
                return inst_err_nomem(run->err);
            }
        } else if (steps->count > 1) {
            live = p->all; /* a long list: everything counts as needed */
        }
        const struct inst_step *step = &steps->items[next];
        if (!step->attr) {
            status = plan_branches(p, step, live);
        }
        mark_bound(p, step);
        mark_used(step, p->maybe);
        if (order && step->attr) {
            visited[i].slot = only_live(p, live, before);
        }
    }
    p->m->plan.orders[steps->number] = order;
    p->m->plan.visited[steps->number] = visited;
    return status;
}

static enum inst_status begin(struct planner *p, struct inst_matcher *m) {
    const struct inst_spec *spec = m->spec;
    *p = (struct planner){.m = m, .is_identity = true};
    p->bound = inst_arena_alloc(m->run->scratch, (size_t)3 * spec->slot_count * sizeof(*p->bound));
    if (!p->bound) {
        return inst_err_nomem(m->run->err);
    }
    p->maybe = p->bound + spec->slot_count;
    p->all = p->maybe + spec->slot_count;
    for (uint32_t i = 0; i < spec->slot_count; i++) {
        p->bound[i] = m->slots[i].kind != INST_UNBOUND;
        p->maybe[i] = p->bound[i];
        p->all[i] = true;
    }
    return INST_OK;
}

enum inst_status inst_plan_make(struct inst_matcher *m) {
    const struct inst_spec *spec = m->spec;
    struct planner p;
    m->plan = (struct inst_plan){.is_identity = true};
    if (spec->is_free || (spec->list_count == 1 && spec->steps.count < 2)) {
        return INST_OK;
    }
    enum inst_status status = begin(&p, m);
    if (status != INST_OK) {
        return status;
    }
    m->plan.orders = inst_arena_zalloc(m->run->scratch, spec->list_count * sizeof(*m->plan.orders));
    m->plan.visited =
        inst_arena_zalloc(m->run->scratch, spec->list_count * sizeof(struct inst_visited *));
    bool *none = inst_arena_zalloc(m->run->scratch, spec->slot_count * sizeof(*none));
    if (!m->plan.orders || !m->plan.visited || !none) {
        m->plan = (struct inst_plan){.is_identity = true};
        return inst_err_nomem(m->run->err);
    }
    status = plan_list(&p, &spec->steps, none);
    m->plan.is_identity = p.is_identity;
    return status;
}

size_t inst_plan_cost(struct inst_matcher *m, size_t limit) {
    const struct inst_steps *steps = &m->spec->steps;
    const uint16_t *order = m->plan.orders ? m->plan.orders[steps->number] : NULL;
    const struct inst_step *first = &steps->items[order ? order[0] : 0];
    struct inst_scan scan;
    bool is_exact;
    struct planner p;
    if (steps->count == 0 || begin(&p, m) != INST_OK) {
        return limit;
    }
    if (!first->attr || in_list(first)) {
        size_t cost = step_cost(&p, first);
        return cost < limit ? cost : limit;
    }
    return inst_step_scan(m, first, &scan, &is_exact)
               ? m->run->store->ops->estimate(m->run->store, &scan, limit)
               : 0;
}
