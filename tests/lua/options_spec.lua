local options = require "instant.options"

describe("the command line", function()
  local known = { values = { "data", "app-id" }, flags = { "yes" }, arguments = { "archive" } }
  local function parse(...) return options.parse({ ... }, known) end

  it("has values, flags and arguments in any order", function()
    assert.same({ data = "d", ["app-id"] = "new", yes = true, archive = "a.zip" },
      parse("--data", "d", "a.zip", "--yes", "--app-id=new"))
    assert.same({}, parse())
    assert.same({ archive = "-" }, parse "-")
    assert.same({ data = "b" }, parse("--data=a", "--data=b"))
    assert.same({ data = "a=b" }, parse "--data=a=b")
  end)

  it("asks for help before anything else is wrong", function()
    assert.same({ help = true }, parse "--help")
    assert.same({ help = true }, parse("--data", "d", "-h"))
  end)

  it("says what is wrong", function()
    local function problem(text, ...)
      local found, said = parse(...)
      assert.is_nil(found)
      assert.equal(text, said)
    end
    problem("--data needs a value", "--data")
    problem("--data needs a value", "--data=")
    problem("--yes takes no value", "--yes=1")
    problem("unknown option --nope (see --help)", "--nope")
    problem("unknown option -x (see --help)", "-x")
    problem("one argument too many: b (see --help)", "a", "b")
  end)
end)
