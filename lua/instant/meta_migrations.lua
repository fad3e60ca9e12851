---@meta instant
--- What a migration of `instant-lua migrate` is given: lua/docs/migrations.md.

---@class instant.EachOptions
---@field where? table conditions, as in a query
---@field with? table links to have in each row, as children in a query: `{ author = {} }`
---@field fields? string[] only these attributes, and the id
---@field batch? integer rows of one transaction, 500 when left out

---@class instant.MigrationFile
---@field up fun(m: instant.Migration)
---@field down? fun(m: instant.Migration)

--- Every function raises what the migration cannot go on from.
---@class instant.Migration
---@field tx instant.Tx the same as `instant.tx`
---@field id fun(): string the same as `instant.id`
---@field lookup fun(attr: string, value: any): string the same as `instant.lookup`
local Migration = {}

--- Makes the schema what `change` says, as `push` does: a whole one, or what a function makes of the app's.
---@param change table|fun(schema: table): table?
function Migration:schema(change) end

--- An attribute or a link goes on under another name, with its data.
---@param from string "posts.title"
---@param to string "posts.name"
function Migration:rename(from, to) end

--- Makes the permission rules what `change` says: all of them, or what a function makes of the app's.
---@param change table|fun(rules: table): table?
function Migration:rules(change) end

--- Calls `fn` for every entity that is there when the step begins, and applies the chunks that it returns,
--- a batch in one transaction. Goes on where it was when it was stopped.
---@param namespace string
---@param options instant.EachOptions
---@param fn fun(row: table): instant.Chunk|instant.Chunk[]|nil
---@overload fun(self: instant.Migration, namespace: string, fn: fun(row: table): instant.Chunk|instant.Chunk[]|nil)
function Migration:each(namespace, options, fn) end

--- Applies one chunk or a list of them, in one transaction.
---@param chunks instant.Chunk|instant.Chunk[]
function Migration:transact(chunks) end

--- What there is, past the rules.
---@param query table
---@return table<string, table[]>
function Migration:query(query) end

return Migration
