--- What the site does: one client a worker, a live query, a room.

local core

local site = {}

function site.start()
  local nginx = require "instant.nginx"
  core = require "instant.core"
  site.instant = require "instant"
  site.db = nginx.init {
    appId = os.getenv "INSTANT_APP_ID",
    apiURI = os.getenv "INSTANT_URI" or "http://127.0.0.1:8888",
  }
  site.todos = nginx.live(site.db, { todos = { ["$"] = { order = { serverCreatedAt = "desc" }, limit = 20 } } })
  site.room = site.db:joinRoom("site", "workers", { initialPresence = { worker = ngx.worker.pid(), visits = 0 } })
end

function site.list()
  local result = site.todos:get(1)
  if not result or result.error then return ngx.exit(503) end
  ngx.print(core.json_encode(result.data.todos))
end

function site.add()
  ngx.req.read_body()
  local title = ngx.req.get_body_data()
  if not title then return ngx.exit(400) end
  local id = site.instant.id()
  local done, err = site.db:transact(site.db.tx.todos[id]:update { title = title, done = false }):await()
  if not done then
    ngx.status = 400
    ngx.print(core.json_encode { error = err.message })
    return
  end
  ngx.status = done.status == "synced" and 201 or 202
  ngx.print(core.json_encode { id = id, status = done.status })
end

local visits = 0

function site.visitors()
  visits = visits + 1
  site.room:publishPresence { visits = visits }
  local presence = site.room:getPresence {}
  local total = visits
  for _, peer in pairs(presence and presence.peers or {}) do total = total + (peer.visits or 0) end
  ngx.say(total)
end

return site
