--- The prompt of instant-lua: Lua line by line, with live results.
--
--     > db = instant.init { apiURI = "local:app.db" }
--     > db:subscribeQuery({ todos = {} }, show)        -- results are printed above the prompt
--     > db:transact(db.tx.todos[instant.id()]:update { title = "Hello" })     -- futures are waited for
--
-- With a terminal and libedit: history, kept in ~/.instant_lua_history, and completion by Tab. Without, it
-- reads lines.

local Future = require "instant.future"
local complete = require "instant.repl_complete"
local core = require "instant.core"
local edit = require "instant.host.edit"
local inspect = require "instant.inspect"
local lifecycle = require "instant.lifecycle"
local scheduler = require "instant.scheduler"
local task = require "instant.task"

local repl = {}

local FIRST, MORE = "> ", ">> "

local history = os.getenv "INSTANT_LUA_HISTORY" or (os.getenv "HOME" or ".") .. "/.instant_lua_history"

local function say(text)
  edit.above(text)
end

local function show(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = inspect((select(i, ...))) end
  say(table.concat(parts, "  "))
end

-- ---- one statement ----

-- Is more to come? Lua says so by what it did not expect.
local function is_unfinished(problem)
  return problem:match "<eof>'?$" ~= nil
end

local function compile(text)
  local fn = load("return " .. text, "=stdin")
  if fn then return fn end
  return load(text, "=stdin")
end

local function describe(err)
  local text = debug.traceback(tostring(err), 2)
  return (text:gsub("\n%s*%[C%]: in function 'xpcall'.*$", ""))
end

local function finish(ok, ...)
  if not ok then
    say("error: " .. tostring((...)))
    return
  end
  local first = ...
  if Future.is(first) then
    local value, err = first:await()
    if err ~= nil then say("error: " .. tostring(err)) elseif value ~= nil then show(value) end
  elseif select("#", ...) > 0 then
    show(...)
  end
end

-- As a task, so that it may wait; the prompt is there meanwhile.
local function evaluate(fn)
  return task.start(function()
    finish(xpcall(fn, describe))
    complete.learn()
  end)
end

-- ---- lines ----

local pending = nil -- what is typed so far of a statement of several lines

local function prompt()
  edit.prompt(pending and MORE or FIRST)
end

local function take(line)
  local text = pending and pending .. "\n" .. line or line
  if not text:find "%S" then
    pending = nil
    return nil
  end
  local fn, problem = compile(text)
  if not fn and is_unfinished(problem) then
    pending = text
    return nil
  end
  pending = nil
  edit.add((text:gsub("\n%s*", " ")))
  if fn then return evaluate(fn) end
  say("error: " .. problem)
end

-- ---- with a terminal ----

-- The terminal is given back whatever ends it.
local function stop(over)
  if over.state == "pending" then
    edit.save(history)
    edit.close()
    io.write "\n"
  end
  over:resolve(0)
end

local function start_editing(over)
  local ok, why = edit.open(function(line)
    if line == nil then
      stop(over)
      return
    end
    take(line)
    if over.state == "pending" then prompt() end
  end, complete.words)
  if not ok then return nil, why end
  edit.load(history)
  prompt()
  lifecycle.add(function() stop(over) end)
  local watch = assert(core.watch(0, edit.read))
  core.hold()
  over:finally(function()
    watch:stop()
    core.release()
  end)
  return true
end

-- ---- without ----

local function read_lines(over)
  for line in io.lines() do
    local running = take(line)
    if running then running:await() end
    task.sleep(0)
  end
  if pending then say("error: the last statement is not finished") end
  over:resolve(0)
end

--- Reads until the input ends; the exit code. In a task.
function repl.run()
  _G.instant = require "instant"
  _G.show = show
  _G.print = function(...)
    local parts = {}
    for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
    say(table.concat(parts, "\t"))
  end
  scheduler.report = say
  local over = Future.new()
  local is_editing = start_editing(over)
  if is_editing then
    say(("instant-lua %s, %s. Ctrl-D ends; show(...) prints values, also of subscriptions."):format(
      _G.instant._VERSION, _VERSION))
  else
    read_lines(over)
  end
  local code = over:await()
  -- What it started does not keep it.
  lifecycle.endAll()
  return code
end

return repl
