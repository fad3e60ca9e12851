/*
 * Fields and children of the entities that a form matched, as triples or as objects.
 */
#include "instaql/collect.h"

static enum inst_status nomem(struct inst_collector *c) { return inst_err_nomem(c->run.err); }

/* What is being made of one entity. */
struct entity {
    uint32_t e;
    bool has_visible;
    struct inst_value time; /* created-at of the id triple; NULL when unknown */
    struct inst_object_builder object;
};

static void add_member(struct inst_collector *c, struct entity *entity,
                       const struct inst_attr *attr, const struct inst_triple *t) {
    const struct inst_value *label = &attr->forward.label;
    struct inst_value v = t->v;
    if (v.tag == INST_ENTITY) {
        v = c->run.store->ops->entity_id(c->run.store, t->ref);
        if (!inst_value_dup(c->arena, &v, &v)) {
            entity->object.failed = true;
        }
    }
    inst_object_add(&entity->object, label->u.str, label->len, v);
}

/* `url` is no stored triple but made from location-id. */
static enum inst_status add_url(struct inst_collector *c, struct entity *entity,
                                const struct inst_triple *location) {
    const struct inst_attr *attr = inst_attrs_forward(c->query->attrs, "$files", 6, "url", 3);
    struct inst_triple t = {.e = entity->e, .t = location->t};
    if (!attr || !c->opts->file_url) {
        return INST_OK;
    }
    enum inst_status status =
        c->opts->file_url(c->opts->ctx, entity->e, &location->v, c->arena, &t.v, c->run.err);
    if (status != INST_OK) {
        return status;
    }
    int64_t number = inst_collect_note(c, attr, &t);
    if (number < 0) {
        return INST_FAILED;
    }
    if (c->notes[number].is_visible) {
        c->notes[number].is_sent = true;
        if (c->makes_tree) {
            add_member(c, entity, attr, &c->notes[number].collected.triple);
        }
    }
    return INST_OK;
}

static enum inst_status take_field(struct inst_collector *c, const struct inst_form *form,
                                   const struct inst_attr *attr, struct entity *entity,
                                   const struct inst_triple *t) {
    const struct inst_value *label = &attr->forward.label;
    bool is_location = form->is_files && inst_is_string(label, "location-id");
    int64_t number = inst_collect_note(c, attr, t);
    if (number < 0) {
        return INST_FAILED;
    }
    if (!c->notes[number].is_visible) {
        return INST_OK;
    }
    const struct inst_triple kept = c->notes[number].collected.triple;
    entity->has_visible = true;
    if (inst_is_string(label, "id") && kept.t != INST_NO_TIME) {
        entity->time = inst_number((double)kept.t);
    }
    if (!(is_location && form->drops_location)) {
        c->notes[number].is_sent = true;
        if (c->makes_tree) {
            add_member(c, entity, attr, &kept);
        }
    }
    return is_location && form->wants_url ? add_url(c, entity, &kept) : INST_OK;
}

/* Field by field. */
static enum inst_status scan_fields(struct inst_collector *c, const struct inst_form *form,
                                    struct entity *entity) {
    struct inst_store *store = c->run.store;
    enum inst_status status = INST_OK;
    for (uint32_t i = 0; i < form->field_count && status == INST_OK; i++) {
        struct inst_scan scan = {.attr = form->fields[i], .e = entity->e};
        struct inst_cursor cursor;
        struct inst_triple triple;
        int got;
        status = store->ops->scan(store, &scan, &cursor, c->run.err);
        if (status != INST_OK) {
            break;
        }
        while (status == INST_OK && (got = store->ops->next(&cursor, &triple, c->run.err)) != 0) {
            status = got < 0 ? INST_FAILED : take_field(c, form, form->fields[i], entity, &triple);
        }
        store->ops->close(&cursor);
    }
    return status;
}

/* Judging a triple may read the store, which ends what it gave before. */
static enum inst_status own_fields(struct inst_collector *c, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        struct inst_value *v = &c->fields[i].v;
        if (v->tag != INST_ENTITY && !inst_value_dup(c->run.scratch, v, v)) {
            return nomem(c);
        }
    }
    return INST_OK;
}

