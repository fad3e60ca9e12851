#include "io/sse_client.h"

#include "base/json.h"
#include "base/uuid.h"
#include "io/event_in.h"
#include "io/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct out {
    struct out *next;
    size_t len;
    char bytes[];
};

struct inst_sse_client {
    struct inst_loop *loop;
    char *uri;
    char *ca_file; /* NULL: the system's roots */
    int64_t open_ms;
};

enum state { OPENING, OPEN, ENDED };

struct conn {
    struct inst_transport base;
    struct inst_sse_client *client;
    struct inst_loop *loop;
    enum state state;
    struct inst_http_call *get;  /* NULL: over */
    struct inst_http_call *post; /* the one under way */
    struct inst_event_in events;
    struct inst_timer *timer;   /* until it is open */
    struct inst_deferred flush; /* posts what a turn has sent, together */
    struct inst_deferred end;   /* reports `closed` */
    char why[256];
    char machine[INST_UUID_TEXT + 1]; /* from `sse-init`.. */
    char session[INST_UUID_TEXT + 1];
    char token[INST_UUID_TEXT + 1]; /* ..to be shown with every POST */
    struct out *first, *last;       /* waiting */
    size_t queued;                  /* bytes waiting or in the POST */
    size_t posting;                 /* of these, in the POST */
    bool is_reading;                /* inside `on_data`: freed behind it */
    bool is_freed;                  /* by its owner meanwhile */
};

/* ---- the end ---- */

static void report_end(void *ctx) {
    struct conn *conn = ctx;
    conn->base.events.closed(conn->base.events.ctx, conn->why);
}

/* Nothing of it happens any more. */
static void stop(struct conn *conn) {
    if (conn->get)
        inst_http_cancel(conn->get);
    if (conn->post)
        inst_http_cancel(conn->post);
    conn->get = conn->post = NULL;
    inst_timer_stop(conn->timer);
    inst_loop_undefer(conn->loop, &conn->flush);
}

static void end(struct conn *conn, const char *why) {
    if (conn->state == ENDED)
        return;
    conn->state = ENDED;
    snprintf(conn->why, sizeof conn->why, "%s", why);
    stop(conn);
    inst_loop_defer(conn->loop, &conn->end);
}

static void clear_queue(struct conn *conn) {
    while (conn->first) {
        struct out *out = conn->first;
        conn->first = out->next;
        free(out);
    }
    conn->last = NULL;
    conn->queued = 0;
}

static void free_conn(struct conn *conn) {
    clear_queue(conn);
    inst_event_in_free(&conn->events);
    free(conn);
}

static void sse_close(struct inst_transport *transport) {
    struct conn *conn = (struct conn *)transport;
    conn->state = ENDED;
    stop(conn);
    inst_timer_free(conn->timer);
    conn->timer = NULL;
    inst_loop_undefer(conn->loop, &conn->end);
    conn->is_freed = true;
    if (!conn->is_reading)
        free_conn(conn);
}

static void on_open_time(void *ctx) { end(ctx, "The event stream could not be opened in time."); }

/* ---- our messages ---- */

static void on_posted(void *ctx, const struct inst_http_result *result,
                      const struct inst_err *err) {
    struct conn *conn = ctx;
    char why[128];
    conn->post = NULL;
    if (err) {
        end(conn, err->message);
        return;
    }
    if (result->status < 200 || result->status > 299) {
        snprintf(why, sizeof why, "The backend refused messages with status %d.", result->status);
        end(conn, why);
        return;
    }
    conn->queued -= conn->posting;
    conn->posting = 0;
    if (conn->first)
        inst_loop_defer(conn->loop, &conn->flush);
    else
        conn->base.events.drained(conn->base.events.ctx);
}

