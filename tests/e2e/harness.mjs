// What every end-to-end test stands on: a backend process, official clients, Lua processes.
//
// Nothing sleeps to wait for something: a test waits for a line, a message or a process's end, or asks
// until an answer fits (`eventually`), each with a limit after which it fails with a sentence.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import WS from 'ws';

// The official client does nothing without a `window`; without `location` in it, it leaves the
// parts for browsers alone. Node's BroadcastChannel would keep the process alive.
// Its timers of half a minute and more would keep a finished test alive.
const { setTimeout } = globalThis;
globalThis.setTimeout = (fn, ms, ...args) => {
  const timer = setTimeout(fn, ms, ...args);
  if (ms >= 5000) timer.unref();
  return timer;
};
globalThis.window ??= {};
globalThis.WebSocket ??= WS;
delete globalThis.BroadcastChannel;
const core = await import('@instantdb/core');

export const { id, lookup, tx, i } = core;
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const host = path.join(root, process.env.INSTANT_BUILD ?? 'build', 'instant-lua');

export function within(ms, what, promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing after ${ms} ms: ${what}`)), ms);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

// Asks until ok(answer), giving way to the rest in between.
export function eventually(what, ask, ok, ms = 20000) {
  let isOver = false;
  return within(ms, what, (async () => {
    for (;;) {
      const answer = await ask();
      if (isOver || ok(answer)) return answer;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })()).finally(() => { isOver = true; });
}

export function scratch(t) {
  const dir = mkdtempSync(path.join(tmpdir(), 'instant-e2e-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function openssl(dir, ...args) {
  execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
}

// A CA of our own and a certificate by it for `host`, in `dir`.
export function makeCertificate(dir, host) {
  openssl(dir, 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem',
    '-subj', '/CN=Test CA', '-days', '2');
  openssl(dir, 'req', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'key.pem', '-out', 'request.pem',
    '-subj', `/CN=${host}`);
  writeFileSync(path.join(dir, 'names'), `subjectAltName=DNS:${host}\n`);
  openssl(dir, 'x509', '-req', '-in', 'request.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial',
    '-out', 'cert.pem', '-days', '2', '-extfile', 'names');
}

// Below those that the system gives to connections: none takes it before a server of the test does.
export async function freePort() {
  for (;;) {
    const port = 10000 + Math.floor(Math.random() * 20000);
    const server = net.createServer();
    const isFree = await new Promise((resolve) => {
      server.on('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

// A process of the host, or of `options.program`. `line(pattern)` waits for a line of stdout (also one already printed),
// `said(pattern)` for the next match anywhere in what it prints, each match once; `ended` is its exit
// code or signal, `output()` everything it printed.
export function run(t, args, { program = host, ...options } = {}) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], cwd: root, ...options });
  const lines = [];
  const waiting = new Set();
  let printed = '';
  let rest = '';
  let heard = 0;
  const listening = new Set();
  const print = (chunk) => {
    printed += chunk;
    for (const look of [...listening]) look();
  };
  child.stderr.on('data', print);
  child.stdout.on('data', (chunk) => {
    print(chunk);
    const parts = (rest + chunk).split('\n');
    rest = parts.pop();
    for (const text of parts) {
      lines.push(text);
      for (const look of [...waiting]) look(text);
    }
  });
  const ended = new Promise((resolve) => {
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    child,
    ended,
    output: () => printed,
    write: (text) => child.stdin.write(text),
    said: (pattern, ms = 20000) => within(ms, `${pattern} from ${args.join(' ')}`, new Promise((resolve) => {
      const look = () => {
        const match = printed.slice(heard).match(pattern);
        if (!match) return;
        listening.delete(look);
        heard += match.index + match[0].length;
        resolve(match);
      };
      listening.add(look);
      look();
    })),
    line(pattern, ms = 20000) {
      const found = lines.map((text) => text.match(pattern)).find(Boolean);
      if (found) return Promise.resolve(found);
      const seen = new Promise((resolve, reject) => {
        const look = (text) => {
          const match = text.match(pattern);
          if (!match) return;
          waiting.delete(look);
          resolve(match);
        };
        waiting.add(look);
        ended.then((code) => reject(new Error(`ended with ${code} before ${pattern}:\n${printed}`)));
      });
      seen.catch(() => {});
      return within(ms, `a line like ${pattern} from ${args.join(' ')}\n${printed}`, seen);
    },
  };
}

// `instant-lua serve` on its own data folder and port: one that is free, unless it is named.
export async function serve(t, { data = scratch(t), port = 0, args = [], env = {}, cwd = root } = {}) {
  const options = { cwd, env: { ...process.env, ...env } };
  const host = run(t, ['serve', '--data', data, '--port', String(port), ...args], options);
  const [, listens] = await host.line(/http:\/\/127\.0\.0\.1:(\d+)/);
  return { ...host, data, port: Number(listens), api: `http://127.0.0.1:${listens}` };
}

