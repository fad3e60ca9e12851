/*
 * Order, limit, offset and cursors of a top-level form (instaql.md 4.3).
 *
 * Two ways to the same rows. `gather`: all matches, sorted. `walk`: the order attr's own order in
 * the store, each row asked whether it matches, for as long as rows are needed; for orders that the
 * store has, when matches are many. Where it does not show beforehand how many they are, some are
 * gathered; when that was not all, a walk is tried, which ends soon when most rows match; when it
 * does not, the others are gathered too.
 */
#include "base/date.h"
#include "instaql/collect.h"
#include "instaql/compare.h"
#include "instaql/plan.h"

#include <math.h>
#include <stdlib.h>

enum {
    FEW_MATCHES = 1000, /* sorted rather than walked to */
    FEW_ROWS = 64,      /* gathered before a walk is tried */
    MAX_TRIED = 256,    /* rows that such a walk asks */
    MAX_READ = 2048,    /* and that it reads: equal ones are read all before one is asked */
};

/*
 * The order.
 */

struct order {
    const struct inst_paging *paging;
    struct inst_collator *collator; /* texts; NULL: by bytes */
};

static int rank(const struct inst_value *v) {
    switch (v->tag) {
    case INST_NUMBER:
        return 1;
    case INST_STRING:
        return 2;
    case INST_FALSE:
        return 3;
    case INST_TRUE:
        return 4;
    case INST_NULL:
    case INST_UNDEFINED:
        return 0;
    default:
        return 5;
    }
}

static int compare_keys(const struct order *order, const struct inst_value *a,
                        const struct inst_value *b) {
    if (rank(a) != rank(b)) {
        return rank(a) < rank(b) ? -1 : 1;
    }
    if (a->tag == INST_NUMBER) {
        return (a->u.num > b->u.num) - (a->u.num < b->u.num);
    }
    if (a->tag == INST_STRING) {
        return inst_collator_compare(order->collator, a->u.str, a->len, b->u.str, b->len);
    }
    return 0;
}

/* Ascending; ties by id. */
static int compare_rows(const struct order *order, const struct inst_page_row *a,
                        const struct inst_page_row *b) {
    int result = compare_keys(order, &a->key, &b->key);
    return result ? result : inst_id_compare(a->id.u.str, a->id.len, b->id.u.str, b->id.len);
}

static int compare_for_sort(const void *a, const void *b, void *ctx) {
    return compare_rows(ctx, a, b);
}

/* What of a page triple is compared; dates as ms. */
static struct inst_value key_of(const struct inst_paging *paging, const struct inst_triple *t) {
    struct inst_value ms;
    if (paging->is_by_time) {
        return t->t == INST_NO_TIME ? inst_null() : inst_number((double)t->t);
    }
    if (paging->attr->checked_type == INST_CHECKED_DATE && t->v.tag != INST_NULL) {
        bool is_date = inst_date_coerce(&t->v, &ms, NULL) == INST_OK && !isnan(ms.u.num);
        return is_date ? inst_number(ms.u.num) : inst_null();
    }
    return t->v;
}

static struct inst_page_row row_of_cursor(const struct inst_value *id, const struct inst_value *v) {
    struct inst_page_row row = {.id = *id, .key = *v};
    if (id->tag != INST_STRING) {
        row.id = inst_string("", 0);
    }
    if (v->tag == INST_DATE) {
        row.key = inst_number(v->u.num);
    }
    return row;
}

/*
 * Sources of rows in order.
 */

struct pager {
    struct inst_collector *c;
    const struct inst_form *form;
    const struct inst_paging *paging;
    struct order order;
    const struct inst_form_filter *by;
    bool is_walk;
    bool is_whole;  /* every row that is walked matches */
    bool is_driven; /* gather: by the rules' conditions, not the form's own */
    bool is_trial;  /* walk: no further than what is left */
    bool is_spent;  /* and that was too short: no error is set */
    uint32_t tries_left, reads_left;
    /* gather: every match, ascending */
    struct inst_page_row *rows;
    size_t count;
    size_t cap;
};

/* A place in the order to start from, in a direction. */
struct source {
    struct pager *p;
    bool is_desc;
    const struct inst_page_row *from; /* NULL: from the end that comes first */
    bool is_inclusive;
    size_t at; /* gather: next row, counted in the direction */
    /* walk */
    struct inst_cursor cursor;
    bool is_open;
    bool has_ahead;
    struct inst_page_row ahead; /* first row of the next run of equal keys */
    struct inst_page_row *run;  /* rows of equal keys, by id */
    size_t run_count;
    size_t run_cap;
    size_t run_at;
};

