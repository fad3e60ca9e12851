--- An app taken in from a running backend, through the API that any admin token opens: for when there is no
--- backup at hand. Slower than importing one, and it sees less: no sign-ins, no streams, no times of creation (their
--- order is kept).

local archive = require "instant.archive"
local admin = require "instant.admin"
local core = require "instant.core"
local http = require "instant.http"
local request = require "instant.admin_request"
local task = require "instant.task"

local PAGE = 500
-- What is created is dated back so far, in the order of creation: nothing lies in the future.
local AGE_MS = 30 * 24 * 60 * 60 * 1000

local SKIPPED = { ["$streams"] = "its texts cannot be read as a whole" }

local function sorted(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function given(value)
  if value == core.null then return nil end
  return value
end

-- ---- the schema (http.md 8.3) ----

local function attr_definition(attr)
  return {
    valueType = given(attr["checked-data-type"]) or "json", required = attr["required?"] == true,
    config = { indexed = attr["index?"] == true, unique = attr["unique?"] == true },
  }
end

local function link_definition(attr)
  local forward, reverse = attr["forward-identity"], attr["reverse-identity"]
  return {
    forward = {
      on = forward[2], label = forward[3], has = attr.cardinality, required = attr["required?"] == true or nil,
      onDelete = given(attr["on-delete"]),
    },
    reverse = {
      on = reverse[2], label = reverse[3], has = attr["unique?"] and "one" or "many",
      onDelete = given(attr["on-delete-reverse"]),
    },
  }
end

-- The schema as `i.schema` has it, and the links that leave each namespace: `{todos = {owner = "one"}}`.
local function read_schema(api)
  local definition = { entities = {}, links = {}, rooms = {} }
  local links = {}
  for etype, attrs in pairs(api.blobs or {}) do
    local entity = { attrs = {} }
    for label, attr in pairs(attrs) do
      if label ~= "id" then entity.attrs[label] = attr_definition(attr) end
    end
    definition.entities[etype] = entity
    links[etype] = {}
  end
  for key, attr in pairs(api.refs or {}) do
    local forward = attr["forward-identity"]
    definition.links[key] = link_definition(attr)
    if links[forward[2]] then links[forward[2]][forward[3]] = attr.cardinality end
  end
  return definition, links
end

-- ---- entities ----

local Cloud = {}
Cloud.__index = Cloud

local function page_query(etype, links, offset)
  local form = { ["$"] = { limit = PAGE, offset = offset } }
  for label in pairs(links) do form[label] = { ["$"] = { fields = { "id" } } } end
  return { [etype] = form }
end

-- A row as a line of an archive has it.
local function entity_of(row, links)
  local entity = {}
  for label, value in pairs(row) do
    if not links[label] then
      entity[label] = value
    elseif type(value) == "table" then
      local ids = core.json_decode "[]"
      for n, target in ipairs(value) do ids[n] = target.id end
      if links[label] == "many" then entity[label] = ids else entity[label] = ids[1] end
    end
  end
  return entity
end

-- Downloads the content of one file.
function Cloud:file(entity, url)
  local location = entity["location-id"]
  local named, err = self.into:file(location, 0)
  if not named then return named == false, err end
  local failed
  local answer
  answer, err = http.request {
    url = url, redirects = 5, timeout = 0, silence = 60000,
    onData = function(piece)
      local ok, why = self.into:write(piece)
      if not ok then failed = failed or why end
    end,
  }:await()
  if failed then return nil, failed end
  if not answer or answer.status ~= 200 then
    self.report:add(("$files %s: cannot be downloaded: %s"):format(tostring(entity.path),
      answer and ("status %d"):format(answer.status) or err.message))
    return true
  end
  return self.into:keep(location)
end

function Cloud:line(entity)
  self.count = self.count + 1
  return self.into:feed(core.json_encode { entity = entity, createdAt = self.start + self.count } .. "\n")
end

-- A file comes under a new location: where it lay is the other backend's business.
function Cloud:file_row(entity)
  local url = entity.url
  entity.url, entity["location-id"], entity["key-version"] = nil, core.id(), 1
  local ok, err = self:line(entity)
  if ok and type(url) == "string" then ok, err = self:file(entity, url) end
  return ok, err
end

function Cloud:page(etype, rows, links)
  for _, row in ipairs(rows) do
    local entity = entity_of(row, links)
    local ok, err
    if etype == "$files" then ok, err = self:file_row(entity) else ok, err = self:line(entity) end
    if not ok then return nil, err end
  end
  return true
end

function Cloud:commit(at)
  for _, problem in ipairs(self.into:problems()) do self.report:add(problem) end
  at.count, at.start, at.problems = self.count, self.start, self.report.problemCount
  return self.into:commit(core.json_encode(at))
end

function Cloud:etype(n, etype, links, offset)
  local ok, err = self.into:shard(etype)
  if not ok then return nil, err end
  while true do
    local result
    result, err = self.from:query(page_query(etype, links, offset)):await()
    if not result then return nil, err end
    local rows = result[etype]
    ok, err = self:page(etype, rows, links)
    offset = offset + #rows
    if ok then ok, err = self:commit { etype = n, offset = offset } end
    if not ok then return nil, err end
    if self.onProgress then self.onProgress { done = self.count, entry = etype } end
    if #rows < PAGE then return true end
    task.sleep(0)
  end
end

function Cloud:run(etypes, links)
  local id, token, position = self.into:app()
  local at = position ~= "" and core.json_decode(position) or {}
  local report = self.report
  self.count, self.start = at.count or 0, at.start or core.now() - AGE_MS
  report.appId, report.adminToken, report.resumed = id, token, position ~= ""
  report.problemCount = at.problems or 0
  if self.onStart then self.onStart(report) end
  for n, etype in ipairs(etypes) do
    local ok, err = true, nil
    if SKIPPED[etype] then
      if not report.resumed then report:add(("%s: %s"):format(etype, SKIPPED[etype])) end
    elseif n >= (at.etype or 1) then
      ok, err = self:etype(n, etype, links[etype], n == at.etype and at.offset or 0)
    end
    if not ok then return nil, err end
  end
  if not report.resumed then report:add "sign-ins: everybody signs in again" end
  local ok, err = self.into:finish()
  if not ok then return nil, err end
  report.entities, report.triples = self.into:counts()
  return report
end

local KNOWN = {
  from = "table", data = "string", file = "string", appId = "string", title = "string", onStart = "function",
  onProgress = "function",
}

--- Takes an app in from a backend that is running. Options: `from`, `{appId=, adminToken=, apiURI=}` as for
--- `instant.admin.init`; the others, and what it gives, as for `importArchive`; `onProgress{done=, entry=}` counts
--- entities. What changes there meanwhile may be missed.
return function(options)
  archive.check("importApp", options, KNOWN)
  if not options.from then error("importApp: `from` is missing", 2) end
  local from = admin.init(options.from)
  local answer, err = request.send(from.config, "GET", "/admin/schema", {}):await()
  if not answer then return nil, err end
  local perms
  perms, err = request.send(from.config, "GET", ("/dash/apps/%s/perms/pull"):format(from.config.appId), {}):await()
  if not perms then return nil, err end
  local definition, links = read_schema(answer.schema)
  local id
  id, err = archive.appId(options.appId, options.from.appId)
  if err then return nil, err end
  local into
  into, err = core.import {
    data = options.data or options.file, isFile = options.file ~= nil, appId = id, title = options.title,
    schema = definition, rules = perms.perms,
  }
  if not into then return nil, err end
  local report
  report, err = setmetatable({
    from = from, into = into, report = archive.report(), onStart = options.onStart, onProgress = options.onProgress,
  }, Cloud):run(sorted(links), links)
  into:close()
  if not report then return nil, err end
  return report
end
