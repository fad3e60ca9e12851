// `instant-lua backup`, `restore` and `check`: of a server that works, of files, of what is damaged,
// on a disk that is full.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import * as admin from '@instantdb/admin';
import { connect, freePort, id, makeApp, root, run, scratch, serve, within } from './harness.mjs';

const host = path.join(root, process.env.INSTANT_BUILD ?? 'build', 'instant-lua');

function adminOf(server, app) {
  return admin.init({ appId: app.id, adminToken: app.token, apiURI: server.api });
}

// A subcommand to its end: its exit code and what it printed.
async function command(t, ...args) {
  const running = run(t, args);
  return { code: await within(60000, args.join(' '), running.ended), text: running.output() };
}

async function ok(t, ...args) {
  const { code, text } = await command(t, ...args);
  assert.equal(code, 0, text);
  return text;
}

async function fails(t, code, pattern, ...args) {
  const result = await command(t, ...args);
  assert.equal(result.code, code, result.text);
  assert.match(result.text, pattern);
  return result.text;
}

// The same with files of no more than so many blocks of 512 bytes: what a full disk does.
async function limited(t, blocks, ...args) {
  const child = spawn('sh', ['-c', `trap '' XFSZ; ulimit -f ${blocks}; exec "$@"`, 'sh', host, ...args], { cwd: root });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
  const code = await within(60000, args.join(' '), new Promise((resolve) => child.on('close', resolve)));
  return { code, text };
}

function filesBelow(dir) {
  return readdirSync(dir, { recursive: true }).filter((name) => statSync(path.join(dir, name)).isFile());
}

async function damage(file, at, bytes) {
  const handle = await open(file, 'r+');
  await handle.write(Buffer.from(bytes), 0, bytes.length, at);
  await handle.close();
}

test('a backup of a working server is whole, of one moment, and restored', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const other = await makeApp(server);
  const dir = scratch(t);
  const db = adminOf(server, app);
  const content = Buffer.alloc(300000, 'content');
  await db.storage.uploadFile('a.bin', content);
  await db.storage.uploadFile('same.bin', content);
  await adminOf(server, other).transact(admin.tx.notes[id()].update({ n: 'other' }));
  const pad = 'x'.repeat(2000);
  const fill = Array.from({ length: 1500 }, () => admin.tx.pads[id()].update({ pad }));
  await db.transact(fill);

  // Writers that go on all the while; each transaction makes two notes of one number.
  const client = connect(t, server, app);
  await client.queryOnce({ notes: {} });
  let isOver = false;
  let confirmed = 0;
  const writers = Array.from({ length: 4 }, async (_, w) => {
    for (let i = 0; !isOver; i++) {
      const n = `${w}-${i}`;
      const result = await client.transact([
        client.tx.notes[id()].update({ n, half: 1 }), client.tx.notes[id()].update({ n, half: 2 }),
      ]);
      if (result.status === 'synced') confirmed++;
    }
  });
  while (confirmed < 20) await new Promise((resolve) => setImmediate(resolve));
  const before = confirmed;
  const text = await ok(t, 'backup', '--data', server.data, path.join(dir, 'b'));
  isOver = true;
  await Promise.all(writers);
  assert.match(text, /while its server worked, contents of files 1 \(300000 bytes\)/);
  assert.match(await ok(t, 'check', path.join(dir, 'b')), /is whole: databases 4, contents of files 1/);
  assert.equal(existsSync(path.join(server.data, 'operator.json')), true);

  const back = path.join(dir, 'restored');
  await ok(t, 'restore', '--data', back, path.join(dir, 'b'));
  const second = await serve(t, { data: back });
  const copy = adminOf(second, app);
  const { notes, pads, $files } = await copy.query({ notes: {}, pads: {}, $files: {} });
  assert.equal(pads.length, 1500);
  const halves = new Map();
  for (const note of notes) halves.set(note.n, (halves.get(note.n) ?? 0) + note.half);
  assert.ok(halves.size >= before, `${halves.size} of ${before} confirmed before`);
  for (const [n, sum] of halves) assert.equal(sum, 3, `both halves of ${n}`);
  assert.deepEqual($files.map((file) => file.path).sort(), ['a.bin', 'same.bin']);
  for (const file of $files) {
    const got = Buffer.from(await (await fetch(file.url)).arrayBuffer());
    assert.ok(got.equals(content), file.path);
  }
  const { notes: others } = await adminOf(second, other).query({ notes: {} });
  assert.deepEqual(others.map((note) => note.n), ['other']);
});

