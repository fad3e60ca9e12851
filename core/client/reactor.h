/*
 * reactor.h - one app's live connection, as a state machine without I/O (session.md 1.8, 5).
 *
 *          the host                          the reactor                         the app
 *     opened, message, closed ──>  queries    hash -> store + listeners   <── subscribe_query
 *     tick, set_online        ──>  pending    mutations in order          <── transact
 *     next_output  <── CONNECT SEND CLOSE     connection, timers          ──> callbacks
 *     next_deadline <── when to tick
 *
 * The host feeds bytes and the clock, and drains output after every call it makes. Nothing here
 * blocks, opens a socket or reads a clock: time, randomness and the log come from config.env.
 *
 * Callbacks. Every function below that takes a reactor may call back, always as its last act, and
 * never while the reactor is inside another callback: what a callback causes is delivered after it
 * returned. A callback may call anything here except inst_reactor_free, also unsubscribe itself or
 * others; what was unsubscribed is not called again. Everything a callback is given is borrowed
 * until it returns. A function that gives an id stores it before it calls anybody.
 *
 * A callback that settles something (transact, query_once) is called exactly once, at the latest
 * by inst_reactor_shutdown. inst_reactor_free calls nobody.
 *
 * Not thread-safe; one thread, one reactor.
 */
#ifndef INST_CLIENT_REACTOR_H
#define INST_CLIENT_REACTOR_H

#include "base/env.h"
#include "base/err.h"
#include "base/value.h"
#include "client/disk.h"
#include "triples/attrs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_reactor; /* opaque */

/* ---- limits ---- */

#define INST_REACTOR_MAX_QUERIES 10000  /* different queries at once */
#define INST_REACTOR_MAX_PENDING 100000 /* mutations waiting to be confirmed */
#define INST_REACTOR_MAX_OUTPUT                                                                    \
    (64u << 20)                            /* undrained bytes; beyond: the transport is dropped    \
                                            */
#define INST_REACTOR_QUERY_ONCE_MS 30000   /* queryOnce gives up */
#define INST_REACTOR_ACK_MS 6000           /* ack time-out for one mutation in flight */
#define INST_REACTOR_CONFIRMED_MS 30000    /* age at which a confirmed mutation may go */
#define INST_REACTOR_CLEANUP_THRESHOLD 200 /* ... when at least this many are pending */
#define INST_REACTOR_BACKOFF_FIRST_MS 250  /* second attempt; the first comes at once */
#define INST_REACTOR_BACKOFF_MAX_MS 10000
#define INST_REACTOR_BACKOFF_LINEAR_MS 1000 /* step of the official client */
#define INST_REACTOR_MAX_ROOMS 1000
#define INST_REACTOR_MAX_PEERS 100000 /* in one room */
#define INST_REACTOR_MAX_ROOM_QUEUE                                                                \
    (4u << 20) /* bytes of topic messages that wait for one room                                   \
                */
#define INST_REACTOR_NEVER INT64_MAX

/* ---- configuration ---- */

enum inst_reconnect {
    INST_RECONNECT_EXPONENTIAL = 0, /* 0, 250, 500 ... 10 s, each with jitter (50 to 100 %) */
    INST_RECONNECT_LINEAR,          /* 0, 1 s, 2 s ... 10 s: what the official client does */
};

/* What carries a connection. */
enum inst_via {
    INST_VIA_WEBSOCKET = 0,
    INST_VIA_SSE, /* server-sent events, and POST the other way (session.md 1.6) */
};

struct inst_package_version {
    const char *package; /* "@instantdb/core" */
    const char *version; /* "v1.0.67" */
};

/* Copied by inst_reactor_new; nothing needs to live longer than the call. Zero is the default. */
struct inst_reactor_config {
    const char *app_id;        /* required; trimmed, must be a uuid */
    const char *admin_token;   /* sent as __admin-token; may be NULL */
    const char *refresh_token; /* the user's; may be NULL (anonymous) */
    bool
        awaits_user; /* the host keeps the user: inst_reactor_user_loaded comes. Not with a token */
    const struct inst_value *schema; /* schema JSON (transactions.md 13.1); may be NULL */
    bool use_date_objects;           /* date attrs become DATE values */
    bool has_storage;        /* the host answers disk requests (disk.h); else all is in memory */
    bool disable_validation; /* of queries and transactions against the schema */
    bool disable_cardinality_inference; /* links of cardinality one stay lists in results */
    bool verbose;                       /* log every message at DEBUG */
    enum inst_reconnect reconnect;
    bool has_sse; /* the host can connect by server-sent events too */
    const struct inst_package_version *versions; /* beside the built-in @instantdb/core */
    size_t version_count;
    struct inst_env env; /* now_ms and random are required */
};

