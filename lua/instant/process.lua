--- Child processes, beside everything else on the loop: nothing waits for them but the task that wants to.
--
--     local done = instant.spawn { "git", "log", "-1", cwd = "/srv/app", timeout = 5000 }:await()
--     print(done.code, done.stdout)
--
-- No shell is in between: every text is one argument as it is. `shell = "..."` asks for one. An exit code
-- is a result, not an error; what fails is a command that cannot be run, that takes too long or says too
-- much.

local Future = require "instant.future"
local core = require "instant.core"
local task = require "instant.task"

local process = {}

local SIGNALS = { HUP = 1, INT = 2, QUIT = 3, KILL = 9, USR1 = 10, USR2 = 12, TERM = 15 }
local NAMES = {}
for name, number in pairs(SIGNALS) do NAMES[number] = name end

-- Between SIGTERM and SIGKILL of one that takes too long, in ms.
local GRACE = 2000
local MAX_OUTPUT = 16777216

local TYPES = {
  shell = "string", cwd = "string", env = "table", stdin = "any", stdout = "any", stderr = "any", timeout = "number",
  maxOutput = "number",
}

local function fail(text, ...)
  error(("spawn: " .. text):format(...), 3)
end

local function check_stream(options, name)
  local value = options[name]
  if value == nil or value == "inherit" or type(value) == "function" then return end
  fail('`%s` must be a function or "inherit", got %s', name, tostring(value))
end

local function check(options)
  if type(options) ~= "table" then fail("expected a table, got %s", type(options)) end
  for name, value in pairs(options) do
    local expected = type(name) == "number" and "string" or TYPES[name]
    if not expected then fail("unknown option `%s`", tostring(name)) end
    if expected ~= "any" and type(value) ~= expected then
      fail("`%s` must be a %s, got %s", tostring(name), expected, type(value))
    end
  end
  if (options[1] == nil) == (options.shell == nil) then fail "give a command, or `shell`" end
  check_stream(options, "stdout")
  check_stream(options, "stderr")
  local input = options.stdin
  if input ~= nil and type(input) ~= "string" and input ~= true then
    fail('`stdin` must be a text, "inherit" or true, got %s', type(input))
  end
end

-- {NAME = "value", OTHER = false} on top of what this process has; false takes one away.
local function environment(changes)
  if not changes then return nil end
  local list, file = {}, io.open("/proc/self/environ", "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  for entry in text:gmatch "[^%z]+" do
    local name = entry:match "^([^=]+)="
    if name and changes[name] == nil then list[#list + 1] = entry end
  end
  for name, value in pairs(changes) do
    if value then list[#list + 1] = tostring(name) .. "=" .. tostring(value) end
  end
  return list
end

-- Collects, or hands on piece by piece.
local function sink(self, options, name)
  local fn = options[name]
  local pieces = {}
  if type(fn) == "function" then
    return function(bytes)
      if bytes then task.start(fn, bytes) end
    end, function() return nil end
  end
  return function(bytes)
    if not bytes then return end
    self.collected = self.collected + #bytes
    if self.collected > (options.maxOutput or MAX_OUTPUT) then
      self.problem = core.error("output-too-large", ("%s said more than %d bytes"):format(self.command,
        options.maxOutput or MAX_OUTPUT))
      self.handle:kill(SIGNALS.KILL)
    else
      pieces[#pieces + 1] = bytes
    end
  end, function() return table.concat(pieces) end
end

local Process = {}

--- Writes to its input (`stdin = true`). The future comes when the child has taken it.
function Process:write(text)
  local future = Future.new()
  local ok, err
  if self.handle then ok, err = self.handle:write(text) end
  if ok then
    self.writes[#self.writes + 1] = future
  else
    future:reject(err or core.error("io-error", "The process has ended."))
  end
  return future
end

--- Nothing more is written.
function Process:closeStdin()
  if self.handle then self.handle:close_input() end
end

--- Sends a signal: "TERM" (when left out), "KILL", "INT", "HUP" ... Whether it still ran.
function Process:kill(name)
  local number = SIGNALS[name or "TERM"]
  if not number then error(("kill: unknown signal `%s`"):format(tostring(name)), 2) end
  return self.handle ~= nil and self.handle:kill(number)
end

--- The child's process id; nil once it has ended.
function Process:pid()
  return self.handle and self.handle:pid()
end

local function written(self)
  local writes = self.writes
  self.writes = {}
  for _, future in ipairs(writes) do future:resolve(true) end
end

local function limit_time(self, ms)
  local kill
  local term = core.timer(ms, 0, function()
    self.problem = core.error("timeout", ("%s took longer than %d ms"):format(self.command, ms))
    self.handle:kill(SIGNALS.TERM)
    kill = core.timer(GRACE, 0, function() self.handle:kill(SIGNALS.KILL) end)
  end)
  return function()
    term:stop()
    if kill then kill:stop() end
  end
end

--- Runs a command: `{ "cmd", "argument", ... }` or `{ shell = "cmd | other" }`. A future of `{code=, signal=,
--- stdout=, stderr=}` with `write`, `closeStdin`, `kill`, `pid`. Options: `cwd`; `env` (on top of this process'
--- own; false takes one away); `stdin` (a text, true: `write` will be called, "inherit"; nothing at first);
--- `stdout`, `stderr` (collected at first; a function gets pieces, "inherit" lets them through); `timeout` in ms
--- (then SIGTERM, after 2 s SIGKILL); `maxOutput` in bytes, of what is collected.
function process.spawn(options)
  check(options)
  local self = Future.new()
  for name, fn in pairs(Process) do self[name] = fn end
  local args = options.shell and { "/bin/sh", "-c", options.shell } or {}
  for i, text in ipairs(options) do args[#args + (options.shell and i or 1)] = text end
  self.command, self.writes, self.collected = options.shell or options[1], {}, 0
  local out, out_text = sink(self, options, "stdout")
  local err_out, err_text = sink(self, options, "stderr")
  local stop_limit, why
  self.handle, why = core.spawn {
    args = args, env = environment(options.env), cwd = options.cwd, inherits_in = options.stdin == "inherit",
    inherits_out = options.stdout == "inherit", inherits_err = options.stderr == "inherit",
    output = function(fd, bytes) (fd == 1 and out or err_out)(bytes) end,
    written = function() written(self) end,
    ended = function(code, signal)
      self.handle = nil
      written(self)
      if stop_limit then stop_limit() end
      if self.problem then
        self:reject(self.problem)
      else
        self:resolve { code = code, signal = NAMES[signal] or signal ~= 0 and signal or nil, stdout = out_text(),
          stderr = err_text() }
      end
    end,
  }
  if not self.handle then
    self:reject(why)
    return self
  end
  if options.timeout then stop_limit = limit_time(self, options.timeout) end
  if type(options.stdin) == "string" and options.stdin ~= "inherit" then self:write(options.stdin) end
  if options.stdin ~= true and options.stdin ~= "inherit" then self:closeStdin() end
  return self
end

return process
