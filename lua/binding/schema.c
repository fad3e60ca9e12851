/*
 * schema.c - what pushing and pulling a schema needs (transactions.md 14): core.schema_plan,
 * core.schema_read, core.schema_file, core.perms_file; core.rules_check, core.json_indent.
 */
#include "context.h"
#include "value.h"

#include "base/json.h"
#include "rules/rules.h"
#include "schema/api_schema.h"
#include "schema/schema_check.h"
#include "schema/schema_diff.h"
#include "schema/schema_file.h"

/* What the backend has (the answer of schema/pull), what it should have, renames or nil. */
struct wanted {
    struct inst_value pulled, schema, renames;
};

static bool add_sentences(struct inst_arena *arena, const struct inst_value *steps,
                          const struct inst_value *attrs, struct inst_value *out) {
    struct inst_array_builder sentences;
    bool ok = true;
    inst_array_begin(&sentences, arena);
    for (uint32_t i = 0; ok && i < steps->len; i++) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_schema_describe(&text, &steps->u.items[i], attrs);
        char *copy = text.failed ? NULL : inst_arena_dup(arena, text.data, text.len);
        ok = copy != NULL;
        if (ok)
            inst_array_add(&sentences, inst_string(copy, text.len));
        inst_buf_free(&text);
    }
    return inst_array_end(&sentences, out) && ok;
}

static enum inst_status plan(struct inst_arena *arena, const struct inst_env *env,
                             const struct wanted *wanted, struct inst_value *out,
                             struct inst_err *err) {
    const struct inst_value *api = inst_getz(&wanted->pulled, "schema");
    const struct inst_value *attrs = inst_getz(&wanted->pulled, "attrs");
    struct inst_value names, json, txs, steps, sentences;
    struct inst_schema_diff diff = {.system_names = &names};
    struct inst_object_builder b;
    enum inst_status st;
    if (api == NULL || attrs == NULL || attrs->tag != INST_ARRAY ||
        wanted->schema.tag != INST_OBJECT)
        return inst_err_set(err, "validation-failed", 400, "Invalid schema: it must be a table");
    if (wanted->renames.tag == INST_ARRAY)
        diff.renames = &wanted->renames;
    if ((st = inst_schema_system_names(arena, attrs, &names, err)) != INST_OK ||
        (st = inst_schema_read(arena, &wanted->schema, &diff.after, err)) != INST_OK ||
        (st = inst_schema_check(diff.after, &names, err)) != INST_OK ||
        (st = inst_api_schema_read(arena, api, &json, err)) != INST_OK ||
        (st = inst_schema_read(arena, &json, &diff.before, err)) != INST_OK ||
        (st = inst_schema_diff(arena, &diff, &txs, err)) != INST_OK ||
        (st = inst_schema_steps(arena, &txs, attrs, env, &steps, err)) != INST_OK)
        return st;
    if (!add_sentences(arena, &steps, attrs, &sentences))
        return inst_err_nomem(err);
    inst_object_begin(&b, arena);
    inst_object_addz(&b, "steps", steps);
    inst_object_addz(&b, "sentences", sentences);
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

/* schema_plan(pulled, schema, renames or nil) -> {steps =, sentences =}, or nil and the error */
static int core_schema_plan(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_err err = {0};
    struct wanted wanted;
    struct inst_value out;
    lua_settop(L, 3);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status st = inst_lua_to_value(L, 1, &lua->scratch, &wanted.pulled, &err);
    if (st == INST_OK)
        st = inst_lua_to_value(L, 2, &lua->scratch, &wanted.schema, &err);
    if (st == INST_OK)
        st = inst_lua_to_value(L, 3, &lua->scratch, &wanted.renames, &err);
    if (st == INST_OK)
        st = plan(&lua->scratch, inst_loop_env(lua->loop), &wanted, &out, &err);
    if (st == INST_OK)
        inst_lua_push_value(L, &out);
    inst_lua_end(lua, scope);
    return st == INST_OK ? 1 : inst_lua_fail(L, &err);
}

/* schema_read(api schema) -> the JSON form, or nil and the error */
static int core_schema_read(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_err err = {0};
    struct inst_value api, out;
    lua_settop(L, 1);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status st = inst_lua_to_value(L, 1, &lua->scratch, &api, &err);
    if (st == INST_OK)
        st = inst_api_schema_read(&lua->scratch, &api, &out, &err);
    if (st == INST_OK)
        inst_lua_push_value(L, &out);
    inst_lua_end(lua, scope);
    return st == INST_OK ? 1 : inst_lua_fail(L, &err);
}

/* rules_check(rules) -> list of {message =, ["in"] =}, empty when nothing is wrong; or nil and the
 * error */
static int core_rules_check(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_err err = {0};
    struct inst_value rules, out;
    lua_settop(L, 1);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status st = inst_lua_to_value(L, 1, &lua->scratch, &rules, &err);
    if (st == INST_OK)
        st = inst_rules_validate(&rules, &lua->scratch, &out, &err);
    if (st == INST_OK)
        inst_lua_push_value(L, &out);
    inst_lua_end(lua, scope);
    return st == INST_OK ? 1 : inst_lua_fail(L, &err);
}

typedef enum inst_status write_fn(struct inst_buf *text, const struct inst_value *value,
                                  const struct inst_value *previous, const char *module,
                                  struct inst_err *err);

/* (value, previous or nil, module or nil) -> text, or nil and the error */
static int write_text(lua_State *L, write_fn *fn) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_err err = {0};
    struct inst_value value, previous;
    struct inst_buf text;
    lua_settop(L, 3);
    const char *module = luaL_optstring(L, 3, "@instantdb/core");
    inst_buf_init(&text);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status st = inst_lua_to_value(L, 1, &lua->scratch, &value, &err);
    if (st == INST_OK)
        st = inst_lua_to_value(L, 2, &lua->scratch, &previous, &err);
    if (st == INST_OK)
        st = fn(&text, &value, previous.tag == INST_UNDEFINED ? NULL : &previous, module, &err);
    if (st == INST_OK && text.failed)
        st = inst_err_nomem(&err);
    inst_lua_end(lua, scope);
    if (st == INST_OK)
        lua_pushlstring(L, text.data ? text.data : "", text.len);
    inst_buf_free(&text);
    return st == INST_OK ? 1 : inst_lua_fail(L, &err);
}

