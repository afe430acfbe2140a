/**
 * Reads the mail of a node's pools, the timers that are due, and the members that have something to do: without a lock
 * or a fence, for the commit checks. At once where the inbox has heard of something, and each second of what nobody was
 * told of. Called by `node-turns.ts`; what was read goes to the pools' `member/pool-members.ts`.
 */
import { performance } from 'node:perf_hooks';
import { errorOf } from '../../lib/failures';
import { isOutage, type Queryable } from '../../lib/database';
import type { MemberLimits } from '../member/constants';
import { Semaphore } from '../shift/semaphore';
import { loadLives, recentLives, timersDue, unappliedValues } from '../store/lives';
import { moveMail, poolsWithMail, readMail, type Astray } from '../store/mail';
import { CountTimes, sayWhichAreFull, type CountedPool } from '../store/mail-full';
import type { TurnsHost } from './host';
import type { PoolTurns } from './pool';

/** Readings of mail at once, and of all else: the other connections are for shifts that begin. */
const READINGS = 2;
const AT_ONCE = 2;
/** Pools of one reading. The next one has what is heard of while one is under way. */
const POOLS = 64;
/** Rows of one pool in it: as many as a reading may have, by so many pools, but not fewer than this. */
const LEAST_ROWS = 64;
/** Members of one load, of all pools together; the store ends it sooner where their states are large. */
const LOADS = 500;
/** After a reading of values that failed. Milliseconds. */
const VALUES_AGAIN_MS = 1_000;
/** Timers of one look. */
const TIMERS = 1_000;

export class MailReader {
  private readonly places = new Semaphore(AT_ONCE);
  /** Pools that wait for a reading. */
  private readonly due = new Set<PoolTurns>();
  private readings = 0;
  private loading = false;
  private loads = 0;
  private looking: Promise<void> | undefined;
  private readonly counts = new CountTimes();

  constructor(
    private readonly host: TurnsHost,
    private readonly limits: MemberLimits,
  ) {}

  /** Reads the pool's mail now, or once more when the reading under way has ended. */
  look(pool: PoolTurns): void {
    if (pool.reading) {
      pool.readAgain = true;
      return;
    }
    if (performance.now() < pool.readNotBefore) return;
    pool.reading = true;
    this.due.add(pool);
    // All that are looked at in the same moment are read together.
    queueMicrotask(() => this.readDue());
  }

  /** Each second: pools in whose mail there is something, and timers that are due. Never rejects. */
  lookAtAll(): Promise<void> {
    this.looking ??= this.findAll().finally(() => (this.looking = undefined));
    return this.looking;
  }

