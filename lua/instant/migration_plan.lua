--- Shows what the steps of a migration would do, and does nothing. Of the schema it keeps what it would be by
--- then, so that later steps are shown against that; data is as it is now.

local core = require "instant.core"
local push = require "instant.schema_push"
local rows = require "instant.migration_rows"
local steps = require "instant.migration_steps"

local must = steps.must

-- Rows of which a plan shows what would be written.
local SAMPLE = 3

-- ---- the schema that would be ----

local FLAGS = {
  index = { "index?", true }, ["remove-index"] = { "index?", false },
  unique = { "unique?", true }, ["remove-unique"] = { "unique?", false },
  required = { "required?", true }, ["remove-required"] = { "required?", false },
}

local function copy(from)
  local to = {}
  for name, value in pairs(from) do to[name] = value end
  return to
end

-- What one step of a plan makes of attrs by id.
local function apply_step(by_id, op, args)
  if op == "add-attr" then
    by_id[args.id] = args
  elseif op == "delete-attr" then
    by_id[args] = nil
  elseif op == "update-attr" then
    local attr = by_id[args.id]
    for name, value in pairs(args) do attr[name] = value end
  elseif FLAGS[op] then
    by_id[args["attr-id"]][FLAGS[op][1]] = FLAGS[op][2]
  elseif op == "check-data-type" then
    by_id[args["attr-id"]]["checked-data-type"] = args["checked-data-type"]
  elseif op == "remove-data-type" then
    by_id[args["attr-id"]]["checked-data-type"] = nil
  end
end

local function is_of_system(attr)
  return attr.catalog == "system"
end

-- The answer of schema/pull as it would be after a plan. What the backend shows of the system stays.
local function after_plan(pulled, plan)
  local by_id, order = {}, {}
  for n, attr in ipairs(pulled.attrs) do
    by_id[attr.id], order[n] = copy(attr), attr.id
  end
  for _, one in ipairs(plan.steps) do
    if one[1] == "add-attr" then order[#order + 1] = one[2].id end
    apply_step(by_id, one[1], one[1] == "add-attr" and copy(one[2]) or one[2])
  end
  local attrs, blobs, refs = {}, {}, {}
  for etype, labels in pairs(pulled.schema.blobs or {}) do
    for label, attr in pairs(labels) do
      if is_of_system(attr) then
        blobs[etype] = blobs[etype] or {}
        blobs[etype][label] = attr
      end
    end
  end
  for key, attr in pairs(pulled.schema.refs or {}) do
    if is_of_system(attr) then refs[key] = attr end
  end
  for _, id in ipairs(order) do
    local attr = by_id[id]
    if attr then
      attrs[#attrs + 1] = attr
      if not is_of_system(attr) then
        local etype, label = attr["forward-identity"][2], attr["forward-identity"][3]
        if attr["value-type"] == "ref" then
          refs[id] = attr
        else
          blobs[etype] = blobs[etype] or {}
          blobs[etype][label] = attr
        end
      end
    end
  end
  return { schema = { blobs = blobs, refs = refs }, attrs = attrs }
end

-- ---- the steps ----

local Doer = {}
Doer.__index = Doer

--- `world`: `{store=, db=, report=}` and, of a plan's migrations before, `pulled` and `rules`.
local function new(world)
  return setmetatable({ world = world, store = world.store, report = world.report }, Doer)
end

function Doer:query(query)
  return self.store:query(query)
end

local function show(self, title, lines)
  self.report.line(title .. (#lines == 0 and ": nothing to change" or ""))
  for _, line in ipairs(lines) do self.report.line("  " .. line) end
end

function Doer:schema(wanted, renames)
  local world = self.world
  world.pulled = world.pulled or must(push.pull(self.store.to))
  local schema = wanted(must(push.schema_of(world.pulled)))
  local plan = must(push.plan(world.pulled, schema, renames))
  show(self, renames and "rename " .. renames[1]:gsub(":", " to ") or "schema", push.lines(plan))
  world.pulled = after_plan(world.pulled, plan)
  world.is_changed = world.is_changed or #plan.steps > 0
end

function Doer:rules(wanted)
  local world = self.world
  world.rules = world.rules or must(push.rules(self.store.to))
  local before = core.json_decode(core.json_encode(world.rules))
  local rules = wanted(world.rules)
  show(self, "rules", push.rule_lines(before, rules))
  world.rules = rules
end

-- `update todos 1f2e... {"done":true}`
local function describe(op)
  local entity = type(op[3]) == "table" and core.json_encode(op[3]) or tostring(op[3])
  local args = op[4] ~= nil and " " .. (core.json_encode(op[4]) or "(cannot be written as JSON)") or ""
  return ("%s %s %s%s"):format(op[1], op[2], entity, args)
end

function Doer:transact(ops)
  local lines = {}
  for n, op in ipairs(ops) do
    if n > SAMPLE then
      lines[n] = ("... %d more"):format(#ops - SAMPLE)
      break
    end
    lines[n] = describe(op)
  end
  show(self, ("transact: %d %s"):format(#ops, #ops == 1 and "operation" or "operations"), lines)
end

local function sample(self, page, fn)
  for n = 1, math.min(SAMPLE, #page) do
    local ok, chunks = pcall(fn, page[n])
    if not ok then
      self.report.line(("  %s: %s"):format(page[n].id, tostring(chunks)))
    elseif chunks == nil then
      self.report.line(("  %s: nothing"):format(page[n].id))
    else
      for _, op in ipairs(steps.ops_of("each", chunks)) do self.report.line("  " .. describe(op)) end
    end
  end
end

function Doer:each(etype, options, fn, cursor)
  local db = self.world.db
  local after, last, count
  if cursor then
    after, last, count = cursor.after, cursor.last, math.max(0, cursor.total - cursor.done)
  else
    count = must(rows.count(db, etype, options))
  end
  local page, problem = rows.page(db, etype, {
    where = options.where, with = options.with, fields = options.fields, batch = SAMPLE,
  }, after, last)
  if not page then steps.fail(problem) end
  self.report.line(("each %s: %d %s%s%s"):format(etype, count, count == 1 and "row" or "rows",
    cursor and " left" or "", self.world.is_changed and ", before the changes above" or ""))
  sample(self, page, fn)
end

return new
