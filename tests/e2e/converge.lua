-- Makes COUNT mixed writes on shared entities, then prints the state it agrees on with the backend.
-- instant-lua tests/e2e/converge.lua API APP_ID SEED COUNT
-- The end of all writes is an entity of `done` that the test makes.

local instant = require "instant"
local api, app_id = arg[1], arg[2]
local seed, count = tonumber(arg[3]), tonumber(arg[4])
local db = instant.init { appId = app_id, apiURI = api }
math.randomseed(seed)

-- The same twelve ids in every writer, so that they collide.
local function shared_id(n)
  return ("00000000-0000-4000-8000-%012d"):format(n)
end

local latest
db:subscribeQuery({ items = { tags = {} } }, function(result)
  if result.data then latest = result.data end
end)

local function write()
  local item = db.tx.items[shared_id(math.random(12))]
  local kind = math.random(10)
  if kind <= 5 then
    return item:update { value = math.random(1000), writer = seed }
  elseif kind <= 7 then
    return item:merge { meta = { ["k" .. math.random(3)] = math.random(100) } }
  elseif kind == 8 then
    return item:link { tags = shared_id(100 + math.random(4)) }
  elseif kind == 9 then
    return item:unlink { tags = shared_id(100 + math.random(4)) }
  end
  return item:delete()
end

for n = 1, 4 do
  assert(db:transact(db.tx.tags[shared_id(100 + n)]:update { name = "tag" .. n }):await())
end
local pending = {}
for n = 1, count do
  pending[#pending + 1] = db:transact(write())
  if n % 10 == 0 then
    for _, future in ipairs(pending) do
      local ok, err = future:await()
      -- Somebody else deleted the entity meanwhile: the only failure there may be.
      assert(ok or err.message:find("Updating entities that don't exist", 1, true), err)
    end
    pending = {}
  end
end
print("wrote")
io.stdout:flush()
local done = instant.future()
db:subscribeQuery({ done = {} }, function(result)
  if result.data and #result.data.done > 0 then done:resolve(true) end
end)
done:await()
local fresh = assert(db:queryOnce({ items = { tags = {} } }):await())

local function canonical(value)
  if value == instant.null then return "null" end
  if type(value) ~= "table" then
    return type(value) == "number" and ("%.14g"):format(value) or ("%q"):format(tostring(value))
  end
  local parts = {}
  if #value > 0 then
    for _, v in ipairs(value) do parts[#parts + 1] = canonical(v) end
    table.sort(parts)
  else
    for k, v in pairs(value) do parts[#parts + 1] = k .. "=" .. canonical(v) end
    table.sort(parts)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end
local deadline = instant.now and instant.now() + 10000
while canonical(latest) ~= canonical(fresh.data) and (not deadline or instant.now() < deadline) do
  instant.sleep(10)
end
print("state " .. canonical(fresh.data))
print("live " .. canonical(latest))
db:shutdown()
