#include "client/streams_internal.h"

#include "base/json.h"

#include <stdlib.h>

/* One write; chunks are never cut but where the server's files end. */
struct chunk {
    struct chunk *next;
    size_t len;
    char bytes[];
};

struct writer {
    struct inst_event event; /* queued ones hold a reference */
    int refs;
    bool is_gone;
    struct writer *prev, *next;
    struct inst_arena arena;
    struct inst_value client_id, rule_params;
    char token[INST_UUID_TEXT + 1];
    char start_event[INST_UUID_TEXT + 1]; /* start-stream that waits for its answer; else "" */
    char stream_id[INST_UUID_TEXT + 1];   /* "" until started */
    bool is_live;                         /* started on this connection: appends may go */
    struct inst_sub_list subs;            /* one */
    struct chunk *first, *last;           /* not flushed */
    uint64_t offset;                      /* of first */
    size_t bytes;                         /* of all chunks */
    bool wants_end;
    char *abort_reason;
    struct inst_retry retry;
    /* what is to be told */
    bool has_started, has_flushed, is_done, is_failed;
    struct inst_problem problem;
};

struct inst_writers {
    struct writer *first, *last;
    size_t count;
};

static const struct inst_event_ops writer_ops;

/* ---- life ---- */

/* Not inlined: GCC, which cannot count, would see a use behind the free of an earlier call. */
static __attribute__((noinline)) void unref(struct writer *w) {
    if (--w->refs > 0) {
        return;
    }
    while (w->first) {
        struct chunk *chunk = w->first;
        w->first = chunk->next;
        free(chunk);
    }
    inst_subs_free(&w->subs);
    inst_problem_clear(&w->problem);
    inst_arena_free(&w->arena);
    free(w->abort_reason);
    free(w);
}

static void forget(struct inst_reactor *r, struct writer *w) {
    struct inst_writers *writers = r->writers;
    if (w->is_gone) {
        return;
    }
    if (w->prev) {
        w->prev->next = w->next;
    } else {
        writers->first = w->next;
    }
    if (w->next) {
        w->next->prev = w->prev;
    } else {
        writers->last = w->prev;
    }
    writers->count--;
    w->is_gone = true;
    unref(w);
}

static void ended(struct inst_reactor *r, void *owner) { forget(r, owner); }

void inst_writers_free(struct inst_reactor *r) {
    while (r->writers && r->writers->first) {
        inst_subs_drop_all(r, &r->writers->first->subs);
        forget(r, r->writers->first);
    }
    free(r->writers);
    r->writers = NULL;
}

static void push(struct inst_reactor *r, struct writer *w) {
    if (!w->event.is_queued) {
        w->refs++;
        inst_events_push(r, &w->event);
    }
}

/* problem is moved. */
static void fail(struct inst_reactor *r, struct writer *w, struct inst_problem *problem) {
    if (w->is_failed || w->is_done) {
        inst_problem_clear(problem);
        return;
    }
    w->is_failed = true;
    w->is_live = false;
    w->retry.at = INST_REACTOR_NEVER;
    w->start_event[0] = '\0';
    w->problem = *problem;
    *problem = (struct inst_problem){0};
    push(r, w);
}

static void fail_with(struct inst_reactor *r, struct writer *w, const char *type,
                      const char *message) {
    struct inst_problem problem;
    inst_problem_local(&problem, type, message);
    fail(r, w, &problem);
}

void inst_writers_shutdown(struct inst_reactor *r) {
    for (struct writer *w = r->writers ? r->writers->first : NULL; w; w = w->next) {
        fail_with(r, w, "shutdown", "The client was shut down.");
    }
}

/* ---- to the server ---- */

static bool is_over(const struct writer *w) { return w->is_failed || w->is_done; }

static void send_start(struct inst_reactor *r, struct writer *w) {
    struct inst_member members[3];
    size_t count = 0;
    w->is_live = false;
    w->start_event[0] = '\0';
    w->retry.at = INST_REACTOR_NEVER;
    if (is_over(w) || !inst_reactor_is_authenticated(r)) {
        return; /* with the next init-ok */
    }
    w->retry.last = inst_reactor_now(r);
    inst_uuid_make_text(&r->env, w->start_event);
    members[count++] = (struct inst_member){"client-id", 9, w->client_id};
    members[count++] = (struct inst_member){"reconnect-token", 15, inst_cstring(w->token)};
    if (w->rule_params.tag == INST_OBJECT) {
        members[count++] = (struct inst_member){"rule-params", 11, w->rule_params};
    }
    struct inst_value message = inst_object(members, count);
    inst_outbox_send_message(r, "start-stream", w->start_event, &message);
}

