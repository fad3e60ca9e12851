--- Apps as archives: InstantDB's backups taken in, ours written out (http.md 12).
--
--     config.json                what the app is: schema, rules
--     entities/<etype>.jsonl     {"entity": {...}, "createdAt": ms}, one a line
--     files/<location>           the content of a file
--
-- Both work on a data folder, or one app's data file, that no other process has open. An import
-- commits as it goes: one that was broken off goes on where it was when it is started again.

local core = require "instant.core"
local http = require "instant.http"
local task = require "instant.task"

local archive = {}

-- Bytes of entities between two commits: what is done again after a crash.
local COMMIT_BYTES = 16 * 1024 * 1024
local COMMIT_FILES = 100
local MAX_CONFIG = 32 * 1024 * 1024
local MAX_PROBLEMS = 1000

local function failure(message, ...)
  return core.error("archive", message:format(...))
end

--- Raises for options that are not known, or of another type.
function archive.check(name, options, known)
  if type(options) ~= "table" then error(name .. ": expected a table, got " .. type(options), 3) end
  for key, value in pairs(options) do
    if not known[key] then error(("%s: unknown option `%s`"):format(name, tostring(key)), 3) end
    if type(value) ~= known[key] then
      error(("%s: `%s` must be a %s, got %s"):format(name, key, known[key], type(value)), 3)
    end
  end
  if (options.data == nil) == (options.file == nil) then
    error(name .. ": give `data`, a folder, or `file`, one app's data file", 3)
  end
end

-- ---- taking in ----

-- What an import found, and says at last.
local Report = {}
Report.__index = Report

--- A report to be filled: `report:add(problem)`.
function archive.report()
  return setmetatable({ problems = core.json_decode "[]", problemCount = 0 }, Report)
end

function Report:add(message)
  self.problemCount = self.problemCount + 1
  if #self.problems < MAX_PROBLEMS then self.problems[#self.problems + 1] = message end
end

-- One import on its way.
local Import = {}
Import.__index = Import

function Import:progress(entry)
  if self.onProgress then
    self.onProgress { done = self.done, total = self.total, entry = entry }
  end
  task.sleep(0) -- others may run
end

-- Everything up to here is durable; a later start goes on there.
function Import:commit(entry, offset)
  for _, problem in ipairs(self.into:problems()) do self.report:add(problem) end
  return self.into:commit(core.json_encode { entry = entry, offset = offset, problems = self.report.problemCount })
end

