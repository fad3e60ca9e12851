--- Storages that a program brings: what a client keeps, in a place of the program's own.
--
--     local MyStore = {}
--     function MyStore.new(appId, storeName) ... end   -- "kv", "querySubs", "syncSubs"
--     function MyStore:getItem(key) end                -- the text, or nil
--     function MyStore:multiSet(pairs) end             -- {{key, text}, ...}
--     function MyStore:removeItem(key) end
--     function MyStore:getAllKeys() end                -- a list
--
-- Each may return a future instead, and fails by raising, by `nil, err`, or by a rejected future. A
-- write that was told is kept: multiSet must not return before.

local core = require "instant.core"
local Future = require "instant.future"
local task = require "instant.task"

local storage = {}

local METHODS = { "getItem", "multiSet", "removeItem", "getAllKeys" }

local function is_callable(value)
  if type(value) == "function" then return true end
  local mt = type(value) == "table" and getmetatable(value)
  return type(mt) == "table" and type(mt.__call) == "function"
end

-- A function or callable `Store(appId, storeName)`, or a table with `new`.
local function is_store(value)
  return is_callable(value) or type(value) == "table" and is_callable(value.new)
end

--- What is wrong with this `storage`; nil when nothing is.
function storage.complaint(value)
  if value == nil or is_store(value) then return nil end
  if type(value) ~= "string" then
    return ("`storage` must be a string, a function that makes stores, or a table with `new`, got %s")
      :format(type(value))
  end
  if value ~= "memory" and not value:match "^file:." and not value:match "^sqlite:." then
    return ('`storage` must be "memory", "file:FOLDER", "sqlite:FILE" or a store, got "%s"'):format(value)
  end
end

local function make(Store, app_id, name)
  local store
  if is_callable(Store) then
    store = Store(app_id, name)
  else
    store = Store.new(app_id, name)
  end
  for _, method in ipairs(METHODS) do
    if type(store) ~= "table" and type(store) ~= "userdata" or not is_callable(store[method]) then
      error(("a store needs the method `%s`"):format(method), 0)
    end
  end
  return store
end

-- What a method gave, once it is there; raises when it failed.
local function result(value, err)
  if Future.is(value) then value, err = value:await() end
  if value == nil and err ~= nil then error(err, 0) end
  if value == core.null then return nil end
  return value
end

local run = {}

function run.load(store, key)
  local text = result(store:getItem(key))
  if text ~= nil and type(text) ~= "string" then
    error(("getItem must give a string or nil, gave a %s"):format(type(text)), 0)
  end
  return text
end

-- What is set comes first: of what is removed nothing depends on it.
function run.write(store, pairs_to_set, keys)
  if #pairs_to_set > 0 then result(store:multiSet(pairs_to_set)) end
  for _, key in ipairs(keys) do result(store:removeItem(key)) end
end

function run.list(store)
  local keys = result(store:getAllKeys())
  if type(keys) ~= "table" then
    error(("getAllKeys must give a list, gave a %s"):format(type(keys)), 0)
  end
  return keys
end

--- Two functions: what core.client takes as `disk`, which is called with requests, and one that is
--- then told whose they are.
function storage.disk(Store)
  local stores, client, app_id = {}, nil, nil

  local function answer(id, op, name, ...)
    local ok, value = pcall(function(...)
      stores[name] = stores[name] or make(Store, app_id, name)
      return run[op](stores[name], ...)
    end, ...)
    if ok then
      client:disk_done(id, nil, value)
    else
      client:disk_done(id, tostring(value))
    end
  end

  local function request(...) task.start(answer, ...) end
  local function attach(core_client, id) client, app_id = core_client, id end
  return request, attach
end

return storage
