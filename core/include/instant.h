/*
 * instant.h - Instant for C: live queries, transactions, rooms and users of an InstantDB app.
 *
 *     struct instant_loop *loop = instant_loop_new(NULL);
 *     struct instant_builder *b = instant_builder_new();
 *     struct instant_db *db = instant_init(loop, instant_parse(b, "{\"apiURI\":\"local:app.db\"}"),
 *                                          NULL);
 *     instant_subscribe_query(db, instant_parse(b, "{\"todos\":{}}"), NULL, on_todos, NULL, NULL,
 *                             NULL);
 *     instant_builder_clear(b);
 *     while (game_is_on)
 *         instant_step(loop, 500); // once a frame, for half a millisecond
 *     instant_loop_free(loop);
 *     instant_builder_free(b);
 *
 * The names, the shapes of queries, transactions and results, and the texts of errors are those of
 * the official client, @instantdb/core 1.0.67.
 *
 * Ownership. What a function named *_new or instant_init returns is the caller's until the function
 * named in its comment ends it. Whatever a call is given is copied if it is kept: it may be freed
 * when the call returns. `const` pointers that are returned or given to a callback are borrowed:
 * unless said otherwise, until that callback returns. An error that a call stores is the caller's,
 * to be freed with instant_error_free.
 *
 * Failure. Calls that can fail return false or NULL and, unless `error` is NULL, store what went
 * wrong; on success they store nothing. That includes being out of memory. Wrong arguments of C (a
 * NULL loop, a freed handle) are the program's own mistake and not checked.
 *
 * Callbacks run on the caller's thread: inside instant_step, instant_wait and instant_run, and
 * inside calls that a db is given, behind all else that such a call does. They may call anything
 * here but instant_step, instant_wait, instant_run and instant_loop_free; to end their own
 * subscription or db is fine. None runs after its subscription or its db was ended.
 *
 * Threads. A loop with everything on it belongs to one thread at a time. A process that makes a
 * loop ignores SIGPIPE from then on, unless it has a handler of its own.
 */
#ifndef INSTANT_H
#define INSTANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define INSTANT_API __attribute__((visibility("default")))
#else
#define INSTANT_API
#endif

#define INSTANT_VERSION "0.1.0"

struct instant_loop;
struct instant_db;
struct instant_value;
struct instant_builder;
struct instant_error;

/* Version of the library, INSTANT_VERSION of its header. Lives forever. */
INSTANT_API const char *instant_version(void);

/* Frees what a function here returned as `char *`; NULL is fine. */
INSTANT_API void instant_free(void *memory);

/* ---- errors ---- */

/* All texts live as long as the error. */

/* "validation-failed", "permission-denied", "timeout", "offline", "shutdown", "out-of-memory" ...
 */
INSTANT_API const char *instant_error_type(const struct instant_error *error);
/* One or more sentences; never NULL. */
INSTANT_API const char *instant_error_message(const struct instant_error *error);
/* What the backend adds, JSON text of an object; NULL: nothing. */
INSTANT_API const char *instant_error_hint(const struct instant_error *error);
/* Trace ids of the backend, joined by commas; NULL: none. */
INSTANT_API const char *instant_error_trace_id(const struct instant_error *error);
/* HTTP status; 0 when it has none. */
INSTANT_API int instant_error_status(const struct instant_error *error);
/* NULL is fine. Not for errors that a callback is given. */
INSTANT_API void instant_error_free(struct instant_error *error);

/* ---- the loop ---- */

/* Everything that waits: sockets, names being resolved, timers. Ended by instant_loop_free. */
INSTANT_API struct instant_loop *instant_loop_new(struct instant_error **error);
/* Ends every db that is left, calling nobody, then the loop. NULL is fine. */
INSTANT_API void instant_loop_free(struct instant_loop *loop);

/* For a host with a loop of its own: before it waits, ask for the timeout; wait until the
 * descriptor is readable or the time is over; then instant_step. Do so too after calls of your own.
 */

/* Readable when there is something to do. The same for the loop's life; not to be read or closed.
 */
INSTANT_API int instant_loop_fd(struct instant_loop *loop);
/* Milliseconds after which instant_step is due though the descriptor is silent; 0: now; -1: never.
 */
INSTANT_API int instant_loop_timeout(struct instant_loop *loop);

/* Does what is ready, without waiting, for about budget_us microseconds at most; something always,
 * also with 0. Results that are left over come with the next steps, one after the other, and what
 * your calls cause meanwhile behind them; only reading one message, or evaluating and handing out
 * one result, is not cut short. True: there is more to do right now. */
