-- instant-lua query QUERY [options]
--
-- Runs a query once and prints its result as JSON.

local core = require "instant.core"
local project = require "instant.project"

local USAGE = [[
usage: instant-lua query QUERY [options]

Runs a query once and prints its result as JSON. QUERY is a Lua table, or JSON:

  instant-lua query '{ todos = { ["$"] = { where = { done = false } } } }'
  instant-lua query '{"todos": {}}'

  --admin            past the permission rules (when nothing else is said)
  --as-email EMAIL   as that user
  --as-guest         as somebody who is not signed in
  --as-token TOKEN   as the user with that refresh token
]] .. project.CONNECTION

local function fail(...)
  io.stderr:write("instant-lua query: ", string.format(...), "\n")
  return 1
end

-- A Lua table is read by Lua itself, where nothing is at hand.
local function read_query(text)
  local query = core.json_decode(text)
  if type(query) == "table" then return query end
  local chunk, problem = load("return " .. text, "=query", "t", {})
  if not chunk then return nil, problem end
  local ok, result = pcall(chunk)
  if not ok then return nil, tostring(result) end
  if type(result) ~= "table" then return nil, ("a query is a table, got %s"):format(type(result)) end
  return result
end

local function viewer(options)
  local headers, count = {}, options.admin and 1 or 0
  for name, value in pairs { ["as-email"] = options["as-email"], ["as-token"] = options["as-token"],
    ["as-guest"] = options["as-guest"] and "true" or nil } do
    headers[name] = value
    count = count + 1
  end
  if count > 1 then return nil, "one of --admin, --as-email, --as-guest and --as-token, not several" end
  return headers
end

local function main(...)
  local options, problem = project.parse({ ... }, {
    admin = "flag", ["as-guest"] = "flag", ["as-email"] = "value", ["as-token"] = "value",
  })
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  if not options[1] or options[2] then return fail("one query, in quotes (see --help)") end
  local query, headers, to, result
  query, problem = read_query(options[1])
  if not query then return fail("%s", problem) end
  headers, problem = viewer(options)
  if not headers then return fail("%s", problem) end
  to, problem = project.connect(options, true)
  if not to then return fail("%s", problem) end
  headers["app-id"] = to.appId
  result, problem = to:ask("POST", "/admin/query", { query = query, ["inference?"] = true }, headers)
  to:close()
  if not result then return fail("%s", problem) end
  print(core.json_indent(result))
  return 0
end

return main(...)
