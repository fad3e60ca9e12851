--- What is wrong with a schema or with rules that somebody wrote in Lua: nil, or one sentence that names the
--- key. What only the backend's schema can tell (names of the system, data) is not here.

local core = require "instant.core"

local check = {}

local VALUE_TYPES = { string = true, number = true, boolean = true, date = true, json = true, any = true }

-- Sorted, so that of several mistakes the same one is named each time.
local function sorted(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names, function(a, b)
    if type(a) == type(b) and type(a) ~= "table" and type(a) ~= "boolean" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return names
end

local function what(value)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) == "table" then return #value > 0 and "a list" or "a table" end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  return value == nil and "nothing" or "a " .. type(value)
end

local function path(...)
  return table.concat({ ... }, ".")
end

-- Problems of a table with names as keys: `fn(name, value)` gives each member's.
local function each(at, map, fn)
  if type(map) ~= "table" then return ("%s must be a table, got %s"):format(at, what(map)) end
  for _, name in ipairs(sorted(map)) do
    if type(name) ~= "string" then
      return ("%s: keys are names, this one is %s"):format(at, what(name))
    end
    if name == "" then return ("%s: a name must not be empty"):format(at) end
    local problem = fn(name, map[name])
    if problem then return problem end
  end
end

local function list_of(known)
  return table.concat(sorted(known), ", ")
end

local function only(at, map, known)
  return each(at, map, function(name)
    if not known[name] then
      return ("%s: there is no `%s` here; there are: %s"):format(at, name, list_of(known))
    end
  end)
end

-- ---- schemas ----

local function attr_problem(i, at, value)
  if type(value) == "function" then
    for name, fn in pairs(i) do
      if fn == value then return ("%s: call it: i.%s()"):format(at, name) end
    end
  end
  if type(value) == "table" and value.attrs then
    return ("%s: an entity is no attribute; put links between entities into `links`"):format(at)
  end
  if type(value) ~= "table" or type(value.valueType) ~= "string" then
    return ("%s: expected an attribute such as i.string(), got %s"):format(at, what(value))
  end
  if not VALUE_TYPES[value.valueType] then
    return ("%s: there is no type `%s`; there are: %s"):format(at, value.valueType, list_of(VALUE_TYPES))
  end
end

local function attrs_problem(i, at, attrs)
  return each(at, attrs, function(label, value)
    local here = at == "attributes" and label or path(at, label)
    if label == "id" then return ("%s: every entity has its id, leave it out"):format(here) end
    return attr_problem(i, here, value)
  end)
end

--- The attributes of `i.entity`.
function check.attrs(i, attrs)
  return attrs_problem(i, "attributes", attrs)
end

local function entity_problem(i, at, entity)
  if type(entity) ~= "table" or type(entity.attrs) ~= "table" then
    return ("%s: expected i.entity { ... }, got %s"):format(at, what(entity))
  end
  return attrs_problem(i, at, entity.attrs)
end

local FORWARD = { on = true, label = true, has = true, required = true, onDelete = true }
local REVERSE = { on = true, label = true, has = true, onDelete = true }

local function side_problem(entities, at, side, known)
  if type(side) ~= "table" then
    return ("%s: expected { on = ..., label = ..., has = ... }, got %s"):format(at, what(side))
  end
  local problem = only(at, side, known)
  if problem then return problem end
  for _, name in ipairs { "on", "label" } do
    if type(side[name]) ~= "string" or side[name] == "" then
      return ("%s.%s must be a name, got %s"):format(at, name, what(side[name]))
    end
  end
  if side.has ~= "one" and side.has ~= "many" then
    return ("%s.has must be \"one\" or \"many\", got %s"):format(at, what(side.has))
  end
  if side.onDelete ~= nil and side.onDelete ~= "cascade" and side.onDelete ~= "restrict" then
    return ("%s.onDelete must be \"cascade\" or \"restrict\", got %s"):format(at, what(side.onDelete))
  end
  if side.required ~= nil and type(side.required) ~= "boolean" then
    return ("%s.required must be true or false, got %s"):format(at, what(side.required))
  end
  local entity = entities[side.on]
  if not entity then
    return ("%s: a link is on `%s`, which is no entity of it; there are: %s"):format(
      at, side.on, next(entities) and list_of(entities) or "none")
  end
  if entity.attrs[side.label] then
    return ("%s: `%s.%s` is an attribute too"):format(at, side.on, side.label)
  end
