-- reactions.lua PORT COUNT: durable reactions that are COUNT changes behind, against the backend on that port: rows
-- as bench.h prints them. Each handler writes one entity, in one transaction with the reaction's place.

local instant = require "instant"

local api, count = "http://127.0.0.1:" .. arg[1], tonumber(arg[2])

local function post(path, body)
  local answer = assert(instant.http.request { url = api .. path, json = body }:await())
  assert(answer.status == 200, answer.body)
  return require("instant.core").json_decode(answer.body)
end

local function resident()
  collectgarbage()
  collectgarbage()
  local file = assert(io.open "/proc/self/statm")
  local pages = file:read("*a"):match "%d+ (%d+)"
  file:close()
  return pages * 4096
end

local app = post("/dash/apps/ephemeral", { title = "bench" }).app
local db = instant.admin.init { apiURI = api, appId = app.id, adminToken = app["admin-token"] }

local STEP = 1000
for first = 1, count, STEP do
  local chunks = {}
  for n = first, math.min(first + STEP - 1, count) do
    chunks[#chunks + 1] = db.tx.orders[instant.id()]:create { n = n, total = n * 2 }
  end
  assert(db:transact(chunks):await())
end

local before, most = resident(), 0
local begin = instant.now()
local reaction = db:reaction {
  name = "bench", etype = "orders", from = "start", batch = 1000,
  onCreate = function(change, ctx)
    ctx:transact(db.tx.invoices[instant.id()]:create { order = change.id, sum = change.new.total })
    if change.new.n % 10000 == 0 then most = math.max(most, resident()) end
  end,
}
while reaction:stats().handled < count do
  assert(reaction:status() ~= "failed")
  instant.sleep(5)
end
local seconds = (instant.now() - begin) / 1000
reaction:stop():await()
local function row(name, ours, unit, rule, bar)
  print(("row\t%s\t%g\t-1\t%s\t%s\t%g"):format(name, ours, unit, rule, bar))
end
row(("one reaction, exactly once, %d behind"):format(count), seconds / count, "s", "atmost", 0.0002)
row("memory that it takes", math.max(most - before, 0), "B", "atmost", 32e6)
