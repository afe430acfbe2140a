/**
 * The buckets of one limit and group, of all members of a shift: the limit as far as it is known, the typed arrays once
 * it is, and those who wait. Kept by `purse.ts`; a member's requests come through `member-place.ts`.
 */
import { longer } from '../../../lib/longer';
import { FIGURES } from '../figures';
import { boundedClosing } from '../ledger/closing';
import { MemberBuckets, OLD_KEEPER, SHORTEST, type MemberLimit } from '../member';
import { regridded } from '../member-slots';
import type { Told } from '../ledger/messages';
import type { ChangedRow, PurseRow, UpstreamLimit } from '../spender';
import type { Line } from './line';
import type { RaisedCost } from './raised';

/** The limit of a group of buckets, the same for all members; undefined: nobody has told. */
export interface GroupLimit {
  tokens: number | undefined;
  window: number | undefined;
  /** Answers that told nothing, and when the last of them came; monotonic seconds. */
  mute: number;
  muteAt: number;
  /** When an answer told so few tokens, or fewer. */
  lowAt: number;
  /** Raised with each change of tokens or window. */
  version: number;
  /** The costs of answers lately that were more than the rule says; and the most of them that was adopted. */
  readonly raised: RaisedCost;
  greatest: number;
}

/** Members of one group may have other limits: the least of them counts, until nobody has told it for so long. */
const LOW = 60;
/** A group that told nothing is asked again after this, seconds. */
const MUTE = 600;

/** Nobody tells what its limit is: for now it has to be felt for. */
export function isMute({ mute, muteAt }: GroupLimit, now: number): boolean {
  return mute >= FIGURES.muteAnswers && now - muteAt < MUTE;
}

export interface PurseHost {
  /** Epoch seconds of the database, as the node reads it: the grid of the slots. It never jumps. */
  now(): number;
  /** Seconds by which the database's clock is ahead of that: it was set since, or another machine's decides. */
  ahead(): number;
  monotonic(): number;
  /** Seconds of this machine's own clock: it goes on while the machine is suspended. */
  wall(): number;
  groupOf(upstream: string, limit: string, group: string): GroupLimit;
  /** Seconds for which a person closed a limit for all keys. */
  limitClosedFor(upstream: string, limit: string): number;
}

/** The shift's purse, as a group needs it. */
export interface GroupOwner {
  readonly host: PurseHost;
  /** The process stood still, and no flush has passed the fence since. */
  readonly stoodStill: boolean;
  isClean(slot: number): boolean;
  /** A member's stored row of one group; it is handed out once. */
  takeRow(slot: number, upstream: string, limit: string, group: string): PurseRow | undefined;
}

/** A member's place that somebody waits for. */
interface LinedPlace {
  readonly slot: number;
  readonly line: Line | undefined;
  /** @returns false: nobody waits any more. */
  stir(): boolean;
  close(): void;
}

/** Tokens and window of a group as far as they are known: the user's numbers, lowered by what headers tell. */
export function limitOf({ rule }: UpstreamLimit, known: GroupLimit): { tokens?: number; window?: number } {
  const tokens = rule.tokens === undefined ? known.tokens : Math.min(rule.tokens, known.tokens ?? Infinity);
  const window = rule.window ?? known.window;
  return { ...(tokens !== undefined && { tokens }), ...(window !== undefined && { window }) };
}

/** Whether a shift keeps the buckets of such a limit; if not, all nodes share them. */
export function isKept(limit: UpstreamLimit, known: GroupLimit): boolean {
  const { shape } = limit.rule;
  return shape !== 'concurrent' && shape !== 'calendar' && (limitOf(limit, known).window ?? SHORTEST) >= SHORTEST;
}

/** The buckets of one limit and group, of all members of the shift. */
export class Group {
  /** Undefined: the limit is not known yet; one request at a time asks. */
  buckets: MemberBuckets | undefined;
  private filled: Uint8Array;
  private limit: UpstreamLimit;
  /** Places with a line, by slot. */
  private readonly places = new Map<number, LinedPlace>();
  /** Until when a member's bucket is closed, monotonic seconds; and those that no store has taken yet. */
  private readonly closings = new Map<number, number>();
  private readonly untold = new Set<number>();
  asking = 0;
  /** The limit of the group, as it is known now, and the version that was adopted. */
  private known: GroupLimit | undefined;
  private version = -1;

