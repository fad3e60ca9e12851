/*
 * limits.h - what one query may cost.
 *
 * Beyond: type "limit-exceeded", status 400; of what stands for time (MAX_WORK, MAX_LIKE_WORK) the
 * original's type "timeout", whose hint says what took it.
 */
#ifndef INST_INSTAQL_LIMITS_H
#define INST_INSTAQL_LIMITS_H

#include <stdbool.h>

/* Levels of nested forms. Evaluation recurses once a level. */
#define INST_INSTAQL_MAX_DEPTH 64
/* Levels of nested `and` / `or` in one where. Compiling recurses once a level. */
#define INST_INSTAQL_MAX_WHERE_DEPTH 64
/* Forms of one query. */
#define INST_INSTAQL_MAX_FORMS 4096
/* Patterns of one query, all forms and branches together. */
#define INST_INSTAQL_MAX_PATTERNS 65536
/* Steps that one path through a where can have (its `or`s choosing one branch each). */
#define INST_INSTAQL_MAX_CHAIN 4096
/* Variables of one form. */
#define INST_INSTAQL_MAX_SLOTS 4096
/* Triples that one evaluation may look at. */
#define INST_INSTAQL_MAX_WORK 50000000u
/* Rows hidden by rules that are passed over to find out whether one follows a page that may be
 * seen.
 */
#define INST_INSTAQL_MAX_HIDDEN 1000u
/* Triples looked at to find out whether a change bears on a query: more, and it is run again. */
#define INST_INSTAQL_MAX_TOUCH 2000u
/* Matches of one form for one parent. */
#define INST_INSTAQL_MAX_ROWS 2000000u
/* Bytes of one list of contexts, where the reference order is needed. */
#define INST_INSTAQL_MAX_CONTEXTS (64u << 20)
/* Code units of one like pattern. */
#define INST_INSTAQL_MAX_LIKE 10000
/* Character comparisons of all like matches of one evaluation. */
#define INST_INSTAQL_MAX_LIKE_WORK 500000000u
/* `$in` lists up to this length are one index lookup an element, longer ones a filter. */
#define INST_INSTAQL_IN_SCANS 256

struct inst_err;
/* "timeout": what is JSON text between quotes. Returns false. */
bool inst_instaql_took_too_long(struct inst_err *err, const char *what);

#endif