INSTANT_API bool instant_step(struct instant_loop *loop, int budget_us);
/* Waits until something was done, timeout_ms milliseconds at most (-1: as long as it takes). False,
 * at once, when nothing is left to wait for: no subscription, no question, no write on its way. */
INSTANT_API bool instant_wait(struct instant_loop *loop, int timeout_ms);
/* Runs until nothing is left to wait for, or instant_stop. */
INSTANT_API void instant_run(struct instant_loop *loop);
INSTANT_API void instant_stop(struct instant_loop *loop);

enum instant_log_level {
    INSTANT_LOG_ERROR,
    INSTANT_LOG_WARN,
    INSTANT_LOG_INFO,
    INSTANT_LOG_DEBUG,
};
typedef void instant_log_fn(void *ctx, enum instant_log_level level, const char *line);
/* Lines up to the level go to fn; NULL: to stderr. At first warnings go to stderr. */
INSTANT_API void instant_set_log(struct instant_loop *loop, enum instant_log_level level,
                                 instant_log_fn *fn, void *ctx);

#define INSTANT_ID_SIZE 37
/* A new id for an entity, a random UUID, with its NUL. */
INSTANT_API void instant_id(struct instant_loop *loop, char id[INSTANT_ID_SIZE]);

/* ---- reading values ---- */

/* Values are never changed. NULL is what is absent: every function takes it, so that
 * instant_value_get(instant_value_at(todos, 0), "title") needs no checks on its way. */

enum instant_type {
    INSTANT_ABSENT,
    INSTANT_NULL,
    INSTANT_BOOL,
    INSTANT_NUMBER,
    INSTANT_STRING,
    INSTANT_ARRAY,
    INSTANT_OBJECT,
    INSTANT_DATE, /* in results with the option useDateObjects */
};

INSTANT_API enum instant_type instant_value_type(const struct instant_value *value);
/* Items of an array, members of an object; else 0. */
INSTANT_API size_t instant_value_count(const struct instant_value *value);
/* The item, or the member's value; NULL beyond the end. */
INSTANT_API const struct instant_value *instant_value_at(const struct instant_value *value,
                                                         size_t index);
/* The key of an object's member, `len` bytes of UTF-8 without a NUL; NULL beyond the end. */
INSTANT_API const char *instant_value_key(const struct instant_value *object, size_t index,
                                          size_t *len);
/* The member with this key; NULL: none. */
INSTANT_API const struct instant_value *instant_value_get(const struct instant_value *object,
                                                          const char *key);
/* A number, or a date's milliseconds since 1970; else `otherwise`. */
INSTANT_API double instant_value_number(const struct instant_value *value, double otherwise);
INSTANT_API bool instant_value_bool(const struct instant_value *value, bool otherwise);
/* `len` bytes of UTF-8, which may hold NUL and end without one; NULL when it is no string. */
INSTANT_API const char *instant_value_string(const struct instant_value *value, size_t *len);
/* Is it the string `text`? */
INSTANT_API bool instant_value_is(const struct instant_value *value, const char *text);
/* As much of the string as fits, with a NUL; "" when it is none. Returns the string's length. */
INSTANT_API size_t instant_value_copy(const struct instant_value *value, char *buffer, size_t size);
/* JSON text, the caller's to instant_free; NULL: out of memory. */
INSTANT_API char *instant_value_json(const struct instant_value *value, size_t *len);

/* ---- making values ---- */

/* A builder owns the values that it makes, until it is cleared or freed. A mistake (a key outside
 * of an object, text that is no JSON, no memory) makes a value that every call refuses, with what
 * was wrong as its error: there is nothing to check while building. */

/* NULL: out of memory. Ended by instant_builder_free. */
INSTANT_API struct instant_builder *instant_builder_new(void);
/* Frees all values it made, and forgets mistakes. */
INSTANT_API void instant_builder_clear(struct instant_builder *builder);
INSTANT_API void instant_builder_free(struct instant_builder *builder);

/* The value of a JSON text. */
INSTANT_API const struct instant_value *instant_parse(struct instant_builder *builder,
                                                      const char *json);
INSTANT_API const struct instant_value *instant_parse_n(struct instant_builder *builder,
                                                        const char *json, size_t len);

/* Piece by piece: a scalar, or an object or array from its begin to its instant_build_end. In an
 * object a key precedes each value. */
