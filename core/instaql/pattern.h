/*
 * pattern.h - what one form's conditions compile to.
 *
 *     steps:  [?people-0 posts ?posts-1]  [?posts-1 title "x"]  or( [...] , [...] )  [?people-0 id
 * ?people-0] slots:   1               2           2                                          1
 * time: 3
 *
 * A step is a pattern (entity, attr, value) or an `or` of lists of steps; `and` is just its steps
 * in a row. Variables are slots. Slot 0 is the entity of the parent's row that a child form is
 * joined to; `root` is the entity that the form is about.
 */
#ifndef INST_INSTAQL_PATTERN_H
#define INST_INSTAQL_PATTERN_H

#include "instaql/operator.h"
#include "triples/attrs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inst_term_kind {
    INST_TERM_ANY,      /* not looked at */
    INST_TERM_SLOT,     /* a variable */
    INST_TERM_VALUE,    /* strictly equal to value */
    INST_TERM_OPERATOR, /* as v; as e of a link read backwards (server) */
    INST_TERM_NEVER,    /* matches nothing */
};

struct inst_term {
    enum inst_term_kind kind;
    uint32_t slot;
    struct inst_value value; /* STRING, NUMBER, TRUE, FALSE, NULL; server dates: DATE */
    const struct inst_operator *op;
};

struct inst_step;

struct inst_steps {
    struct inst_step *items;
    uint32_t count;
    uint32_t number; /* of this list among the form's, for plans */
};

struct inst_step {
    const struct inst_attr *attr; /* NULL: an `or` of branches */
    struct inst_term e;
    struct inst_term v;
    int32_t time_slot; /* created-at is bound to it; -1: not */
    /* Server: what bounds the same one value from the other side, in a step of its own. */
    const struct inst_operator *other_end;
    struct inst_steps *branches;
    uint32_t branch_count;
};

enum { INST_SLOT_PARENT = 0 };

struct inst_spec {
    struct inst_steps steps;
    uint32_t slot_count;
    uint32_t list_count; /* lists of steps, the outer one included */
    uint32_t chain;      /* most steps on one way through */
    uint32_t root;       /* slot of the form's entity */
    int32_t time;        /* slot of the id triple's created-at; -1: none */
    bool is_free;        /* has user variables or a name clash: steps keep their order */
    bool is_distinct;    /* no entity can match twice */
    bool has_operators;
};

/* How compiling a form ended; what is thrown is thrown only when the form is evaluated. */
enum inst_spec_state { INST_SPEC_OK, INST_SPEC_NOT_FOUND, INST_SPEC_THROWS };

struct inst_spec_error {
    const char *type; /* "Error", "TypeError" */
    const char *message;
};

/* A link of etype as read there: forward wins. NULL: none of that name. */
const struct inst_attr *inst_link_of(const struct inst_attrs *attrs, const struct inst_value *etype,
                                     const char *label, size_t len, bool *is_forward);

/* false, and what the client throws (message NULL: out of memory), when attr is no link. */
bool inst_link_check(const struct inst_attr *attr, struct inst_arena *arena,
                     struct inst_spec_error *thrown);

struct inst_compile {
    const struct inst_attrs *attrs;
    struct inst_arena *arena;       /* the compiled form */
    uint32_t *pattern_count;        /* of the query, against its limit */
    const struct inst_value *etype; /* of the form */
    uint32_t level;                 /* of the form */
    const struct inst_attr *link;   /* child: the link from the parent, NULL at the top */
    bool is_forward;                /* child: the parent is the link's forward side */
    const struct inst_value *where; /* as given; NULL: absent */
};

/* The client's rules (instaql.md 2, 3.3). INST_OK with *state, or a limit, or out of memory. */
enum inst_status inst_pattern_compile(const struct inst_compile *in, struct inst_spec *spec,
                                      enum inst_spec_state *state, struct inst_spec_error *thrown,
                                      struct inst_err *err);

#endif
