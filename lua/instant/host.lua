--- Runs a script as a task, for the instant-lua program: `host(fn, ...)` gives the exit code.

local core = require "instant.core"
local scheduler = require "instant.scheduler"
local task = require "instant.task"

local function complain(text)
  io.stderr:write("instant-lua: ", text, "\n")
end

return function(fn, ...)
  local interrupts = 0
  local function interrupt()
    interrupts = interrupts + 1
    -- The first asks everything to end, the second does not wait for it.
    core.stop(interrupts > 1)
  end
  core.signal("TERM", interrupt)

  local script = task.start(fn, ...)
  script:catch(function() core.stop(true) end)
  core.run()

  if script.state == "rejected" then
    complain(script.traceback)
    return 1
  elseif interrupts > 0 then
    return 0
  elseif script.state == "pending" then
    complain("the script waits for something that nothing is left to bring about")
    return 1
  elseif math.type(script.value) == "integer" then
    return script.value
  end
  return scheduler.failures > 0 and 1 or 0
end