INSTANT_API void instant_build_object(struct instant_builder *builder);
INSTANT_API void instant_build_array(struct instant_builder *builder);
INSTANT_API void instant_build_end(struct instant_builder *builder);
INSTANT_API void instant_build_key(struct instant_builder *builder, const char *key);
INSTANT_API void instant_build_null(struct instant_builder *builder);
INSTANT_API void instant_build_bool(struct instant_builder *builder, bool value);
INSTANT_API void instant_build_number(struct instant_builder *builder, double value);
INSTANT_API void instant_build_string(struct instant_builder *builder, const char *text);
INSTANT_API void instant_build_string_n(struct instant_builder *builder, const char *bytes,
                                        size_t len);
/* Milliseconds since 1970. */
INSTANT_API void instant_build_date(struct instant_builder *builder, double ms);
/* A copy. */
INSTANT_API void instant_build_value(struct instant_builder *builder,
                                     const struct instant_value *value);
/* The finished value; what is built next is another one. */
INSTANT_API const struct instant_value *instant_built(struct instant_builder *builder);

/* ---- a client of an app ---- */

/* config: an object with the options of the official client's init. Here they are
 *
 *   appId             string, the app's id; may be left out with "local:"
 *   apiURI            "http://host:port", "https://...", or "local:PATH" for a backend inside this
 *                     process with its data in that file ("local::memory:" keeps nothing)
 *   websocketURI      derived from apiURI when left out
 *   adminToken        string
 *   refreshToken      string, of the user to be signed in
 *   schema            object, as `instant.i.schema` or the official i.schema makes it
 *   useDateObjects    true: date attributes come as INSTANT_DATE
 *   disableValidation true: queries and transactions are not checked against the schema
 *   verbose           true: every message is logged at INSTANT_LOG_DEBUG
 *   caFile            CA certificates to trust for TLS instead of the system's
 *   connectTimeout    milliseconds to open a connection in
 *   reconnect         "linear": wait as the official client does; else exponential with jitter
 *   storage           where results, unsent writes and the user are kept: "memory" (at first),
 *                     "file:FOLDER" or "sqlite:FILE". What is in one is not lost with the process.
 *                     The user's record is never in plain text there: it is in the desktop's
 *                     keychain where one answers, else in an encrypted file with its key beside the
 *                     storage (mode 0600), else in memory with a warning
 *   vault             who keeps the user instead: "keychain", "memory", or an object {"file",
 *                     "passphrase"} or {"file", "keyFile"} (AES-256-GCM; a key file is made when
 *                     neither it nor the file is there). Opened at once, which may take a moment;
 *                     what keeps it from being read is an error of type "vault" here, and nothing
 *                     is overwritten. A user is kept before a sign-in is told, or not signed in.
 *                     What a storage knew of the user is moved there. Not with refreshToken
 *   shareConnection   false: a connection of its own. Else clients with the same app, address, user
 *                     and options share one, each with its own subscriptions and its own end
 *
 * Connects by itself, and again when the connection is lost. Ended by instant_shutdown. Fails at
 * once only for wrong options. */
INSTANT_API struct instant_db *instant_init(struct instant_loop *loop,
                                            const struct instant_value *config,
                                            struct instant_error **error);
/* Settles what is outstanding with type "shutdown" (those callbacks may run inside this call), ends
 * all subscriptions; db is gone when it returns. Of a write "shutdown" says that nobody will be
 * told of it: one on its way may be applied. What was not sent goes out over a connection that
 * others still share, stays in a storage for the next start, and is lost without either. */
INSTANT_API void instant_shutdown(struct instant_db *db);
/* Lives as long as the db. */
INSTANT_API const char *instant_app_id(const struct instant_db *db);

/* Ends a subscription of any kind; ids that are none any more are ignored. Ids are never 0. */
INSTANT_API void instant_unsubscribe(struct instant_db *db, uint64_t subscription);

/* ---- queries ---- */

struct instant_result;
/* An object: namespace -> array of entities (objects), with linked entities inside. */
INSTANT_API const struct instant_value *instant_result_data(const struct instant_result *result);
/* An object by namespace, with startCursor, endCursor, hasNextPage ...; NULL when there is none. */
INSTANT_API const struct instant_value *
instant_result_page_info(const struct instant_result *result);
INSTANT_API const struct instant_value *
instant_result_aggregate(const struct instant_result *result);

/* Exactly one of result and error is not NULL. */
typedef void instant_query_fn(void *ctx, const struct instant_result *result,
                              const struct instant_error *error);