/* chunks: an ARRAY of texts that begins at offset. */
static void send_append(struct inst_reactor *r, struct writer *w, const struct inst_value *chunks,
                        uint64_t offset, bool is_end) {
    struct inst_member members[5];
    char event_id[INST_UUID_TEXT + 1];
    size_t count = 0;
    inst_uuid_make_text(&r->env, event_id);
    members[count++] = (struct inst_member){"stream-id", 9, inst_cstring(w->stream_id)};
    members[count++] = (struct inst_member){"chunks", 6, *chunks};
    members[count++] = (struct inst_member){"offset", 6, inst_number((double)offset)};
    members[count++] = (struct inst_member){"done", 4, inst_bool(is_end)};
    if (is_end && w->abort_reason) {
        members[count++] = (struct inst_member){"abort-reason", 12, inst_cstring(w->abort_reason)};
    }
    struct inst_value message = inst_object(members, count);
    inst_outbox_send_message(r, "append-stream", event_id, &message);
}

#define CHUNKS_A_FRAME 64

/* Everything that is not flushed, from the start; and the end, which the official client forgets.
 */
static void send_rest(struct inst_reactor *r, struct writer *w) {
    struct inst_value items[CHUNKS_A_FRAME];
    uint64_t offset = w->offset;
    struct chunk *chunk = w->first;
    bool is_end = w->wants_end;
    while (chunk && w->is_live) {
        size_t count = 0, bytes = 0;
        while (chunk && count < CHUNKS_A_FRAME && (count == 0 || bytes < INST_STREAM_FRAME)) {
            items[count++] = inst_string(chunk->bytes, chunk->len);
            bytes += chunk->len;
            chunk = chunk->next;
        }
        struct inst_value chunks = inst_array(items, count);
        send_append(r, w, &chunks, offset, is_end && !chunk);
        offset += bytes;
    }
    if (is_end && !w->first && w->is_live) {
        struct inst_value none = inst_array(NULL, 0);
        send_append(r, w, &none, offset, true);
    }
}

/* ---- what the server keeps ---- */

/* false: the offset is none where chunks meet, so it is not ours. */
static bool discard(struct writer *w, uint64_t offset) {
    while (w->first && w->offset + w->first->len <= offset) {
        struct chunk *chunk = w->first;
        w->first = chunk->next;
        w->offset += chunk->len;
        w->bytes -= chunk->len;
        free(chunk);
    }
    if (!w->first) {
        w->last = NULL;
    }
    return w->offset == offset;
}

static struct writer *find_by_id(struct inst_reactor *r, const struct inst_value *id) {
    struct writer *w = r->writers && id ? r->writers->first : NULL;
    while (w && !(w->stream_id[0] && inst_is_string(id, w->stream_id))) {
        w = w->next;
    }
    return w;
}

static struct writer *find_by_start(struct inst_reactor *r, const struct inst_value *msg) {
    const struct inst_value *id = inst_get_string(msg, "client-event-id");
    struct writer *w = r->writers && id ? r->writers->first : NULL;
    while (w && !(w->start_event[0] && inst_is_string(id, w->start_event))) {
        w = w->next;
    }
    return w;
}

void inst_writers_start_ok(struct inst_reactor *r, const struct inst_value *msg) {
    struct writer *w = find_by_start(r, msg);
    const struct inst_value *id = inst_get_string(msg, "stream-id");
    uint64_t offset;
    if (!w) {
        return; /* dropped meanwhile */
    }
    w->start_event[0] = '\0';
    bool is_known = w->stream_id[0] != '\0';
    bool is_good = id && id->len == INST_UUID_TEXT &&
                   inst_stream_offset_of(inst_getz(msg, "offset"), &offset) &&
                   (is_known ? offset >= w->offset && discard(w, offset) : offset == 0);
    if (!is_good) {
        fail_with(r, w, "stream-corrupted", "Write stream is corrupted");
        return;
    }
    memcpy(w->stream_id, id->u.str, INST_UUID_TEXT);
    w->is_live = true;
    w->has_started = w->has_started || !is_known;
    w->has_flushed = w->has_flushed || is_known;
    send_rest(r, w);
    push(r, w);
}

void inst_writers_flushed(struct inst_reactor *r, const struct inst_value *msg) {
    struct writer *w = find_by_id(r, inst_get_string(msg, "stream-id"));
    uint64_t offset;
    if (!w || !inst_stream_offset_of(inst_getz(msg, "offset"), &offset) || is_over(w)) {
        return;
    }
    w->retry.attempts = 0;
    discard(w, offset);
    if (inst_get_true(msg, "done")) {
        w->is_done = true;
        w->is_live = false;
        w->retry.at = INST_REACTOR_NEVER;
    }
    w->has_flushed = true;
    push(r, w);
}

