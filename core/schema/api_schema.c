#include "schema/api_schema.h"

#include "base/buf.h"
#include "base/collate.h"
#include "base/json.h"
#include "schema/system_catalog.h"

#include <stdlib.h>
#include <string.h>

/* ---- attrs become the API's schema ---- */

bool inst_api_schema_key(struct inst_arena *arena, enum inst_ref_key key,
                         const struct inst_ident *forward, const struct inst_ident *reverse,
                         struct inst_value *out) {
    const struct inst_value *parts[] = {&forward->etype, &forward->label, &reverse->etype,
                                        &reverse->label};
    struct inst_buf buf;
    char *text = NULL;
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, key == INST_REF_KEY_LIST ? "[" : "");
    for (size_t i = 0; i < 4; i++) {
        if (i > 0) {
            inst_buf_add_char(&buf, key == INST_REF_KEY_LIST ? ' ' : '-');
        }
        if (parts[i]->tag != INST_STRING) {
            continue;
        }
        if (key == INST_REF_KEY_LIST) {
            inst_json_write_string(&buf, parts[i]->u.str, parts[i]->len);
        } else {
            inst_buf_add(&buf, parts[i]->u.str, parts[i]->len);
        }
    }
    inst_buf_add_str(&buf, key == INST_REF_KEY_LIST ? "]" : "");
    if (!buf.failed) {
        text = inst_arena_dup(arena, buf.data, buf.len);
    }
    *out = text ? inst_string(text, buf.len) : inst_undefined();
    inst_buf_free(&buf);
    return text != NULL;
}

static bool is_hidden(const struct inst_attr *attr) {
    const struct inst_value *etype = &attr->forward.etype, *label = &attr->forward.label;
    return attr->is_system &&
           inst_system_is_hidden(etype->u.str, etype->len, label->u.str, label->len);
}

static bool is_file_url(const struct inst_attr *attr) {
    return attr->is_system && inst_is_string(&attr->forward.etype, "$files") &&
           inst_is_string(&attr->forward.label, "url");
}

static struct inst_value shown(struct inst_arena *arena, const struct inst_attr *attr, bool *ok) {
    struct inst_object_builder b;
    struct inst_value out;
    if (!is_file_url(attr)) {
        return attr->json;
    }
    inst_object_begin(&b, arena);
    for (uint32_t i = 0; i < attr->json.len; i++) {
        const struct inst_member *m = &attr->json.u.members[i];
        inst_object_add(&b, m->key, m->key_len, m->value);
    }
    inst_object_addz(&b, "required?", inst_bool(true));
    *ok = inst_object_end(&b, &out) && *ok;
    return out;
}

static bool refs_of(struct inst_arena *arena, const struct inst_attrs *attrs,
                    enum inst_ref_key style, struct inst_value *out) {
    struct inst_object_builder refs;
    bool ok = true;
    inst_object_begin(&refs, arena);
    for (size_t i = 0; ok && i < inst_attrs_count(attrs); i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs, i);
        struct inst_value key;
        if (attr->is_ref && !is_hidden(attr)) {
            ok = inst_api_schema_key(arena, style, &attr->forward, &attr->reverse, &key);
            if (ok) {
                inst_object_add(&refs, key.u.str, key.len, shown(arena, attr, &ok));
            }
        }
    }
    return inst_object_end(&refs, out) && ok;
}

/* The blobs of one namespace; UNDEFINED when there is nothing to show. */
static bool blobs_of(struct inst_arena *arena, const struct inst_attr *const *list, size_t count,
                     struct inst_value *out) {
    struct inst_object_builder labels;
    bool ok = true;
    inst_object_begin(&labels, arena);
    for (size_t i = 0; i < count; i++) {
        const struct inst_value *label = &list[i]->forward.label;
        if (!list[i]->is_ref && !is_hidden(list[i])) {
            inst_object_add(&labels, label->u.str, label->len, shown(arena, list[i], &ok));
        }
    }
    ok = inst_object_end(&labels, out) && ok;
    if (ok && out->len == 0) {
        *out = inst_undefined();
    }
    return ok;
}

