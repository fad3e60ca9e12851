/*
 * reactor_internal.h - the reactor's state, shared by the files of this folder.
 *
 * Pending mutations, oldest first; new ones join at the end, any may leave:
 *
 *     pending   m1 <-> m2 <-> m3 <-> m4        order ascending, then event id
 *               tx 7   tx 9    sent   unsent   confirmed ones stay until every query has seen them
 *                                     ^ next_unsent
 *
 * A query's store is the server's result, never changed, with mutations layered on top by the
 * store's undo journal (session.md 5.9):
 *
 *     store  | server triples | attrs | m2 | m3 | m4 |
 *                             ^ base                 ^ layered_seq = m4.seq
 *
 *     a mutation joins at the end   apply it: the cost of its steps
 *     anything else changes         reactor.epoch moves on; roll back to base and apply again
 *
 * A mutation applies to a query while it has no tx-id, or one above the query's processed_tx_id.
 *
 * Events wait in one queue and are delivered as the last act of every public function. An event
 * that must not be lost (settling a promise) lives inside what it settles, so that queueing it
 * cannot fail.
 */
#ifndef INST_CLIENT_REACTOR_INTERNAL_H
#define INST_CLIENT_REACTOR_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/collate.h"
#include "base/uuid.h"
#include "client/map.h"
#include "client/persist.h"
#include "client/reactor.h"
#include "client/read_attrs.h"
#include "client/streams.h"
#include "client/sync_tables.h"
#include "instaml/transact.h"
#include "instaql/eval.h"
#include "instaql/hash.h"
#include "schema/schema.h"
#include "triples/mem_store.h"

/* An undrained frame queue longer than this makes pending mutations wait for the host. */
#define INST_REACTOR_SEND_AHEAD (1u << 20)
/* A block of steps that has grown to this takes no more. */
#define INST_REACTOR_STEPS_BLOCK (32u << 10)
/* Different error types of a server that are remembered by name. */
#define INST_REACTOR_MAX_TYPES 256
/* Results that are kept in memory for who subscribes again (the official client's default
 * queryCacheLimit). */
#define INST_PARKED_QUERIES 10
#define INST_PARKED_TRIPLES 100000
/* Characters that say whose something on disk is. */
#define INST_USER_TAG 32

/* ---- errors ---- */

/* An error as callbacks get it; owned. */
struct inst_problem {
    struct inst_err err;
    char *trace_id; /* owned; NULL when unknown */
};

/* ---- events ---- */

struct inst_event;

/* What an area does with its events. Both end the event's time in the queue. */
struct inst_event_ops {
    void (*deliver)(struct inst_reactor *r, struct inst_event *event); /* calls back */
    void (*drop)(struct inst_reactor *r, struct inst_event *event);    /* calls nobody */
};

/* First member of what carries it. */
struct inst_event {
    struct inst_event *next;
    const struct inst_event_ops *ops;
    bool is_queued;
};

/* A status change on its way. */
struct inst_status_event {
    struct inst_event event;
    enum inst_connection_status status;
    uint64_t only_instance;      /* 0: of all instances */
    struct inst_problem problem; /* with ERRORED */
    bool has_problem;
};

/* An error on its way to a query's listeners; holds a reference to the query. */
struct inst_query_problem_event {
    struct inst_event event;
    struct inst_live_query *query;
    uint64_t only_sub; /* 0: all listeners */
    struct inst_problem problem;
};

/* A failed mutation on its way to the listeners. */
struct inst_mutation_error_event {
    struct inst_event event;
    uint64_t instance; /* that wrote it; 0: unknown, all are told */
    bool is_told;      /* also to who waited for it */
    char event_id[INST_UUID_TEXT + 1];
    struct inst_problem problem;
};

/* ---- subscriptions ---- */

