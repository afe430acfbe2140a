/** The options that `config` shows, and when two sets of options are the same. */
import { sameOptions } from '../../client/settings';
import { mergeBuckets } from '../../client/status';
import { resolveConfig } from '../../config/resolve/config';
import { settingsOf } from '../../client/tracker/settings';

const resolve = (every: string) =>
  resolveConfig({
    defaults: { operation: { timeout: '3s' } },
    trackers: [{ name: 'things', operations: { look: { every, run: () => ({ value: 1 }) } } }],
  }).trackers[0]!.options;

test('each option has its value, its source and, changed by hand, what it was', () => {
  const settings = settingsOf(resolve('1s'), { 'operations.look.everyMs': 500, poolSize: null });
  const at = (path: string) => settings.find((setting) => setting.path === path);
  expect(at('operations.look.every')).toEqual({
    path: 'operations.look.every',
    value: '500ms',
    compiled: 500,
    source: 'set',
    configured: '1s',
  });
  expect(at('operations.look.timeout')).toMatchObject({ value: '3s', source: 'defaults' });
  expect(at('poolSize')).toMatchObject({ value: '1000', compiled: 1_000, source: 'default' });
  expect(at('operations.look.skipWhile.operation')).toMatchObject({ value: 'none', compiled: null });
  expect(at('gate.every')).toBeUndefined();
});

test('options are the same whatever the order of their keys and whoever gave them', () => {
  const options = resolve('1s');
  const turned = Object.fromEntries(Object.entries(options).reverse()) as unknown as typeof options;
  expect(sameOptions(options, { ...turned, sources: {} })).toBe(true);
  expect(sameOptions(options, resolve('2s'))).toBe(false);
});

test('lateness of several nodes adds up bucket by bucket', () => {
  expect(mergeBuckets([[1, 2], [], [10, 20, 30]])).toEqual([11, 22, 30]);
  expect(mergeBuckets([])).toEqual([]);
});
