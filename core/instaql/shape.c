/*
 * The client: rows of a form to objects (instaql.md 3.2, 3.5 - 3.8).
 */
#include "instaql/compare.h"
#include "instaql/eval.h"
#include "instaql/memo.h"
#include "instaql/plan.h"
#include "instaql/query.h"
#include "instaql/reference.h"
#include "instaql/sort.h"

#include <math.h>

struct form_state {
    struct inst_matcher matcher;
    bool is_ready;
    bool is_singular;
    struct inst_entity_set seen;
    bool has_duplicates; /* of entities among the matches: they are in reference order */
    struct inst_match_rows matches;
    struct inst_row *rows;
    size_t row_cap;
    size_t row_count;          /* sorted */
    struct inst_value *values; /* of one row's fields */
    struct inst_memo memo;
};

struct shaper {
    struct inst_query *query;
    const struct inst_eval_options *opts;
    struct inst_run run;
    struct inst_arena *arena; /* of the result */
    struct inst_collator *collator;
    struct inst_collator *own_collator;
    struct form_state *states; /* by form number */
};

static enum inst_status nomem(struct shaper *s) { return inst_err_nomem(s->run.err); }

static enum inst_status throw_error(struct shaper *s, const struct inst_spec_error *e) {
    return inst_err_set(s->run.err, e->type, 400, "%s", e->message);
}

/*
 * Matches.
 */

static enum inst_status get_ready(struct shaper *s, const struct inst_form *form,
                                  struct form_state *state, uint32_t parent) {
    enum inst_status status = inst_matcher_init(&state->matcher, &s->run, &form->spec);
    if (status == INST_OK) {
        inst_matcher_start(&state->matcher, parent, 0);
        status = inst_plan_make(&state->matcher);
        state->matcher.seen = form->spec.is_distinct ? NULL : &state->seen;
        state->matcher.is_existential = !form->spec.is_distinct;
        state->is_ready = true;
    }
    return status;
}

static const struct inst_value *time_of(const struct inst_matcher *m) {
    return &m->slots[m->spec->time].v;
}

/* A namespace without conditions: its id triples, straight from the scan. */
static enum inst_status list_all(struct shaper *s, const struct inst_form *form,
                                 struct form_state *state) {
    struct inst_store *store = s->run.store;
    struct inst_scan scan = {.attr = form->spec.steps.items[0].attr};
    struct inst_cursor cursor;
    struct inst_triple t;
    state->matches.count = 0;
    enum inst_status status = store->ops->scan(store, &scan, &cursor, s->run.err);
    if (status != INST_OK) {
        return status;
    }
    int got;
    while ((got = store->ops->next(&cursor, &t, s->run.err)) == 1) {
        struct inst_value time = t.t == INST_NO_TIME ? inst_undefined() : inst_number((double)t.t);
        if (t.ref == t.e && !inst_match_rows_add(&state->matches, &s->run, t.e, &time)) {
            got = -1;
            break;
        }
    }
    store->ops->close(&cursor);
    return got < 0 ? INST_FAILED : INST_OK;
}

/* Entities that match, each once when conditions could give one twice. */
static enum inst_status find_matches(struct shaper *s, const struct inst_form *form,
                                     struct form_state *state, uint32_t parent) {
    struct inst_matcher *m = &state->matcher;
    bool failed = false;
    if (form->is_whole) {
        return list_all(s, form, state);
    }
    if (!state->is_ready) {
        enum inst_status status = get_ready(s, form, state, parent);
        if (status != INST_OK) {
            return status;
        }
    }
    inst_matcher_start(m, parent, 0);
    inst_entity_set_clear(&state->seen);
    state->matches.count = 0;
    int got;
    while ((got = inst_matcher_next(m)) == 1) {
        uint32_t e = inst_binding_entity(&s->run, &m->slots[form->spec.root]);
        if (m->seen) {
            if (!inst_entity_set_add(m->seen, s->run.scratch, e, &failed)) {
                continue;
            }
            inst_matcher_leave_root(m);
        }
        if (failed || !inst_match_rows_add(&state->matches, &s->run, e, time_of(m))) {
            inst_matcher_stop(m);
            return failed ? nomem(s) : INST_FAILED;
        }
    }
    if (got < 0) {
        inst_matcher_stop(m);
        return INST_FAILED;
    }
    return INST_OK;
}

