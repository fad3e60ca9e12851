local core = require "instant.core"
local instant = require "instant"
local support = require "support"

local APP = "0b0c0d0e-0000-4000-8000-00000000000a"

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

describe("an archive", function()
  local folder

  before_each(function() folder = support.scratch() .. "-archive" os.execute("mkdir '" .. folder .. "'") end)
  after_each(function() os.execute("rm -rf '" .. folder .. "'") end)

  -- A backup with these entries, in order: {name, text}.
  local function make(entries)
    local path = folder .. "/" .. instant.id() .. ".zip"
    local zip = assert(core.zip_create(path))
    for n, entry in ipairs(entries) do
      local file = ("%s/entry-%d"):format(folder, n)
      write(file, entry[2])
      assert(zip:add(entry[1], file))
    end
    assert(zip:finish())
    return path
  end

  local function config(overrides)
    local value = {
      title = "from the cloud", appId = APP, rules = instant.null,
      schema = {
        entities = {
          todos = { attrs = {
            title = { valueType = "string", config = { indexed = true, unique = false } },
            slug = { valueType = "string", config = { indexed = false, unique = true } },
            rank = { valueType = "number", config = { indexed = true, unique = false } },
          } },
          people = { attrs = { name = { valueType = "string", config = { indexed = false, unique = false } } } },
        },
        links = {
          owner = { forward = { on = "todos", label = "owner", has = "one" },
            reverse = { on = "people", label = "todos", has = "many" } },
          friends = { forward = { on = "people", label = "friends", has = "many" },
            reverse = { on = "people", label = "friendOf", has = "many" } },
        },
      },
    }
    for name, given in pairs(overrides or {}) do value[name] = given end
    return { "config.json", core.json_encode(value) }
  end

  local function lines(list)
    local texts = {}
    for n, entity in ipairs(list) do
      texts[n] = core.json_encode { entity = entity, createdAt = 1700000000000 + n } .. "\n"
    end
    return table.concat(texts)
  end

  local function query(data, report, q)
    local server = assert(instant.server { data = data })
    local admin = instant.admin.init {
      appId = report.appId, adminToken = report.adminToken, apiURI = "http://127.0.0.1:" .. server:port(),
    }
    local result, err = admin:query(q):await()
    assert.is_true(server:close():await())
    return assert(result, err and err.message)
  end

  it("becomes an app, and that app the same archive again", function()
    local ann, bob, one, two = instant.id(), instant.id(), instant.id(), instant.id()
    local location = instant.id()
    local archive = make {
      config {
        rules = { todos = { allow = { view = "true" } } },
        webhooks = { {
          sink = { url = "https://hooks.example.com/in" }, namespaces = { "todos" }, actions = { "update", "create" },
          status = "active",
        } },
        emailTemplates = { {
          type = "magic-code", subject = "{code}!", body = "<p>{code}</p>", name = "Us", email = "us@example.com",
        } },
        authorizedRedirectOrigins = {
          { service = "generic", params = { "example.com:3000" } }, { service = "custom-scheme", params = { "myapp" } },
        },
      },
      { "entities/$files.jsonl", lines { {
        id = instant.id(), path = "a/ä.txt", size = 5, ["location-id"] = location, ["key-version"] = 1,
        ["content-type"] = "text/plain",
      } } },
      { "entities/$magicCodes.jsonl", lines { { id = instant.id(), codeHash = "x", email = "a@b.de" } } },
      { "entities/people.jsonl", lines {
        { id = ann, name = "Ann", friends = { bob } }, { id = bob, name = "Bob", friends = { ann, bob } },
      } },
      { "entities/todos.jsonl", lines {
        { id = one, title = "ünë", slug = "a", owner = ann, rank = 1.5 },
        { id = two, slug = "b", owner = instant.null },
      } },
      { "files/" .. location, "hello" },
    }
    local seen, started = 0, nil
    local report = assert(instant.importArchive {
      archive = archive, data = folder .. "/data", onStart = function(r) started = r.appId end,
      onProgress = function(p)
        assert.is_true(p.done >= seen and p.done <= p.total)
        seen = p.done
      end,
    })
    assert.equal(APP, report.appId)
    assert.equal(APP, started)
    assert.same({ "webhook https://hooks.example.com/in: is disabled until it is enabled here" }, report.problems)
    assert.equal(5, report.entities)
    local found = query(folder .. "/data", report, {
      todos = { ["$"] = { order = { rank = "asc" } }, owner = {} }, people = { friends = {} }, ["$files"] = {},
    })
    assert.equal(2, #found.todos) -- the one without a rank is in the index too
    assert.equal(two, found.todos[1].id)
    assert.equal("Ann", found.todos[2].owner[1].name)
    for _, person in ipairs(found.people) do
      assert.equal(person.name == "Bob" and 2 or 1, #person.friends)
    end
    assert.equal("a/ä.txt", found["$files"][1].path)

    -- Out again, in again: the same lines.
    local first = assert(instant.exportArchive { data = folder .. "/data", path = folder .. "/first.zip" })
    assert.same({}, first.problems)
    assert.equal(1, first.files)
    assert(instant.importArchive { archive = folder .. "/first.zip", file = folder .. "/one.db" })
    assert(instant.exportArchive { file = folder .. "/one.db", path = folder .. "/second.zip" })
    local function contents(path)
      local zip = assert(core.zip_open(path))
      local all = {}
      for n, entry in ipairs(assert(zip:entries())) do
        assert(zip:begin(n))
        local pieces = {}
        for piece in function() return zip:read() end do pieces[#pieces + 1] = piece end
        local text = table.concat(pieces)
        assert.equal(entry.size, #text)
        if entry.name == "config.json" then
          local value = core.json_decode(text)
          value.backupAt, value.isn = nil, nil
          all[entry.name] = value
        else
          local entities = {}
          for line in text:gmatch "[^\n]+" do
            local value = entry.name:find "^entities" and core.json_decode(line) or line
            entities[type(value) == "table" and value.entity.id or line] = value
          end
          all[entry.name] = entities
        end
      end
      zip:close()
      return all
    end
    local a, b = contents(folder .. "/first.zip"), contents(folder .. "/second.zip")
    assert.same(a, b)
    local settings = a["config.json"]
    assert.same({ view = "true" }, settings.rules.todos.allow)
    assert.same({ {
      sink = { url = "https://hooks.example.com/in" }, namespaces = { "todos" }, actions = { "update", "create" },
      status = "disabled",
    } }, settings.webhooks)
    assert.same({ {
      type = "magic-code", subject = "{code}!", body = "<p>{code}</p>", name = "Us", email = instant.null,
    } }, settings.emailTemplates)
    assert.same({
      { service = "generic", params = { "example.com:3000" } }, { service = "custom-scheme", params = { "myapp" } },
    }, settings.authorizedRedirectOrigins)
    assert.same({ hello = "hello" }, a["files/" .. location])
    assert.is_nil(a["entities/$magicCodes.jsonl"])
  end)

  it("leaves out what cannot be, and says so", function()
    local id, twin, lost = instant.id(), instant.id(), instant.id()
    local archive = make {
      config { webhooks = { {} }, authorizedRedirectOrigins = { {} }, emailTemplates = { {} } },
      { "entities/todos.jsonl", lines {
        { id = id, title = 7, slug = "a", extra = 1, owner = { "no uuid" } },
        { id = twin, slug = "a", title = "stays", owner = { instant.id(), instant.id() } },
        { id = id, title = "again" },
        { title = "without an id" },
      } .. "{no json\n\n[]\n" .. lines { { id = instant.id(), slug = "b", title = "a\0b" } } },
      { "entities/unknown.jsonl", lines { { id = instant.id() } } },
      { "entities/$oauthClients.jsonl", lines { { id = instant.id(), name = "g", encryptedClientSecret = "s3cret" } } },
      { "entities/$files.jsonl", lines { { id = instant.id(), path = "p", ["location-id"] = lost } } },
      { "notes.txt", "hello" },
      { "files/../../escape", "x" },
      { "files/" .. instant.id(), "nobody names it" },
    }
    local report = assert(instant.importArchive { archive = archive, data = folder .. "/data" })
    local all = table.concat(report.problems, "\n")
    for _, text in ipairs {
      "webhook of the archive: cannot be", "redirect origin of the archive: cannot be",
      "e%-mail template of the archive: cannot be", "Invalid value type for todos.title",
      "no attribute extra", "a link must be the id", "more than one link", "there twice",
      "no entity with an id",
      "todos line 5: Invalid JSON", "todos line 7: no entity", "null bytes",
      "a namespace that the schema does not have",
      "client secret has to be entered again", "`slug` is a unique", "notes.txt: not a part",
      "escape: not a part",
      "no %$files entity names it", "content at " .. lost:gsub("%-", "%%-") .. " is not in the archive",
    } do
      assert.is_truthy(all:find(text), text .. " is not in\n" .. all)
    end
    assert.is_nil(all:find("s3cret", 1, true))
    assert.equal(#report.problems, report.problemCount)
    local found = query(folder .. "/data", report, { todos = {} })
    assert.equal(3, #found.todos)
  end)

  it("goes on where it was broken off", function()
    local many = {}
    for n = 1, 3000 do many[n] = { id = instant.id(), name = ("x"):rep(8000) } end
    local archive = make { config(), { "entities/todos.jsonl", lines { { id = instant.id(), title = "a" } } },
      { "entities/people.jsonl", lines(many) } }
    -- In a process of its own, which dies in the middle.
    local script = folder .. "/killed.lua"
    write(script, ([[
      local instant = require "instant"
      instant.importArchive { archive = %q, data = %q, onProgress = function(p)
        if p.done > p.total * 0.9 then os.exit(7) end -- without closing anything
      end }
    ]]):format(archive, folder .. "/data"))
    local _, status = support.plain(script)
    assert.equal(7, status)
    local report = assert(instant.importArchive { archive = archive, data = folder .. "/data" })
    assert.is_true(report.resumed)
    assert.is_nil(report.adminToken)
    assert.is_true(report.entities < 3000 and report.entities > 0)
    assert.same({}, report.problems)
    local server = assert(instant.server { data = folder .. "/data" })
    assert.equal("active", server:appStatus(APP))
    assert.is_true(server:close():await())
    assert(instant.exportArchive { data = folder .. "/data", path = folder .. "/out.zip" })
    local zip = assert(core.zip_open(folder .. "/out.zip"))
    assert(zip:begin(1))
    local counts = core.json_decode(zip:read()).counts
    zip:close()
    assert.equal(3000, counts.people)
    assert.equal(1, counts.todos)
    -- A second time there is an app of that id, and nothing was broken off.
    local none, err = instant.importArchive { archive = archive, data = folder .. "/data" }
    assert.is_nil(none)
    assert.is_truthy(err.message:find "is already here")
    assert(instant.importArchive { archive = archive, data = folder .. "/data", appId = "new" })
  end)

  it("is refused when it is none", function()
    local function refused(text, options)
      options.data = options.data or folder .. "/data"
      local none, err = instant.importArchive(options)
      assert.is_nil(none)
      assert.is_truthy(err.message:find(text), err.message)
    end
    refused("cannot be opened", { archive = folder .. "/none.zip" })
    write(folder .. "/text.zip", "no archive at all")
    refused("cannot be opened", { archive = folder .. "/text.zip" })
    refused("config.json", { archive = make { { "entities/todos.jsonl", "" }, config() } })
    refused("no schema", { archive = make { { "config.json", "[1]" } } })
    refused("no schema", { archive = make { { "config.json", "{" } } })
    refused("no app id", { archive = make { config { appId = "../x" } } })
    refused("no app id", { archive = make { config() }, appId = "x" })
    refused("rule", { archive = make { config { rules = { todos = { allow = { view = "data.(" } } } } } })
    -- Nothing was made of all that.
    local server = assert(instant.server { data = folder .. "/data" })
    assert.same({}, server:apps())
    -- While a server has it, nobody else does.
    refused("already open", { archive = make { config() } })
    assert.is_true(server:close():await())
    -- Cut short in the middle of an entry.
    local long = lines { { id = instant.id(), title = ("x"):rep(1000) } }
    local whole = make { config(), { "entities/todos.jsonl", long } }
    local file = assert(io.open(whole, "rb"))
    local text = file:read "*a"
    file:close()
    write(folder .. "/cut.zip", text:sub(1, math.floor(#text / 2)))
    refused("cannot be opened", { archive = folder .. "/cut.zip" })
    for _, wrong in ipairs {
      {}, { archive = "a" }, { archive = "a", data = "d", file = "f" }, { archive = "a", data = "d", nope = 1 },
      { archive = 7, data = "d" }, { data = "d" },
    } do
      assert.has_error(function() instant.importArchive(wrong) end)
    end
  end)

  it("is never written over something, and nothing is left of a failure", function()
    assert(instant.importArchive { archive = make { config() }, data = folder .. "/data" })
    write(folder .. "/there.zip", "mine")
    local none, err = instant.exportArchive { data = folder .. "/data", path = folder .. "/there.zip" }
    assert.is_nil(none)
    assert.is_truthy(err.message:find "already there")
    none, err = instant.exportArchive { data = folder .. "/data", path = folder .. "/no/such/folder.zip" }
    assert.is_nil(none)
    assert.is_truthy(err.message:find "No such file")
    none = instant.exportArchive { data = folder .. "/data", path = folder .. "/x.zip", appId = instant.id() }
    assert.is_nil(none)
    local listing = io.popen("ls '" .. folder .. "'"):read "*a"
    assert.is_nil(listing:find "partial")
    assert.is_nil(listing:find "x.zip")
  end)

  it("need not be: an app is taken in from a backend that runs", function()
    local server = assert(instant.server { data = folder .. "/from" })
    local app = assert(server:createApp("original", core.json_decode(config()[2]).schema))
    local from = { appId = app.id, adminToken = app.adminToken, apiURI = "http://127.0.0.1:" .. server:port() }
    local admin = instant.admin.init(from)
    local steps, ann = {}, instant.id()
    steps[1] = admin.tx.people[ann]:update { name = "Ann" }:link { friends = { ann } }
    for n = 1, 1100 do -- more than two pages
      steps[n + 1] = admin.tx.todos[instant.id()]:update { rank = n, slug = "s" .. n }:link { owner = ann }
    end
    assert(admin:transact(steps):await())
    assert(admin.storage:uploadFile("notes.txt", "hello"):await())
    local in_order = { ["$"] = { order = { serverCreatedAt = "asc" } }, owner = {} }
    local original = assert(admin:query({ todos = in_order }):await())
    local pages = 0
    local report, err = instant.importApp {
      from = from, data = folder .. "/data", onProgress = function() pages = pages + 1 end,
    }
    assert(report, err and err.message)
    assert.is_true(server:close():await())
    assert.equal(app.id, report.appId)
    assert.is_true(pages >= 5)
    assert.same({ "sign-ins: everybody signs in again" }, { report.problems[#report.problems] })
    local found = query(folder .. "/data", report, {
      todos = in_order, people = { friends = {} }, ["$files"] = {},
    })
    assert.equal(1100, #found.todos)
    assert.same(original.todos, found.todos)
    assert.equal(ann, found.todos[1].owner[1].id)
    assert.equal(ann, found.people[1].friends[1].id)
    assert.equal("notes.txt", found["$files"][1].path)
    local exported = assert(instant.exportArchive { data = folder .. "/data", path = folder .. "/out.zip" })
    assert.equal(1, exported.files)
    local none
    none, err = instant.importApp { from = from, data = folder .. "/data", appId = "new" }
    assert.is_nil(none) -- nobody is there any more
    assert.is_truthy(err)
  end)
end)
