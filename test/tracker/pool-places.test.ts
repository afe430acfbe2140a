/**
 * The places to which the shifts of a pool go: the pool's workflow on a real server, and nodes that say what the test
 * wants them to.
 */
import { Context } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import {
  moveSignal,
  nodeShiftQueue,
  poolWorkflowId,
  sharedShiftQueue,
  wakeSignal,
  type PoolOpening,
  type ShiftInput,
  type ShiftResult,
  type Unbegun,
} from '../../workflows/tracker/contract';
import { eventually } from '../support/stack';
import { OPENING, POOL_QUEUE, PoolStack, result, statusOf } from './pool-kit';

/** A shift that came to a node, by which queue, and when. */
interface Came {
  queue: string;
  input: ShiftInput;
  atMs: number;
  attempt: number;
  heartbeatTimeoutMs: number | undefined;
}

let stack: PoolStack;
let came: Came[];
/** The pools of this test that run. */
const started: WorkflowHandle[] = [];
/** Has a node that stands still go on. */
let thaw = () => undefined as void;
beforeAll(async () => {
  stack = await PoolStack.start();
});
beforeEach(() => (came = []));
afterEach(() => end());
afterAll(() => stack?.close());

/** Nothing of a test comes to the next one. */
async function end(): Promise<void> {
  // Most have ended by the test itself.
  for (const pool of started.splice(0)) await pool.terminate().catch(() => undefined);
  thaw();
  await stack.endWorkers();
}

/** A node has a second to take what was sent to it, and a busy machine may need longer: then it is tried once more. */
const TRIES = 3;
async function inTime(tracker: string, scenario: (tracker: string) => Promise<void>): Promise<void> {
  for (let tried = 1; ; tried++) {
    try {
      return await scenario(`${tracker}-${tried}`);
    } catch (error) {
      const waits = came.slice(1).map(({ atMs }, at) => atMs - came[at]!.atMs);
      if (tried === TRIES || Math.max(0, ...waits) < 1_000) throw error;
      await end();
      came = [];
    }
  }
}

type Answer = (input: ShiftInput, count: number) => Promise<ShiftResult> | ShiftResult;

/** Notes what comes, and answers. */
function noting(answer: Answer): (input: ShiftInput) => Promise<ShiftResult> {
  return async (input) => {
    const { taskQueue: queue, attempt, heartbeatTimeoutMs } = Context.current().info;
    came.push({ queue, input, atMs: performance.now(), attempt, heartbeatTimeoutMs });
    return answer(input, came.length);
  };
}

/** Keeps it until it is asked to end. */
const keeping =
  (node: string): Answer =>
  async () => {
    const context = Context.current();
    const heart = setInterval(() => context.heartbeat(), 100);
    await context.cancelled.catch(() => undefined).finally(() => clearInterval(heart));
    return result({ end: 'asked', node, to: node });
  };

async function startPool(
  tracker: string,
  shared: Answer,
  opening: Partial<PoolOpening> = {},
  more: object = {},
): Promise<WorkflowHandle> {
  const openPool = (): PoolOpening => ({ ...OPENING, ...opening });
  await stack.worker({ openPool, shift: noting(shared), ...more }, sharedShiftQueue());
  const workflowId = poolWorkflowId(tracker, 0);
  const args = [{ tracker, pool: 0 }];
  const pool = await stack.client.workflow.start('pool', { workflowId, taskQueue: POOL_QUEUE, args });
  started.push(pool);
  return pool;
}

const arrived = (count: number) => eventually(`${count} shifts have come`, () => came.length >= count && came);
const queues = () => came.map(({ queue }) => queue);

