// What the server does with requests that are right, unusual or hostile, row by row as
// conformance/http.md numbers them, on a plain socket: each in one write, cut at every line end, and
// byte by byte. The answer may not differ.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { makeApp, serve, within } from './harness.mjs';

const cleanups = [];
let server;
let app;
before(async () => {
  server = await serve({ after: (fn) => cleanups.push(fn) });
  app = await makeApp(server);
});
after(async () => {
  for (const fn of cleanups.reverse()) await fn();
});

const bytes = (text) => Buffer.from(text, 'latin1');

// Cuts as the three deliveries do. A long request is not sent byte by byte but in odd pieces.
const deliveries = {
  whole: (all) => [all],
  lines: (all) => {
    const parts = [];
    let from = 0;
    for (let at = 0; at < all.length && parts.length < 300; at++)
      if (all[at] === 10) {
        parts.push(all.subarray(from, at + 1));
        from = at + 1;
      }
    const rest = all.subarray(from);
    const middle = Math.floor(rest.length / 2);
    return [...parts, rest.subarray(0, middle), rest.subarray(middle)].filter((part) => part.length);
  },
  bytes: (all) => {
    const step = all.length < 700 ? 1 : Math.ceil(all.length / 97);
    return Array.from({ length: Math.ceil(all.length / step) }, (_, i) => all.subarray(i * step, (i + 1) * step));
  },
};

// The answers in what a connection received, and whether it is whole answers only. `heads`: of
// which requests the method was HEAD.
function answersIn(received, methods) {
  const answers = [];
  let rest = received;
  while (rest.length) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return { answers, rest };
    const [line, ...fields] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const headers = {};
    for (const field of fields) {
      const colon = field.indexOf(': ');
      const name = field.slice(0, colon).toLowerCase();
      assert.ok(!(name in headers), `${name} twice in ${line}`);
      headers[name] = field.slice(colon + 2);
    }
    const status = Number(line.match(/^HTTP\/1\.1 (\d\d\d) /)[1]);
    const method = methods[answers.filter((answer) => answer.status >= 200).length] ?? 'GET';
    const empty = method === 'HEAD' || status === 304 || status < 200;
    if (status !== 304 && status >= 200) assert.match(headers['content-length'], /^\d+$/, line);
    const length = empty ? 0 : Number(headers['content-length']);
    const body = rest.subarray(end + 4, end + 4 + length);
    if (body.length < length) return { answers, rest };
    rest = rest.subarray(end + 4 + length);
    answers.push({ status, headers, body: body.toString('latin1') });
  }
  return { answers, rest };
}

// Sends and waits for so many answers (or the end, when fewer come).
async function talk(pieces, count, { methods = [], end = false } = {}) {
  const socket = net.connect({ port: server.port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  let received = Buffer.alloc(0);
  let closed = false;
  let look = () => {};
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    look();
  });
  socket.on('end', () => {
    closed = true;
    look();
  });
  socket.on('error', () => {
    closed = true;
    look();
  });
  const done = new Promise((resolve) => {
    look = () => {
      const { answers, rest } = answersIn(received, methods);
      if (closed || (count !== null && answers.length >= count)) resolve({ answers, rest, closed });
    };
  });
  await new Promise((resolve) => socket.once('connect', resolve));
  for (const piece of pieces) {
    if (closed) break;
    if (!socket.write(piece)) await Promise.race([done, new Promise((resolve) => socket.once('drain', resolve))]);
    if (pieces.length > 1) await new Promise(setImmediate);
  }
  if (end) socket.end();
  const result = await within(20000, `answers; so far: ${received.toString('latin1').slice(0, 500)}`, done);
  socket.destroy();
  return result;
}

const HEALTH = 'GET /health/system HTTP/1.1\r\nHost: a\r\n\r\n';
const H = 'Host: a\r\n';

// Every row in every delivery. wanted: a status or several; 'next' must be answered, 'refused' must
// end the connection with one answer of JSON.
async function each(request, check, count, options) {
  for (const [name, cut] of Object.entries(deliveries)) {
    let result;
    try {
      result = await talk(cut(bytes(request)), count, options);
      check(result);
    } catch (e) {
      e.message = `${name}: ${JSON.stringify(request.slice(0, 300))}: ${e.message}; ${JSON.stringify(result ?? null).slice(0, 600)}`;
      throw e;
    }
  }
}

const list = (wanted) => [wanted].flat();

