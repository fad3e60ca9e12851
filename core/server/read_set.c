#include "server/read_set.h"

#include "base/text.h"
#include "server/limits.h"

#include <stdlib.h>
#include <string.h>

enum read_kind {
    READ_ENTITY = 1,
    READ_PAIR, /* an entity with a value */
    READ_PRESENCE,
    READ_VALUE,
    READ_REF,
    READ_ATTR,
    READ_UNKNOWN,
    READ_NAME
};

struct read_item {
    struct inst_read_set *set;
    size_t place; /* in set->places, so that an item that moves tells its set */
};

/* All reads of one key. The node of READ_ATTR also holds the attr's ranges. */
struct inst_read_node {
    struct inst_table_key key;
    struct read_item *items;
    size_t count, cap;
    struct inst_intervals ranges;
};

void inst_read_index_init(struct inst_read_index *index, uint64_t seed) {
    *index = (struct inst_read_index){.seed = seed};
}

void inst_read_index_free(struct inst_read_index *index) { inst_table_free(&index->nodes); }

/* ---- keys ---- */

static struct inst_table_key key_of(enum read_kind kind, uint32_t attr_row, uint64_t what) {
    return (struct inst_table_key){(uint64_t)kind << 32 | attr_row, what};
}

/* A collision of two pairs wakes for nothing. */
static struct inst_table_key pair_key(uint32_t attr_row, uint32_t e, uint64_t what) {
    return key_of(READ_PAIR, attr_row, (what ^ e) * 0x9e3779b97f4a7c15u ^ e);
}

static struct inst_table_key uuid_key(const struct inst_uuid *id) {
    uint64_t half[2];
    memcpy(half, id->bytes, sizeof half);
    /* The kind is kept out of reach of any uuid's bits by hashing; a collision wakes for nothing.
     */
    return key_of(READ_UNKNOWN, 0, half[0] * 0x9e3779b97f4a7c15u ^ half[1]);
}

static struct inst_table_key name_key(const struct inst_read_index *index, const char *name,
                                      size_t len) {
    return key_of(READ_NAME, 0, inst_text_hash(name, len, index->seed));
}

/* Reached by every change of attrs: sets with too many names. */
static struct inst_table_key every_name_key(void) { return key_of(READ_NAME, 1, 0); }

/* ---- nodes ---- */

static struct inst_read_node *node_of(struct inst_read_index *index, struct inst_table_key key) {
    struct inst_read_node *node = inst_table_get(&index->nodes, key);
    if (node != NULL)
        return node;
    node = calloc(1, sizeof *node);
    if (node == NULL)
        return NULL;
    node->key = key;
    if (!inst_table_put(&index->nodes, key, node)) {
        free(node);
        return NULL;
    }
    return node;
}

static void drop_if_empty(struct inst_read_index *index, struct inst_read_node *node) {
    if (node->count > 0 || node->ranges.count > 0)
        return;
    inst_table_remove(&index->nodes, node->key);
    free(node->items);
    free(node);
}

static bool node_add(struct inst_read_node *node, struct inst_read_set *set, size_t place) {
    if (node->count == node->cap) {
        size_t cap = node->cap == 0 ? 1 : node->cap * 2;
        struct read_item *items = realloc(node->items, cap * sizeof *items);
        if (items == NULL)
            return false;
        node->items = items;
        node->cap = cap;
    }
    node->items[node->count++] = (struct read_item){set, place};
    return true;
}

/* ---- sets ---- */

void inst_read_set_init(struct inst_read_set *set, void *owner) {
    *set = (struct inst_read_set){.owner = owner};
}

static void unlink_broken(struct inst_read_set *set) {
    if (set->link_broken == NULL)
        return;
    *set->link_broken = set->next_broken;
    if (set->next_broken != NULL)
        set->next_broken->link_broken = set->link_broken;
    set->link_broken = NULL;
    set->next_broken = NULL;
}

