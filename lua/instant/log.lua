--- Lines of a log: `instant.log.info("read %d orders", n)`; also `error`, `warn`, `debug`.
--
-- They go where the library's own go, to stderr, as text or as JSON (`instant.logLevel`). Text with more
-- arguments is a format. What is below the level costs nothing: it is not formatted.

local core = require "instant.core"

local log = {}

for _, level in ipairs { "error", "warn", "info", "debug" } do
  log[level] = function(text, ...)
    local format = core.logs(level)
    if not format then return end
    if select("#", ...) > 0 then text = text:format(...) end
    text = tostring(text)
    -- A program reads one line; people read a traceback as it is.
    if format == "json" then
      core.log(level, text)
    else
      for line in text:gmatch "[^\n]+" do core.log(level, (line:gsub("\t", "  "))) end
    end
  end
end

return log
