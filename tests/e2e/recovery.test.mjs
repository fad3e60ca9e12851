// The backend dies and comes back: no confirmed write is lost, and both kinds of client go on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, id, live, makeApp, rawSession, run, serve } from './harness.mjs';

test('kill -9 loses no confirmed write and applies none twice', async (t) => {
  const first = await serve(t);
  const app = await makeApp(first);
  const db = connect(t, first, app);
  // Before the first answer writes are only enqueued, at once: the writers would never yield.
  await db.queryOnce({ notes: {} });

  const confirmed = new Set();
  let next = 0;
  let isKilled = false;
  const writers = Array.from({ length: 8 }, async () => {
    for (;;) {
      const n = next++;
      const result = await db.transact(db.tx.notes[id()].update({ n })).catch(() => null);
      if (result?.status === 'synced') confirmed.add(n);
      // What was on its way when the server died is sent again and settles later.
      if (isKilled || result?.status !== 'synced') return;
    }
  });
  while (confirmed.size < 200) await new Promise((resolve) => setImmediate(resolve));
  isKilled = true;
  first.child.kill('SIGKILL');
  await first.ended;
  const server = await serve(t, { data: first.data, port: first.port });
  await Promise.all(writers);
  await db.queryOnce({ notes: {} });
  await db.transact(db.tx.notes[id()].update({ n: -1 })); // behind everything that was resent

  const fresh = connect(t, server, app);
  const { notes } = (await fresh.queryOnce({ notes: {} })).data;
  const counts = new Map();
  for (const note of notes) counts.set(note.n, (counts.get(note.n) ?? 0) + 1);
  for (const n of confirmed) assert.equal(counts.get(n), 1, `note ${n}`);
  for (const [n, count] of counts) assert.equal(count, 1, `note ${n} once`);
});

test('the JavaScript client reconnects and sees what it missed', async (t) => {
  const first = await serve(t);
  const app = await makeApp(first);
  const db = connect(t, first, app);
  const seen = live(t, db, { notes: {} });
  await seen.until((r) => r.data, 'the first result');
  await db.transact(db.tx.notes[id()].update({ n: 1 }));
  first.child.kill('SIGKILL');
  await first.ended;
  const offline = db.transact(db.tx.notes[id()].update({ n: 2 }));
  await seen.until((r) => r.data.notes.length === 2, 'the optimistic write');
  const server = await serve(t, { data: first.data, port: first.port });
  await offline;
  const other = connect(t, server, app);
  const here = live(t, other, { notes: {} });
  await here.until((r) => r.data?.notes.length === 2, 'the write made while the server was away');
  await other.transact(other.tx.notes[id()].update({ n: 3 }));
  await seen.until((r) => r.data.notes.length === 3, 'a later write of another client');
});

test('the Lua client reconnects, resends and sees what it missed', async (t) => {
  const first = await serve(t);
  const app = await makeApp(first);
  const lua = run(t, ['tests/e2e/reconnect.lua', first.api, app.id]);
  await lua.line(/^ready 1$/);
  first.child.kill('SIGKILL');
  await first.ended;
  await lua.line(/^status closed$/);
  await lua.line(/^local 2$/);
  const server = await serve(t, { data: first.data, port: first.port });
  await lua.line(/^confirmed synced$/);
  const db = connect(t, server, app);
  const here = live(t, db, { notes: {} });
  await here.until((r) => r.data?.notes.length === 2, 'the write made while the server was away');
  await db.transact(db.tx.notes[id()].update({ n: 3 }));
  await lua.line(/^ready 3$/);
  assert.equal(await lua.ended, 0, lua.output());
});

test('SIGTERM finishes what was received and exits with 0', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const session = await rawSession(t, server);
  await session.ask({ op: 'init', 'app-id': app.id, 'client-event-id': id() });
  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 0, server.output());
});