/*
 * Rows in order.
 */

struct ordering {
    const struct inst_attr *attr; /* NULL: by creation */
    bool is_by_time;              /* no attr, or one labelled id */
    bool is_desc;
    const struct inst_value *start; /* cursors; NULL: none */
    const struct inst_value *end;
};

static bool is_id_label(const struct inst_attr *attr) {
    return inst_is_string(&attr->forward.label, "id");
}

/* First value of the order attr; dates as ms. */
static enum inst_status read_key(struct shaper *s, const struct inst_attr *attr, uint32_t e,
                                 struct inst_value *out) {
    struct inst_store *store = s->run.store;
    struct inst_scan scan = {.attr = attr, .e = e};
    struct inst_cursor cursor;
    struct inst_triple triple;
    enum inst_status status = store->ops->scan(store, &scan, &cursor, s->run.err);
    if (status != INST_OK) {
        return status;
    }
    int got = store->ops->next(&cursor, &triple, s->run.err);
    store->ops->close(&cursor);
    if (got < 0) {
        return INST_FAILED;
    }
    *out = got ? triple.v : inst_undefined();
    if (out->tag == INST_ENTITY) {
        *out = store->ops->entity_id(store, triple.ref);
    }
    if (attr->checked_type == INST_CHECKED_DATE && !inst_is_nullish(out)) {
        *out = inst_number(inst_js_date(out, &s->run.operators.scratch[0]));
    }
    return INST_OK;
}

static enum inst_status make_rows(struct shaper *s, struct form_state *state,
                                  const struct ordering *ordering) {
    const struct inst_match_rows *matches = &state->matches;
    if (matches->count > state->row_cap) {
        state->rows = inst_arena_alloc(s->run.scratch, matches->count * sizeof(*state->rows));
        state->row_cap = matches->count;
        if (!state->rows) {
            return nomem(s);
        }
    }
    for (size_t i = 0; i < matches->count; i++) {
        const struct inst_match_row *match = &matches->items[i];
        struct inst_value id = s->run.store->ops->entity_id(s->run.store, match->e);
        struct inst_row *row = &state->rows[i];
        *row = (struct inst_row){.e = match->e, .id = id.u.str, .id_len = id.len};
        if (ordering->is_by_time) {
            row->key = match->time;
        } else {
            enum inst_status status = read_key(s, ordering->attr, match->e, &row->key);
            if (status != INST_OK) {
                return status;
            }
        }
    }
    return INST_OK;
}

/* `limit || first || last`; NULL: none. */
static const struct inst_value *limit_of(const struct inst_form *form) {
    static const char *const names[] = {"limit", "first", "last"};
    const struct inst_value *limit = NULL;
    for (size_t i = 0; i < 3; i++) {
        limit = inst_getz(&form->options, names[i]);
        if (limit && inst_value_truthy(limit)) {
            return limit;
        }
    }
    return limit && !inst_is_nullish(limit) ? limit : NULL;
}

/* May an object keyed by this id put it in front? Numbers that are array indexes go first. */
static bool is_like_index(const struct inst_row *row) {
    return row->id_len > 0 && row->id_len <= 10 && row->id[0] >= '0' && row->id[0] <= '9';
}

/* How many rows are enough because all others are cut off; 0: all are needed. */
static size_t enough(const struct inst_form *form, const struct form_state *state,
                     const struct ordering *ordering) {
    const struct inst_value *limit = limit_of(form);
    size_t count = state->matches.count;
    if (!limit || limit->tag != INST_NUMBER || !(limit->u.num >= 1) ||
        limit->u.num * 4 > (double)count || ordering->start || ordering->end) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (is_like_index(&state->rows[i])) {
            return 0;
        }
    }
    return (size_t)limit->u.num;
}

static enum inst_status need_collator(struct shaper *s) {
    if (s->collator) {
        return INST_OK;
    }
    enum inst_status status = inst_collator_new(&s->own_collator, s->run.err);
    s->collator = s->own_collator;
    return status;
}

