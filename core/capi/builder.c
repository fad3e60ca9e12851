/*
 * builder.c - values piece by piece.
 *
 *     frame ── frame ── frame      open objects and arrays, innermost last
 *
 * The first mistake in a value makes it the broken value, a tag of our own whose payload says what
 * was wrong (NULL: there was no memory).
 */
#include "capi/capi.h"

#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BROKEN 255 /* no tag of base/value.h */

struct frame {
    struct frame *up;
    bool is_object;
    struct inst_object_builder object;
    struct inst_array_builder array;
    const char *key; /* NULL: none is waiting */
    size_t key_len;
    size_t depth;
};

struct instant_builder {
    struct inst_arena arena;
    struct frame *top; /* NULL: between values */
    bool is_done;      /* value is finished */
    struct inst_value value;
    bool is_broken;
    const char *why; /* on the arena, or forever; NULL: no memory */
};

static const struct inst_value no_memory = {.tag = BROKEN};

enum inst_status inst_capi_take(const struct instant_value *value, struct inst_value *out,
                                struct inst_err *err) {
    *out = value ? *inst_capi_in(value) : inst_undefined();
    if (out->tag != BROKEN)
        return INST_OK;
    const char *why = out->u.str;
    *out = inst_undefined();
    return why ? inst_err_set(err, "param-malformed", 400, "%s", why) : inst_err_nomem(err);
}

/* ---- life ---- */

struct instant_builder *instant_builder_new(void) {
    struct instant_builder *b = calloc(1, sizeof *b);
    if (b)
        inst_arena_init(&b->arena);
    return b;
}

static void start_over(struct instant_builder *b) {
    b->top = NULL;
    b->is_done = b->is_broken = false;
    b->why = NULL;
}

void instant_builder_clear(struct instant_builder *b) {
    inst_arena_reset(&b->arena);
    start_over(b);
}

void instant_builder_free(struct instant_builder *b) {
    if (!b)
        return;
    inst_arena_free(&b->arena);
    free(b);
}

/* ---- mistakes ---- */

static void mistake(struct instant_builder *b, const char *why) {
    if (!b->is_broken)
        b->why = why;
    b->is_broken = true;
}

static void out_of_memory(struct instant_builder *b) { mistake(b, NULL); }

static const struct instant_value *kept(struct instant_builder *b, struct inst_value value) {
    struct inst_value *copy = inst_arena_alloc(&b->arena, sizeof *copy);
    if (!copy)
        return inst_capi_out(&no_memory);
    *copy = value;
    return inst_capi_out(copy);
}

static struct inst_value broken(const char *why) {
    return (struct inst_value){.tag = BROKEN, .u.str = why};
}

/* ---- whole texts ---- */

const struct instant_value *instant_parse_n(struct instant_builder *b, const char *json,
                                            size_t len) {
    struct inst_value value;
    struct inst_err err = {0};
    if (inst_json_parse(&b->arena, json, len, &value, &err) != INST_OK) {
        bool is_known = strcmp(err.type, "out-of-memory") != 0;
        value =
            broken(is_known ? inst_arena_dup(&b->arena, err.message, strlen(err.message)) : NULL);
        inst_err_clear(&err);
    }
    return kept(b, value);
}

const struct instant_value *instant_parse(struct instant_builder *b, const char *json) {
    return instant_parse_n(b, json, strlen(json));
}

/* ---- pieces ---- */

static void add(struct instant_builder *b, struct inst_value value) {
    struct frame *top = b->top;
    if (b->is_broken)
        return;
    if (!top) {
        if (b->is_done)
            mistake(b, "A value was built behind another one: instant_built was not called.");
        b->value = value;
        b->is_done = true;
    } else if (!top->is_object) {
        inst_array_add(&top->array, value);
    } else if (!top->key) {
        mistake(b, "A value was built in an object without instant_build_key in front of it.");
    } else {
        inst_object_add(&top->object, top->key, top->key_len, value);
        top->key = NULL;
    }
}

