#include "triples/attrs.h"

#include "base/text.h"
#include "triples/id_table.h"

#include <stdlib.h>
#include <string.h>

/* The memory behind one or more attrs: their texts and JSON. Counted once by every place of every
 * catalog that holds one of them. */
struct batch {
    size_t refs;
    struct inst_arena arena;
};

/* What one namespace knows; the lists lie in the catalog's `lists`. */
struct group {
    struct inst_value etype;
    const struct inst_attr *primary;  /* the last attr marked primary, or NULL */
    const struct inst_attr **blobs;   /* one a label, in result-key order */
    const struct inst_attr **of;      /* all that start here */
    const struct inst_attr **reverse; /* refs that end here */
    size_t blobs_len, of_len, reverse_len;
};

struct inst_attrs {
    size_t refs;
    size_t count;
    uint64_t seed;
    struct inst_attr *attrs; /* by position */
    struct batch **batches;  /* of each attr */
    struct group *groups;
    size_t groups_len;
    const struct inst_attr **lists;
    /* ids are positions + 1 (etypes: group + 1) */
    struct inst_id_table by_id, forward, reverse, etypes;
};

/* ---- batches ---- */

static struct batch *batch_new(void) {
    struct batch *batch = malloc(sizeof(*batch));
    if (batch) {
        batch->refs = 1;
        inst_arena_init(&batch->arena);
    }
    return batch;
}

static void batch_unref(struct batch *batch) {
    if (batch && --batch->refs == 0) {
        inst_arena_free(&batch->arena);
        free(batch);
    }
}

/* ---- reading one attr ---- */

static bool text_same(const struct inst_value *v, const char *str, size_t len) {
    return v->tag == INST_STRING && v->len == len && (len == 0 || memcmp(v->u.str, str, len) == 0);
}

static bool read_ident(const struct inst_value *json, const char *key, struct inst_ident *out) {
    const struct inst_value *v = inst_getz(json, key);
    if (!v || v->tag != INST_ARRAY || v->len < 3 || v->u.items[1].tag != INST_STRING ||
        v->u.items[2].tag != INST_STRING) {
        return false;
    }
    out->id = v->u.items[0].tag == INST_STRING ? v->u.items[0] : inst_undefined();
    out->etype = v->u.items[1];
    out->label = v->u.items[2];
    return true;
}

static enum inst_checked_type read_checked(const struct inst_value *json) {
    static const struct {
        const char *name;
        enum inst_checked_type type;
    } types[] = {{"string", INST_CHECKED_STRING},
                 {"number", INST_CHECKED_NUMBER},
                 {"boolean", INST_CHECKED_BOOLEAN},
                 {"date", INST_CHECKED_DATE}};
    const struct inst_value *v = inst_getz(json, "checked-data-type");
    for (size_t i = 0; v && i < sizeof(types) / sizeof(*types); i++) {
        if (inst_is_string(v, types[i].name)) {
            return types[i].type;
        }
    }
    return INST_CHECKED_NONE;
}

static bool member_is(const struct inst_value *json, const char *key, const char *text) {
    const struct inst_value *v = inst_getz(json, key);
    return v && inst_is_string(v, text);
}

