---@meta instant
--- What `@instantdb/core` exports beside its client.

---@class instant
---@field version string the official client that this one is compatible with
local instant = {}

--- A builder of transaction chunks: `instant.tx` again.
---@return instant.Tx
function instant.txInit() end

--- The ops of a chunk, in order: `{{"update", "todos", id, {...}}, ...}`.
---@param chunk instant.Chunk
---@return table[]
function instant.getOps(chunk) end

--- A query as the backend will see it: a copy by way of JSON.
---@param query table
---@return table
function instant.coerceQuery(query) end

--- The official client's hash of a value, 16 hex digits: equal for equal values in any key order.
---@param value any
---@return string
function instant.weakHash(value) end

--- What a date attribute holds as `instant.date`; nil and `instant.null` stay what they are.
---@param value any
---@return instant.Date|nil
function instant.coerceToDate(value) end

--- Raises when the query is not valid, by itself or (with a schema) in it.
---@param query table
---@param schema? table
function instant.validateQuery(query, schema) end

--- Raises when a chunk, or one of a list, is not valid in the schema.
---@param chunks instant.Chunk|instant.Chunk[]
---@param schema table
function instant.validateTransactions(chunks, schema) end

--- A schema, as `i.schema` makes it, from its JSON form.
---@param json table
---@return table
function instant.parseSchemaFromJSON(json) end

--- Whether warnings are logged; they are at first.
---@param enabled boolean
function instant.setInstantWarningsEnabled(enabled) end

--- The old name of `init`.
---@param config instant.Config
---@return instant.Db
function instant.init_experimental(config) end

--- As `instant.admin.createInstantRouteHandler`.
---@param options table
---@return function
function instant.createInstantRouteHandler(options) end

return instant
