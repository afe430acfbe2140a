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
  /** Counts the closings and openings of a limit. */
  serial: number;
}

const COLUMNS = `upstream, limit_name as "limit", closed_until as "closedUntil", reason, serial::float8 as serial,
  greatest(0, extract(epoch from closed_until - clock_timestamp()))::float8 as "closedFor"`;

/** Nobody waits for two closings of one limit at once: the second one counts. */
const CLOSE: Statement = {
  name: 'budget-limit-close',
  text: `insert into longwatch.budget_closing as c (upstream, limit_name, closed_until, reason)
         values ($1, $2, clock_timestamp() + make_interval(secs => $3), $4)
         on conflict (upstream, limit_name) do update
         set closed_until = excluded.closed_until, reason = excluded.reason, serial = c.serial + 1
         returning ${COLUMNS}`,
};

/** The row stays: its serial says what is newer. */
const OPEN: Statement = {
  name: 'budget-limit-open',
  text: `update longwatch.budget_closing set closed_until = clock_timestamp(), reason = null, serial = serial + 1
         where upstream = $1 and limit_name = $2 and closed_until > clock_timestamp()
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
  return (await run<Row>(db, CLOSE, [upstream, limit, seconds, reason]))[0]!;
}

/** Undefined: it was not closed as a whole. */
export async function openLimit(db: Queryable, { upstream, limit }: LimitName): Promise<LimitClosing | undefined> {
  return (await run<Row>(db, OPEN, [upstream, limit]))[0];
}

/** The limits that are closed now; names that are left out match all. */
export function closedLimits(db: Queryable, { upstream, limit }: Partial<LimitName> = {}): Promise<LimitClosing[]> {
  return run<Row>(db, CLOSED, [upstream ?? null, limit ?? null]);
}
