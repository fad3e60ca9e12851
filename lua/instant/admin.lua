--- The admin SDK: what a server that holds an app's admin token may do, with the names of
--- `@instantdb/admin`.
--
--     local db = instant.admin.init { appId = "...", adminToken = "...", apiURI = "http://..." }
--     local result, err = db:query { todos = {} } :await()
--     db:transact(db.tx.todos[instant.id()]:update { title = "Hello" }):await()
--     db:asUser { email = "a@example.com" } :query { todos = {} } :await()

local admin_streams = require "instant.admin_streams"
local auth = require "instant.admin_auth"
local bind = require "instant.bind"
local core = require "instant.core"
local reactions = require "instant.reactions"
local request = require "instant.admin_request"
local route_handler = require "instant.route_handler"
local schema = require "instant.schema"
local files = require "instant.files"
local functions = require "instant.functions"
local subscription = require "instant.subscription"
local tx = require "instant.tx"
local webhooks = require "instant.webhooks"

local Db = {}

-- ---- queries and transactions ----

local function with_rule_params(query, opts)
  if type(query) ~= "table" or not (opts and opts.ruleParams ~= nil) then return query end
  local whole = request.copy(query)
  if whole["$$ruleParams"] == nil then whole["$$ruleParams"] = opts.ruleParams end
  return whole
end

local function check(self, validate, value)
  if self.config.disableValidation then return true end
  return validate(value, self.config.schema)
end

local function send(self, method, route, options)
  options.as = self.impersonationOpts
  return request.send(self.config, method, route, options)
end

local function fetch_headers(opts)
  return opts and opts.fetchOpts and opts.fetchOpts.headers
end

--- Runs a query; the future has the data: `{todos = {...}}`. `opts.ruleParams` go to the rules;
--- `opts.fetchOpts.headers` are sent along.
function Db:query(query, opts)
  query = with_rule_params(query, opts)
  local ok, err = check(self, core.validate_query, query)
  if not ok then return request.failed(err) end
  return send(self, "POST", "/admin/query", {
    headers = fetch_headers(opts),
    body = { query = query, ["inference?"] = self.config.schema ~= nil },
  })
end

--- A live view of a query: calls `fn(payload)` with each result, or gives payloads to
--- `for payload in sub do` in a task. Returns the subscription, which has `:close()`. Raises when the
--- query is invalid. `opts` as for `query`.
function Db:subscribeQuery(query, fn, opts)
  if fn ~= nil and type(fn) ~= "function" then
    error("subscribeQuery: expected a function, got " .. type(fn), 2)
  end
  query = with_rule_params(query, opts)
  local ok, err = check(self, core.validate_query, query)
  if not ok then error(err, 2) end
  local headers
  headers, err = request.headers(self.config, self.impersonationOpts)
  if not headers then error(err, 2) end
  for name, value in pairs(fetch_headers(opts) or {}) do
    if headers[name:lower()] == nil then headers[name] = value end
  end
  return subscription(query, fn, {
    config = self.config, headers = headers, infers = self.config.schema ~= nil,
  })
end

local function check_chunks(name, chunks)
  if type(chunks) ~= "table" then
    error(("%s: expected a chunk or a list of chunks, got %s"):format(name, type(chunks)), 3)
  end
end

--- Applies one chunk or a list of them, all or nothing; the future has `{["tx-id"] = n}`.
function Db:transact(chunks)
  check_chunks("transact", chunks)
  local ok, err = check(self, core.validate_transaction, tx.plain(chunks))
  if not ok then return request.failed(err) end
  return send(self, "POST", "/admin/transact", {
    body = {
      steps = tx.ops(chunks),
      ["throw-on-missing-attrs?"] = self.config.schema ~= nil,
    },
  })
end

--- Calls a function of the backend's script (lua/docs/server.md), as the admin or as who `asUser` says; the
--- future has what it returned.
function Db:call(name, params)
  local route = functions.route(self.config.appId, name)
  return send(self, "POST", route, { body = params }):next(functions.result)
end

local function overrides(body, opts)
  body["rules-override"] = opts and opts.rules
  body["ip-override"] = opts and opts.ip
  body["origin-override"] = opts and opts.origin
  return body
end

