---@meta instant
--- Data folders and data files: `instant.data`.

---@class instant
---@field data instant.Data
local instant = {}

---@class instant.Data
local data = {}

---@class instant.DataProgress
---@field stage "databases"|"contents"|"check"
---@field file? integer which database, from 1 (check: how many are done)
---@field files? integer of how many
---@field pages? integer of that database, done
---@field of? integer all of them
---@field contents? integer contents of files, done
---@field bytes? integer

---@class instant.DataReport
---@field problems integer 0: it is whole
---@field text string one line for each problem
---@field files integer databases
---@field contents integer contents of files

--- Is a data folder, one app's data file or a backup whole? Reads everything: every triple in both
--- trees, attributes, order keys, the log, the contents of files. The future fails when it cannot be
--- checked: a server must not have it open.
---@param path string
---@param onProgress? fun(progress: instant.DataProgress) from the task; must not wait
---@return instant.Future<instant.DataReport>
function data.check(path, onProgress) end

--- Copies a data folder (also one that a server is working on, on this machine and of this user) or
--- one app's data file, with the contents of files, into the new folder `to`. `force` replaces a
--- backup that is there. The future has `{ to=, live=, contents=, bytes=, damaged=, firstDamaged= }`.
---@param options { from: string, to: string, force?: boolean, onProgress?: fun(progress: instant.DataProgress) }
---@return instant.Future<table>
function data.backup(options) end

--- Makes the data folder or file `to` of a backup, after checking all of it. `force` moves what is
--- there aside, which nobody may have open. The future has `{ to=, aside=, contents=, bytes= }`.
---@param options { from: string, to: string, force?: boolean, onProgress?: fun(progress: instant.DataProgress) }
---@return instant.Future<table>
function data.restore(options) end
