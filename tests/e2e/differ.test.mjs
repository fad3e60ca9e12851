// Random schemas, transactions and queries: our server, the official client's evaluator on what our server
// sent, and a slow reference (differ/) agree. An admin writes, changes attrs (transactions.md 8.5), sends
// nonsense (10.3) and follows queries of every kind (instaql.md 5); a guest writes and looks under random rules
// (permissions.md 7); some schemas have $users.
//
// INSTANT_DIFFER_SEEDS names other seeds ("5000", the first so many, or "700-900"); INSTANT_DIFFER_ALL=1 goes
// on after a failure and prints each. A seed that ever failed goes to differ/seeds.txt and is always played.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { play } from './differ/play.mjs';
import { serve } from './harness.mjs';

process.env.TZ = 'UTC'; // the official client reads dates without a zone as local ones

function seeds() {
  const [from, to] = (process.env.INSTANT_DIFFER_SEEDS ?? "75").split('-').map(Number);
  const range = to === undefined ? [1, from] : [from, to];
  const kept = readFileSync(new URL('differ/seeds.txt', import.meta.url), 'utf8').match(/^\d+/gm) ?? [];
  return [...new Set([...kept.map(Number), ...Array.from({ length: range[1] - range[0] + 1 }, (_, n) => range[0] + n)])];
}

// What children's limits and the like make the official client say.
console.warn = () => {};

// Several at once: most of the time goes by waiting.
const AT_ONCE = 8;

test('server, official client and reference agree', async (t) => {
  const server = await serve(t);
  const statistics = { transactions: 0, refusedTransactions: 0, queries: 0, refusedQueries: 0, replayed: 0, liveChecks: 0, refreshes: 0 };
  const failures = [];
  const waiting = seeds();
  const worker = async () => {
    while (waiting.length && (process.env.INSTANT_DIFFER_ALL || !failures.length)) {
      await play(t, server, waiting.shift(), statistics).catch((e) => {
        failures.push(e);
        if (process.env.INSTANT_DIFFER_ALL) console.log(e.message.slice(0, 4000));
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  t.diagnostic(JSON.stringify(statistics));
  if (failures.length) throw failures[0];
  assert.ok(statistics.replayed > statistics.queries / 10, 'the official client took part');
});
