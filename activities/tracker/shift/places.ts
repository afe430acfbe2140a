/**
 * The places of a node, runs of all pools at once, shared so that nobody can take them all. Pure bookkeeping for
 * `ring.ts`, once for runs on the node and once for its isolate threads.
 *
 * Half of the places is reserved: an equal part for each operation of each tracker, as far as it could ever use it, and
 * a few for those to come. The other half goes to whoever asks first. So an operation whose runs all hang, in however
 * many pools, holds what is common at most, and a run of another one finds a place at once. Within an operation it is
 * the same: half of its reserve is kept, an equal part for each of its pools, so that one pool whose runs all hang
 * leaves places to the others.
 */
import { Fifo } from './line';

/** One place in so many is kept free for an operation that is not there yet. */
const FOR_NEWCOMERS = 20;

/** The places that one loop holds, out of those of its group. */
export class Place<Seat> {
  held = 0;
  /** The most places that it could ever use. */
  most = 0;
  left = false;
  /** The lines in which it stands; it may stand in both. */
  inFirst = false;
  inMore = false;

  constructor(
    readonly group: Group<Seat>,
    readonly seat: Seat,
  ) {}
}

/** All loops of one operation of a tracker on this node. */
export class Group<Seat> {
  /** Loops that have something to start, in turn: those that hold less than their part, and the others. */
  readonly first = new Fifo<Place<Seat>>();
  readonly more = new Fifo<Place<Seat>>();
  readonly places = new Set<Place<Seat>>();
  inRing = false;
  /** The others are next, where there is something for them. */
  moreNext = false;
  held = 0;
  reserved = 0;
  /** The part of the reserve for loops that hold less than their part; and how many those hold that count within it. */
  kept = 0;
  within = 0;
  /** The part that each of its loops gets before the others have their turn. */
  part = 0;

  constructor(readonly key: string) {}

  get isWaiting(): boolean {
    return this.first.length > 0 || this.more.length > 0;
  }

  /** Kept and not in use. */
  get owedToParts(): number {
    return Math.max(0, this.kept - this.within);
  }

  /** Reserved, not kept and not in use: for any of its loops. */
  get owedToAny(): number {
    return Math.max(0, this.reserved - this.kept - (this.held - Math.min(this.within, this.kept)));
  }
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

  join(key: string, seat: Seat): Place<Seat> {
    let group = this.groups.get(key);
    if (!group) this.groups.set(key, (group = new Group(key)));
    const place = new Place(group, seat);
    group.places.add(place);
    return place;
  }

  leave(place: Place<Seat>): void {
    place.left = true;
    this.forget(place);
  }

  /** A loop has something to start. */
  queue(place: Place<Seat>): void {
    const { group } = place;
    if (place.held < group.part) {
      if (!place.inFirst) group.first.push(place);
      place.inFirst = true;
    } else {
      if (!place.inMore) group.more.push(place);
      place.inMore = true;
    }
    if (group.inRing) return;
    group.inRing = true;
    this.ring.push(group);
  }

  /** The next loop whose turn it is and that may have a place now; undefined when there is none. */
  next(): Place<Seat> | undefined {
    for (let looked = this.ring.length; looked > 0 && this.free > 0; looked--) {
      const group = this.ring.shift()!;
      const place = this.nextOf(group);
      if (group.isWaiting) this.ring.push(group);
      else group.inRing = false;
      if (place) return place;
    }
    return undefined;
  }

  take(place: Place<Seat>): void {
    this.change(place, 1);
  }

  release(place: Place<Seat>): void {
    this.change(place, -1);
    this.forget(place);
  }

  /** Shares anew, by what each loop could use now. Called about once a second, and when loops come and go. */
  share(mostOf: (place: Place<Seat>) => number): void {
    const mosts = new Map<Group<Seat>, number>();
    for (const group of this.groups.values()) {
      let most = 0;
      for (const place of group.places) most += place.most = place.left ? 0 : mostOf(place);
      if (most > 0) mosts.set(group, most);
    }
    this.total = this.eachOne ? Math.max(this.places, mosts.size) : this.places;
    const half = Math.floor(this.total / 2 / Math.max(1, mosts.size));
    const each = Math.max(half, this.total >= mosts.size ? 1 : 0);
    this.owed = Math.floor(this.total / FOR_NEWCOMERS);
    for (const group of this.groups.values()) {
      group.reserved = Math.min(mosts.get(group) ?? 0, each);
      shareWithin(group);
      this.owed += group.owedToParts + group.owedToAny;
    }
  }

  private nextOf(group: Group<Seat>): Place<Seat> | undefined {
    const forAny = group.owedToAny > 0 || this.free > this.owed;
    if (!forAny && group.owedToParts === 0) return undefined;
    const moreFirst = forAny && group.moreNext && group.more.length > 0;
    group.moreNext = forAny && !moreFirst;
    while (!moreFirst) {
      const place = group.first.shift();
      if (!place) break;
      place.inFirst = false;
      if (forAny || place.held < group.part) return place;
      // It holds its part by now.
      this.queue(place);
    }
    const place = forAny ? group.more.shift() : undefined;
    if (place) place.inMore = false;
    return place;
  }

  private change(place: Place<Seat>, by: 1 | -1): void {
    const { group } = place;
    this.owed -= group.owedToParts + group.owedToAny;
    if (Math.min(place.held, place.held + by) < group.part) group.within += by;
    place.held += by;
    group.held += by;
    this.held += by;
    this.owed += group.owedToParts + group.owedToAny;
  }

  private forget(place: Place<Seat>): void {
    if (!place.left || place.held > 0) return;
    const { group } = place;
    group.places.delete(place);
    if (group.places.size === 0) this.groups.delete(group.key);
  }
}

/** Half of a group's reserve, in equal parts for those of its loops that have members, one each at least. */
function shareWithin<Seat>(group: Group<Seat>): void {
  const half = Math.floor(group.reserved / 2);
  let loops = 0;
  for (const { most } of group.places) if (most > 0) loops++;
  group.part = half === 0 ? 0 : Math.max(1, Math.floor(half / Math.max(1, loops)));
  let usable = 0;
  group.within = 0;
  for (const { most, held } of group.places) {
    usable += Math.min(most, group.part);
    group.within += Math.min(held, group.part);
  }
  group.kept = Math.min(half, usable);
}
