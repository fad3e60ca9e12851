/*
 * computation.h - what live.c, computation.c and refresh.c share.
 *
 *     live.c          who subscribes to what: sessions come, go, part and come together
 *     computation.c   one query of one viewer: made, compiled, run, forgotten
 *     refresh.c       after a commit: which computations run again, and who is told
 */
#ifndef INST_SERVER_COMPUTATION_H
#define INST_SERVER_COMPUTATION_H

#include "server/engine.h"
#include "server/evaluation.h"
#include "server/limits.h"
#include "server/live.h"
#include "server/names.h"
#include "server/split.h"

struct inst_computation {
    struct inst_live *live;
    char *key; /* viewer, return-type, canonical q */
    size_t key_len;
    struct inst_table_key hash;         /* of the key */
    struct inst_computation *next_same; /* another key with this hash */
    char *q;                            /* JSON, as first asked */
    size_t q_len;
    struct inst_names names;
    struct inst_query *query; /* compiled; NULL: not kept */
    size_t compiled_place;    /* in live->compiled, while query is set */
    bool was_used;            /* since the clock last passed */
    struct inst_live_form form;
    struct inst_viewer viewer; /* its user and where it comes from only as far as `split` says */
    struct inst_split split;   /* by_user: only for sessions of this user (or of nobody) */
    char *ip, *origin;         /* owned: what viewer.from says */
    bool has_params;           /* q has $$ruleParams */
    uint64_t rules_seen;       /* live->rules_version as of its last run */
    struct inst_read_set reads;
    bool has_result;  /* `result` is what subscribers have */
    bool is_outdated; /* its last run failed, or it waits to run */
    bool is_queued;   /* in live->queue */
    bool is_guarded;  /* its last run looked at rules */
    /* while it is queued: why; NULL past touched_count. must_run: not because of a few triples */
    const struct inst_change *touched[INST_LIVE_MAX_TOUCHES];
    uint32_t touched_count;
    bool must_run;
    int64_t url_day;   /* of the addresses of files in the last result; 0: there are none */
    bool is_retrying;  /* in live->retries: failed for no fault of the query */
    char *result;      /* `,"result":...` without its key: see inst_live_write_result */
    size_t result_len; /* of the result itself */
    char *meta;        /* "null" or the tree's */
    size_t meta_len;
    struct inst_result_hash sum;
    struct inst_subscription **subscriptions;
    size_t count, cap;
    struct inst_computation *next_queued;
};

struct inst_subscription {
    struct inst_session *session;
    struct inst_computation *computation;
    size_t index; /* in the computation's list */
    struct inst_table_key q_hash;
    char *q; /* canonical; owned */
    size_t q_len;
    struct inst_subscription *next_same; /* of the session, same q_hash */
};

struct inst_live {
    struct inst_app *app;
    struct inst_read_index index;
    struct inst_table by_key;
    size_t count;
    struct inst_computation *compiled[INST_SERVER_MAX_COMPILED]; /* a clock of those kept */
    size_t hand;
    struct inst_computation *queue, **queue_end;
    struct inst_computation **retries;
    size_t retry_count, retry_cap;
    uint64_t rules_version;
    bool is_catalog_new; /* while inst_live_refresh runs: attrs changed */
    struct inst_arena scratch;
};

/* Of a canonical q, or of a computation's key. */
struct inst_table_key inst_live_hash(const struct inst_live *live, const char *text, size_t len);
/* New attrs may lead a query to rows that not everybody sees alike: then each user's subscriptions
 * leave the shared computation. true: nobody is left and it is gone. */
bool inst_live_part_viewers(struct inst_computation *computation);

/* ---- computation.c ---- */

/* Takes the key. */
enum inst_status inst_computation_new(struct inst_live *live, char *key_take, size_t key_len,
                                      const struct inst_value *q, struct inst_live_form form,
                                      const struct inst_viewer *viewer, struct inst_split split,
                                      struct inst_computation **out, struct inst_err *err);
/* It has no subscriptions. */
void inst_computation_free(struct inst_computation *computation);
struct inst_computation *inst_computation_find(const struct inst_live *live, const char *key,
                                               size_t len);
/* Runs it and keeps what it read; *changed: the result is not the one kept. */
enum inst_status inst_computation_run(struct inst_computation *computation, bool *changed,
                                      struct inst_err *err);
/* It is queued: can what it was queued for have changed its result? What a no depends on joins what
 * it read. */
bool inst_computation_needs_run(struct inst_computation *computation);
/* On: every commit runs it again, until a run succeeds. */
void inst_computation_set_retrying(struct inst_live *live, struct inst_computation *computation,
                                   bool on);
/* Addresses of files end some days after they were made. */
bool inst_computation_has_old_urls(const struct inst_computation *computation);

/* ---- refresh.c ---- */

/* Runs it and tells its subscribers of a new result, or of a failure. */
void inst_refresh_run(struct inst_computation *computation);
void inst_refresh_write(struct inst_computation *computation, bool with_attrs,
                        struct inst_buf *buf);
/* The result, to all subscribers. */
void inst_refresh_send(struct inst_computation *computation);

#endif
