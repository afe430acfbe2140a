/** Shared by the tests of jobs: a table of players, definitions that are started, ticks that are waited for. */
import { resolveConfig, type ConfigDefinition } from '../../exports';
import type { JobHandle } from '../../client/job/handle';
import type { Longwatch } from '../../client/longwatch';
import type { JobOptions } from '../../workflows/job/options';
import type { Stack } from '../support/stack';

/** `rows` players with keys from 1 on, no stamina, in a table of its own. */
export async function makePlayers(stack: Stack, table: string, rows: number, key = 'bigint'): Promise<void> {
  await stack.sql(`create table ${table} (id ${key} primary key, stamina int not null default 0, max_stamina int not null default 100,
    endurance int not null default 10, is_dead boolean not null default false) with (fillfactor = 50)`);
  await stack.sql(`insert into ${table} (id) select i::text::${key} from generate_series(1, ${rows}) i`);
}

export function optionsOf(config: ConfigDefinition, name: string): JobOptions {
  return resolveConfig(config).jobs.find((job) => job.name === name)!.options;
}

export async function startJob(longwatch: Longwatch, config: ConfigDefinition, name: string): Promise<JobHandle> {
  const job = longwatch.job(name);
  await job.start(optionsOf(config, name));
  return job;
}

/** How many rows have which value: `{ 3: 2000 }`. */
export async function valuesOf(stack: Stack, table: string, column = 'stamina'): Promise<Record<string, number>> {
  const rows = await stack.sql<{ value: string; n: number }>(
    `select ${column}::text as value, count(*)::int as n from ${table} group by 1 order by 1`,
  );
  return Object.fromEntries(rows.map((row) => [row.value, row.n]));
}
