-- instant-lua migrate [status|up|down|new NAME|plan] [options]
--
-- Changes an app's schema, rules and data by numbered files, each once.

local migrations = require "instant.migrations"
local project = require "instant.project"

local USAGE = [[
usage: instant-lua migrate [status]        which migrations there are, and what became of each
       instant-lua migrate up              applies what is pending
       instant-lua migrate down            undoes the last one, or all later than --to
       instant-lua migrate plan            shows what `up` would do
       instant-lua migrate new NAME        makes an empty one

A migration is a file like migrations/0001_what_it_does.lua. A run that was stopped goes on where it was.

  --dir DIR      another folder than migrations
  --to VERSION   up: no further than that one; down: that one stays (0: none does)
  --dry-run      show what up or down would do; nothing is changed
  --unlock       take over the lock of a run that is dead
  -y, --yes      do not ask
]] .. project.CONNECTION

local function fail(...)
  io.stderr:write("instant-lua migrate: ", string.format(...), "\n")
  return 1
end

-- ---- what is shown while it runs ----

local BAR = 24

-- On a terminal a bar that moves; elsewhere a line for each tenth.
local function new_report()
  local report = {}
  local is_terminal = os.execute "test -t 1" == true
  local has_bar, tenth = false, nil

  local function end_bar()
    if has_bar then io.stdout:write "\n" end
    has_bar = false
  end

  function report.title(name)
    end_bar()
    print(name)
    tenth = nil
  end

  function report.line(text)
    end_bar()
    print("  " .. text)
    io.stdout:flush()
  end

  function report.progress(what, done, total)
    if is_terminal then
      local filled = math.floor(BAR * done / total)
      io.stdout:write(("\r  %s [%s%s] %d/%d"):format(what, ("#"):rep(filled), (" "):rep(BAR - filled), done, total))
      has_bar = true
    else
      local now = math.floor(10 * done / total)
      if now == tenth then return end
      tenth = now
      print(("  %s: %d of %d rows"):format(what, done, total))
    end
    io.stdout:flush()
  end

  function report.done(_, direction, ms)
    report.line(("%s in %.1f s"):format(direction == "applying" and "applied" or "undone", ms / 1000))
  end

  report.finish = end_bar
  return report
end

-- ---- the actions ----

local function when(ms)
  return os.date("%Y-%m-%d %H:%M", ms // 1000)
end

local STATES = {
  pending = function() return "pending" end,
  applied = function(record)
    return ("applied %s by %s in %.1f s"):format(when(record.appliedAt), record.by, record.ms / 1000)
  end,
  changed = function() return "applied, and its file has changed since" end,
  missing = function(record) return record.state .. ", its file is missing" end,
  applying = function(record)
    return "half applied" .. (record.error and ": " .. record.error or "; `migrate up` goes on")
  end,
  undoing = function(record)
    return "half undone" .. (record.error and ": " .. record.error or "; `migrate down` goes on")
  end,
}

local function status(all)
  local entries, lock = all:status()
  if not entries then return fail("%s", lock) end
  if #entries == 0 then print "There are no migrations." end
  local width = 0
  for _, entry in ipairs(entries) do width = math.max(width, #entry.name) end
  for _, entry in ipairs(entries) do
    print(("%-" .. width .. "s  %s"):format(entry.name, STATES[entry.state](entry.record)))
  end
  if lock then print(("locked by %s until %s"):format(lock.by, os.date("%H:%M:%S", lock.expires // 1000))) end
  return 0
end

local WORDS = {
  up = { "Apply", "Applied", "applying", "Nothing is pending.", "pending" },
  down = { "Undo", "Undid", "undoing", "There is nothing to undo.", "undoable" },
}

local function counted(count)
  return ("%d %s"):format(count, count == 1 and "migration" or "migrations")
end

local function run(all, options, direction, report)
  local words = WORDS[direction]
  local list, problem = all[words[5]](all, options.to)
  if not list then return fail("%s", problem) end
  if #list == 0 then
    print(words[4])
    return 0
  end
  local ok, count
  if options["dry-run"] then
    ok, problem = all:show(list, words[3])
    if not ok then return fail("%s", problem) end
    return 0
  end
  local names = {}
  for n, entry in ipairs(list) do names[n] = entry.name end
  if not project.confirm(("%s %s: %s?"):format(words[1], counted(#list), table.concat(names, ", ")), options) then
    return fail "nothing was changed"
  end
  count, problem = all[direction](all, { to = options.to, unlock = options.unlock })
  report.finish()
  io.stdout:flush()
  if not count then return fail("%s", problem) end
  print(("%s %s."):format(words[2], counted(count)))
  return 0
end

local function new(options)
  if not options[2] then return fail "new what? Give it a name: instant-lua migrate new add_priority" end
  local path, problem = migrations.create(options.dir or "migrations", options[2])
  if not path then return fail("%s", problem) end
  print("Wrote " .. path)
  return 0
end

local ACTIONS = { status = true, up = true, down = true, plan = true, new = true }

local function main(...)
  local options, problem = project.parse({ ... }, {
    dir = "value", to = "value", ["dry-run"] = "flag", yes = "flag", unlock = "flag",
  })
  if not options then return fail("%s", problem) end
  if options.help then
    io.write(USAGE)
    return 0
  end
  local action = options[1] or "status"
  if not ACTIONS[action] or options[3] or options[2] and action ~= "new" then
    return fail("status, up, down, plan or new NAME, not %s (see --help)", table.concat(options, " "))
  end
  if action == "new" then return new(options) end
  local to
  to, problem = project.connect(options, true)
  if not to then return fail("%s", problem) end
  local report = new_report()
  local all = migrations.open { to = to, dir = options.dir or "migrations", report = report }
  local code
  if action == "status" then
    code = status(all)
  else
    options["dry-run"] = options["dry-run"] or action == "plan"
    code = run(all, options, action == "down" and "down" or "up", report)
  end
  all:close()
  to:close()
  return code
end

return main(...)
