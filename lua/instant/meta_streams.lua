---@meta instant
--- `db.streams`: texts that grow while others read them.

---@class instant.Streams
local Streams = {}

--- Begins a stream. `clientId` is its name: others read it by that. `waitUntil` is called with a
--- future that is settled when all is kept. Raises when the options are wrong.
---@param opts { clientId: string, waitUntil?: fun(finished: instant.Future), ruleParams?: table }
---@return instant.WriteStream
function Streams.createWriteStream(opts) end

--- Reads a stream from its start, or from `byteOffset`, and goes on as it grows. One of the ids must
--- be given. Raises when the options are wrong.
---@param opts { clientId?: string, streamId?: string, byteOffset?: integer, ruleParams?: table }
---@return instant.ReadStream
function Streams.createReadStream(opts) end

---@class instant.WriteStream
local WriteStream = {}

--- Adds a text (UTF-8). The future is settled when more may be written.
---@param text string
---@return instant.Future
function WriteStream:write(text) end

--- Ends the stream; the future is settled when the backend keeps all of it.
---@return instant.Future
function WriteStream:close() end

--- Ends it as one that broke off; what was written stays.
---@param reason? any
---@return instant.Future
function WriteStream:abort(reason) end

--- A future of the id of its `$streams` row.
---@return instant.Future
function WriteStream:streamId() end

--- The stream itself.
---@return instant.WriteStream
function WriteStream:getWriter() end

--- `for text in stream do` reads in a task, too, and raises when the stream cannot be read.
---@class instant.ReadStream
---@field abortReason? string at the end: why the writer broke off
local ReadStream = {}

--- A future of `{value = text, done = false}`, or `{done = true}` at the end.
---@return instant.Future
function ReadStream:read() end

--- Calls `fn(text)`, one after the other; the future is settled at the end.
---@param fn fun(text: string)
---@return instant.Future
function ReadStream:each(fn) end

--- Reads no more.
---@return instant.Future
function ReadStream:cancel() end

--- A future of the id of its `$streams` row.
---@return instant.Future
function ReadStream:streamId() end

--- The stream itself.
---@return instant.ReadStream
function ReadStream:getReader() end

return Streams
