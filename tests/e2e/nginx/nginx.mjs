// nginx with its Lua module, and our module for LuaJIT in it.

import { absent } from '../luajit.mjs';

export const missing = absent(
  ['/usr/sbin/nginx', 'nginx'],
  ['/usr/lib/nginx/modules/ngx_http_lua_module.so', 'libnginx-mod-http-lua'],
  ['/usr/share/lua/5.1/nginx/websocket/client.lua', 'lua-nginx-websocket'],
);
