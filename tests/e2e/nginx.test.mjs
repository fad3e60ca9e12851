// The client inside a real nginx: its sockets are nginx's own, and no request waits for the database
// unless it asks to.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync, copyFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { connect, eventually, freePort, id, live, makeApp, makeCertificate, run, scratch, serve, within } from './harness.mjs';
import { luajitEnv } from './luajit.mjs';
import { missing } from './nginx/nginx.mjs';

const skip = missing;

// nginx with the test's own site, or another folder's with its port.
async function nginx(t, server, app, options = {}) {
  const { workers = 1, init = '', trusted = '/etc/ssl/certs/ca-certificates.crt', from = 'nginx', listens = 'PORT' } = options;
  const dir = scratch(t);
  const port = await freePort();
  copyFileSync(new URL(`${from}/site.lua`, import.meta.url), path.join(dir, 'site.lua'));
  const config = readFileSync(new URL(`${from}/nginx.conf`, import.meta.url), 'utf8')
    .replace('WORKERS', workers).replaceAll(`127.0.0.1:${listens}`, `127.0.0.1:${port}`).replace('INIT', init)
    .replace('TRUSTED', trusted);
  // As root the workers would be somebody else, who may not read the folder.
  const more = listens === 'PORT' ? '' : 'user root; daemon off;';
  writeFileSync(path.join(dir, 'nginx.conf'), more + config);
  const child = spawn('/usr/sbin/nginx', ['-p', `${dir}/`, '-c', 'nginx.conf', '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...luajitEnv(), INSTANT_APP_ID: app.id, INSTANT_URI: server.api },
  });
  let log = '';
  child.stderr.on('data', (text) => { log += text; });
  const ended = new Promise((resolve) => child.on('close', resolve));
  t.after(async () => {
    child.kill('SIGTERM'); // at once, its workers with it
    await ended;
  });

  // A connection each, so that every worker has its turn.
  const get = (url, body) => new Promise((resolve, reject) => {
    const method = body ? 'POST' : 'GET';
    http.request({ port, host: '127.0.0.1', path: url, agent: false, method }, (response) => {
      let body = '';
      response.on('data', (text) => { body += text; });
      response.on('end', () => {
        try {
          resolve(response.statusCode === 200 && body.startsWith('{') ? JSON.parse(body) : { code: response.statusCode, body });
        } catch (e) {
          reject(e);
        }
      });
      response.on('error', reject);
    }).on('error', reject).end(body);
  });

  // Says what came last, too.
  const until = (url, ok, what) => {
    let last;
    const look = async () => (last = await get(url).catch((e) => ({ refused: e.code })));
    return eventually(what ?? url, look, ok, 30000).catch((e) => {
      throw new Error(`${e.message}; last answer: ${JSON.stringify(last)}\n${log.slice(-3000)}`);
    });
  };
  await until('/hello', (answer) => answer.body?.trim() === 'hello', 'nginx');
  return { child, ended, get, until, dir, log: () => log };
}

const titles = (state) => state.todos?.map((todo) => todo.title).sort() ?? [];

test('a live query, writes and presence in every worker', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const site = await nginx(t, server, app, { workers: 2 });
  const js = connect(t, server, app);

  await js.transact(js.tx.todos[id()].update({ title: 'from js' }));
  const seen = new Map();
  await site.until('/state?wait=5', (state) => {
    if (titles(state).includes('from js')) seen.set(state.worker, state);
    return seen.size === 2;
  }, 'the todo in both workers');

  const written = await site.get('/add?title=from%20nginx');
  assert.equal(written.status, 'synced');
  const todos = live(t, js, { todos: {} });
  await todos.until((result) => result.data?.todos.length === 2, 'the todo of nginx');

  // A write that is not waited for shows at once in its own worker.
  const both = new Set();
  await site.until('/state', (state) => titles(state).length === 2 && both.add(state.worker).size === 2);
  assert.equal((await site.get('/add?title=fired&fire=1')).shown, 3);
  await todos.until((result) => result.data?.todos.length === 3, 'the todo that was not waited for');

  const workers = [...seen.keys()];
  await site.until('/state', (state) => state.peers.length === 1 && workers.includes(state.peers[0])
    && state.peers[0] !== state.worker, 'the other worker as a peer');
  assert.equal((await site.get('/once')).count, 3);
  assert.deepEqual(await site.get('/sleep').then(({ slept }) => slept), true);
});

