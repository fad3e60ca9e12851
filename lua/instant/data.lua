--- Data folders and data files: checked, backed up, restored.
--
--     local report, err = instant.data.check("instant-data"):await()
--     instant.data.backup { from = "instant-data", to = "backups/monday" }:await()
--     instant.data.restore { from = "backups/monday", to = "instant-data" }:await()
--
-- A backup is a folder: `backup.json`, which says what it is and is written last, the databases, and
-- the contents of files.

local core = require "instant.core"
local Future = require "instant.future"
local http = require "instant.http"
local task = require "instant.task"

local data = {}

local FORMAT, VERSION = "instant-backup", 1

local function problem(...)
  return nil, setmetatable({ type = "data-file", status = 500, message = string.format(...) }, core.error_mt)
end

local function read_json(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read(1048576) or ""
  file:close()
  local value = core.json_decode(text)
  return type(value) == "table" and value or nil
end

-- Steps until it is done; others are served in between. The last progress, or nil and the error.
local function finish(stage, report, kind, ...)
  local work, err = core.data_task(kind, ...)
  if not work then return nil, err end
  local steps = 0
  while true do
    local is_done, shown = work:step()
    if is_done == nil then return nil, shown end
    shown.stage = stage
    report(shown)
    if is_done then
      work:close()
      return shown
    end
    steps = steps + 1
    if steps % 16 == 0 then task.sleep(0) end
  end
end

-- fn in a task; what it gives becomes the future's: nil and an error reject it.
local function run(fn)
  local future = Future.new()
  task.start(function()
    local result, err = fn()
    if result == nil then future:reject(err) else future:resolve(result) end
  end):catch(function(err) future:reject(err) end)
  return future
end

local function check_options(name, options, types)
  if type(options) ~= "table" then
    error(("data.%s: expected a table, got %s"):format(name, type(options)), 3)
  end
  for key, value in pairs(options) do
    local expected = types[key]
    if not expected then error(("data.%s: unknown option `%s`"):format(name, tostring(key)), 3) end
    if type(value) ~= expected then
      error(("data.%s: `%s` must be a %s, got %s"):format(name, key, expected, type(value)), 3)
    end
  end
  for _, key in ipairs { "from", "to" } do
    if not options[key] or options[key] == "" then
      error(("data.%s: `%s` is missing"):format(name, key), 3)
    end
  end
end

local function nothing() end

local function is_backup(path)
  local manifest = read_json(path .. "/backup.json")
  return manifest and manifest.format == FORMAT and manifest or nil
end

-- ---- check ----

--- Is the data folder, or one app's data file, whole? Reads everything: every triple in both trees,
--- attrs, order keys, the log, the contents of files. `{ problems = n, text = one line each }`.
function data.check(path, onProgress)
  if type(path) ~= "string" or path == "" then
    error("data.check: expected a path, got " .. type(path), 2)
  end
  return run(function()
    local manifest = is_backup(path)
    local what = manifest and manifest.kind == "file" and path .. "/app.db" or path
    return finish("check", onProgress or nothing, "check", what)
  end)
end

-- ---- backup ----

-- The server that has the folder open, if there is one that answers: a function that asks it.
local function operator_of(folder)
  local known = read_json(folder .. "/operator.json")
  if not known or type(known.url) ~= "string" or type(known.token) ~= "string" then return nil end
  local function ask(method, body)
    local answer, err = http.request {
      method = method, url = known.url .. "/operator/backup", json = body, timeout = 30000,
      headers = { authorization = "Bearer " .. known.token },
    }:await()
    if not answer then return nil, err end
    local value = core.json_decode(answer.body)
    if type(value) ~= "table" then return problem("%s: the server gave no answer", known.url) end
    if answer.status ~= 200 or not value.state then
      return problem("%s", value.message or "the server refused to make a backup")
    end
    return value
  end
  -- Left behind by a server that was killed, or of another program by now: nobody is there.
  return ask "GET" and ask
end

local function copy_databases_live(ask, to, report)
  local state, err = ask("POST", { to = core.data_full_path(to) })
  if not state then return nil, err end
  while state.state == "running" do
    state.stage = "databases"
    report(state)
    task.sleep(20)
    state, err = ask "GET"
    if not state then return nil, err end
  end
  if state.state ~= "done" then return problem("%s", state.message or "the backup was given up") end
  return true
end

local function contents_of(from, kind)
  return kind == "folder" and from .. "/files" or from .. "-files"
end

local function fill_backup(options, kind, part)
  local report = options.onProgress or nothing
  local ask = kind == "folder" and operator_of(options.from)
  local ok, err
  if ask then
    ok, err = copy_databases_live(ask, part, report)
  else
    ok, err = finish("databases", report, "databases", options.from, kind == "folder" and part or part .. "/app.db")
  end
  if not ok then return nil, err end
  if kind == "file" and core.data_kind(part .. "/app.db") ~= "file" then
    return problem("%s: has no app yet, so there is nothing to be backed up", options.from)
  end
  local contents
  contents, err = finish("contents", report, "contents", contents_of(options.from, kind),
    part .. (kind == "folder" and "/files" or "/app.db-files"))
  if not contents then return nil, err end
  local text = assert(core.json_encode {
    format = FORMAT, version = VERSION, kind = kind, madeAt = core.now(),
    contents = contents.contents, bytes = contents.bytes,
  })
  ok, err = core.data_write(part .. "/backup.json", text .. "\n")
  if not ok then return nil, err end
  return { live = ask ~= nil and ask ~= false, contents = contents.contents, bytes = contents.bytes,
    damaged = contents.damaged, firstDamaged = contents.firstDamaged }
end

local BACKUP = { from = "string", to = "string", force = "boolean", onProgress = "function" }

--- Copies a data folder (of a running server: through it, while it works) or one app's data file,
--- with the contents of files, into the new folder `to`. `force` replaces a backup that is there.
function data.backup(options)
  check_options("backup", options, BACKUP)
  return run(function()
    local from, to = options.from:gsub("(.)/+$", "%1"), options.to:gsub("(.)/+$", "%1")
    local kind, part = core.data_kind(from), to .. ".partial"
    if kind ~= "folder" and kind ~= "file" then return problem("%s: there is no such file or folder", from) end
    if core.data_kind(to) then
      if not options.force then return problem("%s: is there already; choose another name, or force it", to) end
      if not is_backup(to) then return problem("%s: is no backup, and is not replaced", to) end
    end
    if core.data_kind(part) then
      return problem("%s: is there already, of a backup that is made or was cut off; delete it first", part)
    end
    local ok, err = core.data_make_folder(part)
    if not ok then return nil, err end
    local result
    result, err = fill_backup({ from = from, onProgress = options.onProgress }, kind, part)
    local old = core.data_kind(to) and to .. ".replaced" or nil
    if result then
      ok, err = core.data_seal(part, to, old)
      result = ok and result or nil
    end
    if not result then
      core.data_remove(part)
      return nil, err
    end
    if old then core.data_remove(old) end
    result.to = to
    return result
  end)
end

-- ---- restore ----

local function copy_files(from, manifest, part, report)
  local pairs_to_copy = {}
  if manifest.kind == "folder" then
    pairs_to_copy[1] = { from .. "/system.db", part .. "/system.db" }
    local ok, err = core.data_make_folder(part .. "/apps")
    if not ok then return nil, err end
    local names = core.data_list(from .. "/apps")
    table.sort(names)
    for _, name in ipairs(names) do
      if name:match "^[%x-]+%.db$" then
        pairs_to_copy[#pairs_to_copy + 1] = { from .. "/apps/" .. name, part .. "/apps/" .. name }
      end
    end
  else
    pairs_to_copy[1] = { from .. "/app.db", part }
  end
  for i, pair in ipairs(pairs_to_copy) do
    local ok, err = finish("databases", function(shown)
      shown.file, shown.files = i, #pairs_to_copy
      report(shown)
    end, "file", pair[1], pair[2])
    if not ok then return nil, err end
  end
  local is_folder = manifest.kind == "folder"
  return finish("contents", report, "contents", from .. (is_folder and "/files" or "/app.db-files"),
    contents_of(part, manifest.kind))
end

local function fill_target(from, manifest, part, report)
  if manifest.kind == "folder" then
    local ok, err = core.data_make_folder(part)
    if not ok then return nil, err end
  end
  local contents, err = copy_files(from, manifest, part, report)
  if not contents then return nil, err end
  local found
  found, err = finish("check", report, "check", part)
  if not found then return nil, err end
  if found.problems > 0 then
    return problem("%s: the backup is damaged:\n%s", from, (found.text:gsub("\n$", "")))
  end
  return { contents = contents.contents, bytes = contents.bytes }
end

-- The error when somebody has it open. What cannot be opened for another reason (it may be damaged)
-- is nobody's.
local function in_use(path)
  local work, err = core.data_task("check", path)
  if work then work:close() end
  local hint = not work and err.hint
  return type(hint) == "table" and hint["in-use"] and err or nil
end

local function remove_all(part)
  core.data_remove(part)
  core.data_remove(part .. "-files")
end

local function seal(part, to, kind, aside)
  if kind == "file" and core.data_kind(part .. "-files") then
    local ok, err = core.data_seal(part .. "-files", to .. "-files", aside and aside .. "-files")
    if not ok then return nil, err end
  end
  return core.data_seal(part, to, aside)
end

local RESTORE = BACKUP

--- Makes the data folder (or file) `to` of a backup, after checking all of it. `force` moves what is
--- there aside, under the name that the result's `aside` gives.
function data.restore(options)
  check_options("restore", options, RESTORE)
  return run(function()
    local from, to = options.from:gsub("(.)/+$", "%1"), options.to:gsub("(.)/+$", "%1")
    local part, aside = to .. ".partial", nil
    local manifest = is_backup(from)
    if not manifest then
      return problem("%s: is no backup, or one that was never finished (it has no backup.json)", from)
    end
    if type(manifest.version) ~= "number" or manifest.version > VERSION then
      return problem("%s: made by a newer version of this program; use that version", from)
    end
    if core.data_kind(to) or (manifest.kind == "file" and core.data_kind(to .. "-files")) then
      if not options.force then return problem("%s: is there already; choose another name, or force it", to) end
      local busy = in_use(to)
      if busy then return nil, busy end
      aside = ("%s.replaced-%d"):format(to, core.now())
    end
    if core.data_kind(part) or core.data_kind(part .. "-files") then
      return problem("%s: is there already, of a restore that was cut off; delete it first", part)
    end
    local result, err = fill_target(from, manifest, part, options.onProgress or nothing)
    if result then
      local ok
      ok, err = seal(part, to, manifest.kind, aside)
      result = ok and result or nil
    end
    if not result then
      remove_all(part)
      return nil, err
    end
    result.to, result.aside = to, aside
    return result
  end)
end

return data
