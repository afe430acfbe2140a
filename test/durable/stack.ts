/** A stack with the tests' activities and workflows, for tests that go through Temporal. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { bundleWorkflows } from '../../workers/bundle';
import { Stack } from '../support/stack';
import * as activities from './activities';
import { TASK_QUEUE } from '../../workflows/lib/contract';

export const config = { activities, workflows: path.join(__dirname, 'workflows.ts') };

export interface DurableStack {
  stack: Stack;
  client: Client;
  bundle: string;
  run: <R>(workflow: string, args: unknown[], workflowId?: string) => Promise<R>;
  close: () => Promise<void>;
}

let counter = 0;

export async function startDurable(options: { own?: boolean } = {}): Promise<DurableStack> {
  const [stack, code] = await Promise.all([
    Stack.start(options),
    bundleWorkflows(config.workflows, pino({ level: 'silent' })),
  ]);
  const bundle = path.join(stack.dir, 'bundle.js');
  writeFileSync(bundle, code);
  await stack.sql('create table booking (id text not null, what text not null, amount integer not null)');
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  const client = new Client({ connection, namespace: stack.servers.namespace });
  return {
    stack,
    client,
    bundle,
    run: (workflow, args, workflowId = `${workflow}-${++counter}`) =>
      client.workflow.execute(workflow, { taskQueue: TASK_QUEUE, workflowId, args }),
    close: async () => {
      await connection.close();
      await stack.close();
    },
  };
}
