--- `db.webhooks`: verifies what the backend sends to a webhook and hands it to functions; manages
--- webhooks (http.md 11).
--
--     local helpers = db.webhooks.helpers()
--     local handlers = helpers.combineHandlers(
--       helpers.typedHandlers("posts", "create", function(record) ... end),
--       helpers.typedHandlers("$default", function(record) ... end))
--     local done, err = db.webhooks.processRequest(handlers, { headers = ..., body = text }):await()

local api = require "instant.api"
local bind = require "instant.bind"
local core = require "instant.core"
local date = require "instant.date"
local Future = require "instant.future"
local request = require "instant.admin_request"
local task = require "instant.task"
local manager = require "instant.webhooks_manager"

local DEFAULT_API = "https://api.instantdb.com"
local TOLERANCE_S = 300

-- Keys of the hosted backend, which need not be fetched.
local KNOWN_KEYS = {
  [DEFAULT_API] = {
    { kty = "OKP", crv = "Ed25519", kid = "1034696293", x = "N-C41432STKAKkXAWmeIOXMnZcGRR1b9u1L3bTVqI_o" },
  },
  ["http://localhost:8888"] = {
    { kty = "OKP", crv = "Ed25519", kid = "503090235", x = "qrSkwDaMITRMF9nOgpueqxgaAiuFmJperYE3mkyl8Ow" },
  },
}

-- Raw public keys by API and kid, for the life of the process: a new key has a new kid.
local cache = {}

local Webhooks = {}

-- ---- reading ----

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

-- Bytes of base64url text; nil when it is none.
local function from_base64url(text)
  local bytes, bits, count = {}, 0, 0
  for char in text:gsub("=+$", ""):gmatch "." do
    local place = ALPHABET:find(char, 1, true)
    if not place then return nil end
    bits, count = bits * 64 + place - 1, count + 6
    if count >= 8 then
      count = count - 8
      local unit = 2 ^ count
      local byte = math.floor(bits / unit)
      bits = bits - byte * unit
      bytes[#bytes + 1] = string.char(byte)
    end
  end
  return table.concat(bytes)
end

local function from_hex(text)
  if text:find "[^%x]" or #text % 2 ~= 0 then return "" end
  return (text:gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end))
end

