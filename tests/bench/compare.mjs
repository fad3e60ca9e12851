// The official client's side of `evaluator`: node --expose-gc compare.mjs NAME FOLDER SHAPES
//
// Reads the same files as bench_compare, does the same things, prints the same lines:
// KEY, a tab, and a number, or for a query's result the hash of its JSON text.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const part = (name) =>
  import(pathToFileURL(path.join(here, 'node_modules/@instantdb/core/dist/esm', name)).href);
const { AttrsStoreClass, createStore, transact } = await part('store.js');
const { default: query } = await part('instaql.js');

const [name, folder, set] = process.argv.slice(2);
const read = (file) => JSON.parse(readFileSync(path.join(folder, file), 'utf8'));
const print = (key, value) => console.log(`${name}\t${key}\t${value}`);

// bench_measure of bench.c.
function measure(fn) {
  const clock = () => Number(process.hrtime.bigint()) / 1e9;
  const start = clock();
  let spent = 0;
  let calls = 0;
  while (spent < 0.1) {
    fn();
    calls++;
    spent = clock() - start;
  }
  const each = spent / calls;
  const batch = each < 0.01 ? Math.floor(0.01 / each) + 1 : 1;
  const seconds = [];
  for (let n = each > 0.3 ? 3 : 9; n > 0; n--) {
    const begin = clock();
    for (let i = 0; i < batch; i++) fn();
    seconds.push((clock() - begin) / batch);
  }
  seconds.sort((a, b) => a - b);
  return seconds[seconds.length >> 1];
}

// FNV-1a over the UTF-8 bytes.
function hash(text) {
  let h = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) h = Math.imul(h ^ byte, 0x01000193);
  return (h >>> 0).toString(16).padStart(8, '0');
}

const attrs = Object.fromEntries(read('attrs.json').map((attr) => [attr.id, attr]));
const attrsStore = new AttrsStoreClass(attrs, null);
const triples = read('triples.json');

global.gc();
const before = process.memoryUsage().heapUsed;
const store = createStore(attrsStore, triples);
global.gc();
print('bytes', process.memoryUsage().heapUsed - before);
print('triples', triples.length);

for (const steps of [1, 100, 10000]) {
  const tx = read(`tx-${steps}.json`);
  if (tx.length === steps) print(`write ${steps}`, measure(() => transact(store, attrsStore, tx)));
}
for (const shape of JSON.parse(readFileSync(path.join(here, 'shapes.json'), 'utf8'))[set]) {
  const run = () => query({ store, attrsStore }, shape.query);
  print(`result of ${shape.name}`, hash(JSON.stringify(run())));
  print(`query: ${shape.name}`, measure(run));
}
print('load', measure(() => createStore(attrsStore, triples)));
