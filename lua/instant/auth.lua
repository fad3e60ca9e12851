--- `db.auth`: who is signed in (http.md 4, session.md 5.11), as the official client has it.
--
--     db.auth.sendMagicCode { email = "ann@example.com" }:await()
--     local answer, err = db.auth.signInWithMagicCode { email = "ann@example.com", code = code }:await()
--     print(answer.user.id)
--
-- Every call that asks the backend gives a future. What it rejects with is the backend's error:
-- {type, message, hint, status, body}. A new user is kept in the vault of `instant.init` before the
-- future resolves; when that fails it rejects with type "vault", and nobody was signed in.

local api = require "instant.api"
local bind = require "instant.bind"
local core = require "instant.core"
local db = require "instant.db"
local Future = require "instant.future"
local http = require "instant.http"
local scheduler = require "instant.scheduler"
local task = require "instant.task"

local EXTRA_FIELDS_PARAM = "_instant_extra_fields_id"

local Auth = {}

-- ---- arguments ----

local function check_table(params, name)
  if type(params) ~= "table" then
    error(("%s: expected a table, got %s"):format(name, type(params)), 3)
  end
end

local function check_text(value, name, field)
  if type(value) ~= "string" then
    error(("%s: `%s` must be a string, got %s"):format(name, field, type(value)), 3)
  end
end

local function rejected(err)
  local future = Future.new()
  future:reject(err)
  return future
end

-- Absent members stay absent; null is the same here.
local function present(value)
  if value == core.null then return nil end
  return value
end

local function post(self, route, body)
  local fetch = self._fetch
  if not fetch then return rejected(core.error("shutdown", "The client was shut down.")) end
  return fetch("POST", route, { body = body })
end

-- ---- the user ----

-- A future of who is signed in, as soon as that is known; nil for nobody.
local function current(self)
  local future = Future.new()
  local client = self._db._core
  if client:is_user_known() then
    future:resolve(client:user())
    return future
  end
  local listener, err
  listener, err = client:subscribe_user(function(user)
    if future.state ~= "pending" then return end
    future:resolve(user)
    scheduler.soon(function() listener:stop() end)
  end)
  if not listener then future:reject(err) end
  return future
end

-- Puts the user into the vault, if there is one; the future resolves when it is durable.
local function keep(self, user)
  local future = Future.new()
  local vault = self._vault
  local text, err
  if user then text, err = core.json_encode(user) end
  if not vault or (not err and text == self._kept) then
    future:resolve(true)
    return future
  end
  local started
  if not err then
    started, err = vault:put(self._name, text, function(failure)
      if failure then
        self._kept = false -- what it holds is not known: the next one is written in any case
        future:reject(failure)
      else
        future:resolve(true)
      end
    end)
  end
  if started then
    self._kept = text
  else
    future:reject(err)
  end
  return future
end

local function become(self, user)
  local done, err = self._db._core:set_user(user)
  if not done then error(err, 0) end
end

-- A future of the answer, once its user is kept and signed in. Not a user of the answer's own error:
-- tasks raise what a future rejects with.
local function sign_in(self, answer)
  return answer:next(function(result)
    local kept, err = keep(self, result.user):await()
    if not kept then error(err, 0) end
    become(self, result.user)
    return result
  end)
end

-- Calls `fn(token)` with the token of a guest, who becomes who signs in; nil for anybody else.
local function with_guest(self, fn)
  return current(self):next(function(user)
    return fn(user and user.type == "guest" and user.refresh_token or nil)
  end)
end

-- ---- magic codes, guests, tokens ----

--- Sends a code to `params.email`. The future has `{sent = true}`.
function Auth:sendMagicCode(params)
  check_table(params, "sendMagicCode")
  check_text(params.email, "sendMagicCode", "email")
  return post(self, "/runtime/auth/send_magic_code", { ["app-id"] = self._db.appId, email = params.email })
end

--- Signs in with the `code` that was sent to `email`; a guest who is signed in becomes that user.
--- `extraFields` are attributes of `$users` for a user that is made by this. The future has
--- `{user=, created=}`.
function Auth:signInWithMagicCode(params)
  check_table(params, "signInWithMagicCode")
  check_text(params.email, "signInWithMagicCode", "email")
  check_text(params.code, "signInWithMagicCode", "code")
  return sign_in(self, with_guest(self, function(guest)
    return post(self, "/runtime/auth/verify_magic_code", {
      ["app-id"] = self._db.appId, email = params.email, code = params.code,
      ["refresh-token"] = guest, ["extra-fields"] = present(params.extraFields),
    })
  end))
