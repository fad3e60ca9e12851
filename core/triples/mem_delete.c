/*
 * delete-entity with its cascades (instaql.md 1.6).
 *
 * The official client recurses; here what is still to do stands on a stack, in the order in which
 * the recursion would come to it, so that a long chain of cascades costs memory and no C stack.
 * An (entity, namespace) is visited once, which ends cycles: a second visit finds nothing that the
 * first has left.
 */
#include "triples/mem_core.h"

#include "base/text.h"

#include <stdlib.h>

enum task_kind {
    TASK_VISIT, /* an entity */
    TASK_CELL,  /* a cell: cascade to what it links to */
    TASK_DROP,  /* a cell, with its triples */
    TASK_BACKS, /* an entity: who links to it */
    TASK_BACK,  /* a triple that links to the entity */
};

struct task {
    enum task_kind kind;
    uint32_t id;
    struct inst_value etype; /* borrowed from the caller or an attr; UNDEFINED: every namespace */
};

struct visit {
    uint32_t e;
    struct inst_value etype;
};

struct deletion {
    struct inst_mem_store *store;
    struct task *tasks; /* owned: a stack */
    size_t tasks_len, tasks_cap;
    struct visit *visits; /* owned; [0] is unused */
    uint32_t visits_len, visits_cap;
    struct inst_id_table visited; /* (entity, namespace) -> visit */
};

static bool push(struct deletion *del, enum task_kind kind, uint32_t id,
                 const struct inst_value *etype) {
    if (del->tasks_len == del->tasks_cap) {
        size_t cap = del->tasks_cap ? del->tasks_cap * 2 : 32;
        struct task *tasks = realloc(del->tasks, cap * sizeof(*tasks));
        if (!tasks) {
            return false;
        }
        del->tasks = tasks;
        del->tasks_cap = cap;
    }
    del->tasks[del->tasks_len++] = (struct task){.kind = kind, .id = id, .etype = *etype};
    return true;
}

/* What was pushed since `from` comes out in the order it was pushed. */
static void reverse(struct deletion *del, size_t from) {
    for (size_t i = from, j = del->tasks_len; i + 1 < j; i++) {
        struct task task = del->tasks[i];
        del->tasks[i] = del->tasks[--j];
        del->tasks[j] = task;
    }
}

static bool is_every(const struct inst_value *etype) { return !inst_value_truthy(etype); }

/* JavaScript's ===, where both may be undefined. */
static bool same_etype(const struct inst_value *a, const struct inst_value *b) {
    return mem_value_same(a, b);
}

/* 1: was there before, 0: new, -1: out of memory. */
static int visit_once(struct deletion *del, uint32_t e, const struct inst_value *etype) {
    uint64_t name = etype->tag == INST_STRING
                        ? inst_text_hash(etype->u.str, etype->len, del->store->seed)
                        : etype->tag;
    uint32_t hash = inst_id_hash(e, name), at = hash, n;
    while ((n = inst_id_table_next(&del->visited, hash, &at)) != 0) {
        if (del->visits[n].e == e && same_etype(&del->visits[n].etype, etype)) {
            return 1;
        }
    }
    if (del->visits_len == del->visits_cap) {
        uint32_t cap = del->visits_cap ? del->visits_cap * 2 : 16;
        struct visit *visits = realloc(del->visits, cap * sizeof(*visits));
        if (!visits) {
            return -1;
        }
        del->visits = visits;
        del->visits_cap = cap;
        del->visits_len = del->visits_len ? del->visits_len : 1;
    }
    if (!inst_id_table_reserve(&del->visited, 1)) {
        return -1;
    }
    del->visits[del->visits_len] = (struct visit){.e = e, .etype = *etype};
    inst_id_table_add(&del->visited, hash, del->visits_len++);
    return 0;
}

static bool visit(struct deletion *del, const struct task *task) {
    const struct mem_core *core = del->store->core;
    int seen = visit_once(del, task->id, &task->etype);
    if (seen) {
        return seen > 0;
    }
    size_t from = del->tasks_len;
    uint32_t c = mem_entity_at(core, task->id)->first_cell;
    for (; c; c = mem_cell_at(core, c)->next_e) {
        if (!push(del, TASK_CELL, c, &task->etype)) {
            return false;
        }
    }
    if (!push(del, TASK_BACKS, task->id, &task->etype)) {
        return false;
    }
    reverse(del, from);
    return true;
}

