// The session's WebSocket against a raw client, row by row as conformance/websocket.md numbers them: in
// one write, a write a frame, byte by byte. The application answers each message with exactly one, so an
// answer stands where the table says echo.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { serve, within } from './harness.mjs';

const cleanups = [];
let server;
before(async () => {
  server = await serve({ after: (fn) => cleanups.push(fn) });
});
after(async () => {
  assert.equal(server.output().match(/ERROR: AddressSanitizer[^]*/)?.[0], undefined);
  for (const fn of cleanups.reverse()) await fn();
});

const HEAD = (more = '') => 'GET /runtime/session HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
  + `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${more}\r\n`;
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

// form: bytes of the length, 0 for the shortest; length: another than the payload's.
function frame(opcode, payload = '', { fin = true, rsv = 0, mask = [1, 2, 3, 4], form = 0, length } = {}) {
  const body = Buffer.from(payload);
  const size = BigInt(length ?? body.length);
  const bits = form || (size < 126n ? 1 : size < 65536n ? 2 : 8);
  const head = [(fin ? 128 : 0) | (rsv << 4) | opcode, (mask ? 128 : 0) | (bits === 1 ? Number(size) : bits === 2 ? 126 : 127)];
  for (let n = bits - 1; bits > 1 && n >= 0; n--) head.push(Number((size >> BigInt(8 * n)) & 255n));
  if (!mask) return Buffer.concat([Buffer.from(head), body]);
  return Buffer.concat([Buffer.from([...head, ...mask]), body.map((byte, i) => byte ^ mask[i % 4])]);
}

const text = (payload, options) => frame(1, payload, options);
const start = (payload) => frame(1, payload, { fin: false });
const more = (payload) => frame(0, payload, { fin: false });
const last = (payload) => frame(0, payload);
const ping = (payload, options) => frame(9, payload, options);
const close = (code, reason = '') => frame(8, Buffer.concat([Buffer.from(code === undefined ? [] : [code >> 8, code & 255]), Buffer.from(reason)]));
const hex = (digits) => Buffer.from(digits, 'hex');
const message = (n, pad = '') => JSON.stringify({ op: 'echo', 'client-event-id': n, pad });

// What the server sent: {pong}, {answer}, {close}, in order.
function parse(bytes) {
  const found = [];
  let at = 0;
  while (bytes.length - at >= 2) {
    const opcode = bytes[at] & 15;
    assert.equal(bytes[at] & 0x70, 0, 'reserved bits');
    assert.equal(bytes[at + 1] & 128, 0, 'masked');
    let length = bytes[at + 1] & 127;
    let head = 2;
    if (length === 126) { length = bytes.readUInt16BE(at + 2); head = 4; }
    else if (length === 127) { length = Number(bytes.readBigUInt64BE(at + 2)); head = 10; }
    if (bytes.length - at < head + length) break;
    const payload = bytes.subarray(at + head, at + head + length);
    assert.ok(!found.some((one) => 'close' in one), 'nothing behind a close frame');
    if (opcode === 10) found.push({ pong: payload.toString('hex') });
    else if (opcode === 8) found.push({ close: length ? payload.readUInt16BE(0) : 1005 });
    else if (opcode === 1) found.push({ answer: JSON.parse(payload.toString()) });
    else assert.equal(opcode, 9, 'a ping');
    at += head + length;
  }
  return found;
}

const END = 'the end';

const DELIVERIES = {
  whole: (frames) => [Buffer.concat(frames)],
  frames: (frames) => frames,
  bytes: (frames) => {
    const all = Buffer.concat(frames);
    const step = all.length > 400 ? Math.ceil(all.length / 101) : 1;
    return Array.from({ length: Math.ceil(all.length / step) }, (_, i) => all.subarray(i * step, (i + 1) * step));
  },
};

