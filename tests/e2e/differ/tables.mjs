// The reference for transactions (transactions.md 7-10): plain lists of attrs and triples, every step
// done by looking at all of them. Slow, and short enough to be checked by reading.

export class Refusal extends Error {
  constructor(type, message, hint) {
    super(message);
    this.body = { type, message, hint };
  }
}

// What depends on an id that the server will make up.
export class Unpredictable extends Error {}

const isMap = (v) => v !== null && typeof v === 'object' && !Array.isArray(v);
export const isUuid = (v) => typeof v === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(v);
// Equality of JSON values; keys in any order.
export function same(a, b) {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((k) => Object.hasOwn(b, k) && same(a[k], b[k]));
}

// The instant of a stored date. Only the forms that the generator writes.
export function instant(v) {
  if (typeof v === 'number') return v;
  const zoned = /[TZ]/.test(v) ? (v.endsWith('Z') ? v : `${v}Z`) : v.includes(' ') ? `${v.replace(' ', 'T')}Z` : v;
  return Date.parse(zoned);
}

const jsonType = (v) => (v === null ? 'null' : Array.isArray(v) ? 'array' : typeof v);
const hasType = (attr, v) =>
  attr.checked === 'date'
    ? typeof v === 'number' || (typeof v === 'string' && !Number.isNaN(instant(v)))
    : typeof v === attr.checked;

export function deepMerge(target, patch) {
  if (!isMap(target) || !isMap(patch)) return patch;
  const out = { ...target };
  for (const [k, v] of Object.entries(patch)) {
    if (v === null) delete out[k];
    else out[k] = Object.hasOwn(out, k) && isMap(out[k]) && isMap(v) ? deepMerge(out[k], v) : v;
  }
  return out;
}

const invalid = (type, input, message) =>
  new Refusal('validation-failed', `Validation failed for ${type}: ${message}`,
    { 'data-type': type, input, errors: [{ message }] });
const raised = (text) =>
  new Refusal('sql-raise', `Raised Exception: ${text}`, { table: null, condition: 'raise-exception', constraint: text });

// attr: {id, et, label, isRef, isMany, isUnique, isIndexed, isRequired, checked, revEt, revLabel, onDelete, onDeleteReverse}
// triple: {e, a: attr, v, t}; t is null until it was seen from outside.
export class Tables {
  attrs = [];
  triples = [];

  clone() {
    const copy = new Tables();
    copy.attrs = [...this.attrs];
    copy.triples = this.triples.map((t) => ({ ...t }));
    return copy;
  }

  forward(et, label) { return this.attrs.find((a) => a.et === et && a.label === label); }
  reverse(et, label) { return this.attrs.find((a) => a.isRef && a.revEt === et && a.revLabel === label); }
  byId(id) { return this.attrs.find((a) => a.id === id); }
  of(et) { return this.attrs.filter((a) => a.et === et); }
  at(e, a) { return this.triples.find((t) => t.e === e && t.a === a); }
  exists(e, et) { return this.triples.some((t) => t.e === e && t.a.et === et && t.a.label === 'id'); }

  put(e, a, v, touched) {
    touched.add(`${e} ${a.et}`);
    if (!a.isRef) this.checkValue(e, a, v);
    const old = a.isMany ? this.triples.find((t) => t.e === e && t.a === a && same(t.v, v)) : this.at(e, a);
    if (old && same(old.v, v)) return;
    const other = a.isUnique && v !== null && this.triples.find((t) => t.a === a && t.e !== e && same(t.v, v));
    if (other)
      throw new Refusal('record-not-unique',
        `\`${a.label}\` is a unique attribute on \`${a.et}\` and an entity already exists with \`${a.et}.${a.label}\` = ${JSON.stringify(v)}`,
        { 'record-type': 'triple', 'attr-id': a.id, etype: a.et, label: a.label, value: JSON.stringify(v) });
    if (old && !a.isMany) old.v = v;
    else this.triples.push({ e, a, v, t: null });
  }

  checkValue(e, a, v) {
    const hint = { namespace: a.et, attribute: a.label, value: v, 'checked-data-type': a.checked ?? null, 'attr-id': a.id, 'entity-id': e };
    if (v !== null && a.checked && !hasType(a, v))
      throw new Refusal('validation-failed',
        `Invalid value type for ${a.et}.${a.label}. Value must be a ${a.checked} but the provided value type is ${jsonType(v)}.`, hint);
    if ((a.isIndexed || a.isUnique) && typeof v === 'string' && v.length > 1012)
      throw new Refusal('validation-failed', `Value is too large for ${a.isUnique ? 'a unique' : 'an indexed'} attribute.`,
        { ...hint, value: null, 'value-too-large?': true });
  }

  // Indexed blobs of an entity whose id was written have a null at least.
  fillNulls(e, et, touched) {
    for (const a of this.of(et))
      if (!a.isRef && a.isIndexed && !a.isSystem && a.label !== 'id' && !this.at(e, a)) this.put(e, a, null, touched);
  }

  find(lookup) {
    const attr = this.byId(lookup[0]);
    return this.triples.find((t) => t.a === attr && same(t.v, lookup[1]))?.e;
  }

