-- Durable reactions: a stock that follows orders exactly, whoever is killed when.
--
--   instant-lua examples/reactions.lua                      a demonstration on a file in memory
--   instant-lua examples/reactions.lua --api http://127.0.0.1:8888 --app APP_ID --token ADMIN_TOKEN
--                                                           for what others order there; start it twice, kill one
--
-- Each order takes its items out of the stock: once, even when this is killed in between, because what the
-- handler writes and the reaction's place in the log are one transaction. An order for what there is not
-- becomes a dead letter, which `instant-lua reactions replay stock` tries again.

local instant = require "instant"

local config = { api = "local::memory:" }
for i = 1, #arg, 2 do
  config[arg[i]:match "^%-%-(%w+)$" or "?"] = arg[i + 1]
end
local db = instant.admin.init { apiURI = config.api, appId = config.app, adminToken = config.token }

local reaction = db:reaction {
  name = "stock", etype = "orders", from = "start",
  retry = { attempts = 2, delay = 50 },
  onCreate = function(change, ctx)
    local order = change.new
    local items = assert(ctx:query { items = { ["$"] = { where = { name = order.item } } } }).items
    local item = items[1]
    if not item or item.count < order.count then
      error(("there are not %d of %s"):format(order.count, order.item), 0)
    end
    ctx:transact {
      db.tx.items[item.id]:update { count = item.count - order.count },
      db.tx.orders[change.id]:update { state = "packed" },
    }
  end,
}

instant.cron("@hourly", function()
  local dead = assert(db.reactions:dead "stock":await())
  if #dead > 0 then instant.log.warn("%d orders wait for somebody", #dead) end
end)

if config.app or config.api ~= "local::memory:" then
  print("packing what is ordered; Ctrl-C ends")
  return
end

instant.logLevel "error"
db:transact(db.tx.items[instant.id()]:update { name = "tea", count = 10 }):await()
for _, count in ipairs { 3, 4, 5, 2 } do
  db:transact(db.tx.orders[instant.id()]:update { item = "tea", count = count }):await()
end
while reaction:stats().handled < 4 do instant.sleep(10) end
for _, letter in ipairs(db.reactions:dead "stock":await()) do
  print(("not packed: %d of %s"):format(letter.change.new.count, letter.change.new.item))
end
print("left: " .. db:query { items = {} }:await().items[1].count)
instant.stop()
