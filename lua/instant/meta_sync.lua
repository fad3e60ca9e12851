---@meta instant
--- Sync tables: whole namespaces kept in the client.

---@class instant
---@field SyncTableCallbackEventType table<string, string> what `event.type` may be
local instant = {}

---@class instant.SyncEvent
---@field type "InitialSyncBatch"|"InitialSyncComplete"|"LoadFromStorage"|"SyncTransaction"|"Error"
---@field data table<string, table[]> the whole table; made when first looked at
---@field batch? table[] InitialSyncBatch: the entities that came
---@field added? table[] SyncTransaction
---@field removed? table[] SyncTransaction: the entities as they were
---@field updated? { oldEntity: table, newEntity: table, changedFields: table<string, { oldValue: any, newValue: any }> }[]
---@field error? instant.Error

local Db = {}

--- Keeps a whole namespace here. Experimental in the official client, under this name: needs an admin
--- token, takes one namespace with nothing but an order, and follows attributes and links with one
--- value. Returns the function that ends it; with `{keepSubscription = true}` storage and server keep
--- the subscription, and the next one goes on from there.
---@param query table `{ todos = {} }`, `{ todos = { ["$"] = { order = { createdAt = "desc" } } } }`
---@param fn fun(event: instant.SyncEvent)
---@return fun(opts?: { keepSubscription?: boolean }) unsubscribe
function Db:_syncTableExperimental(query, fn) end

return instant
