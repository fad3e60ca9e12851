-- Reacts to what happens in the data: a shop whose orders get totals and overdue marks by themselves.
--
--   instant-lua examples/automation.lua                              a demonstration on its own file
--   instant-lua examples/automation.lua --api http://127.0.0.1:8888 --app APP_ID
--                                                                    the reactions only, for the data
--                                                                    that others write there
--
-- Two rules:
--   * an order's total is the sum of its lines, whoever changes them;
--   * an order that is not paid in time becomes overdue, and stops being it when it is paid.

local instant = require "instant"

local config = { api = "local::memory:" }
for i = 1, #arg, 2 do
  config[arg[i]:match "^%-%-(%w+)$" or "?"] = arg[i + 1]
end
local is_demo = config.app == nil and config.api:match "^local:" ~= nil

local db = instant.init { apiURI = config.api, appId = config.app }

local function log(...)
  print(os.date "%H:%M:%S", string.format(...))
end

local function total_of(order)
  local total = 0
  for _, line in ipairs(order.lines) do
    total = total + line.price * line.count
  end
  return total
end

local function update(order, attrs, text, ...)
  local outcome, err = db:transact(db.tx.orders[order.id]:update(attrs)):await()
  if outcome then
    log("-> order %s %s", order.number, text:format(...))
  else
    log("-> order %s: %s", order.number, err)
  end
end

-- Writes only what is not yet as it should be, so that it comes to rest.
local function react_to(order)
  local total = total_of(order)
  if order.total ~= total then
    update(order, { total = total }, "costs %g now", total)
  end
  local overdue = not order.paid and order.due < instant.now()
  if order.overdue ~= overdue then
    update(order, { overdue = overdue }, overdue and "is overdue" or "is not overdue")
  end
end

-- One round at a time: what changes during a round (also by its own writes) makes another one.
local latest, is_reacting, is_stale = {}, false, false

local function react()
  is_stale = true
  if is_reacting then return end
  is_reacting = true
  while is_stale do
    is_stale = false
    for _, order in ipairs(latest) do react_to(order) end
  end
  is_reacting = false
end

local stop = db:subscribeQuery({ orders = { lines = {} } }, function(result)
  if result.error then
    log("the query failed: %s", result.error)
    return
  end
  latest = result.data.orders
  react()
end)
-- Time passes without anybody writing.
local clock = instant.every(200, react)

if not is_demo then
  log("reacting to the orders of %s; Ctrl-C ends", config.api)
  return
end

-- The demonstration plays the people who write: a second client of the same backend.
local people = instant.init { apiURI = config.api, shareConnection = false }

local function play(text, chunks)
  log(text)
  people:transact(chunks)
  instant.sleep(700)
end

local order, tea, cups = instant.id(), instant.id(), instant.id()
local tx = people.tx
play("a customer orders two packets of tea", {
  tx.lines[tea]:update { name = "tea", price = 4, count = 2 },
  tx.orders[order]:update { number = "A-1", due = instant.now() + 1700, paid = false }:link { lines = tea },
})
play("and adds a cup", {
  tx.lines[cups]:update { name = "cup", price = 7.5, count = 1 },
  tx.orders[order]:link { lines = cups },
})
play("then forgets to pay", {})
play("the tea becomes cheaper", tx.lines[tea]:update { price = 3.5 })
play("the customer pays", tx.orders[order]:update { paid = true })

local final = latest[1]
log("in the end: total %g, overdue %s", final.total, final.overdue)
clock:stop()
stop()
people:shutdown()
db:shutdown()
