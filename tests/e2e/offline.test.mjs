// A client of Lua with a storage: killed at any moment, with and without a connection, it applies
// every write that it accepted, once; and it starts without a network from what it kept.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { connect, id, makeApp, run, scratch, serve } from './harness.mjs';

const ROUNDS = 8;

for (const kind of ['file', 'sqlite']) {
  test(`kill -9 loses no accepted write of a client: ${kind}`, async (t) => {
    let server = await serve(t);
    const app = await makeApp(server);
    const storage = `${kind}:${path.join(scratch(t), 'kept')}`;
    const start = (what) => run(t, ['tests/e2e/offline.lua', server.api, app.id, storage, what]);
    const told = new Set();
    let offline = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const isUp = round % 3 !== 0;
      if (!isUp) {
        server.child.kill('SIGKILL');
        await server.ended;
      }
      const writer = start('write');
      const enough = new RegExp(`^told (\\S+) (${isUp ? 'synced' : 'enqueued'})`);
      let seen = 0;
      await new Promise((resolve, reject) => {
        let rest = '';
        writer.child.stdout.on('data', (chunk) => {
          const lines = (rest + chunk).split('\n');
          rest = lines.pop();
          seen += lines.filter((line) => enough.test(line)).length;
          if (seen > 3 + round * 2) resolve();
        });
        writer.ended.then((code) => reject(new Error(`ended with ${code}:\n${writer.output()}`)));
      });
      writer.child.kill('SIGKILL');
      await writer.ended;
      for (const [, note, status] of writer.output().matchAll(/^told (\S+) (\S+)$/gm)) {
        told.add(note);
        offline += status === 'enqueued';
      }
      assert.doesNotMatch(writer.output(), /^failed/m);
      if (!isUp) server = await serve(t, { data: server.data, port: server.port });
    }
    assert.ok(offline > 10);
    const last = start('drain');
    await last.line(/^drained$/);
    assert.equal(await last.ended, 0);
    assert.doesNotMatch(last.output(), /^failed/m);

    const db = connect(t, server, app);
    const { notes } = (await db.queryOnce({ notes: {} })).data;
    const counts = new Map();
    for (const note of notes) counts.set(note.n, (counts.get(note.n) ?? 0) + 1);
    for (const note of told) assert.equal(counts.get(note), 1, note);
    for (const [note, count] of counts) assert.equal(count, 1, note);
  });

  test(`starts without a network: ${kind}`, async (t) => {
    const server = await serve(t);
    const app = await makeApp(server);
    const db = connect(t, server, app);
    await db.transact([1, 2, 3].map((n) => db.tx.notes[id()].update({ n })));
    const storage = `${kind}:${path.join(scratch(t), 'kept')}`;
    const args = ['tests/e2e/offline.lua', server.api, app.id, storage, 'show'];
    const online = run(t, args);
    await online.line(/^shown 3$/);
    const [, device] = await online.line(/^device (\S+)$/);
    assert.equal(await online.ended, 0);
    server.child.kill('SIGKILL');
    await server.ended;
    const offline = run(t, args);
    await offline.line(/^shown 3$/);
    await offline.line(new RegExp(`^device ${device}$`));
    assert.equal(await offline.ended, 0);
    // Nobody else may read what it kept.
    const folder = storage.slice(kind.length + 1);
    const open = execFileSync('find', [folder, '-type', 'f', '-perm', '/077'], { encoding: 'utf8' });
    assert.equal(open, '');
  });
}
