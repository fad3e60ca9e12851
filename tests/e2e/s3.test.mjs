// Contents of files in a bucket: as much of S3 as is needed on loopback, official clients in front.

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { init } from '@instantdb/admin';
import { makeApp, run, scratch, serve } from './harness.mjs';

const KEYS = { INSTANT_S3_ACCESS_KEY: 'someone', INSTANT_S3_SECRET_KEY: 'very-secret' };

// The part of S3 that is used: objects by their path, at signed addresses only.
async function bucket(t) {
  const objects = new Map();
  const refuse = (response, status) => {
    response.writeHead(status);
    response.end(`<Error>${status}</Error>`);
  };
  const store = http.createServer((request, response) => {
    const url = new URL(request.url, `http://${request.headers.host}`);
    const query = url.searchParams;
    const isSigned = query.get('X-Amz-Credential')?.startsWith(`${KEYS.INSTANT_S3_ACCESS_KEY}/`)
      && query.get('X-Amz-Signature') === signature(request.method, url, KEYS.INSTANT_S3_SECRET_KEY);
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      if (!isSigned) return refuse(response, 403);
      if (request.method === 'PUT') objects.set(url.pathname, Buffer.concat(parts));
      const body = objects.get(url.pathname);
      if (!body) return refuse(response, 404);
      if (request.method === 'PUT') return response.end();
      const range = request.headers.range?.match(/^bytes=(\d+)-(\d+)$/);
      const sent = range ? body.subarray(Number(range[1]), Number(range[2]) + 1) : body;
      const headers = { 'Content-Length': sent.length };
      for (const name of ['content-type', 'content-disposition'])
        if (query.has(`response-${name}`)) headers[name] = query.get(`response-${name}`);
      response.writeHead(range ? 206 : 200, headers);
      return response.end(request.method === 'HEAD' ? undefined : sent);
    });
  });
  await new Promise((resolve) => store.listen(0, '127.0.0.1', resolve));
  const close = () => new Promise((resolve) => {
    store.close(resolve);
    store.closeAllConnections();
  });
  t.after(close);
  const { port } = store.address();
  return { objects, close, port, args: ['--s3-endpoint', `http://127.0.0.1:${port}`, '--s3-bucket', 'files'] };
}

const files = (dir) => readdirSync(dir, { recursive: true }).map(String)
  .filter((name) => statSync(path.join(dir, name)).isFile());
const admin = (app) => ({ 'app-id': app.id, authorization: `Bearer ${app.token}` });

async function upload(server, app, name, body, headers = {}) {
  const options = { method: 'PUT', headers: { ...admin(app), path: name, ...headers }, body };
  if (body instanceof ReadableStream) options.duplex = 'half';
  const response = await fetch(`${server.api}/admin/storage/upload`, options);
  return { status: response.status, body: await response.json() };
}

async function address(server, app, name) {
  const response = await fetch(`${server.api}/admin/storage/signed-download-url?filename=${name}`, { headers: admin(app) });
  return (await response.json()).data;
}

// AWS Signature Version 4 of an address, as its documentation describes it.
function signature(method, url, secret) {
  const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const hmac = (key, text) => createHmac('sha256', key).update(text).digest();
  const query = [...url.searchParams].filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encode(name)}=${encode(value)}`).sort().join('&');
  const asked = [method, url.pathname, query, `host:${url.host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n');
  const time = url.searchParams.get('X-Amz-Date');
  const scope = url.searchParams.get('X-Amz-Credential').split('/').slice(1);
  const text = ['AWS4-HMAC-SHA256', time, scope.join('/'), createHash('sha256').update(asked).digest('hex')].join('\n');
  return hmac(scope.reduce(hmac, `AWS4${secret}`), text).toString('hex');
}