  /** Members that are to be read, of all pools: some at a time, by one statement. */
  load(): void {
    if (this.loading) return;
    const asked = this.takeLoads();
    if (asked.length === 0) return;
    this.loading = true;
    void this.loadAll(asked).finally(() => {
      this.loading = false;
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

  /**
   * Members that were awake with the keeper before: they are awake still, where operations ask who is. Asked once; if
   * it fails, they are awake from their next message on.
   */
  woken(pool: PoolTurns): void {
    void this.places.run(async () => {
      try {
        const { slots } = pool;
        const woken = await recentLives(this.db, pool.tracker, slots, pool.options.idleMs);
        if (!this.isKept(pool, slots)) return;
        pool.members.wokenBefore(woken);
        for (const { id } of woken) pool.shift.awake.woke(id, this.host.clock.now());
      } catch (thrown) {
        this.failed(pool, thrown, 'who was awake is not known');
      }
      this.host.go();
    });
  }

  /** Readings and loads that are under way have ended. */
  async idle(): Promise<void> {
    await this.looking;
    await this.counts.idle();
  }

  /** @param slots as they were when something was asked: by now others may be the pool's, and others' members in it */
  private isKept(pool: PoolTurns, slots = pool.slots): boolean {
    return this.host.pools.has(pool) && pool.slots === slots;
  }

  private get db(): Queryable {
    return this.host.database.single;
  }

  private readDue(): void {
    while (this.due.size > 0 && this.readings < READINGS) {
      const pools = [...this.due].slice(0, POOLS);
      for (const pool of pools) this.due.delete(pool);
      this.readings++;
      void this.read(pools.filter((pool) => this.isKept(pool))).finally(() => {
        this.readings--;
        for (const pool of pools) this.hasRead(pool);
        this.readDue();
        this.host.go();
      });
    }
  }

  private hasRead(pool: PoolTurns): void {
    pool.reading = false;
    if (!pool.readAgain) return;
    pool.readAgain = false;
    if (this.isKept(pool)) this.look(pool);
  }

  private async read(pools: readonly PoolTurns[]): Promise<void> {
    if (pools.length === 0) return;
    const { readRows } = this.limits;
    const rows = Math.min(readRows, Math.max(LEAST_ROWS, Math.floor(readRows / pools.length)));
    const asked = pools.map((pool) => {
      const { tracker, slots, members } = pool;
      return { pool, tracker, slots, slotOf: (id: string) => pool.slotOf(id), reading: members.beginReading(rows) };
    });
    try {
      const found = await readMail(this.db, asked);
      for (const [at, { pool, slots }] of asked.entries()) {
        const { mail, astray } = found[at]!;
        // The pool has others by now: these are of members that are not ours.
        if (pool.slots === slots && astray.length === 0) pool.members.endReading(mail);
        else pool.members.dropReading();
        if (astray.length > 0) await this.moveBack(pool, astray);
      }
    } catch (thrown) {
      for (const pool of pools) {
        pool.members.dropReading();
        this.failed(pool, thrown, 'mail cannot be read now');
      }
    }
  }

  /** The next reading finds them, with what came before and after each. */
  private async moveBack(pool: PoolTurns, astray: readonly Astray[]): Promise<void> {
    await moveMail(this.db, pool.tracker, astray);
    pool.readAgain = true;
    pool.shift.log.warn(
      { messages: astray.length },
      'mail lay where the route of its members placed them before; it was moved. A route must give an id the same text always',
    );
  }

  private takeLoads(): { pool: PoolTurns; tracker: string; id: string }[] {
    const asked: { pool: PoolTurns; tracker: string; id: string }[] = [];
    const now = this.host.now();
    // Another one is first each time: none waits for all of the others.
    const pools = [...this.host.pools];
    const first = this.loads++ % Math.max(1, pools.length);
    for (const pool of [...pools.slice(first), ...pools.slice(0, first)]) {
      if (performance.now() < pool.readNotBefore) continue;
      const ids = pool.members.takeLoads(LOADS - asked.length, now);
      for (const id of ids) asked.push({ pool, tracker: pool.tracker, id });
      if (asked.length >= LOADS) break;
    }
    return asked;
  }

  private async loadAll(asked: readonly { pool: PoolTurns; tracker: string; id: string }[]): Promise<void> {
    await this.places.run(async () => {
      try {
        const lives = await loadLives(this.db, asked, this.limits.readBytes);
        const now = this.host.now();
        for (const [at, { pool, tracker, id }] of asked.entries()) {
          const stored = lives[at];
          // There was no room for it: a state may have megabytes. It is in the next load.
          if (!stored) pool.members.notLoaded(id);
          else {
            pool.members.loaded(id, stored, now);
            this.host.loaded(tracker, 1);
          }
        }
      } catch (thrown) {
        for (const { pool, id } of asked) pool.members.notLoaded(id);
        for (const pool of new Set(asked.map(({ pool }) => pool))) {
          this.failed(pool, thrown, 'members cannot be read now');
        }
      }
    });
  }

  private async readValues(pool: PoolTurns, keys: readonly number[] | undefined): Promise<void> {
    await this.places.run(async () => {
      try {
        const { slots } = pool;
        const found = await unappliedValues(this.db, pool.tracker, slots, pool.code.applies, keys);
        // The keeper of the other pool finds those of its members by itself, and so does this one of its own.
        if (pool.slots !== slots) return this.values(pool);
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
      const found = await poolsWithMail(this.db, pools.map(countedOf));
      this.count(found.flatMap(({ place, isFull }) => (isFull || pools[place]!.members.hasMore ? pools[place]! : [])));
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

  /** The mail of pools that have more than is in memory, or are said to be full: are they? */
  private count(pools: readonly PoolTurns[]): void {
    if (pools.length === 0) return;
    this.counts.run(async () => {
      try {
        await sayWhichAreFull(this.db, pools.map(countedOf), this.limits);
      } catch (thrown) {
        this.host.log.debug({ err: errorOf(thrown) }, 'the mail of full pools was not counted; it is counted again');
      }
    });
  }

  private async findTimers(pool: PoolTurns): Promise<void> {
    const { slots } = pool;
    const due = await timersDue(this.db, pool.tracker, slots, TIMERS);
    if (this.isKept(pool, slots)) pool.members.timersDue(due);
  }

  private failed(pool: PoolTurns, thrown: unknown, words: string): void {
    const error = errorOf(thrown);
    pool.waitsForStore();
    if (isOutage(error)) pool.shift.log.debug({ err: error }, words);
    else pool.shift.log.error({ err: error }, words);
  }
}

const countedOf = ({ tracker, members: { pool }, slots }: PoolTurns): CountedPool => ({ tracker, pool, slots });
