// lua/docs/parity.md names everything that the installed official packages export.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { root } from './harness.mjs';
import { publicNames } from './names.mjs';

const readme = readFileSync(path.join(root, 'lua/docs/parity.md'), 'utf8');

// The names in the first column of the tables below the package's heading.
function listedNames(packageName) {
  const version = JSON.parse(readFileSync(path.join(root, 'tests/e2e/package.json'), 'utf8')).dependencies[packageName];
  const section = readme.split(/^## /m).find((part) => part.startsWith(`${packageName} ${version}\n`));
  assert.ok(section, `a section on ${packageName} ${version}`);
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  for (const row of rows) assert.match(row, /^\|[^|]+\|\s*\S[^|]*\|[^|]*\|$/, 'every row says what is here');
  return rows.flatMap((row) => row.split('|')[1].match(/`[^`]+`/g).map((name) => name.slice(1, -1)));
}

for (const packageName of ['@instantdb/core', '@instantdb/admin']) {
  test(`the table has every public name of ${packageName}`, () => {
    const names = publicNames(packageName), listed = listedNames(packageName);
    // What the extraction must not lose: values, types, members, members of what is only reachable.
    for (const name of packageName.endsWith('core')
      ? ['init', 'Query', 'RoomHandle', 'InstantCoreDatabase.transact', 'Auth.signOut', 'FrameworkClient.query']
      : ['init', 'User', 'InstantAdminDatabase.debugTransact', 'Auth.createToken', 'Rooms.getPresence', 'WebhooksManager.create'])
      assert.ok(names.has(name), `${name} is extracted`);
    assert.ok(names.size > 150);

    const covers = (name) => listed.includes(name) || listed.includes(name.replace(/\..*/, '.*'));
    assert.deepEqual([...names].filter((name) => !covers(name)), [], 'missing in lua/docs/parity.md');
    const stands = (name) => name.endsWith('.*') ? [...names].some((n) => n.startsWith(name.slice(0, -1))) : names.has(name);
    assert.deepEqual(listed.filter((name) => !stands(name)), [], 'in lua/docs/parity.md, but not in the package');
    assert.equal(new Set(listed).size, listed.length, 'each name once');
  });
}
