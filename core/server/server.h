/*
 * server.h - the backend engine.
 *
 *     bytes of a connection ──> inst_session_receive ──> (group of transactions open)
 *     end of the loop's turn ─> inst_server_turn ──────> commit, transact-ok, refresh-ok
 *                                     │
 *                      host.send(connection, shared bytes) for every message out
 *
 * No I/O, no clock: the host gives an environment, a way to open data files and a way to send. The
 * same engine serves sockets, the in-process `local:` pipe and the simulator. One thread.
 *
 * Messages and their order: session.md 2, 3, 6. Each session's messages are handled in the order
 * they arrive; nobody is told `transact-ok` before the commit is durable; a query never sees a
 * transaction that is not (the group is committed before a query runs).
 */
#ifndef INST_SERVER_SERVER_H
#define INST_SERVER_SERVER_H

#include "base/env.h"
#include "base/err.h"
#include "base/shared.h"
#include "base/uuid.h"
#include "server/app_db.h"
#include "server/backups.h"
#include "server/outgoing.h"

#include <stdbool.h>
#include <stddef.h>

struct inst_server;
struct inst_session;

#define INST_SERVER_FILES_KEY 32

typedef void inst_files_kept_fn(void *ctx, const struct inst_err *err);

/* Where the contents of files are (files.h). */
struct inst_files_ops {
    /* The secret that signs addresses: the same for as long as the contents are kept. */
    enum inst_status (*key)(void *ctx, uint8_t out[INST_SERVER_FILES_KEY], struct inst_err *err);
    /* Keeps bytes, taken also when this fails, as the content of a new location, durably. INST_OK:
     * kept is called once, never from inside; its err NULL: done. NULL: no streams (streams.h). */
    enum inst_status (*keep)(void *ctx, const char *app_id, const char *location, char *bytes_take,
                             size_t len, inst_files_kept_fn *kept, void *kept_ctx,
                             struct inst_err *err);
};

struct inst_server_host {
    void *ctx;
    /* One message for one connection; takes its own reference if it keeps the bytes. Neither send
     * nor close may call back into the engine. */
    void (*send)(void *ctx, void *connection, struct inst_shared *message);
    /* The engine is done with this connection (protocol abuse); the host closes it and then calls
     * inst_session_close. */
    void (*close)(void *ctx, void *connection);
    const struct inst_apps_ops *apps;
    void *apps_ctx;
    /* Bytes sent to the connection that it has not taken yet; NULL: taken as none. What is long and
     * goes in pieces (sync.h) waits while they are many, until inst_session_drained. */
    size_t (*backlog)(void *ctx, void *connection);
    const struct inst_files_ops *files; /* NULL: this host keeps no files */
    void *files_ctx;
    const struct inst_outgoing_ops *outgoing; /* NULL: this host asks no other servers */
    void *outgoing_ctx;
    const struct inst_backups_ops *backups; /* NULL: this host makes none */
    void *backups_ctx;
};

enum inst_status inst_server_new(const struct inst_env *env, const struct inst_server_host *host,
                                 struct inst_server **out, struct inst_err *err);
/* Commits what is pending, closes data files. Sessions must have been closed. */
void inst_server_free(struct inst_server *server);

/* Where this server is reached from outside, without a '/' at the end: what addresses that it gives
 * out begin with. Copied. is_guess: nobody said so, and who asks through a trusted proxy is
 * answered with the address he asked at. */
enum inst_status inst_server_set_origin(struct inst_server *server, const char *origin,
                                        bool is_guess, struct inst_err *err);

/* A connection was opened. The session is owned by the server until inst_session_close. */
enum inst_status inst_session_open(struct inst_server *server, void *connection,
                                   struct inst_session **out, struct inst_err *err);
/* Where its client is, for rules (permissions.md 3.1): the address and the Origin header, each ""
 * when it is not known. Copied; what is longer than these many bytes is not known. */
#define INST_SESSION_MAX_IP 45
#define INST_SESSION_MAX_ORIGIN 255
enum inst_status inst_session_set_caller(struct inst_session *session, const char *ip,
                                         const char *origin, struct inst_err *err);
