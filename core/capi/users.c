/* users.c - who is signed in, and how one gets there (session.md 5.11, http.md). */
#include "capi/capi.h"

/* ---- who it is ---- */

const struct instant_value *instant_user(struct instant_db *db) {
    return inst_capi_out(inst_reactor_user(inst_client_reactor(db->client)));
}

static void on_user(void *ctx, const struct inst_value *user) {
    const struct inst_capi_callback *callback = ctx;
    callback->fn.auth(callback->ctx, inst_capi_out(user));
}

bool instant_subscribe_auth(struct instant_db *db, instant_auth_fn *fn, void *ctx,
                            uint64_t *subscription, struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_capi_callback *callback = inst_capi_callback_new(db, INST_CAPI_WATCH, ctx);
    enum inst_status status = callback ? INST_OK : inst_err_nomem(&err);
    if (callback) {
        callback->fn.auth = fn;
        if (subscription)
            *subscription = callback->id;
        status = inst_reactor_subscribe_user(inst_client_reactor(db->client), on_user, callback,
                                             &callback->reactor, &err);
    }
    return inst_capi_finish(callback, status, &err, error);
}

/* ---- signing in ---- */

static void tell(struct inst_capi_callback *callback, const struct inst_value *user,
                 const struct inst_reactor_error *error) {
    instant_sign_in_fn *fn = callback->fn.sign_in;
    void *ctx = callback->ctx;
    inst_capi_callback_free(callback);
    struct instant_error view = error ? inst_capi_view(error) : (struct instant_error){0};
    if (fn)
        fn(ctx, inst_capi_out(user), error ? &view : NULL);
}

static void on_sent(void *ctx, const struct inst_value *answer,
                    const struct inst_reactor_error *error) {
    (void)answer;
    tell(ctx, NULL, error);
}

static void on_kept(void *ctx, const struct inst_value *user, const struct inst_err *err) {
    struct inst_capi_callback *callback = ctx;
    struct inst_err own = {0};
    struct inst_reactor_error error = {.err = err ? err : &own};
    enum inst_status status = INST_OK;
    if (!err)
        status = inst_client_set_user(callback->db->client, user, &own);
    tell(callback, !err && status == INST_OK ? user : NULL,
         err || status != INST_OK ? &error : NULL);
    inst_err_clear(&own);
}

static void on_signed_in(void *ctx, const struct inst_value *answer,
                         const struct inst_reactor_error *error) {
    struct inst_capi_callback *callback = ctx;
    struct instant_db *db = callback->db;
    const struct inst_value *user = answer ? inst_getz(answer, "user") : NULL;
    struct inst_err err = {0};
    struct inst_reactor_error own = {.err = &err};
    enum inst_status status = INST_OK;
    if (!error && (!user || user->tag != INST_OBJECT))
        status = inst_err_set(&err, "unknown", 0, "The backend's answer has no user.");
    if (!error && status == INST_OK &&
        (status = inst_capi_keep_user(db, user, on_kept, callback, &err)) == INST_OK)
        return;
    tell(callback, NULL, status == INST_OK ? error : &own);
    inst_err_clear(&err);
}

struct body {
    struct inst_arena arena;
    struct inst_object_builder members;
};

static void begin(struct body *body, const struct instant_db *db) {
    inst_arena_init(&body->arena);
    inst_object_begin(&body->members, &body->arena);
    inst_object_addz(&body->members, "app-id", inst_cstring(db->app_id));
}

/* Sends it and frees it. */
static bool post(struct instant_db *db, const char *route, struct body *body,
                 inst_capi_answer_fn *answered, instant_sign_in_fn *fn, void *ctx,
                 struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_value whole;
    struct inst_capi_callback *callback = NULL;
    enum inst_status status =
        inst_object_end(&body->members, &whole) ? INST_OK : inst_err_nomem(&err);
    if (status == INST_OK && !(callback = inst_capi_callback_new(db, INST_CAPI_ONCE, ctx)))
        status = inst_err_nomem(&err);
    if (status == INST_OK) {
        callback->fn.sign_in = fn;
        status = inst_capi_post(db, route, &whole, answered, callback, &err);
    }
    inst_arena_free(&body->arena);
    return inst_capi_finish(callback, status, &err, error);
}

bool instant_sign_in_with_token(struct instant_db *db, const char *token, instant_sign_in_fn *fn,
                                void *ctx, struct instant_error **error) {
    struct body body;
    begin(&body, db);
    inst_object_addz(&body.members, "refresh-token", inst_cstring(token));
    return post(db, "/runtime/auth/verify_refresh_token", &body, on_signed_in, fn, ctx, error);
}

bool instant_sign_in_as_guest(struct instant_db *db, instant_sign_in_fn *fn, void *ctx,
                              struct instant_error **error) {
    struct body body;
    begin(&body, db);
    return post(db, "/runtime/auth/sign_in_guest", &body, on_signed_in, fn, ctx, error);
}

bool instant_send_magic_code(struct instant_db *db, const char *email, instant_sign_in_fn *fn,
                             void *ctx, struct instant_error **error) {
    struct body body;
    begin(&body, db);
    inst_object_addz(&body.members, "email", inst_cstring(email));
    return post(db, "/runtime/auth/send_magic_code", &body, on_sent, fn, ctx, error);
}

/* The refresh token of a guest who is signed in; NULL. */
static const char *guest_token(struct instant_db *db) {
    struct inst_reactor *reactor = inst_client_reactor(db->client);
    const struct inst_value *user = inst_reactor_user(reactor);
    const struct inst_value *type = user ? inst_get_string(user, "type") : NULL;
    return type && inst_is_string(type, "guest") ? inst_reactor_refresh_token(reactor) : NULL;
}

bool instant_sign_in_with_magic_code(struct instant_db *db, const char *email, const char *code,
                                     instant_sign_in_fn *fn, void *ctx,
                                     struct instant_error **error) {
    struct body body;
    const char *guest = guest_token(db);
    begin(&body, db);
    inst_object_addz(&body.members, "email", inst_cstring(email));
    inst_object_addz(&body.members, "code", inst_cstring(code));
    if (guest)
        inst_object_addz(&body.members, "refresh-token", inst_cstring(guest));
    return post(db, "/runtime/auth/verify_magic_code", &body, on_signed_in, fn, ctx, error);
}

bool instant_sign_out(struct instant_db *db, struct instant_error **error) {
    struct inst_err err = {0};
    const char *token = inst_reactor_refresh_token(inst_client_reactor(db->client));
    enum inst_status status = INST_OK;
    if (token) {
        struct inst_arena arena;
        struct inst_object_builder members;
        struct inst_value body;
        inst_arena_init(&arena);
        inst_object_begin(&members, &arena);
        inst_object_addz(&members, "app_id", inst_cstring(db->app_id));
        inst_object_addz(&members, "refresh_token", inst_cstring(token));
        /* A backend that cannot be told keeps a token that nobody has any more. */
        if (inst_object_end(&members, &body))
            inst_capi_post(db, "/runtime/signout", &body, NULL, NULL, NULL);
        inst_arena_free(&arena);
    }
    status = inst_client_set_user(db->client, NULL, &err);
    return inst_capi_finish(NULL, status, &err, error);
}
