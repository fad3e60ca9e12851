// The server's own TLS: official clients and ours through it, large bodies both ways, certificates that
// change while it runs, clients that do not speak it.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import WS from 'ws';
import { freePort, makeCertificate, run, scratch, within } from './harness.mjs';

async function start(t, args = []) {
  const dir = scratch(t);
  makeCertificate(dir, 'localhost');
  const port = await freePort();
  const host = run(t, ['serve', '--data', path.join(dir, 'data'), '--port', String(port), '--tls-cert', path.join(dir, 'cert.pem'),
    '--tls-key', path.join(dir, 'key.pem'), ...args]);
  await host.line(new RegExp(`https://127\\.0\\.0\\.1:${port}$`));
  const [, app] = await host.line(/^app id:\s+(\S+)/);
  const [, token] = await host.line(/^admin token:\s+(\S+)/);
  const ca = readFileSync(path.join(dir, 'ca.pem'));
  const agent = new https.Agent({ ca, keepAlive: true });
  t.after(() => agent.destroy());
  return { ...host, dir, port, app, token, ca, agent };
}

// A request; resolves with status, headers and body.
function ask(server, target, { method = 'GET', headers = {}, body } = {}) {
  return within(30000, target, new Promise((resolve, reject) => {
    const request = https.request(`https://localhost:${server.port}${target}`, { method, headers, agent: server.agent, lookup }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) }));
    });
    request.on('error', reject);
    request.end(body);
  }));
}

// The server listens on IPv4.
function lookup(name, options, done) {
  options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4);
}

const shown = (server) => within(10000, 'a certificate', new Promise((resolve, reject) => {
  const socket = tls.connect({ port: server.port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false }, () => {
    const { fingerprint256 } = socket.getPeerX509Certificate();
    socket.destroy();
    resolve(fingerprint256);
  });
  socket.on('error', reject);
}));

test('requests, files of any size, sessions', async (t) => {
  const server = await start(t);
  const admin = { 'app-id': server.app, authorization: `Bearer ${server.token}` };
  assert.deepEqual(JSON.parse((await ask(server, '/health')).body), { status: 'ok' });
  for (const size of [0, 1, 16384, 16385, 5 << 20]) {
    const body = Buffer.alloc(size, 'abcdefghijklmnopq');
    const put = await ask(server, '/admin/storage/upload', { method: 'PUT', headers: { ...admin, path: 'f' }, body });
    assert.equal(put.status, 200, put.body.toString());
    const { data } = JSON.parse((await ask(server, '/admin/storage/signed-download-url?filename=f', { headers: admin })).body);
    assert.match(data, /^https:/);
    const got = await ask(server, new URL(data).pathname + new URL(data).search);
    assert.ok(got.body.equals(body), `${size}`);
  }
  const socket = new WS(`wss://localhost:${server.port}/runtime/session`, { ca: server.ca, lookup });
  t.after(() => socket.terminate());
  const inbox = [];
  let look = () => {};
  socket.on('message', (text) => { inbox.push(JSON.parse(text)); look(); });
  const next = () => within(10000, 'a message', new Promise((resolve) => {
    look = () => { if (inbox.length) resolve(inbox.shift()); };
    look();
  }));
  await within(5000, 'open', new Promise((resolve, reject) => { socket.on('open', resolve); socket.on('error', reject); }));
  socket.send(JSON.stringify({ op: 'init', 'app-id': server.app, '__admin-token': server.token }));
  assert.equal((await next()).op, 'init-ok');
  // Larger than any buffer on the way, both ways: an error repeats what it is about.
  const large = 'x'.repeat(60000);
  for (let n = 0; n < 200; n++) socket.send(JSON.stringify({ op: 'nothing', n, large }));
  for (let n = 0; n < 200; n++) assert.equal((await next())['original-event'].n, n);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  server.child.kill('SIGTERM');
  assert.equal(await within(5000, 'a close', closed), 1001);
  assert.equal(await within(5000, 'the end', server.ended), 0);
});

test('our client', async (t) => {
  const server = await start(t);
  const script = `
    local instant = require "instant"
    local db = instant.init { apiURI = arg[1], appId = arg[2], caFile = arg[3] }
    local todo = instant.id()
    assert(db:transact(db.tx.todos[todo]:update { n = 1 }):await())
    print("wrote", #db:queryOnce({ todos = {} }):await().data.todos)
    db:shutdown()
  `;
  // 127.0.0.1 is not in the certificate, localhost may be ::1 first: both are tried.
  const lua = run(t, ['-e', script, `https://localhost:${server.port}`, server.app, path.join(server.dir, 'ca.pem')]);
  await lua.line(/^wrote\t1$/);
  assert.equal(await lua.ended, 0, lua.output());
});

