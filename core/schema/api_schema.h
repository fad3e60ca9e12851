/*
 * api_schema.h - the schema as the HTTP API shows it, and its way back (transactions.md 13.2).
 *
 *     attrs ──> {"blobs": {etype: {label: attr}}, "refs": {key: attr}} ──> JSON form of schema.h
 *
 * Hidden: what inst_system_is_hidden names. `$files.url` is shown as required, for it is made up
 * for every file.
 */
#ifndef INST_SCHEMA_API_SCHEMA_H
#define INST_SCHEMA_API_SCHEMA_H

#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"
#include "triples/attrs.h"

/* How the key of a link is written; to clients it means nothing. */
enum inst_ref_key {
    INST_REF_KEY_LIST,   /* ["posts" "author" "users" "posts"], as that text */
    INST_REF_KEY_JOINED, /* posts-author-users-posts (GET /admin/schema) */
};

/* Lives in arena, borrows from attrs. */
enum inst_status inst_api_schema(struct inst_arena *arena, const struct inst_attrs *attrs,
                                 enum inst_ref_key key, struct inst_value *out,
                                 struct inst_err *err);
/* The text of such a key; false when out of memory. */
bool inst_api_schema_key(struct inst_arena *arena, enum inst_ref_key key,
                         const struct inst_ident *forward, const struct inst_ident *reverse,
                         struct inst_value *out);

/* The JSON form of schema.h: namespaces, labels and links sorted, `id` left out, a link named after
 * its forward end (`postsAuthor`). An attr without a checked type has the value type `json`. Lives
 * in arena, borrows from api. err: "validation-failed", 400, for what is no such schema. */
enum inst_status inst_api_schema_read(struct inst_arena *arena, const struct inst_value *api,
                                      struct inst_value *out, struct inst_err *err);

#endif
