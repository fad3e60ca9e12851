/*
 * polls.h - requests that wait for an app's next changes: long polls over its feed (feed.h).
 *
 *     route ── inst_poll_start ──┬── answered at once: there was something, or no wait is wished
 *                                └── response->later: turns read on, until there is something,
 *                                    the wait is over or the app is removed
 *
 * All polls share what one turn reads, one after the other, and the memory of their windows; an
 * app has few of them. A poll keeps its app open. One that comes back where the last one stopped,
 * far behind the head, finds the feed that had looked ahead (inst_feeds_keep).
 */
#ifndef INST_SERVER_POLLS_H
#define INST_SERVER_POLLS_H

#include "server/feed.h"
#include "server/http_routes.h"

struct inst_polls;

/* What is asked for; copied. */
struct inst_poll_wish {
    struct inst_feed_position from;
    struct inst_feed_filter filter;
    size_t limit;    /* changes, at least 1 */
    int64_t wait_ms; /* 0: answers at once */
    /* All changes of the transaction behind `from`, as a webhook's payload (http.md 11.3); or 0. */
    int64_t until_tx;
    char key[INST_UUID_TEXT + 1]; /* with it: its idempotency key, and */
    void (*write)(struct inst_buf *out, const struct inst_feed_change *change);
    void (*add_headers)(struct inst_http_response *response);
};

enum inst_status inst_poll_start(struct inst_app *app, const struct inst_poll_wish *wish,
                                 struct inst_http_response *response, struct inst_err *err);
/* Something was committed, or an app was removed. Cheap. */
void inst_polls_wake(struct inst_server *server);
void inst_polls_turn(struct inst_server *server);
bool inst_polls_are_pending(const struct inst_server *server);
/* When the next wait is over, ms; INT64_MAX: none is. */
int64_t inst_polls_due_ms(const struct inst_server *server);
/* Nobody is answered. */
void inst_polls_free(struct inst_server *server);

#endif
