--- How the admin SDK asks the backend: whom it acts for, and with which headers (session.md 7.1).

local api = require "instant.api"
local core = require "instant.core"
local Future = require "instant.future"

-- What the backend takes this SDK for.
local VERSION = "v1.0.67"

-- Whoever holds the file of a `local:` backend is its admin; the routes want a token all the same.
local LOCAL_TOKEN = "00000000-0000-0000-0000-000000000000"

local request = { version = VERSION, localToken = LOCAL_TOKEN }

--- Header fields that say who asks.
function request.versions()
  return { ["instant-admin-version"] = VERSION, ["instant-core-version"] = VERSION }
end

--- A copy of a table.
function request.copy(from)
  local to = {}
  for name, value in pairs(from or {}) do to[name] = value end
  return to
end

--- JSON's null at the top of an answer is nil.
function request.present(value)
  if value == core.null then return nil end
  return value
end

--- A future that failed already.
function request.failed(err)
  local future = Future.new()
  future:reject(err)
  return future
end

--- An error of this SDK's own.
function request.error(message, hint)
  local err = core.error("validation-failed", message)
  err.hint = hint
  return err
end

--- What the configuration says, completed: the way to ask, and who the app is.
function request.config(config)
  local filled = request.copy(config)
  filled.apiURI = config.apiURI or "https://api.instantdb.com"
  filled.fetch = api.of { apiURI = filled.apiURI, caFile = config.caFile }
  local path = filled.apiURI:match "^local:(.+)$"
  if path then
    filled.adminToken = config.adminToken or LOCAL_TOKEN
    local backend, err = core.backend(path)
    if not backend then return nil, err end
    filled.backend = backend -- open for as long as this client is there
    filled.appId = config.appId or backend:app_id()
  end
  return filled
end

--- Header fields of somebody who may ask, or nil and the error.
function request.headers(config, as)
  local has_token = as and (as.token ~= nil or as.guest ~= nil)
  if not has_token and not config.adminToken then
    if as and as.email ~= nil then
      return nil, request.error("Admin token required. To impersonate users with an email you must "
        .. "pass `adminToken` to `init`.")
    end
    return nil, request.error("Admin token required. To run this operation pass `adminToken` to "
      .. "`init`, or use `db.asUser`.")
  end
  local headers = request.versions()
  headers["content-type"], headers["app-id"] = "application/json", config.appId
  if config.adminToken then headers.authorization = "Bearer " .. config.adminToken end
  if not as then return headers end
  if as.email ~= nil then
    headers["as-email"] = as.email
  elseif as.token ~= nil then
    headers["as-token"] = as.token
  elseif as.guest ~= nil then
    headers["as-guest"] = "true"
  end
  return headers
end

--- Asks a route of the app; `options` are those of api.lua and `as`, whom it acts for.
function request.send(config, method, route, options)
  local headers, err = request.headers(config, options.as)
  if not headers then return request.failed(err) end
  for name, value in pairs(options.headers or {}) do
    if headers[name:lower()] == nil then headers[name] = value end
  end
  local query = request.copy(options.query)
  query.app_id = config.appId
  return config.fetch(method, route, {
    headers = headers, query = query, body = options.body, timeout = options.timeout,
  })
end

return request
