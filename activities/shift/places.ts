/**
 * The places of a node, runs of all pools at once, shared so that nobody can take them all. Pure bookkeeping for
 * `ring.ts`, once for runs on the node and once for its isolate threads.
 *
 * Half of the places is reserved: an equal part for each operation of each tracker, as far as it could ever use it, and a
 * few for those to come. The other half goes to whoever asks first. So an operation whose runs all hang, in however many pools, holds
 * what is common at most, and a run of another one finds a place at once.
 */
import { Fifo } from './line';

/** One place in so many is kept free for an operation that is not there yet. */
const FOR_NEWCOMERS = 20;

/** All loops of one operation of a tracker on this node. */
export class Group<Seat> {
  /** Loops that have something to start, in turn. */
  readonly line = new Fifo<Seat>();
  inRing = false;
  loops = 0;
  held = 0;
  reserved = 0;
  /** The most places that it could ever use. */
  most = 0;

  constructor(readonly key: string) {}
}

export class Places<Seat> {
  private readonly groups = new Map<string, Group<Seat>>();
  /** Groups that have something to start, in turn. */
  private readonly ring = new Fifo<Group<Seat>>();
  private total: number;
  private held = 0;
  /** Reserved and not in use: what a group beyond its own reserve must leave. */
  private owed = 0;

  /** @param eachOne at least as many places as groups, where a group without one could never run (threads) */
  constructor(
    private readonly places: number,
    private readonly eachOne = false,
  ) {
    this.total = places;
  }

  get free(): number {
    return this.total - this.held;
  }

  /** Groups that wait for their turn. */
  get waiting(): number {
    return this.ring.length;
  }

  join(key: string): Group<Seat> {
    let group = this.groups.get(key);
    if (!group) this.groups.set(key, (group = new Group(key)));
    group.loops++;
    return group;
  }

  leave(group: Group<Seat>): void {
    group.loops--;
    this.forget(group);
  }

  /** A loop has something to start. */
  queue(group: Group<Seat>, seat: Seat): void {
    group.line.push(seat);
    if (group.inRing) return;
    group.inRing = true;
    this.ring.push(group);
  }

  /** The next loop whose turn it is and whose group may have a place now; undefined when there is none. */
  next(): { group: Group<Seat>; seat: Seat } | undefined {
    for (let looked = this.ring.length; looked > 0 && this.free > 0; looked--) {
      const group = this.ring.shift()!;
      const seat = this.mayTake(group) ? group.line.shift() : undefined;
      if (group.line.length > 0) this.ring.push(group);
      else group.inRing = false;
      if (seat !== undefined) return { group, seat };
    }
    return undefined;
  }

  take(group: Group<Seat>): void {
    if (group.held < group.reserved) this.owed--;
    group.held++;
    this.held++;
  }

  release(group: Group<Seat>): void {
    group.held--;
    this.held--;
    if (group.held < group.reserved) this.owed++;
    this.forget(group);
  }

  /** Shares anew, by what each group could use now. Called about once a second, and when loops come and go. */
  share(mostOf: (add: (group: Group<Seat>, most: number) => void) => void): void {
    for (const group of this.groups.values()) group.most = 0;
    mostOf((group, most) => (group.most += most));
    let groups = 0;
    for (const group of this.groups.values()) if (group.most > 0) groups++;
    this.total = this.eachOne ? Math.max(this.places, groups) : this.places;
    const each = Math.max(Math.floor(this.total / 2 / Math.max(1, groups)), this.total >= groups ? 1 : 0);
    this.owed = Math.floor(this.total / FOR_NEWCOMERS);
    for (const group of this.groups.values()) {
      group.reserved = Math.min(group.most, each);
      this.owed += Math.max(0, group.reserved - group.held);
    }
  }

  private mayTake(group: Group<Seat>): boolean {
    return group.held < group.reserved || this.free > this.owed;
  }

  private forget(group: Group<Seat>): void {
    if (group.loops === 0 && group.held === 0) this.groups.delete(group.key);
  }
}
