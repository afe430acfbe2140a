/**
 * Keeps the tables of members that receive small: the mail tables are filled in turn and truncated
 * (`member/rotation.ts` decides), replies and the numbers of senders are forgotten when nobody may ask for them any
 * more. Each node has one and looks every few seconds; a lock in the database lets one of them work at a time. Made by
 * `node-turns.ts`.
 */
import type { Logger } from 'pino';
import { errorOf } from '../../lib/failures';
import { run, type Database, type Statement } from '../../lib/database';
import { sleep } from '../../lib/sleep';
import { isPassing } from '../../lib/sqlstate';
import type { MemberLimits } from '../member/constants';
import { tableStep } from '../member/rotation';
import { purgeLives } from '../store/ended-lives';
import { mailTables, stepTables } from '../store/mail-tables';
import { purgeStrikes } from '../store/strikes';

/** Steps of one look: each table is emptied once, and one is turned to. */
const STEPS = 4;
/** Pages of what is forgotten in one look. */
const PAGES = 20;
/**
 * All others wait behind one who waits for a table's lock, so it is asked for only where each transaction that has the
 * table now is a short one.
 */
const LIMITS = { lockTimeoutMs: 100, statementTimeoutMs: 4_000 };
/** Any number that nothing else uses: its lock ends with the transaction. */
const ALONE: Statement = { name: 'mail-housekeeping', text: `select pg_try_advisory_xact_lock(7215438201) as alone` };

/** The transactions that have a table, whatever they do with it. */
const HOLDERS: Statement = {
  name: 'mail-table-holders',
  text: `select distinct l.virtualtransaction as held_by from pg_catalog.pg_locks l
         where l.locktype = 'relation' and l.granted and l.relation = $1::text::regclass
           and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())`,
};
/** One that has it for so long is not a short one. Milliseconds. */
const SHORT_MS = 50;

export class Housekeeping {
  /** Tables that somebody had locked at the last look. */
  private busy = new Set<number>();
  private working: Promise<void> | undefined;

  constructor(
    private readonly database: Database,
    private readonly log: Logger,
    private readonly limits: MemberLimits,
  ) {}

  /** Looks now, unless a look is under way. Never rejects. */
  look(): Promise<void> {
    this.working ??= this.lookOnce()
      .catch((thrown: unknown) => {
        const error = errorOf(thrown);
        if (isPassing(error)) this.log.debug({ err: error }, 'the mail tables are seen to later');
        else this.log.error({ err: error }, 'the mail tables cannot be seen to; they grow');
      })
      .finally(() => (this.working = undefined));
    return this.working;
  }

  private async lookOnce(): Promise<void> {
    const busy = new Set<number>();
    for (let steps = 0; steps < STEPS; steps++) {
      const tables = await mailTables(this.database.single, this.limits);
      const step = tableStep(tables, tables.now, this.limits, new Set([...busy, ...this.busy]));
      if (!step) break;
      if (step.do !== 'turn' && (await this.isHeld(step.table))) {
        busy.add(step.table);
        continue;
      }
      try {
        if (!(await this.carryOut(step))) break;
      } catch (thrown) {
        if (step.do === 'turn' || !isPassing(thrown)) throw thrown;
        busy.add(step.table);
      }
    }
    this.busy = busy;
    for (let page = 0; page < PAGES; page++) {
      if (!(await this.database.transaction((db) => purgeLives(db, this.limits), LIMITS))) break;
    }
    await purgeStrikes(this.database.single);
  }

  /** Whether some transaction keeps the table: somebody has left it open, or takes long. */
  private async isHeld(table: number): Promise<boolean> {
    const holders = async () => {
      const rows = await this.database.rows<{ held_by: string }>(HOLDERS, [`longwatch.mail_${table}`]);
      return rows.map(({ held_by: by }) => by);
    };
    const before = new Set(await holders());
    if (before.size === 0) return false;
    await sleep(SHORT_MS, { ref: false });
    return (await holders()).some((one) => before.has(one));
  }

  /** @returns false: another node is at it */
  private carryOut(step: NonNullable<ReturnType<typeof tableStep>>): Promise<boolean> {
    return this.database.transaction(async (db) => {
      const [row] = await run<{ alone: boolean }>(db, ALONE);
      if (row!.alone) await stepTables(db, step);
      return row!.alone;
    }, LIMITS);
  }
}
