/**
 * The words of an upstream and how they are obeyed, on real servers: the gate, holds, expiry, unchanged values,
 * freshness, concurrency.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { defineConfig, defineTracker, HoldError, resolveConfig } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import type { TrackerHandle } from '../../client/tracker/handle';
import { eventually, Stack } from '../support/stack';
import { stopwatch } from '../support/stopwatch';

const GATE_MS = 100;
const gate = { answer: 'fails' as boolean | 'fails' | 'hangs' | 'babbles', asked: 0 };
const seen = {
  runs: new Map<string, number[]>(),
  holding: 'nobody',
  running: 0,
  most: 0,
  release: [] as (() => void)[],
};
const errors: string[] = [];

const note = (key: string) => {
  const times = seen.runs.get(key) ?? [];
  times.push(Date.now());
  seen.runs.set(key, times);
};
const runsOf = (key: string) => seen.runs.get(key)?.length ?? 0;

const config = defineConfig({
  trackers: [
    defineTracker({
      name: 'gated',
      poolSize: 10,
      gate: {
        every: GATE_MS,
        timeout: '150ms',
        check: () => {
          gate.asked++;
          if (gate.answer === 'fails') throw new Error('no answer');
          if (gate.answer === 'hangs') return new Promise<boolean>(() => undefined);
          if (gate.answer === 'babbles') return 'yes' as never;
          return gate.answer;
        },
      },
      operations: {
        location: { every: '100ms', run: ({ id }) => (note(`location/${id}`), { value: 1 }) },
        online: {
          every: '100ms',
          run: () => ({ value: { online: true } }),
          whenClosed: () => ({ value: { online: false } }),
        },
        offlineCheck: { every: '100ms', gated: false, run: ({ id }) => (note(`check/${id}`), { value: 1 }) },
      },
      onError: (error) => {
        errors.push(error.message);
      },
    }),
    defineTracker({
      name: 'expiring',
      flush: '50ms',
      operations: {
        // As on ESI: each second is asked for, and the upstream's cache holds longer.
        location: {
          every: '100ms',
          run: ({ id, etag }) => {
            note(`expiring/${id}/${etag ?? 'none'}`);
            note(`expiring/${id}`);
            const expiresAt = Date.now() + 500;
            return etag === undefined ? { value: 'first', etag: 'e1', expiresAt } : { unchanged: true, expiresAt };
          },
        },
        same: { every: '100ms', run: () => ({ value: { list: [1, 2], text: 'same' } }) },
        counted: { every: '100ms', run: ({ id }) => (note(`counted/${id}`), { value: runsOf(`counted/${id}`) }) },
      },
    }),
    defineTracker({
      name: 'held',
      operations: {
        look: {
          every: '100ms',
          run: ({ id }) => {
            note(`look/${id}`);
            if (seen.holding === `look/${id}`) throw new HoldError('429', { afterMs: 3_000 });
            if (seen.holding === `all/${id}`) throw new HoldError('420', { afterMs: 3_000, scope: 'tracker' });
            return { value: 1 };
          },
        },
        other: { every: '100ms', run: ({ id }) => (note(`other/${id}`), { value: 1 }) },
      },
    }),
    defineTracker({
      name: 'slow',
      operations: {
        look: {
          every: '200ms',
          timeout: '1m',
          concurrency: 2,
          run: async () => {
            seen.most = Math.max(seen.most, ++seen.running);
            await delay(40);
            seen.running--;
            return { value: 1 };
          },
        },
      },
    }),
    defineTracker({
      name: 'silent',
      operations: { look: { every: '200ms', timeout: '1h', run: () => new Promise(() => undefined) } },
    }),
  ],
});

let stack: Stack;
let longwatch: Longwatch;

beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker(config);
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());

async function started(name: string, ids: string[]): Promise<TrackerHandle> {
  const tracker = longwatch.tracker(name);
  await tracker.start(resolveConfig(config).trackers.find((one) => one.name === name)!.options);
  await tracker.add(ids, { wait: true });
  return tracker;
}
const valueOf = async (tracker: TrackerHandle, id: string, operation: string) =>
  (await tracker.show(id)).values.find((value) => value.operation === operation);

describe('the gate', () => {
  const ids = Array.from({ length: 40 }, (_, i) => `g${i}`);
  const total = (key: string) => ids.reduce((sum, id) => sum + runsOf(`${key}/${id}`), 0);
  let tracker: TrackerHandle;

  test('while it is not known nothing that is gated is fetched, the ungated goes on, all are marked offline', async () => {
    tracker = await started('gated', ids);
    await eventually('it has grown to four pools', async () => (await tracker.pools()).length >= 4);
    await eventually('the ungated runs for all', () => ids.every((id) => runsOf(`check/${id}`) > 2));
    await eventually('all are marked offline', async () => {
      const rows = await stack.sql(
        `select 1 from longwatch.value v join longwatch.member m on m.key = v.member
         where m.tracker = 'gated' and v.operation = 'online' and v.value = '{"online": false}'`,
      );
      return rows.length === ids.length;
    });
    expect(total('location')).toBe(0);
    expect(errors).toContain('no answer');
  });

  test('it is asked once for all pools, as often as it says', async () => {
    gate.answer = true;
    await eventually('it is open', async () => (await tracker.status()).gate === 'open');
    const [asked, since] = [gate.asked, Date.now()];
    await eventually('twenty more answers', () => gate.asked >= asked + 20);
    const each = (Date.now() - since) / 20;
    expect(each).toBeGreaterThan(GATE_MS * 0.8);
  });

  test('every pool follows within a second, open and closed', async () => {
    const pools = async () => (await tracker.pools()).filter((pool) => pool.members > 0).length;
    expect(await pools()).toBeGreaterThanOrEqual(4);
    const followed = async (): Promise<number> => {
      gate.answer = false;
      await eventually('closed', async () => (await tracker.status()).gate === 'closed');
      await eventually('all stand still', async () => {
        const before = total('location');
        await delay(300);
        return total('location') === before;
      });
      seen.runs.clear();
      const took = stopwatch();
      gate.answer = true;
      await eventually('all run', () => ids.every((id) => runsOf(`location/${id}`) > 0));
      return took();
    };
    // The next question, a second at most to every shift, an interval, and two looks of this test. A machine that is
    // busy has PostgreSQL wait as well, so the quickest of several times counts.
    const most = GATE_MS + 1_000 + 300;
    let quickest = Infinity;
    for (let times = 0; times < 5 && quickest >= most; times++) quickest = Math.min(quickest, await followed());
    expect(quickest).toBeLessThan(most);
    await eventually('players are seen online', async () => {
      const value = await valueOf(tracker, 'g7', 'online');
      return JSON.stringify(value?.value) === '{"online":true}';
    });
  });

  test.each(['fails', 'hangs', 'babbles'] as const)(
    'a check that %s leaves it open twice, and closes it the third time',
    async (how) => {
      gate.answer = true;
      await eventually('it is open', async () => (await tracker.status()).gate === 'open');
      errors.length = 0;
      const message = { fails: 'no answer', hangs: 'timed out after 150 ms', babbles: 'return true or false' }[how];
      const failures = () => errors.filter((error) => error.includes(message)).length;
      const since = Date.now();
      gate.answer = how;
      await eventually('two failures', () => failures() >= 2);
      const { gate: then } = await tracker.status();
      // Not where the third one has come meanwhile, or the last answer has grown old, on a machine that stood still.
      if (failures() === 2 && Date.now() - since < 700) expect(then).toBe('open');
      await eventually('it is closed', async () => (await tracker.status()).gate === 'closed');
      expect(failures()).toBeGreaterThanOrEqual(3);
    },
  );
});

test('an expiry makes the next run wait; the ETag goes along, and an unchanged answer keeps value and changedAt', async () => {
  const tracker = await started('expiring', ['a']);
  await eventually('asked again with the ETag', () => runsOf('expiring/a/e1') >= 3);
  const times = seen.runs.get('expiring/a')!;
  for (let i = 1; i < times.length; i++) expect(times[i]! - times[i - 1]!).toBeGreaterThanOrEqual(500);
  expect(runsOf('expiring/a/none')).toBe(1);
  const location = (await valueOf(tracker, 'a', 'location'))!;
  expect(location).toMatchObject({ value: 'first', etag: 'e1' });
  expect(location.fetchedAt! > location.changedAt!).toBe(true);

  const before = (await valueOf(tracker, 'a', 'same'))!;
  const counted = (await valueOf(tracker, 'a', 'counted'))!;
  await eventually('fetched again', async () => (await valueOf(tracker, 'a', 'same'))!.fetchedAt! > before.fetchedAt!);
  expect((await valueOf(tracker, 'a', 'same'))!.changedAt).toBe(before.changedAt);
  await eventually(
    'a changed value moves',
    async () => (await valueOf(tracker, 'a', 'counted'))!.changedAt! > counted.changedAt!,
  );
});

test('Better: Retry-After is honoured for the operation, or for all operations where it says so', async () => {
  const tracker = await started('held', ['a', 'b']);
  await eventually('all run', () => ['look/a', 'look/b', 'other/a', 'other/b'].every((key) => runsOf(key) > 2));
  /** How often each of these ran while that was held. */
  const quiet = async (key: string, keys: string[]) => {
    const before = runsOf(key);
    seen.holding = key === 'look/a' ? 'look/a' : 'all/a';
    const heldUntil = await eventually(
      'it is held',
      async () => (await valueOf(tracker, 'a', 'look'))?.heldUntil ?? undefined,
    );
    seen.holding = 'nobody';
    expect(runsOf('look/a')).toBeGreaterThan(before - 1);
    const [from, to] = [Date.now(), Date.parse(heldUntil)];
    await eventually('the hold is over', () => Date.now() > to);
    const during = (one: string) => seen.runs.get(one)!.filter((at) => at > from && at < to - 50).length;
    return keys.map(during);
  };
  // If the machine stood still for the whole of a hold, nobody ran; then it is held once more.
  let otherRuns = 0;
  for (let times = 0; times < 5 && otherRuns <= 2; times++) {
    const [lookA, lookB, otherA] = await quiet('look/a', ['look/a', 'look/b', 'other/a']);
    expect([lookA, lookB]).toEqual([0, 0]);
    otherRuns = otherA!;
    await eventually('the hold is over', async () => (await valueOf(tracker, 'a', 'look'))?.heldUntil === null);
  }
  expect(otherRuns).toBeGreaterThan(2);
  const before = runsOf('look/b');
  await eventually('it goes on after the hold', () => runsOf('look/b') > before + 1);
  const all = await quiet('all/a', ['look/a', 'look/b', 'other/a', 'other/b']);
  expect(all).toEqual([0, 0, 0, 0]);
});

test('concurrency changed while it runs reaches the running shift', async () => {
  const tracker = await started(
    'slow',
    Array.from({ length: 40 }, (_, i) => `s${i}`),
  );
  const mostIn = async (ms: number) => {
    seen.most = seen.running;
    await delay(ms);
    return seen.most;
  };
  await eventually('two at once', async () => (await mostIn(300)) === 2);
  await tracker.set({ 'operations.look.concurrency': 6 });
  await eventually('six at once', async () => (await mostIn(300)) === 6);
  await tracker.set({ 'operations.look.concurrency': 1 });
  await eventually('one at once', async () => (await mostIn(300)) === 1);
});

test('data that is stale although the shift is alive is counted in status, and again fresh once fetched', async () => {
  const silent = await started('silent', ['a', 'b', 'c']);
  await eventually('all three are stale', async () => {
    const { operations } = await silent.status();
    return operations[0]!.stale === 3;
  });
  expect((await silent.pools())[0]!.onShift).toBe(true);
  const fresh = longwatch.tracker('expiring');
  await eventually('those that are fetched are not', async () => {
    const { operations } = await fresh.status();
    return operations.every((operation) => operation.stale === 0);
  });
});
