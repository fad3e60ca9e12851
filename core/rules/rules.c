#include "rules/rules.h"

#include <stdlib.h>
#include <string.h>

#define CHAINS 64

struct inst_rules {
    struct inst_arena arena;
    struct inst_value code;
    struct inst_rule *chains[CHAINS];
    size_t count;
};

const char *inst_rule_action_name(enum inst_rule_action action) {
    static const char *const names[] = {"view", "create", "update", "delete",
                                        "link", "unlink", "view"};
    return names[action];
}

enum inst_cel_scope inst_rule_scope(enum inst_rule_action action) {
    static const enum inst_cel_scope scopes[] = {
        INST_CEL_SCOPE_READ, INST_CEL_SCOPE_WRITE,  INST_CEL_SCOPE_WRITE, INST_CEL_SCOPE_READ,
        INST_CEL_SCOPE_LINK, INST_CEL_SCOPE_UNLINK, INST_CEL_SCOPE_READ};
    return scopes[action];
}

/* ---- which text ---- */

bool inst_rules_text(const struct inst_value *rule, const char **text, size_t *len) {
    if (!rule)
        return false;
    if (rule->tag == INST_TRUE || rule->tag == INST_FALSE) {
        *text = rule->tag == INST_TRUE ? "true" : "false";
        *len = strlen(*text);
        return true;
    }
    *text = rule->u.str;
    *len = rule->len;
    return rule->tag == INST_STRING;
}

/* A rule that is neither text nor boolean is one too, which never compiles: *text is NULL. */
static bool find_text(const struct inst_value *rule, const char **text, size_t *len) {
    if (!rule || inst_is_nullish(rule))
        return false;
    if (!inst_rules_text(rule, text, len)) {
        *text = NULL;
        *len = 0;
    }
    return true;
}

static const struct inst_value *member(const struct inst_value *object, const char *key) {
    return object && object->tag == INST_OBJECT ? inst_getz(object, key) : NULL;
}

static bool is_etype(const char *etype, size_t len, const char *name) {
    return strlen(name) == len && memcmp(etype, name, len) == 0;
}

/* permissions.md 2.1 */
static bool system_fallback(const char *etype, size_t len, enum inst_rule_action action,
                            const char **text, size_t *text_len) {
    static const char own_user[] = "auth.id == data.id || (data.linkedPrimaryUser != null && "
                                   "auth.id == data.linkedPrimaryUser)";
    if (len == 0 || etype[0] != '$' || is_etype(etype, len, "$default"))
        return false;
    bool is_users = is_etype(etype, len, "$users");
    *text = "false";
    if (is_users && (action == INST_RULE_VIEW || action == INST_RULE_UPDATE))
        *text = own_user;
    else if (is_users && action == INST_RULE_CREATE)
        *text = "true";
    *text_len = strlen(*text);
    return true;
}

bool inst_rules_pick(const struct inst_value *code, const char *etype, size_t etype_len,
                     enum inst_rule_action action, const char *label, size_t label_len,
                     const char **text, size_t *len, bool *is_fallback) {
    *is_fallback = false;
    bool has_rules = code && code->tag == INST_OBJECT;
    const struct inst_value *own = has_rules ? inst_get(code, etype, etype_len) : NULL;
    const char *name = inst_rule_action_name(action);
    if (action == INST_RULE_FIELD) {
        const struct inst_value *fields = member(own, "fields");
        return fields && fields->tag == INST_OBJECT &&
               find_text(inst_get(fields, label, label_len), text, len);
    }
    const struct inst_value *allow = member(own, "allow");
    if (action == INST_RULE_LINK || action == INST_RULE_UNLINK) {
        const struct inst_value *labels = member(allow, name);
        return labels && labels->tag == INST_OBJECT &&
               (find_text(inst_get(labels, label, label_len), text, len) ||
                find_text(inst_getz(labels, "$default"), text, len));
    }
    const struct inst_value *all = has_rules ? member(inst_getz(code, "$default"), "allow") : NULL;
    if (find_text(member(allow, name), text, len) ||
        find_text(member(allow, "$default"), text, len) ||
        find_text(member(all, name), text, len) || find_text(member(all, "$default"), text, len))
        return true;
    *is_fallback = system_fallback(etype, etype_len, action, text, len);
    return *is_fallback;
}

/* ---- rules that were asked for ---- */

static void free_rule(struct inst_rule *rule) {
    inst_cel_program_free(rule->program);
    free(rule->etype);
    free(rule->label);
    free(rule->display_code);
    free(rule->code);
    free(rule->problem);
    free(rule);
}

