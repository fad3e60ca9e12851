#include "compat.h"

#if LUA_VERSION_NUM >= 504

#include "script_internal.h"

#include "base/json.h"
#include "server/http_routes.h"
#include "value.h"

#include <stdlib.h>
#include <string.h>

/* ---- a run: prelude, script, and what is to be done with them ---- */

#define DISPATCH "instant.dispatch"

static void load_script(lua_State *L) {
    struct inst_script_run *run = inst_script_run_of(L);
    inst_script_push_code(L, inst_code_find(run->scripts->own, "instant.prelude"));
    inst_script_push_core(L);
    lua_call(L, 1, 3);
    inst_script_push_code(L, inst_code_find(run->script->codes, ""));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 0);
}

static int run_script(lua_State *L) {
    load_script(L);
    return inst_script_run_of(L)->then(L);
}

static int prepare_script(lua_State *L) {
    load_script(L);
    lua_settop(L, 2);
    lua_setfield(L, LUA_REGISTRYINDEX, DISPATCH);
    return 0;
}

static int run_prepared(lua_State *L) {
    lua_settop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, DISPATCH);
    return inst_script_run_of(L)->then(L);
}

/* From the image of the state in which the script has run, which the first call makes. */
static enum inst_status run_in(struct inst_sandbox *box, struct inst_script_run *run,
                               struct inst_sandbox_image *image, struct inst_err *err) {
    struct inst_script *script = run->script;
    box->owner = run;
    if (!run->call || script->is_too_large)
        return inst_sandbox_run(box, run_script, err);
    if (!image->L) {
        struct inst_call *call = run->call;
        run->call = NULL;
        enum inst_status status = inst_sandbox_prepare(box, prepare_script, image, err);
        run->call = call;
        if (status != INST_OK)
            return status;
        script->is_too_large = !image->L;
        return run_in(box, run, image, err);
    }
    return inst_sandbox_run_from(box, image, run_prepared, err);
}

/* What went wrong in the script itself is for its owner: the log has it, with the line. */
static void report(struct inst_script_run *run, const struct inst_sandbox *box,
                   struct inst_err *err) {
    const struct inst_env *env = run->scripts->env;
    struct inst_buf line;
    bool is_own = strcmp(err->type, "function-failed") == 0;
    if (!run->call || err->status < 500)
        return;
    inst_buf_init(&line);
    inst_buf_addf(&line, "app %s: %.*s", inst_call_app_id(run->call), INST_SANDBOX_LINE,
                  err->message);
    for (const char *at = inst_sandbox_trace(box); *at; at += strcspn(at, "\n")) {
        at += strspn(at, "\n\t");
        inst_buf_addf(&line, " | %.*s", (int)strcspn(at, "\n"), at);
    }
    if (env->log && !line.failed)
        env->log(env->ctx, INST_LOG_ERROR, line.data);
    inst_buf_free(&line);
    if (is_own && !run->call->viewer->is_admin)
        inst_err_set(err, "function-failed", 500,
                     "The function failed; the log of the backend says where.");
}

enum inst_status inst_script_run(struct inst_script_run *run, struct inst_err *err) {
    struct inst_scripts *scripts = run->scripts;
    struct inst_err why = {0};
    if (scripts->depth == INST_SCRIPT_DEPTH)
        return inst_err_set(err, "function-limit", 500, "Functions call each other too deep.");
    unsigned depth = scripts->depth++;
    struct inst_sandbox *box = &scripts->boxes[depth];
    enum inst_status status = run_in(box, run, &run->script->images[depth], &why);
    scripts->depth--;
    if (status != INST_OK)
        report(run, box, &why);
    inst_err_move(err, &why);
    return status;
}

/* Pushes dispatch[name], which stands at 2. */
static void push_dispatch(lua_State *L, const char *name) { lua_getfield(L, 2, name); }

/* ---- functions ---- */

struct function {
    const char *name;
    enum inst_declared_kind kind;
    const struct inst_value *params;
    struct inst_buf *out;
};

