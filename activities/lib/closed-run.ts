/**
 * The end of a closed run's history: where a new run of it can go on from, and the updates that it had accepted in the
 * task that is done again then. The server could have the new run do them again as well, but before the signals of that
 * task, and the SDK replays them after those (core 1.24: the message of an UpdateAdmitted event is held back in a
 * replay): what is entered in one order would be replayed in another. So whoever resets a run says again what those
 * updates said. Used by `temporal.ts`.
 */
import { decodeArrayFromPayloads } from '@temporalio/common/lib/internal-non-workflow';
import type { Client } from '@temporalio/client';
import { temporal as proto } from '@temporalio/proto';

type HistoryEvent = proto.api.history.v1.IHistoryEvent;
type EventId = NonNullable<HistoryEvent['eventId']>;

export interface AcceptedUpdate {
  id: string;
  name: string;
  args: unknown[];
  /** Undefined where it had not completed. */
  result?: unknown;
}

export interface RunEnd {
  runId: string;
  /** The event that ended the last workflow task, or would have ended its only one; undefined: it had none. */
  lastTaskEnd: EventId | undefined;
  /** In the order in which they were accepted. */
  updates: AcceptedUpdate[];
}

export async function readEnd(client: Client, workflowId: string, runId: string): Promise<RunEnd> {
  const { EventType } = proto.api.enums.v1;
  const results = new Map<string, unknown>();
  const updates: AcceptedUpdate[] = [];
  const end = (lastTaskEnd: EventId | undefined): RunEnd => ({ runId, lastTaskEnd, updates: updates.reverse() });
  let scheduled: HistoryEvent['eventId'];
  for await (const event of backwards(client, { workflowId, runId })) {
    const { eventId, eventType } = event;
    // A run that was reset has a failed one where it goes on from.
    const isTaskEnd =
      eventType === EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED ||
      eventType === EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED;
    if (isTaskEnd) return end(eventId!);
    if (eventType === EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED) scheduled = eventId;
    const completed = event.workflowExecutionUpdateCompletedEventAttributes;
    if (completed) results.set(completed.meta!.updateId!, (await valuesOf(client, completed.outcome?.success))[0]);
    // Admitted: of a run that somebody else has reset, and accepted in the run before that.
    const request =
      event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest ??
      event.workflowExecutionUpdateAdmittedEventAttributes?.request;
    if (!request) continue;
    const id = request.meta!.updateId!;
    updates.push({
      id,
      name: request.input!.name!,
      args: await valuesOf(client, request.input!.args),
      result: results.get(id),
    });
  }
  return end(scheduled?.add(1));
}

async function* backwards(
  client: Client,
  execution: { workflowId: string; runId: string },
): AsyncGenerator<HistoryEvent> {
  const { connection, options } = client;
  const where = { namespace: options.namespace, execution, maximumPageSize: 500 };
  let nextPageToken: Uint8Array | undefined;
  do {
    const page = await connection.workflowService.getWorkflowExecutionHistoryReverse({ ...where, nextPageToken });
    yield* page.history?.events ?? [];
    nextPageToken = page.nextPageToken;
  } while (nextPageToken && nextPageToken.length > 0);
}

/** As the worker reads them, through its codecs. */
function valuesOf(client: Client, payloads: proto.api.common.v1.IPayloads | null | undefined): Promise<unknown[]> {
  return decodeArrayFromPayloads(client.options.loadedDataConverter, payloads?.payloads);
}
