#include "server/recording_store.h"

#include "server/catalog.h"

#include <stdlib.h>

/* A scan whose end matters: slot[0] of the caller's cursor points here. Others are the inner
 * store's own cursors, recorded when they are opened. */
struct inst_recording_cursor {
    struct inst_cursor inner;
    struct inst_recording_store *owner;
    const struct inst_attr *attr;
    enum inst_scan_order order;
    struct inst_point low, high;
    char *low_text, *high_text; /* owned copies of the strings of bounds */
    bool is_at_end;
    bool has_last;
    struct inst_triple last; /* its string is copied into last_text */
    char *last_text;
    size_t last_cap;
    struct inst_recording_cursor *next_spare;
};

static const struct inst_store_ops recording_ops, recording_bulk_ops;

static bool is_ours(const struct inst_store *store) {
    return store->ops == &recording_ops || store->ops == &recording_bulk_ops;
}

static struct inst_recording_store *self(struct inst_store *store) {
    return (struct inst_recording_store *)store;
}

static bool has_one_class(const struct inst_attr *attr) {
    return attr->checked_type != INST_CHECKED_NONE || inst_attr_is_id(attr);
}

static bool is_ranged(const struct inst_scan *scan) {
    return scan->low.is_set || scan->high.is_set || scan->order != INST_ORDER_STORE ||
           scan->after_e != 0;
}

/* The id attr by value: the entity of that id, or that there is none. */
static void record_id(struct inst_recording_store *store, const struct inst_scan *scan) {
    struct inst_uuid uuid;
    uint32_t e = 0;
    if (scan->v.tag == INST_ENTITY)
        e = (uint32_t)scan->v.u.entity;
    else if (scan->v.tag == INST_STRING && inst_uuid_parse(scan->v.u.str, scan->v.len, &uuid))
        e = store->inner->ops->entity(store->inner, scan->v.u.str, scan->v.len);
    else
        return; /* no id: never there */
    if (e != 0)
        inst_read_set_add_entity(store->index, store->set, scan->attr->row, e);
    else
        inst_read_set_add_unknown(store->index, store->set, &uuid);
}

static void record_plain(struct inst_recording_store *store, const struct inst_scan *scan) {
    uint32_t row = scan->attr->row;
    if (scan->e != 0 && scan->ref != 0)
        inst_read_set_add_entity_ref(store->index, store->set, row, scan->e, scan->ref);
    else if (scan->e != 0 && scan->has_v && !inst_attr_names_entity(scan->attr))
        inst_read_set_add_entity_value(store->index, store->set, row, scan->e, &scan->v);
    else if (scan->e != 0)
        inst_read_set_add_entity(store->index, store->set, row, scan->e);
    else if (scan->ref != 0)
        inst_read_set_add_ref(store->index, store->set, row, scan->ref);
    else if (scan->has_v && inst_attr_is_id(scan->attr))
        record_id(store, scan);
    else if (scan->has_v && !scan->attr->is_ref)
        inst_read_set_add_value(store->index, store->set, row, &scan->v);
    else
        inst_read_set_add_attr(store->index, store->set, row);
}

/* Keeps a string of a bound alive: the scan is the caller's only while it is opened. */
static bool own_text(struct inst_point *point, char **text) {
    *text = NULL;
    if (point->class != INST_POINT_STRING)
        return true;
    *text = malloc(point->len + 1);
    if (*text == NULL)
        return false;
    if (point->len > 0)
        memcpy(*text, point->str, point->len);
    point->str = *text;
    return true;
}

/* The further of two bounds in the given direction: what both allow. */
static void narrow(struct inst_point *bound, const struct inst_point *with, int direction) {
    if (with->class != INST_POINT_UNKNOWN && inst_point_compare(with, bound) * direction > 0)
        *bound = *with;
}

