--- Lua values as text for people: `{ title = "Hello", tags = { "a", "b" } }`, keys in order, what is deep or
--- long cut short.

local core = require "instant.core"

local WIDTH, DEPTH, ITEMS = 88, 6, 50

local WORDS = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true "
  .. "until while"):gmatch "%a+" do WORDS[word] = true end

local function key_text(key)
  if type(key) == "string" and key:match "^[%a_][%w_]*$" and not WORDS[key] then return key end
  return "[" .. (type(key) == "string" and ("%q"):format(key):gsub("\\\n", "\\n") or tostring(key)) .. "]"
end

local function sorted_keys(value)
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    local x, y = type(a), type(b)
    if x == y and (x == "number" or x == "string") then return a < b end
    if x == y then return tostring(a) < tostring(b) end
    return x < y
  end)
  return keys
end

local inspect

local function parts_of(value, depth, seen)
  local parts, length = {}, #value
  for i = 1, math.min(length, ITEMS) do parts[i] = inspect(value[i], depth + 1, seen) end
  if length > ITEMS then parts[#parts + 1] = ("-- and %d more"):format(length - ITEMS) end
  local shown = 0
  for _, key in ipairs(sorted_keys(value)) do
    local is_item = type(key) == "number" and key >= 1 and key <= length and key == math.floor(key)
    if not is_item then
      shown = shown + 1
      if shown > ITEMS then
        parts[#parts + 1] = "-- and more"
        break
      end
      parts[#parts + 1] = key_text(key) .. " = " .. inspect(value[key], depth + 1, seen)
    end
  end
  return parts
end

local function table_text(value, depth, seen)
  if next(value) == nil then return "{}" end
  if seen[value] then return "{ --[[ itself ]] }" end
  if depth >= DEPTH then return "{ --[[ ... ]] }" end
  seen[value] = true
  local parts = parts_of(value, depth, seen)
  seen[value] = nil
  local line = "{ " .. table.concat(parts, ", ") .. " }"
  local is_plain = not line:find("\n", 1, true) and not line:find("-- and", 1, true)
  if is_plain and #line + depth * 2 <= WIDTH then return line end
  local indent = ("  "):rep(depth + 1)
  for i, part in ipairs(parts) do
    parts[i] = indent .. part .. (part:sub(1, 3) == "-- " and "" or ",")
  end
  return "{\n" .. table.concat(parts, "\n") .. "\n" .. ("  "):rep(depth) .. "}"
end

--- The text of a value.
function inspect(value, depth, seen)
  local kind = type(value)
  if value == core.null then return "null" end
  if kind == "string" then return (("%q"):format(value):gsub("\\\n", "\\n"):gsub("\\0", "\\0")) end
  local mt = kind == "table" and getmetatable(value)
  if mt == core.date_mt then return ('date "%s"'):format(value:iso()) end
  if kind ~= "table" or mt and mt ~= core.array_mt and mt.__tostring then return tostring(value) end
  return table_text(value, depth or 0, seen or {})
end

return inspect
