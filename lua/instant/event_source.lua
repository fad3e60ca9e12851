--- Server-sent events of a POST, over the network or of a backend in this process, coming again when
--- the connection ends (session.md 7.2).
--
--     local source = event_source.open {
--       config = ..., route = "/admin/sse", headers = {...}, query = {...}, body = {...},
--       onOpen = fn(), onMessage = fn(message), onError = fn(err, is_final),
--     }
--     source.readyState -- "connecting", "open", "closed"
--     source:close()
--
-- Whoever asks and is answered with anything but status 200 is not asked again. After a break it waits
-- as long as the backend said, and longer each time that brings no message, up to 15 s: the official
-- client goes on twice a second for ever, which a backend in trouble does not need.

local core = require "instant.core"
local http = require "instant.http"
local scheduler = require "instant.scheduler"

local RETRY_MS, MAX_RETRY_MS = 3000, 15000
-- The backend says something every 15 s (session.md 1.3).
local SILENCE_MS = 45000
-- One event: no result is longer.
local MAX_EVENT = 64 * 1024 * 1024
local MAX_REFUSAL = 1024 * 1024
local TOO_LONG = '{"type":"response-too-large","message":"An event of the backend was too long."}'

local event_source = {}

local Source = {}
Source.__index = Source

local function guarded(fn, ...)
  if not fn then return end
  local ok, text = xpcall(fn, function(err) return debug.traceback(tostring(err), 2) end, ...)
  if not ok then scheduler.fail(text) end
end

-- ---- events as text ----

--- A parser: feed it bytes, it calls `on_data(text)` for each event and `on_retry(ms)`. false: an
--- event is too long.
function event_source.parser(on_data, on_retry)
  local rest, size, lines, is_cr = {}, 0, {}, false

  local function field(line)
    local name, value = line:match "^([^:]*):? ?(.*)$"
    if line == "" then
      if #lines > 0 then
        local text = table.concat(lines, "\n")
        lines, size = {}, 0
        on_data(text)
      end
    elseif name == "data" then
      lines[#lines + 1] = value
    elseif name == "retry" and value:find "^%d+$" then
      on_retry(tonumber(value))
    end
  end

  return function(piece)
    if is_cr and piece:sub(1, 1) == "\n" then piece = piece:sub(2) end
    if piece == "" then return true end
    is_cr = piece:sub(-1) == "\r"
    size = size + #piece
    local from = 1
    while true do
      local at, stop = piece:find("\r?\n", from)
      local cr = piece:find("\r", from, true)
      if cr and (not at or cr < at) then at, stop = cr, cr end
      if not at then break end
      rest[#rest + 1] = piece:sub(from, at - 1)
      local line = table.concat(rest)
      rest, from = {}, stop + 1
      field(line)
    end
    rest[#rest + 1] = piece:sub(from)
    return size <= MAX_EVENT
  end
end

-- ---- the two ways to ask; each calls source:_head, :_text, :_ended ----

local function ask_remote(source)
  local options = source.options
  local status, refusal, refusal_size = nil, {}, 0
  local parse = event_source.parser(function(text) source:_text(text) end,
    function(ms) source.retry = ms end)
  local request
  request = http.request {
    method = "POST", url = options.config.apiURI .. options.route, query = options.query,
    headers = options.headers, json = options.body, caFile = options.config.caFile,
    timeout = -1, silence = SILENCE_MS,
    onHead = function(head)
      status = head.status
      if status == 200 then source:_head() end
    end,
    onData = function(piece)
      if status == 200 then
        if not parse(piece) and request == source.request then
          source.request = nil
          request.cancel()
          source:_ended { status = status, body = TOO_LONG }
        end
      elseif refusal_size < MAX_REFUSAL then
        refusal[#refusal + 1], refusal_size = piece, refusal_size + #piece
      end
    end,
  }
  request:next(function()
    if request ~= source.request then return end
    source:_ended(status ~= 200 and { status = status, body = table.concat(refusal) } or nil)
  end, function(err)
    if request == source.request then source:_ended(nil, err) end
  end)
  return request, request.cancel
end

local function lower(headers)
  local list = http.headerList(headers)
  for _, field in ipairs(list) do field[1] = field[1]:lower() end
  return list
end

local function ask_local(source)
  local options, request, is_open = source.options, {}, false
  local function open()
    if not is_open then source:_head() end
    is_open = true
  end
  local body = assert(core.json_encode(options.body))
  local answer, stream = options.config.backend:http("POST", options.route,
    http.query(options.query or {}), lower(options.headers), body, function(text, is_shutdown)
      if request ~= source.request then return end
      if text then
        open()
        source:_text(text)
      else
        source:_ended(nil, is_shutdown and core.error("shutdown", "The program ends.") or nil)
      end
    end)
  scheduler.soon(function()
    if request ~= source.request then return end
    if stream then
      open()
    else
      source:_ended(answer)
    end
  end)
  return request, function() if stream then stream:close() end end
end

-- ---- life ----

function Source:_connect()
  self.readyState = "connecting"
  local ask = self.options.config.backend and ask_local or ask_remote
  self.request, self._cancel = ask(self)
end

function Source:_head()
  self.readyState = "open"
  guarded(self.options.onOpen)
end

function Source:_text(text)
  self.failures = 0
  local message, err = core.json_decode(text)
  if err then return guarded(self.options.onError, err, false) end
  -- One message, or a list of them in order.
  local list = getmetatable(message) == core.array_mt and message or { message }
  for _, one in ipairs(list) do
    if self.readyState ~= "open" then return end
    guarded(self.options.onMessage, one)
  end
end

-- refusal: {status, body} of an answer that was no stream; err: why there was none.
function Source:_ended(refusal, err)
  self.request, self._cancel = nil, nil
  if self.readyState == "closed" then return end
  local is_final = refusal ~= nil or (err and err.type == "shutdown") or false
  if is_final then
    self.readyState = "closed"
    guarded(self.options.onError, refusal or err, true)
    return
  end
  self.readyState = "connecting"
  local wait = math.min(self.retry * 2 ^ self.failures, MAX_RETRY_MS)
  self.failures = self.failures + 1
  self.timer = core.timer(wait, 0, function()
    self.timer = nil
    if self.readyState == "connecting" then self:_connect() end
  end)
  guarded(self.options.onError, err, false)
end

function Source:close()
  if self.readyState == "closed" then return end
  self.readyState = "closed"
  if self.timer then self.timer:stop() end
  local cancel = self._cancel
  self.request, self._cancel, self.timer = nil, nil, nil
  if cancel then cancel() end
end

--- Connects. `onError(err, is_final)`: a break is followed by another try; final is a refusal
--- `{status=, body=text}` or the program's end.
function event_source.open(options)
  local source = setmetatable({ options = options, retry = RETRY_MS, failures = 0 }, Source)
  source:_connect()
  return source
end

return event_source