enum inst_status inst_attr_read(const struct inst_value *json, struct inst_attr *out,
                                struct inst_err *err) {
    *out = (struct inst_attr){.json = *json};
    const struct inst_value *id = inst_get_string(json, "id");
    if (!id) {
        return inst_err_set(err, "validation-failed", 400, "Attr needs an id");
    }
    out->id = *id;
    if (!read_ident(json, "forward-identity", &out->forward)) {
        return inst_err_set(err, "validation-failed", 400, "Attr %.*s needs a forward-identity",
                            (int)(id->len < 64 ? id->len : 64), id->u.str);
    }
    read_ident(json, "reverse-identity", &out->reverse);
    out->checked_type = read_checked(json);
    out->is_ref = member_is(json, "value-type", "ref");
    /* The official client asks for "one" and takes everything else as many. */
    out->is_many = !member_is(json, "cardinality", "one");
    out->is_unique = inst_get_true(json, "unique?");
    out->is_indexed = inst_get_true(json, "index?");
    out->is_required = inst_get_true(json, "required?");
    out->is_primary = inst_get_true(json, "primary?");
    out->is_system = member_is(json, "catalog", "system");
    out->is_unsynced = inst_get_true(json, "isUnsynced");
    out->on_delete_cascade = member_is(json, "on-delete", "cascade");
    out->on_delete_reverse_cascade = member_is(json, "on-delete-reverse", "cascade");
    out->is_indexing = inst_get_true(json, "indexing?");
    out->is_checking_type = inst_get_true(json, "checking-data-type?");
    out->is_setting_unique = inst_get_true(json, "setting-unique?");
    out->is_setting_required = inst_get_true(json, "setting-required?");
    out->is_setting_cardinality = inst_get_true(json, "setting-cardinality?");
    return INST_OK;
}

/* ---- names ---- */

static uint32_t hash_text(const struct inst_attrs *attrs, const char *str, size_t len) {
    return (uint32_t)inst_text_hash(str, len, attrs->seed);
}

static uint32_t hash_name(const struct inst_attrs *attrs, const char *etype, size_t etype_len,
                          const char *label, size_t label_len) {
    return (uint32_t)inst_text_hash(label, label_len,
                                    inst_text_hash(etype, etype_len, attrs->seed));
}

static uint32_t find_id(const struct inst_attrs *attrs, const char *id, size_t len) {
    uint32_t hash = hash_text(attrs, id, len);
    uint32_t at = hash, found;
    while ((found = inst_id_table_next(&attrs->by_id, hash, &at)) != 0) {
        if (text_same(&attrs->attrs[found - 1].id, id, len)) {
            break;
        }
    }
    return found;
}

/* In forward (or another table over forward names) or, is_reverse, in reverse. */
static uint32_t find_name(const struct inst_attrs *attrs, const struct inst_id_table *table,
                          bool is_reverse, const char *etype, size_t etype_len, const char *label,
                          size_t label_len, uint32_t *hash) {
    *hash = hash_name(attrs, etype, etype_len, label, label_len);
    uint32_t at = *hash, found;
    while ((found = inst_id_table_next(table, *hash, &at)) != 0) {
        const struct inst_attr *attr = &attrs->attrs[found - 1];
        const struct inst_ident *ident = is_reverse ? &attr->reverse : &attr->forward;
        if (text_same(&ident->etype, etype, etype_len) &&
            text_same(&ident->label, label, label_len)) {
            break;
        }
    }
    return found;
}

static uint32_t find_ident(const struct inst_attrs *attrs, const struct inst_id_table *table,
                           bool is_reverse, const struct inst_ident *ident, uint32_t *hash) {
    return find_name(attrs, table, is_reverse, ident->etype.u.str, ident->etype.len,
                     ident->label.u.str, ident->label.len, hash);
}

static struct group *find_group(const struct inst_attrs *attrs, const char *etype, size_t len,
                                uint32_t *hash) {
    *hash = hash_text(attrs, etype, len);
    uint32_t at = *hash, found;
    while ((found = inst_id_table_next(&attrs->etypes, *hash, &at)) != 0) {
        if (text_same(&attrs->groups[found - 1].etype, etype, len)) {
            return &attrs->groups[found - 1];
        }
    }
    return NULL;
}

/* ---- building the indexes ---- */

static struct group *add_group(struct inst_attrs *attrs, const struct inst_value *etype) {
    uint32_t hash;
    struct group *group = find_group(attrs, etype->u.str, etype->len, &hash);
    if (!group) {
        group = &attrs->groups[attrs->groups_len++];
        group->etype = *etype;
        inst_id_table_add(&attrs->etypes, hash, (uint32_t)attrs->groups_len);
    }
    return group;
}