/* One callback. Unsubscribed ones stay in their list, dead, while events are being delivered. */
struct inst_sub {
    struct inst_sub *prev, *next; /* in its list, by id ascending */
    struct inst_sub_list *list;
    uint64_t id;
    uint64_t instance; /* that subscribed */
    bool is_dead;
    bool is_fresh; /* attrs, app status, user: waits for its first call */
    union {
        inst_query_fn *query;
        inst_mutation_error_fn *mutation_error;
        inst_connection_fn *status;
        inst_app_status_fn *app_status;
        inst_attrs_fn *attrs;
        inst_user_fn *user;
        inst_sync_fn *table;
        inst_writer_fn *writer;
        inst_reader_fn *reader;
        inst_presence_fn *presence;
        inst_topic_fn *topic;
    } fn;
    void *ctx;
    void *owner; /* whose listener it is: a query, a room; NULL: the reactor's */
    /* Called when it was unsubscribed, after its end; may be NULL. */
    void (*ended)(struct inst_reactor *r, void *owner);
    uint64_t seen; /* of a query: version of the data it was last given */
};

/* Zero is empty. Lists with subscriptions are in the reactor's list of them. */
struct inst_sub_list {
    struct inst_sub *first, *last;
    size_t live; /* those not dead */
    struct inst_sub_list *prev_list, *next_list;
    struct inst_reactor *r; /* while it is in that list */
};

/* ---- queries ---- */

/* What subscribers were last shown; counted, so that a callback may end the query. */
struct inst_shown {
    int refs;
    struct inst_arena arena;
    struct inst_value result; /* {"data", "pageInfo"?, "aggregate"?} */
};

/* A queryOnce without an answer. */
struct inst_once {
    struct inst_event event;                   /* settles it */
    struct inst_once *prev, *next;             /* all of the reactor, by deadline */
    struct inst_once *query_prev, *query_next; /* of its query */
    struct inst_live_query *query;             /* holds a reference */
    char event_id[INST_UUID_TEXT + 1];
    uint64_t instance; /* that asks */
    int64_t deadline;
    inst_query_fn *fn;
    void *ctx;
    struct inst_shown *shown; /* the answer; NULL: problem */
    struct inst_problem problem;
};

/* A query that somebody listens to. */
struct inst_live_query {
    struct inst_event event; /* its data may have changed; queued ones hold a reference */
    struct inst_kept kept;   /* the result */
    int refs;
    bool is_gone; /* nobody listens any more: out of the tables */
    struct inst_live_query *prev, *next;
    char key[INST_QUERY_HASH_TEXT + 1];
    char event_id[INST_UUID_TEXT + 1]; /* of its first add-query; used again on reconnect */
    struct inst_arena arena;           /* q and what belongs to it */
    struct inst_value q;
    struct inst_query *prepared;
    struct inst_sub_list subs;
    struct inst_once *first_once, *last_once;

    bool is_awaited;   /* add-query is on its way, its answer is not here */
    bool is_held_back; /* it is to be shown when nothing holds it any more */
    bool has_result;   /* the fields down to `raw` are set */
    struct inst_mem_store *store;
    uint64_t base;                  /* mark: the server's triples and nothing else */
    struct inst_arena result_arena; /* page_info, aggregate, raw */
    struct inst_value page_info;    /* wire form; UNDEFINED when none */
    struct inst_value aggregate;
    int64_t processed_tx_id; /* 0: not known */
    int64_t heard_tx_id;     /* of the newest result of this session; 0: none */
    struct inst_value raw;   /* the triples, kept while some are of unknown attrs; else UNDEFINED */

    struct inst_attrs *layer_attrs; /* the server's attrs that the layers stand on; a reference */
    uint64_t layer_epoch;           /* the reactor's when the layers were made; 0: none made */
    uint64_t layered_seq;           /* mutations up to here were considered */

    struct inst_shown *shown;     /* last delivered data; NULL: none, or an error came after it */
    uint64_t version;             /* counts changes of shown */
    struct inst_read_attrs reads; /* by the last evaluation */
    char *problem_text; /* message of the last local evaluation error delivered, or NULL */
};

/* ---- mutations ---- */

/* Who waits for a transaction. */
struct inst_tx_waiter {
    struct inst_event event;
    inst_transact_fn *fn;
    void *ctx;
    char event_id[INST_UUID_TEXT + 1];
    const char *status; /* "synced", "enqueued"; NULL: problem */
    struct inst_problem problem;
};