// Plays frames on a connection of their own; done(found) says when enough has come. Ends as the table
// says: with our close and a clean end of TCP, or with the server's.
async function play(pieces, { glued = false, end = false } = {}) {
  const socket = net.connect({ port: server.port, host: '127.0.0.1', noDelay: true });
  let received = Buffer.alloc(0);
  let opened = false;
  let closed = false;
  let look = () => {};
  socket.on('data', (data) => { received = Buffer.concat([received, data]); look(); });
  socket.on('end', () => { closed = true; look(); });
  socket.on('error', () => { closed = true; look(); });
  socket.on('close', () => { closed = true; look(); });
  const until = (what, ok) => within(8000, what, new Promise((resolve) => {
    look = () => { if (ok()) resolve(); };
    look();
  }));
  const body = () => {
    const stop = received.indexOf('\r\n\r\n');
    opened = stop >= 0 && received.subarray(0, 12).toString() === 'HTTP/1.1 101';
    return opened ? parse(received.subarray(stop + 4)) : [];
  };
  socket.write(glued ? Buffer.concat([Buffer.from(HEAD()), ...pieces]) : HEAD());
  if (!glued) {
    await until('the 101', () => received.includes('\r\n\r\n') || closed);
    for (const piece of pieces) {
      if (closed) break;
      socket.write(piece);
      if (pieces.length > 1) await new Promise(setImmediate);
    }
  }
  if (end) socket.end();
  // What was sent before this is answered before it. (A ping would not do: libwebsockets drops one while
  // an earlier pong waits.)
  else if (!closed) socket.write(text(message(END)));
  const isEnd = (one) => one.answer?.['client-event-id'] === END;
  await until('an end', () => closed || body().some((one) => isEnd(one) || 'close' in one));
  let found = body().filter((one) => !isEnd(one));
  const failed = found.find((one) => 'close' in one);
  if (!closed) {
    // Ours may be taken for the rest of a frame that failed: then the end of TCP says it.
    if (failed) socket.end(close(failed.close));
    else socket.write(close(1000));
    await until('the end of TCP', () => closed);
    if (!failed) {
      found = body().filter((one) => !isEnd(one));
      assert.deepEqual(found.pop(), { close: 1000 });
    }
  }
  socket.destroy();
  return { found, failed: failed?.close ?? (closed && !body().some((one) => 'close' in one) ? 'ended' : undefined) };
}

async function each(frames, check, options) {
  for (const [name, cut] of Object.entries(DELIVERIES)) {
    let result;
    try {
      result = await play(cut(frames), options);
      check(result);
    } catch (e) {
      e.message = `${name}: ${frames.map((f) => f.subarray(0, 40).toString('hex')).join(' ').slice(0, 300)}: ${e.message}; ${JSON.stringify(result ?? null).slice(0, 400)}`;
      throw e;
    }
  }
}

const answers = (found) => found.filter((one) => 'answer' in one).map((one) => one.answer);
const pongs = (found) => found.filter((one) => 'pong' in one).map((one) => Buffer.from(one.pong, 'hex').toString('latin1'));

// So many answers, these pongs, and the connection goes on.
const echoed = (frames, count = 1, wanted = []) => each(frames, ({ found, failed }) => {
  assert.equal(failed, undefined);
  assert.equal(answers(found).length, count);
  assert.deepEqual(pongs(found), wanted);
});

// Ends with this code, if one is said at all, after at most so many answers; never a pong.
const fails = (frames, code, most = 0) => each(frames, ({ found, failed }) => {
  assert.ok(failed !== undefined, 'goes on');
  assert.ok([code, 'ended'].flat().includes(failed), `${failed}`);
  assert.ok(answers(found).length <= most, 'a message got through');
  assert.deepEqual(pongs(found), []);
});

