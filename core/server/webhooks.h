/*
 * webhooks.h - an app's webhooks: who is told of which changes, and how that went (http.md 11).
 *
 *     log ── feed ──> event of a webhook: one per transaction that it asks for ── due ──> delivery
 *              └ webhook-at: how far, with the events in one commit     ^   POST, signed   │
 *                                                                        └─── not taken ────┘
 *
 * What is kept, as notes beside the app's data, so that a restart loses and repeats nothing but a
 * delivery that was on its way:
 *
 *     webhook/<id>                       the webhook
 *     webhook-at                         the transaction up to which events were made
 *     webhook-event/<id>/<isn, falling>  an event: status, attempts
 *     webhook-due/<time>/<id>/<isn>      when it is sent next
 *     webhook-data/<id>/<isn>            the changes of one that is due, unless they are large:
 * then, and when it was taken, they are read from the log webhook-gone/<id> deleted, its events are
 * being cleared away
 *
 * An isn is `<time of commit>-<tx-id>`, both as hex. Every app has one key of its backend's, made
 * of the host's secret (inst_files_ops): deliveries are signed by it, and the token that a delivery
 * carries to fetch the changes with.
 */
#ifndef INST_SERVER_WEBHOOKS_H
#define INST_SERVER_WEBHOOKS_H

#include "server/engine.h"
#include "server/feed.h"
#include "server/http.h"

#define INST_WEBHOOK_ACTIONS 3
/* Apps of theirs stay open while something is due: what is tried again waits (http.md 11.2). */
#define INST_WEBHOOK_ATTEMPTS 11
#define INST_WEBHOOK_TIMEOUT_MS 20000
#define INST_WEBHOOK_KEEP_MS (60ll * 24 * 60 * 60 * 1000)
#define INST_WEBHOOK_TOKEN_S 3600

struct inst_webhook {
    struct inst_webhook *next; /* newest first */
    char id[INST_UUID_TEXT + 1];
    char *url;
    char (*id_attrs)[INST_UUID_TEXT + 1]; /* of its namespaces: they may be renamed */
    size_t id_attr_count;
    enum inst_feed_action actions[INST_WEBHOOK_ACTIONS]; /* as asked for */
    size_t action_count;
    bool is_active;
    char *reason; /* why not; NULL: none */
    int64_t created_ms, updated_ms;
    int64_t since_tx; /* it is told of transactions behind this one */
};

/* What a request says; what is NULL stays as it is. */
struct inst_webhook_wish {
    const char *url;
    const struct inst_value *namespaces; /* ARRAY of texts */
    const struct inst_value *actions;    /* likewise */
};

struct inst_webhook_isn {
    int64_t at_ms;
    int64_t tx;
};
#define INST_WEBHOOK_ISN_TEXT 40
void inst_webhook_isn_print(struct inst_webhook_isn isn, char out[INST_WEBHOOK_ISN_TEXT]);
bool inst_webhook_isn_parse(const char *text, struct inst_webhook_isn *out);

/* ---- the app's (webhooks.c) ---- */

/* Reads the notes; part of opening the app. */
enum inst_status inst_webhooks_open(struct inst_app *app, struct inst_err *err);
void inst_webhooks_free(struct inst_app *app);
/* NULL: there is none ("record-not-found"). */
struct inst_webhook *inst_webhook_find(struct inst_app *app, const char *id, struct inst_err *err);
struct inst_webhook *inst_webhooks_first(const struct inst_app *app);
/* These check, keep, and change the webhook only when that worked. No group is open. */
enum inst_status inst_webhook_add(struct inst_app *app, const struct inst_webhook_wish *wish,
                                  struct inst_webhook **out, struct inst_err *err);
enum inst_status inst_webhook_change(struct inst_app *app, struct inst_webhook *webhook,
                                     const struct inst_webhook_wish *wish, struct inst_err *err);
enum inst_status inst_webhook_enable(struct inst_app *app, struct inst_webhook *webhook,
                                     struct inst_err *err);
enum inst_status inst_webhook_disable(struct inst_app *app, struct inst_webhook *webhook,
                                      const char *reason, struct inst_err *err);
enum inst_status inst_webhook_delete(struct inst_app *app, struct inst_webhook *webhook,
                                     struct inst_err *err);
/* As clients see it. */
void inst_webhook_write(const struct inst_app *app, const struct inst_webhook *webhook,
                        struct inst_buf *out);
/* As a backup has it: {"namespaces","sink","status","actions"}. */
void inst_webhook_write_config(const struct inst_app *app, const struct inst_webhook *webhook,
                               struct inst_buf *out);
/* Of a backup, disabled. *is_there: it is in the list now; *is_new: it was not. */
enum inst_status inst_webhook_import(struct inst_app *app, const struct inst_value *config,
                                     bool *is_there, bool *is_new, struct inst_err *err);

/* ---- events (webhook_events.c) ---- */

/* A page, newest first, behind `after` (a cursor; NULL: the first). err: "param-malformed" never.
 */
enum inst_status inst_webhook_events_write(struct inst_app *app, const struct inst_webhook *webhook,
                                           const char *after, struct inst_buf *out,
                                           struct inst_err *err);
/* record-not-found when there is none. */
enum inst_status inst_webhook_event_write(struct inst_app *app, const struct inst_webhook *webhook,
                                          struct inst_webhook_isn isn, struct inst_buf *out,
                                          struct inst_err *err);
/* Sends it again; err when it is on its way, or there is none. */
enum inst_status inst_webhook_event_resend(struct inst_app *app, const struct inst_webhook *webhook,
                                           struct inst_webhook_isn isn, struct inst_err *err);
/* Answers with its changes, perhaps later. */
enum inst_status inst_webhook_payload(struct inst_app *app, const struct inst_webhook *webhook,
                                      struct inst_webhook_isn isn,
                                      struct inst_http_response *response, struct inst_err *err);

/* ---- turns (webhook_turn.c) ---- */

/* The app has to stay open for them. */
bool inst_webhooks_need(const struct inst_app *app);
void inst_webhooks_turn(struct inst_server *server);
bool inst_webhooks_are_pending(const struct inst_server *server);
int64_t inst_webhooks_due_ms(const struct inst_server *server);

/* ---- keys (webhook_keys.c) ---- */

/* {"keys":[...]} */
enum inst_status inst_webhook_keys_write(struct inst_server *server, struct inst_buf *out,
                                         struct inst_err *err);
/* The header field's value. */
enum inst_status inst_webhook_sign(struct inst_server *server, int64_t now_ms, const char *body,
                                   size_t len, struct inst_buf *out, struct inst_err *err);
/* What a delivery carries. */
enum inst_status inst_webhook_token(struct inst_app *app, const struct inst_webhook *webhook,
                                    struct inst_webhook_isn isn, int64_t now_ms,
                                    struct inst_buf *out, struct inst_err *err);
/* Is it ours, good, and of this event? */
enum inst_status inst_webhook_check_token(struct inst_server *server, const char *token,
                                          const char *app_id, const char *webhook_id,
                                          struct inst_webhook_isn isn, struct inst_err *err);
/* The same for one webhook and isn, always. */
void inst_webhook_key(const char *webhook_id, struct inst_webhook_isn isn,
                      char out[INST_UUID_TEXT + 1]);

#endif