/* All that waits, up to the limit, taken off the queue. */
static void write_body(struct conn *conn, struct inst_buf *body) {
    inst_buf_addf(body, "{\"machine_id\":\"%s\",\"session_id\":\"%s\",\"sse_token\":\"%s\",",
                  conn->machine, conn->session, conn->token);
    inst_buf_add_str(body, "\"messages\":[");
    while (conn->first &&
           (conn->posting == 0 || conn->posting + conn->first->len <= INST_SSE_MAX_POST)) {
        struct out *out = conn->first;
        conn->first = out->next;
        if (!conn->first)
            conn->last = NULL;
        if (conn->posting > 0)
            inst_buf_add_char(body, ',');
        inst_buf_add(body, out->bytes, out->len);
        conn->posting += out->len;
        free(out);
    }
    inst_buf_add_str(body, "]}");
}

static void post_more(void *ctx) {
    struct conn *conn = ctx;
    struct inst_http_client *http = inst_loop_http(conn->loop, NULL);
    struct inst_http_field type = {"Content-Type", "application/json"};
    struct inst_err err = {0};
    struct inst_buf body;
    if (conn->post || !conn->first)
        return;
    inst_buf_init(&body);
    write_body(conn, &body);
    struct inst_http_options options = {.method = "POST",
                                        .url = conn->client->uri,
                                        .fields = &type,
                                        .field_count = 1,
                                        .body = body.data,
                                        .body_len = body.len,
                                        .ca_file = conn->client->ca_file,
                                        .ctx = conn,
                                        .done = on_posted};
    enum inst_status status = body.failed || !http
                                  ? inst_err_nomem(&err)
                                  : inst_http_start(http, &options, &conn->post, &err);
    inst_buf_free(&body);
    if (status != INST_OK)
        end(conn, err.message);
    inst_err_clear(&err);
}

static bool sse_send(struct inst_transport *transport, const char *bytes, size_t len) {
    struct conn *conn = (struct conn *)transport;
    if (conn->state != OPEN)
        return true; /* `closed` is on its way */
    struct out *out = malloc(sizeof *out + len);
    if (!out)
        return false;
    out->next = NULL;
    out->len = len;
    memcpy(out->bytes, bytes, len);
    if (conn->last)
        conn->last->next = out;
    else
        conn->first = out;
    conn->last = out;
    conn->queued += len;
    inst_loop_defer(conn->loop, &conn->flush);
    return true;
}

static size_t sse_queued(const struct inst_transport *transport) {
    return ((const struct conn *)transport)->queued;
}

/* ---- the backend's messages ---- */

static bool take_id(const struct inst_value *message, const char *name,
                    char out[INST_UUID_TEXT + 1]) {
    const struct inst_value *id = inst_get_string(message, name);
    struct inst_uuid uuid;
    if (!id || !inst_uuid_parse(id->u.str, id->len, &uuid))
        return false;
    inst_uuid_print(&uuid, out);
    return true;
}

static const struct inst_value *find_init(const struct inst_value *message) {
    size_t count = message->tag == INST_ARRAY ? message->len : 1;
    const struct inst_value *items = message->tag == INST_ARRAY ? message->u.items : message;
    for (size_t i = 0; i < count; i++) {
        const struct inst_value *op = inst_getz(&items[i], "op");
        if (op && inst_is_string(op, "sse-init"))
            return &items[i];
    }
    return NULL;
}

/* What comes in front of `sse-init` means nothing yet. */
static void read_init(struct conn *conn, const char *data, size_t len) {
    struct inst_arena arena;
    struct inst_value message;
    inst_arena_init(&arena);
    const struct inst_value *init = NULL;
    if (inst_json_parse(&arena, data, len, &message, NULL) == INST_OK)
        init = find_init(&message);
    if (init && take_id(init, "machine-id", conn->machine) &&
        take_id(init, "session-id", conn->session) && take_id(init, "sse-token", conn->token)) {
        conn->state = OPEN;
        inst_timer_stop(conn->timer);
        conn->base.events.opened(conn->base.events.ctx);
    } else if (init) {
        end(conn, "The backend's `sse-init` names no session.");
    }
    inst_arena_free(&arena);
}

static bool on_event(void *ctx, const char *data, size_t len) {
    struct conn *conn = ctx;
    if (conn->state == OPENING)
        read_init(conn, data, len);
    else if (conn->state == OPEN)
        conn->base.events.message(conn->base.events.ctx, data, len);
    return conn->state != ENDED;
}

