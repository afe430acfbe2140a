/**
 * Bundles Longwatch's workflows together with the user's, for one worker that runs both. Called by `worker.ts` where the config
 * names `workflows`; whoever starts many workers bundles once and gives each the file (`workflowBundle`).
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';
import type { Logger } from 'pino';

/** @param userWorkflows absolute. @returns the bundle's code. */
export async function bundleWorkflows(userWorkflows: string, log: Logger): Promise<string> {
  const own = path.join(__dirname, '..', 'workflows');
  const extension = path.extname(__filename);
  const folder = mkdtempSync(path.join(tmpdir(), 'longwatch-workflows-'));
  try {
    const entry = path.join(folder, 'entry.js');
    const modules = [path.join(own, `index${extension}`), userWorkflows];
    writeFileSync(entry, modules.map((file) => `export * from ${JSON.stringify(file)};\n`).join(''));
    const { code } = await bundleWorkflowCode({
      workflowsPath: entry,
      logger: {
        log() {},
        trace() {},
        debug() {},
        info() {},
        warn: (message) => log.warn(message),
        error: (message) => log.error(message),
      },
      webpackConfigHook: (config) => {
        // The very code that this worker has, wherever the user's module would find the package.
        const alias = { 'longwatch/workflow': path.join(own, `user${extension}`) };
        // The entry lies in a temporary folder, above which there are no packages.
        const packages = path.join(path.dirname(require.resolve('@temporalio/workflow/package.json')), '..', '..');
        const modules = [...(config.resolve?.modules ?? ['node_modules']), packages];
        return { ...config, resolve: { ...config.resolve, modules, alias: { ...config.resolve?.alias, ...alias } } };
      },
    });
    return code;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
