// The official clients' streams against `instant-lua serve`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { init as initAdmin } from '@instantdb/admin';
import { connect, id, live, makeApp, run, scratch, serve, within } from './harness.mjs';

async function readAll(stream, ms = 20000) {
  const reader = stream.getReader();
  let text = '';
  for (;;) {
    const { value, done } = await within(ms, `more than ${text.length} characters`, reader.read());
    if (done) return text;
    text += value;
  }
}

const admin = (server, app) =>
  initAdmin({ appId: app.id, adminToken: app.token, apiURI: server.api });

test('what one client writes another reads, live and later', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app, { __adminToken: app.token });
  const other = connect(t, server, app, { __adminToken: app.token });
  const clientId = `chat-${id()}`;
  const stream = db.streams.createWriteStream({ clientId });
  const writer = stream.getWriter();
  await writer.write('Hello ');
  const streamId = await within(10000, 'the id', stream.streamId());
  const following = readAll(other.streams.createReadStream({ clientId }));
  for (const word of ['wörld', ' and ', '💧', '!']) await writer.write(word);
  await writer.close();
  assert.equal(await following, 'Hello wörld and 💧!');
  assert.equal(await readAll(other.streams.createReadStream({ streamId })), 'Hello wörld and 💧!');
  assert.equal(
    await readAll(other.streams.createReadStream({ streamId, byteOffset: 6 })),
    'wörld and 💧!',
  );
  const row = live(t, db, { $streams: { $: { where: { clientId } } } });
  const { data } = await row.until((r) => r.data?.$streams[0]?.done, 'the end in the row');
  assert.equal(data.$streams[0].size, Buffer.byteLength('Hello wörld and 💧!'));
});

test('a writer goes on after the server was killed', async (t) => {
  const data = scratch(t);
  let server = await serve(t, { data });
  const app = await makeApp(server);
  const { port } = server;
  const db = connect(t, server, app, { __adminToken: app.token });
  const reading = connect(t, server, app, { __adminToken: app.token });
  const stream = db.streams.createWriteStream({ clientId: 'chat' });
  const writer = stream.getWriter();
  const piece = 'x'.repeat(30000);
  await writer.write('first ');
  await stream.streamId();
  const following = readAll(reading.streams.createReadStream({ clientId: 'chat' }), 60000);
  for (let i = 0; i < 4; i++) await writer.write(piece);
  await writer.write(' lost ');
  server.child.kill('SIGKILL');
  await server.ended;
  await writer.write('while away ');
  server = await serve(t, { data, port });
  // The official client forgets to say that it was closed while it was away (session.md 5.14).
  await within(30000, 'the writer to be back', new Promise((resolve) => {
    const stop = db.subscribeConnectionStatus((status) => {
      if (status !== 'authenticated') return;
      stop();
      resolve();
    });
  }));
  await db.queryOnce({ $streams: {} });
  await writer.write('last');
  await writer.close();
  const wanted = `first ${piece.repeat(4)} lost while away last`;
  const text = await following;
  assert.equal(text.length, wanted.length);
  assert.ok(text === wanted);
});

test('the admin SDK writes and reads over event streams', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const [one, two] = [admin(server, app), admin(server, app)];
  const stream = one.streams.createWriteStream({ clientId: 'sdk' });
  const writer = stream.getWriter();
  await writer.write('a');
  await within(10000, 'the id', stream.streamId());
  const following = readAll(two.streams.createReadStream({ clientId: 'sdk' }));
  await writer.write('b');
  await writer.close();
  assert.equal(await following, 'ab');
  const broken = two.streams.createReadStream({ clientId: 'nobody' });
  await assert.rejects(readAll(broken), /Stream is missing/);
});

test('an aborted stream ends', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app, { __adminToken: app.token });
  const stream = db.streams.createWriteStream({ clientId: 'chat' });
  const writer = stream.getWriter();
  await writer.write('half');
  await stream.streamId();
  const following = readAll(db.streams.createReadStream({ clientId: 'chat' }));
  await writer.abort('changed my mind');
  assert.equal(await following, 'half');
  const { data } = await db.queryOnce({ $streams: {} });
  assert.equal(data.$streams[0].clientId, 'chat');
});

test('a second writer of the same name is refused', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app, { __adminToken: app.token });
  const first = db.streams.createWriteStream({ clientId: 'chat' });
  await within(10000, 'the id', first.streamId());
  const second = db.streams.createWriteStream({ clientId: 'chat' });
  await assert.rejects(second.streamId(), /Reconnect token is invalid/);
  const nobody = connect(t, server, app);
  await assert.rejects(readAll(nobody.streams.createReadStream({ clientId: 'chat' })), /Permission denied/);
});

// Characters of several bytes fall on every border; over 1 MiB, so that part of it comes as files.
test('a Lua client answers what it reads, live', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app, { __adminToken: app.token });
  const question = db.streams.createWriteStream({ clientId: 'question' });
  const writer = question.getWriter();
  await writer.write('¿');
  await within(10000, 'the id', question.streamId());
  const lua = run(t, ['tests/e2e/streams.lua', app.id, server.api, app.token]);
  await lua.line(/answering/);
  const answer = readAll(db.streams.createReadStream({ clientId: 'answer' }));
  let wanted = '¿';
  for (let n = 0; n < 60; n++) {
    const piece = 'ü💧a'.repeat(n * 100) + n;
    wanted += piece;
    await writer.write(piece);
  }
  await writer.close();
  assert.equal(await answer, wanted);
  await lua.line(/answered/);
  assert.equal(await lua.ended, 0);
});
