/**
 * The table of the simulated world of passes, and everything that happens to it while somebody works: rows that come,
 * go, fail and are held, commits that are lost, and the transactions of `rows.ts`. `world.ts` adds ticks and passes.
 */
import type { JobOptions } from '../../workflows/job/options';
import type { TickRange } from '../../activities/job/store/ticks';
import { type Ask, type ChunkOutcome, type Ends, type Rows } from '../../activities/job/chunk';
import type { Bound } from '../../activities/job/statement';
import { choices, type Choices } from '../chaos/random';

interface Row {
  /** The sum of intervals; and how many ticks have changed it. */
  sum: number;
  /** The statement fails on it; in a sparse world its condition does, also where it would not match. */
  fails: boolean;
  /** In a sparse world: others are not changed. */
  matches: boolean;
  /** Somebody else holds it until this turn of the world. */
  heldUntil: number;
  born: number;
}

interface Tick {
  due: number;
  elapsed: number;
  ended: boolean;
}

/** The database's state; a crash goes back to an earlier one. */
interface Stored {
  token: number;
  rows: Map<number, Row>;
  ranges: (TickRange & { token: number })[];
  failed: Set<number>;
  tick: Tick | undefined;
  endedDue: number;
}

export class Outage extends Error {
  readonly type = 'StoreUnavailable';
}
export class Died extends Error {
  readonly type = 'StoreUnavailable';
}
const coded = (code: string): Error => Object.assign(new Error(code), { code });

export class WorldTable {
  readonly choose: Choices;
  readonly all: boolean;
  /** Chunks are so many rows that match. */
  readonly sparse: boolean;
  protected turn = 0;
  protected db: Stored;
  /** Commits that are not on the disk, the oldest first: what was before each. */
  protected unsynced: Stored[] = [];
  protected nextKey = 1_000;
  protected options: JobOptions;
  protected chances: { crash: number; lost: number; conflict: number; die: number; churn: number };
  /** Nobody else changes rows: who comes beside a row that is looked at alone may be taken for it. */
  protected readonly quiet: boolean;
  /** Keys of rows that failed at some time. */
  protected readonly everFailed = new Set<number>();

  constructor(seed: number) {
    this.choose = choices(seed);
    const { choose } = this;
    this.all = choose.between(0, 9) === 0;
    this.sparse = choose.between(0, 2) === 0;
    const quiet = (this.quiet = choose.between(0, 3) === 0);
    const upTo = (most: number) => (quiet ? 0 : choose.between(0, most) / 1_000);
    this.chances = { crash: upTo(15), lost: upTo(20), conflict: upTo(60), die: upTo(15), churn: upTo(400) };
    const rows = new Map<number, Row>();
    for (let index = choose.between(0, 90); index > 0; index--) rows.set(choose.between(1, 900), this.newRow(0));
    this.options = this.newOptions();
    this.db = { token: 0, rows, ranges: [], failed: new Set(), tick: undefined, endedDue: 0 };
  }

  protected newRow(born: number): Row {
    const matches = !this.sparse || this.choose.between(0, 3) === 0;
    return { sum: 0, fails: this.choose.between(0, 30) === 0, matches, heldUntil: 0, born };
  }

  protected newOptions(): JobOptions {
    const everyMs = this.choose.between(1, 50) * 100;
    return {
      schedule: { everyMs },
      missed: 'once',
      chunk: this.choose.between(1, 40),
      pace: 'full',
    } as unknown as JobOptions;
  }

  protected may(chance: number): boolean {
    return this.choose.between(0, 9_999) < chance * 10_000;
  }

  // ── What others do ──

  /** One turn of the world, before each statement: somebody else may have been there. */
  protected async pass(): Promise<void> {
    this.turn++;
    for (let yields = this.choose.between(0, 3); yields > 0; yields--) await Promise.resolve();
    if (this.may(this.chances.churn)) this.churn();
    if (this.may(this.chances.crash)) this.crash();
  }

