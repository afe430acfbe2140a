/** A workflow a member, as a peer: each message is an update, and its history is cut now and then. */
import {
  allHandlersFinished,
  condition,
  continueAsNew,
  defineUpdate,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';

export const sayUpdate = defineUpdate<number, [string]>('say');

export async function room(words = 0): Promise<void> {
  setHandler(sayUpdate, () => ++words);
  await condition(() => workflowInfo().continueAsNewSuggested && allHandlersFinished());
  await continueAsNew<typeof room>(words);
}