end

--- Signs in with a refresh token, such as `admin.auth.createToken` gives. The future has `{user=}`.
function Auth:signInWithToken(token)
  check_text(token, "signInWithToken", "token")
  return sign_in(self, post(self, "/runtime/auth/verify_refresh_token", {
    ["app-id"] = self._db.appId, ["refresh-token"] = token,
  }))
end

--- Signs in a new user without an email. The future has `{user=}`.
function Auth:signInAsGuest(params)
  if params ~= nil then check_table(params, "signInAsGuest") end
  return sign_in(self, post(self, "/runtime/auth/sign_in_guest", {
    ["app-id"] = self._db.appId, ["extra-fields"] = params and present(params.extraFields),
  }))
end

--- Signs out: at once here; the backend is told to forget the token, unless `opts.invalidateToken` is
--- false. The future does not wait for it.
function Auth:signOut(opts)
  if opts ~= nil then check_table(opts, "signOut") end
  return current(self):next(function(user)
    local token = user and user.refresh_token
    local kept = keep(self, nil)
    become(self, nil)
    if token and not (opts and opts.invalidateToken == false) then
      post(self, "/runtime/signout", { app_id = self._db.appId, refresh_token = token }):catch(function() end)
    end
    local done, err = kept:await()
    if not done then error(err, 0) end
  end)
end

-- ---- OAuth ----

--- The address where a browser signs in with the provider of `clientName` and comes back to
--- `redirectURL` with a code. `extraFields` are kept for `exchangeOAuthCode`, which finds them by what
--- the address comes back with. Ours: `state` (comes back as it is), `codeChallenge` (of
--- `createPKCE`).
function Auth:createAuthorizationURL(params)
  check_table(params, "createAuthorizationURL")
  check_text(params.clientName, "createAuthorizationURL", "clientName")
  check_text(params.redirectURL, "createAuthorizationURL", "redirectURL")
  local redirect = params.redirectURL
  if present(params.extraFields) then
    local id = core.random_text(9)
    self._extraFields[id] = params.extraFields
    redirect = redirect .. (redirect:find("?", 1, true) and "&" or "?") .. EXTRA_FIELDS_PARAM .. "=" .. id
  end
  local url = ("%s/runtime/oauth/start?app_id=%s&client_name=%s&redirect_uri=%s"):format(
    self._api, self._db.appId, params.clientName, http.escape(redirect))
  if params.state then url = url .. "&state=" .. http.escape(params.state) end
  if params.codeChallenge then
    url = ("%s&code_challenge=%s&code_challenge_method=S256"):format(url, http.escape(params.codeChallenge))
  end
  return url
end

--- What proves that whoever exchanges a code is who asked for it (RFC 7636): `codeChallenge` goes into
--- `createAuthorizationURL`, `codeVerifier` into `exchangeOAuthCode`.
function Auth.createPKCE()
  local verifier = core.random_text(32)
  return { codeVerifier = verifier, codeChallenge = core.digest_text(verifier), codeChallengeMethod = "S256" }
end

-- Extra fields are used once, and all of them go with any sign-in.
local function take_extra_fields(self, id)
  local fields = id and self._extraFields[id] or nil
  self._extraFields = {}
  return fields
end

--- Signs in with the `code` that an authorization came back with, and the `codeVerifier` if a
--- challenge was sent. `extraFields` as for a magic code; ours: or `extraFieldsId`, the parameter
--- `_instant_extra_fields_id` that the address came back with. The future has `{user=, created=}`.
function Auth:exchangeOAuthCode(params)
  check_table(params, "exchangeOAuthCode")
  check_text(params.code, "exchangeOAuthCode", "code")
  local extra = present(params.extraFields)
  if params.extraFieldsId then extra = extra or take_extra_fields(self, params.extraFieldsId) end
  return sign_in(self, with_guest(self, function(guest)
    return post(self, "/runtime/oauth/token", {
      app_id = self._db.appId, code = params.code, code_verifier = present(params.codeVerifier),
      refresh_token = guest, extra_fields = extra,
    })
  end))
end

--- Signs in with an `idToken` of a provider, for the OAuth client `clientName`; `nonce` if one was
--- used. The future has `{user=, created=}`.
function Auth:signInWithIdToken(params)
  check_table(params, "signInWithIdToken")
  check_text(params.idToken, "signInWithIdToken", "idToken")
  check_text(params.clientName, "signInWithIdToken", "clientName")
  return sign_in(self, current(self):next(function(user)
    return post(self, "/runtime/oauth/id_token", {
      app_id = self._db.appId, nonce = present(params.nonce), id_token = params.idToken,
      client_name = params.clientName, refresh_token = user and user.refresh_token,
      extra_fields = present(params.extraFields),
    })
  end))
