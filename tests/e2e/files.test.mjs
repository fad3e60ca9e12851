// Files: the official SDKs against the backend, and Lua on the same files.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import * as admin from '@instantdb/admin';
import { connect, freePort, id, live, lookup, makeApp, run, scratch, serve, within } from './harness.mjs';

function adminOf(server, app) {
  return admin.init({ appId: app.id, adminToken: app.token, apiURI: server.api });
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

// Runs Lua with `admin`, `dir` and `core` there; what it prints, when it ended well.
async function lua(t, server, app, dir, script) {
  const file = path.join(dir, `${id()}.lua`);
  writeFileSync(file, `
    local instant = require "instant"
    local admin = instant.admin.init { appId = "${app.id}", adminToken = "${app.token}", apiURI = "${server.api}" }
    local dir = "${dir}"
    local function must(value, err)
      if err then error(err, 2) end
      return value
    end
    ${script}`);
  // A build with the sanitizers keeps freed memory for a while: little, where memory is looked at.
  const env = { ...process.env, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=1` };
  const running = run(t, [file], { env });
  const ended = await within(60000, 'the script to end', running.ended);
  assert.equal(ended, 0, running.output());
  return running.output();
}

async function urlOf(db, filePath) {
  const { $files } = await db.query({ $files: { $: { where: { path: filePath } } } });
  assert.equal($files.length, 1);
  return $files[0].url;
}

test('what JavaScript uploads Lua downloads, and the other way round', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const dir = scratch(t);
  const db = adminOf(server, app);
  const bytes = randomBytes(777777);
  writeFileSync(path.join(dir, 'js.bin'), bytes);

  const uploaded = await db.storage.uploadFile('from/js é.bin', bytes, {
    contentType: 'application/x-test',
    contentDisposition: 'attachment; filename="x.bin"',
  });
  assert.match(uploaded.data.id, /^[0-9a-f-]{36}$/);
  await db.storage.uploadFile('from/stream.bin', createReadStream(path.join(dir, 'js.bin')), { fileSize: 777777 });

  await lua(t, server, app, dir, `
    for name, path in pairs { a = "from/js é.bin", b = "from/stream.bin" } do
      must(admin.storage:download(path, { to = dir .. "/" .. name }):await())
    end
    must(admin.storage:uploadFile("from/lua ü.bin", { file = dir .. "/js.bin" }, { contentType = "image/png" }):await())
    must(admin.storage:uploadFile("from/€.bin", "euro"):await())`);
  assert.equal(sha256(readFileSync(path.join(dir, 'a'))), sha256(bytes));
  assert.equal(sha256(readFileSync(path.join(dir, 'b'))), sha256(bytes));

  const answer = await fetch(await urlOf(db, 'from/lua ü.bin'));
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'image/png');
  assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), sha256(bytes));
  assert.equal(await (await fetch(await urlOf(db, 'from/€.bin'))).text(), 'euro');
  const first = await fetch(await urlOf(db, 'from/js é.bin'), { headers: { Range: 'bytes=-10' } });
  assert.equal(first.status, 206);
  assert.equal(first.headers.get('content-disposition'), 'attachment; filename="x.bin"');
  assert.deepEqual(Buffer.from(await first.arrayBuffer()), bytes.subarray(-10));

  // The same bytes are kept once.
  const kept = readdirSync(path.join(server.data, 'files', app.id, 'content'), { recursive: true, withFileTypes: true });
  assert.equal(kept.filter((entry) => entry.isFile()).length, 2);
});

test('the admin SDK does all it can with files', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  assert.equal(await db.storage.upload('old.txt', Buffer.from('old way'), { contentType: 'text/plain' }), true);
  assert.equal(await (await fetch(await db.storage.getDownloadUrl('old.txt'))).text(), 'old way');
  assert.equal(await db.storage.getDownloadUrl('none'), null);
  const { data } = await db.storage.uploadFile('a b.txt', Buffer.from('hello'));
  const list = await db.storage.list();
  assert.deepEqual(list.map((file) => [file.name, file.size]), [['a b.txt', 5], ['old.txt', 7]]);
  assert.deepEqual(await db.storage.delete('a b.txt'), { data: { id: data.id } });
  assert.deepEqual(await db.storage.delete('a b.txt'), { data: { id: null } });
  assert.equal((await db.storage.deleteMany(['old.txt', 'none'])).data.ids.length, 1);
  assert.deepEqual(await db.query({ $files: {} }), { $files: [] });
  await assert.rejects(db.asUser({ guest: true }).storage.uploadFile('x', Buffer.from('x')), {
    message: 'Permission denied: not has-storage-permission?',
  });
  await assert.rejects(admin.init({ appId: app.id, adminToken: id(), apiURI: server.api }).storage.list());

  // Columns of the system stay closed, and paths, links and attributes are open.
  const file = (await db.storage.uploadFile('b', Buffer.from('b'))).data.id;
  await assert.rejects(db.transact(db.tx.$files[file].update({ size: 1 })), /\$files\.size is a system column/);
  await db.transact(db.tx.$files[lookup('path', 'b')].update({ path: 'c' }));
  assert.equal(await (await fetch(await urlOf(db, 'c'))).text(), 'b');
  const url = await urlOf(db, 'c');
  await db.transact(db.tx.$files[file].delete());
  assert.equal((await fetch(url)).status, 404);
});

test('the client of a browser is told no without rules, and sees nothing', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app);
  const denied = { message: 'Permission denied: not has-storage-permission?' };
  await adminOf(server, app).storage.uploadFile('there.txt', Buffer.from('x'));
  await assert.rejects(db.storage.uploadFile('a.txt', new Blob(['hello'], { type: 'text/plain' })), denied);
  await assert.rejects(db.storage.upload('a.txt', new Blob(['hello'])), denied);
  await assert.rejects(db.storage.getDownloadUrl('there.txt'), denied);
  await assert.rejects(db.storage.delete('there.txt'), denied);
  const watch = live(t, db, { $files: {} });
  assert.deepEqual((await watch.until((r) => r.data)).data.$files, []);
});

test('users of both clients do with files what the rules allow', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server, {
    title: 'rules',
    rules: {
      code: {
        $files: {
          allow: {
            view: 'auth.id != null',
            create: "auth.id != null && data.path.startsWith('open/')",
            delete: "data.path.endsWith('.tmp')",
          },
        },
      },
    },
  });
  const denied = { message: 'Permission denied: not has-storage-permission?' };
  const dir = scratch(t);
  const db = connect(t, server, app);
  await assert.rejects(db.storage.uploadFile('open/a.txt', new Blob(['too early'])), denied);
  await db.auth.signInAsGuest();
  const bytes = randomBytes(300000);
  const uploaded = await db.storage.uploadFile('open/js.bin', new Blob([bytes], { type: 'application/x-js' }));
  assert.match(uploaded.data.id, /^[0-9a-f-]{36}$/);
  await assert.rejects(db.storage.uploadFile('closed/a.txt', new Blob(['x'])), denied);
  await assert.rejects(db.storage.delete('open/js.bin'), denied);

  await lua(t, server, app, dir, `
    local db = instant.init { appId = "${app.id}", apiURI = "${server.api}", vault = "memory" }
    local _, err = db.storage:download("open/js.bin"):await()
    assert(err and err.type == "permission-denied", tostring(err))
    must(db.auth:signInAsGuest():await())
    must(db.storage:download("open/js.bin", { to = dir .. "/js.bin" }):await())
    must(db.storage:uploadFile("open/lua.tmp", { file = dir .. "/js.bin" }):await())
    _, err = db.storage:uploadFile("closed/lua", "x"):await()
    assert(err and err.type == "permission-denied", tostring(err))
    local rows = must(db:queryOnce({ ["$files"] = {} }):await()).data["$files"]
    assert(#rows == 2 and rows[1].url, #rows)
    db:shutdown()`);
  assert.equal(sha256(readFileSync(path.join(dir, 'js.bin'))), sha256(bytes));

  const watch = live(t, db, { $files: {} });
  const rows = (await watch.until((r) => r.data?.$files.length === 2)).data.$files;
  const { url } = rows.find((row) => row.path === 'open/lua.tmp');
  assert.equal(sha256(Buffer.from(await (await fetch(url)).arrayBuffer())), sha256(bytes));
  assert.equal(await db.storage.getDownloadUrl('open/lua.tmp'), url);
  assert.equal(await db.storage.upload('open/old.txt', new Blob(['old way'])), true);
  await db.storage.delete('open/lua.tmp');
  await watch.until((r) => r.data?.$files.every((row) => row.path !== 'open/lua.tmp'));
  assert.equal((await fetch(url)).status, 404);
});

test('a live query has the address of what is there now', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  const watch = live(t, connect(t, server, app, { __adminToken: app.token }), { $files: {} });
  await watch.until((r) => r.data);
  await db.storage.uploadFile('a', Buffer.from('one'));
  const [first] = (await watch.until((r) => r.data?.$files.length === 1)).data.$files;
  assert.equal(await (await fetch(first.url)).text(), 'one');
  await db.storage.uploadFile('a', Buffer.from('two'));
  const [second] = (await watch.until((r) => r.data?.$files[0]?.url !== first.url)).data.$files;
  assert.equal(second.id, first.id);
  assert.equal(await (await fetch(second.url)).text(), 'two');
});

// The most memory that a process has had, and its memory now, in KiB.
function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(status.match(/VmHWM:\s+(\d+)/)[1]);
}

test('a hundred megabytes pass through in little memory', async (t) => {
  const size = 100 << 20;
  const server = await serve(t);
  const app = await makeApp(server);
  const dir = scratch(t);
  const db = adminOf(server, app);
  const file = path.join(dir, 'large');
  const handle = await open(file, 'w');
  const whole = createHash('sha256');
  for (let i = 0; i < 100; i++) {
    const piece = Buffer.alloc(1 << 20, i);
    whole.update(piece);
    await handle.write(piece);
  }
  await handle.close();
  const digest = whole.digest('hex');
  await db.storage.uploadFile('small', Buffer.from('warm'));
  await (await fetch(await urlOf(db, 'small'))).text();
  const before = memory(server.child.pid);

  await db.storage.uploadFile('large', createReadStream(file), { fileSize: size });
  const got = createHash('sha256');
  for await (const piece of (await fetch(await urlOf(db, 'large'))).body) got.update(piece);
  assert.equal(got.digest('hex'), digest);
  const output = await lua(t, server, app, dir, `
    local function most()
      for line in io.lines "/proc/self/status" do
        local kib = line:match "^VmHWM:%s+(%d+)"
        if kib then return tonumber(kib) end
      end
    end
    must(admin.storage:uploadFile("warm", "x"):await())
    local before = most()
    must(admin.storage:uploadFile("lua", { file = dir .. "/large" }):await())
    must(admin.storage:download("lua", { to = dir .. "/copy" }):await())
    print("grew " .. most() - before)`);
  const copied = createHash('sha256');
  for await (const piece of createReadStream(path.join(dir, 'copy'))) copied.update(piece);
  assert.equal(copied.digest('hex'), digest);
  const grown = memory(server.child.pid) - before;
  assert.ok(grown < 16 << 10, `the server grew by ${grown} KiB`);
  const luaGrown = Number(output.match(/grew (\d+)/)[1]);
  assert.ok(luaGrown < 32 << 10, `Lua grew by ${luaGrown} KiB`);
});

// Sends the head of an upload and some of its body, and holds on.
async function beginUpload(server, app, name, sent, size) {
  const socket = net.connect(server.port, '127.0.0.1');
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.write(`PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\napp-id: ${app.id}\r\n`
    + `Authorization: Bearer ${app.token}\r\npath: ${name}\r\nContent-Length: ${size}\r\n\r\n`);
  await new Promise((resolve) => socket.write(Buffer.alloc(sent, 1), resolve));
  return socket;
}

async function appears(folder) {
  for (;;) {
    try {
      if (readdirSync(folder).length > 0) return;
    } catch { /* not made yet */ }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('what was acknowledged survives a kill, what was not leaves nothing', async (t) => {
  const data = scratch(t);
  let server = await serve(t, { data });
  const app = await makeApp(server);
  const incoming = path.join(data, 'files', 'incoming');
  for (let round = 0; round < 3; round++) {
    const db = adminOf(server, app);
    await db.storage.uploadFile(`kept ${round}`, Buffer.from(`bytes ${round}`));
    const socket = await beginUpload(server, app, 'lost', 300000, 1000000);
    await within(10000, 'the upload to begin', appears(incoming));
    server.child.kill('SIGKILL');
    await server.ended;
    socket.destroy();
    assert.equal(readdirSync(incoming).length, 1);
    server = await serve(t, { data, port: server.port });
    assert.throws(() => readdirSync(incoming), { code: 'ENOENT' });
  }
  const db = adminOf(server, app);
  assert.deepEqual((await db.storage.list()).map((file) => file.name), ['kept 0', 'kept 1', 'kept 2']);
  for (let round = 0; round < 3; round++) {
    assert.equal(await (await fetch(await urlOf(db, `kept ${round}`))).text(), `bytes ${round}`);
  }
});

test('an upload stops nobody else', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  const sockets = [];
  for (let i = 0; i < 20; i++) sockets.push(await beginUpload(server, app, `slow ${i}`, 200000, 5000000));
  await db.storage.uploadFile('quick', Buffer.from('x'));
  assert.equal(await (await fetch(await urlOf(db, 'quick'))).text(), 'x');
  await db.transact(db.tx.todos[id()].update({ title: 'still here' }));
  for (const socket of sockets) socket.destroy();
  assert.equal((await db.storage.list()).length, 1);
});

test('serve says where it is reached and how large a file may be', async (t) => {
  const port = await freePort();
  const process = run(t, ['serve', '--data', scratch(t), '--port', String(port),
    '--url', 'https://files.example/', '--max-file=10']);
  await process.line(/http:\/\/127\.0\.0\.1:(\d+)/);
  const server = { api: `http://127.0.0.1:${port}` };
  const app = await makeApp(server);
  const db = adminOf(server, app);
  await assert.rejects(db.storage.uploadFile('a', Buffer.from('eleven byte')), /at most 10 bytes/);
  await db.storage.uploadFile('a', Buffer.from('ten bytes!'));
  const url = await urlOf(db, 'a');
  assert.match(url, /^https:\/\/files\.example\/storage\/files\//);
  const answer = await fetch(url.replace('https://files.example', server.api));
  assert.equal(await answer.text(), 'ten bytes!');
  const bad = run(t, ['serve', '--url', 'nonsense']);
  assert.equal(await bad.ended, 1);
  assert.match(bad.output(), /--url must be/);
});

// A proxy, as browsers have one in front of them: what an address allows is in it, not in headers.
test('addresses work for whoever has them, from any origin', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = adminOf(server, app);
  await db.storage.uploadFile('page.html', Buffer.from('<script>1</script>'), { contentType: 'text/html' });
  const url = await urlOf(db, 'page.html');
  const answer = await fetch(url, { headers: { Origin: 'https://elsewhere.example' } });
  assert.equal(answer.headers.get('access-control-allow-origin'), '*');
  assert.match(answer.headers.get('content-security-policy'), /sandbox/);
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  const again = await fetch(url, { headers: { 'If-None-Match': answer.headers.get('etag') } });
  assert.equal(again.status, 304);
  const head = await fetch(url, { method: 'HEAD' });
  assert.equal(head.headers.get('content-length'), '18');
  assert.equal(await urlOf(db, 'page.html'), url);
  // Several parts of one connection, one after the other.
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  let text = '';
  for (let i = 0; i < 18; i += 5) {
    text += await new Promise((resolve, reject) => {
      http.get(url, { agent, headers: { Range: `bytes=${i}-${i + 4}` } }, (part) => {
        let piece = '';
        part.on('data', (chunk) => (piece += chunk));
        part.on('end', () => resolve(piece));
      }).on('error', reject);
    });
  }
  assert.equal(text, '<script>1</script>');
});
