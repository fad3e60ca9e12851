---@meta instant
--- Files: `db.storage`, of a client and of the admin SDK.

---@class instant.Db
---@field storage instant.Storage
local Db = {}

---@class instant.AdminDb
---@field storage instant.AdminStorage
local AdminDb = {}

--- What is uploaded: text, `{file = "name"}`, an open file, or what gives its next piece and nil at
--- the end (with `fileSize`).
---@alias instant.Contents string|{ file: string }|file*|fun(): string?

---@class instant.UploadOptions
---@field contentType? string as it is sent to whoever downloads the file; "application/octet-stream"
---@field contentDisposition? string such as `attachment; filename="demo.png"`
---@field fileSize? integer length of contents that a function gives
---@field onProgress? fun(progress: { loaded: integer, total: integer })

---@class instant.DownloadOptions
---@field to? string the name of a file here; it is there whole or not at all
---@field onProgress? fun(progress: { loaded: integer, total: integer }) total is 0 while not known

--- Functions can be called as `storage:name(...)` and as `storage.name(...)`. With an `adminToken` the
--- client asks as the admin; without one, what it may is the rules' to say.
---@class instant.Storage
local Storage = {}

--- Stores contents under a path, in place of what is there. The future has `{data = {id = ...}}` and a
--- method `cancel`.
---@param path string
---@param contents instant.Contents
---@param opts? instant.UploadOptions
---@return instant.Future
function Storage.uploadFile(path, contents, opts) end

--- The content of a file, by its path or its address (`url` of a `$files` row). The future has it as a
--- string, or `{path=, size=}` with `opts.to`, and a method `cancel`.
---@param source string
---@param opts? instant.DownloadOptions
---@return instant.Future
function Storage.download(source, opts) end

--- The future has `{id = ...}` of the file that was there.
---@param path string
---@return instant.Future
---@deprecated transact `db.tx["$files"][id]:delete()`
function Storage.delete(path) end

--- The future has the address of a file, or nil.
---@param path string
---@return instant.Future
---@deprecated query `$files`
function Storage.getDownloadUrl(path) end

--- The future says whether it worked.
---@param path string
---@param contents instant.Contents
---@return instant.Future
---@deprecated use `uploadFile`
function Storage.upload(path, contents) end

---@param path string
---@param contents instant.Contents
---@return instant.Future
---@deprecated use `uploadFile`
function Storage.put(path, contents) end

---@class instant.AdminStorage
local AdminStorage = {}

--- As of a client.
---@param path string
---@param contents instant.Contents
---@param opts? instant.UploadOptions
---@return instant.Future
function AdminStorage.uploadFile(path, contents, opts) end

--- As of a client.
---@param source string
---@param opts? instant.DownloadOptions
---@return instant.Future
function AdminStorage.download(source, opts) end

--- The future has `{data = {id = ...}}`.
---@param path string
---@return instant.Future
---@deprecated transact `db.tx["$files"][id]:delete()`
function AdminStorage.delete(path) end

--- The future has `{data = {ids = {...}}}` of the files that were there.
---@param paths string[]
---@return instant.Future
---@deprecated transact many deletes
function AdminStorage.deleteMany(paths) end

--- The future says whether it worked.
---@param path string
---@param contents instant.Contents
---@param opts? instant.UploadOptions
---@return instant.Future
---@deprecated use `uploadFile`
function AdminStorage.upload(path, contents, opts) end

--- The future has `{{key=, name=, size=}, ...}`.
---@return instant.Future
---@deprecated query `$files`
function AdminStorage.list() end

--- The future has the address of a file, or nil.
---@param path string
---@return instant.Future
---@deprecated query `$files`
function AdminStorage.getDownloadUrl(path) end
