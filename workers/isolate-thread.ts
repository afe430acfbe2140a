/**
 * The worker thread of operations marked `isolate`: loads the config once and runs one operation at a time. Started by
 * `activities/tracker/shift/isolate.ts`, which ends the whole thread when a time-out does not stop its code.
 */
import { pino } from 'pino';
import { workerData } from 'piscina';
import { serializers } from '../activities/lib/log';
import type { IsolatedEnd, IsolatedTask } from '../activities/tracker/shift/isolate';
import { UNLISTED } from '../activities/upstream/spend/run';
import { ThreadSpending } from '../activities/upstream/spend/threads';
import { spendingAs } from '../activities/upstream/spending';
import { encodedInThread } from '../activities/tracker/shift/stored-value';
import { packThrown } from '../activities/tracker/shift/thrown';
import { loadConfig } from '../config/load';

const { configPath, logLevel } = workerData as { configPath: string; logLevel: string };
const log = pino({ level: logLevel, serializers }, pino.destination({ fd: 2, sync: true }));
const config = loadConfig(configPath);

export default async function runTask(task: IsolatedTask): Promise<IsolatedEnd> {
  const { trackers } = (await config).config;
  const operation = trackers.find((tracker) => tracker.name === task.tracker)?.definition.operations[task.operation];
  const code = operation?.[task.part];
  if (!operation || !code) throw new Error(`the config has no ${task.tracker}/${task.operation}`);
  const { tracker, id, etag, fetchedAt } = task;
  // The time-out counts from here: before, the thread has started and loaded the config.
  task.begun.postMessage(null);
  task.begun.close();
  const context = {
    id,
    tracker,
    operation: task.operation,
    etag,
    fetchedAt,
    // The whole thread is ended instead.
    signal: new AbortController().signal,
    log: log.child({ tracker, operation: task.operation, id }),
  };
  try {
    const run = (): unknown => code(context);
    const result = await spendingAs(task.budget ? new ThreadSpending(task.budget) : UNLISTED, run);
    return encodedInThread(result, operation, `operation ${task.operation}`);
  } catch (thrown) {
    return { thrown: packThrown(thrown) };
  } finally {
    task.budget?.close();
  }
}
