-- A meadow that everybody who runs this shares: players see each other walk, and plant flags that stay.
--
--     love examples/love [--api http://127.0.0.1:8888] [--app APP_ID] [--name NAME] [--headless SECONDS]
--
-- Arrow keys walk, space plants a flag. With --headless the player walks in a circle by itself, and says what it saw.

local instant = require "instant"

local SPEED, SIZE = 120, 400
local POLL_MS = 2       -- of a frame, for the database
local SHOW_EVERY = 0.1  -- seconds: positions go out ten times a second, whatever the frame rate

local db, room
local me = { x = SIZE / 2, y = SIZE / 2, age = 0, shown = 0 }
local peers, flags = {}, {}
local headless -- seconds left; nil: a person plays
local planted = 0

local function options_of(words)
  local options = {}
  for n = 1, #words, 2 do options[words[n]:match "^%-%-(%w+)$" or ""] = words[n + 1] end
  return options
end

local function complain(what, err)
  io.stderr:write(what, ": ", tostring(err), "\n")
end

local function plant()
  planted = planted + 1
  -- Shown at once; the future says later whether the backend took it.
  db:transact(db.tx.flags[instant.id()]:update { x = me.x, y = me.y, by = me.name, number = planted })
    :catch(function(err) complain("a flag was refused", err) end)
end

function love.load(words)
  local options = options_of(words)
  me.name = options.name or "somebody"
  headless = tonumber(options.headless)
  db = instant.init {
    appId = options.app or os.getenv "INSTANT_APP_ID",
    apiURI = options.api or os.getenv "INSTANT_CLI_API_URI" or "http://127.0.0.1:8888",
  }
  db:subscribeQuery({ flags = { ["$"] = { order = { serverCreatedAt = "desc" }, limit = 200 } } }, function(result)
    if result.error then return complain("the flags", result.error) end
    flags = result.data.flags
  end)
  room = db:joinRoom("meadow", "main", { initialPresence = { name = me.name, x = me.x, y = me.y } })
  room:subscribePresence({ user = false }, function(presence) peers = presence.peers end)
end

local function walk(dt)
  local function held(key) return love.keyboard.isDown(key) and 1 or 0 end
  me.x = math.max(0, math.min(SIZE, me.x + (held "right" - held "left") * SPEED * dt))
  me.y = math.max(0, math.min(SIZE, me.y + (held "down" - held "up") * SPEED * dt))
end

local function walk_by_itself(dt)
  headless = headless - dt
  me.x, me.y = SIZE / 2 + 100 * math.cos(me.age), SIZE / 2 + 100 * math.sin(me.age)
  if headless <= 0 then
    love.event.quit()
  elseif me.age >= planted then
    plant() -- one a second
  end
end

function love.update(dt)
  me.age = me.age + dt
  if headless then walk_by_itself(dt) else walk(dt) end
  if me.age - me.shown >= SHOW_EVERY then
    me.shown = me.age
    room:publishPresence { x = me.x, y = me.y }
  end
  db:poll { budget_ms = POLL_MS }
end

function love.keypressed(key)
  if key == "space" then plant() end
end

function love.draw()
  for _, flag in ipairs(flags) do love.graphics.print(flag.by .. " " .. flag.number, flag.x, flag.y) end
  for _, peer in pairs(peers) do
    love.graphics.circle("line", peer.x, peer.y, 8)
    love.graphics.print(peer.name, peer.x + 10, peer.y)
  end
  love.graphics.circle("fill", me.x, me.y, 8)
end

function love.quit()
  if headless then
    local names = {}
    for _, peer in pairs(peers) do names[#names + 1] = peer.name end
    table.sort(names)
    local others = names[1] and table.concat(names, ", ") or "nobody"
    print(("planted %d; saw %d flags and %s"):format(planted, #flags, others))
  end
  db:shutdown()
  instant.run() -- until the connection is closed
end
