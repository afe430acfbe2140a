/** A node's side of a bucket: when it may send, what is reserved and settled, how a part ends, what it tells. */
import { Account } from '../../../activities/upstream/budget/account';
import { limitOf, type Limit } from '../../../activities/upstream/budget/limit';
import type { Grant, Renewal } from '../../../activities/upstream/budget/ledger/messages';
import { reserveAll } from '../../../activities/upstream/budget/together';

class Bench {
  monotonic = 1_000;
  wall = 5_000_000;
  readonly account: Account;

  constructor(limit: Partial<Limit> = {}) {
    const clocks = { monotonic: () => this.monotonic, wall: () => this.wall };
    this.account = new Account('n', limitOf({ tokens: 100, window: 60, greatestCost: 5, ...limit }), clocks);
  }

  after(seconds: number): this {
    this.monotonic += seconds;
    this.wall += seconds;
    return this;
  }

  grant(renewal: Renewal, granted: number, more: Partial<Extract<Grant, { kind: 'granted' }>> = {}): void {
    this.account.granted(renewal, {
      kind: 'granted',
      granted,
      lasts: 5,
      seen: { era: 1, spent: 100 },
      at: 0,
      lag: 0,
      rate: 100,
      reserve: 5,
      closedFor: 0,
      generation: 0,
      unknown: false,
      ...more,
    });
  }

  /** With tokens in hand. */
  static with(tokens: number, limit: Partial<Limit> = {}): Bench {
    const bench = new Bench(limit);
    bench.grant(bench.account.renewal(10), tokens);
    return bench;
  }

  /** As many as it may send now, pace aside. */
  sendAll(): number {
    let sent = 0;
    while (this.after(0.5).account.may() && sent < 1_000) {
      this.account.reserve();
      this.monotonic -= 0.5;
      this.wall -= 0.5;
      sent++;
    }
    return sent;
  }
}

test('without a grant nothing is sent', () => {
  expect(new Bench().account.may()).toBe(false);
  expect(new Bench().account.wait).toBe(Infinity);
});

test('the greatest cost is reserved: no more requests are under way than could be paid at worst', () => {
  expect(Bench.with(19).sendAll()).toBe(3);
});

test('an answer settles what it really cost, and the rest is there again', () => {
  const bench = Bench.with(10);
  const ticket = bench.account.reserve();
  bench.account.settle(ticket, { cost: 1 });
  expect(bench.account.shown).toMatchObject({ has: 9, held: 0, settled: 1 });
});

test.each([NaN, -1, Infinity])('a cost of %d counts as the greatest', (cost) => {
  const bench = Bench.with(10);
  bench.account.settle(bench.account.reserve(), { cost });
  expect(bench.account.shown.settled).toBe(5);
});

test('no answer counts as the greatest cost, and is told as late', () => {
  const bench = Bench.with(10);
  bench.account.lose(bench.account.reserve());
  expect(bench.account.renewal(1)).toMatchObject({ settled: 5, late: 5 });
});

test('an answer that comes after its time-out, or twice, changes nothing', () => {
  const bench = Bench.with(20);
  const [late, twice] = [bench.account.reserve(), bench.account.reserve()];
  bench.account.lose(late);
  bench.account.settle(late, { cost: 1, told: { remaining: 0 } });
  bench.account.settle(twice, { cost: 2 });
  bench.account.settle(twice, { cost: 2 });
  bench.account.release(twice);
  bench.account.lose(twice);
  expect(bench.account.renewal(1)).toMatchObject({ settled: 7, late: 5, held: 0, header: undefined });
});

test('what was never sent costs nothing', () => {
  const bench = Bench.with(10);
  bench.account.release(bench.account.reserve());
  expect(bench.account.renewal(1)).toMatchObject({ settled: 0, late: 0, held: 0 });
});

test.each(['monotonic', 'wall'] as const)(
  'what a frozen process had not sent by the %s clock does not go out when it wakes up too late',
  (clock) => {
    const bench = Bench.with(50);
    const ticket = bench.account.reserve();
    bench[clock] += 24;
    expect(bench.account.mayStillSend(ticket)).toBe(true);
    bench[clock] += 2;
    expect(bench.account.mayStillSend(ticket)).toBe(false);
  },
);

