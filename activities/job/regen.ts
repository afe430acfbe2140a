/**
 * The work of a regen's or decay's tick: the key space is cut into parts when it begins, and each is gone through in
 * chunks (`walk.ts`), whose rows and progress commit together (`rows.ts`). So each row that was there when the tick
 * began is advanced exactly once, however often a worker dies. Called by `pass.ts`.
 *
 * Rows that are inserted during the tick: behind the progress they wait for the next tick, before it they are advanced
 * with the others (once), above the last key of the beginning never. A decay passes over rows that somebody holds
 * locked.
 */
import type { Queryable } from '../lib/database';
import type { TickRange } from './store/ticks';
import { bad, type TableFacts } from './catalog';
import { Superseded } from './chunk';
import { sameKey } from './key';
import { walk } from './walk';
import { TableRows } from './store/rows';
import { Sizing } from './sizing';
import { lastKeyStatement, sampleStatement } from './statement';
import { fenced, type PassContext, type TickOutcome } from './pass-context';

/** A part has about this many pages (8 kB each), so that the last parts of all streams end at about the same time. */
const PART_PAGES = 256;
const MAX_PARTS = 32;
const SAMPLED_PAGES = 64;

/** Cuts the key space as it is now. Keys above its last one belong to later ticks. */
export async function cutRanges(db: Queryable, table: TableFacts, chunk: PassContext['options']['chunk']) {
  if (chunk === 'all') return [{ part: 0, after: null, upto: null, done: false }];
  const [last] = (await lastKeyStatement(table).run<{ key: string[] }>(db, {})).rows;
  if (!last) return [];
  if (last.key.includes(null as unknown as string)) {
    throw bad('key: there are rows without a value in it, and they would be left out');
  }
  const parts = Math.min(MAX_PARTS, Math.floor(table.diskPages / PART_PAGES));
  const cuts: string[][] = [];
  if (parts > 1) {
    const percent = Math.min(100, (SAMPLED_PAGES / table.diskPages) * 100);
    const { rows: keys } = await sampleStatement(table, percent).run<{ key: string[] }>(db, {});
    for (let part = 1; part < parts; part++) {
      const key = keys[Math.floor((part / parts) * keys.length)]?.key;
      if (key && !sameKey(key, cuts.at(-1)) && !sameKey(key, last.key)) cuts.push(key);
    }
  }
  const ends = [...cuts, last.key];
  return ends.map((upto, part): TickRange => ({ part, after: part === 0 ? null : ends[part - 1]!, upto, done: false }));
}

/** @param known the size of a chunk that fitted last */
export async function inChunks(pass: PassContext, known: number | undefined): Promise<TickOutcome> {
  const { options, stopSignal, log, meter } = pass;
  const sizing = new Sizing(options, known);
  try {
    const complete = await walk(
      {
        rows: new TableRows(pass),
        sizing,
        stopSignal,
        all: options.chunk === 'all',
        sparse: options.work.kind === 'decay',
        log,
        chunk: (rows, ms) => meter.chunk(rows, ms),
        waits: pass.waits,
      },
      pass.streams,
    );
    return { complete, chunkRows: options.chunk === 'auto' ? sizing.size : undefined };
  } catch (error) {
    throw error instanceof Superseded ? fenced(pass.job) : error;
  }
}