static bool namespaces_of(struct inst_arena *arena, const struct inst_attrs *attrs,
                          struct inst_value *out) {
    struct inst_object_builder namespaces;
    bool ok = true;
    inst_object_begin(&namespaces, arena);
    for (size_t i = 0; ok && i < inst_attrs_count(attrs); i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs, i);
        const struct inst_value *etype = &attr->forward.etype;
        const struct inst_attr *const *list;
        struct inst_value blobs;
        size_t count = inst_attrs_of(attrs, etype->u.str, etype->len, &list);
        if (count == 0 || list[0] != attr) {
            continue; /* each namespace at its first attr */
        }
        ok = blobs_of(arena, list, count, &blobs);
        if (ok && blobs.tag == INST_OBJECT) {
            inst_object_add(&namespaces, etype->u.str, etype->len, blobs);
        }
    }
    return inst_object_end(&namespaces, out) && ok;
}

enum inst_status inst_api_schema(struct inst_arena *arena, const struct inst_attrs *attrs,
                                 enum inst_ref_key key, struct inst_value *out,
                                 struct inst_err *err) {
    struct inst_object_builder b;
    struct inst_value refs, blobs;
    if (!refs_of(arena, attrs, key, &refs) || !namespaces_of(arena, attrs, &blobs)) {
        return inst_err_nomem(err);
    }
    inst_object_begin(&b, arena);
    inst_object_addz(&b, "refs", refs);
    inst_object_addz(&b, "blobs", blobs);
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

/* ---- and back ---- */

struct reader {
    struct inst_arena *arena;
    struct inst_collator *collator;
    struct inst_err *err;
};

static int by_key(const void *a, const void *b, void *collator) {
    const struct inst_member *x = *(const struct inst_member *const *)a;
    const struct inst_member *y = *(const struct inst_member *const *)b;
    int order = inst_collator_compare(collator, x->key, x->key_len, y->key, y->key_len);
    return order ? order : (x > y) - (x < y);
}

static enum inst_status misshapen(struct reader *r, const struct inst_member *m,
                                  const char *expected) {
    return inst_err_set(r->err, "validation-failed", 400, "Invalid schema: %.*s must be %s",
                        (int)m->key_len, m->key, expected);
}

/* An object's members in the order that `localeCompare` gives their keys. */
static enum inst_status sorted(struct reader *r, const struct inst_value *object,
                               const struct inst_member ***out) {
    const struct inst_member **list = inst_arena_alloc(r->arena, (object->len + 1) * sizeof *list);
    if (!list) {
        return inst_err_nomem(r->err);
    }
    for (uint32_t i = 0; i < object->len; i++) {
        list[i] = &object->u.members[i];
    }
    qsort_r(list, object->len, sizeof *list, by_key, r->collator);
    *out = list;
    return INST_OK;
}

static bool is_true(const struct inst_value *attr, const char *key) {
    return inst_get_true(attr, key);
}

static bool write_attr(struct reader *r, const struct inst_value *attr, struct inst_value *out) {
    const struct inst_value *type = inst_get_string(attr, "checked-data-type");
    struct inst_object_builder b, config;
    struct inst_value config_value;
    inst_object_begin(&config, r->arena);
    inst_object_addz(&config, "indexed", inst_bool(is_true(attr, "index?")));
    inst_object_addz(&config, "unique", inst_bool(is_true(attr, "unique?")));
    if (!inst_object_end(&config, &config_value)) {
        return false;
    }
    inst_object_begin(&b, r->arena);
    inst_object_addz(&b, "valueType", type ? *type : inst_cstring("json"));
    inst_object_addz(&b, "required", inst_bool(is_true(attr, "required?")));
    inst_object_addz(&b, "isIndexed", inst_bool(is_true(attr, "index?")));
    inst_object_addz(&b, "config", config_value);
    return inst_object_end(&b, out);
}

static enum inst_status read_attrs(struct reader *r, const struct inst_member *etype,
                                   struct inst_value *out) {
    const struct inst_member **labels = NULL;
    struct inst_object_builder attrs;
    enum inst_status status;
    if (etype->value.tag != INST_OBJECT) {
        return misshapen(r, etype, "an object");
    }
    status = sorted(r, &etype->value, &labels);
    if (status != INST_OK) {
        return status;
    }
    inst_object_begin(&attrs, r->arena);
    for (uint32_t i = 0; i < etype->value.len; i++) {
        struct inst_value attr, label = inst_string(labels[i]->key, labels[i]->key_len);
        if (inst_is_string(&label, "id")) {
            continue;
        }
        if (labels[i]->value.tag != INST_OBJECT) {
            return misshapen(r, labels[i], "an attr");
        }
        if (!write_attr(r, &labels[i]->value, &attr)) {
            return inst_err_nomem(r->err);
        }
        inst_object_add(&attrs, label.u.str, label.len, attr);
    }
    return inst_object_end(&attrs, out) ? INST_OK : inst_err_nomem(r->err);
}

static const struct inst_value *identity(const struct inst_value *attr, const char *key) {
    const struct inst_value *ident = inst_getz(attr, key);
    bool ok = ident && ident->tag == INST_ARRAY && ident->len == 3 &&
              ident->u.items[1].tag == INST_STRING && ident->u.items[2].tag == INST_STRING;
    return ok ? ident->u.items : NULL;
}

static bool write_end(struct reader *r, const struct inst_value *ident, bool is_one,
                      bool is_required, bool cascades, struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, r->arena);
    inst_object_addz(&b, "on", ident[1]);
    inst_object_addz(&b, "has", inst_cstring(is_one ? "one" : "many"));
    inst_object_addz(&b, "label", ident[2]);
    if (is_required) {
        inst_object_addz(&b, "required", inst_bool(true));
    }
    if (cascades) {
        inst_object_addz(&b, "onDelete", inst_cstring("cascade"));
    }
    return inst_object_end(&b, out);
}

