#include "rules/cel.h"

#include <stdlib.h>
#include <string.h>

static const size_t scope_slots[] = {
    [INST_CEL_SCOPE_READ] = INST_CEL_SLOT_NEW_DATA,
    [INST_CEL_SCOPE_WRITE] = INST_CEL_SLOT_LINKED_DATA,
    [INST_CEL_SCOPE_UNLINK] = INST_CEL_SLOT_ACTIONS,
    [INST_CEL_SCOPE_LINK] = INST_CEL_SLOTS,
};

static void declare(struct inst_cel_vars *vars, struct inst_cel_decl decls[INST_CEL_SLOTS]) {
    const struct inst_cel_type *text = inst_cel_simple(INST_CEL_STRING);
    const struct inst_cel_type *object = inst_cel_map_of(vars, text, inst_cel_simple(INST_CEL_DYN));
    decls[INST_CEL_SLOT_DATA] = (struct inst_cel_decl){"data", object};
    decls[INST_CEL_SLOT_AUTH] = (struct inst_cel_decl){"auth", object};
    decls[INST_CEL_SLOT_RULE_PARAMS] = (struct inst_cel_decl){"ruleParams", object};
    decls[INST_CEL_SLOT_REQUEST] =
        (struct inst_cel_decl){"request", inst_cel_simple(INST_CEL_REQUEST)};
    decls[INST_CEL_SLOT_RATE_LIMIT] = (struct inst_cel_decl){
        "rateLimit", inst_cel_map_of(vars, text, inst_cel_simple(INST_CEL_BUCKET))};
    decls[INST_CEL_SLOT_NEW_DATA] = (struct inst_cel_decl){"newData", object};
    decls[INST_CEL_SLOT_LINKED_DATA] = (struct inst_cel_decl){"linkedData", object};
    decls[INST_CEL_SLOT_ACTIONS] = (struct inst_cel_decl){"actions", object};
}

static bool is_request(const struct inst_cel_node *node) {
    return node->kind == INST_CEL_N_IDENT && !node->is_type_name &&
           node->slot == INST_CEL_SLOT_REQUEST;
}

/* request.time and request.modifiedFields are the same whoever asks. */
static bool is_of_caller(const struct inst_cel_node *node) {
    bool is_field = node->kind == INST_CEL_N_SELECT || node->kind == INST_CEL_N_HAS;
    bool is_common =
        is_field && (strcmp(node->name, "time") == 0 || strcmp(node->name, "modifiedFields") == 0);
    for (uint32_t i = 0; i < node->count; i++)
        if (is_request(node->args[i]) && !is_common)
            return true;
    return false;
}

static void note_use(void *ctx, const struct inst_cel_node *node) {
    struct inst_cel_program *program = ctx;
    program->uses_caller |= is_of_caller(node);
    if (node->kind != INST_CEL_N_IDENT || node->is_type_name || node->slot < 0)
        return;
    program->uses_auth |= node->slot == INST_CEL_SLOT_AUTH;
    program->uses_rule_params |= node->slot == INST_CEL_SLOT_RULE_PARAMS;
    program->uses_request |= node->slot == INST_CEL_SLOT_REQUEST;
    program->uses_rate_limit |= node->slot == INST_CEL_SLOT_RATE_LIMIT;
}

enum inst_status inst_cel_compile(const char *text, size_t len, enum inst_cel_scope scope,
                                  struct inst_cel_program **out, struct inst_err *err) {
    struct inst_cel_program *program = calloc(1, sizeof *program);
    if (!program)
        return inst_err_nomem(err);
    inst_arena_init(&program->arena);
    struct inst_cel_issues issues;
    struct inst_cel_vars vars = {.arena = &program->arena};
    struct inst_cel_decl decls[INST_CEL_SLOTS];
    inst_cel_issues_init(&issues, &program->arena);
    declare(&vars, decls);
    program->root = inst_cel_parse(&program->arena, text, len, &issues);
    if (program->root && !issues.first && !issues.failed &&
        inst_cel_check(program->root, decls, scope_slots[scope], &vars, &issues))
        inst_cel_visit(program->root, note_use, program);
    program->uses_caller |= program->root && is_request(program->root);
    program->issues = issues.first;
    if (issues.failed || vars.failed || (!program->root && !issues.first)) {
        inst_cel_program_free(program);
        return inst_err_nomem(err);
    }
    *out = program;
    return INST_OK;
}

