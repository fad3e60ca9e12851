// Scripts of `instant-lua serve` as official clients meet them: functions called over HTTP, live ones
// subscribed to, checks that refuse an optimistic write, reloads under open connections.

import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { connect, id, live, makeApp, root, scratch, serve, within } from './harness.mjs';

const SCRIPT = `
local server = ...
local instant = require "instant"

server.live("open", function(ctx, params)
  return { todos = { ["$"] = { where = { done = false }, limit = params and params.limit } } }
end)
server.query("titles", function(ctx)
  local titles = instant.array {}
  for _, todo in ipairs(ctx.db.query { todos = { ["$"] = { order = { title = "asc" } } } }.todos) do
    titles[#titles + 1] = todo.title
  end
  return titles
end)
server.mutation("add", function(ctx, params)
  local todo = instant.id()
  ctx.db.transact(ctx.db.tx.todos[todo]:update { title = params.title, done = false })
  return { id = todo }
end)
server.check("todos", function(ctx, change)
  if change.new and change.new.title == "forbidden" then
    error { type = "validation-failed", message = "not this title", hint = { title = change.new.title } }
  end
  if change.new and change.new.title then return { length = #change.new.title } end
end)
server.query("endless", function() while true do end end)
server.query("version", function() return 1 end)
`;

const SCHEMA = {
  entities: {
    todos: {
      attrs: {
        title: { valueType: 'string', config: { indexed: true } },
        done: { valueType: 'boolean', config: { indexed: true } },
        length: { valueType: 'number', config: {} },
      },
    },
  },
  links: {},
};

async function start(t, { script = SCRIPT, args = [] } = {}) {
  const dir = scratch(t);
  const file = path.join(dir, 'app.lua');
  writeFileSync(file, script);
  const server = await serve(t, { args: ['--script', file, ...args] });
  const app = await makeApp(server, { title: 'test', schema: SCHEMA });
  return { server, app, file, dir };
}

