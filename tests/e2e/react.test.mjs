// examples/web-page, a React page with the official client, in Chromium: what people at two
// browsers see of each other, without a network, without the server, and after a reload.

import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { browserPath, noBrowser } from './browser.mjs';
import { freePort, makeApp, root, scratch, serve, within } from './harness.mjs';

const example = path.join(root, 'examples/web-page');
const rules = JSON.parse(readFileSync(path.join(example, 'rules.json'), 'utf8'));
const skip = Number(process.versions.node.split('.')[0]) < 20 ? 'vite needs node 20' : noBrowser;
const LIMIT = 30000;

// Built once, as `npm run build` does it, with this folder's packages; the app and the server are
// put in when it is served.
const APP = 'APP-ID', API = 'http://api.invalid';
const dir = mkdtempSync(path.join(tmpdir(), 'instant-e2e-page-'));
let browser;
before(async () => {
  if (skip) return;
  const { chromium } = await import('playwright');
  const { build } = await import('vite');
  cpSync(example, dir, { recursive: true, filter: (file) => !file.includes('node_modules') });
  symlinkSync(path.join(root, 'tests/e2e/node_modules'), path.join(dir, 'node_modules'));
  Object.assign(process.env, { VITE_INSTANT_APP_ID: APP, VITE_INSTANT_API: API });
  await build({ root: dir, configFile: path.join(dir, 'vite.config.js'), logLevel: 'error' });
  browser = await chromium.launch({ executablePath: browserPath });
});
after(async () => {
  await browser?.close();
  rmSync(dir, { recursive: true, force: true });
});

const types = { '.html': 'text/html', '.js': 'text/javascript' };

async function start(t) {
  const data = scratch(t), port = await freePort();
  const server = await serve(t, { data, port });
  const app = await makeApp(server, { title: 'page', rules });
  const files = http.createServer((request, response) => {
    const name = request.url === '/' ? '/index.html' : request.url;
    const file = path.join(dir, 'dist', path.normalize(name));
    if (!existsSync(file)) return response.writeHead(404).end();
    response.setHeader('content-type', types[path.extname(name)] ?? 'application/octet-stream');
    response.end(readFileSync(file, 'utf8').replaceAll(APP, app.id).replaceAll(API, server.api));
  });
  await new Promise((resolve) => files.listen(0, '127.0.0.1', resolve));
  t.after(() => files.close());
  return { server, url: `http://127.0.0.1:${files.address().port}/`, restart: () => serve(t, { data, port }) };
}

// A person at a browser of their own, with storage that survives reloads.
async function person(t, url, prepare = () => {}) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  t.after(() => assert.deepEqual(errors, []));
  await prepare(page);
  await page.goto(url);
  const todo = (text) => page.locator('#todos li', { hasText: text });
  return {
    page,
    context,
    todo,
    guest: () => page.getByRole('button', { name: 'Come in as a guest' }).click(),
    async add(text) {
      await page.getByLabel('Add', { exact: true }).fill(text);
      await page.getByRole('button', { name: 'Add', exact: true }).click();
    },
    sees: (text) => todo(text).waitFor(),
    misses: (text) => todo(text).waitFor({ state: 'detached' }),
    says: (selector, pattern) => page.locator(selector, { hasText: pattern }).waitFor(),
  };
}

test('two people share a list, see each other and who types', { skip }, async (t) => {
  const { url } = await start(t);
  const [ann, bob] = [await person(t, url), await person(t, url)];
  await ann.guest();
  await bob.guest();
  await ann.says('#people', /guest .*, guest /);
  await bob.says('#people', /guest .*, guest /);

  await ann.add('Buy milk');
  await bob.sees('Buy milk');
  await bob.todo('Buy milk').getByRole('checkbox').click();
  await ann.page.locator('#todos li.done', { hasText: 'Buy milk' }).waitFor();
  await ann.page.getByRole('button', { name: 'Remove Buy milk' }).click();
  await bob.misses('Buy milk');

  await ann.page.getByLabel('Add', { exact: true }).press('x');
  await bob.says('#typing', /guest .* typing/);
  await bob.page.locator('#typing', { hasText: 'typing' }).waitFor({ state: 'detached' });

  await ann.context.close();
  await bob.says('#people', /^Here: guest [^,]*$/);
});

