#include "client/streams_internal.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

/* One stream-append that waits its turn. */
struct item {
    struct item *next;
    struct inst_arena arena;
    struct inst_value files;   /* ARRAY or UNDEFINED */
    struct inst_value content; /* STRING or UNDEFINED */
    struct inst_value abort_reason;
    uint64_t offset;
    uint64_t at;   /* bytes of it that were dealt with, from offset on */
    uint32_t file; /* the next one */
    bool has_offset;
    bool is_done;
    size_t size;
};

struct reader {
    struct inst_event event; /* queued ones hold a reference */
    int refs;
    bool is_gone;
    struct reader *prev, *next;
    struct inst_arena arena;
    struct inst_value client_id, stream_name, rule_params;
    char stream_id[INST_UUID_TEXT + 1]; /* "" until known */
    char event_id[INST_UUID_TEXT + 1];  /* of the subscription; "": none on this connection */
    struct inst_sub_list subs;          /* one */
    uint64_t seen;                      /* bytes that were dealt with, the tail included */
    char tail[4];                       /* of a character that is not whole yet */
    size_t tail_len;
    struct item *first, *last;
    size_t queued;
    uint64_t fetch;    /* number of the last download asked for */
    bool is_fetching;  /* the first item's file */
    uint64_t file_end; /* where that file ends */
    struct inst_buf fetched;
    bool is_fetch_over, is_fetch_whole;
    unsigned fetch_failures;
    struct inst_retry retry;
    bool has_started, is_failed;
    struct inst_problem problem;
};

struct inst_readers {
    struct reader *first, *last;
    size_t count;
};

static const struct inst_event_ops reader_ops;

/* ---- life ---- */

static void free_item(struct item *item) {
    inst_arena_free(&item->arena);
    free(item);
}

static void drop_items(struct reader *rd) {
    while (rd->first) {
        struct item *item = rd->first;
        rd->first = item->next;
        free_item(item);
    }
    rd->last = NULL;
    rd->queued = 0;
    rd->is_fetching = rd->is_fetch_over = false;
    rd->fetch++; /* what still comes of a download is of no concern */
    inst_buf_clear(&rd->fetched);
}

static void unref(struct reader *rd) {
    if (--rd->refs > 0) {
        return;
    }
    drop_items(rd);
    inst_buf_free(&rd->fetched);
    inst_subs_free(&rd->subs);
    inst_problem_clear(&rd->problem);
    inst_arena_free(&rd->arena);
    free(rd);
}

static void forget(struct inst_reactor *r, struct reader *rd) {
    struct inst_readers *readers = r->readers;
    if (rd->is_gone) {
        return;
    }
    if (rd->prev) {
        rd->prev->next = rd->next;
    } else {
        readers->first = rd->next;
    }
    if (rd->next) {
        rd->next->prev = rd->prev;
    } else {
        readers->last = rd->prev;
    }
    readers->count--;
    rd->is_gone = true;
    unref(rd);
}

static void send_unsubscribe(struct inst_reactor *r, struct reader *rd) {
    char event_id[INST_UUID_TEXT + 1];
    if (!rd->event_id[0] || !inst_reactor_is_authenticated(r)) {
        return;
    }
    inst_uuid_make_text(&r->env, event_id);
    struct inst_member member = {"subscribe-event-id", 18, inst_cstring(rd->event_id)};
    struct inst_value message = inst_object(&member, 1);
    inst_outbox_send_message(r, "unsubscribe-stream", event_id, &message);
    rd->event_id[0] = '\0';
}

static void ended(struct inst_reactor *r, void *owner) {
    struct reader *rd = owner;
    if (!rd->is_gone) {
        send_unsubscribe(r, rd);
        forget(r, rd);
    }
}

void inst_readers_free(struct inst_reactor *r) {
    while (r->readers && r->readers->first) {
        inst_subs_drop_all(r, &r->readers->first->subs);
        forget(r, r->readers->first);
    }
    free(r->readers);
    r->readers = NULL;
}

static void push(struct inst_reactor *r, struct reader *rd) {
    if (!rd->event.is_queued) {
        rd->refs++;
        inst_events_push(r, &rd->event);
    }
}

