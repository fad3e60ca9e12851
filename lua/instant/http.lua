--- HTTP requests, many at once, on the loop that everything else runs on.
--
--     local answer, err = instant.http.request { url = "https://example.com/", timeout = 5000 }:await()
--     print(answer.status, answer.headers["content-type"], #answer.body)
--
-- Certificates are verified; a proxy is taken from the environment (https_proxy and its kin);
-- redirects are not followed unless asked for. An answer of any status is an answer: only a request
-- that brought none fails. libcurl is loaded at the first request.

local core = require "instant.core"
local Future = require "instant.future"

local http = {}

--- Percent-encodes what is no letter, digit or one of `-._~`.
function http.escape(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

--- `a=1&b=x%20y` of a table, in the order of its keys.
function http.query(params)
  local names, parts = {}, {}
  for name in pairs(params) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    parts[i] = http.escape(name) .. "=" .. http.escape(params[name])
  end
  return table.concat(parts, "&")
end

local TYPES = {
  method = "string", url = "string", headers = "table", query = "table", timeout = "number",
  connectTimeout = "number", silence = "number", caFile = "string", maxResponse = "number",
  redirects = "number", bodySize = "number", json = "any", body = "any", onHead = "function",
  onData = "function", onProgress = "function",
}

local function check(options)
  if type(options) ~= "table" then
    error("http.request: expected a table, got " .. type(options), 3)
  end
  for name, value in pairs(options) do
    local expected = TYPES[name]
    if not expected then error(("http.request: unknown option `%s`"):format(tostring(name)), 3) end
    if expected ~= "any" and type(value) ~= expected then
      error(("http.request: `%s` must be a %s, got %s"):format(name, expected, type(value)), 3)
    end
  end
  if not options.url then error("http.request: `url` is missing", 3) end
  local body = type(options.body)
  if body ~= "nil" and body ~= "string" and body ~= "function" then
    error("http.request: `body` must be a string or a function, got " .. body, 3)
  end
end

-- {name = value or list of values} as a list of {name, value}, in the order of the names.
local function header_list(headers)
  local names, list = {}, {}
  for name in pairs(headers or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local values = headers[name]
    if type(values) ~= "table" then values = { values } end
    for _, value in ipairs(values) do list[#list + 1] = { name, tostring(value) } end
  end
  return list
end
http.headerList = header_list

-- Names are in lower case; the values of a repeated one are joined by commas.
local function header_map(list)
  local map = {}
  for _, field in ipairs(list) do
    local name, value = field[1], field[2]
    map[name] = map[name] and map[name] .. ", " .. value or value
  end
  return map
end

local function has_header(list, wanted)
  for _, field in ipairs(list) do
    if field[1]:lower() == wanted then return true end
  end
  return false
end

-- A failing callback ends the request with its error.
local function guarded(request, fn)
  return function(...)
    local ok, why = xpcall(fn, function(err) return { err, debug.traceback(tostring(err), 2) } end, ...)
    if ok then return why end
    request:reject(why[1], why[2])
    request.cancel()
    return nil
  end
end

local function reader(request, read)
  local next_piece = guarded(request, function()
    local piece = read()
    if piece ~= nil and type(piece) ~= "string" then
      error("http.request: `body` must return a string or nil, got " .. type(piece), 0)
    end
    return piece or ""
  end)
  return function(sink)
    local piece = next_piece()
    if piece then sink(piece) end
  end
end

local function callbacks(request, options, raw)
  if type(options.body) == "function" then raw.read = reader(request, options.body) end
  if options.onHead then
    local fn = guarded(request, options.onHead)
    raw.head = function(status, fields) fn { status = status, headers = header_map(fields) } end
  end
  if options.onData then raw.data = guarded(request, options.onData) end
  if options.onProgress then
    local fn = guarded(request, options.onProgress)
    raw.progress = function(sent, send_total, received, receive_total)
      fn { sent = sent, sendTotal = send_total, received = received, receiveTotal = receive_total }
    end
  end
  raw.done = function(result, err)
    if err then
      request:reject(err)
      return
    end
    result.headers = header_map(result.headers)
    request:resolve(result)
  end
end

local function raw_of(options)
  local url, body = options.url, options.body
  if options.query and next(options.query) ~= nil then
    url = url .. (url:find("?", 1, true) and "&" or "?") .. http.query(options.query)
  end
  local headers = header_list(options.headers)
  if options.json ~= nil then
    local text, err = core.json_encode(options.json)
    if not text then return nil, err end
    body = text
    if not has_header(headers, "content-type") then
      headers[#headers + 1] = { "Content-Type", "application/json" }
    end
  end
  return {
    method = options.method and options.method:upper() or body and "POST" or "GET",
    url = url, headers = headers, body = type(body) == "string" and body or nil,
    body_size = options.bodySize or -1, ca_file = options.caFile, timeout = options.timeout or 0,
    connect_timeout = options.connectTimeout or 0, silence = options.silence or 0,
    max_response = options.maxResponse or 0, redirects = options.redirects or 0,
  }
end

--- Asks; the future has `{status, headers, body}` and a method `cancel`. Options: `url`, `method`,
--- `headers`, `query` (added to the URL), `body` (text, or a function that gives the next piece and
--- nil at the end, with `bodySize`), `json` (a value to send), `timeout` (30000 ms; -1: none),
--- `connectTimeout` (15000), `silence` (longest pause in ms), `caFile`, `maxResponse` (bytes),
--- `redirects` (how many to follow), `onHead{status, headers}`, `onData(piece)` (then `body` stays
--- empty), `onProgress{sent, sendTotal, received, receiveTotal}`. These are called from the loop and
--- must not wait. Fails with type "timeout", "io-error", "response-too-large", "cancelled".
function http.request(options)
  check(options)
  local request = Future.new()
  local handle
  function request.cancel()
    if handle then handle:cancel() end
    request:reject(core.error("cancelled", "The request was cancelled."))
  end
  local raw, err = raw_of(options)
  if raw then
    callbacks(request, options, raw)
    handle, err = core.http(raw)
  end
  if not handle then request:reject(err) end
  return request
end

return http
