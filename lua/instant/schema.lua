--- The schema builder `i` of the official client: `i.schema{entities={...}, links={...}}`.
--
-- Builds the JSON form that the core reads; `i.string():unique():indexed()` and so on.

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

local function changed(self, fn)
  local copy = attr(self.valueType)
  copy.required, copy.isIndexed = self.required, self.isIndexed
  copy.config.indexed, copy.config.unique = self.config.indexed, self.config.unique
  fn(copy)
  return copy
end

function Attr:optional()
  return changed(self, function(copy) copy.required = false end)
end

function Attr:unique()
  return changed(self, function(copy) copy.config.unique = true end)
end

function Attr:indexed()
  return changed(self, function(copy)
    copy.isIndexed = true
    copy.config.indexed = true
  end)
end

-- Required for types only; stored as not required.
Attr.clientRequired = Attr.optional

local i = {}

function i.string() return attr "string" end
function i.number() return attr "number" end
function i.boolean() return attr "boolean" end
function i.date() return attr "date" end
function i.json() return attr "json" end
i.any = i.json

function i.entity(attrs)
  return { attrs = attrs, links = {} }
end

local function add_link(entities, side, other)
  local entity = entities[side.on]
  if not entity then
    error(("schema: a link is on `%s`, which is no entity of it"):format(tostring(side.on)), 3)
  end
  entity.links[side.label] = { entityName = other.on, cardinality = side.has }
end

function i.schema(definition)
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
