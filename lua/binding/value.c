#include "value.h"

#include "base/buf.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>

#define MAX_EXACT 9007199254740992.0 /* 2^53 */

/* The way to the value being converted, for messages; lives on the C stack. */
struct frame {
    const struct frame *up;
    const void *table;
    const char *key; /* NULL: index counts */
    size_t key_len;
    size_t index;
    int depth;
};

/* ---- errors ---- */

static void write_path(struct inst_buf *buf, const struct frame *at) {
    if (!at->up) {
        inst_buf_add_str(buf, "value");
        return;
    }
    write_path(buf, at->up);
    if (at->key)
        inst_buf_addf(buf, ".%.*s", (int)(at->key_len > 64 ? 64 : at->key_len), at->key);
    else
        inst_buf_addf(buf, "[%zu]", at->index);
}

static enum inst_status refuse(const struct frame *at, const char *what, struct inst_err *err) {
    struct inst_buf path;
    inst_buf_init(&path);
    write_path(&path, at);
    enum inst_status status =
        path.failed ? inst_err_nomem(err)
                    : inst_err_set(err, "param-malformed", 400, "%s: %s", path.data, what);
    inst_buf_free(&path);
    return status;
}

/* ---- in ---- */

struct conversion {
    struct inst_arena *arena;
    inst_lua_spend_fn *spend; /* may be NULL */
};

static enum inst_status convert(lua_State *L, int index, const struct conversion *to,
                                const struct frame *at, struct inst_value *out,
                                struct inst_err *err);

static void spend(const struct conversion *to, lua_State *L, size_t items, const char *text,
                  size_t len) {
    if (to->spend)
        to->spend(L, items, text, len);
}

static enum inst_status convert_number(lua_State *L, int index, const struct frame *at,
                                       struct inst_value *out, struct inst_err *err) {
    double num = (double)lua_tonumber(L, index);
    if (num != num)
        return refuse(at, "NaN is not a value", err);
    if (isinf(num))
        return refuse(at, "infinity is not a value", err);
    if (lua_isinteger(L, index) && fabs(num) > MAX_EXACT)
        return refuse(at, "integers beyond 2^53 lose digits; send a string", err);
    *out = inst_number(num);
    return INST_OK;
}

static enum inst_status convert_string(lua_State *L, int index, const struct conversion *to,
                                       const struct frame *at, struct inst_value *out,
                                       struct inst_err *err) {
    size_t len;
    const char *str = lua_tolstring(L, index, &len);
    spend(to, L, 0, str, len);
    if (!inst_text_is_utf8(str, len))
        return refuse(at, "the string is not valid UTF-8", err);
    if (len > UINT32_MAX)
        return refuse(at, "the string is too long", err);
    *out = inst_string(str, len);
    return INST_OK;
}

static bool has_metatable(lua_State *L, int index, const char *name) {
    if (!lua_getmetatable(L, index))
        return false;
    lua_getfield(L, LUA_REGISTRYINDEX, name);
    bool is_it = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is_it;
}

static enum inst_status convert_array(lua_State *L, int index, size_t count,
                                      const struct conversion *to, const struct frame *at,
                                      struct inst_value *out, struct inst_err *err) {
    struct inst_value *items = inst_arena_alloc(to->arena, (count ? count : 1) * sizeof *items);
    if (!items)
        return inst_err_nomem(err);
    for (size_t i = 0; i < count; i++) {
        struct frame below = {
            .up = at, .table = lua_topointer(L, index), .index = i + 1, .depth = at->depth + 1};
        lua_rawgeti(L, index, (int)(i + 1));
        enum inst_status status = convert(L, lua_gettop(L), to, &below, &items[i], err);
        lua_pop(L, 1);
        if (status != INST_OK)
            return status;
    }
    *out = inst_array(items, count);
    return INST_OK;
}

