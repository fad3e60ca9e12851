---@meta instant
--- What automations are made of: durable reactions, jobs, a log. lua/docs/automations.md shows them at work.

---@class instant
---@field log instant.Log
local instant = {}

--- Calls functions for every change of a namespace, once each, in order, also for what happened while nobody
--- ran. `options.db` is an admin client, or a client made with `adminToken` or of `local:`; the same as
--- `db:reaction(options)`. Raises when the options are wrong.
---@param options instant.ReactionOptions
---@return instant.Reaction
function instant.reaction(options) end

--- Calls `fn(job)` as a task at times of the calendar: `instant.cron("*/5 * * * *", fn)`. Raises when the
--- expression or the zone is wrong.
---@param expression string minute, hour, day of month, month, day of week; or "@hourly", "@daily", "@weekly", "@monthly", "@yearly"
---@param fn fun(job: instant.Job)
---@param options? instant.JobOptions
---@return instant.Job
function instant.cron(expression, fn, options) end

--- Calls `fn()` when the program is asked to end (Ctrl-C, SIGTERM), which waits for the future that it gives, if
--- it gives one, up to ten seconds. Returns a function that takes it back.
---@param fn fun(): instant.Future?
---@return fun() forget
function instant.onStop(fn) end

--- Runs a command beside everything else, without a shell: `{ "git", "log", "-1" }`; or `{ shell = "a | b" }`. A
--- future with `write(text)`, `closeStdin()`, `kill(signal)` and `pid()`; any exit code is a result. Fails with type
--- "io-error" (it cannot be run), "timeout" or "output-too-large".
---@param options instant.SpawnOptions
---@return instant.Future future of `{ code: integer, signal?: string, stdout?: string, stderr?: string }`
function instant.spawn(options) end

---@class instant.SpawnOptions the command and its arguments, in order, and:
---@field shell? string instead of them, for /bin/sh
---@field cwd? string
---@field env? table<string, string|false> on top of this process' own; false takes one away
---@field stdin? string|true|"inherit" a text; true: `write` will be called; nothing at first
---@field stdout? fun(piece: string)|"inherit" collected at first
---@field stderr? fun(piece: string)|"inherit"
---@field timeout? number ms; then SIGTERM, two seconds later SIGKILL
---@field maxOutput? integer bytes of what is collected, 16 MB at first

---@class instant.ReactionOptions
---@field name string whose position is kept
---@field db? instant.AdminDb|instant.Db of `instant.reaction`
---@field etype? string the namespace it follows
---@field query? table instead: `{ orders = { ["$"] = { where = {...} } } }` on the namespace's own attributes; what begins to match is created to the handlers, what ceases to is deleted
---@field onCreate? fun(change: instant.Change, ctx: instant.ReactionContext): any
---@field onUpdate? fun(change: instant.Change, ctx: instant.ReactionContext): any
---@field onDelete? fun(change: instant.Change, ctx: instant.ReactionContext): any
---@field from? "now"|"start"|integer where one that is new begins: with what comes ("now"), with the whole log, or behind a transaction
---@field concurrency? integer how many handlers at once; 1 at first, then all is strictly in order
---@field key? fun(change: instant.Change): any with `concurrency`: changes of one key are handled in order; the entity at first
---@field retry? { attempts?: integer, delay?: integer, maxDelay?: integer } 5 attempts; the first wait (1000 ms) doubles up to the longest (60000 ms)
---@field batch? integer how many changes are taken at once, up to 1000; 500 at first
---@field lease? integer ms after which another process takes over from one that is not heard of; 10000 at first

---@class instant.Change
---@field action "create"|"update"|"delete"
---@field etype string
---@field id string
---@field old? table the entity's attributes before; nil when it was not there
---@field new? table and after; nil when it is gone
---@field txId integer
---@field at number ms since the epoch of the commit
---@field who? table `{admin = true}` or `{user = ID}`
---@field key string the same whenever this change is handled

---@class instant.ReactionContext
---@field key string idempotency key: the same at every attempt and replay
---@field attempt integer 1 at first
---@field reaction string
---@field db instant.AdminDb
---@field isReplay boolean a dead letter that was asked for again

---@class instant.Reaction
---@field name string
---@field ended instant.Future comes when it was stopped or deleted; fails with what stopped it

---@class instant.Job
---@field runs integer
---@field skipped integer
---@field failures integer

---@class instant.JobOptions
---@field timeZone? string "UTC" at first; "Europe/Berlin"
---@field overlap? boolean true: also while the run before goes on
---@field missed? "once"|"skip" what was missed, because the machine slept, is run once, late (at first), or not
---@field name? string for the log

---@class instant.Log
local log = {}

--- A line, or a format and what goes into it.
---@param text string
---@param ... any
function log.error(text, ...) end
---@param text string
---@param ... any
function log.warn(text, ...) end
---@param text string
---@param ... any
function log.info(text, ...) end
---@param text string
---@param ... any
function log.debug(text, ...) end

---@class instant.ReactionContext
local Context = {}

--- Writes that are committed together with the reaction's position, once the handler has returned: exactly once.
---@param chunks instant.Chunk|instant.Chunk[]
function Context:transact(chunks) end

--- Waits until what earlier changes wrote is committed, and asks. The data, or nil and the error.
---@param query table
---@param opts? instant.AdminQueryOpts
---@return table? data, instant.Error?
function Context:query(query, opts) end

---@class instant.Reaction
local Reaction = {}

--- Lets the handlers that run finish, keeps what they did, and ends; the future is `ended`.
---@return instant.Future
function Reaction:stop() end

---@return "starting"|"running"|"waiting"|"standing by"|"stopped"|"failed"|"deleted"
function Reaction:status() end

---@return { handled: integer, dead: integer, retries: integer }
function Reaction:stats() end

---@class instant.Job
local Job = {}

--- Ends it; the future comes when a run under way has ended.
---@return instant.Future
function Job:stop() end

--- When it runs next, in ms since the epoch.
---@return integer
function Job:next() end

--- Reactions by an operator's hand; every function gives a future.
---@class instant.Reactions
local Reactions = {}

---@return instant.Future future of a list: `{name=, owner=, position=, ...}`
function Reactions:list() end

--- What could not be handled, oldest first: `{id=, key=, change=, error=, attempts=, at=}`.
---@param name string
---@return instant.Future
function Reactions:dead(name) end

--- Handles dead letters again, those of these ids or all; the future has how many. Who holds the reaction does
--- it, within a third of its lease.
---@param name string
---@param ids? string[]
---@return instant.Future
function Reactions:replay(name, ids) end

--- Goes on from "now", "start" or a transaction. What lies behind it is handled again, what it jumps over never.
---@param name string
---@param position "now"|"start"|integer
---@return instant.Future
function Reactions:reset(name, position) end

--- Forgets it with its dead letters; who runs it stops.
---@param name string
---@return instant.Future
function Reactions:delete(name) end

return instant
