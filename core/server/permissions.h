/*
 * permissions.h - an app's permission rules, asked about one entity at a time.
 *
 *     rules of the app ──> inst_rule ──┐
 *     viewer ── auth ──────────────────┼──> evaluated: allowed, denied, or an error
 *     entity ── record, refs ──────────┘
 *
 * A context is for one run: one viewer, one store, one point of time. Admins have none.
 */
#ifndef INST_SERVER_PERMISSIONS_H
#define INST_SERVER_PERMISSIONS_H

#include "rules/cel_where.h"
#include "rules/rate_limit.h"
#include "rules/rules.h"
#include "server/rule_data.h"
#include "server/viewer.h"

struct inst_app;

struct inst_permissions {
    struct inst_app *app;
    struct inst_rules *rules; /* the app's, or others that are tried out; borrowed */
    const struct inst_viewer *viewer;
    const struct inst_value *rule_params; /* of the query; NULL: none */
    struct inst_rule_data data;
    const struct inst_value *auth; /* the viewer's own row; NULL until needed */
    uint32_t user;                 /* and entity; 0: nobody */
    bool has_auth;
    uint32_t steps_left; /* of INST_SERVER_MAX_RULE_STEPS */
    bool
        explains; /* errors say what the evaluator does: the debug endpoints (permissions.md 5.2) */
    /* of the check at hand */
    struct inst_arena scratch; /* what its rule computes */
    const struct inst_rule_input *input;
};

/* What a rule is asked about. */
struct inst_rule_input {
    struct inst_value etype; /* of data */
    uint32_t e;
    const struct inst_value *data; /* records; NULL: without a value */
    const struct inst_value *new_data;
    struct inst_value linked_etype;
    uint32_t linked_e;
    const struct inst_value *linked_data;
    const struct inst_value *actions;
    const struct inst_value *rule_params;     /* NULL: the context's */
    const struct inst_value *modified_fields; /* ARRAY; NULL: none */
};

void inst_permissions_init(struct inst_permissions *permissions, struct inst_app *app,
                           struct inst_rules *rules, const struct inst_viewer *viewer,
                           struct inst_store *store, struct inst_arena *arena);
void inst_permissions_release(struct inst_permissions *permissions);

/* The rule that applies; *out NULL: none, which allows. err: it does not compile any more. */
enum inst_status inst_permissions_rule(struct inst_permissions *permissions,
                                       const struct inst_value *etype, enum inst_rule_action action,
                                       const struct inst_value *label, const struct inst_rule **out,
                                       struct inst_err *err);
/* As the debug endpoints show it: `{}` where no rule applies, else {"code","display-code","etype",
 * "action"}. */
void inst_permissions_write_program(struct inst_buf *buf, const struct inst_rule *rule);
/* What the rule says: a value, good until the next is asked. err: "permission-evaluation-failed",
 * "rate-limited". */
enum inst_status inst_permissions_evaluate(struct inst_permissions *permissions,
                                           const struct inst_rule *rule,
                                           const struct inst_rule_input *input,
                                           struct inst_cel_value *out, struct inst_err *err);

/* The rule as conditions on rows of its etype, read strictly, for this viewer (cel_where.h). */
enum inst_status inst_permissions_where(struct inst_permissions *permissions,
                                        const struct inst_rule *rule,
                                        const struct inst_value *etype, struct inst_cel_where *out,
                                        struct inst_err *err);

/* ---- transactions (tx_permissions.h) ---- */

/* One check, as the debug endpoint reports it. */
struct inst_tx_verdict {
    const struct inst_rule *rule; /* NULL: none applies */
    enum inst_rule_action action;
    bool is_attr; /* scope "attr" */
    struct inst_value etype;
    struct inst_value eid;
    struct inst_rule_input input;
    struct inst_cel_value value;
    bool is_allowed;
};

/* Gets every check in the order in which they ran; then nothing is denied. */
typedef enum inst_status inst_tx_verdict_fn(void *ctx, const struct inst_tx_verdict *verdict,
                                            struct inst_err *err);

/* ---- the app's rules ---- */

/* Reads them from the data file, when that was not done yet. */
enum inst_status inst_app_rules(struct inst_app *app, struct inst_rules **out,
                                struct inst_err *err);
/* Are there any? */
bool inst_app_has_rules(struct inst_app *app);
/* Validates and keeps them; durable when it returns, and all live queries are right by them. The
 * app has no open group. err: "validation-failed" of data-type rule with every problem. */
enum inst_status inst_app_set_rules(struct inst_app *app, const struct inst_value *code,
                                    struct inst_err *err);
/* Only the first half: what inst_app_set_rules refuses. */
enum inst_status inst_check_rules(const struct inst_value *code, struct inst_arena *arena,
                                  struct inst_err *err);

#endif