/* The page triple, as a row with a value of its own. */
static bool make_row(struct pager *p, const struct inst_triple *t, struct inst_page_row *row) {
    struct inst_store *store = p->c->run.store;
    *row = (struct inst_page_row){.e = t->e, .triple = *t};
    row->id = store->ops->entity_id(store, t->e);
    if (t->v.tag == INST_ENTITY) {
        row->triple.v = row->id;
    }
    if (!inst_value_dup(p->c->run.scratch, &row->triple.v, &row->triple.v) ||
        !inst_value_dup(p->c->run.scratch, &row->id, &row->id)) {
        inst_err_nomem(p->c->run.err);
        return false;
    }
    row->key = key_of(p->paging, &row->triple);
    return true;
}

static bool add_row(struct pager *p, struct inst_page_row **rows, size_t *count, size_t *cap,
                    const struct inst_page_row *row) {
    if (*count == *cap) {
        size_t more = *cap ? *cap * 2 : 64;
        struct inst_page_row *grown = inst_arena_alloc(p->c->run.scratch, more * sizeof(*grown));
        if (!grown) {
            inst_err_nomem(p->c->run.err);
            return false;
        }
        if (*count) {
            memcpy(grown, *rows, *count * sizeof(*grown));
        }
        *rows = grown;
        *cap = more;
    }
    (*rows)[(*count)++] = *row;
    return true;
}

/* Is the row behind the place where the source starts? */
static bool is_behind(const struct source *s, const struct inst_page_row *row) {
    if (!s->from) {
        return true;
    }
    int order = compare_rows(&s->p->order, row, s->from);
    order = s->is_desc ? -order : order;
    return s->is_inclusive ? order >= 0 : order > 0;
}

/*
 * Gathering.
 */

/* The page triple of an entity: 1, 0 when it has none, -1. */
static int find_triple(struct pager *p, uint32_t e, struct inst_page_row *row) {
    struct inst_run *run = &p->c->run;
    struct inst_scan scan = {.attr = p->paging->attr, .e = e};
    struct inst_cursor cursor;
    struct inst_triple triple;
    if (run->store->ops->scan(run->store, &scan, &cursor, run->err) != INST_OK) {
        return -1;
    }
    int got = run->store->ops->next(&cursor, &triple, run->err);
    if (got == 1 && !make_row(p, &triple, row)) {
        got = -1;
    }
    run->store->ops->close(&cursor);
    return got;
}

/* Is there a match of the row's entity that may be seen, as its place in the order may be? 1, 0,
 * -1. */
static int has_visible_match(struct pager *p, const struct inst_page_row *row) {
    const struct inst_collect_options *opts = p->c->opts;
    int sees = opts->is_visible
                   ? opts->is_visible(opts->ctx, p->paging->attr, &row->triple, p->c->run.err)
                   : 1;
    if (sees != 1 || p->is_whole) {
        return sees;
    }
    struct inst_matcher *m = inst_collect_bound(p->c, p->form, 0, row->e);
    int got = m ? 0 : -1;
    sees = 0;
    while (m && sees == 0 && (got = inst_matcher_next(m)) == 1) {
        sees = inst_collect_sees(p->c, m);
    }
    if (m) {
        inst_matcher_stop(m);
    }
    return got < 0 ? -1 : sees;
}

/* The next entity that may be a row. 1, 0, -1. */
static int next_candidate(struct pager *p, struct inst_matcher *m, uint32_t *e) {
    struct inst_collector *c = p->c;
    if (p->is_driven) {
        int got = inst_filter_next(p->by->root, e, c->run.err);
        return got == 1 && c->opts->found(c->opts->ctx, &p->form->etype, *e, c->run.err) != INST_OK
                   ? -1
                   : got;
    }
    int got = inst_matcher_next(m);
    if (got == 1) {
        *e = inst_binding_entity(&c->run, &m->slots[p->form->spec.root]);
        inst_matcher_leave_root(m);
    }
    return got;
}

