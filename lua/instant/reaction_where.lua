--- Whether an entity, as a change shows it, is one of a query: `where` on its own attributes.
--
-- InstaQL's operators on plain values. What would have to look elsewhere (links) is refused when the
-- reaction is made: a change carries the entity's own attributes, not its links.

local core = require "instant.core"

local where = {}

local function is_null(value)
  return value == nil or value == core.null
end

local function ordered(fn)
  return function(value, operand)
    local kind = type(value)
    return kind == type(operand) and (kind == "number" or kind == "string") and fn(value, operand)
  end
end

local function equal(value, operand)
  if is_null(value) or is_null(operand) then return is_null(value) and is_null(operand) end
  return value == operand
end

local function one_of(value, list)
  for _, operand in ipairs(list) do
    if equal(value, operand) then return true end
  end
  return false
end

-- `%` is any text, `_` any one byte.
local function like(value, pattern)
  if type(value) ~= "string" or type(pattern) ~= "string" then return false end
  local lua = pattern:gsub("[%W]", function(c) return c == "%" and ".*" or c == "_" and "." or "%" .. c end)
  return value:find("^" .. lua:gsub("_", ".") .. "$") ~= nil
end

local OPERATORS = {
  ["$gt"] = ordered(function(a, b) return a > b end),
  ["$gte"] = ordered(function(a, b) return a >= b end),
  ["$lt"] = ordered(function(a, b) return a < b end),
  ["$lte"] = ordered(function(a, b) return a <= b end),
  ["$in"] = one_of, ["in"] = one_of,
  ["$nin"] = function(value, list) return not one_of(value, list) end,
  ["$ne"] = function(value, operand) return not equal(value, operand) end,
  ["$not"] = function(value, operand) return not equal(value, operand) end,
  ["$isNull"] = function(value, operand) return is_null(value) == operand end,
  ["$like"] = like,
  ["$ilike"] = function(value, pattern)
    return type(value) == "string" and type(pattern) == "string" and like(value:lower(), pattern:lower())
  end,
}

local LISTS = { ["$in"] = true, ["in"] = true, ["$nin"] = true }

local function condition(label, operand)
  if label:find(".", 1, true) then
    return nil, ("`%s` goes through a link, which a change does not show"):format(label)
  end
  if type(operand) ~= "table" or operand == core.null then
    return function(entity) return equal(entity[label], operand) end
  end
  local tests = {}
  for name, value in pairs(operand) do
    local test = OPERATORS[name]
    if not test then return nil, ("`%s` of `%s` is no operator of a reaction's query"):format(tostring(name), label) end
    if LISTS[name] and type(value) ~= "table" then return nil, ("`%s` of `%s` takes a list"):format(name, label) end
    tests[#tests + 1] = function(entity) return test(entity[label], value) end
  end
  return function(entity)
    for _, test in ipairs(tests) do
      if not test(entity) then return false end
    end
    return true
  end
end

local function all_of(tests)
  return function(entity)
    for _, test in ipairs(tests) do
      if not test(entity) then return false end
    end
    return true
  end
end

local function any_of(tests)
  return function(entity)
    for _, test in ipairs(tests) do
      if test(entity) then return true end
    end
    return false
  end
end

--- `matches(entity)` of a `where`, or nil and what is wrong with it.
function where.compile(clause)
  if type(clause) ~= "table" then return nil, "`where` must be a table, got " .. type(clause) end
  local tests = {}
  for label, operand in pairs(clause) do
    local test, problem
    if label == "and" or label == "or" then
      local parts = {}
      for _, part in ipairs(type(operand) == "table" and operand or {}) do
        parts[#parts + 1], problem = where.compile(part)
        if problem then return nil, problem end
      end
      test = label == "and" and all_of(parts) or any_of(parts)
    else
      test, problem = condition(label, operand)
    end
    if not test then return nil, problem end
    tests[#tests + 1] = test
  end
  return all_of(tests)
end

local function only(query)
  local etype, body = next(query)
  if etype == nil or next(query, etype) ~= nil or type(body) ~= "table" then
    return nil, "`query` must name one namespace: { orders = { [\"$\"] = { where = {...} } } }"
  end
  return etype, body
end

--- The namespace of a query and its test; nil and what is wrong with it.
function where.of_query(query)
  local etype, body = only(query)
  if not etype then return nil, body end
  for name in pairs(body) do
    if name ~= "$" then
      return nil, ("`query` goes through the link `%s`, which a change does not show"):format(name)
    end
  end
  for name in pairs(body["$"] or {}) do
    if name ~= "where" then return nil, ("`query` takes `where`, not `%s`"):format(name) end
  end
  local test, problem = where.compile((body["$"] or {}).where or {})
  if not test then return nil, problem end
  return etype, test
end

return where
