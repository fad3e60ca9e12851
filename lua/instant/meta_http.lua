---@meta instant
--- HTTP requests: `instant.http`; and what tells a client of the network.

---@class instant.NetworkListener
---@field getIsOnline fun(): boolean|instant.Future
---@field listen fun(fn: fun(isOnline: boolean)): fun() calls `fn` on changes; gives what ends that

---@class instant
---@field http instant.Http
local instant = {}

---@class instant.Http
local http = {}

---@class instant.HttpOptions
---@field url string http://... or https://...
---@field method? string GET, or POST when there is a body
---@field headers? table<string, string|string[]>
---@field query? table<string, any> added to the URL
---@field body? string|fun(): string? the body, or what gives its next piece and nil at the end
---@field bodySize? integer length of a body that comes in pieces; sent chunked without it
---@field json? any sent as JSON instead of a body
---@field timeout? number of the whole request, 30000 ms; -1: none
---@field connectTimeout? number 15000 ms
---@field silence? number longest pause without a byte, in ms
---@field caFile? string CA certificates to trust instead of the system's
---@field maxResponse? integer bytes of an answer that is kept, 64 MiB
---@field redirects? integer how many to follow; none by default
---@field onHead? fun(head: instant.HttpAnswer) when the answer begins
---@field onData? fun(piece: string) the answer's body as it comes; `body` stays empty then
---@field onProgress? fun(progress: { sent: number, sendTotal: number, received: number, receiveTotal: number })

---@class instant.HttpAnswer
---@field status integer
---@field headers table<string, string> names in lower case
---@field body string

--- Asks; the future has an instant.HttpAnswer, of whatever status, and a method `cancel`. It fails
--- with type "timeout", "io-error", "response-too-large" or "cancelled". Callbacks come from the
--- loop and must not wait.
---@param options instant.HttpOptions
---@return instant.Future
function http.request(options) end

--- Percent-encodes what is no letter, digit or one of `-._~`.
---@param text any
---@return string
function http.escape(text) end

--- `a=1&b=x%20y` of a table, in the order of its keys.
---@param params table<string, any>
---@return string
function http.query(params) end

--- {name = value} as a list of {name, value}, in the order of the names.
---@param headers? table<string, string|string[]>
---@return string[][]
function http.headerList(headers) end

return instant
