-- instant-lua pull [schema|perms] [options]
--
-- Writes an app's schema and permission rules to instant.schema.lua and instant.perms.lua.

local core = require "instant.core"
local project = require "instant.project"
local push = require "instant.schema_push"
local types = require "instant.schema_types"
local source = require "instant.schema_source"

local USAGE = [[
usage: instant-lua pull [schema|perms] [options]

Writes an app's schema to instant.schema.lua and its permission rules to instant.perms.lua. Rooms, which only
the file knows, are kept. What is there is replaced only when you say so.

  --schema FILE  another file (INSTANT_SCHEMA_FILE_PATH)
  --perms FILE   another file (INSTANT_PERMS_FILE_PATH)
  --typescript   write instant.schema.ts and instant.perms.ts, as the official command line does
  -y, --yes      do not ask
]] .. project.CONNECTION

local function fail(...)
  io.stderr:write("instant-lua pull: ", string.format(...), "\n")
  return 1
end

local function replace(path, text, options)
  local file = io.open(path, "rb")
  local old = file and file:read "a"
  if file then file:close() end
  if old == text then
    print(("%s is up to date."):format(path))
    return true
  end
  if old and not project.confirm(("Replace %s?"):format(path), options) then
    return nil, path .. " was not changed"
  end
  local ok, problem = project.write(path, text)
  if ok then print("Wrote " .. path) end
  return ok, problem
end

local function schema_text(to, path, options)
  local pulled, problem = push.pull(to)
  if not pulled then return nil, problem end
  local schema
  schema, problem = push.schema_of(pulled)
  if not schema then return nil, problem end
  local old = {}
  if project.exists(path) then
    old, problem = project.read(path)
    if not old then return nil, problem .. " (its rooms would be lost)" end
  end
  schema.rooms = old.rooms or {}
  if options.typescript then
    local text, err = core.schema_file(schema, old)
    return text, err and err.message, schema
  end
  return source.schema(schema, old.rooms), nil, schema
end

local function perms_text(to, _, options)
  local rules, problem = push.rules(to)
  if not rules then return nil, problem end
  return options.typescript and core.perms_file(rules) or source.perms(rules)
end

local TEXT = { schema = schema_text, perms = perms_text }

local function pull(to, kind, options)
  local path = project.path(options, kind, options.typescript and "ts" or "lua")
  local text, problem, schema = TEXT[kind](to, path, options)
  if not text then return nil, problem end
  local ok
  ok, problem = replace(path, text, options)
  if not ok or not schema then return ok, problem end
  -- A file of types that is there follows the schema.
  local has_types
  has_types, problem = types.refresh(schema)
  if has_types == nil then return nil, problem end
  if has_types then print("Wrote " .. has_types) end
  return true
end

local function main(...)
  local options, problem = project.parse({ ... }, {
    schema = "value", perms = "value", typescript = "flag", yes = "flag",
  })
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  if options[2] or options[1] and not TEXT[options[1]] then
    return fail("pull what? schema, perms or nothing (for both), not %s", options[2] or options[1])
  end
  local to
  to, problem = project.connect(options, true)
  if not to then return fail("%s", problem) end
  for _, kind in ipairs(options[1] and { options[1] } or { "schema", "perms" }) do
    local ok
    ok, problem = pull(to, kind, options)
    if not ok then
      to:close()
      return fail("%s", problem)
    end
  end
  to:close()
  return 0
end

return main(...)