/* problem is moved. */
static void fail(struct inst_reactor *r, struct reader *rd, struct inst_problem *problem) {
    if (rd->is_failed) {
        inst_problem_clear(problem);
        return;
    }
    send_unsubscribe(r, rd);
    drop_items(rd);
    rd->retry.at = INST_REACTOR_NEVER;
    rd->is_failed = true;
    rd->problem = *problem;
    *problem = (struct inst_problem){0};
    push(r, rd);
}

static void fail_with(struct inst_reactor *r, struct reader *rd, const char *type,
                      const char *message) {
    struct inst_problem problem;
    inst_problem_local(&problem, type, message);
    fail(r, rd, &problem);
}

void inst_readers_shutdown(struct inst_reactor *r) {
    for (struct reader *rd = r->readers ? r->readers->first : NULL; rd; rd = rd->next) {
        fail_with(r, rd, "shutdown", "The client was shut down.");
    }
}

/* ---- to the server ---- */

static void subscribe(struct inst_reactor *r, struct reader *rd) {
    struct inst_member members[4];
    size_t count = 0;
    rd->event_id[0] = '\0';
    rd->retry.at = INST_REACTOR_NEVER;
    if (rd->is_failed || !inst_reactor_is_authenticated(r)) {
        return; /* with the next init-ok */
    }
    rd->retry.last = inst_reactor_now(r);
    inst_uuid_make_text(&r->env, rd->event_id);
    if (rd->stream_name.tag == INST_STRING) {
        members[count++] = (struct inst_member){"stream-id", 9, rd->stream_name};
    }
    if (rd->client_id.tag == INST_STRING) {
        members[count++] = (struct inst_member){"client-id", 9, rd->client_id};
    }
    if (rd->seen) {
        members[count++] = (struct inst_member){"offset", 6, inst_number((double)rd->seen)};
    }
    if (rd->rule_params.tag == INST_OBJECT) {
        members[count++] = (struct inst_member){"rule-params", 11, rd->rule_params};
    }
    struct inst_value message = inst_object(members, count);
    inst_outbox_send_message(r, "subscribe-stream", rd->event_id, &message);
}

/* What came is void; it subscribes anew, after a while when that goes on. */
static void subscribe_later(struct inst_reactor *r, struct reader *rd) {
    rd->event_id[0] = '\0';
    drop_items(rd);
    inst_retry_later(r, &rd->retry);
    if (rd->retry.at <= inst_reactor_now(r)) {
        subscribe(r, rd);
    }
}

/* ---- from the server ---- */

static struct reader *find(struct inst_reactor *r, const struct inst_value *msg) {
    const struct inst_value *id = inst_get_string(msg, "client-event-id");
    struct reader *rd = r->readers && id ? r->readers->first : NULL;
    while (rd && !(rd->event_id[0] && inst_is_string(id, rd->event_id))) {
        rd = rd->next;
    }
    return rd;
}

static void copy_member(struct item *item, const struct inst_value *msg, const char *name,
                        uint8_t tag, struct inst_value *out, bool *is_whole) {
    const struct inst_value *v = inst_getz(msg, name);
    *out = inst_undefined();
    if (v && v->tag == tag) {
        *is_whole = *is_whole && inst_value_dup(&item->arena, v, out);
    }
}

static struct item *new_item(const struct inst_value *msg) {
    struct item *item = calloc(1, sizeof(*item));
    bool is_whole = item != NULL;
    if (!item) {
        return NULL;
    }
    inst_arena_init(&item->arena);
    copy_member(item, msg, "files", INST_ARRAY, &item->files, &is_whole);
    copy_member(item, msg, "content", INST_STRING, &item->content, &is_whole);
    copy_member(item, msg, "abort-reason", INST_STRING, &item->abort_reason, &is_whole);
    item->has_offset = inst_stream_offset_of(inst_getz(msg, "offset"), &item->offset);
    item->is_done = inst_get_true(msg, "done");
    item->size = sizeof(*item) + item->arena.total;
    if (!is_whole) {
        free_item(item);
        return NULL;
    }
    return item;
}

