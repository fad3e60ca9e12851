--- `db.storage`: files, with the names of `@instantdb/core`, and of `@instantdb/admin` for the admin
--- SDK (http.md 5).
--
--     db.storage:uploadFile("photos/demo.png", { file = "demo.png" }, { contentType = "image/png" }):await()
--     local text = db.storage:download("notes.txt"):await()
--     db.storage:download("photos/demo.png", { to = "copy.png" }):await()

local api = require "instant.api"
local bind = require "instant.bind"
local core = require "instant.core"
local Future = require "instant.future"
local request = require "instant.admin_request"
local task = require "instant.task"
local transfer = require "instant.transfer"

local PIECE = 65536
-- How much of an answer that is an error is read.
local ERROR_MAX = 65536

local files = {}
local Storage = {} -- of a client
local Admin = {} -- of the admin SDK

local function failed(err)
  local future = Future.new()
  future:reject(err)
  return future
end

local function check_path(name, path)
  if type(path) ~= "string" or path == "" then
    error(("%s: expected a path, got %s"):format(name, path == "" and "an empty one" or type(path)), 3)
  end
end

-- ---- contents ----

local function read_file(file)
  return function()
    local piece, err = file:read(PIECE)
    if err then error(core.error("io-error", err), 0) end
    return piece
  end
end

local function size_of(file)
  local at = file:seek()
  local size = at and file:seek "end"
  if not size or not file:seek("set", at) then return nil end
  return size - at
end

local function open_file(path)
  local file, why = io.open(path, "rb")
  if not file then return nil, core.error("io-error", why) end
  local size, err = size_of(file), nil
  if not size or file:read(0) == nil and size > 0 then -- a folder opens, and cannot be read
    file:close()
    err = core.error("io-error", path .. ": this is no file to read")
  end
  if err then return nil, err end
  return read_file(file), size, file
end

-- What to send, how much it is, and what to close when it is over.
local function contents_of(contents, opts)
  if type(contents) == "string" then return contents, #contents end
  if type(contents) == "table" and type(contents.file) == "string" then
    return open_file(contents.file)
  end
  local size = opts.fileSize
  if io.type(contents) == "file" then
    size = size or size_of(contents)
    contents = read_file(contents)
  end
  if not size then
    return nil, core.error("validation-failed", "fileSize is required in metadata when uploading streams")
  end
  return contents, size
end

local function check_contents(name, contents)
  local kind = type(contents)
  local is_file = kind == "table" and type(contents.file) == "string"
  if kind ~= "string" and kind ~= "function" and not is_file and io.type(contents) ~= "file" then
    error(("%s: expected a string, {file=}, an open file or a function that reads, got %s"):format(name, kind), 3)
  end
end

-- ---- header texts ----

