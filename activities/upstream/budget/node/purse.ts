/**
 * A shift's buckets of its members: by limit and group, a typed array each. The limit of a group is known to the whole
 * node as soon as one answer has told it. Made by `spender.ts` for each shift, which loads it with its members, stores
 * it in the flush and lets it go.
 */
import { longer } from '../../../lib/longer';
import { MemberBuckets } from '../member';
import { SLOTS } from '../member-slots';
import type { LimitName } from '../../store/limit-closings';
import type { Instant } from '../ticket';
import type { ChangedRow, LimitedUpstream, Purse, PurseRow, UpstreamLimit } from '../spender';
import { Group, isKept, isMute, limitOf, type GroupOwner, type PurseHost } from './group';
import { MemberPlace } from './member-place';

/** A process that stood still for so long may have lost its members to another: a flush has to pass the fence first. */
const GAP = 2;
/** Members that join a shift find room for some more. */
const GROWTH = 1.1;
/** Limits whose groups are found fast: an upstream has some. */
const MOST_FOUND = 50;
/** The database's clock was set where it shows another time by so much, seconds; less is the network's noise. */
const LEAST_STEP = 1;

export class ShiftPurse implements Purse, GroupOwner {
  private readonly groups = new Map<string, Group>();
  /** The same by limit and key, to be found without a name. */
  private readonly found = new Map<UpstreamLimit, Map<string, Group>>();
  /** Rows of groups that nobody has asked for yet, by slot. */
  private readonly rows = new Map<number, PurseRow[]>();
  private clean: Uint8Array;
  private last: Instant;
  /** When it was noticed last that the process stood still; undefined: a flush has passed the fence since. */
  private gapAt: number | undefined;
  private harvestedAt = -Infinity;
  private isOver = false;
  readonly host: PurseHost;
  /** Seconds by which the database's clock was set since the shift began; rows are stored by what it shows. */
  private step = 0;
  /** Slots whose rows nobody has asked for, and that have to be stored by the clock that was set. */
  private readonly unasked = new Set<number>();

  constructor(
    private slots: number,
    host: PurseHost,
    /** Nobody need look at it any more. */
    private readonly ended: () => void,
  ) {
    const began = host.ahead();
    // Its grid is that of the rows that it takes over, whenever the node has read the clock.
    this.host = { ...host, now: () => host.now() + began, ahead: () => host.ahead() - began };
    this.clean = new Uint8Array(slots);
    this.last = this.clock();
  }

  load(slot: number, rows: readonly PurseRow[], isClean: boolean): void {
    if (slot >= this.slots) this.grow(slot + 1);
    this.clean[slot] = isClean ? 1 : 0;
    this.noticeStep();
    this.unasked.delete(slot);
    // They are by the clock of now, and the shift's grid is by that of its beginning.
    const own = rows.map((row) => (this.step === 0 ? { ...row } : redated(row, -this.step)));
    if (rows.length > 0) this.rows.set(slot, own);
    else this.rows.delete(slot);
    for (const group of this.groups.values()) group.fill(slot);
  }

  private grow(least: number): void {
    this.slots = Math.max(least, Math.ceil(this.slots * GROWTH));
    this.clean = longer(this.clean, new Uint8Array(this.slots));
    for (const group of this.groups.values()) group.grow(this.slots);
  }

  leave(slot: number): void {
    this.rows.delete(slot);
    this.unasked.delete(slot);
    this.clean[slot] = 0;
    for (const group of this.groups.values()) group.leave(slot);
  }

  /** Undefined: nobody tells what the limit of the group is, so it has to be felt for by all nodes together. */
  placeOf(upstream: string, limit: UpstreamLimit, key: string, slot: number): MemberPlace | undefined {
    const group = this.found.get(limit)?.get(key);
    if (group?.isOf(limit) && slot < this.slots) return new MemberPlace(group, slot);
    return this.searched(upstream, limit, key, slot);
  }

  private searched(upstream: string, limit: UpstreamLimit, key: string, slot: number): MemberPlace | undefined {
    const known = this.host.groupOf(upstream, limit.name, key);
    const { tokens, window } = limitOf(limit, known);
    const isUntold = (tokens === undefined || window === undefined) && isMute(known, this.host.monotonic());
    if (isUntold || !isKept(limit, known) || slot >= this.slots) return undefined;
    const name = `${upstream}/${limit.name}/${key}`;
    let group = this.groups.get(name);
    if (!group) this.groups.set(name, (group = new Group(this, upstream, limit, key, this.slots)));
    group.adopt(limit, known);
    this.remember(limit, key, group);
    return new MemberPlace(group, slot);
  }

  /** The upstream's limits were changed by hand. */
  change({ name, limits }: LimitedUpstream): void {
    for (const group of this.groups.values()) {
      const limit = group.upstream === name ? limits.find((one) => one.name === group.rule.name) : undefined;
      if (limit?.scope === 'member') group.change(limit);
    }
  }

