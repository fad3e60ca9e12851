---@meta instant
--- The Lua API: types, reference and completion (LuaCATS). Not loaded at run time; a spec compares it
--- with what the module has. Names and behaviour are those of `@instantdb/core`; a Promise is a
--- future, `null` is `instant.null`, an empty list is `instant.array {}`.

---@class instant
---@field _VERSION string
---@field null lightuserdata JSON's null inside data; a missing attribute is nil
---@field tx instant.Tx the same as `db.tx`
---@field i instant.SchemaBuilder
---@field Future instant.Future the class
local instant = {}

---@class instant.Error
---@field type string "validation-failed", "record-not-unique", "timeout", "shutdown", ...
---@field message string
---@field hint? table what the backend adds
---@field status integer HTTP status; 0 when it has none
---@field traceId? string

---@class instant.Config
---@field appId? string the app's id; may be left out with `local:`
---@field apiURI? string "http://host:port", or "local:PATH" for a backend in this process
---@field websocketURI? string derived from `apiURI` when left out
---@field schema? table of `instant.i.schema`
---@field adminToken? string
---@field refreshToken? string
---@field script? string|table<string, string> with `local:`, a file of functions (lua/docs/server.md)
---@field vault? instant.Vault where the signed-in user is kept; not together with `refreshToken`
---@field useDateObjects? boolean date attributes come as `instant.date`
---@field disableValidation? boolean of queries and transactions against the schema
---@field verbose? boolean log every message
---@field caFile? string CA certificates to trust for https instead of the system's
---@field connectTimeout? number longest time in ms to open a connection
---@field networkListener? "netlink"|instant.NetworkListener who tells of the network; it is taken for there without
---@field reconnect? "linear" wait as the official client does; exponential by default
---@field firstPartyPath? string accepted, without effect
---@field devtool? any accepted, without effect
---@field queryCacheLimit? number accepted, without effect
---@field __extraDedupeKey? string makes another client of the same app; it has its own subscriptions and its own end
---@field shareConnection? boolean false: over a connection of its own, not one shared with clients made alike

--- A client of an app; the same one for the same options. Raises when they are wrong.
---@param config instant.Config
---@return instant.Db
function instant.init(config) end

--- A new id: a UUID, version 4.
---@return string
function instant.id() end

--- Milliseconds since the epoch.
---@return integer
function instant.now() end

--- A reference to the entity whose unique attribute has this value: where an id goes.
---@param attr string
---@param value any
---@return string
function instant.lookup(attr, value) end

--- Marks a list, so that an empty one is sent as `[]` and not as `{}`.
---@generic T: table
---@param list? T
---@return T
function instant.array(list) end

--- A date: now, of milliseconds, or of text. Has `.ms` and `:iso()`; dates compare.
---@param value? number|string
---@return instant.Date
function instant.date(value) end

---@class instant.Date
---@field ms number since the epoch
local Date = {}

--- "2026-01-31T12:00:00.000Z"
---@return string
function Date:iso() end

--- Starts a task, at once, up to its first wait. Its future has what `fn` returns.
---@param fn fun(...): any
---@param ... any
---@return instant.Future
function instant.task(fn, ...) end

--- Waits, letting others run.
---@param ms number
function instant.sleep(ms) end

--- Calls `fn` as a task after `ms` milliseconds.
---@param ms number
---@param fn fun()
---@return instant.Timer
function instant.after(ms, fn) end

--- The same as `instant.after`.
---@param ms number
---@param fn fun()
---@return instant.Timer
function instant.timer(ms, fn) end

--- Calls `fn` as a task every `ms` milliseconds.
---@param ms number
---@param fn fun()
---@return instant.Timer
function instant.every(ms, fn) end

---@class instant.Timer
local Timer = {}

--- Ends it; more than once is fine.
function Timer:stop() end

--- A pending future of your own.
---@return instant.Future
function instant.future() end

--- A future of the list of all values; fails with the first that fails.
---@param list (instant.Future|any)[]
---@return instant.Future
function instant.all(list) end

--- Runs until nothing is left to wait for. instant-lua does it by itself.
function instant.run() end

--- Does what is ready, without waiting: for hosts with a loop of their own.
function instant.step() end

---@class instant.PollOptions
---@field budget_ms? number milliseconds, 0 to 1000; 2 when left out

--- Does what is ready, without waiting, for about `budget_ms`: for games, once a frame. Results that are left over
--- come with the next calls, one after the other; only reading one message, or evaluating and handing out one
--- result, is not cut short. True when there is more to do right now. `db:poll` is the same.
---@param opts? instant.PollOptions
---@return boolean has_more
function instant.poll(opts) end

--- Lets reactions and jobs finish, shuts every client down, closes servers and stops timers; `true` does not wait for
--- them.
---@param now? boolean
function instant.stop(now) end

--- What to do with the text of a failure that nobody handles; stderr by default.
---@param fn fun(text: string)
function instant.onError(fn) end

