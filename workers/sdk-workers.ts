/**
 * The SDK's workers of one process, each with the task queue that it takes from: one for workflows, one for the short
 * activities, batches, passes and users' activities beside them, and one for each queue of shifts. Made by `tasks.ts`,
 * which has them work and end together.
 *
 * Shifts have workers of their own, so that neither their number nor that of users' activities keeps the other from
 * being taken; activities and workflows, so that a worker that ends still carries on the workflows whose activities end
 * now.
 */
import { getHeapStatistics } from 'node:v8';
import type { DataConverter } from '@temporalio/common';
import { Worker, type InjectedSinks, type NativeConnection, type WorkerOptions } from '@temporalio/worker';
import type { StringValue } from 'ms';
import type { ShardSinks } from '../workflows/buffer/contract';
import { TASK_QUEUE } from '../workflows/lib/contract';
import { nodeShiftQueue, sharedShiftQueue } from '../workflows/tracker/contract';
import { ShiftPermits, type Wants } from './permits';
import type { SdkWorker, Stage } from './worker-group';
import type { workflowCode } from './workflow-source';

export interface SdkSetup {
  namespace: string;
  /** The node's name. */
  identity: string;
  /** Pools of trackers that want one of these come to this node. */
  labels: readonly string[];
  /** All of them, the shift too. */
  activities: object;
  sinks: InjectedSinks<ShardSinks>;
  dataConverter: DataConverter | undefined;
  workflowCode: ReturnType<typeof workflowCode>;
  shutdownForceTime: StringValue;
  wants: { readonly shared: Wants; readonly own: Wants };
}

/** Far more than the code of one process can have under way. */
const ACTIVITY_SLOTS = 5_000;
const WORKFLOW_POLLS = 5;
/** Polls that are out at shutdown are answered or end within this; long polls last a minute. */
const SHUTDOWN_GRACE = '10s';

/**
 * In the order of their end. If one of them cannot be made, those before it are gone: they would hold the connection.
 */
export async function createSdkWorkers(setup: SdkSetup, connection: NativeConnection): Promise<Stage[]> {
  const made: Worker[] = [];
  const make = async (options: WorkerOptions): Promise<Worker> => {
    const worker = await Worker.create(options);
    made.push(worker);
    return worker;
  };
  try {
    // First: its code takes longest.
    const workflows = await make(await workflowOptions(setup, connection));
    const activities = await make(activityOptions(setup, connection));
    const shifts: Worker[] = [];
    for (const queue of queuesOf(setup)) shifts.push(await make(shiftOptions(setup, connection, queue)));
    return [
      { what: 'shifts', workers: shifts, until: 0.4 },
      { what: 'activities', workers: [activities], until: 0.9 },
      { what: 'workflows', workers: [workflows], until: 1 },
    ];
  } catch (error) {
    await Promise.all(made.map((worker) => discard(worker)));
    throw error;
  }
}

/** Ends a worker that has not run: it holds the connection until it has, and has no other end. */
export async function discard(worker: SdkWorker): Promise<void> {
  if (worker.getState() !== 'INITIALIZED') return;
  const ended = worker.run();
  worker.shutdown();
  await ended;
}

interface ShiftQueue {
  readonly taskQueue: string;
  readonly wants: Wants;
}

function queuesOf({ identity, labels, wants: { own, shared } }: SdkSetup): ShiftQueue[] {
  return [
    { taskQueue: nodeShiftQueue(identity), wants: own },
    { taskQueue: sharedShiftQueue(), wants: shared },
    ...labels.map((label) => ({ taskQueue: sharedShiftQueue(label), wants: shared })),
  ];
}

/** All of them have these in common. */
function commonOptions(setup: SdkSetup, connection: NativeConnection) {
  return {
    dataConverter: setup.dataConverter,
    connection,
    namespace: setup.namespace,
    identity: setup.identity,
    shutdownGraceTime: SHUTDOWN_GRACE,
    shutdownForceTime: setup.shutdownForceTime,
    // No task that skips the queue.
    maxEagerActivityReservationsPerWorkflowTask: 0,
  } satisfies Partial<WorkerOptions>;
}

async function workflowOptions(setup: SdkSetup, connection: NativeConnection): Promise<WorkerOptions> {
  return {
    ...commonOptions(setup, connection),
    ...(await setup.workflowCode()),
    taskQueue: TASK_QUEUE,
    sinks: setup.sinks,
    // For a user's workflow that calls some as local ones; those of the queue are the next worker's.
    activities: setup.activities,
    enableNonLocalActivities: false,
    // A dead worker's sticky queue delays its workflows by this, and with them the pools that come back through theirs.
    stickyQueueScheduleToStartTimeout: '500ms',
    // One of them for workflows that are not cached here, the others for those that are. A frozen process swallows with
    // the first one a task, until that times out.
    workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: WORKFLOW_POLLS },
    maxConcurrentWorkflowTaskExecutions: tasksAtOnce(),
    maxCachedWorkflows: cachedWorkflows(),
  };
}

function activityOptions(setup: SdkSetup, connection: NativeConnection): WorkerOptions {
  return {
    ...commonOptions(setup, connection),
    taskQueue: TASK_QUEUE,
    activities: setup.activities,
    maxConcurrentActivityTaskExecutions: ACTIVITY_SLOTS,
    // Few polls: those of a frozen process go on to swallow retries, one heartbeat timeout each.
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
    maxHeartbeatThrottleInterval: '2s',
    defaultHeartbeatThrottleInterval: '2s',
  };
}

function shiftOptions(setup: SdkSetup, connection: NativeConnection, { taskQueue, wants }: ShiftQueue): WorkerOptions {
  const none = { type: 'fixed-size', numSlots: 1 } as const;
  return {
    ...commonOptions(setup, connection),
    taskQueue,
    activities: setup.activities,
    tuner: {
      activityTaskSlotSupplier: new ShiftPermits(wants),
      // It has no such tasks.
      workflowTaskSlotSupplier: none,
      localActivityTaskSlotSupplier: none,
      nexusTaskSlotSupplier: none,
    },
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 1 },
    // A shift beats as seldom as the cluster can bear (`placement/heartbeat.ts`): each of its beats is sent.
    maxHeartbeatThrottleInterval: '100ms',
    defaultHeartbeatThrottleInterval: '100ms',
  };
}

/**
 * Workflows kept in memory, one for each MiB of the heap limit. One that is not kept is replayed from its history for
 * each task and each query; a pool takes some 80 KB, and what a shard holds is the memory monitor's. The SDK reckons
 * with two MiB each beyond the first 200, which leaves a worker with a heap of 192 MB ten: fewer than the shards of one
 * buffer.
 */
function cachedWorkflows(): number {
  return Math.max(100, heapMiB());
}

/**
 * Tasks of workflows that are under way at once: 40, as the SDK has it, from a heap of 2.5 GiB on, and fewer below. In
 * a restart each of them replays a history of up to some megabytes, all on one thread, and has ten seconds from when it
 * was taken: of too many in too little memory none is done in time, and all begin again. They are more than the polls,
 * each of which holds one of these places.
 */
function tasksAtOnce(): number {
  return Math.min(40, Math.max(WORKFLOW_POLLS + 1, Math.floor(heapMiB() / 64)));
}

const heapMiB = (): number => Math.floor(getHeapStatistics().heap_size_limit / 2 ** 20);
