// The Lua admin SDK beside the official one: the same requests for the same calls, and the same results
// on the same data, over the network and with `local:`.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import * as admin from '@instantdb/admin';
import { makeApp, root, run, scratch, serve, within } from './harness.mjs';

// ---- one description of calls, two that run it (admin_calls.lua is the other) ----

function thaw(value) {
  if (value === null || typeof value !== 'object') return value;
  if (value.$undefined) return undefined;
  if (value.$lookup) return admin.lookup(...value.$lookup);
  if (Array.isArray(value)) return value.map(thaw);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, thaw(part)]));
}

function argument(value) {
  if (!value?.$chunks) return thaw(value);
  return value.$chunks.map(([namespace, id, ...ops]) =>
    ops.reduce((chunk, [method, ...args]) => chunk[method](...args.map(thaw)), admin.tx[namespace][thaw(id)]),
  );
}

async function callJs(db, entry) {
  const [as, [name, ...args]] = typeof entry[0] === 'object' ? [entry[0].as, entry.slice(1)] : [null, entry];
  let owner;
  let target = as ? db.asUser(as) : db;
  for (const part of name.split('.')) [owner, target] = [target, target[part]];
  return target.apply(owner, args.map(argument));
}

async function runJs(config, calls) {
  const db = admin.init(config);
  const outcomes = [];
  for (const entry of calls) {
    outcomes.push(
      await callJs(db, entry).then(
        (ok) => ({ ok: ok ?? null }),
        ({ message, status, body }) => ({ error: { message, status, body } }),
      ),
    );
  }
  return JSON.parse(JSON.stringify(outcomes));
}

