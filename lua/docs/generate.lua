-- instant-lua lua/docs/generate.lua [OUT]: writes the reference from the annotations in
-- lua/instant/meta*.lua and those of lua/instant/nginx.lua; `-` prints it.

local FILES = {
  { "meta", "The module" }, { "meta_data", "Data" }, { "meta_auth", "Who is signed in" }, { "meta_rooms", "Rooms" },
  { "meta_files", "Files" }, { "meta_streams", "Streams" }, { "meta_sync", "Sync tables" },
  { "meta_infinite_query", "Infinite queries" }, { "meta_storage", "Storages" }, { "meta_admin", "Admin" },
  { "meta_migrations", "Migrations" }, { "meta_automation", "Automations" },
  { "meta_archive", "Moving in and out" }, { "meta_http", "HTTP" },
  { "meta_exports", "Tools" }, { "nginx", "Inside nginx" },
}

local function lines_of(path)
  local lines = {}
  for line in assert(io.open(path)):lines() do lines[#lines + 1] = line end
  return lines
end

local function cell(text)
  return (text:gsub("|", "\\|"))
end

-- "name? type what it is" into its parts; a type may hold spaces inside brackets and after commas.
local function field_of(text)
  local name, rest = text:match "^(%S+)%s+(.*)$"
  local depth, stop = 0, #rest + 1
  for i = 1, #rest do
    local c, before = rest:sub(i, i), rest:sub(i - 1, i - 1)
    if c:find "[%(<{%[]" then depth = depth + 1 elseif c:find "[%)>}%]]" then depth = depth - 1 end
    if c == " " and depth == 0 and not before:find "[:,|]" then
      stop = i
      break
    end
  end
  return name, rest:sub(1, stop - 1), rest:sub(stop + 1)
end

local function add_table(out, head, rows)
  if #rows == 0 then return end
  out[#out + 1] = ("%s| %s | type | |\n| --- | --- | --- |"):format(out[#out]:find "\n$" and "" or "\n", head)
  for _, row in ipairs(rows) do
    out[#out + 1] = ("| `%s` | `%s` | %s |"):format(row[1], cell(row[2]), cell(row[3]))
  end
end

local function flush_class(out, block)
  if not block.class then return end
  out[#out + 1] = ("\n### `%s`\n"):format(block.class)
  if #block.text > 0 then out[#out + 1] = table.concat(block.text, "\n") .. "\n" end
  add_table(out, "field", block.fields)
end

local function flush_function(out, block, signature)
  out[#out + 1] = ("\n#### `%s`\n"):format(signature)
  if #block.text > 0 then out[#out + 1] = table.concat(block.text, "\n") end
  add_table(out, "parameter", block.params)
  for _, value in ipairs(block.returns) do out[#out + 1] = ("\nGives `%s`."):format(value) end
end

local function new_block()
  return { text = {}, fields = {}, params = {}, returns = {} }
end

local function section(out, file, title)
  out[#out + 1] = ("\n## %s"):format(title)
  local block, is_first = new_block(), true
  for _, line in ipairs(lines_of(("lua/instant/%s.lua"):format(file))) do
    local tag, rest = line:match "^%-%-%-@(%w+)%s*(.*)$"
    local text = line:match "^%-%-%-%s?(.*)$"
    local signature = line:match "^function ([%w_.:]+%b())"
    if tag == "class" then
      flush_class(out, block)
      local about = block.class == nil and block.text or {}
      block = new_block()
      block.class, block.text = rest:gsub("%s*:.*$", ""), about
    elseif tag == "field" then
      block.fields[#block.fields + 1] = { field_of(rest) }
    elseif tag == "param" then
      block.params[#block.params + 1] = { field_of(rest) }
    elseif tag == "return" then
      block.returns[#block.returns + 1] = rest
    elseif not tag and text then
      block.text[#block.text + 1] = text
    elseif signature and not signature:find "^_" and (file ~= "nginx" or signature:find "^nginx%.") then
      flush_function(out, block, signature)
      block = new_block()
    elseif not line:find "^%-%-%-" then
      -- The comment that opens a file says what its section is about.
      if is_first and not block.class and #block.text > 0 and file ~= "nginx" then
        out[#out + 1] = "\n" .. table.concat(block.text, "\n")
      end
      flush_class(out, block)
      is_first, block = false, new_block()
    end
  end
  flush_class(out, block)
end

local out = {
  "# Reference\n",
  "Made from the annotations of `lua/instant/meta*.lua` by `instant-lua lua/docs/generate.lua`; editors that know",
  "LuaCATS show the same. `T?` may be nil; a future gives what is in its angle brackets.",
}
for _, file in ipairs(FILES) do section(out, file[1], file[2]) end
local text = table.concat(out, "\n") .. "\n"
if ... == "-" then
  io.write(text)
else
  assert(io.open(... or "lua/docs/reference.md", "w")):write(text)
end