test('1.1: the handshake', async () => {
  const ask = (request, wait = /\r\n\r\n/) => within(5000, 'an answer', new Promise((resolve) => {
    const socket = net.connect(server.port, '127.0.0.1', () => socket.write(request));
    let all = '';
    socket.on('data', (data) => {
      all += data.toString('latin1');
      if (wait.test(all)) { socket.destroy(); resolve(all); }
    });
    socket.on('end', () => resolve(all));
    socket.on('error', () => resolve(all));
  }));
  const opens = async (request) => {
    const answer = await ask(request);
    assert.match(answer, /^HTTP\/1\.1 101 /, request);
    assert.ok(answer.includes(ACCEPT));
    assert.doesNotMatch(answer, /content-length|transfer-encoding|sec-websocket-(extensions|protocol)/i);
  };
  const refuses = async (request, statuses) => {
    const answer = await ask(request, /\r\n\r\n[^]*\}/);
    assert.ok(statuses.includes(Number(answer.slice(9, 12))), `${answer.slice(0, 60)} for ${request}`);
    assert.match(answer, /content-length/i);
  };
  const whole = HEAD();
  await opens(whole);
  await opens(whole.replace('Upgrade: websocket', 'uPGRADE: WebSocket').replace('Connection: Upgrade', 'CONNECTION:upgrade'));
  await opens(whole.replace('Connection: Upgrade', 'Connection: keep-alive, Upgrade'));
  await opens(whole.replace('Connection: Upgrade', 'Connection: keep-alive\r\nConnection: Upgrade'));
  await opens(HEAD('Cookie: a=b\r\n' + Array.from({ length: 40 }, (_, n) => `X-${n}: y\r\n`).join('')));
  await opens(whole.replace('/runtime/session', '/runtime/session?app_id=x%20y'));
  await opens(whole.replace('/runtime/session', 'http://host/runtime/session'));
  await opens(whole.replace('Version: 13', 'Version:   13'));
  for (const extra of ['Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x; y="z"\r\n', 'Sec-WebSocket-Extensions: ;;a=\r\n', 'Origin: null\r\n', 'Origin: http://x\r\n'])
    await opens(HEAD(extra));
  await refuses(whole.replace('Host: a\r\n', ''), [400]);
  await refuses(whole.replace('Host: a\r\n', 'Host: a\r\nHost: a\r\n'), [400]);
  await refuses(whole.replace('HTTP/1.1', 'HTTP/1.0'), [400, 426]);
  for (const method of ['POST', 'PUT', 'HEAD']) await refuses(whole.replace('GET', method), [400, 405]).catch((e) => { if (method !== 'HEAD') throw e; });
  for (const upgrade of ['', 'Upgrade: h2c\r\n', 'Upgrade: websocketx\r\n']) await refuses(whole.replace('Upgrade: websocket\r\n', upgrade), [400, 426]);
  for (const connection of ['', 'Connection: close\r\n', 'Connection: keep-alive\r\n', 'Connection: up\r\n']) await refuses(whole.replace('Connection: Upgrade\r\n', connection), [400, 426]);
  for (const key of ['', 'Sec-WebSocket-Key: \r\n', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEy\r\n', 'Sec-WebSocket-Key: !GhlIHNhbXBsZSBub25jZQ==\r\n'])
    await refuses(whole.replace('Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n', key), [400]);
  for (const [version, status] of [['', 400], ['12', 426], ['14', 426], ['0', 426], ['13, 12', 426], ['abc', 400]]) {
    const answer = await ask(whole.replace('Sec-WebSocket-Version: 13\r\n', version && `Sec-WebSocket-Version: ${version}\r\n`), /\}$/);
    assert.equal(Number(answer.slice(9, 12)), status, version);
    if (status === 426) assert.match(answer, /Sec-WebSocket-Version: 13\r\n/);
  }
  await refuses(HEAD('Content-Length: 5\r\n') + 'hello', [400]);
  await refuses(HEAD('Transfer-Encoding: chunked\r\n') + '0\r\n\r\n', [400]);
  const both = await ask('GET /health HTTP/1.1\r\nHost: a\r\n\r\n' + whole, /101 /);
  assert.match(both, /^HTTP\/1\.1 200 [^]*"ok"\}HTTP\/1\.1 101 /);
  const glued = await play([text(message(1))], { glued: true });
  assert.equal(answers(glued.found).length, 1);
});

test('2: frames of every length', async () => {
  for (const length of [0, 1, 125, 126, 127, 128, 65534, 65535, 65536, 65537]) {
    await echoed([text('x'.repeat(length))]);
    await echoed([frame(2, Buffer.alloc(length, 0xfe))]);
  }
  const large = message('large', 'x'.repeat(65536 - 60));
  await each([text(large)], ({ found }) => assert.equal(answers(found)[0]['client-event-id'], 'large'));
  const many = Array.from({ length: 1000 }, (_, n) => text(message(n)));
  const { found } = await play([Buffer.concat(many)]);
  assert.deepEqual(answers(found).map((one) => one['client-event-id']), Array.from({ length: 1000 }, (_, n) => n));
  for (const length of [2n ** 63n - 1n, 2n ** 62n, 2n ** 32n, 2n ** 32n + 5n])
    await each([text('', { form: 8, length })], ({ failed, found }) => {
      // On the header or with the first byte behind it, which the ping is.
      assert.ok([1009, 'ended'].includes(failed), `${failed}`);
      assert.deepEqual(found.filter((one) => !('close' in one)), []);
    });
  await fails([text('', { form: 8, length: 2n ** 63n })], [1002, 1009]);
  for (const cut of [1, 3, 5, 8]) {
    const result = await play([Buffer.concat([text(message(1)), text(message(2)).subarray(0, cut)])], { end: true });
    assert.equal(answers(result.found).length, 1);
  }
});