test('a pool is born by the shared queue, and stays with the node that its shift names, through continue-as-new too', () =>
  inTime('stays', async (tracker) => {
    const stays: Answer = (_input, count) =>
      count < 4 ? result({ end: 'elapsed', node: 'a', to: 'a' }) : keeping('a')(_input, count);
    await stack.node('a', noting(stays));
    const pool = await startPool(tracker, stays, { historyEvents: 20 });
    await arrived(4);
    expect(queues()).toEqual([sharedShiftQueue(), ...Array.from({ length: 3 }, () => nodeShiftQueue('a'))]);
    expect(came[0]!.input).toEqual({ tracker, pool: 0, shift: 1, durationMs: expect.any(Number) as number });
    expect(came[1]!.input).toMatchObject({ from: 'a' });
    expect(came[1]!.input.hops).toBeUndefined();
    const [{ runId }] = [await pool.describe()];
    // Its history fills up, and the next run starts where the last one ended.
    for (let i = 0; i < 12; i++) await pool.signal(wakeSignal, {});
    await arrived(5);
    expect(queues().at(-1)).toBe(nodeShiftQueue('a'));
    expect((await pool.describe()).runId).not.toBe(runId);
    await pool.terminate();
  }));

test('a redirected pool is at its place at once; hops, since when and from whom are told', () =>
  inTime('handed', async (tracker) => {
    await stack.node('b', noting((_input, count) => (count < 5 ? result({ end: 'redirected', node: 'b', to: 'c', ranMs: 0, members: 0 }) : keeping('b')(_input, count)))); // prettier-ignore
    await stack.node('c', noting((_input, count) => (count === 3 ? result({ end: 'moved', node: 'c', to: 'b' }) : keeping('c')(_input, count)))); // prettier-ignore
    const pool = await startPool(tracker, () =>
      result({ end: 'redirected', node: 'a', to: 'b', ranMs: 0, members: 0 }),
    );
    await arrived(5);
    expect(queues()).toEqual([sharedShiftQueue(), ...['b', 'c', 'b', 'c'].map(nodeShiftQueue)]);
    const told = came.map(({ input: { hops, from } }) => [hops, from]);
    // Given away by c, so counted anew; then redirected once more.
    expect(told).toEqual([[undefined, undefined], [1, undefined], [2, undefined], [1, 'c'], [2, 'c']]); // prettier-ignore
    expect(came[1]!.input.waitedMs).toBe(0);
    expect(came[2]!.input.waitedMs).toBeGreaterThan(0);
    // Nobody waits between them: five starts take less than the second for which a node may leave one alone.
    expect(came[4]!.atMs - came[0]!.atMs).toBeLessThan(5 * 1_000);
    expect((await statusOf(pool)).members).toBe(1);
    await pool.terminate();
  }));

test('a node that does not take a pool within a second loses it to the shared queue, and so does one that fails', () =>
  inTime('falls-back', async (tracker) => {
    await stack.node('dying', noting(() => { throw new Error('it broke'); })); // prettier-ignore
    const to = ['nobody', 'dying', 'silent'];
    const shared: Answer = (input, count) => {
      const next = to.shift();
      return next === undefined ? keeping('a')(input, count) : result({ end: 'moved', node: 'a', to: next });
    };
    const frozen = new Promise<ShiftResult>(
      (resolve) => (thaw = () => resolve(result({ end: 'elapsed', node: 'silent' }))),
    );
    await stack.node(
      'silent',
      noting(() => frozen),
    );
    const pool = await startPool(tracker, shared, { heartbeatTimeoutMs: 1_000 });
    await arrived(6);
    expect(queues()).toEqual([
      sharedShiftQueue(),
      // 'nobody' is the name of no node.
      sharedShiftQueue(),
      nodeShiftQueue('dying'),
      sharedShiftQueue(),
      nodeShiftQueue('silent'),
      sharedShiftQueue(),
    ]);
    expect(came.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 1, 1]);
    const told = came.map(({ input: { hops, from } }) => [hops, from]);
    // It goes on waiting where it was not taken; a failure, or the death of its node, begins anew.
    expect(told).toEqual([[undefined, undefined], [1, 'a'], [1, 'a'], [undefined, undefined], [1, 'a'], [undefined, undefined]]); // prettier-ignore
    expect(came[1]!.input.waitedMs).toBeGreaterThanOrEqual(1_000);
    expect(came[1]!.atMs - came[0]!.atMs).toBeLessThan(4_000);
    // No pause after a failure: Temporal itself tries again what comes by the shared queue.
    expect(came[3]!.atMs - came[2]!.atMs).toBeLessThan(2_000);
    expect((await statusOf(pool)).unbegun).toBeUndefined();
    await pool.terminate();
  }));

