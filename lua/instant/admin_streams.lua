--- `db.streams` of the admin SDK: those of a client that is there while streams are open, and acts for
--- whom the admin client acts for. (The official SDK carries them over server-sent events; what is said
--- on the connection is the same.)

local bind = require "instant.bind"
local core = require "instant.core"
local request = require "instant.admin_request"

local function options_of(config, as)
  local options = {
    appId = config.appId, apiURI = config.apiURI, caFile = config.caFile,
    __extraDedupeKey = "streams of an admin " .. core.id(),
  }
  if not as then
    options.adminToken = config.adminToken
  elseif as.token ~= nil then
    options.refreshToken = as.token
  elseif as.email ~= nil then
    error(request.error("Streams act for users by token: make one with `db.auth:createToken` and pass "
      .. "{token=} to `asUser`."), 0)
  end
  return options
end

--- `config` is that of request.config.
return function(config, as)
  local client
  local function streams()
    -- Not at the top: the module of clients loads this one.
    if not client then
      local made = require("instant").init(options_of(config, as))
      made._whenIdle = function()
        if client == made then client = nil end
        made:shutdown()
      end
      client = made
    end
    return client.streams
  end
  return bind({}, {
    createWriteStream = function(_, opts) return streams().createWriteStream(opts) end,
    createReadStream = function(_, opts) return streams().createReadStream(opts) end,
  })
end
