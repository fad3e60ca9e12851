--- A value that comes later: what a Promise is to the official client.
--
-- `:await()` gives the value, or `nil, err`. Inside a task it lets others run; outside one it runs
-- the loop until the value is there. `:next`, `:catch` and `:finally` chain without waiting. A
-- rejection that nobody looks at is reported.

local core = require "instant.core"
local coroutines = require "instant.coroutines"
local scheduler = require "instant.scheduler"

local PENDING, RESOLVED, REJECTED = "pending", "resolved", "rejected"

local Future = {}
Future.__index = Future

-- Coroutines that task.lua resumes, and what to yield to it.
Future.tasks = setmetatable({}, { __mode = "k" })
Future.WAIT = {}

-- How a host waits whose loop is not ours, outside of tasks: `wait(future, when_settled)`, where
-- `when_settled(future, fn)` has fn called later. nil: the loop is run.
Future.wait = nil

--- A pending future; settle it with `:resolve(value)` or `:reject(err)`.
function Future.new()
  return setmetatable({ state = PENDING, waiting = {} }, Future)
end

function Future.is(value)
  return getmetatable(value) == Future
end

local function settle(self, state, value)
  if self.state ~= PENDING then return end
  self.state, self.value = state, value
  local waiting = self.waiting
  self.waiting = nil
  for _, fn in ipairs(waiting) do
    scheduler.soon(fn)
  end
end

local function report_unhandled(self)
  if self.handled then return end
  scheduler.fail("unhandled error: " .. (self.traceback or tostring(self.value)))
end

--- Settles with `err`, unless settled already. `traceback` is shown when nobody handles it.
function Future:reject(err, traceback)
  if self.state ~= PENDING then return end
  self.traceback = traceback
  settle(self, REJECTED, err)
  if not self.handled then
    -- Whoever made the call may still attach a handler in this turn.
    scheduler.soon(function()
      scheduler.soon(function() report_unhandled(self) end)
    end)
  end
end

local function when_settled(self, fn)
  if self.state == PENDING then
    self.waiting[#self.waiting + 1] = fn
  else
    scheduler.soon(fn)
  end
end

--- Settles with `value`, unless settled already; a future passes on what it settles with.
function Future:resolve(value)
  if not Future.is(value) then
    settle(self, RESOLVED, value)
    return
  end
  value.handled = true
  when_settled(value, function()
    if value.state == RESOLVED then
      self:resolve(value.value)
    else
      self:reject(value.value, value.traceback)
    end
  end)
end

local function run_loop(self)
  if core.is_running() then
    error("await: inside the loop only a task can wait; start one with instant.task", 3)
  end
  while self.state == PENDING do
    if not core.wait() and self.state == PENDING then
      error("await: nothing is left that could settle this future", 3)
    end
  end
end

--- The value, or `nil, err` when it was rejected.
function Future:await()
  self.handled = true
  if self.state == PENDING then
    local co, is_main = coroutines.running()
    local resume = co and Future.tasks[co]
    if resume then
      when_settled(self, resume)
      repeat coroutines.yield(Future.WAIT) until self.state ~= PENDING
    elseif Future.wait then
      Future.wait(self, when_settled)
    elseif co and not is_main then
      error("await: this coroutine is no task; start it with instant.task", 2)
    else
      run_loop(self)
    end
  end
  if self.state == RESOLVED then return self.value end
  return nil, self.value
end

local function chain(self, on_resolved, on_rejected)
  local result = Future.new()
  self.handled = true
  when_settled(self, function()
    local fn = on_rejected
    if self.state == RESOLVED then fn = on_resolved end
    if not fn then
      if self.state == RESOLVED then
        result:resolve(self.value)
      else
        result:reject(self.value, self.traceback)
      end
      return
    end
    -- As a task, so that it may wait.
    result:resolve(Future.start(fn, self.value))
  end)
  return result
end

--- Calls `on_resolved(value)` or `on_rejected(err)` later; the new future has what that returns.
function Future:next(on_resolved, on_rejected)
  return chain(self, on_resolved, on_rejected)
end

--- Calls `on_rejected(err)` when it fails.
function Future:catch(on_rejected)
  return chain(self, nil, on_rejected)
end

--- Calls `fn()` either way and passes on what was.
function Future:finally(fn)
  return chain(self, function(value)
    fn()
    return value
  end, function(err)
    fn()
    local failed = Future.new()
    failed:reject(err, self.traceback)
    return failed
  end)
end

function Future:__tostring()
  return "instant.Future (" .. self.state .. ")"
end

--- A future of the list of all values; fails with the first that fails.
function Future.all(list)
  local result, values, left = Future.new(), {}, #list
  if left == 0 then result:resolve(values) end
  for i, future in ipairs(list) do
    local function take(value)
      values[i] = value
      left = left - 1
      if left == 0 then result:resolve(values) end
    end
    if Future.is(future) then
      future:next(take, function(err) result:reject(err) end)
    else
      take(future)
    end
  end
  return result
end

return Future
