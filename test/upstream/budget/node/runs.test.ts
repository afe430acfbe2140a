/**
 * Runs that need more than there is, and code that is not what it was: a node's spender never has more than the ledger
 * gave it, nobody waits for what never comes, and nothing turns in vain.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { outstanding, ownUsed } from '../../../../activities/upstream/budget/ledger/own';
import { renew } from '../../../../activities/upstream/budget/ledger/statement';
import type { Limit } from '../../../../activities/upstream/budget/limit';
import type { LimitedUpstream, Use } from '../../../../activities/upstream/budget/spender';
import { answer } from './kit';
import {
  ledger,
  limit,
  pass,
  renewAll,
  REQUEST,
  reserved,
  sent,
  sharedOf,
  short,
  spenderOf,
  time,
  USE,
  waiterOf,
  wanted,
} from './memory';

/** Spent and held, as the ledger has it. */
const taken = (rule: Limit): number => {
  const row = ledger.get('all/one')!;
  return ownUsed(row, rule) + outstanding(row);
};

test('a run of many requests sets no more aside than the node was given', () => {
  const all = limit('all', { tokens: 60, window: 60, greatestCost: 5 }, { cost: () => 5 });
  const spender = spenderOf(all);
  wanted(spender, 20, 20, 30);
  const { account } = sharedOf(spender, 'all');
  reserved(spender, 20);
  const { has, held } = account.shown;
  expect(held).toBeLessThanOrEqual(has + 1e-9);
  // The ledger believes what a node says that it holds.
  for (let second = 0; second < 4; second++) {
    pass(spender, 1);
    expect(taken(all.rule)).toBeLessThanOrEqual(60);
  }
});

test('one that needs more than there is just now does not keep the process busy', async () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
  wanted(spender, 1, 2);
  let wakes = 0;
  const wait = (): void => {
    const run = spender.reserve('up', USE, 20);
    if (run.isShort) run.join(waiterOf({ requests: 1, wake: () => (wakes++, wait()) }));
  };
  wait();
  for (let i = 0; i < 50; i++) await turn();
  expect(wakes).toBeLessThanOrEqual(2);
});

test('one that needs many tokens gets them, though others want one each and never rest', async () => {
  const spender = spenderOf(limit('all', { tokens: 300, window: 60 }));
  let small = 0;
  let big = 0;
  const wait = (by: string, requests: number, done: () => void): void => {
    const use: Use = { ...USE, by };
    const run = spender.reserve('up', use, requests);
    if (run.isShort) {
      run.join(waiterOf({ wake: () => wait(by, requests, done) }));
      return;
    }
    for (let n = 0; n < requests; n++) {
      const spend = run.draw(REQUEST);
      if (!spend.isShort) spend.report(answer());
    }
    run.end();
    done();
  };
  const smallOne = (): void => wait('t/small', 1, () => (small++, setImmediate(smallOne)));
  const bigOne = (): void => wait('t/big', 6, () => (big++, setImmediate(bigOne)));
  for (let i = 0; i < 10; i++) smallOne();
  bigOne();
  for (let second = 0; second < 60; second++) {
    for (let tenth = 0; tenth < 10; tenth++) {
      time.now += 0.1;
      if (tenth === 0) renewAll(spender);
      for (const bucket of spender.shared) bucket.stirred();
      for (let i = 0; i < 8; i++) await turn();
    }
  }
  expect(big).toBeGreaterThanOrEqual(5);
  expect(small).toBeGreaterThan(60);
  spender.close();
});

test('one that needs more than there will ever be begins with one request, when it has waited for more', async () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
  wanted(spender, 1, 2);
  let served = 0;
  const wait = (): void => {
    const run = spender.reserve('up', USE, 20);
    if (run.isShort) {
      run.join(waiterOf({ requests: 1, wake: wait }));
      return;
    }
    const { has, held } = sharedOf(spender, 'all').account.shown;
    expect(held).toBeLessThanOrEqual(has);
    served++;
    sent(run.draw(REQUEST)).report(answer());
    run.end();
  };
  wait();
  for (let second = 0; second < 8; second++) {
    // Its part lives on, and gets no more.
    time.now++;
    const bucket = sharedOf(spender, 'all');
    const row = ledger.get('all/one')!;
    row.credit = 0;
    row.creditAt = time.now;
    const renewal = bucket.renewal();
    bucket.granted(renewal, renew(row, bucket.limit.rule, renewal, { now: time.now, timeline: '1' }));
    for (let i = 0; i < 4; i++) await turn();
  }
  expect(served).toBe(1);
});

