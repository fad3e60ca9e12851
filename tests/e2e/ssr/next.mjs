// What @instantdb/react/nextjs takes from Next.js, which is too large to install for it:
//
//   node --import ./ssr/next.mjs ssr/server.mjs ...

import { register } from 'node:module';

export const inserted = [];

const parts = {
  // The real one calls back whenever it has sent some HTML.
  'next/navigation.js': `
    import { inserted } from ${JSON.stringify(import.meta.url)};
    export const useServerInsertedHTML = (callback) => inserted.push(callback);`,
  'next/headers.js': 'export const cookies = async () => ({ get: () => undefined });',
};
const hooks = `
  const parts = ${JSON.stringify(parts)};
  export const resolve = (name, context, next) => parts[name]
    ? { url: 'data:text/javascript,' + encodeURIComponent(parts[name]), shortCircuit: true }
    : next(name, context);`;
// Where it is imported from as a plain module there is nothing to do a second time.
if (!globalThis.hasNextParts) register(`data:text/javascript,${encodeURIComponent(hooks)}`);
globalThis.hasNextParts = true;
