#include "schema/schema_diff.h"

#include "schema/schema_check.h"
#include "schema/schema_renames.h"
#include "schema/validation.h"

#include <string.h>

struct differ {
    struct inst_arena *arena;
    const struct inst_schema_diff *diff;
    struct inst_renames renames;
    struct inst_array_builder txs;
    bool failed; /* out of memory */
};

static bool same(const struct inst_value *a, const struct inst_value *b) {
    return inst_value_same(a, b);
}

static bool is_system(const struct differ *d, const struct inst_value *etype,
                      const struct inst_value *label) {
    return inst_schema_is_system_name(d->diff->system_names, etype, label);
}

/* ---- writing txs ---- */

static struct inst_value end_object(struct differ *d, struct inst_object_builder *b) {
    struct inst_value out = inst_undefined();
    d->failed = !inst_object_end(b, &out) || d->failed;
    return out;
}

static struct inst_value name(struct differ *d, const struct inst_value *etype,
                              const struct inst_value *label) {
    struct inst_object_builder b;
    inst_object_begin(&b, d->arena);
    inst_object_addz(&b, "namespace", *etype);
    inst_object_addz(&b, "attrName", *label);
    return end_object(d, &b);
}

static void begin_tx(struct differ *d, struct inst_object_builder *b, const char *type,
                     const struct inst_value *etype, const struct inst_value *label) {
    inst_object_begin(b, d->arena);
    inst_object_addz(b, "type", inst_cstring(type));
    inst_object_addz(b, "identifier", name(d, etype, label));
}

static void end_tx(struct differ *d, struct inst_object_builder *b) {
    inst_array_add(&d->txs, end_object(d, b));
}

static void add_plain(struct differ *d, const char *type, const struct inst_value *etype,
                      const struct inst_value *label) {
    struct inst_object_builder b;
    begin_tx(d, &b, type, etype, label);
    end_tx(d, &b);
}

static struct inst_value word(bool is_one) { return inst_cstring(is_one ? "one" : "many"); }

static void add_shape(struct differ *d, struct inst_object_builder *b, bool is_ref, bool is_one,
                      bool is_unique, bool is_indexed, bool is_required,
                      const struct inst_value *etype, const struct inst_value *label) {
    inst_object_addz(b, "value-type", inst_cstring(is_ref ? "ref" : "blob"));
    inst_object_addz(b, "cardinality", word(is_one));
    inst_object_addz(b, "unique?", inst_bool(is_unique));
    inst_object_addz(b, "index?", inst_bool(is_indexed));
    inst_object_addz(b, "required?", inst_bool(is_required));
    inst_object_addz(b, "forward-identity", name(d, etype, label));
}

static void add_id(struct differ *d, const struct inst_value *etype) {
    static const struct inst_value id = {.tag = INST_STRING, .len = 2, .u.str = "id"};
    struct inst_object_builder b;
    begin_tx(d, &b, "add-attr", etype, &id);
    add_shape(d, &b, false, true, true, false, true, etype, &id);
    end_tx(d, &b);
}

static void add_blob(struct differ *d, const struct inst_value *etype,
                     const struct inst_schema_attr *attr) {
    struct inst_object_builder b;
    begin_tx(d, &b, "add-attr", etype, &attr->label);
    add_shape(d, &b, false, true, attr->is_unique, attr->is_indexed, attr->is_required, etype,
              &attr->label);
    inst_object_addz(&b, "checked-data-type",
                     attr->type == INST_CHECKED_NONE
                         ? inst_null()
                         : inst_cstring(inst_schema_type_name(attr->type)));
    end_tx(d, &b);
}

static void add_cascades(struct inst_object_builder *b, const struct inst_schema_link *link) {
    if (link->forward.cascades) {
        inst_object_addz(b, "on-delete", inst_cstring("cascade"));
    }
    if (link->reverse.cascades) {
        inst_object_addz(b, "on-delete-reverse", inst_cstring("cascade"));
    }
}

static void add_link(struct differ *d, const struct inst_schema_link *link) {
    const struct inst_schema_end *f = &link->forward, *r = &link->reverse;
    struct inst_object_builder b;
    begin_tx(d, &b, "add-attr", &f->etype, &f->label);
    add_shape(d, &b, true, f->is_singular, r->is_singular, false, link->is_required, &f->etype,
              &f->label);
    inst_object_addz(&b, "checked-data-type", inst_null());
    inst_object_addz(&b, "reverse-identity", name(d, &r->etype, &r->label));
    add_cascades(&b, link);
    end_tx(d, &b);
}

static void delete_attr(struct differ *d, const struct inst_value *etype,
                        const struct inst_value *label) {
    add_plain(d, "delete-attr", etype, label);
}

