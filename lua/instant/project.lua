--- What the subcommands push, pull, query and apps share: options, the way to the backend, the files of a
--- project.
--
--     options, problem = project.parse(args, flags)      "--app ID" -> options.app, the rest in order
--     to, problem = project.connect(options)             to:ask("GET", "/dash/...", body)
--     schema, problem = project.read(path)               instant.schema.lua, instant.perms.ts
--
-- Functions give nil and a sentence for whoever sits in front of the terminal. `ask` waits, so it needs a
-- task.

local api = require "instant.api"
local core = require "instant.core"
local i = require "instant.schema"
local ts = require "instant.ts_reader"

local project = {}

-- Where `instant-lua serve` listens when nobody says.
local DEFAULT_API = "http://127.0.0.1:8888"
-- Whoever holds the file of a `local:` backend is its admin; the routes want a token all the same.
local LOCAL_TOKEN = "00000000-0000-0000-0000-000000000000"

--- What every subcommand that talks to a backend takes.
project.CONNECTION = [[
  --api URL      the backend; also "local:app.db" (INSTANT_CLI_API_URI, else http://127.0.0.1:8888)
  --app ID       the app (INSTANT_APP_ID; that of the file for local:)
  --token TOKEN  the app's admin token, or an operator's (INSTANT_CLI_AUTH_TOKEN, INSTANT_APP_ADMIN_TOKEN)
]]

local SHORT = { a = "app", t = "token", y = "yes", h = "help" }
local COMMON = { api = "value", app = "value", token = "value", help = "flag" }

-- ---- options ----

--- `flags`: name -> "value", "flag" or "list" (may be given again).
function project.parse(args, flags)
  local options = {}
  local n = 1
  while n <= #args do
    local arg = args[n]
    local name, value = arg:match "^%-%-([%w-]+)=?(.*)$"
    name = name or SHORT[arg:match "^%-(%a)$"]
    local kind = name and (flags[name] or COMMON[name])
    if not name and (arg:sub(1, 1) ~= "-" or arg == "-") then
      options[#options + 1] = arg
    elseif not kind then
      return nil, ("unknown option %s (see --help)"):format(arg)
    elseif kind == "flag" then
      options[name] = true
    else
      if not arg:find("=", 1, true) then
        n = n + 1
        value = args[n]
      end
      if not value or value == "" then return nil, ("--%s needs a value"):format(name) end
      if kind == "list" then
        options[name] = options[name] or {}
        table.insert(options[name], value)
      else
        options[name] = value
      end
    end
    n = n + 1
  end
  return options
end

local function environment(...)
  for _, name in ipairs { ... } do
    local value = os.getenv(name)
    if value and value ~= "" then return value end
  end
end

-- ---- the backend ----

--- An error in the words that help most, with everything that it lists.
function project.explain(err)
  local hint = type(err.hint) == "table" and err.hint or {}
  local lines = { type(hint.message) == "string" and hint.message or err.message }
  for _, one in ipairs(type(hint.errors) == "table" and hint.errors or {}) do
    local text = type(one) == "table" and one.message or one
    local path = {}
    for _, part in ipairs(type(one) == "table" and one["in"] or {}) do path[#path + 1] = tostring(part) end
    if type(text) == "string" and (#path > 0 or not lines[1]:find(text, 1, true)) then
      lines[#lines + 1] = "  " .. (#path > 0 and table.concat(path, "->") .. ": " or "") .. text
    end
  end
  return table.concat(lines, "\n")
end

local Backend = {}
Backend.__index = Backend

-- A refusal is an answer to what was asked. Without one it may have been done all the same.
local function is_refused(err)
  return err.status ~= nil and err.status >= 400 and err.status < 500 and err.status ~= 408
end

--- Asks a route and waits: the answer, or nil, a sentence and whether it may have been done all the same.
--- `headers` go beside those that say who asks.
function Backend:ask(method, route, body, headers)
  local sent = { authorization = self.token and "Bearer " .. self.token, ["x-instant-source"] = "instant-lua" }
  for name, value in pairs(headers or {}) do sent[name] = value end
  if body ~= nil then sent["content-type"] = "application/json" end
  local answer, err = self.fetch(method, route, { headers = sent, body = body }):await()
  if answer == nil then return nil, project.explain(err), not is_refused(err) end
  return answer
end

--- The route of this app: `to:route("schema/pull")`.
function Backend:route(rest)
  return "/dash/apps/" .. self.appId .. "/" .. rest
end

function Backend:close()
  if self.release then self.release() end
  if self.backend then self.backend:close() end
end

--- `wants_app`: an app must be named.
function project.connect(options, wants_app)
  local to = setmetatable({}, Backend)
  to.api = options.api or environment "INSTANT_CLI_API_URI" or DEFAULT_API
  to.token = options.token
    or environment("INSTANT_CLI_AUTH_TOKEN", "INSTANT_APP_ADMIN_TOKEN", "INSTANT_ADMIN_TOKEN")
  to.appId = options.app or environment "INSTANT_APP_ID"
  local path = to.api:match "^local:(.+)$"
  if path then
    local err
    to.backend, err = core.backend(path)
    if not to.backend then return nil, err.message end
    to.token = to.token or LOCAL_TOKEN
    if not options.app then
      local own = to.backend:app_id()
      to.appId = own ~= "" and own or to.appId or core.id()
    end
  elseif not to.api:match "^https?://[^/]" then
    return nil, ("--api must be http://..., https://... or local:FILE, got %s"):format(to.api)
  end
  to.fetch, to.release = api.of { apiURI = to.api }
  if wants_app and not to.appId then return nil, "which app? Use --app ID or set INSTANT_APP_ID" end
  if not to.token then
    return nil, "whose token? Use --token TOKEN or set INSTANT_APP_ADMIN_TOKEN (`instant-lua serve` showed it)"
  end
  if to.appId and not to.appId:match "^%x+%-%x+%-%x+%-%x+%-%x+$" then
    return nil, ("--app must be a uuid, got %s"):format(to.appId)
  end
  return to
end

--- Asks whoever is there; what is no yes is a no.
function project.confirm(question, options)
  if options.yes then return true end
  io.stdout:write(question, " [y/N] ")
  io.stdout:flush()
  local answer = io.stdin:read "l"
  return answer ~= nil and answer:lower():match "^%s*y" ~= nil
end

-- ---- files ----

--- Where a file of the project is: as said, as the environment says, or in this folder.
function project.path(options, kind, extension)
  return options[kind] or environment("INSTANT_" .. kind:upper() .. "_FILE_PATH")
    or ("instant.%s.%s"):format(kind, extension or "lua")
end

function project.exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- All that is in a file, or nil and a sentence.
function project.text(path)
  local file, problem = io.open(path, "rb")
  if not file then return nil, ("cannot read %s"):format(problem) end
  local text = file:read "*a"
  file:close()
  if not text then return nil, ("cannot read %s"):format(path) end
  return text
end

--- The table that a Lua file returns, or a TypeScript file exports: that one is read, a Lua file is run, with `i`
--- at hand. Of a TypeScript file also what was left out, as sentences.
function project.read(path)
  local text, problem = project.text(path)
  if not text then return nil, problem end
  if path:match "%.[mc]?ts$" then return ts.read(text, path) end
  local chunk
  chunk, problem = load(text, "@" .. path, "t", setmetatable({ i = i }, { __index = _G }))
  if not chunk then return nil, problem end
  local ok, result = pcall(chunk)
  if not ok then return nil, tostring(result) end
  if type(result) ~= "table" then
    return nil, ("%s must return a table, got %s"):format(path, type(result))
  end
  return result
end

--- Writes the whole file or leaves what was there: first beside it, then in its place.
function project.write(path, text)
  local beside = path .. ".new"
  local file, problem = io.open(beside, "wb")
  if not file then return nil, ("cannot write %s"):format(problem) end
  local ok
  ok, problem = file:write(text)
  file:close()
  if ok then ok, problem = os.rename(beside, path) end
  if not ok then
    os.remove(beside)
    return nil, ("cannot write %s: %s"):format(path, problem)
  end
  return true
end

return project