export async function makeApp(server, body = { title: 'test' }) {
  const response = await fetch(`${server.api}/dash/apps/ephemeral`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (response.status !== 200) throw Object.assign(new Error(answer.message), { answer });
  return { id: answer.app.id, token: answer.app['admin-token'] };
}

class MemoryStore {
  map = new Map();
  async getItem(key) { return this.map.get(key) ?? null; }
  async removeItem(key) { this.map.delete(key); }
  async multiSet(pairs) { for (const [key, value] of pairs) this.map.set(key, value); }
  async getAllKeys() { return [...this.map.keys()]; }
}

class AlwaysOnline {
  static async getIsOnline() { return true; }
  static listen() { return () => {}; }
}

let devices = 0;

// One official client, independent of every other in this process; with an EventSource class it may
// fall back on server-sent events.
export function connect(t, server, app, options = {}, EventSource = undefined) {
  const db = core.init(
    {
      appId: app.id,
      apiURI: server.api,
      websocketURI: `${server.api.replace('http', 'ws')}/runtime/session`,
      devtool: false,
      __extraDedupeKey: `device-${devices++}`,
      ...options,
    },
    MemoryStore, AlwaysOnline, undefined, EventSource,
  );
  t.after(() => db.shutdown());
  return db;
}

// A live query of an official client: `until(ok)` waits for a result that fits.
export function live(t, db, query) {
  let last;
  const waiting = new Set();
  const stop = db.subscribeQuery(query, (result) => {
    last = result;
    for (const look of [...waiting]) look();
  });
  t.after(stop);
  return {
    stop,
    last: () => last,
    until(ok, what = 'a result', ms = 20000) {
      const seen = new Promise((resolve) => {
        const look = () => {
          if (!last || !ok(last)) return;
          waiting.delete(look);
          resolve(last);
        };
        waiting.add(look);
        look();
      });
      return within(ms, what, seen).catch((e) => {
        throw new Error(`${e.message}; last result: ${JSON.stringify(last)}`);
      });
    },
  };
}

// A plain socket session for what the official client would never send.
export async function rawSession(t, server) {
  const socket = new WS(`${server.api.replace('http', 'ws')}/runtime/session`);
  t.after(() => socket.terminate());
  const inbox = [];
  const waiting = [];
  socket.on('message', (bytes) => {
    const message = JSON.parse(bytes);
    const next = waiting.shift();
    next ? next(message) : inbox.push(message);
  });
  const closed = new Promise((resolve) => socket.on('close', (code) => resolve(code)));
  await within(5000, 'the socket to open', new Promise((resolve, reject) => {
    socket.on('open', resolve);
    socket.on('error', reject);
  }));
  const receive = (ms = 10000) =>
    inbox.length
      ? Promise.resolve(inbox.shift())
      : within(ms, 'a message', new Promise((resolve) => waiting.push(resolve)));
  return {
    socket,
    closed,
    receive,
    sendText: (text) => socket.send(text),
    async ask(message) {
      socket.send(JSON.stringify(message));
      return receive();
    },
  };
}

// An HTTP proxy as they are: CONNECT for TLS, whole addresses for the rest.
export async function proxy(t, seen, { noTunnel } = {}) {
  const server = http.createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    if (request.headers['proxy-authorization'] === 'Basic ' + Buffer.from('bad:bad').toString('base64')) {
      response.writeHead(407);
      response.end();
      return;
    }
    const onward = http.request(request.url, { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  server.on('connect', (request, socket) => {
    const auth = request.headers['proxy-authorization'];
    seen.push(`CONNECT ${request.url}${auth ? ` ${auth}` : ''}`);
    if (noTunnel) {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const inner = net.connect(Number(request.url.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n');
      inner.pipe(socket);
      socket.pipe(inner);
    });
    inner.on('error', () => socket.destroy());
    socket.on('error', () => inner.destroy());
  });
  const sockets = new Set();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server.address().port;
}
