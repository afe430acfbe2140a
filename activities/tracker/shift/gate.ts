/**
 * The upstream gate of a tracker, one keeper for each tracker on a node. It is asked once for all pools, by the node
 * that keeps pool 0, and written to the tracker's row under that pool's fence; every shift reads it there. Closed until
 * known. A check that fails leaves it as it is; three failures in a row close it; one that throws a HoldError is not
 * asked again before that is over.
 *
 * An answer that is older than three times what it should be is unknown, which is closed. So that this does not happen
 * where pool 0 is in quarantine or starts nowhere, any node asks in its place when the answer grows old, one of them at
 * a time by a claim in the row.
 */
import type { Logger } from 'pino';
import type { GateDefinition } from '../../../config/define/tracker';
import { gateTermMs, type GateOptions } from '../../../workflows/tracker/options';
import { lockFence } from '../store/fence';
import { errorOf } from '../../lib/failures';
import type { Database, Queryable } from '../../lib/database';
import { claimGate, gateClaim, holdGate, notify, readGate, readTracker, releaseGate, setGate } from '../store/trackers';
import { readHold } from '../../upstream/errors';
import type { PoolShift } from './pool-shift';
import { NOTIFY_CHANNEL } from '../../../workflows/lib/contract';

const FAILURES_TO_CLOSE = 3;
/**
 * An answer counts for so many times as long as the next one should take at most (`gateTermMs`), and others ask after
 * so many.
 */
const UNKNOWN_AFTER = 3;
const OLD_AFTER = 2;
/** When the answer could not be written, and while another node asks. Milliseconds. */
const WRITE_AGAIN_MS = 1_000;
const LOOK_AGAIN_MS = 250;

/** With what right an answer is written: the fence of pool 0, or a claim. */
type Right = { shift: PoolShift } | { claim: string };

export interface GateHost {
  readonly clock: { now(): number };
  readonly database: Database;
  /** The shifts of the tracker on this node. */
  shifts(): PoolShift[];
  onError(error: Error): void;
  readonly log: Logger;
}

export class GateKeeper {
  /** Until when the last answer counts; epoch milliseconds by the node's clock. */
  knownUntil = 0;
  private nextAt = 0;
  /** The upstream is not to be asked before. */
  private askAfter = 0;
  private looked = false;
  private unreachable = false;
  private busy = false;
  private failures = 0;

  constructor(
    private readonly tracker: string,
    private readonly definition: GateDefinition,
    private readonly host: GateHost,
  ) {}

  /** Asks, or looks whether somebody has, when it is time. Called by the node's tick. */
  tick(now: number, options: GateOptions | null): void {
    if (options === null || this.busy || now < this.nextAt) return;
    this.nextAt = now + options.everyMs;
    this.busy = true;
    void this.turn(options)
      .catch((thrown: unknown) => this.host.log.error({ err: errorOf(thrown) }, 'the gate could not be looked after'))
      .finally(() => (this.busy = false));
  }

  private async turn(options: GateOptions): Promise<void> {
    const term = gateTermMs(options);
    const shift = this.host.shifts().find((each) => each.claim.pool === 0 && !each.isOver);
    if (!shift || !this.looked) {
      const ageMs = await this.look(term);
      if (!shift && ageMs === 'unreachable') {
        // Nobody can tell this node what another was answered.
        const now = this.host.clock.now();
        if (now >= this.askAfter && now + options.everyMs > this.knownUntil) await this.ask(options, undefined);
        return;
      }
      if (!shift) {
        if (ageMs !== null && ageMs !== 'unreachable' && ageMs < OLD_AFTER * term) return;
        const claim = await this.host.database
          .transaction((db) => claimGate(db, this.tracker, OLD_AFTER * term, term))
          .catch(() => undefined);
        if (claim !== undefined) await this.ask(options, { claim });
        // Somebody else is asking: what he hears is here as soon as we look.
        else this.nextAt = this.host.clock.now() + Math.min(LOOK_AGAIN_MS, options.everyMs);
        return;
      }
    }
    if (this.host.clock.now() >= this.askAfter) await this.ask(options, { shift });
  }

