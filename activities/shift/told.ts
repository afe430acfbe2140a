/**
 * What all nodes are told, kept together by way of the database: each node writes the holds that its upstreams asked for, and each second
 * reads those of the others, what people have lifted (`hold open`) and whom they want asked anew (`refetch`). A statement of its own
 * each, apart from the flush, so that neither waits for the other. Made by `node.ts`.
 */
import type { Logger } from 'pino';
import { errorOf } from '../failures';
import type { Database } from '../store/database';
import { forgetRefetches, readHolds, readRefetches, saveHolds } from '../store/told';
import type { NodeHolds } from './holds';
import type { PoolShift } from './pool-shift';

const LOOK_MS = 1_000;
/** After an announcement, most of which are of other things. */
const HINTED_MS = 200;
/** A row becomes visible at its transaction's end, a while after the time in it. */
const OVERLAP_MS = 60_000;
const FORGET_MS = 60 * 60_000;

export interface ToldHost {
  readonly holds: NodeHolds;
  readonly shifts: ReadonlySet<PoolShift>;
  readonly clock: { now(): number };
  readonly log: Logger;
  readonly node: { readonly name: string };
}

export class Told {
  private looking: Promise<void> | undefined;
  private lookedAt = -Infinity;
  private hinted = false;
  private forgotAt = 0;
  /** Until when refetches were read. */
  private readUntil = 0;
  private failing = false;

  constructor(
    private readonly database: Database,
    private readonly host: ToldHost,
  ) {}

  /** Before the first shift: what was told to the node before it. Without the database nothing is known, and the next look brings it. */
  async start(): Promise<void> {
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

  async close(): Promise<void> {
    await this.looking;
    await this.look();
  }

  private look(): Promise<void> {
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
    const { holds, node } = this.host;
    const unsaved = holds.takeUnsaved();
    if (unsaved.length > 0) {
      try {
        await this.database.transaction((db) => saveHolds(db, node.name, unsaved));
      } catch (error) {
        holds.putBack(unsaved);
        throw error;
      }
    }
    const { held, refetches } = await this.database.transaction(async (db) => ({
      held: await readHolds(db),
      refetches: await readRefetches(db, this.readUntil - OVERLAP_MS),
    }));
    // The whole tracker first: what it lifts is lifted for its operations as well.
    held.sort((a, b) => a.operation.localeCompare(b.operation));
    const lifted = held.filter((row) => holds.adopt(row));
    const anew = refetches.filter(({ tracker, operation, id, askedAt }) =>
      holds.askAnew(tracker, operation, id, askedAt),
    );
    for (const { askedAt } of refetches) this.readUntil = Math.max(this.readUntil, askedAt);
    this.apply(lifted, anew);
    await this.forget();
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