  protected churn(): void {
    const { choose, db } = this;
    const keys = [...db.rows.keys()];
    const one = keys.length > 0 ? choose.one(keys) : undefined;
    const what = choose.between(0, 5);
    if (what === 0) db.rows.set(this.nextKey++, this.newRow(this.turn));
    else if (what === 1) {
      const key = choose.between(1, 900);
      if (!db.rows.has(key)) db.rows.set(key, this.newRow(this.turn));
    } else if (one === undefined) return;
    else if (what === 2) db.rows.delete(one);
    else if (what === 3) db.rows.get(one)!.fails = choose.between(0, 2) === 0;
    else db.rows.get(one)!.heldUntil = this.turn + choose.between(1, 60);
  }

  /** The newest commits are gone, those of others too; whoever works does not know. */
  protected crash(): void {
    const lost = this.choose.between(0, this.unsynced.length);
    if (lost === 0) return;
    this.db = copy(this.unsynced[this.unsynced.length - lost]!);
    this.unsynced = [];
  }

  protected sync(): void {
    this.unsynced = [];
  }

  /** All or nothing, at one moment; before it and after it the world goes on, and the answer may be lost. */
  protected async commit<T>(write: () => T, whose: Pass): Promise<T> {
    await this.pass();
    whose.live();
    if (this.may(this.chances.lost / 2)) throw new Outage('before the commit');
    const before = copy(this.db);
    let result: T;
    try {
      result = write();
    } catch (error) {
      this.db = before;
      throw error;
    }
    this.unsynced.push(before);
    if (this.unsynced.length > 12) this.unsynced.shift();
    if (this.may(this.chances.lost / 2)) throw new Outage('after the commit');
    await this.pass();
    whose.live();
    return result;
  }

  // ── The rows, as `rows.ts` has them ──

  rowsOf(pass: Pass): Rows {
    const { token } = pass;
    return {
      ranges: async () => {
        await this.pass();
        return copy(this.db).ranges.map(({ part, after, upto, done, alone }) => ({ part, after, upto, done, alone }));
      },
      isHeld: async () => {
        await this.pass();
        return this.db.token === token;
      },
      lastKey: () => Promise.resolve(this.lastKey()),
      mustBeWhole: () => Promise.resolve(false),
      locked: async (range, to, limit) => {
        await this.pass();
        const held = this.keysOf(range, to ?? range.upto ?? undefined).filter((key) => this.isHeld(key));
        return held.slice(0, limit).map((key) => [String(key)]);
      },
      chunk: (range, ask) => this.chunk(pass, range, ask),
    };
  }

  protected isHeld = (key: number): boolean => (this.db.rows.get(key)?.heldUntil ?? 0) > this.turn;

  protected lastKey(): Bound {
    const keys = [...this.db.rows.keys()];
    return keys.length === 0 ? undefined : [String(Math.max(...keys))];
  }

  protected keysOf(range: TickRange, to: Bound): number[] {
    const after = range.alone ? Number(range.upto![0]) - 1 : range.after === null ? -Infinity : Number(range.after[0]);
    const upto = to === undefined ? Infinity : Number(to[0]);
    return [...this.db.rows.keys()].filter((key) => key > after && key <= upto).sort((a, b) => a - b);
  }

