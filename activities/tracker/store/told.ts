/**
 * The words that all nodes are told, by upstreams (holds) or by people (`hold open`, `refetch`): rows of
 * `longwatch.hold` and `longwatch.refetch`. Written and read by each node (`shift/told.ts`), and by the client
 * (`client/tracker/told.ts`). Times are epoch milliseconds of the database.
 */
import { run, type Queryable, type Statement } from '../../lib/database';
import { ms } from '../../lib/sql';

/** A hold as the nodes share it. `operation` '' is the whole tracker. */
export interface HoldRow {
  tracker: string;
  operation: string;
  until: number;
  toldAt: number;
  reason: string;
  liftedAt: number | null;
}

/** From which time on values count as fetched; '' stands for all. */
export interface RefetchRow {
  tracker: string;
  operation: string;
  id: string;
  askedAt: number;
}

/** The longest holds; one that was told before it was lifted comes too late. */
const SAVE_HOLDS: Statement = {
  name: 'hold-save',
  text: `insert into longwatch.hold as h (tracker, operation, held_until, told_at, node, reason)
         select r.tracker, r.operation, to_timestamp(r.until / 1000), to_timestamp(r.told / 1000), $6, r.reason
         from unnest($1::text[], $2::text[], $3::float8[], $4::float8[], $5::text[])
           as r (tracker, operation, until, told, reason)
         join longwatch.tracker t on t.name = r.tracker
         where not exists (
           select from longwatch.hold w
           where w.tracker = r.tracker and w.operation = '' and w.lifted_at >= to_timestamp(r.told / 1000))
         order by r.tracker, r.operation
         on conflict (tracker, operation) do update
         set held_until = excluded.held_until, told_at = excluded.told_at, node = excluded.node, reason = excluded.reason
         where excluded.held_until > h.held_until
           and (h.lifted_at is null or excluded.told_at > h.lifted_at)`,
};

const READ_HOLDS: Statement = {
  name: 'hold-read',
  text: `select tracker, operation, reason, ${ms('held_until')} as until, ${ms('told_at')} as "toldAt",
                ${ms('lifted_at')} as "liftedAt"
         from longwatch.hold where held_until > now() or lifted_at is not null`,
};

const READ_REFETCHES: Statement = {
  name: 'refetch-read',
  text: `select tracker, operation, id, ${ms('asked_at')} as "askedAt"
         from longwatch.refetch where asked_at >= to_timestamp($1::float8 / 1000)`,
};

/** A month: whoever has not been asked by then is not kept by anybody. Rows for all ids are few, and stay. */
const FORGET_REFETCHES: Statement = {
  name: 'refetch-forget',
  text: `delete from longwatch.refetch where id <> '' and asked_at < now() - interval '30 days'`,
};

const ASK_ANEW: Statement = {
  name: 'refetch-ask',
  text: `insert into longwatch.refetch (tracker, operation, id, asked_at)
         select $1, o.operation, i.id, clock_timestamp()
         from unnest($2::text[]) as o (operation) cross join unnest($3::text[]) as i (id)
         order by o.operation, i.id
         on conflict (tracker, operation, id) do update set asked_at = excluded.asked_at`,
};

export async function saveHolds(db: Queryable, node: string, holds: readonly HoldRow[]): Promise<void> {
  const column = <K extends keyof HoldRow>(name: K): HoldRow[K][] => holds.map((hold) => hold[name]);
  const values = [column('tracker'), column('operation'), column('until'), column('toldAt'), column('reason'), node];
  await run(db, SAVE_HOLDS, values);
}

export function readHolds(db: Queryable): Promise<HoldRow[]> {
  return run<HoldRow & Record<string, unknown>>(db, READ_HOLDS);
}

/** The rows asked for at `since` or later. */
export function readRefetches(db: Queryable, since: number): Promise<RefetchRow[]> {
  return run<RefetchRow & Record<string, unknown>>(db, READ_REFETCHES, [since]);
}

export async function forgetRefetches(db: Queryable): Promise<void> {
  await run(db, FORGET_REFETCHES);
}

/** @param operations and ids: `['']` for all */
export async function askAnew(
  db: Queryable,
  tracker: string,
  operations: readonly string[],
  ids: readonly string[],
): Promise<void> {
  await run(db, ASK_ANEW, [tracker, operations, ids]);
}
