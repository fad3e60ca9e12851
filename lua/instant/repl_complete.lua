--- What may follow at the prompt: globals, fields and methods of what is there, namespaces behind `db.tx.`.

local tx = require "instant.tx"

local complete = {}

-- Namespaces by client: of its schema, and of the app's when this client may ask.
local known = setmetatable({}, { __mode = "k" })

local function add_names(names, entities)
  for name in pairs(type(entities) == "table" and entities or {}) do names[name] = true end
end

local function config_of(client)
  return client._adminConfig or client.config
end

local function ask_schema(names, config)
  local is_local = config.apiURI and config.apiURI:find "^local:"
  if not config.adminToken and not is_local then return end
  local api = require "instant.api"
  local request = require "instant.admin_request"
  local fetch = api.of { apiURI = config.apiURI, caFile = config.caFile }
  fetch("GET", ("/dash/apps/%s/schema/pull"):format(config.appId), {
    headers = { authorization = "Bearer " .. (config.adminToken or request.localToken) },
  }):next(function(answer)
    local schema = answer.schema or {}
    add_names(names, schema.blobs)
    add_names(names, schema.entities)
  end, function() end)
end

local function is_client(value)
  return type(value) == "table" and rawget(value, "tx") == tx.builder and type(config_of(value)) == "table"
end

--- Looks at what the globals are now. Asks for schemas, whose answers are there later.
function complete.learn()
  for _, value in pairs(_G) do
    if is_client(value) then
      local names = known[value] or {}
      known[value] = names
      local config = config_of(value)
      add_names(names, config.schema and config.schema.entities)
      ask_schema(names, config)
    end
  end
end

local function fields_of(value, found)
  local seen = {}
  while type(value) == "table" and not seen[value] do
    seen[value] = true
    for name in pairs(value) do
      if type(name) == "string" and name:match "^%a[%w_]*$" then found[name] = true end
    end
    local mt = getmetatable(value)
    value = type(mt) == "table" and type(mt.__index) == "table" and mt.__index or nil
  end
  if type(value) == "string" then fields_of(string, found) end
end

-- What a path like `a.b:` names; nothing is called on the way.
local function resolve(path)
  local value, client = _G, nil
  for name in path:gmatch "[%w_]+" do
    if type(value) ~= "table" then return nil end
    if is_client(value) then client = value end
    value = rawget(value, name)
    if value == tx.builder then return value, client end
  end
  return value
end

--- All that the word at the cursor may become.
function complete.words(word)
  local path, start = word:match "^(.*[.:])([%w_]*)$"
  local found = {}
  if path then
    local value, client = resolve(path)
    if value == tx.builder then
      add_names(found, client and known[client])
    else
      fields_of(value, found)
    end
  else
    path, start = "", word
    fields_of(_G, found)
  end
  local list = {}
  for name in pairs(found) do
    if name:sub(1, #start) == start then list[#list + 1] = path .. name end
  end
  table.sort(list)
  return list
end

return complete
