/*
 * engine.h - the engine's own structs. Only for server/ itself.
 *
 *     server ─┬─ app ─┬─ group: answers that wait for the commit, changes
 *             │       ├─ catalog (with the group's writes), committed (without)
 *             │       ├─ live ── computations ──┐
 *             │       └─ sessions               ├─ subscription (session x computation)
 *             └─ session (also before init) ────┘
 *
 * A message that must not run beside an open group (a query, `init`) makes its session wait: the
 * message and all later ones of the session are kept until the turn has committed.
 */
#ifndef INST_SERVER_ENGINE_H
#define INST_SERVER_ENGINE_H

#include "base/arena.h"
#include "base/collate.h"
#include "server/catalog.h"
#include "server/changes.h"
#include "server/features.h"
#include "server/feed.h"
#include "server/jobs.h"
#include "server/limits.h"
#include "server/live.h"
#include "server/permissions.h"
#include "server/reply.h"
#include "server/server.h"
#include "server/sync.h"
#include "server/table.h"
#include "server/transaction.h"

struct inst_waiting {
    struct inst_waiting *next;
    size_t len;
    char bytes[];
};

struct inst_event_stream; /* http_sse.c */

struct inst_session {
    struct inst_server *server;
    void *connection;
    struct inst_event_stream *stream; /* of one over server-sent events, else NULL; owned */
    char id[INST_UUID_TEXT + 1];
    char *ip, *origin;         /* of the client; NULL: not known. Owned */
    struct inst_app *app;      /* NULL before init */
    struct inst_viewer viewer; /* as of init (session.md 6.5) */
    bool infers;               /* results in tree form: `inference?` of an admin's stream */
    bool wants_current;        /* `init` said so: told when all its results are current (app.c) */
    int64_t current_tx;        /* as of which it was last told */
    struct inst_features features;
    struct inst_peer *peers; /* itself in each room it is in */
    size_t room_count;
    struct inst_table queries; /* hash of q -> struct inst_subscription */
    size_t sync_count;
    bool wants_drained; /* something waits for its connection */
    struct inst_stream_reader *readers;
    struct inst_stream *written; /* streams whose writer it is */
    size_t reader_count, written_count;
    bool has_waited; /* for a stream's flush, perhaps still */
    struct inst_waiting *waiting, **waiting_end;
    size_t waiting_bytes;
    struct inst_session *next_waiting; /* in the server's list, while there is something to do */
    bool is_listed_waiting;
    struct inst_session *next, *previous;         /* of the server */
    struct inst_session *app_next, *app_previous; /* of the app */
};

/* What the app takes (session.md 3.7). */
enum inst_app_state { INST_APP_ACTIVE, INST_APP_READ_ONLY, INST_APP_DISABLED };

/* What a transact is told after the commit. */
struct inst_answer {
    struct inst_session *session; /* NULL: closed meanwhile */
    int64_t tx_id;                /* transact-ok */
    char *event_id;               /* JSON text of client-event-id; owned */
    struct inst_shared *refusal;  /* instead: the error message */
};

struct inst_app {
    struct inst_server *server;
    struct inst_app_info info;
    struct inst_app_db *db;
    struct inst_catalog *catalog;
    struct inst_catalog *committed;
    struct inst_live *live;
    struct inst_sync *syncs;
    struct inst_session *sessions;
    struct inst_table rooms; /* hash of the id -> struct inst_room */
    enum inst_app_state state;
    bool is_removed;           /* nobody finds it any more; closed when its sessions are gone */
    struct inst_table streams; /* id -> struct inst_stream, of those in use */
    struct inst_jobs *jobs;
    struct inst_webhooks *webhooks;
    struct inst_rules *rules;
    struct inst_rate_limits *rate_limits; /* NULL until a rule asks */
    int64_t last_tx;                      /* committed */
    int64_t made_tx;                      /* with those of the open group */
    int64_t made_ms;                      /* when the last transaction says it was */
    bool is_group_open;
    bool has_quiet_writes; /* the group wrote what is not logged: it is committed all the same */
    struct inst_answer *answers;
    size_t answer_count, answer_cap;
    struct inst_changes changes;
    struct inst_feed *feeds[INST_FEED_MAX_KEPT]; /* not in use (feed.h) */
    struct inst_reaction *reactions;             /* of the functions of this generation */
    uint64_t reactions_of;
    bool has_reaction_work;
    bool has_purge;             /* deleted attrs whose grace is over (purge.h) */
    unsigned holds;             /* inst_server_hold_app */
    struct inst_app *next_open; /* in the server's list of open groups */
    struct inst_app *next;
    uint64_t used; /* the server's turn that last touched it */
};