/* Calls fn with the result as soon as it is known (at once when it is already) and whenever it
 * changes, own writes included before the backend has them. query: InstaQL. rule_params: an object
 * for the permission rules; may be NULL. subscription (may be NULL) is stored before fn is called.
 * error: the query is invalid. */
INSTANT_API bool instant_subscribe_query(struct instant_db *db, const struct instant_value *query,
                                         const struct instant_value *rule_params,
                                         instant_query_fn *fn, void *ctx, uint64_t *subscription,
                                         struct instant_error **error);
/* Asks the backend once; fn is called exactly once, unless this call fails (then never): with the
 * answer, or with an error of type "offline", "timeout" (30 s), "shutdown", or of the backend. */
INSTANT_API bool instant_query_once(struct instant_db *db, const struct instant_value *query,
                                    const struct instant_value *rule_params, instant_query_fn *fn,
                                    void *ctx, struct instant_error **error);

/* ---- transactions ---- */

/* status: "synced" when the backend has it, "enqueued" when it will be sent later; NULL: error. */
typedef void instant_transact_fn(void *ctx, const char *status, const char *event_id,
                                 const struct instant_error *error);

/* Applies the steps at once to what subscriptions show and sends them, all or nothing. steps: an
 * array of steps, or one step:
 *
 *     ["create", namespace, id, {attr: value, ...}]
 *     ["update", namespace, id, {attr: value, ...}, {"upsert": false}?]
 *     ["merge",  namespace, id, {attr: object, ...}, {"upsert": false}?]
 *     ["link",   namespace, id, {label: id or [id, ...]}]         and "unlink"
 *     ["delete", namespace, id]
 *     ["ruleParams", namespace, id, {name: value, ...}]
 *
 * id: a UUID, or ["attr", value] for the entity with that value of a unique attribute. Chunks of
 * the official client, {"__etype", "__ops"}, are taken as well.
 *
 * fn (may be NULL) is called exactly once, unless this call fails (then never). Every failure is
 * told to instant_subscribe_mutation_errors too. error: the steps are invalid. */
INSTANT_API bool instant_transact(struct instant_db *db, const struct instant_value *steps,
                                  instant_transact_fn *fn, void *ctx, struct instant_error **error);

typedef void instant_mutation_error_fn(void *ctx, const char *event_id,
                                       const struct instant_error *error);
/* Every write that failed, also when its own callback had been told "enqueued". */
INSTANT_API bool instant_subscribe_mutation_errors(struct instant_db *db,
                                                   instant_mutation_error_fn *fn, void *ctx,
                                                   uint64_t *subscription,
                                                   struct instant_error **error);
/* Writes that the backend has not confirmed: what would be lost with this process. */
INSTANT_API size_t instant_pending(struct instant_db *db);

/* ---- the connection and the app ---- */

/* "connecting" "opened" "authenticated" "closed" "errored"; lives forever. */
INSTANT_API const char *instant_connection_status(struct instant_db *db);
/* error: with "errored" (the backend refused the session), else NULL. */
typedef void instant_connection_fn(void *ctx, const char *status,
                                   const struct instant_error *error);
/* Calls fn on every change, not with the present state. */
INSTANT_API bool instant_subscribe_connection_status(struct instant_db *db,
                                                     instant_connection_fn *fn, void *ctx,
                                                     uint64_t *subscription,
                                                     struct instant_error **error);

/* status: "active" "read-only" "disabled"; NULL while it is not known. */
typedef void instant_app_status_fn(void *ctx, const char *status);
/* Calls fn with the present status and on every change. */
INSTANT_API bool instant_subscribe_app_status(struct instant_db *db, instant_app_status_fn *fn,
                                              void *ctx, uint64_t *subscription,
                                              struct instant_error **error);

/* ---- rooms ---- */

/* A room is known by its id; its type groups rooms with the same kind of presence. A db is in it
 * from instant_join_room, or from its first subscription, to instant_leave_room or the end of the
 * last one, whichever comes later; that is remembered across reconnects. To the others the db is
 * one peer: rooms go over a connection of its own. */

/* presence (may be NULL): an object to show at once, unless something is shown already. */
INSTANT_API bool instant_join_room(struct instant_db *db, const char *room_type,
                                   const char *room_id, const struct instant_value *presence,
                                   struct instant_error **error);