static void begin(struct instant_builder *b, bool is_object) {
    size_t depth = b->top ? b->top->depth + 1 : 1;
    if (depth > INST_JSON_MAX_DEPTH) {
        mistake(b, "The value is nested too deep.");
        return;
    }
    if (b->top && b->top->is_object && !b->top->key)
        mistake(b, "A value was built in an object without instant_build_key in front of it.");
    if (!b->top && b->is_done)
        mistake(b, "A value was built behind another one: instant_built was not called.");
    struct frame *frame = b->is_broken ? NULL : inst_arena_zalloc(&b->arena, sizeof *frame);
    if (!frame) {
        out_of_memory(b);
        return;
    }
    frame->up = b->top;
    frame->is_object = is_object;
    frame->depth = depth;
    inst_object_begin(&frame->object, &b->arena);
    inst_array_begin(&frame->array, &b->arena);
    b->top = frame;
}

void instant_build_object(struct instant_builder *b) { begin(b, true); }

void instant_build_array(struct instant_builder *b) { begin(b, false); }

void instant_build_end(struct instant_builder *b) {
    struct frame *frame = b->top;
    if (b->is_broken)
        return;
    if (!frame) {
        mistake(b, "instant_build_end was called without an open object or array.");
        return;
    }
    if (frame->key) {
        mistake(b, "An object ends behind a key that has no value.");
        return;
    }
    struct inst_value value;
    bool is_whole = frame->is_object ? inst_object_end(&frame->object, &value)
                                     : inst_array_end(&frame->array, &value);
    if (!is_whole) {
        out_of_memory(b);
        return;
    }
    b->top = frame->up;
    add(b, value);
}

/* A copy on the arena; NULL: the builder is broken. */
static const char *keep(struct instant_builder *b, const char *bytes, size_t len) {
    if (!inst_text_is_utf8(bytes, len)) {
        mistake(b, "A string is not valid UTF-8.");
    } else if (len >= UINT32_MAX) {
        mistake(b, "A string is too long.");
    }
    if (b->is_broken)
        return NULL;
    const char *copy = inst_arena_dup(&b->arena, bytes, len);
    if (!copy)
        out_of_memory(b);
    return copy;
}

void instant_build_key(struct instant_builder *b, const char *key) {
    if (!b->top || !b->top->is_object || b->top->key) {
        mistake(b, "A key was built outside of an object, or behind another key.");
        return;
    }
    b->top->key_len = strlen(key);
    b->top->key = keep(b, key, b->top->key_len);
}

void instant_build_null(struct instant_builder *b) { add(b, inst_null()); }

void instant_build_bool(struct instant_builder *b, bool value) { add(b, inst_bool(value)); }

void instant_build_number(struct instant_builder *b, double value) {
    if (isfinite(value))
        add(b, inst_number(value));
    else
        mistake(b, "NaN and infinities are no values.");
}

void instant_build_string_n(struct instant_builder *b, const char *bytes, size_t len) {
    const char *copy = keep(b, bytes, len);
    if (copy)
        add(b, inst_string(copy, len));
}

void instant_build_string(struct instant_builder *b, const char *text) {
    instant_build_string_n(b, text, strlen(text));
}

void instant_build_date(struct instant_builder *b, double ms) { add(b, inst_date(ms)); }

void instant_build_value(struct instant_builder *b, const struct instant_value *value) {
    struct inst_value copy;
    const struct inst_value *in = inst_capi_in(value);
    if (b->is_broken)
        return;
    if (in && in->tag == BROKEN) {
        const char *why = in->u.str;
        mistake(b, why ? inst_arena_dup(&b->arena, why, strlen(why)) : NULL);
    } else if (instant_value_type(value) == INSTANT_ABSENT) {
        mistake(b, "instant_build_value was given an absent value.");
    } else if (!inst_value_dup(&b->arena, in, &copy)) {
        out_of_memory(b);
    } else {
        add(b, copy);
    }
}

const struct instant_value *instant_built(struct instant_builder *b) {
    if (b->top)
        mistake(b, "An object or array was begun and not ended.");
    else if (!b->is_done)
        mistake(b, "Nothing was built.");
    struct inst_value value = b->is_broken ? broken(b->why) : b->value;
    start_over(b);
    return kept(b, value);
}