struct inst_pending_upload;
struct inst_cli_login;
struct inst_platform_ask;
struct inst_function_ops;
struct inst_reaction;
struct inst_reaction_app;

struct inst_server {
    const struct inst_env *env;
    struct inst_server_host host;
    const struct inst_function_ops *functions; /* NULL: the owners of apps added nothing */
    void *functions_ctx;
    uint64_t functions_generation;           /* grows with each other set of them */
    bool has_reaction_work, wants_reactions; /* for the next turn */
    int64_t reactions_due_ms;                /* 0: not known */
    struct inst_reaction_app *reaction_apps; /* reactions.c: to be opened */
    struct inst_tracer tracer;
    struct inst_collator *collator; /* NULL until needed */
    uint64_t seed;
    uint64_t turn;
    char machine_id[INST_UUID_TEXT + 1]; /* of this process, for event streams */
    struct inst_table streams;           /* id -> session over server-sent events */
    struct inst_table apps_by_id;
    struct inst_app *apps;
    size_t app_count, removed_count; /* open ones; of them those that are removed */
    struct inst_app *open_groups;
    struct inst_room *listed_rooms;       /* with something to tell or to clear away */
    char instance_id[INST_UUID_TEXT + 1]; /* as rooms show it; empty until needed */
    struct inst_session *sessions;
    struct inst_session *waiting, **waiting_end;
    char *origin; /* NULL: not known */
    bool is_origin_guess;
    bool has_no_ephemeral;               /* nobody but operators makes apps */
    struct inst_pending_upload *uploads; /* http_upload.c: addresses given out, oldest first */
    size_t upload_count;
    struct inst_rate_limits *code_limits; /* of magic codes; NULL until needed */
    struct inst_later *laters;            /* routes that wait for other servers */
    size_t later_count;
    struct inst_document *documents;         /* of other servers (documents.c) */
    size_t delivery_count;                   /* of webhooks, on their way */
    struct inst_polls *polls;                /* NULL until needed */
    struct inst_cli_login *cli_logins;       /* http_cli_login.c: newest first */
    struct inst_platform_ask *platform_asks; /* http_platform.c: newest first */
    struct inst_arena scratch;               /* of the message at hand */
    bool is_busy;                            /* a message is being handled */
    struct inst_resume *resumes;             /* jobs.c: apps to be opened for their jobs */
    bool has_resumed;                        /* they were asked for */
    bool has_sync_work; /* the next turn has something to send to sync tables */
    struct inst_server_stats stats;
};

/* ---- server.c ---- */
/* Sends the buffer's bytes to one session and frees the buffer. Out of memory: the connection is
 * closed, for a reply that cannot be made must not be missed silently. */
void inst_server_send(struct inst_session *session, struct inst_buf *buf);
void inst_server_send_error(struct inst_session *session, const struct inst_err *err,
                            const struct inst_value *event);
struct inst_shared *inst_server_error_bytes(struct inst_session *session,
                                            const struct inst_err *err,
                                            const struct inst_value *event);

/* ---- app.c ---- */
/* The open app of this id, opening it when needed. */
enum inst_status inst_app_get(struct inst_server *server, const char *id, struct inst_app **out,
                              struct inst_err *err);
/* The same for an app that was just made. */
void inst_app_free(struct inst_app *app);
void inst_app_close_idle(struct inst_server *server);
/* One transaction in the app's group, which is opened when needed. *tx_id is that of the first
 * transaction when the event was seen before; *is_repeated says so. */
struct inst_tx_source {
    const struct inst_viewer *viewer;
    const struct inst_uuid *event; /* NULL: none */
    struct inst_rules *rules;      /* to try out; NULL: the app's */
    /* Gets every check of the rules; then nothing is denied. NULL: the rules decide. */
    inst_tx_verdict_fn *report;
    void *report_ctx;
    bool at_any_status; /* also while the app takes no writes: signing out */
};
enum inst_status inst_app_transact(struct inst_app *app, const struct inst_value *steps,
                                   const struct inst_tx_source *source, int64_t *tx_id,
                                   bool *is_repeated, struct inst_err *err);
