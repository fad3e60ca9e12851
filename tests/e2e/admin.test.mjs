// The official admin SDK against the backend, and the Lua one beside it on the same data.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import * as admin from '@instantdb/admin';
import { connect, i, id, live, lookup, makeApp, root, run, scratch, serve, within } from './harness.mjs';

function adminOf(server, app, options = {}) {
  return admin.init({ appId: app.id, adminToken: app.token, apiURI: server.api, ...options });
}

async function refused(promise, message) {
  const error = await promise.then(
    (value) => assert.fail(`answered ${JSON.stringify(value)}`),
    (e) => e,
  );
  assert.equal(error.message, message);
  return error;
}

test('the admin SDK writes, reads and links', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  const [todo, list] = [id(), id()];
  const answer = await db.transact([
    db.tx.todos[todo].create({ title: 'a', n: 1, tags: [], nothing: null }),
    db.tx.lists[list].update({ name: 'l' }).link({ todos: todo }),
  ]);
  assert.equal(typeof answer['tx-id'], 'number');
  assert.deepEqual(await db.query({ lists: { todos: {} } }), {
    lists: [{ id: list, name: 'l', todos: [{ id: todo, title: 'a', n: 1, tags: [], nothing: null }] }],
  });
  await db.transact([
    db.tx.todos[todo].merge({ meta: { a: { b: 1 } } }),
    db.tx.users[lookup('email', 'a@b.c')].update({ name: 'A' }),
  ]);
  await db.transact(db.tx.todos[todo].link({ users: lookup('email', 'a@b.c') }));
  const { todos } = await db.query({ todos: { users: {}, $: { where: { 'users.name': 'A' } } } });
  assert.equal(todos[0].users[0].email, 'a@b.c');
  assert.deepEqual(todos[0].meta, { a: { b: 1 } });
  await db.transact([db.tx.todos[todo].unlink({ users: lookup('email', 'a@b.c') }), db.tx.lists[list].delete()]);
  assert.deepEqual(await db.query({ todos: { users: {} }, lists: {} }), {
    todos: [{ id: todo, title: 'a', n: 1, tags: [], nothing: null, meta: { a: { b: 1 } }, users: [] }],
    lists: [],
  });
  const error = await refused(
    db.transact(db.tx.todos[todo].create({})),
    `Validation failed for tx-step: Creating entities that exist: ${todo}`,
  );
  assert.equal(error.status, 400);
  assert.equal(error.body.type, 'validation-failed');
});

test('clients see at once what an admin writes', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  const watch = live(t, connect(t, server, app), { todos: {} });
  await watch.until((r) => r.data);
  await db.transact(db.tx.todos[id()].update({ title: 'from admin' }));
  await watch.until((r) => r.data.todos[0]?.title === 'from admin');
});

test('a schema makes singular links objects and new attributes errors', async (t) => {
  const server = await serve(t);
  const schema = i.schema({
    entities: { todos: i.entity({ title: i.string() }), lists: i.entity({ name: i.string() }) },
    links: {
      list: {
        forward: { on: 'todos', has: 'one', label: 'list' },
        reverse: { on: 'lists', has: 'many', label: 'todos' },
      },
    },
  });
  const app = await makeApp(server, { title: 'x', schema });
  const db = adminOf(server, app, { schema });
  const list = id();
  await db.transact([
    db.tx.lists[list].create({ name: 'l' }),
    db.tx.todos[id()].create({ title: 't' }).link({ list }),
  ]);
  assert.equal((await db.query({ todos: { list: {} } })).todos[0].list.name, 'l');
  assert.equal((await adminOf(server, app).query({ todos: { list: {} } })).todos[0].list[0].name, 'l');
  const lax = adminOf(server, app, { schema, disableValidation: true });
  const error = await refused(
    lax.transact(lax.tx.todos[id()].update({ colour: 'red' })),
    'Validation failed for steps: Attributes are missing in your schema',
  );
  assert.deepEqual(error.hint.errors[0].hint.attributes, ['todos.colour']);
});