/* Steps of neighbouring mutations share memory: a block of one's own each would be mostly air. */
struct inst_steps_block {
    int refs; /* mutations, and the reactor while it fills it */
    struct inst_arena arena;
};

struct inst_mutation {
    struct inst_mutation *prev, *next;
    char event_id[INST_UUID_TEXT + 1];
    uint64_t instance;              /* that wrote it */
    uint64_t order;                 /* as sent; 1 + the largest pending one */
    uint64_t seq;                   /* place in the queue; never used twice */
    struct inst_steps_block *block; /* where steps are; a reference */
    struct inst_value steps;
    bool has_attr_steps;
    bool has_deletes;
    int64_t created;
    int64_t tx_id;        /* 0: not confirmed */
    int64_t confirmed_at; /* ms */
    bool is_in_flight;
    bool was_sent;                   /* at least once, by this process */
    int64_t ack_deadline;            /* while in flight */
    struct inst_mutation_page *page; /* of the disk where it is kept; NULL: nowhere */
    size_t page_bytes;               /* what it weighs there */
    bool is_held;                    /* nobody is told before it is on the disk */
    bool is_kept;                    /* it is */
    struct inst_tx_waiter *waiter;   /* NULL: nobody, or already told */
};

/* ---- output ---- */

struct inst_frame {
    struct inst_frame *next;
    size_t len;
    char bytes[]; /* len bytes and a NUL */
};

enum inst_transport {
    INST_TRANSPORT_NONE,
    INST_TRANSPORT_WANTED,     /* CONNECT is waiting to be drained */
    INST_TRANSPORT_CONNECTING, /* drained; the host is at it */
    INST_TRANSPORT_OPEN,
};

/* ---- the reactor ---- */

struct inst_reactor {
    struct inst_env env;
    struct inst_arena arena;          /* config: lives as long as the reactor */
    const char *app_id;               /* config.. */
    const char *admin_token;          /* NULL: none */
    struct inst_arena schema_arena;   /* the schema's: it may be replaced */
    const struct inst_schema *schema; /* NULL: none */
    struct inst_value singular_links; /* {etype: {label: true}}; UNDEFINED: no inference */
    bool disable_inference;
    struct inst_value versions; /* {"package": "version"} */
    bool use_date_objects;
    bool disable_validation;
    bool verbose;
    enum inst_reconnect reconnect;
    bool has_sse; /* ..config */

    struct inst_user *user; /* a reference; NULL: nobody, or not known yet */
    bool is_user_known;
    bool awaits_user; /* the host keeps it */
    struct inst_kept user_kept;
    char *session_id; /* owned; NULL before the first init-ok */
    bool is_shutdown;
    bool is_silent; /* nobody is called any more */
    bool is_online;

    enum inst_connection_status status;
    enum inst_transport transport;
    bool wants_close;                 /* CLOSE of the former transport is waiting to be drained */
    enum inst_via via;                /* of the transport, or of the last one */
    bool was_heard;                   /* a message came over it */
    unsigned attempts;                /* failed connections in a row */
    int64_t reconnect_at;             /* INST_REACTOR_NEVER: not scheduled */
    bool has_sent_init;               /* on this transport */
    char init_id[INST_UUID_TEXT + 1]; /* event id of the init that was sent last */
    struct inst_problem init_problem; /* with ERRORED */

    struct inst_frame *first_frame, *last_frame;
    struct inst_frame *drained; /* given to the host; freed by the next drain */
    size_t frame_bytes;

    bool is_app_known;
    const char *app_status; /* "active" "read-only" "disabled" */
    int64_t current_tx_id;  /* every result of this session is right up to it; 0: never said */

    struct inst_persist persist;
    struct inst_mutation_page *first_page, *last_page;    /* of the pending ones, by number */
    size_t held;                                          /* mutations on their way to the disk */
    struct inst_waiting_tx *first_waiting, *last_waiting; /* made before the storage was read */
    size_t waiting;
    struct inst_local_id *local_ids;
    size_t local_id_count;