--- Runs a query and tells what the rules say to each entity that it touches: the future has
--- `{result=, checkResults={{id=, entity=, record=, check=}, ...}}`. Needs `asUser`. `opts`: `rules`
--- in place of the app's, `ruleParams`, `ip`, `origin`, `cardinalityInference`.
function Db:debugQuery(query, opts)
  local infers = self.config.schema ~= nil
  if opts and opts.cardinalityInference ~= nil then infers = opts.cardinalityInference end
  return send(self, "POST", "/admin/query_perms_check", {
    body = overrides({ query = with_rule_params(query, opts), ["inference?"] = infers }, opts),
  }):next(function(answer)
    return { result = answer.result, checkResults = answer["check-results"] }
  end)
end

--- Tries a transaction, takes it back, and tells what the rules say: the future has `{["tx-id"]=,
--- ["all-checks-ok?"]=, ["committed?"]=, ["check-results"]=}`. Needs `asUser`. `opts`: `rules`, `ip`,
--- `origin`.
function Db:debugTransact(chunks, opts)
  check_chunks("debugTransact", chunks)
  local body = { steps = tx.ops(chunks) }
  body["dangerously-commit-tx"] = opts and opts.__dangerouslyCommit
  return send(self, "POST", "/admin/transact_perms_check", { body = overrides(body, opts) })
end

-- ---- rooms ----

local Rooms = {}

--- Who is in a room: `{[peer id] = {data=, ["peer-id"]=, user=}, ...}`.
function Rooms:getPresence(room_type, room_id)
  return request.send(self._config, "GET", "/admin/rooms/presence", {
    query = { ["room-type"] = room_type, ["room-id"] = room_id },
  }):next(function(answer) return request.present(answer.sessions) or {} end)
end

--- Calls functions for every change of a namespace, durably: see reactions.lua. The result has `stop()`,
--- `status()`, `stats()` and `ended`, a future.
function Db:reaction(options)
  return reactions.start(self, options)
end

-- ---- the client ----

local new

--- A client that acts for a user: `{email=}`, `{token=}` or `{guest=true}`. Rules apply to it; it
--- has its own `query`, `transact`, `storage` ..., and the same `auth`, which always acts as admin.
function Db:asUser(opts)
  if type(opts) ~= "table" then
    error("asUser: expected {email=}, {token=} or {guest=true}, got " .. type(opts), 2)
  end
  return new(self.config, opts)
end

function new(config, as)
  local self = {
    config = config,
    impersonationOpts = as,
    tx = tx.builder,
    auth = auth(config),
    rooms = bind({ _config = config }, Rooms),
    streams = admin_streams(config, as),
    storage = files.of_admin(config, as),
    webhooks = webhooks.new(config),
    reactions = reactions.of(config),
  }
  return bind(self, Db)
end

local admin = {
  id = core.id,
  tx = tx.builder,
  lookup = tx.lookup,
  i = schema,
  Webhooks = webhooks.class,
  createInstantRouteHandler = route_handler,
}

local TYPES = {
  appId = "string", adminToken = "string", apiURI = "string", schema = "table",
  useDateObjects = "boolean", disableValidation = "boolean", verbose = "boolean", logger = "any",
  caFile = "string", WritableStream = "any", ReadableStream = "any",
}

local function fail(text, ...)
  error(("admin.init: " .. text):format(...), 3)
end

local function check_config(config)
  if type(config) ~= "table" then fail("expected a table, got %s", type(config)) end
  for name, value in pairs(config) do
    local expected = TYPES[name]
    if not expected then fail("unknown option `%s`", tostring(name)) end
    if expected ~= "any" and type(value) ~= expected then
      fail("`%s` must be a %s, got %s", name, expected, type(value))
    end
  end
  local uri = config.apiURI
  if uri and not uri:find "^https?://." and not uri:find "^local:." then
    fail("`apiURI` must be http://..., https://... or local:PATH, got `%s`", uri)
  end
  if not config.appId and not (uri or ""):find "^local:" then fail "`appId` is missing" end
end

local function trimmed(text)
  return text and text:match "^%s*(.-)%s*$"
end

--- A client that acts as the app's admin, or through `asUser` for its users. Options: `appId`,
--- `adminToken`, `apiURI` ("http://host:port", or "local:PATH" for a backend in this process, where
--- both may be left out), `schema`, `disableValidation`, `caFile`. Raises when they are wrong.
function admin.init(config)
  check_config(config)
  local filled = request.copy(config)
  filled.appId, filled.adminToken = trimmed(config.appId), trimmed(config.adminToken)
  filled.apiURI = config.apiURI and config.apiURI:gsub("/+$", "") or nil
  local whole, err = request.config(filled)
  if not whole then error(err, 2) end
  return new(whole)
end

--- Deprecated: `init`.
admin.init_experimental = admin.init

return admin