test('impersonation, and what the rules say', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  const todo = id();
  await db.transact([
    db.tx.todos[todo].update({ title: 'a' }),
    db.tx.$users[id()].update({ email: 'a@b.c' }),
    db.tx.$users[id()].update({ email: 'b@b.c' }),
  ]);
  const emails = async (as) => (await as.query({ $users: {} })).$users.map((user) => user.email).sort();
  assert.deepEqual(await emails(db), ['a@b.c', 'b@b.c']);
  assert.deepEqual(await emails(db.asUser({ email: 'a@b.c' })), ['a@b.c']);
  assert.deepEqual(await emails(db.asUser({ guest: true })), []);
  const bare = adminOf(server, app, { adminToken: undefined });
  assert.deepEqual(await emails(bare.asUser({ guest: true })), []);
  await refused(db.asUser({ email: 'c@b.c' }).query({ todos: {} }), 'Record not found: app-user');
  await refused(db.asUser({ token: 'x' }).query({ todos: {} }), 'Malformed parameter: ["asUser" "token"]');
  const wrong = adminOf(server, app, { adminToken: id() });
  await refused(wrong.query({ todos: {} }), 'Record not found: app-admin-token');
  const guest = db.asUser({ guest: true });
  const seen = await guest.debugQuery({ todos: {} }, { ip: '1.2.3.4', origin: 'https://example.com' });
  assert.deepEqual(seen.result, { todos: [{ id: todo, title: 'a' }] });
  assert.deepEqual(seen.checkResults.map((c) => [c.id, c.entity, c.check]), [[todo, 'todos', true]]);
  const tried = await guest.debugTransact(guest.tx.todos[todo].update({ title: 'b' }));
  assert.equal(tried['all-checks-ok?'], true);
  assert.equal(tried['committed?'], false);
  assert.equal((await db.query({ todos: {} })).todos[0].title, 'a');
  await refused(db.debugQuery({ todos: {} }), 'Validation failed for non-admin: Cannot test perms as admin');
});

test('live queries over server-sent events', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  const payloads = [];
  let wake = () => {};
  const sub = db.subscribeQuery({ todos: { $: { limit: 2, order: { serverCreatedAt: 'asc' } } } }, (payload) => {
    payloads.push(payload);
    wake();
  });
  t.after(() => sub.close());
  const next = async (ok) => {
    await within(10000, 'a payload', (async () => {
      while (!payloads.some(ok)) await new Promise((resolve) => (wake = resolve));
    })());
    return payloads.find(ok);
  };
  const first = await next((p) => p.type === 'ok');
  assert.deepEqual(first.data, { todos: [] });
  assert.equal(typeof first.sessionInfo.sessionId, 'string');
  await db.transact([1, 2, 3].map((n) => db.tx.todos[id()].update({ n })));
  const full = await next((p) => p.data?.todos.length === 2);
  assert.equal(full.pageInfo.todos.hasNextPage, true);
  assert.equal(sub.readyState, 'open');
  const broken = db.subscribeQuery({ todos: { $: { where: { n: { $bad: 1 } } } } });
  t.after(() => broken.close());
  const { value } = await within(10000, 'an error', broken[Symbol.asyncIterator]().next());
  assert.equal(value.type, 'error');
  assert.equal(value.error.body.type, 'validation-failed');
  const denied = adminOf(server, app, { adminToken: id() }).subscribeQuery({ todos: {} });
  const refusal = await within(10000, 'a refusal', denied[Symbol.asyncIterator]().next());
  assert.equal(refusal.value.error.message, 'Record not found: app-admin-token');
  assert.equal(refusal.value.isClosed, true);
});

