/**
 * How the Temporal development server is run for a project: its flags, and when it is up. Called by `supervisor.ts`,
 * which runs the result as a `ManagedServer`. The binary comes from `temporal.ts`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import type { ServerSpec } from './managed';
import { namePrefix } from './user';
import { SEARCH_ATTRIBUTES } from '../../workflows/lib/contract';

/** Search attribute types as the server's command line writes them. */
const TYPE_NAMES = { KEYWORD: 'Keyword', INT: 'Int' } as const;

/**
 * Timers may come 20 ms late instead of 1 s, and the queues of the one shard are not throttled: a signal's activity
 * starts after 27 ms instead of 100. The task queue is one: of its usual four partitions a worker with two polls
 * (`workers/sdk-workers.ts`) does not wait at all of them, and a task in another one comes up to 2 s late. Pools
 * of all trackers that wait for a node have their turn (`fairnessKey` of `workflows/tracker/shift-runs.ts`).
 *
 * A poll to which nothing comes ends after 2 s and is made anew: the polls of a process that is frozen swallow whatever
 * comes to them, and those are over before the heartbeats of its shifts are missed.
 */
const DYNAMIC_CONFIG = {
  'history.timerProcessorMaxTimeShift': '"20ms"',
  'history.transferProcessorMaxPollRPS': '1000',
  'history.timerProcessorMaxPollRPS': '1000',
  'matching.numTaskqueueReadPartitions': '1',
  'matching.numTaskqueueWritePartitions': '1',
  'matching.enableFairness': 'true',
  'matching.longPollExpirationInterval': '"2s"',
};

export interface TemporalOptions {
  binary: string;
  /** SQLite file. */
  file: string;
  log: string;
  cwd: string;
  port: number;
  /** Undefined: no web UI. */
  uiPort?: number;
  namespace: string;
  /**
   * SQLite's `synchronous`. OFF is faster and safe against the death of any process; only a power cut or a crash of
   * the operating system can damage the file.
   * @default 'OFF'
   */
  synchronous?: 'OFF' | 'FULL';
}

export function temporalSpec(options: TemporalOptions): ServerSpec {
  const attributes = Object.entries(SEARCH_ATTRIBUTES).flatMap(([name, type]) => [
    '--search-attribute',
    `${name}=${TYPE_NAMES[type]}`,
  ]);
  const dynamic = Object.entries(DYNAMIC_CONFIG).flatMap(([key, value]) => [
    '--dynamic-config-value',
    `${key}=${value}`,
  ]);
  // If no name can be had, a server without C libraries is content with the variables below.
  const [file, ...before] = [...(namePrefix() ?? []), options.binary] as [string];
  return {
    name: 'Temporal',
    port: options.port,
    file,
    args: [
      ...before,
      ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(options.port), '--log-level', 'warn'],
      ...(options.uiPort === undefined ? ['--headless'] : ['--ui-port', String(options.uiPort)]),
      ...['--db-filename', options.file, '--namespace', options.namespace],
      ...['--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', `synchronous=${options.synchronous ?? 'OFF'}`],
      ...dynamic,
      ...attributes,
    ],
    cwd: options.cwd,
    // The command's own configuration files and TEMPORAL_… variables are for its client verbs.
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'] ?? options.cwd,
      USER: process.env['USER'] ?? 'longwatch',
      TEMPORAL_DISABLE_CONFIG_FILE: 'true',
    },
    logFile: options.log,
    stopSignal: 'SIGTERM',
    stopMs: 10_000,
    readyMs: 60_000,
    ready: (signal) => namespaceAnswers(`127.0.0.1:${options.port}`, options.namespace, signal),
  };
}

/** Waits until the namespace is there and knows the search attributes, so that a first workflow can start. */
async function namespaceAnswers(address: string, namespace: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    let connection: Connection | undefined;
    try {
      connection = await Connection.connect({ address, connectTimeout: '2s' });
      await connection.workflowService.describeNamespace({ namespace });
      const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
      if (Object.keys(SEARCH_ATTRIBUTES).every((name) => customAttributes && name in customAttributes)) return;
    } catch {
      // Not up yet.
    } finally {
      await connection?.close();
    }
    await delay(50, undefined, { signal });
  }
}
