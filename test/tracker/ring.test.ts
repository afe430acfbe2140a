/**
 * The deal of the next place of a node: real shifts, agendas and runs on one ring. The hanging ones are short of
 * nothing but answers, the healthy ones must not notice them.
 */
import fc from 'fast-check';
import { defineTracker } from '../../exports';
import { Places, type Place } from '../../activities/tracker/shift/places';
import { histories } from '../support/simulate';
import { hangs, members, on, tracker } from './ring-kit';
import { member, shiftOf, T0, type Code, type Kit } from './shift-kit';

describe('TR-H2: a place goes to the next in the ring, not back to who gave it', () => {
  test('beside a tracker whose runs all hang, a healthy one runs on time, with places short', async () => {
    const late: number[] = [];
    const slow = on(undefined, 'slow', 500, hangs, { concurrency: 100 }, { capacity: 40 });
    await slow.pass(1_000);
    const healthy = on(slow, 'healthy', 10, () => ({ value: 1 }));
    const look = healthy.shift.loops.get('look')!;
    const add = look.lateness.add.bind(look.lateness);
    look.lateness.add = (lateMs, now) => (late.push(lateMs), add(lateMs, now));
    await slow.pass(4_000);
    expect(late.length).toBeGreaterThanOrEqual(40);
    // A tick.
    expect(Math.max(...late.slice(10))).toBeLessThanOrEqual(10);
  });

  test('neither does it matter in how many pools they hang, nor that they hang for minutes', async () => {
    let runs = 0;
    const first = on(undefined, 'slow', 50, hangs, { timeout: '5m' }, { capacity: 200 });
    for (let pool = 1; pool < 10; pool++) on(first, 'slow', 50, hangs, { timeout: '5m' }, { pool });
    on(first, 'healthy', 20, () => (runs++, { value: 1 }));
    await first.pass(1_000);
    runs = 0;
    await first.pass(5_000);
    expect(runs).toBeGreaterThanOrEqual(98);
    expect(first.host.ring.free).toBeGreaterThan(0);
  });

  test('an operation of the same tracker is another one: a hanging one leaves it its places', async () => {
    let runs = 0;
    const kit = shiftOf(
      defineTracker({
        name: 't',
        operations: {
          hanging: { every: '1s', concurrency: 50, timeout: '5m', run: hangs },
          healthy: { every: '1s', run: () => (runs++, { value: 1 }) },
        },
      }),
      { capacity: 40 },
    );
    kit.shift.loadAll(members(100), []);
    await kit.pass(2_000);
    runs = 0;
    await kit.pass(5_000);
    expect(runs).toBeGreaterThanOrEqual(490);
  });

  test('one that comes while all places are held by another one still finds some', async () => {
    let runs = 0;
    const slow = on(undefined, 'slow', 400, hangs, { concurrency: 400, timeout: '5m' }, { capacity: 100 });
    await slow.pass(2_000);
    expect(slow.shift.inFlight).toBe(95);
    on(slow, 'healthy', 5, () => (runs++, { value: 1 }));
    await slow.pass(3_000);
    expect(runs).toBeGreaterThanOrEqual(10);
  });

  test.each(['before', 'after'])(
    'a pool whose 5,000 members all hang leaves places to the other pools of the operation, also to those that come %s it',
    async (when) => {
      const runs = new Map<number, number>();
      const code: Code = ({ id }) => {
        const pool = Number(/\d+/.exec(id)![0]);
        if (pool === 0) return new Promise(() => undefined);
        runs.set(pool, (runs.get(pool) ?? 0) + 1);
        return new Promise((resolve) => setImmediate(() => resolve({ value: 1 })));
      };
      const over = { concurrency: 5_000, timeout: '1h' as const };
      const other = (kit: Kit | undefined, pool: number, count: number) => {
        const next = shiftOf(tracker('t', code, over), { beside: kit, pool, capacity: 200 });
        next.shift.loadAll(members(count, `p${pool} `), []);
        return next;
      };
      const first = when === 'before' ? other(undefined, 1, 10) : other(undefined, 0, 5_000);
      await first.pass(2_000);
      if (when === 'before') other(first, 0, 5_000);
      else other(first, 1, 10);
      for (let pool = 2; pool < 8; pool++) other(first, pool, 10);
      await first.pass(3_000);
      runs.clear();
      await first.pass(5_000);
      for (let pool = 1; pool < 8; pool++) expect(runs.get(pool)).toBeGreaterThanOrEqual(45);
    },
  );

  test('two that are both short share alike, whoever was first and however many pools each has', async () => {
    const runs = { one: 0, many: 0 };
    const busy =
      (name: keyof typeof runs): Code =>
      () => {
        runs[name]++;
        return new Promise((resolve) => setImmediate(() => resolve({ value: 1 })));
      };
    const over = { every: '50ms', concurrency: 50 };
    const first = on(undefined, 'many', 300, busy('many'), over, { capacity: 20 });
    for (let pool = 1; pool < 8; pool++) on(first, 'many', 300, busy('many'), over, { pool });
    on(first, 'one', 300, busy('one'), over);
    await first.pass(2_000);
    expect(runs.one).toBeGreaterThan(1_000);
    expect(runs.one / runs.many).toBeGreaterThan(0.9);
    expect(runs.one / runs.many).toBeLessThan(1.1);
  });

  test('a lone operation may use nearly all places, and a small node all of them', async () => {
    const slow = on(undefined, 'slow', 400, hangs, { concurrency: 400 }, { capacity: 8 });
    await slow.pass(2_000);
    expect(slow.host.ring.free).toBe(0);
  });
});