test('3: pings and pongs', async () => {
  for (const payload of ['', 'Hello, world!', hex('00FFFEFDFCFB00FF'), 'x'.repeat(125)])
    await echoed([ping(payload)], 0, [Buffer.from(payload).toString('latin1')]);
  await fails([ping('x'.repeat(126))], 1002);
  await fails([ping('x', { form: 8, length: 65536n })], 1002);
  for (const payload of ['', 'x', 'x'.repeat(125)]) await echoed([frame(10, payload)], 0);
  await fails([frame(10, 'x'.repeat(126))], 1002);
  await echoed([frame(10, 'q'), ping('p')], 0, ['p']);
  const payloads = Array.from({ length: 10 }, (_, n) => `p${n}`);
  await each(payloads.map((p) => ping(p)), ({ found, failed }) => {
    assert.equal(failed, undefined);
    const seen = pongs(found);
    assert.deepEqual(seen, payloads.filter((p) => seen.includes(p)));
  });
});

test('4: reserved bits and opcodes', async () => {
  const t = text(message(1));
  await fails([text('x', { rsv: 1 })], 1002);
  for (const rsv of [2, 3, 4]) await fails([t, text('x', { rsv }), ping('p')], 1002, 1);
  for (const opcode of [2, 9, 10, 8]) for (const rsv of [1, 6, 7]) await fails([frame(opcode, '', { rsv })], 1002);
  for (const rsv of [1, 2, 4]) await fails([start('a'), frame(0, 'b', { rsv })], 1002);
  for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
    await fails([frame(opcode, '')], 1002);
    await fails([t, frame(opcode, 'x'), ping('p')], 1002, 1);
    await fails([start('a'), frame(opcode, ''), last('b')], 1002);
    await fails([frame(opcode, '', { fin: false })], 1002);
  }
});

test('5: fragments', async () => {
  await fails([ping('a', { fin: false }), last('b')], 1002);
  await fails([frame(10, 'a', { fin: false }), last('b')], 1002);
  await fails([frame(8, '', { fin: false })], 1002);
  const json = message('joined');
  const [a, b, c] = [json.slice(0, 9), json.slice(9, 20), json.slice(20)];
  const joined = (frames, wanted) => each(frames, ({ found, failed }) => {
    assert.equal(failed, undefined);
    assert.deepEqual(answers(found).map((one) => one['client-event-id']), ['joined']);
    assert.deepEqual(pongs(found), wanted);
  });
  await joined([start(a), last(b + c)], []);
  await joined([start(a), ping('p'), last(b + c)], ['p']);
  await joined([start(a), more(b), frame(10, ''), more(''), ping('y'), last(c)], ['y']);
  await joined([start(''), more(json), last('')], []);
  await joined([...json].map((char, i) => (i === 0 ? start(char) : i === json.length - 1 ? last(char) : more(char))), []);
  await joined([start(a), ...Array.from({ length: 2000 }, () => more('')), last(b + c)], []);
  await echoed([frame(2, 'a', { fin: false }), more('b'), last('c')]);
  await echoed([start(''), more(''), last('')]);
  await fails([last('a'), text(message(1))], 1002);
  await fails([more('a'), text(message(1))], 1002);
  await fails([start('a'), last('b'), more('c'), text('d')], 1002, 1);
  await fails([start('a'), text('b')], 1002);
  await fails([start('a'), frame(2, 'b')], 1002);
  const ended = await play([start(json)], { end: true });
  assert.equal(answers(ended.found).length, 0);
});

