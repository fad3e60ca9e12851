--- A reaction at work: gets the lease, follows the log, handles, commits, and again.
--
--     standing by ──lease──> holding ──page of changes──> batch ──> position
--          ^                    │ lease lost: what was not committed is forgotten here, and is
--          └────────────────────┘ done by whoever has it now
--
-- Memory is bounded by two pages: the next one is asked for while one is handled.

local Batch = require "instant.reaction_batch"
local Future = require "instant.future"
local State = require "instant.reaction_state"
local core = require "instant.core"
local log = require "instant.log"
local source = require "instant.reaction_source"
local task = require "instant.task"

local Run = {}
Run.__index = Run

-- Of a long poll, in s. A request in this process cannot be called back, so it is short.
local WAIT, LOCAL_WAIT = 20, 1
--- How long a reaction that is to stop waits for a backend that does not answer, in ms.
Run.PATIENCE = 5000

--- What a test does at a point of the work, by the point's name.
Run.onFault = nil

function Run.new(options, config, db)
  local self = setmetatable({
    name = options.name, config = config, db = db, handlers = options.handlers, etype = options.etype,
    matches = options.matches, concurrency = options.concurrency, key = options.key, retry = options.retry,
    lease = options.lease, page = options.batch, from = options.from, alarm = Future.new(), pauses = {},
    careful = 0, stats = { handled = 0, dead = 0, retries = 0 }, status = "starting", ended = Future.new(),
  }, Run)
  self.state = State.new(config, self.name)
  self.state.onTrouble = function(err) self:report("warn", "the backend does not answer: %s", tostring(err)) end
  self.wait = config.apiURI:match "^local:" and LOCAL_WAIT or WAIT
  return self
end

function Run:fault(point)
  if Run.onFault then Run.onFault(point, self) end
end

function Run:report(level, text, ...)
  log[level](("reaction %s: " .. text):format(self.name, ...))
end

-- ---- one at a time ----

--- Calls `fn`, never while another is in here: the token has one next value.
function Run:exclusive(fn)
  while self.busy do self.busy:await() end
  local done = Future.new()
  self.busy = done
  local ok, a, b, c = pcall(fn)
  self.busy = nil
  done:resolve(true)
  if not ok then error(a, 0) end
  return a, b, c
end

--- Waits, less when the reaction is to stop.
function Run:pause(ms)
  if self.isStopping then return end
  local pause = Future.new()
  local timer = core.timer(math.floor(ms), 0, function() pause:resolve(true) end)
  self.pauses[pause] = true
  pause:await()
  self.pauses[pause] = nil
  timer:stop()
end

local function wake(self)
  local alarm = self.alarm
  self.alarm = Future.new()
  alarm:resolve(true)
end

local function either(a, b)
  local first = Future.new()
  local function settled() first:resolve(true) end
  a:next(settled, settled)
  b:next(settled, settled)
  first:await()
end

-- ---- the lease ----

function Run:is_holder(batch)
  return self.isHolder and self.batch == batch
end

function Run:is_working(batch)
  return not self.isStopping and self:is_holder(batch)
end

-- The commit was refused for good: is this still ours, moved by an operator, or another's?
local function lost(self)
  local ours, err = self.state:recover()
  self.batch = nil
  if ours then
    self.position, self.isMoved = self.state.position, true
    self:report("info", "goes on from %s, where it was put", self.position)
  else
    self.isHolder = false
    if ours == nil then
      self.isDeleted = true
    else
      self:report("warn", "another process has it now%s", err and ": " .. tostring(err) or "")
    end
  end
  wake(self)
end

--- Commits steps with a position and `failing`: `{key=, attempts=}` of the change behind it, if one was begun. True;
--- false when the lease is not ours; nil and the error when the steps are refused. Inside `exclusive`.
function Run:save(position, steps, failing)
  local fields = { position = position }
  if failing ~= self.state.failing then fields.failing = failing and core.json_encode(failing) or core.null end
  local done, err = self.state:commit(fields, steps)
  if done then
    self.state.failing, self.saved, self.savedAt = failing, position, core.now()
    return true
  end
  if err and steps and #steps > 0 and State.isFinal(err) then return nil, err end
  if err then error(err, 0) end
  lost(self)
  return false
end

-- Proves that the holder lives, and looks for what an operator did. Alone; ends with the lease.
local function keep_lease(self, term)
  while true do
    self:pause(self.lease / 3)
    if not self.isHolder or self.isStopping or self.term ~= term then return end
    self:exclusive(function()
      if self.isHolder and core.now() - self.savedAt >= self.lease / 3 then
        -- Not past what is committed: between batches all of the page before is.
        self:save(self.batch and self.saved or self.position, nil, self.state.failing)
      end
    end)
    local row = self.isHolder and self.state:load()
    if row and row.wake ~= core.null and row.wake ~= self.state.wake then
      self.state.wake, self.isReplaying = row.wake, true
      wake(self)
    elseif row == false or row and row.token ~= self.state.token and not self.busy then
      self:exclusive(function() self:save(self.saved, nil, self.state.failing) end)
    end
  end
end

-- ---- pages ----

local function ask(self, position)
  return source.ask(self.config, position, self.etype, self.wait, self.page)
end

-- The next page, or nil when the wait was cut short.
local function next_page(self)
  local delay = 100
  while true do
    local asked = self.asked
    if not asked then
      asked = ask(self, self.position)
      self.asked = asked
    end
    if asked.state == "pending" then either(asked, self.alarm) end
    if asked.state == "pending" then return nil end
    self.asked = nil
    local page, err = asked:await()
    if page then return page end
    if State.isFinal(err) then error(source.explain(err), 0) end
    self:report("warn", "the change feed does not answer: %s", tostring(err))
    self:pause(delay)
    if self.isStopping or not self.isHolder then return nil end
    delay = math.min(delay * 2, 5000)
  end
