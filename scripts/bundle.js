/**
 * Bundles at build time the workflow code, so that a worker starts without the bundler, and the dashboard's page. Part of
 * `npm run build`.
 */
const { writeFileSync } = require('node:fs');
const path = require('node:path');
const { bundleWorkflowCode } = require('@temporalio/worker');
const { buildPage } = require('./page');

const dist = path.join(__dirname, '..', 'dist');
const { OWN_WORKFLOWS, WORKFLOW_INTERCEPTORS } = require(path.join(dist, 'workers', 'own-workflows'));

async function bundle() {
  const { code } = await bundleWorkflowCode({
    workflowsPath: OWN_WORKFLOWS,
    workflowInterceptorModules: WORKFLOW_INTERCEPTORS,
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error },
  });
  writeFileSync(path.join(dist, 'workflow-bundle.js'), code);
  await buildPage(path.join(dist, 'http', 'page'));
}

bundle().catch((error) => {
  console.error(error);
  process.exit(1);
});
