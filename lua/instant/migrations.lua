--- Applies, undoes and shows migrations: what `instant-lua migrate` does.
--
--     local all = migrations.open { to = backend, dir = "migrations", report = { line =, progress = } }
--     local list = all:pending("12")       what `up` would apply
--     all:up { to = "12", confirm = function(list) return true end }
--
-- Functions give nil and a sentence for whoever sits in front of the terminal, and wait, so they need a task.
-- Nothing is begun before everything that can be said beforehand was found to be right: file names, the
-- checksums of what is applied, every file that is to run.

local Future = require "instant.future"
local core = require "instant.core"
local files = require "instant.migration_files"
local lifecycle = require "instant.lifecycle"
local new_doer = require "instant.migration_run"
local new_planner = require "instant.migration_plan"
local rows = require "instant.migration_rows"
local steps = require "instant.migration_steps"
local store = require "instant.migration_store"

local Migrations = {}
Migrations.__index = Migrations

local migrations = { create = files.create }

--- `options`: `to` (project.lua), `dir`, `report`.
function migrations.open(options)
  local self = setmetatable({
    dir = options.dir, report = options.report, store = store.open(options.to), rows = rows.of(options.to),
  }, Migrations)
  return self
end

--- Ends what this has open; the backend is the caller's.
function Migrations:close()
  self.store:release()
end

-- ---- what there is ----

-- Reads both sides: the folder and the app's records.
local function read(self)
  local list, by_key = files.read(self.dir)
  if not list then return nil, by_key end
  local ok, problem = self.store:load()
  if not ok then return nil, problem end
  self.list, self.by_key = list, by_key
  return true
end

