--- `db.auth` of the admin SDK: users, their codes and tokens (http.md 4.4).

local bind = require "instant.bind"
local core = require "instant.core"
local Future = require "instant.future"
local request = require "instant.admin_request"

local present = request.present
local Auth = {}

local function check_text(name, what, value)
  if type(value) ~= "string" then
    error(("%s: expected %s, got %s"):format(name, what, type(value)), 3)
  end
end

local function check_table(name, what, value)
  if type(value) ~= "table" then
    error(("%s: expected %s, got %s"):format(name, what, type(value)), 3)
  end
end

local function post(self, route, body)
  return request.send(self._config, "POST", route, { body = body })
end

--- Makes a magic code for an email, to be sent by yourself. The future has `{code=}`.
function Auth:generateMagicCode(email)
  check_text("generateMagicCode", "an email", email)
  return post(self, "/admin/magic_code", { email = email })
end

--- Makes a magic code and lets the backend mail it. The future has `{code=}`.
function Auth:sendMagicCode(email)
  check_text("sendMagicCode", "an email", email)
  return post(self, "/admin/send_magic_code", { email = email })
end

--- The user that a magic code signs in. Deprecated: `checkMagicCode` also says whether it is new.
function Auth:verifyMagicCode(email, code)
  check_text("verifyMagicCode", "an email", email)
  return post(self, "/admin/verify_magic_code", { email = email, code = code }):next(function(answer)
    return answer.user
  end)
end

--- `{user=, created=}` of the user that a magic code signs in; `options.extraFields` are attributes
--- of `$users` for a user that is made by this.
function Auth:checkMagicCode(email, code, options)
  check_text("checkMagicCode", "an email", email)
  local body = { email = email, code = code }
  if options and options.extraFields then body["extra-fields"] = options.extraFields end
  return post(self, "/admin/verify_magic_code", body):next(function(answer)
    return { user = answer.user, created = answer.created }
  end)
end

--- A refresh token for the user `{email=}` or `{id=}`, who is made when there is none. (A text is
--- taken for an email, which is deprecated.)
function Auth:createToken(input)
  local body = type(input) == "string" and { email = input } or input
  check_table("createToken", "{email=} or {id=}", body)
  return post(self, "/admin/refresh_tokens", body):next(function(answer)
    return answer.user.refresh_token
  end)
end

--- The user of a refresh token; fails when it is not valid. Needs no admin token.
function Auth:verifyToken(token)
  check_text("verifyToken", "a token", token)
  local config, headers = self._config, request.versions()
  headers["content-type"] = "application/json"
  return config.fetch("POST", "/runtime/auth/verify_refresh_token", {
    query = { app_id = config.appId },
    headers = headers,
    body = { ["app-id"] = config.appId, ["refresh-token"] = token },
  }):next(function(answer) return answer.user end)
end

local function users(self, method, name, params, part)
  check_table(name, "{email=}, {id=} or {refresh_token=}", params)
  return request.send(self._config, method, "/admin/users", { query = params }):next(function(answer)
    return present(answer[part])
  end)
end

--- The user `{email=}`, `{id=}` or `{refresh_token=}`, or nil.
function Auth:getUser(params)
  return users(self, "GET", "getUser", params, "user")
end

--- Deletes a user, not their data; gives who it was, or nil.
function Auth:deleteUser(params)
  return users(self, "DELETE", "deleteUser", params, "deleted")
end

--- Takes back all tokens of the user `{email=}` or `{id=}`, or the one `{refresh_token=}`.
function Auth:signOut(input)
  local body = type(input) == "string" and { email = input } or input
  check_table("signOut", "{email=}, {id=} or {refresh_token=}", body)
  return post(self, "/admin/sign_out", body):next(function() return nil end)
end

-- ---- cookies that createInstantRouteHandler sets ----

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function header(headers, wanted)
  for name, value in pairs(headers or {}) do
    if type(name) == "string" and name:lower() == wanted then
      return type(value) == "table" and table.concat(value, "; ") or value
    end
  end
end

local function cookie(text, wanted)
  for pair in (text or ""):gmatch "[^;]+" do
    local name, value = pair:match "^%s*([^=]-)%s*=%s*(.-)%s*$"
    if name == wanted then return unescape((value:gsub('^"(.*)"$', "%1"))) end
  end
end

--- The user whose cookie a request `{headers={cookie=}}` carries, verified unless
--- `opts.disableValidation`; nil when there is none.
function Auth:getUserFromRequest(req, opts)
  check_table("getUserFromRequest", "a request", req)
  local future = Future.new()
  local text = cookie(header(req.headers, "cookie"), "instant_user_" .. self._config.appId)
  if not text or text == "" then
    future:resolve(nil)
    return future
  end
  local user, err = core.json_decode(text)
  if err then
    future:reject(err)
  elseif type(user) ~= "table" or not present(user.refresh_token) then
    future:resolve(nil)
  elseif opts and opts.disableValidation then
    future:resolve(user)
  else
    return self:verifyToken(user.refresh_token)
  end
  return future
end

--- `config` is that of request.config.
return function(config)
  return bind({ _config = config }, Auth)
end
