--- What an app knows of its migrations, kept in the app: entities of `instant_migrations`, out of reach for
--- anybody but admins.
--
--     key "12"     one migration: name, checksum, state, by, startedAt, appliedAt, ms, and while it runs
--                  steps (which are done) and cursor (how far the one at hand is)
--     key "lock"   there while somebody applies or undoes: by, expires, fence
--
--     state:   none ──up──> applying ──> applied ──down──> undoing ──> none
--
-- `fence` is unique and new for every holder of the lock. Every write of a run updates the entity that is found
-- by the run's own fence, in the same transaction: when somebody else has taken the lock, there is none, and
-- the whole transaction fails. So a run that lost its lock, or slept past its end, can write nothing more.

local core = require "instant.core"
local i = require "instant.schema"
local push = require "instant.schema_push"
local task = require "instant.task"

local NAMESPACE = push.MIGRATIONS
local LOCK_MS = 60000

local ENTITY = i.entity {
  key = i.string():unique(),
  name = i.string():optional(),
  checksum = i.string():optional(),
  state = i.string():optional(),
  by = i.string():optional(),
  startedAt = i.date():optional(),
  appliedAt = i.date():optional(),
  ms = i.number():optional(),
  steps = i.json():optional(),
  cursor = i.json():optional(),
  error = i.string():optional(),
  expires = i.number():optional(),
  fence = i.string():unique():optional(),
}

local Store = {}
Store.__index = Store

local function host_name()
  local file = io.open("/proc/sys/kernel/hostname", "r")
  local name = file and file:read "*l"
  if file then file:close() end
  return name or os.getenv "HOSTNAME" or "somewhere"
end

local function whoever_runs_this()
  return (os.getenv "USER" or os.getenv "LOGNAME" or "somebody") .. "@" .. host_name()
end

--- `to`: a backend of project.lua.
local function open(to)
  return setmetatable({ to = to, by = whoever_runs_this(), records = {} }, Store)
end

-- ---- asking ----

local function headers(self)
  return { ["app-id"] = self.to.appId }
end

--- Runs a query past the rules: its data, or nil and a sentence.
function Store:query(query)
  return self.to:ask("POST", "/admin/query", { query = query, ["inference?"] = true }, headers(self))
end

-- JSON's nulls are what is not there.
local function plain(entity)
  local record = {}
  for name, value in pairs(entity) do
    if value ~= core.null then record[name] = value end
  end
  return record
end

--- Reads `self.records` by key and `self.lock`; true, or nil and a sentence.
function Store:load()
  local data, problem = self:query { [NAMESPACE] = {} }
  if not data then return nil, problem end
  self.records, self.lock = {}, nil
  for _, entity in ipairs(data[NAMESPACE] or {}) do
    local record = plain(entity)
    if record.key == "lock" then
      self.lock = record
    elseif record.key then
      self.records[record.key] = record
    end
  end
  return true
end

local function transact(self, ops)
  return self.to:ask("POST", "/admin/transact", { steps = setmetatable(ops, core.array_mt) }, headers(self))
end

-- ---- the namespace ----

local function lacks(self)
  local pulled, problem = push.pull(self.to)
  if not pulled then return nil, problem end
  local schema
  schema, problem = push.schema_of(pulled)
  if not schema then return nil, problem end
  schema.entities[NAMESPACE] = ENTITY
  return push.plan(pulled, schema)
end

--- Makes the namespace and its rule when they are missing. Two may do so at once: who comes second finds it.
function Store:setup()
  local plan, ok, problem
  for _ = 1, 5 do
    plan, problem = lacks(self)
    if not plan then return nil, problem end
    if #plan.steps == 0 then return push.guard(self.to, { NAMESPACE }) end
    ok, problem = push.apply(self.to, plan, function() end)
    if not ok then task.sleep(50) end
  end
  return nil, problem or "the namespace " .. NAMESPACE .. " cannot be made"
end

-- ---- the lock ----

local function claim(self)
  return { fence = core.id(), by = self.by, expires = core.now() + LOCK_MS }
end

local function fence_op(self, args)
  return { "update", NAMESPACE, { "fence", self.fence }, args, { upsert = false } }
end

local function take(self, is_forced)
  local ok, problem = self:load()
  if not ok then return nil, problem end
  local lock, claimed = self.lock, claim(self)
  if not lock then
    claimed.key = "lock"
    ok, problem = transact(self, { { "create", NAMESPACE, core.id(), claimed } })
  elseif is_forced or (lock.expires or 0) < core.now() then
    -- By the fence that was read: whoever is faster changes it.
    ok, problem = transact(self, {
      { "update", NAMESPACE, { "fence", lock.fence }, claimed, { upsert = false } } })
  else
    return nil, ("another run, of %s, holds the lock for %.0f s more; when it is dead, --unlock takes it over"):format(
      lock.by or "somebody", math.max(1, (lock.expires - core.now()) / 1000)), true
  end
  if not ok then return nil, problem end
  self.fence, self.is_lost = claimed.fence, nil
  return true
end

-- A run may take long over one batch: the lock is kept meanwhile.
local function keep(self)
  self.timer = task.every(LOCK_MS / 3, function()
    if self.fence then transact(self, { fence_op(self, { expires = core.now() + LOCK_MS }) }) end
  end)
end

--- Takes the lock; `is_forced` from whoever has it. True, or nil and a sentence.
function Store:acquire(is_forced)
  local ok, problem, is_held
  -- The file of a `local:` backend is open in one process only: whoever had the lock is gone.
  is_forced = is_forced or self.to.backend ~= nil
  for _ = 1, 3 do
    ok, problem, is_held = take(self, is_forced)
    if ok then
      keep(self)
      return true
    end
    if is_held then break end -- anything else may be another run that was faster
  end
  return nil, problem
end

--- Gives the lock back.
function Store:release()
  if self.timer then self.timer:stop() end
  self.timer = nil
  if not self.fence then return end
  transact(self, { { "delete", NAMESPACE, { "fence", self.fence } } })
  self.fence = nil
end

-- Is it somebody else's by now? When nobody can be asked it is not known to be.
local function who_took_it(self)
  local fence = self.fence
  if not self:load() then return nil end
  if self.lock and self.lock.fence == fence then return nil end
  return self.lock and self.lock.by or "somebody who is done already"
end

--- Applies ops in one transaction, if this run still has the lock. True, or nil, a sentence and whether they may be
--- applied all the same.
function Store:write(ops)
  local whole = { fence_op(self, { expires = core.now() + LOCK_MS }) }
  for _, op in ipairs(ops) do whole[#whole + 1] = op end
  local ok, problem, is_unsure = transact(self, whole)
  if ok then return true end
  local other = who_took_it(self)
  if other then
    self.is_lost = true
    problem = ("the lock was taken over by %s, so this run wrote nothing more"):format(other)
  end
  return nil, problem, is_unsure
end

-- ---- records ----

--- The op that sets fields of a migration's record.
function Store.record_op(_, id, fields)
  return { "update", NAMESPACE, id, fields }
end

--- The op that removes it.
function Store.forget_op(_, id)
  return { "delete", NAMESPACE, id }
end

return { open = open, NAMESPACE = NAMESPACE, LOCK_MS = LOCK_MS }
