// The host's own push, pull, query and apps: a project in Lua, no node in it.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { init } from '@instantdb/admin';
import { id, run, scratch, serve } from './harness.mjs';

// A project folder; `lua(...args)` runs a subcommand in it.
function project(t, variables) {
  const dir = scratch(t);
  const file = (name) => path.join(dir, name);
  return {
    file,
    write: (name, text) => writeFileSync(file(name), text),
    read: (name) => readFileSync(file(name), 'utf8'),
    async lua(args, { input = '', env = {} } = {}) {
      const command = run(t, args, { cwd: dir, env: { ...process.env, ...variables, ...env } });
      command.child.stdin.end(input);
      const code = await command.ended;
      return { code, output: command.output() };
    },
  };
}

async function setUp(t) {
  const server = await serve(t);
  const [, appId] = await server.line(/app id:\s+(\S+)/);
  const [, adminToken] = await server.line(/admin token:\s+(\S+)/);
  const [, operator] = await server.line(/operator token:\s+(\S+)/);
  const variables = {
    INSTANT_CLI_API_URI: server.api, INSTANT_APP_ID: appId, INSTANT_APP_ADMIN_TOKEN: adminToken,
  };
  return { server, operator, appId, db: init({ appId, adminToken, apiURI: server.api }), ...project(t, variables) };
}

const ok = (result) => assert.equal(result.code, 0, result.output);
const fails = (result, pattern) => {
  assert.equal(result.code, 1, result.output);
  assert.match(result.output, pattern);
  assert.doesNotMatch(result.output, /traceback/);
};

const schema = (attrs, more = '') => `return i.schema { entities = { posts = i.entity { ${attrs} }, people = i.entity {} },
  links = { a = { forward = { on = "posts", label = "author", has = "one", onDelete = "cascade" },
                  reverse = { on = "people", label = "posts", has = "many" } } }, ${more} }`;

