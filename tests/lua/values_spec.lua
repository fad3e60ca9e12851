local instant = require "instant"
local core = require "instant.core"

local function encode(value)
  local text, err = core.json_encode(value)
  return text or err.message
end

describe("values", function()
  it("writes tables with sorted keys", function()
    assert.equal('{"a":1,"b":[1,2],"c":{"d":true}}', encode { c = { d = true }, a = 1, b = { 1, 2 } })
  end)

  it("writes 1 and 1.0 alike, and floats as JavaScript does", function()
    assert.equal("[1,1,1.5,1e+21,-0.25]", encode { 1, 1.0, 1.5, 1e21, -0.25 })
  end)

  it("tells an empty list from an empty object", function()
    assert.equal('{"a":[],"b":{}}', encode { a = instant.array {}, b = {} })
  end)

  it("writes instant.null and dates", function()
    assert.equal('{"a":null,"b":"2026-01-31T12:00:00.000Z"}',
      encode { a = instant.null, b = instant.date "2026-01-31T12:00:00Z" })
  end)

  it("names the path of what it refuses", function()
    local cycle = {}
    cycle.a = { b = cycle }
    local deep = {}
    local at = deep
    for _ = 1, 200 do
      at.x = {}
      at = at.x
    end
    for expected, value in pairs {
      ["value.a.b: a function is not a value"] = { a = { b = print } },
      ["value[2].x: NaN is not a value"] = { 1, { x = 0 / 0 } },
      ["value: infinity is not a value"] = math.huge,
      ["value.a.b: the table contains itself"] = cycle,
      ["value.a: a table is either a list or an object, this one is both"] = { a = { 1, x = 2 } },
      ["value.a: a list must not have holes; put instant.null there"] = { a = { 1, nil, 3 } },
      ["value.a: keys must be strings, or 1, 2, 3 ... for a list"] = { a = { [0.5] = 1 } },
      ["value.s: the string is not valid UTF-8"] = { s = "\xff" },
      ["value.c: a thread is not a value"] = { c = coroutine.create(print) },
    } do
      assert.equal(expected, encode(value))
    end
    if math.type then -- Lua with integers
      assert.equal("value.n: integers beyond 2^53 lose digits; send a string",
        encode { n = math.tointeger(2 ^ 55) + 1 })
    end
    assert.matches("nested too deep", encode(deep))
    assert.is_nil(core.json_encode(print))
  end)

  it("reads integers as integers and keeps empty lists", function()
    local value = core.json_decode '{"i":1,"f":1.5,"big":9007199254740992,"list":[],"null":null,"s":"\\u00e9\\u0000"}'
    if math.type then -- Lua with integers
      assert.equal("integer", math.type(value.i))
      assert.equal("float", math.type(value.f))
    end
    assert.equal(2 ^ 53, value.big)
    assert.equal("[]", encode(value.list))
    assert.equal(instant.null, value.null)
    assert.equal("é\0", value.s)
  end)

  it("refuses what is not JSON", function()
    for _, text in ipairs { "", "{", "[1,]", "nul", "1 2", "{'a':1}", "\"\1\"" } do
      local value, err = core.json_decode(text)
      assert.is_nil(value)
      assert.equal("param-malformed", err.type)
    end
  end)

  it("compares and prints dates", function()
    local a, b = instant.date "2026-01-01", instant.date(1767225600000)
    assert.is_true(a == b)
    assert.is_true(a < instant.date(b.ms + 1))
    assert.equal("2026-01-01T00:00:00.000Z", tostring(a))
    assert.has_error(function() instant.date "no date at all" end)
  end)

  it("makes ids", function()
    local seen = {}
    for _ = 1, 100 do
      local id = instant.id()
      assert.matches("^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$", id)
      assert.is_nil(seen[id])
      seen[id] = true
    end
  end)
end)
