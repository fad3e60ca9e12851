#include "instaql/operator.h"

#include "base/date.h"
#include "base/text.h"
#include "instaql/compare.h"
#include "instaql/limits.h"

#include <math.h>

enum { LINEAR_ITEMS = 8 };

static uint64_t hash_value(const struct inst_value *v) {
    double num = v->tag == INST_STRING ? 0 : v->u.num + 0.0; /* -0 is 0 */
    if (v->tag == INST_STRING) {
        return inst_text_hash(v->u.str, v->len, v->tag);
    }
    return v->tag == INST_NUMBER || v->tag == INST_DATE ? inst_text_hash(&num, sizeof(num), v->tag)
                                                        : v->tag;
}

/* As inst_value_same, with dates by instant: items of a server's date list. */
static bool same_item(const struct inst_value *a, const struct inst_value *b) {
    if (a->tag == INST_DATE && b->tag == INST_DATE) {
        return a->u.num == b->u.num;
    }
    return inst_value_same(a, b);
}

static bool is_in(const struct inst_operator *op, const struct inst_value *v) {
    if (!op->index) {
        for (uint32_t i = 0; i < op->item_count; i++) {
            if (same_item(&op->items[i], v)) {
                return true;
            }
        }
        return false;
    }
    for (uint32_t at = (uint32_t)hash_value(v) & op->index_mask; op->index[at];
         at = (at + 1) & op->index_mask) {
        if (same_item(&op->items[op->index[at] - 1], v)) {
            return true;
        }
    }
    return false;
}

bool inst_operator_set_items(struct inst_operator *op, struct inst_arena *arena,
                             const struct inst_value *values, uint32_t count) {
    struct inst_value *items = inst_arena_alloc(arena, (size_t)count * sizeof(*items));
    uint32_t *index = NULL;
    if (!items) {
        return false;
    }
    op->items = items;
    op->item_count = 0;
    if (count > LINEAR_ITEMS) {
        uint32_t size = 16;
        while (size < count * 2) {
            size *= 2;
        }
        index = inst_arena_zalloc(arena, size * sizeof(*index));
        if (!index) {
            return false;
        }
        op->index_mask = size - 1;
    }
    op->index = index;
    for (uint32_t i = 0; i < count; i++) {
        const struct inst_value *v = &values[i];
        bool is_scalar = (v->tag >= INST_NULL && v->tag <= INST_STRING) ||
                         (v->tag == INST_DATE && op->is_server);
        if (!is_scalar || is_in(op, v)) {
            continue;
        }
        items[op->item_count++] = *v;
        if (index) {
            uint32_t at = (uint32_t)hash_value(v) & op->index_mask;
            while (index[at]) {
                at = (at + 1) & op->index_mask;
            }
            index[at] = op->item_count;
        }
    }
    return true;
}

/* A stored value as the operator reads it: dates as instants. false: no date. */
static bool read_value(const struct inst_operator *op, struct inst_operator_run *run,
                       const struct inst_value *v, struct inst_value *out) {
    *out = *v;
    if (!op->is_date) {
        return true;
    }
    if (op->is_server) {
        return v->tag == INST_NULL || inst_date_coerce(v, out, NULL) == INST_OK;
    }
    *out = inst_number(inst_js_date(v, &run->scratch[0]));
    return true;
}

static bool accepts(enum inst_operator_kind kind, enum inst_js_order order) {
    switch (kind) {
    case INST_OP_GT:
        return order == INST_JS_GREATER;
    case INST_OP_GTE:
        return order == INST_JS_GREATER || order == INST_JS_EQUAL;
    case INST_OP_LT:
        return order == INST_JS_LESS;
    default:
        return order == INST_JS_LESS || order == INST_JS_EQUAL;
    }
}

/* The server compares values of one type; null only with text, below all of it. */
static enum inst_js_order typed_order(const struct inst_value *a, const struct inst_value *b) {
    if (a->tag == INST_NULL && b->tag == INST_STRING) {
        return INST_JS_LESS;
    }
    if (a->tag == INST_STRING && b->tag == INST_STRING) {
        size_t least = a->len < b->len ? a->len : b->len;
        int order = least ? memcmp(a->u.str, b->u.str, least) : 0;
        if (order == 0) {
            order = (a->len > b->len) - (a->len < b->len);
        }
        return order < 0 ? INST_JS_LESS : order > 0 ? INST_JS_GREATER : INST_JS_EQUAL;
    }
    double x = a->u.num;
    double y = b->u.num;
    bool is_bool = (a->tag == INST_TRUE || a->tag == INST_FALSE) &&
                   (b->tag == INST_TRUE || b->tag == INST_FALSE);
    if (is_bool) {
        x = a->tag == INST_TRUE;
        y = b->tag == INST_TRUE;
    } else if (a->tag != b->tag || (a->tag != INST_NUMBER && a->tag != INST_DATE)) {
        return INST_JS_UNORDERED;
    }
    if (isnan(x) || isnan(y)) {
        return INST_JS_UNORDERED;
    }
    return x < y ? INST_JS_LESS : x > y ? INST_JS_GREATER : INST_JS_EQUAL;
}

