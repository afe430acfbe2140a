/**
 * An `init` of a buffer that throws an error whose cause is itself: the worker, its activities and its other buffers go
 * on.
 */
import { defineBuffer } from '../../exports';
import { resolveDefinition } from '../../config/resolve/buffer';
import { eventually } from '../support/stack';
import { config, startDurable, type DurableStack } from './stack';

let durable: DurableStack;
let asked = 0;

const broken = defineBuffer<{ id: number }>({
  name: 'broken',
  init() {
    asked += 1;
    const error = new Error('a');
    error.cause = new Error('b', { cause: error });
    throw error;
  },
  run: () => undefined,
});

beforeAll(async () => {
  durable = await startDurable();
});
afterAll(() => durable.close());

test('is tried again, and ends no worker', async () => {
  const worker = await durable.stack.worker({ ...config, buffers: [broken] }, { workflowBundle: durable.bundle });
  let ended = false;
  worker.ended.then(
    () => (ended = true),
    () => (ended = true),
  );
  const longwatch = await durable.stack.connect();
  await longwatch.buffer('broken').start(resolveDefinition(broken, []).options);
  await eventually('a second try', () => asked > 1);
  expect(await durable.run('payOnce', [{ id: 'beside' }])).toEqual({ receipt: 'receipt of beside' });
  expect(ended).toBe(false);
});
