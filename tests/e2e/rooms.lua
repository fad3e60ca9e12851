-- In a room with others: shows back what they show as `value`, does what they say in the topic "do".

local instant = require "instant"
local db = instant.init { appId = arg[1], apiURI = arg[2] }
local room = db:joinRoom("chat", "r", { initialPresence = { name = "lua" } })

room.subscribePresence({ user = false }, function(presence)
  for _, peer in pairs(presence.peers) do
    if peer.name == "js" then room.publishPresence { echo = peer.value, n = peer.n } end
  end
end)

room.subscribeTopic("do", function(order, peer)
  if order.say then room.publishTopic("said", { text = order.say, to = peer.name }) end
  if order.leave then db:shutdown() end
end)

print "listening"
instant.run()
print "left"
