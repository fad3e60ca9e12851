// Random schemas, transactions and queries, small and full of collisions.

const strings = ['', 'a', 'A', 'ab', 'aB', 'b', 'a%b', 'a_b', 'axb', 'é', 'ez', 'z', 'Z', '10', '2', 'true', 'line\nbreak', 'ß', 'ss', '日本'];
const numbers = [0, 1, -1, 1.5, 2, 10, 1e21, 1e-7, -3.25];
const dates = ['2025-01-02', '2025-01-02T00:00:00Z', '2025-01-02T03:04:05.678Z', '2024-12-31 23:59:59', '1969-07-20', 0, 1735776000000, -1, '2025-01-02T00:00:00.000Z'];
const jsons = [{}, [], { a: 1 }, { a: { b: 1, c: null } }, [1, 'x', null], { b: [1, 2] }, { a: null, z: 'z' }];
const patterns = ['%', 'a%', '%b', 'a_b', '_', '%a%', 'A%', '', 'a\\%b', '%\n%', 'é%', '__', 'ß', 'SS', '%B'];

const checkedTypes = ['string', 'number', 'boolean', 'date', undefined];
const blobLabels = ['title', 'count', 'flag', 'when', 'extra', 'code'];
const linkLabels = [['author', 'posts'], ['tags', 'tagged'], ['parent', 'children'], ['owner', 'owned'], ['next', 'previous']];
const missing = 'nothing';

export class Generator {
  constructor(random) {
    this.random = random;
    this.ets = ['people', 'posts', 'tags', ...(random.once(2) ? ['$users'] : [])];
    this.shared = random.uuid();
    this.ids = Object.fromEntries(this.ets.map((et) => [et, [...Array.from({ length: 5 }, () => random.uuid()), this.shared]]));
  }

  wire(et, label, more = {}) {
    return {
      id: this.random.uuid(), 'forward-identity': [this.random.uuid(), et, label], 'value-type': 'blob', cardinality: 'one',
      'unique?': false, 'index?': false, ...more,
    };
  }

  blob(et, label) {
    const { random } = this;
    const checked = random.pick(checkedTypes);
    const isUnique = random.once(8);
    return this.wire(et, label, {
      'unique?': isUnique, 'index?': random.once(2), 'required?': random.once(10) && et !== '$users',
      ...(checked && { 'checked-data-type': checked }),
    });
  }

  link([label, reverse]) {
    const { random } = this;
    const et = random.pick(this.ets);
    const target = random.pick(this.ets);
    const isMany = random.once(2);
    const isUnique = random.once(3);
    return this.wire(et, label, {
      'value-type': 'ref', cardinality: isMany ? 'many' : 'one', 'unique?': isUnique,
      'reverse-identity': [random.uuid(), target, reverse], 'required?': !isMany && random.once(12) && et !== '$users',
      ...(!isMany && random.once(3) && { 'on-delete': 'cascade' }),
      ...(isUnique && random.once(2) && { 'on-delete-reverse': 'cascade' }),
    });
  }

  schema() {
    const { random } = this;
    const out = this.ets.filter((et) => et !== '$users').map((et) => this.wire(et, 'id', { 'unique?': true }));
    for (const et of this.ets)
      for (const label of blobLabels) if (!random.once(4)) out.push(this.blob(et, label));
    for (const labels of linkLabels) if (!random.once(4)) out.push(this.link(labels));
    return out.map((attr) => ['add-attr', attr]);
  }

  value(attr) {
    const { random } = this;
    if (random.once(12)) return null;
    switch (attr.checked) {
      case 'string': return random.pick(strings);
      case 'number': return random.pick(numbers);
      case 'boolean': return random.once(2);
      case 'date': return random.pick(dates);
      default: return random.pick(random.pick([strings, numbers, [true, false], jsons]));
    }
  }

  // ---- transactions ----

  steps(tables) {
    const out = [];
    for (let n = 1 + this.random.below(4); n > 0; n--) out.push(...this.action(tables));
    return out;
  }

  // An entity of a namespace: mostly its id, else a lookup.
  entity(tables, et, e) {
    const { random } = this;
    const unique = tables.triples.filter((t) => t.e === e && t.a.et === et && t.a.isUnique && t.v !== null);
    if (!unique.length || !random.once(5)) return e;
    const t = random.pick(unique);
    return [t.a.id, t.v];
  }

