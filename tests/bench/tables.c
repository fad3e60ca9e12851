/*
 * bench_tables: a result of 1,000 rows handed to a Lua callback, against lua-cjson decoding the
 * same JSON. Ours is what Lua adds to a result that is there: its tables, and the call.
 */
#include "base/arena.h"
#include "base/json.h"
#include "bench.h"
#include "value.h"

#include <lualib.h>
#include <string.h>

#define ROWS 1000

struct sides {
    lua_State *L;
    struct inst_value value;
    struct inst_buf json;
    int callback, decode; /* registry references */
};

static void write_rows(struct inst_buf *out) {
    inst_buf_add_str(out, "{\"todos\":[");
    for (unsigned i = 0; i < ROWS; i++) {
        uint64_t a = bench_mix(i), b = bench_mix(a);
        inst_buf_addf(
            out,
            "%s{\"id\":\"%08x-%04x-4%03x-8%03x-%012llx\",\"title\":\"Something to do, the "
            "%uth\",\"done\":%s,\"priority\":%u,\"createdAt\":%llu,\"owner\":{\"id\":"
            "\"%08x-0000-4000-8000-%012llx\",\"name\":\"Person %u\"}}",
            i ? "," : "", (unsigned)(a >> 32), (unsigned)(a & 0xffff), (unsigned)(b & 0xfff),
            (unsigned)(b >> 12 & 0xfff), (unsigned long long)(b >> 16), i, i % 3 ? "true" : "false",
            i % 7, 1700000000000ull + i, (unsigned)(b >> 32), (unsigned long long)(a >> 16),
            i % 50);
    }
    inst_buf_add_str(out, "]}");
}

static void ours(void *ctx) {
    struct sides *sides = ctx;
    lua_rawgeti(sides->L, LUA_REGISTRYINDEX, sides->callback);
    inst_lua_push_value(sides->L, &sides->value);
    lua_call(sides->L, 1, 0);
}

static void peer(void *ctx) {
    struct sides *sides = ctx;
    lua_rawgeti(sides->L, LUA_REGISTRYINDEX, sides->callback);
    lua_rawgeti(sides->L, LUA_REGISTRYINDEX, sides->decode);
    lua_pushlstring(sides->L, sides->json.data, sides->json.len);
    lua_call(sides->L, 1, 1);
    lua_call(sides->L, 1, 0);
}

static int reference(lua_State *L, const char *code) {
    if (luaL_dostring(L, code))
        bench_die("%s", lua_tostring(L, -1));
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

int main(void) {
    struct sides sides = {.L = luaL_newstate()};
    struct inst_arena arena;
    double a, b;
    inst_arena_init(&arena);
    inst_buf_init(&sides.json);
    write_rows(&sides.json);
    if (!sides.L || sides.json.failed ||
        inst_json_parse(&arena, sides.json.data, sides.json.len, &sides.value, NULL) != INST_OK)
        bench_die("cannot make the rows");
    luaL_openlibs(sides.L);
    inst_lua_open_values(sides.L);
    sides.callback = reference(sides.L, "return function(data) assert(#data.todos == 1000) end");
    sides.decode = reference(sides.L, "return require('cjson').decode");
    bench_measure_pair(ours, &sides, peer, &sides, &a, &b);
    bench_row("1,000 rows to a Lua callback", a, b, "s", "growth", 1.5);
    lua_close(sides.L);
    inst_buf_free(&sides.json);
    inst_arena_free(&arena);
    return 0;
}
