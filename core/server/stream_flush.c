#include "server/limits.h"
#include "server/streams_internal.h"

#include <stdlib.h>

/* The front of a buffer on its way to the disk. */
struct inst_stream_flush {
    struct inst_stream *stream; /* NULL: gone */
    char location[INST_UUID_TEXT + 1];
    size_t len;
};

void inst_stream_forget_flush(struct inst_stream *stream) {
    if (stream->flush != NULL)
        stream->flush->stream = NULL;
    stream->flush = NULL;
}

static void send_flushed(struct inst_stream *stream, bool is_done) {
    struct inst_buf buf;
    if (stream->writer == NULL)
        return;
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "stream-flushed");
    inst_buf_addf(&buf, ",\"stream-id\":\"%s\",\"offset\":", stream->id);
    inst_buf_add_int(&buf, (int64_t)stream->flushed);
    inst_buf_addf(&buf, ",\"done\":%s", is_done ? "true" : "false");
    inst_reply_end(&buf, &stream->app->server->tracer);
    inst_server_send(stream->writer, &buf);
}

static void log_failure(const struct inst_stream *stream, const struct inst_err *err) {
    const struct inst_env *env = stream->app->server->env;
    if (env->log != NULL && err->message != NULL)
        env->log(env->ctx, INST_LOG_ERROR, err->message);
}

/* The writer has what was lost and begins again with start-stream; without one it is gone. */
static void fail(struct inst_stream *stream, const struct inst_err *err) {
    struct inst_buf buf;
    log_failure(stream, err);
    inst_buf_free(&stream->buffer);
    stream->is_done = false;
    if (stream->writer != NULL) {
        inst_buf_init(&buf);
        inst_reply_begin(&buf, "append-failed");
        inst_buf_addf(&buf, ",\"stream-id\":\"%s\"", stream->id);
        inst_reply_end(&buf, &stream->app->server->tracer);
        inst_server_send(stream->writer, &buf);
        inst_stream_set_writer(stream, NULL);
    }
}

/* ---- the row ---- */

/* What was written joins the stream; with the end when nothing is left. */
static enum inst_status commit(struct inst_stream *stream, const char *location, size_t len,
                               bool is_last, struct inst_err *err) {
    struct inst_stream_change change = {
        .id = stream->id,
        .location = location,
        .number = stream->parts,
        .size = len,
        .is_done = is_last,
        .whole = stream->flushed + len,
        .abort_reason = stream->abort_reason,
    };
    enum inst_status st = inst_stream_row_change(stream->app, &change, err);
    if (st != INST_OK)
        return st;
    stream->flushed += len;
    stream->parts += location != NULL;
    return INST_OK;
}

static void drop_front(struct inst_buf *buffer, size_t len) {
    if (len == buffer->len) {
        inst_buf_free(buffer); /* idle streams keep no memory */
        return;
    }
    memmove(buffer->data, buffer->data + len, buffer->len - len);
    buffer->len -= len;
    buffer->data[buffer->len] = '\0';
}

/* Everything is on the disk and the stream over. */
static void finish(struct inst_stream *stream) {
    send_flushed(stream, true);
    inst_stream_set_writer(stream, NULL);
    inst_stream_end_readers(stream); /* who came after the last append */
}

static void flushed(void *ctx, const struct inst_err *failed) {
    struct inst_stream_flush *flush = ctx;
    struct inst_stream *stream = flush->stream;
    struct inst_err err = {0};
    if (stream == NULL) {
        free(flush);
        return;
    }
    stream->flush = NULL;
    bool is_last = stream->is_done && flush->len == stream->buffer.len;
    enum inst_status st = INST_OK;
    if (failed == NULL)
        st = commit(stream, flush->location, flush->len, is_last, &err);
    if (failed != NULL || st != INST_OK) {
        fail(stream, failed != NULL ? failed : &err);
    } else {
        drop_front(&stream->buffer, flush->len);
        if (is_last)
            finish(stream);
        else
            send_flushed(stream, false);
    }
    inst_err_clear(&err);
    free(flush);
    inst_arena_reset(&stream->app->server->scratch);
    if (stream->waiters != NULL)
        inst_stream_serve_waiters(stream);
    else
        inst_stream_flush(stream);
}

/* ---- the bytes ---- */

static void begin(struct inst_stream *stream) {
    struct inst_server *server = stream->app->server;
    const struct inst_files_ops *files = server->host.files;
    struct inst_err err = {0};
    struct inst_stream_flush *flush = calloc(1, sizeof *flush);
    char *bytes = malloc(stream->buffer.len + 1);
    enum inst_status st = flush != NULL && bytes != NULL ? INST_OK : inst_err_nomem(&err);
    if (st == INST_OK) {
        memcpy(bytes, stream->buffer.data, stream->buffer.len);
        flush->stream = stream;
        flush->len = stream->buffer.len;
        inst_uuid_make_text(server->env, flush->location);
        st = files->keep(server->host.files_ctx, stream->app->info.id, flush->location, bytes,
                         flush->len, flushed, flush, &err);
        bytes = NULL;
    }
    if (st == INST_OK) {
        stream->flush = flush;
        return;
    }
    free(flush);
    free(bytes);
    fail(stream, &err);
    inst_err_clear(&err);
    inst_stream_settle(stream);
}

/* The end of a stream of which nothing is left to write. */
static void end_at_once(struct inst_stream *stream) {
    struct inst_err err = {0};
    if (commit(stream, NULL, 0, true, &err) == INST_OK)
        finish(stream);
    else
        fail(stream, &err);
    inst_err_clear(&err);
    inst_stream_settle(stream);
}

void inst_stream_flush(struct inst_stream *stream) {
    if (stream->flush != NULL)
        return;
    bool is_left = stream->writer == NULL && !stream->is_done;
    if (stream->buffer.len > 0 &&
        (stream->is_done || is_left || stream->buffer.len >= INST_STREAM_FLUSH_BYTES))
        begin(stream);
    else if (stream->is_done)
        end_at_once(stream);
    else
        inst_stream_settle(stream);
}
