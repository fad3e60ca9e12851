-- Subscribes, goes through a server restart and says on stdout what it sees.
-- instant-lua tests/e2e/reconnect.lua API APP_ID

local instant = require "instant"
local api, app_id = arg[1], arg[2]
local db = instant.init { appId = app_id, apiURI = api }

local function say(...)
  print(table.concat({ ... }, " "))
  io.stdout:flush()
end

local wrote_away = false
db:subscribeConnectionStatus(function(status)
  say("status", status)
  if status == "closed" and not wrote_away then
    wrote_away = true
    instant.task(function()
      db:transact(db.tx.notes[instant.id()]:update { n = 2 })
    end)
  end
end)

local synced_seen = false
local last = 0
db:subscribeQuery({ notes = {} }, function(result)
  if not result.data then return end
  local count = #result.data.notes
  if count == last then return end
  last = count
  if count == 2 and not synced_seen then
    synced_seen = true
    say("local", count)
    instant.task(function()
      -- A query is answered only by a server that is back, after what was waiting was sent.
      local once = assert(db:queryOnce({ notes = {} }):await())
      assert(#once.data.notes == 2)
      say("confirmed", "synced")
    end)
  else
    say("ready", count)
  end
  if count == 3 then
    db:shutdown()
  end
end)

assert(db:transact(db.tx.notes[instant.id()]:update { n = 1 }):await())
