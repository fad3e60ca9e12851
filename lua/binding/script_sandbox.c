#include "compat.h"

#if LUA_VERSION_NUM >= 504

#include "script_sandbox.h"

#include "base/json.h"
#include "value.h"

#include <string.h>
#include <time.h>

static int64_t clock_ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t coarse_ms(void) { return clock_ms(CLOCK_MONOTONIC_COARSE); }

static int64_t processor_ms(void) { return clock_ms(CLOCK_THREAD_CPUTIME_ID); }

struct inst_sandbox *inst_sandbox_of(lua_State *L) {
    struct inst_sandbox *box;
    memcpy(&box, lua_getextraspace(L), sizeof(void *));
    return box;
}

void inst_sandbox_init(struct inst_sandbox *box, const struct inst_env *env,
                       const struct inst_sandbox_limits *limits, void *owner) {
    *box = (struct inst_sandbox){.limits = *limits, .env = env, .owner = owner};
    inst_region_init(&box->region, limits->memory);
    inst_arena_init(&box->arena);
    inst_buf_init(&box->trace);
}

void inst_sandbox_free(struct inst_sandbox *box) {
    inst_region_free(&box->region);
    inst_arena_free(&box->arena);
    inst_buf_free(&box->trace);
}

const char *inst_sandbox_trace(const struct inst_sandbox *box) {
    return box->trace.data ? box->trace.data : "";
}

/* ---- limits ---- */

static void stop(struct inst_sandbox *box, enum inst_sandbox_end why) {
    box->end = why;
    longjmp(box->stop, 1);
}

static void look_at_clock(void *ctx) {
    struct inst_sandbox *box = ctx;
    int64_t now = coarse_ms();
    if ((box->env->now_ms(box->env->ctx) - box->began_at) / INST_SANDBOX_PATIENCE > box->limits.ms)
        stop(box, INST_SANDBOX_OUT_OF_PATIENCE);
    if (now <= box->look_at)
        return;
    /* The clock on the wall is cheap; what counts is the time that this thread ran: a machine that
     * is busy with something else is not the script's fault. */
    int64_t left = box->limits.ms - (processor_ms() - box->began);
    if (left < 0)
        stop(box, INST_SANDBOX_OUT_OF_TIME);
    box->look_at = now + left;
}

/* Lua's own collector stands still: it does not count what buffers hold while they grow, and most
 * runs end before it would pay. */
static void collect(struct inst_sandbox *box, lua_State *L) {
    lua_gc(L, LUA_GCCOLLECT);
    size_t next = box->region.taken / 2 * 3;
    box->collect_at = next > INST_SANDBOX_QUIET ? next : INST_SANDBOX_QUIET;
}

void inst_sandbox_spend(lua_State *L, uint64_t steps) {
    struct inst_sandbox *box = inst_sandbox_of(L);
    if (steps > (uint64_t)box->steps_left)
        stop(box, INST_SANDBOX_OUT_OF_STEPS);
    box->steps_left -= (int64_t)steps;
    look_at_clock(box);
    if (box->region.taken > box->collect_at)
        collect(box, L);
}

static void on_count(lua_State *L, lua_Debug *ar) {
    (void)ar;
    inst_sandbox_spend(L, INST_SANDBOX_HOOK);
}

/* ---- what passes between Lua and the engine ---- */

/* Bytes of JSON that are read for one step. */
#define JSON_A_STEP 4u

static size_t size_as_json(const char *text, size_t len) {
    size_t size = len;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ')
            size += 5; /* \u001f */
        else if (text[i] == '"' || text[i] == '\\')
            size++;
    return size;
}

static void spend_on_value(lua_State *L, size_t items, const char *text, size_t len) {
    struct inst_sandbox *box = inst_sandbox_of(L);
    inst_sandbox_spend(L, items + len / INST_SANDBOX_BYTES_A_STEP);
    box->converted += items * sizeof(struct inst_value) + size_as_json(text, len);
    if (box->converted > box->limits.memory)
        stop(box, INST_SANDBOX_OUT_OF_MEMORY);
}

