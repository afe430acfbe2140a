/**
 * Handlers that wait for tokens of a limited upstream: while they do their tracker is paused, their pool goes to
 * another node, or their node is lost. Each message counts once, in order, and no request is sent for a handler that
 * was given up.
 */
import { WorkerSpending } from '../../../activities/upstream/spend/run';
import { permitFor, setWorkerSpending, unsetWorkerSpending } from '../../../activities/upstream/spending';
import type { NodeSpender } from '../../../activities/upstream/budget/node/spender';
import type { MemberContext } from '../../../config/define/member';
import { limit, pass, spenderOf } from '../../upstream/budget/node/memory';
import { becomes, handled, nodeOf, send, stateOf, trackerOf, type TurnsNode } from './kit';

let spender: NodeSpender;
let worker: WorkerSpending;
let begun: number[] = [];
let sent: number[] = [];
beforeEach(() => {
  begun = [];
  sent = [];
  spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
  setWorkerSpending((worker = new WorkerSpending(spender)));
});
afterEach(() => {
  unsetWorkerSpending(worker);
  spender.close();
});
const asking = trackerOf({
  state: { initial: (): number[] => [] },
  receive: {
    retryBase: '100ms',
    retryCap: '100ms',
    attempts: 100,
    async handle(message: number, { state, signal }: MemberContext<number[]>) {
      begun.push(message);
      const permit = await permitFor('up', { method: 'GET', path: '/', id: undefined, signal });
      sent.push(message);
      permit!.report({ status: 200, header: () => undefined });
      state.push(message);
    },
  },
});
const waiting = () => spender.find({ upstream: 'up', limit: 'all', key: 'one' })?.waiting ?? 0;
const waits = () => becomes(waiting, (handlers) => handlers === 1);
const set = ({ kit }: TurnsNode, state: 'paused' | 'running') => kit.shift.follow({ ...kit.tracker, state });
/** Two messages of one sender to one member. */
async function two(): Promise<TurnsNode> {
  const node = await nodeOf(asking, { node: 'first' });
  await send([
    ['a', 1],
    ['a', 2],
  ]);
  node.turns.lookAtAll();
  await waits();
  return node;
}
/** As long as anybody asks. */
async function goesOn(): Promise<void> {
  const seconds = setInterval(() => pass(spender, 1), 20);
  await handled().finally(() => clearInterval(seconds));
  await becomes(
    () => stateOf('a'),
    (state) => (state as number[]).length === 2,
  );
  expect(await stateOf('a')).toEqual([1, 2]);
  expect(sent).toEqual([1, 2]);
}

test('with nothing left it has failed and comes again, and the next one of its sender waits for it', async () => {
  const { errors } = await two();
  await becomes(
    () => errors,
    (all) => all.length > 1,
  );
  expect(errors[0]!.error.message).toMatch(/HoldError/);
  expect(new Set(begun)).toEqual(new Set([1]));
  await goesOn();
});

test('its tracker is paused meanwhile: it ends, and the next one begins when it goes on', async () => {
  const node = await two();
  set(node, 'paused');
  pass(spender, 2);
  await becomes(
    () => stateOf('a'),
    (state) => (state as number[] | undefined)?.length === 1,
  );
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
  expect(begun).toEqual([1]);
  set(node, 'running');
  await goesOn();
});

test.each([
  ['its pool goes to another node', true],
  ['its node has lost the pool', false],
])('%s: it leaves the line, and the other one asks', async (_, isOurs) => {
  const { turns, kit } = await two();
  await turns.leave(kit.shift, isOurs);
  expect(waiting()).toBe(0);
  const second = await nodeOf(asking, { node: 'second' });
  second.turns.lookAtAll();
  await waits();
  await goesOn();
  expect(begun.filter((message) => message === 2)).toEqual([2]);
});
