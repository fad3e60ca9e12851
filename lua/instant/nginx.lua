--- The client inside nginx (OpenResty, or nginx with its Lua module): everything on nginx's own
--- sockets and timers, nothing that blocks a worker.
--
--     init_worker_by_lua_block {
--       local nginx = require "instant.nginx"
--       db = nginx.init { appId = "...", apiURI = "http://127.0.0.1:8888" }
--       todos = nginx.live(db, { todos = {} })
--     }
--     location /todos { content_by_lua_block {
--       local result = todos:get(1)             -- what is known now; only the first waits, at most 1 s
--       ngx.say(#result.data.todos)
--     } }
--
-- Each worker has a client of its own. Handlers call it as any program does: `db:transact(...)`
-- alone does not wait, `:await()` lets the worker serve others meanwhile. Functions given to
-- `subscribeQuery` and its like are called between requests: they must not call what waits in
-- nginx (`ngx.sleep`, sockets, subrequests); `ngx.timer.at` starts what has to.
--
-- Not here: `local:` backends and storages on disk, whose fsync would stop the worker.

local handshake = require "instant.nginx_tls"

local nginx = {}

local MAX_MESSAGE = 32 * 1024 * 1024 -- as the client elsewhere
local CONNECT_MS = 10000
local PING_S, SILENCE_S = 20, 45 -- asked when nothing came for so long; dropped
local STEP_S = 1                 -- how often a worker that is to end is noticed
local FOREVER_MS = 0x7fffffff

-- Set by the first `init` of a worker.
local instant, core, Future, semaphore, web_socket, wanted

-- ---- connections ----

local Connection = {}
Connection.__index = Connection

-- Gives a fault to whoever owns the connection, once; wakes the writer to end it.
function Connection:fail(why)
  self.why = self.why or why
  self.awake:post(1)
end

local function socket_of(connection)
  local socket, why = web_socket:new { timeout = connection.connect_ms, max_payload_len = MAX_MESSAGE }
  if not socket then return nil, why end
  socket.sock.sslhandshake = function(sock, _, host) return handshake(sock, host) end
  local done
  done, why = socket:connect(connection.uri, { ssl_verify = true })
  if not done then return nil, why end
  socket:set_timeout(FOREVER_MS)
  return socket
end

-- One message, however many frames it came in; or nil, what else came, its payload.
local function receive(socket)
  local parts, size = {}, 0
  while true do
    local data, kind, err = socket:recv_frame()
    if not data then return nil, "fault", err end
    if kind ~= "text" and kind ~= "binary" and kind ~= "continuation" then return nil, kind, data end
    size = size + #data
    if size > MAX_MESSAGE then return nil, "fault", "a message is too large" end
    parts[#parts + 1] = data
    if err ~= "again" then return table.concat(parts) end
  end
end

local function read(connection, socket)
  while not connection.why do
    local message, kind, data = receive(socket)
    connection.heard = ngx.now()
    if message then
      if not connection.link:message(message) then return end
    elseif kind == "ping" then
      connection:push("pong", data)
    elseif kind == "close" then
      return connection:fail "the server closed the connection"
    elseif kind == "fault" then
      return connection:fail(tostring(data))
    end
  end
end

function Connection:push(kind, bytes)
  self.last = self.last + 1
  self.queue[self.last] = { kind, bytes }
  self.awake:post(1)
end

function Connection:pop()
  local item = self.queue[self.first]
  if not item then return nil end
  self.queue[self.first] = nil
  self.first = self.first + 1
  return item
end

local function send(connection, socket, item)
  local kind, bytes = item[1], item[2]
  local done, why
  if kind == "pong" then
    done, why = socket:send_pong(bytes)
  else
    done, why = socket:send_text(bytes)
  end
  if not done then return connection:fail(tostring(why)) end
  if kind == "text" then connection.link:sent(#bytes) end
end

-- Asks a server that was silent for long, and gives it up when it stays so.
local function check_silence(connection, socket)
  local silence = ngx.now() - connection.heard
  if silence > SILENCE_S then
    connection:fail "the server is silent"
  elseif silence > PING_S and not connection.asked then
    connection.asked = true
    local done, why = socket:send_ping()
    if not done then connection:fail(tostring(why)) end
  elseif silence <= PING_S then
    connection.asked = false
  end
end

local function write(connection, socket)
  while not connection.why do
    local item = connection:pop()
    if item then
      send(connection, socket, item)
    elseif connection.is_closed then
      connection.why = "closed"
    elseif not connection.awake:wait(STEP_S) then
      check_silence(connection, socket)
      if ngx.worker.exiting() and connection.is_closed then connection.why = "the worker ends" end
    end
  end
end

local function carry(is_premature, connection)
  if is_premature then return connection.link:closed "the worker ends" end
  local socket, why = socket_of(connection)
  if not socket then return connection.link:closed(why) end
  connection.heard = ngx.now()
  connection.link:opened()
  local reader = ngx.thread.spawn(read, connection, socket)
  write(connection, socket)
  if connection.is_closed then socket:send_close() end
  ngx.thread.kill(reader) -- which closes what it reads from
  socket.sock:close()
  connection.link:closed(connection.why)
end

local function open(link, uri, connect_ms)
  local connection = setmetatable({
    link = link, uri = uri, connect_ms = connect_ms, awake = semaphore.new(), queue = {}, first = 1, last = 0,
  }, Connection)
  local started, why = ngx.timer.at(0, carry, connection)
  if not started then
    instant.after(0, function() link:closed("nginx starts no timer: " .. tostring(why)) end)
  end
  return connection
end

-- The port is always named: the library takes 80 for wss:// too.
local function with_port(uri)
  local scheme, authority, rest = uri:match "^(wss?)://([^/?]+)(.*)$"
  if authority and not authority:find ":%d+$" then
    authority = authority .. (scheme == "wss" and ":443" or ":80")
  end
  return authority and ("%s://%s%s"):format(scheme, authority, rest) or uri
end

local function carrier(uri, config)
  local connections = setmetatable({}, { __mode = "k" })
  uri = with_port(uri)
  return function(op, link, bytes)
    local connection = connections[link]
    if op == "connect" then
      connections[link] = open(link, uri, config.connectTimeout or CONNECT_MS)
    elseif op == "send" then
      connection:push("text", bytes)
    else
      connections[link] = nil
      connection.is_closed = true
      connection.awake:post(1)
    end
  end
end

-- ---- the worker ----

-- Others of the worker come first when there is more to do at once.
local function rest()
  local ms = core.timeout()
  if ms == 0 then return ngx.sleep(0) end
  wanted:wait(ms < 0 and STEP_S or math.min(ms / 1000, STEP_S))
  while wanted:count() > 0 do wanted:wait(0) end
end

local function finish()
  instant.stop()
  for _ = 1, 10 do core.step() end
end

local function turn(is_premature)
  if is_premature then return finish() end
  while not ngx.worker.exiting() do
    core.step()
    rest()
  end
  finish()
end

-- A handler waits on a semaphore: the worker goes on serving.
local function wait(future, when_settled)
  local settled = semaphore.new()
  when_settled(future, function() settled:post(1) end)
  repeat
    local done, why = settled:wait(60)
    if not done and why ~= "timeout" then error("await: " .. tostring(why), 3) end
  until future.state ~= "pending"
end

local function find(...)
  for _, name in ipairs { ... } do
    local found, module = pcall(require, name)
    if found then return module end
  end
  error(("instant.nginx: install %s (Debian: lua-nginx-websocket, OpenResty: lua-resty-websocket)"):format((...)), 0)
end

local function start()
  web_socket = find("resty.websocket.client", "nginx.websocket.client")
  semaphore = require "ngx.semaphore"
  core, Future = require "instant.core", require "instant.future"
  if core.pid ~= ngx.worker.pid() then
    error("instant.nginx: `instant` was loaded by nginx's master; require it in init_worker_by_lua", 0)
  end
  instant = require "instant"
  wanted = semaphore.new()
  core.http = require "instant.nginx_http"
  core.on_wanted(function()
    if wanted:count() < 1 then wanted:post(1) end
  end)
  Future.wait = wait
  instant._carrier = carrier
  instant.onError(function(text) ngx.log(ngx.ERR, "instant: ", text) end)
  local started, why = ngx.timer.at(0, turn)
  if not started then error("instant.nginx: nginx starts no timer: " .. tostring(why), 0) end
end

local function check(config)
  if type(config) ~= "table" then error("init: expected a table, got " .. type(config), 3) end
  if type(config.apiURI) == "string" and config.apiURI:find "^local:" then
    error("init: a local: backend would stop nginx's worker at every commit; run `instant-lua serve`", 3)
  end
  if type(config.storage) == "string" and config.storage ~= "memory" then
    error("init: a storage on disk would stop nginx's worker; give a store of your own, or none", 3)
  end
  if config.networkListener == "netlink" then
    error("init: inside nginx nobody listens to the kernel; leave `networkListener` out", 3)
  end
end

--- As `instant.init`, for this worker; `caFile` is nginx's `lua_ssl_trusted_certificate`. To be
--- called in init_worker_by_lua or later: what is opened before the workers are made would be
--- shared by all of them.
---@param config table
---@return instant.Db
function nginx.init(config)
  check(config)
  if ngx.get_phase() == "init" then
    error("init: the workers are not there yet; call it in init_worker_by_lua", 2)
  end
  if not instant then start() end
  return instant.init(config)
end

-- ---- live results for handlers ----

--- A live query whose last result every handler of the worker can have without waiting.
---@class instant.nginx.Live
---@field result table? of the last: `{data=, pageInfo=, aggregate=}` or `{error=}`
local Live = {}
Live.__index = Live

--- The result; nil when there is none yet, after waiting for it up to `seconds` (0).
---@param seconds number?
---@return table?
function Live:get(seconds)
  if self.result or not seconds or seconds <= 0 then return self.result end
  self._waiting = self._waiting + 1
  self._first:wait(seconds)
  self._waiting = self._waiting - 1
  return self.result
end

function Live:stop()
  self._stop()
end

--- Subscribes to `query` for this worker; `opts` as for `subscribeQuery`, and `onChange(result)`,
--- called on every change.
---@param db instant.Db
---@param query table
---@param opts table?
---@return instant.nginx.Live
function nginx.live(db, query, opts)
  local live = setmetatable({ _waiting = 0, _first = semaphore.new() }, Live)
  live._stop = db:subscribeQuery(query, function(result)
    live.result = result
    if live._waiting > 0 then live._first:post(live._waiting) end
    if opts and opts.onChange then opts.onChange(result) end
  end, opts)
  return live
end

return nginx
