#include "rules/cel_check.h"

#include "rules/cel_library.h"

#include <string.h>

/* A variable that a macro made. */
struct local {
    const struct local *outer;
    const char *name;
    const struct inst_cel_type *type;
};

struct checker {
    const struct inst_cel_decl *decls;
    size_t decl_count;
    struct inst_cel_vars *vars;
    struct inst_cel_issues *issues;
    const struct local *locals;
};

typedef const struct inst_cel_type type_t;

static type_t *check(struct checker *c, struct inst_cel_node *node);

static type_t *simple(enum inst_cel_kind kind) { return inst_cel_simple(kind); }

/* ---- names ---- */

static bool find_variable(struct checker *c, struct inst_cel_node *node) {
    int32_t slot = -1;
    for (const struct local *local = c->locals; local; local = local->outer, slot--) {
        if (strcmp(local->name, node->name) == 0) {
            node->slot = slot;
            node->type = local->type;
            return true;
        }
    }
    for (size_t i = 0; i < c->decl_count; i++) {
        if (strcmp(c->decls[i].name, node->name) == 0) {
            node->slot = (int32_t)i;
            node->type = c->decls[i].type;
            return true;
        }
    }
    return false;
}

static bool find_type_name(struct checker *c, struct inst_cel_node *node, const char *name) {
    static const struct {
        const char *name;
        enum inst_cel_kind kind;
    } names[] = {
        {"int", INST_CEL_INT},        {"uint", INST_CEL_UINT},
        {"double", INST_CEL_DOUBLE},  {"bool", INST_CEL_BOOL},
        {"string", INST_CEL_STRING},  {"bytes", INST_CEL_BYTES},
        {"list", INST_CEL_LIST},      {"map", INST_CEL_MAP},
        {"null_type", INST_CEL_NULL}, {"type", INST_CEL_TYPE},
        {"dyn", INST_CEL_TYPE},       {"google.protobuf.Timestamp", INST_CEL_TIMESTAMP},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, name) == 0) {
            node->is_type_name = true;
            node->literal =
                (struct inst_cel_value){.tag = INST_CEL_V_TYPE, .u.type = names[i].kind};
            node->type = inst_cel_type_of(c->vars, NULL);
            return true;
        }
    }
    return false;
}

static type_t *check_ident(struct checker *c, struct inst_cel_node *node) {
    if (find_variable(c, node) || find_type_name(c, node, node->name))
        return node->type;
    inst_cel_issue(c->issues, node->offset, "undeclared reference to '%s' (in container '')",
                   node->name);
    return simple(INST_CEL_DYN);
}

/* `a.b.c` as a text, when that is all it is and `a` is no variable. */
static bool qualified(struct checker *c, struct inst_cel_node *node, struct inst_buf *out) {
    if (node->kind == INST_CEL_N_IDENT) {
        struct inst_cel_node copy = *node;
        inst_buf_add_str(out, node->name);
        return !find_variable(c, &copy);
    }
    if (node->kind != INST_CEL_N_SELECT || !qualified(c, node->args[0], out))
        return false;
    inst_buf_addf(out, ".%s", node->name);
    return true;
}

/* ---- fields ---- */

static type_t *request_field(struct checker *c, const struct inst_cel_node *node) {
    if (strcmp(node->name, "time") == 0)
        return simple(INST_CEL_TIMESTAMP);
    if (strcmp(node->name, "origin") == 0 || strcmp(node->name, "ip") == 0)
        return simple(INST_CEL_STRING);
    if (strcmp(node->name, "modifiedFields") == 0)
        return inst_cel_list_of(c->vars, simple(INST_CEL_STRING));
    inst_cel_issue(c->issues, node->offset, "undefined field '%s'", node->name);
    return simple(INST_CEL_DYN);
}

static type_t *check_select(struct checker *c, struct inst_cel_node *node) {
    struct inst_buf name;
    inst_buf_init(&name);
    bool is_type = node->kind == INST_CEL_N_SELECT && qualified(c, node, &name) && !name.failed &&
                   find_type_name(c, node, name.data);
    c->issues->failed |= name.failed;
    inst_buf_free(&name);
    if (is_type)
        return node->type;
    type_t *type = inst_cel_resolve(c->vars, check(c, node->args[0]));
    switch (type->kind) {
    case INST_CEL_DYN:
    case INST_CEL_VAR:
        return simple(INST_CEL_DYN);
    case INST_CEL_MAP:
        return type->b;
    case INST_CEL_REQUEST:
        return request_field(c, node);
    default:
        break;
    }
    struct inst_buf text;
    inst_buf_init(&text);
    inst_cel_type_text(c->vars, type, &text);
    inst_cel_issue(c->issues, node->offset, "type '%s' does not support field selection",
                   text.data ? text.data : "");
    inst_buf_free(&text);
    return simple(INST_CEL_DYN);
}

