// The official JavaScript client against `instant-lua serve`: reads, writes, links, windows, errors.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, id, live, lookup, makeApp, rawSession, serve } from './harness.mjs';

const string = (config = {}) => ({
  valueType: 'string', required: false, isIndexed: !!config.indexed, metadata: {},
  config: { indexed: false, unique: false, ...config },
});

const schema = {
  entities: {
    todos: { attrs: {
      title: string({ indexed: true }),
      slug: string({ unique: true, indexed: true }),
      rank: { valueType: 'number', required: false, isIndexed: true, metadata: {},
        config: { indexed: true, unique: false } },
      meta: { valueType: 'json', required: false, isIndexed: false, metadata: {},
        config: { indexed: false, unique: false } },
    } },
    lists: { attrs: { name: string() } },
  },
  links: {
    listTodos: {
      forward: { on: 'todos', label: 'list', has: 'one', onDelete: 'cascade' },
      reverse: { on: 'lists', label: 'todos', has: 'many' },
    },
  },
  rooms: {},
};

test('a write of one client reaches the other', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const [ada, bob] = [connect(t, server, app), connect(t, server, app)];
  const seen = live(t, bob, { todos: {} });
  await seen.until((r) => r.data?.todos.length === 0, 'the empty result');

  const todo = id();
  const { status } = await ada.transact(ada.tx.todos[todo].update({ title: 'milk', n: 1 }));
  assert.equal(status, 'synced');
  const made = await seen.until((r) => r.data?.todos.length === 1, 'the new todo');
  assert.deepEqual(made.data.todos, [{ id: todo, title: 'milk', n: 1 }]);

  await ada.transact(ada.tx.todos[todo].update({ title: 'oat milk' }));
  await seen.until((r) => r.data.todos[0].title === 'oat milk', 'the update');
  await ada.transact(ada.tx.todos[todo].delete());
  await seen.until((r) => r.data.todos.length === 0, 'the deletion');
});

test('the first write of a new app does not vanish between its confirmation and its refresh', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app);
  const counts = [];
  t.after(db.subscribeQuery({ notes: {} }, (r) => r.data && counts.push(r.data.notes.length)));
  await db.queryOnce({ notes: {} });
  await db.transact(db.tx.notes[id()].update({ n: 1 }));
  await db.transact(db.tx.notes[id()].update({ n: 2 }));
  await db.queryOnce({ notes: { $: { where: { n: 2 } } } }); // behind both refreshes
  assert.deepEqual(counts, [...counts].sort((a, b) => a - b), 'never fewer than before');
  assert.equal(counts.at(-1), 2);
});

test('deep merge keeps, replaces and removes', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, { title: 'merge', schema });
  const [ada, bob] = [connect(t, server, app), connect(t, server, app)];
  const seen = live(t, bob, { todos: {} });
  const todo = id();
  await ada.transact(ada.tx.todos[todo].update({ meta: { a: 1, b: { c: 2, d: 3 }, list: [1, 2] } }));
  await ada.transact(ada.tx.todos[todo].merge({ meta: { a: null, b: { d: 4, e: 5 }, list: [3] } }));
  const result = await seen.until((r) => r.data?.todos[0]?.meta?.b?.e === 5, 'the merge');
  assert.deepEqual(result.data.todos[0].meta, { b: { c: 2, d: 4, e: 5 }, list: [3] });
});

test('links, unlinks and a cascade', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, { title: 'links', schema });
  const [ada, bob] = [connect(t, server, app), connect(t, server, app)];
  const seen = live(t, bob, { lists: { todos: {} } });
  const [list, one, two] = [id(), id(), id()];
  await ada.transact([
    ada.tx.lists[list].update({ name: 'home' }),
    ada.tx.todos[one].update({ title: 'one' }).link({ list }),
    ada.tx.todos[two].update({ title: 'two' }).link({ list }),
  ]);
  await seen.until((r) => r.data?.lists[0]?.todos.length === 2, 'two linked todos');
  await ada.transact(ada.tx.todos[one].unlink({ list }));
  await seen.until((r) => r.data.lists[0].todos.length === 1, 'one linked todo');
  await ada.transact(ada.tx.lists[list].delete());
  await seen.until((r) => r.data.lists.length === 0, 'no list');
  const left = (await bob.queryOnce({ todos: {} })).data.todos;
  assert.deepEqual(left.map((todo) => todo.id), [one], 'the linked todo went with its list');
});