enum inst_status inst_sandbox_to_value(lua_State *L, int index, struct inst_value *out,
                                       struct inst_err *err) {
    struct inst_sandbox *box = inst_sandbox_of(L);
    box->converted = box->arena.total;
    return inst_lua_to_value_spending(L, index, &box->arena, spend_on_value, out, err);
}

void inst_sandbox_check_value(lua_State *L, int index, struct inst_value *out) {
    struct inst_err err = {0};
    if (inst_sandbox_to_value(L, index, out, &err) != INST_OK)
        inst_sandbox_raise(L, &err);
}

/* At least as much as reading it takes: a value waits while its list is open, and then is copied.
 */
static size_t size_of_json(const char *json, size_t len) {
    size_t values = 1, members = 0;
    for (size_t i = 0; i < len; i++) {
        values += json[i] == ',' || json[i] == '[' || json[i] == '{';
        members += json[i] == ':';
    }
    return len + 2 * (values * sizeof(struct inst_value) +
                      members * (sizeof(struct inst_member) - sizeof(struct inst_value)));
}

enum inst_status inst_sandbox_push_json(lua_State *L, const char *json, size_t len,
                                        struct inst_err *err) {
    struct inst_sandbox *box = inst_sandbox_of(L);
    struct inst_arena_mark mark = inst_arena_mark(&box->arena);
    struct inst_value value;
    inst_sandbox_spend(L, len / JSON_A_STEP);
    if (box->arena.total + size_of_json(json, len) > box->limits.memory)
        stop(box, INST_SANDBOX_OUT_OF_MEMORY);
    enum inst_status status = inst_json_parse(&box->arena, json, len, &value, err);
    if (status == INST_OK)
        inst_lua_push_value(L, &value);
    inst_arena_rewind(&box->arena, mark);
    return status;
}

/* ---- errors ---- */

/* Types are kept as pointers: those that the engine has, and scripts name again, are few. */
static const char *known_type(const char *type) {
    static const char *const types[] = {
        "function-failed",
        "function-limit",
        "function-refused",
        "permission-denied",
        "validation-failed",
        "param-missing",
        "param-malformed",
        "record-not-found",
        "record-not-unique",
        "sql-raise",
        "sql-exception",
        "app-read-only",
        "app-disabled",
        "rate-limited",
        "data-file",
        "timeout",
        "out-of-memory",
        "rule-not-allowed",
        "permission-evaluation-failed",
    };
    for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i]) == 0)
            return types[i];
    return "function-refused";
}

/* The member of the table at 1 as a text, or NULL; stays on the stack. */
static const char *text_of(lua_State *L, const char *name) {
    lua_pushstring(L, name);
    lua_rawget(L, 1);
    return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
}

static void read_hint(lua_State *L, struct inst_sandbox *box) {
    struct inst_value hint;
    struct inst_buf json;
    lua_pushliteral(L, "hint");
    lua_rawget(L, 1);
    if (!lua_istable(L, -1) || inst_sandbox_to_value(L, -1, &hint, NULL) != INST_OK ||
        hint.tag != INST_OBJECT)
        return;
    inst_buf_init(&json);
    inst_json_write(&json, &hint);
    if (!json.failed)
        inst_err_hint(&box->failure, json.data);
    inst_buf_free(&json);
}

/* The error at 1 into box->failure. */
static int read_error(lua_State *L) {
    struct inst_sandbox *box = inst_sandbox_of(L);
    const char *message = lua_istable(L, 1) ? text_of(L, "message") : NULL;
    if (!message) {
        inst_err_set(&box->failure, "function-failed", 500, "%s", luaL_tolstring(L, 1, NULL));
        return 0;
    }
    const char *type = known_type(text_of(L, "type"));
    lua_pushliteral(L, "status");
    lua_rawget(L, 1);
    lua_Integer status = lua_tointeger(L, -1);
    inst_err_set(&box->failure, type, status >= 400 && status <= 599 ? (int)status : 400, "%s",
                 message);
    read_hint(L, box);
    return 0;
}

