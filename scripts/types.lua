-- instant-lua types [options]
--
-- Writes types for editors from a schema.

local project = require "instant.project"
local push = require "instant.schema_push"
local types = require "instant.schema_types"

local USAGE = [=[
usage: instant-lua types [--out FILE]

Writes LuaCATS types for lua-language-server from instant.schema.lua or instant.schema.ts, or from the app when
neither is here. A client has them by

  local db = instant.init { ... } --[[@as app.Db]]

  --out FILE     another file than instant.types.lua, which `push` and `pull` keep up to date; - prints them
  --schema FILE  another schema (INSTANT_SCHEMA_FILE_PATH)
]=] .. project.CONNECTION

local function fail(...)
  io.stderr:write("instant-lua types: ", string.format(...), "\n")
  return 1
end

local function of_app(options)
  local to, problem = project.connect(options, true)
  if not to then return nil, problem end
  local pulled, schema
  pulled, problem = push.pull(to)
  if pulled then schema, problem = push.schema_of(pulled) end
  to:close()
  return schema, problem
end

local function schema_of(options)
  local path = project.path(options, "schema")
  if not options.schema and not project.exists(path) then
    path = project.path(options, "schema", "ts")
    if not project.exists(path) then return of_app(options) end
  end
  local schema, problem = project.read(path)
  if schema and type(schema.entities) ~= "table" then return nil, path .. " must return i.schema { ... }" end
  return schema, problem
end

local function main(...)
  local options, problem = project.parse({ ... }, { out = "value", schema = "value" })
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  if options[1] then return fail("one argument too many: %s (see --help)", options[1]) end
  local schema, ok
  schema, problem = schema_of(options)
  if not schema then return fail("%s", problem) end
  local out = options.out or types.FILE
  if out == "-" then
    io.write(types.of(schema))
    return 0
  end
  ok, problem = project.write(out, types.of(schema))
  if not ok then return fail("%s", problem) end
  print("Wrote " .. out)
  return 0
end

return main(...)
