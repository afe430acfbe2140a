/**
 * Tells the database which members of this node wait for an empty bucket, where that takes more than some seconds: what
 * `status` and `show` say of it. Changes only, so many at most each second. Started by the node.
 */
import type { Logger } from 'pino';
import type { Database } from '../../lib/database';
import { errorOf } from '../../lib/failures';
import type { Service } from '../../lib/service';
import { forgetOldWaits, forgetWaits, writeWaits, type WaitRow } from '../store/waits';
import type { Clock } from './clock';
import type { HeldBack } from './budgeted';
import type { OperationLoop } from './operation';
import type { PoolShift } from './pool-shift';

const LOOK_MS = 1_000;
/** A wait that is shorter than this is told to nobody. Milliseconds. */
const WORTH_TELLING_MS = 3_000;
/** A time that moves by less is not told again. Milliseconds. */
const MOVED_MS = 2_000;
/** Rows in one look; the rest comes with the next. */
const MOST = 2_000;
const LIMITS = { statementTimeoutMs: 5_000, lockTimeoutMs: 500 };

export interface WaitsHost {
  readonly row: { readonly name: string };
  readonly shifts: ReadonlySet<PoolShift>;
  readonly clock: Pick<Clock, 'now' | 'toStore'>;
  readonly log: Logger;
}

export class Waits implements Service {
  /** By member and operation: what the database was told. */
  private told = new Map<string, WaitRow>();
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private isFailing = false;

  constructor(
    private readonly database: Database,
    private readonly host: WaitsHost,
  ) {}

  async start(): Promise<void> {
    await this.database.transaction((db) => forgetOldWaits(db, this.host.row.name), LIMITS).catch(() => undefined);
    this.timer = setInterval(() => void this.look(), LOOK_MS);
    this.timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
    if (this.told.size === 0) return;
    await this.database.transaction((db) => forgetOldWaits(db, this.host.row.name), LIMITS).catch(() => undefined);
  }

  /** Never rejects: it is only what people see. */
  look(): Promise<void> {
    return (this.looking ??= this.lookOnce().finally(() => (this.looking = undefined)));
  }

  private async lookOnce(): Promise<void> {
    const { row, log } = this.host;
    const now = this.waits();
    const gone = [...this.told].filter(([id]) => !now.has(id)).slice(0, MOST);
    const news = [...now].filter(([id, wait]) => isNews(this.told.get(id), wait)).slice(0, MOST);
    if (gone.length + news.length === 0) return;
    try {
      await this.database.transaction(async (db) => {
        const without = gone.map(([, wait]) => wait);
        await forgetWaits(db, row.name, without);
        const rows = news.map(([, wait]) => wait);
        await writeWaits(db, row.name, rows);
      }, LIMITS);
      for (const [id] of gone) this.told.delete(id);
      for (const [id, wait] of news) this.told.set(id, wait);
      this.isFailing = false;
    } catch (thrown) {
      if (!this.isFailing) log.warn({ err: errorOf(thrown) }, 'who waits for a limit cannot be told now');
      this.isFailing = true;
    }
  }

  private waits(): Map<string, WaitRow> {
    const now = this.host.clock.now();
    const waits = new Map<string, WaitRow>();
    for (const shift of this.host.shifts) {
      for (const loop of shift.loops.values()) {
        if (!loop.budgeted || loop.budgeted.size === 0) continue;
        for (const held of loop.budgeted.heldBack()) {
          const isLong = now - held.since >= WORTH_TELLING_MS || (held.until ?? 0) - now >= WORTH_TELLING_MS;
          if (isLong) waits.set(`${shift.members.key(held.slot)}/${loop.name}`, this.rowOf(shift, loop, held));
        }
      }
    }
    return waits;
  }

  private rowOf(shift: PoolShift, loop: OperationLoop, { slot, shortage, since, until }: HeldBack): WaitRow {
    const { clock } = this.host;
    return {
      member: shift.members.key(slot),
      operation: loop.name,
      tracker: shift.trackerName,
      upstream: shortage.upstream,
      limit: shortage.limit,
      // A group of members' buckets has a star in the member's place.
      key: shortage.key.replace('*', () => shift.members.id(slot)),
      since: clock.toStore(since),
      until: until === undefined ? null : clock.toStore(until),
      closed: shortage.isClosed,
    };
  }
}

function isNews(before: WaitRow | undefined, now: WaitRow): boolean {
  if (!before) return true;
  if (before.upstream !== now.upstream || before.limit !== now.limit || before.key !== now.key) return true;
  if (before.closed !== now.closed || (before.until === null) !== (now.until === null)) return true;
  return Math.abs((before.until ?? 0) - (now.until ?? 0)) > MOVED_MS;
}
