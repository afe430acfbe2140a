/**
 * The SDK's workers of one process, as one: they work together, end in an order, and one that fails ends the others.
 * Made by `tasks.ts`. Knows nothing of what they do.
 */
import { GracefulShutdownPeriodExpiredError, IllegalStateError } from '@temporalio/worker';
import { errorOf } from '../activities/lib/failures';
import { WorkLeftBehindError } from '../config/errors';

/** The part of the SDK's worker that is used here. */
export interface SdkWorker {
  run(): Promise<void>;
  shutdown(): void;
  getState(): string;
}

/** Workers that end together. */
export interface Stage {
  /** Their work, in a word for people. */
  readonly what: string;
  readonly workers: readonly SdkWorker[];
  /** The part of the time for the whole end after which the next stage ends too, 0 to 1. */
  readonly until: number;
}

export class WorkerGroup {
  private readonly running = new Map<Stage, Promise<unknown>>();
  /** Something of these did not end in time. */
  private readonly left = new Set<Stage>();
  private failure: Error | undefined;
  private ending: Promise<void> | undefined;
  /** Resolves when the time for the end is over. */
  private readonly late: Promise<void>;
  private isLate!: () => void;

  /**
   * @param stages in the order of their end
   * @param deadlineMs from the order to end until what still works is left behind
   * @param failed called when a worker has failed, before the others are told to end
   */
  constructor(
    private readonly stages: readonly Stage[],
    private readonly deadlineMs: number,
    private readonly failed: (error: Error) => void = () => undefined,
  ) {
    this.late = new Promise((resolve) => (this.isLate = resolve));
  }

  /**
   * Works until `shutdown`. Rejects with the first failure of a worker, once the others have ended too, and with
   * WorkLeftBehindError where something did not end in time.
   */
  async run(): Promise<void> {
    for (const stage of this.stages) {
      this.running.set(stage, Promise.all(stage.workers.map((worker) => this.runOne(stage, worker))));
    }
    await Promise.race([Promise.all(this.running.values()), this.late]);
    if (this.failure !== undefined) throw this.failure;
    if (this.left.size > 0) throw new WorkLeftBehindError([...this.left].map(({ what }) => what));
  }

  /** When none of the workers works any more, those that were left behind too: the SDK cuts them off a while later. */
  async ended(): Promise<void> {
    await Promise.all(this.running.values());
  }

  /** Has `run` end. */
  shutdown(): void {
    this.ending ??= this.end();
  }

  private async runOne(stage: Stage, worker: SdkWorker): Promise<void> {
    try {
      await worker.run();
      if (this.ending === undefined) throw new Error(`the SDK's worker for ${stage.what} ended by itself`);
    } catch (error) {
      // The SDK says either, where an activity still works when its time is over.
      const late = error instanceof GracefulShutdownPeriodExpiredError || error instanceof IllegalStateError;
      if (this.ending !== undefined && late) this.left.add(stage);
      else this.fail(errorOf(error));
      this.shutdown();
    }
  }

  private fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.failed(error);
  }

  private async end(): Promise<void> {
    const began = performance.now();
    const slow: Stage[] = [];
    for (const stage of this.stages) {
      for (const worker of stage.workers) if (worker.getState() === 'RUNNING') worker.shutdown();
      const patienceMs = stage.until * this.deadlineMs - (performance.now() - began);
      if (!(await this.endsWithin(stage, patienceMs))) slow.push(stage);
    }
    // One that has ended meanwhile was only slower than its part of the time.
    for (const stage of slow) if (!(await this.endsWithin(stage, 0))) this.left.add(stage);
    this.isLate();
  }

  private async endsWithin(stage: Stage, ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), Math.max(0, ms))));
    const ended = (this.running.get(stage) ?? Promise.resolve()).then(() => true);
    return Promise.race([ended, over]).finally(() => clearTimeout(timer));
  }
}
