/*
 * utf8.h - strict UTF-8 that comes in pieces: no surrogates, no overlong forms, nothing past
 * U+10FFFF. The first byte that no later one can mend is refused at once.
 */
#ifndef INST_BASE_UTF8_H
#define INST_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero at a text's beginning. */
struct inst_utf8 {
    uint8_t left; /* bytes that the present character still needs */
    uint8_t low;  /* of these, what the next one may be */
    uint8_t high;
};

/* False: this can be no UTF-8, whatever follows; the state is as good as lost then. */
bool inst_utf8_feed(struct inst_utf8 *state, const char *bytes, size_t len);
/* May the text end here? */
static inline bool inst_utf8_is_whole(const struct inst_utf8 *state) { return state->left == 0; }

#endif
