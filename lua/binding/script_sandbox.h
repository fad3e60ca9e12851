/*
 * script_sandbox.h - one bounded run of Lua code that somebody else wrote, or fed.
 *
 *     region (memory)  ──  a new lua_State, or an image of one  ──  body  ──  the region is cleared
 *                                 │
 *               a limit is met: longjmp out of it, whatever it was doing
 *
 * Every run has a state of its own, made for it and thrown away: nothing that one run did is there
 * in the next, and a state may be abandoned at any point. What every run begins with is done once,
 * and an image taken of the state's memory: the next runs get a copy of its bytes. So a limit is no
 * Lua error: no pcall catches it, no handler, finalizer or coroutine sees it. What a run holds
 * outside its region hangs on its arena.
 *
 *     memory    the region's limit; an ordinary Lua error ("not enough memory"), which code may
 *               catch, since nothing is past the limit
 *     steps     instructions of the machine, looked at every INST_SANDBOX_HOOK of them; functions
 *               of C that take time by the size of their arguments spend steps for it
 *     time      of the processor; looked at with the steps, and before each large block of memory;
 *               INST_SANDBOX_PATIENCE times as much by the clock
 *
 * What passes between Lua and the engine is outside the region: each value is held to the same
 * limits before it is converted, and here the memory's cannot be caught either.
 *
 * The libraries are an allow-list; its reasons are in script_libs.c. Bytecode runs only when it
 * comes from inst_sandbox_compile. For Lua 5.4 (LuaJIT's compiled code calls no hooks).
 */
#ifndef INST_LUA_SCRIPT_SANDBOX_H
#define INST_LUA_SCRIPT_SANDBOX_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "base/value.h"
#include "compat.h"
#include "script_region.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#define INST_SANDBOX_MEMORY ((size_t)32 << 20)
#define INST_SANDBOX_STEPS 10000000
#define INST_SANDBOX_MS 500
/* Instructions between two looks at the limits. */
#define INST_SANDBOX_HOOK 250
/* Bytes of a string that are worked on for one step. */
#define INST_SANDBOX_BYTES_A_STEP 16u
/* Nothing is collected below this: most runs end before it would pay. */
#define INST_SANDBOX_QUIET ((size_t)4 << 20)
/* Lines that one run may print, and the bytes of each. */
#define INST_SANDBOX_LINES 100
#define INST_SANDBOX_LINE 8192
/* How many times the processor's time a run may take by the clock. */
#define INST_SANDBOX_PATIENCE 10

struct inst_sandbox_limits {
    size_t memory; /* bytes */
    int64_t steps;
    int64_t ms;
};

enum inst_sandbox_end {
    INST_SANDBOX_RUNS,
    INST_SANDBOX_OUT_OF_STEPS,
    INST_SANDBOX_OUT_OF_TIME,
    INST_SANDBOX_OUT_OF_PATIENCE,
    INST_SANDBOX_OUT_OF_MEMORY
};

struct inst_sandbox {
    lua_State *L;
    struct inst_region region;
    struct inst_arena arena; /* what the run holds besides; freed with it */
    struct inst_sandbox_limits limits;
    const struct inst_env *env;
    void *owner; /* whoever runs it */
    /* ---- script_sandbox.c's own ---- */
    jmp_buf stop;
    lua_CFunction body;
    const struct inst_sandbox_image *from; /* NULL: a new state */
    struct inst_sandbox_image *to;         /* NULL: nothing is kept */
    enum inst_sandbox_end end;
    int64_t steps_left;
    int64_t began;     /* ms that the thread had run */
    int64_t began_at;  /* by the clock */
    int64_t look_at;   /* coarse monotonic ms: when it may have run too long */
    unsigned lines;    /* printed */
    size_t converted;  /* bytes of the value being converted */
    size_t collect_at; /* bytes of the region at which garbage is collected */
    struct inst_buf trace;
    struct inst_err failure;
};

/* A state that has run something, to begin from; of one sandbox, which stays where it is. */
struct inst_sandbox_image {
    struct inst_region_image memory;
    lua_State *L;
};

/* Takes no memory yet. */
void inst_sandbox_init(struct inst_sandbox *box, const struct inst_env *env,
                       const struct inst_sandbox_limits *limits, void *owner);
/* Calls body, with nothing on its stack, in a new state. err: the table {type?, message, hint?,
 * status?} that was raised; type "function-limit" for what went past a limit; "function-failed" for
 * anything else, which is a mistake in the script: its message begins with file and line. */
enum inst_status inst_sandbox_run(struct inst_sandbox *box, lua_CFunction body,
                                  struct inst_err *err);
/* The same, and keeps the state as it is then; image->L NULL: it is too large for that. */
enum inst_status inst_sandbox_prepare(struct inst_sandbox *box, lua_CFunction body,
                                      struct inst_sandbox_image *image, struct inst_err *err);
/* Runs body in a copy of the image. */
enum inst_status inst_sandbox_run_from(struct inst_sandbox *box,
                                       const struct inst_sandbox_image *image, lua_CFunction body,
                                       struct inst_err *err);
void inst_sandbox_image_free(struct inst_sandbox_image *image);
/* Where the last run failed, as lines; "" when that is not known. Good until the next run. */
const char *inst_sandbox_trace(const struct inst_sandbox *box);
void inst_sandbox_free(struct inst_sandbox *box);

/* ---- inside a run ---- */
struct inst_sandbox *inst_sandbox_of(lua_State *L);
/* What a function of C did takes from the budget. Does not come back when that is used up. */
void inst_sandbox_spend(lua_State *L, uint64_t steps);
/* The value at index, on the arena and within the limits; the strings are Lua's. */
enum inst_status inst_sandbox_to_value(lua_State *L, int index, struct inst_value *out,
                                       struct inst_err *err);
/* The same, raises the error. */
void inst_sandbox_check_value(lua_State *L, int index, struct inst_value *out);
/* Pushes what is written as JSON, within the limits. */
enum inst_status inst_sandbox_push_json(lua_State *L, const char *json, size_t len,
                                        struct inst_err *err);
/* Raises err, which is cleared, as {type, message, hint, status}. */
int inst_sandbox_raise(lua_State *L, struct inst_err *err);

/* ---- script_libs.c ---- */
/* The globals that code in the sandbox sees. */
void inst_script_open_libs(lua_State *L);

/* Text to bytecode, appended; without lines and names when it is stripped. err: "function-failed"
 * with file and line. */
enum inst_status inst_sandbox_compile(struct inst_sandbox *box, const char *name, const char *text,
                                      size_t len, bool strips, struct inst_buf *code,
                                      struct inst_err *err);

#endif
