/* rules_validation.c - rules as they are saved (permissions.md 6). */
#include "rules/rate_limit.h"
#include "rules/rules.h"

#include <string.h>

struct validation {
    struct inst_arena *arena;
    const struct inst_value *code;
    struct inst_array_builder errors;
    size_t rules; /* seen so far */
    struct inst_err *err;
    enum inst_status status;
    /* of the rule at hand */
    const char *path[4];
    size_t path_lens[4];
    size_t path_len;
};

static void set_path(struct validation *v, const char *a, size_t a_len, const char *b,
                     const char *c, size_t c_len) {
    v->path[0] = a;
    v->path_lens[0] = a_len;
    v->path[1] = b;
    v->path_lens[1] = b ? strlen(b) : 0;
    v->path[2] = c;
    v->path_lens[2] = c_len;
    v->path_len = c ? 3 : b ? 2 : 1;
}

/* message is copied. */
static void report(struct validation *v, const char *message) {
    struct inst_array_builder path;
    struct inst_object_builder error;
    struct inst_value in, out;
    char *text = inst_arena_dup(v->arena, message, strlen(message));
    inst_array_begin(&path, v->arena);
    for (size_t i = 0; i < v->path_len; i++)
        inst_array_add(&path, inst_string(v->path[i], v->path_lens[i]));
    inst_object_begin(&error, v->arena);
    if (!text || !inst_array_end(&path, &in)) {
        v->status = inst_err_nomem(v->err);
        return;
    }
    inst_object_addz(&error, "message", inst_string(text, strlen(text)));
    inst_object_addz(&error, "in", in);
    if (inst_object_end(&error, &out))
        inst_array_add(&v->errors, out);
    else
        v->status = inst_err_nomem(v->err);
}

static void reportf(struct validation *v, const char *before, const char *name, size_t name_len,
                    const char *after) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_add_str(&text, before);
    inst_buf_add(&text, name, name_len);
    inst_buf_add_str(&text, after);
    if (text.failed)
        v->status = inst_err_nomem(v->err);
    else
        report(v, text.data);
    inst_buf_free(&text);
}

static bool is_name(const struct inst_member *member, const char *name) {
    return member->key_len == strlen(name) && memcmp(member->key, name, member->key_len) == 0;
}

static const struct inst_value *part(const struct inst_value *object, const char *key) {
    return object && object->tag == INST_OBJECT ? inst_getz(object, key) : NULL;
}

/* ---- binds ---- */

static void check_binds(struct validation *v, const struct inst_member *ns) {
    const struct inst_value *binds = part(&ns->value, "bind");
    if (!binds || binds->tag != INST_ARRAY)
        return;
    if (binds->len % 2 != 0) {
        set_path(v, ns->key, ns->key_len, "bind", NULL, 0);
        report(v, "bind should have an even number of elements");
        return;
    }
    for (uint32_t i = 0; i < binds->len && i < 2 * INST_RULES_MAX_BINDS; i += 2) {
        const struct inst_value *name = &binds->u.items[i];
        bool is_second = false, is_third = false;
        for (uint32_t k = 0; k < i && name->tag == INST_STRING; k += 2) {
            bool is_same = inst_value_equal(name, &binds->u.items[k]);
            is_third |= is_same && is_second;
            is_second |= is_same;
        }
        if (is_second && !is_third) {
            set_path(v, ns->key, ns->key_len, "bind", name->u.str, name->len);
            report(v, "bind should only contain a given variable name once");
        }
    }
}

/* ---- one expression ---- */

static const struct inst_value *literal_text(const struct inst_cel_node *node,
                                             struct inst_value *out) {
    if (node->kind != INST_CEL_N_LITERAL || node->literal.tag != INST_CEL_V_STRING)
        return NULL;
    *out = inst_string(node->literal.u.str, node->literal.len);
    return out;
}

static bool is_outside(const struct inst_cel_node *node, const char *name) {
    return node->kind == INST_CEL_N_IDENT && node->slot >= 0 && strcmp(node->name, name) == 0;
}

static void check_bucket(struct validation *v, const char *name, size_t len) {
    const struct inst_value *limits = part(v->code, "$rateLimits");
    if (limits && limits->tag == INST_OBJECT && inst_get(limits, name, len))
        return;
    reportf(v, "`", name, len,
            "` is not a valid rate limit config. It should be defined in the `$rateLimits` key.");
}

static void check_node(void *ctx, const struct inst_cel_node *node) {
    struct validation *v = ctx;
    struct inst_value text;
    bool is_call = node->kind == INST_CEL_N_CALL;
    if (is_call && node->is_member && strcmp(node->name, "ref") == 0 &&
        is_outside(node->args[0], "auth")) {
        const struct inst_value *path = literal_text(node->args[1], &text);
        if (!path || path->len < 6 || memcmp(path->u.str, "$user.", 6) != 0)
            report(v, "auth.ref arg must start with `$user.`");
    } else if (node->kind == INST_CEL_N_SELECT && !node->is_type_name &&
               is_outside(node->args[0], "rateLimit")) {
        check_bucket(v, node->name, strlen(node->name));
    } else if (is_call && strcmp(node->name, "_[_]") == 0 &&
               is_outside(node->args[0], "rateLimit") && literal_text(node->args[1], &text)) {
        check_bucket(v, text.u.str, text.len);
    }
}

