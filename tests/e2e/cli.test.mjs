// The official command line, unmodified, against `instant-lua serve`: what its users type, in a project of
// their own, without a terminal.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { init } from '@instantdb/admin';
import { id, root, scratch, serve, within } from './harness.mjs';

const modules = path.join(root, 'tests/e2e/node_modules');
const program = path.join(modules, 'instant-cli/bin/index.js');

// A server, its first app and a project that is set up for it. `cli(...args)` runs the command line.
async function setUp(t) {
  const server = await serve(t);
  const [, appId] = await server.line(/app id:\s+(\S+)/);
  const [, adminToken] = await server.line(/admin token:\s+(\S+)/);
  const [, operator] = await server.line(/operator token:\s+(per_[0-9a-f]{64})\s/);
  const dir = scratch(t);
  const file = (name) => path.join(dir, name);
  mkdirSync(file('config'));
  symlinkSync(modules, file('node_modules'));
  writeFileSync(file('package.json'), JSON.stringify({
    name: 'project', private: true, type: 'module', dependencies: { '@instantdb/core': '1.0.67' },
  }));
  const env = {
    PATH: process.env.PATH,
    HOME: dir,
    XDG_CONFIG_HOME: file('config'),
    CI: '1',
    NO_COLOR: '1',
    INSTANT_CLI_API_URI: server.api,
    INSTANT_CLI_DASH_URI: server.api,
  };
  const app = { INSTANT_APP_ID: appId, INSTANT_APP_ADMIN_TOKEN: adminToken };
  const start = (args, extra = app) => {
    const child = spawn(process.execPath, [program, ...args], {
      cwd: dir, env: { ...env, ...extra }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.after(() => child.kill('SIGKILL'));
    const run = { child, output: '', stdout: '', onOutput: () => {} };
    child.stdout.on('data', (chunk) => { run.stdout += chunk; });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        run.output += chunk;
        run.onOutput();
      });
    }
    run.ended = within(60000, `instant-cli ${args.join(' ')}`, new Promise((resolve) => {
      child.on('close', (code) => resolve(code));
    }));
    return run;
  };
  return {
    server, appId, adminToken, operator, start,
    async cli(args, extra) {
      const run = start(args, extra);
      const code = await run.ended;
      return { code, output: run.output, stdout: run.stdout };
    },
    write: (name, text) => writeFileSync(file(name), text),
    read: (name) => readFileSync(file(name), 'utf8'),
    db: init({ appId, adminToken, apiURI: server.api }),
    async attrs() {
      const answer = await fetch(`${server.api}/dash/apps/${appId}/schema/pull`, {
        headers: { Authorization: `Bearer ${adminToken}` },
      });
      const { attrs } = await answer.json();
      return Object.fromEntries(attrs.filter((attr) => attr.catalog === 'user')
        .map((attr) => [attr['forward-identity'].slice(1).join('.'), attr]));
    },
  };
}

const schema = (entities, links = '') => `
import { i } from '@instantdb/core';
export default i.schema({ entities: { ${entities} }, links: { ${links} } });
`;

const ok = (run) => assert.equal(run.code, 0, run.output);

