#include "instaql/reference.h"

/* Contexts: each one array of bindings, one a slot. */
struct contexts {
    struct inst_binding *items;
    size_t count;
    size_t cap;
};

struct walker {
    struct inst_matcher *m;
    size_t width;
    struct inst_frame *frame; /* one open at a time */
};

bool inst_match_rows_add(struct inst_match_rows *rows, struct inst_run *run, uint32_t e,
                         const struct inst_value *time) {
    if (rows->count == rows->cap) {
        size_t cap = rows->cap ? rows->cap * 2 : 64;
        struct inst_match_row *items = inst_arena_alloc(run->scratch, cap * sizeof(*items));
        if (!items) {
            inst_err_nomem(run->err);
            return false;
        }
        if (rows->count) {
            memcpy(items, rows->items, rows->count * sizeof(*items));
        }
        rows->items = items;
        rows->cap = cap;
    }
    if (rows->count >= INST_INSTAQL_MAX_ROWS) {
        inst_err_set(run->err, "limit-exceeded", 400,
                     "The query has too many matches: the limit is %u.", INST_INSTAQL_MAX_ROWS);
        return false;
    }
    rows->items[rows->count++] = (struct inst_match_row){e, *time};
    return true;
}

static enum inst_status add_context(struct walker *w, struct contexts *list,
                                    const struct inst_binding *slots) {
    struct inst_run *run = w->m->run;
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 16;
        if (cap * w->width * sizeof(struct inst_binding) > INST_INSTAQL_MAX_CONTEXTS) {
            return inst_err_set(run->err, "limit-exceeded", 400,
                                "The query has too many matches to keep in the client's order.");
        }
        struct inst_binding *items =
            inst_arena_alloc(run->scratch, cap * w->width * sizeof(*items));
        if (!items) {
            return inst_err_nomem(run->err);
        }
        if (list->count) {
            memcpy(items, list->items, list->count * w->width * sizeof(*items));
        }
        list->items = items;
        list->cap = cap;
    }
    memcpy(list->items + list->count++ * w->width, slots, w->width * sizeof(*slots));
    return INST_OK;
}

static enum inst_status run_pattern(struct walker *w, const struct inst_step *step,
                                    const struct contexts *in, struct contexts *out) {
    struct inst_matcher *m = w->m;
    struct inst_frame *f = w->frame;
    enum inst_status status = INST_OK;
    for (size_t i = 0; i < in->count && status == INST_OK; i++) {
        memcpy(m->slots, in->items + i * w->width, w->width * sizeof(*m->slots));
        if (inst_frame_open(m, f, step) < 0) {
            return INST_FAILED;
        }
        int fits;
        while ((fits = inst_frame_next(m, f)) == 1 && status == INST_OK) {
            status = add_context(w, out, m->slots);
        }
        inst_frame_close(m, f);
        status = fits < 0 ? INST_FAILED : status;
    }
    return status;
}

/* Recursion is as deep as the where's lists are nested, which is limited. */
static enum inst_status run_steps(struct walker *w, const struct inst_steps *steps,
                                  struct contexts in, struct contexts *out) {
    struct contexts now = in;
    for (uint32_t i = 0; i < steps->count; i++) {
        const struct inst_step *step = &steps->items[i];
        struct contexts next = {0};
        enum inst_status status = INST_OK;
        if (step->attr) {
            status = run_pattern(w, step, &now, &next);
        }
        for (uint32_t k = 0; k < step->branch_count && status == INST_OK; k++) {
            struct contexts branch = {0};
            status = run_steps(w, &step->branches[k], now, &branch);
            for (size_t c = 0; c < branch.count && status == INST_OK; c++) {
                status = add_context(w, &next, branch.items + c * w->width);
            }
        }
        if (status != INST_OK) {
            return status;
        }
        now = next;
    }
    *out = now;
    return INST_OK;
}

enum inst_status inst_reference_run(struct inst_matcher *m, uint32_t parent,
                                    struct inst_match_rows *out) {
    const struct inst_spec *spec = m->spec;
    struct walker w = {.m = m, .width = spec->slot_count, .frame = m->frames};
    struct contexts first = {0};
    struct contexts all = {0};
    inst_matcher_start(m, parent, 0);
    m->run->is_reference = true;
    struct inst_entity_set *seen = m->seen;
    m->seen = NULL;
    enum inst_status status = add_context(&w, &first, m->slots);
    if (status == INST_OK) {
        status = run_steps(&w, &spec->steps, first, &all);
    }
    m->run->is_reference = false;
    m->seen = seen;
    for (size_t i = 0; i < all.count && status == INST_OK; i++) {
        const struct inst_binding *slots = all.items + i * w.width;
        struct inst_value time = spec->time >= 0 ? slots[spec->time].v : inst_undefined();
        uint32_t e = inst_binding_entity(m->run, &slots[spec->root]);
        if (!inst_match_rows_add(out, m->run, e, &time)) {
            status = INST_FAILED;
        }
    }
    return status;
}