static void check_text(struct validation *v, const struct inst_member *ns,
                       const struct inst_value *rule, enum inst_rule_action action) {
    const char *text, *code, *problem;
    size_t len;
    struct inst_cel_program *program;
    if (!rule || inst_is_nullish(rule) || v->status != INST_OK)
        return;
    if (!inst_rules_text(rule, &text, &len)) {
        report(v, INST_RULES_NO_TEXT);
        return;
    }
    if (++v->rules > INST_RULES_MAX) {
        report(v, "There are too many permission rules.");
        return;
    }
    v->status = inst_rules_bind(v->code, ns->key, ns->key_len, text, len, v->arena, &code, &problem,
                                v->err);
    if (v->status != INST_OK)
        return;
    if (problem) {
        report(v, problem);
        return;
    }
    v->status = inst_cel_compile(code, strlen(code), inst_rule_scope(action), &program, v->err);
    if (v->status != INST_OK)
        return;
    for (const struct inst_cel_issue *issue = program->issues; issue; issue = issue->next)
        report(v, issue->message);
    if (!program->issues)
        inst_cel_visit(program->root, check_node, v);
    inst_cel_program_free(program);
}

/* ---- a namespace ---- */

static bool has_rules(const struct inst_member *ns) {
    static const char *const names[] = {"$users", "$files", "$streams", "$default"};
    for (size_t i = 0; i < 4; i++)
        if (is_name(ns, names[i]))
            return true;
    return ns->key_len == 0 || ns->key[0] != '$';
}

static void check_action(struct validation *v, const struct inst_member *ns,
                         enum inst_rule_action action) {
    const char *name = inst_rule_action_name(action), *text;
    const struct inst_value *rule = part(part(&ns->value, "allow"), name);
    size_t len;
    set_path(v, ns->key, ns->key_len, "allow", name, strlen(name));
    if (!has_rules(ns)) {
        reportf(v, "The ", ns->key, ns->key_len,
                " namespace is a reserved internal namespace that does not yet support rules.");
        return;
    }
    if (is_name(ns, "$users") && action == INST_RULE_DELETE && rule && !inst_is_nullish(rule) &&
        !(inst_rules_text(rule, &text, &len) && len == 5 && memcmp(text, "false", 5) == 0)) {
        report(v, "The $users namespace doesn't support permissions for delete. Set "
                  "`$users.allow.delete` to `\"false\"`.");
        return;
    }
    check_text(v, ns, rule, action);
}

static void check_fields(struct validation *v, const struct inst_member *ns) {
    const struct inst_value *fields = part(&ns->value, "fields");
    for (uint32_t i = 0; fields && fields->tag == INST_OBJECT && i < fields->len; i++) {
        const struct inst_member *field = &fields->u.members[i];
        if (is_name(field, "id")) {
            set_path(v, ns->key, ns->key_len, "fields", NULL, 0);
            reportf(v, "You cannot set field rules for `id`. Use ", ns->key, ns->key_len,
                    " -> allow -> view instead");
            continue;
        }
        set_path(v, ns->key, ns->key_len, "fields", field->key, field->key_len);
        check_text(v, ns, &field->value, INST_RULE_FIELD);
    }
}

static void check_rate_limits(struct validation *v) {
    const struct inst_value *limits = part(v->code, "$rateLimits");
    struct inst_rate_limit_config config;
    if (!limits || inst_is_nullish(limits))
        return;
    if (limits->tag != INST_OBJECT) {
        set_path(v, "$rateLimits", 11, NULL, NULL, 0);
        report(v, "$rateLimits must be an object");
        return;
    }
    for (uint32_t i = 0; i < limits->len; i++) {
        const char *problem = inst_rate_limit_read(&limits->u.members[i].value, &config);
        v->path_len = 2;
        v->path[0] = "$rateLimits";
        v->path_lens[0] = 11;
        v->path[1] = limits->u.members[i].key;
        v->path_lens[1] = limits->u.members[i].key_len;
        if (problem)
            report(v, problem);
    }
}

enum inst_status inst_rules_validate(const struct inst_value *code, struct inst_arena *arena,
                                     struct inst_value *out, struct inst_err *err) {
    struct inst_value none = inst_object(NULL, 0);
    struct validation v = {.arena = arena, .code = code, .err = err};
    if (!code || code->tag != INST_OBJECT)
        v.code = &none;
    inst_array_begin(&v.errors, arena);
    const struct inst_member *members = v.code->u.members;
    for (uint32_t i = 0; i < v.code->len; i++)
        check_binds(&v, &members[i]);
    for (uint32_t i = 0; i < v.code->len && v.status == INST_OK; i++)
        for (int action = INST_RULE_VIEW; action <= INST_RULE_DELETE; action++)
            if (!is_name(&members[i], "$rateLimits"))
                check_action(&v, &members[i], (enum inst_rule_action)action);
    for (uint32_t i = 0; i < v.code->len && v.status == INST_OK; i++)
        check_fields(&v, &members[i]);
    check_rate_limits(&v);
    if (v.status != INST_OK)
        return v.status;
    return inst_array_end(&v.errors, out) ? INST_OK : inst_err_nomem(err);
}
