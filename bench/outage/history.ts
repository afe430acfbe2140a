/**
 * The growth of a shard's history in a while, over all of its runs: the bytes of its events, those that bring
 * and handle entries apart from all others. Used by the scenario `outage`.
 */
import type { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';

type Event = temporal.api.history.v1.IHistoryEvent;

export interface Growth {
  /** All events. Bytes. */
  all: number;
  /** Messages that were taken in, and batches with what became of them. Bytes. */
  entries: number;
  events: number;
}

/** The events of all runs of a workflow, read once, the oldest run last. `since`: no run that ended before is read. */
export async function readHistory(client: Client, workflowId: string, since: number): Promise<Measured[]> {
  const events: Measured[] = [];
  let runId: string | undefined = (await client.workflow.getHandle(workflowId).describe()).runId;
  while (runId) {
    const run = await readRun(client, workflowId, runId);
    events.push(...run.events);
    runId = run.beganAt > since ? run.before : undefined;
  }
  return events;
}

interface Measured {
  at: number;
  bytes: number;
  ofEntries: boolean;
}

/** Times are epoch milliseconds. */
export function growthOf(history: readonly Measured[], since: number, until: number): Growth {
  const growth: Growth = { all: 0, entries: 0, events: 0 };
  for (const { at, bytes, ofEntries } of history) {
    if (at < since || at >= until) continue;
    growth.all += bytes;
    growth.events++;
    if (ofEntries) growth.entries += bytes;
  }
  return growth;
}

async function readRun(
  client: Client,
  workflowId: string,
  runId: string,
): Promise<{ events: Measured[]; beganAt: number; before: string | undefined }> {
  const events: Measured[] = [];
  const batches = new Set<string>();
  let before: string | undefined;
  let nextPageToken: Uint8Array | undefined;
  do {
    const page = await client.workflowService.getWorkflowExecutionHistory({
      namespace: client.options.namespace,
      execution: { workflowId, runId },
      nextPageToken,
    });
    for (const event of page.history?.events ?? []) {
      before ??= event.workflowExecutionStartedEventAttributes?.continuedExecutionRunId ?? undefined;
      const bytes = temporal.api.history.v1.HistoryEvent.encode(event).finish().length;
      events.push({ at: timeOf(event), bytes, ofEntries: isOfEntries(event, batches) });
    }
    nextPageToken = page.nextPageToken;
  } while (nextPageToken && nextPageToken.length > 0);
  return { events, beganAt: events[0]?.at ?? 0, before: before || undefined };
}

/** @param batches the activities of this run that are batches, by their events' numbers */
function isOfEntries(event: Event, batches: Set<string>): boolean {
  if (event.workflowExecutionSignaledEventAttributes?.signalName === 'push') return true;
  if (event.workflowExecutionUpdateAcceptedEventAttributes) return true;
  if (event.workflowExecutionUpdateCompletedEventAttributes) return true;
  const scheduled = event.activityTaskScheduledEventAttributes;
  if (scheduled?.activityType?.name === 'runBatch') {
    batches.add(String(event.eventId));
    return true;
  }
  const of =
    event.activityTaskStartedEventAttributes ??
    event.activityTaskCompletedEventAttributes ??
    event.activityTaskFailedEventAttributes ??
    event.activityTaskTimedOutEventAttributes;
  return of != null && batches.has(String(of.scheduledEventId));
}

function timeOf({ eventTime }: Event): number {
  return Number(eventTime?.seconds ?? 0) * 1_000 + (eventTime?.nanos ?? 0) / 1e6;
}
