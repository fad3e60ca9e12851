--- Requests with bodies in pieces, to a backend over the network or in this process: what files need.
--
--     local ask = transfer.of { apiURI = "https://...", caFile = ... }
--     local answer = ask { method = "PUT", route = "/storage/upload", headers = {...},
--                          body = reader, bodySize = 5 } :await()
--
-- As instant.http.request, with a route in place of `url`.

local core = require "instant.core"
local Future = require "instant.future"
local http = require "instant.http"
local scheduler = require "instant.scheduler"

local transfer = {}

-- A transfer has no time limit of its own: it is given up when nothing moves for so long.
local SILENCE_MS = 60000

local function header_list(headers)
  local list = http.headerList(headers)
  for _, field in ipairs(list) do field[1] = field[1]:lower() end
  return list
end

-- Gives fn's error to the future, with where it came from.
local function guarded(future, fn, ...)
  local ok, result = xpcall(fn, function(err)
    return { err, debug.traceback(tostring(err), 2) }
  end, ...)
  if ok then return true, result end
  future:reject(result[1], result[2])
  future.cancel()
  return false
end

-- ---- in this process ----

local function reader_of(body)
  if type(body) == "function" then return body end
  local rest = body
  return function()
    local piece = rest
    rest = nil
    return piece
  end
end

local function upload(backend, options, future)
  local total = options.bodySize or #options.body
  local read = reader_of(options.body)
  local piece, at, sent = "", 1, 0
  local handle
  local function give_up(err)
    if handle then handle:cancel() end
    future:reject(err)
  end
  -- Puts what there is room for; called again when there is more.
  local function pump()
    while sent < total and future.state == "pending" do
      if at > #piece then
        local ok, more = guarded(future, read)
        if not ok then return end
        if type(more) ~= "string" or more == "" then
          return give_up(core.error("aborted", ("The body ended after %d of %d bytes."):format(sent, total)))
        end
        piece, at = more, 1
      end
      local taken = handle:put(piece, at)
      if taken == 0 then return end
      at, sent = at + taken, sent + taken
      if options.onProgress then options.onProgress { sent = sent, sendTotal = total } end
    end
  end
  function future.cancel()
    give_up(core.error("cancelled", "The request was cancelled."))
  end
  local refusal
  handle, refusal = backend:upload(options.method, options.route, http.query(options.query or {}),
    header_list(options.headers), total, pump, function(answer, err)
      if answer then
        future:resolve(answer)
      else
        future:reject(err)
      end
    end)
  if handle then
    scheduler.soon(pump)
  else
    scheduler.soon(function() future:resolve(refusal) end)
  end
end

-- Hands out a content piece by piece, each in its own turn.
local function deliver(content, answer, options, future)
  local pieces, received, total = {}, 0, content:size()
  local function step()
    if future.state ~= "pending" then return content:close() end
    local piece, err = content:read()
    if piece then
      received = received + #piece
      if options.onData then
        if not guarded(future, options.onData, piece) then return end
      else
        pieces[#pieces + 1] = piece
      end
      if options.onProgress then
        options.onProgress { received = received, receiveTotal = total }
      end
      scheduler.soon(step)
      return
    end
    content:close()
    if err then return future:reject(err) end
    answer.body = table.concat(pieces)
    future:resolve(answer)
  end
  step()
end

local function fetch(backend, options, future)
  local answer = backend:http(options.method or "GET", options.route, http.query(options.query or {}),
    header_list(options.headers), options.body)
  function future.cancel()
    future:reject(core.error("cancelled", "The request was cancelled."))
  end
  scheduler.soon(function()
    if future.state ~= "pending" then return end -- cancelled; the collector closes the content
    if answer.failure then return future:reject(answer.failure) end
    if options.onHead and not guarded(future, options.onHead, answer) then return end
    if answer.content then return deliver(answer.content, answer, options, future) end
    if options.onData and answer.body ~= "" and not guarded(future, options.onData, answer.body) then
      return
    end
    future:resolve(answer)
  end)
end

-- The file is held open only while it is asked: a client that was shut down must not keep it.
local function of_file(path)
  return function(options)
    local future = Future.new()
    local backend, err = core.backend(path)
    if not backend then
      future:reject(err)
      return future
    end
    if options.method == "PUT" then
      upload(backend, options, future)
    else
      fetch(backend, options, future)
    end
    backend:close()
    return future
  end
end

-- ---- over the network ----

local function of_network(config)
  local base = config.apiURI:gsub("/+$", "")
  return function(options)
    return http.request {
      method = options.method, url = options.url or base .. options.route, query = options.query,
      headers = options.headers, body = options.body, bodySize = options.bodySize,
      onHead = options.onHead, onData = options.onData, onProgress = options.onProgress,
      maxResponse = options.maxResponse, timeout = -1, silence = SILENCE_MS, caFile = config.caFile,
    }
  end
end

--- The way to ask the backend at `config.apiURI`; over the network also any `url`.
function transfer.of(config)
  local path = config.apiURI:match "^local:(.+)$"
  return path and of_file(path) or of_network(config)
end

return transfer
