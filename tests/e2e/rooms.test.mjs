// Presence and topics between official JavaScript clients and Lua ones, over `instant-lua serve`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, makeApp, rawSession, run, serve, within } from './harness.mjs';

// What a subscription was last told, and a way to wait for something else.
function watch(t, subscribe) {
  let last;
  const waiting = new Set();
  t.after(subscribe((value) => {
    last = value;
    for (const look of [...waiting]) look();
  }));
  return {
    last: () => last,
    until(ok, what, ms = 20000) {
      const seen = new Promise((resolve) => {
        const look = () => {
          if (last === undefined || !ok(last)) return;
          waiting.delete(look);
          resolve(last);
        };
        waiting.add(look);
        look();
      });
      return within(ms, what, seen).catch((e) => {
        throw new Error(`${e.message}; last: ${JSON.stringify(last)}`);
      });
    },
  };
}

const presence = (t, room, opts = {}) => watch(t, (fn) => room.subscribePresence(opts, fn));
const shown = (slice) => Object.values(slice.peers).map(({ peerId, ...data }) => data);

// Chance that is the same every time, and JSON made of it.
function dice(seed) {
  const any = (n) => (seed = (seed * 48271) % 2147483647) % n;
  const value = (depth) => {
    const kind = depth === 0 ? any(2) : any(4);
    if (kind < 2) return [null, true, 0, 1, 'x', ''][any(6)];
    const parts = Array.from({ length: any(4) }, () => value(depth - 1));
    return kind === 2 ? parts : Object.fromEntries(parts.map((part, n) => ['abc01'[(n + any(3)) % 5], part]));
  };
  return { any, value };
}

test('peers come, change and leave', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const [ada, bob] = [connect(t, server, app), connect(t, server, app)];
  const at = ada.joinRoom('chat', 'r', { initialPresence: { name: 'ada', mood: 'good' } });
  const bt = bob.joinRoom('chat', 'r', { initialPresence: { name: 'bob' } });
  const [adas, bobs] = [presence(t, at), presence(t, bt)];
  await bobs.until((s) => !s.isLoading && shown(s)[0]?.name === 'ada', 'ada');
  await adas.until((s) => shown(s)[0]?.name === 'bob', 'bob');
  assert.equal(adas.last().user.name, 'ada');
  at.publishPresence({ mood: 'bad', list: [1, 2, 3] });
  await bobs.until((s) => shown(s)[0].mood === 'bad', 'the mood');
  assert.deepEqual(shown(bobs.last()), [{ name: 'ada', mood: 'bad', list: [1, 2, 3] }]);
  assert.deepEqual(shown(bt.getPresence({ keys: ['mood'] })), [{ mood: 'bad' }]);
  at.publishPresence({ list: [] });
  await bobs.until((s) => shown(s)[0].list.length === 0, 'the empty list');
  ada.shutdown();
  await bobs.until((s) => shown(s).length === 0, 'ada to leave');
});

test('a topic reaches the others, behind what its sender shows', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const [ada, bob] = [connect(t, server, app), connect(t, server, app)];
  const got = watch(t, (fn) => bob.joinRoom('chat', 'r').subscribeTopic('emoji', (data, peer) => fn({ data, peer })));
  const own = [];
  const room = ada.joinRoom('chat', 'r', { initialPresence: { name: 'ada' } });
  t.after(room.subscribeTopic('emoji', (data) => own.push(data)));
  const adas = presence(t, room);
  await adas.until((s) => shown(s).length === 1, 'bob');
  room.publishPresence({ name: 'ada the second' });
  room.publishTopic('other', { n: 0 });
  room.publishTopic('emoji', { n: 1, list: [{}] });
  const { data, peer } = await got.until((g) => g.data.n === 1, 'the emoji');
  assert.deepEqual(data, { n: 1, list: [{}] });
  assert.deepEqual(peer, { name: 'ada the second' });
  assert.deepEqual(own, []);
});

