/*
 * cel.h - a permission rule's expression: compiled once, evaluated for every entity.
 *
 *     text ──parse──> tree ──check against the scope──> program ──evaluate with bindings──> value
 *
 * A program is immutable and owns its memory; it may be evaluated while another one is.
 */
#ifndef INST_RULES_CEL_H
#define INST_RULES_CEL_H

#include "rules/cel_check.h"
#include "rules/cel_run.h"

/* Which variables there are (permissions.md 3). */
enum inst_cel_scope {
    INST_CEL_SCOPE_READ,   /* view, delete, fields: data auth ruleParams request rateLimit */
    INST_CEL_SCOPE_WRITE,  /* create, update: newData too */
    INST_CEL_SCOPE_UNLINK, /* linkedData too */
    INST_CEL_SCOPE_LINK,   /* actions too */
};

/* Variables by number, in the order in which they are declared. */
enum inst_cel_slot {
    INST_CEL_SLOT_DATA,
    INST_CEL_SLOT_AUTH,
    INST_CEL_SLOT_RULE_PARAMS,
    INST_CEL_SLOT_REQUEST,
    INST_CEL_SLOT_RATE_LIMIT,
    INST_CEL_SLOT_NEW_DATA,
    INST_CEL_SLOT_LINKED_DATA,
    INST_CEL_SLOT_ACTIONS,
    INST_CEL_SLOTS,
};

struct inst_cel_program {
    struct inst_arena arena;
    struct inst_cel_node *root;
    struct inst_cel_issue *issues; /* not NULL: it does not compile, root is of no use */
    bool uses_auth;                /* auth, ruleParams, request or rateLimit is mentioned: */
    bool uses_rule_params;         /* a result that depends on none of them is the same for */
    bool uses_request;             /* every viewer */
    bool uses_caller;              /* of request: more than its time and modifiedFields */
    bool uses_rate_limit;
};

/* Compiles. A text that does not compile gives a program with issues and INST_OK; anything else
 * but INST_OK is out of memory. */
enum inst_status inst_cel_compile(const char *text, size_t len, enum inst_cel_scope scope,
                                  struct inst_cel_program **out, struct inst_err *err);
/* NULL is fine. */
void inst_cel_program_free(struct inst_cel_program *program);

/* What a rule is evaluated with. Objects are OBJECTs or NULL: without a value. Of data, auth and
 * ruleParams every key then reads as null; newData, linkedData and actions may not be touched. */
struct inst_cel_bindings {
    const struct inst_value *objects[INST_CEL_OBJECTS];
    struct inst_cel_request request;
};

/* Evaluates; what is computed lives in arena. false: *error says why. max_steps 0: the default. */
bool inst_cel_program_run(const struct inst_cel_program *program,
                          const struct inst_cel_bindings *bindings,
                          const struct inst_cel_host *host, struct inst_arena *arena,
                          uint32_t max_steps, struct inst_cel_value *out,
                          struct inst_cel_error *error);
/* The same; *steps gets what it took, also when it failed. */
bool inst_cel_program_run_counted(const struct inst_cel_program *program,
                                  const struct inst_cel_bindings *bindings,
                                  const struct inst_cel_host *host, struct inst_arena *arena,
                                  uint32_t max_steps, struct inst_cel_value *out,
                                  struct inst_cel_error *error, uint32_t *steps);
/* The variables' values, as a run has them. */
void inst_cel_fill_values(const struct inst_cel_bindings *bindings,
                          struct inst_cel_value values[INST_CEL_SLOTS]);
/* Everything but null and false allows (permissions.md 4.5). */
bool inst_cel_allows(const struct inst_cel_value *value);

/* Calls back for every node of the tree. */
typedef void inst_cel_visit_fn(void *ctx, const struct inst_cel_node *node);
void inst_cel_visit(const struct inst_cel_node *root, inst_cel_visit_fn *fn, void *ctx);
/* Calls back for every name that stands for a variable from outside of the expression. Works on a
 * tree that was only parsed. */
void inst_cel_free_names(const struct inst_cel_node *root, void (*fn)(void *ctx, const char *name),
                         void *ctx);

#endif
