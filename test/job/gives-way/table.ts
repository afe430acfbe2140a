/** Tables whose rows a tick advances, for the parts of `gives-way.test.ts`. The database starts at the import. */
import type { RegenDefinition } from '../../../exports';
import { PassStack } from '../pass-kit';

export const NEVER = '366d';
export const regens = (...all: (Partial<RegenDefinition> & { name: string })[]) => ({
  regens: all.map((one) => ({ every: NEVER, table: one.name, set: { n: 'n + 1' }, ...one })),
});

export let stack: PassStack;
beforeAll(async () => {
  stack = await PassStack.start({ own: true });
});
afterAll(() => stack.close());

export async function make(table: string, rows: number): Promise<void> {
  await stack.sql(`create table ${table} (id int primary key, n int not null default 0) with (fillfactor = 50)`);
  await stack.sql(`insert into ${table} select generate_series(1, ${rows})`);
}
export const sums = async (table: string) =>
  Object.fromEntries(
    (await stack.sql<{ n: number; rows: number }>(`select n, count(*)::int as rows from ${table} group by n`)).map(
      (row) => [row.n, row.rows],
    ),
  );
