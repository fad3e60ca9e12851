--- Rooms: `db:joinRoom`, presence, topics, typing indicators.

local bind = require "instant.bind"
local core = require "instant.core"
local db = require "instant.db"
local task = require "instant.task"

local TYPING_TIMEOUT = 1000 -- ms, as @instantdb/react has it

local Room = {}

local function check(name, value, expected)
  if type(value) ~= expected then
    error(("%s: expected a %s, got %s"):format(name, expected, type(value)), 3)
  end
end

local function raise(listener, err)
  if not listener then error(err, 3) end
  return db.unsubscriber(listener)
end

-- As the core takes them; of the official options all but the deprecated name of one.
local function options_of(name, opts)
  if opts == nil then return nil end
  if type(opts) ~= "table" then
    error(("%s: expected a table of options, got %s"):format(name, type(opts)), 3)
  end
  return {
    keys = opts.keys,
    peers = opts.peers,
    withoutUser = opts.user == false or nil,
    initialPresence = opts.initialPresence or opts.initialData,
  }
end

--- Ends the stay, unless somebody still listens: then the end of the last listener does.
function Room:leaveRoom()
  self._db._core:leave_room(self.id)
end

--- Shows `{...shown, ...data}` to the others; `instant.null` takes a key's value away.
function Room:publishPresence(data)
  return self._db._core:publish_presence(self.id, data)
end

--- What is known now: `{user=, peers=, isLoading=, error=}`, or nil. Options as for subscribePresence.
function Room:getPresence(opts)
  return self._db._core:get_presence(self.id, options_of("getPresence", opts))
end

--- Calls `fn{user=, peers=, isLoading=, error=}` now and on every change of what the options choose:
--- `keys`, `peers` (lists), `user = false`; `initialPresence` is what to show unless something is.
--- Returns the function that ends it, and with the last one the stay in the room.
function Room:subscribePresence(opts, fn)
  check("subscribePresence", fn, "function")
  return raise(self._db._core:subscribe_presence(self.type, self.id,
    options_of("subscribePresence", opts), db.callback(fn)))
end

--- Sends `data` to all others who listen to this topic, when the room has been entered.
function Room:publishTopic(topic, data)
  check("publishTopic", topic, "string")
  return self._db._core:publish_topic(self.id, topic, data)
end

--- Calls `fn(data, peer)` for what others send; `peer` is what the sender shows, nil when not known.
function Room:subscribeTopic(topic, fn)
  check("subscribeTopic", topic, "string")
  check("subscribeTopic", fn, "function")
  return raise(self._db._core:subscribe_topic(self.type, self.id, topic, db.callback(fn)))
end

-- ---- typing ----

local Typing = {}

local function still(self)
  if self._timer then self._timer:stop() end
  self._timer = nil
end

--- Says that somebody types here; taken back after `timeout` ms without another call.
function Typing:setActive(is_active)
  still(self)
  self._isActive = is_active
  self._room.publishPresence { [self._name] = is_active }
  if not is_active or self._timeout == 0 then return end
  self._timer = task.after(self._timeout, function()
    self._timer, self._isActive = nil, false
    self._room.publishPresence { [self._name] = core.null }
  end)
end

--- Of a key, by its name: with `stopOnEnter` "Enter" ends it.
function Typing:onKeyDown(key)
  self.setActive(not (self._stopOnEnter and key == "Enter"))
end

function Typing:onBlur()
  self.setActive(false)
end

--- Ends it, and takes back what it says.
function Typing:stop()
  if self._isActive then self.setActive(false) end
  still(self)
  if self._unsubscribe then self._unsubscribe() end
  self._unsubscribe = nil
end

-- Peers who type, by their ids, so that the order is always the same.
local function typing_peers(room, name)
  local presence = room.getPresence()
  local active = {}
  for _, peer in pairs(presence and presence.peers or {}) do
    if peer[name] == true then active[#active + 1] = peer end
  end
  table.sort(active, function(a, b) return a.peerId < b.peerId end)
  return active
end

--- Who types in the input of this name: what `useTypingIndicator` of @instantdb/react is, as an object
--- with `active` (the peers), `setActive(bool)`, `onKeyDown(key)`, `onBlur()` and `stop()`. Options:
--- `timeout` ms (1000; 0: none), `stopOnEnter`, `writeOnly` (`active` stays empty), `onChange(active)`.
function Room:typingIndicator(input_name, opts)
  check("typingIndicator", input_name, "string")
  opts = opts or {}
  local typing = {
    active = {},
    _room = self,
    _name = input_name,
    _timeout = opts.timeout == core.null and 0 or opts.timeout or TYPING_TIMEOUT,
    _stopOnEnter = opts.stopOnEnter,
  }
  bind(typing, Typing)
  if not opts.writeOnly then
    typing._unsubscribe = self.subscribePresence({ keys = { input_name }, user = false }, function()
      local before = #typing.active
      typing.active = typing_peers(self, input_name)
      if opts.onChange and (before > 0 or #typing.active > 0) then opts.onChange(typing.active) end
    end)
  end
  return typing
end

-- ---- of a client ----

--- Enters a room, across reconnects, until `room.leaveRoom()`. `opts.initialPresence` is what to show
--- first. Returns the room: its functions can be called with a dot or a colon.
function db.methods:joinRoom(room_type, room_id, opts)
  room_type, room_id = room_type or "_defaultRoomType", room_id or "_defaultRoomId"
  check("joinRoom", room_type, "string")
  check("joinRoom", room_id, "string")
  local joined, err = self._core:join_room(room_type, room_id, opts and opts.initialPresence)
  if not joined then error(err, 2) end
  return bind({ _db = self, type = room_type, id = room_id }, Room)
end

--- What is known of a room that was joined; nil when it was not.
function db.methods:getPresence(_, room_id, opts)
  check("getPresence", room_id, "string")
  return self._core:get_presence(room_id, options_of("getPresence", opts))
end

return Room
