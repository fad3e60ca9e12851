--- Does the steps of a migration, each with its note in the journal.

local core = require "instant.core"
local push = require "instant.schema_push"
local rows = require "instant.migration_rows"
local steps = require "instant.migration_steps"

local fail, must = steps.fail, steps.must

local Doer = {}
Doer.__index = Doer

--- `run`: `{store=, db=, record=, journal=, report=}`. `run.has_journal`: the app has a note of something done,
--- `run.is_touched`: something was done, or may have been, and may not be noted yet.
local function new(run)
  return setmetatable({ run = run, store = run.store }, Doer)
end

function Doer:query(query)
  return self.store:query(query)
end

-- Fails unless it is so. Who gets no answer does not know whether the app has changed.
local function must_change(self, ok, problem, is_unsure)
  if ok then return end
  self.run.is_touched = self.run.is_touched or is_unsure
  fail(problem)
end

local function write(self, ops)
  must_change(self, self.store:write(ops))
  self.run.has_journal = true
end

-- Notes that the step at hand is done, in one transaction with its ops.
local function finish(self, ops)
  local run = self.run
  run.journal:add(run.current.name)
  ops[#ops + 1] = self.store:record_op(run.record.id, { steps = run.journal.entries, cursor = core.null })
  write(self, ops)
end

function Doer:schema(wanted, renames)
  local report, to = self.run.report, self.store.to
  local pulled = must(push.pull(to))
  local schema = wanted(must(push.schema_of(pulled)))
  local plan = must(push.plan(pulled, schema, renames))
  for _, line in ipairs(push.lines(plan)) do report.line(line) end
  must(self.store:write {}) -- whoever lost the lock must not come to the schema
  must_change(self, push.apply(to, plan, report.line))
  self.run.is_touched = self.run.is_touched or #plan.steps > 0
  finish(self, {})
end

function Doer:rules(wanted)
  local to = self.store.to
  local before = must(push.rules(to))
  local text = core.json_encode(before)
  local rules = wanted(before)
  for _, line in ipairs(push.rule_lines(core.json_decode(text), rules)) do self.run.report.line(line) end
  must(self.store:write {})
  must_change(self, push.set_rules(to, rules))
  self.run.is_touched = true
  finish(self, {})
end

function Doer:transact(ops)
  finish(self, ops)
end

-- ---- each ----

-- What the rows of a page become.
local function ops_of_page(page, fn)
  local ops = {}
  for _, row in ipairs(page) do
    local chunks = fn(row)
    if chunks ~= nil then
      for _, op in ipairs(steps.ops_of("each", chunks)) do ops[#ops + 1] = op end
    end
  end
  return ops
end

local function begin(self, db, etype, options)
  local last = must(rows.last(db, etype, options))
  if not last then return nil end
  return { step = self.run.current.name, last = last, done = 0, total = must(rows.count(db, etype, options)) }
end

function Doer:each(etype, options, fn, cursor)
  local run, db = self.run, self.run.db
  if cursor then run.report.line(("%s: going on after row %d"):format(cursor.step, cursor.done)) end
  cursor = cursor or begin(self, db, etype, options)
  while cursor do
    steps.go_on(run)
    local page, after = rows.page(db, etype, options, cursor.after, cursor.last)
    if not page then fail(after) end
    if #page == 0 then break end
    local ops = ops_of_page(page, fn)
    cursor = {
      step = cursor.step, last = cursor.last, total = cursor.total, after = after, done = cursor.done + #page,
    }
    ops[#ops + 1] = self.store:record_op(run.record.id, { cursor = cursor })
    write(self, ops)
    run.report.progress(cursor.step, cursor.done, math.max(cursor.total, cursor.done))
  end
  finish(self, {})
end

return new
