-- instances.lua COUNT FOLDER: what a client costs that shares a connection with others made alike:
-- rows as bench.h prints them. Each has a live query, as a program would. Times are the process's
-- own, backend included.

local instant = require "instant"

local count = tonumber(arg[1])

local function resident()
  collectgarbage()
  collectgarbage()
  local file = assert(io.open "/proc/self/statm")
  local pages = file:read("*a"):match "%d+ (%d+)"
  file:close()
  return pages * 4096
end

local server = assert(instant.server { data = arg[2] })
local app = assert(server:createApp "bench")
local config = { appId = app.id, apiURI = "http://127.0.0.1:" .. server:port() }
local clients = {}
local answered = 0

-- Seconds from `init` until its query has been answered.
local function start(n)
  local done = instant.future()
  config.__extraDedupeKey = "instance " .. n
  local begin = os.clock()
  local db = instant.init(config)
  clients[n] = db
  local is_first = true
  db:subscribeQuery({ todos = {} }, function(result)
    assert(result.data, result.error)
    if is_first then
      is_first = false
      answered = answered + 1
      done:resolve(os.clock() - begin)
    end
  end)
  return (assert(done:await()))
end

local function median(list)
  table.sort(list)
  return list[#list // 2 + 1]
end

local function row(name, ours, peer, unit, rule, bar)
  print(table.concat({ "row", name, ("%.9f"):format(ours), ("%.9f"):format(peer), unit, rule, bar }, "\t"))
end

instant.task(function()
  local first = start(1)
  local early = {}
  for n = 2, 21 do early[#early + 1] = start(n) end -- then what all share is there
  local before = resident()
  local last = {}
  for n = 22, count do
    local seconds = start(n)
    if n > count - 20 then last[#last + 1] = seconds end
  end
  local each = (resident() - before) / (count - 21)
  assert(answered == count and server:stats().connections == 1, "one connection for all")
  row(("memory of one of %d instances"):format(count), each, -1, "B", "atmost", 20000)
  last = median(last)
  row(("start of the last of %d, against the first"):format(count), last, first, "s", "growth", 1.5)
  row(("start of the last of %d, against the second"):format(count), last, median(early), "s", "info", -1)
  for n = 1, count do clients[n]:shutdown() end
  clients = {}
  local deadline = instant.now() + 5000
  while server:stats().connections > 0 and instant.now() < deadline do instant.sleep(5) end
  assert(server:stats().connections == 0, "the last one closes the connection")
  server:close():await()
end)
