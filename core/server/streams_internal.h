/*
 * streams_internal.h - what the parts of streams share. Only for streams.c, stream_ops.c and
 * stream_flush.c.
 *
 *     stream_ops     messages of sessions
 *     streams        streams in memory: writers, readers, who is told what
 *     stream_flush   the buffer becomes a file and a row
 *     stream_rows    the rows
 */
#ifndef INST_SERVER_STREAMS_INTERNAL_H
#define INST_SERVER_STREAMS_INTERNAL_H

#include "base/buf.h"
#include "server/engine.h"
#include "server/stream_rows.h"
#include "server/streams.h"

struct inst_stream;

/* One subscription of a session. */
struct inst_stream_reader {
    struct inst_session *session;
    struct inst_stream *stream;
    struct inst_stream_reader *next, *previous; /* of the stream */
    struct inst_stream_reader *session_next, *session_previous;
    char *event_id; /* JSON text of the subscription's client-event-id; owned */
};

/* A start-stream that waits for the flush at hand. */
struct inst_stream_waiter {
    struct inst_stream_waiter *next;
    struct inst_session *session; /* NULL: closed meanwhile */
    char *event;                  /* JSON text; owned */
    size_t len;
};

struct inst_stream_flush;

/* A stream that somebody writes or reads, or whose buffer is on its way to the disk. */
struct inst_stream {
    struct inst_app *app;
    char id[INST_UUID_TEXT + 1];
    struct inst_uuid uuid;
    char *client_id;                                   /* JSON text; owned */
    struct inst_session *writer;                       /* NULL: away */
    struct inst_stream *writer_next, *writer_previous; /* of the session's streams */
    struct inst_buf buffer;                            /* what is not flushed */
    uint64_t flushed;                                  /* bytes in files */
    uint64_t parts;                                    /* files */
    bool is_done;                                      /* the writer said so */
    char *abort_reason;                                /* owned; NULL: none */
    struct inst_stream_flush *flush;                   /* NULL: none on its way */
    struct inst_stream_reader *readers;
    struct inst_stream_waiter *waiters, **waiters_end;
};

static inline uint64_t inst_stream_end(const struct inst_stream *stream) {
    return stream->flushed + stream->buffer.len;
}

/* ---- streams.c ---- */

/* The stream in memory; NULL when there is none. */
struct inst_stream *inst_stream_get(const struct inst_app *app, const struct inst_uuid *id);
/* Brings the row into memory, with what its files say. */
enum inst_status inst_stream_load(struct inst_app *app, const struct inst_stream_row *row,
                                  struct inst_stream **out, struct inst_err *err);
/* Frees it when nobody needs it any more. */
void inst_stream_settle(struct inst_stream *stream);
void inst_stream_set_writer(struct inst_stream *stream, struct inst_session *writer);

/* event_id: JSON text, taken. */
enum inst_status inst_stream_add_reader(struct inst_stream *stream, struct inst_session *session,
                                        char *event_id_take, struct inst_stream_reader **out,
                                        struct inst_err *err);
void inst_stream_remove_reader(struct inst_stream_reader *reader);
struct inst_stream_reader *inst_stream_find_reader(struct inst_session *session,
                                                   const char *event_id);

/* `{"op":"stream-append",...ids`; members follow, then inst_stream_reader_send. */
void inst_stream_reader_begin(const struct inst_stream_reader *reader, struct inst_buf *buf);
void inst_stream_reader_send(const struct inst_stream_reader *reader, struct inst_buf *buf);
/* Files and buffer from (about) offset on. */
enum inst_status inst_stream_reader_init(struct inst_stream_reader *reader, uint64_t offset,
                                         struct inst_err *err);
/* Every reader is told to subscribe anew, and is none any more. */
void inst_stream_kick_readers(struct inst_stream *stream, const char *why);
/* Every reader is told that this was all, likewise. */
void inst_stream_end_readers(struct inst_stream *stream);
/* What was appended, len bytes at offset. Readers that do not take it are told to come back. */
void inst_stream_fan_out(struct inst_stream *stream, uint64_t offset, const char *bytes,
                         size_t len);
/* `"files":[...]` of the parts behind offset; *offset becomes where the first of them begins. */
enum inst_status inst_stream_write_files(struct inst_app *app, const struct inst_stream_part *parts,
                                         size_t count, uint64_t *offset, struct inst_buf *buf,
                                         struct inst_err *err);

/* ---- stream_flush.c ---- */

/* Flushes when it is time: the buffer is full, the stream is done, or its writer is away. The
 * stream may be gone afterwards. */
void inst_stream_flush(struct inst_stream *stream);
/* The stream goes; its flush, if there is one, ends by itself. */
void inst_stream_forget_flush(struct inst_stream *stream);

/* ---- stream_ops.c ---- */

/* Those that waited for the flush. */
void inst_stream_serve_waiters(struct inst_stream *stream);

#endif