// Whatever is shown after whatever else: the official client, which forgets a peer when edits empty
// what it shows, ends with the same.
test('any presence after any other', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const [ada, bob] = [connect(t, server, app), connect(t, server, app)];
  const room = ada.joinRoom('chat', 'r', { initialPresence: {} });
  const bobs = presence(t, bob.joinRoom('chat', 'r'));
  await presence(t, room).until((s) => !s.isLoading && shown(s).length === 1, 'bob');
  const { any, value } = dice(7);
  for (let n = 1; n <= 300; n++) {
    const next = { a: value(3), b: value(3), list: value(2), n };
    if (any(3) === 0) delete next.b;
    room.publishPresence(next);
    if (any(4) > 0 && n < 300) continue;
    const { peers } = await bobs.until((s) => shown(s)[0]?.n === n, `number ${n}`);
    const { peerId, ...data } = Object.values(peers)[0];
    assert.deepEqual(data, JSON.parse(JSON.stringify(room.getPresence().user, (k, v) => k === 'peerId' ? undefined : v)));
  }
});

test('rooms survive a restart of the server', async (t) => {
  const first = await serve(t);
  const app = await makeApp(first);
  const [ada, bob] = [connect(t, first, app), connect(t, first, app)];
  const room = bob.joinRoom('chat', 'r', { initialPresence: { name: 'bob' } });
  const adas = presence(t, ada.joinRoom('chat', 'r', { initialPresence: { name: 'ada' } }));
  const bobs = presence(t, room);
  await bobs.until((s) => shown(s)[0]?.name === 'ada', 'ada');
  first.child.kill('SIGKILL');
  await first.ended;
  room.publishPresence({ name: 'bob, later' });
  await serve(t, { data: first.data, port: first.port });
  await adas.until((s) => shown(s).length === 1 && shown(s)[0].name === 'bob, later', 'bob again');
  await bobs.until((s) => shown(s).length === 1 && shown(s)[0].name === 'ada', 'ada again');
});

// Values of any shape go to the Lua client and come back as they were, both ways as edits.
test('a Lua client shows and hears the same', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const lua = run(t, ['tests/e2e/rooms.lua', app.id, server.api]);
  await lua.line(/listening/);
  const js = connect(t, server, app);
  const room = js.joinRoom('chat', 'r', { initialPresence: { name: 'js', n: 0 } });
  const seen = presence(t, room);
  const { any, value } = dice(11);
  for (let n = 1; n <= 200; n++) {
    const next = value(3);
    room.publishPresence({ value: next, n });
    if (any(4) > 0 && n < 200) continue;
    const { peers } = await seen.until((s) => Object.values(s.peers)[0]?.n === n, `number ${n}`);
    const { peerId, ...data } = Object.values(peers)[0];
    assert.deepEqual(data, { name: 'lua', echo: next, n });
  }
  const said = watch(t, (fn) => room.subscribeTopic('said', (data, peer) => fn({ data, peer: peer.name })));
  room.publishTopic('do', { say: 'hello' });
  await said.until((s) => s.data.text === 'hello' && s.data.to === 'js' && s.peer === 'lua', 'hello');
  room.publishTopic('do', { leave: true });
  await seen.until((s) => shown(s).length === 0, 'the Lua client to leave');
  assert.equal(await lua.ended, 0);
});

// The same room, old client: without edits.
test('a client from before edits is told the whole room', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const old = await rawSession(t, server);
  const hear = async (op) => {
    for (;;) {
      const message = await old.receive();
      if (message.op === op) return message;
      assert.notEqual(message.op, 'patch-presence');
    }
  };
  old.sendText(JSON.stringify({
    op: 'init', 'app-id': app.id, versions: { '@instantdb/core': 'v0.17.5' } }));
  await hear('init-ok');
  old.sendText(JSON.stringify({ op: 'join-room', 'room-id': 'r' }));
  await hear('refresh-presence');
  const room = connect(t, server, app).joinRoom('chat', 'r', { initialPresence: { n: 1 } });
  assert.equal(Object.keys((await hear('refresh-presence')).data).length, 2);
  const seen = presence(t, room);
  await seen.until((s) => !s.isLoading && shown(s).length === 1, 'the old one');
  room.publishPresence({ n: 2 });
  const whole = Object.values((await hear('refresh-presence')).data);
  assert.deepEqual(whole.map((entry) => entry.data.n).filter(Boolean), [2]);
});
