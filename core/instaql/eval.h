/*
 * eval.h - InstaQL: one query over one store.
 *
 *     query value ──inst_query_new──> inst_query ──┬─ inst_query_eval ────> objects   (client)
 *                                     (prepared    ├─ inst_query_collect ─> triples   (server)
 *                                      once)       └─ inst_query_tree ────> objects   (admin API)
 *
 * A prepared query is compiled against the catalog of the store it first runs on and again
 * whenever it meets another catalog (store->attrs is another pointer); it keeps a reference to that
 * catalog. It never keeps entity handles, so it may run on any number of stores, one at a time. It
 * owns its scratch memory: one thread.
 *
 * The client and the server disagree on details (instaql.md 7), so a query is prepared for one of
 * them. All reading goes through the Store interface: a store that records its scans sees
 * everything that a result depended on, whatever order the evaluator chose.
 *
 * Errors: what makes the official client throw gives INST_FAILED with type "Error" (the client's
 * message) or "TypeError" (our wording); what the server rejects gives type "validation-failed",
 * status 400, message and hint of instaql.md 2.5; a limit of limits.h gives "limit-exceeded", 400,
 * or "timeout", 500.
 */
#ifndef INST_INSTAQL_EVAL_H
#define INST_INSTAQL_EVAL_H

#include "base/arena.h"
#include "base/collate.h"
#include "base/err.h"
#include "base/value.h"
#include "triples/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inst_query_mode { INST_QUERY_CLIENT = 0, INST_QUERY_SERVER };

struct inst_query;  /* opaque; owned by whoever made it */
struct inst_filter; /* filter.h */

/* Copies the query. Only limits can fail. */
enum inst_status inst_query_new(const struct inst_value *query, enum inst_query_mode mode,
                                struct inst_query **out, struct inst_err *err);
void inst_query_free(struct inst_query *query); /* NULL is fine */

/* Compiles against a catalog; nothing when that is the one it was compiled against. Running a query
 * does this by itself; the server calls it to judge a query before anything runs: that is where it
 * fails with "validation-failed" (but for who may count, which is judged when it runs). */
enum inst_status inst_query_prepare(struct inst_query *query, struct inst_attrs *attrs,
                                    struct inst_err *err);

/* ---- client ---- */

struct inst_eval_options {
    const struct inst_value *page_info; /* {etype: {"start-cursor", ...}} wire form, or NULL */
    const struct inst_value *aggregate; /* {etype: {"count": n}}, or NULL */
    /* {etype: {label: true}}: links that give one object and not an array (instaql.md 3.7). NULL:
     * no schema, or cardinality inference is off. */
    const struct inst_value *singular_links;
    struct inst_collator
        *collator; /* borrowed; NULL: opened for the call when it is needed, slow */
};

/* Only over a memory store. {"data": ..., "pageInfo"?, "aggregate"?} as instaql.md 3.2. Arrays and
 * objects of the result live in arena; strings, keys and JSON values in it are borrowed from the
 * store, its catalog, the query and the options: valid until the store's next write, while the
 * query lives and keeps its catalog. Parts of a result may be shared between its objects. opts may
 * be NULL. */
enum inst_status inst_query_eval(struct inst_query *query, struct inst_store *store,
                                 const struct inst_eval_options *opts, struct inst_arena *arena,
                                 struct inst_value *out, struct inst_err *err);

/* The same for a query that is run once; nothing in out is borrowed from a query. */
enum inst_status inst_instaql_eval(struct inst_store *store, const struct inst_value *query,
                                   const struct inst_eval_options *opts, struct inst_arena *arena,
                                   struct inst_value *out, struct inst_err *err);

/* ---- server ---- */

struct inst_collect_options {
    bool is_admin; /* aggregates are allowed */
    /* May the viewer see this triple? 1, 0, or -1 with err set (which fails the query). NULL:
     * everything. In no particular order. A match with a triple that is not visible does not count
     * (permissions.md 7.1); paging comes first, but for what `filter` says. */
    int (*is_visible)(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple,
                      struct inst_err *err);
    /* Conditions that everything visible of a namespace meets (permissions.md 10); *out NULL: none
     * are known. Where a form meets such a namespace, its limits count visible rows only, and rows
     * are found by the conditions when that is the shorter way. NULL: there are none. */
    enum inst_status (*filter)(void *ctx, const struct inst_value *etype, struct inst_filter **out,
                               struct inst_err *err);
    /* An entity was found by its namespace's filter: it meets the conditions. */
    enum inst_status (*found)(void *ctx, const struct inst_value *etype, uint32_t e,
                              struct inst_err *err);
    /* The value of $files.url (instaql.md 4.6) of a file, allocated in arena. NULL: no urls. */
    enum inst_status (*file_url)(void *ctx, uint32_t e, const struct inst_value *location_id,
                                 struct inst_arena *arena, struct inst_value *url,
                                 struct inst_err *err);
    void *ctx;
    struct inst_collator *collator; /* for ordering by text; borrowed; NULL as above */
    bool infer_singular;            /* tree: "inference?" (instaql.md 4.7) */
};

struct inst_collected_triple {
    const struct inst_attr *attr; /* of the query's catalog */
    struct inst_triple triple;    /* v is in the arena; links: ref is set, v as the store had it */
};

struct inst_collected_page {
    struct inst_value etype;
    bool is_empty; /* no visible row: both cursors are null */
    bool has_next;
    bool has_previous;
    /* [e, order attr, v, t]; v NULL when the entity has no value. */
    struct inst_collected_triple start, end;
};

struct inst_collected_count {
    struct inst_value etype;
    uint64_t count;
};

struct inst_collected {
    struct inst_collected_triple *triples; /* every triple of the tree, each once */
    size_t triple_count;
    struct inst_collected_page *pages; /* top-level forms with paging, in query order */
    size_t page_count;
    struct inst_collected_count *counts; /* top-level forms with `aggregate`, in query order */
    size_t count_count;
};

/* The triples that a client needs to evaluate the query itself (instaql.md 4.1 - 4.6). Everything
 * in out lives in arena, except etypes and attrs (the catalog's). opts may be NULL. */
enum inst_status inst_query_collect(struct inst_query *query, struct inst_store *store,
                                    const struct inst_collect_options *opts,
                                    struct inst_arena *arena, struct inst_collected *out,
                                    struct inst_err *err);

/* The same as objects (instaql.md 4.7): {etype: [object, ...]}. Keys are borrowed from the query
 * and its catalog. meta (may be NULL) gets pages and counts, no triples. */
enum inst_status inst_query_tree(struct inst_query *query, struct inst_store *store,
                                 const struct inst_collect_options *opts, struct inst_arena *arena,
                                 struct inst_value *out, struct inst_collected *meta,
                                 struct inst_err *err);

enum inst_status inst_instaql_collect(struct inst_store *store, const struct inst_value *query,
                                      const struct inst_collect_options *opts,
                                      struct inst_arena *arena, struct inst_collected *out,
                                      struct inst_err *err);

#endif