test('an operator moves a pool: its shift ends, and the next one is on that node, as one that must be taken', () =>
  inTime('moved-by-hand', async (tracker) => {
    await stack.node('b', noting(keeping('b')));
    const pool = await startPool(tracker, keeping('a'));
    await arrived(1);
    // A message that names no node is passed over.
    for (const garbage of [undefined, null, 7, {}, { to: 7 }, { to: ' ' }, { to: 'x\0' }]) {
      await pool.signal('move', garbage);
    }
    await pool.signal(moveSignal, { to: 'b' });
    await arrived(2);
    expect(came[1]).toMatchObject({ queue: nodeShiftQueue('b'), input: { hops: 2, from: 'a', shift: 2 } });
    const status = await statusOf(pool);
    expect(status).toMatchObject({ queue: nodeShiftQueue('b'), state: 'on shift' });
    expect(status.wanted).toBeUndefined();
    // The node does not take it: the shared queue has it as always.
    await pool.signal(moveSignal, { to: 'nobody' });
    await arrived(3);
    expect(came[2]).toMatchObject({ queue: sharedShiftQueue(), input: { hops: 2, from: 'b' } });
    await pool.terminate();
  }));

test('a pool with a label goes by the queue of its nodes, and a shift that none of them begins is reported and asked for again', async () => {
  const noted: { pool: number; unbegun: Unbegun }[] = [];
  const pool = await startPool('labelled', keeping('a'), { label: 'gpu', beginWithinMs: 500 }, {
    noteUnbegun: (note: { pool: number; unbegun: Unbegun }) => void noted.push(note),
  }); // prettier-ignore
  await eventually('it was written down twice', () => noted.length >= 2);
  expect(came).toEqual([]);
  const queue = sharedShiftQueue('gpu');
  const [first, second] = noted.map(({ unbegun }) => unbegun) as [Unbegun, Unbegun];
  expect(first).toMatchObject({ queue, times: 1 });
  expect(first.untilMs - first.sinceMs).toBe(500);
  // The second wait is twice as long, and belongs to the first.
  expect(second).toMatchObject({ queue, times: 2, sinceMs: first.sinceMs });
  expect(second.untilMs - first.untilMs).toBeGreaterThanOrEqual(1_000);
  expect(await statusOf(pool)).toMatchObject({ queue, unbegun: { queue } });

  // A node of the label comes.
  await stack.run({ taskQueue: queue, activities: { shift: noting((_input, count) => (count === 1 ? result({ end: 'elapsed', node: 'g' }) : keeping('g')(_input, count))) } }); // prettier-ignore
  await arrived(2);
  expect(queues()).toEqual([queue, queue]);
  expect((await statusOf(pool)).unbegun).toBeUndefined();
  await pool.terminate();
});

test('a pool that reads its options again shows the queue of the label that it had', async () => {
  let openings = 0;
  let answer!: (opening: PoolOpening) => void;
  const read = new Promise<PoolOpening>((resolve) => (answer = resolve));
  const opening = { ...OPENING, label: 'gpu', beginWithinMs: 500 };
  const pool = await startPool('reads-again', keeping('a'), {}, {
    openPool: () => (++openings === 1 ? opening : read),
    noteUnbegun: () => undefined,
  }); // prettier-ignore
  await eventually('it reads them again', () => openings === 2);
  const shown = await statusOf(pool);
  answer({ ...opening, label: undefined });
  expect(shown).toMatchObject({ state: 'opening', queue: sharedShiftQueue('gpu') });
  await arrived(1);
  expect(queues()).toEqual([sharedShiftQueue()]);
  await pool.terminate();
});

