/**
 * The answer of `run` as it travels back to the shard: entries that are too much for a result are stored, and their row
 * is named. Called by `batch.ts`.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { BatchInput, BatchResult, Returned, Loose } from '../../workflows/buffer/activities';
import { utf8Bytes } from '../../workflows/lib/size';
import { sendRow, ORPHAN_SECONDS } from './store/chunks';
import type { Database } from '../lib/database';
import { isPassing } from '../lib/sqlstate';
import type { Given, ReadAnswer } from './answer';
import type { Json } from '../../workflows/lib/json';
import { errorMessage } from '../../workflows/lib/text';

/** The most that a result carries itself. Bytes. */
const RESULT_BYTES = 128 * 1024;
/**
 * `run` has done its work: its answer is worth some waiting. The shard allows 30 s beyond the batch's own time.
 * Milliseconds.
 */
const PATIENCE_MS = 20_000;
const AGAIN_MS = 500;

/** PostgreSQL did not take the answer of a batch that has run. */
export class AnswerNotStored extends Error {
  constructor(cause: unknown) {
    super(`the answer of the batch could not be stored: ${errorMessage(cause)}`, {
      cause,
    });
  }
}

type Outcome = Extract<BatchResult['outcome'], { kind: 'answered' }>;

/** @throws AnswerNotStored */
export async function packed(database: Database, input: BatchInput, given: Given, read: ReadAnswer): Promise<Outcome> {
  const { keyOf } = given;
  const { buffer, shard, batch, chunks } = input;
  const prefix = `${buffer}.${shard}.b${batch}`;
  const keysOf = (entries: Json[]) => keyOf && entries.map((entry) => keyOf(entry));
  const rows: { id: string; entries: Json[]; json: string; keys?: (string | null)[] }[] = [];
  const row = (entries: Json[], json: string, keys?: (string | null)[]): string => {
    const id = `${prefix}.${randomUUID()}`;
    rows.push({ id, entries, json, ...(keys ? { keys } : {}) });
    return id;
  };
  // If one came from PostgreSQL, newer ones of its key are looked for there: it must not leave it, changed or not.
  const stays = keyOf !== undefined && chunks.some((chunk) => chunk.row !== undefined);
  let room = RESULT_BYTES;
  const kept: Returned[] = read.kept.map(({ entries, ...rest }) => {
    if (!entries) return rest;
    const json = JSON.stringify(entries);
    const bytes = utf8Bytes(json);
    const keys = keysOf(entries);
    if (bytes > room || stays) return { ...rest, bytes, row: row(entries, json, keys) };
    room -= bytes;
    return { ...rest, bytes, entries, ...(keys ? { keys } : {}) };
  });
  const fresh: (Loose & { at?: number })[] = read.fresh.map(({ entries, at }) => {
    const json = JSON.stringify(entries);
    const loose = { count: entries.length, bytes: utf8Bytes(json), ...(at === undefined ? {} : { at }) };
    const keys = keysOf(entries);
    if (loose.bytes > room) return { ...loose, row: row(entries, json, keys) };
    room -= loose.bytes;
    return { ...loose, entries, ...(keys ? { keys } : {}) };
  });
  if (rows.length > 0) {
    // All of them at once, so that an answer of many times costs one transaction. They expire if the result is lost.
    await persist(() =>
      database.transaction(async (db) => {
        for (const one of rows) await sendRow(db, { buffer, ...one }, ORPHAN_SECONDS);
      }),
    );
  }
  const { state, reason } = read;
  return {
    kind: 'answered',
    kept,
    fresh,
    voided: input.count - given.entries.length,
    ...(state === undefined ? {} : { state }),
    ...(reason === undefined ? {} : { reason }),
  };
}

async function persist(store: () => Promise<void>): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; ;) {
    try {
      return await store();
    } catch (error) {
      if (!isPassing(error) || Date.now() > deadline) throw new AnswerNotStored(error);
    }
    await delay(AGAIN_MS);
  }
}
