/* user.c - who is signed in (session.md 5.11). */
#include "client/reactor_internal.h"

#include "base/digest.h"
#include "base/json.h"

#include <stdlib.h>

/* A record; counted, so that a callback may change the user. Never changed. */
struct inst_user {
    int refs;
    struct inst_arena arena;
    struct inst_value record; /* OBJECT */
    const char *token;        /* its refresh_token; NULL: none */
};

static void unref(struct inst_user *user) {
    if (user && --user->refs == 0) {
        inst_arena_free(&user->arena);
        free(user);
    }
}

static enum inst_status make(const struct inst_value *record, struct inst_user **out,
                             struct inst_err *err) {
    *out = NULL;
    if (!record || inst_is_nullish(record)) {
        return INST_OK;
    }
    if (record->tag != INST_OBJECT) {
        return inst_err_set(err, "validation-failed", 400, "A user must be an object, got %s.",
                            inst_value_typeof(record));
    }
    struct inst_user *user = malloc(sizeof(*user));
    if (!user) {
        return inst_err_nomem(err);
    }
    user->refs = 1;
    user->token = NULL;
    inst_arena_init(&user->arena);
    bool is_whole = inst_value_dup(&user->arena, record, &user->record);
    const struct inst_value *token =
        is_whole ? inst_get_string(&user->record, "refresh_token") : NULL;
    if (token) {
        user->token = inst_arena_dup(&user->arena, token->u.str, token->len);
        is_whole = user->token != NULL;
    }
    if (!is_whole) {
        unref(user);
        return inst_err_nomem(err);
    }
    *out = user;
    return INST_OK;
}

static bool is_same_token(const struct inst_user *a, const struct inst_user *b) {
    const char *x = a ? a->token : NULL, *y = b ? b->token : NULL;
    return x && y ? strcmp(x, y) == 0 : x == y;
}

/*
 * The official client forgets results and pending mutations whenever the record is not deeply the
 * same. A new name, or a new token of the same person, changes nothing about what that person may
 * see and wants written, so here the person counts.
 */
static bool is_same_person(const struct inst_user *a, const struct inst_user *b) {
    if (!a || !b) {
        return a == b;
    }
    const struct inst_value *x = inst_get_string(&a->record, "id");
    const struct inst_value *y = inst_get_string(&b->record, "id");
    return x && y ? inst_value_same(x, y) : a->token && is_same_token(a, b);
}

static bool is_equal(const struct inst_user *a, const struct inst_user *b) {
    return a && b ? inst_value_equal(&a->record, &b->record) : a == b;
}

/* ---- whose is what is kept ---- */

/* Says that something belongs to this user without saying who that is. */
static void make_tag(const struct inst_reactor *r, const struct inst_user *user,
                     char out[INST_USER_TAG + 1]) {
    const struct inst_value *id = user ? inst_get_string(&user->record, "id") : NULL;
    struct inst_buf buf;
    char hex[INST_SHA256_HEX + 1];
    inst_buf_init(&buf);
    inst_buf_addf(&buf, "%s\n", r->admin_token ? r->admin_token : "");
    if (id) {
        inst_buf_addf(&buf, "id %.*s", (int)id->len, id->u.str);
    } else if (user && user->token) {
        inst_buf_addf(&buf, "token %s", user->token);
    }
    /* Out of memory gives a tag that nobody has. */
    inst_sha256_hex(buf.failed ? "" : buf.data, buf.failed ? 0 : buf.len, hex);
    memcpy(out, hex, INST_USER_TAG);
    out[INST_USER_TAG] = '\0';
    inst_wipe(buf.data, buf.len);
    inst_buf_free(&buf);
}

void inst_user_tag(const struct inst_reactor *r, char out[INST_USER_TAG + 1]) {
    make_tag(r, r->user, out);
}

static bool has_other_tag(const struct inst_reactor *r, const struct inst_user *a,
                          const struct inst_user *b) {
    char x[INST_USER_TAG + 1], y[INST_USER_TAG + 1];
    make_tag(r, a, x);
    make_tag(r, b, y);
    return strcmp(x, y) != 0;
}

/* ---- telling listeners ---- */

static void deliver(struct inst_reactor *r, struct inst_event *event) {
    struct inst_user *user = r->user;
    bool is_for_all = r->user_changed;
    (void)event;
    if (!r->is_user_known) {
        return;
    }
    r->user_changed = false;
    if (user) {
        user->refs++;
    }
    uint64_t last = r->next_sub;
    for (struct inst_sub *sub = r->user_subs.first; sub; sub = sub->next) {
        if (inst_sub_is_due(sub, last) && (is_for_all || sub->is_fresh)) {
            sub->is_fresh = false;
            sub->fn.user(sub->ctx, user ? &user->record : NULL);
        }
    }
    unref(user);
}

static void drop(struct inst_reactor *r, struct inst_event *event) {
    (void)r;
    (void)event;
}

static const struct inst_event_ops user_ops = {deliver, drop};

enum inst_status inst_reactor_subscribe_user(struct inst_reactor *r, inst_user_fn *fn, void *ctx,
                                             uint64_t *id, struct inst_err *err) {
    struct inst_sub like = {.fn.user = fn, .ctx = ctx, .is_fresh = true};
    enum inst_status status = inst_reactor_add_sub(r, &r->user_subs, &like, id, err);
    if (status == INST_OK) {
        inst_events_push(r, &r->user_event);
        inst_events_deliver(r);
    }
    return status;
}

/* ---- changing ---- */

