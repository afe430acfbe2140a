/**
 * The parent's decisions about `init`: when a page is read, when it polls, and what a parent that was lost goes on
 * from.
 */
import {
  beginPass,
  freshBufferState,
  lowWater,
  nextInitStep,
  pageLimit,
  pageRead,
  pollDelay,
  roomFor,
  roomTold,
  shardBegan,
} from '../../workflows/buffer/init';
import { INIT_SENDER } from '../../workflows/buffer/contract';
import { accept, admit } from '../../workflows/buffer/intake';
import { indexKeys } from '../../workflows/buffer/keys';
import { awaitedOf, freshShardState } from '../../workflows/buffer/queue';
import type { InitPageRead } from '../../workflows/buffer/activities';
import { defineBuffer } from '../../config/define/buffer';
import { resolveDefinition } from '../../config/resolve/buffer';

const { options } = resolveDefinition(
  defineBuffer({
    name: 'one',
    maxBatchSize: 10,
    shards: 2,
    poll: '8s',
    init: () => ({ entries: [] }),
    run: () => undefined,
  }),
  [],
);

const page = (number: number, given: Partial<InitPageRead> = {}): InitPageRead => ({
  pass: 0,
  page: number,
  chunks: [{ shard: 1, seq: number + 1, count: 20 }],
  entries: 20,
  cursor: number,
  last: false,
  seqs: [3, number + 1],
  ...given,
});

test('eight batches a shard are ahead, a page of four is read when four are left, and none while the buffer is paused or stopped', () => {
  const state = freshBufferState();
  expect(pageLimit(options)).toBe(80);
  expect(roomFor(options)).toBe(40);
  for (let number = 0; number < 5; number++) {
    expect(nextInitStep(state, options, false)).toBe('read');
    expect(nextInitStep(state, options, true)).toBe('wait');
    pageRead(state, page(number));
  }
  expect(nextInitStep(state, options, false)).toBe('wait');
  state.waiting[1] = 80;
  expect(nextInitStep(state, options, false)).toBe('read');
});

test('more is ahead where more batches run at once, but no more than the memory takes', () => {
  expect(lowWater({ ...options, maxConcurrency: 1 })).toBe(80);
  expect(lowWater({ ...options, maxConcurrency: 7 })).toBe(140);
  const bounded = (entries: number) => ({ ...options, maxConcurrency: 7, bound: { ...options.bound, entries } });
  expect([bounded(100), bounded(60), bounded(10)].map(lowWater)).toEqual([120, 60, 20]);
  expect([bounded(100), bounded(60), bounded(10)].map(roomFor)).toEqual([40, 30, 10]);
});

test('a parent that was lost numbers its messages on, to shards too that had nothing of the last page', () => {
  const state = freshBufferState();
  pageRead(state, page(7));
  expect(state.seqs).toEqual([3, 8]);
  expect(state.init).toMatchObject({ pass: 0, page: 8, cursor: 7 });
});

test('a shard that tells of its room before the page is known to be read is believed', () => {
  const state = freshBufferState();
  pageRead(state, page(0));
  expect(state.waiting[1]).toBe(20);
  // It has taken in the next page and handled all of it.
  roomTold(state, { shard: 1, waiting: 0, seq: 2 });
  pageRead(state, page(1));
  expect(state.waiting[1]).toBe(0);
  // It was said before the page after it was read, and that page overtakes it.
  pageRead(state, page(2));
  roomTold(state, { shard: 1, waiting: 0, seq: 2 });
  expect(state.waiting[1]).toBe(20);
  // It had one of the page's two messages.
  roomTold(state, { shard: 1, waiting: 5, seq: 4 });
  pageRead(state, page(3, { chunks: [4, 5].map((seq) => ({ shard: 1, seq, count: 10 })), seqs: [3, 5] }));
  expect(state.waiting[1]).toBe(15);
});