static enum inst_status take_fields(struct inst_collector *c, const struct inst_form *form,
                                    struct entity *entity) {
    struct inst_store *store = c->run.store;
    if (!store->ops->fields) {
        return scan_fields(c, form, entity);
    }
    /* Children, whose fields would come into the same room, are collected later. */
    if (form->field_count > c->field_cap) {
        c->field_cap = form->field_count;
        c->fields = inst_arena_alloc(c->run.scratch, c->field_cap * sizeof(*c->fields));
        if (!c->fields) {
            c->field_cap = 0;
            return nomem(c);
        }
    }
    enum inst_status status = store->ops->fields(store, entity->e, form->fields, form->field_count,
                                                 c->fields, c->run.err);
    if (status == INST_OK && c->opts->is_visible) {
        status = own_fields(c, form->field_count);
    }
    for (uint32_t i = 0; i < form->field_count && status == INST_OK; i++) {
        if (c->fields[i].e) {
            status = take_field(c, form, form->fields[i], entity, &c->fields[i]);
        }
    }
    return status;
}

static bool is_singular(const struct inst_form *form) {
    return form->link && (form->is_forward ? !form->link->is_many : form->link->is_unique);
}

static enum inst_status take_children(struct inst_collector *c, const struct inst_form *form,
                                      struct entity *entity) {
    for (uint32_t i = 0; i < form->child_count; i++) {
        const struct inst_form *child = &form->children[i];
        struct inst_value objects = inst_array(NULL, 0);
        enum inst_status status = inst_collect_form(c, child, entity->e, &objects);
        if (status != INST_OK) {
            return status;
        }
        if (c->opts->infer_singular && is_singular(child)) {
            objects = objects.len ? objects.u.items[0] : inst_null();
        }
        if (c->makes_tree) {
            inst_object_add(&entity->object, child->key.u.str, child->key.len, objects);
        }
    }
    return INST_OK;
}

/* Fields and children of a matched entity, once a form. */
static enum inst_status collect_entity(struct inst_collector *c, const struct inst_form *form,
                                       uint32_t e, struct inst_value *entry) {
    struct inst_collect_form *state = &c->forms[form->number];
    const struct inst_value *done = inst_memo_find(&state->done, e);
    struct entity entity = {.e = e, .time = inst_null()};
    if (done) {
        *entry = *done;
        return INST_OK;
    }
    inst_object_begin(&entity.object, c->arena);
    enum inst_status status = take_fields(c, form, &entity);
    if (status == INST_OK && entity.has_visible) {
        status = take_children(c, form, &entity);
    }
    if (status != INST_OK) {
        return status;
    }
    *entry = inst_undefined();
    if (entity.has_visible && c->makes_tree) {
        struct inst_value *pair = inst_arena_alloc(c->arena, 2 * sizeof(*pair));
        if (!pair || !inst_object_end(&entity.object, &pair[0])) {
            return nomem(c);
        }
        pair[1] = entity.time;
        *entry = inst_array(pair, 2);
    }
    return inst_memo_add(&state->done, c->run.scratch, e, entry) ? INST_OK : nomem(c);
}

enum inst_status inst_collect_entities(struct inst_collector *c, const struct inst_form *form,
                                       struct inst_value *objects) {
    struct inst_collect_form *state = &c->forms[form->number];
    const size_t count = state->entities.count;
    size_t kept = 0;
    struct inst_value *entries = NULL;
    if (c->makes_tree) {
        entries = inst_arena_alloc(c->arena, count * sizeof(*entries));
        if (!entries) {
            return nomem(c);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct inst_value entry;
        enum inst_status status = collect_entity(c, form, state->entities.items[i], &entry);
        if (status != INST_OK) {
            return status;
        }
        if (c->makes_tree && entry.tag == INST_ARRAY) {
            entries[kept++] = entry;
        }
    }
    if (!c->makes_tree) {
        return INST_OK;
    }
    enum inst_status status = inst_tree_sort(c, form, entries, kept);
    for (size_t i = 0; i < kept; i++) {
        entries[i] = entries[i].u.items[0];
    }
    *objects = inst_array(entries, kept);
    return status;
}
