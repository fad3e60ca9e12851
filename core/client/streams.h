/*
 * streams.h - append-only texts (session.md 5.14): written here, read here.
 *
 *     writer   write ──> unflushed bytes ──> append-stream        (sent when there is a connection)
 *                              └─ stream-flushed lets go of them; what is left is sent again after
 *                                 start-stream: on each connection, and when an append failed
 *     reader   stream-append {offset, files, content} ── in order ──> TEXT, with whole characters
 *                              └─ FETCH: a file is the host's to download; fetched, fetch_done
 *
 * Where the official client loses something: the end of a stream that was closed or aborted without
 * a connection is sent with what is left; characters are never cut, also between two pieces of a
 * download; an offset that cannot be is an error for writers, too.
 *
 * Waits before trying again: 0, 0, 500, 1000 ms ... 15 s, from the start when something got
 * through.
 */
#ifndef INST_CLIENT_STREAMS_H
#define INST_CLIENT_STREAMS_H

#include "client/reactor.h"

#define INST_REACTOR_MAX_STREAMS 1000          /* at once, writers and readers each */
#define INST_STREAM_MAX_UNFLUSHED (256u << 20) /* bytes that a writer keeps */
#define INST_STREAM_MAX_QUEUED (64u << 20)     /* bytes that a reader keeps behind a download */
#define INST_STREAM_FRAME (256u << 10)         /* about the bytes of one append-stream */
#define INST_STREAM_RETRY_MS 500
#define INST_STREAM_RETRY_MAX_MS 15000
#define INST_STREAM_RETRY_RESET_MS 300000
#define INST_STREAM_MAX_FETCH_FAILURES 10

/* ---- writing ---- */

enum inst_writer_event_kind {
    INST_WRITER_STARTED, /* the backend knows it: stream_id */
    INST_WRITER_FLUSHED, /* unflushed went down */
    INST_WRITER_DONE,    /* all is kept, and the end; the last event */
    INST_WRITER_FAILED,  /* error; the last event */
};

struct inst_writer_event {
    enum inst_writer_event_kind kind;
    const char *stream_id; /* NULL: not known yet */
    size_t unflushed;      /* bytes that the backend does not keep yet */
    const struct inst_reactor_error *error;
};
typedef void inst_writer_fn(void *ctx, const struct inst_writer_event *event);

/* Begins a stream under a client id of its own. rule_params may be NULL; both are copied. *id names
 * it; inst_reactor_unsubscribe drops it with what it has not sent. */
enum inst_status inst_reactor_create_write_stream(struct inst_reactor *reactor,
                                                  const char *client_id, size_t client_id_len,
                                                  const struct inst_value *rule_params,
                                                  inst_writer_fn *fn, void *ctx, uint64_t *id,
                                                  struct inst_err *err);
/* Adds text (UTF-8, copied). *unflushed as in events. err: "stream-closed" behind the end,
 * "limit-exceeded". */
enum inst_status inst_reactor_stream_write(struct inst_reactor *reactor, uint64_t id,
                                           const char *bytes, size_t len, size_t *unflushed,
                                           struct inst_err *err);
/* The end; DONE comes when it is kept. abort_reason: a text that is not blank, or NULL. */
enum inst_status inst_reactor_stream_close(struct inst_reactor *reactor, uint64_t id,
                                           const char *abort_reason, struct inst_err *err);

/* ---- reading ---- */

enum inst_reader_event_kind {
    INST_READER_STARTED, /* stream_id */
    INST_READER_TEXT,    /* bytes, len: whole characters, as far as the stream has such */
    INST_READER_FETCH,   /* download url from its start; what comes goes to stream_fetched */
    INST_READER_DONE,    /* abort_reason or NULL; the last event */
    INST_READER_FAILED,  /* error; the last event */
};

struct inst_reader_event {
    enum inst_reader_event_kind kind;
    const char *stream_id; /* NULL: not known yet */
    const char *bytes;
    size_t len;
    const char *url;
    uint64_t fetch; /* names the download in stream_fetched and fetch_done */
    const char *abort_reason;
    const struct inst_reactor_error *error;
};
typedef void inst_reader_fn(void *ctx, const struct inst_reader_event *event);

/* One of the ids must be given; the stream id wins. */
struct inst_read_stream_options {
    const struct inst_value *client_id; /* STRING, or NULL */
    const struct inst_value *stream_id; /* STRING, or NULL */
    uint64_t byte_offset;
    const struct inst_value *rule_params; /* or NULL */
};
/* inst_reactor_unsubscribe ends it. */
enum inst_status inst_reactor_create_read_stream(struct inst_reactor *reactor,
                                                 const struct inst_read_stream_options *options,
                                                 inst_reader_fn *fn, void *ctx, uint64_t *id,
                                                 struct inst_err *err);
/* Bytes of a download, in order. Of another than the last one asked for they are ignored. */
void inst_reactor_stream_fetched(struct inst_reactor *reactor, uint64_t id, uint64_t fetch,
                                 const char *bytes, size_t len);
/* The download is over: all of it came, or not. */
void inst_reactor_stream_fetch_done(struct inst_reactor *reactor, uint64_t id, uint64_t fetch,
                                    bool is_whole);

/* ---- for the reactor ---- */

struct inst_writers; /* NULL until one is made */
struct inst_readers;
struct inst_problem;

void inst_streams_resend(struct inst_reactor *r);
void inst_streams_connection_lost(struct inst_reactor *r);
void inst_streams_tick(struct inst_reactor *r, int64_t now);
int64_t inst_streams_deadline(const struct inst_reactor *r);
void inst_streams_dispose(struct inst_reactor *r);
void inst_streams_shutdown(struct inst_reactor *r);
void inst_writers_start_ok(struct inst_reactor *r, const struct inst_value *msg);
void inst_writers_flushed(struct inst_reactor *r, const struct inst_value *msg);
void inst_writers_append_failed(struct inst_reactor *r, const struct inst_value *msg);
void inst_readers_append(struct inst_reactor *r, const struct inst_value *msg);
/* Errors; problem is the caller's. */
void inst_writers_start_error(struct inst_reactor *r, const struct inst_value *msg,
                              struct inst_problem *problem);
void inst_writers_append_error(struct inst_reactor *r, const struct inst_value *msg,
                               struct inst_problem *problem);
void inst_readers_error(struct inst_reactor *r, const struct inst_value *msg,
                        struct inst_problem *problem);
/* unsubscribe-stream of what had ended by itself. */
void inst_readers_ignore(struct inst_reactor *r, const struct inst_value *msg,
                         struct inst_problem *problem);

#endif
