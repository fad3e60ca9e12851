/*
 * Functions, checks and routes of a script, asked through the engine: who may, what is kept, what
 * is answered, what a failing one leaves.
 */
#include "script_fixture.h"

static void load_fails(struct world *w, const char *text, const char *message) {
    struct inst_err err = {0};
    (void)w;
    assert_int_equal(inst_scripts_load(scripts, NULL, "@app.lua", text, strlen(text), NULL, &err),
                     INST_FAILED);
    assert_string_equal(err.message, message);
    inst_err_clear(&err);
}

static void set_rules(struct world *w, const char *rules) {
    char body[1024];
    snprintf(body, sizeof body, "{'code':%s}", rules);
    done(w, "POST", "/dash/apps/{app}/rules", ADMIN_TOKEN, body);
}

/* ---- functions ---- */

static void test_calls(void **state) {
    struct world *w = *state;
    denied(w, "POST", FN "any", ADMIN_TOKEN, NULL, "record-not-found",
           "Record not found: function");
    load(w,
         "local server = ...\n"
         "server.query('params', function(ctx, params) return params end)\n"
         "server.query('who', function(ctx) return { app = #ctx.app, isAdmin = ctx.isAdmin,\n"
         "  user = ctx.user and ctx.user.email } end)\n"
         "server.query('titles', function(ctx)\n"
         "  local out = {}\n"
         "  for i, todo in ipairs(ctx.db.query { todos = {} }.todos) do out[i] = todo.title end\n"
         "  return out\n"
         "end)\n"
         "server.live('ranked', function(ctx, params)\n"
         "  return { todos = { ['$'] = { where = { rank = params.rank } } } }\n"
         "end)\n");
    expect_body(w, done(w, "POST", FN "params", "", "{'a':[1,null,{'b':'c'}]}"),
                "{'result':{'a':[1,null,{'b':'c'}]}}");
    expect_body(w, done(w, "POST", FN "params", "", NULL), "{'result':null}");
    expect_body(w, done(w, "POST", FN "params", "", "[]"), "{'result':[]}");
    expect_body(w, done(w, "POST", FN "who", ADMIN_TOKEN, NULL),
                "{'result':{'app':36,'isAdmin':true}}");
    expect_body(w, done(w, "POST", FN "who", USER, NULL),
                "{'result':{'app':36,'isAdmin':false,'user':'a@b.c'}}");
    expect_body(w, done(w, "POST", FN "who", "", NULL), "{'result':{'app':36,'isAdmin':false}}");
    expect_body(w, done(w, "POST", FN "who", ADMIN_TOKEN "|app-id: {app}|as-email: a@b.c", NULL),
                "{'result':{'app':36,'isAdmin':false,'user':'a@b.c'}}");
    expect_body(w, done(w, "POST", FN "who", "app-id: {app}|as-token: " TOKEN, NULL),
                "{'result':{'app':36,'isAdmin':false,'user':'a@b.c'}}");
    expect_body(w, done(w, "POST", FN "who", ADMIN_TOKEN "|app-id: {app}|as-guest: true", NULL),
                "{'result':{'app':36,'isAdmin':false}}");
    expect_body(w, done(w, "POST", FN "titles", "", NULL), "{'result':['one']}");
    expect_body(w, done(w, "POST", FN "ranked", "", "{'rank':1}"),
                "{'query':{'todos':{'$':{'where':{'rank':1}}}},'result':{'todos':[{'id':'#11',"
                "'title':'one','rank':1,'slug':null}]}}");
}

