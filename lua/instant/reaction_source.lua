--- Where reactions get changes from: the backend's feed of its log, page after page.
--
--     POST /admin/changes {after, etypes, limit, wait}
--     -> {changes: [{etype, id, action, before, after, txId, at, who, position, idempotencyKey}],
--         position, more}
--
-- Another source has the same two functions. A position is text; "start" is in front of everything.

local core = require "instant.core"
local request = require "instant.admin_request"

local source = {}

--- The page after a position: waits up to `wait` s for something to be there. `limit` changes at most.
function source.ask(config, position, etype, wait, limit)
  return request.send(config, "POST", "/admin/changes", {
    body = {
      after = position ~= "start" and position or nil, etypes = setmetatable({ etype }, core.array_mt),
      limit = limit, wait = wait,
    },
    timeout = (wait + 30) * 1000,
  })
end

--- An error of the feed in words for whoever runs the reaction.
function source.explain(err)
  if err.status == 404 or err.status == 405 then
    return core.error("no-change-feed", "This backend has no change feed (POST /admin/changes), which reactions "
      .. "follow: they need the backend of `instant-lua serve` or `local:FILE`.")
  end
  return err
end

--- "now", "start" or a transaction's number as a position; nil and the error, also when there is no feed.
function source.position(config, from)
  local page, err = request.send(config, "POST", "/admin/changes", { body = { after = "now", wait = 0 } }):await()
  if not page then return nil, source.explain(err) end
  return from == "now" and page.position or tostring(from)
end

return source
