--- Runs a script as a task, for the instant-lua program: `host(options, fn, ...)` gives the exit code and
--- whether to start again. `options`: `logLevel`, `logsJson`, `isPrompt` (`fn` is nil), `watch` (the
--- script's path; `fn` may be the message of why it cannot be read).

local Future = require "instant.future"
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

-- ---- starting again ----

local function folder_of(path)
  return path:match "^(.*)/[^/]*$" or "."
end

-- The folders of the script and of what it has required from files.
local function folders(script)
  local set = { [folder_of(script)] = true }
  for name in pairs(package.loaded) do
    local path = package.searchpath(name, package.path)
    if path then set[folder_of(path)] = true end
  end
  return set
end

-- An editor writes in several steps: the last of them counts.
local SETTLE = 100

-- Calls `fn` once a Lua file in these folders changes. Modules that come later are looked for as well.
local function watch(script, fn)
  local watched, timer = {}, nil
  local function changed(name)
    if name and not name:match "%.lua$" then return end
    if timer then timer:stop() end
    timer = core.timer(SETTLE, 0, fn)
  end
  local function look()
    for folder in pairs(folders(script)) do
      if not watched[folder] then watched[folder] = core.watch(folder, changed) or true end
    end
  end
  look()
  return look
end

-- ---- running ----

local function outcome(script)
  if script.state == "rejected" then
    complain(script.traceback or tostring(script.value))
    return 1
  elseif script.state == "pending" then
    complain("the script waits for something that nothing is left to bring about")
    return 1
  elseif math.type(script.value) == "integer" then
    return script.value
  end
  return scheduler.failures > 0 and 1 or 0
end

-- Runs until it ends; under --watch also then, until something changes.
local function run_watched(options, interrupt, was_interrupted, start)
  local restarts, is_over = false, false
  local look = watch(options.watch, function()
    restarts = true
    if is_over then core.stop(true) else interrupt() end
  end)
  local script = start()
  look()
  core.run()
  if restarts or was_interrupted() then return 0, restarts end
  local code = outcome(script)
  is_over = true
  core.signal("TERM", function() core.stop(true) end)
  look()
  complain(("ended with %d; waits for a change"):format(code))
  core.hold()
  core.run()
  core.release()
  return code, restarts
end

return function(options, fn, ...)
  if options.logLevel then core.log_level(options.logLevel) end
  if options.logsJson then core.log_level(options.logLevel or "warn", "json") end
  local interrupt, was_interrupted = interrupter()
  core.signal("TERM", interrupt)

  local args = { n = select("#", ...), ... }
  local function start()
    local script
    if type(fn) == "function" then
      script = task.start(fn, table.unpack(args, 1, args.n))
    elseif options.isPrompt then
      script = task.start(require("instant.repl").run)
    else
      script = Future.new()
      script:reject(fn)
    end
    script:catch(function() if not options.watch then core.stop(true) end end)
    return script
  end
  if options.watch then return run_watched(options, interrupt, was_interrupted, start) end
  local script = start()
  core.run()
  -- Whoever was told to end and says how it ended is believed.
  local says_how = script.state == "rejected" or math.type(script.value) == "integer"
  if was_interrupted() and not says_how then return 0 end
  return outcome(script)
end