/* It begins again, after a while when that goes on. */
static void begin_again(struct inst_reactor *r, struct writer *w) {
    if (is_over(w) || w->start_event[0]) {
        return;
    }
    w->is_live = false;
    if (w->retry.at == INST_REACTOR_NEVER) {
        inst_retry_later(r, &w->retry);
    }
    if (w->retry.at <= inst_reactor_now(r)) {
        send_start(r, w);
    }
}

void inst_writers_append_failed(struct inst_reactor *r, const struct inst_value *msg) {
    struct writer *w = find_by_id(r, inst_get_string(msg, "stream-id"));
    if (w && w->is_live) {
        begin_again(r, w);
    }
}

void inst_writers_append_error(struct inst_reactor *r, const struct inst_value *msg,
                               struct inst_problem *problem) {
    (void)problem;
    inst_writers_append_failed(r, inst_getz(msg, "original-event"));
}

void inst_writers_start_error(struct inst_reactor *r, const struct inst_value *msg,
                              struct inst_problem *problem) {
    static const char closed[] = "Validation failed for start-stream: Stream is closed.";
    struct writer *w = find_by_start(r, msg);
    if (!w) {
        return;
    }
    w->start_event[0] = '\0';
    /* Only who has the token is told that: the end had got through, its answer not. */
    if (w->wants_end && w->stream_id[0] && strcmp(problem->err.message, closed) == 0) {
        w->is_done = true;
        push(r, w);
        return;
    }
    struct inst_problem copy = {0};
    inst_problem_copy(&copy, problem);
    fail(r, w, &copy);
}

/* ---- connections and time ---- */

void inst_writers_resend(struct inst_reactor *r) {
    for (struct writer *w = r->writers ? r->writers->first : NULL; w; w = w->next) {
        send_start(r, w);
    }
}

void inst_writers_connection_lost(struct inst_reactor *r) {
    for (struct writer *w = r->writers ? r->writers->first : NULL; w; w = w->next) {
        w->is_live = false;
        w->start_event[0] = '\0';
        w->retry.at = INST_REACTOR_NEVER;
    }
}

void inst_writers_tick(struct inst_reactor *r, int64_t now) {
    for (struct writer *w = r->writers ? r->writers->first : NULL; w; w = w->next) {
        if (w->retry.at <= now) {
            send_start(r, w);
        }
    }
}

int64_t inst_writers_deadline(const struct inst_reactor *r) {
    int64_t at = INST_REACTOR_NEVER;
    for (const struct writer *w = r->writers ? r->writers->first : NULL; w; w = w->next) {
        at = w->retry.at < at ? w->retry.at : at;
    }
    return at;
}

/* ---- events ---- */

static void tell(struct inst_reactor *r, struct writer *w, enum inst_writer_event_kind kind) {
    struct inst_reactor_error view = inst_problem_view(&w->problem);
    struct inst_writer_event event = {
        .kind = kind,
        .stream_id = w->stream_id[0] ? w->stream_id : NULL,
        .unflushed = w->bytes,
        .error = kind == INST_WRITER_FAILED ? &view : NULL,
    };
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = w->subs.first; sub; sub = sub->next) {
        if (inst_sub_is_due(sub, last)) {
            sub->fn.writer(sub->ctx, &event);
        }
    }
}

static void drop_writer(struct inst_reactor *r, struct inst_event *event) {
    (void)r;
    unref((struct writer *)event);
}

static void deliver_writer(struct inst_reactor *r, struct inst_event *event) {
    struct writer *w = (struct writer *)event;
    if (w->has_started) {
        w->has_started = false;
        tell(r, w, INST_WRITER_STARTED);
    }
    if (w->has_flushed && !w->is_done && !w->is_failed) {
        w->has_flushed = false;
        tell(r, w, INST_WRITER_FLUSHED);
    }
    if (w->is_done || w->is_failed) {
        tell(r, w, w->is_done ? INST_WRITER_DONE : INST_WRITER_FAILED);
        inst_subs_drop_all(r, &w->subs);
        forget(r, w);
    }
    unref(w);
}

static const struct inst_event_ops writer_ops = {deliver_writer, drop_writer};

/* ---- what the app does ---- */

