local core = require "instant.core"
local instant = require "instant"
local i = instant.i
local source = require "instant.schema_source"
local ts = require "instant.ts_reader"

-- The number of rounds of what is random; more when somebody looks for something.
local ROUNDS = tonumber(os.getenv "INSTANT_TS_ROUNDS") or 300
local seed = tonumber(os.getenv "INSTANT_SEED") or os.time()

local function json(value)
  return (assert(core.json_encode(value)))
end

local function read(body)
  return ts.read(body, "f.ts")
end

local function value_of(text)
  return assert(read("export default { v: " .. text .. " }")).v
end

describe("values of TypeScript", function()
  it("are read", function()
    for text, expected in pairs {
      ["'a\\n\\x41\\u00e9\\u{1F600}\\uD83D\\uDE00\\'\"`'"] = "a\nA\195\169\240\159\152\128\240\159\152\128'\"`",
      ["`it's $5 \\`quoted\\` \\${x}\nline`"] = "it's $5 `quoted` ${x}\nline",
      ["'one\\\n two'"] = "one two",
      ["'a' + \"b\" + `c`"] = "abc",
      ["-1.5e3"] = -1500, ["0x1F"] = 31, ["1_000"] = 1000, [".5"] = 0.5, ["(7)"] = 7,
      ["true"] = true, ["null"] = instant.null,
      ["'x' as const"] = "x", ["'x' satisfies Foo<Bar[], {a: 1}>['b'] | (() => void) & keyof typeof y"] = "x",
      ["'x'!"] = "x",
    } do
      assert.equal(expected, value_of(text), text)
    end
    assert.equal(false, value_of "false")
    assert.is_nil(value_of "undefined")
    assert.equal('{"7":2,"a":[1,{},[]],"b c":null}', json(value_of "{ a: [1, {}, [],], 'b c': null, 7: 2, }"))
  end)

  it("may be constants of the file", function()
    local value = assert(read [[
      "use client";
      import type { Foo } from "./foo";
      import def, { id as makeId, type Bar, i as builder } from '@instantdb/core';
      import * as all from "all"
      import "side-effect"
      // a comment
      /* and
         another */
      export const shared: Record<string, string> = { view: "true", create: "auth.id != null" }, other = [1];
      let nested = { deep: { text: 'deep' } } as const
      type A<T> = { [K in keyof T]: T[K] extends string ? 1 : 2 }[] ; type B = A<B> | "x"
      interface C extends B { a: { b: string } }
      export interface D {}
      export type { A, B };
      const rules = { todos: { allow: { ...shared, update: nested.deep.text } }, other, x: nested?.deep } satisfies Foo;
      export { rules as everything };
      export default rules;
    ]])
    assert.equal('{"other":[1],"todos":{"allow":{"create":"auth.id != null","update":"deep","view":"true"}},'
      .. '"x":{"text":"deep"}}', json(value))
    assert.equal('{"a":1}', json(assert(read "const a = { a: 1 }; export { a as default }")))
  end)

  it("are a schema, with what TypeScript alone needs left out", function()
    local schema, notices = read [[
import { i } from "@instantdb/react";

const _schema = i.schema({
  entities: {
    $users: i.entity({ email: i.string().unique().indexed().optional() }),
    posts: i.entity({
      "title": i.string(), body: i.any().optional(),
      meta: i.json<{ tags: string[]; at?: Array<Record<string, number>> }>().optional(),
      kind: i.string<'a' | 'b'>().indexed(), n: i.number().clientRequired(),
    }),
  },
  links: { author: {
    forward: { on: "posts", has: "one", label: "author", required: true, onDelete: "cascade" },
    reverse: { on: "$users", has: "many", label: "posts" },
  } },
  rooms: { chat: { presence: i.entity({ name: i.string() }), topics: { wave: i.entity({}) } } },
});

// This helps TypeScript display nicer intellisense
type _AppSchema = typeof _schema;
interface AppSchema extends _AppSchema {}
const schema: AppSchema = _schema;

export type { AppSchema };
export default schema;
]]
    assert.is_table(schema, notices)
    assert.equal(json(i.schema {
      entities = {
        ["$users"] = i.entity { email = i.string():unique():indexed():optional() },
        posts = i.entity {
          title = i.string(), body = i.any():optional(), meta = i.json():optional(), kind = i.string():indexed(),
          n = i.number():clientRequired(),
        },
      },
      links = { author = {
        forward = { on = "posts", has = "one", label = "author", required = true, onDelete = "cascade" },
        reverse = { on = "$users", has = "many", label = "posts" },
      } },
      rooms = { chat = { presence = i.entity { name = i.string() }, topics = { wave = i.entity {} } } },
    }), json(schema))
    assert.same({
      "f.ts:8:19: the type argument <{ tags: string[]; at?: Array<Record<string, number>> }> is left out",
      "f.ts:9:21: the type argument <'a' | 'b'> is left out",
    }, notices)
    local graph = read [[import { i } from "x"; export default i.graph({ a: i.entity({}) }, {}).withRoomSchema<{}>();]]
    assert.equal(json(i.schema { entities = { a = i.entity {} } }), json(graph))
  end)

  it("that are beyond it are an error with its place", function()
    for text, expected in pairs {
      ["export default { [key]: 1 }"] = "1:18: a computed key cannot be read; write the key itself",
      ["export default\n  { a: b }"] = "2:8: `b` is no constant of this file",
      ["import { b } from './b';\nexport default { b }"]
        = "2:18: `b` is no constant of this file: it is imported, and other files are not read",
      ["export default { a: `x${1}` }"] = "1:23: a template with a substitution cannot be read without running it",
      ["export default { a: () => 1 }"] = "1:22: expected a value, got `)`",
      ["export default { a: x => 1 }"] = "1:21: a function cannot be read",
      ["export default { a() {} }"] = "1:19: a function cannot be read",
      ["export default { a: new Date() }"] = "1:21: `new` cannot be read without running it",
      ["export default { a: process.env.X }"] = "1:21: `process` is no constant of this file",
      ["export default { a: true ? 1 : 2 }"] = "1:26: `?` cannot be read without running it",
      ["export default { a: 1 + 2 }"] = "1:23: `+` can be read between strings only",
      ["export default { a: [...b] }"] = "1:22: `...` in a list cannot be read; write its elements",
      ["export default { a: b[0] }"] = "1:21: `b` is no constant of this file",
      ["const b = [1]; export default { a: b[0] }"]
        = "1:37: `[...]` behind a value cannot be read; write the value itself",
      ["export default { a: 'x"] = "1:21: this string does not end",
      ["export default { a: 'x\n' }"] = "1:21: this string does not end",
      ["export default { a: 1x }"] = "1:21: this is no number",
      ["export default { a: '\\u{110000}' }"] = "1:22: this escape is no character",
      ["export default { a: /x/ }"] = "1:21: there is no `/` in a file of data",
      ["/* no end"] = "1:1: this comment does not end",
      [""] = "1:1: there is no `export default`",
      ["const a = 1"] = "1:12: there is no `export default`",
      ["export default 7"] = "1:16: the default export must be an object",
      ["export default i"] = "1:16: the default export must be an object",
      ["export default { a: 1 b: 2 }"] = "1:23: expected `,` or `}` behind a member, got `b`",
      ["export default { a: 1 "] = "1:23: expected `,` or `}` behind a member, got the end of the file",
      ["export default {} {}"] = "1:19: expected the end of the statement, got `{`",
      ["function f() {}"] = "1:1: this cannot be read without running it: `function`",
      ["const { a } = b;"] = "1:7: expected the name of a constant, got `{`",
      ["type A = ;"] = "1:10: expected a type, got `;`",
      ["export * from './x'"] = "1:8: this cannot be read without running it: `*`",
      ["export { a } from './x'"] = "1:14: other files are not read",
      ["export default i.entity({ a: i.text() })"] = "1:32: there is no i.text",
      ["export default i.entity({ a: i.string })"] = "1:32: call it: i.string()",
      ["export default i.entity({ a: i.string().uniq() })"] = "1:41: `uniq` is no function that can be called here",
      ["export default i.entity({ a: i.string('x') })"] = "1:32: i.string takes nothing, got 1",
      ["export default i.entity({\n a: 'string' })"]
        = "1:18: i.entity: a: expected an attribute such as i.string(), got \"string\"",
      ["export default i.schema({ entities: {}, links: { l: {} } })"]
        = "1:18: i.schema: links.l.forward: expected { on = ..., label = ..., has = ... }, got nothing",
      ["export default i.schema()"] = "1:18: i.schema takes one object, got 0",
      ["export default { a: foo(1) }"] = "1:21: `foo` is no constant of this file",
      ["const foo = {}; export default { a: foo(1) }"]
        = "1:40: only functions of the schema builder can be called",
      ["const a = {}; export default { b: a.b }"] = "1:37: there is no member `b` here",
      ["export default { i }"] = "1:18: `i` is no value",
    } do
      local value, problem = read(text)
      assert.is_nil(value, text)
      assert.equal("f.ts:" .. expected, problem)
    end
    assert.matches("nested too deep", select(2, read("export default " .. ("["):rep(100000))))
    assert.matches("nested too deep", select(2, read("type A = " .. ("Array<"):rep(100000))))
    assert.matches("is missing", select(2, read("type A = " .. ("{("):rep(100000))))
    assert.matches("longer than", select(2, read((" "):rep(5000000))))
  end)
end)

