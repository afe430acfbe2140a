/**
 * Limits that a person closed for all of their keys, as rows of `longwatch.budget_closing`. Written by `budget close`
 * and `budget open`; read with each row of the ledger (`budget.ts` beside this file) and by every node each second
 * (`upstreams.ts`), for keys that have no row yet and for members' own buckets.
 */
import { run, type Queryable, type Statement } from '../../lib/database';

export interface LimitName {
  upstream: string;
  limit: string;
}

export interface LimitClosing extends LimitName {
  /** Seconds from now; 0: it is open. */
  closedFor: number;
  closedUntil: Date;
  reason: string | null;
  /** Rises with each closing and opening of a limit. */
  serial: number;
}

const COLUMNS = `upstream, limit_name as "limit", closed_until as "closedUntil", reason, serial::float8 as serial,
  greatest(0, extract(epoch from closed_until - clock_timestamp()))::float8 as "closedFor"`;

/**
 * A person's word, for so many seconds; an opening is one for none. The row stays: its serial says what is newer. It
 * goes by the time, for nodes remember the last one that they heard, and the row may be lost (a fail-over, a backup
 * that was restored): one that began to count anew would not be heard.
 */
const SAY: Statement = {
  name: 'budget-limit-say',
  text: `insert into longwatch.budget_closing as c (upstream, limit_name, closed_until, reason, serial)
         values ($1, $2, clock_timestamp() + make_interval(secs => $3), $4,
                 (extract(epoch from clock_timestamp()) * 1000)::bigint)
         on conflict (upstream, limit_name) do update
         set closed_until = excluded.closed_until, reason = excluded.reason,
             serial = greatest(c.serial + 1, excluded.serial)
         returning ${COLUMNS}`,
};

const CLOSED: Statement = {
  name: 'budget-limit-closed',
  text: `select ${COLUMNS} from longwatch.budget_closing
         where closed_until > clock_timestamp() and ($1::text is null or upstream = $1) and ($2::text is null or limit_name = $2)
         order by upstream, limit_name`,
};

type Row = LimitClosing & Record<string, unknown>;

export async function closeLimit(
  db: Queryable,
  { upstream, limit }: LimitName,
  seconds: number,
  reason: string,
): Promise<LimitClosing> {
  return (await run<Row>(db, SAY, [upstream, limit, seconds, reason]))[0]!;
}

/** Also where the row says that it is open: nodes may know of a closing that was lost, or that a clock has skipped. */
export async function openLimit(db: Queryable, { upstream, limit }: LimitName): Promise<LimitClosing> {
  return (await run<Row>(db, SAY, [upstream, limit, 0, null]))[0]!;
}

/** The limits that are closed now; names that are left out match all. */
export function closedLimits(db: Queryable, { upstream, limit }: Partial<LimitName> = {}): Promise<LimitClosing[]> {
  return run<Row>(db, CLOSED, [upstream ?? null, limit ?? null]);
}
