// The client inside a real LÖVE, headless: its frames poll, and a JavaScript client sees what it does.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { connect, id, live, makeApp, root, run, serve, within } from './harness.mjs';
import { absent, luajitEnv } from './luajit.mjs';

const skip = absent(['/usr/bin/love', 'love']);

const love = (t, server, app, name, seconds) => run(t, [path.join(root, 'examples/love'),
  '--api', server.api, '--app', app.id, '--name', name, '--headless', String(seconds)],
{ program: '/usr/bin/love', env: { ...process.env, ...luajitEnv() } });

// Waits until what a room shows fits.
function watch(t, room) {
  const looks = new Set();
  let last;
  t.after(room.subscribePresence({}, (presence) => {
    last = presence;
    for (const look of [...looks]) look();
  }));
  return (ok, what) => within(30000, what, new Promise((resolve) => {
    const look = () => last && ok(Object.values(last.peers ?? {})) && looks.delete(look) && resolve(last);
    looks.add(look);
    look();
  }));
}

test('players of LÖVE walk and plant, and everybody sees it', { skip }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const js = connect(t, server, app);
  const flags = live(t, js, { flags: {} });
  const room = js.joinRoom('meadow', 'main', { initialPresence: { name: 'js', x: 1, y: 2 } });
  const peers = watch(t, room);
  await js.transact(js.tx.flags[id()].update({ x: 5, y: 5, by: 'js', number: 1 }));

  const games = [love(t, server, app, 'ann', 6), love(t, server, app, 'bob', 6)];
  await peers((seen) => seen.length === 2 && seen.every(({ x }) => typeof x === 'number'), 'both players');
  const positions = new Set();
  await peers((seen) => {
    for (const { name, x, y } of seen) if (name === 'ann') positions.add(`${x} ${y}`);
    return positions.size >= 5;
  }, 'ann at five places');
  const { data } = await flags.until((result) =>
    ['ann', 'bob'].every((name) => result.data?.flags.some(({ by }) => by === name)), 'a flag of each');
  assert.ok(data.flags.every(({ x, y }) => x >= 0 && x <= 400 && y >= 0 && y <= 400));

  for (const game of games) assert.equal(await within(60000, 'its end', game.ended), 0, game.output());
  const seen = games.map((game) => game.output().match(/planted (\d+); saw (\d+) flags and (.*)/));
  assert.ok(seen.every((match) => match && Number(match[1]) >= 1 && Number(match[2]) >= 2),
    games.map((game) => game.output()).join('\n'));
  await peers((left) => left.length === 0, 'an empty meadow');
  assert.doesNotMatch(games[0].output() + games[1].output(), /AddressSanitizer|runtime error|was refused: [^s]/);
});
