--- What `@instantdb/core` exports beside its client: helpers for tools and tests.

local core = require "instant.core"
local date = require "instant.date"
local i = require "instant.schema"
local tx = require "instant.tx"

local exports = {
  version = "v1.0.67", -- the official client that this one is compatible with
}

--- A builder of transaction chunks: `instant.tx` again.
function exports.txInit()
  return tx.builder
end

--- The ops of a chunk, in order: `{{"update", "todos", id, {...}}, ...}`.
function exports.getOps(chunk)
  if type(chunk) ~= "table" or chunk.__ops == nil then
    error("getOps: expected a chunk, got " .. type(chunk), 2)
  end
  return chunk.__ops
end

--- A query as the backend will see it: a copy by way of JSON.
function exports.coerceQuery(query)
  local text, err = core.json_encode(query)
  if not text then error(err, 2) end
  return core.json_decode(text)
end

--- The official client's hash of a value, 16 hex digits: equal for equal values in any key order.
function exports.weakHash(value)
  local hash, err = core.weak_hash(value)
  if not hash then error(err, 2) end
  return hash
end

--- What a date attribute holds as `instant.date`: text in any of the formats that the official
--- client reads, or milliseconds. nil and `instant.null` stay what they are.
function exports.coerceToDate(value)
  if value == nil or value == core.null or getmetatable(value) == core.date_mt then return value end
  return date(value)
end

--- Raises when the query is not valid, by itself or (with a schema) in it.
function exports.validateQuery(query, schema)
  local ok, err = core.validate_query(query, schema)
  if not ok then error(err, 2) end
end

--- Raises when a chunk, or one of a list, is not valid in the schema.
function exports.validateTransactions(chunks, schema)
  local ok, err = core.validate_transaction(tx.plain(chunks), schema)
  if not ok then error(err, 2) end
end

local function attrs_of(definition)
  local attrs = {}
  for name, attr in pairs(definition.attrs or {}) do
    local make = attr.valueType ~= "any" and attr.valueType ~= "schema" and i[attr.valueType] or i.json
    local made = make()
    if not attr.required then made = made:optional() end
    if attr.config and attr.config.indexed then made = made:indexed() end
    if attr.config and attr.config.unique then made = made:unique() end
    attrs[name] = made
  end
  return attrs
end

--- A schema, as `i.schema` makes it, from its JSON form.
function exports.parseSchemaFromJSON(json)
  local entities, rooms = {}, {}
  for name, definition in pairs(json.entities) do entities[name] = i.entity(attrs_of(definition)) end
  for name, room in pairs(json.rooms or {}) do
    local topics = {}
    for topic, definition in pairs(room.topics or {}) do topics[topic] = i.entity(attrs_of(definition)) end
    rooms[name] = { presence = i.entity(attrs_of(room.presence or {})), topics = topics }
  end
  return i.schema { entities = entities, links = json.links or {}, rooms = rooms }
end

--- Whether warnings are logged; they are at first.
function exports.setInstantWarningsEnabled(enabled)
  core.log_level(enabled and "warn" or "error")
end

return exports