test('SIGHUP reads the certificate again, connections stay', async (t) => {
  const server = await start(t);
  const other = scratch(t);
  makeCertificate(other, 'localhost');
  const before = new X509Certificate(readFileSync(path.join(server.dir, 'cert.pem'))).fingerprint256;
  const after = new X509Certificate(readFileSync(path.join(other, 'cert.pem'))).fingerprint256;
  assert.equal(await shown(server), before);
  const kept = tls.connect({ port: server.port, host: '127.0.0.1', servername: 'localhost', ca: server.ca });
  t.after(() => kept.destroy());
  let text = '';
  kept.on('data', (data) => (text += data));
  await within(5000, 'TLS', new Promise((resolve, reject) => { kept.on('secureConnect', resolve); kept.on('error', reject); }));

  // Not a pair: what was there stays.
  copyFileSync(path.join(other, 'cert.pem'), path.join(server.dir, 'cert.pem'));
  server.child.kill('SIGHUP');
  await server.said(/kept as it was: The key .*key\.pem cannot be used/);
  assert.equal(await shown(server), before);
  copyFileSync(path.join(other, 'key.pem'), path.join(server.dir, 'key.pem'));
  server.child.kill('SIGHUP');
  await server.said(/certificate read again/);
  assert.equal(await shown(server), after);
  kept.write('GET /health HTTP/1.1\r\nHost: a\r\n\r\n');
  await within(5000, 'an answer', new Promise((resolve) => kept.on('data', () => text.includes('"ok"') && resolve())));
  writeFileSync(path.join(server.dir, 'cert.pem'), 'nothing of the kind');
  server.child.kill('SIGHUP');
  await server.said(/kept as it was: The certificate .*cert\.pem cannot be used/);
  assert.equal(await shown(server), after);
});

test('a renewed certificate is used by itself, once its key is there', async (t) => {
  const server = await start(t);
  const other = scratch(t);
  makeCertificate(other, 'localhost');
  const fresh = new X509Certificate(readFileSync(path.join(other, 'cert.pem'))).fingerprint256;
  const before = await shown(server);
  // As what renews certificates does it: another file takes the place of the one that was there.
  const renew = (name) => {
    copyFileSync(path.join(other, name), path.join(server.dir, `${name}.new`));
    renameSync(path.join(server.dir, `${name}.new`), path.join(server.dir, name));
  };
  renew('cert.pem');
  await server.said(/certificate kept as it was: The key .*key\.pem cannot be used/);
  assert.equal(await shown(server), before);
  renew('key.pem');
  let now;
  await within(20000, 'the new certificate', (async () => {
    do now = await shown(server); while (now === before);
  })());
  assert.equal(now, fresh);
});

test('files that are none, and half of a pair', async (t) => {
  const dir = scratch(t);
  makeCertificate(dir, 'localhost');
  const refuses = async (args, pattern) => {
    const host = run(t, ['serve', '--data', path.join(dir, 'data'), '--port', '0', ...args]);
    assert.equal(await host.ended, 1);
    assert.match(host.output(), pattern);
  };
  await refuses(['--tls-cert', path.join(dir, 'cert.pem')], /belong together/);
  await refuses(['--tls-cert', path.join(dir, 'none.pem'), '--tls-key', path.join(dir, 'key.pem')], /none\.pem cannot be used: No such file/);
  await refuses(['--tls-cert', path.join(dir, 'cert.pem'), '--tls-key', path.join(dir, 'ca.key')], /ca\.key cannot be used/);
});

test('whoever does not speak TLS, or too old a one', async (t) => {
  const server = await start(t);
  const ends = (bytes) => within(8000, 'an end', new Promise((resolve) => {
    const socket = net.connect(server.port, '127.0.0.1', () => socket.write(bytes));
    socket.on('error', () => {});
    socket.on('close', resolve);
    socket.resume();
  }));
  await ends('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await ends(Buffer.from('1603010005ffffffffff', 'hex'));
  const gone = net.connect(server.port, '127.0.0.1', () => gone.destroy());
  const old = tls.connect({ port: server.port, host: '127.0.0.1', maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0', rejectUnauthorized: false });
  await within(5000, 'an error', new Promise((resolve) => old.on('error', resolve)));
  // Ends without saying so, in the middle of a request; somebody else goes on.
  const rude = tls.connect({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
    rude.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12');
    rude.destroy();
  });
  await new Promise((resolve) => rude.on('close', resolve));
  assert.equal((await ask(server, '/health')).status, 200);
});