local function parse_signature(header)
  local parts, missing = {}, {}
  for part in header:gmatch "[^,]+" do
    local name, value = part:match "^([^=]*)=([^=]*)"
    if name then parts[name] = value end
  end
  for _, name in ipairs { "t", "kid", "v1" } do
    if not parts[name] or parts[name] == "" then missing[#missing + 1] = name end
  end
  if #missing > 0 then
    return nil, request.error("Invalid Instant-Signature header.", { header = header, missingKeys = missing })
  end
  return parts
end

local function seconds_of(received)
  if received == nil then return math.floor(core.now() / 1000) end
  local ms = type(received) == "table" and received.ms or received
  if type(ms) ~= "number" then error("validate: `receivedAt` must be a date or milliseconds", 4) end
  return math.floor(ms / 1000)
end

local function check_age(t, opts)
  local tolerance = opts.tolerance or TOLERANCE_S
  local sent = tonumber(t:match "^%s*([+-]?%d+)")
  if sent and seconds_of(opts.receivedAt) - sent > tolerance then
    return request.error("Webhook signature is too old", {
      tolerance = tolerance, receivedAt = opts.receivedAt, t = t,
    })
  end
end

local function raw_key(jwk)
  if jwk.kty ~= "OKP" or jwk.crv ~= "Ed25519" then
    return nil, request.error(("Unsupported JWK configuration: kty=%s, crv=%s"):format(
      tostring(jwk.kty), tostring(jwk.crv)))
  end
  local key = type(jwk.x) == "string" and from_base64url(jwk.x)
  if not key or #key ~= 32 then return nil, request.error("This is no Ed25519 key: " .. tostring(jwk.x)) end
  return key
end

local function find_key(keys, kid)
  for _, key in ipairs(type(keys) == "table" and keys or {}) do
    if type(key) == "table" and key.kid == kid then return key end
  end
end

-- ---- keys ----

--- The backend's keys: `{keys={...}}`.
function Webhooks:fetchJwks()
  return self._fetch("GET", "/.well-known/webhooks/jwks.json", { headers = request.versions() })
end

--- The raw public key of this id, from this process' memory or from the backend.
function Webhooks:keyOfKid(kid)
  local name = self.apiURI .. ":" .. kid
  return task.start(function()
    if cache[name] then return cache[name] end
    local jwk = find_key(KNOWN_KEYS[self.apiURI], kid)
    if not jwk then
      local set, err = self:fetchJwks():await()
      if err then error(err, 0) end
      jwk = find_key(set.keys, kid)
    end
    if not jwk then error(request.error("Could not find matching signing key", { kid = kid }), 0) end
    local key, err = raw_key(jwk)
    if not key then error(err, 0) end
    cache[name] = key
    return key
  end)
end

-- ---- verifying ----

local function read_body(text)
  local body, err = core.json_decode(text)
  if err then error(err, 0) end
  if type(body) ~= "table" or type(body.payloadUrl) ~= "string" or type(body.token) ~= "string" then
    error(request.error("Invalid webhook body, expected an object with payloadUrl and token fields",
      { body = body }), 0)
  end
  return body
end

-- Text, or what a function (a task) gives when the header was read.
local function text_of(body)
  if type(body) ~= "function" then return body end
  local text = body()
  if not Future.is(text) then return text end
  local err
  text, err = text:await()
  if err then error(err, 0) end
  return text
end

--- The body `{payloadUrl=, token=}`, when `signature` (of the header Instant-Signature) is the
--- backend's and not older than `opts.tolerance` (300 s). `body`: its raw text, or a function.
function Webhooks:validate(signature, body, opts)
  if type(signature) ~= "string" then
    error("validate: expected the header's text, got " .. type(signature), 2)
  end
  return task.start(function()
    local parts, err = parse_signature(signature)
    err = err or check_age(parts.t, opts or {})
    if err then error(err, 0) end
    local key
    key, err = self:keyOfKid(parts.kid):await()
    if not key then error(err, 0) end
    local text = text_of(body)
    if not core.verify_ed25519(key, from_hex(parts.v1), parts.t .. "." .. text) then
      error(request.error("Instant Signature did not validate", { header = signature }), 0)
    end
    return read_body(text)
  end)
end

local function header(headers, wanted)
  for name, value in pairs(headers or {}) do
    if type(name) == "string" and name:lower() == wanted then return value end
  end
end

--- The same of a request `{headers=, body=}`; `body` is text or a function.
function Webhooks:validateRequest(req, opts)
  local signature = header(req.headers, "instant-signature")
  if not signature then
    return request.failed(request.error "Request is missing Instant-Signature header")
  end
  return self:validate(signature, req.body or "", opts)
end

--- The records of a verified body: `{data={...}, idempotencyKey=}`.
function Webhooks:fetchPayloads(body)
  return self._get(body.payloadUrl, {
    headers = { Authorization = "Bearer " .. body.token, accept = "application/json" },
  })
end

-- ---- handing over ----

local function handler_of(handlers, record)
  local own = handlers[record.namespace]
  if type(own) == "table" then
    local fn = own[record.action] or own["$default"]
    if fn then return fn end
  end
  return handlers["$default"]
end

--- Calls for each record the handler of its namespace and action, else of the namespace's
--- `$default`, else the `$default` of all. They run side by side; fails with the first that fails.
function Webhooks.processPayload(_, handlers, payload)
  local running = {}
  for _, record in ipairs(payload.data) do
    local fn = handler_of(handlers or {}, record)
    if fn then running[#running + 1] = task.start(fn, record) end
  end
  return Future.all(running):next(function() return nil end)
end

--- Verifies a request, fetches its records and hands them over.
function Webhooks:processRequest(handlers, req, opts)
  return task.start(function()
    local body, err = self:validateRequest(req, opts):await()
    if not body then error(err, 0) end
    local payload
    payload, err = self:fetchPayloads(body):await()
    if not payload then error(err, 0) end
    local _, why = self:processPayload(handlers, payload):await()
    if why then error(why, 0) end
  end)
end

local RESERIALIZED = "Webhook signature did not validate. The request body was re-serialized from a parsed "
  .. "JSON object, which can produce different bytes than the server signed. Configure this route to "
  .. "receive the raw request body instead of parsed JSON."

--- The same for what web servers hand over: the body from `opts.body`, `req.rawBody` or `req.body`;
--- a parsed one is written again, which may not give the bytes that were signed.
function Webhooks:processNodeRequest(handlers, req, opts)
  local body = opts and opts.body or req.rawBody or req.body
  local is_parsed = type(body) == "table" and not Future.is(body)
  if body == nil then
    return request.failed(request.error("Could not read the webhook request body. Set `req.body` to its "
      .. "raw text."))
  end
  if is_parsed then
    local text, err = core.json_encode(body)
    if not text then return request.failed(err) end
    body = text
  end
  local future = body
  if Future.is(future) then body = function() return future end end
  return self:processRequest(handlers, { headers = req.headers, body = body }, opts):catch(function(err)
    if is_parsed and type(err) == "table" and err.message == "Instant Signature did not validate" then
      err = request.error(RESERIALIZED, err.hint)
    end
    error(err, 0)
  end)
end

-- ---- handlers ----

local function helpers()
  return {
    typedHandlers = function(namespace, action, handler)
      if handler == nil then return { ["$default"] = action } end
      return { [namespace] = { [action] = handler } }
    end,
    combineHandlers = function(...)
      local all = {}
      for _, entry in ipairs { ... } do
        for name, value in pairs(entry) do
          if name == "$default" then
            all[name] = value
          else
            all[name] = all[name] or {}
            for action, fn in pairs(value) do all[name][action] = fn end
          end
        end
      end
      return all
    end,
  }
end

--- `{typedHandlers=, combineHandlers=}`, which build what `processPayload` takes.
function Webhooks.helpers()
  return helpers()
end

local function new(config)
  local uri = (config.apiURI or DEFAULT_API):gsub("/+$", "")
  local self = {
    appId = config.appId,
    schema = config.schema,
    apiURI = uri,
    _fetch = config.fetch or api.of { apiURI = uri, caFile = config.caFile },
    _get = function(url, options)
      return api.of { apiURI = "", caFile = config.caFile }("GET", url, options)
    end,
  }
  self.manager = manager {
    appId = config.appId, token = config.adminToken or config.token, withAuth = config.withAuth,
    fetch = self._fetch, date = date,
  }
  return bind(self, Webhooks)
end

--- `Webhooks{appId=, adminToken= or token=, apiURI=, withAuth=}`.
return {
  new = new,
  class = setmetatable({ helpers = helpers }, { __call = function(_, config) return new(config or {}) end }),
}
