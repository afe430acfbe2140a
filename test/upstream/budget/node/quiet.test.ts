/** A bucket that a node has not used for a while, over a ledger in memory: what is spent of it then is counted. */
import type { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import { answer } from './kit';
import { ledger, limit, pass, REQUEST, reserved, sent, sharedOf, spenderOf, time, wanted } from './memory';

const all = limit('all', { tokens: 600, window: 600 });
const spentOf = (): number => ledger.get('all/one')!.spent;

/** So many requests, each answered, one a second. */
function spend(spender: NodeSpender, requests: number): void {
  for (let i = 0; i < requests; i++) {
    if (!sharedOf(spender, 'all')?.account.may()) wanted(spender, 5, 5, 2);
    const run = reserved(spender);
    sent(run.draw(REQUEST)).report(answer());
    run.end();
    pass(spender, 1);
  }
}

test('the node has forgotten it, and uses it again: all is counted, and no message is taken for an older one', () => {
  const spender = spenderOf(all);
  spend(spender, 20);
  expect(spentOf()).toBe(20);
  pass(spender, 5);
  time.now += 1_000;
  spender.beat();
  expect([...spender.shared]).toHaveLength(0);
  spend(spender, 30);
  expect(spentOf()).toBe(50);
});

test('an answer that turned out to be of it costs tokens, though its part has ended', () => {
  const spender = spenderOf(all);
  spend(spender, 3);
  pass(spender, 3);
  time.now += 20;
  const verdict = { cost: 5, told: undefined, refusedFor: undefined, isMute: false, reason: '' };
  sharedOf(spender, 'all').overdraw(verdict, time.now);
  pass(spender, 2);
  expect(spentOf()).toBe(8);
});
