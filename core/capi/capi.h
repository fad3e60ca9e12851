/*
 * capi.h - what stands behind instant.h.
 *
 *     instant_loop ── inst_loop
 *          ├───────── local backends (one per file, shared by all dbs)
 *          └───────── dbs ── inst_client ── reactor
 *                      └──── callbacks: {reactor's id, fn, ctx}
 *
 * A public value is an inst_value, a public error the five fields of an inst_err, copied or
 * borrowed. Callbacks of the reactor go through a function here that translates what they are
 * given; its ctx is a callback struct, which is gone before a function that is called once is
 * called. What may sit below a callback on the C stack (a db) is freed at the end of the turn.
 */
#ifndef INST_CAPI_CAPI_H
#define INST_CAPI_CAPI_H

#include "instant.h"

#include "base/err.h"
#include "base/value.h"
#include "client/map.h"
#include "io/client.h"
#include "io/local_backend.h"
#include "io/loop.h"
#include "io/vault.h"

struct instant_loop {
    struct inst_loop *loop;
    struct inst_local_backend *backends;
    struct instant_db *dbs;
    instant_log_fn *log;
    void *log_ctx;
};

/* A function of the program. */
struct inst_capi_callback {
    struct inst_capi_callback *prev, *next; /* of the db */
    struct instant_db *db;
    uint64_t id;      /* of the subscription, as the program knows it; 0: called once */
    uint64_t reactor; /* .. as the reactor does */
    bool is_in_room;  /* that reactor is the one of the db's own connection */
    union {
        instant_query_fn *query;
        instant_transact_fn *transact;
        instant_mutation_error_fn *mutation_error;
        instant_connection_fn *connection;
        instant_app_status_fn *app_status;
        instant_presence_fn *presence;
        instant_topic_fn *topic;
        instant_auth_fn *auth;
        instant_sign_in_fn *sign_in;
    } fn;
    void *ctx;
    bool holds; /* the loop runs for it */
};

struct instant_db {
    struct instant_db *prev, *next; /* on the loop */
    struct instant_loop *loop;
    struct inst_client *client;
    struct inst_local_backend *backend; /* NULL: over the network */
    struct inst_capi_callback *callbacks;
    struct inst_map subscriptions; /* callbacks by id */
    struct inst_deferred bury;     /* frees it once nothing of it is on the stack */
    uint64_t last_id;
    struct inst_capi_request *requests; /* under way */
    struct inst_vault *vault;           /* of the option; NULL: none */
    char *vault_name;                   /* of the user there */
    struct inst_secret kept;            /* what it holds, "" for nobody; no bytes: not known */
    struct inst_capi_keep *keeps;       /* on their way there */
    char *app_id;
    char *api_uri; /* http..., without a slash at its end; NULL: in-process */
    char *ca_file; /* NULL: the system's roots */
};

struct instant_error {
    const char *type, *message;
    const char *hint, *trace_id; /* may be NULL */
    int status;
};

struct instant_result {
    const struct inst_query_result *result;
};

/* ---- errors ---- */

/* Stores err as the caller's error, clears it, returns false. */
bool inst_capi_fail(struct instant_error **error, struct inst_err *err);
/* What a callback is given; borrows. */
struct instant_error inst_capi_view(const struct inst_reactor_error *error);

/* ---- values ---- */

static inline const struct inst_value *inst_capi_in(const struct instant_value *value) {
    return (const struct inst_value *)value;
}
static inline const struct instant_value *inst_capi_out(const struct inst_value *value) {
    return (const struct instant_value *)value;
}
/* The value to be used, a copy of the 16 bytes; UNDEFINED for NULL. err: it was built wrongly. */
enum inst_status inst_capi_take(const struct instant_value *value, struct inst_value *out,
                                struct inst_err *err);
/* What an argument is called in messages: "an array", "a string" ... */
const char *inst_capi_type_name(const struct inst_value *value);

/* ---- callbacks ---- */

enum inst_capi_kind {
    INST_CAPI_WATCH,  /* called again and again: a reason for the loop to run */
    INST_CAPI_LISTEN, /* the same, no reason */
    INST_CAPI_ONCE,
};
/* In the db's list; NULL: out of memory. */
struct inst_capi_callback *inst_capi_callback_new(struct instant_db *db, enum inst_capi_kind kind,
                                                  void *ctx);
void inst_capi_callback_free(struct inst_capi_callback *callback);
/* How a call ends that made a callback (NULL: it did not get so far). The callback may be gone when
 * status is INST_OK. */
bool inst_capi_finish(struct inst_capi_callback *callback, enum inst_status status,
                      struct inst_err *err, struct instant_error **error);

/* Frees db, calling nobody. */
void inst_capi_db_free(struct instant_db *db);

/* ---- HTTP ---- */

/* One of the two is NULL; answer is the JSON of a status 200. */
typedef void inst_capi_answer_fn(void *ctx, const struct inst_value *answer,
                                 const struct inst_reactor_error *error);
/* POSTs the object to the backend's route; fn (may be NULL) is called once, from the loop, unless
 * this fails. Holds the loop. */
enum inst_status inst_capi_post(struct instant_db *db, const char *route,
                                const struct inst_value *body, inst_capi_answer_fn *fn, void *ctx,
                                struct inst_err *err);
/* The end of a db: whoever waits is told "shutdown"; or nobody is told. */
void inst_capi_end_requests(struct instant_db *db, bool is_quiet);

/* ---- a vault ---- */

/* One of user and err is NULL, unless nobody is kept. */
typedef void inst_capi_kept_fn(void *ctx, const struct inst_value *user,
                               const struct inst_err *err);
/* Keeps who is about to be signed in; fn (may be NULL) is called once it is durable, at once
 * without a vault, unless this fails. */
enum inst_status inst_capi_keep_user(struct instant_db *db, const struct inst_value *user,
                                     inst_capi_kept_fn *fn, void *ctx, struct inst_err *err);
/* The user of a new db, as its vault knows it. scope: "local", or the address. */
enum inst_status inst_capi_vault_attach(struct instant_db *db, const char *scope,
                                        struct inst_err *err);
/* Whoever waits is told "shutdown". */
void inst_capi_end_keeps(struct instant_db *db);
void inst_capi_vault_free(struct instant_db *db);

/* ---- transactions ---- */

/* Steps as instant.h has them become chunks. */
enum inst_status inst_capi_chunks(struct inst_arena *arena, const struct inst_value *steps,
                                  struct inst_value *out, struct inst_err *err);

/* ---- options ---- */

/* What instant_init was given; texts live in arena. */
struct inst_capi_options {
    struct inst_client_config client;
    const char *local_path; /* NULL: over the network */
    const char *http_uri;   /* where HTTP requests go; NULL: in-process */
    bool has_vault;
    struct inst_vault_config vault;
};
enum inst_status inst_capi_options_read(struct inst_arena *arena, const struct inst_value *config,
                                        struct inst_capi_options *out, struct inst_err *err);

#endif
