/*
 * rules.h - an app's permission rules: which one applies to what, as a program (permissions.md 1,
 * 2).
 *
 *     rules JSON ── (etype, action, label) ──> text ── with its binds ──> code ──> program
 *                                                                         compiled when first
 *                                                                         asked for, then kept
 */
#ifndef INST_RULES_RULES_H
#define INST_RULES_RULES_H

#include "rules/cel.h"

/* Different rules of an app; what is beyond is refused on save. */
#define INST_RULES_MAX 10000
#define INST_RULES_MAX_BINDS 1000 /* of a namespace */

enum inst_rule_action {
    INST_RULE_VIEW,
    INST_RULE_CREATE,
    INST_RULE_UPDATE,
    INST_RULE_DELETE,
    INST_RULE_LINK,   /* with the label */
    INST_RULE_UNLINK, /* with the label */
    INST_RULE_FIELD,  /* view rule of one label */
};
/* "view" "create" ...; FIELD is "view" too, as upstream reports it. */
const char *inst_rule_action_name(enum inst_rule_action action);

struct inst_rule {
    struct inst_rule *next;
    bool is_fallback; /* not the app's own but that of a system namespace (permissions.md 2.1) */
    char *etype;      /* owned, as the texts below */
    char *label;      /* NULL for view, create, update, delete */
    enum inst_rule_action action;
    char *display_code; /* as written */
    char *code;         /* with its binds around it */
    char *problem;      /* why it has no program: it is no text, binds are uneven or cyclic */
    struct inst_cel_program *program; /* NULL: problem */
};

struct inst_rules; /* opaque */

/* code: the rules JSON, an OBJECT; NULL or null: no rules at all. Copied. */
enum inst_status inst_rules_new(const struct inst_value *code, struct inst_rules **out,
                                struct inst_err *err);
void inst_rules_free(struct inst_rules *rules);
/* The JSON it was made of. */
const struct inst_value *inst_rules_code(const struct inst_rules *rules);

/* The rule for that; *out is NULL when none applies, which allows. Lives as long as rules. */
enum inst_status inst_rules_find(struct inst_rules *rules, const char *etype, size_t etype_len,
                                 enum inst_rule_action action, const char *label, size_t label_len,
                                 const struct inst_rule **out, struct inst_err *err);

/* ---- on save (permissions.md 6) ---- */

/* What is wrong with rules: an ARRAY of {"message", "in": [...]}, empty when nothing is. */
enum inst_status inst_rules_validate(const struct inst_value *code, struct inst_arena *arena,
                                     struct inst_value *out, struct inst_err *err);

/* ---- rule texts, for the two files behind this header ---- */

/* What is said of a rule, or of a bind that a rule uses, that is neither text nor boolean. */
#define INST_RULES_NO_TEXT "There was an unexpected error evaluating the rules"

/* The rule's own text: a string, or a boolean's; false: there is none. Borrowed. */
bool inst_rules_text(const struct inst_value *rule, const char **text, size_t *len);
/* The text of a rule by the order of permissions.md 2, NULL of one that is none (NO_TEXT); false:
 * none applies. */
bool inst_rules_pick(const struct inst_value *code, const char *etype, size_t etype_len,
                     enum inst_rule_action action, const char *label, size_t label_len,
                     const char **text, size_t *len, bool *is_fallback);
/* Text with its binds around it, in arena. A problem (*problem, in arena) is no failure. */
enum inst_status inst_rules_bind(const struct inst_value *code, const char *etype, size_t etype_len,
                                 const char *text, size_t len, struct inst_arena *arena,
                                 const char **out, const char **problem, struct inst_err *err);
enum inst_cel_scope inst_rule_scope(enum inst_rule_action action);

#endif
