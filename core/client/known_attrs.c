#include "client/reactor_internal.h"

#include "instaml/rewrite.h"

#include <stdlib.h>

void inst_known_attrs_stale(struct inst_reactor *r) {
    inst_attrs_unref(r->optimistic);
    r->optimistic = NULL;
}

/* ---- rewriting what is pending ---- */

static enum inst_status replace_steps(struct inst_reactor *r, struct inst_mutation *m,
                                      const struct inst_value *steps, struct inst_err *err) {
    enum inst_status status = inst_mutations_keep_steps(r, m, steps, err);
    if (status != INST_OK) {
        return status;
    }
    inst_pages_touch(r, m, false);
    r->attr_mutations -= m->has_attr_steps;
    inst_mutations_classify(m);
    r->attr_mutations += m->has_attr_steps;
    return INST_OK;
}

static enum inst_status rewrite_pending(struct inst_reactor *r, int64_t processed_tx_id,
                                        struct inst_err *err) {
    if (!r->attr_mutations) {
        return INST_OK; /* every id that pending steps use is the server's */
    }
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_attr_mapping mapping;
    inst_attr_mapping_init(&mapping, &arena);
    enum inst_status status = INST_OK;
    for (struct inst_mutation *m = r->first; m && status == INST_OK; m = m->next) {
        bool is_processed = processed_tx_id && m->tx_id && processed_tx_id >= m->tx_id;
        struct inst_value steps;
        bool is_changed;
        status = inst_rewrite_steps(&mapping, r->attrs, &m->steps, is_processed, &steps,
                                    &is_changed, err);
        if (status == INST_OK && is_changed) {
            r->epoch++;
            status = replace_steps(r, m, &steps, err);
        }
    }
    inst_arena_free(&arena);
    return status;
}

/* ---- the server's attrs ---- */

static bool are_same(const struct inst_attrs *a, const struct inst_attrs *b) {
    size_t count = a ? inst_attrs_count(a) : 0;
    if (!a || !b || inst_attrs_count(b) != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!inst_value_equal(&inst_attrs_at(a, i)->json, &inst_attrs_at(b, i)->json)) {
            return false;
        }
    }
    return true;
}

/* attrs: one reference, taken. */
static enum inst_status swap(struct inst_reactor *r, struct inst_attrs *attrs,
                             int64_t processed_tx_id, struct inst_err *err) {
    if (r->attrs_kept.ops && !are_same(r->attrs, attrs)) {
        inst_kept_touch(r, &r->attrs_kept);
    }
    inst_attrs_unref(r->attrs);
    r->attrs = attrs;
    inst_known_attrs_stale(r);
    enum inst_status status = rewrite_pending(r, processed_tx_id, err);
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        inst_results_attrs_changed(r, query);
    }
    inst_queries_touch_all(r);
    inst_reactor_attrs_changed(r);
    return status;
}

enum inst_status inst_known_attrs_set(struct inst_reactor *r, const struct inst_value *attrs,
                                      int64_t processed_tx_id, struct inst_err *err) {
    struct inst_attrs *next;
    enum inst_status status = inst_attrs_new(attrs, &next, err);
    return status == INST_OK ? swap(r, next, processed_tx_id, err) : status;
}

/* The attr without the mark that makes later transactions send it again: the server has it now. */
static enum inst_status put_synced(struct inst_arena *arena, const struct inst_value *attr,
                                   struct inst_attrs **attrs, struct inst_err *err) {
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    for (uint32_t i = 0; i < attr->len; i++) {
        const struct inst_member *m = &attr->u.members[i];
        if (m->key_len != 10 || memcmp(m->key, "isUnsynced", 10) != 0) {
            inst_object_add(&b, m->key, m->key_len, m->value);
        }
    }
    struct inst_value synced;
    if (!inst_object_end(&b, &synced)) {
        return inst_err_nomem(err);
    }
    struct inst_attrs *next;
    enum inst_status status = inst_attrs_put(*attrs, &synced, &next, err);
    if (status == INST_OK) {
        inst_attrs_unref(*attrs);
        *attrs = next;
    }
    return status;
}

