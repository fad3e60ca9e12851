-- What the specs share: scratch files, clients of in-process backends, waiting with a limit.

local instant = require "instant"

local support = {}

local files = {}

function support.scratch()
  local path = os.tmpname()
  os.remove(path)
  files[#files + 1] = path
  return path
end

function support.clean()
  for _, path in ipairs(files) do
    for _, tail in ipairs { "", "-wal", "-shm", "-journal", ".lock" } do os.remove(path .. tail) end
  end
  files = {}
end

local device = 0

-- A client of its own on a backend in this process.
function support.client(path, options)
  device = device + 1
  local config = {
    apiURI = "local:" .. (path or support.scratch()),
    __extraDedupeKey = "device " .. device,
    shareConnection = false,
  }
  for name, value in pairs(options or {}) do config[name] = value end
  return instant.init(config)
end

-- Waits until fn() is true.
function support.eventually(what, fn, ms)
  local stop = instant.now() + (ms or 20000)
  while not fn() do
    if instant.now() > stop then error("never happened: " .. what, 2) end
    instant.sleep(5)
  end
end

-- A live query that remembers its results.
function support.live(db, query)
  local watch = { results = {} }
  watch.stop = db:subscribeQuery(query, function(result)
    watch.last = result
    watch.results[#watch.results + 1] = result
  end)
  function watch.wait(what, ok)
    support.eventually(what, function() return watch.last and ok(watch.last) end)
    return watch.last
  end
  return watch
end

-- Runs a command with these arguments; gives what it printed and its exit code.
local function run(command, ...)
  local words = { command }
  for _, word in ipairs { ... } do
    words[#words + 1] = "'" .. word:gsub("'", [['\'']]) .. "'"
  end
  local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1; echo \"exit $?\""))
  local text = pipe:read "*a"
  pipe:close()
  return text:gsub("exit %d+\n$", ""), tonumber(text:match "exit (%d+)\n$")
end

-- In the host, and in plain Lua (the one that runs the specs, or Lua 5.4 in the host).
function support.host(...)
  return run("env -u LD_PRELOAD " .. (os.getenv "INSTANT_HOST" or "build/instant-lua"), ...)
end

function support.plain(...)
  return run(os.getenv "INSTANT_PLAIN" or "lua5.4", ...)
end

function support.write(text)
  local path = support.scratch()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

return support
