// The reference for rules on writes (permissions.md 7.2): which checks a transaction of somebody who is no
// admin needs, and what each is asked with.

import { deepMerge, Refusal, Unpredictable } from './tables.mjs';

// An entity as `data` has it.
export function recordOf(tables, e, et) {
  const out = {};
  for (const t of tables.triples) if (t.e === e && t.a.et === et && !t.a.isMany) out[t.a.label] = t.v;
  return out;
}

// Ids at a link's other end, of entities that are there.
export function linkedIds(tables, et, e, label) {
  const forward = tables.forward(et, label);
  const attr = forward ?? tables.reverse(et, label);
  if (e === undefined || !attr) return [];
  const others = tables.triples.filter((t) => t.a === attr && (forward ? t.e : t.v) === e).map((t) => (forward ? t.v : t.e));
  return others.filter((id) => tables.exists(id, forward ? attr.revEt : attr.et));
}

// One transaction of somebody who is no admin.
export class Guard {
  later = [];

  // of(et, action, label): the rule, if there is one.
  constructor(of, steps) {
    Object.assign(this, { of, steps });
  }

  exists(e, et) { return this.known.has(`${e} ${et}`); }

  check(action, e, et, label, other) {
    const rule = this.of(et, action, label);
    if (!rule) return;
    const isNow = action === 'delete' || this.exists(e, et);
    (isNow ? this.now : this.later).push({ rule, e, et, other });
  }

  link(a, [op, e, , v]) {
    const action = op === 'retract-triple' ? 'unlink' : 'link';
    const isLink = action === 'link';
    if (!this.of(a.et, action, a.label) && !this.of(a.revEt, action, a.revLabel)) {
      if (this.exists(e, a.et)) this.check('update', e, a.et);
      else if (isLink) this.check('create', e, a.et);
      if (this.exists(v, a.revEt) || isLink) this.check('view', v, a.revEt);
      return;
    }
    if (this.exists(e, a.et) || isLink) this.check(action, e, a.et, a.label, [v, a.revEt]);
    if (this.exists(v, a.revEt) || isLink) this.check(action, v, a.revEt, a.revLabel, [e, a.et]);
  }

  // Before anything is written. deletes: all that the delete-entity steps come to, "e et".
  before(tables, deletes) {
    this.known = new Set(tables.triples.map((t) => `${t.e} ${t.a.et}`));
    this.now = [];
    for (const step of this.steps) {
      const [op, e, at] = step;
      const a = tables.byId(at);
      if (op === 'delete-entity') {
        if (at && !this.exists(e, at)) this.check('delete', e, at);
      } else if (a?.isRef) {
        this.link(a, step);
      } else if (a && op !== 'retract-triple') {
        this.check(this.exists(e, a.et) ? 'update' : 'create', e, a.et);
      }
    }
    for (const member of deletes) if (member.endsWith('$users')) throw new Unpredictable(); // by a cascade
    for (const member of deletes) this.check('delete', ...member.split(' '));
    this.judge(this.now, tables, true);
  }

  after(tables) { this.judge(this.later, tables, false); }

  judge(checks, tables, isBefore) {
    const linked = (et, e, label) => linkedIds(tables, et, e, label);
    for (const { rule, e, et, other } of checks) {
      const data = recordOf(tables, e, et);
      const action = (id, of) => (this.exists(id, of) ? 'update' : 'create');
      const actions = other && { data: action(e, et), linkedData: action(...other) };
      const newData = isBefore ? this.fold(tables, data, e, et) : data;
      if (!rule.means(data)({ params: {}, linked, newData, actions }))
        throw new Refusal('permission-denied', 'Permission denied: not perms-pass?');
    }
  }

  // With all steps of the transaction for the entity.
  fold(tables, data, e, et) {
    const out = { ...data };
    for (const [op, id, aid, v] of this.steps) {
      const a = tables.byId(aid);
      if (id !== e || a?.et !== et || a.isMany) continue;
      out[a.label] = op === 'retract-triple' ? null : op === 'deep-merge-triple' ? deepMerge(out[a.label], v) : v;
    }
    return out;
  }
}
