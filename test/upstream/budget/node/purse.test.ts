/** A shift's buckets of its members in memory: what one answer teaches all, who is shared, what a gap stops. */
import { limitOf } from '../../../../activities/upstream/budget/limit';
import type { UpstreamLimit } from '../../../../activities/upstream/budget/spender';
import { answer } from './kit';
import { clock, loaded, sent, spenderOf, take, told, urged } from './purse-kit';

test('a refusal is stored with the bucket: whoever takes the member over knows it, and nobody else waits', () => {
  const limit = { rule: limitOf({ tokens: 150, window: 900, greatestCost: 5 }), key: ({ id }: { id?: string }) => id };
  const spender = spenderOf(limit);
  const purse = loaded(spender, 2);
  sent(take(spender, purse, 0)).report(answer(429, {}, 60_000));
  expect(take(spender, purse, 0)).toMatchObject({ isShort: true, isClosed: true });
  expect(purse.isStored).toBe(false);
  // A flush that fails has told nobody.
  purse.flushed(purse.harvest(10), false);
  const rows = purse.harvest(10);
  purse.flushed(rows, true);
  expect(purse.isStored).toBe(true);
  expect(rows).toMatchObject([{ slot: 0, closedUntil: clock.now + 60 }]);
  const next = spenderOf(limit);
  const other = next.purse(2);
  other.load(0, rows, true);
  other.load(1, [], true);
  const later = (seconds: number): void => {
    // A process that stood still sends nothing before a flush.
    for (let i = 0; i < seconds; i++, clock.now++) next.beat();
  };
  later(50);
  expect(take(next, other, 0)).toMatchObject({ isShort: true, isClosed: true });
  sent(take(next, other, 1));
  later(11);
  sent(take(next, other, 0));
});

test('an answer that costs more than the greatest raises that: no bucket is overspent by it again', () => {
  const limit = {
    rule: limitOf({ tokens: 100, window: 900, greatestCost: 1 }),
    key: ({ id }: { id?: string }) => id,
    cost: () => 30,
  };
  const spender = spenderOf(limit);
  const purse = loaded(spender, 2);
  let served = 0;
  for (let i = 0; i < 20; i++) {
    const spend = take(spender, purse, 0);
    if (!spend.isShort) {
      served++;
      spend.report(answer());
    }
    purse.flushed(purse.harvest(10), true);
    clock.now++;
  }
  expect(served).toBe(3);
  // One bucket has taught it to all.
  const spends = [take(spender, purse, 1), take(spender, purse, 1)];
  expect(spends.map(({ isShort }) => isShort)).toEqual([false, true]);
});

test.each([
  ['at once', false],
  ['later', true],
])(
  'a group turns out %s to have a window of a second: its answer counts, and from now on all nodes share it',
  (_, isLater) => {
    const spender = spenderOf({});
    const purse = loaded(spender, 1);
    if (isLater) sent(take(spender, purse, 0)).report(told(148));
    purse.flushed(purse.harvest(10), true);
    const headers = { 'x-ratelimit-group': 'char', 'x-ratelimit-limit': '10/1s', 'x-ratelimit-remaining': '8' };
    sent(take(spender, purse, 0)).report(answer(200, headers));
    expect(take(spender, purse, 0)).toMatchObject({ isShort: true, key: 'char:m0' });
    expect([...spender.shared].map(({ key }) => key)).toEqual(['char:m0']);
  },
);

test('with nothing known one request asks for all; its answer teaches the limit of every member', () => {
  const spender = spenderOf({});
  const purse = loaded(spender, 100);
  const first = sent(take(spender, purse, 0));
  expect(take(spender, purse, 1).isShort).toBe(true);
  first.report(told(148));
  for (let slot = 1; slot < 100; slot++) sent(take(spender, purse, slot)).report(told(148));
  expect(urged).toEqual([]);
  expect(purse.bytes).toBeLessThanOrEqual(100 * 100);
});

