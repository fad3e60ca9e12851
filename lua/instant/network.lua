--- What `networkListener` of `instant.init` may be, and who tells a client of the network.
--
-- Left out: the network is taken for there. "netlink": the kernel tells, and the client pauses and
-- resumes at once. A table, as the official client has it (session.md 5.15):
--
--     { getIsOnline = function() return true end,  -- or a future
--       listen = function(fn) ... return stop end } -- calls fn(isOnline) on changes

local Future = require "instant.future"

local network = {}

--- What is wrong with it; nil when nothing is.
function network.complaint(listener)
  if listener == nil or listener == "netlink" then return nil end
  if type(listener) ~= "table" then
    return '`networkListener` must be "netlink" or a table, got ' .. tostring(listener)
  end
  for _, name in ipairs { "getIsOnline", "listen" } do
    if type(listener[name]) ~= "function" then
      return ("`networkListener.%s` must be a function, got %s"):format(name, type(listener[name]))
    end
  end
end

--- Options of core.client for it.
function network.options(listener, options)
  options.network = listener == "netlink" and "netlink" or nil
  -- What one program says of its network is not said of another's connection.
  if type(listener) == "table" then options.own_connection = true end
  return options
end

local function tell(client, is_online)
  client:set_online(is_online and true or false)
end

--- Lets `listener` tell the core's `client`. Gives the function that ends it.
function network.attach(listener, client)
  if type(listener) ~= "table" then return function() end end
  local is_over, was_told = false, false
  local is_online = listener.getIsOnline()
  if Future.is(is_online) then
    is_online:next(function(value)
      -- What was told meanwhile is newer.
      if not is_over and not was_told then tell(client, value) end
    end)
  else
    tell(client, is_online)
  end
  local stop = listener.listen(function(value)
    was_told = true
    if not is_over then tell(client, value) end
  end)
  return function()
    if is_over then return end
    is_over = true
    if type(stop) == "function" then stop() end
  end
end

return network
