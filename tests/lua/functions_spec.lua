local instant = require "instant"
local support = require "support"

local SCRIPT = [[
local server = ...
local instant = require "instant"
server.query("who", function(ctx) return { admin = ctx.isAdmin, user = ctx.user and ctx.user.type } end)
server.query("nothing", function() end)
server.query("echo", function(ctx, params) return params end)
server.live("open", function(ctx, params) return { todos = { ["$"] = { where = { list = params.list } } } } end)
server.mutation("add", function(ctx, params)
  ctx.db.transact(ctx.db.tx.todos[instant.id()]:update { title = params.title, list = params.list })
end)
server.check("todos", function(ctx, change)
  if change.new and change.new.title == "bad" then error { message = "a bad title" } end
end)
server.reaction { name = "count", etype = "todos", onCreate = function(ctx, change)
  ctx.admin.transact(ctx.admin.tx.seen[change.id]:update { title = change.new.title })
end }
]]

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function script(text)
  local path = support.scratch()
  write(path, text or SCRIPT)
  return path
end

-- Scripts run under Lua 5.4 alone: their limits are hooks.
if _VERSION == "Lua 5.1" then
  describe("functions under LuaJIT", function()
    it("say what they need", function()
      local ok, err = pcall(support.client, nil, { script = script() })
      assert.is_false(ok)
      assert.matches("need Lua 5.4", tostring(err.message))
    end)
  end)
  return
end

describe("functions of a script", function()
  after_each(support.clean)

  it("are called in this process", function()
    local db = support.client(nil, { script = script() })
    assert.same({ admin = false }, db:call("who"):await())
    assert.is_nil(db:call("nothing"):await())
    assert.same({ a = { 1, instant.null } }, db:call("echo", { a = { 1, instant.null } }):await())
    assert.equal("text", db.call("echo", "text"):await())
    assert(db.auth:signInAsGuest():await())
    assert.same({ admin = false, user = "guest" }, db:call("who"):await())
    local _, err = db:call("none"):await()
    assert.equal("record-not-found", err.type)
    assert.has_error(function() db:call(7) end, "call: expected the name of a function, got number")
    db:shutdown()
  end)

  it("are subscribed to", function()
    local db = support.client(nil, { script = script() })
    local titles = {}
    local stop = db:subscribeNamed("open", { list = 1 }, function(result)
      assert.is_nil(result.error)
      titles = {}
      for i, todo in ipairs(result.data.todos) do titles[i] = todo.title end
    end)
    db:call("add", { title = "one", list = 1 }):await()
    db:call("add", { title = "other", list = 2 }):await()
    support.eventually("the first list", function() return titles[1] == "one" end)
    assert.equal(1, #titles)
    stop()
    local failed
    db:subscribeNamed("echo", {}, function(result) failed = result.error end)
    support.eventually("an error", function() return failed end)
    assert.equal("echo is no live function", failed.message)
    db:subscribeNamed("open", nil, function(result) failed = result.error end)
    support.eventually("another", function() return failed.type == "function-failed" end)
    db:shutdown()
  end)

  it("refuse by their checks, and react", function()
    local db = support.client(nil, { script = script() })
    local seen = support.live(db, { seen = {} })
    local ok, err = db:transact(db.tx.todos[instant.id()]:update { title = "bad" }):await()
    assert.is_nil(ok)
    assert.equal("a bad title", err.message)
    assert(db:transact(db.tx.todos[instant.id()]:update { title = "good" }):await())
    seen.wait("a reaction", function(result) return result.data and result.data.seen[1] end)
    assert.equal("good", seen.last.data.seen[1].title)
    db:shutdown()
  end)

  it("are called by admins, and as their users", function()
    local path = support.scratch()
    local db = support.client(path, { script = script() })
    local admin = instant.admin.init { apiURI = "local:" .. path }
    assert.same({ admin = true }, admin:call("who"):await())
    assert.same({ admin = false }, admin:asUser({ guest = true }):call("who"):await())
    db:shutdown()
  end)

  it("run by the clock leave a turn to others between two apps", function()
    local seen = {}
    local backend = {
      set_script = function() return true end,
      schedules = function(_, app) return app ~= "without" and { { "one", "0 3 * * *" } } or {} end,
      run_schedule = function(_, app)
        seen[#seen + 1] = app
        instant.after(0, function() seen[#seen + 1] = "others" end)
        return true
      end,
    }
    local apps = { "a", "without", "b", "c" }
    local scripts = require "instant.script_files"(backend, script "", {}, function() return apps end)
    assert(scripts:load())
    local job = scripts.jobs["0 3 * * *"]
    job.fn(job)
    assert.same({ "a", "others", "b", "others", "c", "others" }, seen)
    scripts:stop()
    job.fn(job) -- what is over does not begin with the next app
    assert.equal(6, #seen)
  end)

  it("run by the clock", function()
    local path = support.scratch()
    local file = script [[
local server = ...
server.schedule("0 3 * * *", function(ctx)
  ctx.admin.transact(ctx.admin.tx.runs["11111111-1111-4111-8111-111111111111"]:update { at = "three" })
end)]]
    local files = require "instant.script_files"
    local backend = assert(require("instant.core").backend(path))
    local scripts = files(backend, file, {}, function() return { backend:app_id() } end)
    assert(scripts:load())
    local job = scripts.jobs["0 3 * * *"]
    assert.equal(3, (os.date("!*t", job:next() / 1000)).hour)
    job.fn(job)
    local admin = instant.admin.init { apiURI = "local:" .. path }
    assert.equal("three", admin:query({ runs = {} }):await().runs[1].at)
    write(file, "local server = ...\nserver.schedule('0 25 * * *', function() end)")
    local ok, err = scripts:load()
    assert.is_nil(ok)
    assert.equal('server.schedule: `0 25 * * *`: hour must be from 0 to 23, got 25', err.message)
    assert.is_truthy(scripts.jobs["0 3 * * *"])
    scripts:stop()
    assert.is_nil(next(scripts.jobs))
    backend:close()
  end)

  it("say what is wrong with a script", function()
    local ok, err = pcall(support.client, nil, { script = script "local server = ...\nserver.query(1)" })
    assert.is_false(ok)
    assert.matches(":2: server.query: expected a name, got number$", err.message)
    ok, err = pcall(support.client, nil, { script = "/nowhere/at.lua" })
    assert.is_false(ok)
    assert.matches("/nowhere/at.lua: No such file", err.message)
    assert.has_error(function()
      instant.init { appId = instant.id(), apiURI = "http://127.0.0.1:1", script = "x.lua" }
    end, "init: `script` is for `local:` alone; a backend of its own has `instant-lua serve --script`")
  end)
end)
