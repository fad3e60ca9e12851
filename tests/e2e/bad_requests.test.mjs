// Every HTTP route, as the sources list them, asked by strangers, by holders of other tokens, and
// with parameters that are missing, malformed or hostile: refused in the envelope that clients
// read, never with a 500, and nothing is done.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { id, makeApp, root, serve } from './harness.mjs';

const folder = path.join(root, 'core/server');
const routes = readdirSync(folder).filter((name) => /^http.*\.c$/.test(name)).flatMap((name) =>
  [...readFileSync(path.join(folder, name), 'utf8').matchAll(/\{"([A-Z]+)",\s*"(\/[^"]*)",\s*\w+\}/g)]
    .map(([, method, target]) => ({ method, target, name: `${method} ${target}` })));

// Who is nobody may ask these, with nothing to say, and is answered with 200: all there are.
const OPEN = [
  'GET /', 'GET /health/system', 'GET /.well-known/webhooks/jwks.json', 'GET /dash/default-email-template',
  'GET /dash/cli/version', 'POST /dash/cli/auth/register', 'POST /dash/signout', 'POST /dash/profiles',
  'GET /runtime/:app_id/.well-known/openid-configuration', 'POST /runtime/auth/sign_in_guest',
];

const cleanups = [];
let server, foreign, refresh;
before(async () => {
  server = await serve({ after: (fn) => cleanups.push(fn) });
  foreign = await makeApp(server);
  const { user } = await post('/admin/refresh_tokens', foreign, { email: 'a@example.com' });
  refresh = user.refresh_token;
});
after(async () => {
  for (const fn of cleanups.reverse()) await fn();
});

async function post(target, app, body) {
  const response = await fetch(`${server.api}${target}`, {
    method: 'POST', headers: { ...bearer(app.token), 'app-id': app.id, 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.equal(response.status, 200);
  return response.json();
}

const bearer = (token) => ({ authorization: `Bearer ${token}` });
// Segments that name the app get its id, all others `other`.
const filled = (target, appId, other = id()) =>
  target.replace(/:app_id|:app\b/g, appId).replace(/:\w+/g, () => other);

// One request; event streams are hung up on as soon as they begin.
async function ask(route, target, headers, body) {
  const stop = new AbortController();
  const hasBody = route.method !== 'GET' && route.method !== 'DELETE' || body !== undefined && route.method === 'DELETE';
  const response = await fetch(`${server.api}${target}`, {
    method: route.method, headers: { 'content-type': 'application/json', ...headers }, body: hasBody ? body ?? '{}' : undefined,
    redirect: 'manual', signal: stop.signal,
  });
  const type = response.headers.get('content-type') ?? '';
  const text = type.startsWith('text/event-stream') ? '' : await response.text();
  stop.abort();
  return { status: response.status, type, text };
}

// Whatever is wrong is said as clients read it.
function check(route, what, { status, type, text }) {
  const told = `${route.name}, ${what}: ${status} ${text.slice(0, 300)}`;
  assert.ok(status < 500, told);
  assert.doesNotMatch(text, /\/tmp\/|\.c:\d+|SQLITE|traceback/, told);
  if (status < 400 || !type.startsWith('application/json')) return told;
  const answer = JSON.parse(text);
  assert.equal(typeof (answer.message ?? answer.error), 'string', told);
  if ('hint' in answer) assert.equal(Object.prototype.toString.call(answer.hint), '[object Object]', told);
  return told;
}

test('the sources were read', () => {
  assert.ok(routes.length > 120, `${routes.length} routes`);
  assert.equal(new Set(routes.map((route) => route.name)).size, routes.length);
});

test('strangers', async () => {
  const app = await makeApp(server);
  const open = new Set();
  for (const route of routes) {
    const body = route.name.startsWith('POST /runtime') ? JSON.stringify({ 'app-id': app.id, app_id: app.id }) : '{}';
    const answer = await ask(route, filled(route.target, app.id), { 'app-id': app.id }, body);
    check(route, 'from nobody', answer);
    if (answer.status === 200) open.add(route.name);
  }
  assert.deepEqual([...open].sort(), [...OPEN].sort());
});

// With another app's admin token, with a user's, with words that are none.
test('other tokens', async () => {
  const app = await makeApp(server);
  const guarded = routes.filter((route) => !OPEN.includes(route.name) && !route.target.startsWith('/runtime'));
  const tokens = [['a foreign token', foreign.token], ['a user\'s token', refresh], ['an unknown token', id()],
    ['an unknown operator', `per_${'0'.repeat(64)}`], ['an unknown third party', `pat_${'0'.repeat(64)}`], ['no token', 'undefined'], ['words', '\' OR 1=1 --']];
  for (const route of guarded) {
    await Promise.all(tokens.map(async ([what, token]) => {
      const answer = await ask(route, filled(route.target, app.id), { ...bearer(token), 'app-id': app.id, path: 'a' }, '{"filename":"a","filenames":["a"]}');
      const told = check(route, `with ${what}`, answer);
      // An app's token says who its operator is to the command line's `info`, and whose it is only.
      if (route.name === 'GET /dash/me' && token === foreign.token) return;
      assert.notEqual(answer.status, 200, told);
    }));
  }
});

const JUNK = [null, true, -1, 1e300, '', ' ', 'x', 'x'.repeat(5000), '../../etc/passwd', '\u0000', '\ud800', [], [[]], {}, { a: {} }];
// What bodies of any route may have.
const NAMES = [
  'action', 'actions', 'admin-token', 'admin_token', 'app-id', 'app_id', 'attr-id', 'body', 'client_id', 'client_name', 'client_secret',
  'code', 'code_verifier', 'description', 'discovery_endpoint', 'email', 'email-type', 'expiry', 'extra-fields', 'extra_fields',
  'filename', 'filenames', 'id', 'id_token', 'inference?', 'job-type', 'machine_id', 'messages', 'meta', 'name', 'namespaces', 'nonce', 'params',
  'perms', 'provider_id', 'provider_name', 'query', 'reason', 'redirect_to', 'refresh-token', 'refresh_token', 'rules', 'schema', 'secret',
  'sender-email', 'sender-name', 'service', 'session_id', 'sse_token', 'status', 'steps', 'subject', 'ticket', 'title', 'to', 'token', 'url',
  'versions',
];

test('bodies', async () => {
  const app = await makeApp(server);
  const headers = { ...bearer(app.token), 'app-id': app.id };
  const filledWith = (junk, route) => JSON.stringify({
    ...Object.fromEntries(NAMES.map((name) => [name, junk])),
    ...(route.target.startsWith('/runtime') && { 'app-id': app.id, app_id: app.id }),
  });
  for (const route of routes.filter(({ method }) => method === 'POST')) {
    const bodies = ['', 'null', '[]', '7', '{', '{"a":1}}', '\ufeff{}', ...JUNK.map((junk) => filledWith(junk, route))];
    await Promise.all(bodies.map(async (body) =>
      check(route, `with ${body.slice(0, 60)}`, await ask(route, filled(route.target, app.id), headers, body))));
  }
  assert.deepEqual(await post('/admin/query', app, { query: { todos: {} } }), { todos: [] });
});

test('paths, query parameters and header fields', async () => {
  const segments = ['x', '%00', '..%2f..%2fetc%2fpasswd', 'a'.repeat(3000), '%ff', '%27%22'];
  const queries = ['app_id=%zz', `app_id=${id()}&app_id=x`, 'filename=%00&name=../../x&expires=-1&signature=x&after=x',
    'client_name=%ff&redirect_uri=javascript:x&state=x&code=x', 'ticket=<script>&include=x,,schema&email=%40&id=x&refresh_token=x'];
  const fields = [{ 'app-id': 'x' }, { 'as-token': 'x' }, { 'as-email': '' }, { 'as-guest': 'x', 'as-token': id() }, { path: '' }, { path: '$stream/a' }];
  const app = await makeApp(server);
  const headers = { ...bearer(app.token), 'app-id': app.id };
  for (const route of routes) {
    const whole = filled(route.target, app.id);
    const hasOwn = route.target.includes(':'), hasOther = /:(?!app_id)/.test(route.target);
    await Promise.all([
      ...(hasOwn ? segments : []).map((segment) => [filled(route.target, segment, segment), headers]),
      ...(hasOther ? segments : []).map((segment) => [filled(route.target, app.id, segment), headers]),
      ...queries.map((query) => [`${whole}?${query}`, route.method === 'DELETE' ? {} : headers]),
      ...fields.map((extra) => [whole, { ...headers, ...extra }]),
    ].map(async ([target, sent]) =>
      check(route, `at ${target.slice(0, 200)} with ${JSON.stringify(sent)}`, await ask(route, target, sent))));
  }
});

test('bodies that are too large, coded, or end elsewhere', async () => {
  const app = await makeApp(server);
  const headers = { ...bearer(app.token), 'app-id': app.id };
  const query = { method: 'POST', target: '/admin/query', name: 'a query' };
  const large = await ask(query, query.target, headers, ' '.repeat((32 << 20) + 1));
  assert.equal(large.status, 413);
  check(query, 'too large', large);
  for (const [method, target] of [['POST', '/admin/query'], ['PUT', '/admin/storage/upload']]) {
    const answer = await ask({ method }, target, { ...headers, path: 'a', 'content-encoding': 'gzip' }, '{}');
    assert.equal(answer.status, 415);
    check({ name: target }, 'coded', answer);
    assert.equal((await ask({ method }, target, { ...headers, path: 'a', 'content-encoding': 'identity' }, '{"query":{"todos":{}}}')).status, 200);
  }
});

test('redirects lead nowhere but where the app allows', async () => {
  const app = await makeApp(server);
  const start = { method: 'GET', name: 'a start' };
  await post(`/dash/apps/${app.id}/authorized_redirect_origins`, app, { service: 'generic', params: ['example.com'] });
  const { provider } = await post(`/dash/apps/${app.id}/oauth_service_providers`, app, { provider_name: 'github' });
  await post(`/dash/apps/${app.id}/oauth_clients`, app, {
    provider_id: provider.id, client_name: 'github', client_id: 'x', client_secret: 'y', meta: { providerName: 'github' },
  });
  const asked = (target) => ask(start, `/runtime/oauth/start?app_id=${app.id}&client_name=github&redirect_uri=${encodeURIComponent(target)}`, {});
  assert.equal((await asked('https://example.com/back')).status, 302);
  for (const target of ['https://evil.example/', 'https://example.com.evil.example/', 'https://example.com@evil.example/', '//evil.example',
    'https://evil.example/?x=example.com', 'https://evil.example#@example.com', 'javascript:alert(1)//example.com', 'data:text/html,x',
    'https:\\\\evil.example\\example.com', 'https://example.com%00.evil.example/', 'https://example.com\r\nLocation: https://evil.example']) {
    const answer = await asked(target);
    assert.equal(answer.status, 400, `${target}: ${answer.text}`);
    check(start, target, answer);
  }
});

test('files of any name stay in the store, and a secret is not told again', async () => {
  const app = await makeApp(server);
  const put = { method: 'PUT', name: 'an upload' };
  const headers = { ...bearer(app.token), 'app-id': app.id };
  for (const name of ['../../etc/passwd', '/etc/passwd', 'C:\\x', '.', '..', 'a//b', 'x'.repeat(900), 'a%2fb', '-rf', 'con', 'a;b']) {
    const answer = await ask(put, '/admin/storage/upload', { ...headers, path: name }, 'x');
    assert.equal(answer.status, 200, `${name}: ${answer.text}`);
  }
  const stored = readdirSync(server.data, { recursive: true }).map(String);
  assert.ok(!stored.some((name) => /passwd|-rf|con$/.test(name)), stored.join());
  for (const name of ['', ' ', 'x'.repeat(5000), '$stream/x'])
    assert.equal((await ask(put, '/admin/storage/upload', { ...headers, path: name }, 'x')).status, 400, name);
  for (const route of routes.filter(({ method, target }) => method === 'GET' && target.includes(':app_id'))) {
    const { text } = await ask(route, filled(route.target, app.id), headers);
    assert.ok(!text.includes(app.token), route.name);
  }
});
