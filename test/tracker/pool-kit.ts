/** The pool's workflow on a real server, with activities of the test's own, and nodes that are no more than a queue. */
import { Client, Connection, QueryNotRegisteredError, type WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import {
  nodeShiftQueue,
  poolStatusQuery,
  sharedShiftQueue,
  type PoolOpening,
  type PoolStatus,
  type ShiftInput,
  type ShiftResult,
} from '../../workflows/tracker/contract';
import { installRuntime } from '../../workers/runtime';
import { Stack } from '../support/stack';

/** Pools of a test and their short activities have this queue; shifts have those of the contract. */
export const POOL_QUEUE = 'pool-test';

export const OPENING: PoolOpening = {
  state: 'running',
  members: 1,
  pools: 1,
  poolSize: 500,
  shiftMs: 60_000,
  heartbeatTimeoutMs: 5_000,
  historyEvents: 1_000,
  beginWithinMs: 60_000,
};

/** The result of a shift that did nothing. */
export const result = (given: Pick<ShiftResult, 'end' | 'node'> & Partial<ShiftResult>): ShiftResult => ({
  members: 1,
  ranMs: 1,
  fetched: 0,
  failed: 0,
  skipped: 0,
  ...given,
});

/** Asks once more if the question came with a task that had not begun (`workflows/interceptors.ts`). */
export async function statusOf(pool: WorkflowHandle): Promise<PoolStatus> {
  try {
    return await pool.query(poolStatusQuery);
  } catch (error) {
    if (!(error instanceof QueryNotRegisteredError)) throw error;
    return statusOf(pool);
  }
}

export class PoolStack {
  private stops: (() => Promise<void>)[] = [];

  private constructor(
    private readonly stack: Stack,
    private readonly connection: Connection,
    private readonly native: NativeConnection,
    readonly workflowBundle: WorkerOptions['workflowBundle'],
  ) {}

  static async start(): Promise<PoolStack> {
    const stack = await Stack.start();
    await installRuntime(stack.log);
    const address = stack.servers.temporalAddress;
    const workflowBundle = { codePath: process.env.LONGWATCH_TEST_BUNDLE! };
    return new PoolStack(
      stack,
      await Connection.connect({ address }),
      await NativeConnection.connect({ address }),
      workflowBundle,
    );
  }

  get client(): Client {
    return new Client({ connection: this.connection, namespace: this.stack.servers.namespace });
  }

  /** Workflows and activities, and shifts that come by the shared queue. @returns ends it */
  async worker(activities: object, sharedQueue = sharedShiftQueue()): Promise<() => Promise<void>> {
    const { workflowBundle } = this;
    const stops = [
      await this.run({ taskQueue: POOL_QUEUE, workflowBundle, activities }),
      await this.run({ taskQueue: sharedQueue, activities }),
    ];
    return async () => void (await Promise.all(stops.map((stop) => stop())));
  }

  /** A node: what it does with a shift that comes by its own queue. @returns ends it */
  node(name: string, shift: (input: ShiftInput) => Promise<ShiftResult> | ShiftResult): Promise<() => Promise<void>> {
    return this.run({ taskQueue: nodeShiftQueue(name), activities: { shift } });
  }

  /** Ends all workers: one at a time on a queue. */
  async endWorkers(): Promise<void> {
    await Promise.all(this.stops.splice(0).map((stop) => stop()));
  }

  async close(): Promise<void> {
    await this.endWorkers();
    await this.native.close();
    await this.connection.close();
    await this.stack.close();
  }

  /** One of the SDK's workers. @returns ends it */
  async run(options: Omit<WorkerOptions, 'connection' | 'namespace'>): Promise<() => Promise<void>> {
    const worker = await Worker.create({
      connection: this.native,
      namespace: this.stack.servers.namespace,
      ...options,
    });
    const ended = worker.run();
    const stop = async (): Promise<void> => {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await ended;
    };
    this.stops.push(stop);
    return stop;
  }
}