describe('a part ends', () => {
  test.each([
    ['by the monotonic clock', 'monotonic'],
    ['by the wall clock of a machine that was suspended', 'wall'],
  ] as const)('%s', (_, clock) => {
    const bench = Bench.with(50);
    bench[clock] += 4.9;
    expect(bench.account.may()).toBe(true);
    bench[clock] += 0.2;
    expect(bench.account.may()).toBe(false);
  });

  test('counted from when the node asked, however late the answer came', () => {
    const bench = new Bench();
    const renewal = bench.account.renewal(10);
    bench.after(4).grant(renewal, 50);
    expect(bench.account.may()).toBe(true);
    expect(bench.after(1.1).account.may()).toBe(false);
  });

  test('and another begins from nothing; the old one is told once all of its requests are back', () => {
    const bench = Bench.with(50);
    const ticket = bench.account.reserve();
    bench.after(6);
    const { epoch } = bench.account.shown;
    expect(bench.account.renewal(1)).toMatchObject({ epoch: epoch + 1, settled: 0, floor: 0, ended: [] });
    bench.account.settle(ticket, { cost: 2 });
    const renewal = bench.account.renewal(1);
    expect(renewal).toMatchObject({ epoch: epoch + 1, settled: 0, ended: [{ epoch, settled: 2 }] });
    bench.grant(renewal, 0);
    expect(bench.account.renewal(1).ended).toEqual([]);
  });

  test('a ledger that says so is obeyed', () => {
    const bench = Bench.with(50);
    const { epoch } = bench.account.shown;
    bench.account.granted(bench.account.renewal(1), { kind: 'ended' });
    expect(bench.account.may()).toBe(false);
    expect(bench.account.renewal(1)).toMatchObject({ epoch: epoch + 1 });
  });
});

test('an answer to a renewal before the last is not heard: it was given back since', () => {
  const bench = new Bench();
  const first = bench.account.renewal(10);
  const second = bench.account.renewal(10);
  bench.grant(first, 50);
  expect(bench.account.may()).toBe(false);
  bench.grant(second, 50);
  expect(bench.account.may()).toBe(true);
});

test('a renewal keeps what the next seconds need, and gives the rest back', () => {
  const bench = Bench.with(50);
  expect(bench.account.renewal(2).floor).toBe(2 * 5 * 1.5 + 5);
  expect(bench.account.renewal(0)).toMatchObject({ floor: 0, wants: 0 });
});

test('too little for a request goes back', () => {
  expect(Bench.with(4).account.renewal(3).floor).toBe(0);
});

test('a header counts by what was surely in it: what the ledger knew, and what was settled here before it was sent', () => {
  const bench = Bench.with(50);
  bench.account.settle(bench.account.reserve(), { cost: 2 });
  const ticket = bench.account.reserve();
  const other = bench.account.reserve();
  bench.account.settle(other, { cost: 2 });
  bench.account.settle(ticket, { cost: 2, told: { remaining: 40 } });
  bench.after(2);
  expect(bench.account.renewal(1).header).toMatchObject({ remaining: 40, era: 1, spent: 102, age: 2 });
});

test('no more is in hand than a header saw to be left', () => {
  const bench = Bench.with(50);
  const ticket = bench.account.reserve();
  bench.account.settle(ticket, { cost: 2, told: { remaining: 12 } });
  expect(bench.account.shown.has).toBe(12);
});

test('an older header does not replace a newer one', () => {
  const bench = Bench.with(50);
  const early = bench.account.reserve();
  bench.account.settle(bench.account.reserve(), { cost: 2 });
  bench.account.settle(bench.account.reserve(), { cost: 2, told: { remaining: 40 } });
  bench.account.settle(early, { cost: 2, told: { remaining: 90 } });
  expect(bench.account.renewal(1).header).toMatchObject({ remaining: 40 });
});

test('a header of an era that is over is not told', () => {
  const bench = Bench.with(50);
  bench.account.settle(bench.account.reserve(), { cost: 2, told: { remaining: 40 } });
  bench.grant(bench.account.renewal(1), 50, { seen: { era: 2, spent: 0 } });
  expect(bench.account.renewal(1).header).toBeUndefined();
});

