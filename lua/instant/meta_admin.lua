---@meta instant
--- The admin SDK: `instant.admin`.

---@class instant
---@field admin instant.Admin
local instant = {}

---@class instant.Admin
---@field tx instant.Tx the same as `instant.tx`
---@field i instant.SchemaBuilder the same as `instant.i`
---@field Webhooks fun(config: instant.WebhooksConfig): instant.Webhooks for programs without a client; has `helpers`
local admin = {}

---@class instant.AdminConfig
---@field appId? string may be left out with `local:`
---@field adminToken? string may be left out with `local:`, and where only `asUser` with a token or guest is used
---@field apiURI? string "http://host:port", "https://...", or "local:PATH" for a backend in this process
---@field schema? table of `instant.i.schema`: transactions that need other attributes fail, singular links come as one object
---@field disableValidation? boolean of queries and transactions before they are sent
---@field caFile? string CA certificates to trust for https instead of the system's
---@field useDateObjects? boolean accepted, without effect
---@field verbose? boolean accepted, without effect
---@field logger? any accepted, without effect
---@field WritableStream? any accepted, without effect
---@field ReadableStream? any accepted, without effect

--- A client that acts as the app's admin. Raises when the options are wrong.
---@param config instant.AdminConfig
---@return instant.AdminDb
function admin.init(config) end

---@param config instant.AdminConfig
---@return instant.AdminDb
---@deprecated use `init`
function admin.init_experimental(config) end

---@return string
function admin.id() end

---@param attr string
---@param value any
---@return string
function admin.lookup(attr, value) end

--- The route of a web server of your own that keeps the signed-in user in a cookie.
---@param config { appId: string }
---@return { POST: fun(req: { body: string }): { status: integer, headers: table<string, string>, body: string } }
function admin.createInstantRouteHandler(config) end

--- Functions can be called as `db:name(...)` and as `db.name(...)`. Futures fail with the backend's
--- error, which has also `body`: the whole answer.
---@class instant.AdminDb
---@field config table the options, completed
---@field impersonationOpts? instant.Impersonation
---@field tx instant.Tx
---@field auth instant.AdminAuth
---@field rooms instant.AdminRooms
---@field streams instant.Streams of a connection of its own
---@field webhooks instant.Webhooks
---@field reactions instant.Reactions
local AdminDb = {}

--- See `instant.reaction`.
---@param options instant.ReactionOptions
---@return instant.Reaction
function AdminDb:reaction(options) end

---@class instant.Impersonation one of these
---@field email? string
---@field token? string a refresh token; needs no admin token
---@field guest? boolean needs no admin token

---@class instant.AdminQueryOpts
---@field ruleParams? table for the permission rules
---@field fetchOpts? { headers: table<string, string> } sent along

--- Runs a query: the future has the data itself, `{ todos = { ... } }`.
---@param query table InstaQL
---@param opts? instant.AdminQueryOpts
---@return instant.Future
function AdminDb:query(query, opts) end

--- A live view of a query over server-sent events. Without `fn`, `for payload in sub do` in a task.
--- Raises when the query is invalid.
---@param query table
---@param fn? fun(payload: instant.AdminPayload)
---@param opts? instant.AdminQueryOpts
---@return instant.Subscription
function AdminDb:subscribeQuery(query, fn, opts) end

---@class instant.AdminPayload
---@field type "ok"|"error"
---@field data? table
---@field pageInfo? table<string, { startCursor: any, endCursor: any, hasNextPage: boolean, hasPreviousPage: boolean }>
---@field aggregate? table<string, { count: integer }> of a query that counts
---@field error? instant.Error
---@field readyState? "connecting"|"open"|"closed"
---@field isClosed? boolean
---@field sessionInfo? { machineId: string, sessionId: string }

---@class instant.Subscription
---@field readyState "connecting"|"open"|"closed"
---@field isClosed boolean
---@field sessionInfo? { machineId: string, sessionId: string }
local Subscription = {}

