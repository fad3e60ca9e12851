-- A host of a durable reaction, to be killed at any moment.
-- instant-lua tests/e2e/reactor.lua API APP_ID TOKEN [POINT [BATCH [ATTEMPTS]]]
--
-- Books every order in `ledger`. With POINT it kills itself, as kill -9 does, at the n-th point at which that
-- could matter; a handler that was at work then has failed once, so there are many ATTEMPTS unless said.

local Run = require "instant.reaction_run"
local instant = require "instant"

local api, app_id, token, point, batch = arg[1], arg[2], arg[3], tonumber(arg[4]), tonumber(arg[5])
instant.logLevel "warn"
local pid = io.open("/proc/self/stat"):read "n"

local passed = 0
Run.onFault = point and function()
  passed = passed + 1
  if passed >= point then os.execute("kill -9 " .. pid) end
end or nil

local db = instant.admin.init { apiURI = api, appId = app_id, adminToken = token }
local reaction = db:reaction {
  name = "ledger", etype = "orders", from = "start", lease = 1000, batch = batch,
  onCreate = function(change, ctx)
    if change.new.n % 3 == 0 then instant.sleep(0) end -- some wait, some do not
    if change.new.isPoison then error "it is poison" end
    ctx:transact(db.tx.ledger[instant.id()]:update { n = change.new.n, key = ctx.key, by = pid })
  end,
  retry = { attempts = tonumber(arg[6]) or 1000000, delay = 1 },
}
print "started"
io.stdout:flush()
instant.onStop(function() print "asked to stop" end)
reaction.ended:await()
print("handled", reaction:stats().handled)
