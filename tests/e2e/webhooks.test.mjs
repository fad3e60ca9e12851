// Webhooks from end to end: the official receiver (@instantdb/webhooks), the official manager, command
// line and Lua module against `instant-lua serve`, with a server of ours at the other end.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import * as admin from '@instantdb/admin';
import { Webhooks } from '@instantdb/webhooks';
import { eventually, id, makeApp, root, run, scratch, serve, within } from './harness.mjs';

// A server whose answers `answer(request)` says: {status, body}. Requests as they came, in order.
async function receiver(t, answer) {
  const seen = [];
  const waiting = new Set();
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const got = { url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() };
    seen.push(got);
    for (const look of [...waiting]) look();
    const { status = 200, body = 'ok', headers = {}, hold } = await answer(got, seen.length) ?? {};
    if (hold) await hold;
    response.writeHead(status, headers);
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address();
  return {
    seen, port, url: `http://127.0.0.1:${port}/hook`,
    count: (n, ms = 30000) => within(ms, `${n} deliveries, had ${seen.length}`, new Promise((resolve) => {
      const look = () => { if (seen.length >= n) resolve(seen); };
      waiting.add(look);
      look();
    })),
  };
}

async function setUp(t, options = {}) {
  const server = await serve(t, { args: ['--allow-host', '127.0.0.1'], ...options });
  const app = await makeApp(server);
  const db = admin.init({ appId: app.id, adminToken: app.token, apiURI: server.api });
  await db.transact(db.tx.todos[id()].update({ title: 'before' }));
  return { server, app, db, manager: db.webhooks.manager };
}

test('the official receiver verifies and processes what is sent', async (t) => {
  const { app, db, server, manager } = await setUp(t);
  const hooks = new Webhooks({ appId: app.id, apiURI: server.api });
  const told = [];
  const { typedHandlers, combineHandlers } = hooks.helpers();
  const handlers = combineHandlers(
    typedHandlers('todos', 'create', async (record) => { told.push(['create', record.after.title]); }),
    typedHandlers('todos', 'update', async (record) => {
      told.push(['update', record.before.title, record.after.title]);
    }),
    typedHandlers('todos', 'delete', async (record) => { told.push(['delete', record.before.title]); }),
  );
  const errors = [];
  const to = await receiver(t, async (request) => {
    try {
      await hooks.processNodeRequest(handlers, { headers: request.headers, body: request.body });
      return { status: 200, body: 'thanks' };
    } catch (e) {
      errors.push(e.message);
      return { status: 500, body: e.message };
    }
  });
  const webhook = await manager.create({
    url: to.url, namespaces: ['todos'], actions: ['create', 'update', 'delete'],
  });
  assert.equal(webhook.status, 'active');
  const todo = id();
  await db.transact(db.tx.todos[todo].update({ title: 'a' }));
  await to.count(1);
  await db.transact(db.tx.todos[todo].update({ title: 'b' }));
  await to.count(2);
  await db.transact(db.tx.todos[todo].delete());
  await to.count(3);
  const { events } = await eventually('three successes', () => manager.listEvents(webhook.id),
    (page) => page.events.filter((event) => event.status === 'success').length === 3);
  assert.deepEqual(errors, []);
  assert.deepEqual(told, [['create', 'a'], ['update', 'a', 'b'], ['delete', 'b']]);
  assert.equal(events[0].attempts[0].responseText, 'thanks');
  assert.equal(events[0].attempts[0].statusCode, 200);
  for (const request of to.seen) {
    assert.equal(request.headers['user-agent'], 'InstantDB Webhook Sender');
    assert.equal(request.headers['content-type'], 'application/json');
    assert.match(request.headers['idempotency-key'], /^[0-9a-f-]{36}$/);
    assert.deepEqual(Object.keys(JSON.parse(request.body)), ['payloadUrl', 'token']);
  }
  const bad = { headers: to.seen[0].headers, body: to.seen[0].body + ' ' };
  await assert.rejects(hooks.processNodeRequest(handlers, bad), /did not validate/);
  assert.equal(await manager.getPayload(webhook.id, events[0].isn).then((p) => p.data[0].action), 'delete');
});