static bool is_blob(const struct inst_attr *attr) {
    return member_is(&attr->json, "value-type", "blob");
}

/* A later attr of the same name counts, at the place of the first. */
static void add_name(struct inst_attrs *attrs, struct inst_id_table *table, bool is_reverse,
                     uint32_t number) {
    const struct inst_attr *attr = &attrs->attrs[number - 1];
    uint32_t hash;
    uint32_t found =
        find_ident(attrs, table, is_reverse, is_reverse ? &attr->reverse : &attr->forward, &hash);
    if (found) {
        inst_id_table_replace(table, hash, found, number);
    } else {
        inst_id_table_add(table, hash, number);
    }
}

static void count_into_groups(struct inst_attrs *attrs) {
    for (size_t i = 0; i < attrs->count; i++) {
        const struct inst_attr *attr = &attrs->attrs[i];
        struct group *group = add_group(attrs, &attr->forward.etype);
        group->of_len++;
        group->blobs_len += is_blob(attr);
        if (attr->is_primary) {
            group->primary = attr;
        }
        if (attr->is_ref && attr->reverse.label.tag == INST_STRING) {
            add_group(attrs, &attr->reverse.etype)->reverse_len++;
        }
    }
    const struct inst_attr **next = attrs->lists;
    for (size_t i = 0; i < attrs->groups_len; i++) {
        struct group *group = &attrs->groups[i];
        group->of = next;
        group->blobs = group->of + group->of_len;
        group->reverse = group->blobs + group->blobs_len;
        next = group->reverse + group->reverse_len;
        group->of_len = group->blobs_len = group->reverse_len = 0;
    }
}

static uint64_t label_rank(const struct inst_attr *attr) {
    uint32_t index;
    return inst_key_is_index(attr->forward.label.u.str, attr->forward.label.len, &index)
               ? index
               : (uint64_t)UINT32_MAX + 1;
}

static int compare_ranks(const void *left, const void *right) {
    uint64_t a = label_rank(*(const struct inst_attr *const *)left);
    uint64_t b = label_rank(*(const struct inst_attr *const *)right);
    return (a > b) - (a < b);
}

/* Integer-like labels to the front, ascending; the others keep their order. */
static void order_blobs(struct group *group, const struct inst_attr **scratch) {
    size_t front = 0, back = 0;
    for (size_t i = 0; i < group->blobs_len; i++) {
        const struct inst_attr *attr = group->blobs[i];
        if (label_rank(attr) <= UINT32_MAX) {
            group->blobs[front++] = attr;
        } else {
            scratch[back++] = attr;
        }
    }
    if (front) {
        qsort(group->blobs, front, sizeof(struct inst_attr *), compare_ranks);
        memcpy(group->blobs + front, scratch, back * sizeof(struct inst_attr *));
    }
}

/* blobs: a table of the first attr of each blob name; place: where it stands in its list. */
static void fill_groups(struct inst_attrs *attrs, struct inst_id_table *blobs, uint32_t *place) {
    for (size_t i = 0; i < attrs->count; i++) {
        const struct inst_attr *attr = &attrs->attrs[i];
        uint32_t hash;
        struct group *group =
            find_group(attrs, attr->forward.etype.u.str, attr->forward.etype.len, &hash);
        group->of[group->of_len++] = attr;
        if (is_blob(attr)) {
            uint32_t first = find_ident(attrs, blobs, false, &attr->forward, &hash);
            if (first) {
                group->blobs[place[first - 1]] = attr;
            } else {
                place[i] = (uint32_t)group->blobs_len;
                group->blobs[group->blobs_len++] = attr;
                inst_id_table_add(blobs, hash, (uint32_t)i + 1);
            }
        }
        if (attr->is_ref && attr->reverse.label.tag == INST_STRING) {
            group = find_group(attrs, attr->reverse.etype.u.str, attr->reverse.etype.len, &hash);
            group->reverse[group->reverse_len++] = attr;
        }
    }
}

