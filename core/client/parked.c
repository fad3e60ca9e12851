/*
 * parked.c - results of queries that nobody listens to any more, for the next who does (session.md
 * 5.5): without a storage, which would keep them on disk, they stay in memory.
 *
 *     first_parked ── oldest ... newest ── last_parked     at most INST_PARKED_QUERIES of them, and
 *                                                          INST_PARKED_TRIPLES in all
 */
#include "client/reactor_internal.h"

#include <stdlib.h>

static void drop(struct inst_reactor *r, struct inst_live_query *query) {
    if (query->prev) {
        query->prev->next = query->next;
    } else {
        r->first_parked = query->next;
    }
    if (query->next) {
        query->next->prev = query->prev;
    } else {
        r->last_parked = query->prev;
    }
    query->prev = query->next = NULL;
    r->parked_count--;
    r->parked_triples -= inst_mem_store_count(query->store);
    inst_queries_unref(query);
}

void inst_parked_put(struct inst_reactor *r, struct inst_live_query *query) {
    struct inst_err err = {0};
    bool is_wanted = r->persist.state == INST_PERSIST_OFF && query->has_result && !r->is_shutdown;
    if (!is_wanted || inst_results_bare(query, &err) != INST_OK ||
        inst_mem_store_count(query->store) > INST_PARKED_TRIPLES) {
        inst_err_clear(&err);
        return;
    }
    inst_queries_ref(query);
    inst_shown_unref(query->shown);
    query->shown = NULL;
    query->prev = r->last_parked;
    query->next = NULL;
    if (r->last_parked) {
        r->last_parked->next = query;
    } else {
        r->first_parked = query;
    }
    r->last_parked = query;
    r->parked_count++;
    r->parked_triples += inst_mem_store_count(query->store);
    while (r->parked_count > INST_PARKED_QUERIES || r->parked_triples > INST_PARKED_TRIPLES) {
        drop(r, r->first_parked);
    }
}

void inst_parked_take(struct inst_reactor *r, struct inst_live_query *query) {
    struct inst_live_query *parked = r->first_parked;
    while (parked && !inst_value_equal(&parked->q, &query->q)) {
        parked = parked->next;
    }
    if (!parked) {
        return;
    }
    inst_queries_ref(parked);
    drop(r, parked);
    inst_results_move(query, parked);
    inst_results_attrs_changed(r, query);
    inst_queries_unref(parked);
}

void inst_parked_clear(struct inst_reactor *r) {
    while (r->first_parked) {
        drop(r, r->first_parked);
    }
}
