/*
 * check.c - core.validate_query, core.validate_transaction: what the official client refuses before
 * it sends anything; core.weak_hash; core.verify_ed25519: signatures of webhooks.
 */
#include "context.h"
#include "value.h"

#include "base/signature.h"
#include "instaql/hash.h"
#include "schema/query_validation.h"
#include "schema/tx_validation.h"

typedef enum inst_status validate_fn(const struct inst_value *value,
                                     const struct inst_schema *schema, struct inst_err *err);

/* (value, schema or nil) -> true, or nil and the error */
static int validate(lua_State *L, validate_fn *fn) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_err err = {0};
    struct inst_value value, json;
    const struct inst_schema *schema = NULL;
    lua_settop(L, 2);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = inst_lua_to_value(L, 1, &lua->scratch, &value, &err);
    if (status == INST_OK)
        status = inst_lua_to_value(L, 2, &lua->scratch, &json, &err);
    if (status == INST_OK && json.tag != INST_UNDEFINED)
        status = inst_schema_read(&lua->scratch, &json, &schema, &err);
    if (status == INST_OK)
        status = fn(&value, schema, &err);
    inst_lua_end(lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static int core_validate_query(lua_State *L) { return validate(L, inst_query_validate); }

static int core_validate_transaction(lua_State *L) { return validate(L, inst_tx_validate); }

/* (value) -> the official client's hash, or nil and the error */
static int core_weak_hash(lua_State *L) {
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_err err = {0};
    struct inst_value value;
    char text[INST_QUERY_HASH_TEXT + 1];
    lua_settop(L, 1);
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    enum inst_status status = inst_lua_to_value(L, 1, &lua->scratch, &value, &err);
    if (status == INST_OK && !inst_query_hash(&value, text))
        status = inst_err_nomem(&err);
    inst_lua_end(lua, scope);
    if (status != INST_OK)
        return inst_lua_fail(L, &err);
    lua_pushstring(L, text);
    return 1;
}

/* (key, signature, message) -> bool; key and signature as bytes. */
static int core_verify_ed25519(lua_State *L) {
    size_t key_len, signature_len, len;
    const char *key = luaL_checklstring(L, 1, &key_len);
    const char *signature = luaL_checklstring(L, 2, &signature_len);
    const char *message = luaL_checklstring(L, 3, &len);
    lua_pushboolean(L, inst_ed25519_verify(key, key_len, signature, signature_len, message, len));
    return 1;
}

void inst_lua_open_check(lua_State *L) {
    static const luaL_Reg functions[] = {{"validate_query", core_validate_query},
                                         {"validate_transaction", core_validate_transaction},
                                         {"weak_hash", core_weak_hash},
                                         {"verify_ed25519", core_verify_ed25519},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