--- Nothing comes any more; loops end.
function Subscription:close() end

--- What waits for the next payload and gives it; nil at the end. The last 100 are kept for it.
---@return fun(): instant.AdminPayload?
function Subscription:iterate() end

--- Calls a function of the backend's script (lua/docs/server.md), as the admin or as who `asUser` says. The
--- future has what it returned.
---@param name string
---@param params? any
---@return instant.Future
function AdminDb:call(name, params) end

--- Applies one chunk or a list of them, all or nothing: the future has `{ ["tx-id"] = n }`.
---@param chunks instant.Chunk|instant.Chunk[]
---@return instant.Future
function AdminDb:transact(chunks) end

--- Runs a query and tells what the rules say to each entity that it touches. Needs `asUser`.
---@param query table
---@param opts? { rules?: table, ruleParams?: table, ip?: string, origin?: string, cardinalityInference?: boolean }
---@return instant.Future future of { result = ..., checkResults = { { id =, entity =, record =, check = }, ... } }
function AdminDb:debugQuery(query, opts) end

--- Tries a transaction, takes it back, and tells what the rules say. Needs `asUser`.
---@param chunks instant.Chunk|instant.Chunk[]
---@param opts? { rules?: table, ip?: string, origin?: string }
---@return instant.Future future of { ["tx-id"] =, ["all-checks-ok?"] =, ["committed?"] =, ["check-results"] = }
function AdminDb:debugTransact(chunks, opts) end

--- A client that acts for a user: rules apply to it.
---@param opts instant.Impersonation
---@return instant.AdminDb
function AdminDb:asUser(opts) end

---@class instant.AdminRooms
local AdminRooms = {}

--- Who is in a room: `{ [peer id] = { data =, ["peer-id"] =, user = }, ... }`.
---@param roomType string
---@param roomId string
---@return instant.Future
function AdminRooms:getPresence(roomType, roomId) end

---@class instant.UserParams one of these
---@field email? string
---@field id? string
---@field refresh_token? string

---@class instant.AdminAuth
local AdminAuth = {}

--- A code to be sent by yourself: the future has `{ code = }`.
---@param email string
---@return instant.Future
function AdminAuth:generateMagicCode(email) end

--- The same, mailed by the backend.
---@param email string
---@return instant.Future
function AdminAuth:sendMagicCode(email) end

---@param email string
---@param code string
---@return instant.Future future of the user
---@deprecated `checkMagicCode` also says whether the user is new
function AdminAuth:verifyMagicCode(email, code) end

---@param email string
---@param code string
---@param options? { extraFields?: table } attributes of `$users` for a user that is made by this
---@return instant.Future future of { user =, created = }
function AdminAuth:checkMagicCode(email, code, options) end

--- A refresh token for a user, who is made when there is none.
---@param input { email?: string, id?: string }|string
---@return instant.Future future of the token
function AdminAuth:createToken(input) end

--- The user of a refresh token. Needs no admin token.
---@param token string
---@return instant.Future
function AdminAuth:verifyToken(token) end

---@param params instant.UserParams
---@return instant.Future future of the user, or nil
function AdminAuth:getUser(params) end

--- Deletes a user, not their data.
---@param params instant.UserParams
---@return instant.Future future of who it was, or nil
function AdminAuth:deleteUser(params) end

--- Takes back all tokens of a user, or one.
---@param input instant.UserParams|string
---@return instant.Future
function AdminAuth:signOut(input) end

--- The user whose cookie (of `createInstantRouteHandler`) a request carries, or nil.
---@param req { headers: table<string, string> }
---@param opts? { disableValidation?: boolean }
---@return instant.Future
function AdminAuth:getUserFromRequest(req, opts) end

---@class instant.WebhooksConfig
---@field appId? string
---@field adminToken? string
---@field token? string
---@field apiURI? string
---@field schema? table
---@field caFile? string
---@field withAuth? fun(operation: fun(token: string): instant.Future): instant.Future

