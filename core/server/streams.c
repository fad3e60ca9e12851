#include "base/json.h"
#include "server/files.h"
#include "server/limits.h"
#include "server/streams_internal.h"

#include <stdlib.h>

/* ---- streams in memory ---- */

static struct inst_table_key key_of(const struct inst_uuid *id) {
    struct inst_table_key key;
    memcpy(&key, id->bytes, sizeof key);
    return key;
}

struct inst_stream *inst_stream_get(const struct inst_app *app, const struct inst_uuid *id) {
    return inst_table_get(&app->streams, key_of(id));
}

static void free_waiters(struct inst_stream *stream) {
    while (stream->waiters != NULL) {
        struct inst_stream_waiter *waiter = stream->waiters;
        stream->waiters = waiter->next;
        free(waiter->event);
        free(waiter);
    }
}

/* Out of memory only: rows and files are not touched. */
static void free_stream(struct inst_stream *stream) {
    inst_stream_set_writer(stream, NULL);
    while (stream->readers != NULL)
        inst_stream_remove_reader(stream->readers);
    free_waiters(stream);
    inst_stream_forget_flush(stream);
    inst_table_remove(&stream->app->streams, key_of(&stream->uuid));
    inst_buf_free(&stream->buffer);
    free(stream->client_id);
    free(stream->abort_reason);
    free(stream);
}

void inst_streams_free(struct inst_app *app) {
    for (size_t i = 0; app->streams.count > 0 && i < app->streams.cap;) {
        struct inst_stream *stream = app->streams.slots[i].value;
        if (stream == NULL)
            i++;
        else /* another may shift into this slot */
            free_stream(stream);
    }
    inst_table_free(&app->streams);
}

void inst_stream_settle(struct inst_stream *stream) {
    bool is_needed = stream->writer != NULL || stream->readers != NULL || stream->flush != NULL ||
                     stream->waiters != NULL;
    if (!is_needed)
        free_stream(stream);
}

static char *json_text(const struct inst_value *v) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, v);
    return inst_buf_take(&buf, &(size_t){0});
}

enum inst_status inst_stream_load(struct inst_app *app, const struct inst_stream_row *row,
                                  struct inst_stream **out, struct inst_err *err) {
    struct inst_stream_part *parts;
    struct inst_stream *stream = calloc(1, sizeof *stream);
    size_t count;
    if (stream == NULL)
        return inst_err_nomem(err);
    stream->app = app;
    stream->waiters_end = &stream->waiters;
    memcpy(stream->id, row->id, sizeof stream->id);
    inst_uuid_parse(row->id, INST_UUID_TEXT, &stream->uuid);
    inst_buf_init(&stream->buffer);
    stream->client_id = json_text(&row->client_id);
    enum inst_status st = inst_stream_row_parts(app, row, &parts, &count, &stream->flushed, err);
    if (st == INST_OK && (stream->client_id == NULL ||
                          !inst_table_put(&app->streams, key_of(&stream->uuid), stream)))
        st = inst_err_nomem(err);
    if (st != INST_OK) {
        free(stream->client_id);
        free(stream);
        return st;
    }
    stream->parts = count;
    *out = stream;
    return INST_OK;
}

void inst_stream_set_writer(struct inst_stream *stream, struct inst_session *writer) {
    struct inst_session *before = stream->writer;
    if (before == writer)
        return;
    if (before != NULL) {
        if (stream->writer_previous != NULL)
            stream->writer_previous->writer_next = stream->writer_next;
        else
            before->written = stream->writer_next;
        if (stream->writer_next != NULL)
            stream->writer_next->writer_previous = stream->writer_previous;
        before->written_count--;
    }
    stream->writer = writer;
    stream->writer_next = stream->writer_previous = NULL;
    if (writer != NULL) {
        stream->writer_next = writer->written;
        if (writer->written != NULL)
            writer->written->writer_previous = stream;
        writer->written = stream;
        writer->written_count++;
    }
}

/* ---- readers ---- */

enum inst_status inst_stream_add_reader(struct inst_stream *stream, struct inst_session *session,
                                        char *event_id_take, struct inst_stream_reader **out,
                                        struct inst_err *err) {
    struct inst_stream_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        free(event_id_take);
        return inst_err_nomem(err);
    }
    reader->session = session;
    reader->stream = stream;
    reader->event_id = event_id_take;
    reader->next = stream->readers;
    if (stream->readers != NULL)
        stream->readers->previous = reader;
    stream->readers = reader;
    reader->session_next = session->readers;
    if (session->readers != NULL)
        session->readers->session_previous = reader;
    session->readers = reader;
    session->reader_count++;
    *out = reader;
    return INST_OK;
}

