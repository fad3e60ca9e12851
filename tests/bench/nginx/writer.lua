-- writer.lua APP URI: changes one of a hundred entities, fifty times a second.

local instant = require "instant"
local app, uri = ...
local db = instant.init { appId = app, apiURI = uri }
local ids = {}
for i = 1, 100 do
  ids[i] = instant.id()
  db:transact(db.tx.todos[ids[i]]:update { title = "number " .. i, count = 0 }):await()
end
local count = 0
instant.every(20, function()
  count = count + 1
  db:transact(db.tx.todos[ids[count % #ids + 1]]:update { count = count })
end)
print "writing"
instant.run()
