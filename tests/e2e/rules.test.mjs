// Permission rules as two official clients meet them, each signed in as a guest of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import WS from 'ws';
import { connect, id, live, makeApp, serve, within } from './harness.mjs';

const rules = {
  notes: {
    bind: { isOwner: 'auth.id != null && auth.id == data.owner' },
    allow: {
      view: 'isOwner || data.isPublic == true',
      create: 'auth.id == newData.owner',
      update: 'isOwner && newData.owner == data.owner',
      delete: 'isOwner',
    },
    fields: { secret: 'isOwner' },
  },
};

async function guest(t, server, app) {
  const db = connect(t, server, app);
  const { user } = await db.auth.signInAsGuest();
  return { db, user };
}

// One query over a raw session, told apart by nothing but where it comes from.
async function seenFrom(server, app, options) {
  const socket = new WS(`${server.api.replace('http', 'ws')}/runtime/session?app_id=${app.id}`, options);
  const messages = [];
  const waiting = [];
  socket.on('message', (data) => (waiting.shift() ?? ((m) => messages.push(m)))(JSON.parse(data)));
  const next = () => (messages.length ? messages.shift() : within(5000, 'a message', new Promise((r) => waiting.push(r))));
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  socket.send(JSON.stringify({ op: 'init', 'app-id': app.id, versions: { '@instantdb/core': 'v1.0.67' } }));
  assert.equal((await next()).op, 'init-ok');
  socket.send(JSON.stringify({ op: 'add-query', q: { notes: {} }, 'return-type': 'tree' }));
  const { op, result } = await next();
  assert.equal(op, 'add-query-ok');
  socket.terminate();
  return result.notes.map((note) => note.text);
}

async function saveRules(server, app, code) {
  const response = await fetch(`${server.api}/dash/apps/${app.id}/rules`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', authorization: `Bearer ${app.token}` },
    body: JSON.stringify({ code }),
  });
  return { status: response.status, answer: await response.json() };
}

test('rules decide what two guests see and do', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, { title: 'rules', rules: { code: rules } });
  const ann = await guest(t, server, app);
  const bob = await guest(t, server, app);
  const note = id();
  await ann.db.transact(
    ann.db.tx.notes[note].update({ text: 'mine', secret: 'hidden', owner: ann.user.id, isPublic: false }),
  );
  const hers = live(t, ann.db, { notes: {} });
  const his = live(t, bob.db, { notes: {} });
  await hers.until((r) => r.data?.notes.length === 1);
  await his.until((r) => r.data?.notes.length === 0);

  await t.test('a row that becomes visible comes, without what only its owner may see', async () => {
    await ann.db.transact(ann.db.tx.notes[note].update({ isPublic: true }));
    const { data } = await his.until((r) => r.data?.notes.length === 1);
    assert.equal(data.notes[0].text, 'mine');
    assert.equal(data.notes[0].secret, undefined);
    assert.equal(hers.last().data.notes[0].secret, 'hidden');
  });

  await t.test('a write that is not allowed is refused whole, and taken back', async () => {
    await assert.rejects(
      bob.db.transact([
        bob.db.tx.notes[id()].update({ text: 'his', owner: bob.user.id }),
        bob.db.tx.notes[note].update({ text: 'changed' }),
      ]),
      /Permission denied/,
    );
    await his.until((r) => r.data?.notes.length === 1 && r.data.notes[0].text === 'mine');
    await assert.rejects(
      bob.db.transact(bob.db.tx.notes[id()].update({ owner: ann.user.id })),
      /Permission denied/,
    );
    await assert.rejects(bob.db.transact(bob.db.tx.notes[note].delete()), /Permission denied/);
  });

  await t.test('new rules count at once, broken ones not at all', async () => {
    const broken = await saveRules(server, app, { notes: { allow: { view: 'data.x ==' } } });
    assert.equal(broken.status, 400);
    assert.equal(broken.answer.type, 'validation-failed');
    assert.deepEqual(broken.answer.hint.errors[0].in, ['notes', 'allow', 'view']);
    const saved = await saveRules(server, app, { notes: { allow: { view: 'isOwner' }, bind: rules.notes.bind } });
    assert.equal(saved.status, 200);
    await his.until((r) => r.data?.notes.length === 0, 'the row to go');
    assert.equal(hers.last().data.notes.length, 1);
    const other = await saveRules(server, { ...app, token: id() }, {});
    assert.equal(other.status, 400);
  });
});

test('rules know where a session and a request come from', async (t) => {
  const server = await serve(t);
  const view = "request.ip == '127.0.0.1' && request.origin == 'https://app.example'";
  const app = await makeApp(server, { title: 'callers', rules: { code: { notes: { allow: { view } } } } });
  const post = async (path, headers, body) => {
    const response = await fetch(server.api + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'app-id': app.id, ...headers },
      body: JSON.stringify(body),
    });
    return response.json();
  };
  await post('/admin/transact', { authorization: `Bearer ${app.token}` }, { steps: [['update', 'notes', id(), { text: 'here' }]] });
  assert.deepEqual(await seenFrom(server, app, { origin: 'https://app.example' }), ['here']);
  assert.deepEqual(await seenFrom(server, app, { origin: 'https://other.example' }), []);
  assert.deepEqual(await seenFrom(server, app, {}), []);
  // What a client says of its own address counts for nothing.
  const claim = { origin: 'https://app.example', headers: { 'X-Forwarded-For': '192.0.2.1' } };
  assert.deepEqual(await seenFrom(server, app, claim), ['here']);
  const ask = async (headers) => {
    const { notes } = await post('/admin/query', { 'as-guest': 'true', ...headers }, { query: { notes: {} } });
    return notes.map((note) => note.text);
  };
  assert.deepEqual(await ask({ origin: 'https://app.example' }), ['here']);
  assert.deepEqual(await ask({}), []);
});
