/*
 * table.h - a hash table from 128-bit keys to pointers.
 *
 * Open addressing, linear probing, no tombstones (removal shifts back). The caller makes keys that
 * are already well mixed (inst_text_hash) or are mixed here by inst_table_key.
 */
#ifndef INST_SERVER_TABLE_H
#define INST_SERVER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_table_key {
    uint64_t a;
    uint64_t b;
};

struct inst_table_slot {
    struct inst_table_key key;
    void *value; /* NULL: free */
};

struct inst_table {
    struct inst_table_slot *slots;
    size_t cap; /* 0 or a power of two */
    size_t count;
};

/* Small numbers as values: never 0, which is "none". */
static inline void *inst_table_pack(uintptr_t number) {
    return (void *)number; /* NOLINT(performance-no-int-to-ptr): never dereferenced */
}
static inline uintptr_t inst_table_unpack(const void *value) { return (uintptr_t)value; }

void inst_table_init(struct inst_table *table);
void inst_table_free(struct inst_table *table);
/* Empties it and keeps the memory. */
void inst_table_clear(struct inst_table *table);
void *inst_table_get(const struct inst_table *table, struct inst_table_key key);
/* Sets or replaces; value must not be NULL. false when out of memory. */
bool inst_table_put(struct inst_table *table, struct inst_table_key key, void *value);
/* Gives what was there, or NULL. */
void *inst_table_remove(struct inst_table *table, struct inst_table_key key);

#endif
