/** Every simulated world is in the soak, and one of them can be lived through by itself. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { UsageError } from '../../cli/errors';
import { simulations } from './simulations';

const names = (only: string[] = []): string[] =>
  simulations(only).map((file) => path.relative(path.join(__dirname, '..'), file));

test('all files whose histories are counted by simulate.ts are found, also where a part of theirs asks', () => {
  const asking = execFileSync('grep', ['-rlE', `'[./]+/support/simulate'`, path.join(__dirname, '..')], {
    encoding: 'utf8',
  })
    .trim()
    .split('\n')
    .map((file) => path.relative(path.join(__dirname, '..'), file));
  expect(names()).toEqual(expect.arrayContaining(asking.filter((file) => file.endsWith('.test.ts'))));
  expect(names()).toEqual(expect.arrayContaining(['job/world.test.ts', 'tracker/flush.test.ts']));
  expect(names()).not.toContain('soak/simulations.test.ts');
});

test('a word chooses those that have it in their name', () => {
  expect(names(['job/world'])).toEqual(['job/world.test.ts']);
  expect(names(['lease-world', 'shard-simulation'])).toEqual([
    'buffer/shard-simulation.test.ts',
    'durable/lease-world.test.ts',
  ]);
  expect(() => names(['no-such-world'])).toThrow(UsageError);
  expect(() => names(['job/world', 'no-such-world'])).toThrow(/no-such-world[^]*job\/world/);
});
