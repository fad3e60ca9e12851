// Backups of one app over HTTP, as the official platform SDK and command line take them: made while
// others write, listed, read, and taken in by another backend.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createWriteStream, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { init } from '@instantdb/admin';
import { PlatformApi } from '@instantdb/platform';
import { id, root, run, scratch, serve, within } from './harness.mjs';

// What the command line makes its archives with.
const require = createRequire(path.join(root, 'tests/e2e/node_modules/instant-cli/package.json'));
const zip = require('@zip.js/zip.js');

async function setUp(t) {
  const server = await serve(t);
  const [, appId] = await server.line(/app id:\s+(\S+)/);
  const [, token] = await server.line(/admin token:\s+(\S+)/);
  const ask = async (method, target, body, bearer = token) => {
    const response = await fetch(`${server.api}${target}`, {
      method, headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  };
  const made = async (description) => {
    const { status, body } = await ask('POST', `/dash/apps/${appId}/backups`, { description });
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.job.job_status, 'processing');
    return within(30000, 'the backup', (async () => {
      for (;;) {
        const { body: { job } } = await ask('GET', `/dash/apps/${appId}/backup-jobs/${body.job.id}`);
        if (job.job_status !== 'processing') return job;
      }
    })());
  };
  const db = init({ appId, adminToken: token, apiURI: server.api });
  const platform = new PlatformApi({ auth: { token }, apiURI: server.api });
  return { server, appId, token, ask, made, db, backups: platform.backups(appId) };
}

// As the command line does it: the SDK asks, its caller writes the archive.
async function download(backups, backup, archive) {
  await backups.downloadArchive({
    backup,
    sink: Writable.toWeb(createWriteStream(archive)),
    fetchBody: async (url, signal) => {
      const response = await fetch(url, { signal });
      assert.equal(response.status, 200);
      return response.body;
    },
    createWriter: (sink) => new zip.ZipWriter(sink, { zip64: true, useWebWorkers: false }),
  });
}

test('a backup is made, read by the official SDK, and taken in elsewhere', async (t) => {
  const { server, appId, token, ask, made, db, backups } = await setUp(t);
  assert.deepEqual(await backups.list(), []);
  const ids = Array.from({ length: 300 }, () => id());
  await db.transact(ids.map((todo, n) => db.tx['odd/name %'][todo].update({ n, text: `ü ${n}`.repeat(20) })));
  await db.auth.createToken({ email: 'a@example.com' });
  await db.storage.uploadFile('docs/ü.txt', Buffer.from('a content'), { contentType: 'text/plain' });

  const job = await made('before the change');
  assert.equal(job.job_status, 'completed', server.output());
  await db.transact(db.tx['odd/name %'][ids[0]].update({ n: -1 }));
  await db.storage.delete('docs/ü.txt');

  const [backup, ...others] = await backups.list();
  assert.deepEqual(others, []);
  assert.equal(backup.id, job.app_backup_id);
  assert.equal(backup.description, 'before the change');
  assert.equal(backup.filesSize, 9);
  assert.ok(backup.dbSize > 0 && backup.uncompressedSize > 300 * 40);
  assert.ok(backup.expiresAt - backup.backupAt > 29 * 24 * 3600 * 1000);
  const files = await backups.listFiles(backup.id);
  assert.equal(files[0].name, 'config.json');
  assert.ok(files.some((file) => file.name === 'entities/odd/name %.jsonl'));
  const url = await backups.getFileUrl(backup.id, 'entities/odd/name %.jsonl');
  const lines = (await (await fetch(url)).text()).trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => line.entity.n).sort((a, b) => a - b), ids.map((_, n) => n));
  const part = await fetch(url, { headers: { range: 'bytes=0-9' } });
  assert.equal(part.status, 206);

  // Whoever was not given the address, or gets it for something else.
  assert.equal((await fetch(url.replace(/signature=./, 'signature=x'))).status, 403);
  assert.equal((await fetch(url.replace(/expires=\d/, 'expires=9'))).status, 403);
  const { pathname, search } = new URL(url);
  const parts = pathname.split('/');
  assert.equal((await fetch(`${server.api}${pathname.replace(parts[4], id())}${search}`)).status, 404);
  assert.equal((await fetch(`${server.api}/storage/files/${parts[3]}/${parts[5]}${search}`)).status, 404);

  // The content was deleted meanwhile; the backup still has it.
  const contents = [];
  for await (const file of backups.streamStorageFiles(backup.id)) contents.push(file);
  assert.deepEqual(contents.map((file) => file.path), ['docs/ü.txt']);

  const archive = path.join(scratch(t), 'app.zip');
  await db.storage.uploadFile('again.txt', Buffer.from('x'));
  const again = await made();
  assert.equal(again.job_status, 'completed');
  const [latest] = await backups.list();
  assert.equal(latest.id, again.app_backup_id);
  await download(backups, latest, archive);
  const data = scratch(t);
  const taken = run(t, ['import', archive, '--data', path.join(data, 'new')]);
  assert.equal(await taken.ended, 0, taken.output());
  const [, newToken] = await taken.line(/admin token: (\S+)/);
  const other = await serve(t, { data: path.join(data, 'new') });
  const there = init({ appId, adminToken: newToken, apiURI: other.api });
  const query = { 'odd/name %': {}, $users: {} };
  const order = (result) => ({ ...result, 'odd/name %': result['odd/name %'].sort((a, b) => a.n - b.n) });
  assert.deepEqual(order(await there.query(query)), order(await db.query(query)));
  const { $files } = await there.query({ $files: {} });
  assert.equal(await (await fetch($files[0].url)).text(), 'x');

  const gone = await ask('DELETE', `/dash/apps/${appId}/backups/${backup.id}`);
  assert.deepEqual(gone.body, { id: backup.id });
  assert.equal((await fetch(url)).status, 404);
  for (const target of [`backups/${backup.id}/files`, `backups/${backup.id}/file-url?name=config.json`, `backups/${backup.id}/storage-files`]) {
    const { status, body } = await ask('GET', `/dash/apps/${appId}/${target}`);
    assert.equal(status, 400);
    assert.equal(body.message, 'Record not found: app-backup');
  }
  assert.deepEqual((await ask('GET', `/dash/apps/${appId}/backup-jobs`)).body, { jobs: [] });
  assert.ok(!JSON.stringify(await ask('GET', `/dash/apps/${appId}/backups`)).includes(token));
});

test('a cancelled backup, and one that was being made when the process died, leave nothing', async (t) => {
  const { server, appId, ask, db } = await setUp(t);
  await db.transact(Array.from({ length: 100 }, (_, n) => db.tx.todos[id()].update({ n })));
  const { body } = await ask('POST', `/dash/apps/${appId}/backups`, {});
  const { status } = await ask('DELETE', `/dash/apps/${appId}/backup-jobs/${body.job.id}`);
  const entries = () => readdirSync(path.join(server.data, 'backups', appId));
  // It may have been done already.
  if (status === 200) assert.deepEqual(entries(), []);
  else assert.deepEqual(entries(), [body.job.id]);
  await ask('POST', `/dash/apps/${appId}/backups`, {});
  server.child.kill('SIGKILL');
  await server.ended;
  // That one may have been done, or not begun.
  mkdirSync(path.join(server.data, 'backups', appId, `${id()}.part`));
  await serve(t, { data: server.data });
  assert.deepEqual(entries().filter((name) => name.endsWith('.part')), []);
});
