// instant.http: what real servers, proxies and certificates do to it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { test } from 'node:test';
import { makeCertificate, proxy, run, scratch, within } from './harness.mjs';

// Makes the requests of a list one after the other and prints what each brought, a JSON a line.
const SCRIPT = `
  local instant = require "instant"
  local core = require "instant.core"
  for _, options in ipairs(core.json_decode(arg[1])) do
    local answer, err = instant.http.request(options):await()
    local line = answer or { error = err.type, message = err.message }
    print(core.json_encode(line))
  end
`;

async function ask(t, list, env = {}) {
  const lua = run(t, ['-e', SCRIPT, JSON.stringify(list)], { env: { ...process.env, ...env } });
  let printed = '';
  lua.child.stdout.on('data', (chunk) => (printed += chunk));
  const code = await within(60000, 'the script to end', lua.ended);
  assert.equal(code, 0, lua.output());
  return printed.trim().split('\n').map((line) => JSON.parse(line));
}

async function listen(t, server) {
  const sockets = new Set();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server.address().port;
}

function echo(request, response) {
  let body = '';
  request.setEncoding('latin1');
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body }));
  });
}

const answers = {
  '/silent': () => {},
  '/half': (_, response) => response.write('half'),
  '/truncated': (_, response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write('some', () => response.destroy());
  },
  '/chunks': (_, response) => {
    response.write('some');
    setImmediate(() => response.destroy());
  },
  '/cut': (request) => request.socket.destroy(),
  '/nonsense': (request) => request.socket.end('this is no HTTP\r\n\r\n'),
  '/endless': (_, response) => {
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(65536)));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  },
  '/fields': (_, response) => {
    response.setHeader('X-Many', 'x'.repeat(7000));
    for (let n = 0; n < 12; n++) response.setHeader(`X-${n}`, 'x'.repeat(7000));
    response.end();
  },
  '/cookies': (_, response) => {
    response.setHeader('Set-Cookie', ['a=1', 'b=2']);
    response.end();
  },
  '/away': (_, response) => {
    response.writeHead(302, { Location: '/echo' });
    response.end('gone');
  },
  '/loop': (_, response) => {
    response.writeHead(302, { Location: '/loop' });
    response.end();
  },
  '/file': (_, response) => {
    response.writeHead(302, { Location: 'file:///etc/passwd' });
    response.end();
  },
  '/early': (_, response) => {
    response.writeProcessing();
    response.writeHead(204);
    response.end();
  },
  '/error': (_, response) => {
    response.writeHead(500);
    response.end('oh');
  },
};

async function server(t) {
  const handler = (request, response) => (answers[request.url] ?? echo)(request, response);
  return `http://127.0.0.1:${await listen(t, http.createServer(handler))}`;
}

test('requests as they are sent', async (t) => {
  const url = await server(t);
  const [plain, sent, empty, deleted, head, form] = await ask(t, [
    { url: `${url}/echo?a=b`, query: { c: 'ü&' } },
    { url, method: 'put', headers: { 'App-Id': 'x', Empty: '', Two: ['1', '2'], Bytes: 'ü' }, body: 'a\u0000b' },
    { url, method: 'POST' },
    { url, method: 'DELETE' },
    { url, method: 'HEAD' },
    { url, json: { a: [1, null] } },
  ]);
  const seen = (answer) => JSON.parse(answer.body);
  assert.equal(seen(plain).url, '/echo?a=b&c=%C3%BC%26');
  assert.equal(seen(plain).headers['accept-encoding'], undefined);
  assert.equal(seen(sent).method, 'PUT');
  assert.equal(seen(sent).body, 'a\u0000b');
  assert.equal(seen(sent).headers['app-id'], 'x');
  assert.equal(seen(sent).headers.empty, '');
  assert.equal(seen(sent).headers.two, '1, 2');
  assert.equal(Buffer.from(seen(sent).headers.bytes, 'latin1').toString(), 'ü');
  assert.equal(seen(sent).headers.expect, undefined);
  assert.equal(seen(sent).headers['content-type'], undefined);
  assert.equal(seen(sent).headers['content-length'], '3');
  assert.equal(seen(empty).headers['content-length'], '0');
  assert.equal(seen(deleted).method, 'DELETE');
  assert.equal(head.status, 200);
  assert.equal(head.body, '');
  assert.deepEqual(seen(form).body, '{"a":[1,null]}');
  assert.equal(seen(form).headers['content-type'], 'application/json');
});

test('answers as they come', async (t) => {
  const url = await server(t);
  const [cookies, away, followed, early, error] = await ask(t, [
    { url: `${url}/cookies` },
    { url: `${url}/away` },
    { url: `${url}/away`, redirects: 3 },
    { url: `${url}/early` },
    { url: `${url}/error` },
  ]);
  assert.equal(cookies.headers['set-cookie'], 'a=1, b=2');
  assert.equal(away.status, 302);
  assert.equal(away.headers.location, '/echo');
  assert.equal(away.body, 'gone');
  assert.equal(JSON.parse(followed.body).url, '/echo');
  assert.equal(followed.headers.location, undefined);
  assert.equal(early.status, 204);
  assert.equal(error.status, 500);
  assert.equal(error.body, 'oh');
});

