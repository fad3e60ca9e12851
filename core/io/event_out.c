#include "io/event_out.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

bool inst_event_out_is_pending(const struct inst_event_out *out) {
    return out->queue.count > 0 || out->is_comment || out->wants_comment;
}

/* The present event's pieces from out->done on; 0: there is none. */
static int pieces_of(const struct inst_event_out *out, struct iovec pieces[3]) {
    static char before[] = "data: ", behind[] = "\n\n", comment[] = ":\n\n";
    struct inst_shared *message = inst_shared_queue_first(&out->queue);
    struct iovec all[3];
    int count = 0, kept = 0;
    if (out->is_comment) {
        all[count++] = (struct iovec){comment, sizeof comment - 1};
    } else if (message) {
        all[count++] = (struct iovec){before, sizeof before - 1};
        all[count++] = (struct iovec){message->data, message->len};
        all[count++] = (struct iovec){behind, sizeof behind - 1};
    }
    size_t skip = out->done;
    for (int i = 0; i < count; i++) {
        size_t n = skip < all[i].iov_len ? skip : all[i].iov_len;
        skip -= n;
        if (n < all[i].iov_len)
            pieces[kept++] = (struct iovec){(char *)all[i].iov_base + n, all[i].iov_len - n};
    }
    return kept;
}

static void end_event(struct inst_event_out *out) {
    out->done = 0;
    if (out->is_comment)
        out->is_comment = false;
    else
        inst_shared_queue_drop_first(&out->queue);
}

int inst_event_out_write(struct inst_event_out *out, int fd, size_t *sent) {
    for (;;) {
        if (out->done == 0 && out->wants_comment) {
            out->wants_comment = false;
            out->is_comment = true;
        }
        struct iovec pieces[3];
        struct msghdr message = {.msg_iov = pieces};
        int count = pieces_of(out, pieces);
        if (count == 0) {
            inst_shared_queue_clear(&out->queue); /* idle streams keep no memory */
            return 1;
        }
        message.msg_iovlen = (size_t)count;
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
        *sent += (size_t)n;
        out->done += (size_t)n;
        size_t left = 0;
        for (int i = 0; i < count; i++)
            left += pieces[i].iov_len;
        if ((size_t)n == left)
            end_event(out);
    }
}
