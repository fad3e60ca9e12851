#include "instaml/transact.h"

#include "instaml/deep_merge.h"

#include <stdlib.h>

/* One transaction under way. */
struct tx {
    struct inst_mem_store *mem;
    struct inst_store *store;
    struct inst_created_at *counter;
    int64_t now;
    int64_t first;           /* the smallest created-at that this transaction can make */
    struct inst_arena arena; /* of one step */
    struct inst_err *err;
};

static int64_t peek_time(const struct tx *tx) {
    int64_t t = tx->now * 10 + tx->counter->count;
    return t > tx->counter->last ? t : tx->counter->last + 1;
}

static int64_t next_time(struct tx *tx) {
    int64_t t = peek_time(tx);
    tx->counter->count++;
    return tx->counter->last = t;
}

static enum inst_status malformed(struct tx *tx) {
    return inst_err_set(tx->err, "validation-failed", 400, "Malformed tx-step");
}

/* Argument i of a step, from 1; UNDEFINED when there is none. */
static struct inst_value arg(const struct inst_value *step, uint32_t i) {
    return i < step->len ? step->u.items[i] : inst_undefined();
}

/* ---- lookups ---- */

/* The entity that [attr id, value] names; 0: none. */
static uint32_t look_up(struct tx *tx, const struct inst_value *lookup) {
    const struct inst_value attr = arg(lookup, 0);
    const struct inst_value v = arg(lookup, 1);
    return attr.tag == INST_STRING ? inst_mem_store_lookup(tx->mem, attr.u.str, attr.len, &v) : 0;
}

/* The entity of an id or lookup that the store knows; 0: none. */
static uint32_t known_entity(struct tx *tx, const struct inst_value *e) {
    if (e->tag == INST_ARRAY) {
        return look_up(tx, e);
    }
    return e->tag == INST_STRING && e->len ? tx->store->ops->entity(tx->store, e->u.str, e->len)
                                           : 0;
}

/* The same, but an id need not be known (then *handle is 0). false: the step does not count. */
static bool resolve_entity(struct tx *tx, const struct inst_value *e, uint32_t *handle) {
    *handle = known_entity(tx, e);
    return *handle || (e->tag == INST_STRING && e->len > 0);
}

/* A two-element list whose head is an attr with triples is a lookup, whatever the step's attr.
 * false when it finds nothing: the step does not count. */
static bool resolve_value(struct tx *tx, const struct inst_value *v, struct inst_value *out) {
    *out = *v;
    if (v->tag != INST_ARRAY || v->len != 2 || v->u.items[0].tag != INST_STRING ||
        !inst_mem_store_has_attr(tx->mem, v->u.items[0].u.str, v->u.items[0].len)) {
        return true;
    }
    uint32_t e = look_up(tx, v);
    if (e) {
        *out = tx->store->ops->entity_id(tx->store, e);
    }
    return e && out->len > 0;
}

static const struct inst_attr *find_attr(struct tx *tx, const struct inst_value *id) {
    return id->tag == INST_STRING ? inst_attrs_by_id(tx->store->attrs, id->u.str, id->len) : NULL;
}

/* ---- mode ---- */

/* Has the entity an id triple of the attr's namespace? */
static enum inst_status exists(struct tx *tx, const struct inst_value *step, bool *out) {
    const struct inst_value e = arg(step, 1), attr_id = arg(step, 2);
    const struct inst_attr *attr = find_attr(tx, &attr_id);
    const struct inst_attr *id_attr =
        attr ? inst_attrs_id_attr(tx->store->attrs, attr->forward.etype.u.str,
                                  attr->forward.etype.len)
             : NULL;
    uint32_t handle = known_entity(tx, &e);
    *out = false;
    if (!id_attr || !handle) {
        return INST_OK;
    }
    enum inst_presence presence;
    enum inst_status status =
        tx->store->ops->presence(tx->store, handle, id_attr, false, &presence, tx->err);
    *out = presence != INST_MISSING;
    return status;
}

