/** Part of `stop.test.ts`: no page of `init` is lost or read twice. */
import { pino } from 'pino';
import { patrol } from '../../../activities/patrol';
import { lastPage, notePage } from '../../../activities/buffer/store/buffers';
import { TemporalLink } from '../../../activities/lib/temporal';
import { bufferWorkflowId, shardWorkflowId } from '../../../workflows/buffer/contract';
import { eventually } from '../../support/stack';
import { seen, gates, longwatch, temporal, database, optionsOf, range, asc, drained } from './buffers';

test('init goes on from its cursor, and no page is lost or read twice', async () => {
  const buffer = longwatch.buffer('paged');
  await buffer.start(optionsOf('paged'));
  await eventually('some pages', () => (seen.paged?.length ?? 0) >= 100);
  await buffer.stop();
  const { accepted } = await buffer.status();
  expect(accepted).toBeLessThan(500);
  await buffer.start();
  await eventually('all of it', async () => (await buffer.status()).done === 500);
  expect(asc(seen.paged)).toEqual(range(500));
});

test('a page whose shard is gone comes to it when it is there again, and once', async () => {
  const buffer = longwatch.buffer('gated');
  await buffer.start(optionsOf('gated'));
  await eventually('the page is asked for', () => gates.open);
  await temporal.workflow.getHandle(shardWorkflowId('gated', 0)).terminate('by hand');
  gates.open!();
  await eventually('the other shard has its part', () => (seen.gated?.length ?? 0) >= 50);
  const parent = temporal.workflow.getHandle(bufferWorkflowId('gated'));
  // Or the worker's own patrol was faster.
  await eventually('it is sent again', async () => {
    const { raw } = await parent.describe();
    const isTriedAgain = (raw.pendingActivities ?? []).some(({ attempt }) => Number(attempt) > 1);
    return isTriedAgain || seen.gated!.length === 100;
  });
  await patrol(database, new TemporalLink(temporal), pino({ level: 'silent' }));
  await eventually('all of it', () => seen.gated!.length === 100);
  expect(asc(seen.gated)).toEqual(range(100));
  expect(await drained(buffer)).toMatchObject({ accepted: 100, done: 100 });
});

test('a page that comes after later ones, from a worker that was frozen, is not noted, and so not sent', async () => {
  const page = (number: number) => ({
    pass: 7,
    page: number,
    chunks: [],
    entries: 0,
    cursor: number,
    last: false,
    seqs: [],
  });
  const note = (number: number) => database.transaction((db) => notePage(db, 'gated', page(number)));
  for (const number of [0, 1, 2]) await note(number);
  await expect(note(0)).rejects.toMatchObject({ type: 'Fenced' });
  // As it was noted before: its reader finds that one when it is tried again.
  await expect(note(2)).rejects.toMatchObject({ code: '23505' });
  expect(await database.transaction((db) => lastPage(db, 'gated'))).toEqual({ pass: 7, page: 2 });
});

test('a parent that is terminated after its last page was handled asks for the next one when it is started anew', async () => {
  const buffer = longwatch.buffer('polling');
  const passes = (): number => seen.polling?.length ?? 0;
  for (const round of [1, 2]) {
    await buffer.start(optionsOf('polling'));
    const before = passes();
    await eventually(`passes of round ${round}`, () => passes() >= before + 2);
    await temporal.workflow.getHandle(bufferWorkflowId('polling')).terminate('by hand');
    // All that it had sent is handled: no page is on its way.
    await drained(buffer);
  }
  await buffer.start(optionsOf('polling'));
  await buffer.stop();
  expect(asc(seen.polling)).toEqual(range(passes()));
});