end

local function forget_asked(self)
  local asked = self.asked
  self.asked = nil
  if not asked then return end
  asked.handled = true
  if asked.cancel then asked.cancel() end
end

local function present(value)
  if value == core.null then return nil end
  return value
end

-- What entered the query is created to its handler, what left it deleted.
local function action_of(self, raw)
  if not self.matches then return raw.action end
  local before, after = present(raw.before), present(raw.after)
  local was, is = before and self.matches(before), after and self.matches(after)
  return is and (was and "update" or "create") or was and "delete" or nil
end

local function change_of(self, raw)
  local action = action_of(self, raw)
  if not action or not self.handlers[action] then return nil end
  return {
    etype = raw.etype, id = raw.id, action = action, old = present(raw.before), new = present(raw.after),
    txId = raw.txId, at = raw.at, who = present(raw.who), key = raw.idempotencyKey, position = raw.position,
  }
end

-- ---- work ----

local function process(self, changes)
  local batch = Batch.new(self, changes)
  self.batch = batch
  local ok, done = pcall(batch.process, batch)
  batch:wake()
  if self.batch == batch then self.batch = nil end
  if not ok then error(done, 0) end
  return done
end

local function handle_page(self, page)
  local changes = {}
  for _, raw in ipairs(page.changes) do changes[#changes + 1] = change_of(self, raw) end
  -- The next page comes while this one is handled.
  self.asked = page.more and ask(self, page.position) or nil
  if #changes > 0 and not process(self, changes) then
    forget_asked(self)
    -- Part of the page is done: not back to where it begins.
    if not self.isMoved then self.position = self.saved end
    return
  end
  if not self.isMoved then self.position = page.position end
end

-- Dead letters that an operator asked for again, each by itself.
local function replay(self)
  self.isReplaying = false
  local letters, err = self.state:dead "retry"
  if not letters then error(err, 0) end
  for _, letter in ipairs(letters) do
    local change = letter.change
    if not self.isHolder or self.isStopping then return end
    if type(change) == "table" and self.handlers[change.action] then
      change.position = self.position -- it moves nothing
      local batch = Batch.new(self, { change }, letter)
      self.batch = batch
      batch:process()
      if self.batch == batch then self.batch = nil end
    end
  end
end

local function hold(self)
  self.status, self.isHolder, self.isMoved = "running", true, false
  self.position, self.saved, self.savedAt = self.state.position, self.state.position, core.now()
  self.isReplaying = true
  -- One of the changes that the last holder had at work may have been its end, and no more than a page of them.
  self.careful = self.state.wasLeft and self.page or 0
  self:report("info", "runs from %s on", self.position)
  self.term = (self.term or 0) + 1
  local keeper = task.start(keep_lease, self, self.term)
  keeper:catch(function(err) self.failure = self.failure or err; self.isHolder = false; wake(self) end)
  while self.isHolder and not self.isStopping do
    self.isMoved = false
    if self.isReplaying then replay(self) end
    local page = next_page(self)
    if self.isMoved or not self.isHolder then
      forget_asked(self)
    elseif page then
      handle_page(self, page)
      self.status = page.more and "running" or "waiting"
    end
  end
  forget_asked(self)
end

local function let_go(self)
  if not self.isHolder then return end
  self:exclusive(function()
    if self.position ~= self.saved and not self.batch then self:save(self.position, nil, self.state.failing) end
  end)
  self.isHolder = false
  self.state:release()
end

local function follow(self)
  while not self.isStopping and not self.isDeleted and not self.failure do
    local held, err = self.state:acquire(self.lease, function() return source.position(self.config, self.from) end)
    if held == nil then error(err, 0) end
    if held then
      hold(self)
      let_go(self)
    else
      self.status = "standing by"
      self:pause(self.lease / 5)
    end
  end
end

--- Works until it is stopped, deleted or cannot go on.
function Run:start()
  core.hold()
  task.start(follow, self):next(nil, function(err) self.failure = self.failure or err end):next(function()
    if self.isCrashed then return end
    self.isHolder = false
    forget_asked(self)
    if self.patience then self.patience:stop() end
    core.release()
    self.status = self.failure and "failed" or self.isDeleted and "deleted" or "stopped"
    if self.failure then
      self:report("error", "stopped: %s", tostring(self.failure))
      self.ended:reject(self.failure)
      self.ended.handled = true
    else
      self:report("info", "%s", self.status)
      self.ended:resolve(self.stats)
    end
  end)
end

--- Lets the handlers that run finish, commits what is done, gives the lease away. The future is `ended`.
function Run:stop()
  self.isStopping = true
  -- A backend that does not answer must not keep it for ever.
  if not self.patience and self.ended.state == "pending" then
    self.patience = core.timer(Run.PATIENCE, 0, function() self.state:abandon(Run.PATIENCE) end)
  end
  for pause in pairs(self.pauses) do pause:resolve(true) end
  if self.batch then self.batch:wake() end
  wake(self)
  return self.ended
end

--- Ends without a word to anybody, as a process that is killed.
function Run:crash()
  if self.isCrashed then return end
  self.isStopping, self.isHolder, self.batch, self.isCrashed = true, false, nil, true
  core.release()
  for pause in pairs(self.pauses) do pause:resolve(true) end
  wake(self)
end

return Run
