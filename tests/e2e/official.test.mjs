// The end-to-end tests that the official packages are published with, unchanged, against our
// server: @instantdb/core's in a browser, @instantdb/platform's and instant-cli's under node.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { browserPath, noBrowser } from './browser.mjs';
import { makeApp, root, scratch, serve, within } from './harness.mjs';

const here = path.join(root, 'tests/e2e');
const tooOld = Number(process.versions.node.split('.')[0]) < 20 ? 'vitest needs node 20' : undefined;

// Runs the tests of one package; gives its report.
async function vitest(t, name) {
  const server = await serve(t);
  const dir = scratch(t);
  const report = path.join(dir, 'report.json');
  symlinkSync(path.join(here, 'node_modules'), path.join(dir, 'node_modules')); // for projects that tests make
  const child = spawn(process.execPath, [
    path.join(here, 'node_modules/vitest/vitest.mjs'), 'run', '-c', 'official/vitest.config.mjs',
    '--project', `${name}*`, '--reporter=json', `--outputFile=${report}`,
  ], {
    cwd: here,
    env: {
      ...process.env,
      CI: '1', // nothing asks, nothing opens a browser
      INSTANT_PORT: String(server.port),
      INSTANT_CHROMIUM: browserPath ?? '',
      INSTANT_CLI_API_URI: server.api,
      TMPDIR: dir,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  child.stdout.on('data', (text) => { printed += text; });
  child.stderr.on('data', (text) => { printed += text; });
  const ended = new Promise((resolve) => child.on('close', resolve));
  t.after(() => child.kill('SIGKILL'));
  await within(400000, `the end of ${name}'s tests`, ended);
  assert.ok(existsSync(report), printed);
  return JSON.parse(readFileSync(report, 'utf8')).testResults;
}

// `count` tests are known to be there; `cannot` names those that no server but the cloud can pass,
// and why.
async function published(t, name, count, cannot = {}) {
  const files = await vitest(t, name);
  let seen = 0;
  for (const file of files) {
    assert.ok(file.assertionResults.length > 0, `${file.name}: ${file.message}`);
    for (const { fullName, status, failureMessages } of file.assertionResults) {
      seen++;
      const reason = cannot[fullName.trim()];
      const didPass = status === 'passed';
      await t.test(fullName.trim(), { skip: !didPass && reason }, () => {
        assert.ok(didPass, failureMessages.join('\n'));
        assert.equal(reason, undefined, 'passes, but is listed as one that cannot');
      });
    }
  }
  assert.equal(seen, count);
}

test('@instantdb/core in Chromium', { skip: tooOld ?? noBrowser }, (t) => published(t, '@instantdb/core', 20));
test('@instantdb/platform', { skip: tooOld }, async (t) => {
  const server = await serve(t);
  const app = await makeApp(server);
  const { status } = await fetch(`${server.api}/dash/apps/${app.id}/schema/pull`, {
    headers: { authorization: `Bearer ${app.token}` },
  });
  if (status === 404) return t.skip('the server has no routes that pull and push schemas');
  await published(t, '@instantdb/platform', 6);
});
test('instant-cli', { skip: tooOld }, (t) => published(t, 'instant-cli', 36));