test('signing in and other requests go over nginx\'s sockets', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const site = await nginx(t, server, app);
  const { user, error } = await site.get('/guest');
  assert.match(user ?? error, /^[0-9a-f-]{36}$/);

  const other = http.createServer((request, response) => {
    if (request.url === '/chunked') {
      response.write('a'.repeat(100000));
      response.end('b');
    } else if (request.url === '/moved') {
      response.writeHead(302, { Location: '/chunked' }).end();
    } else if (request.url === '/away') {
      response.writeHead(302, { Location: `http://127.0.0.2:${other.address().port}/echo` }).end();
    } else if (request.url === '/home') {
      response.writeHead(302, { Location: '/echo' }).end();
    } else if (request.url === '/echo') {
      const { authorization = '-', cookie = '-', 'x-other': rest = '-' } = request.headers;
      response.end([authorization, cookie, rest].join(','));
    } else if (request.url === '/early') {
      response.writeHead(200, { 'Content-Length': 10 });
      response.write('half', () => response.destroy());
    } else if (request.url === '/broken') {
      request.socket.end('nonsense\r\n\r\n');
    } else if (request.url === '/fields') {
      request.socket.end(`HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(20000)}\r\n`);
    } // else: never
  });
  await new Promise((resolve) => other.listen(0, '0.0.0.0', resolve));
  t.after(() => { other.closeAllConnections(); other.close(); });
  const ask = (route, more = '') =>
    site.get(`/get?url=${encodeURIComponent(`http://127.0.0.1:${other.address().port}${route}`)}${more}`);
  assert.deepEqual(await ask('/chunked').then(({ worker, body, ...rest }) => rest), { status: 200, size: 100001 });
  assert.equal((await ask('/moved')).status, 302);
  assert.equal((await ask('/moved', '&redirects=2')).size, 100001);
  assert.equal((await ask('/home', '&redirects=1')).body, 'Bearer secret,a=b,kept');
  assert.equal((await ask('/away', '&redirects=1')).body, '-,-,kept');
  assert.match((await ask('/x\r\nX-Evil: 1')).message, /line end/);
  assert.match((await ask('/echo', '&method=GET%20/%20HTTP/1.1')).message, /method/);
  assert.equal((await ask('/chunked', '&most=1000')).type, 'response-too-large');
  assert.equal((await ask('/early')).type, 'io-error');
  assert.equal((await ask('/broken')).type, 'io-error');
  assert.equal((await ask('/fields')).type, 'response-too-large');
  assert.equal((await ask('/never', '&timeout=200')).type, 'timeout');
  assert.match((await site.get(`/get?url=${encodeURIComponent('ftp://x')}`)).message, /http:/);
  const closed = await freePort();
  assert.equal((await site.get(`/get?url=${encodeURIComponent(`http://127.0.0.1:${closed}/`)}`)).type, 'io-error');
});

test('TLS, with certificates verified', { skip }, async (t) => {
  const dir = scratch(t);
  makeCertificate(dir, '127.0.0.1');
  const file = (name) => path.join(dir, name);
  const port = await freePort();
  const host = run(t, ['serve', '--data', scratch(t), '--port', String(port),
    '--tls-cert', file('cert.pem'), '--tls-key', file('key.pem')]);
  const [, app] = await host.line(/app id: +(\S+)/);
  const server = { api: `https://127.0.0.1:${port}` };
  const trusting = await nginx(t, server, { id: app }, { trusted: file('ca.pem') });
  await trusting.until('/state?wait=5', (state) => state.todos);
  assert.equal((await trusting.get('/add?title=sealed')).status, 'synced');
  assert.match((await trusting.get('/guest')).user, /-/);

  const distrusting = await nginx(t, server, { id: app });
  assert.equal((await distrusting.get('/state?wait=1')).todos, null);
  assert.match((await distrusting.get('/guest')).error, /certificate/);
});

test('no request waits for a database that is frozen or gone', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const site = await nginx(t, server, app);
  await site.get('/add?title=first');
  await site.until('/state?wait=5', (state) => titles(state).includes('first'));

  server.child.kill('SIGSTOP');
  const { shown } = await site.get('/add?title=meanwhile&fire=1');
  assert.equal(shown, 2);
  assert.deepEqual(titles(await site.get('/state')), ['first', 'meanwhile']);
  assert.equal((await site.get('/hello')).body, 'hello');
  server.child.kill('SIGCONT');

  server.child.kill('SIGKILL');
  await server.ended;
  await site.until('/state', (state) => state.status === 'closed' || state.status === 'connecting' || state.status === 'opened');
  assert.deepEqual(titles(await site.get('/state')).slice(0, 1), ['first']);
  await site.get('/add?title=offline&fire=1');

  const again = await serve(t, { data: server.data, port: server.port });
  const js = connect(t, again, app);
  await live(t, js, { todos: {} }).until(
    (result) => result.data?.todos.some((todo) => todo.title === 'offline'), 'what was written without a server');
  await site.until('/state', (state) => state.status === 'authenticated');
});

test('a reload and a crash of a worker', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const site = await nginx(t, server, app);
  const { worker: first } = await site.until('/state?wait=5', (state) => state.todos);

  site.child.kill('SIGHUP');
  const { worker: second } = await site.until('/state?wait=5', (state) => state.worker !== first && state.todos);
  await site.until('/hello', () => !existsSync(`/proc/${first}`), 'the end of the first worker');

  process.kill(second, 'SIGKILL');
  const { worker: third } = await site.until('/state?wait=5',
    (state) => state.worker && state.worker !== first && state.worker !== second && state.todos);
  // Nobody but the last is left in the room.
  await site.until('/state', (state) => state.peers.length === 0 && state.status === 'authenticated');
  assert.equal((await site.get('/add?title=after')).status, 'synced');
  assert.ok(existsSync(`/proc/${third}`));

  site.child.kill('SIGQUIT');
  await within(10000, 'a graceful end', site.ended);
  assert.doesNotMatch(site.log(), /AddressSanitizer|attempt to|runtime error|\[alert\] .*exited on signal (6|11)/);
});

test('what would stop a worker is refused', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const site = await nginx(t, server, app);
  const { texts } = await site.get('/refused');
  assert.match(texts[0], /local: backend would stop/);
  assert.match(texts[1], /storage on disk/);
  assert.match(texts[2], /networkListener/);
  assert.match(texts[3], /appId/);
  assert.match(texts[4], /expected a table/);

  const early = await nginx(t, server, app, { init: 'init_by_lua_block { require "instant" }' });
  assert.match(early.log(), /loaded by nginx's master/);
});

test('the example', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const site = await nginx(t, server, app, { from: '../../examples/openresty', listens: '8080' });
  await site.until('/todos', (answer) => answer.body === '[]', 'the first result');
  const { id: todo } = await site.until('/visitors', (answer) => /^\d+/.test(answer.body)).then(() => site.get('/todos', 'Buy bread'))
    .then((answer) => JSON.parse(answer.body));
  const js = connect(t, server, app);
  await live(t, js, { todos: {} }).until((result) => result.data?.todos.some((row) => row.id === todo), 'the todo');
  await site.until('/todos', (answer) => answer.body.includes('Buy bread'));
  assert.equal((await site.get('/todos', ' ')).code, 201);
});
