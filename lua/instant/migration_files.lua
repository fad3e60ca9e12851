--- The folder of migrations: `0001_name.lua`, `0002_other.lua`, or with a time in front instead of a number.
--
-- Each returns `{ up = function(m) ... end, down = function(m) ... end }`; `down` may be missing. A number
-- counts as a number: `1_x.lua` and `0001_y.lua` are one version, which is an error.

local core = require "instant.core"
local i = require "instant.schema"

local files = {}

-- Any two checksums of one text are the same on every machine; it is there for accidents, not for attackers.
local function checksum(text)
  return core.weak_hash(text)
end

local function read_file(path)
  local file, problem = io.open(path, "rb")
  if not file then return nil, ("cannot read %s"):format(problem) end
  local text = file:read "*a"
  file:close()
  if not text then return nil, ("cannot read %s"):format(path) end
  return text
end

--- The key of a version as it is typed: "0012" is "12".
function files.key(version)
  if not version:match "^%d+$" then return nil end
  local key = version:gsub("^0+", "")
  return key ~= "" and key or "0"
end

--- Is the version with key a older than that with key b? Any length.
function files.is_older(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function describe(dir, name)
  local version, title = name:match "^(%d+)_([%w_%-]+)%.lua$"
  local path = dir .. "/" .. name
  if not version then
    return nil, ("%s: a migration is named like 0001_what_it_does.lua"):format(path)
  end
  local text, problem = read_file(path)
  if not text then return nil, problem end
  return {
    version = version, key = files.key(version), title = title, name = version .. "_" .. title, path = path,
    text = text, checksum = checksum(text),
  }
end

--- All migrations of a folder, oldest first, none of them run; or nil and a sentence. What does not start
--- with a digit is no migration.
function files.read(dir)
  if core.data_kind(dir) ~= "folder" then
    return nil, ("there is no folder %s; `instant-lua migrate new NAME` makes it"):format(dir)
  end
  local list, by_key = {}, {}
  local names = core.data_list(dir)
  table.sort(names)
  for _, name in ipairs(names) do
    if name:match "^%d" and name:match "%.lua$" then
      local file, problem = describe(dir, name)
      if not file then return nil, problem end
      if by_key[file.key] then
        return nil, ("%s and %s are one version; give one of them another number"):format(
          by_key[file.key].path, file.path)
      end
      by_key[file.key] = file
      list[#list + 1] = file
    end
  end
  table.sort(list, function(a, b) return files.is_older(a.key, b.key) end)
  return list, by_key
end

--- What a migration returns, checked: `{up=, down=}`, or nil and a sentence. Its text is run, with `i` at hand.
function files.load(file)
  local chunk, problem = load(file.text, "@" .. file.path, "t", setmetatable({ i = i }, { __index = _G }))
  if not chunk then return nil, problem end
  local ok, result = pcall(chunk)
  if not ok then return nil, tostring(result) end
  if type(result) ~= "table" then
    return nil, ("%s must return { up = function(m) ... end }, got %s"):format(file.path, type(result))
  end
  for name in pairs(result) do
    if name ~= "up" and name ~= "down" then
      return nil, ("%s: there is no `%s` in a migration, only `up` and `down`"):format(file.path, tostring(name))
    end
  end
  if type(result.up) ~= "function" then
    return nil, ("%s: `up` must be a function, got %s"):format(file.path, type(result.up))
  end
  if result.down ~= nil and type(result.down) ~= "function" then
    return nil, ("%s: `down` must be a function, got %s"):format(file.path, type(result.down))
  end
  return result
end

local TEMPLATE = [[
return {
  up = function(m)
    -- m:schema(function(schema) schema.entities.todos.attrs.priority = i.number():optional() end)
    -- m:each("todos", function(row) return m.tx.todos[row.id]:update { priority = 0 } end)
  end,
  down = function(m)
  end,
}
]]

-- One more than the last, as wide as it; with times in front, the time.
local function next_version(list)
  local last = list[#list]
  if not last then return "0001" end
  if #last.version >= 12 then return os.date "!%Y%m%d%H%M%S" end
  return ("%0" .. #last.version .. "d"):format(tonumber(last.key) + 1)
end

--- Makes a new, empty migration, and the folder when it is missing. Its path, or nil and a sentence.
function files.create(dir, title)
  if not title:match "^[%w_%-]+$" then
    return nil, ("a name has letters, digits, `_` and `-`, not %s"):format(title)
  end
  if not core.data_kind(dir) then
    local ok, err = core.data_make_folder(dir)
    if not ok then return nil, ("cannot make the folder %s: %s"):format(dir, err and err.message or "") end
  end
  local list, problem = files.read(dir)
  if not list then return nil, problem end
  local path = ("%s/%s_%s.lua"):format(dir, next_version(list), title)
  local file
  file, problem = io.open(path, "wb")
  if not file then return nil, ("cannot write %s"):format(problem) end
  local ok
  ok, problem = file:write(TEMPLATE)
  ok = file:close() and ok
  if not ok then return nil, ("cannot write %s: %s"):format(path, tostring(problem)) end
  return path
end

return files