  constructor(
    private readonly purse: GroupOwner,
    readonly upstream: string,
    limit: UpstreamLimit,
    readonly key: string,
    private slots: number,
  ) {
    this.limit = limit;
    this.filled = new Uint8Array(slots);
  }

  get host(): PurseHost {
    return this.purse.host;
  }

  get rule(): UpstreamLimit {
    return this.limit;
  }

  get stoodStill(): boolean {
    return this.purse.stoodStill;
  }

  grow(slots: number): void {
    this.slots = slots;
    this.filled = longer(this.filled, new Uint8Array(slots));
    this.buckets?.grow(slots);
  }

  /** Nothing has changed since it was asked for last, and its limit is known. */
  isOf(limit: UpstreamLimit): boolean {
    return this.buckets !== undefined && limit === this.limit && this.version === this.known?.version;
  }

  /** The limit as it is known by now; where it is another one, what was spent moves to buckets of that. */
  adopt(limit: UpstreamLimit, known: GroupLimit): void {
    if (this.known === known && this.isOf(limit)) return;
    this.known = known;
    this.limit = limit;
    // All nodes share the buckets of a window that is too short for a shift to keep: `purse.ts` looks each time.
    const isOurs = isKept(limit, known);
    this.version = isOurs ? known.version : -1;
    const { tokens, window } = limitOf(limit, known);
    if (!isOurs || tokens === undefined || window === undefined) return;
    const { headroom } = limit.rule;
    const greatestCost = Math.max(limit.rule.greatestCost, Math.min(known.greatest, tokens));
    const next: MemberLimit = { tokens, window, greatestCost, headroom };
    const before = this.buckets;
    if (before && isSame(before.limit, next)) return;
    // An answer on its way is settled in buckets that nobody asks any more: its request counts as given up.
    const buckets = new MemberBuckets(this.slots, next);
    const now = this.host.now();
    if (before) {
      for (let slot = 0; slot < this.slots; slot++) if (this.filled[slot] === 1) buckets.moveFrom(before, slot, now);
    }
    this.buckets = buckets;
    this.stir();
  }

  /** It was changed by hand: who waits does not wait by what it was before. */
  change(limit: UpstreamLimit): void {
    if (this.known && isKept(limit, this.known)) this.adopt(limit, this.known);
  }

  /** An answer told of the limit, for everybody. */
  learn(told: Told | undefined, isMute: boolean): void {
    const known = this.known ?? this.host.groupOf(this.upstream, this.limit.name, this.key);
    const { tokens: before, window: windowBefore } = known;
    const now = this.host.monotonic();
    if (isMute) {
      known.mute = now - known.muteAt < MUTE ? known.mute + 1 : 1;
      known.muteAt = now;
    }
    if (told === undefined) return;
    known.mute = 0;
    const { limit, window } = told;
    if (limit !== undefined && limit <= (known.tokens ?? Infinity)) known.lowAt = now;
    if (limit !== undefined && (known.lowAt === now || now - known.lowAt > LOW)) known.tokens = limit;
    if (window !== undefined) known.window = window;
    if (known.tokens !== before || known.window !== windowBefore) known.version++;
    this.adopt(this.limit, known);
  }

  /** An answer that costs more than the greatest raises that, for all of its members. */
  noteCost(cost: number): void {
    if (!(cost > this.limit.rule.greatestCost)) return;
    this.known?.raised.note(cost, this.host.monotonic());
    this.followCost();
  }

  /** Reserves as much as answers cost lately. Called every second too, for a cost that was told once is forgotten. */
  followCost(): void {
    const { known } = this;
    if (!known) return;
    const greatest = known.raised.at(this.host.monotonic());
    if (greatest !== known.greatest) {
      known.greatest = greatest;
      known.version++;
    }
    if (known.version !== this.version) this.adopt(this.limit, known);
  }

  /** The buckets, with what is known of this member. */
  filledFor(slot: number): MemberBuckets | undefined {
    const { buckets } = this;
    if (!buckets || this.filled[slot] === 1) return buckets;
    this.filled[slot] = 1;
    const row = this.purse.takeRow(slot, this.upstream, this.limit.name, this.key);
    const stored = row && regridded(row.stored, row.window, buckets.limit.window);
    const now = this.host.now();
    buckets.load(slot, stored, this.purse.isClean(slot), now);
    const { window, longestClosing } = this.limit.rule;
    const closed = (row?.closedUntil ?? 0) - now;
    if (closed > 0) this.closings.set(slot, this.host.monotonic() + boundedClosing(closed, window, longestClosing));
    return buckets;
  }