static void test_who_may(void **state) {
    struct world *w = *state;
    load(w,
         "local server = ...\n"
         "server.query('mine', function(ctx) return ctx.db.query { todos = {} }.todos[1] end)\n"
         "server.query('all', function(ctx) return ctx.admin.query { todos = {} }.todos[1].title "
         "end)\n"
         "server.mutation('add', function(ctx, p) ctx.db.transact(ctx.db.tx.todos[p.id]:update "
         "{ title = p.title }) end)\n"
         "server.mutation('addAsAdmin', function(ctx, p) "
         "ctx.admin.transact(ctx.admin.tx.todos[p.id]:update { title = p.title }) end)\n");
    set_rules(w, "{'todos':{'allow':{'view':'auth.id != null','create':'false'}}}");
    expect_body(w, done(w, "POST", FN "mine", "", NULL), "{'result':null}");
    expect_body(w, done(w, "POST", FN "all", "", NULL), "{'result':'one'}");
    denied(w, "POST", FN "add", USER, "{'id':'#20','title':'x'}", "permission-denied",
           "Permission denied: not perms-pass?");
    expect_body(w, done(w, "POST", FN "addAsAdmin", USER, "{'id':'#20','title':'x'}"),
                "{'result':null}");
    expect_body(w, done(w, "POST", FN "add", ADMIN_TOKEN, "{'id':'#21','title':'y'}"),
                "{'result':null}");
    denied(w, "POST", FN "all", "authorization: Bearer cccccccc-0000-4000-8000-000000000001", NULL,
           "record-not-found", "Record not found: app-user");
    denied(w, "POST", FN "all", "authorization: Bearer nonsense", NULL, "record-not-found",
           "Record not found: app-user");
    denied(w, "POST", "/apps/cccccccc-0000-4000-8000-000000000001/functions/all", "", NULL,
           "record-not-found", "Record not found: app");
    denied(w, "POST", "/apps/x/functions/all", "", NULL, "param-malformed",
           "Malformed parameter: [\"params\" \"app_id\"]");
    denied(w, "POST", FN "all", "", "{", "param-malformed", "Malformed parameter: [\"body\"]");
}

static void test_all_or_nothing(void **state) {
    struct world *w = *state;
    load(w,
         "local server = ...\n"
         "local instant = require 'instant'\n"
         "local function add(ctx, id, title) ctx.db.transact(ctx.db.tx.todos[id]:update { title = "
         "title }) end\n"
         "local function count(ctx) return #ctx.db.query { todos = {} }.todos end\n"
         "server.mutation('two', function(ctx, p) add(ctx, p[1], 'a') add(ctx, p[2], 'b') return "
         "count(ctx) end)\n"
         "server.mutation('refused', function(ctx, p) add(ctx, p[1], 'a') error { message = 'no', "
         "hint = { seen = count(ctx) } } end)\n"
         "server.mutation('endless', function(ctx, p) add(ctx, p[1], 'a') while true do end end)\n"
         "server.mutation('caught', function(ctx, p) add(ctx, p[1], 'a') local ok, err = "
         "pcall(add, ctx, p[2], 7) return { ok, err.type, tostring(err) } end)\n"
         "server.query('writes', function(ctx, p) add(ctx, p[1], 'a') end)\n"
         "server.query('count', count)\n");
    struct connection *c = enter(w, false);
    say(w, c, "{'op':'add-query','q':{'todos':{}}}");
    turn(w);
    expect(c, "add-query-ok");
    const struct inst_value *body =
        denied(w, "POST", FN "refused", "", "['#30']", "function-refused", "no");
    assert_int_equal((int)inst_getz(inst_getz(body, "hint"), "seen")->u.num, 2);
    assert_int_equal(call(w, "POST", FN "endless", "", "['#30']")->status, 500);
    denied(w, "POST", FN "writes", "", "['#30']", "validation-failed",
           "Only mutations, routes and reactions may transact.");
    turn(w);
    expect_nothing(c);
    expect_body(w, done(w, "POST", FN "count", "", NULL), "{'result':1}");
    expect_body(w, done(w, "POST", FN "two", "", "['#30','#31']"), "{'result':3}");
    turn(w);
    expect(c, "refresh-ok");
    expect_nothing(c);
    expect_body(w, done(w, "POST", FN "caught", "", "['#32','#33']"),
                "{'result':[false,'validation-failed','Invalid value type for todos.title. Value "
                "must be a string but the provided value type is number.']}");
    expect_body(w, done(w, "POST", FN "count", "", NULL), "{'result':4}");
    disconnect(c);
}

/* What is wrong with the script is for its owner. */
static void test_mistakes(void **state) {
    struct world *w = *state;
    load(w, "local server = ...\n"
            "server.query('bug', function() return nil + 1 end)\n"
            "server.query('odd', function() return { 1, x = 2 } end)\n"
            "server.live('notQuery', function() return 7 end)\n");
    struct answer *answer = call(w, "POST", FN "bug", "", NULL);
    assert_int_equal(answer->status, 500);
    expect_text(inst_getz(&answer->value, "type"), "function-failed");
    expect_text(inst_getz(&answer->value, "message"),
                "The function failed; the log of the backend says where.");
    answer = call(w, "POST", FN "bug", ADMIN_TOKEN, NULL);
    expect_text(inst_getz(&answer->value, "message"),
                "app.lua:2: attempt to perform arithmetic on a nil value");
    denied(w, "POST", FN "odd", "", NULL, "param-malformed",
           "value: a table is either a list or an object, this one is both");
    answer = call(w, "POST", FN "notQuery", ADMIN_TOKEN, NULL);
    expect_text(inst_getz(&answer->value, "message"),
                "server.live \"notQuery\" must return an InstaQL query");
}

