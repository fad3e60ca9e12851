/*
 * collate.h - `Intl.Collator('en-US')` order, by ICU (instaql.md 1.8).
 */
#ifndef INST_BASE_COLLATE_H
#define INST_BASE_COLLATE_H

#include "base/err.h"

#include <stddef.h>

struct inst_collator;

/* Opening one is slow (ICU reads its tables): an owner makes it on first use and keeps it. */
enum inst_status inst_collator_new(struct inst_collator **out, struct inst_err *err);
void inst_collator_free(struct inst_collator *collator);
/* <0, 0, >0; 0 does not mean the same bytes (canonical equivalents are equal). Printable ASCII
 * takes a fast path that gives ICU's answer. */
int inst_collator_compare(struct inst_collator *collator, const char *a, size_t a_len,
                          const char *b, size_t b_len);

#endif