static bool set_bounds(struct inst_recording_cursor *cursor, const struct inst_scan *scan) {
    cursor->low = (struct inst_point){.class = INST_POINT_LOWEST};
    cursor->high = (struct inst_point){.class = INST_POINT_HIGHEST};
    if (scan->low.is_set)
        cursor->low = inst_point_of_bound(&scan->low.v);
    if (scan->high.is_set)
        cursor->high = inst_point_of_bound(&scan->high.v);
    if (scan->after_e != 0 && cursor->low.class != INST_POINT_UNKNOWN &&
        cursor->high.class != INST_POINT_UNKNOWN) {
        struct inst_point after = inst_attr_is_id(scan->attr)
                                      ? inst_point_of_bound(&scan->after_v)
                                      : inst_point_of(scan->attr, &scan->after_v, INST_NO_TIME);
        if (scan->order == INST_ORDER_DESC)
            narrow(&cursor->high, &after, -1);
        else
            narrow(&cursor->low, &after, 1);
    }
    return own_text(&cursor->low, &cursor->low_text) && own_text(&cursor->high, &cursor->high_text);
}

static struct inst_recording_cursor *take_cursor(struct inst_recording_store *store) {
    struct inst_recording_cursor *cursor = store->spare;
    if (cursor == NULL)
        return calloc(1, sizeof *cursor);
    store->spare = cursor->next_spare;
    return cursor;
}

static void give_cursor(struct inst_recording_store *store, struct inst_recording_cursor *cursor) {
    free(cursor->low_text);
    free(cursor->high_text);
    char *text = cursor->last_text;
    size_t cap = cursor->last_cap;
    *cursor = (struct inst_recording_cursor){.last_text = text, .last_cap = cap};
    cursor->next_spare = store->spare;
    store->spare = cursor;
}

static enum inst_status recording_scan(struct inst_store *base, const struct inst_scan *scan,
                                       struct inst_cursor *cursor, struct inst_err *err) {
    struct inst_recording_store *store = self(base);
    bool is_tracked = is_ranged(scan) && scan->e == 0 && scan->ref == 0 && !scan->has_v &&
                      has_one_class(scan->attr) && !scan->attr->is_ref;
    if (!is_tracked) {
        record_plain(store, scan);
        cursor->store = store->inner;
        return store->inner->ops->scan(store->inner, scan, cursor, err);
    }
    struct inst_recording_cursor *own = take_cursor(store);
    if (own == NULL)
        return inst_err_nomem(err);
    own->owner = store;
    own->attr = scan->attr;
    own->order = scan->order;
    enum inst_status st = set_bounds(own, scan) ? INST_OK : inst_err_nomem(err);
    own->inner.store = store->inner;
    if (st == INST_OK)
        st = store->inner->ops->scan(store->inner, scan, &own->inner, err);
    if (st != INST_OK) {
        inst_read_set_add_attr(store->index, store->set, scan->attr->row);
        give_cursor(store, own);
        return st;
    }
    cursor->store = base;
    cursor->slot[0].ptr = own;
    return INST_OK;
}

/* Remembers where the scan is: only needed while it can still stop early. */
static bool keep_last(struct inst_recording_cursor *cursor, const struct inst_triple *triple) {
    cursor->last = *triple;
    cursor->has_last = true;
    if (triple->v.tag != INST_STRING)
        return true;
    if (triple->v.len > cursor->last_cap || cursor->last_text == NULL) {
        size_t cap = (size_t)triple->v.len + 64;
        char *text = realloc(cursor->last_text, cap);
        if (text == NULL)
            return false;
        cursor->last_text = text;
        cursor->last_cap = cap;
    }
    if (triple->v.len > 0)
        memcpy(cursor->last_text, triple->v.u.str, triple->v.len);
    cursor->last.v.u.str = cursor->last_text;
    return true;
}

static int recording_next(struct inst_cursor *cursor, struct inst_triple *out,
                          struct inst_err *err) {
    if (!is_ours(cursor->store))
        return cursor->store->ops->next(cursor, out, err);
    struct inst_recording_cursor *own = cursor->slot[0].ptr;
    int more = own->inner.store->ops->next(&own->inner, out, err);
    if (more != 1) {
        own->is_at_end = true;
    } else if (!keep_last(own, out)) {
        inst_err_nomem(err);
        return -1;
    }
    return more;
}

