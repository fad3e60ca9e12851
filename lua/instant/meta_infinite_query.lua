---@meta instant
--- Infinite queries: a live list that is loaded page by page.

local Db = {}

---@class instant.InfiniteResult
---@field data? table<string, table[]> all that is loaded, in order
---@field error? instant.Error
---@field canLoadNextPage boolean

---@class instant.InfiniteQuery
---@field unsubscribe fun()
---@field loadNextPage fun()

--- Calls `fn` now and on every change of what is loaded: also of what comes in front of the first page.
--- Raises when the query is invalid.
---@param query table one namespace; `$.limit` is the size of a page, 10 by default
---@param fn fun(result: instant.InfiniteResult)
---@param opts? { ruleParams?: table }
---@return instant.InfiniteQuery
function Db:subscribeInfiniteQuery(query, fn, opts) end

return Db