static void push_hint(lua_State *L, struct inst_sandbox *box) {
    const char *json = box->failure.hint;
    if (json && inst_sandbox_push_json(L, json, strlen(json), NULL) == INST_OK)
        lua_setfield(L, -2, "hint");
}

int inst_sandbox_raise(lua_State *L, struct inst_err *err) {
    struct inst_sandbox *box = inst_sandbox_of(L);
    /* It is the run's, should Lua have no memory for the table. */
    inst_err_move(&box->failure, err);
    lua_createtable(L, 0, 4);
    lua_pushstring(L, box->failure.type);
    lua_setfield(L, -2, "type");
    lua_pushstring(L, box->failure.message);
    lua_setfield(L, -2, "message");
    lua_pushinteger(L, box->failure.status);
    lua_setfield(L, -2, "status");
    push_hint(L, box);
    inst_lua_set_metatable(L, INST_LUA_ERROR);
    inst_err_clear(&box->failure);
    return lua_error(L);
}

/* The message handler: where it happened, for the log. */
static int note_trace(lua_State *L) {
    struct inst_sandbox *box = inst_sandbox_of(L);
    luaL_traceback(L, L, NULL, 1);
    inst_buf_clear(&box->trace);
    inst_buf_add_str(&box->trace, lua_tostring(L, -1));
    lua_settop(L, 1);
    return 1;
}

/* ---- a run ---- */

static int on_panic(lua_State *L) {
    stop(inst_sandbox_of(L), INST_SANDBOX_RUNS);
    return 0;
}

/* Lua's own seeds are the clock and addresses, which repeat from run to run. */
static void set_seed(lua_State *L, const struct inst_env *env) {
    lua_Integer seed[2];
    env->random(env->ctx, (uint8_t *)seed, sizeof seed);
    lua_getfield(L, LUA_REGISTRYINDEX, "instant.randomseed");
    lua_pushinteger(L, seed[0]);
    lua_pushinteger(L, seed[1]);
    lua_call(L, 2, 0);
}

static int start(lua_State *L) {
    struct inst_sandbox *box = inst_sandbox_of(L);
    luaL_checkstack(L, 20, NULL);
    if (!box->from) {
        inst_script_open_libs(L);
        inst_lua_open_values(L);
        lua_getglobal(L, "math");
        lua_getfield(L, -1, "randomseed");
        lua_setfield(L, LUA_REGISTRYINDEX, "instant.randomseed");
    }
    set_seed(L, box->env);
    lua_settop(L, 0);
    return box->body(L);
}

static void no_memory(struct inst_sandbox *box) {
    inst_err_set(&box->failure, "function-limit", 500, "The function needs more than %zu MB.",
                 box->limits.memory >> 20);
}

static lua_State *new_state(struct inst_sandbox *box) {
    box->region.is_recording = box->to != NULL;
    lua_State *L = lua_newstate(inst_region_alloc, &box->region);
    if (!L)
        return NULL;
    memcpy(lua_getextraspace(L), &box, sizeof(void *));
    lua_atpanic(L, on_panic);
    lua_gc(L, LUA_GCSTOP);
    return L;
}

static lua_State *copy_of(struct inst_sandbox *box) {
    inst_region_load(&box->region, &box->from->memory);
    return box->from->L;
}

static void keep(struct inst_sandbox *box) {
    lua_settop(box->L, 0);
    lua_gc(box->L, LUA_GCCOLLECT);
    box->to->L = inst_region_save(&box->region, &box->to->memory) ? box->L : NULL;
}

static void run(struct inst_sandbox *box) {
    lua_State *L = box->L = box->from ? copy_of(box) : new_state(box);
    if (!L) {
        no_memory(box);
        return;
    }
    lua_sethook(L, on_count, LUA_MASKCOUNT, INST_SANDBOX_HOOK);
    lua_pushcfunction(L, note_trace);
    lua_pushcfunction(L, start);
    int status = lua_pcall(L, 0, 0, 1);
    if (status == LUA_ERRMEM) {
        no_memory(box);
    } else if (status != LUA_OK) {
        lua_pushcfunction(L, read_error);
        lua_insert(L, -2);
        if (lua_pcall(L, 1, 0, 0) != LUA_OK)
            inst_err_set(&box->failure, "function-failed", 500, "The error cannot be read.");
    } else if (box->to) {
        keep(box);
    }
}

