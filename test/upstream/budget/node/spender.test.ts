/** A node's spender over a ledger in memory: reservations of whole runs, keys from headers, lines in their order. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Spend, Use } from '../../../../activities/upstream/budget/spender';
import { answer } from './kit';
import {
  closings,
  limit,
  pass,
  renewAll,
  REQUEST,
  reserved,
  sent,
  sharedOf,
  short,
  spenderOf,
  USE,
  waiterOf,
  wanted,
} from './memory';

describe('a run', () => {
  test('takes what all of its requests need, and gives back what it did not draw', () => {
    const spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
    wanted(spender, 1, 10, 2);
    const free = (): number => sharedOf(spender, 'all').account.shown.has - sharedOf(spender, 'all').account.shown.held;
    const before = free();
    const run = reserved(spender, 3);
    expect(free()).toBe(before - 3);
    sent(run.draw(REQUEST)).report(answer());
    sent(run.draw(REQUEST)).report(answer());
    run.end();
    expect(free()).toBe(before - 2);
  });

  test('needs more than it reserved: it goes on while there is some, and ends where there is none', () => {
    const spender = spenderOf(limit('all', { tokens: 60, window: 60 }));
    wanted(spender, 1, 4, 3);
    const run = reserved(spender);
    let requests = 0;
    for (; requests < 100; requests++) {
      const spend = run.draw(REQUEST);
      if (spend.isShort) break;
      spend.report(answer());
    }
    expect(requests).toBeGreaterThanOrEqual(2);
    expect(requests).toBeLessThan(20);
    expect(run.draw(REQUEST)).toMatchObject({ isShort: true, limit: 'all', key: 'one', waitMs: Infinity });
  });

  test('of many requests begins, however small the limit is', () => {
    const spender = spenderOf(limit('all', { tokens: 12, window: 60 }));
    for (let second = 0; second < 60; second++) {
      const run = spender.reserve('up', USE, 20);
      if (!run.isShort) return;
      const leave = run.join(waiterOf());
      pass(spender, 1);
      leave();
    }
    throw new Error('it never began');
  });

  test('takes from all of its buckets or from none; while it waits for one, the others keep their part for it', () => {
    const spender = spenderOf(
      limit('a', { tokens: 600, window: 60 }),
      limit('b', { tokens: 600, window: 60 }, { key: () => 'other' }),
    );
    const held = (): number[] =>
      [sharedOf(spender, 'a'), sharedOf(spender, 'b', 'other')].map(({ account }) => account.shown.held);
    const shortage = short(spender.reserve('up', USE, 1));
    const leave = shortage.join(waiterOf());
    renewAll(spender);
    sharedOf(spender, 'b', 'other').hearClosed(10, 0, false);
    leave();
    expect(short(spender.reserve('up', USE, 1))).toMatchObject({ limit: 'b', key: 'other', isClosed: true });
    expect(held()).toEqual([0, 0]);
    const closed = short(spender.reserve('up', USE, 1));
    closed.join(waiterOf());
    pass(spender, 8);
    expect(sharedOf(spender, 'a').account.shown.has).toBeGreaterThanOrEqual(1);
  });

  test('learns how many requests its runs make', () => {
    const spender = spenderOf(limit('all', { tokens: 6_000, window: 60 }));
    wanted(spender, 1, 100, 2);
    for (let i = 0; i < 60; i++) {
      const run = spender.reserve('up', USE);
      const leave = run.isShort ? run.join(waiterOf({ requests: 50 })) : () => undefined;
      pass(spender, 1);
      leave();
      if (run.isShort) continue;
      for (let n = 0; n < 3; n++) sent(run.draw(REQUEST)).report(answer());
      run.end();
    }
    const held = (): number => sharedOf(spender, 'all').account.shown.held;
    for (let i = 0; i < 20; i++) {
      const before = held();
      const run = spender.reserve('up', USE);
      if (!run.isShort) {
        expect(held() - before).toBeCloseTo(3, 5);
        return;
      }
      const leave = run.join(waiterOf({ requests: 50 }));
      pass(spender, 1);
      leave();
    }
    throw new Error('it never began');
  });
});

describe('keys that are made of a header', () => {
  const byGroup = limit(
    'group',
    { tokens: 600, window: 60 },
    { key: ({ header, id }) => `${header('x-group')}:${id}` },
  );

  test('one request asks, the others wait for what it tells; then each has its bucket', () => {
    const spender = spenderOf(byGroup);
    const first = sent(reserved(spender).draw(REQUEST));
    const shortage = short(spender.reserve('up', { ...USE, id: 'b' }, 1));
    expect(shortage.key).toBe('');
    first.report(answer(200, { 'x-group': 'g' }));
    expect(short(spender.reserve('up', { ...USE, id: 'b' }, 1)).key).toBe('g:b');
    // Its cost is known to the bucket that it was of.
    expect(sharedOf(spender, 'group', 'g:a').account.shown.settled).toBe(1);
  });

  test('an answer without the header: the limit does not concern that kind of request', () => {
    const spender = spenderOf(byGroup);
    sent(reserved(spender).draw(REQUEST)).report(answer(200, {}));
    for (let i = 0; i < 20; i++) sent(reserved(spender).draw(REQUEST)).report(answer(200, {}));
  });

  test('an error from somebody in between says nothing of it', () => {
    const spender = spenderOf(byGroup);
    sent(reserved(spender).draw(REQUEST)).report(answer(502, {}));
    expect(sent(reserved(spender).draw(REQUEST)).report(answer(200, { 'x-group': 'g' }))).toBe(false);
    sent(reserved(spender, 1, { by: 'other' }).draw(REQUEST));
    const shortage = short(spender.reserve('up', USE, 1));
    const leave = shortage.join(waiterOf());
    renewAll(spender);
    leave();
    const spend = sent(reserved(spender).draw(REQUEST));
    spend.report(answer(503, {}));
    expect(sharedOf(spender, 'group', 'g:a').account.shown.settled).toBe(2);
  });

  test('a name that changes: the answer is paid by the bucket that it names', () => {
    const spender = spenderOf(byGroup);
    sent(reserved(spender).draw(REQUEST)).report(answer(200, { 'x-group': 'old' }));
    wanted(spender, 1);
    sent(reserved(spender).draw(REQUEST)).report(answer(429, { 'x-group': 'new' }, 5_000));
    expect(sharedOf(spender, 'group', 'old:a').account.shown).toMatchObject({ settled: 1, held: 0 });
    expect(sharedOf(spender, 'group', 'new:a').account.shown.settled).toBe(1);
    expect(closings.map(({ key }) => key)).toEqual(['new:a']);
  });
});

describe('a refusal', () => {
  test('closes the limit that it is of: 420 the one that closes at its end, any other the rest', () => {
    const spender = spenderOf(
      limit('errors', { tokens: 600, window: 60, closesAtEnd: true }),
      limit('group', { tokens: 600, window: 60 }, { key: () => 'g' }),
    );
    const take = (): Spend => {
      for (let i = 0; i < 3; i++) {
        const run = spender.reserve('up', USE, 1);
        if (!run.isShort) return sent(run.draw(REQUEST));
        const leave = run.join(waiterOf());
        pass(spender, 1);
        leave();
      }
      throw new Error('nothing');
    };
    const [first, second] = [take(), take()];
    first.report(answer(429, {}, 5_000));
    expect(closings.map(({ key }) => key)).toEqual(['g']);
    second.report(answer(420, {}, 5_000));
    expect(closings.map(({ key }) => key)).toEqual(['g', 'one']);
  });

  test('of a request that the limit does not concern is nobody’s: the operation is held, as without limits', () => {
    const spender = spenderOf(
      limit('errors', { tokens: 600, window: 60, closesAtEnd: true }, { key: ({ header }) => header('x-errors') }),
      limit('group', { tokens: 600, window: 60 }, { key: ({ header }) => header('x-group') }),
    );
    sent(reserved(spender).draw(REQUEST)).report(answer(200, {}));
    const [plain, all] = [0, 1].map(() => sent(reserved(spender).draw(REQUEST)));
    expect(plain!.report(answer(429, {}, 5_000))).toBe(false);
    expect(all!.report(answer(420, {}, 5_000))).toBe(false);
    // It names its bucket after all.
    const named = sent(reserved(spender).draw(REQUEST));
    expect(named.report(answer(429, { 'x-group': 'g' }, 5_000))).toBe(true);
    expect(closings.map(({ key }) => key)).toEqual(['g']);
  });

  test('a header that says there is something left clears its limit', () => {
    const readsLeft = { format: 'x-ratelimit' as const };
    const spender = spenderOf(limit('all', { tokens: 600, window: 60 }, readsLeft));
    wanted(spender, 1);
    sent(reserved(spender).draw(REQUEST)).report(answer(403, { 'x-ratelimit-remaining': '400' }, 60_000));
    expect(closings).toEqual([]);
  });
});

test('an answer that costs more than the greatest raises that: so much is reserved from then on', () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }, { cost: () => 7 }));
  wanted(spender, 1, 20, 2);
  const bucket = sharedOf(spender, 'all');
  sent(reserved(spender).draw(REQUEST)).report(answer());
  const before = bucket.account.shown.held;
  wanted(spender, 100, 20, 2);
  reserved(spender);
  expect(bucket.account.shown.held - before).toBe(7);
});

test('who waits is woken in the order of classes and of coming; who comes later does not overtake', async () => {
  const spender = spenderOf(limit('all', { tokens: 60, window: 60 }));
  const woken: string[] = [];
  const wait = (name: string, of: Use['class']): void => {
    const use: Use = { ...USE, class: of, by: name };
    short(spender.reserve('up', use, 1)).join(
      waiterOf({
        class: of,
        wake: () => {
          const run = spender.reserve('up', use, 1);
          if (run.isShort) return;
          woken.push(name);
          sent(run.draw(REQUEST)).report(answer());
        },
      }),
    );
  };
  // Bulk has its least share from the beginning.
  for (const name of ['b1', 'b2']) wait(name, 'bulk');
  for (const name of ['w1', 'w2']) wait(name, 'watch');
  wait('c1', 'call');
  for (let i = 0; i < 40 && woken.length < 5; i++) {
    pass(spender, 1);
    // It may have some, and others were there before.
    if (woken.length < 5) expect(spender.reserve('up', { ...USE, by: 'late' }, 1).isShort).toBe(true);
    await turn();
    await turn();
  }
  expect(woken).toEqual(['c1', 'b1', 'w1', 'w2', 'b2']);
});

test('a waiter that throws does not keep the others in the line', async () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
  let isWoken = false;
  const fail = (): never => {
    throw new Error('mine');
  };
  short(spender.reserve('up', USE, 1)).join(waiterOf({ wake: fail }));
  short(spender.reserve('up', USE, 1)).join(waiterOf({ wake: () => (isWoken = true) }));
  renewAll(spender);
  for (let i = 0; i < 5 && !isWoken; i++) await turn();
  expect(isWoken).toBe(true);
});

test('changed while it runs: the ledger grants by the new limit', () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
  wanted(spender, 1, 10);
  spender.define({ name: 'up', limits: [limit('all', { tokens: 6, window: 60 })] });
  let served = 0;
  for (let second = 0; second < 30; second++) {
    pass(spender, 1);
    for (;;) {
      const run = spender.reserve('up', USE, 1);
      if (run.isShort) break;
      served++;
      sent(run.draw(REQUEST)).report(answer());
    }
  }
  expect(served).toBeLessThanOrEqual(16);
});
