// The official client's sync tables against `instant-lua serve`: a whole namespace, kept.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, id, makeApp, scratch, serve, within } from './harness.mjs';

// A subscription that remembers: `until(ok)` waits for an event that fits.
function follow(t, db, query) {
  const events = [];
  const waiting = new Set();
  const stop = db._syncTableExperimental(query, (event) => {
    events.push(event);
    for (const look of [...waiting]) look();
  });
  return {
    events,
    stop,
    data: () => events.at(-1)?.data,
    until(ok, what, ms = 20000) {
      const seen = new Promise((resolve) => {
        const look = () => {
          const event = events.find(ok);
          if (!event) return;
          waiting.delete(look);
          resolve(event);
        };
        waiting.add(look);
        look();
      });
      return within(ms, what, seen).catch((e) => {
        throw new Error(`${e.message}; events: ${events.map((event) => event.type)}`);
      });
    },
  };
}

const byName = (a, b) => (a.name < b.name ? -1 : 1);

test('a table comes whole, in order, and then its changes', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const writer = connect(t, server, app, { __adminToken: app.token });
  await writer.queryOnce({ items: {} }); // connected: writes are confirmed, not enqueued
  const ids = Array.from({ length: 250 }, () => id());
  for (let at = 0; at < 250; at += 50)
    await writer.transact(
      ids.slice(at, at + 50).map((one, k) => writer.tx.items[one].update({ name: `n${at + k}`, n: at + k })),
    );

  const db = connect(t, server, app, { __adminToken: app.token });
  const table = follow(t, db, { items: { $: { order: { serverCreatedAt: 'desc' } } } });
  const complete = await table.until((e) => e.type === 'InitialSyncComplete', 'the whole table');
  assert.equal(table.events.filter((e) => e.type === 'InitialSyncBatch').length, 3);
  assert.equal(complete.data.items.length, 250);
  assert.deepEqual(
    new Set(complete.data.items.slice(0, 50).map((item) => item.n)),
    new Set(Array.from({ length: 50 }, (_, k) => 200 + k)),
  );

  await writer.transact(writer.tx.items[ids[7]].update({ name: 'changed' }));
  const updated = await table.until((e) => e.updated?.length, 'the update');
  assert.deepEqual(updated.updated[0].changedFields, { name: { oldValue: 'n7', newValue: 'changed' } });
  await writer.transact(writer.tx.items[ids[8]].delete());
  const removed = await table.until((e) => e.removed?.length, 'the removal');
  assert.equal(removed.removed[0].name, 'n8');
  const fresh = id();
  await writer.transact(writer.tx.items[fresh].update({ name: 'fresh' }));
  const added = await table.until((e) => e.added?.length, 'the addition');
  assert.equal(added.added[0].id, fresh);
  assert.equal(added.data.items[0].id, fresh);

  const { data } = await writer.queryOnce({ items: {} });
  assert.deepEqual([...table.data().items].sort(byName), [...data.items].sort(byName));
  table.stop();
});

test('a server that dies and comes back has forgotten nothing', async (t) => {
  const data = scratch(t);
  let server = await serve(t, { data });
  const app = await makeApp(server);
  const { port } = server;
  let writer = connect(t, server, app, { __adminToken: app.token });
  await writer.queryOnce({ items: {} });
  await writer.transact(writer.tx.items[id()].update({ name: 'first' }));

  const db = connect(t, server, app, { __adminToken: app.token });
  const table = follow(t, db, { items: {} });
  await table.until((e) => e.type === 'InitialSyncComplete', 'the whole table');
  const batches = table.events.filter((e) => e.type === 'InitialSyncBatch').length;

  // Written, and perhaps never told.
  await writer.transact(writer.tx.items[id()].update({ name: 'second' }));
  writer.shutdown();
  server.child.kill('SIGKILL');
  await server.ended;
  server = await serve(t, { data, port });
  writer = connect(t, server, app, { __adminToken: app.token });
  await writer.transact(writer.tx.items[id()].update({ name: 'third' }));
  await table.until((e) => e.data.items.some((item) => item.name === 'third'), 'the third item', 30000);

  const names = table.data().items.map((item) => item.name).sort();
  assert.deepEqual(names, ['first', 'second', 'third']);
  // Resumed where it was, not loaded again.
  assert.equal(table.events.filter((e) => e.type === 'InitialSyncBatch').length, batches);
  table.stop();
});

test('attrs made later reach the table, also after a while away (session.md 3.8)', async (t) => {
  const data = scratch(t);
  let server = await serve(t, { data });
  const app = await makeApp(server);
  const { port } = server;
  let writer = connect(t, server, app, { __adminToken: app.token });
  await writer.queryOnce({ items: {} });
  const [one, two] = [id(), id()];
  await writer.transact([writer.tx.items[one].update({ name: 'first' }), writer.tx.items[two].update({ name: 'other' })]);

  const db = connect(t, server, app, { __adminToken: app.token });
  const table = follow(t, db, { items: {} });
  await table.until((e) => e.type === 'InitialSyncComplete', 'the whole table');
  const items = () => [...table.data().items].sort(byName);
  const loads = () => table.events.filter((e) => e.type === 'InitialSyncComplete').length;

  // What the official client began with it keeps: it is told to begin anew.
  await writer.transact(writer.tx.items[one].update({ size: 3 }));
  await table.until((e) => e.type === 'InitialSyncComplete' && e.data.items.some((item) => item.size === 3), 'the new attr');
  assert.deepEqual(items(), [{ id: one, name: 'first', size: 3 }, { id: two, name: 'other' }]);
  assert.equal(loads(), 2);
  // A link to many and another namespace are no part of the table.
  await writer.transact(writer.tx.owners[one].update({ name: 'o' }).link({ items: one }));
  await writer.transact(writer.tx.items[one].update({ size: 4 }));
  await table.until((e) => e.data.items.some((item) => item.size === 4), 'the second value');
  assert.equal(loads(), 2);

  // Another one while the server comes and goes.
  writer.shutdown();
  server.child.kill('SIGKILL');
  await server.ended;
  server = await serve(t, { data, port });
  writer = connect(t, server, app, { __adminToken: app.token });
  await writer.transact(writer.tx.items[one].update({ size: 5, colour: 'red' }));
  await table.until((e) => e.data.items.some((item) => item.colour === 'red' && item.size === 5), 'both', 30000);
  await writer.transact(writer.tx.items[one].update({ name: 'last' }));
  await table.until((e) => e.data.items.some((item) => item.name === 'last'), 'the last write');
  assert.deepEqual(items(), [{ id: one, name: 'last', size: 5, colour: 'red' }, { id: two, name: 'other' }]);
  assert.equal(loads(), 3);
  table.stop();
});

test('anybody but an admin is told no', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app);
  const table = follow(t, db, { items: {} });
  const { error } = await table.until((e) => e.type === 'Error', 'the refusal');
  assert.equal(
    error.message,
    'Validation failed for start-sync: start-sync is currently supported for admins only.',
  );
  table.stop();
});
