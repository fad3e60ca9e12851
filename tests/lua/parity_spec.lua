local instant = require "instant"
local support = require "support"

-- Names in backquotes behind the first column of the tables of lua/docs/parity.md, and what they begin with.
local function names()
  local list = {}
  local file = assert(io.open "lua/docs/parity.md")
  for line in file:lines() do
    local here = line:match "^| `[^|]*|(.*)$"
    for name in (here or ""):gmatch "`([%a_][%w_.]*)`" do
      if name:find(".", 1, true) then list[#list + 1] = name end
    end
  end
  file:close()
  return list
end

describe("the parity table", function()
  after_each(support.clean)

  it("names what there is", function()
    local db = support.client()
    local objects = {
      instant = instant,
      db = db,
      admin = instant.admin.init { appId = instant.id(), adminToken = instant.id(), apiURI = "http://127.0.0.1:1" },
      chunk = instant.tx.todos[instant.id()],
      attr = instant.i.string(),
      room = db:joinRoom("chat", "parity"),
    }
    local count, missing = 0, {}
    for _, name in ipairs(names()) do
      local at
      for part in name:gmatch "[^.]+" do
        if at == nil then at = objects[part] else at = at[part] end
        if at == nil then
          missing[#missing + 1] = name
          break
        end
      end
      count = count + 1
    end
    assert.same({}, missing)
    assert.is_true(count > 80, "only " .. count .. " names were found")
    db:shutdown()
  end)
end)
