#include "server/reactions.h"

#include "server/feed.h"
#include "server/functions.h"

#include <stdio.h>
#include <stdlib.h>

#define NOTE "reaction "

struct inst_reaction {
    struct inst_reaction *next;
    struct inst_app *app;
    char *name;
    struct inst_value etype; /* in the same block as name */
    unsigned actions;        /* of enum inst_feed_action */
    struct inst_feed *feed;  /* NULL: to be opened at the place */
    struct inst_feed_position at, kept;
    unsigned unkept;  /* changes since its place was kept */
    unsigned tries;   /* of the change at hand */
    int64_t retry_ms; /* 0: at once */
    bool is_awake;    /* there may be something to read */
};

static int64_t now_of(const struct inst_app *app) {
    const struct inst_env *env = app->server->env;
    return env->now_ms(env->ctx);
}

static void log_about(const struct inst_reaction *reaction, enum inst_log_level level,
                      const char *what, const struct inst_err *err) {
    const struct inst_env *env = reaction->app->server->env;
    struct inst_buf line;
    if (env->log == NULL)
        return;
    inst_buf_init(&line);
    inst_buf_addf(&line, "app %s: reaction %s: %s", reaction->app->info.id, reaction->name, what);
    if (err != NULL)
        inst_buf_addf(&line, ": %s", err->message);
    if (!line.failed)
        env->log(env->ctx, level, line.data);
    inst_buf_free(&line);
}

/* ---- the place ---- */

static bool note_key(const struct inst_reaction *reaction, struct inst_buf *out) {
    inst_buf_init(out);
    inst_buf_addf(out, NOTE "%s", reaction->name);
    return !out->failed;
}

/* In the open group when there is one, else at once. */
static enum inst_status keep_place(struct inst_reaction *reaction, struct inst_err *err) {
    struct inst_app *app = reaction->app;
    struct inst_buf key;
    char text[INST_FEED_POSITION_TEXT];
    inst_feed_position_print(reaction->at, text);
    enum inst_status st = INST_OK;
    if (!note_key(reaction, &key))
        st = inst_err_nomem(err);
    else if (app->is_group_open)
        st = app->db->db_ops->set_note(app->db, key.data, text, strlen(text), err);
    else
        st = inst_app_set_note(app, key.data, text, strlen(text), err);
    inst_buf_free(&key);
    app->has_quiet_writes = app->has_quiet_writes || (st == INST_OK && app->is_group_open);
    if (st == INST_OK) {
        reaction->kept = reaction->at;
        reaction->unkept = 0;
    }
    return st;
}

static enum inst_status find_place(struct inst_reaction *reaction, struct inst_err *err) {
    struct inst_app *app = reaction->app;
    struct inst_buf key, text;
    bool found = false;
    inst_buf_init(&text);
    enum inst_status st = note_key(reaction, &key)
                              ? app->db->db_ops->get_note(app->db, key.data, &text, &found, err)
                              : inst_err_nomem(err);
    inst_buf_free(&key);
    bool is_known = st == INST_OK && found && !text.failed &&
                    inst_feed_position_parse(text.data, text.len, &reaction->at);
    inst_buf_free(&text);
    reaction->kept = reaction->at;
    if (st != INST_OK || is_known)
        return st;
    reaction->at = (struct inst_feed_position){.tx = app->last_tx};
    return keep_place(reaction, err);
}

/* ---- which there are ---- */

static void free_reaction(struct inst_reaction *reaction) {
    inst_feed_free(reaction->feed);
    free(reaction->name);
    free(reaction);
}

void inst_reactions_free(struct inst_app *app) {
    while (app->reactions != NULL) {
        struct inst_reaction *reaction = app->reactions;
        app->reactions = reaction->next;
        free_reaction(reaction);
    }
}

