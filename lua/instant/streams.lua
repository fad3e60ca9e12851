--- `db.streams`: texts that grow while others read them (session.md 5.14), with the official client's
--- names. Where that has a Promise, here is a future.
--
--     local out = db.streams.createWriteStream { clientId = "answer 1" }
--     out:write "Hello, "; out:write "world"
--     out:close():await()
--
--     local stream = db.streams.createReadStream { clientId = "answer 1" }
--     for text in stream do io.write(text) end           -- in a task
--     stream:each(function(text) io.write(text) end)     -- or called back; the future is its end

local bind = require "instant.bind"
local core = require "instant.core"
local Future = require "instant.future"
local http = require "instant.http"
local scheduler = require "instant.scheduler"
local task = require "instant.task"

local streams = {}

-- A write is told to be through while the backend does not keep so much: a fast writer waits.
local HIGH_WATER = 8 * 1024 * 1024
-- Text that nobody read; more is an error, as it would fill the memory.
local MAX_UNREAD = 256 * 1024 * 1024
-- A download is given up when nothing comes for so long.
local SILENCE_MS = 60000

local function settle(list, method, value)
  local waiting = {}
  for i, future in ipairs(list) do
    waiting[i], list[i] = future, nil
  end
  for _, future in ipairs(waiting) do future[method](future, value) end
end

