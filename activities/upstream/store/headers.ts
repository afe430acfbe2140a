/**
 * Headers that keys are made of, as rows of `longwatch.budget_header`: written by the node that learned one, read by
 * those that start or ask. Called by `budget/node/learned.ts`.
 */
import { run, type Queryable, type Statement } from '../../lib/database';
import type { LearnedHeader } from '../budget/node/book';

/** A config has tens; an upstream that names a group for each request is not followed further than this. */
const MOST = 5_000;

const READ: Statement = {
  name: 'budget-header-read',
  text: `select upstream, kind, header, value from longwatch.budget_header
         where upstream = any($1::text[]) order by told_at desc limit ${MOST}`,
};

const WRITE: Statement = {
  name: 'budget-header-write',
  text: `insert into longwatch.budget_header as h (upstream, kind, header, value)
         select upstream, kind, header, value
         from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as r (upstream, kind, header, value)
         order by upstream, kind, header
         on conflict (upstream, kind, header) do update set value = excluded.value, told_at = now()
         where h.value is distinct from excluded.value`,
};

/** A month without an answer of that kind: it is asked anew where it comes back. */
const FORGET: Statement = {
  name: 'budget-header-forget',
  text: `delete from longwatch.budget_header where told_at < now() - interval '30 days'`,
};

export function readHeaders(db: Queryable, upstreams: readonly string[]): Promise<LearnedHeader[]> {
  return run<LearnedHeader & Record<string, unknown>>(db, READ, [upstreams]);
}

/** @param headers no one twice */
export async function writeHeaders(db: Queryable, headers: readonly LearnedHeader[]): Promise<void> {
  const column = <K extends keyof LearnedHeader>(name: K): LearnedHeader[K][] => headers.map((one) => one[name]);
  await run(db, WRITE, [column('upstream'), column('kind'), column('header'), column('value')]);
}

export async function forgetHeaders(db: Queryable): Promise<void> {
  await run(db, FORGET);
}
