--- Time zones of the system's database, read from its files: offsets from UTC, without touching the
--- process' own TZ.
--
--     local zone, err = zones.get "Europe/Berlin"
--     zone:offset(utc)          -- seconds to add to UTC for the time on the wall
--     zone:utc(wall)            -- the first instant that has this time on the wall, or the end of the
--                                  gap that it falls into
--
-- A TZif file holds the changes so far, and in its last line the rule for all later ones (RFC 8536).

local zones = {}

local FOLDERS = { "/usr/share/zoneinfo/", "/usr/lib/zoneinfo/", "/usr/share/lib/zoneinfo/" }
local DAY = 86400

-- ---- calendar ----

--- Days since 1970-01-01 of a date in the Gregorian calendar.
function zones.days(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = math.floor(year / 400)
  local of_era = year - era * 400
  local of_year = math.floor((153 * (month + (month > 2 and -3 or 9)) + 2) / 5) + day - 1
  return era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + of_year - 719468
end

--- Year, month and day of days since 1970-01-01.
function zones.date(days)
  days = days + 719468
  local era = math.floor(days / 146097)
  local of_era = days - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
    - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local shifted = math.floor((5 * of_year + 2) / 153)
  local month = shifted < 10 and shifted + 3 or shifted - 9
  return year + era * 400 + (month <= 2 and 1 or 0), month, of_year - math.floor((153 * shifted + 2) / 5) + 1
end

-- ---- the rule behind the last change: "CET-1CEST,M3.5.0,M10.5.0/3" ----

local function seconds_of(text)
  local sign, h, m, s = text:match "^([+-]?)(%d+):?(%d*):?(%d*)$"
  if not h then return nil end
  local total = tonumber(h) * 3600 + (tonumber(m) or 0) * 60 + (tonumber(s) or 0)
  return sign == "-" and -total or total
end

local function parse_change(text)
  local date, time = text:match "^([^/]+)/?(.*)$"
  local at = time == "" and 7200 or seconds_of(time)
  if not date or not at then return nil end
  local month, week, day = date:match "^M(%d+)%.(%d+)%.(%d+)$"
  if month then
    return { at = at, month = tonumber(month), week = tonumber(week), day = tonumber(day) }
  end
  local julian, n = date:match "^(J?)(%d+)$"
  if not n then return nil end
  return { at = at, of_year = tonumber(n), skips_leap = julian == "J" }
end

local function take_name(text)
  local name, rest = text:match "^(<[%w+-]+>)(.*)$"
  if not name then name, rest = text:match "^(%a+)(.*)$" end
  return name, rest
end

local function parse_rule(text)
  local name, rest = take_name(text)
  if not name then return nil end
  local offset
  offset, rest = rest:match "^([+-]?[%d:]+)(.*)$"
  local standard = offset and seconds_of(offset)
  if not standard then return nil end
  local rule = { standard = -standard }
  if rest == "" then return rule end
  name, rest = take_name(rest)
  if not name then return nil end
  local summer, from, to = rest:match "^([^,]*),([^,]+),([^,]+)$"
  if not summer then return nil end
  rule.summer = summer == "" and rule.standard + 3600 or -(seconds_of(summer) or 0)
  rule.from, rule.to = parse_change(from), parse_change(to)
  return rule.from and rule.to and rule or nil
end

local function is_leap(year)
  return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

-- Seconds since 1970 on the wall before the change.
local function change_of(change, year)
  if change.of_year then
    local day = change.of_year
    if change.skips_leap and not (is_leap(year) and day >= 60) then day = day - 1 end
    return (zones.days(year, 1, 1) + day) * DAY + change.at
  end
  local first = zones.days(year, change.month, 1)
  local next_year, next_month = year, change.month + 1
  if next_month > 12 then next_year, next_month = year + 1, 1 end
  local length = zones.days(next_year, next_month, 1) - first
  local day = (change.day - (first + 4)) % 7 + (change.week - 1) * 7 -- 1970-01-01 was a Thursday
  if day >= length then day = day - 7 end
  return (first + day) * DAY + change.at
end

local function offset_by_rule(rule, utc)
  if not rule.summer then return rule.standard end
  local year = zones.date(math.floor((utc + rule.standard) / DAY))
  local from = change_of(rule.from, year) - rule.standard
  local to = change_of(rule.to, year) - rule.summer
  local is_summer
  if from < to then is_summer = utc >= from and utc < to else is_summer = utc >= from or utc < to end
  return is_summer and rule.summer or rule.standard
end

-- ---- files ----

local function unsigned(text, at, bytes)
  local n = 0
  for i = at, at + bytes - 1 do n = n * 256 + text:byte(i) end
  return n
end

local function signed(text, at, bytes)
  local n = unsigned(text, at, bytes)
  local half = 2 ^ (bytes * 8 - 1)
  return n >= half and n - 2 * half or n
end

-- Counts of a header at `at`: how many of what follow, and how long that is with times of so many bytes.
local function header(text, at, bytes)
  local c = {}
  for i, name in ipairs { "isut", "isstd", "leap", "time", "type", "char" } do
    c[name] = unsigned(text, at + 16 + i * 4, 4)
  end
  c.length = c.time * (bytes + 1) + c.type * 6 + c.char + c.leap * (bytes + 4) + c.isstd + c.isut
  return c
end

local Zone = {}
Zone.__index = Zone

local function parse(text)
  if #text < 44 or text:sub(1, 4) ~= "TZif" then return nil end
  local at, bytes = 1, 4
  local counts = header(text, at, bytes)
  if text:byte(5) >= 50 then -- "2": the same again in 64 bits
    at, bytes = at + 44 + counts.length, 8
    if #text < at + 43 or text:sub(at, at + 3) ~= "TZif" then return nil end
    counts = header(text, at, bytes)
  end
  at = at + 44
  if #text < at - 1 + counts.length or counts.type == 0 then return nil end
  local zone = { times = {}, offsets = {} }
  local types = at + counts.time * (bytes + 1)
  local function offset_of(n) return signed(text, types + n * 6, 4) end
  zone.first = offset_of(0)
  for i = 1, counts.time do
    zone.times[i] = signed(text, at + (i - 1) * bytes, bytes)
    zone.offsets[i] = offset_of(unsigned(text, at + counts.time * bytes + i - 1, 1))
  end
  local rest = bytes == 8 and text:sub(at + counts.length):match "^\n([^\n]*)\n"
  zone.rule = rest and parse_rule(rest)
  return setmetatable(zone, Zone)
end

--- Seconds to add to UTC.
function Zone:offset(utc)
  local times = self.times
  local low, high = 0, #times
  if high > 0 and utc >= times[high] and self.rule then return offset_by_rule(self.rule, utc) end
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if times[middle] <= utc then low = middle else high = middle - 1 end
  end
  if low == 0 then return #times == 0 and self.rule and offset_by_rule(self.rule, utc) or self.first end
  return self.offsets[low]
end

-- Where the offset changes between two instants less than a day and a half apart.
local function change_between(self, low, high)
  local before = self:offset(low)
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if self:offset(middle) == before then low = middle else high = middle end
  end
  return high
end

--- The first instant with this time on the wall; of one that never is, the instant the clock jumps over it.
function Zone:utc(wall)
  local earlier, later = self:offset(wall - DAY), self:offset(wall + DAY)
  local best
  for _, offset in ipairs { earlier, later } do
    local utc = wall - offset
    if self:offset(utc) == offset and (not best or utc < best) then best = utc end
  end
  return best or change_between(self, wall - DAY, wall + DAY)
end

local known = { UTC = setmetatable({ times = {}, offsets = {}, first = 0 }, Zone) }

--- The zone of this name ("UTC", "Europe/Berlin"); nil and what is wrong.
function zones.get(name)
  if known[name] then return known[name] end
  if type(name) ~= "string" or not name:match "^%a[%w_+%-/]*$" then
    return nil, ("`%s` is no time zone's name"):format(tostring(name))
  end
  for _, folder in ipairs(FOLDERS) do
    local file = io.open(folder .. name, "rb")
    local text = file and file:read(1048576) -- nil of a folder
    if file then file:close() end
    local zone = text and parse(text)
    if zone then
      known[name] = zone
      return zone
    end
  end
  return nil, ("this system does not know the time zone `%s` (Debian: tzdata)"):format(name)
end

return zones
