local cron = require "instant.cron"
local zones = require "instant.zone"

local function utc_of(text)
  local y, m, d, h, mi, s = text:match "^(%d+)-(%d+)-(%d+) (%d+):(%d+):?(%d*)$"
  return ((zones.days(tonumber(y), tonumber(m), tonumber(d)) * 24 + h) * 60 + mi) * 60 + (tonumber(s) or 0)
end

local function text_of(utc)
  local y, m, d = zones.date(math.floor(utc / 86400))
  local s = utc % 86400
  return ("%04d-%02d-%02d %02d:%02d"):format(y, m, d, math.floor(s / 3600), math.floor(s % 3600 / 60))
end

-- The next times behind `from`, all in UTC.
local function nexts(expression, from, count, zone)
  local spec = assert(cron.parse(expression))
  local at, list = utc_of(from) * 1000, {}
  for i = 1, count do
    at = cron.next(spec, at, assert(zones.get(zone or "UTC")))
    list[i] = at and text_of(at / 1000) or "never"
    if not at then break end
  end
  return table.concat(list, ", ")
end

describe("cron", function()
  it("finds the next times", function()
    for _, row in ipairs {
      { "*/20 * * * *", "2026-01-01 00:00", "2026-01-01 00:20, 2026-01-01 00:40, 2026-01-01 01:00" },
      { "*/20 * * * *", "2026-01-01 00:19:59", "2026-01-01 00:20" },
      { "5 4 * * *", "2026-02-28 04:05", "2026-03-01 04:05, 2026-03-02 04:05" },
      { "0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00, 2032-02-29 00:00" },
      { "0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00" },
      { "0 0 31 * *", "2026-01-31 00:00", "2026-03-31 00:00, 2026-05-31 00:00" },
      { "0 9-17/4 * * mon-fri", "2026-11-27 12:00", "2026-11-27 13:00, 2026-11-27 17:00, 2026-11-30 09:00" },
      { "0 12 1,15 * *", "2026-01-01 12:00", "2026-01-15 12:00, 2026-02-01 12:00" },
      -- Either day is enough when both are restricted, both are needed when one is `*`.
      { "0 0 13 * fri", "2026-01-01 00:00", "2026-01-02 00:00, 2026-01-09 00:00, 2026-01-13 00:00" },
      { "0 0 */10 * mon", "2026-01-01 00:00", "2026-05-11 00:00, 2026-06-01 00:00" },
      { "0 0 * * 7", "2026-01-01 00:00", "2026-01-04 00:00" },
      { "0 0 * * 0", "2026-01-01 00:00", "2026-01-04 00:00" },
      { "0 0 1 JAN *", "2026-01-01 00:00", "2027-01-01 00:00" },
      { "59 23 31 12 *", "2026-12-31 23:59", "2027-12-31 23:59" },
      { "@hourly", "2026-01-01 00:00", "2026-01-01 01:00" },
      { "@weekly", "2026-01-01 00:00", "2026-01-04 00:00" },
      { "@yearly", "2026-01-01 00:00", "2027-01-01 00:00" },
      { "0 0 30 2 *", "2026-01-01 00:00", "never" },
    } do
      local _, count = row[3]:gsub(",", "")
      assert.equal(row[3], nexts(row[1], row[2], count + 1), row[1])
    end
  end)

  it("keeps to the clock on the wall when it changes", function()
    for _, row in ipairs {
      -- Berlin: 2026-03-29 02:00 -> 03:00 (01:00 UTC), 2026-10-25 03:00 -> 02:00 (01:00 UTC).
      { "30 2 * * *", "2026-03-28 00:00", "2026-03-28 01:30, 2026-03-29 01:00, 2026-03-30 00:30", "Europe/Berlin" },
      { "30 2 * * *", "2026-10-24 12:00", "2026-10-25 00:30, 2026-10-26 01:30", "Europe/Berlin" },
      { "0 3 * * *", "2026-03-28 12:00", "2026-03-29 01:00, 2026-03-30 01:00", "Europe/Berlin" },
      { "15 * * * *", "2026-03-28 23:30", "2026-03-29 00:15, 2026-03-29 01:15, 2026-03-29 02:15", "Europe/Berlin" },
      { "15 * * * *", "2026-10-24 23:30", "2026-10-25 00:15, 2026-10-25 01:15, 2026-10-25 02:15", "Europe/Berlin" },
      { "*/30 */3 * * *", "2026-03-28 22:00", "2026-03-28 23:00, 2026-03-28 23:30, 2026-03-29 01:00", "Europe/Berlin" },
      { "0 9 * * *", "2026-03-07 00:00", "2026-03-07 14:00, 2026-03-08 13:00", "America/New_York" },
      -- Half an hour: Lord Howe goes from 02:00 to 02:30 (2026-10-04, 15:30 UTC the day before).
      { "15 2 * * *", "2026-10-03 00:00", "2026-10-03 15:30, 2026-10-04 15:15", "Australia/Lord_Howe" },
      { "0 0 * * *", "2026-01-01 00:00", "2026-01-01 18:15, 2026-01-02 18:15", "Asia/Kathmandu" },
      -- By the rule behind the last change of the file.
      { "30 2 * * *", "2060-03-27 12:00", "2060-03-28 01:00, 2060-03-29 00:30", "Europe/Berlin" },
      { "30 2 * * *", "2060-10-02 00:00", "2060-10-02 16:00", "Australia/Sydney" },
    } do
      local _, count = row[3]:gsub(",", "")
      assert.equal(row[3], nexts(row[1], row[2], count + 1, row[4]), row[1] .. " " .. row[4])
    end
  end)

  it("knows the offsets that the system knows", function()
    local names = { "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca",
      "America/St_Johns", "Pacific/Apia", "Europe/Dublin", "Asia/Tehran", "America/Sao_Paulo", "Etc/GMT+5" }
    for _, name in ipairs(names) do
      local zone, times, words = assert(zones.get(name)), {}, {}
      for year = 1915, 2095, 4 do
        for month = 1, 12, 3 do
          times[#times + 1] = utc_of(("%d-%02d-%02d %02d:17"):format(year, month, year % 28 + 1, month * 2))
          words[#words + 1] = "@" .. times[#times]
        end
      end
      local pipe = assert(io.popen(("printf '%%s\\n' %s | env -u LD_PRELOAD TZ=%s date -f - +%%::z")
        :format(table.concat(words, " "), name)))
      local n = 0
      for line in pipe:lines() do
        n = n + 1
        local sign, h, m, s = line:match "^([+-])(%d+):(%d+):(%d+)$"
        local offset = (h * 60 + m) * 60 + s
        assert.equal(sign == "-" and -offset or offset, zone:offset(times[n]), name .. " " .. text_of(times[n]))
      end
      pipe:close()
      assert.equal(#times, n)
    end
  end)

  it("says what is wrong", function()
    for text, problem in pairs {
      ["* * * *"] = "five fields", ["60 * * * *"] = "minute must be from 0 to 59", ["* 24 * * *"] = "hour must be",
      ["* * 0 * *"] = "day of month", ["* * * foo *"] = "is no month", ["5-1 * * * *"] = "ends before",
      ["*/0 * * * *"] = "at least 1", ["5/10 * * * *"] = "step without a range", ["1,,2 * * * *"] = "is no minute",
      ["@never"] = "five fields", ["* * * * 8"] = "day of week", ["-1 * * * *"] = "is no minute",
    } do
      local spec, why = cron.parse(text)
      assert.is_nil(spec, text)
      assert.matches(problem, why, 1, true)
    end
    local function complains(problem, ...)
      local ok, why = pcall(cron.start, ...)
      assert.is_false(ok)
      assert.matches(problem, why, 1, true)
    end
    local function nothing() end
    complains("expected a function", "* * * * *")
    complains("never comes", "0 0 30 2 *", nothing)
    complains("time zone", "* * * * *", nothing, { timeZone = "Mars/Base" })
    complains("no time zone's name", "* * * * *", nothing, { timeZone = "../../etc/passwd" })
    complains("unknown option", "* * * * *", nothing, { zone = "UTC" })
    complains("`missed`", "* * * * *", nothing, { missed = "all" })
  end)
end)
