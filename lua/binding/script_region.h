/*
 * script_region.h - the memory of one sandbox, freed together.
 *
 *     up to 512 bytes   cut from the base, then from chunks; one list of free blocks for each
 *                       multiple of 16
 *     more              malloc, in a list
 *
 * While it records, everything is cut from the base: then an image of it can be taken, and the base
 * filled with it again, at the same place, so that all pointers in it are right.
 *
 * A state that lives here is never closed: its region is cleared, whatever the state was doing.
 * What chunks and large blocks take together never passes the limit; then allocating fails, as Lua
 * expects of an allocator. `grows`, if set, is called before each large block and need not come
 * back (it may longjmp away).
 */
#ifndef INST_LUA_SCRIPT_REGION_H
#define INST_LUA_SCRIPT_REGION_H

#include <stdbool.h>
#include <stddef.h>

#define INST_REGION_SMALL 512u
#define INST_REGION_GRAIN 16u
#define INST_REGION_BASE ((size_t)256 << 10)

struct inst_region_chunk;
struct inst_region_large;

struct inst_region {
    size_t limit;
    size_t taken; /* bytes of the base, chunks and large blocks */
    char *base;   /* NULL until the first block */
    bool is_recording;
    struct inst_region_chunk *chunks;
    char *at; /* what is left of the base, or the newest chunk */
    size_t left;
    void
        *free[INST_REGION_SMALL / INST_REGION_GRAIN]; /* by size; each block begins with the next */
    struct inst_region_large *large;
    void (*grows)(void *ctx);
    void *ctx;
};

void inst_region_init(struct inst_region *region, size_t limit);
/* A lua_Alloc; ud is the region. */
void *inst_region_alloc(void *ud, void *block, size_t old_size, size_t size);
/* All blocks are gone; the base is kept for the next use. */
void inst_region_clear(struct inst_region *region);
void inst_region_free(struct inst_region *region);

struct inst_region_image {
    char *bytes; /* NULL: none */
    size_t len;
    void *free[INST_REGION_SMALL / INST_REGION_GRAIN];
};
/* Ends the recording. false: not everything was in the base, or there is no memory. */
bool inst_region_save(struct inst_region *region, struct inst_region_image *out);
/* All blocks are as they were when this image of the same region was taken. */
void inst_region_load(struct inst_region *region, const struct inst_region_image *image);
void inst_region_image_free(struct inst_region_image *image);

#endif
