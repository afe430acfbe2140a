/**
 * The two obvious ways to poll with Temporal, as peers: a workflow an id, and a workflow a pool with an activity a
 * tick.
 */
import { continueAsNew, proxyActivities, sleep, workflowInfo } from '@temporalio/workflow';
import type { PeerActivities } from './peer-process';

const { fetchIds } = proxyActivities<PeerActivities>({ startToCloseTimeout: '10s', retry: { maximumAttempts: 3 } });

/** One id, fetched every `everyMs`. */
export async function watchOne(id: string, everyMs: number): Promise<void> {
  while (!workflowInfo().continueAsNewSuggested) {
    await fetchIds([id]);
    await sleep(everyMs);
  }
  await continueAsNew<typeof watchOne>(id, everyMs);
}

/** Many ids, all fetched by one activity every `everyMs`. */
export async function watchMany(ids: string[], everyMs: number): Promise<void> {
  while (!workflowInfo().continueAsNewSuggested) {
    await fetchIds(ids);
    await sleep(everyMs);
  }
  await continueAsNew<typeof watchMany>(ids, everyMs);
}