static enum inst_status build(struct inst_rules *rules, struct inst_rule *rule, const char *text,
                              size_t len, struct inst_err *err) {
    struct inst_arena arena;
    const char *code, *problem;
    inst_arena_init(&arena);
    rule->display_code = strndup(text ? text : "", len);
    code = "";
    problem = INST_RULES_NO_TEXT;
    enum inst_status status = rule->display_code ? INST_OK : inst_err_nomem(err);
    if (status == INST_OK && text)
        status = inst_rules_bind(&rules->code, rule->etype, strlen(rule->etype), text, len, &arena,
                                 &code, &problem, err);
    if (status == INST_OK) {
        rule->code = strdup(code);
        rule->problem = problem ? strdup(problem) : NULL;
        if (!rule->code || (problem && !rule->problem))
            status = inst_err_nomem(err);
    }
    if (status == INST_OK && !rule->problem)
        status = inst_cel_compile(rule->code, strlen(rule->code), inst_rule_scope(rule->action),
                                  &rule->program, err);
    inst_arena_free(&arena);
    return status;
}

static enum inst_status make_rule(struct inst_rules *rules, const char *etype, size_t etype_len,
                                  enum inst_rule_action action, const char *label, size_t label_len,
                                  const char *text, size_t len, struct inst_rule **out,
                                  struct inst_err *err) {
    struct inst_rule *rule = calloc(1, sizeof *rule);
    if (!rule)
        return inst_err_nomem(err);
    rule->action = action;
    rule->etype = strndup(etype, etype_len);
    rule->label = label ? strndup(label, label_len) : NULL;
    enum inst_status status = rule->etype && (!label || rule->label)
                                  ? build(rules, rule, text, len, err)
                                  : inst_err_nomem(err);
    if (status != INST_OK) {
        free_rule(rule);
        return status;
    }
    *out = rule;
    return INST_OK;
}

static bool is_same(const char *text, const char *bytes, size_t len) {
    return text ? bytes && strlen(text) == len && memcmp(text, bytes, len) == 0 : !bytes;
}

static size_t chain_of(const char *etype, size_t etype_len, enum inst_rule_action action,
                       size_t label_len) {
    size_t hash = (size_t)action * 7 + label_len;
    for (size_t i = 0; i < etype_len; i++)
        hash = hash * 31 + (unsigned char)etype[i];
    return hash % CHAINS;
}

enum inst_status inst_rules_find(struct inst_rules *rules, const char *etype, size_t etype_len,
                                 enum inst_rule_action action, const char *label, size_t label_len,
                                 const struct inst_rule **out, struct inst_err *err) {
    const char *text;
    size_t len;
    struct inst_rule **chain = &rules->chains[chain_of(etype, etype_len, action, label_len)];
    *out = NULL;
    for (struct inst_rule *rule = *chain; rule; rule = rule->next) {
        if (rule->action == action && is_same(rule->etype, etype, etype_len) &&
            is_same(rule->label, label, label_len)) {
            *out = rule;
            return INST_OK;
        }
    }
    bool is_fallback;
    if (!inst_rules_pick(&rules->code, etype, etype_len, action, label, label_len, &text, &len,
                         &is_fallback))
        return INST_OK;
    if (rules->count >= INST_RULES_MAX)
        return inst_err_set(err, "limit-exceeded", 400, "The app has too many permission rules.");
    struct inst_rule *rule = NULL;
    enum inst_status status =
        make_rule(rules, etype, etype_len, action, label, label_len, text, len, &rule, err);
    if (status != INST_OK)
        return status;
    rule->is_fallback = is_fallback;
    rule->next = *chain;
    *chain = rule;
    rules->count++;
    *out = rule;
    return INST_OK;
}

/* ---- the whole ---- */

enum inst_status inst_rules_new(const struct inst_value *code, struct inst_rules **out,
                                struct inst_err *err) {
    struct inst_rules *rules = calloc(1, sizeof *rules);
    if (!rules)
        return inst_err_nomem(err);
    inst_arena_init(&rules->arena);
    rules->code = inst_object(NULL, 0);
    if (code && code->tag == INST_OBJECT && !inst_value_dup(&rules->arena, code, &rules->code)) {
        inst_rules_free(rules);
        return inst_err_nomem(err);
    }
    *out = rules;
    return INST_OK;
}

void inst_rules_free(struct inst_rules *rules) {
    if (!rules)
        return;
    for (size_t i = 0; i < CHAINS; i++) {
        for (struct inst_rule *rule = rules->chains[i], *next; rule; rule = next) {
            next = rule->next;
            free_rule(rule);
        }
    }
    inst_arena_free(&rules->arena);
    free(rules);
}

const struct inst_value *inst_rules_code(const struct inst_rules *rules) { return &rules->code; }
