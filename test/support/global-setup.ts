/**
 * Before all tests: a `temporal` binary is there (on a new machine it is compiled, which takes minutes and must not
 * count as a test's time), and the workflow code is bundled once, from the sources as they are.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';
import { findTemporal } from '../../workers/dev/temporal';

export default async function globalSetup(): Promise<void> {
  await findTemporal({ onProgress: (line) => process.stderr.write(`${line}\n`) });
  const quiet = { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error };
  const { code } = await bundleWorkflowCode({
    workflowsPath: path.join(__dirname, '../../workflows/index.ts'),
    logger: quiet,
  });
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'longwatch-bundle-')), 'bundle.js');
  writeFileSync(file, code);
  process.env.LONGWATCH_TEST_BUNDLE = file;
}
