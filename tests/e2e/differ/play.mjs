// One seed played against a server: its schema, transactions and queries, each answer compared with the
// reference's, and what the server sent replayed by the official client's evaluator.

import assert from 'node:assert/strict';
import { makeApp, rawSession } from '../harness.mjs';
import { Generator } from './generate.mjs';
import { evaluate as official, linkIndexOf } from './official.mjs';
import { isComparable } from './disagreements.mjs';
import { Random } from './random.mjs';
import { evaluate } from './reference.mjs';
import { randomRules } from './rules.mjs';
import { attrOf, Refusal, same, Tables, Unpredictable } from './tables.mjs';

const TXS = 10, QUERIES = 3, LIVE = 4;

const attempt = (fn) => {
  try {
    return { ok: fn() };
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    return { refusal: e.body };
  }
};

const textOf = ([e, a, v, t]) => JSON.stringify([e, a, sorted(v), t]);
const sorted = (v) => v === null || typeof v !== 'object' ? v : Array.isArray(v) ? v.map(sorted)
  : Object.fromEntries(Object.keys(v).sort().map((k) => [k, sorted(v[k])]));

// What is missing is listed in no order.
function inOrder(refusal) {
  if (!refusal.hint?.records) return refusal;
  const message = refusal.message.split('. ').map((part) => {
    const [what, ids] = part.split(': ');
    return `${what}: ${ids.split(', ').sort().join(', ')}`;
  });
  const records = [...refusal.hint.records].sort((a, b) => (JSON.stringify(sorted(a)) < JSON.stringify(sorted(b)) ? -1 : 1));
  return { ...refusal, message: message.sort().join('. '), hint: { records } };
}

// What the hint says of the input is not the reference's to know, except that it is there.
function compareRefusal(answer, refusal, input) {
  answer = inOrder(answer);
  refusal = inOrder(refusal);
  const { type, message, hint } = answer;
  const said = { type, message };
  if (refusal.hint) {
    const { input: _, ...rest } = hint ?? {};
    said.hint = rest;
    const { input: __, ...wanted } = refusal.hint;
    assert.deepEqual(said, { ...refusal, hint: wanted }, 'the refusal');
  } else {
    assert.deepEqual(said, { type: refusal.type, message: refusal.message || message }, 'the refusal');
  }
  assert.equal(answer.status ?? 400, 400);
  if (hint?.['data-type'] === 'query') assert.deepEqual(hint.input, input, 'the hint\'s input');
}

class Play {
  constructor(t, server, seed, statistics) {
    Object.assign(this, { t, server, seed, statistics });
    this.random = new Random(seed);
    this.generator = new Generator(this.random);
    this.tables = new Tables();
    this.events = 0;
    this.done = [];
  }

  async run() {
    this.app = await makeApp(this.server);
    this.session = await rawSession(this.t, this.server);
    const opened = await this.ask({ op: 'init', 'app-id': this.app.id, '__admin-token': this.app.token });
    assert.equal(opened.op, 'init-ok', JSON.stringify(opened));
    this.attrs = opened.attrs;
    if (this.generator.ets.includes('$users'))
      this.tables.attrs = opened.attrs.filter((a) => a['forward-identity'][1] === '$users').map(attrOf);
    await this.transact(this.generator.schema());
    this.guest = await Guest.enter(this);
    this.watcher = await Watcher.enter(this);
    for (let n = 0; n < TXS; n++) {
      await this.transact(this.generator.steps(this.tables));
      if (n % 4 === 0) await this.saveRules();
      if (n % 3 === 1) await this.changeAttr();
      if (n % 5 === 2) await this.sayNonsense();
      await this.guest.write();
      for (const one of [this.guest, this.watcher]) {
        await one.catchUp();
        await one.subscribe();
      }
      for (let k = 0; k < QUERIES; k++) await this.query(this.generator.query(this.tables, this.tables.triples));
    }
    this.session.socket.terminate();
    this.guest.session.socket.terminate();
    this.watcher.session.socket.terminate();
  }

