/**
 * Bundles the dashboard's page: http/page becomes the files of dist/http/page, which the handler of
 * `http/` serves. Part of `npm run build` (by bundle.js); tests call it for a folder of their own.
 */
const { copyFileSync, mkdirSync } = require('node:fs');
const path = require('node:path');
const esbuild = require('esbuild');

const page = path.join(__dirname, '..', 'http', 'page');

/** @param {string} folder where the three files go */
async function buildPage(folder) {
  mkdirSync(folder, { recursive: true });
  await esbuild.build({
    entryPoints: { app: path.join(page, 'main.tsx') },
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['chrome111', 'firefox115', 'safari16.4'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    logLevel: 'warning',
  });
  copyFileSync(path.join(page, 'index.html'), path.join(folder, 'index.html'));
}

module.exports = { buildPage };
if (require.main === module) {
  buildPage(process.argv[2] ?? path.join(__dirname, '..', 'dist', 'http', 'page')).catch(() => process.exit(1));
}