static void end_update(struct differ *d, struct inst_object_builder *partial,
                       const struct inst_value *etype, const struct inst_value *label) {
    struct inst_object_builder b;
    begin_tx(d, &b, "update-attr", etype, label);
    inst_object_addz(&b, "partialAttr", end_object(d, partial));
    end_tx(d, &b);
}

static void rename_blob(struct differ *d, const struct inst_value *etype,
                        const struct inst_value *from, const struct inst_value *to) {
    struct inst_object_builder partial;
    inst_object_begin(&partial, d->arena);
    inst_object_addz(&partial, "value-type", inst_cstring("blob"));
    inst_object_addz(&partial, "cardinality", word(true));
    inst_object_addz(&partial, "forward-identity", name(d, etype, to));
    end_update(d, &partial, etype, from);
}

/* A backend clears cascades that an update does not repeat, and the original forgets them here. */
static void rename_link(struct differ *d, const struct inst_schema_link *from,
                        const struct inst_schema_link *to) {
    struct inst_object_builder partial;
    inst_object_begin(&partial, d->arena);
    inst_object_addz(&partial, "value-type", inst_cstring("ref"));
    inst_object_addz(&partial, "cardinality", word(to->forward.is_singular));
    inst_object_addz(&partial, "forward-identity", name(d, &to->forward.etype, &to->forward.label));
    inst_object_addz(&partial, "reverse-identity", name(d, &to->reverse.etype, &to->reverse.label));
    add_cascades(&partial, to);
    end_update(d, &partial, &from->forward.etype, &from->forward.label);
}

/* ---- comparing ---- */

static void flag(struct differ *d, bool before, bool after, const char *on, const char *off,
                 const struct inst_value *etype, const struct inst_value *label) {
    if (before != after) {
        add_plain(d, after ? on : off, etype, label);
    }
}

static void compare_blobs(struct differ *d, const struct inst_value *etype,
                          const struct inst_schema_attr *before,
                          const struct inst_schema_attr *after) {
    const struct inst_value *label = &before->label;
    struct inst_object_builder b;
    flag(d, before->is_indexed, after->is_indexed, "index", "remove-index", etype, label);
    flag(d, before->is_unique, after->is_unique, "unique", "remove-unique", etype, label);
    flag(d, before->is_required, after->is_required, "required", "remove-required", etype, label);
    if (before->type == after->type) {
        return;
    }
    if (after->type == INST_CHECKED_NONE) {
        add_plain(d, "remove-data-type", etype, label);
        return;
    }
    begin_tx(d, &b, "check-data-type", etype, label);
    inst_object_addz(&b, "checked-data-type", inst_cstring(inst_schema_type_name(after->type)));
    end_tx(d, &b);
}

static void compare_links(struct differ *d, const struct inst_schema_link *before,
                          const struct inst_schema_link *after) {
    const struct inst_value *etype = &before->forward.etype, *label = &before->forward.label;
    struct inst_object_builder partial;
    flag(d, before->reverse.is_singular, after->reverse.is_singular, "unique", "remove-unique",
         etype, label);
    flag(d, before->is_required, after->is_required, "required", "remove-required", etype, label);
    if (before->forward.cascades == after->forward.cascades &&
        before->reverse.cascades == after->reverse.cascades &&
        before->forward.is_singular == after->forward.is_singular) {
        return;
    }
    inst_object_begin(&partial, d->arena);
    inst_object_addz(&partial, "value-type", inst_cstring("ref"));
    inst_object_addz(&partial, "cardinality", word(after->forward.is_singular));
    add_cascades(&partial, after);
    end_update(d, &partial, etype, label);
}

/* ---- entities ---- */

static const struct inst_schema_entity *entity_of(const struct inst_schema *schema,
                                                  const struct inst_schema_entity *entity) {
    return inst_schema_entity(schema, entity->etype.u.str, entity->etype.len);
}

static const struct inst_schema_attr *attr_of(const struct inst_schema_entity *entity,
                                              const struct inst_schema_attr *attr) {
    return inst_schema_attr(entity, attr->label.u.str, attr->label.len);
}

static void delete_entity(struct differ *d, const struct inst_schema_entity *entity) {
    static const struct inst_value id = {.tag = INST_STRING, .len = 2, .u.str = "id"};
    for (uint32_t i = 0; i < entity->attr_count; i++) {
        if (!is_system(d, &entity->etype, &entity->attrs[i].label)) {
            delete_attr(d, &entity->etype, &entity->attrs[i].label);
        }
    }
    if (!is_system(d, &entity->etype, &id)) {
        delete_attr(d, &entity->etype, &id);
    }
}

