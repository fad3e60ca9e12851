// The mod of examples/luanti in a real Luanti server, headless: a JavaScript client sees its players and inventories,
// and gives a player something.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { connect, freePort, id, live, makeApp, root, run, scratch, serve, within } from './harness.mjs';
import { absent, luajitEnv } from './luajit.mjs';

const program = '/usr/lib/minetest/minetestserver';
const skip = absent([program, 'minetest-server'], ['/usr/share/games/minetest/games/devtest', 'minetest-data']);

async function luanti(t, settings) {
  const dir = scratch(t);
  const world = path.join(dir, 'world');
  mkdirSync(world);
  cpSync(path.join(root, 'examples/luanti'), path.join(world, 'worldmods/instant'), { recursive: true });
  writeFileSync(path.join(world, 'world.mt'),
    'gameid = devtest\nbackend = sqlite3\nauth_backend = sqlite3\nplayer_backend = sqlite3\nmod_storage_backend = sqlite3\n');
  const config = path.join(dir, 'minetest.conf');
  writeFileSync(config, Object.entries({
    mg_name: 'singlenode', bind_address: '127.0.0.1', server_announce: 'false', ...settings,
  }).map(([name, value]) => `${name} = ${value}\n`).join(''));
  return run(t, ['--config', config, '--world', world, '--port', String(await freePort()), '--logfile', ''],
    { program, env: { ...process.env, HOME: dir, ...luajitEnv({ isLate: true }) } });
}

const settingsOf = (server, app) => ({
  'secure.trusted_mods': 'instant', 'instant.app_id': app.id, 'instant.api_uri': server.api, 'instant.robot': 'true',
});

const robotOf = (result) => result.data?.players.find(({ name }) => name === 'robot');

test('a world shows its players, and hands out gifts', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const js = connect(t, server, app);
  const players = live(t, js, { players: {} });
  const gifts = live(t, js, { gifts: {} });
  const room = js.joinRoom('world', 'main');
  const places = new Set();
  let worlds = 0;
  const looks = new Set();
  t.after(room.subscribePresence({}, ({ peers }) => {
    worlds = Object.keys(peers).length;
    for (const { players: seen } of Object.values(peers)) if (seen?.robot) places.add(JSON.stringify(seen.robot));
    for (const look of [...looks]) look();
  }));
  const until = (ok, what) => within(60000, what, new Promise((resolve) => {
    const look = () => ok() && looks.delete(look) && resolve();
    looks.add(look);
    look();
  }));

  const world = await luanti(t, settingsOf(server, app));
  await until(() => places.size >= 3, 'the robot at three places').catch((e) => {
    throw new Error(`${e.message}\n${world.output()}`);
  });
  for (const place of places) assert.deepEqual(Object.keys(JSON.parse(place)).sort(), ['x', 'y', 'z']);
  const { data } = await players.until((result) => robotOf(result)?.score >= 2, 'what the robot dug', 60000);
  assert.equal(data.players.length, 1);

  const [gift, nonsense] = [id(), id()];
  await js.transact([
    js.tx.gifts[gift].update({ player: 'robot', item: 'basenodes:sand 5', given: false }),
    js.tx.gifts[nonsense].update({ player: 'robot', item: 'no:such_thing', given: false }),
  ]);
  await gifts.until((result) => result.data?.gifts.find((one) => one.id === gift)?.given, 'the gift handed out', 60000);
  await players.until((result) => robotOf(result)?.inventory.includes('basenodes:sand 5'), 'the gift in the inventory');
  assert.equal(gifts.last().data.gifts.find((one) => one.id === nonsense).given, false);

  room.publishTopic('chat', { name: 'js', text: 'hello' });
  await world.said(/chat from outside: js/);
  room.publishTopic('chat', { name: 5 });
  room.publishTopic('chat', 5);

  const { score } = robotOf(players.last());
  world.child.kill('SIGINT');
  assert.equal(await within(60000, 'its end', world.ended), 0, world.output());
  await until(() => worlds === 0, 'no world in the room');
  assert.ok(robotOf(players.last()).score >= score);
  assert.doesNotMatch(world.output(), /AddressSanitizer|runtime error|\[instant\] .*error|ERROR\[/i);
});

test('a world goes on without its database, and tells it everything later', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const world = await luanti(t, settingsOf(server, app));
  const js = connect(t, server, app);
  await live(t, js, { players: {} }).until((result) => robotOf(result)?.score >= 1, 'the first score', 60000);
  js.shutdown();
  server.child.kill('SIGKILL');
  await server.ended;
  await world.said(/Not connected/i, 60000);
  const again = await serve(t, { data: server.data, port: server.port });
  const other = connect(t, again, app);
  const players = live(t, other, { players: {} });
  const { data } = await players.until((result) => robotOf(result), 'the score that was kept', 60000);
  await players.until((result) => robotOf(result)?.score > robotOf({ data }).score, 'a newer score', 60000);
  world.child.kill('SIGTERM');
  assert.equal(await within(60000, 'its end', world.ended), 0, world.output());
});

test('a mod that is not trusted says what to do', { skip }, async (t) => {
  const world = await luanti(t, { 'instant.app_id': id() });
  assert.notEqual(await within(60000, 'its end', world.ended), 0);
  assert.match(world.output(), /secure\.trusted_mods/);
  assert.match(readFileSync(path.join(root, 'examples/luanti/README.md'), 'utf8'), /secure\.trusted_mods = instant/);
});
