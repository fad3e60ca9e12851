#include "server/polls.h"

#include "base/json.h"
#include "server/later.h"
#include "server/limits.h"
#include "server/refusal.h"

#include <stdlib.h>

struct poll {
    struct poll *next, *previous; /* of the server */
    struct inst_app *app;         /* held */
    struct inst_later *later;     /* whoever waits */
    struct inst_feed *feed;
    struct inst_arena arena; /* the filter's texts */
    struct inst_poll_wish wish;
    size_t count;
    int64_t begun_ms;
    struct inst_buf changes; /* JSON, with commas between */
    bool is_at_head;
    enum inst_status status; /* with err: reading failed */
    struct inst_err err;
};

struct inst_polls {
    struct poll *first;
    struct poll *next_read; /* whose turn it is to read; NULL: the first's */
    size_t count;
    bool is_awake; /* the next turn looks at all of them */
};

static int64_t now_of(const struct inst_app *app) {
    const struct inst_env *env = app->server->env;
    return env->now_ms(env->ctx);
}

/* ---- one poll ---- */

static void free_poll(struct poll *poll) {
    if (poll->app != NULL)
        poll->app->holds--;
    inst_feed_free(poll->feed);
    inst_arena_free(&poll->arena);
    inst_buf_free(&poll->changes);
    inst_err_clear(&poll->err);
    free(poll);
}

static enum inst_status copy_filter(struct poll *poll, const struct inst_feed_filter *filter,
                                    struct inst_err *err) {
    struct inst_value *etypes;
    if (filter->etypes == NULL)
        return INST_OK;
    etypes = inst_arena_alloc(&poll->arena, (filter->etype_count + 1) * sizeof *etypes);
    for (size_t i = 0; etypes != NULL && i < filter->etype_count; i++)
        if (!inst_value_dup(&poll->arena, &filter->etypes[i], &etypes[i]))
            etypes = NULL;
    poll->wish.filter.etypes = etypes;
    return etypes != NULL ? INST_OK : inst_err_nomem(err);
}

static enum inst_status new_poll(struct inst_app *app, const struct inst_poll_wish *wish,
                                 struct poll **out, struct inst_err *err) {
    struct poll *poll = calloc(1, sizeof *poll);
    if (poll == NULL)
        return inst_err_nomem(err);
    poll->app = app;
    app->holds++;
    poll->wish = *wish;
    poll->begun_ms = now_of(app);
    inst_arena_init(&poll->arena);
    inst_buf_init(&poll->changes);
    enum inst_status st = copy_filter(poll, &wish->filter, err);
    if (st == INST_OK)
        st = inst_feeds_take(app, wish->from, &poll->feed, err);
    if (st != INST_OK) {
        free_poll(poll);
        return st;
    }
    *out = poll;
    return INST_OK;
}

static void write_change(struct inst_buf *out, const struct inst_feed_change *change) {
    char position[INST_FEED_POSITION_TEXT];
    inst_buf_add_str(out, "{\"etype\":");
    inst_json_write(out, &change->etype);
    inst_buf_addf(out, ",\"id\":\"%s\",\"action\":\"%s\",\"before\":", change->id,
                  inst_feed_action_name(change->action));
    inst_json_write(out, &change->before);
    inst_buf_add_str(out, ",\"after\":");
    inst_json_write(out, &change->after);
    inst_buf_add_str(out, ",\"txId\":");
    inst_buf_add_int(out, change->tx_id);
    inst_buf_add_str(out, ",\"at\":");
    inst_buf_add_int(out, change->at_ms);
    inst_buf_add_str(out, ",\"who\":");
    inst_json_write(out, &change->who);
    inst_feed_position_print(change->position, position);
    inst_buf_addf(out, ",\"position\":\"%s\",\"idempotencyKey\":\"%s\"}", position, change->key);
}

static bool on_change(void *ctx, const struct inst_feed_change *change) {
    struct poll *poll = ctx;
    const struct inst_poll_wish *wish = &poll->wish;
    if (wish->until_tx != 0 && change->tx_id > wish->until_tx)
        return false;
    if (poll->count++ > 0)
        inst_buf_add_char(&poll->changes, ',');
    (wish->write != NULL ? wish->write : write_change)(&poll->changes, change);
    return poll->count < wish->limit && !poll->changes.failed &&
           (wish->until_tx != 0 || poll->changes.len < INST_FEED_ANSWER_BYTES);
}

