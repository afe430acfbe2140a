/**
 * The `readInitPage` activity: asks the definition's `init` for one page, spreads it over the shards and notes it, so that the page is
 * the same however often it is asked for. Called by the parent (`workflows/buffer/buffer.ts`), which tells the shards: a small page
 * whole, of a large one where its rows are.
 */
import { Context } from '@temporalio/activity';
import type { InitContext } from '../../workers/config/buffer';
import type { BufferActivities, InitPageRead, Json } from '../../workflows/buffer/contract';
import { notePage, readPage } from '../store/buffers';
import { sendRow } from '../store/chunks';
import { definitionOf, type BufferDeps } from './batch';
import { keyFunction, shardOfKey } from './keys';

/** One row has at most so many entries, so that a batch can be made of some of them. */
const ROW_ENTRIES = 2_000;
/**
 * So much of a page travels by itself, which costs the shards neither a read nor a write; the rest by reference. Characters: at three bytes
 * each still less than half of what a payload may have.
 */
const INLINE_BYTES = 256 * 1024;

type Input = Parameters<BufferActivities['readInitPage']>[0];

export async function readInitPage(deps: BufferDeps, input: Input): Promise<InitPageRead> {
  const { buffer, pass, page } = input;
  const definition = definitionOf(deps, buffer);
  const before = await deps.database.transaction((db) => readPage(db, buffer, pass, page));
  if (before) return before;
  const heart = setInterval(() => Context.current().heartbeat(), 5_000);
  try {
    const context: InitContext<never> = {
      buffer,
      cursor: input.cursor === null ? undefined : input.cursor,
      state: definition.state as never,
      limit: input.limit,
      pass,
      signal: Context.current().cancellationSignal,
      log: deps.log.child({ ...definition.metadata, buffer, pass, page }),
    };
    const answer: unknown = await definition.init?.(context);
    const { entries, cursor } = readAnswer(answer, buffer);
    return await keep(deps, input, entries, cursor);
  } finally {
    clearInterval(heart);
  }
}

function readAnswer(answer: unknown, buffer: string): { entries: Json[]; cursor: Json } {
  const { entries, cursor } = (answer ?? { entries: [] }) as { entries?: unknown; cursor?: Json };
  if (!Array.isArray(entries)) throw new TypeError(`init of buffer ${buffer} must answer { entries, cursor }`);
  const bad = entries.findIndex((entry) => !isJson(entry));
  if (bad >= 0) throw new TypeError(`init of buffer ${buffer}: entry ${bad} is no JSON`);
  return { entries: entries as Json[], cursor: cursor ?? null };
}

/** Whether `JSON.stringify` makes anything of it; asked only where the type does not tell. */
function isJson(entry: unknown): boolean {
  if (typeof entry !== 'object' || entry === null || 'toJSON' in entry) return JSON.stringify(entry) !== undefined;
  return true;
}

/** The note of the page and its rows in one transaction: it is there as a whole or not at all. */
async function keep(
  { database, definitions }: BufferDeps,
  { buffer, pass, page, shards, seqs }: Input,
  entries: Json[],
  cursor: Json,
): Promise<InitPageRead> {
  const definition = definitions.get(buffer)!;
  const keyOf = keyFunction(definition);
  // The shards know a key that is a path by themselves.
  const keyToTell = typeof definition.key === 'function' ? keyOf : undefined;
  let room = INLINE_BYTES;
  const groups = spread(entries, shards, keyOf);
  return database.transaction(async (db) => {
    const last = seqs.map((next) => next - 1);
    const read: InitPageRead = {
      pass,
      page,
      chunks: [],
      entries: entries.length,
      cursor,
      last: cursor === null,
      seqs: last,
    };
    for (const [shard, group] of groups.entries()) {
      for (const { from, part, json } of partsOf(group, room)) {
        const chunk = { shard, seq: ++last[shard]!, count: part.length, bytes: json.length };
        if (json.length <= room) {
          room -= json.length;
          read.chunks.push({ ...chunk, entries: part, ...(keyToTell ? { keys: part.map(keyToTell) } : {}) });
          continue;
        }
        const row = `${buffer}.init.${pass}.${page}.${shard}.${from}`;
        await sendRow(db, { buffer, id: row, entries: part, json, keys: keyOf && part.map(keyOf) }, null);
        read.chunks.push({ ...chunk, row });
      }
    }
    await notePage(db, buffer, read);
    return read;
  });
}

/** A group that may travel by itself stays whole; of any other each part is as large as a row may be. */
function partsOf(group: Json[], room: number): { from: number; part: Json[]; json: string }[] {
  const whole = JSON.stringify(group);
  if (group.length <= ROW_ENTRIES || whole.length <= room) {
    return group.length === 0 ? [] : [{ from: 0, part: group, json: whole }];
  }
  return Array.from({ length: Math.ceil(group.length / ROW_ENTRIES) }, (_, i) => {
    const part = group.slice(i * ROW_ENTRIES, (i + 1) * ROW_ENTRIES);
    return { from: i * ROW_ENTRIES, part, json: JSON.stringify(part) };
  });
}

/** By key where there is one; else runs of neighbours, so that a batch has what belongs together. */
function spread(entries: Json[], shards: number, keyOf: ((entry: Json) => string | null) | undefined): Json[][] {
  if (shards === 1) return [entries];
  const groups: Json[][] = Array.from({ length: shards }, () => []);
  const share = Math.max(1, Math.ceil(entries.length / shards));
  entries.forEach((entry, i) => {
    const key = keyOf?.(entry) ?? null;
    groups[key === null ? Math.floor(i / share) : shardOfKey(key, shards)]!.push(entry);
  });
  return groups;
}
