// The reference for queries (instaql.md 2 and 4, the server's columns): every condition tried on every
// triple, every combination enumerated. What a form matches, which triples go out, and the tree.

import { instant, isUuid, Refusal, same } from './tables.mjs';

const collator = new Intl.Collator('en-US');
const isMap = (v) => v !== null && typeof v === 'object' && !Array.isArray(v);
const typeName = (v) => (v === null ? 'null' : Array.isArray(v) ? 'array' : typeof v);

// ---- conditions, as the server groups them ----

function group(kind, list) {
  const flat = list.flatMap((c) => (c.kind === kind ? c.items : [c]));
  return flat.length === 1 ? flat[0] : { kind, items: flat };
}

class Where {
  constructor(tables, et) {
    this.tables = tables;
    this.et = et;
  }

  conditions(where) {
    return Object.entries(where).map(([key, v]) => {
      if (key === 'or' && Array.isArray(v)) return group('or', v.map((w) => group('and', this.conditions(w))));
      if (key === 'and' && Array.isArray(v)) return group('and', v.flatMap((w) => this.conditions(w)));
      const path = key.split('.');
      const prefixes = path.map((_, n) => ({ path: path.slice(0, n + 1), v: { $isNull: true } }));
      if (isMap(v) && ('$not' in v || '$ne' in v)) {
        if (this.isIndexed(path)) prefixes.pop();
        return group('or', [{ path, v: { $not: '$ne' in v ? v.$ne : v.$not } }, ...prefixes]);
      }
      if (isMap(v) && v.$isNull === true) return group('or', prefixes);
      return { path, v };
    });
  }

  isIndexed(path) {
    let et = this.et;
    for (const label of path.slice(0, -1)) et = step(this.tables, et, label)?.target;
    const last = step(this.tables, et, path.at(-1));
    return Boolean(last?.isForward && last.attr.isIndexed);
  }
}

// One label seen from a namespace: forward wins.
function step(tables, et, label) {
  const forward = tables.forward(et, label);
  if (forward) return { attr: forward, isForward: true, target: forward.revEt };
  const reverse = tables.reverse(et, label);
  return reverse && { attr: reverse, isForward: false, target: reverse.et };
}

class Missing extends Error {}

const notALink = (et, label) => new Refusal('validation-failed', `Validation failed for attr: ${et}.${label} needs to be a link`);

function likeTest(pattern, ignoreCase) {
  let text = '';
  for (let n = 0; n < pattern.length; n++) {
    const c = pattern[n];
    if (c === '%') text += '[\\s\\S]*';
    else if (c === '_') text += '[\\s\\S]';
    else text += (c === '\\' && n + 1 < pattern.length ? pattern[++n] : c).replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
  }
  const regex = new RegExp(`^${text}$`, ignoreCase ? 'iu' : 'u');
  return (v) => typeof v === 'string' && regex.test(v);
}

const compareOps = {
  $gt: (n) => n > 0, $gte: (n) => n >= 0, $lt: (n) => n < 0, $lte: (n) => n <= 0,
};

class Compiler {
  constructor(tables, path) {
    this.tables = tables;
    this.path = path; // of the form, for refusals
  }

  refuse(expectedKey, expected, more, message) {
    const errors = [{ [expectedKey]: expected, in: [...this.path, ...more], message }];
    throw new Refusal('validation-failed', `Validation failed for query: ${message}`,
      { 'data-type': 'query', errors });
  }

  typed(attr, v, place, like) {
    const name = `\`${attr.et}.${attr.label}\``;
    const wrong = (expected, text) => this.refuse('expected?', expected, place,
      `The data type of ${name} is \`${attr.checked}\`, but the query got ${text} \`${JSON.stringify(v)}\` of type \`${typeName(v)}\`.`);
    if (like && typeof v !== 'string')
      this.refuse('expected?', 'string?', place,
        `The $like value for ${name} must be a string, but the query got the value \`${JSON.stringify(v)}\` of type \`${typeName(v)}\`.`);
    if (attr.checked === 'date') {
      if (typeof v !== 'string' && typeof v !== 'number') wrong('date?', 'the value');
      if (Number.isNaN(instant(v)) || Math.abs(instant(v)) > 8.64e15) wrong(typeof v === 'string' ? 'date-string?' : 'timestamp?', 'value');
      return instant(v);
    }
    if (attr.checked && typeof v !== attr.checked) wrong(`${attr.checked}?`, 'the value');
    return v;
  }

