/**
 * A Temporal worker with durable activities, in a process of its own. It notes how long each activity took, without
 * Temporal's part, and how many statements it sent.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker, type ActivityInboundCallsInterceptor } from '@temporalio/worker';
import { createDurableActivities } from 'longwatch/worker';
import pg from 'pg';
import { pino } from 'pino';
import { installRuntime } from '../../workers/runtime';
import { serve } from '../harness/child';
import { median } from '../harness/figures';
import { bareActivities, durableActivities } from './activities';

export interface Taken {
  /** Median, milliseconds. */
  ms: number;
  /** Median. */
  statements: number;
}

const TASK_QUEUE = 'bench-durable';
const notes = new Map<string, { ms: number[]; statements: number[] }>();
const counting = new AsyncLocalStorage<{ statements: number }>();

/** Each statement counts for the activity that sent it. */
function countStatements(): void {
  const { prototype } = pg.Client;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its `this` below
  const query = prototype.query as (...args: unknown[]) => unknown;
  prototype.query = function (this: pg.Client, ...args: unknown[]) {
    const current = counting.getStore();
    if (current) current.statements += 1;
    return query.apply(this, args);
  } as typeof prototype.query;
}

const noting = (name: string): ActivityInboundCallsInterceptor => ({
  async execute(input, next) {
    const current = { statements: 0 };
    const began = performance.now();
    const result: unknown = await counting.run(current, () => next(input));
    let noted = notes.get(name);
    if (!noted) notes.set(name, (noted = { ms: [], statements: [] }));
    noted.ms.push(performance.now() - began);
    noted.statements.push(current.statements);
    return result;
  },
});

serve({
  async start(address: string, databaseUrl: string, workflows: string) {
    countStatements();
    const log = pino({ level: 'silent' });
    await installRuntime(log);
    const client = new Client({ connection: await Connection.connect({ address }) });
    const pool = new pg.Pool({ connectionString: databaseUrl });
    const durable = await createDurableActivities(durableActivities, { databaseUrl, client, log });
    const worker = await Worker.create({
      connection: await NativeConnection.connect({ address }),
      taskQueue: TASK_QUEUE,
      workflowBundle: { codePath: workflows },
      activities: { ...durable.activities, ...bareActivities(pool) },
      interceptors: { activity: [({ info }) => ({ inbound: noting(info.activityType) })] },
    });
    void worker.run();
    return TASK_QUEUE;
  },
  taken(name: string): Taken {
    const { ms, statements } = notes.get(name)!;
    notes.delete(name);
    return { ms: median(ms), statements: median(statements) };
  },
});
