/**
 * One pool while a shift keeps it: its members, its operations, its claim to write. Made by `keep.ts` when the fence
 * has been taken, driven by the node's tick, checked and emptied by the node's flush (`flush.ts`).
 */
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import type { ShiftEnd } from '../../../workflows/tracker/contract';
import { holds, type Slots } from '../../../workflows/tracker/slots';
import type { PoolClaim, PoolFence, PoolOwner } from '../store/fence';
import type { FreshnessRow, MemberRow } from '../store/members';
import type { TrackerRow } from '../store/trackers';
import { Awake } from './awake';
import { GivenAway } from './given-away';
import { dropLeavers, takeResults, type Harvest } from './harvest';
import { Members } from './members';
import type { OperationShift, PoolLife } from './host';
import type { OperationLoop } from './operation';
import type { Room } from './pending';
import { PoolOperations, type PoolOperationsSetup } from './pool-operations';
import { Refusals } from './refusals';
import { StoredTimes } from './stored-times';
import type { Purse } from '../../upstream/budget/spender';
import type { StoredBuckets } from '../../upstream/store/purse';

/** How a shift's keeping can end by itself; an Error is a crash. */
export type Ending = ShiftEnd | Error;

export interface PoolShiftSetup extends PoolOperationsSetup {
  claim: PoolClaim;
  fence: PoolFence;
  /** The buckets of its members, where upstreams have limits. */
  purse?: Purse | undefined;
}

export class PoolShift implements OperationShift {
  readonly claim: PoolClaim;
  readonly token: number;
  readonly log: Logger;
  readonly purse: Purse | undefined;
  readonly members = new Members();
  private readonly operations: PoolOperations;
  readonly loops: ReadonlyMap<string, OperationLoop>;
  readonly awake: Awake = new Awake(this);
  /** The roster that is loaded: what came after it is loaded by the next flush. */
  rosterVersion: number;
  /**
   * When a flush last found the fence to be ours; monotonic milliseconds, as all of how this shift stands with the
   * store.
   */
  checkedAt = performance.now();
  /** Resolves when the shift must end. */
  readonly ended: Promise<Ending>;
  end!: (how: Ending) => void;
  readonly givenAway = new GivenAway();
  /** A flush looks at this shift even if it has no results. */
  hinted = false;
  /** The turns of its members, where they receive. */
  life: PoolLife | undefined;
  private over = false;
  private gateKnownUntil = Infinity;
  private still = false;
  private readonly times: StoredTimes;
  private broken = false;
  readonly refusals = new Refusals();
  /** The slots of its members, by the layout that was looked at last. */
  private slots: Slots | undefined;

  constructor(
    private readonly setup: PoolShiftSetup,
    private tracker: TrackerRow,
  ) {
    this.claim = setup.claim;
    this.purse = setup.purse;
    this.token = setup.fence.token;
    this.rosterVersion = setup.fence.rosterVersion;
    this.log = setup.log;
    this.times = new StoredTimes(setup.host.clock);
    this.operations = new PoolOperations(setup, this, this.times);
    this.loops = this.operations.loops;
    this.ended = new Promise((resolve) => {
      this.end = (how) => {
        this.over = true;
        resolve(how);
      };
    });
    this.operations.begin(tracker, [], setup.host.clock.now());
  }

  get trackerName(): string {
    return this.claim.tracker;
  }
  get options(): TrackerRow['options'] {
    return this.tracker.options;
  }
  get trackerVersion(): number {
    return this.tracker.version;
  }
  get owner(): PoolOwner {
    return this;
  }
  get isOver(): boolean {
    return this.over;
  }

  // ── How it stands with the store ──

  /** A flush has found the fence to be ours, and has written what there was. */
  checked(at: number): void {
    this.checkedAt = at;
    this.refusals.clear();
  }

  /** A flush that began then could not write for this shift. A shift that was never tried is not refused. */
  refused(at: number): void {
    this.refusals.note(at);
  }

  refusedFor(now: number): number {
    return this.refusals.lastedFor(now);
  }

  /**
   * Nothing of it can be written any more (a newer holder has the pool; or others can be written, and it cannot): no
   * flush looks at it again.
   */
  breakOff(how: Ending): void {
    this.broken = true;
    this.end(how);
  }
  get isBroken(): boolean {
    return this.broken;
  }

  /**
   * The whole roster: at the start, and when a split has made this pool.
   * @param isClean the keeper before has stored all that its members' buckets can have spent; undefined: they join now
   */
  loadAll(rows: MemberRow[], freshness: FreshnessRow[], buckets?: StoredBuckets, isClean?: boolean): void {
    const stay = new Set(rows.map((row) => row.id));
    const gone: string[] = [];
    this.members.forEach((slot) => {
      if (!stay.has(this.members.id(slot))) gone.push(this.members.id(slot));
    });
    for (const id of gone) this.remove(id);
    this.takeIn(rows, freshness, buckets, isClean);
    this.life?.reloaded((id) => stay.has(id));
  }

  /** Takes in what changed in the roster since `rosterVersion`. */
  loadChanges(rows: MemberRow[], freshness: FreshnessRow[], buckets?: StoredBuckets, isClean?: boolean): void {
    this.takeIn(rows, freshness, buckets, isClean);
    this.life?.changed(rows.map(({ id }) => id));
  }

