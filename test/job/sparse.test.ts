/**
 * A decay whose rows lie far apart, without an index for its condition: what it looks through grows with the table,
 * also where the condition fails on rows in between, and no chunk looks through the whole of it. The real walk over
 * keys in memory, which counts what is looked at.
 */
import type { Rows } from '../../activities/job/chunk';
import { walk } from '../../activities/job/walk';
import { Sizing } from '../../activities/job/sizing';
import type { JobOptions } from '../../workflows/job/options';

const KEYS = 200_000;

async function decay({ fails, msPerKey }: { fails: number[]; msPerKey: number }) {
  const upto = [String(KEYS)];
  let looked = 0;
  /** How often a statement has looked at many at once. */
  let far = 0;
  const gone: number[] = [];
  const failed: number[] = [];
  const look = (keys: number): void => {
    looked += keys;
    if (keys > 20_000) far++;
  };
  const matches = (key: number): boolean => key % 1_000 === 0;
  const rows: Rows = {
    ranges: () => Promise.resolve([{ part: 0, after: null, upto, done: false }]),
    isHeld: () => Promise.resolve(true),
    lastKey: () => Promise.resolve(upto),
    locked: () => Promise.resolve([]),
    mustBeWhole: () => Promise.resolve(false),
    chunk: (range, ask) => {
      const after = Number(range.after?.[0] ?? 0);
      const error = Object.assign(new Error('division by zero'), { code: '22012' });
      let end = ask.leaveOut ? Number(ask.leaveOut.key[0]) : undefined;
      if (end === undefined && ask.byKey) end = after + ask.size! <= KEYS ? after + ask.size! : undefined;
      else if (end === undefined) {
        let found = 0;
        for (let key = after + 1; key <= KEYS && end === undefined; key++) {
          if (fails.includes(key)) {
            look(key - after);
            return Promise.resolve({ kind: 'failed', error, to: undefined, looking: true });
          }
          if (matches(key) && ++found === ask.size) end = key;
        }
        look((end ?? KEYS) - after);
      }
      const to = end ?? KEYS;
      look(to - after);
      const bad = fails.some((key) => key > after && key <= to);
      const ended = end === undefined ? undefined : [String(end)];
      if (bad && !ask.leaveOut) return Promise.resolve({ kind: 'failed', error, to: ended, looking: false });
      let changed = 0;
      for (let key = after + 1; key <= to && !ask.leaveOut; key++) {
        if (!matches(key)) continue;
        gone.push(key);
        changed++;
      }
      if (ask.leaveOut) failed.push(end!);
      const ms = (to - after) * msPerKey;
      return Promise.resolve({ kind: 'done', to: [String(to)], done: to === KEYS, whole: end !== undefined, rows: changed, ms, tripMs: 0 });
    },
  }; // prettier-ignore
  const silent = { debug: () => undefined, warn: () => undefined };
  const stopSignal = { reason: undefined, end: () => undefined, sleep: () => Promise.resolve() };
  const options = { chunk: 100, pace: 'full' } as unknown as JobOptions;
  const sizing = new Sizing(options, undefined);
  const done = await walk(
    { rows, sizing, stopSignal, all: false, sparse: true, log: silent, chunk: () => undefined, waits: () => Promise.resolve() },
    1,
  ); // prettier-ignore
  expect(done).toBe(true);
  return { looked, far, gone, failed };
}

test('a condition that fails on rows in between costs what it takes to find them, once each', async () => {
  const fails = [50_001, 120_500, 120_501, 199_000];
  const { looked, gone, failed } = await decay({ fails, msPerKey: 0.0001 });
  expect(failed).toEqual(fails);
  expect(gone).toEqual(Array.from({ length: 200 }, (_one, index) => (index + 1) * 1_000).filter((key) => !fails.includes(key)));
  expect(looked).toBeLessThan(15 * KEYS);
}); // prettier-ignore

test('where a chunk takes long for the few rows that it finds, chunks are so many keys', async () => {
  const { far, gone } = await decay({ fails: [], msPerKey: 0.01 });
  expect(gone).toHaveLength(200);
  // The first chunk has found out, by looking for its end and then for its rows; 100 ms of keys are 10,000.
  expect(far).toBe(2);
});
