-- lua/docs/reference.md is what its generator makes of the annotations.

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

describe("the reference", function()
  it("is up to date", function()
    local made = output(os.getenv "INSTANT_HOST" .. " lua/docs/generate.lua -")
    assert.is_true(#made > 1000)
    assert.is_true(made == read "lua/docs/reference.md", "run: instant-lua lua/docs/generate.lua")
  end)

  it("has every file of annotations", function()
    local generator = read "lua/docs/generate.lua"
    for name in output("ls lua/instant"):gmatch "(meta[%w_]*)%.lua" do
      assert.is_truthy(generator:find('"' .. name .. '"', 1, true), name .. ".lua is not in lua/docs/generate.lua")
    end
  end)
end)
