#include "triples/slab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_RECORDS 16u

void inst_slab_init(struct inst_slab *slab, uint32_t size) {
    *slab = (struct inst_slab){.size = size};
}

void inst_slab_free(struct inst_slab *slab) {
    for (uint32_t i = 0; i < slab->chunks_len; i++) {
        free(slab->chunks[i]);
    }
    free(slab->chunks);
    inst_slab_init(slab, slab->size);
}

static bool grow_list(struct inst_slab *slab) {
    uint32_t cap = slab->chunks_cap ? slab->chunks_cap * 2 : 4;
    char **chunks = realloc(slab->chunks, cap * sizeof(*chunks));
    if (!chunks) {
        return false;
    }
    slab->chunks = chunks;
    slab->chunks_cap = cap;
    return true;
}

/* Chunk 0, from nothing or to the next size. */
static bool grow_first(struct inst_slab *slab, uint32_t need) {
    uint32_t cap = slab->cap ? slab->cap * 2 : FIRST_RECORDS;
    while (cap < need && cap < INST_SLAB_CHUNK) {
        cap *= 2;
    }
    if (!slab->chunks_cap && !grow_list(slab)) {
        return false;
    }
    char *chunk = realloc(slab->chunks_len ? slab->chunks[0] : NULL, (size_t)cap * slab->size);
    if (!chunk) {
        return false;
    }
    if (!slab->chunks_len) {
        memset(chunk, 0, slab->size);
        slab->count = 1;
        slab->chunks_len = 1;
    }
    slab->chunks[0] = chunk;
    slab->cap = cap;
    return true;
}

static bool add_chunk(struct inst_slab *slab) {
    if (slab->chunks_len == slab->chunks_cap && !grow_list(slab)) {
        return false;
    }
    char *chunk = malloc((size_t)INST_SLAB_CHUNK * slab->size);
    if (!chunk) {
        return false;
    }
    slab->chunks[slab->chunks_len++] = chunk;
    slab->cap += INST_SLAB_CHUNK;
    return true;
}

bool inst_slab_grow(struct inst_slab *slab, uint32_t more) {
    uint64_t need = (uint64_t)(slab->count ? slab->count : 1) + more;
    if (need > UINT32_MAX - INST_SLAB_CHUNK) {
        return false;
    }
    while (slab->cap < need) {
        bool grown =
            slab->cap < INST_SLAB_CHUNK ? grow_first(slab, (uint32_t)need) : add_chunk(slab);
        if (!grown) {
            return false;
        }
    }
    return true;
}

void inst_slab_truncate(struct inst_slab *slab, uint32_t count) {
    assert(count <= slab->count);
    if (!slab->count) {
        return;
    }
    slab->count = count ? count : 1;
    /* One spare chunk stays: a change at the border must not allocate each time. */
    uint32_t keep = (slab->count >> INST_SLAB_SHIFT) + 2;
    while (slab->chunks_len > keep) {
        free(slab->chunks[--slab->chunks_len]);
        slab->cap -= INST_SLAB_CHUNK;
    }
}

size_t inst_slab_bytes(const struct inst_slab *slab) {
    return (size_t)slab->cap * slab->size + slab->chunks_cap * sizeof(*slab->chunks);
}