static enum inst_status write_schema(struct inst_buf *text, const struct inst_value *value,
                                     const struct inst_value *previous, const char *module,
                                     struct inst_err *err) {
    struct inst_schema_file file = {value, previous, module, true};
    return inst_schema_file(text, &file, err);
}

static enum inst_status write_perms(struct inst_buf *text, const struct inst_value *value,
                                    const struct inst_value *previous, const char *module,
                                    struct inst_err *err) {
    (void)previous, (void)err;
    inst_perms_file(text, value, module);
    return INST_OK;
}

static enum inst_status write_json(struct inst_buf *text, const struct inst_value *value,
                                   const struct inst_value *previous, const char *module,
                                   struct inst_err *err) {
    (void)previous, (void)module, (void)err;
    inst_json_write_indented(text, value, 0);
    return INST_OK;
}

static int core_schema_file(lua_State *L) { return write_text(L, write_schema); }
static int core_perms_file(lua_State *L) { return write_text(L, write_perms); }
static int core_json_indent(lua_State *L) { return write_text(L, write_json); }

void inst_lua_open_schema(lua_State *L) {
    static const luaL_Reg functions[] = {{"schema_plan", core_schema_plan},
                                         {"schema_read", core_schema_read},
                                         {"schema_file", core_schema_file},
                                         {"perms_file", core_perms_file},
                                         {"rules_check", core_rules_check},
                                         {"json_indent", core_json_indent},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
