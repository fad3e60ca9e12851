/*
 * streams.h - append-only texts: one writer, any number of readers, kept for ever (session.md 3.9).
 *
 *     writer ── append-stream ──> buffer ── 1 MiB, the end, the writer left ──> a `$files` row
 *                                   │                                           of
 * `$streams.$files` └──> readers: files so far, buffer so far, then each append
 *
 *     bytes    0 ........ flushed ........ end
 *              in files    in the buffer
 *
 * Offsets are bytes of UTF-8. What is not flushed is the writer's to send again: after a lost
 * connection, a failed flush or a crash it begins with start-stream, is told where the files end
 * and goes on from there. One stream has one flush at a time; a start-stream waits for it.
 *
 * Readers of a stream whose writer is away wait; when one returns they are told to subscribe anew.
 */
#ifndef INST_SERVER_STREAMS_H
#define INST_SERVER_STREAMS_H

#include "base/value.h"
#include "server/engine.h"

/* Ops of a session: start-stream, append-stream, subscribe-stream, unsubscribe-stream. */
inst_op_fn inst_stream_start, inst_stream_append, inst_stream_subscribe, inst_stream_unsubscribe;

/* Ends the session's readers and lets go of its streams, whose buffers are flushed. */
void inst_streams_leave(struct inst_session *session);
/* The app is closed: what is not flushed is dropped. */
void inst_streams_free(struct inst_app *app);

#endif