  // A test of a stored value against a scalar: dates with an index by instant, all else as stored.
  equals(attr, v, place) {
    if (v === null || !attr.checked) return (x) => same(x, v);
    const wanted = this.typed(attr, v, place);
    if (attr.checked === 'date' && attr.isIndexed) return (x) => x !== null && instant(x) === wanted;
    return (x) => same(x, v);
  }

  test(attr, label, cond) {
    const place = ['$', 'where', label];
    const [op] = isMap(cond) ? Object.keys(cond) : [undefined];
    if (op === '$in' || op === 'in') {
      const list = cond[op];
      for (const v of list) {
        if (attr.isRef && !isUuid(v))
          this.refuse('expected', 'uuid?', place, `Expected ${label} to match on a uuid, found ${JSON.stringify(v)} in ${JSON.stringify(list)}`);
        if (!attr.isRef && v === null && !attr.isIndexed)
          this.refuse('expected?', 'indexed?', ['$', 'where', '$in', list],
            `Only indexed attrs can check for \`nil\` in \`$in\`. ${attr.et}.${attr.label} is not indexed.`);
        if (!attr.isRef) this.equals(attr, v, place);
      }
      const tests = list.map((v) => (attr.isRef ? (x) => x === v.toLowerCase() : this.equals(attr, v, place)));
      return (x) => tests.some((t) => t(x));
    }
    const operand = op === '$not' ? cond.$not : cond;
    if (attr.isRef && !isUuid(operand)) this.refuse('expected', 'uuid?', place, `Expected ${label} to be a uuid, got ${JSON.stringify(cond)}`);
    if (op === '$not' || op === undefined) {
      const is = attr.isRef ? (x) => x === operand.toLowerCase() : this.equals(attr, operand, place);
      return op === '$not' ? (x) => !is(x) : is;
    }
    return this.comparator(attr, place, op, cond[op]);
  }

  comparator(attr, place, op, v) {
    const name = `The \`${attr.et}.${attr.label}\` attribute must`;
    if (!attr.isIndexed) this.refuse('expected?', 'indexed?', place, `${name} be indexed to use comparison operators.`);
    if (!attr.checked) this.refuse('expected?', 'checked-data-type?', place, `${name} have an enforced type to use comparison operators.`);
    const inner = [...place, op];
    if (op === '$like' || op === '$ilike') {
      this.typed(attr, v, inner, true);
      return likeTest(v, op === '$ilike');
    }
    const operand = this.typed(attr, v, inner);
    const ok = compareOps[op];
    if (attr.checked === 'string') return (x) => (x === null ? ok(-1) : ok(x < operand ? -1 : x > operand ? 1 : 0));
    const read = attr.checked === 'date' ? instant : (x) => x;
    return (x) => x !== null && ok(read(x) - operand);
  }

  // The patterns of a condition; variables of different suffixes are different ones, but the root.
  patterns(cond, et, level, suffix) {
    if (cond.kind === 'or')
      return [{ or: cond.items.map((c, n) => this.patterns(c, et, level, `${suffix}-${n}`)) }];
    if (cond.kind === 'and') {
      const all = cond.items.flatMap((c, n) => this.patterns(c, et, level, `${suffix}-${n}`));
      return cond.items.length ? all : [this.idPattern(et, `${et}-${level}`)];
    }
    return this.pathPatterns(cond, et, level, suffix);
  }

  idPattern(et, variable, test) {
    const id = this.tables.forward(et, 'id');
    if (!id) throw new Missing();
    return { a: id, e: { variable }, v: {}, test };
  }

  pathPatterns({ path, v }, et, level, suffix) {
    const out = [];
    let here = { et, variable: `${et}-${level}` };
    for (const label of path.slice(0, -1)) {
      const next = this.step(here.et, label);
      const there = { et: next.target, variable: `${next.target}-${++level}${suffix}` };
      out.push(link(next, here, there));
      here = there;
    }
    const label = path.at(-1);
    if (isMap(v) && Object.keys(v)[0] === '$isNull') {
      const last = step(this.tables, here.et, label);
      if (!last) throw new Missing();
      const isNull = (e) => !this.tables.triples.some((t) =>
        t.a === last.attr && (last.isForward ? t.e === e && t.v !== null : t.v === e));
      const pattern = this.idPattern(here.et, here.variable, (t) => isNull(t.v) === v.$isNull);
      if (!v.$isNull)
        pattern.proofs = (e) => this.tables.triples.filter((t) =>
          t.a === last.attr && t.v !== null && (last.isForward ? t.e : t.v) === e);
      out.push(pattern);
      return out;
    }
    if (label === '$entityIdStartsWith' && typeof v === 'string') {
      out.push(this.idPattern(here.et, here.variable, (t) => t.e.startsWith(v.toLowerCase())));
      return out;
    }
    const last = step(this.tables, here.et, label);
    if (!last) throw new Missing();
    const test = this.test(last.attr, label, v);
    out.push(last.isForward
      ? { a: last.attr, e: { variable: here.variable }, v: {}, test: (t) => test(t.v) }
      : { a: last.attr, e: {}, v: { variable: here.variable }, test: (t) => test(t.e) });
    return out;
  }

