#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "script_pattern.h"
#include "script_sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 88172645463325252u;
static char logged[32768];
static unsigned lines;

static uint64_t next_random(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static int64_t now_ms(void *ctx) {
    (void)ctx;
    return 1700000000000;
}

static void random_bytes(void *ctx, uint8_t *out, size_t len) {
    (void)ctx;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)next_random();
}

static void on_log(void *ctx, enum inst_log_level level, const char *line) {
    (void)ctx;
    (void)level;
    lines++;
    snprintf(logged, sizeof logged, "%s", line);
}

static const struct inst_env env = {NULL, now_ms, random_bytes, on_log};
static const struct inst_sandbox_limits limits = {(size_t)16 << 20, 2000000, 3600000};

/* ---- running texts ---- */

struct job {
    struct inst_buf code;
    char result[512];
};

static int load_and_call(lua_State *L) {
    struct job *job = inst_sandbox_of(L)->owner;
    if (luaL_loadbufferx(L, job->code.data, job->code.len, "job", "b") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 1);
    snprintf(job->result, sizeof job->result, "%s", luaL_tolstring(L, -1, NULL));
    return 0;
}

static enum inst_status run_in(struct inst_sandbox *box, const char *text, struct job *job,
                               struct inst_err *err) {
    *job = (struct job){.result = ""};
    inst_buf_init(&job->code);
    enum inst_status status =
        inst_sandbox_compile(box, "@t.lua", text, strlen(text), false, &job->code, err);
    box->owner = job;
    if (status == INST_OK)
        status = inst_sandbox_run(box, load_and_call, err);
    inst_buf_free(&job->code);
    return status;
}

struct row {
    const char *text;
    const char *type;    /* NULL: it runs to its end */
    const char *message; /* begins so; or what it gives */
};

static void check_row(struct inst_sandbox *box, const struct row *row) {
    struct inst_err err = {0};
    struct job job;
    enum inst_status status = run_in(box, row->text, &job, &err);
    const char *got = status == INST_OK ? job.result : err.message;
    if ((status == INST_OK) != (row->type == NULL) ||
        (row->type != NULL && strcmp(err.type, row->type) != 0) ||
        strncmp(got, row->message, strlen(row->message)) != 0)
        fail_msg("%s\ngives %s: %s", row->text, status == INST_OK ? "a result" : err.type, got);
    inst_err_clear(&err);
    /* Whatever it did, the next run is as any. */
    assert_int_equal(run_in(box, "return 6 * 7", &job, &err), INST_OK);
    assert_string_equal(job.result, "42");
}

static void check_rows(const struct row *rows, size_t count) {
    struct inst_sandbox box;
    inst_sandbox_init(&box, &env, &limits, NULL);
    for (size_t i = 0; i < count; i++)
        check_row(&box, &rows[i]);
    inst_sandbox_free(&box);
}

#define STEPS "function-limit", "The function takes more than 2000000 steps"
#define MEMORY "function-limit", "The function needs more than 16 MB"
#define FAILED "function-failed"

static void test_endless(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"while true do end", STEPS},
        {"::a:: goto a", STEPS},
        {"for i = 1, math.huge do end", STEPS},
        {"while true do pcall(function() while true do end end) end", STEPS},
        {"pcall(function() while true do end end) return 'caught'", STEPS},
        {"xpcall(error, function() while true do end end)", STEPS},
        {"xpcall(function() while true do end end, function() while true do end end)", STEPS},
        {"local f = coroutine.wrap(function() while true do end end) f()", STEPS},
        {"while true do pcall(coroutine.wrap(function() while true do end end)) end", STEPS},
        {"while true do coroutine.wrap(function() end)() end", STEPS},
        {"for i = 1, 20000 do coroutine.wrap(function() for j = 1, 50 do end end)() end", STEPS},
        {"for i = 1, 20000 do coroutine.resume(coroutine.create(function() for j = 1, 50 do end "
         "end)) end",
         STEPS},
        {"coroutine.wrap(function() local x <close> = setmetatable({}, {__close = function() while "
         "true do end end}) error 'x' end)()",
         STEPS},
        {"local x <close> = setmetatable({}, {__close = function() while true do end end})", STEPS},
        {"local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = "
         "function() while true do end end}) coroutine.yield() end) coroutine.resume(co) "
         "coroutine.close(co)",
         STEPS},
        {"error(setmetatable({}, {__tostring = function() while true do end end}))", STEPS},
        {"return setmetatable({}, {__index = function() while true do end end}).x", STEPS},
        {"table.sort({3, 2, 1}, function() while true do end end)", STEPS},
        {"('x'):gsub('x', function() while true do end end)", STEPS},
        {"local t = setmetatable({}, {__pairs = function() return function() return 1 end end}) "
         "for _ in pairs(t) do end",
         STEPS},
    };
    check_rows(rows, sizeof rows / sizeof *rows);
}