static void on_head(void *ctx, const struct inst_http_result *head) {
    struct conn *conn = ctx;
    const char *type = inst_http_result_field(head, "content-type");
    char why[128];
    if (head->status != 200) {
        snprintf(why, sizeof why, "The backend refused the event stream with status %d.",
                 head->status);
        end(conn, why);
    } else if (!type || strncmp(type, "text/event-stream", 17) != 0) {
        end(conn, "What the backend sends is no event stream.");
    }
}

static bool on_data(void *ctx, const char *bytes, size_t len) {
    struct conn *conn = ctx;
    conn->is_reading = true;
    bool goes_on = inst_event_in_read(&conn->events, bytes, len, on_event, conn);
    conn->is_reading = false;
    if (conn->is_freed) {
        free_conn(conn);
        return false;
    }
    if (!goes_on)
        end(conn, "The backend sent a message that is too large.");
    return goes_on;
}

static void on_stream_done(void *ctx, const struct inst_http_result *result,
                           const struct inst_err *err) {
    struct conn *conn = ctx;
    (void)result;
    conn->get = NULL;
    end(conn, err ? err->message : "The backend ended the event stream.");
}

/* ---- connecting ---- */

static const struct inst_transport_ops ops = {
    .send = sse_send, .queued = sse_queued, .close = sse_close};

static enum inst_status start_get(struct conn *conn, struct inst_err *err) {
    struct inst_http_client *http = inst_loop_http(conn->loop, err);
    struct inst_http_field accept = {"Accept", "text/event-stream"};
    struct inst_http_options options = {.url = conn->client->uri,
                                        .fields = &accept,
                                        .field_count = 1,
                                        .ca_file = conn->client->ca_file,
                                        .timeout_ms = -1,
                                        .silence_ms = INST_SSE_SILENCE_MS,
                                        .ctx = conn,
                                        .head = on_head,
                                        .data = on_data,
                                        .done = on_stream_done};
    return http ? inst_http_start(http, &options, &conn->get, err) : INST_NOMEM;
}

enum inst_status inst_sse_client_connect(struct inst_sse_client *client,
                                         const struct inst_transport_events *events,
                                         struct inst_transport **out, struct inst_err *err) {
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return inst_err_nomem(err);
    conn->base.ops = &ops;
    conn->base.events = *events;
    conn->client = client;
    conn->loop = client->loop;
    conn->events.max = INST_SSE_MAX_MESSAGE;
    conn->flush = (struct inst_deferred){.fn = post_more, .ctx = conn};
    conn->end = (struct inst_deferred){.fn = report_end, .ctx = conn};
    enum inst_status status = inst_timer_new(client->loop, on_open_time, conn, &conn->timer, err);
    if (status == INST_OK)
        status = start_get(conn, err);
    if (status != INST_OK) {
        inst_timer_free(conn->timer);
        free(conn);
        return status;
    }
    inst_timer_start(conn->timer, client->open_ms, 0);
    *out = &conn->base;
    return INST_OK;
}

enum inst_status inst_sse_client_new(struct inst_loop *loop, const char *uri, const char *ca_file,
                                     int64_t open_ms, struct inst_sse_client **out,
                                     struct inst_err *err) {
    struct inst_sse_client *client = calloc(1, sizeof *client);
    if (!client)
        return inst_err_nomem(err);
    client->loop = loop;
    client->open_ms = open_ms ? open_ms : INST_SSE_OPEN_MS;
    client->uri = strdup(uri);
    client->ca_file = ca_file ? strdup(ca_file) : NULL;
    if (!client->uri || (ca_file && !client->ca_file)) {
        inst_sse_client_free(client);
        return inst_err_nomem(err);
    }
    *out = client;
    return INST_OK;
}

void inst_sse_client_free(struct inst_sse_client *client) {
    if (!client)
        return;
    free(client->uri);
    free(client->ca_file);
    free(client);
}