/* ---- calls ---- */

/* The type behind a letter; a and b are this overload's %A and %B. */
static type_t *letter_type(struct checker *c, char letter, type_t *a, type_t *b) {
    static const char simple_letters[] = "*nbiudsytD";
    const char *found = strchr(simple_letters, letter);
    if (found)
        return simple((enum inst_cel_kind)(found - simple_letters));
    switch (letter) {
    case 'N':
        return simple(INST_CEL_INT);
    case 'A':
        return a;
    case 'B':
        return b;
    case 'l':
        return inst_cel_list_of(c->vars, a);
    case 'm':
        return inst_cel_map_of(c->vars, a, b);
    case 'T':
        return inst_cel_type_of(c->vars, a);
    case 'S':
        return inst_cel_list_of(c->vars, simple(INST_CEL_STRING));
    case 'L':
        return inst_cel_list_of(c->vars, simple(INST_CEL_DYN));
    case 'O':
        return inst_cel_map_of(c->vars, simple(INST_CEL_STRING), simple(INST_CEL_DYN));
    default:
        return simple(INST_CEL_BUCKET);
    }
}

static bool overload_fits(struct checker *c, const struct inst_cel_overload *overload,
                          type_t *const *args, uint32_t count, bool is_member, type_t **result) {
    if (overload->is_member != is_member || strlen(overload->args) != count)
        return false;
    uint32_t before = c->vars->count;
    type_t **saved = inst_cel_save(c->vars);
    type_t *a = inst_cel_new_var(c->vars), *b = inst_cel_new_var(c->vars);
    for (uint32_t i = 0; i < count; i++) {
        if (!inst_cel_fits(c->vars, args[i], letter_type(c, overload->args[i], a, b))) {
            inst_cel_undo(c->vars, saved, before);
            return false;
        }
    }
    *result = letter_type(c, overload->result, a, b);
    return true;
}

static void write_candidate(const struct inst_cel_overload *overload, struct inst_buf *out) {
    static const char letters[] = "*nbiudsytDlmABTSLORN";
    static const char *const texts[] = {"dyn",
                                        "null_type",
                                        "bool",
                                        "int",
                                        "uint",
                                        "double",
                                        "string",
                                        "bytes",
                                        "google.protobuf.Timestamp",
                                        "google.protobuf.Duration",
                                        "list(%A0)",
                                        "map(%A0, %B1)",
                                        "%A0",
                                        "%B1",
                                        "type(%A0)",
                                        "list(string)",
                                        "list(dyn)",
                                        "map(string, dyn)",
                                        "instant.RateLimit",
                                        "int"};
    const char *args = overload->args;
    if (overload->is_member)
        inst_buf_addf(out, "%s.", texts[strchr(letters, *args++) - letters]);
    inst_buf_add_char(out, '(');
    for (const char *at = args; *at; at++)
        inst_buf_addf(out, "%s%s", at == args ? "" : ", ", texts[strchr(letters, *at) - letters]);
    inst_buf_add_char(out, ')');
}

static void no_overload(struct checker *c, const struct inst_cel_node *node, const char *function,
                        type_t *const *args, const struct inst_cel_overload *overloads,
                        size_t overload_count) {
    struct inst_buf applied, candidates;
    inst_buf_init(&applied);
    inst_buf_init(&candidates);
    uint32_t first = 0;
    if (node->is_member) {
        inst_cel_type_text(c->vars, args[first++], &applied);
        inst_buf_add_char(&applied, '.');
    }
    inst_buf_add_char(&applied, '(');
    for (uint32_t i = first; i < node->count; i++) {
        inst_buf_add_str(&applied, i > first ? ", " : "");
        inst_cel_type_text(c->vars, args[i], &applied);
    }
    inst_buf_add_char(&applied, ')');
    for (size_t i = 0; i < overload_count; i++) {
        inst_buf_add_str(&candidates, i ? "," : "");
        write_candidate(&overloads[i], &candidates);
    }
    c->issues->failed |= applied.failed || candidates.failed;
    inst_cel_issue(c->issues, node->offset,
                   "found no matching overload for '%s' applied to '%s' (candidates: %s)", function,
                   applied.data ? applied.data : "", candidates.data ? candidates.data : "");
    inst_buf_free(&applied);
    inst_buf_free(&candidates);
}

