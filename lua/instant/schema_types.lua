--- LuaCATS types of an app from its schema, for lua-language-server and whoever else reads such annotations.
--
--     app.todos               an entity as a client with the schema gets it: attributes, links that are asked for
--     app.todos.New           what `create` takes; `.Changes`: what `update` and `merge` take
--     app.todos.Links         ids by label;  app.todos.Query, .Options, .Where: its part of a query
--     app.todos.Chunk         `db.tx.todos[id]`;  app.todos.Namespace: `db.tx.todos`
--     app.rooms.chat          a joined room;  app.rooms.chat.Presence: what it shows;  .topics.NAME
--     app.Db, app.AdminDb     clients: `local db = instant.init { ... } --[[@as app.Db]]`
--
-- A name that cannot be part of a type has `_` for what is odd in it.

local project = require "instant.project"

local types = {}

local HEAD = [=[
---@meta
--- Types of the app, for editors only: `instant-lua types` writes this from the schema, `push` and `pull` keep it
--- up to date. A client has them by `local db = instant.init { ... } --[[@as app.Db]]`.

]=]

local NULL = "|lightuserdata"
local LUA_TYPES = {
  string = "string", number = "number", boolean = "boolean", date = "string|number|instant.Date", json = "any",
}

local function sorted(map)
  local names = {}
  for name in pairs(map or {}) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Lines of text with a name in each that cannot be written into one line are left out.
local function is_writable(name)
  return not name:find "%c"
end

local function quoted(name)
  return "\"" .. name:gsub("[\\\"]", "\\%0") .. "\""
end

-- The name of a field, with `?` when it may be missing.
local function field(name, is_optional)
  local text = name:match "^[%a_][%w_]*$" and name or "[" .. quoted(name) .. "]"
  return text .. (is_optional and "?" or "")
end

-- ---- names of classes ----

local RESERVED = { "Db", "AdminDb", "Tx", "Query", "Data", "Result", "ResultFuture", "DataFuture", "rooms" }

-- {name = part of a type}, no two alike.
local function class_names(map, reserved)
  local taken, names = {}, {}
  for _, name in ipairs(reserved or {}) do taken[name] = true end
  for _, name in ipairs(sorted(map)) do
    if is_writable(name) then
      local base = name:gsub("[^%w_]", "_"):gsub("^%d", "_%0")
      local class, n = base, 1
      while taken[class] do
        n = n + 1
        class = base .. "_" .. n
      end
      taken[class] = true
      names[name] = class
    end
  end
  return names
end

-- ---- writing ----

local Writer = {}
Writer.__index = Writer

