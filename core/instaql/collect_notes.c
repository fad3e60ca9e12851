/*
 * The triples that a run of a query met, each once.
 */
#include "instaql/collect.h"

static uint32_t hash_triple(const struct inst_attr *attr, const struct inst_triple *t) {
    uint64_t h = ((uint64_t)t->e << 32 | t->ref) * 0x9E3779B97F4A7C15u;
    uint32_t position = attr->position * 2654435761u;
    return (uint32_t)(h >> 32) ^ position;
}

static bool is_same(const struct inst_note *note, const struct inst_attr *attr,
                    const struct inst_triple *t) {
    const struct inst_collected_triple *have = &note->collected;
    if (have->triple.e != t->e || have->triple.ref != t->ref || have->attr != attr) {
        return false;
    }
    /* Only odd data has more than one value that is no link. */
    return t->ref || !attr->is_many || inst_value_equal(&have->triple.v, &t->v);
}

static bool grow_notes(struct inst_collector *c) {
    uint32_t cap = c->note_cap ? c->note_cap * 2 : 64;
    struct inst_note *notes = inst_arena_alloc(c->run.scratch, cap * sizeof(*notes));
    uint32_t *table = inst_arena_zalloc(c->run.scratch, (size_t)2 * cap * sizeof(*table));
    if (!notes || !table) {
        return false;
    }
    if (c->note_count) {
        memcpy(notes, c->notes, c->note_count * sizeof(*notes));
    }
    for (uint32_t i = 0; i < c->note_count; i++) {
        uint32_t at =
            hash_triple(notes[i].collected.attr, &notes[i].collected.triple) & (cap * 2 - 1);
        while (table[at]) {
            at = (at + 1) & (cap * 2 - 1);
        }
        table[at] = i + 1;
    }
    c->notes = notes;
    c->note_cap = cap;
    c->table = table;
    c->table_mask = cap * 2 - 1;
    return true;
}

bool inst_collect_keep(struct inst_collector *c, struct inst_arena *arena,
                       const struct inst_attr *attr, const struct inst_triple *t,
                       struct inst_triple *out) {
    struct inst_value v = t->v;
    *out = *t;
    if (attr->is_ref && t->ref) {
        out->v = (struct inst_value){.tag = INST_ENTITY, .u.entity = t->ref};
        return true;
    }
    if (v.tag == INST_ENTITY) {
        v = c->run.store->ops->entity_id(c->run.store, t->ref ? t->ref : (uint32_t)v.u.entity);
    }
    return inst_value_dup(arena, &v, &out->v);
}

int64_t inst_collect_note(struct inst_collector *c, const struct inst_attr *attr,
                          const struct inst_triple *t) {
    if (c->note_count == c->note_cap && !grow_notes(c)) {
        inst_err_nomem(c->run.err);
        return -1;
    }
    uint32_t at = hash_triple(attr, t) & c->table_mask;
    for (; c->table[at]; at = (at + 1) & c->table_mask) {
        if (is_same(&c->notes[c->table[at] - 1], attr, t)) {
            return c->table[at] - 1;
        }
    }
    struct inst_note *made = &c->notes[c->note_count];
    made->collected.attr = attr;
    made->is_sent = false;
    if (!inst_collect_keep(c, c->arena, attr, t, &made->collected.triple)) {
        inst_err_nomem(c->run.err);
        return -1;
    }
    int visible = 1;
    if (c->opts->is_visible) {
        visible = c->opts->is_visible(c->opts->ctx, attr, &made->collected.triple, c->run.err);
        if (visible < 0) {
            return -1;
        }
    }
    made->is_visible = visible;
    c->table[at] = ++c->note_count;
    return c->note_count - 1;
}
