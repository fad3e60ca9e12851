-- instant-lua apps [list|create|rename|delete|token] [options]
--
-- An operator's apps.

local core = require "instant.core"
local project = require "instant.project"

local USAGE = [[
usage: instant-lua apps [list]            the apps of a backend
       instant-lua apps create TITLE      makes one, shows its id and admin token
       instant-lua apps rename ID TITLE
       instant-lua apps token ID          a new admin token, from then on the only one
       instant-lua apps delete ID         asks first; the data stays for a week, found by nobody

They need an operator's token, which `instant-lua serve` shows at its first start; `rename` and `token` also
take the app's admin token.

  --json         for programs
  -y, --yes      do not ask
]] .. project.CONNECTION

local function fail(...)
  io.stderr:write("instant-lua apps: ", string.format(...), "\n")
  return 1
end

local function show(app, options)
  if options.json then
    print(core.json_indent { id = app.id, title = app.title, adminToken = app["admin-token"] })
    return
  end
  print("app id:      " .. app.id)
  if app["admin-token"] then print("admin token: " .. app["admin-token"] .. "  (kept as a hash, shown only now)") end
end

local actions = {}

function actions.list(to, options)
  local answer, problem = to:ask("GET", "/superadmin/apps")
  if not answer then return fail("%s", problem) end
  if options.json then
    local list = setmetatable({}, core.array_mt)
    for n, app in ipairs(answer.apps) do list[n] = { id = app.id, title = app.title, createdAt = app.created_at } end
    print(core.json_indent(list))
    return 0
  end
  for _, app in ipairs(answer.apps) do print(("%s  %s"):format(app.id, app.title)) end
  return 0
end

function actions.create(to, options, title)
  if not title then return fail("create needs a title") end
  local answer, problem = to:ask("POST", "/superadmin/apps", { title = title })
  if not answer then return fail("%s", problem) end
  show(answer.app, options)
  return 0
end

function actions.rename(to, _, id, title)
  if not title then return fail("rename needs an app id and a title") end
  local answer, problem = to:ask("POST", "/superadmin/apps/" .. id, { title = title })
  if not answer then return fail("%s", problem) end
  print(("%s is now called %s"):format(answer.app.id, answer.app.title))
  return 0
end

function actions.token(to, options, id)
  if not id then return fail("token needs an app id") end
  local token = core.id()
  local answer, problem = to:ask("POST", "/dash/apps/" .. id .. "/tokens", { ["admin-token"] = token })
  if not answer then return fail("%s", problem) end
  show({ id = id, ["admin-token"] = token }, options)
  return 0
end

function actions.delete(to, options, id)
  if not id then return fail("delete needs an app id") end
  local answer, problem = to:ask("GET", "/superadmin/apps/" .. id)
  if not answer then return fail("%s", problem) end
  local question = ("Delete %s (%s) with all its data?"):format(answer.app.title, id)
  if not project.confirm(question, options) then return fail("nothing was deleted") end
  answer, problem = to:ask("DELETE", "/superadmin/apps/" .. id)
  if not answer then return fail("%s", problem) end
  print(("%s is deleted"):format(answer.app.title))
  return 0
end

local function main(...)
  local options, problem = project.parse({ ... }, { json = "flag", yes = "flag" })
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  local action = actions[options[1] or "list"]
  if not action then return fail("unknown action %s (see --help)", options[1]) end
  local id = options[1] ~= "create" and options[2]
  if id and not id:match "^%x+%-%x+%-%x+%-%x+%-%x+$" then return fail("an app id is a uuid, got %s", id) end
  if options[4] then return fail("too many arguments (a title of several words needs quotes)") end
  local to
  to, problem = project.connect(options)
  if not to then return fail("%s", problem) end
  local code = action(to, options, options[2], options[3])
  to:close()
  return code
end

return main(...)