// Refused with one of these; a request behind it is not answered.
const refused = (request, wanted) => each(request + HEALTH, ({ answers, rest, closed }) => {
  assert.equal(answers.length, 1);
  assert.equal(rest.length, 0);
  assert.ok(closed);
  const [answer] = answers;
  assert.ok(list(wanted).includes(answer.status), `${answer.status}`);
  assert.equal(answer.headers.connection, 'close');
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.equal(typeof JSON.parse(answer.body).message, 'string');
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  assert.equal(answer.headers.server, undefined);
}, null);

// Answered with one of these, and what is behind it, too.
const answered = (request, wanted, look = () => {}) => each(request + HEALTH, ({ answers }) => {
  const finals = answers.filter((answer) => answer.status >= 200);
  assert.ok(list(wanted).includes(finals[0].status), `${finals[0].status}`);
  look(finals[0], answers);
  if (finals[0].headers.connection === 'close') return;
  assert.equal(finals.length, 2);
  assert.equal(finals[1].body, '{"wal":"ok"}');
}, expectedAnswers(request), { methods: [request.split(' ')[0]] });

// Of a request and the one behind it; null: the connection ends by itself.
function expectedAnswers(request) {
  return request.includes(' HTTP/1.0') ? null : 2;
}

const put = (headers, body = '', path = 'x') =>
  `PUT /admin/storage/upload HTTP/1.1\r\n${H}app-id: ${app.id}\r\nauthorization: Bearer ${app.token}\r\npath: ${path}\r\n${headers}\r\n${body}`;
const size = (n) => (answer) => assert.equal(JSON.parse(answer.body).data.size, n);
const post = (headers, body) =>
  `POST /admin/query HTTP/1.1\r\n${H}app-id: ${app.id}\r\nauthorization: Bearer ${app.token}\r\n${headers}\r\n${body}`;

async function stored(path) {
  const headers = { 'app-id': app.id, authorization: `Bearer ${app.token}` };
  const response = await fetch(`${server.api}/admin/storage/signed-download-url?filename=${path}`, { headers });
  return (await response.json()).data;
}

test('1-14: where a message ends', async () => {
  await answered(put('Content-Length: 5\r\n', 'hello'), 200, size(5));
  const hidden = '0\r\n\r\nGET /probe HTTP/1.1\r\nHost: a\r\n\r\n';
  await refused(put(`Content-Length: 4\r\nTransfer-Encoding: chunked\r\n`, hidden), 400);
  await refused(put(`Transfer-Encoding: chunked\r\nContent-Length: ${hidden.length}\r\n`, hidden), 400);
  for (const length of ['5\r\nContent-Length: 6', '5\r\nContent-Length: 5', '0\r\nContent-Length: 44', '5, 6', '5, 5'])
    await refused(put(`Content-Length: ${length}\r\n`, 'hello'), 400);
  for (const length of ['', '+5', '-5', '0x5', '5a', '5 5', '5;', '1e1', '\xef\xbc\x95'])
    await refused(put(`Content-Length: ${length}\r\n`, 'hello'), 400);
  await answered(put('Content-Length: 005\r\n', 'hello'), 200, size(5));
  for (const length of [2 ** 31, 2 ** 32 + 5])
    await refused(post(`Content-Length: ${length}\r\n`, ''), 413);
  for (const length of ['9223372036854775808', '18446744073709551621', '9'.repeat(40)])
    await refused(put(`Content-Length: ${length}\r\n`, 'hello'), [413, 400]);
  for (const coding of ['xchunked', 'chunked, gzip', 'gzip, chunked', 'identity', 'chunked\r\nTransfer-Encoding: chunked', '\x0bchunked'])
    await refused(put(`Transfer-Encoding: ${coding}\r\n`, hidden), [400, 501]);
  await refused(`PUT /x HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n${hidden}`, [400, 501]);
  await answered(put('Transfer-Encoding: CHUNKED\r\n', '5\r\nhello\r\n0\r\n\r\n'), 200, size(5));
  for (const field of ['Content-Length : 5', 'Content-Length\t: 5', 'Transfer-Encoding : chunked'])
    await refused(put(`${field}\r\n`, 'hello'), 400);
  await refused('GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400);
  await refused(`GET / HTTP/1.1\r\n${H}X: a\r\n b\r\n\r\n`, 400);
  await refused(`GET / HTTP/1.1\r\n ${H}\r\n`, 400);
  await refused('GET / HTTP/1.1\nHost: a\n\n', 400);
  for (const field of ['X: a\rb', 'X: a\0b', 'X: a\x01', 'X\x7f: a', 'abc', ': a', 'a b: c', 'a(: c', '\xe9: c'])
    await refused(`GET / HTTP/1.1\r\n${H}${field}\r\n\r\n`, 400);
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
    const wanted = method === 'DELETE' ? 404 : 200;
    await answered(`${method} /health/system HTTP/1.1\r\n${H}Content-Length: 5\r\n\r\nGET /`, wanted);
    await answered(`${method} /health/system HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n`, wanted);
  }
  await each(`POST /health/system HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\n{}garbage\r\n\r\n`, ({ answers, closed }) => {
    assert.deepEqual(answers.map((answer) => answer.status), [404, 400]);
    assert.ok(closed);
  }, null);
  for (const body of ['he', ''])
    await each(put('Content-Length: 5\r\n', body, 'short'), ({ answers }) => assert.equal(answers.length, 0), null, { end: true });
  assert.equal(await stored('short'), null);
});

