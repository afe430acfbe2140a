/**
 * The work of a sweep's tick: due rows are claimed in pages and given to the definition's `handle`, several pages at
 * once, until no more are due. A claim and the place up to which rows are claimed commit together, so a row is in one
 * page a tick, whoever claims. The keys that a tick has claimed are kept until it ends (`longwatch.swept`): where what
 * rows are ordered by changes meanwhile, a row that comes to the place again is passed over, and one that went behind
 * it is found by a second look. Called by `pass.ts`; one page is handled by `page.ts`.
 *
 * A handler's transaction has a connection that waits for it before its page is claimed, so that its time begins when
 * it can begin. A HoldError holds all claims of the job, in this pass and those that follow.
 *
 * Claims are made one at a time (the place is one row, and its writer needs the fence's token), so two streams never
 * take the same rows; SKIP LOCKED only passes over rows that somebody else is changing right now.
 */
import type { SweepDefinition } from '../../config/define/job';
import type { Transactions } from '../durable/transaction';
import { claimFresh, heldFor, nextClaimIn, takeClaim, type PageClaim } from './store/claims';
import type { Queryable } from '../lib/database';
import { noteProgress, rangesOf } from './store/ticks';
import { handlePage, type SweepPage } from './page';
import { failsOnRow } from './chunk';
import { sameKey } from './key';
import { allOrFirstError } from './walk';
import { FailingRows } from './sweep-failing';
import type { SweepWork } from './statement';
import {
  claimStatement,
  KEY_COLUMN,
  ORDER_COLUMN,
  orderTypeStatement,
  pageStatement,
  type Cursor,
} from './sweep-statement';
import { fenced, stillHeld, type PassContext, type TickOutcome } from './pass-context';

/**
 * A claim outlives the timeout of its handler by this, so that what was done in time can still be noted. Milliseconds.
 */
const SETTLE_MS = 5_000;
/**
 * A pass waits for rows that are to be tried again this soon; later ones are the work of another pass. Milliseconds.
 */
const STAY_MS = 5_000;

type Row = Record<string, unknown>;

export async function sweep(
  pass: PassContext,
  handle: SweepDefinition['handle'],
  effects: Transactions,
): Promise<TickOutcome> {
  const claims = await Claims.open(pass);
  const own: SweepPage[] = [];
  let busy = 0;

  const next = async (): Promise<SweepPage | undefined> =>
    own.pop() ?? (await claims.waiting()) ?? (await claims.claim());
  const stream = async (): Promise<void> => {
    while (!pass.stopSignal.reason) {
      const held = claims.hold.leftMs();
      if (held > 0) {
        await pass.stopSignal.sleep(held);
        continue;
      }
      // A page's time begins when its transaction can.
      const leave = await effects.enter(pass.stopSignal.signal).catch(() => undefined);
      if (!leave) return;
      try {
        const page = await next();
        if (page) {
          busy++;
          // The rest of a page that failed: its halves.
          own.push(...(await handlePage(pass, page, handle, effects, claims).finally(() => busy--)));
          continue;
        }
      } finally {
        leave();
      }
      // Others may come with halves, and what failed a moment ago is tried again here.
      const soon = busy > 0 || claims.hold.leftMs() > 0 ? 20 : await claims.nextIn();
      if (soon === undefined || soon > STAY_MS) return;
      await pass.stopSignal.sleep(Math.max(5, soon));
    }
  };
  await allOrFirstError(Array.from({ length: pass.streams }, stream), pass.stopSignal);
  const later = await claims.nextIn();
  return { retryAt: later === undefined ? undefined : Date.now() + later };
}

/** Until when nothing of the sweep is handled; what is under way ends. */
class Hold {
  private until = 0;

  constructor(private readonly pass: PassContext) {}

  leftMs(): number {
    return this.until - Date.now();
  }

  async read(db: Queryable): Promise<void> {
    const held = await heldFor(db, this.pass.job);
    if (held) await this.begin(held.ms, held.why);
  }

