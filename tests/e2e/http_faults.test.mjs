// Uploads and downloads that meet each other, and a disk and a process at their limits
// (conformance/http.md 47, 48, 71).

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { makeApp, serve, within } from './harness.mjs';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const admin = (app) => ({ 'app-id': app.id, authorization: `Bearer ${app.token}` });

async function setUp(t) {
  const server = await serve(t);
  const app = await makeApp(server);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  // A request over one connection that stays, or over one of its own.
  const ask = (method, target, { headers = {}, body, via } = {}) => within(30000, target, new Promise((resolve, reject) => {
    const request = http.request(`${server.api}${target}`, { method, headers: { ...admin(app), ...headers }, agent: via }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(parts) }));
    });
    request.on('error', reject);
    request.end(body);
  }));
  const json = async (...args) => {
    const { status, body } = await ask(...args);
    return { status, body: JSON.parse(body) };
  };
  const put = (name, body, more) => json('PUT', '/admin/storage/upload', { headers: { path: name }, body, ...more });
  const address = async (name) => (await json('GET', `/admin/storage/signed-download-url?filename=${name}`)).body.data;
  const content = async (name) => {
    const url = await address(name);
    return url && Buffer.from(await (await fetch(url)).arrayBuffer());
  };
  const query = (via) => json('POST', '/admin/query', { headers: { 'content-type': 'application/json' }, body: '{"query":{"todos":{}}}', via });
  const stored = () => readdirSync(path.join(server.data, 'files'), { recursive: true }).map(String).filter((name) => name.includes('incoming/'));
  return { server, app, agent, ask, json, put, address, content, query, stored };
}

// An upload that is sent by and by: `send` a piece, `end` gives the answer.
function slowly(server, app, name) {
  let answered;
  const answer = new Promise((resolve, reject) => { answered = { resolve, reject }; });
  const request = http.request(`${server.api}/admin/storage/upload`, { method: 'PUT', headers: { ...admin(app), path: name, expect: '100-continue' } }, (response) => {
    response.resume();
    response.on('end', () => answered.resolve(response.statusCode));
  });
  request.on('error', answered.reject);
  const begun = new Promise((resolve) => request.on('continue', resolve));
  request.flushHeaders();
  return {
    begun: within(10000, '100 Continue', begun),
    send: (piece) => new Promise((resolve) => request.write(piece, resolve)),
    end: () => {
      request.end();
      return within(10000, 'an answer', answer);
    },
  };
}

test('47: uploads to one path at once, and what is deleted meanwhile', async (t) => {
  const { server, app, content, address, json } = await setUp(t);
  const [a, b] = [Buffer.alloc(200000, 'a'), Buffer.alloc(150000, 'b')];
  const one = slowly(server, app, 'same'), two = slowly(server, app, 'same');
  await Promise.all([one.begun, two.begun]);
  for (let n = 0; n < 5; n++) {
    await one.send(a.subarray(n * 40000, (n + 1) * 40000));
    await two.send(b.subarray(n * 30000, (n + 1) * 30000));
  }
  assert.deepEqual(await Promise.all([one.end(), two.end()]), [200, 200]);
  const got = await content('same');
  assert.ok(got.equals(a) || got.equals(b), `${got.length} bytes that are neither`);
  const { body } = await json('POST', '/admin/query', { headers: { 'content-type': 'application/json' }, body: '{"query":{"$files":{}}}' });
  assert.equal(body.$files.length, 1);
  assert.equal(body.$files[0].size, got.length);

  const late = slowly(server, app, 'same');
  await late.begun;
  await late.send(b);
  assert.equal((await json('DELETE', '/admin/storage/files?filename=same')).status, 200);
  assert.equal(await address('same'), null);
  assert.equal(await late.end(), 200);
  assert.ok((await content('same')).equals(b));
});

test('71: a file that is replaced, then deleted, while it is sent', async (t) => {
  const { put, address, json } = await setUp(t);
  const before = Buffer.alloc(24 << 20, 'before '), after = Buffer.alloc(1 << 20, 'after ');
  assert.equal((await put('f', before)).status, 200);
  const url = await address('f');
  const begun = await new Promise((resolve, reject) => http.get(url, { agent: false }, resolve).on('error', reject));
  assert.equal(Number(begun.headers['content-length']), before.length);
  begun.pause();
  assert.equal((await put('f', after)).status, 200);
  assert.equal((await json('DELETE', '/admin/storage/files?filename=f')).status, 200);
  assert.equal((await fetch(url)).status, 404);
  const parts = [];
  begun.on('data', (part) => parts.push(part)).resume();
  await within(30000, 'the end', new Promise((resolve) => begun.on('end', resolve)));
  assert.equal(sha256(Buffer.concat(parts)), sha256(before));
});

const limit = (server, what, value) => execFileSync('prlimit', ['--pid', String(server.child.pid), `--${what}=${value}`]);

test('48: no room for the file', async (t) => {
  const { server, put, address, query, stored } = await setUp(t);
  assert.equal((await put('small', 'x')).status, 200);
  limit(server, 'fsize', `${1 << 20}:`);
  const refused = await put('large', Buffer.alloc(3 << 20, 'x'));
  assert.ok(refused.status === 500 || refused.status === 507, JSON.stringify(refused));
  assert.equal(typeof refused.body.message, 'string');
  assert.ok(!refused.body.message.includes(server.data));
  assert.equal((await query()).status, 200);
  assert.equal((await put('small', 'y')).status, 200);
  assert.equal(await address('large'), null);
  assert.deepEqual(stored(), []);
  limit(server, 'fsize', 'unlimited:');
  assert.equal((await put('large', Buffer.alloc(3 << 20, 'x'))).status, 200);
});

test('48: no descriptor for the file', async (t) => {
  const { server, agent, put, content, query, stored } = await setUp(t);
  assert.equal((await query(agent)).status, 200);
  const folder = `/proc/${server.child.pid}/fd`;
  const open = readdirSync(folder).map(Number);
  // What is open stays; nothing more can be opened.
  limit(server, 'nofile', `${Math.min(...Array.from({ length: 4096 }, (_, n) => n).filter((n) => !open.includes(n)))}:`);
  const refused = await put('f', 'content', { via: agent });
  assert.ok(refused.status === 500 || refused.status === 507, JSON.stringify(refused));
  assert.equal(typeof refused.body.message, 'string');
  assert.equal((await query(agent)).status, 200);
  // Somebody who comes now waits, and is served when there is room.
  const waiting = query();
  limit(server, 'nofile', '1024:');
  assert.equal((await waiting).status, 200);
  assert.equal((await put('f', 'content', { via: agent })).status, 200);
  assert.equal((await content('f')).toString(), 'content');
  assert.deepEqual(stored(), []);
  assert.ok(readlinkSync(`/proc/${server.child.pid}/exe`));
});