static enum inst_status passes_mode(struct tx *tx, const struct inst_value *step, bool *out) {
    const struct inst_value action = arg(step, 0), opts = arg(step, 4);
    const struct inst_value *mode = inst_getz(&opts, "mode");
    bool does_exist;
    *out = true;
    if (!mode ||
        (!inst_is_string(&action, "add-triple") && !inst_is_string(&action, "deep-merge-triple"))) {
        return INST_OK;
    }
    bool is_create = inst_is_string(mode, "create");
    if (!is_create && !inst_is_string(mode, "update")) {
        return INST_OK;
    }
    enum inst_status status = exists(tx, step, &does_exist);
    *out = is_create != does_exist;
    return status;
}

/* ---- steps ---- */

static enum inst_status add_triple(struct tx *tx, const struct inst_value *step) {
    struct inst_value e = arg(step, 1), attr_id = arg(step, 2), v = arg(step, 3);
    const struct inst_attr *attr = find_attr(tx, &attr_id);
    uint32_t handle;
    if (!attr || !resolve_entity(tx, &e, &handle) || !resolve_value(tx, &v, &v)) {
        return INST_OK;
    }
    handle = handle ? handle : inst_mem_store_intern(tx->mem, e.u.str, e.len);
    if (!handle) {
        return inst_err_nomem(tx->err);
    }
    return inst_mem_store_put(tx->mem, handle, attr, &v, next_time(tx), tx->err);
}

/* The official client looks the merged value's triple up by the value, which it no longer finds
 * when that is an object that it had before the transaction: then the triple counts as new. */
static bool keeps_time(const struct tx *tx, const struct inst_triple *current) {
    if (current->t == INST_NO_TIME || current->t == 0) {
        return false;
    }
    bool is_object = current->v.tag == INST_OBJECT || current->v.tag == INST_ARRAY;
    return !is_object || current->t >= tx->first;
}

static enum inst_status deep_merge_triple(struct tx *tx, const struct inst_value *step) {
    struct inst_value e = arg(step, 1), attr_id = arg(step, 2), patch = arg(step, 3);
    const struct inst_attr *attr = find_attr(tx, &attr_id);
    uint32_t handle;
    if (!attr || !resolve_entity(tx, &e, &handle) || !resolve_value(tx, &patch, &patch)) {
        return INST_OK;
    }
    if (attr->is_ref) {
        return inst_err_set(tx->err, "Error", 400, "merge operation is not supported for links");
    }
    struct inst_triple current;
    if (!handle || !inst_mem_store_first(tx->mem, handle, attr, &current)) {
        return INST_OK;
    }
    struct inst_value merged;
    if (!inst_deep_merge(&tx->arena, &current.v, &patch, &merged)) {
        return inst_err_nomem(tx->err);
    }
    return inst_mem_store_replace(tx->mem, handle, attr, &merged,
                                  keeps_time(tx, &current) ? current.t : next_time(tx), tx->err);
}

static enum inst_status retract_triple(struct tx *tx, const struct inst_value *step) {
    struct inst_value e = arg(step, 1), attr_id = arg(step, 2), v = arg(step, 3);
    const struct inst_attr *attr = find_attr(tx, &attr_id);
    uint32_t handle = known_entity(tx, &e);
    if (!handle || !resolve_value(tx, &v, &v) || !attr) {
        return INST_OK;
    }
    return inst_mem_store_retract(tx->mem, handle, attr, &v, tx->err);
}

static enum inst_status delete_entity(struct tx *tx, const struct inst_value *step) {
    struct inst_value e = arg(step, 1), etype = arg(step, 2);
    uint32_t handle = known_entity(tx, &e);
    return handle ? inst_mem_store_delete_entity(tx->mem, handle, &etype, tx->err) : INST_OK;
}

/* Goes over to the catalog that making it gave with `status`. Takes over the reference. */
static enum inst_status swap_attrs(struct tx *tx, enum inst_status status, struct inst_attrs *attrs,
                                   bool rebuild) {
    if (status == INST_OK && attrs != tx->store->attrs) {
        status = inst_mem_store_set_attrs(tx->mem, attrs, rebuild, tx->err);
    }
    inst_attrs_unref(attrs);
    return status;
}

