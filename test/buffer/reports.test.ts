/**
 * The reports of shards: the newest of each is written, those that come meanwhile later, and one that fails is left to
 * the next one.
 */
import { pino } from 'pino';
import { ShardReports } from '../../activities/buffer';
import type { ShardReport } from '../../workflows/buffer/contract';

const report = (shard: number, moment: number) => ({ status: { buffer: 'b', shard }, moment }) as ShardReport;

function kit(fails = 0) {
  const written: (readonly ShardReport[])[] = [];
  const reports = new ShardReports(
    async (all) => {
      if (fails-- > 0) throw new Error('the database is away');
      written.push(all);
    },
    pino({ level: 'silent' }),
  );
  return { reports, written };
}

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

test('the newest of each shard, in one write', async () => {
  const { reports, written } = kit();
  for (const moment of [1, 2, 3]) for (const shard of [0, 1]) reports.note(report(shard, moment));
  expect(written).toEqual([]);
  await jest.advanceTimersByTimeAsync(1_000);
  expect(written).toEqual([[report(0, 3), report(1, 3)]]);
  reports.note(report(1, 4));
  await jest.advanceTimersByTimeAsync(1_000);
  expect(written.slice(1)).toEqual([[report(1, 4)]]);
  await jest.advanceTimersByTimeAsync(5_000);
  expect(written).toHaveLength(2);
});

test('after a silence soon, in a stream of them twice a second', async () => {
  const { reports, written } = kit();
  reports.note(report(0, 1));
  await jest.advanceTimersByTimeAsync(50);
  expect(written).toEqual([[report(0, 1)]]);
  for (let moment = 2; moment <= 21; moment++) {
    reports.note(report(0, moment));
    await jest.advanceTimersByTimeAsync(100);
  }
  expect(written.length - 1).toBe(4);
});

test('one that is not written is followed by another, and the last ones are written at the end', async () => {
  const { reports, written } = kit(1);
  reports.note(report(0, 1));
  await jest.advanceTimersByTimeAsync(1_000);
  expect(written).toEqual([]);
  reports.note(report(0, 2));
  await reports.stop();
  expect(written).toEqual([[report(0, 2)]]);
});
