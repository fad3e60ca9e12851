// A web server of the user's, as one with Next.js is: keeps who is signed in in a cookie, renders
// what they may see.
//
//   node --import ./ssr/next.mjs ssr/server.mjs APP_ID API

import http from 'node:http';
import { init as initAdmin } from '@instantdb/admin';
import { InstantSuspenseProvider, createInstantRouteHandler, init } from '@instantdb/react/nextjs';
import { Suspense, createElement as h } from 'react';
import { renderToPipeableStream, renderToStaticMarkup } from 'react-dom/server';
import { inserted } from './next.mjs';
import { schema } from './schema.mjs';

const [appId, apiURI] = process.argv.slice(2);
const db = init({ appId, apiURI, schema, devtool: false });
const admin = initAdmin({ appId, apiURI });
const handler = createInstantRouteHandler({ appId });

function List() {
  const { user } = db.useAuth();
  const { data, pageInfo } = db.useSuspenseQuery({ todos: { $: { limit: 5, order: { serverCreatedAt: 'asc' } }, tags: {} } });
  const items = data.todos.map((todo) => h('li', { key: todo.id }, `${todo.title} ${todo.tags.map((tag) => tag.name)}`));
  return h('ul', { title: user?.email ?? 'nobody', 'data-more': pageInfo.todos.hasNextPage }, items);
}

function render(user) {
  inserted.length = 0;
  return new Promise((resolve, reject) => {
    const page = h(InstantSuspenseProvider, { db, user }, h(Suspense, { fallback: 'Loading' }, h(List)));
    const stream = renderToPipeableStream(page, {
      onError: reject,
      async onAllReady() {
        const chunks = [];
        const { PassThrough } = await import('node:stream');
        for await (const chunk of stream.pipe(new PassThrough())) chunks.push(chunk);
        resolve(Buffer.concat(chunks) + inserted.map((callback) => renderToStaticMarkup(callback())).join(''));
      },
    });
  });
}

const web = http.createServer(async (incoming, outgoing) => {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const request = new Request(`http://localhost${incoming.url}`, {
    method: incoming.method,
    headers: incoming.headers,
    body: incoming.method === 'POST' ? Buffer.concat(chunks) : undefined,
  });
  try {
    const response = incoming.method === 'POST'
      ? await handler.POST(request)
      : new Response(await render(await admin.auth.getUserFromRequest(request)));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.end(await response.text());
  } catch (error) {
    outgoing.writeHead(500).end(error.body?.message ?? error.stack);
  }
});
web.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${web.address().port}`));
