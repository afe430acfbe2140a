/**
 * One id, from the add to its shown value, station by station, as `docs/one-id.md` walks it: what each station leaves
 * behind is looked at where it lies.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { defineConfig, defineTracker, resolveConfig, type RunContext } from '../../exports';
import { parsePoolWorkflowId, poolWorkflowId, type RosterMessage } from '../../workflows/tracker/contract';
import { poolOf } from '../../workflows/tracker/plan';
import { slotOf } from '../../workflows/tracker/slots';
import { eventually, Stack } from '../support/stack';
import { hashId } from '../../workflows/lib/hash';

const ID = '90000001';
const ROOT = path.join(__dirname, '../..');

const seen: { context: Pick<RunContext, 'id' | 'tracker' | 'operation'> }[] = [];
const config = defineConfig({
  trackers: [
    defineTracker({
      name: 'characters',
      flush: '100ms',
      operations: {
        location: {
          every: '1h',
          run: ({ id, tracker, operation }) => {
            seen.push({ context: { id, tracker, operation } });
            return { value: { system: 30000142 }, etag: '"e1"' };
          },
        },
      },
    }),
  ],
});

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.close());

test('the stations of docs/one-id.md are files that exist', () => {
  const stations = [...readFileSync(path.join(ROOT, 'docs/one-id.md'), 'utf8').matchAll(/^\d+\. \*\*`([^`]+)`\*\*/gm)];
  expect(stations.length).toBeGreaterThanOrEqual(10);
  for (const [, file] of stations) expect(readFileSync(path.join(ROOT, file!), 'utf8').length).toBeGreaterThan(100);
});

test('cli/add → client → contract → pool → roster → shift → run → store → show', async () => {
  await stack.worker(config, { nodeName: 'node-1' });
  const longwatch = await stack.connect();
  const tracker = longwatch.tracker('characters');
  await tracker.start(resolveConfig(config).trackers[0]!.options);
  // The pool is kept already, so that the newcomer reaches a running shift.
  await eventually('the pool is kept', async () => (await tracker.pools())[0]!.onShift);

  const began = Date.now();
  // client/tracker/roster.ts: accepted. (The command line calls the same; its own tests say so.)
  const accepted = await tracker.add([ID]);
  expect(accepted).toMatchObject({ accepted: 1, signals: 1, state: 'running' });

  // workflows/tracker/contract.ts: the signal, in the history of the workflow of the pool that the hash says.
  const pool = poolOf(hashId(ID), 1);
  const workflowId = poolWorkflowId('characters', pool);
  expect(parsePoolWorkflowId(workflowId)).toEqual({ tracker: 'characters', pool });
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  try {
    const handle = new Client({ connection, namespace: stack.servers.namespace }).workflow.getHandle(workflowId);
    // workflows/tracker/pool.ts and activities/tracker/roster/apply.ts: the change goes into applyRoster, which
    // completes.
    const events = await eventually('applyRoster has completed', async () => {
      const { events: now } = await handle.fetchHistory();
      const scheduled = now!.find(
        (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'applyRoster',
      );
      const completed = now!.some(
        (event) =>
          scheduled !== undefined &&
          String(event.activityTaskCompletedEventAttributes?.scheduledEventId) === String(scheduled.eventId),
      );
      return completed ? { all: now!, scheduled: scheduled! } : undefined;
    });
    const signalled = events.all.find((event) => event.workflowExecutionSignaledEventAttributes?.signalName === 'add')!;
    const message = defaultPayloadConverter.fromPayload<RosterMessage>(
      signalled.workflowExecutionSignaledEventAttributes!.input!.payloads![0]!,
    );
    expect(message.ids).toEqual([ID]);
    const input = defaultPayloadConverter.fromPayload<{ changes: unknown[] }>(
      events.scheduled.activityTaskScheduledEventAttributes!.input!.payloads![0]!,
    );
    expect(input).toEqual({ tracker: 'characters', pool, changes: [{ id: ID, change: 'add', stamp: message.stamp }] });

    // activities/tracker/store/members.ts: the member's row, with the stamp of the signal.
    const rows = await stack.sql<{ key: number }>(
      `select key::int, id, stamp::int, hash::float8, slot::float8, removed_at from longwatch.member`,
    );
    expect(rows).toMatchObject([
      { id: ID, stamp: message.stamp, hash: hashId(ID), slot: slotOf(hashId(ID)), removed_at: null },
    ]);

    // activities/tracker/shift: the listener hears, the agenda has it due at once, the operation runs.
    await eventually('it is fetched', () => seen.length > 0);
    expect(seen[0]!.context).toEqual({ id: ID, tracker: 'characters', operation: 'location' });

    // activities/tracker/store/values.ts: the value's row, written by the holder of the fence.
    const values = await eventually('its value is written', async () => {
      const found = await stack.sql(`select member::int, operation, value, etag, failures from longwatch.value`);
      return found.length > 0 ? found : undefined;
    });
    expect(values).toEqual([
      { member: rows[0]!.key, operation: 'location', value: { system: 30000142 }, etag: '"e1"', failures: 0 },
    ]);
    expect(await stack.sql(`select node, shift, attempt from longwatch.pool`)).toEqual([
      { node: 'node-1', shift: 1, attempt: 1 },
    ]);
  } finally {
    await connection.close();
  }

  // client/tracker/handle.ts: shown.
  const shown = await tracker.show(ID);
  expect(shown).toMatchObject({ id: ID, pool, node: 'node-1', tracker: 'characters' });
  expect(shown.values).toMatchObject([
    { operation: 'location', value: { system: 30000142 }, failures: 0, error: null },
  ]);
  expect(shown.values[0]!.ageMs).toBeLessThan(Date.now() - began + 1_000);

  // And away again: the row becomes a tombstone, the value is gone, nothing more is fetched.
  await tracker.remove([ID], { wait: true });
  await expect(tracker.show(ID)).rejects.toThrow(/removed|not tracked/);
  expect(await stack.sql(`select 1 from longwatch.value`)).toEqual([]);
});