static void test_long_in_c(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"return (('a'):rep(30000)):find(('.-'):rep(12) .. 'b')", STEPS},
        {"return (('a'):rep(30000)):match(('a*'):rep(12) .. 'b')", STEPS},
        {"return (('a'):rep(30000)):gsub(('a?'):rep(30) .. ('a'):rep(60) .. 'b', '')", STEPS},
        {"for _ in (('a'):rep(30000)):gmatch('.-.-.-.-b') do end", STEPS},
        {"return ('x'):rep(1e5):find(('%1'):rep(10))", FAILED, "t.lua:1: invalid capture index"},
        {"return ('('):rep(30000):find(('%b()'):rep(1))", STEPS},
        {"table.move({}, 1, 1 << 60, 2)", STEPS},
        {"while true do local s = ('x'):rep(1000000) s:lower() end", STEPS},
        {"local t = {} for i = 1, 50000 do t[i] = '' end while true do table.concat(t) end", STEPS},
        {"local t = {} for i = 1, 50000 do t[i] = i end while true do table.sort(t) end", STEPS},
        {"local t = {} for i = 1, 50000 do t[i] = i end while true do table.insert(t, 1, 0) end",
         STEPS},
        {"local s = ('x'):rep(1000000) while true do utf8.len(s) end", STEPS},
        {"return #string.rep('', 1 << 60)", NULL, "0"},
        {"table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 'x')", FAILED,
         "t.lua:1: bad argument #1"},
        {"table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)", FAILED,
         "t.lua:1: bad argument #1"},
        {"return table.unpack({}, 1, 1e9)", FAILED, "t.lua:1: too many results to unpack"},
        /* Work by the arguments, not by what is there; functions of C that no hook sees. */
        {"table.concat(setmetatable({}, {__index = getmetatable, __metatable = ''}), '', 1, "
         "math.maxinteger)",
         STEPS},
        {"table.concat(setmetatable({}, {__index = getmetatable, __metatable = ''}), '', "
         "math.mininteger, math.maxinteger)",
         STEPS},
        {"local t = setmetatable({}, {__index = getmetatable}) while true do pcall(table.unpack, "
         "t, 1, 900000) end",
         STEPS},
        {"local t = {} for i = 1, 1900 do t = setmetatable({}, {__index = t}) end "
         "for i = 1, 5 do select('#', table.unpack(t, 1, 20000)) end",
         STEPS},
        {"local t = {} for i = 1, 1900 do t = setmetatable({}, {__newindex = t}) end "
         "table.move({}, 1, 20000, 1, t)",
         STEPS},
        {"local a, b = ('x'):rep(1000000), ('x'):rep(999999) .. 'x' local t = {} for i = 1, 300 do "
         "t[i] = i % 2 == 0 and a or b end table.sort(t)",
         STEPS},
        {"return table.unpack('text', 1, 10)", FAILED, "t.lua:1: bad argument #1"},
        {"return table.unpack({1, 2, 3}, -1, 2)", NULL, "nil"},
        {"return table.concat({1, 2, 3}, '-', 2)", NULL, "2-3"},
        {"return '[' .. table.concat({1, 2, 3}, '-', 3, 2) .. ']'", NULL, "[]"},
    };
    check_rows(rows, sizeof rows / sizeof *rows);
}

static void test_large(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"local t = {} for i = 1, 1e9 do t[i] = i end", MEMORY},
        {"local s = 'x' while true do s = s .. s end", MEMORY},
        {"return ('x'):rep(1e9)", FAILED, "t.lua:1: resulting string too large"},
        {"local t = {} while true do t = {t} end", MEMORY},
        {"local t, k = {}, ('x'):rep(4000) while true do t[#t + 1] = {coroutine.create(function() "
         "end), "
         "k .. #t} end",
         MEMORY},
        {"return select('#', table.unpack(table.pack(('x'):rep(900000):byte(1, -1))))", MEMORY},
        /* What was freed is there again: the limit is of what is held at a time. */
        {"local k = ('x'):rep(1000) for i = 1, 10 do local s = k:rep(2000) .. i end return 'ok'",
         NULL, "ok"},
        {"local s = ('x'):rep(1000):rep(8000) return pcall(function() return s .. s .. s end)",
         NULL, "false"},
        {"local function f() return 1 + f() end f()", MEMORY},
        {"local function f() return pcall(f) end return f()", NULL, ""},
        {"local t = {} for i = 1, 300 do t = setmetatable({}, {__index = t}) end return t.x", NULL,
         "nil"},
        {"local function f() return coroutine.wrap(f)() end f()", FAILED, ""},
        {"return tostring(setmetatable({}, {__tostring = function(s) return tostring(s) end}))",
         FAILED, ""},
        {"for i = 1, 1000 do print(i) end", FAILED, "t.lua:1: print: a run may print 100 lines"},
    };
    check_rows(rows, sizeof rows / sizeof *rows);
}