/* Sorted rows in state->rows, perhaps only as many as are shown. *is_shown: the order of the
 * matches shows in the result. */
static enum inst_status sort_rows(struct shaper *s, const struct inst_form *form,
                                  struct form_state *state, const struct ordering *ordering,
                                  bool *is_shown) {
    struct inst_row_order order = {
        .is_text = ordering->attr && ordering->attr->checked_type == INST_CHECKED_STRING,
        .is_desc = ordering->is_desc,
    };
    enum inst_status status = make_rows(s, state, ordering);
    if (status == INST_OK && order.is_text) {
        status = need_collator(s);
    }
    if (status != INST_OK) {
        return status;
    }
    order.collator = s->collator;
    memcpy(order.scratch, s->run.operators.scratch, sizeof(order.scratch));
    size_t count = state->matches.count;
    bool is_consistent = inst_rows_are_consistent(state->rows, count, order.is_text);
    size_t few = is_consistent && !state->has_duplicates ? enough(form, state, ordering) : 0;
    if (few) {
        inst_rows_select(&order, state->rows, count, few);
        if (order.has_tie) {
            status = make_rows(s, state, ordering); /* as they came, for a stable sort */
        } else {
            count = few;
        }
    }
    bool is_sorted =
        status == INST_OK && inst_rows_sort(&order, state->rows, count, s->run.scratch);
    state->row_count = count;
    *is_shown = order.has_tie || !is_consistent;
    memcpy(s->run.operators.scratch, order.scratch, sizeof(order.scratch));
    return is_sorted || status != INST_OK ? status : nomem(s);
}

static enum inst_status find_sorted(struct shaper *s, const struct inst_form *form,
                                    struct form_state *state, uint32_t parent,
                                    const struct ordering *ordering) {
    bool is_shown = false;
    enum inst_status status = find_matches(s, form, state, parent);
    state->has_duplicates = false;
    if (status == INST_OK) {
        status = sort_rows(s, form, state, ordering, &is_shown);
    }
    const struct inst_matcher *m = &state->matcher;
    bool is_same_order = form->spec.is_distinct && m->plan.is_identity && !m->did_reorder;
    if (status != INST_OK || !is_shown || is_same_order || form->is_whole) {
        return status;
    }
    const struct inst_match_rows planned = state->matches;
    state->matches = (struct inst_match_rows){0};
    state->has_duplicates = true;
    status = inst_reference_run(&state->matcher, parent, &state->matches);
    if (status != INST_OK && strcmp(s->run.err->type, "limit-exceeded") == 0) {
        /* Every way to every row is too much to keep: equal rows stay in the order they came. */
        inst_err_clear(s->run.err);
        state->matches = planned;
        status = INST_OK;
    }
    return status == INST_OK ? sort_rows(s, form, state, ordering, &is_shown) : status;
}

/*
 * Windows and limits.
 */

static struct inst_value cursor_item(const struct inst_value *cursor, uint32_t i) {
    return cursor->tag == INST_ARRAY && i < cursor->len ? cursor->u.items[i] : inst_undefined();
}

/* compareOrder(row, cursor). */
static int compare_to_cursor(struct shaper *s, const struct ordering *ordering,
                             struct inst_row *row, const struct inst_value *cursor) {
    struct inst_value id = cursor_item(cursor, 0);
    bool is_id = is_id_label(ordering->attr);
    struct inst_row place = {.id = id.tag == INST_STRING ? id.u.str : "",
                             .id_len = id.tag == INST_STRING ? id.len : 0,
                             .key = cursor_item(cursor, is_id ? 3 : 2)};
    struct inst_row_order order = {
        .is_text = !is_id && ordering->attr->checked_type == INST_CHECKED_STRING,
        .collator = s->collator,
    };
    order.scratch[0] = s->run.operators.scratch[0];
    order.scratch[1] = s->run.operators.scratch[1];
    if (!is_id && ordering->attr->checked_type == INST_CHECKED_DATE &&
        !inst_is_nullish(&place.key)) {
        place.key = inst_number(inst_js_date(&place.key, &order.scratch[0]));
    }
    int result = inst_row_compare(&order, row, &place);
    s->run.operators.scratch[0] = order.scratch[0];
    s->run.operators.scratch[1] = order.scratch[1];
    return ordering->is_desc ? -result : result;
}

