/*
 * cel_library.h - the functions and operators an expression may call, each with its overloads.
 *
 * One row an overload: what it is called in messages, which types it takes and gives (a letter
 * each, below), and the C function that does it. The check keeps the rows that may fit; at run
 * time the first of them that does is called.
 *
 *     b bool  i int  u uint  d double  s string  y bytes  t timestamp  D duration
 *     l list(%A)  m map(%A, %B)  A B those variables  * dyn  T type(%A)
 *     N int, and at run time any whole number (an index)
 *     S list(string)  L list(dyn)  O map(string, dyn)  R a rate limit's bucket
 */
#ifndef INST_RULES_CEL_LIBRARY_H
#define INST_RULES_CEL_LIBRARY_H

#include "rules/cel_value.h"

struct inst_cel_run; /* an evaluation, cel_run.h */

/* false: failed, the run has the error. */
typedef bool inst_cel_fn(struct inst_cel_run *run, const struct inst_cel_value *args,
                         struct inst_cel_value *out);

struct inst_cel_overload {
    const char *function;
    const char *id;
    const char *args;
    char result;
    bool is_member;
    /* NULL: && || ?: and the like, which do not evaluate all of their operands. */
    inst_cel_fn *fn;
};

/* The overloads of a function stand together. NULL: no such function. */
const struct inst_cel_overload *inst_cel_overloads(const char *function, size_t *count);

/* Does this value fit the letter at run time? */
bool inst_cel_value_fits(const struct inst_cel_value *v, char letter);

#endif