  async begin(forMs: number, why: string): Promise<void> {
    this.until = Math.max(this.until, Date.now() + forMs);
    await this.pass.waits(`held until ${new Date(this.until).toISOString()}: ${why}`);
  }
}

/** Claims rows, one page after the other. */
class Claims {
  /** Kept long enough for one attempt. */
  readonly forMs: number;
  private line: Promise<unknown> = Promise.resolve();
  private exhausted = false;
  /** All rows with an order are claimed; those without one are left. */
  private onlyNulls = false;
  /** All rows were gone through once: those whose order was changed meanwhile are looked for from the beginning. */
  private look: 'first' | 'second' = 'first';
  readonly hold: Hold;
  /** Nothing waits before this. Epoch milliseconds of this process, from the database's time left. */
  private waitingAt: number;

  private constructor(
    private readonly pass: PassContext,
    private readonly sql: SweepWork,
    private readonly orderType: string,
    private readonly failing: FailingRows,
    /** The place: [`value` or `null`, the order as text, the columns of the key]. */
    private place: string[] | null,
    firstIn: number | undefined,
  ) {
    this.forMs = pass.options.timeoutMs + SETTLE_MS;
    this.waitingAt = firstIn === undefined ? Infinity : Date.now() + firstIn;
    // Only what is left of earlier ticks.
    this.exhausted = pass.tick.elapsed === 0;
    this.hold = new Hold(pass);
  }

  static async open(pass: PassContext): Promise<Claims> {
    const sql = pass.options.work as SweepWork;
    const { database, job, table } = pass;
    const [typed] =
      sql.order === undefined ? [] : await orderTypeStatement(sql, table).rows<{ type: string }>(database);
    const failing = await FailingRows.open(pass);
    return database.transaction(async (db) => {
      const place = (await rangesOf(db, job))[0]?.after ?? null;
      const claims = new Claims(pass, sql, typed?.type ?? 'text', failing, place, await nextClaimIn(db, job));
      await claims.hold.read(db);
      return claims;
    });
  }

  /** The next rows that are due and were not claimed in this tick. */
  claim(): Promise<SweepPage | undefined> {
    return this.inLine(async () => {
      if (this.exhausted) return undefined;
      const { pass } = this;
      const again = this.look === 'second';
      const { values, cursor } = again ? { values: {}, cursor: 'none' as const } : this.from();
      const { orderType, failing } = this;
      const form = { cursor, orderType, fresh: again, guarded: failing.guarded };
      const statement = claimStatement(this.sql, pass.table, form);
      const limit = pass.options.page;
      let found: { rows: number; page: SweepPage | undefined; place: string[] | null } | undefined;
      try {
        found = await pass.transaction(async (db) => {
          const given = { ...this.values(), ...values, limit };
          const { rows } = again ? await statement.runOnce<Row>(db, given) : await statement.run<Row>(db, given);
          if (rows.length === 0) return { rows: 0, page: undefined, place: this.place };
          const keys = rows.map((row) => row[KEY_COLUMN] as string[]);
          const claimed = await claimFresh(db, pass.job, { keys, owner: this.owner, forMs: this.forMs });
          // The second look has no place of its own: what it has claimed it does not find again.
          const place = again ? this.place : placeOf(rows.at(-1)!);
          if (!(await this.move(db, place))) throw new OtherPlace();
          const own = claimed?.fresh.map((index) => ownColumns(rows[index]!));
          const page = claimed && { claim: claimed.claim, rows: own!, keys: claimed.claim.keys, owner: this.owner };
          return { rows: rows.length, page, place };
        });
      } catch (error) {
        if (failsOnRow(error)) return this.findFailing(error as Error);
        if (!(error instanceof OtherPlace)) throw error;
        // Another holder, or a database that was restarted and has lost its last commits.
        if (!(await stillHeld(pass))) throw fenced(pass.job);
        this.place = (await pass.database.transaction((db) => rangesOf(db, pass.job)))[0]?.after ?? null;
        this.onlyNulls = false;
        return undefined;
      }
      // A row that comes again and again at the same place is passed over by a look that has none.
      const stands = found.page === undefined && sameKey(found.place, this.place);
      this.place = found.place;
      // Fewer than a page may also mean that somebody holds the others locked: they come with the next tick.
      if (found.rows < limit || stands) {
        if (cursor === 'value') this.onlyNulls = true;
        else if (this.look === 'first' && this.sql.order !== undefined) this.look = 'second';
        else this.exhausted = true;
      }
      return found.page;
    }).then((page) => page ?? (this.exhausted || this.pass.stopSignal.reason ? undefined : this.claim()));
  }