static void create_entity(struct differ *d, const struct inst_schema_entity *entity) {
    static const struct inst_value id = {.tag = INST_STRING, .len = 2, .u.str = "id"};
    if (!is_system(d, &entity->etype, &id)) {
        add_id(d, &entity->etype);
    }
    for (uint32_t i = 0; i < entity->attr_count; i++) {
        if (!is_system(d, &entity->etype, &entity->attrs[i].label)) {
            add_blob(d, &entity->etype, &entity->attrs[i]);
        }
    }
}

/* The attrs of one entity that the other does not have. */
static size_t missing_attrs(struct differ *d, const struct inst_schema_entity *of,
                            const struct inst_schema_entity *in,
                            const struct inst_schema_attr **out) {
    size_t count = 0;
    for (uint32_t i = 0; i < of->attr_count; i++) {
        if (!is_system(d, &of->etype, &of->attrs[i].label) && !attr_of(in, &of->attrs[i])) {
            out[count++] = &of->attrs[i];
        }
    }
    return count;
}

struct renamed_attr {
    const struct inst_schema_attr *from, *to;
};

static enum inst_status diff_entity(struct differ *d, const struct inst_schema_entity *before,
                                    const struct inst_schema_entity *after, struct inst_err *err) {
    const struct inst_value *etype = &before->etype;
    size_t most = (size_t)before->attr_count + after->attr_count + 1;
    const struct inst_schema_attr **gone = inst_arena_alloc(d->arena, most * sizeof *gone);
    const struct inst_schema_attr **made = inst_arena_alloc(d->arena, most * sizeof *made);
    struct renamed_attr *renamed = inst_arena_alloc(d->arena, most * sizeof *renamed);
    size_t rename_count = 0;
    if (!gone || !made || !renamed) {
        return inst_err_nomem(err);
    }
    size_t gone_count = missing_attrs(d, before, after, gone);
    size_t made_count = missing_attrs(d, after, before, made);
    for (size_t i = 0; i < made_count; i++) {
        int at = inst_renames_find_attr(&d->renames, etype, &made[i]->label, gone, gone_count);
        if (at >= 0) {
            renamed[rename_count++] = (struct renamed_attr){gone[at], made[i]};
            gone[at] = NULL;
            made[i] = NULL;
        }
    }
    for (uint32_t i = 0; i < before->attr_count; i++) {
        const struct inst_schema_attr *now = attr_of(after, &before->attrs[i]);
        if (now && !is_system(d, etype, &now->label)) {
            compare_blobs(d, etype, &before->attrs[i], now);
        }
    }
    for (size_t i = 0; i < gone_count; i++) {
        if (gone[i]) {
            delete_attr(d, etype, &gone[i]->label);
        }
    }
    for (size_t i = 0; i < made_count; i++) {
        if (made[i]) {
            add_blob(d, etype, made[i]);
        }
    }
    for (size_t i = 0; i < rename_count; i++) {
        rename_blob(d, etype, &renamed[i].from->label, &renamed[i].to->label);
        compare_blobs(d, etype, renamed[i].from, renamed[i].to);
    }
    return INST_OK;
}

static enum inst_status diff_entities(struct differ *d, struct inst_err *err) {
    const struct inst_schema *before = d->diff->before, *after = d->diff->after;
    enum inst_status status = INST_OK;
    for (uint32_t i = 0; i < before->entity_count; i++) {
        if (!entity_of(after, &before->entities[i])) {
            delete_entity(d, &before->entities[i]);
        }
    }
    for (uint32_t i = 0; i < after->entity_count; i++) {
        if (!entity_of(before, &after->entities[i])) {
            create_entity(d, &after->entities[i]);
        }
    }
    for (uint32_t i = 0; status == INST_OK && i < before->entity_count; i++) {
        const struct inst_schema_entity *now = entity_of(after, &before->entities[i]);
        if (now) {
            status = diff_entity(d, &before->entities[i], now, err);
        }
    }
    return status;
}

/* ---- links ---- */

struct links {
    const struct inst_schema_link **items;
    size_t count;
};

struct renamed_link {
    const struct inst_schema_link *from, *to;
};

static bool is_of_group(const struct inst_schema_link *link, const struct inst_schema_link *of) {
    return same(&link->forward.etype, &of->forward.etype) &&
           same(&link->reverse.etype, &of->reverse.etype);
}

static bool is_same_link(const struct inst_schema_link *a, const struct inst_schema_link *b) {
    return is_of_group(a, b) && same(&a->forward.label, &b->forward.label) &&
           same(&a->reverse.label, &b->reverse.label);
}

