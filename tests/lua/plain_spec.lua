local support = require "support"

-- Code of README.md that runs as it is printed.
local function readme()
  local file = assert(io.open "README.md")
  local text = file:read "*a"
  file:close()
  return (text:match "```lua\n(.-)```")
end

describe("plain Lua, without the host", function()
  after_each(support.clean)

  it("runs README's live query", function()
    local code = readme():gsub("local:app.db", "local:" .. support.scratch())
    local text, status = support.plain(support.write(code))
    assert.equal("1 things to do\n0 things to do\n", text)
    assert.equal(0, status)
  end)

  it("connects to the backend in the process before init returns", function()
    local text = support.plain("-e", [[
      local db = require "instant".init { apiURI = "local::memory:" }
      print(db:getConnectionStatus())
    ]])
    assert.equal("authenticated\n", text)
  end)

  it("does not wait in init where nothing may wait", function()
    local text = support.plain("-e", [[
      local instant = require "instant"
      local function try(where)
        local db = instant.init { apiURI = "local::memory:", __extraDedupeKey = where }
        print(where, db:getConnectionStatus())
        db:shutdown()
      end
      coroutine.wrap(try) "coroutine"
      local core = require "instant.core"
      core.timer(0, 0, function() try "callback" end)
      instant.run()
    ]])
    assert.equal("coroutine\tconnecting\ncallback\tconnecting\n", text)
  end)
end)