enum inst_status inst_reactor_create_write_stream(struct inst_reactor *r, const char *client_id,
                                                  size_t client_id_len,
                                                  const struct inst_value *rule_params,
                                                  inst_writer_fn *fn, void *ctx, uint64_t *id,
                                                  struct inst_err *err) {
    struct inst_value name = inst_string(client_id, client_id_len), none = inst_undefined();
    struct inst_sub *sub;
    *id = 0;
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    if (!r->writers && !(r->writers = calloc(1, sizeof(*r->writers)))) {
        return inst_err_nomem(err);
    }
    if (r->writers->count >= INST_REACTOR_MAX_STREAMS) {
        return inst_err_set(err, "limit-exceeded", 400, "Too many streams at once.");
    }
    struct writer *w = calloc(1, sizeof(*w));
    if (!w) {
        return inst_err_nomem(err);
    }
    w->event.ops = &writer_ops;
    w->refs = 1;
    w->retry.at = INST_REACTOR_NEVER;
    inst_arena_init(&w->arena);
    inst_uuid_make_text(&r->env, w->token);
    struct inst_sub like = {.fn.writer = fn, .ctx = ctx, .owner = w, .ended = ended};
    enum inst_status status =
        inst_value_dup(&w->arena, &name, &w->client_id) &&
                inst_value_dup(&w->arena, rule_params ? rule_params : &none, &w->rule_params)
            ? INST_OK
            : inst_err_nomem(err);
    if (status == INST_OK) {
        status = inst_subs_add(r, &w->subs, &like, &sub, err);
    }
    if (status != INST_OK) {
        unref(w);
        return status;
    }
    w->prev = r->writers->last;
    if (w->prev) {
        w->prev->next = w;
    } else {
        r->writers->first = w;
    }
    r->writers->last = w;
    r->writers->count++;
    *id = sub->id;
    send_start(r, w);
    inst_events_deliver(r);
    return INST_OK;
}

static enum inst_status open_writer(struct inst_reactor *r, uint64_t id, struct writer **out,
                                    struct inst_err *err) {
    struct inst_sub *sub = inst_map_get(&r->subs, &id, sizeof(id));
    *out = sub && sub->ended == ended ? sub->owner : NULL;
    if (!*out || is_over(*out) || (*out)->wants_end) {
        return inst_err_set(err, "stream-closed", 0, "Stream has been closed.");
    }
    return INST_OK;
}

enum inst_status inst_reactor_stream_write(struct inst_reactor *r, uint64_t id, const char *bytes,
                                           size_t len, size_t *unflushed, struct inst_err *err) {
    struct writer *w;
    enum inst_status status = open_writer(r, id, &w, err);
    if (status != INST_OK) {
        return status;
    }
    if (len > INST_STREAM_MAX_UNFLUSHED || w->bytes > INST_STREAM_MAX_UNFLUSHED - len) {
        return inst_err_set(err, "limit-exceeded", 400,
                            "The stream is written faster than it can be stored.");
    }
    *unflushed = w->bytes + len;
    if (!len) {
        return INST_OK;
    }
    struct chunk *chunk = malloc(sizeof(*chunk) + len);
    if (!chunk) {
        return inst_err_nomem(err);
    }
    chunk->next = NULL;
    chunk->len = len;
    memcpy(chunk->bytes, bytes, len);
    uint64_t offset = w->offset + w->bytes;
    if (w->last) {
        w->last->next = chunk;
    } else {
        w->first = chunk;
    }
    w->last = chunk;
    w->bytes += len;
    if (w->is_live) {
        struct inst_value text = inst_string(chunk->bytes, len), chunks = inst_array(&text, 1);
        send_append(r, w, &chunks, offset, false);
    }
    inst_events_deliver(r);
    return INST_OK;
}

enum inst_status inst_reactor_stream_close(struct inst_reactor *r, uint64_t id,
                                           const char *abort_reason, struct inst_err *err) {
    struct inst_value none = inst_array(NULL, 0);
    struct writer *w;
    enum inst_status status = open_writer(r, id, &w, err);
    if (status != INST_OK) {
        return status;
    }
    if (abort_reason && abort_reason[strspn(abort_reason, " \t\r\n\v\f")] == '\0') {
        return inst_err_set(err, "validation-failed", 400,
                            "The reason why a stream is aborted must not be blank.");
    }
    if (abort_reason && !(w->abort_reason = strdup(abort_reason))) {
        return inst_err_nomem(err);
    }
    w->wants_end = true;
    if (w->is_live) {
        send_append(r, w, &none, w->offset + w->bytes, true);
    }
    inst_events_deliver(r);
    return INST_OK;
}
