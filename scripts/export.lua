-- instant-lua export PATH [--data DIR | --file FILE] [--app-id ID] [--s3-... VALUE]
--
-- Writes an app as a backup archive, in InstantDB's format.

local instant = require "instant"
local options = require "instant.options"

local USAGE = [[
usage: instant-lua export PATH [--data DIR | --file FILE] [--app-id ID]

  PATH         the archive to be made, a .zip; must not be there yet
  --data DIR   the data folder (./instant-data); no server may have it open
  --file FILE  one app's data file instead, as in apiURI = "local:FILE"
  --app-id ID  which app; may be left out when there is only one

When its server keeps the contents of files in a bucket, they are read from there: with serve's
  --s3-endpoint URL  --s3-bucket NAME  --s3-region NAME  --s3-access-key KEY  --s3-ca FILE
and INSTANT_S3_SECRET_KEY, or with the variables that are set for serve.

Whoever can read the archive can read everything, also what permission rules hide.
]]

local function fail(...)
  io.stderr:write("instant-lua export: ", string.format(...), "\n")
  return 1
end

local function parse(args)
  local found, problem = options.parse(args, {
    values = { "data", "file", "app-id", "s3-endpoint", "s3-bucket", "s3-region", "s3-access-key", "s3-ca" },
    arguments = { "path" },
  })
  if not found or found.help then return found, problem end
  if not found.path then return nil, "where to? (see --help)" end
  if found.data and found.file then return nil, "--data and --file exclude each other" end
  return found
end

local function main(...)
  local given, problem = parse { ... }
  if not given then return fail("%s", problem) end
  if given.help then
    io.write(USAGE)
    return 0
  end
  local last
  local report, err = instant.exportArchive {
    path = given.path, data = not given.file and (given.data or "instant-data") or nil, file = given.file,
    appId = given["app-id"], s3 = options.s3(function(flag) return options.get(given, flag) end),
    onProgress = function(state)
      local percent = state.done / state.total * 100 // 1
      if percent ~= last then io.stderr:write(("\r\27[K%3d %%"):format(percent)) end
      last = percent
    end,
  }
  io.stderr:write "\r\27[K"
  if not report then return fail("%s", err.message) end
  print(("%s: app %s, %d entities, %d files"):format(report.path, report.appId, report.entities, report.files))
  for _, text in ipairs(report.problems) do print("  " .. text) end
  return report.problemCount == 0 and 0 or 1
end

return main(...)
