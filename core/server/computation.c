#include "server/computation.h"

#include "base/json.h"
#include "base/text.h"
#include "instaql/touch.h"
#include "server/files.h"
#include "server/permissions.h"
#include "server/recording_store.h"

#include <stdlib.h>

void inst_computation_set_retrying(struct inst_live *live, struct inst_computation *computation,
                                   bool on) {
    if (computation->is_retrying == on)
        return;
    computation->is_retrying = on;
    if (!on) {
        for (size_t i = 0; i < live->retry_count; i++)
            if (live->retries[i] == computation)
                live->retries[i--] = live->retries[--live->retry_count];
        return;
    }
    if (live->retry_count == live->retry_cap) {
        size_t cap = live->retry_cap == 0 ? 8 : live->retry_cap * 2;
        struct inst_computation **retries = realloc(live->retries, cap * sizeof(void *));
        if (retries == NULL) { /* then its own reads must wake it */
            computation->is_retrying = false;
            return;
        }
        live->retries = retries;
        live->retry_cap = cap;
    }
    live->retries[live->retry_count++] = computation;
}

static void leave_queue(struct inst_computation *computation) {
    struct inst_live *live = computation->live;
    struct inst_computation **link = &live->queue;
    if (!computation->is_queued)
        return;
    while (*link != computation)
        link = &(*link)->next_queued;
    *link = computation->next_queued;
    if (*link == NULL)
        live->queue_end = link;
}

static void drop_query(struct inst_computation *computation) {
    if (computation->query == NULL)
        return;
    computation->live->compiled[computation->compiled_place] = NULL;
    inst_query_free(computation->query);
    computation->query = NULL;
}

/* Keeps a compiled query, in place of one that did not run for a whole round of the clock. */
static void keep_query(struct inst_computation *computation, struct inst_query *query_take) {
    struct inst_live *live = computation->live;
    struct inst_computation *old;
    for (;; live->hand = (live->hand + 1) % INST_SERVER_MAX_COMPILED) {
        old = live->compiled[live->hand];
        if (old == NULL || !old->was_used)
            break;
        old->was_used = false;
    }
    if (old != NULL)
        drop_query(old);
    live->compiled[live->hand] = computation;
    computation->query = query_take;
    computation->compiled_place = live->hand;
    live->hand = (live->hand + 1) % INST_SERVER_MAX_COMPILED;
}

static enum inst_status compile(struct inst_computation *computation, struct inst_err *err) {
    struct inst_value q;
    struct inst_query *query;
    enum inst_status st;
    computation->was_used = true;
    if (computation->query != NULL)
        return INST_OK;
    if ((st = inst_json_parse(&computation->live->scratch, computation->q, computation->q_len, &q,
                              err)) != INST_OK ||
        (st = inst_query_new(&q, INST_QUERY_SERVER, &query, err)) != INST_OK)
        return st;
    keep_query(computation, query);
    return INST_OK;
}

void inst_computation_free(struct inst_computation *computation) {
    struct inst_live *live = computation->live;
    leave_queue(computation);
    struct inst_computation **link = NULL;
    struct inst_computation *head = inst_table_get(&live->by_key, computation->hash);
    if (head == computation && computation->next_same == NULL) {
        inst_table_remove(&live->by_key, computation->hash);
    } else if (head == computation) {
        inst_table_put(&live->by_key, computation->hash, computation->next_same);
    } else {
        for (link = &head->next_same; *link != computation; link = &(*link)->next_same)
            ;
        *link = computation->next_same;
    }
    live->count--;
    live->app->server->stats.computations--;
    inst_computation_set_retrying(live, computation, false);
    inst_read_set_clear(&live->index, &computation->reads);
    drop_query(computation);
    inst_names_free(&computation->names);
    free(computation->q);
    free(computation->key);
    free(computation->ip);
    free(computation->origin);
    free(computation->result);
    free(computation->meta);
    free(computation->subscriptions);
    free(computation);
}

struct inst_computation *inst_computation_find(const struct inst_live *live, const char *key,
                                               size_t len) {
    struct inst_computation *computation =
        inst_table_get(&live->by_key, inst_live_hash(live, key, len));
    while (computation != NULL &&
           (computation->key_len != len || memcmp(computation->key, key, len) != 0))
        computation = computation->next_same;
    return computation;
}

/* false: out of memory. */
static bool keep_viewer(struct inst_computation *computation, const struct inst_viewer *viewer) {
    const struct inst_caller *from = &viewer->from;
    if (computation->split.by_user)
        memcpy(computation->viewer.user, viewer->user, sizeof viewer->user);
    if (!computation->split.by_caller)
        return true;
    computation->ip = from->ip != NULL ? strdup(from->ip) : NULL;
    computation->origin = from->origin != NULL ? strdup(from->origin) : NULL;
    computation->viewer.from = (struct inst_caller){computation->ip, computation->origin};
    return (from->ip == NULL || computation->ip != NULL) &&
           (from->origin == NULL || computation->origin != NULL);
}

