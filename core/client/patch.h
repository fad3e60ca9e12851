/*
 * patch.h - one edit of presence applied to a value (session.md 3.6).
 *
 *     '+'   set a key; in a list: insert in front of the index
 *     'r'   set a key; in a list: overwrite
 *     '-'   remove a key; in a list: the element
 *
 * Values are never changed: what lies on the path is copied, the rest is shared. Containers that
 * are missing on the path are made (a list for an index); what an edit cannot reach it leaves
 * alone. An index past the end of a list means its end. A container that a '-' empties stays: the
 * official client removes it, and with it sometimes the peer (session.md 10 #10).
 */
#ifndef INST_CLIENT_PATCH_H
#define INST_CLIENT_PATCH_H

#include "base/arena.h"
#include "base/value.h"

#include <stdbool.h>
#include <stdint.h>

/* path: len elements, strings and numbers, len at least 1. What is new is allocated in arena, to
 * which value is copied; root must live as long as arena. false when out of memory: *root is as it
 * was. */
bool inst_patch_apply(struct inst_arena *arena, struct inst_value *root,
                      const struct inst_value *path, uint32_t len, char op,
                      const struct inst_value *value);

#endif
