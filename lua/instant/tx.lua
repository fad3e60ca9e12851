--- Transaction chunks: `tx.todos[id]:update{...}:link{...}`.
--
-- A chunk is never changed: every method gives a new one with one op more, as in the official
-- client. `transact` takes one chunk or a list of them.

local core = require "instant.core"

local Chunk = {}
Chunk.__index = Chunk

local function array(items)
  return setmetatable(items, core.array_mt)
end

local function add(chunk, action, args, opts)
  local ops = {}
  for i, op in ipairs(chunk.__ops) do ops[i] = op end
  -- `delete` has no arguments; every other action keeps its table in place, even if nil came.
  ops[#ops + 1] = array { action, chunk.__etype, chunk.__id, args, opts }
  return setmetatable({ __etype = chunk.__etype, __id = chunk.__id, __ops = array(ops) }, Chunk)
end

local function check_args(action, args)
  if type(args) ~= "table" then
    error(("%s: expected a table, got %s"):format(action, type(args)), 3)
  end
end

--- Creates the entity; fails when it exists.
function Chunk:create(args)
  check_args("create", args)
  return add(self, "create", args)
end

--- Sets attributes; creates the entity unless `opts.upsert` is false.
function Chunk:update(args, opts)
  check_args("update", args)
  return add(self, "update", args, opts)
end

--- Merges objects into attributes that hold objects.
function Chunk:merge(args, opts)
  check_args("merge", args)
  return add(self, "merge", args, opts)
end

--- Links to one id or lookup, or a list of them, by label.
function Chunk:link(args)
  check_args("link", args)
  return add(self, "link", args)
end

function Chunk:unlink(args)
  check_args("unlink", args)
  return add(self, "unlink", args)
end

--- Deletes the entity and what cascades from it.
function Chunk:delete()
  return add(self, "delete")
end

--- Parameters that permission rules see for this entity.
function Chunk:ruleParams(args)
  check_args("ruleParams", args)
  return add(self, "ruleParams", args)
end

local tx = {}

--- A reference to the entity whose unique attribute has this value: where an id goes.
function tx.lookup(attr, value)
  if type(attr) ~= "string" then
    error("lookup: expected the name of an attribute, got " .. type(attr), 2)
  end
  local text, err = core.json_encode(value)
  if not text then error("lookup: " .. err.message, 2) end
  return "lookup__" .. attr .. "__" .. text
end

-- The pair [attr, value] of an encoded lookup, or the id as it is. Everything up to the next `__`
-- is the attribute's name; the value may hold `__`.
local function entity_key(key)
  if type(key) ~= "string" or key:sub(1, 8) ~= "lookup__" then return key end
  local stop = key:find("__", 9, true)
  if not stop then error("this is no lookup: " .. key, 3) end
  local value, err = core.json_decode(key:sub(stop + 2))
  if err then error("this is no lookup: " .. key, 3) end
  return array { key:sub(9, stop - 1), value }
end

local function chunk_of(etype, key)
  return setmetatable({ __etype = etype, __id = entity_key(key), __ops = array {} }, Chunk)
end

local function namespace(etype)
  return setmetatable({}, {
    __index = function(self, key)
      if key ~= "lookup" then return chunk_of(etype, key) end
      -- tx.users:lookup("email", "a@b.c"), also with a dot.
      return function(first, attr, value)
        if first ~= self then attr, value = first, attr end
        return chunk_of(etype, tx.lookup(attr, value))
      end
    end,
  })
end

--- `tx.namespace[id]` for any namespace.
tx.builder = setmetatable({}, {
  __index = function(_, etype) return namespace(etype) end,
})

local function wire(chunk)
  if getmetatable(chunk) ~= Chunk then return chunk end
  return { __etype = chunk.__etype, __ops = chunk.__ops }
end

--- What goes to the core: chunks without what only this file needs.
function tx.plain(chunks)
  if type(chunks) ~= "table" or getmetatable(chunks) == Chunk then return wire(chunks) end
  local list = {}
  for i, chunk in ipairs(chunks) do list[i] = wire(chunk) end
  if #list == 0 and next(chunks) ~= nil then return chunks end
  return array(list)
end

--- The ops of one chunk or a list of them, in order, as the admin routes take them.
function tx.ops(chunks)
  local plain = tx.plain(chunks)
  local list = plain.__ops and { plain } or plain
  local ops = array {}
  for _, chunk in ipairs(list) do
    for _, op in ipairs(type(chunk) == "table" and chunk.__ops or {}) do ops[#ops + 1] = op end
  end
  return ops
end

return tx