test('woken after a change of its label, a pool that waits for nodes of the old one goes to those of the new one at once', async () => {
  let label: string | undefined = 'gpu';
  let noted = 0;
  const pool = await startPool('relabelled-waiting', keeping('a'), { beginWithinMs: 3_000 }, {
    openPool: (): PoolOpening => ({ ...OPENING, beginWithinMs: 3_000, label }),
    noteUnbegun: () => void noted++,
  }); // prettier-ignore
  await eventually('nobody begins it', () => noted === 1);
  await eventually('it waits for another six seconds', async () =>
    (await statusOf(pool)).state === 'on shift'); // prettier-ignore
  label = undefined;
  const wokenAt = performance.now();
  await pool.signal(wakeSignal, {});
  await arrived(1);
  expect(queues()).toEqual([sharedShiftQueue()]);
  expect(performance.now() - wokenAt).toBeLessThan(5_000);
  expect(noted).toBe(1);
  await pool.terminate();
});

test('the label and the heartbeat timeout that a shift tells hold for the next one', async () => {
  const options = { shiftMs: 60_000, historyEvents: 1_000, heartbeatTimeoutMs: 7_000 };
  await stack.run({
    taskQueue: sharedShiftQueue('gpu'),
    activities: { shift: noting(() => result({ end: 'elapsed', node: 'g', options })) },
  });
  await startPool('relabelled', (input, count) =>
    count === 1 ? result({ end: 'elapsed', node: 'a', options: { ...options, label: 'gpu' } }) : keeping('a')(input, count),
  ); // prettier-ignore
  await arrived(3);
  expect(queues().slice(0, 3)).toEqual([sharedShiftQueue(), sharedShiftQueue('gpu'), sharedShiftQueue()]);
  expect(came.map(({ heartbeatTimeoutMs }) => heartbeatTimeoutMs)).toEqual([5_000, 7_000, 7_000]);
  await stack.client.workflow.getHandle(poolWorkflowId('relabelled', 0)).terminate();
});

test('two trackers weigh alike where pools wait for a node: the small one does not wait for all of the large one', async () => {
  const openPool = (): PoolOpening => OPENING;
  const workflows = await stack.run({
    taskQueue: POOL_QUEUE,
    workflowBundle: stack.workflowBundle,
    activities: { openPool },
  });
  const start = (tracker: string, pool: number) =>
    stack.client.workflow.start('pool', {
      workflowId: poolWorkflowId(tracker, pool),
      taskQueue: POOL_QUEUE,
      args: [{ tracker, pool }],
    });
  const large = await Promise.all(Array.from({ length: 30 }, (_, pool) => start('large', pool)));
  const waits = async (handle: WorkflowHandle) => (await statusOf(handle)).state === 'on shift';
  for (const pool of large) await eventually('its shift waits', () => waits(pool));
  const small = [await start('small', 0), await start('small', 1)];
  for (const pool of small) await eventually('its shift waits too', () => waits(pool));
  // A node with one place, which it gives to one after the other.
  await stack.run({
    taskQueue: sharedShiftQueue(),
    // A second later it comes again.
    activities: { shift: noting(() => result({ end: 'elapsed', node: 'a', to: 'nobody' })) },
    maxConcurrentActivityTaskExecutions: 1,
  });
  await eventually(
    'both of the small one have begun',
    () => came.filter(({ input }) => input.tracker === 'small').length === 2,
  );
  expect(came.length).toBeLessThan(15);
  for (const pool of [...large, ...small]) await pool.terminate();
  await workflows();
});