  private remember(limit: UpstreamLimit, key: string, group: Group): void {
    let byKey = this.found.get(limit);
    if (!byKey) {
      // Limits of before a change.
      if (this.found.size >= MOST_FOUND) this.found.clear();
      this.found.set(limit, (byKey = new Map<string, Group>()));
    }
    byKey.set(key, group);
  }

  /** A member's rows of one group, taken out. */
  takeRow(slot: number, upstream: string, limit: string, group: string): PurseRow | undefined {
    const rows = this.rows.get(slot);
    const at = rows?.findIndex((row) => row.upstream === upstream && row.limit === limit && row.group === group) ?? -1;
    return at < 0 ? undefined : rows!.splice(at, 1)[0];
  }

  isClean(slot: number): boolean {
    return this.clean[slot] === 1;
  }

  /** Called by the node every now and then, and before each request: whether it has stood still. */
  beat(): void {
    const { last } = this;
    const now = (this.last = this.clock());
    if (Math.max(now.monotonic - last.monotonic, now.wall - last.wall) > GAP) this.gapAt = now.monotonic;
  }

  /** Called by the node every second: members who wait need no longer what a request cost long ago. */
  followCosts(): void {
    for (const group of this.groups.values()) group.followCost();
  }

  private clock(): Instant {
    return { monotonic: this.host.monotonic(), wall: this.host.wall() };
  }

  get stoodStill(): boolean {
    this.beat();
    return this.gapAt !== undefined || this.isOver;
  }

  harvest(most: number): ChangedRow[] {
    this.beat();
    this.harvestedAt = this.host.monotonic();
    this.noticeStep();
    const rows: ChangedRow[] = [];
    for (const group of this.groups.values()) {
      if (rows.length >= most) break;
      group.harvest(rows, most, this.isOver);
    }
    for (const slot of this.unasked) {
      if (rows.length >= most) break;
      this.unasked.delete(slot);
      for (const row of this.rows.get(slot) ?? []) rows.push({ ...row, slot });
    }
    return this.step === 0 ? rows : rows.map((row) => redated(row, this.step));
  }

  /** The clock was set: whoever takes a member over goes by it, so all is stored anew as that clock has it. */
  private noticeStep(): void {
    const step = this.host.ahead();
    if (Math.abs(step - this.step) < LEAST_STEP) return;
    this.step = step;
    for (const group of this.groups.values()) group.storeAnew();
    for (const slot of this.rows.keys()) this.unasked.add(slot);
  }

  flushed(rows: readonly ChangedRow[], isCommitted: boolean): void {
    this.beat();
    // It stood still before that flush began, or after it.
    const mayGoOn = isCommitted && this.gapAt !== undefined && this.gapAt <= this.harvestedAt;
    if (mayGoOn) this.gapAt = undefined;
    for (const { upstream, limit, group, slot } of rows) {
      const of = this.groups.get(`${upstream}/${limit}/${group}`);
      of?.flushed(slot, isCommitted);
      if (!isCommitted && this.rows.has(slot)) this.unasked.add(slot);
      // Its reserve is free again. Nobody else's bucket has changed.
      if (isCommitted) of?.stir(slot);
    }
    if (mayGoOn) for (const group of this.groups.values()) group.stir();
  }

  end(): void {
    this.isOver = true;
    for (const group of this.groups.values()) group.end();
    this.ended();
  }

  /** A limit was closed or opened for all keys: members who wait for it may go on, or not. */
  hearLimit({ upstream, limit }: LimitName, isOpen: boolean): void {
    if (isOpen)
      for (const row of [...this.rows.values()].flat())
        if (row.upstream === upstream && row.limit === limit) row.closedUntil = undefined;
    for (const group of this.groups.values()) {
      if (group.upstream !== upstream || group.rule.name !== limit) continue;
      if (isOpen) group.open();
      group.stir();
    }
  }

  get isStored(): boolean {
    return this.unasked.size === 0 && [...this.groups.values()].every((group) => group.isStored);
  }

  get bytes(): number {
    return this.groups.size * this.slots * MemberBuckets.bytes;
  }

  close(): void {
    for (const group of this.groups.values()) group.close();
  }
}

/** A row by a clock that was set by so many seconds: its tokens come back later, never earlier. */
function redated<R extends PurseRow>(row: R, step: number): R {
  const slots = Math.ceil((step * SLOTS) / row.window);
  const { slot, tokens, late } = row.stored;
  const moved = late && { late: { slot: late.slot + slots, tokens: late.tokens } };
  const closedUntil = row.closedUntil === undefined ? undefined : row.closedUntil + step;
  return { ...row, stored: { slot: slot + slots, tokens, ...moved }, closedUntil };
}
