#include "instaql/filter.h"

#include "instaql/match.h"
#include "instaql/plan.h"
#include "instaql/query.h"

#include <stdlib.h>

struct inst_filter {
    struct inst_query *query; /* of one form; NULL: nothing fits */
    const struct inst_spec *spec;
    struct inst_run run;
    struct inst_err err; /* of the run at hand */
    struct inst_matcher all, bound;
    bool has_bound;
    struct inst_entity_set given;
};

/* Of a name that is not there nothing fits. */
static bool has_form(const struct inst_query *query) {
    const struct inst_form *form = &query->forms[0];
    return query->form_count == 1 && form->link_state == INST_SPEC_OK &&
           form->state == INST_SPEC_OK;
}

static enum inst_status compile(struct inst_filter *filter, const struct inst_value *etype,
                                const struct inst_value *where, struct inst_store *store,
                                struct inst_err *err) {
    struct inst_member inner = {"where", 5, *where};
    struct inst_member options = {"$", 1, inst_object(&inner, 1)};
    struct inst_member form = {etype->u.str, etype->len, inst_object(&options, 1)};
    struct inst_value value = inst_object(&form, 1);
    enum inst_status status = inst_query_new(&value, INST_QUERY_SERVER, &filter->query, err);
    if (status == INST_OK) {
        status = inst_query_prepare(filter->query, store->attrs, err);
    }
    return status;
}

enum inst_status inst_filter_new(const struct inst_value *etype, const struct inst_value *where,
                                 struct inst_store *store, struct inst_filter **out,
                                 struct inst_err *err) {
    struct inst_filter *filter = calloc(1, sizeof(*filter));
    struct inst_err own = {0};
    if (!filter) {
        return inst_err_nomem(err);
    }
    enum inst_status status = where ? compile(filter, etype, where, store, &own) : INST_OK;
    if (status == INST_OK && where && has_form(filter->query)) {
        filter->spec = &filter->query->forms[0].spec;
        filter->run = (struct inst_run){.store = store,
                                        .scratch = &filter->query->scratch,
                                        .err = &filter->err,
                                        .is_server = true};
        filter->run.operators.store = store;
        filter->run.err = &own;
        status = inst_matcher_init(&filter->all, &filter->run, filter->spec);
        if (status == INST_OK) {
            inst_matcher_start(&filter->all, 0, 0);
            status = inst_plan_make(&filter->all);
        }
        filter->run.err = &filter->err;
        filter->all.is_existential = true;
    }
    if (status != INST_OK) {
        inst_filter_free(filter);
        return inst_run_finish(status, &own, err);
    }
    *out = filter;
    return INST_OK;
}

void inst_filter_free(struct inst_filter *filter) {
    if (!filter) {
        return;
    }
    inst_filter_stop(filter);
    inst_buf_free(&filter->run.operators.scratch[0]);
    inst_buf_free(&filter->run.operators.scratch[1]);
    inst_err_clear(&filter->err);
    inst_query_free(filter->query);
    free(filter);
}

static int give_up(struct inst_filter *filter, struct inst_err *err) {
    inst_err_move(err, &filter->err);
    return -1;
}

static bool is_bound_ready(struct inst_filter *filter, uint32_t e) {
    bool is_new = !filter->has_bound;
    if (is_new && inst_matcher_init(&filter->bound, &filter->run, filter->spec) != INST_OK) {
        return false;
    }
    filter->has_bound = true;
    filter->bound.is_existential = true;
    inst_matcher_start(&filter->bound, 0, e);
    return !is_new || inst_plan_make(&filter->bound) == INST_OK;
}

int inst_filter_fits(struct inst_filter *filter, uint32_t e, struct inst_err *err) {
    if (!filter->spec) {
        return 0;
    }
    if (!is_bound_ready(filter, e)) {
        return give_up(filter, err);
    }
    int got = inst_matcher_next(&filter->bound);
    inst_matcher_stop(&filter->bound);
    return got < 0 ? give_up(filter, err) : got;
}

size_t inst_filter_cost(struct inst_filter *filter, size_t limit) {
    return filter->spec ? inst_plan_cost(&filter->all, limit) : 0;
}

void inst_filter_start(struct inst_filter *filter) {
    if (filter->spec) {
        inst_matcher_start(&filter->all, 0, 0);
        inst_entity_set_clear(&filter->given);
    }
}

int inst_filter_next(struct inst_filter *filter, uint32_t *e, struct inst_err *err) {
    struct inst_matcher *m = &filter->all;
    int got = 0;
    while (filter->spec && (got = inst_matcher_next(m)) == 1) {
        bool failed = false;
        *e = inst_binding_entity(&filter->run, &m->slots[filter->spec->root]);
        inst_matcher_leave_root(m);
        bool is_new = inst_entity_set_add(&filter->given, filter->run.scratch, *e, &failed);
        if (failed) {
            inst_err_nomem(&filter->err);
            got = -1;
            break;
        }
        if (is_new && *e) {
            return 1;
        }
    }
    if (got < 0) {
        inst_filter_stop(filter);
        return give_up(filter, err);
    }
    return 0;
}

void inst_filter_stop(struct inst_filter *filter) {
    if (filter->spec) {
        inst_matcher_stop(&filter->all);
    }
}
