/**
 * The SDK's worker: it takes workflow and activity tasks from Temporal while `run` runs. Made by `parts.ts`, as the
 * last of a worker's parts; what it calls are the activities of the parts before it.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { getHeapStatistics } from 'node:v8';
import type { DataConverter } from '@temporalio/common';
import {
  GracefulShutdownPeriodExpiredError,
  IllegalStateError,
  NativeConnection,
  Worker,
  type InjectedSinks,
  type WorkerOptions,
} from '@temporalio/worker';
import type { StringValue } from 'ms';
import type { Logger } from 'pino';
import { Background } from '../activities/lib/service';
import type { ShardSinks } from '../workflows/buffer/contract';
import { TASK_QUEUE } from '../workflows/lib/contract';
import type { TemporalTarget } from '../config/environment';
import { ConfigError } from '../config/errors';
import { bundleProblem, bundleWorkflows } from './bundle';

export interface TasksSetup {
  temporal: TemporalTarget;
  identity: string;
  activities: object;
  sinks: InjectedSinks<ShardSinks>;
  dataConverter: DataConverter | undefined;
  /** A prebuilt bundle; and the user's own workflows, which are bundled at the start. */
  workflowBundle: string | undefined;
  userWorkflows: string | undefined;
  shutdownForceTime: StringValue | undefined;
  log: Logger;
}

/** More shifts than one process could keep; the node's own limits come first. */
const ACTIVITY_SLOTS = 5_000;
/** Polls that are out at shutdown are answered or end within this; long polls last a minute. */
const SHUTDOWN_GRACE = '10s';
/** Work that has not ended by then is left behind: its heartbeats stop, and another worker goes on with it. */
const SHUTDOWN_FORCE = '25s';

export class Tasks extends Background {
  private native: NativeConnection | undefined;
  private worker: Worker | undefined;
  private running = false;
  private ending = false;

  constructor(private readonly setup: TasksSetup) {
    super();
  }

  /** From the beginning of `run` to its end. */
  get isRunning(): boolean {
    return this.running;
  }

  /** Takes tasks until `shutdown`. Rejects when the SDK's worker fails for good. */
  async run(): Promise<void> {
    this.running = true;
    try {
      await this.worker?.run();
    } catch (error) {
      // The SDK says either, where an activity still works when its time is over.
      const late = error instanceof GracefulShutdownPeriodExpiredError || error instanceof IllegalStateError;
      if (!this.ending || !late) throw error;
      this.setup.log.warn('something did not end in time, and was left behind; another worker goes on with it');
    } finally {
      this.running = false;
    }
  }

  /** Has `run` end. */
  shutdown(): void {
    this.ending = true;
    if (this.worker?.getState() === 'RUNNING') this.worker.shutdown();
  }

  protected async open(): Promise<void> {
    const { setup } = this;
    // First: it takes longest, and nothing is open meanwhile.
    const source = await workflowSource(setup);
    this.native = await NativeConnection.connect(connectionOptions(setup.temporal));
    if (this.isStopping) return;
    this.worker = await Worker.create({
      ...source,
      dataConverter: setup.dataConverter,
      connection: this.native,
      namespace: setup.temporal.namespace,
      taskQueue: TASK_QUEUE,
      identity: setup.identity,
      activities: setup.activities,
      sinks: setup.sinks,
      maxConcurrentActivityTaskExecutions: ACTIVITY_SLOTS,
      // Few polls: those of a frozen process go on to swallow retries, one heartbeat timeout each.
      activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
      // No task that skips the queue: the server spreads shifts over the nodes.
      maxEagerActivityReservationsPerWorkflowTask: 0,
      maxHeartbeatThrottleInterval: '2s',
      defaultHeartbeatThrottleInterval: '2s',
      // A dead worker's sticky queue delays its workflows by this.
      stickyQueueScheduleToStartTimeout: '2s',
      shutdownGraceTime: SHUTDOWN_GRACE,
      shutdownForceTime: setup.shutdownForceTime ?? SHUTDOWN_FORCE,
      maxCachedWorkflows: cachedWorkflows(),
    });
  }

  protected async close(): Promise<void> {
    // The SDK's worker holds the connection until it has run, and has no other end.
    if (this.worker?.getState() === 'INITIALIZED') await this.worker.runUntil(Promise.resolve());
    await this.native?.close();
  }
}

export function connectionOptions({ address, tls, apiKey, metadata }: TemporalTarget) {
  return { address, tls, apiKey, metadata };
}

/**
 * Workflows kept in memory, one for each MiB of the heap limit. One that is not kept is replayed from its history for
 * each task and each query; a pool takes some 80 KB, and what a shard holds is the memory monitor's. The SDK reckons
 * with two MiB each beyond the first 200, which leaves a worker with a heap of 192 MB ten: fewer than the shards of one
 * buffer.
 */
function cachedWorkflows(): number {
  return Math.max(100, Math.floor(getHeapStatistics().heap_size_limit / 2 ** 20));
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
}: TasksSetup): Promise<Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'>> {
  // Converters by path are part of the bundle.
  const paths = converter?.payloadConverterPath ?? converter?.failureConverterPath;
  if (given === undefined && (userWorkflows !== undefined || paths !== undefined)) {
    return { workflowBundle: { code: await bundleWorkflows(userWorkflows, log, converter) } };
  }
  const bundle = given ?? path.join(__dirname, '..', 'workflow-bundle.js');
  if (given !== undefined || existsSync(bundle)) return { workflowBundle: { codePath: bundle } };
  return { workflowsPath: path.join(__dirname, '..', 'workflows', `index${path.extname(__filename)}`) };
}

/** @throws ConfigError where a bundle that was given has not the converters of this worker. */
export function refuseOtherBundle(given: string | undefined, converter: DataConverter | undefined): void {
  if (given === undefined || !existsSync(given)) return;
  if (converter?.payloadConverterPath === undefined && converter?.failureConverterPath === undefined) return;
  const problem = bundleProblem(readFileSync(given, 'utf8'), converter);
  if (problem !== undefined) throw new ConfigError([problem]);
}
