#include "instaql/memo.h"

enum { FIRST_SIZE = 64 };

static uint32_t spread(uint32_t e) { return e * 2654435761u; }

const struct inst_value *inst_memo_find(const struct inst_memo *memo, uint32_t e) {
    if (memo->count == 0) {
        return NULL;
    }
    for (uint32_t at = spread(e) & memo->mask; memo->keys[at]; at = (at + 1) & memo->mask) {
        if (memo->keys[at] == e) {
            return &memo->values[at];
        }
    }
    return NULL;
}

static void place(struct inst_memo *memo, uint32_t e, const struct inst_value *v) {
    uint32_t at = spread(e) & memo->mask;
    while (memo->keys[at]) {
        at = (at + 1) & memo->mask;
    }
    memo->keys[at] = e;
    memo->values[at] = *v;
}

bool inst_memo_add(struct inst_memo *memo, struct inst_arena *arena, uint32_t e,
                   const struct inst_value *v) {
    if (!memo->keys || memo->count * 2 > memo->mask) {
        uint32_t size = memo->keys ? (memo->mask + 1) * 2 : FIRST_SIZE;
        struct inst_memo grown = {.mask = size - 1, .count = memo->count};
        grown.keys = inst_arena_zalloc(arena, size * sizeof(*grown.keys));
        grown.values = inst_arena_alloc(arena, size * sizeof(*grown.values));
        if (!grown.keys || !grown.values) {
            return false;
        }
        for (uint32_t i = 0; memo->keys && i <= memo->mask; i++) {
            if (memo->keys[i]) {
                place(&grown, memo->keys[i], &memo->values[i]);
            }
        }
        *memo = grown;
    }
    place(memo, e, v);
    memo->count++;
    return true;
}
