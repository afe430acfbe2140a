/** A member's buckets keep what they have, where machines are suspended, clocks are set and limits are learned. */
import { setImmediate } from 'node:timers/promises';
import { limitOf } from '../../../../activities/upstream/budget/limit';
import type { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import type { ChangedRow, Purse, PurseRow, Spend, UpstreamLimit } from '../../../../activities/upstream/budget/spender';
import { answer } from './kit';
import { clock, limitIn, loaded, sent, spenderOf, take } from './purse-kit';

test('a machine that was suspended stood still too, though its monotonic clock does not say so', () => {
  const spender = spenderOf({ rule: limitOf({ tokens: 150, window: 900, greatestCost: 5 }), key: ({ id }) => id });
  const purse = loaded(spender, 2);
  const early = sent(take(spender, purse, 0));
  clock.suspended = 600;
  clock.now += 600;
  expect(early.maySend).toBe(false);
  expect(take(spender, purse, 1).isShort).toBe(true);
  purse.flushed(purse.harvest(10), true);
  expect(take(spender, purse, 1).isShort).toBe(false);
});

describe.each([120, -120, 61.5])('the database’s clock is set by %d s', (step) => {
  const limit: Partial<UpstreamLimit> = {
    rule: limitOf({ tokens: 10, window: 300, greatestCost: 5 }),
    key: ({ id }) => id,
    cost: () => 5,
  };

  /** Rows of a member that has spent everything, as its keeper stores them once the clock was set. */
  function storedAfter(): PurseRow[] {
    const spender = spenderOf(limit);
    const purse = loaded(spender, 2);
    let rows: ChangedRow[] = [];
    for (let i = 0; i < 2; i++) {
      sent(take(spender, purse, 0)).report(answer());
      purse.flushed((rows = purse.harvest(10)), true);
    }
    expect(purse.harvest(10)).toEqual([]);
    // Nobody has asked for this one yet.
    purse.load(1, rows, true);
    clock.ahead = step;
    const failed = purse.harvest(10);
    purse.flushed(failed, false);
    const again = purse.harvest(10);
    expect(again.map(({ slot }) => slot)).toEqual([0, 1]);
    expect(again).toEqual(failed);
    purse.flushed(again, true);
    expect(purse.harvest(10)).toEqual([]);
    expect(again[0]).toEqual({ ...again[1], slot: 0 });
    return again.slice(1);
  }

  test.each([
    ['another node, which has read it since', step],
    ['a next shift of the same node', 0],
  ])('to %s nothing comes back early, and nothing late', (_, readAt) => {
    const rows = storedAfter();
    const spender = spenderOf(limit, readAt);
    const purse = spender.purse(1);
    purse.load(0, rows, true);
    const pass = (seconds: number): void => {
      for (let i = 0; i < seconds; i++, clock.now++) spender.beat();
    };
    pass(295);
    expect(take(spender, purse, 0).isShort).toBe(true);
    // A slot that has its last moment behind it, and one of the way from clock to clock.
    pass(5 + 2 * 10 + 1);
    sent(take(spender, purse, 0));
  });
});

test('the database’s clock is set: nothing is stored before the rows that nobody has asked for are', () => {
  const limit = { rule: limitOf({ tokens: 10, window: 300, greatestCost: 5 }), key: ({ id }: { id?: string }) => id };
  const spender = spenderOf(limit);
  const purse = loaded(spender, 2);
  sent(take(spender, purse, 0)).report(answer());
  const rows = purse.harvest(10);
  purse.flushed(rows, true);
  purse.load(1, rows, true);
  // A shift of members that nobody has asked for.
  const idle = spender.purse(1);
  idle.load(0, rows, true);
  clock.ahead = -120;
  for (const one of [purse, idle]) {
    one.harvest(0);
    expect(one.isStored).toBe(false);
  }
  purse.flushed(purse.harvest(10), true);
  expect(purse.isStored).toBe(true);
  // It is put right, and the flush that tells of it fails.
  clock.ahead = 0;
  purse.flushed(purse.harvest(10), false);
  expect(purse.isStored).toBe(false);
  expect(purse.harvest(10)).toMatchObject([{ slot: 0 }, { slot: 1, stored: rows[0]!.stored }]);
});

describe('another limit is learned while something is spent that no flush has taken', () => {
  /** One that keeps a member, and the rows that it leaves behind. */
  function keeper(): {
    left: () => ChangedRow[];
    spend: (tokens: number) => Spend;
    spender: NodeSpender;
    purse: Purse;
  } {
    const spender = spenderOf({ rule: limitOf({ greatestCost: 5 }), cost: () => 5 });
    const purse = loaded(spender, 1);
    const tell = (tokens: number) =>
      answer(200, { 'x-ratelimit-group': 'char', 'x-ratelimit-limit': `${tokens}/15m`, 'x-ratelimit-remaining': '90' });
    const spend = (tokens: number): Spend => {
      const spent = sent(take(spender, purse, 0));
      spent.report(tell(tokens));
      return spent;
    };
    spend(150);
    purse.flushed(purse.harvest(10), true);
    return {
      spender,
      purse,
      spend,
      left: () => {
        spender.release(purse);
        return purse.harvest(10);
      },
    };
  }

  test('it is stored with the rest', () => {
    const { spend, left } = keeper();
    spend(100);
    expect(left()).toMatchObject([{ slot: 0, stored: { tokens: [10] } }]);
  });

  test('and spent from what the next keeper counts', () => {
    const { spender, purse, spend } = keeper();
    spend(100);
    expect(take(spender, purse, 0).isShort).toBe(true);
    purse.flushed(purse.harvest(10), true);
    expect(take(spender, purse, 0).isShort).toBe(false);
  });

  test('and what is under way counts whole', () => {
    const { spender, purse, left } = keeper();
    sent(take(spender, purse, 0));
    spender.define({ name: 'up', limits: [] });
    spender.define({
      name: 'up',
      limits: [
        {
          name: 'group',
          rule: limitOf({ tokens: 20, window: 900, greatestCost: 5 }),
          scope: 'member',
          key: ({ id, header }) => `${header('x-ratelimit-group')}:${id}`,
          secret: false,
          cost: () => 5,
        },
      ],
    });
    take(spender, purse, 0);
    expect(left()).toMatchObject([{ slot: 0, stored: { tokens: [5], late: { tokens: 5 } } }]);
  });
});

test('a limit that is raised by hand is there for members that wait for their own buckets', async () => {
  const key: UpstreamLimit['key'] = ({ id }) => id;
  const given = { key, cost: () => 1, rule: limitOf({ tokens: 2, window: 900 }) };
  const spender = spenderOf(given);
  const purse = loaded(spender, 1);
  for (let i = 0; i < 2; i++) {
    sent(take(spender, purse, 0)).report(answer());
    purse.flushed(purse.harvest(10), true);
  }
  const shortage = take(spender, purse, 0);
  if (!shortage.isShort) throw new Error('it has more than its limit');
  let isWoken = false;
  shortage.join({ class: 'watch', requests: 1, wake: () => (isWoken = true) });
  await setImmediate();
  expect(isWoken).toBe(false);
  const raised = { ...limitIn(given), rule: limitOf({ tokens: 20, window: 900 }) };
  spender.define({ name: 'up', limits: [raised] });
  await setImmediate();
  expect(isWoken).toBe(true);
  sent(take(spender, purse, 0));
});