void inst_stream_remove_reader(struct inst_stream_reader *reader) {
    if (reader->previous != NULL)
        reader->previous->next = reader->next;
    else
        reader->stream->readers = reader->next;
    if (reader->next != NULL)
        reader->next->previous = reader->previous;
    if (reader->session_previous != NULL)
        reader->session_previous->session_next = reader->session_next;
    else
        reader->session->readers = reader->session_next;
    if (reader->session_next != NULL)
        reader->session_next->session_previous = reader->session_previous;
    reader->session->reader_count--;
    free(reader->event_id);
    free(reader);
}

struct inst_stream_reader *inst_stream_find_reader(struct inst_session *session,
                                                   const char *event_id) {
    struct inst_stream_reader *reader = session->readers;
    while (reader != NULL && strcmp(reader->event_id, event_id) != 0)
        reader = reader->session_next;
    return reader;
}

void inst_stream_reader_begin(const struct inst_stream_reader *reader, struct inst_buf *buf) {
    inst_buf_init(buf);
    inst_reply_begin(buf, "stream-append");
    inst_buf_add_str(buf, ",\"client-event-id\":");
    inst_buf_add_str(buf, reader->event_id);
    inst_buf_add_str(buf, ",\"stream-id\":\"");
    inst_buf_add_str(buf, reader->stream->id);
    inst_buf_add_str(buf, "\",\"client-id\":");
    inst_buf_add_str(buf, reader->stream->client_id);
}

void inst_stream_reader_send(const struct inst_stream_reader *reader, struct inst_buf *buf) {
    inst_reply_end(buf, &reader->session->server->tracer);
    inst_server_send(reader->session, buf);
}

enum inst_status inst_stream_write_files(struct inst_app *app, const struct inst_stream_part *parts,
                                         size_t count, uint64_t *offset, struct inst_buf *buf,
                                         struct inst_err *err) {
    uint64_t begin = 0;
    size_t first = 0;
    while (first < count && begin + parts[first].size <= *offset)
        begin += parts[first++].size;
    *offset = begin;
    inst_buf_add_str(buf, ",\"files\":[");
    for (size_t i = first; i < count; i++) {
        struct inst_value url;
        enum inst_status st = inst_files_url(app->server, app->info.id, &parts[i].location,
                                             &app->server->scratch, &url, err);
        if (st != INST_OK)
            return st;
        inst_buf_add_str(buf, i > first ? ",{\"id\":" : "{\"id\":");
        inst_json_write(buf, &parts[i].id);
        inst_buf_add_str(buf, ",\"size\":");
        inst_buf_add_int(buf, (int64_t)parts[i].size);
        inst_buf_add_str(buf, ",\"url\":");
        inst_json_write(buf, &url);
        inst_buf_add_char(buf, '}');
    }
    inst_buf_add_char(buf, ']');
    return INST_OK;
}

/* Where in the buffer a reader begins that has seen up to offset: at a character. */
static size_t place_in_buffer(const struct inst_stream *stream, uint64_t offset) {
    if (offset <= stream->flushed)
        return 0;
    uint64_t at = offset - stream->flushed;
    if (at >= stream->buffer.len)
        return stream->buffer.len;
    while (at > 0 && ((unsigned char)stream->buffer.data[at] & 0xc0) == 0x80)
        at--;
    return (size_t)at;
}

