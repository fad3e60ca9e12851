--- `m`: what a migration does, step by step, and how it goes on after it was stopped.
--
--     m:schema(i.schema { ... } | function(schema) ... end)     m:rename("posts.title", "posts.name")
--     m:rules({ ... } | function(rules) ... end)                m:transact(chunks)
--     m:each("todos", { where =, with =, batch = 500 }, function(row) return chunk end)
--     m:query { todos = {} }                                    m.tx, m.id, m.lookup
--
-- A migration is run from its first line each time. Its steps are counted: those that the journal has are
-- passed over, the first that it has not is done. A step of data is in one transaction with its note in the
-- journal, so it is done exactly once; schema, rules and renames may be done again, which changes nothing.
--
-- `doer` does the steps (migration_run.lua) or shows them (migration_plan.lua). What fails raises a
-- `Problem`, whose text is for people.

local core = require "instant.core"
local check = require "instant.schema_check"
local exports = require "instant.exports"
local i = require "instant.schema"
local tx = require "instant.tx"

local steps = {}

-- ---- problems ----

local Problem = {}
Problem.__index = Problem
Problem.__tostring = function(self) return self.text end

--- Raises what a migration cannot go on from.
function steps.fail(text, ...)
  error(setmetatable({ text = select("#", ...) > 0 and text:format(...) or text }, Problem), 0)
end

local fail = steps.fail

-- The value, or a failure with its sentence.
local function must(value, problem)
  if value == nil then fail(tostring(problem)) end
  return value
end
steps.must = must

--- Fails when the program is to end.
function steps.go_on(run)
  if run.is_stopping and run.is_stopping() then fail "it was told to end" end
end

-- ---- the journal ----

local Journal = {}
Journal.__index = Journal

--- `list`: what a record has, `{{"transact", 3}, {"each todos", 1}}`: the same step again and again is one entry.
function steps.journal(list)
  local entries = setmetatable({}, core.array_mt)
  for n, entry in ipairs(list or {}) do entries[n] = setmetatable({ entry[1], entry[2] }, core.array_mt) end
  return setmetatable({ entries = entries }, Journal)
end

--- What step n was; nil when it is still to do.
function Journal:at(n)
  for _, entry in ipairs(self.entries) do
    if n <= entry[2] then return entry[1] end
    n = n - entry[2]
  end
end