-- A future that is settled with the others of `list`.
local function waiting_in(list)
  local future = Future.new()
  list[#list + 1] = future
  return future
end

local function failed(err)
  local future = Future.new()
  future:reject(err)
  return future
end

local function resolved(value)
  local future = Future.new()
  future:resolve(value)
  return future
end

local function check(name, opts, known)
  if type(opts) ~= "table" then
    error(("%s: expected a table, got %s"):format(name, type(opts)), 3)
  end
  for key, value in pairs(opts) do
    local expected = known[key]
    if not expected then error(("%s: unknown option `%s`"):format(name, tostring(key)), 3) end
    if type(value) ~= expected then
      error(("%s: `%s` must be a %s, got %s"):format(name, key, expected, type(value)), 3)
    end
  end
end

-- What both kinds do at their end; the listener held the loop.
local function retire(self)
  self._is_over = true
  self._open[self] = nil
  scheduler.soon(function()
    if self._handle then self._handle:stop() end
    local idle = self._client._whenIdle
    if idle and next(self._open) == nil then idle() end
  end)
end

-- ---- writing ----

local Writer = {}
Writer.__index = Writer

local function end_writer(self, err)
  if self._is_over then return end
  self._error = err
  retire(self)
  local method = err and "reject" or "resolve"
  for _, list in ipairs { self._starts, self._writes, self._ends } do
    settle(list, method, err or self._id or true)
  end
end

local function on_writer(self, kind, unflushed, what)
  if self._is_over then return end
  self._unflushed = unflushed
  if kind == "failed" then return end_writer(self, what) end
  if what then
    self._id = what
    settle(self._starts, "resolve", what)
  end
  if unflushed <= HIGH_WATER then settle(self._writes, "resolve", true) end
  if kind == "done" then end_writer(self) end
end

local function closed_error()
  return core.error("stream-closed", "Stream has been closed.")
end

--- Adds a text. The future is settled when more may be written: at once, unless much of it is not
--- kept yet.
function Writer:write(text)
  if type(text) ~= "string" then
    error("write: expected a string, got " .. type(text), 2)
  end
  if self._is_over then return failed(self._error or closed_error()) end
  local unflushed, err = self._client._core:stream_write(self._handle, text)
  if not unflushed then return failed(err) end
  self._unflushed = unflushed
  if unflushed <= HIGH_WATER then return resolved(true) end
  return waiting_in(self._writes)
end

local function finish(self, reason)
  if self._is_over then
    if self._error then return failed(self._error) end
    return self._has_ended and resolved(true) or failed(closed_error())
  end
  if not self._has_ended then
    local ok, err = self._client._core:stream_close(self._handle, reason)
    if not ok then return failed(err) end
    self._has_ended = true
  end
  return waiting_in(self._ends)
end

--- Ends the stream. The future is settled when the backend keeps all of it; the official client's is
--- so earlier, and a program that ends then may lose the rest.
function Writer:close()
  return finish(self)
end

--- Ends it as one that broke off; what was written stays. Readers see `abortReason`.
function Writer:abort(reason)
  if reason ~= nil then reason = tostring(reason) end
  if not reason or not reason:find "%S" then reason = "Stream aborted" end
  return finish(self, reason)
end

--- A future of the id of the stream's `$streams` row.
function Writer:streamId()
  if self._id then return resolved(self._id) end
  if self._is_over then return failed(self._error or closed_error()) end
  return waiting_in(self._starts)
end

--- The stream itself, which has what a writer has.
function Writer:getWriter()
  return self
end

local WRITE_OPTIONS = { clientId = "string", waitUntil = "function", ruleParams = "table" }

local function create_write_stream(client, opts)
  check("createWriteStream", opts, WRITE_OPTIONS)
  if not opts.clientId then error("createWriteStream: `clientId` is missing", 2) end
  local self = setmetatable({
    _client = client, _open = client._streams, _end = end_writer,
    _unflushed = 0, _starts = {}, _writes = {}, _ends = {},
  }, Writer)
  local err
  self._handle, err = client._core:write_stream(opts.clientId, opts.ruleParams,
    function(...) on_writer(self, ...) end)
  if not self._handle then error(err, 2) end
  self._open[self] = true
  if opts.waitUntil then
    local future = waiting_in(self._ends)
    future.handled = true
    opts.waitUntil(future)
  end
  return self
end

-- ---- reading ----

local Reader = {}
Reader.__index = Reader

local function wake(self)
  settle(self._wakers, "resolve", true)
end

local function end_reader(self, err)
  if self._is_over then return end
  self._error = err
  if self._download then self._download.cancel() end
  retire(self)
  if err then
    settle(self._starts, "reject", err)
  else
    settle(self._starts, "resolve", self._id or nil)
  end
  wake(self)
end

local function on_text(self, text)
  self._unread = self._unread + #text
  if self._unread > MAX_UNREAD then
    return end_reader(self, core.error("limit-exceeded",
      ("More than %d bytes of the stream were not read."):format(MAX_UNREAD)))
  end
  self._last = self._last + 1
  self._texts[self._last] = text
  wake(self)
end

-- Downloads what the backend keeps as a file. Told by the core again when it fails.
local function on_fetch(self, url, fetch)
  if self._download then self._download.cancel() end
  local base = self._client._apiURI
  if url:sub(1, 1) == "/" then url = base .. url end
  local function tell(what)
    if not self._is_over then self._client._core:stream_fetched(self._handle, fetch, what) end
  end
  local status, download
  if url:match "^https?://" then
    download = http.request {
      url = url, timeout = -1, silence = SILENCE_MS, caFile = self._client._caFile, redirects = 5,
      onHead = function(head) status = head.status end,
      onData = function(piece)
        if status == 200 then tell(piece) end
      end,
    }
  elseif url:match "^local:.*/storage/files/" then
    download = self._client.storage:download(url) -- in this process: there is no hurry to be told of pieces
  else
    return scheduler.soon(function() tell(false) end)
  end
  self._download = download
  local function done(is_whole)
    return function(text)
      if self._download ~= download then return end
      self._download = nil
      if is_whole and not status then tell(text) end
      tell(is_whole and (status or 200) == 200)
    end
  end
  download:next(done(true), done(false))
end

local function on_reader(self, kind, what, more)
  if self._is_over then return end
  if kind == "started" then
    self._id = what
    settle(self._starts, "resolve", what)
  elseif kind == "text" then
    on_text(self, what)
  elseif kind == "fetch" then
    on_fetch(self, what, more)
  elseif kind == "done" then
    self.abortReason = what
    end_reader(self)
  else
    end_reader(self, what)
  end
end

-- The next text; nil when there is none yet.
local function take(self)
  local text = self._texts[self._first]
  if not text then return nil end
  self._texts[self._first] = nil
  self._first = self._first + 1
  self._unread = self._unread - #text
  return text
end

-- Waits for the next text; nil, nil at the end, nil and the error.
local function next_text(self)
  while true do
    local text = take(self)
    if text then return text end
    if self._is_over then return nil, self._error end
    waiting_in(self._wakers):await()
  end
end

--- A future of `{value = text, done = false}`, or `{done = true}` at the end.
function Reader:read()
  return task.start(function()
    local text, err = next_text(self)
    if err then error(err, 0) end
    return { value = text, done = text == nil }
  end)
end

-- `for text in stream do`: raises when the stream cannot be read.
function Reader:__call()
  local text, err = next_text(self)
  if err then error(err, 2) end
  return text
end

--- Calls `fn(text)`, one after the other; the future is settled at the end.
function Reader:each(fn)
  if type(fn) ~= "function" then error("each: expected a function, got " .. type(fn), 2) end
  return task.start(function()
    for text in self do fn(text) end
    return true
  end)
end

--- Reads no more.
function Reader:cancel()
  self._texts, self._first, self._last, self._unread = {}, 1, 0, 0
  end_reader(self)
  return resolved(true)
end

--- A future of the id of the stream's `$streams` row.
function Reader:streamId()
  if self._id then return resolved(self._id) end
  if self._is_over then return failed(self._error or closed_error()) end
  return waiting_in(self._starts)
end

--- The stream itself, which has what a reader has.
function Reader:getReader()
  return self
end

local READ_OPTIONS = {
  clientId = "string", streamId = "string", byteOffset = "number", ruleParams = "table",
}

local function create_read_stream(client, opts)
  check("createReadStream", opts, READ_OPTIONS)
  local offset = opts.byteOffset or 0
  if offset < 0 or offset % 1 ~= 0 or offset >= 2 ^ 53 then
    error("createReadStream: `byteOffset` must be a whole number, 0 or more", 2)
  end
  local self = setmetatable({
    _client = client, _open = client._streams, _end = end_reader,
    _texts = {}, _first = 1, _last = 0, _unread = 0, _starts = {}, _wakers = {},
  }, Reader)
  local err
  self._handle, err = client._core:read_stream(opts.clientId, opts.streamId, opts.ruleParams, offset,
    function(...) on_reader(self, ...) end)
  if not self._handle then error(err, 2) end
  self._open[self] = true
  return self
end

-- ---- a client's ----

--- Puts `streams` on a client. `client._whenIdle`, when it is set, is called when the last stream ended.
function streams.attach(client, config)
  client._streams, client._apiURI, client._caFile = {}, config.apiURI, config.caFile
  client.streams = bind({}, {
    createWriteStream = function(_, opts) return create_write_stream(client, opts) end,
    createReadStream = function(_, opts) return create_read_stream(client, opts) end,
  })
end

--- Nothing comes any more: the client was shut down, or `err` says why.
function streams.shutdown(client, err)
  err = err or core.error("shutdown", "The client was shut down.")
  for stream in pairs(client._streams) do stream._end(stream, err) end
end

return streams
