/**
 * The tasks of a worker: it takes them from Temporal while `run` runs. Made by `parts.ts`, as the last of a worker's
 * parts; what it calls are the activities of the parts before it. `sdk-workers.ts` has the SDK's workers that take
 * them, `worker-group.ts` the order of their end.
 */
import { NativeConnection } from '@temporalio/worker';
import ms, { type StringValue } from 'ms';
import type { Logger } from 'pino';
import { Background } from '../activities/lib/service';
import type { TemporalTarget } from '../config/environment';
import { createSdkWorkers, discard, type SdkSetup } from './sdk-workers';
import { WorkerGroup, type Stage } from './worker-group';

export interface TasksSetup extends Omit<SdkSetup, 'namespace' | 'shutdownForceTime'> {
  temporal: TemporalTarget;
  /** @default 25s */
  shutdownForceTime: StringValue | undefined;
  /** One of the SDK's workers has failed for good: the shifts are to end, as those workers do. */
  failed: () => void;
  log: Logger;
}

/** Work that has not ended by then is left behind: its heartbeats stop, and another worker goes on with it. */
const SHUTDOWN_FORCE: StringValue = '25s';

export class Tasks extends Background {
  private native: NativeConnection | undefined;
  private stages: Stage[] = [];
  private group: WorkerGroup | undefined;
  private running = false;

  constructor(private readonly setup: TasksSetup) {
    super();
  }

  /** From the beginning of `run` to its end. */
  get isRunning(): boolean {
    return this.running;
  }

  /**
   * Takes tasks until `shutdown`. Rejects when one of the SDK's workers fails for good, and with WorkLeftBehindError
   * where something did not end in time.
   */
  async run(): Promise<void> {
    this.running = true;
    try {
      await this.group?.run();
    } finally {
      this.running = false;
    }
  }

  /** Has `run` end. */
  shutdown(): void {
    this.group?.shutdown();
  }

  protected async open(): Promise<void> {
    const { temporal, shutdownForceTime = SHUTDOWN_FORCE, failed, log, ...setup } = this.setup;
    this.native = await NativeConnection.connect(connectionOptions(temporal));
    if (this.isStopping) return;
    const sdk = { ...setup, namespace: temporal.namespace, shutdownForceTime };
    this.stages = await createSdkWorkers(sdk, this.native);
    this.group = new WorkerGroup(this.stages, ms(shutdownForceTime), (error) => {
      log.error({ err: error }, 'one of the workers of the SDK has failed for good; this worker ends');
      failed();
    });
  }

  protected async close(): Promise<void> {
    await Promise.all(this.stages.flatMap(({ workers }) => workers).map((worker) => discard(worker)));
    // It cannot be closed before.
    await this.group?.ended();
    await this.native?.close();
  }
}

export function connectionOptions({ address, tls, apiKey, metadata }: TemporalTarget) {
  return { address, tls, apiKey, metadata };
}
