/** Part of `roster.test.ts`: a shift keeps exactly the members of its pool, whatever is split meanwhile. */
import fc from 'fast-check';
import { pino } from 'pino';
import { takeFence } from '../../../activities/tracker/store/fence';
import { Writer, type WriterHost } from '../../../activities/tracker/shift/writer';
import { changedMembers, freshnessOf, membersOf } from '../../../activities/tracker/store/members';
import { readSlots } from '../../../activities/tracker/store/pools';
import type { TrackerRow } from '../../../activities/tracker/store/trackers';
import { holds, slotOf, slotsOf } from '../../../workflows/tracker/slots';
import { wrongCounts } from '../../support/roster';
import { shiftOf, type Kit } from '../shift-kit';
import { hashId } from '../../../workflows/lib/hash';
import { look, stack, database, change, names, apply, grow, listed, layout } from './database';

describe('a shift', () => {
  /** Keeps a pool as `keep.ts` and the flush do, under a clock that stands. */
  async function keeping(pool: number): Promise<{ kit: Kit; flush: () => Promise<void>; loads: () => number }> {
    const claim = { tracker: 't', pool, runId: 'run', shift: 1, attempt: 1, node: 'n' };
    const fence = await takeFence(database, claim, () => Promise.resolve(true));
    const kit = shiftOf(look, { pool, token: fence.token });
    kit.shift.rosterVersion = fence.rosterVersion;
    let loads = 0;
    const loadAll = kit.shift.loadAll.bind(kit.shift);
    kit.shift.loadAll = (rows, freshness) => {
      loads++;
      loadAll(rows, freshness);
    };
    await database.transaction(async (db) => {
      const rows = await membersOf(db, 't', await readSlots(db, 't', pool));
      kit.shift.loadAll(
        rows,
        await freshnessOf(
          db,
          rows.map(({ key }) => key),
        ),
      );
    });
    const host: WriterHost = {
      shifts: new Set([kit.shift]),
      trackers: new Map<string, TrackerRow>(),
      clock: kit.host.clock,
      log: pino({ level: 'silent' }),
      onError: () => undefined,
      flushed: (outcome) => {
        if ('error' in outcome) throw outcome.error;
      },
      fenced: (shift) => shift.end('fenced'),
    };
    const writer = new Writer(database, host);
    const flush = async (): Promise<void> => {
      kit.shift.hinted = true;
      await writer.flush();
    };
    closing.push(() => writer.stop());
    return { kit, flush, loads: () => loads };
  }
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });
  const idsOf = (kit: Kit): string[] => {
    const ids: string[] = [];
    kit.shift.members.forEach((slot) => ids.push(kit.shift.members.id(slot)));
    return ids.sort();
  };

  test('of a pool that was split drops those who left, and loads nobody anew; what it has of them is not written', async () => {
    await apply(change(names(0, 60)));
    const { kit, flush, loads } = await keeping(0);
    expect(kit.shift.members.size).toBe(60);
    await kit.pass(20);
    await grow(40);
    await flush();
    expect(idsOf(kit)).toEqual(await listed(0));
    expect(kit.shift.members.size).toBeLessThan(60);
    expect(loads()).toBe(1);
    const written = await stack.sql<{ id: string }>(
      `select m.id from longwatch.value v join longwatch.member m on m.key = v.member order by m.id`,
    );
    expect(written.map(({ id }) => id).every((id) => idsOf(kit).includes(id))).toBe(true);
  });

  test('of a number that was no pool when it began loads what a split gives it', async () => {
    await apply(change(names(0, 60)));
    const { kit, flush } = await keeping(3);
    expect(kit.shift.members.size).toBe(0);
    await grow(40);
    await flush();
    expect(kit.shift.members.size).toBeGreaterThan(5);
    expect(idsOf(kit)).toEqual(await listed(3));
  });

  test('that begins in a new pool finds nobody to be changed since', async () => {
    for (let i = 0; i < 5; i++) await apply(change(names(10 * i, 10 * i + 10)));
    await grow(20);
    const fence = await takeFence(
      database,
      { tracker: 't', pool: 1, runId: 'run', shift: 1, attempt: 1, node: 'n' },
      () => Promise.resolve(true),
    );
    const since = await database.transaction(async (db) =>
      changedMembers(db, 't', await readSlots(db, 't', 1), fence.rosterVersion),
    );
    expect(since).toEqual([]);
  });

  test('over random lives of a roster keeps exactly the members of its pool after each flush', async () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constant('add' as const), ids: fc.array(fc.nat(80), { maxLength: 30 }) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant('remove' as const), ids: fc.array(fc.nat(80), { maxLength: 20 }) }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('split' as const) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('flush' as const), pool: fc.nat(3) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        await stack.sql(`delete from longwatch.member`);
        await stack.sql(`delete from longwatch.pool`);
        await stack.sql(`update longwatch.tracker set pools = 1`);
        const model = new Set<string>();
        const shifts = await Promise.all([0, 1, 2, 3].map((pool) => keeping(pool)));
        for (const one of steps) {
          if (one.do === 'split') {
            await grow((await layout()) * 10 + 1);
          } else if (one.do === 'flush') {
            await shifts[one.pool]!.flush();
          } else {
            const ids = [...new Set(one.ids)].map((n) => `id-${n}`);
            await apply(change(ids, one.do));
            for (const id of ids) if (one.do === 'add') model.add(id);
            for (const id of ids) if (one.do === 'remove') model.delete(id);
          }
          expect(await wrongCounts(stack)).toEqual([]);
        }
        const pools = await layout();
        for (const [pool, { kit, flush }] of shifts.entries()) {
          await flush();
          const expected = [...model].filter((id) => holds(slotsOf(pool, pools), slotOf(hashId(id))));
          expect(idsOf(kit)).toEqual(expected.sort());
        }
      }),
      { numRuns: 25 },
    );
  });
});