-- Reads away what was taken before.
function Import:skip(offset)
  local rest
  while offset > 0 do
    local piece, err = self.zip:read()
    if not piece then return nil, err or failure "The archive has changed since the import was begun." end
    self.done = self.done + math.min(#piece, offset)
    rest = piece:sub(offset + 1)
    offset = offset - #piece
  end
  return rest or ""
end

function Import:shard(n, entry, etype, offset)
  local ok, err = self.into:shard(etype)
  if ok then ok, err = self.zip:begin(n) end
  if not ok then return nil, err end
  local piece
  piece, err = self:skip(offset)
  local uncommitted = 0
  while piece do
    ok, err = self.into:feed(piece)
    if not ok then return nil, err end
    self.done = self.done + #piece
    uncommitted = uncommitted + #piece
    if uncommitted >= COMMIT_BYTES then
      ok, err = self:commit(n, offset + self.into:taken())
      if not ok then return nil, err end
      uncommitted = 0
    end
    self:progress(entry.name)
    piece, err = self.zip:read()
  end
  if err then return nil, err end
  return self.into:feed(nil)
end

function Import:file(n, entry, location)
  local named, err = self.into:file(location, entry.size)
  if named == nil then return nil, err end
  if not named then
    self.report:add(entry.name .. ": no $files entity names it")
    self.done = self.done + entry.size
    return true
  end
  local ok
  ok, err = self.zip:begin(n)
  local piece
  if ok then piece, err = self.zip:read() end
  while piece do
    ok, err = self.into:write(piece)
    if not ok then return nil, err end
    self.done = self.done + #piece
    self:progress(entry.name)
    piece, err = self.zip:read()
  end
  if err then return nil, err end
  self.kept[location] = true
  return self.into:keep(location)
end

local function is_uuid(text)
  return text:match "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$" ~= nil
end

function Import:entry(n, entry, offset)
  local etype = entry.name:match "^entities/(.+)%.jsonl$"
  local location = entry.name:match "^files/(.+)$"
  if etype then return self:shard(n, entry, etype, offset) end
  if location and is_uuid(location) then return self:file(n, entry, location:lower()) end
  self.report:add(entry.name .. ": not a part of a backup that is known here")
  self.done = self.done + entry.size
  return true
end

function Import:entries(entries, first, offset)
  for n, entry in ipairs(entries) do
    local is_behind = n >= first
    if not is_behind then self.done = self.done + entry.size end
    local location = entry.name:match "^files/(.+)$"
    if location and not is_behind then self.kept[location:lower()] = true end
    if n > 1 and is_behind then
      local ok, err = self:entry(n, entry, n == first and offset or 0)
      -- Files are durable by themselves: a crash does some of them again.
      if ok and (not location or n % COMMIT_FILES == 0) then ok, err = self:commit(n + 1, 0) end
      if not ok then return nil, err end
    end
  end
  return true
end

function Import:missing_files()
  local locations, err = self.into:files()
  if not locations then return nil, err end
  for _, location in ipairs(locations) do
    if not self.kept[location] then
      self.report:add(("$files: the content at %s is not in the archive"):format(location))
    end
  end
  return true
end

-- What a configuration has beyond data, schema and rules; done again when a start goes on.
function Import:settings(config)
  local ok, err = self.into:settings {
    webhooks = config.webhooks, emailTemplates = config.emailTemplates,
    authorizedRedirectOrigins = config.authorizedRedirectOrigins,
  }
  for _, problem in ipairs(self.into:problems()) do self.report:add(problem) end
  return ok, err
end

function Import:run(entries, config)
  local id, token, position = self.into:app()
  local at = position ~= "" and core.json_decode(position) or {}
  self.report.appId, self.report.adminToken, self.report.resumed = id, token, position ~= ""
  self.report.problemCount = at.problems or 0
  if self.onStart then self.onStart(self.report) end
  local ok, err = self:entries(entries, at.entry or 2, at.offset or 0)
  if ok then ok, err = self:missing_files() end
  if ok then ok, err = self:commit(#entries + 1, 0) end
  if ok then ok, err = self:settings(config) end
  if ok then ok, err = self.into:finish() end
  if not ok then return nil, err end
  self.report.entities, self.report.triples = self.into:counts()
  return self.report
end

local function read_config(zip, entries)
  local first = entries[1]
  if not first or first.name ~= "config.json" then
    return nil, failure "This is no backup of an Instant app: its first entry must be config.json."
  end
  if first.size > MAX_CONFIG then return nil, failure "Its config.json is too large." end
  local ok, err = zip:begin(1)
  local pieces, piece = {}, nil
  if ok then piece, err = zip:read() end
  while piece do
    pieces[#pieces + 1] = piece
    piece, err = zip:read()
  end
  if err then return nil, err end
  local config = core.json_decode(table.concat(pieces))
  if type(config) ~= "table" or type(config.schema) ~= "table" then
    return nil, failure "Its config.json is not that of a backup: no schema."
  end
  return config
end

--- The id of the app to be made: nil for a new one, or nil and the error.
function archive.appId(wanted, original)
  if wanted == "new" then return nil end
  local id = wanted or original
  if type(id) ~= "string" or not is_uuid(id) then
    return nil, failure("`%s` is no app id; give one, or \"new\".", tostring(id))
  end
  return id:lower()
end

local IMPORT = {
  archive = "string", data = "string", file = "string", appId = "string", title = "string",
  dropSessions = "boolean", onStart = "function", onProgress = "function",
}

--- Takes a backup in as a new app. Options: `archive`, `data` (a folder) or `file`, `appId` (left out: the
--- archive's, so that clients only change their `apiURI` and stay signed in; "new": another one), `title`,
--- `dropSessions`, `onStart(report)` as soon as the app is there, `onProgress{done=, total=, entry=}` in
--- bytes. Gives `{appId=, adminToken=, entities=, triples=, problems=, problemCount=, resumed=}`; the token is
--- that of the start, nil when it went on where it was broken off. Or `nil, err`.
function archive.import(options)
  archive.check("importArchive", options, IMPORT)
  if not options.archive then error("importArchive: `archive` is missing", 2) end
  local zip, err = core.zip_open(options.archive)
  if not zip then return nil, err end
  local entries, config, id, into, report
  entries, err = zip:entries()
  if entries then config, err = read_config(zip, entries) end
  if config then id, err = archive.appId(options.appId, config.appId) end
  if not err then
    into, err = core.import {
      data = options.data or options.file, isFile = options.file ~= nil, appId = id,
      title = options.title or type(config.title) == "string" and config.title or nil,
      schema = config.schema, rules = config.rules, dropSessions = options.dropSessions,
    }
  end
  if into then
    local total = 0
    for _, entry in ipairs(entries) do total = total + entry.size end
    local import = setmetatable({
      zip = zip, into = into, report = archive.report(), done = 0, total = total, kept = {},
      onStart = options.onStart, onProgress = options.onProgress,
    }, Import)
    report, err = import:run(entries, config)
    into:close()
  end
  zip:close()
  if not report then return nil, err end
  return report
end

-- ---- writing out ----

local function write_file(path, next_piece)
  local out, err = io.open(path, "wb")
  if not out then return nil, failure("%s", err) end
  local ok, more
  repeat
    local piece
    piece, more = next_piece()
    if not piece then
      out:close()
      return nil, more
    end
    ok, err = out:write(piece)
  until not ok or not more
  local closed, why = out:close()
  if not ok or not closed then return nil, failure("%s cannot be written: %s", path, err or why) end
  return true
end

local function add_shards(from, zip, partial, progress, temporary)
  local etypes = from:etypes()
  local total, done = 0, 0
  for _, etype in ipairs(etypes) do total = total + etype.count end
  for n, etype in ipairs(etypes) do
    local path = ("%s.%d"):format(partial, n)
    temporary[#temporary + 1] = path
    local ok, err = from:shard(n)
    if ok then
      ok, err = write_file(path, function()
        local text, more = from:lines()
        if text then
          local _, lines = text:gsub("\n", "\n")
          done = done + lines
          progress(total > 0 and done / total * 0.5 or 0.5)
        end
        return text, more
      end)
    end
    if ok then ok, err = zip:add(("entities/%s.jsonl"):format(etype.name), path) end
    if not ok then return nil, err end
  end
  return total
end

local function is_there(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- A content that is in a bucket, into a file of its own: true, or what to say of it; nil, err: of the disk here.
local function download(url, path, ca_file)
  local out, problem = io.open(path, "wb")
  if not out then return nil, failure("%s", problem) end
  local written, why = true, nil
  local answer, err = http.request {
    url = url, timeout = 0, silence = 60000, caFile = ca_file,
    onData = function(piece)
      if written then written, why = out:write(piece) end
    end,
  }:await()
  local closed, close_why = out:close()
  if not written or not closed then return nil, failure("%s cannot be written: %s", path, why or close_why) end
  if not answer then return err.message end
  return answer.status == 200 or ("status %d"):format(answer.status)
end

-- The archive is written last, from files: what was in a bucket waits beside it until then.
local function add_content(from, zip, id, location, options, partial, temporary)
  local path, err = from:path(id, location)
  if not path then return nil, err end
  local found = is_there(path) or "is missing"
  local url = found ~= true and from:address(id, location)
  if url then
    path = ("%s.%s"):format(partial, location)
    temporary[#temporary + 1] = path
    found, err = download(url, path, options.s3.caFile)
    if not found then return nil, err end
    if found ~= true then found = "cannot be read from the bucket: " .. found end
  end
  if found == "is missing" and not options.s3 then
    found = "is missing; when it is in a bucket, say in which"
  end
  if found ~= true then return found end
  return zip:add("files/" .. location, path)
end

local function add_files(from, zip, id, report, ...)
  local locations, err = from:files()
  if not locations then return nil, err end
  for _, location in ipairs(locations) do
    local found
    found, err = add_content(from, zip, id, location, ...)
    if not found then return nil, err end
    if found == true then
      report.files = report.files + 1
    else
      report:add(("$files: the content at %s %s"):format(location, found))
    end
  end
  return true
end

local EXPORT = {
  path = "string", data = "string", file = "string", appId = "string", s3 = "table", onProgress = "function",
}

local function write_archive(from, id, options, partial, temporary)
  local report = archive.report()
  report.appId, report.path, report.files = id, options.path, 0
  local function progress(done)
    if options.onProgress then options.onProgress { done = done, total = 1 } end
  end
  local zip, err = core.zip_create(partial)
  if not zip then return nil, err end
  local config, ok
  config, err = from:config()
  if not config then return nil, err end
  temporary[#temporary + 1] = partial .. ".0"
  ok, err = write_file(partial .. ".0", function() return config, false end)
  if ok then ok, err = zip:add("config.json", partial .. ".0") end
  if ok then report.entities, err = add_shards(from, zip, partial, progress, temporary) end
  if report.entities then ok, err = add_files(from, zip, id, report, options, partial, temporary) end
  if not ok or not report.entities then return nil, err end
  ok, err = zip:finish(function(done) progress(0.5 + done / 2) end)
  if not ok then return nil, err end
  ok, err = os.rename(partial, options.path)
  if not ok then return nil, failure("%s", err) end
  return report
end

--- Writes an app as an archive that `importArchive` and InstantDB's own tools read. Options: `path`, which must
--- not be there yet, `data` or `file`, `appId` (may be left out when there is one app), `s3` (as for
--- `instant.server`: contents that are in a bucket are read from there), `onProgress{done=, total=}`.
--- Gives `{appId=, path=, entities=, files=, problems=, problemCount=}`, or `nil, err`. Who can read the archive can
--- read everything, also what rules hide.
function archive.export(options)
  archive.check("exportArchive", options, EXPORT)
  if not options.path then error("exportArchive: `path` is missing", 2) end
  if is_there(options.path) then return nil, failure("%s is already there", options.path) end
  local from, id = core.export {
    data = options.data or options.file, isFile = options.file ~= nil, appId = options.appId, s3 = options.s3,
  }
  if not from then return nil, id end
  local temporary = {}
  local partial = options.path .. ".partial"
  os.remove(partial)
  local report, err = write_archive(from, id, options, partial, temporary)
  for _, path in ipairs(temporary) do os.remove(path) end
  if not report then os.remove(partial) end
  from:close()
  if not report then return nil, err end
  return report
end

return archive
