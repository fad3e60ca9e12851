/*
 * slab.h - records of one size, numbered from 1, added and dropped only at the end.
 *
 *     chunks ─┬─> [ 0 .. 1023 ]     chunk 0 starts small and is reallocated until it is full size;
 *             ├─> [ 1024 .. 2047 ]  the others never move, so growing never copies what is there
 *             └─> ...
 *
 * Number 0 is no record (its place in chunk 0 is zeroed and unused). A number is never given out
 * again unless the records were dropped, so numbers are also an order of creation.
 */
#ifndef INST_TRIPLES_SLAB_H
#define INST_TRIPLES_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INST_SLAB_SHIFT 10
#define INST_SLAB_CHUNK (1u << INST_SLAB_SHIFT)

struct inst_slab {
    char **chunks;       /* owned */
    uint32_t chunks_len; /* allocated chunks */
    uint32_t chunks_cap;
    uint32_t count; /* the next number; 0 until the first reserve */
    uint32_t cap;   /* numbers below this have memory */
    uint32_t size;  /* bytes of a record */
};

void inst_slab_init(struct inst_slab *slab, uint32_t size);
void inst_slab_free(struct inst_slab *slab);
/* Makes sure that `more` adds succeed; false when out of memory or numbers. */
bool inst_slab_grow(struct inst_slab *slab, uint32_t more);
/* Drops the records from number `count` on, and memory that is no longer near. */
void inst_slab_truncate(struct inst_slab *slab, uint32_t count);
size_t inst_slab_bytes(const struct inst_slab *slab);

static inline bool inst_slab_reserve(struct inst_slab *slab, uint32_t more) {
    return (slab->count && slab->cap - slab->count >= more) || inst_slab_grow(slab, more);
}

static inline void *inst_slab_at(const struct inst_slab *slab, uint32_t number) {
    return slab->chunks[number >> INST_SLAB_SHIFT] +
           (size_t)(number & (INST_SLAB_CHUNK - 1)) * slab->size;
}

/* The next number; room must have been reserved. The record is not zeroed. */
static inline uint32_t inst_slab_add(struct inst_slab *slab) { return slab->count++; }

#endif
