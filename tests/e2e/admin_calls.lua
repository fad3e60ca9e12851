-- Runs calls of the admin SDK that a file describes, and prints what came of each, a JSON line a call.
-- admin_parity.test.mjs has the same for the official SDK.
--
--     {"config": {...}, "calls": [[path, args...], ...]}
--     path: "query", "auth.createToken", with {"as": {...}} in front for asUser
--     {"$chunks": [[namespace, id, [method, args...]...]...]} among the args: chunks
--     {"$lookup": [attr, value]} in the place of an id
--     {"$undefined": true}: nothing

local instant = require "instant"
local core = require "instant.core"

local file = assert(io.open(arg[1]))
local plan = assert(core.json_decode(file:read "*a"))
file:close()

local function thaw(value)
  if type(value) ~= "table" then return value end
  if value["$undefined"] then return nil end
  if value["$lookup"] then return instant.lookup(value["$lookup"][1], value["$lookup"][2]) end
  local copy = setmetatable({}, getmetatable(value))
  for key, part in pairs(value) do copy[key] = thaw(part) end
  return copy
end

local function chunks_of(list)
  local chunks = {}
  for i, entry in ipairs(list) do
    local chunk = instant.tx[entry[1]][thaw(entry[2])]
    for k = 3, #entry do
      local op = entry[k]
      chunk = chunk[op[1]](chunk, thaw(op[2]), thaw(op[3]))
    end
    chunks[i] = chunk
  end
  return chunks
end

local function argument(value)
  if type(value) == "table" and value["$chunks"] then return chunks_of(value["$chunks"]) end
  return thaw(value)
end

local function call(db, entry)
  local from, target = 1, db
  if type(entry[1]) == "table" then
    from, target = 2, db:asUser(entry[1].as)
  end
  local owner
  for name in entry[from]:gmatch "[^.]+" do owner, target = target, target[name] end
  local args, count = {}, 0
  for i = from + 1, #entry do
    count = count + 1
    args[count] = argument(entry[i])
  end
  return target(owner, table.unpack(args, 1, count)):await()
end

local function outcome(db, entry)
  local ok, value, err = pcall(call, db, entry)
  if not ok then value, err = nil, value end
  if err == nil then return { ok = value == nil and instant.null or value } end
  if type(err) ~= "table" then err = { message = tostring(err) } end
  return { error = { message = err.message, status = err.status ~= 0 and err.status or nil, body = err.body } }
end

local db = instant.admin.init(thaw(plan.config))
for _, entry in ipairs(plan.calls) do print(assert(core.json_encode(outcome(db, entry)))) end
