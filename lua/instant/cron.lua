--- Jobs at times of the calendar: `instant.cron("*/5 * * * *", fn, { timeZone = "Europe/Berlin" })`.
--
--     minute hour day-of-month month day-of-week      0-59 0-23 1-31 1-12 0-7 (0 and 7: Sunday)
--     *   5   1-5   mon-fri   */10   8-18/2   1,15    @hourly @daily @weekly @monthly @yearly
--
-- When both days are restricted, either is enough, as everywhere. When clocks change: a job whose hours
-- are given runs once a day (at the end of the gap that its time falls into, and the first of two times
-- that are the same); one whose hour begins with `*` runs by real time.

local Future = require "instant.future"
local core = require "instant.core"
local lifecycle = require "instant.lifecycle"
local log = require "instant.log"
local task = require "instant.task"
local zones = require "instant.zone"

local cron = {}

local DAY = 86400
-- The longest without a match: February 29 across a year that is none.
local MAX_DAYS = 366 * 9
-- The clock is looked at so often, in ms: it may be set, and a machine may sleep.
local LONGEST_WAIT = 30000
-- What runs later than that was missed.
local LATE = 60000

local FIELDS = {
  { name = "minute", min = 0, max = 59 }, { name = "hour", min = 0, max = 23 },
  { name = "day of month", min = 1, max = 31 },
  { name = "month", min = 1, max = 12, names = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7,
    aug = 8, sep = 9, oct = 10, nov = 11, dec = 12 } },
  { name = "day of week", min = 0, max = 7, names = { sun = 0, mon = 1, tue = 2, wed = 3, thu = 4, fri = 5,
    sat = 6 } },
}

local MACROS = {
  ["@hourly"] = "0 * * * *", ["@daily"] = "0 0 * * *", ["@midnight"] = "0 0 * * *", ["@weekly"] = "0 0 * * 0",
  ["@monthly"] = "0 0 1 * *", ["@yearly"] = "0 0 1 1 *", ["@annually"] = "0 0 1 1 *",
}

-- ---- reading ----

local function number_of(field, text)
  local n = field.names and field.names[text:lower()] or text:match "^%d+$" and tonumber(text)
  if not n then return nil, ("`%s` is no %s"):format(text, field.name) end
  if n < field.min or n > field.max then
    return nil, ("%s must be from %d to %d, got %s"):format(field.name, field.min, field.max, text)
  end
  return n
end

local function add_part(field, set, part)
  local range, step = part:match "^([^/]+)/(%d+)$"
  if not range then range = part end
  step = tonumber(step or 1)
  if step < 1 then return ("the step of `%s` must be at least 1"):format(part) end
  local first, last = field.min, field.max
  if range ~= "*" then
    local from, to = range:match "^(%w+)%-(%w+)$"
    local problem
    first, problem = number_of(field, from or range)
    if not first then return problem end
    last = first
    if to then last, problem = number_of(field, to) end
    if not last then return problem end
    if not to and part ~= range then return ("`%s` has a step without a range"):format(part) end
    if last < first then return ("`%s` ends before it begins"):format(range) end
  end
  for n = first, last, step do set[n] = true end
end

local function parse_field(field, text)
  local set = {}
  for part in (text .. ","):gmatch "([^,]*)," do
    local problem = add_part(field, set, part)
    if problem then return nil, problem end
  end
  if field.max == 7 and set[7] then set[0] = true end
  return set
end

