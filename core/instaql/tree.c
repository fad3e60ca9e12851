/*
 * The order of objects in a tree (instaql.md 4.7): null lowest, texts by code unit, dates as
 * instants, ties by id; all of it reversed for desc.
 */
#include "base/date.h"
#include "base/text.h"
#include "instaql/collect.h"

#include <stdlib.h>

struct tree_order {
    const char *label; /* NULL: by created-at */
    size_t len;
    bool is_date;
    bool is_desc;
};

static struct inst_value key_of(const struct tree_order *order, const struct inst_value *entry) {
    const struct inst_value *v = &entry->u.items[1];
    struct inst_value ms;
    if (order->label) {
        v = inst_get(&entry->u.items[0], order->label, order->len);
    }
    if (!v || v->tag == INST_UNDEFINED) {
        return inst_null();
    }
    if (order->is_date && inst_date_coerce(v, &ms, NULL) == INST_OK) {
        return ms;
    }
    return *v;
}

static int rank(const struct inst_value *v) { return v->tag; }

static int compare_keys(const struct inst_value *a, const struct inst_value *b) {
    if (rank(a) != rank(b)) {
        return rank(a) < rank(b) ? -1 : 1;
    }
    switch (a->tag) {
    case INST_STRING:
        return inst_text_cmp_utf16(a->u.str, a->len, b->u.str, b->len);
    case INST_NUMBER:
    case INST_DATE:
        return (a->u.num > b->u.num) - (a->u.num < b->u.num);
    default:
        return 0;
    }
}

static int compare_entries(const void *left, const void *right, void *ctx) {
    const struct tree_order *order = ctx;
    const struct inst_value *a = left;
    const struct inst_value *b = right;
    struct inst_value x = key_of(order, a);
    struct inst_value y = key_of(order, b);
    int result = compare_keys(&x, &y);
    if (result == 0) {
        const struct inst_value *a_id = inst_get_string(&a->u.items[0], "id");
        const struct inst_value *b_id = inst_get_string(&b->u.items[0], "id");
        result =
            a_id && b_id ? inst_text_cmp_utf16(a_id->u.str, a_id->len, b_id->u.str, b_id->len) : 0;
    }
    return order->is_desc ? -result : result;
}

enum inst_status inst_tree_sort(struct inst_collector *c, const struct inst_form *form,
                                struct inst_value *entries, size_t count) {
    struct tree_order order = {0};
    const struct inst_value *by = inst_form_option(form, "order");
    if (by && by->tag == INST_OBJECT && by->len) {
        const struct inst_member *m = &by->u.members[0];
        order.is_desc = inst_is_string(&m->value, "desc");
        if (!(m->key_len == 15 && memcmp(m->key, "serverCreatedAt", 15) == 0)) {
            order.label = m->key;
            order.len = m->key_len;
            const struct inst_attr *attr = inst_attrs_forward(c->query->attrs, form->etype.u.str,
                                                              form->etype.len, m->key, m->key_len);
            order.is_date = attr && attr->checked_type == INST_CHECKED_DATE;
        }
    }
    if (count > 1) {
        qsort_r(entries, count, sizeof(*entries), compare_entries, &order);
    }
    return INST_OK;
}
