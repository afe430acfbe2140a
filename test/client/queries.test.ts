/** The client's statements, on the real PostgreSQL: that they read no more than they must, also where its statistics are old. */
import { COUNT_APPLIED } from '../../client/queries';
import { Stack } from '../support/stack';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack.close());

/** A node of `explain (analyze, format json)`; rows are those of one loop. */
interface Plan {
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Join Filter'?: number;
  Plans?: Plan[];
}

/** The most rows that any node of the plan has touched. */
function rowsTouched(plan: Plan): number {
  const removed = (plan['Rows Removed by Filter'] ?? 0) + (plan['Rows Removed by Join Filter'] ?? 0);
  const here = (plan['Actual Rows'] + removed) * plan['Actual Loops'];
  return Math.max(here, ...(plan.Plans ?? []).map(rowsTouched));
}

const IDS = 1_000;

describe('how many of 1,000 ids are applied is found without reading the other 19,000 members', () => {
  beforeAll(async () => {
    await stack.sql(`alter table longwatch.member set (autovacuum_enabled = false)`);
    await stack.sql(`insert into longwatch.tracker (name, options) values ('t', '{}')`);
  });
  const members = (from: number, to: number) =>
    stack.sql(
      `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
       select 't', 'm' || i, i, i, 1 from generate_series($1::int, $2::int) i`,
      [from, to],
    );
  const look = async (): Promise<number> => {
    const ids = Array.from({ length: IDS }, (_, i) => `m${i + 10_000}`);
    const explain = `explain (analyze, format json) ${COUNT_APPLIED.text}`;
    const [row] = await stack.sql<{ 'QUERY PLAN': { Plan: Plan }[] }>(explain, ['t', ids, 10_000]);
    const [found] = await stack.sql<{ applied: number }>(COUNT_APPLIED.text, ['t', ids, 10_000 + IDS / 2]);
    expect(found).toEqual({ applied: IDS / 2 });
    return rowsTouched(row!['QUERY PLAN'][0]!.Plan);
  };

  test('where there are no statistics yet', async () => {
    await members(1, 20_000);
    expect(await look()).toBeLessThanOrEqual(IDS);
  });

  test('where they are of a hundred members', async () => {
    await stack.sql(`truncate longwatch.member cascade`);
    await members(1, 100);
    await stack.sql(`vacuum analyze longwatch.member`);
    await members(101, 20_000);
    expect(await look()).toBeLessThanOrEqual(IDS);
  });
});