static bool add_reaction(void *ctx, const struct inst_reaction_spec *spec) {
    struct inst_app *app = ctx;
    struct inst_reaction *reaction = calloc(1, sizeof *reaction);
    size_t name_len = strlen(spec->name), etype_len = strlen(spec->etype);
    if (reaction == NULL || (reaction->name = malloc(name_len + etype_len + 2)) == NULL) {
        free(reaction);
        return false;
    }
    memcpy(reaction->name, spec->name, name_len + 1);
    memcpy(reaction->name + name_len + 1, spec->etype, etype_len + 1);
    reaction->app = app;
    reaction->etype = inst_string(reaction->name + name_len + 1, etype_len);
    reaction->actions = spec->actions;
    reaction->is_awake = true;
    struct inst_err err = {0};
    if (find_place(reaction, &err) != INST_OK) {
        log_about(reaction, INST_LOG_ERROR, "its place cannot be read", &err);
        inst_err_clear(&err);
        free_reaction(reaction);
        return true;
    }
    reaction->next = app->reactions;
    app->reactions = reaction;
    return true;
}

/* Places that were not kept yet are, so that nothing is seen twice for a reload. */
static void load_reactions(struct inst_app *app) {
    struct inst_server *server = app->server;
    for (struct inst_reaction *reaction = app->reactions; reaction; reaction = reaction->next)
        if (reaction->unkept > 0)
            keep_place(reaction, NULL);
    inst_reactions_free(app);
    app->reactions_of = server->functions_generation;
    if (server->functions != NULL)
        server->functions->each_reaction(server->functions_ctx, app->info.id, add_reaction, app);
    app->has_reaction_work = app->reactions != NULL;
    server->has_reaction_work = server->has_reaction_work || app->has_reaction_work;
}

static bool has_one(void *ctx, const struct inst_reaction_spec *spec) {
    (void)spec;
    *(bool *)ctx = true;
    return false;
}

/* ---- apps that are to be opened ---- */

struct inst_reaction_app {
    struct inst_reaction_app *next;
    char id[INST_UUID_TEXT + 1];
};

void inst_reactions_forget_apps(struct inst_server *server) {
    while (server->reaction_apps != NULL) {
        struct inst_reaction_app *app = server->reaction_apps;
        server->reaction_apps = app->next;
        free(app);
    }
}

static bool add_app(void *ctx, const struct inst_app_info *info) {
    struct inst_server *server = ctx;
    bool has_any = false;
    server->functions->each_reaction(server->functions_ctx, info->id, has_one, &has_any);
    if (!has_any)
        return true;
    struct inst_reaction_app *app = calloc(1, sizeof *app);
    if (app == NULL)
        return false; /* the others go on when they are opened */
    memcpy(app->id, info->id, sizeof app->id);
    app->next = server->reaction_apps;
    server->reaction_apps = app;
    return true;
}

/* There may be changes that apps with reactions have not seen: one of them is opened a turn, so
 * that many are in nobody's way. */
static void open_next(struct inst_server *server) {
    const struct inst_app_manage_ops *manage = server->host.apps->manage;
    struct inst_app *opened;
    if (server->wants_reactions) {
        server->wants_reactions = false;
        inst_reactions_forget_apps(server);
        manage->each(server->host.apps_ctx, add_app, server, NULL);
    }
    struct inst_reaction_app *app = server->reaction_apps;
    if (app == NULL)
        return;
    server->reaction_apps = app->next;
    if (inst_app_get(server, app->id, &opened, NULL) == INST_OK)
        server->has_reaction_work = true; /* it reads in this turn */
    free(app);
}

void inst_reactions_reload(struct inst_server *server) {
    server->functions_generation++;
    server->has_reaction_work = true;
    server->wants_reactions = server->functions != NULL;
}

void inst_reactions_wake(struct inst_app *app) {
    if (app->reactions == NULL)
        return;
    for (struct inst_reaction *reaction = app->reactions; reaction; reaction = reaction->next)
        reaction->is_awake = true;
    app->has_reaction_work = app->server->has_reaction_work = true;
}

/* ---- one change ---- */

struct taken {
    struct inst_arena *arena;
    struct inst_value change; /* UNDEFINED: none */
    bool failed;
};

/* Without what is null: in Lua and most languages that is what is not there. */
static bool copy_side(struct inst_arena *arena, const struct inst_value *side,
                      struct inst_value *out) {
    struct inst_object_builder object;
    inst_object_begin(&object, arena);
    for (uint32_t i = 0; i < side->len; i++) {
        const struct inst_member *member = &side->u.members[i];
        const char *key = inst_arena_dup(arena, member->key, member->key_len);
        struct inst_value value;
        if (key == NULL || !inst_value_dup(arena, &member->value, &value))
            return false;
        if (!inst_is_nullish(&value))
            inst_object_add(&object, key, member->key_len, value);
    }
    return inst_object_end(&object, out);
}