/* Nothing while the room has subscriptions. */
INSTANT_API void instant_leave_room(struct instant_db *db, const char *room_id);
/* Shows {...shown, ...presence} to the others. error: the room was not joined. */
INSTANT_API bool instant_publish_presence(struct instant_db *db, const char *room_id,
                                          const struct instant_value *presence,
                                          struct instant_error **error);

struct instant_presence;
/* What this db shows, an object with `peerId`; NULL: not asked for. */
INSTANT_API const struct instant_value *
instant_presence_user(const struct instant_presence *presence);
/* What the others show: an object of objects by their peer ids. */
INSTANT_API const struct instant_value *
instant_presence_peers(const struct instant_presence *presence);
/* Not connected to the room: the peers are as last heard. */
INSTANT_API bool instant_presence_is_loading(const struct instant_presence *presence);
/* Why the backend does not let us in; NULL: it does. */
INSTANT_API const struct instant_error *
instant_presence_error(const struct instant_presence *presence);
typedef void instant_presence_fn(void *ctx, const struct instant_presence *presence);
/* Joins the room; calls fn when something is known and whenever it changes. options (may be NULL):
 * an object of
 *
 *     keys            ["name", ...]   nothing but these of each
 *     peers           [peerId, ...]   nobody but these
 *     withoutUser     true            not what this db shows
 *     initialPresence {...}           as for instant_join_room */
INSTANT_API bool instant_subscribe_presence(struct instant_db *db, const char *room_type,
                                            const char *room_id,
                                            const struct instant_value *options,
                                            instant_presence_fn *fn, void *ctx,
                                            uint64_t *subscription, struct instant_error **error);

/* To all others in the room who subscribed to the topic; waits until we are in. data may be NULL.
 * error: the room was not joined, or too much waits. */
INSTANT_API bool instant_publish_topic(struct instant_db *db, const char *room_id,
                                       const char *topic, const struct instant_value *data,
                                       struct instant_error **error);
/* peer: what the sender showed when the message came; NULL: not known. */
typedef void instant_topic_fn(void *ctx, const struct instant_value *data,
                              const struct instant_value *peer);
/* Joins the room; calls fn for each message of others. */
INSTANT_API bool instant_subscribe_topic(struct instant_db *db, const char *room_type,
                                         const char *room_id, const char *topic,
                                         instant_topic_fn *fn, void *ctx, uint64_t *subscription,
                                         struct instant_error **error);

/* ---- users ---- */

/* Who is signed in: the record {"id", "email"?, "refresh_token", ...}; NULL: nobody. Borrowed until
 * the user changes or the db ends. */
INSTANT_API const struct instant_value *instant_user(struct instant_db *db);
/* user NULL: nobody. */
typedef void instant_auth_fn(void *ctx, const struct instant_value *user);
/* Calls fn with who is signed in as soon as that is known, and on every change. */
INSTANT_API bool instant_subscribe_auth(struct instant_db *db, instant_auth_fn *fn, void *ctx,
                                        uint64_t *subscription, struct instant_error **error);

/* A change of the user drops all results and makes unsent writes fail with type "user-changed";
 * live queries are asked again as the new one. Clients that shared the connection keep theirs. */

/* Called exactly once, unless the call fails (then never), when the user is signed in. Exactly one
 * of user and error is not NULL. */
typedef void instant_sign_in_fn(void *ctx, const struct instant_value *user,
                                const struct instant_error *error);
/* With a refresh token, such as the admin SDK's createToken gives. */
INSTANT_API bool instant_sign_in_with_token(struct instant_db *db, const char *token,
                                            instant_sign_in_fn *fn, void *ctx,
                                            struct instant_error **error);
/* As a new user without an email. */
INSTANT_API bool instant_sign_in_as_guest(struct instant_db *db, instant_sign_in_fn *fn, void *ctx,
                                          struct instant_error **error);
/* Sends a code to the address; fn is called with user NULL in any case. */
INSTANT_API bool instant_send_magic_code(struct instant_db *db, const char *email,
                                         instant_sign_in_fn *fn, void *ctx,
                                         struct instant_error **error);
/* With that code. A guest who is signed in becomes this user. */
INSTANT_API bool instant_sign_in_with_magic_code(struct instant_db *db, const char *email,
                                                 const char *code, instant_sign_in_fn *fn,
                                                 void *ctx, struct instant_error **error);
/* At once here; the backend is told to forget the token, which is not waited for. */
INSTANT_API bool instant_sign_out(struct instant_db *db, struct instant_error **error);

#ifdef __cplusplus
}
#endif

#endif
