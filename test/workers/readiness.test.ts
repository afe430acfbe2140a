/** Whether a worker can work, where one of its needs is missing: each is named, and none is waited for for long. */
import type { Database } from '../../activities/lib/database';
import type { TemporalLink } from '../../activities/lib/temporal';
import { migrations } from '../../workers/schema';
import { readiness } from '../../workers/readiness';

const hangs = () => new Promise<never>(() => undefined);
const migrated = { rows: () => Promise.resolve(migrations().map((name) => ({ name }))) } as unknown as Database;
const there = { reachable: () => Promise.resolve(true) } as unknown as TemporalLink;

test('a worker that has all it needs is ready, and one that does not run is not', async () => {
  expect(await readiness(() => true, migrated, there).ready()).toEqual([]);
  expect(await readiness(() => false, migrated, there).ready()).toEqual(['worker: not running']);
});

test('a server that does not answer is named after two seconds', async () => {
  jest.useFakeTimers();
  try {
    const silent = { rows: hangs } as unknown as Database;
    const away = { reachable: hangs } as unknown as TemporalLink;
    const asked = readiness(() => true, silent, away).ready();
    await jest.advanceTimersByTimeAsync(2_000);
    expect(await asked).toEqual(['postgresql: does not answer', 'temporal: does not answer']);
  } finally {
    jest.useRealTimers();
  }
});
