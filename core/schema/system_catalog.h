/*
 * system_catalog.h - the attrs that every app has (instaql.md 1.4, transactions.md 12.3).
 *
 *     id  = 64 bits of "systemat" (attr) or "systemid" (identity)
 *         + 64 bits of "<etype code>/<label code>"
 *
 * Five bits a letter, the alphabet being a-w x z y and /, padded with ones: the ids are the same in
 * every app and on every server, and official packages know some of them. They are no RFC 4122
 * uuids (version digit f).
 */
#ifndef INST_SCHEMA_SYSTEM_CATALOG_H
#define INST_SCHEMA_SYSTEM_CATALOG_H

#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"
#include "base/value.h"

#include <stdbool.h>
#include <stddef.h>

/* The app that the system's attrs belong to: it has no data and takes no writes. */
#define INST_SYSTEM_APP_ID "a1111111-1111-1111-1111-111111111ca7"

enum inst_system_id { INST_SYSTEM_ATTR_ID, INST_SYSTEM_IDENT_ID };

/* The id of a system attr or identity by its name; false when etype is no system etype or no code
 * is known for the label. Names need not be in the catalog. */
bool inst_system_id(enum inst_system_id kind, const char *etype, const char *label,
                    char out[INST_UUID_TEXT + 1]);

/* ARRAY of all system attrs in wire shape, ascending by id, in arena. */
enum inst_status inst_system_attrs(struct inst_arena *arena, struct inst_value *out,
                                   struct inst_err *err);

/* Is this the name of a system attr, seen from either side? Nobody may make an attr of this name.
 */
bool inst_system_has_name(const char *etype, size_t etype_len, const char *label, size_t label_len);
/* Does this ref attr of the catalog have both names? */
bool inst_system_has_link(const struct inst_value *forward_etype,
                          const struct inst_value *forward_label,
                          const struct inst_value *reverse_etype,
                          const struct inst_value *reverse_label);
/* $users, $files, $streams: users may add attrs there, optional ones. */
bool inst_system_is_open_etype(const char *etype, size_t etype_len);
/* Names starting with $ are the system's. */
bool inst_system_is_etype(const char *etype, size_t etype_len);
/* System names that schemas do not show (http.md 8.3): closed etypes and some labels. */
bool inst_system_is_hidden(const char *etype, size_t etype_len, const char *label,
                           size_t label_len);

#endif
