/*
 * feed.h - an app's log read as changes of entities: what webhooks and durable reactions live on.
 *
 *     log      tx 7            tx 8                      ...        tx 9000 (the head)
 *              [- + + - +]     [+ +]
 *     changes   a   b   c       d
 *                   ^ position {6, 2}: all of tx 6 is read, and of tx 7 what begins before 2
 *
 * A change is one entity of one namespace in one transaction, as it was before and as it is after
 * it: only the attrs that are no links, as today's schema names them. What only links or unlinks,
 * and what comes out as it was, is no change. A namespace of the engine's own, but for those that
 * schemas may extend ($users, $files, $streams), is never shown.
 *
 * The log holds what was written and what it replaced, not whole entities. How an entity was at a
 * position is found from how it is now: the first record behind the position that touches one of
 * its values says what that value was (a "-" of the old one, or nothing in front of a "+"); a value
 * that no record touches is what the store holds. So a feed looks from its position to the head
 * once for a window of entities, and then rolls forward over the window with what it found:
 *
 *     position      end of window                    head
 *     |== entities ==|                                |
 *     |-------------- first touches ------------------>
 *
 * Memory is bounded by the window, each call's work by a budget (INST_FEED_TURN_*), which calls may
 * share; a consumer far behind costs one look over its backlog per window.
 */
#ifndef INST_SERVER_FEED_H
#define INST_SERVER_FEED_H

#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"
#include "base/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_app;
struct inst_feed;

struct inst_feed_position {
    int64_t tx;     /* all of it and of those before it is read */
    uint32_t index; /* and of the next what begins before this place among its triples */
};

/* Its text: `7`, or `6.2`; opaque to clients. */
#define INST_FEED_POSITION_TEXT 32
void inst_feed_position_print(struct inst_feed_position at, char out[INST_FEED_POSITION_TEXT]);
bool inst_feed_position_parse(const char *text, size_t len, struct inst_feed_position *out);

enum inst_feed_action {
    INST_FEED_CREATE = 1,
    INST_FEED_UPDATE = 2,
    INST_FEED_DELETE = 4,
    INST_FEED_ALL = 7,
};
/* "create" "update" "delete" */
const char *inst_feed_action_name(enum inst_feed_action action);
/* 0: none of them. */
unsigned inst_feed_action_of(const struct inst_value *name);

/* Borrowed until fn returns. */
struct inst_feed_change {
    int64_t tx_id;
    int64_t at_ms;         /* of the commit */
    struct inst_value who; /* who wrote: {"admin":true}, {"user":id}, null */
    struct inst_value etype;
    char id[INST_UUID_TEXT + 1];
    enum inst_feed_action action;
    struct inst_value before;           /* object; null: it was not there */
    struct inst_value after;            /* object; null: it is not there */
    char key[INST_UUID_TEXT + 1];       /* the same whenever this change is read */
    struct inst_feed_position position; /* right behind it */
};

struct inst_feed_filter {
    const struct inst_value *etypes; /* texts; NULL: all that are shown */
    size_t etype_count;
    unsigned actions; /* of enum inst_feed_action */
};

/* false: go no further now; the position is behind this change. */
typedef bool inst_feed_fn(void *ctx, const struct inst_feed_change *change);

/* Owned by the caller; freed before the app is closed. err: `position-gone` when the log does not
 * (or no longer) hold what follows the position. */
enum inst_status inst_feed_new(struct inst_app *app, struct inst_feed_position from,
                               struct inst_feed **out, struct inst_err *err);
void inst_feed_free(struct inst_feed *feed); /* NULL is fine */

/* Reads on, about one turn's work. *is_at_head: there was nothing more to read; otherwise it was
 * cut by fn or by the work it takes. Only while no group of the app is open. When it fails the feed
 * is where it was, and may be asked again. */
enum inst_status inst_feed_read(struct inst_feed *feed, const struct inst_feed_filter *filter,
                                inst_feed_fn *fn, void *ctx, bool *is_at_head,
                                struct inst_err *err);
/* What reads may still look at; and about the most that the window of one of them holds. */
struct inst_feed_budget {
    size_t records, bytes, changes;
    size_t window_bytes;
};
/* One turn's. */
struct inst_feed_budget inst_feed_budget(void);
bool inst_feed_budget_is_spent(const struct inst_feed_budget *budget);
/* The same, and takes what it looked at from the budget; of one that is spent it reads nothing. */
enum inst_status inst_feed_read_within(struct inst_feed *feed, struct inst_feed_budget *budget,
                                       const struct inst_feed_filter *filter, inst_feed_fn *fn,
                                       void *ctx, bool *is_at_head, struct inst_err *err);
struct inst_feed_position inst_feed_at(const struct inst_feed *feed);
/* Where the log begins. */
enum inst_status inst_feed_start(struct inst_app *app, struct inst_feed_position *out,
                                 struct inst_err *err);
/* Could a change of this namespace ever be shown? */
bool inst_feed_shows(const struct inst_value *etype);

/* Far behind the head, what a feed has looked at is worth keeping for whoever reads on from where
 * it is: _take gives such a one, or a new one; _keep takes it over, and lets go of an older one,
 * or, when those of all apps hold too much together, of all others. */
enum inst_status inst_feeds_take(struct inst_app *app, struct inst_feed_position from,
                                 struct inst_feed **out, struct inst_err *err);
void inst_feeds_keep(struct inst_app *app, struct inst_feed *feed_take);
void inst_feeds_free(struct inst_app *app);

#endif
