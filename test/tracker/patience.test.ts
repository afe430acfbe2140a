/**
 * Ids that fail again and again, in virtual time: how often they are asked, and what the others and the upstream notice
 * of it.
 */
import type { NodeHolds } from '../../activities/tracker/shift/holds';
import { Health, Patience } from '../../activities/tracker/shift/patience';
import { packThrown, unpackThrown } from '../../activities/tracker/shift/thrown';
import { HoldError, type RunContext, type RunResult, type TrackerDefinition } from '../../exports';
import { UpstreamError } from '../../exports/upstream';
import { freshness, member, shiftOf, T0 } from './shift-kit';

const refused = (status: number): UpstreamError =>
  new UpstreamError(`answered ${status}`, { failure: 'status', status, retryable: status >= 500 });

function tracker(
  run: (context: RunContext) => RunResult,
  over: Partial<TrackerDefinition['operations'][string]> = {},
): TrackerDefinition {
  return { name: 't', operations: { look: { every: '1s', run, ...over } } };
}

const HEALTHY = Array.from({ length: 20 }, (_, i) => `good${i}`);

/**
 * Runs `bad` among healthy ones; what it throws at its k-th run, or undefined. @returns when it ran, seconds since the
 * first.
 */
async function runsOf(
  fails: (k: number) => Error | undefined,
  forMs: number,
  over: Partial<TrackerDefinition['operations'][string]> = {},
): Promise<number[]> {
  const at: number[] = [];
  const kit = shiftOf(
    tracker(({ id }) => {
      if (id !== 'bad') return { value: 1 };
      const error = fails(at.length);
      at.push(kit.clock.now());
      if (error) throw error;
      return { value: 1 };
    }, over),
  );
  kit.shift.loadAll(
    HEALTHY.map((id) => member(id)),
    [],
  );
  await kit.pass(5_000);
  kit.shift.loadChanges([member('bad', { addedAt: kit.clock.now() })], []);
  await kit.pass(forMs);
  return at.map((time) => (time - at[0]!) / 1_000);
}

const gaps = (times: number[]): number[] => times.slice(1).map((time, k) => Math.round(time - times[k]!));

test('an id that is refused is asked after 1, 2, 4, 8 … intervals, up to maxBackoff', async () => {
  const times = await runsOf(() => Object.assign(new Error('gone'), { status: 404 }), 60_000, { maxBackoff: '10s' });
  expect(gaps(times)).toEqual([1, 2, 4, 8, 10, 10, 10, 10].slice(0, times.length - 1));
  expect(times.length).toBeGreaterThanOrEqual(8);
});

test('one whose error says that asking again is of no use begins at four intervals', async () => {
  expect(gaps(await runsOf(() => refused(403), 62_000))).toEqual([4, 8, 16, 32]);
});

test('a success brings it back to its interval at once', async () => {
  const times = await runsOf((k) => (k < 3 ? refused(403) : undefined), 33_000);
  expect(gaps(times).slice(0, 6)).toEqual([4, 8, 16, 1, 1, 1]);
});

test.each<[string, Error]>([
  ['a time-out', new Error('timed out')],
  ['a 500', refused(500)],
  ['a 408', Object.assign(new Error('x'), { status: 408, retryable: false })],
  ['a 425', refused(425)],
  ['a 429 that is no hold', refused(429)],
  ['a 420 that is no hold', refused(420)],
])('%s is not the id’s own: it is asked at its interval', async (_what, error) => {
  expect(new Set(gaps(await runsOf(() => error, 20_000)))).toEqual(new Set([1]));
});

test('maxBackoff 0 is always at the interval', async () => {
  expect(new Set(gaps(await runsOf(() => refused(403), 20_000, { maxBackoff: 0 })))).toEqual(new Set([1]));
});

test('while most runs fail nobody is asked less often, and after it all are back at once', async () => {
  let away = true;
  const lastRun = new Map<string, number>();
  const kit = shiftOf(
    tracker(({ id }) => {
      lastRun.set(id, kit.clock.now());
      if (away) throw refused(403);
      return { value: 1 };
    }),
  );
  kit.shift.loadAll(
    HEALTHY.map((id) => member(id)),
    [],
  );
  await kit.pass(30_000);
  away = false;
  const back = kit.clock.now();
  await kit.pass(1_100);
  for (const id of HEALTHY) expect(lastRun.get(id)).toBeGreaterThan(back);
});

test('an outage of all keeps nobody away for longer than four intervals, also where the upstream was well before', async () => {
  let away = false;
  const lastRun = new Map<string, number>();
  const kit = shiftOf(
    tracker(({ id }) => {
      lastRun.set(id, kit.clock.now());
      if (away) throw refused(403);
      return { value: 1 };
    }),
  );
  kit.shift.loadAll(
    HEALTHY.map((id) => member(id)),
    [],
  );
  await kit.pass(30_000);
  away = true;
  await kit.pass(30_000);
  away = false;
  const back = kit.clock.now();
  await kit.pass(20_000);
  for (const id of HEALTHY) expect(lastRun.get(id)).toBeGreaterThan(back);
});

