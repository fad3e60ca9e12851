/* steps.c - the steps of instant_transact become chunks, one each. */
#include "capi/capi.h"

#include "instaml/chunks.h"

static enum inst_status refuse(size_t index, const struct inst_value *step, struct inst_err *err) {
    return inst_err_set(
        err, "validation-failed", 400,
        "transact: step %zu must be like [\"update\", namespace, id, {...}], got %s", index + 1,
        inst_capi_type_name(step));
}

/* A lookup may be text, as the official client's lookup() makes it. */
static enum inst_status read_id(struct inst_arena *arena, const struct inst_value *id,
                                struct inst_value *out, struct inst_err *err) {
    *out = *id;
    return id->tag == INST_STRING ? inst_chunk_id(arena, id->u.str, id->len, out, err) : INST_OK;
}

static enum inst_status read_step(struct inst_arena *arena, size_t index,
                                  const struct inst_value *step, struct inst_value *out,
                                  struct inst_err *err) {
    if (step->tag == INST_OBJECT && inst_getz(step, "__ops")) {
        *out = *step;
        return INST_OK;
    }
    bool is_step = step->tag == INST_ARRAY && step->len >= 3 && step->len <= 5 &&
                   step->u.items[0].tag == INST_STRING && step->u.items[1].tag == INST_STRING;
    if (!is_step)
        return refuse(index, step, err);
    struct inst_value *op = inst_arena_alloc(arena, step->len * sizeof *op);
    struct inst_value *ops = inst_arena_alloc(arena, sizeof *ops);
    if (!op || !ops)
        return inst_err_nomem(err);
    memcpy(op, step->u.items, step->len * sizeof *op);
    enum inst_status status = read_id(arena, &step->u.items[2], &op[2], err);
    if (status != INST_OK)
        return status;
    *ops = inst_array(op, step->len);
    struct inst_object_builder chunk;
    inst_object_begin(&chunk, arena);
    inst_object_addz(&chunk, "__etype", op[1]);
    inst_object_addz(&chunk, "__ops", inst_array(ops, 1));
    return inst_object_end(&chunk, out) ? INST_OK : inst_err_nomem(err);
}

enum inst_status inst_capi_chunks(struct inst_arena *arena, const struct inst_value *steps,
                                  struct inst_value *out, struct inst_err *err) {
    bool is_one =
        steps->tag != INST_ARRAY || (steps->len > 0 && steps->u.items[0].tag == INST_STRING);
    size_t count = is_one ? 1 : steps->len;
    struct inst_value *chunks = inst_arena_alloc(arena, (count ? count : 1) * sizeof *chunks);
    if (!chunks)
        return inst_err_nomem(err);
    for (size_t i = 0; i < count; i++) {
        const struct inst_value *step = is_one ? steps : &steps->u.items[i];
        enum inst_status status = read_step(arena, i, step, &chunks[i], err);
        if (status != INST_OK)
            return status;
    }
    *out = inst_array(chunks, count);
    return INST_OK;
}
