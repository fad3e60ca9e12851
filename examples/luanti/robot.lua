-- A player without a client, for tests and empty worlds: walks in a circle and digs once a second.
local inventory = core.create_detached_inventory("instant_robot", {})
inventory:set_size("main", 32)

local robot = { age = 0, dug = 0 }

function robot.get_player_name() return "robot" end
function robot.get_inventory() return inventory end
function robot:get_pos()
  return { x = 10 * math.cos(self.age), y = 8, z = 10 * math.sin(self.age) }
end

--- True when it dug something.
function robot:step(dtime)
  self.age = self.age + dtime
  if self.age < self.dug + 1 then return false end
  self.dug = self.dug + 1
  inventory:add_item("main", core.registered_aliases.mapgen_stone or "mapgen_stone")
  return true
end

return robot
