--- What `subscribeQuery` of the admin SDK returns: a live query over server-sent events.
--
--     local sub = db:subscribeQuery({ todos = {} }, function(payload) ... end)
--     for payload in db:subscribeQuery { todos = {} } do ... end        -- in a task
--     sub:close()
--
-- A payload is {type = "ok", data=, pageInfo=, aggregate=, sessionInfo=} or {type = "error", error=, readyState=,
-- isClosed=, sessionInfo=}.

local core = require "instant.core"
local event_source = require "instant.event_source"
local Future = require "instant.future"
local request = require "instant.admin_request"
local task = require "instant.task"

-- Payloads that wait for an iterator; of a live query the oldest may go.
local MAX_BACKLOG = 100
-- A break that is not mended by then is told.
local PATIENCE_MS = 5000

local present = request.present
local Subscription = {}

local function page_info(meta)
  local raw = present(meta) and present(meta["page-info"])
  if not raw then return nil end
  local pages = {}
  for etype, page in pairs(raw) do
    pages[etype] = {
      startCursor = page["start-cursor"], endCursor = page["end-cursor"],
      hasNextPage = page["has-next-page?"], hasPreviousPage = page["has-previous-page?"],
    }
  end
  return pages
end

local function counts(meta)
  local found = present(meta) and present(meta.aggregate)
  return found and next(found) ~= nil and found or nil
end

local function error_of(body, status)
  local err = core.error(type(body.type) == "string" and body.type or "unknown",
    type(body.message) == "string" and body.message or "Unknown error in subscribe query.")
  err.status, err.hint, err.body = status, present(body.hint), body
  return err
end

local function deliver(self, payload)
  if self._closed then return end
  payload.sessionInfo = self._session
  for _, take in ipairs(self._takers) do take(payload) end
end

local function deliver_error(self, err)
  local state = self._source.readyState
  deliver(self, { type = "error", error = err, readyState = state, isClosed = state == "closed" })
end

local function on_message(self, message)
  if message.op == "sse-init" then
    self._session = { machineId = message["machine-id"], sessionId = message["session-id"] }
  elseif message.op == "add-query-ok" then
    local meta = message["result-meta"]
    deliver(self, { type = "ok", data = message.result, pageInfo = page_info(meta), aggregate = counts(meta) })
  elseif message.op == "refresh-ok" then
    local computation = message.computations[1]
    if computation then
      local meta = computation["result-meta"]
      deliver(self, {
        type = "ok", data = computation["instaql-result"], pageInfo = page_info(meta), aggregate = counts(meta),
      })
    end
  elseif message.op == "error" then
    deliver_error(self, error_of(message, message.status))
  end
end

-- The program's end is no error of anybody's; iterators end.
local function end_all(self)
  self._closed = true
  for _, wake in ipairs(self._wakers) do wake() end
end

local function on_error(self, why, is_final)
  if is_final and why.type == "shutdown" then
    end_all(self)
  elseif is_final then
    local body = core.json_decode(why.body)
    deliver_error(self, error_of(type(body) == "table" and body or { message = why.body }, why.status))
  elseif not self._patience then
    local err = why or core.error("io-error", "Unknown error in subscribe query.")
    self._patience = core.timer(PATIENCE_MS, 0, function()
      self._patience = nil
      if self._source.readyState ~= "open" then deliver_error(self, err) end
    end)
  end
end

local function on_open(self)
  if self._patience then self._patience:stop() end
  self._patience = nil
end

--- Ends it: nothing comes any more, iterators end.
function Subscription:close()
  if self._closed then return end
  if self._patience then self._patience:stop() end
  self._source:close()
  end_all(self)
end

--- A function that waits for the next payload and gives it; nil when the subscription was closed.
--- Each call of `iterate` makes one of its own, which sees what comes from then on.
function Subscription:iterate()
  local backlog, first, last, waiting = {}, 1, 0, nil
  local function wake()
    local future = waiting
    waiting = nil
    if future then future:resolve(true) end
  end
  self._takers[#self._takers + 1] = function(payload)
    last = last + 1
    backlog[last] = payload
    if last - first >= MAX_BACKLOG then
      backlog[first] = nil
      first = first + 1
    end
    wake()
  end
  self._wakers[#self._wakers + 1] = wake
  return function()
    while not self._closed do
      if first <= last then
        local payload = backlog[first]
        backlog[first] = nil
        first = first + 1
        return payload
      end
      waiting = waiting or Future.new()
      waiting:await()
    end
    return nil
  end
end

local mt = {}

function mt:__index(name)
  if name == "readyState" then return self._source.readyState end
  if name == "isClosed" then return self._source.readyState == "closed" end
  if name == "sessionInfo" then return self._session end
  return Subscription[name]
end

-- `for payload in sub do`
function mt:__call()
  self._next = self._next or self:iterate()
  return self._next()
end

--- `options`: config, headers, infers.
return function(query, fn, options)
  local self = setmetatable({ _takers = {}, _wakers = {}, _closed = false }, mt)
  if fn then
    self._takers[1] = function(payload) task.start(fn, payload) end
  else
    self._next = self:iterate()
  end
  self._source = event_source.open {
    config = options.config,
    route = "/admin/subscribe-query",
    query = { local_connection_id = core.id() },
    headers = options.headers,
    body = {
      query = query,
      ["inference?"] = options.infers,
      versions = { ["@instantdb/admin"] = request.version, ["@instantdb/core"] = request.version },
    },
    onOpen = function() on_open(self) end,
    onMessage = function(message) on_message(self, message) end,
    onError = function(why, is_final) on_error(self, why, is_final) end,
  }
  return self
end
