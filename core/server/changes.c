#include "server/changes.h"

#include <stdlib.h>

void inst_changes_init(struct inst_changes *changes, uint64_t seed) {
    *changes = (struct inst_changes){.seed = seed};
    inst_arena_init(&changes->arena);
}

void inst_changes_free(struct inst_changes *changes) {
    inst_arena_free(&changes->arena);
    free(changes->triples);
    free(changes->born);
    free(changes->names);
    inst_changes_init(changes, changes->seed);
}

/* A group of many changes would otherwise keep its arrays for ever. */
#define KEEP_TRIPLES 4096

void inst_changes_clear(struct inst_changes *changes) {
    if (changes->triple_cap > KEEP_TRIPLES) {
        inst_changes_free(changes);
        return;
    }
    inst_arena_reset(&changes->arena);
    changes->triple_count = changes->born_count = changes->name_count = 0;
    changes->is_catalog_new = false;
}

struct inst_changes_mark inst_changes_mark(const struct inst_changes *changes) {
    return (struct inst_changes_mark){changes->triple_count, changes->born_count,
                                      changes->name_count, changes->is_catalog_new};
}

void inst_changes_rewind(struct inst_changes *changes, struct inst_changes_mark mark) {
    changes->triple_count = mark.triples;
    changes->born_count = mark.born;
    changes->name_count = mark.names;
    changes->is_catalog_new = mark.is_catalog_new;
}

/* Room for one more item; gives the (possibly moved) array or NULL. */
static void *grow(void *items, size_t count, size_t *cap, size_t size) {
    if (count < *cap)
        return items;
    size_t next = *cap == 0 ? 16 : *cap * 2;
    void *grown = realloc(items, next * size);
    if (grown != NULL)
        *cap = next;
    return grown;
}

/* Places matter only where a scan by range may be: an index over values, or the id attr. */
static bool has_order(const struct inst_attr *attr) {
    return !attr->is_ref &&
           (inst_is_string(&attr->forward.label, "id") || attr->is_indexed || attr->is_unique);
}

/* Longer texts are not worth their copy: they are compared by hash. */
#define KEEP_TEXT 256

static bool keep_value(struct inst_changes *changes, const struct inst_value *v,
                       struct inst_value *out) {
    if (v->tag > INST_STRING || v->tag < INST_NULL || (v->tag == INST_STRING && v->len > KEEP_TEXT))
        return true;
    *out = *v;
    if (v->tag == INST_STRING)
        out->u.str = inst_arena_dup(&changes->arena, v->u.str, v->len);
    return v->tag != INST_STRING || out->u.str != NULL;
}

static bool fill_side(struct inst_changes *changes, const struct inst_attr *attr,
                      const struct inst_triple *triple, struct inst_change_side *side) {
    *side = (struct inst_change_side){.point = {.class = INST_POINT_UNKNOWN}};
    if (triple == NULL)
        return true;
    side->is_there = true;
    if (attr->is_ref) {
        side->ref = triple->ref;
        return true;
    }
    side->is_null = triple->v.tag == INST_NULL;
    side->ref = triple->ref;
    side->hash = inst_point_hash(&triple->v, changes->seed);
    if (!keep_value(changes, &triple->v, &side->v))
        return false;
    if (!has_order(attr))
        return true;
    side->point = inst_point_of(attr, &triple->v, triple->t);
    if (side->point.class != INST_POINT_STRING)
        return true;
    if (side->v.tag == INST_STRING)
        side->point.str = side->v.u.str;
    else
        side->point.str = inst_arena_dup(&changes->arena, side->point.str, side->point.len);
    return side->point.str != NULL;
}

bool inst_changes_triple(struct inst_changes *changes, const struct inst_attr *attr, uint32_t e,
                         const struct inst_triple *before, const struct inst_triple *after) {
    struct inst_change *items =
        grow(changes->triples, changes->triple_count, &changes->triple_cap, sizeof *items);
    if (items == NULL)
        return false;
    changes->triples = items;
    struct inst_change change = {.attr_row = attr->row, .e = e};
    if (!fill_side(changes, attr, before, &change.before) ||
        !fill_side(changes, attr, after, &change.after))
        return false;
    items[changes->triple_count++] = change;
    return true;
}

bool inst_changes_born(struct inst_changes *changes, const struct inst_uuid *id) {
    struct inst_uuid *items =
        grow(changes->born, changes->born_count, &changes->born_cap, sizeof *items);
    if (items == NULL)
        return false;
    changes->born = items;
    items[changes->born_count++] = *id;
    return true;
}

/* "id" is left out: every namespace has it, and whoever depends on it depends on the etype too. */
static bool add_name(struct inst_changes *changes, const struct inst_value *name) {
    if (name->tag != INST_STRING || inst_is_string(name, "id"))
        return true;
    struct inst_value *items =
        grow(changes->names, changes->name_count, &changes->name_cap, sizeof *items);
    if (items == NULL)
        return false;
    changes->names = items;
    char *text = inst_arena_dup(&changes->arena, name->u.str, name->len);
    if (text == NULL)
        return false;
    items[changes->name_count++] = inst_string(text, name->len);
    return true;
}

bool inst_changes_attr(struct inst_changes *changes, const struct inst_attr *attr) {
    changes->is_catalog_new = true;
    return add_name(changes, &attr->forward.etype) && add_name(changes, &attr->forward.label) &&
           add_name(changes, &attr->reverse.etype) && add_name(changes, &attr->reverse.label);
}

bool inst_changes_is_empty(const struct inst_changes *changes) {
    return changes->triple_count == 0 && changes->born_count == 0 && changes->name_count == 0 &&
           !changes->is_catalog_new;
}
