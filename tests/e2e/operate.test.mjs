// A backend as whoever runs it sees it: options, health, metrics, logs, limits, and how it ends.

import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import WS from 'ws';
import { connect, freePort, id, live, makeApp, rawSession, run, scratch, serve, within } from './harness.mjs';

const admin = (app) => ({ 'app-id': app.id, authorization: `Bearer ${app.token}` });

// A request whose body is sent by and by.
function begin(server, head) {
  const socket = net.connect(server.port, '127.0.0.1');
  let text = '';
  const waiting = new Set();
  const ended = new Promise((resolve) => {
    socket.on('close', resolve);
    socket.on('error', () => {});
  });
  socket.on('data', (data) => {
    text += data;
    for (const look of [...waiting]) look();
  });
  socket.write(head.join('\r\n') + '\r\n\r\n');
  const until = (pattern) => within(10000, `${pattern} in ${text}`, new Promise((resolve) => {
    const look = () => {
      const match = text.match(pattern);
      if (!match) return;
      waiting.delete(look);
      resolve(match);
    };
    waiting.add(look);
    look();
  }));
  return { socket, ended, until, text: () => text };
}

test('--help, and what is wrong with an option', async (t) => {
  const help = run(t, ['serve', '--help']);
  assert.equal(await help.ended, 0);
  for (const flag of ['--data', '--config', '--trusted-hops', '--max-file', '--rate', '--log', 'INSTANT_METRICS_TOKEN', 'INSTANT_S3_SECRET_KEY'])
    assert.ok(help.output().includes(flag), flag);
  const dir = scratch(t);
  const file = path.join(dir, 'serve.lua');
  const refuses = async (args, pattern, env = {}) => {
    const process_ = run(t, ['serve', ...args], { env: { ...process.env, ...env } });
    assert.equal(await process_.ended, 1, process_.output());
    assert.match(process_.output(), pattern);
    assert.doesNotMatch(process_.output(), /traceback/);
  };
  await refuses(['--max-file', 'huge'], /--max-file must be a number of bytes/);
  await refuses(['--log', 'xml'], /--log must be one of text, json, got xml/);
  await refuses([], /INSTANT_RATE must be a number, got much/, { INSTANT_RATE: 'much' });
  await refuses(['--config', path.join(dir, 'none.lua')], /none\.lua/);
  for (const [text, pattern] of [
    ['return 7', /must return a table/],
    ['return { prot = 1 }', /no option `prot`/],
    ['return { port = "x" }', /`port` in the file must be a number/],
    ['error "no"', /no/],
    ['return {', /serve\.lua/],
  ]) {
    writeFileSync(file, text);
    await refuses(['--config', file], pattern);
  }
});

test('flags count before the environment, that before the file', async (t) => {
  const dir = scratch(t);
  const file = path.join(dir, 'serve.lua');
  const [one, two, three] = [await freePort(), await freePort(), await freePort()];
  writeFileSync(file, `return { data = ${JSON.stringify(path.join(dir, 'a'))}, port = ${one}, maxFileSize = "1K" }`);
  const starts = async (args, env, port) => {
    const host = run(t, ['serve', '--config', file, ...args], { env: { ...process.env, ...env } });
    await host.line(new RegExp(`http://127\\.0\\.0\\.1:${port}$`));
    host.child.kill('SIGTERM');
    assert.equal(await host.ended, 0);
  };
  await starts([], {}, one);
  await starts([], { INSTANT_PORT: String(two) }, two);
  await starts(['--port', String(three)], { INSTANT_PORT: String(two), INSTANT_LOG: '' }, three);
  const server = await serve(t, { env: { INSTANT_CONFIG: file } });
  const app = await makeApp(server);
  const response = await fetch(`${server.api}/admin/storage/upload`, {
    method: 'PUT', headers: { ...admin(app), path: 'x' }, body: 'x'.repeat(1025),
  });
  assert.equal(response.status, 413);
});