  action(tables) {
    const { random } = this;
    const et = random.pick(this.ets);
    const e = random.pick(this.ids[et]);
    const attrs = tables.of(et);
    const id = attrs.find((a) => a.label === 'id');
    const blobs = attrs.filter((a) => !a.isRef && a !== id);
    const refs = attrs.filter((a) => a.isRef);
    const eid = this.entity(tables, et, e);
    const opts = random.weigh([[6, []], [1, [{ mode: 'upsert' }]], [1, [{ mode: 'create' }]], [1, [{ mode: 'update' }]], [1, [null]]]);
    switch (random.weigh([[8, 'update'], [4, 'link'], [2, 'unlink'], [2, 'merge'], [2, 'delete'], [1, 'retract'], [1, 'attr'], [1, 'odd']])) {
      case 'update': {
        const needed = tables.exists(e, et) ? [] : blobs.filter((a) => a.isRequired);
        const some = random.some(blobs, blobs.length ? random.below(4) : 0);
        const links = tables.exists(e, et) ? [] : refs.filter((a) => a.isRequired);
        return [
          ['add-triple', eid, id.id, eid, ...opts],
          ...[...needed, ...some].map((a) => ['add-triple', eid, a.id, this.value(a), ...opts]),
          ...links.map((a) => ['add-triple', eid, a.id, random.pick(this.ids[a.revEt])]),
        ];
      }
      case 'link': {
        if (!refs.length) return [];
        const a = random.pick(refs);
        const target = random.pick(this.ids[a.revEt]);
        return [['add-triple', eid, a.id, this.entity(tables, a.revEt, target)]];
      }
      case 'unlink': {
        const links = tables.triples.filter((t) => t.a.isRef);
        if (!links.length) return [];
        const t = random.pick(links);
        return [['retract-triple', this.entity(tables, t.a.et, t.e), t.a.id, random.once(8) ? random.uuid() : t.v]];
      }
      case 'merge': {
        if (!blobs.length) return [];
        const a = random.pick(blobs);
        return [['add-triple', eid, id.id, eid, ...opts], ['deep-merge-triple', eid, a.id, random.once(2) ? random.pick(jsons) : this.value(a), ...opts]];
      }
      case 'delete':
        return [['delete-entity', eid, ...(random.once(6) ? (random.once(2) ? [null] : []) : [et])]];
      case 'retract': {
        const t = tables.triples.length && random.pick(tables.triples);
        return t ? [['retract-triple', t.e, t.a.id, t.v]] : [];
      }
      case 'attr': {
        const label = random.pick(blobLabels);
        return tables.forward(et, label) ? [] : [['add-attr', this.blob(et, label)]];
      }
      default:
        return this.odd(tables, et, eid, blobs, refs);
    }
  }

  // A change of one attr, another than before. Not of `id`, on which all stands.
  attrChange(tables) {
    const { random } = this;
    const a = random.pick(tables.attrs.filter((x) => x.label !== 'id' && x.et !== '$users'));
    if (!a) return [];
    if (random.once(6)) return [['delete-attr', a.id]];
    const flip = (key) => ({ id: a.id, [key]: !a.wire[key], ...this.cascades(a) });
    switch (random.weigh([[3, 'index'], [3, 'unique'], [2, 'required'], [2, 'rename'], [a.isRef ? 3 : 0, 'many']])) {
      case 'index': return [['update-attr', flip('index?')]];
      case 'unique': return [['update-attr', flip('unique?')]];
      case 'required': return a.isMany ? [] : [['update-attr', flip('required?')]];
      case 'many': return [['update-attr', { id: a.id, cardinality: a.isMany ? 'one' : 'many' }]];
      default: {
        const label = random.pick([...blobLabels, `${a.label}2`]);
        if (tables.reverse(a.et, label) || label === a.label) return [];
        return [['update-attr', { id: a.id, 'forward-identity': [a.wire['forward-identity'][0], a.et, label], ...this.cascades(a) }]];
      }
    }
  }

  // An update that does not name them clears them.
  cascades(a) {
    if (this.random.once(3)) return {};
    return { ...(a.onDelete && { 'on-delete': 'cascade' }), ...(a.onDeleteReverse && { 'on-delete-reverse': 'cascade' }) };
  }

