/** Options that are set by hand, laid over those of the definition. */
import fc from 'fast-check';
import {
  changeProblems,
  GATE_OPTIONS,
  OPERATION_OPTIONS,
  specOf,
  TRACKER_OPTIONS,
  withChanges,
} from '../../workflows/tracker/options';
import { defineConfig, defineTracker, resolveConfig } from '../../exports';
import { refusal } from '../../workflows/lib/options';

describe('options laid over the definition', () => {
  const options = resolveConfig(
    defineConfig({
      trackers: [defineTracker({ name: 't', operations: { a: { every: '1s', run: () => ({ value: 1 }) } } })],
    }),
  ).trackers[0]!.options;

  const twoOperations = { ...options, operations: { a: options.operations.a!, b: options.operations.a! } };
  const at = (of: unknown, path: string) =>
    path.split('.').reduce<unknown>((inner, key) => (inner as Record<string, unknown> | null)?.[key], of);

  test('a change reaches its place and leaves the rest', () => {
    const changed = withChanges(options, { 'operations.a.everyMs': 500 });
    expect(changed.operations.a!.everyMs).toBe(500);
    expect(options.operations.a!.everyMs).toBe(1_000);
  });

  test('every change that may be made has its effect and no other; one that may not has none; null is none', () => {
    const paths = [
      ...[...TRACKER_OPTIONS, ...GATE_OPTIONS].map((spec) => spec.path),
      ...OPERATION_OPTIONS.map((spec) => `operations.a.${spec.path}`),
      'operations.b.everyMs',
      'operations.a.nothing',
      '__proto__.x',
    ];
    const value = fc.oneof(
      fc.integer({ min: -10, max: 100_000 }),
      fc.boolean(),
      fc.constantFrom('a', 'b', '', null, 0.5),
    );
    fc.assert(
      fc.property(fc.constantFrom(...paths), value, (path, to) => {
        const before = structuredClone(options);
        const after = withChanges(options, { [path]: to });
        expect(options).toEqual(before);
        const may = changeProblems(options, { path, value: to }).length === 0;
        if (!may || to === null || path.endsWith('slowerThanMs')) expect(after).toEqual(before);
        else expect(at(after, path)).toBe(to);
        if (may && to !== null) {
          const spec = specOf(path)!;
          expect(refusal(spec, to)).toBeUndefined();
          if (typeof to === 'number') expect(to >= spec.min! && to <= spec.max!).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('backpressure set by hand on an operation that had none gets its default threshold', () => {
    const changed = withChanges(twoOperations, { 'operations.a.skipWhile.operation': 'b' });
    expect(changed.operations.a!.skipWhile).toEqual({ operation: 'b', slowerThanMs: 1_000 });
  });

  test('a threshold without an operation to look at changes nothing', () => {
    const changed = withChanges(twoOperations, { 'operations.a.skipWhile.slowerThanMs': 500 });
    expect(changed.operations.a!.skipWhile).toBeNull();
    const both = withChanges(twoOperations, {
      'operations.a.skipWhile.slowerThanMs': 500,
      'operations.a.skipWhile.operation': 'b',
    });
    expect(both.operations.a!.skipWhile).toEqual({ operation: 'b', slowerThanMs: 500 });
  });

  test.each([
    ['operations.b.everyMs', 1_000, /no operation b/],
    ['operations.__proto__.everyMs', 1_000, /no operation __proto__/],
    ['operations.constructor.everyMs', 1_000, /no operation constructor/],
    ['operations.a.skipWhile.operation', 'constructor', /no operation constructor/],
    ['operations.a.evry', 1_000, /no option/],
    ['operations.a.everyMs', 1, /at least 50/],
    ['gate.everyMs', 1_000, /no gate/],
    ['operations.a.skipWhile.operation', 'a', /wait for itself/],
  ])('%s = %s is refused', (path, value, message) => {
    expect(changeProblems(options, { path, value }).join()).toMatch(message);
  });
});
