-- instant-lua backup [--data PATH] [--force] TO
--
-- Copies a data folder, also one that a server is working on, or one app's data file into the new
-- folder TO, with the contents of files.

local instant = require "instant"
local options = require "instant.options"

local USAGE = [[
usage: instant-lua backup [--data PATH] [--force] TO

  --data PATH  data folder (./instant-data), or one app's data file
  --force      replace a backup that is there
  TO           folder to be made; restore it with `instant-lua restore`

The server of the folder goes on meanwhile and makes the copy itself, without stopping anybody.
]]

local function fail(...)
  io.stderr:write("instant-lua backup: ", string.format(...), "\n")
  return 1
end

local function parse(args)
  local found, problem = options.parse(args, { values = { "data" }, flags = { "force" }, arguments = { "to" } })
  if not found or found.help then return found, problem end
  if not found.to or found.to == "" then return nil, "which folder is to be made? (see --help)" end
  return { from = found.data or "instant-data", to = found.to, force = found.force }
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
      or progress.stage == "contents" and "contents of files" or nil
    if line and line ~= shown then print(line) end
    shown = line or shown
  end
  local result, err = instant.data.backup(given):await()
  if not result then return fail("%s", err.message) end
  print(("%s: backup of %s%s, contents of files %d (%d bytes)"):format(result.to, given.from,
    result.live and " while its server worked" or "", result.contents, result.bytes))
  if result.damaged > 0 then
    return fail("%d contents are damaged already, and copied as they are; the first is %s", result.damaged,
      result.firstDamaged) + 1
  end
  return 0
end

return main(...)