    struct inst_kept attrs_kept;
    struct inst_attrs *attrs;      /* the server's; NULL before the first init-ok */
    struct inst_attrs *optimistic; /* with pending attr steps; NULL: to be made */

    struct inst_mutation *first, *last; /* pending */
    struct inst_mutation *next_unsent;  /* first one not sent on this connection; NULL: none */
    struct inst_map mutations;          /* by event id */
    struct inst_steps_block *block;     /* being filled; a reference, or NULL */
    size_t pending;
    size_t confirmed;
    size_t in_flight;
    size_t attr_mutations;   /* pending ones with attr steps */
    size_t delete_mutations; /* pending ones with delete-entity */
    uint64_t next_seq;
    uint64_t epoch; /* moves when the pending list changed other than at its end */
    int64_t ack_at; /* no ack deadline is earlier */
    struct inst_created_at created_at; /* times of local triples, for all stores */

    struct inst_map queries; /* by hash */
    struct inst_live_query *first_query, *last_query;
    size_t query_count;
    struct inst_live_query *first_parked, *last_parked; /* nobody's, oldest first */
    size_t parked_count, parked_triples;
    struct inst_once *first_once, *last_once;
    struct inst_collator *collator; /* NULL until first needed */

    struct inst_tables *tables;   /* sync tables; NULL: none was ever followed */
    struct inst_writers *writers; /* streams; NULL likewise */
    struct inst_readers *readers;
    struct inst_map rooms; /* by id */
    struct inst_room *first_room, *last_room;
    uint64_t instance; /* whose calls these are */

    struct inst_map subs; /* by id */
    uint64_t next_sub;
    struct inst_sub_list *sub_lists; /* those with subscriptions */
    struct inst_sub_list mutation_error_subs, status_subs, app_status_subs, attrs_subs, user_subs;
    struct inst_event app_status_event, attrs_event, user_event;
    bool app_status_changed; /* the event is for all listeners, not only for fresh ones */
    bool attrs_changed, user_changed;

    struct inst_event *first_event, *last_event;
    bool is_delivering;
    bool is_paused; /* events wait for inst_reactor_go_on */
    bool has_dead_subs;
    bool (*is_time_up)(void *ctx); /* NULL: never */
    void *time_ctx;

    const char *types[INST_REACTOR_MAX_TYPES]; /* error types that are no literal of ours */
    size_t type_count;
};

/* ---- reactor.c ---- */

int64_t inst_reactor_now(const struct inst_reactor *r);
uint64_t inst_reactor_seed(const struct inst_reactor *r);
void inst_reactor_log(struct inst_reactor *r, enum inst_log_level level, const char *fmt, ...)
    INST_PRINTF(3, 4);
/* problem (may be NULL) is moved. */
void inst_reactor_set_status(struct inst_reactor *r, enum inst_connection_status status,
                             struct inst_problem *problem);
/* The instance's listeners hear "closed"; the connection goes on. */
void inst_reactor_tell_closed(struct inst_reactor *r, uint64_t instance);
/* Asks for a new transport; an open one is closed, one being opened is kept. */
void inst_reactor_connect(struct inst_reactor *r);
/* The transport cannot go on (out of memory, too much output): closed, and connected anew, which
 * sends all state again. */
void inst_reactor_drop_transport(struct inst_reactor *r, const char *why);
bool inst_reactor_is_authenticated(const struct inst_reactor *r);
/* The session is over: every area forgets what was only true of it. */
void inst_reactor_connection_lost(struct inst_reactor *r);
void inst_reactor_set_app_status(struct inst_reactor *r, const char *status);
/* After a shutdown was delivered: ends all subscriptions and queries. */
void inst_reactor_forget_all(struct inst_reactor *r);
/* The app's view of the attrs changed. */
void inst_reactor_attrs_changed(struct inst_reactor *r);
/* Subscribes like `like`, unless shut down. */
enum inst_status inst_reactor_add_sub(struct inst_reactor *r, struct inst_sub_list *list,
                                      const struct inst_sub *like, uint64_t *id,
                                      struct inst_err *err);
