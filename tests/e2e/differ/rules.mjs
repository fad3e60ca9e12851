// View and write rules as expressions and as what they mean.

import { Guard, linkedIds, recordOf } from './writes.mjs';
import { same } from './tables.mjs';

const choices = [
  ['true', () => true],
  ['data.flag == true', (d) => d.flag === true],
  ['data.title != null', (d) => (d.title ?? null) !== null],
  ["ruleParams.key == 'k'", (d, { params }) => params.key === 'k'],
  ['auth.id == null', () => true],
  ["size(data.ref('%.id')) > 0", (d, { linked }) => linked.length > 0],
  ["'%' in data.ref('%.id')", null],
];
const writeChoices = [
  ['newData.flag == true', (d, { newData }) => newData.flag === true],
  ['newData.title != null', (d, { newData }) => (newData.title ?? null) !== null],
  ['data.count == newData.count', (d, { newData }) => same(d.count ?? null, newData.count ?? null)],
  ['false', () => false],
];
const linkChoices = [
  ['newData.flag == true', (d, { newData }) => newData.flag === true],
  ["actions.data == 'create'", (d, { actions }) => actions.data === 'create'],
  ["actions.linkedData == 'update'", (d, { actions }) => actions.linkedData === 'update'],
  ['false', () => false],
];

// {code, sees(tables, params), guard(steps)}: the rules as JSON, who may see what of a state, and who may write what.
export function randomRules(random, generator, tables) {
  const code = {};
  // Of $users people see themselves (permissions.md 2.1). Who is nobody, `auth.id` null, "is" one that is not there.
  const oneself = { means: (d) => () => d.id === undefined };
  const view = {}, fields = {}, writes = {};
  const expression = (et, more = []) => {
    const labels = generator.links(tables, et);
    const [text, means] = random.pick([...choices, ...more, ...more]);
    if (!text.includes('%')) return { text, means: (d) => (state) => means(d, state) };
    if (!labels.length) return { text: 'true', means: () => () => true };
    const [label] = random.pick(labels);
    const target = random.pick(generator.ids[random.pick(generator.ets)]);
    const linked = (state, d) => state.linked(et, d.id, label);
    return means
      ? { text: text.replace('%', label), means: (d) => (state) => linked(state, d).length > 0 }
      : { text: `'${target}' in data.ref('${label}.id')`, means: (d) => (state) => linked(state, d).includes(target) };
  };
  const text = (key, rule) => { writes[key] = rule; return rule.text; };
  view.$users = writes['$users view'] = writes['$users update'] = oneself;
  for (const et of generator.ets.filter((name) => name !== '$users')) {
    const allow = {};
    if (!random.once(4)) {
      view[et] = writes[`${et} view`] = expression(et);
      allow.view = view[et].text;
    }
    for (const action of ['create', 'update', 'delete'])
      if (random.once(3)) allow[action] = text(`${et} ${action}`, expression(et, action === 'delete' ? [] : writeChoices));
    for (const action of ['link', 'unlink']) {
      if (!random.once(4)) continue;
      const labels = random.some(generator.links(tables, et).map(([label]) => label), 1).filter(Boolean);
      allow[action] = Object.fromEntries([...new Set([...labels, ...(random.once(3) ? ['$default'] : [])])]
        .map((label) => [label, text(`${et} ${action} ${label}`, expression(et, action === 'link' ? linkChoices : writeChoices))]));
    }
    if (Object.keys(allow).length) code[et] = { allow };
    if (view[et] && random.once(3)) {
      const label = random.pick(['title', 'count', 'extra']);
      fields[`${et}.${label}`] = expression(et);
      code[et].fields = { [label]: fields[`${et}.${label}`].text };
    }
  }
  const of = (et, action, label) =>
    (label ? writes[`${et} ${action} ${label}`] ?? writes[`${et} ${action} $default`] : writes[`${et} ${action}`]);
  return { code, sees: (state, params) => seer(state, params, view, fields), guard: (steps) => new Guard(of, steps) };
}

function seer(tables, params, view, fields) {
  const known = new Map();
  const linked = (et, e, label) => linkedIds(tables, et, e, label);
  const holds = (rule, e, et, name) => {
    if (!rule) return true;
    const key = `${name} ${e}`;
    if (!known.has(key)) known.set(key, rule.means(recordOf(tables, e, et))({ params, linked }));
    return known.get(key);
  };
  return ({ e, a }) => holds(view[a.et], e, a.et, a.et) && holds(fields[`${a.et}.${a.label}`], e, a.et, `${a.et}.${a.label}`);
}
