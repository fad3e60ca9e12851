// Schema and rules from Lua to TypeScript and back, and types from a schema: the official command line pushes what was written here, and
// what it pulls is read here.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { root, run, scratch, serve } from './harness.mjs';

const modules = path.join(root, 'tests/e2e/node_modules');
const program = path.join(modules, 'instant-cli/bin/index.js');

async function setUp(t) {
  const server = await serve(t);
  const [, appId] = await server.line(/app id:\s+(\S+)/);
  const [, adminToken] = await server.line(/admin token:\s+(\S+)/);
  const dir = scratch(t);
  const file = (name) => path.join(dir, name);
  mkdirSync(file('config'));
  symlinkSync(modules, file('node_modules'));
  writeFileSync(file('package.json'), JSON.stringify({
    name: 'project', private: true, type: 'module', dependencies: { '@instantdb/core': '1.0.67' },
  }));
  const env = {
    PATH: process.env.PATH, HOME: dir, XDG_CONFIG_HOME: file('config'), CI: '1', NO_COLOR: '1',
    ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? '',
    INSTANT_CLI_API_URI: server.api, INSTANT_CLI_DASH_URI: server.api,
    INSTANT_APP_ID: appId, INSTANT_APP_ADMIN_TOKEN: adminToken,
  };
  return {
    file,
    write: (name, text) => writeFileSync(file(name), text),
    read: (name) => readFileSync(file(name), 'utf8'),
    async lua(...args) {
      const command = run(t, args, { cwd: dir, env });
      command.child.stdin.end();
      const code = await command.ended;
      return { code, output: command.output() };
    },
    cli: (...args) => new Promise((resolve) => {
      const child = execFile(process.execPath, [program, ...args], { cwd: dir, env, timeout: 60000 },
        (error, stdout, stderr) => resolve({ code: error ? error.code ?? error.signal : 0, output: stdout + stderr }));
      child.stdin.end();
    }),
  };
}

const ok = (result, pattern = /^/) => {
  assert.equal(result.code, 0, result.output);
  assert.match(result.output, pattern);
};
const fails = (result, pattern) => {
  assert.equal(result.code, 1, result.output);
  assert.match(result.output, pattern);
  assert.doesNotMatch(result.output, /traceback/);
};

const schema = `return i.schema {
  entities = {
    ["$users"] = i.entity { email = i.string():unique():indexed():optional() },
    posts = i.entity {
      title = i.string():indexed(), slug = i.string():unique():optional(), at = i.date():optional(),
      meta = i.json():optional(), stars = i.number():clientRequired(), ["in public"] = i.boolean():optional(),
    },
    people = i.entity { name = i.string() },
  },
  links = {
    postsAuthor = {
      forward = { on = "posts", label = "author", has = "one", required = true, onDelete = "cascade" },
      reverse = { on = "people", label = "posts", has = "many" },
    },
    peopleUser = {
      forward = { on = "people", label = "user", has = "one" }, reverse = { on = "$users", label = "person", has = "one" },
    },
  },
  rooms = { chat = { presence = i.entity { name = i.string() }, topics = { wave = i.entity { hand = i.string():optional() } } } },
}`;
const perms = `return {
  posts = { allow = { view = "true", update = "mine", link = { author = "mine" } }, bind = { "mine", "auth.id == data.owner" } },
  ["$default"] = { allow = { ["$default"] = "false" } },
}`;