/* {"query": ..., "result": ...}: to be subscribed to, and as it is now. */
static void write_live(lua_State *L, const struct function *function,
                       const struct inst_value *query) {
    struct inst_err err = {0};
    if (query->tag != INST_OBJECT)
        luaL_error(L, "server.live \"%s\" must return an InstaQL query", function->name);
    inst_buf_add_str(function->out, "{\"query\":");
    inst_json_write(function->out, query);
    inst_buf_add_str(function->out, ",\"result\":");
    if (inst_call_query(inst_script_run_of(L)->call, false, query, function->out, &err) != INST_OK)
        inst_sandbox_raise(L, &err);
    inst_buf_add_char(function->out, '}');
}

static int call_function(lua_State *L) {
    const struct function *function = inst_script_run_of(L)->ctx;
    struct inst_value result;
    push_dispatch(L, "call");
    lua_pushstring(L, function->name);
    inst_lua_push_value(L, function->params);
    lua_call(L, 2, 1);
    inst_sandbox_check_value(L, -1, &result);
    if (function->kind == INST_DECLARED_LIVE) {
        write_live(L, function, &result);
        return 0;
    }
    if (result.tag == INST_UNDEFINED)
        result = inst_null();
    inst_buf_add_str(function->out, "{\"result\":");
    inst_json_write(function->out, &result);
    inst_buf_add_char(function->out, '}');
    return 0;
}

static enum inst_status refuse_name(const char *what, const char *name, struct inst_err *err) {
    struct inst_buf hint;
    inst_buf_init(&hint);
    inst_buf_addf(&hint, "{\"record-type\":\"%s\",\"args\":[{\"name\":", what);
    inst_json_write_string(&hint, name, strlen(name));
    inst_buf_add_str(&hint, "}]}");
    inst_err_set(err, "record-not-found", 400, "Record not found: %s", what);
    if (!hint.failed)
        inst_err_hint(err, hint.data);
    inst_buf_free(&hint);
    return INST_FAILED;
}

static enum inst_status on_function(void *ctx, struct inst_call *call, const char *name,
                                    const struct inst_value *params, struct inst_buf *out,
                                    struct inst_err *err) {
    struct inst_scripts *scripts = ctx;
    struct inst_script *script = inst_scripts_of(scripts, inst_call_app_id(call));
    struct function function = {.name = name, .params = params, .out = out};
    size_t len = strlen(name);
    while (function.kind <= INST_DECLARED_LIVE &&
           !inst_script_declares(script, function.kind, name, len))
        function.kind++;
    if (function.kind > INST_DECLARED_LIVE)
        return refuse_name("function", name, err);
    call->may_write = function.kind == INST_DECLARED_MUTATION;
    struct inst_script_run run = {.scripts = scripts,
                                  .script = script,
                                  .call = call,
                                  .then = call_function,
                                  .ctx = &function};
    enum inst_status status = inst_script_run(&run, err);
    return status == INST_OK && out->failed ? inst_err_nomem(err) : status;
}

/* ---- checks ---- */

struct check {
    const struct inst_value *changes;
    struct inst_arena *arena;
    struct inst_value *values;
};

static int call_check(lua_State *L) {
    const struct check *check = inst_script_run_of(L)->ctx;
    struct inst_value values;
    push_dispatch(L, "check");
    inst_lua_push_value(L, check->changes);
    lua_call(L, 1, 1);
    inst_sandbox_check_value(L, -1, &values);
    /* The sandbox goes with all that it holds. */
    if (!inst_value_dup(check->arena, &values, check->values))
        return luaL_error(L, "not enough memory");
    return 0;
}

static bool has_check(void *ctx, const char *app_id, const struct inst_value *etype) {
    return inst_script_declares(inst_scripts_of(ctx, app_id), INST_DECLARED_CHECK, etype->u.str,
                                etype->len) != NULL;
}

static enum inst_status on_check(void *ctx, struct inst_call *call,
                                 const struct inst_value *changes, struct inst_arena *arena,
                                 struct inst_value *values, struct inst_err *err) {
    struct inst_scripts *scripts = ctx;
    struct check check = {changes, arena, values};
    struct inst_script_run run = {.scripts = scripts,
                                  .script = inst_scripts_of(scripts, inst_call_app_id(call)),
                                  .call = call,
                                  .then = call_check,
                                  .ctx = &check};
    return inst_script_run(&run, err);
}