describe('a key function that throws', () => {
  const throwing = (key: LimitedUpstream['limits'][number]['key']) =>
    limit('group', { tokens: 600, window: 60 }, { key });

  test('for a header that it does not have yet: the request goes that asks for it', () => {
    const spender = spenderOf(throwing(({ header }) => (header('x-group') as string).toUpperCase()));
    const spend = sent(reserved(spender).draw(REQUEST));
    spend.report(answer(200, { 'x-group': 'g' }));
    expect(sharedOf(spender, 'group', 'G').account.shown.settled).toBe(1);
  });

  test('for a header that answers do not have: the limit does not concern them', () => {
    const spender = spenderOf(throwing(({ header }) => (header('x-group') as string).toUpperCase()));
    for (let i = 0; i < 5; i++) sent(reserved(spender).draw(REQUEST)).report(answer(200, {}));
  });

  test('when its answer is here: what was taken for it is settled all the same', () => {
    let isBad = false;
    const spender = spenderOf(
      throwing(({ header }) => {
        if (isBad) throw new Error('mine');
        return header('x-group');
      }),
    );
    sent(reserved(spender).draw(REQUEST)).report(answer(200, { 'x-group': 'g' }));
    wanted(spender, 1);
    const spend = sent(reserved(spender).draw(REQUEST));
    isBad = true;
    spend.report(answer(200, { 'x-group': 'g' }));
    expect(sharedOf(spender, 'group', 'g').account.shown).toMatchObject({ held: 0, settled: 2 });
  });
});

describe('the one request that asks which bucket it is', () => {
  const byGroup = limit('group', { tokens: 600, window: 60 }, { key: ({ header }) => header('x-group') });

  test('was the only one to be sent, and hundreds waited for what it tells: all of them go on', async () => {
    const spender = spenderOf(byGroup);
    const asking = sent(reserved(spender).draw(REQUEST));
    let woken = 0;
    for (let i = 0; i < 1_000; i++) short(spender.reserve('up', USE, 1)).join(waiterOf({ wake: () => woken++ }));
    asking.report(answer(200, { 'x-group': 'g' }));
    for (let i = 0; i < 20 && woken < 1_000; i++) await turn();
    expect(woken).toBe(1_000);
  });

  test('is still the only one of its kind when another kind has learned its bucket', () => {
    const spender = spenderOf(byGroup);
    const [one, other] = ['t/one', 't/other'].map((by) => sent(reserved(spender, 1, { by }).draw(REQUEST)));
    other!.report(answer(200, { 'x-group': 'g' }));
    expect(short(spender.reserve('up', { ...USE, by: 't/one' }, 1)).key).toBe('');
    one!.report(answer(200, { 'x-group': 'g' }));
    expect(short(spender.reserve('up', { ...USE, by: 't/one' }, 1)).key).toBe('g');
  });

  test('is under way, or waited for: its node goes on to look for what others learn', () => {
    const spender = spenderOf(byGroup);
    const [book] = [...spender.known];
    const asking = sent(reserved(spender).draw(REQUEST));
    expect(book!.isAsking).toBe(true);
    asking.report(answer(200, { 'x-group': 'g' }));
    sent(reserved(spender, 1, { by: 't/other' }).draw(REQUEST));
    const leave = short(spender.reserve('up', { ...USE, by: 't/other' }, 1)).join(waiterOf());
    const later = (): boolean => {
      time.now += 60;
      book!.stirProbes();
      return book!.isAsking;
    };
    expect(later()).toBe(true);
    leave();
    // Its request is still under way.
    expect(later()).toBe(true);
  });

  test('has told, or nobody wants to know any more: its node looks no more', () => {
    const spender = spenderOf(byGroup);
    const [book] = [...spender.known];
    sent(reserved(spender).draw(REQUEST)).report(answer(200, { 'x-group': 'g' }));
    time.now += 11;
    book!.stirProbes();
    expect(book!.isAsking).toBe(false);
    sent(reserved(spender, 1, { by: 't/other' }).draw(REQUEST)).release();
    expect(book!.isAsking).toBe(true);
    time.now += 11;
    book!.stirProbes();
    expect(book!.isAsking).toBe(false);
  });

  test('has told for all names that stand in paths, however many: what is known of the code is never forgotten', () => {
    const spender = spenderOf(byGroup);
    sent(reserved(spender).draw(REQUEST)).report(answer(200, { 'x-group': 'g' }));
    const [book] = [...spender.known];
    // It has letters alone: a name with a digit is an id.
    const nameOf = (n: number): string => String(n).replace(/\d/g, (digit) => 'abcdefghij'[Number(digit)]!);
    for (let i = 0; i < 12_000; i++) {
      const request = { method: 'GET', path: `/repos/${nameOf(i)}` };
      book!.learn(USE, { ...answer(200, { 'x-group': 'g' }), request });
      expect(book!.headerFor('x-group', USE, undefined)).toBe('g');
    }
  });

  test('is refused: nobody asks before the upstream said one may, and it teaches nothing of the header', () => {
    const spender = spenderOf(byGroup);
    sent(reserved(spender).draw(REQUEST)).report(answer(429, {}, 30_000));
    const shortage = short(spender.reserve('up', USE, 1));
    expect(shortage).toMatchObject({ isClosed: true });
    expect(shortage.waitMs).toBeGreaterThan(29_000);
    time.now += 31;
    sent(reserved(spender).draw(REQUEST)).report(answer(200, { 'x-group': 'g' }));
    expect(short(spender.reserve('up', USE, 1)).key).toBe('g');
  });
});

