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

--- The same name twice: the last one counts. Those of the values that are named in `switches` may stand alone
--- (`--watch`), which is `yes`.
function options.parse(args, known)
  local values, flags, arguments = set(known.values), set(known.flags), known.arguments or {}
  local switches = set(known.switches)
  local found, count = {}, 0
  local i = 1
  while i <= #args do
    local name, value = args[i]:match "^%-%-([%w-]+)=?(.*)$"
    if name == "help" or args[i] == "-h" then return { help = true } end
    if flags[name] then
      if args[i]:find("=", 1, true) then return nil, ("--%s takes no value"):format(name) end
      found[name] = true
    elseif values[name] then
      local is_bare = not args[i]:find("=", 1, true)
      if is_bare and switches[name] and not (args[i + 1] or "-"):find "^[^-]" then
        value = "yes"
      elseif is_bare then
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

--- The variable of the environment that a flag may be given by: `s3-bucket` is INSTANT_S3_BUCKET.
function options.variable(flag)
  return "INSTANT_" .. flag:upper():gsub("-", "_")
end

--- What a flag says, else its variable; nil when neither does.
function options.get(found, flag)
  local value = found[flag] or os.getenv(options.variable(flag))
  return value ~= "" and value or nil
end

--- The option `s3` of `instant.server` and `instant.exportArchive`, of what `get` says of the flags; nil: none.
function options.s3(get)
  if not get "s3-endpoint" and not get "s3-bucket" then return nil end
  return {
    endpoint = get "s3-endpoint",
    bucket = get "s3-bucket",
    region = get "s3-region",
    accessKey = get "s3-access-key",
    secretKey = get "s3-secret-key",
    caFile = get "s3-ca",
  }
end

return options
