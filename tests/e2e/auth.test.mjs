// Users: the official client signs in at our backend, and is the same user to Lua.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { connect, live, makeApp, rawSession, run, scratch, serve, within } from './harness.mjs';

const text = { valueType: 'string', required: false, isIndexed: true, metadata: {},
  config: { indexed: true, unique: false } };
const schema = { entities: { $users: { attrs: { nick: text } } }, links: {}, rooms: {} };

// The next code that the backend prints for this address.
async function codeFor(server, email) {
  const [, code] = await server.said(new RegExp(`the code of ${email.replace('.', '\\.')} for "[^"]*" is (\\d{6})`));
  return code;
}

async function signIn(server, db, email, extra = {}) {
  await db.auth.sendMagicCode({ email });
  return db.auth.signInWithMagicCode({ email, code: await codeFor(server, email), ...extra });
}

async function fails(promise, type, message) {
  const err = await promise.then(() => assert.fail('did not fail'), (e) => e);
  assert.equal(err.body?.type, type, err.message);
  assert.equal(err.message, message);
  return err;
}

// What the client knows, as soon as it fits.
function authOf(t, db) {
  let last;
  const waiting = new Set();
  t.after(db.subscribeAuth((state) => {
    last = state;
    for (const look of [...waiting]) look();
  }));
  return (ok, what) => within(10000, what, new Promise((resolve) => {
    const look = () => {
      if (!last || last.isLoading || !ok(last)) return;
      waiting.delete(look);
      resolve(last.user);
    };
    waiting.add(look);
    look();
  }));
}

async function lua(t, server, app, script) {
  const file = path.join(scratch(t), 'script.lua');
  writeFileSync(file, `local instant = require "instant"
local db = instant.init { appId = "${app.id}", apiURI = "${server.api}" }
${script}
repeat instant.sleep(5) until db:getConnectionStatus() == "authenticated"
db:shutdown()
`);
  const process = run(t, [file]);
  assert.equal(await within(20000, 'the script', process.ended), 0, process.output());
  return process.output().trim();
}

test('signing in with a magic code, and out', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app);
  const auth = authOf(t, db);
  await auth((s) => !s.user, 'nobody at first');
  const { user, created } = await signIn(server, db, 'ann@example.com');
  assert.equal(created, true);
  assert.equal(user.email, 'ann@example.com');
  assert.deepEqual(await db.getAuth(), user);
  assert.equal((await auth((s) => s.user, 'the user')).id, user.id);

  const mine = live(t, db, { $users: {} });
  const result = await mine.until((r) => r.data?.$users.length === 1, 'the own row');
  assert.equal(result.data.$users[0].id, user.id);

  await db.auth.signOut();
  await auth((s) => !s.user, 'nobody again');
  await mine.until((r) => r.data?.$users.length === 0, 'nothing to see');
  await within(5000, 'the token to go', (async () => {
    for (;;) {
      const answer = await fetch(`${server.api}/runtime/auth/verify_refresh_token`, {
        method: 'POST',
        body: JSON.stringify({ 'app-id': app.id, 'refresh-token': user.refresh_token }),
      });
      if (answer.status === 400) return;
    }
  })());
});

test('a user of JavaScript is the same user in Lua, and the other way round', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app);
  const { user } = await signIn(server, db, 'ann@example.com');
  const seen = await lua(t, server, app, `
local user = assert(db.auth.signInWithToken("${user.refresh_token}"):await()).user
local row = assert(db:queryOnce { ["$users"] = {} }:await()).data["$users"][1]
print(user.id .. " " .. row.id .. " " .. row.email)`);
  assert.equal(seen, `${user.id} ${user.id} ann@example.com`);

  const token = await lua(t, server, app, `
local user = assert(db.auth.signInAsGuest():await()).user
print(user.id .. " " .. user.refresh_token)`);
  const [id, refresh] = token.split(' ');
  const other = connect(t, server, app);
  const guest = (await other.auth.signInWithToken(refresh)).user;
  assert.equal(guest.id, id);
  assert.equal(guest.isGuest, true);
  // The guest of Lua becomes a user of JavaScript, under its own id.
  const upgraded = await signIn(server, other, 'bob@example.com');
  assert.equal(upgraded.user.id, id);
  assert.equal(upgraded.created, true);
});

