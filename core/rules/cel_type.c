#include "rules/cel_type.h"

#include <string.h>

const struct inst_cel_type *inst_cel_simple(enum inst_cel_kind kind) {
    static const struct inst_cel_type simple[] = {
        {.kind = INST_CEL_DYN},      {.kind = INST_CEL_NULL},    {.kind = INST_CEL_BOOL},
        {.kind = INST_CEL_INT},      {.kind = INST_CEL_UINT},    {.kind = INST_CEL_DOUBLE},
        {.kind = INST_CEL_STRING},   {.kind = INST_CEL_BYTES},   {.kind = INST_CEL_TIMESTAMP},
        {.kind = INST_CEL_DURATION}, {.kind = INST_CEL_DYN},     {.kind = INST_CEL_DYN},
        {.kind = INST_CEL_TYPE},     {.kind = INST_CEL_REQUEST}, {.kind = INST_CEL_BUCKET},
        {.kind = INST_CEL_DYN},
    };
    return &simple[kind];
}

static const struct inst_cel_type *make(struct inst_cel_vars *vars, enum inst_cel_kind kind,
                                        const struct inst_cel_type *a,
                                        const struct inst_cel_type *b) {
    struct inst_cel_type *type = inst_arena_zalloc(vars->arena, sizeof *type);
    if (!type) {
        vars->failed = true;
        return inst_cel_simple(INST_CEL_DYN);
    }
    type->kind = kind;
    type->a = a;
    type->b = b;
    return type;
}

const struct inst_cel_type *inst_cel_list_of(struct inst_cel_vars *vars,
                                             const struct inst_cel_type *element) {
    return make(vars, INST_CEL_LIST, element, NULL);
}

const struct inst_cel_type *inst_cel_map_of(struct inst_cel_vars *vars,
                                            const struct inst_cel_type *key,
                                            const struct inst_cel_type *value) {
    return make(vars, INST_CEL_MAP, key, value);
}

const struct inst_cel_type *inst_cel_type_of(struct inst_cel_vars *vars,
                                             const struct inst_cel_type *type) {
    return make(vars, INST_CEL_TYPE, type, NULL);
}

const struct inst_cel_type *inst_cel_new_var(struct inst_cel_vars *vars) {
    if (vars->count == vars->cap) {
        uint32_t cap = vars->cap ? vars->cap * 2 : 16;
        const struct inst_cel_type **bound = inst_arena_alloc(vars->arena, cap * sizeof *bound);
        if (!bound) {
            vars->failed = true;
            return inst_cel_simple(INST_CEL_DYN);
        }
        if (vars->count)
            memcpy(bound, vars->bound, vars->count * sizeof *bound);
        vars->bound = bound;
        vars->cap = cap;
    }
    struct inst_cel_type *type = inst_arena_zalloc(vars->arena, sizeof *type);
    if (!type) {
        vars->failed = true;
        return inst_cel_simple(INST_CEL_DYN);
    }
    type->kind = INST_CEL_VAR;
    type->var = vars->count;
    vars->bound[vars->count++] = NULL;
    return type;
}

const struct inst_cel_type *inst_cel_resolve(const struct inst_cel_vars *vars,
                                             const struct inst_cel_type *type) {
    while (type->kind == INST_CEL_VAR && vars->bound[type->var])
        type = vars->bound[type->var];
    return type;
}

/* Does the variable occur in type? Binding it to that would have no end. */
static bool occurs(const struct inst_cel_vars *vars, uint32_t var,
                   const struct inst_cel_type *type) {
    type = inst_cel_resolve(vars, type);
    if (type->kind == INST_CEL_VAR)
        return type->var == var;
    return (type->a && occurs(vars, var, type->a)) || (type->b && occurs(vars, var, type->b));
}

static bool bind(struct inst_cel_vars *vars, const struct inst_cel_type *var,
                 const struct inst_cel_type *type) {
    if (type->kind == INST_CEL_VAR && type->var == var->var)
        return true;
    if (occurs(vars, var->var, type))
        return false;
    vars->bound[var->var] = type;
    return true;
}

static bool is_nullable(enum inst_cel_kind kind) {
    return kind == INST_CEL_TIMESTAMP || kind == INST_CEL_DURATION || kind == INST_CEL_REQUEST ||
           kind == INST_CEL_BUCKET;
}

