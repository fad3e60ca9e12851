/*
 * cel_ast.h - an expression as a tree, its macros already recognised.
 *
 *     kind       name       args
 *     LITERAL    -          -                          literal
 *     IDENT      name       -                          slot, or a type's name
 *     SELECT     field      operand
 *     HAS        field      operand                    has(e.f)
 *     CALL       function   [target,] arguments        candidates after the check
 *     LIST       -          elements
 *     MAP        -          key, value, key, value ...
 *     ALL EXISTS EXISTS_ONE MAP_EACH FILTER
 *                variable   range, condition; MAP_EACH: range, [condition,] result
 *     BIND       variable   value, body
 *
 * Everything lives in the arena of the compilation and is not changed after the check.
 */
#ifndef INST_RULES_CEL_AST_H
#define INST_RULES_CEL_AST_H

#include "base/err.h"
#include "rules/cel_value.h"

/* permissions.md 4 */
#define INST_CEL_MAX_CODE_POINTS 100000
#define INST_CEL_MAX_DEPTH 250

enum inst_cel_node_kind {
    INST_CEL_N_LITERAL,
    INST_CEL_N_IDENT,
    INST_CEL_N_SELECT,
    INST_CEL_N_HAS,
    INST_CEL_N_CALL,
    INST_CEL_N_LIST,
    INST_CEL_N_MAP,
    INST_CEL_N_ALL,
    INST_CEL_N_EXISTS,
    INST_CEL_N_EXISTS_ONE,
    INST_CEL_N_MAP_EACH,
    INST_CEL_N_FILTER,
    INST_CEL_N_BIND,
};

struct inst_cel_overload;

struct inst_cel_node {
    enum inst_cel_node_kind kind;
    bool is_not_not;  /* `!!` stood before it, which changes nothing (but see cel_where.c) */
    bool is_member;   /* CALL: args[0] is what stands in front of the point */
    uint32_t offset;  /* in code points, for messages */
    uint32_t count;   /* of args */
    const char *name; /* NUL-terminated */
    struct inst_cel_node **args;
    struct inst_cel_value literal;
    /* ---- by the check ---- */
    const struct inst_cel_type *type;
    int32_t slot; /* IDENT: >= 0 a declared variable, < 0 a local one: -1 innermost .. */
    bool is_type_name;
    const struct inst_cel_overload **candidates;
    uint32_t candidate_count;
};

/* One thing wrong with an expression. */
struct inst_cel_issue {
    struct inst_cel_issue *next;
    uint32_t offset; /* code points */
    const char *message;
};

struct inst_cel_issues {
    struct inst_arena *arena;
    struct inst_cel_issue *first, **end;
    bool failed; /* out of memory */
};

void inst_cel_issues_init(struct inst_cel_issues *issues, struct inst_arena *arena);
void inst_cel_issue(struct inst_cel_issues *issues, uint32_t offset, const char *fmt, ...)
    INST_PRINTF(3, 4);

/* The tree, or NULL with at least one issue (or issues->failed). */
struct inst_cel_node *inst_cel_parse(struct inst_arena *arena, const char *text, size_t len,
                                     struct inst_cel_issues *issues);

#endif