test('push shows, asks and applies; pull writes the same; query', async (t) => {
  const { lua, write, read, file, db } = await setUp(t);
  fails(await lua(['push']), /no instant\.schema\.lua/);
  fails(await lua(['push', 'schema']), /cannot read instant\.schema\.lua/);
  write('instant.schema.lua', schema('title = i.string():indexed(), at = i.date():optional()',
    'rooms = { chat = { presence = i.entity { name = i.string() }, topics = { wave = i.entity {} } } }'));
  write('instant.perms.lua', 'return { posts = { allow = { view = "data.title != \\"hidden\\"" }, bind = { "a", "true" } } }');

  fails(await lua(['push'], { input: 'n\n' }), /Create new entity posts\.id\.[^]*nothing was changed/);
  fails(await lua(['push']), /nothing was changed/);
  const pushed = await lua(['push'], { input: 'y\ny\n' });
  ok(pushed);
  assert.match(pushed.output, /\+ Link posts\.author to people\.posts\./);
  assert.match(pushed.output, /done: index of posts\.title/);
  assert.match(pushed.output, /\+ posts: \{"allow"/);
  const again = await lua(['push']);
  ok(again);
  assert.match(again.output, /schema is up to date[^]*rules are up to date/);

  await db.transact([
    db.tx.posts[id()].update({ title: 'one' }), db.tx.posts[id()].update({ title: 'hidden' }),
  ]);
  const titles = async (...args) => {
    const result = await lua(['query', ...args]);
    ok(result);
    return JSON.parse(result.output).posts.map((post) => post.title).sort();
  };
  assert.deepEqual(await titles('{ posts = { ["$"] = { fields = { "title" } } } }'), ['hidden', 'one']);
  assert.deepEqual(await titles('{"posts": {}}', '--as-guest'), ['one']);
  fails(await lua(['query', 'os.exit(0)']), /query:1/);
  fails(await lua(['query', '{ posts = 1 }']), /Validation failed for query/);
  fails(await lua(['query', '{}', '--as-guest', '--admin']), /not several/);

  const before = read('instant.schema.lua');
  fails(await lua(['pull', 'schema'], { input: 'n\n' }), /Replace instant\.schema\.lua\?[^]*was not changed/);
  assert.equal(read('instant.schema.lua'), before);
  ok(await lua(['pull', '-y']));
  const text = read('instant.schema.lua');
  assert.match(text, /title = i\.string\(\):indexed\(\),/);
  assert.match(text, /forward = \{ on = "posts", label = "author", has = "one", onDelete = "cascade" \}/);
  assert.match(text, /chat = \{\s+presence = i\.entity \{\s+name = i\.string\(\),\s+\},\s+topics = \{\s+wave = i\.entity \{\}/);
  const unchanged = await lua(['push']);
  ok(unchanged);
  assert.match(unchanged.output, /schema is up to date[^]*rules are up to date/);
  ok(await lua(['pull', '--typescript', '-y']));
  assert.match(read('instant.schema.ts'), /"title": i\.string\(\)\.indexed\(\),/);
  assert.match(read('instant.perms.ts'), /satisfies InstantRules/);
  assert.ok(!existsSync(file('instant.schema.ts.new')));
});

test('renames keep the data; what the data or the rules refuse is said', async (t) => {
  const { lua, write, db } = await setUp(t);
  write('instant.schema.lua', schema('title = i.string(), n = i.any():optional()'));
  ok(await lua(['push', '-y']));
  const post = id();
  await db.transact(db.tx.posts[post].update({ title: 'one', n: 'no number' }));

  write('instant.schema.lua', schema('name = i.string(), n = i.any():optional()'));
  fails(await lua(['push', '-y', '--rename', 'title:name']), /Invalid lookup/);
  const renamed = await lua(['push', '-y', '--rename', 'posts.title:posts.name']);
  ok(renamed);
  assert.match(renamed.output, /~ Update attribute posts\.name\./);
  assert.deepEqual((await db.query({ posts: {} })).posts, [{ id: post, name: 'one', n: 'no number' }]);

  write('instant.schema.lua', schema('name = i.string(), n = i.number()'));
  const refused = await lua(['push', '-y']);
  fails(refused, /failed: check-data-type of posts\.n \(invalid-triple-error\)/);
  assert.match(refused.output, new RegExp(`${post}: "no number"`));
  write('instant.schema.lua', 'return i.schema { entities = { ["$mine"] = i.entity {} } }');
  fails(await lua(['push', '-y']), /You can't create '\$mine'/);
  write('instant.schema.lua', 'return i.schema {');
  fails(await lua(['push', '-y']), /instant\.schema\.lua:1:/);
  write('instant.schema.lua', 'error "my own"');
  fails(await lua(['push', '-y']), /my own/);
  write('instant.schema.lua', 'return 7');
  fails(await lua(['push', '-y']), /must return a table/);
  write('instant.perms.lua', 'return { posts = { allow = { view = "data." } } }');
  fails(await lua(['push', 'perms', '-y']), /posts->allow->view/);
  write('instant.perms.lua', 'return { posts = { alow = { view = "true" } } }');
  fails(await lua(['push', 'perms', '-y']), /perms\.lua: posts: there is no `alow` here/);
  write('instant.perms.lua', 'return { posts = { allow = { view = "true" } } }');
  fails(await lua(['push', 'perms', '-y'], { env: { INSTANT_APP_ADMIN_TOKEN: id() } }), /admin token/);
  fails(await lua(['push', 'perms', '-y', '--app', 'x']), /--app must be a uuid/);
  fails(await lua(['push', 'tables']), /push what/);
  fails(await lua(['push', '--foce']), /unknown option --foce/);
});

test('apps are made, listed, renamed and deleted', async (t) => {
  const { lua, operator, server } = await setUp(t);
  const token = ['--token', operator];
  const made = JSON.parse((await lua(['apps', 'create', 'My app', '--json', ...token])).output);
  const db = init({ appId: made.id, adminToken: made.adminToken, apiURI: server.api });
  await db.transact(db.tx.things[id()].update({ n: 1 }));
  const list = await lua(['apps', ...token]);
  ok(list);
  assert.match(list.output, new RegExp(`first app\\n${made.id}  My app`));
  ok(await lua(['apps', 'rename', made.id, 'Renamed', ...token]));
  assert.deepEqual(JSON.parse((await lua(['apps', 'list', '--json', ...token])).output).map((app) => app.title),
    ['first app', 'Renamed']);
  const fresh = JSON.parse((await lua(['apps', 'token', made.id, '--json', ...token])).output);
  await assert.rejects(db.query({ things: {} }));
  const again = init({ appId: made.id, adminToken: fresh.adminToken, apiURI: server.api });
  assert.equal((await again.query({ things: {} })).things.length, 1);

  fails(await lua(['apps']), /operator's token/);
  fails(await lua(['apps', 'delete', made.id, ...token], { input: 'no\n' }), /Delete Renamed[^]*nothing was deleted/);
  ok(await lua(['apps', 'delete', made.id, ...token], { input: 'yes\n' }));
  await assert.rejects(again.query({ things: {} }));
  fails(await lua(['apps', 'delete', made.id, '-y', ...token]), /Record not found: app/);
  fails(await lua(['apps', 'frobnicate', ...token]), /unknown action/);

  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 0);
  const later = await serve(t, { data: server.data, port: server.port });
  assert.doesNotMatch(later.output(), /operator token/, 'it is shown once');
  ok(await lua(['apps', ...token]));
  later.child.kill('SIGTERM');
  await later.ended;
  const command = run(t, ['serve', '--data', server.data, '--port', String(server.port), '--new-operator']);
  const [, another] = await command.line(/operator token:\s+(per_\S+)/);
  ok(await lua(['apps', '--token', another]));
});

test('a file of this machine, without server and tokens', async (t) => {
  const { lua, write, file } = project(t, {});
  write('instant.schema.lua', schema('title = i.string()'));
  const api = ['--api', `local:${file('app.db')}`];
  ok(await lua(['push', '-y', ...api]));
  const result = await lua(['query', '{ posts = {} }', ...api]);
  ok(result);
  assert.deepEqual(JSON.parse(result.output), { posts: [] });
  const again = await lua(['push', ...api]);
  ok(again);
  assert.match(again.output, /schema is up to date/);
});