test('15-24: request line and headers', async () => {
  for (const method of ['FOO', 'TRACE', 'CONNECT', 'get'])
    await each(`${method} /health/system HTTP/1.1\r\n${H}\r\n`, ({ answers: [answer] }) => {
      assert.ok([405, 501].includes(answer.status));
      assert.match(answer.headers.allow, /GET/);
    }, 1);
  await answered(`PATCH /health/system HTTP/1.1\r\n${H}\r\n`, [404, 405]);
  await answered('GET /health/system HTTP/1.0\r\n\r\n', 200, (answer) => assert.equal(answer.headers.connection, 'close'));
  await answered(`GET /health/system HTTP/1.2\r\n${H}\r\n`, 200);
  for (const line of ['GET / HTTP/2.0', 'GET / HTTQ/1.1', 'GET / HTTP/1', 'GET /', 'GET x HTTP/1.1', 'GET // HTTP/1.1',
    'GET  HTTP/1.1', 'GET a:80 HTTP/1.1', 'GET /#f HTTP/1.1', 'GET  / HTTP/1.1', 'GET\t/ HTTP/1.1', 'GET * HTTP/1.1'])
    await refused(`${line}\r\n${H}\r\n`, [400, 505]);
  await answered(`GET http://a/health/system HTTP/1.1\r\n${H}\r\n`, 200);
  await answered(`OPTIONS * HTTP/1.1\r\n${H}\r\n`, 200);
  for (const hosts of ['', H + H, 'Host:\r\n', 'Host: a b\r\n', 'Host: u@a\r\n', 'Host: a:b\r\n'])
    await refused(`GET / HTTP/1.1\r\n${hosts}\r\n`, 400);
  await answered(`\r\nGET /health/system HTTP/1.1\r\n${H}\r\n`, 200);
  await refused(`${'\r\n'.repeat(10)}GET / HTTP/1.1\r\n${H}\r\n`, 400);
  await answered(`GET /${'a'.repeat(8191)} HTTP/1.1\r\n${H}\r\n`, 404);
  await refused(`GET /${'a'.repeat(8192)} HTTP/1.1\r\n${H}\r\n`, 414);
  await refused(`GET /${'a'.repeat(1 << 20)} HTTP/1.1\r\n${H}\r\n`, 414);
  await answered(`GET / HTTP/1.1\r\n${H}${'X: a\r\n'.repeat(99)}\r\n`, 200);
  await refused(`GET / HTTP/1.1\r\n${H}${'X: a\r\n'.repeat(100)}\r\n`, 431);
  await refused(`GET / HTTP/1.1\r\n${H}X: ${'a'.repeat(16384)}\r\n\r\n`, 431);
  await refused(`GET / HTTP/1.1\r\n${H}X: ${'a'.repeat(1 << 20)}\r\n\r\n`, 431);
  for (const length of [4096, 8192, 12288])
    await answered(`GET / HTTP/1.1\r\n${H}Authorization: Bearer ${'a'.repeat(length)}\r\n\r\n`, 200);
  for (const name of ['Authorization', 'app-id', 'path', 'Content-Type'])
    await refused(`GET / HTTP/1.1\r\n${H}${name}: a\r\n${name}: b\r\n\r\n`, 400);
  await answered(put('Content-Length: 1\r\nX_y:\r\nZ: \r\n', 'a', 'photos/\xc3\xbc \xe9.png'), 200);
});