/* The entity's row, unless it is none that counts. 1, 0, -1. */
static int gather_one(struct pager *p, uint32_t e) {
    struct inst_page_row row;
    int found = find_triple(p, e, &row);
    if (found == 1 && p->by->counts_visible) {
        found = has_visible_match(p, &row);
    }
    if (found != 1) {
        return found;
    }
    if (!add_row(p, &p->rows, &p->count, &p->cap, &row)) {
        return -1;
    }
    if (p->count > INST_INSTAQL_MAX_ROWS) {
        inst_err_set(p->c->run.err, "limit-exceeded", 400,
                     "The query has too many matches: the limit is %u.", INST_INSTAQL_MAX_ROWS);
        return -1;
    }
    return 1;
}

static void gather_start(struct pager *p) {
    struct inst_collect_form *state = &p->c->forms[p->form->number];
    inst_matcher_start(&state->all, 0, 0);
    inst_entity_set_clear(&state->seen);
    state->all.is_existential = true;
    if (p->is_driven) {
        inst_filter_start(p->by->root);
    }
}

/* Needed in the end, however it ended. */
static void gather_stop(struct pager *p) {
    struct inst_collect_form *state = &p->c->forms[p->form->number];
    inst_matcher_stop(&state->all);
    if (p->is_driven) {
        inst_filter_stop(p->by->root);
    }
    inst_entity_set_clear(&state->seen);
    state->all.is_existential = false;
}

/* Up to so many entities more. 1: there may be others, 0: that was all, and the rows are sorted,
 * -1. */
static int gather_some(struct pager *p, size_t most) {
    struct inst_collect_form *state = &p->c->forms[p->form->number];
    bool failed = false;
    uint32_t e;
    int got = 1;
    for (size_t n = 0; n < most && (got = next_candidate(p, &state->all, &e)) == 1;) {
        if (!inst_entity_set_add(&state->seen, p->c->run.scratch, e, &failed)) {
            continue;
        }
        n++;
        if (failed) {
            inst_err_nomem(p->c->run.err);
            return -1;
        }
        if (gather_one(p, e) < 0) {
            return -1;
        }
    }
    if (got == 0 && p->count > 1) {
        qsort_r(p->rows, p->count, sizeof(*p->rows), compare_for_sort, &p->order);
    }
    return got;
}

/* The rows are in memory: the start is found by halving. */
static void open_gathered(struct source *s) {
    size_t lo = 0;
    size_t hi = s->p->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct inst_page_row *row = &s->p->rows[s->is_desc ? s->p->count - 1 - mid : mid];
        if (is_behind(s, row)) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    s->at = lo;
}

static int next_gathered(struct source *s, struct inst_page_row *row) {
    if (s->at == s->p->count) {
        return 0;
    }
    size_t at = s->at++;
    *row = s->p->rows[s->is_desc ? s->p->count - 1 - at : at];
    return 1;
}

/*
 * Walking.
 */

/* The store orders equal keys in its own way, so the scan starts with all that equal the start. */
static void start_scan_at(const struct source *s, struct inst_scan *scan) {
    const struct inst_value *key = s->from ? &s->from->key : NULL;
    if (!key) {
        return;
    }
    if (s->p->paging->is_by_time) {
        if (key->tag == INST_NUMBER) {
            scan->after_v = inst_number(key->u.num + (s->is_desc ? 1 : -1));
            scan->after_e = s->is_desc ? 1 : UINT32_MAX;
        }
        return;
    }
    struct inst_bound bound = {.is_set = true, .is_inclusive = true, .v = *key};
    if (key->tag == INST_NUMBER && s->p->paging->attr->checked_type == INST_CHECKED_DATE) {
        bound.v.tag = INST_DATE;
    }
    if (s->is_desc) {
        scan->high = bound;
    } else if (key->tag != INST_NULL) {
        scan->low = bound;
    }
}

static enum inst_status open_walk(struct source *s) {
    struct inst_run *run = &s->p->c->run;
    struct inst_scan scan = {.attr = s->p->paging->attr,
                             .order = s->is_desc ? INST_ORDER_DESC : INST_ORDER_ASC};
    start_scan_at(s, &scan);
    enum inst_status status = run->store->ops->scan(run->store, &scan, &s->cursor, run->err);
    s->is_open = status == INST_OK;
    return status;
}

