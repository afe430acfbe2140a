/** How many connections a worker may open, and the warning where PostgreSQL has no room for those of all workers. */
import { pino } from 'pino';
import type { Database } from '../../activities/lib/database';
import { KIT_CONNECTIONS, poolSizes, tellRoom, totalOf } from '../../workers/connection-budget';

test('what a config does not have takes no connection', () => {
  expect(poolSizes({ durableActivities: 0, jobs: [] })).toEqual({
    values: 1,
    row: 1,
    kit: KIT_CONNECTIONS,
    activities: 0,
    handlers: 0,
    jobs: 0,
    budget: 0,
    listeners: 2,
  });
});

test('a connection for each chunk and page at once, and two for progress; a job has half of them; set by hand, that counts', () => {
  expect(poolSizes({ durableActivities: 1, jobs: [2, 4, 2] })).toMatchObject({ activities: 10, jobs: 10 });
  expect(poolSizes({ durableActivities: 1, jobs: [8, 1] }).jobs).toBe(16);
  expect(poolSizes({ durableActivities: 1, jobs: [64, 64] }).jobs).toBe(64);
  const byHand = poolSizes({ durableActivities: 1, jobs: [2], activityConnections: 3, jobConnections: 5 });
  expect(byHand).toEqual({ values: 1, row: 1, kit: 6, activities: 3, jobs: 5, handlers: 0, budget: 0, listeners: 2 });
  expect(totalOf(byHand)).toBe(18);
  expect(poolSizes({ durableActivities: 0, jobs: [], hasLimits: true })).toMatchObject({ budget: 2, listeners: 3 });
});

test.each([
  [{ room: 97, nodes: 4 }, false],
  [{ room: 97, nodes: 5 }, true],
])('of %p: warned %p', async (found, warned) => {
  const lines: { level: number; msg: string }[] = [];
  const log = pino({}, { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) });
  const database = { rows: () => Promise.resolve([found]) } as unknown as Database;
  await tellRoom(
    database,
    { values: 1, row: 1, kit: 6, activities: 9, jobs: 2, handlers: 0, budget: 0, listeners: 2 },
    log,
  );
  const warning = lines.find(({ level }) => level === 40);
  expect(warning !== undefined).toBe(warned);
  if (warning)
    expect(warning.msg).toMatch(/^5 workers .* 105 connections, and PostgreSQL takes 97: .*docs\/growth\.md/);
});
