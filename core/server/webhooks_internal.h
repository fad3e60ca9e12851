/*
 * webhooks_internal.h - what the parts of webhooks share. Only for webhook*.c.
 */
#ifndef INST_SERVER_WEBHOOKS_INTERNAL_H
#define INST_SERVER_WEBHOOKS_INTERNAL_H

#include "base/buf.h"
#include "server/webhooks.h"

/* An event on its way, or back and not kept yet. */
struct inst_webhook_delivery {
    struct inst_webhook_delivery *next;
    struct inst_app *app;
    char id[INST_UUID_TEXT + 1]; /* of the webhook, which may be gone meanwhile */
    struct inst_webhook_isn isn;
    int64_t due_ms; /* the due note's */
    int64_t begun_ms;
    bool is_back;
    int64_t took_ms;
    int status;              /* of the answer; 0: there was none */
    struct inst_buf text;    /* of the answer, its first bytes as UTF-8 */
    const char *error, *why; /* or what went wrong; static */
};

/* What one transaction has for one webhook. */
struct inst_webhook_gathered {
    struct inst_webhook_gathered *next;
    char id[INST_UUID_TEXT + 1];
    struct inst_buf data; /* changes, with commas between */
    bool is_large;        /* data was let go */
};

struct inst_webhooks {
    struct inst_webhook *first;
    size_t count, active_count, gone_count;
    int64_t at_tx;      /* events of transactions up to here are made */
    int64_t kept_at_tx; /* and the note says so */
    struct inst_feed *feed;
    struct inst_webhook_isn gathering; /* the transaction being read; tx 0: none */
    struct inst_webhook_gathered *gathered;
    int64_t due_ms;     /* the first event that is due; INT64_MAX: none */
    int64_t stalled_ms; /* the disk refused: nothing before this time */
    struct inst_webhook_delivery *deliveries;
    size_t delivery_count, back_count;
};

/* ---- notes ---- */

#define INST_WEBHOOK_KEY 160
struct inst_webhook_event {
    const char *status;          /* "pending" "success" "error" "failed": static */
    struct inst_value attempts;  /* ARRAY */
    int64_t next_ms, updated_ms; /* 0: no next */
};

void inst_webhook_note_key(const char *id, char out[INST_WEBHOOK_KEY]);
void inst_webhook_event_key(const char *id, struct inst_webhook_isn isn,
                            char out[INST_WEBHOOK_KEY]);
void inst_webhook_due_key(int64_t due_ms, const char *id, struct inst_webhook_isn isn,
                          char out[INST_WEBHOOK_KEY]);
void inst_webhook_data_key(const char *id, struct inst_webhook_isn isn, char out[INST_WEBHOOK_KEY]);
bool inst_webhook_due_parse(const char *key, int64_t *due_ms, char id[INST_UUID_TEXT + 1],
                            struct inst_webhook_isn *isn);
/* In a group that is open. */
enum inst_status inst_webhook_event_put(struct inst_app *app, const char *id,
                                        struct inst_webhook_isn isn,
                                        const struct inst_webhook_event *event,
                                        struct inst_err *err);
/* On server->scratch; *found. */
enum inst_status inst_webhook_event_get(struct inst_app *app, const char *id,
                                        struct inst_webhook_isn isn, struct inst_webhook_event *out,
                                        bool *found, struct inst_err *err);
/* Removes events of the webhook, at most max, that are older than before_ms (INT64_MAX: all);
 * *count of them. */
enum inst_status inst_webhook_events_drop(struct inst_app *app, const char *id, int64_t before_ms,
                                          size_t max, size_t *count, struct inst_err *err);
/* Looks up due_ms in the notes. */
enum inst_status inst_webhooks_find_due(struct inst_app *app, struct inst_err *err);
enum inst_status inst_webhook_put(struct inst_app *app, const struct inst_webhook *webhook,
                                  struct inst_err *err);
struct inst_webhook *inst_webhook_of(const struct inst_webhooks *webhooks, const char *id);
struct inst_webhook_delivery *inst_webhook_delivery_of(const struct inst_webhooks *webhooks,
                                                       const char *id, struct inst_webhook_isn isn);
bool inst_webhook_wants(const struct inst_app *app, const struct inst_webhook *webhook,
                        const struct inst_value *etype, enum inst_feed_action action);
/* {"namespace","action","id","before","after","idempotencyKey"} */
void inst_webhook_change_write(struct inst_buf *out, const struct inst_feed_change *change);
static inline int64_t inst_webhook_now(const struct inst_app *app) {
    return app->server->env->now_ms(app->server->env->ctx);
}
/* begin, and its end: commit, or rollback when status is not INST_OK. */
enum inst_status inst_webhooks_begin(struct inst_app *app, struct inst_err *err);
enum inst_status inst_webhooks_end(struct inst_app *app, enum inst_status status,
                                   struct inst_err *err);
/* In a group that is open: the note of how far the log was read. */
enum inst_status inst_webhooks_put_at(struct inst_app *app, int64_t tx, struct inst_err *err);

#endif
