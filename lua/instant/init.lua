--- Instant for Lua: a live, relational database for Lua programs, compatible with InstantDB.
--
--     local instant = require "instant"
--     local db = instant.init { appId = "...", apiURI = "http://127.0.0.1:8888" }
--     db:subscribeQuery({ todos = {} }, function(result) print(#result.data.todos) end)
--     db:transact(db.tx.todos[instant.id()]:update { title = "Hello" })
--     instant.run()

local admin = require "instant.admin"
local archive = require "instant.archive"
local auth = require "instant.auth"
local core = require "instant.core"
local exports = require "instant.exports"
local Future = require "instant.future"
local http = require "instant.http"
local lifecycle = require "instant.lifecycle"
local network = require "instant.network"
local scheduler = require "instant.scheduler"
local storage = require "instant.storage"
local streams = require "instant.streams"
local task = require "instant.task"
local tx = require "instant.tx"
local db = require "instant.db"
local files = require "instant.files"
local functions = require "instant.functions"
local sync_tables = require "instant.sync_tables"
require "instant.infinite_query"
require "instant.rooms"

-- Reactions read the log and write past the rules: an admin's work, also when a client asks for it.
function db.methods:reaction(options)
  if not self._admin then
    local config = self._adminConfig
    if not config.adminToken and not config.apiURI:find "^local:" then
      error("reaction: this client has no `adminToken`; reactions read the whole log of the app", 3)
    end
    self._admin = admin.init(config)
  end
  return self._admin:reaction(options)
end

local DEFAULT_API = "https://api.instantdb.com"
local DEFAULT_WEBSOCKET = "wss://api.instantdb.com/runtime/session"

local instant = {
  _VERSION = "0.1.0",
  null = core.null,
  id = core.id,
  now = core.now,
  lookup = tx.lookup,
  tx = tx.builder,
  i = require "instant.schema",
  date = require "instant.date",
  server = require "instant.server",
  data = require "instant.data",
  http = http,
  spawn = require("instant.process").spawn,
  admin = admin,
  importArchive = archive.import,
  exportArchive = archive.export,
  importApp = require "instant.cloud_import",
  Future = Future,
  future = Future.new,
  all = Future.all,
  task = task.start,
  sleep = task.sleep,
  after = task.after,
  every = task.every,
  cron = require("instant.cron").start,
  timer = task.after,
  step = core.step,
  stop = lifecycle.endAll,
  log = require "instant.log",
  logLevel = core.log_level,
  onSignal = core.signal,
  onStop = lifecycle.add,
  SyncTableCallbackEventType = sync_tables.EventType,
  createInstantRouteHandler = admin.createInstantRouteHandler,
}
for name, value in pairs(exports) do instant[name] = value end

-- What errors print.
core.error_mt.__tostring = function(err)
  return ("%s: %s"):format(err.type or "error", err.message or "")
end
core.error_mt.__name = "instant.error"

--- Marks a list, so that an empty one is sent as `[]` and not as `{}`.
function instant.array(list)
  return setmetatable(list or {}, core.array_mt)
end

--- Calls functions for every change of a namespace, durably: `options.db` is an admin client, or a client
--- made with `adminToken` or of `local:`. See reactions.lua.
function instant.reaction(options)
  local of = type(options) == "table" and options.db
  if type(of) ~= "table" or not of.reaction then
    error("reaction: `db` must be what instant.admin.init or instant.init gave", 2)
  end
  return of:reaction(options)
end

local MAX_BUDGET_MS = 1000

--- Does what is ready, without waiting, for about `budget_ms` milliseconds (2): once a frame, in a program with
--- a loop of its own. True when there is more to do right now.
function instant.poll(opts)
  local ms = opts and opts.budget_ms or 2
  if type(ms) ~= "number" or not (ms >= 0 and ms <= MAX_BUDGET_MS) then
    error(("poll: `budget_ms` must be a number from 0 to %d, got %s"):format(MAX_BUDGET_MS, tostring(ms)), 2)
  end
  return core.poll(ms * 1000)
end

--- The same; one client's `poll` serves them all.
function db.methods.poll(_, opts)
  return instant.poll(opts)
end

--- Runs until nothing is left to wait for.
function instant.run()
  core.run()
end

--- Called with the text of every failure that nobody handles; stderr by default.
function instant.onError(fn)
  scheduler.report = fn
end

-- Clients by what makes them the same: a second init gives the first one's.
local clients = {}

local function fail(text, ...)
  error(("init: " .. text):format(...), 3)
end

local TYPES = {
  appId = "string", apiURI = "string", websocketURI = "string", adminToken = "string",
  refreshToken = "string", schema = "table", useDateObjects = "boolean",
  disableValidation = "boolean", verbose = "boolean", caFile = "string", reconnect = "string",
  connectTimeout = "number",
  firstPartyPath = "string", devtool = "any", queryCacheLimit = "number", __extraDedupeKey = "string",
  shareConnection = "boolean", __awaitsUser = "boolean", networkListener = "any", storage = "any", vault = "any",
  script = "any",
}

local function check_config(config)
  if type(config) ~= "table" then fail("expected a table, got %s", type(config)) end
  for name, value in pairs(config) do
    local expected = TYPES[name]
    if not expected then fail("unknown option `%s`", tostring(name)) end
    if expected ~= "any" and type(value) ~= expected then
      fail("`%s` must be a %s, got %s", name, expected, type(value))
    end
  end
  if config.script ~= nil and not (config.apiURI or ""):match "^local:" then
    fail "`script` is for `local:` alone; a backend of its own has `instant-lua serve --script`"
  end
  local complaint = network.complaint(config.networkListener) or storage.complaint(config.storage)
  if complaint then fail("%s", complaint) end
end

local function addresses(config)
  local api = (config.apiURI or DEFAULT_API):gsub("/+$", "")
  local path = api:match "^local:(.+)$"
  if path then return nil, path, api end
  if config.websocketURI then return config.websocketURI, nil, api end
  if api == DEFAULT_API then return DEFAULT_WEBSOCKET, nil, api end
  local scheme, rest = api:match "^http(s?)://(.+)$"
  if not scheme then
    fail("`apiURI` must be http://..., https://... or local:PATH, got `%s`", api)
  end
  return "ws" .. scheme .. "://" .. rest .. "/runtime/session", nil, api
end

-- Where server-sent events come from when no WebSocket gets through. A WebSocket address of one's own
-- alone does not say: what is meant for that backend must not go to another.
local function fallback(config, api)
  return (config.apiURI or not config.websocketURI) and api:match "^https?://" and api or nil
end

-- The backend in this process is always there: whoever may wait goes on when it is reached, so that
-- the first write is confirmed and not queued. In a program without a host that is the main chunk
-- too, unless it called from inside the loop.
local function reach(client)
  local co, is_main = coroutine.running()
  if co and not is_main and not Future.tasks[co] then return end
  if (not co or is_main) and core.is_running() then return end
  local reached = Future.new()
  local stop = client:subscribeConnectionStatus(function(status)
    if status == "authenticated" or status == "errored" then reached:resolve(status) end
  end)
  if client:getConnectionStatus() ~= "authenticated" then reached:await() end
  stop()
end

--- Set by a host that carries connections itself (nginx.lua): gives what `core.client` calls for
--- them, `fn(op, link, bytes)`, for the address of a WebSocket.
instant._carrier = nil

local function carrier_of(websocket, config)
  if not instant._carrier or not websocket then return nil end
  return instant._carrier(websocket .. "?app_id=" .. config.appId, config)
end

local function schema_hash(schema)
  return schema and exports.weakHash(schema) or "0"
end

-- As the official client does: the first client stays, with the newer schema.
local function swap_schema(client, schema)
  local hash = schema_hash(schema)
  if hash == client._schemaHash then return end
  local done, err = client._core:set_schema(schema)
  if not done then error(err, 3) end
  client._schemaHash = hash
end

--- A client of an app. Options: `appId`, `apiURI` ("http://host:port", or "local:PATH" for a
--- backend in this process, where `appId` may be left out), `websocketURI`, `schema`,
--- `useDateObjects`, `disableValidation`, `verbose`, `caFile`, `connectTimeout` (ms),
--- `networkListener` (see network.lua), `storage` ("memory", "file:FOLDER", "sqlite:FILE" or a store of
--- your own, see storage.lua), `vault` (where the signed-in user is kept instead: "keychain", "memory",
--- `{file=, passphrase=}` or `{file=, keyFile=}`; opened at once, which may take a moment or ask for the
--- keychain's password; without it a storage keeps the user in a vault of its choice, see
--- meta_storage.lua), `script` (with `local:`, a file of functions, see lua/docs/server.md). Raises when they
--- are wrong, and when the vault cannot be read. In a task `local:`
--- comes back connected; over a network the first writes may be told "enqueued".
function instant.init(config)
  check_config(config)
  local websocket, path, api = addresses(config)
  if not path and not config.appId then fail "`appId` is missing" end
  local key = table.concat({
    config.appId or "", websocket or "", api, config.adminToken or "",
    tostring(config.useDateObjects or false), config.__extraDedupeKey or "",
    tostring(config.shareConnection ~= false), tostring(config.networkListener),
  }, "\0")
  local known = clients[key]
  if known then
    swap_schema(known, config.schema)
    return known
  end
  local vault, client, err, stop_listening, close_calls, close_script
  if config.vault ~= nil then
    if config.refreshToken then fail "`refreshToken` and `vault` both say who is signed in; give one of them" end
    vault, err = auth.open_vault(config.vault)
    if not vault then error(err, 2) end
  end
  if config.script ~= nil then
    close_script, err = functions.load(path, config.script)
    if not close_script then error(err, 2) end
  end
  client, err = db.new(network.options(config.networkListener, {
    app_id = config.appId,
    websocket_uri = websocket,
    api_uri = fallback(config, api),
    local_path = path,
    carrier = carrier_of(websocket, config),
    schema = config.schema,
    admin_token = config.adminToken,
    refresh_token = config.refreshToken,
    use_date_objects = config.useDateObjects,
    disable_validation = config.disableValidation,
    verbose = config.verbose,
    ca_file = config.caFile,
    reconnect = config.reconnect,
    connect_timeout = config.connectTimeout,
    storage = config.storage,
    own_connection = config.shareConnection == false or vault ~= nil or config.__awaitsUser,
    awaits_user = vault ~= nil or config.__awaitsUser,
    vault = vault,
    vault_scope = auth.vault_scope(api, path ~= nil),
  }), function(self)
    clients[key] = nil
    streams.shutdown(self)
    if stop_listening then stop_listening() end
    if close_calls then close_calls() end
    if close_script then close_script() end
    auth.detach(client)
  end)
  if not client then
    if close_script then close_script() end
    error(err, 2)
  end
  stop_listening = network.attach(config.networkListener, client._core)
  streams.attach(client, { apiURI = api, caFile = config.caFile })
  local attached
  attached, err = auth.attach(client, { api = api, is_local = path ~= nil, ca_file = config.caFile, vault = vault })
  if not attached then
    client:shutdown()
    error(err, 2)
  end
  close_calls = functions.attach(client, { apiURI = api, caFile = config.caFile, adminToken = config.adminToken })
  client.storage = files.of_client {
    apiURI = api, caFile = config.caFile, appId = client.appId, adminToken = config.adminToken,
    token = function()
      return client:getAuth():next(function(user) return user and user.refresh_token end)
    end,
  }
  client._schemaHash = schema_hash(config.schema)
  client._adminConfig = {
    appId = client.appId, adminToken = config.adminToken, apiURI = api, schema = config.schema,
    disableValidation = config.disableValidation, caFile = config.caFile,
  }
  clients[key] = client
  if path and not config.__awaitsUser then reach(client) end
  return client
end

instant.init_experimental = instant.init

return instant
