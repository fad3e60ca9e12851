--- A client of one app: what `instant.init` returns.
--
-- Every function can be called as `db:name(...)` and as `db.name(...)`.

local core = require "instant.core"
local Future = require "instant.future"
local scheduler = require "instant.scheduler"
local storage = require "instant.storage"
local task = require "instant.task"
local tx = require "instant.tx"

local Db = {}

local function check_function(fn, name)
  if type(fn) ~= "function" then
    error(("%s: expected a function, got %s"):format(name, type(fn)), 3)
  end
end

-- Callbacks run as tasks: they may wait, and a failing one is reported.
local function callback(fn)
  return function(...) task.start(fn, ...) end
end

local function unsubscriber(listener)
  return function() listener:stop() end
end

local function raise(listener, err)
  if not listener then error(err, 3) end
  return unsubscriber(listener)
end

local function settle(future)
  return function(value, err)
    if err then
      future:reject(err)
    else
      future:resolve(value)
    end
  end
end

-- A future for a call of the core that may fail at once.
local function ask(fn)
  local future = Future.new()
  local started, err = fn(settle(future))
  if not started then future:reject(err) end
  return future
end

--- Calls `fn{data=, pageInfo=, aggregate=}` or `fn{error=}` now and whenever the result changes.
--- `opts.ruleParams` go to the permission rules. Returns the function that ends it.
--- Raises when the query is invalid.
function Db:subscribeQuery(query, fn, opts)
  check_function(fn, "subscribeQuery")
  return raise(self._core:subscribe_query(query, opts and opts.ruleParams, function(result, err)
    task.start(fn, result or { error = err })
  end))
end

--- Asks the backend once; the future has `{data=, pageInfo=, aggregate=}`.
function Db:queryOnce(query, opts)
  return ask(function(settled)
    return self._core:query_once(query, opts and opts.ruleParams, settled)
  end)
end

--- Applies one chunk or a list of them at once here, and sends them. The future has
--- `{status = "synced" | "enqueued", eventId = ...}`: enqueued when it will be sent later.
function Db:transact(chunks)
  if type(chunks) ~= "table" then
    error("transact: expected a chunk or a list of chunks, got " .. type(chunks), 2)
  end
  return ask(function(settled)
    return self._core:transact(tx.plain(chunks), settled)
  end)
end

--- Sends ready tx-steps (tools, migrations).
function Db:_transactSteps(steps)
  return ask(function(settled)
    return self._core:transact_steps(steps, settled)
  end)
end

--- Calls `fn(status, err)` on every change: "connecting", "opened", "authenticated", "closed",
--- "errored".
function Db:subscribeConnectionStatus(fn)
  check_function(fn, "subscribeConnectionStatus")
  return raise(self._core:subscribe_connection_status(callback(fn)))
end

function Db:getConnectionStatus()
  return self._core:status()
end

--- Calls `fn{isLoading=, isReadOnly=, status=}` now and on every change.
function Db:subscribeAppStatus(fn)
  check_function(fn, "subscribeAppStatus")
  return raise(self._core:subscribe_app_status(callback(fn)))
end

--- Calls `fn(err, eventId)` for every write that failed, also when its future said "enqueued".
--- Without such a listener those are reported. Does not keep the program running.
function Db:subscribeMutationErrors(fn)
  check_function(fn, "subscribeMutationErrors")
  self._listensToFailures = true
  return raise(self._core:subscribe_mutation_errors(callback(fn)))
end

--- The same UUID for the same name in every run on the same storage; without one, in this run. The
--- future fails when the storage does.
function Db:getLocalId(name)
  if type(name) ~= "string" then
    error("getLocalId: expected a string, got " .. type(name), 2)
  end
  return ask(function(settled)
    return self._core:local_id(name, settled)
  end)
end

--- Ends everything this client does. What was not sent is lost, unless it has a storage.
function Db:shutdown()
  self:_forget()
  self._core:shutdown()
end

local function bound(self, fn)
  return function(first, ...)
    if first == self then return fn(self, ...) end
    return fn(self, first, ...)
  end
end

-- A write that fails after its future said "enqueued", or in a later run, must not vanish.
local function report_failures(self)
  self._core:subscribe_mutation_errors(function(err, _, is_told)
    if not is_told and not self._listensToFailures then
      scheduler.fail("a write that was enqueued failed: " .. tostring(err))
    end
  end)
end

-- Other modules add their methods of a client to `methods`.
local db = { methods = Db, ask = ask, callback = callback, unsubscriber = unsubscriber }

--- `options` are those of core.client; `forget` is called at shutdown.
function db.new(options, forget)
  local attach
  if options.storage ~= nil and type(options.storage) ~= "string" then
    options.disk, attach = storage.disk(options.storage)
    options.storage = nil
  end
  local client, app_id = core.client(options)
  if not client then return nil, app_id end
  if attach then attach(client, app_id or options.app_id) end
  local self = {
    _core = client,
    _forget = forget,
    appId = app_id or options.app_id,
    tx = tx.builder,
  }
  for name, fn in pairs(Db) do self[name] = bound(self, fn) end
  report_failures(self)
  return self
end

return db