test('health and metrics', async (t) => {
  const server = await serve(t, { env: { INSTANT_METRICS_TOKEN: 'let me see' } });
  const app = await makeApp(server);
  assert.deepEqual(await (await fetch(`${server.api}/health`)).json(), { status: 'ok' });
  const db = connect(t, server, app);
  await db.transact(db.tx.todos[id()].update({ n: 1 }));
  await live(t, db, { todos: {} }).until((r) => r.data);
  const metrics = async () => {
    const response = await fetch(`${server.api}/metrics`, { headers: { authorization: 'Bearer let me see' } });
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
    const found = {};
    for (const line of (await response.text()).trim().split('\n')) {
      if (line.startsWith('#')) continue;
      const [, name, value] = line.match(/^(instant_[a-z_]+(?:\{[a-z]+="[^"]+"\})?) (\S+)$/);
      found[name] = Number(value);
    }
    return found;
  };
  let seen;
  // The client takes a write as done before the server has it.
  do seen = await metrics(); while (seen.instant_transactions_total < 1);
  assert.equal(seen.instant_websockets, 1);
  assert.equal(seen.instant_sessions, 1);
  assert.equal(seen.instant_subscriptions, 1);
  assert.ok(seen.instant_resident_memory_bytes > 1e6);
  assert.ok(seen.instant_websocket_sent_bytes_total > 100);
  assert.equal(seen['instant_http_requests_total{status="5xx"}'], 0);
  await fetch(`${server.api}/nowhere`);
  const later = await metrics();
  assert.equal(later['instant_http_requests_total{status="4xx"}'], seen['instant_http_requests_total{status="4xx"}'] + 1);
  assert.equal(later.instant_http_request_seconds_count, later['instant_http_request_seconds_bucket{le="+Inf"}']);
  for (const authorization of ['Bearer let me', 'Bearer let me see!', 'let me see', ''])
    assert.equal((await fetch(`${server.api}/metrics`, { headers: { authorization } })).status, 401);
  const closed = await serve(t);
  assert.equal((await fetch(`${closed.api}/metrics`)).status, 404);
});

test('lines of the log are JSON, name an error\'s trace, and have no secret in them', async (t) => {
  const server = await serve(t, { args: ['--log', 'json', '--log-level', 'debug'] });
  const app = await makeApp(server);
  const secrets = [app.token];
  const ask = async (target, options = {}) => {
    const response = await fetch(`${server.api}${target}`, options);
    return { status: response.status, body: await response.json() };
  };
  const token = (await ask('/admin/refresh_tokens', {
    method: 'POST', headers: { ...admin(app), 'Content-Type': 'application/json' }, body: '{"email":"a@example.com"}',
  })).body.user.refresh_token;
  secrets.push(token);
  await fetch(`${server.api}/admin/storage/upload`, { method: 'PUT', headers: { ...admin(app), path: 'x' }, body: 'x' });
  const url = (await ask('/admin/storage/signed-download-url?filename=x', { headers: admin(app) })).body.data;
  secrets.push(url.match(/signature=([^&]+)/)[1]);
  await fetch(url);
  const upload = (await ask('/admin/storage/signed-upload-url', {
    method: 'POST', headers: { ...admin(app), 'Content-Type': 'application/json' }, body: '{"filename":"y"}',
  })).body.data;
  secrets.push(upload.match(/storage\/([0-9a-f-]{36})/)[1]);
  await ask(new URL(upload).pathname, { method: 'PUT', body: 'y' });
  const session = await rawSession(t, server);
  await session.ask({ op: 'init', 'app-id': app.id, 'refresh-token': token, '__admin-token': app.token });
  session.sendText(`{"op":"init","refresh-token":"${token}"`);
  await session.receive();
  const bad = await ask('/admin/query', { method: 'POST', headers: admin(app), body: '{"query":7}' });
  assert.equal(bad.status, 400);
  assert.match(bad.body['trace-id'], /^[0-9a-f]{32}$/);
  await server.said(new RegExp(bad.body['trace-id']));
  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 0);
  const lines = server.output().split('\n').filter((line) => line.startsWith('{'));
  const entries = lines.map((line) => JSON.parse(line));
  const failed = entries.find((entry) => entry.trace === bad.body['trace-id']);
  assert.equal(failed.message, 'request');
  assert.equal(failed.method, 'POST');
  assert.equal(failed.path, '/admin/query');
  assert.equal(failed.status, '400');
  assert.equal(failed.ip, '127.0.0.1');
  assert.match(failed.time, /^\d{4}-\d\d-\d\dT/);
  const said = lines.join('\n');
  for (const secret of secrets) assert.ok(!said.includes(secret), `${secret} is in the log`);
  assert.ok(entries.some((entry) => entry.path?.startsWith('/storage/files/')));
});

test('how many may come from one address, and how fast', async (t) => {
  const server = await serve(t, { args: ['--trusted-hops', '1', '--max-per-address', '2', '--message-rate', '2'] });
  const open = (ip) => {
    const socket = new WS(`ws://127.0.0.1:${server.port}/runtime/session`, { headers: { 'X-Forwarded-For': `9.9.9.9, ${ip}` } });
    t.after(() => socket.terminate());
    return within(5000, 'an answer', new Promise((resolve) => {
      socket.on('open', () => resolve(socket));
      socket.on('unexpected-response', (_, response) => resolve(response.statusCode));
      socket.on('error', () => {});
    }));
  };
  const first = await open('1.1.1.1');
  const second = await open('1.1.1.1');
  assert.equal(await open('1.1.1.1'), 429);
  assert.equal((await open('2.2.2.2')).readyState, WS.OPEN);
  first.close();
  await new Promise((resolve) => first.once('close', resolve));
  let again;
  do again = await open('1.1.1.1'); while (again === 429);
  const closed = new Promise((resolve) => second.once('close', resolve));
  for (let n = 0; n < 30; n++) second.send('{}');
  assert.equal(await within(5000, 'a close', closed), 1008);
  assert.equal(again.readyState, WS.OPEN);
});

test('requests count for the address they come from, whatever connection they share', async (t) => {
  const server = await serve(t, { args: ['--trusted-hops', '1', '--max-per-address', '2'] });
  const app = await makeApp(server);
  const upload = (ip) => {
    const request = begin(server, ['PUT /admin/storage/upload HTTP/1.1', 'Host: a', `app-id: ${app.id}`, 'path: a',
      `authorization: Bearer ${app.token}`, `X-Forwarded-For: ${ip}`, 'Content-Length: 2', 'Expect: 100-continue']);
    t.after(() => request.socket.destroy());
    return request;
  };
  const first = upload('1.1.1.1');
  await first.until(/100 Continue/);
  const second = upload('1.1.1.1');
  await second.until(/100 Continue/);
  await upload('1.1.1.1').until(/^HTTP\/1\.1 429 /);
  const stream = begin(server, ['POST /admin/subscribe-query HTTP/1.1', 'Host: a', `app-id: ${app.id}`,
    `authorization: Bearer ${app.token}`, 'X-Forwarded-For: 1.1.1.1', 'Content-Length: 0']);
  await stream.until(/^HTTP\/1\.1 429 /);
  await upload('2.2.2.2').until(/100 Continue/);
  // The connection of the one that is answered is free for somebody else, and its client for another request.
  first.socket.write('ok');
  await first.until(/200 OK/);
  first.socket.write('GET /health HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 3.3.3.3\r\n\r\n');
  await first.until(/"status":"ok"/);
  await upload('1.1.1.1').until(/100 Continue/);
});

test('without --url, sign-ins through a trusted proxy go by what it says', async (t) => {
  const asked = async (args, headers) => {
    const server = await serve(t, { args });
    const app = await makeApp(server);
    const request = begin(server, [`GET /runtime/${app.id}/.well-known/openid-configuration HTTP/1.1`, 'Host: api.example', ...headers]);
    t.after(() => request.socket.destroy());
    const [, origin] = await request.until(/"token_endpoint":"([^"]*)\/runtime\//);
    return origin.replace(String(server.port), 'PORT');
  };
  assert.equal(await asked(['--trusted-hops', '1'], ['X-Forwarded-Proto: https']), 'https://api.example');
  assert.equal(await asked(['--trusted-hops', '1'], []), 'http://127.0.0.1:PORT');
  assert.equal(await asked([], ['X-Forwarded-Proto: https']), 'http://127.0.0.1:PORT');
  assert.equal(await asked(['--trusted-hops', '1', '--url', 'https://db.example'], ['X-Forwarded-Proto: http']), 'https://db.example');
});

test('apps for everybody can be switched off', async (t) => {
  const server = await serve(t, { args: ['--ephemeral-apps', 'no'] });
  await assert.rejects(makeApp(server), (e) => e.answer.type === 'app-creation-disabled');
});

test('SIGTERM: what has begun is finished, everybody else is told', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const { api, port } = server;
  const upload = begin({ port }, ['PUT /admin/storage/upload HTTP/1.1', 'Host: a', `app-id: ${app.id}`,
    `authorization: Bearer ${app.token}`, 'path: late', 'Transfer-Encoding: chunked', 'Expect: 100-continue']);
  await upload.until(/100 Continue/);
  upload.socket.write('5\r\nhello\r\n');
  const idle = begin({ port }, ['GET /health HTTP/1.1', 'Host: a']);
  await idle.until(/"ok"/);
  const session = await rawSession(t, server);
  await session.ask({ op: 'init', 'app-id': app.id, '__admin-token': app.token });
  const eid = id();
  const attr = id();
  session.sendText(JSON.stringify({ op: 'transact', 'client-event-id': eid, 'tx-steps': [
    ['add-attr', { id: attr, 'forward-identity': [id(), 'todos', 'id'], 'value-type': 'blob', cardinality: 'one', 'unique?': true, 'index?': true }],
    ['add-triple', eid, attr, eid],
  ] }));
  assert.equal((await session.receive()).op, 'transact-ok');
  server.child.kill('SIGTERM');
  await within(5000, 'the idle connection to end', idle.ended);
  assert.equal(await within(5000, 'the session to end', session.closed), 1001);
  await assert.rejects(fetch(`${api}/health`));
  upload.socket.write('6\r\n world\r\n0\r\n\r\n');
  await upload.until(/200 OK[^]*"size":11/);
  assert.match(upload.text(), /Connection: close/);
  assert.equal(await within(5000, 'the end', server.ended), 0);
  const again = await serve(t, { data: server.data });
  const found = await fetch(`${again.api}/admin/storage/signed-download-url?filename=late`, { headers: admin(app) });
  assert.equal(await (await fetch((await found.json()).data)).text(), 'hello world');
});

