/**
 * One node of the simulated world (`world.ts`): the real clock, ring, holds, writer, flush, shifts and placement, over
 * a connection to the simulated store (`store.ts`) on which everything may go wrong. A node may freeze and go on, die,
 * or be cut off from PostgreSQL.
 */
import { pino } from 'pino';
import type { BufferFeed, FedEntry } from '../../../activities/buffer/feed';
import { Clock } from '../../../activities/tracker/shift/clock';
import { FailingPools } from '../../../activities/tracker/shift/failing-pools';
import { ValueFeed } from '../../../activities/tracker/shift/feed';
import { NodeHolds } from '../../../activities/tracker/shift/holds';
import { Lateness } from '../../../activities/tracker/shift/lateness';
import type { OperationHost } from '../../../activities/tracker/shift/host';
import type { PoolShift } from '../../../activities/tracker/shift/pool-shift';
import type { Placing } from '../../../activities/tracker/shift/placing';
import { Presence, type PresenceHost } from '../../../activities/tracker/shift/presence';
import { NodeTotals } from '../../../activities/tracker/shift/totals';
import { Ring } from '../../../activities/tracker/shift/ring';
import { Semaphore } from '../../../activities/tracker/shift/semaphore';
import { Writer, type WriterHost } from '../../../activities/tracker/shift/writer';
import { asOutage, type Database, type Queryable, type TransactionOptions } from '../../../activities/lib/database';
import type { TrackerRow } from '../../../activities/tracker/store/trackers';
import type { TrackerDefinition } from '../../../exports';
import type { Draws } from '../../support/draws';
import { refusal, Transaction, type Store } from './store';
import type { VirtualTime } from '../../support/virtual-time';

const log = pino({ level: 'silent' });
export const never = new Promise<never>(() => undefined);

/** The world around a node. */
export interface Surroundings {
  time: VirtualTime;
  draw: Draws;
  store: Store;
  definition: TrackerDefinition;
  /** A flush's limits; undefined: those of production. */
  limits: WriterHost['limits'];
  /** How often a statement fails, and so on; 0 in calm. */
  faults: () => number;
  outageUntil: number;
  /** How many results there have been: what a transaction may know. */
  results: () => number;
  joined(node: SimulatedNode, shift: PoolShift): void;
  /** Looks at what is about to be committed. */
  committing(tx: Transaction, node: SimulatedNode): void;
  broken(thrown: unknown): void;
}

export class SimulatedNode implements WriterHost, OperationHost, PresenceHost {
  readonly clock = new Clock();
  readonly holds = new NodeHolds();
  readonly log = log;
  readonly ring: Ring;
  readonly shifts = new Set<PoolShift>();
  /** With the shifts whose runs have not ended. */
  readonly everKept = new Set<PoolShift>();
  readonly trackers = new Map<string, TrackerRow>();
  readonly loading = new Semaphore(2);
  readonly taking = new Semaphore(2);
  readonly arriving = new Semaphore(8);
  readonly database: Database;
  readonly writer: Writer;
  readonly feed: ValueFeed;
  readonly limits: WriterHost['limits'];
  readonly row;
  readonly definitions: ReadonlyMap<string, TrackerDefinition>;
  readonly totals = new NodeTotals();
  readonly failing = new FailingPools(this.clock);
  readonly presence: Presence;
  readonly isDraining = false;
  dead = false;
  frozenUntil = 0;
  cutUntil = 0;
  /** Since when Temporal has not heard of it. */
  silentSince: number | undefined;

  constructor(
    readonly name: string,
    readonly places: number,
    private readonly world: Surroundings,
  ) {
    this.ring = new Ring(this.clock, { places });
    this.limits = world.limits;
    const { tracker } = world.store;
    this.database = this.connection();
    this.feed = new ValueFeed(new Map([[tracker.name, world.definition]]), this.buffers(), this.clock, () => undefined);
    this.writer = new Writer(this.database, this);
    this.clock.set(world.store.clock(), this.clock.now());
    this.row = { name, host: 'here', pid: 1, metricsUrl: null };
    this.definitions = new Map([[tracker.name, world.definition]]);
    this.presence = new Presence({ database: this.database, random: () => world.draw.next() }, this);
  }

  get isWell(): boolean {
    return !this.dead && this.frozenUntil <= this.world.time.now && this.cutUntil <= this.world.time.now;
  }

  start(): void {
    void this.writer.start();
    void this.attend();
  }

  get placing(): Placing {
    return this.presence.placing;
  }

  private async attend(): Promise<never> {
    for (;;) {
      await this.presence.attend();
      await this.wait(this.world.draw.between(950, 1_050));
    }
  }

  tick(): void {
    if (this.dead || this.frozenUntil > this.world.time.now) return;
    this.ring.tick(this.clock.now());
    this.placing.tick(this.clock.now());
    let running = 0;
    for (const shift of this.everKept) running += shift.inFlight;
    if (this.ring.free + running !== this.places)
      throw new Error(`${this.name} has ${this.places} places: ${this.ring.free} free, ${running} runs`);
  }