test('a request that asks is refused for no longer than maxHold', () => {
  const rule = { tokens: 600, window: 60, longestClosing: 20 };
  const spender = spenderOf(limit('group', rule, { key: ({ header }) => header('x-group') }));
  sent(reserved(spender).draw(REQUEST)).report(answer(429, {}, 30_000));
  expect(short(spender.reserve('up', USE, 1)).waitMs).toBe(20_000);
});

test('a limit that is lowered holds what is in hand as well', () => {
  const spender = spenderOf(limit('all', { tokens: 6_000, window: 60 }));
  wanted(spender, 1, 100, 3);
  expect(sharedOf(spender, 'all').account.shown.has).toBeGreaterThan(50);
  spender.define({ name: 'up', limits: [limit('all', { tokens: 12, window: 60 })] });
  let served = 0;
  for (let second = 0; second < 20; second++) {
    for (;;) {
      const run = spender.reserve('up', USE, 1);
      if (run.isShort) break;
      served++;
      sent(run.draw(REQUEST)).report(answer());
      time.now += 0.01;
    }
    pass(spender, 1);
  }
  expect(served).toBeLessThanOrEqual(12);
});

test('a key of no letters is a bucket like any other', () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }, { key: () => '' }));
  wanted(spender, 1);
  sent(reserved(spender).draw(REQUEST)).report(answer());
  const [bucket] = spender.shared;
  expect(bucket!.key).toMatch(/^#/);
  expect(bucket!.account.shown.settled).toBe(1);
});

test('very many keys that nobody comes back to are forgotten soon', () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }, { key: ({ id }) => id }));
  for (let i = 0; i < 12_000; i++) short(spender.reserve('up', { ...USE, id: String(i) }, 1));
  time.now += 61;
  spender.beat();
  expect([...spender.shared]).toHaveLength(0);
});

test('answers that cost nothing: what they reserve while they are under way does not hold the others back', () => {
  const spender = spenderOf(limit('all', { tokens: 60_000, window: 60, greatestCost: 1 }, { cost: () => 0 }));
  let underWay: ReturnType<typeof sent>[] = [];
  const served: number[] = [];
  for (let second = 0; second < 12; second++) {
    const leave = short(spender.reserve('up', USE, 1)).join(waiterOf({ requests: 1_000 }));
    pass(spender, 1);
    leave();
    for (const spend of underWay) spend.report(answer());
    underWay = [];
    // Each answer takes a second.
    for (let run = spender.reserve('up', USE, 1); !run.isShort; run = spender.reserve('up', USE, 1)) {
      underWay.push(sent(run.draw(REQUEST)));
      time.now += 0.0002;
      if (underWay.length >= 1_000) break;
    }
    served.push(underWay.length);
    if (underWay.length >= 1_000) return;
  }
  throw new Error(`of 1,000 that are wanted at once there were ${served.join(', ')}`);
});