/* ---- reactions, schedules ---- */

static void each_reaction(void *ctx, const char *app_id,
                          bool (*fn)(void *fn_ctx, const struct inst_reaction_spec *spec),
                          void *fn_ctx) {
    const struct inst_script *script = inst_scripts_of(ctx, app_id);
    const struct inst_declared *at = script ? script->declared : NULL;
    for (; at; at = at->next) {
        struct inst_reaction_spec spec = {at->name, at->about, at->actions};
        if (at->kind == INST_DECLARED_REACTION && !fn(fn_ctx, &spec))
            return;
    }
}

struct event {
    const char *dispatch, *name;
    const struct inst_value *change; /* NULL: none */
};

static int call_event(lua_State *L) {
    const struct event *event = inst_script_run_of(L)->ctx;
    push_dispatch(L, event->dispatch);
    lua_pushstring(L, event->name);
    if (event->change)
        inst_lua_push_value(L, event->change);
    lua_call(L, event->change ? 2 : 1, 0);
    return 0;
}

static enum inst_status on_event(struct inst_scripts *scripts, struct inst_call *call,
                                 struct event event, struct inst_err *err) {
    struct inst_script *script = inst_scripts_of(scripts, inst_call_app_id(call));
    struct inst_script_run run = {
        .scripts = scripts, .script = script, .call = call, .then = call_event, .ctx = &event};
    return script ? inst_script_run(&run, err) : refuse_name(event.dispatch, event.name, err);
}

static enum inst_status on_reaction(void *ctx, struct inst_call *call, const char *reaction,
                                    const struct inst_value *change, struct inst_err *err) {
    return on_event(ctx, call, (struct event){"react", reaction, change}, err);
}

struct scheduled {
    struct inst_scripts *scripts;
    const char *name;
};

static enum inst_status run_scheduled(void *ctx, struct inst_call *call, struct inst_err *err) {
    const struct scheduled *scheduled = ctx;
    return on_event(scheduled->scripts, call, (struct event){"schedule", scheduled->name, NULL},
                    err);
}

enum inst_status inst_scripts_run_schedule(struct inst_scripts *scripts, const char *app_id,
                                           const char *name, struct inst_err *err) {
    struct scheduled scheduled = {scripts, name};
    return inst_server_run(scripts->server, app_id, run_scheduled, &scheduled, err);
}

void inst_scripts_each_schedule(struct inst_scripts *scripts, const char *app_id,
                                void (*fn)(void *ctx, const char *name, const char *cron),
                                void *ctx) {
    const struct inst_script *script = inst_scripts_of(scripts, app_id);
    for (const struct inst_declared *at = script ? script->declared : NULL; at; at = at->next)
        if (at->kind == INST_DECLARED_SCHEDULE)
            fn(ctx, at->name, at->about);
}

/* ---- routes ---- */

struct route {
    const struct inst_http_request *request;
    const char *path;
    struct inst_http_response *response;
    bool is_found;
};

static void push_request(lua_State *L, const struct route *route) {
    const struct inst_http_request *request = route->request;
    lua_createtable(L, 0, 8);
    lua_pushstring(L, request->method);
    lua_setfield(L, -2, "method");
    lua_pushstring(L, route->path[0] ? route->path : "/");
    lua_setfield(L, -2, "path");
    lua_pushstring(L, request->query);
    lua_setfield(L, -2, "query");
    lua_pushlstring(L, request->body_len ? request->body : "", request->body_len);
    lua_setfield(L, -2, "body");
    lua_pushstring(L, request->ip ? request->ip : "");
    lua_setfield(L, -2, "ip");
    lua_createtable(L, 0, (int)request->field_count);
    for (size_t i = request->field_count; i-- > 0;) { /* of a name that comes twice the first */
        lua_pushstring(L, request->fields[i].value);
        lua_setfield(L, -2, request->fields[i].name);
    }
    lua_setfield(L, -2, "headers");
}