void inst_cel_program_free(struct inst_cel_program *program) {
    if (!program)
        return;
    inst_arena_free(&program->arena);
    free(program);
}

/* ---- evaluating ---- */

static struct inst_cel_value object(const struct inst_cel_bindings *bindings,
                                    enum inst_cel_object which, bool may_be_unbound) {
    const struct inst_value *json = bindings->objects[which];
    if (json && json->tag != INST_OBJECT)
        json = NULL;
    if (!json && may_be_unbound)
        return (struct inst_cel_value){.tag = INST_CEL_V_UNBOUND};
    return (struct inst_cel_value){
        .tag = INST_CEL_V_OBJECT, .object = (uint8_t)which, .u.json = json};
}

void inst_cel_fill_values(const struct inst_cel_bindings *bindings,
                          struct inst_cel_value values[INST_CEL_SLOTS]) {
    const struct inst_cel_value all[INST_CEL_SLOTS] = {
        [INST_CEL_SLOT_DATA] = object(bindings, INST_CEL_DATA, false),
        [INST_CEL_SLOT_AUTH] = object(bindings, INST_CEL_AUTH, false),
        [INST_CEL_SLOT_RULE_PARAMS] = object(bindings, INST_CEL_RULE_PARAMS, false),
        [INST_CEL_SLOT_REQUEST] = {.tag = INST_CEL_V_REQUEST},
        [INST_CEL_SLOT_RATE_LIMIT] = {.tag = INST_CEL_V_RATE_LIMITS},
        [INST_CEL_SLOT_NEW_DATA] = object(bindings, INST_CEL_NEW_DATA, true),
        [INST_CEL_SLOT_LINKED_DATA] = object(bindings, INST_CEL_LINKED_DATA, true),
        [INST_CEL_SLOT_ACTIONS] = object(bindings, INST_CEL_ACTIONS, true),
    };
    memcpy(values, all, sizeof all);
}

bool inst_cel_program_run_counted(const struct inst_cel_program *program,
                                  const struct inst_cel_bindings *bindings,
                                  const struct inst_cel_host *host, struct inst_arena *arena,
                                  uint32_t max_steps, struct inst_cel_value *out,
                                  struct inst_cel_error *error, uint32_t *steps) {
    struct inst_cel_value values[INST_CEL_SLOTS];
    inst_cel_fill_values(bindings, values);
    struct inst_cel_run run = {
        .arena = arena,
        .values = values,
        .request = &bindings->request,
        .host = host,
        .max_steps = max_steps,
    };
    bool ok = inst_cel_evaluate(&run, program->root, out);
    *steps = run.steps;
    if (!ok)
        *error = run.error;
    return ok;
}

bool inst_cel_program_run(const struct inst_cel_program *program,
                          const struct inst_cel_bindings *bindings,
                          const struct inst_cel_host *host, struct inst_arena *arena,
                          uint32_t max_steps, struct inst_cel_value *out,
                          struct inst_cel_error *error) {
    uint32_t steps;
    return inst_cel_program_run_counted(program, bindings, host, arena, max_steps, out, error,
                                        &steps);
}

bool inst_cel_allows(const struct inst_cel_value *value) {
    return value->tag != INST_CEL_V_NULL && !(value->tag == INST_CEL_V_BOOL && !value->u.b);
}

/* ---- walking ---- */

void inst_cel_visit(const struct inst_cel_node *root, inst_cel_visit_fn *fn, void *ctx) {
    fn(ctx, root);
    for (uint32_t i = 0; i < root->count; i++)
        inst_cel_visit(root->args[i], fn, ctx);
}

struct hidden {
    const struct hidden *outer;
    const char *name;
};

static void walk(const struct inst_cel_node *node, const struct hidden *hidden,
                 void (*fn)(void *ctx, const char *name), void *ctx) {
    if (node->kind == INST_CEL_N_IDENT) {
        for (const struct hidden *h = hidden; h; h = h->outer)
            if (strcmp(h->name, node->name) == 0)
                return;
        fn(ctx, node->name);
        return;
    }
    struct hidden own = {hidden, node->name};
    bool has_variable = node->kind >= INST_CEL_N_ALL;
    for (uint32_t i = 0; i < node->count; i++)
        walk(node->args[i], has_variable && i > 0 ? &own : hidden, fn, ctx);
}

void inst_cel_free_names(const struct inst_cel_node *root, void (*fn)(void *ctx, const char *name),
                         void *ctx) {
    walk(root, NULL, fn, ctx);
}
