// A third party acts for an operator: let in by OAuth, within scopes, until it is revoked; with the
// official platform SDK as the third party.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { exchangeCodeForToken, exchangeRefreshToken, PlatformApi } from '@instantdb/platform';
import { id, serve } from './harness.mjs';

const BACK = 'https://third.example/back?x=1';

async function setUp(t) {
  const server = await serve(t);
  const [, appId] = await server.line(/app id:\s+(\S+)/);
  const [, adminToken] = await server.line(/admin token:\s+(\S+)/);
  const [, operator] = await server.line(/operator token:\s+(per_[0-9a-f]{64})\s/);
  const ask = async (method, target, { bearer = operator, body, form, headers = {} } = {}) => {
    const response = await fetch(`${server.api}${target}`, {
      method, redirect: 'manual',
      headers: {
        ...(bearer && { authorization: `Bearer ${bearer}` }), ...headers,
        'content-type': form ? 'application/x-www-form-urlencoded' : 'application/json',
      },
      body: form ? new URLSearchParams(form).toString() : body && JSON.stringify(body),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json');
    return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
  };
  const made = await ask('POST', `/dash/apps/${appId}/oauth-apps`, { body: { app_name: 'Third <b>party' } });
  assert.equal(made.status, 200, JSON.stringify(made.body));
  const { body } = await ask('POST', `/dash/apps/${appId}/oauth-apps/${made.body.app.id}/clients`, {
    body: { client_name: 'web', authorized_redirect_urls: [BACK, 'http://localhost:3000/'] },
  });
  const client = { id: body.client.client_id, secret: body.secretValue, app: made.body.app.id };
  // The page of a start, and what its form sends.
  const begin = async (more = {}) => {
    const query = new URLSearchParams({
      client_id: client.id, redirect_uri: BACK, scope: 'apps-read data-read', state: 'st ate', response_type: 'code', ...more,
    });
    const page = await ask('GET', `/platform/oauth/start?${query}`, { bearer: null });
    if (page.status !== 200) return page;
    const cookie = page.headers.get('set-cookie').split(';')[0];
    const [, redirectId] = page.body.match(/name="redirect_id" value="([^"]+)"/);
    return { ...page, redirectId, sent: page.headers, headers: { cookie } };
  };
  const decide = (page, what, form = {}, headers = page.headers) =>
    ask('POST', `/platform/oauth/${what}`, { bearer: null, headers, form: { redirect_id: page.redirectId, ...form } });
  const code = async (more) => {
    const granted = await decide(await begin(more), 'grant', { token: operator });
    assert.equal(granted.status, 302, JSON.stringify(granted.body));
    return new URL(granted.headers.get('location')).searchParams.get('code');
  };
  return { server, appId, adminToken, operator, ask, client, begin, decide, code };
}

test('let in with a secret: reads, does not write, refreshes, is revoked', async (t) => {
  const { server, appId, operator, ask, client, begin, decide } = await setUp(t);
  const page = await begin();
  assert.match(page.headers.cookie, /^__session=platform_/);
  assert.match(page.body, /Third &#60;b&#62;party/);
  assert.match(page.body, /apps-read data-read/);
  // No page lays itself under it, and what it was asked with is told nobody.
  assert.equal(page.sent.get('content-security-policy'), "default-src 'none'; frame-ancestors 'none'");
  assert.equal(page.sent.get('x-frame-options'), 'DENY');
  assert.equal(page.sent.get('referrer-policy'), 'strict-origin');
  const granted = await decide(page, 'grant', { token: operator });
  assert.equal(granted.status, 302);
  const back = new URL(granted.headers.get('location'));
  assert.equal(`${back.origin}${back.pathname}`, 'https://third.example/back');
  assert.deepEqual([back.searchParams.get('x'), back.searchParams.get('state'), back.searchParams.get('scope')], ['1', 'st ate', 'apps-read data-read']);
  const exchange = { clientId: client.id, clientSecret: client.secret, redirectUri: BACK, apiURI: server.api };
  const tokens = await exchangeCodeForToken({ ...exchange, code: back.searchParams.get('code') });
  assert.match(tokens.accessToken, /^pat_[0-9a-f]{64}$/);
  assert.match(tokens.refreshToken, /^prt_[0-9a-f]{64}$/);
  const third = new PlatformApi({ auth: { token: tokens.accessToken }, apiURI: server.api });
  assert.equal((await third.tokenInfo()).scopes, 'apps-read data-read');
  assert.deepEqual((await third.getApps()).apps.map((app) => app.id), [appId]);
  await assert.rejects(third.createApp({ title: 'no' }), /has-scope/);
  const as = (method, target, body) => ask(method, target, { bearer: tokens.accessToken, body, headers: { 'app-id': appId } });
  assert.equal((await as('POST', '/admin/query', { query: { todos: {} } })).status, 200);
  // Neither what it has no scope for, nor what would let it take more.
  for (const [method, target, body] of [
    ['POST', '/admin/transact', { steps: [] }], ['GET', '/admin/storage/files'], ['POST', `/dash/apps/${appId}/rules`, { code: {} }],
    ['DELETE', `/superadmin/apps/${appId}`], ['POST', `/dash/apps/${appId}/tokens`, { 'admin-token': id() }],
    ['GET', '/dash/personal_access_tokens'], ['POST', '/dash/personal_access_tokens', { name: 'x' }], ['GET', '/dash'],
    ['GET', `/dash/apps/${appId}/oauth-apps`], ['POST', '/dash/cli/auth/claim', { ticket: id() }], ['POST', '/platform/oauth/claim', { redirect: id() }],
  ]) {
    const { status, body: answer } = await as(method, target, body);
    assert.ok(status === 400 && answer.type === 'permission-denied', `${method} ${target}: ${status} ${JSON.stringify(answer)}`);
  }
  assert.notEqual((await decide(await begin(), 'grant', { token: tokens.accessToken })).status, 302);

  const fresh = await exchangeRefreshToken({ clientId: client.id, clientSecret: client.secret, refreshToken: tokens.refreshToken, apiURI: server.api });
  assert.notEqual(fresh.accessToken, tokens.accessToken);
  // The SDK gets itself another when its own is gone.
  assert.equal((await ask('POST', '/platform/oauth/revoke', { bearer: null, form: { token: fresh.accessToken } })).status, 200);
  const own = new PlatformApi({
    auth: { accessToken: fresh.accessToken, refreshToken: tokens.refreshToken, clientId: client.id, clientSecret: client.secret }, apiURI: server.api,
  });
  assert.equal((await own.getApps()).apps.length, 1);
  // A refresh token takes what was made of it along.
  assert.equal((await ask('POST', `/platform/oauth/revoke?token=${tokens.refreshToken}`, { bearer: null })).status, 200);
  await assert.rejects(third.getApps(), /oauth-app-access-token/);
  const late = await ask('POST', '/platform/oauth/token', {
    bearer: null, body: { grant_type: 'refresh_token', refresh_token: tokens.refreshToken, client_id: client.id, client_secret: client.secret },
  });
  assert.equal(late.body.message, 'Record not found: oauth-app-refresh-token');
  assert.equal((await ask('GET', '/superadmin/apps', { bearer: own.token() })).status, 401);
});

test('let in by PKCE, without a secret', async (t) => {
  const { server, appId, ask, client, code } = await setUp(t);
  const verifier = randomBytes(32).toString('base64url');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const pkce = { code_challenge: challenge, code_challenge_method: 'S256', scope: 'apps-read apps-write' };
  const exchange = (more) => ask('POST', '/platform/oauth/token', {
    bearer: null, body: { grant_type: 'authorization_code', client_id: client.id, redirect_uri: BACK, ...more },
  });
  const good = await exchange({ code: await code(pkce), code_verifier: verifier });
  assert.equal(good.status, 200, JSON.stringify(good.body));
  assert.equal(good.body.refresh_token, undefined);
  const third = new PlatformApi({ auth: { token: good.body.access_token }, apiURI: server.api });
  const { app } = await third.createApp({ title: 'made by a third party' });
  assert.equal((await third.getApp(app.id)).app.title, 'made by a third party');
  // Every code once, whatever came of it; and nothing that does not belong together.
  const used = await code(pkce);
  assert.equal((await exchange({ code: used, code_verifier: 'x'.repeat(43) })).status, 400);
  assert.equal((await exchange({ code: used, code_verifier: verifier })).body.message, 'Record not found: oauth-app-code');
  for (const more of [{ redirect_uri: 'http://localhost:3000/' }, { client_id: id() }, { code_verifier: undefined }, { client_secret: 'wrong' }])
    assert.equal((await exchange({ code: await code(pkce), code_verifier: verifier, ...more })).status, 400, JSON.stringify(more));
  assert.equal((await exchange({ code: await code() })).status, 400); // neither a secret nor PKCE
  // Its client goes, and it with it.
  assert.equal((await ask('DELETE', `/dash/apps/${appId}/oauth-app-clients/${client.id}`)).status, 200);
  await assert.rejects(third.getApps(), /oauth-app-access-token/);
});

test('nobody is let in, or sent on, by mistake', async (t) => {
  const { appId, adminToken, operator, ask, client, begin, decide } = await setUp(t);
  for (const more of [{ redirect_uri: 'https://evil.example/' }, { redirect_uri: `${BACK}&y` }, { client_id: id() }, { client_id: 'x' }, { scope: 'everything' },
    { scope: '' }, { response_type: 'token' }, { code_challenge: 'x' }, { code_challenge: 'x', code_challenge_method: 'MD5' }, { state: '' }]) {
    const page = await begin(more);
    assert.equal(page.status, 400, JSON.stringify(more));
    assert.equal(page.headers.get('location'), null);
  }
  const page = await begin();
  for (const form of [{}, { token: 'x' }, { token: adminToken }, { token: `per_${'0'.repeat(64)}` }, { grant_token: id() }, { grant_token: '' }])
    assert.equal((await decide(page, 'grant', form)).status, 401, JSON.stringify(form));
  const other = await begin();
  for (const headers of [{}, { cookie: 'x=y' }, other.headers]) {
    assert.equal((await decide(page, 'grant', { token: operator }, headers)).status, 400);
    assert.equal((await decide(page, 'deny', {}, headers)).status, 400);
  }
  const denied = await decide(page, 'deny');
  assert.equal(denied.status, 302);
  assert.match(denied.headers.get('location'), /^https:\/\/third\.example\/back\?x=1&error=access_denied&state=st%20ate$/);
  assert.equal((await decide(page, 'grant', { token: operator })).status, 400);
  // A page of somebody else's: by the grant token that an operator's claim gives, once.
  const claimed = await ask('POST', '/platform/oauth/claim', { body: { redirect: other.redirectId } });
  assert.equal(claimed.body.appName, 'Third <b>party');
  assert.equal((await ask('POST', '/platform/oauth/claim', { body: { redirect: other.redirectId } })).status, 400);
  assert.equal((await decide(other, 'grant', { grant_token: claimed.body.grantToken })).status, 302);
  // Redirects that would carry a code away; secrets that are told again.
  for (const url of ['http://evil.example/', 'javascript:x', 'https://a@evil.example/', 'https://a/#x', 'https://a b/', 7, 'http://localhost.evil.example/'])
    assert.equal((await ask('POST', `/dash/apps/${appId}/oauth-apps/${client.app}/clients`, { body: { client_name: 'x', authorized_redirect_urls: [url] } })).status, 400, String(url));
  const list = await ask('GET', `/dash/apps/${appId}/oauth-apps`);
  assert.equal(list.body.apps[0].clients[0].client_id, client.id);
  assert.ok(!/secret/.test(JSON.stringify(list.body)));
  for (const bearer of [adminToken, id(), null])
    assert.ok((await ask('GET', `/dash/apps/${appId}/oauth-apps`, { bearer })).status >= 400);
});
