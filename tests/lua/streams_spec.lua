local instant = require "instant"
local support = require "support"

describe("a stream", function()
  local path, writer, reader

  before_each(function()
    path = support.scratch()
    writer = support.client(path, { adminToken = "11111111-1111-4111-8111-111111111111" })
    reader = support.client(path, { adminToken = "11111111-1111-4111-8111-111111111111" })
  end)
  after_each(function()
    writer:shutdown()
    reader:shutdown()
    instant.sleep(1)
    support.clean()
  end)

  local function in_task(fn)
    local value, err = instant.task(fn):await()
    if err then error(err, 0) end
    return value
  end

  it("is read while it grows, and ends", function()
    local out = writer.streams.createWriteStream { clientId = "answer" }
    local id = assert(out:streamId():await())
    local stream = reader.streams.createReadStream { clientId = "answer" }
    assert(out:write "Grüße, "):await()
    assert.same({ value = "Grüße, ", done = false }, stream:read():await())
    out:write "Welt"
    assert.equal("Welt", stream:read():await().value)
    assert.equal(id, stream:streamId():await())
    assert(out:close():await())
    assert.same({ done = true }, stream:read():await())
    assert.same({ done = true }, stream:getReader():read():await())
    assert.is_nil(stream.abortReason)
  end)

  it("is read by an iterator in a task, by its id, and from an offset", function()
    local out = writer.streams:createWriteStream { clientId = "a" }
    local id = assert(out:streamId():await())
    local texts = {}
    local stream = reader.streams.createReadStream { streamId = id, byteOffset = 2 }
    local reading = instant.task(function()
      for text in stream do texts[#texts + 1] = text end
      return table.concat(texts)
    end)
    for i = 0, 9 do assert(out:write(tostring(i)):await()) end
    assert(out:close():await())
    assert.equal("23456789", reading:await())
  end)

  it("calls back for every text", function()
    local out = writer.streams.createWriteStream { clientId = "a" }
    assert(out:streamId():await())
    local texts = {}
    local ended = reader.streams.createReadStream { clientId = "a" }:each(function(text)
      texts[#texts + 1] = text
      instant.sleep(1)
    end)
    out:write "x"
    out:write "y"
    assert(out:close():await())
    assert.is_true(ended:await())
    assert.equal("xy", table.concat(texts))
  end)

  it("tells why it broke off", function()
    local out = writer.streams.createWriteStream { clientId = "a" }
    assert(out:streamId():await())
    local stream = reader.streams.createReadStream { clientId = "a" }
    out:write "half"
    assert(out:abort("no more money"):await())
    assert.equal("half", stream:read():await().value)
    assert.is_true(stream:read():await().done)
    assert.equal("no more money", stream.abortReason)
  end)

  it("keeps what was closed: the future of close says so, and that of waitUntil", function()
    local finished
    local out = writer.streams.createWriteStream {
      clientId = "a", waitUntil = function(future) finished = future end,
    }
    local id = assert(out:streamId():await())
    out:getWriter():write "text"
    assert.equal("pending", finished.state)
    assert(out:close():await())
    assert(finished:await())
    local row = reader:queryOnce({ ["$streams"] = {} }):await().data["$streams"][1]
    assert.equal(id, row.id)
    assert.is_true(row.done)
    assert.equal(4, row.size)
    assert.is_true(out:close():await())
    local _, err = out:write("more"):await()
    assert.equal("stream-closed", err.type)
  end)

  it("is nobody's but the admins' without rules", function()
    local guest = support.client(path)
    local out = guest.streams.createWriteStream { clientId = "a" }
    local value, err = out:streamId():await()
    assert.is_nil(value)
    assert.equal("permission-denied", err.type)
    value, err = out:write("x"):await()
    assert.is_nil(value)
    assert.equal("permission-denied", err.type)
    value, err = guest.streams.createReadStream { clientId = "a" }:read():await()
    assert.is_nil(value)
    assert.is_string(err.type)
    assert.has_error(function()
      in_task(function()
        for _ in guest.streams.createReadStream { clientId = "a" } do error "nothing" end
      end)
    end)
    guest:shutdown()
  end)

  it("is read from the start when it has long been kept", function()
    local path_of_its_own = support.scratch()
    local function own()
      return support.client(path_of_its_own, { adminToken = "11111111-1111-4111-8111-111111111111" })
    end
    local db = own()
    local out = db.streams.createWriteStream { clientId = "kept" }
    for n = 1, 50 do out:write(("line %d\n"):format(n)) end
    assert(out:close():await())
    db:shutdown()
    local later, all = own(), {}
    local stream = later.streams.createReadStream { clientId = "kept" }
    for text in stream do all[#all + 1] = text end
    assert.is_nil(stream.abortReason)
    local _, lines = table.concat(all):gsub("line %d+\n", "")
    assert.equal(50, lines)
    later:shutdown()
    os.execute("rm -rf '" .. path_of_its_own .. "-files'")
  end)

  it("has its name once", function()
    local out = writer.streams.createWriteStream { clientId = "a" }
    assert(out:streamId():await())
    local _, err = writer.streams.createWriteStream { clientId = "a" }:streamId():await()
    assert.is_string(err.message)
  end)

  it("is read no more after cancel, and lets the program end", function()
    local program = support.write [[
      local instant = require "instant"
      local function client(key)
        return instant.init { apiURI = "local:" .. arg[1], __extraDedupeKey = key,
          adminToken = "11111111-1111-4111-8111-111111111111" }
      end
      local writer, reader = client "writer", client "reader"
      local out = writer.streams.createWriteStream { clientId = "a" }
      assert(out:streamId():await())
      local stream = reader.streams.createReadStream { clientId = "a" }
      out:write "x"
      assert(stream:read():await().value == "x")
      local waiting = stream:read()
      stream:cancel()
      assert(waiting:await().done)
      assert(out:close():await())
      instant.run() -- comes back: nothing of the streams is left
      print "ended"
    ]]
    local text, code = support.plain(program, support.scratch())
    assert.equal("ended\n", text)
    assert.equal(0, code)
  end)

  it("fails what waits when its client is shut down", function()
    local out = writer.streams.createWriteStream { clientId = "a" }
    assert(out:streamId():await())
    local other = support.client(path, { adminToken = "11111111-1111-4111-8111-111111111111" })
    local stream = other.streams.createReadStream { clientId = "a" }
    assert(stream:streamId():await())
    local waiting = stream:read()
    other:shutdown()
    local _, err = waiting:await()
    assert.equal("shutdown", err.type)
  end)

  it("refuses what makes no sense", function()
    local function refuses(text, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.truthy(tostring(err):find(text, 1, true), tostring(err))
    end
    local create, read = writer.streams.createWriteStream, writer.streams.createReadStream
    refuses("expected a table, got nil", create)
    refuses("`clientId` is missing", create, {})
    refuses("`clientId` must be a string, got number", create, { clientId = 1 })
    refuses("unknown option `name`", create, { name = "a" })
    refuses("Must provide one of streamId or clientId to subscribe to the stream.", read, {})
    refuses("`byteOffset` must be a whole number", read, { clientId = "a", byteOffset = 1.5 })
    refuses("`byteOffset` must be a whole number", read, { clientId = "a", byteOffset = -1 })
    local out = create { clientId = "a" }
    refuses("expected a string, got number", out.write, out, 1)
    refuses("expected a function, got nil", function()
      read({ clientId = "a" }):each()
    end)
  end)
end)
