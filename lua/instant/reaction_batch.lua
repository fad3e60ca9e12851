--- One batch of changes on its way through a reaction's handlers and into one transaction.
--
--     items   1 2 3 4 5 6 7 8          in the order of the log
--             = = = * . * . .          = committed   * a handler runs   . waits for its turn
--             lane of a key: one at a time, in order; `concurrency` lanes at once
--
-- What handlers write is kept with their item. A flush commits the longest run of finished items behind
-- what is committed already, their writes and the position behind them in one transaction; so the
-- position never passes an item that is not handled, and writes are never ahead of it. A flush happens
-- at the end, before a handler is waited for (it failed, and is tried again later), and before a handler
-- reads (`ctx:query`), which has to see what those before it wrote.
--
-- A handler may be the end of its process each time. Which one it was nobody knows, so after a holder that did
-- not give its lease away a batch is careful: one handler at a time, each noted durably before it begins. What
-- was noted as often as a handler may fail is a dead letter.

local Future = require "instant.future"
local core = require "instant.core"
local task = require "instant.task"
local tx = require "instant.tx"

local Batch = {}
Batch.__index = Batch

-- Writes in one transaction: what more there are goes into the next one.
local MAX_STEPS = 2000

--- `run` is the reaction at work (reaction_run.lua); `changes` what its handlers are for, in order; or one that is
--- a dead letter.
function Batch.new(run, changes, letter)
  local self = setmetatable({
    run = run, items = {}, committed = 0, lanes = {}, ready = {}, letter = letter, isCareful = run.careful > 0,
  }, Batch)
  local failing = not letter and run.state.failing or nil
  for i, change in ipairs(changes) do
    local item = { index = i, change = change, attempts = 0, steps = {}, letter = letter }
    if letter then item.attempts = letter.tries or 0 end
    if failing and failing.key == change.key then item.attempts = failing.attempts end
    self.items[i] = item
  end
  if not letter then run.careful = math.max(run.careful - #changes, 0) end
  return self
end

-- ---- what a handler gets ----

local Context = {}
Context.__index = Context

local function check_open(self, name)
  if self._isOver then error(("ctx:%s: the handler has returned already"):format(name), 3) end
end

--- Writes that are committed with the reaction's position, after the handler has returned: exactly once.
function Context:transact(chunks)
  check_open(self, "transact")
  if type(chunks) ~= "table" then
    error("ctx:transact: expected a chunk or a list of chunks, got " .. type(chunks), 2)
  end
  local plain = tx.plain(chunks)
  local config = self._batch.run.config
  if not config.disableValidation then
    local ok, err = core.validate_transaction(plain, config.schema)
    if not ok then error(err, 2) end
  end
  local steps = self._item.steps
  for _, chunk in ipairs(plain.__ops and { plain } or plain) do
    for _, op in ipairs(chunk.__ops) do steps[#steps + 1] = op end
  end
end

--- Asks the backend, once everything that earlier changes wrote is committed. Waits; the data, or nil and the
--- error.
function Context:query(query, opts)
  check_open(self, "query")
  self._batch:commit_before(self._item)
  return self.db:query(query, opts):await()
end

local function context(self, item)
  return setmetatable({
    key = item.change.key, attempt = item.attempts + 1, reaction = self.run.name, db = self.run.db,
    isReplay = item.letter ~= nil, _batch = self, _item = item,
  }, Context)
end

-- ---- handlers ----

-- What is below the handler on the stack is the same each time, and not the user's.
local function describe(err)
  local text = debug.traceback(tostring(err), 2)
  return (text:gsub("\n%s*%[C%]: in function 'xpcall'.*$", ""))
end

-- nil, or what went wrong. What the handler returns counts: a future is waited for, `nil, err` is a failure.
local function call(self, item)
  local handler = self.run.handlers[item.change.action]
  local ctx = context(self, item)
  item.steps = {}
  local ok, value, err = xpcall(handler, describe, item.change, ctx)
  if ok and Future.is(value) then value, err = value:await() end
  ctx._isOver = true
  if not ok then return value end
  if value == nil and err ~= nil then return tostring(err) end
  return nil
end

local function progress(self)
  local waiting = self.waiting
  self.waiting = nil
  if waiting then waiting:resolve(true) end
end

local function finish(self, item)
  item.isDone = true
  progress(self)
end

local function bury(self, item, problem)
  local run = self.run
  run:report("error", "%s of %s %s failed for the last time and is a dead letter now: %s",
    item.change.action, item.change.etype, item.change.id, problem)
  run.stats.dead = run.stats.dead + 1
  item.isDead, item.problem = true, problem
  item.steps = item.letter and run.state.bury_again(item.letter, problem, item.attempts)
    or run.state:bury(item.change, problem, item.attempts)
  finish(self, item)
end

-- Notes that its handler begins, where that may be the end of the process. False when the lease was lost.
local function begin(self, item)
  local run = self.run
  if item.letter then
    local done, err = run:exclusive(function()
      return run:save(run.saved, run.state.count_try(item.letter, item.attempts + 1), run.state.failing)
    end)
    if err then run:report("warn", "dead letter %s cannot be handled again: %s", item.letter.id, tostring(err)) end
    if not done then return false end
  elseif self.isCareful then
    item.isBegun = true
    if not self:flush() then return false end
  else
    return true
  end
  run:fault "begun"
  return run:is_holder(self)
end

-- Until it is done or a dead letter; false when the batch is given up meanwhile.
function Batch:handle(item)
  local run = self.run
  while run:is_working(self) do
    if item.attempts >= run.retry.attempts then
      bury(self, item, "the process ended while this was handled")
      return true
    end
    if not begin(self, item) then return false end
    local problem = call(self, item)
    item.isBegun = false
    -- What a handler did is kept even if the reaction is to stop meanwhile, not if another has it now.
    if not run:is_holder(self) then return false end
    run:fault "handled"
    if not problem then
      if item.letter then item.steps[#item.steps + 1] = run.state.unbury(item.letter) end
      finish(self, item)
      return true
    end
    item.steps = {}
    -- It may have failed because everything stops: that is no attempt.
    if not run:is_working(self) then return false end
    item.attempts = item.attempts + 1
    if not self:failed(item, problem) then return false end
    if item.isDone then return true end
  end
  return false
end

--- Counts a failure: waits for the next attempt, or buries the change. False when given up meanwhile.
function Batch:failed(item, problem)
  local run = self.run
  local retry = run.retry
  if item.attempts >= retry.attempts then
    bury(self, item, problem)
    return true
  end
  local delay = math.min(retry.delay * 2 ^ (item.attempts - 1), retry.maxDelay)
  delay = math.floor(delay * (0.75 + math.random() / 2)) -- so that hosts that failed together do not come back together
  run.stats.retries = run.stats.retries + 1
  run:report("warn", "%s of %s %s failed (attempt %d of %d, again in %d ms): %s",
    item.change.action, item.change.etype, item.change.id, item.attempts, retry.attempts, delay, problem)
  if not self:flush() then return false end
  run:pause(delay)
  return run:is_working(self)
end

-- ---- lanes ----

local function sort_into_lanes(self)
  local key_of = self.run.key
  for _, item in ipairs(self.items) do
    local key = ""
    if self.run.concurrency > 1 and not self.isCareful then key = key_of(item.change) or item.change.id end
    local lane = self.lanes[key]
    if not lane then
      lane = {}
      self.lanes[key] = lane
      self.ready[#self.ready + 1] = lane
    end
    lane[#lane + 1] = item
  end
end

-- Takes lanes in the order of their first items, so that what is oldest is done first.
local function work(self, next_lane)
  local lane = next_lane()
  while lane do
    for _, item in ipairs(lane) do
      if not self:handle(item) then return end
    end
    lane = next_lane()
  end
end

--- Handles and commits everything; false when the lease was lost or the reaction is to stop.
function Batch:process()
  sort_into_lanes(self)
  local at = 0
  local function next_lane()
    at = at + 1
    return self.ready[at]
  end
  local workers = math.min(self.run.concurrency, #self.ready)
  if workers <= 1 then
    work(self, next_lane)
  else
    local all = {}
    for i = 1, workers do all[i] = task.start(work, self, next_lane) end
    local _, err = Future.all(all):await()
    if err then error(err, 0) end
  end
  return self:flush() and self.committed == #self.items
end

-- ---- commits ----

-- How many finished items from `first` on go into one transaction.
local function run_of_finished(self, first, most)
  local steps, last = {}, first - 1
  while last - first + 1 < most and self.items[last + 1] and self.items[last + 1].isDone do
    local more = self.items[last + 1].steps
    if last >= first and #steps + #more > MAX_STEPS then break end
    for _, step in ipairs(more) do steps[#steps + 1] = step end
    last = last + 1
  end
  return last, steps
end

-- What has to be known of the first item that is not committed, should the process end now.
local function note_of(self, head)
  local known = self.run.state.failing
  if self.letter then return known end -- which is of another change
  local attempts = head and head.attempts + (head.isBegun and 1 or 0) or 0
  if attempts == 0 then return nil end
  if known and known.key == head.change.key and known.attempts == attempts then return known end
  return { key = head.change.key, attempts = attempts }
end

-- A transaction that is refused has one item at fault, or several: halves find the first of them.
local function commit_some(self, most)
  local run = self.run
  local first = self.committed + 1
  local last, steps = run_of_finished(self, first, most)
  local note = note_of(self, self.items[last + 1])
  if last < first then return note == run.state.failing or run:save(run.saved, nil, note), 0 end
  run:fault "commit"
  local done, err = run:save(self.items[last].change.position, steps, note)
  if done then
    run:fault "committed"
    self.committed = last
    run.stats.handled = run.stats.handled + last - first + 1
    progress(self)
    return true, last - first + 1
  end
  if err == nil then return false end -- the lease is lost
  if last > first then return true, 0, math.max(1, math.floor((last - first + 1) / 2)) end
  return true, 0, 1, err, self.items[first]
end

-- The writes of one item are refused: that counts as a failure of its handler.
local function settle_refused(self, item, err)
  if item.isDead then error(("a dead letter cannot be written: %s"):format(tostring(err)), 0) end
  item.isDone, item.steps = false, {}
  item.attempts = item.attempts + 1
  if not self:failed(item, tostring(err)) then return false end
  return item.isDone or self:handle(item)
end

--- Commits what is finished behind what is committed; false when the lease was lost.
function Batch:flush()
  local run = self.run
  while run:is_holder(self) do
    local done, item, err = run:exclusive(function()
      local most = #self.items
      while true do
        local ok, count, fewer, err, item = commit_some(self, most)
        if not ok then return false end
        if err then return true, item, err end
        if not fewer and count == 0 then return true end
        most = fewer or most
      end
    end)
    if not done then return false end
    if not item then return true end
    -- Another that flushes meanwhile finds it not done, and stops in front of it.
    if not settle_refused(self, item, err) then return false end
  end
  return false
end

--- Waits until everything before this item is committed. Raises when that will not be: what is before it may not
--- have been begun when the reaction is to stop.
function Batch:commit_before(item)
  while self.committed < item.index - 1 do
    local is_ours = self:flush()
    if is_ours and self.committed >= item.index - 1 then return end
    if is_ours and self.run:is_working(self) then
      self.waiting = self.waiting or Future.new()
      self.waiting:await()
    end
    if not self.run:is_working(self) then error("the reaction stops, or another process has it", 0) end
  end
end

--- Whoever waits looks again: it stops, or is over.
function Batch:wake()
  progress(self)
end

return Batch
