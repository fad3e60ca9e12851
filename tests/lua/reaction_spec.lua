-- Durable reactions on a source of the spec's own, so that every point of a crash can be chosen: the
-- position, the lease and the writes are a real backend's.

local Future = require "instant.future"
local core = require "instant.core"
local Run = require "instant.reaction_run"
local instant = require "instant"
local push = require "instant.schema_push"
local State = require "instant.reaction_state"
local source = require "instant.reaction_source"
local support = require "support"

local real_ask, real_position = source.ask, source.position
local feed, admin, waiting

-- A change of the feed; its position is its number.
local function add(change)
  local n = #feed + 1
  feed[n] = {
    etype = "orders", id = change.id or instant.id(), action = change.action or "create",
    before = change.before or instant.null, after = change.after or { n = n }, txId = n, at = n, who = instant.null,
    position = tostring(n), idempotencyKey = ("key-%d"):format(n),
  }
  local woken = waiting
  waiting = {}
  for _, fn in ipairs(woken) do fn() end
end

local function page(after, limit)
  local first = tonumber(after) or 0
  local changes = {}
  for n = first + 1, math.min(first + limit, #feed) do changes[#changes + 1] = feed[n] end
  return { changes = changes, position = tostring(first + #changes), more = first + #changes < #feed }
end

local function fake_ask(_, position, _, _, limit)
  local future = Future.new()
  local after = position == "start" and "0" or position
  if tonumber(after) < #feed then
    instant.task(function() future:resolve(page(after, limit)) end)
  else
    waiting[#waiting + 1] = function() future:resolve(page(after, limit)) end
  end
  function future.cancel() future:reject "cancelled" end
  return future
end

local function reaction(options)
  local whole = {
    name = "r", etype = not options.query and "orders" or nil, from = "start", lease = 300,
    retry = { delay = 1, maxDelay = 2 },
  }
  for name, value in pairs(options) do whole[name] = value end
  return admin:reaction(whole)
end

local function ledger()
  local rows = assert(admin:query { ledger = {} }:await()).ledger
  table.sort(rows, function(a, b) return a.n < b.n end)
  return rows
end

-- Writes one row for each change.
local function book(change, ctx)
  ctx:transact(ctx.db.tx.ledger[instant.id()]:update { n = change.new.n, key = ctx.key })
end

local function until_booked(count)
  support.eventually(count .. " rows", function() return #ledger() >= count end, 120000)
  local rows = ledger()
  assert.equal(count, #rows)
  for n, row in ipairs(rows) do assert.equal(n, row.n) end
  return rows
end

describe("reaction", function()
  local running

  before_each(function()
    feed, waiting, running = {}, {}, {}
    source.ask = fake_ask
    source.position = function(_, from) return from == "now" and tostring(#feed) or tostring(from) end
    admin = instant.admin.init { apiURI = "local:" .. support.scratch() }
  end)

  after_each(function()
    Run.onFault = nil
    for _, one in ipairs(running) do
      if one.ended.state == "pending" then one._run:crash() end
    end
    source.ask, source.position = real_ask, real_position
    support.clean()
  end)

  local function start(options)
    local one = reaction(options)
    running[#running + 1] = one
    return one
  end

  it("handles what was and what comes, in order, once", function()
    for _ = 1, 120 do add {} end
    local seen = {}
    local one = start { batch = 50, onCreate = function(change, ctx)
      seen[#seen + 1] = change.new.n
      book(change, ctx)
    end }
    until_booked(120)
    for _ = 1, 5 do add {} end
    until_booked(125)
    for i, n in ipairs(seen) do assert.equal(i, n) end
    assert.equal(125, one:stats().handled)
    one:stop():await()
    for _ = 1, 5 do add {} end
    start { onCreate = book }
    until_booked(130)
  end)

  it("tells created, updated and deleted apart, with what was before", function()
    local seen = {}
    local function note(change)
      seen[#seen + 1] = { change.action, change.old and change.old.n or 0, change.new and change.new.n or 0 }
    end
    start { onCreate = note, onUpdate = note, onDelete = note }
    add { after = { n = 1 } }
    add { action = "update", before = { n = 1 }, after = { n = 2 } }
    add { action = "delete", before = { n = 2 }, after = instant.null }
    support.eventually("three", function() return #seen == 3 end)
    assert.same({ { "create", 0, 1 }, { "update", 1, 2 }, { "delete", 2, 0 } }, seen)
  end)

  it("follows what enters and leaves a query", function()
    local seen = {}
    local function note(change) seen[#seen + 1] = change.action end
    start { query = { orders = { ["$"] = { where = { paid = true } } } },
      onCreate = note, onUpdate = note, onDelete = note }
    add { after = { paid = false } }
    add { action = "update", before = { paid = false }, after = { paid = true } }
    add { action = "update", before = { paid = true }, after = { paid = true, x = 1 } }
    add { action = "update", before = { paid = true }, after = { paid = false } }
    add { action = "delete", before = { paid = false }, after = instant.null }
    add { after = { paid = true } }
    support.eventually("four", function() return #seen == 4 end)
    assert.same({ "create", "update", "delete", "create" }, seen)
  end)

  it("keeps what a handler reads behind what those before it wrote", function()
    local account = instant.id()
    admin:transact(admin.tx.accounts[account]:update { sum = 0 }):await()
    for _ = 1, 30 do add {} end
    local one = start { onCreate = function(_, ctx)
      local data = assert(ctx:query { accounts = {} })
      ctx:transact(ctx.db.tx.accounts[account]:update { sum = data.accounts[1].sum + 1 })
    end }
    support.eventually("all", function() return one:stats().handled == 30 end)
    assert.equal(30, admin:query { accounts = {} }:await().accounts[1].sum)
  end)

  it("runs one key in order and others beside it", function()
    local running_now, most, seen = {}, 0, {}
    for n = 1, 60 do add { after = { n = n, who = n % 4 } } end
    start { concurrency = 4, key = function(change) return change.new.who end, onCreate = function(change, ctx)
      local who = change.new.who
      assert(not running_now[who], "two of a key at once")
      running_now[who] = true
      local count = 0
      for _ in pairs(running_now) do count = count + 1 end
      most = math.max(most, count)
      instant.sleep(math.random(0, 2))
      running_now[who] = nil
      seen[who] = seen[who] or {}
      table.insert(seen[who], change.new.n)
      book(change, ctx)
    end }
    until_booked(60)
    assert.equal(4, most)
    for _, list in pairs(seen) do
      for i = 2, #list do assert.is_true(list[i] > list[i - 1]) end
    end
  end)

  it("stops though a handler waits for one that was never begun", function()
    for n = 1, 4 do add { after = { n = n, who = n <= 2 and "a" or "b" } } end
    local entered = 0
    local one = start { concurrency = 2, key = function(change) return change.new.who end,
      onCreate = function(change, ctx)
        entered = entered + 1
        if change.new.n == 1 then
          support.eventually("the other lane", function() return entered == 2 end)
          instant.sleep(20)
          running[1]:stop()
        else
          ctx:query { ledger = {} }
        end
        book(change, ctx)
      end }
    one.ended:await()
    assert.equal("stopped", one:status())
    assert.equal(1, #ledger())
    running[1] = nil
    start { onCreate = book }
    until_booked(4)
  end)

  it("tries again what fails, in order, and keeps what was done before", function()
    for _ = 1, 10 do add {} end
    local tries = 0
    local one = start { onCreate = function(change, ctx)
      book(change, ctx)
      if change.new.n == 5 then
        tries = tries + 1
        if tries < 3 then error "not yet" end
        assert.equal(3, ctx.attempt)
      end
    end }
    until_booked(10)
    assert.equal(2, one:stats().retries)
  end)

  it("takes nil and an error, and a failed future, for a failure", function()
    add {}
    add {}
    local tries = 0
    start { onCreate = function(change, ctx)
      tries = tries + 1
      if tries == 1 then return nil, "refused" end
      if tries == 2 then
        local failed = instant.future()
        failed:reject "later"
        return failed
      end
      book(change, ctx)
    end }
    until_booked(2)
    assert.equal(4, tries)
  end)

  it("buries what never succeeds, goes on, and handles it again on demand", function()
    for _ = 1, 6 do add {} end
    local is_broken = true
    local one = start { retry = { attempts = 2, delay = 1 }, onCreate = function(change, ctx)
      book(change, ctx)
      if change.new.n == 3 and is_broken then error "it is poison" end
    end }
    support.eventually("five rows", function() return #ledger() == 5 end)
    local dead = assert(admin.reactions:dead "r":await())
    assert.equal(1, #dead)
    assert.equal("key-3", dead[1].key)
    assert.matches("it is poison", dead[1].error, 1, true)
    assert.equal(2, dead[1].attempts)
    assert.equal(3, dead[1].change.new.n)
    assert.equal(1, admin.reactions:replay "r":await())
    support.eventually("dead again", function() return one:stats().dead == 2 end)
    assert.equal(1, #admin.reactions:dead "r":await())
    is_broken = false
    assert.equal(1, admin.reactions:replay("r", { dead[1].id }):await())
    until_booked(6)
    assert.equal(0, #admin.reactions:dead "r":await())
    assert.equal(0, admin.reactions:replay "r":await())
  end)

  it("finds which handler's writes are refused", function()
    local taken = instant.id()
    admin:transact(admin.tx.ledger[taken]:update { n = 0 }):await()
    for _ = 1, 40 do add {} end
    local one = start { retry = { attempts = 2, delay = 1 }, onCreate = function(change, ctx)
      if change.new.n == 17 then
        ctx:transact(ctx.db.tx.ledger[taken]:create { n = 17 })
      else
        book(change, ctx)
      end
    end }
    support.eventually("all", function() return one:stats().handled == 40 end)
    local rows = ledger()
    assert.equal(40, #rows) -- with the one that was there
    local dead = admin.reactions:dead "r":await()
    assert.equal(1, #dead)
    assert.matches("Creating entities that exist", dead[1].error, 1, true)
  end)

  it("lets one of two processes work, and the other take over", function()
    for _ = 1, 200 do add {} end
    local function slow(change, ctx)
      if change.new.n % 20 == 0 then instant.sleep(1) end
      book(change, ctx)
    end
    local first = start { batch = 10, onCreate = slow }
    local second = start { batch = 10, onCreate = slow }
    support.eventually("some", function() return #ledger() > 50 end)
    local holder = first:status() ~= "standing by" and first or second
    holder._run:crash()
    until_booked(200)
    assert.is_true(first:stats().handled > 0)
    assert.is_true(second:stats().handled > 0)
  end)

  it("does not let a holder that lost its lease write", function()
    for _ = 1, 3 do add {} end
    local gate, entered = instant.future(), false
    local slow = start { onCreate = function(change, ctx)
      entered = true
      gate:await()
      book(change, ctx)
    end }
    support.eventually("the handler", function() return entered end)
    -- It stops proving that it lives, as a process that is frozen.
    slow._run.state.load = function() return nil, "frozen" end
    slow._run.term = -1
    local other = start { onCreate = book }
    until_booked(3)
    gate:resolve(true)
    slow._run.state.load = nil
    support.eventually("it noticed", function() return not slow._run.isHolder end)
    until_booked(3)
    assert.equal(0, slow:stats().handled)
    assert.equal(3, other:stats().handled)
  end)

  it("stops when it is deleted, and goes where it is put", function()
    for _ = 1, 4 do add {} end
    local seen = 0
    local one = start { onCreate = function() seen = seen + 1 end }
    support.eventually("all", function() return seen == 4 end)
    assert.is_true(admin.reactions:reset("r", 2):await())
    support.eventually("two again", function() return seen == 6 end)
    assert.is_true(admin.reactions:delete "r":await())
    one.ended:await()
    assert.equal("deleted", one:status())
    assert.equal(0, #admin.reactions:list():await())
  end)

  it("is exact whatever point it is killed at", function()
    local kills, killed = tonumber(os.getenv "INSTANT_KILLS" or "") or 300, 0
    math.randomseed(instant.now())
    -- As of processes that are gone: nobody waits for their leases.
    local identity = State.identity
    State.identity = function() return (identity():gsub("/(%d+)/", "/999999999/")) end
    finally(function() State.identity = identity end)
    local current
    local left = math.random(1, 9)
    Run.onFault = function(_, run)
      left = left - 1
      if left > 0 or killed >= kills then return end
      left = math.random(1, 9)
      killed = killed + 1
      run:crash()
      if run == current._run then current = nil end
      instant.future():await() -- never comes back, like the process
    end
    local function handler(change, ctx)
      if change.new.n % 7 == 0 then instant.sleep(0) end
      book(change, ctx)
    end
    -- It is no handler that ends them: nothing is to become a dead letter for that.
    local retry = { attempts = 1000000 }
    local count = 0
    while killed < kills do
      for _ = 1, 3 do add {} end
      count = count + 3
      current = reaction { batch = math.random(1, 5), lease = 50, retry = retry, onCreate = handler }
      support.eventually("a kill or the end", function() return current == nil or #ledger() == count end)
      if current then current._run:crash() end
    end
    Run.onFault = nil
    running[1] = reaction { lease = 50, retry = retry, onCreate = handler }
    until_booked(count)
  end)

  it("takes the lease of a process that is gone, not of one that it cannot see", function()
    local mine = State.identity()
    local pipe = assert(io.popen "readlink /proc/self/ns/pid")
    local namespace = pipe:read "*l"
    pipe:close()
    assert.equal("string", type(namespace))
    local function gone(name, owner)
      local first, second = State.new(admin.config, name), State.new(admin.config, name)
      first.owner = owner
      local function from() return "start" end
      assert.is_true(first:acquire(60000, from))
      return second:acquire(60000, from)
    end
    local dead = mine:gsub("/(%d+)/", "/999999999/")
    assert.is_true(gone("a", dead))
    assert.is_false(gone("b", mine))
    -- Two containers with one network: the machine's name is the same, the processes are not.
    local elsewhere = dead:gsub(namespace:gsub("%W", "%%%0"), "pid:[1]")
    assert.is_false(gone("c", elsewhere))
  end)

  it("stops though the backend does not answer any more", function()
    local patience = Run.PATIENCE
    Run.PATIENCE = 20
    finally(function() Run.PATIENCE = patience end)
    for _ = 1, 3 do add {} end
    local gate, entered = instant.future(), false
    local one = start { lease = 60000, onCreate = function()
      entered = true
      gate:await()
    end }
    support.eventually("the handler", function() return entered end)
    local send, fetch = {}, one._run.config.fetch
    one._run.config.fetch = function(_, route, options)
      send[route] = true
      local future = Future.new()
      function future.cancel() future:reject(core.error("cancelled", "The request was cancelled.")) end
      if options.timeout then instant.after(options.timeout, future.cancel) end
      return future -- no answer ever
    end
    finally(function() one._run.config.fetch, Run.PATIENCE = fetch, patience end)
    local ended = one:stop()
    gate:resolve(true)
    local over = false
    ended:next(function() over = true end, function() over = true end)
    support.eventually("its end", function() return over end)
    assert.is_true(send["/admin/transact"])
    assert.equal("failed", one:status())
  end)

  it("stops though the backend fails each time", function()
    local patience = Run.PATIENCE
    Run.PATIENCE = 20
    add {}
    local gate, entered = instant.future(), false
    local one = start { lease = 60000, onCreate = function()
      entered = true
      gate:await()
    end }
    support.eventually("the handler", function() return entered end)
    local fetch = one._run.config.fetch
    one._run.config.fetch = function()
      local future = Future.new()
      future:reject(core.error("io-error", "The connection was refused."))
      return future
    end
    finally(function() one._run.config.fetch, Run.PATIENCE = fetch, patience end)
    local ended = one:stop()
    gate:resolve(true)
    local _, err = ended:await()
    assert.matches("refused", tostring(err), 1, true)
  end)

  -- As processes that are gone: nobody waits for their leases.
  local function gone()
    local identity = State.identity
    State.identity = function() return (identity():gsub("/(%d+)/", "/999999999/")) end
    finally(function() State.identity = identity end)
  end

  -- Starts one after another, each ended by the handler of that change, until there is a dead letter.
  local function kill_at(options, is_fatal)
    gone()
    local kills = 0
    local current
    options.onCreate = function(change, ctx)
      if is_fatal(change, ctx) then
        kills = kills + 1
        local run = current._run
        current = nil
        run:crash()
        instant.future():await()
      end
      book(change, ctx)
    end
    for _ = 1, 40 do
      current = start(options)
      local mine = current
      support.eventually("its end or a dead letter", function()
        return current == nil or mine:stats().dead > 0 and #admin.reactions:dead "r":await() == 1
      end)
      if current then return kills end
    end
    error "it is killed for ever"
  end

  it("buries a change that ends the process each time", function()
    for _ = 1, 12 do add {} end
    local kills = kill_at({ retry = { attempts = 3, delay = 1 } }, function(change) return change.new.n == 7 end)
    assert.equal(4, kills) -- nobody knew of the first
    support.eventually("all others", function() return #ledger() == 11 end)
    local dead = admin.reactions:dead "r":await()
    assert.equal(1, #dead)
    assert.equal("key-7", dead[1].key)
    assert.equal(3, dead[1].attempts)
    assert.matches("the process ended", dead[1].error, 1, true)
  end)

  it("buries it with several at once, too", function()
    for _ = 1, 12 do add {} end
    local kills = kill_at({ concurrency = 4, retry = { attempts = 3, delay = 1 } },
      function(change) return change.new.n == 7 end)
    assert.equal(4, kills)
    support.eventually("all others", function() return #ledger() == 11 end)
    assert.equal("key-7", admin.reactions:dead "r":await()[1].key)
  end)

  it("buries a dead letter again that ends the process", function()
    for _ = 1, 3 do add {} end
    local is_fatal = true
    local one = start { retry = { attempts = 2, delay = 1 }, onCreate = function(change)
      if change.new.n == 2 then error "poison" end
    end }
    support.eventually("a dead letter", function() return one:stats().dead == 1 end)
    one:stop():await()
    assert.equal(1, admin.reactions:replay "r":await())
    local kills = kill_at({ retry = { attempts = 3, delay = 1 } }, function() return is_fatal end)
    assert.equal(3, kills)
    assert.matches("the process ended", admin.reactions:dead "r":await()[1].error, 1, true)
    assert.equal(1, admin.reactions:replay "r":await())
    is_fatal = false
    support.eventually("it is done", function() return #ledger() == 1 end)
    assert.equal(0, #admin.reactions:dead "r":await())
  end)

  it("remembers attempts, whatever proves that it lives meanwhile", function()
    for _ = 1, 3 do add {} end
    gone()
    local tries, attempts = 0, {}
    local function handler(change, ctx)
      if change.new.n == 1 then
        tries = tries + 1
        attempts[tries] = ctx.attempt
        error "not yet"
      end
      book(change, ctx)
    end
    local one = start { lease = 60, retry = { attempts = 4, delay = 60000 }, onCreate = handler }
    support.eventually("a failure", function() return tries == 1 end)
    -- It waits for its second attempt; a heartbeat comes meanwhile.
    local saved = one._run.savedAt
    support.eventually("a heartbeat", function() return one._run.savedAt ~= saved end)
    support.eventually("another", function() return one._run.savedAt > saved + 60 end)
    one._run:crash()
    start { lease = 60, retry = { attempts = 4, delay = 1, maxDelay = 1 }, onCreate = handler }
    support.eventually("two rows", function() return #ledger() == 2 end)
    assert.same({ 1, 2, 3, 4 }, attempts)
  end)

  it("keeps its namespaces from everybody but admins, and other rules as they are", function()
    local rules = { orders = { allow = { view = "true" } } }
    local config = admin.config
    local function dash(method, route, body)
      return assert(require("instant.admin_request").send(config, method, "/dash/apps/" .. config.appId .. route,
        { body = body }):await())
    end
    dash("POST", "/rules", { code = rules })
    add {}
    start { retry = { attempts = 1 }, onCreate = function() error "poison" end }
    support.eventually("a dead letter", function() return #admin.reactions:dead "r":await() == 1 end)
    local closed = { allow = { ["$default"] = "false" } }
    assert.same({ orders = rules.orders, _reactions = closed, _reactionDead = closed },
      dash("GET", "/perms/pull").perms)
    local guest = admin:asUser { guest = true }
    local seen = assert(guest:query { _reactions = {}, _reactionDead = {} }:await())
    assert.same({ 0, 0 }, { #seen._reactions, #seen._reactionDead })
    local forged = guest.tx._reactionDead[instant.id()]:update { reaction = "r", status = "retry" }
    local done, err = guest:transact(forged):await()
    assert.is_nil(done)
    assert.equal("permission-denied", err.type)

    -- Who pushes rules and a schema without them changes nothing of it.
    local to = {
      ask = function(_, method, route, body) return dash(method, route, body) end,
      route = function(_, rest) return "/" .. rest end,
    }
    assert.is_true(push.set_rules(to, { orders = { allow = { view = "false" } } }))
    assert.same(closed, dash("GET", "/perms/pull").perms._reactionDead)
    assert.same({ orders = { allow = { view = "false" } } }, push.rules(to))
    local pulled = push.pull(to)
    assert.is_nil(push.schema_of(pulled).entities._reactions)
    assert.same({}, push.plan(pulled, instant.i.schema { entities = {} }).steps)
  end)

  it("says what is wrong with its options", function()
    local function complains(text, options)
      local ok, err = pcall(admin.reaction, options)
      assert.is_false(ok)
      assert.matches(text, err, 1, true)
    end
    local function nothing() end
    complains("expected a table", nil)
    complains("`name` is missing", { etype = "a", onCreate = nothing })
    complains("`etype` or `query` is missing", { name = "a", onCreate = nothing })
    complains("unknown option `onInsert`", { name = "a", etype = "a", onInsert = nothing })
    complains("at least one of `onCreate`", { name = "a", etype = "a" })
    complains("`concurrency` must be a whole number", { name = "a", etype = "a", onCreate = nothing, concurrency = 0 })
    complains("unknown option `retry.tries`", { name = "a", etype = "a", onCreate = nothing, retry = { tries = 1 } })
    local function queries(options) return { name = "a", onCreate = nothing, query = { a = { ["$"] = options } } } end
    complains("goes through a link", queries { where = { ["b.c"] = 1 } })
    complains("`limit`", queries { limit = 1 })
    complains("`from` must be", { name = "a", etype = "a", onCreate = nothing, from = "yesterday" })
    assert.has_error(function() instant.reaction { name = "a" } end)
  end)
end)
