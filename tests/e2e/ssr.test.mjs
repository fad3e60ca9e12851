// Pages that a web server renders with the official client: who is signed in comes in a cookie, and
// decides what the page shows.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { connect, id, makeApp, root, serve, within } from './harness.mjs';
import { schema } from './ssr/schema.mjs';

const [major, minor] = process.versions.node.split('.').map(Number);
const skip = (major < 20 || (major === 20 && minor < 6)) && 'stand-ins for modules need node 20.6';

const rules = { code: { todos: { allow: { view: "data.owner == 'all' || data.owner == auth.id" } } } };

async function webServer(t, app, server) {
  const dir = path.join(root, 'tests/e2e');
  const child = spawn(process.execPath, ['--import', './ssr/next.mjs', 'ssr/server.mjs', app.id, server.api], { cwd: dir });
  t.after(() => child.kill('SIGKILL'));
  let problems = '';
  child.stderr.on('data', (text) => { problems += text; });
  const [address] = await within(30000, 'the web server', new Promise((resolve, reject) => {
    child.stdout.on('data', (text) => resolve(String(text).trim().split('\n')));
    child.on('close', () => reject(new Error(problems)));
  }));
  return address;
}

// What a browser does with the cookies of one site. `until(ok)` waits until ok(cookies, addresses
// that have answered).
function browser(t, site) {
  const { fetch } = globalThis;
  const jar = new Map();
  const answered = [];
  const waiting = [];
  globalThis.fetch = async (url, ...rest) => {
    const response = await fetch(url, ...rest);
    const header = String(url).startsWith(site) && response.headers.get('set-cookie');
    if (header) {
      const [, name, value, age] = header.match(/^([^=]+)=([^;]*);.*Max-Age=(-?\d+)/);
      Number(age) > 0 ? jar.set(name, value) : jar.delete(name);
    }
    answered.push(String(url));
    waiting.splice(0).forEach((look) => look());
    return response;
  };
  t.after(() => { globalThis.fetch = fetch; });
  const cookies = () => [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
  return {
    cookies,
    until: (ok) => within(20000, String(ok), (async () => {
      while (!ok(decodeURIComponent(cookies()), answered)) await new Promise((resolve) => waiting.push(resolve));
    })()),
    async see(cookie = cookies()) {
      const response = await fetch(site, { headers: { cookie } });
      const [html, rest] = (await response.text()).split('<script>');
      return { status: response.status, html, rest };
    },
  };
}

test('a web server renders what the user of a cookie may see', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, { title: 'ssr', schema, rules });
  const site = await webServer(t, app, server);
  const tab = browser(t, site);
  const db = connect(t, server, app, { schema, firstPartyPath: site });

  const email = 'ann@example.com';
  await db.auth.sendMagicCode({ email });
  const [, code] = await server.said(/the code of ann@example\.com for "ssr" is (\d{6})/);
  const { user } = await db.auth.signInWithMagicCode({ email, code });
  await tab.until((cookies) => cookies.includes('ann@example.com'));
  const tag = id();
  await db.transact([
    db.tx.tags[tag].update({ name: 'red' }),
    db.tx.todos[id()].update({ title: 'For all', owner: 'all' }).link({ tags: tag }),
  ]);
  await db.transact(db.tx.todos[id()].update({ title: 'For <b>Ann</b>', owner: user.id }));
  await db.transact(db.tx.todos[id()].update({ title: 'For Bob', owner: id() }));

  const mine = await tab.see();
  assert.equal(mine.status, 200, mine.html);
  assert.match(mine.html, /<ul title="ann@example.com" data-more="false"><li>For all red<\/li><li>For &lt;b&gt;Ann&lt;\/b&gt; <\/li><\/ul>/);
  assert.match(mine.rest, /^window\["__RQ/, 'the results go along for the client');
  assert.equal(mine.rest.includes('For Bob'), false);

  const nobody = await tab.see('');
  assert.match(nobody.html, /<ul title="nobody" data-more="false"><li>For all red<\/li><\/ul>/);

  const before = tab.cookies();
  await db.auth.signOut();
  await tab.until((cookies, answered) => cookies === '' && answered.some((url) => url.endsWith('/signout')));
  const stale = await tab.see(before);
  assert.deepEqual([stale.status, stale.html], [500, 'Record not found: app-user']);
});

test('a page without rights is told why', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, { title: 'ssr', schema, rules });
  const ask = async (headers, body) => {
    const response = await fetch(`${server.api}/runtime/framework/query`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    return [response.status, await response.json()];
  };
  const query = { todos: { $: { limit: 'x' } } };
  const [status, answer] = await ask({ 'app-id': app.id, authorization: 'undefined' }, { query });
  assert.equal(status, 400);
  assert.equal(answer.type, 'validation-failed');
  assert.deepEqual((await ask({ 'app-id': id() }, { query: {} }))[1].type, 'record-not-found');
  assert.deepEqual((await ask({}, { query: {} }))[1].type, 'param-missing');
});
