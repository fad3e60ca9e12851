-- instant-lua import ARCHIVE [--data DIR | --file FILE] [--app-id ID|new] [--title TEXT] [--drop-sessions]
-- instant-lua import --from-cloud ID [--api URL] ...
--
-- Takes a backup of InstantDB's cloud, or one that `instant-lua export` wrote, into a data folder; or an app
-- from a backend that is running.

local instant = require "instant"
local options = require "instant.options"

local USAGE = [[
usage: instant-lua import ARCHIVE [--data DIR | --file FILE] [--app-id ID] [--title TEXT] [--drop-sessions]
       instant-lua import --from-cloud ID [--api URL] [--data DIR | --file FILE] [--app-id ID] [--title TEXT]

  ARCHIVE          a backup: InstantDB's instant-backup-....zip, or what instant-lua export wrote
  --data DIR       the data folder (./instant-data); no server may have it open
  --file FILE      one app's data file instead, as in apiURI = "local:FILE"
  --app-id ID      the new app's id, or "new"; left out: the backup's, so that clients only change
                   their address and users stay signed in
  --title TEXT     the new app's title (the backup's)
  --drop-sessions  sign everybody out
  --from-cloud ID  no backup, but the app of this id as it runs in InstantDB's cloud; its admin token
                   is taken from the environment, INSTANT_APP_ADMIN_TOKEN
  --api URL        ... or at another backend

Broken off, it goes on where it was when it is started again.
]]

local function fail(...)
  io.stderr:write("instant-lua import: ", string.format(...), "\n")
  return 1
end

local function parse(args)
  local found, problem = options.parse(args, {
    values = { "data", "file", "app-id", "title", "from-cloud", "api" },
    flags = { "drop-sessions" }, arguments = { "archive" },
  })
  if not found or found.help then return found, problem end
  if (found.archive == nil) == (found["from-cloud"] == nil) then return nil, "which backup? (see --help)" end
  if found.data and found.file then return nil, "--data and --file exclude each other" end
  return found
end

-- A line that is drawn again, where there is a terminal; else one now and then.
local function progress_bar()
  local last, shown = instant.now(), nil
  return function(state)
    local now = instant.now()
    if now - last < 200 and state.done ~= state.total then return end
    last = now
    local text = state.total
      and ("%3d %%  %.1f of %.1f MB  %s"):format(state.done / math.max(state.total, 1) * 100 // 1, state.done / 1e6,
        state.total / 1e6, state.entry or "")
      or ("%d entities  %s"):format(state.done, state.entry)
    if text ~= shown then io.stderr:write("\r\27[K", text:sub(1, 100)) end
    shown = text
  end
end

local function show_start(report)
  print("app id:      " .. report.appId)
  if report.adminToken then
    print("admin token: " .. report.adminToken .. "  (kept as a hash, shown only now)")
  else
    print("going on where the import was broken off")
  end
  io.stdout:flush()
end

local function main(...)
  local given, problem = parse { ... }
  if not given then return fail("%s", problem) end
  if given.help then
    io.write(USAGE)
    return 0
  end
  local how = {
    data = not given.file and (given.data or "instant-data") or nil, file = given.file, appId = given["app-id"],
    title = given.title, onStart = show_start, onProgress = progress_bar(),
  }
  local report, err
  if given["from-cloud"] then
    how.from = { appId = given["from-cloud"], adminToken = os.getenv "INSTANT_APP_ADMIN_TOKEN", apiURI = given.api }
    report, err = instant.importApp(how)
  else
    how.archive, how.dropSessions = given.archive, given["drop-sessions"]
    report, err = instant.importArchive(how)
  end
  io.stderr:write "\r\27[K"
  if not report then
    return fail("%s\nWhat was taken in stays; start it again to go on.", err.message)
  end
  print(("%d entities, %d triples"):format(report.entities, report.triples))
  if report.problemCount == 0 then return 0 end
  print(("%d things could not be taken in:"):format(report.problemCount))
  for _, text in ipairs(report.problems) do print("  " .. text) end
  if report.problemCount > #report.problems then
    print(("  and %d more"):format(report.problemCount - #report.problems))
  end
end

return main(...)