function Writer:class(name, comment)
  local lines = self.lines
  if #lines > 0 then lines[#lines + 1] = "" end
  if comment then lines[#lines + 1] = "--- " .. comment end
  lines[#lines + 1] = "---@class " .. name
end

function Writer:field(name, is_optional, value)
  self.lines[#self.lines + 1] = ("---@field %s %s"):format(field(name, is_optional), value)
end

function Writer:raw(text)
  self.lines[#self.lines + 1] = "---@field " .. text
end

-- `fn(name, attr)` for every attribute that can be written.
local function each_attr(entity, fn)
  for _, name in ipairs(sorted(entity.attrs)) do
    if is_writable(name) then fn(name, entity.attrs[name]) end
  end
end

local function is_required(attr)
  return attr.required or (attr.metadata or {}).clientRequired == true
end

local function value_type(attr)
  return LUA_TYPES[attr.valueType] or "any"
end

-- What may be null too; `any` is anything anyway.
local function nullable(text)
  return text == "any" and text or text .. NULL
end

-- Links of a namespace by label: `{target=, is_one=}`, both ends.
local function links_of(schema, etype)
  local found = {}
  for _, label in ipairs(sorted((schema.entities[etype] or {}).links)) do
    local link = schema.entities[etype].links[label]
    if is_writable(label) then found[label] = { target = link.entityName, is_one = link.cardinality == "one" } end
  end
  return found
end

-- ---- entities ----

local function write_values(self, schema, etype, class)
  local entity, links = schema.entities[etype], links_of(schema, etype)
  self:class(class, "An entity of " .. etype .. ". Links are there when the query asks for them.")
  self:field("id", false, "string")
  each_attr(entity, function(name, attr)
    local text = value_type(attr)
    self:field(name, not is_required(attr), is_required(attr) and text or nullable(text))
  end)
  for _, label in ipairs(sorted(links)) do
    local target = self.classes[links[label].target]
    local text = target and "app." .. target or "table"
    self:field(label, true, text .. (links[label].is_one and "" or "[]"))
  end
  self:class(class .. ".New")
  each_attr(entity, function(name, attr)
    self:field(name, not is_required(attr), is_required(attr) and value_type(attr) or nullable(value_type(attr)))
  end)
  self:class(class .. ".Changes")
  each_attr(entity, function(name, attr) self:field(name, true, nullable(value_type(attr))) end)
  self:class(class .. ".Links", "Ids or lookups.")
  for _, label in ipairs(sorted(links)) do self:field(label, true, "string|string[]") end
end

local function write_chunk(self, class)
  local chunk = class .. ".Chunk"
  self:class(chunk .. ": instant.Chunk")
  local function method(name, parameters)
    self:field(name, false, ("fun(self: %s%s): %s"):format(chunk, parameters, chunk))
  end
  method("create", (", args: %s.New"):format(class))
  method("update", (", args: %s.Changes, opts?: { upsert?: boolean }"):format(class))
  method("merge", (", args: %s.Changes, opts?: { upsert?: boolean }"):format(class))
  method("link", (", args: %s.Links"):format(class))
  method("unlink", (", args: %s.Links"):format(class))
  method("delete", "")
  method("ruleParams", ", args: table")
end

local function union(names)
  local parts = {}
  for n, name in ipairs(names) do parts[n] = quoted(name) end
  return table.concat(parts, "|")
end

local function write_namespace(self, schema, etype, class)
  local unique = { "id" }
  each_attr(schema.entities[etype], function(name, attr)
    if (attr.config or {}).unique then unique[#unique + 1] = name end
  end)
  self:class(class .. ".Namespace", "By id or lookup.")
  self:raw(("[string] %s.Chunk"):format(class))
  self:field("lookup", false, ("fun(self: %s.Namespace, attr: %s, value: any): %s.Chunk"):format(
    class, union(unique), class))
end

local function write_query(self, schema, etype, class)
  local entity, links = schema.entities[etype], links_of(schema, etype)
  self:class(class .. ".Query")
  self:field("$", true, class .. ".Options")
  for _, label in ipairs(sorted(links)) do
    local target = self.classes[links[label].target]
    self:field(label, true, target and ("app.%s.Query"):format(target) or "table")
  end
  local names, ordered = { "id" }, { "serverCreatedAt?: \"asc\"|\"desc\"" }
  each_attr(entity, function(name, attr)
    names[#names + 1] = name
    if (attr.config or {}).indexed and name:match "^[%a_][%w_]*$" then
      ordered[#ordered + 1] = name .. "?: \"asc\"|\"desc\""
    end
  end)
  self:class(class .. ".Options")
  self:field("where", true, class .. ".Where")
  self:field("fields", true, "(" .. union(names) .. ")[]")
  self:field("order", true, "{ " .. table.concat(ordered, ", ") .. " }")
  for _, name in ipairs { "limit", "offset", "first", "last" } do self:field(name, true, "integer") end
  for _, name in ipairs { "after", "before" } do self:field(name, true, "table") end
  for _, name in ipairs { "afterInclusive", "beforeInclusive" } do self:field(name, true, "boolean") end
  self:class(class .. ".Where", "Values, or conditions such as `{ [\"$gt\"] = 1 }`; links: `[\"owner.name\"]`.")
  self:field("id", true, "string|table")
  each_attr(entity, function(name, attr)
    local text = value_type(attr)
    self:field(name, true, text == "any" and text or nullable(text) .. "|table")
  end)
  self:field("and", true, class .. ".Where[]")
  self:field("or", true, class .. ".Where[]")
  self:raw "[string] any"
end

-- ---- rooms ----

local function write_shape(self, name, entity)
  self:class(name)
  each_attr(entity or {}, function(label, attr)
    self:field(label, not is_required(attr), value_type(attr))
  end)
end

-- One function for each topic, as alternatives.
local function alternatives(self, room, topics, text)
  local parts = {}
  for _, topic in ipairs(sorted(topics)) do
    if self.topic_classes[topic] then
      local one = text:gsub("TOPIC", function() return quoted(topic) end)
        :gsub("DATA", function() return room .. ".topics." .. self.topic_classes[topic] end)
      parts[#parts + 1] = "(" .. one .. ")"
    end
  end
  return table.concat(parts, "|")
end

local function write_room(self, room_type, room, class)
  local topics = room.topics or {}
  self.topic_classes = class_names(topics)
  write_shape(self, class .. ".Presence", room.presence)
  for _, topic in ipairs(sorted(topics)) do
    local name = self.topic_classes[topic]
    if name then write_shape(self, class .. ".topics." .. name, topics[topic]) end
  end
  self:class(class .. ".Shown: instant.Presence", "What a room of this type shows.")
  self:field("user", true, class .. ".Presence")
  self:field("peers", false, ("table<string, %s.Presence>"):format(class))
  self:class(class .. ": instant.Room", "A joined room of type " .. room_type .. ".")
  self:field("publishPresence", false, ("fun(self: %s, data: %s.Presence): true?, instant.Error?"):format(class, class))
  self:field("getPresence", false, ("fun(self: %s, opts?: instant.PresenceOpts): %s.Shown?"):format(class, class))
  self:field("subscribePresence", false,
    ("fun(self: %s, opts: instant.PresenceOpts?, fn: fun(presence: %s.Shown)): fun()"):format(class, class))
  if next(self.topic_classes) then
    self:field("publishTopic", false, alternatives(self, class, topics,
      ("fun(self: %s, topic: TOPIC, data: DATA): true?, instant.Error?"):format(class)))
    self:field("subscribeTopic", false, alternatives(self, class, topics,
      ("fun(self: %s, topic: TOPIC, fn: fun(data: DATA, peer?: %s.Presence)): fun()"):format(class, class)))
  end
end

-- ---- clients ----

local function write_answers(self)
  self:class "app.Tx"
  for _, etype in ipairs(sorted(self.classes)) do
    self:field(etype, false, ("app.%s.Namespace"):format(self.classes[etype]))
  end
  self:class "app.Query"
  for _, etype in ipairs(sorted(self.classes)) do
    self:field(etype, true, ("app.%s.Query"):format(self.classes[etype]))
  end
  self:class("app.Data", "By namespace, what the query asks for.")
  for _, etype in ipairs(sorted(self.classes)) do
    self:field(etype, true, ("app.%s[]"):format(self.classes[etype]))
  end
  self:class "app.Result: instant.Result"
  self:field("data", true, "app.Data")
  self:class "app.ResultFuture: instant.Future"
  self:field("await", false, "fun(self: app.ResultFuture): app.Result?, instant.Error?")
  self:class "app.DataFuture: instant.Future"
  self:field("await", false, "fun(self: app.DataFuture): app.Data?, instant.Error?")
end

local function write_clients(self)
  self:class "app.Db: instant.Db"
  self:field("tx", false, "app.Tx")
  self:field("queryOnce", false, "fun(self: app.Db, query: app.Query, opts?: { ruleParams?: table }): app.ResultFuture")
  self:field("subscribeQuery", false,
    "fun(self: app.Db, query: app.Query, fn: fun(result: app.Result), opts?: { ruleParams?: table }): fun()")
  local joins = {}
  for _, room_type in ipairs(sorted(self.rooms)) do
    local class = "app.rooms." .. self.rooms[room_type]
    joins[#joins + 1] =
      ("(fun(self: app.Db, roomType: %s, roomId?: string, opts?: { initialPresence?: %s.Presence }): %s)"):format(
        quoted(room_type), class, class)
  end
  if #joins > 0 then self:field("joinRoom", false, table.concat(joins, "|")) end
  self:class "app.AdminDb: instant.AdminDb"
  self:field("tx", false, "app.Tx")
  self:field("query", false, "fun(self: app.AdminDb, query: app.Query, opts?: table): app.DataFuture")
  self:field("asUser", false, "fun(self: app.AdminDb, opts: table): app.AdminDb")
end

--- The text of a file of types for a schema, as `i.schema` or `push.schema_of` makes it.
function types.of(schema)
  local self = setmetatable({
    lines = {}, classes = class_names(schema.entities, RESERVED), rooms = class_names(schema.rooms),
  }, Writer)
  for _, etype in ipairs(sorted(self.classes)) do
    local class = "app." .. self.classes[etype]
    write_values(self, schema, etype, class)
    write_chunk(self, class)
    write_namespace(self, schema, etype, class)
    write_query(self, schema, etype, class)
  end
  for _, room_type in ipairs(sorted(self.rooms)) do
    write_room(self, room_type, schema.rooms[room_type], "app.rooms." .. self.rooms[room_type])
  end
  write_answers(self)
  write_clients(self)
  return HEAD .. table.concat(self.lines, "\n") .. "\n"
end

types.FILE = "instant.types.lua"

--- Writes the file anew if it is there: its name, false when it is not, or nil and a sentence.
function types.refresh(schema)
  local file = io.open(types.FILE, "rb")
  if not file then return false end
  local old = file:read "*a"
  file:close()
  local text = types.of(schema)
  if old == text then return false end
  local ok, problem = project.write(types.FILE, text)
  return ok and types.FILE, problem
end

return types
