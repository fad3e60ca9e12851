--- Runs a script as a task, for the instant-lua program: `host(fn, ...)` gives the exit code.

local core = require "instant.core"
local lifecycle = require "instant.lifecycle"
local scheduler = require "instant.scheduler"
local task = require "instant.task"

local function complain(text)
  io.stderr:write("instant-lua: ", text, "\n")
end

-- The first asks everything to end, what reacts and runs jobs before what it needs for that; the second
-- does not wait.
local function interrupter()
  local count = 0
  return function()
    count = count + 1
    if count > 1 then
      core.stop(true)
    elseif lifecycle.isEmpty() then
      core.stop(false)
    else
      lifecycle.stop():next(function(is_in_time)
        if not is_in_time then
          complain(("not everything ended within %d s"):format(lifecycle.limit / 1000))
        end
        core.stop(not is_in_time)
      end)
    end
  end, function() return count > 0 end
end

return function(fn, ...)
  local interrupt, was_interrupted = interrupter()
  core.signal("TERM", interrupt)

  local script = task.start(fn, ...)
  script:catch(function() core.stop(true) end)
  core.run()

  if script.state == "rejected" then
    complain(script.traceback)
    return 1
  elseif was_interrupted() then
    return 0
  elseif script.state == "pending" then
    complain("the script waits for something that nothing is left to bring about")
    return 1
  elseif math.type(script.value) == "integer" then
    return script.value
  end
  return scheduler.failures > 0 and 1 or 0
end
