-- A client with a storage, to be killed at any moment.
-- instant-lua tests/e2e/offline.lua API APP_ID STORAGE write|drain|show
--
-- write: writes notes for ever and says of each what it was told; drain: ends when all that was kept
-- is with the server; show: says how many notes it is shown first, and its local id.

local instant = require "instant"
local api, app_id, storage, what = arg[1], arg[2], arg[3], arg[4]
instant.logLevel "error"
local db = instant.init { appId = app_id, apiURI = api, storage = storage }

local function say(...)
  print(table.concat({ ... }, " "))
  io.stdout:flush()
end

if what == "write" then
  for _ = 1, 4 do
    instant.task(function()
      while true do
        local id = instant.id()
        local told, err = db:transact(db.tx.notes[id]:create { n = id }):await()
        say(told and "told" or "failed", id, told and told.status or tostring(err))
      end
    end)
  end
elseif what == "drain" then
  db:subscribeMutationErrors(function(err) say("failed", tostring(err)) end)
  -- Behind everything that was kept.
  local told = assert(db:transact(db.tx.marks[instant.id()]:create { at = instant.now() }):await())
  if told.status == "enqueued" then
    while db._core:pending() > 0 do instant.sleep(5) end
  end
  assert(db:queryOnce({ notes = {} }):await())
  say "drained"
  db:shutdown()
else
  say("device", assert(db:getLocalId("device"):await()))
  local stop
  stop = db:subscribeQuery({ notes = {} }, function(result)
    say("shown", result.data and #result.data.notes or tostring(result.error))
    instant.after(0, function()
      stop()
      db:shutdown()
    end)
  end)
end