static void test_loading(void **state) {
    struct world *w = *state;
    load(w, "local server = ... server.query('one', function() return 1 end)");
    load_fails(w, "local server = ...\nserver.query('one' function() end)",
               "app.lua:2: ')' expected near 'function'");
    load_fails(w, "local server = ...\nlocal x = server.nothing.at",
               "app.lua:2: attempt to index a "
               "nil value (field 'nothing')");
    load_fails(w, "local server = ...\nserver.query(7)",
               "app.lua:2: server.query: expected a name, got number");
    load_fails(w, "local server = ...\nserver.query('a', 7)",
               "app.lua:2: server.query \"a\": expected a function, got number");
    load_fails(w,
               "local server = ...\nlocal f = function() end server.query('a', f)\n"
               "server.mutation('a', f)",
               "app.lua:3: server.mutation \"a\" is declared already");
    load_fails(w, "while true do end", "The function takes more than 1000000 steps.");
    load_fails(w, "require 'other'",
               "app.lua:1: module 'other' was not required when the script was loaded");
    load_fails(w, "require 'instant.core'",
               "app.lua:1: module 'instant.core' was not required when the script was loaded");
    /* The one before is there all the time. */
    expect_body(w, done(w, "POST", FN "one", "", NULL), "{'result':1}");
    load(w, "local server = ... server.query('two', function() return 2 end)");
    expect_body(w, done(w, "POST", FN "two", "", NULL), "{'result':2}");
    denied(w, "POST", FN "one", "", NULL, "record-not-found", "Record not found: function");
}

static void test_nothing_is_left(void **state) {
    struct world *w = *state;
    load(w, "local server = ...\n"
            "local instant = require 'instant'\n"
            "local count, kept = 0, {}\n"
            "server.query('count', function(ctx, p)\n"
            "  count = count + 1\n"
            "  kept[#kept + 1] = p\n"
            "  global = (global or 0) + 1\n"
            "  instant.seen = (instant.seen or 0) + 1\n"
            "  string.seen = (string.seen or 0) + 1\n"
            "  return { count, #kept, global, instant.seen, string.seen }\n"
            "end)\n");
    for (int i = 0; i < 3; i++)
        expect_body(w, done(w, "POST", FN "count", "", "{'a':1}"), "{'result':[1,1,1,1,1]}");
    /* Nor of a script whose state is too large for an image: it runs with each call. */
    load(w, "local server = ...\n"
            "local large, count = {}, 0\n"
            "for i = 1, 40000 do large[i] = i end\n"
            "server.query('count', function() count = count + large[1] return { count, #large } "
            "end)\n");
    for (int i = 0; i < 3; i++)
        expect_body(w, done(w, "POST", FN "count", "", NULL), "{'result':[1,40000]}");
}

static void test_apps_apart(void **state) {
    struct world *w = *state;
    struct inst_err err = {0};
    struct inst_app_info other;
    char token[INST_UUID_TEXT + 1], path[512];
    static const char text[] = "local server = ... server.query('which', function(ctx) return "
                               "{ 'other', ctx.db.query { todos = {} } } end)";
    assert_int_equal(inst_server_create_app(w->server, "Other", NULL, 0, &other, token, &err),
                     INST_OK);
    load(w, "local server = ... server.query('which', function() return 'all' end)\n"
            "server.check('todos', function() error { message = 'no' } end)");
    assert_int_equal(
        inst_scripts_load(scripts, other.id, "@other.lua", text, strlen(text), NULL, &err),
        INST_OK);
    snprintf(path, sizeof path, "/apps/%s/functions/which", other.id);
    expect_body(w, done(w, "POST", path, "", NULL), "{'result':['other',{'todos':[]}]}");
    expect_body(w, done(w, "POST", FN "which", "", NULL), "{'result':'all'}");
    /* The token of one is nothing to the other. */
    denied(w, "POST", path, ADMIN_TOKEN, NULL, "record-not-found", "Record not found: app-user");
}

