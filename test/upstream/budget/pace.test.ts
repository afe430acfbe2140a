/** The tokens that a node wants of a bucket, by what its requests cost and what those under way reserve together. */
import { FIGURES } from '../../../activities/upstream/budget/figures';
import { Pace } from '../../../activities/upstream/budget/pace';

/** As of an error limit: each request reserves a token, and its answer costs nothing. */
function pace(): Pace {
  const made = new Pace(1);
  for (let answers = 0; answers < 500; answers++) made.note(0);
  return made;
}

test('who has somewhat more under way than in the second before finds tokens for it', () => {
  const one = pace();
  const inHand: number[] = [];
  // Two quiet seconds after a busy one change nothing: the next one may be busy.
  for (const most of [40, 58, 30, 30, 55]) {
    one.holds(most);
    inHand.push(one.wants(3_000, 1, 0) * FIGURES.inHand);
  }
  [58, 30, 30, 55].forEach((most, second) => expect(inHand[second]).toBeGreaterThanOrEqual(most));
});

test('a peak is forgotten within half a minute', () => {
  const one = pace();
  one.holds(1_000);
  for (let second = 0; second < 30; second++) one.wants(10, 1, 0);
  expect(one.wants(10, 1, 0)).toBeLessThan(2);
});
