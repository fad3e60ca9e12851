// Signing in by a provider: a real OpenID provider, the official client and Lua.

import assert from 'node:assert/strict';
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { SignJWT } from 'jose';
import Provider from 'oidc-provider';
import { connect, freePort, makeApp, run, scratch, serve, within } from './harness.mjs';

const APP = 'https://app.example/in';
const NATIVE = 'http://127.0.0.1:1/cb';

function makeKey(kid, alg = 'RS256') {
  const { privateKey } = alg === 'RS256'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
}

async function listen(t, port, handler) {
  const server = http.createServer(handler);
  const sockets = new Set();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = () => new Promise((resolve) => {
    for (const socket of sockets) socket.destroy();
    server.close(resolve);
  });
  t.after(close);
  return { close, sockets };
}

// A provider at this port with these keys; `callback` is where the backend gets its answers.
async function openidProvider(t, port, keys, callback) {
  const issuer = `http://127.0.0.1:${port}`;
  const seen = [];
  const common = { grant_types: ['authorization_code'], response_types: ['code'] };
  const provider = new Provider(issuer, {
    clients: [
      { ...common, client_id: 'web-1', client_secret: 'secret-1', redirect_uris: [callback],
        token_endpoint_auth_method: 'client_secret_post' },
      { ...common, client_id: 'native-1', redirect_uris: [NATIVE], application_type: 'native',
        token_endpoint_auth_method: 'none', id_token_signed_response_alg: keys.at(-1).alg },
    ],
    jwks: { keys },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256'] },
    conformIdTokenClaims: false,
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['picture'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true }),
    }),
    pkce: { required: (_, client) => client.clientId === 'native-1' },
    features: { devInteractions: { enabled: true } },
    cookies: { keys: ['a cookie key'] },
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid email');
      await grant.save();
      return grant;
    },
  });
  const answer = provider.callback();
  const { close } = await listen(t, port, (request, response) => {
    seen.push(request.url);
    answer(request, response);
  });
  return { issuer, discovery: `${issuer}/.well-known/openid-configuration`, seen, close };
}

// What a browser does with redirects, cookies and forms, until it is sent to an address that begins
// with `end`.
class Browser {
  cookies = new Map();

