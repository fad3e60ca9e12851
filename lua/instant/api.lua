--- The backend's HTTP routes: JSON in, JSON out. Over the network, or in this process with `local:`.
--
--     local fetch = api.of { apiURI = "https://...", caFile = ... }
--     local user = fetch("POST", "/runtime/auth/verify_refresh_token", { body = {...} }):await()
--
-- Anything but status 200 fails the future with the backend's error: {type, message, hint, status,
-- body}, where body is the whole answer (http.md 1.1, 1.3).

local core = require "instant.core"
local Future = require "instant.future"
local http = require "instant.http"
local scheduler = require "instant.scheduler"

local api = {}

local function failure(status, body, text)
  local is_table = type(body) == "table"
  local message = is_table and body.message
  if type(message) ~= "string" then
    -- What is no JSON is the message itself, as in the official client.
    message = is_table and type(body.error) == "string" and body.error or not is_table and text:find "%S" and text
      or ("The backend answered with status %d."):format(status)
  end
  local err = core.error(is_table and type(body.type) == "string" and body.type or "unknown", message)
  err.status = status
  err.hint = is_table and type(body.hint) == "table" and body.hint or nil
  err.body = is_table and body or { message = text }
  return err
end

--- What an answer `{status=, body=}` says; nil and the error when it is none.
local function read(answer)
  local body, err = core.json_decode(answer.body)
  if answer.status ~= 200 then return nil, failure(answer.status, body, answer.body) end
  if body == nil then return nil, err end
  return body
end
api.read = read

local function settle(future, answer)
  local body, err = read(answer)
  if err then
    future:reject(err)
  else
    future:resolve(body)
  end
end

local function lower(headers)
  local list = http.headerList(headers)
  for _, field in ipairs(list) do field[1] = field[1]:lower() end
  return list
end

-- The file stays open while somebody has the fetch function.
local function local_fetch(path)
  local backend
  local function fetch(method, route, options)
    local future = Future.new()
    local text, err
    if not backend then
      backend, err = core.backend(path)
    end
    if backend and options.body ~= nil then
      text, err = core.json_encode(options.body)
    end
    if err then
      future:reject(err)
      return future
    end
    local answer = backend:http(method, route, http.query(options.query or {}), lower(options.headers), text, nil,
      function(later) settle(future, later) end)
    if answer then scheduler.soon(function() settle(future, answer) end) end
    return future
  end
  return fetch, function()
    if backend then backend:close() end
    backend = nil
  end
end

local function remote_fetch(config)
  local base = config.apiURI:gsub("/+$", "")
  return function(method, route, options)
    local future = Future.new()
    local request = http.request {
      method = method, url = base .. route, query = options.query, headers = options.headers,
      json = options.body, timeout = options.timeout, caFile = config.caFile,
    }
    function future.cancel() request:cancel() end
    request:next(function(answer) settle(future, answer) end, function(err) future:reject(err) end)
    return future
  end
end

--- `fetch(method, route, {headers=, query=, body=, timeout=})` for the backend at `config.apiURI`
--- ("http://...", "https://..." with `config.caFile`, or "local:PATH"). Its future has the decoded
--- answer. For "local:PATH" also a function that lets go of the file before the collector does.
function api.of(config)
  local path = config.apiURI:match "^local:(.+)$"
  local fetch, close
  if path then
    fetch, close = local_fetch(path)
  else
    fetch = remote_fetch(config)
  end
  return function(method, route, options)
    return fetch(method, route, options or {})
  end, close
end

return api
