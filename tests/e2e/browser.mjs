// Chromium, where one is installed ($INSTANT_CHROMIUM names another).

import { existsSync } from 'node:fs';

export const browserPath = [
  process.env.INSTANT_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((file) => file && existsSync(file));

export const noBrowser = browserPath ? undefined : 'no Chromium is installed (Debian: apt-get install chromium)';
