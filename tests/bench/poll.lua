-- poll.lua PORT APP ROWS: what a frame of a game pays for `poll`: rows as bench.h prints them.

local instant = require "instant"

local config = { appId = arg[2], apiURI = "http://127.0.0.1:" .. arg[1], shareConnection = false }
local rows = tonumber(arg[3])
local BUDGET_MS, QUERIES, IDLE = 2, 20, 20000

local function row(name, ours, peer, unit, rule, bar)
  print(table.concat({ "row", name, ("%.9f"):format(ours), ("%.9f"):format(peer), unit, rule, bar }, "\t"))
end

-- Polls until ok(); the longest poll in seconds of this process, and all together.
local function play(db, ok)
  local longest, total = 0, 0
  local stop = instant.now() + 120000
  while not ok() do
    assert(instant.now() < stop, "it never happened")
    local begin = os.clock()
    db:poll { budget_ms = BUDGET_MS }
    local seconds = os.clock() - begin
    longest, total = math.max(longest, seconds), total + seconds
  end
  return longest, total
end

config.__extraDedupeKey = "writer"
local writer = instant.init(config)
local function write(chunks)
  local written = writer:transact(chunks)
  play(writer, function() return written.state ~= "pending" end)
  assert(written.state == "resolved", tostring(written.value))
end

local function entity(n)
  return writer.tx.things[instant.id()]:update {
    number = n, group = n % QUERIES, name = "thing " .. n, x = n / 3, y = n / 7, alive = n % 2 == 0,
  }
end

for first = 1, rows, 500 do
  local chunks = {}
  for n = first, math.min(first + 499, rows) do chunks[#chunks + 1] = entity(n) end
  write(chunks)
end

config.__extraDedupeKey = "game"
local game = instant.init(config)
local function first_of(query)
  local seen
  local stop = game:subscribeQuery(query, function(result)
    assert(not result.error, result.error)
    seen = #result.data.things == rows
  end)
  local longest, total = play(game, function() return seen end)
  stop()
  return longest, total
end

play(game, function() return game:getConnectionStatus() == "authenticated" end)
local longest, total = first_of { things = {} }
row(("one result of %d entities: longest poll"):format(rows), longest, total, "s", "growth", -1)

local told = 0
for group = 0, QUERIES - 1 do
  game:subscribeQuery({ things = { ["$"] = { where = { group = group } } } }, function(result)
    assert(not result.error, result.error)
    told = told + 1
  end)
end
longest, total = play(game, function() return told == QUERIES end)
row(("the same in %d results: longest poll"):format(QUERIES), longest, total, "s", "growth", -1)

-- All of them change by one write.
local chunks = {}
for n = 1, QUERIES do chunks[n] = entity(n) end
local before = told
writer:transact(chunks)
longest, total = play(game, function() return told >= before + QUERIES end)
row("... and once more, by one write: longest poll", longest, total, "s", "growth", -1)

local begin = os.clock()
for _ = 1, IDLE do game:poll { budget_ms = BUDGET_MS } end
row("a poll when nothing is ready", (os.clock() - begin) / IDLE, -1, "s", "atmost", 0.00005)
os.exit(0)