/* next (may be NULL) is taken. False: nothing changed. */
static bool become(struct inst_reactor *r, struct inst_user *next) {
    struct inst_user *old = r->user;
    bool was_known = r->is_user_known;
    if (was_known && is_equal(old, next)) {
        unref(next);
        return false;
    }
    bool is_other = was_known && !is_same_person(old, next);
    bool has_other_token = was_known && !is_same_token(old, next);
    bool is_renamed = was_known && !is_other && has_other_tag(r, old, next);
    r->user = next;
    r->is_user_known = true;
    r->user_changed = true;
    inst_events_push(r, &r->user_event);
    if (is_other) {
        inst_mutations_fail_all(r, "user-changed",
                                "User changed while transaction was in progress.");
        inst_queries_forget_results(r);
        inst_persist_clear(r, INST_PERSIST_QUERIES);
        inst_persist_clear(r, INST_PERSIST_SYNC);
    } else if (is_renamed) {
        inst_persist_retag(r);
    }
    if (is_other || has_other_token) {
        inst_reactor_start_over(r);
    } else if (!was_known) {
        inst_persist_advance(r);
        inst_reactor_begin_session(r);
    }
    unref(old);
    return true;
}

/* As somebody wants it, not as it was kept. */
static void change(struct inst_reactor *r, struct inst_user *next) {
    if (become(r, next)) {
        inst_kept_touch_now(r, &r->user_kept);
    }
}

void inst_user_reject(struct inst_reactor *r) { change(r, NULL); }

static enum inst_status set(struct inst_reactor *r, const struct inst_value *record,
                            struct inst_err *err) {
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    struct inst_user *next;
    enum inst_status status = make(record, &next, err);
    if (status == INST_OK) {
        change(r, next);
        inst_events_deliver(r);
    }
    return status;
}

enum inst_status inst_reactor_set_user(struct inst_reactor *r, const struct inst_value *record,
                                       struct inst_err *err) {
    return set(r, record, err);
}

enum inst_status inst_reactor_user_loaded(struct inst_reactor *r, const struct inst_value *record,
                                          struct inst_err *err) {
    return r->is_user_known ? INST_OK : set(r, record, err);
}

/* What is known of somebody who is known by a token alone. */
static enum inst_status make_of_token(const char *token, struct inst_user **out,
                                      struct inst_err *err) {
    if (!token) {
        *out = NULL;
        return INST_OK;
    }
    struct inst_member member = {"refresh_token", 13, inst_cstring(token)};
    struct inst_value record = inst_object(&member, 1);
    return make(&record, out, err);
}

enum inst_status inst_reactor_set_refresh_token(struct inst_reactor *r, const char *token,
                                                struct inst_err *err) {
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    const char *now = inst_reactor_refresh_token(r);
    if (r->is_user_known && (token && now ? strcmp(token, now) == 0 : token == now)) {
        return INST_OK; /* what else is known of the user stays */
    }
    struct inst_user *next;
    enum inst_status status = make_of_token(token, &next, err);
    if (status == INST_OK) {
        change(r, next);
        inst_events_deliver(r);
    }
    return status;
}

/* ---- reading ---- */

const struct inst_value *inst_reactor_user(const struct inst_reactor *r) {
    return r->user ? &r->user->record : NULL;
}

bool inst_reactor_is_user_known(const struct inst_reactor *r) { return r->is_user_known; }

const char *inst_reactor_refresh_token(const struct inst_reactor *r) {
    return r->user ? r->user->token : NULL;
}

/* ---- on disk ---- */

static bool save(struct inst_reactor *r, struct inst_kept *kept, struct inst_buf *out,
                 size_t *size) {
    (void)kept;
    (void)size;
    if (r->user) {
        inst_json_write(out, &r->user->record);
    }
    return r->user != NULL;
}

static bool loaded(struct inst_reactor *r, struct inst_kept *kept, const struct inst_value *value,
                   const struct inst_err *err) {
    (void)kept;
    if (err) {
        inst_persist_break(r, err);
    } else if (!r->is_user_known) {
        struct inst_user *user = NULL;
        struct inst_err bad = {0};
        enum inst_status status = make(value, &user, &bad);
        if (status == INST_NOMEM) {
            inst_persist_break(r, &bad); /* who it is, is not known: not that it is nobody */
        } else {
            become(r, user);
        }
        inst_err_clear(&bad);
        return status != INST_FAILED;
    }
    return true;
}

static const struct inst_kept_ops kept_ops = {save, loaded, NULL};

/* With a vault the host keeps the user. A token of the configuration is kept only when it is
 * followed by another user. */
void inst_user_load(struct inst_reactor *r) {
    if (r->awaits_user) {
        return;
    }
    r->user_kept.ops = &kept_ops;
    r->user_kept.key = "currentUser";
    inst_kept_begin(r, &r->user_kept, INST_PERSIST_KV);
    if (!r->is_user_known) {
        inst_kept_load(r, &r->user_kept);
    }
}

void inst_user_is_unreadable(struct inst_reactor *r) {
    if (!r->is_user_known && !r->awaits_user) {
        become(r, NULL);
    }
}

/* ---- life ---- */

enum inst_status inst_user_init(struct inst_reactor *r, const struct inst_reactor_config *config,
                                struct inst_err *err) {
    r->user_event.ops = &user_ops;
    r->awaits_user = config->awaits_user;
    r->is_user_known = config->refresh_token || (!config->awaits_user && !config->has_storage);
    return make_of_token(config->refresh_token, &r->user, err);
}

void inst_user_share(const struct inst_reactor *r, struct inst_reactor *to) {
    unref(to->user);
    to->user = r->user;
    to->is_user_known = r->is_user_known;
    if (to->user) {
        to->user->refs++;
    }
}

void inst_user_free(struct inst_reactor *r) {
    unref(r->user);
    r->user = NULL;
}