test('used, wrong and foreign codes and tokens', async (t) => {
  const server = await serve(t);
  const [app, elsewhere] = [await makeApp(server), await makeApp(server)];
  const db = connect(t, server, app);
  const email = 'ann@example.com';
  await db.auth.sendMagicCode({ email });
  const code = await codeFor(server, email);
  const none = 'Record not found: app-user-magic-code';
  await fails(db.auth.signInWithMagicCode({ email, code: '999999' }), 'record-not-found', none);
  await fails(connect(t, server, elsewhere).auth.signInWithMagicCode({ email, code }), 'record-not-found', none);
  const { user } = await db.auth.signInWithMagicCode({ email, code });
  await fails(connect(t, server, app).auth.signInWithMagicCode({ email, code }), 'record-not-found', none);
  await fails(connect(t, server, elsewhere).auth.signInWithToken(user.refresh_token),
    'record-not-found', 'Record not found: app-user');
  await fails(db.auth.sendMagicCode({ email: 'nobody' }), 'param-malformed',
    'Malformed parameter: ["body" "email"]');
});

test('a session with a token that is not known is nobody from then on', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app);
  const auth = authOf(t, db);
  const { user } = await signIn(server, db, 'ann@example.com');
  await fetch(`${server.api}/admin/users?id=${user.id}`, {
    method: 'DELETE',
    headers: { 'app-id': app.id, authorization: `Bearer ${app.token}` },
  });
  db._reactor._transport.close(); // it comes back with the dead token
  await auth((s) => !s.user, 'signed out');
  const session = await rawSession(t, server);
  const answer = await session.ask({ op: 'init', 'app-id': app.id, 'refresh-token': user.refresh_token });
  assert.equal(answer.op, 'error');
  assert.equal(answer.hint['record-type'], 'app-user');
  assert.equal(JSON.stringify(answer).includes(user.refresh_token), false);
});

test('users stay signed in over a restart, and no token is ever printed', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app);
  const { user } = await signIn(server, db, 'ann@example.com');
  await fails(connect(t, server, app).auth.signInWithToken(`${user.refresh_token}x`), 'param-malformed',
    'Malformed parameter: ["body" "refresh-token"]');
  server.child.kill('SIGKILL');
  await server.ended;
  const again = await serve(t, { data: server.data, port: server.port });
  const mine = live(t, db, { $users: {} });
  await mine.until((r) => r.data?.$users[0]?.id === user.id, 'the own row');
  const token = (await connect(t, again, app).auth.signInWithToken(user.refresh_token)).user.refresh_token;
  assert.equal(token, user.refresh_token);
  for (const process of [server, again]) assert.equal(process.output().includes(user.refresh_token), false);
});

test('extra fields are up to the rule', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, {
    title: 'test', schema,
    rules: { code: { $users: { allow: { create: "data.nick != 'admin'" } } } },
  });
  const db = connect(t, server, app);
  const email = 'ann@example.com';
  await db.auth.sendMagicCode({ email });
  const code = await codeFor(server, email);
  const attempt = (extraFields) => db.auth.signInWithMagicCode({ email, code, extraFields });
  await fails(attempt({ nick: 'admin' }), 'permission-denied', 'Permission denied: not perms-pass?');
  await fails(attempt({ height: 1 }), 'validation-failed',
    'Validation failed for extra-fields: Unknown field: height. It must be defined in your $users schema.');
  await fails(attempt({ email: 'x' }), 'validation-failed',
    'Validation failed for extra-fields: Cannot set system field: email');
  const { user, created } = await attempt({ nick: 'ann' });
  assert.equal(created, true);
  assert.equal(user.nick, 'ann');
});

test('guests, and guests who turn out to be somebody', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const { user: ann } = await signIn(server, connect(t, server, app), 'ann@example.com');
  const db = connect(t, server, app);
  const { user: guest } = await db.auth.signInAsGuest();
  assert.equal(guest.type, 'guest');
  const { user, created } = await signIn(server, db, 'ann@example.com');
  assert.equal(created, false);
  assert.equal(user.id, ann.id);
  // The default rules show a user the guests that were linked to it.
  const mine = live(t, db, { $users: { linkedGuestUsers: {} } });
  const result = await mine.until((r) => r.data?.$users.length === 2, 'both rows');
  const own = result.data.$users.find((row) => row.id === ann.id);
  assert.deepEqual(own.linkedGuestUsers.map((row) => row.id), [guest.id]);
});
