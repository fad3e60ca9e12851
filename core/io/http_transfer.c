#include "io/http_transfer.h"

#include "io/http_answer.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes of a file that go out before others get their turn. */
#define SEND_TURN (1u << 20)

static bool must_wait(int failed) { return failed == EAGAIN || failed == EWOULDBLOCK; }

/* ---- in ---- */

size_t inst_http_transfer_first(struct inst_http_transfer *transfer, const char *bytes,
                                size_t len) {
    size_t cap, taken = 0;
    char *room;
    while (taken < len && (room = inst_file_upload_room(transfer->upload, &cap)) != NULL) {
        size_t count = len - taken < cap ? len - taken : cap;
        memcpy(room, bytes + taken, count);
        taken += count;
        inst_file_upload_fill(transfer->upload, count);
    }
    return taken;
}

enum inst_transfer inst_http_transfer_receive(struct inst_http_transfer *transfer, int fd,
                                              size_t *count) {
    size_t cap;
    char *room;
    *count = 0;
    while ((room = inst_file_upload_room(transfer->upload, &cap)) != NULL) {
        ssize_t n = recv(fd, room, cap, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && must_wait(errno) ? INST_TRANSFER_WAIT : INST_TRANSFER_LOST;
        *count += (size_t)n;
        inst_file_upload_fill(transfer->upload, (size_t)n);
    }
    return INST_TRANSFER_DONE;
}

/* One step of it; INST_TRANSFER_WAIT: there may be another one. */
static enum inst_transfer take_chunk(struct inst_file_upload *upload, struct inst_chunked *chunked,
                                     const char **at, const char *end, int *refused) {
    struct inst_slice data;
    size_t cap;
    char *room = inst_file_upload_room(upload, &cap);
    if (!room)
        cap = 1; /* nothing more is allowed: it is enough to see whether more comes */
    if (cap < (size_t)(end - *at))
        end = *at + cap;
    switch (inst_chunked_next(chunked, at, end, &data)) {
    case INST_CHUNKED_DATA:
        if (room) {
            memcpy(room, data.str, data.len);
            inst_file_upload_fill(upload, data.len);
        } else {
            *refused = 413;
        }
        break;
    case INST_CHUNKED_END:
        inst_file_upload_end(upload);
        return INST_TRANSFER_DONE;
    case INST_CHUNKED_REFUSE:
        *refused = 400;
        break;
    case INST_CHUNKED_LONG:
        *refused = 431;
        break;
    case INST_CHUNKED_MORE:
        break;
    }
    return INST_TRANSFER_WAIT;
}

enum inst_transfer inst_http_transfer_chunks(struct inst_http_transfer *transfer,
                                             struct inst_chunked *chunked, char *raw, size_t *len,
                                             int *refused) {
    const char *at = raw, *end = raw + *len;
    enum inst_transfer result = INST_TRANSFER_WAIT;
    *refused = 0;
    while (at < end && result == INST_TRANSFER_WAIT && !*refused &&
           !inst_file_upload_is_working(transfer->upload))
        result = take_chunk(transfer->upload, chunked, &at, end, refused);
    *len = (size_t)(end - at);
    memmove(raw, at, *len);
    return result;
}

bool inst_http_transfer_is_busy(const struct inst_http_transfer *transfer) {
    return transfer->upload && inst_file_upload_is_working(transfer->upload);
}

/* ---- out ---- */

void inst_http_transfer_begin(struct inst_http_transfer *transfer, struct inst_buf *out,
                              const struct inst_http_head *head,
                              const struct inst_http_response *response, int content, uint64_t size,
                              bool keep_alive) {
    char etag[INST_UUID_TEXT + 3];
    size_t len = strlen(response->file.location);
    etag[0] = etag[len + 1] = '"';
    memcpy(etag + 1, response->file.location, len);
    etag[len + 2] = '\0';
    struct inst_http_part part = inst_http_part_of(head, etag, size);
    inst_http_write_file(out, response, &part, size, keep_alive);
    transfer->is_sending = true;
    transfer->content = content;
    transfer->at = part.from;
    transfer->left = inst_slice_is(&head->method, "HEAD") ? 0 : part.len;
}

enum inst_transfer inst_http_transfer_send(struct inst_http_transfer *transfer, int fd,
                                           size_t *count) {
    *count = 0;
    while (transfer->is_sending && transfer->left > 0) {
        off_t at = (off_t)transfer->at;
        size_t wanted = SEND_TURN - *count;
        if (wanted == 0)
            return INST_TRANSFER_WAIT;
        if (wanted > transfer->left)
            wanted = (size_t)transfer->left;
        ssize_t n = sendfile(fd, transfer->content, &at, wanted);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && must_wait(errno))
            return INST_TRANSFER_WAIT;
        if (n <= 0) /* 0: the file was cut short behind our back, and the client must see that */
            return INST_TRANSFER_LOST;
        transfer->at += (uint64_t)n;
        transfer->left -= (uint64_t)n;
        *count += (size_t)n;
    }
    if (transfer->is_sending)
        close(transfer->content);
    transfer->is_sending = false;
    return INST_TRANSFER_DONE;
}

void inst_http_transfer_end(struct inst_http_transfer *transfer) {
    inst_file_upload_cancel(transfer->upload);
    transfer->upload = NULL;
    if (transfer->is_sending)
        close(transfer->content);
    transfer->is_sending = false;
}
