#include "server/catalog.h"

#include "base/buf.h"
#include "base/json.h"

#include <stdlib.h>

bool inst_attr_is_id(const struct inst_attr *attr) {
    return !attr->is_ref && inst_is_string(&attr->forward.label, "id");
}

bool inst_attr_names_entity(const struct inst_attr *attr) {
    return attr->is_ref || inst_is_string(&attr->forward.label, "id");
}

uint8_t inst_kind_of(const struct inst_value *value) {
    switch (value->tag) {
    case INST_NUMBER:
        return INST_KIND_NUMBER;
    case INST_STRING:
    case INST_ENTITY:
        return INST_KIND_STRING;
    case INST_TRUE:
    case INST_FALSE:
        return INST_KIND_BOOLEAN;
    case INST_ARRAY:
    case INST_OBJECT:
        return INST_KIND_JSON;
    default:
        return 0;
    }
}

static uint8_t kinds_of_attr(const struct inst_attr *attr) {
    const struct inst_value *list = inst_getz(&attr->json, "inferred-types");
    uint8_t kinds = 0;
    if (list == NULL || list->tag != INST_ARRAY)
        return 0;
    for (uint32_t i = 0; i < list->len; i++) {
        const struct inst_value *item = &list->u.items[i];
        if (inst_is_string(item, "number"))
            kinds |= INST_KIND_NUMBER;
        else if (inst_is_string(item, "string"))
            kinds |= INST_KIND_STRING;
        else if (inst_is_string(item, "boolean"))
            kinds |= INST_KIND_BOOLEAN;
        else if (inst_is_string(item, "json"))
            kinds |= INST_KIND_JSON;
    }
    return kinds;
}

enum inst_status inst_catalog_new(struct inst_attrs *attrs_take, struct inst_catalog **out,
                                  struct inst_err *err) {
    struct inst_catalog *catalog = calloc(1, sizeof *catalog);
    if (catalog == NULL) {
        inst_attrs_unref(attrs_take);
        return inst_err_nomem(err);
    }
    catalog->refs = 1;
    catalog->attrs = attrs_take;
    size_t count = inst_attrs_count(attrs_take);
    for (size_t i = 0; i < count; i++) {
        uint32_t row = inst_attrs_at(attrs_take, i)->row;
        if (row >= catalog->row_count)
            catalog->row_count = (size_t)row + 1;
    }
    catalog->rows = calloc(catalog->row_count + 1, sizeof *catalog->rows);
    if (catalog->rows == NULL) {
        inst_catalog_unref(catalog);
        return inst_err_nomem(err);
    }
    for (size_t i = 0; i < count; i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs_take, i);
        if (attr->row != 0)
            catalog->rows[attr->row] = (struct inst_catalog_row){attr, kinds_of_attr(attr)};
    }
    *out = catalog;
    return INST_OK;
}

struct inst_catalog *inst_catalog_ref(struct inst_catalog *catalog) {
    catalog->refs++;
    return catalog;
}

void inst_catalog_unref(struct inst_catalog *catalog) {
    if (catalog == NULL || --catalog->refs > 0)
        return;
    inst_attrs_unref(catalog->attrs);
    free(catalog->rows);
    free(catalog->json);
    free(catalog);
}

const struct inst_attr *inst_catalog_at_row(const struct inst_catalog *catalog, uint32_t row) {
    return row < catalog->row_count ? catalog->rows[row].attr : NULL;
}

uint8_t inst_catalog_kinds(const struct inst_catalog *catalog, uint32_t row) {
    return row < catalog->row_count ? catalog->rows[row].kinds : 0;
}

enum inst_status inst_catalog_json(struct inst_catalog *catalog, const char **json, size_t *len,
                                   struct inst_err *err) {
    if (catalog->json == NULL) {
        struct inst_buf buf;
        inst_buf_init(&buf);
        inst_buf_add_char(&buf, '[');
        size_t count = inst_attrs_count(catalog->attrs);
        for (size_t i = 0; i < count; i++) {
            if (i > 0)
                inst_buf_add_char(&buf, ',');
            inst_json_write(&buf, &inst_attrs_at(catalog->attrs, i)->json);
        }
        inst_buf_add_char(&buf, ']');
        if (buf.failed) {
            inst_buf_free(&buf);
            return inst_err_nomem(err);
        }
        catalog->json = inst_buf_take(&buf, &catalog->json_len);
    }
    *json = catalog->json;
    *len = catalog->json_len;
    return INST_OK;
}

struct keyed {
    const struct inst_attr_entry *entry;
    size_t place; /* among equals the later one counts */
};

static int compare_keyed(const void *a, const void *b) {
    const struct keyed *x = a, *y = b;
    const struct inst_value *i = &x->entry->id, *j = &y->entry->id;
    size_t n = i->len < j->len ? i->len : j->len;
    int c = memcmp(i->u.str, j->u.str, n);
    if (c != 0)
        return c;
    if (i->len != j->len)
        return i->len < j->len ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

enum inst_status inst_catalog_attrs(const struct inst_attr_entry *entries, size_t count,
                                    struct inst_attrs **out, struct inst_err *err) {
    enum inst_status st = INST_OK;
    struct inst_attrs *attrs = NULL;
    struct keyed *keyed = calloc(count + 1, sizeof *keyed);
    struct inst_value *items = calloc(count + 1, sizeof *items);
    size_t kept = 0;
    if (keyed == NULL || items == NULL) {
        st = inst_err_nomem(err);
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        keyed[i] = (struct keyed){&entries[i], i};
    qsort(keyed, count, sizeof *keyed, compare_keyed);
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && inst_value_equal(&keyed[i].entry->id, &keyed[i + 1].entry->id))
            continue;
        keyed[kept] = keyed[i];
        items[kept++] = keyed[i].entry->json;
    }
    struct inst_value list = inst_array(items, kept);
    if ((st = inst_attrs_new(&list, &attrs, err)) != INST_OK)
        goto out;
    for (size_t i = 0; i < kept; i++)
        inst_attrs_set_row(attrs, keyed[i].entry->id.u.str, keyed[i].entry->id.len,
                           keyed[i].entry->row);
    *out = attrs;
out:
    free(items);
    free(keyed);
    return st;
}