/* Creates a reactor that wants to connect: the first output is CONNECT.
 * err: "param-malformed" for a missing or malformed app id. */
enum inst_status inst_reactor_new(const struct inst_reactor_config *config,
                                  struct inst_reactor **out, struct inst_err *err);

/* Another schema (session.md 5.1), NULL: none. What comes is checked against it, and what is shown
 * is shaped by it from now on. Nothing has changed when this fails. */
enum inst_status inst_reactor_set_schema(struct inst_reactor *reactor,
                                         const struct inst_value *schema, struct inst_err *err);

/* Settles everything outstanding with type "shutdown", closes the transport, forgets all
 * subscriptions. Afterwards every call fails with "shutdown" or does nothing. May be called twice.
 * With a storage, pending mutations are kept, and who waits for one is told "enqueued" when it is:
 * go on answering disk requests until inst_reactor_is_flushed.
 */
void inst_reactor_shutdown(struct inst_reactor *reactor);

bool inst_reactor_is_shutdown(const struct inst_reactor *reactor);

/*
 * For a host that gives it little time at once: is_time_up is asked before each callback or result,
 * and when it says so the rest waits for inst_reactor_go_on, what later calls cause behind it. A
 * shutdown tells everybody at once all the same. NULL, as at first: nothing ever waits.
 */
void inst_reactor_pace(struct inst_reactor *reactor, bool (*is_time_up)(void *ctx), void *ctx);
/* Goes on, by one step at least; true when something still waits. */
bool inst_reactor_go_on(struct inst_reactor *reactor);

/* Nobody is called any more, whatever happens: before flushing and freeing. */
void inst_reactor_silence(struct inst_reactor *reactor);

/* Releases it without calling anybody; NULL is fine. Not from inside a callback. */
void inst_reactor_free(struct inst_reactor *reactor);

/* ---- instances ---- */

/* Several instances of the app may stand on one reactor, each with its own subscriptions, questions
 * and writes: those belong to the instance that is set when they are made, 1 at first, never 0.
 * Writes show in the results of all; their failures are told only to the one that wrote. */
void inst_reactor_set_instance(struct inst_reactor *reactor, uint64_t instance);
/* The shutdown of one instance: what it waits for is settled with type "shutdown", its
 * subscriptions end. Its writes still go out: the others have been shown them, some were told
 * "enqueued", and those that were sent cannot be called back. Of a write "shutdown" therefore says
 * no more than "timeout" does: nobody will be told what became of it. */
void inst_reactor_end_instance(struct inst_reactor *reactor, uint64_t instance);
/* The same without calling any of its callbacks. Not from inside a callback. */
void inst_reactor_forget_instance(struct inst_reactor *reactor, uint64_t instance);
/* The instance becomes instance 1 of `to`, which is new and of the same configuration: its
 * subscriptions go over, with their ids; what it waits for and has not sent is settled with type
 * "user-changed", for it moves to become another user. Nothing has changed when this fails, with
 * "connection-shared" when a stream is open, which cannot go over. Not with a storage. */
enum inst_status inst_reactor_move_instance(struct inst_reactor *reactor, uint64_t instance,
                                            struct inst_reactor *to, struct inst_err *err);

/* ---- the host's side: transport and clock ---- */

enum inst_output_kind {
    INST_OUTPUT_CONNECT, /* open a transport to the configured address, by `via` */
    INST_OUTPUT_CLOSE,   /* close the current one; nothing more is heard from it */
    INST_OUTPUT_SEND,    /* one text frame over the current one */
};

struct inst_output {
    enum inst_output_kind kind;
    const char *bytes; /* SEND: one JSON object; borrowed until the next call on the reactor */
    size_t len;
    enum inst_via via; /* CONNECT */
};

/* The next thing to do, in order; false when there is none. Drain after every call. */
bool inst_reactor_next_output(struct inst_reactor *reactor, struct inst_output *out);

/* A WebSocket that closes before its first message may be one that something in between does not
 * let through: the next attempt comes at once and goes by server-sent events, when config.has_sse.
 * [OURS] Every further round begins with a WebSocket again; the official client stays with
 * server-sent events (session.md 1.8). Only a change of user keeps what has just worked.
 *
 * There is at most one transport: the one of the last CONNECT. `closed` also reports that it could
 * not be opened. After CLOSE was drained the old transport must not be reported any more. Reports
 * that do not fit (a message without a transport) are ignored. */