enum inst_status inst_known_attrs_join(struct inst_reactor *r, const struct inst_mutation *m,
                                       struct inst_err *err) {
    if (!r->attrs) {
        return INST_OK;
    }
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_attrs *attrs = inst_attrs_ref(r->attrs);
    enum inst_status status = INST_OK;
    for (uint32_t i = 0; i < m->steps.len && status == INST_OK; i++) {
        const struct inst_value *step = &m->steps.u.items[i];
        if (step->tag != INST_ARRAY || step->len < 2 ||
            !inst_is_string(&step->u.items[0], "add-attr")) {
            continue;
        }
        const struct inst_value *id = inst_get_string(&step->u.items[1], "id");
        if (id && !inst_attrs_by_id(attrs, id->u.str, id->len)) {
            status = put_synced(&arena, &step->u.items[1], &attrs, err);
        }
    }
    inst_arena_free(&arena);
    if (status != INST_OK || attrs == r->attrs) {
        inst_attrs_unref(attrs);
        return status;
    }
    return swap(r, attrs, 0, err);
}

/* ---- the app's view ---- */

/* One step laid over *attrs. An add-attr of something that is known already changes nothing: the
 * server's word counts. */
static enum inst_status lay(const struct inst_value *step, struct inst_attrs **attrs,
                            struct inst_err *err) {
    if (step->tag != INST_ARRAY || step->len < 2) {
        return INST_OK;
    }
    const struct inst_value *action = &step->u.items[0];
    const struct inst_value *arg = &step->u.items[1];
    const struct inst_value *id = arg->tag == INST_STRING ? arg : inst_get_string(arg, "id");
    if (!id) {
        return INST_OK;
    }
    const struct inst_attr *known = inst_attrs_by_id(*attrs, id->u.str, id->len);
    struct inst_attrs *next = NULL;
    enum inst_status status = INST_OK;
    if (inst_is_string(action, "add-attr") && !known) {
        status = inst_attrs_put(*attrs, arg, &next, err);
    } else if (inst_is_string(action, "update-attr") && known) {
        status = inst_attrs_merge(*attrs, arg, &next, err);
    } else if (inst_is_string(action, "delete-attr") && known) {
        status = inst_attrs_drop(*attrs, id->u.str, id->len, &next, err);
    }
    if (status == INST_OK && next) {
        inst_attrs_unref(*attrs);
        *attrs = next;
    }
    return status;
}

struct inst_attrs *inst_known_attrs_view(struct inst_reactor *r, struct inst_err *err) {
    if (r->optimistic) {
        return r->optimistic;
    }
    struct inst_attrs *attrs = NULL;
    if (r->attrs) {
        attrs = inst_attrs_ref(r->attrs);
    } else {
        struct inst_value none = inst_array(NULL, 0);
        if (inst_attrs_new(&none, &attrs, err) != INST_OK) {
            return NULL;
        }
    }
    for (struct inst_mutation *m = r->first; m && r->attr_mutations; m = m->next) {
        for (uint32_t i = 0; m->has_attr_steps && i < m->steps.len; i++) {
            struct inst_err bad = {0};
            enum inst_status status = lay(&m->steps.u.items[i], &attrs, &bad);
            if (status == INST_NOMEM) {
                inst_err_move(err, &bad);
                inst_attrs_unref(attrs);
                return NULL;
            }
            if (status != INST_OK) { /* a step that somebody wrote by hand; the server will tell */
                inst_reactor_log(r, INST_LOG_DEBUG, "an attr step is not understood: %s",
                                 bad.message);
            }
            inst_err_clear(&bad);
        }
    }
    r->optimistic = attrs;
    return attrs;
}

struct inst_attrs *inst_reactor_attrs(struct inst_reactor *r) {
    if (!r->attrs && !r->attr_mutations) {
        return NULL;
    }
    struct inst_attrs *attrs = inst_known_attrs_view(r, NULL);
    return attrs ? inst_attrs_ref(attrs) : NULL;
}
