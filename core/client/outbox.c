#include "client/reactor_internal.h"

#include "base/json.h"

#include <stdlib.h>

static void begin(struct inst_buf *buf, const char *op, const char *event_id) {
    inst_buf_init(buf);
    inst_buf_add_str(buf, "{\"op\":");
    inst_json_write_string(buf, op, strlen(op));
    inst_buf_add_str(buf, ",\"client-event-id\":");
    inst_json_write_string(buf, event_id, strlen(event_id));
}

static void add_member(struct inst_buf *buf, const char *key, const struct inst_value *v) {
    inst_buf_add_char(buf, ',');
    inst_json_write_string(buf, key, strlen(key));
    inst_buf_add_char(buf, ':');
    inst_json_write(buf, v);
}

/* Closes the object and queues it. A frame that cannot be queued would leave the server and us with
 * different ideas of this session, so the transport goes: reconnecting sends all state again. */
static bool finish(struct inst_reactor *r, struct inst_buf *buf, const char *op) {
    inst_buf_add_char(buf, '}');
    struct inst_frame *frame =
        buf->failed ? NULL : malloc(sizeof(struct inst_frame) + buf->len + 1);
    if (!frame) {
        inst_buf_free(buf);
        inst_reactor_drop_transport(r, "out of memory");
        return false;
    }
    frame->next = NULL;
    frame->len = buf->len;
    memcpy(frame->bytes, buf->data, buf->len + 1);
    inst_buf_free(buf);
    if (r->last_frame) {
        r->last_frame->next = frame;
    } else {
        r->first_frame = frame;
    }
    r->last_frame = frame;
    r->frame_bytes += frame->len;
    if (r->verbose) {
        inst_reactor_log(r, INST_LOG_DEBUG, "[send] %s, %zu bytes", op, frame->len);
    }
    if (r->frame_bytes > INST_REACTOR_MAX_OUTPUT) {
        inst_reactor_drop_transport(r, "the output is not being drained");
        return false;
    }
    return true;
}

void inst_outbox_send_init(struct inst_reactor *r) {
    struct inst_buf buf;
    inst_uuid_make_text(&r->env, r->init_id);
    begin(&buf, "init", r->init_id);
    struct inst_value text = inst_cstring(r->app_id);
    add_member(&buf, "app-id", &text);
    if (inst_reactor_refresh_token(r)) {
        text = inst_cstring(inst_reactor_refresh_token(r));
        add_member(&buf, "refresh-token", &text);
    }
    if (r->admin_token) {
        text = inst_cstring(r->admin_token);
        add_member(&buf, "__admin-token", &text);
    }
    add_member(&buf, "versions", &r->versions);
    struct inst_value yes = inst_bool(true); /* see refresh_ok; others ignore it */
    add_member(&buf, "wants-current", &yes);
    finish(r, &buf, "init");
}

void inst_outbox_send_query(struct inst_reactor *r, const char *op, const char *event_id,
                            const struct inst_value *q) {
    struct inst_buf buf;
    begin(&buf, op, event_id);
    add_member(&buf, "q", q);
    finish(r, &buf, op);
}

void inst_outbox_send_message(struct inst_reactor *r, const char *op, const char *event_id,
                              const struct inst_value *members) {
    struct inst_buf buf;
    begin(&buf, op, event_id);
    for (uint32_t i = 0; i < members->len; i++) {
        add_member(&buf, members->u.members[i].key, &members->u.members[i].value);
    }
    finish(r, &buf, op);
}

bool inst_outbox_send_mutation(struct inst_reactor *r, const struct inst_mutation *m) {
    struct inst_buf buf;
    begin(&buf, "transact", m->event_id);
    add_member(&buf, "tx-steps", &m->steps);
    struct inst_value number = inst_number((double)m->created);
    add_member(&buf, "created", &number);
    number = inst_number((double)m->order);
    add_member(&buf, "order", &number);
    return finish(r, &buf, "transact");
}

void inst_outbox_clear(struct inst_reactor *r) {
    while (r->first_frame) {
        struct inst_frame *frame = r->first_frame;
        r->first_frame = frame->next;
        free(frame);
    }
    r->last_frame = NULL;
    r->frame_bytes = 0;
}

bool inst_reactor_next_output(struct inst_reactor *r, struct inst_output *out) {
    free(r->drained);
    r->drained = NULL;
    if (r->wants_close) {
        r->wants_close = false;
        *out = (struct inst_output){.kind = INST_OUTPUT_CLOSE};
        return true;
    }
    if (r->transport == INST_TRANSPORT_WANTED) {
        r->transport = INST_TRANSPORT_CONNECTING;
        *out = (struct inst_output){.kind = INST_OUTPUT_CONNECT, .via = r->via};
        return true;
    }
    inst_mutations_send_more(r);
    if (!r->first_frame) {
        return false;
    }
    struct inst_frame *frame = r->first_frame;
    r->first_frame = frame->next;
    if (!r->first_frame) {
        r->last_frame = NULL;
    }
    r->frame_bytes -= frame->len;
    r->drained = frame;
    *out = (struct inst_output){.kind = INST_OUTPUT_SEND, .bytes = frame->bytes, .len = frame->len};
    return true;
}
