// nginx with its Lua module, and our module for LuaJIT in it.

import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root } from '../harness.mjs';

export const luajit = path.join(root, process.env.INSTANT_BUILD ?? 'build', 'luajit');
const absent = [
  ['/usr/sbin/nginx', 'nginx'],
  ['/usr/lib/nginx/modules/ngx_http_lua_module.so', 'libnginx-mod-http-lua'],
  ['/usr/share/lua/5.1/nginx/websocket/client.lua', 'lua-nginx-websocket'],
  [path.join(luajit, 'instant/core.so'), 'the module for LuaJIT (cmake -DINSTANT_LUAJIT=ON)'],
].filter(([file]) => !existsSync(file)).map(([, name]) => name);

// Why nothing can run here; false when it can.
export const missing = absent.length > 0 && `not installed: ${absent.join(', ')}`;

// Of a module built with the sanitizers, their runtime must be there before nginx.
function preload() {
  const needs = execFileSync('ldd', [path.join(luajit, 'instant/core.so')], { encoding: 'utf8' });
  if (!needs.includes('libasan')) return {};
  const library = execFileSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
  return { LD_PRELOAD: library, ASAN_OPTIONS: 'detect_leaks=0' };
}

// Where a LuaJIT that is told nothing else finds the module.
export const nginxEnv = () => ({
  ...preload(),
  LUA_PATH: `./?.lua;${root}/lua/?.lua;${root}/lua/?/init.lua;;`,
  LUA_CPATH: `${luajit}/?.so;;`,
});

// A folder with an `nginx` that runs so; what stands beside it in a script need not.
export function nginxFolder(dir) {
  const variables = Object.entries(nginxEnv()).map(([name, value]) => `${name}='${value}'`).join(' ');
  writeFileSync(path.join(dir, 'nginx'), `#!/bin/sh\n${variables} exec /usr/sbin/nginx "$@"\n`, { mode: 0o755 });
  return dir;
}