test('6: texts are UTF-8, checked as they come', async () => {
  const good = ['61247A', '61C2A27A', '61E282AC7A', '61F0A4ADA27A', 'CEBACF8CCF83CEBCCEB5', 'CEBAE1BDB9CF83CEBCCEB5', '00', 'C280', 'E0A080',
    'F0908080', '7F', 'DFBF', 'EFBFBF', 'F48FBFBF', 'ED9FBF', 'EE8080', 'EFBFBD', 'EFBFBE', 'EFB790', 'EFB7AF', 'F09FBFBE', 'F3BFBFBF', 'EFBFB9', 'EFBBBF', '61EFBBBF'];
  const bad = [['F888808080', 1], ['FBBFBFBFBF', 1], ['FC8480808080', 1], ['F7BFBFBF', 1], ['F4908080', 2], ['F5808080', 1], ['80', 1], ['BF', 1], ['80BF80BF', 1],
    ['C020', 1], ['E020', 2], ['F020', 2], ['E080', 2], ['F08080', 2], ['EDA0', 2], ['C2C280', 2], ['E0A0E0A080', 3], ['FE', 1], ['FF', 1], ['C1', 1], ['C0AF', 1],
    ['E080AF', 2], ['F08080AF', 2], ['E09FBF', 2], ['F08FBFBF', 2], ['C080', 1], ['EDA080', 2], ['EDBFBF', 2], ['EDA080EDB080', 2], ['CEBAE1BDB9CF83CEBCCEB5EDA080656469746564', 13]];
  const cut = ['CE', 'CEBAE1', 'CEBAE1BD', 'DF', 'EFBF', 'C2', 'E0A0', 'F09080', 'F48FBF'];
  for (const digits of good) {
    await echoed([text(hex(digits))]);
    const parts = [...hex(digits)].map((byte) => Buffer.from([byte]));
    await echoed([start(''), ...parts.map((part) => more(part)), last('')]);
  }
  for (const [digits, at] of bad) {
    await fails([text(hex(digits))], 1007);
    // Up to the first byte that is wrong, in a frame that is not complete.
    const part = hex(digits).subarray(0, at);
    await fails([text(part, { length: part.length + 64 })], 1007);
    await fails([start(part)], 1007);
    await echoed([frame(2, hex(digits))]);
    await echoed([ping(hex(digits))], 0, [hex(digits).toString('latin1')]);
  }
  for (const digits of cut) {
    await fails([text(hex(digits))], 1007);
    await fails([start(hex(digits)), last('')], 1007);
  }
  await echoed([start(hex('CE')), ping('p'), last(hex('BA'))], 1, ['p']);
});

test('7: closing', async () => {
  const closes = (frames, wanted, most = 0) => each(frames, ({ found, failed }) => {
    assert.ok([wanted, 1000].flat().includes(failed), `${failed}`);
    assert.ok(answers(found).length <= most);
    assert.deepEqual(pongs(found), []);
  });
  await closes([text(message(1)), close(1000)], 1000, 1);
  await closes([close(1000), close(1001)], 1000);
  await closes([close(1000), ping('p')], 1000);
  await closes([close(1000), text(message(1))], 1000);
  await closes([start('a'), close(1000), last('b')], 1000);
  await closes([close()], [1000, 1005]);
  await closes([close(1000, 'Hello World!')], 1000);
  await closes([close(1000, 'x'.repeat(123))], 1000);
  await closes([close(1000, 'a\0"<b>\r\n')], 1000);
  for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]) await closes([close(code)], code);
  for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999]) await fails([close(code)], 1002);
  for (const code of [1012, 1013, 1014, 5000, 65535]) await each([close(code)], ({ failed }) => assert.ok([code, 1000, 1002, 'ended'].includes(failed)));
  await fails([frame(8, 'x')], 1002);
  await fails([close(1000, 'x'.repeat(124))], 1002);
  await fails([close(1000, hex('CE'))], [1007, 1002]);
  await fails([close(1000, hex('EDA080656469746564'))], [1007, 1002]);
});

test('8: masks', async () => {
  for (const mask of [[0, 0, 0, 0], [255, 255, 255, 255], [1, 2, 3, 4]]) await echoed([text(message(1), { mask })]);
  await echoed([text('', { mask: [9, 9, 9, 9] })]);
  for (let length = 4093; length < 4100; length++) await echoed([text('x'.repeat(length), { mask: [length & 255, 7, 9, 11] })]);
});
