/*
 * cel_check.h - the type check: what every name means and which overloads a call may take.
 */
#ifndef INST_RULES_CEL_CHECK_H
#define INST_RULES_CEL_CHECK_H

#include "rules/cel_ast.h"

/* A variable of the expression's surroundings; its place in the list is its slot. */
struct inst_cel_decl {
    const char *name;
    const struct inst_cel_type *type;
};

/* Fills in the tree. false: there are issues. */
bool inst_cel_check(struct inst_cel_node *root, const struct inst_cel_decl *decls,
                    size_t decl_count, struct inst_cel_vars *vars, struct inst_cel_issues *issues);

#endif