enum inst_status inst_stream_reader_init(struct inst_stream_reader *reader, uint64_t offset,
                                         struct inst_err *err) {
    struct inst_stream *stream = reader->stream;
    struct inst_stream_row row;
    struct inst_stream_part *parts;
    size_t count = 0, place = place_in_buffer(stream, offset);
    uint64_t size, begin = offset;
    struct inst_buf buf, files;
    inst_buf_init(&files);
    enum inst_status st = inst_stream_row_find(stream->app, stream->id, NULL, &row, err);
    if (st == INST_OK && row.e != 0)
        st = inst_stream_row_parts(stream->app, &row, &parts, &count, &size, err);
    if (st == INST_OK && count > 0)
        st = inst_stream_write_files(stream->app, parts, count, &begin, &files, err);
    if (st != INST_OK) {
        inst_buf_free(&files);
        return st;
    }
    if (count == 0) {
        inst_buf_add_str(&files, ",\"files\":[]");
        begin = 0;
    }
    if (begin == stream->flushed) /* no file is sent: the first byte is one of the buffer */
        begin += place;
    inst_stream_reader_begin(reader, &buf);
    inst_buf_add_str(&buf, ",\"offset\":");
    inst_buf_add_int(&buf, (int64_t)begin);
    inst_buf_add(&buf, files.data, files.len);
    inst_buf_add_str(&buf, ",\"content\":");
    const char *content = stream->buffer.data != NULL ? stream->buffer.data + place : "";
    inst_json_write_string(&buf, content, stream->buffer.len - place);
    buf.failed = buf.failed || files.failed;
    inst_buf_free(&files);
    inst_stream_reader_send(reader, &buf);
    return INST_OK;
}

static void send_retry(const struct inst_stream_reader *reader, const char *why) {
    struct inst_buf buf;
    inst_stream_reader_begin(reader, &buf);
    inst_buf_addf(&buf, ",\"error\":true,\"error-type\":\"%s\",\"retry\":true", why);
    inst_stream_reader_send(reader, &buf);
}

void inst_stream_kick_readers(struct inst_stream *stream, const char *why) {
    while (stream->readers != NULL) {
        send_retry(stream->readers, why);
        inst_stream_remove_reader(stream->readers);
    }
}

void inst_stream_end_readers(struct inst_stream *stream) {
    while (stream->readers != NULL) {
        struct inst_buf buf;
        inst_stream_reader_begin(stream->readers, &buf);
        inst_buf_add_str(&buf, ",\"done\":true");
        if (stream->abort_reason != NULL) {
            inst_buf_add_str(&buf, ",\"abort-reason\":");
            inst_json_write_string(&buf, stream->abort_reason, strlen(stream->abort_reason));
        }
        inst_stream_reader_send(stream->readers, &buf);
        inst_stream_remove_reader(stream->readers);
    }
}

static bool takes(const struct inst_session *session) {
    const struct inst_server_host *host = &session->server->host;
    return host->backlog == NULL ||
           host->backlog(host->ctx, session->connection) <= INST_STREAM_MAX_BACKLOG;
}

void inst_stream_fan_out(struct inst_stream *stream, uint64_t offset, const char *bytes,
                         size_t len) {
    struct inst_buf content;
    if (stream->readers == NULL || len == 0)
        return;
    inst_buf_init(&content);
    inst_json_write_string(&content, bytes, len);
    for (struct inst_stream_reader *reader = stream->readers, *next; reader != NULL;
         reader = next) {
        struct inst_buf buf;
        next = reader->next;
        if (!takes(reader->session)) {
            send_retry(reader, "rate-limit");
            inst_stream_remove_reader(reader);
            continue;
        }
        inst_stream_reader_begin(reader, &buf);
        inst_buf_add_str(&buf, ",\"offset\":");
        inst_buf_add_int(&buf, (int64_t)offset);
        inst_buf_add_str(&buf, ",\"content\":");
        inst_buf_add(&buf, content.data, content.len);
        buf.failed = buf.failed || content.failed;
        inst_stream_reader_send(reader, &buf);
    }
    inst_buf_free(&content);
}

/* ---- sessions ---- */

static void forget_waiters(struct inst_session *session) {
    struct inst_app *app = session->app;
    for (size_t i = 0; i < app->streams.cap; i++) {
        struct inst_stream *stream = app->streams.slots[i].value;
        struct inst_stream_waiter *waiter = stream != NULL ? stream->waiters : NULL;
        for (; waiter != NULL; waiter = waiter->next)
            if (waiter->session == session)
                waiter->session = NULL;
    }
}

void inst_streams_leave(struct inst_session *session) {
    if (session->has_waited)
        forget_waiters(session);
    while (session->readers != NULL) {
        struct inst_stream *stream = session->readers->stream;
        inst_stream_remove_reader(session->readers);
        inst_stream_settle(stream);
    }
    while (session->written != NULL) {
        struct inst_stream *stream = session->written;
        inst_stream_set_writer(stream, NULL);
        inst_stream_flush(stream);
    }
}
