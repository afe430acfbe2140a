/**
 * Tells the database how old the values of this node's pools are, and which members are the oldest, a part of the pools
 * each second: so that people see it at any number of members without anybody reading all values. Started by the node
 * (`tellers.ts`).
 */
import type { Logger } from 'pino';
import { errorOf } from '../../lib/failures';
import type { Database } from '../../lib/database';
import type { Service } from '../../lib/service';
import { forgetAges, writeAges, type AgeRow } from '../store/ages';
import { agesOf, type AgedMembers } from './ages';
import type { Clock } from './clock';
import type { OperationLoop } from './operation';
import type { PoolShift } from './pool-shift';
import { lifetimes } from './stale';

const LOOK_MS = 1_000;
/** Each pool is told of this often, milliseconds; less often where that would be more than the next two allow. */
const EACH_MS = 10_000;
/** Rows of one look: a pool and operation each. */
const MOST_ROWS = 100;
/** Members that one look goes through: the event loop has other work. */
const MOST_MEMBERS = 50_000;
const FORGET_MS = 60 * 60_000;
const LIMITS = { statementTimeoutMs: 5_000, lockTimeoutMs: 500 };

export interface AgeHost {
  readonly shifts: ReadonlySet<PoolShift>;
  readonly clock: Pick<Clock, 'now' | 'toStore' | 'fromStore'>;
  readonly log: Logger;
}

export class AgeTeller implements Service {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  /** When each shift was told of. */
  private readonly toldAt = new WeakMap<PoolShift, number>();
  private forgotAt: number;
  private isFailing = false;

  constructor(
    private readonly database: Database,
    private readonly host: AgeHost,
  ) {
    this.forgotAt = host.clock.now();
  }

  start(): Promise<void> {
    this.timer = setInterval(() => void this.look(), LOOK_MS);
    this.timer.unref();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  /** Never rejects: it is only what people see. */
  look(): Promise<void> {
    return (this.looking ??= this.lookOnce().finally(() => (this.looking = undefined)));
  }

  private async lookOnce(): Promise<void> {
    const { host } = this;
    const now = host.clock.now();
    const shifts = this.due(now);
    if (shifts.length === 0) return;
    for (const shift of shifts) this.toldAt.set(shift, now);
    try {
      const rows = shifts.flatMap((shift) => rowsOf(shift, host.clock, now));
      await this.database.transaction((db) => writeAges(db, rows), LIMITS);
      if (now - this.forgotAt >= FORGET_MS) {
        this.forgotAt = now;
        await this.database.transaction(forgetAges, LIMITS);
      }
      this.isFailing = false;
    } catch (thrown) {
      if (!this.isFailing) host.log.warn({ err: errorOf(thrown) }, 'the ages of values cannot be told now');
      this.isFailing = true;
    }
  }

  /** The shifts that were told of the longest ago, as many as one look allows; one at least. */
  private due(now: number): PoolShift[] {
    const waiting = [...this.host.shifts]
      .filter((shift) => !shift.isOver && now - (this.toldAt.get(shift) ?? -Infinity) >= EACH_MS)
      .sort((a, b) => (this.toldAt.get(a) ?? 0) - (this.toldAt.get(b) ?? 0));
    // Pools that all came at once are spread over the time in which each has its turn.
    const each = Math.ceil((this.host.shifts.size * LOOK_MS) / EACH_MS);
    let [rows, members] = [0, 0];
    let count = 0;
    for (const shift of waiting.slice(0, each)) {
      rows += shift.loops.size;
      members += shift.members.size * shift.loops.size;
      if (count > 0 && (rows > MOST_ROWS || members > MOST_MEMBERS)) break;
      count++;
    }
    return waiting.slice(0, count);
  }
}

function rowsOf(shift: PoolShift, clock: AgeHost['clock'], now: number): AgeRow[] {
  return [...shift.loops.values()]
    .filter(({ options }) => options.enabled)
    .map((loop) => rowOf(shift, loop, clock, now));
}

function rowOf(shift: PoolShift, loop: OperationLoop, clock: AgeHost['clock'], now: number): AgeRow {
  const { members } = shift;
  const aged: AgedMembers = {
    forEach: (visit) => members.forEach(visit),
    addedAt: (slot) => clock.fromStore(members.addedAt(slot)),
    fetchedAt: (slot) => loop.known.fetchedAt(slot),
    lifetime: lifetimes(loop, now),
  };
  const { oldest, ...ages } = agesOf(aged, now);
  return {
    tracker: shift.trackerName,
    pool: shift.claim.pool,
    token: shift.token,
    operation: loop.name,
    ...ages,
    oldest: oldest.map(({ slot, since, never }) => ({ key: members.key(slot), since: clock.toStore(since), never })),
  };
}
