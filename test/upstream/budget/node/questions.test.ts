/** A question that a node claimed, where the node stands still: it is another one's by then. Without a database. */
import { FirstAsks } from '../../../../activities/upstream/budget/node/first-asks';
import { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import { limit, REQUEST, sent, USE } from './memory';

const question = { upstream: 'up', kind: 'all t/look' };

test.each([
  ['frozen', { monotonic: 60, wall: 60 }],
  ['suspended, and its monotonic clock with it', { monotonic: 0, wall: 60 }],
])('a node that was %s asks under no claim of before', (_, passed) => {
  const at = { monotonic: 1_000, wall: 1_760_000_000 };
  const asks = new FirstAsks({ monotonic: () => at.monotonic, wall: () => at.wall }, () => undefined);
  asks.granted([question], asks.now());
  const spender = new NodeSpender(
    {
      clocks: { monotonic: () => at.monotonic, wall: () => at.wall },
      now: () => at.wall,
      process: 'p',
      address: 'here',
    },
    { mayAsk: (wanted) => asks.may(wanted), urge: () => undefined, tellClosing: () => undefined },
  );
  const byHeader = limit('all', {}, { key: ({ header }) => header('x-group') });
  spender.define({ name: 'up', limits: [byHeader] });
  const run = spender.reserve('up', USE, 1);
  if (run.isShort) throw new Error('it may not ask');
  const spend = sent(run.draw(REQUEST));
  expect(spend.maySend).toBe(true);
  at.monotonic += passed.monotonic;
  at.wall += passed.wall;
  expect(spend.maySend).toBe(false);
  spend.release();
  expect(spender.reserve('up', USE, 1).isShort).toBe(true);
  asks.close();
});
