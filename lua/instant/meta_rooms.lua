---@meta instant
--- Rooms: presence and topics.

local Db = {}

--- Enters a room, across reconnects, until `room.leaveRoom()`. Joining alone does not keep the program
--- running; listeners do, and messages that are not sent yet.
---@param roomType? string
---@param roomId? string what tells rooms apart
---@param opts? { initialPresence?: table } what to show first
---@return instant.Room
function Db:joinRoom(roomType, roomId, opts) end

--- What is known of a room that was joined; nil when it was not.
---@param roomType? string
---@param roomId string
---@param opts? instant.PresenceOpts
---@return instant.Presence?
function Db:getPresence(roomType, roomId, opts) end

---@class instant.PresenceOpts
---@field keys? string[] nothing but these
---@field peers? string[] nobody but these
---@field user? boolean false: without oneself
---@field initialPresence? table what to show unless something is shown

---@class instant.Presence
---@field user? table what this client shows, with `peerId`
---@field peers table<string, table> what the others show, each with `peerId`
---@field isLoading boolean not connected: peers are as last heard
---@field error? instant.Error why the backend does not let us in, or show this

--- Functions can be called with a dot or a colon.
---@class instant.Room
---@field type string
---@field id string
local Room = {}

--- Ends the stay, unless somebody still listens: then the end of the last listener does.
function Room:leaveRoom() end

--- Shows `{...shown, ...data}` to the others. `nil, err` when the room was left.
---@param data table
---@return true?, instant.Error?
function Room:publishPresence(data) end

---@param opts? instant.PresenceOpts
---@return instant.Presence?
function Room:getPresence(opts) end

--- Calls `fn` now and on every change of what the options choose. Returns the function that ends it,
--- and with the last one the stay in the room.
---@param opts instant.PresenceOpts?
---@param fn fun(presence: instant.Presence)
---@return fun() unsubscribe
function Room:subscribePresence(opts, fn) end

--- Sends `data` to all others who listen to this topic, when the room has been entered. `nil, err`
--- when it was left, or too much waits.
---@param topic string
---@param data any
---@return true?, instant.Error?
function Room:publishTopic(topic, data) end

--- Calls `fn` for what others send; `peer` is what the sender shows, nil when not known.
---@param topic string
---@param fn fun(data: any, peer?: table)
---@return fun() unsubscribe
function Room:subscribeTopic(topic, fn) end

---@class instant.TypingOpts
---@field timeout? number ms after which typing has ended, 1000; 0: never by itself
---@field stopOnEnter? boolean
---@field writeOnly? boolean `active` stays empty
---@field onChange? fun(active: table[])

--- Who types in the input of this name: `useTypingIndicator` of @instantdb/react, as an object.
---@param inputName string
---@param opts? instant.TypingOpts
---@return instant.Typing
function Room:typingIndicator(inputName, opts) end

--- Functions can be called with a dot or a colon.
---@class instant.Typing
---@field active table[] peers who type, with all that they show
local Typing = {}

---@param isActive boolean
function Typing:setActive(isActive) end

---@param key string "Enter" ends it with `stopOnEnter`
function Typing:onKeyDown(key) end

function Typing:onBlur() end

--- Ends it, and takes back what it says.
function Typing:stop() end

return Db
