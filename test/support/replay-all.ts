/**
 * Replays what a test's workflows have lived through, where `LONGWATCH_TEST_REPLAY` asks for it: `Stack.close()` then
 * fails for a history that today's workflow code does not come to. `LONGWATCH_TEST_CACHE=0` keeps no workflow in a
 * worker's memory, so that each task is a replay; `LONGWATCH_TEST_ASK=50` asks all that run something each
 * 50 ms.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, HistoryAndWorkflowId, WorkflowExecutionInfo } from '@temporalio/client';
import { Worker, type WorkerOptions } from '@temporalio/worker';
import * as own from '../../workflows';
import type { DevServers } from '../../workers/dev/servers';
import { withTemporal } from './temporal';

/** The most that is replayed of one test, so that one of a million entries has an end. */
const MOST_RUNS = 400;
const MOST_EVENTS = 200_000;
/** The kinds of question that the Temporal UI, the library and `status` ask. */
const QUESTIONS = ['__temporal_workflow_metadata', '__stack_trace', 'status'];

const asked = (name: 'REPLAY' | 'CACHE' | 'ASK'): number | undefined => {
  const given = process.env[`LONGWATCH_TEST_${name}`];
  return given === undefined || given === '' ? undefined : Number(given);
};

/** @returns asks no more. Nothing is asked where the environment does not say so. */
export function askWhileItRuns(servers: DevServers): () => Promise<void> {
  const everyMs = asked('ASK');
  if (everyMs === undefined) return () => Promise.resolve();
  let ended = false;
  const asking = withTemporal(servers, async (client) => {
    /** By run: one question at a time. */
    const underWay = new Map<string, Promise<void>>();
    for (let round = 0; !ended; round++, await delay(everyMs)) {
      for (const { workflowId, runId } of await runningIn(client)) {
        if (underWay.has(runId)) continue;
        const question = QUESTIONS[round % QUESTIONS.length]!;
        const answered = client
          .withDeadline(Date.now() + 5_000, () => client.workflow.getHandle(workflowId, runId).query(question))
          .then(
            () => undefined,
            // A query has an answer only while there is a worker, and some of them are refused.
            () => undefined,
          )
          .finally(() => underWay.delete(runId));
        underWay.set(runId, answered);
      }
    }
    await Promise.all(underWay.values());
  });
  asking.catch(() => undefined);
  return async () => {
    ended = true;
    await asking.catch(() => undefined);
  };
}

/** None where the server is away, which the test may have killed. */
async function runningIn(client: Client): Promise<WorkflowExecutionInfo[]> {
  const running: WorkflowExecutionInfo[] = [];
  try {
    for await (const run of client.workflow.list({ query: `ExecutionStatus = 'Running'` })) running.push(run);
  } catch {
    return [];
  }
  return running;
}

/** Has the workers of this process keep as few workflows as the environment says. */
export function keepFewWorkflows(): void {
  const maxCachedWorkflows = asked('CACHE');
  if (maxCachedWorkflows === undefined) return;
  const create = Worker.create.bind(Worker);
  // No more tasks at once than are kept, where some are; then a poll for those that are kept may not take every place.
  const few: Partial<WorkerOptions> =
    maxCachedWorkflows === 0
      ? { maxCachedWorkflows }
      : {
          maxCachedWorkflows,
          maxConcurrentWorkflowTaskExecutions: Math.max(2, maxCachedWorkflows),
          workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
        };
  // Workers of shifts have a tuner, and no workflows.
  Worker.create = (options: WorkerOptions) => create(options.tuner ? options : { ...options, ...few });
}

/**
 * Nothing where the environment does not ask for it.
 * @throws an error that names each workflow of Longwatch whose history does not replay
 */
export async function replayAll(servers: DevServers): Promise<void> {
  if (asked('REPLAY') === undefined) return;
  const lines = await withTemporal(servers, linesThatDoNotReplay).catch((error: unknown) => {
    // The test has ended its server for good.
    if (isAway(error)) return [];
    throw error;
  });
  if (lines.length > 0) throw new Error(`histories that do not replay:\n${lines.join('\n')}`);
}

/** @returns a line for each history that today's workflow code does not come to */
async function linesThatDoNotReplay(client: Client): Promise<string[]> {
  // Users' workflows are not in the bundle.
  const runs: WorkflowExecutionInfo[] = [];
  for await (const run of client.workflow.list()) if (run.type in own) runs.push(run);
  const chosen = sampleOf(runs);
  process.stderr.write(`replaying ${chosen.length} of ${runs.length} histories\n`);
  const workflowBundle = { codePath: process.env.LONGWATCH_TEST_BUNDLE! };
  const faults: string[] = [];
  const replays = Worker.runReplayHistories({ workflowBundle }, historiesOf(client, chosen));
  for await (const { workflowId, error } of replays) if (error) faults.push(`${workflowId}: ${error.message}`);
  return faults;
}

/** The longest ones first, as far as the bounds go. */
function sampleOf(runs: readonly WorkflowExecutionInfo[]): WorkflowExecutionInfo[] {
  let events = 0;
  return [...runs]
    .sort((a, b) => b.historyLength - a.historyLength)
    .slice(0, MOST_RUNS)
    .filter(({ historyLength }) => (events += historyLength) <= MOST_EVENTS);
}

async function* historiesOf(
  client: Client,
  runs: Iterable<WorkflowExecutionInfo>,
): AsyncIterable<HistoryAndWorkflowId> {
  for (const { workflowId, runId } of runs) {
    const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    // The SDK waits without an end for a task of a run that had none.
    if (!history.events?.some(({ workflowTaskCompletedEventAttributes: done }) => done)) continue;
    yield { workflowId, history };
  }
}

const isAway = (error: unknown): boolean =>
  error instanceof Error && (/UNAVAILABLE|Failed to connect/.test(String(error)) || isAway(error.cause));
