/*
 * deep_merge.h - what `merge` does to a value (instaql.md 1.3).
 *
 * Unless both are plain objects the patch is the result. Else the target's members stay in their
 * order; a null of the patch takes a member away, two objects are merged, anything else replaces;
 * new members come last, nulls inside a new object stay.
 */
#ifndef INST_INSTAML_DEEP_MERGE_H
#define INST_INSTAML_DEEP_MERGE_H

#include "base/arena.h"
#include "base/value.h"

/* out borrows from both and from arena. false when out of memory. */
bool inst_deep_merge(struct inst_arena *arena, const struct inst_value *target,
                     const struct inst_value *patch, struct inst_value *out);

#endif