void inst_reactor_opened(struct inst_reactor *reactor);
/* One JSON object or an array of them; anything else is logged and ignored. */
void inst_reactor_message(struct inst_reactor *reactor, const char *bytes, size_t len);
void inst_reactor_closed(struct inst_reactor *reactor);

/* Does what is due by env.now_ms. */
void inst_reactor_tick(struct inst_reactor *reactor);
/* When to tick at the latest, ms since the epoch; INST_REACTOR_NEVER: no need. */
int64_t inst_reactor_next_deadline(const struct inst_reactor *reactor);

/* What the host knows of the network; online until told otherwise. Equal values are ignored. */
void inst_reactor_set_online(struct inst_reactor *reactor, bool is_online);

/* ---- what callbacks are given ---- */

/* An error as the app sees it. Server errors keep their type, status, message and hint. */
struct inst_reactor_error {
    const struct inst_err *err; /* err->type lives as long as the reactor */
    const char *trace_id;       /* server traces, joined by commas; NULL when unknown */
    bool is_told; /* mutation errors: a callback of its own was told. Not so when that was told
                   * "enqueued" before, or the write is of a former run */
};

/* Exactly one of result and error is not NULL. */
struct inst_query_result {
    const struct inst_value *data;      /* OBJECT: etype -> ARRAY of objects (or one object) */
    const struct inst_value *page_info; /* OBJECT by etype, camelCase keys; NULL when none */
    const struct inst_value *aggregate; /* OBJECT by etype; NULL when none */
};
typedef void inst_query_fn(void *ctx, const struct inst_query_result *result,
                           const struct inst_reactor_error *error);

struct inst_transact_result {
    const char *status;   /* "synced": the server has it; "enqueued": it will be sent later */
    const char *event_id; /* uuid text, also the client-event-id on the wire */
};
typedef void inst_transact_fn(void *ctx, const struct inst_transact_result *result,
                              const struct inst_reactor_error *error);

/* ---- queries ---- */

/* Validates and subscribes; *id names the subscription (never 0). A cached result is delivered at
 * once; later ones only when they differ deeply. Copies q and rule_params (may be NULL).
 * err: "validation-failed" with the official text (thrown there); nothing is subscribed then. */
enum inst_status inst_reactor_subscribe_query(struct inst_reactor *reactor,
                                              const struct inst_value *q,
                                              const struct inst_value *rule_params,
                                              inst_query_fn *fn, void *ctx, uint64_t *id,
                                              struct inst_err *err);
/* Ends any subscription made here, of whatever kind; unknown ids are ignored. ctx is not used any
 * more once this returned. */
void inst_reactor_unsubscribe(struct inst_reactor *reactor, uint64_t id);

/* Asks the server once. fn is called exactly once unless this fails (then never): with the answer,
 * with "offline" at once, with "timeout" (`Query timed out`) after 30 s, with the server's error.
 */
enum inst_status inst_reactor_query_once(struct inst_reactor *reactor, const struct inst_value *q,
                                         const struct inst_value *rule_params, inst_query_fn *fn,
                                         void *ctx, struct inst_err *err);

/* ---- transactions ----
 *
 * Without a storage a write made while it cannot be sent is told "enqueued" and shown at once. With
 * one both wait until it is on the disk, and it fails with type "storage-failed" when it cannot get
 * there: what the app was told is never lost. */

/* chunks: one tx chunk or an ARRAY of them (instaml/chunks.h). Applied optimistically, sent when
 * possible. fn (may be NULL) is called exactly once unless this fails (then never).
 * err: "validation-failed" with the official text (thrown there, so returned here). Everything
 * else, also a chunk that cannot be expanded, reaches fn. */
enum inst_status inst_reactor_transact(struct inst_reactor *reactor,
                                       const struct inst_value *chunks, inst_transact_fn *fn,
                                       void *ctx, struct inst_err *err);
/* The same for ready tx-steps (transactions.md 3): attr steps, tools. */
enum inst_status inst_reactor_transact_steps(struct inst_reactor *reactor,
                                             const struct inst_value *steps, inst_transact_fn *fn,
                                             void *ctx, struct inst_err *err);

/* Called for every mutation that failed, after its own callback; also when its own callback had
 * been told "enqueued". */
typedef void inst_mutation_error_fn(void *ctx, const char *event_id,
                                    const struct inst_reactor_error *error);
enum inst_status inst_reactor_subscribe_mutation_errors(struct inst_reactor *reactor,
                                                        inst_mutation_error_fn *fn, void *ctx,
                                                        uint64_t *id, struct inst_err *err);