  die(): void {
    this.dead = true;
    this.ring.close();
  }

  /** Waits as its code would: not while it is frozen, and for ever when it is dead. */
  async wait(ms: number): Promise<void> {
    await this.world.time.sleep(ms);
    await this.awake();
  }

  private async awake(): Promise<void> {
    while (this.frozenUntil > this.world.time.now && !this.dead) {
      await this.world.time.sleep(this.frozenUntil - this.world.time.now);
    }
    if (this.dead) await never;
  }

  // ── What its shifts, its flush and its operations ask of it ──

  join(shift: PoolShift): void {
    this.shifts.add(shift);
    this.everKept.add(shift);
    this.placing.joined(shift);
    this.world.joined(this, shift);
  }
  leave(shift: PoolShift): void {
    this.shifts.delete(shift);
  }
  latenessOf(): Lateness {
    return new Lateness(this.clock.now());
  }
  stats(): [] {
    return [];
  }
  placed(): void {
    // Nobody counts.
  }
  isolated(): Promise<never> {
    return Promise.reject(new Error('no threads here'));
  }
  onError(): void {
    // Nobody is told.
  }
  entering(): void {
    // No watchdog.
  }
  roundEnded(): void {
    // Nobody is told.
  }
  flushed(outcome: { rows: number; ms: number } | { error: Error }): void {
    if ('error' in outcome && !('code' in outcome.error) && !('type' in outcome.error))
      this.world.broken(outcome.error);
  }
  fenced(shift: PoolShift): void {
    shift.end('fenced');
  }

  // ── Its connection ──

  private connection(): Database {
    const transaction = async (
      work: (db: Queryable) => Promise<unknown>,
      options: TransactionOptions = {},
    ): Promise<unknown> => {
      const { store, draw } = this.world;
      const tx = new Transaction(store, this.world.results());
      const query = async (statement: { name?: string; text: string; values: unknown[] }) => {
        await this.way(tx);
        if (statement.name === 'fence-take') await this.lock(tx, statement.values[1] as number, options.lockTimeoutMs);
        const rows = store.run(tx, statement);
        await this.way(tx);
        return { rows };
      };
      try {
        await this.way(tx);
        const result = await work({ query, tx } as unknown as Queryable);
        await this.way(tx);
        this.world.committing(tx, this);
        store.commit(tx);
        // The commit is done, and its answer is lost.
        if (draw.chance(this.world.faults())) throw refusal('08006');
        await this.answer();
        return result;
      } catch (thrown) {
        tx.over = true;
        throw asOutage(thrown);
      }
    };
    const rows = (statement: { name: string; text: string }, values: unknown[] = []) =>
      transaction(async (db) => (await db.query({ ...statement, values })).rows);
    return { transaction, rows } as unknown as Database;
  }

  /** To the database: it takes its time, fails, or does not arrive. */
  private async way(tx: Transaction): Promise<void> {
    const { time, draw, store } = this.world;
    await this.answer();
    const { outageUntil } = this.world;
    if (outageUntil > time.now) throw refusal(draw.one(['57P03', 'ECONNREFUSED']));
    if (draw.chance(this.world.faults())) throw refusal(draw.one(['57P01', '40001', '57014', '08006', '25006']));
    if (!store.lives(tx)) throw refusal('25P03');
    tx.lastWord = store.now();
  }

  private async answer(): Promise<void> {
    const { time, draw } = this.world;
    if (draw.chance(0.15)) await time.sleep(draw.between(0.2, 5));
    else if (draw.chance(this.world.faults())) await time.sleep(draw.size(10, 4_000));
    await this.awake();
    if (this.cutUntil <= time.now) return;
    await time.sleep(Math.min(5_000, this.cutUntil - time.now));
    throw refusal('ETIMEDOUT');
  }

  private async lock(tx: Transaction, pool: number, patienceMs = 3_000): Promise<void> {
    const { time, store } = this.world;
    for (const until = time.now + patienceMs; !store.lockAlone(pool, tx);) {
      if (time.now >= until) throw refusal('55P03');
      await time.sleep(10);
      tx.lastWord = store.now();
    }
  }

  /** A buffer that takes what the flush gives it, in the flush's transaction. */
  private buffers(): BufferFeed {
    const store = (db: { tx: Transaction }, entries: readonly FedEntry[]): Promise<void> => {
      for (const { value } of entries) {
        const { operation, id } = value;
        db.tx.fed.push({ operation, id, value: JSON.stringify(value.value) });
      }
      return Promise.resolve();
    };
    const nothing = (): undefined => undefined;
    const feed = { keyOf: () => null, store, mark: nothing, undo: nothing, committed: nothing, rolledBack: nothing };
    return feed as unknown as BufferFeed;
  }
}