-- ---- random schemas ----

local NAMES = {
  "a", "b2", "todos", "people", "$users", "my-ns", "end", "with space", "quote\"s", "back\\slash", "caf\195\169", "7",
  "and", "line\nbreak", "$it", "__proto", "constructor", "x.y",
}

local function pick(list) return list[math.random(#list)] end
local function coin() return math.random(2) == 1 end

local function random_attrs()
  local attrs = {}
  for _ = 1, math.random(0, 4) do
    local attr = i[pick { "string", "number", "boolean", "date", "json", "any" }]()
    for _, name in ipairs { "unique", "indexed" } do
      if coin() then attr = attr[name](attr) end
    end
    local last = pick { "optional", "clientRequired", "none" }
    attrs[pick(NAMES)] = last ~= "none" and attr[last](attr) or attr
  end
  return i.entity(attrs)
end

local function random_schema()
  local entities, links, rooms, etypes = {}, {}, {}, {}
  for _ = 1, math.random(1, 5) do entities[pick(NAMES)] = random_attrs() end
  for name in pairs(entities) do etypes[#etypes + 1] = name end
  for n = 1, math.random(0, 4) do
    local function side(label)
      return { on = pick(etypes), label = label .. n, has = pick { "one", "many" },
        onDelete = pick { "cascade", "restrict" } }
    end
    links[pick(NAMES) .. n] = { forward = side "to ", reverse = side "from" }
  end
  for _, link in pairs(links) do
    link.forward.required = pick { true, false }
    if coin() then link.forward.onDelete = nil end
    if coin() then link.reverse.onDelete = nil end
  end
  for _ = 1, math.random(0, 2) do
    rooms[pick(NAMES)] = { presence = coin() and random_attrs() or nil, topics = { [pick(NAMES)] = random_attrs() } }
  end
  return i.schema { entities = entities, links = links, rooms = rooms }
end

-- What a file in Lua keeps: `required` is said when it is, `restrict` is what there is without a word.
local function as_kept(schema)
  for _, link in pairs(schema.links) do
    for _, side in pairs { link.forward, link.reverse } do
      if side.required == false then side.required = nil end
      if side.onDelete == "restrict" then side.onDelete = nil end
    end
  end
  return schema
end

local function run(text)
  return assert(load(text, "=text"))()
end

describe("a random schema", function()
  it("stays what it is from Lua to TypeScript to Lua", function()
    math.randomseed(seed)
    for n = 1, ROUNDS do
      local schema = random_schema()
      local text = assert(core.schema_file(schema, schema))
      local again, problem = ts.read(text, "instant.schema.ts")
      local note = ("seed %d, round %d: %s\n%s"):format(seed, n, tostring(problem), text)
      assert.is_table(again, note)
      local kept = json(as_kept(schema))
      assert.equal(kept, json(as_kept(again)), note)
      assert.equal(kept, json(run(source.schema(again, again.rooms))), note)
    end
  end)

  it("and rules do too", function()
    math.randomseed(seed)
    local function rule() return pick { "true", "auth.id == data.owner", "a \"b\" 'c' `d` ${e} \\ \n caf\195\169" } end
    for _ = 1, ROUNDS do
      local rules = {}
      for _ = 1, math.random(0, 4) do
        rules[pick(NAMES)] = {
          allow = { view = rule(), ["$default"] = pick { true, false }, link = { [pick(NAMES)] = rule() } },
          bind = pick { { "a", rule(), "b", rule() }, { a = rule() } },
          ["$rateLimits"] = pick { 1, 2.5, -3, instant.null },
        }
      end
      local again = assert(ts.read(assert(core.perms_file(rules)), "instant.perms.ts"))
      assert.equal(json(rules), json(again))
      assert.equal(json(rules), json(run(source.perms(again))))
    end
  end)
end)

describe("a broken file", function()
  local PIECES = {
    "{", "}", "(", ")", "[", "]", "<", ">", "\"", "'", "`", "${", "\\", "/*", "*/", "//", "\n", ",", ";", ":", ".",
    "...", "=>", "as", "satisfies", "type", "interface", "import", "export default", "const", "i", ".string()",
    "\\u{", "\\uD800", "\0", "\255", "=", "?", "|", "&", "extends", "keyof", "7", "0x", "1e", "-", "+", "!",
    "from", "{{{{{{{{{{{{{{{{",
  }

  local function mutated(text)
    for _ = 1, math.random(1, 4) do
      local at, what = math.random(#text), math.random(4)
      local before, after = text:sub(1, at - 1), text:sub(at)
      if what == 1 then
        text = before .. after:sub(math.random(1, 12))
      elseif what == 2 then
        text = before .. pick(PIECES) .. after
      elseif what == 3 then
        text = before
      else
        local from = math.random(#text)
        text = before .. text:sub(from, from + math.random(30)) .. after
      end
      if text == "" then text = " " end
    end
    return text
  end

  it("gives a value or an error with its place, whatever it is", function()
    math.randomseed(seed)
    local schema = random_schema()
    local rules = { a = { allow = { view = "true" } } }
    local texts = { assert(core.schema_file(schema, schema)), assert(core.perms_file(rules)), [[
      import { i, type X } from "x"; type T<A> = A extends B<C[]> ? { a: () => void } : never;
      const shared = { a: `t` + 'u', b: [1, -2.5e3, null,], } as const satisfies Y;
      interface Z extends T<1> { a: string }
      export default i.schema({ entities: { a: i.entity({ j: i.json<{ a: 1 }>().optional() }) }, links: {}, });]] }
    for n = 1, ROUNDS * 10 do
      local text = mutated(pick(texts))
      local ok, value, problem = pcall(ts.read, text, "f.ts")
      local note = ("seed %d, round %d: %s\n%s"):format(seed, n, tostring(value), text)
      assert.is_true(ok, note)
      if value == nil then
        assert.matches("^f%.ts:%d+:%d+: .", problem, note)
      else
        assert.is_table(value, note)
      end
    end
  end)
end)
