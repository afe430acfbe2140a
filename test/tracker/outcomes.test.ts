/* eslint-disable @typescript-eslint/only-throw-error -- what users throw is what is tested here */
/**
 * The outcome of one run stays with its id: what it throws or returns, its time-out, a hold that only looks like one,
 * and failures in a row where the store refuses a value. One pool's shift in simulated time.
 */
import { HoldError, type RunResult } from '../../exports';
import { laneOf } from '../../activities/upstream/lane';
import type { Taken } from '../../activities/tracker/shift/pending';
import { packThrown, unpackThrown } from '../../activities/tracker/shift/thrown';
import { type Code, looking, member, shiftOf, T0 } from './shift-kit';

const HOLD = Symbol.for('longwatch.HoldError');

describe('what one id does stays with it', () => {
  const bad: [string, Code][] = [
    [
      'throws',
      () => {
        throw new Error('thrown');
      },
    ],
    [
      'throws a text',
      () => {
        throw 'text';
      },
    ],
    [
      'throws nothing',
      () => {
        throw undefined;
      },
    ],
    [
      'throws what has no words',
      () => {
        throw Object.create(null);
      },
    ],
    [
      'throws an error whose message is no text',
      () => {
        throw Object.assign(new Error(), { message: Symbol('x') });
      },
    ],
    ['rejects', () => Promise.reject(new Error('rejected'))],
    ['returns nothing', () => undefined as never],
    ['returns garbage', () => 'garbage' as never],
    [
      'returns what throws when it is read',
      () => ({
        get value(): never {
          throw new Error('getter');
        },
      }),
    ],
    [
      'returns what throws when it is asked whether it is a promise',
      () =>
        ({
          get then(): never {
            throw new Error('getter');
          },
        }) as never,
    ],
    [
      'returns a promise of its own kind that throws',
      () =>
        ({
          then: () => {
            throw new Error('then');
          },
        }) as never,
    ],
    [
      'returns a promise of its own kind that calls back twice',
      () =>
        ({
          then: (yes: (x: unknown) => void, no: (x: unknown) => void) => {
            no(new Error('first'));
            yes({ value: 1 });
          },
        }) as never,
    ],
    ['hangs', () => new Promise(() => undefined)],
    [
      'asks for a hold of no length',
      () => {
        throw new HoldError('x', { afterMs: NaN, scope: 'member' });
      },
    ],
    [
      'asks for an endless hold',
      () => {
        throw new HoldError('x', { afterMs: Infinity, scope: 'member' });
      },
    ],
  ];
  test.each(bad)('a run that %s fails, counts once, is reported, and the others go on', async (_what, code) => {
    const runs = new Map<string, number>();
    const { shift, errors, pass } = shiftOf(
      looking((context) => {
        runs.set(context.id, (runs.get(context.id) ?? 0) + 1);
        return context.id === 'bad' ? code(context) : { value: 1 };
      }),
    );
    shift.loadAll(
      ['good', 'bad', 'fine'].map((id) => member(id)),
      [],
    );
    await pass(450);
    expect(errors).toMatchObject([{ id: 'bad' }]);
    expect(errors[0]!.error).toBeInstanceOf(Error);
    const [{ successes, failures }] = [...shift.harvest().values()] as [Taken];
    expect([...successes.values()].map((row) => row.json)).toEqual(['1', '1']);
    const [failure] = [...failures.values()];
    expect(failures.size).toBe(1);
    expect(typeof failure!.error).toBe('string');
    if (failure!.heldUntil !== null) expect(Number.isFinite(new Date(failure!.heldUntil).getTime())).toBe(true);
    expect(shift.isOver).toBe(false);
    await pass(2_000);
    expect(runs.get('good')).toBeGreaterThan(1);
    expect(runs.get('fine')).toBeGreaterThan(1);
  });

  test('a time-out aborts the run; what it returns or throws later changes nothing', async () => {
    let aborted = false;
    let settle: { yes: (result: RunResult) => void; no: (error: Error) => void } | undefined;
    const { shift, errors, pass } = shiftOf(
      looking(
        ({ signal }) =>
          new Promise<RunResult>((yes, no) => {
            settle ??= { yes, no };
            signal.addEventListener('abort', () => (aborted = true));
          }),
      ),
    );
    shift.loadAll([member('a')], []);
    await pass(300);
    expect(aborted).toBe(true);
    expect(errors.map(({ error }) => error.message)).toEqual(['timed out after 200 ms']);
    settle!.yes({ value: 'late' });
    settle!.no(new Error('late too'));
    await pass(50);
    expect(errors).toHaveLength(1);
    expect(shift.harvest().get(shift.loops.get('look')!)?.successes.size ?? 0).toBe(0);
    expect(shift.loops.get('look')!.counts).toMatchObject({ failed: 1, timedOut: 1 });
  });

  test('a removed member’s run is aborted and its result dropped', async () => {
    let signal: AbortSignal | undefined;
    let finish: (result: RunResult) => void = () => undefined;
    const { shift, pass, errors } = shiftOf(
      looking((context) => {
        signal = context.signal;
        return new Promise((resolve) => (finish = resolve));
      }),
    );
    const a = member('a');
    shift.loadAll([a], []);
    await pass(50);
    shift.loadChanges([{ ...a, removed: true }], []);
    expect(signal!.aborted).toBe(true);
    finish({ value: 'too late' });
    await pass(50);
    expect(shift.harvest().size).toBe(0);
    expect(errors).toEqual([]);
    expect(shift.members.size).toBe(0);
  });
});

