--- `db.webhooks.manager`: an app's webhooks and what was sent to them (http.md 11.1).

local bind = require "instant.bind"
local core = require "instant.core"
local request = require "instant.admin_request"

local present = request.present
local Manager = {}

local function date_of(date, text)
  text = present(text)
  return text and date(text)
end

local function webhook_of(date, raw)
  return {
    id = raw.id,
    sink = raw.sink,
    namespaces = present(raw.namespaces) or setmetatable({}, core.array_mt),
    actions = raw.actions,
    status = raw.status,
    disabledReason = present(raw.disabled_reason),
    createdAt = date_of(date, raw.created_at),
    updatedAt = date_of(date, raw.updated_at),
  }
end

local function attempt_of(date, raw)
  return {
    attemptAt = date_of(date, raw["attempt-at"]),
    durationMs = present(raw["duration-ms"]),
    success = present(raw["success?"]),
    statusCode = present(raw["status-code"]),
    responseText = present(raw["response-text"]),
    errorType = present(raw["error-type"]),
    errorMessage = present(raw["error-message"]),
  }
end

local function map(list, fn, date)
  local all = setmetatable({}, core.array_mt)
  for i, raw in ipairs(present(list) or {}) do all[i] = fn(date, raw) end
  return all
end

local function event_of(date, raw)
  return {
    isn = raw.isn,
    status = raw.status,
    attempts = present(raw.attempts) and map(raw.attempts, attempt_of, date),
    nextAttemptAfter = date_of(date, raw.next_attempt_after),
    createdAt = date_of(date, raw.created_at),
    updatedAt = date_of(date, raw.updated_at),
  }
end

local function ask(self, method, route, body, query)
  local config = self._config
  if not config.appId then
    return request.failed(request.error("appId is required to manage webhooks. Pass it to the Webhooks "
      .. "constructor."))
  end
  local function run(token)
    local headers = request.versions()
    headers.authorization, headers["content-type"] = "Bearer " .. token, "application/json"
    return config.fetch(method, route, { headers = headers, query = query, body = body })
  end
  if config.withAuth then return config.withAuth(run) end
  if not config.token then
    return request.failed(request.error("A token is required to manage webhooks. Pass `adminToken` or "
      .. "`token` to the Webhooks constructor."))
  end
  return run(config.token)
end

local function path(self, id, rest)
  local base = "/dash/apps/" .. tostring(self._config.appId) .. "/webhooks"
  return id and base .. "/" .. tostring(id) .. (rest or "") or base
end

local function webhook(self, future)
  return future:next(function(answer) return webhook_of(self._config.date, answer.webhook) end)
end

--- Every webhook, newest first.
function Manager:list()
  return ask(self, "GET", path(self)):next(function(answer)
    return map(answer.webhooks, webhook_of, self._config.date)
  end)
end

--- Makes a webhook: `{url=, namespaces={...}, actions={"create","update","delete"}}`.
function Manager:create(params)
  return webhook(self, ask(self, "POST", path(self), params))
end

--- Changes what `params` has of url, namespaces and actions.
function Manager:update(id, params)
  return webhook(self, ask(self, "POST", path(self, id), params))
end

--- Deletes it; gives what it was.
function Manager:delete(id)
  return webhook(self, ask(self, "DELETE", path(self, id)))
end

function Manager:enable(id)
  return webhook(self, ask(self, "POST", path(self, id, "/enable"), {}))
end

--- Stops it, with a reason to show: `opts.reason`.
function Manager:disable(id, opts)
  local reason = opts and present(opts.reason)
  return webhook(self, ask(self, "POST", path(self, id, "/disable"), { reason = reason }))
end

--- A page of events, newest first: `{events={...}, pageInfo={startCursor=, endCursor=, hasNextPage=}}`.
--- `opts.after`: the endCursor of the page before.
function Manager:listEvents(id, opts)
  local after = opts and present(opts.after)
  return ask(self, "GET", path(self, id, "/events"), nil, after and { after = after }):next(function(answer)
    local info = present(answer.pageInfo) or {}
    return {
      events = map(answer.events, event_of, self._config.date),
      pageInfo = {
        startCursor = present(info.startCursor),
        endCursor = present(info.endCursor),
        hasNextPage = present(info.hasNextPage) == true,
      },
    }
  end)
end

local function event(self, future)
  return future:next(function(answer) return event_of(self._config.date, answer.event) end)
end

function Manager:getEvent(id, isn)
  return event(self, ask(self, "GET", path(self, id, "/events/" .. isn)))
end

--- The records of an event: `{data={...}, idempotencyKey=}`.
function Manager:getPayload(id, isn)
  return ask(self, "GET", ("/webhooks/payload/%s/%s/%s"):format(tostring(self._config.appId), id, isn))
end

--- Sends an event again, whatever became of it.
function Manager:resendEvent(id, isn)
  return event(self, ask(self, "POST", path(self, id, "/events/" .. isn), {}))
end

--- `config`: appId, token, withAuth, fetch, date.
return function(config)
  return bind({ _config = config }, Manager)
end