  step(et, label) {
    const next = step(this.tables, et, label);
    if (next && !next.attr.isRef) throw notALink(et, label);
    if (!next) throw new Missing();
    return next;
  }
}

function link({ attr, isForward }, here, there) {
  const [from, to] = isForward ? [here, there] : [there, here];
  return { a: attr, e: { variable: from.variable }, v: { variable: to.variable } };
}

// ---- matching ----

function bind(term, value, bindings) {
  if (!term.variable) return bindings;
  if (!(term.variable in bindings)) return { ...bindings, [term.variable]: value };
  return bindings[term.variable] === value ? bindings : null;
}

// Every way to match all patterns: calls back with the bindings and the triples.
function solve(tables, patterns, bindings, triples, found) {
  const [first, ...rest] = patterns;
  if (!first) {
    found(bindings, triples);
    return;
  }
  if (first.or) {
    for (const branch of first.or) solve(tables, [...branch, ...rest], bindings, triples, found);
    return;
  }
  for (const t of tables.triples) {
    if (t.a !== first.a || (first.test && !first.test(t))) continue;
    const withE = bind(first.e, t.e, bindings);
    const withBoth = withE && bind(first.v, t.v, withE);
    if (!withBoth) continue;
    const next = [...triples, t];
    next.proofs = [...(triples.proofs ?? []), ...(first.proofs ? [first.proofs(t.v)] : [])];
    solve(tables, rest, withBoth, next, found);
  }
}

// ---- paging (instaql.md 4.3) ----

const ranks = { number: 1, string: 2, boolean: 3 };

function compareKeys(x, y) {
  const [a, b] = [x, y].map((v) => (v === null ? 0 : ranks[typeof v]));
  if (a !== b) return a - b;
  if (typeof x === 'string') return collator.compare(x, y);
  return x === null ? 0 : Number(x) - Number(y);
}

const compareIds = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const compareRows = (x, y) => compareKeys(x.key, y.key) || compareIds(x.e, y.e);

function pageKey(order, v, t) {
  if (order.byTime) return t;
  return order.attr.checked === 'date' && v !== null ? instant(v) : v;
}

function readOrder(tables, et, options, path) {
  const [label, direction] = options.order ? Object.entries(options.order)[0] : ['serverCreatedAt', 'asc'];
  const byTime = label === 'serverCreatedAt';
  const attr = tables.forward(et, byTime ? 'id' : label);
  const no = (messages) => {
    const errors = messages.map((message) => ({ expected: 'supported-order?', in: [...path, '$', 'order'], message }));
    throw new Refusal('validation-failed', `Validation failed for query: ${messages.join(', ')}`, { 'data-type': 'query', errors });
  };
  if (!attr) no([`There is no \`${label}\` attribute for ${et}.`]);
  const reasons = [];
  if (!byTime) {
    const name = `The \`${et}.${label}\` attribute`;
    if (!attr.isIndexed) reasons.push(`${name} is not indexed. Only indexed and typed attributes can be used to order by.`);
    if (!attr.checked) reasons.push(`${name} is not typed. Only typed and indexed attributes can be used to order by.`);
    if (attr.isMany) reasons.push(`${name} has cardinality \`many\`. Only attributes with cardinality \`one\` can be used to order by.`);
  }
  if (reasons.length) no(reasons);
  return { byTime, attr, isDesc: direction === 'desc' };
}

const pagers = ['limit', 'first', 'last', 'offset', 'after', 'before', 'order'];
const isPaged = (options) => pagers.some((k) => options[k] != null && (k !== 'order' || Object.keys(options.order).length));