  async ask(url, form) {
    const ask = () => fetch(url, {
      method: form ? 'POST' : 'GET',
      redirect: 'manual',
      headers: {
        cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(form && { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      body: form && new URLSearchParams(form).toString(),
    });
    const response = await ask().catch(ask); // a kept connection may be to a server that has gone
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      if (value) this.cookies.set(name, value);
      else this.cookies.delete(name);
    }
    return response;
  }

  async follow(url, end, login) {
    let form;
    for (let step = 0; step < 20; step++) {
      const response = await this.ask(url, form);
      const text = await response.text();
      if (response.status >= 300 && response.status < 400) {
        url = new URL(response.headers.get('location'), url).href;
        form = undefined;
        if (url.startsWith(end)) return new URL(url);
        continue;
      }
      const action = text.match(/<form[^>]*action="([^"]+)"/)?.[1];
      assert.ok(action, `${url}: ${response.status} ${text}`);
      form = { login, password: 'any' };
      for (const [input] of text.matchAll(/<input[^>]*type="hidden"[^>]*>/g))
        form[input.match(/name="([^"]*)"/)[1]] = input.match(/value="([^"]*)"/)[1];
      url = new URL(action.replaceAll('&amp;', '&'), url).href;
    }
    assert.fail('redirected for ever');
  }
}

async function dash(server, app, route, body, method = 'POST') {
  const response = await fetch(`${server.api}/dash/apps/${app.id}/${route}`, {
    method,
    headers: { authorization: `Bearer ${app.token}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, ...(await response.json()) };
}

async function addClient(server, app, provider, client_name, rest) {
  const made = await dash(server, app, 'oauth_service_providers', { provider_name: `p-${client_name}` });
  const answer = await dash(server, app, 'oauth_clients', {
    provider_id: made.provider.id, client_name, discovery_endpoint: provider.discovery, ...rest });
  assert.equal(answer.status, 200, answer.message);
  return answer.client;
}

// A backend that may ask a provider on this machine, with an app that has both of its clients.
async function world(t, { keys = [makeKey('k1')] } = {}) {
  const [port, idPort] = [await freePort(), await freePort()];
  const server = await serve(t, { port, args: ['--allow-host', `127.0.0.1:${idPort}`] });
  const callback = `${server.api}/runtime/oauth/callback`;
  const provider = await openidProvider(t, idPort, keys, callback);
  const app = await makeApp(server);
  await addClient(server, app, provider, 'web', { client_id: 'web-1', client_secret: 'secret-1' });
  await addClient(server, app, provider, 'native', { client_id: 'native-1' });
  const origin = await dash(server, app, 'authorized_redirect_origins', {
    service: 'generic', params: ['app.example'] });
  assert.equal(origin.status, 200);
  return { server, provider, app, idPort, callback, db: connect(t, server, app) };
}

// An id_token as a phone's own library gets it.
async function idToken(provider, login, nonce) {
  const verifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    client_id: 'native-1', response_type: 'code', scope: 'openid email', redirect_uri: NATIVE,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256', ...(nonce && { nonce }),
  });
  const back = await new Browser().follow(`${provider.issuer}/auth?${query}`, NATIVE, login);
  const response = await fetch(`${provider.issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      client_id: 'native-1', grant_type: 'authorization_code', redirect_uri: NATIVE,
      code: back.searchParams.get('code'), code_verifier: verifier }),
  });
  return (await response.json()).id_token;
}

async function fails(promise, pattern) {
  const err = await promise.then(() => assert.fail('did not fail'), (e) => e);
  assert.match(err.body?.error ?? err.message, pattern);
  return err;
}

// A Lua script that signs in as told line by line, and says who it is.
function lua(t, server, app) {
  const file = path.join(scratch(t), 'script.lua');
  writeFileSync(file, `local instant = require "instant"
local db = instant.init { appId = "${app.id}", apiURI = "${server.api}" }
print("url " .. db.auth.createAuthorizationURL { clientName = "web", redirectURL = "${APP}" })
io.stdout:flush()
local one = assert(db.auth.exchangeOAuthCode { code = io.read() }:await())
print("one " .. one.user.id .. " " .. one.user.email)
io.stdout:flush()
local two = assert(db.auth.signInWithIdToken { clientName = "native", idToken = io.read(), nonce = "n2" }:await())
print("two " .. two.user.id .. " " .. two.user.email)
local none, err = db.auth.signInWithIdToken { clientName = "native", idToken = "x.y.z" }:await()
print("three " .. tostring(none) .. " " .. tostring(err.message))
repeat instant.sleep(5) until db:getConnectionStatus() == "authenticated"
db:shutdown()
`);
  return run(t, [file]);
}

test('by redirects, in JavaScript and in Lua', async (t) => {
  const { server, app, db, callback, provider } = await world(t);
  const browser = new Browser();
  const url = db.auth.createAuthorizationURL({ clientName: 'web', redirectURL: APP });
  const start = await browser.ask(url);
  const state = new URL(start.headers.get('location')).searchParams.get('state');
  const back = await browser.follow(start.headers.get('location'), APP, 'ann');
  assert.equal(back.searchParams.get('_instant_oauth_redirect'), 'true');
  const code = back.searchParams.get('code');
  const { user, created } = await db.auth.exchangeOAuthCode({ code });
  assert.equal(created, true);
  assert.equal(user.email, 'ann@example.com');
  assert.equal((await db.getAuth()).id, user.id);
  await fails(connect(t, server, app).auth.exchangeOAuthCode({ code }), /Record not found: app-oauth-code/);
  const again = await browser.ask(`${callback}?state=${state}&code=x`);
  assert.equal(again.status, 400);
  assert.deepEqual(await again.json(), { type: 'oauth-error', error: 'Could not find OAuth request.' });

  const script = lua(t, server, app);
  const [, luaUrl] = await script.line(/^url (.*)/);
  const luaBack = await new Browser().follow(luaUrl, APP, 'ann');
  script.write(`${luaBack.searchParams.get('code')}\n`);
  assert.equal((await script.line(/^one (.*)/))[1], `${user.id} ann@example.com`);
  // Another client of another provider: the address makes it the same user.
  script.write(`${await idToken(provider, 'ann', 'n2')}\n`);
  assert.equal((await script.line(/^two (.*)/))[1], `${user.id} ann@example.com`);
  assert.equal((await script.line(/^three (.*)/))[1], 'nil Invalid JWT.');
  assert.equal(await within(20000, 'the script', script.ended), 0, script.output());

  // Whoever begins in one browser does not end in another.
  const begun = await new Browser().ask(url);
  const elsewhere = new Browser();
  await elsewhere.ask(url);
  const mixed = await elsewhere.ask(
    `${callback}?code=x&state=${new URL(begun.headers.get('location')).searchParams.get('state')}`);
  assert.equal((await mixed.json()).error, 'Mismatch in OAuth request cookie.');
  const foreign = await fetch(db.auth.createAuthorizationURL({ clientName: 'web', redirectURL: 'https://evil.example' }),
    { redirect: 'manual' });
  assert.equal(foreign.status, 400);
  assert.doesNotMatch(server.output(), /secret-1/);
});

test('with an id_token, and keys that change', async (t) => {
  const keys = [makeKey('k1')];
  const { server, app, db, provider, idPort, callback } = await world(t, { keys });
  const token = await idToken(provider, 'bob', 'n1');
  await fails(db.auth.signInWithIdToken({ clientName: 'native', idToken: token }), /nonce parameter was not provided/);
  await fails(db.auth.signInWithIdToken({ clientName: 'native', idToken: token, nonce: 'n2' }), /nonces do not match/);
  await fails(db.auth.signInWithIdToken({ clientName: 'web', idToken: token, nonce: 'n1' }), /wrong OAuth client/);
  const { user, created } = await db.auth.signInWithIdToken({ clientName: 'native', idToken: token, nonce: 'n1' });
  assert.equal(created, true);
  assert.equal(user.email, 'bob@example.com');
  const asked = () => provider.seen.filter((url) => url === '/jwks').length;
  assert.equal(asked(), 1);

  const forged = await new SignJWT({ email: 'bob@example.com', email_verified: true })
    .setProtectedHeader({ alg: 'HS256', kid: 'k1' }).setIssuer(provider.issuer).setAudience('native-1')
    .setSubject('bob').setExpirationTime('1h').sign(Buffer.from(JSON.stringify(keys[0].n)));
  await fails(db.auth.signInWithIdToken({ clientName: 'native', idToken: forged }), /Unsupported signing algorithm HS256/);

  await provider.close();
  const next = await openidProvider(t, idPort, [makeKey('k0'), makeKey('k2', 'ES256')], callback);
  const rotated = await idToken(next, 'bob');
  const other = connect(t, server, app);
  assert.equal((await other.auth.signInWithIdToken({ clientName: 'native', idToken: rotated })).user.id, user.id);
  assert.equal(next.seen.filter((url) => url === '/jwks').length, 1);

  // A page that is not the app's may not ask.
  const response = await fetch(`${server.api}/runtime/oauth/id_token`, {
    method: 'POST',
    headers: { origin: 'https://evil.example', 'content-type': 'application/json' },
    body: JSON.stringify({ app_id: app.id, client_name: 'native', id_token: rotated }),
  });
  assert.equal(response.status, 400);
  assert.match((await response.json()).message, /Unauthorized origin/);
});

test('providers that are huge, silent or in the own network', async (t) => {
  const { server, app, db, provider } = await world(t);
  const token = await idToken(provider, 'ann');
  const port = await freePort();
  const closed = await serve(t);
  const inside = await makeApp(closed);
  let hits = 0;
  let mode = 'huge';
  const waiting = [];
  const wicked = await listen(t, port, (request, response) => {
    hits++;
    if (request.url === '/d') response.end(JSON.stringify({ issuer: 'x', jwks_uri: `http://127.0.0.1:${port}/k` }));
    else if (mode === 'huge') response.end(`{"keys":[],"x":"${'x'.repeat(1 << 20)}"}`);
    else waiting.push(response);
  });
  // Not named: nobody asks.
  const made = await dash(closed, inside, 'oauth_service_providers', { provider_name: 'p' });
  for (const discovery_endpoint of [`http://127.0.0.1:${port}/d`, `https://127.0.0.1:${port}/d`, 'https://localhost/d']) {
    const answer = await dash(closed, inside, 'oauth_clients', {
      provider_id: made.provider.id, client_name: 'c', discovery_endpoint });
    assert.equal(answer.message,
      'Validation failed for discovery-endpoint: Could not validate discovery endpoint.');
  }
  assert.equal(hits, 0);

  const open = await serve(t, { args: ['--allow-host', `localhost,127.0.0.1:${port}`] });
  const here = await makeApp(open);
  await addClient(open, here, { discovery: `http://127.0.0.1:${port}/d` }, 'native', {});
  const there = connect(t, open, here);
  const ask = (signal) => fetch(`${open.api}/runtime/oauth/id_token`, {
    method: 'POST', signal, headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ app_id: here.id, client_name: 'native', id_token: token }) });
  await fails(there.auth.signInWithIdToken({ clientName: 'native', idToken: token }), /Could not find signing key/);

  // Three wait for one answer; one goes away; the backend goes on serving; then nothing comes.
  mode = 'silent';
  const abort = new AbortController();
  const gone = ask(abort.signal).then(() => assert.fail('answered'), () => {});
  const both = [ask(), ask()];
  await within(5000, 'the question', (async () => {
    while (!waiting.length) await fetch(`${open.api}/health/system`);
  })());
  abort.abort();
  await gone;
  assert.equal((await fetch(`${open.api}/health/system`)).status, 200);
  for (const socket of wicked.sockets) socket.destroy();
  for (const response of await Promise.all(both)) {
    assert.equal(response.status, 400);
    assert.match((await response.json()).error, /Could not find signing key/);
  }
  // The one that plays along still does.
  assert.equal((await db.auth.signInWithIdToken({ clientName: 'native', idToken: token })).created, true);
  assert.ok(server.port !== open.port && app.id !== here.id);
});