test('the next shift goes on where this one was', async () => {
  const at: number[] = [];
  const kit = shiftOf(
    tracker(({ id }) => {
      if (id !== 'bad') return { value: 1 };
      at.push(kit.clock.now() - T0);
      throw refused(403);
    }),
  );
  for (let i = 0; i < 50; i++) kit.host.holds.health('t', 'look').succeeded();
  const bad = member('bad', { addedAt: T0 - 600_000 });
  const known = freshness(bad, { failedAt: T0 - 3_000, heldUntil: T0 + 5_000, failures: 4 });
  kit.shift.loadAll([...HEALTHY.map((id) => member(id)), bad], [known]);
  await kit.pass(22_500);
  expect(at).toHaveLength(2);
  expect(at[0]).toBeGreaterThanOrEqual(5_000);
  // Eight seconds before, so sixteen now.
  expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(16_000);
  const [row] = [...kit.shift.harvest()].flatMap(([, taken]) => [...taken.failures.values()]);
  expect(row!.heldUntil! - row!.failedAt).toBe(32_000);
});

test.each(['was told by the upstream', 'was lifted since'])(
  'a hold of an earlier shift that %s is no interval that doubles',
  async (what) => {
    const at: number[] = [];
    const kit = shiftOf(
      tracker(({ id }) => {
        if (id !== 'bad') return { value: 1 };
        at.push(kit.clock.now());
        throw Object.assign(new Error('gone'), { status: 404 });
      }),
    );
    for (let i = 0; i < 50; i++) kit.host.holds.health('t', 'look').succeeded();
    const lifted = what === 'was lifted since';
    if (lifted) {
      const row = { tracker: 't', operation: 'look', until: 0, toldAt: 0, reason: '', liftedAt: T0 - 1 };
      (kit.host.holds as NodeHolds).adopt(row);
    }
    const bad = member('bad', { addedAt: T0 - 4_000_000 });
    const known = freshness(bad, { failedAt: T0 - 3_600_000, heldUntil: T0, failures: 1, byHold: !lifted });
    kit.shift.loadAll([...HEALTHY.map((id) => member(id)), bad], [known]);
    await kit.pass(10_000);
    expect(gaps(at.map((ms) => ms / 1_000))).toEqual([1, 2, 4]);
  },
);

test('PU-5: two ids that may not be read do not use up everybody’s error budget', async () => {
  let errors = 0;
  let minute = 0;
  let told420 = 0;
  const lastGood = new Map<string, number>();
  let oldest = 0;
  const kit = shiftOf(
    tracker(({ id }) => {
      const now = kit.clock.now();
      if (Math.floor(now / 60_000) !== minute) {
        minute = Math.floor(now / 60_000);
        errors = 0;
      }
      // A hundred errors a minute, then 420 for the rest of it.
      if (errors >= 100) {
        told420++;
        throw new HoldError('420', { afterMs: 60_000 - (now % 60_000), scope: 'tracker' });
      }
      if (id.startsWith('bad')) {
        errors++;
        throw refused(403);
      }
      oldest = Math.max(oldest, now - (lastGood.get(id) ?? now));
      lastGood.set(id, now);
      return { value: 1 };
    }),
  );
  const ids = Array.from({ length: 100 }, (_, i) => `good${i}`);
  kit.shift.loadAll(
    [...ids, 'bad1', 'bad2'].map((id) => member(id)),
    [],
  );
  await kit.pass(5 * 60_000);
  expect(told420).toBe(0);
  expect(oldest).toBeLessThan(2_000);
  expect(lastGood.size).toBe(100);
});

test('an error that throws when it is read is one like any other, and its member goes on', async () => {
  const trap = Object.defineProperty(new Error('trap'), 'status', {
    get: () => {
      throw new Error('getter');
    },
  });
  expect(new Set(gaps(await runsOf(() => trap, 10_000)))).toEqual(new Set([1]));
});

test('out of a thread a hold is a hold, and a refusal is the id’s own', () => {
  const sent = (thrown: unknown): Error => unpackThrown(structuredClone(packThrown(thrown)));
  const hold = sent(new HoldError('429', { afterMs: 5_000, scope: 'tracker' }));
  expect(hold).toBeInstanceOf(HoldError);
  expect(hold).toMatchObject({ message: '429', afterMs: 5_000, scope: 'tracker' });
  expect(sent(refused(403))).toMatchObject({ name: 'UpstreamError', status: 403, retryable: false });
  expect(sent(refused(403))).not.toBeInstanceOf(HoldError);
  expect(sent('text').message).toBe('text');
  expect(sent(undefined)).toBeInstanceOf(Error);
});

test('what is held says nothing of whether the upstream is well', () => {
  const health = new Health();
  const patience = new Patience(health);
  for (let i = 0; i < 100; i++) patience.succeeded(1);
  for (let i = 0; i < 100; i++) patience.failed(2, new HoldError('429', { afterMs: 1 }), 1_000, 600_000);
  expect(health.isGood).toBe(true);
  for (let i = 0; i < 50; i++) patience.failed(2, new Error('x'), 1_000, 600_000);
  expect(health.isGood).toBe(false);
  expect(patience.failed(2, refused(403), 1_000, 600_000)).toBe(0);
});

test('PU-5: after a success an id is as patient as at first', () => {
  const health = new Health();
  for (let run = 0; run < 100; run++) health.succeeded();
  const patience = new Patience(health);
  const fails = () => patience.failed(1, refused(404), 1_000, 60_000);
  const first = [fails(), fails(), fails()];
  expect(first.at(-1)).toBeGreaterThan(first[0]!);
  patience.succeeded(1);
  expect([fails(), fails(), fails()]).toEqual(first);
});
