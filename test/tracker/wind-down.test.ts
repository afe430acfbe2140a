/**
 * The end of a shift whose time is up: no run is thrown away, and the rest of the pool does not wait for a long one.
 * (TR-H10)
 */
import { defineTracker, type RunContext, type RunResult } from '../../exports';
import { WindDown } from '../../activities/tracker/shift/wind-down';
import { member, shiftOf, T0, type Kit } from './shift-kit';

interface Counted {
  kit: Kit;
  started: { wallet: number; location: number };
  /** Ends the oldest wallet run that is under way. */
  answer(): void;
}

function pool(timeout: string): Counted {
  const started = { wallet: 0, location: 0 };
  const answers: (() => void)[] = [];
  const wallet = (): Promise<RunResult> => {
    started.wallet++;
    return new Promise((resolve) => answers.push(() => resolve({ value: 'all of it' })));
  };
  const location = ({ id: _id }: RunContext): RunResult => (started.location++, { value: 1 });
  const kit = shiftOf(
    defineTracker({
      name: 't',
      operations: {
        wallet: { every: '1s', concurrency: 1, timeout, run: wallet },
        location: { every: '1s', run: location },
      },
    }),
  );
  kit.shift.loadAll(
    ['a', 'b'].map((id) => member(id, { addedAt: T0 - 60_000 })),
    [],
  );
  return { kit, started, answer: () => answers.shift()!() };
}

/** Steps every 10 ms until it is done; returns how long that took. */
async function end(
  { kit }: Counted,
  down: WindDown,
  meanwhile: (ms: number) => void = () => undefined,
): Promise<number> {
  const began = kit.clock.time;
  while (!down.step(kit.clock.time)) {
    if (kit.clock.time - began > 3_600_000) throw new Error('it does not end');
    await kit.pass(10);
    meanwhile(kit.clock.time - began);
  }
  return kit.clock.time - began;
}

test('a long run is waited for and its result kept; its operation starts no other, the rest of the pool goes on', async () => {
  const counted = pool('5m');
  const { kit, started } = counted;
  await kit.pass(2_000);
  expect(started.wallet).toBe(1);
  started.location = 0;
  const ms = await end(counted, new WindDown(kit.shift, Infinity), (passed) => passed === 30_000 && counted.answer());
  expect(ms).toBeLessThan(30_200);
  expect(started.wallet).toBe(1);
  expect(started.location).toBeGreaterThanOrEqual(58);
  kit.shift.close();
  kit.shift.abandon('over');
  const loop = kit.shift.loops.get('wallet')!;
  expect(loop.counts).toMatchObject({ abandoned: 0, failed: 0 });
  expect([...kit.shift.harvest().get(loop)!.successes.values()].map(({ json }) => json)).toEqual(['"all of it"']);
});

test('a run that hangs is waited for until its time-out, and has failed', async () => {
  const counted = pool('5m');
  await counted.kit.pass(2_000);
  const ms = await end(counted, new WindDown(counted.kit.shift, Infinity));
  expect(ms).toBeGreaterThan(290_000);
  expect(ms).toBeLessThan(301_000);
  expect(counted.kit.shift.loops.get('wallet')!.counts).toMatchObject({ abandoned: 0, timedOut: 1, failed: 1 });
});

test('at its bound it is over, and what is given up is counted', async () => {
  const counted = pool('1h');
  const { kit } = counted;
  await kit.pass(2_000);
  expect(await end(counted, new WindDown(kit.shift, kit.clock.time + 60_000))).toBe(60_000);
  kit.shift.close();
  kit.shift.abandon('over');
  expect(kit.shift.loops.get('wallet')!.counts).toMatchObject({ abandoned: 1, failed: 0 });
});

test('with nothing under way it is over at once; with short runs, as soon as they have ended', async () => {
  const idle = pool('5m');
  expect(new WindDown(idle.kit.shift, Infinity).step(T0)).toBe(true);
  const counted = pool('5m');
  await counted.kit.pass(10);
  expect(counted.started.wallet).toBe(1);
  const ms = await end(
    counted,
    new WindDown(counted.kit.shift, Infinity),
    (passed) => passed === 40 && counted.answer(),
  );
  expect(ms).toBeLessThanOrEqual(60);
  expect(counted.started.wallet).toBe(1);
});

test('an end that is called off leaves nothing standing still', async () => {
  const counted = pool('5m');
  const { kit, started } = counted;
  await kit.pass(2_000);
  const down = new WindDown(kit.shift, Infinity);
  await end(counted, down, (passed) => passed === 30_000 && counted.answer());
  const before = { ...started };
  down.callOff(kit.clock.time);
  await kit.pass(5_000);
  expect(started.wallet).toBe(before.wallet + 1);
  expect(started.location).toBeGreaterThanOrEqual(before.location + 8);
});

test('a bound that is set on the way is never later than the one before', async () => {
  const counted = pool('1h');
  const { kit } = counted;
  await kit.pass(2_000);
  const down = new WindDown(kit.shift, kit.clock.time + 60_000);
  down.atMost(kit.clock.time + 90_000);
  expect(await end(counted, down, (passed) => passed === 10_000 && down.atMost(kit.clock.time + 5_000))).toBe(15_000);
});