static void refused(struct inst_reactor *r, struct reader *rd, const struct inst_value *msg) {
    const struct inst_value *error = inst_get_string(msg, "error");
    struct inst_problem problem;
    char message[200];
    if (inst_get_true(msg, "retry")) {
        subscribe_later(r, rd);
        return;
    }
    /* The server's `error` is a boolean, whatever the official types say. */
    snprintf(message, sizeof(message), "%.*s",
             error ? (int)(error->len < 150 ? error->len : 150) : 28,
             error ? error->u.str : "The stream cannot be read on");
    inst_problem_local(&problem, "stream-error", message);
    rd->event_id[0] = '\0';
    fail(r, rd, &problem);
}

void inst_readers_append(struct inst_reactor *r, const struct inst_value *msg) {
    struct reader *rd = find(r, msg);
    const struct inst_value *id = inst_get_string(msg, "stream-id");
    const struct inst_value *error = inst_getz(msg, "error");
    if (!rd || rd->is_failed) {
        return;
    }
    if (error && inst_value_truthy(error)) {
        refused(r, rd, msg);
        return;
    }
    struct item *item = new_item(msg);
    if (!item || rd->queued + item->size > INST_STREAM_MAX_QUEUED) {
        if (item) {
            free_item(item);
        }
        send_unsubscribe(r, rd);
        subscribe_later(r, rd);
        return;
    }
    if (id && id->len == INST_UUID_TEXT && !rd->stream_id[0]) {
        memcpy(rd->stream_id, id->u.str, INST_UUID_TEXT);
        rd->has_started = true;
    }
    if (rd->last) {
        rd->last->next = item;
    } else {
        rd->first = item;
    }
    rd->last = item;
    rd->queued += item->size;
    if (item->is_done) {
        rd->event_id[0] = '\0'; /* the server has nothing more to say */
    }
    push(r, rd);
}

void inst_readers_error(struct inst_reactor *r, const struct inst_value *msg,
                        struct inst_problem *problem) {
    struct reader *rd = find(r, msg);
    struct inst_problem copy = {0};
    if (!rd) {
        return;
    }
    rd->event_id[0] = '\0';
    inst_problem_copy(&copy, problem);
    fail(r, rd, &copy);
}

void inst_readers_ignore(struct inst_reactor *r, const struct inst_value *msg,
                         struct inst_problem *problem) {
    (void)r;
    (void)msg;
    (void)problem;
}

/* ---- connections and time ---- */

/* Has it been told that this was all, but for what is being downloaded? */
static bool has_end(const struct reader *rd) { return rd->last && rd->last->is_done; }

void inst_readers_resend(struct inst_reactor *r) {
    for (struct reader *rd = r->readers ? r->readers->first : NULL; rd; rd = rd->next) {
        if (!has_end(rd)) {
            drop_items(rd);
            subscribe(r, rd);
        }
    }
}

void inst_readers_connection_lost(struct inst_reactor *r) {
    for (struct reader *rd = r->readers ? r->readers->first : NULL; rd; rd = rd->next) {
        rd->event_id[0] = '\0';
        rd->retry.at = INST_REACTOR_NEVER;
    }
}

void inst_readers_tick(struct inst_reactor *r, int64_t now) {
    for (struct reader *rd = r->readers ? r->readers->first : NULL; rd; rd = rd->next) {
        if (rd->retry.at <= now) {
            subscribe(r, rd);
        }
    }
}

int64_t inst_readers_deadline(const struct inst_reactor *r) {
    int64_t at = INST_REACTOR_NEVER;
    for (const struct reader *rd = r->readers ? r->readers->first : NULL; rd; rd = rd->next) {
        at = rd->retry.at < at ? rd->retry.at : at;
    }
    return at;
}

/* ---- telling ---- */

static void tell(struct inst_reactor *r, struct reader *rd, struct inst_reader_event *event) {
    uint64_t last = r->next_sub;
    event->stream_id = rd->stream_id[0] ? rd->stream_id : NULL;
    for (struct inst_sub *sub = rd->subs.first; sub; sub = sub->next) {
        if (inst_sub_is_due(sub, last)) {
            sub->fn.reader(sub->ctx, event);
        }
    }
}

