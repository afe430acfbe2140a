/**
 * The upstream gate of a tracker: asked once for all pools, by the shift that keeps pool 0, and written to the tracker's
 * row under that pool's fence; every other shift reads it there. Closed until known. A check that fails leaves it as it is;
 * three failures in a row close it.
 */
import type { Logger } from 'pino';
import { NOTIFY_CHANNEL } from '../../workflows/tracker/contract';
import type { GateDefinition } from '../../workers/config/definition';
import type { GateOptions } from '../../workflows/tracker/options';
import { lockFence } from '../durable/fence';
import { errorOf } from '../failures';
import type { Database } from '../store/database';
import { notify, readTracker, setGate } from '../store/trackers';
import type { PoolShift } from './pool-shift';

const FAILURES_TO_CLOSE = 3;

export class GateKeeper {
  private nextAt = 0;
  private asking = false;
  private failures = 0;

  constructor(
    private readonly database: Database,
    private readonly shift: PoolShift,
    private readonly definition: GateDefinition,
    private readonly onError: (error: Error) => void,
    private readonly log: Logger,
  ) {}

  /** Asks when it is time. Called by the node's tick. */
  tick(now: number, options: GateOptions | null): void {
    if (options === null || this.asking || now < this.nextAt || this.shift.isOver) return;
    this.nextAt = now + options.everyMs;
    this.asking = true;
    void this.ask(options).finally(() => (this.asking = false));
  }

  private async ask(options: GateOptions): Promise<void> {
    let open: boolean | undefined;
    try {
      open = await this.check(options.timeoutMs);
      this.failures = 0;
    } catch (thrown) {
      this.failures++;
      this.onError(errorOf(thrown));
      if (this.failures >= FAILURES_TO_CLOSE) open = false;
    }
    if (open === undefined || this.shift.isOver) return;
    try {
      await this.write(open);
    } catch (thrown) {
      this.nextAt = 0;
      this.log.warn({ err: errorOf(thrown) }, 'the gate could not be written; asking again');
    }
  }

  private async check(timeoutMs: number): Promise<boolean> {
    const controller = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new Error(`the gate's check timed out after ${timeoutMs} ms`);
        controller.abort(error);
        reject(error);
      }, timeoutMs);
    });
    let open: unknown;
    try {
      const answer = this.definition.check({ signal: controller.signal, log: this.log });
      open = await Promise.race([answer, late]);
    } finally {
      // A check that has answered, or thrown, leaves no time-out behind that nobody would catch.
      clearTimeout(timer);
    }
    if (typeof open !== 'boolean')
      throw new TypeError(`the gate's check returned ${String(open)}; return true or false`);
    return open;
  }

  private async write(open: boolean): Promise<void> {
    const { tracker } = this.shift.claim;
    await this.database.transaction(async (db) => {
      // The tracker's row first, as everywhere: a flush never waits for it, so nothing waits in a circle.
      const row = await readTracker(db, tracker, 'all');
      if (!row || !(await lockFence(db, this.shift.holding))) return;
      await setGate(db, tracker, open);
      if (row.gateOpen !== open) await notify(db, NOTIFY_CHANNEL, { tracker });
    });
  }
}
