/*
 * persist_start.c - from a storage to a whole state.
 *
 *     user ──┐                      ┌─> results of the queries subscribed to, as they come
 *     keys ──┴─> pending mutations ─┤
 *     attrs ────────────────────────┴─> READY: init, transactions made meanwhile, callbacks
 *
 * What another user wrote is nobody's business, so the user comes first. Transactions made
 * meanwhile wait: they are to come after those of former runs, and to be made against the same
 * attrs.
 */
#include "client/reactor_internal.h"

#include "base/json.h"

#include <stdlib.h>

/* ---- the server's attrs ---- */

static bool save_attrs(struct inst_reactor *r, struct inst_kept *kept, struct inst_buf *out,
                       size_t *size) {
    (void)kept;
    (void)size;
    size_t count = r->attrs ? inst_attrs_count(r->attrs) : 0;
    inst_buf_add_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            inst_buf_add_char(out, ',');
        }
        inst_json_write(out, &inst_attrs_at(r->attrs, i)->json);
    }
    inst_buf_add_char(out, ']');
    return count > 0;
}

static bool attrs_loaded(struct inst_reactor *r, struct inst_kept *kept,
                         const struct inst_value *value, const struct inst_err *err) {
    (void)kept;
    bool is_understood = true;
    if (err) {
        inst_reactor_log(r, INST_LOG_WARN, "the kept attrs cannot be read: %s", err->message);
    }
    if (value && !r->attrs) {
        is_understood = inst_known_attrs_set(r, value, 0, NULL) == INST_OK;
    }
    r->persist.are_attrs_read = true;
    inst_persist_advance(r);
    return is_understood;
}

static const struct inst_kept_ops attrs_ops = {save_attrs, attrs_loaded, NULL};

/* ---- the steps ---- */

static void keys_listed(struct inst_reactor *r, struct inst_disk_job *job,
                        const struct inst_disk_answer *answer) {
    struct inst_err err = {0};
    (void)job;
    if (r->persist.state != INST_PERSIST_STARTING) {
        return; /* too late */
    }
    if (answer->err) {
        inst_persist_break(r, answer->err);
    } else if (inst_pages_found(r, answer->keys, answer->key_count, &err) != INST_OK) {
        inst_persist_break(r, &err);
    } else {
        r->persist.is_listed = true;
        inst_persist_advance(r);
    }
    inst_err_clear(&err);
}

/* What waited for the storage, or for it to be given up. */
static void go_on(struct inst_reactor *r) {
    inst_waiting_resume(r);
    inst_queries_load_all(r);
    inst_queries_unhold(r);
    inst_tables_load_all(r);
    inst_reactor_begin_session(r);
}

void inst_persist_advance(struct inst_reactor *r) {
    struct inst_persist *p = &r->persist;
    if (p->state != INST_PERSIST_STARTING || !r->is_user_known || !p->is_listed) {
        return;
    }
    if (!p->are_pages_asked) {
        p->are_pages_asked = true;
        p->start_deadline = inst_reactor_now(r) + INST_PERSIST_START_MS;
        inst_pages_load(r);
    }
    /* Loading may have gone on by itself. */
    if (p->state != INST_PERSIST_STARTING || p->pages_left || !p->are_attrs_read) {
        return;
    }
    p->state = INST_PERSIST_READY;
    inst_pages_restore(r);
    inst_persist_preload(r);
    go_on(r);
}

void inst_persist_break(struct inst_reactor *r, const struct inst_err *err) {
    if (r->persist.state != INST_PERSIST_STARTING) {
        return;
    }
    inst_reactor_log(r, INST_LOG_ERROR,
                     "the storage cannot be read, going on without what it holds: %s",
                     err->message);
    r->persist.state = INST_PERSIST_BROKEN;
    struct inst_kept *kept = r->persist.lanes[INST_PERSIST_KV].first, *next;
    for (; kept; kept = next) {
        next = kept->next;
        if (kept->is_dirty && kept->ops->written) {
            kept->ops->written(r, kept, err); /* somebody may wait for it */
        }
    }
    inst_user_is_unreadable(r);
    go_on(r);
}

void inst_persist_start(struct inst_reactor *r) {
    struct inst_persist *p = &r->persist;
    if (p->state == INST_PERSIST_OFF) {
        return;
    }
    p->start_deadline = inst_reactor_now(r) + INST_PERSIST_START_MS;
    inst_user_load(r);
    r->attrs_kept.ops = &attrs_ops;
    r->attrs_kept.key = INST_PERSIST_ATTRS;
    inst_kept_begin(r, &r->attrs_kept, INST_PERSIST_QUERIES);
    inst_kept_load(r, &r->attrs_kept);
    if (!inst_persist_ask(r, &p->lanes[INST_PERSIST_KV], INST_DISK_LIST, NULL, keys_listed)) {
        struct inst_err err = {0};
        inst_err_nomem(&err);
        inst_persist_break(r, &err);
    }
    for (size_t i = 0; i < INST_PERSIST_STORES; i++) {
        if (p->lanes[i].has_meta) {
            inst_meta_load(r, &p->lanes[i]);
        }
    }
}

/* ---- all again ---- */

static void touch_all(struct inst_reactor *r, bool of_user_only) {
    for (size_t i = 0; i < INST_PERSIST_STORES; i++) {
        for (struct inst_kept *kept = r->persist.lanes[i].first; kept; kept = kept->next) {
            if (!kept->is_loading && (kept->is_of_user || !of_user_only)) {
                inst_kept_touch_now(r, kept);
            }
        }
    }
}

void inst_persist_retag(struct inst_reactor *r) { touch_all(r, true); }

void inst_persist_write_all(struct inst_reactor *r) { touch_all(r, false); }
