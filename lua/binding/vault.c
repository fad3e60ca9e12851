/*
 * vault.c - core.vault{...}: secrets that outlive the process (io/vault.h), and what signing in
 * needs of randomness and digests.
 *
 * Lua's own texts cannot be wiped: a secret that a program holds stays in memory until the
 * collector takes it, and a while longer.
 */
#include "context.h"

#include "base/digest.h"
#include "io/vault.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define VAULT "instant.vault"

struct box {
    struct inst_lua *lua;
    struct inst_vault *vault; /* NULL: closed */
    struct put *puts;         /* under way */
};

/* Somebody waits for it to be durable. */
struct put {
    struct put *next, **link;
    struct inst_lua *lua;
    int ref;
};

static void free_put(struct put *put) {
    *put->link = put->next;
    if (put->next)
        put->next->link = put->link;
    luaL_unref(put->lua->current, LUA_REGISTRYINDEX, put->ref);
    free(put);
}

static struct inst_vault *check_vault(lua_State *L) {
    struct box *box = luaL_checkudata(L, 1, VAULT);
    if (!box->vault)
        luaL_error(L, "this vault was closed");
    return box->vault;
}

struct inst_vault *inst_lua_vault(lua_State *L, int index) {
    const struct box *box = lua_touserdata(L, index);
    return box ? box->vault : NULL;
}

/* get(name) -> text, nil when there is none, nil and an error. */
static int vault_get(lua_State *L) {
    struct inst_vault *vault = check_vault(L);
    const char *name = luaL_checkstring(L, 2);
    struct inst_secret secret;
    struct inst_err err = {0};
    if (inst_vault_get(vault, name, &secret, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    if (secret.bytes)
        lua_pushlstring(L, secret.bytes, secret.len);
    else
        lua_pushnil(L);
    inst_secret_free(&secret);
    return 1;
}

static int push_outcome(lua_State *L, const void *ctx) {
    if (!ctx)
        return 0;
    inst_lua_push_err(L, ctx, NULL);
    return 1;
}

static void on_done(void *ctx, const struct inst_err *err) {
    struct put *put = ctx;
    struct inst_lua *lua = put->lua;
    lua_rawgeti(lua->current, LUA_REGISTRYINDEX, put->ref);
    int ref = luaL_ref(lua->current, LUA_REGISTRYINDEX); /* the call may close the vault */
    free_put(put);
    inst_lua_call(lua, ref, push_outcome, err);
    luaL_unref(lua->current, LUA_REGISTRYINDEX, ref);
}

/* put(name, text or nil, fn) -> true, or nil and an error; fn(err) is called when it is durable. */
static int vault_put(lua_State *L) {
    struct inst_vault *vault = check_vault(L);
    struct box *box = lua_touserdata(L, 1);
    size_t len = 0;
    const char *name = luaL_checkstring(L, 2);
    const char *bytes = luaL_optlstring(L, 3, NULL, &len);
    struct inst_err err = {0};
    luaL_checktype(L, 4, LUA_TFUNCTION);
    lua_pushvalue(L, 4);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    struct put *put = malloc(sizeof *put);
    enum inst_status status = put ? INST_OK : inst_err_nomem(&err);
    if (status == INST_OK)
        status = inst_vault_put_later(vault, name, bytes, len, on_done, put, &err);
    if (status != INST_OK) {
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        free(put);
        return inst_lua_fail(L, &err);
    }
    *put = (struct put){.next = box->puts, .link = &box->puts, .lua = box->lua, .ref = ref};
    if (put->next)
        put->next->link = &put->next;
    box->puts = put;
    lua_pushboolean(L, 1);
    return 1;
}

/* Waits for what is under way; nobody is told of that. */
static int vault_close(lua_State *L) {
    struct box *box = luaL_checkudata(L, 1, VAULT);
    struct inst_vault *vault = box->vault;
    box->vault = NULL;
    inst_vault_close(vault);
    while (box->puts)
        free_put(box->puts);
    return 0;
}

/* vault{kind=, file=, passphrase=, key_file=} -> vault, or nil and an error. */
static int core_vault(lua_State *L) {
    static const char *const kinds[] = {"memory", "file", "keychain", NULL};
    struct inst_lua *lua = inst_lua_get(L);
    struct inst_err err = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "kind");
    lua_getfield(L, 1, "file");
    lua_getfield(L, 1, "passphrase");
    lua_getfield(L, 1, "key_file");
    struct inst_vault_config config = {
        .kind = (enum inst_vault_kind)luaL_checkoption(L, 2, NULL, kinds),
        .file = luaL_optstring(L, 3, NULL),
        .passphrase = luaL_optlstring(L, 4, NULL, NULL),
        .key_file = luaL_optstring(L, 5, NULL)};
    if (config.passphrase)
        lua_tolstring(L, 4, &config.passphrase_len);
    struct box *box = inst_newuserdata(L, sizeof *box);
    *box = (struct box){.lua = lua};
    luaL_getmetatable(L, VAULT);
    lua_setmetatable(L, -2);
    if (inst_vault_open(lua->loop, &config, &box->vault, &err) != INST_OK)
        return inst_lua_fail(L, &err);
    return 1;
}

/* ---- texts for signing in ---- */

#define TEXT_BYTES_MAX 64

/* Base64url without padding (RFC 7636, appendix A). */
static void push_base64url(lua_State *L, const uint8_t *bytes, size_t len) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char text[(TEXT_BYTES_MAX + 2) / 3 * 4];
    size_t n = 0;
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 6; held -= 6)
            text[n++] = alphabet[bits >> (held - 6) & 63];
    }
    if (held > 0)
        text[n++] = alphabet[bits << (6 - held) & 63];
    lua_pushlstring(L, text, n);
    inst_wipe(text, sizeof text);
}

/* random_text(n): so many random bytes, as text for addresses. */
static int core_random_text(lua_State *L) {
    uint8_t bytes[TEXT_BYTES_MAX];
    lua_Integer len = luaL_checkinteger(L, 1);
    luaL_argcheck(L, len > 0 && len <= TEXT_BYTES_MAX, 1, "1 to 64 bytes");
    if (RAND_bytes(bytes, (int)len) != 1)
        return luaL_error(L, "no random bytes");
    push_base64url(L, bytes, (size_t)len);
    inst_wipe(bytes, sizeof bytes);
    return 1;
}

/* digest_text(text): its SHA-256, as text for addresses. */
static int core_digest_text(lua_State *L) {
    uint8_t digest[INST_SHA256];
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    inst_sha256(text, len, digest);
    push_base64url(L, digest, sizeof digest);
    return 1;
}

void inst_lua_open_vault(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"get", vault_get}, {"put", vault_put}, {"close", vault_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"vault", core_vault},
                                         {"random_text", core_random_text},
                                         {"digest_text", core_digest_text},
                                         {NULL, NULL}};
    luaL_newmetatable(L, VAULT);
    lua_pushcfunction(L, vault_close);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 3);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
