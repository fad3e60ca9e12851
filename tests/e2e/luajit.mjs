// Our module for LuaJIT inside programs that bring a LuaJIT of their own: nginx, LÖVE, Luanti.

import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './harness.mjs';

export const luajit = path.join(root, process.env.INSTANT_BUILD ?? 'build', 'luajit');

// Why nothing can run here, of files and the names of what they belong to; false when it can.
export function absent(...needed) {
  const names = [...needed, [path.join(luajit, 'instant/core.so'), 'the module for LuaJIT (cmake -DINSTANT_LUAJIT=ON)']]
    .filter(([file]) => !existsSync(file)).map(([, name]) => name);
  return names.length > 0 && `not installed: ${names.join(', ')}`;
}

// Of a module built with the sanitizers, their runtime must be there before the program. Luanti does not start so
// (it waits for a lock in setlocale): there the runtime comes with the module, and sees only what that does.
function preload(isLate) {
  const needs = execFileSync('ldd', [path.join(luajit, 'instant/core.so')], { encoding: 'utf8' });
  if (!needs.includes('libasan')) return {};
  if (isLate) return { ASAN_OPTIONS: 'detect_leaks=0:verify_asan_link_order=0' };
  const library = execFileSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
  return { LD_PRELOAD: library, ASAN_OPTIONS: 'detect_leaks=0' };
}

// Where a LuaJIT that is told nothing else finds the module.
export const luajitEnv = ({ isLate = false } = {}) => ({
  ...preload(isLate),
  LUA_PATH: `./?.lua;${root}/lua/?.lua;${root}/lua/?/init.lua;;`,
  LUA_CPATH: `${luajit}/?.so;;`,
});

// A folder with a `name` that runs `program` so; what stands beside it in a script need not.
export function luajitFolder(dir, { name, program, isLate }) {
  const variables = Object.entries(luajitEnv({ isLate })).map(([key, value]) => `${key}='${value}'`).join(' ');
  writeFileSync(path.join(dir, name), `#!/bin/sh\n${variables} exec ${program} "$@"\n`, { mode: 0o755 });
  return dir;
}
