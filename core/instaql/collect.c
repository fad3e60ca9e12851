/*
 * The server: every triple of a query's tree, or the tree as objects (instaql.md 4).
 */
#include "instaql/collect.h"

#include "instaql/plan.h"
#include "instaql/server_validation.h"

static enum inst_status nomem(struct inst_collector *c) { return inst_err_nomem(c->run.err); }

/*
 * Matches.
 */

enum inst_status inst_collect_collator(struct inst_collector *c) {
    if (c->collator) {
        return INST_OK;
    }
    enum inst_status status = inst_collator_new(&c->own_collator, c->run.err);
    c->collator = c->own_collator;
    return status;
}

enum inst_status inst_collect_ready(struct inst_collector *c, const struct inst_form *form,
                                    uint32_t parent) {
    struct inst_collect_form *state = &c->forms[form->number];
    if (state->is_ready) {
        return INST_OK;
    }
    state->is_ready = true;
    enum inst_status status = inst_matcher_init(&state->all, &c->run, &form->spec);
    if (status == INST_OK) {
        inst_matcher_start(&state->all, parent, 0);
        status = inst_plan_make(&state->all);
    }
    return status;
}

struct inst_matcher *inst_collect_bound(struct inst_collector *c, const struct inst_form *form,
                                        uint32_t parent, uint32_t e) {
    struct inst_collect_form *state = &c->forms[form->number];
    struct inst_matcher *m = &state->bound;
    bool is_new = !state->is_bound_ready;
    if (is_new && inst_matcher_init(m, &c->run, &form->spec) != INST_OK) {
        return NULL;
    }
    state->is_bound_ready = true;
    inst_matcher_start(m, parent, e);
    return is_new && inst_plan_make(m) != INST_OK ? NULL : m;
}

static bool is_field(const struct inst_form *form, const struct inst_attr *attr) {
    for (uint32_t i = 0; i < form->field_count; i++) {
        if (form->fields[i] == attr) {
            return true;
        }
    }
    return false;
}

/* "Not null" is matched by an id, and the official server sends no more. The official client tries
 * the condition again on what it was sent, and would find nothing through a link, or of a field
 * that the query leaves out: the first value that may be seen goes along. */
static enum inst_status send_value(struct inst_collector *c, const struct inst_attr *attr,
                                   bool is_reverse, uint32_t e) {
    struct inst_store *store = c->run.store;
    struct inst_scan scan = {.attr = attr};
    struct inst_cursor cursor;
    struct inst_triple triple;
    *(is_reverse ? &scan.ref : &scan.e) = e;
    enum inst_status status = store->ops->scan(store, &scan, &cursor, c->run.err);
    if (status != INST_OK) {
        return status;
    }
    int got;
    bool is_sent = false;
    while (!is_sent && (got = store->ops->next(&cursor, &triple, c->run.err)) == 1) {
        if (triple.v.tag == INST_NULL) {
            continue;
        }
        int64_t number = inst_collect_note(c, attr, &triple);
        if (number < 0) {
            got = -1;
            break;
        }
        is_sent = c->notes[number].is_visible;
        c->notes[number].is_sent = c->notes[number].is_sent || is_sent;
    }
    store->ops->close(&cursor);
    return !is_sent && got < 0 ? INST_FAILED : INST_OK;
}

static enum inst_status send_values(struct inst_collector *c, const struct inst_form *form,
                                    const struct inst_matcher *m) {
    for (uint32_t i = 0; i < m->depth; i++) {
        const struct inst_step *step = m->frames[i].step;
        const struct inst_operator *op = step->v.kind == INST_TERM_OPERATOR ? step->v.op : NULL;
        if (!step->attr || !op || op->kind != INST_OP_IS_NULL || op->wants_null) {
            continue;
        }
        bool is_root = step->e.kind == INST_TERM_SLOT && step->e.slot == form->spec.root;
        if (is_root && !op->is_reverse && is_field(form, op->null_attr)) {
            continue;
        }
        if (send_value(c, op->null_attr, op->is_reverse, m->frames[i].triple.e) != INST_OK) {
            return INST_FAILED;
        }
    }
    return INST_OK;
}

