local instant = require "instant"
local scheduler = require "instant.scheduler"
local support = require "support"

local function titles(result)
  local list = {}
  for _, todo in ipairs(result.data.todos) do list[#list + 1] = todo.title end
  table.sort(list)
  return table.concat(list, " ")
end

describe("a client", function()
  local db

  before_each(function() db = support.client() end)
  after_each(function()
    db:shutdown()
    instant.sleep(1)
    support.clean()
  end)

  it("writes and reads back", function()
    local id = instant.id()
    assert(db:transact(db.tx.todos[id]:update { title = "a", n = 1, done = false, tags = instant.array {} }):await())
    local result = assert(db:queryOnce({ todos = {} }):await())
    assert.equal(1, #result.data.todos)
    local todo = result.data.todos[1]
    assert.equal(id, todo.id)
    assert.equal("a", todo.title)
    assert.equal(1, todo.n)
    assert.is_false(todo.done)
    assert.same({}, todo.tags)
  end)

  it("sees its own writes at once, and says when they are safe", function()
    local watch = support.live(db, { todos = {} })
    watch.wait("the first result", function(r) return r.data end)
    local future = db:transact { db.tx.todos[instant.id()]:update { title = "a" },
      db.tx.todos[instant.id()]:update { title = "b" } }
    watch.wait("both", function(r) return titles(r) == "a b" end)
    local outcome = assert(future:await())
    assert.equal("synced", outcome.status)
    assert.matches("^%x+%-", outcome.eventId)
  end)

  it("takes null, deletes and nested values", function()
    local id = instant.id()
    local watch = support.live(db, { todos = {} })
    db:transact(db.tx.todos[id]:update { title = "a", note = "x", deep = { a = { 1, 2, { b = instant.null } } } })
    watch.wait("the entity", function(r) return r.data and #r.data.todos == 1 end)
    db:transact(db.tx.todos[id]:update { note = instant.null })
    watch.wait("null", function(r) return r.data.todos[1].note == instant.null end)
    assert.equal(instant.null, watch.last.data.todos[1].deep.a[3].b)
    assert(db:transact(db.tx.todos[id]:delete()):await())
    watch.wait("nothing", function(r) return #r.data.todos == 0 end)
  end)

  it("links and follows links", function()
    local list, item = instant.id(), instant.id()
    assert(db:transact { db.tx.items[item]:update { name = "milk" },
      db.tx.lists[list]:update { name = "food" }:link { items = item } }:await())
    local result = assert(db:queryOnce({ lists = { items = {} } }):await())
    assert.equal("milk", result.data.lists[1].items[1].name)
    assert(db:transact(db.tx.lists[list]:unlink { items = item }):await())
    result = assert(db:queryOnce({ lists = { items = {} } }):await())
    assert.same({}, result.data.lists[1].items)
  end)

  it("filters, orders and pages", function()
    for n = 1, 5 do
      db:transact(db.tx.todos[instant.id()]:update { title = "t" .. n, n = n })
    end
    local result = assert(db:queryOnce({ todos = { ["$"] = { where = { n = { ["$in"] = { 2, 4 } } } } } }):await())
    assert.equal("t2 t4", titles(result))
    result = assert(db:queryOnce({ todos = { ["$"] = { limit = 2, order = { serverCreatedAt = "desc" } } } }):await())
    assert.equal(2, #result.data.todos)
    assert.is_table(result.pageInfo.todos)
    assert.is_true(result.pageInfo.todos.hasNextPage)
  end)

  it("works with dots as well as colons", function()
    assert.equal(db.appId, db.appId)
    local got
    local stop = db.subscribeQuery({ todos = {} }, function(result) got = result end)
    db.transact(db.tx.todos[instant.id()]:update { title = "dot" })
    support.eventually("a result", function() return got and got.data and #got.data.todos == 1 end)
    stop()
    stop()
    assert.equal("authenticated", db.getConnectionStatus())
  end)

  it("lets callbacks wait", function()
    local outcome
    local stop
    stop = db:subscribeQuery({ todos = {} }, function(result)
      if result.data and not outcome then
        outcome = "writing"
        outcome = db:transact(db.tx.todos[instant.id()]:update { title = "from a callback" }):await()
        stop()
      end
    end)
    support.eventually("the write", function() return type(outcome) == "table" end)
    assert.equal("synced", outcome.status)
  end)

  it("goes on when a callback fails", function()
    local texts, report, count = {}, scheduler.report, scheduler.failures
    scheduler.report = function(text) texts[#texts + 1] = text end
    local good
    db:subscribeQuery({ todos = {} }, function() error "broken callback" end)
    db:subscribeQuery({ todos = {} }, function(result) good = result end)
    support.eventually("the other callback", function() return good end)
    support.eventually("the report", function() return #texts > 0 end)
    scheduler.report, scheduler.failures = report, count
    assert.matches("broken callback", texts[1])
    assert.matches("db_spec.lua:%d+", texts[1])
  end)

  it("stops calling after unsubscribing", function()
    local calls = 0
    local stop = db:subscribeQuery({ todos = {} }, function() calls = calls + 1 end)
    support.eventually("a call", function() return calls == 1 end)
    stop()
    assert(db:transact(db.tx.todos[instant.id()]:update { title = "x" }):await())
    instant.sleep(5)
    assert.equal(1, calls)
  end)

  it("tells its connection status", function()
    local other = support.client()
    local seen = {}
    other:subscribeConnectionStatus(function(status) seen[#seen + 1] = status end)
    support.eventually("authenticated", function() return other:getConnectionStatus() == "authenticated" end)
    other:shutdown()
    support.eventually("closed", function() return seen[#seen] == "closed" end)
    assert.equal("closed", other:getConnectionStatus())
  end)

  it("raises for an invalid query", function()
    local ok, err = pcall(db.subscribeQuery, db, { todos = { ["$"] = { bogus = 1 } } }, print)
    assert.is_false(ok)
    assert.is_string(err.type)
    assert.is_string(err.message)
    assert.matches("bogus", tostring(err))
    local value, once = db:queryOnce(42):await()
    assert.is_nil(value)
    assert.is_table(once)
  end)

  it("rejects writes it cannot express", function()
    local value, err = db:transact(db.tx.todos[instant.id()]:update { f = print }):await()
    assert.is_nil(value)
    assert.matches("f: a function is not a value", err.message)
    assert.has_error(function() db:transact "nothing" end)
    assert(db:queryOnce({ todos = {} }):await())
    value, err = db:transact(db.tx.todos["not an id"]:update { title = "x" }):await()
    assert.is_nil(value)
    assert.is_string(err.message)
    -- and goes on
    assert(db:transact(db.tx.todos[instant.id()]:update { title = "x" }):await())
  end)

  it("rejects what the backend refuses, and takes it back", function()
    local id = instant.id()
    assert(db:transact(db.tx.todos[id]:create { title = "once" }):await())
    local watch = support.live(db, { todos = {} })
    watch.wait("a result", function(r) return r.data end)
    local value, err = db:transact(db.tx.todos[id]:create { title = "twice" }):await()
    assert.is_nil(value)
    assert.is_string(err.message)
    watch.wait("the first title", function(r) return r.data and titles(r) == "once" end)
  end)

  it("fails after shutdown", function()
    local other = support.client()
    local pending = other:queryOnce { todos = {} }
    other:shutdown()
    other:shutdown()
    local value, err = pending:await()
    assert.is_nil(value)
    assert.equal("shutdown", err.type)
    assert.has_error(function() other:subscribeQuery({ todos = {} }, print) end)
  end)

  it("goes with everything else when the program stops", function()
    local other = support.client()
    local stopped = 0
    local stop = other:subscribeQuery({ todos = {} }, function() end)
    instant.every(1, function() stopped = stopped + 1 end)
    instant.sleep(5)
    instant.stop()
    stop()
    local count = stopped
    instant.sleep(5)
    assert.equal(count, stopped)
    assert.equal("closed", other:getConnectionStatus())
    assert.has_error(function() other:queryOnce { todos = {} } end)
    other:shutdown()
    db = support.client()
  end)

  it("checks its options", function()
    assert.has_error(function() instant.init() end, "init: expected a table, got nil")
    assert.has_error(function() instant.init { appID = "x" } end, "init: unknown option `appID`")
    assert.has_error(function() instant.init { appId = 1 } end, "init: `appId` must be a string, got number")
    assert.has_error(function() instant.init {} end, "init: `appId` is missing")
    assert.has_error(function() instant.init { appId = "x", apiURI = "ftp://a" } end)
    assert.has_error(function() instant.init { appId = "no uuid", apiURI = "http://127.0.0.1:1" } end)
    assert.has_error(function() instant.init { apiURI = "local:/proc/no/such/app.db" } end)
  end)

  it("is the same for the same options", function()
    local path = support.scratch()
    local a = instant.init { apiURI = "local:" .. path }
    assert.equal(a, instant.init { apiURI = "local:" .. path })
    a:shutdown()
    local b = instant.init { apiURI = "local:" .. path }
    assert.are_not.equal(a, b)
    b:shutdown()
  end)

  it("drops what it holds without being told", function()
    for _ = 1, 20 do
      local other = support.client()
      other:subscribeQuery({ todos = {} }, function() end)
      other:transact(other.tx.todos[instant.id()]:update { title = "x" }):catch(function() end)
      other:shutdown()
    end
    collectgarbage()
    instant.sleep(5)
  end)
end)

describe("two clients of one file", function()
  it("see each other's writes", function()
    local path = support.scratch()
    local a, b = support.client(path), support.client(path)
    local watch = support.live(b, { todos = {} })
    watch.wait("the first result", function(r) return r.data end)
    local id = instant.id()
    a:transact(a.tx.todos[id]:update { title = "from a" })
    watch.wait("a's write", function(r) return r.data and titles(r) == "from a" end)
    b:transact(b.tx.todos[id]:update { title = "from b" })
    local back = support.live(a, { todos = {} })
    back.wait("b's write", function(r) return r.data and titles(r) == "from b" end)
    a:shutdown()
    b:shutdown()
    instant.sleep(1)
    support.clean()
  end)

  it("find their data again", function()
    local path = support.scratch()
    local a = support.client(path)
    assert(a:transact(a.tx.todos[instant.id()]:update { title = "kept" }):await())
    assert(a:queryOnce({ todos = {} }):await())
    a:shutdown()
    instant.sleep(1)
    local b = support.client(path)
    local result = assert(b:queryOnce({ todos = {} }):await())
    assert.equal("kept", titles(result))
    assert.equal(a.appId, b.appId)
    b:shutdown()
    instant.sleep(1)
    support.clean()
  end)
end)

describe("a server in this process", function()
  it("serves clients over the network", function()
    local data = support.scratch()
    local server = assert(instant.server { data = data })
    local app = assert(server:createApp "spec")
    assert.same(app.id, server:apps()[1].id)
    local api = "http://127.0.0.1:" .. server:port()
    local a = instant.init { appId = app.id, apiURI = api, __extraDedupeKey = "a", shareConnection = false }
    local b = instant.init { appId = app.id, apiURI = api, __extraDedupeKey = "b", shareConnection = false }
    local seen = {}
    a:subscribeConnectionStatus(function(status) seen[#seen + 1] = status end)
    local watch = support.live(b, { todos = {} })
    watch.wait("the first result", function(r) return r.data end)
    support.eventually("authenticated", function() return seen[2] end)
    assert.same({ "opened", "authenticated" }, seen)
    for n = 1, 20 do a:transact(a.tx.todos[instant.id()]:update { title = "t" .. n }) end
    watch.wait("all", function(r) return r.data and #r.data.todos == 20 end)
    local large = ("x"):rep(300000)
    assert(a:transact(a.tx.todos[instant.id()]:update { title = large }):await())
    watch.wait("a large one", function(r) return r.data and #r.data.todos == 21 end)
    assert.equal(2, server:stats().connections)
    local second, err = instant.server { data = support.scratch(), port = server:port() }
    assert.is_nil(second)
    assert.matches("in use", err.message)
    a:shutdown()
    b:shutdown()
    assert.is_true(server:close():await())
    assert.has_error(function() server:port() end)
    os.execute("rm -rf '" .. data .. "'")
    support.clean()
  end)

  it("refuses bad arguments", function()
    local server, err = instant.server { data = "/proc/nothing/here" }
    assert.is_nil(server)
    assert.is_string(err.message)
    assert.has_error(function() instant.server {} end)
    server, err = instant.server { data = support.scratch(), host = "no.such.host.invalid" }
    assert.is_nil(server)
    assert.matches("no.such.host.invalid", err.message)
    support.clean()
  end)
end)
