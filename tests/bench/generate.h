/*
 * generate.h - made data of any size, the same everywhere.
 *
 *     teams (20)  id name                    tags (80)  id name
 *     users       id handle* name age team>           20 triples of every 100
 *     posts       id title views* state author> tags>> 60
 *     comments    id text post> author>                20
 *
 * (* unique or indexed, > a link to one, >> a link to many.) An entity's id, and every value, is a
 * function of its kind and number, so a link needs no table. "Post 7", "user7" and "Team 3" are
 * there at every size.
 */
#ifndef INST_BENCH_GENERATE_H
#define INST_BENCH_GENERATE_H

#include "bench.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

enum gen_kind { GEN_TEAM = 1, GEN_TAG, GEN_USER, GEN_POST, GEN_COMMENT };

enum gen_attr {
    GEN_TEAM_ID = 1,
    GEN_TEAM_NAME,
    GEN_TAG_ID,
    GEN_TAG_NAME,
    GEN_USER_ID,
    GEN_USER_HANDLE,
    GEN_USER_NAME,
    GEN_USER_AGE,
    GEN_USER_TEAM,
    GEN_POST_ID,
    GEN_POST_TITLE,
    GEN_POST_VIEWS,
    GEN_POST_STATE,
    GEN_POST_AUTHOR,
    GEN_POST_TAGS,
    GEN_COMMENT_ID,
    GEN_COMMENT_TEXT,
    GEN_COMMENT_POST,
    GEN_COMMENT_AUTHOR,
};

enum { GEN_TEAMS = 20, GEN_TAGS = 80, GEN_UUID = 37 };

struct gen_size {
    uint32_t users, posts, comments;
};

/* triples: a multiple of 100, at least 1000. */
static inline struct gen_size gen_size(uint32_t triples) {
    uint32_t blocks = triples / 100 - 2;
    return (struct gen_size){.users = blocks * 4, .posts = blocks * 10, .comments = blocks * 5};
}

static inline void gen_uuid(uint32_t kind, uint32_t number, char out[GEN_UUID]) {
    uint64_t high = bench_mix((uint64_t)kind << 32 | number);
    uint64_t low = bench_mix(high);
    snprintf(out, GEN_UUID, "%08" PRIx32 "-%04x-4%03x-8%03x-%012" PRIx64, (uint32_t)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xfff), (unsigned)(low >> 52),
             low & 0xffffffffffffu);
}

static inline void gen_attr_uuid(enum gen_attr attr, char out[GEN_UUID]) {
    snprintf(out, GEN_UUID, "00000000-0000-4000-8000-%012x", (unsigned)attr);
}

/* A number below `below`, for the attr of this entity. */
static inline uint32_t gen_pick(enum gen_attr attr, uint32_t number, uint32_t below) {
    return (uint32_t)(bench_mix((uint64_t)attr << 40 | number) % below);
}

/* The attrs, one a line, as a JSON array. */
void gen_attrs(FILE *out);
/* The triples `[e, a, v, created-at]`, one a line, as a JSON array. */
void gen_triples(FILE *out, uint32_t triples);
/* tx-steps on that data, one a line, as a JSON array: of every ten, six make a post and four
 * change one. */
void gen_steps(FILE *out, uint32_t triples, uint32_t steps);

#endif
