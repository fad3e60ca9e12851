local instant = require "instant"
local support = require "support"

-- Functions and fields that a lua/instant/meta*.lua documents, by the name in front.
local function read_documented(path, names)
  local file = assert(io.open(path))
  local class
  local function add(owner, name)
    if name:sub(1, 1) == "_" and name ~= "_VERSION" then return end -- experimental
    names[owner] = names[owner] or {}
    names[owner][name] = true
  end
  local fields = {}
  for line in file:lines() do
    local field = line:match "^%-%-%-@field ([%w_]+)%?? "
    class = line:match "^local (%w+) = {}" or class
    if field then
      fields[#fields + 1] = field
    elseif line:match "^local %w+ = {}" then
      for _, name in ipairs(fields) do add(class, name) end
      fields = {}
    elseif line == "" then
      fields = {}
    end
    local owner, name = line:match "^function (%w+)[.:]([%w_]+)%("
    if owner then add(owner, name) end
  end
  file:close()
end

local function documented()
  local names = {}
  local list = assert(io.popen "ls lua/instant/meta*.lua")
  for path in list:lines() do read_documented(path, names) end
  list:close()
  return names
end

local function public(object)
  local names = {}
  for name, value in pairs(object) do
    if name:sub(1, 1) ~= "_" and name ~= "appId" and name ~= "tx" or name == "_VERSION" then
      names[name] = value ~= nil
    end
  end
  return names
end

describe("the reference", function()
  local doc = documented()

  it("has all of instant, and nothing else", function()
    local names = public(instant)
    names.tx = true
    assert.same(names, doc.instant)
  end)

  it("has all of instant.http", function()
    assert.same(public(instant.http), doc.http)
  end)

  it("has all of what automations use", function()
    assert.same(public(instant.log), doc.log)
    local db = instant.admin.init { apiURI = "local::memory:" }
    local reaction = db:reaction { name = "r", etype = "a", onCreate = print }
    assert.same(public(getmetatable(reaction).__index), doc.Reaction)
    reaction:stop():await()
    local job = instant.cron("@yearly", print)
    assert.same(public(getmetatable(job).__index), doc.Job)
    job:stop():await()
  end)

  it("has all of instant.data", function()
    assert.same(public(instant.data), doc.data)
  end)

  it("has all of a client", function()
    local db = support.client(":memory:")
    local names = public(db)
    names.tx, names.appId = true, true
    assert.same(names, doc.Db)
    assert.same(public(db.auth), doc.Auth)
    assert.same(public(db.streams), doc.Streams)
    local writer = db.streams.createWriteStream { clientId = "a" }
    assert.same(public(getmetatable(writer).__index), doc.WriteStream)
    local reader = db.streams.createReadStream { clientId = "a" }
    names = public(getmetatable(reader).__index)
    names.abortReason = true -- there at the end
    assert.same(names, doc.ReadStream)
    assert.same(public(db.storage), doc.Storage)
    db:shutdown()
  end)

  it("has all of the admin SDK", function()
    local names = public(instant.admin)
    names.tx = true
    assert.same(names, doc.admin)
    local db = instant.admin.init { appId = "x" }
    names = public(db)
    names.tx, names.impersonationOpts = true, true
    assert.same(names, doc.AdminDb)
    assert.same(public(db.auth), doc.AdminAuth)
    assert.same(public(db.rooms), doc.AdminRooms)
    assert.same(public(db.reactions), doc.Reactions)
    assert.same(public(db.storage), doc.AdminStorage)
    names = public(db.webhooks)
    names.appId, names.schema = true, true
    assert.same(names, doc.Webhooks)
    assert.same(public(db.webhooks.manager), doc.WebhooksManager)
  end)

  it("has all of a room", function()
    local db = support.client(":memory:")
    local room = db:joinRoom("chat", "r")
    assert.same(public(room), doc.Room)
    assert.same(public(room.typingIndicator("input")), doc.Typing)
    db:shutdown()
  end)

  it("has all of chunks, the schema builder and dates", function()
    local chunk = getmetatable(instant.tx.x.y).__index
    local names = public(chunk)
    assert.same(names, doc.Chunk)
    assert.same(public(instant.i), doc.i)
    assert.same({ ms = true, iso = true }, doc.Date)
    for name in pairs(doc.Attr) do assert.is_function(instant.i.string()[name]) end
    for name in pairs(doc.Future) do
      assert.is_true(name == "state" or name == "value" or type(instant.Future[name]) == "function", name)
    end
  end)
end)