  /**
   * A page whose time has come: to be tried again, or left behind by a worker that died. Rows that are no longer due
   * drop out.
   */
  waiting(): Promise<SweepPage | undefined> {
    if (Date.now() < this.waitingAt) return Promise.resolve(undefined);
    return this.inLine(async () => {
      const { pass } = this;
      let page: SweepPage | undefined;
      try {
        page = await pass.transaction(async (db) => {
          const claim = await takeClaim(db, pass.job, this.owner, this.forMs);
          return claim && { ...(await this.readAgain(db, claim)), claim, owner: this.owner };
        });
      } catch (error) {
        if (!failsOnRow(error)) throw error;
        // The claim is as it was, and comes next without the row that failed.
        return this.findFailing(error as Error);
      }
      if (!page) await this.nextIn();
      return page;
    });
  }

  /** One of the rows cannot even be asked. The next claim passes over it. */
  private async findFailing(error: Error): Promise<undefined> {
    this.pass.log.debug({ err: error }, 'a claim failed; the rows that it fails on are looked for');
    await this.failing.look(error);
    return undefined;
  }

  /** Milliseconds until a page's time comes; undefined when none waits. */
  async nextIn(): Promise<number | undefined> {
    const left = await this.pass.database.transaction((db) => nextClaimIn(db, this.pass.job));
    this.waitingAt = left === undefined ? Infinity : Date.now() + left;
    return left;
  }

  private async readAgain(db: Queryable, claim: PageClaim): Promise<{ rows: Row[]; keys: string[][] }> {
    const columns = this.pass.table.key.map((_column, index) => claim.keys.map((key) => key[index]!));
    const values = Object.fromEntries(columns.map((list, index) => [`keys${index}`, list]));
    const { rows } = await pageStatement(this.sql, this.pass.table).run<Row>(db, { ...this.values(), ...values });
    return { rows: rows.map(ownColumns), keys: rows.map((row) => row[KEY_COLUMN] as string[]) };
  }

  private move(db: Queryable, place: string[] | null): Promise<boolean> {
    const { job, token } = this.pass;
    return noteProgress(db, {
      job,
      token,
      part: 0,
      from: this.place,
      to: place,
      done: false,
      rows: 0,
      failed: 0,
      counts: false,
    });
  }

  private from(): { cursor: Cursor; values: Record<string, unknown> } {
    if (this.place === null) return { cursor: 'none', values: {} };
    const [kind, ordered, ...key] = this.place;
    const values = Object.fromEntries(key.map((value, index) => [`key${index}`, value]));
    const cursor = kind === 'value' && this.onlyNulls ? 'nulls' : (kind as Cursor);
    return { cursor, values: { ...values, ordered } };
  }

  private values(): Record<string, unknown> {
    const { tick, job } = this.pass;
    return { job, elapsed: tick.elapsed, due: new Date(tick.due) };
  }

  /** Unique for this attempt at the pass: a worker that was given up on owns nothing of it. */
  private get owner(): string {
    return `${this.pass.node} ${this.pass.token}`;
  }

  private inLine<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.line.then(act);
    this.line = turn.catch(() => undefined);
    return turn;
  }
}

function placeOf(row: Row): string[] {
  const ordered = row[ORDER_COLUMN] as string | null;
  return [ordered === null ? 'null' : 'value', ordered ?? '', ...(row[KEY_COLUMN] as string[])];
}

/** The row as the user's table has it. */
function ownColumns(row: Row): Row {
  const columns = { ...row };
  delete columns[KEY_COLUMN];
  delete columns[ORDER_COLUMN];
  return columns;
}

class OtherPlace extends Error {}