static int compare_keys(const void *a, const void *b) {
    const struct inst_member *x = a, *y = b;
    size_t len = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = memcmp(x->key, y->key, len);
    return order ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static enum inst_status convert_object(lua_State *L, int index, size_t count,
                                       const struct conversion *to, const struct frame *at,
                                       struct inst_value *out, struct inst_err *err) {
    struct inst_member *keys = inst_arena_alloc(to->arena, (count ? count : 1) * sizeof *keys);
    if (!keys)
        return inst_err_nomem(err);
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        keys[n].key = lua_tolstring(L, -2, &keys[n].key_len);
        spend(to, L, 0, keys[n].key, keys[n].key_len);
        n++;
        lua_pop(L, 1);
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    struct inst_object_builder builder;
    inst_object_begin(&builder, to->arena);
    for (size_t i = 0; i < n; i++) {
        struct frame below = {.up = at,
                              .table = lua_topointer(L, index),
                              .key = keys[i].key,
                              .key_len = keys[i].key_len,
                              .depth = at->depth + 1};
        if (!inst_text_is_utf8(keys[i].key, keys[i].key_len))
            return refuse(&below, "the key is not valid UTF-8", err);
        lua_pushlstring(L, keys[i].key, keys[i].key_len);
        lua_rawget(L, index);
        struct inst_value value;
        enum inst_status status = convert(L, lua_gettop(L), to, &below, &value, err);
        lua_pop(L, 1);
        if (status != INST_OK)
            return status;
        inst_object_add(&builder, keys[i].key, keys[i].key_len, value);
    }
    return inst_object_end(&builder, out) ? INST_OK : inst_err_nomem(err);
}

/* Counts the keys of the table by kind. */
static enum inst_status look_at_keys(lua_State *L, int index, size_t *strings, size_t *items,
                                     const struct frame *at, struct inst_err *err) {
    double highest = 0;
    *strings = *items = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) {
            ++*strings;
            continue;
        }
        double key = lua_type(L, -1) == LUA_TNUMBER ? (double)lua_tonumber(L, -1) : 0;
        if (key < 1 || key != floor(key)) {
            lua_pop(L, 1);
            return refuse(at, "keys must be strings, or 1, 2, 3 ... for a list", err);
        }
        highest = key > highest ? key : highest;
        ++*items;
    }
    if (*items && *strings)
        return refuse(at, "a table is either a list or an object, this one is both", err);
    if (highest != (double)*items)
        return refuse(at, "a list must not have holes; put instant.null there", err);
    return INST_OK;
}

/* Its strings are borrowed: they must not go while there is more to convert. */
static bool is_weak(lua_State *L, int index) {
    if (!lua_getmetatable(L, index))
        return false;
    lua_pushliteral(L, "__mode");
    lua_rawget(L, -2);
    bool is_it = !lua_isnil(L, -1);
    lua_pop(L, 2);
    return is_it;
}

static enum inst_status convert_table(lua_State *L, int index, const struct conversion *to,
                                      const struct frame *at, struct inst_value *out,
                                      struct inst_err *err) {
    const void *table = lua_topointer(L, index);
    for (const struct frame *up = at; up; up = up->up)
        if (up->table == table)
            return refuse(at, "the table contains itself", err);
    if (at->depth >= INST_LUA_MAX_DEPTH)
        return refuse(at, "tables are nested too deep", err);
    if (!lua_checkstack(L, 8))
        return inst_err_nomem(err);
    if (is_weak(L, index))
        return refuse(at, "a weak table is not a value", err);
    if (has_metatable(L, index, INST_LUA_DATE)) {
        lua_pushliteral(L, "ms");
        lua_rawget(L, index);
        *out = inst_date(lua_tonumber(L, -1));
        lua_pop(L, 1);
        return INST_OK;
    }
    size_t strings, items;
    enum inst_status status = look_at_keys(L, index, &strings, &items, at, err);
    if (status != INST_OK)
        return status;
    spend(to, L, items + strings, "", 0);
    bool is_array = items > 0 || has_metatable(L, index, INST_LUA_ARRAY);
    if (is_array && strings)
        return refuse(at, "instant.array is a list, it has no string keys", err);
    return is_array ? convert_array(L, index, items, to, at, out, err)
                    : convert_object(L, index, strings, to, at, out, err);
}

