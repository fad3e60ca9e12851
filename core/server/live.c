#include "server/live.h"

#include "base/json.h"
#include "base/text.h"
#include "server/canonical.h"
#include "server/engine.h"
#include "server/evaluation.h"
#include "server/files.h"
#include "server/limits.h"
#include "server/names.h"
#include "server/permissions.h"
#include "server/recording_store.h"
#include "server/split.h"

#include <stdlib.h>

struct inst_computation {
    struct inst_live *live;
    char *key; /* viewer, return-type, canonical q */
    size_t key_len;
    struct inst_table_key hash;         /* of the key */
    struct inst_computation *next_same; /* another key with this hash */
    char *q;                            /* JSON, as first asked */
    size_t q_len;
    struct inst_names names;
    struct inst_query *query; /* compiled; NULL: not kept */
    size_t compiled_place;    /* in live->compiled, while query is set */
    bool was_used;            /* since the clock last passed */
    struct inst_live_form form;
    struct inst_viewer viewer; /* its user and where it comes from only as far as `split` says */
    struct inst_split split;   /* by_user: only for sessions of this user (or of nobody) */
    char *ip, *origin;         /* owned: what viewer.from says */
    bool has_params;           /* q has $$ruleParams */
    uint64_t rules_seen;       /* live->rules_version as of its last run */
    struct inst_read_set reads;
    bool has_result;   /* `result` is what subscribers have */
    bool is_outdated;  /* its last run failed, or it waits to run */
    bool is_queued;    /* in live->queue */
    int64_t url_day;   /* of the addresses of files in the last result; 0: there are none */
    bool is_retrying;  /* in live->retries: failed for no fault of the query */
    char *result;      /* `,"result":...` without its key: see inst_live_write_result */
    size_t result_len; /* of the result itself */
    char *meta;        /* "null" or the tree's */
    size_t meta_len;
    struct inst_result_hash sum;
    struct inst_subscription **subscriptions;
    size_t count, cap;
    struct inst_computation *next_queued;
};

struct inst_subscription {
    struct inst_session *session;
    struct inst_computation *computation;
    size_t index; /* in the computation's list */
    struct inst_table_key q_hash;
    char *q; /* canonical; owned */
    size_t q_len;
    struct inst_subscription *next_same; /* of the session, same q_hash */
};

struct inst_live {
    struct inst_app *app;
    struct inst_read_index index;
    struct inst_table by_key;
    size_t count;
    struct inst_computation *compiled[INST_SERVER_MAX_COMPILED]; /* a clock of those kept */
    size_t hand;
    struct inst_computation *queue, **queue_end;
    struct inst_computation **retries;
    size_t retry_count, retry_cap;
    uint64_t rules_version;
    bool is_catalog_new; /* while inst_live_refresh runs: attrs changed */
    struct inst_arena scratch;
};

static struct inst_table_key hash_of(const struct inst_live *live, const char *text, size_t len) {
    uint64_t seed = live->index.seed;
    return (struct inst_table_key){inst_text_hash(text, len, seed),
                                   inst_text_hash(text, len, ~seed)};
}

/* ---- live ---- */

enum inst_status inst_live_new(struct inst_app *app, struct inst_live **out, struct inst_err *err) {
    struct inst_live *live = calloc(1, sizeof *live);
    if (live == NULL)
        return inst_err_nomem(err);
    live->app = app;
    live->queue_end = &live->queue;
    inst_read_index_init(&live->index, app->server->seed);
    inst_arena_init(&live->scratch);
    *out = live;
    return INST_OK;
}

void inst_live_free(struct inst_live *live) {
    if (live == NULL)
        return;
    inst_table_free(&live->by_key);
    inst_read_index_free(&live->index);
    inst_arena_free(&live->scratch);
    free(live->retries);
    free(live);
}

size_t inst_live_count(const struct inst_live *live) { return live->count; }

/* ---- computations ---- */