test('where, order, limit and cursors', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, { title: 'windows', schema });
  const db = connect(t, server, app);
  await db.transact(
    Array.from({ length: 25 }, (_, n) =>
      db.tx.todos[id()].update({ title: `t${n % 5}`, rank: n, slug: `s${n}` })),
  );
  const ranks = async (dollar, info) => {
    const { data, pageInfo } = await db.queryOnce({ todos: { $: dollar } });
    if (info) Object.assign(info, pageInfo.todos);
    return data.todos.map((todo) => todo.rank);
  };
  assert.deepEqual(await ranks({ where: { title: 't1' }, order: { rank: 'asc' } }), [1, 6, 11, 16, 21]);
  assert.deepEqual(await ranks({ where: { rank: { $gte: 20 } }, order: { rank: 'desc' } }), [24, 23, 22, 21, 20]);
  assert.deepEqual(await ranks({ where: { slug: { $in: ['s3', 's9'] } }, order: { rank: 'asc' } }), [3, 9]);
  assert.deepEqual(
    await ranks({ where: { or: [{ rank: { $lt: 2 } }, { title: { $like: '%4' } }] }, order: { rank: 'asc' } }),
    [0, 1, 4, 9, 14, 19, 24],
  );
  const page = {};
  assert.deepEqual(await ranks({ order: { rank: 'asc' }, limit: 4 }, page), [0, 1, 2, 3]);
  assert.equal(page.hasNextPage, true);
  assert.deepEqual(await ranks({ order: { rank: 'asc' }, limit: 4, after: page.endCursor }, page), [4, 5, 6, 7]);
  assert.equal(page.hasPreviousPage, true);
  assert.deepEqual(await ranks({ order: { rank: 'asc' }, last: 4, before: page.startCursor }), [0, 1, 2, 3]);
  assert.deepEqual(await ranks({ order: { rank: 'desc' }, limit: 3, offset: 2 }), [22, 21, 20]);
});

test('a live window follows rows that enter and leave it', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, { title: 'window', schema });
  const [ada, bob] = [connect(t, server, app), connect(t, server, app)];
  const ids = Array.from({ length: 6 }, () => id());
  await ada.transact(ids.map((todo, n) => ada.tx.todos[todo].update({ rank: n })));
  const seen = live(t, bob, { todos: { $: { order: { rank: 'asc' }, limit: 3 } } });
  const ranks = (r) => r.data?.todos.map((todo) => todo.rank).join();
  await seen.until((r) => ranks(r) === '0,1,2', 'the first three');
  await ada.transact(ada.tx.todos[ids[0]].update({ rank: 10 }));
  await seen.until((r) => ranks(r) === '1,2,3', 'a row to leave, another to enter');
  await ada.transact(ada.tx.todos[ids[5]].update({ rank: -1 }));
  await seen.until((r) => ranks(r) === '-1,1,2', 'a row to enter at the front');
  await ada.transact(ada.tx.todos[ids[1]].delete());
  await seen.until((r) => ranks(r) === '-1,2,3', 'the next one after a deletion');
});

test('an error of the server rejects and rolls the optimistic write back', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, { title: 'errors', schema });
  const db = connect(t, server, app);
  const seen = live(t, db, { todos: {} });
  await db.transact(db.tx.todos[id()].update({ slug: 'taken' }));
  // The backend's own result (it has nulls): a refresh that arrives while a write is pending is kept
  // by the official client with that write in it, whatever becomes of the write (session.md 5.7).
  await seen.until((r) => r.data?.todos[0]?.rank === null, 'the first todo');
  await assert.rejects(db.transact(db.tx.todos[id()].update({ slug: 'taken' })), (e) => {
    assert.match(e.message, /`slug` is a unique attribute on `todos` and an entity already exists/);
    return true;
  });
  await seen.until((r) => r.data.todos.length === 1, 'the roll-back');
  await assert.rejects(db.transact(db.tx.todos[id()].update({ rank: 'high' })), /Invalid value type for todos.rank/);
  await assert.rejects(
    db.queryOnce({ todos: { $: { where: { meta: { $gt: 1 } } } } }),
    (e) => /must be indexed/.test(JSON.stringify(e)) || /must be indexed/.test(e.message),
  );
  const { data } = await db.queryOnce({ todos: {} });
  assert.deepEqual(data.todos.map((todo) => todo.slug), ['taken']);
});

test('lookups address entities by a unique attr', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, { title: 'lookups', schema });
  const db = connect(t, server, app);
  // Answered means connected: from here on a write is sent at once and confirmed.
  await db.queryOnce({ todos: {} });
  await db.transact(db.tx.todos[lookup('slug', 'x')].update({ title: 'first' }));
  await db.transact(db.tx.todos[lookup('slug', 'x')].update({ title: 'second' }));
  const { data } = await db.queryOnce({ todos: {} });
  assert.equal(data.todos.length, 1);
  assert.equal(data.todos[0].title, 'second');
  assert.equal(data.todos[0].slug, 'x');
});

test('a resent client-event-id is answered and not applied twice', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, { title: 'resend', schema });
  const attrs = async (session) => {
    const ok = await session.ask({ op: 'init', 'app-id': app.id, 'client-event-id': id() });
    assert.equal(ok.op, 'init-ok');
    return (etype, label) =>
      ok.attrs.find((a) => a['forward-identity'][1] === etype && a['forward-identity'][2] === label).id;
  };
  const first = await rawSession(t, server);
  const attr = await attrs(first);
  const todo = id();
  const message = {
    op: 'transact', 'client-event-id': id(),
    'tx-steps': [['add-triple', todo, attr('todos', 'id'), todo, { mode: 'create' }]],
  };
  const ok = await first.ask(message);
  assert.equal(ok.op, 'transact-ok');
  const again = await first.ask(message);
  assert.equal(again.op, 'transact-ok');
  assert.equal(again['client-event-id'], message['client-event-id']);
  assert.equal(again['tx-id'], ok['tx-id']);
  const second = await rawSession(t, server);
  await attrs(second);
  assert.equal((await second.ask(message))['tx-id'], ok['tx-id']);
});
