/**
 * The workflow code of the sources as they are, bundled once for many workers: before all tests, and by the benchmarks.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';
import { OWN_WORKFLOWS, WORKFLOW_INTERCEPTORS } from '../../workers/own-workflows';

const quiet = { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error };

/** @returns the file, in a temporary folder of its own. */
export async function bundleSources(): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: OWN_WORKFLOWS,
    workflowInterceptorModules: WORKFLOW_INTERCEPTORS,
    logger: quiet,
  });
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'longwatch-bundle-')), 'bundle.js');
  writeFileSync(file, code);
  return file;
}
