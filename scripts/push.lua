-- instant-lua push [schema|perms] [options]
--
-- Makes an app's schema and permission rules what instant.schema.lua and instant.perms.lua say.

local core = require "instant.core"
local instant = require "instant"
local project = require "instant.project"

local USAGE = [[
usage: instant-lua push [schema|perms] [options]

Makes an app's schema what instant.schema.lua returns (`i.schema { ... }`), and its permission rules what
instant.perms.lua returns (a table). The changes are shown first, and asked about.

  --schema FILE  another file (INSTANT_SCHEMA_FILE_PATH)
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

local function is_open(job)
  return job.job_status == "waiting" or job.job_status == "processing"
end

local function show_job(job)
  if job.job_status == "completed" then
    print(("  done: %s of %s"):format(job.job_type, job.attr_name))
    return true
  end
  local why = type(job.error) == "string" and job.error or job.job_status
  io.stderr:write(("  failed: %s of %s (%s)\n"):format(job.job_type, job.attr_name, why))
  if job.invalid_unique_value ~= core.null and job.invalid_unique_value ~= nil then
    io.stderr:write(("    more than one has %s\n"):format(core.json_encode(job.invalid_unique_value)))
  end
  for _, sample in ipairs(type(job.invalid_triples_sample) == "table" and job.invalid_triples_sample or {}) do
    io.stderr:write(("    %s: %s (%s)\n"):format(
      sample.entity_id, core.json_encode(sample.value), tostring(sample.json_type)))
  end
  return false
end

-- What changes existing data is done in the background.
local function wait_for_jobs(to, started)
  local shown, pause, all_done = {}, 20, true
  local jobs = started.jobs
  while true do
    local has_open = false
    for _, job in ipairs(jobs) do
      if is_open(job) then
        has_open = true
      elseif not shown[job.id] then
        shown[job.id] = true
        all_done = show_job(job) and all_done
      end
    end
    if not has_open then return all_done end
    instant.sleep(pause)
    pause = math.min(pause * 2, 1000)
    local answer, problem = to:ask("GET", to:route("indexing-jobs/group/" .. started["group-id"]))
    if not answer then return nil, problem end
    jobs = answer.jobs
  end
end

local function push_schema(to, path, options)
  local schema, problem = project.read(path)
  if not schema then return fail("%s", problem) end
  if type(schema.entities) ~= "table" then return fail("%s must return i.schema { ... }", path) end
  local pulled
  pulled, problem = to:ask("GET", to:route "schema/pull")
  if not pulled then return fail("%s", problem) end
  local plan, err = core.schema_plan(pulled, schema, options.rename)
  if not plan then return fail("%s: %s", path, err.message) end
  if #plan.steps == 0 then
    print "The schema is up to date."
    return 0
  end
  print("Changes to the schema:")
  for n, sentence in ipairs(plan.sentences) do
    local op = plan.steps[n][1]
    print(("  %s %s"):format(op == "delete-attr" and "-" or op == "add-attr" and "+" or "~", sentence))
  end
  if not project.confirm("Push these changes?", options) then return fail("nothing was changed") end
  local answer
  answer, problem = to:ask("POST", to:route "schema/steps/apply", { steps = plan.steps })
  if not answer then return fail("%s", problem) end
  if type(answer["indexing-jobs"]) == "table" then
    local all_done
    all_done, problem = wait_for_jobs(to, answer["indexing-jobs"])
    if problem then return fail("%s", problem) end
    if not all_done then return fail("the schema was pushed but for what failed above") end
  end
  print "The schema was pushed."
  return 0
end

-- ---- the rules ----

local function show_difference(before, after)
  local names, seen = {}, {}
  for _, map in ipairs { before, after } do
    for name in pairs(map) do
      if not seen[name] then names[#names + 1] = name end
      seen[name] = true
    end
  end
  table.sort(names)
  print "Changes to the permission rules:"
  for _, name in ipairs(names) do
    local old, new = before[name], after[name]
    old, new = old ~= nil and core.json_encode(old) or nil, new ~= nil and core.json_encode(new) or nil
    if old ~= new then
      if old then print(("  - %s: %s"):format(name, old)) end
      if new then print(("  + %s: %s"):format(name, new)) end
    end
  end
end

local function push_perms(to, path, options)
  local rules, problem = project.read(path)
  if not rules then return fail("%s", problem) end
  local wanted, err = core.json_encode(rules)
  if not wanted then return fail("%s: %s", path, err.message) end
  local pulled
  pulled, problem = to:ask("GET", to:route "perms/pull")
  if not pulled then return fail("%s", problem) end
  local before = type(pulled.perms) == "table" and pulled.perms or {}
  if core.json_encode(before) == wanted then
    print "The permission rules are up to date."
    return 0
  end
  show_difference(before, rules)
  if not project.confirm("Push these changes?", options) then return fail("nothing was changed") end
  local answer
  answer, problem = to:ask("POST", to:route "rules", { code = rules })
  if not answer then return fail("%s: %s", path, problem) end
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
