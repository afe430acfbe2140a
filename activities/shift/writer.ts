/**
 * The flush of a node: one transaction writes the results of all its shifts and tells each of them where it stands. In it,
 * every fence is locked and compared; a pool with another token loses only its own rows. Under that lock the roster cannot change,
 * so a pool whose roster version is the one it has loaded may write without looking at its members
 * again; otherwise it first loads what changed, and drops the rows of those who left.
 */
import type { Logger } from 'pino';
import { errorOf } from '../failures';
import { lockFences, type LockedPool } from '../durable/fence';
import { isOutage, run, type Database, type Queryable, type Statement } from '../store/database';
import { changedMembers, freshnessOf, membersOf } from '../store/members';
import { readSlots } from '../store/pools';
import { noteNode, writeStats, type NodeRow, type StatsRow } from '../store/nodes';
import { readTracker, type TrackerRow } from '../store/trackers';
import { writeFailures, writeSuccesses } from '../store/values';
import type { Clock } from './clock';
import type { ValueFeed } from './feed';
import type { Harvest, PoolShift } from './pool-shift';

/** A shift that has written nothing is still checked this often, milliseconds: it learns within that time what changed. */
const CHECK_MS = 1_000;
const STATS_MS = 1_000;
/** After a flush that failed, the next one waits this long. */
const RETRY_MS = 250;

const VERSIONS: Statement = {
  name: 'tracker-versions',
  text: `select name, version::float8 as version, (extract(epoch from clock_timestamp()) * 1000)::float8 as now
         from longwatch.tracker where name = any($1)`,
};

export interface WriterHost {
  readonly node: NodeRow;
  readonly shifts: ReadonlySet<PoolShift>;
  readonly trackers: Map<string, TrackerRow>;
  readonly clock: Clock;
  readonly log: Logger;
  stats(): StatsRow[];
  /** Told after each flush: how many rows, how long, or why it failed. */
  flushed(outcome: { rows: number; ms: number } | { error: Error }): void;
  fenced(shift: PoolShift): void;
  /** Buffers that operations feed. */
  readonly feed?: ValueFeed;
}

export class Writer {
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> | undefined;
  private again = false;
  private lastStats = 0;
  /** Values of this flush that are not what they were: `operation/member`. Only where somebody wants to know. */
  private readonly changed = new Set<string>();
  private closed = false;

  constructor(
    private readonly database: Database,
    private readonly host: WriterHost,
  ) {}

  start(): void {
    this.schedule(0);
  }

  /** Flushes now, or right after the flush that is under way. Resolves when what there was at the call is written or refused. */
  async flush(): Promise<void> {
    if (this.flushing) {
      this.again = true;
      await this.flushing;
    }
    await (this.flushing ?? this.begin());
  }

  /** A change was announced: look at once. */
  hint(): void {
    if (this.flushing) this.again = true;
    else if (!this.closed) void this.begin();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.flushing;
  }