static void tell_text(struct inst_reactor *r, struct reader *rd, const char *bytes, size_t len) {
    struct inst_reader_event event = {.kind = INST_READER_TEXT, .bytes = bytes, .len = len};
    if (len && !rd->is_gone) {
        tell(r, rd, &event);
    }
}

/* How many bytes the character that begins so has. */
static size_t length_of(unsigned char c) {
    return c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf8 ? 4 : 1;
}

/* Bytes at the end that are the beginning of a character. */
static size_t unfinished(const char *bytes, size_t len) {
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = (unsigned char)bytes[len - back];
        if ((c & 0xc0) != 0x80) {
            return length_of(c) > back ? back : 0;
        }
    }
    return 0;
}

/* New bytes: whole characters are told, the rest waits for what follows. */
static void take_bytes(struct inst_reactor *r, struct reader *rd, const char *bytes, size_t len) {
    rd->seen += len;
    while (rd->tail_len && len) {
        rd->tail[rd->tail_len++] = *bytes++;
        len--;
        if (!unfinished(rd->tail, rd->tail_len)) {
            size_t whole = rd->tail_len;
            rd->tail_len = 0;
            tell_text(r, rd, rd->tail, whole);
        }
    }
    size_t rest = unfinished(bytes, len);
    tell_text(r, rd, bytes, len - rest);
    if (rest) {
        memcpy(rd->tail, bytes + len - rest, rest);
        rd->tail_len = rest;
    }
}

/* Bytes of the item, at item->at: what was seen before is skipped. */
static void take_item_bytes(struct inst_reactor *r, struct reader *rd, struct item *item,
                            const char *bytes, size_t len) {
    uint64_t begin = item->offset + item->at;
    size_t skip = rd->seen > begin ? (size_t)(rd->seen - begin) : 0;
    item->at += len;
    if (skip < len) {
        take_bytes(r, rd, bytes + skip, len - skip);
    }
}

/* ---- an item ---- */

static void fetch_failed(struct inst_reactor *r, struct reader *rd) {
    if (++rd->fetch_failures > INST_STREAM_MAX_FETCH_FAILURES) {
        fail_with(r, rd, "stream-error", "Unable to process stream.");
        return;
    }
    send_unsubscribe(r, rd);
    subscribe_later(r, rd);
}

/* true: the item can go on. */
static bool take_fetched(struct inst_reactor *r, struct reader *rd, struct item *item) {
    uint64_t left = rd->file_end - (item->offset + item->at);
    size_t len = rd->fetched.len < left ? rd->fetched.len : (size_t)left;
    bool is_too_long = rd->fetched.len > left;
    struct inst_buf bytes = rd->fetched; /* a callback may bring more */
    inst_buf_init(&rd->fetched);
    if (!bytes.failed && len) {
        take_item_bytes(r, rd, item, bytes.data, len);
    }
    bool has_failed = bytes.failed || is_too_long;
    inst_buf_free(&bytes);
    if (rd->is_gone || rd->first != item || !rd->is_fetching) {
        return false;
    }
    bool is_short =
        rd->is_fetch_over && (!rd->is_fetch_whole || item->offset + item->at != rd->file_end);
    if (has_failed || is_short) {
        fetch_failed(r, rd);
        return false;
    }
    if (!rd->is_fetch_over) {
        return false;
    }
    rd->is_fetching = rd->is_fetch_over = false;
    return true;
}

