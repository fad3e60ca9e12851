// The end-to-end tests that the official packages bring along, as they were published, against the
// server on $INSTANT_PORT. official.test.mjs runs this.

import path from 'node:path';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';

const port = Number(process.env.INSTANT_PORT);
const here = import.meta.dirname;
const modules = path.join(here, '../node_modules');
const published = (name, settings) => ({
  root: path.join(modules, name),
  define: { __DEV_LOCAL_PORT__: port }, // what core's tests ask for
  test: { name, exclude: [], include: ['**/*.e2e.test.ts'], ...settings },
});

export default defineConfig({
  test: {
    projects: [
      {
        ...published('@instantdb/core', {
          expect: { poll: { timeout: 10_000 } },
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({ launchOptions: { executablePath: process.env.INSTANT_CHROMIUM } }),
            instances: [{ browser: 'chromium' }],
          },
        }),
        // The script that msw starts in the browser.
        publicDir: path.join(modules, 'msw/lib'),
        server: { fs: { allow: [path.join(here, '..')] } },
      },
      published('@instantdb/platform', { setupFiles: [path.join(here, 'redirect.mjs')] }),
      // Each test starts a few processes; their time limits are for a machine that runs two.
      published('instant-cli', { maxConcurrency: 2 }),
    ],
  },
});