test('the official command line pushes what was converted, and what it pulls converts back', async (t) => {
  const { lua, cli, write, read, file } = await setUp(t);
  write('instant.schema.lua', schema);
  write('instant.perms.lua', perms);
  ok(await lua('convert', 'instant.schema.lua', '--out', 'instant.schema.ts'), /Wrote instant\.schema\.ts/);
  ok(await lua('convert', 'instant.perms.lua', '--out', 'instant.perms.ts'));
  assert.match(read('instant.schema.ts'), /"stars": i\.number\(\)\.clientRequired\(\)/);
  const pushed = await cli('push', '-y');
  ok(pushed, /Schema updated!/);
  assert.match(pushed.output, /Permissions updated!/);
  // The app is what the Lua files say, and what the TypeScript files say.
  ok(await lua('push', '-y'), /schema is up to date[^]*rules are up to date/);
  ok(await lua('push', '-y', '--schema', 'instant.schema.ts', '--perms', 'instant.perms.ts'),
    /schema is up to date[^]*rules are up to date/);

  ok(await cli('pull', '-y'), /instant\.schema\.ts/);
  ok(await lua('convert', 'instant.schema.ts', '--out', 'back.schema.lua'));
  ok(await lua('convert', 'instant.perms.ts', '--out', 'back.perms.lua'));
  ok(await lua('push', '-y', '--schema', 'back.schema.lua', '--perms', 'back.perms.lua'),
    /schema is up to date[^]*rules are up to date/);
  assert.match(read('back.schema.lua'), /chat = \{\s+presence = i\.entity \{\s+name = i\.string\(\)/, 'rooms stay');

  // Our own pull keeps the rooms of a TypeScript file too.
  ok(await lua('pull', '--typescript', '-y'));
  const own = await lua('convert', 'instant.schema.ts');
  ok(own, /wave = i\.entity \{\s+hand = i\.string\(\):optional\(\)/);
  ok(await cli('push', '-y'), /No schema changes to apply!/);
  assert.ok(!existsSync(file('instant.schema.ts.new')));
});

test('what cannot be converted is said with its place', async (t) => {
  const { lua, write, file } = await setUp(t);
  write('instant.schema.ts', `import { i } from "@instantdb/core";
export default i.schema({ entities: {
  posts: i.entity({ meta: i.json<{ a: string }>(), [computed]: i.string() }),
} });`);
  fails(await lua('convert', 'instant.schema.ts'), /^instant-lua convert: instant\.schema\.ts:3:52: a computed key cannot be read/);
  fails(await lua('push', '-y', '--schema', 'instant.schema.ts'), /instant\.schema\.ts:3:52/);
  write('instant.schema.ts', `import { i } from "@instantdb/core";
export default i.schema({ entities: { posts: i.entity({ meta: i.json<{ a: string }>() }) } });`);
  ok(await lua('convert', 'instant.schema.ts'), /instant\.schema\.ts:2:69: the type argument <\{ a: string \}> is left out/);
  fails(await lua('convert', 'nothing.ts'), /cannot read nothing\.ts/);
  fails(await lua('convert', 'package.json'), /neither a \.ts nor a \.lua file/);
  fails(await lua('convert'), /one file/);
  fails(await lua('convert', 'instant.schema.ts', '--out', 'nowhere/x.lua'), /cannot write/);
  write('wrong.lua', 'return i.schema { entities = { posts = i.entity { title = "text" } } }');
  fails(await lua('convert', 'wrong.lua'), /wrong\.lua:1: i\.entity: title: expected an attribute/);
  assert.ok(!existsSync(file('nowhere')));
});

test('records of migrations live beside what either command line pushes', async (t) => {
  const { lua, cli, write, file } = await setUp(t);
  mkdirSync(file('migrations'));
  write('migrations/0001_a.lua', 'return { up = function(m) m:transact(m.tx.things[m.id()]:update { n = 1 }) end }');
  ok(await lua('migrate', 'up', '-y'), /Applied 1 migration/);
  // What the official command line pulls has them, so it does not delete them; our own reads that too.
  ok(await cli('pull', '-y'));
  ok(await cli('push', '-y'), /No schema changes to apply!/);
  ok(await lua('push', '-y', '--schema', 'instant.schema.ts', '--perms', 'instant.perms.ts'),
    /schema is up to date[^]*rules are up to date/);
  // Ours does not have them.
  write('instant.schema.lua', 'return i.schema { entities = { things = i.entity { n = i.number():optional() } } }');
  write('instant.perms.lua', 'return { things = { allow = { view = "true" } } }');
  ok(await lua('push', '-y'), /rules were pushed/);
  ok(await lua('migrate'), /0001_a  applied/);
  ok(await lua('push', '-y'), /schema is up to date[^]*rules are up to date/);
});

test('types follow the schema once they are there', async (t) => {
  const { lua, write, read, file } = await setUp(t);
  fails(await lua('types', 'x'), /one argument too many/);
  ok(await lua('types', '--out', '-'), /---@class app\.AdminDb/);
  write('instant.schema.lua', schema);
  ok(await lua('push', '-y'));
  assert.ok(!existsSync(file('instant.types.lua')));
  ok(await lua('types'), /^Wrote instant\.types\.lua/);
  const first = read('instant.types.lua');
  assert.match(first, /---@class app\.posts\n---@field id string\n---@field at\? string\|number\|instant\.Date\|lightuserdata/);
  assert.match(first, /---@field author\? app\.people\n/);
  assert.match(first, /roomType: "chat"/);

  write('instant.schema.lua', schema.replace('people = i.entity {', 'people = i.entity { age = i.number():optional(),'));
  ok(await lua('push', '-y'), /Wrote instant\.types\.lua/);
  assert.match(read('instant.types.lua'), /---@field age\? number/);
  write('instant.types.lua', '---@meta\n');
  ok(await lua('pull', '-y'), /Wrote instant\.types\.lua/);
  assert.match(read('instant.types.lua'), /---@field age\? number[^]*roomType: "chat"/);
  assert.doesNotMatch((await lua('pull', '-y')).output, /instant\.types/);
  // From TypeScript, and from the app.
  ok(await lua('convert', 'instant.schema.lua', '--out', 'instant.schema.ts'));
  ok(await lua('types', '--schema', 'instant.schema.ts', '--out', 'ts.types.lua'));
  assert.equal(read('ts.types.lua'), read('instant.types.lua'));
  write('wrong.lua', 'return {}');
  fails(await lua('types', '--schema', 'wrong.lua'), /wrong\.lua must return i\.schema/);
});
