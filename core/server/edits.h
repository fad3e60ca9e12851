/*
 * edits.h - how one JSON value becomes another, as the edits of `patch-presence` (session.md 3.6).
 *
 *     before {"a":1,"list":["x","y"]}       [["a"],"r",2]
 *     after  {"a":2,"list":["y"],"b":null}  [["b"],"+",null]
 *                                           [["list",0],"-"]
 *
 * Applied in order they give `after` exactly, also by the official client, which removes a
 * container as soon as a nested `-` emptied it, and all that this empties: additions come before
 * removals, and what ends empty is replaced. It also follows `__proto__` out of the object, so no
 * path names that.
 *
 * Objects are told apart by key; of lists the equal ends are left alone and the middle is edited
 * place by place. A change that is shorter as a whole than as edits, or that takes more than
 * INST_EDITS_MAX_STEPS comparisons to find, is one `r`.
 */
#ifndef INST_SERVER_EDITS_H
#define INST_SERVER_EDITS_H

#include "base/buf.h"
#include "base/value.h"

/* Adds the edits to buf, each with a comma in front; nothing when the values are equal. path: the
 * JSON text of the path's first elements, without brackets (`"<session-id>","data"`). */
void inst_edits_write(struct inst_buf *buf, const char *path, const struct inst_value *before,
                      const struct inst_value *after);

#endif