/* Mutations not yet confirmed and seen by all queries. */
size_t inst_reactor_pending_count(const struct inst_reactor *reactor);
/* Of these, the ones that the server has not confirmed: what would be lost with this process. */
size_t inst_reactor_unconfirmed_count(const struct inst_reactor *reactor);

/* ---- rooms (session.md 5.12) ----
 *
 * A room is known by its id alone; its type is only told to the server. A client is in it from
 * inst_reactor_join_room, or from its first listener, to inst_reactor_leave_room or the end of the
 * last listener, whichever comes later. That is remembered across reconnects.
 */

/* initial_presence (may be NULL): an OBJECT, what to show unless something is shown already.
 * err: "validation-failed", "limit-exceeded". */
enum inst_status inst_reactor_join_room(struct inst_reactor *reactor, const char *room_type,
                                        const char *room_id,
                                        const struct inst_value *initial_presence,
                                        struct inst_err *err);
/* Nothing while the room has listeners. Topic messages that still wait are dropped. */
void inst_reactor_leave_room(struct inst_reactor *reactor, const char *room_id);

/* Which part of a room's presence. Zero: all of it. */
struct inst_presence_options {
    const struct inst_value *keys;  /* ARRAY of strings: nothing but these; NULL: everything */
    const struct inst_value *peers; /* ARRAY of session ids: nobody but these; NULL: everybody */
    bool without_user;
    const struct inst_value *initial_presence; /* as for inst_reactor_join_room */
};

struct inst_presence_slice {
    const struct inst_value *user;  /* OBJECT with `peerId`; NULL: not asked for */
    const struct inst_value *peers; /* OBJECT by session id of OBJECTs with `peerId` */
    bool is_loading;                /* not connected to the room: peers are as last heard */
    bool has_error;
    struct inst_reactor_error error; /* why the server does not let us in, or show this */
};

/* What is known now, made in arena; out->peers is NULL when nothing is: not in the room, or just
 * about to be. */
enum inst_status inst_reactor_get_presence(struct inst_reactor *reactor, const char *room_id,
                                           const struct inst_presence_options *options,
                                           struct inst_arena *arena,
                                           struct inst_presence_slice *out, struct inst_err *err);

/* Shows `{...shown, ...partial}` to the others. err: "validation-failed": partial is no OBJECT, or
 * the room was not joined. */
enum inst_status inst_reactor_publish_presence(struct inst_reactor *reactor, const char *room_id,
                                               const struct inst_value *partial,
                                               struct inst_err *err);

/* Called when something is known, and when it changes: deeply, so that what the official client
 * compares as other objects with the same content calls nobody. Joins the room. options may be NULL
 * and is copied. Ended by inst_reactor_unsubscribe. */
typedef void inst_presence_fn(void *ctx, const struct inst_presence_slice *presence);
enum inst_status inst_reactor_subscribe_presence(struct inst_reactor *reactor,
                                                 const char *room_type, const char *room_id,
                                                 const struct inst_presence_options *options,
                                                 inst_presence_fn *fn, void *ctx, uint64_t *id,
                                                 struct inst_err *err);

/* To all others in the room who listen; waits until we are in. data may be NULL.
 * err: "validation-failed": the room was not joined; "limit-exceeded": too much waits. */
enum inst_status inst_reactor_publish_topic(struct inst_reactor *reactor, const char *room_id,
                                            const char *topic, const struct inst_value *data,
                                            struct inst_err *err);

/* Is there a topic message that is not sent, or has no answer yet? It would be lost with this
 * process. One without an answer is lost with the connection: it is not sent twice. */
bool inst_reactor_has_topics_waiting(const struct inst_reactor *reactor);

/* peer: what the sender showed when the message came; NULL: not known. Joins the room. */
typedef void inst_topic_fn(void *ctx, const struct inst_value *data, const struct inst_value *peer);
enum inst_status inst_reactor_subscribe_topic(struct inst_reactor *reactor, const char *room_type,
                                              const char *room_id, const char *topic,
                                              inst_topic_fn *fn, void *ctx, uint64_t *id,
                                              struct inst_err *err);

/* ---- the connection, the app, its attrs ---- */

