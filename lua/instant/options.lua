--- The command line of a subcommand: `--name value`, `--name=value`, flags, arguments.
--
--     local options, problem = options.parse({ ... }, {
--       values = { "data", "app-id" }, flags = { "yes" }, arguments = { "archive" },
--     })
--
-- Gives `{data=, ["app-id"]=, yes=true, archive=}`, with `help=true` alone when that was asked for, or nil and
-- one sentence.

local options = {}

local function set(list)
  local found = {}
  for _, name in ipairs(list or {}) do found[name] = true end
  return found
end

--- The same name twice: the last one counts.
function options.parse(args, known)
  local values, flags, arguments = set(known.values), set(known.flags), known.arguments or {}
  local found, count = {}, 0
  local i = 1
  while i <= #args do
    local name, value = args[i]:match "^%-%-([%w-]+)=?(.*)$"
    if name == "help" or args[i] == "-h" then return { help = true } end
    if flags[name] then
      if args[i]:find("=", 1, true) then return nil, ("--%s takes no value"):format(name) end
      found[name] = true
    elseif values[name] then
      if not args[i]:find("=", 1, true) then
        i = i + 1
        value = args[i]
      end
      if not value or value == "" then return nil, ("--%s needs a value"):format(name) end
      found[name] = value
    elseif args[i]:find "^%-" and args[i] ~= "-" then
      return nil, ("unknown option %s (see --help)"):format(args[i])
    else
      count = count + 1
      if count > #arguments then return nil, ("one argument too many: %s (see --help)"):format(args[i]) end
      found[arguments[count]] = args[i]
    end
    i = i + 1
  end
  return found
end

return options
