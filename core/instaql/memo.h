/*
 * memo.h - objects already made, by entity: an entity reached again through another parent is the
 * same object.
 */
#ifndef INST_INSTAQL_MEMO_H
#define INST_INSTAQL_MEMO_H

#include "base/arena.h"
#include "base/value.h"

struct inst_memo {
    uint32_t *keys; /* open addressing; 0: empty */
    struct inst_value *values;
    uint32_t mask;
    uint32_t count;
};

/* NULL: not there. Valid until the next add. */
const struct inst_value *inst_memo_find(const struct inst_memo *memo, uint32_t e);
/* e must not be there. false: out of memory. */
bool inst_memo_add(struct inst_memo *memo, struct inst_arena *arena, uint32_t e,
                   const struct inst_value *v);

#endif
