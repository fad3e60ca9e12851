-- instant-lua push [schema|perms] [options]
--
-- Makes an app's schema and permission rules what instant.schema.lua and instant.perms.lua say.

local check = require "instant.schema_check"
local core = require "instant.core"
local project = require "instant.project"
local push = require "instant.schema_push"
local types = require "instant.schema_types"

local USAGE = [[
usage: instant-lua push [schema|perms] [options]

Makes an app's schema what instant.schema.lua returns (`i.schema { ... }`), and its permission rules what
instant.perms.lua returns (a table). The changes are shown first, and asked about.

  --schema FILE  another file (INSTANT_SCHEMA_FILE_PATH); instant.schema.ts is read too
  --perms FILE   another file (INSTANT_PERMS_FILE_PATH)
  --rename FROM:TO  an attribute or link that is gone goes on under another name, with its data:
                 --rename posts.title:posts.name; may be given again
  -y, --yes      do not ask
]] .. project.CONNECTION

local function fail(...)
  io.stderr:write("instant-lua push: ", string.format(...), "\n")
  return 1
end

-- ---- the schema ----

local function say(line)
  print("  " .. line)
end

-- A file of types that is there follows the schema.
local function write_types(schema)
  local path, problem = types.refresh(schema)
  if path == nil then return fail("%s", problem) end
  if path then print("Wrote " .. path) end
  return 0
end

local function push_schema(to, path, options)
  local schema, problem = project.read(path)
  if not schema then return fail("%s", problem) end
  if type(schema.entities) ~= "table" then return fail("%s must return i.schema { ... }", path) end
  local pulled, plan, ok, is_partial
  pulled, problem = push.pull(to)
  if not pulled then return fail("%s", problem) end
  plan, problem = push.plan(pulled, schema, options.rename)
  if not plan then return fail("%s: %s", path, problem) end
  if #plan.steps == 0 then
    print "The schema is up to date."
    return write_types(schema)
  end
  print "Changes to the schema:"
  for _, line in ipairs(push.lines(plan)) do say(line) end
  if not project.confirm("Push these changes?", options) then return fail("nothing was changed") end
  ok, problem, is_partial = push.apply(to, plan, say)
  if not ok and is_partial then
    io.stderr:write("  ", (problem:gsub("\n", "\n  ")), "\n")
    return fail("the schema was pushed but for what failed above")
  end
  if not ok then return fail("%s", problem) end
  print "The schema was pushed."
  return write_types(schema)
end

-- ---- the rules ----

local function push_perms(to, path, options)
  local rules, problem = project.read(path)
  if not rules then return fail("%s", problem) end
  problem = check.rules(rules)
  if problem then return fail("%s: %s", path, problem) end
  local wanted, err = core.json_encode(rules)
  if not wanted then return fail("%s: %s", path, err.message) end
  local before, ok
  before, problem = push.rules(to, rules)
  if not before then return fail("%s", problem) end
  if core.json_encode(before) == wanted then
    print "The permission rules are up to date."
    return 0
  end
  print "Changes to the permission rules:"
  for _, line in ipairs(push.rule_lines(before, rules)) do say(line) end
  if not project.confirm("Push these changes?", options) then return fail("nothing was changed") end
  ok, problem = push.set_rules(to, rules)
  if not ok then return fail("%s: %s", path, problem) end
  print "The permission rules were pushed."
  return 0
end

local PUSH = { schema = push_schema, perms = push_perms }

-- Which of the two: the one that is named, or those whose files are there.
local function chosen(options)
  if options[2] or options[1] and not PUSH[options[1]] then
    return nil, ("push what? schema, perms or nothing (for both), not %s"):format(options[2] or options[1])
  end
  local kinds = {}
  for _, kind in ipairs { "schema", "perms" } do
    if options[1] == kind or not options[1] and (options[kind] or project.exists(project.path(options, kind))) then
      kinds[#kinds + 1] = kind
    end
  end
  if #kinds == 0 then return nil, "there is no instant.schema.lua or instant.perms.lua here" end
  return kinds
end

local function main(...)
  local options, problem = project.parse({ ... }, {
    schema = "value", perms = "value", rename = "list", yes = "flag",
  })
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  local kinds
  kinds, problem = chosen(options)
  if not kinds then return fail("%s", problem) end
  local to
  to, problem = project.connect(options, true)
  if not to then return fail("%s", problem) end
  for _, kind in ipairs(kinds) do
    local code = PUSH[kind](to, project.path(options, kind), options)
    if code ~= 0 then
      to:close()
      return code
    end
  end
  to:close()
  return 0
end

return main(...)