static bool is_in_window(struct shaper *s, const struct ordering *ordering, struct inst_row *row) {
    return !(ordering->start && compare_to_cursor(s, ordering, row, ordering->start) < 0) &&
           !(ordering->end && compare_to_cursor(s, ordering, row, ordering->end) > 0);
}

/* A JavaScript object puts ids that look like array indexes first, ascending. */
static void put_indexes_first(struct inst_row *rows, size_t count) {
    size_t indexes = 0;
    uint32_t number;
    for (size_t i = 0; i < count; i++) {
        if (!inst_key_is_index(rows[i].id, rows[i].id_len, &number)) {
            continue;
        }
        size_t at = indexes++;
        uint32_t other;
        while (at > 0 && inst_key_is_index(rows[at - 1].id, rows[at - 1].id_len, &other) &&
               other > number) {
            at--;
        }
        struct inst_row row = rows[i];
        memmove(&rows[at + 1], &rows[at], (i - at) * sizeof(*rows));
        rows[at] = row;
    }
}

/* Leaves in state->rows what is shown, each entity once; returns how many. */
static size_t select_rows(struct shaper *s, const struct inst_form *form, struct form_state *state,
                          const struct ordering *ordering, bool *failed) {
    struct inst_row *rows = state->rows;
    bool has_window = ordering->attr && (ordering->start || ordering->end);
    bool has_index = false;
    size_t kept = 0;
    inst_entity_set_clear(&state->seen);
    for (size_t i = 0; i < state->row_count; i++) {
        if ((has_window && !is_in_window(s, ordering, &rows[i])) ||
            (!form->spec.is_distinct &&
             !inst_entity_set_add(&state->seen, s->run.scratch, rows[i].e, failed))) {
            continue;
        }
        has_index = has_index || is_like_index(&rows[i]);
        if (kept != i) {
            rows[kept] = rows[i];
        }
        kept++;
    }
    if (has_index) {
        put_indexes_first(rows, kept);
    }
    return kept;
}

/* How many of count rows `slice(0, limit || first || last)` leaves. */
static size_t cut(struct shaper *s, const struct inst_form *form, size_t count) {
    const struct inst_value *limit = limit_of(form);
    if (!limit) {
        return count;
    }
    double n = inst_js_number(limit, &s->run.operators.scratch[0]);
    if (isnan(n)) {
        return 0;
    }
    if ((double)count <= n) {
        return count;
    }
    n = n < 0 ? (double)count + trunc(n) : trunc(n);
    return n > 0 ? (size_t)n : 0;
}

/*
 * Objects.
 */

static enum inst_status eval_form(struct shaper *s, const struct inst_form *form, uint32_t parent,
                                  const struct inst_value *page, struct inst_value *out);

/* The result of a child form for one row; UNDEFINED: absent. */
static enum inst_status eval_child(struct shaper *s, const struct inst_form *child, uint32_t parent,
                                   struct inst_value *out) {
    bool is_singular = s->states[child->number].is_singular;
    enum inst_status status = INST_OK;
    *out = inst_array(NULL, 0);
    if (child->link_state == INST_SPEC_THROWS) {
        return throw_error(s, &child->link_error);
    }
    if (child->link_state == INST_SPEC_OK) {
        status = eval_form(s, child, parent, NULL, out);
    }
    if (is_singular) {
        *out = out->len ? out->u.items[0] : inst_undefined();
    }
    return status;
}

