local instant = require "instant"
local api = require "instant.api"
local http = instant.http
local support = require "support"

describe("instant.http", function()
  local server, base, data

  setup(function()
    data = support.scratch()
    server = assert(instant.server { data = data })
    base = "http://127.0.0.1:" .. server:port()
  end)
  teardown(function()
    server:close():await()
    os.execute(("rm -rf '%s'"):format(data))
    support.clean()
  end)

  it("asks and answers", function()
    local answer = http.request({ url = base .. "/health/system" }):await()
    assert.equal(200, answer.status)
    assert.equal('{"wal":"ok"}', answer.body)
    assert.equal("application/json", answer.headers["content-type"])
    local unknown = http.request({ url = base .. "/nowhere", query = { ["a b"] = "c&d" } }):await()
    assert.equal(404, unknown.status)
    local head = http.request({ url = base .. "/health/system", method = "head" }):await()
    assert.equal(200, head.status)
    assert.equal("", head.body)
  end)

  it("sends JSON, text and bodies in pieces", function()
    local url = base .. "/dash/apps/ephemeral"
    local function title(options)
      options.url, options.method = url, "POST"
      local answer = http.request(options):await()
      assert.equal(200, answer.status, answer.body)
      return answer.body:match '"title":"([^"]*)"'
    end
    assert.equal("a", title { json = { title = "a" } })
    assert.equal("b", title { body = '{"title":"b"}' })
    local pieces, at = { '{"title":', "", '"' .. ("c"):rep(200), '"}' }, 0
    local progress = {}
    assert.equal(("c"):rep(200), title {
      bodySize = 212,
      body = function()
        at = at + 1
        if pieces[at] == "" then at = at + 1 end
        return pieces[at]
      end,
      onProgress = function(p) progress[#progress + 1] = p end,
    })
    assert.equal(212, progress[#progress].sent)
    assert.equal(212, progress[#progress].sendTotal)
  end)

  it("streams an answer", function()
    local pieces, heads = {}, {}
    local answer = http.request({
      url = base .. "/health/system",
      onHead = function(head) heads[#heads + 1] = head.status .. head.headers["content-type"] end,
      onData = function(piece) pieces[#pieces + 1] = piece end,
    }):await()
    assert.equal("", answer.body)
    assert.same({ "200application/json" }, heads)
    assert.equal('{"wal":"ok"}', table.concat(pieces))
  end)

  it("runs many at once", function()
    local list = {}
    for i = 1, 100 do list[i] = http.request { url = base .. "/health/system" } end
    for _, answer in ipairs(instant.all(list):await()) do assert.equal(200, answer.status) end
  end)

  it("fails with a reason", function()
    local function reason(options)
      local answer, err = http.request(options):await()
      assert.is_nil(answer)
      return err.type, err.message
    end
    local kind, message = reason { url = "http://127.0.0.1:1/secret?token=1" }
    assert.equal("io-error", kind)
    assert.matches("127.0.0.1:1 failed", message)
    assert.is_nil(message:find "token")
    assert.equal("param-malformed", (reason { url = "file:///etc/passwd" }))
    assert.equal("param-malformed", (reason { url = "http://a b/" }))
    assert.equal("param-malformed", (reason { url = base, method = "GET /" }))
    assert.equal("param-malformed", (reason { url = base, headers = { ["a:b"] = "c" } }))
    assert.equal("param-malformed", (reason { url = base, headers = { a = "b\r\nc: d" } }))
    assert.equal("io-error", (reason { url = "http://nowhere.invalid/" }))
    assert.equal("response-too-large", (reason { url = base .. "/health/system", maxResponse = 5 }))
    for size, word in pairs { [100] = "shorter than the 100", [5] = "longer than the 5" } do
      local left = 2
      kind, message = reason {
        url = base, method = "PUT", bodySize = size,
        body = function()
          left = left - 1
          return left >= 0 and "four" or nil
        end,
      }
      assert.equal("aborted", kind)
      assert.truthy(message:find(word, 1, true), message)
    end
  end)

  it("passes on the error of a callback", function()
    local function failing(name, options)
      options.url, options[name] = options.url or base .. "/health/system", function() error("no " .. name, 0) end
      local answer, err = http.request(options):await()
      assert.is_nil(answer)
      assert.equal("no " .. name, err)
    end
    failing("onHead", {})
    failing("onData", {})
    failing("onProgress", {})
    failing("body", { method = "PUT", bodySize = 3 })
    local _, err = http.request({ url = base, body = function() return 7 end, bodySize = 1 }):await()
    assert.equal("http.request: `body` must return a string or nil, got number", err)
  end)

  it("can be cancelled, before, during and after", function()
    local function cancelled(request)
      local answer, err = request:await()
      assert.is_nil(answer)
      assert.equal("cancelled", err.type)
    end
    local request = http.request { url = base }
    request:cancel()
    cancelled(request)
    local late
    late = http.request {
      url = base, method = "PUT", bodySize = 1e6,
      body = function()
        late:cancel()
        late:cancel()
        return "a"
      end,
    }
    cancelled(late)
    local inside
    inside = http.request { url = base, onData = function() inside:cancel() end }
    cancelled(inside)
    local done = http.request { url = base }
    assert.equal(200, done:await().status)
    done:cancel()
    assert.equal(200, done:await().status)
  end)

  it("checks its options", function()
    for text, options in pairs {
      ["`url` is missing"] = {},
      ["unknown option `uri`"] = { uri = "x" },
      ["`timeout` must be a number, got string"] = { url = base, timeout = "1" },
      ["`body` must be a string or a function, got table"] = { url = base, body = {} },
    } do
      local ok, err = pcall(http.request, options)
      assert.is_false(ok)
      assert.truthy(err:find(text, 1, true), err)
    end
    assert.has_error(function() http.request "x" end)
    assert.equal("a=1&b%20c=%C3%BC%26", http.query { ["b c"] = "ü&", a = 1 })
  end)

  it("times out", function()
    local started = instant.now()
    local answer, err = http.request({
      url = base, method = "PUT", bodySize = 3e7, timeout = 200,
      body = function()
        return "x"
      end,
    }):await()
    assert.is_nil(answer)
    assert.equal("timeout", err.type)
    assert.is_true(instant.now() - started < 5000)
  end)
end)

describe("the backend's routes", function()
  after_each(support.clean)

  it("answer over the network and in this process alike", function()
    local data = support.scratch()
    local server = assert(instant.server { data = data })
    for _, uri in ipairs { "http://127.0.0.1:" .. server:port() .. "/", "local:" .. support.scratch() } do
      local fetch = api.of { apiURI = uri }
      assert.same({ wal = "ok" }, fetch("GET", "/health/system"):await())
      local _, err = fetch("POST", "/dash/apps/ephemeral", { body = { title = "" } }):await()
      assert.equal("param-malformed", err.type)
      assert.equal(400, err.status)
      assert.equal('Malformed parameter: ["body" "title"]', err.message)
      assert.same({ "body", "title" }, { err.hint["in"][1], err.hint["in"][2] })
      assert.equal("param-malformed", err.body.type)
      _, err = fetch("GET", "/nowhere"):await()
      assert.equal(404, err.status)
      assert.equal("Oops! We couldn't match this route.", err.message)
      local made = fetch("POST", "/dash/apps/ephemeral", { body = { title = "x" } }):await()
      assert.equal("x", made.app.title)
    end
    server:close():await()
    os.execute(("rm -rf '%s'"):format(data))
  end)
end)