test('25-33: percent-encoding and paths', async () => {
  await answered(`GET /%68ealth/%73ystem HTTP/1.1\r\n${H}\r\n`, 200);
  for (const path of ['/health%2Fsystem', '/health%5Csystem', '/a/../health/system', '/a/%2e%2e/health/system', '/.%2e/',
    '/..;/', '/%2e/health/system', '/a/..', '/../../etc/passwd', '/%252e%252e%252f', '//health//system', '/./', '/health/system/', '/HEALTH/system'])
    await answered(`GET ${path} HTTP/1.1\r\n${H}\r\n`, 404);
  for (const path of ['/%00', '/%0d%0aX:y', '/%7f', '/%', '/%2', '/%zz', '/%u0041', '/%c0%ae%c0%ae/', '/%c0%af', '/%ed%a0%80', '/\xff'])
    await refused(`GET ${path} HTTP/1.1\r\n${H}\r\n`, [400, 404]);
  await answered(`GET /?${'a=1&'.repeat(1000)} HTTP/1.1\r\n${H}\r\n`, 200);
  await answered(`GET /?a=%zz&=b&&a=b=c?;d HTTP/1.1\r\n${H}\r\n`, 200);
});

test('37-45: bodies', async () => {
  const chunked = 'Transfer-Encoding: chunked\r\n';
  for (const [body, length] of [
    ['5\r\nhello\r\n0\r\n\r\n', 5],
    ['A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n', 20],
    ['005\r\nhello\r\n0\r\n\r\n', 5],
    ['5;ext=1\r\nhello\r\n0\r\nX: y\r\nContent-Length: 99\r\nAuthorization: z\r\n\r\n', 5],
    ['0\r\n\r\n', 0],
  ])
    await answered(put(chunked, body), 200, size(length));
  await answered(put(chunked, '1\r\nx\r\n'.repeat(100000) + '0\r\n\r\n'), 200, size(100000));
  for (const body of ['\r\n', 'g\r\n', '-1\r\n', '+5\r\nhello\r\n', '0x5\r\nhello\r\n', '5 \r\nhello\r\n',
    '00000000000000005\r\nhello\r\n', '5\nhello\n0\n\n', '5\r\nhelloX\r\n0\r\n\r\n', '0\r\n X: y\r\n\r\n']) {
    await refused(put(chunked, body, 'bad'), 400);
    await refused(post(chunked, body), 400);
  }
  for (const body of [`5;${'a'.repeat(1 << 20)}`, `0\r\nX: ${'a'.repeat(1 << 20)}`])
    await refused(put(chunked, body, 'bad'), [400, 431]);
  for (const body of ['5\r\nhel', '5\r\nhello\r\n0\r\n', '5\r\nhello\r\n0\r\nX: y'])
    await each(put(chunked, body, 'bad'), ({ answers }) => assert.equal(answers.length, 0), null, { end: true });
  assert.equal(await stored('bad'), null);

  const query = '{"query":{"todos":{}}}';
  const rows = (answer) => assert.deepEqual(JSON.parse(answer.body), { todos: [] });
  await answered(post(`Content-Length: ${query.length}\r\n`, query), 200, rows);
  await answered(post(chunked, `5\r\n${query.slice(0, 5)}\r\n${(query.length - 5).toString(16)}\r\n${query.slice(5)}\r\n0\r\n\r\n`), 200, rows);
  const large = await talk([bytes(post(chunked, '2000001\r\n' + ' '.repeat((32 << 20) + 1)))], null);
  assert.deepEqual(large.answers.map((answer) => answer.status), [413]);

  const expecting = put('Content-Length: 5\r\nExpect: 100-continue\r\n');
  const first = await talk([bytes(expecting)], 1);
  assert.equal(first.answers[0].status, 100);
  for (const [headers, body] of [['Content-Length: 5\r\n', 'hello'], [chunked, '5\r\nhello\r\n0\r\n\r\n']]) {
    const head = bytes(put(`${headers}Expect: 100-continue\r\n`));
    const socket = net.connect(server.port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => (text += data));
    socket.write(head);
    await within(5000, '100', new Promise((resolve) => socket.on('data', () => text.includes('100 Continue') && resolve())));
    socket.write(body);
    await within(5000, '200', new Promise((resolve) => socket.on('data', () => text.includes('HTTP/1.1 200') && resolve())));
    socket.destroy();
  }
  // Refused before anything is sent: no 100, and what comes is not a request.
  const denied = await talk([bytes(`PUT /storage/upload HTTP/1.1\r\n${H}app-id: ${app.id}\r\npath: p\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n`)], 1);
  assert.equal(denied.answers[0].status, 400);
  assert.equal(denied.answers[0].headers.connection, 'close');
  await refused(post('Content-Length: 99999999\r\nExpect: 100-continue\r\n', ''), 413);
  await refused(put('Content-Length: 5\r\nExpect: x\r\n', 'hello'), 417);
  await answered(put('Expect: 100-continue\r\n'), [200, 411]);
  await answered(put('Content-Length: 0\r\n'), 200, size(0));
  await answered(put(''), [200, 411]);
});