  /** The member is another one, or taken over anew. */
  fill(slot: number): void {
    this.filled[slot] = 0;
    this.closings.delete(slot);
    this.untold.delete(slot);
  }

  leave(slot: number): void {
    this.fill(slot);
    this.places.get(slot)?.close();
    this.places.delete(slot);
  }

  /** @param isLast also what may wait */
  harvest(rows: ChangedRow[], most: number, isLast: boolean): void {
    const { buckets } = this;
    if (!buckets) return;
    const now = this.host.now();
    const { window } = buckets.limit;
    for (let slot = 0; slot < this.slots && rows.length < most; slot++) {
      if (
        this.filled[slot] === 0 ||
        !(this.untold.has(slot) || (isLast ? buckets.isChanged(slot) : buckets.isDue(slot)))
      )
        continue;
      const stored = buckets.store(slot, now) ?? buckets.stored(slot);
      this.untold.delete(slot);
      const closed = this.closedFor(slot);
      const closedUntil = closed > 0 ? now + closed : undefined;
      const name = { upstream: this.upstream, limit: this.limit.name, group: this.key };
      rows.push({ slot, ...name, window, stored, closedUntil });
    }
  }

  flushed(slot: number, isCommitted: boolean): void {
    if (this.filled[slot] !== 1) return;
    this.buckets?.flushed(slot, isCommitted);
    if (!isCommitted) this.untold.add(slot);
  }

  /** Everything that is known of its members is stored once more. */
  storeAnew(): void {
    const { buckets } = this;
    if (!buckets) return;
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.filled[slot] === 0) continue;
      const { tokens, late } = buckets.stored(slot);
      if (tokens.length > 0 || late !== undefined || this.closings.has(slot)) this.untold.add(slot);
    }
  }

  closedFor(slot: number): number {
    this.filledFor(slot);
    return Math.max(0, (this.closings.get(slot) ?? -Infinity) - this.host.monotonic());
  }

  /** Closed for the member, or for all keys of the limit. */
  heldFor(slot: number): number {
    return Math.max(this.closedFor(slot), this.host.limitClosedFor(this.upstream, this.limit.name));
  }

  closeFor(slot: number, seconds: number): void {
    this.closings.set(slot, Math.max(this.closings.get(slot) ?? 0, this.host.monotonic() + seconds));
    this.untold.add(slot);
  }

  /** A person opened the limit: what an upstream closed is open, and is stored so. */
  open(): void {
    for (const slot of this.closings.keys()) this.untold.add(slot);
    this.closings.clear();
  }

  lineOf(slot: number): Line | undefined {
    return this.places.size === 0 ? undefined : this.places.get(slot)?.line;
  }

  /** The place that has the line of a member: the same one for all who wait. */
  lined<P extends LinedPlace>(place: P): P {
    const known = this.places.get(place.slot);
    if (known) return known as P;
    this.places.set(place.slot, place);
    return place;
  }

  /** A member's bucket may have something; or all of them may, where no slot is given. */
  stir(slot?: number): void {
    if (slot === undefined) {
      for (const of of [...this.places.keys()]) this.stir(of);
      return;
    }
    if (this.places.get(slot)?.stir() === false) this.places.delete(slot);
  }

  /** Requests under way are given up: whatever they cost, it is counted. */
  end(): void {
    const now = this.host.now();
    for (let slot = 0; slot < this.slots; slot++)
      if (this.filled[slot] === 1) this.buckets?.giveUp(slot, now, OLD_KEEPER);
    this.close();
  }

  get isStored(): boolean {
    const { buckets } = this;
    // The one request that asks what the limit is has no bucket that would keep it.
    if (this.asking > 0) return false;
    if (buckets === undefined) return true;
    for (let slot = 0; slot < this.slots; slot++)
      if (this.filled[slot] === 1 && (this.untold.has(slot) || !buckets.isStored(slot))) return false;
    return true;
  }

  close(): void {
    for (const place of this.places.values()) place.close();
    this.places.clear();
  }
}

function isSame(a: MemberLimit, b: MemberLimit): boolean {
  return (
    a.tokens === b.tokens && a.window === b.window && a.greatestCost === b.greatestCost && a.headroom === b.headroom
  );
}
