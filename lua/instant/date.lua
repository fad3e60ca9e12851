--- Dates: `instant.date()` is now, `instant.date(ms)` and `instant.date("2026-01-31")` are that.
--
-- In a transaction a date goes over the wire as ISO text; with `useDateObjects` results have them.

local core = require "instant.core"

local mt = core.date_mt
local Date = {}
mt.__index = Date

--- "2026-01-31T12:00:00.000Z"
function Date:iso()
  return core.date_iso(self.ms)
end

mt.__tostring = Date.iso
mt.__eq = function(a, b) return a.ms == b.ms end
mt.__lt = function(a, b) return a.ms < b.ms end
mt.__le = function(a, b) return a.ms <= b.ms end

return function(value)
  if value == nil then return setmetatable({ ms = core.now() }, mt) end
  local ms, err = core.date_parse(value)
  if not ms then error(err, 2) end
  return setmetatable({ ms = ms }, mt)
end
