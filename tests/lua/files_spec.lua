local instant = require "instant"
local support = require "support"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- Bytes of every kind, none like its neighbours for long.
local function bytes(count)
  local pieces = {}
  for i = 1, math.ceil(count / 256) do
    local row = {}
    for j = 0, 255 do row[j + 1] = string.char((i * 7 + j * (i % 13 + 1)) % 256) end
    pieces[i] = table.concat(row)
  end
  return table.concat(pieces):sub(1, count)
end

local function pieces_of(text, size)
  local at = 1
  return function()
    if at > #text then return nil end
    local piece = text:sub(at, at + size - 1)
    at = at + size
    return piece
  end
end

local where -- this process or the network: what a client and an admin need to get there
local server, data, app, made

-- Everything that is made here is gone at the end.
local function folder()
  local path = support.scratch()
  made[#made + 1] = path
  return path
end

local places = {
  ["in this process"] = function()
    local path = folder()
    made[#made + 1] = path .. "-files"
    return { apiURI = "local:" .. path, adminToken = instant.id() }
  end,
  ["over the network"] = function()
    return { apiURI = "http://127.0.0.1:" .. server:port(), appId = app.id, adminToken = app.adminToken }
  end,
}

setup(function()
  made = {}
  data = folder()
  server = assert(instant.server { data = data, maxFileSize = 5000000 })
  app = assert(server:createApp "files")
end)

teardown(function()
  server:close():await()
  for _, path in ipairs(made) do os.execute(("rm -rf '%s'"):format(path)) end
  support.clean()
end)

for place, config_of in pairs(places) do
  describe("files " .. place, function()
    local db, admin

    setup(function()
      where = config_of()
      db = instant.init {
        apiURI = where.apiURI, appId = where.appId, adminToken = where.adminToken,
        __extraDedupeKey = "storage " .. place,
      }
      admin = instant.admin.init {
        apiURI = where.apiURI, appId = db.appId, adminToken = where.adminToken,
      }
    end)
    teardown(function() db:shutdown() end)

    local function put(path, contents, opts)
      local result, err = db.storage:uploadFile(path, contents, opts):await()
      assert.is_nil(err)
      assert.matches("^%x+%-%x+%-%x+%-%x+%-%x+$", result.data.id)
      return result.data
    end

    local function get(source, opts)
      local result, err = db.storage:download(source, opts):await()
      assert.is_nil(err)
      return result
    end

    it("uploads text and gives it back", function()
      local first = put("a/b.txt", "hello")
      assert.equal(5, first.size)
      assert.equal("hello", get "a/b.txt")
      local second = put("a/b.txt", "")
      assert.equal(first.id, second.id)
      assert.are_not.equal(first["location-id"], second["location-id"])
      assert.equal("", get "a/b.txt")
      assert.equal("dots", (put("dots", "x") and db.storage.download("dots"):await()) == "x" and "dots")
    end)

    it("uploads from readers, files and open files, in pieces of any size", function()
      for _, size in ipairs { 1, 131071, 131072, 131073, 700001 } do
        local text = bytes(size)
        put("text", text)
        put("read", pieces_of(text, 999), { fileSize = size })
        local path = support.write ""
        local file = assert(io.open(path, "wb"))
        file:write(text)
        file:close()
        put("file", { file = path })
        local open = assert(io.open(path, "rb"))
        open:seek("set", 1)
        put("open", open)
        assert.equal("file", io.type(open))
        open:close()
        for _, name in ipairs { "text", "read", "file" } do assert.is_true(get(name) == text, name) end
        assert.is_true(get "open" == text:sub(2))
      end
    end)

    it("keeps what a file is, and shows it in queries", function()
      local id = put("p/ü é €.png", "png", { contentType = "image/png", contentDisposition = "inline" }).id
      local row = admin:query({ ["$files"] = { ["$"] = { where = { id = id } } } }):await()["$files"][1]
      assert.equal("p/ü é €.png", row.path)
      assert.equal("image/png", row["content-type"])
      assert.equal("inline", row["content-disposition"])
      assert.equal(3, row.size)
      assert.equal(where.apiURI, row.url:sub(1, #where.apiURI))
      assert.equal("png", get(row.url))
      assert.equal(row.url, db.storage:getDownloadUrl("p/ü é €.png"):await())
      put("ü", "umlaut")
      assert.equal("umlaut", get "ü")
      put("Ã¼", "two letters that look like one in UTF-8")
      assert.equal("umlaut", get "ü")
      assert.equal("two letters that look like one in UTF-8", get "Ã¼")
    end)

    it("tells a live query", function()
      local watch = support.live(db, { ["$files"] = { ["$"] = { where = { path = "live.txt" } } } })
      watch.wait("nothing", function(r) return r.data and #r.data["$files"] == 0 end)
      put("live.txt", "one")
      local first = watch.wait("a file", function(r) return #r.data["$files"] == 1 end).data["$files"][1].url
      put("live.txt", "two")
      local function is_new(r) return r.data["$files"][1] and r.data["$files"][1].url ~= first end
      local second = watch.wait("another address", is_new).data["$files"][1].url
      assert.equal("two", get(second))
      local text, err = db.storage:download(first):await()
      assert.is_nil(text)
      assert.equal(404, err.status)
      db:transact(db.tx["$files"][instant.lookup("path", "live.txt")]:delete()):await()
      watch.wait("nothing again", function(r) return #r.data["$files"] == 0 end)
      text, err = db.storage:download(second):await()
      assert.is_nil(text)
      assert.equal("record-not-found", err.type)
      watch.stop()
    end)

    it("tells how far it is", function()
      local text, seen = bytes(600000), {}
      put("progress", text, { onProgress = function(p) seen[#seen + 1] = p end })
      assert.same({ loaded = 600000, total = 600000 }, seen[#seen])
      for i = 2, #seen do assert.is_true(seen[i].loaded > seen[i - 1].loaded) end
      seen = {}
      get("progress", { onProgress = function(p) seen[#seen + 1] = p end })
      assert.same({ loaded = 600000, total = 600000 }, seen[#seen])
    end)

    it("is not stopped by a progress function that fails or waits", function()
      local reports = {}
      local scheduler = require "instant.scheduler"
      local before = scheduler.report
      instant.onError(function(text) reports[#reports + 1] = text end)
      put("progress", bytes(300000), { onProgress = function()
        instant.sleep(1)
        error "no matter"
      end })
      assert.equal(300000, #get "progress")
      support.eventually("a report", function() return #reports > 0 end)
      instant.onError(before)
      assert.matches("no matter", reports[1])
    end)

    it("downloads to a file, whole or not at all", function()
      local text, path = bytes(300001), support.scratch()
      put("down", text)
      assert.same({ path = path, size = 300001 }, get("down", { to = path }))
      assert.is_true(read(path) == text)
      local result, err = db.storage:download("none", { to = path }):await()
      assert.is_nil(result)
      assert.equal("record-not-found", err.type)
      assert.is_true(read(path) == text)
      local url = db.storage:getDownloadUrl("down"):await()
      local bad = url:gsub("signature=%x%x%x", "signature=abc", 1)
      local other = support.scratch()
      result, err = db.storage:download(bad, { to = other }):await()
      assert.is_nil(result)
      assert.equal(403, err.status)
      assert.matches("expired or invalid", err.message)
      assert.is_false(exists(other))
      result, err = db.storage:download("down", { to = "/nowhere/at/all" }):await()
      assert.is_nil(result)
      assert.equal("io-error", err.type)
      local left = assert(io.popen(("ls '%s'* '%s'* 2>/dev/null | grep -c part"):format(path, other)))
      assert.equal("0", left:read "*l")
      left:close()
    end)

    it("deletes", function()
      local id = put("gone", "x").id
      assert.same({ id = id, data = { id = id } }, db.storage:delete("gone"):await())
      assert.same({ data = {} }, db.storage:delete("gone"):await())
      assert.is_nil(db.storage:getDownloadUrl("gone"):await())
      id = put("gone", "x").id
      assert.same({ data = { id = id } }, admin.storage:delete("gone"):await())
      assert.same({ data = {} }, admin.storage:delete("gone"):await())
    end)

    it("has the names of the past", function()
      assert.is_true(db.storage:upload("old", "one"):await())
      assert.equal("one", get "old")
      local path = support.write "two"
      assert.is_true(db.storage.put(nil, { file = path }):await())
      assert.equal("two", get(path:match "[^/]+$"))
      assert.is_true(admin.storage:upload("old", "three", { contentType = "text/css" }):await())
      assert.equal("three", admin.storage:download("old"):await())
    end)

    it("serves the admin SDK", function()
      local result = admin.storage:uploadFile("many/1", "1", { contentType = "text/plain" }):await()
      admin.storage.uploadFile("many/2", pieces_of("22", 1), { fileSize = 2 }):await()
      local list = admin.storage:list():await()
      local found = {}
      for _, file in ipairs(list) do found[file.name] = file.size end
      assert.equal(1, found["many/1"])
      assert.equal(2, found["many/2"])
      local deleted = admin.storage:deleteMany({ "many/1", "many/none", "many/2" }):await()
      assert.equal(2, #deleted.data.ids)
      assert.equal(result.data.id, deleted.data.ids[1])
      assert.equal(0, #admin.storage:deleteMany({}):await().data.ids)
      local refused, err = admin:asUser({ guest = true }).storage:uploadFile("guest", "x"):await()
      assert.is_nil(refused)
      assert.equal("permission-denied", err.type)
      assert.equal("Permission denied: not has-storage-permission?", err.message)
    end)

    it("says what is wrong", function()
      local _, err = db.storage:uploadFile("a", function() return "x" end):await()
      assert.equal("fileSize is required in metadata when uploading streams", err.message)
      _, err = db.storage:uploadFile("a", { file = "/nowhere/at all" }):await()
      assert.equal("io-error", err.type)
      assert.matches("/nowhere/at all", err.message)
      _, err = db.storage:uploadFile("a", { file = "/" }):await()
      assert.equal("io-error", err.type)
      _, err = db.storage:uploadFile("$stream/x/0", "x"):await()
      assert.equal("validation-failed", err.type)
      _, err = db.storage:uploadFile("cut", pieces_of("abc", 1), { fileSize = 5 }):await()
      assert.is_truthy(err)
      assert.is_nil(db.storage:getDownloadUrl("cut"):await())
      _, err = db.storage:uploadFile("cut", function() error "no more" end, { fileSize = 5 }):await()
      assert.matches("no more", tostring(err))
      assert.has_error(function() db.storage:uploadFile(nil, "x") end, "uploadFile: expected a path, got nil")
      assert.has_error(function() db.storage:uploadFile("", "x") end, "uploadFile: expected a path, got an empty one")
      assert.has_error(function() db.storage:uploadFile("x", 5) end,
        "uploadFile: expected a string, {file=}, an open file or a function that reads, got number")
      assert.has_error(function() admin.storage:deleteMany "x" end, "deleteMany: expected a list of paths, got string")
    end)

    it("can be given up", function()
      local given = 0
      local upload = db.storage:uploadFile("cancel", function()
        given = given + 1
        return ("x"):rep(1000)
      end, { fileSize = 4000000 })
      support.eventually("pieces on their way", function() return given > 5 end)
      upload.cancel()
      local result, err = upload:await()
      assert.is_nil(result)
      assert.equal("cancelled", err.type)
      assert.is_nil(db.storage:getDownloadUrl("cancel"):await())
      put("cancel", bytes(2000000))
      local path = support.scratch()
      local download
      download = db.storage:download("cancel", { to = path, onProgress = function() download.cancel() end })
      result, err = download:await()
      assert.is_nil(result)
      assert.equal("cancelled", err.type)
      assert.is_false(exists(path))
      local early = db.storage:uploadFile("early", "x")
      early.cancel()
      assert.equal("cancelled", select(2, early:await()).type)
    end)
  end)
end

describe("files", function()
  it("denies whoever is no admin while there are no rules", function()
    local db = instant.init {
      apiURI = "http://127.0.0.1:" .. server:port(), appId = app.id, __extraDedupeKey = "storage nobody",
    }
    for name, ask in pairs {
      create = function() return db.storage:uploadFile("x", "y") end,
      delete = function() return db.storage:delete "x" end,
      view = function() return db.storage:getDownloadUrl "x" end,
      view_too = function() return db.storage:download "x" end,
      create_too = function() return db.storage:upload("x", "y") end,
    } do
      local result, err = ask():await()
      assert.is_nil(result)
      assert.equal("permission-denied", err.type)
      assert.same({ input = { "$files", name:gsub("_too", "") .. "" }, expected = "has-storage-permission?" }, err.hint)
    end
    db:shutdown()
  end)

  it("refuses what is larger than the server takes", function()
    local admin = instant.admin.init {
      apiURI = "http://127.0.0.1:" .. server:port(), appId = app.id, adminToken = app.adminToken,
    }
    local result, err = admin.storage:uploadFile("large", ("x"):rep(5000001)):await()
    assert.is_nil(result)
    assert.equal(413, err.status)
    assert.matches("A file takes at most 5000000 bytes here", err.message)
  end)

  it("lets go of the file when the client does", function()
    local path = folder()
    made[#made + 1] = path .. "-files"
    local db = instant.init { apiURI = "local:" .. path, adminToken = "any", __extraDedupeKey = "storage gone" }
    db.storage:uploadFile("a", "kept"):await()
    db:shutdown()
    instant.sleep(0) -- it is freed when the turn ends
    local text, code = support.host("-e", ([[
      local instant = require "instant"
      local db = instant.init { apiURI = "local:%s", adminToken = "any" }
      print(db.storage:download("a"):await())
      db:shutdown()]]):format(path))
    assert.equal("kept\n", text)
    assert.equal(0, code)
  end)
end)