static enum inst_status add_attr(struct tx *tx, const struct inst_value *step) {
    struct inst_value attr = arg(step, 1);
    struct inst_attrs *attrs = NULL;
    enum inst_status status = inst_attrs_put(tx->store->attrs, &attr, &attrs, tx->err);
    return swap_attrs(tx, status, attrs, false);
}

static enum inst_status update_attr(struct tx *tx, const struct inst_value *step) {
    struct inst_value partial = arg(step, 1);
    struct inst_attrs *attrs = NULL;
    enum inst_status status = inst_attrs_merge(tx->store->attrs, &partial, &attrs, tx->err);
    return swap_attrs(tx, status, attrs, true);
}

static enum inst_status delete_attr(struct tx *tx, const struct inst_value *step) {
    struct inst_value id = arg(step, 1);
    struct inst_attrs *attrs = NULL;
    if (id.tag != INST_STRING) {
        return INST_OK;
    }
    enum inst_status status = inst_attrs_drop(tx->store->attrs, id.u.str, id.len, &attrs, tx->err);
    return swap_attrs(tx, status, attrs, true);
}

static enum inst_status nothing(struct tx *tx, const struct inst_value *step) {
    (void)tx;
    (void)step;
    return INST_OK;
}

static const struct {
    const char *name;
    enum inst_status (*run)(struct tx *tx, const struct inst_value *step);
} actions[] = {
    {"add-triple", add_triple},
    {"deep-merge-triple", deep_merge_triple},
    {"retract-triple", retract_triple},
    {"delete-entity", delete_entity},
    {"add-attr", add_attr},
    {"update-attr", update_attr},
    {"delete-attr", delete_attr},
    {"restore-attr", nothing},
    {"rule-params", nothing},
};

static enum inst_status run_step(struct tx *tx, const struct inst_value *step) {
    struct inst_value action = arg(step, 0);
    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
        if (inst_is_string(&action, actions[i].name)) {
            return actions[i].run(tx, step);
        }
    }
    if (action.tag != INST_STRING) {
        return malformed(tx);
    }
    return inst_err_set(tx->err, "Error", 400, "unhandled transaction action: %.*s",
                        (int)(action.len < 256 ? action.len : 256), action.u.str);
}

static enum inst_status run_steps(struct tx *tx, const struct inst_value *steps) {
    enum inst_status status = INST_OK;
    bool *counts = malloc((size_t)steps->len + 1);
    if (!counts) {
        return inst_err_nomem(tx->err);
    }
    for (uint32_t i = 0; status == INST_OK && i < steps->len; i++) {
        const struct inst_value *step = &steps->u.items[i];
        status = step->tag == INST_ARRAY ? passes_mode(tx, step, &counts[i]) : malformed(tx);
    }
    for (uint32_t i = 0; status == INST_OK && i < steps->len; i++) {
        if (counts[i]) {
            status = run_step(tx, &steps->u.items[i]);
            inst_arena_reset(&tx->arena);
        }
    }
    free(counts);
    return status;
}

enum inst_status inst_transact(struct inst_mem_store *store, const struct inst_value *steps,
                               const struct inst_env *env, struct inst_created_at *counter,
                               struct inst_err *err) {
    struct tx tx = {
        .mem = store,
        .store = inst_mem_store_as_store(store),
        .counter = counter,
        .now = env->now_ms(env->ctx),
        .err = err,
    };
    if (steps->tag != INST_ARRAY) {
        return malformed(&tx);
    }
    uint64_t mark = inst_mem_store_mark(store);
    if (!mark) {
        return inst_err_nomem(err);
    }
    tx.first = peek_time(&tx);
    inst_arena_init(&tx.arena);
    enum inst_status status = run_steps(&tx, steps);
    if (status != INST_OK) {
        inst_mem_store_rollback(store, mark, NULL);
    }
    inst_mem_store_release(store, mark);
    inst_arena_free(&tx.arena);
    return status;
}
