/**
 * The client's statements, on the real PostgreSQL: that they read no more than they must, also where its statistics are
 * old.
 */
import {
  COUNT_APPLIED,
  COUNT_MEMBERS,
  POOLS,
  STATUS_MAY_BE_STALE,
  STATUS_STALE,
  STATUS_TRACKERS,
} from '../../client/tracker/queries';
import { countStale, sampleOf } from '../../client/tracker/stale';
import type { Connections } from '../../client/connections';
import { writeNode } from '../support/node-rows';
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

describe('status of a large tracker', () => {
  const MEMBERS = 40_000;
  const POOLS_OF = 25;
  const OPERATIONS = ['look', 'check'].map((name) => ({ name, everyMs: 1_000 }));
  const LARGE = { name: 'large', pools: POOLS_OF, members: MEMBERS };
  const connections = {
    read: (statement: { text: string }, values: unknown[]) => stack.sql(statement.text, values),
  } as unknown as Connections;
  const whole = async () => (await countStale(connections, LARGE, OPERATIONS, MEMBERS)).stale;

  beforeAll(async () => {
    await stack.sql(`delete from longwatch.tracker`);
    await stack.sql(`insert into longwatch.tracker (name, options, pools) values ('large', '{}', $1)`, [POOLS_OF]);
    await stack.sql(
      `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
       select 'large', 'm' || i, ('x' || substr(md5(i::text), 1, 8))::bit(32)::bigint, i, 1 from generate_series(1, $1::int) i`,
      [MEMBERS],
    );
    await stack.sql(
      `insert into longwatch.pool (tracker, pool, members)
       select 'large', longwatch.pool_of(hash, $1::int), count(*) from longwatch.member group by 2`,
      [POOLS_OF],
    );
    await stack.sql(
      `insert into longwatch.value (member, operation, value, fetched_at)
       select m.key, o, '1', now() from longwatch.member m, unnest($1::text[]) o`,
      [OPERATIONS.map(({ name }) => name)],
    );
    await stack.sql('analyze longwatch.member, longwatch.value');
  });
  beforeEach(() => stack.sql(`update longwatch.value set fetched_at = now() + interval '1 minute'`));

  test('the number of members is read of the pools, and no member for it', async () => {
    const touched = async (text: string, values: unknown[]) => {
      const [row] = await stack.sql<{ 'QUERY PLAN': { Plan: Plan }[] }>(
        `explain (analyze, format json) ${text}`,
        values,
      );
      return rowsTouched(row!['QUERY PLAN'][0]!.Plan);
    };
    expect(await touched(COUNT_MEMBERS.text, ['large'])).toBeLessThanOrEqual(100);
    expect(await touched(STATUS_TRACKERS.text, [null])).toBeLessThanOrEqual(100);
    expect(await touched(POOLS.text, ['large'])).toBeLessThanOrEqual(100);
    expect(await stack.sql(COUNT_MEMBERS.text, ['large'])).toEqual([{ members: MEMBERS }]);
  });

  test('some members of each pool are looked at, and the values of no other are read', async () => {
    await stack.sql(`update longwatch.value set fetched_at = now() - interval '1 hour'`);
    const { pools, first, last } = sampleOf(POOLS_OF, MEMBERS, 1_000);
    const [row] = await stack.sql<{ 'QUERY PLAN': { Plan: Plan }[] }>(
      `explain (analyze, format json) ${STATUS_STALE.text}`,
      ['large', ['look', 'check'], [1_000, 1_000], pools, first, last],
    );
    expect(rowsTouched(row!['QUERY PLAN'][0]!.Plan)).toBeLessThan(3_000);
  });

  test('where all are looked at the figures are exact', async () => {
    await stack.sql(
      `update longwatch.value set fetched_at = now() - interval '1 hour'
       where operation = 'check' and member in (select key from longwatch.member order by id limit 123)`,
    );
    expect(await whole()).toEqual(new Map([['check', 123]]));
    expect((await countStale(connections, LARGE, OPERATIONS, MEMBERS)).exact).toBe(true);
  });

  test.each([
    ['three of ten of all', `m.key % 10 < 3`],
    ['one pool, and no other', `longwatch.pool_of(m.hash, ${POOLS_OF}) = 24`],
  ])('an estimate from a tenth is near: %s are stale', async (_which, condition) => {
    await stack.sql(
      `update longwatch.value v set fetched_at = now() - interval '1 hour'
       from longwatch.member m where m.key = v.member and v.operation = 'look' and ${condition}`,
    );
    const truth = (await whole()).get('look')!;
    const { stale, exact } = await countStale(connections, LARGE, OPERATIONS, MEMBERS / 10);
    expect(exact).toBe(false);
    expect(Math.abs(stale.get('look')! - truth)).toBeLessThan(truth * 0.15);
    expect(stale.has('check')).toBe(false);
  });

  test('what was never fetched is as old as its member, in an estimate too', async () => {
    await stack.sql(`delete from longwatch.value where operation = 'check'`);
    await stack.sql(`update longwatch.member set added_at = now() - interval '1 hour'`);
    const { stale } = await countStale(connections, LARGE, OPERATIONS, MEMBERS / 10);
    expect(stale).toEqual(new Map([['check', MEMBERS]]));
  });

  describe('where the pools’ keepers tell how old the values are', () => {
    const LIMIT = MEMBERS / 10;
    /** Members that each look at values went through. */
    const looked: number[] = [];
    const counting = {
      read: async (statement: { text: string }, values: unknown[]) => {
        if (statement === STATUS_STALE) {
          const [row] = await stack.sql<{ n: number }>(
            `select count(*)::int as n from longwatch.member m, unnest($1::bigint[], $2::bigint[]) as r (first, last)
             where m.tracker = 'large' and m.slot between r.first and r.last`,
            values.slice(4),
          );
          looked.push(row!.n);
        }
        return stack.sql(statement.text, values);
      },
    } as unknown as Connections;
    const old = (which: string) =>
      stack.sql(
        `update longwatch.value v set fetched_at = now() - interval '1 hour'
         from longwatch.member m where m.key = v.member and v.operation = 'look' and ${which}`,
      );
    const estimate = async () => (await countStale(counting, LARGE, OPERATIONS, LIMIT)).stale;
    const suspects = async (everyMs = 1_000) =>
      (await stack.sql<{ pool: number }>(STATUS_MAY_BE_STALE.text, ['large', ['look', 'check'], [everyMs, everyMs]]))
        .map(({ pool }) => pool)
        .sort((a, b) => a - b);
    const inPool = (pool: number) => `longwatch.pool_of(m.hash, ${POOLS_OF}) = ${pool}`;

    beforeAll(() =>
      stack.sql(
        `insert into longwatch.value (member, operation, value, fetched_at)
         select m.key, 'check', '1', now() from longwatch.member m on conflict do nothing`,
      ),
    );
    beforeEach(async () => {
      looked.length = 0;
      await stack.sql('truncate longwatch.pool_age');
      await stack.sql('delete from longwatch.node');
      await stack.sql(`update longwatch.pool set node = 'a', taken_at = now() - interval '1 minute', released_at = null,
                       quarantined_at = null`);
      // One pool is kept by another node.
      await stack.sql(`update longwatch.pool set node = 'b' where pool = 3`);
      for (const name of ['a', 'b']) await writeNode((text, values) => stack.sql(text, values), { name });
      await stack.sql(
        `insert into longwatch.pool_age (tracker, pool, operation, members, never, p50_ms, p95_ms, max_ms, buckets, oldest, told_at)
         select tracker, pool, o, members, 0, 400, 900, 1000, '{}', '[]', now() - interval '5 s' from longwatch.pool, unnest($1::text[]) o`,
        [OPERATIONS.map(({ name }) => name)],
      );
    });

    test('all young: a few members are looked at', async () => {
      expect(await suspects()).toEqual([]);
      expect(await estimate()).toEqual(new Map());
      expect(looked).toHaveLength(1);
      expect(looked[0]).toBeLessThan(1.3 * (LIMIT / 10));
    });

    test('a pool with old ones is looked at whole', async () => {
      await old(`${inPool(7)} and m.key % 3 = 0`);
      await stack.sql(`update longwatch.pool_age set max_ms = 3600000 where pool = 7 and operation = 'look'`);
      const truth = await whole();
      expect(truth.get('look')).toBeGreaterThan(300);
      expect(await estimate()).toEqual(truth);
    });

    test('values that a keeper has and the store has not are old', async () => {
      await old('m.key % 10 < 3');
      const truth = (await whole()).get('look')!;
      expect(await suspects()).toEqual([]);
      expect(Math.abs((await estimate()).get('look')! - truth)).toBeLessThan(truth * 0.15);
      expect(looked.at(-1)).toBeGreaterThan(0.8 * LIMIT);
    });

    test.each([
      ['its node is gone', true, `update longwatch.node set seen_at = now() - interval '10 seconds' where name = 'b'`],
      ['its node has ended', true, `update longwatch.node set ended_at = now() where name = 'b'`],
      ['nobody keeps it', true, 'update longwatch.pool set released_at = now() where pool = 3'],
      ['it is in quarantine', true, 'update longwatch.pool set quarantined_at = now() where pool = 3'],
      [
        'another one keeps it since',
        true,
        `update longwatch.pool set taken_at = now() + interval '1 s' where pool = 3`,
      ],
      ['told long ago', true, `update longwatch.pool_age set told_at = now() - interval '20 seconds' where pool = 3`],
      ['it has more members by now', false, 'update longwatch.pool set members = members + 1 where pool = 3'],
      ['values too old', false, `update longwatch.pool_age set max_ms = 30001 where pool = 3 and operation = 'check'`],
      ['an operation without a word', false, `delete from longwatch.pool_age where pool = 3 and operation = 'check'`],
    ])('a pool is not trusted: %s', async (_why, isYoung, change) => {
      await stack.sql(change);
      try {
        expect(await suspects()).toEqual([3]);
        // At an interval so long all that was told is still young, whoever keeps the pool.
        expect(await suspects(10_000)).toEqual(isYoung ? [] : [3]);
      } finally {
        await stack.sql(
          `update longwatch.pool p set members = a.members from longwatch.pool_age a where a.pool = p.pool`,
        );
      }
    });
  });
});
