// The program as a person meets it: what it prints, and one sentence with an exit code when it cannot start.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { connect, freePort, live, run, scratch, serve } from './harness.mjs';

async function refuses(t, args, pattern) {
  const process = run(t, args);
  assert.equal(await process.ended, 1, process.output());
  const text = process.output().trim();
  assert.match(text, pattern);
  assert.doesNotMatch(text, /stack traceback/);
}

test('the first start makes an app and says how to connect', async (t) => {
  const server = await serve(t);
  const [, appId] = await server.line(/app id\S*\s+([0-9a-f-]{36})/i);
  await server.line(/admin token\S*\s+([0-9a-f-]{36})/i);
  assert.match(server.output(), /@instantdb\/core/);
  assert.match(server.output(), /require "instant"/);
  await server.line(/loopback/);
  const db = connect(t, server, { id: appId });
  await live(t, db, { todos: {} }).until((r) => r.data, 'a result');

  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 0);
  const again = await serve(t, { data: server.data, port: server.port });
  await again.line(new RegExp(appId));
  assert.doesNotMatch(again.output(), /admin token\S*\s+[0-9a-f]/i, 'the token is shown once');
});

test('a port in use', async (t) => {
  const server = await serve(t);
  await refuses(t, ['serve', '--data', scratch(t), '--port', String(server.port)], /port .*in use|in use/i);
});

test('a data folder that another process serves', async (t) => {
  const server = await serve(t);
  await refuses(t, ['serve', '--data', server.data, '--port', String(await freePort())], /in use|locked|another process/i);
});

test('a data file that is something else is left alone', async (t) => {
  const data = scratch(t);
  const file = path.join(data, 'system.db');
  writeFileSync(file, 'my novel, chapter one\n'.repeat(500));
  await refuses(t, ['serve', '--data', data, '--port', String(await freePort())], /system\.db/);
  assert.equal(readFileSync(file, 'utf8'), 'my novel, chapter one\n'.repeat(500));
});

test('a data path that cannot be made', async (t) => {
  const data = scratch(t);
  const file = path.join(data, 'file');
  writeFileSync(file, '');
  await refuses(t, ['serve', '--data', path.join(file, 'below'), '--port', String(await freePort())], /below|file/);
});

test('wrong options', async (t) => {
  await refuses(t, ['serve', '--port', 'many'], /port/);
  await refuses(t, ['serve', '--prot', '8888'], /prot/);
  await refuses(t, ['no-such-script.lua'], /no-such-script\.lua/);
});

test('an error in a script: its line, and a non-zero exit', async (t) => {
  const dir = scratch(t);
  const file = path.join(dir, 'broken.lua');
  writeFileSync(file, 'local x = 1\nlocal function deep()\n  error("it broke")\nend\ndeep()\n');
  const process = run(t, [file]);
  assert.equal(await process.ended, 1);
  assert.match(process.output(), /broken\.lua:3: it broke/);
  assert.match(process.output(), /traceback/);
});
