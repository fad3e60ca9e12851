local instant = require "instant"
local webhooks = require "instant.webhooks"

-- Signed with a key that was made for this file.
local KEY = "xn5GcPWYKrdhc_tGCaeigTHi0-IfkXnN0ChS14RGYa8"
local BODY = '{"payloadUrl":"http://127.0.0.1:1/payload","token":"t"}'
local SIGNED = {
  [BODY] = "f023c7fbbf181e58e837dc5eddd348c863cabed0e568a247653fc8f2a67409bb581a07f8f1fde5c7e6c0db824bc9294d"
    .. "17043352cdd06521ef5c7e2809c68705",
  ['{"payloadUrl":7}'] = "c89b961e222a5c50c6955867237e30449f64728cb271b113b78e7d2923ef562ff5cfee28fe7b6c327"
    .. "d11399053d5cbbc16cde19852f46dccb9167bafab521803",
  ["no json"] = "5d77571138eff3105d64a1c972a0f3b124bed60512672a1db2e8a7e2302883a195b807bd13dfb61821b311109c"
    .. "0245dd6e64a2a83c7a7db65e7551a562c53d0c",
}
local SENT_S = 1700000000
local NOW = { receivedAt = SENT_S * 1000 + 5000 }

local function signature(body, kid)
  return ("t=%d,kid=%s,v1=%s"):format(SENT_S, kid or "1", SIGNED[body])
end

local function refused(message, future)
  local value, err = future:await()
  assert.is_nil(value)
  assert.equal(message, err.message)
  return err
end

