--- The client of the benchmark: one live query, which changes all the time.

local site = {}

function site.start()
  local nginx = require "instant.nginx"
  site.db = nginx.init { appId = os.getenv "INSTANT_APP_ID", apiURI = os.getenv "INSTANT_URI" }
  site.todos = nginx.live(site.db, { todos = {} }, { onChange = function() site.changes = (site.changes or 0) + 1 end })
end

return site
