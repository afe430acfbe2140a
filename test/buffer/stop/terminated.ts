/** Part of `stop.test.ts`: shards that are terminated by hand keep what was accepted. */
import { pino } from 'pino';
import { patrol } from '../../../activities/patrol';
import { TemporalLink } from '../../../activities/lib/temporal';
import type { BufferHandle } from '../../../client/buffer/handle';
import type { BufferSummary } from '../../../client/buffer/status';
import { bufferWorkflowId, pushSignal, shardWorkflowId, wakeBufferSignal } from '../../../workflows/buffer/contract';
import { eventually } from '../../support/stack';
import { seen, config, stack, longwatch, temporal, database, optionsOf, range, asc, drained, running } from './buffers';

/** Its shards themselves have answered: until one has read its history it is shown as it last reported. */
const asked = (buffer: BufferHandle): Promise<BufferSummary> =>
  eventually('it is asked itself', async () => {
    const status = await buffer.status();
    return status.ageMs === 0 && status;
  });

test('a shard that is terminated by hand goes on with all that it held, and so does one started anew', async () => {
  const buffer = longwatch.buffer<{ id: number }, null>(config.buffers!.find(({ name }) => name === 'cut') as never);
  const plain = longwatch.buffer('cut');
  await plain.start(optionsOf('cut'));
  await plain.pause();
  await buffer.push(
    range(500).map((id) => ({ id })),
    { wait: true },
  );
  await buffer.push(range(500, 500).map((id) => ({ id })));
  const link = new TemporalLink(temporal);
  const terminate = (shard: number) => temporal.workflow.getHandle(shardWorkflowId('cut', shard)).terminate('by hand');
  await terminate(0);
  await eventually('the patrol has it', async () => {
    await patrol(database, link, pino({ level: 'silent' }));
    return (await running('cut')) === 3;
  });
  expect(await asked(plain)).toMatchObject({ state: 'paused', accepted: 1_000, pending: 1_000, balanced: true });

  // A parent that looks before the patrol does.
  await terminate(1);
  await temporal.workflow.getHandle(bufferWorkflowId('cut')).signal(wakeBufferSignal);
  await eventually('the parent has it', async () => (await running('cut')) === 3);
  expect(await asked(plain)).toMatchObject({ accepted: 1_000, pending: 1_000, balanced: true });

  // All of it, and a start that comes before the patrol.
  await buffer.push(range(100, 1_000).map((id) => ({ id })));
  await terminate(0);
  await terminate(1);
  await temporal.workflow.getHandle(bufferWorkflowId('cut')).terminate('by hand');
  await plain.start();
  // Until a shard has read its history it is shown as it last reported.
  const there = await eventually('all of them are there', async () => {
    const status = await plain.status();
    return status.ageMs === 0 && status.accepted >= 1_100 && status;
  });
  expect(there).toMatchObject({ state: 'paused', accepted: 1_100, pending: 1_100, balanced: true });
  await plain.resume();
  expect(await drained(plain)).toMatchObject({ accepted: 1_100, done: 1_100 });
  expect([...new Set(asc(seen.cut))]).toEqual(range(1_100));
});

test('what was accepted by updates and signals right before a shard is terminated is there once, time after time, and in its order', async () => {
  const buffer = longwatch.buffer('torn');
  await buffer.start(optionsOf('torn'));
  await buffer.pause();
  const ids = [shardWorkflowId('torn', 0), bufferWorkflowId('torn')];
  // Each round replays what the ones before it did.
  for (const round of range(6)) {
    const first = round * 30;
    await buffer.push(range(10, first), { wait: true });
    await buffer.push(range(10, first + 20), { wait: true, front: true });
    for (const id of ids) await temporal.workflow.getHandle(id).terminate('by hand');
    // Its shards are told its options, by a signal.
    await buffer.start();
    await buffer.push(range(10, first + 10));
    await eventually('it has them', async () => {
      const { ageMs, accepted } = await buffer.status();
      return ageMs === 0 && accepted === first + 30;
    });
  }
  await buffer.resume();
  expect(await drained(buffer)).toMatchObject({ accepted: 180, done: 180, balanced: true });
  expect(seen.torn!.slice(0, 60)).toEqual(range(6).flatMap((round) => range(10, round * 30 + 20)));
  expect(asc(seen.torn)).toEqual(range(180));
});

test('of entries with keys, some of them in PostgreSQL, the newest is handled after its shards were terminated too', async () => {
  const ids = 600;
  const buffer = longwatch.buffer('newest');
  await buffer.start(optionsOf('newest'));
  await buffer.pause();
  const push = (v: number) =>
    buffer.push(
      range(ids).map((id) => ({ id, v })),
      { wait: true },
    );
  await push(0);
  await eventually('some are in PostgreSQL', async () => {
    const [row] = await stack.sql<{ n: number }>(
      `select count(*)::int as n from longwatch.buffer_chunk where buffer = 'newest'`,
    );
    return row!.n > 0;
  });
  await push(1);
  await buffer.resume();
  await eventually('some are handled', () => (seen.newest?.length ?? 0) > 0);
  await buffer.pause();
  await push(2);
  await Promise.all(
    [0, 1].map((shard) => temporal.workflow.getHandle(shardWorkflowId('newest', shard)).terminate('by hand')),
  );
  await temporal.workflow.getHandle(bufferWorkflowId('newest')).signal(wakeBufferSignal);
  await eventually('the parent has them', async () => (await running('newest')) === 3);
  expect(await asked(buffer)).toMatchObject({ state: 'paused', accepted: 3 * ids, balanced: true });
  await buffer.resume();
  expect(await drained(buffer)).toMatchObject({ accepted: 3 * ids, dead: 0 });
  const last = new Map(seen.newest!.map((value) => [Math.floor(value / 10), value % 10]));
  expect(range(ids).map((id) => last.get(id))).toEqual(range(ids).map(() => 2));
});

test('a run that was ended before its first task, and ended again before the next, still has what was said to it', async () => {
  const link = new TemporalLink(temporal);
  const workflowId = shardWorkflowId('untouched', 0);
  // No worker reads from there.
  const started = await temporal.workflow.start('shard', { workflowId, taskQueue: 'nobody', args: [{}] });
  await started.signal(pushSignal, { entries: [1, 2] });
  const handle = temporal.workflow.getHandle(workflowId);
  for (let round = 1; round <= 3; round++) {
    await handle.terminate('by hand');
    const last = await link.lastRun(workflowId);
    expect(last).toMatchObject({ state: 'forced' });
    const end = await link.endOf(workflowId, (last as { runId: string }).runId);
    expect(end.updates).toEqual([]);
    expect(await link.reset(workflowId, end)).toBe(true);
    expect(await link.reset(workflowId, end)).toBe(false);
    expect(await link.lastRun(workflowId)).toMatchObject({ state: 'running' });
    const { events } = await handle.fetchHistory();
    expect(events!.filter((event) => event.workflowExecutionSignaledEventAttributes)).toHaveLength(1);
  }
  await handle.terminate('over');
});