/* One match: 1 when all its triples (and extra, unless NULL) may be seen; they are sent then. */
static int take_match(struct inst_collector *c, const struct inst_matcher *m,
                      const struct inst_attr *extra_attr, const struct inst_triple *extra) {
    uint32_t count = 0;
    bool is_visible = true;
    if (m->depth + 1 > c->row_cap) {
        c->row_cap = m->spec->chain + 2;
        c->row = inst_arena_alloc(c->run.scratch, c->row_cap * sizeof(*c->row));
        if (!c->row) {
            c->row_cap = 0;
            nomem(c);
            return -1;
        }
    }
    for (uint32_t i = 0; i <= m->depth; i++) {
        const struct inst_frame *f = &m->frames[i];
        bool is_extra = i == m->depth;
        if (is_extra ? !extra : !f->step->attr) {
            continue;
        }
        int64_t number = inst_collect_note(c, is_extra ? extra_attr : f->step->attr,
                                           is_extra ? extra : &f->triple);
        if (number < 0) {
            return -1;
        }
        is_visible = is_visible && c->notes[number].is_visible;
        c->row[count++] = (uint32_t)number;
    }
    for (uint32_t i = 0; is_visible && i < count; i++) {
        c->notes[c->row[i]].is_sent = true;
    }
    return is_visible;
}

int inst_collect_sees(struct inst_collector *c, const struct inst_matcher *m) {
    int sees = 1;
    for (uint32_t i = 0; sees == 1 && c->opts->is_visible && i < m->depth; i++) {
        const struct inst_frame *f = &m->frames[i];
        if (f->step->attr) {
            sees = c->opts->is_visible(c->opts->ctx, f->step->attr, &f->triple, c->run.err);
        }
    }
    return sees;
}

