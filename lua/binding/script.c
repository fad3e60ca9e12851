#include "script.h"
#include "compat.h"

#if LUA_VERSION_NUM >= 504

#include "embedded.h"
#include "script_internal.h"
#include "server/functions.h"

#include <stdlib.h>
#include <string.h>

/* ---- bytecode ---- */

static void free_codes(struct inst_code *codes) {
    while (codes) {
        struct inst_code *code = codes;
        codes = code->next;
        inst_buf_free(&code->code);
        free(code->name);
        free(code);
    }
}

const struct inst_code *inst_code_find(const struct inst_code *codes, const char *name) {
    while (codes && strcmp(codes->name, name) != 0)
        codes = codes->next;
    return codes;
}

enum inst_status inst_code_add(struct inst_scripts *scripts, struct inst_code **codes,
                               const char *module, const char *name, const char *text, size_t len,
                               const struct inst_code **out, struct inst_err *err) {
    if (len > INST_SCRIPT_MAX_BYTES)
        return inst_err_set(err, "function-failed", 500, "%s: a script takes at most %zu MB.",
                            name + 1, INST_SCRIPT_MAX_BYTES >> 20);
    struct inst_code *code = calloc(1, sizeof *code);
    if (!code || !(code->name = strdup(module))) {
        free(code);
        return inst_err_nomem(err);
    }
    inst_buf_init(&code->code);
    struct inst_sandbox box;
    inst_sandbox_init(&box, scripts->env, &scripts->limits, NULL);
    enum inst_status status = inst_sandbox_compile(&box, name, text ? text : "", len,
                                                   codes == &scripts->own, &code->code, err);
    inst_sandbox_free(&box);
    if (status != INST_OK) {
        free_codes(code);
        return status;
    }
    code->next = *codes;
    *codes = code;
    if (out)
        *out = code;
    return INST_OK;
}

/* ---- scripts ---- */

static void free_script(struct inst_script *script) {
    if (!script)
        return;
    free_codes(script->codes);
    for (size_t i = 0; i < INST_SCRIPT_DEPTH; i++)
        inst_sandbox_image_free(&script->images[i]);
    while (script->declared) {
        struct inst_declared *declared = script->declared;
        script->declared = declared->next;
        free(declared);
    }
    free(script->app);
    free(script);
}

struct inst_script *inst_scripts_of(struct inst_scripts *scripts, const char *app_id) {
    struct inst_script *of_all = NULL;
    for (struct inst_script *script = scripts->list; script; script = script->next) {
        if (!script->app)
            of_all = script;
        else if (strcmp(script->app, app_id) == 0)
            return script;
    }
    return of_all;
}

const struct inst_declared *inst_script_declares(const struct inst_script *script,
                                                 enum inst_declared_kind kind, const char *name,
                                                 size_t len) {
    const struct inst_declared *at = script ? script->declared : NULL;
    while (at && (at->kind != kind || strlen(at->name) != len || memcmp(at->name, name, len) != 0))
        at = at->next;
    return at;
}

/* ---- loading ---- */

/* declared at 3: {{kind, name, about?, actions?}, ...} */
static int read_declared(lua_State *L) {
    static const char *const kinds[] = {"query", "mutation", "live",     "check",
                                        "route", "reaction", "schedule", NULL};
    struct inst_script *script = inst_script_run_of(L)->script;
    lua_Integer count = luaL_len(L, 3);
    struct inst_declared **end = &script->declared;
    for (lua_Integer i = 1; i <= count; i++) {
        size_t len, about_len;
        lua_settop(L, 3);
        lua_rawgeti(L, 3, i);
        for (int field = 1; field <= 4; field++)
            lua_rawgeti(L, 4, field);
        int kind = luaL_checkoption(L, 5, NULL, kinds);
        const char *name = luaL_checklstring(L, 6, &len);
        const char *about = luaL_optlstring(L, 7, "", &about_len);
        unsigned actions = (unsigned)luaL_optinteger(L, 8, 0);
        struct inst_declared *declared = malloc(sizeof *declared + len + about_len + 2);
        if (!declared)
            return luaL_error(L, "not enough memory");
        declared->kind = (enum inst_declared_kind)kind;
        declared->actions = actions;
        declared->about = declared->name + len + 1;
        memcpy(declared->name, name, len + 1);
        memcpy(declared->name + len + 1, about, about_len + 1);
        *end = declared;
        declared->next = NULL;
        end = &declared->next;
    }
    return 0;
}

static bool is_of(const struct inst_script *script, const char *app_id) {
    return app_id ? script->app && strcmp(script->app, app_id) == 0 : !script->app;
}

/* In the place of what the app had. */
static void use(struct inst_scripts *scripts, struct inst_script *script) {
    struct inst_script **at = &scripts->list;
    while (*at && !is_of(*at, script->app))
        at = &(*at)->next;
    struct inst_script *before = *at;
    script->next = before ? before->next : NULL;
    *at = script;
    free_script(before);
}

