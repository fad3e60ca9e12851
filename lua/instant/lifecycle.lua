--- What has to come to an end in order before the program does: reactions, jobs.
--
-- The first Ctrl-C or SIGTERM asks all of it to finish and waits, up to a limit; then clients and
-- servers are closed. The second does not wait.

local Future = require "instant.future"
local core = require "instant.core"

local lifecycle = {
  limit = 10000, -- ms that they have
}

local enders = {}

--- `stop()` gives a future, or nothing, when the program is to end. The result takes it back.
function lifecycle.add(stop)
  enders[stop] = true
  return function() enders[stop] = nil end
end

function lifecycle.isEmpty()
  return next(enders) == nil
end

--- Stops all of it; the future has whether that was in time.
function lifecycle.stop()
  local over, left = Future.new(), 1
  local function one_less()
    left = left - 1
    if left == 0 then over:resolve(true) end
  end
  local list = {}
  for stop in pairs(enders) do list[#list + 1] = stop end
  enders = {}
  for _, stop in ipairs(list) do
    left = left + 1
    local ok, ended = pcall(stop)
    if ok and Future.is(ended) then ended:next(one_less, one_less) else one_less() end
  end
  local timer = core.timer(lifecycle.limit, 0, function() over:resolve(false) end)
  one_less()
  return over:finally(function() timer:stop() end)
end

--- Ends everything: what is here first, then clients, servers, timers. With `now` it waits for nothing.
function lifecycle.endAll(now)
  if now or lifecycle.isEmpty() then
    core.stop(now)
  else
    lifecycle.stop():next(function(is_in_time) core.stop(not is_in_time) end)
  end
end

return lifecycle
