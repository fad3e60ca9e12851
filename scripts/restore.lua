-- instant-lua restore [--data PATH] [--force] FROM
--
-- Makes a data folder (or one app's data file) of the backup FROM, after checking all of it.

local instant = require "instant"
local options = require "instant.options"

local USAGE = [[
usage: instant-lua restore [--data PATH] [--force] FROM

  --data PATH  data folder (./instant-data) or data file to be made
  --force      move what is there aside; no server may have it open
  FROM         folder that `instant-lua backup` made
]]

local function fail(...)
  io.stderr:write("instant-lua restore: ", string.format(...), "\n")
  return 1
end

local function parse(args)
  local found, problem = options.parse(args, { values = { "data" }, flags = { "force" }, arguments = { "from" } })
  if not found or found.help then return found, problem end
  if not found.from or found.from == "" then return nil, "which backup? (see --help)" end
  return { from = found.from, to = found.data or "instant-data", force = found.force }
end

local function main(...)
  local given, problem = parse { ... }
  if not given then return fail("%s", problem) end
  if given.help then
    io.write(USAGE)
    return 0
  end
  local shown
  given.onProgress = function(progress)
    local line = progress.stage == "databases" and progress.files and progress.files > 0
        and ("database %d of %d"):format(progress.file, progress.files)
      or progress.stage == "contents" and "contents of files" or progress.stage == "check" and "checking" or nil
    if line and line ~= shown then print(line) end
    shown = line or shown
  end
  local result, err = instant.data.restore(given):await()
  if not result then return fail("%s", err.message) end
  print(("%s: restored of %s, contents of files %d (%d bytes)"):format(result.to, given.from, result.contents,
    result.bytes))
  if result.aside then print("what was there is " .. result.aside .. " now") end
  return 0
end

return main(...)
