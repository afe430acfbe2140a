/** A pool that no node may keep is offered again soon, and later each time; its error says what is wrong. */
import { declined, declinedFor } from '../../activities/tracker/shift/declined';

test('TR-M13: after a quarter of a second, twice as long each time, five seconds at most', () => {
  expect([1, 2, 3, 4, 5, 6, 7, 1_000].map(declinedFor)).toEqual([250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
});

test('TR-M13: the error has that time, and says whether the config or a wish is why', () => {
  const node = { row: { name: 'n' } };
  const claim = { tracker: 't', pool: 3, runId: 'r', shift: 1, attempt: 3, node: 'n' };
  expect(declined(node, claim, true)).toMatchObject({
    ...{ type: 'Declined', nextRetryDelay: 1_000, nonRetryable: false },
    message: 'node n may not keep pools of t now (drained, or without its label), and no other node may',
  });
  expect(declined(node, { ...claim, attempt: 1 }, false)).toMatchObject({
    ...{ type: 'NotDefinedHere', nextRetryDelay: 250, nonRetryable: false },
    message: 'the config of node n has no tracker t, and no other node that lives has it',
  });
});
