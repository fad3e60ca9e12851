--- An app's schema and rules are read and changed over the routes of the developer's side: what push, pull,
--- types and migrate share. `to` is a backend of project.lua; functions wait, so they need a task.
--
--     local pulled = push.pull(to)
--     local plan = push.plan(pulled, schema, { "posts.title:posts.name" })
--     for _, line in ipairs(push.lines(plan)) do print(line) end
--     push.apply(to, plan, print)
--
-- The namespaces in which `migrate` and reactions keep their records are not the user's to declare: they are left
-- out of what is pulled and compared, and their rules are kept when rules are pushed.

local core = require "instant.core"
local task = require "instant.task"

local push = {}

push.MIGRATIONS = "instant_migrations"
push.REACTIONS, push.DEAD_LETTERS = "_reactions", "_reactionDead"
local OWN = { [push.MIGRATIONS] = true, [push.REACTIONS] = true, [push.DEAD_LETTERS] = true }
-- Nobody but admins has business there.
local CLOSED = { allow = { ["$default"] = "false" } }

-- ---- the schema ----

--- What schema/pull answers.
function push.pull(to)
  local pulled, problem = to:ask("GET", to:route "schema/pull")
  if not pulled then return nil, problem end
  if type(pulled.schema) ~= "table" or type(pulled.attrs) ~= "table" then
    return nil, "the backend's answer is no schema"
  end
  return pulled
end

-- The answer without our own namespaces, except those that are `declared`. What is shared is not changed.
local function without_own(pulled, declared)
  local blobs = {}
  for etype, attrs in pairs(pulled.schema.blobs or {}) do
    if not OWN[etype] or declared[etype] then blobs[etype] = attrs end
  end
  return { schema = { blobs = blobs, refs = pulled.schema.refs }, attrs = pulled.attrs }
end

--- The pulled schema in its JSON form, or nil and a sentence.
function push.schema_of(pulled)
  local schema, err = core.schema_read(without_own(pulled, {}).schema)
  if not schema then return nil, err.message end
  return schema
end

--- What the app lacks of a schema: `{steps=, sentences=}`, or nil and a sentence.
function push.plan(pulled, schema, renames)
  local entities = type(schema.entities) == "table" and schema.entities or {}
  local plan, err = core.schema_plan(without_own(pulled, entities), schema, renames)
  if not plan then return nil, err.message end
  return plan
end

local MARKS = { ["add-attr"] = "+", ["delete-attr"] = "-" }

--- A plan for people, one line a step.
function push.lines(plan)
  local lines = {}
  for n, sentence in ipairs(plan.sentences) do
    lines[n] = (MARKS[plan.steps[n][1]] or "~") .. " " .. sentence
  end
  return lines
end

local function is_open(job)
  return job.job_status == "waiting" or job.job_status == "processing"
end

-- Why a job failed, and what of the data was in its way.
local function job_failure(job)
  local why = type(job.error) == "string" and job.error or job.job_status
  local lines = { ("failed: %s of %s (%s)"):format(job.job_type, job.attr_name, why) }
  if job.invalid_unique_value ~= core.null and job.invalid_unique_value ~= nil then
    lines[2] = "  more than one has " .. core.json_encode(job.invalid_unique_value)
  end
  for _, sample in ipairs(type(job.invalid_triples_sample) == "table" and job.invalid_triples_sample or {}) do
    lines[#lines + 1] = ("  %s: %s (%s)"):format(
      sample.entity_id, core.json_encode(sample.value), tostring(sample.json_type))
  end
  return table.concat(lines, "\n")
end

-- What changes existing data is done in the background.
local function wait_for_jobs(to, started, say)
  local shown, failures, pause = {}, {}, 20
  local jobs = started.jobs
  while true do
    local has_open = false
    for _, job in ipairs(jobs) do
      if is_open(job) then
        has_open = true
      elseif not shown[job.id] then
        shown[job.id] = true
        if job.job_status == "completed" then
          say(("done: %s of %s"):format(job.job_type, job.attr_name))
        else
          failures[#failures + 1] = job_failure(job)
        end
      end
    end
    if not has_open then break end
    task.sleep(pause)
    pause = math.min(pause * 2, 1000)
    local answer, problem = to:ask("GET", to:route("indexing-jobs/group/" .. started["group-id"]))
    if not answer then return nil, problem end
    jobs = answer.jobs
  end
  if #failures > 0 then return nil, table.concat(failures, "\n") end
  return true
end

--- Applies a plan; `say(line)` hears of each job that is done. On failure nil, what failed, and whether the
--- rest of the plan is, or may be, applied all the same.
function push.apply(to, plan, say)
  if #plan.steps == 0 then return true end
  local answer, problem, is_unsure = to:ask("POST", to:route "schema/steps/apply", { steps = plan.steps })
  if not answer then return nil, problem, is_unsure end
  if type(answer["indexing-jobs"]) ~= "table" then return true end
  local ok
  ok, problem = wait_for_jobs(to, answer["indexing-jobs"], say)
  return ok, problem, true
end

-- ---- the rules ----

local function all_rules(to)
  local pulled, problem = to:ask("GET", to:route "perms/pull")
  if not pulled then return nil, problem end
  return type(pulled.perms) == "table" and pulled.perms or {}
end

local function post_rules(to, code)
  local answer, problem, is_unsure = to:ask("POST", to:route "rules", { code = code })
  if not answer then return nil, problem, is_unsure end
  return true
end

--- The app's rules, or nil and a sentence; without our own, unless `wanted` (rules that are to be pushed) has it.
function push.rules(to, wanted)
  local all, problem = all_rules(to)
  if not all then return nil, problem end
  local rules = {}
  for name, rule in pairs(all) do
    if not OWN[name] or wanted and wanted[name] ~= nil then rules[name] = rule end
  end
  return rules
end

--- Replaces the rules; our own stay. True, or nil, a sentence and whether they may be replaced all the same.
function push.set_rules(to, rules)
  local all, problem = all_rules(to)
  if not all then return nil, problem end
  local code = {}
  for name, rule in pairs(rules) do code[name] = rule end
  for name in pairs(OWN) do
    if code[name] == nil then code[name] = all[name] end
  end
  return post_rules(to, code)
end

--- Keeps clients away from namespaces of our own, unless the app's rules say something of them already.
function push.guard(to, namespaces)
  local all, problem = all_rules(to)
  if not all then return nil, problem end
  local is_changed = false
  for _, name in ipairs(namespaces) do
    if all[name] == nil then all[name], is_changed = CLOSED, true end
  end
  if not is_changed then return true end
  return post_rules(to, all)
end

--- What changes between two sets of rules, one line each: `- name: rule`, `+ name: rule`.
function push.rule_lines(before, after)
  local names, seen, lines = {}, {}, {}
  for _, map in ipairs { before, after } do
    for name in pairs(map) do
      if not seen[name] then names[#names + 1] = name end
      seen[name] = true
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local old, new = before[name], after[name]
    old, new = old ~= nil and core.json_encode(old) or nil, new ~= nil and core.json_encode(new) or nil
    if old ~= new then
      if old then lines[#lines + 1] = ("- %s: %s"):format(name, old) end
      if new then lines[#lines + 1] = ("+ %s: %s"):format(name, new) end
    end
  end
  return lines
end

return push
