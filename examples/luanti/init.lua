-- A world and its database, live: README.md here.

local ie = core.request_insecure_environment()
  or error "instant is not among secure.trusted_mods of minetest.conf"
local folder = core.get_modpath(core.get_current_modname())
local instant = dofile(folder .. "/load.lua")(ie)
ie = nil -- luacheck: ignore

local POLL_MS = 5     -- of a server's step, for the database
local SHOW_EVERY = 0.2 -- seconds between positions
local SAVE_EVERY = 1  -- seconds between writes of a player who changed
local MAX_CHAT = 300  -- bytes that come from outside

local i = instant.i
local function setting(name) return core.settings:get("instant." .. name) end

local function complain(text) core.log("error", "[instant] " .. tostring(text)) end
instant.onError(complain)

local db = instant.init {
  appId = setting "app_id" or error "instant.app_id is missing in minetest.conf",
  apiURI = setting "api_uri" or "http://127.0.0.1:8888",
  adminToken = setting "admin_token",
  schema = i.schema {
    entities = {
      players = i.entity {
        name = i.string():unique():indexed(), score = i.number():indexed(), inventory = i.json(),
      },
      gifts = i.entity { player = i.string(), item = i.string(), given = i.boolean():indexed() },
    },
  },
}
local room = db:joinRoom("world", setting "world" or "main", { initialPresence = { players = {} } })
local storage = core.get_mod_storage()
local robot = core.settings:get_bool "instant.robot" and dofile(folder .. "/robot.lua") or nil

local function connected()
  local players = core.get_connected_players()
  players[#players + 1] = robot
  return players
end

local function connected_as(name)
  if robot and name == "robot" then return robot end
  return core.get_player_by_name(name)
end

-- ---- players: the world has the truth, the database shows it ----

local changed = {} -- names of those whose record is old

local function items_of(player)
  local items = {}
  for _, stack in ipairs(player:get_inventory():get_list "main") do
    if not stack:is_empty() then items[#items + 1] = stack:to_string() end
  end
  return instant.array(items)
end

local function record_of(player)
  local name = player:get_player_name()
  changed[name] = nil
  return db.tx.players[instant.lookup("name", name)]:update {
    inventory = items_of(player), score = storage:get_int("score:" .. name),
  }
end

local function save_changed()
  local chunks = {}
  for name in pairs(changed) do
    local player = connected_as(name)
    if player then chunks[#chunks + 1] = record_of(player) end
  end
  changed = {}
  if not chunks[1] then return nil end
  local written = db:transact(chunks)
  written:catch(complain)
  return written
end

local function has_changed(player) changed[player:get_player_name()] = true end

local function has_dug(player)
  local key = "score:" .. player:get_player_name()
  storage:set_int(key, storage:get_int(key) + 1)
  has_changed(player)
end

core.register_on_joinplayer(has_changed)
core.register_on_leaveplayer(function(player)
  if changed[player:get_player_name()] then db:transact(record_of(player)):catch(complain) end
end)
core.register_on_player_inventory_action(has_changed)
core.register_on_craft(function(_, player) has_changed(player) end)
core.register_on_item_eat(function(_, _, _, player) has_changed(player) end)
core.register_on_placenode(function(_, _, player) if player then has_changed(player) end end)
core.register_on_dignode(function(_, _, player) if player then has_dug(player) end end)

-- ---- gifts: somebody outside gives, the player has it and the gift is marked in one transaction ----

local gifts = {}

local function hand_out()
  local list = gifts
  gifts = {} -- those that stay come with the next result
  for _, gift in ipairs(list) do
    local player = type(gift.player) == "string" and connected_as(gift.player)
    local stack = ItemStack(type(gift.item) == "string" and gift.item or "")
    if player and not stack:is_empty() and stack:is_known() and player:get_inventory():room_for_item("main", stack) then
      player:get_inventory():add_item("main", stack)
      db:transact { db.tx.gifts[gift.id]:update { given = true }, record_of(player) }:catch(complain)
    end
  end
end

db:subscribeQuery({ gifts = { ["$"] = { where = { given = false } } } }, function(result)
  if result.error then return complain(result.error) end
  gifts = result.data.gifts
end)

-- ---- the leaderboard ----

local top = {}

db:subscribeQuery({ players = { ["$"] = { order = { score = "desc" }, limit = 10 } } }, function(result)
  if result.error then return complain(result.error) end
  top = result.data.players
end)

core.register_chatcommand("top", {
  description = "The ten who dug most, on all servers",
  func = function()
    local lines = {}
    for n, player in ipairs(top) do lines[n] = ("%d. %s %d"):format(n, player.name, player.score) end
    return true, table.concat(lines, "\n")
  end,
})

-- ---- chat with the outside ----

core.register_on_chat_message(function(name, text)
  room:publishTopic("chat", { name = name, text = text })
end)

room:subscribeTopic("chat", function(message)
  if type(message) ~= "table" then return end -- anybody may send anything
  local name, text = message.name, message.text
  if type(name) ~= "string" or type(text) ~= "string" then return end
  core.chat_send_all(core.strip_colors(("<%s> %s"):format(name:sub(1, 30), text:sub(1, MAX_CHAT))))
  core.log("action", "[instant] chat from outside: " .. name:sub(1, 30))
end)

-- ---- every step ----

local age, shown, saved, last = 0, 0, 0, nil

local function show_positions()
  local players, text = {}, {}
  for _, player in ipairs(connected()) do
    local pos = vector.round(player:get_pos())
    players[player:get_player_name()] = { x = pos.x, y = pos.y, z = pos.z }
    text[#text + 1] = player:get_player_name() .. core.pos_to_string(pos)
  end
  text = table.concat(text)
  if text == last then return end -- nobody moved
  last = text
  room:publishPresence { players = players }
end

core.register_globalstep(function(dtime)
  age = age + dtime
  if robot and robot:step(dtime) then has_dug(robot) end
  if age - shown >= SHOW_EVERY then
    shown = age
    show_positions()
  end
  if age - saved >= SAVE_EVERY then
    saved = age
    hand_out()
    save_changed()
  end
  db:poll { budget_ms = POLL_MS }
end)

core.register_on_shutdown(function()
  local written = save_changed()
  if written then written:await() end -- confirmed, or given up because nobody answers
  db:shutdown()
  instant.run() -- until the connection is closed
end)
