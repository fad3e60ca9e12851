// How the Lua client connects: over server-sent events where no WebSocket gets through, and what a
// server that misbehaves there does to it.

import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { connect, id, live, makeApp, run, serve, within } from './harness.mjs';

// Prints what happens; commands come as lines of Lua.
const SCRIPT = `
  local instant = require "instant"
  db = instant.init {
    apiURI = arg[1], websocketURI = arg[2] ~= "" and arg[2] or nil, appId = arg[3], reconnect = "linear",
    connectTimeout = tonumber(arg[4]),
  }
  local function out(...) print(...) io.stdout:flush() end
  db:subscribeConnectionStatus(function(status, err) out("status", status, err and err.message) end)
  db:subscribeQuery({ todos = {} }, function(result)
    out("result", result.data and #result.data.todos or result.error.message)
  end)
  for n = 1, tonumber(arg[5]) or 0 do
    db:transact(db.tx.todos[instant.id()]:update { title = "from lua " .. n, text = "ü\\n✓" })
      :next(function(r) out("written", r.status) end, function(err) out("failed", err.message) end)
  end
`;

test('a client that no WebSocket serves', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const other = live(t, connect(t, server, app), { todos: {} });
  const lua = run(t, ['-e', SCRIPT, server.api, 'ws://127.0.0.1:1/no', app.id, '5000', '60']);
  await lua.line(/^status\tauthenticated/);
  const { data } = await other.until((r) => r.data?.todos.length === 60, 'all writes');
  assert.ok(data.todos.every((x) => x.text === 'ü\n✓'));
  await lua.line(/^result\t60$/);
  const db = connect(t, server, app);
  await db.transact(db.tx.todos[id()].update({ title: 'from the other' }));
  await lua.line(/^result\t61$/);
  // The server goes, and comes back.
  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 0);
  await lua.line(/^status\tclosed/);
  const again = await serve(t, { data: server.data, port: server.port });
  const back = connect(t, again, app);
  await back.transact(back.tx.todos[id()].update({ title: 'afterwards' }));
  await lua.line(/^result\t62$/, 40000);
  lua.child.kill('SIGTERM');
  assert.equal(await within(10000, 'its end', lua.ended), 0, lua.output());
});

const IDS = {
  'machine-id': 'aaaaaaaa-0000-4000-8000-000000000001',
  'session-id': 'aaaaaaaa-0000-4000-8000-000000000002',
  'sse-token': 'aaaaaaaa-0000-4000-8000-000000000003',
};
const INIT = `data: ${JSON.stringify({ op: 'sse-init', ...IDS })}\n\n`;
const APP = 'aaaaaaaa-0000-4000-8000-00000000000a';

// A backend played by hand: `get(response)` for every stream, `post(body, response)` for every POST;
// handshakes of WebSockets are refused. `asked` counts.
async function scripted(t, { get, post }) {
  const asked = { upgrade: 0, get: 0, post: 0 };
  const server = http.createServer((request, response) => {
    assert.equal(request.url, `/runtime/sse?app_id=${APP}`);
    if (request.method === 'GET') {
      asked.get++;
      assert.equal(request.headers.accept, 'text/event-stream');
      get(response, asked.get);
      return;
    }
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      asked.post++;
      post(JSON.parse(body), response, asked.post);
    });
  });
  server.on('upgrade', (_, socket) => {
    asked.upgrade++;
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { asked, api: `http://127.0.0.1:${server.address().port}` };
}

function stream(response, ...parts) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream;charset=utf-8' });
  for (const part of parts) response.write(part);
}

const initOk = (message) => JSON.stringify({
  op: 'init-ok', 'client-event-id': message['client-event-id'], 'session-id': IDS['session-id'], attrs: [],
});

