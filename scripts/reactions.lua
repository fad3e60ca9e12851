-- instant-lua reactions list | dead | replay | reset | delete
--
-- What durable reactions do, and what they could not.

local core = require "instant.core"
local instant = require "instant"
local project = require "instant.project"

local USAGE = [[
usage: instant-lua reactions [options] list
       instant-lua reactions [options] dead NAME              what it could not handle, and why
       instant-lua reactions [options] replay NAME [ID...]    handles that again; all without an ID
       instant-lua reactions [options] reset NAME --to WHERE  goes on from there: now, start or a transaction's number
       instant-lua reactions [options] delete NAME            forgets it; who runs it stops

  --json         dead and list as JSON
  -y, --yes      do not ask
]] .. project.CONNECTION

local function fail(...)
  io.stderr:write("instant-lua reactions: ", string.format(...), "\n")
  return 1
end

local function when(ms)
  return os.date("!%Y-%m-%d %H:%M:%S", ms // 1000)
end

local COMMANDS = {}

function COMMANDS.list(db, _, options)
  local rows, err = db.reactions:list():await()
  if not rows then return nil, err end
  if options.json then
    print(core.json_indent(rows))
    return true
  end
  table.sort(rows, function(a, b) return a.name < b.name end)
  for _, row in ipairs(rows) do
    local dead
    dead, err = db.reactions:dead(row.name):await()
    if not dead then return nil, err end
    local is_held = row.owner ~= nil and row.owner ~= instant.null
    print(("%-24s at %-10s %-8s %d dead letters"):format(row.name, row.position, is_held and "running" or "idle",
      #dead))
  end
  return true
end

function COMMANDS.dead(db, name, options)
  local rows, err = db.reactions:dead(name):await()
  if not rows then return nil, err end
  if options.json then
    print(core.json_indent(rows))
    return true
  end
  for _, row in ipairs(rows) do
    local change = row.change or {}
    print(("%s  %s  %s of %s %s, %d attempts"):format(row.id, when(row.at), change.action, change.etype, change.id,
      row.attempts))
    print("  " .. row.error:gsub("\n", "\n  "))
  end
  return true
end

function COMMANDS.replay(db, name, options)
  local ids = options[3] and { table.unpack(options, 3) } or nil
  local count, err = db.reactions:replay(name, ids):await()
  if not count then return nil, err end
  print(("%d to be handled again"):format(count))
  return true
end

function COMMANDS.reset(db, name, options)
  local to = options.to
  if not to then return nil, "where to? --to now, start or a transaction's number" end
  if to ~= "now" and to ~= "start" and not to:match "^%d+$" then
    return nil, ("--to takes now, start or a transaction's number, got %s"):format(to)
  end
  if not project.confirm(("Put %s at %s?"):format(name, to), options) then return nil, "nothing was changed" end
  local done, err = db.reactions:reset(name, tonumber(to) or to):await()
  if done == nil then return nil, err end
  if not done then return nil, ("there is no reaction %s"):format(name) end
  print(("%s goes on from %s"):format(name, to))
  return true
end

function COMMANDS.delete(db, name, options)
  if not project.confirm(("Forget %s, its position and its dead letters?"):format(name), options) then
    return nil, "nothing was changed"
  end
  local done, err = db.reactions:delete(name):await()
  if done == nil then return nil, err end
  if not done then return nil, ("there is no reaction %s"):format(name) end
  print(("%s is forgotten"):format(name))
  return true
end

local function main(...)
  local options, problem = project.parse({ ... }, { json = "flag", yes = "flag", to = "value" })
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  local command = COMMANDS[options[1]]
  if not command then return fail("list, dead, replay, reset or delete (see --help)") end
  if options[1] ~= "list" and not options[2] then return fail("which reaction? (see --help)") end
  local to
  to, problem = project.connect(options, true)
  if not to then return fail("%s", problem) end
  local db = instant.admin.init { apiURI = to.api, appId = to.appId, adminToken = to.token }
  local done, err = command(db, options[2], options)
  to:close()
  if not done then return fail("%s", type(err) == "table" and project.explain(err) or tostring(err)) end
  return 0
end

return main(...)