/* Sends `init` on a transport that waits for it, as soon as all that it takes is known. */
void inst_reactor_begin_session(struct inst_reactor *r);
/* Connects anew and at once: the session is of a user who is gone. */
void inst_reactor_start_over(struct inst_reactor *r);

/* ---- user.c ---- */

enum inst_status inst_user_init(struct inst_reactor *r, const struct inst_reactor_config *config,
                                struct inst_err *err);
void inst_user_free(struct inst_reactor *r);
/* The user of `to`, which has none, is that of r. */
void inst_user_share(const struct inst_reactor *r, struct inst_reactor *to);
/* The server does not know the token: nobody is signed in any more. */
void inst_user_reject(struct inst_reactor *r);
void inst_user_load(struct inst_reactor *r);
void inst_user_is_unreadable(struct inst_reactor *r);
/* The same for the same user of the same instance, without saying who it is. */
void inst_user_tag(const struct inst_reactor *r, char out[INST_USER_TAG + 1]);

/* ---- rooms.c ---- */

/* After init-ok: enters what the app is in. */
void inst_rooms_resend(struct inst_reactor *r);
void inst_rooms_connection_lost(struct inst_reactor *r);
/* Ends everything, calling nobody. */
void inst_rooms_free(struct inst_reactor *r);
/* Messages by their op. */
void inst_rooms_join_ok(struct inst_reactor *r, const struct inst_value *msg);
void inst_rooms_leave_ok(struct inst_reactor *r, const struct inst_value *msg);
void inst_rooms_presence_ok(struct inst_reactor *r, const struct inst_value *msg);
void inst_rooms_refresh_presence(struct inst_reactor *r, const struct inst_value *msg);
void inst_rooms_patch_presence(struct inst_reactor *r, const struct inst_value *msg);
void inst_rooms_broadcast_ok(struct inst_reactor *r, const struct inst_value *msg);
void inst_rooms_server_broadcast(struct inst_reactor *r, const struct inst_value *msg);
void inst_rooms_join_error(struct inst_reactor *r, const struct inst_value *msg);
/* An `error` whose original op is one of rooms. */
void inst_rooms_error(struct inst_reactor *r, const struct inst_value *msg,
                      struct inst_problem *problem);

/* ---- messages.c ---- */

void inst_messages_receive(struct inst_reactor *r, const char *bytes, size_t len);
/* A transaction id: a positive integer that a double holds exactly; 0 for anything else. */
int64_t inst_messages_tx_id(const struct inst_value *v);
void inst_messages_init_ok(struct inst_reactor *r, const struct inst_value *msg);

/* ---- outbox.c ---- */

void inst_outbox_send_init(struct inst_reactor *r);
/* add-query, remove-query. */
void inst_outbox_send_query(struct inst_reactor *r, const char *op, const char *event_id,
                            const struct inst_value *q);
/* Any other op; members: OBJECT of literal keys. */
void inst_outbox_send_message(struct inst_reactor *r, const char *op, const char *event_id,
                              const struct inst_value *members);
/* false: could not be written; the transport was dropped. */
bool inst_outbox_send_mutation(struct inst_reactor *r, const struct inst_mutation *m);
void inst_outbox_clear(struct inst_reactor *r);

/* ---- events.c ---- */

void inst_events_push(struct inst_reactor *r, struct inst_event *event);
void inst_events_deliver(struct inst_reactor *r);
/* Frees what waits, calling nobody. */
void inst_events_drop(struct inst_reactor *r);
enum inst_status inst_subs_add(struct inst_reactor *r, struct inst_sub_list *list,
                               const struct inst_sub *like, struct inst_sub **out,
                               struct inst_err *err);
/* Dead at once; freed when nothing is being delivered. */
void inst_subs_end(struct inst_reactor *r, struct inst_sub *sub);
void inst_subs_drop_all(struct inst_reactor *r, struct inst_sub_list *list);
/* Before its owner is freed. */
void inst_subs_free(struct inst_sub_list *list);
/* Only those that were there when the event came get it; a list grows at its end only. last_id:
 * r->next_sub at the start of the delivery. */