  // The state after the steps, or a Refusal. guard: of somebody who is no admin (writes.mjs).
  transact(steps, guard) {
    const next = this.clone();
    next.run(steps, guard);
    return next;
  }

  run(steps, guard) {
    const touched = new Set();
    const deletes = this.expandDeletes(steps);
    this.checkModes(steps);
    guard?.before(this, deletes);
    const lookups = new Map();
    const entity = (e) => {
      if (!Array.isArray(e)) return e;
      const key = JSON.stringify(e);
      if (!lookups.has(key)) lookups.set(key, this.find(e));
      return lookups.get(key);
    };
    const made = (e) => {
      const found = entity(e);
      if (found === undefined) throw new Unpredictable();
      return found;
    };
    const groups = {
      'add-triple': (list) => this.addTriples(list, made, touched),
      'deep-merge-triple': (list) => this.deepMerges(list, made, touched),
      'retract-triple': (list) => this.retracts(list, entity, touched),
      'delete-entity': () => this.deleteAll(deletes, touched),
      'add-attr': (list) => list.forEach(([, attr]) => this.addAttr(attr, touched)),
      'update-attr': (list) => list.forEach(([, update]) => this.updateAttr(update, touched)),
      'delete-attr': (list) => list.forEach(([, id]) => this.deleteAttr(id)),
    };
    for (const op of new Set(steps.map((s) => s[0]))) groups[op](steps.filter((s) => s[0] === op));
    this.checkRequired(touched);
    for (const [op, update] of steps) if (op === 'update-attr' && update['required?']) this.checkNowRequired(this.byId(update.id));
    guard?.after(this);
  }

  checkModes(steps) {
    const wrong = { create: [], update: [] };
    for (const [op, e, a, , opts] of steps) {
      if ((op !== 'add-triple' && op !== 'deep-merge-triple') || !opts?.mode || opts.mode === 'upsert') continue;
      const et = this.byId(a)?.et;
      const id = Array.isArray(e) ? this.find(e) : e;
      const exists = id !== undefined && this.triples.some((t) => t.e === id && t.a.et === et);
      if (exists === (opts.mode === 'create')) wrong[opts.mode].push(Array.isArray(e) ? `[#uuid "${e[0]}" ${JSON.stringify(e[1])}]` : e);
    }
    for (const [mode, text] of [['create', 'Creating entities that exist'], ['update', "Updating entities that don't exist"]])
      if (wrong[mode].length) throw invalid('tx-step', null, `${text}: ${wrong[mode].join(', ')}`);
  }

  linkTarget(a, e, v) {
    if (Array.isArray(v)) {
      const found = this.find(v);
      const at = this.byId(v[0]);
      if (!found)
        throw invalid('lookup', { 'attribute-id': v[0], namespace: at.et, label: at.label, value: v[1] },
          'The entity for the lookup does not exist.');
      return found;
    }
    if (!isUuid(v))
      throw new Refusal('validation-failed', 'Linked value must be a valid uuid.',
        { namespace: a.et, attribute: a.label, value: v, 'checked-data-type': null, 'attr-id': a.id, 'entity-id': e });
    return v;
  }

  addTriples(steps, entity, touched) {
    const list = steps.map(([, eid, aid, v]) => {
      const a = this.byId(aid);
      const e = entity(eid);
      if (!a) throw raised(`We could not find an attribute with id = '${aid}'`);
      const isLink = a.isRef || (a.label === 'id' && Array.isArray(v));
      return { e, a, v: isLink ? this.linkTarget(a, e, v) : v };
    });
    list.forEach(({ e, a, v }, n) => {
      // Of several writes to one value only the last counts.
      if (!a.isMany && list.slice(n + 1).some((later) => later.e === e && later.a === a)) return;
      this.put(e, a, v, touched);
    });
    for (const { e, a } of list) if (a.label === 'id') this.fillNulls(e, a.et, touched);
  }

  deepMerges(steps, entity, touched) {
    for (const [, eid, aid, patch] of steps) {
      const a = this.byId(aid);
      const e = entity(eid);
      if (!a) throw raised(`We could not find an attribute with id = '${aid}'`);
      if (a.isRef) throw raised('merge operation is not supported for links');
      const old = this.at(e, a);
      this.put(e, a, old ? deepMerge(old.v, patch) : patch, touched);
    }
  }

  remove(keep, touched) {
    this.triples = this.triples.filter((t) => {
      if (keep(t)) return true;
      touched.add(`${t.e} ${t.a.et}`);
      return false;
    });
  }

  retracts(steps, entity, touched) {
    for (const [, eid, aid, v] of steps) {
      const a = this.byId(aid);
      const e = entity(eid);
      const value = a?.isRef && Array.isArray(v) ? this.find(v) : v;
      this.remove((t) => !(t.e === e && t.a === a && same(t.v, value)), touched);
    }
  }