bool inst_cel_fits(struct inst_cel_vars *vars, const struct inst_cel_type *from,
                   const struct inst_cel_type *to) {
    /* The last variable of a chain, so that a more general type can take the place of what it
     * stands for: in `[1] == [dyn(1)]` %A becomes dyn. */
    const struct inst_cel_type *var = to;
    while (var->kind == INST_CEL_VAR && vars->bound[var->var] &&
           vars->bound[var->var]->kind == INST_CEL_VAR)
        var = vars->bound[var->var];
    from = inst_cel_resolve(vars, from);
    to = inst_cel_resolve(vars, to);
    if (to->kind == INST_CEL_VAR)
        return bind(vars, to, from);
    if (from->kind == INST_CEL_VAR)
        return bind(vars, from, to);
    if (from->kind == INST_CEL_DYN || to->kind == INST_CEL_DYN) {
        if (var->kind == INST_CEL_VAR)
            vars->bound[var->var] = inst_cel_simple(INST_CEL_DYN);
        return true;
    }
    if (from->kind == INST_CEL_NULL && is_nullable(to->kind))
        return true;
    if (from->kind != to->kind)
        return false;
    if (from->kind == INST_CEL_TYPE)
        return true;
    return (!from->a || inst_cel_fits(vars, from->a, to->a)) &&
           (!from->b || inst_cel_fits(vars, from->b, to->b));
}

/* Is one the same as other, or the same with dyn or a variable for some part? */
static bool is_as_general(const struct inst_cel_vars *vars, const struct inst_cel_type *one,
                          const struct inst_cel_type *other) {
    one = inst_cel_resolve(vars, one);
    other = inst_cel_resolve(vars, other);
    if (one->kind == INST_CEL_DYN)
        return true;
    if (one->kind != other->kind)
        return one->kind == INST_CEL_VAR;
    return (!one->a || !other->a || is_as_general(vars, one->a, other->a)) &&
           (!one->b || !other->b || is_as_general(vars, one->b, other->b));
}

const struct inst_cel_type *inst_cel_common(struct inst_cel_vars *vars,
                                            const struct inst_cel_type *one,
                                            const struct inst_cel_type *other) {
    uint32_t count = vars->count;
    const struct inst_cel_type **saved = inst_cel_save(vars);
    if (inst_cel_fits(vars, other, one))
        return is_as_general(vars, other, one) ? other : one;
    inst_cel_undo(vars, saved, count);
    return inst_cel_simple(INST_CEL_DYN);
}

bool inst_cel_same(const struct inst_cel_vars *vars, const struct inst_cel_type *one,
                   const struct inst_cel_type *other) {
    one = inst_cel_resolve(vars, one);
    other = inst_cel_resolve(vars, other);
    if (one == other)
        return true;
    if (one->kind != other->kind || one->kind == INST_CEL_VAR)
        return false;
    return (!one->a || !other->a || inst_cel_same(vars, one->a, other->a)) &&
           (!one->b || !other->b || inst_cel_same(vars, one->b, other->b));
}

const struct inst_cel_type **inst_cel_save(struct inst_cel_vars *vars) {
    size_t size = (vars->count + 1) * sizeof *vars->bound;
    const struct inst_cel_type **saved = inst_arena_alloc(vars->arena, size);
    if (!saved)
        vars->failed = true;
    else if (vars->count)
        memcpy(saved, vars->bound, vars->count * sizeof *saved);
    return saved;
}

void inst_cel_undo(struct inst_cel_vars *vars, const struct inst_cel_type **saved,
                   uint32_t saved_count) {
    if (saved && saved_count)
        memcpy(vars->bound, saved, saved_count * sizeof *saved);
    for (uint32_t i = saved_count; i < vars->count; i++)
        vars->bound[i] = NULL;
}

void inst_cel_type_text(const struct inst_cel_vars *vars, const struct inst_cel_type *type,
                        struct inst_buf *out) {
    static const char *const names[] = {
        "dyn",
        "null_type",
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "list",
        "map",
        "type",
        "instant.Request",
        "instant.RateLimit",
        "dyn",
    };
    type = inst_cel_resolve(vars, type);
    inst_buf_add_str(out, names[type->kind]);
    if (!type->a)
        return;
    inst_buf_add_char(out, '(');
    inst_cel_type_text(vars, type->a, out);
    if (type->b) {
        inst_buf_add_str(out, ", ");
        inst_cel_type_text(vars, type->b, out);
    }
    inst_buf_add_char(out, ')');
}