test('events in odd pieces, one POST at a time', async (t) => {
  let events;
  let open = 0;
  const bodies = [];
  const server = await scripted(t, {
    get: (response) => {
      events = response;
      stream(response, ': hello\n\nretry: 500\n', 'event: message\r\ndata: [{"op":"other"}', `,\r\ndata: ${
        JSON.stringify({ op: 'sse-init', ...IDS })}]\r\n\r\n`);
    },
    post: (body, response) => {
      bodies.push(body);
      open++;
      assert.equal(open, 1);
      setTimeout(() => {
        open--;
        response.writeHead(202);
        response.end();
      }, 100);
      for (const message of body.messages) {
        if (message.op === 'init') {
          const text = `data: [${initOk(message)}]\n\n`;
          for (const letter of text) events.write(letter);
        }
        if (message.op === 'transact') {
          events.write(`data: ${JSON.stringify({ op: 'transact-ok', 'tx-id': 7,
            'client-event-id': message['client-event-id'] })}\n\n`);
        }
      }
    },
  });
  const lua = run(t, ['-e', SCRIPT, server.api, '', APP, '5000', '50']);
  await lua.line(/^status\tauthenticated/);
  const sent = await within(20000, 'all writes', new Promise((resolve) => {
    const look = setInterval(() => {
      const messages = bodies.flatMap((body) => body.messages);
      if (messages.filter((message) => message.op === 'transact').length < 50) return;
      clearInterval(look);
      resolve(messages);
    }, 20);
  }));
  for (const body of bodies) {
    assert.deepEqual([body.machine_id, body.session_id, body.sse_token], Object.values(IDS));
    assert.ok(Array.isArray(body.messages));
  }
  assert.equal(sent[0].op, 'init');
  assert.equal(sent.filter((message) => message.op === 'transact').length, 50);
  assert.ok(bodies.length < 10, `${bodies.length} POSTs for ${sent.length} messages`);
  assert.equal(server.asked.upgrade, 1);
  // What comes on a stream that is over is nothing.
  events.end();
  await lua.line(/^status\tclosed/);
});

for (const [what, get, post] of [
  ['refuses the stream', (response) => { response.writeHead(400); response.end('{}'); }],
  ['sends something else', (response) => { response.writeHead(200, { 'Content-Type': 'text/html' }); response.end('<p>'); }],
  ['does not begin', (response) => stream(response, ':\n\n')],
  ['does not answer', () => {}],
  ['names no session', (response) => stream(response, 'data: {"op":"sse-init","session-id":"x"}\n\n')],
  ['ends at once', (response) => { stream(response, INIT); response.end(); }],
  ['refuses messages', (response) => stream(response, INIT), (_, response) => { response.writeHead(400); response.end('{}'); }],
  ['cuts messages off', (response) => stream(response, INIT), (_, response) => response.destroy()],
]) {
  test(`a backend that ${what}`, async (t) => {
    const server = await scripted(t, { get, post: post ?? ((_, response) => response.end('{}')) });
    const lua = run(t, ['-e', SCRIPT, server.api, '', APP, '300', '0']);
    // Each round begins with a WebSocket again.
    const twice = new Promise((resolve) => {
      const look = setInterval(() => {
        if (server.asked.upgrade >= 2 && server.asked.get >= 2) resolve(clearInterval(look));
      }, 20);
      look.unref();
    });
    await within(15000, 'two rounds', twice);
    assert.doesNotMatch(lua.output(), /authenticated/);
    lua.child.kill('SIGTERM');
    assert.equal(await within(10000, 'its end', lua.ended), 0, lua.output());
    assert.match(lua.output(), /Not connected, trying again/);
  });
}

test('no fallback goes to an address that was not named', async (t) => {
  const seen = [];
  const server = http.createServer((request, response) => {
    seen.push(request.url);
    response.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const script = `
    local instant = require "instant"
    local db = instant.init { websocketURI = "ws://127.0.0.1:1/x", appId = arg[1], reconnect = "linear" }
    local closed = 0
    db:subscribeConnectionStatus(function() closed = closed + 1 end)
    instant.after(1500, function() db:shutdown() end)
  `;
  const lua = run(t, ['-e', script, APP], {
    env: { ...process.env, https_proxy: `http://127.0.0.1:${server.address().port}`, no_proxy: '' },
  });
  assert.equal(await within(15000, 'its end', lua.ended), 0, lua.output());
  assert.deepEqual(seen, []);
});