static void leave_place(struct inst_read_index *index, const struct inst_read_place *place) {
    struct inst_read_node *node = place->node;
    if (place->interval != NULL) {
        inst_intervals_remove(&node->ranges, place->interval);
    } else {
        struct read_item last = node->items[--node->count];
        if (place->index < node->count) {
            node->items[place->index] = last;
            last.set->places[last.place].index = place->index;
        }
    }
    drop_if_empty(index, node);
}

static void leave(struct inst_read_index *index, struct inst_read_set *set) {
    for (size_t i = 0; i < set->count; i++)
        leave_place(index, &set->places[i]);
    index->reads -= set->count;
    set->count = 0;
    unlink_broken(set);
    set->is_broken = false;
}

void inst_read_set_clear(struct inst_read_index *index, struct inst_read_set *set) {
    leave(index, set);
    free(set->places);
    inst_table_free(&set->seen);
    inst_table_free(&set->counts);
    inst_read_set_init(set, set->owner);
}

void inst_read_set_begin(struct inst_read_index *index, struct inst_read_set *set) {
    leave(index, set);
    inst_table_clear(&set->seen);
    inst_table_clear(&set->counts);
    set->name_count = 0;
    set->is_every_name = false;
}

void inst_read_set_resume(struct inst_read_index *index, struct inst_read_set *set) {
    (void)index;
    for (size_t i = 0; i < set->count && !set->is_broken; i++) {
        const struct inst_read_place *place = &set->places[i];
        struct inst_table_key key = place->node->key;
        uint64_t kind = key.a >> 32;
        struct inst_table_key attr = {(uint32_t)key.a, 0};
        if (place->interval == NULL && !inst_table_put(&set->seen, key, place->node))
            set->is_broken = true;
        if (kind == READ_UNKNOWN || kind == READ_NAME ||
            (kind == READ_ATTR && place->interval == NULL))
            continue;
        uintptr_t count = inst_table_unpack(inst_table_get(&set->counts, attr)) + 1;
        if (!inst_table_put(&set->counts, attr, inst_table_pack(count)))
            set->is_broken = true;
    }
}

/* Reads of single keys under an attr that is read as a whole are no longer needed. */
static bool is_covered(const struct inst_read_set *set, const struct inst_read_place *place) {
    struct inst_table_key key = place->node->key;
    uint64_t kind = key.a >> 32;
    uint32_t attr_row = (uint32_t)key.a;
    if (kind == READ_UNKNOWN || kind == READ_NAME || (kind == READ_ATTR && place->interval == NULL))
        return false;
    return inst_table_get(&set->seen, key_of(READ_ATTR, attr_row, 0)) != NULL;
}

static void drop_covered(struct inst_read_index *index, struct inst_read_set *set) {
    for (size_t i = set->count; i-- > 0;) {
        if (!is_covered(set, &set->places[i]))
            continue;
        leave_place(index, &set->places[i]);
        index->reads--;
        struct inst_read_place last = set->places[--set->count];
        if (i == set->count)
            continue;
        set->places[i] = last;
        if (last.interval == NULL) /* a node that still has this read was not freed */
            last.node->items[last.index].place = i; /* NOLINT(clang-analyzer-unix.Malloc) */
    }
}

void inst_read_set_end(struct inst_read_index *index, struct inst_read_set *set) {
    drop_covered(index, set);
    inst_table_free(&set->seen);
    inst_table_free(&set->counts);
    if (set->is_broken && set->link_broken == NULL) {
        set->next_broken = index->broken;
        set->link_broken = &index->broken;
        if (index->broken != NULL)
            index->broken->link_broken = &set->next_broken;
        index->broken = set;
    }
}

static struct inst_read_place *new_place(struct inst_read_set *set) {
    if (set->count == set->cap) {
        size_t cap = set->cap == 0 ? 8 : set->cap * 2;
        struct inst_read_place *places = realloc(set->places, cap * sizeof *places);
        if (places == NULL)
            return NULL;
        set->places = places;
        set->cap = cap;
    }
    return &set->places[set->count];
}

