#include "rules/cel_cond.h"

#include <string.h>

const struct inst_cel_cond inst_cel_always = {.kind = INST_CEL_C_ALWAYS};
const struct inst_cel_cond inst_cel_never = {.kind = INST_CEL_C_NEVER};

const struct inst_cel_cond *inst_cel_cond_is(struct inst_arena *arena, const char *path,
                                             size_t path_len, const char *op, struct inst_value v) {
    struct inst_cel_cond *cond = inst_arena_zalloc(arena, sizeof *cond);
    if (cond)
        *cond = (struct inst_cel_cond){
            .kind = INST_CEL_C_IS, .path = path, .path_len = path_len, .op = op, .v = v};
    return cond;
}

const struct inst_cel_cond *inst_cel_cond_join(struct inst_arena *arena,
                                               enum inst_cel_cond_kind kind,
                                               const struct inst_cel_cond *const *items,
                                               size_t count) {
    bool is_and = kind == INST_CEL_C_AND;
    enum inst_cel_cond_kind decides = is_and ? INST_CEL_C_NEVER : INST_CEL_C_ALWAYS;
    enum inst_cel_cond_kind drops = is_and ? INST_CEL_C_ALWAYS : INST_CEL_C_NEVER;
    size_t most = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i]->kind == decides)
            return items[i];
        most += items[i]->kind == kind ? items[i]->count : 1;
    }
    const struct inst_cel_cond **list = inst_arena_alloc(arena, (most + 1) * sizeof *list);
    struct inst_cel_cond *cond = inst_arena_zalloc(arena, sizeof *cond);
    if (!list || !cond)
        return NULL;
    *cond = (struct inst_cel_cond){.kind = kind, .items = list};
    for (size_t i = 0; i < count; i++) {
        if (items[i]->kind == kind)
            for (uint32_t k = 0; k < items[i]->count; k++)
                list[cond->count++] = items[i]->items[k];
        else if (items[i]->kind != drops)
            list[cond->count++] = items[i];
    }
    if (cond->count > 1)
        return cond;
    return cond->count == 1 ? list[0] : is_and ? &inst_cel_always : &inst_cel_never;
}

/* Recursion is as deep as the expression was nested. */
bool inst_cel_cond_where(struct inst_arena *arena, const struct inst_cel_cond *cond,
                         struct inst_value *out) {
    struct inst_object_builder b;
    struct inst_value inner = cond->v;
    inst_object_begin(&b, arena);
    if (cond->kind == INST_CEL_C_IS) {
        if (cond->op) {
            struct inst_object_builder test;
            inst_object_begin(&test, arena);
            inst_object_addz(&test, cond->op, cond->v);
            if (!inst_object_end(&test, &inner))
                return false;
        }
        inst_object_add(&b, cond->path, cond->path_len, inner);
        return inst_object_end(&b, out);
    }
    struct inst_array_builder list;
    inst_array_begin(&list, arena);
    for (uint32_t i = 0; i < cond->count; i++) {
        if (!inst_cel_cond_where(arena, cond->items[i], &inner))
            return false;
        inst_array_add(&list, inner);
    }
    if (!inst_array_end(&list, &inner))
        return false;
    inst_object_addz(&b, cond->kind == INST_CEL_C_AND ? "and" : "or", inner);
    return inst_object_end(&b, out);
}
