--- Whole namespaces kept here: `db:_syncTableExperimental`, as the official client has it.

local db = require "instant.db"
local task = require "instant.task"

local sync_tables = {
  -- What `event.type` may be.
  EventType = {
    InitialSyncBatch = "InitialSyncBatch",
    InitialSyncComplete = "InitialSyncComplete",
    LoadFromStorage = "LoadFromStorage",
    SyncTransaction = "SyncTransaction",
    Error = "Error",
  },
}

-- `event.data` is made when it is first looked at: a table may be large, and most listeners look at
-- what changed.
local function with_data(event, client, sub)
  return setmetatable(event, {
    __index = function(self, name)
      if name ~= "data" then return nil end
      local data = client._core:table_data(sub)
      rawset(self, "data", data)
      return data
    end,
  })
end

--- Keeps the whole namespace of `query` here and calls `fn(event)` with what comes and changes; needs
--- an admin token. Returns the function that ends it, which takes `{keepSubscription = true}`: then
--- storage and server keep it, and the next one goes on from there.
--- `event.data` is the table right behind the event, until `fn` waits; then as it is when looked at.
function db.methods:_syncTableExperimental(query, fn)
  if type(fn) ~= "function" then
    error(("_syncTableExperimental: expected a function, got %s"):format(type(fn)), 2)
  end
  local listener, err = self._core:subscribe_table(query, function(event, sub)
    if event.error then event.data = { [next(query)] = {} } end
    task.start(fn, with_data(event, self, sub))
  end)
  if not listener then error(err, 2) end
  return function(opts)
    self._core:unsubscribe_table(listener, opts and opts.keepSubscription)
  end
end

return sync_tables
