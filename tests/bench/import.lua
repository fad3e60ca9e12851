-- import.lua COUNT FOLDER: makes a backup of COUNT entities with four triples each and takes it in. Prints
-- the seconds that took, from opening the archive to the app's opening.

local instant = require "instant"

local count, folder = tonumber(arg[1]), arg[2]
local CONFIG = [[
{"title":"bench","appId":"0b0c0d0e-0000-4000-8000-000000000001","schema":{"entities":{"todos":{"attrs":{
"title":{"valueType":"string","config":{"indexed":true,"unique":false}},
"done":{"valueType":"boolean","config":{"indexed":false,"unique":false}}}},"people":{"attrs":{
"name":{"valueType":"string","config":{"indexed":false,"unique":true}}}}},"links":{"todosOwner":{
"forward":{"on":"todos","label":"owner","has":"one"},"reverse":{"on":"people","label":"todos","has":"many"}}}},
"rules":null}]]

local function write(name, fn)
  local file = assert(io.open(folder .. "/" .. name, "wb"))
  fn(file)
  assert(file:close())
end

local people = {}
for n = 1, math.max(1, count // 250) do people[n] = instant.id() end
write("config.json", function(file) file:write(CONFIG) end)
write("people.jsonl", function(file)
  for n, id in ipairs(people) do
    file:write(('{"entity":{"id":"%s","name":"person %d"},"createdAt":%d}\n'):format(id, n, 1700000000000 + n))
  end
end)
write("todos.jsonl", function(file)
  for n = 1, count do
    file:write(('{"entity":{"id":"%s","title":"thing %d to be done","done":%s,"owner":"%s"},"createdAt":%d}\n'):format(
      instant.id(), n * 7919 % count, n % 2 == 0, people[n % #people + 1], 1700000000000 + n))
  end
end)
local zip = assert(require "instant.core".zip_create(folder .. "/made.zip"))
assert(zip:add("config.json", folder .. "/config.json"))
assert(zip:add("entities/people.jsonl", folder .. "/people.jsonl"))
assert(zip:add("entities/todos.jsonl", folder .. "/todos.jsonl"))
assert(zip:finish())

local start = instant.now()
local report = assert(instant.importArchive { archive = folder .. "/made.zip", data = folder .. "/data" })
assert(report.problemCount == 0 and report.entities == count + #people)
print((instant.now() - start) / 1000)
