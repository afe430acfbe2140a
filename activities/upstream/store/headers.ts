/**
 * Headers that keys are made of, as rows of `longwatch.budget_header`: written by the node that learned one, read by
 * those that start or ask. Called by `budget/node/learned.ts`.
 */
import { run, type Queryable, type Statement } from '../../lib/database';
import type { LearnedHeader } from '../budget/node/book';
import type { Question } from '../budget/node/first-asks';

/** A config has tens; an upstream that names a group for each request is not followed further than this. */
const MOST = 5_000;

/** First what is known of code as such, which holds for kinds of path that are not read. */
const READ: Statement = {
  name: 'budget-header-read',
  text: `select upstream, kind, header, value from longwatch.budget_header
         where upstream = any($1::text[]) and header <> '' order by kind like '% /%', told_at desc limit ${MOST}`,
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

/**
 * A claim to ask first is a header without a name. Once it is old, another node may have it; so if it is of a time that
 * is yet to come, for then the database's clock was set back, and whoever made it may be gone.
 */
const CLAIM: Statement = {
  name: 'budget-header-claim',
  text: `insert into longwatch.budget_header as h (upstream, kind, header, value)
         select upstream, kind, '', $3 from unnest($1::text[], $2::text[]) as r (upstream, kind)
         order by upstream, kind
         on conflict (upstream, kind, header) do update set value = excluded.value, told_at = now()
         where h.value = excluded.value
            or h.told_at not between now() - make_interval(secs => $4) and now() + make_interval(secs => $4)
         returning upstream, kind`,
};

const UNCLAIM: Statement = {
  name: 'budget-header-unclaim',
  text: `delete from longwatch.budget_header where upstream = any($1::text[]) and header = '' and value = $2`,
};

/** A month after it was told last, which is when it changed: nodes that know it go on with it, a new one asks anew. */
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

/** @param questions no one twice @returns those that are this node's to ask for so many seconds */
export function claimQuestions(
  db: Queryable,
  questions: readonly Question[],
  node: string,
  seconds: number,
): Promise<Question[]> {
  const [upstreams, kinds] = [questions.map(({ upstream }) => upstream), questions.map(({ kind }) => kind)];
  return run<Question & Record<string, unknown>>(db, CLAIM, [upstreams, kinds, node, seconds]);
}

/** The node ends: others need not wait for what it was about to ask. */
export async function unclaimQuestions(db: Queryable, upstreams: readonly string[], node: string): Promise<void> {
  await run(db, UNCLAIM, [upstreams, node]);
}
