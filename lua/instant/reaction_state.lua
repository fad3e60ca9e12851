--- Where a reaction is, kept in the app itself: one entity of `_reactions` for each.
--
--     token     unique; every write by the holder names the one before and sets another
--     owner     who holds the lease; null: nobody
--     position  up to where changes are handled, a text of the source's own
--
-- The token is lease, fence and guard in one. A write is `update` of the entity that has the old token,
-- which fails as a whole when there is none: whoever lost the lease, ran twice or was cut off can
-- neither move the position nor write what its handlers wanted to. It is a plain transaction, with
-- what handlers write in it, so that both happen or neither.

local core = require "instant.core"
local push = require "instant.schema_push"
local request = require "instant.admin_request"
local task = require "instant.task"

local State = {}
State.__index = State

local function array(list) return setmetatable(list, core.array_mt) end

State.NAMESPACE, State.DEAD = push.REACTIONS, push.DEAD_LETTERS

-- Who this process is: told apart from another start of the same machine's process by its time.
local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*l"
  if file then file:close() end
  return text
end

-- The 22nd field of /proc/PID/stat; the second, in brackets, may hold anything.
local function start_time(pid)
  local stat = read("/proc/" .. pid .. "/stat")
  local rest = stat and stat:match "^.*%) (.*)$"
  if not rest then return nil end
  local n = 0
  for field in rest:gmatch "%S+" do
    n = n + 1
    if n == 20 then return field end
  end
end

-- Containers may share the machine's name, but not see each other's processes.
local function machine()
  return table.concat({
    read "/proc/sys/kernel/random/boot_id" or "?", read "/proc/sys/kernel/hostname" or "?", core.pid_namespace or "?",
  }, "/")
end

--- A name of this process for leases: `machine/pid/start/random`.
function State.identity()
  local pid = (read "/proc/self/stat" or "0"):match "^%d+"
  return table.concat({ machine(), pid, start_time(pid) or "?", core.id() }, "/")
end

-- A process of this machine that is gone will not come back; of others nothing is known.
local function is_gone(owner)
  local where, pid, start = owner:match "^(.+)/(%d+)/([^/]+)/[^/]+$"
  return where == machine() and start ~= "?" and start_time(pid) ~= start
end

function State.new(config, name)
  return setmetatable({ config = config, name = name, owner = State.identity(), asked = {} }, State)
end

-- Every request can be given up by `abandon`.
local function send(self, method, route, body)
  local asked = request.send(self.config, method, route, { body = body, timeout = self.patience })
  self.asked[asked] = true
  local answer, err = asked:await()
  self.asked[asked] = nil
  return answer, err
end

local function ask(self, route, body)
  return send(self, "POST", route, body)
end