  // Deletes are closed over the cascades before anything is written.
  expandDeletes(steps) {
    const set = new Set();
    for (const [op, eid, et] of steps) {
      if (op !== 'delete-entity') continue;
      const e = Array.isArray(eid) ? this.find(eid) : eid;
      if (e === undefined) continue;
      const ets = et ? [et] : [...new Set(this.triples.filter((t) => t.e === e).map((t) => t.a.et))];
      for (const name of ets) set.add(`${e} ${name}`);
    }
    for (const member of set) {
      const [e, et] = member.split(' ');
      for (const t of this.triples) {
        if (t.a.isRef && t.a.onDelete && t.v === e && t.a.revEt === et) set.add(`${t.e} ${t.a.et}`);
        if (t.a.isRef && t.a.onDeleteReverse && t.e === e && t.a.et === et) set.add(`${t.v} ${t.a.revEt}`);
      }
    }
    return set;
  }

  deleteAll(set, touched) {
    this.remove((t) => !(set.has(`${t.e} ${t.a.et}`) || (t.a.isRef && set.has(`${t.v} ${t.a.revEt}`))), touched);
  }

  checkRequired(touched) {
    const missing = new Map();
    for (const member of touched) {
      const [e, et] = member.split(' ');
      const attrs = this.of(et);
      const has = (a) => this.triples.some((t) => t.e === e && t.a === a && t.v !== null);
      if (!attrs.some((a) => a.isRequired) || !attrs.some(has)) continue;
      for (const a of attrs)
        if ((a.isRequired || a.label === 'id') && !has(a)) missing.set(a, [...(missing.get(a) ?? []), e]);
    }
    if (!missing.size) return;
    const parts = [...missing].map(([a, ids]) =>
      `Missing required attribute${ids.length > 1 ? 's' : ''} \`${a.et}/${a.label}\`: ${ids.join(', ')}`);
    const records = [...missing].flatMap(([a, ids]) => ids.map((e) =>
      ({ entity_id: e, attr_id: a.id, etype: a.et, label: a.label, is_required: a.isRequired })));
    throw new Refusal('validation-failed', parts.join('. '), { records });
  }

  // Attrs are never changed: a new one takes the old one's place.
  updateAttr(update, touched) {
    const old = this.byId(update.id);
    const a = attrOf({ ...old.wire, 'on-delete': null, 'on-delete-reverse': null, ...update });
    this.checkName(a, old);
    this.attrs = this.attrs.map((x) => (x === old ? a : x));
    for (const t of this.triples) if (t.a === old) t.a = a;
    const own = this.triples.filter((t) => t.a === a);
    // Which of several is named is anybody's guess.
    const twice = (key) => own.some((t, n) => key(t) !== null && own.some((u, m) => m < n && same(key(u), key(t))));
    if (a.isUnique && !old.isUnique && twice((t) => t.v)) throw new Refusal('record-not-unique');
    if (!a.isMany && old.isMany && twice((t) => t.e)) throw new Refusal('record-not-unique');
    if ((a.isIndexed || a.isUnique) && own.some((t) => typeof t.v === 'string' && t.v.length > 1000)) throw new Unpredictable();
    if (a.isIndexed && !old.isIndexed && !a.isRef)
      for (const t of [...this.triples]) if (t.a.et === a.et && t.a.label === 'id' && !this.at(t.e, a)) this.put(t.e, a, null, touched);
  }

  checkName(a, old) {
    if (this.attrs.some((x) => x !== old && x.et === a.et && x.label === a.label))
      throw new Refusal('record-not-unique', `\`${a.label}\` already exists on \`${a.et}\``);
  }

  checkNowRequired(a) {
    const having = (list) => new Set(this.triples.filter((t) => list.includes(t.a) && t.v !== null).map((t) => t.e)).size;
    if (having([a]) !== having(this.of(a.et)))
      throw invalid('attributes', null,
        `Can't update attribute \`${a.label}\` to required because \`${a.et}\` already have entities without it`);
  }

  // Its triples are hidden.
  deleteAttr(id) {
    const a = this.byId(id);
    this.attrs = this.attrs.filter((x) => x !== a);
    this.triples = this.triples.filter((t) => t.a !== a);
  }

  addAttr(wire, touched) {
    const a = attrOf(wire);
    this.checkName(a);
    if (a.isRequired && this.triples.some((t) => t.a.et === a.et))
      throw invalid('attributes', null,
        `Can't create attribute \`${a.label}\` as required because \`${a.et}\` already have entities`);
    this.attrs.push(a);
    if (a.isRef || !a.isIndexed || a.label === 'id') return;
    for (const t of [...this.triples])
      if (t.a.et === a.et && t.a.label === 'id') this.put(t.e, a, null, touched);
  }
}

export function attrOf(wire) {
  const [, et, label] = wire['forward-identity'];
  return {
    wire, isSystem: wire.catalog === 'system', id: wire.id, et, label, isRef: wire['value-type'] === 'ref', isMany: wire.cardinality === 'many',
    isUnique: wire['unique?'], isIndexed: wire['index?'], isRequired: wire['required?'] ?? false,
    checked: wire['checked-data-type'], revEt: wire['reverse-identity']?.[1], revLabel: wire['reverse-identity']?.[2],
    onDelete: wire['on-delete'] === 'cascade', onDeleteReverse: wire['on-delete-reverse'] === 'cascade',
  };
}