test('the official manager, and what it is refused', async (t) => {
  const { server, app, manager } = await setUp(t);
  const to = await receiver(t, () => ({}));
  const made = await manager.create({ url: to.url, namespaces: ['todos'], actions: ['create'] });
  assert.deepEqual((await manager.list()).map((w) => w.id), [made.id]);
  assert.deepEqual((await manager.update(made.id, { actions: ['delete'] })).actions, ['delete']);
  const disabled = await manager.disable(made.id, { reason: 'why' });
  assert.deepEqual([disabled.status, disabled.disabledReason], ['disabled', 'why']);
  assert.equal((await manager.enable(made.id)).status, 'active');
  for (const [url, message] of [
    ['http://93.184.216.34/', /must be https/],
    ['https://localhost/', /must be a public url/],
    ['https://169.254.169.254/latest', /must be a public url/],
    ['https://10.0.0.1/', /must be a public url/],
    ['https://[::1]/', /must be a public url/],
    ['https://[::ffff:10.0.0.1]/', /must be a public url/],
    ['ftp://example.com', /Invalid URL/],
  ]) await assert.rejects(manager.create({ url, namespaces: ['todos'], actions: ['create'] }), message, url);
  await assert.rejects(manager.create({ url: to.url, namespaces: ['x'], actions: ['create'] }),
    /Could not find matching table for x/);
  const other = await makeApp(server);
  const foreign = admin.init({ appId: app.id, adminToken: other.token, apiURI: server.api });
  await assert.rejects(foreign.webhooks.manager.list(), /Record not found: app-admin-token/);
  const theirs = admin.init({ appId: other.id, adminToken: other.token, apiURI: server.api });
  await assert.rejects(theirs.webhooks.manager.delete(made.id), /Record not found: webhook/);
  assert.equal((await manager.delete(made.id)).id, made.id);
  await assert.rejects(manager.listEvents(made.id), /Record not found: webhook/);
});

test('redirects are not followed, long answers are cut, and 410 disables', async (t) => {
  const { server, db, manager } = await setUp(t);
  const elsewhere = await receiver(t, () => ({}));
  const to = await receiver(t, (_, n) => [
    { status: 302, headers: { location: elsewhere.url } },
    { status: 200, body: 'x'.repeat(5_000_000) },
    { status: 410, body: 'gone' },
  ][n - 1]);
  const webhook = await manager.create({ url: to.url, namespaces: ['todos'], actions: ['create'] });
  const settled = async (n) => (await eventually(`event ${n}`, () => manager.listEvents(webhook.id),
    (page) => page.events.length === n && page.events[0].attempts?.length === 1)).events[0];
  await db.transact(db.tx.todos[id()].update({ title: 'redirect' }));
  const first = await settled(1);
  assert.deepEqual([first.status, first.attempts[0].statusCode], ['error', 302]);
  assert.ok(first.nextAttemptAfter > new Date());
  await db.transact(db.tx.todos[id()].update({ title: 'long' }));
  const second = await settled(2);
  assert.deepEqual([second.status, second.attempts[0].responseText.length], ['success', 256]);
  await db.transact(db.tx.todos[id()].update({ title: 'gone' }));
  assert.equal((await settled(3)).status, 'failed');
  const [after] = await eventually('disabling', () => manager.list(), ([w]) => w.status === 'disabled');
  assert.equal(after.disabledReason, 'Endpoint returned 410 status code.');
  assert.equal(elsewhere.seen.length, 0);
  // Secrets of deliveries are nobody's to read.
  assert.doesNotMatch(server.output(), /eyJ|v1=/);
});

test('names that lead inside are refused when they are sent to', async (t) => {
  const { db } = await setUp(t, { args: [] });
  // A number is a name until it is looked up: 127.0.0.1.
  const webhook = await db.webhooks.manager.create({
    url: 'https://2130706433/', namespaces: ['todos'], actions: ['create'],
  });
  await db.transact(db.tx.todos[id()].update({ title: 'y' }));
  const { events } = await eventually('a failure', () => db.webhooks.manager.listEvents(webhook.id),
    (page) => page.events[0]?.attempts?.length === 1);
  assert.equal(events[0].status, 'error');
  assert.equal(events[0].attempts[0].errorType, 'dns');
});

