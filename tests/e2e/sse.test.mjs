// Server-sent events: the official client where it has no WebSocket.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, id, live, makeApp, serve, within } from './harness.mjs';

// What browsers and the official React packages bring along, as far as the client uses it.
class EventSource {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 2;
  static opened = 0;
  readyState = EventSource.CONNECTING;
  aborter = new AbortController();

  constructor(url) {
    this.url = url;
    this.read().catch(() => {}).finally(() => {
      if (this.readyState === EventSource.CLOSED) return;
      this.readyState = EventSource.CONNECTING;
      this.onerror?.({});
    });
  }

  async read() {
    const response = await fetch(this.url, {
      headers: { Accept: 'text/event-stream', Origin: 'http://example.test' }, signal: this.aborter.signal,
    });
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type'), /^text\/event-stream/);
    this.readyState = EventSource.OPEN;
    EventSource.opened++;
    this.onopen?.({});
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body) {
      text += decoder.decode(chunk, { stream: true });
      for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
        const data = text.slice(0, end).split('\n').filter((line) => line.startsWith('data: '));
        if (data.length > 0) this.onmessage?.({ data: data.map((line) => line.slice(6)).join('\n') });
      }
    }
  }

  close() {
    this.readyState = EventSource.CLOSED;
    this.aborter.abort();
  }
}

test('the official client goes on over server-sent events', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const before = EventSource.opened;
  // Nothing speaks WebSocket there.
  const blocked = connect(t, server, app, { websocketURI: 'ws://127.0.0.1:1/runtime/session' }, EventSource);
  const free = connect(t, server, app);
  const seenBlocked = live(t, blocked, { todos: {} });
  const seenFree = live(t, free, { todos: {} });
  await seenBlocked.until((r) => r.data);
  assert.ok(EventSource.opened > before);
  await within(10000, 'a write over POST', blocked.transact(blocked.tx.todos[id()].update({ title: 'a' })));
  await seenFree.until((r) => r.data?.todos.length === 1);
  await free.transact(free.tx.todos[id()].update({ title: 'ü✓' }));
  const { data } = await seenBlocked.until((r) => r.data?.todos.length === 2);
  assert.deepEqual(data.todos.map((x) => x.title).sort(), ['a', 'ü✓']);
  const many = Array.from({ length: 50 }, (_, n) => blocked.transact(blocked.tx.todos[id()].update({ title: `${n}` })));
  await within(20000, 'many writes', Promise.all(many));
  await seenFree.until((r) => r.data?.todos.length === 52);
});

test('it comes back after the server was away', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app, { websocketURI: 'ws://127.0.0.1:1/runtime/session' }, EventSource);
  const seen = live(t, db, { todos: {} });
  await db.transact(db.tx.todos[id()].update({ title: 'before' }));
  await seen.until((r) => r.data?.todos.length === 1);
  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 0);
  const again = await serve(t, { data: server.data, port: server.port });
  const other = connect(t, again, app);
  await other.transact(other.tx.todos[id()].update({ title: 'after' }));
  await seen.until((r) => r.data?.todos.length === 2, 'the write of another', 40000);
});
