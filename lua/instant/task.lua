--- Tasks: functions that can wait. A task is a coroutine that futures resume.

local core = require "instant.core"
local coroutines = require "instant.coroutines"
local Future = require "instant.future"
local scheduler = require "instant.scheduler"

local task = {}

local function traceback_of(co, err)
  return debug.traceback(co, tostring(err))
end

-- Tasks start tasks: the innermost runs.
local running

local function advance(co, future, ...)
  local before = running
  running = co
  core.running(co)
  local ok, value = coroutines.resume(co, ...)
  running = before
  core.running(before)
  if not ok then
    future:reject(value, traceback_of(co, value))
  elseif coroutines.status(co) == "dead" then
    future:resolve(value)
  elseif value ~= Future.WAIT then
    -- A plain coroutine.yield() in a task lets the others run once.
    scheduler.soon(Future.tasks[co])
  end
end

--- Starts `fn(...)` as a task, at once, up to its first wait. Its future has what it returns, or
--- the error it raised.
function task.start(fn, ...)
  local co, future = coroutines.create(fn), Future.new()
  Future.tasks[co] = function()
    if coroutines.status(co) == "suspended" then advance(co, future) end
  end
  advance(co, future, ...)
  return future
end
Future.start = task.start

local function check_ms(ms, name)
  if type(ms) ~= "number" or ms < 0 or ms ~= ms or ms >= 1e15 then
    error(("%s: expected milliseconds (0 or more), got %s"):format(name, tostring(ms)), 3)
  end
end

local function check_function(fn, name)
  if type(fn) ~= "function" then
    error(("%s: expected a function, got %s"):format(name, type(fn)), 3)
  end
end

--- Waits so many milliseconds.
function task.sleep(ms)
  check_ms(ms, "sleep")
  local future = Future.new()
  core.timer(ms, 0, function() future:resolve(true) end)
  future:await()
end

--- Calls `fn` as a task after `ms` milliseconds. The result has `:stop()`.
function task.after(ms, fn)
  check_ms(ms, "after")
  check_function(fn, "after")
  return core.timer(ms, 0, function() task.start(fn) end)
end

--- Calls `fn` as a task every `ms` milliseconds, until `:stop()` of the result.
function task.every(ms, fn)
  check_ms(ms, "every")
  check_function(fn, "every")
  return core.timer(math.max(ms, 1), math.max(ms, 1), function() task.start(fn) end)
end

return task
