local instant = require "instant"
local support = require "support"

local schema = instant.i.schema {
  entities = { todos = instant.i.entity { rank = instant.i.number():indexed() } },
}

describe("an infinite query", function()
  local data, server, app, db, ids

  before_each(function()
    data = support.scratch()
    server = assert(instant.server { data = data })
    app = assert(server:createApp("spec", schema))
    db = instant.init { appId = app.id, apiURI = "http://127.0.0.1:" .. server:port(), schema = schema }
    assert(db:queryOnce({ todos = {} }):await())
    ids = {}
  end)
  after_each(function()
    db:shutdown()
    assert.is_true(server:close():await())
    os.execute("rm -rf '" .. data .. "'")
  end)

  local function put(from, to)
    local chunks = {}
    for n = from, to do
      ids[n] = ids[n] or instant.id()
      chunks[#chunks + 1] = db.tx.todos[ids[n]]:update { rank = n }
    end
    assert(db:transact(chunks):await())
  end

  local function remove(n)
    assert(db:transact(db.tx.todos[ids[n]]:delete()):await())
  end

  -- One that remembers what it was told.
  local function follow(dollar)
    local seen = { count = 0 }
    local handle = db:subscribeInfiniteQuery({ todos = { ["$"] = dollar } }, function(result)
      seen.last, seen.count = result, seen.count + 1
    end)
    seen.unsubscribe, seen.loadNextPage = handle.unsubscribe, handle.loadNextPage
    function seen.ranks()
      local ranks = {}
      for i, todo in ipairs(seen.last and seen.last.data and seen.last.data.todos or {}) do ranks[i] = todo.rank end
      return table.concat(ranks, " ")
    end
    function seen.wait(ranks, can_load)
      local ok, err = pcall(support.eventually, ranks, function()
        return seen.last and seen.ranks() == ranks and seen.last.canLoadNextPage == can_load
      end)
      if not ok then
        error(("%s; got: %s, %s"):format(err, seen.ranks(), tostring(seen.last and seen.last.canLoadNextPage)), 2)
      end
    end
    return seen
  end

  it("loads page by page", function()
    put(1, 10)
    local seen = follow { limit = 4, order = { rank = "asc" } }
    seen.wait("1 2 3 4", true)
    seen.loadNextPage()
    seen.wait("1 2 3 4 5 6 7 8", true)
    seen.loadNextPage()
    seen.loadNextPage() -- under way already
    seen.wait("1 2 3 4 5 6 7 8 9 10", false)
    seen.unsubscribe()
  end)

  it("begins with less than a page", function()
    local seen = follow { limit = 3, order = { rank = "asc" } }
    seen.wait("", false)
    seen.loadNextPage() -- nothing to load
    put(5, 6)
    seen.wait("5 6", false)
    put(7, 9)
    seen.wait("5 6 7", true)
    seen.loadNextPage()
    seen.wait("5 6 7 8 9", false)
    seen.unsubscribe()
  end)

  it("shows what comes in front, however much", function()
    put(101, 108)
    local seen = follow { limit = 3, order = { rank = "asc" } }
    seen.wait("101 102 103", true)
    for n = 100, 91, -1 do put(n, n) end
    seen.wait("91 92 93 94 95 96 97 98 99 100 101 102 103", true)
    put(81, 88) -- more than a page at once
    seen.wait("81 82 83 84 85 86 87 88 91 92 93 94 95 96 97 98 99 100 101 102 103", true)
    remove(95)
    seen.wait("81 82 83 84 85 86 87 88 91 92 93 94 96 97 98 99 100 101 102 103", true)
    seen.loadNextPage()
    seen.wait("81 82 83 84 85 86 87 88 91 92 93 94 96 97 98 99 100 101 102 103 104 105 106", true)
    seen.unsubscribe()
  end)

  it("follows rows within its pages", function()
    put(10, 10)
    for n = 20, 80, 10 do put(n, n) end
    local seen = follow { limit = 3, order = { rank = "asc" } }
    seen.wait("10 20 30", true)
    seen.loadNextPage()
    seen.wait("10 20 30 40 50 60", true)
    put(25, 25) -- into a page with an end: it grows
    seen.wait("10 20 25 30 40 50 60", true)
    put(45, 45) -- into the newest: its last row leaves
    seen.wait("10 20 25 30 40 45 50", true)
    remove(10)
    seen.wait("20 25 30 40 45 50", true)
    seen.unsubscribe()
  end)

  it("goes the other way, and by creation without an order", function()
    put(1, 7)
    local down = follow { limit = 3, order = { rank = "desc" } }
    down.wait("7 6 5", true)
    down.loadNextPage()
    down.wait("7 6 5 4 3 2", true)
    put(8, 8)
    down.wait("8 7 6 5 4 3 2", true)
    down.unsubscribe()
    local filtered = follow { limit = 2, where = { rank = { ["$gt"] = 3 } }, order = { rank = "asc" } }
    filtered.wait("4 5", true)
    filtered.unsubscribe()
    local plain = db:subscribeInfiniteQuery({ todos = {} }, function() end)
    plain.unsubscribe()
    plain.unsubscribe()
    plain.loadNextPage()
    local by_creation = follow { limit = 20 }
    support.eventually("all", function()
      return by_creation.last and by_creation.last.data and #by_creation.last.data.todos == 8
    end)
    by_creation.unsubscribe()
  end)

  it("ends what it began", function()
    put(1, 9)
    local seen = follow { limit = 2, order = { rank = "asc" } }
    seen.wait("1 2", true)
    seen.loadNextPage()
    seen.wait("1 2 3 4", true)
    seen.unsubscribe()
    local count = seen.count
    put(0, 0)
    assert.equal(count, seen.count)
    support.eventually("no subscriptions", function() return server:stats().subscriptions == 0 end)
  end)

  it("can be ended from its own callback", function()
    put(1, 9)
    local handle, calls = nil, 0
    handle = db:subscribeInfiniteQuery({ todos = { ["$"] = { limit = 2 } } }, function()
      calls = calls + 1
      if handle then handle.unsubscribe() end
    end)
    support.eventually("a call", function() return calls > 0 end)
    support.eventually("no subscriptions", function() return server:stats().subscriptions == 0 end)
    assert.equal(1, calls)
  end)

  it("is refused when it is none", function()
    local function refused(query, message)
      local ok, err = pcall(db.subscribeInfiniteQuery, db, query, print)
      assert.is_false(ok, message)
      assert.equal("validation-failed", err.type)
      assert.matches(message, err.message, 1, true)
    end
    refused({}, "subscribeInfiniteQuery expects exactly one entity")
    refused(nil, "subscribeInfiniteQuery expects exactly one entity")
    refused({ a = {}, b = {} }, "subscribeInfiniteQuery expects exactly one entity")
    refused({ todos = instant.null }, "No query provided for infinite query")
    refused({ todos = { bogus = {} } }, "bogus")
    refused({ nothing = {} }, "nothing")
    assert.has_error(function() db:subscribeInfiniteQuery { todos = {} } end,
      "subscribeInfiniteQuery: expected a function, got nil")
  end)
end)
