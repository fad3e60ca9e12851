/*
 * collect.h - the server's run of a query: what collect*.c, page.c and tree.c share.
 *
 *     form ── matches (join rows) ──triples──> noted: visible? sent?
 *          └─ entity ── fields ──triples──> noted
 *                    └─ child form ── ...
 *
 * A triple is noted once, however often it is met; it is sent when it belongs to a match whose
 * triples are all visible, or is a visible field of a matched entity, or shows a client that
 * something is not null.
 */
#ifndef INST_INSTAQL_COLLECT_H
#define INST_INSTAQL_COLLECT_H

#include "instaql/filter.h"
#include "instaql/match.h"
#include "instaql/memo.h"
#include "instaql/query.h"

struct inst_note {
    struct inst_collected_triple collected;
    bool is_visible;
    bool is_sent;
};

struct inst_entities {
    uint32_t *items;
    size_t count;
    size_t cap;
};

struct inst_collect_form {
    struct inst_matcher all;   /* every match */
    struct inst_matcher bound; /* matches of one entity */
    bool is_ready;
    bool is_bound_ready;
    struct inst_entities entities; /* matched, for the current parent */
    struct inst_entity_set seen;
    struct inst_memo done; /* entities whose fields and children were collected, and their object */
};

struct inst_collector {
    struct inst_query *query;
    const struct inst_collect_options *opts;
    struct inst_run run;
    struct inst_arena *arena; /* of the result */
    struct inst_collator *collator;
    struct inst_collator *own_collator;
    bool makes_tree;
    struct inst_collect_form *forms; /* by number */
    struct inst_note *notes;
    uint32_t note_count;
    uint32_t note_cap;
    uint32_t *table; /* over notes: number + 1, open addressing */
    uint32_t table_mask;
    uint32_t *row; /* notes of one match */
    uint32_t row_cap;
    struct inst_triple *fields; /* of one entity, as the store gives them in bulk */
    uint32_t field_cap;
    struct inst_collected *out;
};

/* A row of the order of a top-level form. */
struct inst_page_row {
    uint32_t e;
    struct inst_value id;      /* its text */
    struct inst_value key;     /* what is compared: NUMBER, STRING, TRUE, FALSE, NULL */
    struct inst_triple triple; /* page triple; v on scratch */
};

struct inst_page {
    struct inst_page_row *rows; /* in the requested order */
    size_t count;
    bool has_next;
    bool has_previous;
};

/* How the rules bear on a form. */
struct inst_form_filter {
    struct inst_filter *root; /* conditions on its entities; NULL: none */
    bool counts_visible;      /* limits count only rows that may be seen */
};

/* Which entities are on the page (instaql.md 4.3): whoever may see them, unless by->counts_visible.
 */
enum inst_status inst_page_find(struct inst_collector *c, const struct inst_form *form,
                                const struct inst_form_filter *by, struct inst_page *out);

/* Is everything of its namespace a match? */
bool inst_form_is_unconditional(const struct inst_form *form);
/* Do the conditions find entities sooner than m does? is_whole: m goes through all there are. */
bool inst_collect_is_sooner(struct inst_filter *filter, struct inst_matcher *m, bool is_whole);
/* May all triples of m's current match be seen? 1, 0, -1. Notes nothing. */
int inst_collect_sees(struct inst_collector *c, const struct inst_matcher *m);

/* The number of the triple's note, made when it is new; -1: failed. */
int64_t inst_collect_note(struct inst_collector *c, const struct inst_attr *attr,
                          const struct inst_triple *t);
/* The triple with a value that outlives the scan. An id is text, a link's target an entity. */
bool inst_collect_keep(struct inst_collector *c, struct inst_arena *arena,
                       const struct inst_attr *attr, const struct inst_triple *t,
                       struct inst_triple *out);

/* All of a form for one parent; objects: of a tree. Recursion is limited by the depth of forms. */
enum inst_status inst_collect_form(struct inst_collector *c, const struct inst_form *form,
                                   uint32_t parent, struct inst_value *objects);
/* Fields and children of the entities that were matched. */
enum inst_status inst_collect_entities(struct inst_collector *c, const struct inst_form *form,
                                       struct inst_value *objects);

enum inst_status inst_collect_ready(struct inst_collector *c, const struct inst_form *form,
                                    uint32_t parent);
/* The matcher for one entity, started; NULL: out of memory. */
struct inst_matcher *inst_collect_bound(struct inst_collector *c, const struct inst_form *form,
                                        uint32_t parent, uint32_t e);
enum inst_status inst_collect_collator(struct inst_collector *c);

/* An entity in a tree: ARRAY [object, created-at]; UNDEFINED: nothing of it is visible. Puts the
 * entries of one form in order (instaql.md 4.7). */
enum inst_status inst_tree_sort(struct inst_collector *c, const struct inst_form *form,
                                struct inst_value *entries, size_t count);

#endif
