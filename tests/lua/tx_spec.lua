local instant = require "instant"
local core = require "instant.core"
local tx = require "instant.tx"

local function ops(chunk)
  return core.json_encode(tx.plain(chunk).__ops)
end

describe("transaction chunks", function()
  it("collect ops in order and never change", function()
    local first = instant.tx.todos["a"]:update { title = "x" }
    local second = first:link { owner = "b" }:delete()
    assert.equal('[["update","todos","a",{"title":"x"}]]', ops(first))
    assert.equal('[["update","todos","a",{"title":"x"}],["link","todos","a",{"owner":"b"}],["delete","todos","a"]]',
      ops(second))
  end)

  it("take options", function()
    assert.equal('[["update","t","a",{},{"upsert":false}]]', ops(instant.tx.t.a:update({}, { upsert = false })))
    assert.equal('[["merge","t","a",{"x":1}]]', ops(instant.tx.t.a:merge { x = 1 }))
    assert.equal('[["create","t","a",{"x":1}]]', ops(instant.tx.t.a:create { x = 1 }))
    assert.equal('[["ruleParams","t","a",{"x":1}]]', ops(instant.tx.t.a:ruleParams { x = 1 }))
    assert.equal('[["unlink","t","a",{"x":["b","c"]}]]', ops(instant.tx.t.a:unlink { x = { "b", "c" } }))
  end)

  it("know lookups three ways", function()
    local expected = '[["update","users",["email","a__b@c.d"],{"n":1}]]'
    assert.equal("lookup__email__\"a__b@c.d\"", instant.lookup("email", "a__b@c.d"))
    assert.equal(expected, ops(instant.tx.users[instant.lookup("email", "a__b@c.d")]:update { n = 1 }))
    assert.equal(expected, ops(instant.tx.users:lookup("email", "a__b@c.d"):update { n = 1 }))
    assert.equal(expected, ops(instant.tx.users.lookup("email", "a__b@c.d"):update { n = 1 }))
    assert.has_error(function() return instant.tx.users["lookup__email"] end)
    assert.has_error(function() instant.lookup(nil, 1) end)
  end)

  it("refuse arguments that are no tables", function()
    assert.has_error(function() instant.tx.t.a:update(1) end, "update: expected a table, got number")
    assert.has_error(function() instant.tx.t.a:link() end, "link: expected a table, got nil")
  end)
end)

describe("the schema builder", function()
  it("builds the JSON form", function()
    local i = instant.i
    local schema = i.schema {
      entities = {
        posts = i.entity { title = i.string():indexed(), slug = i.string():unique(), at = i.date():optional() },
        users = i.entity { name = i.string() },
      },
      links = {
        author = {
          forward = { on = "posts", label = "author", has = "one" },
          reverse = { on = "users", label = "posts", has = "many" },
        },
      },
    }
    local posts = schema.entities.posts
    assert.is_true(posts.attrs.title.config.indexed)
    assert.is_true(posts.attrs.slug.config.unique)
    assert.is_false(posts.attrs.at.required)
    assert.same({ entityName = "users", cardinality = "one" }, posts.links.author)
    assert.same({ entityName = "posts", cardinality = "many" }, schema.entities.users.links.posts)
    assert.has_error(function()
      i.schema { links = { x = { forward = { on = "a" }, reverse = { on = "b" } } } }
    end)
  end)
end)