static enum inst_status convert(lua_State *L, int index, const struct conversion *to,
                                const struct frame *at, struct inst_value *out,
                                struct inst_err *err) {
    char what[64];
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TNONE:
        *out = inst_undefined();
        return INST_OK;
    case LUA_TBOOLEAN:
        *out = inst_bool(lua_toboolean(L, index));
        return INST_OK;
    case LUA_TNUMBER:
        return convert_number(L, index, at, out, err);
    case LUA_TSTRING:
        return convert_string(L, index, to, at, out, err);
    case LUA_TTABLE:
        return convert_table(L, index, to, at, out, err);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, index) == NULL) {
            *out = inst_null();
            return INST_OK;
        }
        /* fallthrough */
    default:
        snprintf(what, sizeof what, "a %s is not a value", lua_typename(L, lua_type(L, index)));
        return refuse(at, what, err);
    }
}

enum inst_status inst_lua_to_value(lua_State *L, int index, struct inst_arena *arena,
                                   struct inst_value *out, struct inst_err *err) {
    return inst_lua_to_value_spending(L, index, arena, NULL, out, err);
}

enum inst_status inst_lua_to_value_spending(lua_State *L, int index, struct inst_arena *arena,
                                            inst_lua_spend_fn *spend, struct inst_value *out,
                                            struct inst_err *err) {
    struct frame top = {0};
    struct conversion to = {arena, spend};
    return convert(L, lua_absindex(L, index), &to, &top, out, err);
}

/* ---- out ---- */

static void push_number(lua_State *L, double num) {
    if (num == floor(num) && fabs(num) <= MAX_EXACT)
        lua_pushinteger(L, (lua_Integer)num);
    else
        lua_pushnumber(L, num);
}

void inst_lua_set_metatable(lua_State *L, const char *name) {
    luaL_getmetatable(L, name);
    lua_pushliteral(L, "__gc");
    lua_rawget(L, -2);
    if (!lua_isnil(L, -1)) {
        lua_pushliteral(L, "__gc");
        lua_pushnil(L);
        lua_rawset(L, -4);
    }
    lua_pop(L, 1);
    lua_setmetatable(L, -2);
}

static void push_date(lua_State *L, double ms) {
    lua_createtable(L, 0, 1);
    push_number(L, ms);
    lua_setfield(L, -2, "ms");
    inst_lua_set_metatable(L, INST_LUA_DATE);
}

void inst_lua_push_value(lua_State *L, const struct inst_value *value) {
    luaL_checkstack(L, 8, "result nested too deep");
    switch (value->tag) {
    case INST_NULL:
    case INST_ENTITY:
        lua_pushlightuserdata(L, NULL);
        break;
    case INST_FALSE:
    case INST_TRUE:
        lua_pushboolean(L, value->tag == INST_TRUE);
        break;
    case INST_NUMBER:
        push_number(L, value->u.num);
        break;
    case INST_STRING:
        lua_pushlstring(L, value->u.str, value->len);
        break;
    case INST_DATE:
        push_date(L, value->u.num);
        break;
    case INST_ARRAY:
        lua_createtable(L, (int)value->len, 0);
        for (uint32_t i = 0; i < value->len; i++) {
            inst_lua_push_value(L, &value->u.items[i]);
            lua_rawseti(L, -2, (int)i + 1);
        }
        inst_lua_set_metatable(L, INST_LUA_ARRAY);
        break;
    case INST_OBJECT:
        lua_createtable(L, 0, (int)value->len);
        for (uint32_t i = 0; i < value->len; i++) {
            const struct inst_member *member = &value->u.members[i];
            if (member->value.tag == INST_UNDEFINED)
                continue;
            lua_pushlstring(L, member->key, member->key_len);
            inst_lua_push_value(L, &member->value);
            lua_rawset(L, -3);
        }
        break;
    default:
        lua_pushnil(L);
        break;
    }
}

/* ---- arenas ---- */

#define ARENA "instant.arena"

static int arena_gc(lua_State *L) {
    inst_arena_free(luaL_checkudata(L, 1, ARENA));
    return 0;
}

struct inst_arena *inst_lua_push_arena(lua_State *L) {
    struct inst_arena *arena = inst_newuserdata(L, sizeof *arena);
    inst_arena_init(arena);
    if (luaL_newmetatable(L, ARENA)) {
        lua_pushcfunction(L, arena_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return arena;
}

void inst_lua_open_values(lua_State *L) {
    luaL_newmetatable(L, INST_LUA_ARRAY);
    luaL_newmetatable(L, INST_LUA_DATE);
    luaL_newmetatable(L, INST_LUA_ERROR);
    lua_pop(L, 3);
}
