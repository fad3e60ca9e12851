local support = require "support"

describe("instant-lua", function()
  after_each(support.clean)

  it("runs a script with its arguments as a task", function()
    local script = support.write [[
      local instant = require "instant"
      instant.sleep(1)
      print(arg[0] ~= nil, arg[1], ...)
    ]]
    local text, code = support.host(script, "one", "two words")
    assert.equal("true\tone\tone\ttwo words\n", text)
    assert.equal(0, code)
  end)

  it("ends when nothing is left to wait for", function()
    local text, code = support.host("-e", [[
      local instant = require "instant"
      instant.after(5, function() print "later" end)
      print "now"
    ]])
    assert.equal("now\nlater\n", text)
    assert.equal(0, code)
  end)

  it("does not end before a write is safe", function()
    local path = support.scratch()
    local script = [[
      local instant = require "instant"
      local db = instant.init { apiURI = "local:" .. arg[1] }
      db:transact(db.tx.todos[instant.id()]:update { title = "kept" })
    ]]
    assert.equal(0, select(2, support.host("-e", script, path)))
    local text = support.host("-e", [[
      local instant = require "instant"
      local db = instant.init { apiURI = "local:" .. arg[1] }
      print(assert(db:queryOnce({ todos = {} }):await()).data.todos[1].title)
    ]], path)
    assert.equal("kept\n", text)
  end)

  it("prints where a script failed and ends with 1", function()
    local script = support.write "local x = 1\nlocal function deep() error('it broke') end\ndeep()\n"
    local text, code = support.host(script)
    assert.matches(":2: it broke", text, 1, true)
    assert.matches("traceback", text)
    assert.equal(1, code)
    text, code = support.host("-e", "syntax error")
    assert.matches("command line", text)
    assert.equal(1, code)
  end)

  it("says what is wrong with its arguments", function()
    for _, args in ipairs { { "no-such-file.lua" }, { "--no-such-option" }, { "-e" } } do
      local text, code = support.host(table.unpack(args))
      assert.equal(1, code)
      assert.is_nil(text:match "traceback")
    end
    assert.matches("cannot read no-such-file.lua", (support.host "no-such-file.lua"), 1, true)
    assert.matches("usage", (support.host "--help"))
    assert.matches("^instant%-lua %d", (support.host "--version"))
  end)

  it("tells a script that waits for nothing", function()
    local text, code = support.host("-e", "require 'instant'.future():await()")
    assert.matches("nothing is left", text)
    assert.equal(1, code)
  end)

  it("gives the exit code that a script returns", function()
    assert.equal(7, select(2, support.host("-e", "return 7")))
    assert.equal(1, select(2, support.host("-e", "require 'instant'.task(error, 'x')")))
  end)

  it("says when a write failed that nobody looked at", function()
    local text, code = support.host("-e", [[
      local instant = require "instant"
      local db = instant.init { apiURI = "local::memory:" }
      local id = instant.id()
      db:transact(db.tx.todos[id]:create { a = 1 })
      db:transact(db.tx.todos[id]:create { a = 2 })
    ]])
    assert.matches("Creating entities that exist", text)
    assert.equal(1, code)
  end)

  it("logs what it is asked to", function()
    local script = [[
      local log = require("instant").log
      log.debug("a %d", 1)
      log.info("b %s", "x")
      log.warn "c %"
    ]]
    assert.equal("instant: warning: c %\n", (support.host("-e", script)))
    assert.equal("instant: info: b x\ninstant: warning: c %\n", (support.host("--log-level", "info", "-e", script)))
    local text = support.host("--log-json", "--log-level", "debug", "-e", script)
    assert.matches('"level":"debug","message":"a 1"', text, 1, true)
    for _, args in ipairs { { "--log-level", "loud", "-e", "" }, { "--log-level" }, { "-i", "x.lua" },
      { "--watch", "-e", "" } } do
      assert.equal(1, select(2, support.host(table.unpack(args))))
    end
  end)

  -- What a shell does with a host that runs in the background: `line` waits for a line of its output,
  -- `taken` until it has been told of the signal that was sent.
  local function shell(script, commands)
    local path, out = support.write(script), support.scratch()
    local pipe = assert(io.popen(([[exec 2>&1
      host='env -u LD_PRELOAD %s'; script=%s; out=%s; : > $out
      line() {
        n=0
        until grep -q "$1" $out; do
          n=$((n+1)); [ $n -lt 1000 ] || { echo "no $1"; break; }
          sleep 0.02
        done
      }
      taken() {
        n=0
        while grep -qE '^(Sig|Shd)Pnd:.*[1-9a-f]' /proc/$!/status; do
          n=$((n+1)); [ $n -lt 1000 ] || { echo "a signal waits"; break; }
          sleep 0.02
        done
      }
      %s]]):format(os.getenv "INSTANT_HOST" or "build/instant-lua", path, out, commands)))
    local text = pipe:read "*a"
    pipe:close()
    return text
  end

  it("lets what runs finish when it is told to end, the second time not", function()
    local script = [[
      local instant = require "instant"
      instant.onStop(function()
        print "asked"
        io.stdout:flush()
        return instant.task(function() instant.sleep(tonumber(arg[1])) print "finished" end)
      end)
      instant.every(1000, function() end)
      print "ready"
      io.stdout:flush()
    ]]
    local text = shell(script, "$host $script 50 > $out & line ready; kill -INT $!; wait $!; echo ended $?; cat $out")
    assert.equal("ended 0\nready\nasked\nfinished\n", text)
    text = shell(script, [[$host $script 100000 > $out & line ready; kill -INT $!; line asked; kill -INT $!; wait $!
      cat $out]])
    assert.equal("ready\nasked\n", text)
  end)

  it("can be interrupted in an endless loop, and says where", function()
    local script = [[
      print "ready"
      io.stdout:flush()
      while true do end
    ]]
    local text = shell(script, [[$host $script > $out 2>&1 & line ready; kill -INT $!; taken; kill -INT $!
      wait $!; cat $out]])
    assert.matches("interrupted\nstack traceback:\n[^\n]+:3: in", text)
  end)

  it("says what is wrong with a script, and stops only what it has to", function()
    for _, row in ipairs {
      { "require 'no.such.module'", 1, "module 'no.such.module' not found" },
      { "table.sort({ 3, 2, 1 }, function() require('instant').sleep(1) end)", 1,
        "attempt to yield across a C-call boundary" },
      { "error { type = 'custom' }", 1, "table: " },
      { "local x = nil; x.y = 1", 1, "attempt to index a nil value (local 'x')" },
      { "require('instant').after(1, function() error 'in a timer' end)", 1, "in a timer" },
      { "coroutine.wrap(function() require('instant').sleep(1) end)()", 1, "is no task" },
      { "require('instant').cron('* * *', print)", 1, "must have five fields" },
    } do
      local text, code = support.host("-e", row[1])
      assert.matches(row[3], text, 1, true)
      assert.matches("traceback", text, 1, true)
      assert.equal(row[2], code, row[1])
    end
    local text = support.host("-e", [[
      local instant = require "instant"
      local n, timer = 0, nil
      timer = instant.every(1, function()
        n = n + 1
        if n == 3 then timer:stop() print "three" end
        error "each time"
      end)
    ]])
    assert.matches("three", text, 1, true)
    assert.equal(3, select(2, text:gsub("each time", "")))
  end)

  it("says which code never waits while others want to run", function()
    local text = shell([[
      local instant = require "instant"
      instant.every(1000, print)
      local n = 0
      local function forever()
        while true do n = n + 1 end
      end
      forever()
    ]], "$host $script > $out 2>&1 & line Ctrl-C; line forever; kill -9 $!; cat $out")
    assert.matches("stands still.-:5: in .-forever", text)
  end)

  it("starts again when the script changes", function()
    local text = shell([[
      print "first"
      io.stdout:flush()
      require("instant").every(1000, print)
    ]], [[$host --watch $script > $out 2>&1 & line first
      echo 'print "second" error "broken"' > $script.new; mv $script.new $script.lua; mv $script.lua $script
      touch $script.lua; line 'waits for a change'
      echo 'print "third"' > $script; touch $script.lua; line third; line 'ended with 0'
      kill $!; wait $!; rm $script.lua; cat $out]])
    assert.matches("^first\nsecond\n.*broken.*ended with 1; waits for a change\nthird\n", text)
  end)

  describe("prompt", function()
    local function typed(lines)
      return (shell(lines, "$host -i < $script"))
    end

    it("evaluates lines, waits for futures, shows values", function()
      local text = typed [[
1 + 1
x = { a = 1, ["b c"] = { true, "q" }, ["end"] = 2 }
x
for i = 1, 2 do
  print(i)
end
nothing
db = instant.init { apiURI = "local::memory:" }
stop = db:subscribeQuery({ todos = {} }, function(result) print("todos", #result.data.todos) end)
db:transact(db.tx.todos[instant.id()]:update { title = "Hello" }):next(function(told) return told.status end)
instant.sleep(20)
]]
      assert.equal([[
2
{ a = 1, ["b c"] = { true, "q" }, ["end"] = 2 }
1
2
nil
todos	0
todos	1
"synced"
]], text)
    end)

    it("survives every error", function()
      local text = typed [[
error "oops"
x x
local function f() error({}) end f()
instant.task(function() error "in a task" end)
db = instant.init {}
for
]]
      assert.matches("error: stdin:1: oops", text, 1, true)
      assert.matches("error: stdin:1: syntax error near 'x'", text, 1, true)
      assert.matches("error: stdin:1: in a task", text, 1, true)
      assert.matches("`appId` is missing", text, 1, true)
      assert.matches("not finished", text, 1, true)
    end)

    it("edits lines on a terminal, completes them, and keeps them", function()
      local text = shell("", [[
        export INSTANT_LUA_HISTORY=$out.history; term() { script -qfec "$host" $out > /dev/null; }
        { line Ctrl-D; printf 'answer = 6 * 7\nansw\t\n'; line 42
          printf 'db = instant.admin.init { apiURI = "local::memory:" }\n'
          printf 'db:transact(db.tx.todos[instant.id()]:update { n = 1 })\n'; line tx-id
          printf 'instant.after(30, function() print("above " .. answer) end)\n'; line 'above 42'
          printf 'db.tx.to\t[1].__etype .. "!"\n'; line 'todos!'; printf '\004'; } | term
        : > $out; { line Ctrl-D; printf '\033[A\n'; line 'nil value'; printf '\004'; } | term
        grep -c answ $out.history; rm $out.history]])
      assert.equal("3\n", text)
    end)
  end)
end)
