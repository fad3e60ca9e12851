// README.md, the examples and every block of lua/README.md and lua/docs/*.md do what they say.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { connect, id, live, makeApp, root, run, scratch, serve } from './harness.mjs';
import { runDocument } from './snippets.mjs';

test("README's live query runs as printed", async (t) => {
  const dir = scratch(t);
  const [, code] = readFileSync(path.join(root, 'README.md'), 'utf8').match(/```lua\n([\s\S]*?)```/);
  const file = path.join(dir, 'ten-lines.lua');
  writeFileSync(file, code);
  const script = run(t, [file], { cwd: dir });
  assert.equal(await script.ended, 0, script.output());
  assert.match(script.output(), /1 things to do/);
  assert.match(script.output(), /0 things to do\s*$/);

  // The writes are on disk: another process sees them.
  const reader = path.join(dir, 'reader.lua');
  writeFileSync(reader, `local db = require("instant").init { apiURI = "local:app.db" }
print("titles", assert(db:queryOnce { todos = {} }:await()).data.todos[1].title)
db:shutdown()`);
  const again = run(t, [reader], { cwd: dir });
  await again.line(/titles\s+Try Instant/);
});

test('the automation example on the embedded backend', async (t) => {
  const script = run(t, [path.join(root, 'examples/automation.lua')], { cwd: scratch(t) });
  await script.line(/in the end: total 14\.5, overdue false/);
  assert.equal(await script.ended, 0, script.output());
});

test('the automation example reacts to what the JavaScript client writes', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const script = run(t, ['examples/automation.lua', '--api', server.api, '--app', app.id]);
  const db = connect(t, server, app);
  const orders = live(t, db, { orders: {} });
  await orders.until((r) => r.data, 'the first result');
  await script.line(/\S/);
  const [order, line] = [id(), id()];
  await db.transact([
    db.tx.lines[line].update({ count: 3, price: 5 }),
    db.tx.orders[order].update({ number: 'B-7', paid: false, due: Date.now() + 60000 }).link({ lines: line }),
  ]);
  await orders.until((r) => r.data.orders.some((o) => o.total === 15), 'the total that Lua wrote');
});

test('the example of durable reactions', async (t) => {
  const script = run(t, [path.join(root, 'examples/reactions.lua')], { cwd: scratch(t) });
  assert.equal(await script.ended, 0, script.output());
  assert.match(script.output(), /^not packed: 5 of tea\nleft: 1$/m);
});

test('the to-do example and a JavaScript client share a list', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const at = ['--api', server.api, '--app', app.id];
  const watch = run(t, ['examples/todo.lua', ...at]);
  const added = run(t, ['examples/todo.lua', ...at, 'add', 'Water', 'the', 'plants']);
  assert.equal(await added.ended, 0, added.output());
  await watch.line(/Water the plants/);
  const db = connect(t, server, app);
  const todos = live(t, db, { todos: {} });
  await todos.until((r) => r.data?.todos[0]?.text === 'Water the plants', 'the to-do of the Lua client');
  await db.transact(db.tx.todos[id()].update({ text: 'From JavaScript', done: false }));
  await watch.line(/From JavaScript/);
});

test('the example of migrations, all the way up and down', async (t) => {
  const cwd = scratch(t);
  const lua = async (...args) => {
    const command = run(t, [...args, '--api', 'local:shop.db'], { cwd });
    command.child.stdin.end();
    assert.equal(await command.ended, 0, command.output());
    return command.output();
  };
  const migrate = (...args) => lua('migrate', ...args, '--dir', path.join(root, 'examples/migrations'));
  const customers = async () => JSON.parse(await lua('query', '{ customers = { orders = {} } }')).customers;
  assert.match(await migrate('plan'), /0003_customers\n[^]*\+ Link orders\.customer to customers\.orders\./);
  assert.deepEqual(await customers(), []);
  for (let round = 0; round < 2; round++) {
    assert.match(await migrate('up', '--yes'), /Applied 3 migrations\./);
    const found = (await customers()).map((one) => [one.email, one.orders.map((order) => order.number).sort()]);
    assert.deepEqual(found.sort(), [
      ['ann@example.com', ['A-2', 'A-4', 'A-6']], ['bob@example.com', ['A-1', 'A-3', 'A-5']],
    ]);
    assert.match(await migrate('down', '--yes'), /Undid 1 migration\./);
    const { orders } = JSON.parse(await lua('query', '{ orders = {} }'));
    assert.deepEqual(orders.map((order) => order.email).sort(),
      [...Array(3).fill('ann@example.com'), ...Array(3).fill('bob@example.com')]);
    assert.match(await migrate('down', '--to', '0', '--yes'), /Undid 2 migrations\./);
  }
});

const documents = path.join(root, 'lua/docs');
for (const name of readdirSync(documents).filter((name) => name.endsWith('.md') && !['parity.md', 'reference.md', 'c.md'].includes(name))) {
  test(`lua/docs/${name}`, (t) => runDocument(t, path.join(documents, name)));
}
test('lua/README.md', (t) => runDocument(t, path.join(root, 'lua/README.md')));
