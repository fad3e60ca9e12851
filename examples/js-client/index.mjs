// The to-do list of examples/todo.lua with the official JavaScript client.
//
//   node index.mjs APP_ID                   watch the list
//   node index.mjs APP_ID add Buy milk      add an item, and show the list
//
// API=http://host:port when the backend is not on http://127.0.0.1:8888.

// In a browser only the import and the init are needed. Node before 22 has no WebSocket, and the
// client is idle where there is no `window`.
globalThis.window ??= {};
globalThis.WebSocket ??= (await import('ws')).default;
delete globalThis.BroadcastChannel;
const { init, id } = await import('@instantdb/core');

const [appId, command, ...words] = process.argv.slice(2);
if (!appId) {
  console.error('usage: node index.mjs APP_ID [add TEXT]');
  process.exit(1);
}

// What a browser has in IndexedDB and navigator.onLine.
class MemoryStore {
  items = new Map();
  async getItem(key) { return this.items.get(key) ?? null; }
  async removeItem(key) { this.items.delete(key); }
  async multiSet(pairs) { for (const [key, value] of pairs) this.items.set(key, value); }
  async getAllKeys() { return [...this.items.keys()]; }
}
class AlwaysOnline {
  static async getIsOnline() { return true; }
  static listen() { return () => {}; }
}

const apiURI = process.env.API ?? 'http://127.0.0.1:8888';
const db = init(
  { appId, apiURI, websocketURI: `${apiURI.replace(/^http/, 'ws')}/runtime/session`, devtool: false },
  MemoryStore,
  AlwaysOnline,
);

const query = { todos: { $: { order: { serverCreatedAt: 'asc' } } } };
const show = (todos) => {
  todos.forEach((todo, n) => console.log(`${n + 1}  [${todo.done ? 'x' : ' '}] ${todo.text}`));
  console.log();
};

if (command === 'add') {
  await db.queryOnce(query);
  await db.transact(db.tx.todos[id()].update({ text: words.join(' '), done: false }));
  show((await db.queryOnce(query)).data.todos);
  db.shutdown();
  process.exit(); // the client's timers would keep node for another half a minute
} else {
  db.subscribeQuery(query, ({ data, error }) => (error ? console.error(error.message) : show(data.todos)));
}