  /** Members that their first message has made: their turns know of it. */
  joined(rows: MemberRow[]): void {
    this.takeIn(rows, []);
  }

  private takeIn(rows: MemberRow[], freshness: FreshnessRow[], buckets?: StoredBuckets, isClean?: boolean): void {
    const known = this.times.byMember(freshness);
    for (const row of rows) if (row.removed || this.wasAddedAgain(row)) this.remove(row.id);
    const newcomers = rows.filter((row) => !row.removed && this.members.slotOf(row.id) === undefined);
    const now = this.setup.host.clock.now();
    if (newcomers.length > 0) this.addAll(newcomers, known, now, buckets, isClean);
  }

  /** Drops the members outside of these slots: a split has given them to another pool. */
  dropOutside(slots: Slots): void {
    if (this.slots?.first === slots.first && this.slots.last === slots.last) return;
    this.slots = slots;
    const gone: string[] = [];
    this.members.forEach((slot) => {
      if (!holds(slots, this.members.place(slot))) gone.push(this.members.id(slot));
    });
    for (const id of gone) this.remove(id);
    this.life?.narrow(slots);
  }

  /**
   * Operations of the row that do not run here yet and would: what is known of their values is to be read before
   * `follow`.
   */
  beginningWith(tracker: TrackerRow): string[] {
    return this.operations.beginningWith(tracker);
  }

  /**
   * The tracker's row as a flush found it: its options, state and gate.
   * @param freshness what is stored of operations that begin with it, where they were declared before
   */
  follow(tracker: TrackerRow, freshness: FreshnessRow[] = []): void {
    this.tracker = tracker;
    if (tracker.state === 'stopped') {
      this.end('stopped');
      return;
    }
    this.life?.follow(tracker.options.receive, tracker.state === 'paused');
    const now = this.setup.host.clock.now();
    this.operations.follow(tracker, freshness, now);
    this.awake.lookAgain(now);
  }

  /** Starts nothing more; `end` says why. Runs in flight may still give results until `abandon`. */
  close(): void {
    this.over = true;
    for (const loop of this.loops.values()) loop.close();
  }

  /** Starts nothing, or goes on: for the moment of a hand-over (`wind-down.ts`). */
  standStill(still: boolean, now: number): void {
    this.still = still;
    for (const loop of this.loops.values()) loop.recheck(now);
  }

  get inFlight(): number {
    let count = 0;
    for (const loop of this.loops.values()) count += loop.inFlightCount;
    return count;
  }

  abandon(reason: string): void {
    for (const loop of this.loops.values()) loop.abandon(reason);
  }

  get hasResults(): boolean {
    for (const loop of this.loops.values()) if (loop.results.size > 0) return true;
    return false;
  }

  /** Takes what is to be written, as far as there is room; results that come meanwhile wait for the next flush. */
  harvest(room: Room = { rows: Infinity, bytes: Infinity }): Harvest {
    return takeResults(this.loops.values(), room);
  }

  /** Results that could not be written wait again. */
  putBack(harvest: Harvest): void {
    for (const [loop, taken] of harvest) loop.results.putBack(taken, (slot, key) => this.members.holds(slot, key));
  }

  /** Drops the results of members that have left since they were taken. */
  dropLeavers(harvest: Harvest): void {
    dropLeavers(harvest, this.members);
  }

  closed(): 'paused' | 'gate' | 'over' | undefined {
    if (this.over || this.still) return 'over';
    if (this.tracker.state === 'paused') return 'paused';
    if (this.tracker.options.gate === null) return undefined;
    const known = this.gateKnownUntil === Infinity || this.setup.host.clock.now() <= this.gateKnownUntil;
    return known && this.tracker.gateOpen === true ? undefined : 'gate';
  }

  /** Until when the gate's answer counts; after that it is unknown, which is closed. Told by the node's `gate.ts`. */
  knowGateUntil(until: number): void {
    const now = this.setup.host.clock.now();
    const same = until >= now === this.gateKnownUntil >= now;
    this.gateKnownUntil = until;
    if (same) return;
    for (const loop of this.loops.values()) loop.recheck(now);
  }

  loop(name: string): OperationLoop | undefined {
    return this.loops.get(name);
  }

  /** Removed and added since the last look: its values are gone, so its ETags and due times must not stay. */
  private wasAddedAgain(row: MemberRow): boolean {
    const slot = this.members.slotOf(row.id);
    return slot !== undefined && this.members.addedAt(slot) !== row.addedAt;
  }

  /** Gives each newcomer its slot and its first time in every operation. */
  private addAll(
    rows: MemberRow[],
    known: Map<number, FreshnessRow[]>,
    now: number,
    buckets: StoredBuckets | undefined,
    isClean: boolean | undefined,
  ): void {
    const joining = rows.map((row) => ({
      slot: this.members.join(row),
      addedAt: this.setup.host.clock.fromStore(row.addedAt),
      freshness: known.get(row.key) ?? [],
    }));
    // A member that was never fetched has had no keeper who may still be fetching it.
    for (const { slot, freshness } of joining)
      this.purse?.load(slot, buckets?.get(this.members.key(slot)) ?? [], isClean ?? freshness.length === 0);
    this.operations.admit(joining, now);
  }

  private remove(id: string): void {
    const slot = this.members.leave(id);
    if (slot === undefined) return;
    this.operations.leave(slot);
    this.purse?.leave(slot);
  }
}