static void read_on(struct poll *poll, struct inst_feed_budget *budget) {
    poll->status = inst_feed_read_within(poll->feed, budget, &poll->wish.filter, on_change, poll,
                                         &poll->is_at_head, &poll->err);
    if (poll->status == INST_OK && poll->changes.failed)
        poll->status = inst_err_nomem(&poll->err);
}

/* Behind the head there is time for some slices, for what is asked for may be rare. */
static bool is_over(const struct poll *poll) {
    int64_t waited = now_of(poll->app) - poll->begun_ms;
    struct inst_feed_position at = inst_feed_at(poll->feed);
    if (poll->status != INST_OK || poll->app->is_removed)
        return true;
    if (poll->wish.until_tx != 0)
        return poll->is_at_head || at.tx >= poll->wish.until_tx;
    if (poll->count > 0 || waited < 0)
        return true;
    if (poll->is_at_head)
        return waited >= poll->wish.wait_ms;
    bool has_moved = at.tx != poll->wish.from.tx || at.index != poll->wish.from.index;
    return has_moved && waited >= INST_FEED_ANSWER_MS;
}

static void answer_payload(const struct poll *poll, struct inst_http_response *response) {
    poll->wish.add_headers(response);
    inst_buf_add_str(&response->body, "{\"data\":[");
    inst_buf_add(&response->body, poll->changes.data, poll->changes.len);
    inst_buf_addf(&response->body, "],\"idempotencyKey\":\"%s\"}", poll->wish.key);
}

static enum inst_status answer(struct poll *poll, struct inst_http_response *response,
                               struct inst_err *err) {
    char position[INST_FEED_POSITION_TEXT];
    if (poll->app->is_removed)
        return inst_refuse_not_found(err, "app", NULL);
    if (poll->status != INST_OK) {
        enum inst_status st = poll->status;
        inst_err_move(err, &poll->err);
        return st;
    }
    if (poll->wish.until_tx != 0) {
        answer_payload(poll, response);
        return INST_OK;
    }
    inst_feed_position_print(inst_feed_at(poll->feed), position);
    inst_http_add_header(response, "Cache-Control", "no-store");
    inst_buf_add_str(&response->body, "{\"changes\":[");
    inst_buf_add(&response->body, poll->changes.data, poll->changes.len);
    inst_buf_addf(&response->body, "],\"position\":\"%s\",\"more\":%s}", position,
                  poll->is_at_head ? "false" : "true");
    if (!poll->is_at_head) {
        inst_feeds_keep(poll->app, poll->feed);
        poll->feed = NULL;
    }
    return INST_OK;
}

/* ---- those that wait ---- */

static void unlink_poll(struct inst_polls *polls, struct poll *poll) {
    if (poll->previous != NULL)
        poll->previous->next = poll->next;
    else
        polls->first = poll->next;
    if (poll->next != NULL)
        poll->next->previous = poll->previous;
    if (polls->next_read == poll)
        polls->next_read = poll->next;
    polls->count--;
}

static size_t count_of(const struct inst_polls *polls, const struct inst_app *app) {
    size_t count = 0;
    for (const struct poll *poll = polls->first; poll != NULL; poll = poll->next)
        count += poll->app == app;
    return count;
}

/* One slice, for `more` polls beside those that are linked. */
static struct inst_feed_budget budget_for(const struct inst_polls *polls, size_t more) {
    struct inst_feed_budget budget = inst_feed_budget();
    size_t behind = more;
    for (const struct poll *poll = polls != NULL ? polls->first : NULL; poll; poll = poll->next)
        behind += !poll->is_at_head;
    size_t share = INST_FEED_ALL_WINDOWS_BYTES / (behind > 0 ? behind : 1);
    if (share < budget.window_bytes)
        budget.window_bytes =
            share > INST_FEED_MIN_WINDOW_BYTES ? share : INST_FEED_MIN_WINDOW_BYTES;
    return budget;
}

