/** Bundles the workflow code at build time, so that a worker starts without the bundler. Part of `npm run build`. */
const { writeFileSync } = require('node:fs');
const path = require('node:path');
const { bundleWorkflowCode } = require('@temporalio/worker');

const dist = path.join(__dirname, '..', 'dist');

bundleWorkflowCode({
  workflowsPath: path.join(dist, 'workflows', 'index.js'),
  logger: { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error },
}).then(
  ({ code }) => writeFileSync(path.join(dist, 'workflow-bundle.js'), code),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
