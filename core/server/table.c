#include "server/table.h"

#include <stdlib.h>
#include <string.h>

void inst_table_init(struct inst_table *table) { *table = (struct inst_table){0}; }

void inst_table_free(struct inst_table *table) {
    free(table->slots);
    *table = (struct inst_table){0};
}

void inst_table_clear(struct inst_table *table) {
    if (table->count != 0)
        memset(table->slots, 0, table->cap * sizeof *table->slots);
    table->count = 0;
}

static size_t home_of(struct inst_table_key key, size_t cap) {
    uint64_t h = key.a * 0x9e3779b97f4a7c15u ^ key.b;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    return (size_t)h & (cap - 1);
}

static bool is_same(struct inst_table_key x, struct inst_table_key y) {
    return x.a == y.a && x.b == y.b;
}

void *inst_table_get(const struct inst_table *table, struct inst_table_key key) {
    if (table->count == 0)
        return NULL;
    for (size_t i = home_of(key, table->cap);; i = (i + 1) & (table->cap - 1)) {
        if (table->slots[i].value == NULL)
            return NULL;
        if (is_same(table->slots[i].key, key))
            return table->slots[i].value;
    }
}

static bool grow(struct inst_table *table) {
    size_t cap = table->cap == 0 ? 16 : table->cap * 2;
    struct inst_table_slot *slots = calloc(cap, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < table->cap; i++) {
        if (table->slots[i].value == NULL)
            continue;
        size_t j = home_of(table->slots[i].key, cap);
        while (slots[j].value != NULL)
            j = (j + 1) & (cap - 1);
        slots[j] = table->slots[i];
    }
    free(table->slots);
    table->slots = slots;
    table->cap = cap;
    return true;
}

bool inst_table_put(struct inst_table *table, struct inst_table_key key, void *value) {
    if ((table->count + 1) * 4 > table->cap * 3 && !grow(table))
        return false;
    size_t i = home_of(key, table->cap);
    while (table->slots[i].value != NULL && !is_same(table->slots[i].key, key))
        i = (i + 1) & (table->cap - 1);
    if (table->slots[i].value == NULL)
        table->count++;
    table->slots[i] = (struct inst_table_slot){key, value};
    return true;
}

void *inst_table_remove(struct inst_table *table, struct inst_table_key key) {
    if (table->count == 0)
        return NULL;
    size_t mask = table->cap - 1;
    size_t i = home_of(key, table->cap);
    while (table->slots[i].value != NULL && !is_same(table->slots[i].key, key))
        i = (i + 1) & mask;
    void *value = table->slots[i].value;
    if (value == NULL)
        return NULL;
    for (size_t j = (i + 1) & mask; table->slots[j].value != NULL; j = (j + 1) & mask) {
        size_t home = home_of(table->slots[j].key, table->cap);
        if (((j - home) & mask) >= ((j - i) & mask)) {
            table->slots[i] = table->slots[j];
            i = j;
        }
    }
    table->slots[i].value = NULL;
    table->count--;
    return value;
}
