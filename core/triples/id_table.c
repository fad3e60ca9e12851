#include "triples/id_table.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_SLOTS 8u

static void put(uint64_t *slots, uint32_t mask, uint64_t slot) {
    uint32_t at = (uint32_t)(slot >> 32) & mask;
    while (slots[at]) {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

void inst_id_table_free(struct inst_id_table *table) {
    free(table->slots);
    *table = (struct inst_id_table){0};
}

bool inst_id_table_reserve(struct inst_id_table *table, uint32_t more) {
    uint64_t need = (uint64_t)table->count + more;
    uint64_t size = table->slots ? (uint64_t)table->mask + 1 : 0;
    if (table->slots && need * 4 <= size * 3) {
        return true;
    }
    size = size ? size : FIRST_SLOTS;
    while (need * 4 > size * 3) {
        size *= 2;
    }
    if (size > (uint64_t)UINT32_MAX + 1 || size > SIZE_MAX / sizeof(uint64_t)) {
        return false;
    }
    uint64_t *slots = calloc((size_t)size, sizeof(*slots));
    if (!slots) {
        return false;
    }
    uint32_t mask = (uint32_t)(size - 1);
    for (uint64_t i = 0; table->slots && i <= table->mask; i++) {
        if (table->slots[i]) {
            put(slots, mask, table->slots[i]);
        }
    }
    free(table->slots);
    table->slots = slots;
    table->mask = mask;
    return true;
}

void inst_id_table_add(struct inst_id_table *table, uint32_t hash, uint32_t id) {
    assert(table->slots && table->count < table->mask);
    put(table->slots, table->mask, (uint64_t)hash << 32 | id);
    table->count++;
}

static uint32_t find(const struct inst_id_table *table, uint64_t slot) {
    uint32_t at = (uint32_t)(slot >> 32) & table->mask;
    while (table->slots[at] != slot) {
        assert(table->slots[at]);
        at = (at + 1) & table->mask;
    }
    return at;
}

void inst_id_table_remove(struct inst_id_table *table, uint32_t hash, uint32_t id) {
    uint32_t hole = find(table, (uint64_t)hash << 32 | id);
    /* Moves back what probing would no longer reach over the hole. */
    for (uint32_t at = (hole + 1) & table->mask; table->slots[at]; at = (at + 1) & table->mask) {
        uint32_t home = (uint32_t)(table->slots[at] >> 32) & table->mask;
        if (((at - home) & table->mask) >= ((at - hole) & table->mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole] = 0;
    table->count--;
}

void inst_id_table_replace(struct inst_id_table *table, uint32_t hash, uint32_t id,
                           uint32_t new_id) {
    table->slots[find(table, (uint64_t)hash << 32 | id)] = (uint64_t)hash << 32 | new_id;
}

size_t inst_id_table_bytes(const struct inst_id_table *table) {
    return table->slots ? ((size_t)table->mask + 1) * sizeof(uint64_t) : 0;
}
