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
end)
