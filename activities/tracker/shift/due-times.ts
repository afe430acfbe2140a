/**
 * When each member of an operation is due, by what is known of it: its share, its last run or when it was added, and
 * until when it is left alone. By slot, and pure; the rules of time are `grid.ts`. Kept by `agenda.ts`, which sees to
 * it that members run then.
 */
import { longer } from '../../lib/longer';
import { firstRun, gridAfter, heldBack, isOnGrid, runAfter, type Schedule } from './grid';
import { Held } from './held';
import type { Joining } from './joining';

export class DueTimes {
  private share = new Float64Array(64);
  /** The time from which the next run counts: the last run, or (where `ran` is 0) when the member was added. */
  private since = new Float64Array(64);
  private ran = new Uint8Array(64);
  private readonly held = new Held();

  constructor(public schedule: Schedule) {}

  join(slot: number, { share, addedAt, ranAt, notBefore = 0, exactly }: Joining, now: number): void {
    this.reserve(slot);
    this.share[slot] = share;
    this.ran[slot] = ranAt === undefined ? 0 : 1;
    // A run in time to come would be of another clock.
    this.since[slot] = ranAt === undefined ? addedAt : Math.min(now, ranAt);
    this.held.hold(slot, notBefore, exactly);
  }

  hasRun(slot: number): boolean {
    return this.ran[slot] === 1;
  }

  shareOf(slot: number): number {
    return this.share[slot]!;
  }

  /** A first run counts from then at the earliest. */
  beginAt(slot: number, from: number): void {
    if (this.ran[slot] === 0) this.since[slot] = Math.max(this.since[slot]!, from);
  }

  isHeld(slot: number): boolean {
    return this.held.untilOf(slot) > 0;
  }

  /** It is left alone until then; 0: no longer. */
  hold(slot: number, until: number): void {
    this.held.hold(slot, until);
  }

  /**
   * A run that was due then has ended now. Its member is left alone until `notBefore`, and runs right then where
   * `exactly`. @returns when it is due next
   */
  ended(slot: number, due: number, now: number, notBefore: number, exactly: boolean): number {
    this.ran[slot] = 1;
    this.since[slot] = now;
    this.held.hold(slot, notBefore, exactly);
    return this.after(slot, exactly ? notBefore : this.next(slot, due, now));
  }

  /**
   * When a member that waits is due; the time may be over.
   * @param crowd so many wait for their first run that it waits for the stagger's window
   */
  planned(slot: number, crowd: boolean): number {
    if (this.held.isExact(slot)) return this.held.untilOf(slot);
    const share = this.share[slot]!;
    const since = this.since[slot]!;
    const { schedule } = this;
    return this.after(
      slot,
      this.hasRun(slot) ? runAfter(schedule, share, since) : firstRun(schedule, share, since, crowd),
    );
  }

  /** This time, or a later one where the member is left alone until then. */
  after(slot: number, due: number): number {
    return heldBack(this.schedule, this.share[slot]!, due, this.held.untilOf(slot));
  }

  /** The next time after a run that was due then and has ended now. */
  private next(slot: number, due: number, now: number): number {
    const share = this.share[slot]!;
    // From the grid to the grid, also when it was late; from beside it as `runAfter` says.
    const next = isOnGrid(this.schedule, share, due) ? 0 : runAfter(this.schedule, share, due);
    return next > now ? next : gridAfter(this.schedule, share, now);
  }

  private reserve(slot: number): void {
    if (slot < this.ran.length) return;
    const length = Math.max(slot + 1, this.ran.length * 2);
    this.ran = longer(this.ran, new Uint8Array(length));
    this.share = longer(this.share, new Float64Array(length));
    this.since = longer(this.since, new Float64Array(length));
  }
}