-- Code points, or nil when it is no UTF-8.
local function code_points(text)
  local points, at = {}, 1
  while at <= #text do
    local byte = text:byte(at)
    local count = byte < 0x80 and 0 or byte >= 0xc2 and byte < 0xe0 and 1 or byte >= 0xe0 and byte < 0xf0 and 2
      or byte >= 0xf0 and byte < 0xf5 and 3
    if not count or at + count > #text then return nil end
    local point = count == 0 and byte or byte % 2 ^ (6 - count)
    for i = at + 1, at + count do
      local next_byte = text:byte(i)
      if next_byte < 0x80 or next_byte > 0xbf then return nil end
      point = point * 64 + next_byte % 64
    end
    points[#points + 1] = point
    at = at + count + 1
  end
  return points
end

-- As the official client sends it: one byte a character. What that cannot say, or what the backend
-- would take for UTF-8 then, goes as UTF-8.
local function header_text(text)
  local points = code_points(text)
  if not points then return text end
  local bytes = {}
  for i, point in ipairs(points) do
    if point > 0xff then return text end
    bytes[i] = string.char(point)
  end
  local latin = table.concat(bytes)
  return latin:find "[\128-\255]" and code_points(latin) and text or latin
end

-- ---- asking ----

local function progress_of(fn, sent, total)
  if not fn then return nil end
  if type(fn) ~= "function" then error("onProgress: expected a function, got " .. type(fn), 3) end
  local last = -1
  -- As a task: it may wait, and its failure is reported and stops no transfer.
  return function(p)
    if p[sent] == last then return end
    last = p[sent]
    task.start(fn, { loaded = p[sent], total = p[total] or 0 })
  end
end

local function nothing() end

-- A future that can be cancelled before there is anything to cancel.
local function cancellable(ended)
  local future = Future.new()
  function future.cancel()
    (ended or nothing)()
    future:reject(core.error("cancelled", "The request was cancelled."))
  end
  return future
end

-- Passes the answer of one request on, and its cancel. ended() is called first, either way.
local function settle(future, asked, fn, ended)
  function future.cancel() asked.cancel() end
  asked:next(function(answer)
    (ended or nothing)()
    local value, err = fn(answer)
    if err then
      future:reject(err)
    else
      future:resolve(value)
    end
  end, function(err)
    (ended or nothing)()
    future:reject(err)
  end)
end

-- Asks with the headers of whoever uses the storage, which may have to be waited for.
local function ask(self, options, fn, ended)
  local future = cancellable(ended)
  self._who():next(function(headers)
    if future.state ~= "pending" then return end -- cancelled
    for name, value in pairs(headers) do
      if options.headers[name] == nil then options.headers[name] = value end
    end
    settle(future, self._ask(options), fn, ended)
  end, function(err)
    (ended or nothing)()
    future:reject(err)
  end)
  return future
end

local function ask_json(self, method, route, query, body)
  local headers = { ["content-type"] = "application/json" }
  query.app_id = self._appId
  return ask(self, {
    method = method, route = self._prefix .. route, query = query, headers = headers,
    body = body and assert(core.json_encode(body)),
  }, api.read)
end

local function present(value)
  if value == core.null then return nil end
  return value
end

-- The part `data` of an answer, which may be null.
local function data_of(answer)
  return present(answer.data)
end

local function put(self, options, contents, opts, fn)
  local body, size, file = contents_of(contents, opts)
  if not body then return failed(size) end
  options.method, options.body, options.bodySize = "PUT", body, size
  options.onProgress = progress_of(opts.onProgress, "sent", "sendTotal")
  return ask(self, options, fn, file and function()
    if io.type(file) == "file" then file:close() end
  end)
end

local function upload(self, path, contents, opts)
  return put(self, {
    route = self._prefix .. "/storage/upload",
    query = self._prefix ~= "" and { app_id = self._appId } or nil,
    headers = {
      path = header_text(path),
      ["content-type"] = opts.contentType,
      ["content-disposition"] = opts.contentDisposition and header_text(opts.contentDisposition) or nil,
    },
  }, contents, opts, api.read)
end

--- Stores `contents` under `path`, in place of what is there: a string, `{file = "name"}`, an open
--- file, or a function that gives the next piece and nil at the end (with `opts.fileSize`). `opts`:
--- `contentType`, `contentDisposition`, `onProgress{loaded, total}`. The future has `{data = {id =
--- ...}}` and a method `cancel`.
function Storage:uploadFile(path, contents, opts)
  check_path("uploadFile", path)
  check_contents("uploadFile", contents)
  return upload(self, path, contents, opts or {})
end

--- Deletes the file of a path; the future has `{id = ...}` of what was there. (The official types say
--- `{data = {id = ...}}`: that is there, too.) Deprecated: `db:transact(db.tx["$files"][...]:delete())`.
function Storage:delete(path)
  check_path("delete", path)
  return ask_json(self, "DELETE", "/storage/files", { filename = path }):next(function(answer)
    local id = present(answer.data.id)
    return { id = id, data = { id = id } }
  end)
end

-- Two steps: an address for one upload, then the upload (http.md 5.4).
local function upload_by_address(self, path, contents, opts)
  local body = { app_id = self._appId, filename = path }
  local done = Future.new()
  ask_json(self, "POST", "/storage/signed-upload-url", {}, body):next(function(answer)
    local route = type(answer.data) == "string" and answer.data:match "(/storage/[^/]+/consume%-upload%-url)$"
    if not route then error(core.error("unknown", "The backend gave no address for the upload."), 0) end
    local to = { route = route, url = answer.data:match "^https?://.+" }
    to.headers = { ["content-type"] = opts.contentType }
    return put({ _who = files.nobody, _ask = self._ask }, to, contents, opts, function(result)
      return result.status >= 200 and result.status < 300
    end)
  end):next(function(ok) done:resolve(ok) end, function(err) done:reject(err) end)
  return done
end

--- Deprecated: `uploadFile`. The future says whether it worked.
function Storage:upload(path, contents)
  check_contents("upload", contents)
  if path == nil and type(contents) == "table" then path = contents.file:match "[^/]+$" end
  check_path("upload", path)
  return upload_by_address(self, path, contents, {})
end
Storage.put = Storage.upload

--- The address of a file, good for some days; nil when there is none. Deprecated: query `$files`.
function Storage:getDownloadUrl(path)
  check_path("getDownloadUrl", path)
  return ask_json(self, "GET", "/storage/signed-download-url", { filename = path }):next(data_of)
end

-- ---- downloads ----

local function no_file(path)
  local err = core.error("record-not-found", "Record not found: app-file")
  err.status, err.hint = 404, { ["record-type"] = "app-file", args = { { path = path } } }
  return err
end

-- Writes beside the file and gives it its name when it is whole.
local function sink_of(path)
  local part = ("%s.%s.part"):format(path, core.id())
  local file, why = io.open(part, "wb")
  if not file then return nil, core.error("io-error", why) end
  local sink = { size = 0 }
  function sink.write(piece)
    local ok, err = file:write(piece)
    if not ok then error(core.error("io-error", err), 0) end
    sink.size = sink.size + #piece
  end
  function sink.keep()
    local ok, err = file:close()
    if ok then ok, err = os.rename(part, path) end
    if ok then return { path = path, size = sink.size } end
    os.remove(part)
    return nil, core.error("io-error", err)
  end
  function sink.drop()
    if io.type(file) == "file" then file:close() end
    os.remove(part)
  end
  return sink
end

-- Where an address leads: a route of a backend in this process, or a URL.
local function target_of(address)
  if address:find "^local:" then return { route = address:match "^.*(/storage/files/[^?]+)" } end
  return { url = address }
end

local function params_of(address)
  local query = {}
  for name, value in (address:match "%?(.*)$" or ""):gmatch "([^&=]+)=([^&]*)" do query[name] = value end
  return query
end

local function fetch(self, address, opts, sink)
  local options, status, trouble = target_of(address), 200, {}
  local length = 0
  if options.route then options.query = params_of(address) end
  options.method, options.headers = "GET", {}
  options.onProgress = progress_of(opts.onProgress, "received", "receiveTotal")
  options.maxResponse = 2 ^ 53
  if sink then
    options.onHead = function(head) status = head.status end
    options.onData = function(piece)
      if status == 200 then return sink.write(piece) end
      length = length + #piece
      if length <= ERROR_MAX then trouble[#trouble + 1] = piece end
    end
  end
  return self._ask(options), function(answer)
    if answer.status ~= 200 then
      if sink then sink.drop() end
      return api.read { status = answer.status, body = sink and table.concat(trouble) or answer.body }
    end
    if sink then return sink.keep() end
    return answer.body
  end
end

local function start_download(self, future, address, opts)
  local sink, err
  if opts.to then
    sink, err = sink_of(opts.to)
    if not sink then return future:reject(err) end
  end
  local asked, finish = fetch(self, address, opts, sink)
  settle(future, asked, finish)
  asked:catch(function() -- failed, or cancelled on the way
    if sink then sink.drop() end
  end)
end

--- The content of a file, by its path or its address (`url` of a `$files` row): the future has it as
--- a string; with `opts.to`, the name of a file here, `{path=, size=}` of that, which is there whole
--- or not at all. `opts.onProgress{loaded, total}`. The future has a method `cancel`.
function Storage:download(source, opts)
  check_path("download", source)
  opts = opts or {}
  local future = cancellable()
  if source:find "^https?://" or source:find "^local:.*/storage/files/" then
    start_download(self, future, source, opts)
    return future
  end
  self:getDownloadUrl(source):next(function(address)
    if future.state ~= "pending" then return end
    if not address then return future:reject(no_file(source)) end
    start_download(self, future, address, opts)
  end, function(err) future:reject(err) end)
  return future
end

-- ---- the admin SDK ----

Admin.uploadFile, Admin.getDownloadUrl, Admin.download = Storage.uploadFile, Storage.getDownloadUrl, Storage.download

--- Deletes the file of a path; the future has `{data = {id = ...}}` of what was there. Deprecated:
--- `db:transact(db.tx["$files"][...]:delete())`.
function Admin:delete(path)
  check_path("delete", path)
  return ask_json(self, "DELETE", "/storage/files", { filename = path }):next(function(answer)
    return { data = { id = present(answer.data.id) } }
  end)
end

--- Deletes the files of many paths; the future has `{data = {ids = {...}}}` of those that were there.
--- Deprecated: `db:transact` with many deletes.
function Admin:deleteMany(paths)
  if type(paths) ~= "table" then error("deleteMany: expected a list of paths, got " .. type(paths), 2) end
  local list = setmetatable({}, core.array_mt)
  for i, path in ipairs(paths) do list[i] = path end
  return ask_json(self, "POST", "/storage/files/delete", {}, { filenames = list })
end

--- Deprecated: `uploadFile`. The future says whether it worked.
function Admin:upload(path, contents, opts)
  check_path("upload", path)
  check_contents("upload", contents)
  return upload_by_address(self, path, contents, opts or {})
end

--- All files: `{{key=, name=, size=}, ...}`. Deprecated: query `$files`.
function Admin:list()
  return ask_json(self, "GET", "/storage/files", {}):next(data_of)
end

-- ---- who asks ----

--- Asks as nobody.
function files.nobody()
  local future = Future.new()
  future:resolve {}
  return future
end

--- The storage of the admin SDK for `config`, acting for `as` (admin_request.lua).
function files.of_admin(config, as)
  return bind({
    _appId = config.appId,
    _prefix = "/admin",
    _ask = transfer.of(config),
    _who = function()
      local headers, err = request.headers(config, as)
      if not headers then return failed(err) end
      headers["content-type"] = nil
      local future = Future.new()
      future:resolve(headers)
      return future
    end,
  }, Admin)
end

--- The storage of a client: `config` has `apiURI`, `caFile`, `appId`, and `token()`, whose future has
--- the user's refresh token or nil. With an `adminToken` it asks as the admin.
function files.of_client(config)
  local token = config.adminToken
  if token then
    -- Any token makes a session in this process the admin's; the routes want one that looks right.
    if config.apiURI:find "^local:" then token = request.localToken end
    return bind({
      _appId = config.appId,
      _prefix = "/admin",
      _ask = transfer.of(config),
      _who = function()
        local future = Future.new()
        future:resolve { ["app-id"] = config.appId, authorization = "Bearer " .. token }
        return future
      end,
    }, Storage)
  end
  return bind({
    _appId = config.appId,
    _prefix = "",
    _ask = transfer.of(config),
    _who = function()
      return config.token():next(function(user_token)
        return {
          ["app-id"] = config.appId,
          app_id = config.appId,
          authorization = "Bearer " .. (user_token or "undefined"),
        }
      end)
    end,
  }, Storage)
end

return files