static void test_not_there(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"return type(io) .. type(debug) .. type(package) .. type(require)", NULL, "nilnilnilnil"},
        {"return type(load) .. type(loadstring) .. type(dofile) .. type(loadfile)", NULL,
         "nilnilnilnil"},
        {"return type(string.dump) .. type(collectgarbage) .. type(warn)", NULL, "nilnilnil"},
        {"return type(os.execute) .. type(os.getenv) .. type(os.exit) .. type(os.time())", NULL,
         "nilnilnilnumber"},
        {"return type(('').dump)", NULL, "nil"},
        {"setmetatable({}, {__gc = function() while true do end end})", FAILED,
         "t.lua:1: bad argument #2"},
        {"setmetatable({}, {__gc = true})", FAILED, "t.lua:1: bad argument #2"},
        {"local mt = {} local t = setmetatable({}, mt) mt.__gc = function() while true do end end "
         "t "
         "= nil for i = 1, 100000 do local x = {} end return 'ok'",
         NULL, "ok"},
        {"return getmetatable(print) == nil", NULL, "true"},
        {"local s = '' for k in pairs(_G) do if type(_G[k]) == 'table' then s = s .. '.' end end "
         "return #s",
         NULL, "7"},
    };
    check_rows(rows, sizeof rows / sizeof *rows);
}

static void test_errors(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"local x = nil\nreturn x.y", FAILED, "t.lua:2: attempt to index a nil value (local 'x')"},
        {"return 1 +", FAILED, "t.lua:1: unexpected symbol near <eof>"},
        {"error('plain', 0)", FAILED, "plain"},
        {"error()", FAILED, "nil"},
        {"error {message = 'no'}", "function-refused", "no"},
        {"error {message = 'no', type = 'permission-denied'}", "permission-denied", "no"},
        {"error {message = 'no', type = 'made-up'}", "function-refused", "no"},
        {"error {message = 7}", FAILED, "table: "},
        {"error(setmetatable({}, {__index = {message = 'inherited'}}))", FAILED, "table: "},
        {"\033Lua", FAILED, "attempt to load a binary chunk"},
    };
    check_rows(rows, sizeof rows / sizeof *rows);
}

static void test_error_fields(void **state) {
    (void)state;
    struct inst_sandbox box;
    struct inst_err err = {0};
    struct job job;
    inst_sandbox_init(&box, &env, &limits, NULL);
    assert_int_equal(
        run_in(&box, "error {message = 'm', status = 409, hint = {a = {1}}}", &job, &err),
        INST_FAILED);
    assert_int_equal(err.status, 409);
    assert_string_equal(err.hint, "{\"a\":[1]}");
    assert_int_equal(run_in(&box, "error {message = 'm', status = 200, hint = 'text'}", &job, &err),
                     INST_FAILED);
    assert_int_equal(err.status, 400);
    assert_null(err.hint);
    assert_int_equal(run_in(&box, "local function f() error 'x' end f()", &job, &err), INST_FAILED);
    const char *trace = inst_sandbox_trace(&box);
    assert_true(strstr(trace, "t.lua:1: in upvalue") != NULL ||
                strstr(trace, "t.lua:1: in local") != NULL);
    inst_err_clear(&err);
    inst_sandbox_free(&box);
}

static void test_nothing_is_left(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"x = 1 string.y = 2 math.pi = 3 getmetatable('').__index.z = 4 _G.print = nil "
         "table.insert = nil return x + ('').z",
         NULL, "5"},
        {"return tostring(x) .. tostring(string.y) .. tostring(('').z) .. type(print) .. "
         "type(table.insert)",
         NULL, "nilnilnilfunctionfunction"},
        {"return math.pi > 3.1", NULL, "true"},
    };
    check_rows(rows, sizeof rows / sizeof *rows);
    /* Nor is chance the same. */
    struct inst_sandbox box;
    struct inst_err err = {0};
    struct job first, second;
    inst_sandbox_init(&box, &env, &limits, NULL);
    assert_int_equal(run_in(&box, "return math.random(1 << 60)", &first, &err), INST_OK);
    assert_int_equal(run_in(&box, "return math.random(1 << 60)", &second, &err), INST_OK);
    assert_string_not_equal(first.result, second.result);
    inst_sandbox_free(&box);
}

