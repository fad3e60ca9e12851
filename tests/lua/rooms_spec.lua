local instant = require "instant"
local scheduler = require "instant.scheduler"
local support = require "support"

-- What a subscription was last told.
local function watch(room, opts)
  local seen = { count = 0 }
  seen.stop = room.subscribePresence(opts, function(presence)
    seen.last, seen.count = presence, seen.count + 1
  end)
  function seen.wait(what, ok)
    support.eventually(what, function() return seen.last and ok(seen.last) end)
    return seen.last
  end
  return seen
end

-- What the peers show, without their ids, those with a name by it.
local function shown(presence)
  local list = {}
  for id, peer in pairs(presence.peers) do
    assert.equal(id, peer.peerId)
    peer.peerId = nil
    list[#list + 1] = peer
  end
  table.sort(list, function(a, b) return (a.name or "") < (b.name or "") end)
  return list
end

local function count(presence)
  local n = 0
  for _ in pairs(presence.peers) do n = n + 1 end
  return n
end

describe("a room", function()
  local path, ada, bob

  before_each(function()
    path = support.scratch()
    ada, bob = support.client(path), support.client(path)
  end)
  after_each(function()
    ada:shutdown()
    bob:shutdown()
    instant.sleep(1)
    support.clean()
  end)

  it("shows its peers", function()
    local room = ada:joinRoom("chat", "r", { initialPresence = { name = "ada" } })
    local other = bob:joinRoom("chat", "r", { initialPresence = { name = "bob", tags = instant.array {} } })
    local seen, others = watch(room), watch(other)
    seen.wait("bob", function(p) return count(p) == 1 and not p.isLoading end)
    assert.same({ { name = "bob", tags = {} } }, shown(seen.last))
    assert.equal("ada", seen.last.user.name)
    assert.is_string(seen.last.user.peerId)
    assert.is_nil(seen.last.error)
    others.wait("ada", function(p) return count(p) == 1 end)

    assert.is_true(room.publishPresence { mood = { good = true, why = { 1, 2 } } })
    assert.same({ good = true, why = { 1, 2 } }, room.getPresence().user.mood)
    others.wait("the mood", function(p) return next(p.peers) and select(2, next(p.peers)).mood end)
    assert.same({ { name = "ada", mood = { good = true, why = { 1, 2 } } } }, shown(others.last))
    assert.is_true(room:publishPresence { mood = instant.null })
    others.wait("no mood", function(p) return select(2, next(p.peers)).mood == instant.null end)

    others.stop()
    seen.wait("bob to leave", function(p) return count(p) == 0 end)
    assert.is_nil(other.getPresence())
    local ok, err = other.publishPresence { x = 1 }
    assert.is_nil(ok)
    assert.equal("You have not entered this room yet.", err.message)
    seen.stop()
  end)

  it("gives the part that is asked for", function()
    local room = ada:joinRoom("chat", "r", { initialPresence = { a = 1, b = 2 } })
    local seen = watch(room, { keys = { "a" } })
    bob:joinRoom("chat", "r", { initialPresence = { a = 3, b = 4 } })
    seen.wait("bob", function(p) return count(p) == 1 end)
    local peer = next(seen.last.peers)
    assert.same({ user = { a = 1, peerId = seen.last.user.peerId }, peers = { [peer] = { a = 3, peerId = peer } },
      isLoading = false }, seen.last)
    assert.same({ peers = {}, isLoading = false }, room:getPresence { peers = {}, user = false })
    assert.same({ [peer] = { peerId = peer } }, room.getPresence({ peers = { peer }, keys = {} }).peers)
    assert.equal(3, ada:getPresence("chat", "r").peers[peer].a)
    assert.is_nil(ada.getPresence("chat", "elsewhere"))
    seen.stop()
  end)

  it("takes what to show from the first listener too", function()
    local stop = ada:joinRoom("chat", "r").subscribePresence({ initialPresence = { n = 1 } }, function() end)
    local seen = watch(bob:joinRoom("chat", "r"))
    seen.wait("ada", function(p) return count(p) == 1 and select(2, next(p.peers)).n == 1 end)
    stop()
    seen.stop()
  end)

  it("carries topics", function()
    local room = ada:joinRoom("chat", "r", { initialPresence = { name = "ada" } })
    local other = bob:joinRoom("chat", "r")
    local got, own = {}, 0
    local stop = other.subscribeTopic("emoji", function(data, peer)
      instant.sleep(0)
      got[#got + 1] = { data, peer.name }
    end)
    local stop_own = room.subscribeTopic("emoji", function() own = own + 1 end)
    local seen = watch(room)
    seen.wait("bob", function(p) return count(p) == 1 end)
    seen.stop()
    assert.is_true(room.publishTopic("emoji", { "one" }))
    room:publishTopic("another", 1)
    room.publishPresence { name = "ada the second" }
    room.publishTopic("emoji")
    support.eventually("both", function() return #got == 2 end)
    assert.same({ { { "one" }, "ada" }, { instant.null, "ada the second" } }, got)
    assert.equal(0, own)
    stop()
    stop_own()
    stop()
    local ok, err = room.publishTopic("emoji", 1)
    assert.is_nil(ok)
    assert.equal("validation-failed", err.type)
  end)

  it("is left when nobody listens, or says so", function()
    local seen = watch(bob:joinRoom("chat", "r"))
    local room = ada:joinRoom("chat", "r")
    seen.wait("ada", function(p) return count(p) == 1 end)
    local stop = room.subscribeTopic("t", function() end)
    room.leaveRoom() -- somebody listens
    assert.is_table(room.getPresence())
    stop()
    seen.wait("nobody", function(p) return count(p) == 0 end)
    room = ada:joinRoom("chat", "r")
    seen.wait("ada again", function(p) return count(p) == 1 end)
    room:leaveRoom()
    room.leaveRoom()
    seen.wait("nobody", function(p) return count(p) == 0 end)
    seen.stop()
  end)

  it("has defaults, and checks its arguments", function()
    local room = ada:joinRoom()
    assert.equal("_defaultRoomType", room.type)
    assert.equal("_defaultRoomId", room.id)
    assert.has_error(function() ada:joinRoom("chat", 7) end, "joinRoom: expected a string, got number")
    assert.has_error(function() ada:joinRoom("chat", "a\0b") end)
    assert.has_error(function() ada:joinRoom("chat", "\255") end)
    local ok, err = pcall(ada.joinRoom, "chat", "r", { initialPresence = 5 })
    assert.is_false(ok)
    assert.equal("Presence must be an object, got number.", err.message)
    assert.has_error(function() room.subscribePresence({}) end, "subscribePresence: expected a function, got nil")
    assert.has_error(function() room.subscribePresence(function() end) end,
      "subscribePresence: expected a function, got nil")
    assert.has_error(function() room.subscribePresence("x", print) end,
      "subscribePresence: expected a table of options, got string")
    ok, err = pcall(room.subscribePresence, { keys = "name" }, print)
    assert.is_false(ok)
    assert.equal("`keys` must be a list.", err.message)
    assert.has_error(function() room.subscribeTopic(5, print) end, "subscribeTopic: expected a string, got number")
    ok, err = room.publishPresence { f = print }
    assert.is_nil(ok)
    assert.matches("f: a function is not a value", err.message)
    ada:shutdown()
    assert.is_nil(room.getPresence())
    room.leaveRoom()
    assert.has_error(function() room.publishTopic("t", 1) end)
  end)

  it("says why it is not let in", function()
    local long = ("x"):rep(2000)
    local seen = watch(ada:joinRoom("chat", long))
    seen.wait("an error", function(p) return p.error end)
    assert.equal("validation-failed", seen.last.error.type)
    assert.matches("A room id takes at most", seen.last.error.message)
    assert.is_true(seen.last.isLoading)
    seen.stop()
  end)

  it("goes on when a callback fails", function()
    local texts, report, failures = {}, scheduler.report, scheduler.failures
    scheduler.report = function(text) texts[#texts + 1] = text end
    local room = ada:joinRoom("chat", "r")
    local stop = room.subscribePresence({}, function() error "broken callback" end)
    local seen = watch(room)
    seen.wait("the other callback", function(p) return not p.isLoading end)
    support.eventually("the report", function() return #texts > 0 end)
    scheduler.report, scheduler.failures = report, failures
    assert.matches("broken callback", texts[1])
    stop()
    seen.stop()
  end)

  it("does not keep the program running by itself, nor lose what was said in it", function()
    local script = ([[
      local instant = require "instant"
      local db = instant.init { apiURI = "local:%s" }
      local room = db:joinRoom("chat", "r")
      for n = 1, 50 do room.publishTopic("t", n) end
      print "said"
    ]]):format(support.scratch())
    local text, code = support.host(support.write(script))
    assert.equal("said\n", text)
    assert.equal(0, code)
  end)
end)

describe("clients that share a connection", function()
  it("are different peers of a room", function()
    local data = support.scratch()
    local server = assert(instant.server { data = data })
    local app = assert(server:createApp "spec")
    local api = "http://127.0.0.1:" .. server:port()
    local clients, rooms = {}, {}
    for n = 1, 3 do
      clients[n] = instant.init { appId = app.id, apiURI = api, __extraDedupeKey = "n" .. n }
    end
    support.eventually("connected", function() return clients[3]:getConnectionStatus() == "authenticated" end)
    assert.equal(1, server:stats().connections)
    for n = 1, 3 do
      local room = clients[n]:joinRoom("chat", "r", { initialPresence = { n = n } })
      rooms[n] = watch(room)
    end
    for n = 1, 3 do
      rooms[n].wait("the others", function(p) return count(p) == 2 end)
      local sum = rooms[n].last.user.n
      for _, peer in pairs(rooms[n].last.peers) do sum = sum + peer.n end
      assert.equal(6, sum)
    end
    rooms[1].stop()
    rooms[2].wait("one to leave", function(p) return count(p) == 1 end)
    clients[2]:shutdown()
    rooms[3].wait("another to leave", function(p) return count(p) == 0 end)
    assert(clients[3]:queryOnce({ todos = {} }):await())
    for n = 1, 3 do clients[n]:shutdown() end
    support.eventually("disconnected", function() return server:stats().connections == 0 end)
    assert.is_true(server:close():await())
    os.execute("rm -rf '" .. data .. "'")
  end)
end)

describe("a typing indicator", function()
  local path, ada, bob

  before_each(function()
    path = support.scratch()
    ada, bob = support.client(path), support.client(path)
  end)
  after_each(function()
    ada:shutdown()
    bob:shutdown()
    instant.sleep(1)
    support.clean()
  end)

  it("says who types, until they stop", function()
    local room = ada:joinRoom("chat", "r", { initialPresence = { name = "ada" } })
    local other = bob:joinRoom("chat", "r", { initialPresence = { name = "bob" } })
    local changes = 0
    local typing = room:typingIndicator("input", { timeout = 40, stopOnEnter = true })
    local others = other.typingIndicator("input", { onChange = function() changes = changes + 1 end })
    typing.onKeyDown("a")
    support.eventually("ada types", function() return #others.active == 1 end)
    assert.equal("ada", others.active[1].name)
    assert.same({}, typing.active)
    support.eventually("ada stops by herself", function() return #others.active == 0 end)
    assert.equal(instant.null, room.getPresence().user.input)
    assert.equal(2, changes)
    typing:setActive(true)
    support.eventually("ada types", function() return #others.active == 1 end)
    typing.onKeyDown("Enter")
    support.eventually("ada is done", function() return #others.active == 0 end)
    assert.is_false(room.getPresence().user.input)
    typing.setActive(true)
    support.eventually("ada types", function() return #others.active == 1 end)
    typing.onBlur()
    support.eventually("ada is gone", function() return #others.active == 0 end)
    typing.stop()
    others.stop()
    others.stop()
  end)

  it("can stay until told, and only write", function()
    local room = ada:joinRoom("chat", "r")
    local typing = room.typingIndicator("input", { timeout = 0, writeOnly = true })
    local others = bob:joinRoom("chat", "r").typingIndicator("input", { timeout = 0 })
    typing.setActive(true)
    others.setActive(true)
    support.eventually("ada types", function() return #others.active == 1 end)
    instant.sleep(30)
    assert.equal(1, #others.active)
    assert.same({}, typing.active)
    assert.has_error(function() room.typingIndicator() end, "typingIndicator: expected a string, got nil")
    typing.stop()
    support.eventually("ada is gone", function() return #others.active == 0 end)
    others.stop()
  end)
end)