static bool add_text(struct inst_object_builder *object, struct inst_arena *arena, const char *name,
                     const char *text) {
    size_t len = strlen(text);
    const char *copy = inst_arena_dup(arena, text, len);
    if (copy != NULL)
        inst_object_addz(object, name, inst_string(copy, len));
    return copy != NULL;
}

static bool copy_change(struct inst_arena *arena, const struct inst_feed_change *change,
                        struct inst_value *out) {
    struct inst_object_builder object;
    struct inst_value etype, who, side;
    inst_object_begin(&object, arena);
    if (!inst_value_dup(arena, &change->etype, &etype) ||
        !inst_value_dup(arena, &change->who, &who) || !add_text(&object, arena, "id", change->id) ||
        !add_text(&object, arena, "key", change->key))
        return false;
    inst_object_addz(&object, "etype", etype);
    inst_object_addz(&object, "action", inst_cstring(inst_feed_action_name(change->action)));
    if (change->before.tag == INST_OBJECT) {
        if (!copy_side(arena, &change->before, &side))
            return false;
        inst_object_addz(&object, "old", side);
    }
    if (change->after.tag == INST_OBJECT) {
        if (!copy_side(arena, &change->after, &side))
            return false;
        inst_object_addz(&object, "new", side);
    }
    if (who.tag == INST_OBJECT)
        inst_object_addz(&object, "who", who);
    inst_object_addz(&object, "at", inst_number((double)change->at_ms));
    inst_object_addz(&object, "txId", inst_number((double)change->tx_id));
    return inst_object_end(&object, out);
}

static bool take_change(void *ctx, const struct inst_feed_change *change) {
    struct taken *taken = ctx;
    taken->failed = !copy_change(taken->arena, change, &taken->change);
    return false;
}

static enum inst_status react(struct inst_reaction *reaction, const struct inst_value *change,
                              struct inst_err *err) {
    static const struct inst_viewer nobody = {0};
    struct inst_app *app = reaction->app;
    struct inst_server *server = app->server;
    struct inst_call call = {.app = app, .viewer = &nobody, .may_write = true};
    enum inst_status st =
        server->functions->react(server->functions_ctx, &call, reaction->name, change, err);
    reaction->at = inst_feed_at(reaction->feed);
    if (st == INST_OK && app->is_group_open)
        st = keep_place(reaction, err);
    return inst_call_finish(app, st, err);
}

static int64_t pause_of(unsigned tries) {
    int64_t pause = (int64_t)INST_REACTION_PAUSE_MS << (tries - 1);
    return pause < INST_REACTION_MAX_PAUSE_MS ? pause : INST_REACTION_MAX_PAUSE_MS;
}

/* The feed is behind the change: it begins anew in front of it, unless that is given up. */
static void failed(struct inst_reaction *reaction, struct inst_feed_position before,
                   const struct inst_err *err) {
    if (++reaction->tries < INST_REACTION_TRIES) {
        log_about(reaction, INST_LOG_WARN, "a change is tried again later", err);
        reaction->at = before;
        inst_feed_free(reaction->feed);
        reaction->feed = NULL;
        reaction->retry_ms = now_of(reaction->app) + pause_of(reaction->tries);
        return;
    }
    log_about(reaction, INST_LOG_ERROR, "a change is given up", err);
    reaction->tries = 0;
    keep_place(reaction, NULL);
}

/* The log no longer has what followed its place: it goes on from the head. */
static void lost(struct inst_reaction *reaction, const struct inst_err *err) {
    log_about(reaction, INST_LOG_ERROR, "changes were missed", err);
    reaction->at = (struct inst_feed_position){.tx = reaction->app->last_tx};
    keep_place(reaction, NULL);
}

