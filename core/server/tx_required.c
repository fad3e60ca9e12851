#include "server/tx.h"

#include "base/json.h"
#include "server/refusal.h"

/* ---- touched entities (transactions.md 8.6) ---- */

/* Records of one attr that is missing, collected for the message. */
struct missing {
    const struct inst_attr *attr;
    struct inst_buf ids; /* joined with ", " */
    size_t count;
};

struct missing_list {
    struct missing *items;
    size_t count, cap;
    struct inst_buf records; /* hint */
};

static struct missing *missing_of(struct inst_tx *tx, struct missing_list *list,
                                  const struct inst_attr *attr) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].attr == attr)
            return &list->items[i];
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 8 : list->cap * 2;
        struct missing *items = inst_arena_alloc(tx->arena, cap * sizeof *items);
        if (items == NULL)
            return NULL;
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    struct missing *item = &list->items[list->count++];
    *item = (struct missing){.attr = attr};
    inst_buf_init(&item->ids);
    return item;
}

static bool add_missing(struct inst_tx *tx, struct missing_list *list, const struct inst_attr *attr,
                        uint32_t e) {
    struct missing *item = missing_of(tx, list, attr);
    if (item == NULL)
        return false;
    struct inst_value id = tx->store->ops->entity_id(tx->store, e);
    const char *text = id.tag == INST_STRING ? id.u.str : "";
    int len = id.tag == INST_STRING ? (int)id.len : 0;
    inst_buf_addf(&item->ids, "%s%.*s", item->count > 0 ? ", " : "", len, text);
    item->count++;
    inst_buf_addf(&list->records,
                  "%s{\"entity_id\":\"%.*s\",\"attr_id\":", list->records.len > 0 ? "," : "", len,
                  text);
    inst_json_write(&list->records, &attr->id);
    inst_buf_add_str(&list->records, ",\"etype\":");
    inst_json_write(&list->records, &attr->forward.etype);
    inst_buf_add_str(&list->records, ",\"label\":");
    inst_json_write(&list->records, &attr->forward.label);
    inst_buf_addf(&list->records, ",\"is_required\":%s}", attr->is_required ? "true" : "false");
    return !item->ids.failed && !list->records.failed;
}

/* Is a non-null value there? A link counts. */
static enum inst_status has_value(struct inst_tx *tx, uint32_t e, const struct inst_attr *attr,
                                  bool *out, struct inst_err *err) {
    enum inst_presence presence = INST_MISSING;
    enum inst_status st = tx->store->ops->presence(tx->store, e, attr, false, &presence, err);
    *out = presence == INST_PRESENT;
    return st;
}

static bool is_needed(const struct inst_attr *attr) {
    return attr->is_required || inst_is_string(&attr->forward.label, "id");
}

static enum inst_status check_member(struct inst_tx *tx, const struct inst_tx_member *member,
                                     struct missing_list *list, struct inst_err *err) {
    const struct inst_attr *const *attrs;
    size_t count =
        inst_attrs_of(tx->catalog->attrs, member->etype.u.str, member->etype.len, &attrs);
    bool has_required = false, is_alive = false;
    enum inst_status st;
    for (size_t i = 0; i < count; i++)
        has_required = has_required || attrs[i]->is_required;
    for (size_t i = 0; has_required && !is_alive && i < count; i++)
        if ((st = has_value(tx, member->e, attrs[i], &is_alive, err)) != INST_OK)
            return st;
    for (size_t i = 0; is_alive && i < count; i++) {
        bool is_there;
        if (!is_needed(attrs[i]))
            continue;
        if ((st = has_value(tx, member->e, attrs[i], &is_there, err)) != INST_OK)
            return st;
        if (!is_there && !add_missing(tx, list, attrs[i], member->e))
            return inst_err_nomem(err);
    }
    return INST_OK;
}

