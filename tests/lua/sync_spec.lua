local instant = require "instant"
local support = require "support"

local TOKEN = "11111111-1111-4111-8111-111111111111" -- a local file takes any

-- A sync table that remembers its events.
local function follow(db, query)
  local watch = { events = {} }
  watch.stop = db:_syncTableExperimental(query, function(event)
    watch.last = event
    watch.events[#watch.events + 1] = event
    watch.data = event.data
  end)
  function watch.wait(what, ok)
    support.eventually(what, function()
      for _, event in ipairs(watch.events) do
        if ok(event) then return true end
      end
    end)
  end
  function watch.complete()
    watch.wait("the whole table", function(e) return e.type == "InitialSyncComplete" end)
  end
  function watch.types()
    local types = {}
    for i, event in ipairs(watch.events) do types[i] = event.type end
    return table.concat(types, " ")
  end
  return watch
end

local function names(list)
  local all = {}
  for i, item in ipairs(list) do all[i] = item.name end
  return table.concat(all, " ")
end

describe("a sync table", function()
  local path, db, writer

  before_each(function()
    path = support.scratch()
    writer = support.client(path)
    db = support.client(path, { adminToken = TOKEN })
  end)
  after_each(function()
    db:shutdown()
    writer:shutdown()
    instant.sleep(1)
    support.clean()
  end)

  local function add(name)
    local id = instant.id()
    assert(writer:transact(writer.tx.items[id]:update { name = name }):await())
    return id
  end

  it("comes whole and then changes", function()
    local a, b = add "a", add "b"
    local watch = follow(db, { items = { ["$"] = { order = { serverCreatedAt = "desc" } } } })
    watch.complete()
    assert.equal("InitialSyncBatch InitialSyncComplete", watch.types())
    assert.equal("b a", names(watch.events[1].batch))
    assert.equal("b a", names(watch.data.items))
    add "c"
    watch.wait("the addition", function(e) return e.added and #e.added == 1 end)
    assert.equal("c b a", names(watch.data.items))
    assert(writer:transact(writer.tx.items[a]:update { name = "A" }):await())
    watch.wait("the update", function(e) return e.updated and #e.updated == 1 end)
    local updated = watch.last.updated[1]
    assert.equal("a", updated.oldEntity.name)
    assert.equal("A", updated.newEntity.name)
    assert.same({ name = { oldValue = "a", newValue = "A" } }, updated.changedFields)
    assert(writer:transact(writer.tx.items[b]:delete()):await())
    watch.wait("the removal", function(e) return e.removed and #e.removed == 1 end)
    assert.equal("b", watch.last.removed[1].name)
    assert.equal("c A", names(watch.data.items))
    watch.stop()
    watch.stop()
  end)

  it("is as long as it is", function()
    for from = 1, 1500, 500 do
      local chunks = {}
      for i = from, from + 499 do chunks[#chunks + 1] = writer.tx.items[instant.id()]:update { name = "n" .. i } end
      assert(writer:transact(chunks):await())
    end
    local watch = follow(db, { items = {} })
    watch.complete()
    assert.equal(1500, #watch.data.items)
    assert.equal(16, #watch.events)
    watch.stop()
  end)

  it("gives its data when it is looked at", function()
    add "a"
    local later
    local stop = db:_syncTableExperimental({ items = {} }, function(event)
      if event.type ~= "InitialSyncComplete" then return end
      add "b"
      instant.sleep(20)
      later = names(event.data.items)
    end)
    support.eventually("the look", function() return later end)
    assert.equal("a b", later)
    stop()
  end)

  it("is shared, and may be kept", function()
    add "a"
    local watch = follow(db, { items = {} })
    watch.complete()
    local other = follow(db, { items = {} })
    other.wait("what is there", function(e) return e.type == "LoadFromStorage" end)
    assert.equal("a", names(other.data.items))
    watch.stop()
    add "b"
    other.wait("the addition", function(e) return e.added end)
    assert.equal("InitialSyncBatch InitialSyncComplete", watch.types())
    other.stop { keepSubscription = true }
  end)

  it("tells what the backend refuses", function()
    local watch = follow(writer, { items = {} })
    watch.wait("the refusal", function(e) return e.type == instant.SyncTableCallbackEventType.Error end)
    assert.equal("Validation failed for start-sync: start-sync is currently supported for admins only.",
      watch.last.error.message)
    assert.same({ items = {} }, watch.last.data)
    watch.stop()
    assert.has_error(function() db:_syncTableExperimental({ items = {} }) end,
      "_syncTableExperimental: expected a function, got nil")
    assert.has_error(function() db:_syncTableExperimental({}, print) end)
  end)
end)
