/** A seed repeats a chaos run: the same scenarios in the same order with the same choices. */
import { choices } from './random';
import { plan, scenarios, shortScenarios } from './scenarios';

const draw = (seed: number) => {
  const choose = choices(seed);
  return [choose.between(0, 1_000_000), choose.one(['a', 'b', 'c']), choose.some([1, 2, 3, 4, 5], 5)];
};

test('the same seed chooses the same, another one does not', () => {
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
});

test('some are distinct, and no more than there are', () => {
  const some = choices(1).some([1, 2, 3], 9);
  expect([...some].sort()).toEqual([1, 2, 3]);
  expect(() => choices(1).one([])).toThrow(RangeError);
});

test('the first round is that of the test, later ones are shuffled alike', () => {
  const rounds = (seed: number) => {
    const order = choices(seed);
    return [0, 1, 2].map((round) => plan(seed, round, order).map((step) => [step.scenario.name, step.seed]));
  };
  expect(rounds(5)).toEqual(rounds(5));
  expect(rounds(5)[0]!.map(([name]) => name)).toEqual(shortScenarios.map(({ name }) => name));
});

test('a scenario chooses the same whether or not the others run', () => {
  const all = plan(5, 0, choices(5));
  const [alone] = plan(5, 0, choices(5), [scenarios[3]!]);
  expect(alone).toEqual(all[3]);
});