/* ---- checks ---- */

static const char checks[] =
    "local server = ...\n"
    "server.check('todos', function(ctx, change)\n"
    "  local new = change.new\n"
    "  if new and new.title == 'bad' then\n"
    "    error { type = 'validation-failed', message = 'a bad title', hint = { title = new.title } "
    "}\n"
    "  end\n"
    "  if change.action == 'delete' and change.old.title == 'kept' then error { message = 'it is "
    "kept' } end\n"
    "  if new and new.title and not new.slug then return { slug = new.title:lower(), rank = 7 } "
    "end\n"
    "  if new and new.title == 'broken' then return { nothing = 1 } end\n"
    "  if new and new.title == 'typed' then return { rank = 'seven' } end\n"
    "end)\n";

static void test_check(void **state) {
    struct world *w = *state;
    load(w, checks);
    transact(w, w->admin,
             "[['add-triple','#12','@todos.id','#12'],"
             "['add-triple','#12','@todos.title','Two']]");
    expect_body(w,
                done(w, "POST", "/admin/query?app_id={app}", ADMIN_TOKEN,
                     "{'query':{'todos':{'$':{'where':{'id':'#12'}}}}}"),
                "{'todos':[{'id':'#12','title':'Two','slug':'two','rank':7}]}");
    struct inst_value *error = refused(w, w->admin,
                                       "[['add-triple','#13','@todos.id','#13'],"
                                       "['add-triple','#13','@todos.title','fine'],"
                                       "['add-triple','#14','@todos.id','#14'],"
                                       "['add-triple','#14','@todos.title','bad']]",
                                       "validation-failed", "a bad title");
    expect_text(inst_getz(inst_getz(error, "hint"), "title"), "bad");
    expect_state(w, 13, "");
    expect_state(w, 14, "");
    /* Unique as any value. */
    refused(w, w->admin,
            "[['add-triple','#13','@todos.id','#13'],"
            "['add-triple','#13','@todos.title','TWO']]",
            "record-not-unique",
            "`slug` is a unique attribute on `todos` and an entity already exists with "
            "`todos.slug` = \"two\"");
    refused(w, w->admin, "[['add-triple','#12','@todos.title','broken']]", "validation-failed",
            "Validation failed for check: The check of todos cannot set `nothing`: it is no "
            "attribute of it.");
    refused(
        w, w->admin, "[['add-triple','#12','@todos.title','typed']]", "validation-failed",
        "Invalid value type for todos.rank. Value must be a number but the provided value type is "
        "string.");
    transact(w, w->admin, "[['add-triple','#12','@todos.title','kept']]");
    refused(w, w->admin, "[['delete-entity','#12','todos']]", "function-refused", "it is kept");
    /* Over HTTP and by a function it is the same. */
    denied(w, "POST", "/admin/transact?app_id={app}", ADMIN_TOKEN,
           "{'steps':[['update','todos','#15',{'title':'bad'}]]}", "validation-failed",
           "a bad title");
}

/* What a check is shown. */
static void expect_change(struct world *w, const char *steps, const char *wanted) {
    struct inst_value *error = refused(w, w->admin, steps, "function-refused", "shown");
    expect_body(w, inst_getz(inst_getz(error, "hint"), "changes"), wanted);
}

