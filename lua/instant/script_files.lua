--- The scripts of a backend as files: read, handed to it, read again when they change.
--
-- A module that a script requires is a file beside it: `require "lib.text"` is lib/text.lua.

local core = require "instant.core"
local cron = require "instant.cron"
local task = require "instant.task"

local ScriptFiles = {}
ScriptFiles.__index = ScriptFiles

local function read(path)
  local file, why = io.open(path, "rb")
  if not file then return nil, why end
  local text
  text, why = file:read "*a" -- a folder opens, too
  file:close()
  return text, text and nil or why
end

-- lib/text.lua beside the script; nil for what is no name of a module.
local function module_path(script, module)
  for part in (module .. "."):gmatch "([^.]*)%." do
    if not part:match "^[%w_-]+$" then return nil end
  end
  return (script:match "^(.*/)" or "") .. module:gsub("%.", "/") .. ".lua"
end

local function fail(message)
  return nil, core.error("function-failed", message)
end

-- Loads one script; notes what was read, also when it fails.
local function load_one(self, app, path)
  local seen = {}
  local function take(file)
    local text, why = read(file)
    seen[file] = text or false
    return text, why
  end
  self.seen[path] = seen
  local text, why = take(path)
  if not text then return fail(why) end
  return self.backend:set_script {
    app = app,
    name = "@" .. path,
    text = text,
    memory = self.limits.memory,
    steps = self.limits.steps,
    ms = self.limits.ms,
    cron = cron.parse,
    find = function(module)
      local file = module_path(path, module)
      if not file then return nil, "this is no name of a file beside the script" end
      local module_text, problem = take(file)
      if not module_text then return nil, problem end
      return module_text, "@" .. file
    end,
  }
end

--- Reads all scripts again. Those that load are used from then on, also when another does not:
--- `nil, err` is about the first of those, which stays as it was.
function ScriptFiles:load()
  local failed
  for _, script in ipairs(self.list) do
    local ok, err = load_one(self, script.app, script.path)
    if not ok then failed = failed or err end
  end
  self:schedule()
  if failed then return nil, failed end
  return true
end

local function run_in(self, app, expression)
  local count, failed = 0, nil
  for _, schedule in ipairs(self.backend:schedules(app)) do
    if schedule[2] == expression then
      local ok, err = self.backend:run_schedule(app, schedule[1])
      count = count + 1
      if not ok then failed = failed or err end
    end
  end
  return count, failed
end

-- What is due now, in every app that has it; apps may have come since the script was loaded. Everybody
-- else has a turn between two apps: to open one and run its code takes time.
local function run_due(self, expression)
  local failed
  for _, app in ipairs(self.apps()) do
    if not self.jobs[expression] then break end -- ended meanwhile
    local count, err = run_in(self, app, expression)
    failed = failed or err
    if count > 0 then task.sleep(0) end
  end
  if failed then error(failed, 0) end
end

--- One job for each expression that the scripts have; those of before end.
function ScriptFiles:schedule()
  self:stop()
  for _, script in ipairs(self.list) do
    for _, schedule in ipairs(self.backend:schedules(script.app or "*")) do
      local expression = schedule[2]
      self.jobs[expression] = self.jobs[expression] or cron.start(expression, function()
        run_due(self, expression)
      end, { name = "schedule " .. expression, missed = "skip" })
    end
  end
end

--- Ends the schedules.
function ScriptFiles:stop()
  for expression, job in pairs(self.jobs) do
    job:stop()
    self.jobs[expression] = nil
  end
end

--- Is any of the files another than when it was last read?
function ScriptFiles:hasChanged()
  for _, seen in pairs(self.seen) do
    for path, text in pairs(seen) do
      if (read(path) or false) ~= text then return true end
    end
  end
  return false
end

--- `scripts`: a path, for all apps, or `{[app id] = path}`; the key "*" is for all other apps.
--- `limits`: `memory` in bytes, `steps`, `ms`; those left out are as by default. `apps()`: ids of the apps.
return function(backend, scripts, limits, apps)
  local list = {}
  if type(scripts) == "string" then scripts = { ["*"] = scripts } end
  for app, path in pairs(scripts) do
    list[#list + 1] = { app = app ~= "*" and app:lower() or nil, path = path }
  end
  table.sort(list, function(a, b) return (a.app or "") < (b.app or "") end)
  return setmetatable({
    backend = backend, list = list, limits = limits, apps = apps, seen = {}, jobs = {},
  }, ScriptFiles)
end