static type_t *resolve_overloads(struct checker *c, struct inst_cel_node *node,
                                 type_t *const *args) {
    size_t count;
    const struct inst_cel_overload *overloads = inst_cel_overloads(node->name, &count);
    type_t *result = NULL;
    node->candidates = inst_arena_alloc(c->vars->arena, count * sizeof *node->candidates);
    if (!node->candidates) {
        c->issues->failed = true;
        return simple(INST_CEL_DYN);
    }
    for (size_t i = 0; i < count; i++) {
        type_t *one;
        if (!overload_fits(c, &overloads[i], args, node->count, node->is_member, &one))
            continue;
        node->candidates[node->candidate_count++] = &overloads[i];
        if (!result)
            result = one;
        else if (!inst_cel_same(c->vars, result, one))
            result = simple(INST_CEL_DYN);
    }
    if (!result) {
        no_overload(c, node, node->name, args, overloads, count);
        result = simple(INST_CEL_DYN);
    }
    return result;
}

/* `math.abs(x)`: a function whose name has a point, not a member of something called math. */
static void merge_namespace(struct checker *c, struct inst_cel_node *node) {
    struct inst_buf name;
    size_t count;
    inst_buf_init(&name);
    if (node->is_member && node->args[0]->kind == INST_CEL_N_IDENT &&
        qualified(c, node->args[0], &name)) {
        inst_buf_addf(&name, ".%s", node->name);
        char *copy = name.failed ? NULL : inst_arena_dup(c->vars->arena, name.data, name.len);
        c->issues->failed |= !copy;
        if (copy && inst_cel_overloads(copy, &count)) {
            node->name = copy;
            node->is_member = false;
            node->args++;
            node->count--;
        }
    }
    inst_buf_free(&name);
}

/* math.greatest and math.least are macros: what is certainly no number is refused at once. */
static void check_extreme(struct checker *c, const struct inst_cel_node *node,
                          type_t *const *args) {
    if (strcmp(node->name, "math.greatest") != 0 && strcmp(node->name, "math.least") != 0)
        return;
    if (node->count == 0) {
        inst_cel_issue(c->issues, node->offset, "%s() requires at least one argument", node->name);
        return;
    }
    for (uint32_t i = 0; i < node->count; i++) {
        type_t *type = inst_cel_resolve(c->vars, args[i]);
        if (type->kind == INST_CEL_LIST && node->count == 1)
            type = inst_cel_resolve(c->vars, type->a);
        bool is_fine = type->kind == INST_CEL_DYN || type->kind == INST_CEL_VAR ||
                       type->kind == INST_CEL_INT || type->kind == INST_CEL_UINT ||
                       type->kind == INST_CEL_DOUBLE;
        const struct inst_cel_node *arg = node->args[i];
        if (!is_fine || (arg->kind == INST_CEL_N_LIST && arg->count == 0))
            inst_cel_issue(c->issues, arg->offset, "%s() invalid single argument value",
                           node->name);
    }
}

/* The same kind of number for all of them is that of the result. */
static type_t *extreme_type(struct checker *c, const struct inst_cel_node *node,
                            type_t *const *args, type_t *type) {
    if (strcmp(node->name, "math.greatest") != 0 && strcmp(node->name, "math.least") != 0)
        return type;
    type_t *all = node->count ? inst_cel_resolve(c->vars, args[0]) : type;
    if (all->kind == INST_CEL_LIST)
        all = inst_cel_resolve(c->vars, all->a);
    for (uint32_t i = 1; i < node->count; i++)
        if (inst_cel_resolve(c->vars, args[i])->kind != all->kind)
            return type;
    return all->kind == INST_CEL_VAR ? type : all;
}

static type_t *check_call(struct checker *c, struct inst_cel_node *node) {
    size_t count;
    merge_namespace(c, node);
    type_t **args = inst_arena_alloc(c->vars->arena, (node->count + 1) * sizeof *args);
    if (!args) {
        c->issues->failed = true;
        return simple(INST_CEL_DYN);
    }
    for (uint32_t i = 0; i < node->count; i++)
        args[i] = check(c, node->args[i]);
    if (!inst_cel_overloads(node->name, &count)) {
        inst_cel_issue(c->issues, node->offset, "undeclared reference to '%s' (in container '')",
                       node->name);
        return simple(INST_CEL_DYN);
    }
    check_extreme(c, node, args);
    return extreme_type(c, node, args, resolve_overloads(c, node, args));
}

/* ---- lists, maps, macros ---- */

/* The type of those arguments from `first` on, every `step`th. */
static type_t *join_all(struct checker *c, struct inst_cel_node *node, uint32_t first,
                        uint32_t step) {
    type_t *type = NULL;
    for (uint32_t i = first; i < node->count; i += step) {
        type_t *one = check(c, node->args[i]);
        type = type ? inst_cel_common(c->vars, type, one) : one;
    }
    return type ? type : inst_cel_new_var(c->vars);
}