test('a header of a limit that is not known yet is told at once', () => {
  const bench = new Bench();
  bench.grant(bench.account.renewal(1), 5, { unknown: true });
  bench.account.settle(bench.account.reserve(), { cost: 2, told: { remaining: 40 } });
  expect(bench.account.urgent).toBe(true);
});

describe('refused', () => {
  test('it is closed at once, for all that time, and the ledger is told how long ago the request was sent', () => {
    const bench = Bench.with(50);
    const ticket = bench.account.reserve();
    bench.after(0.5);
    bench.account.settle(ticket, { cost: 0, refusedFor: 30 });
    expect(bench.account.close(ticket, 30)).toMatchObject({ for: 30, sentAgo: 0.5, generation: 0 });
    expect(bench.account.may()).toBe(false);
    expect(bench.account.wait).toBe(30);
  });

  test('the ledger opens it no sooner than it has heard', () => {
    const bench = Bench.with(50);
    bench.account.close(bench.account.reserve(), 30);
    bench.grant(bench.account.renewal(1), 50);
    expect(bench.account.isClosed).toBe(true);
    bench.account.hearClosed(0, 0, true);
    expect(bench.account.isClosed).toBe(false);
  });

  test('a grant that was under way when it was closed does not open it', () => {
    const bench = Bench.with(50);
    const renewal = bench.account.renewal(1);
    const ticket = bench.after(0.1).account.reserve();
    bench.account.close(ticket, 30);
    // The ledger has it now; the grant is of before.
    bench.account.hearClosed(30, 0, true);
    bench.grant(renewal, 50);
    expect(bench.account.isClosed).toBe(true);
    bench.after(1).grant(bench.account.renewal(1), 50);
    expect(bench.account.isClosed).toBe(false);
  });

  test('a refusal that could not be told to the ledger holds here all the same', () => {
    const bench = Bench.with(50);
    bench.account.close(bench.account.reserve(), 30);
    bench.account.closingLost();
    bench.after(1).grant(bench.account.renewal(1), 50);
    expect(bench.account.isClosed).toBe(true);
    bench.after(1).grant(bench.account.renewal(1), 50, { generation: 1 });
    expect(bench.account.isClosed).toBe(false);
  });

  test('what others heard by NOTIFY holds against a grant of before', () => {
    const bench = Bench.with(50);
    const renewal = bench.account.renewal(1);
    bench.after(0.1).account.hearClosed(30, 0);
    bench.grant(renewal, 50);
    expect(bench.account.isClosed).toBe(true);
  });

  test.each([
    [NaN, 15],
    [-3, 0],
    [Infinity, 900],
    [1e12, 900],
  ])('for %d s: it is closed for %d', (seconds, closed) => {
    const bench = Bench.with(50);
    bench.account.close(bench.account.reserve(), seconds);
    bench.account.settle(bench.account.reserve(), { cost: 0 });
    bench.monotonic += 0.6;
    expect(Math.max(0, bench.account.wait === Infinity ? 0 : bench.account.wait)).toBeCloseTo(
      Math.max(0, closed - 0.6),
      1,
    );
  });

  test('a maxHold bounds it, and lets it be longer than two windows', () => {
    const closedFor = (longestClosing: number, seconds: number): number => {
      const { account } = Bench.with(50, { longestClosing });
      account.close(account.reserve(), seconds);
      return account.wait;
    };
    expect([closedFor(20, 60), closedFor(20, Infinity), closedFor(604_800, 86_400)]).toEqual([20, 20, 86_400]);
  });

  test('opened by hand: what was sent before closes it no more', () => {
    const bench = Bench.with(50);
    const ticket = bench.account.reserve();
    bench.account.close(ticket, 30);
    bench.account.hearClosed(0, 1);
    expect(bench.account.isClosed).toBe(false);
    expect(bench.account.close(ticket, 30)).toBeUndefined();
  });

  test('an older refusal does not shorten a newer one', () => {
    const bench = Bench.with(50);
    const old = bench.account.reserve();
    const ticket = bench.after(1).account.reserve();
    bench.account.close(ticket, 60);
    expect(bench.account.close(old, 5)).toBeUndefined();
    expect(bench.account.wait).toBe(60);
  });

  test('only what no header explains makes the ledger doubt the limit', () => {
    const bench = Bench.with(50);
    bench.account.settle(bench.account.reserve(), { cost: 0, refusedFor: 1, told: { remaining: 0 } });
    expect(bench.account.renewal(1).refused).toBe(false);
    bench.account.settle(bench.account.reserve(), { cost: 0, refusedFor: 1 });
    const renewal = bench.account.renewal(1);
    expect(renewal.refused).toBe(true);
    // The message was lost: it is said again.
    bench.account.granted(renewal, undefined);
    expect(bench.account.renewal(1).refused).toBe(true);
  });
});