---@class instant.WebhookRequest
---@field headers table<string, string> names in any case
---@field body string|(fun(): string) the raw body

---@class instant.ValidateOpts
---@field tolerance? number seconds, 300
---@field receivedAt? instant.Date|number

---@alias instant.WebhookHandler fun(record: { namespace: string, action: string, id: string, before: table, after: table, idempotencyKey: string })

---@class instant.Webhooks
---@field appId? string
---@field schema? table
---@field apiURI string
---@field manager instant.WebhooksManager
local Webhooks = {}

--- `{ typedHandlers = fn(namespace, action, handler), combineHandlers = fn(...) }`; `"$default"` stands for any.
---@return table
function Webhooks.helpers() end

---@return instant.Future future of { keys = { ... } }
function Webhooks:fetchJwks() end

---@param kid string
---@return instant.Future future of the raw public key
function Webhooks:keyOfKid(kid) end

--- The body, when its signature is the backend's and not too old.
---@param signature string of the header Instant-Signature
---@param body string|(fun(): string)
---@param opts? instant.ValidateOpts
---@return instant.Future future of { payloadUrl =, token = }
function Webhooks:validate(signature, body, opts) end

---@param req instant.WebhookRequest
---@param opts? instant.ValidateOpts
---@return instant.Future future of { payloadUrl =, token = }
function Webhooks:validateRequest(req, opts) end

---@param body { payloadUrl: string, token: string }
---@return instant.Future future of { data = { record, ... }, idempotencyKey = }
function Webhooks:fetchPayloads(body) end

--- Hands each record to the handler of its namespace and action, else to a `$default`.
---@param handlers table
---@param payload { data: table[] }
---@return instant.Future
function Webhooks:processPayload(handlers, payload) end

--- Verifies a request, fetches its records and hands them over.
---@param handlers table
---@param req instant.WebhookRequest
---@param opts? instant.ValidateOpts
---@return instant.Future
function Webhooks:processRequest(handlers, req, opts) end

--- The same for what web servers hand over: `rawBody` or `body`, parsed or not; or `opts.body`.
---@param handlers table
---@param req table
---@param opts? table
---@return instant.Future
function Webhooks:processNodeRequest(handlers, req, opts) end

---@class instant.WebhookInfo
---@field id string
---@field sink { url: string }
---@field namespaces string[]
---@field actions string[]
---@field status "active"|"disabled"
---@field disabledReason? string
---@field createdAt instant.Date
---@field updatedAt instant.Date

---@class instant.WebhooksManager
local WebhooksManager = {}

---@return instant.Future future of instant.WebhookInfo[]
function WebhooksManager:list() end

---@param params { url: string, namespaces: string[], actions: string[] }
---@return instant.Future future of instant.WebhookInfo
function WebhooksManager:create(params) end

---@param id string
---@param params { url?: string, namespaces?: string[], actions?: string[] }
---@return instant.Future future of instant.WebhookInfo
function WebhooksManager:update(id, params) end

---@param id string
---@return instant.Future future of instant.WebhookInfo
function WebhooksManager:delete(id) end

---@param id string
---@return instant.Future future of instant.WebhookInfo
function WebhooksManager:enable(id) end

---@param id string
---@param opts? { reason?: string }
---@return instant.Future future of instant.WebhookInfo
function WebhooksManager:disable(id, opts) end

---@param id string
---@param opts? { after?: string }
---@return instant.Future future of { events = { ... }, pageInfo = { startCursor =, endCursor =, hasNextPage = } }
function WebhooksManager:listEvents(id, opts) end

---@param id string
---@param isn string
---@return instant.Future future of the event
function WebhooksManager:getEvent(id, isn) end

---@param id string
---@param isn string
---@return instant.Future future of { data = { ... }, idempotencyKey = }
function WebhooksManager:getPayload(id, isn) end

---@param id string
---@param isn string
---@return instant.Future future of the event
function WebhooksManager:resendEvent(id, isn) end

return instant
