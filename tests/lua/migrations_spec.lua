local core = require "instant.core"
local files = require "instant.migration_files"
local instant = require "instant"
local migrations = require "instant.migrations"
local project = require "instant.project"
local steps = require "instant.migration_steps"
local support = require "support"

local function folder(texts)
  local dir = support.scratch()
  assert(core.data_make_folder(dir))
  for name, text in pairs(texts) do
    local file = assert(io.open(dir .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end
  return dir
end

describe("the folder of migrations", function()
  it("is read in the order of its numbers", function()
    local dir = folder {
      ["10_ten.lua"] = "", ["2_two.lua"] = "", ["0003_three.lua"] = "", ["20260101120000_later.lua"] = "",
      ["helper.lua"] = "", ["0004_note.txt"] = "",
    }
    local names = {}
    for n, file in ipairs(assert(files.read(dir))) do names[n] = file.name end
    assert.same({ "2_two", "0003_three", "10_ten", "20260101120000_later" }, names)
  end)

  it("knows a version however it is written", function()
    assert.equal("12", files.key "0012")
    assert.equal("0", files.key "000")
    assert.is_nil(files.key "12a")
    assert.is_true(files.is_older("9", "10"))
    assert.is_false(files.is_older("10", "10"))
  end)

  it("gets new files that go on where the last one ended", function()
    local dir = support.scratch() .. "/made/below"
    assert.equal(dir .. "/0001_first.lua", files.create(dir, "first"))
    local list = assert(files.read(dir))
    assert.is_function(files.load(list[1]).up)
    assert.matches("/0010_x%.lua$", files.create(folder { ["0009_a.lua"] = "" }, "x"))
    assert.matches("/10_x%.lua$", files.create(folder { ["9_a.lua"] = "" }, "x"))
    assert.matches("/%d%d%d%d%d%d%d%d%d%d%d%d%d%d_x%.lua$",
      files.create(folder { ["20200101000000_a.lua"] = "" }, "x"))
    assert.is_nil(files.create(dir, "../x"))
  end)
end)

describe("the journal", function()
  it("counts the same step again and again as one entry", function()
    local journal = steps.journal()
    for _, name in ipairs { "schema", "transact", "transact", "transact", "schema" } do journal:add(name) end
    assert.same({ { "schema", 1 }, { "transact", 3 }, { "schema", 1 } }, journal.entries)
    local again = steps.journal(journal.entries)
    again:add "schema"
    assert.equal(5, journal:count())
    assert.equal("transact", again:at(4))
    assert.equal("schema", again:at(5))
    assert.is_nil(journal:at(6))
  end)
end)

describe("migrations", function()
  -- Runs `fn(all)` on the folder and the app of a file.
  local function with(path, dir, fn)
    local to = assert(project.connect({ api = "local:" .. path }, true))
    local lines = {}
    local function note(text) lines[#lines + 1] = text end
    local all = migrations.open { to = to, dir = dir, report = {
      title = note, line = note, progress = function(_, done, total) note(done .. "/" .. total) end,
      done = function(entry, direction) note(direction .. " " .. entry.name) end,
    } }
    local result, problem = fn(all)
    all:close()
    to:close()
    return result, problem, lines
  end

  local function up(all) return all:up {} end
  local function down(all) return all:down { to = "0" } end

  local function query(path, q)
    local db = instant.admin.init { apiURI = "local:" .. path }
    return assert(db:query(q):await())
  end

  it("make, fill and change an app, and undo it", function()
    local path = support.scratch()
    local dir = folder {
      ["1_create.lua"] = [[return {
        up = function(m)
          m:schema(i.schema {
            entities = { todos = i.entity { title = i.string() }, people = i.entity { name = i.string():unique() } },
            links = { owner = { forward = { on = "todos", label = "owner", has = "one" },
              reverse = { on = "people", label = "todos", has = "many" } } },
          })
          m:transact(m.tx.people[m.id()]:update { name = "Ann" })
          for n = 1, 7 do
            m:transact(m.tx.todos[m.id()]:update { title = "t" .. n }:link { owner = m.lookup("name", "Ann") })
          end
        end,
        down = function(m) m:schema(function(s) s.entities.todos, s.entities.people, s.links = nil, nil, {} end) end,
      }]],
      ["2_change.lua"] = [[return {
        up = function(m)
          m:rename("todos.owner", "todos.keeper")
          m:rename("people.todos", "people.kept")
          m:rename("todos.title", "todos.name")
          local some = { name = { ["$in"] = { "t1", "t2", "t3", "t4" } } }
          m:each("todos", { with = { keeper = {} }, batch = 3, where = some },
            function(row)
              if row.name == "t1" then
                return { m.tx.todos[row.id]:delete(), m.tx.todos[m.id()]:update { name = "t2" } }
              end
              if row.name == "t2" then return nil end
              return m.tx.todos[row.id]:update { name = row.keeper.name .. " " .. row.name }
            end)
          assert(#m:query { todos = {} }.todos == 7)
        end,
        down = function(m)
          m:rename("todos.name", "todos.title")
          m:rename("people.kept", "people.todos")
          m:rename("todos.keeper", "todos.owner")
        end,
      }]],
    }
    local count, problem, lines = with(path, dir, up)
    assert.equal(2, count, problem)
    local text = table.concat(lines, "\n")
    assert.matches("applying 1_create", text)
    assert.matches("\n3/4\n4/4\n", text)
    local names = {}
    for n, todo in ipairs(query(path, { todos = { keeper = {} } }).todos) do
      -- No schema here, so every link is a list.
      names[n] = todo.name
      if todo.name ~= "t2" then assert.equal("Ann", todo.keeper[1].name) end
    end
    table.sort(names)
    assert.same({ "Ann t3", "Ann t4", "t2", "t2", "t5", "t6", "t7" }, names)
    assert.equal(0, (with(path, dir, up)))
    local status = with(path, dir, function(all) return all:status() end)
    assert.equal("applied", status[2].state)
    assert.equal(2, (with(path, dir, down)))
    assert.same({ todos = {} }, query(path, { todos = {} }))
    assert.equal(2, (with(path, dir, up)))
  end)

  it("show what they would do", function()
    local path = support.scratch()
    local dir = folder { ["1_a.lua"] = [[return { up = function(m)
      m:schema(i.schema { entities = { a = i.entity { x = i.string():indexed() }, b = i.entity {} },
        links = { l = { forward = { on = "a", label = "b", has = "one" },
          reverse = { on = "b", label = "as", has = "many" } } } })
      m:rename("a.x", "a.y")
      m:rename("a.b", "a.bee")
      m:schema(function(s)
        s.entities.a.attrs.y = i.number()
        s.links = {}
        s.entities.b = nil
      end)
      m:schema(function() end)
    end }]] }
    local ok, problem, lines = with(path, dir, function(all) return all:show(assert(all:pending()), "applying") end)
    assert.is_true(ok, problem)
    local text = table.concat(lines, "\n") .. "\n"
    assert.matches("\nrename a%.x to a%.y\n  ~ Update attribute a%.y%.\nrename a%.b to a%.bee\n", text)
    assert.matches("Remove index from a%.y%.\n.*Enforce data type of a%.y as type number%.\n", text)
    assert.matches("%- Delete attribute a%.bee%.\nschema: nothing to change\n$", text)
    assert.same({ instant_migrations = {} }, query(path, { instant_migrations = {} }))
  end)
end)
