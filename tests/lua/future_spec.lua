local instant = require "instant"
local scheduler = require "instant.scheduler"

local function failures_of(fn)
  local texts, report, count = {}, scheduler.report, scheduler.failures
  scheduler.report = function(text) texts[#texts + 1] = text end
  fn()
  instant.sleep(1)
  scheduler.report, scheduler.failures = report, count
  return texts
end

describe("futures", function()
  it("give their value, or nil and the error", function()
    local future = instant.future()
    instant.after(1, function() future:resolve(42) end)
    assert.equal(42, future:await())
    assert.equal(42, future:await())
    local failed = instant.future()
    failed:reject "no"
    local value, err = failed:await()
    assert.is_nil(value)
    assert.equal("no", err)
  end)

  it("settle once", function()
    local future = instant.future()
    future:resolve(1)
    future:resolve(2)
    future:reject "late"
    assert.equal(1, future:await())
  end)

  it("chain", function()
    local future = instant.future()
    local result = future:next(function(n) return n + 1 end):next(function(n)
      local later = instant.future()
      instant.after(1, function() later:resolve(n * 10) end)
      return later
    end)
    future:resolve(1)
    assert.equal(20, result:await())
  end)

  it("pass errors down to the first catch", function()
    local skipped = false
    local result = instant.task(function() error("bad", 0) end)
      :next(function() skipped = true end)
      :catch(function(err) return "caught " .. err end)
    assert.equal("caught bad", result:await())
    assert.is_false(skipped)
  end)

  it("run finally either way", function()
    local count = 0
    local function bump() count = count + 1 end
    local good, bad = instant.future(), instant.future()
    good:resolve(1)
    bad:reject "x"
    local _, err = bad:finally(bump):await()
    assert.equal(1, good:finally(bump):await())
    assert.equal("x", err)
    assert.equal(2, count)
  end)

  it("call handlers later, never inside the call", function()
    local called = false
    local future = instant.future()
    future:resolve(1)
    local next = future:next(function() called = true end)
    assert.is_false(called)
    next:await()
    assert.is_true(called)
  end)

  it("wait for all, or the first error", function()
    local function slow(ms, value)
      return instant.task(function()
        instant.sleep(ms)
        return value
      end)
    end
    assert.same({ "a", "b", 3 }, instant.all { slow(5, "a"), slow(1, "b"), 3 }:await())
    assert.same({}, instant.all({}):await())
    local _, err = instant.all { slow(1, "a"), instant.task(function() error("x", 0) end) }:await()
    assert.equal("x", err)
  end)

  it("report rejections that nobody looks at, with a traceback", function()
    local texts = failures_of(function()
      instant.task(function() error "nobody hears this" end)
      instant.future():reject "nor this"
      instant.task(function() error "but this" end):catch(function() end)
    end)
    assert.equal(2, #texts)
    local all = table.concat(texts, "\n")
    assert.matches("nobody hears this", all)
    assert.matches("future_spec.lua:%d+", all)
    assert.matches("traceback", all)
    assert.matches("nor this", all)
  end)
end)

describe("tasks", function()
  it("start at once and interleave at waits", function()
    local log = {}
    local function worker(name)
      for n = 1, 2 do
        log[#log + 1] = name .. n
        instant.sleep(1)
      end
    end
    local a, b = instant.task(worker, "a"), instant.task(worker, "b")
    assert.same({ "a1", "b1" }, log)
    instant.all({ a, b }):await()
    assert.same({ "a1", "b1", "a2", "b2" }, log)
  end)

  it("may await inside pcall", function()
    local ok, err = instant.task(function()
      return select(2, pcall(function()
        instant.sleep(1)
        error("after waiting", 0)
      end))
    end):await()
    assert.equal("after waiting", ok)
    assert.is_nil(err)
  end)

  it("refuse to wait in a coroutine that is no task", function()
    local co = coroutine.create(function() instant.sleep(1) end)
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("no task", err)
  end)

  it("run timers in order, and stop them", function()
    local log, count = {}, 0
    instant.after(20, function() log[#log + 1] = "late" end)
    instant.after(1, function() log[#log + 1] = "early" end)
    local stopped = instant.after(1, function() log[#log + 1] = "never" end)
    stopped:stop()
    stopped:stop()
    local every
    every = instant.every(1, function()
      count = count + 1
      if count == 3 then every:stop() end
    end)
    instant.sleep(60)
    assert.same({ "early", "late" }, log)
    assert.equal(3, count)
  end)

  it("check their arguments", function()
    assert.has_error(function() instant.sleep "x" end)
    assert.has_error(function() instant.sleep(-1) end)
    assert.has_error(function() instant.after(0 / 0, print) end)
    assert.has_error(function() instant.every(1, nil) end)
  end)

  it("go on after one of them failed", function()
    local done = false
    failures_of(function()
      instant.every(1, function() end):stop()
      instant.after(1, function() error "boom" end)
      instant.after(2, function() done = true end)
      instant.sleep(10)
    end)
    assert.is_true(done)
  end)
end)