/* Without the bulk operation of the store. */
static enum inst_status read_fields_slowly(struct shaper *s, const struct inst_form *form,
                                           uint32_t e, struct inst_value *values) {
    struct inst_store *store = s->run.store;
    for (uint32_t i = 0; i < form->field_count; i++) {
        struct inst_scan scan = {.attr = form->fields[i], .e = e};
        struct inst_cursor cursor;
        struct inst_triple triple;
        values[i] = inst_undefined();
        if (store->ops->scan(store, &scan, &cursor, s->run.err) != INST_OK) {
            return INST_FAILED;
        }
        int got;
        while ((got = store->ops->next(&cursor, &triple, s->run.err)) == 1) {
            values[i] = triple.v;
        }
        store->ops->close(&cursor);
        if (got < 0) {
            return INST_FAILED;
        }
    }
    return INST_OK;
}

static enum inst_status read_fields(struct shaper *s, const struct inst_form *form,
                                    struct form_state *state, uint32_t e) {
    struct inst_store *store = s->run.store;
    if (!state->values) {
        state->values =
            inst_arena_alloc(s->run.scratch, form->field_count * sizeof(*state->values));
        if (!state->values) {
            return nomem(s);
        }
    }
    return store->ops->row ? store->ops->row(store, e, form->fields, form->field_count,
                                             state->values, s->run.err)
                           : read_fields_slowly(s, form, e, state->values);
}

/* Names clash or are numbers: JavaScript's rules for the place of a key apply. */
static enum inst_status build_with_overlap(struct shaper *s, const struct inst_form *form,
                                           struct form_state *state, uint32_t e,
                                           struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, s->arena);
    for (uint32_t i = 0; i < form->field_count; i++) {
        const struct inst_value *label = &form->fields[i]->forward.label;
        if (state->values[i].tag != INST_UNDEFINED) {
            inst_object_add(&b, label->u.str, label->len, state->values[i]);
        }
    }
    for (uint32_t i = 0; i < form->child_count; i++) {
        const struct inst_form *child = &form->children[i];
        struct inst_value value;
        enum inst_status status = eval_child(s, child, e, &value);
        if (status != INST_OK) {
            return status;
        }
        inst_object_add(&b, child->key.u.str, child->key.len, value);
    }
    if (!inst_object_end(&b, out)) {
        return nomem(s);
    }
    struct inst_member *members = (struct inst_member *)out->u.members; /* ours, just made */
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->len; i++) {
        if (members[i].value.tag != INST_UNDEFINED) {
            members[kept++] = members[i];
        }
    }
    out->len = kept;
    return INST_OK;
}

static enum inst_status build(struct shaper *s, const struct inst_form *form,
                              struct form_state *state, uint32_t e, struct inst_value *out) {
    enum inst_status status = read_fields(s, form, state, e);
    if (status != INST_OK) {
        return status;
    }
    if (form->has_overlap) {
        return build_with_overlap(s, form, state, e, out);
    }
    struct inst_member *members =
        inst_arena_alloc(s->arena, (form->field_count + form->child_count) * sizeof(*members));
    if (!members) {
        return nomem(s);
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < form->field_count; i++) {
        if (state->values[i].tag != INST_UNDEFINED) {
            const struct inst_value *label = &form->fields[i]->forward.label;
            members[count].key = label->u.str;
            members[count].key_len = label->len;
            members[count++].value = state->values[i];
        }
    }
    for (uint32_t i = 0; i < form->child_count; i++) {
        const struct inst_form *child = &form->children[i];
        struct inst_member *member = &members[count];
        status = eval_child(s, child, e, &member->value);
        if (status != INST_OK) {
            return status;
        }
        if (member->value.tag != INST_UNDEFINED) {
            member->key = child->key.u.str;
            member->key_len = child->key.len;
            count++;
        }
    }
    *out = inst_object(members, count);
    return INST_OK;
}

static enum inst_status build_rows(struct shaper *s, const struct inst_form *form,
                                   struct form_state *state, size_t count, struct inst_value *out) {
    struct inst_value *items = inst_arena_alloc(s->arena, count * sizeof(*items));
    if (!items) {
        return nomem(s);
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t e = state->rows[i].e;
        const struct inst_value *known = inst_memo_find(&state->memo, e);
        if (known) {
            items[i] = *known;
            continue;
        }
        enum inst_status status = build(s, form, state, e, &items[i]);
        if (status != INST_OK) {
            return status;
        }
        if (form->level > 0 && !inst_memo_add(&state->memo, s->run.scratch, e, &items[i])) {
            return nomem(s);
        }
    }
    *out = inst_array(items, count);
    return INST_OK;
}