test('of a loop that has left while two of its runs hang each still times out, and nobody has its number until then', async () => {
  const first = on(undefined, 't', 1, hangs, { timeout: '200ms' }, { capacity: 10 });
  await first.pass(50);
  first.shift.loadChanges([member('second', { addedAt: first.clock.time })], []);
  await first.pass(50);
  expect(first.shift.inFlight).toBe(2);
  first.shift.close();
  await first.pass(120);
  expect(first.shift.inFlight).toBe(1);
  const next = on(first, 'other', 1, hangs, { timeout: '10s' });
  await first.pass(300);
  expect([first.shift.inFlight, next.shift.inFlight]).toEqual([0, 1]);
  expect(first.shift.loops.get('look')!.counts.timedOut).toBe(2);
});

test('idle: a loop with nothing due is not looked at, whatever a tick does', async () => {
  const kits = [on(undefined, 't', 5, () => ({ value: 1 }), { every: '1h', stagger: { base: '1h' } })];
  for (let pool = 1; pool < 50; pool++) {
    kits.push(on(kits[0], 't', 5, () => ({ value: 1 }), { every: '1h', stagger: { base: '1h' } }, { pool }));
  }
  let looks = 0;
  for (const { shift } of kits) {
    const loop = shift.loops.get('look')!;
    const closed = shift.closed.bind(shift);
    shift.closed = () => (looks++, closed());
    loop.agenda.ripen = () => void looks++;
  }
  kits[0]!.host.holds.hold('other', undefined, T0 + 1);
  await kits[0]!.pass(500);
  expect(looks).toBe(0);
});

test('TR-M15: a hold is waited for by the clock, and what it held up starts when it is over or lifted', async () => {
  let runs = 0;
  const kit = on(undefined, 't', 10, () => (runs++, { value: 1 }), { every: '1s' });
  await kit.pass(1_000);
  kit.host.holds.hold('t', 'look', T0 + 5_000);
  await kit.pass(1_000);
  runs = 0;
  await kit.pass(2_990);
  expect(runs).toBe(0);
  await kit.pass(1_100);
  expect(runs).toBeGreaterThanOrEqual(10);
});

test('places: over random histories nobody takes more than there is, what is reserved or kept is never refused while one is free, all come back', () => {
  const steps = fc.array(
    fc.record({ op: fc.constantFrom('queue', 'deal', 'release', 'share', 'leave'), pick: fc.nat(), n: fc.nat(40) }),
    { maxLength: 150 },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.boolean(), steps, (total, threads, history) => {
      const places = new Places<number>(total, threads);
      // Six operations, of one pool and of several.
      const all = Array.from({ length: 12 }, (_, i) => places.join(`g${i % 6}`, i));
      const alive = new Set(all);
      const held: Place<number>[] = [];
      const largest = Math.max(total, 6);
      const shareAnew = () => places.share(({ seat }) => 5 * seat);
      shareAnew();
      for (const { op, pick, n } of history) {
        const place = all[pick % all.length]!;
        if (op === 'queue' && alive.has(place)) places.queue(place);
        if (op === 'share') shareAnew();
        if (op === 'release' && held.length > 0) places.release(held.splice(pick % held.length, 1)[0]!);
        if (op === 'leave' && n === 0 && alive.delete(place)) places.leave(place);
        for (let dealt = 0; op === 'deal' && dealt < n; dealt++) {
          const next = places.next();
          if (!next) {
            // Nobody in line is within what is reserved for its operation, or kept for itself, while a place is free.
            for (const { group, inFirst, inMore } of places.free > 0 ? alive : []) {
              if (inFirst) expect(group.within).toBeGreaterThanOrEqual(group.kept);
              if (inFirst || inMore) expect(group.held).toBeGreaterThanOrEqual(group.reserved - group.owedToParts);
            }
            break;
          }
          places.take(next);
          held.push(next);
        }
        expect(held.length).toBeLessThanOrEqual(largest);
        if (!threads) expect(places.free).toBe(total - held.length);
        for (const { group } of all) {
          expect(group.held).toBe(held.filter((one) => one.group === group).length);
        }
      }
      for (const place of held) places.release(place);
      expect(places.free).toBeGreaterThanOrEqual(total);
    }),
    histories(1_000),
  );
});
