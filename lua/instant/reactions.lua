--- Durable reactions: functions that are called for every change of a namespace, once each and in
--- order, also for what happened while nobody ran.
--
--     db:reaction {
--       name = "invoices", etype = "orders",
--       onCreate = function(change, ctx)
--         ctx:transact(ctx.db.tx.invoices[instant.id()]:update { order = change.id, sum = change.new.total })
--       end,
--     }
--
-- The position is kept in the app, in `_reactions`. What a handler writes by `ctx:transact` is committed
-- together with the position: exactly once, whatever is killed when. Everything else it does (mail, HTTP)
-- happens at least once; `ctx.key` is the same each time, for whoever can tell repeats apart.

local Future = require "instant.future"
local Run = require "instant.reaction_run"
local State = require "instant.reaction_state"
local bind = require "instant.bind"
local lifecycle = require "instant.lifecycle"
local source = require "instant.reaction_source"
local where = require "instant.reaction_where"

local reactions = { Run = Run, State = State }

local TYPES = {
  name = "string", etype = "string", query = "table", onCreate = "function", onUpdate = "function",
  onDelete = "function", concurrency = "number", key = "function", retry = "table", lease = "number",
  batch = "number", from = "any", db = "any",
}
local RETRY = { attempts = 5, delay = 1000, maxDelay = 60000 }
local MAX_BATCH, MAX_CONCURRENCY = 1000, 1000

local function fail(text, ...)
  error(text:format(...), 0)
end

local function whole(options, name, default, min, max)
  local value = options[name]
  if value == nil then return default end
  if type(value) ~= "number" or value ~= math.floor(value) or value < min or value > max then
    fail("`%s` must be a whole number from %d to %d, got %s", name, min, max, tostring(value))
  end
  return value
end

local function check_types(options)
  if type(options) ~= "table" then fail("expected a table, got %s", type(options)) end
  for name, value in pairs(options) do
    local expected = TYPES[name]
    if not expected then fail("unknown option `%s`", tostring(name)) end
    if expected ~= "any" and type(value) ~= expected then
      fail("`%s` must be a %s, got %s", name, expected, type(value))
    end
  end
  if not options.name or options.name == "" then fail "`name` is missing: it says whose position is kept" end
  if #options.name > 200 then fail "`name` is longer than 200 bytes" end
end

local function retry_of(options)
  local retry = {}
  for name in pairs(options.retry or {}) do
    if not RETRY[name] then fail("unknown option `retry.%s`", tostring(name)) end
  end
  for name, default in pairs(RETRY) do
    retry[name] = whole(options.retry or {}, name, default, name == "attempts" and 1 or 0, 86400000)
  end
  return retry
end

-- What Run.new takes.
local function complete(options)
  check_types(options)
  local etype, matches = options.etype, nil
  if options.query then
    if etype then fail "`etype` and `query` both say what it follows; give one of them" end
    etype, matches = where.of_query(options.query)
    if not etype then fail("%s", matches) end
  end
  if not etype then fail "`etype` or `query` is missing: it says what it follows" end
  if etype == State.NAMESPACE or etype == State.DEAD then fail("%s is reactions' own", etype) end
  local handlers = { create = options.onCreate, update = options.onUpdate, delete = options.onDelete }
  if next(handlers) == nil then fail "give at least one of `onCreate`, `onUpdate`, `onDelete`" end
  local from = options.from == nil and "now" or options.from
  if from ~= "now" and from ~= "start" and type(from) ~= "number" then
    fail('`from` must be "now", "start" or a transaction\'s number, got %s', tostring(from))
  end
  return {
    name = options.name, etype = etype, matches = matches, handlers = handlers, from = from,
    concurrency = whole(options, "concurrency", 1, 1, MAX_CONCURRENCY),
    key = options.key or function(change) return change.id end,
    lease = whole(options, "lease", 10000, 50, 3600000), batch = whole(options, "batch", 500, 1, MAX_BATCH),
    retry = retry_of(options),
  }
end

local Reaction = {}
Reaction.__index = Reaction

--- Ends it here: what its handlers do now is finished and kept. The future comes when that is done.
function Reaction:stop()
  self._forget()
  return self._run:stop()
end

--- "starting", "running", "waiting" (for news), "standing by" (another process has it), "stopped",
--- "failed", "deleted".
function Reaction:status()
  return self._run.status
end

--- Counters since the start: `handled`, `dead`, `retries`.
function Reaction:stats()
  local copy = {}
  for name, value in pairs(self._run.stats) do copy[name] = value end
  return copy
end

--- Starts one on an admin client.
function reactions.start(admin, options)
  local ok, whole_options = pcall(complete, options)
  if not ok then error("reaction: " .. tostring(whole_options), 3) end
  local run = Run.new(whole_options, admin.config, admin)
  local self = setmetatable({ name = options.name, ended = run.ended, _run = run }, Reaction)
  self._forget = lifecycle.add(function() return run:stop() end)
  run:start()
  return self
end

-- ---- by an operator's hand ----

local function state(self, name)
  if type(name) ~= "string" then error("reactions: expected a reaction's name, got " .. type(name), 4) end
  return State.new(self._config, name)
end

local function later(fn, ...)
  local future = Future.new()
  Future.start(fn, ...):next(function(value) future:resolve(value) end, function(err) future:reject(err) end)
  return future
end

local function unless_failed(value, err)
  if value == nil and err ~= nil then error(err, 0) end
  return value
end

local Reactions = {}

--- All of the app: `{name=, owner=, position=, ...}`.
function Reactions:list()
  return later(function() return unless_failed(State.list(self._config)) end)
end

--- The dead letters of one: `{id=, key=, change=, error=, attempts=, at=}`, oldest first.
function Reactions:dead(name)
  local it = state(self, name)
  return later(function() return unless_failed(it:dead "dead") end)
end

--- Handles dead letters again, those of these ids or all; gives how many. Whoever holds the reaction does
--- it, within a third of its lease.
function Reactions:replay(name, ids)
  local it = state(self, name)
  return later(function() return unless_failed(it:replay(ids)) end)
end

--- Goes on from a position: "now", "start" or a transaction's number. What lies behind it is handled again,
--- what it jumps over never.
function Reactions:reset(name, position)
  local it = state(self, name)
  return later(function() return unless_failed(it:reset(unless_failed(source.position(self._config, position)))) end)
end

--- Forgets it with its dead letters; who runs it stops.
function Reactions:delete(name)
  local it = state(self, name)
  return later(function() return unless_failed(it:delete()) end)
end

--- What `db.reactions` is; each gives a future.
function reactions.of(config)
  return bind({ _config = config }, Reactions)
end

return reactions