function page(tables, order, entities, options, tell, shows) {
  const sign = order.isDesc ? -1 : 1;
  const inOrder = (x, y) => sign * compareRows(x, y);
  const all = entities
    .map((e) => tables.at(e, order.attr))
    .filter(Boolean)
    .map((triple) => ({ e: triple.e, key: pageKey(order, triple.v, triple.t), triple }))
    .sort(inOrder);
  const edge = (cursor) => cursor && { e: cursor[0], key: pageKey(order, cursor[2], cursor[3]) };
  const [after, before] = [edge(options.after), edge(options.before)];
  let rows = all.filter((row) =>
    (!after || inOrder(row, after) > 0 || (options.afterInclusive && inOrder(row, after) === 0)) &&
    (!before || inOrder(row, before) < 0 || (options.beforeInclusive && inOrder(row, before) === 0)));
  const isLast = options.last != null;
  const limit = options.limit ?? options.first ?? options.last;
  const offset = options.offset ?? 0;
  if (isLast) rows.reverse();
  rows = rows.slice(offset);
  const hasMore = limit != null && rows.length > limit;
  if (limit != null) rows = rows.slice(0, limit);
  if (isLast) rows.reverse();
  const beyond = (row, direction) => Boolean(row) && all.some((other) => direction * inOrder(other, row) > 0);
  let hasNext = false;
  if (limit != null || before) hasNext = limit != null && !before && !isLast ? hasMore : beyond(rows.at(-1), 1);
  let hasPrevious = false;
  if (after || offset || isLast) hasPrevious = isLast && limit != null && !after ? hasMore : beyond(rows[0], -1);
  if (!rows.length && (offset > 0 || after)) hasPrevious = true;
  const cursor = (row) => row ? [row.e, order.attr.id, row.triple.v, row.triple.t] : null;
  const visible = rows.filter(shows);
  tell({
    'start-cursor': cursor(visible[0]), 'end-cursor': cursor(visible.at(-1)),
    'has-next-page?': hasNext, 'has-previous-page?': hasPrevious,
  });
  return rows;
}

// ---- forms ----

// All forms are read before any is run: {et, options, patterns (null: an unknown name), order, children}.
function compile(tables, et, form, level, path, next) {
  const options = form.$ ?? {};
  const compiler = new Compiler(tables, path);
  const node = { et, options, level, path, next, patterns: null, children: {} };
  try {
    if (level > 0 && !next) throw new Missing();
    const conditions = new Where(tables, et).conditions(options.where ?? {});
    const patterns = conditions.flatMap((c) => compiler.patterns(c, et, level, ''));
    if (level === 0 && !patterns.length) patterns.push(compiler.idPattern(et, `${et}-${level}`));
    if (level === 0 && isPaged(options)) node.order = readOrder(tables, et, options, path);
    node.patterns = patterns;
  } catch (e) {
    if (!(e instanceof Missing)) throw e;
  }
  for (const [label, child] of Object.entries(form)) {
    if (label === '$') continue;
    const to = step(tables, et, label);
    if (to && !to.attr.isRef) throw notALink(et, label);
    node.children[label] = compile(tables, to?.target, child, level + 1, [...path, label], to);
  }
  return node;
}

class Evaluation {
  sent = new Set();
  proofs = []; // lists of triples, of which one is sent if one may be seen: that something is not null
  pageInfo = {};
  aggregate = {};

  // sees: may a triple be seen?
  constructor(tables, sees) {
    this.tables = tables;
    this.sees = sees;
  }

  // Rows {e, triples, children} of one form, its triples noted as sent. join: the parent's link, bound.
  form(node, join) {
    const { et, options, level } = node;
    const out = { et, options, next: node.next, rows: [] };
    if (!node.patterns) return out;
    const matches = new Map(); // entity -> the triples of each match
    solve(this.tables, [...(join ? [join] : []), ...node.patterns], {}, [], (bindings, triples) => {
      const e = bindings[`${et}-${level}`];
      matches.set(e, [...(matches.get(e) ?? []), triples]);
    });
    let entities = [...matches.keys()];
    if (node.order) {
      // A row whose conditions hold only through what is hidden is none (permissions.md 7.1).
      const shows = ({ e, triple }) => this.sees(triple) && matches.get(e).some((triples) => triples.every(this.sees));
      const rows = page(this.tables, node.order, entities, options, (info) => { this.pageInfo[et] = info; }, shows);
      entities = rows.map((row) => row.e);
      for (const row of rows) matches.get(row.e).forEach((triples) => triples.push(row.triple));
    }
    if (level === 0 && options.aggregate) {
      this.aggregate[et] = { count: entities.reduce((sum, e) => sum + matches.get(e).length, 0) };
      return out;
    }
    for (const e of entities) {
      const visible = matches.get(e).filter((triples) => triples.every(this.sees));
      for (const triples of visible) {
        for (const t of triples) this.sent.add(t);
        this.proofs.push(...(triples.proofs ?? []).map((list) => list.filter(this.sees)).filter((list) => list.length));
      }
      if (visible.length) out.rows.push(this.entity(node, e));
    }
    return out;
  }

