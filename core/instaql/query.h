/*
 * query.h - a prepared query: its forms, and what they compiled to.
 *
 *     {users: {$: {...}, bookshelves: {books: {}}}, posts: {}}
 *
 *     query ── form users (level 0) ── form bookshelves (1) ── form books (2)
 *          └── form posts (0)
 *
 * The value and the forms live in `arena`, as long as the query or longer; what was compiled
 * against a catalog lives in `compiled` and goes when another catalog comes. `scratch` is for one
 * run.
 */
#ifndef INST_INSTAQL_QUERY_H
#define INST_INSTAQL_QUERY_H

#include "base/arena.h"
#include "instaql/eval.h"
#include "instaql/pattern.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inst_form {
    struct inst_value key;     /* namespace or link label, as in the query */
    struct inst_value options; /* the member `$`, whatever it is; UNDEFINED when absent */
    struct inst_form *children;
    uint32_t child_count;
    bool is_null; /* the form is null, which throws when it is evaluated */
    uint32_t level;
    uint32_t number; /* among the query's forms */

    /* Compiled; all of it borrowed from the catalog or in `compiled`. */
    struct inst_value etype; /* UNDEFINED: the link is unknown */
    const struct inst_attr *link;
    bool is_forward;
    enum inst_spec_state link_state; /* of the link; OK at the top */
    struct inst_spec_error link_error;
    enum inst_spec_state state; /* of the conditions; meaningless without a link */
    struct inst_spec_error error;
    struct inst_spec spec;
    const struct inst_attr **fields; /* blob attrs in result-key order; server: A of 4.1 */
    uint32_t field_count;
    bool
        has_overlap; /* a child is named like a field, or a label is a number: mind the key order */
    const struct inst_attr *order_attr; /* of `order`; NULL: by creation */
    bool is_desc;
    bool is_whole; /* client: every entity of the namespace, by an id attr that names entities */

    /* Server. */
    struct inst_paging *paging; /* NULL: no paging */
    bool has_count;             /* `aggregate` */
    bool is_files;              /* of $files: */
    bool wants_url;             /*   `url` is made up from location-id */
    bool drops_location;        /*   which was not asked for itself */
};

/* Server: limit, order and cursors of a top-level form (instaql.md 4.3). */
struct inst_paging {
    const struct inst_attr *attr; /* order attr; the id attr: by created-at */
    bool is_by_time;
    bool is_desc;
    bool is_last;   /* the final `limit` rows */
    uint64_t limit; /* 0: none */
    uint64_t offset;
    bool has_after, after_inclusive;
    bool has_before, before_inclusive;
    struct inst_value after_id, before_id; /* entity ids */
    struct inst_value after, before; /* values: NUMBER (created-at too), STRING, bool, DATE, NULL */
};

struct inst_query {
    enum inst_query_mode mode;
    struct inst_arena own;    /* for `arena`, unless the query was made in another */
    struct inst_arena *arena; /* the value and the forms; keys of results point here */
    struct inst_arena compiled;
    struct inst_arena scratch;
    struct inst_value value; /* the query, copied, without $$ruleParams in server mode */
    struct inst_form *forms;
    uint32_t form_count;      /* top level */
    uint32_t all_count;       /* all levels */
    bool is_null;             /* client: the query is null or undefined, which throws */
    struct inst_attrs *attrs; /* the catalog that `compiled` is of; NULL: none yet */
};

/* inst_query_new with the value copied into arena, so that results outlive the query. */
enum inst_status inst_query_new_in(const struct inst_value *value, enum inst_query_mode mode,
                                   struct inst_arena *arena, struct inst_query **out,
                                   struct inst_err *err);

/* The status of a run by the error it left (a store's -1 does not say what failed), which moves to
 * err. */
enum inst_status inst_run_finish(enum inst_status status, struct inst_err *own,
                                 struct inst_err *err);

/* The first member's key and value, as Object.keys(v)[0] and v[that] (of text: "0"). false: none.
 */
bool inst_first_entry(const struct inst_value *v, struct inst_value *key, struct inst_value *value);

/* The option, or NULL when absent or null. */
const struct inst_value *inst_form_option(const struct inst_form *form, const char *name);

/* Server: fields, conditions, order and cursors of one form against a catalog; link and etype are
 * set. path: keys of the forms from the top down to this one. */
enum inst_status inst_server_compile_form(struct inst_query *query, struct inst_form *form,
                                          const struct inst_value *path, uint32_t path_len,
                                          uint32_t *pattern_count, struct inst_err *err);

#endif