/* The next file, unless all of it was seen; true: there is none to wait for. */
static bool next_file(struct inst_reactor *r, struct reader *rd, struct item *item) {
    while (item->files.tag == INST_ARRAY && item->file < item->files.len) {
        const struct inst_value *file = &item->files.u.items[item->file++];
        const struct inst_value *url = inst_get_string(file, "url");
        uint64_t size, begin = item->offset + item->at;
        if (!url || !inst_stream_offset_of(inst_getz(file, "size"), &size)) {
            fetch_failed(r, rd);
            return false;
        }
        if (begin + size <= rd->seen) {
            item->at += size;
            continue;
        }
        char *text = inst_arena_dup(&item->arena, url->u.str, url->len);
        if (!text) {
            fetch_failed(r, rd);
            return false;
        }
        struct inst_reader_event event = {
            .kind = INST_READER_FETCH, .url = text, .fetch = ++rd->fetch};
        rd->is_fetching = true;
        rd->is_fetch_over = false;
        rd->file_end = begin + size;
        inst_buf_clear(&rd->fetched);
        tell(r, rd, &event);
        return false;
    }
    return true;
}

static void finish(struct inst_reactor *r, struct reader *rd, struct item *item) {
    char *reason =
        item->abort_reason.tag == INST_STRING && item->abort_reason.len
            ? inst_arena_dup(&rd->arena, item->abort_reason.u.str, item->abort_reason.len)
            : NULL;
    struct inst_reader_event event = {.kind = INST_READER_DONE, .abort_reason = reason};
    size_t rest = rd->tail_len;
    rd->tail_len = 0;
    tell_text(r, rd, rd->tail, rest); /* the stream ends inside of a character */
    if (!rd->is_gone) {
        tell(r, rd, &event);
        inst_subs_drop_all(r, &rd->subs);
        forget(r, rd);
    }
}

/* true: it is over and the next one's turn. */
static bool work_on(struct inst_reactor *r, struct reader *rd, struct item *item) {
    if (!item->has_offset) {
        item->offset = rd->seen; /* the last message has none */
        item->has_offset = true;
    }
    if (item->offset > rd->seen) {
        fail_with(r, rd, "stream-corrupted", "Stream is corrupted.");
        return false;
    }
    if (rd->is_fetching && !take_fetched(r, rd, item)) {
        return false;
    }
    if (!next_file(r, rd, item)) {
        return false;
    }
    rd->fetch_failures = 0;
    if (item->content.tag == INST_STRING) {
        struct inst_value content = item->content;
        item->content = inst_undefined();
        take_item_bytes(r, rd, item, content.u.str, content.len);
    }
    if (rd->is_gone || rd->first != item) {
        return false;
    }
    if (item->is_done) {
        finish(r, rd, item);
        return false;
    }
    return true;
}

static void drop_reader(struct inst_reactor *r, struct inst_event *event) {
    (void)r;
    unref((struct reader *)event);
}

static void deliver_reader(struct inst_reactor *r, struct inst_event *event) {
    struct reader *rd = (struct reader *)event;
    struct inst_reader_event started = {.kind = INST_READER_STARTED};
    if (rd->has_started) {
        rd->has_started = false;
        tell(r, rd, &started);
    }
    while (!rd->is_gone && !rd->is_failed && rd->first) {
        struct item *item = rd->first;
        if (!work_on(r, rd, item)) {
            break;
        }
        rd->first = item->next;
        if (!rd->first) {
            rd->last = NULL;
        }
        rd->queued -= item->size;
        free_item(item);
        rd->retry.attempts = 0; /* something got through */
    }
    if (rd->is_failed && !rd->is_gone) {
        struct inst_reactor_error view = inst_problem_view(&rd->problem);
        struct inst_reader_event failed = {.kind = INST_READER_FAILED, .error = &view};
        tell(r, rd, &failed);
        inst_subs_drop_all(r, &rd->subs);
        forget(r, rd);
    }
    unref(rd);
}

static const struct inst_event_ops reader_ops = {deliver_reader, drop_reader};

/* ---- what the app does ---- */

static enum inst_status fill_reader(struct inst_reactor *r, struct reader *rd,
                                    const struct inst_read_stream_options *options,
                                    struct inst_err *err) {
    struct inst_value none = inst_undefined();
    const struct inst_value *client = options->client_id ? options->client_id : &none;
    const struct inst_value *stream = options->stream_id ? options->stream_id : &none;
    const struct inst_value *params = options->rule_params ? options->rule_params : &none;
    (void)r;
    if (client->tag != INST_STRING && stream->tag != INST_STRING) {
        return inst_err_set(err, "validation-failed", 400,
                            "Must provide one of streamId or clientId to subscribe to the stream.");
    }
    return inst_value_dup(&rd->arena, client, &rd->client_id) &&
                   inst_value_dup(&rd->arena, stream, &rd->stream_name) &&
                   inst_value_dup(&rd->arena, params, &rd->rule_params)
               ? INST_OK
               : inst_err_nomem(err);
}