/* attrs->attrs is filled and its ids are distinct. */
static enum inst_status build(struct inst_attrs *attrs, struct inst_err *err) {
    enum inst_status status = INST_NOMEM;
    uint32_t n = (uint32_t)attrs->count;
    struct inst_id_table blobs = {0};
    uint32_t *place = malloc(((size_t)n + 1) * sizeof(*place));
    const struct inst_attr **scratch = malloc(((size_t)n + 1) * sizeof(struct inst_attr *));
    attrs->lists = malloc((3 * (size_t)n + 1) * sizeof(struct inst_attr *));
    attrs->groups = calloc(2 * (size_t)n + 1, sizeof(*attrs->groups));
    if (!place || !scratch || !attrs->lists || !attrs->groups ||
        !inst_id_table_reserve(&blobs, n) || !inst_id_table_reserve(&attrs->forward, n) ||
        !inst_id_table_reserve(&attrs->reverse, n) ||
        !inst_id_table_reserve(&attrs->etypes, 2 * n)) {
        inst_err_nomem(err);
        goto out;
    }
    for (uint32_t i = 0; i < n; i++) {
        attrs->attrs[i].position = i;
        add_name(attrs, &attrs->forward, false, i + 1);
        if (attrs->attrs[i].reverse.label.tag == INST_STRING) {
            add_name(attrs, &attrs->reverse, true, i + 1);
        }
    }
    count_into_groups(attrs);
    fill_groups(attrs, &blobs, place);
    for (size_t i = 0; i < attrs->groups_len; i++) {
        order_blobs(&attrs->groups[i], scratch);
    }
    status = INST_OK;
out:
    inst_id_table_free(&blobs);
    free(place);
    free(scratch);
    return status;
}

/* ---- catalogs ---- */

/* Room for cap attrs, none there yet; NULL when out of memory. */
static struct inst_attrs *catalog_new(size_t cap) {
    struct inst_attrs *attrs = calloc(1, sizeof(*attrs));
    if (!attrs || cap > UINT32_MAX / 4) {
        free(attrs);
        return NULL;
    }
    attrs->refs = 1;
    /* Names come from outside. The address differs from run to run, and nothing that can be
     * observed depends on it. */
    attrs->seed = (uint64_t)(uintptr_t)attrs;
    attrs->attrs = calloc(cap + 1, sizeof(*attrs->attrs));
    attrs->batches = calloc(cap + 1, sizeof(struct batch *));
    if (!attrs->attrs || !attrs->batches || !inst_id_table_reserve(&attrs->by_id, (uint32_t)cap)) {
        inst_attrs_unref(attrs);
        return NULL;
    }
    return attrs;
}

/* Adds at the end, or in the place of the attr with the same id. Counts the batch. */
static void catalog_put(struct inst_attrs *attrs, const struct inst_attr *attr,
                        struct batch *batch) {
    uint32_t found = find_id(attrs, attr->id.u.str, attr->id.len);
    size_t at = found ? found - 1 : attrs->count;
    uint32_t row = found ? attrs->attrs[at].row : attr->row;
    batch->refs++;
    batch_unref(attrs->batches[at]);
    attrs->batches[at] = batch;
    attrs->attrs[at] = *attr;
    attrs->attrs[at].row = row;
    if (!found) {
        attrs->count++;
        inst_id_table_add(&attrs->by_id, hash_text(attrs, attr->id.u.str, attr->id.len),
                          (uint32_t)attrs->count);
    }
}

/* A catalog with the attrs of from, except the one numbered skip, and room for more. */
static struct inst_attrs *catalog_copy(const struct inst_attrs *from, uint32_t skip, size_t more) {
    struct inst_attrs *attrs = catalog_new(from->count + more);
    for (size_t i = 0; attrs && i < from->count; i++) {
        if (i + 1 != skip) {
            catalog_put(attrs, &from->attrs[i], from->batches[i]);
        }
    }
    return attrs;
}

