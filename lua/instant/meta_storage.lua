---@meta instant
--- What a client keeps: results, writes that were not sent, the user, local ids.

---@class instant.Config
--- Where it is kept: "memory" (the default: not at all), "file:FOLDER" (JSON files), "sqlite:FILE", or
--- a store of your own: a function `(appId, storeName)` that makes one, or a table with such a `new`.
--- One client at a time has an app's part of a storage. With a storage a write made while there is no
--- connection is told "enqueued", and shown, when it is kept; it is sent by the next run if need be.
--- Who is signed in is never in a folder's or file's plain text: without the option `vault` the record is in the
--- desktop's keychain where one answers, else in an encrypted file with its key beside the storage (mode 0600), else in
--- memory with a warning. A record in plain text, as earlier versions kept it, is moved there. A keychain that does not
--- answer, or an altered file, is an error of type "vault" of `instant.init`: nobody is signed out by it. What a store of
--- your own does with the record (of `kv`, under "currentUser") is its affair.
---@field storage? string|table|fun(appId: string, storeName: string): instant.Store

--- Texts by key; what a text says is the client's affair. Each method may return a future, and fails
--- by raising, by `nil, err`, or by a rejected future.
---@class instant.Store
---@field getItem fun(self: instant.Store, key: string): string? nil when there is none
---@field multiSet fun(self: instant.Store, pairs: string[][]) `{{key, text}, ...}`; kept when it returns
---@field removeItem fun(self: instant.Store, key: string)
---@field getAllKeys fun(self: instant.Store): string[]

local Db = {}

--- A UUID that is the same for the same name in every run on the same storage; without a storage, in
--- this run. The future fails when the storage does.
---@param name string
---@return instant.Future<string>
function Db:getLocalId(name) end
