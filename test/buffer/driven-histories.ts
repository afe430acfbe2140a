/** Random histories of a shard that is driven by hand, for `plan.test.ts`. */
import fc from 'fast-check';
import type { DrivenShard } from './driven-shard';

type Act =
  | { act: 'push'; count: number; front: boolean; off: boolean }
  | { act: 'repeat' }
  | { act: 'end'; how: 'answer' | 'crash' | 'held' | 'tooLarge'; again: number }
  | { act: 'time'; ms: number }
  | { act: 'outage'; on: boolean }
  | { act: 'memory'; shrink: boolean }
  | { act: 'flush' };

export const acts: fc.Arbitrary<Act[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        act: fc.constant('push' as const),
        count: fc.integer({ min: 0, max: 12 }),
        front: fc.boolean(),
        off: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('repeat' as const) }) },
    {
      weight: 6,
      arbitrary: fc.record({
        act: fc.constant('end' as const),
        how: fc.constantFrom(
          'answer' as const,
          'answer' as const,
          'answer' as const,
          'crash' as const,
          'held' as const,
          'tooLarge' as const,
        ),
        again: fc.integer({ min: 2, max: 9 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ act: fc.constant('time' as const), ms: fc.integer({ min: 1, max: 120 }) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('outage' as const), on: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('memory' as const), shrink: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('flush' as const) }) },
  ),
  { maxLength: 120, size: 'max' },
);

export function live(world: DrivenShard, history: Act[], sameKeys: boolean): number {
  let next = 0;
  let seq = 0;
  let outage = false;
  let last: Parameters<DrivenShard['push']> | undefined;
  for (const one of history) {
    switch (one.act) {
      case 'push': {
        const entries = Array.from({ length: one.count }, () => (sameKeys ? next++ % 7 : next++));
        last = [
          entries,
          {
            sender: 's',
            seq: ++seq,
            ...(one.front ? { front: true } : {}),
            ...(one.off ? { at: world.now + 40 } : {}),
          },
        ];
        world.push(...last);
        break;
      }
      case 'repeat':
        if (last) world.push(...last);
        break;
      case 'end':
        world.end(one.how, (entry) =>
          Number(entry) % one.again === 1 ? 'again' : Number(entry) % one.again === 0 ? 'off' : 'done',
        );
        break;
      case 'time':
        world.now += one.ms;
        break;
      case 'outage':
        outage = one.on;
        break;
      case 'memory':
        world.state.shrunk = one.shrink;
        break;
      case 'flush':
        world.state.flushBelow = world.state.nextEntry;
        break;
    }
    world.work(outage);
  }
  return next;
}
