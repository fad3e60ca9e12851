--- What the script of an app finds: runs first in each sandbox, before the script.
--
-- `core` is what the sandbox offers (lua/binding/script_core.c). Gives the `server` that the script
-- declares on, and how the backend calls what was declared.

local core = ...

-- ---- modules: our own, and the files beside the script ----

local loaded = {}

local function require(name)
  local module = loaded[name]
  if module == nil then
    local chunk, problem = core.chunk(name)
    if not chunk then error(problem, 2) end
    module = chunk(name)
    if module == nil then module = true end
    loaded[name] = module
  end
  return module
end

rawset(_G, "require", require)
core.error_mt.__tostring = function(err) return err.message end

-- The builder of transactions is there when somebody uses it: most calls do not.
local function tx()
  local module = loaded["instant.tx"]
  if not module then
    loaded["instant.core"] = core
    module = require "instant.tx"
    loaded["instant.core"] = nil
  end
  return module
end

local function with_tx(object, key)
  if key ~= "tx" then return nil end
  local builder = tx().builder
  rawset(object, "tx", builder)
  return builder
end

loaded["instant"] = setmetatable({
  null = core.null,
  array = function(list) return setmetatable(list or {}, core.array_mt) end,
  id = core.id,
  now = core.now,
  lookup = function(attr, value) return tx().lookup(attr, value) end,
  json = { encode = core.json_encode, decode = core.json_decode },
}, { __index = with_tx })

-- ---- what a function is given ----

-- Methods may be called with a dot or a colon.
local function bind(self, methods)
  for name, fn in pairs(methods) do
    self[name] = function(first, ...)
      if first == self then return fn(...) end
      return fn(first, ...)
    end
  end
  return self
end