  async saveRules() {
    const rules = randomRules(this.random, this.generator, this.tables);
    this.doing = { rules: rules.code };
    const response = await fetch(`${this.server.api}/dash/apps/${this.app.id}/rules`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${this.app.token}` },
      body: JSON.stringify({ code: rules.code }),
    });
    assert.equal(response.status, 200, await response.text());
    this.rules = rules;
  }

  // The answer; what is told meanwhile is looked at only for attrs.
  async ask(message) {
    const event = `e${this.events++}`;
    let answer = await this.session.ask({ 'client-event-id': event, ...message });
    while (answer['client-event-id'] !== event) {
      this.attrs = answer.attrs ?? this.attrs;
      answer = await this.session.receive();
    }
    return answer;
  }

  // What the reference makes of the steps; nothing when that cannot be known.
  foresee(steps, guard) {
    if (!steps.length) return undefined;
    try {
      return attempt(() => this.tables.transact(steps, guard));
    } catch (e) {
      if (e instanceof Unpredictable) return undefined;
      throw e;
    }
  }

  // An attr changes while others look. What a query can no longer ask is given up before.
  async changeAttr() {
    const steps = this.generator.attrChange(this.tables);
    const expected = this.foresee(steps);
    const isOver = (q) => attempt(() => evaluate(expected.ok, q)).refusal;
    if (expected?.ok) for (const one of [this.guest, this.watcher]) await one.giveUp(isOver);
    await this.transact(steps);
  }

  async sayNonsense() {
    const steps = this.generator.malformed(this.tables);
    this.doing = { nonsense: steps };
    const answer = await this.ask({ op: 'transact', 'tx-steps': steps });
    assert.equal(answer.op, 'error', 'the server took nonsense');
    assert.equal(answer.type, 'validation-failed', JSON.stringify(answer));
    assert.equal(answer.status, 400);
    await this.compareState();
  }

  async transact(steps, by = this, guard) {
    const expected = this.foresee(steps, guard);
    if (!expected) return;
    this.doing = { steps, ...(guard && { rules: this.rules.code }) };
    this.done.push(steps);
    const answer = await by.ask({ op: 'transact', 'tx-steps': steps });
    this.statistics.transactions++;
    if (expected.refusal) {
      this.statistics.refusedTransactions++;
      assert.equal(answer.op, 'error', `the server took what must be refused: ${JSON.stringify(expected.refusal)}`);
      compareRefusal(answer, expected.refusal);
    } else {
      assert.equal(answer.op, 'transact-ok', `the server refused: ${answer.message}`);
      this.tables = expected.ok;
      if (steps.some((s) => s[0].endsWith('-attr'))) await this.readAttrs();
    }
    await this.compareState();
  }

  async readAttrs() {
    const before = this.attrs;
    while (this.attrs === before) this.attrs = (await this.session.receive()).attrs ?? before;
    const rank = new Map(this.attrs.map((a, n) => [a.id, n]));
    this.tables.attrs.sort((a, b) => rank.get(a.id) - rank.get(b.id));
  }

  // All triples, also of entities without an id.
  dumpQuery() {
    const nowhere = '00000000-0000-4000-8000-00000000dead';
    const any = { string: { $not: '\u0001' }, number: { $not: 0.123 }, date: { $not: 4e12 } };
    return Object.fromEntries(this.generator.ets.map((et) => {
      const attrs = this.tables.of(et);
      const or = attrs.flatMap((a) => (a.checked === 'boolean' ? [true, false].map((v) => ({ [a.label]: { $not: v } }))
        : [{ [a.label]: a.isRef || a.label === 'id' ? { $not: nowhere } : any[a.checked] ?? { $not: '\u0001' } }]));
      return [et, { $: { where: { or } }, ...Object.fromEntries(attrs.filter((a) => a.isRef && a.isMany).map((a) => [a.label, {}])) }];
    }));
  }

  async answerOf(q) {
    const answer = await this.ask({ op: 'add-query', q });
    if (answer.op === 'add-query-ok') {
      const removed = await this.ask({ op: 'remove-query', q });
      assert.equal(removed.op, 'remove-query-ok');
    }
    return answer;
  }

  // The server has what the reference has; times that are new are learnt.
  async compareState() {
    const answer = await this.answerOf(this.dumpQuery());
    assert.equal(answer.op, 'add-query-ok', answer.message);
    const rows = answer.result[0].data['datalog-result']['join-rows'][0];
    const key = (e, a, v) => JSON.stringify([e, a, sorted(v)]);
    const have = new Map(rows.map((row) => [key(row[0], row[1], row[2]), row[3]]));
    const want = new Map(this.tables.triples.map((t) => [key(t.e, t.a.id, t.v), t]));
    assert.deepEqual([...have.keys()].sort(), [...want.keys()].sort(), 'the state');
    for (const [text, t] of want) {
      if (t.t !== null) assert.equal(have.get(text), t.t, `created-at of ${text}`);
      t.t = have.get(text);
      assert.ok(Number.isInteger(t.t));
    }
  }

  async query(q) {
    this.doing = { q };
    const expected = attempt(() => evaluate(this.tables, q));
    const answer = await this.answerOf(q);
    this.statistics.queries++;
    if (expected.refusal) {
      this.statistics.refusedQueries++;
      assert.equal(answer.op, 'error', `the server took what must be refused: ${JSON.stringify(expected.refusal)}`);
      compareRefusal(answer, expected.refusal, q);
      return;
    }
    assert.equal(answer.op, 'add-query-ok', `the server refused: ${answer.message}`);
    const wanted = expected.ok;
    const { data } = answer.result[0];
    assert.deepEqual(data['page-info'] ?? {}, wanted.pageInfo, 'page-info');
    assert.deepEqual(data.aggregate ?? {}, wanted.aggregate, 'aggregate');
    const rows = data['datalog-result']['join-rows'][0];
    compareTriples(rows.map(textOf), wanted, 'the triples');
    const infers = this.random.once(2);
    await this.compareTree(q, wanted, infers);
    this.compareClient(q, wanted, answer.result, infers);
  }

  async compareTree(q, wanted, infers) {
    const response = await fetch(`${this.server.api}/admin/query`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'app-id': this.app.id, Authorization: `Bearer ${this.app.token}` },
      body: JSON.stringify({ query: q, 'inference?': infers }),
    });
    const body = await response.json();
    assert.equal(response.status, 200, JSON.stringify(body));
    const tree = wanted.tree(infers);
    for (const et of Object.keys(wanted.aggregate)) if (!(et in body)) delete tree[et];
    assert.deepEqual(settled(body), settled(tree), 'the tree');
  }

  compareClient(q, wanted, result, infers) {
    const shown = official(this.attrs, linkIndexOf(this.tables), result, q, infers);
    if (!isComparable(this.tables, q)) return;
    this.statistics.replayed++;
    const expected = wanted.client(infers);
    for (const et of Object.keys(wanted.aggregate)) delete expected[et];
    assert.deepEqual(shown.data, expected, 'what the official client shows');
  }
}

// Somebody for whom the rules count, with live queries: after each transaction and each change of rules what
// was told last is what the reference says, and nothing was told twice.
class Guest {
  live = [];
  events = 0;

  static async enter(play) {
    const guest = new this();
    guest.play = play;
    guest.session = await rawSession(play.t, play.server);
    await guest.ask({ op: 'init', 'app-id': play.app.id, versions: { '@instantdb/core': 'v1.0.67' }, ...guest.proof() });
    return guest;
  }

  proof() { return {}; }

  async ask(message) {
    const event = `g${this.events++}`;
    let answer = await this.session.ask({ 'client-event-id': event, ...message });
    while (answer['client-event-id'] !== event) {
      for (const { 'instaql-query': q, 'instaql-result': result } of answer.computations ?? []) this.told(q, result);
      answer = await this.session.receive();
    }
    return answer;
  }

  told(q, result) {
    const live = this.live.find((l) => same(l.q, q));
    const shown = shownOf(result);
    assert.ok(!same(live.last, shown), `told again: ${JSON.stringify(q)}`);
    live.last = shown;
    this.play.statistics.refreshes++;
  }

  // Nothing of the last transactions is on its way any more: the session answers in order.
  async catchUp() {
    await this.ask({ op: 'remove-query', q: { none: {} } });
    for (const { q, last } of this.live) this.compare(q, last);
  }

  // Writes as somebody for whom the rules count.
  async write() {
    const { play } = this;
    const steps = play.generator.plainSteps(play.tables);
    await play.transact(steps, this, play.rules.guard(steps));
  }

  async giveUp(isOver) {
    for (const { q } of this.live.filter((l) => isOver(l.q))) await this.ask({ op: 'remove-query', q });
    this.live = this.live.filter((l) => !isOver(l.q));
  }

  compare(q, last) {
    this.play.doing = { guest: q, rules: this.play.rules?.code };
    const { tables, rules } = this.play;
    const wanted = evaluate(tables, q, rules?.sees(tables, q.$$ruleParams ?? {}));
    // The conditions that rules become may send more, but nothing that is hidden.
    const must = textsOf(wanted.triples);
    const may = new Set(textsOf(tables.triples.filter(rules?.sees(tables, q.$$ruleParams ?? {}) ?? (() => true))));
    assert.deepEqual(must.filter((text) => !last.triples.includes(text)), [], 'what a guest lacks');
    assert.deepEqual(last.triples.filter((text) => !may.has(text)), [], 'what a guest must not have');
    assert.deepEqual(last.pageInfo, wanted.pageInfo, 'the page-info a guest has');
    this.play.statistics.liveChecks++;
  }

  async subscribe() {
    const { random, generator, tables } = this.play;
    const q = this.question(generator.query(tables, tables.triples));
    if (!q || attempt(() => evaluate(tables, q)).refusal || this.live.some((l) => same(l.q, q))) return;
    if (random.once(2)) q.$$ruleParams = { key: random.pick(['k', 'l']) };
    const answer = await this.ask({ op: 'add-query', q });
    assert.equal(answer.op, 'add-query-ok', answer.message);
    this.live.push({ q, last: shownOf(answer.result) });
    this.compare(q, this.live.at(-1).last);
    if (this.live.length > LIVE) await this.ask({ op: 'remove-query', q: this.live.shift().q });
  }

  // What of a query the reference can judge; undefined: none of it.
  question(q) {
    // Limits count what rules hide or not, and what is hidden is missing or not, as rules are conditions or not.
    for (const form of Object.values(q))
      for (const option of ['aggregate', 'limit', 'first', 'last', 'offset', 'after', 'before']) delete form.$?.[option];
    return /\$(isNull|not|ne)\b/.test(JSON.stringify(q)) ? undefined : q;
  }
}

// An admin with live queries of every kind: pages, cursors, counts (instaql.md 5).
class Watcher extends Guest {
  proof() { return { '__admin-token': this.play.app.token }; }

  question(q) { return q; }

  compare(q, last) {
    this.play.doing = { watched: q };
    const wanted = evaluate(this.play.tables, q);
    compareTriples(last.triples, wanted, 'what a watcher has');
    assert.deepEqual(last.pageInfo, wanted.pageInfo, 'the page-info a watcher has');
    assert.deepEqual(last.aggregate, wanted.aggregate, 'the count a watcher has');
    this.play.statistics.liveChecks++;
  }
}

// What is not among the reference's triples may only prove that something is not null.
function compareTriples(texts, wanted, what) {
  const sent = new Set(texts);
  const proofs = wanted.proofs.map(textsOf);
  for (const list of proofs) assert.ok(list.some((text) => sent.has(text)), `${what}: one of ${list}`);
  const must = textsOf(wanted.triples);
  const may = new Set(proofs.flat());
  assert.deepEqual(texts.filter((text) => !may.has(text) || must.includes(text)).sort(), must, what);
}

// Ties are broken by `id` (instaql.md 4.7): objects that have none stand in no order.
function settled(v) {
  if (v === null || typeof v !== 'object') return v;
  if (!Array.isArray(v)) return Object.fromEntries(Object.entries(v).map(([k, inner]) => [k, settled(inner)]));
  const list = v.map(settled);
  const isOpen = list.filter((o) => o !== null && typeof o === 'object' && !('id' in o)).length > 1;
  return isOpen ? list.sort((a, b) => (JSON.stringify(sorted(a)) < JSON.stringify(sorted(b)) ? -1 : 1)) : list;
}

const textsOf = (triples) => triples.map((t) => textOf([t.e, t.a.id, t.v, t.t])).sort();
const shownOf = ([{ data }]) => ({
  triples: data['datalog-result']['join-rows'][0].map(textOf).sort(), pageInfo: data['page-info'] ?? {},
  aggregate: data.aggregate ?? {},
});

// Ids as names.
function readable(text, { tables, generator }) {
  for (const a of tables.attrs) text = text.replaceAll(a.id, `${a.et}.${a.label}`);
  for (const [et, ids] of Object.entries(generator.ids)) ids.forEach((e, n) => { text = text.replaceAll(e, `${et}#${n}`); });
  return text;
}

const schemaText = (tables) => tables.attrs.map((a) => [`${a.et}.${a.label}`, a.isRef ? `-> ${a.revEt}.${a.revLabel}` : a.checked ?? 'any',
  a.isMany && 'many', a.isUnique && 'unique', a.isIndexed && 'indexed', a.isRequired && 'required', a.onDelete && 'on-delete',
  a.onDeleteReverse && 'on-delete-reverse'].filter(Boolean).join(' ')).join('\n');

// Plays a seed; an error says what was being done.
export async function play(t, server, seed, statistics) {
  const one = new Play(t, server, seed, statistics);
  try {
    await one.run();
  } catch (e) {
    e.message = `seed ${seed}: ${readable(`${e.message}\nwhile doing ${JSON.stringify(one.doing)}\nafter ${one.done.slice(1).slice(-4).map((s) => JSON.stringify(s)).join('\n')}`, one)}\n${schemaText(one.tables)}\n`;
    throw e;
  }
}