test('an operation’s requests stand in its own lane while its code is called, and in none afterwards', async () => {
  const lanes: string[] = [];
  const { shift, pass } = shiftOf(
    looking(() => {
      lanes.push(laneOf('/a'));
      throw new Error('thrown at once');
    }),
  );
  shift.loadAll([member('one')], []);
  await pass(450);
  expect(new Set(lanes)).toEqual(new Set(['t/look']));
  expect(laneOf('/a')).toBe('/a');
});

describe('a HoldError that looks like one', () => {
  const looksLike = (more: object) => Object.assign(new Error('busy'), { name: 'HoldError', [HOLD]: true }, more);
  class Getters extends Error {
    readonly [HOLD] = true;
    get scope(): never {
      throw new Error('scope');
    }
    get afterMs(): never {
      throw new Error('afterMs');
    }
  }
  const odd: [string, () => Error][] = [
    ['an unknown scope', () => looksLike({ afterMs: 30_000, scope: 'everything' })],
    ['no scope', () => looksLike({ afterMs: 30_000 })],
    ['a scope that is no text', () => looksLike({ afterMs: 30_000, scope: { of: 'tracker' } })],
    ['getters that throw', () => new Getters('busy')],
    ['a wrong scope in our own class', () => new HoldError('busy', { afterMs: 30_000, scope: 'all' as never })],
    [
      'a wrong scope over the wire of a thread',
      () => unpackThrown(structuredClone(packThrown(looksLike({ afterMs: 30_000, scope: 'all' })))),
    ],
    [
      'a scope that cannot cross the wire',
      () => unpackThrown(structuredClone(packThrown(looksLike({ afterMs: 30_000, scope: () => 1 })))),
    ],
  ];
  test.each(odd)('with %s holds its operation, never the tracker, and is told of once', async (_what, error) => {
    const kit = shiftOf({
      name: 't',
      operations: {
        look: { every: '1s', run: () => Promise.reject(error()) },
        other: { every: '1s', run: () => ({ value: 1 }) },
      },
    });
    const warn = jest.spyOn(kit.shift.loops.get('look')!.log, 'warn');
    warn.mockClear();
    kit.shift.loadAll([member('a'), member('b')], []);
    await kit.pass(2_500);
    const { holds } = kit.host;
    expect(holds.until('t', 'look')).toBeGreaterThan(T0 + 14_000);
    expect(holds.until('t', 'other')).toBe(0);
    expect(warn.mock.calls).toHaveLength(1);
  });
});

describe('failures in a row, where the store refuses a value', () => {
  const code: { next: Code } = { next: () => ({ value: 1 }) };
  async function refusedWhile(later: Code): Promise<{ waits: Taken; inARow: number | undefined }> {
    const kit = shiftOf(looking((context) => code.next(context)));
    code.next = () => ({ value: 'refused', etag: 'e1' });
    kit.shift.loadAll([member('a', { addedAt: T0 - 1_000 })], []);
    await kit.pass(50);
    const loop = kit.shift.loops.get('look')!;
    const { successes } = loop.results.take({ rows: Infinity, bytes: Infinity });
    code.next = later;
    await kit.pass(1_000);
    const [[slot, success]] = [...successes] as [[number, Taken['successes'] extends Map<number, infer S> ? S : never]];
    loop.refuse(slot, success);
    return {
      waits: loop.results.take({ rows: Infinity, bytes: Infinity }),
      inARow: loop.known.failuresInARow.get(slot),
    };
  }

  test('a failure that came after it is the second one, also where it waits to be written', async () => {
    const { waits, inARow } = await refusedWhile(() => Promise.reject(new Error('down')));
    expect([...waits.failures.values()].map((failure) => failure.inARow)).toEqual([2]);
    expect(inARow).toBe(2);
  });

  test('a value that came after it is a success, and nothing failed since', async () => {
    const { waits, inARow } = await refusedWhile(() => ({ value: 'good', etag: 'e2' }));
    expect([...waits.successes.values()].map(({ json }) => json)).toEqual(['"good"']);
    expect(inARow).toBeUndefined();
  });
});