--- What an expression means, for `cron.next`; nil and what is wrong with it.
function cron.parse(text)
  if type(text) ~= "string" then return nil, "expected text, got " .. type(text) end
  local words = {}
  for word in (MACROS[text] or text):gmatch "%S+" do words[#words + 1] = word end
  if #words ~= 5 then
    return nil, ("`%s` must have five fields: minute, hour, day of month, month, day of week"):format(text)
  end
  local sets = {}
  for i, field in ipairs(FIELDS) do
    local problem
    sets[i], problem = parse_field(field, words[i])
    if not sets[i] then return nil, ("`%s`: %s"):format(text, problem) end
  end
  return {
    minutes = sets[1], hours = sets[2], days = sets[3], months = sets[4], weekdays = sets[5],
    isEveryDay = words[3]:sub(1, 1) == "*", isEveryWeekday = words[5]:sub(1, 1) == "*",
    isEveryHour = words[2]:sub(1, 1) == "*",
  }
end

-- ---- the next time ----

local function has_day(spec, days)
  local _, month, day = zones.date(days)
  if not spec.months[month] then return false end
  local is_day, is_weekday = spec.days[day], spec.weekdays[(days + 4) % 7] -- 1970-01-01 was a Thursday
  if spec.isEveryDay or spec.isEveryWeekday then return is_day and is_weekday end
  return is_day or is_weekday
end

-- By the calendar: times on the wall, each once.
local function next_on_wall(spec, zone, from)
  local wall = from + zone:offset(from)
  local today = math.floor(wall / DAY)
  for days = today, today + MAX_DAYS do
    if has_day(spec, days) then
      local first = days == today and math.floor((wall % DAY) / 60) or 0
      for minute = first, 1439 do
        if spec.hours[math.floor(minute / 60)] and spec.minutes[minute % 60] then
          local utc = zone:utc(days * DAY + minute * 60)
          if utc > from then return utc end
        end
      end
    end
  end
end

-- By real time: minutes of UTC whose time on the wall matches.
local function next_in_time(spec, zone, from)
  local utc = (math.floor(from / 60) + 1) * 60
  local stop = from + MAX_DAYS * DAY
  while utc < stop do
    local wall = utc + zone:offset(utc)
    local of_day = wall % DAY
    if not has_day(spec, math.floor(wall / DAY)) or not spec.hours[math.floor(of_day / 3600)] then
      utc = utc + 3600 - of_day % 3600
    elseif spec.minutes[math.floor(of_day % 3600 / 60)] then
      return utc
    else
      utc = utc + 60
    end
  end
end

--- The first time behind `from` (ms since the epoch) at which it is due, in ms; nil when it never is.
--- `zone` of `zones.get`.
function cron.next(spec, from, zone)
  local find = spec.isEveryHour and next_in_time or next_on_wall
  local utc = find(spec, zone, math.floor(from / 1000))
  return utc and utc * 1000
end

-- ---- jobs ----

local Job = {}
Job.__index = Job

local function run(self)
  self.running = self.running + 1
  self.runs = self.runs + 1
  task.start(self.fn, self):catch(function(err)
    self.failures = self.failures + 1
    log.error("the job %s failed: %s", self.name, tostring(err))
  end):finally(function()
    self.running = self.running - 1
    if self.running == 0 and self.ended then self.ended:resolve(true) end
  end)
end

local function due(self, now)
  local is_late = now - self.at >= LATE
  if self.running > 0 and not self.overlap then
    self.skipped = self.skipped + 1
    log.warn("the job %s is left out: the run before has not ended", self.name)
  elseif is_late and self.missed == "skip" then
    self.skipped = self.skipped + 1
    log.warn("the job %s is left out: its time was %d s ago", self.name, math.floor((now - self.at) / 1000))
  else
    run(self)
  end
end

local function schedule(self)
  if self.isOver then return end
  local now = core.now()
  if self.at and now >= self.at then
    due(self, now)
    self.at = nil
  end
  if not self.at then
    self.at = cron.next(self.spec, now, self.zone)
  end
  self.timer = core.timer(math.max(1, math.min(self.at - now, LONGEST_WAIT)), 0, function() schedule(self) end)
end

--- When it runs next, in ms since the epoch.
function Job:next()
  return self.at
end

--- Ends it; the future comes when a run under way has ended.
function Job:stop()
  if not self.ended then
    self.isOver, self.ended = true, Future.new()
    self.forget()
    if self.timer then self.timer:stop() end
    if self.running == 0 then self.ended:resolve(true) end
  end
  return self.ended
end

local TYPES = { timeZone = "string", overlap = "boolean", missed = "string", name = "string" }

local function check(expression, fn, options)
  if type(fn) ~= "function" then error("cron: expected a function, got " .. type(fn), 3) end
  if type(options) ~= "table" then error("cron: options must be a table, got " .. type(options), 3) end
  for name, value in pairs(options) do
    if not TYPES[name] then error(("cron: unknown option `%s`"):format(tostring(name)), 3) end
    if type(value) ~= TYPES[name] then
      error(("cron: `%s` must be a %s, got %s"):format(name, TYPES[name], type(value)), 3)
    end
  end
  if options.missed and options.missed ~= "once" and options.missed ~= "skip" then
    error('cron: `missed` must be "once" or "skip"', 3)
  end
  local spec, problem = cron.parse(expression)
  if not spec then error("cron: " .. problem, 3) end
  local zone
  zone, problem = zones.get(options.timeZone or "UTC")
  if not zone then error("cron: " .. problem, 3) end
  if not cron.next(spec, core.now(), zone) then error(("cron: `%s` never comes"):format(expression), 3) end
  return spec, zone
end

--- Calls `fn(job)` as a task at the times of the expression. Options: `timeZone` ("UTC"), `overlap` (false:
--- left out while the run before goes on), `missed` ("once": what was missed, because the machine slept or
--- the program was busy, is run once, late; "skip": not), `name` for the log. The result has `:stop()`,
--- `:next()`, `runs`, `skipped`, `failures`.
function cron.start(expression, fn, options)
  local spec, zone = check(expression, fn, options or {})
  options = options or {}
  local self = setmetatable({
    spec = spec, zone = zone, fn = fn, name = options.name or expression, overlap = options.overlap or false,
    missed = options.missed or "once", running = 0, runs = 0, skipped = 0, failures = 0,
  }, Job)
  self.forget = lifecycle.add(function() return self:stop() end)
  schedule(self)
  return self
end

return cron