static bool add_entity(struct inst_collector *c, struct inst_collect_form *state, uint32_t e) {
    struct inst_entities *list = &state->entities;
    bool failed = false;
    if (!inst_entity_set_add(&state->seen, c->run.scratch, e, &failed)) {
        return true;
    }
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 32;
        uint32_t *items = inst_arena_alloc(c->run.scratch, cap * sizeof(*items));
        if (!items) {
            return false;
        }
        if (list->count) {
            memcpy(items, list->items, list->count * sizeof(*items));
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = e;
    return !failed;
}

/* All matches of m: sent if they may be seen, and their entities listed. */
static enum inst_status take_matches(struct inst_collector *c, const struct inst_form *form,
                                     struct inst_matcher *m, const struct inst_attr *extra_attr,
                                     const struct inst_triple *extra, uint64_t *count) {
    struct inst_collect_form *state = &c->forms[form->number];
    int got;
    int taken = 1;
    while ((got = inst_matcher_next(m)) == 1) {
        uint32_t e = inst_binding_entity(&c->run, &m->slots[form->spec.root]);
        if (++*count > INST_INSTAQL_MAX_ROWS) {
            inst_matcher_stop(m);
            return inst_err_set(c->run.err, "limit-exceeded", 400,
                                "The query has too many matches: the limit is %u.",
                                INST_INSTAQL_MAX_ROWS);
        }
        taken = form->has_count ? 0 : take_match(c, m, extra_attr, extra);
        if (taken == 1 && !add_entity(c, state, e)) {
            nomem(c);
            taken = -1;
        }
        if (taken == 1 && !c->makes_tree && send_values(c, form, m) != INST_OK) {
            taken = -1;
        }
        if (taken < 0) {
            break;
        }
    }
    if (got < 0 || taken < 0) {
        inst_matcher_stop(m);
        return INST_FAILED;
    }
    return INST_OK;
}

/*
 * Forms.
 */

static enum inst_status keep_cursor(struct inst_collector *c, const struct inst_attr *attr,
                                    const struct inst_triple *t,
                                    struct inst_collected_triple *out) {
    out->attr = attr;
    return inst_collect_keep(c, c->arena, attr, t, &out->triple) ? INST_OK : nomem(c);
}

/*
 * What the rules say of namespaces.
 */

/* Recursion is as deep as the where's lists are nested. */
static enum inst_status meet_filters(struct inst_collector *c, const struct inst_steps *steps,
                                     bool *has_any) {
    enum inst_status status = INST_OK;
    for (uint32_t i = 0; status == INST_OK && !*has_any && i < steps->count; i++) {
        const struct inst_step *step = &steps->items[i];
        struct inst_filter *filter = NULL;
        for (uint32_t k = 0; status == INST_OK && k < step->branch_count; k++) {
            status = meet_filters(c, &step->branches[k], has_any);
        }
        if (status == INST_OK && step->attr) {
            status = c->opts->filter(c->opts->ctx, &step->attr->forward.etype, &filter, c->run.err);
            *has_any = *has_any || filter;
        }
    }
    return status;
}

static enum inst_status find_filters(struct inst_collector *c, const struct inst_form *form,
                                     struct inst_form_filter *out) {
    *out = (struct inst_form_filter){0};
    if (!c->opts->filter) {
        return INST_OK;
    }
    enum inst_status status = c->opts->filter(c->opts->ctx, &form->etype, &out->root, c->run.err);
    out->counts_visible = out->root;
    return status == INST_OK ? meet_filters(c, &form->spec.steps, &out->counts_visible) : status;
}

/* Fewer triples to look at than this, and who may see them is asked one by one. */
enum { FEW_TRIPLES = 64 };

bool inst_collect_is_sooner(struct inst_filter *filter, struct inst_matcher *m, bool is_whole) {
    enum { MANY_TRIPLES = 512 }; /* stores count one by one */
    size_t cost = inst_filter_cost(filter, MANY_TRIPLES);
    return cost < MANY_TRIPLES ? cost <= inst_plan_cost(m, cost + 1) : is_whole;
}

/* The conditions to find the form's entities by; *out NULL: the form's own are the shorter way. */
static enum inst_status find_driver(struct inst_collector *c, const struct inst_form *form,
                                    struct inst_filter **out) {
    struct inst_matcher *m = &c->forms[form->number].all;
    *out = NULL;
    if (form->level > 0 || form->has_count || !c->opts->filter) {
        return INST_OK;
    }
    inst_matcher_start(m, 0, 0);
    if (inst_plan_cost(m, FEW_TRIPLES) < FEW_TRIPLES) {
        return INST_OK;
    }
    enum inst_status status = c->opts->filter(c->opts->ctx, &form->etype, out, c->run.err);
    if (status == INST_OK && *out &&
        !inst_collect_is_sooner(*out, m, inst_form_is_unconditional(form))) {
        *out = NULL;
    }
    return status;
}

/* All matches of what meets the conditions. */
static enum inst_status take_found(struct inst_collector *c, const struct inst_form *form,
                                   struct inst_filter *filter, uint64_t *count) {
    uint32_t e;
    int got;
    enum inst_status status = INST_OK;
    inst_filter_start(filter);
    while ((got = inst_filter_next(filter, &e, c->run.err)) == 1) {
        status = c->opts->found(c->opts->ctx, &form->etype, e, c->run.err);
        struct inst_matcher *m = status == INST_OK ? inst_collect_bound(c, form, 0, e) : NULL;
        if (status == INST_OK) {
            status = m ? take_matches(c, form, m, NULL, NULL, count) : nomem(c);
        }
        if (status != INST_OK) {
            inst_filter_stop(filter);
            return status;
        }
    }
    return got < 0 ? INST_FAILED : INST_OK;
}

/* Every match of the form for one parent. */
static enum inst_status take_all(struct inst_collector *c, const struct inst_form *form,
                                 uint32_t parent, uint64_t *count) {
    struct inst_collect_form *state = &c->forms[form->number];
    struct inst_filter *driver;
    enum inst_status status = find_driver(c, form, &driver);
    if (status != INST_OK || driver) {
        return driver ? take_found(c, form, driver, count) : status;
    }
    inst_matcher_start(&state->all, parent, 0);
    return take_matches(c, form, &state->all, NULL, NULL, count);
}

/* The page, its rows' matches, and cursors from what of it may be seen. */
static enum inst_status take_page(struct inst_collector *c, const struct inst_form *form,
                                  uint64_t *count) {
    struct inst_page page;
    struct inst_form_filter by;
    enum inst_status status = find_filters(c, form, &by);
    if (status == INST_OK) {
        status = inst_page_find(c, form, &by, &page);
    }
    if (status != INST_OK) {
        return status;
    }
    struct inst_collected_page *out = &c->out->pages[c->out->page_count++];
    *out = (struct inst_collected_page){
        .etype = form->etype,
        .is_empty = true,
        .has_next = page.has_next,
        .has_previous = page.has_previous,
    };
    for (size_t i = 0; i < page.count && status == INST_OK; i++) {
        const struct inst_page_row *row = &page.rows[i];
        struct inst_matcher *m = inst_collect_bound(c, form, 0, row->e);
        if (!m) {
            return nomem(c);
        }
        status = take_matches(c, form, m, form->paging->attr, &row->triple, count);
        int64_t number =
            status == INST_OK ? inst_collect_note(c, form->paging->attr, &row->triple) : -1;
        if (number < 0) {
            return INST_FAILED;
        }
        if (c->notes[number].is_visible) {
            status = keep_cursor(c, form->paging->attr, &row->triple, &out->end);
            out->start = out->is_empty ? out->end : out->start;
            out->is_empty = false;
        }
    }
    return status;
}

enum inst_status inst_collect_form(struct inst_collector *c, const struct inst_form *form,
                                   uint32_t parent, struct inst_value *objects) {
    struct inst_collect_form *state = &c->forms[form->number];
    uint64_t count = 0;
    if (form->link_state != INST_SPEC_OK || form->state != INST_SPEC_OK) {
        return INST_OK; /* unknown names give nothing */
    }
    enum inst_status status = inst_collect_ready(c, form, parent);
    state->entities.count = 0;
    inst_entity_set_clear(&state->seen);
    if (status == INST_OK && form->paging) {
        status = take_page(c, form, &count);
    } else if (status == INST_OK) {
        status = take_all(c, form, parent, &count);
    }
    if (status == INST_OK && form->level == 0 && form->has_count) {
        c->out->counts[c->out->count_count++] =
            (struct inst_collected_count){.etype = form->etype, .count = count};
    }
    return status == INST_OK ? inst_collect_entities(c, form, objects) : status;
}

/*
 * The whole.
 */

static enum inst_status check_count(const struct inst_query *query, const struct inst_form *form,
                                    bool is_admin, struct inst_err *err) {
    struct inst_value path[] = {form->key, inst_cstring("$"), inst_cstring("aggregate")};
    if (!form->has_count) {
        return INST_OK;
    }
    if (!is_admin) {
        return inst_refuse(query, "expected", "admin?", path, 3,
                           "Aggregates are currently only available for admin queries.", err);
    }
    if (form->child_count) {
        return inst_refuse(query, "expected", "valid-query?", path, 3,
                           "You can not combine aggregates with child queries at this time.", err);
    }
    return INST_OK;
}

static enum inst_status send_notes(struct inst_collector *c) {
    struct inst_collected *out = c->out;
    out->triples = inst_arena_alloc(c->arena, c->note_count * sizeof(*out->triples));
    if (!out->triples) {
        return nomem(c);
    }
    for (uint32_t i = 0; i < c->note_count; i++) {
        if (c->notes[i].is_sent) {
            out->triples[out->triple_count++] = c->notes[i].collected;
        }
    }
    return INST_OK;
}

static enum inst_status run(struct inst_collector *c, struct inst_value *tree) {
    struct inst_query *query = c->query;
    struct inst_object_builder b;
    size_t forms = query->form_count ? query->form_count : 1;
    c->forms = inst_arena_zalloc(c->run.scratch, (query->all_count + 1) * sizeof(*c->forms));
    c->out->pages = inst_arena_alloc(c->arena, forms * sizeof(*c->out->pages));
    c->out->counts = inst_arena_alloc(c->arena, forms * sizeof(*c->out->counts));
    if (!c->forms || !c->out->pages || !c->out->counts) {
        return nomem(c);
    }
    inst_object_begin(&b, c->arena);
    for (uint32_t i = 0; i < query->form_count; i++) {
        const struct inst_form *form = &query->forms[i];
        struct inst_value objects = inst_array(NULL, 0);
        enum inst_status status = inst_collect_form(c, form, 0, &objects);
        if (status != INST_OK) {
            return status;
        }
        if (c->makes_tree) {
            inst_object_add(&b, form->key.u.str, form->key.len, objects);
        }
    }
    if (c->makes_tree) {
        return inst_object_end(&b, tree) ? INST_OK : nomem(c);
    }
    return send_notes(c);
}

static enum inst_status collect(struct inst_query *query, struct inst_store *store,
                                const struct inst_collect_options *opts, struct inst_arena *arena,
                                struct inst_value *tree, struct inst_collected *out,
                                struct inst_err *err) {
    static const struct inst_collect_options none = {0};
    struct inst_err own = {0};
    struct inst_collector c = {.query = query,
                               .opts = opts ? opts : &none,
                               .arena = arena,
                               .makes_tree = tree != NULL,
                               .out = out};
    *out = (struct inst_collected){0};
    enum inst_status status = inst_query_prepare(query, store->attrs, &own);
    for (uint32_t i = 0; status == INST_OK && i < query->form_count; i++) {
        status = check_count(query, &query->forms[i], c.opts->is_admin, &own);
    }
    c.run = (struct inst_run){.store = store, .scratch = &query->scratch, .err = &own};
    c.run.is_server = true;
    c.run.operators.store = store;
    c.collator = c.opts->collator;
    if (status == INST_OK) {
        status = run(&c, tree);
    }
    inst_buf_free(&c.run.operators.scratch[0]);
    inst_buf_free(&c.run.operators.scratch[1]);
    inst_collator_free(c.own_collator);
    inst_arena_reset(&query->scratch);
    return inst_run_finish(status, &own, err);
}

enum inst_status inst_query_collect(struct inst_query *query, struct inst_store *store,
                                    const struct inst_collect_options *opts,
                                    struct inst_arena *arena, struct inst_collected *out,
                                    struct inst_err *err) {
    return collect(query, store, opts, arena, NULL, out, err);
}

enum inst_status inst_query_tree(struct inst_query *query, struct inst_store *store,
                                 const struct inst_collect_options *opts, struct inst_arena *arena,
                                 struct inst_value *out, struct inst_collected *meta,
                                 struct inst_err *err) {
    struct inst_collected own;
    return collect(query, store, opts, arena, out, meta ? meta : &own, err);
}

enum inst_status inst_instaql_collect(struct inst_store *store, const struct inst_value *value,
                                      const struct inst_collect_options *opts,
                                      struct inst_arena *arena, struct inst_collected *out,
                                      struct inst_err *err) {
    struct inst_query *query;
    enum inst_status status = inst_query_new_in(value, INST_QUERY_SERVER, arena, &query, err);
    if (status == INST_OK) {
        status = inst_query_collect(query, store, opts, arena, out, err);
        inst_query_free(query);
    }
    return status;
}
