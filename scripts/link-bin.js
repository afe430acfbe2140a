/**
 * Puts `longwatch` on this checkout's own path of binaries, so that `npx longwatch` starts at once here too (npx would
 * otherwise install the package into a cache of its own first). Part of `npm ci`.
 */
const fs = require('node:fs');
const path = require('node:path');

const bin = path.join(__dirname, '..', 'node_modules', '.bin');
const link = path.join(bin, 'longwatch');
fs.mkdirSync(bin, { recursive: true });
fs.rmSync(link, { force: true });
fs.symlinkSync(path.join('..', '..', 'bin', 'longwatch.js'), link);