test('what goes wrong is told, in time', async (t) => {
  const url = await server(t);
  const failures = [
    ['/silent', { timeout: 300 }, 'timeout'],
    ['/silent', { silence: 300, timeout: -1 }, 'timeout'],
    ['/half', { timeout: 300 }, 'timeout'],
    ['/half', { silence: 300, timeout: -1 }, 'timeout'],
    ['/truncated', {}, 'io-error'],
    ['/chunks', {}, 'io-error'],
    ['/cut', {}, 'io-error'],
    ['/nonsense', {}, 'io-error'],
    ['/endless', { maxResponse: 1000000 }, 'response-too-large'],
    ['/fields', {}, 'response-too-large'],
    ['/loop', { redirects: 3 }, 'io-error'],
    ['/file', { redirects: 3 }, 'io-error'],
  ];
  const started = Date.now();
  const seen = await ask(t, failures.map(([at, options]) => ({ url: url + at, ...options })));
  for (const [n, [at, , kind]] of failures.entries()) {
    assert.equal(seen[n].error, kind, `${at}: ${JSON.stringify(seen[n]).slice(0, 200)}`);
    assert.match(seen[n].message, /127\.0\.0\.1:\d+/);
  }
  assert.ok(Date.now() - started < 20000);
});

test('a connection that died while idle is no failure', async (t) => {
  let asked = 0;
  const plain = http.createServer((request, response) => {
    asked++;
    echo(request, response);
    // Ends behind the answer, without having said so.
    response.on('finish', () => setTimeout(() => request.socket.destroy(), 20));
  });
  const url = `http://127.0.0.1:${await listen(t, plain)}`;
  const script = `
    local instant = require "instant"
    for n = 1, 3 do
      local answer, err = instant.http.request { url = arg[1], method = "PUT", body = ("x"):rep(100000) } :await()
      print(answer and answer.status or tostring(err))
      instant.sleep(100)
    end
  `;
  const lua = run(t, ['-e', script, url]);
  assert.equal(await within(20000, 'its end', lua.ended), 0);
  assert.equal(lua.output().trim(), '200\n200\n200');
  assert.equal(asked, 3);
});

test('certificates', async (t) => {
  const dir = scratch(t);
  const other = scratch(t);
  makeCertificate(dir, 'localhost');
  makeCertificate(other, 'localhost');
  const options = { key: readFileSync(path.join(dir, 'key.pem')), cert: readFileSync(path.join(dir, 'cert.pem')) };
  const port = await listen(t, https.createServer(options, echo));
  const [trusted, unknown, foreign, name, plain, missing] = await ask(t, [
    { url: `https://localhost:${port}/`, caFile: path.join(dir, 'ca.pem') },
    { url: `https://localhost:${port}/` },
    { url: `https://localhost:${port}/`, caFile: path.join(other, 'ca.pem') },
    { url: `https://127.0.0.1:${port}/`, caFile: path.join(dir, 'ca.pem') },
    { url: `http://localhost:${port}/` },
    { url: `https://localhost:${port}/`, caFile: '/nowhere' },
  ]);
  assert.equal(trusted.status, 200);
  for (const refused of [unknown, foreign, name, plain, missing]) assert.equal(refused.error, 'io-error');
  assert.match(unknown.message, /certificate/);
});

test('a proxy from the environment', async (t) => {
  const dir = scratch(t);
  makeCertificate(dir, 'localhost');
  const options = { key: readFileSync(path.join(dir, 'key.pem')), cert: readFileSync(path.join(dir, 'cert.pem')) };
  const tlsPort = await listen(t, https.createServer(options, echo));
  const url = await server(t);
  const seen = [];
  const port = await proxy(t, seen);
  const env = { http_proxy: `http://127.0.0.1:${port}`, https_proxy: `http://127.0.0.1:${port}`, no_proxy: '' };
  const secure = { url: `https://localhost:${tlsPort}/x`, caFile: path.join(dir, 'ca.pem') };
  const [plain, tunnel] = await ask(t, [{ url: `${url}/echo`, body: 'b' }, secure], env);
  assert.equal(JSON.parse(plain.body).body, 'b');
  assert.equal(tunnel.status, 200);
  assert.equal(tunnel.headers['x-proxy'], undefined);
  assert.deepEqual(seen, [`POST ${url}/echo`, `CONNECT localhost:${tlsPort}`]);
  seen.length = 0;
  const [direct] = await ask(t, [secure], { ...env, no_proxy: 'localhost' });
  assert.equal(direct.status, 200);
  assert.deepEqual(seen, []);
  const [refused] = await ask(t, [secure], { ...env, https_proxy: 'http://127.0.0.1:1' });
  assert.equal(refused.error, 'io-error');
  const [denied] = await ask(t, [{ url: `${url}/echo` }], { ...env, http_proxy: `http://bad:bad@127.0.0.1:${port}` });
  assert.equal(denied.status, 407);
});

test('Ctrl-C and the end of a program with requests under way', async (t) => {
  const url = await server(t);
  const script = `
    local instant = require "instant"
    for n = 1, 5 do
      instant.http.request { url = arg[1] .. "/half", onData = function() print "data" io.stdout:flush() end }
        :catch(function(err) print(err.type) end)
    end
    if arg[2] == "exit" then instant.after(50, function() os.exit(0, true) end) end
  `;
  const lua = run(t, ['-e', script, url]);
  await lua.line(/data/);
  lua.child.kill('SIGTERM');
  assert.equal(await within(10000, 'its end', lua.ended), 0);
  assert.equal(lua.output().match(/shutdown/g).length, 5, lua.output());
  const gone = run(t, ['-e', script, url, 'exit']);
  assert.equal(await within(10000, 'its end', gone.ended), 0, gone.output());
});
