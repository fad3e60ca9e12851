local instant = require "instant"

describe("what the official client exports", function()
  local i = instant.i
  local schema = i.schema { entities = { todos = i.entity { title = i.string(), n = i.number():optional() } } }

  it("hashes as it does", function()
    -- Keys in any order; the values are those of the official function.
    assert.equal(instant.weakHash { todos = {}, users = {} }, instant.weakHash { users = {}, todos = {} })
    assert.equal("e7b32630b0c6a665", instant.weakHash { todos = {} })
    assert.has_error(function() instant.weakHash(print) end)
  end)

  it("reads dates", function()
    assert.equal(instant.date "2026-01-31", instant.coerceToDate "1/31/2026")
    assert.equal(instant.date(5), instant.coerceToDate(5))
    local date = instant.date()
    assert.equal(date, instant.coerceToDate(date))
    assert.is_nil(instant.coerceToDate(nil))
    assert.equal(instant.null, instant.coerceToDate(instant.null))
    assert.has_error(function() instant.coerceToDate "no date" end)
  end)

  it("gives the ops of a chunk", function()
    local id = instant.id()
    local chunk = instant.txInit().todos[id]:update { n = 1 }:delete()
    assert.equal("update", instant.getOps(chunk)[1][1])
    assert.equal("delete", instant.getOps(chunk)[2][1])
    assert.equal(id, instant.getOps(chunk)[2][3])
    assert.has_error(function() instant.getOps(1) end, "getOps: expected a chunk, got number")
  end)

  it("validates", function()
    instant.validateQuery { todos = {} }
    instant.validateQuery({ todos = {} }, schema)
    local ok, err = pcall(instant.validateQuery, { nothing = {} }, schema)
    assert.is_false(ok)
    assert.equal("validation-failed", err.type)
    instant.validateTransactions(instant.tx.todos[instant.id()]:update { title = "a" }, schema)
    ok, err = pcall(instant.validateTransactions, { instant.tx.todos[instant.id()]:update { title = 1 } }, schema)
    assert.is_false(ok)
    assert.matches("Expected string", err.message)
  end)

  it("reads a schema", function()
    local json = instant.coerceQuery {
      entities = {
        todos = { attrs = {
          title = { valueType = "string", required = true, config = { indexed = true, unique = true } },
          odd = { valueType = "any", required = false },
        } },
        users = { attrs = {} },
      },
      links = { owner = { forward = { on = "todos", label = "owner", has = "one" },
        reverse = { on = "users", label = "todos", has = "many" } } },
      rooms = { chat = { presence = { attrs = { name = { valueType = "string", required = true } } },
        topics = { shout = { attrs = {} } } } },
    }
    local read = instant.parseSchemaFromJSON(json)
    local title = read.entities.todos.attrs.title
    assert.is_true(title.required and title.config.unique and title.config.indexed)
    assert.equal("json", read.entities.todos.attrs.odd.valueType)
    assert.is_false(read.entities.todos.attrs.odd.required)
    assert.same({ entityName = "users", cardinality = "one" }, read.entities.todos.links.owner)
    assert.equal("string", read.rooms.chat.presence.attrs.name.valueType)
    assert.is_table(read.rooms.chat.topics.shout)
  end)

  it("switches warnings", function()
    instant.setInstantWarningsEnabled(false)
    instant.setInstantWarningsEnabled(true)
    assert.equal(instant.init, instant.init_experimental)
    assert.equal("v1.0.67", instant.version)
  end)
end)