/* Builds the indexes and hands over, or lets go of attrs. */
static enum inst_status finish(struct inst_attrs *attrs, struct inst_attrs **out,
                               struct inst_err *err) {
    enum inst_status status = build(attrs, err);
    if (status != INST_OK) {
        inst_attrs_unref(attrs);
        return status;
    }
    *out = attrs;
    return INST_OK;
}

enum inst_status inst_attrs_new(const struct inst_value *list, struct inst_attrs **out,
                                struct inst_err *err) {
    if (list->tag != INST_ARRAY) {
        return inst_err_set(err, "validation-failed", 400, "Attrs must be a list");
    }
    enum inst_status status = INST_OK;
    struct inst_attrs *attrs = catalog_new(list->len);
    struct batch *batch = batch_new();
    if (!attrs || !batch) {
        status = inst_err_nomem(err);
    }
    for (uint32_t i = 0; status == INST_OK && i < list->len; i++) {
        struct inst_value json;
        struct inst_attr attr;
        if (!inst_value_dup(&batch->arena, &list->u.items[i], &json)) {
            status = inst_err_nomem(err);
        } else {
            status = inst_attr_read(&json, &attr, err);
        }
        if (status == INST_OK) {
            catalog_put(attrs, &attr, batch);
        }
    }
    batch_unref(batch);
    if (status != INST_OK) {
        inst_attrs_unref(attrs);
        return status;
    }
    return finish(attrs, out, err);
}

struct inst_attrs *inst_attrs_ref(struct inst_attrs *attrs) {
    attrs->refs++;
    return attrs;
}

void inst_attrs_unref(struct inst_attrs *attrs) {
    if (!attrs || --attrs->refs > 0) {
        return;
    }
    for (size_t i = 0; attrs->batches && i < attrs->count; i++) {
        batch_unref(attrs->batches[i]);
    }
    inst_id_table_free(&attrs->by_id);
    inst_id_table_free(&attrs->forward);
    inst_id_table_free(&attrs->reverse);
    inst_id_table_free(&attrs->etypes);
    free(attrs->attrs);
    free(attrs->batches);
    free(attrs->groups);
    free(attrs->lists);
    free(attrs);
}

enum inst_status inst_attrs_put_all(struct inst_attrs *from, const struct inst_value *items,
                                    size_t count, struct inst_attrs **out, struct inst_err *err) {
    enum inst_status status = INST_OK;
    struct inst_attrs *attrs = catalog_copy(from, 0, count);
    struct batch *batch = batch_new();
    if (!attrs || !batch) {
        status = inst_err_nomem(err);
    }
    for (size_t i = 0; status == INST_OK && i < count; i++) {
        struct inst_value copy;
        struct inst_attr attr;
        status = inst_value_dup(&batch->arena, &items[i], &copy) ? inst_attr_read(&copy, &attr, err)
                                                                 : inst_err_nomem(err);
        if (status == INST_OK) {
            catalog_put(attrs, &attr, batch);
        }
    }
    batch_unref(batch);
    if (status != INST_OK) {
        inst_attrs_unref(attrs);
        return status;
    }
    return finish(attrs, out, err);
}

enum inst_status inst_attrs_put(struct inst_attrs *attrs, const struct inst_value *attr,
                                struct inst_attrs **out, struct inst_err *err) {
    return inst_attrs_put_all(attrs, attr, 1, out, err);
}

enum inst_status inst_attrs_merge(struct inst_attrs *attrs, const struct inst_value *partial,
                                  struct inst_attrs **out, struct inst_err *err) {
    const struct inst_value *id = inst_get_string(partial, "id");
    uint32_t found = id ? find_id(attrs, id->u.str, id->len) : 0;
    if (!found) {
        *out = inst_attrs_ref(attrs);
        return INST_OK;
    }
    struct inst_arena arena;
    struct inst_object_builder builder;
    struct inst_value merged;
    inst_arena_init(&arena);
    inst_object_begin(&builder, &arena);
    const struct inst_value *parts[] = {&attrs->attrs[found - 1].json, partial};
    for (size_t part = 0; part < 2; part++) {
        for (uint32_t i = 0; i < parts[part]->len; i++) {
            const struct inst_member *m = &parts[part]->u.members[i];
            inst_object_add(&builder, m->key, m->key_len, m->value);
        }
    }
    enum inst_status status = inst_object_end(&builder, &merged)
                                  ? inst_attrs_put(attrs, &merged, out, err)
                                  : inst_err_nomem(err);
    inst_arena_free(&arena);
    return status;
}

