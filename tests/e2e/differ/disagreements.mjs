// Where the official client shows something else than the official server found (instaql.md 7): what a
// query must be free of before the client's view of it can be compared with the server's.

const isMap = (v) => v !== null && typeof v === 'object' && !Array.isArray(v);

function* conditions(where) {
  for (const [key, v] of Object.entries(where)) {
    if ((key === 'or' || key === 'and') && Array.isArray(v)) {
      for (const element of v) yield* conditions(element);
    } else {
      yield [key, v];
    }
  }
}

const hasGroups = (where) => Object.entries(where).some(([k, v]) => (k === 'or' || k === 'and') && Array.isArray(v));

function* forms(tables, et, form, level) {
  yield { et, form, level };
  for (const [label, child] of Object.entries(form)) {
    if (label === '$') continue;
    const forward = tables.forward(et, label);
    const target = forward ? forward.revEt : tables.reverse(et, label)?.et;
    yield* forms(tables, target, child, level + 1);
  }
}

// The last attr of a path and the namespaces on the way.
function walk(tables, et, key) {
  const labels = key.split('.');
  const passed = [];
  let attr, isForward;
  for (const label of labels) {
    attr = tables.forward(et, label);
    isForward = Boolean(attr);
    attr ??= tables.reverse(et, label);
    if (!attr) return { passed };
    et = isForward ? attr.revEt : attr.et;
    if (attr.isRef) passed.push(et);
  }
  return { attr, isForward, passed, depth: labels.length };
}

const isNegative = (v) => v === null || (isMap(v) && ['$not', '$ne', '$isNull', '$lt', '$lte', '$gt', '$gte'].some((op) => op in v)) ||
  (isMap(v) && (v.$in ?? v.in ?? []).includes?.(null));

export function isComparable(tables, query) {
  const all = Object.entries(query).flatMap(([et, form]) => [...forms(tables, et, form, 0)]);
  const seen = []; // namespaces that more than one part of the query shows
  for (const { et, form } of all) {
    seen.push(et);
    for (const [key] of conditions(form.$?.where ?? {})) if (key.includes('.')) seen.push(...walk(tables, et, key).passed);
  }
  for (const { et, form, level } of all) {
    const options = form.$ ?? {};
    const where = options.where ?? {};
    const isShared = seen.filter((name) => name === et).length > 1;
    const list = [...conditions(where)];
    const pages = ['limit', 'first', 'last', 'offset', 'after', 'before'].some((k) => k in options);
    if (isShared && (pages || list.length)) return false;
    if (level > 0 && options.limit) return false;
    const dotted = list.filter(([key]) => key.includes('.')).length;
    if (dotted > 1 && (hasGroups(where) || list.some(([, v]) => isMap(v) && ('$not' in v || '$ne' in v || '$isNull' in v)))) return false;
    for (const [key, v] of list) {
      const { attr, isForward, depth } = walk(tables, et, key);
      if (key === '$entityIdStartsWith') continue;
      if (!attr) continue;
      if (!isForward && isMap(v) && !('$isNull' in v)) return false; // D13
      if (attr.checked === 'date') return false; // D11, D4
      if (attr.checked === 'string' && isMap(v) && ('$lt' in v || '$lte' in v)) return false; // D4
      if (isMap(v) && ['$like', '$ilike'].some((op) => op in v && String(v[op]).includes('\\'))) return false; // D7
      if (isMap(v) && isNegative(v) && v.$isNull !== false && depth > 1) return false;
      if (isMap(v) && (v.$lt !== undefined || v.$lte !== undefined || v.$gte !== undefined || v.$gt !== undefined) && hasGroups(where)) return false;
    }
  }
  return true;
}
