#include "server/reply.h"

#include "base/json.h"
#include "server/limits.h"
#include "server/refusal.h"

void inst_tracer_init(struct inst_tracer *tracer, const struct inst_env *env) {
    env->random(env->ctx, (uint8_t *)&tracer->prefix, sizeof tracer->prefix);
    tracer->count = 0;
}

void inst_tracer_next(struct inst_tracer *tracer, char out[33]) {
    static const char digits[] = "0123456789abcdef";
    tracer->count++;
    for (int i = 0; i < 16; i++) {
        out[i] = digits[tracer->prefix >> (60 - 4 * i) & 15];
        out[16 + i] = digits[tracer->count >> (60 - 4 * i) & 15];
    }
    out[32] = '\0';
}

void inst_reply_begin(struct inst_buf *buf, const char *op) {
    inst_buf_add_str(buf, "{\"op\":\"");
    inst_buf_add_str(buf, op);
    inst_buf_add_char(buf, '"');
}

static void add_key(struct inst_buf *buf, const char *key, size_t len) {
    inst_buf_add_char(buf, ',');
    inst_json_write_string(buf, key, len);
    inst_buf_add_char(buf, ':');
}

void inst_reply_add(struct inst_buf *buf, const char *key, const struct inst_value *value) {
    add_key(buf, key, strlen(key));
    if (value == NULL || value->tag == INST_UNDEFINED)
        inst_buf_add_str(buf, "null");
    else
        inst_json_write(buf, value);
}

static void add_hex(struct inst_buf *buf, uint64_t n) {
    char text[16];
    for (int i = 15; i >= 0; i--, n >>= 4)
        text[i] = "0123456789abcdef"[n & 15];
    inst_buf_add(buf, text, sizeof text);
}

static void add_trace(struct inst_buf *buf, const struct inst_tracer *tracer) {
    inst_buf_add_str(buf, ",\"trace-id\":\"");
    add_hex(buf, tracer->prefix);
    add_hex(buf, tracer->count);
    inst_buf_add_char(buf, '"');
}

void inst_reply_end(struct inst_buf *buf, struct inst_tracer *tracer) {
    tracer->count++;
    add_trace(buf, tracer);
    inst_buf_add_char(buf, '}');
}

static bool is_key(const struct inst_member *member, const char *key) {
    return member->key_len == strlen(key) && memcmp(member->key, key, member->key_len) == 0;
}

static bool is_secret(const struct inst_member *member) {
    return is_key(member, "refresh-token") || is_key(member, "__admin-token");
}

/* The event as received, but bounded and without secrets; `op` always there. */
static void add_event(struct inst_buf *buf, const struct inst_value *event,
                      const char *session_id) {
    inst_buf_add_str(buf, ",\"original-event\":{\"op\":");
    const struct inst_value *op = event != NULL ? inst_getz(event, "op") : NULL;
    inst_write_bounded(buf, op);
    size_t count = event != NULL && event->tag == INST_OBJECT ? event->len : 0;
    for (size_t i = 0; i < count; i++) {
        const struct inst_member *member = &event->u.members[i];
        if (is_key(member, "op") || is_key(member, "session-id") || is_key(member, "trace-id"))
            continue;
        size_t before = buf->len;
        add_key(buf, member->key, member->key_len);
        if (is_secret(member) && member->value.tag == INST_STRING)
            inst_buf_add_str(buf, "\"redacted\"");
        else
            inst_json_write(buf, &member->value);
        if (!buf->failed && buf->len - before > INST_SERVER_ECHO_MAX)
            buf->len = before;
    }
    inst_buf_addf(buf, ",\"session-id\":\"%s\"", session_id);
}

void inst_reply_error(struct inst_buf *buf, struct inst_tracer *tracer, const struct inst_err *err,
                      const struct inst_value *event, const char *session_id) {
    const struct inst_value *id = event != NULL ? inst_getz(event, "client-event-id") : NULL;
    tracer->count++;
    inst_reply_begin(buf, "error");
    inst_buf_addf(buf, ",\"status\":%d,\"type\":", err->status != 0 ? err->status : 500);
    if (err->type != NULL)
        inst_json_write_string(buf, err->type, strlen(err->type));
    else
        inst_buf_add_str(buf, "null");
    inst_buf_add_str(buf, ",\"message\":");
    /* Which file and what the disk said is for the operator, whose log has it. */
    bool is_private = err->type != NULL && strcmp(err->type, "data-file") == 0;
    const char *message = err->message != NULL ? err->message : "";
    if (is_private)
        message = "The backend could not read or write its data; its log says why.";
    if (err->type == NULL)
        message = "Yikes, something broke on our end! Sorry about that.";
    inst_json_write_string(buf, message, strlen(message));
    inst_buf_addf(buf, ",\"hint\":%s", err->hint != NULL && !is_private ? err->hint : "null");
    if (event != NULL) {
        inst_buf_add_str(buf, ",\"client-event-id\":");
        inst_write_bounded(buf, id);
    }
    add_event(buf, event, session_id);
    add_trace(buf, tracer);
    inst_buf_add_char(buf, '}');
    add_trace(buf, tracer);
    inst_buf_add_char(buf, '}');
}
