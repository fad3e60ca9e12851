// Bad input over the socket and over HTTP: a clear error each time, connection and data intact.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, id, makeApp, rawSession, serve, within } from './harness.mjs';

test('whatever is sent, the session answers and goes on', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const session = await rawSession(t, server);

  const refused = async (text, type, message) => {
    session.sendText(text);
    const answer = await session.receive();
    assert.equal(answer.op, 'error', JSON.stringify(answer).slice(0, 300));
    assert.equal(answer.type, type, JSON.stringify(answer).slice(0, 300));
    assert.match(answer.message, message);
    assert.equal(typeof answer.status, 'number');
    return answer;
  };
  await refused('{"op":"add-query","q":{"a":{}}}', 'validation-failed', /`init` has not run/);
  const missing = await refused(JSON.stringify({ op: 'init', 'app-id': id() }), 'record-not-found', /Record not found: app/);
  assert.equal(missing.hint['record-type'], 'app');
  const ok = await session.ask({ op: 'init', 'app-id': app.id, 'client-event-id': 'x' });
  assert.equal(ok.op, 'init-ok');
  assert.equal(ok['client-event-id'], 'x');

  await refused('not json', 'param-malformed', /./);
  await refused('[1,2]', 'param-malformed', /./);
  await refused('"text"', 'param-malformed', /./);
  await refused('null', 'param-malformed', /Invalid op/);
  await refused('{"op":"refresh"}', 'param-malformed', /Invalid op/);
  await refused('{"op":7}', 'param-malformed', /Invalid op/);
  await refused('['.repeat(10000) + ']'.repeat(10000), 'param-malformed', /./);
  const error = await refused('{"op":"add-query","client-event-id":"e1","q":null}', 'validation-failed',
    /^Validation failed for add-query: Query can not be null\.$/);
  assert.equal(error['client-event-id'], 'e1');
  assert.equal(error['original-event'].op, 'add-query');
  await refused('{"op":"add-query","q":{"a":{"$":{"limit":-1}}}}', 'validation-failed',
    /The limit field must be a positive integer\. Got -1\./);
  await refused('{"op":"add-query","q":[1]}', 'validation-failed', /./);
  await refused('{"op":"transact","tx-steps":7}', 'validation-failed', /tx-steps/);
  await refused('{"op":"transact","tx-steps":[7]}', 'validation-failed', /tx-steps/);
  await refused('{"op":"transact","tx-steps":[["add-triple","not-a-uuid","x",1]]}', 'validation-failed', /./);
  await refused('{"op":"transact","tx-steps":[["explode"]]}', 'validation-failed', /./);
  await refused(`{"op":"transact","tx-steps":[["add-triple","${id()}","${id()}",1]]}`, 'sql-raise',
    /We could not find an attribute with id/);
  await refused('{"op":"transact","tx-steps":[["add-triple","x",1e999,1]]}', 'param-malformed', /./);
  await refused('{"op":"transact","tx-steps":NaN}', 'param-malformed', /./);

  const again = await session.ask({ op: 'add-query', 'client-event-id': 'q', q: { a: {} } });
  assert.equal(again.op, 'add-query-ok');
  assert.deepEqual(again.result[0].data['datalog-result']['join-rows'], [[]]);
});

test('large values and large transactions', async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const db = connect(t, server, app);
  const entered = new Promise((resolve) => {
    db.subscribeConnectionStatus((status) => status === 'authenticated' && resolve());
  });
  await within(20000, 'the session', entered); // else the write would only be told "enqueued"
  const big = 'ä'.repeat(512 * 1024);
  const note = id();
  await db.transact(db.tx.notes[note].update({ text: big }));
  const { data } = await db.queryOnce({ notes: {} });
  assert.equal(data.notes[0].text, big);

  const session = await rawSession(t, server);
  const ok = await session.ask({ op: 'init', 'app-id': app.id, 'client-event-id': id() });
  const attr = (label) => ok.attrs.find((a) => a['forward-identity'][1] === 'notes' && a['forward-identity'][2] === label).id;
  const steps = [];
  for (let n = 0; n < 50000; n++) {
    const e = id();
    steps.push(['add-triple', e, attr('id'), e], ['add-triple', e, attr('text'), `n${n}`]);
  }
  session.sendText(JSON.stringify({ op: 'transact', 'client-event-id': 'many', 'tx-steps': steps }));
  const answer = await session.receive(60000);
  assert.equal(answer.op, 'transact-ok', JSON.stringify(answer).slice(0, 300));
});

test('HTTP: unknown routes, bad bodies, preflights', async (t) => {
  const server = await serve(t);
  const unknown = await fetch(`${server.api}/nothing/here`);
  assert.equal(unknown.status, 404);
  assert.deepEqual(await unknown.json(), { message: "Oops! We couldn't match this route." });
  const bad = await fetch(`${server.api}/dash/apps/ephemeral`, { method: 'POST', body: '{"title":' });
  assert.equal(bad.status, 400);
  assert.equal((await bad.json()).type, 'param-malformed');
  const preflight = await fetch(`${server.api}/dash/apps/ephemeral`, {
    method: 'OPTIONS',
    headers: { Origin: 'http://example.test', 'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'content-type' },
  });
  assert.equal(preflight.headers.get('access-control-allow-origin'), 'http://example.test');
  assert.match(preflight.headers.get('access-control-allow-methods'), /POST/);
  const health = await fetch(`${server.api}/health/system`);
  assert.deepEqual(await health.json(), { wal: 'ok' });
});