static bool cascade_cell(struct deletion *del, const struct task *task) {
    const struct mem_core *core = del->store->core;
    const struct mem_cell *cell = mem_cell_at(core, task->id);
    if (cell->slot_bits & CELL_DEAD) {
        return true;
    }
    const struct inst_attr *attr = core->slots[mem_cell_slot(cell)].attr;
    size_t from = del->tasks_len;
    uint32_t n = attr && attr->on_delete_reverse_cascade ? cell->first : 0;
    for (; n; n = mem_triple_at(core, n)->next) {
        const struct inst_value *v = &mem_triple_at(core, n)->v;
        uint32_t e = mem_handle(v);
        if (!e && v->tag == INST_STRING) {
            e = mem_entity_find(del->store, v->u.str, v->len);
        }
        if (e && !push(del, TASK_VISIT, e, &attr->reverse.etype)) {
            return false;
        }
    }
    if (is_every(&task->etype) || !attr || same_etype(&attr->forward.etype, &task->etype)) {
        if (!push(del, TASK_DROP, task->id, &task->etype)) {
            return false;
        }
    }
    reverse(del, from);
    return true;
}

static bool drop_cell(struct deletion *del, const struct task *task) {
    struct mem_core *core = del->store->core;
    const struct mem_cell *cell = mem_cell_at(core, task->id);
    if (cell->slot_bits & CELL_DEAD) {
        return true;
    }
    uint32_t count = 0;
    for (uint32_t n = cell->first; n; n = mem_triple_at(core, n)->next) {
        count++;
    }
    if (!mem_reserve_drops(del->store, count)) {
        return false;
    }
    while (cell->first) {
        mem_triple_drop(del->store, cell->first);
    }
    mem_cell_drop(del->store, task->id);
    return true;
}

static bool list_backs(struct deletion *del, const struct task *task) {
    const struct mem_core *core = del->store->core;
    size_t from = del->tasks_len;
    uint32_t b = mem_entity_at(core, task->id)->first_back;
    for (; b; b = mem_back_at(core, b)->next) {
        uint32_t n = mem_back_at(core, b)->first;
        for (; n; n = mem_triple_at(core, n)->next_same) {
            if (!push(del, TASK_BACK, n, &task->etype)) {
                return false;
            }
        }
    }
    reverse(del, from);
    return true;
}

/* The triple that now stands where a back says: a stale one may have been written again while its
 * attr was no link. */
static uint32_t live_triple(const struct deletion *del, uint32_t n) {
    const struct mem_core *core = del->store->core;
    const struct mem_triple *triple = mem_triple_at(core, n);
    if (!(triple->bits & TRIPLE_DEAD)) {
        return n;
    }
    const struct mem_cell *cell = mem_cell_at(core, triple->cell);
    uint32_t now = mem_cell_find(core, cell->e, mem_cell_slot(cell));
    return now ? mem_cell_value(del->store, now, &triple->v) : 0;
}

static bool drop_back(struct deletion *del, const struct task *task) {
    struct mem_core *core = del->store->core;
    const struct mem_triple *triple = mem_triple_at(core, task->id);
    const struct mem_cell *cell = mem_cell_at(core, triple->cell);
    const struct inst_attr *attr = core->slots[mem_cell_slot(cell)].attr;
    if (is_every(&task->etype) || !attr || same_etype(&attr->reverse.etype, &task->etype)) {
        uint32_t live = live_triple(del, task->id);
        if (!mem_reserve_drops(del->store, 1)) {
            return false;
        }
        if (live) {
            mem_triple_drop(del->store, live);
        }
        if (triple->bits & TRIPLE_IN_BACK) {
            mem_back_drop(del->store, task->id);
        }
    }
    if (attr && attr->on_delete_cascade && same_etype(&attr->reverse.etype, &task->etype)) {
        return push(del, TASK_VISIT, cell->e, &attr->forward.etype);
    }
    return true;
}

static bool run(struct deletion *del, const struct task *task) {
    switch (task->kind) {
    case TASK_VISIT:
        return visit(del, task);
    case TASK_CELL:
        return cascade_cell(del, task);
    case TASK_DROP:
        return drop_cell(del, task);
    case TASK_BACKS:
        return list_backs(del, task);
    case TASK_BACK:
        return drop_back(del, task);
    }
    return true;
}

enum inst_status inst_mem_store_delete_entity(struct inst_mem_store *store, uint32_t e,
                                              const struct inst_value *etype,
                                              struct inst_err *err) {
    if (!mem_is_known(store->core, e)) {
        return INST_OK;
    }
    struct deletion del = {.store = store};
    bool is_done = push(&del, TASK_VISIT, e, etype);
    while (is_done && del.tasks_len) {
        struct task task = del.tasks[--del.tasks_len];
        is_done = run(&del, &task);
    }
    free(del.tasks);
    free(del.visits);
    inst_id_table_free(&del.visited);
    return is_done ? INST_OK : inst_err_nomem(err);
}
