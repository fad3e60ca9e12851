// kill -9 of the backend under load, again and again: nothing that was acknowledged is lost, nothing
// is half there. Transactions, uploads, users, rules, streams and jobs, each with its own way to the
// disk.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { test } from 'node:test';
import * as admin from '@instantdb/admin';
import { connect, id, live, makeApp, run, scratch, serve, within } from './harness.mjs';

const KILLS = 3;

function adminOf(server, app) {
  return admin.init({ appId: app.id, adminToken: app.token, apiURI: server.api });
}

function post(server, app, target, body) {
  return fetch(`${server.api}${target}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', authorization: `Bearer ${app.token}`, 'app-id': app.id },
    body: JSON.stringify(body),
  });
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

// Calls work(n) until `isOver`, one after the other; the n whose call came back are acknowledged.
async function worker(control, name, work) {
  const acked = control.acked[name] ??= [];
  while (!control.isOver) {
    const n = control.next++;
    try {
      await work(n);
      acked.push(n);
    } catch {
      return; // the server died: this one may or may not be there
    }
  }
}

// Runs all workers against the server until every kind has been acknowledged so often, then kills it.
async function loadAndKill(server, control, works, atLeast) {
  control.isOver = false;
  const counts = () => Object.keys(works).map((name) => control.acked[name]?.length ?? 0);
  const goal = counts().map((n) => n + atLeast);
  const running = Object.entries(works).flatMap(([name, { work, by }]) =>
    Array.from({ length: by }, () => worker(control, name, work)));
  await within(60000, `so much work before a kill: ${counts()} of ${goal}`, (async () => {
    while (counts().some((n, i) => n < goal[i])) await new Promise((resolve) => setTimeout(resolve, 5));
  })());
  server.child.kill('SIGKILL');
  control.isOver = true;
  await server.ended;
  await Promise.all(running);
}

test('kill -9 under load from many writers of every kind', async (t) => {
  const data = scratch(t);
  let server = await serve(t, { data });
  const { port } = server;
  const app = await makeApp(server, {
    title: 'durability',
    schema: {
      entities: { pairs: { attrs: {} } },
      links: {
        other: { forward: { on: 'pairs', label: 'other', has: 'many' }, reverse: { on: 'pairs', label: 'of', has: 'many' } },
      },
    },
  });
  const control = { next: 0, isOver: false, acked: {} };
  const lastRules = { acked: -1 };

  const works = {
    // Two entities and a link between them, all or nothing.
    pair: {
      by: 6,
      work: async (n) => {
        const left = id();
        await adminOf(server, app).transact([
          admin.tx.pairs[left].update({ n, side: 'left' }),
          admin.tx.pairs[id()].update({ n, side: 'right' }).link({ other: left }),
        ]);
      },
    },
    upload: {
      by: 2,
      work: async (n) => {
        const bytes = Buffer.alloc(1 + (n % 7) * 60000, `upload ${n} `);
        await adminOf(server, app).storage.uploadFile(`up/${n}.bin`, bytes);
      },
    },
    user: {
      by: 2,
      work: async (n) => {
        const token = await adminOf(server, app).auth.createToken({ email: `user${n}@example.com` });
        control.tokens[n] = token;
      },
    },
    rules: {
      by: 1,
      work: async (n) => {
        const answer = await post(server, app, `/dash/apps/${app.id}/rules`,
          { code: { pairs: { allow: { view: `data.n != ${n}`, create: `${n} > 0` } } } });
        assert.equal(answer.status, 200);
        lastRules.acked = n;
      },
    },
    // The official client does not wait for the disk when it closes a stream: acknowledged is what a
    // query has shown.
    stream: {
      by: 1,
      work: async (n) => {
        const db = connect(t, server, app, { __adminToken: app.token });
        const writer = db.streams.createWriteStream({ clientId: `stream-${n}` }).getWriter();
        const gone = new Promise((_, reject) => server.ended.then(() => reject(new Error('the server died'))));
        gone.catch(() => {});
        try {
          await Promise.race([gone, writer.write(`of ${n}: ${'x'.repeat(5000)}`)]);
          await Promise.race([gone, writer.close()]);
          const seen = live(t, db, { $streams: { $: { where: { clientId: `stream-${n}` } } } });
          await Promise.race([gone, seen.until((r) => r.data?.$streams[0]?.done, 'the end of a stream')]);
          seen.stop();
        } finally {
          db.shutdown();
        }
      },
    },
  };
  control.tokens = {};

  for (let round = 0; round < KILLS; round++) {
    await loadAndKill(server, control, works, 4);
    const check = await within(60000, 'the check to end', run(t, ['check', data]).ended);
    assert.equal(check, 0, 'the data folder is whole after a kill');
    server = await serve(t, { data, port });

    const db = adminOf(server, app);
    const { pairs, $files, $streams } = await db.query({ pairs: { other: {} }, $files: {}, $streams: {} });
    const sides = new Map();
    for (const pair of pairs) sides.set(pair.n, [...(sides.get(pair.n) ?? []), pair]);
    for (const n of control.acked.pair) assert.ok(sides.has(n), `pair ${n} was acknowledged`);
    for (const [n, both] of sides) {
      assert.deepEqual(both.map((pair) => pair.side).sort(), ['left', 'right'], `both sides of ${n}`);
      const [left, right] = ['left', 'right'].map((side) => both.find((pair) => pair.side === side));
      assert.deepEqual(right.other.map((other) => other.id), [left.id], `the link of ${n}`);
    }

    const files = new Map($files.map((file) => [file.path, file]));
    for (const n of control.acked.upload) assert.ok(files.has(`up/${n}.bin`), `upload ${n} was acknowledged`);
    for (const [name, file] of files) {
      if (!name.startsWith('up/')) continue; // those of streams
      const n = Number(name.match(/\d+/)[0]);
      const answer = await fetch(file.url);
      assert.equal(answer.status, 200, name);
      const bytes = Buffer.from(await answer.arrayBuffer());
      assert.equal(sha256(bytes), sha256(Buffer.alloc(1 + (n % 7) * 60000, `upload ${n} `)), name);
      assert.equal(file.size, bytes.length, name);
    }

    for (const n of control.acked.user) {
      const user = await db.auth.verifyToken(control.tokens[n]);
      assert.equal(user.email, `user${n}@example.com`);
    }

    const answer = await fetch(`${server.api}/dash/apps/${app.id}/perms/pull`, {
      headers: { authorization: `Bearer ${app.token}` },
    });
    const { perms } = await answer.json();
    const [, view] = perms.pairs.allow.view.match(/^data\.n != (\d+)$/);
    assert.equal(perms.pairs.allow.create, `${view} > 0`, 'rules are saved whole');
    assert.ok(Number(view) >= lastRules.acked, `rules ${lastRules.acked} were acknowledged, ${view} are there`);

    const streams = new Map($streams.map((stream) => [stream.clientId, stream]));
    for (const n of control.acked.stream) {
      const stream = streams.get(`stream-${n}`);
      assert.ok(stream?.done, `stream ${n} was closed`);
      assert.equal(stream.size, `of ${n}: `.length + 5000);
    }
  }
});

// An attr over very many rows: killed in the middle, the job goes on and ends as it should.
test('kill -9 in the middle of a job', async (t) => {
  const data = scratch(t);
  let server = await serve(t, { data });
  const { port } = server;
  const app = await makeApp(server, {
    title: 'jobs',
    schema: {
      entities: { rows: { attrs: { n: { valueType: 'number', required: false, config: { indexed: false, unique: false } } } } },
      links: {},
    },
  });
  const db = () => adminOf(server, app);
  const total = 10000;
  for (let at = 0; at < total; at += 5000) {
    await db().transact(Array.from({ length: 5000 }, (_, i) => admin.tx.rows[id()].update({ n: at + i })));
  }
  const pull = async () => {
    const answer = await fetch(`${server.api}/admin/schema?app_id=${app.id}`, {
      headers: { authorization: `Bearer ${app.token}`, 'app-id': app.id },
    });
    return (await answer.json()).schema.blobs.rows.n;
  };
  const attr = await pull();
  const { job } = await (await post(server, app, `/dash/apps/${app.id}/indexing-jobs`,
    { 'attr-id': attr.id, 'job-type': 'unique' })).json();
  const show = async () => (await (await fetch(`${server.api}/dash/apps/${app.id}/indexing-jobs/${job.id}`, {
    headers: { authorization: `Bearer ${app.token}` },
  })).json()).job;

  let kills = 0;
  let state;
  let most = 0;
  await within(120000, 'the job to end', (async () => {
    for (;;) {
      state = await show();
      if (!['waiting', 'processing'].includes(state.job_status)) return;
      // Others are served meanwhile.
      const { rows } = await db().query({ rows: { $: { where: { n: 7 } } } });
      assert.equal(rows.length, 1);
      if (kills < 3 && state.work_completed > most) {
        most = state.work_completed;
        kills++;
        server.child.kill('SIGKILL');
        await server.ended;
        const checked = run(t, ['check', data]);
        assert.equal(await within(60000, 'the check to end', checked.ended), 0, checked.output());
        server = await serve(t, { data, port });
      }
    }
  })());
  assert.ok(kills > 0, 'it was killed in the middle');
  assert.equal(state.job_status, 'completed', JSON.stringify(state));
  const done = await pull();
  assert.equal(done['unique?'], true);
  assert.equal(done['setting-unique?'], undefined);
  await assert.rejects(db().transact(admin.tx.rows[id()].update({ n: 7 })), /unique attribute/);
  const found = await db().query({ rows: { $: { where: { n: total - 1 } } } });
  assert.equal(found.rows.length, 1);
});
