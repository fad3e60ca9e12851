local instant = require "instant"
local support = require "support"

local function fails(kind, options)
  local value, err = instant.spawn(options):await()
  assert.is_nil(value)
  assert.equal(kind, err.type)
  return err
end

describe("spawn", function()
  it("gives what a command said and how it ended", function()
    local done = assert(instant.spawn { "printf", "%s|", "a b", "$HOME", "'" }:await())
    assert.same({ code = 0, stdout = "a b|$HOME|'|", stderr = "" }, done)
    done = assert(instant.spawn { shell = "cat; echo bad >&2; exit 3", stdin = "hello" }:await())
    assert.same({ code = 3, stdout = "hello", stderr = "bad\n" }, done)
    done = assert(instant.spawn { shell = "kill -9 $$" }:await())
    assert.equal("KILL", done.signal)
  end)

  it("does not stop others meanwhile", function()
    local ticks = 0
    local timer = instant.every(1, function() ticks = ticks + 1 end)
    assert(instant.spawn { "sleep", "0.2" }:await())
    timer:stop()
    assert.is_true(ticks > 3)
  end)

  it("carries much in both directions", function()
    local text = ("0123456789abcdef"):rep(200000)
    assert.equal(text, assert(instant.spawn { "cat", stdin = text }:await()).stdout)
  end)

  it("talks with a child piece by piece", function()
    local heard, turn = {}, nil
    local cat = instant.spawn { "cat", stdin = true, stdout = function(piece)
      heard[#heard + 1] = piece
      turn:resolve(true)
    end }
    assert.is_number(cat:pid())
    for _, word in ipairs { "one\n", "two\n" } do
      turn = instant.future()
      assert.is_true(cat:write(word):await())
      turn:await()
    end
    cat:closeStdin()
    assert.same({ code = 0, stderr = "" }, assert(cat:await()))
    assert.equal("one\ntwo\n", table.concat(heard))
    assert.is_nil(cat:pid())
    assert.is_nil((cat:write("late"):await()))
    assert.is_false(cat:kill())
  end)

  it("takes folder and environment", function()
    local done = assert(instant.spawn {
      shell = "pwd; echo $A; echo ${HOME-none}", cwd = "/", env = { A = "1 2", HOME = false },
    }:await())
    assert.equal("/\n1 2\nnone\n", done.stdout)
  end)

  it("ends what takes too long, says too much, or is told to", function()
    assert.matches("longer than 50 ms", fails("timeout", { "sleep", "100", timeout = 50 }).message, 1, true)
    fails("timeout", { shell = "trap '' TERM; while :; do sleep 0.05; done", timeout = 50 })
    fails("output-too-large", { "yes", maxOutput = 100000 })
    local child = instant.spawn { "sleep", "100" }
    assert.is_true(child:kill())
    assert.equal("TERM", assert(child:await()).signal)
  end)

  it("does not wait for what a child left behind", function()
    local from = instant.now()
    assert.equal("hi\n", assert(instant.spawn { shell = "sleep 30 & echo hi" }:await()).stdout)
    assert.is_true(instant.now() - from < 20000)
  end)

  it("says what is wrong", function()
    assert.matches("Cannot run no-such-command", fails("io-error", { "no-such-command" }).message, 1, true)
    fails("io-error", { "true", cwd = "/no/such/folder" })
    local function complains(text, options)
      local ok, why = pcall(instant.spawn, options)
      assert.is_false(ok)
      assert.matches(text, why, 1, true)
    end
    complains("expected a table", "ls")
    complains("give a command", {})
    complains("give a command", { "ls", shell = "ls" })
    complains("unknown option `dir`", { "ls", dir = "/" })
    complains("`cwd` must be a string", { "ls", cwd = 1 })
    complains("`1` must be a string", { 1 })
    complains("`stdout` must be", { "ls", stdout = 1 })
    complains("`stdin` must be", { "ls", stdin = 1 })
    complains("without NUL", { "ls", "a\0b" })
    assert.has_error(function() instant.spawn({ "true" }):kill "NONE" end)
  end)

  it("keeps nothing behind when the program ends", function()
    local text, code = support.host("-e", [[
      local instant = require "instant"
      local child = instant.spawn { "sleep", "100" }
      print(child:pid())
      instant.after(10, function() instant.stop() end)
      print(child:await().signal)
    ]])
    assert.matches("^%d+\nTERM\n$", text)
    assert.equal(0, code)
  end)
end)
