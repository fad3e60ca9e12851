local instant = require "instant"
local event_source = require "instant.event_source"
local support = require "support"

local admin = instant.admin

describe("server-sent events", function()
  local function parsed(pieces)
    local events, retries = {}, {}
    local feed = event_source.parser(function(text) events[#events + 1] = text end,
      function(ms) retries[#retries + 1] = ms end)
    for _, piece in ipairs(pieces) do assert.is_true(feed(piece)) end
    return events, retries
  end

  it("are read in any pieces", function()
    local text = "retry: 500\n\n: a comment\ndata: {\"a\":1}\n\nevent: x\ndata:b\ndata: c\nid: 7\n\r\n"
      .. "data: d\r\ndata:  e\r\n\r\ndata: f\rdata\r\rretry: x\nretry\n\ndata: not ended\n"
    local events, retries = { '{"a":1}', "b\nc", "d\n e", "f\n" }, { 500 }
    local all, seen = parsed { text }
    assert.same(events, all)
    assert.same(retries, seen)
    for size = 1, 7 do
      local pieces = {}
      for at = 1, #text, size do pieces[#pieces + 1] = text:sub(at, at + size - 1) end
      all, seen = parsed(pieces)
      assert.same(events, all, "in pieces of " .. size)
      assert.same(retries, seen)
    end
  end)

  it("have a limit", function()
    local feed = event_source.parser(function() end, function() end)
    local piece, is_taken = ("x"):rep(4 * 1024 * 1024), true
    for _ = 1, 17 do is_taken = is_taken and feed(piece) end
    assert.is_false(is_taken)
  end)
end)

local ways = {
  ["local:"] = function() return { apiURI = "local:" .. support.scratch() } end,
  ["http:"] = function(server)
    local app = assert(server:createApp "admin")
    return { appId = app.id, adminToken = app.adminToken, apiURI = "http://127.0.0.1:" .. server:port() }
  end,
}

for name, config_of in pairs(ways) do
  describe("subscribeQuery over " .. name, function()
    local server, data, db, config

    before_each(function()
      data = support.scratch()
      server = assert(instant.server { data = data })
      config = config_of(server)
      db = admin.init(config)
    end)
    after_each(function()
      server:close():await()
      os.execute(("rm -rf '%s'"):format(data))
      support.clean()
    end)

    local function add(n)
      return db:transact(db.tx.todos[instant.id()]:update { n = n }):await()
    end

    it("calls with each result, until it is closed", function()
      local payloads = {}
      local sub = db:subscribeQuery({ todos = { ["$"] = { limit = 2 } } }, function(payload)
        payloads[#payloads + 1] = payload
      end)
      assert.equal("connecting", sub.readyState)
      assert.is_false(sub.isClosed)
      assert.is_nil(sub.sessionInfo)
      support.eventually("a result", function() return #payloads == 1 end)
      assert.equal("open", sub.readyState)
      assert.equal("ok", payloads[1].type)
      assert.same({ todos = {} }, payloads[1].data)
      assert.equal(36, #payloads[1].sessionInfo.sessionId)
      assert.equal(36, #sub.sessionInfo.machineId)
      for n = 1, 3 do assert(add(n)) end
      support.eventually("a page", function()
        return payloads[#payloads].pageInfo.todos.hasNextPage
      end)
      assert.equal(2, #payloads[#payloads].data.todos)
      sub:close()
      sub:close()
      assert.equal("closed", sub.readyState)
      assert.is_true(sub.isClosed)
      local count = #payloads
      assert(add(4))
      instant.sleep(30)
      assert.equal(count, #payloads)
    end)

    it("gives results to a loop", function()
      local seen = {}
      local sub = db:subscribeQuery { todos = {} }
      local other = sub:iterate()
      for payload in sub do
        seen[#seen + 1] = #payload.data.todos
        if #seen == 3 then sub:close() end
        assert(add(#seen))
      end
      assert.same({ 0, 1, 2 }, seen)
      assert.is_nil(other())
      assert.is_nil(sub())
    end)

    it("keeps the last hundred for a loop that is late", function()
      local sub = db:subscribeQuery { todos = {} }
      local count = 0
      local quick = sub:iterate()
      quick()
      for n = 1, 110 do
        assert(add(n))
        count = #quick().data.todos
      end
      assert.equal(110, count)
      -- of 111 the first 11 went
      assert.equal(11, #sub().data.todos)
      sub:close()
    end)

    it("tells what is wrong with a query, and stays", function()
      local sub = db:subscribeQuery { todos = { ["$"] = { where = { n = { ["$bad"] = 1 } } } } }
      local payload = sub()
      assert.equal("error", payload.type)
      assert.equal("validation-failed", payload.error.type)
      assert.equal(400, payload.error.status)
      assert.equal("coerced-query", payload.error.hint["data-type"])
      assert.equal("open", payload.readyState)
      assert.is_false(payload.isClosed)
      sub:close()
    end)

    it("acts for users", function()
      assert(db:transact(db.tx["$users"][instant.id()]:update { email = "a@b.c" }):await())
      local sub = db:asUser({ email = "a@b.c" }):subscribeQuery { ["$users"] = {} }
      assert.equal("a@b.c", sub().data["$users"][1].email)
      sub:close()
      sub = db:asUser({ guest = true }):subscribeQuery { ["$users"] = {} }
      assert.equal(0, #sub().data["$users"])
      sub:close()
    end)

    it("ends when it is refused", function()
      local sub = db:asUser({ email = "nobody@b.c" }):subscribeQuery { todos = {} }
      local payload = sub()
      assert.equal("Record not found: app-user", payload.error.message)
      assert.equal("app-user", payload.error.hint["record-type"])
      assert.equal("closed", payload.readyState)
      assert.is_true(payload.isClosed)
      sub:close()
    end)
  end)
end

describe("subscribeQuery", function()
  it("raises for what cannot be", function()
    local db = admin.init { appId = instant.id(), adminToken = "x", apiURI = "http://127.0.0.1:1" }
    assert.has_error(function() db:subscribeQuery({}, 7) end, "subscribeQuery: expected a function, got number")
    local ok, err = pcall(function() db:subscribeQuery { todos = 7 } end)
    assert.is_false(ok)
    assert.equal("validation-failed", err.type)
    local bare = admin.init { appId = instant.id() }
    ok, err = pcall(function() bare:subscribeQuery {} end)
    assert.is_false(ok)
    assert.truthy(err.message:find "^Admin token required")
  end)

  it("comes again when the backend does", function()
    local data = support.scratch()
    local server = assert(instant.server { data = data })
    local app, port = assert(server:createApp "x"), server:port()
    local db = admin.init { appId = app.id, adminToken = app.adminToken, apiURI = "http://127.0.0.1:" .. port }
    local sub = db:subscribeQuery { todos = {} }
    assert.equal(0, #sub().data.todos)
    local session = sub.sessionInfo.sessionId
    server:close():await()
    support.eventually("the break to be seen", function() return sub.readyState == "connecting" end)
    server = assert(instant.server { data = data, port = port })
    assert.equal(0, #sub().data.todos)
    assert.not_equal(session, sub.sessionInfo.sessionId)
    assert(db:transact(db.tx.todos[instant.id()]:update { n = 1 }):await())
    assert.equal(1, #sub().data.todos)
    sub:close()
    server:close():await()
    os.execute(("rm -rf '%s'"):format(data))
  end)

  it("has pages and counts", function()
    local db = instant.admin.init { apiURI = "local:" .. support.scratch() }
    local todos = db.tx.todos
    assert(db:transact { todos[instant.id()]:update { n = 1 }, todos[instant.id()]:update { n = 2 } }:await())
    local sub = db:subscribeQuery { todos = { ["$"] = { first = 1 } } }
    local payload = sub()
    sub:close()
    assert.equal(1, #payload.data.todos)
    assert.is_true(payload.pageInfo.todos.hasNextPage)
    assert.is_nil(payload.aggregate)
    sub = db:subscribeQuery { todos = { ["$"] = { aggregate = "count" } } }
    assert.same({ todos = { count = 2 } }, sub().aggregate)
    assert(db:transact(db.tx.todos[instant.id()]:update { n = 3 }):await())
    assert.same({ todos = { count = 3 } }, sub().aggregate)
    sub:close()
  end)

  it("lets a program end that is told to", function()
    local path = support.scratch()
    local script = support.write(([[
      local instant = require "instant"
      local db = instant.admin.init { apiURI = "local:%s" }
      local sub = db:subscribeQuery { todos = {} }
      instant.task(function()
        for payload in sub do
          print(#payload.data.todos)
          instant.stop()
        end
        print "over"
      end)
      instant.run()
    ]]):format(path))
    local text, code = support.plain(script)
    assert.equal("0\nover\n", text)
    assert.equal(0, code)
  end)
end)
