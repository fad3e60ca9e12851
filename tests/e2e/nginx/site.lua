--- What the test's nginx answers; INSTANT_APP_ID and INSTANT_URI say with which app.

local nginx = require "instant.nginx"
local site = {}
local core, instant, db, todos, room
local changes = 0

function site.start()
  db = nginx.init {
    appId = os.getenv "INSTANT_APP_ID", apiURI = os.getenv "INSTANT_URI", reconnect = "linear",
  }
  core, instant = require "instant.core", require "instant"
  todos = nginx.live(db, { todos = {} }, { onChange = function() changes = changes + 1 end })
  room = db:joinRoom("site", "workers", { initialPresence = { pid = ngx.worker.pid() } })
end

local function answer(value)
  value.worker = ngx.worker.pid()
  ngx.print(core.json_encode(value))
end

local routes = {}

function routes.state()
  local result = todos:get(tonumber(ngx.var.arg_wait))
  local presence = room.getPresence()
  local peers = {}
  for _, peer in pairs(presence and presence.peers or {}) do peers[#peers + 1] = peer.pid end
  answer {
    status = db:getConnectionStatus(), todos = result and result.data and result.data.todos or instant.null,
    error = result and result.error and result.error.message, peers = instant.array(peers), changes = changes,
  }
end

function routes.add()
  local id = instant.id()
  local written = db:transact(db.tx.todos[id]:update { title = ngx.unescape_uri(ngx.var.arg_title) })
  if ngx.var.arg_fire then
    written:catch(function() end)
    return answer { id = id, shown = #todos.result.data.todos }
  end
  local done, err = written:await()
  answer { id = id, status = done and done.status, error = err and err.message }
end

function routes.guest()
  local signed, err = db.auth.signInAsGuest():await()
  answer { user = signed and signed.user.id, error = err and err.message }
end

function routes.once()
  local result, err = db:queryOnce({ todos = {} }):await()
  answer { count = result and #result.data.todos, error = err and err.message }
end

function routes.get()
  local result, err = instant.http.request {
    url = ngx.unescape_uri(ngx.var.arg_url), timeout = tonumber(ngx.var.arg_timeout),
    redirects = tonumber(ngx.var.arg_redirects), maxResponse = tonumber(ngx.var.arg_most),
    headers = { Authorization = "Bearer secret", Cookie = "a=b", ["X-Other"] = "kept" },
    method = ngx.var.arg_method and ngx.unescape_uri(ngx.var.arg_method),
  }:await()
  answer {
    status = result and result.status, size = result and #result.body, body = result and result.body:sub(1, 100),
    type = err and err.type, message = err and err.message,
  }
end

function routes.sleep()
  instant.sleep(20)
  answer { slept = true }
end

function routes.refused()
  local texts = {}
  for i, config in ipairs {
    { apiURI = "local:app.db" }, { appId = instant.id(), storage = "sqlite:x.db" },
    { appId = instant.id(), networkListener = "netlink" }, {}, "x",
  } do
    local _, why = pcall(nginx.init, config)
    texts[i] = tostring(why)
  end
  answer { texts = texts }
end

function site.answer()
  routes[ngx.var.uri:sub(2)]()
end

return site