  fields(et, options) {
    const all = this.tables.of(et).filter((a) => !a.isMany);
    return options.fields ? all.filter((a) => a.label === 'id' || options.fields.includes(a.label)) : all;
  }

  entity(node, e) {
    const attrs = this.fields(node.et, node.options);
    const triples = this.tables.triples.filter((t) => t.e === e && attrs.includes(t.a) && this.sees(t));
    for (const t of triples) this.sent.add(t);
    const children = {};
    for (const [label, child] of Object.entries(node.children))
      children[label] = triples.length ? this.form(child, child.next && boundLink(child, e)) : null;
    return { e, triples, children };
  }
}

// A child's link from one entity.
function boundLink({ next, et, level }, e) {
  const variable = `${et}-${level}`;
  return next.isForward
    ? { a: next.attr, e: {}, v: { variable }, test: (t) => t.e === e }
    : { a: next.attr, e: { variable }, v: {}, test: (t) => t.v === e };
}

// ---- what is seen of it ----

const isSingular = (next) => Boolean(next) && (next.isForward ? !next.attr.isMany : next.attr.isUnique);

const treeRanks = { number: 1, string: 2, boolean: 3 };
function compareTree(x, y) {
  const [a, b] = [x, y].map((v) => (v == null ? 0 : treeRanks[typeof v]));
  if (a !== b) return a - b;
  if (x == null) return 0;
  return x < y ? -1 : x > y ? 1 : 0;
}

// The admin tree (instaql.md 4.7).
function tree(tables, form, infers) {
  const [label, direction] = form.options.order ? Object.entries(form.options.order)[0] : ['serverCreatedAt', 'asc'];
  const attr = tables.forward(form.et, label);
  const entries = form.rows.filter((row) => row.triples.length).map((row) => {
    const object = Object.fromEntries(row.triples.map((t) => [t.a.label, t.v]));
    for (const [key, child] of Object.entries(row.children)) {
      const list = tree(tables, child, infers);
      object[key] = infers && isSingular(child.next) ? (list[0] ?? null) : list;
    }
    let key = label === 'serverCreatedAt' ? row.triples.find((t) => t.a.label === 'id')?.t : object[label];
    if (attr?.checked === 'date' && key != null) key = instant(key);
    return { e: row.e, key, object };
  });
  const sign = direction === 'desc' ? -1 : 1;
  return entries.sort((x, y) => sign * (compareTree(x.key, y.key) || compareIds(x.e, y.e))).map((entry) => entry.object);
}

// What the official client should show: blobs only, rows in the page's order, children by time.
function clientView(tables, form, infers) {
  const timeOf = (row) => row.triples.find((t) => t.a.label === 'id').t;
  let rows = form.rows.filter((row) => row.triples.some((t) => t.a.label === 'id'));
  const [label, direction] = form.options.order ? Object.entries(form.options.order)[0] : ['id', 'asc'];
  const attr = tables.forward(form.et, label);
  const key = (row) => {
    if (!attr || label === 'id') return timeOf(row);
    const v = tables.at(row.e, attr)?.v ?? null;
    return attr.checked === 'date' && v !== null ? instant(v) : v;
  };
  const sign = direction === 'desc' ? -1 : 1;
  rows = rows.map((row) => ({ ...row, key: key(row) })).sort((x, y) => sign * compareRows(x, y));
  const limit = form.options.limit ?? form.options.first ?? form.options.last;
  if (limit) rows = rows.slice(0, limit);
  return rows.map((row) => {
    const object = Object.fromEntries(row.triples.filter((t) => !t.a.isRef).map((t) => [t.a.label, t.v]));
    for (const [name, child] of Object.entries(row.children)) {
      const list = clientView(tables, child, infers);
      if (!(infers && isSingular(child.next))) object[name] = list;
      else if (list.length) object[name] = list[0];
    }
    return object;
  });
}

// {triples, proofs, pageInfo, aggregate, tree(infers), client(infers)}, or throws a Refusal. sees(triple): an admin sees all.
export function evaluate(tables, query, sees = () => true) {
  const run = new Evaluation(tables, sees);
  const forms = Object.entries(query).filter(([et]) => et !== '$$ruleParams')
    .map(([et, form]) => [et, compile(tables, et, form, 0, [et])])
    .map(([et, node]) => [et, run.form(node)]);
  const each = (view) => (infers) => Object.fromEntries(forms.map(([et, form]) => [et, view(tables, form, infers)]));
  return {
    triples: [...run.sent], proofs: run.proofs, pageInfo: run.pageInfo, aggregate: run.aggregate,
    tree: each(tree), client: each(clientView), forms,
  };
}