  private schedule(ms: number): void {
    if (this.closed) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.begin(), ms);
  }

  private begin(): Promise<void> {
    if (this.flushing) return this.flushing;
    clearTimeout(this.timer);
    this.again = false;
    this.flushing = this.flushOnce().then((ok) => {
      this.flushing = undefined;
      this.schedule(this.again && ok ? 0 : ok ? this.interval() : RETRY_MS);
    });
    return this.flushing;
  }

  private interval(): number {
    let shortest = CHECK_MS;
    for (const shift of this.host.shifts) shortest = Math.min(shortest, shift.options.flushMs);
    return shortest;
  }

  /** False when it failed; never throws. */
  private async flushOnce(): Promise<boolean> {
    const { clock } = this.host;
    const began = clock.now();
    const shifts = [...this.host.shifts].filter(
      (shift) => shift.hinted || shift.hasResults || began - shift.checkedAt >= CHECK_MS * 0.9,
    );
    const statsDue = began - this.lastStats >= STATS_MS;
    if (shifts.length === 0 && !statsDue) return true;
    for (const shift of shifts) shift.hinted = false;
    const harvests = new Map<PoolShift, Harvest>();
    try {
      const rows = await this.database.transaction(async (db) => {
        const held = await this.checkFences(db, shifts);
        await this.followTrackers(db, shifts);
        for (const shift of held) harvests.set(shift, shift.harvest());
        const written = await this.write(db, harvests);
        await this.host.feed?.store(db, harvests, this.changed);
        if (statsDue) {
          await noteNode(db, this.host.node);
          await writeStats(db, this.host.node.name, this.host.stats());
          this.lastStats = began;
        }
        return written;
      });
      void this.host.feed?.committed();
      for (const shift of harvests.keys()) shift.checkedAt = began;
      for (const harvest of harvests.values()) {
        for (const [loop, { successes }] of harvest) loop.counts.fetched += successes.size;
      }
      this.host.flushed({ rows, ms: clock.now() - began });
      return true;
    } catch (thrown) {
      this.host.feed?.rolledBack();
      for (const [shift, harvest] of harvests) shift.putBack(harvest);
      const error = errorOf(thrown);
      this.host.flushed({ error });
      if (!isOutage(error))
        this.host.log.error({ err: error }, 'a flush failed; its results are kept for the next one');
      return false;
    }
  }

  /** Locks the fences, ends the shifts that have lost theirs, brings the rosters of the others up to date. */
  private async checkFences(db: Queryable, shifts: PoolShift[]): Promise<PoolShift[]> {
    if (shifts.length === 0) return [];
    const locked = new Map<string, LockedPool>();
    const pools = shifts.map((shift) => ({ tracker: shift.trackerName, pool: shift.claim.pool }));
    for (const pool of await lockFences(db, pools)) locked.set(`${pool.tracker}/${pool.pool}`, pool);
    const held: PoolShift[] = [];
    for (const shift of shifts) {
      const now = locked.get(`${shift.trackerName}/${shift.claim.pool}`);
      if (!now || now.token !== shift.token) {
        this.host.fenced(shift);
        continue;
      }
      if (now.rosterVersion !== shift.rosterVersion) await this.followRoster(db, shift, now);
      held.push(shift);
    }
    return held;
  }

  private async followRoster(db: Queryable, shift: PoolShift, now: LockedPool): Promise<void> {
    const { tracker, pool } = shift.claim;
    const slots = await readSlots(db, tracker, pool);
    const whole = shift.rosterVersion < now.reloadVersion;
    const rows = whole
      ? await membersOf(db, tracker, slots)
      : await changedMembers(db, tracker, slots, shift.rosterVersion);
    const joining = rows.filter((row) => !row.removed && shift.members.slotOf(row.id) === undefined);
    const freshness = await freshnessOf(
      db,
      joining.map((row) => row.key),
    );
    if (whole) shift.loadAll(rows, freshness);
    else shift.loadChanges(rows, freshness);
    shift.keepOnly(slots);
    shift.rosterVersion = now.rosterVersion;
  }

  /** Reads the rows of trackers whose version has grown, and lets their shifts follow. */
  private async followTrackers(db: Queryable, shifts: PoolShift[]): Promise<void> {
    const names = [...new Set(shifts.map((shift) => shift.trackerName))];
    const asked = this.host.clock.now();
    const versions = await run<{ name: string; version: number; now: number }>(db, VERSIONS, [names]);
    if (versions[0]) this.host.clock.set(versions[0].now, asked);
    for (const { name, version } of versions) {
      if (this.host.trackers.get(name)?.version === version) continue;
      const row = await readTracker(db, name);
      if (!row) continue;
      this.host.trackers.set(name, row);
      for (const shift of this.host.shifts) if (shift.trackerName === name) shift.follow(row);
    }
  }

  private async write(db: Queryable, harvests: Map<PoolShift, Harvest>): Promise<number> {
    const all = [...harvests.values()];
    const successes = all.flatMap((harvest) =>
      [...harvest].map(([loop, taken]) => ({ operation: loop.name, rows: [...taken.successes.values()] })),
    );
    const failures = all.flatMap((harvest) =>
      [...harvest].map(([loop, taken]) => ({ operation: loop.name, rows: [...taken.failures.values()] })),
    );
    this.changed.clear();
    const feeds = this.host.feed?.wanted(harvests) ?? false;
    const note = (member: number, operation: string) => void this.changed.add(`${operation}/${member}`);
    if (successes.length > 0) await writeSuccesses(db, successes, feeds ? note : undefined);
    if (failures.length > 0) await writeFailures(db, failures);
    return [...successes, ...failures].reduce((sum, { rows }) => sum + rows.length, 0);
  }
}
