local instant = require "instant"
local support = require "support"

local NOWHERE = "http://127.0.0.1:1"
local APP = instant.id()

-- Storage folders and files, removed after each test.
local scratch = {}
local function keep(kind)
  local path = support.scratch()
  scratch[#scratch + 1] = path
  return kind .. ":" .. path
end

local function offline(storage)
  return instant.init { appId = APP, apiURI = NOWHERE, storage = storage }
end

-- A store in Lua tables, over `disk[appId .. storeName]`; `log` gets what was called.
local function make_store(disk, log, wrap)
  local Store = {}
  Store.__index = Store
  wrap = wrap or function(value) return value end
  local function note(...) if log then log[#log + 1] = table.concat({ ... }, " ") end end
  function Store.new(app_id, name)
    note("new", app_id, name)
    local place = app_id .. name
    disk[place] = disk[place] or {}
    return setmetatable({ data = disk[place], name = name }, Store)
  end
  function Store:getItem(key)
    note("get", self.name, key)
    return wrap(self.data[key])
  end
  function Store:multiSet(list)
    for _, pair in ipairs(list) do
      note("set", self.name, pair[1])
      self.data[pair[1]] = pair[2]
    end
    return wrap(nil)
  end
  function Store:removeItem(key)
    note("remove", self.name, key)
    self.data[key] = nil
    return wrap(nil)
  end
  function Store:getAllKeys()
    local keys = {}
    for key in pairs(self.data) do keys[#keys + 1] = key end
    return wrap(keys)
  end
  return Store
end

local function later(value)
  local future = instant.future()
  instant.after(1, function() future:resolve(value) end)
  return future
end

describe("a storage", function()
  before_each(function() instant.logLevel "error" end)
  after_each(function()
    instant.sleep(10) -- clients that were shut down are gone
    for _, path in ipairs(scratch) do os.execute("rm -rf '" .. path .. "'*") end
    scratch = {}
    support.clean()
    instant.logLevel "warn"
  end)

  local kinds = {
    files = function() return keep "file" end,
    sqlite = function() return keep "sqlite" end,
    lua = function() return make_store {} end,
    ["lua, later"] = function() return make_store({}, nil, later) end,
  }

  for name, make in pairs(kinds) do
    it("keeps apps apart: " .. name, function()
      local storage = make()
      local db = offline(storage)
      local told = assert(db:transact(db.tx.todos[instant.id()]:update { title = "x" }):await())
      assert.equal("enqueued", told.status)
      local other = instant.init { appId = instant.id(), apiURI = NOWHERE, storage = storage }
      assert(other:getLocalId("x"):await())
      assert.equal(0, other._core:pending())
      other:shutdown()
      db:shutdown()
    end)

    it("shows what it kept before there is a connection: " .. name, function()
      local storage = make()
      local path = support.scratch()
      local db = instant.init { apiURI = "local:" .. path, storage = storage }
      local watch = support.live(db, { todos = {} })
      assert(db:transact(db.tx.todos[instant.id()]:update { title = "kept" }):await())
      watch.wait("the write", function(result) return #result.data.todos == 1 end)
      local app = db.appId
      local id = assert(db:getLocalId("device"):await())
      db:shutdown()
      instant.sleep(20)
      local again = instant.init { appId = app, apiURI = NOWHERE, storage = storage }
      local seen = support.live(again, { todos = {} })
      seen.wait("the kept result", function(result) return #result.data.todos == 1 end)
      assert.equal("kept", seen.last.data.todos[1].title)
      assert.equal(id, assert(again:getLocalId("device"):await()))
      assert.not_equal(id, assert(again:getLocalId("other"):await()))
      -- written offline, shown, and there after the next start; sent once
      local told = assert(again:transact(again.tx.todos[instant.id()]:update { title = "offline" }):await())
      assert.equal("enqueued", told.status)
      seen.wait("the write made offline", function(result) return #result.data.todos == 2 end)
      again:shutdown()
      instant.sleep(20)
      local third = instant.init { apiURI = "local:" .. path, storage = storage }
      support.eventually("the write is sent", function() return third._core:pending() == 0 end)
      assert.equal(2, #assert(third:queryOnce({ todos = {} }):await()).data.todos)
      third:shutdown()
    end)
  end

  it("has one client at a time", function()
    local storage = keep "file"
    local db = offline(storage)
    local ok, err = pcall(instant.init, {
      appId = APP, apiURI = NOWHERE, storage = storage, __extraDedupeKey = "second", shareConnection = false,
    })
    assert.is_false(ok)
    assert.equal("storage-failed", err.type)
    assert.truthy(err.message:find("in use by another client", 1, true))
    db:shutdown()
  end)

  it("says which words it knows", function()
    for _, bad in ipairs { "disk", "file:", "sqlite:", "" } do
      assert.has_error(function() offline(bad) end)
    end
    for _, bad in ipairs { 7, true, {} } do
      assert.has_error(function() offline(bad) end)
    end
    offline("memory"):shutdown()
  end)

  it("calls a store of Lua as documented", function()
    local log, disk = {}, {}
    local db = offline(make_store(disk, log))
    assert(db:transact(db.tx.todos[instant.id()]:update { title = "x" }):await())
    assert.equal("new " .. APP .. " kv", log[1])
    assert.truthy(disk[APP .. "kv"].pendingMutations:find('"x"', 1, true))
    db:shutdown()
  end)

  it("takes a function that makes stores", function()
    local Store = make_store({})
    local db = offline(function(app_id, name) return Store.new(app_id, name) end)
    assert.equal("enqueued", assert(db:transact(db.tx.a[instant.id()]:update { b = 1 }):await()).status)
    db:shutdown()
  end)

  it("refuses a write that a store refuses", function()
    local Store, ways = make_store({}), {}
    function ways.raises() error("the disk is full", 0) end
    function ways.gives() return nil, "the disk is full" end
    function ways.rejects()
      local future = instant.future()
      instant.after(1, function() future:reject "the disk is full" end)
      return future
    end
    for name, way in pairs(ways) do
      local db = offline(Store)
      instant.sleep(10)
      Store.multiSet = way
      local told, err = db:transact(db.tx.todos[instant.id()]:update { title = "x" }):await()
      assert.is_nil(told, name)
      assert.equal("storage-failed", err.type)
      assert.equal("The write could not be kept: the disk is full", err.message)
      assert.equal(0, db._core:pending())
      db:shutdown()
    end
  end)

  it("goes on without a store that cannot be read", function()
    local failures = {
      { new = function() error "no" end },
      { new = function() return {} end },
      { new = function() return { getItem = 1 } end },
    }
    local Odd = make_store({})
    function Odd.getAllKeys() return "none" end
    failures[#failures + 1] = Odd
    local Numbers = make_store({})
    function Numbers.getItem() return 7 end
    failures[#failures + 1] = Numbers
    instant.logLevel "error"
    for _, Store in ipairs(failures) do
      local path = support.scratch()
      local db = instant.init { apiURI = "local:" .. path, storage = Store }
      assert.equal("synced", assert(db:transact(db.tx.a[instant.id()]:update { b = 1 }):await()).status)
      local _, err = db:getLocalId("x"):await()
      assert.equal("storage-failed", err.type)
      db:shutdown()
    end
  end)

  it("waits at the end for a store that answers later", function()
    local disk = {}
    local db = offline(make_store(disk, nil, later))
    assert(db:getLocalId("x"):await()) -- the store was read
    assert(db:transact(db.tx.todos[instant.id()]:update { title = "first" }):await())
    local future = db:transact(db.tx.todos[instant.id()]:update { title = "last" })
    db:shutdown()
    assert.equal("enqueued", assert(future:await()).status)
    assert.truthy(disk[APP .. "kv"].pendingMutations:find('"last"', 1, true))
  end)

  it("gives local ids without one too", function()
    local db = offline()
    local a, b = db:getLocalId("x"), db:getLocalId("x")
    assert.equal(assert(a:await()), assert(b:await()))
    assert.has_error(function() db:getLocalId(7) end)
    local _, err = db:getLocalId(("n"):rep(200)):await()
    assert.equal("validation-failed", err.type)
    db:shutdown()
  end)

  it("reports a kept write that fails in a later run", function()
    local storage = keep "sqlite"
    local path = support.scratch()
    local db = instant.init { apiURI = "local:" .. path, storage = storage }
    local id, app = instant.id(), db.appId
    assert(db:transact(db.tx.todos[id]:create { title = "first" }):await())
    db:shutdown()
    instant.sleep(10)
    db = instant.init { appId = app, apiURI = NOWHERE, storage = storage }
    local told = assert(db:transact(db.tx.todos[id]:create { title = "again" }):await())
    assert.equal("enqueued", told.status)
    db:shutdown()
    instant.sleep(10)
    local reported
    instant.onError(function(text) reported = text end)
    db = instant.init { apiURI = "local:" .. path, storage = storage }
    support.eventually("the failure is reported", function() return reported end)
    assert.truthy(reported:find("a write that was enqueued failed", 1, true))
    instant.onError(function(text) io.stderr:write(text, "\n") end)
    db:shutdown()
  end)
end)
