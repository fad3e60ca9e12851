/*
 * map.h - pointers by key; open addressing, linear probing, at most three quarters full.
 *
 * Keys are bytes that live inside what they point to (a query's hash, a mutation's event id), so a
 * map owns neither.
 */
#ifndef INST_CLIENT_MAP_H
#define INST_CLIENT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_map_slot {
    const void *key; /* NULL: free */
    size_t key_len;
    uint64_t hash;
    void *value;
};

struct inst_map {
    struct inst_map_slot *slots; /* owned; NULL while empty */
    size_t cap;                  /* a power of two */
    size_t count;
    uint64_t seed; /* so that keys from outside cannot be chosen to collide */
};

void inst_map_init(struct inst_map *map, uint64_t seed);
void inst_map_free(struct inst_map *map);
void *inst_map_get(const struct inst_map *map, const void *key, size_t key_len);
/* The key must not be there yet. false when out of memory: nothing changed. */
bool inst_map_add(struct inst_map *map, const void *key, size_t key_len, void *value);
/* Nothing when absent. */
void inst_map_remove(struct inst_map *map, const void *key, size_t key_len);

#endif