test('the first use of a group that nobody knows: without an answer the next one asks; a refusal teaches all, and closes its member’s bucket', () => {
  const spender = spenderOf({});
  const purse = loaded(spender, 3);
  const first = sent(take(spender, purse, 0));
  expect(take(spender, purse, 1).isShort).toBe(true);
  first.lose();
  const second = sent(take(spender, purse, 1));
  const { header } = told(0);
  expect(second.report({ status: 429, header, refusedForMs: 20_000 })).toBe(true);
  expect(take(spender, purse, 1)).toMatchObject({ isShort: true, isClosed: true, waitMs: 20_000 });
  for (const slot of [0, 2]) sent(take(spender, purse, slot)).report(told(148));
});

test('a shift that comes after the first knows the limit at once', () => {
  const spender = spenderOf({});
  sent(take(spender, loaded(spender, 1), 0)).report(told(148));
  const next = loaded(spender, 10);
  for (let slot = 0; slot < 10; slot++) sent(take(spender, next, slot));
});

test('a group that never tells its limit is everybody’s: it is felt for in the ledger', () => {
  const spender = spenderOf({ key: ({ id }) => id });
  const purse = loaded(spender, 10);
  for (let slot = 0; slot < 3; slot++) sent(take(spender, purse, slot)).report(answer());
  const shortage = take(spender, purse, 4);
  if (!shortage.isShort) throw new Error('it has no part');
  shortage.join({ class: 'watch', requests: 1, wake: () => undefined });
  expect(urged).toEqual(['m4']);
});

test('a key that differs by more than the member may be another member’s too: it is shared', () => {
  const tokens: Record<string, string> = { m0: 'one', m1: 'one' };
  const spender = spenderOf({ rule: limitOf({ tokens: 100, window: 60 }), key: ({ id }) => tokens[id!] ?? 'none' });
  const purse = loaded(spender, 2);
  const shortage = take(spender, purse, 0);
  expect(shortage).toMatchObject({ isShort: true, key: 'one' });
});

test('a group whose name changes: what was spent counts in the one that the answer names', () => {
  const spender = spenderOf({});
  const purse = loaded(spender, 2);
  sent(take(spender, purse, 0)).report(told(148));
  purse.flushed(purse.harvest(10), true);
  sent(take(spender, purse, 0)).report(told(140, 'char-new'));
  const rows = purse.harvest(10);
  expect(rows.map(({ group, stored }) => [group, stored.tokens])).toEqual([['char-new:*', [2]]]);
  purse.flushed(rows, true);
  sent(take(spender, purse, 0));
});

test('a refusal closes the bucket of that member and of no other', () => {
  const spender = spenderOf({ rule: limitOf({ tokens: 150, window: 900, greatestCost: 5 }), key: ({ id }) => id });
  const purse = loaded(spender, 2);
  expect(sent(take(spender, purse, 0)).report(answer(429, {}, 20_000))).toBe(true);
  expect(take(spender, purse, 0)).toMatchObject({ isShort: true, isClosed: true, waitMs: 20_000 });
  expect(take(spender, purse, 1).isShort).toBe(false);
  purse.flushed(purse.harvest(10), true);
  for (let second = 0; second < 21; second++) {
    clock.now++;
    spender.beat();
  }
  expect(take(spender, purse, 0).isShort).toBe(false);
});

test('a maxHold bounds the closing of a member’s bucket, also one that was stored when it was longer', () => {
  const limit = (longestClosing: number): Partial<UpstreamLimit> => ({
    rule: limitOf({ tokens: 150, window: 900, greatestCost: 5, longestClosing }),
    key: ({ id }) => id,
  });
  const spender = spenderOf(limit(86_400));
  const purse = loaded(spender, 1);
  sent(take(spender, purse, 0)).report(answer(429, {}, 604_800_000));
  expect(take(spender, purse, 0)).toMatchObject({ isClosed: true, waitMs: 86_400_000 });
  const rows = purse.harvest(10);
  expect(rows).toMatchObject([{ closedUntil: clock.now + 86_400 }]);
  const lower = spenderOf(limit(20));
  const next = lower.purse(1);
  next.load(0, rows, true);
  expect(take(lower, next, 0)).toMatchObject({ isClosed: true, waitMs: 20_000 });
});

