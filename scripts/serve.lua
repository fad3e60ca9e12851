-- instant-lua serve [OPTION...]: serves the apps of a data folder to every InstantDB client.
--
-- Every option may come as a flag, as a variable of the environment (INSTANT_ and the flag's name) or
-- from a Lua file that returns a table (the names of `instant.server`); the first of them counts.

local instant = require "instant"
local options = require "instant.options"

-- A secret has no flag: every user of the machine may see the arguments of a program.
-- flag, key in the file, kind, what it is; in the order that --help shows.
local OPTIONS = {
  { "data", "data", "text", "DIR", "where the apps' data lives (./instant-data)" },
  { "host", "host", "text", "ADDRESS", "address to listen on (127.0.0.1: this machine only)" },
  { "port", "port", "port", "N", "port to listen on (8888); 0: any free one" },
  { "url", "url", "url", "URL", "where clients reach it; addresses of files begin with it" },
  { "config", nil, "text", "FILE", "a Lua file that returns a table of options" },
  {},
  { "script", "script", "script", "FILE", "Lua functions of the apps, see lua/docs/server.md; in the file of --config\n"
    .. "also one for each app: script = { [\"app id\"] = \"a.lua\", [\"*\"] = \"b.lua\" }" },
  { "watch", "watch", "switch", "yes|no", "read the script again when a file of it changes (no); else on SIGHUP" },
  { "script-memory", "scriptMemory", "bytes", "BYTES", "memory of one call of a function (32M)" },
  { "script-steps", "scriptSteps", "count", "N", "instructions of one call (10000000)" },
  { "script-time", "scriptTime", "count", "MS", "how long one call may take (500)" },
  {},
  { "tls-cert", "tlsCert", "text", "FILE", "PEM certificate, with what leads to its root: the port speaks TLS" },
  { "tls-key", "tlsKey", "text", "FILE", "PEM key of it; both are read again when they change, and on SIGHUP" },
  {},
  { "s3-endpoint", "s3Endpoint", "url", "URL", "S3, or what is compatible: contents of files are kept there" },
  { "s3-bucket", "s3Bucket", "text", "NAME", "bucket; clients read from it at signed addresses" },
  { "s3-region", "s3Region", "text", "NAME", "region (us-east-1)" },
  { "s3-access-key", "s3AccessKey", "text", "KEY", "access key" },
  { "s3-secret-key", "s3SecretKey", "secret", "", "secret key" },
  { "s3-ca", "s3CaFile", "text", "FILE", "PEM file trusted instead of the system's roots" },
  {},
  { "trusted-hops", "trustedHops", "count", "N", "proxies of yours in front of it (0); the client's address is the\n"
    .. "N-th from the right in X-Forwarded-For" },
  {},
  { "allow-host", "allowHosts", "list", "LIST", "hosts (NAME or NAME:PORT) of sign-in providers that may be asked\n"
    .. "although they are in the own network, also over http (none)" },
  { "mail", "mail", "text", "HOW", "how magic codes are mailed (they are printed); as INSTANT_MAIL others on\n"
    .. "this machine cannot read the password:\n"
    .. "  smtp://USER:PASSWORD@HOST:PORT?from=ADDRESS   smtps://...\n"
    .. "  postmark://TOKEN?from=ADDRESS                 sendgrid://TOKEN?from=ADDRESS\n"
    .. "USER, PASSWORD and TOKEN with %XX for what an address may not hold; also\n"
    .. "&name=SENDER, and for smtp &tls=no or &tls=required (STARTTLS is required as\n"
    .. "soon as a password goes to another machine)" },
  { "ephemeral-apps", "ephemeralApps", "switch", "yes|no", "may anybody make apps, which expire after 14 days (yes)" },
  {},
  { "max-file", "maxFileSize", "bytes", "BYTES", "largest file that is stored (any that fits on the disk)" },
  { "max-body", "maxBodySize", "bytes", "BYTES", "largest other request (32M)" },
  { "max-message", "maxMessageSize", "bytes", "BYTES", "largest message of a WebSocket (32M)" },
  { "max-queued", "maxQueued", "bytes", "BYTES", "what one client may leave unread before it is dropped (64M)" },
  { "max-connections", "maxConnections", "count", "N", "connections in all (any number)" },
  { "max-per-address", "maxPerAddress", "count", "N", "connections from one address (any number)" },
  { "rate", "rate", "number", "N", "requests a second from one address (any number)" },
  { "message-rate", "messageRate", "number", "N", "messages a second of one WebSocket (any number)" },
  {},
  { "log", "log", "log", "text|json", "how lines of the log look (text)" },
  { "log-level", "logLevel", "level", "LEVEL", "error, warn, info (every request) or debug (warn)" },
  { "metrics-token", "metricsToken", "secret", "", "GET /metrics (Prometheus) is for who sends it as bearer token" },
  { "drain", "drain", "number", "SECONDS", "how long requests may still take when it is told to end (10)" },
}

-- How often --watch looks at the files.
local WATCH_MS = 500

local DEFAULTS = { data = "instant-data", host = "127.0.0.1", port = 8888, log = "text", logLevel = "warn" }

local function usage()
  local lines = {
    "usage: instant-lua serve [OPTION...]",
    "",
    "Serves the apps of a data folder to InstantDB clients; makes the folder, and a first app, when",
    "there is none.",
    "GET /health says whether it is well. Ends on Ctrl-C or SIGTERM.",
    "",
  }
  for _, option in ipairs(OPTIONS) do
    local flag, _, kind, placeholder, text = table.unpack(option)
    if not flag then
      lines[#lines + 1] = ""
    else
      local left = kind == "secret" and "  " .. options.variable(flag) or ("  --%s %s"):format(flag, placeholder)
      for line in text:gmatch "[^\n]+" do
        lines[#lines + 1] = ("%-28s %s"):format(left, line)
        left = ""
      end
    end
  end
  lines[#lines + 1] = "  --new-operator             make and show one more operator token, for when the first is lost"
  lines[#lines + 1] = "  --help                     this text"
  lines[#lines + 1] = ""
  lines[#lines + 1] = [[
BYTES may end with K, M or G. Instead of a flag a variable may be set: INSTANT_MAX_FILE=10M is
--max-file 10M. The file of --config is Lua: return { port = 80, maxFileSize = "10M" }, with the
names of instant.server's options, log and logLevel. Flags count before the environment, that
before the file.]]
  return table.concat(lines, "\n") .. "\n"
end

local function fail(...)
  io.stderr:write("instant-lua serve: ", string.format(...), "\n")
  return 1
end

-- ---- values: each gives what it reads, or nil and what it must be ----

local function one_of(...)
  local names = { ... }
  return function(value)
    for _, name in ipairs(names) do
      if value == name then return value end
    end
    return nil, "one of " .. table.concat(names, ", ")
  end
end

local function whole(value, most)
  local number = math.tointeger(tonumber(value))
  return number and number >= 0 and number <= (most or 2 ^ 53) and number or nil
end

local UNITS = { [""] = 1, K = 1 << 10, M = 1 << 20, G = 1 << 30, T = 1 << 40 }

local READ = {
  text = function(value) return tostring(value) end,
  secret = function(value) return tostring(value) end,
  port = function(value) return whole(value, 65535), "a number from 0 to 65535" end,
  count = function(value) return whole(value), "a whole number" end,
  number = function(value)
    local number = tonumber(value)
    return number and number >= 0 and number < math.huge and number or nil, "a number"
  end,
  bytes = function(value)
    local digits, unit = tostring(value):upper():match "^(%d+)([KMGT]?)B?$"
    local bytes = digits and #digits < 16 and tonumber(digits) * UNITS[unit]
    return bytes and bytes < 2 ^ 53 and bytes or nil, "a number of bytes, such as 1048576 or 10M"
  end,
  url = function(value)
    value = tostring(value)
    return value:match "^https?://[^/]" and value or nil, "http://... or https://..."
  end,
  -- A table in the file, else names with commas in between.
  list = function(value)
    if type(value) == "table" then return value end
    local list = {}
    for name in tostring(value):gmatch "[^,%s]+" do table.insert(list, name) end
    return list
  end,
  switch = function(value)
    if value == true or value == "yes" then return true end
    if value == false or value == "no" then return false end
    return nil, "yes or no"
  end,
  script = function(value)
    if type(value) ~= "table" then return tostring(value) end
    for app, path in pairs(value) do
      local is_app = app == "*" or tostring(app):match "^%x+%-%x+%-%x+%-%x+%-%x+$"
      if not is_app or type(path) ~= "string" then
        return nil, "a file, or a table of files by app id"
      end
    end
    return value
  end,
  log = one_of("text", "json"),
  level = one_of("error", "warn", "info", "debug"),
}

-- ---- where they come from ----

local function by(position)
  local found = {}
  for _, option in ipairs(OPTIONS) do
    if option[position] then found[option[position]] = option end
  end
  return found
end

local function from_flags(args)
  local values, switches = {}, {}
  for flag, option in pairs(by(1)) do
    if option[3] ~= "secret" then values[#values + 1] = flag end
    if option[3] == "switch" then switches[#switches + 1] = flag end
  end
  return options.parse(args, { values = values, switches = switches, flags = { "new-operator" } })
end

-- The file may do what a Lua script may: it is its owner's.
local function from_file(path)
  if not path then return {} end
  local chunk, problem = loadfile(path)
  if not chunk then return nil, problem end
  local ok, result = pcall(chunk)
  if not ok then return nil, tostring(result) end
  if type(result) ~= "table" then return nil, path .. ": must return a table of options" end
  local known = by(2)
  for key in pairs(result) do
    if not known[key] then return nil, ("%s: there is no option `%s`"):format(path, tostring(key)) end
  end
  return result
end

local function read(option, value, source)
  local result, wanted = READ[option[3]](value)
  if result == nil then
    return nil, ("%s must be %s, got %s"):format(source, wanted, tostring(value))
  end
  return result
end

local function parse(args)
  local flags, problem = from_flags(args)
  if not flags or flags.help then return flags, problem end
  local file
  file, problem = from_file(options.get(flags, "config"))
  if not file then return nil, problem end
  local given = {}
  for _, option in ipairs(OPTIONS) do
    local flag, key = option[1], option[2]
    local variable = flag and os.getenv(options.variable(flag))
    if variable == "" then variable = nil end
    local value, source
    if key and flags[flag] then
      value, source = flags[flag], "--" .. flag
    elseif key and variable then
      value, source = variable, options.variable(flag)
    elseif key and file[key] ~= nil then
      value, source = file[key], "`" .. key .. "` in the file"
    end
    if value ~= nil then
      given[key], problem = read(option, value, source)
      if given[key] == nil then return nil, problem end
    elseif key then
      given[key] = DEFAULTS[key]
    end
  end
  local known = by(1)
  given.s3 = options.s3(function(flag) return given[known[flag][2]] end)
  given.newOperator = flags["new-operator"]
  if (given.tlsCert == nil) ~= (given.tlsKey == nil) then
    return nil, "--tls-cert and --tls-key belong together"
  end
  return given
end

-- ---- what it says ----

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

local function show_reach(given)
  if is_loopback(given.host) then
    print("Open to this machine only (loopback): anyone who reaches the port may read and write")
    print("an app until it has permission rules. Use --host to listen elsewhere.")
  else
    print("WARNING: open to the network, and anyone who reaches the port may read and write an app")
    print("until it has permission rules.")
  end
end

-- ---- while it serves ----

local function say(text, ...)
  io.stderr:write("instant-lua serve: ", text:format(...), "\n")
end

local function reload_script(server)
  local ok, why = server:reloadScript()
  if ok then say "script read again" else say("script kept as it was: %s", why.message) end
end

-- SIGHUP reads again what the operator may have replaced.
local function watch(server, given)
  if given.tlsCert or given.script then
    instant.onSignal("HUP", function()
      if given.tlsCert then
        local ok, why = server:reloadCertificate()
        if ok then say "certificate read again" else say("certificate kept as it was: %s", why.message) end
      end
      if given.script then reload_script(server) end
    end)
  end
  if given.script and given.watch then
    instant.every(WATCH_MS, function()
      if server:scriptHasChanged() then reload_script(server) end
    end)
  end
end

local function main(...)
  local given, problem = parse { ... }
  if not given then return fail("%s", problem) end
  if given.help then
    io.write(usage())
    return 0
  end
  instant.logLevel(given.logLevel, given.log)
  local server, err = instant.server(given)
  if not server then return fail("%s", err.message) end

  local apps
  apps, err = server:apps()
  if not apps then return fail("%s", err.message) end
  local host = given.host:find(":", 1, true) and "[" .. given.host .. "]" or given.host
  local address = ("%s:%d"):format(host, server:port())
  local first
  if #apps == 0 then
    first, err = server:createApp("first app")
    if not first then return fail("%s", err.message) end
  end
  local secure = given.tlsCert and "s" or ""
  local http, ws = ("http%s://%s"):format(secure, address), ("ws%s://%s"):format(secure, address)
  print(("Instant serves %s on %s"):format(given.data, http))
  if first then
    show_first_app(first, { id = first.id, http = http, ws = ws })
  else
    show_apps(apps)
  end
  local shown
  shown, err = show_operator(server, given.newOperator)
  if not shown then return fail("%s", err.message) end
  show_reach(given)
  io.stdout:flush()
  watch(server, given)
end

return main(...)
