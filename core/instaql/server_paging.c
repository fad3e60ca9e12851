/*
 * The server's compiler of order, limit and cursors (instaql.md 4.3).
 */
#include "base/date.h"
#include "instaql/server_compile.h"
#include "instaql/server_validation.h"

#include <stdio.h>

const struct inst_value *inst_server_option(const struct inst_form *form, const char *name) {
    const struct inst_value *v = inst_form_option(form, name);
    return v && v->tag != INST_FALSE ? v : NULL;
}

static const char *order_label(const struct inst_attr *attr, char *room, size_t cap) {
    if (inst_is_string(&attr->forward.label, "id")) {
        return "serverCreatedAt";
    }
    snprintf(room, cap, "%.*s", (int)attr->forward.label.len, attr->forward.label.u.str);
    return room;
}

static void put_order_path(struct inst_server_compiler *s, const char *option) {
    s->path[s->path_len] = inst_cstring("$");
    s->path[s->path_len + 1] = inst_cstring(option);
}

/* Every reason why rows cannot be ordered by an attr. */
static enum inst_status check_orderable(struct inst_server_compiler *s,
                                        const struct inst_attr *attr) {
    const struct {
        bool applies;
        const char *text;
    } reasons[] = {
        {attr->is_checking_type, " attribute is still in the process of validating its type. It "
                                 "must finish before ordering by the attribute."},
        {attr->is_indexing, " attribute is still in the process of indexing. It must finish before "
                            "ordering by the attribute."},
        {!attr->is_indexed, " attribute is not indexed. Only indexed and typed attributes can be "
                            "used to order by."},
        {attr->checked_type == INST_CHECKED_NONE, " attribute is not typed. Only typed and indexed "
                                                  "attributes can be used to order by."},
        {attr->is_many, " attribute has cardinality `many`. Only attributes with cardinality `one` "
                        "can be used to order by."},
    };
    struct inst_refusal r;
    bool has_reason = false;
    inst_refusal_begin(&r, "query", &s->query->value);
    put_order_path(s, "order");
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].applies) {
            struct inst_buf text;
            inst_buf_init(&text);
            inst_buf_add_str(&text, "The ");
            inst_server_add_name(&text, attr);
            inst_buf_add_str(&text, reasons[i].text);
            inst_refusal_add(&r, "expected", "supported-order?", s->path, s->path_len + 2,
                             text.data ? text.data : "");
            inst_buf_free(&text);
            has_reason = true;
        }
    }
    if (has_reason) {
        return inst_refusal_end(&r, s->c.err);
    }
    inst_buf_free(&r.message);
    inst_buf_free(&r.hint);
    return INST_OK;
}

static enum inst_status refuse_cursor(struct inst_server_compiler *s, const char *name,
                                      const struct inst_attr *attr, const struct inst_value *id) {
    char text[512];
    char own[200];
    char other[200];
    const struct inst_attr *wrong = inst_attrs_by_id(s->c.in->attrs, id->u.str, id->len);
    int len = snprintf(text, sizeof(text),
                       "Invalid %s cursor. The query orders by `%s`, but the query that returned "
                       "the cursor orders by ",
                       name, order_label(attr, own, sizeof(own)));
    if (wrong) {
        snprintf(text + len, sizeof(text) - (size_t)len, "`%s`.",
                 order_label(wrong, other, sizeof(other)));
    } else {
        snprintf(text + len, sizeof(text) - (size_t)len, "a missing attribute.");
    }
    put_order_path(s, name);
    return inst_refuse(s->query, "expected", "valid-cursor?", s->path, s->path_len + 2, text,
                       s->c.err);
}

/* A place in the order: [entity, attr, value, created-at]. */
static enum inst_status read_cursor(struct inst_server_compiler *s,
                                    const struct inst_paging *paging, const char *name,
                                    const struct inst_value *cursor, struct inst_value *id,
                                    struct inst_value *v) {
    const struct inst_value *attr_id = &cursor->u.items[1];
    if (!inst_value_same(attr_id, &paging->attr->id)) {
        return refuse_cursor(s, name, paging->attr, attr_id);
    }
    *id = cursor->u.items[0];
    *v = paging->is_by_time ? cursor->len > 3 ? cursor->u.items[3] : inst_null()
                            : cursor->u.items[2];
    bool is_date = !paging->is_by_time && paging->attr->checked_type == INST_CHECKED_DATE;
    if (is_date && v->tag != INST_NULL) {
        struct inst_value ms;
        if (inst_date_coerce(v, &ms, NULL) != INST_OK) {
            struct inst_server_place place = {.items = {inst_cstring("$"), inst_cstring(name)},
                                              .count = 2};
            inst_server_refuse_type(s, paging->attr, "date-string?", &place, "value", v);
            return s->c.status;
        }
        *v = ms;
    }
    return INST_OK;
}

static enum inst_status find_order(struct inst_server_compiler *s, struct inst_form *form,
                                   struct inst_paging *paging) {
    const struct inst_value *order = inst_server_option(form, "order");
    const struct inst_member *by = order && order->len ? &order->u.members[0] : NULL;
    paging->is_by_time = !by || inst_server_is_name(by, "serverCreatedAt");
    paging->is_desc = by && inst_is_string(&by->value, "desc");
    const char *label = paging->is_by_time ? "id" : by->key;
    size_t len = paging->is_by_time ? 2 : by->key_len;
    const struct inst_value *etype = &form->etype;
    paging->attr = inst_attrs_forward(s->c.in->attrs, etype->u.str, etype->len, label, len);
    if (!paging->attr) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_buf_addf(&text, "There is no `%.*s` attribute for %.*s.", (int)len, label,
                      (int)etype->len, etype->u.str);
        struct inst_value more[] = {inst_cstring("$"), inst_cstring("order")};
        inst_server_refuse(s, "expected", "supported-order?", more, 2, &text);
        return s->c.status;
    }
    return paging->is_by_time ? INST_OK : check_orderable(s, paging->attr);
}

enum inst_status inst_server_compile_paging(struct inst_server_compiler *s,
                                            struct inst_form *form) {
    const struct inst_value *limit = inst_server_option(form, "limit");
    const struct inst_value *last = inst_server_option(form, "last");
    const struct inst_value *offset = inst_server_option(form, "offset");
    const struct inst_value *after = inst_server_option(form, "after");
    const struct inst_value *before = inst_server_option(form, "before");
    const struct inst_value *order = inst_server_option(form, "order");
    limit = limit ? limit : inst_server_option(form, "first");
    if (!limit && !last && !offset && !after && !before && (!order || !order->len)) {
        return INST_OK;
    }
    struct inst_paging *p = inst_arena_zalloc(s->c.in->arena, sizeof(*p));
    if (!p) {
        return inst_err_nomem(s->c.err);
    }
    form->paging = p;
    p->is_last = last != NULL;
    p->limit = limit ? (uint64_t)limit->u.num : last ? (uint64_t)last->u.num : 0;
    p->offset = offset ? (uint64_t)offset->u.num : 0;
    p->has_after = after != NULL;
    p->has_before = before != NULL;
    p->after_inclusive = inst_get_true(&form->options, "afterInclusive");
    p->before_inclusive = inst_get_true(&form->options, "beforeInclusive");
    enum inst_status status = find_order(s, form, p);
    if (status == INST_OK && before) {
        status = read_cursor(s, p, "before", before, &p->before_id, &p->before);
    }
    if (status == INST_OK && after) {
        status = read_cursor(s, p, "after", after, &p->after_id, &p->after);
    }
    return status;
}
