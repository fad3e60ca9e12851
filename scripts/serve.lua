-- instant-lua serve [--data DIR] [--port N] [--host ADDRESS] [--url URL] [--max-file BYTES]
--                   [--allow-host LIST] [--mail HOW] [--new-operator]
--
-- Serves the apps of a data folder to every InstantDB client. Makes the folder, and a first app, when
-- there is none.

local instant = require "instant"

local USAGE = [[
usage: instant-lua serve [--data DIR] [--port N] [--host ADDRESS] [--url URL] [--max-file BYTES]
                         [--allow-host LIST] [--mail HOW] [--new-operator]

  --data DIR        where the apps' data lives (./instant-data)
  --port N          port to listen on (8888)
  --host ADDRESS    address to listen on (127.0.0.1)
  --url URL         where clients reach it; download addresses begin with it (http://HOST:PORT)
  --max-file BYTES  largest file that is stored (any that fits on the disk)
  --allow-host LIST hosts (NAME or NAME:PORT) of sign-in providers that may be asked although they
                    are in the own network, also over http (none: public ones, over https)
  --mail HOW        how magic codes are mailed (they are printed); also from $INSTANT_MAIL, where
                    others on this machine cannot read the password:
                      smtp://USER:PASSWORD@HOST:PORT?from=ADDRESS   smtps://...
                      postmark://TOKEN?from=ADDRESS                 sendgrid://TOKEN?from=ADDRESS
                    USER, PASSWORD and TOKEN with %XX for what an address may not hold; also
                    &name=SENDER, and for smtp &tls=no or &tls=required (STARTTLS is required as
                    soon as a password goes to another machine)
  --new-operator    make and show one more operator token, for when the first is lost
]]

local function fail(...)
  io.stderr:write("instant-lua serve: ", string.format(...), "\n")
  return 1
end

local function parse(args)
  local options = { data = "instant-data", port = "8888", host = "127.0.0.1", url = "", ["max-file"] = "",
    ["allow-host"] = "", mail = "" }
  local i = 1
  while i <= #args do
    local name, value = args[i]:match "^%-%-([%w-]+)=?(.*)$"
    if name == "help" then return { help = true } end
    if args[i] == "--new-operator" then
      options.newOperator = true
    elseif not name or not options[name] then
      return nil, ("unknown option %s (see --help)"):format(args[i])
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
  local port = tonumber(options.port)
  if not port or math.type(port) ~= "integer" or port < 0 or port > 65535 then
    return nil, ("--port must be a number from 0 to 65535, got %s"):format(options.port)
  end
  options.port = port
  if options.url ~= "" and not options.url:match "^https?://[^/]" then
    return nil, ("--url must be http://... or https://..., got %s"):format(options.url)
  end
  local size = options["max-file"]
  if size ~= "" and not (size:match "^%d+$" and #size < 16) then
    return nil, ("--max-file must be a number of bytes, got %s"):format(size)
  end
  options.url = options.url ~= "" and options.url or nil
  options.maxFileSize = tonumber(size)
  options.mail = options.mail ~= "" and options.mail or os.getenv "INSTANT_MAIL"
  options.allowHosts = {}
  for host in options["allow-host"]:gmatch "[^,]+" do table.insert(options.allowHosts, host) end
  return options
end

local function is_loopback(host)
  return host == "localhost" or host == "::1" or host:match "^127%." ~= nil
end

local SNIPPETS = [[

JavaScript (npm install @instantdb/core):

  import { init } from '@instantdb/core';
  const db = init({
    appId: '$id',
    apiURI: '$http',
    websocketURI: '$ws/runtime/session',
  });

Lua (instant-lua script.lua):

  local instant = require "instant"
  local db = instant.init { appId = "$id", apiURI = "$http" }
]]

local function show_apps(apps)
  for _, app in ipairs(apps) do
    print(("app id: %s  %s"):format(app.id, app.title))
  end
end

local function show_first_app(app, values)
  print("app id:      " .. app.id)
  print("admin token: " .. app.adminToken .. "  (kept as a hash, shown only now)")
  print((SNIPPETS:gsub("%$(%w+)", values)))
end

-- Whoever has this token manages all apps: shown at the first start, and when asked for.
local function show_operator(server, is_wanted)
  local has_one, err = server:hasOperator()
  if has_one == nil then return nil, err end
  if has_one and not is_wanted then return true end
  local token
  token, err = server:addOperator("instant-lua serve")
  if not token then return nil, err end
  print("operator token: " .. token .. "  (kept as a hash, shown only now)")
  return true
end

local function main(...)
  local options, problem = parse { ... }
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  local server, err = instant.server(options)
  if not server then return fail("%s", err.message) end

  local apps
  apps, err = server:apps()
  if not apps then return fail("%s", err.message) end
  local host = options.host:find(":", 1, true) and "[" .. options.host .. "]" or options.host
  local address = ("%s:%d"):format(host, server:port())
  local first
  if #apps == 0 then
    first, err = server:createApp("first app")
    if not first then return fail("%s", err.message) end
  end
  print(("Instant serves %s on http://%s"):format(options.data, address))
  if first then
    show_first_app(first, { id = first.id, http = "http://" .. address, ws = "ws://" .. address })
  else
    show_apps(apps)
  end
  local shown
  shown, err = show_operator(server, options.newOperator)
  if not shown then return fail("%s", err.message) end
  if is_loopback(options.host) then
    print("Open to this machine only (loopback): anyone who reaches the port may read and write")
    print("an app until it has permission rules. Use --host to listen elsewhere.")
  else
    print("WARNING: open to the network, and anyone who reaches the port may read and write an app")
    print("until it has permission rules.")
  end
  io.stdout:flush()
end

return main(...)
