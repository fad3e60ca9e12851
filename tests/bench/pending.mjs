// The official client's side of `pending`: node pending.mjs FOLDER ROWS MUTATIONS
//
// Its reactor is given the messages that bench_pending wrote, by a WebSocket that is none, and prints
// the same two words: seconds from a refresh to the subscriber's result, hash of the last one.

import { readFileSync } from 'node:fs';
import path from 'node:path';

const [folder, rows, mutations] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const TIMES = 40;
const text = (name) => readFileSync(path.join(folder, name), 'utf8');

globalThis.window = globalThis; // it does nothing where there is no window
globalThis.BroadcastChannel = undefined;
let socket;
globalThis.WebSocket = class {
  readyState = 0;
  constructor() { socket = this; }
  send() {}
  close() {}
};

class Store {
  map = new Map();
  async getItem(key) { return this.map.get(key) ?? null; }
  async removeItem(key) { this.map.delete(key); }
  async multiSet(pairs) { for (const [key, value] of pairs) this.map.set(key, value); }
  async getAllKeys() { return [...this.map.keys()]; }
}
class Online {
  static async getIsOnline() { return true; }
  static listen() { return () => {}; }
}

const { init } = await import('@instantdb/core');
const soon = () => new Promise((resolve) => setTimeout(resolve, 20));
const db = init({ appId: '0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e', devtool: false }, Store, Online);
let calls = 0, last;
db.subscribeQuery({ todos: {} }, (result) => {
  if (result.error) throw new Error(result.error.message);
  calls++;
  last = result.data;
});
const receive = (message) => socket.onmessage({ target: socket, data: message });

await soon();
socket.readyState = 1;
socket.onopen({ target: socket });
await soon();
receive(text('init.json'));
receive(text('first.json'));
await soon();
for (let i = 0; i < mutations; i++) {
  const e = ((i * 5) % rows).toString(16).padStart(8, '0') + '-0000-4000-8000-00000000000e';
  db.transact(db.tx.todos[e].update({ title: `mine ${i}` })).catch(() => {});
}
const pending = db._reactor._pendingMutations().size;
if (pending !== mutations) throw new Error(`${pending} pending`);

const refresh = [text('refresh-0.json'), text('refresh-1.json')];
for (let i = 0; i < TIMES; i++) receive(refresh[i % 2]);
const seconds = [];
for (let i = 0; i < TIMES; i++) {
  const before = calls;
  const start = process.hrtime.bigint();
  receive(refresh[i % 2]);
  seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
  if (calls !== before + 1) throw new Error('a refresh was not shown at once');
}
receive(refresh[0]);
let h = 0x811c9dc5;
for (const byte of Buffer.from(JSON.stringify(last), 'utf8')) h = Math.imul(h ^ byte, 0x01000193);
seconds.sort((a, b) => a - b);
console.log(`${seconds[TIMES >> 1].toFixed(9)} ${(h >>> 0).toString(16).padStart(8, '0')}`);
process.exit(0);
