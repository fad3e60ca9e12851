--- `createInstantRouteHandler{appId=}`: the route of a web server of your own that keeps the signed-in
--- user in a cookie, as `firstPartyPath` of the browser client wants it (http.md 4.8).
--
--     local handler = instant.admin.createInstantRouteHandler { appId = "..." }
--     local answer = handler.POST { body = request_body }   -- {status=, headers=, body=}
--     db.auth.getUserFromRequest { headers = request_headers }:await()

local core = require "instant.core"
local http = require "instant.http"

local WEEK_S = 7 * 24 * 60 * 60

local function answer(status, body, cookie)
  local headers = { ["Content-Type"] = "application/json" }
  headers["Set-Cookie"] = cookie
  return { status = status, headers = headers, body = core.json_encode(body) }
end

local function refuse(status, message)
  return answer(status, { ok = false, error = message })
end

local function cookie_of(app_id, user)
  local value, age = "", -1 -- takes the cookie away
  if type(user) == "table" and user.refresh_token and user.refresh_token ~= core.null then
    value, age = http.escape(core.json_encode(user)), WEEK_S
  end
  return ("instant_user_%s=%s; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=%d"):format(
    app_id, value, age)
end

return function(config)
  if type(config) ~= "table" or type(config.appId) ~= "string" then
    error("createInstantRouteHandler: `appId` is missing", 2)
  end
  local handler = {}

  --- Answers a request `{body=text}`.
  function handler.POST(req)
    local body = type(req) == "table" and type(req.body) == "string" and core.json_decode(req.body)
    if type(body) ~= "table" then return refuse(400, "Invalid JSON body") end
    if not body.type or body.type == core.null then return refuse(400, 'Missing "type" field') end
    if body.appId ~= config.appId then return refuse(403, "App ID mismatch") end
    if body.type ~= "sync-user" then
      return refuse(400, "Unknown type: " .. tostring(body.type))
    end
    return answer(200, { ok = true }, cookie_of(config.appId, body.user))
  end

  return handler
end
