--- Functions of the backend's script (lua/docs/server.md), called by their names.

local api = require "instant.api"
local core = require "instant.core"
local db = require "instant.db"
local script_files = require "instant.script_files"
local task = require "instant.task"

local functions = {}

--- Where a function of the app is asked.
function functions.route(app_id, name)
  if type(name) ~= "string" or name == "" then
    error("call: expected the name of a function, got " .. type(name), 3)
  end
  local escaped = name:gsub("[^%w_.~-]", function(c) return ("%%%02X"):format(c:byte()) end)
  return ("/apps/%s/functions/%s"):format(app_id, escaped)
end

--- What it returned; JSON's null is nil.
function functions.result(answer)
  if answer.result == core.null then return nil end
  return answer.result
end

-- As who has signed in, else as the admin whose token the client has, else as nobody.
local function ask(self, name, params)
  local route = functions.route(self.appId, name)
  return self:getAuth():next(function(user)
    local token = user and user.refresh_token or self._calls.adminToken
    return self._calls.fetch("POST", route, {
      headers = { ["content-type"] = "application/json", authorization = token and "Bearer " .. token or nil },
      body = params,
    })
  end)
end

--- Calls a query, mutation or live function of the backend's script; the future has what it returned.
function db.methods:call(name, params)
  return ask(self, name, params):next(functions.result)
end

--- Subscribes to a live function: `fn` as for `subscribeQuery`. The query is that of the moment: call again
--- when `params`, or who has signed in, are others. Returns the function that ends it.
function db.methods:subscribeNamed(name, params, fn, opts)
  if type(fn) ~= "function" then
    error("subscribeNamed: expected a function, got " .. type(fn), 2)
  end
  local is_over, stop = false, nil
  local function fail(err)
    if not is_over then task.start(fn, { error = err }) end
  end
  ask(self, name, params):next(function(answer)
    if is_over then return end
    if type(answer.query) ~= "table" then
      return fail(core.error("validation-failed", ("%s is no live function"):format(name)))
    end
    stop = self:subscribeQuery(answer.query, fn, opts)
  end, fail)
  return function()
    is_over = true
    if stop then stop() end
  end
end

--- Gives the backend of a local file its script; what lets go of it, or `nil, err`. The backend keeps the
--- script for as long as it is open.
function functions.load(path, script)
  local backend, err = core.backend(path)
  if not backend then return nil, err end
  local scripts = script_files(backend, script, {}, function() return { backend:app_id() } end)
  local ok
  ok, err = scripts:load()
  if not ok then
    scripts:stop()
    backend:close()
    return nil, err
  end
  return function()
    scripts:stop()
    backend:close()
  end
end

--- `config`: apiURI, caFile, adminToken. Gives what lets go of a local file.
function functions.attach(client, config)
  local fetch, close = api.of(config)
  client._calls = { fetch = fetch, adminToken = config.adminToken }
  return close
end

return functions
