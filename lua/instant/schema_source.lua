--- Schemas and rules as Lua source, for the files that `instant-lua pull` writes.

local core = require "instant.core"

local source = {}

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then
  true until while]]):gmatch "%a+" do
  KEYWORDS[word] = true
end

local function quoted(text)
  return (("%q"):format(text):gsub("\\\n", "\\n"):gsub("\r", "\\r"))
end

local function key(name)
  if name:match "^[%a_][%w_]*$" and not KEYWORDS[name] then return name end
  return "[" .. quoted(name) .. "]"
end

local function sorted(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- `{` lines `}`, or `{}`; lines are `name = value`.
local function block(lines, indent)
  if #lines == 0 then return "{}" end
  local inner = "\n" .. indent .. "  "
  return "{" .. inner .. table.concat(lines, "," .. inner) .. ",\n" .. indent .. "}"
end

local function literal(value, indent)
  if value == core.null then return "require(\"instant\").null" end
  if type(value) == "string" then return quoted(value) end
  if type(value) ~= "table" then return tostring(value) end
  local lines = {}
  local is_list = getmetatable(value) == core.array_mt or #value > 0
  if is_list and #value == 0 then return "require(\"instant\").array {}" end
  if is_list then
    for n, item in ipairs(value) do lines[n] = literal(item, indent .. "  ") end
  else
    for n, name in ipairs(sorted(value)) do
      lines[n] = key(name) .. " = " .. literal(value[name], indent .. "  ")
    end
  end
  return block(lines, indent)
end

local TYPES = { string = true, number = true, boolean = true, date = true }

local function attr(definition)
  local config = definition.config or {}
  return ("i.%s()%s%s%s"):format(
    TYPES[definition.valueType] and definition.valueType or "any",
    config.unique and ":unique()" or "",
    config.indexed and ":indexed()" or "",
    definition.required and "" or (definition.metadata or {}).clientRequired and ":clientRequired()" or ":optional()"
  )
end

local function entity(definition, indent)
  local lines, attrs = {}, definition.attrs or {}
  for n, name in ipairs(sorted(attrs)) do lines[n] = key(name) .. " = " .. attr(attrs[name]) end
  return "i.entity " .. block(lines, indent)
end

local function entities(map, indent)
  local lines = {}
  for n, name in ipairs(sorted(map)) do lines[n] = key(name) .. " = " .. entity(map[name], indent .. "  ") end
  return block(lines, indent)
end

local function side(definition)
  local parts = {
    "on = " .. quoted(definition.on), "label = " .. quoted(definition.label), "has = " .. quoted(definition.has),
  }
  if definition.required == true then parts[#parts + 1] = "required = true" end
  if definition.onDelete == "cascade" then parts[#parts + 1] = "onDelete = \"cascade\"" end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function links(map)
  local lines = {}
  for n, name in ipairs(sorted(map)) do
    lines[n] = key(name) .. " = " .. block({
      "forward = " .. side(map[name].forward), "reverse = " .. side(map[name].reverse),
    }, "    ")
  end
  return block(lines, "  ")
end

local function rooms(map)
  local lines = {}
  for n, name in ipairs(sorted(map)) do
    local parts, room = {}, map[name]
    if room.presence then parts[#parts + 1] = "presence = " .. entity(room.presence, "      ") end
    if room.topics then parts[#parts + 1] = "topics = " .. entities(room.topics, "      ") end
    lines[n] = key(name) .. " = " .. block(parts, "    ")
  end
  return block(lines, "  ")
end

--- A schema in its JSON form; `kept_rooms` are those of the file that it replaces.
function source.schema(schema, kept_rooms)
  return table.concat({
    "local i = require(\"instant\").i",
    "",
    "return i.schema {",
    "  entities = " .. entities(schema.entities, "  ") .. ",",
    "  links = " .. links(schema.links) .. ",",
    "  rooms = " .. rooms(kept_rooms or {}) .. ",",
    "}",
    "",
  }, "\n")
end

--- Permission rules.
function source.perms(rules)
  return "return " .. literal(rules, "") .. "\n"
end

return source
