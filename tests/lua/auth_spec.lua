local core = require "instant.core"
local instant = require "instant"
local support = require "support"

-- A code as the backend of this file or address would mail it.
local function code_for(admin, email)
  return assert(admin.auth:generateMagicCode(email):await()).code
end

local function sign_in(db, admin, email)
  return assert(db.auth.signInWithMagicCode { email = email, code = code_for(admin, email) }:await())
end

-- At the end of what a spec is about, not in the middle of connecting; once.
local finished = setmetatable({}, { __mode = "k" })
local function finish(db)
  if finished[db] then return end
  finished[db] = true
  support.eventually("connected", function() return db:getConnectionStatus() == "authenticated" end)
  db:shutdown()
end

-- The same, with a backend in this process and over the network.
for _, kind in ipairs { "local:", "http:" } do
  describe("db.auth, " .. kind, function()
    local server, app, api, admin, data, clients
    local folders = {}

    before_each(function()
      data, clients = support.scratch(), {}
      if kind == "http:" then
        server = assert(instant.server { data = data })
        app = assert(server:createApp "spec")
        api = "http://127.0.0.1:" .. server:port()
      else
        local first = instant.init { apiURI = "local:" .. data, __extraDedupeKey = "first" }
        clients[1] = first
        app, api = { id = first.appId, adminToken = instant.id() }, "local:" .. data
      end
      admin = instant.admin.init { appId = app.id, adminToken = app.adminToken, apiURI = api }
    end)
    after_each(function()
      for _, db in pairs(clients) do finish(db) end
      if server then assert.is_true(server:close():await()) end
      server = nil
      os.execute("rm -rf '" .. data .. "'")
      support.clean()
    end)

    teardown(function()
      for _, folder in ipairs(folders) do os.execute("rm -rf '" .. folder .. "'") end
    end)

    local function client(options)
      local config = { appId = app.id, apiURI = api, __extraDedupeKey = "device " .. #clients }
      for name, value in pairs(options or {}) do config[name] = value end
      local db = instant.init(config)
      clients[#clients + 1] = db
      return db
    end

    it("signs in with a magic code", function()
      local db = client()
      local heard = {}
      local stop = db:subscribeAuth(function(state) heard[#heard + 1] = state end)
      assert.is_nil(db:getAuth():await())
      assert.same({ sent = true }, db.auth.sendMagicCode { email = "Ann@Example.com" }:await())
      local answer = sign_in(db, admin, "ann@example.com")
      assert.is_true(answer.created)
      assert.equal("ann@example.com", answer.user.email)
      assert.equal("user", answer.user.type)
      assert.same(answer.user, db:getAuth():await())
      support.eventually("auth changed", function() return #heard == 2 end)
      assert.same({ { isLoading = false }, { isLoading = false, user = answer.user } }, heard)
      assert.is_false(sign_in(client(), admin, "ann@example.com").created)
      stop()
      assert.equal(2, #heard)
    end)

    it("tells wrong, used and missing codes apart from all else", function()
      local db = client()
      local code = code_for(admin, "a@b.de")
      local none, err = db.auth.signInWithMagicCode { email = "a@b.de", code = "999999" }:await()
      assert.is_nil(none)
      assert.equal("record-not-found", err.type)
      assert.equal("Record not found: app-user-magic-code", err.message)
      assert.equal("app-user-magic-code", err.hint["record-type"])
      assert.equal(400, err.status)
      assert.equal("record-not-found", err.body.type)
      assert.is_nil(db:getAuth():await())
      assert(db.auth.signInWithMagicCode { email = "a@b.de", code = code }:await())
      none, err = client().auth.signInWithMagicCode { email = "a@b.de", code = code }:await()
      assert.is_nil(none)
      assert.equal("record-not-found", err.type)
      none, err = db.auth.sendMagicCode { email = "nobody" }:await()
      assert.is_nil(none)
      assert.equal("param-malformed", err.type)
      assert.is_not_nil(db:getAuth():await()) -- as before
    end)

    it("gives the connection the user", function()
      local db = client()
      local ann = sign_in(db, admin, "ann@b.de").user
      sign_in(client(), admin, "bob@b.de")
      local mine = support.live(db, { ["$users"] = {} })
      local result = mine.wait("my own row", function(r) return r.data and #r.data["$users"] > 0 end)
      assert.equal(1, #result.data["$users"])
      assert.equal(ann.id, result.data["$users"][1].id)
      mine.stop()
    end)

    it("signs in with a token, such as an admin makes", function()
      local token = assert(admin.auth:createToken { email = "ann@b.de" }:await())
      local answer = assert(client().auth.signInWithToken(token):await())
      assert.equal("ann@b.de", answer.user.email)
      assert.equal(token, answer.user.refresh_token)
      local none, err = client().auth.signInWithToken(instant.id()):await()
      assert.is_nil(none)
      assert.equal("record-not-found", err.type)
      assert.equal("app-user", err.hint["record-type"])
      none, err = client().auth.signInWithToken("nonsense"):await()
      assert.is_nil(none)
      assert.equal("param-malformed", err.type)
    end)

    it("signs in guests, who become users", function()
      local db = client()
      local guest = assert(db.auth.signInAsGuest():await()).user
      assert.is_true(guest.isGuest)
      local answer = sign_in(db, admin, "ann@b.de")
      assert.is_true(answer.created)
      assert.equal(guest.id, answer.user.id)
      assert.is_false(answer.user.isGuest)
      -- A guest whose address is taken becomes that user.
      local other = client()
      local second = assert(other.auth.signInAsGuest {}:await()).user
      answer = sign_in(other, admin, "ann@b.de")
      assert.is_false(answer.created)
      assert.equal(guest.id, answer.user.id)
      local row = admin:query({ ["$users"] = { ["$"] = { where = { id = second.id } } } }):await()["$users"][1]
      assert.equal("guest", row.type)
    end)

    it("signs out, here at once and at the backend", function()
      local db = client()
      local token = sign_in(db, admin, "ann@b.de").user.refresh_token
      local heard
      local stop = db:subscribeAuth(function(state) heard = state end)
      assert.is_nil(db.auth.signOut():await())
      assert.is_nil(db:getAuth():await())
      support.eventually("auth changed", function() return heard and not heard.user end)
      support.eventually("the token is gone", function()
        local _, err = client().auth.signInWithToken(token):await()
        return err and err.type == "record-not-found"
      end)
      stop()
      token = sign_in(db, admin, "ann@b.de").user.refresh_token
      db.auth.signOut({ invalidateToken = false }):await()
      assert.is_nil(db:getAuth():await())
      assert(client().auth.signInWithToken(token):await())
    end)

    it("leaves other clients who they are", function()
      -- Over the network they share a connection until one of them signs in.
      local one, two = client(), client()
      local shown = support.live(one, { ["$users"] = {} })
      local others = support.live(two, { ["$users"] = {} })
      local nobody = function(r) return r.data and #r.data["$users"] == 0 end
      shown.wait("nobody", nobody)
      others.wait("nobody", nobody)
      local ann = sign_in(one, admin, "ann@b.de").user
      shown.wait("ann", function(r) return r.data and r.data["$users"][1] and r.data["$users"][1].id == ann.id end)
      assert.is_nil(two:getAuth():await())
      sign_in(two, admin, "bob@b.de")
      others.wait("bob", function(r)
        return r.data and r.data["$users"][1] and r.data["$users"][1].email == "bob@b.de"
      end)
      assert.equal(ann.id, one:getAuth():await().id)
      one.auth.signOut():await()
      shown.wait("nobody again", nobody)
      assert.equal("bob@b.de", two:getAuth():await().email)
      shown.stop()
      others.stop()
    end)

    it("leaves an open stream with the session that began it", function()
      local db = client { adminToken = app.adminToken }
      client { adminToken = app.adminToken } -- shares the connection
      local stream = db.streams.createWriteStream { clientId = instant.id() }
      stream:write "before":await()
      assert(db.auth.signInAsGuest():await())
      assert.is_true(db:getAuth():await().isGuest)
      assert(stream:write "after":await())
      assert(stream:close():await())
    end)

    it("forgets a user whom the backend does not know any more", function()
      local db = client()
      local token = sign_in(db, admin, "ann@b.de").user.refresh_token
      support.eventually("connected", function() return db:getConnectionStatus() == "authenticated" end)
      local heard = {}
      local stop = db:subscribeAuth(function(state) heard[#heard + 1] = state.user or false end)
      assert(admin.auth:deleteUser { email = "ann@b.de" }:await())
      local again = client { refreshToken = token }
      support.eventually("signed out", function() return not again:getAuth():await() end)
      assert.is_not_nil(db:getAuth():await()) -- an open session stays (session.md 6.5)
      stop()
    end)

    it("keeps the user in a vault over restarts", function()
      local file = support.scratch()
      local vault = { file = file, passphrase = "correct horse" }
      local db = client { vault = vault }
      assert.is_nil(db:getAuth():await())
      local ann = sign_in(db, admin, "ann@b.de").user
      finish(db)
      db = client { vault = vault }
      assert.same(ann, db:getAuth():await())
      support.eventually("connected", function() return db:getConnectionStatus() == "authenticated" end)
      assert.same(ann, db:getAuth():await())
      local text = assert(io.open(file, "rb")):read "a"
      assert.is_nil(text:find(ann.refresh_token, 1, true))
      assert.is_nil(text:find("ann@b.de", 1, true))
      db.auth.signOut():await()
      finish(db)
      db = client { vault = vault }
      assert.is_nil(db:getAuth():await())
    end)

    it("takes a rejected user out of the vault", function()
      local vault = { file = support.scratch(), keyFile = support.scratch() }
      local db = client { vault = vault }
      sign_in(db, admin, "ann@b.de")
      finish(db)
      assert(admin.auth:deleteUser { email = "ann@b.de" }:await())
      db = client { vault = vault }
      support.eventually("signed out", function() return not db:getAuth():await() end)
      finish(db)
      db = client { vault = vault }
      assert.is_nil(db:getAuth():await())
    end)

    it("refuses a vault that it cannot read, and leaves it as it is", function()
      local file = support.scratch()
      local db = client { vault = { file = file, passphrase = "right" } }
      sign_in(db, admin, "ann@b.de")
      finish(db)
      local before = assert(io.open(file, "rb")):read "a"
      local ok, err = pcall(client, { vault = { file = file, passphrase = "wrong" } })
      assert.is_false(ok)
      assert.equal("vault", err.type)
      assert.matches("passphrase is not the one", err.message, 1, true)
      os.execute("chmod 644 '" .. file .. "'")
      ok, err = pcall(client, { vault = { file = file, passphrase = "right" } })
      assert.is_false(ok)
      assert.matches("chmod 600", err.message, 1, true)
      os.execute("chmod 600 '" .. file .. "'")
      assert.equal(before, assert(io.open(file, "rb")):read "a")
      db = client { vault = { file = file, passphrase = "right" } }
      assert.equal("ann@b.de", db:getAuth():await().email)
    end)

    it("signs nobody in whom the vault cannot keep", function()
      local file = support.scratch()
      local db = client { vault = { file = file, passphrase = "p" } }
      sign_in(db, admin, "ann@b.de")
      os.execute("chmod 644 '" .. file .. "'")
      local none, err = db.auth.signInAsGuest():await()
      assert.is_nil(none)
      assert.equal("vault", err.type)
      assert.equal("ann@b.de", db:getAuth():await().email)
      os.execute("chmod 600 '" .. file .. "'")
      assert(db.auth.signInAsGuest():await())
      finish(db)
      db = client { vault = { file = file, passphrase = "p" } }
      assert.is_true(db:getAuth():await().isGuest)
    end)

    it("keeps the users of several apps in one vault", function()
      local vault = { file = support.scratch(), passphrase = "p" }
      local db = client { vault = vault }
      sign_in(db, admin, "ann@b.de")
      finish(db)
      local other = instant.init { apiURI = "local:" .. support.scratch(), vault = vault, __extraDedupeKey = "other" }
      assert.is_nil(other:getAuth():await())
      assert(other.auth.signInAsGuest():await())
      finish(other)
      db = client { vault = vault }
      assert.equal("ann@b.de", db:getAuth():await().email)
    end)

    local function grep(text, folder)
      local pipe = assert(io.popen(("grep -r -l -F -e '%s' '%s' 2>/dev/null"):format(text, folder)))
      local found = pipe:read "*a"
      pipe:close()
      return found ~= ""
    end

    -- Removed when all is over: a storage may still write at the end of its client.
    local function folder_of_its_own()
      folders[#folders + 1] = support.scratch()
      return folders[#folders]
    end

    -- A storage is let go of a moment after the end of its client.
    local function reopened(options)
      local db
      support.eventually("the storage is free", function()
        local ok, result = pcall(client, options)
        if ok then db = result end
        return ok
      end)
      return db
    end

    for _, of in ipairs { "file:", "sqlite:" } do
      it("keeps the user beside the storage when there is no vault, encrypted, " .. of, function()
        local folder = folder_of_its_own()
        assert(os.execute("mkdir -p " .. folder))
        local options = { storage = of .. folder .. "/keep" }
        local db = client(options)
        local ann = sign_in(db, admin, "ann@b.de").user
        finish(db)
        db = reopened(options)
        assert.same(ann, db:getAuth():await())
        assert.is_false(grep(ann.refresh_token, folder))
        db.auth.signOut():await()
        finish(db)
        db = reopened(options)
        assert.is_nil(db:getAuth():await())
      end)
    end

    it("moves a user that is in plain text", function()
      local folder = folder_of_its_own()
      local db = client()
      local ann = sign_in(db, admin, "ann@b.de").user
      local kv = folder .. "/" .. app.id .. "/kv"
      assert(os.execute("umask 077; mkdir -p " .. kv))
      local function write_plain()
        local file = assert(io.open(kv .. "/currentUser.json", "w"))
        file:write('{"version":1,"value":' .. core.json_encode(ann) .. "}")
        file:close()
      end
      write_plain()
      db = client { storage = "file:" .. folder }
      assert.same(ann, db:getAuth():await())
      assert.is_false(grep(ann.refresh_token, folder))
      finish(db)
      -- To a vault of the program's own, from there and from plain text.
      local vault = { file = support.scratch(), passphrase = "p" }
      db = reopened { storage = "file:" .. folder, vault = vault }
      assert.same(ann, db:getAuth():await())
      finish(db)
      write_plain()
      vault = { file = support.scratch(), passphrase = "p" }
      db = reopened { storage = "file:" .. folder, vault = vault }
      assert.same(ann, db:getAuth():await())
      assert.is_false(grep(ann.refresh_token, folder))
    end)

    it("signs nobody out because of a vault file that was altered", function()
      local folder = folder_of_its_own()
      local options = { storage = "file:" .. folder }
      local db = client(options)
      local ann = sign_in(db, admin, "ann@b.de").user
      finish(db)
      db = reopened(options)
      finish(db)
      local path = folder .. "/" .. app.id .. "/user.vault"
      local function replace(bytes)
        local file = assert(io.open(path, "r+b"))
        local old = file:read "*a"
        file:seek "set"
        file:write(bytes)
        file:close()
        return old
      end
      local whole
      support.eventually("refused", function()
        whole = whole or replace("something else")
        local ok, err = pcall(client, options)
        return not ok and err.type == "vault" and err.message:find("user.vault", 1, true) ~= nil
      end)
      replace(whole)
      db = reopened(options)
      assert.same(ann, db:getAuth():await())
    end)

    it("keeps the user in the vault it is given, and not in the storage", function()
      local folder = folder_of_its_own()
      local vault = { file = support.scratch(), passphrase = "p" }
      local db = client { storage = "file:" .. folder, vault = vault }
      assert.is_nil(db:getAuth():await())
      local bob = sign_in(db, admin, "bob@b.de").user
      local mine = support.live(db, { ["$users"] = {} })
      mine.wait("bob", function(r) return r.data and #r.data["$users"] == 1 end)
      mine.stop()
      finish(db)
      db = reopened { storage = "file:" .. folder, vault = vault }
      assert.same(bob, db:getAuth():await())
      assert.is_true(grep("bob@b.de", folder)) -- of the query's result
      assert.is_false(grep(bob.refresh_token, folder))
    end)

    it("makes addresses for providers", function()
      local db = client()
      local url = db.auth.createAuthorizationURL { clientName = "google", redirectURL = "http://127.0.0.1:5/back?a=b" }
      assert.equal(("%s/runtime/oauth/start?app_id=%s&client_name=google&redirect_uri=%s"):format(
        api, app.id, "http%3A%2F%2F127.0.0.1%3A5%2Fback%3Fa%3Db"), url)
      local pkce = db.auth.createPKCE()
      url = db.auth:createAuthorizationURL {
        clientName = "google", redirectURL = "app://x", extraFields = { nick = "a" },
        state = "s t", codeChallenge = pkce.codeChallenge,
      }
      assert.matches("redirect_uri=app%%3A%%2F%%2Fx%%3F_instant_extra_fields_id%%3D[%w_-]+&state=s%%20t&", url)
      assert.matches("&code_challenge=" .. pkce.codeChallenge .. "&code_challenge_method=S256", url, 1, true)
      assert.equal(api .. "/runtime/" .. app.id, db.auth.issuerURI())
    end)

    -- A code as the callback of a provider leaves it: kept as the digest of its 16 bytes.
    local function provider_code(identity, challenge)
      local code = instant.id()
      local bytes = code:gsub("-", ""):gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end)
      local bits, held, hex = 0, 0, {}
      local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
      for letter in core.digest_text(bytes):gmatch "." do
        bits, held = (bits * 64 + alphabet:find(letter, 1, true) - 1) % 65536, held + 6
        while held >= 4 and #hex < 64 do
          held = held - 4
          hex[#hex + 1] = ("%x"):format(math.floor(bits / 2 ^ held) % 16)
        end
      end
      local provider, oauth_client = instant.id(), instant.id()
      assert(admin:transact {
        admin.tx["$oauthProviders"][provider]:update { name = "test " .. provider },
        admin.tx["$oauthClients"][oauth_client]:update { name = "test " .. oauth_client }
          :link { ["$oauthProvider"] = provider },
        admin.tx["$oauthCodes"][instant.id()]:update {
          codeHash = table.concat(hex), userInfo = identity,
          codeChallenge = challenge, codeChallengeMethod = challenge and "S256",
        }:link { ["$oauthClient"] = oauth_client },
      }:await())
      return code
    end

    it("exchanges a provider's code, with the proof of who asked", function()
      local db = client()
      local pkce = db.auth.createPKCE()
      local code = provider_code({ email = "Ann@b.de", sub = "1" }, pkce.codeChallenge)
      local answer = assert(db.auth.exchangeOAuthCode { code = code, codeVerifier = pkce.codeVerifier }:await())
      assert.is_true(answer.created)
      assert.equal("ann@b.de", answer.user.email)
      assert.same(answer.user, db:getAuth():await())
      local none, err = client().auth.exchangeOAuthCode { code = code, codeVerifier = pkce.codeVerifier }:await()
      assert.is_nil(none)
      assert.equal("record-not-found", err.type)
      assert.equal("app-oauth-code", err.hint["record-type"])
      code = provider_code({ sub = "2" }, pkce.codeChallenge)
      none, err = client().auth.exchangeOAuthCode { code = code, codeVerifier = "another" }:await()
      assert.is_nil(none)
      assert.matches("code_challenge and code_verifier do not match", err.message, 1, true)
      assert.is_nil(tostring(err):find(code, 1, true))
    end)

    it("makes a guest the user of a provider's code", function()
      local db = client()
      local guest = assert(db.auth.signInAsGuest():await()).user
      local answer = assert(db.auth.exchangeOAuthCode { code = provider_code { sub = "1" } }:await())
      assert.equal(guest.id, answer.user.id)
      assert.is_false(answer.user.isGuest)
    end)

    it("gives extra fields from the address to the exchange", function()
      local db = client()
      local url = db.auth.createAuthorizationURL {
        clientName = "c", redirectURL = "http://127.0.0.1/", extraFields = { nick = "ann" },
      }
      local id = url:match "_instant_extra_fields_id%%3D([%w_-]+)"
      local none, err = db.auth.exchangeOAuthCode { code = provider_code { sub = "1" }, extraFieldsId = id }:await()
      assert.is_nil(none)
      assert.matches("Unknown field: nick", err.message, 1, true) -- they did arrive
      assert(db.auth.exchangeOAuthCode { code = provider_code { sub = "1" }, extraFieldsId = id }:await()) -- once
    end)

    it("answers after the end of the client with an error", function()
      local db = client()
      finish(db)
      local none, err = db.auth.sendMagicCode({ email = "a@b.de" }):await()
      assert.is_nil(none)
      assert.equal("shutdown", err.type)
    end)
  end)
end

describe("db.auth", function()
  after_each(support.clean)

  it("names what is wrong with arguments", function()
    local db = support.client(":memory:")
    local function fails(part, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.matches(part, tostring(err), 1, true)
    end
    fails("sendMagicCode: expected a table, got string", db.auth.sendMagicCode, "a@b.de")
    fails("sendMagicCode: `email` must be a string, got nil", db.auth.sendMagicCode, {})
    fails("signInWithMagicCode: `code` must be a string, got number", db.auth.signInWithMagicCode,
      { email = "a", code = 1 })
    fails("signInWithToken: `token` must be a string, got nil", db.auth.signInWithToken)
    fails("signInAsGuest: expected a table, got number", db.auth.signInAsGuest, 1)
    fails("signOut: expected a table, got boolean", db.auth.signOut, true)
    fails("createAuthorizationURL: `clientName` must be a string", db.auth.createAuthorizationURL, {})
    fails("exchangeOAuthCode: `code` must be a string", db.auth.exchangeOAuthCode, {})
    fails("signInWithIdToken: `clientName` must be a string", db.auth.signInWithIdToken, { idToken = "x" })
    fails("subscribeAuth: expected a function, got nil", db.subscribeAuth)
    db:shutdown()
  end)

  it("names what is wrong with a vault", function()
    local function fails(part, vault)
      local ok, err = pcall(support.client, ":memory:", { vault = vault })
      assert.is_false(ok)
      assert.matches(part, tostring(err), 1, true)
    end
    fails([["keychain", "memory" or a table, got "disk"]], "disk")
    fails("`vault` must be a string or a table, got boolean", true)
    fails("unknown option `vault.path`", { path = "x" })
    fails("`vault.file` must be a string, got number", { file = 1 })
    fails("`vault.file` is missing", { passphrase = "p" })
    fails("one of them", { file = "x" })
    fails("one of them", { file = "x", passphrase = "p", keyFile = "k" })
    fails("folder cannot be reached", { file = "/nowhere/at/all", passphrase = "p" })
    local ok, err = pcall(support.client, ":memory:", { vault = "memory", refreshToken = instant.id() })
    assert.is_false(ok)
    assert.matches("give one of them", tostring(err), 1, true)
  end)

  it("has random texts and digests as RFC 7636 wants them", function()
    local db = support.client(":memory:")
    assert.equal("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
      core.digest_text "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    local one, two = db.auth.createPKCE(), db.auth.createPKCE()
    assert.matches("^[%w_-]+$", one.codeVerifier)
    assert.equal(43, #one.codeVerifier)
    assert.are_not.equal(one.codeVerifier, two.codeVerifier)
    assert.equal(core.digest_text(one.codeVerifier), one.codeChallenge)
    assert.equal("S256", one.codeChallengeMethod)
    db:shutdown()
  end)
end)