/* One message's bytes (one JSON text). Everything wrong with it is answered as an `error` op. */
void inst_session_receive(struct inst_session *session, const char *bytes, size_t len);
void inst_session_close(struct inst_session *session);
/* The connection has taken all that was sent. Cheap; a turn may become pending. */
void inst_session_drained(struct inst_session *session);

/* Ends a turn: commits open groups, answers, refreshes. Cheap when there is nothing to do. */
void inst_server_turn(struct inst_server *server);
/* Is there anything for the next turn to do? */
bool inst_server_is_pending(const struct inst_server *server);
/* By the environment's clock: when a turn has something to do although nothing came; INT64_MAX: no
 * such time is known. It may change with every turn. */
int64_t inst_server_due_ms(const struct inst_server *server);

/* Opens the app, so that what it has to do by itself goes on: deliveries that were waiting when the
 * host ended. */
enum inst_status inst_server_resume_app(struct inst_server *server, const char *app_id,
                                        struct inst_err *err);

/* A day (UTC) has begun: live results get new addresses of files, before the old ones end
 * (files.h).
 */
void inst_server_renew_urls(struct inst_server *server);

/* Makes an app. schema: the JSON form of transactions.md 13.1, or NULL. expires_ms 0: never.
 * token gets the admin token, the only time it is known in clear. */
enum inst_status inst_server_create_app(struct inst_server *server, const char *title,
                                        const struct inst_value *schema, int64_t expires_ms,
                                        struct inst_app_info *info, char token[INST_UUID_TEXT + 1],
                                        struct inst_err *err);

/* The same with an id and a token (uuid texts) of the caller's choice; what else info says is
 * filled in but for the time. err: also "record-not-unique". */
enum inst_status inst_server_make_app(struct inst_server *server, struct inst_app_info *info,
                                      const char *token, const struct inst_value *schema,
                                      struct inst_err *err);
/* Nobody finds the app from now on; its sessions are closed. Its data file stays for a while
 * (io/apps.h). */
enum inst_status inst_server_remove_app(struct inst_server *server, const char *app_id,
                                        struct inst_err *err);
/* A new operator's token (operators.h), the only time it is known in clear. name: what it is for.
 */
#define INST_OPERATOR_TOKEN 68 /* without the NUL */
enum inst_status inst_server_add_operator(struct inst_server *server, const char *name,
                                          char token[INST_OPERATOR_TOKEN + 1],
                                          struct inst_err *err);
/* Has anybody a token? */
enum inst_status inst_server_has_operator(struct inst_server *server, bool *out,
                                          struct inst_err *err);

/* Every hour: removes every app whose time is over, and has the turns to come remove the deleted
 * attrs of open ones whose grace is over (purge.h). What cannot be removed waits for the next call.
 */
void inst_server_expire(struct inst_server *server);
/* May anybody make an app that expires (http.md 8.2)? Yes at first. */
void inst_server_allow_ephemeral(struct inst_server *server, bool is_allowed);

/* Makes the app "active", "read-only" or "disabled" (session.md 3.7, 6.6); its sessions are told.
 * err: "validation-failed" for another text, "record-not-found". */
enum inst_status inst_server_set_app_status(struct inst_server *server, const char *app_id,
                                            const char *status, struct inst_err *err);
enum inst_status inst_server_app_status(struct inst_server *server, const char *app_id,
                                        const char **status, struct inst_err *err);

/* Keeps the app open until it is released as often: *db is for reading, between turns (a copy of
 * the file). */
enum inst_status inst_server_hold_app(struct inst_server *server, const char *app_id,
                                      struct inst_app_db **db, struct inst_err *err);
void inst_server_release_app(struct inst_server *server, const char *app_id);

/* Counters, for tests and metrics. */
struct inst_server_stats {
    uint64_t received;         /* messages */
    uint64_t transactions;     /* committed */
    uint64_t commits;          /* groups */
    uint64_t computations_run; /* first runs and re-runs */
    uint64_t refreshes_sent;   /* messages */
    size_t sessions;
    size_t subscriptions;
    size_t computations; /* kept */
};
void inst_server_stats(const struct inst_server *server, struct inst_server_stats *out);

#endif
