#include "client/read_attrs.h"

#include <stdlib.h>

static struct inst_read_attrs *reads_of(struct inst_store *store) {
    return (struct inst_read_attrs *)store; /* base is the first member */
}

static void note(struct inst_read_attrs *reads, const struct inst_attr *attr) {
    reads->bits[attr->position / 64] |= (uint64_t)1 << attr->position % 64;
}

static enum inst_status noting_scan(struct inst_store *store, const struct inst_scan *scan,
                                    struct inst_cursor *cursor, struct inst_err *err) {
    struct inst_read_attrs *reads = reads_of(store);
    note(reads, scan->attr);
    return reads->inner->ops->scan(reads->inner, scan, cursor, err);
}

/* The cursor is the inner store's. */
static int noting_next(struct inst_cursor *cursor, struct inst_triple *out, struct inst_err *err) {
    return cursor->store->ops->next(cursor, out, err);
}

static void noting_close(struct inst_cursor *cursor) { cursor->store->ops->close(cursor); }

static size_t noting_estimate(struct inst_store *store, const struct inst_scan *scan,
                              size_t limit) {
    struct inst_read_attrs *reads = reads_of(store);
    note(reads, scan->attr);
    return reads->inner->ops->estimate(reads->inner, scan, limit);
}

static enum inst_status noting_presence(struct inst_store *store, uint32_t e,
                                        const struct inst_attr *attr, bool is_reverse,
                                        enum inst_presence *out, struct inst_err *err) {
    struct inst_read_attrs *reads = reads_of(store);
    note(reads, attr);
    return reads->inner->ops->presence(reads->inner, e, attr, is_reverse, out, err);
}

/* An id that is not known yet becomes known by any write of it, whatever the attr. */
static uint32_t noting_entity(struct inst_store *store, const char *id, size_t len) {
    struct inst_read_attrs *reads = reads_of(store);
    uint32_t e = reads->inner->ops->entity(reads->inner, id, len);
    reads->is_all = reads->is_all || !e;
    return e;
}

static struct inst_value noting_entity_id(struct inst_store *store, uint32_t e) {
    struct inst_store *inner = reads_of(store)->inner;
    return inner->ops->entity_id(inner, e);
}

static bool noting_can_range(struct inst_store *store, const struct inst_attr *attr) {
    struct inst_store *inner = reads_of(store)->inner;
    return inner->ops->can_range(inner, attr);
}

static enum inst_status noting_row(struct inst_store *store, uint32_t e,
                                   const struct inst_attr *const *attrs, size_t n,
                                   struct inst_value *out, struct inst_err *err) {
    struct inst_read_attrs *reads = reads_of(store);
    for (size_t i = 0; i < n; i++) {
        note(reads, attrs[i]);
    }
    return reads->inner->ops->row(reads->inner, e, attrs, n, out, err);
}

static const struct inst_store_ops noting_ops = {
    .scan = noting_scan,
    .next = noting_next,
    .close = noting_close,
    .estimate = noting_estimate,
    .presence = noting_presence,
    .entity = noting_entity,
    .entity_id = noting_entity_id,
    .can_range = noting_can_range,
};

static const struct inst_store_ops noting_row_ops = {
    .scan = noting_scan,
    .next = noting_next,
    .close = noting_close,
    .estimate = noting_estimate,
    .presence = noting_presence,
    .entity = noting_entity,
    .entity_id = noting_entity_id,
    .can_range = noting_can_range,
    .row = noting_row,
};

void inst_read_attrs_init(struct inst_read_attrs *reads) {
    *reads = (struct inst_read_attrs){.is_all = true};
}

void inst_read_attrs_free(struct inst_read_attrs *reads) {
    inst_attrs_unref(reads->attrs);
    free(reads->bits);
    inst_read_attrs_init(reads);
}

struct inst_store *inst_read_attrs_over(struct inst_read_attrs *reads, struct inst_store *inner) {
    size_t words = inst_attrs_count(inner->attrs) / 64 + 1;
    if (reads->attrs != inner->attrs) {
        inst_read_attrs_free(reads);
        reads->bits = malloc(words * sizeof(*reads->bits));
        if (!reads->bits) {
            return inner;
        }
        reads->attrs = inst_attrs_ref(inner->attrs);
    }
    memset(reads->bits, 0, words * sizeof(*reads->bits));
    reads->is_all = false;
    reads->inner = inner;
    reads->base.ops = inner->ops->row ? &noting_row_ops : &noting_ops;
    reads->base.attrs = inner->attrs;
    return &reads->base;
}

static bool is_triple_action(const struct inst_value *action) {
    return inst_is_string(action, "add-triple") || inst_is_string(action, "retract-triple") ||
           inst_is_string(action, "deep-merge-triple");
}

bool inst_read_attrs_meet(const struct inst_read_attrs *reads, const struct inst_value *steps) {
    if (reads->is_all || !reads->bits) {
        return true;
    }
    for (uint32_t i = 0; i < steps->len; i++) {
        const struct inst_value *step = &steps->u.items[i];
        if (step->tag != INST_ARRAY || step->len == 0) {
            return true;
        }
        if (inst_is_string(&step->u.items[0], "rule-params")) {
            continue;
        }
        if (!is_triple_action(&step->u.items[0]) || step->len < 3 ||
            step->u.items[2].tag != INST_STRING) {
            return true; /* deletes reach everything, attr steps too */
        }
        const struct inst_value *id = &step->u.items[2];
        const struct inst_attr *attr = inst_attrs_by_id(reads->attrs, id->u.str, id->len);
        if (attr && reads->bits[attr->position / 64] >> attr->position % 64 & 1) {
            return true;
        }
    }
    return false;
}