bool inst_sub_is_due(const struct inst_sub *sub, uint64_t last_id);

/* ---- queries.c ---- */

struct inst_live_query *inst_queries_find(struct inst_reactor *r, const struct inst_value *q);
/* Whose listener it is; NULL: no query's. */
struct inst_live_query *inst_queries_of_sub(const struct inst_sub *sub);
void inst_queries_ref(struct inst_live_query *query);
void inst_queries_unref(struct inst_live_query *query);
/* Its last listener went: forgotten, and the server told. */
void inst_queries_cleanup(struct inst_reactor *r, struct inst_live_query *query);
/* Its data may have changed: listeners will be told if it did. */
void inst_queries_touch(struct inst_reactor *r, struct inst_live_query *query);
void inst_queries_touch_all(struct inst_reactor *r);
/* Those that a new mutation at the end of the queue may concern. */
void inst_queries_touch_for(struct inst_reactor *r, const struct inst_mutation *m);
/* Every listener gets a copy of problem; the last data counts as forgotten. */
void inst_queries_fail(struct inst_reactor *r, struct inst_live_query *query,
                       const struct inst_problem *problem);
void inst_queries_fail_all(struct inst_reactor *r, const struct inst_problem *problem);
/* Those waiting get the present data, if there is some. */
void inst_queries_settle_onces(struct inst_reactor *r, struct inst_live_query *query);
/* event_id NULL: all of the query; else the one that asked with it. */
void inst_queries_fail_onces(struct inst_reactor *r, struct inst_live_query *query,
                             const char *event_id, size_t event_id_len,
                             const struct inst_problem *problem);
/* Those of one instance. */
void inst_queries_fail_onces_of(struct inst_reactor *r, uint64_t instance,
                                const struct inst_problem *problem);
void inst_queries_expire(struct inst_reactor *r, int64_t now);
void inst_queries_resend(struct inst_reactor *r);
void inst_queries_connection_lost(struct inst_reactor *r);
/* Forgets all results; the queries stay. */
void inst_queries_forget_results(struct inst_reactor *r);
/* Ends everything, calling nobody. */
void inst_queries_free(struct inst_reactor *r);
void inst_shown_unref(struct inst_shown *shown);

/* ---- parked.c ---- */

/* The query, which its last listener left, is remembered. */
void inst_parked_put(struct inst_reactor *r, struct inst_live_query *query);
/* A new query gets the result of a remembered one like it. */
void inst_parked_take(struct inst_reactor *r, struct inst_live_query *query);
void inst_parked_clear(struct inst_reactor *r);

/* ---- kept_queries.c ---- */

void inst_queries_keep(struct inst_reactor *r, struct inst_live_query *query);
/* Asks for the kept result of a query that has none, once that is possible. */
void inst_queries_load(struct inst_reactor *r, struct inst_live_query *query);
void inst_queries_load_all(struct inst_reactor *r);
/* Results are not shown now: a write that they would show is on its way to the disk, or what is
 * pending is not known yet. */
bool inst_queries_are_held(const struct inst_reactor *r);
/* They may be again: those that were held back are. */
void inst_queries_unhold(struct inst_reactor *r);

/* ---- results.c ---- */

/* The server's answer for a query: nodes as instaql.md 3.1. */
enum inst_status inst_results_set(struct inst_reactor *r, struct inst_live_query *query,
                                  const struct inst_value *nodes, int64_t processed_tx_id,
                                  struct inst_err *err);
/* A kept result: {"store": {"triples"}, "pageInfo"?, "aggregate"?, "processedTxId"?}. */
enum inst_status inst_results_restore(struct inst_reactor *r, struct inst_live_query *query,
                                      const struct inst_value *result, struct inst_err *err);
