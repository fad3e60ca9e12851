-- instant-lua backup [--data PATH] [--force] TO
--
-- Copies a data folder, also one that a server is working on, or one app's data file into the new
-- folder TO, with the contents of files.

local instant = require "instant"

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
  local options = { from = "instant-data" }
  local i = 1
  while i <= #args do
    local arg = args[i]
    if arg == "--help" then return { help = true } end
    if arg == "--force" then
      options.force = true
    elseif arg == "--data" then
      i = i + 1
      if not args[i] or args[i] == "" then return nil, "--data needs a value" end
      options.from = args[i]
    elseif arg:match "^%-%-data=." then
      options.from = arg:sub(8)
    elseif arg:sub(1, 2) == "--" then
      return nil, ("unknown option %s (see --help)"):format(arg)
    elseif options.to then
      return nil, ("one folder to be made, got %s as well"):format(arg)
    else
      options.to = arg
    end
    i = i + 1
  end
  if not options.to or options.to == "" then return nil, "which folder is to be made? (see --help)" end
  return options
end

local function main(...)
  local options, problem = parse { ... }
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  local shown
  options.onProgress = function(progress)
    local line = progress.stage == "databases" and progress.files and progress.files > 0
        and ("database %d of %d"):format(progress.file, progress.files)
      or progress.stage == "contents" and "contents of files" or nil
    if line and line ~= shown then print(line) end
    shown = line or shown
  end
  local result, err = instant.data.backup(options):await()
  if not result then return fail("%s", err.message) end
  print(("%s: backup of %s%s, contents of files %d (%d bytes)"):format(result.to, options.from,
    result.live and " while its server worked" or "", result.contents, result.bytes))
  if result.damaged > 0 then
    return fail("%d contents are damaged already, and copied as they are; the first is %s", result.damaged,
      result.firstDamaged) + 1
  end
  return 0
end

return main(...)