--- Calls `fn` whenever the process gets that signal; does not keep the program running.
---@param name "INT"|"TERM"|"HUP"
---@param fn fun()
function instant.onSignal(name, fn) end

--- How much is logged to stderr, and whether as lines of text (at first) or of JSON.
---@param level "error"|"warn"|"info"|"debug"
---@param format? "text"|"json"
function instant.logLevel(level, format) end

---@class instant.S3Options
---@field endpoint string `https://HOST` or `http://HOST:PORT`; the bucket comes behind it, in the path
---@field bucket string
---@field region? string us-east-1 when left out
---@field accessKey string
---@field secretKey string
---@field caFile? string PEM file trusted instead of the system's roots

---@class instant.ServerOptions
---@field data string folder of the apps' data; made when missing
---@field port? integer any free one when left out
---@field host? string address to listen on; 127.0.0.1 when left out
---@field url? string where clients reach it, if not at its own address
---@field ephemeralApps? boolean may anybody make an app, which expires after 14 days? true when left out
---@field maxFileSize? integer bytes of one file that is stored
---@field maxBodySize? integer bytes of any other request
---@field maxMessageSize? integer bytes of one message of a WebSocket
---@field maxQueued? integer bytes that one client may leave unread
---@field maxConnections? integer in all
---@field maxPerAddress? integer connections from one address
---@field rate? number requests a second from one address; ten seconds' worth at once
---@field messageRate? number messages a second of one WebSocket, likewise
---@field trustedHops? integer proxies of one's own in front: whose X-Forwarded-For entries count
---@field tlsCert? string PEM file of a certificate and what leads to its root: the port speaks TLS
---@field tlsKey? string PEM file of its key
---@field s3? instant.S3Options a bucket that keeps the contents of files
---@field metricsToken? string lets `GET /metrics` through with `Authorization: Bearer ...`
---@field script? string|table<string, string> file with functions of all apps, or by app id, "*" for the others (lua/docs/server.md)
---@field scriptMemory? integer bytes of one call of a function
---@field scriptSteps? integer instructions of one call
---@field scriptTime? integer ms of the processor of one call
---@field drain? number seconds that requests and answers have when it closes

--- Opens a backend in this process with its port; `nil, err` when that fails.
---@param options instant.ServerOptions
---@return instant.Server?, instant.Error?
function instant.server(options) end

---@class instant.Server
local Server = {}

--- The port it listens on.
---@return integer
function Server:port() end

--- The apps, oldest first.
---@return { id: string, title: string, createdAt: number }[]?, instant.Error?
function Server:apps() end

--- Makes an app; its token is shown this once.
---@param title string
---@param schema? table
---@return { id: string, title: string, adminToken: string }?, instant.Error?
function Server:createApp(title, schema) end

--- A new operator's token, shown this once: its holder manages all apps of this backend over HTTP, with
--- `instant-lua apps` or the official command line. `name` says what it is for.
---@param name string
---@return string? token, instant.Error?
function Server:addOperator(name) end

--- Has anybody an operator's token?
---@return boolean?, instant.Error?
function Server:hasOperator() end

---@param appId string
---@return "active"|"read-only"|"disabled"|nil, instant.Error?
function Server:appStatus(appId) end

--- Takes no writes any more ("read-only"), no reads either ("disabled"), or both again. Clients are
--- told; it is kept across restarts.
---@param appId string
---@param status "active"|"read-only"|"disabled"
---@return string? status, instant.Error?
function Server:setAppStatus(appId, status) end

--- Reads certificate and key again, for connections from now on; when that fails those before stay.
---@return true?, instant.Error?
function Server:reloadCertificate() end

--- The files of the scripts are read again; calls that come later have them. A script that does not load
--- stays as it was, and `nil, err` says why, with file and line.
---@return boolean?, instant.Error?
function Server:reloadScript() end

--- Has a file of the scripts changed since it was read?
---@return boolean
function Server:scriptHasChanged() end

--- Counters since the start.
---@return table<string, integer>
function Server:stats() end

--- Closes every connection and the files.
---@return instant.Future
function Server:close() end

---@class instant.Future
---@field state "pending"|"resolved"|"rejected"
---@field value any
local Future = {}

--- The value, or `nil, err`. Waits inside a task; elsewhere it runs the loop.
---@return any value, any err
function Future:await() end

--- Calls `on_resolved(value)` or `on_rejected(err)` later; both may wait.
---@param on_resolved? fun(value: any): any
---@param on_rejected? fun(err: any): any
---@return instant.Future
function Future:next(on_resolved, on_rejected) end

---@param on_rejected fun(err: any): any
---@return instant.Future
function Future:catch(on_rejected) end

--- Calls `fn()` either way and passes on what was.
---@param fn fun()
---@return instant.Future
function Future:finally(fn) end

---@param value any
function Future:resolve(value) end

---@param err any
function Future:reject(err) end

---@class instant.Result
---@field data? table<string, table[]> by namespace
---@field pageInfo? table
---@field aggregate? table
---@field error? instant.Error

