--- HTTP requests over nginx's own sockets: what `core.http` does elsewhere (binding/http.c has the
--- shape), for `instant.http` inside nginx.
--
-- One connection a request, HTTP/1.1. Certificates are verified against what nginx trusts
-- (`lua_ssl_trusted_certificate`); names are looked up by nginx's `resolver`.

local core = require "instant.core"
local handshake = require "instant.nginx_tls"

local MAX_HEAD = 65536    -- bytes of the answer's head
local MAX_ANSWER = 64 * 1024 * 1024
local PIECE = 65536
local CONNECT_MS, TIMEOUT_MS = 15000, 30000
local NO_BODY = { [204] = true, [304] = true }
local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

-- Ends a request: caught at its end, told to whoever asked.
local function give_up(kind, text, ...)
  error(core.error(kind, text:format(...)), 0)
end

local function read_failed(why)
  if why == "timeout" then give_up("timeout", "The server did not answer in time.") end
  give_up("io-error", "The answer could not be read: %s", tostring(why))
end

local function parts_of(url)
  if url:find "[%c ]" then give_up("io-error", "An address holds a space or a line end.") end
  local scheme, authority, target = url:match "^(https?)://([^/?#]+)([^#]*)"
  if not scheme then give_up("io-error", "No http:// or https:// address: %s", url) end
  authority = authority:gsub("^.*@", "")
  local host, port = authority:match "^(%[[%x:.]+%]):?(%d*)$"
  if not host then host, port = authority:match "^([^:]+):?(%d*)$" end
  if not host then give_up("io-error", "No host in the address: %s", url) end
  if target:sub(1, 1) ~= "/" then target = "/" .. target end
  return {
    is_tls = scheme == "https", host = host, target = target, authority = authority,
    port = tonumber(port) or (scheme == "https" and 443 or 80),
  }
end

-- What is left of the request's time, at most `most`; raises when there is none.
local function time_left(state, most)
  if state.ends == nil then return most end
  local left = state.ends - core.now()
  if left <= 0 then give_up("timeout", "The request took too long.") end
  return math.min(left, most)
end

local function connect(state, to)
  local raw, socket = state.raw, ngx.socket.tcp()
  state.socket = socket
  local limit = raw.connect_timeout > 0 and raw.connect_timeout or CONNECT_MS
  socket:settimeout(time_left(state, limit))
  local done, why = socket:connect(to.host, to.port)
  if not done then give_up("io-error", "Could not connect to %s: %s", to.authority, tostring(why)) end
  if to.is_tls then
    done, why = handshake(socket, to.host)
    if not done then give_up("io-error", "TLS with %s failed: %s", to.authority, tostring(why)) end
  end
  local silence = raw.silence > 0 and raw.silence or TIMEOUT_MS
  state.silence = raw.timeout < 0 and raw.silence <= 0 and 0x7fffffff or silence
  socket:settimeout(time_left(state, state.silence))
end

local function send(state, bytes)
  local sent, why = state.socket:send(bytes)
  if not sent then give_up("io-error", "The request could not be sent: %s", tostring(why)) end
end

-- The next piece of a body that a function gives; nil at its end.
local function next_piece(raw)
  local piece
  raw.read(function(text) piece = text end)
  return piece ~= "" and piece or nil
end

-- What says who asks is for the first host alone.
local SECRETS = { authorization = true, cookie = true, ["proxy-authorization"] = true }

