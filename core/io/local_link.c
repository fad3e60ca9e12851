#include "io/local_link.h"

#include <stdlib.h>

struct item {
    struct item *next;
    struct inst_shared *message;
};

struct queue {
    struct item *first;
    struct item *last;
    size_t bytes;
};

struct link {
    struct inst_transport base;        /* first: the client's end */
    struct inst_connection connection; /* the backend's end */
    struct inst_loop *loop;
    struct inst_backend *backend;
    struct inst_session *session; /* NULL before opening and after closing */
    struct queue up;              /* to the backend */
    struct queue down;            /* to the client */
    struct inst_deferred open;
    struct inst_deferred deliver_up;
    struct inst_deferred deliver_down;
    struct inst_deferred end; /* the backend closed it */
};

static struct link *of_connection(struct inst_connection *connection) {
    return (struct link *)((char *)connection - offsetof(struct link, connection));
}

static bool push(struct queue *queue, struct inst_shared *message) {
    struct item *item = malloc(sizeof *item);
    if (!item)
        return false;
    item->next = NULL;
    item->message = message;
    if (queue->last)
        queue->last->next = item;
    else
        queue->first = item;
    queue->last = item;
    queue->bytes += message->len;
    return true;
}

static struct inst_shared *pop(struct queue *queue) {
    struct item *item = queue->first;
    if (!item)
        return NULL;
    struct inst_shared *message = item->message;
    queue->first = item->next;
    if (!queue->first)
        queue->last = NULL;
    queue->bytes -= message->len;
    free(item);
    return message;
}

static void clear(struct queue *queue) {
    struct inst_shared *message;
    while ((message = pop(queue)))
        inst_shared_unref(message);
}

/* ---- to the backend ---- */

static bool link_send(struct inst_transport *transport, const char *bytes, size_t len) {
    struct link *link = (struct link *)transport;
    struct inst_shared *message = inst_shared_new(bytes, len);
    if (!message)
        return false;
    if (!push(&link->up, message)) {
        inst_shared_unref(message);
        return false;
    }
    inst_loop_defer(link->loop, &link->deliver_up);
    return true;
}

static void deliver_up(void *ctx) {
    struct link *link = ctx;
    struct inst_shared *message;
    while (link->session && (message = pop(&link->up))) {
        inst_session_receive(link->session, message->data, message->len);
        inst_shared_unref(message);
    }
    link->base.events.drained(link->base.events.ctx);
}

static size_t link_queued(const struct inst_transport *transport) {
    return ((const struct link *)transport)->up.bytes;
}

/* ---- to the client ---- */

static void connection_send(struct inst_connection *connection, struct inst_shared *message) {
    struct link *link = of_connection(connection);
    inst_shared_ref(message);
    if (push(&link->down, message)) {
        inst_loop_defer(link->loop, &link->deliver_down);
        return;
    }
    inst_shared_unref(message);
    inst_loop_defer(link->loop, &link->end); /* a gap would be worse than a new connection */
}

static void deliver_down(void *ctx) {
    struct link *link = ctx;
    struct inst_shared *message = pop(&link->down);
    if (!message)
        return;
    /* One a call: what the client does with it may close this link. */
    if (link->down.first)
        inst_loop_defer(link->loop, &link->deliver_down);
    else if (link->session)
        inst_session_drained(link->session);
    link->base.events.message(link->base.events.ctx, message->data, message->len);
    inst_shared_unref(message);
}

/* ---- life ---- */

static void close_session(struct link *link) {
    struct inst_session *session = link->session;
    link->session = NULL;
    if (session)
        inst_session_close(session);
    clear(&link->up);
}

static void end(void *ctx) {
    struct link *link = ctx;
    close_session(link);
    clear(&link->down);
    inst_loop_undefer(link->loop, &link->deliver_down);
    link->base.events.closed(link->base.events.ctx, "The backend closed the connection.");
}

static size_t connection_backlog(struct inst_connection *connection) {
    return of_connection(connection)->down.bytes;
}

static void connection_close(struct inst_connection *connection) {
    struct link *link = of_connection(connection);
    inst_loop_defer(link->loop, &link->end);
}

static void open_link(void *ctx) {
    struct link *link = ctx;
    struct inst_err err = {0};
    if (inst_session_open(inst_backend_server(link->backend), &link->connection, &link->session,
                          &err) != INST_OK) {
        link->base.events.closed(link->base.events.ctx, err.message);
        inst_err_clear(&err);
        return;
    }
    link->base.events.opened(link->base.events.ctx);
}

static void link_close(struct inst_transport *transport) {
    struct link *link = (struct link *)transport;
    inst_loop_undefer(link->loop, &link->open);
    inst_loop_undefer(link->loop, &link->deliver_up);
    close_session(link);
    inst_loop_undefer(link->loop, &link->deliver_down);
    inst_loop_undefer(link->loop, &link->end);
    clear(&link->down);
    free(link);
}

static const struct inst_transport_ops transport_ops = {
    .send = link_send, .queued = link_queued, .close = link_close};
static const struct inst_connection_ops connection_ops = {
    .send = connection_send, .close = connection_close, .backlog = connection_backlog};

enum inst_status inst_local_connect(struct inst_loop *loop, struct inst_backend *backend,
                                    const struct inst_transport_events *events,
                                    struct inst_transport **out, struct inst_err *err) {
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return inst_err_nomem(err);
    link->base.ops = &transport_ops;
    link->base.events = *events;
    link->connection.ops = &connection_ops;
    link->loop = loop;
    link->backend = backend;
    link->open = (struct inst_deferred){.fn = open_link, .ctx = link};
    link->deliver_up = (struct inst_deferred){.fn = deliver_up, .ctx = link};
    link->deliver_down = (struct inst_deferred){.fn = deliver_down, .ctx = link};
    link->end = (struct inst_deferred){.fn = end, .ctx = link};
    inst_loop_defer(loop, &link->open);
    *out = &link->base;
    return INST_OK;
}
