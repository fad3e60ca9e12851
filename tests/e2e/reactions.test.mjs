// Durable reactions against a backend of its own: hosts are killed with SIGKILL again and again, one at a
// time and two at once, and every change is handled exactly once and in order.
//
// INSTANT_KILLS says how often; a few dozen at first.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as admin from '@instantdb/admin';
import { eventually, id, makeApp, run, serve, within } from './harness.mjs';

const KILLS = Number(process.env.INSTANT_KILLS ?? 30);

function post(server, app, target, body) {
  return fetch(`${server.api}${target}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', authorization: `Bearer ${app.token}`, 'app-id': app.id },
    body: JSON.stringify(body),
  });
}

async function start(t) {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = admin.init({ appId: app.id, adminToken: app.token, apiURI: server.api });
  const reactor = (...args) => run(t, ['tests/e2e/reactor.lua', server.api, app.id, app.token, ...args.map(String)]);
  const orders = { count: 0 };
  const write = async (count, more = {}) => {
    const chunks = [];
    for (let i = 0; i < count; i++) chunks.push(db.tx.orders[id()].create({ n: ++orders.count, ...more }));
    if (chunks.length > 0) await db.transact(chunks);
  };
  return { server, app, db, reactor, orders, write };
}

// What was booked, in the order in which it was committed.
async function booked({ server, app }) {
  const list = [];
  let after;
  for (;;) {
    const answer = await post(server, app, '/admin/changes', { etypes: ['ledger'], after, limit: 1000 });
    const page = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(page));
    list.push(...page.changes.filter((change) => change.action === 'create').map((change) => change.after));
    if (!page.more) return list;
    after = page.position;
  }
}

function untilAtLeast(all, count) {
  return eventually(`${count} rows in the ledger`, () => booked(all), (rows) => rows.length >= count, 60000);
}

async function untilBooked(all, count) {
  await untilAtLeast(all, count);
  return booked(all);
}

const random = (max) => 1 + Math.floor(Math.random() * max);

test('every change once and in order, whenever the host is killed', async (t) => {
  const all = await start(t);
  await all.write(5);
  for (let kill = 0; kill < KILLS; kill++) {
    const host = all.reactor(random(8), random(4));
    // There is always enough to do to get to that point.
    await all.write(10);
    assert.equal(await within(60000, 'its end', host.ended), 'SIGKILL', host.output());
  }
  const last = all.reactor();
  const rows = await untilBooked(all, all.orders.count);
  assert.deepEqual(rows.map((row) => row.n), Array.from({ length: all.orders.count }, (_, i) => i + 1));
  assert.equal(new Set(rows.map((row) => row.key)).size, rows.length);
  last.child.kill('SIGTERM');
  assert.equal(await last.ended, 0, last.output());
  assert.match(last.output(), /asked to stop\n(.*\n)*handled/);
});

test('every change once and in order, whenever the host is told to end', async (t) => {
  const all = await start(t);
  for (let stop = 0; stop < KILLS / 3; stop++) {
    const host = all.reactor('', random(4) * 10);
    await host.line(/started/);
    await all.write(60);
    // Somewhere in the middle of a page.
    const some = all.orders.count - 60 + random(30);
    await untilAtLeast(all, some);
    host.child.kill('SIGTERM');
    assert.equal(await within(60000, 'its end', host.ended), 0, host.output());
  }
  all.reactor();
  const rows = await untilBooked(all, all.orders.count);
  assert.deepEqual(rows.map((row) => row.n), Array.from({ length: all.orders.count }, (_, i) => i + 1));
});

test('two hosts share a reaction, each killed again and again', async (t) => {
  const all = await start(t);
  let killed = 0;
  const keepOne = async () => {
    while (killed < KILLS / 2) {
      const host = all.reactor(random(6), random(5));
      const state = await within(60000, 'its end', host.ended);
      assert.equal(state, 'SIGKILL', host.output());
      killed++;
    }
  };
  const both = Promise.all([keepOne(), keepOne()]);
  let isOver = false;
  both.finally(() => { isOver = true; }).catch(() => {});
  while (!isOver) {
    await all.write(4);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  await both;
  all.reactor();
  all.reactor();
  const rows = await untilBooked(all, all.orders.count);
  assert.deepEqual(rows.map((row) => row.n), Array.from({ length: all.orders.count }, (_, i) => i + 1));
});

test('a second host takes over from one that ends, and neither works beside the other', async (t) => {
  const all = await start(t);
  const first = all.reactor();
  await first.line(/started/);
  await all.write(20);
  await untilBooked(all, 20);
  const second = all.reactor();
  await second.line(/started/);
  await all.write(20);
  let rows = await untilBooked(all, 40);
  assert.deepEqual([...new Set(rows.map((row) => row.by))], [first.child.pid]);
  first.child.kill('SIGTERM');
  assert.equal(await first.ended, 0, first.output());
  await all.write(20);
  rows = await untilBooked(all, 60);
  assert.deepEqual([...new Set(rows.slice(40).map((row) => row.by))], [second.child.pid]);
});

test('the schema changes while it runs', async (t) => {
  const all = await start(t);
  const host = all.reactor();
  await host.line(/started/);
  await all.write(5);
  await untilBooked(all, 5);
  await all.write(5, { color: 'red' });
  const attrs = await schema(all);
  await post(all.server, all.app, '/admin/transact', { steps: [['delete-attr', attrs.color]] });
  await all.write(5, { size: 3 });
  const rows = await untilBooked(all, 15);
  assert.deepEqual(rows.map((row) => row.n), Array.from({ length: 15 }, (_, i) => i + 1));
});

async function schema({ server, app }) {
  const answer = await (await fetch(`${server.api}/dash/apps/${app.id}/schema/pull`, {
    headers: { authorization: `Bearer ${app.token}` },
  })).json();
  const blobs = answer.schema.blobs.orders;
  return Object.fromEntries(Object.entries(blobs).map(([label, attr]) => [label, attr.id]));
}

test('dead letters are listed and handled again from the command line', async (t) => {
  const all = await start(t);
  const host = all.reactor('', '', 2);
  await host.line(/started/);
  await all.write(2);
  await all.write(1, { isPoison: true });
  await all.write(2);
  const command = async (...args) => {
    const it = run(t, ['reactions', '--api', all.server.api, '--app', all.app.id, '--token', all.app.token, ...args]);
    const code = await it.ended;
    return { code, text: it.output() };
  };
  await untilBooked(all, 4);
  const list = await command('list');
  assert.equal(list.code, 0, list.text);
  assert.match(list.text, /^ledger\s+at \d+\S*\s+running\s+1 dead letters$/m);
  const dead = await command('dead', 'ledger');
  assert.match(dead.text, /create of orders \S+, 2 attempts\n\s+.*it is poison/);
  const [letter] = JSON.parse((await command('dead', 'ledger', '--json')).text);
  // Whoever mends it changes the code, here the data that it saw.
  await all.db.transact(all.db.tx._reactionDead[letter.id].update({
    change: JSON.stringify({ ...letter.change, new: { n: 3 } }),
  }));
  assert.match((await command('replay', 'ledger')).text, /1 to be handled again/);
  await untilBooked(all, 5);
  assert.equal((await command('dead', 'ledger')).text, '');
  assert.equal((await command('reset', 'ledger')).code, 1);
  assert.equal((await command('reset', 'ledger', '--to', 'start', '--yes')).code, 0);
  await untilBooked(all, 9); // all but the poison again
  assert.equal((await command('delete', 'ledger', '--yes')).code, 0);
  assert.equal(await host.ended, 0, host.output());
  assert.equal((await command('delete', 'ledger', '--yes')).code, 1);
});

test('a backend without the feed is told apart', async (t) => {
  const all = await start(t);
  const http = await import('node:http');
  // As the cloud: everything but that route.
  const proxy = http.createServer(async (req, res) => {
    const parts = [];
    for await (const part of req) parts.push(part);
    const answer = req.url.startsWith('/admin/changes') ? new Response('{"message":"Not found"}', { status: 404 })
      : await fetch(all.server.api + req.url, {
        method: req.method,
        headers: { 'content-type': 'application/json', authorization: req.headers.authorization, 'app-id': req.headers['app-id'] },
        body: parts.length ? Buffer.concat(parts) : undefined,
      });
    res.writeHead(answer.status, { 'content-type': 'application/json' });
    res.end(await answer.text());
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => { proxy.closeAllConnections(); proxy.close(); });
  const host = run(t, ['-e', `
    local instant = require "instant"
    local db = instant.admin.init { apiURI = arg[1], appId = arg[2], adminToken = arg[3] }
    local _, err = db:reaction { name = "a", etype = "orders", onCreate = print }.ended:await()
    print(err.type)`, `http://127.0.0.1:${proxy.address().port}`, all.app.id, all.app.token]);
  await host.line(/^no-change-feed$/);
  assert.match(host.output(), /need the backend of `instant-lua serve`/);
});
