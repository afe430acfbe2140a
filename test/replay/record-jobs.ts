/**
 * The lives of jobs, for `record.ts`: a regen to which all is said that can be said, one that is refused at its start,
 * one that continues as new all the time, a decay by a calendar, and a sweep whose rows are tried again.
 */
import type { Client } from '@temporalio/client';
import { defineConfig, type RegenDefinition } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import { jobStatusQuery, jobWorkflowId } from '../../workflows/job/contract';
import { makePlayers, optionsOf, startJob } from '../job/kit';
import { eventually, type Stack } from '../support/stack';
import type { Part } from './record';

const NEVER = '366d';
const regen = (name: string, over: Partial<RegenDefinition> = {}) => ({
  name,
  every: NEVER,
  table: 'player',
  set: { stamina: 'stamina + :elapsed' },
  ...over,
});
let attempts = 0;

const config = defineConfig({
  regens: [
    regen('life', { chunk: 100, pace: 2_000 }),
    regen('refused', { set: { stamina: 'stmina + 1' } }),
    regen('renewing', { every: '100ms', historyEvents: 30 }),
    // Each tick takes several intervals.
    regen('skipping', { every: '200ms', missed: 'skip', chunk: 100, pace: 2_000 }),
  ],
  decays: [{ name: 'calendar', cron: '* * * * * *', table: 'item', where: 'dropped_at < now()' }],
  sweeps: [
    {
      name: 'again',
      every: NEVER,
      table: 'item',
      due: 'dropped_at is null',
      // Longer than a pass waits: another pass tries again.
      retry: { base: '8s', jitter: false },
      handle: async (rows, { tx }) => {
        if (++attempts === 1) throw new Error('not now');
        await tx.query('delete from item where id = any($1)', [rows.map(({ id }) => id)]);
      },
    },
  ],
});

export const jobs: Part = {
  config,
  owns: /^job\b/,
  live: async (stack, temporal) => {
    await makePlayers(stack, 'player', 2_000);
    await stack.sql('create table item (id int primary key, dropped_at timestamptz)');
    await stack.sql('insert into item values (1, now()), (2, null)');
    const longwatch = await stack.connect();
    await life(longwatch, stack, temporal);
    await startJob(longwatch, config, 'refused').catch(() => undefined);
    await ticking(longwatch, 'renewing', 25);
    await ticking(longwatch, 'skipping', 2);
    await ticking(longwatch, 'calendar', 2);
    const again = await startJob(longwatch, config, 'again');
    await again.run();
    await eventually(
      'the row is handled',
      async () => (await stack.sql('select 1 from item where id = 2')).length === 0,
    );
    await again.stop();
    for (const name of ['life', 'renewing', 'skipping', 'calendar', 'again']) await completed(temporal, name);
  },
};

/** Runs, pauses, changes, refusals, a tick that fails for good, a stop in a tick. */
async function life(longwatch: Longwatch, stack: Stack, temporal: Client): Promise<void> {
  const job = await startJob(longwatch, config, 'life');
  const begun = () => eventually('it works', async () => ((await job.status()).open?.rows ?? 0) > 0);
  const options = optionsOf(config, 'life');
  await job.run();
  await job.set({ pace: 1_000 });
  await job.set({ every: '1s' });
  await begun();
  await job.pause();
  // By hand, what was interrupted is finished first.
  await job.run();
  await job.resume();
  await begun();
  await job.set({ every: null, pace: 'full' });
  await job.declare({ ...options, chunk: 200 });
  const wrong = structuredClone(options);
  (wrong.work as { where?: string }).where = 'is_deadd';
  await job.declare(wrong).catch(() => undefined);
  await job.run();
  // The next pass fails for good; once the table is back, the one after it does the tick.
  await stack.sql('alter table player rename to gone');
  const running = job.run();
  await eventually(
    'it has failed',
    async () => (await temporal.workflow.getHandle(jobWorkflowId('life')).query(jobStatusQuery)).lastError,
  );
  await stack.sql('alter table gone rename to player');
  await running;
  await job.set({ pace: 1_000 });
  void job.run().catch(() => undefined);
  await begun();
  await job.stop();
  // The next start finishes what had begun.
  await job.start(options);
  await eventually('it is finished', async () => (await job.status()).open === null);
  await job.stop();
}

async function ticking(longwatch: Longwatch, name: string, ticks: number): Promise<void> {
  const job = await startJob(longwatch, config, name);
  const told = async (more: number) => {
    const before = (await job.history(1_000)).length;
    await eventually(`${name} ticks`, async () => (await job.history(1_000)).length >= before + more);
  };
  await told(ticks);
  await job.pause();
  await job.resume();
  await told(1);
  await job.stop();
}

async function completed(temporal: Client, name: string): Promise<void> {
  await eventually('it has ended', async () => {
    const { status } = await temporal.workflow.getHandle(jobWorkflowId(name)).describe();
    return status.name === 'COMPLETED';
  });
}