end

local function link_problem(entities, at, link)
  if type(link) ~= "table" then
    return ("%s: expected { forward = ..., reverse = ... }, got %s"):format(at, what(link))
  end
  return only(at, link, { forward = true, reverse = true })
    or side_problem(entities, path(at, "forward"), link.forward, FORWARD)
    or side_problem(entities, path(at, "reverse"), link.reverse, REVERSE)
end

local function room_problem(i, at, room)
  return only(at, room, { presence = true, topics = true })
    or room.presence ~= nil and entity_problem(i, path(at, "presence"), room.presence)
    or room.topics ~= nil and each(path(at, "topics"), room.topics, function(name, topic)
      return entity_problem(i, path(at, "topics", name), topic)
    end)
    or nil
end

--- What `i.schema` is given.
function check.schema(i, definition)
  if type(definition) ~= "table" then
    return ("expected { entities = ..., links = ..., rooms = ... }, got %s"):format(what(definition))
  end
  local entities = definition.entities or {}
  return only("it", definition, { entities = true, links = true, rooms = true })
    or each("entities", entities, function(name, entity)
      return entity_problem(i, path("entities", name), entity)
    end)
    or each("links", definition.links or {}, function(name, link)
      return link_problem(entities, path("links", name), link)
    end)
    or each("rooms", definition.rooms or {}, function(name, room)
      return room_problem(i, path("rooms", name), room)
    end)
end

-- ---- rules ----

-- As the backend and the official command line write it.
local function way(...)
  return table.concat({ ... }, "->")
end

local ACTIONS = { view = true, create = true, update = true, delete = true, link = true, unlink = true,
  ["$default"] = true }
local PARTS = { allow = true, bind = true, fields = true }

local function rule_problem(at, rule)
  if type(rule) == "string" or type(rule) == "boolean" or rule == core.null then return nil end
  return ("%s must be an expression in quotes, or true or false, got %s"):format(at, what(rule))
end

local function rules_problem(at, rules)
  return each(at, rules, function(name, rule) return rule_problem(way(at, name), rule) end)
end

local function bind_problem(at, bind)
  if type(bind) ~= "table" or #bind == 0 then return rules_problem(at, bind) end
  for n, part in ipairs(bind) do
    if type(part) ~= "string" then
      return ("%s[%d] must be %s in quotes, got %s"):format(
        at, n, n % 2 == 1 and "a name" or "an expression", what(part))
    end
  end
  if #bind % 2 == 1 then
    return ("%s: names and expressions come in pairs; `%s` has none"):format(at, bind[#bind])
  end
end

local function namespace_problem(name, rules)
  if name == "$rateLimits" or rules == core.null then return nil end
  return only(name, rules, PARTS)
    or rules.allow ~= nil and (only(way(name, "allow"), rules.allow, ACTIONS)
      or each(way(name, "allow"), rules.allow, function(action, rule)
        local at = way(name, "allow", action)
        if (action == "link" or action == "unlink") and type(rule) == "table" then return rules_problem(at, rule) end
        return rule_problem(at, rule)
      end))
    or rules.bind ~= nil and bind_problem(way(name, "bind"), rules.bind)
    or rules.fields ~= nil and rules_problem(way(name, "fields"), rules.fields)
    or nil
end

--- Permission rules: first their shape, then their expressions as the backend reads them.
function check.rules(rules)
  local problem = each("rules", rules, namespace_problem)
  if problem then return problem end
  local errors, err = core.rules_check(rules)
  if not errors then return err.message end
  local lines = {}
  for n, one in ipairs(errors) do lines[n] = table.concat(one["in"], "->") .. ": " .. one.message end
  return lines[1] and table.concat(lines, "\n") or nil
end

return check