  // Steps that somebody may send who is no admin; deletes by themselves.
  plainSteps(tables) {
    const plain = this.steps(tables).filter(([op, e, at, v]) => {
      const a = tables.byId(at);
      if (a?.et === '$users' || (op === 'delete-entity' && (at ?? '$users') === '$users')) return false;
      return typeof e === 'string' && (op === 'delete-entity' || (a && !(a.isRef && (typeof v !== 'string' || op === 'deep-merge-triple')) &&
        !(a.isRef && !/^[0-9a-f-]{36}$/.test(v)) && !(a.label === 'id' && Array.isArray(v))));
    });
    const deletes = plain.filter(([op]) => op === 'delete-entity');
    return deletes.length ? deletes : plain;
  }

  // What has no sense at all.
  malformed(tables) {
    const { random } = this;
    const a = random.pick(tables.attrs);
    const e = random.pick(this.ids[a.et]);
    const bad = random.pick([['add-triple', 'no uuid', a.id, 1], ['frobnicate', e], 'steps', {}, null, ['add-triple'], ['add-triple', e],
      ['add-triple', e, 'no uuid', 1], ['delete-entity', 5, a.et], ['retract-triple', e, a.id], ['add-triple', e, a.id, 1, { mode: 'sideways' }],
      ['deep-merge-triple', [a.id], a.id, {}], ['add-attr', { id: random.uuid() }], ['add-attr', 7], ['update-attr', {}], ['delete-attr', null],
      ['rule-params', e, a.et, 'x']]);
    return random.once(2) ? [bad] : [['add-triple', e, tables.forward(a.et, 'id').id, e], bad];
  }

  // What must be refused, or nearly.
  odd(tables, et, eid, blobs, refs) {
    const { random } = this;
    const some = blobs.length ? random.pick(blobs) : null;
    const choices = [
      ['add-triple', eid, random.uuid(), 1],
      ...(some ? [['add-triple', eid, some.id, random.pick([...strings, ...numbers, ...jsons, true, null])],
        ['add-triple', eid, some.id, 'x'.repeat(1013)]] : []),
      ...refs.map((a) => ['add-triple', eid, a.id, random.pick(['not a uuid', 7, null, random.uuid()])]),
      ...refs.map((a) => ['deep-merge-triple', eid, a.id, { a: 1 }]),
      ['delete-entity', random.uuid(), et],
    ];
    return [random.pick(choices)];
  }

  // ---- queries ----

  query(tables, rows) {
    const { random } = this;
    const out = {};
    for (let n = random.weigh([[6, 1], [2, 2], [1, 3]]); n > 0; n--) {
      const et = random.once(30) ? missing : random.pick(this.ets);
      out[et] = this.form(tables, et, 0, rows);
    }
    return out;
  }

  form(tables, et, level, rows) {
    const { random } = this;
    const form = {};
    const options = this.options(tables, et, level, rows);
    if (Object.keys(options).length || random.once(8)) form.$ = options;
    if (level < 3 && !options.aggregate && random.once(level + 1)) {
      const labels = this.links(tables, et);
      for (let n = random.below(3); n > 0 && labels.length; n--) {
        const [label, target] = random.once(30) ? [missing, et] : random.pick(labels);
        form[label] = this.form(tables, target, level + 1, rows);
      }
    }
    return form;
  }

  links(tables, et) {
    return tables.attrs.filter((a) => a.isRef).flatMap((a) => [
      ...(a.et === et ? [[a.label, a.revEt]] : []), ...(a.revEt === et ? [[a.revLabel, a.et]] : []),
    ]);
  }

  options(tables, et, level, rows) {
    const { random } = this;
    const out = {};
    if (!random.once(3)) out.where = this.where(tables, et, 0);
    if (random.once(6)) out.fields = random.some([...blobLabels, 'id', missing, ...linkLabels.map(([l]) => l)], random.below(4));
    if (level > 0) {
      if (random.once(10)) out.limit = 1 + random.below(3);
      if (random.once(10)) out.order = this.order(tables, et);
      return out;
    }
    if (random.once(12)) {
      out.aggregate = 'count';
      if (random.once(2)) return out;
    }
    if (random.once(2)) return out;
    if (!random.once(3)) out.order = this.order(tables, et);
    if (!random.once(3)) out[random.pick(['limit', 'first', 'last'])] = 1 + random.below(4);
    if (random.once(4)) out.offset = random.below(4);
    if (random.once(2)) this.cursors(tables, et, out, rows);
    return out;
  }

