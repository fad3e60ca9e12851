-- A host with a loop of its own that polls: a game. Programs of their own, because the specs may run inside the loop.

local support = require "support"

local START = [[
  local instant = require "instant"
  local function client(key)
    return instant.init { apiURI = "local:" .. arg[1], __extraDedupeKey = key, shareConnection = false }
  end
  local game, other = client "game", client "other"
  local function poll_until(ok)
    local stop = instant.now() + 20000
    while not ok() do
      assert(instant.now() < stop, "it never happened")
      game:poll()
    end
  end
  local function write(title)
    return other:transact(other.tx.todos[instant.id()]:update { title = title })
  end
]]

local SLICES = START .. [[
  local told, failed, QUERIES = 0, 0, 20
  for n = 1, QUERIES do
    game:subscribeQuery({ todos = { ["$"] = { limit = 100 + n } } }, function(result)
      told = told + 1
      if result.error then failed = failed + 1 end
    end)
  end
  poll_until(function() return told == QUERIES end)
  local written = write "for all of them"
  local most, before, told_more, has_written = 0, told, false, false
  local stop = instant.now() + 20000
  while told < before + QUERIES and instant.now() < stop do
    local last = told
    local has_more = game:poll { budget_ms = 0 }
    most = math.max(most, told - last)
    if told > before and told < before + QUERIES then told_more = told_more or has_more end
    -- What the game writes meanwhile is told with the rest, not from inside its call.
    if told == before + 5 and not has_written then
      has_written = true
      game:transact(game.tx.todos[instant.id()]:update { title = "mine" })
      assert(told == before + 5)
    end
  end
  poll_until(function() return written.state == "resolved" end)
  print("told", told - before >= QUERIES, "failed", failed, "more", told_more, "few at once", most <= 4)
]]

local TASKS = START .. [[
  local order = {}
  for n = 1, 50 do
    instant.task(function()
      for _ = 1, 3 do coroutine.yield() end
      order[#order + 1] = n
    end)
  end
  local polls = 0
  while #order < 50 do
    game:poll { budget_ms = 0 }
    polls = polls + 1
    assert(polls < 100000)
  end
  local is_sorted = true
  for n = 1, 50 do is_sorted = is_sorted and order[n] == n end
  print("sorted", is_sorted, "sliced", polls > 10)
]]

local REFUSED = START .. [[
  poll_until(function() return game:getConnectionStatus() == "authenticated" end)
  local stop = instant.now() + 20000
  while instant.poll {} and instant.now() < stop do end
  print("more when idle", instant.poll { budget_ms = 5 })
  local ok, why = pcall(game.poll, game, { budget_ms = -1 })
  print(ok, why)
  ok, why = pcall(instant.poll, { budget_ms = "2" })
  print(ok, why)
  game:subscribeQuery({ todos = {} }, function()
    ok, why = pcall(instant.poll)
  end)
  local done
  instant.task(function()
    write "x":await()
    done = true
  end)
  poll_until(function() return done end)
  print(ok, why)
]]

describe("poll", function()
  after_each(support.clean)

  local function printed(program)
    return (support.plain(support.write(program .. "\nos.exit(0)\n"), support.scratch()))
  end

  it("tells of results one after the other when there is no time", function()
    assert.equal("told\ttrue\tfailed\t0\tmore\ttrue\tfew at once\ttrue\n", printed(SLICES))
  end)

  it("runs tasks in their order", function()
    assert.equal("sorted\ttrue\tsliced\ttrue\n", printed(TASKS))
  end)

  it("says what it refuses", function()
    local lines = {}
    for line in printed(REFUSED):gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal("more when idle\tfalse", lines[1])
    assert.matches("`budget_ms` must be a number from 0 to 1000, got %-1", lines[2])
    assert.matches("`budget_ms` must be a number from 0 to 1000, got 2", lines[3])
    assert.matches("^false.*the loop is running already", lines[4])
    assert.equal(4, #lines)
  end)
end)
