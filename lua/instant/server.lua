--- A backend in this process: `instant.server{data = "folder", port = 8888}`.

local core = require "instant.core"
local Future = require "instant.future"
local script_files = require "instant.script_files"

local Server = {}
Server.__index = Server

--- The port it listens on.
function Server:port()
  return self._core:port()
end

--- The apps, oldest first: `{{id=, title=, createdAt=}, ...}`.
function Server:apps()
  return self._core:apps()
end

--- Makes an app: `{id=, title=, adminToken=}`, or `nil, err`. The token is shown this once.
function Server:createApp(title, schema)
  return self._core:create_app(title, schema)
end

--- A new operator's token, called `name`, or `nil, err`. It is shown this once. Its holder manages all apps
--- of this backend over HTTP, as `instant-lua apps` and the official command line do.
function Server:addOperator(name)
  if type(name) ~= "string" or name == "" or #name > 127 then
    error("addOperator: expected a name of 1 to 127 bytes, got " .. type(name), 2)
  end
  return self._core:add_operator(name)
end

--- Has anybody an operator's token? `nil, err` when that cannot be told.
function Server:hasOperator()
  return self._core:has_operator()
end

--- "active", "read-only" (no writes) or "disabled" (no reads either), or `nil, err`.
function Server:appStatus(app_id)
  return self._core:app_status(app_id)
end

--- Makes it so, from now on; the app's clients are told. `nil, err` when there is no such app or status.
function Server:setAppStatus(app_id, status)
  if type(status) ~= "string" then
    error("setAppStatus: expected a string, got " .. type(status), 2)
  end
  return self._core:app_status(app_id, status)
end

--- Reads certificate and key again: connections from now on have them. `nil, err`, and those before
--- stay, when that fails.
function Server:reloadCertificate()
  return self._core:reload_tls()
end

--- The scripts' files are read again: what loads is used from the next call on, what does not stays as
--- it was, and `nil, err` says why, with file and line. Connections and live queries go on.
function Server:reloadScript()
  if not self._scripts then return true end
  return self._scripts:load()
end

--- Has a file of the scripts changed since it was last read?
function Server:scriptHasChanged()
  return self._scripts ~= nil and self._scripts:hasChanged()
end

--- Counters since the start.
function Server:stats()
  return self._core:stats()
end

--- Closes every connection and the files; the future resolves when that is done.
function Server:close()
  if self._scripts then self._scripts:stop() end
  local future = Future.new()
  self._core:close(function() future:resolve(true) end)
  return future
end

-- Where it is reached when nobody says: on this machine, if it listens everywhere.
local function own_url(scheme, host, port)
  if not host or host == "0.0.0.0" then host = "127.0.0.1" end
  if host == "::" then host = "::1" end
  if host:find(":", 1, true) then host = "[" .. host .. "]" end
  return ("%s://%s:%d"):format(scheme, host, port)
end

--- Opens the data folder (made when missing), then the port. `nil, err` when either fails. `url` is
--- where clients reach it (behind a proxy, from other machines): addresses of files begin with it. Without
--- it sign-ins through trusted proxies (`trustedHops`) go by their X-Forwarded-Proto and Host.
--- `maxFileSize`: bytes of the largest file that is stored; any that fits when left out. `allowHosts`:
--- hosts ("name" or "name:port") that apps' sign-in providers may be at although they are on this
--- machine or in its network; all others must be public and speak https. `mail`: how magic codes are
--- mailed, e.g. "smtp://user:password@host:587?from=app@example.com" (smtps, postmark and sendgrid
--- too); when left out they are printed. `script`: a file with functions of the app (lua/docs/server.md),
--- for all apps, or `{[app id] = file}`; `scriptMemory` (bytes), `scriptSteps`, `scriptTime` (ms): what
--- one call of it may use.
return function(options)
  local server, err = core.server(options)
  if not server then return nil, err end
  local url = options.url or own_url(options.tlsCert and "https" or "http", options.host, server:port())
  server:allow_ephemeral(options.ephemeralApps ~= false)
  local ok
  ok, err = server:set_origin((url:gsub("/+$", "")), options.url == nil)
  for _, host in ipairs(options.allowHosts or {}) do
    if ok then
      ok, err = server:allow_host(host)
    end
  end
  if ok and options.mail then
    ok, err = server:set_mail(options.mail)
  end
  local scripts
  if ok and options.script then
    scripts = script_files(server, options.script, {
      memory = options.scriptMemory, steps = options.scriptSteps, ms = options.scriptTime,
    }, function()
      local ids = {}
      for i, app in ipairs(server:apps() or {}) do ids[i] = app.id end
      return ids
    end)
    ok, err = scripts:load()
  end
  if not ok then
    if scripts then scripts:stop() end
    server:close()
    return nil, err
  end
  return setmetatable({ _core = server, _scripts = scripts }, Server)
end
