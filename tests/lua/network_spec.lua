local instant = require "instant"
local support = require "support"

-- A listener that a test drives.
local function listener(is_online)
  local self = { listening = 0 }
  self.getIsOnline = function() return is_online end
  self.listen = function(fn)
    self.listening = self.listening + 1
    self.tell = fn
    return function() self.listening = self.listening - 1 end
  end
  return self
end

describe("a client that is told of the network", function()
  after_each(support.clean)

  local function status(db, wanted)
    support.eventually("status " .. wanted, function() return db:getConnectionStatus() == wanted end)
  end

  it("pauses and resumes", function()
    local path = support.scratch()
    local network = listener(true)
    local db = support.client(path, { networkListener = network })
    local other = support.client(path)
    status(db, "authenticated")
    assert.equal(1, network.listening)
    network.tell(false)
    status(db, "closed")
    local _, err = db:queryOnce({ todos = {} }):await()
    assert.equal("We can't run `queryOnce`, because the device is offline.", err.message)
    local written = db:transact(db.tx.todos[instant.id()]:update { title = "offline" }):await()
    assert.equal("enqueued", written.status)
    assert.equal("authenticated", other:getConnectionStatus()) -- nobody told that one
    network.tell(true)
    status(db, "authenticated")
    local watch = support.live(other, { todos = {} })
    watch.wait("the write", function(r) return #r.data.todos == 1 end)
    db:shutdown()
    assert.equal(0, network.listening)
    network.tell(false) -- nobody is there any more
    other:shutdown()
  end)

  it("takes a future of the present state, unless something newer was told", function()
    local later = instant.future()
    local network = listener(later)
    local db = support.client(nil, { networkListener = network })
    later:resolve(false)
    status(db, "closed")
    network.tell(true)
    status(db, "authenticated")
    db:shutdown()

    later = instant.future()
    network = listener(later)
    db = support.client(nil, { networkListener = network })
    network.tell(true)
    later:resolve(false)
    instant.sleep(20)
    assert.equal("authenticated", db:getConnectionStatus())
    db:shutdown()
  end)

  it("listens to the kernel when asked to", function()
    local db = support.client(nil, { networkListener = "netlink" })
    -- Whatever this machine's network is; tests/e2e/network.test.mjs makes one.
    assert.is_string(db:getConnectionStatus())
    db:shutdown()
  end)

  it("refuses what is no listener", function()
    for _, wrong in ipairs { "always", 7, true, {}, { getIsOnline = 1 }, { getIsOnline = print } } do
      local ok, err = pcall(instant.init, { apiURI = "local:x", networkListener = wrong })
      assert.is_false(ok)
      assert.truthy(tostring(err):find("networkListener", 1, true), tostring(err))
    end
  end)
end)
