/**
 * The words that all nodes are told, kept together by way of the database: each node writes the holds that its
 * upstreams asked for, and each second reads those of the others, what people have lifted (`hold open`) and whom they
 * want asked anew (`refetch`). A statement of its own each, apart from the flush, so that neither waits for the other.
 * Made by `node.ts`.
 */
import type { Logger } from 'pino';
import { errorOf } from '../../lib/failures';
import { Background } from '../../lib/service';
import { isOutage, type Database } from '../../lib/database';
import { forgetRefetches, readHolds, readRefetches, saveHolds, type HoldRow } from '../store/told';
import type { Clock } from './clock';
import type { NodeHolds } from './holds';
import type { PoolShift } from './pool-shift';

const LOOK_MS = 1_000;
/** After an announcement, most of which are of other things. */
const HINTED_MS = 200;
/** A row becomes visible at its transaction's end, a while after the time in it. */
const OVERLAP_MS = 60_000;
const FORGET_MS = 60 * 60_000;
/**
 * A session that has a hold's row locked keeps a node from writing its own for so long, and from nothing else.
 * Milliseconds.
 */
const SAVE_LIMITS = { lockTimeoutMs: 500 };

export interface ToldHost {
  readonly holds: NodeHolds;
  readonly shifts: ReadonlySet<PoolShift>;
  readonly clock: Pick<Clock, 'now' | 'toStore' | 'fromStore'>;
  readonly log: Logger;
  readonly row: { readonly name: string };
}

export class Told extends Background {
  private looking: Promise<void> | undefined;
  private lookedAt = -Infinity;
  private hinted = false;
  private forgotAt = 0;
  /** Until when refetches were read. */
  private readUntil = 0;
  private failing = false;
  /**
   * When holds were lifted, by the database's clock and by ours: read once, for the difference between the two may
   * change.
   */
  private readonly lifts = new Map<string, { stored: number; ours: number }>();

  constructor(
    private readonly database: Database,
    private readonly host: ToldHost,
  ) {
    super();
  }

  /**
   * Before the first shift: what was told to the node before it. Without the database nothing is known, and the next
   * look brings it.
   */
  protected async open(): Promise<void> {
    await this.look();
  }

  /** Something was announced: look at the next tick. */
  hint(): void {
    this.hinted = true;
  }

  /** Looks when it is time. Called by the node's tick. */
  tick(now: number): void {
    if (this.looking) return;
    const wait = this.hinted ? HINTED_MS : LOOK_MS;
    if (now - this.lookedAt >= wait || now < this.lookedAt) void this.look();
  }

  protected async close(): Promise<void> {
    await this.looking;
    await this.look();
  }

  /** Looks now. Never rejects. */
  look(): Promise<void> {
    this.hinted = false;
    this.lookedAt = this.host.clock.now();
    this.looking = this.lookOnce().then(
      () => {
        this.failing = false;
      },
      (thrown: unknown) => {
        // Said once an outage: the flush tells of it too.
        if (!this.failing) this.host.log.warn({ err: errorOf(thrown) }, 'holds cannot be shared with other nodes now');
        this.failing = true;
      },
    );
    return this.looking.finally(() => (this.looking = undefined));
  }

  private async lookOnce(): Promise<void> {
    const { holds, clock } = this.host;
    // A lock that keeps it from writing must not keep it from hearing what others were told, or that a hold is over.
    const unsaved = await this.save();
    const { held, refetches } = await this.database.transaction(async (db) => ({
      held: (await readHolds(db)).map((row) => this.byOurClock(row)),
      refetches: await readRefetches(db, this.readUntil - OVERLAP_MS),
    }));
    // The whole tracker first: what it lifts is lifted for its operations as well.
    held.sort((a, b) => a.operation.localeCompare(b.operation));
    const lifted = held.filter((row) => holds.adopt(row));
    const anew = refetches.filter(({ tracker, operation, id, askedAt }) =>
      holds.askAnew(tracker, operation, id, clock.fromStore(askedAt)),
    );
    for (const { askedAt } of refetches) this.readUntil = Math.max(this.readUntil, askedAt);
    this.apply(lifted, anew);
    await this.forget();
    if (unsaved !== undefined) throw unsaved;
  }

  private byOurClock(stored: HoldRow): HoldRow {
    const row = atTimes(stored, (ms) => this.host.clock.fromStore(ms));
    if (stored.liftedAt === null) return row;
    const scope = `${row.tracker}/${row.operation}`;
    const known = this.lifts.get(scope);
    if (known?.stored === stored.liftedAt) return { ...row, liftedAt: known.ours };
    this.lifts.set(scope, { stored: stored.liftedAt, ours: row.liftedAt! });
    return row;
  }

  /** @returns why some could not be written; they wait for the next look. */
  private async save(): Promise<Error | undefined> {
    const { holds } = this.host;
    const rows = holds.takeUnsaved();
    if (rows.length === 0) return undefined;
    const failed = await this.write(rows);
    if (failed === undefined) return undefined;
    if (rows.length === 1 || isOutage(failed)) {
      holds.putBack(rows);
      return failed;
    }
    // Each by itself, so that one that cannot be written keeps none of the others.
    let last: Error | undefined;
    for (const row of rows) {
      const error = await this.write([row]);
      if (error === undefined) continue;
      holds.putBack([row]);
      last = error;
    }
    return last;
  }

  private async write(rows: readonly HoldRow[]): Promise<Error | undefined> {
    const { row, clock } = this.host;
    const stored = rows.map((row) => atTimes(row, (ms) => clock.toStore(ms)));
    try {
      await this.database.transaction((db) => saveHolds(db, row.name, stored), SAVE_LIMITS);
      return undefined;
    } catch (thrown) {
      return errorOf(thrown);
    }
  }

  private apply(
    lifted: readonly { tracker: string; operation: string }[],
    anew: readonly { tracker: string; operation: string; id: string }[],
  ): void {
    if (lifted.length + anew.length === 0) return;
    const now = this.host.clock.now();
    for (const shift of this.host.shifts) {
      for (const [name, loop] of shift.loops) {
        const isMine = (row: { tracker: string; operation: string }): boolean =>
          row.tracker === shift.trackerName && (row.operation === '' || row.operation === name);
        if (lifted.some(isMine)) loop.lift(now);
        const mine = anew.filter(isMine);
        if (mine.some(({ id }) => id === '')) loop.askAnew(undefined, now);
        else if (mine.length > 0) {
          const slots = mine.flatMap(({ id }) => shift.members.slotOf(id) ?? []);
          if (slots.length > 0) loop.askAnew(slots, now);
        }
      }
    }
  }

  private async forget(): Promise<void> {
    const now = this.host.clock.now();
    if (now - this.forgotAt < FORGET_MS) return;
    this.forgotAt = now;
    await this.database.transaction((db) => forgetRefetches(db));
  }
}

/** From one clock to the other. */
function atTimes(row: HoldRow, timeOf: (ms: number) => number): HoldRow {
  const { until, toldAt, liftedAt } = row;
  return {
    ...row,
    until: timeOf(until),
    toldAt: timeOf(toldAt),
    liftedAt: liftedAt === null ? null : timeOf(liftedAt),
  };
}
