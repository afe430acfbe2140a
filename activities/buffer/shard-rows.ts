/**
 * Writes for a shard: what it reports, what it saves when it ends, and the dead letters that come back to it. Called by
 * the parts of the shard's workflow (`workflows/buffer/parts`); the statements are in `store/buffers.ts`,
 * `store/chunks.ts` and `store/dead.ts`.
 */
import { randomUUID } from 'node:crypto';
import type { BufferActivities, DeadPage } from '../../workflows/buffer/activities';
import { utf8Bytes } from '../../workflows/lib/size';
import type { Database } from '../lib/database';
import { noteReport, saveShard as save } from './store/buffers';
import { forgetKeys, forgetRows, ORPHAN_SECONDS, sendRow } from './store/chunks';
import { dropPage, takePage } from './store/dead';

type Input<Name extends keyof BufferActivities> = Parameters<BufferActivities[Name]>[0];

/** Dead letters that come back in one page: by themselves up to `BYTES`, larger ones by reference. */
const PAGE_ENTRIES = 2_000;
const PAGE_BYTES = 200_000;
const BYTES = 256 * 1024;
/** Dropped in one statement. */
const DROP_ENTRIES = 10_000;

export function takeDead(database: Database, input: Input<'takeDead'>): Promise<DeadPage> {
  const { buffer, shard, op, action, page } = input;
  return database.transaction(async (db): Promise<DeadPage> => {
    const command = { buffer, shard, op, page };
    if (action === 'drop') return { count: await dropPage(db, { ...command, limit: DROP_ENTRIES }), bytes: 0 };
    const taken = await takePage(db, { ...command, limit: PAGE_ENTRIES, bytes: PAGE_BYTES });
    const entries = taken.map(({ value }) => value);
    const json = JSON.stringify(entries);
    const keyed = taken.some(({ key }) => key !== null);
    const keys = keyed ? taken.map(({ key }) => key) : undefined;
    const bytes = utf8Bytes(json);
    const loose = {
      count: taken.length,
      bytes,
      ...(keys ? { keys, ages: taken.map(({ entry }) => entry) } : {}),
    };
    if (bytes <= BYTES) return { ...loose, entries };
    const id = `${buffer}.${shard}.d.${randomUUID()}`;
    await sendRow(db, { buffer, id, entries, json, keys }, ORPHAN_SECONDS);
    return { ...loose, row: id };
  });
}

export function reportShard(database: Database, input: Input<'reportShard'>): Promise<void> {
  const { status, moment, forget, forgetKeys: upTo } = input;
  return database.transaction(async (db) => {
    await forgetRows(db, status.buffer, forget);
    if (upTo !== null) await forgetKeys(db, status.buffer, status.shard, upTo);
    await noteReport(db, status, moment);
  });
}

export function saveShard(database: Database, input: Input<'saveShard'>): Promise<void> {
  const { status, moment, forget, state } = input;
  return database.transaction(async (db) => {
    await forgetRows(db, status.buffer, forget);
    await save(db, status, moment, state);
  });
}