static void test_time(void **state) {
    (void)state;
    static const struct inst_sandbox_limits hasty = {(size_t)16 << 20, INT64_MAX, 1};
    static const char *const texts[] = {
        "while true do end",
        "while true do pcall(string.rep, 'x', 10000000) end",
        "return (('a'):rep(30000)):find(('.-'):rep(12) .. 'b')",
    };
    struct inst_sandbox box;
    inst_sandbox_init(&box, &env, &hasty, NULL);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct inst_err err = {0};
        struct job job;
        assert_int_equal(run_in(&box, texts[i], &job, &err), INST_FAILED);
        assert_string_equal(err.message, "The function takes longer than 1 ms.");
        inst_err_clear(&err);
    }
    inst_sandbox_free(&box);
}

static int64_t leap(void *ctx) {
    int64_t *now = ctx;
    return *now += 60;
}

/* What the processor did not do for it counts too, ten times as slowly. */
static void test_clock(void **state) {
    (void)state;
    int64_t now = 1700000000000;
    const struct inst_env slow = {&now, leap, random_bytes, on_log};
    static const struct inst_sandbox_limits patient = {(size_t)16 << 20, 2000000, 3600};
    struct inst_sandbox box;
    struct inst_err err = {0};
    struct job job;
    inst_sandbox_init(&box, &slow, &patient, NULL);
    assert_int_equal(run_in(&box, "for i = 1, 50000 do end return 'ok'", &job, &err), INST_OK);
    assert_int_equal(run_in(&box, "pcall(function() while true do end end)", &job, &err),
                     INST_FAILED);
    assert_string_equal(err.type, "function-limit");
    assert_string_equal(err.message, "The function takes longer than 36000 ms on the clock.");
    inst_err_clear(&err);
    inst_sandbox_free(&box);
}

static void test_long_print(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"print(('x'):rep(8000), ('y'):rep(8000))", NULL, "nil"},
        {"print(('\\n'):rep(1000000))", NULL, "nil"},
        {"print(('\\u{e4}'):rep(5000))", NULL, "nil"},
        {"local s = ('z'):rep(1000000) for i = 1, 20 do print(s, s, s, s) end", NULL, "nil"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_rows(&rows[i], 1);
        size_t len = strlen(logged);
        assert_in_range(len, 8190, 8192 + strlen("script: ..."));
        assert_string_equal(logged + len - 3, "...");
        assert_true(inst_text_is_utf8(logged, len));
    }
}

static void test_print(void **state) {
    (void)state;
    static const struct row row = {"print('a\\nb\\rc', 1, nil)", NULL, "nil"};
    lines = 0;
    check_rows(&row, 1);
    assert_string_equal(logged, "script: a\\nb\\rc\t1\tnil");
    assert_int_equal(lines, 1);
}

/* ---- patterns: as Lua's own ---- */

static void compare_patterns(lua_State *L, const char *subject, const char *pattern) {
    static const char code[] =
        "local stock, ours, s, p = ...\n"
        "local function list(lib, s, p)\n"
        "  local out = {}\n"
        "  for a, b, c in lib.gmatch(s, p) do out[#out + 1] = tostring(a) .. tostring(b) .. "
        "tostring(c) end\n"
        "  return table.concat(out, ';')\n"
        "end\n"
        "local function same(f, ...)\n"
        "  local a, b = table.pack(pcall(f, stock, ...)), table.pack(pcall(f, ours, ...))\n"
        "  assert(a[1] == b[1], tostring(a[2]) .. ' / ' .. tostring(b[2]))\n"
        "  assert(a.n == b.n, a.n .. ' / ' .. b.n)\n"
        "  for i = 2, a.n do assert(a[i] == b[i], tostring(a[i]) .. ' / ' .. tostring(b[i])) end\n"
        "end\n"
        "for _, init in ipairs { 1, 2, -1, 0, 40 } do\n"
        "  same(function(lib) return lib.find(s, p, init) end)\n"
        "  same(function(lib) return lib.match(s, p, init) end)\n"
        "end\n"
        "same(function(lib) return lib.find(s, p, 1, true) end)\n"
        "same(function(lib) return list(lib, s, p) end)\n"
        "same(function(lib) return lib.gsub(s, p, '<%0>') end)\n"
        "same(function(lib) return lib.gsub(s, p, '%1%%', 2) end)\n"
        "same(function(lib) return lib.gsub(s, p, function(a) return a == 'a' and 'X' end) end)\n"
        "same(function(lib) return lib.gsub(s, p, { a = 1, b = false }) end)\n"
        "same(function(lib) return lib.gsub(s, p, '%9') end)\n";
    if (luaL_loadstring(L, code) != LUA_OK)
        luaL_error(L, "%s", lua_tostring(L, -1));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_pushstring(L, subject);
    lua_pushstring(L, pattern);
    if (lua_pcall(L, 4, 0, 0) != LUA_OK)
        luaL_error(L, "\"%s\" in \"%s\": %s", pattern, subject, lua_tostring(L, -1));
}

