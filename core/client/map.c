#include "client/map.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 16 };

void inst_map_init(struct inst_map *map, uint64_t seed) { *map = (struct inst_map){.seed = seed}; }

void inst_map_free(struct inst_map *map) {
    free(map->slots);
    map->slots = NULL;
    map->cap = map->count = 0;
}

/* The slot of the key, or the free one where it would go. */
static struct inst_map_slot *probe(const struct inst_map *map, const void *key, size_t key_len,
                                   uint64_t hash) {
    size_t at = hash & (map->cap - 1);
    for (;;) {
        struct inst_map_slot *slot = &map->slots[at];
        if (!slot->key || (slot->hash == hash && slot->key_len == key_len &&
                           memcmp(slot->key, key, key_len) == 0)) {
            return slot;
        }
        at = (at + 1) & (map->cap - 1);
    }
}

void *inst_map_get(const struct inst_map *map, const void *key, size_t key_len) {
    if (!map->count) {
        return NULL;
    }
    struct inst_map_slot *slot = probe(map, key, key_len, inst_text_hash(key, key_len, map->seed));
    return slot->key ? slot->value : NULL;
}

static bool grow(struct inst_map *map) {
    size_t cap = map->cap ? map->cap * 2 : FIRST_CAP;
    struct inst_map_slot *slots = calloc(cap, sizeof(*slots));
    if (!slots) {
        return false;
    }
    struct inst_map bigger = {slots, cap, map->count, map->seed};
    for (size_t i = 0; i < map->cap; i++) {
        struct inst_map_slot *slot = &map->slots[i];
        if (slot->key) {
            *probe(&bigger, slot->key, slot->key_len, slot->hash) = *slot;
        }
    }
    free(map->slots);
    *map = bigger;
    return true;
}

bool inst_map_add(struct inst_map *map, const void *key, size_t key_len, void *value) {
    if ((map->count + 1) * 4 > map->cap * 3 && !grow(map)) {
        return false;
    }
    uint64_t hash = inst_text_hash(key, key_len, map->seed);
    *probe(map, key, key_len, hash) = (struct inst_map_slot){key, key_len, hash, value};
    map->count++;
    return true;
}

void inst_map_remove(struct inst_map *map, const void *key, size_t key_len) {
    if (!map->count) {
        return;
    }
    struct inst_map_slot *slot = probe(map, key, key_len, inst_text_hash(key, key_len, map->seed));
    if (!slot->key) {
        return;
    }
    map->count--;
    /* Close the gap: whatever probed past it moves back. */
    size_t gap = (size_t)(slot - map->slots);
    for (size_t at = (gap + 1) & (map->cap - 1); map->slots[at].key;
         at = (at + 1) & (map->cap - 1)) {
        size_t home = map->slots[at].hash & (map->cap - 1);
        if (((at - home) & (map->cap - 1)) >= ((at - gap) & (map->cap - 1))) {
            map->slots[gap] = map->slots[at];
            gap = at;
        }
    }
    map->slots[gap] = (struct inst_map_slot){0};
}