async function call(server, app, name, params, headers = {}) {
  const response = await fetch(`${server.api}/apps/${app.id}/functions/${name}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: params === undefined ? undefined : JSON.stringify(params),
  });
  return { status: response.status, headers: response.headers, ...(await response.json()) };
}

test('an official client subscribes to a live function and sees what a mutation adds', async (t) => {
  const { server, app } = await start(t);
  const db = connect(t, server, app);
  const { query, result } = await call(server, app, 'open', { limit: 10 });
  assert.deepEqual(result, { todos: [] });
  const seen = live(t, db, query);
  await seen.until((r) => r.data?.todos.length === 0, 'an empty result');
  const added = await call(server, app, 'add', { title: 'milk' });
  const { data } = await seen.until((r) => r.data?.todos.length === 1, 'what was added');
  assert.deepEqual(data.todos, [{ id: added.result.id, title: 'milk', done: false, length: 4 }]);
  await db.transact(db.tx.todos[added.result.id].update({ done: true }));
  await seen.until((r) => r.data?.todos.length === 0, 'nothing again');
  assert.deepEqual((await call(server, app, 'titles')).result, ['milk']);
});

test('what the documentation says a JavaScript client does', async (t) => {
  const { server, app } = await start(t);
  const db = connect(t, server, app);
  const [, code] = readFileSync(path.join(root, 'lua/docs/server.md'), 'utf8').match(/```js open\.js\n([^]*?)```/);
  const AsyncFunction = (async () => {}).constructor;
  let heard;
  const first = new Promise((resolve) => { heard = resolve; });
  const log = (line) => { if (line === '1 to do') heard(); };
  await new AsyncFunction('db', 'apiURI', 'appId', 'console', code)(db, server.api, app.id, { log });
  await call(server, app, 'add', { title: 'milk' });
  await within(20000, '1 to do', first);
});

test('what a check refuses is rolled back in the client that had it at once', async (t) => {
  const { server, app } = await start(t);
  const db = connect(t, server, app);
  const seen = live(t, db, { todos: {} });
  await seen.until((r) => r.data, 'a result');
  const todo = id();
  const titles = [];
  t.after(db.subscribeQuery({ todos: {} }, (r) => titles.push(...(r.data?.todos ?? []).map((row) => row.title))));
  await assert.rejects(db.transact(db.tx.todos[todo].update({ title: 'forbidden', done: false })), (error) => {
    assert.equal(error.message, 'not this title');
    assert.deepEqual(error.hint, { title: 'forbidden' });
    return true;
  });
  assert.ok(titles.includes('forbidden'), 'it was there at once');
  await seen.until((r) => r.data.todos.length === 0, 'the write is gone');
  await db.transact(db.tx.todos[todo].update({ title: 'allowed', done: false }));
  await seen.until((r) => r.data.todos[0]?.length === 7, 'what the check added');
});

test('a reload leaves connections and live queries as they are', async (t) => {
  const { server, app, file } = await start(t);
  const db = connect(t, server, app);
  const seen = live(t, db, (await call(server, app, 'open')).query);
  const states = [];
  t.after(db.subscribeConnectionStatus((state) => states.push(state)));
  await seen.until((r) => r.data, 'a result');
  await db.transact(db.tx.todos[id()].update({ title: 'one', done: false }));
  const before = states.length;

  writeFileSync(file, 'local server = ...\nserver.query("version" function() return 2 end)\n');
  server.child.kill('SIGHUP');
  await server.said(/script kept as it was: \S*app\.lua:2: '\)' expected near 'function'/);
  assert.equal((await call(server, app, 'version')).result, 1);

  writeFileSync(file, SCRIPT.replace('return 1 end', 'return 2 end').replace('"forbidden"', '"other"'));
  server.child.kill('SIGHUP');
  await server.said(/script read again/);
  assert.equal((await call(server, app, 'version')).result, 2);
  await db.transact(db.tx.todos[id()].update({ title: 'forbidden', done: false }));
  await seen.until((r) => r.data.todos.length === 2, 'a refresh behind the reload');
  assert.equal(states.length, before, 'the connection was there all the time');
});

test('with --watch the files are read again when they change, modules too', async (t) => {
  const dir = scratch(t);
  const file = path.join(dir, 'app.lua');
  const module = path.join(dir, 'words.lua');
  writeFileSync(module, 'return { hello = "hello" }');
  writeFileSync(file, 'local server = ... local words = require "words"\nserver.query("hello", function() return words.hello end)');
  const server = await serve(t, { args: ['--script', file, '--watch'] });
  const app = await makeApp(server);
  assert.equal((await call(server, app, 'hello')).result, 'hello');
  writeFileSync(module, 'return { hello = "good day" }');
  await server.said(/script read again/);
  assert.equal((await call(server, app, 'hello')).result, 'good day');
  writeFileSync(module, 'return {\n');
  await server.said(/script kept as it was: \S*words\.lua:2: /);
  rmSync(module);
  await server.said(/script kept as it was: module 'words': \S*words\.lua: No such file/);
  assert.equal((await call(server, app, 'hello')).result, 'good day');
});

test('an endless function fails alone', async (t) => {
  const { server, app } = await start(t);
  const db = connect(t, server, app);
  const seen = live(t, db, { todos: {} });
  await seen.until((r) => r.data, 'a result');
  const [endless, added] = await Promise.all([
    call(server, app, 'endless'),
    call(server, app, 'add', { title: 'meanwhile' }),
  ]);
  assert.equal(endless.status, 500);
  assert.equal(endless.type, 'function-limit');
  assert.equal(added.status, 200);
  await seen.until((r) => r.data.todos.length === 1, 'what was added meanwhile');
});

test('from a web page, and by who has signed in', async (t) => {
  const { server, app } = await start(t, {
    script: `local server = ...
      server.query("me", function(ctx) return { email = ctx.user and ctx.user.email, isAdmin = ctx.isAdmin } end)
      server.route("POST", "/hooks/:kind", function(ctx, request)
        return { status = 201, headers = { ["X-Kind"] = request.params.kind }, body = "got " .. request.body }
      end)`,
  });
  const admin = { authorization: `Bearer ${app.token}`, 'app-id': app.id, 'Content-Type': 'application/json' };
  const made = await fetch(`${server.api}/admin/refresh_tokens`, {
    method: 'POST', headers: admin, body: JSON.stringify({ email: 'ann@example.com' }),
  });
  const { user } = await made.json();
  const asked = await call(server, app, 'me', undefined, { authorization: `Bearer ${user.refresh_token}`, origin: 'https://a.example' });
  assert.deepEqual(asked.result, { email: 'ann@example.com', isAdmin: false });
  assert.equal(asked.headers.get('access-control-allow-origin'), 'https://a.example');
  const preflight = await fetch(`${server.api}/apps/${app.id}/functions/me`, {
    method: 'OPTIONS',
    headers: { origin: 'https://a.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
  });
  assert.match(preflight.headers.get('access-control-allow-methods'), /POST/);
  assert.equal(preflight.headers.get('access-control-allow-headers'), 'authorization');
  const hook = await fetch(`${server.api}/apps/${app.id}/routes/hooks/stripe`, { method: 'POST', body: 'paid' });
  assert.equal(hook.status, 201);
  assert.equal(hook.headers.get('x-kind'), 'stripe');
  assert.equal(await hook.text(), 'got paid');
});

test('the shop of the examples sells what it has', async (t) => {
  const server = await serve(t, { args: ['--script', path.join(root, 'examples/server-lua/app.lua')] });
  const app = await makeApp(server);
  const post = async (where, body) => {
    const response = await fetch(`${server.api}/apps/${app.id}/${where}`, { method: 'POST', body: JSON.stringify(body) });
    return response.json();
  };
  assert.deepEqual(await post('routes/deliveries', { sku: 'tea', count: 3 }), { stock: 3 });
  const db = connect(t, server, app);
  const shop = live(t, db, (await post('functions/shop')).query);
  await shop.until((r) => r.data?.products[0]?.stock === 3, 'the delivery');
  const { result } = await post('functions/buy', { sku: 'tea', count: 2 });
  await shop.until((r) => r.data.products[0]?.stock === 1, 'what is left');
  const orders = live(t, db, { orders: { $: { where: { id: result.order } } } });
  await orders.until((r) => r.data?.orders[0]?.status === 'confirmed', 'the reaction');
  const refused = await post('functions/buy', { sku: 'tea', count: 2 });
  assert.equal(refused.message, 'That many are not there.');
  assert.deepEqual(refused.hint, { stock: 1 });
  assert.equal((await post('functions/buy', { sku: 'cake', count: 1 })).type, 'record-not-found');
  await post('functions/buy', { sku: 'tea', count: 1 });
  await shop.until((r) => r.data.products[0].stock === 0, 'all sold');
});

test('a script for one app, another for the rest', async (t) => {
  const dir = scratch(t);
  const server = await serve(t);
  const app = await makeApp(server);
  const other = await makeApp(server);
  server.child.kill('SIGTERM');
  await server.ended;
  writeFileSync(path.join(dir, 'one.lua'), 'local server = ... server.query("who", function() return "one" end)');
  writeFileSync(path.join(dir, 'rest.lua'), 'local server = ... server.query("who", function() return "rest" end)');
  writeFileSync(path.join(dir, 'config.lua'), `return { script = { ["${app.id}"] = "${dir}/one.lua", ["*"] = "${dir}/rest.lua" } }`);
  const again = await serve(t, { data: server.data, args: ['--config', path.join(dir, 'config.lua')] });
  assert.equal((await call(again, app, 'who')).result, 'one');
  assert.equal((await call(again, other, 'who')).result, 'rest');
});