/* One transaction in a group of its own. keep is asked with its writes in the store and says
 * whether they stay; *is_kept: they are durable. Not for apps with an open group. */
typedef enum inst_status inst_keep_fn(void *ctx, bool *keep, struct inst_err *err);
enum inst_status inst_app_try(struct inst_app *app, const struct inst_value *steps,
                              const struct inst_tx_source *source, inst_keep_fn *keep, void *ctx,
                              int64_t *tx_id, bool *is_kept, struct inst_err *err);
/* A transaction of the engine's own rows ($files, ...), which may write the system's columns;
 * durable when it returns INST_OK, with all that was in the group. */
enum inst_status inst_app_transact_now(struct inst_app *app, const struct inst_value *steps,
                                       const char *who, struct inst_err *err);
/* What jobs do: fn in a savepoint of the app's group; the caller commits. */
enum inst_status inst_app_run(struct inst_app *app, inst_tx_fn *fn, void *ctx, const char *who,
                              struct inst_err *err);
/* Gives up the open group of a job. */
void inst_app_give_up(struct inst_app *app, const struct inst_err *why);
/* Puts an answer behind those that wait for the commit. false when out of memory. */
bool inst_app_answer_later(struct inst_app *app, struct inst_answer answer);
/* Sends the answers that wait; only while no group is open. */
void inst_app_answer_now(struct inst_app *app);
void inst_app_forget_session(struct inst_app *app, struct inst_session *session);
/* Commits the open group, answers, refreshes. */
void inst_app_commit(struct inst_app *app);
/* What was written past transactions (import.h) is committed; the catalog as it is now. */
void inst_app_loaded(struct inst_app *app, struct inst_catalog *catalog);
/* inst_server_create_app under the id that info has, if any, and with its expiry. */
enum inst_status inst_server_create_app_as(struct inst_server *server, const char *title,
                                           const struct inst_value *schema,
                                           struct inst_app_info *info,
                                           char token[INST_UUID_TEXT + 1], struct inst_err *err);
/* Keeps a note (bytes NULL: removes it), durable when it returns; no group is open. */
enum inst_status inst_app_set_note(struct inst_app *app, const char *key, const char *bytes,
                                   size_t len, struct inst_err *err);
/* ---- app_status.c ---- */
/* "active" "read-only" "disabled" */
const char *inst_app_status_name(enum inst_app_state state);
bool inst_app_find_state(const struct inst_value *name, enum inst_app_state *out);
/* As kept; part of opening the app. */
enum inst_status inst_app_read_status(struct inst_app *app, struct inst_err *err);
/* Commits what is pending, keeps the state and tells every session, when it is another. */
enum inst_status inst_app_set_status(struct inst_app *app, enum inst_app_state state,
                                     struct inst_err *err);
/* `app-disabled`; for writes also `app-read-only`. Admins are no exception (session.md 6.6). */
enum inst_status inst_app_check_read(const struct inst_app *app, struct inst_err *err);
enum inst_status inst_app_check_write(const struct inst_app *app, struct inst_err *err);
/* Does the session's connection take more of what goes in pieces? If not, the session is told. */
bool inst_session_takes(struct inst_session *session);

/* ---- ops ---- */
/* One message of a session that has an app; false: it has to wait for the group's commit, nothing
 * was done then. */
typedef bool inst_op_fn(struct inst_session *session, const struct inst_value *event);
/* room_ops.c */
inst_op_fn inst_session_join_room, inst_session_leave_room, inst_session_set_presence,
    inst_session_client_broadcast;

/* ---- http_cli_login.c ---- */
void inst_cli_logins_free(struct inst_server *server);

/* ---- http_upload.c ---- */
void inst_uploads_free(struct inst_server *server);

/* ---- session.c ---- */
/* Handles one message; false: it has to wait for the commit. */
bool inst_session_handle(struct inst_session *session, const char *bytes, size_t len);
/* What a successful `init` does, for sessions whose opener has shown who they are. Only while no
 * group of the app is open, and once. */
void inst_session_enter(struct inst_session *session, struct inst_app *app,
                        const struct inst_viewer *viewer);
void inst_session_leave_app(struct inst_session *session);

/* ---- http_sse.c ---- */
/* Part of inst_session_close. */
void inst_event_stream_close(struct inst_session *session);

#endif