/*
 * Forms.
 */

static bool is_option_truthy(const struct inst_form *form, const char *name) {
    const struct inst_value *v = inst_getz(&form->options, name);
    return v && inst_value_truthy(v);
}

static bool is_leading(const struct inst_form *form) {
    return !is_option_truthy(form, "offset") && !is_option_truthy(form, "before") &&
           !is_option_truthy(form, "after");
}

static const struct inst_value *page_cursor(const struct inst_value *page, const char *name) {
    const struct inst_value *cursor = page ? inst_getz(page, name) : NULL;
    return cursor && inst_value_truthy(cursor) ? cursor : NULL;
}

/* The start cursor names the order attr, whatever `order` says (Q6). */
static struct ordering ordering_of(struct shaper *s, const struct inst_form *form,
                                   const struct inst_value *page, bool is_leading_form) {
    struct ordering ordering = {.attr = form->order_attr, .is_desc = form->is_desc};
    const struct inst_value *start = page_cursor(page, "start-cursor");
    if (start) {
        struct inst_value id = cursor_item(start, 1);
        ordering.attr =
            id.tag == INST_STRING ? inst_attrs_by_id(s->run.store->attrs, id.u.str, id.len) : NULL;
    }
    ordering.is_by_time = !ordering.attr || is_id_label(ordering.attr);
    if (!is_leading_form) {
        ordering.start = start;
        ordering.end = page_cursor(page, "end-cursor");
    }
    return ordering;
}

/* Recursion is limited by the depth of forms. */
static enum inst_status eval_form(struct shaper *s, const struct inst_form *form, uint32_t parent,
                                  const struct inst_value *page, struct inst_value *out) {
    struct form_state *state = &s->states[form->number];
    bool leads = is_leading(form);
    *out = inst_array(NULL, 0);
    if (form->is_null) {
        static const struct inst_spec_error null_form = {
            "TypeError", "Cannot read properties of null (reading '$')"};
        return throw_error(s, &null_form);
    }
    if ((!leads && !page_cursor(page, "start-cursor")) || form->state == INST_SPEC_NOT_FOUND) {
        return INST_OK;
    }
    if (form->state == INST_SPEC_THROWS) {
        return throw_error(s, &form->error);
    }
    struct ordering ordering = ordering_of(s, form, page, leads);
    enum inst_status status = find_sorted(s, form, state, parent, &ordering);
    if (status != INST_OK) {
        return status;
    }
    bool failed = false;
    size_t count = cut(s, form, select_rows(s, form, state, &ordering, &failed));
    return failed ? nomem(s) : build_rows(s, form, state, count, out);
}

/*
 * The whole result.
 */

static void mark_singular(struct shaper *s, const struct inst_form *form) {
    const struct inst_value *labels =
        form->etype.tag == INST_STRING
            ? inst_get(s->opts->singular_links, form->etype.u.str, form->etype.len)
            : NULL;
    for (uint32_t i = 0; i < form->child_count; i++) {
        const struct inst_form *child = &form->children[i];
        const struct inst_value *flag =
            labels ? inst_get(labels, child->key.u.str, child->key.len) : NULL;
        s->states[child->number].is_singular = flag && flag->tag == INST_TRUE;
        mark_singular(s, child);
    }
}

static enum inst_status eval_data(struct shaper *s, struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, s->arena);
    for (uint32_t i = 0; i < s->query->form_count; i++) {
        const struct inst_form *form = &s->query->forms[i];
        const char *key = form->key.u.str;
        const struct inst_value *count =
            s->opts->aggregate ? inst_get(s->opts->aggregate, key, form->key.len) : NULL;
        if (count && inst_value_truthy(count)) {
            continue;
        }
        const struct inst_value *page =
            s->opts->page_info ? inst_get(s->opts->page_info, key, form->key.len) : NULL;
        struct inst_value rows;
        enum inst_status status = eval_form(s, form, 0, page, &rows);
        if (status != INST_OK) {
            return status;
        }
        inst_object_add(&b, key, form->key.len, rows);
    }
    return inst_object_end(&b, out) ? INST_OK : nomem(s);
}

