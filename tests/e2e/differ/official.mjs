// The official client's evaluator, fed with what a server sent.

import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const dist = path.join(path.dirname(fileURLToPath(import.meta.url)), '../node_modules/@instantdb/core/dist/esm');
const load = (file) => import(pathToFileURL(path.join(dist, file)).href);
const { AttrsStoreClass, createStore } = await load('store.js');
const { default: query } = await load('instaql.js');
const { extractTriples } = await load('model/instaqlResult.js');

// A link index says which links are singular.
export function linkIndexOf(tables) {
  const index = {};
  for (const a of tables.attrs.filter((attr) => attr.isRef)) {
    (index[a.revEt] ??= {})[a.revLabel] ??= { isForward: false, isSingular: a.isUnique, link: {} };
  }
  for (const a of tables.attrs.filter((attr) => attr.isRef))
    (index[a.et] ??= {})[a.label] = { isForward: true, isSingular: !a.isMany, link: {} };
  return index;
}

export function evaluate(attrs, linkIndex, result, q, infers) {
  const attrsStore = new AttrsStoreClass(Object.fromEntries(attrs.map((a) => [a.id, a])), linkIndex);
  const store = createStore(attrsStore, extractTriples(result), infers, false);
  const { 'page-info': pageInfo, aggregate } = result[0].data;
  return JSON.parse(JSON.stringify(query({ store, attrsStore, pageInfo, aggregate }, q)));
}
