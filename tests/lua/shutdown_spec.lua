local instant = require "instant"
local support = require "support"

describe("a client that is shut down by its own callback", function()
  after_each(support.clean)

  it("still tells whoever waits for it", function()
    local db = support.client()
    local heard = {}
    local function refused(what)
      return function(err) heard[#heard + 1] = what .. ": " .. err.message end
    end
    db:subscribeQuery({ todos = {} }, function()
      if #heard > 0 then return end
      db:transact(db.tx.todos[instant.id()]:update { title = "a" }):next(nil, refused "transact")
      db:queryOnce({ todos = {} }):next(nil, refused "queryOnce")
      db:shutdown()
    end)
    support.eventually("both are told", function() return #heard == 2 end)
    table.sort(heard)
    assert.same({ "queryOnce: The client was shut down.", "transact: The client was shut down." }, heard)
  end)
end)