test('with an id_token on a backend in the same process', async (t) => {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const key = makeKey('k1', 'ES256');
  let silent = false;
  let hear;
  const asked = new Promise((resolve) => { hear = resolve; });
  await listen(t, port, (request, response) => silent ? hear() : response.end(JSON.stringify(
    request.url === '/d' ? { issuer, jwks_uri: `${issuer}/k`, id_token_signing_alg_values_supported: ['ES256'] }
      : { keys: [{ ...key, d: undefined }] })));
  const token = await new SignJWT({ email: 'ann@example.com', email_verified: true, nonce: 'n1' })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1' }).setIssuer(issuer).setAudience('c1').setSubject('s1')
    .setExpirationTime('1h').sign(createPrivateKey({ key, format: 'jwk' }));
  const dir = scratch(t);
  const file = path.join(dir, 'script.lua');
  writeFileSync(file, `local instant = require "instant"
local db = instant.init { apiURI = "local:app.db" }
local fetch, close = require "instant.api".of { apiURI = "local:app.db" }
local function post(route, body)
  return assert(fetch("POST", ("/dash/apps/%s/%s"):format(db.appId, route), {
    headers = { authorization = "Bearer " .. instant.id() }, body = body }):await())
end
local provider = post("oauth_service_providers", { provider_name = "p" }).provider
post("oauth_clients", { provider_id = provider.id, client_name = "web", client_id = "c1",
  discovery_endpoint = "${issuer}/d" })
local none, err = fetch("POST", ("/dash/apps/%s/oauth_clients"):format(db.appId), {
  headers = { authorization = "Bearer " .. instant.id() }, body = { provider_id = provider.id,
    client_name = "other", discovery_endpoint = "http://127.0.0.1:1/d" } }):await()
print("refused " .. tostring(none) .. " " .. err.message)
local user = assert(db.auth.signInWithIdToken { clientName = "web", idToken = "${token}", nonce = "n1" }:await()).user
print("user " .. user.email)
close()
repeat instant.sleep(5) until db:getConnectionStatus() == "authenticated"
db:shutdown()
`);
  const script = run(t, [file], { cwd: dir });
  assert.equal(await within(20000, 'the script', script.ended), 0, script.output());
  assert.match(script.output(),
    /refused nil Validation failed for discovery-endpoint: Could not validate discovery endpoint\./);
  assert.match(script.output(), /user ann@example\.com/);

  // Ctrl-C does not wait for a provider that says nothing.
  silent = true;
  const other = path.join(dir, 'other.lua');
  writeFileSync(other, `local instant = require "instant"
require "instant.api".of { apiURI = "local:app.db" }("POST", "/runtime/oauth/id_token", { body = {
  app_id = instant.init { apiURI = "local:app.db" }.appId, client_name = "web", id_token = "${token}" } })`);
  const waits = run(t, [other], { cwd: dir });
  await within(10000, 'the question', asked);
  waits.child.kill('SIGINT');
  await within(8000, 'the end', waits.ended);
});