  /** The row's answer. */
  private async look(termMs: number): Promise<number | null | 'unreachable'> {
    try {
      const { ageMs, waitMs } = await this.host.database.transaction((db) => readGate(db, this.tracker));
      const now = this.host.clock.now();
      this.looked = true;
      this.askAfter = now + waitMs;
      this.know(ageMs === null ? 0 : now - ageMs + UNKNOWN_AFTER * termMs);
      this.unreachable = false;
      return ageMs;
    } catch (thrown) {
      if (!this.unreachable)
        this.host.log.warn({ err: errorOf(thrown) }, 'the gate cannot be read; this node goes by what it hears itself');
      this.unreachable = true;
      return 'unreachable';
    }
  }

  private async ask(options: GateOptions, right: Right | undefined): Promise<void> {
    let open: boolean | undefined;
    try {
      open = await this.check(options.timeoutMs);
      this.failures = 0;
    } catch (thrown) {
      const error = errorOf(thrown);
      this.host.onError(error);
      const wish = readHold(error);
      if (wish) return this.hold(wish.forMs, options, right);
      if (++this.failures >= FAILURES_TO_CLOSE) open = false;
    }
    if (open === undefined) {
      // A claim without an answer must not make the last one look younger.
      if (right && 'claim' in right)
        await this.write(right, (db) => releaseGate(db, this.tracker)).catch(() => undefined);
      return;
    }
    if (right && 'shift' in right && right.shift.isOver) return;
    const until = this.host.clock.now() + UNKNOWN_AFTER * gateTermMs(options);
    if (right === undefined) {
      this.know(open ? until : 0);
      return;
    }
    try {
      if (await this.write(right, (db) => this.store(db, open))) this.know(until);
    } catch (thrown) {
      this.nextAt = this.host.clock.now() + Math.min(WRITE_AGAIN_MS, options.everyMs);
      // Meanwhile this node goes by what it heard itself.
      this.know(open ? until : 0);
      this.host.log.warn({ err: errorOf(thrown) }, 'the gate could not be written; asking again');
    }
  }

  /** The upstream does not want to be asked: nobody does for so long, and what is known stays. */
  private async hold(forMs: number, options: GateOptions, right: Right | undefined): Promise<void> {
    const now = this.host.clock.now();
    this.askAfter = now + forMs;
    this.nextAt = Math.max(this.nextAt, Math.min(this.askAfter, now + options.everyMs));
    if (this.knownUntil > now) this.know(this.askAfter + UNKNOWN_AFTER * gateTermMs(options));
    if (right === undefined) return;
    await this.write(right, (db) => holdGate(db, this.tracker, forMs)).catch((thrown: unknown) =>
      this.host.log.warn({ err: errorOf(thrown) }, 'the gate’s hold could not be written'),
    );
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
      const answer = this.definition.check({ signal: controller.signal, log: this.host.log });
      open = await Promise.race([answer, late]);
    } finally {
      // A check that has answered, or thrown, leaves no time-out behind that nobody would catch.
      clearTimeout(timer);
    }
    if (typeof open !== 'boolean')
      throw new TypeError(`the gate's check returned ${String(open)}; return true or false`);
    return open;
  }

  private async store(db: Queryable, open: boolean): Promise<void> {
    const row = await readTracker(db, this.tracker);
    await setGate(db, this.tracker, open);
    if (row?.gateOpen !== open) await notify(db, NOTIFY_CHANNEL, { tracker: this.tracker });
  }

  /** @returns false: the right is lost, and nothing was written. */
  private write(right: Right, work: (db: Queryable) => Promise<void>): Promise<boolean> {
    return this.host.database.transaction(async (db) => {
      // The tracker's row first, as everywhere: a flush never waits for it, so nothing waits in a circle.
      const row = await readTracker(db, this.tracker, 'all');
      if (!row) return false;
      const mine =
        'claim' in right ? (await gateClaim(db, this.tracker)) === right.claim : await lockFence(db, right.shift.owner);
      if (!mine) return false;
      await work(db);
      return true;
    });
  }

  private know(until: number): void {
    this.knownUntil = until;
    for (const shift of this.host.shifts()) shift.knowGateUntil(until);
  }
}