static enum inst_status check_schedules(const struct inst_script *script,
                                        const struct inst_script_loader *loader,
                                        struct inst_err *err) {
    enum inst_status status = INST_OK;
    for (const struct inst_declared *at = script->declared; at && status == INST_OK; at = at->next)
        if (at->kind == INST_DECLARED_SCHEDULE && loader && loader->check_cron)
            status = loader->check_cron(loader->ctx, at->about, err);
    return status;
}

enum inst_status inst_scripts_load(struct inst_scripts *scripts, const char *app_id,
                                   const char *name, const char *text, size_t len,
                                   const struct inst_script_loader *loader, struct inst_err *err) {
    struct inst_script *script = calloc(1, sizeof *script);
    if (!script || (app_id && !(script->app = strdup(app_id)))) {
        free(script);
        return inst_err_nomem(err);
    }
    struct inst_script_run run = {.scripts = scripts,
                                  .script = script,
                                  .then = read_declared,
                                  .find = loader ? loader->find : NULL,
                                  .find_ctx = loader ? loader->ctx : NULL};
    enum inst_status status =
        inst_code_add(scripts, &script->codes, "", name, text, len, NULL, err);
    if (status == INST_OK)
        status = inst_script_run(&run, err);
    if (status == INST_OK)
        status = check_schedules(script, loader, err);
    if (status != INST_OK) {
        free_script(script);
        return status;
    }
    use(scripts, script);
    inst_server_functions_changed(scripts->server);
    return INST_OK;
}

/* ---- life ---- */

static enum inst_status add_own(struct inst_scripts *scripts, struct inst_err *err) {
    enum inst_status status = INST_OK;
    for (const struct inst_embedded *file = inst_script_modules; status == INST_OK && file->name;
         file++) {
        char chunk[64];
        snprintf(chunk, sizeof chunk, "=%s", file->name);
        status = inst_code_add(scripts, &scripts->own, file->name, chunk, (const char *)file->bytes,
                               file->len, NULL, err);
    }
    return status;
}

enum inst_status inst_scripts_new(struct inst_server *server, const struct inst_env *env,
                                  const struct inst_sandbox_limits *limits,
                                  struct inst_scripts **out, struct inst_err *err) {
    struct inst_scripts *scripts = calloc(1, sizeof *scripts);
    if (!scripts)
        return inst_err_nomem(err);
    scripts->server = server;
    scripts->env = env;
    scripts->limits = (struct inst_sandbox_limits){
        .memory = limits->memory ? limits->memory : INST_SANDBOX_MEMORY,
        .steps = limits->steps ? limits->steps : INST_SANDBOX_STEPS,
        .ms = limits->ms ? limits->ms : INST_SANDBOX_MS,
    };
    for (size_t i = 0; i < INST_SCRIPT_DEPTH; i++)
        inst_sandbox_init(&scripts->boxes[i], env, &scripts->limits, NULL);
    enum inst_status status = add_own(scripts, err);
    if (status != INST_OK) {
        inst_scripts_free(scripts);
        return status;
    }
    inst_server_set_functions(server, &inst_script_ops, scripts);
    *out = scripts;
    return INST_OK;
}

void inst_scripts_free(struct inst_scripts *scripts) {
    if (!scripts)
        return;
    inst_server_set_functions(scripts->server, NULL, NULL);
    while (scripts->list) {
        struct inst_script *script = scripts->list;
        scripts->list = script->next;
        free_script(script);
    }
    for (size_t i = 0; i < INST_SCRIPT_DEPTH; i++)
        inst_sandbox_free(&scripts->boxes[i]);
    free_codes(scripts->own);
    free(scripts);
}

#else

enum inst_status inst_scripts_new(struct inst_server *server, const struct inst_env *env,
                                  const struct inst_sandbox_limits *limits,
                                  struct inst_scripts **out, struct inst_err *err) {
    (void)server;
    (void)env;
    (void)limits;
    (void)out;
    return inst_err_set(err, "validation-failed", 400,
                        "Scripts of a backend need Lua 5.4: their limits are hooks, which LuaJIT's "
                        "compiled code does not call.");
}

void inst_scripts_free(struct inst_scripts *scripts) { (void)scripts; }

enum inst_status inst_scripts_load(struct inst_scripts *scripts, const char *app_id,
                                   const char *name, const char *text, size_t len,
                                   const struct inst_script_loader *loader, struct inst_err *err) {
    (void)scripts;
    (void)app_id;
    (void)name;
    (void)text;
    (void)len;
    (void)loader;
    return inst_err_set(err, "validation-failed", 400, "There are no scripts.");
}

void inst_scripts_each_schedule(struct inst_scripts *scripts, const char *app_id,
                                void (*fn)(void *ctx, const char *name, const char *cron),
                                void *ctx) {
    (void)scripts;
    (void)app_id;
    (void)fn;
    (void)ctx;
}

enum inst_status inst_scripts_run_schedule(struct inst_scripts *scripts, const char *app_id,
                                           const char *name, struct inst_err *err) {
    return inst_scripts_load(scripts, app_id, name, NULL, 0, NULL, err);
}

#endif
