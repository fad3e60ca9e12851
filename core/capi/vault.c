/*
 * vault.c - the option `vault`: who is signed in, kept by a vault of the program's own.
 *
 *     init ── get ──> the reactor's user
 *     sign-in: answer ── put ── (durable) ──> the reactor's user ──> told
 *     any other change of the user ── put
 *
 * As in lua/instant/auth.lua: a user whom the vault cannot keep was not signed in.
 */
#include "capi/capi.h"

#include "base/digest.h"
#include "base/json.h"
#include "io/vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A user on the way into the vault. */
struct inst_capi_keep {
    struct inst_capi_keep *prev, *next; /* of the db */
    struct instant_db *db;
    struct inst_arena arena;
    struct inst_value user;
    inst_capi_kept_fn *fn; /* NULL: nobody waits any more */
    void *ctx;
};

static void free_keep(struct inst_capi_keep *keep) {
    if (keep->prev)
        keep->prev->next = keep->next;
    else
        keep->db->keeps = keep->next;
    if (keep->next)
        keep->next->prev = keep->prev;
    inst_arena_free(&keep->arena);
    free(keep);
}

static void complain(struct instant_db *db, const struct inst_err *err) {
    const struct inst_env *env = inst_loop_env(db->loop->loop);
    char line[512];
    snprintf(line, sizeof line, "the vault could not be written: %s", err->message);
    env->log(env->ctx, INST_LOG_ERROR, line);
}

static void on_kept(void *ctx, const struct inst_err *err) {
    struct inst_capi_keep *keep = ctx;
    if (err)
        inst_secret_free(&keep->db->kept); /* what it holds is not known: the next is written */
    if (keep->fn) {
        inst_capi_kept_fn *fn = keep->fn;
        struct inst_value user = keep->user;
        struct inst_arena arena = keep->arena; /* outlives the keep: fn may end the db */
        void *fn_ctx = keep->ctx;
        inst_arena_init(&keep->arena);
        free_keep(keep);
        fn(fn_ctx, err ? NULL : &user, err);
        inst_arena_free(&arena);
        return;
    }
    if (err)
        complain(keep->db, err);
    free_keep(keep);
}

/* The record's text; "": nobody. */
static bool write_user(const struct inst_value *user, struct inst_buf *out) {
    if (user && user->tag == INST_OBJECT)
        inst_json_write(out, user);
    inst_buf_add(out, "", 0);
    return !out->failed;
}

static bool is_kept(const struct instant_db *db, const struct inst_buf *text) {
    return db->kept.bytes && db->kept.len == text->len &&
           memcmp(db->kept.bytes, text->data ? text->data : "", text->len) == 0;
}

static enum inst_status put(struct inst_capi_keep *keep, const struct inst_buf *text,
                            struct inst_err *err) {
    struct instant_db *db = keep->db;
    struct inst_secret now = {0};
    const char *bytes = text->len ? text->data : NULL;
    if (!inst_secret_copy(&now, text->data ? text->data : "", text->len))
        return inst_err_nomem(err);
    enum inst_status status =
        inst_vault_put_later(db->vault, db->vault_name, bytes, text->len, on_kept, keep, err);
    if (status != INST_OK) {
        inst_secret_free(&now);
        return status;
    }
    inst_secret_free(&db->kept);
    db->kept = now;
    return INST_OK;
}

static struct inst_capi_keep *new_keep(struct instant_db *db, const struct inst_value *user) {
    struct inst_capi_keep *keep = calloc(1, sizeof *keep);
    if (!keep)
        return NULL;
    keep->db = db;
    inst_arena_init(&keep->arena);
    keep->next = db->keeps;
    if (keep->next)
        keep->next->prev = keep;
    db->keeps = keep;
    if (user && !inst_value_dup(&keep->arena, user, &keep->user)) {
        free_keep(keep);
        return NULL;
    }
    return keep;
}

enum inst_status inst_capi_keep_user(struct instant_db *db, const struct inst_value *user,
                                     inst_capi_kept_fn *fn, void *ctx, struct inst_err *err) {
    struct inst_buf text;
    inst_buf_init(&text);
    enum inst_status status = write_user(user, &text) ? INST_OK : inst_err_nomem(err);
    bool is_there = status == INST_OK && (!db->vault || is_kept(db, &text));
    struct inst_capi_keep *keep = NULL;
    if (status == INST_OK && !is_there && !(keep = new_keep(db, user)))
        status = inst_err_nomem(err);
    if (keep) {
        keep->fn = fn;
        keep->ctx = ctx;
        status = put(keep, &text, err);
        if (status != INST_OK)
            free_keep(keep);
    }
    inst_wipe(text.data, text.len);
    inst_buf_free(&text);
    if (is_there && fn)
        fn(ctx, user, NULL);
    return status;
}

/* What the backend, or another part of the program, changed is kept as well. */
static void follow(void *ctx, const struct inst_value *user) {
    struct instant_db *db = ctx;
    struct inst_err err = {0};
    if (inst_capi_keep_user(db, user, NULL, NULL, &err) != INST_OK)
        complain(db, &err);
    inst_err_clear(&err);
}

/* Anything else than a record there is an error, not nobody. */
static enum inst_status load(struct instant_db *db, struct inst_err *err) {
    struct inst_reactor *reactor = inst_client_reactor(db->client);
    struct inst_arena arena;
    struct inst_value user = inst_null();
    enum inst_status status = inst_vault_get(db->vault, db->vault_name, &db->kept, err);
    if (status != INST_OK)
        return status;
    inst_arena_init(&arena);
    if (db->kept.bytes)
        status = inst_json_parse(&arena, db->kept.bytes, db->kept.len, &user, err);
    if (db->kept.bytes && status != INST_NOMEM && (status != INST_OK || user.tag != INST_OBJECT)) {
        inst_err_clear(err);
        status = inst_err_set(err, "vault", 0,
                              "The vault holds no user where one should be; sign in again after "
                              "removing it.");
    }
    if (status == INST_OK)
        status = inst_reactor_user_loaded(reactor, db->kept.bytes ? &user : NULL, err);
    inst_arena_free(&arena);
    return status;
}

enum inst_status inst_capi_vault_attach(struct instant_db *db, const char *scope,
                                        struct inst_err *err) {
    uint64_t id;
    char name[INST_VAULT_MAX_NAME + 1];
    inst_client_vault_name(db->app_id, scope, name, sizeof name);
    if (!(db->vault_name = strdup(name)))
        return inst_err_nomem(err);
    enum inst_status status = load(db, err);
    if (status == INST_OK)
        status = inst_reactor_subscribe_user(inst_client_reactor(db->client), follow, db, &id, err);
    return status;
}

void inst_capi_end_keeps(struct instant_db *db) {
    struct inst_err err = {0};
    inst_err_set(&err, "shutdown", 0, "The client was shut down.");
    for (struct inst_capi_keep *keep = db->keeps; keep; keep = keep->next) {
        inst_capi_kept_fn *fn = keep->fn;
        keep->fn = NULL;
        if (fn)
            fn(keep->ctx, NULL, &err);
    }
    inst_err_clear(&err);
}

void inst_capi_vault_free(struct instant_db *db) {
    inst_vault_close(db->vault); /* after what is being written */
    db->vault = NULL;
    while (db->keeps)
        free_keep(db->keeps);
    inst_secret_free(&db->kept);
    free(db->vault_name);
}
