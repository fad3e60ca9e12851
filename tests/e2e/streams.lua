-- Writes what it reads from the stream "question" into the stream "answer", ends with it, and reads
-- what it wrote.

local instant = require "instant"
local db = instant.init { appId = arg[1], apiURI = arg[2], adminToken = arg[3] }

instant.task(function()
  local question = db.streams.createReadStream { clientId = "question" }
  local answer = db.streams.createWriteStream { clientId = "answer" }
  assert(answer:streamId():await())
  print "answering"
  local texts = {}
  for text in question do
    texts[#texts + 1] = text
    assert(answer:write(text):await())
  end
  assert(answer:close():await())
  local again = {}
  for text in db.streams.createReadStream { clientId = "answer" } do again[#again + 1] = text end
  assert(table.concat(again) == table.concat(texts), "read something else")
  print "answered"
  db:shutdown()
end):catch(function(err)
  print("failed: " .. tostring(err))
  os.exit(1)
end)

instant.run()
