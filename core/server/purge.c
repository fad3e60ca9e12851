#include "server/purge.h"

#include "base/date.h"
#include "base/json.h"
#include "server/engine.h"
#include "server/limits.h"
#include "server/tx.h"

#include <stdlib.h>

#define GRACE_MS (INST_PURGE_GRACE_DAYS * 24ll * 60 * 60 * 1000)

bool inst_purge_is_over(const struct inst_value *attr, int64_t now_ms) {
    const struct inst_value *marked = inst_getz(attr, "deletion-marked-at");
    if (marked == NULL || marked->tag != INST_STRING)
        return false;
    /* NaN of what is no date compares as false: such an attr stays. */
    return inst_date_engine_parse(marked->u.str, marked->len) + (double)GRACE_MS <= (double)now_ms;
}

/* ---- which ---- */

struct due {
    struct inst_arena *arena;
    int64_t now;
    struct inst_value id; /* UNDEFINED: none */
};

static bool look_at(void *ctx, const char *json, size_t len) {
    struct due *due = ctx;
    struct inst_value attr;
    if (inst_json_parse(due->arena, json, len, &attr, NULL) != INST_OK ||
        !inst_purge_is_over(&attr, due->now))
        return true;
    const struct inst_value *id = inst_get_string(&attr, "id");
    if (id != NULL)
        due->id = *id;
    return id == NULL;
}

/* The first one; in the server's scratch. */
static struct inst_value find_due(struct inst_app *app) {
    const struct inst_env *env = app->server->env;
    struct due due = {&app->server->scratch, env->now_ms(env->ctx), inst_undefined()};
    /* What cannot be read now is looked for again. */
    if (app->db->db_ops->each_hidden_attr(app->db, look_at, &due, NULL) != INST_OK)
        due.id = inst_undefined();
    return due.id;
}

void inst_purge_look(struct inst_app *app) { app->has_purge = find_due(app).tag == INST_STRING; }

/* ---- one piece ---- */

struct piece {
    struct inst_arena *arena;
    struct inst_triple triples[INST_JOB_TURN_ROWS];
    size_t count;
    bool is_nomem;
};

static bool note_triple(void *ctx, const struct inst_triple *triple) {
    struct piece *piece = ctx;
    struct inst_triple *noted = &piece->triples[piece->count++];
    *noted = *triple;
    piece->is_nomem = !inst_value_dup(piece->arena, &triple->v, &noted->v);
    return !piece->is_nomem;
}

static enum inst_status drop_triples(struct inst_tx *tx, const struct inst_attr *attr,
                                     bool *is_done, struct inst_err *err) {
    const struct inst_app_db_ops *ops = tx->db->db_ops;
    struct piece *piece = inst_arena_zalloc(tx->arena, sizeof *piece);
    struct inst_buf place;
    size_t seen;
    if (piece == NULL)
        return inst_err_nomem(err);
    piece->arena = tx->arena;
    inst_buf_init(&place);
    enum inst_status st = ops->walk(tx->db, attr, INST_JOB_TURN_ROWS, &place, note_triple, piece,
                                    &seen, is_done, err);
    inst_buf_free(&place);
    if (st == INST_OK && piece->is_nomem)
        st = inst_err_nomem(err);
    for (size_t i = 0; st == INST_OK && i < piece->count; i++)
        st = ops->retract(tx->db, attr, &piece->triples[i], err);
    return st;
}

static enum inst_status drop_hidden(struct inst_tx *tx, const struct inst_value *json, uint32_t row,
                                    struct inst_err *err) {
    struct inst_value list = inst_array((struct inst_value *)json, 1);
    struct inst_attrs *attrs;
    bool is_done = false;
    enum inst_status st = inst_attrs_new(&list, &attrs, err);
    if (st != INST_OK)
        return st;
    struct inst_attr attr = *inst_attrs_at(attrs, 0);
    attr.row = row;
    tx->has_written = true;
    st = drop_triples(tx, &attr, &is_done, err);
    if (st == INST_OK && is_done)
        st = tx->db->db_ops->drop_attr(tx->db, row, err);
    inst_attrs_unref(attrs);
    return st;
}

static enum inst_status purge_some(void *ctx, struct inst_tx *tx, struct inst_err *err) {
    const struct inst_value *id = ctx;
    struct inst_value attr;
    char *json = NULL;
    size_t len = 0;
    bool is_hidden = false;
    uint32_t row = 0;
    enum inst_status st =
        tx->db->db_ops->find_attr(tx->db, id->u.str, id->len, &json, &len, &is_hidden, &row, err);
    if (st == INST_OK && json != NULL && is_hidden) {
        st = inst_json_parse(tx->arena, json, len, &attr, err);
        if (st == INST_OK)
            st = drop_hidden(tx, &attr, row, err);
    }
    free(json);
    return st;
}

/* What the disk refuses is tried again with the next look. */
static void purge_app(struct inst_app *app) {
    struct inst_server *server = app->server;
    struct inst_value id = find_due(app);
    struct inst_err err = {0};
    uint64_t commits = server->stats.commits;
    app->has_purge = false;
    if (id.tag != INST_STRING)
        return;
    enum inst_status st = inst_app_run(app, purge_some, &id, "null", &err);
    if (st != INST_OK && server->env->log != NULL && err.message != NULL)
        server->env->log(server->env->ctx, INST_LOG_ERROR, err.message);
    if (st != INST_OK && app->is_group_open)
        inst_app_give_up(app, &err);
    inst_app_commit(app);
    if (st == INST_OK && server->stats.commits != commits)
        inst_purge_look(app);
    inst_err_clear(&err);
}

/* ---- the turn ---- */

static bool is_due(const struct inst_app *app) {
    return app->has_purge && app->state == INST_APP_ACTIVE;
}

void inst_purge_turn(struct inst_server *server) {
    for (struct inst_app *app = server->apps; app != NULL; app = app->next)
        if (is_due(app) && !app->is_group_open)
            purge_app(app);
}

bool inst_purge_is_pending(const struct inst_server *server) {
    for (const struct inst_app *app = server->apps; app != NULL; app = app->next)
        if (is_due(app))
            return true;
    return false;
}
