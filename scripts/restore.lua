-- instant-lua restore [--data PATH] [--force] FROM
--
-- Makes a data folder (or one app's data file) of the backup FROM, after checking all of it.

local instant = require "instant"

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
  local options = { to = "instant-data" }
  local i = 1
  while i <= #args do
    local arg = args[i]
    if arg == "--help" then return { help = true } end
    if arg == "--force" then
      options.force = true
    elseif arg == "--data" then
      i = i + 1
      if not args[i] or args[i] == "" then return nil, "--data needs a value" end
      options.to = args[i]
    elseif arg:match "^%-%-data=." then
      options.to = arg:sub(8)
    elseif arg:sub(1, 2) == "--" then
      return nil, ("unknown option %s (see --help)"):format(arg)
    elseif options.from then
      return nil, ("one backup, got %s as well"):format(arg)
    else
      options.from = arg
    end
    i = i + 1
  end
  if not options.from or options.from == "" then return nil, "which backup? (see --help)" end
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
      or progress.stage == "contents" and "contents of files" or progress.stage == "check" and "checking" or nil
    if line and line ~= shown then print(line) end
    shown = line or shown
  end
  local result, err = instant.data.restore(options):await()
  if not result then return fail("%s", err.message) end
  print(("%s: restored of %s, contents of files %d (%d bytes)"):format(result.to, options.from, result.contents,
    result.bytes))
  if result.aside then print("what was there is " .. result.aside .. " now") end
  return 0
end

return main(...)