test('after the process stood still nothing is sent until a flush has passed the fence', () => {
  const spender = spenderOf({ rule: limitOf({ tokens: 150, window: 900, greatestCost: 5 }), key: ({ id }) => id });
  const purse = loaded(spender, 2);
  const early = sent(take(spender, purse, 0));
  const rows = purse.harvest(10);
  clock.now += 3;
  expect(early.maySend).toBe(false);
  expect(take(spender, purse, 1).isShort).toBe(true);
  // That flush began before.
  purse.flushed(rows, true);
  expect(take(spender, purse, 1).isShort).toBe(true);
  purse.flushed(purse.harvest(10), false);
  expect(take(spender, purse, 1).isShort).toBe(true);
  purse.flushed(purse.harvest(10), true);
  expect(take(spender, purse, 1).isShort).toBe(false);
});

test('members that join find room; one that leaves leaves nothing to whoever gets its slot', () => {
  const spender = spenderOf({ rule: limitOf({ tokens: 5, window: 900, greatestCost: 5 }), key: ({ id }) => id });
  const purse = loaded(spender, 1);
  sent(take(spender, purse, 0)).report(answer(400));
  purse.flushed(purse.harvest(10), true);
  expect(take(spender, purse, 0).isShort).toBe(true);
  for (let slot = 1; slot < 50; slot++) purse.load(slot, [], true);
  for (let slot = 1; slot < 50; slot++) sent(take(spender, purse, slot));
  purse.leave(0);
  purse.load(0, [], true);
  sent(take(spender, purse, 0));
});

test('a limit that is changed while it runs keeps what was spent', () => {
  const rule = limitOf({ tokens: 50, window: 900, greatestCost: 5 });
  const limit: UpstreamLimit = {
    name: 'group',
    rule,
    scope: 'member',
    key: ({ id }) => id,
    secret: false,
    cost: () => 5,
    format: null,
  };
  const spender = spenderOf(limit);
  const purse = loaded(spender, 1);
  for (let i = 0; i < 4; i++) {
    sent(take(spender, purse, 0)).report(answer());
    purse.flushed(purse.harvest(10), true);
  }
  for (const window of [900, 300]) {
    spender.define({ name: 'up', limits: [{ ...limit, rule: { ...rule, tokens: 22, window } }] });
    expect(take(spender, purse, 0).isShort).toBe(true);
  }
  spender.define({ name: 'up', limits: [{ ...limit, rule: { ...rule, tokens: 50, window: 300 } }] });
  expect(take(spender, purse, 0).isShort).toBe(false);
});

describe('a use of a member without its purse', () => {
  const use = { class: 'call' as const, by: 'handler', id: 'm0' };

  test('is refused: two accounts of one bucket could together spend twice its tokens', () => {
    const spender = spenderOf({ rule: limitOf({ tokens: 2, window: 60 }), key: ({ id }) => id, cost: () => 1 });
    const purse = loaded(spender, 1);
    for (let i = 0; i < 2; i++) sent(take(spender, purse, 0)).report(answer());
    expect(take(spender, purse, 0)).toMatchObject({ isShort: true });
    expect(() => spender.reserve('up', use, 1)).toThrow("list 'up' in the config's `upstreams`");
    // The limit does not concern a use of nobody.
    expect(spender.reserve('up', { class: 'call', by: 'handler' }, 1)).toMatchObject({ isShort: false });
  });

  test('is refused too while its key is not known yet', () => {
    expect(() => spenderOf({}).reserve('up', use, 1)).toThrow(TypeError);
  });

  test('of a key that several members share is counted with theirs', () => {
    const spender = spenderOf({ rule: limitOf({ tokens: 2, window: 60 }), key: ({ id }) => `owner of ${id?.length}` });
    expect(spender.reserve('up', use, 1).isShort).toBe(true);
    expect([...spender.states()]).toMatchObject([{ limit: 'group' }]);
  });
});
