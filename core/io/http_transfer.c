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

bool inst_http_transfer_is_busy(const struct inst_http_transfer *transfer) {
    size_t cap;
    return transfer->upload && !inst_file_upload_room(transfer->upload, &cap);
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
