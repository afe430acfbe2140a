/**
 * The workflow code of a worker: a bundle or sources, its own or the user's. Made by `parts.ts`, asked by
 * `sdk-workers.ts`.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { DataConverter } from '@temporalio/common';
import type { WorkerOptions } from '@temporalio/worker';
import type { Logger } from 'pino';
import { ConfigError } from '../config/errors';
import { bundleProblem, bundleWorkflows } from './bundle';
import { OWN_WORKFLOWS, WORKFLOW_INTERCEPTORS } from './own-workflows';

export interface WorkflowCode {
  /** A prebuilt bundle; and the user's own workflows, which are bundled at the start. */
  workflowBundle: string | undefined;
  userWorkflows: string | undefined;
  dataConverter: DataConverter | undefined;
  log: Logger;
}

type Source = Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath' | 'interceptors'>;

/** Makes it at the first call, and once: a user's workflows take the event loop for seconds. */
export function workflowCode(of: WorkflowCode): () => Promise<Source> {
  let made: Promise<Source> | undefined;
  return () => (made ??= workflowSource(of));
}

/**
 * The bundle made by `npm run build`, or the sources where there is none (tests), or both sources where the user has
 * own ones.
 */
async function workflowSource({
  workflowBundle: given,
  userWorkflows,
  dataConverter: converter,
  log,
}: WorkflowCode): Promise<Source> {
  // Converters by path are part of the bundle.
  const paths = converter?.payloadConverterPath ?? converter?.failureConverterPath;
  if (given === undefined && (userWorkflows !== undefined || paths !== undefined)) {
    return { workflowBundle: { code: await bundleWorkflows(userWorkflows, log, converter) } };
  }
  const bundle = given ?? path.join(__dirname, '..', 'workflow-bundle.js');
  if (given !== undefined || existsSync(bundle)) return { workflowBundle: { codePath: bundle } };
  return { workflowsPath: OWN_WORKFLOWS, interceptors: { workflowModules: WORKFLOW_INTERCEPTORS } };
}

/** @throws ConfigError where a bundle that was given has not the converters of this worker. */
export function refuseOtherBundle(given: string | undefined, converter: DataConverter | undefined): void {
  if (given === undefined || !existsSync(given)) return;
  if (converter?.payloadConverterPath === undefined && converter?.failureConverterPath === undefined) return;
  const problem = bundleProblem(readFileSync(given, 'utf8'), converter);
  if (problem !== undefined) throw new ConfigError([problem]);
}
