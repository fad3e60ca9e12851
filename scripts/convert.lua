-- instant-lua convert FILE
--
-- A file of schema or rules in the other language: TypeScript to Lua, Lua to TypeScript.

local core = require "instant.core"
local project = require "instant.project"
local source = require "instant.schema_source"

local USAGE = [[
usage: instant-lua convert FILE [--out FILE] [--module NAME]

Prints a schema or permission rules in the other language:

  instant-lua convert instant.schema.ts > instant.schema.lua
  instant-lua convert instant.perms.lua > instant.perms.ts

A TypeScript file is read, not run: what it exports must be written out (constants of the same file may be used). A Lua
file is run.

  --out FILE     write there; what is there is replaced
  --module NAME  what a TypeScript file imports from (@instantdb/core)
]]

local function fail(...)
  io.stderr:write("instant-lua convert: ", string.format(...), "\n")
  return 1
end

local function is_schema(value)
  return type(value.entities) == "table" and type(value.links) == "table"
end

local function to_lua(value)
  if is_schema(value) then return source.schema(value, value.rooms) end
  return source.perms(value)
end

local function to_typescript(value, module)
  if is_schema(value) then return core.schema_file(value, value, module) end
  return core.perms_file(value, nil, module)
end

local function main(...)
  local options, problem = project.parse({ ... }, { out = "value", module = "value" })
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  local path = options[1]
  if not path or options[2] then return fail "one file (see --help)" end
  local is_typescript = path:match "%.[mc]?ts$"
  if not is_typescript and not path:match "%.lua$" then return fail("%s: neither a .ts nor a .lua file", path) end
  local value, notices = project.read(path)
  if not value then return fail("%s", notices) end
  for _, notice in ipairs(notices or {}) do io.stderr:write("instant-lua convert: ", notice, "\n") end
  local text, err
  if is_typescript then
    text = to_lua(value)
  else
    text, err = to_typescript(value, options.module)
  end
  if not text then return fail("%s: %s", path, err.message) end
  if not options.out then
    io.write(text)
    return 0
  end
  local ok
  ok, problem = project.write(options.out, text)
  if not ok then return fail("%s", problem) end
  print("Wrote " .. options.out)
  return 0
end

return main(...)