/* The value of a triple as text or scalar: where it names an entity (a link's target, an id), that
 * one's id, whatever the store. */
static struct inst_value plain_value(struct inst_operator_run *run,
                                     const struct inst_triple *triple) {
    if (triple->v.tag == INST_ENTITY && triple->ref) {
        return run->store->ops->entity_id(run->store, triple->ref);
    }
    return triple->v;
}

static int test_null(const struct inst_operator *op, struct inst_operator_run *run,
                     const struct inst_triple *triple, struct inst_err *err) {
    enum inst_presence presence = INST_MISSING;
    uint32_t e = triple->ref;
    if (!e && triple->v.tag == INST_STRING) {
        e = run->store->ops->entity(run->store, triple->v.u.str, triple->v.len);
    }
    if (e && run->store->ops->presence(run->store, e, op->null_attr, op->is_reverse, &presence,
                                       err) != INST_OK) {
        return -1;
    }
    return (presence != INST_PRESENT) == op->wants_null;
}

static int test_like(const struct inst_operator *op, struct inst_operator_run *run,
                     const struct inst_value *v, struct inst_err *err) {
    if (!op->like || v->tag != INST_STRING) {
        return 0;
    }
    bool matches = inst_like_matches(op->like, v->u.str, v->len, &run->like_work);
    if (run->like_work > INST_INSTAQL_MAX_LIKE_WORK) {
        inst_instaql_took_too_long(err, "The query's like patterns take too much work.");
        return -1;
    }
    return matches;
}

/* Ids of a store are lower case uuids on the server; the prefix is hex digits and hyphens. */
static int test_prefix(const struct inst_operator *op, struct inst_operator_run *run,
                       const struct inst_triple *triple) {
    struct inst_value id = run->store->ops->entity_id(run->store, triple->e);
    if (id.tag != INST_STRING || op->operand.len > id.len) {
        return 0;
    }
    for (uint32_t i = 0; i < op->operand.len; i++) {
        char c = op->operand.u.str[i];
        if ((c >= 'A' && c <= 'F' ? c + 32 : c) != id.u.str[i]) {
            return 0;
        }
    }
    return 1;
}

int inst_operator_test(const struct inst_operator *op, struct inst_operator_run *run,
                       const struct inst_triple *triple, struct inst_err *err) {
    struct inst_value v;
    struct inst_value plain;
    switch (op->kind) {
    case INST_OP_IS_NULL:
        return test_null(op, run, triple, err);
    case INST_OP_ID_PREFIX:
        return test_prefix(op, run, triple);
    case INST_OP_THROWS:
        inst_err_set(err, "TypeError", 400, "%s", op->message);
        return -1;
    case INST_OP_LIKE:
        return test_like(op, run, &triple->v, err);
    default:
        break;
    }
    plain = plain_value(run, triple);
    if (!read_value(op, run, &plain, &v)) {
        return op->kind == INST_OP_NOT;
    }
    if (op->kind == INST_OP_IN) {
        return is_in(op, &v);
    }
    if (op->kind == INST_OP_NOT) {
        return !same_item(&v, &op->operand);
    }
    return accepts(op->kind, op->is_server ? typed_order(&v, &op->operand)
                                           : inst_js_compare(&v, &op->operand, run->scratch));
}

static struct inst_bound bound(const struct inst_value *v, bool is_inclusive) {
    return (struct inst_bound){.is_set = true, .is_inclusive = is_inclusive, .v = *v};
}

enum inst_range_kind inst_operator_range(const struct inst_operator *op, struct inst_bound *low,
                                         struct inst_bound *high) {
    /* Nulls are lowest in the store's order, and count only where they are below all text. */
    struct inst_value null = inst_null();
    bool takes_null = op->operand.tag == INST_STRING;
    if (!op->is_server) {
        return INST_RANGE_NONE;
    }
    switch (op->kind) {
    case INST_OP_GT:
    case INST_OP_GTE:
        *low = bound(&op->operand, op->kind == INST_OP_GTE);
        return INST_RANGE_EXACT;
    case INST_OP_LT:
    case INST_OP_LTE:
        if (!takes_null) {
            *low = bound(&null, false);
        }
        *high = bound(&op->operand, op->kind == INST_OP_LTE);
        return INST_RANGE_EXACT;
    case INST_OP_IN:
        if (op->item_count != 1 || op->items[0].tag != INST_DATE) {
            return INST_RANGE_NONE;
        }
        *low = *high = bound(&op->items[0], true);
        return INST_RANGE_EXACT;
    case INST_OP_LIKE:
        if (op->prefix.tag != INST_STRING) {
            return INST_RANGE_NONE;
        }
        *low = bound(&op->prefix, true);
        *high = bound(&op->prefix_end, false);
        return INST_RANGE_WIDER;
    default:
        return INST_RANGE_NONE;
    }
}
