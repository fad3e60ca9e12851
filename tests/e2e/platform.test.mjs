// @instantdb/platform, unmodified, with an operator's token: apps, schemas, permissions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { init } from '@instantdb/admin';
import { PlatformApi, i } from '@instantdb/platform';
import { id, serve } from './harness.mjs';

async function setUp(t) {
  const server = await serve(t);
  const [, token] = await server.line(/operator token:\s+(per_[0-9a-f]{64})\s/);
  return { server, api: new PlatformApi({ auth: { token }, apiURI: server.api }) };
}

const todos = (attrs, links = {}) => i.schema({ entities: { todos: i.entity(attrs), people: i.entity({}) }, links });
const owner = {
  owner: {
    forward: { on: 'todos', has: 'one', label: 'owner' },
    reverse: { on: 'people', has: 'many', label: 'todos' },
  },
};

test('apps are made, listed, renamed and removed', async (t) => {
  const { server, api } = await setUp(t);
  const { app } = await api.createApp({
    title: 'Made', schema: todos({ title: i.string().indexed() }, owner), perms: { todos: { allow: { view: 'false' } } },
  });
  assert.equal(app.title, 'Made');
  assert.ok(app.schema.entities.todos.attrs.title.config.indexed);
  assert.equal(app.schema.links.todosOwner.reverse.has, 'many');
  assert.deepEqual(app.perms, { todos: { allow: { view: 'false' } } });

  const db = init({ appId: app.id, adminToken: app.adminToken, apiURI: server.api });
  await db.transact(db.tx.todos[id()].update({ title: 'a' }));

  const { apps } = await api.getApps({ includeSchema: true, includePerms: true });
  assert.deepEqual(apps.map((one) => one.title), ['first app', 'Made']);
  assert.ok(apps[1].schema.entities.todos);
  assert.deepEqual(apps[1].perms, app.perms);
  const plain = await api.getApp(app.id);
  assert.equal(plain.app.title, 'Made');
  assert.ok(!Number.isNaN(plain.app.createdAt.getTime()));

  assert.equal((await api.updateApp(app.id, { title: 'Named anew' })).app.title, 'Named anew');
  assert.equal((await api.getApp(app.id)).app.title, 'Named anew');
  assert.deepEqual((await api.getOrgs()).orgs, []);

  assert.equal((await api.deleteApp(app.id)).app.id, app.id);
  await assert.rejects(api.getApp(app.id), /app/);
  await assert.rejects(db.query({ todos: {} }));
  assert.deepEqual((await api.getApps()).apps.map((one) => one.title), ['first app']);

  const stranger = new PlatformApi({ auth: { token: 'per_' + 'f'.repeat(64) }, apiURI: server.api });
  await assert.rejects(stranger.getApps(), (error) => error.status === 401);
  const temporary = await api.createTemporaryApp({ title: 'For now' });
  assert.ok(temporary.expiresMs > Date.now());
});

test('schemas are planned and pushed, permissions saved', async (t) => {
  const { server, api } = await setUp(t);
  const { app } = await api.createApp({ title: 'Schemas', schema: todos({ title: i.string() }) });
  const wanted = todos({ title: i.string().indexed(), n: i.number() }, owner);
  const plan = await api.planSchemaPush(app.id, { schema: wanted });
  assert.deepEqual(plan.steps.map((step) => step.friendlyDescription), [
    'Add index to todos.title.',
    'Add attribute todos.n.',
    'Link todos.owner to people.todos.',
  ]);
  assert.equal((await api.getSchema(app.id)).schema.entities.todos.attrs.n, undefined, 'a plan changes nothing');

  const pushed = await api.schemaPush(app.id, { schema: wanted });
  assert.ok(pushed.newSchema.entities.todos.attrs.title.config.indexed);
  assert.equal(pushed.newSchema.entities.todos.attrs.n.valueType, 'number');
  assert.deepEqual(pushed.steps.map((step) => step.backgroundJob?.status), ['completed', undefined, undefined]);
  assert.equal((await api.planSchemaPush(app.id, { schema: wanted })).steps.length, 0);

  const db = init({ appId: app.id, adminToken: app.adminToken, apiURI: server.api });
  const todo = id();
  await db.transact(db.tx.todos[todo].update({ title: 'same', n: 1 }));
  await db.transact(db.tx.todos[id()].update({ title: 'same', n: 2 }));
  const unique = await api.schemaPush(app.id, { schema: todos({ title: i.string().indexed().unique(), n: i.number() }, owner) });
  const [step] = unique.steps;
  assert.equal(step.backgroundJob.status, 'errored');
  assert.equal(step.backgroundJob.error, 'triple-not-unique-error');
  assert.equal(step.backgroundJob.invalidUniqueValue, 'same');
  assert.equal(unique.newSchema.entities.todos.attrs.title.config.unique, false);

  await assert.rejects(
    api.planSchemaPush(app.id, {
      schema: todos({ title: i.string(), n: i.number() }, {
        owner: { forward: owner.owner.reverse, reverse: owner.owner.forward },
      }),
    }),
    /Conflicting link found/,
  );

  await api.pushPerms(app.id, { perms: { todos: { allow: { view: 'auth.id != null' } } } });
  assert.deepEqual((await api.getPerms(app.id)).perms, { todos: { allow: { view: 'auth.id != null' } } });
  await assert.rejects(api.pushPerms(app.id, { perms: { todos: { allow: { view: 'data.' } } } }), /Validation failed/);
});
