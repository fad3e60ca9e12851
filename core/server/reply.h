/*
 * reply.h - the envelopes of messages that go out (session.md 2.1, 2.3).
 */
#ifndef INST_SERVER_REPLY_H
#define INST_SERVER_REPLY_H

#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "base/uuid.h"
#include "base/value.h"

#include <stdint.h>

/* Makes trace ids: unpredictable in front, counted behind. */
struct inst_tracer {
    uint64_t prefix;
    uint64_t count;
};
/* A new one. */
void inst_tracer_next(struct inst_tracer *tracer, char out[33]);
void inst_tracer_init(struct inst_tracer *tracer, const struct inst_env *env);

/* `{"op":"<op>"`; then members with a comma in front; then the end. */
void inst_reply_begin(struct inst_buf *buf, const char *op);
/* `,"<key>":<value>`; value NULL or UNDEFINED writes null. */
void inst_reply_add(struct inst_buf *buf, const char *key, const struct inst_value *value);
/* `,"trace-id":"..."}` */
void inst_reply_end(struct inst_buf *buf, struct inst_tracer *tracer);

/*
 * The `error` op.
 *   event       the message that failed, as received; NULL when it was no JSON object
 *   session_id  shown inside original-event
 * Secrets of `init` are hidden in original-event, members past INST_SERVER_ECHO_MAX are left out.
 */
void inst_reply_error(struct inst_buf *buf, struct inst_tracer *tracer, const struct inst_err *err,
                      const struct inst_value *event, const char *session_id);

#endif