static void test_changes(void **state) {
    struct world *w = *state;
    load(w, "local server = ...\n"
            "local seen = setmetatable({}, getmetatable(require 'instant'.array {}))\n"
            "server.check('todos', function(ctx, change)\n"
            "  seen[#seen + 1] = change\n"
            "  if not change.new or change.new.title ~= 'go on' then\n"
            "    error { message = 'shown', hint = { changes = seen } }\n"
            "  end\n"
            "end)\n");
    expect_change(w,
                  "[['add-triple','#40','@todos.id','#40'],['add-triple','#40','@todos.title','x'],"
                  "['add-triple','#40','@todos.rank',2]]",
                  "[{'etype':'todos','id':'#40','action':'create','new':{'id':'#40','title':'x',"
                  "'rank':2}}]");
    expect_change(w, "[['add-triple','#11','@todos.title','two']]",
                  "[{'etype':'todos','id':'#11','action':'update','old':{'id':'#11','title':'one',"
                  "'rank':1},'new':{'id':'#11','title':'two','rank':1}}]");
    expect_change(w, "[['delete-entity','#11','todos']]",
                  "[{'etype':'todos','id':'#11','action':'delete','old':{'id':'#11','title':'one',"
                  "'rank':1}}]");
    /* Several writes of one attr, a link to one, links to many; only what is checked is shown. */
    expect_change(
        w,
        "[['add-triple','#50','@lists.id','#50'],['add-triple','#51','@lists.id','#51'],"
        "['add-triple','#11','@todos.title','a'],['add-triple','#11','@todos.title','b'],"
        "['add-triple','#11','@todos.list','#50'],['add-triple','#11','@todos.tags','#50'],"
        "['add-triple','#11','@todos.tags','#51']]",
        "[{'etype':'todos','id':'#11','action':'update','old':{'id':'#11','title':'one',"
        "'rank':1},'new':{'id':'#11','title':'b','rank':1,'list':'#50','tags':['#50',"
        "'#51']}}]");
    expect_change(w,
                  "[['add-triple','#41','@todos.id','#41'],['add-triple','#41','@todos.title','go "
                  "on'],['retract-triple','#11','@todos.rank',1]]",
                  "[{'etype':'todos','id':'#41','action':'create','new':{'id':'#41','title':'go "
                  "on'}},{'etype':'todos','id':'#11','action':'update','old':{'id':'#11','title':"
                  "'one','rank':1},'new':{'id':'#11','title':'one'}}]");
    /* What is written as it was is no change. */
    transact(w, w->admin, "[['add-triple','#11','@todos.title','one']]");
    transact(w, w->admin, "[['add-triple','#50','@lists.id','#50']]");
}

/* A check reads what the transaction wrote, as who wrote, and writes nothing itself. */
static void test_check_reads(void **state) {
    struct world *w = *state;
    load(w,
         "local server = ...\n"
         "server.check('todos', function(ctx, change)\n"
         "  local seen = ctx.admin.query { todos = { ['$'] = { where = { id = change.id } } } }\n"
         "  local title = seen.todos[1].title\n"
         "  if title == 'writes' then ctx.admin.transact(ctx.admin.tx.todos[change.id]:delete()) "
         "end\n"
         "  if title == 'endless' then while true do end end\n"
         "  if title == 'large' then return { title = ('x'):rep(1e9) } end\n"
         "  if title == 'list' then return 7 end\n"
         "  error { message = title .. ' by ' .. tostring(ctx.isAdmin) .. tostring(ctx.user) }\n"
         "end)\n");
    struct connection *c = enter(w, false);
    refused(w, c, "[['add-triple','#11','@todos.title','mine']]", "function-refused",
            "mine by falsenil");
    refused(w, w->admin, "[['add-triple','#11','@todos.title','mine']]", "function-refused",
            "mine by truenil");
    refused(w, w->admin, "[['add-triple','#11','@todos.title','writes']]", "validation-failed",
            "Only mutations, routes and reactions may transact.");
    refused(w, w->admin, "[['add-triple','#11','@todos.title','endless']]", "function-limit",
            "The function takes more than 1000000 steps.");
    refused(w, c, "[['add-triple','#11','@todos.title','large']]", "function-failed",
            "The function failed; the log of the backend says where.");
    refused(w, w->admin, "[['add-triple','#11','@todos.title','list']]", "function-failed",
            "the check of todos must return a table of values or nothing");
    expect_body(w,
                done(w, "POST", "/admin/query?app_id={app}", ADMIN_TOKEN, "{'query':{'todos':{}}}"),
                "{'todos':[{'id':'#11','title':'one','rank':1,'slug':null}]}");
    disconnect(c);
}

/* Rules are asked about what the check made of it. */
static void test_check_and_rules(void **state) {
    struct world *w = *state;
    load(w, "local server = ... server.check('todos', function(ctx, change) return { rank = "
            "change.new.title == 'low' and 1 or 9 } end)");
    set_rules(w, "{'todos':{'allow':{'create':'data.rank == 9'}}}");
    struct connection *c = enter(w, false);
    transact(w, c,
             "[['add-triple','#60','@todos.id','#60'],['add-triple','#60','@todos.title','x'],"
             "['add-triple','#60','@todos.rank',1]]");
    refused(w, c,
            "[['add-triple','#61','@todos.id','#61'],['add-triple','#61','@todos.title','low']]",
            "permission-denied", "Permission denied: not perms-pass?");
    disconnect(c);
}

