/*
 * compile.h - what both compilers of conditions share: named slots, growing lists of steps.
 *
 * Not part of the floor's interface; only pattern.c and server_pattern.c include it.
 */
#ifndef INST_INSTAQL_COMPILE_H
#define INST_INSTAQL_COMPILE_H

#include "instaql/pattern.h"

/* Suffixes that renaming appends to a variable's name: "-0-2" is {0, 2}. */
struct inst_suffix {
    const struct inst_suffix *outer;
    uint32_t index;
};

struct inst_slot_name {
    const char *name;
    size_t len;
};

struct inst_compiler {
    const struct inst_compile *in;
    struct inst_spec *spec;
    enum inst_spec_state state; /* anything but OK ends the compilation */
    struct inst_spec_error thrown;
    enum inst_status status; /* a limit, a refusal, out of memory */
    struct inst_err *err;
    struct inst_buf name; /* scratch */
    struct inst_slot_name *names;
    uint32_t name_cap;
    uint32_t depth; /* of nested lists */
};

struct inst_step_list {
    struct inst_compiler *c;
    struct inst_step *items;
    uint32_t count;
    uint32_t cap;
};

bool inst_compile_is_ok(const struct inst_compiler *c);
/* All give up the compilation; false for `return`. */
bool inst_compile_nomem(struct inst_compiler *c);
bool inst_compile_not_found(struct inst_compiler *c);
bool inst_compile_throw(struct inst_compiler *c, const char *type, const char *message);
bool inst_compile_limit(struct inst_compiler *c, const char *what, unsigned limit);

/* The variable ?etype-level, renamed by suffix unless it is the form's own. */
uint32_t inst_compile_var(struct inst_compiler *c, const char *etype, size_t len, uint32_t level,
                          const struct inst_suffix *suffix);
/* The variable of exactly this name; *is_new says whether it was made. */
uint32_t inst_compile_slot(struct inst_compiler *c, const char *name, size_t len, bool *is_new);

/* Room for one more step, zeroed with time_slot -1; NULL: given up. */
struct inst_step *inst_compile_add(struct inst_step_list *list);
struct inst_step_list inst_compile_list(struct inst_compiler *c);
struct inst_steps inst_compile_end(struct inst_step_list *list);

/* A link step from ?etype-level along label; *etype and *level become the target's. */
bool inst_compile_link(struct inst_compiler *c, struct inst_step_list *list,
                       const struct inst_suffix *suffix, struct inst_value *etype, uint32_t *level,
                       const char *label, size_t len);
/* The step that joins a child form to its parent's row. */
bool inst_compile_join(struct inst_compiler *c, struct inst_step_list *list);

struct inst_term inst_term_slot(uint32_t slot);
struct inst_term inst_term_value(const struct inst_value *v);

/* Runs once per compilation. */
bool inst_compile_begin(struct inst_compiler *c, const struct inst_compile *in,
                        struct inst_spec *spec, struct inst_err *err);
enum inst_status inst_compile_finish(struct inst_compiler *c, struct inst_step_list *list,
                                     enum inst_spec_state *state, struct inst_spec_error *thrown);

/* The next label of a dotted path from *pos; false when there is none. "" has one label, "". */
bool inst_path_next(const char *path, size_t len, size_t *pos, const char **label,
                    size_t *label_len);

#endif
