/**
 * The order of classes where tokens are short: calls up to their share, bulk no less than its own, and nobody's part
 * lies idle.
 */
import { simulate } from '../../support/simulate';
import { CLASSES, ClassOrder, type Class } from '../../../activities/upstream/budget/classes';
import { Draws } from '../../support/draws';

/** So many tokens, ten a second, to whoever is ready; answers the shares. */
function shares(ready: (of: Class, n: number) => boolean, tokens = 3_000): Record<Class, number> {
  const order = new ClassOrder();
  const got = { call: 0, watch: 0, bulk: 0 };
  for (let n = 0; n < tokens; n++) {
    const now = n / 10;
    const of = order.first((one) => ready(one, n), now);
    if (of === undefined) continue;
    order.spent(of, 1, now);
    got[of]++;
  }
  return { call: got.call / tokens, watch: got.watch / tokens, bulk: got.bulk / tokens };
}

test('all want everything: 30 % calls, 5 % bulk, the rest is the watch’s', () => {
  const { call, watch, bulk } = shares(() => true);
  expect(call).toBeCloseTo(0.3, 1);
  expect(bulk).toBeCloseTo(0.05, 1);
  expect(watch).toBeCloseTo(0.65, 1);
});

test.each(CLASSES)('%s alone has all', (alone) => {
  expect(shares((of) => of === alone)[alone]).toBe(1);
});

test('nobody is ready', () => {
  expect(new ClassOrder().first(() => false, 0)).toBeUndefined();
});

test('calls after a quiet hour go first', () => {
  const order = new ClassOrder();
  for (let n = 0; n < 1_000; n++) order.spent('watch', 1, n);
  expect(order.first((of) => of !== 'bulk', 1_000)).toBe('call');
});

test('a clock that goes back, or jumps, keeps the order', () => {
  const order = new ClassOrder();
  order.spent('call', 10, 1_000);
  expect(order.first(() => true, 0)).toBe('bulk');
  order.spent('bulk', 1, -1e12);
  expect(order.first(() => true, 1e12)).toBeDefined();
});

simulate(
  'no class waits while a token is free, none is kept out',
  (seed) => {
    const draw = new Draws(seed);
    const busy: Record<Class, number> = { call: draw.next(), watch: draw.next(), bulk: draw.next() };
    const order = new ClassOrder();
    const waits: Record<Class, number> = { call: 0, watch: 0, bulk: 0 };
    for (let n = 0; n < 400; n++) {
      const ready = new Set(CLASSES.filter((of) => draw.chance(busy[of]) || waits[of] > 0));
      const first = order.first((of) => ready.has(of), n / 20);
      if ((first === undefined) !== (ready.size === 0)) throw new Error('a token lay idle');
      for (const of of CLASSES) waits[of] = ready.has(of) && of !== first ? waits[of] + 1 : 0;
      if (first !== undefined) order.spent(first, draw.one([1, 2, 5]), n / 20);
      const longest = Math.max(...Object.values(waits));
      if (longest > 130) throw new Error(`somebody waited for ${longest} tokens: ${JSON.stringify(waits)}`);
    }
  },
  { histories: 300 },
);