/* ---- routes ---- */

static const char routes[] =
    "local server = ...\n"
    "server.route('GET', '/hi/:name', function(ctx, r)\n"
    "  return { body = { r.params.name, r.query.a or 0, r.headers['x-one'] or 0 } }\n"
    "end)\n"
    "server.route('POST', '/hooks/in', function(ctx, r)\n"
    "  ctx.admin.transact(ctx.admin.tx.todos[require 'instant'.json.decode(r.body)]:update { title "
    "= 'hook' })\n"
    "  return { status = 202, body = 'taken', headers = { ['X-Two'] = '2' } }\n"
    "end)\n"
    "server.route('GET', '/', function() return {} end)\n"
    "server.route('GET', '/page', function() return { headers = { ['content-type'] = 'text/html' "
    "}, body = '<p>' } end)\n"
    "server.route('GET', '/bad/header', function() return { headers = { a = 'x\\r\\ny' } } end)\n"
    "server.route('GET', '/bad/own', function() return { headers = { ['Content-Length'] = '1' } } "
    "end)\n"
    "server.route('GET', '/bad/status', function() return { status = 101 } end)\n"
    "server.route('GET', '/bad/body', function() return 'text' end)\n";

#define AT "/apps/{app}/routes"

static void test_routes(void **state) {
    struct world *w = *state;
    load(w, routes);
    expect_body(w, done(w, "GET", AT "/hi/joe?a=b+%2b&a=c", "x-one: 1", NULL), "['joe','b +','1']");
    struct answer *answer = call(w, "POST", AT "/hooks/in", "", "'#70'");
    assert_int_equal(answer->status, 202);
    assert_string_equal(answer->text, "taken");
    assert_string_equal(answer->head, "X-Two: 2\r\n");
    expect_state(w, 70, "todos.id=#70 todos.slug=null todos.title='hook'");
    assert_int_equal(call(w, "GET", AT, "", NULL)->status, 200);
    assert_int_equal(call(w, "GET", AT "/page", "", NULL)->status, 200);
    static const char *const none[] = {AT "/hi", AT "/hi/", AT "/hi/a/b", AT "x", AT "/HI/a"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(call(w, "GET", none[i], "", NULL)->status, 404);
    assert_int_equal(call(w, "DELETE", AT "/page", "", NULL)->status, 404);
    static const char *const bad[] = {AT "/bad/header", AT "/bad/own", AT "/bad/status",
                                      AT "/bad/body"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        answer = call(w, "GET", bad[i], "", NULL);
        assert_int_equal(answer->status, 500);
        assert_string_equal(answer->head, "");
    }
    struct inst_err err = {0};
    static const char text[] = "local server = ... server.route('PATCH', '/', function() end)";
    assert_int_equal(inst_scripts_load(scripts, NULL, "@app.lua", text, strlen(text), NULL, &err),
                     INST_FAILED);
    inst_err_clear(&err);
}

/* ---- reactions ---- */

static const char reactions[] =
    "local server = ...\n"
    "local instant = require 'instant'\n"
    "server.reaction { name = 'log', etype = 'todos',\n"
    "  onCreate = function(ctx, change)\n"
    "    if change.new.title == 'fails' then error { message = 'not now' } end\n"
    "    ctx.admin.transact(ctx.admin.tx.lists[instant.id()]:update { name = 'created ' .. "
    "change.new.title })\n"
    "  end,\n"
    "  onDelete = function(ctx, change)\n"
    "    ctx.admin.transact(ctx.admin.tx.lists[instant.id()]:update { name = 'deleted ' .. "
    "change.old.title .. #ctx.key })\n"
    "  end }\n"
    "server.reaction { name = 'quiet', etype = 'todos', onUpdate = function(ctx, change)\n"
    "  assert(change.old.title ~= change.new.title and ctx.user == nil and not ctx.isAdmin)\n"
    "end }\n"
    "server.query('names', function(ctx)\n"
    "  local names = instant.array()\n"
    "  for i, list in ipairs(ctx.admin.query { lists = {} }.lists) do names[i] = list.name end\n"
    "  table.sort(names)\n"
    "  return names\n"
    "end)\n";

static void turns(struct world *w) {
    for (int i = 0; i < 100 && inst_server_is_pending(w->server); i++)
        turn(w);
    assert_false(inst_server_is_pending(w->server));
}

static void expect_names(struct world *w, const char *names) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "{'result':%s}", names);
    turns(w);
    expect_body(w, done(w, "POST", FN "names", "", NULL), wanted);
}