test('nothing is written over, and nobody is let in without the token', async (t) => {
  const server = await serve(t);
  await makeApp(server);
  const dir = scratch(t);
  const b = path.join(dir, 'b');
  await ok(t, 'backup', '--data', server.data, b);
  await fails(t, 1, /b: is there already/, 'backup', '--data', server.data, b);
  await ok(t, 'backup', '--force', '--data', server.data, b);
  assert.deepEqual(readdirSync(dir), ['b']);
  writeFileSync(path.join(dir, 'precious'), 'mine');
  await fails(t, 1, /precious: is no backup, and is not replaced/, 'backup', '--force', '--data', server.data,
    path.join(dir, 'precious'));
  assert.equal(readFileSync(path.join(dir, 'precious'), 'utf8'), 'mine');
  await fails(t, 1, /is no backup, or one that was never finished/, 'restore', '--data', path.join(dir, 'x'), dir);
  await fails(t, 1, /is there already/, 'restore', '--data', server.data, b);
  await fails(t, 1, /in use by process \d+; stop it first/, 'restore', '--force', '--data', server.data, b);
  await fails(t, 1, /in use by process \d+; stop it first/, 'check', server.data);
  await fails(t, 1, /there is no such file or folder/, 'backup', '--data', path.join(dir, 'none'), path.join(dir, 'c'));
  for (const authorization of ['', 'Bearer', 'Bearer undefined', `Bearer ${'0'.repeat(72)}`]) {
    const answer = await fetch(`${server.api}/operator/backup`, {
      method: 'POST', headers: { authorization }, body: JSON.stringify({ to: path.join(dir, 'd') }),
    });
    assert.equal(answer.status, 404, authorization);
  }
  assert.equal(statSync(path.join(server.data, 'operator.json')).mode & 0o777, 0o600);
  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 0, server.output());
  assert.equal(existsSync(path.join(server.data, 'operator.json')), false);
  // What was there is kept aside.
  const text = await ok(t, 'restore', '--force', '--data', server.data, b);
  assert.match(text, /what was there is .*\.replaced-\d+ now/);
  await ok(t, 'check', server.data);
});

test('without a server, and when it was killed', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const dir = scratch(t);
  await adminOf(server, app).transact(admin.tx.notes[id()].update({ n: 1 }));
  server.child.kill('SIGKILL');
  await server.ended;
  assert.equal(existsSync(path.join(server.data, 'operator.json')), true);
  const text = await ok(t, 'backup', '--data', server.data, path.join(dir, 'b'));
  assert.doesNotMatch(text, /while its server worked/);
  await ok(t, 'restore', '--data', path.join(dir, 'back'), path.join(dir, 'b'));
  const second = await serve(t, { data: path.join(dir, 'back'), port: await freePort() });
  const { notes } = await adminOf(second, app).query({ notes: {} });
  assert.equal(notes.length, 1);
});

test('damage is found and named, and a damaged backup is not restored', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const dir = scratch(t);
  const db = adminOf(server, app);
  await db.storage.uploadFile('a.txt', Buffer.from('the content'));
  await db.transact(Array.from({ length: 50 }, (_, n) => admin.tx.notes[id()].update({ n })));
  server.child.kill('SIGTERM');
  await server.ended;
  const b = path.join(dir, 'b');
  await ok(t, 'backup', '--data', server.data, b);
  const content = filesBelow(b).find((name) => name.includes('/content/'));
  const location = filesBelow(b).find((name) => name.includes('/at/'));
  const target = path.join(dir, 'target');

  const cases = [
    [2, /contents are damaged; the first is .*content/, () => damage(path.join(b, content), 4, 'XX')],
    [2, /the content of file location [0-9a-f-]{36} is missing/, () => rmSync(path.join(b, location))],
    [2, new RegExp(`${app.id}\\.db: the file is damaged`), () => damage(path.join(b, `apps/${app.id}.db`), 8200, 'XXXX'.repeat(500))],
    [2, new RegExp(`${app.id}\\.db`), () => truncateSync(path.join(b, `apps/${app.id}.db`), 5000)],
    [2, new RegExp(`${app.id}\\.db`), () => rmSync(path.join(b, `apps/${app.id}.db`))],
    [1, /system\.db: not a SQLite file/, () => writeFileSync(path.join(b, 'system.db'), 'no database at all'.repeat(20))],
    [1, /system\.db: there is no such file/, () => rmSync(path.join(b, 'system.db'))],
  ];
  for (const [code, pattern, harm] of cases) {
    rmSync(b, { recursive: true, force: true });
    await ok(t, 'backup', '--data', server.data, b);
    await harm();
    await fails(t, code, pattern, 'check', b);
    await fails(t, 1, code === 2 ? pattern : /system\.db/, 'restore', '--data', target, b);
    assert.deepEqual(readdirSync(dir), ['b'], 'nothing is left of it');
  }
});

test('a full disk is said, and leaves nothing', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const dir = scratch(t);
  const db = adminOf(server, app);
  const pad = 'x'.repeat(2000);
  await db.transact(Array.from({ length: 500 }, () => admin.tx.pads[id()].update({ pad })));
  await db.storage.uploadFile('a.bin', Buffer.alloc(3000000, 'a'));
  server.child.kill('SIGTERM');
  await server.ended;
  for (const blocks of [100, 2000, 5000]) {
    const { code, text } = await limited(t, blocks, 'backup', '--data', server.data, path.join(dir, 'b'));
    assert.equal(code, 1, text);
    assert.match(text, /the disk is full; free some space/);
    assert.deepEqual(readdirSync(dir), []);
  }
  await ok(t, 'check', server.data);
  await ok(t, 'backup', '--data', server.data, path.join(dir, 'b'));
  const { code, text } = await limited(t, 2000, 'restore', '--data', path.join(dir, 'back'), path.join(dir, 'b'));
  assert.equal(code, 1, text);
  assert.match(text, /the disk is full/);
  assert.deepEqual(readdirSync(dir), ['b']);
});
