--- The entities of a namespace page by page, in the order in which they were made, as of the moment when it began.
--
-- A page is found from the row where the last one ended, by when that was made, so it makes no difference what
-- became of the rows since. What is made later lies behind `last` and is not seen.

local admin = require "instant.admin"
local project = require "instant.project"

local rows = {}

--- What the functions below ask: the app of a backend of project.lua. Links to one are one object.
function rows.of(to)
  return admin.init {
    appId = to.appId, adminToken = to.token, apiURI = to.api, schema = {}, disableValidation = true,
  }
end

-- A query of one namespace: what `more` says besides the conditions.
local function query_of(etype, options, more)
  local form = {}
  for name, child in pairs(options.with or {}) do form[name] = child end
  more.where = options.where
  if not more.aggregate and options.fields then more.fields = options.fields end
  form["$"] = more
  return { [etype] = form }
end

-- The first answer of a live query, for only that says where a page ends.
local function ask(db, query)
  local live = db:subscribeQuery(query)
  local payload = live()
  live:close()
  if not payload then return nil, "it was told to end" end
  if payload.type == "error" then return nil, project.explain(payload.error) end
  return payload
end

--- How many there are, or nil and a sentence.
function rows.count(db, etype, options)
  local result, problem = ask(db, query_of(etype, { where = options.where }, { aggregate = "count" }))
  if not result then return nil, problem end
  local counts = type(result.aggregate) == "table" and result.aggregate[etype]
  return counts and counts.count or 0
end

--- Where they end: a cursor, false when there are none, or nil and a sentence.
function rows.last(db, etype, options)
  local result, problem = ask(db, query_of(etype, { where = options.where }, {
    first = 1, order = { serverCreatedAt = "desc" } }))
  if not result then return nil, problem end
  if #(result.data[etype] or {}) == 0 then return false end
  return result.pageInfo[etype].startCursor
end

--- The next page behind the cursor `after` (nil: the first) up to `last`: the rows and where they end, or nil and
--- a sentence.
function rows.page(db, etype, options, after, last)
  local result, problem = ask(db, query_of(etype, options, {
    first = options.batch, after = after, before = last, beforeInclusive = last ~= nil or nil,
    order = { serverCreatedAt = "asc" },
  }))
  if not result then return nil, problem end
  local list = result.data[etype] or {}
  return list, #list > 0 and result.pageInfo[etype].endCursor or nil
end

return rows