test('SIGTERM waits for nobody for ever', async (t) => {
  const server = await serve(t, { args: ['--drain', '0.5'] });
  const app = await makeApp(server);
  const upload = begin(server, ['PUT /admin/storage/upload HTTP/1.1', 'Host: a', `app-id: ${app.id}`,
    `authorization: Bearer ${app.token}`, 'path: never', 'Content-Length: 100', 'Expect: 100-continue']);
  await upload.until(/100 Continue/);
  server.child.kill('SIGTERM');
  assert.equal(await within(8000, 'the end', server.ended), 0);
  const left = readdirSync(server.data, { recursive: true }).map(String);
  assert.ok(!left.some((name) => name.includes('incoming/')), left.join());
});

test('instant-lua app shows and changes what an app takes', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const tool = async (args, env = {}) => {
    const host = run(t, ['app', ...args], { env: { ...process.env, ...env } });
    return { code: await host.ended, text: host.output().trim() };
  };
  const state = async () => {
    const response = await fetch(`${server.api}/admin/transact`, {
      method: 'POST', headers: { ...admin(app), 'Content-Type': 'application/json' },
      body: JSON.stringify({ steps: [['update', 'todos', id(), { n: 1 }]], 'throw-on-missing-attrs?': false }),
    });
    return response.status === 200 ? 'active' : (await response.json()).type;
  };
  const over = ['--api', server.api];
  const env = { INSTANT_APP_ADMIN_TOKEN: app.token };
  assert.equal(await state(), 'active');
  assert.deepEqual(await tool([app.id, '--status', 'read-only', ...over], env), { code: 0, text: `${app.id} is read-only` });
  assert.equal(await state(), 'app-read-only');
  const refuses = async (args, pattern, variables) => {
    const { code, text } = await tool(args, variables);
    assert.equal(code, 1);
    assert.match(text, pattern);
    assert.doesNotMatch(text, /traceback/);
  };
  await refuses([app.id, '--status', 'asleep', ...over], /status/, env);
  await refuses([app.id, '--status', 'active', ...over], /INSTANT_APP_ADMIN_TOKEN is not set/);
  await refuses([app.id, '--status', 'active', ...over], /./, { INSTANT_APP_ADMIN_TOKEN: id() });
  await refuses([app.id, '--status', 'active', '--data', server.data], /in use|another process/);
  await refuses([app.id, '--data', path.join(server.data, 'none')], /no data folder/);
  await refuses([], /which app/);
  server.child.kill('SIGTERM');
  await server.ended;
  assert.deepEqual(await tool([app.id, '--data', server.data]), { code: 0, text: `${app.id} is read-only` });
  assert.deepEqual(await tool([app.id, '--status', 'active', '--data', server.data]), { code: 0, text: `${app.id} is active` });
  await refuses([id(), '--data', server.data], /not found/);
});