test('uploads go to the bucket, downloads come from it', async (t) => {
  const store = await bucket(t);
  const server = await serve(t, { args: store.args, env: KEYS });
  const app = await makeApp(server);
  const db = init({ appId: app.id, adminToken: app.token, apiURI: server.api });
  const big = Buffer.alloc(3 << 20, 'abcdefghijklmnopqrstuvwxyz.');
  await db.storage.uploadFile('photos/a.bin', big, { contentType: 'image/x-test', contentDisposition: 'attachment; filename="ü.bin"' });
  assert.deepEqual(await upload(server, app, 'empty', '').then((r) => r.status), 200);
  const chunks = new ReadableStream({
    start(controller) {
      for (let n = 0; n < 10; n++) controller.enqueue(Buffer.alloc(50000, String(n)));
      controller.close();
    },
  });
  assert.equal((await upload(server, app, 'streamed', chunks)).body.data.size, 500000);

  const { $files: rows } = await db.query({ $files: {} });
  assert.equal(rows.length, 3);
  for (const row of rows) {
    const response = await fetch(row.url);
    assert.equal(response.status, 200);
    assert.ok(response.redirected);
    assert.ok(response.url.startsWith(`http://127.0.0.1:${store.port}/files/${app.id}/`), response.url);
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.equal(bytes.length, row.size);
    if (row.path !== 'photos/a.bin') continue;
    assert.ok(bytes.equals(big));
    assert.equal(response.headers.get('content-type'), 'image/x-test');
    assert.equal(response.headers.get('content-disposition'), 'attachment; filename="_.bin"');
    const part = await fetch(row.url, { headers: { Range: 'bytes=26-29' } });
    assert.equal(part.status, 206);
    assert.equal(await part.text(), '.abc');
  }
  const target = await address(server, app, 'streamed');
  const redirect = await fetch(target, { redirect: 'manual' });
  assert.equal(redirect.status, 302);
  assert.equal(redirect.headers.get('access-control-allow-origin'), '*');
  const head = await fetch(target, { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get('content-length'), '500000');
  // The signature is for this object and this method only.
  const signed = redirect.headers.get('location');
  assert.equal((await fetch(signed, { method: 'DELETE' })).status, 403);
  assert.equal((await fetch(signed.replace('/files/', '/files/x'))).status, 403);

  // No bytes stay here; the bucket has each once.
  const here = files(path.join(server.data, 'files'));
  assert.ok(here.every((name) => statSync(path.join(server.data, 'files', name)).size <= 32), here.join());
  assert.equal(store.objects.size, 3);
  await db.storage.delete('streamed');
  assert.equal((await fetch(target)).status, 404);
  assert.doesNotMatch(server.output(), /very-secret|Signature/);
});

test('what is here when a bucket is configured stays, and is served', async (t) => {
  const first = await serve(t);
  const app = await makeApp(first);
  await upload(first, app, 'old', 'from before');
  first.child.kill('SIGTERM');
  await first.ended;
  const store = await bucket(t);
  const server = await serve(t, { data: first.data, args: store.args, env: KEYS });
  assert.equal(await (await fetch(await address(server, app, 'old'))).text(), 'from before');
  await upload(server, app, 'old', 'and after');
  const response = await fetch(await address(server, app, 'old'));
  assert.ok(response.redirected);
  assert.equal(await response.text(), 'and after');
});

test('a bucket that refuses, or is away, fails the upload and nothing else', async (t) => {
  const store = await bucket(t);
  const server = await serve(t, { args: store.args, env: { ...KEYS, INSTANT_S3_SECRET_KEY: 'not-so-secret' } });
  const app = await makeApp(server);
  const refused = await upload(server, app, 'x', 'x');
  assert.equal(refused.status, 500);
  assert.match(refused.body.message, /its log says why/);
  await server.said(/S3: PUT files\/\S+ at 127\.0\.0\.1:\d+ was refused with 403/);
  assert.equal(await address(server, app, 'x'), null);
  assert.doesNotMatch(server.output(), /so-secret|X-Amz/);
  server.child.kill('SIGTERM');
  await server.ended;
  await store.close();
  const again = await serve(t, { data: server.data, args: store.args, env: KEYS });
  assert.equal((await upload(again, app, 'x', 'x')).status, 500);
  await again.said(/S3: PUT .* failed: /);
  assert.equal((await fetch(`${again.api}/health`)).status, 200);
  assert.deepEqual(files(path.join(again.data, 'files')).filter((name) => name.includes('incoming')), []);
});

test('half a configuration', async (t) => {
  for (const [args, env, pattern] of [
    [['--s3-endpoint', 'http://127.0.0.1:1'], KEYS, /S3: the bucket/],
    [['--s3-bucket', 'b'], KEYS, /S3: the endpoint/],
    [['--s3-endpoint', 'http://127.0.0.1:1', '--s3-bucket', 'b'], {}, /S3: access key/],
    [['--s3-secret-key', 'x'], {}, /unknown option/],
  ]) {
    const host = run(t, ['serve', '--data', scratch(t), '--port', '0', ...args], { env: { ...process.env, ...env } });
    assert.equal(await host.ended, 1, host.output());
    assert.match(host.output(), pattern);
  }
});

test('an export has the contents that are in the bucket, and says which it cannot read', async (t) => {
  const store = await bucket(t);
  const dir = scratch(t);
  const data = path.join(dir, 'data');
  const server = await serve(t, { data, args: store.args, env: KEYS });
  const app = await makeApp(server);
  const large = Buffer.alloc(300000, 'abcdefg');
  await upload(server, app, 'large.bin', large);
  await upload(server, app, 'small.txt', 'small');
  server.child.kill('SIGTERM');
  await server.ended;
  const exported = async (name, args, env = KEYS) => {
    const host = run(t, ['export', path.join(dir, name), '--data', data, '--app-id', app.id, ...args], { env: { ...process.env, ...env } });
    return { code: await host.ended, text: host.output() };
  };
  const all = await exported('all.zip', store.args);
  assert.equal(all.code, 0, all.text);
  assert.match(all.text, /2 files/);
  assert.deepEqual(files(dir).filter((name) => name.includes('.partial')), []);
  const other = path.join(dir, 'other');
  const taken = run(t, ['import', path.join(dir, 'all.zip'), '--data', other]);
  assert.equal(await taken.ended, 0, taken.output());
  const [, token] = await taken.line(/admin token: (\S+)/);
  const there = await serve(t, { data: other });
  for (const [name, body] of [['large.bin', large], ['small.txt', Buffer.from('small')]]) {
    const response = await fetch(await address(there, { id: app.id, token }, name));
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(body), name);
  }
  // By the variables of the environment alone.
  const [, endpoint, , name] = store.args;
  const same = await exported('same.zip', [], { ...KEYS, INSTANT_S3_ENDPOINT: endpoint, INSTANT_S3_BUCKET: name });
  assert.equal(same.code, 0, same.text);
  // Nobody said which bucket; the wrong key; an object that is gone.
  const unsaid = await exported('unsaid.zip', []);
  assert.equal(unsaid.code, 1);
  assert.match(unsaid.text, /content at \S+ is missing; when it is in a bucket, say in which/);
  const wrong = await exported('wrong.zip', store.args, { ...KEYS, INSTANT_S3_SECRET_KEY: 'other' });
  assert.equal(wrong.code, 1);
  assert.match(wrong.text, /cannot be read from the bucket: status 403/);
  store.objects.delete([...store.objects.keys()][0]);
  const part = await exported('part.zip', store.args);
  assert.equal(part.code, 1);
  assert.match(part.text, /1 files\n {2}\$files: the content at \S+ cannot be read from the bucket: status 404/);
});
