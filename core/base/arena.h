/*
 * arena.h - memory that is freed together.
 *
 *     block -> block -> block      each at least INST_ARENA_BLOCK bytes
 *     [used |   free ]             allocation moves one offset
 *
 * Not thread-safe; one owner. A mark remembers a position: going back to it frees everything
 * allocated since (the undo journal of the memory store lives on that).
 */
#ifndef INST_BASE_ARENA_H
#define INST_BASE_ARENA_H

#include <stddef.h>

/* Data bytes of the first block; later ones double up to the maximum, or hold one big request. */
#define INST_ARENA_BLOCK 4096
#define INST_ARENA_BLOCK_MAX (256u << 10)

struct inst_arena_block;

struct inst_arena {
    struct inst_arena_block *last; /* newest block, NULL when empty */
    size_t total;                  /* bytes obtained from malloc, for memory accounting */
};

struct inst_arena_mark {
    struct inst_arena_block *block;
    size_t used;
};

void inst_arena_init(struct inst_arena *arena);

/* 8-byte aligned, not zeroed; NULL when out of memory. size 0 gives a valid pointer. */
void *inst_arena_alloc(struct inst_arena *arena, size_t size);

/* Zeroed. */
void *inst_arena_zalloc(struct inst_arena *arena, size_t size);

/* A copy of n bytes with a NUL behind them; NULL when out of memory. */
char *inst_arena_dup(struct inst_arena *arena, const char *bytes, size_t n);

struct inst_arena_mark inst_arena_mark(const struct inst_arena *arena);
void inst_arena_rewind(struct inst_arena *arena, struct inst_arena_mark mark);

/* Frees all but one block of ordinary size, for reuse. */
void inst_arena_reset(struct inst_arena *arena);
void inst_arena_free(struct inst_arena *arena);

#endif