test('49: bodies that are no JSON, or not what was expected', async () => {
  for (const body of ['', 'null', '[]', '{} x', '\ufeff{}', '{"query":"\xff"}', '['.repeat(100000), '{"query":{},"query":7}', '"', '{"a":1e999}']) {
    const response = await fetch(`${server.api}/admin/query`, {
      method: 'POST',
      headers: { 'app-id': app.id, authorization: `Bearer ${app.token}`, 'Content-Type': 'text/plain' },
      body: bytes(body),
    });
    assert.equal(response.status, 400, body.slice(0, 40));
    assert.equal(typeof (await response.json()).message, 'string');
  }
});

test('51-57: many requests on one connection', async () => {
  const upload = put('Content-Length: 3\r\n', 'abc', 'many');
  const chunks = put('Transfer-Encoding: chunked\r\n', '3\r\nabc\r\n0\r\n\r\n', 'many');
  const hundred = Array.from({ length: 100 }, (_, i) => (i % 10 === 3 ? upload : i % 10 === 7 ? chunks : HEALTH)).join('');
  const { answers } = await talk([bytes(hundred)], 100);
  assert.equal(answers.length, 100);
  answers.forEach((answer, i) => {
    assert.equal(answer.status, 200);
    if (i % 10 === 3 || i % 10 === 7) assert.equal(JSON.parse(answer.body).data.size, 3);
    else assert.equal(answer.body, '{"wal":"ok"}');
  });
  for (const connection of ['close', 'Close', 'x, close'])
    await each(`GET / HTTP/1.1\r\n${H}Connection: ${connection}\r\n\r\n${HEALTH}`, ({ answers, closed }) => {
      assert.equal(answers.length, 1);
      assert.equal(answers[0].headers.connection, 'close');
      assert.ok(closed);
    }, null);
  await each('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n', ({ answers, closed }) => {
    assert.deepEqual(answers.map((answer) => answer.headers.connection), ['keep-alive', 'close']);
    assert.ok(closed);
  }, null);
  // The client ends its side right behind the request.
  await each(HEALTH, ({ answers }) => assert.equal(answers[0].body, '{"wal":"ok"}'), null, { end: true });
  await each(`HEAD /health/system HTTP/1.1\r\n${H}\r\n${HEALTH}`, ({ answers }) => {
    assert.equal(answers[0].headers['content-length'], '12');
    assert.equal(answers[0].body, '');
    assert.equal(answers[1].body, '{"wal":"ok"}');
  }, 2, { methods: ['HEAD'] });
});

test('73-75: other origins', async () => {
  const asked = 'app-id, app_id, path, authorization, content-type, content-disposition';
  for (const path of ['/storage/upload', '/admin/query', '/nowhere'])
    await answered(`OPTIONS ${path} HTTP/1.1\r\n${H}Origin: http://x\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: ${asked}\r\n\r\n`, 200, ({ headers }) => {
      assert.equal(headers['access-control-allow-origin'], 'http://x');
      assert.equal(headers['access-control-allow-headers'], asked);
      assert.equal(headers['access-control-allow-methods'], 'GET, PUT, POST, DELETE');
      assert.equal(headers['access-control-max-age'], '600');
      assert.equal(headers['access-control-allow-credentials'], undefined);
      assert.match(headers.vary, /origin/i);
    });
  for (const request of [`GET /x HTTP/1.1\r\n${H}`, `POST /admin/query HTTP/1.1\r\n${H}Content-Length: 0\r\n`,
    `POST /x HTTP/1.1\r\n${H}Content-Length: 99999999999\r\n`, `FOO / HTTP/1.1\r\n${H}`])
    await each(`${request}Origin: http://x\r\n\r\n`, ({ answers: [answer] }) => {
      assert.equal(answer.headers['access-control-allow-origin'], 'http://x');
      assert.equal(answer.headers['access-control-allow-credentials'], undefined);
    }, 1);
  const origin = async (value, wanted) => answered(`GET / HTTP/1.1\r\n${H}Origin: ${value}\r\n\r\n`, 200, ({ headers }) =>
    assert.equal(headers['access-control-allow-origin'], wanted));
  await origin('null', 'null');
  await origin('x'.repeat(10240), undefined);
  await origin('http://\xe9', undefined);
  await refused(`GET / HTTP/1.1\r\n${H}Origin: a\r\nOrigin: b\r\n\r\n`, 400);
  await answered(`OPTIONS /x HTTP/1.1\r\n${H}\r\n`, [200, 204, 405], ({ headers }) =>
    assert.equal(headers['access-control-allow-origin'], undefined));
});
