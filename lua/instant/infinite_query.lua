--- `db:subscribeInfiniteQuery`: a live list of one namespace that is loaded page by page.
--
--     <- reverse window ][ frozen page ][ frozen page ][ newest page ... canLoadNextPage
--        what comes in front            each ends where the next begins
--
-- Until the first page is full one query shows everything. Then that page gets a fixed start, and a window
-- in the reversed order watches what comes in front of it; a full one is frozen (it gets a fixed end too)
-- and another begins behind it.

local core = require "instant.core"
local db = require "instant.db"

local PAGE = 10 -- as the official client has it

local function is_present(value) return value ~= nil and value ~= core.null end

local function invalid(message)
  error(setmetatable({ type = "validation-failed", message = message, status = 400 }, core.error_mt), 3)
end

local function split(query)
  local name, rest
  for key, value in pairs(type(query) == "table" and query or {}) do
    if name then name = false break end
    name, rest = key, value
  end
  if not name then invalid "subscribeInfiniteQuery expects exactly one entity" end
  if type(rest) ~= "table" then invalid "No query provided for infinite query" end
  return name, rest
end

local function reversed(order)
  local field, direction = next(order)
  return { [field] = direction == "asc" and "desc" or "asc" }
end

-- What all windows share: the query with another `$`.
local function window_query(self, order, extra)
  local query = {}
  for key, value in pairs(self.rest) do query[key] = value end
  local dollar = { where = self.dollar.where, fields = self.dollar.fields, order = order }
  for key, value in pairs(extra) do dollar[key] = value end
  query["$"] = dollar
  return { [self.name] = query }
end

local function last(list) return list[#list] end

-- Newest in front first, each reversed; then the pages.
local function tell(self)
  if not self.isActive then return end
  local rows = setmetatable({}, core.array_mt)
  for i = #self.reverse, 1, -1 do
    local part = self.reverse[i].rows
    for k = #part, 1, -1 do rows[#rows + 1] = part[k] end
  end
  for _, page in ipairs(self.forward) do
    for _, row in ipairs(page.rows) do rows[#rows + 1] = row end
  end
  self.fn { data = { [self.name] = rows }, canLoadNextPage = last(self.forward).hasMore or false }
end

local function fail(self, err)
  if self.isActive then self.fn { error = err, canLoadNextPage = false } end
end

-- Subscribes in the place of what the window had before. `done` may say that there is nothing to tell.
-- A result may come while subscribing, and put another subscription in this one's place.
local function watch(self, window, query, done)
  local former = window.stop
  local generation = (window.generation or 0) + 1
  window.generation, window.stop = generation, nil
  local stop = self.client:subscribeQuery(query, function(result)
    if not self.isActive or window.generation ~= generation then return end
    if result.error then return fail(self, result.error) end
    local info = result.pageInfo and result.pageInfo[self.name] or {}
    window.rows = result.data[self.name]
    window.hasMore = info.hasNextPage or false
    window.finish = is_present(info.endCursor) and info.endCursor or nil
    if not (done and done(info)) then tell(self) end
  end, self.opts)
  if former then former() end
  if self.isActive and window.generation == generation then
    window.stop = stop
  else
    stop()
  end
end

-- `shown`: what is known of it already, so that nothing is missing until its own result is there.
local function open(self, list, order, start, inclusive, shown, done)
  local window = {
    rows = shown and shown.rows or {}, hasMore = shown and shown.hasMore, finish = shown and shown.finish,
    start = start, inclusive = inclusive,
  }
  list[#list + 1] = window
  watch(self, window, window_query(self, order, {
    limit = self.size, after = start, afterInclusive = inclusive or nil,
  }), done and function() done(window) end)
end

local function freeze(self, window, order)
  window.isFrozen = true
  watch(self, window, window_query(self, order, {
    after = window.start, afterInclusive = window.inclusive or nil,
    before = window.finish, beforeInclusive = true,
  }))
end

local open_reverse

-- The window in front is full: it stays as it is, and another begins in front of it.
local function advance(self, window)
  if window.isFrozen or not window.hasMore or not window.finish then return end
  local finish = window.finish
  freeze(self, window, reversed(self.order))
  open_reverse(self, finish)
end

function open_reverse(self, start)
  open(self, self.reverse, reversed(self.order), start, false, nil, function(window) advance(self, window) end)
end

-- The first page is full and has a start: from here on the windows show it.
local function begin(self, start)
  local starter = self.forward[1]
  starter.generation = starter.generation + 1
  if starter.stop then starter.stop() end
  starter.stop, self.forward, self.isStarted = nil, {}, true
  open(self, self.forward, self.order, start, true, starter)
  open_reverse(self, start)
end

-- One query shows everything while there is less than a page; so does a full page of writes that the
-- backend has not seen, which has no start yet.
local function start(self)
  local starter = { rows = {} }
  self.forward[1] = starter
  watch(self, starter, window_query(self, self.order, { limit = self.size }), function(info)
    if #starter.rows < self.size or not is_present(info.startCursor) then
      starter.hasMore = false
      return false
    end
    begin(self, info.startCursor)
    return true
  end)
end

local function stop_all(self)
  if not self.isActive then return end
  self.isActive = false
  for _, list in ipairs { self.forward, self.reverse } do
    for _, window in ipairs(list) do
      if window.stop then window.stop() end
      window.stop = nil
    end
  end
end

local function load_next(self)
  local page = last(self.forward)
  if not self.isActive or not self.isStarted or not page.finish or page.isFrozen then return end
  local finish = page.finish
  freeze(self, page, self.order)
  open(self, self.forward, self.order, finish, false)
end

--- Calls `fn{data=, canLoadNextPage=}` or `fn{error=, canLoadNextPage=}` now and on every change of what is
--- loaded. `query` has one namespace, `$.limit` is the size of a page (10). Gives `{unsubscribe=,
--- loadNextPage=}`. Raises when the query is invalid.
function db.methods:subscribeInfiniteQuery(query, fn, opts)
  if type(fn) ~= "function" then
    error(("subscribeInfiniteQuery: expected a function, got %s"):format(type(fn)), 2)
  end
  local name, rest = split(query)
  local dollar = is_present(rest["$"]) and rest["$"] or {}
  local has_order = is_present(dollar.order) and next(dollar.order) ~= nil
  local list = {
    client = self, name = name, rest = rest, dollar = dollar, fn = fn, opts = opts, isActive = true,
    size = is_present(dollar.limit) and dollar.limit ~= 0 and dollar.limit or PAGE,
    -- Without one the backend orders so too; said here, because it is to be reversed.
    order = has_order and dollar.order or { serverCreatedAt = "asc" },
    forward = {}, reverse = {},
  }
  local ok, err = pcall(start, list)
  if not ok then error(err, 2) end
  return {
    unsubscribe = function() stop_all(list) end,
    loadNextPage = function() load_next(list) end,
  }
end
