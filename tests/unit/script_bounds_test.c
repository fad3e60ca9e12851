/*
 * What a script's functions may take on their way out of Lua and into it, and leave in the log.
 */
#include "script_fixture.h"

/* Metatables that C sets are at hand: none of them is a way to a finalizer. */
static void test_no_finalizers(void **state) {
    struct world *w = *state;
    load(w, "local server = ...\n"
            "local instant = require 'instant'\n"
            "local ran = false\n"
            "local function finalize(object)\n"
            "  local mt = getmetatable(object)\n"
            "  mt.__gc = function() ran = true end\n"
            "end\n"
            "server.query('array', function()\n"
            "  finalize(instant.array {})\n"
            "  local text = '[' .. ('1,'):rep(1000) .. '1]'\n"
            "  for i = 1, 400 do instant.json.decode(text) end\n"
            "  return ran\n"
            "end)\n"
            "server.query('error', function()\n"
            "  local _, err = pcall(instant.json.decode, '{')\n"
            "  finalize(err)\n"
            "  for i = 1, 20000 do pcall(instant.json.decode, '{') end\n"
            "  return ran\n"
            "end)\n");
    expect_body(w, done(w, "POST", FN "array", "", NULL), "{'result':false}");
    expect_body(w, done(w, "POST", FN "error", "", NULL), "{'result':false}");
}

#define TOO_LONG "The function takes more than 1000000 steps."
#define TOO_LARGE "The function needs more than 32 MB."

static void limited(struct world *w, const char *name, const char *body, const char *message) {
    struct answer *answer = call(w, "POST", name, "", body);
    assert_int_equal(answer->status, 500);
    expect_text(inst_getz(&answer->value, "type"), "function-limit");
    expect_text(inst_getz(&answer->value, "message"), message);
}

/* What leaves Lua, or comes to it, is counted as what is in it. */
static void test_conversions(void **state) {
    struct world *w = *state;
    load(w, "local server = ...\n"
            "local instant = require 'instant'\n"
            "local function tree() local t = 1 for i = 1, 22 do t = { t, t } end return t end\n"
            "local function copies(text, n)\n"
            "  local out = {}\n"
            "  for i = 1, n do out[i] = text end\n"
            "  return out\n"
            "end\n"
            "server.query('tree', tree)\n"
            "server.query('encode', function() return pcall(instant.json.encode, tree()) end)\n"
            "server.query('hint', function() error { message = 'm', hint = { t = tree() } } end)\n"
            "server.query('copies', function(_, n) return copies(('x'):rep(100000), n) end)\n"
            "server.query('escapes', function(_, n) return copies(('\\1'):rep(100000), n) end)\n"
            "server.query('decode', function(_, n)\n"
            "  return pcall(instant.json.decode, '[' .. ('1,'):rep(n) .. '1]')\n"
            "end)\n"
            "server.query('again', function()\n"
            "  local text, all = '[' .. ('1,'):rep(100000) .. '1]', 0\n"
            "  for i = 1, 12 do all = all + #instant.json.decode(text) end\n"
            "  return all\n"
            "end)\n"
            "server.query('weak', function() return setmetatable({ {} }, { __mode = 'v' }) end)\n"
            "server.route('GET', '/heads', function()\n"
            "  local headers, text = {}, ('x'):rep(1000)\n"
            "  for i = 1, 70 do headers['x-' .. i] = text end\n"
            "  return { headers = headers }\n"
            "end)\n"
            "server.route('GET', '/tree', function() return { body = tree() } end)\n");
    limited(w, FN "tree", NULL, TOO_LONG);
    limited(w, FN "encode", NULL, TOO_LONG);
    limited(w, FN "hint", NULL, TOO_LONG);
    limited(w, FN "copies", "1000", TOO_LONG);
    limited(w, FN "escapes", "100", TOO_LARGE);
    limited(w, FN "decode", "1100000", TOO_LARGE);
    struct answer *answer = call(w, "GET", "/apps/{app}/routes/heads", ADMIN_TOKEN, NULL);
    expect_text(inst_getz(&answer->value, "message"), "headers: more than 64 KB");
    answer = call(w, "GET", "/apps/{app}/routes/tree", "", NULL);
    assert_int_equal(answer->status, 500);
    expect_text(inst_getz(&answer->value, "message"), TOO_LONG);
    expect_body(w, done(w, "POST", FN "decode", "", "10000"), "{'result':true}");
    expect_body(w, done(w, "POST", FN "again", "", NULL), "{'result':1200012}");
    denied(w, "POST", FN "weak", "", NULL, "param-malformed", "value: a weak table is not a value");
}

static size_t longest;

static void measure_line(void *ctx, enum inst_log_level level, const char *line) {
    (void)ctx;
    (void)level;
    if (strlen(line) > longest)
        longest = strlen(line);
}

static void test_long_error(void **state) {
    struct world *w = *state;
    load(w, "local server = ...\n"
            "server.query('long', function() error(('x'):rep(1000000)) end)\n");
    w->env.log = measure_line;
    longest = 0;
    assert_int_equal(call(w, "POST", FN "long", "", NULL)->status, 500);
    assert_in_range(longest, INST_SANDBOX_LINE, 2 * INST_SANDBOX_LINE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_no_finalizers),
        TEST(test_conversions),
        TEST(test_long_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
