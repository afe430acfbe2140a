/**
 * How much a question to the library makes PostgreSQL read: the rows that the largest part of any of its statements
 * goes through, as EXPLAIN tells it. For tests that hold a list's page to its bound, whatever the size of the table.
 */
import type { Statement } from '../../activities/lib/database';

interface Plan {
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: Plan[];
}

interface Asking {
  read(statement: Statement, values?: unknown[]): Promise<unknown[]>;
  rows(statement: Statement, values?: unknown[]): Promise<unknown[]>;
}

type Sql = (text: string, values?: unknown[]) => Promise<Record<string, unknown>[]>;

/** The plan tells averages a loop, rounded up. */
const rowsOf = (plan: Plan): number =>
  Math.max(
    (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops'],
    ...(plan.Plans ?? []).map(rowsOf),
  );

/** @param of a `Longwatch` or one of its handles: its statements are asked a second time, with their plans */
export async function rowsReadBy(sql: Sql, of: object, call: () => Promise<unknown>): Promise<number> {
  const asked: [string, unknown[]][] = [];
  const { connections } = of as { connections: Asking };
  const spies = (['read', 'rows'] as const).map((way) =>
    jest.spyOn(connections, way).mockImplementation((statement, values = []) => {
      asked.push([statement.text, values]);
      return sql(statement.text, values);
    }),
  );
  try {
    await call();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  expect(asked.length).toBeGreaterThan(0);
  const most = await Promise.all(
    asked.map(async ([text, values]) => {
      const [row] = await sql(`explain (analyze, format json) ${text}`, values);
      return rowsOf((row!['QUERY PLAN'] as [{ Plan: Plan }])[0].Plan);
    }),
  );
  return Math.max(...most);
}