  protected async chunk(pass: Pass, range: TickRange, ask: Ask): Promise<ChunkOutcome> {
    await this.pass();
    let to: Bound;
    if (range.alone) to = range.upto!;
    else if (ask.leaveOut) to = ask.leaveOut.key;
    else if (ask.putOff) to = ask.putOff.to;
    else if (ask.size !== undefined) {
      const key = this.endOf(range, ask);
      if (key === 'fails') return { kind: 'failed', error: coded('22012'), to, looking: true };
      to = key === undefined ? undefined : [String(key)];
    }
    const end = to ?? range.upto ?? undefined;
    const done = to === undefined || range.alone === true || to[0] === range.upto?.[0];
    try {
      const rows = await this.commit(() => this.write(pass, range, ask, { end, done }), pass);
      // Now and then it looks through many rows that do not match.
      const ms = this.choose.between(0, 9) === 0 ? 200 : 1;
      return { kind: 'done', to: end, done, rows, whole: to !== undefined, ms, tripMs: 0 };
    } catch (error) {
      if (error instanceof Other) return { kind: 'other progress' };
      if (error instanceof Outage || error instanceof Died) throw error;
      return { kind: 'failed', error: error as Error, to, looking: false };
    }
  }

  /** The key of the last row of a chunk; or that the condition fails on a row before it. */
  protected endOf(range: TickRange, { size, byKey, careful }: Ask): number | 'fails' | undefined {
    const keys = this.keysOf(range, range.upto ?? undefined);
    if (!this.sparse || byKey) return keys[size! - 1];
    if (!careful && this.asksOthers()) return 'fails';
    let found = 0;
    for (const key of keys) {
      const row = this.db.rows.get(key)!;
      if (row.fails) return 'fails';
      if (row.matches && ++found === size) return key;
    }
    return undefined;
  }

  /** PostgreSQL asks the condition of rows outside of the chunk as well, and it fails on one of them. */
  protected asksOthers(): boolean {
    return this.choose.between(0, 20) === 0 && [...this.db.rows.values()].some(({ fails }) => fails);
  }

  protected write(pass: Pass, range: TickRange, ask: Ask, { end, done }: { end: Bound; done: boolean }): number {
    const { db } = this;
    const without = new Set(ask.putOff?.keys.map(([key]) => Number(key)));
    let rows = 0;
    for (const [key, row] of db.rows) if (row.fails) this.everFailed.add(key);
    if (ask.leaveOut) db.failed.add(Number(ask.leaveOut.key[0]));
    else {
      if (this.may(this.chances.conflict / 10)) throw coded('40P01');
      if (this.sparse && !ask.careful && this.asksOthers()) throw coded('22012');
      for (const key of this.keysOf(range, end)) {
        if (without.has(key)) continue;
        const row = db.rows.get(key)!;
        if (this.sparse && row.fails) throw coded('22012');
        if (!row.matches) continue;
        if (this.isHeld(key)) throw coded('55P03');
        if (row.fails) throw coded('22012');
        row.sum += pass.elapsed;
        rows++;
      }
    }
    for (const [index, key] of (ask.putOff?.keys ?? []).entries()) {
      const part = ask.putOff!.part + index;
      if (db.ranges.some((one) => one.part === part)) throw coded('23505');
      db.ranges.push({ part, after: null, upto: key, done: false, alone: true, token: pass.token });
    }
    const stored = db.ranges.find((one) => one.part === range.part && one.token === pass.token && !one.done);
    if (!stored || String(stored.after) !== String(range.after)) throw new Other();
    stored.after = end ?? stored.after;
    stored.done = done;
    return rows;
  }
}

/** One worker's attempt: it may die at each statement. */
export class Pass implements Ends {
  reason: string | undefined;

  constructor(
    readonly token: number,
    readonly elapsed: number,
    private readonly dies: () => boolean,
  ) {}

  end(reason: string): void {
    this.reason ??= reason;
  }

  live(): void {
    if (this.reason === 'died' || this.dies()) {
      this.reason = 'died';
      throw new Died('the worker died');
    }
  }

  async sleep(): Promise<void> {
    for (let turns = 0; turns < 5; turns++) await Promise.resolve();
  }
}

class Other extends Error {}

const copy = (db: Stored): Stored => ({
  ...db,
  rows: new Map([...db.rows].map(([key, row]) => [key, { ...row }])),
  ranges: db.ranges.map((range) => ({ ...range })),
  failed: new Set(db.failed),
  tick: db.tick && { ...db.tick },
});