static void set_retrying(struct inst_live *live, struct inst_computation *computation, bool on) {
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

static void free_computation(struct inst_computation *computation) {
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
    set_retrying(live, computation, false);
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

static struct inst_computation *find_computation(const struct inst_live *live, const char *key,
                                                 size_t len) {
    struct inst_computation *computation = inst_table_get(&live->by_key, hash_of(live, key, len));
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

/* Takes the key. */
static enum inst_status new_computation(struct inst_live *live, char *key_take, size_t key_len,
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
        .hash = hash_of(live, key_take, key_len),
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

/* Addresses of files end some days after they were made. */
static bool has_old_urls(const struct inst_computation *computation) {
    return computation->url_day != 0 && computation->url_day != today(computation->live);
}

static enum inst_status evaluate(struct inst_computation *computation, struct inst_store *store,
                                 bool sees_system, struct inst_outcome *out, struct inst_err *err) {
    struct inst_live *live = computation->live;
    struct inst_value q = inst_undefined();
    struct inst_evaluation how = {
        .viewer = &computation->viewer,
        .is_tree = computation->form.is_tree,
        .infers = computation->form.infers,
        .is_guarded = sees_system || inst_app_has_rules(live->app),
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

/* Runs it and keeps what it read; *changed: the result is not the one kept. */
static enum inst_status run(struct inst_computation *computation, bool *changed,
                            struct inst_err *err) {
    struct inst_live *live = computation->live;
    struct inst_recording_store store;
    struct inst_outcome outcome;
    inst_outcome_init(&outcome);
    live->app->server->stats.computations_run++;
    inst_read_set_begin(&live->index, &computation->reads);
    bool sees_system = inst_names_add(&computation->names, live->app->catalog->attrs, &live->index,
                                      &computation->reads);
    inst_recording_store_init(&store, &live->app->db->store, &live->index, &computation->reads);
    enum inst_status st = compile(computation, err);
    if (st == INST_OK)
        st = evaluate(computation, &store.store, sees_system, &outcome, err);
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

/* A query's own fault shows again only when what it read changes; any other may pass. */
static bool is_own_fault(const struct inst_err *err) {
    return err->type != NULL && (strcmp(err->type, "validation-failed") == 0 ||
                                 strcmp(err->type, "limit-exceeded") == 0);
}

static void write_refresh(struct inst_computation *computation, bool with_attrs,
                          struct inst_buf *buf) {
    struct inst_app *app = computation->live->app;
    const char *attrs;
    size_t len;
    inst_buf_init(buf);
    inst_buf_reserve(buf, computation->result_len + computation->meta_len + 512);
    inst_reply_begin(buf, "refresh-ok");
    inst_buf_add_str(buf, ",\"processed-tx-id\":");
    inst_buf_add_int(buf, app->last_tx);
    if (with_attrs) {
        inst_buf_add_str(buf, ",\"attrs\":");
        if (inst_catalog_json(app->catalog, &attrs, &len, NULL) == INST_OK)
            inst_buf_add(buf, attrs, len);
        else
            buf->failed = true;
    }
    inst_buf_add_str(buf, ",\"computations\":[{\"instaql-query\":");
    inst_buf_add(buf, computation->q, computation->q_len);
    inst_buf_add_str(buf, ",\"instaql-result\":");
    inst_buf_add(buf, computation->result, computation->result_len);
    inst_buf_add_str(buf, ",\"result-meta\":");
    inst_buf_add(buf, computation->meta, computation->meta_len);
    inst_buf_add_str(buf, ",\"result-changed?\":true}]");
    inst_reply_end(buf, &app->server->tracer);
}

static struct inst_shared *make_refresh(struct inst_computation *computation, bool with_attrs) {
    struct inst_buf buf;
    write_refresh(computation, with_attrs, &buf);
    struct inst_shared *message = buf.failed ? NULL : inst_shared_new(buf.data, buf.len);
    inst_buf_free(&buf);
    return message;
}

/* Clients below the version gate get the attrs in every refresh (session.md 8); they are told of
 * changed results only, like all others. */
static void send_refresh(struct inst_computation *computation) {
    struct inst_server *server = computation->live->app->server;
    struct inst_shared *messages[2] = {NULL, NULL}; /* without attrs, with them */
    bool is_made[2] = {false, false};
    for (size_t i = 0; i < computation->count; i++) {
        const struct inst_session *session = computation->subscriptions[i]->session;
        int kind = session->features.skips_attrs ? 0 : 1;
        if (!is_made[kind])
            messages[kind] = make_refresh(computation, kind == 1);
        is_made[kind] = true;
        if (messages[kind] == NULL) {
            server->host.close(server->host.ctx, session->connection);
            continue;
        }
        server->host.send(server->host.ctx, session->connection, messages[kind]);
        server->stats.refreshes_sent++;
    }
    inst_shared_unref(messages[0]);
    inst_shared_unref(messages[1]);
}

/* Each subscriber is told as if its add-query had failed (session.md 6.2). */
static void send_failure(struct inst_computation *computation, const struct inst_err *err) {
    struct inst_arena *scratch = &computation->live->scratch;
    struct inst_value q = inst_null();
    inst_json_parse(scratch, computation->q, computation->q_len, &q, NULL);
    struct inst_member members[2] = {{"op", 2, inst_cstring("add-query")}, {"q", 1, q}};
    struct inst_value event = inst_object(members, 2);
    for (size_t i = 0; i < computation->count; i++)
        inst_server_send_error(computation->subscriptions[i]->session, err, &event);
    inst_arena_reset(scratch);
}

static void rerun(struct inst_computation *computation) {
    struct inst_err err = {0};
    bool changed = false;
    bool was_failed = computation->is_outdated && computation->has_result == false;
    if (run(computation, &changed, &err) == INST_OK) {
        set_retrying(computation->live, computation, false);
        if (changed)
            send_refresh(computation);
    } else {
        set_retrying(computation->live, computation, !is_own_fault(&err));
        /* What was last sent no longer counts: the next result is sent whatever it is. */
        computation->has_result = false;
        if (!was_failed)
            send_failure(computation, &err);
    }
    inst_err_clear(&err);
}

static void queue(void *ctx, void *owner) {
    struct inst_live *live = ctx;
    struct inst_computation *computation = owner;
    if (computation->is_queued)
        return;
    computation->is_queued = true;
    computation->next_queued = NULL;
    *live->queue_end = computation;
    live->queue_end = &computation->next_queued;
}

static void send_attrs(struct inst_live *live) {
    struct inst_app *app = live->app;
    struct inst_server *server = app->server;
    const char *json;
    size_t len;
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "refresh-ok");
    inst_buf_add_str(&buf, ",\"processed-tx-id\":");
    inst_buf_add_int(&buf, app->last_tx);
    inst_buf_add_str(&buf, ",\"attrs\":");
    if (inst_catalog_json(app->catalog, &json, &len, NULL) == INST_OK)
        inst_buf_add(&buf, json, len);
    else
        buf.failed = true;
    inst_buf_add_str(&buf, ",\"computations\":[]");
    inst_reply_end(&buf, &server->tracer);
    struct inst_shared *message = buf.failed ? NULL : inst_shared_new(buf.data, buf.len);
    for (struct inst_session *s = app->sessions; s != NULL; s = s->app_next) {
        if (message == NULL)
            server->host.close(server->host.ctx, s->connection);
        else
            server->host.send(server->host.ctx, s->connection, message);
        server->stats.refreshes_sent += message != NULL;
    }
    inst_shared_unref(message);
    inst_buf_free(&buf);
}

/* ---- subscriptions ---- */

static struct inst_subscription *find_subscription(struct inst_session *session, const char *q,
                                                   size_t len) {
    struct inst_subscription *subscription =
        inst_table_get(&session->queries, hash_of(session->app->live, q, len));
    while (subscription != NULL &&
           (subscription->q_len != len || memcmp(subscription->q, q, len) != 0))
        subscription = subscription->next_same;
    return subscription;
}

static struct inst_subscription *find_by_value(struct inst_session *session,
                                               const struct inst_value *q) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_canonical_write(&text, q);
    struct inst_subscription *found =
        text.failed ? NULL : find_subscription(session, text.data, text.len);
    inst_buf_free(&text);
    return found;
}

bool inst_live_has(struct inst_session *session, const struct inst_value *q) {
    return find_by_value(session, q) != NULL;
}

static void unsubscribe(struct inst_subscription *subscription) {
    struct inst_session *session = subscription->session;
    struct inst_computation *computation = subscription->computation;
    struct inst_subscription *head = inst_table_get(&session->queries, subscription->q_hash);
    if (head == subscription && subscription->next_same == NULL) {
        inst_table_remove(&session->queries, subscription->q_hash);
    } else if (head == subscription) {
        inst_table_put(&session->queries, subscription->q_hash, subscription->next_same);
    } else {
        struct inst_subscription **link = &head->next_same;
        while (*link != subscription)
            link = &(*link)->next_same;
        *link = subscription->next_same;
    }
    struct inst_subscription *last = computation->subscriptions[--computation->count];
    computation->subscriptions[subscription->index] = last;
    last->index = subscription->index;
    session->server->stats.subscriptions--;
    free(subscription->q);
    free(subscription);
    if (computation->count == 0)
        free_computation(computation);
}

/* Takes q. */
static enum inst_status subscribe(struct inst_session *session,
                                  struct inst_computation *computation, char *q_take, size_t q_len,
                                  struct inst_subscription **out, struct inst_err *err) {
    struct inst_subscription *subscription = calloc(1, sizeof *subscription);
    bool has_room = computation->count < computation->cap;
    if (!has_room) {
        size_t cap = computation->cap == 0 ? 1 : computation->cap * 2;
        struct inst_subscription **list = realloc(computation->subscriptions, cap * sizeof(void *));
        if (list != NULL) {
            computation->subscriptions = list;
            computation->cap = cap;
            has_room = true;
        }
    }
    struct inst_table_key hash = hash_of(computation->live, q_take, q_len);
    if (subscription != NULL && has_room) {
        *subscription = (struct inst_subscription){.session = session,
                                                   .computation = computation,
                                                   .index = computation->count,
                                                   .q_hash = hash,
                                                   .q = q_take,
                                                   .q_len = q_len};
        subscription->next_same = inst_table_get(&session->queries, hash);
        if (inst_table_put(&session->queries, hash, subscription)) {
            computation->subscriptions[computation->count++] = subscription;
            session->server->stats.subscriptions++;
            *out = subscription;
            return INST_OK;
        }
    }
    free(subscription);
    free(q_take);
    if (computation->count == 0)
        free_computation(computation);
    return inst_err_nomem(err);
}

/* What tells computations apart: who looks, as far as it matters, then the form, then q. */
static void write_key(struct inst_buf *buf, const struct inst_viewer *viewer,
                      struct inst_split split, struct inst_live_form form) {
    inst_buf_addf(buf, "%c%c%c%s:", viewer->is_admin ? 'a' : 'u', form.is_tree ? 't' : 'j',
                  form.infers ? 'i' : '-', split.by_user ? viewer->user : "");
    for (int i = 0; split.by_caller && i < 2; i++) {
        const char *text = i == 0 ? viewer->from.ip : viewer->from.origin;
        if (text != NULL)
            inst_json_write_string(buf, text, strlen(text));
        inst_buf_add_char(buf, ':');
    }
}

static enum inst_status join(struct inst_session *session, const struct inst_value *q,
                             struct inst_live_form form, struct inst_subscription **out,
                             struct inst_err *err) {
    struct inst_live *live = session->app->live;
    const struct inst_viewer *viewer = &session->viewer;
    struct inst_split split = inst_split_of(session->app, viewer, q);
    struct inst_computation *computation;
    struct inst_buf text;
    size_t key_len;
    enum inst_status st = INST_OK;
    inst_buf_init(&text);
    write_key(&text, viewer, split, form);
    size_t head = text.len;
    inst_canonical_write(&text, q);
    char *key = inst_buf_take(&text, &key_len);
    char *q_text = key != NULL ? malloc(key_len - head + 1) : NULL;
    if (q_text == NULL) {
        free(key);
        return inst_err_nomem(err);
    }
    memcpy(q_text, key + head, key_len - head);
    computation = find_computation(live, key, key_len);
    if (computation == NULL)
        st = new_computation(live, key, key_len, q, form, viewer, split, &computation, err);
    else
        free(key);
    if (st != INST_OK) {
        free(q_text);
        return st;
    }
    return subscribe(session, computation, q_text, key_len - head, out, err);
}

enum inst_status inst_live_add(struct inst_session *session, const struct inst_value *q,
                               struct inst_live_form form, struct inst_subscription **out,
                               struct inst_err *err) {
    enum inst_status st = join(session, q, form, out, err);
    if (st != INST_OK)
        return st;
    struct inst_computation *computation = (*out)->computation;
    if (!computation->is_outdated && !has_old_urls(computation))
        return INST_OK;
    bool changed;
    if ((st = run(computation, &changed, err)) != INST_OK) {
        unsubscribe(*out);
        return st;
    }
    if (computation->count > 1 && changed) { /* others waited for it to succeed again */
        set_retrying(computation->live, computation, false);
        send_refresh(computation);
    }
    return INST_OK;
}

void inst_live_write_result(const struct inst_subscription *subscription, struct inst_buf *buf) {
    const struct inst_computation *computation = subscription->computation;
    inst_buf_reserve(buf, computation->result_len + computation->meta_len + 256);
    inst_buf_add_str(buf, ",\"result\":");
    inst_buf_add(buf, computation->result, computation->result_len);
    inst_buf_add_str(buf, ",\"result-meta\":");
    inst_buf_add(buf, computation->meta, computation->meta_len);
    inst_buf_add_str(buf, ",\"processed-tx-id\":");
    inst_buf_add_int(buf, computation->live->app->last_tx);
}

void inst_live_remove(struct inst_session *session, const struct inst_value *q) {
    struct inst_subscription *subscription = find_by_value(session, q);
    if (subscription != NULL)
        unsubscribe(subscription);
}

void inst_live_remove_all(struct inst_session *session) {
    for (size_t i = 0; session->queries.count > 0 && i < session->queries.cap;) {
        struct inst_subscription *subscription = session->queries.slots[i].value;
        if (subscription == NULL) {
            i++;
            continue;
        }
        /* Gone from this slot afterwards; another may shift into it: look again. */
        unsubscribe(subscription); /* NOLINT(clang-analyzer-unix.Malloc) */
    }
    inst_table_free(&session->queries);
}

/* ---- after a commit ---- */

/* Moves one subscription to a computation of its own viewer, and sends what that says. */
static void move_viewer(struct inst_subscription *subscription, const struct inst_value *q) {
    struct inst_session *session = subscription->session;
    struct inst_live_form form = subscription->computation->form;
    struct inst_subscription *moved;
    struct inst_err err = {0};
    unsubscribe(subscription);
    if (inst_live_add(session, q, form, &moved, &err) == INST_OK) {
        struct inst_buf buf;
        write_refresh(moved->computation, !moved->session->features.skips_attrs, &buf);
        session->server->stats.refreshes_sent++;
        inst_server_send(session, &buf);
    } else {
        struct inst_member members[2] = {{"op", 2, inst_cstring("add-query")}, {"q", 1, *q}};
        struct inst_value event = inst_object(members, 2);
        inst_server_send_error(session, &err, &event);
    }
    inst_err_clear(&err);
}

/* New attrs may lead a query to rows that not everybody sees alike: then each user's subscriptions
 * leave the shared computation. true: nobody is left and it is gone. */
static bool part_viewers(struct inst_computation *computation) {
    struct inst_live *live = computation->live;
    struct inst_arena arena;
    struct inst_value q;
    bool is_gone = false;
    if (computation->viewer.is_admin ||
        (computation->split.by_user && computation->split.by_caller))
        return false;
    inst_arena_init(&arena);
    if (inst_json_parse(&arena, computation->q, computation->q_len, &q, NULL) == INST_OK) {
        /* From the end: what unsubscribe puts in a left place is the last, which stays. */
        for (size_t i = computation->count; i-- > 0 && !is_gone;) {
            struct inst_subscription *subscription = computation->subscriptions[i];
            struct inst_split split = inst_split_of(live->app, &subscription->session->viewer, &q);
            if (inst_split_equals(split, computation->split))
                continue;
            is_gone = computation->count == 1;
            move_viewer(subscription, &q);
        }
    }
    inst_arena_free(&arena);
    return is_gone;
}

static void run_queued(struct inst_live *live) {
    while (live->queue != NULL) {
        struct inst_computation *computation = live->queue;
        live->queue = computation->next_queued;
        if (live->queue == NULL)
            live->queue_end = &live->queue;
        computation->is_queued = false;
        if (!live->is_catalog_new || !part_viewers(computation))
            rerun(computation);
    }
}

void inst_live_refresh(struct inst_live *live, const struct inst_changes *changes) {
    live->is_catalog_new = changes->is_catalog_new;
    if (changes->is_catalog_new)
        send_attrs(live);
    inst_read_index_ask(&live->index, changes, queue, live);
    for (size_t i = 0; i < live->retry_count; i++)
        queue(live, live->retries[i]);
    run_queued(live);
    live->is_catalog_new = false;
}

void inst_live_renew_urls(struct inst_live *live) {
    for (size_t i = 0; i < live->by_key.cap; i++) {
        struct inst_computation *computation = live->by_key.slots[i].value;
        for (; computation != NULL; computation = computation->next_same)
            if (has_old_urls(computation))
                queue(live, computation);
    }
    run_queued(live);
}

/* ---- after a change of rules ---- */

/* One session's subscription, by its canonical q. */
static void apply_rules(struct inst_session *session, const char *q_text, size_t q_len) {
    struct inst_live *live = session->app->live;
    struct inst_subscription *subscription = find_subscription(session, q_text, q_len);
    struct inst_arena arena;
    struct inst_value q;
    if (subscription == NULL)
        return;
    inst_arena_init(&arena);
    if (inst_json_parse(&arena, q_text, q_len, &q, NULL) == INST_OK) {
        struct inst_computation *computation = subscription->computation;
        if (!inst_split_equals(inst_split_of(session->app, &session->viewer, &q),
                               computation->split))
            move_viewer(subscription, &q);
        else if (computation->rules_seen != live->rules_version)
            rerun(computation);
    }
    inst_arena_free(&arena);
}

/* The canonical texts of all of a session's queries; what is done with them changes its table. */
static char **list_queries(const struct inst_session *session, size_t *count) {
    size_t cap = session->server->stats.subscriptions;
    char **list = calloc(cap + 1, sizeof *list);
    *count = 0;
    for (size_t i = 0; list != NULL && i < session->queries.cap; i++) {
        for (const struct inst_subscription *s = session->queries.slots[i].value; s != NULL;
             s = s->next_same) {
            char *copy = *count < cap ? strndup(s->q, s->q_len) : NULL;
            if (copy != NULL)
                list[(*count)++] = copy;
        }
    }
    return list;
}

void inst_live_rules_changed(struct inst_live *live) {
    live->rules_version++;
    for (struct inst_session *session = live->app->sessions; session != NULL;
         session = session->app_next) {
        size_t count;
        if (session->viewer.is_admin)
            continue;
        char **list = list_queries(session, &count);
        if (list == NULL) { /* what cannot be put right must not go on */
            session->server->host.close(session->server->host.ctx, session->connection);
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            apply_rules(session, list[i], strlen(list[i]));
            free(list[i]);
        }
        free(list);
    }
}
