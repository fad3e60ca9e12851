#include "script_region.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)64 << 10)

struct inst_region_chunk {
    struct inst_region_chunk *next;
    size_t pad; /* what follows is aligned as malloc's */
};

struct inst_region_large {
    struct inst_region_large *next, *prev;
    size_t size;
    size_t pad;
};

void inst_region_init(struct inst_region *region, size_t limit) {
    *region = (struct inst_region){.limit = limit};
}

/* ---- small blocks ---- */

static size_t class_of(size_t size) { return (size - 1) / INST_REGION_GRAIN; }

static void *take_small(struct inst_region *region, size_t size) {
    size_t which = class_of(size);
    size = (which + 1) * INST_REGION_GRAIN;
    void *block = region->free[which];
    if (block != NULL) {
        memcpy(&region->free[which], block, sizeof(void *));
        return block;
    }
    if (region->left < size) { /* the rest of the old chunk is lost: less than one block */
        if (region->limit - region->taken < CHUNK)
            return NULL;
        struct inst_region_chunk *chunk = malloc(CHUNK);
        if (chunk == NULL)
            return NULL;
        chunk->next = region->chunks;
        region->chunks = chunk;
        region->taken += CHUNK;
        region->at = (char *)(chunk + 1);
        region->left = CHUNK - sizeof *chunk;
    }
    block = region->at;
    region->at += size;
    region->left -= size;
    return block;
}

static void give_small(struct inst_region *region, void *block, size_t size) {
    size_t which = class_of(size);
    memcpy(block, &region->free[which], sizeof(void *));
    region->free[which] = block;
}

/* ---- large blocks ---- */

static bool has_room(const struct inst_region *region, size_t size) {
    return size <= region->limit && region->taken <= region->limit - size;
}

static void *take_large(struct inst_region *region, size_t size) {
    if (region->grows != NULL)
        region->grows(region->ctx);
    struct inst_region_large *large = NULL;
    if (has_room(region, size))
        large = malloc(sizeof *large + size);
    if (large == NULL)
        return NULL;
    *large = (struct inst_region_large){.next = region->large, .size = size};
    if (large->next != NULL)
        large->next->prev = large;
    region->large = large;
    region->taken += size;
    return large + 1;
}

static void give_large(struct inst_region *region, void *block) {
    struct inst_region_large *large = (struct inst_region_large *)block - 1;
    if (large->prev != NULL)
        large->prev->next = large->next;
    else
        region->large = large->next;
    if (large->next != NULL)
        large->next->prev = large->prev;
    region->taken -= large->size;
    free(large);
}

static void *resize_large(struct inst_region *region, void *block, size_t size) {
    struct inst_region_large *large = (struct inst_region_large *)block - 1;
    size_t old = large->size;
    if (region->grows != NULL && size > old)
        region->grows(region->ctx);
    if (size > old && !has_room(region, size - old))
        return NULL;
    large = realloc(large, sizeof *large + size);
    if (large == NULL)
        return NULL;
    large->size = size;
    region->taken = region->taken - old + size;
    if (large->prev != NULL)
        large->prev->next = large;
    else
        region->large = large;
    if (large->next != NULL)
        large->next->prev = large;
    return large + 1;
}

/* ---- both ---- */

static void *take(struct inst_region *region, size_t size) {
    return size <= INST_REGION_SMALL ? take_small(region, size) : take_large(region, size);
}

static void give(struct inst_region *region, void *block, size_t size) {
    if (size <= INST_REGION_SMALL)
        give_small(region, block, size);
    else
        give_large(region, block);
}

void *inst_region_alloc(void *ud, void *block, size_t old_size, size_t size) {
    struct inst_region *region = ud;
    if (block == NULL)
        return size > 0 ? take(region, size) : NULL;
    if (size == 0) {
        give(region, block, old_size);
        return NULL;
    }
    bool was_small = old_size <= INST_REGION_SMALL, is_small = size <= INST_REGION_SMALL;
    if (was_small && is_small && class_of(old_size) == class_of(size))
        return block;
    if (!was_small && !is_small)
        return resize_large(region, block, size);
    void *moved = take(region, size);
    if (moved == NULL) /* what shrinks must not fail; a block may be larger than it need be */
        return size < old_size ? block : NULL;
    memcpy(moved, block, old_size < size ? old_size : size);
    give(region, block, old_size);
    return moved;
}

static void free_large(struct inst_region *region) {
    while (region->large != NULL) {
        struct inst_region_large *large = region->large;
        region->large = large->next;
        free(large);
    }
}

void inst_region_clear(struct inst_region *region) {
    free_large(region);
    while (region->chunks != NULL && region->chunks->next != NULL) {
        struct inst_region_chunk *chunk = region->chunks;
        region->chunks = chunk->next;
        free(chunk);
    }
    memset(region->free, 0, sizeof region->free);
    region->taken = region->chunks != NULL ? CHUNK : 0;
    region->at = region->chunks != NULL ? (char *)(region->chunks + 1) : NULL;
    region->left = region->chunks != NULL ? CHUNK - sizeof *region->chunks : 0;
}

void inst_region_free(struct inst_region *region) {
    inst_region_clear(region);
    free(region->chunks);
    *region = (struct inst_region){0};
}