static type_t *range_element(struct checker *c, const struct inst_cel_node *range, type_t *type) {
    type = inst_cel_resolve(c->vars, type);
    if (type->kind == INST_CEL_LIST || type->kind == INST_CEL_MAP)
        return type->a;
    if (type->kind == INST_CEL_DYN || type->kind == INST_CEL_VAR)
        return simple(INST_CEL_DYN);
    struct inst_buf text;
    inst_buf_init(&text);
    inst_cel_type_text(c->vars, type, &text);
    inst_cel_issue(c->issues, range->offset,
                   "expression of type '%s' cannot be range of a comprehension (must be list, map, "
                   "or dynamic)",
                   text.data ? text.data : "");
    inst_buf_free(&text);
    return simple(INST_CEL_DYN);
}

/* What a macro's condition becomes part of: `accumulator && condition` and the like. */
static void check_condition(struct checker *c, const struct inst_cel_node *node,
                            const struct inst_cel_node *condition, type_t *type) {
    static const char *const functions[] = {"_&&_", "_||_", "_?_:_", "_?_:_", "_?_:_"};
    if (inst_cel_fits(c->vars, type, simple(INST_CEL_BOOL)))
        return;
    struct inst_buf text;
    inst_buf_init(&text);
    inst_cel_type_text(c->vars, type, &text);
    bool is_logic = node->kind <= INST_CEL_N_EXISTS;
    inst_cel_issue(c->issues, condition->offset,
                   "found no matching overload for '%s' applied to '(%s%s)' (candidates: %s)",
                   functions[node->kind - INST_CEL_N_ALL], is_logic ? "bool, " : "",
                   text.data ? text.data : "", is_logic ? "(bool, bool)" : "(bool, %A0, %A0)");
    inst_buf_free(&text);
}

static type_t *check_loop(struct checker *c, struct inst_cel_node *node) {
    type_t *range = check(c, node->args[0]);
    struct local local = {c->locals, node->name, range_element(c, node->args[0], range)};
    c->locals = &local;
    bool is_map = node->kind == INST_CEL_N_MAP_EACH;
    type_t *result = simple(INST_CEL_BOOL);
    if (!is_map || node->count == 3)
        check_condition(c, node, node->args[1], check(c, node->args[1]));
    if (is_map)
        result = inst_cel_list_of(c->vars, check(c, node->args[node->count - 1]));
    else if (node->kind == INST_CEL_N_FILTER)
        result = inst_cel_list_of(c->vars, local.type);
    c->locals = local.outer;
    return result;
}

static type_t *check_bind(struct checker *c, struct inst_cel_node *node) {
    struct local local = {c->locals, node->name, check(c, node->args[0])};
    c->locals = &local;
    type_t *result = check(c, node->args[1]);
    c->locals = local.outer;
    return result;
}

static type_t *literal_type(struct checker *c, const struct inst_cel_node *node) {
    (void)c;
    return simple(inst_cel_kind_of(&node->literal));
}

static type_t *check_node(struct checker *c, struct inst_cel_node *node) {
    switch (node->kind) {
    case INST_CEL_N_LITERAL:
        return literal_type(c, node);
    case INST_CEL_N_IDENT:
        return check_ident(c, node);
    case INST_CEL_N_SELECT:
        return check_select(c, node);
    case INST_CEL_N_HAS:
        check_select(c, node);
        return simple(INST_CEL_BOOL);
    case INST_CEL_N_CALL:
        return check_call(c, node);
    case INST_CEL_N_LIST:
        return inst_cel_list_of(c->vars, join_all(c, node, 0, 1));
    case INST_CEL_N_MAP: {
        type_t *keys = join_all(c, node, 0, 2);
        return inst_cel_map_of(c->vars, keys, join_all(c, node, 1, 2));
    }
    case INST_CEL_N_BIND:
        return check_bind(c, node);
    default:
        return check_loop(c, node);
    }
}

static type_t *check(struct checker *c, struct inst_cel_node *node) {
    node->type = check_node(c, node);
    return node->type;
}

bool inst_cel_check(struct inst_cel_node *root, const struct inst_cel_decl *decls,
                    size_t decl_count, struct inst_cel_vars *vars, struct inst_cel_issues *issues) {
    struct checker c = {.decls = decls, .decl_count = decl_count, .vars = vars, .issues = issues};
    check(&c, root);
    issues->failed |= vars->failed;
    return !issues->first && !issues->failed;
}