static bool is_word(const struct inst_value *attr, const char *key, const char *word) {
    const struct inst_value *v = inst_getz(attr, key);
    return v && inst_is_string(v, word);
}

/* `posts` and `author` give `postsAuthor`; only ASCII letters are made large. */
static bool link_name(struct reader *r, const struct inst_value *ident, struct inst_value *out) {
    size_t len = (size_t)ident[1].len + ident[2].len;
    char *name = inst_arena_alloc(r->arena, len + 1);
    if (!name) {
        return false;
    }
    memcpy(name, ident[1].u.str, ident[1].len);
    memcpy(name + ident[1].len, ident[2].u.str, ident[2].len);
    if (ident[2].len > 0 && name[ident[1].len] >= 'a' && name[ident[1].len] <= 'z') {
        name[ident[1].len] = (char)(name[ident[1].len] - 'a' + 'A');
    }
    *out = inst_string(name, len);
    return true;
}

static enum inst_status read_link(struct reader *r, const struct inst_member *ref,
                                  struct inst_object_builder *links) {
    const struct inst_value *attr = &ref->value;
    const struct inst_value *forward = identity(attr, "forward-identity");
    const struct inst_value *reverse = identity(attr, "reverse-identity");
    struct inst_value name, ends[2], link;
    struct inst_object_builder b;
    if (!forward || !reverse) {
        return misshapen(r, ref, "a link");
    }
    if (!link_name(r, forward, &name) ||
        !write_end(r, forward, !is_word(attr, "cardinality", "many"), is_true(attr, "required?"),
                   is_word(attr, "on-delete", "cascade"), &ends[0]) ||
        !write_end(r, reverse, is_true(attr, "unique?"), false,
                   is_word(attr, "on-delete-reverse", "cascade"), &ends[1])) {
        return inst_err_nomem(r->err);
    }
    inst_object_begin(&b, r->arena);
    inst_object_addz(&b, "forward", ends[0]);
    inst_object_addz(&b, "reverse", ends[1]);
    if (!inst_object_end(&b, &link)) {
        return inst_err_nomem(r->err);
    }
    inst_object_add(links, name.u.str, name.len, link);
    return INST_OK;
}