static int compare_run(const void *a, const void *b, void *ctx) {
    const struct inst_page_row *x = a;
    const struct inst_page_row *y = b;
    int order = inst_id_compare(x->id.u.str, x->id.len, y->id.u.str, y->id.len);
    return *(const bool *)ctx ? -order : order;
}

/* Reads the next rows that have one key. 1, 0: no more, -1. */
static int fill_run(struct source *s) {
    struct pager *p = s->p;
    struct inst_run *run = &p->c->run;
    s->run_count = 0;
    s->run_at = 0;
    if (s->has_ahead && !add_row(p, &s->run, &s->run_count, &s->run_cap, &s->ahead)) {
        return -1;
    }
    s->has_ahead = false;
    while (s->is_open) {
        struct inst_triple triple;
        struct inst_page_row row;
        int got = run->store->ops->next(&s->cursor, &triple, run->err);
        if (got <= 0) {
            run->store->ops->close(&s->cursor);
            s->is_open = false;
            if (got < 0) {
                return -1;
            }
            break;
        }
        if (p->is_trial && p->reads_left-- == 0) {
            p->is_spent = true;
            return -1;
        }
        if (++run->work > INST_INSTAQL_MAX_WORK) {
            inst_instaql_took_too_long(run->err, "The query looks at too many triples.");
            return -1;
        }
        if (!make_row(p, &triple, &row)) {
            return -1;
        }
        if (s->run_count && compare_keys(&p->order, &row.key, &s->run[0].key) != 0) {
            s->ahead = row;
            s->has_ahead = true;
            break;
        }
        if (!add_row(p, &s->run, &s->run_count, &s->run_cap, &row)) {
            return -1;
        }
    }
    if (s->run_count > 1) {
        qsort_r(s->run, s->run_count, sizeof(*s->run), compare_run, &s->is_desc);
    }
    return s->run_count > 0;
}

/* Does the entity match? Without conditions it does when it is one. 1, 0, -1. */
static int matches(struct pager *p, uint32_t e) {
    struct inst_matcher *m = inst_collect_bound(p->c, p->form, 0, e);
    if (!m) {
        return -1;
    }
    m->is_existential = true;
    int got = inst_matcher_next(m);
    inst_matcher_stop(m);
    m->is_existential = false;
    return got;
}

/* The conditions spare the rule, when it is one that they say in full. 1, 0, -1. */
static int meets_rules(struct pager *p, uint32_t e) {
    struct inst_collector *c = p->c;
    if (!p->by->root) {
        return 1;
    }
    int fits = inst_filter_fits(p->by->root, e, c->run.err);
    return fits == 1 && c->opts->found(c->opts->ctx, &p->form->etype, e, c->run.err) != INST_OK
               ? -1
               : fits;
}

static int next_walked(struct source *s, struct inst_page_row *row) {
    for (;;) {
        if (s->run_at == s->run_count) {
            int filled = fill_run(s);
            if (filled != 1) {
                return filled;
            }
        }
        const struct inst_page_row *candidate = &s->run[s->run_at++];
        if (!is_behind(s, candidate)) {
            continue;
        }
        if (s->p->is_trial && s->p->tries_left-- == 0) {
            s->p->is_spent = true;
            return -1;
        }
        int fits = meets_rules(s->p, candidate->e);
        if (fits == 1) {
            fits = s->p->by->counts_visible ? has_visible_match(s->p, candidate)
                   : s->p->is_whole         ? 1
                                            : matches(s->p, candidate->e);
        }
        if (fits != 0) {
            *row = *candidate;
            return fits;
        }
    }
}

static enum inst_status source_open(struct source *s, struct pager *p, bool is_desc,
                                    const struct inst_page_row *from, bool is_inclusive) {
    *s = (struct source){.p = p, .is_desc = is_desc, .from = from, .is_inclusive = is_inclusive};
    if (p->is_walk) {
        return open_walk(s);
    }
    open_gathered(s);
    return INST_OK;
}

static int source_next(struct source *s, struct inst_page_row *row) {
    return s->p->is_walk ? next_walked(s, row) : next_gathered(s, row);
}

static void source_close(struct source *s) {
    if (s->is_open) {
        s->p->c->run.store->ops->close(&s->cursor);
        s->is_open = false;
    }
}

/* Are there rows that count for the page but may not be seen? */
static bool has_hidden(const struct pager *p) {
    return p->c->opts->is_visible && !p->by->counts_visible;
}

