-- The rules of a small shop, beside its data:
--
--     build/instant-lua serve --script examples/server-lua/app.lua --watch
--
-- Any client buys by one call, and stock never goes below nothing, whoever writes:
--
--     curl -X POST http://127.0.0.1:8888/apps/APP_ID/routes/deliveries -d '{"sku":"tea","count":3}'
--     curl -X POST http://127.0.0.1:8888/apps/APP_ID/functions/buy -d '{"sku":"tea","count":2}'

local server = ...
local instant = require "instant"

local function product(db, sku)
  return db.query { products = { ["$"] = { where = { sku = sku } } } }.products[1]
end

server.live("shop", function()
  return { products = { ["$"] = { order = { serverCreatedAt = "asc" } } } }
end)

-- Both writes or none.
server.mutation("buy", function(ctx, params)
  local found = product(ctx.admin, params.sku)
  if not found then error { type = "record-not-found", message = "There is no " .. params.sku .. "." } end
  local order = instant.id()
  ctx.admin.transact {
    ctx.admin.tx.products[found.id]:update { stock = found.stock - params.count },
    ctx.admin.tx.orders[order]:update { sku = params.sku, count = params.count, status = "new" },
  }
  return { order = order }
end)

server.check("products", function(_, change)
  if change.new and change.new.stock < 0 then
    error { message = "That many are not there.", hint = { stock = change.old and change.old.stock or 0 } }
  end
end)

server.reaction {
  name = "confirm",
  etype = "orders",
  onCreate = function(ctx, change)
    ctx.admin.transact(ctx.admin.tx.orders[change.id]:update { status = "confirmed" })
  end,
}

-- What the warehouse calls when something comes in.
server.route("POST", "/deliveries", function(ctx, request)
  local sku, count = request.json.sku, request.json.count
  local found = product(ctx.admin, sku) or { id = instant.id(), stock = 0 }
  ctx.admin.transact(ctx.admin.tx.products[found.id]:update { sku = sku, stock = found.stock + count })
  return { body = { stock = found.stock + count } }
end)