/* Adds a hashed read that is not there yet. */
static void add_key(struct inst_read_index *index, struct inst_read_set *set,
                    struct inst_table_key key) {
    if (set->is_broken || inst_table_get(&set->seen, key) != NULL)
        return;
    struct inst_read_place *place = new_place(set);
    struct inst_read_node *node = place != NULL ? node_of(index, key) : NULL;
    if (node == NULL || !inst_table_put(&set->seen, key, node) ||
        !node_add(node, set, set->count)) {
        set->is_broken = true;
        if (node != NULL)
            drop_if_empty(index, node);
        return;
    }
    *place = (struct inst_read_place){.node = node, .index = node->count - 1};
    set->count++;
    index->reads++;
}

/* Is the whole attr read already, or (counting one key more) to be read from now on? */
static bool is_coarse(struct inst_read_index *index, struct inst_read_set *set, uint32_t attr_row) {
    if (set->is_broken || inst_table_get(&set->seen, key_of(READ_ATTR, attr_row, 0)) != NULL)
        return true;
    struct inst_table_key key = {attr_row, 0};
    uintptr_t count = inst_table_unpack(inst_table_get(&set->counts, key)) + 1;
    if (count > INST_READ_SET_MAX_KEYS) {
        inst_read_set_add_attr(index, set, attr_row);
        return true;
    }
    if (!inst_table_put(&set->counts, key, inst_table_pack(count)))
        set->is_broken = true;
    return false;
}

static void add_counted(struct inst_read_index *index, struct inst_read_set *set, uint32_t attr_row,
                        struct inst_table_key key) {
    if (inst_table_get(&set->seen, key) == NULL && !is_coarse(index, set, attr_row))
        add_key(index, set, key);
}

void inst_read_set_add_entity(struct inst_read_index *index, struct inst_read_set *set,
                              uint32_t attr_row, uint32_t e) {
    add_counted(index, set, attr_row, key_of(READ_ENTITY, attr_row, e));
}

void inst_read_set_add_entity_value(struct inst_read_index *index, struct inst_read_set *set,
                                    uint32_t attr_row, uint32_t e, const struct inst_value *v) {
    add_counted(index, set, attr_row, pair_key(attr_row, e, inst_point_hash(v, index->seed)));
}

void inst_read_set_add_entity_ref(struct inst_read_index *index, struct inst_read_set *set,
                                  uint32_t attr_row, uint32_t e, uint32_t ref) {
    add_counted(index, set, attr_row, pair_key(attr_row, e, ref));
}

void inst_read_set_add_presence(struct inst_read_index *index, struct inst_read_set *set,
                                uint32_t attr_row, uint32_t e) {
    add_counted(index, set, attr_row, key_of(READ_PRESENCE, attr_row, e));
}

void inst_read_set_add_value(struct inst_read_index *index, struct inst_read_set *set,
                             uint32_t attr_row, const struct inst_value *v) {
    add_counted(index, set, attr_row,
                key_of(READ_VALUE, attr_row, inst_point_hash(v, index->seed)));
}

void inst_read_set_add_ref(struct inst_read_index *index, struct inst_read_set *set,
                           uint32_t attr_row, uint32_t ref) {
    add_counted(index, set, attr_row, key_of(READ_REF, attr_row, ref));
}

void inst_read_set_add_attr(struct inst_read_index *index, struct inst_read_set *set,
                            uint32_t attr_row) {
    add_key(index, set, key_of(READ_ATTR, attr_row, 0));
}

void inst_read_set_add_unknown(struct inst_read_index *index, struct inst_read_set *set,
                               const struct inst_uuid *id) {
    add_key(index, set, uuid_key(id));
}

void inst_read_set_add_name(struct inst_read_index *index, struct inst_read_set *set,
                            uint64_t hash) {
    if (set->is_every_name)
        return;
    if (set->name_count++ < INST_READ_SET_MAX_NAMES) {
        add_key(index, set, key_of(READ_NAME, 0, hash));
        return;
    }
    set->is_every_name = true;
    add_key(index, set, every_name_key());
}