local function send_request(state, to, method)
  local raw = state.raw
  if not method:find "^[%u-]+$" then give_up("io-error", "No method: %s", method) end
  local lines = { ("%s %s HTTP/1.1"):format(method, to.target), "Host: " .. to.authority, "Connection: close" }
  for _, field in ipairs(raw.headers) do
    if (field[1] .. field[2]):find "[\r\n%z]" then give_up("io-error", "A header field holds a line end.") end
    if to.is_first or not SECRETS[field[1]:lower()] then lines[#lines + 1] = field[1] .. ": " .. field[2] end
  end
  local is_chunked = raw.read and raw.body_size < 0
  if is_chunked then
    lines[#lines + 1] = "Transfer-Encoding: chunked"
  elseif raw.read then
    lines[#lines + 1] = ("Content-Length: %d"):format(raw.body_size)
  elseif raw.body or method ~= "GET" and method ~= "HEAD" then
    lines[#lines + 1] = ("Content-Length: %d"):format(#(raw.body or ""))
  end
  send(state, table.concat(lines, "\r\n") .. "\r\n\r\n" .. (raw.body or ""))
  if not raw.read then return end
  for piece in next_piece, raw do
    send(state, is_chunked and ("%x\r\n%s\r\n"):format(#piece, piece) or piece)
  end
  if is_chunked then send(state, "0\r\n\r\n") end
end

local function line_of(state)
  state.socket:settimeout(time_left(state, state.silence))
  local line, why = state.socket:receive "*l"
  if not line then read_failed(why) end
  state.head_size = state.head_size + #line
  if state.head_size > MAX_HEAD then give_up("response-too-large", "The head of the answer is too large.") end
  return line
end

local function read_head(state)
  local status, fields
  repeat -- 1xx are not the answer
    state.head_size = 0
    status = tonumber((line_of(state):match "^HTTP/1%.[01] (%d%d%d)"))
    if not status then give_up("io-error", "The answer is no HTTP/1.1.") end
    fields = {}
    for line in line_of, state do
      if line == "" then break end
      local name, value = line:match "^([^:%s]+):%s*(.-)%s*$"
      if name then fields[#fields + 1] = { name:lower(), value } end
    end
  until status >= 200
  return status, fields
end

local function field_of(fields, name)
  for _, field in ipairs(fields) do
    if field[1] == name then return field[2] end
  end
  return nil
end

-- A function that takes the pieces of a body, and one that gives the whole of it.
local function gather(state)
  local raw, pieces, size = state.raw, {}, 0
  local most = raw.max_response > 0 and raw.max_response or MAX_ANSWER
  local function take(piece)
    size = size + #piece
    if raw.data then
      raw.data(piece)
    else
      if size > most then give_up("response-too-large", "The answer is larger than %d bytes.", most) end
      pieces[#pieces + 1] = piece
    end
    if raw.progress then raw.progress(0, 0, size, state.length or 0) end
  end
  return take, function() return table.concat(pieces) end
end

local function read_some(state, size, take)
  while size > 0 do
    if state.is_cancelled then give_up("cancelled", "The request was cancelled.") end
    state.socket:settimeout(time_left(state, state.silence))
    local piece, why = state.socket:receiveany(math.min(size, PIECE))
    if not piece then
      if why == "closed" and size == math.huge then return end
      read_failed(why)
    end
    take(piece)
    size = size - #piece
  end
end

local function read_chunks(state, take)
  while true do
    state.head_size = 0
    local size = tonumber(line_of(state):match "^%x+", 16)
    if not size then give_up("io-error", "The answer is broken: no length of a chunk.") end
    if size == 0 then break end
    read_some(state, size, take)
    line_of(state)
  end
  while line_of(state) ~= "" do end
end

local function read_body(state, method, status, fields)
  local take, whole = gather(state)
  if method == "HEAD" or NO_BODY[status] then return "" end
  local coding = field_of(fields, "transfer-encoding")
  state.length = tonumber(field_of(fields, "content-length"))
  if coding and coding:lower() == "chunked" then
    read_chunks(state, take)
  else
    read_some(state, state.length or math.huge, take)
  end
  return whole()
end

local function absolute(location, base)
  if location:find "^https?://" then return location end
  if location:sub(1, 1) ~= "/" then location = "/" .. location end
  return base:match "^https?://[^/?#]+" .. location
end

local function exchange(state)
  local raw, method, url = state.raw, state.raw.method, state.raw.url
  local first
  for hop = 0, math.max(raw.redirects, 0) do
    local to = parts_of(url)
    first = first or to
    to.is_first = to.host == first.host and to.port == first.port and to.is_tls == first.is_tls
    connect(state, to)
    send_request(state, to, method)
    local status, fields = read_head(state)
    local location = REDIRECTS[status] and field_of(fields, "location")
    if not location or hop == raw.redirects or raw.read then
      if raw.head then raw.head(status, fields) end
      return { status = status, headers = fields, body = read_body(state, method, status, fields) }
    end
    state.socket:close()
    if status == 303 or (status < 307 and method == "POST") then method, raw.body = "GET", nil end
    url = absolute(location, url)
  end
end

local function run(is_premature, state)
  if is_premature or state.is_cancelled then return end
  local ok, result = pcall(exchange, state)
  pcall(function() state.socket:close() end)
  if state.is_cancelled then return end
  state.is_over = true
  if ok then
    state.raw.done(result)
  elseif type(result) == "table" then
    state.raw.done(nil, result)
  else
    state.raw.done(nil, core.error("io-error", tostring(result)))
  end
end

--- As `core.http`: starts the request; the handle has `cancel`.
return function(raw)
  local state = { raw = raw }
  if raw.timeout >= 0 then
    state.ends = core.now() + (raw.timeout > 0 and raw.timeout or TIMEOUT_MS)
  end
  -- A socket belongs to the handler that opened it, and a request may outlive the one that asked.
  local started, why = ngx.timer.at(0, run, state)
  if not started then return nil, core.error("io-error", "nginx starts no timer: " .. tostring(why)) end
  return { cancel = function() state.is_cancelled = true end }
end