--- One entry a version, oldest first: `{key=, name=, file=, record=, state=}`, where state is "pending",
--- "applying", "applied", "undoing", "changed" or "missing" (applied, its file is gone). Also the lock.
function Migrations:status()
  local ok, problem = read(self)
  if not ok then return nil, problem end
  local entries = {}
  for _, file in ipairs(self.list) do
    local record = self.store.records[file.key]
    local state = record and record.state or "pending"
    if state == "applied" and record.checksum ~= file.checksum then state = "changed" end
    entries[#entries + 1] = { key = file.key, name = file.name, file = file, record = record, state = state }
  end
  for key, record in pairs(self.store.records) do
    if not self.by_key[key] then
      entries[#entries + 1] = { key = key, name = record.name or key, record = record, state = "missing" }
    end
  end
  table.sort(entries, function(a, b) return files.is_older(a.key, b.key) end)
  return entries, self.store.lock
end

local function check_version(self, entries, version)
  if version == nil then return nil end
  local key = files.key(version)
  if not key then return nil, ("--to takes the number in front of a file's name, got %s"):format(version) end
  if key == "0" then return key end
  for _, entry in ipairs(entries) do
    if entry.key == key then return key end
  end
  return nil, ("there is no migration %s in %s"):format(version, self.dir)
end

-- What must be so whatever is to be done.
local function check_applied(entries)
  for _, entry in ipairs(entries) do
    if entry.state == "changed" then
      return nil, ("%s has changed since it was applied. Put the old text back, and make the change in a new one.")
        :format(entry.file.path)
    end
  end
  return true
end

local function load_all(entries)
  for _, entry in ipairs(entries) do
    local problem
    entry.migration, problem = files.load(entry.file)
    if not entry.migration then return nil, problem end
  end
  return entries
end

--- What `up` would apply, loaded: entries as of `status`.
function Migrations:pending(version)
  local entries, problem = self:status()
  if not entries then return nil, problem end
  local ok, to
  ok, problem = check_applied(entries)
  if not ok then return nil, problem end
  to, problem = check_version(self, entries, version)
  if problem then return nil, problem end
  local list = {}
  for _, entry in ipairs(entries) do
    if entry.state == "undoing" then
      return nil, ("%s is half undone; `migrate down` goes on with it"):format(entry.name)
    end
    local is_wanted = not to or not files.is_older(to, entry.key)
    if is_wanted and (entry.state == "pending" or entry.state == "applying") then list[#list + 1] = entry end
  end
  return load_all(list)
end

--- What `down` would undo, latest first: the last one, or all that are later than `version`.
function Migrations:undoable(version)
  local entries, problem = self:status()
  if not entries then return nil, problem end
  local ok, to
  ok, problem = check_applied(entries)
  if not ok then return nil, problem end
  to, problem = check_version(self, entries, version)
  if problem then return nil, problem end
  local list = {}
  for n = #entries, 1, -1 do
    local entry = entries[n]
    if entry.state ~= "pending" and (to and files.is_older(to, entry.key) or not to and #list == 0) then
      if not entry.file then
        return nil, ("%s cannot be undone: its file is not in %s"):format(entry.name, self.dir)
      end
      list[#list + 1] = entry
    end
  end
  list, problem = load_all(list)
  if not list then return nil, problem end
  for _, entry in ipairs(list) do
    if not entry.migration.down then
      return nil, ("%s has no `down`, so it cannot be undone"):format(entry.file.path)
    end
  end
  return list
end

-- ---- showing ----

local function journal_of(entry, direction)
  local record = entry.record
  if not record or record.state ~= direction then return steps.journal(), nil end
  return steps.journal(record.steps), record.cursor
end

-- What a function raised, for people.
local function text_of(err)
  return tostring(type(err) == "table" and (err.text or err.message) or err)
end

--- Shows what running these entries would do; `direction` is "applying" or "undoing". Changes nothing.
function Migrations:show(list, direction)
  local world = { store = self.store, db = self.rows, report = self.report }
  for _, entry in ipairs(list) do
    self.report.title(entry.name)
    local journal, cursor = journal_of(entry, direction)
    local m = steps.new { doer = new_planner(world), journal = journal, cursor = cursor }
    local ok, err = pcall(entry.migration[direction == "applying" and "up" or "down"], m)
    if not ok then return nil, ("%s: %s"):format(entry.name, text_of(err)) end
  end
  return true
end

-- ---- doing ----

-- The record of a migration that is to run, as the app has it from now on.
local function begin(self, entry, direction)
  local record = entry.record or { id = core.id() }
  local fields = { key = entry.key, name = entry.name, checksum = entry.file.checksum, state = direction,
    by = self.store.by, startedAt = core.now(), error = core.null }
  if record.state == direction then
    fields.startedAt = nil -- it goes on
  else
    fields.steps, fields.cursor = core.null, core.null
  end
  local ok, problem = self.store:write { self.store:record_op(record.id, fields) }
  if not ok then return nil, problem end
  return { id = record.id, startedAt = fields.startedAt or record.startedAt }
end

local function finish(self, entry, record, direction)
  local took = core.now() - record.startedAt
  local op = self.store:forget_op(record.id)
  if direction == "applying" then
    op = self.store:record_op(record.id, { state = "applied", appliedAt = core.now(), ms = took,
      checksum = entry.file.checksum, steps = core.null, cursor = core.null })
  end
  local ok, problem = self.store:write { op }
  return ok and took, problem
end

-- When nothing was done the app is what it was. Else how far it came stays, for the next run.
local function give_up(self, entry, run, direction, err)
  local text = text_of(err)
  if self.store.is_lost then return ("%s: %s"):format(entry.name, text) end
  local at = run.current and ("step %d (%s)"):format(run.current.n, run.current.name) or "its own code"
  local op, state
  if run.is_touched or run.has_journal then
    op = self.store:record_op(run.record.id, { error = text })
    state = ("It stopped half-way, at %s, and what is done before that stays: `migrate %s` goes on from there")
      :format(at, direction == "applying" and "up" or "down")
    if direction == "applying" and entry.migration.down then state = state .. ", `migrate down` undoes it" end
  elseif direction == "applying" then
    op, state = self.store:forget_op(run.record.id), ("It failed at %s. Nothing was changed"):format(at)
  else
    op = self.store:record_op(run.record.id, { state = "applied" })
    state = ("It failed at %s. Nothing was changed"):format(at)
  end
  local ok, problem = self.store:write { op }
  if not ok then state = state .. (" (and this could not be noted: %s)"):format(problem) end
  return ("%s: %s\n%s."):format(entry.name, text, state)
end

local function run_one(self, entry, direction)
  local journal, cursor = journal_of(entry, direction)
  local record, problem = begin(self, entry, direction)
  if not record then return nil, ("%s: %s"):format(entry.name, problem) end
  self.report.title(entry.name)
  local run = {
    is_stopping = function() return self.is_stopping end,
    store = self.store, db = self.rows, report = self.report, record = record, journal = journal, cursor = cursor,
    has_journal = cursor ~= nil or journal:count() > 0,
  }
  run.doer = new_doer(run)
  if journal:count() > 0 then self.report.line(("going on after step %d"):format(journal:count())) end
  local ok, err = pcall(entry.migration[direction == "applying" and "up" or "down"], steps.new(run))
  if not ok then return nil, give_up(self, entry, run, direction, err) end
  local took
  took, problem = finish(self, entry, record, direction)
  if not took then return nil, ("%s: %s"):format(entry.name, problem) end
  self.report.done(entry, direction, took)
  return true
end

-- Looks again, for another run may have been there before the lock was ours, and runs what is found now.
local function run_locked(self, find, version, direction)
  local list, problem = find(self, version)
  if not list then return nil, problem end
  for _, entry in ipairs(list) do
    local ok
    ok, problem = run_one(self, entry, direction)
    if not ok then return nil, problem end
  end
  return #list
end

-- With the lock. When the program is to end, the step at hand stops at its next transaction.
local function run_all(self, find, direction, options)
  local ok, count, problem
  ok, problem = self.store:setup()
  if ok then ok, problem = self.store:acquire(options.unlock) end
  if not ok then return nil, problem end
  local over = Future.new()
  local forget = lifecycle.add(function()
    self.is_stopping = true
    return over
  end)
  count, problem = run_locked(self, find, options.to, direction)
  self.store:release()
  forget()
  over:resolve(true)
  return count, problem
end

--- Applies what is pending, up to `options.to`; `options.unlock` takes the lock from whoever has it. How many
--- were applied, or nil and a sentence.
function Migrations:up(options)
  return run_all(self, self.pending, "applying", options)
end

--- Undoes the last one, or all that are later than `options.to`.
function Migrations:down(options)
  return run_all(self, self.undoable, "undoing", options)
end

return migrations