enum inst_connection_status {
    INST_CONNECTION_CONNECTING, /* only at the start */
    INST_CONNECTION_OPENED,
    INST_CONNECTION_AUTHENTICATED,
    INST_CONNECTION_CLOSED,
    INST_CONNECTION_ERRORED, /* init was refused */
};
/* "connecting" "opened" "authenticated" "closed" "errored" */
const char *inst_connection_status_name(enum inst_connection_status status);
enum inst_connection_status inst_reactor_status(const struct inst_reactor *reactor);
/* error: with ERRORED, else NULL. No call with the present state when subscribing. */
typedef void inst_connection_fn(void *ctx, enum inst_connection_status status,
                                const struct inst_reactor_error *error);
enum inst_status inst_reactor_subscribe_connection_status(struct inst_reactor *reactor,
                                                          inst_connection_fn *fn, void *ctx,
                                                          uint64_t *id, struct inst_err *err);

struct inst_app_status {
    bool is_loading;    /* not known yet */
    bool is_read_only;  /* known, and not "active" */
    const char *status; /* "active" "read-only" "disabled"; NULL while loading */
};
typedef void inst_app_status_fn(void *ctx, const struct inst_app_status *status);
struct inst_app_status inst_reactor_app_status(const struct inst_reactor *reactor);
/* Called with the present state, then on every change. */
enum inst_status inst_reactor_subscribe_app_status(struct inst_reactor *reactor,
                                                   inst_app_status_fn *fn, void *ctx, uint64_t *id,
                                                   struct inst_err *err);

/* The attrs as the app sees them: the server's, with pending attr steps applied. One reference,
 * the caller's; NULL before the first init-ok when nothing is pending, or when out of memory. */
struct inst_attrs *inst_reactor_attrs(struct inst_reactor *reactor);
/* attrs is borrowed. Called with the present ones if known, then on every change. */
typedef void inst_attrs_fn(void *ctx, struct inst_attrs *attrs);
enum inst_status inst_reactor_subscribe_attrs(struct inst_reactor *reactor, inst_attrs_fn *fn,
                                              void *ctx, uint64_t *id, struct inst_err *err);

/* As it was given, without the space around it. */
const char *inst_reactor_app_id(const struct inst_reactor *reactor);
/* The session id of the last init-ok (also the peer id in rooms); NULL before. */
const char *inst_reactor_session_id(const struct inst_reactor *reactor);

/* ---- ids of this device ---- */

#define INST_LOCAL_ID_MAX 1000    /* names */
#define INST_LOCAL_ID_MAX_NAME 80 /* bytes: it becomes part of a file's name */

/* Exactly one of id and error is not NULL. */
typedef void inst_local_id_fn(void *ctx, const char *id, const struct inst_reactor_error *error);
/* A uuid that stays the same for this name, app and storage. fn is called exactly once unless this
 * fails (then never). err: "validation-failed" for a name that is too long. */
enum inst_status inst_reactor_local_id(struct inst_reactor *reactor, const char *name, size_t len,
                                       inst_local_id_fn *fn, void *ctx, struct inst_err *err);

/* ---- the user (session.md 5.11) ---- */

/* The record {id, refresh_token, email?, ...}; NULL: nobody is signed in, or not known yet.
 * Borrowed until the user changes. */
const struct inst_value *inst_reactor_user(const struct inst_reactor *reactor);
/* False until what was kept of the user is read; `init` waits for it. */
bool inst_reactor_is_user_known(const struct inst_reactor *reactor);
/* The same record again does nothing. For another person (another `id`; without one, another token)
 * drops all results and rejects pending mutations with type "user-changed"; for another token
 * reconnects at once. Copies; NULL: nobody. err: "validation-failed" when it is no object. */
enum inst_status inst_reactor_set_user(struct inst_reactor *reactor, const struct inst_value *user,
                                       struct inst_err *err);
/* With config.awaits_user: who it is, once, NULL for nobody. Does nothing when the user was set
 * meanwhile. */
enum inst_status inst_reactor_user_loaded(struct inst_reactor *reactor,
                                          const struct inst_value *user, struct inst_err *err);
/* user: NULL for nobody. Called with the present one as soon as it is known, then on every change,
 * also when the server does not know the token (`init` refused with record-not-found, app-user),
 * which makes it nobody. */
typedef void inst_user_fn(void *ctx, const struct inst_value *user);
enum inst_status inst_reactor_subscribe_user(struct inst_reactor *reactor, inst_user_fn *fn,
                                             void *ctx, uint64_t *id, struct inst_err *err);

/* Somebody known by the refresh token alone; NULL: nobody. The same token again does nothing. */
enum inst_status inst_reactor_set_refresh_token(struct inst_reactor *reactor, const char *token,
                                                struct inst_err *err);
/* The token in use; NULL when anonymous. */
const char *inst_reactor_refresh_token(const struct inst_reactor *reactor);

#endif