/* A schema's links but for the system's. */
static bool own_links(struct differ *d, const struct inst_schema *schema, struct links *out) {
    out->count = 0;
    out->items = inst_arena_alloc(d->arena, (schema->link_count + 1) * sizeof(*out->items));
    for (uint32_t i = 0; out->items && i < schema->link_count; i++) {
        const struct inst_schema_end *f = &schema->links[i].forward;
        if (!is_system(d, &f->etype, &f->label)) {
            out->items[out->count++] = &schema->links[i];
        }
    }
    return out->items != NULL;
}

static const struct inst_schema_link *find_link(const struct links *links,
                                                const struct inst_schema_link *link) {
    for (size_t i = 0; i < links->count; i++) {
        if (is_same_link(links->items[i], link)) {
            return links->items[i];
        }
    }
    return NULL;
}

/* Those of the group that others do not have. */
static size_t missing_links(const struct links *of, const struct links *in,
                            const struct inst_schema_link *group,
                            const struct inst_schema_link **out) {
    size_t count = 0;
    for (size_t i = 0; i < of->count; i++) {
        if (is_of_group(of->items[i], group) && !find_link(in, of->items[i])) {
            out[count++] = of->items[i];
        }
    }
    return count;
}

/* The links between the same two namespaces. */
static enum inst_status diff_group(struct differ *d, const struct links *before,
                                   const struct links *after, const struct inst_schema_link *group,
                                   struct inst_err *err) {
    size_t most = before->count + after->count + 1, rename_count = 0;
    const struct inst_schema_link **gone = inst_arena_alloc(d->arena, most * sizeof *gone);
    const struct inst_schema_link **made = inst_arena_alloc(d->arena, most * sizeof *made);
    struct renamed_link *renamed = inst_arena_alloc(d->arena, most * sizeof *renamed);
    if (!gone || !made || !renamed) {
        return inst_err_nomem(err);
    }
    size_t gone_count = missing_links(before, after, group, gone);
    size_t made_count = missing_links(after, before, group, made);
    for (size_t i = 0; i < before->count; i++) {
        const struct inst_schema_link *now = find_link(after, before->items[i]);
        if (now && is_of_group(now, group)) {
            compare_links(d, before->items[i], now);
        }
    }
    for (size_t i = 0; i < made_count; i++) {
        int at = inst_renames_find_link(&d->renames, made[i], gone, gone_count);
        if (at >= 0) {
            renamed[rename_count++] = (struct renamed_link){gone[at], made[i]};
            gone[at] = NULL;
            made[i] = NULL;
        }
    }
    for (size_t i = 0; i < gone_count; i++) {
        if (gone[i]) {
            delete_attr(d, &gone[i]->forward.etype, &gone[i]->forward.label);
        }
    }
    for (size_t i = 0; i < made_count; i++) {
        if (made[i]) {
            add_link(d, made[i]);
        }
    }
    for (size_t i = 0; i < rename_count; i++) {
        rename_link(d, renamed[i].from, renamed[i].to);
        compare_links(d, renamed[i].from, renamed[i].to);
    }
    return INST_OK;
}

static bool is_first_of_group(const struct links *links, size_t at) {
    for (size_t i = 0; i < at; i++) {
        if (is_of_group(links->items[i], links->items[at])) {
            return false;
        }
    }
    return true;
}

static bool has_group(const struct links *links, const struct inst_schema_link *group) {
    for (size_t i = 0; i < links->count; i++) {
        if (is_of_group(links->items[i], group)) {
            return true;
        }
    }
    return false;
}

static enum inst_status diff_links(struct differ *d, struct inst_err *err) {
    struct links before, after;
    enum inst_status status = INST_OK;
    if (!own_links(d, d->diff->before, &before) || !own_links(d, d->diff->after, &after)) {
        return inst_err_nomem(err);
    }
    for (size_t i = 0; status == INST_OK && i < before.count; i++) {
        if (is_first_of_group(&before, i)) {
            status = diff_group(d, &before, &after, before.items[i], err);
        }
    }
    for (size_t i = 0; status == INST_OK && i < after.count; i++) {
        if (is_first_of_group(&after, i) && !has_group(&before, after.items[i])) {
            status = diff_group(d, &before, &after, after.items[i], err);
        }
    }
    return status;
}

enum inst_status inst_schema_diff(struct inst_arena *arena, const struct inst_schema_diff *diff,
                                  struct inst_value *out, struct inst_err *err) {
    struct differ d = {.arena = arena, .diff = diff};
    enum inst_status status = inst_renames_read(arena, diff->renames, &d.renames, err);
    if (status != INST_OK) {
        return status;
    }
    inst_array_begin(&d.txs, arena);
    status = diff_entities(&d, err);
    if (status == INST_OK) {
        status = diff_links(&d, err);
    }
    if (status == INST_OK && (!inst_array_end(&d.txs, out) || d.failed)) {
        status = inst_err_nomem(err);
    }
    return status;
}