function Journal:add(name)
  local last = self.entries[#self.entries]
  if last and last[1] == name then
    last[2] = last[2] + 1
  else
    self.entries[#self.entries + 1] = setmetatable({ name, 1 }, core.array_mt)
  end
end

function Journal:count()
  local count = 0
  for _, entry in ipairs(self.entries) do count = count + entry[2] end
  return count
end

-- ---- m ----

local M = {}
M.__index = M

--- `run`: `{doer=, journal=, cursor=, is_stopping=}`, where cursor is what was kept of the step at hand, and
--- `is_stopping()` says whether the program is to end.
function steps.new(run)
  return setmetatable({ tx = tx.builder, id = core.id, lookup = tx.lookup, _run = run, _at = 0 }, M)
end

-- Does step `name` unless the journal has it. `fn(cursor)` does it and notes it.
local function step(self, name, fn)
  local run = self._run
  self._at = self._at + 1
  local done = run.journal:at(self._at)
  if done and done ~= name then
    fail("step %d was `%s` when this migration ran before, now it is `%s`; what is done must stay in the file",
      self._at, done, name)
  end
  if done then return end
  local cursor = run.cursor
  run.cursor = nil
  if cursor and cursor.step ~= name then
    fail("step %d stopped in the middle of `%s`, now it is `%s`; let it stay what it was until it is done",
      self._at, cursor.step, name)
  end
  run.current = { n = self._at, name = name }
  steps.go_on(run)
  fn(cursor)
  run.current = nil
end

local function expect(ok, name, text, value)
  if not ok then error(("m:%s: %s, got %s"):format(name, text, type(value)), 3) end
end

-- ---- schema and rules ----

-- Its own function may change it in place, or give another.
local function changed(fn, value)
  local result = fn(value)
  return result == nil and value or result
end

--- The schema is what `change` says, as `push` would do it: all of it, or what a function makes of what is there.
function M:schema(change)
  expect(type(change) == "table" or type(change) == "function", "schema",
    "expected i.schema { ... } or a function that changes one", change)
  step(self, "schema", function()
    self._run.doer:schema(function(current)
      if type(change) == "table" then return change end
      local schema = changed(change, exports.parseSchemaFromJSON(current))
      if type(schema) ~= "table" then
        fail("m:schema: the function must return a schema or nothing, got a %s", type(schema))
      end
      return i.schema { entities = schema.entities, links = schema.links, rooms = schema.rooms }
    end)
  end)
end

-- Moves the label to its new name; nil when it is there under neither.
local function move(schema, etype, from, to)
  local entity = schema.entities[etype]
  local attrs = entity and entity.attrs or {}
  if attrs[from] then
    attrs[from], attrs[to] = nil, attrs[from]
    return true
  end
  for _, link in pairs(schema.links) do
    for _, side in pairs { link.forward, link.reverse } do
      if side.on == etype and side.label == from then
        side.label = to
        return true
      end
    end
  end
end

local function has(schema, etype, label)
  local entity = schema.entities[etype]
  if entity and entity.attrs[label] then return true end
  for _, link in pairs(schema.links) do
    for _, side in pairs { link.forward, link.reverse } do
      if side.on == etype and side.label == label then return true end
    end
  end
  return false
end

--- An attribute or link goes on under another name, with its data.
function M:rename(from, to)
  expect(type(from) == "string", "rename", "expected \"namespace.label\"", from)
  expect(type(to) == "string", "rename", "expected \"namespace.label\"", to)
  local etype, old = from:match "^([^.]+)%.(.+)$"
  local other, new = to:match "^([^.]+)%.(.+)$"
  if not etype or not other then error("m:rename: names are like posts.title, got " .. from .. " and " .. to, 2) end
  if etype ~= other then error(("m:rename: %s and %s are in two namespaces"):format(from, to), 2) end
  step(self, "rename " .. from .. " " .. to, function()
    self._run.doer:schema(function(current)
      local is_old, is_new = has(current, etype, old), has(current, etype, new)
      if is_old and is_new then fail("m:rename: there is a %s already", to) end
      if not is_old and not is_new then fail("m:rename: there is no %s", from) end
      move(current, etype, old, new) -- when it is renamed already, there is nothing to move
      return current
    end, { from .. ":" .. to })
  end)
end

--- The permission rules are these, or what a function makes of those that are there.
function M:rules(change)
  expect(type(change) == "table" or type(change) == "function", "rules",
    "expected a table of rules or a function that changes one", change)
  step(self, "rules", function()
    self._run.doer:rules(function(current)
      local rules = type(change) == "table" and change or changed(change, current)
      local problem = check.rules(rules)
      if problem then fail("m:rules: %s", problem) end
      return rules
    end)
  end)
end

-- ---- data ----

local function ops_of(name, chunks)
  if type(chunks) ~= "table" then fail("m:%s: expected a chunk or a list of chunks, got %s", name, type(chunks)) end
  local ops = tx.ops(chunks)
  if #ops == 0 and next(chunks) ~= nil and not chunks.__ops then
    fail("m:%s: expected a chunk or a list of chunks, got a table of something else", name)
  end
  return ops
end
steps.ops_of = ops_of

--- Applies one chunk or a list of them, in one transaction.
function M:transact(chunks)
  expect(type(chunks) == "table", "transact", "expected a chunk or a list of chunks", chunks)
  step(self, "transact", function() self._run.doer:transact(ops_of("transact", chunks)) end)
end

--- What there is, past the rules: `{todos = { ... }}`. No step: it is asked again when the migration goes on.
function M:query(query)
  expect(type(query) == "table", "query", "expected a query", query)
  return must(self._run.doer:query(query))
end

local OPTIONS = { where = "table", with = "table", fields = "table", batch = "number" }

local function each_options(options)
  for name, value in pairs(options) do
    if not OPTIONS[name] then
      error(("m:each: there is no option `%s`; there are: batch, fields, where, with"):format(tostring(name)), 3)
    end
    if type(value) ~= OPTIONS[name] then
      error(("m:each: `%s` must be a %s, got %s"):format(name, OPTIONS[name], type(value)), 3)
    end
  end
  local batch = options.batch or 500
  if batch < 1 or batch > 5000 or batch % 1 ~= 0 then
    error(("m:each: `batch` is a whole number from 1 to 5000, got %s"):format(tostring(batch)), 3)
  end
  return { where = options.where, with = options.with or {}, fields = options.fields, batch = batch }
end

--- Calls `fn(row)` once for every entity of a namespace that is there when the step begins, oldest first, and
--- applies the chunks that it returns, batch by batch.
function M:each(etype, options, fn)
  if fn == nil and type(options) == "function" then options, fn = {}, options end
  expect(type(etype) == "string", "each", "expected the name of a namespace", etype)
  expect(type(options) == "table", "each", "expected a table of options", options)
  expect(type(fn) == "function", "each", "expected a function of a row", fn)
  options = each_options(options)
  step(self, "each " .. etype, function(cursor) self._run.doer:each(etype, options, fn, cursor) end)
end

return steps
