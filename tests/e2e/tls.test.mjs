// wss://: the Lua client trusts whom it should, and nobody else. A TLS end in front of a backend.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import { makeApp, makeCertificate, proxy, run, scratch, serve } from './harness.mjs';

async function front(t, dir, port) {
  const options = {
    key: readFileSync(path.join(dir, 'key.pem')),
    cert: readFileSync(path.join(dir, 'cert.pem')),
  };
  const sockets = new Set();
  const server = tls.createServer(options, (outer) => {
    const inner = net.connect(port, '127.0.0.1');
    for (const socket of [outer, inner]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => { outer.destroy(); inner.destroy(); });
    }
    outer.pipe(inner);
    inner.pipe(outer);
  });
  server.on('tlsClientError', () => {});
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `https://localhost:${server.address().port}`;
}

const SCRIPT = `
  local instant = require "instant"
  local db = instant.init { apiURI = arg[1], appId = arg[2], caFile = arg[3] ~= "" and arg[3] or nil }
  db:subscribeConnectionStatus(function(status) print("status", status) io.stdout:flush() end)
  db:subscribeQuery({ todos = {} }, function(result) print("result", #result.data.todos) db:shutdown() end)
`;

async function start(t, host) {
  const server = await serve(t);
  const app = await makeApp(server);
  const dir = scratch(t);
  makeCertificate(dir, host);
  return { app, dir, api: await front(t, dir, server.port) };
}

test('a certificate by a CA that was named', async (t) => {
  const { app, dir, api } = await start(t, 'localhost');
  const lua = run(t, ['-e', SCRIPT, api, app.id, path.join(dir, 'ca.pem')]);
  await lua.line(/^result\t0$/);
  assert.equal(await lua.ended, 0, lua.output());
});

test('a certificate by nobody known', async (t) => {
  const { app, api } = await start(t, 'localhost');
  const lua = run(t, ['-e', SCRIPT, api, app.id, '']);
  await lua.line(/^status\tclosed$/);
  lua.child.kill('SIGINT');
  await lua.ended;
  assert.doesNotMatch(lua.output(), /opened|result/);
  assert.match(lua.output(), /Not connected/);
});

test('a certificate for another host', async (t) => {
  const { app, dir, api } = await start(t, 'elsewhere.example');
  const lua = run(t, ['-e', SCRIPT, api, app.id, path.join(dir, 'ca.pem')]);
  await lua.line(/^status\tclosed$/);
  lua.child.kill('SIGINT');
  await lua.ended;
  assert.doesNotMatch(lua.output(), /opened|result/);
});

test('a CA file that is none', async (t) => {
  const dir = scratch(t);
  const file = path.join(dir, 'ca.pem');
  writeFileSync(file, 'nothing of the kind\n');
  const lua = run(t, ['-e', SCRIPT, 'https://localhost:1', '00000000-0000-4000-8000-000000000001', file]);
  assert.equal(await lua.ended, 1);
  assert.match(lua.output(), /ca\.pem has no certificate/);
});

test('a WebSocket through the proxy of the environment', async (t) => {
  const { app, dir, api } = await start(t, 'localhost');
  const server = await serve(t);
  const plainApp = await makeApp(server);
  const seen = [];
  const port = await proxy(t, seen);
  const connect = async (address, app, env) => {
    const lua = run(t, ['-e', SCRIPT, address, app.id, path.join(dir, 'ca.pem')], { env: { ...process.env, no_proxy: '', ...env } });
    await lua.line(/^result\t0$/);
    assert.equal(await lua.ended, 0, lua.output());
    assert.doesNotMatch(lua.output(), /closed/);
  };
  await connect(api, app, { https_proxy: `http://127.0.0.1:${port}` });
  assert.deepEqual(seen.splice(0), [`CONNECT ${api.slice(8)}`]);
  await connect(server.api, plainApp, { http_proxy: `http://us%65r:pass@localhost:${port}/` });
  assert.deepEqual(seen.splice(0), [`CONNECT ${server.api.slice(7)} basic dXNlcjpwYXNz`]);
  // Not for these: no_proxy, and a proxy for something else.
  await connect(server.api, plainApp, { http_proxy: `http://127.0.0.1:${port}`, no_proxy: '127.0.0.0/8' });
  await connect(server.api, plainApp, { https_proxy: `http://127.0.0.1:${port}` });
  await connect(api, app, { http_proxy: `http://127.0.0.1:${port}` });
  assert.deepEqual(seen, []);
});

test('a proxy that lets no WebSocket through', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const seen = [];
  const port = await proxy(t, seen, { noTunnel: true });
  const lua = run(t, ['-e', SCRIPT, server.api, app.id, ''],
    { env: { ...process.env, no_proxy: '', http_proxy: `http://127.0.0.1:${port}` } });
  await lua.line(/^result\t0$/);
  assert.equal(await lua.ended, 0, lua.output());
  assert.match(seen[0], /^CONNECT/);
  assert.match(seen[1], /^GET http:.*\/runtime\/sse/);
  assert.match(lua.output(), /by the proxy 127\.0\.0\.1/);
});
