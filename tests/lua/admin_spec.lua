local instant = require "instant"
local support = require "support"

local admin = instant.admin

-- A client of an app of its own, over either way to ask.
local ways = {
  ["local:"] = function()
    return { apiURI = "local:" .. support.scratch() }
  end,
  ["http:"] = function(server)
    local app = assert(server:createApp "admin")
    return {
      appId = app.id, adminToken = app.adminToken, apiURI = "http://127.0.0.1:" .. server:port(),
    }
  end,
}

local function copy(config, more)
  local all = {}
  for name, value in pairs(config) do all[name] = value end
  for name, value in pairs(more) do all[name] = value end
  return all
end

local function refused(message, future)
  local value, err = future:await()
  assert.is_nil(value)
  assert.equal(message, err.message)
  return err
end

for name, config_of in pairs(ways) do
  describe("the admin SDK over " .. name, function()
    local server, data, db, config

    setup(function()
      data = support.scratch()
      server = assert(instant.server { data = data })
    end)
    before_each(function()
      config = config_of(server)
      db = admin.init(config)
    end)
    after_each(function() collectgarbage() end)
    teardown(function()
      server:close():await()
      os.execute(("rm -rf '%s'"):format(data))
      support.clean()
    end)

    it("writes and reads back", function()
      local one, two = instant.id(), instant.id()
      local answer = assert(db:transact {
        db.tx.todos[one]:create { title = "a", tags = instant.array {}, note = instant.null },
        db.tx.users[two]:update { email = "a@b.c" }:link { todos = one },
      }:await())
      assert.is_true(answer["tx-id"] > 1)
      local result = assert(db.query({ users = { todos = {} } }):await())
      assert.same({ {
        id = two, email = "a@b.c",
        todos = { { id = one, title = "a", tags = {}, note = instant.null } },
      } }, result.users)
      assert(db.transact(db.tx.users[two]:unlink { todos = one }:delete()):await())
      assert.same({}, db:query({ users = {} }):await().users)
      assert.equal(1, #db:query({ todos = {} }):await().todos)
      assert.same({ ["tx-id"] = answer["tx-id"] + 2 }, db:transact(instant.array {}):await())
    end)

    it("finds entities by lookup, also those it makes", function()
      local key = instant.lookup("slug", "a__b")
      assert(db:transact(db.tx.todos[key]:update { n = 1 }):await())
      assert(db:transact(db.tx.todos.lookup("slug", "a__b"):update { n = 2 }):await())
      local todos = db:query({ todos = {} }):await().todos
      assert.equal(1, #todos)
      assert.equal("a__b", todos[1].slug)
      assert.equal(2, todos[1].n)
      assert(db:transact(db.tx.lists[instant.id()]:update {}:link { todos = key }):await())
      assert.equal("a__b", db:query({ lists = { todos = {} } }):await().lists[1].todos[1].slug)
      refused("Validation failed for lookup: n is not a unique attribute on todos",
        db:transact(db.tx.todos[instant.lookup("n", 1)]:update {}))
    end)

    it("passes on what the backend refuses", function()
      local err = refused("Validation failed for tx-step: Updating entities that don't exist: "
        .. "aaaaaaaa-0000-4000-8000-000000000001", db:transact(
        db.tx.todos["aaaaaaaa-0000-4000-8000-000000000001"]:update({}, { upsert = false })))
      assert.equal("validation-failed", err.type)
      assert.equal(400, err.status)
      assert.equal("tx-step", err.hint["data-type"])
      assert.equal(err.message, err.body.message)
      assert.equal("validation-failed: " .. err.message, tostring(err))
    end)

    it("checks queries and chunks before it asks", function()
      local err = refused("At path 'todos': Query part for entity 'todos' must be an object, but "
        .. "received: number", db:query { todos = 1 })
      assert.equal("validation-failed", err.type)
      assert.is_nil(err.body)
      refused("Transaction chunk must have __ops array, but received: undefined", db:transact { {} })
      assert.has_error(function() db:transact(7) end,
        "transact: expected a chunk or a list of chunks, got number")
      local lax = admin.init(copy(config, { disableValidation = true }))
      assert.equal("validation-failed", select(2, lax:query({ todos = 1 }):await()).body.type)
    end)

    it("keeps to its schema", function()
      local i = instant.i
      local strict = admin.init(copy(config, {
        schema = i.schema {
          entities = { todos = i.entity { title = i.string() } },
        },
      }))
      local todo = instant.id()
      refused("Invalid value for attribute 'title' in entity 'todos'. Expected string, but received: "
        .. "number", strict:transact(strict.tx.todos[todo]:update { title = 1 }))
      local err = refused("Validation failed for steps: Attributes are missing in your schema",
        strict:transact(strict.tx.todos[todo]:update { title = "a" }))
      assert.same({ "todos.id", "todos.title" }, err.hint.errors[1].hint.attributes)
      assert(db:transact(db.tx.todos[todo]:update { title = "a" }):await())
      assert(strict:transact(strict.tx.todos[todo]:update { title = "b" }):await())
      assert.equal("b", strict:query({ todos = {} }):await().todos[1].title)
    end)

    it("acts for users", function()
      assert(db:transact {
        db.tx["$users"]["aaaaaaaa-0000-4000-8000-000000000001"]:update { email = "a@b.c" },
        db.tx["$users"]["aaaaaaaa-0000-4000-8000-000000000002"]:update { email = "b@b.c" },
      }:await())
      local q = { ["$users"] = {} }
      assert.equal(2, #db:query(q):await()["$users"])
      assert.equal(0, #db:asUser({ guest = true }):query(q):await()["$users"])
      local user = db.asUser { email = "A@b.c" }
      assert.same({ email = "A@b.c" }, user.impersonationOpts)
      assert.equal("a@b.c", user.query(q):await()["$users"][1].email)
      refused("Record not found: app-user", db:asUser({ email = "c@b.c" }):query(q))
      refused('Malformed parameter: ["asUser" "token"]', db:asUser({ token = "x" }):query(q))
      refused("Record not found: app-user", db:asUser({ token = instant.id() }):query(q))
      refused("Validation failed for tx-step: $users.email is a system column. You aren't allowed to "
        .. "change this directly.", user:transact(user.tx["$users"][instant.id()]:update { email = "x@y.z" }))
      assert(user:transact(user.tx.todos[instant.id()]:update { title = "mine" }):await())
      assert.has_error(function() db:asUser "a@b.c" end,
        "asUser: expected {email=}, {token=} or {guest=true}, got string")
    end)

    it("writes and reads streams", function()
      local out = db.streams.createWriteStream { clientId = "answer" }
      assert(out:streamId():await())
      local stream = db.streams:createReadStream { clientId = "answer" }
      assert(out:write "Grüße"):await()
      assert.equal("Grüße", stream:read():await().value)
      assert(out:close():await())
      assert.is_true(stream:read():await().done)
      -- rules apply to whom it acts for: the default denies
      local denied = db:asUser({ guest = true }).streams.createReadStream { clientId = "answer" }
      assert.equal("permission-denied", select(2, denied:read():await()).type)
      local unknown = db:asUser({ email = "a@b.c" }).streams.createReadStream { clientId = "answer" }
      assert.equal("record-not-found", select(2, unknown:read():await()).type)
      assert.is_nil(db.auth:getUser({ email = "a@b.c" }):await())
    end)

    it("writes and reads streams for a user by email", function()
      if name == "local:" then return end -- rules come over HTTP
      local token = assert(db.auth:createToken({ email = "ann@b.c" }):await())
      local ann = "auth.email == 'ann@b.c'"
      local answer = assert(instant.http.request {
        url = config.apiURI .. "/dash/apps/" .. config.appId .. "/rules",
        headers = { authorization = "Bearer " .. config.adminToken },
        json = { code = { ["$streams"] = { allow = { create = ann, view = ann } } } },
      }:await())
      assert.equal(200, answer.status)
      local out = db:asUser({ email = "Ann@b.c" }).streams.createWriteStream { clientId = "hers" }
      assert(out:write("mine"):await())
      assert(out:streamId():await())
      assert(out:close():await())
      local mine = db:asUser({ token = token }).streams.createReadStream { clientId = "hers" }
      assert.equal("mine", mine:read():await().value)
      db.auth:createToken({ email = "bob@b.c" }):await()
      local bob = db:asUser({ email = "bob@b.c" }).streams.createReadStream { clientId = "hers" }
      assert.equal("permission-denied", select(2, bob:read():await()).type)
    end)

    it("tells what rules say", function()
      local id = instant.id()
      assert(db:transact(db.tx.todos[id]:update { title = "a" }):await())
      local guest = db:asUser { guest = true }
      local seen = assert(guest:debugQuery({ todos = {} }, { ip = "1.2.3.4" }):await())
      assert.same({ todos = { { id = id, title = "a" } } }, seen.result)
      assert.same({ {
        id = id, entity = "todos", label = instant.null, record = { id = id, title = "a" },
        program = {}, check = true,
      } }, seen.checkResults)
      local tried = assert(guest:debugTransact(guest.tx.todos[id]:update { title = "b" }):await())
      assert.is_true(tried["all-checks-ok?"])
      assert.is_false(tried["committed?"])
      assert.equal("update", tried["check-results"][1].action)
      assert.equal("a", db:query({ todos = {} }):await().todos[1].title)
      local kept = assert(guest:debugTransact({ guest.tx.todos[id]:update { title = "b" } },
        { __dangerouslyCommit = true }):await())
      assert.is_true(kept["committed?"])
      assert.equal("b", db:query({ todos = {} }):await().todos[1].title)
      refused("Validation failed for non-admin: Cannot test perms as admin", db:debugQuery { todos = {} })
      refused("Validation failed for non-admin: Cannot test perms as admin",
        db:debugTransact(db.tx.todos[id]:update {}))
      local rules = { todos = { allow = { view = "false", update = "auth.id != null" } } }
      seen = guest:debugQuery({ todos = {} }, { rules = rules }):await()
      assert.same({}, seen.result.todos)
      assert.is_false(seen.checkResults[1].check)
      tried = guest:debugTransact(guest.tx.todos[id]:update { title = "c" }, { rules = rules }):await()
      assert.is_false(tried["all-checks-ok?"])
      assert.is_false(tried["check-results"][1]["check-pass?"])
      rules.todos.allow.view = "("
      local err = select(2, guest:debugQuery({ todos = {} }, { rules = rules }):await())
      assert.equal("rule", err.hint["data-type"])
    end)
  end)
end

describe("instant.admin", function()
  local db

  before_each(function()
    db = admin.init { appId = " " .. instant.id() .. "\n", adminToken = instant.id(), apiURI = "http://127.0.0.1:1/" }
  end)

  it("wants right options", function()
    for text, config in pairs {
      ["admin.init: `appId` is missing"] = { adminToken = "x" },
      ["admin.init: unknown option `appID`"] = { appID = "x" },
      ["admin.init: `adminToken` must be a string, got number"] = { appId = "x", adminToken = 1 },
      ["admin.init: `apiURI` must be http://..., https://... or local:PATH, got `ws://x`"] = {
        appId = "x", apiURI = "ws://x",
      },
      ["admin.init: expected a table, got string"] = "x",
    } do
      local ok, err = pcall(admin.init, config)
      assert.is_false(ok)
      assert.truthy(tostring(err):find(text, 1, true), tostring(err))
    end
    assert.equal("https://api.instantdb.com", admin.init { appId = "x" }.config.apiURI)
    assert.equal(36, #db.config.appId)
    assert.equal("http://127.0.0.1:1", db.config.apiURI)
    assert.equal("data-file", select(2, pcall(admin.init, { apiURI = "local:/dev/null/x" })).type)
  end)

  it("gives singular links as one object when it knows the schema", function()
    local i = instant.i
    local schema = i.schema {
      entities = { todos = i.entity { title = i.string() }, lists = i.entity { name = i.string() } },
      links = { list = {
        forward = { on = "todos", has = "one", label = "list" },
        reverse = { on = "lists", has = "many", label = "todos" },
      } },
    }
    local data = support.scratch()
    local server = assert(instant.server { data = data })
    local app = assert(server:createApp("x", schema))
    local config = {
      appId = app.id, adminToken = app.adminToken, apiURI = "http://127.0.0.1:" .. server:port(),
    }
    local plain = admin.init(config)
    config.schema = schema
    local strict = admin.init(config)
    local list = instant.id()
    assert(strict:transact {
      strict.tx.lists[list]:create { name = "l" },
      strict.tx.todos[instant.id()]:create { title = "t" }:link { list = list },
    }:await())
    assert.equal("l", plain:query({ todos = { list = {} } }):await().todos[1].list[1].name)
    assert.equal("l", strict:query({ todos = { list = {} } }):await().todos[1].list.name)
    assert.equal("t", strict:query({ lists = { todos = {} } }):await().lists[1].todos[1].title)
    local seen = strict:asUser({ guest = true }):debugQuery({ todos = { list = {} } },
      { cardinalityInference = false }):await()
    assert.equal("l", seen.result.todos[1].list[1].name)
    server:close():await()
    os.execute(("rm -rf '%s'"):format(data))
  end)

  it("needs its token only where the backend does", function()
    local bare = admin.init { appId = instant.id(), apiURI = "http://127.0.0.1:1" }
    local own = "Admin token required. To run this operation pass `adminToken` to `init`, or use "
      .. "`db.asUser`."
    refused(own, bare:query {})
    refused(own, bare:transact(bare.tx.a[instant.id()]:update {}))
    refused(own, bare.auth:getUser { email = "a@b.c" })
    refused(own, bare.rooms:getPresence("a", "b"))
    refused("Admin token required. To impersonate users with an email you must pass `adminToken` to "
      .. "`init`.", bare:asUser({ email = "a@b.c" }):query {})
    for _, as in ipairs { { guest = true }, { token = "x" } } do
      assert.equal("io-error", select(2, bare:asUser(as):query({}):await()).type)
    end
  end)

  it("checks what its auth is given", function()
    for text, call in pairs {
      ["createToken: expected {email=} or {id=}, got number"] = function() db.auth:createToken(7) end,
      ["getUser: expected {email=}, {id=} or {refresh_token=}, got nil"] = function() db.auth.getUser() end,
      ["signOut: expected {email=}, {id=} or {refresh_token=}, got nil"] = function() db.auth:signOut() end,
      ["generateMagicCode: expected an email, got nil"] = function() db.auth:generateMagicCode() end,
      ["verifyToken: expected a token, got table"] = function() db.auth:verifyToken {} end,
    } do
      assert.has_error(call, text)
    end
  end)

  it("keeps users in cookies", function()
    local handler = admin.createInstantRouteHandler { appId = db.config.appId }
    local function post(body) return handler.POST { body = body } end
    local user = { refresh_token = "t; ü=\"", id = "i" }
    local answer = post(require "instant.core".json_encode {
      type = "sync-user", appId = db.config.appId, user = user,
    })
    assert.equal(200, answer.status)
    assert.equal('{"ok":true}', answer.body)
    local cookie = answer.headers["Set-Cookie"]
    assert.truthy(cookie:find("; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=604800", 1, true))
    local req = { headers = { Cookie = "a=b; " .. cookie:match "^[^;]+" .. "; c" } }
    assert.same(user, db.auth:getUserFromRequest(req, { disableValidation = true }):await())
    assert.equal("io-error", select(2, db.auth:getUserFromRequest(req):await()).type)
    local gone = post('{"type":"sync-user","appId":"' .. db.config.appId .. '","user":null}')
    assert.truthy(gone.headers["Set-Cookie"]:find("=; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=-1",
      1, true))
    for text, case in pairs {
      ["Invalid JSON body"] = { 400, "{" },
      ['Missing "type" field'] = { 400, "{}" },
      ["App ID mismatch"] = { 403, '{"type":"sync-user","appId":"x"}' },
      ["Unknown type: x"] = { 400, '{"type":"x","appId":"' .. db.config.appId .. '"}' },
    } do
      local refusal = post(case[2])
      assert.equal(case[1], refusal.status)
      assert.same({ ok = false, error = text }, require "instant.core".json_decode(refusal.body))
    end
    for _, headers in ipairs {
      {}, { cookie = "a=b" }, { cookie = "instant_user_" .. db.config.appId .. "=" },
      { cookie = "instant_user_" .. db.config.appId .. "=%7B%7D" },
    } do
      local found, err = db.auth:getUserFromRequest({ headers = headers }):await()
      assert.is_nil(found)
      assert.is_nil(err)
    end
    local _, err = db.auth:getUserFromRequest({ headers = {
      cookie = "instant_user_" .. db.config.appId .. "=nonsense",
    } }):await()
    assert.equal("param-malformed", err.type)
  end)
end)
