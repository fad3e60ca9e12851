--- The schema builder `i` of the official client: `i.schema{entities={...}, links={...}}`.
--
-- Builds the JSON form that the core reads; `i.string():unique():indexed()` and so on. What is wrong raises
-- at the line that calls `i.schema`, with the way to it: `i.schema: entities.posts.title: ...`.

local check = require "instant.schema_check"

local Attr = {}
Attr.__index = Attr

local function attr(value_type)
  return setmetatable({
    valueType = value_type,
    required = true,
    isIndexed = false,
    config = { indexed = false, unique = false },
    metadata = {},
  }, Attr)
end

local function changed(self, name, fn)
  if getmetatable(self) ~= Attr then
    error(("%s: expected an attribute in front of a colon, as in i.string():%s()"):format(name, name), 3)
  end
  local copy = attr(self.valueType)
  copy.required, copy.isIndexed = self.required, self.isIndexed
  copy.config.indexed, copy.config.unique = self.config.indexed, self.config.unique
  copy.metadata.clientRequired = self.metadata.clientRequired
  fn(copy)
  return copy
end

function Attr:optional()
  return changed(self, "optional", function(copy)
    copy.required = false
    copy.metadata.clientRequired = nil
  end)
end

function Attr:unique()
  return changed(self, "unique", function(copy) copy.config.unique = true end)
end

function Attr:indexed()
  return changed(self, "indexed", function(copy)
    copy.isIndexed = true
    copy.config.indexed = true
  end)
end

--- Required for types only; stored as not required.
function Attr:clientRequired()
  return changed(self, "clientRequired", function(copy)
    copy.required = false
    copy.metadata.clientRequired = true
  end)
end

local i = {}

function i.string() return attr "string" end
function i.number() return attr "number" end
function i.boolean() return attr "boolean" end
function i.date() return attr "date" end
function i.json() return attr "json" end
i.any = i.json

--- Attributes by label.
function i.entity(attrs)
  local problem = check.attrs(i, attrs)
  if problem then error("i.entity: " .. problem, 2) end
  return { attrs = attrs, links = {} }
end

local function add_link(entities, side, other)
  entities[side.on].links[side.label] = { entityName = other.on, cardinality = side.has }
end

--- `{entities=, links=, rooms=}`.
function i.schema(definition)
  local problem = check.schema(i, definition)
  if problem then error("i.schema: " .. problem, 2) end
  local entities, links = {}, definition.links or {}
  for name, entity in pairs(definition.entities or {}) do
    entities[name] = { attrs = entity.attrs, links = {} }
  end
  -- A reverse label equal to a forward one replaces it, so all forward ones come first.
  for _, link in pairs(links) do add_link(entities, link.forward, link.reverse) end
  for _, link in pairs(links) do add_link(entities, link.reverse, link.forward) end
  return { entities = entities, links = links, rooms = definition.rooms or {} }
end

return i
