-- The Lua module's side of a webhook: makes one by the manager, answers what arrives by
-- processRequest, and says on stdout what was told. Arguments: api, app id, admin token, port.
local instant = require "instant"

local api, app_id, token = arg[1], arg[2], arg[3]
local hooks = instant.admin.Webhooks { appId = app_id, adminToken = token, apiURI = api }
local helpers = hooks.helpers()
local handlers = helpers.combineHandlers(
  helpers.typedHandlers("todos", "create", function(record) print("create " .. record.after.title) end),
  helpers.typedHandlers("$default", function(record) print("other " .. record.action) end))

for line in io.lines() do
  local command, rest = line:match "^(%S+) ?(.*)$"
  if command == "add" then
    local webhook = assert(hooks.manager.create {
      url = rest, namespaces = { "todos" }, actions = { "create", "update", "delete" },
    }:await())
    print("made " .. webhook.id .. " " .. webhook.status)
  elseif command == "request" then
    local signature, body = rest:match "^(%S+) (.*)$"
    local request = { headers = { ["instant-signature"] = signature }, body = body }
    local _, err = hooks.processRequest(handlers, request):await()
    print(err and "refused " .. tostring(err) or "processed")
  elseif command == "events" then
    local page = assert(hooks.manager.listEvents(rest):await())
    for _, event in ipairs(page.events) do
      print(("event %s %s %d"):format(event.isn, event.status, #(event.attempts or {})))
    end
    print "end"
  end
end