enum inst_status inst_reactor_create_read_stream(struct inst_reactor *r,
                                                 const struct inst_read_stream_options *options,
                                                 inst_reader_fn *fn, void *ctx, uint64_t *id,
                                                 struct inst_err *err) {
    struct inst_sub *sub;
    *id = 0;
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    if (!r->readers && !(r->readers = calloc(1, sizeof(*r->readers)))) {
        return inst_err_nomem(err);
    }
    if (r->readers->count >= INST_REACTOR_MAX_STREAMS) {
        return inst_err_set(err, "limit-exceeded", 400, "Too many streams at once.");
    }
    struct reader *rd = calloc(1, sizeof(*rd));
    if (!rd) {
        return inst_err_nomem(err);
    }
    rd->event.ops = &reader_ops;
    rd->refs = 1;
    rd->seen = options->byte_offset;
    rd->retry.at = INST_REACTOR_NEVER;
    inst_arena_init(&rd->arena);
    inst_buf_init(&rd->fetched);
    struct inst_sub like = {.fn.reader = fn, .ctx = ctx, .owner = rd, .ended = ended};
    enum inst_status status = fill_reader(r, rd, options, err);
    if (status == INST_OK) {
        status = inst_subs_add(r, &rd->subs, &like, &sub, err);
    }
    if (status != INST_OK) {
        unref(rd);
        return status;
    }
    rd->prev = r->readers->last;
    if (rd->prev) {
        rd->prev->next = rd;
    } else {
        r->readers->first = rd;
    }
    r->readers->last = rd;
    r->readers->count++;
    *id = sub->id;
    subscribe(r, rd);
    inst_events_deliver(r);
    return INST_OK;
}

static struct reader *fetching(struct inst_reactor *r, uint64_t id, uint64_t fetch) {
    struct inst_sub *sub = inst_map_get(&r->subs, &id, sizeof(id));
    struct reader *rd = sub && sub->ended == ended ? sub->owner : NULL;
    return rd && rd->is_fetching && rd->fetch == fetch && !rd->is_fetch_over ? rd : NULL;
}

void inst_reactor_stream_fetched(struct inst_reactor *r, uint64_t id, uint64_t fetch,
                                 const char *bytes, size_t len) {
    struct reader *rd = fetching(r, id, fetch);
    if (rd) {
        inst_buf_add(&rd->fetched, bytes, len);
        push(r, rd);
        inst_events_deliver(r);
    }
}

void inst_reactor_stream_fetch_done(struct inst_reactor *r, uint64_t id, uint64_t fetch,
                                    bool is_whole) {
    struct reader *rd = fetching(r, id, fetch);
    if (rd) {
        rd->is_fetch_over = true;
        rd->is_fetch_whole = is_whole;
        push(r, rd);
        inst_events_deliver(r);
    }
}

/* ---- both ---- */

void inst_streams_resend(struct inst_reactor *r) {
    inst_writers_resend(r);
    inst_readers_resend(r);
}

void inst_streams_connection_lost(struct inst_reactor *r) {
    inst_writers_connection_lost(r);
    inst_readers_connection_lost(r);
}

void inst_streams_tick(struct inst_reactor *r, int64_t now) {
    inst_writers_tick(r, now);
    inst_readers_tick(r, now);
}

int64_t inst_streams_deadline(const struct inst_reactor *r) {
    int64_t writers = inst_writers_deadline(r), readers = inst_readers_deadline(r);
    return writers < readers ? writers : readers;
}

void inst_streams_dispose(struct inst_reactor *r) {
    inst_writers_free(r);
    inst_readers_free(r);
}

void inst_streams_shutdown(struct inst_reactor *r) {
    inst_writers_shutdown(r);
    inst_readers_shutdown(r);
}