/* The store holds the server's triples and nothing on top. */
enum inst_status inst_results_bare(struct inst_live_query *query, struct inst_err *err);
void inst_results_clear(struct inst_live_query *query);
/* `to` has the bare result of `from`, which has none then. */
void inst_results_move(struct inst_live_query *to, struct inst_live_query *from);
/* The server's attrs changed: results that had triples of unknown attrs are built again. */
void inst_results_attrs_changed(struct inst_reactor *r, struct inst_live_query *query);
/* Brings the layers up to date. */
enum inst_status inst_results_layer(struct inst_reactor *r, struct inst_live_query *query,
                                    struct inst_err *err);
/* Evaluates. *shown is the query's last one when nothing changed, else new; one reference. */
enum inst_status inst_results_show(struct inst_reactor *r, struct inst_live_query *query,
                                   struct inst_shown **shown, struct inst_err *err);

/* ---- mutations.c ---- */

/* The mutation's steps become a copy of these; may replace those it has. */
enum inst_status inst_mutations_keep_steps(struct inst_reactor *r, struct inst_mutation *m,
                                           const struct inst_value *steps, struct inst_err *err);
/* Sets has_attr_steps and has_deletes from the steps. */
void inst_mutations_classify(struct inst_mutation *m);
/* Was a pending one confirmed with a tx-id above `from`, up to `to`? */
bool inst_mutations_lie_between(const struct inst_reactor *r, int64_t from, int64_t to);
bool inst_mutations_apply_to(const struct inst_mutation *m, const struct inst_live_query *query);
void inst_mutations_send_more(struct inst_reactor *r);
/* After init-ok: everything unconfirmed is to be sent, in order. */
void inst_mutations_restart(struct inst_reactor *r);
void inst_mutations_connection_lost(struct inst_reactor *r);
struct inst_mutation *inst_mutations_find(struct inst_reactor *r, const struct inst_value *id);
void inst_mutations_confirm(struct inst_reactor *r, struct inst_mutation *m, int64_t tx_id);
/* problem is moved. */
void inst_mutations_fail(struct inst_reactor *r, struct inst_mutation *m,
                         struct inst_problem *problem);
void inst_mutations_fail_all(struct inst_reactor *r, const char *type, const char *message);
/* Those of one instance that are not confirmed. */
void inst_mutations_fail_of(struct inst_reactor *r, uint64_t instance,
                            const struct inst_problem *problem);
/* Whoever waits for writes of the instance is told the problem; the writes go on. */
void inst_mutations_abandon(struct inst_reactor *r, uint64_t instance,
                            const struct inst_problem *problem);
void inst_mutations_clean_by_queries(struct inst_reactor *r);
void inst_mutations_clean_by_time(struct inst_reactor *r);
void inst_mutations_expire(struct inst_reactor *r, int64_t now);
void inst_mutations_free(struct inst_reactor *r);
/* Are these tx-steps, as far as can be seen without a schema? */
bool inst_mutations_are_steps(const struct inst_value *steps);
/* One from the disk joins the queue at its end. False: it is there already, or out of memory. */
bool inst_mutations_restore(struct inst_reactor *r, struct inst_mutation *m);
/* What inst_reactor_transact does when nothing is in the way; never tells fn by itself when it
 * fails. */
enum inst_status inst_mutations_make(struct inst_reactor *r, const struct inst_value *value,
                                     bool are_steps, inst_transact_fn *fn, void *ctx,
                                     struct inst_err *err);
/* The waiter (may be NULL) is told, then the listeners of its instance. problem is moved. */
void inst_mutations_tell_failure(struct inst_reactor *r, struct inst_tx_waiter *waiter,
                                 uint64_t instance, const char *event_id,
                                 struct inst_problem *problem);
/* Of one that is in no queue. */
void inst_mutations_discard(struct inst_mutation *m);
/* It will be sent, whatever happens to this process. */
void inst_mutations_enqueued(struct inst_reactor *r, struct inst_mutation *m);
/* Shut down: what is kept is told so when it is, the rest fails. */
void inst_mutations_shutdown(struct inst_reactor *r);

/* ---- waiting_tx.c: transactions made before the storage was read ---- */

