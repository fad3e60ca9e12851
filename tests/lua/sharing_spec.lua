local instant = require "instant"
local support = require "support"

describe("clients that are made alike", function()
  local server, app, api, data, clients

  before_each(function()
    data = support.scratch()
    server = assert(instant.server { data = data })
    app = assert(server:createApp "spec")
    api = "http://127.0.0.1:" .. server:port()
    clients = {}
  end)
  after_each(function()
    for _, db in pairs(clients) do db:shutdown() end
    assert.is_true(server:close():await())
    os.execute("rm -rf '" .. data .. "'")
  end)

  local function client(name, options)
    local config = { appId = app.id, apiURI = api, __extraDedupeKey = name }
    for key, value in pairs(options or {}) do config[key] = value end
    clients[name] = instant.init(config)
    return clients[name]
  end

  local function connected(db)
    support.eventually("connected", function() return db:getConnectionStatus() == "authenticated" end)
  end

  local function shows(watch, title)
    watch.wait(title, function(r) return r.data and r.data.todos[1] and r.data.todos[1].title == title end)
  end

  it("are one when they have the same name, with the newest schema", function()
    local i = instant.i
    local one = i.schema { entities = { todos = i.entity { title = i.string() } } }
    local two = i.schema { entities = { goals = i.entity { title = i.string() } } }
    local function asks(db, what)
      local ok, stop = pcall(db.subscribeQuery, db, { [what] = {} }, function() end)
      if ok then stop() end
      return ok
    end
    local db, other = client("a", { schema = one }), client("b", { schema = one })
    assert.is_true(asks(db, "todos"))
    assert.is_false(asks(db, "goals"))
    assert.equal(db, client("a", { schema = two }))
    assert.is_true(asks(db, "goals"))
    assert.is_false(asks(db, "todos"))
    assert.is_true(asks(other, "todos")) -- shares the connection, not the schema
    assert.is_false(asks(other, "goals"))
    assert.equal(db, client "a")
    assert.is_true(asks(db, "todos"))
    assert.is_true(asks(db, "goals"))
  end)

  it("share a connection", function()
    local a = client "a"
    connected(a)
    for n = 1, 50 do
      local db = client("n" .. n)
      assert.are_not.equal(a, db)
      assert.equal("authenticated", db:getConnectionStatus())
    end
    assert.equal(1, server:stats().connections)
    local watch = support.live(client "n1", { todos = {} })
    watch.wait("a result", function(r) return r.data end)
    assert(a:transact(a.tx.todos[instant.id()]:update { title = "from a" }):await())
    shows(watch, "from a")
  end)

  it("do not share it with others", function()
    connected(client "a")
    connected(client("token", { adminToken = app.adminToken }))
    connected(client("dates", { useDateObjects = true }))
    connected(client("schema", { schema = instant.i.schema { entities = {} } }))
    connected(client("own", { shareConnection = false }))
    connected(client("own too", { shareConnection = false }))
    assert.equal(6, server:stats().connections)
    connected(client("schema too", { schema = instant.i.schema { entities = {} } }))
    assert.equal(6, server:stats().connections)
  end)

  it("have an end of their own", function()
    local a, b = client "a", client "b"
    local seen, statuses = support.live(a, { todos = {} }), {}
    local other = support.live(b, { todos = {} })
    other.wait("a result", function(r) return r.data end)
    a:subscribeConnectionStatus(function(status) statuses[#statuses + 1] = status end)
    local waiting = a:queryOnce { users = {} }
    a:shutdown()
    local _, err = waiting:await()
    assert.equal("shutdown", err.type)
    assert.equal("closed", a:getConnectionStatus())
    support.eventually("told", function() return statuses[#statuses] == "closed" end)
    assert.has_error(function() a:queryOnce { todos = {} } end)
    local count = #seen.results
    assert(b:transact(b.tx.todos[instant.id()]:update { title = "from b" }):await())
    shows(other, "from b")
    assert.equal(count, #seen.results)
    assert.equal(1, server:stats().connections)

    b:shutdown()
    support.eventually("disconnected", function() return server:stats().connections == 0 end)
    local again = client "again"
    connected(again)
    assert.equal(1, server:stats().connections)
  end)

  it("have streams of their own", function()
    local a, b = client("a", { adminToken = app.adminToken }), client("b", { adminToken = app.adminToken })
    connected(a)
    assert.equal(1, server:stats().connections)
    local kept = b.streams.createWriteStream { clientId = "kept" }
    assert(kept:streamId():await())
    assert.equal(2, server:stats().connections)
    local ended = a.streams.createWriteStream { clientId = "ended" }
    local id = ended:streamId()
    assert(b.auth.signInAsGuest():await()) -- a stream keeps nobody from becoming somebody else
    a:shutdown()
    local _, err = id:await()
    assert.equal("shutdown", err.type)
    connected(b)
    assert(kept:write "still here":await())
    assert(kept:close():await())
  end)

  it("hear of their own failures", function()
    local a, b = client "a", client "b"
    local heard = { a = 0, b = 0 }
    connected(a)
    a:subscribeMutationErrors(function() heard.a = heard.a + 1 end)
    b:subscribeMutationErrors(function() heard.b = heard.b + 1 end)
    local id = instant.id()
    assert(a:transact(a.tx.todos[id]:create { title = "once" }):await())
    local _, err = b:transact(b.tx.todos[id]:create { title = "twice" }):await()
    assert.is_string(err.message)
    support.eventually("told", function() return heard.b == 1 end)
    assert.equal(0, heard.a)
  end)
end)
