local instant = require "instant"
local check = require "instant.schema_check"
local i = instant.i

describe("the schema builder", function()
  it("keeps what was said of an attribute", function()
    local made = i.string():unique():indexed():optional()
    assert.same({ unique = true, indexed = true }, made.config)
    assert.is_false(made.required)
    assert.is_true(made.isIndexed)
    assert.equal("json", i.any().valueType)
    local client = i.number():clientRequired():indexed()
    assert.is_false(client.required)
    assert.is_true(client.metadata.clientRequired)
    assert.is_nil(client:optional().metadata.clientRequired)
    assert.is_nil(i.number().metadata.clientRequired)
  end)

  local function link(forward, reverse)
    local ends = {
      forward = { on = "posts", label = "author", has = "one" },
      reverse = { on = "people", label = "posts", has = "many" },
    }
    for name, value in pairs(forward or {}) do ends.forward[name] = value end
    for name, value in pairs(reverse or {}) do ends.reverse[name] = value end
    return { l = ends }
  end

  local function schema(links, more)
    local definition = { entities = { posts = i.entity { title = i.string() }, people = i.entity {} }, links = links }
    for name, value in pairs(more or {}) do definition[name] = value end
    return function() i.schema(definition) end
  end

  it("takes links, rooms and topics", function()
    local made = i.schema {
      entities = { posts = i.entity { title = i.string() }, people = i.entity {} },
      links = link({ required = true, onDelete = "cascade" }, { onDelete = "restrict" }),
      rooms = { chat = { presence = i.entity { name = i.string() }, topics = { wave = i.entity {} } }, empty = {} },
    }
    assert.same({ entityName = "people", cardinality = "one" }, made.entities.posts.links.author)
    assert.same({ entityName = "posts", cardinality = "many" }, made.entities.people.links.posts)
  end)

  -- The message names the key, and the line is that of the call.
  local function raises(text, fn)
    local ok, err = pcall(fn)
    assert.is_false(ok)
    assert.matches("schema_spec%.lua:%d+: ", err)
    assert.equal(text, (err:gsub("^.-: ", "", 1)))
  end

  it("says what is wrong with an entity", function()
    raises("i.entity: title: expected an attribute such as i.string(), got \"string\"",
      function() i.entity { title = "string" } end)
    raises("i.entity: title: call it: i.string()", function() i.entity { title = i.string } end)
    raises("i.entity: title: expected an attribute such as i.string(), got a table",
      function() i.entity { title = {} } end)
    raises("i.entity: author: an entity is no attribute; put links between entities into `links`",
      function() i.entity { author = i.entity {} } end)
    raises("i.entity: id: every entity has its id, leave it out", function() i.entity { id = i.string() } end)
    raises("i.entity: attributes: keys are names, this one is 1", function() i.entity { i.string() } end)
    raises("i.entity: attributes must be a table, got nothing", function() i.entity() end)
    raises("i.entity: n: there is no type `text`; there are: any, boolean, date, json, number, string",
      function() i.entity { n = { valueType = "text" } } end)
    raises("unique: expected an attribute in front of a colon, as in i.string():unique()",
      function() return i.string().unique() end)
  end)

  it("says what is wrong with a schema", function()
    raises("i.schema: expected { entities = ..., links = ..., rooms = ... }, got nothing", function() i.schema() end)
    raises("i.schema: it: there is no `entity` here; there are: entities, links, rooms", schema(nil, { entity = {} }))
    raises("i.schema: entities.posts: expected i.entity { ... }, got a table",
      function() i.schema { entities = { posts = { title = i.string() } } } end)
    raises("i.schema: links.l.forward: a link is on `post`, which is no entity of it; there are: people, posts",
      schema(link { on = "post" }))
    raises("i.schema: links.l.reverse.has must be \"one\" or \"many\", got \"several\"",
      schema(link(nil, { has = "several" })))
    raises("i.schema: links.l.forward.onDelete must be \"cascade\" or \"restrict\", got true",
      schema(link { onDelete = true }))
    raises("i.schema: links.l.forward.required must be true or false, got \"yes\"", schema(link { required = "yes" }))
    raises("i.schema: links.l.reverse: there is no `required` here; there are: has, label, on, onDelete",
      schema(link(nil, { required = true })))
    raises("i.schema: links.l.forward: there is no `to` here; there are: has, label, on, onDelete, required",
      schema(link { to = "people" }))
    raises("i.schema: links.l.forward: `posts.title` is an attribute too", schema(link { label = "title" }))
    raises("i.schema: links.l.forward.label must be a name, got \"\"", schema(link { label = "" }))
    raises("i.schema: links.l.reverse: expected { on = ..., label = ..., has = ... }, got nothing",
      schema { l = { forward = { on = "posts", label = "author", has = "one" } } })
    raises("i.schema: links.l: expected { forward = ..., reverse = ... }, got 7", schema { l = 7 })
    raises("i.schema: rooms.chat: there is no `presense` here; there are: presence, topics",
      schema(nil, { rooms = { chat = { presense = i.entity {} } } }))
    raises("i.schema: rooms.chat.topics.wave: expected i.entity { ... }, got 1",
      schema(nil, { rooms = { chat = { topics = { wave = 1 } } } }))
  end)
end)

describe("rules", function()
  it("are right", function()
    assert.is_nil(check.rules {})
    assert.is_nil(check.rules {
      ["$default"] = { allow = { ["$default"] = "false" }, bind = { isIn = "auth.id != null" } },
      posts = {
        allow = { view = true, update = "mine", link = { author = "mine" }, unlink = { ["$default"] = false } },
        bind = { "mine", "auth.id == data.owner" }, fields = { draft = "mine" },
      },
      attrs = { allow = { create = "false" } },
      people = instant.null,
      ["$rateLimits"] = { post = { limits = { { capacity = 10 } } } },
    })
  end)

  it("name the key of what is wrong", function()
    for text, rules in pairs {
      ["rules must be a table, got \"all\""] = "all",
      ["posts: there is no `alow` here; there are: allow, bind, fields"] = { posts = { alow = {} } },
      ["posts must be a table, got \"true\""] = { posts = "true" },
      ["posts->allow: there is no `read` here; there are: $default, create, delete, link, unlink, update, view"]
        = { posts = { allow = { read = "true" } } },
      ["posts->allow->view must be an expression in quotes, or true or false, got a function"]
        = { posts = { allow = { view = print } } },
      ["posts->allow->link->author must be an expression in quotes, or true or false, got 1"]
        = { posts = { allow = { link = { author = 1 } } } },
      ["posts->bind: names and expressions come in pairs; `mine` has none"] = { posts = { bind = { "mine" } } },
      ["posts->bind[2] must be an expression in quotes, got true"] = { posts = { bind = { "mine", true } } },
      ["posts->fields->draft must be an expression in quotes, or true or false, got a table"]
        = { posts = { fields = { draft = {} } } },
    } do
      assert.equal(text, check.rules(rules))
    end
    assert.matches("^posts%->allow%->view: ", check.rules { posts = { allow = { view = "data." } } })
    assert.matches("^posts%->allow%->view: undeclared reference to 'newData'",
      check.rules { posts = { allow = { view = "newData.x == 1" } } })
    assert.matches("^posts%->bind%->a: ", check.rules { posts = { bind = { "a", "true", "a", "false" } } })
  end)
end)
