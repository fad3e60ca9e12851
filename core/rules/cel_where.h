/*
 * cel_where.h - a view rule as conditions of a query (permissions.md 10).
 *
 *     auth.id != null && data.owner == auth.id        what does not mention `data` is evaluated,
 *     └── evaluated: true    └── {"owner": "..."}     the rest becomes conditions
 *
 * Two readings of a rule:
 *
 *     as upstream   all of it or nothing; rows on which the rule would fail are taken or left as it
 *                   happens
 *     strict        the conditions hold for every row on which the rule allows *or fails*; is_exact
 *                   when they hold for no other and it fails on none, so that nobody needs to ask
 *                   it. A part that cannot be translated may be left out where the rest still says
 *                   something: `data.owner == auth.id && size(data.tags) > 2` is at most the first.
 *
 * Strict reading assumes rows that have an `id`; of others the caller asks the rule.
 */
#ifndef INST_RULES_CEL_WHERE_H
#define INST_RULES_CEL_WHERE_H

#include "rules/cel.h"
#include "triples/attrs.h"

enum inst_cel_where_kind {
    INST_CEL_WHERE_NONE,   /* not translatable: `why` says what stands in the way */
    INST_CEL_WHERE_NEVER,  /* no row */
    INST_CEL_WHERE_ALWAYS, /* every row */
    INST_CEL_WHERE_SOME,   /* rows that meet `where` */
};

struct inst_cel_where {
    enum inst_cel_where_kind kind;
    struct inst_value where; /* SOME: an InstaQL `where` */
    bool is_exact;           /* strict: the rule need not be asked */
    bool has_refs;           /* it follows `data.ref` */
    const char *why;
};

struct inst_cel_where_of {
    const struct inst_attrs *attrs;
    struct inst_value etype; /* whose rows `data` is */
    bool is_strict;
};

/* Everything in out lives in arena, or where the bindings do. bindings without `data`. Spends no
 * tokens: a rule that mentions rateLimit is not translated. false: out of memory. */
bool inst_cel_program_where(const struct inst_cel_program *program,
                            const struct inst_cel_bindings *bindings,
                            const struct inst_cel_host *host, const struct inst_cel_where_of *of,
                            struct inst_arena *arena, struct inst_cel_where *out);

#endif
