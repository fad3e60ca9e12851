// The official client's side of `cold`: node cold.mjs FOLDER QUERIES ENTITIES
//
// Parses the cache that bench_cold wrote as that client does (querySubFromStorage of its Reactor.js),
// without reading it and without having started: prints the seconds until all of it is there.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const store = await import(
  pathToFileURL(path.join(here, 'node_modules/@instantdb/core/dist/esm/store.js')).href
);
const [folder, queries, entities] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const lines = readFileSync(path.join(folder, 'cache.jsonl'), 'utf8').trimEnd().split('\n');

const start = process.hrtime.bigint();
const subs = lines.map((line) => {
  const sub = JSON.parse(line);
  const attrsStore = store.attrsStoreFromJSON(sub.result.attrsStore, sub.result.store);
  sub.result.store = store.fromJSON(attrsStore, sub.result.store);
  sub.result.attrsStore = attrsStore;
  return sub;
});
const seconds = Number(process.hrtime.bigint() - start) / 1e9;

const there = subs.reduce((sum, sub) => sum + sub.result.store.eav.size, 0);
if (there !== queries * entities) throw new Error(`${there} entities`);
console.log(seconds);