enum inst_status inst_waiting_add(struct inst_reactor *r, const struct inst_value *chunks,
                                  bool are_steps, inst_transact_fn *fn, void *ctx,
                                  struct inst_err *err);
/* Makes them, in order. */
void inst_waiting_resume(struct inst_reactor *r);
/* Those of the instance fail with the problem; are forgotten by who made them. */
void inst_waiting_abandon(struct inst_reactor *r, uint64_t instance,
                          const struct inst_problem *problem);
void inst_waiting_hush(struct inst_reactor *r, uint64_t instance);
void inst_waiting_shutdown(struct inst_reactor *r);
void inst_waiting_free(struct inst_reactor *r);

/* ---- kept_mutations.c ---- */

/* m, at the end of the queue, is kept; is_held: and nobody told before it is. */
enum inst_status inst_pages_add(struct inst_reactor *r, struct inst_mutation *m, bool is_held,
                                struct inst_err *err);
/* m is about to leave the queue. */
void inst_pages_remove(struct inst_reactor *r, struct inst_mutation *m);
/* m, about to leave the queue since it failed, may be on the disk: who is to hear of it (its waiter
 * and problem are taken) does so when it is known there that it failed. False: tell at once. */
bool inst_pages_fail_later(struct inst_reactor *r, struct inst_mutation *m,
                           struct inst_problem *problem);
void inst_pages_shutdown(struct inst_reactor *r);
/* Those of the instance who wait so are told now; are replaced by one who does nothing. */
void inst_pages_abandon(struct inst_reactor *r, uint64_t instance);
void inst_pages_hush(struct inst_reactor *r, uint64_t instance, inst_transact_fn *deaf);
/* m changed. now: somebody waits for it to be kept. */
void inst_pages_touch(struct inst_reactor *r, const struct inst_mutation *m, bool now);
/* These are the keys of kv. */
enum inst_status inst_pages_found(struct inst_reactor *r, const char *const *keys, size_t count,
                                  struct inst_err *err);
void inst_pages_load(struct inst_reactor *r);
/* What was loaded joins the queue. */
void inst_pages_restore(struct inst_reactor *r);
void inst_pages_free(struct inst_reactor *r);

/* ---- local_ids.c ---- */

void inst_local_ids_shutdown(struct inst_reactor *r);
/* Those of the instance are told the problem; are forgotten by who asked. */
void inst_local_ids_abandon(struct inst_reactor *r, uint64_t instance,
                            const struct inst_problem *problem);
void inst_local_ids_hush(struct inst_reactor *r, uint64_t instance);
void inst_local_ids_free(struct inst_reactor *r);

/* ---- known_attrs.c ---- */

/* attrs: ARRAY from the server. Rewrites what is pending; every query is touched. */
enum inst_status inst_known_attrs_set(struct inst_reactor *r, const struct inst_value *attrs,
                                      int64_t processed_tx_id, struct inst_err *err);
/* The attrs that a confirmed mutation added join the server's. */
enum inst_status inst_known_attrs_join(struct inst_reactor *r, const struct inst_mutation *m,
                                       struct inst_err *err);
/* The pending list changed: the app's view must be made again. */
void inst_known_attrs_stale(struct inst_reactor *r);
/* The server's attrs with pending attr steps; borrowed. NULL only when out of memory. */
struct inst_attrs *inst_known_attrs_view(struct inst_reactor *r, struct inst_err *err);

/* ---- problem.c ---- */

void inst_problem_clear(struct inst_problem *problem);
/* A copy; what cannot be allocated is left out. */
void inst_problem_copy(struct inst_problem *dst, const struct inst_problem *src);
/* From an `error` message (session.md 2.3). */
void inst_problem_of_message(struct inst_reactor *r, const struct inst_value *msg,
                             struct inst_problem *out);
/* A problem of our own, without an HTTP status. */
void inst_problem_local(struct inst_problem *out, const char *type, const char *message);
/* What a callback is given; borrows. */
struct inst_reactor_error inst_problem_view(const struct inst_problem *problem);

#endif
