/** The reading of what `run` answers: who comes again, changed or not, when, and who is new. And a config's buffers. */
import { bufferChange } from '../../client/buffer/settings';
import { readAnswer, type Given } from '../../activities/buffer/answer';
import { defineBuffer, ok, retry } from '../../config/define/buffer';
import { keyAt } from '../../workflows/buffer/keys';
import type { Json } from '../../workflows/lib/json';
import { resolveConfig } from '../../config/resolve/config';

const given = (entries: Json[], key?: string): Given => ({
  entries,
  positions: entries.map((_, i) => i),
  before: JSON.stringify(entries),
  keyOf: key === undefined ? undefined : keyAt(key),
  keys: undefined,
});
const read = (answer: unknown, of: Given) => readAnswer(answer as never, of, 1_000);

test('nothing, ok and ok with a state', () => {
  expect(read(undefined, given([1, 2]))).toEqual({ kept: [], fresh: [] });
  expect(read(ok({ a: 1 }), given([1, 2]))).toEqual({ kept: [], fresh: [], state: { a: 1 } });
});

test('retry: the whole batch, some of it, equal entries each once', () => {
  expect(read(retry(), given([1, 2, 3])).kept).toEqual([{ from: 0, count: 3 }]);
  expect(read(retry([3, 1]), given([1, 2, 3])).kept).toEqual([
    { from: 0, count: 1 },
    { from: 2, count: 1 },
  ]);
  expect(read(retry([7, 7]), given([7, 8, 7, 7])).kept).toEqual([
    { from: 0, count: 1 },
    { from: 2, count: 1 },
  ]);
});

test('retry of what is no list is told, not taken for the whole batch', () => {
  expect(() => read(retry(null as never), given([1, 2]))).toThrow('retry takes a list of entries, not null');
});

test('an object that was changed in place, one of the same key, and a new one', () => {
  const entries = [
    { id: 1, tries: 0 },
    { id: 2, tries: 0 },
  ];
  const of = given(entries, 'id');
  entries[0]!.tries++;
  const answer = read(retry([entries[0], { id: 2, tries: 5 }, { id: 3, tries: 0 }] as Json[]), of);
  expect(answer.kept).toEqual([
    { from: 0, count: 2, entries: [{ id: 1, tries: 1 }, { id: 2, tries: 5 }], bytes: 36 }, // prettier-ignore
  ]);
  expect(answer.fresh).toEqual([{ entries: [{ id: 3, tries: 0 }] }]);
});

test('put off: after a while, at a time, each at its own', () => {
  expect(read(retry([1], { after: '5s' }), given([1, 2])).kept).toEqual([{ from: 0, count: 1, at: 6_000 }]);
  expect(read(retry([1, 2], { at: (entry) => Number(entry) * 100 }), given([1, 2])).kept).toEqual([
    { from: 0, count: 1, at: 100 },
    { from: 1, count: 1, at: 200 },
  ]);
  expect(read([retry([1], { at: 9 }), retry([2]), ok(4)], given([1, 2]))).toEqual({
    kept: [
      { from: 0, count: 1, at: 9 },
      { from: 1, count: 1 },
    ],
    fresh: [],
    state: 4,
  });
});

test.each([
  ['a word', 'run answered "retry"'],
  [retry([1], { after: 'soon' }), 'must be a duration'],
  [retry([1], { at: NaN }), 'must be a time'],
  [retry([undefined as never]), 'an entry must be JSON'],
  [ok('x'.repeat(70_000)), 'a shard keeps at most'],
])('an answer that is none says what it should have been', (answer, message) => {
  expect(() => read(answer === 'a word' ? 'retry' : answer, given([1]))).toThrow(message);
});

test('a config: defaults, words for none, did you mean, and operations that feed', () => {
  const run = () => undefined;
  const { buffers } = resolveConfig({
    buffers: [
      { name: 'a', run, flushInterval: 'never', poll: false } as never,
      defineBuffer({ name: 'b', run, ordered: true }),
    ],
    defaults: { buffer: { maxBatchSize: 7, retry: { attempts: 2 } } },
  });
  expect(buffers[0]!.options).toMatchObject({
    maxBatchSize: 7,
    flushIntervalMs: null,
    pollMs: null,
    retry: { attempts: 2 },
  });
  expect(buffers[1]!.options).toMatchObject({ shards: 1, maxConcurrency: 1, ordered: true });
  const problems = (config: object): string => {
    try {
      resolveConfig(config);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(problems({ buffers: [{ name: 'a', run, maxBatchSise: 1 }] })).toMatch(/did you mean 'maxBatchSize'/);
  expect(problems({ buffers: [{ name: 'a', run, retry: { attemts: 1 } }] })).toMatch(/did you mean 'attempts'/);
  expect(problems({ buffers: [{ name: 'a', run, ordered: true, shards: 3 }] })).toMatch(/shards must be 1/);
  expect(problems({ buffers: [{ name: 'a' }] })).toMatch(/a\.run must be a function/);
  expect(
    problems({
      buffers: [{ name: 'events', run }],
      trackers: [{ name: 't', operations: { look: { every: '1s', buffer: 'evnts', run } } }],
    }),
  ).toMatch(/there is no buffer 'evnts'; did you mean 'events'/);
});

test('a state that PostgreSQL does not keep is refused by name, before anything is started', () => {
  const config = (state: unknown) => ({ buffers: [defineBuffer({ name: 'a', state, run: () => undefined })] });
  for (const separator of ['\u0000', '\ud800']) {
    expect(() => resolveConfig(config({ separator }))).toThrow('state has a NUL character or half of a surrogate pair');
  }
  expect(resolveConfig(config({ separator: '\\u0000😀' })).buffers).toHaveLength(1);
});

test.each([1e21, Infinity, NaN, 1.5, 2 ** 53, -1, '1e21', '99999999999999999999'])(
  'an option of %s is refused by name, in a config and by hand',
  (bytes) => {
    const config = { buffers: [defineBuffer({ name: 'a', bound: { bytes } as never, run: () => undefined })] };
    const message = /bound\.bytes must be (a whole number|at least 10000)/;
    expect(() => resolveConfig(config)).toThrow(message);
    expect(() => bufferChange('bound.bytes', bytes)).toThrow(message);
  },
);

test('a state with a number that JSON cannot say is refused by name', () => {
  for (const last of [NaN, -Infinity]) {
    const config = { buffers: [defineBuffer({ name: 'a', state: { at: [last] }, run: () => undefined })] };
    expect(() => resolveConfig(config)).toThrow('state has NaN or an infinite number');
  }
});