test('users, codes and tokens', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  const email = 'Someone@Example.com';
  const { code } = await db.auth.generateMagicCode(email);
  assert.match(code, /^\d{6}$/);
  const signedIn = await db.auth.checkMagicCode(email, code);
  assert.equal(signedIn.created, true);
  assert.equal(signedIn.user.email, 'someone@example.com');
  const again = await db.auth.sendMagicCode(email);
  assert.equal((await db.auth.verifyMagicCode(email, again.code)).id, signedIn.user.id);
  await refused(db.auth.checkMagicCode(email, code), 'Record not found: app-user-magic-code');
  const token = await db.auth.createToken({ email });
  assert.equal((await db.auth.verifyToken(token)).id, signedIn.user.id);
  assert.equal((await db.auth.getUser({ refresh_token: token })).email, 'someone@example.com');
  assert.equal((await db.auth.getUser({ id: signedIn.user.id })).type ?? null, signedIn.user.type ?? null);
  assert.equal(await db.auth.getUser({ email: 'nobody@example.com' }), null);
  assert.deepEqual((await db.asUser({ token }).query({ $users: {} })).$users.map((user) => user.id), [
    signedIn.user.id,
  ]);
  const client = connect(t, server, app);
  assert.equal((await client.auth.signInWithToken(token)).user.id, signedIn.user.id);
  await db.auth.signOut({ refresh_token: token });
  await refused(db.auth.verifyToken(token), 'Record not found: app-user');
  const [one, two] = [await db.auth.createToken(email), await db.auth.createToken({ id: signedIn.user.id })];
  await db.auth.signOut({ email });
  await refused(db.auth.verifyToken(one), 'Record not found: app-user');
  await refused(db.asUser({ token: two }).query({ todos: {} }), 'Record not found: app-user');
  await refused(db.auth.signOut({ email: 'nobody@example.com' }), 'Record not found: app-user');
  assert.equal((await db.auth.deleteUser({ email })).id, signedIn.user.id);
  assert.equal(await db.auth.deleteUser({ email }), null);
});

test('who is in a room', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  assert.deepEqual(await db.rooms.getPresence('chat', 'r1'), {});
  const client = connect(t, server, app);
  const room = client.joinRoom('chat', 'r1', { initialPresence: { name: 'joe' } });
  t.after(() => room.leaveRoom());
  await within(10000, 'the room', new Promise((resolve) => {
    room.subscribePresence({}, (presence) => !presence.isLoading && resolve());
  }));
  const peers = Object.values(await db.rooms.getPresence('chat', 'r1'));
  assert.equal(peers.length, 1);
  assert.deepEqual(peers[0].data, { name: 'joe' });
  assert.equal(peers[0].user, null);
});

test('streams over the admin session', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  const writer = db.streams.createWriteStream({ clientId: 'answer' }).getWriter();
  await within(10000, 'the first write', writer.write('Grüße, '));
  const reader = adminOf(server, app).streams.createReadStream({ clientId: 'answer' }).getReader();
  assert.equal((await within(10000, 'a chunk', reader.read())).value, 'Grüße, ');
  const script = path.join(scratch(t), 'read.lua');
  writeFileSync(script, `local instant = require "instant"
local db = instant.admin.init { appId = "${app.id}", adminToken = "${app.token}", apiURI = "${server.api}" }
instant.task(function()
  local texts = {}
  for text in db.streams.createReadStream { clientId = "answer" } do
    texts[#texts + 1] = text
    if #texts == 1 then print "reading" end
  end
  print(table.concat(texts))
end)`);
  const lua = run(t, [script]);
  await lua.line(/reading/);
  await writer.write('Welt');
  await writer.close();
  await lua.line(/^Grüße, Welt$/);
  assert.equal(await within(10000, 'the end of the Lua reader', lua.ended), 0);
  assert.equal((await within(10000, 'the rest', reader.read())).value, 'Welt');
  assert.equal((await within(10000, 'the end', reader.read())).done, true);
});

test("README's admin program runs as printed", async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const blocks = [...readFileSync(path.join(root, 'README.md'), 'utf8').matchAll(/```lua\n([\s\S]*?)```/g)];
  const [, code] = blocks.find(([block]) => block.includes('instant.admin.init'));
  const file = path.join(scratch(t), 'admin.lua');
  writeFileSync(
    file,
    `local instant = require "instant"\n${code}`
      .replace('APP_ID', app.id).replace('ADMIN_TOKEN', app.token).replace('http://127.0.0.1:8888', server.api),
  );
  const script = run(t, [file]);
  assert.equal(await within(20000, 'its end', script.ended), 0, script.output());
  assert.equal(script.output(), '1\n1\nok\t1\n');
});
