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

static bool has_base(struct inst_region *region) {
    if (region->base != NULL)
        return true;
    if (region->limit < INST_REGION_BASE || (region->base = malloc(INST_REGION_BASE)) == NULL)
        return false;
    region->taken = INST_REGION_BASE;
    region->at = region->base;
    region->left = INST_REGION_BASE;
    return true;
}

static bool add_chunk(struct inst_region *region) {
    struct inst_region_chunk *chunk = NULL;
    if (region->limit - region->taken >= CHUNK)
        chunk = malloc(CHUNK);
    if (chunk == NULL)
        return false;
    chunk->next = region->chunks;
    region->chunks = chunk;
    region->taken += CHUNK;
    region->at = (char *)(chunk + 1);
    region->left = CHUNK - sizeof *chunk;
    return true;
}

static void *cut(struct inst_region *region, size_t size) {
    void *block = region->at;
    region->at += size;
    region->left -= size;
    return block;
}

static void *take_small(struct inst_region *region, size_t size) {
    size_t which = class_of(size);
    size = (which + 1) * INST_REGION_GRAIN;
    void *block = region->free[which];
    if (block != NULL) {
        memcpy(&region->free[which], block, sizeof(void *));
        return block;
    }
    /* The rest of the old chunk is lost: less than one block. */
    if (!has_base(region) || (region->left < size && !add_chunk(region)))
        return NULL;
    return cut(region, size);
}

static bool is_in_base(const struct inst_region *region, const void *block) {
    const char *at = block;
    return region->base != NULL && at >= region->base && at < region->base + INST_REGION_BASE;
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
    if (region->is_recording && has_base(region) && region->chunks == NULL &&
        region->left >= size + INST_REGION_GRAIN)
        return cut(region, (size + INST_REGION_GRAIN - 1) / INST_REGION_GRAIN * INST_REGION_GRAIN);
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
    if (is_in_base(region, block))
        return; /* with the rest of it */
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
    if (!was_small && !is_small && !is_in_base(region, block))
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

/* All but the base. */
static void free_others(struct inst_region *region) {
    free_large(region);
    while (region->chunks != NULL) {
        struct inst_region_chunk *chunk = region->chunks;
        region->chunks = chunk->next;
        free(chunk);
    }
    region->taken = region->base != NULL ? INST_REGION_BASE : 0;
}

void inst_region_clear(struct inst_region *region) {
    free_others(region);
    memset(region->free, 0, sizeof region->free);
    region->at = region->base;
    region->left = region->base != NULL ? INST_REGION_BASE : 0;
    region->is_recording = false;
}

void inst_region_free(struct inst_region *region) {
    free_others(region);
    free(region->base);
    *region = (struct inst_region){0};
}

/* ---- images ---- */

bool inst_region_save(struct inst_region *region, struct inst_region_image *out) {
    bool is_whole = region->is_recording && region->taken == INST_REGION_BASE;
    region->is_recording = false;
    *out = (struct inst_region_image){.len = INST_REGION_BASE - region->left};
    if (is_whole)
        out->bytes = malloc(out->len);
    if (out->bytes == NULL)
        return false;
    memcpy(out->bytes, region->base, out->len);
    memcpy(out->free, region->free, sizeof out->free);
    return true;
}

void inst_region_load(struct inst_region *region, const struct inst_region_image *image) {
    free_others(region);
    memcpy(region->base, image->bytes, image->len);
    memcpy(region->free, image->free, sizeof region->free);
    region->at = region->base + image->len;
    region->left = INST_REGION_BASE - image->len;
    region->is_recording = false;
}

void inst_region_image_free(struct inst_region_image *image) {
    free(image->bytes);
    *image = (struct inst_region_image){0};
}
