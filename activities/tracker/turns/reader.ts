/**
 * Reads the mail of a node's pools, the timers that are due, and the members that have something to do: without a lock
 * or a fence, for the commit checks. At once where the inbox has heard of something, and each second of what nobody was
 * told of. Called by `node-turns.ts`; what was read goes to the pools' `member/pool-members.ts`.
 */
import { performance } from 'node:perf_hooks';
import { errorOf } from '../../lib/failures';
import { isOutage, type Queryable } from '../../lib/database';
import { Semaphore } from '../shift/semaphore';
import { loadLives, timersDue, unappliedValues } from '../store/lives';
import { poolsWithMail, readMail } from '../store/mail';
import type { TurnsHost } from './host';
import type { PoolTurns } from './pool';

/** Readings and loads at once: the other connections are for shifts that begin. */
const AT_ONCE = 3;
/** Members of one load. */
const LOADS = 500;
/** After a reading of values that failed. Milliseconds. */
const VALUES_AGAIN_MS = 1_000;
/** Timers of one look. */
const TIMERS = 1_000;

export class MailReader {
  private readonly places = new Semaphore(AT_ONCE);
  private readonly loading = new Set<PoolTurns>();
  private looking: Promise<void> | undefined;

  constructor(private readonly host: TurnsHost) {}

  /** Reads the pool's mail now, or once more when the reading under way has ended. */
  look(pool: PoolTurns): void {
    if (pool.reading) {
      pool.readAgain = true;
      return;
    }
    if (performance.now() < pool.readNotBefore) return;
    pool.reading = true;
    void this.read(pool).finally(() => {
      pool.reading = false;
      if (!this.isKept(pool)) return;
      if (pool.readAgain) {
        pool.readAgain = false;
        this.look(pool);
      }
      this.host.go();
    });
  }

  /** Each second: pools in whose mail there is something, and timers that are due. Never rejects. */
  lookAtAll(): Promise<void> {
    this.looking ??= this.findAll().finally(() => (this.looking = undefined));
    return this.looking;
  }

  /** Members that are to be read: some at a time, one statement a pool. */
  load(pool: PoolTurns): void {
    if (this.loading.has(pool) || performance.now() < pool.readNotBefore) return;
    const ids = pool.members.takeLoads(LOADS, this.host.now());
    if (ids.length === 0) return;
    this.loading.add(pool);
    void this.loadAll(pool, ids).finally(() => {
      this.loading.delete(pool);
      this.host.go();
    });
  }

  /**
   * Stored values that `apply` has not had: of members whose values were just written, or of all of the pool, for its
   * last keeper may have died between a value and its turn.
   */
  values(pool: PoolTurns, keys?: readonly number[]): void {
    if (pool.code.applies.length > 0) void this.readValues(pool, keys).finally(() => this.host.go());
  }

  /** Readings and loads that are under way have ended. */
  async idle(): Promise<void> {
    await this.looking;
  }

  private isKept(pool: PoolTurns): boolean {
    return this.host.pools.has(pool);
  }

  private get db(): Queryable {
    return this.host.database.single;
  }

  private async read(pool: PoolTurns): Promise<void> {
    await this.places.run(async () => {
      const reading = pool.members.beginReading();
      const { slots } = pool;
      try {
        const rows = await readMail(this.db, pool.tracker, slots, reading);
        // The pool has others by now: these are of members that are not ours.
        if (pool.slots === slots) pool.members.endReading(rows);
        else pool.members.dropReading();
      } catch (thrown) {
        pool.members.dropReading();
        this.failed(pool, thrown, 'mail cannot be read now');
      }
    });
  }

  private async loadAll(pool: PoolTurns, ids: readonly string[]): Promise<void> {
    await this.places.run(async () => {
      try {
        const lives = await loadLives(this.db, pool.tracker, ids);
        const now = this.host.now();
        for (const [id, stored] of lives) pool.members.loaded(id, stored, now);
        this.host.loaded(pool.tracker, lives.size);
      } catch (thrown) {
        for (const id of ids) pool.members.notLoaded(id);
        this.failed(pool, thrown, 'members cannot be read now');
      }
    });
  }

  private async readValues(pool: PoolTurns, keys: readonly number[] | undefined): Promise<void> {
    await this.places.run(async () => {
      try {
        const found = await unappliedValues(this.db, pool.tracker, pool.slots, pool.code.applies, keys);
        for (const { id, brought } of found) pool.members.bring(id, brought);
      } catch (thrown) {
        this.failed(pool, thrown, 'values for apply cannot be read now');
        // All of them, then: nobody remembers which.
        setTimeout(() => this.isKept(pool) && this.values(pool), VALUES_AGAIN_MS).unref();
      }
    });
  }

  private async findAll(): Promise<void> {
    const pools = [...this.host.pools];
    if (pools.length === 0) return;
    try {
      const found = await poolsWithMail(
        this.db,
        pools.map(({ tracker, slots }) => ({ tracker, ...slots })),
      );
      for (const { place, mail, timers } of found) {
        const pool = pools[place]!;
        if (!this.isKept(pool)) continue;
        if (mail) this.look(pool);
        if (timers) await this.findTimers(pool);
      }
    } catch (thrown) {
      this.host.log.debug({ err: errorOf(thrown) }, 'mail was not looked for in a second');
    }
    this.host.go();
  }

  private async findTimers(pool: PoolTurns): Promise<void> {
    const due = await timersDue(this.db, pool.tracker, pool.slots, TIMERS);
    if (this.isKept(pool)) pool.members.timersDue(due);
  }

  private failed(pool: PoolTurns, thrown: unknown, words: string): void {
    const error = errorOf(thrown);
    pool.waitsForStore();
    if (isOutage(error)) pool.shift.log.debug({ err: error }, words);
    else pool.shift.log.error({ err: error }, words);
  }
}
