// The public names of an npm package, from its type declarations: what it exports, and as
// `Class.member` the members of exported classes and of classes that those have members of.

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const modules = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), 'node_modules');

function entry(packageName) {
  const dir = path.join(modules, packageName);
  const manifest = JSON.parse(readFileSync(path.join(dir, 'package.json'), 'utf8'));
  return path.join(dir, manifest.exports?.['.']?.import?.types ?? manifest.types);
}

function resolve(from, specifier) {
  if (!specifier.startsWith('.')) return existsSync(path.join(modules, specifier)) ? entry(specifier) : undefined;
  return path.join(path.dirname(from), specifier.replace(/\.[jt]s$/, '') + '.d.ts');
}

function read(file) {
  return readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '');
}

// `A, type B as C` -> [{ from: 'A', to: 'A' }, { from: 'B', to: 'C' }]
function listed(text) {
  return text.split(',').map((part) => part.trim().replace(/^type\s+/, '')).filter(Boolean).map((part) => {
    const [from, to] = part.split(/\s+as\s+/);
    return { from, to: to ?? from };
  });
}

// Where a name that the file uses comes from: [file, name there].
function imported(file, text, name) {
  for (const [, what, specifier] of text.matchAll(/(?:import|export)\s+(?:type\s+)?([^;]*?)\s+from\s+['"]([^'"]+)['"]/g)) {
    const braces = what.match(/\{([\s\S]*)\}/);
    const found = braces && listed(braces[1]).find(({ to }) => to === name);
    const target = resolve(file, specifier);
    if (found && target) return [target, found.from];
    if (what.replace(/\{[\s\S]*\}/, '').replace(',', '').trim() === name && target) return [target, 'default'];
  }
  return undefined;
}

// The text between the braces that follow `index`.
function block(text, index) {
  const start = text.indexOf('{', index);
  for (let depth = 0, at = start; at < text.length; at++) {
    depth += text[at] === '{' ? 1 : text[at] === '}' ? -1 : 0;
    if (depth === 0) return text.slice(start + 1, at);
  }
  throw new Error('unbalanced braces');
}

// Statements of a class body end with `;` outside of all brackets.
function statements(body) {
  const found = [];
  let depth = 0, from = 0;
  for (let at = 0; at < body.length; at++) {
    if ('{[('.includes(body[at])) depth++;
    if ('}])'.includes(body[at])) depth--;
    if (body[at] === ';' && depth === 0) {
      found.push(body.slice(from, at).trim());
      from = at + 1;
    }
  }
  return found;
}

// name -> the name of its type, when that is one
function members(body) {
  const found = new Map();
  for (const statement of statements(body)) {
    if (/^(private|protected)\b/.test(statement)) continue;
    const [, name, type] = statement.match(
      /^(?:(?:static|readonly|get|set|abstract|async|declare)\s+)*([A-Za-z_$][\w$]*)\s*[?!]?\s*(?::\s*(\w+)|[:(<]|$)/) ?? [];
    if (name && name !== 'constructor') found.set(name, type);
  }
  return found;
}

// The body of the class that is called `name` in the file, followed through imports; undefined when it is no class.
function classBody(file, name, seen = new Set()) {
  if (!existsSync(file) || seen.has(file + name)) return undefined;
  seen.add(file + name);
  const text = read(file);
  const wanted = name === 'default' ? text.match(/export default (?:class\s+)?(\w+)/)?.[1] : name;
  const declared = text.search(new RegExp(`\\bclass\\s+${wanted}\\b`));
  if (declared >= 0) return block(text, declared + text.slice(declared).match(/^class\s+\w+(?:<[\s\S]*?>(?=\s*(?:\{|extends|implements)))?/)[0].length);
  const source = imported(file, text, wanted);
  return source && classBody(...source, seen);
}

export function publicNames(packageName) {
  const file = entry(packageName), text = read(file), names = new Set();
  for (const [, list] of text.matchAll(/export\s+(?:type\s+)?\{([^}]*)\}/g)) listed(list).forEach(({ to }) => names.add(to));
  for (const [, name] of text.matchAll(/export\s+(?:declare\s+)?(?:abstract\s+)?(?:const|let|function|class|type|interface|enum)\s+(\w+)/g)) names.add(name);
  const exported = [...names];
  const add = (name, isOutermost) => {
    const body = classBody(file, name);
    if (body === undefined) return;
    members(body).forEach((type, member) => {
      names.add(`${name}.${member}`);
      if (isOutermost && type && !exported.includes(type)) add(type, false);
    });
  };
  exported.forEach((name) => add(name, true));
  return names;
}