static void say_limit(struct inst_sandbox *box) {
    if (box->end == INST_SANDBOX_OUT_OF_STEPS)
        inst_err_set(&box->failure, "function-limit", 500,
                     "The function takes more than %lld steps.", (long long)box->limits.steps);
    else if (box->end == INST_SANDBOX_OUT_OF_TIME)
        inst_err_set(&box->failure, "function-limit", 500,
                     "The function takes longer than %lld ms.", (long long)box->limits.ms);
    else if (box->end == INST_SANDBOX_OUT_OF_PATIENCE)
        inst_err_set(&box->failure, "function-limit", 500,
                     "The function takes longer than %lld ms on the clock.",
                     (long long)box->limits.ms * INST_SANDBOX_PATIENCE);
    else
        no_memory(box);
}

static enum inst_status run_with(struct inst_sandbox *box, lua_CFunction body,
                                 struct inst_err *err) {
    box->body = body;
    box->end = INST_SANDBOX_RUNS;
    box->steps_left = box->limits.steps;
    box->began = processor_ms();
    box->began_at = box->env->now_ms(box->env->ctx);
    box->look_at = coarse_ms() + box->limits.ms;
    box->lines = 0;
    box->collect_at = INST_SANDBOX_QUIET;
    box->region.grows = look_at_clock;
    box->region.ctx = box;
    inst_buf_clear(&box->trace);
    if (setjmp(box->stop) == 0)
        run(box);
    else
        say_limit(box);
    box->L = NULL;
    inst_region_clear(&box->region);
    inst_arena_reset(&box->arena);
    if (!box->failure.type)
        return INST_OK;
    inst_err_move(err, &box->failure);
    return INST_FAILED;
}

enum inst_status inst_sandbox_run(struct inst_sandbox *box, lua_CFunction body,
                                  struct inst_err *err) {
    box->from = NULL;
    box->to = NULL;
    return run_with(box, body, err);
}

enum inst_status inst_sandbox_prepare(struct inst_sandbox *box, lua_CFunction body,
                                      struct inst_sandbox_image *image, struct inst_err *err) {
    *image = (struct inst_sandbox_image){.L = NULL};
    box->from = NULL;
    box->to = image;
    return run_with(box, body, err);
}

enum inst_status inst_sandbox_run_from(struct inst_sandbox *box,
                                       const struct inst_sandbox_image *image, lua_CFunction body,
                                       struct inst_err *err) {
    box->from = image;
    box->to = NULL;
    return run_with(box, body, err);
}

void inst_sandbox_image_free(struct inst_sandbox_image *image) {
    inst_region_image_free(&image->memory);
    image->L = NULL;
}

/* ---- compiling ---- */

struct source {
    const char *name, *text;
    size_t len;
    bool strips;
    struct inst_buf *code;
};

static int add_code(lua_State *L, const void *bytes, size_t len, void *ctx) {
    (void)L;
    inst_buf_add(ctx, bytes, len);
    return 0;
}

static int compile(lua_State *L) {
    const struct source *source = inst_sandbox_of(L)->owner;
    if (luaL_loadbufferx(L, source->text, source->len, source->name, "t") != LUA_OK)
        return lua_error(L);
    lua_dump(L, add_code, source->code, source->strips);
    return 0;
}

enum inst_status inst_sandbox_compile(struct inst_sandbox *box, const char *name, const char *text,
                                      size_t len, bool strips, struct inst_buf *code,
                                      struct inst_err *err) {
    struct source source = {name, text, len, strips, code};
    void *owner = box->owner;
    box->owner = &source;
    enum inst_status status = inst_sandbox_run(box, compile, err);
    box->owner = owner;
    if (status == INST_OK && code->failed)
        status = inst_err_nomem(err);
    return status;
}

#endif
