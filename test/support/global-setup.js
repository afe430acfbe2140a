/** Bundles the workflow code once for all test files, from the sources as they are. */
const { mkdtempSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { bundleWorkflowCode } = require('@temporalio/worker');

module.exports = async () => {
  const quiet = { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error };
  const { code } = await bundleWorkflowCode({
    workflowsPath: path.join(__dirname, '../../workflows/index.ts'),
    logger: quiet,
  });
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'longwatch-bundle-')), 'bundle.js');
  writeFileSync(file, code);
  process.env.LONGWATCH_TEST_BUNDLE = file;
};
