---@meta instant
--- Apps as archives, in InstantDB's backup format. Both sides work on a data folder, or one app's data file, that no
--- other process has open.

---@class instant
local instant = {}

---@class instant.ImportOptions
---@field archive string path of the backup, a .zip
---@field data? string the data folder, made when missing; or
---@field file? string one app's data file, as in `apiURI = "local:FILE"`
---@field appId? string of the app to be made; left out: the backup's own; "new": another one
---@field title? string left out: the backup's
---@field dropSessions? boolean signs everybody out
---@field onStart? fun(report: instant.ImportReport) as soon as the app is there
---@field onProgress? fun(state: { done: number, total: number?, entry: string }) bytes of an archive; entities of `importApp`

---@class instant.ImportReport
---@field appId string
---@field adminToken? string kept as a hash, known only now; nil when the import went on where it was broken off
---@field entities number taken in by this run
---@field triples number
---@field problems string[] what could not be taken in, the first 1000
---@field problemCount number
---@field resumed boolean

--- Takes a backup in as a new app. Broken off, it goes on where it was when it is called again.
---@param options instant.ImportOptions
---@return instant.ImportReport? report nil when it failed
---@return instant.Error? err
function instant.importArchive(options) end

---@class instant.ImportAppOptions: instant.ImportOptions
---@field from { appId: string, adminToken: string, apiURI: string? } as for `instant.admin.init`
---@field archive nil

--- Takes an app in from a backend that is running, page by page: for when there is no backup at hand. Everybody has to
--- sign in again; streams are left out.
---@param options instant.ImportAppOptions
---@return instant.ImportReport? report
---@return instant.Error? err
function instant.importApp(options) end

---@class instant.ExportOptions
---@field path string the archive to be made; must not be there yet
---@field data? string
---@field file? string
---@field appId? string may be left out when there is one app
---@field s3? instant.S3Options where the contents of files are, if the folder's server keeps them in a bucket
---@field onProgress? fun(state: { done: number, total: number })

---@class instant.ExportReport
---@field appId string
---@field path string
---@field entities number
---@field files number
---@field problems string[] contents that are missing
---@field problemCount number

--- Writes an app as an archive. Whoever can read it can read everything, also what rules hide.
---@param options instant.ExportOptions
---@return instant.ExportReport? report
---@return instant.Error? err
function instant.exportArchive(options) end

return instant