enum inst_status inst_attrs_drop(struct inst_attrs *attrs, const char *id, size_t id_len,
                                 struct inst_attrs **out, struct inst_err *err) {
    uint32_t found = find_id(attrs, id, id_len);
    if (!found) {
        *out = inst_attrs_ref(attrs);
        return INST_OK;
    }
    struct inst_attrs *copy = catalog_copy(attrs, found, 0);
    return copy ? finish(copy, out, err) : inst_err_nomem(err);
}

void inst_attrs_set_row(struct inst_attrs *attrs, const char *id, size_t id_len, uint32_t row) {
    uint32_t found = find_id(attrs, id, id_len);
    if (found) {
        attrs->attrs[found - 1].row = row;
    }
}

/* ---- asking ---- */

size_t inst_attrs_count(const struct inst_attrs *attrs) { return attrs->count; }

const struct inst_attr *inst_attrs_at(const struct inst_attrs *attrs, size_t position) {
    return position < attrs->count ? &attrs->attrs[position] : NULL;
}

static const struct inst_attr *by_number(const struct inst_attrs *attrs, uint32_t number) {
    return number ? &attrs->attrs[number - 1] : NULL;
}

const struct inst_attr *inst_attrs_by_id(const struct inst_attrs *attrs, const char *id,
                                         size_t id_len) {
    return by_number(attrs, find_id(attrs, id, id_len));
}

const struct inst_attr *inst_attrs_forward(const struct inst_attrs *attrs, const char *etype,
                                           size_t etype_len, const char *label, size_t label_len) {
    uint32_t hash;
    return by_number(
        attrs, find_name(attrs, &attrs->forward, false, etype, etype_len, label, label_len, &hash));
}

const struct inst_attr *inst_attrs_reverse(const struct inst_attrs *attrs, const char *etype,
                                           size_t etype_len, const char *label, size_t label_len) {
    uint32_t hash;
    return by_number(
        attrs, find_name(attrs, &attrs->reverse, true, etype, etype_len, label, label_len, &hash));
}

const struct inst_attr *inst_attrs_id_attr(const struct inst_attrs *attrs, const char *etype,
                                           size_t etype_len) {
    uint32_t hash;
    const struct group *group = find_group(attrs, etype, etype_len, &hash);
    return group && group->primary ? group->primary
                                   : inst_attrs_forward(attrs, etype, etype_len, "id", 2);
}

size_t inst_attrs_blobs(const struct inst_attrs *attrs, const char *etype, size_t etype_len,
                        const struct inst_attr *const **out) {
    uint32_t hash;
    const struct group *group = find_group(attrs, etype, etype_len, &hash);
    *out = group ? group->blobs : NULL;
    return group ? group->blobs_len : 0;
}

size_t inst_attrs_of(const struct inst_attrs *attrs, const char *etype, size_t etype_len,
                     const struct inst_attr *const **out) {
    uint32_t hash;
    const struct group *group = find_group(attrs, etype, etype_len, &hash);
    *out = group ? group->of : NULL;
    return group ? group->of_len : 0;
}

size_t inst_attrs_reverse_of(const struct inst_attrs *attrs, const char *etype, size_t etype_len,
                             const struct inst_attr *const **out) {
    uint32_t hash;
    const struct group *group = find_group(attrs, etype, etype_len, &hash);
    *out = group ? group->reverse : NULL;
    return group ? group->reverse_len : 0;
}