local function steps_of(chunks)
  local plain = tx().plain(chunks)
  local steps = setmetatable({}, core.array_mt)
  for _, chunk in ipairs(plain.__ops and { plain } or plain) do
    for _, op in ipairs(type(chunk) == "table" and chunk.__ops or {}) do steps[#steps + 1] = op end
  end
  return steps
end

local function check_table(name, value)
  if type(value) ~= "table" then
    error(("%s: expected a table, got %s"):format(name, type(value)), 3)
  end
end

local function database(as_admin)
  return bind(setmetatable({}, { __index = with_tx }), {
    query = function(query)
      check_table("query", query)
      return core.query(as_admin, query)
    end,
    transact = function(chunks)
      check_table("transact", chunks)
      core.transact(as_admin, steps_of(chunks))
    end,
  })
end

-- The user is read when somebody asks.
local lazy = {
  __index = function(ctx, key)
    if key ~= "user" then return nil end
    local user = core.user()
    rawset(ctx, "user", user)
    return user
  end,
}

local function context()
  return setmetatable({
    app = core.app(),
    isAdmin = core.is_admin(),
    db = database(false),
    admin = database(true),
  }, lazy)
end

-- ---- what a script declares ----

local server = {}
local declared = {}
local functions, checks, routes, reactions, schedules = {}, {}, {}, {}, {}

local function declare(kind, name, fn, where)
  if type(name) ~= "string" or name == "" then
    error(("server.%s: expected a name, got %s"):format(kind, type(name)), 3)
  end
  if type(fn) ~= "function" then
    error(("server.%s %q: expected a function, got %s"):format(kind, name, type(fn)), 3)
  end
  if where[name] then error(("server.%s %q is declared already"):format(kind, name), 3) end
  where[name] = fn
  declared[#declared + 1] = { kind, name }
end

--- `fn(ctx, params)` reads and returns a value.
function server.query(name, fn) declare("query", name, fn, functions) end

--- `fn(ctx, params)` may transact; all that it wrote is kept when it returns, none when it fails.
function server.mutation(name, fn) declare("mutation", name, fn, functions) end

--- `fn(ctx, params)` returns an InstaQL query, which callers run or subscribe to.
function server.live(name, fn) declare("live", name, fn, functions) end

--- `fn(ctx, change)` is asked before a change of an entity of this namespace is committed: it may
--- refuse by an error, and return values to be written.
function server.check(etype, fn) declare("check", etype, fn, checks) end

local function split(path)
  local segments = {}
  for segment in path:sub(2):gmatch "[^/]*" do segments[#segments + 1] = segment end
  return segments
end

local METHODS = { GET = true, POST = true, PUT = true, DELETE = true }

--- `fn(ctx, request)` answers METHOD requests to /apps/APP/routes/PATH. A segment `:name` takes any.
function server.route(method, path, fn)
  if not METHODS[method] then error("server.route: expected GET, POST, PUT or DELETE", 2) end
  if type(path) ~= "string" or path:sub(1, 1) ~= "/" then
    error("server.route: expected a path that begins with /", 2)
  end
  declare("route", method .. " " .. path, fn, routes)
  routes[#routes + 1] = { method = method, segments = split(path), fn = fn }
end

local HANDLERS = { onCreate = 1, onUpdate = 2, onDelete = 4 }

--- After a change of the namespace was committed: `onCreate`, `onUpdate`, `onDelete(ctx, change)`. `name`
--- says whose place in the log it is: under another name it begins anew.
function server.reaction(options)
  if type(options) ~= "table" then
    error("server.reaction: expected a table, got " .. type(options), 2)
  end
  local actions = 0
  for key, value in pairs(options) do
    if HANDLERS[key] then
      if type(value) ~= "function" then
        error(("server.reaction: %s must be a function, got %s"):format(key, type(value)), 2)
      end
      actions = actions + HANDLERS[key]
    elseif key ~= "name" and key ~= "etype" then
      error(("server.reaction: there is no option `%s`"):format(tostring(key)), 2)
    end
  end
  if type(options.etype) ~= "string" then error("server.reaction: `etype` is missing", 2) end
  if actions == 0 then error("server.reaction: none of onCreate, onUpdate, onDelete", 2) end
  declare("reaction", options.name, function(ctx, change)
    local handler = options["on" .. change.action:gsub("^%l", string.upper)]
    if handler then handler(ctx, change) end
  end, reactions)
  local entry = declared[#declared]
  entry[3], entry[4] = options.etype, actions
end

--- At the times of a cron expression, in UTC: "0 3 * * *".
function server.schedule(cron, fn)
  if type(cron) ~= "string" then
    error("server.schedule: expected a cron expression, got " .. type(cron), 2)
  end
  local name, n = cron, 1
  while schedules[name] do
    n = n + 1
    name = cron .. " #" .. n
  end
  declare("schedule", name, fn, schedules)
  declared[#declared][3] = cron
end

-- ---- how they are called ----

-- The `:name` segments when the path fits.
local function fits(route, method, path)
  if route.method ~= method or #route.segments ~= #path then return nil end
  local params = {}
  for i, segment in ipairs(route.segments) do
    local name = segment:match "^:(.+)$"
    if name and path[i] ~= "" then
      params[name] = path[i]
    elseif segment ~= path[i] then
      return nil
    end
  end
  return params
end

local function unescape(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function read_query(text)
  local query = {}
  for pair in text:gmatch "[^&]+" do
    local name, value = pair:match "^([^=]*)=?(.*)$"
    name = unescape(name)
    if query[name] == nil then query[name] = unescape(value) end
  end
  return query
end

-- request.json: the body, read when somebody asks.
local json_body = {
  __index = function(request, key)
    if key ~= "json" then return nil end
    local value = core.json_decode(request.body)
    rawset(request, "json", value)
    return value
  end,
}

local dispatch = {}

function dispatch.call(name, params)
  return functions[name](context(), params)
end

function dispatch.check(changes)
  local ctx, values = context(), setmetatable({}, core.array_mt)
  for i, change in ipairs(changes) do
    local wanted = checks[change.etype](ctx, change)
    if wanted ~= nil and type(wanted) ~= "table" then
      error(("the check of %s must return a table of values or nothing"):format(change.etype), 0)
    end
    values[i] = wanted or core.null
  end
  return values
end

function dispatch.react(name, change)
  local ctx = context()
  ctx.key, change.key = change.key, nil
  reactions[name](ctx, change)
end

function dispatch.schedule(name)
  schedules[name](context())
end

-- nil: no route fits.
function dispatch.route(request)
  local path = split(request.path)
  for _, route in ipairs(routes) do
    local params = fits(route, request.method, path)
    if params then
      request.params = params
      request.query = read_query(request.query)
      setmetatable(request, json_body)
      return route.fn(context(), request) or {}
    end
  end
end

return server, dispatch, declared