static void put(struct world *w, const char *id, const char *title) {
    char steps[256];
    snprintf(steps, sizeof steps,
             "[['add-triple','%s','@todos.id','%s'],['add-triple','%s','@todos.title','%s']]", id,
             id, id, title);
    transact(w, w->admin, steps);
}

/* What was there before is not told; what comes is, once, in order. */
static void test_reactions(void **state) {
    struct world *w = *state;
    load(w, reactions);
    expect_names(w, "[]");
    put(w, "#12", "a");
    put(w, "#12", "b");
    put(w, "#13", "c");
    transact(w, w->admin, "[['delete-entity','#12','todos']]");
    expect_names(w, "['created a','created c','deleted b36']");
    turns(w);
    expect_names(w, "['created a','created c','deleted b36']");
    assert_true(inst_server_due_ms(w->server) == INT64_MAX);
}

/* A change that fails is tried again, later each time, and given up; others wait for it. */
static void test_reaction_fails(void **state) {
    struct world *w = *state;
    int tries = 0;
    load(w, reactions);
    turns(w);
    put(w, "#12", "fails");
    put(w, "#13", "later");
    expect_names(w, "[]");
    for (int64_t due; (due = inst_server_due_ms(w->server)) != INT64_MAX; tries++) {
        assert_true(due > w->now && due <= w->now + 60000);
        expect_names(w, "[]");
        w->now = due;
        assert_true(inst_server_is_pending(w->server));
        turns(w);
    }
    assert_int_equal(tries, 7);
    expect_names(w, "['created later']");
}

/* A script that is right again is tried at the next time. */
static void test_reaction_mended(void **state) {
    struct world *w = *state;
    load(w, reactions);
    turns(w);
    put(w, "#12", "fails");
    turns(w);
    char *mended = strdup(reactions);
    memcpy(strstr(mended, "'fails'"), "'other'", 7);
    load(w, mended);
    free(mended);
    expect_names(w, "['created fails']");
}

/* Places are kept with the data: a backend that starts again goes on behind what was taken, also
 * with what came while it had no script. */
static void test_reaction_restart(void **state) {
    struct world *w = *state;
    struct inst_err err = {0};
    load(w, reactions);
    turns(w);
    put(w, "#12", "a");
    expect_names(w, "['created a']");
    disconnect(w->admin);
    inst_scripts_free(scripts);
    scripts = NULL;
    on_close_apps(w);
    assert_int_equal(inst_apps_open_dir(folder, NULL, &w->env, &w->apps, &err), INST_OK);
    world_start(w);
    w->admin = enter(w, true);
    put(w, "#13", "b");
    load(w, reactions);
    expect_names(w, "['created a','created b']");
}

/* However many apps have reactions: no turn opens more than one of them. */
static void test_reactions_open_apps(void **state) {
    struct world *w = *state;
    struct inst_err err = {0};
    size_t apps = 6;
    for (size_t i = 1; i < apps; i++)
        done(w, "POST", "/dash/apps/ephemeral", "a: b", "{'title':'one of many'}");
    turns(w);
    disconnect(w->admin);
    on_close_apps(w);
    assert_int_equal(inst_apps_open_dir(folder, NULL, &w->env, &w->apps, &err), INST_OK);
    world_start(w);
    load(w, reactions);
    for (size_t before = w->server->app_count; inst_server_is_pending(w->server);
         before = w->server->app_count) {
        turn(w);
        assert_in_range(w->server->app_count, before, before + 1);
    }
    assert_int_equal(w->server->app_count, apps);
    w->admin = enter(w, true);
}

/* A reaction's writes and its place are one commit. */
static void test_reaction_is_atomic(void **state) {
    struct world *w = *state;
    load(w,
         "local server = ...\n"
         "server.reaction { name = 'r', etype = 'todos', onCreate = function(ctx, change)\n"
         "  ctx.admin.transact(ctx.admin.tx.lists[change.id]:update { name = 'x' })\n"
         "  if #ctx.admin.query { todos = { ['$'] = { where = { title = 'go' } } } }.todos == 0 "
         "then "
         "error { message = 'wait' } end\n"
         "end }\n"
         "server.query('names', function(ctx) return #ctx.admin.query { lists = {} }.lists end)\n");
    turns(w);
    put(w, "#12", "a");
    expect_names(w, "0");
    put(w, "#11", "go");
    w->now = inst_server_due_ms(w->server);
    expect_names(w, "1");
    assert_true(inst_server_due_ms(w->server) == INT64_MAX);
}