/* What was read: all of it, or as far as the last triple given. */
static void record_range(struct inst_recording_cursor *own) {
    struct inst_recording_store *store = own->owner;
    if (!own->is_at_end) {
        if (!own->has_last)
            return; /* opened and closed: nothing was read */
        struct inst_point last = inst_point_of(own->attr, &own->last.v, own->last.t);
        if (last.class == INST_POINT_UNKNOWN) {
            inst_read_set_add_attr(store->index, store->set, own->attr->row);
            return;
        }
        if (own->order == INST_ORDER_DESC)
            own->low = last;
        else if (own->order == INST_ORDER_ASC)
            own->high = last;
    }
    inst_read_set_add_range(store->index, store->set, own->attr->row, &own->low, &own->high);
}

static void recording_close(struct inst_cursor *cursor) {
    if (!is_ours(cursor->store)) {
        cursor->store->ops->close(cursor);
        return;
    }
    struct inst_recording_cursor *own = cursor->slot[0].ptr;
    record_range(own);
    own->inner.store->ops->close(&own->inner);
    give_cursor(own->owner, own);
}

/* Estimates choose a plan, never a result: not recorded. */
static size_t recording_estimate(struct inst_store *base, const struct inst_scan *scan,
                                 size_t limit) {
    struct inst_store *inner = self(base)->inner;
    return inner->ops->estimate(inner, scan, limit);
}

static enum inst_status recording_presence(struct inst_store *base, uint32_t e,
                                           const struct inst_attr *attr, bool reverse,
                                           enum inst_presence *out, struct inst_err *err) {
    struct inst_recording_store *store = self(base);
    if (reverse)
        inst_read_set_add_ref(store->index, store->set, attr->row, e);
    else
        inst_read_set_add_presence(store->index, store->set, attr->row, e);
    return store->inner->ops->presence(store->inner, e, attr, reverse, out, err);
}

static uint32_t recording_entity(struct inst_store *base, const char *id, size_t len) {
    struct inst_recording_store *store = self(base);
    uint32_t e = store->inner->ops->entity(store->inner, id, len);
    struct inst_uuid uuid;
    /* Only uuids ever become entities. */
    if (e == 0 && inst_uuid_parse(id, len, &uuid))
        inst_read_set_add_unknown(store->index, store->set, &uuid);
    return e;
}

static struct inst_value recording_entity_id(struct inst_store *base, uint32_t e) {
    struct inst_store *inner = self(base)->inner;
    return inner->ops->entity_id(inner, e);
}

static bool recording_can_range(struct inst_store *base, const struct inst_attr *attr) {
    struct inst_store *inner = self(base)->inner;
    return inner->ops->can_range(inner, attr);
}

static enum inst_status recording_fields(struct inst_store *base, uint32_t e,
                                         const struct inst_attr *const *attrs, size_t n,
                                         struct inst_triple *out, struct inst_err *err) {
    struct inst_recording_store *store = self(base);
    struct inst_store *inner = store->inner;
    for (size_t i = 0; i < n; i++)
        inst_read_set_add_entity(store->index, store->set, attrs[i]->row, e);
    return inner->ops->fields(inner, e, attrs, n, out, err);
}

#define RECORDING_OPS                                                                              \
    .scan = recording_scan, .next = recording_next, .close = recording_close,                      \
    .estimate = recording_estimate, .presence = recording_presence, .entity = recording_entity,    \
    .entity_id = recording_entity_id, .can_range = recording_can_range

static const struct inst_store_ops recording_ops = {RECORDING_OPS};
/* Over a store that gives fields in bulk. */
static const struct inst_store_ops recording_bulk_ops = {RECORDING_OPS, .fields = recording_fields};

void inst_recording_store_init(struct inst_recording_store *store, struct inst_store *inner,
                               struct inst_read_index *index, struct inst_read_set *set) {
    *store = (struct inst_recording_store){
        .store = {inner->ops->fields ? &recording_bulk_ops : &recording_ops, inner->attrs},
        .inner = inner,
        .index = index,
        .set = set};
}

void inst_recording_store_release(struct inst_recording_store *store) {
    while (store->spare != NULL) {
        struct inst_recording_cursor *cursor = store->spare;
        store->spare = cursor->next_spare;
        free(cursor->last_text);
        free(cursor);
    }
}