static enum inst_status refuse_missing(struct missing_list *list, struct inst_err *err) {
    struct inst_buf text, hint;
    inst_buf_init(&text);
    inst_buf_init(&hint);
    for (size_t i = 0; i < list->count; i++) {
        const struct inst_ident *name = &list->items[i].attr->forward;
        inst_buf_addf(&text, "%sMissing required attribute%s `%.*s/%.*s`: %s", i > 0 ? ". " : "",
                      list->items[i].count > 1 ? "s" : "", (int)name->etype.len, name->etype.u.str,
                      (int)name->label.len, name->label.u.str, list->items[i].ids.data);
    }
    inst_buf_addf(&hint, "{\"records\":[%s]}", list->records.data);
    enum inst_status st = text.failed || hint.failed
                              ? inst_err_nomem(err)
                              : inst_err_set(err, "validation-failed", 400, "%s", text.data);
    if (st == INST_FAILED)
        inst_err_hint(err, hint.data);
    inst_buf_free(&text);
    inst_buf_free(&hint);
    return st;
}

enum inst_status inst_tx_check_required(struct inst_tx *tx, struct inst_err *err) {
    struct missing_list list = {0};
    enum inst_status st = INST_OK;
    inst_buf_init(&list.records);
    for (size_t i = 0; st == INST_OK && i < tx->touched.count; i++)
        st = check_member(tx, &tx->touched.items[i], &list, err);
    if (st == INST_OK && list.count > 0)
        st = refuse_missing(&list, err);
    for (size_t i = 0; i < list.count; i++)
        inst_buf_free(&list.items[i].ids);
    inst_buf_free(&list.records);
    return st;
}

/* ---- required? switched on by update-attr ---- */

static enum inst_status add_alive(struct inst_tx *tx, const struct inst_attr *attr,
                                  struct inst_tx_members *out, struct inst_err *err) {
    struct inst_scan scan = {.attr = attr};
    struct inst_cursor cursor;
    enum inst_status st = tx->store->ops->scan(tx->store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    struct inst_triple triple;
    int more = 0;
    while (st == INST_OK && (more = tx->store->ops->next(&cursor, &triple, err)) == 1)
        if ((attr->is_ref || !inst_is_nullish(&triple.v)) &&
            !inst_tx_members_add(tx, out, triple.e, &attr->forward.etype, NULL))
            st = inst_err_nomem(err);
    tx->store->ops->close(&cursor);
    return st == INST_OK && more < 0 ? INST_FAILED : st;
}

static enum inst_status check_updated(struct inst_tx *tx, const struct inst_attr *attr,
                                      struct inst_err *err) {
    struct inst_tx_members alive = {0}, holding = {0};
    const struct inst_attr *const *attrs;
    size_t count = inst_attrs_of(tx->catalog->attrs, attr->forward.etype.u.str,
                                 attr->forward.etype.len, &attrs);
    enum inst_status st = add_alive(tx, attr, &holding, err);
    for (size_t i = 0; st == INST_OK && i < count; i++)
        st = add_alive(tx, attrs[i], &alive, err);
    if (st == INST_OK && alive.count != holding.count)
        st = inst_tx_refuse_required(&attr->forward.etype, &attr->forward.label, err);
    inst_table_free(&alive.set);
    inst_table_free(&holding.set);
    return st;
}

enum inst_status inst_tx_check_updated_required(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (size_t i = 0; st == INST_OK && i < tx->count; i++) {
        const struct inst_tx_step *step = &tx->list[i];
        if (step->op != INST_TX_UPDATE_ATTR || !inst_get_true(step->v, "required?"))
            continue;
        const struct inst_attr *attr = inst_tx_attr_by_id(tx, step->a);
        const struct inst_attr *before =
            inst_attrs_by_id(tx->transaction->catalog->attrs, step->a->u.str, step->a->len);
        /* What was required already holds, and what a job will see to is not required yet. */
        bool is_new = before == NULL || !before->is_required;
        if (attr != NULL && !attr->is_system && attr->is_required && is_new)
            st = check_updated(tx, attr, err);
    }
    return st;
}
