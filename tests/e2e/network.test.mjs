// networkListener = "netlink": a client in a network of its own, whose links go down and come back.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { root, scratch, within } from './harness.mjs';

const host = path.join(root, process.env.INSTANT_BUILD ?? 'build', 'instant-lua');
const may = spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb']).status === 0;

// The backend is reached over loopback, which stays: what pauses the client is what the kernel says.
const SCRIPT = `
  local instant = require "instant"
  local function ip(text) assert(os.execute("ip " .. text), text) end
  ip "link set lo up"
  ip "link add va type veth peer name vb"
  local server = assert(instant.server { data = arg[1] })
  local app = server:createApp "network"
  local db = instant.init {
    apiURI = "http://127.0.0.1:" .. server:port(), appId = app.id, networkListener = "netlink", reconnect = "linear",
  }
  local shared = instant.init {
    apiURI = "http://127.0.0.1:" .. server:port(), appId = app.id, networkListener = "netlink", reconnect = "linear",
    __extraDedupeKey = "2", shareConnection = false,
  }
  local history = {}
  db:subscribeConnectionStatus(function(status) history[#history + 1] = status end)
  local function wait(status)
    local started = instant.now()
    while db:getConnectionStatus() ~= status or shared:getConnectionStatus() ~= status do
      if instant.now() - started > 5000 then error("never " .. status .. ": " .. table.concat(history, " ")) end
      instant.sleep(5)
    end
    return instant.now() - started
  end
  local function wait_online()
    local started = instant.now()
    while not db:queryOnce({ todos = {} }):await() do
      if instant.now() - started > 5000 then error("never online: " .. table.concat(history, " ")) end
      instant.sleep(5)
    end
    wait "authenticated"
    return instant.now() - started
  end
  -- Offline at the start: the first attempt is made all the same (session.md 5.15).
  wait "authenticated"
  print("offline", not pcall(function() assert(db:queryOnce({ todos = {} }):await()) end))
  for n = 1, 3 do
    ip "addr add 10.1.1.1/24 dev va"
    ip "link set va up"
    ip "link set vb up" -- a link without a carrier is no network
    print("back", wait_online() < 1000)
    ip(n == 1 and "link set va down" or n == 2 and "link set vb down" or "addr del 10.1.1.1/24 dev va")
    print("gone", wait "closed" < 1000)
    ip "addr flush dev va"
  end
  -- Many changes at once.
  assert(os.execute "for n in $(seq 200); do ip addr add 10.2.$n.1/24 dev vb; done")
  print("many", wait_online() < 3000)
  db:shutdown()
  shared:shutdown()
  server:close():await()
  print "end"
`;

test('links that go and come', { skip: !may && 'no network namespaces here' }, async (t) => {
  const child = spawn('unshare', ['-n', host, '-e', SCRIPT, scratch(t)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  child.stdout.on('data', (chunk) => (printed += chunk));
  child.stderr.on('data', (chunk) => (printed += chunk));
  t.after(() => child.kill('SIGKILL'));
  const code = await within(60000, 'its end', new Promise((resolve) => child.on('close', resolve)));
  assert.equal(code, 0, printed);
  const lines = printed.trim().split('\n');
  assert.equal(lines.filter((line) => line === 'back\ttrue').length, 3, printed);
  assert.equal(lines.filter((line) => line === 'gone\ttrue').length, 3, printed);
  assert.ok(lines.includes('offline\ttrue'), printed);
  assert.ok(lines.includes('many\ttrue'), printed);
  assert.equal(lines.at(-1), 'end');
});