static enum inst_status link_poll(struct inst_server *server, struct poll *poll,
                                  struct inst_err *err) {
    if (server->polls == NULL && (server->polls = calloc(1, sizeof *server->polls)) == NULL)
        return inst_err_nomem(err);
    struct inst_polls *polls = server->polls;
    if (polls->count >= INST_FEED_MAX_POLLS || count_of(polls, poll->app) >= INST_FEED_APP_POLLS)
        return inst_err_set(err, "rate-limited", 429,
                            "Too many requests wait for changes. Please try again later.");
    poll->next = polls->first;
    if (poll->next != NULL)
        poll->next->previous = poll;
    polls->first = poll;
    polls->count++;
    polls->is_awake = polls->is_awake || !poll->is_at_head;
    return INST_OK;
}

/* Runs twice: when the poll begins to wait, and when it is over. */
static enum inst_status step(struct inst_later *later, struct inst_http_response *response,
                             struct inst_err *err) {
    struct poll *poll = *(struct poll **)later->state;
    enum inst_status st;
    if (poll->later == NULL) {
        if ((st = inst_later_wait(later, err)) == INST_OK)
            st = link_poll(later->server, poll, err);
        if (st == INST_OK)
            poll->later = later;
        else
            free_poll(poll);
        return st;
    }
    st = answer(poll, response, err);
    free_poll(poll);
    return st;
}

enum inst_status inst_poll_start(struct inst_app *app, const struct inst_poll_wish *wish,
                                 struct inst_http_response *response, struct inst_err *err) {
    struct poll *poll = NULL;
    struct inst_later *later;
    enum inst_status st = new_poll(app, wish, &poll, err);
    if (st != INST_OK)
        return st;
    struct inst_feed_budget budget = budget_for(app->server->polls, 1);
    read_on(poll, &budget);
    if (is_over(poll)) {
        st = answer(poll, response, err);
        free_poll(poll);
        return st;
    }
    st = inst_later_new(app->server, step, sizeof poll, &later, err);
    if (st != INST_OK) {
        free_poll(poll);
        return st;
    }
    *(struct poll **)later->state = poll;
    return inst_later_run(later, response, err);
}

/* ---- turns ---- */

void inst_polls_wake(struct inst_server *server) {
    if (server->polls != NULL && server->polls->first != NULL)
        server->polls->is_awake = true;
}

bool inst_polls_are_pending(const struct inst_server *server) {
    const struct inst_polls *polls = server->polls;
    if (polls == NULL || polls->first == NULL)
        return false;
    return polls->is_awake || inst_polls_due_ms(server) <= server->env->now_ms(server->env->ctx);
}

int64_t inst_polls_due_ms(const struct inst_server *server) {
    int64_t due = INT64_MAX;
    for (const struct poll *poll = server->polls != NULL ? server->polls->first : NULL;
         poll != NULL; poll = poll->next)
        if (poll->begun_ms + poll->wish.wait_ms < due)
            due = poll->begun_ms + poll->wish.wait_ms;
    return due;
}

/* false: it is to be the first that reads in the next turn. */
static bool run(struct inst_polls *polls, struct poll *poll, struct inst_feed_budget *budget) {
    bool is_behind = inst_feed_at(poll->feed).tx < poll->app->last_tx && !poll->app->is_removed;
    bool is_put_off = is_behind && inst_feed_budget_is_spent(budget);
    if (poll->app->is_group_open) {
        polls->is_awake = true;
        return true;
    }
    if (is_behind && !is_put_off)
        read_on(poll, budget);
    if (is_over(poll)) {
        unlink_poll(polls, poll);
        inst_later_resume(poll->later);
        return true;
    }
    polls->is_awake = polls->is_awake || is_put_off || !poll->is_at_head;
    return !is_put_off;
}

void inst_polls_turn(struct inst_server *server) {
    struct inst_polls *polls = server->polls;
    if (!inst_polls_are_pending(server))
        return;
    struct inst_feed_budget budget = budget_for(polls, 0);
    struct poll *unread = NULL, *poll = polls->next_read;
    polls->is_awake = false;
    for (size_t count = polls->count; count > 0 && polls->first != NULL; count--) {
        poll = poll != NULL ? poll : polls->first;
        struct poll *next = poll->next;
        if (!run(polls, poll, &budget) && unread == NULL)
            unread = poll;
        poll = next;
    }
    polls->next_read = unread;
}

void inst_polls_free(struct inst_server *server) {
    struct inst_polls *polls = server->polls;
    if (polls == NULL)
        return;
    for (struct poll *poll = polls->first, *next; poll != NULL; poll = next) {
        next = poll->next;
        free_poll(poll);
    }
    free(polls);
    server->polls = NULL;
}
