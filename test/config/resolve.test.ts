/** The config's resolver: defaults, sources, and every refusal with its path and a suggestion. */
import type { TrackerDefinition } from '../../config/define/tracker';
import { ConfigError } from '../../config/errors';
import type { ConfigDefinition } from '../../config/define/config';
import { resolveConfig } from '../../config/resolve/config';

const run = () => ({ value: 1 });

function tracker(
  extra: object = {},
  operations: Record<string, unknown> = { location: { every: '1s', run } },
): unknown {
  return { name: 'characters', operations, ...extra };
}

function config(extra: object = {}, operations?: Record<string, unknown>): ConfigDefinition {
  return { trackers: [tracker(extra, operations) as TrackerDefinition] };
}

function problems(given: unknown): readonly string[] {
  try {
    resolveConfig(given as ConfigDefinition);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('values', () => {
  test('an operation with nothing but its interval gets every default, compiled', () => {
    const [resolved] = resolveConfig(config()).trackers;
    expect(resolved!.options.operations.location).toEqual({
      everyMs: 1_000,
      concurrency: 50,
      timeoutMs: 5_000,
      stagger: { baseMs: 0, windowMs: 1_000 },
      gated: true,
      enabled: true,
      isolate: false,
      skipWhile: null,
      warnLagMs: 2_000,
      warnBacklog: 50,
      maxExpiryMs: 86_400_000,
      maxHoldMs: 3_600_000,
      maxBackoffMs: 600_000,
    });
    expect(resolved!.options.gate).toBeNull();
    expect(resolved!.options.poolSize).toBe(1_000);
  });

  test('the definition counts before defaults, and defaults before what is built in', () => {
    const [resolved] = resolveConfig({
      defaults: { tracker: { poolSize: 300, flush: 100 }, operation: { concurrency: 7, timeout: '3s' } },
      ...config({ poolSize: 500 }, { location: { every: 250, timeout: '1.5s', run } }),
    }).trackers;
    const { options, sources } = resolved!;
    expect([options.poolSize, options.flushMs, options.shiftMs]).toEqual([500, 100, 600_000]);
    expect([sources.poolSize, sources.flushMs, sources.shiftMs]).toEqual(['definition', 'defaults', 'default']);
    expect(options.operations.location).toMatchObject({ everyMs: 250, timeoutMs: 1_500, concurrency: 7 });
    expect(sources).toMatchObject({
      'operations.location.everyMs': 'definition',
      'operations.location.concurrency': 'defaults',
      'operations.location.warnLagMs': 'default',
    });
  });

  test('options carry their sources, without those of built-in defaults', () => {
    const [resolved] = resolveConfig({ defaults: { operation: { concurrency: 7 } }, ...config() }).trackers;
    expect(resolved!.options.sources).toEqual({
      'operations.location.everyMs': 'definition',
      'operations.location.concurrency': 'defaults',
    });
  });

  test('options are plain JSON', () => {
    const gate = { check: () => true };
    const [resolved] = resolveConfig(config({ gate, onError: () => undefined })).trackers;
    expect(JSON.parse(JSON.stringify(resolved!.options))).toEqual(resolved!.options);
    expect(resolved!.options.gate).toEqual({ everyMs: 30_000, timeoutMs: 10_000 });
  });

  test("the window of the stagger is the operation's interval unless it is given", () => {
    const operations = {
      plain: { every: '10m', run },
      given: { every: '10m', stagger: { base: '1s', window: '2m' }, run },
    };
    const [resolved] = resolveConfig(config({}, operations)).trackers;
    expect(resolved!.options.operations.plain!.stagger).toEqual({ baseMs: 0, windowMs: 600_000 });
    expect(resolved!.options.operations.given!.stagger).toEqual({ baseMs: 1_000, windowMs: 120_000 });
  });

  test('a skipWhile of defaults holds for every operation but the one it names', () => {
    const operations = { location: { every: '1s', run }, ship: { every: '2s', run } };
    const defaults = { operation: { skipWhile: { operation: 'location', slowerThan: '1500ms' } } };
    const [resolved] = resolveConfig({ defaults, ...config({}, operations) }).trackers;
    expect(resolved!.options.operations.location!.skipWhile).toBeNull();
    expect(resolved!.options.operations.ship!.skipWhile).toEqual({ operation: 'location', slowerThanMs: 1_500 });
  });

  test('the route of defaults is that of a tracker without one, and its name is an option', () => {
    const [shared, own] = ['by-first', 'by-last'].map((name) => ({ name, of: (id: string) => id.at(0) }));
    const trackers = [tracker({ name: 'a' }), tracker({ name: 'b', route: own })] as TrackerDefinition[];
    const resolved = resolveConfig({ defaults: { tracker: { route: shared } }, trackers }).trackers;
    expect(resolved.map(({ definition }) => definition.route)).toEqual([shared, own]);
    expect(resolved.map(({ options }) => options.route)).toEqual(['by-first', 'by-last']);
    expect(resolveConfig({ trackers: [trackers[0]!] }).trackers[0]!.options).not.toHaveProperty('route');
  });

  test('the onError hook of defaults is that of a tracker without one', () => {
    const shared = () => undefined;
    const own = () => undefined;
    const trackers = [tracker({ name: 'a' }), tracker({ name: 'b', onError: own })] as TrackerDefinition[];
    const resolved = resolveConfig({ defaults: { tracker: { onError: shared } }, trackers }).trackers;
    expect(resolved.map(({ definition }) => definition.onError)).toEqual([shared, own]);
  });
});

describe('refusals', () => {
  const of = (operation: object) =>
    config({}, { location: { every: '1s', run, ...operation }, ship: { every: 1e3, run } });
  test.each<[what: string, given: unknown, problem: string | RegExp]>([
    ['no object', 7, /^the config must be an object/],
    ['no trackers', {}, /^trackers must be a list/],
    ['an unknown key', { ...config(), treckers: [] }, "treckers is not an option; did you mean 'trackers'?"],
    ['an unknown tracker option', config({ poolsize: 1 }), "trackers.characters.poolsize is not an option; did you mean 'poolSize'?"],
    ['an unknown operation option', of({ evry: 1 }), "trackers.characters.operations.location.evry is not an option; did you mean 'every'?"],
    ['an unknown key of stagger', of({ stagger: { bass: 1 } }), "trackers.characters.operations.location.stagger.bass is not an option; did you mean 'base'?"],
    ['an unknown key of skipWhile', of({ skipWhile: { operation: 'ship', slowerthan: 1 } }), "trackers.characters.operations.location.skipWhile.slowerthan is not an option; did you mean 'slowerThan'?"],
    ['an unknown gate option', config({ gate: { check: run, evry: 1 } }), "trackers.characters.gate.evry is not an option; did you mean 'every'?"],
    ['an unknown key of defaults', { ...config(), defaults: { operations: {} } }, "defaults.operations is not an option; did you mean 'operation'?"],
    ['an unknown default', { ...config(), defaults: { operation: { concurency: 1 } } }, "defaults.operation.concurency is not an option; did you mean 'concurrency'?"],
    ['an unknown key of a group in defaults.buffer', { ...config(), defaults: { buffer: { retry: { atempts: 1 } } } }, "defaults.buffer.retry.atempts is not an option; did you mean 'attempts'?"],
    ['an unknown bound in defaults.buffer', { ...config(), defaults: { buffer: { bound: { rows: 1 } } } }, 'defaults.buffer.bound.rows is not an option'],
    ['a bad default', { ...config(), defaults: { operation: { concurrency: 0 } } }, 'defaults.operation.concurrency must be at least 1, not 0'],
    ['a bad default of the gate', { ...config(), defaults: { gate: { every: 1 } } }, /^defaults\.gate\.every must be at least 100 ms, not 1$/],
    ['a name with a slash', config({ name: 'a/b' }), /^trackers\[0\]\.name must be a name/],
    ['a missing name', config({ name: undefined }), /^trackers\[0\]\.name must be a name/],
    ['a bad operation name', config({}, { 'a.b': { every: 1e3, run } }), /^trackers\.characters\.operations\.a\.b: its name must be/],
    ['two trackers of one name', { trackers: [tracker(), tracker()] }, "trackers[1].name: there are two trackers named 'characters'"],
    ['no operations', config({}, {}), 'trackers.characters.operations must have at least one operation'],
    ['an operation that is no object', config({}, { location: 5 }), /^trackers\.characters\.operations\.location must be an object/],
    ['no interval', of({ every: undefined }), /^trackers\.characters\.operations\.location\.every is required/],
    ['no run', of({ run: undefined }), /^trackers\.characters\.operations\.location\.run must be a function/],
    ['a whenClosed that is no function', of({ whenClosed: 1 }), /whenClosed must be a function$/],
    ['a route that is only a function', config({ route: String }), /^trackers\.characters\.route must be \{ name: /],
    ['a route without code', config({ route: { name: 'r' } }), /^trackers\.characters\.route must be \{ name: /],
    ['a route without a name', config({ route: { of: String } }), /^trackers\.characters\.route\.name must be a name/],
    ['a route with something else', config({ route: { name: 'r', of: String, by: 1 } }), 'trackers.characters.route.by is not an option'],
    ['an onError that is no function', config({ onError: 'log' }), 'trackers.characters.onError must be a function'],
    ['a gate without a check', config({ gate: { every: '1s' } }), /^trackers\.characters\.gate\.check must be a function/],
    ['a gate that is no object', config({ gate: true }), 'trackers.characters.gate must be an object'],
    ['text that is no duration', of({ every: 'often' }), /location\.every must be a duration \(write '500ms'.*\), not 'often'$/],
    ['an empty duration', of({ every: '' }), /location\.every must be a duration/],
    ['a duration that is too short', of({ every: '10ms' }), "trackers.characters.operations.location.every must be at least 50 ms, not '10ms'"],
    ['a duration that is too long', of({ timeout: '2h' }), "trackers.characters.operations.location.timeout must be at most 3600000 ms, not '2h'"],
    ['a number that is not whole', of({ concurrency: 1.5 }), /location\.concurrency must be a whole number, not 1\.5$/],
    ['a number as text', of({ concurrency: '5' }), /location\.concurrency must be a whole number, not '5'$/],
    ['a truth value as text', of({ gated: 'yes' }), /location\.gated must be true or false, not 'yes'$/],
    ['a skipWhile of no operation', of({ skipWhile: { operation: 'shipp' } }), "trackers.characters.operations.location.skipWhile.operation: there is no operation 'shipp'; did you mean 'ship'?"],
    ['a skipWhile of itself', of({ skipWhile: { operation: 'location' } }), /location\.skipWhile\.operation must name another operation/],
    ['a skipWhile without an operation', of({ skipWhile: { slowerThan: '1s' } }), /location\.skipWhile\.operation is required/],
    ['a stagger that is no object', of({ stagger: '1s' }), 'trackers.characters.operations.location.stagger must be an object'],
  ])('%s', (_what, given, problem) => {
    const found = problems(given);
    expect(found).toHaveLength(1);
    if (typeof problem === 'string') expect(found[0]).toBe(problem);
    else expect(found[0]).toMatch(problem);
  }); // prettier-ignore

  test('all problems at once, one a line', () => {
    const given = config({ poolSize: 0, shft: 1 }, { location: { every: '1s' }, ship: { evry: 1, run } });
    const found = problems(given);
    expect(found).toHaveLength(5);
    expect(() => resolveConfig(given)).toThrow(
      `The config cannot be used:\n${found.map((p) => `  - ${p}`).join('\n')}`,
    );
  });
});

describe('activities of a module', () => {
  const one = { name: 'one', run };
  const two = { name: 'two', run };

  test('are its exports, also where a CommonJS module has them once more as its default', () => {
    const names = (activities: object) =>
      resolveConfig({ ...config(), activities } as ConfigDefinition).activities.map(({ name }) => name);
    expect(names({ one, two, helper: () => 1, table: { some: 1 } })).toEqual(['one', 'two']);
    expect(names({ one, two, default: { one, two }, 'module.exports': { one, two } })).toEqual(['one', 'two']);
    expect(names({ default: one })).toEqual(['one']);
  });

  test.each([
    ['a default list', { one, default: [two] }, 'its default export'],
    ['a module in it', { one, more: { two } }, "its export 'more'"],
    [
      'an instance of a class',
      {
        one,
        more: new (class {
          two = two;
        })(),
      },
      "its export 'more'",
    ],
  ])('%s would be lost, and is refused', (_what, activities, what) => {
    expect(problems({ ...config(), activities })).toEqual([
      `activities: ${what} is a list or a module of activities, which would be lost; give each by itself`,
    ]);
  });
});