void inst_read_set_add_range(struct inst_read_index *index, struct inst_read_set *set,
                             uint32_t attr_row, const struct inst_point *low,
                             const struct inst_point *high) {
    if (low->class == INST_POINT_UNKNOWN || high->class == INST_POINT_UNKNOWN) {
        inst_read_set_add_attr(index, set, attr_row);
        return;
    }
    if (inst_point_compare(low, high) > 0 || is_coarse(index, set, attr_row))
        return;
    struct inst_read_place *place = new_place(set);
    struct inst_read_node *node =
        place != NULL ? node_of(index, key_of(READ_ATTR, attr_row, 0)) : NULL;
    struct inst_interval *interval =
        node != NULL ? inst_intervals_add(&node->ranges, low, high, set) : NULL;
    if (interval == NULL) {
        set->is_broken = true;
        if (node != NULL)
            drop_if_empty(index, node);
        return;
    }
    *place = (struct inst_read_place){.node = node, .interval = interval};
    set->count++;
    index->reads++;
}

/* ---- asking ---- */

struct asking {
    struct inst_read_index *index;
    inst_read_touched_fn *fn;
    void *ctx;
    const struct inst_change *change;
};

static void ask_key(const struct asking *asking, struct inst_table_key key) {
    const struct inst_read_node *node = inst_table_get(&asking->index->nodes, key);
    for (size_t i = 0; node != NULL && i < node->count; i++)
        asking->fn(asking->ctx, node->items[i].set->owner, asking->change);
}

static void found_range(void *ctx, void *owner) {
    const struct asking *asking = ctx;
    const struct inst_read_set *set = owner;
    asking->fn(asking->ctx, set->owner, asking->change);
}

static void ask_side(const struct asking *asking, const struct inst_change *change,
                     const struct inst_change_side *side) {
    if (!side->is_there)
        return;
    if (side->ref != 0) {
        ask_key(asking, key_of(READ_REF, change->attr_row, side->ref));
        ask_key(asking, pair_key(change->attr_row, change->e, side->ref));
    } else {
        ask_key(asking, pair_key(change->attr_row, change->e, side->hash));
    }
    ask_key(asking, key_of(READ_VALUE, change->attr_row, side->hash));
    const struct inst_read_node *node =
        inst_table_get(&asking->index->nodes, key_of(READ_ATTR, change->attr_row, 0));
    if (node != NULL && node->ranges.count > 0)
        inst_intervals_ask(&node->ranges, &side->point, found_range, (void *)asking);
}

static bool is_value(const struct inst_change_side *side) {
    return side->is_there && !side->is_null;
}

void inst_read_index_ask(struct inst_read_index *index, const struct inst_changes *changes,
                         inst_read_touched_fn *fn, void *ctx) {
    struct asking asking = {index, fn, ctx, NULL};
    for (size_t i = 0; i < changes->triple_count; i++) {
        const struct inst_change *change = &changes->triples[i];
        asking.change = change;
        ask_key(&asking, key_of(READ_ENTITY, change->attr_row, change->e));
        if (is_value(&change->before) != is_value(&change->after))
            ask_key(&asking, key_of(READ_PRESENCE, change->attr_row, change->e));
        ask_key(&asking, key_of(READ_ATTR, change->attr_row, 0));
        ask_side(&asking, change, &change->before);
        ask_side(&asking, change, &change->after);
    }
    asking.change = NULL;
    for (size_t i = 0; i < changes->born_count; i++)
        ask_key(&asking, uuid_key(&changes->born[i]));
    for (size_t i = 0; i < changes->name_count; i++)
        ask_key(&asking, name_key(index, changes->names[i].u.str, changes->names[i].len));
    if (changes->name_count > 0)
        ask_key(&asking, every_name_key());
    for (struct inst_read_set *set = index->broken; set != NULL; set = set->next_broken)
        fn(ctx, set->owner, NULL);
}