async function runLua(t, config, calls) {
  const file = path.join(scratch(t), 'calls.json');
  writeFileSync(file, JSON.stringify({ config, calls }));
  const process = run(t, [path.join(root, 'tests/e2e/admin_calls.lua'), file]);
  assert.equal(await within(60000, 'the Lua calls', process.ended), 0, process.output());
  return process
    .output()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

// An empty table is either to Lua, and null in a list of answers is nothing.
const plain = (value) =>
  JSON.parse(JSON.stringify(value), (_, part) =>
    part && typeof part === 'object' && Object.keys(part).length === 0 ? 'empty' : part,
  );

const withoutNulls = (value) => JSON.parse(JSON.stringify(value, (_, part) => part ?? undefined));

const ids = Array.from({ length: 8 }, (_, n) => `aaaaaaaa-0000-4000-8000-00000000000${n}`);
const chunks = (...list) => ({ $chunks: list });
const guest = { as: { guest: true } };

// ---- the same requests ----

const WEBHOOK = {
  id: 'w', sink: { url: 'https://example.com' }, namespaces: ['todos'], actions: ['create'],
  status: 'active', disabled_reason: null, created_at: '2026-01-02T03:04:05Z', updated_at: '2026-01-02T03:04:06Z',
};
const EVENT = {
  isn: '0/1/2', status: 'success', next_attempt_after: null, created_at: '2026-01-02T03:04:05Z',
  updated_at: '2026-01-02T03:04:05Z',
  attempts: [{
    'attempt-at': '2026-01-02T03:04:05Z', 'duration-ms': 1, 'success?': true, 'status-code': 200,
    'response-text': 'ok', 'error-type': 'x', 'error-message': 'y',
  }],
};
const USER = { id: ids[0], email: 'a@b.c', refresh_token: ids[1] };

// What the stand-in for a backend answers: [status, body] by the end of the path.
const ANSWERS = {
  '/admin/query': [200, { todos: [{ id: ids[0], title: 'x', none: null, list: [] }] }],
  '/admin/transact': [200, { 'tx-id': 7 }],
  '/admin/query_perms_check': [200, { result: { todos: [] }, 'check-results': [{ id: ids[0], check: true }] }],
  '/admin/transact_perms_check': [200, { 'tx-id': 7, 'all-checks-ok?': true, 'check-results': [] }],
  '/admin/magic_code': [200, { code: '123456' }],
  '/admin/send_magic_code': [429, { type: 'rate-limited', message: 'Too many.' }],
  '/admin/verify_magic_code': [200, { user: USER, created: true }],
  '/admin/refresh_tokens': [200, { user: USER, created: true }],
  '/admin/sign_out': [200, { ok: true }],
  '/runtime/auth/verify_refresh_token': [200, { user: USER }],
  'GET /admin/users': [200, { user: null }],
  'DELETE /admin/users': [200, { deleted: USER }],
  '/admin/rooms/presence': [200, { sessions: { s: { 'peer-id': 's', data: { a: 1 }, user: null } } }],
  '/webhooks': [200, { webhooks: [WEBHOOK], webhook: WEBHOOK }],
  '/webhooks/w': [200, { webhook: WEBHOOK }],
  '/enable': [200, { webhook: WEBHOOK }],
  '/disable': [200, { webhook: WEBHOOK }],
  '/events': [200, { events: [EVENT], pageInfo: { startCursor: 'a', endCursor: 'b', hasNextPage: true } }],
  '/events/0/1/2': [200, { event: EVENT }],
  '/w/0/1/2': [200, { data: [{ id: ids[0] }], idempotencyKey: 'k' }],
};

async function standIn(t) {
  const asked = [];
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      const url = new URL(request.url, 'http://x');
      const known = ['app-id', 'authorization', 'as-email', 'as-token', 'as-guest', 'content-type', 'x-mine',
        'instant-admin-version', 'instant-core-version'];
      asked.push({
        method: request.method,
        path: url.pathname,
        query: Object.fromEntries([...url.searchParams].sort()),
        headers: Object.fromEntries(known.filter((k) => request.headers[k]).map((k) => [k, request.headers[k]])),
        body: body ? JSON.parse(body) : null,
      });
      const ends = Object.keys(ANSWERS).filter((end) =>
        `${request.method} ${url.pathname}`.endsWith(end) || url.pathname.endsWith(end));
      const [status, answer] = ANSWERS[ends.sort((a, b) => b.length - a.length)[0]] ?? [500, 'no JSON at all'];
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return { asked, api: `http://127.0.0.1:${server.address().port}` };
}

const ASKING = [
  ['query', { todos: { $: { where: { title: 'x' } } } }],
  ['query', { todos: {} }, { ruleParams: { k: 's' } }],
  ['query', { todos: {} }, { fetchOpts: { headers: { 'x-mine': '1', authorization: 'Bearer other' } } }],
  ['transact', chunks(
    ['todos', ids[0], ['create', { title: 'a', none: null, list: [], n: 1.5 }]],
    ['todos', { $lookup: ['title', 'a'] }, ['link', { owner: ids[1] }]],
    ['todos', ids[2], ['ruleParams', { k: 1 }], ['update', { title: 'b' }, { upsert: false }]],
    ['todos', ids[3], ['merge', { a: { b: 1 } }], ['unlink', { owner: [ids[1], ids[2]] }], ['delete']],
  )],
  ['transact', chunks()],
  [{ as: { email: 'a@b.c' } }, 'query', { todos: {} }],
  [{ as: { token: ids[1] } }, 'query', { todos: {} }],
  [guest, 'query', { todos: {} }],
  [guest, 'transact', chunks(['todos', ids[0], ['update', { title: 'a' }]])],
  [guest, 'debugQuery', { todos: {} }, {
    rules: { todos: { allow: { view: 'true' } } }, ruleParams: { a: 1 }, ip: '1.2.3.4', origin: 'https://x',
    cardinalityInference: true,
  }],
  [guest, 'debugQuery', { todos: {} }],
  [guest, 'debugTransact', chunks(['todos', ids[0], ['update', { title: 'a' }]]), {
    rules: { todos: { allow: { create: 'true' } } }, ip: '1.2.3.4', origin: 'https://x', __dangerouslyCommit: true,
  }],
  [guest, 'debugTransact', chunks(['todos', ids[0], ['update', { title: 'a' }]])],
  ['auth.generateMagicCode', 'a@b.c'],
  ['auth.sendMagicCode', 'a@b.c'],
  ['auth.verifyMagicCode', 'a@b.c', '123456'],
  ['auth.checkMagicCode', 'a@b.c', '123456'],
  ['auth.checkMagicCode', 'a@b.c', '123456', { extraFields: { nickname: 'n' } }],
  ['auth.createToken', 'a@b.c'],
  ['auth.createToken', { email: 'a@b.c' }],
  ['auth.createToken', { id: ids[0] }],
  ['auth.verifyToken', ids[1]],
  ['auth.getUser', { email: 'a+b c@b.c' }],
  ['auth.getUser', { id: ids[0] }],
  ['auth.getUser', { refresh_token: ids[1] }],
  ['auth.deleteUser', { email: 'a@b.c' }],
  ['auth.signOut', 'a@b.c'],
  ['auth.signOut', { id: ids[0] }],
  ['auth.signOut', { refresh_token: ids[1] }],
  ['rooms.getPresence', 'chat', 'room-1'],
  ['webhooks.manager.list'],
  ['webhooks.manager.create', { url: 'https://x', namespaces: ['todos'], actions: ['create', 'delete'] }],
  ['webhooks.manager.update', 'w', { actions: ['delete'] }],
  ['webhooks.manager.delete', 'w'],
  ['webhooks.manager.enable', 'w'],
  ['webhooks.manager.disable', 'w'],
  ['webhooks.manager.disable', 'w', { reason: 'why' }],
  ['webhooks.manager.listEvents', 'w'],
  ['webhooks.manager.listEvents', 'w', { after: 'a/b c' }],
  ['webhooks.manager.getEvent', 'w', '0/1/2'],
  ['webhooks.manager.resendEvent', 'w', '0/1/2'],
  ['webhooks.manager.getPayload', 'w', '0/1/2'],
  ['webhooks.fetchJwks'],
];

test('both SDKs ask for the same, and make the same of the answers', async (t) => {
  const { asked, api } = await standIn(t);
  const config = { appId: ids[7], adminToken: ids[6], apiURI: api };
  const js = await runJs(config, ASKING);
  const askedByJs = asked.splice(0);
  const lua = await runLua(t, config, ASKING);
  assert.equal(askedByJs.length, ASKING.length);
  assert.equal(asked.length, ASKING.length);
  for (let n = 0; n < ASKING.length; n++) {
    const what = JSON.stringify(ASKING[n]);
    // JSON.stringify sends null in the place of the arguments that delete does not have.
    for (const request of [asked[n], askedByJs[n]]) {
      for (const step of request.body?.steps ?? []) if (step.at(-1) === null) step.pop();
    }
    assert.deepEqual(plain(asked[n]), plain(askedByJs[n]), what);
    // Members of a struct that have nothing are nil in Lua; data has its nulls.
    const wanted = what.startsWith('["webhooks') ? withoutNulls(js[n]) : js[n];
    assert.deepEqual(plain(lua[n]), plain(wanted), what);
  }
});

test('both SDKs refuse the same before they ask', async (t) => {
  const config = { appId: ids[7], apiURI: 'http://127.0.0.1:1' };
  const calls = [
    ['query', { todos: {} }],
    [{ as: { email: 'a@b.c' } }, 'query', { todos: {} }],
    ['auth.getUser', { id: ids[0] }],
    ['query', { todos: 1 }],
    ['query', { todos: { $: { limit: 'x' } } }],
    ['webhooks.manager.list'],
    ['webhooks.validate', 't=1', 'x'],
    ['webhooks.validate', 't=1,kid=1,v1=00', 'x'],
    ['webhooks.validateRequest', { headers: {} }],
  ];
  const js = await runJs(config, calls.slice(0, -1));
  const lua = await runLua(t, config, calls);
  for (let n = 0; n < js.length; n++) {
    assert.equal(lua[n].error.message, js[n].error.message, JSON.stringify(calls[n]));
  }
  assert.equal(lua.at(-1).error.message, 'Request is missing Instant-Signature header');
});

// ---- the same results ----

const WORKING = [
  ['transact', chunks(
    ['todos', ids[0], ['create', { title: 'one', n: 1, tags: ['a'], meta: { a: { b: 1 } } }]],
    ['todos', ids[1], ['update', { title: 'two', n: 2, none: null, big: 1e21, small: 0.1 }]],
    ['lists', ids[2], ['update', { name: 'l' }], ['link', { todos: [ids[0], ids[1]] }]],
  )],
  ['query', { todos: {} }],
  ['query', { lists: { todos: { $: { order: { serverCreatedAt: 'desc' } } } } }],
  ['query', { todos: { $: { where: { title: { $in: ['one', 'three'] } }, fields: ['title'] } } }],
  ['query', { todos: { $: { where: { or: [{ n: { $gt: 1 } }, { 'lists.name': 'm' }] } } } }],
  ['query', { todos: { $: { limit: 1 }, lists: {} }, nothing: {} }],
  ['query', { todos: { $: { where: { n: { $bad: 1 } } } } }],
  ['query', { todos: { $: { aggregate: 'count' } } }],
  ['transact', chunks(['todos', ids[0], ['merge', { meta: { a: { c: 2 }, d: null } }]])],
  ['transact', chunks(['todos', ids[0], ['create', {}]])],
  ['transact', chunks(['todos', ids[5], ['update', { title: 'x' }, { upsert: false }]])],
  ['transact', chunks(['todos', { $lookup: ['slug', 's'] }, ['update', { title: 'by slug' }]])],
  ['transact', chunks(['todos', { $lookup: ['title', 'one'] }, ['update', { n: 1 }]])],
  ['transact', chunks(['todos', 'no id', ['update', { n: 1 }]])],
  ['transact', chunks(['lists', ids[2], ['unlink', { todos: ids[0] }]])],
  ['query', { lists: { todos: { $: { fields: ['title'] } } }, todos: { $: { fields: ['title', 'meta', 'slug'] } } }],
  ['transact', chunks(['$users', ids[3], ['update', { email: 'a@b.c' }]])],
  ['transact', chunks(['$files', ids[4], ['update', { path: 'x' }]])],
  [{ as: { email: 'a@b.c' } }, 'query', { $users: {} }],
  [guest, 'query', { $users: {} }],
  [{ as: { email: 'b@b.c' } }, 'query', { todos: {} }],
  [{ as: { token: ids[0] } }, 'query', { todos: {} }],
  [{ as: { token: 'x' } }, 'query', { todos: {} }],
  [guest, 'debugQuery', { todos: { $: { fields: ['title'] } } }],
  [guest, 'debugTransact', chunks(['todos', ids[0], ['update', { title: 'tried' }]])],
  ['debugQuery', { todos: {} }],
  ['rooms.getPresence', 'chat', 'empty'],
  ['auth.createToken', { email: 'no address' }],
  ['auth.createToken', {}],
  ['auth.getUser', { email: 'nobody@b.c' }],
  ['auth.getUser', { id: 'x' }],
  ['auth.getUser', {}],
  ['auth.deleteUser', { refresh_token: ids[0] }],
  ['auth.signOut', {}],
  ['auth.signOut', { email: 'nobody@b.c' }],
  ['auth.signOut', { id: ids[5] }],
  ['auth.verifyToken', ids[5]],
  ['auth.checkMagicCode', 'nobody@b.c', '123456'],
  ['auth.checkMagicCode', 'nobody@b.c', '123456', { extraFields: { nothing: 1 } }],
  ['auth.generateMagicCode', ''],
  ['transact', chunks(['todos', ids[0], ['delete']], ['lists', ids[2], ['delete']])],
  ['query', { todos: {}, lists: {} }],
];

// Made-up ids and what depends on them differ between apps.
function withoutChance(outcomes) {
  const seen = new Map();
  return JSON.parse(JSON.stringify(plain(outcomes)).replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, (uuid) => {
    if (ids.includes(uuid)) return uuid;
    if (!seen.has(uuid)) seen.set(uuid, `<${seen.size}>`);
    return seen.get(uuid);
  }));
}

// Objects made from attrs come in the order of attr ids, which are made up; so are ids of traces.
const sorted = (value) =>
  JSON.parse(JSON.stringify(value), (key, part) => {
    if (key === 'trace-id') return undefined;
    if (key === 'check-results') {
      return part === 'empty' ? part : [...part].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    }
    return part;
  });

test('both SDKs work the same, over the network and in the process', async (t) => {
  const server = await serve(t);
  const [one, two] = [await makeApp(server), await makeApp(server)];
  const js = await runJs({ appId: one.id, adminToken: one.token, apiURI: server.api }, WORKING);
  const ways = {
    network: { appId: two.id, adminToken: two.token, apiURI: server.api },
    process: { apiURI: `local:${path.join(scratch(t), 'app.db')}` },
  };
  for (const [way, config] of Object.entries(ways)) {
    const lua = await runLua(t, config, WORKING);
    assert.equal(lua.length, WORKING.length);
    for (let n = 0; n < WORKING.length; n++) {
      const [got, wanted] = [lua[n], js[n]].map((outcome) => sorted(withoutChance(outcome)));
      assert.deepEqual(got, wanted, `${way}: ${JSON.stringify(WORKING[n])}`);
    }
  }
});