/* Is there any match strictly beyond the row that may be seen? After many that may not it counts as
 * no: the next page would show none of them either. 1, 0, -1. */
static int has_beyond(struct pager *p, const struct inst_page_row *row, bool is_desc) {
    struct source s;
    struct inst_page_row other;
    uint64_t left = INST_INSTAQL_MAX_HIDDEN + p->paging->limit;
    int sees = 0;
    int got = -1;
    if (source_open(&s, p, is_desc, row, false) == INST_OK) {
        while (left-- > 0 && sees == 0 && (got = source_next(&s, &other)) == 1) {
            sees = has_hidden(p) ? has_visible_match(p, &other) : 1;
        }
    }
    source_close(&s);
    return got < 0 ? -1 : sees;
}

/* May any row of the page be seen? 1, 0, -1. */
static int shows_any(struct pager *p, const struct inst_page *page) {
    int sees = page->count > 0 && !has_hidden(p);
    for (size_t i = 0; sees == 0 && i < page->count; i++) {
        sees = has_visible_match(p, &page->rows[i]);
    }
    return sees;
}

/*
 * The page.
 */

struct fetched {
    struct inst_page_row *rows; /* in the direction they were fetched in */
    size_t count;
    size_t cap;
    bool has_more; /* one more than the limit was there */
};

/* `last` fetches backwards, from `before` towards `after`. */
static enum inst_status fetch(struct pager *p, const struct inst_page_row *after,
                              const struct inst_page_row *before, struct fetched *out) {
    const struct inst_paging *paging = p->paging;
    bool is_desc = paging->is_desc != paging->is_last;
    const struct inst_page_row *from = paging->is_last ? before : after;
    const struct inst_page_row *to = paging->is_last ? after : before;
    bool from_inclusive = paging->is_last ? paging->before_inclusive : paging->after_inclusive;
    bool to_inclusive = paging->is_last ? paging->after_inclusive : paging->before_inclusive;
    struct source s;
    struct inst_page_row row;
    uint64_t skip = paging->offset;
    int got = -1;
    if (source_open(&s, p, is_desc, from, from_inclusive) != INST_OK) {
        return INST_FAILED;
    }
    while ((got = source_next(&s, &row)) == 1) {
        int order = to ? compare_rows(&p->order, &row, to) : -1;
        order = to && is_desc ? -order : order;
        if (order > 0 || (order == 0 && !to_inclusive)) {
            got = 0;
            break;
        }
        if (skip) {
            skip--;
            continue;
        }
        if (paging->limit && out->count == paging->limit) {
            out->has_more = true;
            got = 0;
            break;
        }
        if (!add_row(p, &out->rows, &out->count, &out->cap, &row)) {
            got = -1;
            break;
        }
    }
    source_close(&s);
    return got < 0 ? INST_FAILED : INST_OK;
}

/* Rows strictly beyond the first or the last of the page, in the requested order. What may not be
 * seen shows in neither flag, though it takes up room on pages (permissions.md 7.1 has the original
 * tell of it). */
static enum inst_status find_flags(struct pager *p, const struct fetched *fetched,
                                   struct inst_page *out) {
    const struct inst_paging *paging = p->paging;
    const struct inst_page_row *head = out->count ? &out->rows[0] : NULL;
    const struct inst_page_row *tail = out->count ? &out->rows[out->count - 1] : NULL;
    bool knows_next = paging->limit && !paging->has_before && !paging->is_last;
    bool knows_previous = paging->limit && !paging->has_after && paging->is_last;
    int shows = shows_any(p, out);
    int next = 0;
    int previous = 0;
    if (knows_next && (!fetched->has_more || !has_hidden(p))) {
        next = fetched->has_more;
    } else if ((paging->limit || paging->has_before) && tail) {
        next = has_beyond(p, tail, paging->is_desc);
    }
    if (knows_previous && (!fetched->has_more || !has_hidden(p))) {
        previous = fetched->has_more;
    } else if ((paging->has_after || paging->offset || paging->is_last) && head) {
        previous = has_beyond(p, head, !paging->is_desc);
    }
    if (shows == 0 && previous == 0 && (paging->offset || paging->has_after)) {
        previous = 1;
    }
    out->has_next = next == 1;
    out->has_previous = previous == 1;
    return shows < 0 || next < 0 || previous < 0 ? INST_FAILED : INST_OK;
}