/* Lines that the host writes itself, or that would change how the answer is read. */
static bool is_hosts_own(const char *name) {
    static const char *const names[] = {"connection", "content-length", "transfer-encoding",
                                        "upgrade",    "date",           "keep-alive"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

/* The types that the engine may keep a pointer to. */
static const char *known_content_type(lua_State *L, const char *type) {
    static const char *const types[] = {
        "application/json",
        "text/plain; charset=utf-8",
        "text/html; charset=utf-8",
        "text/css; charset=utf-8",
        "text/csv; charset=utf-8",
        "text/javascript; charset=utf-8",
        "application/xml",
        "application/octet-stream",
        "image/svg+xml",
        "image/png",
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strncasecmp(types[i], type, strcspn(types[i], ";")) == 0 &&
            strcspn(type, ";") == strcspn(types[i], ";"))
            return types[i];
    luaL_error(L, "content-type: %s is not one of those that routes may answer with", type);
    return NULL;
}

/* Bytes of the lines that a route adds to an answer's head. */
#define MAX_HEADERS ((size_t)64 << 10)

static void read_headers(lua_State *L, int index, struct inst_http_response *response) {
    size_t size = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1))
            luaL_error(L, "headers: names and values must be strings");
        size += lua_rawlen(L, -2) + (lua_type(L, -1) == LUA_TSTRING ? lua_rawlen(L, -1) : 0);
        if (size > MAX_HEADERS)
            luaL_error(L, "headers: more than %d KB", (int)(MAX_HEADERS >> 10));
        const char *name = lua_tostring(L, -2), *value = lua_tostring(L, -1);
        if (strcasecmp(name, "content-type") == 0)
            response->content_type = known_content_type(L, value);
        else if (is_hosts_own(name))
            luaL_error(L, "headers: %s is the backend's own", name);
        else
            inst_http_add_header(response, name, value);
        lua_pop(L, 1);
    }
    if (response->headers.failed)
        luaL_error(L, "headers: a name or value has bytes that a head may not have");
}

/* The table on top: {status?, headers?, body?: string, or what is written as JSON}. */
static void read_response(lua_State *L, struct inst_http_response *response) {
    int index = lua_gettop(L);
    luaL_argexpected(L, lua_istable(L, index), index, "a table");
    lua_getfield(L, index, "status");
    lua_Integer status = luaL_optinteger(L, -1, 200);
    if (status < 200 || status > 599)
        luaL_error(L, "status: expected a number from 200 to 599");
    response->status = (int)status;
    if (lua_getfield(L, index, "body") == LUA_TSTRING) {
        size_t len;
        const char *body = lua_tolstring(L, -1, &len);
        inst_buf_add(&response->body, body, len);
        response->content_type = "text/plain; charset=utf-8";
    } else if (!lua_isnil(L, -1)) {
        struct inst_value value;
        inst_sandbox_check_value(L, -1, &value);
        inst_json_write(&response->body, &value);
    } else {
        response->content_type = "text/plain; charset=utf-8";
    }
    if (lua_getfield(L, index, "headers") == LUA_TTABLE)
        read_headers(L, lua_gettop(L), response);
}

static int call_route(lua_State *L) {
    struct route *route = inst_script_run_of(L)->ctx;
    push_dispatch(L, "route");
    push_request(L, route);
    lua_call(L, 1, 1);
    route->is_found = !lua_isnil(L, -1);
    if (route->is_found)
        read_response(L, route->response);
    return 0;
}

static enum inst_status on_route(void *ctx, struct inst_call *call,
                                 const struct inst_http_request *request, const char *path,
                                 struct inst_http_response *response, struct inst_err *err) {
    struct inst_scripts *scripts = ctx;
    struct inst_script *script = inst_scripts_of(scripts, inst_call_app_id(call));
    struct route route = {.request = request, .path = path, .response = response};
    if (!script)
        return refuse_name("route", path, err);
    call->may_write = true;
    struct inst_script_run run = {
        .scripts = scripts, .script = script, .call = call, .then = call_route, .ctx = &route};
    enum inst_status status = inst_script_run(&run, err);
    if (status != INST_OK || route.is_found)
        return status;
    refuse_name("route", path, err);
    if (err)
        err->status = 404;
    return INST_FAILED;
}

const struct inst_function_ops inst_script_ops = {
    .function = on_function,
    .route = on_route,
    .has_check = has_check,
    .check = on_check,
    .each_reaction = each_reaction,
    .react = on_reaction,
};

#endif
