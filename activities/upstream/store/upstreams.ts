/**
 * The rows of upstreams: what a config says of them, and what was set by hand while it ran. Written by a worker when it
 * starts and by `config --set` (`client/upstreams.ts`), read by every node each second (`spend/settings.ts`).
 */
import { run, type Queryable, type Statement } from '../../lib/database';
import type { OptionChange } from '../../../workflows/lib/options';
import type { UpstreamOptionValues } from '../../../workflows/upstream/options';

export interface UpstreamRow {
  name: string;
  options: UpstreamOptionValues;
  sources: Record<string, 'default' | 'defaults' | 'definition'>;
  changes: Record<string, OptionChange['value']>;
}

/** The words of persons for a node, each second: options that were set, and limits that were closed or opened whole. */
export interface UpstreamWords extends Pick<UpstreamRow, 'name' | 'changes'> {
  closings: { limit: string; closedFor: number; serial: number }[];
}

const DECLARE: Statement = {
  name: 'upstream-declare',
  text: `insert into longwatch.upstream as u (name, options, sources)
         select r.name, r.options, r.sources from unnest($1::text[], $2::jsonb[], $3::jsonb[]) as r (name, options, sources)
         order by r.name
         on conflict (name) do update set options = excluded.options, sources = excluded.sources, declared_at = now()
         where u.options is distinct from excluded.options or u.sources is distinct from excluded.sources`,
};
const CHANGES: Statement = {
  name: 'upstream-changes',
  text: `select u.name, u.changes, coalesce((
           select json_agg(json_build_object('limit', c.limit_name, 'serial', c.serial, 'closedFor',
                    greatest(0, extract(epoch from c.closed_until - clock_timestamp()))))
           from longwatch.budget_closing c where c.upstream = u.name), '[]') as closings
         from longwatch.upstream u where u.name = any($1::text[])`,
};
const READ: Statement = {
  name: 'upstream-read',
  text: `select name, options, sources, changes from longwatch.upstream order by name`,
};
const LOCK: Statement = {
  name: 'upstream-lock',
  text: `select name, options, sources, changes from longwatch.upstream where name = $1 for update`,
};
const SET: Statement = {
  name: 'upstream-set',
  text: `update longwatch.upstream set changes = $2, changed_at = now() where name = $1`,
};

export async function declareUpstreams(db: Queryable, rows: readonly Omit<UpstreamRow, 'changes'>[]): Promise<void> {
  if (rows.length === 0) return;
  await run(db, DECLARE, [
    rows.map(({ name }) => name),
    rows.map(({ options }) => JSON.stringify(options)),
    rows.map(({ sources }) => JSON.stringify(sources)),
  ]);
}

export function readUpstreamWords(db: Queryable, names: readonly string[]): Promise<UpstreamWords[]> {
  return run<UpstreamWords & Record<string, unknown>>(db, CHANGES, [[...names]]);
}

export function readUpstreams(db: Queryable): Promise<UpstreamRow[]> {
  return run<UpstreamRow>(db, READ);
}

/** Undefined: no worker has it in its config. */
export async function lockUpstream(db: Queryable, name: string): Promise<UpstreamRow | undefined> {
  return (await run<UpstreamRow>(db, LOCK, [name]))[0];
}

export async function setUpstreamChanges(db: Queryable, name: string, changes: UpstreamRow['changes']): Promise<void> {
  await run(db, SET, [name, JSON.stringify(changes)]);
}