static void make_text(char *out, size_t size, const char *const *parts, size_t count,
                      unsigned most) {
    out[0] = '\0';
    for (unsigned n = (unsigned)(next_random() % (most + 1)); n > 0; n--)
        strncat(out, parts[next_random() % count], size - strlen(out) - 1);
}

static int compare_all(lua_State *L) {
    static const char *const letters[] = {"a", "b", "(", ")", "1", " ", "ab", "\xc3\xa4", "%", "]"};
    static const char *const items[] = {
        "a",     "b",  ".",  "%a", "%d", "%S",   "[ab]", "[^a]", "[a-z]", "[]a]", "[%d%]]", "[",
        "(",     ")",  "*",  "+",  "-",  "?",    "^",    "$",    "%1",    "%2",   "%b()",   "%b",
        "%f[a]", "%f", "()", "%",  "%%", "(a*)", "(.-)", "(b)",  "[^",    "%W",   "[a-]",   " ",
    };
    char subject[128], pattern[128];
    lua_settop(L, 0);
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
    lua_createtable(L, 0, 4);
    inst_script_open_patterns(L);
    for (int i = 0; i < 4000; i++) {
        make_text(subject, sizeof subject, letters, sizeof letters / sizeof *letters, 10);
        make_text(pattern, sizeof pattern, items, sizeof items / sizeof *items, 5);
        compare_patterns(L, subject, pattern);
    }
    return 0;
}

static void test_patterns(void **state) {
    (void)state;
    static const struct inst_sandbox_limits ample = {(size_t)64 << 20, INT64_MAX, 3600000};
    struct inst_sandbox box;
    struct inst_err err = {0};
    inst_sandbox_init(&box, &env, &ample, NULL);
    if (inst_sandbox_run(&box, compare_all, &err) != INST_OK)
        fail_msg("%s", err.message);
    inst_sandbox_free(&box);
}

/* ---- the region ---- */

static void test_region(void **state) {
    (void)state;
    enum { BLOCKS = 200 };
    struct inst_region region;
    struct {
        unsigned char *at;
        size_t size;
    } blocks[BLOCKS] = {{0}};
    inst_region_init(&region, (size_t)1 << 20);
    for (int round = 0; round < 20000; round++) {
        size_t i = next_random() % BLOCKS,
               size = next_random() % 4 ? next_random() % 600 : next_random() % 20000;
        for (size_t k = 0; k < blocks[i].size; k++)
            assert_int_equal(blocks[i].at[k], (unsigned char)(i + k));
        unsigned char *at =
            inst_region_alloc(&region, blocks[i].at, blocks[i].at ? blocks[i].size : 5, size);
        assert_true(region.taken <= region.limit);
        if (at == NULL && size > 0)
            continue; /* as it was */
        for (size_t k = 0; k < blocks[i].size && k < size; k++)
            assert_int_equal(at[k], (unsigned char)(i + k));
        blocks[i].at = at;
        blocks[i].size = size;
        for (size_t k = 0; k < size; k++)
            at[k] = (unsigned char)(i + k);
    }
    assert_null(inst_region_alloc(&region, NULL, 0, (size_t)1 << 20));
    assert_null(inst_region_alloc(&region, NULL, 0, SIZE_MAX - 8));
    inst_region_clear(&region);
    assert_non_null(inst_region_alloc(&region, NULL, 0, 400000));
    inst_region_free(&region);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endless),         cmocka_unit_test(test_long_in_c),
        cmocka_unit_test(test_large),           cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_errors),          cmocka_unit_test(test_error_fields),
        cmocka_unit_test(test_nothing_is_left), cmocka_unit_test(test_time),
        cmocka_unit_test(test_print),           cmocka_unit_test(test_long_print),
        cmocka_unit_test(test_clock),           cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
