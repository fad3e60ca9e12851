// instant-lua migrate against a server: what it says, and that every row is changed exactly once whatever
// happens to the process in between.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { init } from '@instantdb/admin';
import { connect, id, live, run, scratch, serve } from './harness.mjs';

// Between a run and the server. `proxy.doom(n, isBefore, kill)`: at the n-th POST of a route that `pattern` matches
// the run is killed, before that reaches the server, or when it is done and the answer is on its way.
async function doomsday(t, server, pattern) {
  let plan = {};
  const proxy = net.createServer((socket) => {
    const onward = net.connect(server.port, '127.0.0.1');
    let isDoomed = false;
    socket.on('data', (bytes) => {
      if (pattern.test(bytes.toString('latin1')) && --plan.left === 0) {
        isDoomed = true;
        if (plan.isBefore) plan.kill(socket);
      }
      if (!(isDoomed && plan.isBefore)) onward.write(bytes);
    });
    onward.on('data', (bytes) => {
      if (isDoomed) plan.kill(socket);
      else socket.write(bytes);
    });
    for (const [one, other] of [[socket, onward], [onward, socket]]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => proxy.close());
  return {
    env: { INSTANT_CLI_API_URI: `http://127.0.0.1:${proxy.address().port}` },
    doom: (left, isBefore, kill) => { plan = { left, isBefore, kill }; },
  };
}

async function setUp(t) {
  const server = await serve(t);
  const [, appId] = await server.line(/app id:\s+(\S+)/);
  const [, adminToken] = await server.line(/admin token:\s+(\S+)/);
  const [, operator] = await server.line(/operator token:\s+(\S+)/);
  const dir = scratch(t);
  const file = (name) => path.join(dir, name);
  mkdirSync(file('migrations'));
  const variables = {
    INSTANT_CLI_API_URI: server.api, INSTANT_APP_ID: appId, INSTANT_APP_ADMIN_TOKEN: adminToken, USER: 'ann',
  };
  const start = (args, env = {}) => run(t, args, { cwd: dir, env: { ...process.env, ...variables, ...env } });
  const db = init({ appId, adminToken, apiURI: server.api });
  const dash = async (route) => {
    const answer = await fetch(`${server.api}/dash/apps/${appId}/${route}`, {
      headers: { Authorization: `Bearer ${adminToken}` },
    });
    return answer.json();
  };
  return {
    server, appId, operator, db, file, start, dash,
    write: (name, text) => writeFileSync(file(`migrations/${name}.lua`), text),
    remove: (name) => rmSync(file(`migrations/${name}.lua`)),
    read: (name) => readFileSync(file(name), 'utf8'),
    async lua(args, { input = '', env = {} } = {}) {
      const command = start(args, env);
      command.child.stdin.end(input);
      const code = await command.ended;
      return { code, output: command.output() };
    },
    // Everything that the app has.
    async dump(...namespaces) {
      const query = Object.fromEntries(namespaces.map((name) => [name, {}]));
      return { schema: await dash('schema/pull'), perms: await dash('perms/pull'), data: await db.query(query) };
    },
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

const create = (count, more = '') => `return {
  up = function(m)
    m:schema(i.schema { entities = { todos = i.entity { title = i.string(), n = i.number():optional() } } })
    local list = {}
    for n = 1, ${count} do list[n] = m.tx.todos[m.id()]:update { title = "todo " .. n, n = 0 } end
    m:transact(list)
  end,
  down = function(m) m:schema(function(schema) schema.entities.todos = nil end) end,${more}
}`;
// Not to be done twice to any row.
const count = (batch, more = '') => `return {
  up = function(m)
    m:each("todos", { batch = ${batch} }, function(row)${more}
      return m.tx.todos[row.id]:update { n = row.n + 1 }
    end)
  end,
  down = function(m)
    m:each("todos", { batch = ${batch} }, function(row) return m.tx.todos[row.id]:update { n = row.n - 1 } end)
  end,
}`;

async function counts(db) {
  const found = {};
  for (const todo of (await db.query({ todos: {} })).todos) found[todo.n] = (found[todo.n] ?? 0) + 1;
  return found;
}

test('status, plan, up and down', async (t) => {
  const { lua, write, read, dump, db, file, server, appId, operator } = await setUp(t);
  fails(await lua(['migrate', '--dir', 'nowhere']), /there is no folder nowhere/);
  ok(await lua(['migrate']), /There are no migrations/);
  ok(await lua(['migrate', 'up']), /Nothing is pending/);
  ok(await lua(['migrate', 'new', 'create_todos', '--dir', 'new']), /Wrote new\/0001_create_todos\.lua/);
  assert.match(read('new/0001_create_todos.lua'), /up = function\(m\)/);
  ok(await lua(['migrate', 'new', 'more', '--dir', 'new']), /0002_more/);

  write('0001_create', create(30));
  write('0002_names', `return {
    up = function(m)
      m:rename("todos.title", "todos.name")
      m:schema(function(schema) schema.entities.todos.attrs.done = i.boolean():indexed():optional() end)
      m:each("todos", function(row) return m.tx.todos[row.id]:update { done = row.n > 0 } end)
      m:rules { todos = { allow = { view = "true", ["$default"] = "false" } } }
    end,
    down = function(m)
      m:rename("todos.name", "todos.title")
      m:schema(function(schema) schema.entities.todos.attrs.done = nil end)
      m:rules {}
    end,
  }`);
  const empty = await dump('todos', 'instant_migrations');
  for (const args of [['plan'], ['up', '--dry-run']]) {
    const plan = await lua(['migrate', ...args]);
    ok(plan, /0001_create\n  schema\n    \+ Create new entity todos\.id\./);
    assert.match(plan.output, /transact: 30 operations\n    update todos [0-9a-f-]{36} \{"n":0,"title":"todo 1"\}/);
    assert.match(plan.output, /rename todos\.title to todos\.name\n    ~ Update attribute todos\.name\./);
    assert.match(plan.output, /\+ Add attribute todos\.done\.\n    ~ Add index to todos\.done\./);
    assert.match(plan.output, /each todos: 0 rows, before the changes above/);
    assert.match(plan.output, /rules\n    \+ todos: \{"allow"/);
  }
  assert.deepEqual(await dump('todos', 'instant_migrations'), empty, 'a plan changes nothing');
  fails(await lua(['migrate', 'up'], { input: 'n\n' }), /Apply 2 migrations: 0001_create, 0002_names\?.*nothing was changed/s);
  assert.deepEqual(await dump('todos', 'instant_migrations'), empty);

  // An operator's token does as well.
  ok(await lua(['migrate', 'up', '--to', '1', '-y'], { env: { INSTANT_APP_ADMIN_TOKEN: operator } }), /Applied 1 migration\./);
  ok(await lua(['migrate']), /0001_create  applied \d{4}-\d\d-\d\d \d\d:\d\d by ann@\S+ in .* s\n0002_names   pending/);
  const between = await dump('todos', 'instant_migrations');
  ok(await lua(['migrate', 'plan'], { env: { INSTANT_APP_ADMIN_TOKEN: operator } }), /each todos: 30 rows, before[^]*update todos \S+ \{"done":false\}/);
  assert.deepEqual(await dump('todos', 'instant_migrations'), between);
  ok(await lua(['migrate', 'up'], { input: 'y\n' }), /Applied 1 migration\./);
  ok(await lua(['migrate', 'up']), /Nothing is pending/);
  const { todos } = await db.query({ todos: {} });
  assert.equal(todos.length, 30);
  assert.ok(todos.every((todo) => todo.done === false && todo.name.startsWith('todo ') && !('title' in todo)));

  // Clients see and touch nothing of it, and what is pushed and pulled knows nothing of it.
  const client = connect(t, server, { id: appId });
  const seen = await live(t, client, { instant_migrations: {}, todos: {} }).until((r) => r.data, 'a result');
  assert.deepEqual([seen.data.instant_migrations.length, seen.data.todos.length], [0, 30]);
  await assert.rejects(client.transact(client.tx.instant_migrations[id()].update({ key: 'lock' })));
  ok(await lua(['pull', '-y']));
  assert.doesNotMatch(read('instant.schema.lua') + read('instant.perms.lua'), /instant_migrations/);
  ok(await lua(['push', '-y']), /schema is up to date[^]*rules are up to date/);
  writeFileSync(file('instant.perms.lua'), 'return {}');
  ok(await lua(['push', 'perms', '-y']), /rules were pushed/);
  await assert.rejects(client.transact(client.tx.instant_migrations[id()].update({ key: 'lock' })));

  const undo = await lua(['migrate', 'down', '--dry-run']);
  ok(undo, /0002_names\n  rename todos\.name to todos\.title/);
  assert.doesNotMatch(undo.output, /0001/);
  ok(await lua(['migrate', 'down', '-y']), /undone in[^]*Undid 1 migration\./);
  ok(await lua(['migrate']), /0001_create  applied[^]*0002_names   pending/);
  const after = await db.query({ todos: {} });
  assert.deepEqual(Object.keys(after.todos[0]).sort(), ['id', 'n', 'title']);
  ok(await lua(['migrate', 'up', '-y']));
  ok(await lua(['migrate', 'down', '--to', '0', '-y']), /Undid 2 migrations\./);
  ok(await lua(['migrate', 'down']), /nothing to undo/);
  assert.ok(!('todos' in (await dump()).schema.schema.blobs));
  assert.ok(!existsSync(file('instant.types.lua')));
});

test('what is wrong is said before anything is done', async (t) => {
  const { lua, write, remove, dump } = await setUp(t);
  const all = () => dump('todos', 'instant_migrations');
  write('0001_create', create(3));
  ok(await lua(['migrate', 'up', '-y']));
  const before = await all();
  const refused = async (args, pattern) => {
    fails(await lua(['migrate', ...args]), pattern);
    assert.deepEqual(await all(), before);
  };
  write('01_again', create(3));
  for (const args of [[], ['up', '-y'], ['plan'], ['down', '-y']]) {
    await refused(args, /0001_create\.lua and migrations\/01_again\.lua are one version/);
  }
  remove('01_again');
  write('0002-dash', create(3));
  await refused(['up', '-y'], /0002-dash\.lua: a migration is named like 0001_what_it_does\.lua/);
  remove('0002-dash');

  write('0001_create', create(4));
  for (const args of [['up', '-y'], ['plan'], ['down', '-y']]) {
    await refused(args, /0001_create\.lua has changed since it was applied/);
  }
  ok(await lua(['migrate']), /0001_create  applied, and its file has changed since/);
  remove('0001_create');
  ok(await lua(['migrate']), /0001_create  applied, its file is missing/);
  await refused(['down', '-y'], /0001_create cannot be undone: its file is not in migrations/);
  write('0001_create', create(3));

  // Every file that is to run is read before the first one runs.
  write('0002_fine', 'return { up = function(m) m:rules {} end }');
  for (const [text, pattern] of [
    ['return {', /0003_wrong\.lua:1: /],
    ['error "my own"', /0003_wrong\.lua:1: my own/],
    ['return 7', /0003_wrong\.lua must return \{ up = function\(m\) \.\.\. end \}, got number/],
    ['return {}', /0003_wrong\.lua: `up` must be a function, got nil/],
    ['return { up = function() end, undo = 1 }', /there is no `undo` in a migration/],
    ['return { up = function() end, down = 1 }', /`down` must be a function, got number/],
  ]) {
    write('0003_wrong', text);
    await refused(['up', '-y'], pattern);
  }
  remove('0003_wrong');
  await refused(['up', '-y', '--to', '7'], /there is no migration 7 in migrations/);
  await refused(['up', '-y', '--to', 'fine'], /--to takes the number in front of a file's name, got fine/);
  await refused(['sideways'], /status, up, down, plan or new NAME, not sideways/);
  await refused(['new'], /new what\?/);
  await refused(['new', 'a/b'], /a name has letters, digits/);
  await refused(['up', '--foce'], /unknown option --foce/);
  const other = await lua(['migrate', 'up', '-y'], { env: { INSTANT_APP_ADMIN_TOKEN: id() } });
  fails(other, /admin token/);

  ok(await lua(['migrate', 'up', '-y']));
  const applied = await all();
  fails(await lua(['migrate', 'down', '-y', '--to', '0']), /0002_fine\.lua has no `down`, so it cannot be undone/);
  assert.deepEqual(await all(), applied);

  // What a migration says wrongly names the call.
  for (const [code, pattern] of [
    ['m:each("todos", { wehre = {} }, print)', /0003_x\.lua:1: m:each: there is no option `wehre`; there are: batch, fields/],
    ['m:each("todos", { batch = 0 }, print)', /m:each: `batch` is a whole number from 1 to 5000, got 0/],
    ['m:each("todos")', /m:each: expected a table of options, got nil/],
    ['m:schema()', /m:schema: expected i\.schema \{ \.\.\. \} or a function that changes one, got nil/],
    ['m:schema(function(s) s.entities.x = 1 end)', /entities\.x: expected i\.entity \{ \.\.\. \}, got 1/],
    ['m:rename("title", "name")', /names are like posts\.title, got title and name/],
    ['m:rename("todos.a", "people.a")', /todos\.a and people\.a are in two namespaces/],
    ['m:rename("todos.a", "todos.b")', /there is no todos\.a/],
    ['m:rename("todos.title", "todos.n")', /there is a todos\.n already/],
    ['m:rules { todos = { allow = { view = "data." } } }', /m:rules: todos->allow->view: /],
    ['m:transact { 1 }', /m:transact: expected a chunk or a list of chunks, got a table of something else/],
    ['m:each("todos", function() return 1 end)', /m:each: expected a chunk or a list of chunks, got number/],
    ['m:query { todos = 1 }', /Validation failed for query/],
  ]) {
    write('0003_x', `return { up = function(m) ${code} end }`);
    fails(await lua(['migrate', 'up', '-y']), pattern);
    assert.deepEqual(await all(), applied, code);
  }
});

test('kill -9 at any point: every row is changed exactly once', async (t) => {
  const { lua, write, start, db, server } = await setUp(t);
  const rows = 600;
  write('0001_create', create(rows));
  ok(await lua(['migrate', 'up', '-y']));
  write('0002_count', count(20));

  const proxy = await doomsday(t, server, /^POST \/admin\/transact/);
  let kills = 0;
  const states = new Set();
  for (let attempt = 0; ; attempt++) {
    assert.ok(attempt < 200, 'it comes no further');
    const command = start(['migrate', 'up', '-y', '--unlock'], proxy.env);
    proxy.doom(1 + Math.floor(Math.random() * 7), attempt % 2 === 0, () => command.child.kill('SIGKILL'));
    const code = await command.ended;
    if (code === 0) break;
    assert.equal(code, 'SIGKILL', command.output());
    kills++;
    const found = await counts(db);
    for (const n of Object.keys(found)) states.add(n);
    assert.ok(Object.keys(found).every((n) => n === '0' || n === '1'), JSON.stringify(found));
    if (attempt === 3) ok(await lua(['migrate']), /0002_count   half applied[^]*locked by ann@/);
  }
  assert.ok(kills >= 5, `killed ${kills} times`);
  assert.deepEqual([...states].sort(), ['0', '1']);
  assert.deepEqual(await counts(db), { 1: rows });
  ok(await lua(['migrate']), /0002_count   applied/);
  // The last one may have been killed when only its lock was left; the next one gives its own back.
  write('0003_count', count(300));
  ok(await lua(['migrate', 'up', '-y', '--unlock']));
  assert.deepEqual(await counts(db), { 2: rows });
  assert.deepEqual((await db.query({ instant_migrations: { $: { where: { key: 'lock' } } } })).instant_migrations, []);
});

test('the answer to any write is lost: what it did is not done again', async (t) => {
  const { lua, write, db, server } = await setUp(t);
  write('0001_create', create(4));
  ok(await lua(['migrate', 'up', '-y']));
  const proxy = await doomsday(t, server, /^POST \/admin\/transact/);
  const steps = (name) => `return { up = function(m)
    m:${name}
    m:each("todos", { batch = 2 }, function(row) return m.tx.todos[row.id]:update { n = row.n + 1 } end)
  end }`;
  const first = {
    transact: 'transact(m.tx.log[m.id()]:update { text = "done" })',
    each: 'each("todos", { batch = 2 }, function(row) return m.tx.todos[row.id]:update { n = row.n + 10 } end)',
  };
  let version = 1, logged = 0, n = 0;
  for (const name of Object.keys(first)) {
    for (let at = 1, lost = true; lost; at++) {
      assert.ok(at < 20, 'it makes no more writes than that');
      lost = false;
      write(`${String(++version).padStart(4, '0')}_${name}`, steps(first[name]));
      proxy.doom(at, false, (socket) => {
        lost = true;
        socket.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
      });
      const once = await lua(['migrate', 'up', '-y', '--unlock'], { env: proxy.env });
      assert.ok([0, 1].includes(once.code), once.output);
      ok(await lua(['migrate', 'up', '-y', '--unlock']), /Applied 1 migration|Nothing is pending/);
      n += name === 'each' ? 11 : 1;
      if (name === 'transact') logged++;
      assert.deepEqual(await counts(db), { [n]: 4 }, `${name}, write ${at}: ${once.output}`);
      assert.equal((await db.query({ log: {} })).log.length, logged, `${name}, write ${at}: ${once.output}`);
    }
  }
  assert.ok(version > 10, `${version - 1} writes were lost`);
});

test('kill -9 at each request: steps of every kind, up and down', async (t) => {
  const { lua, write, start, server, dump, db } = await setUp(t);
  write('0001_create', create(6));
  write('0002_all', `return {
    up = function(m)
      m:rename("todos.title", "todos.name")
      m:schema(function(s) s.entities.todos.attrs.slug = i.string():unique():indexed():optional() end)
      m:each("todos", { batch = 3 }, function(row)
        return m.tx.todos[row.id]:update { n = row.n + 1, slug = row.name .. "/" .. row.n }
      end)
      m:transact(m.tx.log[m.id()]:update { text = "up" })
      m:rules { todos = { allow = { delete = "false" } } }
    end,
    down = function(m)
      m:rules {}
      m:each("todos", { batch = 3 }, function(row) return m.tx.todos[row.id]:update { n = row.n - 1 } end)
      m:transact(m.tx.log[m.id()]:update { text = "down" })
      m:schema(function(s) s.entities.todos.attrs.slug = nil end)
      m:rename("todos.name", "todos.title")
    end,
  }`);
  ok(await lua(['migrate', 'up', '-y', '--to', '1']));
  const proxy = await doomsday(t, server, /^POST (?!\/admin\/query)/);
  const { perms } = await dump();

  // Killed at its n-th request, then run to the end; false when there were not so many.
  const twice = async (n, args) => {
    const command = start(['migrate', ...args, '-y', '--unlock'], proxy.env);
    proxy.doom(n, Math.random() < 0.5, () => command.child.kill('SIGKILL'));
    const code = await command.ended;
    if (code === 0) return false;
    assert.equal(code, 'SIGKILL', command.output());
    const again = await lua(['migrate', ...args, '-y', '--unlock']);
    if (args[0] === 'up') ok(again, /Applied 1 migration|Nothing is pending/);
    else ok(again, /Undid 1 migration|nothing to undo/);
    return true;
  };
  let rounds = 0;
  // Every other request, beginning with the first or the second one.
  for (let isUp = true, isDown = true, n = 1 + Math.floor(Math.random() * 2); isUp || isDown; n += 2) {
    assert.ok(n < 60, 'it makes no more requests than that');
    if (isUp) isUp = await twice(n, ['up']);
    else ok(await lua(['migrate', 'up', '-y', '--unlock']));
    const { todos } = await db.query({ todos: {} });
    assert.deepEqual(todos.map((todo) => [todo.n, todo.slug]).sort(), todos.map((todo) => [1, `${todo.name}/0`]).sort());
    assert.deepEqual((await dump()).perms.perms.todos, { allow: { delete: 'false' } });

    if (isDown) isDown = await twice(n, ['down', '--to', '1']);
    else ok(await lua(['migrate', 'down', '-y', '--unlock']));
    rounds++;
    const after = await dump('todos', 'log');
    assert.deepEqual(after.perms, perms);
    assert.deepEqual(after.data.todos.map((todo) => Object.keys(todo).sort().join()), Array(6).fill('id,n,title'));
    assert.ok(after.data.todos.every((todo) => todo.n === 0));
    assert.deepEqual([after.data.log.filter((one) => one.text === 'up').length,
      after.data.log.filter((one) => one.text === 'down').length], [rounds, rounds]);
  }
  assert.ok(rounds > 4, `${rounds} rounds`);
});

test('several at once, and one that lost its lock', async (t) => {
  const { lua, write, start, db } = await setUp(t);
  const rows = 200;
  write('0001_create', create(rows));
  ok(await lua(['migrate', 'up', '-y']));
  for (let round = 1; round <= 3; round++) {
    write(`000${round + 1}_count`, count(10));
    const runs = await Promise.all([1, 2, 3].map(() => lua(['migrate', 'up', '-y'])));
    for (const one of runs) {
      if (one.code !== 0) fails(one, /another run, of ann@\S+, holds the lock/);
    }
    assert.ok(runs.some((one) => /Applied 1 migration/.test(one.output)), runs.map((one) => one.output).join('\n'));
    assert.deepEqual(await counts(db), { [round]: rows });
  }

  write('0009_count', count(10));
  const slow = start(['migrate', 'up', '-y']);
  await slow.line(/each todos: /);
  slow.child.kill('SIGSTOP');
  fails(await lua(['migrate', 'up', '-y']), /holds the lock/);
  ok(await lua(['migrate', 'up', '-y', '--unlock']), /going on after row \d+/);
  slow.child.kill('SIGCONT');
  assert.equal(await slow.ended, 1, slow.output());
  assert.match(slow.output(), /the lock was taken over by somebody who is done already, so this run wrote nothing more/);
  assert.deepEqual(await counts(db), { 4: rows });

  // Ctrl-C ends a run in order: how far it came is noted, the lock is given back.
  write('0010_count', count(1));
  const stopped = start(['migrate', 'up', '-y']);
  await stopped.line(/each todos: /);
  stopped.child.kill('SIGINT');
  assert.equal(await stopped.ended, 1, stopped.output());
  assert.match(stopped.output(), /it was told to end\nIt stopped half-way, at step 1 \(each todos\)/);
  ok(await lua(['migrate', 'up', '-y']), /going on after row \d+[^]*Applied 1 migration/);
  assert.deepEqual(await counts(db), { 5: rows });

  // The lock of a run that is dead ends by itself.
  const dead = await db.transact(db.tx.instant_migrations[id()].create({
    key: 'lock', fence: id(), by: 'nobody@nowhere', expires: Date.now() + 60000,
  }));
  assert.ok(dead);
  write('0011_count', count(50));
  fails(await lua(['migrate', 'up', '-y']), /another run, of nobody@nowhere, holds the lock for \d+ s more/);
  const [lock] = (await db.query({ instant_migrations: { $: { where: { key: 'lock' } } } })).instant_migrations;
  await db.transact(db.tx.instant_migrations[lock.id].update({ expires: Date.now() - 1 }));
  ok(await lua(['migrate', 'up', '-y']), /Applied 1 migration/);
  assert.deepEqual(await counts(db), { 6: rows });
});

test('a failure in the middle says what is left, and the next run goes on', async (t) => {
  const { lua, write, db, dump } = await setUp(t);
  write('0001_create', create(100));
  ok(await lua(['migrate', 'up', '-y']));

  // Before its first step is done: nothing was changed.
  const before = await dump('todos', 'instant_migrations');
  write('0002_count', 'return { up = function(m) m:query { todos = {} } local x = nil + 1 end }');
  const broken = await lua(['migrate', 'up', '-y']);
  fails(broken, /0002_count: \S*0002_count\.lua:1: attempt to perform arithmetic[^]*Nothing was changed/);
  const transaction = 'm:transact { m.tx.todos[m.id()]:update { n = 7, title = "new" }, m.tx.todos[m.id()]:update { title = 8 } }';
  write('0002_count', `return { up = function(m) ${transaction} end }`);
  fails(await lua(['migrate', 'up', '-y']), /Invalid value type for todos\.title[^]*failed at step 1 \(transact\)\. Nothing was changed/);
  assert.deepEqual(await dump('todos', 'instant_migrations'), before);

  write('0002_count', count(10, ' seen = (seen or 0) + 1 if seen > 37 then error "not this one" end'));
  const half = await lua(['migrate', 'up', '-y']);
  fails(half, /not this one\nIt stopped half-way, at step 1 \(each todos\), and what is done before that stays: `migrate up` goes on from there, `migrate down` undoes it\./);
  const found = await counts(db);
  assert.deepEqual(found, { 0: 70, 1: 30 });
  ok(await lua(['migrate']), /0002_count   half applied: .*not this one/);
  write('0002_count', 'return { up = function(m) m:rules {} end, down = function() end }');
  fails(await lua(['migrate', 'up', '-y']), /step 1 stopped in the middle of `each todos`, now it is `rules`/);
  assert.deepEqual(await counts(db), found);
  write('0002_count', count(10));
  ok(await lua(['migrate', 'up', '-y']), /going on after row 30/);
  assert.deepEqual(await counts(db), { 1: 100 });
  ok(await lua(['migrate', 'down', '-y']));
  assert.deepEqual(await counts(db), { 0: 100 });

  // A schema that the data refuses; then steps that are done are passed over.
  write('0003_strict', `return { up = function(m)
    m:transact(m.tx.todos[m.id()]:update { title = "last" })
    m:schema(function(schema) schema.entities.todos.attrs.n = i.number() end)
  end }`);
  write('0002_count', count(10));
  const refused = await lua(['migrate', 'up', '-y']);
  fails(refused, /failed: required of todos\.n \(missing-required-error\)[^]*at step 2 \(schema\)/);
  assert.doesNotMatch(refused.output, /migrate down/);
  await db.transact((await db.query({ todos: { $: { where: { title: 'last' } } } })).todos
    .map((todo) => db.tx.todos[todo.id].update({ n: 1 })));
  ok(await lua(['migrate', 'up', '-y']), /going on after step 1/);
  assert.deepEqual(await counts(db), { 1: 101 });
});

test('kill -9 with the file of this machine', async (t) => {
  const { lua, write, start, file } = await setUp(t);
  const api = ['--api', `local:${file('app.db')}`];
  const rows = 400;
  write('0001_create', create(rows));
  ok(await lua(['migrate', 'up', '-y', ...api]));
  write('0002_count', count(5));
  let kills = 0;
  for (let attempt = 0; attempt < 12; attempt++) {
    // No --unlock: whoever had the file open is gone.
    const command = start(['migrate', 'up', '-y', ...api]);
    const delay = Math.floor(Math.random() * 20);
    command.said(/each todos/).then(() => setTimeout(() => command.child.kill('SIGKILL'), delay), () => {});
    const code = await command.ended;
    if (code === 0) break; // at the end already
    assert.equal(code, 'SIGKILL', command.output());
    kills++;
  }
  assert.ok(kills > 0, 'nothing was killed');
  ok(await lua(['migrate', 'up', '-y', ...api]));
  const { todos } = JSON.parse((await lua(['query', '{ todos = {} }', ...api])).output);
  assert.equal(todos.length, rows);
  assert.ok(todos.every((todo) => todo.n === 1));
});
