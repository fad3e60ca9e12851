--- What runs next: a queue of functions, drained at the end of every turn of the loop.
--
-- Nothing that a user's function causes is delivered while that function is still running: it is
-- queued here. A function that fails is reported with its traceback and stops nobody else.

local core = require "instant.core"

local scheduler = {
  failures = 0, -- reported so far; the host's exit code depends on it
}

local queue, first, last = {}, 1, 0

--- Writes a failure that nobody handles. Replace it to log elsewhere.
function scheduler.report(text)
  io.stderr:write("instant: ", text, "\n")
end

function scheduler.fail(text)
  scheduler.failures = scheduler.failures + 1
  scheduler.report(text)
end

local function describe(err)
  return debug.traceback(tostring(err), 2)
end

--- Calls `fn` soon, never from inside this call.
function scheduler.soon(fn)
  last = last + 1
  queue[last] = fn
  core.wake()
end

core.set_scheduler(function()
  -- Only what is queued now: what it queues waits for the next round, so that I/O gets its turn.
  local stop = last
  while first <= stop do
    local fn = queue[first]
    queue[first] = nil
    first = first + 1
    local ok, text = xpcall(fn, describe)
    if not ok then scheduler.fail(text) end
    if first <= last and core.is_time_up() then
      core.wake()
      return
    end
  end
end)

return scheduler
