/** A shift's buckets of its members in memory: what one answer teaches all, who is shared, what a gap stops. */
import { limitOf } from '../../../../activities/upstream/budget/limit';
import { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import type {
  ChangedRow,
  Purse,
  PurseRow,
  Reservation,
  Shortage,
  Spend,
  UpstreamLimit,
} from '../../../../activities/upstream/budget/spender';
import { answer } from './kit';

let now: number;
/** Seconds by which the database's clock was set since the node has read it. */
let ahead: number;
/** Seconds for which the machine was suspended: its monotonic clock stood still. */
let suspended: number;
const clocks = { monotonic: () => now - suspended, wall: () => now };
const urged: string[] = [];

/** @param readAt the database's clock was set by so much before the node read it first */
function spenderOf(limit: Partial<UpstreamLimit>, readAt = 0): NodeSpender {
  const spender = new NodeSpender(
    { clocks, now: () => now + readAt, ahead: () => ahead - readAt, process: 'one', address: 'here' },
    { urge: ({ name }) => urged.push(name.key), tellClosing: () => undefined },
  );
  const whole: UpstreamLimit = {
    name: 'group',
    rule: limitOf({ greatestCost: 5 }),
    scope: 'member',
    key: ({ id, header }) => `${header('x-ratelimit-group')}:${id}`,
    secret: false,
    cost: ({ status }) => (status < 300 ? 2 : 5),
    ...limit,
  };
  spender.define({ name: 'up', limits: [whole] });
  return spender;
}

function loaded(spender: NodeSpender, members: number): Purse {
  const purse = spender.purse(members);
  for (let slot = 0; slot < members; slot++) purse.load(slot, [], true);
  return purse;
}

function take(spender: NodeSpender, purse: Purse, slot: number): Spend | Shortage {
  const use = { class: 'watch' as const, by: 't/look', id: `m${slot}`, purse, slot };
  const reserved: Reservation | Shortage = spender.reserve('up', use, 1);
  if (reserved.isShort) return reserved;
  const spend = reserved.draw({ method: 'GET', path: `/characters/${slot}/look/` });
  reserved.end();
  return spend;
}

const told = (remaining: number, group = 'char') =>
  answer(200, {
    'x-ratelimit-group': group,
    'x-ratelimit-limit': '150/15m',
    'x-ratelimit-remaining': String(remaining),
  });

function sent(spend: Spend | Shortage): Spend {
  if (spend.isShort) throw new Error(`${spend.limit}:${spend.key} has nothing`);
  return spend;
}

beforeEach(() => {
  now = 1_760_000_000;
  ahead = 0;
  suspended = 0;
  urged.length = 0;
});

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
  expect(rows).toMatchObject([{ slot: 0, closedUntil: now + 60 }]);
  const next = spenderOf(limit);
  const other = next.purse(2);
  other.load(0, rows, true);
  other.load(1, [], true);
  const later = (seconds: number): void => {
    // A process that stood still sends nothing before a flush.
    for (let i = 0; i < seconds; i++, now++) next.beat();
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
    now++;
  }
  expect(served).toBe(3);
  // One bucket has taught it to all.
  const spends = [take(spender, purse, 1), take(spender, purse, 1)];
  expect(spends.map(({ isShort }) => isShort)).toEqual([false, true]);
});

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
    now++;
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
  expect(rows).toMatchObject([{ closedUntil: now + 86_400 }]);
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
  now += 3;
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

test('a machine that was suspended stood still too, though its monotonic clock does not say so', () => {
  const spender = spenderOf({ rule: limitOf({ tokens: 150, window: 900, greatestCost: 5 }), key: ({ id }) => id });
  const purse = loaded(spender, 2);
  const early = sent(take(spender, purse, 0));
  suspended = 600;
  now += 600;
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
    ahead = step;
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
      for (let i = 0; i < seconds; i++, now++) spender.beat();
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
  ahead = -120;
  for (const one of [purse, idle]) {
    one.harvest(0);
    expect(one.isStored).toBe(false);
  }
  purse.flushed(purse.harvest(10), true);
  expect(purse.isStored).toBe(true);
  // It is put right, and the flush that tells of it fails.
  ahead = 0;
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