  order(tables, et) {
    const { random } = this;
    const good = tables.of(et).filter((a) => a.isIndexed && a.checked && !a.isMany);
    const label = random.weigh([[3, 'serverCreatedAt'], [good.length * 3, random.pick(good.length ? good : [{}]).label], [1, random.pick([...blobLabels, missing])]]);
    return { [label]: random.pick(['asc', 'desc']) };
  }

  // Cursors of rows that the same order shows, or that are gone.
  cursors(tables, et, options, rows) {
    const { random } = this;
    const attr = tables.forward(et, Object.keys(options.order ?? { serverCreatedAt: 1 })[0]);
    const label = attr ?? tables.forward(et, 'id');
    const at = rows.filter((t) => t.a === label);
    if (!at.length) return;
    const cursor = () => {
      const t = random.pick(at);
      return [random.once(10) ? random.uuid() : t.e, t.a.id, t.v, t.t];
    };
    if (!random.once(3)) {
      options.after = cursor();
      if (random.once(3)) options.afterInclusive = true;
    }
    if (random.once(3)) {
      options.before = cursor();
      if (random.once(3)) options.beforeInclusive = true;
    }
  }

  where(tables, et, depth) {
    const { random } = this;
    const out = {};
    for (let n = random.weigh([[5, 1], [3, 2], [1, 3]]); n > 0; n--) {
      if (depth < 2 && random.once(5)) {
        out[random.pick(['and', 'or'])] = Array.from({ length: 1 + random.below(3) }, () => this.where(tables, et, depth + 1));
        continue;
      }
      if (random.once(25)) {
        out.$entityIdStartsWith = random.pick(this.ids[et] ?? this.ids.tags).slice(0, random.below(9));
        continue;
      }
      const [path, attr, isReverse] = this.path(tables, et);
      out[path] = this.condition(tables, attr, isReverse);
    }
    return out;
  }

  path(tables, et) {
    const { random } = this;
    const labels = [];
    let here = et;
    while (labels.length < 3 && random.once(3)) {
      const links = this.links(tables, here);
      if (!links.length) break;
      const [label, target] = random.pick(links);
      labels.push(label);
      here = target;
    }
    const attrs = tables.of(here);
    const reverse = tables.attrs.filter((a) => a.isRef && a.revEt === here);
    if (random.once(30) || !attrs.length) return [[...labels, missing].join('.'), null, false];
    if (reverse.length && random.once(6)) {
      const attr = random.pick(reverse);
      return [[...labels, attr.revLabel].join('.'), attr, !tables.forward(here, attr.revLabel)];
    }
    const attr = random.pick(attrs);
    return [[...labels, attr.label].join('.'), attr, false];
  }

  operand(tables, attr, isReverse) {
    const { random } = this;
    if (!attr) return random.pick(strings);
    if (attr.isRef) return random.pick(this.ids[isReverse ? attr.et : attr.revEt]);
    if (attr.label === 'id') return random.pick(this.ids[attr.et]);
    const stored = tables.triples.filter((t) => t.a === attr && t.v !== null && typeof t.v !== 'object');
    if (stored.length && random.once(2)) return random.pick(stored).v;
    let v = null;
    while (v === null || typeof v === 'object') v = random.once(20) ? random.pick([...strings, ...numbers, true]) : this.value(attr);
    return v;
  }

  condition(tables, attr, isReverse) {
    const { random } = this;
    const operand = () => this.operand(tables, attr, isReverse);
    const canCompare = attr && attr.checked && attr.isIndexed;
    const kind = random.weigh([[6, 'is'], [3, 'in'], [3, 'not'], [2, 'null'], [2, 'some'], [canCompare ? 8 : 1, 'compare'],
      [canCompare && attr.checked === 'string' ? 5 : 0, 'like']]);
    switch (kind) {
      case 'is': return operand();
      case 'in': return { [random.once(6) ? 'in' : '$in']: [...Array.from({ length: random.below(4) }, operand), ...(random.once(6) && attr?.isIndexed ? [null] : [])] };
      case 'not': return { [random.once(5) ? '$ne' : '$not']: operand() };
      case 'null': return { $isNull: true };
      case 'some': return { $isNull: false };
      case 'compare': return { [random.pick(['$gt', '$gte', '$lt', '$lte'])]: operand() };
      default: return { [random.pick(['$like', '$ilike'])]: random.once(20) ? 7 : random.pick(patterns) };
    }
  }
}
