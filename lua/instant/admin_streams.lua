--- `db.streams` of the admin SDK: those of a client that is there while streams are open, and acts for
--- whom the admin client acts for. (The official SDK carries them over server-sent events; what is said
--- on the connection is the same. A connection like ours takes a user's token only, so for an email one
--- is made, and taken back when the last stream has ended.)

local admin_auth = require "instant.admin_auth"
local bind = require "instant.bind"
local core = require "instant.core"
local request = require "instant.admin_request"
local streams = require "instant.streams"

local function options_of(config, as)
  local options = {
    appId = config.appId, apiURI = config.apiURI, caFile = config.caFile,
    __extraDedupeKey = "streams of an admin " .. core.id(),
  }
  if not as then
    options.adminToken = config.adminToken
  elseif as.email ~= nil then
    options.__awaitsUser = true
  else
    options.refreshToken = as.token
  end
  return options
end

-- As with the header `as-email` (session.md 7.1): nobody of that email is an error, and is not made.
local function sign_in(client, config, email)
  local auth = admin_auth(config)
  return auth:getUser({ email = email }):next(function(user)
    if not user then error(core.error("record-not-found", "Record not found: app-user"), 0) end
    return auth:createToken { id = user.id }
  end):next(function(token)
    if not client._core:user_loaded { refresh_token = token } then -- it ended meanwhile
      auth:signOut({ refresh_token = token }):catch(function() end)
    end
    client._token = token
  end, function(err)
    streams.shutdown(client, err)
    client:shutdown()
  end)
end

-- Of what the backend refuses it says nothing more: the token is of no use to anybody.
local function sign_out(client, config)
  local token = client._token
  client._token = nil
  if token then admin_auth(config):signOut({ refresh_token = token }):catch(function() end) end
end

--- `config` is that of request.config.
return function(config, as)
  local client
  local function current()
    if client then return client.streams end
    local by_email = as and as.token == nil and as.guest == nil and as.email
    if by_email then
      local headers, err = request.headers(config, as)
      if not headers then error(err, 0) end
    end
    -- Not at the top: the module of clients loads this one.
    local made = require("instant").init(options_of(config, as))
    made._whenIdle = function()
      if client == made then client = nil end
      sign_out(made, config)
      made:shutdown()
    end
    client = made
    if by_email then sign_in(made, config, by_email) end
    return made.streams
  end
  return bind({}, {
    createWriteStream = function(_, opts) return current().createWriteStream(opts) end,
    createReadStream = function(_, opts) return current().createReadStream(opts) end,
  })
end