--- Every function can also be called with a dot.
---@class instant.Db
---@field tx instant.Tx
---@field appId string
---@field streams instant.Streams
local Db = {}

--- Calls `fn(result)` as a task now and whenever the result changes. Returns the function that ends
--- it. Raises when the query is invalid.
---@param query table InstaQL: `{ todos = { ["$"] = { where = { done = false } } } }`
---@param fn fun(result: instant.Result)
---@param opts? { ruleParams?: table }
---@return fun() unsubscribe
function Db:subscribeQuery(query, fn, opts) end

--- Asks the backend once. Rejects with type "timeout" after 30 s.
---@param query table
---@param opts? { ruleParams?: table }
---@return instant.Future future of an instant.Result
function Db:queryOnce(query, opts) end

--- Calls a function of the backend's script (lua/docs/server.md), as who has signed in. The future has what
--- it returned.
---@param name string
---@param params? any
---@return instant.Future
function Db:call(name, params) end

--- Subscribes to a live function of the backend's script. Call again when `params`, or who has signed in,
--- are others.
---@param name string
---@param params any
---@param fn fun(result: instant.Result)
---@param opts? { ruleParams?: table }
---@return fun() unsubscribe
function Db:subscribeNamed(name, params, fn, opts) end

--- Applies one chunk or a list of them here at once, and sends them. The future has `{status =
--- "synced" | "enqueued", eventId = ...}`; enqueued: not connected, it is sent later.
---@param chunks instant.Chunk|instant.Chunk[]
---@return instant.Future
function Db:transact(chunks) end

--- Calls `fn` on every change.
---@param fn fun(status: "connecting"|"opened"|"authenticated"|"closed"|"errored", err?: instant.Error)
---@return fun() unsubscribe
function Db:subscribeConnectionStatus(fn) end

---@return string status
function Db:getConnectionStatus() end

--- `instant.poll`; one client's serves them all.
---@param opts? instant.PollOptions
---@return boolean has_more
function Db:poll(opts) end

--- Calls `fn` now and on every change.
---@param fn fun(status: { isLoading: boolean, isReadOnly: boolean, status?: string })
---@return fun() unsubscribe
function Db:subscribeAppStatus(fn) end

--- Calls `fn` for every write that failed, also one whose future said "enqueued"; without such a
--- listener those are reported. Does not keep the program running.
---@param fn fun(err: instant.Error, eventId: string)
---@return fun() unsubscribe
function Db:subscribeMutationErrors(fn) end

--- Ends everything this client does; more than once is fine. What still waits is rejected with type "shutdown", which of
--- a write says only that nobody will be told of it any more: one on its way may be applied, and on a connection that is
--- shared with other clients, or with a storage, it still goes out. A write that was told "enqueued" without either is lost.
function Db:shutdown() end

--- See `instant.reaction`; for a client made with `adminToken`, or of `local:`.
---@param options instant.ReactionOptions
---@return instant.Reaction
function Db:reaction(options) end

---@alias instant.Tx table<string, instant.Namespace>
---@alias instant.Namespace table<string, instant.Chunk> by id or lookup; also `:lookup(attr, value)`

--- Never changed: every method gives a new one with one operation more.
---@class instant.Chunk
local Chunk = {}

--- Fails when the entity exists.
---@param args table
---@return instant.Chunk
function Chunk:create(args) end

--- Creates the entity unless `opts.upsert` is false.
---@param args table
---@param opts? { upsert?: boolean }
---@return instant.Chunk
function Chunk:update(args, opts) end

--- Merges objects into attributes that hold objects.
---@param args table
---@param opts? { upsert?: boolean }
---@return instant.Chunk
function Chunk:merge(args, opts) end

---@param args table<string, string|string[]> ids or lookups by label
---@return instant.Chunk
function Chunk:link(args) end

---@param args table<string, string|string[]>
---@return instant.Chunk
function Chunk:unlink(args) end

---@return instant.Chunk
function Chunk:delete() end

--- Parameters that permission rules see for this entity.
---@param args table
---@return instant.Chunk
function Chunk:ruleParams(args) end

---@class instant.SchemaBuilder
local i = {}

---@param definition { entities: table, links?: table, rooms?: table }
---@return table schema
function i.schema(definition) end

---@param attrs table<string, instant.Attr>
---@return table
function i.entity(attrs) end

---@return instant.Attr
function i.string() end
---@return instant.Attr
function i.number() end
---@return instant.Attr
function i.boolean() end
---@return instant.Attr
function i.date() end
---@return instant.Attr
function i.json() end
---@return instant.Attr
function i.any() end

---@class instant.Attr
local Attr = {}

---@return instant.Attr
function Attr:optional() end
---@return instant.Attr
function Attr:unique() end
---@return instant.Attr
function Attr:indexed() end
--- Required for types only; stored as not required.
---@return instant.Attr
function Attr:clientRequired() end

return instant