/* An app that takes no writes has no reactions until it does. */
static void test_reaction_waits(void **state) {
    struct world *w = *state;
    struct inst_err err = {0};
    load(w, reactions);
    turns(w);
    say(w, w->admin,
        "{'op':'transact','client-event-id':'t','tx-steps':[['add-triple','#12','@todos.id','#12'],"
        "['add-triple','#12','@todos.title','a']]}");
    assert_int_equal(inst_server_set_app_status(w->server, w->app.id, "read-only", &err), INST_OK);
    expect_names(w, "[]");
    assert_int_equal(inst_server_set_app_status(w->server, w->app.id, "active", &err), INST_OK);
    expect_names(w, "['created a']");
}

/* One that sets itself off goes on for ever, and lets all others come in between. */
static void test_reaction_to_itself(void **state) {
    struct world *w = *state;
    load(w, "local server = ...\n"
            "local instant = require 'instant'\n"
            "server.reaction { name = 'r', etype = 'lists', onCreate = function(ctx)\n"
            "  ctx.admin.transact(ctx.admin.tx.lists[instant.id()]:update { name = 'x' })\n"
            "end }\n"
            "server.query('one', function() return 1 end)\n");
    for (int i = 0; i < 5; i++)
        turn(w);
    transact(w, w->admin, "[['add-triple','#50','@lists.id','#50']]");
    for (int i = 0; i < 50; i++) {
        turn(w);
        assert_true(inst_server_is_pending(w->server));
    }
    expect_body(w, done(w, "POST", FN "one", "", NULL), "{'result':1}");
}

/* ---- schedules ---- */

static void add_name(void *ctx, const char *name, const char *cron) {
    strcat(strcat(strcat(strcat((char *)ctx, name), " at "), cron), ";");
}

static void test_schedules(void **state) {
    struct world *w = *state;
    struct inst_err err = {0};
    char names[256] = "";
    load(w,
         "local server = ...\n"
         "server.schedule('0 3 * * *', function(ctx)\n"
         "  ctx.admin.transact(ctx.admin.tx.todos['aaaaaaaa-0000-4000-8000-00000000000b']:update "
         "{ title = 'at three' })\n"
         "end)\n"
         "server.schedule('0 3 * * *', function() error { message = 'no' } end)\n"
         "server.query('title', function(ctx) return ctx.admin.query { todos = {} }.todos[1].title "
         "end)\n");
    inst_scripts_each_schedule(scripts, w->app.id, add_name, names);
    assert_string_equal(names, "0 3 * * * at 0 3 * * *;0 3 * * * #2 at 0 3 * * *;");
    assert_int_equal(inst_scripts_run_schedule(scripts, w->app.id, "0 3 * * *", &err), INST_OK);
    expect_body(w, done(w, "POST", FN "title", "", NULL), "{'result':'at three'}");
    assert_int_equal(inst_scripts_run_schedule(scripts, w->app.id, "0 3 * * * #2", &err),
                     INST_FAILED);
    assert_string_equal(err.message, "no");
    assert_int_equal(inst_scripts_run_schedule(scripts, w->app.id, "none", &err), INST_FAILED);
    assert_int_equal(inst_scripts_run_schedule(scripts, uuid_text(99), "none", &err), INST_FAILED);
    inst_err_clear(&err);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_calls),
        TEST(test_who_may),
        TEST(test_all_or_nothing),
        TEST(test_mistakes),
        TEST(test_loading),
        TEST(test_nothing_is_left),
        TEST(test_apps_apart),
        TEST(test_check),
        TEST(test_changes),
        TEST(test_check_reads),
        TEST(test_check_and_rules),
        TEST(test_routes),
        TEST(test_reactions),
        TEST(test_reaction_fails),
        TEST(test_reaction_mended),
        TEST(test_reaction_restart),
        TEST(test_reactions_open_apps),
        TEST(test_reaction_is_atomic),
        TEST(test_reaction_waits),
        TEST(test_reaction_to_itself),
        TEST(test_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