end

--- Where tools that discover OAuth parameters by themselves look.
function Auth:issuerURI()
  return ("%s/runtime/%s"):format(self._api, self._db.appId)
end

-- ---- of the client itself ----

--- The future has the user who is signed in, nil for nobody.
function db.methods:getAuth()
  return current(self.auth):next(nil, function(err)
    local failure = core.error(err.type, "Could not get current user: " .. err.message)
    failure.status, failure.hint = err.status, err.hint
    error(failure, 0)
  end)
end

--- Calls `fn{isLoading = false, user=}` as soon as it is known who is signed in, and on every change;
--- `user` is nil for nobody. Returns the function that ends it.
function db.methods:subscribeAuth(fn)
  if type(fn) ~= "function" then
    error("subscribeAuth: expected a function, got " .. type(fn), 2)
  end
  local listener, err = self._core:subscribe_user(function(user)
    task.start(fn, { isLoading = false, user = user })
  end)
  if not listener then error(err, 2) end
  return db.unsubscriber(listener)
end

-- ---- the vault ----

local VAULTS = { keychain = true, memory = true }
local VAULT_OPTIONS = { file = "string", passphrase = "string", keyFile = "string" }

local function vault_options(option)
  if type(option) == "string" then
    if VAULTS[option] then return { kind = option } end
    return nil, ([[`vault` must be "keychain", "memory" or a table, got "%s"]]):format(option)
  end
  if type(option) ~= "table" then return nil, "`vault` must be a string or a table, got " .. type(option) end
  for name, value in pairs(option) do
    local expected = VAULT_OPTIONS[name]
    if not expected then return nil, ("unknown option `vault.%s`"):format(tostring(name)) end
    if type(value) ~= expected then
      return nil, ("`vault.%s` must be a %s, got %s"):format(name, expected, type(value))
    end
  end
  if not option.file then return nil, "`vault.file` is missing" end
  if (option.passphrase ~= nil) == (option.keyFile ~= nil) then
    return nil, "`vault` needs `passphrase` or `keyFile`, one of them"
  end
  return { kind = "file", file = option.file, passphrase = option.passphrase, key_file = option.keyFile }
end

local auth = {}

--- The vault of `instant.init{vault = option}`: nil and what is wrong with it, or with the option.
function auth.open_vault(option)
  local options, problem = vault_options(option)
  if not options then return nil, core.error("validation-failed", "init: " .. problem) end
  return core.vault(options)
end

--- What tells an app's user here from one of the same app elsewhere; the core names it the same.
function auth.vault_scope(api_uri, is_local)
  return is_local and "local" or api_uri
end

-- Who the vault says it is. Anything else than a record there is an error, not nobody.
local function load(self)
  local text, err = self._vault:get(self._name)
  if err then return nil, err end
  if text == nil then return true end
  local user
  user, err = core.json_decode(text)
  if err or type(user) ~= "table" then
    return nil, core.error("vault", "The vault holds no user where one should be; sign in again after removing it.")
  end
  self._kept = text
  return self._db._core:user_loaded(user)
end

-- What the backend or another part of the program changed is kept as well.
local function follow(self)
  return self._db._core:listen_user(function(user)
    keep(self, user):catch(function(err)
      scheduler.fail("the vault could not be written: " .. tostring(err))
    end)
  end)
end

--- Gives the client its `auth`; vault may be nil. True, or nil and an error.
function auth.attach(client, options)
  local self = {
    _db = client,
    _api = options.api,
    _vault = options.vault,
    _name = ("currentUser %s %s"):format(client.appId, auth.vault_scope(options.api, options.is_local)),
    _extraFields = {},
  }
  self._fetch, self._close = api.of { apiURI = options.api, caFile = options.ca_file }
  client.auth = bind(self, Auth)
  if not self._vault then return true end
  local done, err = load(self)
  if done == true and not self._kept then done, err = client._core:user_loaded(nil) end
  if done then done, err = follow(self) end
  if not done then return nil, err end
  return true
end

--- At the end of the client.
function auth.detach(client)
  local self = client.auth
  if not self or not self._fetch then return end
  self._fetch = nil
  if self._close then self._close() end
  if self._vault then self._vault:close() end
end

return auth
