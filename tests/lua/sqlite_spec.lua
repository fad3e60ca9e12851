-- A program that keeps nothing on disk runs without SQLite.

local support = require "support"

local PROGRAM = [[
  local instant = require "instant"
  local function is_loaded()
    local maps = assert(io.open("/proc/self/maps")):read "*a"
    return maps:find("libsqlite3", 1, true) ~= nil
  end
  local db = instant.init { appId = instant.id(), apiURI = "http://127.0.0.1:1" }
  db:subscribeQuery({ todos = {} }, function() end)
  instant.step()
  print("client", is_loaded())
  instant.init { apiURI = "local:" .. arg[1] }
  print("backend", is_loaded())
  os.exit(0)
]]

describe("SQLite", function()
  after_each(support.clean)

  for name, run in pairs { host = support.host, module = support.plain } do
    it("is loaded by the " .. name .. " only when it is needed", function()
      local text = run(support.write(PROGRAM), support.scratch())
      text = text:gsub("instant: warning: Not connected[^\n]*\n", "") -- there in time or not
      assert.equal("client\tfalse\nbackend\ttrue\n", text)
    end)
  end
end)
