// Two Lua clients and one JavaScript client write to the same entities; all agree in the end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, id, live, makeApp, run, serve } from './harness.mjs';

const sharedId = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

function canonical(value) {
  if (value === null) return 'null';
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'object') return JSON.stringify(value);
  const parts = Array.isArray(value)
    ? value.map(canonical)
    : Object.entries(value).map(([k, v]) => `${k}=${canonical(v)}`);
  return `{${parts.sort().join(',')}}`;
}

test('1,000 mixed writes of three clients end in one state', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app);
  const seen = live(t, db, { items: { tags: {} } });
  await seen.until((r) => r.data, 'the first result');

  const lua = [1, 2].map((seed) =>
    run(t, ['tests/e2e/converge.lua', server.api, app.id, String(seed), '333']));
  let seed = 7;
  const random = (n) => 1 + ((seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8) % n;
  // Somebody else deleted the entity meanwhile: the only failure there may be.
  const write = (chunk) =>
    db.transact(chunk).catch((e) => assert.match(e.message, /Updating entities that don't exist/));
  for (let n = 0; n < 334; n++) {
    const item = db.tx.items[sharedId(random(12))];
    const kind = random(10);
    if (kind <= 5) await write(item.update({ value: random(1000), writer: 3 }));
    else if (kind <= 7) await write(item.merge({ meta: { [`k${random(3)}`]: random(100) } }));
    else if (kind === 8) await write(item.link({ tags: sharedId(100 + random(4)) }));
    else if (kind === 9) await write(item.unlink({ tags: sharedId(100 + random(4)) }));
    else await write(item.delete());
  }
  await Promise.all(lua.map((client) => client.line(/^wrote$/, 60000)));
  await db.transact(db.tx.done[id()].update({ by: 3 }));
  const states = await Promise.all(lua.map(async (client) => (await client.line(/^state (.*)$/, 60000))[1]));
  const lives = await Promise.all(lua.map(async (client) => (await client.line(/^live (.*)$/))[1]));
  const { data } = await db.queryOnce({ items: { tags: {} } });
  const expected = canonical(data);
  assert.deepEqual(states, [expected, expected]);
  assert.deepEqual(lives, [expected, expected]);
  await seen.until((r) => canonical(r.data) === expected, 'the JavaScript client to agree');
});