test('a backend that is killed tells of everything that was written', async (t) => {
  const data = scratch(t);
  let { server, app, db, manager } = await setUp(t, { data });
  let isOpen = false;
  const taken = new Set();
  const hooks = () => new Webhooks({ appId: app.id, apiURI: server.api });
  const to = await receiver(t, async (request) => {
    if (!isOpen) return { hold: new Promise(() => {}) };
    const body = JSON.parse(request.body);
    const { data: records } = await hooks().fetchPayloads(body);
    for (const record of records) taken.add(record.after.title);
    return { status: 200 };
  });
  const webhook = await manager.create({ url: to.url, namespaces: ['todos'], actions: ['create'] });
  const wanted = [];
  for (let n = 0; n < 25; n++) {
    wanted.push(`t${n}`);
    await db.transact(db.tx.todos[id()].update({ title: `t${n}` }));
  }
  await to.count(1); // some are on their way, others wait
  server.child.kill('SIGKILL');
  await server.ended;
  isOpen = true;
  server = await serve(t, { data, port: server.port, args: ['--allow-host', '127.0.0.1'] });
  await eventually('all of them', async () => taken, (all) => wanted.every((title) => all.has(title)));
  const { events } = await eventually('all successes', () => manager.listEvents(webhook.id),
    (page) => page.events.every((event) => event.status === 'success'));
  assert.equal(events.length, 25);
});

test('the official command line', async (t) => {
  const { server, app, db } = await setUp(t);
  const [, operator] = await server.line(/operator token:\s+(per_[0-9a-f]{64})\s/);
  const to = await receiver(t, () => ({}));
  const program = path.join(root, 'tests/e2e/node_modules/instant-cli/bin/index.js');
  const dir = scratch(t);
  symlinkSync(path.join(root, 'tests/e2e/node_modules'), path.join(dir, 'node_modules'));
  writeFileSync(path.join(dir, 'package.json'), JSON.stringify({
    name: 'project', private: true, type: 'module', dependencies: { '@instantdb/core': '1.0.67' },
  }));
  const cli = async (...args) => {
    const child = spawn(process.execPath, [program, 'webhook', ...args, '--app', app.id], {
      cwd: dir, stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH, HOME: dir, CI: '1', NO_COLOR: '1',
        INSTANT_CLI_API_URI: server.api, INSTANT_CLI_DASH_URI: server.api, INSTANT_CLI_AUTH_TOKEN: operator,
      },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += chunk; });
    const code = await within(60000, args.join(' '), new Promise((resolve) => child.on('close', resolve)));
    assert.equal(code, 0, `${args.join(' ')}\n${output}`);
    return output;
  };
  // It takes https only; nobody speaks TLS there.
  await cli('add', '--url', to.url.replace('http', 'https'), '--namespaces', 'todos', '--actions', 'create');
  const manager = db.webhooks.manager;
  const [webhook] = await manager.list();
  assert.match(await cli('list'), new RegExp(webhook.id));
  await db.transact(db.tx.todos[id()].update({ title: 'cli' }));
  const { events: [event] } = await eventually('an attempt', () => manager.listEvents(webhook.id),
    (page) => page.events[0]?.attempts?.length === 1);
  assert.equal(event.attempts[0].errorType, 'tls');
  await manager.update(webhook.id, { url: to.url });
  assert.match(await cli('event', 'list', '--webhook-id', webhook.id), new RegExp(event.isn));
  assert.match(await cli('event', 'payload', '--webhook-id', webhook.id, '--isn', event.isn), /"?cli"?/);
  await cli('event', 'resend', '--webhook-id', webhook.id, '--isn', event.isn);
  await eventually('success', () => manager.getEvent(webhook.id, event.isn), (e) => e.status === 'success');
  await cli('update', '--id', webhook.id, '--actions', 'delete');
  await cli('disable', '--id', webhook.id, '--reason', 'why');
  assert.equal((await manager.list())[0].disabledReason, 'why');
  await cli('enable', '--id', webhook.id);
  await cli('delete', '--id', webhook.id, '--yes');
  assert.deepEqual(await manager.list(), []);
});

test('the Lua module', async (t) => {
  const { server, app, db } = await setUp(t);
  const to = await receiver(t, () => ({}));
  const lua = run(t, [path.join(root, 'tests/e2e/webhooks_client.lua'), server.api, app.id, app.token]);
  lua.write(`add ${to.url}\n`);
  const [, webhook] = await lua.line(/^made (\S+) active$/);
  await db.transact(db.tx.todos[id()].update({ title: 'to Lua' }));
  const [request] = await to.count(1);
  lua.write(`request ${request.headers['instant-signature']} ${request.body}\n`);
  await lua.line(/^create to Lua$/);
  await lua.line(/^processed$/);
  lua.write(`request ${request.headers['instant-signature']} ${request.body} \n`);
  await lua.line(/^refused .*did not validate/);
  lua.write(`events ${webhook}\n`);
  await lua.line(/^event \S+ success 1$/);
  lua.child.stdin.end();
  assert.equal(await lua.ended, 0);
});