static void turn_round(struct inst_page_row *rows, size_t count) {
    for (size_t lo = 0, hi = count; lo + 1 < hi; lo++) {
        struct inst_page_row swap = rows[lo];
        hi--;
        rows[lo] = rows[hi];
        rows[hi] = swap;
    }
}

bool inst_form_is_unconditional(const struct inst_form *form) {
    return form->spec.chain == 1 && !form->spec.has_operators &&
           form->spec.steps.items[0].v.kind == INST_TERM_ANY;
}

/* A store orders texts by bytes, a page by collation. */
static bool can_walk(const struct pager *p) {
    const struct inst_attr *attr = p->paging->attr;
    return p->c->run.store->ops->can_range(p->c->run.store, attr) &&
           (p->paging->is_by_time || attr->checked_type != INST_CHECKED_STRING);
}

/* Than gathering, for certain. */
static bool is_walk_shorter(const struct pager *p) {
    struct inst_collect_form *state = &p->c->forms[p->form->number];
    if (p->by->root && inst_filter_cost(p->by->root, FEW_MATCHES) < FEW_MATCHES) {
        return false;
    }
    if (inst_form_is_unconditional(p->form)) {
        return true;
    }
    return p->paging->limit && inst_plan_cost(&state->all, FEW_MATCHES) >= FEW_MATCHES;
}

/* The page, by the way that was chosen. */
static enum inst_status find_page(struct pager *p, struct inst_page *out) {
    const struct inst_paging *paging = p->paging;
    struct inst_page_row after = row_of_cursor(&paging->after_id, &paging->after);
    struct inst_page_row before = row_of_cursor(&paging->before_id, &paging->before);
    struct fetched fetched = {0};
    enum inst_status status =
        fetch(p, paging->has_after ? &after : NULL, paging->has_before ? &before : NULL, &fetched);
    if (status != INST_OK) {
        return status;
    }
    if (paging->is_last) {
        turn_round(fetched.rows, fetched.count);
    }
    out->rows = fetched.rows;
    out->count = fetched.count;
    return find_flags(p, &fetched, out);
}

/* 1: found by a walk, 0: it would take long, -1. */
static int try_walk(struct pager *p, struct inst_page *out) {
    p->is_walk = true;
    p->is_trial = true;
    p->tries_left = MAX_TRIED;
    p->reads_left = MAX_READ;
    enum inst_status status = find_page(p, out);
    p->is_walk = false;
    p->is_trial = false;
    return status == INST_OK ? 1 : p->is_spent ? 0 : -1;
}

static enum inst_status gather_page(struct pager *p, bool may_walk, struct inst_page *out) {
    struct inst_collect_form *state = &p->c->forms[p->form->number];
    p->is_driven = p->by->root && inst_collect_is_sooner(p->by->root, &state->all,
                                                         inst_form_is_unconditional(p->form));
    gather_start(p);
    int got = gather_some(p, may_walk ? FEW_ROWS : SIZE_MAX);
    int found = got == 1 ? try_walk(p, out) : got;
    if (got == 1 && found == 0) {
        found = gather_some(p, SIZE_MAX);
    }
    gather_stop(p);
    if (found < 0) {
        return INST_FAILED;
    }
    return found == 1 ? INST_OK : find_page(p, out);
}

enum inst_status inst_page_find(struct inst_collector *c, const struct inst_form *form,
                                const struct inst_form_filter *by, struct inst_page *out) {
    const struct inst_paging *paging = form->paging;
    struct pager p = {.c = c, .form = form, .paging = paging, .order.paging = paging, .by = by};
    enum inst_status status = INST_OK;
    *out = (struct inst_page){0};
    if (!paging->is_by_time && paging->attr->checked_type == INST_CHECKED_STRING) {
        status = inst_collect_collator(c);
        p.order.collator = c->collator;
    }
    if (status != INST_OK) {
        return status;
    }
    inst_matcher_start(&c->forms[form->number].all, 0, 0);
    p.is_whole = paging->is_by_time && inst_form_is_unconditional(form);
    p.is_walk = can_walk(&p) && is_walk_shorter(&p);
    if (p.is_walk) {
        return find_page(&p, out);
    }
    bool is_short = paging->limit && paging->limit < MAX_TRIED && paging->offset < MAX_TRIED;
    return gather_page(&p, is_short && can_walk(&p), out);
}
