// View rules as expressions and as what they mean.

const choices = [
  ['true', () => true],
  ['data.flag == true', (d) => d.flag === true],
  ['data.title != null', (d) => (d.title ?? null) !== null],
  ["ruleParams.key == 'k'", (d, { params }) => params.key === 'k'],
  ['auth.id == null', () => true],
  ["size(data.ref('%.id')) > 0", (d, { linked }) => linked.length > 0],
  ["'%' in data.ref('%.id')", null],
];

// {code, sees(tables, params)}: the rules as JSON, and who may see what of a state.
export function randomRules(random, generator, tables) {
  const code = {};
  const view = {}, fields = {};
  const expression = (et) => {
    const labels = generator.links(tables, et);
    const [text, means] = random.pick(choices);
    if (!text.includes('%')) return { text, means: (d) => (state) => means(d, state) };
    if (!labels.length) return { text: 'true', means: () => () => true };
    const [label] = random.pick(labels);
    const target = random.pick(generator.ids[random.pick(generator.ets)]);
    const linked = (state, d) => state.linked(et, d.id, label);
    return means
      ? { text: text.replace('%', label), means: (d) => (state) => linked(state, d).length > 0 }
      : { text: `'${target}' in data.ref('${label}.id')`, means: (d) => (state) => linked(state, d).includes(target) };
  };
  for (const et of generator.ets) {
    if (random.once(4)) continue;
    view[et] = expression(et);
    code[et] = { allow: { view: view[et].text } };
    if (random.once(3)) {
      const label = random.pick(['title', 'count', 'extra']);
      fields[`${et}.${label}`] = expression(et);
      code[et].fields = { [label]: fields[`${et}.${label}`].text };
    }
  }
  return { code, sees: (state, params) => seer(state, params, view, fields) };
}

function seer(tables, params, view, fields) {
  const record = (e, et) => {
    const out = {};
    for (const t of tables.triples) if (t.e === e && t.a.et === et && !t.a.isMany) out[t.a.label] = t.v;
    return out;
  };
  // Ids at a link's other end, of entities that are there.
  const linked = (et, e, label) => {
    const forward = tables.forward(et, label);
    const attr = forward ?? tables.reverse(et, label);
    const others = tables.triples.filter((t) => t.a === attr && (forward ? t.e : t.v) === e).map((t) => (forward ? t.v : t.e));
    return e === undefined ? [] : others.filter((id) => tables.exists(id, forward ? attr.revEt : attr.et));
  };
  const known = new Map();
  const holds = (rule, e, et, name) => {
    if (!rule) return true;
    const key = `${name} ${e}`;
    if (!known.has(key)) known.set(key, rule.means(record(e, et))({ params, linked }));
    return known.get(key);
  };
  return ({ e, a }) => holds(view[a.et], e, a.et, a.et) && holds(fields[`${a.et}.${a.label}`], e, a.et, `${a.et}.${a.label}`);
}
