#include "server/computation.h"

#include "base/json.h"
#include "base/text.h"
#include "server/canonical.h"

#include <stdlib.h>

struct inst_table_key inst_live_hash(const struct inst_live *live, const char *text, size_t len) {
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

/* ---- subscriptions ---- */

static struct inst_subscription *find_subscription(struct inst_session *session, const char *q,
                                                   size_t len) {
    struct inst_subscription *subscription =
        inst_table_get(&session->queries, inst_live_hash(session->app->live, q, len));
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
        inst_computation_free(computation);
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
    struct inst_table_key hash = inst_live_hash(computation->live, q_take, q_len);
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
        inst_computation_free(computation);
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
    computation = inst_computation_find(live, key, key_len);
    if (computation == NULL)
        st = inst_computation_new(live, key, key_len, q, form, viewer, split, &computation, err);
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
    if (!computation->is_outdated && !inst_computation_has_old_urls(computation))
        return INST_OK;
    bool changed;
    if ((st = inst_computation_run(computation, &changed, err)) != INST_OK) {
        unsubscribe(*out);
        return st;
    }
    if (computation->count > 1 && changed) { /* others waited for it to succeed again */
        inst_computation_set_retrying(computation->live, computation, false);
        inst_refresh_send(computation);
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

/* ---- viewers that part ---- */

/* Moves one subscription to a computation of its own viewer, and sends what that says. */
static void move_viewer(struct inst_subscription *subscription, const struct inst_value *q) {
    struct inst_session *session = subscription->session;
    struct inst_live_form form = subscription->computation->form;
    struct inst_subscription *moved;
    struct inst_err err = {0};
    unsubscribe(subscription);
    if (inst_live_add(session, q, form, &moved, &err) == INST_OK) {
        struct inst_buf buf;
        inst_refresh_write(moved->computation, !moved->session->features.skips_attrs, &buf);
        session->server->stats.refreshes_sent++;
        inst_server_send(session, &buf);
    } else {
        struct inst_member members[2] = {{"op", 2, inst_cstring("add-query")}, {"q", 1, *q}};
        struct inst_value event = inst_object(members, 2);
        inst_server_send_error(session, &err, &event);
    }
    inst_err_clear(&err);
}

bool inst_live_part_viewers(struct inst_computation *computation) {
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
            inst_refresh_run(computation);
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