enum inst_status inst_computation_new(struct inst_live *live, char *key_take, size_t key_len,
                                      const struct inst_value *q, struct inst_live_form form,
                                      const struct inst_viewer *viewer, struct inst_split split,
                                      struct inst_computation **out, struct inst_err *err) {
    struct inst_computation *computation = calloc(1, sizeof *computation);
    if (computation == NULL) {
        free(key_take);
        return inst_err_nomem(err);
    }
    *computation = (struct inst_computation){
        .live = live,
        .key = key_take,
        .key_len = key_len,
        .hash = inst_live_hash(live, key_take, key_len),
        .form = form,
        .viewer = {.is_admin = viewer->is_admin},
        .split = split,
        .has_params = inst_getz(q, "$$ruleParams") != NULL,
        .is_outdated = true,
    };
    bool is_kept = keep_viewer(computation, viewer);
    struct inst_buf text;
    inst_buf_init(&text);
    inst_json_write(&text, q);
    computation->q = inst_buf_take(&text, &computation->q_len);
    inst_read_set_init(&computation->reads, computation);
    computation->next_same = inst_table_get(&live->by_key, computation->hash);
    if (!is_kept || computation->q == NULL ||
        !inst_names_of(q, live->index.seed, &computation->names) ||
        !inst_table_put(&live->by_key, computation->hash, computation)) {
        inst_names_free(&computation->names);
        free(computation->q);
        free(computation->key);
        free(computation->ip);
        free(computation->origin);
        free(computation);
        return inst_err_nomem(err);
    }
    live->count++;
    live->app->server->stats.computations++;
    *out = computation;
    return INST_OK;
}

/* ---- running ---- */

static int64_t today(const struct inst_live *live) {
    const struct inst_env *env = live->app->server->env;
    return env->now_ms(env->ctx) / INST_FILES_DAY_MS;
}

bool inst_computation_has_old_urls(const struct inst_computation *computation) {
    return computation->url_day != 0 && computation->url_day != today(computation->live);
}

static enum inst_status evaluate(struct inst_computation *computation, struct inst_store *store,
                                 struct inst_outcome *out, struct inst_err *err) {
    struct inst_live *live = computation->live;
    struct inst_value q = inst_undefined();
    struct inst_evaluation how = {
        .viewer = &computation->viewer,
        .is_tree = computation->form.is_tree,
        .infers = computation->form.infers,
        .is_guarded = computation->is_guarded,
    };
    if (how.is_guarded && computation->has_params) {
        enum inst_status st =
            inst_json_parse(&live->scratch, computation->q, computation->q_len, &q, err);
        if (st != INST_OK)
            return st;
        how.rule_params = inst_getz(&q, "$$ruleParams");
    }
    return inst_evaluate(live->app, computation->query, store, &how, &live->scratch, out, err);
}

enum inst_status inst_computation_run(struct inst_computation *computation, bool *changed,
                                      struct inst_err *err) {
    struct inst_live *live = computation->live;
    struct inst_recording_store store;
    struct inst_outcome outcome;
    inst_outcome_init(&outcome);
    live->app->server->stats.computations_run++;
    inst_read_set_begin(&live->index, &computation->reads);
    bool sees_system = inst_names_add(&computation->names, live->app->catalog->attrs, &live->index,
                                      &computation->reads);
    computation->is_guarded = sees_system || inst_app_has_rules(live->app);
    inst_recording_store_init(&store, &live->app->db->store, &live->index, &computation->reads);
    enum inst_status st = compile(computation, err);
    if (st == INST_OK)
        st = evaluate(computation, &store.store, &outcome, err);
    inst_recording_store_release(&store);
    inst_read_set_end(&live->index, &computation->reads);
    inst_arena_reset(&live->scratch);
    computation->is_outdated = st != INST_OK;
    computation->url_day = outcome.has_urls ? today(live) : 0;
    computation->rules_seen = live->rules_version;
    *changed = st == INST_OK && (!computation->has_result || computation->sum.a != outcome.sum.a ||
                                 computation->sum.b != outcome.sum.b);
    if (*changed) {
        free(computation->result);
        free(computation->meta);
        computation->result = inst_buf_take(&outcome.result, &computation->result_len);
        computation->meta = inst_buf_take(&outcome.meta, &computation->meta_len);
        computation->sum = outcome.sum;
        computation->has_result = true;
    }
    inst_outcome_free(&outcome);
    live->app->db->db_ops->trim(live->app->db);
    return st;
}

/* ---- is a run needed? ---- */

static struct inst_touch_side side_of(const struct inst_change_side *side) {
    return (struct inst_touch_side){.is_there = side->is_there, .ref = side->ref, .v = side->v};
}

static bool is_touched(struct inst_computation *computation, struct inst_store *store) {
    struct inst_err err = {0};
    bool is_only = computation->touched_count == 1;
    int got = compile(computation, &err) == INST_OK ? 0 : -1;
    for (uint32_t i = 0; got == 0 && i < computation->touched_count; i++) {
        const struct inst_change *change = computation->touched[i];
        struct inst_touch touch = {
            .attr = inst_catalog_at_row(computation->live->app->catalog, change->attr_row),
            .e = change->e,
            .before = side_of(&change->before),
            .after = side_of(&change->after),
            .is_only = is_only};
        bool can_tell = touch.attr != NULL && (is_only || !touch.before.is_there);
        got = can_tell ? inst_query_is_touched(computation->query, store, &touch, &err) : 1;
    }
    inst_err_clear(&err);
    return got != 0;
}

bool inst_computation_needs_run(struct inst_computation *computation) {
    struct inst_live *live = computation->live;
    struct inst_recording_store store;
    bool is_guarded = computation->is_guarded && !computation->viewer.is_admin;
    if (computation->must_run || live->is_catalog_new || is_guarded || !computation->has_result ||
        computation->is_outdated || computation->touched_count == 0)
        return true;
    bool is_needed = is_touched(computation, &live->app->db->store);
    if (!is_needed) { /* only now what it depends on is worth writing down */
        inst_read_set_resume(&live->index, &computation->reads);
        inst_recording_store_init(&store, &live->app->db->store, &live->index, &computation->reads);
        is_needed = is_touched(computation, &store.store);
        inst_recording_store_release(&store);
        inst_read_set_end(&live->index, &computation->reads);
    }
    inst_arena_reset(&live->scratch);
    live->app->db->db_ops->trim(live->app->db);
    return is_needed;
}
