-- instant-lua app ID [--status STATUS] ...: what an app takes, and changing that.

local instant = require "instant"

local USAGE = [[
usage: instant-lua app ID [--data DIR]
       instant-lua app ID --status active|read-only|disabled [--data DIR | --api URL]

Shows what an app takes, or changes it: everything, reads only, or nothing. Its clients are told, and it
stays so over restarts.

  --data DIR     the data folder, while no server has it open (./instant-data)
  --api URL      a running server instead, such as http://127.0.0.1:8888; needs the app's admin token in
                 the environment: INSTANT_APP_ADMIN_TOKEN
  --status S     what it is to be
]]

local function fail(...)
  io.stderr:write("instant-lua app: ", string.format(...), "\n")
  return 1
end

local FLAGS = { data = true, api = true, status = true }

local function parse(args)
  local options = {}
  local i = 1
  while i <= #args do
    local name, value = args[i]:match "^%-%-([%w-]+)=?(.*)$"
    if name == "help" or args[i] == "-h" then return { help = true } end
    if name and not FLAGS[name] then return nil, ("unknown option %s (see --help)"):format(args[i]) end
    if not name then
      if options.id then return nil, ("one app at a time, got %s too"):format(args[i]) end
      options.id = args[i]
    else
      if not args[i]:find("=", 1, true) then
        i = i + 1
        value = args[i]
      end
      if not value or value == "" then return nil, ("--%s needs a value"):format(name) end
      options[name] = value
    end
    i = i + 1
  end
  if not options.id then return nil, "which app? (see --help)" end
  if options.data and options.api then return nil, "--data and --api exclude each other" end
  return options
end

local function over_network(options)
  local token = os.getenv "INSTANT_APP_ADMIN_TOKEN"
  if not options.status then return nil, "a running server only changes it: --status is missing" end
  if not token then return nil, "INSTANT_APP_ADMIN_TOKEN is not set" end
  local answer, err = instant.http.request({
    url = ("%s/dash/apps/%s/status"):format(options.api:gsub("/+$", ""), options.id),
    headers = { Authorization = "Bearer " .. token },
    json = { status = options.status },
  }):await()
  if not answer then return nil, err.message end
  if answer.status ~= 200 then
    local message = answer.body:match '"message":"(.-[^\\])"'
    return nil, message and (message:gsub('\\"', '"')) or ("the server answers %d"):format(answer.status)
  end
  return options.status
end

local function on_disk(options)
  local folder = options.data or "instant-data"
  local file = io.open(folder .. "/system.db")
  if not file then return nil, folder .. ": no data folder of serve" end
  file:close()
  local server, err = instant.server { data = folder }
  if not server then return nil, err.message .. " (with --api a running server is asked)" end
  local status
  if options.status then
    status, err = server:setAppStatus(options.id, options.status)
  else
    status, err = server:appStatus(options.id)
  end
  server:close():await()
  return status, err and err.message
end

local function main(...)
  local options, problem = parse { ... }
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  local status
  status, problem = (options.api and over_network or on_disk)(options)
  if not status then return fail("%s", problem) end
  print(options.id .. " is " .. status)
end

return main(...)
