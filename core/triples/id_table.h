/*
 * id_table.h - a hash table of small integers, whose keys live elsewhere.
 *
 *     slots   [ hash 32 | id 32 ]   0: free; linear probing, at most three quarters full
 *
 * The caller hashes its key and compares: a table holds ids only, each once or several times under
 * the same hash. Because a slot carries its hash, growing and removing never look at the keys.
 * Which slot an id stands in cannot be observed, so a table need not be restored by undoing.
 */
#ifndef INST_TRIPLES_ID_TABLE_H
#define INST_TRIPLES_ID_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_id_table {
    uint64_t *slots; /* owned; NULL until the first reserve */
    uint32_t mask;   /* slots - 1; 0 while slots is NULL */
    uint32_t count;  /* slots in use */
};

void inst_id_table_free(struct inst_id_table *table);
/* Makes sure that `more` adds succeed; false when out of memory (the table is whole). */
bool inst_id_table_reserve(struct inst_id_table *table, uint32_t more);
/* id must not be 0; room must have been reserved. */
void inst_id_table_add(struct inst_id_table *table, uint32_t hash, uint32_t id);
/* The id must be there under this hash. */
void inst_id_table_remove(struct inst_id_table *table, uint32_t hash, uint32_t id);
void inst_id_table_replace(struct inst_id_table *table, uint32_t hash, uint32_t id,
                           uint32_t new_id);
size_t inst_id_table_bytes(const struct inst_id_table *table);

/* Probing: `for (at = hash; (id = inst_id_table_next(table, hash, &at)) != 0;)` gives every id
 * under this hash. */
static inline uint32_t inst_id_table_next(const struct inst_id_table *table, uint32_t hash,
                                          uint32_t *at) {
    if (!table->slots) {
        return 0;
    }
    for (;;) {
        uint64_t slot = table->slots[*at & table->mask];
        if (slot == 0) {
            return 0;
        }
        *at += 1;
        if (slot >> 32 == hash) {
            return (uint32_t)slot;
        }
    }
}

/* Two integers to a hash. Not seeded: for keys that the store itself numbers. */
static inline uint32_t inst_id_hash(uint64_t a, uint64_t b) {
    uint64_t h = (a * 0x9E3779B97F4A7C15u) ^ (b + 0x632BE59BD9B4E019u);
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93u;
    return (uint32_t)(h >> 32);
}

#endif