--- A backend that does not answer is waited for no longer: what is asked fails, what is asked from now on is asked
--- once, for `patience` ms.
function State:abandon(patience)
  self.isOver, self.patience = true, patience
  local all = {}
  for asked in pairs(self.asked) do all[#all + 1] = asked end
  for _, asked in ipairs(all) do
    if asked.cancel then asked.cancel() end
  end
end

local function query(self, namespace, where)
  local answer, err = ask(self, "/admin/query", {
    query = { [namespace] = where and { ["$"] = { where = where } } or {} }, ["inference?"] = false,
  })
  if not answer then return nil, err end
  return answer[namespace] or {}
end

local function transact(self, steps)
  return ask(self, "/admin/transact", { steps = steps, ["throw-on-missing-attrs?"] = false })
end

-- Will asking again with the same words end the same way?
local function is_final(err)
  return type(err) ~= "table" or (err.status or 0) >= 400 and err.status < 500 and err.status ~= 429
end
State.isFinal = is_final

-- Asks until there is an answer that means something. nil when `self` is to end meanwhile.
local function persist(self, fn)
  local delay = 50
  while true do
    local value, err = fn()
    if value ~= nil or is_final(err) then return value, err end
    if self.isOver then return nil, err end
    if self.onTrouble then self.onTrouble(err) end
    task.sleep(delay)
    delay = math.min(delay * 2, 5000)
  end
end

--- The entity of this name as it is now; false when there is none; nil and the error.
function State:load()
  local rows, err = persist(self, function() return query(self, State.NAMESPACE, { name = self.name }) end)
  if not rows then return nil, err end
  return rows[1] or false
end

local function new_token(self)
  return self.name .. " " .. core.id()
end

local function present(value)
  if value == core.null then return nil end
  return value
end

local function decode(text)
  return type(text) == "string" and core.json_decode(text) or nil
end

-- What the entity says, as this holder's.
local function adopt(self, row)
  self.id, self.token = row.id, row.token
  self.position = row.position
  self.failing = decode(row.failing)
  self.wake = present(row.wake)
end

local function guard(token, fields)
  return { "update", State.NAMESPACE, array { "token", token }, fields, { upsert = false } }
end

--- Writes `fields` of the entity and `steps` (ops of chunks), all or nothing. True when that is so, whoever
--- was told what; false when another has the lease or the entity is gone; nil and the error when the
--- steps are at fault, and then nothing was written.
function State:commit(fields, steps)
  local token = new_token(self)
  fields.token = token
  local all = array { guard(self.token, fields) }
  for _, step in ipairs(steps or {}) do all[#all + 1] = step end
  local is_unsure = false
  local done, err = persist(self, function()
    if is_unsure then
      -- The last one may have got through though its answer did not.
      local row, why = self:load()
      if row == nil then return nil, why end
      if row and row.token == token then return true end
    end
    is_unsure = true
    return transact(self, all)
  end)
  if done then
    self.token = token
    return true
  end
  if not is_final(err) then return nil, err end
  local row, why = self:load()
  if row == nil then return nil, why end
  if row and row.token == token then
    self.token = token
    return true
  end
  if row and row.token == self.token then return nil, err end
  return false
end

-- ---- the lease ----

-- The same for the same name, so that two who make it at once cannot make two.
local function id_of(name)
  local hex = core.weak_hash { "reaction", name } .. core.weak_hash { name, "reaction" }
  return ("%s-%s-4%s-8%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(14, 16), hex:sub(18, 20), hex:sub(21, 32))
end

-- A lookup is what makes an attr that is unique.
local function make_attrs(self)
  local probe = array { "token", "" }
  local made, err = transact(self, array { { "update", State.NAMESPACE, probe, {} } })
  if not made then return nil, err end
  return transact(self, array { { "delete", State.NAMESPACE, probe } })
end

-- Makes the entity, unless another is quicker.
local function create(self, position)
  local made, err = persist(self, function() return make_attrs(self) end)
  if not made then return nil, err end
  local _
  _, err = persist(self, function()
    return transact(self, array { { "create", State.NAMESPACE, id_of(self.name), {
      name = self.name, token = new_token(self), owner = core.null, position = position,
      failing = core.null, wake = core.null, createdAt = core.now(),
    } } })
  end)
  local row, why = self:load()
  if row == false then return nil, err end
  return row, why
end

-- The two namespaces are nobody's but admins': dead letters show whole entities, past the rules.
local function close_namespaces(self)
  local to = {}
  function to.ask(_, method, route, body) return send(self, method, route, body) end
  function to.route(_, rest) return "/dash/apps/" .. self.config.appId .. "/" .. rest end
  return persist(self, function() return push.guard(to, { State.NAMESPACE, State.DEAD }) end)
end

--- Tries to become the holder: true; false when another is. The lease of a process that is gone is free at
--- once, that of another machine when its token has not changed for `lease` ms by the clock here.
--- `first()` gives the position of a reaction that is new. `wasLeft` then says whether the holder before ended
--- without giving it away.
function State:acquire(lease, first)
  local row, err = self:load()
  if row == nil then return nil, err end
  local position
  if row == false then
    position, err = first()
    if not position then return nil, err end
  end
  if not self.isClosed then
    self.isClosed, err = close_namespaces(self)
    if not self.isClosed then return nil, err end
  end
  if row == false then
    row, err = create(self, position)
    if not row then return nil, err end
  end
  local owner = present(row.owner)
  if owner and owner ~= self.owner and not is_gone(owner) then
    if self.seen ~= row.token then
      self.seen, self.seenAt = row.token, core.now()
    end
    if core.now() - self.seenAt < lease then return false end
  end
  adopt(self, row)
  self.wasLeft = owner ~= nil
  return self:commit({ owner = self.owner })
end

--- After `commit` said false: is the lease still this process's, moved by an operator's hand? nil: the entity
--- is gone, the reaction was deleted.
function State:recover()
  local row, err = self:load()
  if row == nil then return false, err end
  if row == false then return nil end
  if row.owner ~= self.owner then return false end
  adopt(self, row)
  return true
end

function State:release()
  return self:commit({ owner = core.null })
end

-- ---- dead letters ----

--- Steps that keep a change that could not be handled.
function State:bury(change, err, attempts)
  return {
    { "update", State.DEAD, core.id(), {
      reaction = self.name, key = change.key, change = core.json_encode(change), error = tostring(err),
      attempts = attempts, status = "dead", at = core.now(),
    } },
  }
end

--- Steps for one that failed again.
function State.bury_again(letter, err, attempts)
  return {
    { "update", State.DEAD, letter.id, {
      error = tostring(err), attempts = attempts, status = "dead", at = core.now(), tries = 0,
    }, { upsert = false } },
  }
end

--- Steps that say how often it was begun since an operator asked for it.
function State.count_try(letter, tries)
  return { { "update", State.DEAD, letter.id, { tries = tries }, { upsert = false } } }
end

--- The step that takes one away.
function State.unbury(letter)
  return { "delete", State.DEAD, letter.id }
end

--- Those of this reaction with that status, oldest first.
function State:dead(status)
  local rows, err = persist(self, function()
    return query(self, State.DEAD, { reaction = self.name, status = status })
  end)
  if not rows then return nil, err end
  table.sort(rows, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.id < b.id
  end)
  for _, row in ipairs(rows) do row.change, row.tries = decode(row.change), present(row.tries) end
  return rows
end

-- ---- by an operator's hand ----

--- All reactions of the app.
function State.list(config)
  return query({ config = config, asked = {} }, State.NAMESPACE, nil)
end

--- Asks for dead letters again: those of `ids`, or all. Gives how many; the holder sees it at its next
--- look at its lease.
function State:replay(ids)
  local rows, err = self:dead "dead"
  if not rows then return nil, err end
  local wanted, steps = {}, array {}
  for _, id in ipairs(ids or {}) do wanted[id] = true end
  for _, row in ipairs(rows) do
    if not ids or wanted[row.id] then
      steps[#steps + 1] = { "update", State.DEAD, row.id, { status = "retry", tries = 0 }, { upsert = false } }
    end
  end
  local count = #steps
  if count == 0 then return 0 end
  steps[#steps + 1] = { "update", State.NAMESPACE, id_of(self.name), { wake = core.id() }, { upsert = false } }
  local done
  done, err = transact(self, steps)
  if not done then return nil, err end
  return count
end

--- Puts it elsewhere in the log; the holder goes on from there.
function State:reset(position)
  local row, err = self:load()
  if not row then return row, err end
  self.token = row.token
  return self:commit { position = position, failing = core.null }
end

--- Forgets it, with its dead letters. The holder stops.
function State:delete()
  local row, err = self:load()
  if not row then return row, err end
  local steps = array { { "delete", State.NAMESPACE, row.id } }
  for _, status in ipairs { "dead", "retry" } do
    local rows
    rows, err = self:dead(status)
    if not rows then return nil, err end
    for _, dead in ipairs(rows) do steps[#steps + 1] = { "delete", State.DEAD, dead.id } end
  end
  local done
  done, err = transact(self, steps)
  if not done then return nil, err end
  return true
end

return State
