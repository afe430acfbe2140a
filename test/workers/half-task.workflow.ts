/** A workflow whose next command hangs on what the SDK says of its task, as the loops of trackers and buffers do. */
import {
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  proxyLocalActivities,
  setHandler,
  sleep,
  upsertMemo,
  workflowInfo,
} from '@temporalio/workflow';

export const poke = defineSignal('poke');
export const pokes = defineQuery<number>('pokes');

export async function poked(): Promise<void> {
  let count = 0;
  setHandler(poke, () => void count++);
  setHandler(pokes, () => count);
  await condition(() => count > 0);
  // A whole task begins with an event of an odd number here, and that is the last one that has been told of.
  if (workflowInfo().historyLength % 2 === 1) upsertMemo({ whole: true });
  else await sleep('1ms');
}

export const refused = defineUpdate('refused');

/** One that does all that makes tasks of other kinds: local activities past a task's time, updates that are refused. */
export async function busy(): Promise<void> {
  let pokesLeft = 5;
  setHandler(poke, () => void pokesLeft--);
  setHandler(refused, () => undefined, {
    validator: () => {
      throw new Error('no');
    },
  });
  const { takeLong } = proxyLocalActivities<{ takeLong(): Promise<void> }>({ startToCloseTimeout: '1 minute' });
  await Promise.all([takeLong(), takeLong().then(() => takeLong()), condition(() => pokesLeft === 0)]);
}