/* What a link adds to the entities at its ends: `links: {author: {entityName, cardinality}}`. */
static bool add_side(struct reader *r, const struct inst_value *links, const struct inst_value *on,
                     const char *near, const char *far, struct inst_object_builder *out) {
    for (uint32_t i = 0; i < links->len; i++) {
        const struct inst_value *link = &links->u.members[i].value;
        const struct inst_value *end = inst_getz(link, near), *other = inst_getz(link, far);
        const struct inst_value *label = inst_getz(end, "label");
        struct inst_object_builder b;
        struct inst_value side;
        if (!inst_value_equal(inst_getz(end, "on"), on)) {
            continue;
        }
        inst_object_begin(&b, r->arena);
        inst_object_addz(&b, "entityName", *inst_getz(other, "on"));
        inst_object_addz(&b, "cardinality", *inst_getz(end, "has"));
        if (!inst_object_end(&b, &side)) {
            return false;
        }
        inst_object_add(out, label->u.str, label->len, side);
    }
    return true;
}

static enum inst_status write_entities(struct reader *r, const struct inst_value *blobs,
                                       const struct inst_value *links, struct inst_value *out) {
    const struct inst_member **list = NULL;
    struct inst_object_builder entities;
    enum inst_status status = sorted(r, blobs, &list);
    inst_object_begin(&entities, r->arena);
    for (uint32_t i = 0; status == INST_OK && i < blobs->len; i++) {
        struct inst_value attrs, sides, entity;
        struct inst_value etype = inst_string(list[i]->key, list[i]->key_len);
        struct inst_object_builder b, side_map;
        status = read_attrs(r, list[i], &attrs);
        if (status != INST_OK) {
            return status;
        }
        inst_object_begin(&side_map, r->arena);
        inst_object_begin(&b, r->arena);
        if (!add_side(r, links, &etype, "forward", "reverse", &side_map) ||
            !add_side(r, links, &etype, "reverse", "forward", &side_map) ||
            !inst_object_end(&side_map, &sides)) {
            return inst_err_nomem(r->err);
        }
        inst_object_addz(&b, "attrs", attrs);
        inst_object_addz(&b, "links", sides);
        if (!inst_object_end(&b, &entity)) {
            return inst_err_nomem(r->err);
        }
        inst_object_add(&entities, etype.u.str, etype.len, entity);
    }
    if (status == INST_OK && !inst_object_end(&entities, out)) {
        status = inst_err_nomem(r->err);
    }
    return status;
}

static enum inst_status write_schema(struct reader *r, const struct inst_value *blobs,
                                     const struct inst_value *refs, struct inst_value *out) {
    const struct inst_member **list = NULL;
    struct inst_object_builder links, b;
    struct inst_value link_map, entities;
    enum inst_status status = sorted(r, refs, &list);
    inst_object_begin(&links, r->arena);
    for (uint32_t i = 0; status == INST_OK && i < refs->len; i++) {
        status = read_link(r, list[i], &links);
    }
    if (status == INST_OK && !inst_object_end(&links, &link_map)) {
        status = inst_err_nomem(r->err);
    }
    if (status == INST_OK) {
        status = write_entities(r, blobs, &link_map, &entities);
    }
    if (status != INST_OK) {
        return status;
    }
    inst_object_begin(&b, r->arena);
    inst_object_addz(&b, "entities", entities);
    inst_object_addz(&b, "links", link_map);
    inst_object_addz(&b, "rooms", inst_object(NULL, 0));
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(r->err);
}

enum inst_status inst_api_schema_read(struct inst_arena *arena, const struct inst_value *api,
                                      struct inst_value *out, struct inst_err *err) {
    struct reader r = {.arena = arena, .err = err};
    const struct inst_value *blobs = inst_getz(api, "blobs"), *refs = inst_getz(api, "refs");
    enum inst_status status;
    if (!blobs || blobs->tag != INST_OBJECT || !refs || refs->tag != INST_OBJECT) {
        return inst_err_set(err, "validation-failed", 400,
                            "Invalid schema: blobs and refs must be objects");
    }
    status = inst_collator_new(&r.collator, err);
    if (status == INST_OK) {
        status = write_schema(&r, blobs, refs, out);
        inst_collator_free(r.collator);
    }
    return status;
}