static bool format_page(struct inst_arena *arena, const struct inst_value *page,
                        struct inst_value *out) {
    static const char *const names[][2] = {{"start-cursor", "startCursor"},
                                           {"end-cursor", "endCursor"},
                                           {"has-next-page?", "hasNextPage"},
                                           {"has-previous-page?", "hasPreviousPage"}};
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    for (size_t i = 0; i < 4; i++) {
        const struct inst_value *v = inst_getz(page, names[i][0]);
        if (v && v->tag != INST_UNDEFINED) {
            inst_object_addz(&b, names[i][1], *v);
        }
    }
    return inst_object_end(&b, out);
}

static bool format_pages(struct inst_arena *arena, const struct inst_value *pages,
                         struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    for (uint32_t i = 0; pages->tag == INST_OBJECT && i < pages->len; i++) {
        const struct inst_member *m = &pages->u.members[i];
        struct inst_value page;
        if (!format_page(arena, &m->value, &page)) {
            return false;
        }
        inst_object_add(&b, m->key, m->key_len, page);
    }
    return inst_object_end(&b, out);
}

static enum inst_status eval_all(struct shaper *s, struct inst_value *out) {
    const struct inst_eval_options *opts = s->opts;
    struct inst_object_builder b;
    struct inst_value data;
    enum inst_status status = eval_data(s, &data);
    if (status != INST_OK) {
        return status;
    }
    inst_object_begin(&b, s->arena);
    inst_object_addz(&b, "data", data);
    if (opts->page_info && inst_value_truthy(opts->page_info)) {
        struct inst_value pages;
        if (!format_pages(s->arena, opts->page_info, &pages)) {
            return nomem(s);
        }
        inst_object_addz(&b, "pageInfo", pages);
    }
    if (opts->aggregate && inst_value_truthy(opts->aggregate)) {
        inst_object_addz(&b, "aggregate", *opts->aggregate);
    }
    return inst_object_end(&b, out) ? INST_OK : nomem(s);
}

enum inst_status inst_query_eval(struct inst_query *query, struct inst_store *store,
                                 const struct inst_eval_options *opts, struct inst_arena *arena,
                                 struct inst_value *out, struct inst_err *err) {
    static const struct inst_eval_options none = {0};
    struct inst_err own = {0};
    if (query->is_null) {
        return inst_err_set(err, "TypeError", 400, "Cannot convert undefined or null to object");
    }
    enum inst_status status = inst_query_prepare(query, store->attrs, err);
    if (status != INST_OK) {
        return status;
    }
    struct shaper s = {.query = query, .opts = opts ? opts : &none, .arena = arena};
    s.run = (struct inst_run){.store = store, .scratch = &query->scratch, .err = &own};
    s.run.operators.store = store;
    s.collator = s.opts->collator;
    s.states = inst_arena_zalloc(&query->scratch, query->all_count * sizeof(*s.states));
    if (!s.states) {
        status = nomem(&s);
    } else {
        for (uint32_t i = 0; s.opts->singular_links && i < query->form_count; i++) {
            mark_singular(&s, &query->forms[i]);
        }
        status = eval_all(&s, out);
    }
    status = inst_run_finish(status, &own, err);
    inst_buf_free(&s.run.operators.scratch[0]);
    inst_buf_free(&s.run.operators.scratch[1]);
    inst_collator_free(s.own_collator);
    inst_arena_reset(&query->scratch);
    return status;
}

enum inst_status inst_instaql_eval(struct inst_store *store, const struct inst_value *value,
                                   const struct inst_eval_options *opts, struct inst_arena *arena,
                                   struct inst_value *out, struct inst_err *err) {
    struct inst_query *query;
    enum inst_status status = inst_query_new_in(value, INST_QUERY_CLIENT, arena, &query, err);
    if (status == INST_OK) {
        status = inst_query_eval(query, store, opts, arena, out, err);
        inst_query_free(query);
    }
    return status;
}
