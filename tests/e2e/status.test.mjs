// An app that is read-only or disabled, as official clients see it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, id, live, makeApp, serve } from './harness.mjs';

test('read-only, disabled and back', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const becomes = async (status) => {
    const response = await fetch(`${server.api}/dash/apps/${app.id}/status`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ status }),
    });
    assert.deepEqual(await response.json(), { status });
  };
  const db = connect(t, server, app);
  const states = [];
  t.after(db.subscribeAppStatus((state) => states.push(state)));
  const seen = live(t, db, { todos: {} });
  await seen.until((r) => r.data, 'a result');
  await db.transact(db.tx.todos[id()].update({ n: 1 }));
  await becomes('read-only');
  await assert.rejects(
    (async () => {
      // Told when the client is; until then the server refuses in the same words.
      await db.transact(db.tx.todos[id()].update({ n: 2 }));
    })(),
    /This app is in read-only mode\./,
  );
  assert.equal((await db.queryOnce({ todos: {} })).data.todos.length, 1);
  await becomes('disabled');
  await seen.until((r) => r.error?.message === 'This app is currently disabled.', 'an error');
  const late = connect(t, server, app);
  const lates = live(t, late, { todos: {} });
  await lates.until((r) => r.error?.message === 'This app is currently disabled.', 'an error');
  await becomes('active');
  await seen.until((r) => r.data?.todos.length === 1, 'a result again');
  await lates.until((r) => r.data?.todos.length === 1, 'a result at last');
  await db.transact(db.tx.todos[id()].update({ n: 3 }));
  assert.equal(states.at(-1).isReadOnly, false);
  assert.ok(states.some((state) => state.isReadOnly));
});
