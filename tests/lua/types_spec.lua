local instant = require "instant"
local i = instant.i
local luacats = require "luacats"
local types = require "instant.schema_types"

-- Classes that the reference defines.
local function known()
  local names = {}
  local list = assert(io.popen "ls lua/instant/meta*.lua")
  for path in list:lines() do
    for line in io.lines(path) do
      local name = line:match "^%-%-%-@class ([%w_.]+)" or line:match "^%-%-%-@alias ([%w_.]+)"
      if name then names[name] = true end
    end
  end
  list:close()
  return names
end

local reference = known()

local function read(schema)
  local text = types.of(schema)
  assert(load(text)) -- comments only
  local file = luacats.read(text)
  assert.same({}, luacats.unknown(file, reference))
  return file.classes
end

local function types_of(class)
  local found = {}
  for name, field in pairs(class.fields) do found[name .. (field.optional and "?" or "")] = field.type end
  return found
end

describe("types of a schema", function()
  it("have entities, links and what is written", function()
    local classes = read(i.schema {
      entities = {
        todos = i.entity {
          title = i.string(), slug = i.string():unique():optional(), done = i.boolean():indexed():optional(),
          at = i.date(), meta = i.json():optional(), stars = i.number():clientRequired(), ["in public"] = i.any(),
        },
        people = i.entity {},
      },
      links = { owner = {
        forward = { on = "todos", label = "owner", has = "one" },
        reverse = { on = "people", label = "todos", has = "many" },
      } },
    })
    assert.same({
      id = "string", title = "string", ["slug?"] = "string|lightuserdata", ["done?"] = "boolean|lightuserdata",
      at = "string|number|instant.Date", ["meta?"] = "any", stars = "number", ["in public"] = "any",
      ["owner?"] = "app.people",
    }, types_of(classes["app.todos"]))
    assert.same({ id = "string", ["todos?"] = "app.todos[]" }, types_of(classes["app.people"]))
    assert.equal("string", types_of(classes["app.todos.New"]).title)
    assert.equal("string|lightuserdata", types_of(classes["app.todos.Changes"])["title?"])
    assert.is_nil(classes["app.todos.New"].fields.id)
    assert.same({ ["owner?"] = "string|string[]" }, types_of(classes["app.todos.Links"]))
    assert.same({ "instant.Chunk" }, classes["app.todos.Chunk"].parents)
    assert.equal("fun(self: app.todos.Chunk, args: app.todos.New): app.todos.Chunk",
      classes["app.todos.Chunk"].fields.create.type)
    assert.equal("app.todos.Chunk", classes["app.todos.Namespace"].fields["[]"].type)
    assert.matches('attr: "id"|"slug",', classes["app.todos.Namespace"].fields.lookup.type, 1, true)
    assert.equal("app.todos.Namespace", classes["app.Tx"].fields.todos.type)
    assert.same({ ["$?"] = "app.todos.Options", ["owner?"] = "app.people.Query" },
      types_of(classes["app.todos.Query"]))
    assert.equal('{ serverCreatedAt?: "asc"|"desc", done?: "asc"|"desc" }',
      classes["app.todos.Options"].fields.order.type)
    assert.same({ ["todos?"] = "app.todos[]", ["people?"] = "app.people[]" }, types_of(classes["app.Data"]))
    assert.equal("app.Tx", classes["app.Db"].fields.tx.type)
    assert.is_nil(classes["app.Db"].fields.joinRoom)
    assert.same({ "instant.AdminDb" }, classes["app.AdminDb"].parents)
  end)

  it("have rooms", function()
    local classes = read(i.schema { rooms = {
      chat = { presence = i.entity { name = i.string(), age = i.number():optional() },
        topics = { wave = i.entity { hand = i.string() }, ["shout out"] = i.entity {} } },
      quiet = {},
    } })
    assert.same({ name = "string", ["age?"] = "number" }, types_of(classes["app.rooms.chat.Presence"]))
    assert.same({ hand = "string" }, types_of(classes["app.rooms.chat.topics.wave"]))
    assert.equal('(fun(self: app.rooms.chat, topic: "shout out", data: app.rooms.chat.topics.shout_out): true?, '
      .. 'instant.Error?)|(fun(self: app.rooms.chat, topic: "wave", data: app.rooms.chat.topics.wave): true?, '
      .. 'instant.Error?)', classes["app.rooms.chat"].fields.publishTopic.type)
    assert.equal("table<string, app.rooms.chat.Presence>", classes["app.rooms.chat.Shown"].fields.peers.type)
    assert.is_nil(classes["app.rooms.quiet"].fields.publishTopic)
    assert.matches('roomType: "quiet"', classes["app.Db"].fields.joinRoom.type)
  end)

  it("have every name that can be written, each once", function()
    local entities = {}
    local odd = { "$users", "_users", "my-ns", "my ns", "Db", "rooms", "7up", "caf\195\169", "end", "a\"b\\c" }
    for _, name in ipairs(odd) do
      entities[name] = i.entity { [name] = i.string() }
    end
    entities["line\nbreak"] = i.entity { ["tab\t"] = i.string(), fine = i.string() }
    local links = {}
    for _, name in ipairs { "$users", "line\nbreak" } do
      links[name] = { forward = { on = "end", label = "to " .. name, has = "many" },
        reverse = { on = name, label = "from", has = "one" } }
    end
    local classes = read(i.schema { entities = entities, links = links })
    local count = 0
    for name, field in pairs(classes["app.Tx"].fields) do
      count = count + 1
      assert.is_table(classes[field.type], name)
    end
    assert.equal(10, count)
    assert.is_table(classes["app.Db_2"])
    assert.equal("app._users[]", classes["app.end"].fields["to $users"].type)
    assert.equal("string|string[]", types_of(classes["app.end.Links"])["to $users?"])
    assert.is_nil(classes["app.end.Links"].fields["to line\nbreak"])
  end)

  it("of nothing", function()
    assert.same({}, read(i.schema {})["app.Tx"].fields)
  end)
end)
