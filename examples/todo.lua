-- A live to-do list in the terminal.
--
--   instant-lua examples/todo.lua                       watch the list
--   instant-lua examples/todo.lua add Buy milk          add an item
--   instant-lua examples/todo.lua done 2                mark the second item
--   instant-lua examples/todo.lua rm 2                  remove it
--
-- Works on a file of its own (todo.db). To share the list with other programs, serve it and name the
-- backend and the app:
--
--   instant-lua examples/todo.lua --api http://127.0.0.1:8888 --app APP_ID add Buy milk

local instant = require "instant"

local function options(...)
  local found, words = { api = "local:todo.db" }, {}
  local args = { ... }
  local i = 1
  while i <= #args do
    local name = args[i]:match "^%-%-(%w+)$"
    if name == "api" or name == "app" then
      i = i + 1
      found[name] = args[i]
    else
      words[#words + 1] = args[i]
    end
    i = i + 1
  end
  return found, words
end

local config, words = options(...)
local command = table.remove(words, 1) or "watch"
local db = instant.init { apiURI = config.api, appId = config.app }
local query = { todos = { ["$"] = { order = { serverCreatedAt = "asc" } } } }

local function show(todos)
  for n, todo in ipairs(todos) do
    print(("%3d  [%s] %s"):format(n, todo.done and "x" or " ", todo.text))
  end
  if #todos == 0 then print "nothing to do" end
  print ""
end

local function nth(word)
  local result = assert(db:queryOnce(query):await())
  local todo = result.data.todos[tonumber(word)]
  if not todo then
    io.stderr:write(("there is no item %s\n"):format(word or "(which one?)"))
    db:shutdown()
  end
  return todo
end

-- Waits until the backend has it: the file of a `local:` backend is open to one process at a time.
local function write(chunk)
  assert(db:transact(chunk):await())
  show(assert(db:queryOnce(query):await()).data.todos)
  db:shutdown()
end

if command == "add" then
  local text = table.concat(words, " ")
  write(db.tx.todos[instant.id()]:update { text = text, done = false })
elseif command == "done" then
  local todo = nth(words[1])
  if not todo then return 1 end
  write(db.tx.todos[todo.id]:update { done = true })
elseif command == "rm" then
  local todo = nth(words[1])
  if not todo then return 1 end
  write(db.tx.todos[todo.id]:delete())
elseif command == "watch" then
  print "watching; Ctrl-C ends"
  db:subscribeQuery(query, function(result)
    if result.error then
      io.stderr:write(tostring(result.error), "\n")
    else
      show(result.data.todos)
    end
  end)
else
  io.stderr:write("usage: todo.lua [--api URI --app ID] [watch | add TEXT | done N | rm N]\n")
  db:shutdown()
  return 1
end