test('push and pull schema and permissions, and query', async (t) => {
  const project = await setUp(t);
  const { cli } = project;
  project.write('instant.schema.ts', schema(
    `posts: i.entity({ title: i.string().indexed(), slug: i.string().unique().optional(), at: i.date().optional() }),
     people: i.entity({ name: i.string() })`,
    `author: { forward: { on: 'posts', has: 'one', label: 'author', onDelete: 'cascade' },
               reverse: { on: 'people', has: 'many', label: 'posts' } }`,
  ));
  project.write('instant.perms.ts', `export default { posts: { allow: { view: 'data.title != "hidden"' } } };`);
  const pushed = await cli(['push', '-y']);
  ok(pushed);
  assert.match(pushed.output, /Schema updated!/);
  assert.match(pushed.output, /Permissions updated!/);

  const attrs = await project.attrs();
  assert.deepEqual(Object.keys(attrs).sort(),
    ['people.id', 'people.name', 'posts.at', 'posts.author', 'posts.id', 'posts.slug', 'posts.title']);
  const title = attrs['posts.title'];
  assert.deepEqual([title['index?'], title['required?'], title['unique?'], title['checked-data-type']],
    [true, true, false, 'string']);
  assert.deepEqual([attrs['posts.slug']['unique?'], attrs['posts.slug']['required?']], [true, false]);
  assert.equal(attrs['posts.author']['on-delete'], 'cascade');
  assert.equal(attrs['posts.author'].cardinality, 'one');

  const { tx } = project.db;
  await project.db.transact([
    tx.posts[id()].update({ title: 'one' }),
    tx.posts[id()].update({ title: 'hidden' }),
  ]);
  await assert.rejects(project.db.transact(tx.posts[id()].update({ title: 1 })), /Invalid value type/);
  await assert.rejects(project.db.transact(tx.posts[id()].update({ slug: 'x' })), /Missing required attribute/);
  const asked = await cli(['query', '{ posts: { $: { fields: ["title"] } } }', '--admin']);
  ok(asked);
  assert.deepEqual(JSON.parse(asked.stdout).posts.map((post) => post.title).sort(), ['hidden', 'one']);
  const guest = await cli(['query', '{"posts":{}}', '--as-guest']);
  ok(guest);
  assert.deepEqual(JSON.parse(guest.stdout).posts.map((post) => post.title), ['one']);

  project.write('instant.schema.ts', schema('unrelated: i.entity({})'));
  project.write('instant.perms.ts', 'export default {};');
  ok(await cli(['pull', '-y']));
  const text = project.read('instant.schema.ts');
  assert.match(text, /posts: i\.entity\(\{\s+at: i\.date\(\)\.optional\(\),\s+slug: i\.string\(\)\.unique\(\)\.optional\(\),\s+title: i\.string\(\)\.indexed\(\),/);
  assert.match(text, /postsAuthor: \{\s+forward: \{\s+on: "posts",\s+has: "one",\s+label: "author",\s+onDelete: "cascade"/);
  assert.doesNotMatch(text, /magicCodes|location-id|unrelated/);
  assert.match(project.read('instant.perms.ts'), /view: 'data\.title != "hidden"'/);

  const again = await cli(['push', 'schema', '-y']);
  ok(again);
  assert.match(again.output, /No schema changes to apply!/);
});

test('rename, change and delete attrs; a push that the data refuses', async (t) => {
  const project = await setUp(t);
  const { cli } = project;
  project.write('instant.schema.ts', schema(
    'posts: i.entity({ title: i.string(), body: i.string().optional(), n: i.any().optional() })',
  ));
  ok(await cli(['push', 'schema', '-y']));
  const before = await project.attrs();
  const post = id();
  await project.db.transact(project.db.tx.posts[post].update({ title: 'one', body: 'text', n: 'no number' }));

  project.write('instant.schema.ts', schema(
    'posts: i.entity({ name: i.string().indexed(), n: i.any().optional() })',
  ));
  ok(await cli(['push', 'schema', '-y', '--rename', 'posts.title:posts.name']));
  const after = await project.attrs();
  assert.equal(after['posts.name'].id, before['posts.title'].id);
  assert.equal(after['posts.name']['index?'], true);
  assert.deepEqual(Object.keys(after).sort(), ['posts.id', 'posts.n', 'posts.name']);
  const { posts } = await project.db.query({ posts: { $: { where: { name: 'one' } } } });
  assert.deepEqual(posts, [{ id: post, name: 'one', n: 'no number' }]);

  project.write('instant.schema.ts', schema(
    'posts: i.entity({ name: i.string().indexed(), n: i.number() })',
  ));
  const refused = await cli(['push', 'schema', '-y']);
  assert.equal(refused.code, 1, refused.output);
  assert.match(refused.output, /no number/);
  assert.match(refused.output, new RegExp(post));
  assert.equal((await project.attrs())['posts.n']['checked-data-type'], undefined);

  const invalid = schema('$mine: i.entity({})');
  project.write('instant.schema.ts', invalid);
  const reserved = await cli(['push', 'schema', '-y']);
  assert.equal(reserved.code, 1);
  assert.match(reserved.output, /You can't create '\$mine'/);
  project.write('instant.perms.ts', `export default { posts: { allow: { view: 'data.' } } };`);
  const perms = await cli(['push', 'perms', '-y']);
  assert.equal(perms.code, 1, perms.output);
  assert.match(perms.output, /posts.*allow.*view/s);
});

test('sign in, then make, list, describe and delete apps', async (t) => {
  const project = await setUp(t);
  const { cli, server } = project;
  const noApp = {};

  const login = project.start(['login', '--headless'], noApp);
  const url = await within(20000, 'the address to open', new Promise((resolve) => {
    login.onOutput = () => {
      const match = login.output.match(/http:\S+ticket=\S+/);
      if (match) resolve(match[0]);
    };
  }));
  const page = await fetch(url);
  assert.equal(page.status, 200);
  const [, ticket] = (await page.text()).match(/name="ticket" value="([^"]+)"/);
  const decide = (token, answer) => fetch(`${server.api}/dash/cli/auth/decide`, {
    method: 'POST', body: new URLSearchParams({ ticket, token, answer }),
  });
  assert.equal((await decide('per_' + '0'.repeat(64), 'approve')).status, 401);
  assert.equal((await decide(project.operator, 'approve')).status, 200);
  assert.equal(await login.ended, 0, login.output);
  assert.match(login.output, /Successfully logged in as operator@localhost/);

  const made = await cli(['init-without-files', '--title', 'Second'], noApp);
  ok(made);
  const { app } = JSON.parse(made.stdout);
  const second = init({ appId: app.appId, adminToken: app.adminToken, apiURI: server.api });
  await second.transact(second.tx.things[id()].update({ n: 1 }));
  const list = await cli(['app', 'list', '--json'], noApp);
  ok(list);
  assert.deepEqual(JSON.parse(list.stdout).map((one) => one.title), ['first app', 'Second']);

  const temp = JSON.parse((await cli(['init-without-files', '--temp', '--title', 'For now'], noApp)).stdout).app;
  const claimed = await cli(['claim'], {
    INSTANT_APP_ID: temp.appId, INSTANT_APP_ADMIN_TOKEN: temp.adminToken, INSTANT_CLI_AUTH_TOKEN: project.operator,
  });
  ok(claimed);
  assert.match(claimed.output, /App claimed!/);
  const info = await cli(['info'], { INSTANT_APP_ID: app.appId });
  ok(info);
  assert.match(info.output, /Logged in as operator@localhost/);
  assert.match(info.output, new RegExp(`App: Second \\(${app.appId}\\)`));

  ok(await cli(['app', 'delete', '--app', app.appId, '-y'], noApp));
  await assert.rejects(second.query({ things: {} }), /app-admin-token|admin token/i);
  const rest = await fetch(`${server.api}/dash`, { headers: { Authorization: `Bearer ${project.operator}` } });
  assert.deepEqual((await rest.json()).apps.map((one) => one.title), ['first app', 'For now']);
});