test('a code by mail signs in, pictures are shown to others, signing out ends it', { skip }, async (t) => {
  const { server, url } = await start(t);
  const [ann, bob] = [await person(t, url), await person(t, url)];
  await bob.guest();
  await ann.page.getByLabel('Send me a code').fill('ann@example.com');
  await ann.page.getByRole('button', { name: 'Send me a code' }).click();
  const [, code] = await server.said(/the code of ann@example\.com for "page" is (\d{6})/);
  await ann.page.getByLabel('Sign in with the code').fill('000000');
  await ann.page.getByRole('button', { name: 'Sign in with the code' }).click();
  await ann.says('.error', 'Record not found: app-user-magic-code');
  await ann.page.getByLabel('Sign in with the code').fill(code);
  await ann.page.getByRole('button', { name: 'Sign in with the code' }).click();
  await ann.says('#me', /^ann@example\.com/);
  await bob.says('#people', 'ann@example.com');

  const dot = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
  await ann.page.getByLabel('Add pictures').setInputFiles({ name: 'dot.png', mimeType: 'image/png', buffer: dot });
  const picture = bob.page.getByAltText('pictures/dot.png');
  await picture.waitFor({ state: 'attached' });
  await bob.page.waitForFunction(() => document.querySelector('#pictures img')?.naturalWidth === 1);

  await ann.page.getByRole('button', { name: 'Sign out' }).click();
  await ann.page.getByRole('button', { name: 'Come in as a guest' }).waitFor();
  await bob.says('#people', /^Here: guest [^,]*$/);
  await ann.page.reload();
  await ann.page.getByRole('button', { name: 'Come in as a guest' }).waitFor();
});

test('tabs of one browser share who is signed in', { skip }, async (t) => {
  const { url } = await start(t);
  const ann = await person(t, url);
  const tab = await ann.context.newPage();
  await tab.goto(url);
  await tab.getByRole('button', { name: 'Come in as a guest' }).waitFor({ timeout: LIMIT });
  await ann.guest();
  await ann.says('#me', /guest/);
  await tab.locator('#me', { hasText: 'guest' }).waitFor({ timeout: LIMIT });
  await tab.getByRole('button', { name: 'Sign out' }).click();
  await ann.page.getByRole('button', { name: 'Come in as a guest' }).waitFor();
});

test('without a network one goes on, and it is made up for', { skip }, async (t) => {
  const { url } = await start(t);
  const [ann, bob] = [await person(t, url), await person(t, url)];
  await ann.guest();
  await bob.guest();
  await ann.add('Before');
  await bob.sees('Before');

  await ann.context.setOffline(true);
  await ann.says('#me', 'closed');
  await ann.add('While away');
  await ann.sees('While away');
  await bob.add('Meanwhile');
  await bob.sees('Meanwhile');
  assert.equal(await bob.todo('While away').count(), 0);

  await ann.context.setOffline(false);
  await ann.sees('Meanwhile');
  await bob.sees('While away');
  await ann.says('#me', 'authenticated');
});

test('a server that dies and comes back; a reload meanwhile shows what is kept', { skip }, async (t) => {
  const { server, url, restart } = await start(t);
  const [ann, bob] = [await person(t, url), await person(t, url)];
  await ann.guest();
  await bob.guest();
  await ann.add('Kept');
  await bob.sees('Kept');

  server.child.kill('SIGKILL');
  await within(10000, 'the end of the server', server.ended);
  await ann.add('Unheard');
  await ann.sees('Unheard');
  await kept(ann.page, 'Unheard');
  await ann.page.reload();
  await ann.sees('Kept');
  await ann.sees('Unheard');

  await restart();
  await bob.sees('Unheard');
  await ann.says('#me', 'authenticated');
  assert.deepEqual(await ann.page.locator('#todos li').allInnerTexts(), await bob.page.locator('#todos li').allInnerTexts());
});

test('where WebSockets do not get through, event streams do', { skip }, async (t) => {
  const { url } = await start(t);
  let refused = 0;
  const ann = await person(t, url, (page) => page.routeWebSocket(/runtime\/session/, (socket) => {
    refused++;
    socket.close();
  }));
  const bob = await person(t, url);
  const stream = ann.page.waitForRequest(/\/runtime\/sse/);
  await ann.guest();
  await bob.guest();
  await stream;
  assert.ok(refused > 0);
  await bob.says('#people', /guest .*, guest /);
  await ann.add('By stream');
  await bob.sees('By stream');
  await bob.add('By socket');
  await ann.sees('By socket');
});

// Waits until a pending write is in IndexedDB: the client saves it a moment after showing it.
function kept(page, text) {
  return page.waitForFunction(async (wanted) => {
    for (const { name } of await indexedDB.databases()) {
      const db = await new Promise((resolve, reject) => {
        const request = indexedDB.open(name);
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      for (const store of db.objectStoreNames) {
        const rows = await new Promise((resolve) => {
          const request = db.transaction(store).objectStore(store).get('pendingMutations');
          request.onsuccess = () => resolve(request.result);
        });
        if (JSON.stringify(rows ?? '').includes(wanted)) return db.close(), true;
      }
      db.close();
    }
    return false;
  }, text, { polling: 100 });
}
