#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Under AddressSanitizer the free part of a block is poisoned, so that a pointer kept across a
 * rewind, or a write past an allocation, is reported as it would be with malloc. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#endif

#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#define poison(addr, size) ASAN_POISON_MEMORY_REGION(addr, size)
#define unpoison(addr, size) ASAN_UNPOISON_MEMORY_REGION(addr, size)
#else
#define poison(addr, size) ((void)(addr), (void)(size))
#define unpoison(addr, size) ((void)(addr), (void)(size))
#endif

struct inst_arena_block {
    struct inst_arena_block *prev;
    size_t size; /* bytes of data */
    size_t used;
    max_align_t data[];
};

static char *block_data(struct inst_arena_block *block) { return (char *)block->data; }

static void free_block(struct inst_arena *arena, struct inst_arena_block *block) {
    arena->total -= sizeof(*block) + block->size;
    unpoison(block->data, block->size);
    free(block);
}

/* Blocks grow with the arena, so that a big parse makes few of them and a small one stays small. */
static struct inst_arena_block *add_block(struct inst_arena *arena, size_t need) {
    size_t size = arena->total;
    if (size < INST_ARENA_BLOCK) {
        size = INST_ARENA_BLOCK;
    }
    if (size > INST_ARENA_BLOCK_MAX) {
        size = INST_ARENA_BLOCK_MAX;
    }
    if (size < need) {
        size = need;
    }
    if (size > SIZE_MAX - sizeof(struct inst_arena_block)) {
        return NULL;
    }
    struct inst_arena_block *block = malloc(sizeof(*block) + size);
    if (!block) {
        return NULL;
    }
    block->prev = arena->last;
    block->size = size;
    block->used = 0;
    poison(block->data, size);
    arena->last = block;
    arena->total += sizeof(*block) + size;
    return block;
}

void inst_arena_init(struct inst_arena *arena) {
    arena->last = NULL;
    arena->total = 0;
}

void *inst_arena_alloc(struct inst_arena *arena, size_t size) {
    if (size > SIZE_MAX - 7) {
        return NULL;
    }
    /* Never 0: two empty arrays must be two pieces of memory (inst_value_same). */
    size_t step = size ? (size + 7) & ~(size_t)7 : 8;
    struct inst_arena_block *block = arena->last;
    if (!block || block->size - block->used < step) {
        block = add_block(arena, step);
        if (!block) {
            return NULL;
        }
    }
    char *at = block_data(block) + block->used;
    block->used += step;
    unpoison(at, size);
    return at;
}

void *inst_arena_zalloc(struct inst_arena *arena, size_t size) {
    void *at = inst_arena_alloc(arena, size);
    if (at) {
        memset(at, 0, size);
    }
    return at;
}

char *inst_arena_dup(struct inst_arena *arena, const char *bytes, size_t n) {
    char *copy = n < SIZE_MAX ? inst_arena_alloc(arena, n + 1) : NULL;
    if (copy) {
        if (n) {
            memcpy(copy, bytes, n);
        }
        copy[n] = '\0';
    }
    return copy;
}

struct inst_arena_mark inst_arena_mark(const struct inst_arena *arena) {
    return (struct inst_arena_mark){
        .block = arena->last,
        .used = arena->last ? arena->last->used : 0,
    };
}

void inst_arena_rewind(struct inst_arena *arena, struct inst_arena_mark mark) {
    while (arena->last != mark.block) {
        struct inst_arena_block *block = arena->last;
        arena->last = block->prev;
        free_block(arena, block);
    }
    if (mark.block) {
        mark.block->used = mark.used;
        poison(block_data(mark.block) + mark.used, mark.block->size - mark.used);
    }
}

void inst_arena_reset(struct inst_arena *arena) {
    struct inst_arena_block *kept = NULL;
    while (arena->last) {
        struct inst_arena_block *block = arena->last;
        arena->last = block->prev;
        /* The newest of ordinary size: one huge request must not stay allocated for good. */
        if (!kept && block->size <= INST_ARENA_BLOCK_MAX) {
            kept = block;
        } else {
            free_block(arena, block);
        }
    }
    if (kept) {
        kept->prev = NULL;
        kept->used = 0;
        poison(kept->data, kept->size);
        arena->last = kept;
    }
}

void inst_arena_free(struct inst_arena *arena) {
    inst_arena_rewind(arena, (struct inst_arena_mark){0});
}