describe("webhooks", function()
  local asked, hooks, answers
  local places = 0

  -- Answers in place of a backend; `asked` has what it was asked for.
  local function fetch(method, route, options)
    asked[#asked + 1] = { method, route, options }
    local future, answer = instant.future(), answers[method .. " " .. route]
    if answer then
      future:resolve(answer)
    else
      future:reject({ message = "no answer for " .. method .. " " .. route })
    end
    return future
  end

  before_each(function()
    places = places + 1 -- keys are kept for as long as the process lives
    asked, answers = {}, {
      ["GET /.well-known/webhooks/jwks.json"] = { keys = {
        { kty = "EC", crv = "P-256", kid = "ec" },
        { kty = "OKP", crv = "Ed25519", kid = "short", x = "AAAA" },
        { kty = "OKP", crv = "Ed25519", kid = "1", x = KEY },
      } },
    }
    hooks = webhooks.new { appId = "app", adminToken = "token", apiURI = "http://place" .. places, fetch = fetch }
    hooks._get = function(url, options) return fetch("GET", url, options) end
  end)

  it("verifies what was signed", function()
    local body = assert(hooks:validate(signature(BODY), BODY, NOW):await())
    assert.same({ payloadUrl = "http://127.0.0.1:1/payload", token = "t" }, body)
    assert(hooks.validate(signature(BODY), function() return BODY end, NOW):await())
    assert(hooks:validateRequest({ headers = { ["instant-signature"] = signature(BODY) }, body = BODY },
      { receivedAt = instant.date(NOW.receivedAt) }):await())
    assert.equal(1, #asked) -- the key, once
    -- parts in any order, with others among them
    assert(hooks:validate(("v1=%s,x=1,kid=1,t=%d"):format(SIGNED[BODY], SENT_S), BODY, NOW):await())
  end)

  it("refuses what was not", function()
    local no = "Instant Signature did not validate"
    refused(no, hooks:validate(signature(BODY), BODY .. " ", NOW))
    refused(no, hooks:validate(signature(BODY):gsub("t=%d+", "t=1700000001"), BODY, NOW))
    refused(no, hooks:validate(signature(BODY):gsub("v1=f0", "v1=f1"), BODY, NOW))
    for _, v1 in ipairs { "f0", "zz", "f023c", ("f0"):rep(64), ("0"):rep(4096) } do
      refused(no, hooks:validate("t=1700000000,kid=1,v1=" .. v1, BODY, NOW))
    end
    local err = refused("Invalid Instant-Signature header.", hooks:validate("t=1,v2=3", BODY, NOW))
    assert.same({ "kid", "v1" }, err.hint.missingKeys)
    refused("Invalid Instant-Signature header.", hooks:validate("", BODY, NOW))
    refused("Request is missing Instant-Signature header", hooks:validateRequest { headers = {}, body = BODY })
    refused("Could not find matching signing key", hooks:validate(signature(BODY, "2"), BODY, NOW))
    refused("Unsupported JWK configuration: kty=EC, crv=P-256", hooks:validate(signature(BODY, "ec"), BODY, NOW))
    refused("This is no Ed25519 key: AAAA", hooks:validate(signature(BODY, "short"), BODY, NOW))
    answers = {}
    refused("no answer for GET /.well-known/webhooks/jwks.json", hooks:validate(signature(BODY, "3"), BODY, NOW))
  end)

  it("refuses what is too old", function()
    local late = { receivedAt = (SENT_S + 301) * 1000 }
    refused("Webhook signature is too old", hooks:validate(signature(BODY), BODY, late))
    refused("Webhook signature is too old", hooks:validate(signature(BODY), BODY))
    assert(hooks:validate(signature(BODY), BODY, { receivedAt = late.receivedAt, tolerance = 301 }):await())
    assert(hooks:validate(signature(BODY), BODY, { receivedAt = 0 }):await()) -- clocks differ
  end)

  it("refuses bodies that are none", function()
    local err = refused("Invalid webhook body, expected an object with payloadUrl and token fields",
      hooks:validate(signature '{"payloadUrl":7}', '{"payloadUrl":7}', NOW))
    assert.same({ payloadUrl = 7 }, err.hint.body)
    assert.equal("param-malformed", select(2, hooks:validate(signature "no json", "no json", NOW):await()).type)
  end)

  it("knows the hosted backend's keys", function()
    local hosted = webhooks.class { fetch = fetch }
    assert.equal("https://api.instantdb.com", hosted.apiURI)
    assert.equal(32, #hosted:keyOfKid("1034696293"):await())
    assert.equal(0, #asked)
  end)

  it("hands records over", function()
    local helpers, seen = webhooks.class.helpers(), {}
    local function note(text) return function(record) seen[#seen + 1] = text .. record.id end end
    local handlers = helpers.combineHandlers(
      helpers.typedHandlers("posts", "create", note "created "),
      helpers.typedHandlers("posts", "$default", note "other "),
      helpers.typedHandlers("users", "delete", note "gone "))
    local function record(namespace, action, id) return { namespace = namespace, action = action, id = id } end
    local payload = { data = {
      record("posts", "create", "1"), record("posts", "delete", "2"), record("users", "delete", "3"),
      record("users", "create", "4"), record("x", "create", "5"),
    } }
    hooks:processPayload(handlers, payload):await()
    assert.same({ "created 1", "other 2", "gone 3" }, seen)
    handlers = helpers.combineHandlers(handlers, helpers.typedHandlers("$default", note "any "))
    seen = {}
    hooks:processPayload(handlers, payload):await()
    assert.same({ "created 1", "other 2", "gone 3", "any 4", "any 5" }, seen)
    hooks:processPayload({}, payload):await()
    -- one that fails stops nobody else, and fails the whole
    seen = {}
    handlers = { posts = { create = function() error("no", 0) end }, ["$default"] = note "any " }
    local _, err = hooks:processPayload(handlers, payload):await()
    assert.equal("no", err)
    assert.equal(4, #seen)
  end)

  it("processes a request from end to end", function()
    answers["GET http://127.0.0.1:1/payload"] = { data = { { namespace = "posts", action = "create", id = "1" } } }
    local seen
    local handlers = { ["$default"] = function(record)
      instant.sleep(1)
      seen = record.id
    end }
    local req = { headers = { ["Instant-Signature"] = signature(BODY) }, body = BODY }
    local _, err = hooks:processRequest(handlers, req, NOW):await()
    assert.is_nil(err)
    assert.equal("1", seen)
    assert.equal("Bearer t", asked[2][3].headers.Authorization)
    seen = nil
    hooks:processNodeRequest(handlers, { headers = req.headers, rawBody = BODY, body = { "parsed" } }, NOW):await()
    assert.equal("1", seen)
    -- a parsed body is written again: these happen to be the bytes that were signed
    seen = nil
    hooks:processNodeRequest(handlers, { headers = req.headers, body = instant.null, rawBody = {
      payloadUrl = "http://127.0.0.1:1/payload", token = "t",
    } }, NOW):await()
    assert.equal("1", seen)
    refused("Webhook signature did not validate. The request body was re-serialized from a parsed JSON "
      .. "object, which can produce different bytes than the server signed. Configure this route to receive "
      .. "the raw request body instead of parsed JSON.",
      hooks:processNodeRequest(handlers, { headers = req.headers, body = { a = 1 } }, NOW))
    local later = instant.future()
    instant.after(1, function() later:resolve(BODY) end)
    assert.is_nil(select(2, hooks:processNodeRequest(handlers, { headers = req.headers },
      { body = later, receivedAt = NOW.receivedAt }):await()))
    refused("Could not read the webhook request body. Set `req.body` to its raw text.",
      hooks:processNodeRequest(handlers, { headers = req.headers }, NOW))
    answers["GET http://127.0.0.1:1/payload"] = nil
    refused("no answer for GET http://127.0.0.1:1/payload", hooks:processRequest(handlers, req, NOW))
  end)

  it("manages webhooks", function()
    local raw = {
      id = "w", sink = { url = "u" }, namespaces = { "posts" }, actions = { "create" }, status = "disabled",
      disabled_reason = "why", created_at = "2026-01-02T03:04:05Z", updated_at = "2026-01-02T03:04:06Z",
    }
    local event = {
      isn = "0/1/2", status = "error", created_at = "2026-01-02T03:04:05Z", updated_at = "2026-01-02T03:04:05Z",
      next_attempt_after = instant.null, attempts = { {
        ["attempt-at"] = "2026-01-02T03:04:05Z", ["duration-ms"] = 3, ["success?"] = false,
        ["status-code"] = 500, ["response-text"] = "no", ["error-type"] = instant.null,
      } },
    }
    local base, manager = "/dash/apps/app/webhooks", hooks.manager
    for _, route in ipairs { "POST " .. base, "POST " .. base .. "/w", "DELETE " .. base .. "/w",
      "POST " .. base .. "/w/enable", "POST " .. base .. "/w/disable" } do
      answers[route] = { webhook = raw }
    end
    answers["GET " .. base] = { webhooks = { raw } }
    answers["GET " .. base .. "/w/events"] = { events = { event }, pageInfo = {
      startCursor = "a", endCursor = instant.null, hasNextPage = true,
    } }
    answers["GET " .. base .. "/w/events/0/1/2"] = { event = event }
    answers["POST " .. base .. "/w/events/0/1/2"] = { event = event }
    answers["GET /webhooks/payload/app/w/0/1/2"] = { data = {}, idempotencyKey = "k" }
    local wanted = {
      id = "w", sink = { url = "u" }, namespaces = { "posts" }, actions = { "create" }, status = "disabled",
      disabledReason = "why", createdAt = instant.date "2026-01-02T03:04:05Z",
      updatedAt = instant.date "2026-01-02T03:04:06Z",
    }
    assert.same({ wanted }, manager:list():await())
    local params = { url = "u", namespaces = { "posts" }, actions = { "create" } }
    assert.same(wanted, manager:create(params):await())
    assert.same(params, asked[#asked][3].body)
    assert.equal("Bearer token", asked[#asked][3].headers.authorization)
    assert.same(wanted, manager.update("w", { url = "v" }):await())
    assert.same(wanted, manager:enable("w"):await())
    assert.same(wanted, manager:disable("w"):await())
    assert.same({}, asked[#asked][3].body)
    assert.same(wanted, manager:disable("w", { reason = "why" }):await())
    assert.same({ reason = "why" }, asked[#asked][3].body)
    assert.same(wanted, manager:delete("w"):await())
    local page = manager:listEvents("w", { after = "c" }):await()
    assert.same({ after = "c" }, asked[#asked][3].query)
    assert.same({ startCursor = "a", hasNextPage = true }, page.pageInfo)
    assert.same({
      attemptAt = instant.date "2026-01-02T03:04:05Z", durationMs = 3, success = false, statusCode = 500,
      responseText = "no",
    }, page.events[1].attempts[1])
    assert.equal("0/1/2", manager:getEvent("w", "0/1/2"):await().isn)
    assert.equal("error", manager:resendEvent("w", "0/1/2"):await().status)
    assert.equal("k", manager:getPayload("w", "0/1/2"):await().idempotencyKey)
    refused("no answer for GET " .. base .. "/w/events/9", manager:getEvent("w", "9"))
  end)

  it("manages with a token of somebody else's keeping, or not at all", function()
    local used
    local by = webhooks.class {
      appId = "app", apiURI = "http://place", fetch = fetch,
      withAuth = function(operation)
        used = true
        return operation "fresh"
      end,
    }
    answers["GET /dash/apps/app/webhooks"] = { webhooks = instant.null }
    assert.same({}, by.manager:list():await())
    assert.is_true(used)
    assert.equal("Bearer fresh", asked[1][3].headers.authorization)
    refused("appId is required to manage webhooks. Pass it to the Webhooks constructor.",
      webhooks.class({ token = "x" }).manager:list())
    refused("A token is required to manage webhooks. Pass `adminToken` or `token` to the Webhooks constructor.",
      webhooks.class({ appId = "app" }).manager:list())
  end)
end)