test('the requests of a second are not sent in its first moment', () => {
  const bench = new Bench();
  bench.grant(bench.account.renewal(10), 100, { rate: 10 });
  let sent = 0;
  for (let i = 0; i < 100 && bench.account.may(); i++, sent++) bench.account.reserve();
  expect(sent).toBeLessThan(4);
  expect(bench.account.wait).toBeGreaterThan(0);
});

test('places are kept as the ledger has them for this node', () => {
  const bench = new Bench({ shape: 'concurrent', greatestCost: 1 });
  bench.grant(bench.account.renewal(4), 4, { rate: 4, reserve: 1 });
  bench.account.reserve();
  expect(bench.account.renewal(9)).toMatchObject({ held: 1, floor: 4, wants: 10 });
  bench.grant(bench.account.renewal(9), 4, { rate: 2, reserve: 1 });
  expect(bench.account.renewal(9)).toMatchObject({ held: 1, floor: 2 });
});

test('64 keys closed at once, and one that is empty: everybody else goes on', () => {
  const all = Array.from({ length: 66 }, () => Bench.with(50));
  for (const { account } of all.slice(0, 64)) account.close(account.reserve(), 600);
  const empty = Bench.with(0);
  const goOn = all.slice(64).map(({ account }) => account);
  expect(all.slice(0, 64).every(({ account }) => !account.may())).toBe(true);
  expect(empty.account.may()).toBe(false);
  expect(goOn.every((account) => account.may())).toBe(true);
});

test('a place that is another node’s by now is not used again', () => {
  const bench = new Bench({ shape: 'concurrent', greatestCost: 1 });
  bench.grant(bench.account.renewal(4), 3, { rate: 3, reserve: 1 });
  const ticket = bench.account.reserve();
  bench.grant(bench.account.renewal(4), 3, { rate: 1, reserve: 1 });
  expect(bench.account.may()).toBe(false);
  bench.account.settle(ticket, { cost: 0 });
  expect(bench.account.may()).toBe(true);
});

test('a bucket that a run needs twice has to have it twice', () => {
  const bench = Bench.with(9);
  expect(reserveAll([bench.account, bench.account])).toBe(bench.account);
  expect(bench.account.shown.held).toBe(0);
});

test('a run that needs several buckets takes all of them or none', () => {
  const [full, empty] = [Bench.with(50), Bench.with(0)];
  expect(reserveAll([full.account, empty.account])).toBe(empty.account);
  expect(full.account.shown.held).toBe(0);
  const other = Bench.with(50);
  expect(reserveAll([full.account, other.account])).toHaveLength(2);
  expect(other.account.shown.held).toBe(5);
});

test('what it heard of the ledger outlives the part: the row may be lost while nobody can reach it', () => {
  const bench = Bench.with(50);
  bench.account.hearClosed(60, 2);
  const renewal = bench.after(20).account.renewal(1);
  expect(renewal).toMatchObject({ settled: 0, known: { era: 1, spent: 100 }, generation: 2, closedFor: 40 });
});

test('what a run sets aside for later requests holds up nobody else: they take their place in the pace when they go', () => {
  const bench = Bench.with(90);
  bench.grant(bench.account.renewal(20), 90, { rate: 20 });
  expect(bench.account.may(10)).toBe(true);
  bench.account.reserve();
  for (let i = 0; i < 9; i++) bench.account.earmark(10);
  // One request of five tokens, at twenty a second.
  expect(bench.after(0.2).account.wait).toBe(0);
});
