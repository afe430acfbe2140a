/**
 * The statements of the three tables that are filled with mail in turn: `member/rotation.ts` decides, this carries out.
 * Called by `turns/housekeeping.ts`.
 */
import { run, type Queryable, type Statement } from '../../lib/database';
import { ms } from '../../lib/sql';
import { MEMBER, type MemberLimits } from '../member/constants';
import type { MailTables, TableStep } from '../member/rotation';

const TABLES: Statement = {
  name: 'mail-tables',
  text: `select current::int as current, ${ms('since')} as since, clean, ${ms('clock_timestamp()')} as now,
                array(select (select count(*)::int from (select 1 from longwatch.mail m where m.place = p limit $1) r)
                      from generate_series(0, 2) p order by p) as rows
         from longwatch.mail_turn`,
};
const TURN: Statement = {
  name: 'mail-turn',
  text: `update longwatch.mail_turn set current = $1, since = clock_timestamp() where clean[$1 + 1]`,
};
const CARRY: Statement = {
  name: 'mail-carry',
  text: `with carried as (
           update longwatch.mail m set place = w.current from longwatch.mail_turn w where m.place = $1 and w.current <> $1 returning 1
         )
         update longwatch.mail_turn w set clean[w.current + 1] = false where w.clean[w.current + 1] and exists (select 1 from carried)`,
};
const EMPTY: Statement = { name: 'mail-empty', text: `select longwatch.empty_mail($1) as emptied` };

/** The tables as `tableStep` asks for them, and the time that it is. */
export async function mailTables(db: Queryable, limits: MemberLimits = MEMBER): Promise<MailTables & { now: number }> {
  type Found = { current: number; since: number; clean: boolean[]; now: number; rows: number[] };
  const [row] = await run<Found>(db, TABLES, [limits.carryRows + 1]);
  const { current, since, now, rows, clean } = row!;
  return { current, since, now, tables: rows.map((count, at) => ({ rows: count, isClean: clean[at]! })) };
}

/**
 * Carries a step out, in a transaction of its own with a short `lock_timeout`. Nobody writes to a table that is
 * locked, and what was written before is seen: so none of it is lost. @returns false: the table has rows by now
 */
export async function stepTables(db: Queryable, step: NonNullable<TableStep>): Promise<boolean> {
  if (step.do === 'turn') {
    await run(db, TURN, [step.to]);
    return true;
  }
  if (step.do === 'carry') {
    await db.query({ text: `lock table longwatch.mail_${step.table} in access exclusive mode`, values: [] });
    await run(db, CARRY, [step.table]);
    return true;
  }
  const [row] = await run<{ emptied: boolean }>(db, EMPTY, [step.table]);
  return row!.emptied;
}