test('drained it polls, after a delay that doubles while nothing is found', () => {
  const state = freshBufferState();
  pageRead(state, page(0, { last: true }));
  expect(nextInitStep(state, options, false)).toBe('wait');
  state.waiting[1] = 0;
  expect(nextInitStep(state, options, false)).toEqual({ pollInMs: 0 });
  const delays = [1, 2, 3, 4, 5].map((pass) => {
    beginPass(state);
    pageRead(state, page(0, { pass, entries: 0, chunks: [], last: true }));
    return (nextInitStep(state, options, false) as { pollInMs: number }).pollInMs;
  });
  expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 8_000]);
  expect(nextInitStep(state, { ...options, pollMs: null }, false)).toBe('wait');
  expect(pollDelay(0, 8_000)).toBe(0);
});

test('what was put off for long is found again as often as is asked for, not as fast as can be', () => {
  const state = freshBufferState();
  pageRead(state, page(0, { last: true }));
  roomTold(state, { shard: 1, waiting: 0, putOff: 1, seq: 1 });
  expect(nextInitStep(state, options, false)).toEqual({ pollInMs: 8_000 });
  roomTold(state, { shard: 1, waiting: 0, seq: 1 });
  expect(nextInitStep(state, options, false)).toEqual({ pollInMs: 0 });
});

test('what comes again soon is waited for: a pass would find it a second time', () => {
  const shard = freshShardState({ options, paused: false, version: 1 }, null);
  const index = indexKeys(shard);
  const put = (at: number, more: object = {}) =>
    admit(shard, index, 'later', { first: shard.nextEntry++, count: 1, bytes: 3, entries: [1], since: 0, at, ...more });
  put(1_000 + 9_000);
  expect(awaitedOf(shard, 1_000)).toBe(0);
  put(1_000 + 7_000);
  expect(awaitedOf(shard, 1_000)).toBe(1);
  // It has failed: whenever it comes, it comes to an end.
  put(1_000 + 60_000, { attempts: 2 });
  expect(awaitedOf(shard, 1_000)).toBe(2);
  Object.assign(shard.later.stored, { entries: 5, to: 9 });
  shard.laterDue = 3_000;
  expect(awaitedOf(shard, 1_000)).toBe(7);
});

test('what init finds again leaves what is pending of it as it is; what is pushed does not', () => {
  const shard = freshShardState({ options: { ...options, key: { path: 'id' } }, paused: false, version: 1 }, null);
  const index = indexKeys(shard);
  const entries = (v: number) => [{ id: 1, v }];
  accept(shard, index, { entries: entries(1), at: 60_000 }, 1_000);
  accept(shard, index, { entries: entries(2), sender: INIT_SENDER, seq: 1 }, 1_000);
  expect(shard.later.chunks).toMatchObject([{ first: 1, at: 60_000, entries: [{ v: 2 }] }]);
  accept(shard, index, { entries: entries(3) }, 1_000);
  expect(shard.later.chunks).toEqual([]);
  expect(shard.back.chunks).toMatchObject([{ first: 3, entries: [{ v: 3 }] }]);
  expect(shard.counts).toMatchObject({ accepted: 3, merged: 2 });
});

test('a shard that begins anew has nothing of init: pages are read, and passes are not as far apart as its put off entries asked for', () => {
  const state = freshBufferState();
  pageRead(state, page(4, { chunks: [{ shard: 1, seq: 5, count: 30_000 }], seqs: [0, 5], last: true }));
  roomTold(state, { shard: 1, waiting: 30_000, putOff: 7, seq: 5 });
  beginPass(state);
  expect(nextInitStep(state, options, false)).toBe('wait');
  shardBegan(state, 1);
  expect(nextInitStep(state, options, false)).toBe('read');
  // It knows no message of init yet, so what it says of its room is not heard.
  roomTold(state, { shard: 1, waiting: 0, seq: 0 });
  pageRead(state, { ...page(0), pass: 1, chunks: [], entries: 0, last: true });
  expect(nextInitStep(state, options, false)).toEqual({ pollInMs: 1_000 });
});
