/**
 * Members that wait for a bucket of their upstream that has nothing, as their node tells it (`shift/waits.ts`): for
 * `status` and `show` (`client/tracker/waits.ts`). Nothing is decided by them.
 */
import { run, type Queryable, type Statement } from '../../lib/database';

export interface WaitRow {
  /** Key of the member's row. */
  member: number;
  operation: string;
  tracker: string;
  upstream: string;
  limit: string;
  key: string;
  /** Epoch milliseconds of the database. */
  since: number;
  /** When it is worth asking again; null: when the bucket has something. */
  until: number | null;
  closed: boolean;
}

/** A member that another shift has by now is that one's to tell of. */
const WRITE: Statement = {
  name: 'wait-write',
  text: `insert into longwatch.budget_wait as w
           (member, operation, tracker, node, upstream, limit_name, key, since, until, closed)
         select r.member, r.operation, r.tracker, $1, r.upstream, r.limit_name, r.key, to_timestamp(r.since / 1000),
                to_timestamp(r.until / 1000), r.closed
         from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[],
                     $9::float8[], $10::boolean[])
           as r (member, operation, tracker, upstream, limit_name, key, since, until, closed)
         join longwatch.member m on m.key = r.member
         order by r.member, r.operation
         on conflict (member, operation) do update
         set tracker = excluded.tracker, node = excluded.node, upstream = excluded.upstream,
             limit_name = excluded.limit_name, key = excluded.key, since = excluded.since, until = excluded.until,
             closed = excluded.closed, seen_at = now()`,
};
const FORGET: Statement = {
  name: 'wait-forget',
  text: `delete from longwatch.budget_wait w using unnest($2::bigint[], $3::text[]) as r (member, operation)
         where w.member = r.member and w.operation = r.operation and w.node = $1`,
};
/** Rows that a node of this name has left behind, or one that is not heard of any more. */
const FORGET_OLD: Statement = {
  name: 'wait-forget-old',
  text: `delete from longwatch.budget_wait
         where node = $1 or not exists (
           select from longwatch.node n where n.name = budget_wait.node and n.seen_at > now() - interval '1 hour')`,
};

export async function writeWaits(db: Queryable, node: string, rows: readonly WaitRow[]): Promise<void> {
  if (rows.length === 0) return;
  await run(db, WRITE, [
    node,
    rows.map(({ member }) => member),
    rows.map(({ operation }) => operation),
    rows.map(({ tracker }) => tracker),
    rows.map(({ upstream }) => upstream),
    rows.map(({ limit }) => limit),
    rows.map(({ key }) => key),
    rows.map(({ since }) => since),
    rows.map(({ until }) => until),
    rows.map(({ closed }) => closed),
  ]);
}

export async function forgetWaits(
  db: Queryable,
  node: string,
  rows: readonly Pick<WaitRow, 'member' | 'operation'>[],
): Promise<void> {
  if (rows.length === 0) return;
  await run(db, FORGET, [node, rows.map(({ member }) => member), rows.map(({ operation }) => operation)]);
}

export async function forgetOldWaits(db: Queryable, node: string): Promise<void> {
  await run(db, FORGET_OLD, [node]);
}