static enum inst_status read_change(struct inst_reaction *reaction, struct taken *taken,
                                    struct inst_err *err) {
    struct inst_feed_filter filter = {
        .etypes = &reaction->etype, .etype_count = 1, .actions = reaction->actions};
    bool is_at_head = false;
    enum inst_status st = INST_OK;
    if (reaction->feed == NULL)
        st = inst_feed_new(reaction->app, reaction->at, &reaction->feed, err);
    if (st == INST_OK)
        st = inst_feed_read(reaction->feed, &filter, take_change, taken, &is_at_head, err);
    if (st == INST_OK && taken->failed)
        st = inst_err_nomem(err);
    if (st == INST_OK && taken->change.tag == INST_UNDEFINED) {
        reaction->at = inst_feed_at(reaction->feed);
        reaction->is_awake = !is_at_head;
    }
    return st;
}

static void step(struct inst_reaction *reaction) {
    struct inst_arena *scratch = &reaction->app->server->scratch;
    struct inst_feed_position before = reaction->at;
    struct taken taken = {.arena = scratch};
    struct inst_err err = {0};
    enum inst_status st = read_change(reaction, &taken, &err);
    if (st != INST_OK && err.type != NULL && strcmp(err.type, "position-gone") == 0) {
        lost(reaction, &err);
    } else if (st != INST_OK) {
        failed(reaction, before, &err);
    } else if (taken.change.tag != INST_UNDEFINED) {
        if (react(reaction, &taken.change, &err) != INST_OK) {
            failed(reaction, before, &err);
        } else {
            reaction->tries = 0;
            reaction->unkept +=
                reaction->kept.tx != reaction->at.tx || reaction->kept.index != reaction->at.index;
        }
    }
    if (reaction->unkept >= INST_REACTION_KEEP_EVERY ||
        (!reaction->is_awake && reaction->unkept > 0))
        keep_place(reaction, NULL);
    inst_err_clear(&err);
    inst_arena_reset(scratch);
}

/* ---- turns ---- */

static void app_turn(struct inst_app *app) {
    int64_t now = now_of(app);
    if (app->reactions_of != app->server->functions_generation)
        load_reactions(app);
    app->has_reaction_work = false;
    if (app->state != INST_APP_ACTIVE || app->is_removed)
        return; /* woken when it is active again */
    for (struct inst_reaction *reaction = app->reactions; reaction; reaction = reaction->next) {
        if (!reaction->is_awake || reaction->retry_ms > now)
            continue;
        reaction->retry_ms = 0;
        step(reaction);
        app->has_reaction_work =
            app->has_reaction_work || (reaction->is_awake && reaction->retry_ms == 0);
    }
}

static int64_t retry_of(const struct inst_app *app) {
    int64_t due = INT64_MAX;
    if (app->state != INST_APP_ACTIVE || app->is_removed)
        return due;
    for (const struct inst_reaction *reaction = app->reactions; reaction; reaction = reaction->next)
        if (reaction->retry_ms > 0 && reaction->retry_ms < due)
            due = reaction->retry_ms;
    return due;
}

void inst_reactions_turn(struct inst_server *server) {
    open_next(server);
    if (!inst_reactions_are_pending(server))
        return;
    server->has_reaction_work = false;
    for (struct inst_app *app = server->apps; app != NULL; app = app->next) {
        inst_app_commit(app);
        app_turn(app);
    }
    int64_t due = INT64_MAX;
    for (struct inst_app *app = server->apps; app != NULL; app = app->next) {
        int64_t retry = retry_of(app);
        due = retry < due ? retry : due;
        server->has_reaction_work = server->has_reaction_work || app->has_reaction_work;
    }
    server->reactions_due_ms = due;
}

bool inst_reactions_are_due(const struct inst_app *app) {
    return app->has_reaction_work || retry_of(app) != INT64_MAX;
}

bool inst_reactions_are_pending(const struct inst_server *server) {
    if (server->has_reaction_work || server->wants_reactions || server->reaction_apps != NULL)
        return true;
    int64_t due = inst_reactions_due_ms(server);
    return due != INT64_MAX && due <= server->env->now_ms(server->env->ctx);
}

int64_t inst_reactions_due_ms(const struct inst_server *server) {
    return server->functions == NULL || server->reactions_due_ms == 0 ? INT64_MAX
                                                                      : server->reactions_due_ms;
}
